#include "kernels/common/runs.hpp"

#include <cmath>

namespace talus::kernels {
namespace {

constexpr float kLog2E = 1.44269504F;
constexpr float kLn2High = 0.693359375F; // 9 significant bits: n * kLn2High is exact for |n| < 2^15
constexpr float kLn2Low = -2.12194440e-4F;

// exp(x) after Cody and Waite: x = n ln 2 + r with |r| <= ln 2 / 2, then a polynomial of degree 6
// (minimax coefficients of Cephes' expf) and 2^n in two steps, so that results may be subnormal.
inline float exp_lane(float x) {
    const float bounded = x < -104.0F ? -104.0F : x > 89.0F ? 89.0F : x;
    const float n = std::floor(bounded * kLog2E + 0.5F);
    const float r = bounded - n * kLn2High - n * kLn2Low;
    float p = 1.9875691500e-4F;
    p = p * r + 1.3981999507e-3F;
    p = p * r + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r + 1.0F;
    // NaN compares false above and would make the conversion undefined.
    const auto exponent = static_cast<int32_t>(x == x ? n : 0.0F);
    const int32_t first = exponent >> 1;
    const int32_t second = exponent - first;
    const float scaled = p * float_from_bits(static_cast<uint32_t>(first + 127) << 23) *
                         float_from_bits(static_cast<uint32_t>(second + 127) << 23);
    return x == x ? scaled : x;
}

// e^-|x| keeps the argument of exp on the side that cannot overflow.
inline float sigmoid_lane(float x) {
    const float e = exp_lane(-std::fabs(x));
    const float positive = 1.0F / (1.0F + e);
    return x < 0.0F ? e * positive : positive;
}

// Below 0.625 the quotient form cancels, so an odd polynomial (Cephes' tanhf) takes over.
inline float tanh_lane(float x) {
    const float e = exp_lane(-2.0F * std::fabs(x));
    const float magnitude = (1.0F - e) / (1.0F + e);
    const float z = x * x;
    float p = -5.70498872745e-3F;
    p = p * z + 2.06390887954e-2F;
    p = p * z - 5.37397155531e-2F;
    p = p * z + 1.33314422036e-1F;
    p = p * z - 3.33332819422e-1F;
    const float small = p * z * x + x;
    const float large = x < 0.0F ? -magnitude : magnitude;
    return std::fabs(x) < 0.625F ? small : large;
}

} // namespace

TALUS_MULTIVERSION void half_run_to_float(const uint16_t* from, float* to, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        to[i] = half_to_float_lane(from[i]);
}

void float_run_to_half(const float* from, uint16_t* to, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        to[i] = float_to_half(from[i]);
}

TALUS_MULTIVERSION void exp_run(float* values, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        values[i] = exp_lane(values[i]);
}

TALUS_MULTIVERSION void sigmoid_run(float* values, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        values[i] = sigmoid_lane(values[i]);
}

TALUS_MULTIVERSION void tanh_run(float* values, int64_t count) {
    for (int64_t i = 0; i < count; ++i)
        values[i] = tanh_lane(values[i]);
}

void load_run(const TensorView& view, int64_t offset, int64_t stride, int64_t count, float* to) {
    switch (view.dtype) {
    case DType::kFloat32: {
        const float* from = view.as<const float>() + offset;
        if (stride == 1)
            std::copy_n(from, count, to);
        else
            for (int64_t i = 0; i < count; ++i)
                to[i] = from[i * stride];
        return;
    }
    case DType::kFloat16: {
        const uint16_t* from = view.as<const uint16_t>() + offset;
        if (stride == 1)
            half_run_to_float(from, to, count);
        else
            for (int64_t i = 0; i < count; ++i)
                to[i] = half_to_float(from[i * stride]);
        return;
    }
    case DType::kBfloat16: {
        const uint16_t* from = view.as<const uint16_t>() + offset;
        for (int64_t i = 0; i < count; ++i)
            to[i] = bfloat16_to_float(from[i * stride]);
        return;
    }
    default: { // kFloat64: supports() admits nothing else
        const double* from = view.as<const double>() + offset;
        for (int64_t i = 0; i < count; ++i)
            to[i] = static_cast<float>(from[i * stride]);
    }
    }
}

void store_run(const TensorView& view, int64_t offset, int64_t stride, int64_t count,
               const float* from) {
    switch (view.dtype) {
    case DType::kFloat32: {
        float* to = view.as<float>() + offset;
        if (stride == 1)
            std::copy_n(from, count, to);
        else
            for (int64_t i = 0; i < count; ++i)
                to[i * stride] = from[i];
        return;
    }
    case DType::kFloat16: {
        uint16_t* to = view.as<uint16_t>() + offset;
        for (int64_t i = 0; i < count; ++i)
            to[i * stride] = float_to_half(from[i]);
        return;
    }
    case DType::kBfloat16: {
        uint16_t* to = view.as<uint16_t>() + offset;
        for (int64_t i = 0; i < count; ++i)
            to[i * stride] = float_to_bfloat16(from[i]);
        return;
    }
    default: {
        double* to = view.as<double>() + offset;
        for (int64_t i = 0; i < count; ++i)
            to[i * stride] = from[i];
    }
    }
}

void copy_view(const TensorView& destination, const TensorView& source) {
    const auto bytes = static_cast<int64_t>(size_of(source.dtype));
    int64_t strides[2][kMaxRank];
    std::copy_n(destination.strides, kMaxRank, strides[0]);
    std::copy_n(source.strides, kMaxRank, strides[1]);
    const int32_t last = source.rank - 1;
    const bool dense = last < 0 || (strides[0][last] == 1 && strides[1][last] == 1);
    for_each_run<2>(source.shape, source.rank, strides, [&](const int64_t* at, int64_t count) {
        uint8_t* to = destination.as<uint8_t>() + at[0] * bytes;
        const uint8_t* from = source.as<const uint8_t>() + at[1] * bytes;
        if (dense) {
            std::memcpy(to, from, static_cast<size_t>(count * bytes));
            return;
        }
        for (int64_t i = 0; i < count; ++i)
            std::memcpy(to + i * strides[0][last] * bytes, from + i * strides[1][last] * bytes,
                        static_cast<size_t>(bytes));
    });
}

} // namespace talus::kernels
