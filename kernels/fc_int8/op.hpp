// Fully connected layer with dynamic INT8: Y = act((Xq W^T) * scales + bias), where every row of X
// is quantised by its own minimum and maximum, and W is given in INT8.
//
//   input 0   X      float32 | float16   [B, K]   rows may be strided, columns are dense
//   input 1   W      int8                [N, K]   constant; zero point 0
//   input 2   scale  float32             [N]      constant: W's, one per output (or all equal)
//   input 3   bias   float32 | float16   [N]      constant, optional
//   output 0  Y      float32 | float16   [B, N]   rows may be strided, columns are dense
//
// Row b of X, with every step rounded to FP32 (nearest even), as ONNX's DynamicQuantizeLinear does
// for a whole tensor:
//   low = min(0, min X[b]), high = max(0, max X[b])
//   s = (high - low) / 255, at least 2^-126; 1 where high = low
//   f = 1 / s;  z = clamp(round(-low * f), 0, 255);  q[k] = clamp(round(X[b, k] * f) + z, 0, 255)
//   Y[b, n] = act(sum_k (q[k] - z) * W[n, k] * s * scale[n] + bias[n])
// round: to the nearest integer, ties to even. The sum is exact; what follows is FP32 or better.
// The integers are the same on every target, so the bounds of the fully connected layer's epilogue
// hold. A row that holds a NaN or an infinity gives NaN. 1 <= K <= 65536 (the sum fits INT32), N >=
// 1, B >= 0.
#pragma once

#include <cmath>

#include "kernels/fc/op.hpp"

namespace talus::kernels::fc_int8 {

using fc::Activation;

struct Attributes {
    Activation activation = Activation::kNone;
};

constexpr int64_t kMaxK = 65536;

inline Status infer(const Node& node, Diagnostic* diagnostic) {
    if (node.input_count < 3 || node.input_count > 4 || node.output_count != 1)
        return fail(
            diagnostic, Status::kBadArgument,
            "fc_int8: takes X, W, W's scales and an optional bias and gives Y; got %d inputs "
            "and %d outputs",
            node.input_count, node.output_count);
    const TensorView& x = node.input(0);
    const TensorView& w = node.input(1);
    if (x.rank != 2 || w.rank != 2)
        return fail(diagnostic, Status::kBadArgument,
                    "fc_int8: X and W must be matrices, got ranks %d and %d", x.rank, w.rank);
    const int64_t batch = x.shape[0];
    const int64_t k = x.shape[1];
    const int64_t n = w.shape[0];
    if (w.shape[1] != k || k < 1 || n < 1 || batch < 0)
        return fail(diagnostic, Status::kBadArgument,
                    "fc_int8: X is [%lld, %lld] but W is [%lld, %lld]; W must be [N, K]",
                    static_cast<long long>(batch), static_cast<long long>(k),
                    static_cast<long long>(n), static_cast<long long>(w.shape[1]));
    if (k > kMaxK)
        return fail(diagnostic, Status::kBadArgument,
                    "fc_int8: K is %lld; above %lld a sum may not fit INT32",
                    static_cast<long long>(k), static_cast<long long>(kMaxK));
    if (!is_float(x.dtype) || w.dtype != DType::kInt8)
        return fail(diagnostic, Status::kBadArgument,
                    "fc_int8: X must be a float type and W int8; they are %s and %s",
                    name_of(x.dtype), name_of(w.dtype));
    if (node.input(2).dtype != DType::kFloat32 || node.input(2).rank != 1 ||
        node.input(2).shape[0] != n)
        return fail(diagnostic, Status::kBadArgument,
                    "fc_int8: W's scales must be %lld float32 elements", static_cast<long long>(n));
    if (node.has_input(3) &&
        (!is_float(node.input(3).dtype) || node.input(3).rank != 1 || node.input(3).shape[0] != n))
        return fail(diagnostic, Status::kBadArgument, "fc_int8: the bias must have %lld elements",
                    static_cast<long long>(n));
    const auto activation = static_cast<int32_t>(node.as<Attributes>().activation);
    if (activation < 0 || activation > 2)
        return fail(diagnostic, Status::kBadArgument, "fc_int8: unknown activation %d", activation);
    const int64_t shape[] = {batch, n};
    if (const Status status = set_output("fc_int8", node.output(), x.dtype, shape, 2, diagnostic);
        status != Status::kOk)
        return status;
    if (!is_float(node.output().dtype))
        return fail(diagnostic, Status::kBadArgument, "fc_int8: Y is %s, not a float type",
                    name_of(node.output().dtype));
    return Status::kOk;
}

inline Status reference(const Node& node, Diagnostic* diagnostic) {
    if (const Status status = infer(node, diagnostic); status != Status::kOk)
        return status;
    const TensorView& x = node.input(0);
    const TensorView& w = node.input(1);
    const TensorView& y = node.output();
    const int64_t k = x.shape[1];
    for (int64_t b = 0; b < x.shape[0]; ++b) {
        const auto element = [&](int64_t i) {
            return static_cast<float>(load_f64(x, b * x.strides[0] + i * x.strides[1]));
        };
        float low = 0.0F;
        float high = 0.0F;
        bool finite = true;
        for (int64_t i = 0; i < k; ++i) {
            finite = finite && std::isfinite(element(i));
            low = std::fmin(low, element(i));
            high = std::fmax(high, element(i));
        }
        float scale = (high - low) / 255.0F;
        scale = high == low ? 1.0F : std::fmax(scale, 0x1p-126F);
        const float factor = 1.0F / scale;
        const double zero = std::fmin(std::fmax(std::nearbyint(-low * factor), 0.0F), 255.0F);
        for (int64_t n = 0; n < w.shape[0]; ++n) {
            double sum = 0;
            for (int64_t i = 0; i < k; ++i) {
                const double q = std::nearbyint(element(i) * factor) + zero;
                sum += (std::fmin(std::fmax(q, 0.0), 255.0) - zero) *
                       load_f64(w, n * w.strides[0] + i * w.strides[1]);
            }
            const double bias =
                node.has_input(3) ? load_f64(node.input(3), n * node.input(3).strides[0]) : 0.0;
            const double value =
                finite ? sum * scale * load_f64(node.input(2), n * node.input(2).strides[0]) + bias
                       : std::numeric_limits<double>::quiet_NaN();
            store_f64(y, b * y.strides[0] + n * y.strides[1],
                      fc::activate(node.as<Attributes>().activation, value));
        }
    }
    return Status::kOk;
}

constexpr Operator kOperator{"fc_int8", sizeof(Attributes), 0b1110, infer, reference};

} // namespace talus::kernels::fc_int8
