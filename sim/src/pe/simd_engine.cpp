#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "numeric.hpp"
#include "se_functions.hpp"
#include "units.hpp"
#include "vector_kernels.hpp"

namespace talus::sim {

SimdEngine::SimdEngine(PeShared& shared)
    : PipelinedUnit(shared, shared.config.se.startup_clocks, shared.config.se.pipeline_clocks) {}

namespace {

std::uint64_t operations_per_element(const SeConfig& se, std::uint32_t code) {
    switch (code) {
    case TALUS_SE_QUANTIZE:
        return se.quantize_operations;
    case TALUS_SE_DEQUANTIZE:
        return se.dequantize_operations;
    default:
        return 1;
    }
}

} // namespace

Cycle SimdEngine::occupancy(const Command& command) const {
    const SeConfig& se = shared_.config.se;
    const std::uint64_t row = command.columns * operations_per_element(se, command.code);
    return std::max<Cycle>(command.rows * divide_up(row, se.operations_per_clock), 1);
}

std::uint64_t SimdEngine::simd_operations(const Command& command) const {
    return std::uint64_t{command.rows} * command.columns *
           operations_per_element(shared_.config.se, command.code);
}

std::uint64_t SimdEngine::local_bytes(const Command& command) const {
    const std::uint64_t elements = std::uint64_t{command.rows} * command.columns;
    const std::uint64_t source = elements * element_bytes(command.source_type);
    switch (command.code) {
    case TALUS_SE_ROW_ACCUMULATE:
        return source + 4ull * command.columns * (command.accumulate ? 2 : 1);
    case TALUS_SE_BINARY:
        return 2 * source + elements * element_bytes(command.destination_type);
    case TALUS_SE_QUANTIZE:
    case TALUS_SE_DEQUANTIZE:
        return source + elements * element_bytes(command.destination_type) +
               command.rows * sizeof(talus_row_scale);
    default:
        return source + elements * element_bytes(command.destination_type);
    }
}

const float* load_row(const std::uint8_t* source, unsigned type, std::size_t count,
                      std::vector<float>& buffer) {
    buffer.resize(std::max(buffer.size(), count));
    switch (type) {
    case TALUS_CP_FP32:
        std::memcpy(buffer.data(), source, 4 * count);
        break;
    case TALUS_CP_FP16:
        fp16_to_fp32_row(source, count, buffer.data());
        break;
    case TALUS_CP_BF16:
        bf16_to_fp32_row(source, count, buffer.data());
        break;
    default: {
        const std::size_t bytes = element_bytes(type);
        for (std::size_t i = 0; i < count; ++i) {
            buffer[i] = load_element(source + i * bytes, type);
        }
        break;
    }
    }
    return buffer.data();
}

void SimdEngine::execute(Command& command) {
    switch (command.code) {
    case TALUS_SE_UNARY:
        unary(command);
        break;
    case TALUS_SE_BINARY:
        binary(command);
        break;
    case TALUS_SE_SCALE:
        scale(command);
        break;
    case TALUS_SE_QUANTIZE:
        quantize(command);
        break;
    case TALUS_SE_DEQUANTIZE:
        dequantize(command);
        break;
    default:
        row_accumulate(command);
        break;
    }
}

void SimdEngine::unary(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& from = command.operands[kFirst];
    const std::size_t bytes = element_bytes(command.destination_type);
    const bool copy = command.source_type == TALUS_CP_INT32 &&
                      command.destination_type == TALUS_CP_INT32 &&
                      command.function == TALUS_SE_NONE;
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const std::uint8_t* source = local(from) + row * from.pitch;
        std::uint8_t* out = local(to) + row * to.pitch;
        if (copy) {
            std::memmove(out, source, 4ull * command.columns);
            continue;
        }
        const float* x = load_row(source, command.source_type, command.columns, first_);
        for (std::size_t i = 0; i < command.columns; ++i) {
            store_element(out + i * bytes, command.destination_type,
                          se_function(command.function, x[i]));
        }
    }
}

