// Pairwise dot interaction of DLRM: for every sample the dot products of its F feature vectors, the
// lower triangle in row-major order, after an optional pass-through of the dense vector.
//
//   input 0   T      float32 | float16  [B, F, D]   samples may be strided; features are dense
//   input 1   dense  as T               [B, E]      optional; rows may be strided
//   output 0  Y      float32 | float16  [B, E + P]  rows may be strided, columns are dense
//
// P = F*(F-1)/2 without and F*(F+1)/2 with the diagonal. Pair p counts (1,0), (2,0), (2,1), (3,0)
// …, or (0,0), (1,0), (1,1), (2,0) … with the diagonal: the order of PyTorch's tril_indices, so the
// ONNX pattern Reshape → Transpose → MatMul → Flatten → Gather(tri) → Concat maps on one node.
// `dense` is copied, or converted to Y's type.
#pragma once

#include "kernels/common/element.hpp"
#include "kernels/common/operator.hpp"

namespace talus::kernels::interaction {

struct Attributes {
    int32_t include_diagonal = 0;
};

inline int64_t pair_count(int64_t features, bool diagonal) {
    return features * (diagonal ? features + 1 : features - 1) / 2;
}

inline Status infer(const Node& node, Diagnostic* diagnostic) {
    if (node.input_count < 1 || node.input_count > 2 || node.output_count != 1)
        return fail(diagnostic, Status::kBadArgument,
                    "interaction: takes T and an optional dense tensor and gives one output");
    const TensorView& t = node.input(0);
    if (t.rank != 3 || t.shape[0] < 0 || t.shape[1] < 1 || t.shape[2] < 1)
        return fail(diagnostic, Status::kBadArgument,
                    "interaction: T must be [batch, features, width]");
    int64_t columns = pair_count(t.shape[1], node.as<Attributes>().include_diagonal != 0);
    for (int32_t i = 0; i < node.input_count; ++i)
        if (node.has_input(i) && !is_float(node.input(i).dtype))
            return fail(diagnostic, Status::kBadArgument,
                        "interaction: input %d is %s, not a float type", i,
                        name_of(node.input(i).dtype));
    if (node.has_input(1)) {
        const TensorView& dense = node.input(1);
        if (dense.rank != 2 || dense.shape[0] != t.shape[0] || dense.dtype != t.dtype)
            return fail(diagnostic, Status::kBadArgument,
                        "interaction: dense must be [%lld, E] of %s",
                        static_cast<long long>(t.shape[0]), name_of(t.dtype));
        columns += dense.shape[1];
    }
    const int64_t shape[] = {t.shape[0], columns};
    if (const Status status =
            set_output("interaction", node.output(), t.dtype, shape, 2, diagnostic);
        status != Status::kOk)
        return status;
    if (!is_float(node.output().dtype))
        return fail(diagnostic, Status::kBadArgument,
                    "interaction: the output is %s, not a float type",
                    name_of(node.output().dtype));
    return Status::kOk;
}

inline Status reference(const Node& node, Diagnostic* diagnostic) {
    if (const Status status = infer(node, diagnostic); status != Status::kOk)
        return status;
    const TensorView& t = node.input(0);
    const TensorView& y = node.output();
    const bool diagonal = node.as<Attributes>().include_diagonal != 0;
    for (int64_t b = 0; b < t.shape[0]; ++b) {
        int64_t column = 0;
        if (node.has_input(1)) {
            const TensorView& dense = node.input(1);
            for (; column < dense.shape[1]; ++column)
                store_f64(y, b * y.strides[0] + column * y.strides[1],
                          load_f64(dense, b * dense.strides[0] + column * dense.strides[1]));
        }
        for (int64_t i = 0; i < t.shape[1]; ++i) {
            for (int64_t j = 0; j < i + (diagonal ? 1 : 0); ++j, ++column) {
                double dot = 0.0;
                for (int64_t d = 0; d < t.shape[2]; ++d)
                    dot += load_f64(t, b * t.strides[0] + i * t.strides[1] + d * t.strides[2]) *
                           load_f64(t, b * t.strides[0] + j * t.strides[1] + d * t.strides[2]);
                store_f64(y, b * y.strides[0] + column * y.strides[1], dot);
            }
        }
    }
    return Status::kOk;
}

constexpr Operator kOperator{"interaction", sizeof(Attributes), 0, infer, reference};

} // namespace talus::kernels::interaction
