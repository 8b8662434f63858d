// Pooling of one column of one bag, and the naming of faults by keys, for host and CUDA code.
#pragma once

#include "kernels/common/scalar.hpp"
#include "kernels/tbe/index.hpp"

namespace talus::kernels::tbe {

struct Parameters {
    IndexView indices;
    const Table* tables; // device memory on CUDA
    const uint8_t* blob;
    void* y;
    DType y_type;
    int64_t y_strides[2];
    int64_t widest; // columns that are given a thread per bag
    int32_t table_count;
    Pooling pooling;
};

// The order of faults: bag, then position; an offset's fault stands before all positions.
constexpr uint64_t kFaultPositions = uint64_t{1} << 31;
TALUS_HOST_DEVICE inline uint64_t fault_key(int64_t bag, int64_t position) {
    const uint64_t last = kFaultPositions - 1; // positions beyond share the last key
    const uint64_t at = position < 0 ? 0 : static_cast<uint64_t>(position) + 1;
    return static_cast<uint64_t>(bag) * kFaultPositions + (at < last ? at : last);
}

// The record of a key that fault_key made from these very indices.
TALUS_HOST_DEVICE inline talus_kernel_error describe_fault(const Parameters& p, uint64_t key) {
    const auto bag_index = static_cast<int64_t>(key / kFaultPositions);
    const auto at = static_cast<int64_t>(key % kFaultPositions);
    const int64_t table = bag_index / p.indices.batch;
    const int64_t sample = bag_index % p.indices.batch;
    if (at == 0)
        return offset_error(p.indices, table, sample);
    const Bag bag = find_bag(p.indices, table, sample);
    const int64_t rows = p.tables[table].rows;
    int64_t position = at - 1;
    int64_t value = load_index(p.indices, bag, position);
    while (resolve_row(value, rows, p.indices.negative) >= 0 && position + 1 < bag.length)
        value = load_index(p.indices, bag, ++position); // only behind a shared last key
    return index_error(table, sample, position, value, rows);
}

// Everything a thread does for (bag, column): pools in the order of the indices and stores. Returns
// the key of the bag's first fault, or ~0; a bag with a fault reads no row and stores nothing.
TALUS_HOST_DEVICE inline uint64_t pool_element(const Parameters& p, int64_t linear) {
    const int64_t column = linear % p.widest;
    const int64_t bag_index = linear / p.widest;
    const int64_t table_index = bag_index / p.indices.batch;
    const int64_t sample = bag_index % p.indices.batch;
    const Table& table = p.tables[table_index];
    if (column >= table.width)
        return ~uint64_t{0};
    const Bag bag = find_bag(p.indices, table_index, sample);
    if (!bag.valid)
        return fault_key(bag_index, -1);
    float pooled = 0.0F;
    for (int64_t i = 0; i < bag.length; ++i) {
        const int64_t row =
            resolve_row(load_index(p.indices, bag, i), table.rows, p.indices.negative);
        if (row < 0)
            return fault_key(bag_index, i);
        const float value =
            load_float(p.blob + table.byte_offset, table.dtype, row * table.width + column);
        const bool greater = pooled == pooled && !(value <= pooled); // a NaN comes in and stays
        if (i == 0 || (p.pooling == Pooling::kMax && greater))
            pooled = value;
        else if (p.pooling != Pooling::kMax)
            pooled += value;
    }
    if (p.pooling == Pooling::kMean && bag.length > 1)
        pooled /= static_cast<float>(bag.length);
    store_float(p.y, p.y_type, sample * p.y_strides[0] + (table.column + column) * p.y_strides[1],
                pooled);
    return ~uint64_t{0};
}

} // namespace talus::kernels::tbe
