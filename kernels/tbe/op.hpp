// Table-batched embedding: T tables looked up for B samples in one call, pooled per bag, in the
// manner of FBGEMM's table-batched signature. Bag (t, b) reads rows of table t and writes
// Y[b, column(t) .. column(t) + width(t)).
//
//   input 0   weights  uint8          [bytes]       constant: all tables in one blob
//   input 1   indices  int32 | int64  [L]           ragged: bag i = t*B + b holds
//                                                   indices[offsets[i] .. offsets[i+1])
//                                or   [T, B, P]     fixed pooling P, no offsets; may be strided,
//                                                   e.g. a transposed view of a [B, T] tensor
//   input 2   offsets  int32 | int64  [T*B + 1]     ragged only, else absent; non-decreasing, the
//                                                   last at most L
//   output 0  Y        float32 | float16  [B, C]    C = the largest column + width; rows may be
//                                                   strided, columns are dense
//
// An empty bag gives 0. An index outside [0, rows) is an error that names table, sample and
// position in the bag; with `negative_indices`, -rows .. -1 count from the end as ONNX's Gather has
// it. Repeated indices count as often as they appear. Rows are FP32 or FP16; sums are FP32 or
// better in the order of the indices; the mean is the sum times the reciprocal, or divided by, the
// bag's length. Max: a NaN in the bag gives NaN.
#pragma once

#include <cmath>

#include "kernels/common/element.hpp"
#include "kernels/common/error_record.h"
#include "kernels/common/operator.hpp"

