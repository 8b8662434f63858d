#include "unit.hpp"

#include <algorithm>

#include "talus/hw/interrupts.h"

namespace talus::sim {

std::optional<std::uint32_t> PeShared::neighbour(unsigned direction, int step) const {
    const std::uint32_t rect = fabric.pe(pe)->subgrid_rect();
    const bool down = direction == TALUS_RE_DOWN;
    const auto first = static_cast<int>((down ? rect : rect >> 8) & 0xff);
    const auto count = static_cast<int>((down ? rect >> 16 : rect >> 24) & 0xff);
    const std::uint32_t cols = config.grid.cols;
    const int at = static_cast<int>(down ? pe / cols : pe % cols) + step;
    return at >= first && at < first + count ? link_peer(direction, step) : std::nullopt;
}

std::optional<std::uint32_t> PeShared::link_peer(unsigned direction, int step) const {
    const GridConfig& grid = config.grid;
    const bool down = direction == TALUS_RE_DOWN;
    const int at = static_cast<int>(down ? pe / grid.cols : pe % grid.cols) + step;
    if (at < 0 || at >= static_cast<int>(down ? grid.rows : grid.cols)) {
        return std::nullopt;
    }
    const int distance = step * (down ? static_cast<int>(grid.cols) : 1);
    const auto index = static_cast<std::uint32_t>(static_cast<int>(pe) + distance);
    return fabric.pe(index) != nullptr ? std::optional(index) : std::nullopt;
}

std::optional<Fault> Unit::damage(const std::uint8_t* bytes, std::uint64_t rows,
                                  std::uint64_t pitch, std::uint64_t row_bytes, bool write) const {
    if (pitch == row_bytes) { // words across rows are read or written as wholes
        row_bytes *= rows;
        rows = rows == 0 ? 0 : 1;
    }
    Ecc& ecc = shared_.fabric.ecc();
    std::uint64_t bad = 0;
    for (std::uint64_t row = 0; row < rows; ++row) {
        const std::uint8_t* const at = bytes + row * pitch;
        const std::uint64_t found =
            write ? ecc.check_write(at, row_bytes) : ecc.check_read(at, row_bytes);
        bad = bad == 0 ? found : bad;
    }
    return bad == 0 ? std::nullopt : std::optional(Fault{TALUS_CAUSE_HARDWARE_ERROR, bad});
}

std::optional<Fault> Unit::damage(const Command& command) {
    std::optional<Fault> first;
    // Sources before the destination, which may lie over them.
    for (const OperandIndex index : {kFirst, kSecond, kDestination}) {
        const Operand& operand = command.operands[index];
        if (!operand.used) {
            continue;
        }
        const auto found = damage(local(operand), operand.rows, operand.pitch, operand.row_bytes,
                                  operand.producer);
        first = first ? first : found;
    }
    return first;
}

std::optional<Cycle> PipelinedUnit::begin(Command& command, Cycle now) {
    const Cycle begin = std::max(free_at_, now + startup_);
    const UnitClock clock = shared_.host.unit_clock(now);
    const Cycle clocks = divide_up(occupancy(command) * clock.full, clock.step);
    const std::uint64_t bytes = local_bytes(command);
    Cycle end = shared_.local_bandwidth.reserve_evenly(now, begin, begin + clocks, bytes);
    if (const std::uint64_t operations = simd_operations(command); operations != 0) {
        shared_.counters.simd_operations += operations;
        end = shared_.simd_operations.reserve_evenly(now, begin, end, operations);
    }
    PeCounters::Unit& totals = counters(command);
    totals.busy_clocks += clocks;
    totals.bytes += bytes;
    free_at_ = end;
    last_done_ = std::max(last_done_, end + pipeline_);
    return last_done_;
}

} // namespace talus::sim
