#include "sdk/runtime/index_packing.hpp"

#include <limits>

#include "sdk/common/error.hpp"

namespace talus::runtime {

namespace {

std::int64_t element(const talus_tensor& tensor, std::int64_t at) {
    return tensor.dtype == TALUS_INT32 ? static_cast<const std::int32_t*>(tensor.data)[at]
                                       : static_cast<const std::int64_t*>(tensor.data)[at];
}

std::int32_t checked(const graph::Table& table, std::size_t number, std::int64_t sample,
                     std::int64_t position, std::int64_t index) {
    const std::int64_t rows = table.weight->shape[0];
    const std::int64_t row = table.allows_negative && index < 0 ? index + rows : index;
    if (row < 0 || row >= rows)
        fail(
            TALUS_ERROR_INDEX_OUT_OF_RANGE,
            "embedding table {} ({}), sample {}, position {}: index {} is out of range for a table "
            "of {} rows",
            number, table.onnx_node, sample, position, index, rows);
    return static_cast<std::int32_t>(row);
}

// Begin and end of one sample's bag within the table's index input.
struct Bag {
    std::int64_t begin;
    std::int64_t end;
};

Bag bag_of(const graph::Table& table, std::size_t number, const talus_tensor& offsets,
           std::int64_t indices, std::int64_t total, std::int64_t sample) {
    const bool last = sample + 1 == total && !table.source.includes_last_offset;
    const Bag bag{element(offsets, sample), last ? indices : element(offsets, sample + 1)};
    if (bag.begin < 0 || bag.end < bag.begin || bag.end > indices)
        fail(
            TALUS_ERROR_INDEX_OUT_OF_RANGE,
            "embedding table {} ({}), sample {}: its offsets {} to {} are negative, decreasing, or "
            "past the {} indices",
            number, table.onnx_node, sample, bag.begin, bag.end, indices);
    return bag;
}

} // namespace

bool is_ragged(const graph::Tbe& tbe) {
    for (const graph::Table& table : tbe.tables)
        if (table.source.offsets != graph::kNoValue ||
            table.source.count != tbe.tables.front().source.count)
            return true;
    return false;
}

void pack_indices(const graph::Tbe& tbe,
                  const std::function<const talus_tensor&(graph::ValueId)>& tensor,
                  std::int64_t total, std::int64_t first, std::int64_t batch,
                  PackedIndices& packed) {
    packed.ragged = is_ragged(tbe);
    packed.pooling = packed.ragged ? 0 : tbe.tables.front().source.count;
    packed.indices.clear();
    packed.offsets.clear();
    for (std::size_t t = 0; t < tbe.tables.size(); ++t) {
        const graph::Table& table = tbe.tables[t];
        const graph::IndexSource& source = table.source;
        const talus_tensor& indices = tensor(source.indices);
        if (source.offsets == graph::kNoValue) {
            for (std::int64_t s = first; s < first + batch; ++s) {
                if (packed.ragged)
                    packed.offsets.push_back(static_cast<std::int32_t>(packed.indices.size()));
                for (std::int64_t p = 0; p < source.count; ++p)
                    packed.indices.push_back(
                        checked(table, t, s, p,
                                element(indices, s * source.row_width + source.column + p)));
            }
            continue;
        }
        const talus_tensor& offsets = tensor(source.offsets);
        const std::int64_t count = indices.shape[0];
        for (std::int64_t s = first; s < first + batch; ++s) {
            const Bag bag = bag_of(table, t, offsets, count, total, s);
            packed.offsets.push_back(static_cast<std::int32_t>(packed.indices.size()));
            if (packed.indices.size() + static_cast<std::size_t>(bag.end - bag.begin) >
                std::numeric_limits<std::int32_t>::max())
                fail(TALUS_ERROR_BAD_INPUT, "a batch of {} samples has more than 2^31 indices",
                     batch);
            for (std::int64_t p = bag.begin; p < bag.end; ++p)
                packed.indices.push_back(checked(table, t, s, p - bag.begin, element(indices, p)));
        }
    }
    if (packed.ragged)
        packed.offsets.push_back(static_cast<std::int32_t>(packed.indices.size()));
}

} // namespace talus::runtime
