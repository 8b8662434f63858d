// The way of a packet: NoC, ports, memories. Time only.
#include <algorithm>
#include <bit>
#include <utility>

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

Fabric::State::Way Fabric::State::way(const Requester& who, const Target& target) const {
    using Side = Crossbars::Side;
    switch (target.kind) {
    case TargetKind::kLocal:
    case TargetKind::kRegisters:
        if (who.in_pe()) {
            return {pe_to_pe(who.pe(), target.pe)};
        }
        return {pe_to_control(target.pe), crossbars.link(Side::kTop, target.pe)};
    case TargetKind::kOwnLocal:
    case TargetKind::kOwnRegisters:
        return {};
    case TargetKind::kLls:
    case TargetKind::kDram: {
        if (!who.in_pe()) {
            return {config.noc.traverse_clocks};
        }
        // What DRAM has comes by way of its block's slice, whether that is a cache or not.
        const Side side = crossbars.side_of(slice_of(target.offset));
        return {config.noc.traverse_clocks + crossbars.hops(side, who.pe()) * config.noc.hop_clocks,
                crossbars.link(side, who.pe())};
    }
    default:
        if (!who.in_pe()) {
            return {config.noc.traverse_clocks};
        }
        return {pe_to_control(who.pe()), crossbars.link(Side::kTop, who.pe())};
    }
}

Cycle Fabric::State::over_link(Cycle now, Cycle at, std::uint32_t link,
                               Crossbars::Direction direction, std::uint64_t bytes) {
    if (link == Crossbars::kNoLink) {
        return at;
    }
    const BandwidthCalendar& before =
        direction == Crossbars::Direction::kIntoGrid ? slices.front() : pe_ports.front().out;
    return crossbars.pass(now, at, link, direction, on_wire(bytes), before.clocks(bytes));
}

Cycle Fabric::State::over_link(Cycle now, Cycle at, std::uint32_t link, std::uint64_t bytes,
                               bool column, BroadcastTransfer::Packet& shared) {
    if (link == Crossbars::kNoLink || !crossbars.common(link, column)) {
        return over_link(now, at, link, Crossbars::Direction::kIntoGrid, bytes);
    }
    if (shared.over_link == kNever) {
        shared.over_link = over_link(now, at, link, Crossbars::Direction::kIntoGrid, bytes);
    }
    return std::max(at, shared.over_link);
}

std::size_t Fabric::State::slice_of(std::uint64_t offset) const {
    const std::uint64_t interleave = config.sram.slice_interleave_bytes;
    const std::uint64_t block = (interleave & (interleave - 1)) == 0
                                    ? offset >> std::countr_zero(interleave)
                                    : offset / interleave;
    return sram_slice(block, slices.size(), config.sram.slice_hash);
}

BandwidthCalendar& Fabric::State::port(const Requester& who, bool into_requester) {
    PePorts& ports = who.in_pe() ? pe_ports[who.pe()] : control_ports;
    return into_requester ? ports.in : ports.out;
}

