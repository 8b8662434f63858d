#include "fabric_interface.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "talus/hw/interrupts.h"

#include "numeric.hpp"

namespace talus::sim {

namespace {

constexpr std::uint64_t kTicks = 256;
/// Tokens of requests: number of the command, and the packet's bytes.
constexpr unsigned kBytesBits = 20;
/// Rows of a list that the host's caches are told of before they are used: they lie anywhere.
constexpr std::uint64_t kRowsAhead = 4;
constexpr std::uint64_t kHostLine = 64;

Fault fabric_fault(FabricError error, std::uint64_t addr) {
    return {error == FabricError::kSubgrid ? std::uint64_t{TALUS_TRAP_SUBGRID}
                                           : std::uint64_t{TALUS_TRAP_FABRIC},
            addr};
}

} // namespace

FabricInterface::FabricInterface(PeShared& shared, bool out, std::function<void(Cycle)> step)
    : Unit(shared), who_(Requester::pe_unit(shared.pe)), out_(out),
      rate_(out ? shared.config.fi.out_bytes_per_clock : shared.config.fi.in_bytes_per_clock),
      step_(std::move(step)) {
    reset();
}

void FabricInterface::reset() {
    if (waiting_) {
        shared_.fabric.broadcasts().leave(shared_.pe);
    }
    waiting_ = false;
    transfer_.reset();
    current_ = nullptr;
    issue_ticks_ = 0;
    slots_.assign(shared_.config.fi.max_requests, 0);
    last_done_ = 0;
    needs_slot_ = false;
    first_flight_ += flights_.size();
    flights_.clear();
}

Cycle FabricInterface::ready_at() const {
    if (current_ != nullptr) {
        return kNever;
    }
    const Cycle free = divide_up(issue_ticks_, kTicks);
    const Cycle startup = shared_.config.fi.startup_clocks;
    return free > startup ? free - startup : 0;
}

const Operand& FabricInterface::local_operand(const Command& command) const {
    return command.operands[out_ ? kFirst : kDestination];
}

std::uint64_t FabricInterface::row_address(const Command& command, std::uint64_t row) const {
    return command.row_addresses.empty() ? command.rs1 + row * command.fabric_pitch
                                         : command.row_addresses[row];
}

std::optional<Fault> FabricInterface::check_indices(Command& command) {
    const bool wide = command.source_type == TALUS_CP_INT64;
    const std::uint8_t* list = local(command.operands[kFirst]);
    const std::uint64_t table_rows = command.words[3];
    if (shared_.fabric.ecc().any()) {
        if (auto fault = Unit::damage(list, 1, 0, command.rows * (wide ? 8ull : 4ull), false)) {
            return fault;
        }
    }
    command.row_addresses.resize(command.rows);
    for (std::uint64_t i = 0; i < command.rows; ++i) {
        std::int64_t index = 0;
        if (wide) {
            std::memcpy(&index, list + 8 * i, 8);
        } else {
            std::int32_t narrow;
            std::memcpy(&narrow, list + 4 * i, 4);
            index = narrow;
        }
        if (index < 0 || static_cast<std::uint64_t>(index) >= table_rows) {
            return Fault{TALUS_TRAP_INDEX, i};
        }
        command.row_addresses[i] =
            command.rs1 + static_cast<std::uint64_t>(index) * command.fabric_pitch;
    }
    return std::nullopt;
}

std::optional<Fault> FabricInterface::check_rows(Command& command) {
    if (std::optional<Fault> fault = find_rows(command)) {
        return fault;
    }
    const std::uint64_t last = (command.rows - 1ull) * command.fabric_pitch;
    if (command.row_addresses.empty() &&
        !shared_.fabric.may_be_cached(command.rs1, last + command.row_bytes)) {
        return std::nullopt;
    }
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const std::uint64_t addr = row_address(command, row);
        if (!shared_.fabric.coherent(who_, addr, command.row_bytes, out_)) {
            return Fault{TALUS_TRAP_CACHE, addr};
        }
    }
    return std::nullopt;
}

std::optional<Fault> FabricInterface::find_rows(Command& command) {
    if (command.row_addresses.empty()) {
        const std::uint64_t last = (command.rows - 1ull) * command.fabric_pitch;
        const MemorySpan span =
            shared_.fabric.span(who_, command.rs1, last + command.row_bytes, out_);
        if (span.ok()) {
            command.whole = span.host;
            return std::nullopt;
        }
    }
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const std::uint64_t addr = row_address(command, row);
        const MemorySpan span = shared_.fabric.span(who_, addr, command.row_bytes, out_);
        if (!span.ok()) {
            return fabric_fault(span.error, addr);
        }
    }
    return std::nullopt;
}

BroadcastRendezvous::Line FabricInterface::line(const Command& command) const {
    return shared_.fabric.broadcasts().line(
        shared_.pe, shared_.fabric.pe(shared_.pe)->subgrid_rect(), command.column, command.core);
}

