// Helpers of the accelerator's encoders: tensors as rows at a pitch.
#pragma once

#include "kernels/common/element.hpp"
#include "kernels/common/implementation.hpp"

namespace talus::kernels {

constexpr int64_t round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

inline uint64_t address_of(const TensorView& view) {
    return reinterpret_cast<uint64_t>(view.data);
}

// Bytes from row to row of a matrix; a single row has the pitch of its length, so that stale
// strides of dimensions with extent 1 do not matter.
inline int64_t row_pitch(const TensorView& view) {
    const auto element = static_cast<int64_t>(size_of(view.dtype));
    return (view.shape[0] > 1 ? view.strides[0] : view.shape[1]) * element;
}

// kOk for a matrix whose rows are dense and whose pitch fits the kernels' 32-bit fields.
inline Status require_rows(const char* op, const char* what, const TensorView& view,
                           Diagnostic* reason) {
    const int64_t pitch = row_pitch(view);
    const bool dense = view.shape[1] <= 1 || view.strides[1] == 1;
    if (!dense || pitch < 0 || pitch > 0x7fffffff)
        return fail(reason, Status::kUnsupported, "%s: %s has strides that the DMA engine lacks",
                    op, what);
    return Status::kOk;
}

} // namespace talus::kernels
