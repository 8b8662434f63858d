// The way of a packet: NoC, ports, memories. Time only.
#include <cstdlib>

#include "fabric_state.hpp"

namespace talus::sim {

namespace {

Cycle distance(std::uint32_t a, std::uint32_t b) {
    return a > b ? a - b : b - a;
}

} // namespace

Cycle Fabric::State::pe_to_pe(std::uint32_t from, std::uint32_t to) const {
    const std::uint32_t cols = config.grid.cols;
    const Cycle hops = distance(from / cols, to / cols) + distance(from % cols, to % cols);
    return config.memory.remote_local_clocks + hops * config.noc.hop_clocks;
}

Cycle Fabric::State::pe_to_control(std::uint32_t pe) const {
    // The control subsystem sits at the middle of the top edge.
    const std::uint32_t cols = config.grid.cols;
    const Cycle hops = pe / cols + 1 + distance(pe % cols, cols / 2);
    return config.noc.traverse_clocks + hops * config.noc.hop_clocks;
}

Cycle Fabric::State::latency(const Requester& who, const Target& target) const {
    switch (target.kind) {
    case TargetKind::kLocal:
    case TargetKind::kRegisters:
        return who.in_pe() ? pe_to_pe(who.pe(), target.pe) : pe_to_control(target.pe);
    case TargetKind::kOwnLocal:
    case TargetKind::kOwnRegisters:
        return 0;
    case TargetKind::kLls:
    case TargetKind::kDram: {
        if (!who.in_pe()) {
            return config.noc.traverse_clocks;
        }
        // Crossbars on the left and the right edge; even blocks left, odd blocks right.
        const std::uint32_t cols = config.grid.cols;
        const std::uint32_t col = who.pe() % cols;
        const std::uint64_t block = target.offset / (target.kind == TargetKind::kLls
                                                         ? config.sram.slice_interleave_bytes
                                                         : config.dram.channel_interleave_bytes);
        const Cycle hops = (block & 1) == 0 ? col + 1 : cols - col;
        return config.noc.traverse_clocks + hops * config.noc.hop_clocks;
    }
    default:
        return who.in_pe() ? pe_to_control(who.pe()) : config.noc.traverse_clocks;
    }
}

std::size_t Fabric::State::slice_of(std::uint64_t offset) const {
    const std::uint64_t count = slices.size();
    std::uint64_t block = offset / config.sram.slice_interleave_bytes;
    std::uint64_t sum = block % count;
    while (config.sram.slice_hash && count > 1 && block >= count) {
        block /= count;
        sum += block % count;
    }
    return sum % count;
}

BandwidthCalendar& Fabric::State::port(const Requester& who, bool into_requester) {
    PePorts& ports = who.in_pe() ? pe_ports[who.pe()] : control_ports;
    return into_requester ? ports.in : ports.out;
}

Cycle Fabric::State::at_target(Cycle now, Cycle at, const Target& target, std::uint64_t bytes,
                               bool write) {
    switch (target.kind) {
    case TargetKind::kLls: {
        (write ? counters.sram_write_bytes : counters.sram_read_bytes) += bytes;
        return slices[slice_of(target.offset)].reserve(now, at, bytes) + config.sram.access_clocks;
    }
    case TargetKind::kDram:
        (write ? counters.dram_write_bytes : counters.dram_read_bytes) += bytes;
        counters.dram_channel_bytes[target.offset / config.dram.channel_interleave_bytes %
                                    config.dram.channels] += bytes;
        return dram_timing->access(now, at, target.offset, bytes, write);
    case TargetKind::kLocal:
        counters.pe_to_pe_bytes += bytes;
        return (write ? pe_ports[target.pe].in : pe_ports[target.pe].out).reserve(now, at, bytes) +
               config.memory.remote_local_clocks;
    case TargetKind::kControlSram:
    case TargetKind::kRom:
        return control_sram_port.reserve(now, at, bytes) + config.memory.control_sram_clocks;
    case TargetKind::kStaging:
        return staging_port.reserve(now, at, bytes) + config.memory.staging_clocks;
    case TargetKind::kOwnLocal:
        return at + config.hart.local_load_clocks;
    case TargetKind::kOwnRegisters:
        return at + config.hart.mmio_clocks;
    case TargetKind::kRegisters:
        return at + config.memory.remote_local_clocks;
    case TargetKind::kMmio:
        return at + config.control.system_register_clocks;
    }
    return at;
}

Cycle Fabric::State::packet(const Requester& who, Cycle now, Cycle at, const Target& target,
                            std::uint64_t bytes, bool write) {
    const bool own = target.kind == TargetKind::kOwnLocal ||
                     target.kind == TargetKind::kOwnRegisters ||
                     (target.kind == TargetKind::kMmio && !who.in_pe());
    if (own) {
        return at_target(now, at, target, bytes, write);
    }
    const Cycle way = latency(who, target);
    if (write) {
        const Cycle sent = port(who, false).reserve(now, at, bytes);
        return at_target(now, sent + way, target, bytes, true) + way;
    }
    const Cycle data = at_target(now, at + way, target, bytes, false);
    return port(who, true).reserve(now, data + way, bytes);
}

} // namespace talus::sim
