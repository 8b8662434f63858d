// Fully connected layer: Y[b, n] = act(sum_k X[b, k] * W[n, k] + bias[n]).
//
//   input 0   X     float32 | float16   [B, K]   rows may be strided, columns are dense
//   input 1   W     float32 | float16   [N, K]   constant
//   input 2   bias  float32 | float16   [N]      constant, optional
//   output 0  Y     float32 | float16   [B, N]   rows may be strided, columns are dense
//
// K and N are at least 1; B may be 0. Accumulation: float32 or better on every target. NaN passes
// through every activation.
#pragma once

#include <cmath>

#include "kernels/common/element.hpp"
#include "kernels/common/operator.hpp"

namespace talus::kernels::fc {

enum class Activation : int32_t { kNone = 0, kRelu = 1, kSigmoid = 2 };

struct Attributes {
    Activation activation = Activation::kNone;
};

inline Status infer(const Node& node, Diagnostic* diagnostic) {
    if (node.input_count < 2 || node.input_count > 3 || node.output_count != 1)
        return fail(diagnostic, Status::kBadArgument,
                    "fc: takes X, W and an optional bias and gives Y; got %d inputs and %d outputs",
                    node.input_count, node.output_count);
    const TensorView& x = node.input(0);
    const TensorView& w = node.input(1);
    if (x.rank != 2 || w.rank != 2)
        return fail(diagnostic, Status::kBadArgument,
                    "fc: X and W must be matrices, got ranks %d and %d", x.rank, w.rank);
    const int64_t batch = x.shape[0];
    const int64_t k = x.shape[1];
    const int64_t n = w.shape[0];
    if (w.shape[1] != k || k < 1 || n < 1 || batch < 0)
        return fail(diagnostic, Status::kBadArgument,
                    "fc: X is [%lld, %lld] but W is [%lld, %lld]; W must be [N, K]",
                    static_cast<long long>(batch), static_cast<long long>(k),
                    static_cast<long long>(n), static_cast<long long>(w.shape[1]));
    for (int32_t i = 0; i < node.input_count; ++i)
        if (node.has_input(i) && !is_float(node.input(i).dtype))
            return fail(diagnostic, Status::kBadArgument, "fc: input %d is %s, not a float type", i,
                        name_of(node.input(i).dtype));
    if (node.has_input(2) && (node.input(2).rank != 1 || node.input(2).shape[0] != n))
        return fail(diagnostic, Status::kBadArgument, "fc: the bias must have %lld elements",
                    static_cast<long long>(n));
    const auto activation = static_cast<int32_t>(node.as<Attributes>().activation);
    if (activation < 0 || activation > 2)
        return fail(diagnostic, Status::kBadArgument, "fc: unknown activation %d", activation);
    const int64_t shape[] = {batch, n};
    if (const Status status = set_output("fc", node.output(), x.dtype, shape, 2, diagnostic);
        status != Status::kOk)
        return status;
    if (!is_float(node.output().dtype))
        return fail(diagnostic, Status::kBadArgument, "fc: Y is %s, not a float type",
                    name_of(node.output().dtype));
    return Status::kOk;
}

inline double activate(Activation activation, double value) {
    switch (activation) {
    case Activation::kRelu:
        return value < 0.0 ? 0.0 : value;
    case Activation::kSigmoid:
        return 1.0 / (1.0 + std::exp(-value));
    case Activation::kNone:
        break;
    }
    return value;
}

inline Status reference(const Node& node, Diagnostic* diagnostic) {
    if (const Status status = infer(node, diagnostic); status != Status::kOk)
        return status;
    const TensorView& x = node.input(0);
    const TensorView& w = node.input(1);
    const TensorView& y = node.output();
    for (int64_t b = 0; b < x.shape[0]; ++b) {
        for (int64_t n = 0; n < w.shape[0]; ++n) {
            double sum =
                node.has_input(2) ? load_f64(node.input(2), n * node.input(2).strides[0]) : 0.0;
            for (int64_t k = 0; k < x.shape[1]; ++k)
                sum += load_f64(x, b * x.strides[0] + k * x.strides[1]) *
                       load_f64(w, n * w.strides[0] + k * w.strides[1]);
            store_f64(y, b * y.strides[0] + n * y.strides[1],
                      activate(node.as<Attributes>().activation, sum));
        }
    }
    return Status::kOk;
}

constexpr Operator kOperator{"fc", sizeof(Attributes), 0b110, infer, reference};

} // namespace talus::kernels::fc
