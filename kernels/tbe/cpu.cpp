// Table-batched embedding on the CPU: bag by bag, rows added in the order of the indices in
// float32, with the rows ahead prefetched. The packed constant is the blob itself.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/implementation.hpp"
#include "kernels/common/runs.hpp"
#include "kernels/tbe/index.hpp"
#include "kernels/tbe/op.hpp"

namespace talus::kernels::tbe {
namespace {

constexpr int64_t kPrefetchAhead = 8; // rows: covers DRAM latency at one short row per ~10 ns

Status supports(const Node&, Diagnostic*) {
    return Status::kOk;
}

size_t packed_bytes(const Node& node) {
    return static_cast<size_t>(node.input(0).shape[0]);
}

Status prepack(const Node& node, void* packed, Diagnostic*) {
    const TensorView& blob = node.input(0);
    for (int64_t i = 0; blob.strides[0] != 1 && i < blob.shape[0]; ++i)
        static_cast<uint8_t*>(packed)[i] = blob.as<const uint8_t>()[i * blob.strides[0]];
    if (blob.strides[0] == 1)
        std::memcpy(packed, blob.data, static_cast<size_t>(blob.shape[0]));
    return Status::kOk;
}

int32_t widest(const Attributes& attributes) {
    int32_t width = 0;
    for (int32_t t = 0; t < attributes.table_count; ++t)
        width = std::max(width, attributes.tables[t].width);
    return width;
}

// One pooled row.
size_t workspace_bytes(const Node& node) {
    return static_cast<size_t>(widest(node.as<Attributes>())) * sizeof(float);
}

TALUS_MULTIVERSION void add_row(float* sum, const float* row, int64_t width) {
    for (int64_t i = 0; i < width; ++i)
        sum[i] += row[i];
}

TALUS_MULTIVERSION void add_half_row(float* sum, const uint16_t* row, int64_t width) {
    for (int64_t i = 0; i < width; ++i)
        sum[i] += half_to_float_lane(row[i]);
}

// NaN in either operand stays: `value <= best` is false for it, and a NaN `best` is kept.
inline float maximum(float best, float value) {
    return best != best || value <= best ? best : value;
}

TALUS_MULTIVERSION void max_row(float* best, const float* row, int64_t width) {
    for (int64_t i = 0; i < width; ++i)
        best[i] = maximum(best[i], row[i]);
}

TALUS_MULTIVERSION void max_half_row(float* best, const uint16_t* row, int64_t width) {
    for (int64_t i = 0; i < width; ++i)
        best[i] = maximum(best[i], half_to_float_lane(row[i]));
}

void pool_row(Pooling pooling, bool first, const Table& table, const uint8_t* row, float* pooled) {
    const int64_t width = table.width;
    if (table.dtype == DType::kFloat16) {
        const auto* half = reinterpret_cast<const uint16_t*>(row);
        if (first)
            half_run_to_float(half, pooled, width);
        else if (pooling == Pooling::kMax)
            max_half_row(pooled, half, width);
        else
            add_half_row(pooled, half, width);
        return;
    }
    const auto* single = reinterpret_cast<const float*>(row);
    if (first)
        std::copy_n(single, width, pooled);
    else if (pooling == Pooling::kMax)
        max_row(pooled, single, width);
    else
        add_row(pooled, single, width);
}

Status launch(const Node& node, const void* packed, void* workspace, Diagnostic* diagnostic) {
    const Attributes& a = node.as<Attributes>();
    const TensorView& y = node.output();
    const IndexView indices = index_view(node);
    auto* pooled = static_cast<float*>(workspace);
    for (int32_t t = 0; t < a.table_count; ++t) {
        const Table& table = a.tables[t];
        const auto* rows = static_cast<const uint8_t*>(packed) + table.byte_offset;
        const int64_t row_bytes =
            static_cast<int64_t>(table.width) * static_cast<int64_t>(size_of(table.dtype));
        for (int64_t b = 0; b < indices.batch; ++b) {
            const Bag bag = find_bag(indices, t, b);
            if (!bag.valid)
                return report(offset_error(indices, t, b), diagnostic);
            for (int64_t p = 0; p < bag.length; ++p) {
                if (p + kPrefetchAhead < bag.length) {
                    const int64_t ahead = resolve_row(load_index(indices, bag, p + kPrefetchAhead),
                                                      table.rows, indices.negative);
                    if (ahead >= 0)
                        __builtin_prefetch(rows + ahead * row_bytes);
                }
                const int64_t raw = load_index(indices, bag, p);
                const int64_t row = resolve_row(raw, table.rows, indices.negative);
                if (row < 0)
                    return report(index_error(t, b, p, raw, table.rows), diagnostic);
                pool_row(a.pooling, p == 0, table, rows + row * row_bytes, pooled);
            }
            if (bag.length == 0)
                std::fill_n(pooled, table.width, 0.0F);
            if (a.pooling == Pooling::kMean && bag.length > 1)
                for (int32_t i = 0; i < table.width; ++i)
                    pooled[i] /= static_cast<float>(bag.length);
            store_run(y, b * y.strides[0] + table.column * y.strides[1], y.strides[1], table.width,
                      pooled);
        }
    }
    return Status::kOk;
}

} // namespace

extern const HostKernel kCpu;
const HostKernel kCpu{supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::tbe
