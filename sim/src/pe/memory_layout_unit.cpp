#include <algorithm>
#include <cstring>

#include "units.hpp"

namespace talus::sim {

namespace {

std::uint64_t bytes_of(std::uint64_t elements, std::uint32_t bits) {
    return (elements * bits + 7) / 8;
}

/// Writes elements one behind the other into rows.
class RowWriter {
  public:
    RowWriter(std::uint8_t* rows, std::uint64_t pitch, std::uint32_t bits)
        : rows_(rows), pitch_(pitch), bits_(bits) {}

    void put(std::uint64_t row, std::uint64_t at, const std::uint8_t* source,
             std::uint64_t from) const {
        std::uint8_t* out = rows_ + row * pitch_;
        if (bits_ != 4) {
            const std::uint32_t bytes = bits_ / 8;
            std::memcpy(out + at * bytes, source + from * bytes, bytes);
            return;
        }
        const auto half = static_cast<std::uint8_t>(source[from / 2] >> (from % 2 * 4) & 15u);
        // The upper half is written after the lower one: a lower half clears it.
        out[at / 2] = at % 2 == 0 ? half : static_cast<std::uint8_t>(out[at / 2] | half << 4);
    }

  private:
    std::uint8_t* rows_;
    std::uint64_t pitch_;
    std::uint32_t bits_;
};

} // namespace

MemoryLayoutUnit::MemoryLayoutUnit(PeShared& shared)
    : PipelinedUnit(shared, shared.config.mlu.startup_clocks, 0) {}

Cycle MemoryLayoutUnit::occupancy(const Command& command) const {
    const MluConfig& mlu = shared_.config.mlu;
    const auto clocks = [&](std::uint64_t rows, std::uint64_t elements) {
        return rows * divide_up(bytes_of(elements, command.element_bits), mlu.bytes_per_clock);
    };
    switch (command.code) {
    case TALUS_MLU_TRANSPOSE:
        return divide_up(std::uint64_t{command.rows} * command.columns,
                         mlu.transpose_elements_per_clock);
    case TALUS_MLU_CONCAT: // one read of each source per row
        return clocks(command.rows, command.columns) + clocks(command.rows, command.columns2);
    case TALUS_MLU_RESHAPE: {
        const std::uint64_t elements = std::uint64_t{command.rows} * command.columns;
        return std::max(clocks(command.rows, command.columns),
                        clocks(elements / command.columns2, command.columns2));
    }
    default:
        return command.rows * divide_up(command.row_bytes, mlu.bytes_per_clock);
    }
}

std::uint64_t MemoryLayoutUnit::local_bytes(const Command& command) const {
    const std::uint64_t rows = command.rows;
    switch (command.code) {
    case TALUS_MLU_FILL:
        return rows * command.row_bytes;
    case TALUS_MLU_COPY:
        return 2 * rows * command.row_bytes;
    case TALUS_MLU_CONCAT:
        return 2 * rows *
               (bytes_of(command.columns, command.element_bits) +
                bytes_of(command.columns2, command.element_bits));
    default:
        return 2 * bytes_of(rows * command.columns, command.element_bits);
    }
}

void MemoryLayoutUnit::execute(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& from = command.operands[kFirst];
    const Operand& second = command.operands[kSecond];
    std::uint8_t* destination = local(to);
    const std::uint8_t* source = local(from);
    const RowWriter out(destination, to.pitch, command.element_bits);
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
    case TALUS_MLU_CONCAT:
        for (std::uint64_t row = 0; row < command.rows; ++row) {
            for (std::uint64_t col = 0; col < command.columns; ++col) {
                out.put(row, col, source + row * from.pitch, col);
            }
            for (std::uint64_t col = 0; col < command.columns2; ++col) {
                out.put(row, command.columns + col, local(second) + row * second.pitch, col);
            }
        }
        break;
    case TALUS_MLU_RESHAPE: {
        std::uint64_t element = 0;
        for (std::uint64_t row = 0; row < command.rows; ++row) {
            for (std::uint64_t col = 0; col < command.columns; ++col, ++element) {
                out.put(element / command.columns2, element % command.columns2,
                        source + row * from.pitch, col);
            }
        }
        break;
    }
    default:
        for (std::uint64_t row = 0; row < command.rows; ++row) {
            for (std::uint64_t col = 0; col < command.columns; ++col) {
                out.put(col, row, source + row * from.pitch, col);
            }
        }
        break;
    }
}

} // namespace talus::sim