Cycle Fabric::State::at_target(Cycle now, Cycle at, const Target& target, std::uint64_t bytes,
                               bool write) {
    switch (target.kind) {
    case TargetKind::kLls: {
        counters.edge_bytes += bytes;
        (write ? counters.sram_write_bytes : counters.sram_read_bytes) += bytes;
        return slices[slice_of(target.offset)].reserve(now, at, bytes) + config.sram.access_clocks;
    }
    case TargetKind::kDram:
        break; // packet() hands it over
    case TargetKind::kLocal:
        counters.pe_to_pe_bytes += bytes;
        return (write ? pe_ports[target.pe].in : pe_ports[target.pe].out)
                   .reserve(now, at, on_wire(bytes)) +
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
                            std::uint64_t bytes, bool write, std::uint32_t transfer) {
    const bool own = target.kind == TargetKind::kOwnLocal ||
                     target.kind == TargetKind::kOwnRegisters ||
                     (target.kind == TargetKind::kMmio && !who.in_pe());
    if (own) {
        return at_target(now, at, target, bytes, write);
    }
    // A register's access has its effect at the call: it passes beside the source.
    if (!target.memory()) {
        return send(who, now, at, target, bytes, write, transfer);
    }
    const std::uint32_t source = source_of(who, write);
    if (sources[source].must_hold()) {
        hold(source, {who, at, target, bytes, write, transfer, nullptr, 0});
        return kNever;
    }
    return send(who, now, sources[source].enter(at, on_wire(bytes)), target, bytes, write,
                transfer);
}

Cycle Fabric::State::send(const Requester& who, Cycle now, Cycle leaves, const Target& target,
                          std::uint64_t bytes, bool write, std::uint32_t transfer) {
    const auto [way, link] = this->way(who, target);
    // The PEs are on one side of the link, what they share and the control subsystem on the other.
    const auto direction =
        write == who.in_pe() ? Crossbars::Direction::kOutOfGrid : Crossbars::Direction::kIntoGrid;
    Cycle there = leaves + way;
    if (write) {
        const Cycle sent = port(who, false).reserve(now, leaves, on_wire(bytes));
        there = over_link(now, sent, link, direction, bytes) + way;
    }
    Cycle done = 0;
    if (target.kind == TargetKind::kDram) {
        done = at_dram(now, there, target.offset, bytes, write,
                       {who, transfer, static_cast<std::uint32_t>(bytes), there, way, link, write,
                        nullptr, 0});
        if (done == kNever) {
            ++transfers[transfer].open;
            return kNever;
        }
    } else {
        done = at_target(now, there, target, bytes, write);
    }
    if (write) {
        done += way;
    } else {
        const Cycle crossed = over_link(now, done, link, direction, bytes);
        done = port(who, true).reserve(now, crossed + way, on_wire(bytes));
    }
    if (target.memory()) {
        sources[source_of(who, write)].answered(done);
    }
    return done;
}

Cycle Fabric::State::send_member(const std::shared_ptr<BroadcastTransfer>& transfer,
                                 std::size_t number, const Requester& who, Cycle now, Cycle leaves,
                                 const Target& target, std::uint64_t bytes, std::uint32_t& waits) {
    const auto [way, link] = this->way(who, target);
    const Cycle there = leaves + way;
    BroadcastTransfer::Packet& packet = transfer->packet(number);
    if (!packet.asked) {
        packet.asked = true;
        if (target.kind == TargetKind::kDram) {
            Packet shared;
            shared.broadcast = transfer;
            shared.number = number;
            packet.data = at_dram(now, there, target.offset, bytes, false, std::move(shared));
        } else {
            packet.data = at_target(now, there, target, bytes, false);
        }
    }
    if (packet.data == kNever) {
        waits = new_packet();
        packets[waits] = {who,     0, static_cast<std::uint32_t>(bytes), there, way, link, false,
                          nullptr, 0};
        packet.waiting.push_back(waits);
        return kNever;
    }
    // An answer waits in the crossbar for a member whose own request comes later.
    const Cycle crossed =
        over_link(now, std::max(packet.data, there), link, bytes, transfer->column(), packet);
    const Cycle done = port(who, true).reserve(now, crossed + way, on_wire(bytes));
    sources[source_of(who, false)].answered(done);
    return done;
}

void Fabric::State::hold(std::uint32_t source, Held packet) {
    ++transfers[packet.transfer].open;
    sources[source].hold();
    held[source].push_back(std::move(packet));
}

void Fabric::State::release(Cycle now) {
    for (const std::uint32_t number : ready) {
        Source& source = sources[number];
        while (source.held() != 0 && !source.full()) {
            const Held next = std::move(held[number].front());
            held[number].pop_front();
            const Cycle leaves = source.enter_held(next.at, now, on_wire(next.bytes));
            Cycle done = 0;
            if (next.broadcast == nullptr) {
                done =
                    send(next.who, now, leaves, next.target, next.bytes, next.write, next.transfer);
                if (done == kNever) {
                    --transfers[next.transfer].open; // counted when it was held
                }
            } else {
                std::uint32_t waits = 0;
                done = send_member(next.broadcast, next.number, next.who, now, leaves, next.target,
                                   next.bytes, waits);
                if (done == kNever) {
                    packets[waits].transfer = next.transfer;
                }
            }
            if (done != kNever) {
                close(next.transfer, done);
            }
        }
    }
    ready.clear();
}

Cycle Fabric::State::at_dram(Cycle now, Cycle there, std::uint64_t offset, std::uint64_t bytes,
                             bool write, Packet then) {
    using What = LastLevelCache::Answer::What;
    counters.edge_bytes += bytes;
    LastLevelCache::Answer answer;
    if (llc.enabled()) {
        const bool engine = then.who.kind == Requester::Kind::kEngine && then.broadcast == nullptr;
        const bool allocate = !engine || config.sram.llc_engines_allocate;
        answer = llc.access({offset, bytes},
                            write ? LastLevelCache::Use::kWrite : LastLevelCache::Use::kRead,
                            LastLevelCache::Allocate(allocate));
        write_back(now, there, answer.write_backs);
        if (answer.fetch.bytes != 0) {
            ask_dram(there + config.sram.llc_tag_clocks, answer.fetch.offset, answer.fetch.bytes,
                     false, kFillTag | answer.fetch_for);
        }
        if (answer.what == What::kHit) {
            (write ? counters.sram_write_bytes : counters.sram_read_bytes) += bytes;
            return slices[slice_of(offset)].reserve(now, there, bytes) + config.sram.access_clocks;
        }
        there += config.sram.llc_tag_clocks;
    }
    const std::uint32_t slot = new_packet();
    packets[slot] = std::move(then);
    if (answer.what == What::kWait) {
        llc.wait(answer.fill, slot);
    } else {
        ask_dram(there, offset, bytes, write, slot);
    }
    return kNever;
}

void Fabric::State::ask_dram(Cycle there, std::uint64_t offset, std::uint64_t bytes, bool write,
                             std::uint64_t tag) {
    (write ? counters.dram_write_bytes : counters.dram_read_bytes) += bytes;
    counters
        .dram_channel_bytes[offset / config.dram.channel_interleave_bytes % config.dram.channels] +=
        bytes;
    dram_controllers.request(there, offset, bytes, write, tag);
}

void Fabric::State::write_back(Cycle now, Cycle there,
                               const std::vector<LastLevelCache::Range>& ranges) {
    for (const LastLevelCache::Range& range : ranges) {
        counters.sram_read_bytes += range.bytes;
        const Cycle read = slices[slice_of(range.offset)].reserve(now, there, range.bytes);
        ask_dram(read + config.sram.access_clocks, range.offset, range.bytes, true, kNobodyTag);
    }
}

std::uint32_t Fabric::State::new_packet() {
    if (free_packets.empty()) {
        packets.emplace_back();
        return static_cast<std::uint32_t>(packets.size() - 1);
    }
    const std::uint32_t slot = free_packets.back();
    free_packets.pop_back();
    return slot;
}

/// The way back, once the packet has left the memory.
void Fabric::State::answer(Cycle now, const Packet& packet, Cycle done) {
    Cycle end = done + packet.way;
    if (!packet.write) {
        end = port(packet.who, true).reserve(now, end, on_wire(packet.bytes));
    }
    const std::uint32_t source = source_of(packet.who, packet.write);
    sources[source].answered(end);
    if (sources[source].held() != 0) {
        ready.push_back(source);
    }
    close(packet.transfer, end);
}

void Fabric::State::close(std::uint32_t number, Cycle done) {
    Transfer& transfer = transfers[number];
    transfer.done = std::max(transfer.done, done);
    if (--transfer.open == 0) {
        const Notify& notify = transfer.notify;
        events.schedule(transfer.done + transfer.after, notify.unit, notify.kind, notify.a,
                        notify.b);
        free_transfers.push_back(number);
    }
}

void Fabric::State::on_dram(Cycle now, std::uint64_t tag, Cycle done) {
    if (tag == kNobodyTag) {
        return;
    }
    if ((tag & kFillTag) == 0) {
        deliver(now, static_cast<std::uint32_t>(tag), done);
        release(now);
        return;
    }
    // What comes passes through the slice, which keeps it and hands it on.
    const auto fill = static_cast<std::uint32_t>(tag);
    const LastLevelCache::Range came = llc.fetched(fill);
    counters.sram_write_bytes += came.bytes;
    const Cycle stored = slices[slice_of(came.offset)].reserve(now, done, came.bytes);
    llc.filled(fill, [&](std::uint32_t packet) { deliver(now, packet, stored); });
    release(now);
}

void Fabric::State::expect_dram(std::uint64_t tag, unsigned step) {
    if (tag == kNobodyTag) {
        return;
    }
    std::optional<std::uint32_t> packet;
    if ((tag & kFillTag) == 0) {
        packet = static_cast<std::uint32_t>(tag);
    } else if (step == 0) {
        llc.expect_filled(static_cast<std::uint32_t>(tag));
    } else {
        packet = llc.expect_delivery(static_cast<std::uint32_t>(tag));
    }
    if (!packet) {
        return;
    }
    const Packet& expected = packets[*packet];
    if (step != 2) { // not to be looked at yet
        __builtin_prefetch(&expected.who);
        __builtin_prefetch(&expected.number);
    } else {
        __builtin_prefetch(&transfers[expected.transfer]);
    }
}

void Fabric::State::deliver(Cycle now, std::uint32_t number, Cycle done) {
    const Packet packet = std::move(packets[number]);
    free_packets.push_back(number);
    if (packet.broadcast == nullptr) {
        done = std::max(done, packet.there);
        if (!packet.write) {
            done = over_link(now, done, packet.link, Crossbars::Direction::kIntoGrid, packet.bytes);
        }
        answer(now, packet, done);
        return;
    }
    BroadcastTransfer::Packet& shared = packet.broadcast->packet(packet.number);
    shared.data = done;
    for (const std::uint32_t number_of_member : shared.waiting) {
        const Packet& member = packets[number_of_member];
        answer(now, member,
               over_link(now, std::max(done, member.there), member.link, member.bytes,
                         packet.broadcast->column(), shared));
        free_packets.push_back(number_of_member);
    }
    shared.waiting.clear();
}

std::uint32_t Fabric::State::open_transfer(const Notify& notify, Cycle earliest, Cycle after) {
    std::uint32_t slot = 0;
    if (free_transfers.empty()) {
        slot = static_cast<std::uint32_t>(transfers.size());
        transfers.emplace_back();
    } else {
        slot = free_transfers.back();
        free_transfers.pop_back();
    }
    transfers[slot] = {notify, earliest, after, 0};
    return slot;
}

Cycle Fabric::State::single(const Requester& who, Cycle now, Cycle at, const Target& target,
                            std::uint64_t bytes, bool write, const Notify& notify, Cycle after) {
    const bool certain = target.kind != TargetKind::kDram &&
                         !(target.memory() && sources[source_of(who, write)].must_hold());
    if (certain) {
        return packet(who, now, at, target, bytes, write, 0) + after;
    }
    const std::uint32_t transfer = open_transfer(notify, now, after);
    const Cycle done = packet(who, now, at, target, bytes, write, transfer);
    if (done == kNever) {
        return kNever;
    }
    free_transfers.push_back(transfer); // the cache had it
    return done + after;
}

} // namespace talus::sim
