// The index arithmetic of the table-batched embedding, for host and CUDA code: where a bag's
// indices lie, which row an index means, and how a fault is described. No data is written here, and
// nothing is read outside the views, whatever the offsets and indices hold.
#pragma once

#include "kernels/common/error_record.h"
#include "kernels/common/types.hpp"
#include "kernels/tbe/op.hpp"

namespace talus::kernels::tbe {

struct IndexView {
    const void* indices;
    const void* offsets; // null: fixed pooling
    int64_t count;       // L, ragged only
    int64_t batch;
    int64_t pooling;    // fixed pooling only
    int64_t strides[3]; // of the indices: table, sample, position; ragged: only the last
    int64_t offset_stride;
    int32_t wide_indices; // 1: int64, 0: int32
    int32_t wide_offsets;
    int32_t negative; // Gather's rule
};

struct Bag {
    int64_t first; // element offset of its first index
    int64_t length;
    int64_t stride;
    bool valid;
};

inline IndexView index_view(const Node& node) {
    const Attributes& attributes = node.as<Attributes>();
    const TensorView& indices = node.input(1);
    IndexView view{};
    view.indices = indices.data;
    view.batch = batch_of(node);
    view.wide_indices = indices.dtype == DType::kInt64;
    view.negative = attributes.negative_indices;
    if (node.has_input(2)) {
        view.offsets = node.input(2).data;
        view.offset_stride = node.input(2).strides[0];
        view.wide_offsets = node.input(2).dtype == DType::kInt64;
        view.count = indices.shape[0];
        view.strides[2] = indices.strides[0];
    } else {
        view.pooling = indices.shape[2];
        for (int d = 0; d < 3; ++d)
            view.strides[d] = indices.strides[d];
    }
    return view;
}

TALUS_HOST_DEVICE inline int64_t load_integer(const void* data, int32_t wide, int64_t offset) {
    return wide != 0 ? static_cast<const int64_t*>(data)[offset]
                     : static_cast<int64_t>(static_cast<const int32_t*>(data)[offset]);
}

TALUS_HOST_DEVICE inline Bag find_bag(const IndexView& view, int64_t table, int64_t sample) {
    if (view.offsets == nullptr)
        return {table * view.strides[0] + sample * view.strides[1], view.pooling, view.strides[2],
                true};
    const int64_t bag = table * view.batch + sample;
    const int64_t begin = load_integer(view.offsets, view.wide_offsets, bag * view.offset_stride);
    const int64_t end =
        load_integer(view.offsets, view.wide_offsets, (bag + 1) * view.offset_stride);
    // Compared, never subtracted first: hostile offsets may be 2^63 apart.
    if (begin < 0 || end < begin || end > view.count)
        return {0, 0, 0, false};
    return {begin * view.strides[2], end - begin, view.strides[2], true};
}

TALUS_HOST_DEVICE inline int64_t load_index(const IndexView& view, const Bag& bag,
                                            int64_t position) {
    return load_integer(view.indices, view.wide_indices, bag.first + position * bag.stride);
}

// The row that an index means, or -1 if it is out of range.
TALUS_HOST_DEVICE inline int64_t resolve_row(int64_t index, int64_t rows, int32_t negative) {
    if (negative != 0 && index < 0)
        index += rows; // cannot overflow: index < 0 <= rows
    return index >= 0 && index < rows ? index : -1;
}

TALUS_HOST_DEVICE inline talus_kernel_error offset_error(const IndexView& view, int64_t table,
                                                         int64_t sample) {
    const int64_t bag = table * view.batch + sample;
    const int64_t begin = load_integer(view.offsets, view.wide_offsets, bag * view.offset_stride);
    const int64_t end =
        load_integer(view.offsets, view.wide_offsets, (bag + 1) * view.offset_stride);
    talus_kernel_error error{};
    error.code = TALUS_KERNEL_OFFSET_OUT_OF_RANGE;
    error.table = static_cast<uint32_t>(table);
    error.sample = static_cast<uint64_t>(sample);
    error.value = begin < 0 ? begin : end;
    error.limit = view.count;
    return error;
}

TALUS_HOST_DEVICE inline talus_kernel_error
index_error(int64_t table, int64_t sample, int64_t position, int64_t value, int64_t rows) {
    talus_kernel_error error{};
    error.code = TALUS_KERNEL_INDEX_OUT_OF_RANGE;
    error.table = static_cast<uint32_t>(table);
    error.sample = static_cast<uint64_t>(sample);
    error.position = static_cast<uint64_t>(position);
    error.value = value;
    error.limit = rows;
    return error;
}

} // namespace talus::kernels::tbe
