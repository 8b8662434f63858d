// Presets and drains of the accumulator banks, row ranges. The reduction network is in
// reduction_network.cpp.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "numeric.hpp"
#include "se_functions.hpp"
#include "units.hpp"

namespace talus::sim {

namespace {

/// Widens `range` by `count` values. A NaN makes it NaN for good.
void include(talus_row_range& range, const float* values, std::size_t count) {
    float low = std::bit_cast<float>(range.low);
    float high = std::bit_cast<float>(range.high);
    float least = low;
    float greatest = high;
    bool nan = is_nan(low) || is_nan(high);
    for (std::size_t i = 0; i < count; ++i) {
        nan |= is_nan(values[i]);
        least = values[i] < least ? values[i] : least;
        greatest = values[i] > greatest ? values[i] : greatest;
    }
    if (nan) {
        range = {kCanonicalNan, kCanonicalNan};
        return;
    }
    if (least == 0.0f || greatest == 0.0f) { // the comparisons above see no sign of a zero
        for (std::size_t i = 0; i < count; ++i) {
            low = minimum(low, values[i]);
            high = maximum(high, values[i]);
        }
        least = low;
        greatest = high;
    }
    range = {std::bit_cast<std::uint32_t>(least), std::bit_cast<std::uint32_t>(greatest)};
}

} // namespace

ReductionEngine::ReductionEngine(PeShared& shared)
    : PipelinedUnit(shared, shared.config.re.startup_clocks, shared.config.re.pipeline_clocks) {}

Cycle ReductionEngine::occupancy(const Command& command) const {
    const ReConfig& re = shared_.config.re;
    switch (command.code) {
    case TALUS_RE_LOAD:
        if (command.function == 0) {
            return 1; // all rows are cleared at once
        }
        break;
    case TALUS_RE_RANGE:
        return command.m * divide_up(command.columns, re.range_elements_per_clock);
    case TALUS_RE_RANGE_STORE:
        return command.m;
    case TALUS_RE_SEND:
    case TALUS_RE_RECEIVE: {
        // A range is two words and travels by the row.
        const std::uint64_t words = command.content == TALUS_RE_RANGES ? 2 : command.n;
        const std::uint32_t width =
            std::min(re.link_elements_per_clock, re.drain_elements_per_clock);
        return command.m * divide_up(words, width);
    }
    case TALUS_RE_STORE:
    case TALUS_RE_STORE_DEQUANTIZED: {
        const std::uint64_t simd =
            divide_up(simd_operations(command), shared_.config.se.operations_per_clock);
        return std::max(command.m * divide_up(command.n, re.drain_elements_per_clock), simd);
    }
    default:
        break;
    }
    return command.m * divide_up(command.n, re.drain_elements_per_clock);
}

std::uint64_t ReductionEngine::simd_operations(const Command& command) const {
    const bool dequantized = command.code == TALUS_RE_STORE_DEQUANTIZED;
    if (command.code != TALUS_RE_STORE && !dequantized) {
        return 0;
    }
    const std::uint64_t each = (dequantized ? shared_.config.se.dequantize_sums_operations : 0) +
                               (command.function != TALUS_SE_NONE ? 1u : 0u);
    return std::uint64_t{command.m} * command.n * each;
}

std::uint64_t ReductionEngine::local_bytes(const Command& command) const {
    const std::uint64_t elements = std::uint64_t{command.m} * command.n;
    switch (command.code) {
    case TALUS_RE_LOAD:
        return command.function == 0 ? 0 : command.function == 1 ? 4ull * command.n : 4 * elements;
    case TALUS_RE_STORE:
        return elements * element_bytes(command.destination_type);
    case TALUS_RE_STORE_DEQUANTIZED:
        return elements * element_bytes(command.destination_type) +
               command.m * sizeof(talus_row_scale) + command.n * sizeof(talus_column_scale);
    case TALUS_RE_RANGE:
        return std::uint64_t{command.m} * command.columns * element_bytes(command.source_type);
    case TALUS_RE_RANGE_STORE:
        return command.m * sizeof(talus_row_range);
    default:
        return 0;
    }
}

std::uint32_t* ReductionEngine::bank(const Command& command) const {
    return shared_.banks[static_cast<std::size_t>(command.bank)].data();
}

RowRanges& ReductionEngine::ranges(const Command& command) const {
    return shared_.ranges[static_cast<std::size_t>(command.bank)];
}

void ReductionEngine::execute(Command& command) {
    const std::uint64_t elements = command.code == TALUS_RE_RANGE ? command.columns : command.n;
    shared_.counters.reduction_elements += command.m * elements;
    switch (command.code) {
    case TALUS_RE_LOAD:
        load(command);
        break;
    case TALUS_RE_STORE:
        store(command);
        break;
    case TALUS_RE_STORE_DEQUANTIZED:
        store_dequantized(command);
        break;
    case TALUS_RE_RANGE:
        range(command);
        break;
    case TALUS_RE_RANGE_STORE:
        std::memcpy(local(command.operands[kDestination]), ranges(command).data(),
                    command.m * sizeof(talus_row_range));
        break;
    case TALUS_RE_SEND:
        send(command);
        break;
    default:
        receive(command);
        break;
    }
}

void ReductionEngine::load(const Command& command) {
    const Operand& from = command.operands[kFirst];
    for (std::uint32_t row = 0; row < command.m; ++row) {
        std::uint32_t* out = bank(command) + row * TALUS_RE_BANK_COLS;
        if (command.function == 0) {
            std::memset(out, 0, 4ull * command.n);
        } else {
            const std::uint64_t at = command.function == 1 ? 0 : std::uint64_t{row} * from.pitch;
            std::memcpy(out, local(from) + at, 4ull * command.n);
        }
    }
}

void ReductionEngine::store(const Command& command) {
    const Operand& to = command.operands[kDestination];
    const std::uint32_t bytes = element_bytes(command.destination_type);
    for (std::uint32_t row = 0; row < command.m; ++row) {
        const std::uint32_t* in = bank(command) + row * TALUS_RE_BANK_COLS;
        std::uint8_t* out = local(to) + std::uint64_t{row} * to.pitch;
        if (command.destination_type == TALUS_CP_INT32) {
            std::memcpy(out, in, 4ull * command.n);
            continue;
        }
        for (std::uint32_t col = 0; col < command.n; ++col) {
            const float value = se_function(command.function, std::bit_cast<float>(in[col]));
            store_element(out + std::uint64_t{col} * bytes, command.destination_type, value);
        }
        include_stored(command, row, out);
    }
}

void ReductionEngine::store_dequantized(const Command& command) {
    const Operand& to = command.operands[kDestination];
    const std::uint32_t bytes = element_bytes(command.destination_type);
    std::array<talus_row_scale, TALUS_RE_BANK_ROWS> rows;
    std::array<talus_column_scale, TALUS_RE_BANK_COLS> columns;
    std::memcpy(rows.data(), local(command.operands[kFirst]), command.m * sizeof rows[0]);
    std::memcpy(columns.data(), local(command.operands[kSecond]), command.n * sizeof columns[0]);
    for (std::uint32_t row = 0; row < command.m; ++row) {
        const std::uint32_t* in = bank(command) + row * TALUS_RE_BANK_COLS;
        std::uint8_t* out = local(to) + std::uint64_t{row} * to.pitch;
        const auto zero_point = static_cast<std::uint32_t>(rows[row].zero_point);
        const auto row_scale = std::bit_cast<float>(rows[row].scale);
        for (std::uint32_t col = 0; col < command.n; ++col) {
            const talus_column_scale& column = columns[col];
            const auto sum = static_cast<std::int32_t>(
                in[col] - zero_point * static_cast<std::uint32_t>(column.sum));
            const float scale = row_scale * std::bit_cast<float>(column.scale);
            // Exact by definition: IEEE 754's, in hardware or in software.
            const float value =
                std::fma(static_cast<float>(sum), scale, std::bit_cast<float>(column.bias));
            store_element(out + std::uint64_t{col} * bytes, command.destination_type,
                          se_function(command.function, value));
        }
        include_stored(command, row, out);
    }
}

void ReductionEngine::include_stored(const Command& command, std::uint32_t row,
                                     const std::uint8_t* stored) {
    if (command.range == TALUS_RE_RANGE_OFF) {
        return;
    }
    talus_row_range& range = ranges(command)[row];
    if (command.range == TALUS_RE_RANGE_START) {
        range = kEmptyRange;
    }
    include(range, load_row(stored, command.destination_type, command.n, row_), command.n);
}

void ReductionEngine::range(const Command& command) {
    const Operand& from = command.operands[kFirst];
    for (std::uint32_t row = 0; row < command.m; ++row) {
        talus_row_range& range = ranges(command)[row];
        if (command.range == TALUS_RE_RANGE_START) {
            range = kEmptyRange;
        }
        const std::uint8_t* source = local(from) + std::uint64_t{row} * from.pitch;
        include(range, load_row(source, command.source_type, command.columns, row_),
                command.columns);
    }
}

void ReductionEngine::reset() {
    PipelinedUnit::reset();
    sending_ = {};
}

} // namespace talus::sim
