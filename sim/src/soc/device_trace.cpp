// What a trace shows of the chip: the tracks, and counters of what passed its links and its
// last-level cache.
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

    // A group for each kind, so that a viewer's first page shows them all.
    TraceTrack group = kTraceRoot;
    const auto counter = [&](const std::string& name, std::uint64_t scale,
                             std::function<std::uint64_t()> total) {
        traffic_.push_back({tracer_->add_counter(name, group), scale, std::move(total)});
    };
    const std::uint64_t khz = options_.config.device.clock_khz;
    const auto add = [&](std::string_view name, std::function<std::uint64_t()> bytes) {
        counter(fmt::format("{} [MB/s]", name), khz / 1000, std::move(bytes));
    };
    const auto count = [&](std::string_view name, std::function<std::uint64_t()> total) {
        counter(fmt::format("{} [k/s]", name), khz, std::move(total));
    };
    group = tracer_->add_track("PCIe", kTraceRoot);
    add("PCIe in", [this] { return link_.bytes_read(); });
    add("PCIe out", [this] { return link_.bytes_written(); });
    add("PCIe wire in", [this] { return link_.inbound().wire; });
    add("PCIe wire out", [this] { return link_.outbound().wire; });
    group = tracer_->add_track("SRAM", kTraceRoot);
    add("SRAM read", [this] { return fabric_.counters().sram_read_bytes; });
    add("SRAM write", [this] { return fabric_.counters().sram_write_bytes; });
    group = tracer_->add_track("NoC", kTraceRoot);
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
    group = tracer_->add_track("DRAM", kTraceRoot);
    for (std::uint32_t channel = 0; channel < options_.config.dram.channels; ++channel) {
        add(fmt::format("DRAM channel {}", channel),
            [this, channel] { return fabric_.counters().dram_channel_bytes[channel]; });
    }
    if (fabric_.llc().enabled()) {
        group = tracer_->add_track("LLC", kTraceRoot);
        // Thousands of packets a second: a hit is one whose sectors were there or on their way.
        count("LLC hits", [this] {
            const LlcCounters& llc = fabric_.cache_counters();
            return llc.hits + llc.late_hits;
        });
        count("LLC misses", [this] {
            const LlcCounters& llc = fabric_.cache_counters();
            return llc.misses + llc.passed;
        });
        count("LLC write-backs", [this] { return fabric_.cache_counters().write_backs; });
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
        const std::uint64_t total = traffic.total();
        // Some counters begin anew with a fundamental reset.
        const std::uint64_t moved = total - std::min(traffic.last_total, total);
        traffic.last_total = total;
        const std::uint64_t rate = moved * traffic.scale / span;
        if (rate != traffic.last_rate) {
            tracer_->value(traffic.track, last_sample_, rate); // holds from there on
            traffic.last_rate = rate;
        }
    }
    last_sample_ = now;
}

} // namespace talus::sim
