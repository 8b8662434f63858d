// Index arithmetic of strided views, for host and CUDA code.
#pragma once

#include "kernels/common/types.hpp"

namespace talus::kernels {

// The element offset of the `linear`-th element, in row-major order, of a view.
TALUS_HOST_DEVICE inline int64_t offset_of(const TensorView& view, int64_t linear) {
    int64_t offset = 0;
    for (int32_t d = view.rank - 1; d >= 0; --d) {
        offset += linear % view.shape[d] * view.strides[d];
        linear /= view.shape[d];
    }
    return offset;
}

// A view with the strides that broadcast it to `shape`: 0 where its extent is 1 or missing.
inline TensorView broadcast_to(const TensorView& view, const TensorView& shape) {
    TensorView result = shape;
    result.data = view.data;
    result.dtype = view.dtype;
    for (int32_t d = 0; d < shape.rank; ++d) {
        const int32_t own = d - (shape.rank - view.rank);
        result.strides[d] = own < 0 || view.shape[own] == 1 ? 0 : view.strides[own];
    }
    return result;
}

} // namespace talus::kernels
