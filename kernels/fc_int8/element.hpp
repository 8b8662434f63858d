// What one thread of the CUDA kernels computes, for host and CUDA code: scales of a row, quantised
// elements, tiles of the integer product, the epilogue.
#pragma once

#include <cmath>

#include "kernels/common/scalar.hpp"
#include "kernels/fc/element.hpp"
#include "kernels/fc_int8/op.hpp"

namespace talus::kernels::fc_int8 {

// Four neighbouring elements of k travel as one 32-bit word.
constexpr int kPack = 4;

// Elements of a packed row.
TALUS_HOST_DEVICE constexpr int64_t packed_k(int64_t k) {
    return (k + kPack - 1) / kPack * kPack;
}

struct RowScale {
    float scale;  // NaN for a row that is not finite
    float factor; // 1 / scale
    int32_t zero; // of q - 128
};

struct Range {
    float low = 0.0F;
    float high = 0.0F;
    bool finite = true;
};

TALUS_HOST_DEVICE inline void include(Range& range, float value) {
    range.finite = range.finite && fabsf(value) < INFINITY;
    range.low = fminf(range.low, value);
    range.high = fmaxf(range.high, value);
}

TALUS_HOST_DEVICE inline RowScale scale_of(const Range& range) {
    RowScale row;
    row.scale =
        range.high == range.low ? 1.0F : fmaxf((range.high - range.low) / 255.0F, 0x1p-126F);
    row.factor = 1.0F / row.scale;
    row.zero =
        static_cast<int32_t>(fminf(fmaxf(rintf(-range.low * row.factor), 0.0F), 255.0F)) - 128;
    if (!range.finite)
        row = {NAN, 0.0F, 0};
    return row;
}

TALUS_HOST_DEVICE inline int8_t quantize(float value, const RowScale& row) {
    // Within the row's range the product is at most 256 in magnitude.
    const float q = rintf(value * row.factor) + static_cast<float>(row.zero);
    return static_cast<int8_t>(fminf(fmaxf(q, -128.0F), 127.0F));
}

// Element `i` of row `b` of the packed X; zero beyond k.
TALUS_HOST_DEVICE inline int8_t quantized_element(const TensorView& x, const RowScale& row,
                                                  int64_t b, int64_t i) {
    return i < x.shape[1]
               ? quantize(load_float(x.data, x.dtype, b * x.strides[0] + i * x.strides[1]), row)
               : int8_t{0};
}

// The word of a packed [rows, k] operand that goes to position `slot` of the tile's slice of
// fc::kDepth words, or 0 outside the matrix. Slots are numbered as fc::slice_element's.
TALUS_HOST_DEVICE inline int32_t slice_word(const int32_t* operand, int64_t rows, int64_t words,
                                            int64_t first_row, int64_t first_word, int slot) {
    const int64_t row = first_row + slot % fc::kSide;
    const int64_t at = first_word + slot / fc::kSide;
    return row < rows && at < words ? operand[row * words + at] : 0;
}

TALUS_HOST_DEVICE inline int32_t dot_words(int32_t a, int32_t b, int32_t sum) {
    for (int i = 0; i < kPack; ++i)
        sum += static_cast<int8_t>(a >> (8 * i)) * static_cast<int8_t>(b >> (8 * i));
    return sum;
}

struct Epilogue {
    const RowScale* rows;
    const float* scales; // W's
    const float* bias;
    const int32_t* column_sums; // of W
    TensorView y;
    Activation activation;
};

TALUS_HOST_DEVICE inline void finish_element(const Epilogue& e, int64_t row, int64_t column,
                                             int32_t sum) {
    const RowScale& scale = e.rows[row];
    const int32_t exact = sum - scale.zero * e.column_sums[column];
    const float value =
        static_cast<float>(exact) * (scale.scale * e.scales[column]) + e.bias[column];
    store_float(e.y.data, e.y.dtype, row * e.y.strides[0] + column * e.y.strides[1],
                fc::activate_float(e.activation, value));
}

// Offsets in the packed constants: W as int8 [N, packed_k(K)], then per output its sum, scale,
// bias.
struct Packed {
    const int32_t* weights;
    const int32_t* column_sums;
    const float* scales;
    const float* bias;
};
inline Packed packed_parts(const void* packed, int64_t n, int64_t k) {
    const auto* bytes = static_cast<const uint8_t*>(packed);
    const auto* tail = bytes + n * packed_k(k);
    return {reinterpret_cast<const int32_t*>(bytes), reinterpret_cast<const int32_t*>(tail),
            reinterpret_cast<const float*>(tail) + n, reinterpret_cast<const float*>(tail) + 2 * n};
}
inline size_t packed_size(int64_t n, int64_t k) {
    return static_cast<size_t>(n * packed_k(k) + 3 * n * 4);
}
inline void pack_weights(const Node& node, void* packed) {
    const TensorView& w = node.input(1);
    const int64_t n = w.shape[0];
    const int64_t k = w.shape[1];
    auto* bytes = static_cast<int8_t*>(packed);
    auto* sums = reinterpret_cast<int32_t*>(bytes + n * packed_k(k));
    auto* scales = reinterpret_cast<float*>(sums) + n;
    for (int64_t row = 0; row < n; ++row) {
        sums[row] = 0;
        for (int64_t i = 0; i < packed_k(k); ++i) {
            const int8_t value =
                i < k ? w.as<const int8_t>()[row * w.strides[0] + i * w.strides[1]] : int8_t{0};
            bytes[row * packed_k(k) + i] = value;
            sums[row] += value;
        }
        scales[row] = static_cast<float>(load_f64(node.input(2), row * node.input(2).strides[0]));
        scales[n + row] =
            node.has_input(3)
                ? static_cast<float>(load_f64(node.input(3), row * node.input(3).strides[0]))
                : 0.0F;
    }
}

} // namespace talus::kernels::fc_int8
