// Index arithmetic of the CUDA fully connected layer, for host and CUDA code: the tiles of its own
// SGEMM, and the pass that adds the bias, applies the activation and rounds.
#pragma once

#include <cmath>

#include "kernels/common/scalar.hpp"
#include "kernels/fc/op.hpp"

namespace talus::kernels::fc {

// A block of kSide * kSide outputs is computed by kSide/kStep squared threads, kStep * kStep each;
// both operands pass through shared memory in slices of kDepth.
constexpr int kSide = 64;
constexpr int kStep = 4;
constexpr int kDepth = 16;
constexpr int kTileThreads = (kSide / kStep) * (kSide / kStep);

// The element of a row-major [rows, k] operand that goes to position `slot` of the tile's slice, or
// 0 outside the matrix. Slots are numbered depth by depth: slot = d * kSide + row.
TALUS_HOST_DEVICE inline float slice_element(const float* operand, int64_t rows, int64_t k,
                                             int64_t pitch, int64_t first_row, int64_t first_k,
                                             int slot) {
    const int64_t row = first_row + slot % kSide;
    const int64_t at = first_k + slot / kSide;
    return row < rows && at < k ? operand[row * pitch + at] : 0.0F;
}

struct Position {
    int64_t row, column;
};

// The output of `thread`'s (i, j)-th accumulator within the matrix; may lie outside of it.
TALUS_HOST_DEVICE inline Position accumulator_position(int64_t first_row, int64_t first_column,
                                                       int thread, int i, int j) {
    constexpr int kPerRow = kSide / kStep;
    return {first_row + thread / kPerRow * kStep + i, first_column + thread % kPerRow * kStep + j};
}

struct Epilogue {
    const float* sums; // [B, N] at `pitch`
    int64_t pitch;
    const float* bias;
    TensorView y;
    Activation activation;
};

TALUS_HOST_DEVICE inline float activate_float(Activation activation, float value) {
    if (activation == Activation::kRelu)
        return value < 0.0F ? 0.0F : value;
    if (activation == Activation::kSigmoid) {
        const float e = expf(-fabsf(value));
        const float positive = 1.0F / (1.0F + e);
        return value < 0.0F ? e * positive : positive;
    }
    return value;
}

// Everything a thread does for the `linear`-th element of Y. Sums may be Y's own memory.
TALUS_HOST_DEVICE inline void finish_element(const Epilogue& e, int64_t linear) {
    const int64_t row = linear / e.y.shape[1];
    const int64_t column = linear % e.y.shape[1];
    const float sum = e.sums[row * e.pitch + column] + e.bias[column];
    store_float(e.y.data, e.y.dtype, row * e.y.strides[0] + column * e.y.strides[1],
                activate_float(e.activation, sum));
}

} // namespace talus::kernels::fc