namespace {

BroadcastRead read_of(const Command& command) {
    return {command.rs1, command.row_bytes, command.rows, command.fabric_pitch};
}

} // namespace

std::optional<Fault> FabricInterface::check_broadcast(const Command& command) const {
    const BroadcastRendezvous::Line members = line(command);
    if (members.members() == 0) {
        return Fault{TALUS_TRAP_SUBGRID, command.rs1};
    }
    const BroadcastRead* other = shared_.fabric.broadcasts().conflict(members, read_of(command));
    if (other == nullptr) {
        return std::nullopt;
    }
    const BroadcastRead own = read_of(command);
    const auto text = [](const BroadcastRead& read) {
        return fmt::format("{} x {} bytes at {:#x}, pitch {}", read.rows, read.row_bytes,
                           read.address, read.pitch);
    };
    return Fault{TALUS_TRAP_BROADCAST, command.rs1,
                 fmt::format("asks for {}, the other members of its {} for {}", text(own),
                             command.column ? "column" : "row", text(*other))};
}

void FabricInterface::broadcast_begins(std::shared_ptr<BroadcastTransfer> transfer, Cycle now) {
    waiting_ = false;
    if (shared_.config.fi.broadcast) {
        transfer_ = std::move(transfer);
    }
    step_(now);
}

std::string FabricInterface::describe_wait() const {
    return shared_.fabric.broadcasts().missing(line(*current_));
}

std::optional<Fault> FabricInterface::check(Command& command) {
    if (command.rows == 0 || is_hint(command)) {
        return std::nullopt;
    }
    if (command.code == TALUS_FI_BROADCAST) {
        if (auto fault = check_broadcast(command)) {
            return fault;
        }
    }
    if (command.code == TALUS_FI_DMA_INDEXED) {
        if (const auto fault = check_indices(command)) {
            return fault;
        }
    }
    return check_rows(command);
}

std::optional<Cycle> FabricInterface::begin(Command& command, Cycle now) {
    const FiConfig& fi = shared_.config.fi;
    Cycle first = now + fi.startup_clocks;
    if (command.code == TALUS_FI_DMA_INDEXED) {
        first += divide_up(command.rows, fi.indices_per_clock);
        const std::uint64_t list = std::uint64_t{command.rows} * element_bytes(command.source_type);
        first = shared_.local_bandwidth.reserve_evenly(now, now, first, list);
        counters(command).bytes += list;
    }
    issue_ticks_ = std::max(issue_ticks_, first * kTicks);
    current_ = &command;
    row_ = 0;
    column_ = 0;
    flights_.push_back({0, false, command.rows == 0 ? first : now});
    if (command.code == TALUS_FI_BROADCAST && command.rows != 0) {
        packet_ = 0;
        auto transfer = shared_.fabric.broadcasts().join(line(command), read_of(command),
                                                         shared_.pe, *this, now);
        waiting_ = transfer == nullptr;
        if (fi.broadcast) {
            transfer_ = std::move(transfer);
        }
    }
    return std::nullopt;
}

Cycle FabricInterface::packet(Cycle now, Cycle at, std::uint64_t addr, std::uint64_t bytes,
                              std::uint64_t token) {
    if (transfer_ != nullptr) {
        return shared_.fabric.broadcast_packet(transfer_, packet_++, who_, now, at, addr, bytes,
                                               answer(token));
    }
    if (current_->code == TALUS_FI_PREFETCH) {
        return shared_.fabric.prefetch(who_, now, at, addr, bytes);
    }
    if (current_->code == TALUS_FI_DISCARD) {
        return shared_.fabric.discard(who_, at, addr, bytes);
    }
    return shared_.fabric.packet(who_, now, at, addr, bytes, out_, answer(token));
}

