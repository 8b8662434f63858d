#include "fabric_interface.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "talus/hw/interrupts.h"

#include "numeric.hpp"

namespace talus::sim {

namespace {

constexpr std::uint64_t kTicks = 256;

Fault fabric_fault(FabricError error, std::uint64_t addr) {
    return {error == FabricError::kSubgrid ? std::uint64_t{TALUS_TRAP_SUBGRID}
                                           : std::uint64_t{TALUS_TRAP_FABRIC},
            addr};
}

} // namespace

FabricInterface::FabricInterface(PeShared& shared, bool out)
    : Unit(shared), who_(Requester::pe_unit(shared.pe)), out_(out),
      rate_(out ? shared.config.fi.out_bytes_per_clock : shared.config.fi.in_bytes_per_clock) {
    reset();
}

void FabricInterface::reset() {
    current_ = nullptr;
    issue_ticks_ = 0;
    slots_.assign(shared_.config.fi.max_requests, 0);
    last_done_ = 0;
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

std::optional<Fault> FabricInterface::check(Command& command) {
    if (command.rows == 0) {
        return std::nullopt;
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
    if (command.rows == 0) {
        last_done_ = std::max(last_done_, first);
        return last_done_;
    }
    current_ = &command;
    row_ = 0;
    column_ = 0;
    last_data_ = 0;
    return std::nullopt;
}

Unit::Step FabricInterface::advance(Cycle now) {
    const FiConfig& fi = shared_.config.fi;
    Command& command = *current_;
    const std::uint64_t block =
        std::min<std::uint64_t>(shared_.fabric.packet_bytes(), fi.request_bytes);
    const std::uint64_t row_ticks = kTicks / fi.rows_per_clock;
    const std::uint64_t begin_ticks = std::max(issue_ticks_, now * kTicks);
    std::uint64_t moved = 0;
    Cycle data = now;
    while (row_ < command.rows && moved < fi.segment_bytes) {
        const std::uint64_t addr = row_address(command, row_) + column_;
        const std::uint64_t bytes = std::min(command.row_bytes - column_, block - addr % block);
        issue_ticks_ = std::max({issue_ticks_, now * kTicks, slots_.front() * kTicks});
        const Cycle at = issue_ticks_ / kTicks;
        const Cycle answer = shared_.fabric.packet(who_, now, at, addr, bytes, out_);
        std::pop_heap(slots_.begin(), slots_.end(), std::greater<>());
        slots_.back() = answer;
        std::push_heap(slots_.begin(), slots_.end(), std::greater<>());
        data = std::max(data, answer);
        issue_ticks_ += std::max(divide_up(bytes * kTicks, rate_), row_ticks);
        moved += bytes;
        column_ += bytes;
        if (column_ == command.row_bytes) {
            column_ = 0;
            ++row_;
        }
    }
    PeCounters::Unit& totals = counters(command);
    totals.bytes += moved;
    totals.busy_clocks += (issue_ticks_ - begin_ticks) / kTicks;
    // Local memory sees the bytes over the time in which they are requested, or as many clocks
    // later.
    const Cycle span = (issue_ticks_ - begin_ticks) / kTicks;
    const Cycle from = std::max(now, data > span ? data - span : 0);
    data = shared_.local_bandwidth.reserve_evenly(now, from, data, moved);
    last_data_ = std::max(last_data_, data);
    if (row_ < command.rows) {
        const Cycle next = std::max(issue_ticks_ / kTicks, slots_.front());
        return {std::max(next, now + 1), 0};
    }
    current_ = nullptr;
    last_done_ = std::max(last_done_, last_data_);
    return {std::nullopt, last_done_};
}

void FabricInterface::execute(Command& command) {
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
        std::memmove(out_ ? far : near, out_ ? near : far, command.row_bytes);
        if (out_) {
            shared_.fabric.written(who_, addr, command.row_bytes);
        }
    }
}

} // namespace talus::sim
