// Helpers of the accelerator's encoders: tensors as rows at a pitch.
#pragma once

#include <algorithm>

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

// Up to three views of one shape as a matrix: rows at a pitch, columns dense. A stride of 0 (a
// broadcast) is allowed for whole rows.
struct RowForm {
    int64_t rows = 1;
    int64_t columns = 1;
    int64_t pitch[3] = {}; // elements from row to row, per view
};

// False if the strides do not allow it. strides[v][d] are those of view v along dimension d.
inline bool to_rows(const int64_t* shape, int32_t rank, const int64_t strides[3][kMaxRank],
                    int32_t views, RowForm& form) {
    int64_t extent[kMaxRank];
    int64_t stride[3][kMaxRank];
    int32_t count = 0;
    for (int32_t d = 0; d < rank; ++d) { // drop dimensions of 1, merge what is evenly spaced
        if (shape[d] == 1)
            continue;
        bool merges = count > 0;
        for (int32_t v = 0; v < views && merges; ++v)
            merges = stride[v][count - 1] == strides[v][d] * shape[d];
        if (merges)
            --count;
        extent[count] = merges ? extent[count] * shape[d] : shape[d];
        for (int32_t v = 0; v < views; ++v)
            stride[v][count] = strides[v][d];
        ++count;
    }
    if (count > 2)
        return false;
    bool dense = true;
    for (int32_t v = 0; v < views && count > 0; ++v)
        dense = dense && stride[v][count - 1] == 1;
    if (count == 2 && !dense)
        return false;
    form = RowForm{};
    if (count == 2 || (count == 1 && !dense)) { // a column of single elements is rows too
        form.rows = extent[0];
        form.columns = count == 2 ? extent[1] : 1;
        for (int32_t v = 0; v < views; ++v)
            form.pitch[v] = stride[v][0];
    } else if (count == 1) {
        form.columns = extent[0];
    }
    for (int32_t v = 0; v < views; ++v)
        if (form.pitch[v] < 0 || form.pitch[v] > 0x0fffffff)
            return false;
    return form.rows <= 0x7fffffff && form.columns <= 0x7fffffff;
}

// Splits a matrix into items of at most `capacity` elements, so that every PE gets one if possible.
struct RowBlocks {
    uint32_t row_block;
    uint32_t column_block;
};
inline RowBlocks split_rows(const RowForm& form, int64_t capacity, int64_t pes) {
    const int64_t share = std::max<int64_t>(form.rows * form.columns / pes, 32);
    const int64_t size = std::min(capacity, share);
    // Multiples of 32 elements keep rows of an item on 64-byte lines.
    const int64_t columns = std::min(form.columns, round_up(std::min(size, capacity), 32));
    const int64_t rows = std::clamp<int64_t>(size / std::max<int64_t>(columns, 1), 1, form.rows);
    return {static_cast<uint32_t>(rows), static_cast<uint32_t>(std::max<int64_t>(columns, 1))};
}

// The CP's number of a type, or -1.
inline int32_t cp_type_of(DType type) {
    switch (type) {
    case DType::kFloat32:
        return 0;
    case DType::kFloat16:
        return 1;
    case DType::kBfloat16:
        return 2;
    case DType::kInt32:
        return 3;
    case DType::kInt8:
        return 4;
    case DType::kUint8:
        return 5;
    default:
        return -1;
    }
}

} // namespace talus::kernels
