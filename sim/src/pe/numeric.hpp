// The element types' arithmetic, bit-exact on every host: conversions in integer code, round to
// nearest even, subnormals kept, NaN canonical.
#ifndef TALUS_SIM_PE_NUMERIC_HPP
#define TALUS_SIM_PE_NUMERIC_HPP

#include <bit>
#include <cstdint>
#include <cstring>

#include "talus/hw/instructions.h"

namespace talus::sim {

inline constexpr std::uint32_t kCanonicalNan = 0x7fc00000u;
inline constexpr std::uint16_t kCanonicalNanFp16 = 0x7e00u;
inline constexpr std::uint16_t kCanonicalNanBf16 = 0x7fc0u;

inline constexpr bool is_nan(float x) {
    return x != x;
}
inline constexpr float canonical(float x) {
    return is_nan(x) ? std::bit_cast<float>(kCanonicalNan) : x;
}

constexpr float fp16_to_fp32(std::uint16_t h) {
    const std::uint32_t sign = std::uint32_t{h & 0x8000u} << 16;
    const std::uint32_t exponent = (h >> 10) & 0x1fu;
    std::uint32_t mantissa = h & 0x3ffu;
    if (exponent == 0x1f) {
        return std::bit_cast<float>(mantissa != 0 ? kCanonicalNan : sign | 0x7f800000u);
    }
    if (exponent != 0) {
        return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
    }
    if (mantissa == 0) {
        return std::bit_cast<float>(sign);
    }
    // Subnormal: normalise. Its value is mantissa * 2^-24.
    const int shift = std::countl_zero(mantissa) - 21;
    mantissa = (mantissa << shift) & 0x3ffu;
    return std::bit_cast<float>(sign | static_cast<std::uint32_t>(113 - shift) << 23 |
                                mantissa << 13);
}

constexpr std::uint16_t fp32_to_fp16(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) {
        return kCanonicalNanFp16;
    }
    if (magnitude >= 0x477ff000u) { // rounds to 65536 or more
        return static_cast<std::uint16_t>(sign | 0x7c00u);
    }
    if (magnitude >= 0x38800000u) { // normal in FP16
        const std::uint32_t odd = magnitude >> 13 & 1u;
        const std::uint32_t rounded = magnitude + 0xfffu + odd;
        return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
    }
    if (magnitude < 0x33000000u) { // below half of the least subnormal
        return sign;
    }
    // Subnormal: the significand, shifted so that its unit is 2^-24.
    const std::uint32_t exponent = magnitude >> 23;
    const std::uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t shift = 126 - exponent; // 14..24
    const std::uint32_t kept = significand >> shift;
    const std::uint32_t rest = significand & ((1u << shift) - 1);
    const std::uint32_t half = 1u << (shift - 1);
    const std::uint32_t up = rest > half || (rest == half && (kept & 1u) != 0) ? 1u : 0u;
    return static_cast<std::uint16_t>(sign | (kept + up));
}

constexpr float bf16_to_fp32(std::uint16_t b) {
    return canonical(std::bit_cast<float>(std::uint32_t{b} << 16));
}

constexpr std::uint16_t fp32_to_bf16(float x) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return kCanonicalNanBf16;
    }
    return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/// Nearest integer, ties to even, saturating to [low, high]; NaN becomes 0.
constexpr std::int32_t fp32_to_int(float x, std::int32_t low, std::int32_t high) {
    if (is_nan(x)) {
        return 0;
    }
    if (x >= static_cast<float>(high)) { // 2147483647 as FP32 is 2^31: all of it saturates
        return high;
    }
    if (x <= static_cast<float>(low)) {
        return low;
    }
    const auto whole = static_cast<std::int32_t>(x);  // towards zero; exact below 2^31
    const float rest = x - static_cast<float>(whole); // exact
    if (rest > 0.5f || (rest == 0.5f && (whole & 1) != 0)) {
        return whole + 1;
    }
    if (rest < -0.5f || (rest == -0.5f && (whole & 1) != 0)) {
        return whole - 1;
    }
    return whole;
}

/// Bytes of an element; 0 for a number that is no type.
constexpr std::uint32_t element_bytes(unsigned type) {
    switch (type) {
    case TALUS_CP_FP32:
    case TALUS_CP_INT32:
        return 4;
    case TALUS_CP_FP16:
    case TALUS_CP_BF16:
        return 2;
    case TALUS_CP_INT8:
    case TALUS_CP_UINT8:
        return 1;
    case TALUS_CP_INT64:
        return 8;
    default:
        return 0;
    }
}

/// FP32 value of the element at `source` (not INT64). INT32 rounds to nearest even.
inline float load_element(const std::uint8_t* source, unsigned type) {
    switch (type) {
    case TALUS_CP_FP32: {
        float value;
        std::memcpy(&value, source, 4);
        return value;
    }
    case TALUS_CP_FP16: {
        std::uint16_t value;
        std::memcpy(&value, source, 2);
        return fp16_to_fp32(value);
    }
    case TALUS_CP_BF16: {
        std::uint16_t value;
        std::memcpy(&value, source, 2);
        return bf16_to_fp32(value);
    }
    case TALUS_CP_INT32: {
        std::int32_t value;
        std::memcpy(&value, source, 4);
        return static_cast<float>(value);
    }
    case TALUS_CP_INT8:
        return static_cast<float>(static_cast<std::int8_t>(*source));
    default:
        return static_cast<float>(*source);
    }
}

/// The INT8, UINT8 or INT32 element at `source`, extended to 32 bits.
inline std::uint32_t load_integer(const std::uint8_t* source, unsigned type) {
    switch (type) {
    case TALUS_CP_INT8:
        return static_cast<std::uint32_t>(std::int32_t{static_cast<std::int8_t>(*source)});
    case TALUS_CP_UINT8:
        return *source;
    default: {
        std::uint32_t value;
        std::memcpy(&value, source, 4);
        return value;
    }
    }
}

inline void store_element(std::uint8_t* destination, unsigned type, float value) {
    switch (type) {
    case TALUS_CP_FP32: {
        const float out = canonical(value);
        std::memcpy(destination, &out, 4);
        break;
    }
    case TALUS_CP_FP16: {
        const std::uint16_t out = fp32_to_fp16(value);
        std::memcpy(destination, &out, 2);
        break;
    }
    case TALUS_CP_BF16: {
        const std::uint16_t out = fp32_to_bf16(value);
        std::memcpy(destination, &out, 2);
        break;
    }
    case TALUS_CP_INT32: {
        const std::int32_t out = fp32_to_int(value, INT32_MIN, INT32_MAX);
        std::memcpy(destination, &out, 4);
        break;
    }
    case TALUS_CP_INT8:
        *destination = static_cast<std::uint8_t>(fp32_to_int(value, -128, 127));
        break;
    default:
        *destination = static_cast<std::uint8_t>(fp32_to_int(value, 0, 255));
        break;
    }
}

/// Larger of two; NaN if either is; +0 is larger than -0.
inline float maximum(float a, float b) {
    if (is_nan(a) || is_nan(b)) {
        return std::bit_cast<float>(kCanonicalNan);
    }
    if (a == b) {
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(a) &
                                    std::bit_cast<std::uint32_t>(b));
    }
    return a > b ? a : b;
}

inline float minimum(float a, float b) {
    if (is_nan(a) || is_nan(b)) {
        return std::bit_cast<float>(kCanonicalNan);
    }
    if (a == b) {
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(a) |
                                    std::bit_cast<std::uint32_t>(b));
    }
    return a < b ? a : b;
}

} // namespace talus::sim

#endif
