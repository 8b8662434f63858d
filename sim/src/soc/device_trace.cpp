// What a trace shows of the chip: the tracks, and counters of what passed its links.
#include <algorithm>

#include <fmt/format.h>

#include "device.hpp"

namespace talus::sim {

namespace {

/// Clocks between two samples of a busy device, at least.
constexpr Cycle kSampleClocks = 1024;

} // namespace

void Device::start_trace() {
    tracer_ = std::make_unique<Tracer>(options_.trace_path, options_.config.device.clock_khz,
                                       options_.trace_limit_bytes);
    next_sample_ = 0;
    const TraceTrack host = tracer_->add_track("host", kTraceRoot);
    queue_engine_.trace(*tracer_, host);
    dma_.trace(*tracer_, host);
    cores_.trace(*tracer_);

    const auto add = [&](std::string_view name, std::function<std::uint64_t()> bytes) {
        traffic_.push_back(
            {tracer_->add_counter(fmt::format("{} [MB/s]", name), kTraceRoot), std::move(bytes)});
    };
    add("PCIe in", [this] { return link_.bytes_read(); });
    add("PCIe out", [this] { return link_.bytes_written(); });
    add("PCIe wire in", [this] { return link_.inbound().wire; });
    add("PCIe wire out", [this] { return link_.outbound().wire; });
    add("SRAM read", [this] { return fabric_.counters().sram_read_bytes; });
    add("SRAM write", [this] { return fabric_.counters().sram_write_bytes; });
    add("PE to PE", [this] { return fabric_.counters().pe_to_pe_bytes; });
    const Crossbars& links = fabric_.crossbars();
    for (std::uint32_t link = 0; link < links.link_count(); ++link) {
        using Direction = Crossbars::Direction;
        for (const Direction direction : {Direction::kIntoGrid, Direction::kOutOfGrid}) {
            add(fmt::format("NoC {} {}", links.name(link),
                            direction == Direction::kIntoGrid ? "in" : "out"),
                [&links, link, direction] { return links.counters(link, direction).bytes; });
        }
    }
    for (std::uint32_t channel = 0; channel < options_.config.dram.channels; ++channel) {
        add(fmt::format("DRAM channel {}", channel),
            [this, channel] { return fabric_.counters().dram_channel_bytes[channel]; });
    }
}

void Device::sample_traffic() {
    const Cycle now = events_.now();
    next_sample_ = now + kSampleClocks;
    const Cycle span = now - std::min(last_sample_, now);
    if (span == 0) {
        return;
    }
    for (Traffic& traffic : traffic_) {
        const std::uint64_t bytes = traffic.bytes();
        // Some counters begin anew with a fundamental reset.
        const std::uint64_t moved = bytes - std::min(traffic.last_bytes, bytes);
        traffic.last_bytes = bytes;
        const std::uint64_t rate = moved * (options_.config.device.clock_khz / 1000) / span;
        if (rate != traffic.last_rate) {
            tracer_->value(traffic.track, last_sample_, rate); // holds from there on
            traffic.last_rate = rate;
        }
    }
    last_sample_ = now;
}

} // namespace talus::sim
