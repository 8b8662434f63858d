// The arithmetic of one output element of the pairwise interaction, for host and CUDA code.
#pragma once

#include <cmath>

#include "kernels/common/scalar.hpp"
#include "kernels/common/types.hpp"

namespace talus::kernels::interaction {

struct Pair {
    int64_t i, j;
};

// The p-th pair of the lower triangle in row-major order. The square root only estimates the row;
// the loops make it exact.
TALUS_HOST_DEVICE inline Pair pair_at(int64_t p, bool diagonal) {
    // Row i starts at i(i+1)/2 with the diagonal, at i(i-1)/2 without.
    const int64_t shift = diagonal ? 0 : 1;
    auto row = static_cast<int64_t>(sqrtf(2.0F * static_cast<float>(p) + 0.25F));
    while (row * (row + 1) / 2 > p)
        --row;
    while ((row + 1) * (row + 2) / 2 <= p)
        ++row;
    return {row + shift, p - row * (row + 1) / 2};
}

struct Parameters {
    TensorView t, dense, y; // dense: kUndefined if absent
    int32_t diagonal;
};

// Element `column` of sample `b`; d ascends.
TALUS_HOST_DEVICE inline float element_at(const Parameters& p, int64_t b, int64_t column) {
    if (p.dense.present()) {
        if (column < p.dense.shape[1])
            return load_float(p.dense.data, p.dense.dtype,
                              b * p.dense.strides[0] + column * p.dense.strides[1]);
        column -= p.dense.shape[1];
    }
    const Pair pair = pair_at(column, p.diagonal != 0);
    const int64_t sample = b * p.t.strides[0];
    const int64_t first = sample + pair.i * p.t.strides[1];
    const int64_t second = sample + pair.j * p.t.strides[1];
    float dot = 0.0F;
    for (int64_t d = 0; d < p.t.shape[2]; ++d)
        dot += load_float(p.t.data, p.t.dtype, first + d * p.t.strides[2]) *
               load_float(p.t.data, p.t.dtype, second + d * p.t.strides[2]);
    return dot;
}

// Everything a thread does for the `linear`-th element of Y.
TALUS_HOST_DEVICE inline void compute_element(const Parameters& p, int64_t linear) {
    const int64_t b = linear / p.y.shape[1];
    const int64_t column = linear % p.y.shape[1];
    store_float(p.y.data, p.y.dtype, b * p.y.strides[0] + column * p.y.strides[1],
                element_at(p, b, column));
}

} // namespace talus::kernels::interaction
