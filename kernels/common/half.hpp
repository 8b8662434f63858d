// IEEE 754 binary16 and bfloat16 in software, bit-exact: round to nearest even, subnormals kept,
// NaN canonical. The same on every host and inside CUDA kernels.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/common/types.hpp"

namespace talus::kernels {

TALUS_HOST_DEVICE inline uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

TALUS_HOST_DEVICE inline float float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

TALUS_HOST_DEVICE inline float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fU;
    const uint32_t fraction = half & 0x3ffU;
    if (exponent == 0x1fU)
        return float_from_bits(fraction != 0 ? 0x7fc00000U : sign | 0x7f800000U);
    if (exponent == 0) {
        // fraction * 2^-24 is exact in binary32.
        const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
        return float_from_bits(sign | float_bits(magnitude));
    }
    return float_from_bits(sign | (exponent + 112U) << 23 | fraction << 13);
}

TALUS_HOST_DEVICE inline uint16_t float_to_half(float value) {
    const uint32_t bits = float_bits(value);
    const uint32_t sign = (bits >> 16) & 0x8000U;
    const uint32_t magnitude = bits & 0x7fffffffU;
    if (magnitude > 0x7f800000U)
        return 0x7e00U;
    if (magnitude >= 0x477ff000U) // 65520 and above round to infinity
        return static_cast<uint16_t>(sign | 0x7c00U);
    if (magnitude < 0x33000001U) // 2^-25 and below round to zero (the tie goes to even)
        return static_cast<uint16_t>(sign);
    const uint32_t exponent = magnitude >> 23;
    if (exponent < 113U) { // subnormal in binary16
        const uint32_t significand = (magnitude & 0x7fffffU) | 0x800000U;
        const uint32_t shift = 126U - exponent; // 14..24
        const uint32_t quotient = significand >> shift;
        const uint32_t remainder = significand & ((1U << shift) - 1U);
        const uint32_t half_unit = 1U << (shift - 1U);
        const uint32_t up = remainder > half_unit || (remainder == half_unit && (quotient & 1U));
        return static_cast<uint16_t>(sign | (quotient + up));
    }
    const uint32_t rounded = magnitude + 0xfffU + ((magnitude >> 13) & 1U);
    return static_cast<uint16_t>(sign | ((rounded >> 13) - (112U << 10)));
}

TALUS_HOST_DEVICE inline float bfloat16_to_float(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    return float_from_bits((bits & 0x7fffffffU) > 0x7f800000U ? 0x7fc00000U : bits);
}

TALUS_HOST_DEVICE inline uint16_t float_to_bfloat16(float value) {
    const uint32_t bits = float_bits(value);
    if ((bits & 0x7fffffffU) > 0x7f800000U)
        return 0x7fc0U;
    return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

} // namespace talus::kernels