void SimdEngine::binary(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& first = command.operands[kFirst];
    const Operand& second = command.operands[kSecond];
    const std::size_t bytes = element_bytes(command.destination_type);
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const float* x = load_row(local(first) + row * first.pitch, command.source_type,
                                  command.columns, first_);
        const float* y = load_row(local(second) + row * second.pitch, command.source_type,
                                  command.columns, second_);
        std::uint8_t* out = local(to) + row * to.pitch;
        for (std::size_t i = 0; i < command.columns; ++i) {
            float value = 0;
            switch (command.function) {
            case TALUS_SE_ADD:
                value = x[i] + y[i];
                break;
            case TALUS_SE_SUB:
                value = x[i] - y[i];
                break;
            case TALUS_SE_MUL:
                value = x[i] * y[i];
                break;
            case TALUS_SE_MAX:
                value = maximum(x[i], y[i]);
                break;
            default:
                value = minimum(x[i], y[i]);
                break;
            }
            store_element(out + i * bytes, command.destination_type, value);
        }
    }
}

void SimdEngine::scale(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& from = command.operands[kFirst];
    const std::size_t bytes = element_bytes(command.destination_type);
    const auto factor = std::bit_cast<float>(static_cast<std::uint32_t>(command.words[3]));
    const auto offset = std::bit_cast<float>(static_cast<std::uint32_t>(command.words[3] >> 32));
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const float* x =
            load_row(local(from) + row * from.pitch, command.source_type, command.columns, first_);
        std::uint8_t* out = local(to) + row * to.pitch;
        for (std::size_t i = 0; i < command.columns; ++i) {
            // std::fma is exact by definition: IEEE 754's, in hardware or in software.
            store_element(out + i * bytes, command.destination_type,
                          std::fma(x[i], factor, offset));
        }
    }
}

void SimdEngine::quantize(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& from = command.operands[kFirst];
    const bool is_signed = command.destination_type == TALUS_CP_INT8;
    const std::int64_t low = is_signed ? INT8_MIN : 0;
    const std::int64_t high = is_signed ? INT8_MAX : UINT8_MAX;
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const float* x =
            load_row(local(from) + row * from.pitch, command.source_type, command.columns, first_);
        talus_row_scale scale;
        std::memcpy(&scale, local(command.operands[kSecond]) + row * sizeof scale, sizeof scale);
        const auto factor = std::bit_cast<float>(scale.scale);
        std::uint8_t* out = local(to) + row * to.pitch;
        for (std::size_t i = 0; i < command.columns; ++i) {
            const std::int64_t q =
                std::int64_t{fp32_to_int(x[i] * factor, INT32_MIN, INT32_MAX)} + scale.zero_point;
            out[i] = static_cast<std::uint8_t>(std::clamp(q, low, high));
        }
    }
}

void SimdEngine::dequantize(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& from = command.operands[kFirst];
    const std::size_t from_bytes = element_bytes(command.source_type);
    const std::size_t to_bytes = element_bytes(command.destination_type);
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const std::uint8_t* source = local(from) + row * from.pitch;
        talus_row_scale scale;
        std::memcpy(&scale, local(command.operands[kSecond]) + row * sizeof scale, sizeof scale);
        const auto factor = std::bit_cast<float>(scale.scale);
        std::uint8_t* out = local(to) + row * to.pitch;
        for (std::size_t i = 0; i < command.columns; ++i) {
            const std::uint32_t q = load_integer(source + i * from_bytes, command.source_type);
            const auto x =
                static_cast<std::int32_t>(q - static_cast<std::uint32_t>(scale.zero_point));
            store_element(out + i * to_bytes, command.destination_type,
                          static_cast<float>(x) * factor);
        }
    }
}

void SimdEngine::row_accumulate(Command& command) {
    const Operand& to = command.operands[kDestination];
    const Operand& from = command.operands[kFirst];
    const std::size_t count = command.columns;
    const bool sum = command.function == TALUS_SE_POOL_SUM;
    result_.resize(std::max(result_.size(), count));
    if (command.accumulate) {
        std::memcpy(result_.data(), local(to), 4 * count);
    } else {
        const float start = sum ? 0.0f : -std::numeric_limits<float>::infinity();
        std::fill_n(result_.begin(), count, start);
    }
    for (std::uint64_t row = 0; row < command.rows; ++row) {
        const float* x =
            load_row(local(from) + row * from.pitch, command.source_type, count, first_);
        if (sum) {
            add_row(x, count, result_.data());
        } else {
            for (std::size_t i = 0; i < count; ++i) {
                result_[i] = maximum(result_[i], x[i]);
            }
        }
    }
    std::uint8_t* out = local(to);
    for (std::size_t i = 0; i < count; ++i) {
        store_element(out + 4 * i, TALUS_CP_FP32, result_[i]);
    }
}

} // namespace talus::sim
