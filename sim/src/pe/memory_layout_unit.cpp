#include <cstring>

#include "units.hpp"

namespace talus::sim {

MemoryLayoutUnit::MemoryLayoutUnit(PeShared& shared)
    : PipelinedUnit(shared, shared.config.mlu.startup_clocks, 0) {}

Cycle MemoryLayoutUnit::occupancy(const Command& command) const {
    if (command.code == TALUS_MLU_TRANSPOSE) {
        return divide_up(std::uint64_t{command.rows} * command.columns,
                         shared_.config.mlu.transpose_elements_per_clock);
    }
    return command.rows * divide_up(command.row_bytes, shared_.config.mlu.bytes_per_clock);
}

std::uint64_t MemoryLayoutUnit::local_bytes(const Command& command) const {
    if (command.code == TALUS_MLU_TRANSPOSE) {
        return 2ull * command.rows * command.columns * command.element;
    }
    const std::uint64_t bytes = std::uint64_t{command.rows} * command.row_bytes;
    return command.code == TALUS_MLU_FILL ? bytes : 2 * bytes;
}

void MemoryLayoutUnit::execute(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& from = command.operands[kFirst];
    std::uint8_t* destination = local(to);
    const std::uint8_t* source = local(from);
    switch (command.code) {
    case TALUS_MLU_FILL:
        for (std::uint64_t row = 0; row < command.rows; ++row) {
            std::memset(destination + row * to.pitch, static_cast<int>(command.rs2),
                        command.row_bytes);
        }
        break;
    case TALUS_MLU_COPY:
        for (std::uint64_t row = 0; row < command.rows; ++row) {
            std::memmove(destination + row * to.pitch, source + row * from.pitch,
                         command.row_bytes);
        }
        break;
    default:
        for (std::uint64_t row = 0; row < command.rows; ++row) {
            for (std::uint64_t col = 0; col < command.columns; ++col) {
                std::memcpy(destination + col * to.pitch + row * command.element,
                            source + row * from.pitch + col * command.element, command.element);
            }
        }
        break;
    }
}

} // namespace talus::sim