namespace talus::kernels::tbe {

enum class Pooling : int32_t { kSum = 0, kMean = 1, kMax = 2 };

struct Table {
    uint64_t byte_offset = 0; // of row 0 in the blob; a multiple of the element's size
    int64_t rows = 0;
    int32_t width = 0;  // elements of a row; rows lie without gaps
    int32_t column = 0; // first column of Y
    DType dtype = DType::kFloat32;
    int32_t reserved = 0;
};

struct Attributes {
    const Table* tables = nullptr; // owned by the caller, valid as long as the node
    int32_t table_count = 0;
    Pooling pooling = Pooling::kSum;
    int32_t negative_indices = 0; // 1: Gather's rule, 0: EmbeddingBag's
    int32_t batch = 0;            // B of the ragged form (offsets with T*B + 1 entries)
    // Type that the target stores rows in; kUndefined: its default, which is float16 on talus and
    // the tables' own on cpu and cuda. Only talus knows another one: kFloat32.
    DType stored = DType::kUndefined;
};

// Samples per table, from the attribute (ragged) or the indices' shape (fixed pooling).
inline int64_t batch_of(const Node& node) {
    return node.has_input(2) ? node.as<Attributes>().batch : node.input(1).shape[1];
}

inline int64_t output_columns(const Attributes& attributes) {
    int64_t columns = 0;
    for (int32_t t = 0; t < attributes.table_count; ++t) {
        const int64_t end =
            static_cast<int64_t>(attributes.tables[t].column) + attributes.tables[t].width;
        columns = end > columns ? end : columns;
    }
    return columns;
}

// The message for a fault that a target found in the request's data; never kOk.
inline Status report(const talus_kernel_error& error, Diagnostic* diagnostic) {
    const auto value = static_cast<long long>(error.value);
    const auto limit = static_cast<long long>(error.limit);
    const auto sample = static_cast<unsigned long long>(error.sample);
    if (error.code == TALUS_KERNEL_OFFSET_OUT_OF_RANGE)
        return fail(diagnostic, Status::kIndexOutOfRange,
                    "embedding table %u, sample %llu: offset %lld is negative, decreasing, or past "
                    "the %lld indices",
                    error.table, sample, value, limit);
    return fail(diagnostic, Status::kIndexOutOfRange,
                "embedding table %u, sample %llu, position %llu: index %lld is out of range for a "
                "table of %lld rows",
                error.table, sample, static_cast<unsigned long long>(error.position), value, limit);
}

inline Status infer(const Node& node, Diagnostic* diagnostic) {
    const Attributes& a = node.as<Attributes>();
    if (node.input_count < 2 || node.input_count > 3 || node.output_count != 1)
        return fail(diagnostic, Status::kBadArgument,
                    "tbe: takes weights, indices and optional offsets and gives one output");
    if (a.table_count < 1 || a.tables == nullptr)
        return fail(diagnostic, Status::kBadArgument, "tbe: no tables");
    const TensorView& weights = node.input(0);
    if (weights.dtype != DType::kUint8 || weights.rank != 1)
        return fail(diagnostic, Status::kBadArgument, "tbe: weights must be a flat uint8 blob");
    for (int32_t t = 0; t < a.table_count; ++t) {
        const Table& table = a.tables[t];
        if (table.dtype != DType::kFloat32 && table.dtype != DType::kFloat16)
            return fail(diagnostic, Status::kBadArgument, "tbe: table %d holds %s rows", t,
                        name_of(table.dtype));
        const uint64_t element = size_of(table.dtype);
        const auto blob = static_cast<uint64_t>(weights.shape[0]);
        if (table.rows < 0 || table.width < 1 || table.column < 0 ||
            table.byte_offset % element != 0 || table.byte_offset > blob ||
            static_cast<uint64_t>(table.rows) >
                (blob - table.byte_offset) / element / static_cast<uint64_t>(table.width))
            return fail(diagnostic, Status::kBadArgument,
                        "tbe: table %d (%lld rows of %d at byte %llu) is not inside the blob of "
                        "%llu bytes",
                        t, static_cast<long long>(table.rows), table.width,
                        static_cast<unsigned long long>(table.byte_offset),
                        static_cast<unsigned long long>(blob));
    }
    const TensorView& indices = node.input(1);
    const bool ragged = node.has_input(2);
    for (int32_t i = 1; i < 2 + (ragged ? 1 : 0); ++i)
        if (node.input(i).dtype != DType::kInt32 && node.input(i).dtype != DType::kInt64)
            return fail(diagnostic, Status::kBadArgument,
                        "tbe: indices and offsets must be int32 or int64, got %s",
                        name_of(node.input(i).dtype));
    if (ragged) {
        const TensorView& offsets = node.input(2);
        if (indices.rank != 1 || offsets.rank != 1 || a.batch < 0 ||
            offsets.shape[0] != static_cast<int64_t>(a.table_count) * a.batch + 1)
            return fail(diagnostic, Status::kBadArgument,
                        "tbe: %d tables and batch %d need flat indices and %lld offsets",
                        a.table_count, a.batch,
                        static_cast<long long>(a.table_count) * a.batch + 1);
    } else if (indices.rank != 3 || indices.shape[0] != a.table_count || indices.shape[1] < 0 ||
               indices.shape[2] < 0) {
        return fail(diagnostic, Status::kBadArgument,
                    "tbe: without offsets the indices must be [%d tables, batch, pooling]",
                    a.table_count);
    }
    const int64_t shape[] = {batch_of(node), output_columns(a)};
    if (const Status status =
            set_output("tbe", node.output(), DType::kFloat32, shape, 2, diagnostic);
        status != Status::kOk)
        return status;
    if (!is_float(node.output().dtype))
        return fail(diagnostic, Status::kBadArgument, "tbe: the output is %s, not a float type",
                    name_of(node.output().dtype));
    return Status::kOk;
}

inline Status reference(const Node& node, Diagnostic* diagnostic) {
    if (const Status status = infer(node, diagnostic); status != Status::kOk)
        return status;
    const Attributes& a = node.as<Attributes>();
    const TensorView& indices = node.input(1);
    const TensorView& y = node.output();
    const int64_t batch = batch_of(node);
    for (int32_t t = 0; t < a.table_count; ++t) {
        const Table& table = a.tables[t];
        TensorView rows;
        rows.data = node.input(0).as<uint8_t>() + table.byte_offset;
        rows.dtype = table.dtype;
        for (int64_t b = 0; b < batch; ++b) {
            int64_t begin = 0;
            int64_t end = node.has_input(2) ? 0 : indices.shape[2];
            if (node.has_input(2)) {
                const TensorView& offsets = node.input(2);
                begin = load_index(offsets, (t * batch + b) * offsets.strides[0]);
                end = load_index(offsets, (t * batch + b + 1) * offsets.strides[0]);
                if (begin < 0 || end < begin || end > indices.shape[0])
                    return report({TALUS_KERNEL_OFFSET_OUT_OF_RANGE, static_cast<uint32_t>(t),
                                   static_cast<uint64_t>(b), 0, begin < 0 ? begin : end,
                                   indices.shape[0]},
                                  diagnostic);
            }
            for (int64_t column = 0; column < table.width; ++column) {
                double pooled = 0.0;
                for (int64_t position = begin; position < end; ++position) {
                    const int64_t at = node.has_input(2)
                                           ? position * indices.strides[0]
                                           : t * indices.strides[0] + b * indices.strides[1] +
                                                 position * indices.strides[2];
                    const int64_t raw = load_index(indices, at);
                    const int64_t row = a.negative_indices != 0 && raw < 0 ? raw + table.rows : raw;
                    if (row < 0 || row >= table.rows)
                        return report({TALUS_KERNEL_INDEX_OUT_OF_RANGE, static_cast<uint32_t>(t),
                                       static_cast<uint64_t>(b),
                                       static_cast<uint64_t>(position - begin), raw, table.rows},
                                      diagnostic);
                    const double value = load_f64(rows, row * table.width + column);
                    if (a.pooling != Pooling::kMax)
                        pooled += value;
                    else if (position == begin || value > pooled || std::isnan(value))
                        pooled = value;
                    if (a.pooling == Pooling::kMax && std::isnan(pooled))
                        break;
                }
                if (a.pooling == Pooling::kMean && end > begin)
                    pooled /= static_cast<double>(end - begin);
                store_f64(y, b * y.strides[0] + (table.column + column) * y.strides[1], pooled);
            }
        }
    }
    return Status::kOk;
}

constexpr Operator kOperator{"tbe", sizeof(Attributes), 0b001, infer, reference};

} // namespace talus::kernels::tbe