Unit::Step FabricInterface::advance(Cycle now) {
    const FiConfig& fi = shared_.config.fi;
    Command& command = *current_;
    Flight& flight = flights_.back();
    const std::uint64_t token = first_flight_ + flights_.size() - 1;
    const std::uint64_t block =
        std::min<std::uint64_t>(shared_.fabric.packet_bytes(), fi.request_bytes);
    const std::uint64_t row_ticks = kTicks / fi.rows_per_clock;
    const std::uint64_t begin_ticks = std::max(issue_ticks_, now * kTicks);
    std::uint64_t moved = 0;   // by packets whose time is known
    std::uint64_t pending = 0; // by others
    Cycle data = now;
    while (row_ < command.rows && moved + pending < fi.segment_bytes && !slots_.empty()) {
        const std::uint64_t addr = row_address(command, row_) + column_;
        const std::uint64_t bytes = std::min(command.row_bytes - column_, block - addr % block);
        issue_ticks_ = std::max({issue_ticks_, now * kTicks, slots_.front() * kTicks});
        const Cycle at = issue_ticks_ / kTicks;
        const Cycle known = packet(now, at, addr, bytes, token << kBytesBits | bytes);
        std::pop_heap(slots_.begin(), slots_.end(), std::greater<>());
        if (known == kNever) {
            slots_.pop_back();
            ++flight.open;
            pending += bytes;
        } else {
            slots_.back() = known;
            std::push_heap(slots_.begin(), slots_.end(), std::greater<>());
            data = std::max(data, known);
            moved += bytes;
        }
        issue_ticks_ += std::max(divide_up(bytes * kTicks, rate_), row_ticks);
        column_ += bytes;
        if (column_ == command.row_bytes) {
            column_ = 0;
            ++row_;
        }
    }
    PeCounters::Unit& totals = counters(command);
    const Cycle span = (issue_ticks_ - begin_ticks) / kTicks;
    totals.bytes += is_hint(command) ? 0 : moved + pending;
    totals.busy_clocks += span;
    // Local memory sees the bytes over the time in which they are requested, or as many clocks
    // later. What comes at a time not known yet is counted when it comes, what leaves when it does.
    if (moved != 0 && !is_hint(command)) {
        const Cycle from = std::max(now, data > span ? data - span : 0);
        data = shared_.local_bandwidth.reserve_evenly(now, from, data, moved);
    }
    if (out_ && pending != 0) {
        const Cycle end = std::max(now, issue_ticks_ / kTicks);
        const Cycle read = shared_.local_bandwidth.reserve_evenly(now, now, end, pending);
        issue_ticks_ = std::max(issue_ticks_, read * kTicks);
    }
    flight.data = std::max(flight.data, data);
    if (row_ < command.rows) {
        if (slots_.empty()) {
            needs_slot_ = true;
            return {std::nullopt, std::nullopt, true};
        }
        const Cycle next = std::max(issue_ticks_ / kTicks, slots_.front());
        return {std::max(next, now + 1), std::nullopt, false};
    }
    current_ = nullptr;
    transfer_.reset();
    flight.issued = true;
    return {std::nullopt, finished(), false};
}

/// Commands complete in order.
std::optional<Cycle> FabricInterface::finished() {
    if (flights_.empty() || !flights_.front().issued || flights_.front().open != 0) {
        return std::nullopt;
    }
    last_done_ = std::max(last_done_, flights_.front().data);
    flights_.pop_front();
    ++first_flight_;
    return last_done_;
}

bool FabricInterface::answered(std::uint64_t token, Cycle now) {
    const std::uint64_t bytes = token & ((1u << kBytesBits) - 1);
    Flight& flight = flights_[(token >> kBytesBits) - first_flight_];
    --flight.open;
    slots_.push_back(now);
    std::push_heap(slots_.begin(), slots_.end(), std::greater<>());
    const Cycle data = out_ ? now : shared_.local_bandwidth.reserve(now, now, bytes);
    flight.data = std::max(flight.data, data);
    if (current_ != nullptr && row_ < current_->row_addresses.size()) {
        shared_.fabric.expect(current_->row_addresses[row_]); // leaves in a moment, in this slot
    }
    const bool due = needs_slot_;
    needs_slot_ = false;
    return due;
}

void FabricInterface::expect_row(const Command& command, std::uint64_t row) const {
    const std::uint64_t addr = command.row_addresses[row];
    const std::uint8_t* const far = shared_.fabric.span(who_, addr, command.row_bytes, out_).host;
    for (std::uint64_t at = 0; far != nullptr && at < command.row_bytes; at += kHostLine) {
        __builtin_prefetch(far + at);
    }
}

std::optional<Fault> FabricInterface::damage(const Command& command) {
    std::optional<Fault> found = Unit::damage(command);
    if (is_hint(command)) {
        return found;
    }
    if (command.whole != nullptr) {
        const auto far = Unit::damage(command.whole, command.rows, command.fabric_pitch,
                                      command.row_bytes, out_);
        return found ? found : far;
    }
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const MemorySpan span =
            shared_.fabric.span(who_, row_address(command, row), command.row_bytes, out_);
        if (span.ok()) {
            const auto far = Unit::damage(span.host, 1, 0, command.row_bytes, out_);
            found = found ? found : far;
        }
    }
    return found;
}

void FabricInterface::execute(Command& command) {
    if (is_hint(command)) {
        return;
    }
    const Operand& operand = local_operand(command);
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        std::uint8_t* near = local(operand) + row * operand.pitch;
        const std::uint64_t addr = row_address(command, row);
        std::uint8_t* far = command.whole != nullptr
                                ? command.whole + row * command.fabric_pitch
                                : shared_.fabric.span(who_, addr, command.row_bytes, out_).host;
        if (far == nullptr) {
            continue; // the sub-grid was changed under the command
        }
        if (row + kRowsAhead < command.row_addresses.size()) {
            expect_row(command, row + kRowsAhead);
        }
        std::memmove(out_ ? far : near, out_ ? near : far, command.row_bytes);
        if (out_) {
            shared_.fabric.written(who_, addr, command.row_bytes);
        }
    }
}

} // namespace talus::sim
