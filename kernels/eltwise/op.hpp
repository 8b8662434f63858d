// Element-wise functions of one or two tensors with NumPy's broadcasting.
//
//   input 0   A  float32 | float16, rank 0 … 6
//   input 1   B  the same type (binary functions only)
//   output 0  Y  float32 | float16, the broadcast shape
//
// Computed in float32 and rounded once to Y's type. add, sub, mul, div, relu, neg, abs, min, max
// and clip are exactly rounded; sigmoid, tanh, exp and sqrt have the error that each target states.
// NaN passes through every function, min, max, relu and clip included.
#pragma once

#include <cmath>

#include "kernels/common/element.hpp"
#include "kernels/common/operator.hpp"

namespace talus::kernels::eltwise {

enum class Function : int32_t {
    // binary
    kAdd = 0,
    kSub = 1,
    kMul = 2,
    kDiv = 3,
    kMin = 4,
    kMax = 5,
    // unary
    kIdentity = 16,
    kNeg = 17,
    kAbs = 18,
    kRelu = 19,
    kSigmoid = 20,
    kTanh = 21,
    kExp = 22,
    kSqrt = 23,
    kClip = 24, // min(max(a, low), high)
};

struct Attributes {
    Function function = Function::kIdentity;
    float low = 0.0F; // clip only
    float high = 0.0F;
};

constexpr bool is_binary(Function function) {
    return static_cast<int32_t>(function) < 16;
}

inline Status infer(const Node& node, Diagnostic* diagnostic) {
    const auto code = static_cast<int32_t>(node.as<Attributes>().function);
    const bool known = (code >= 0 && code <= 5) || (code >= 16 && code <= 24);
    if (!known)
        return fail(diagnostic, Status::kBadArgument, "eltwise: unknown function %d", code);
    const int32_t arity = is_binary(node.as<Attributes>().function) ? 2 : 1;
    if (node.input_count != arity || node.output_count != 1)
        return fail(diagnostic, Status::kBadArgument,
                    "eltwise: function %d takes %d inputs, got %d", code, arity, node.input_count);
    int32_t rank = 0;
    for (int32_t i = 0; i < arity; ++i) {
        if (!is_float(node.input(i).dtype) || node.input(i).dtype != node.input(0).dtype)
            return fail(diagnostic, Status::kBadArgument,
                        "eltwise: inputs must be of one float type; input %d is %s", i,
                        name_of(node.input(i).dtype));
        rank = node.input(i).rank > rank ? node.input(i).rank : rank;
    }
    int64_t shape[kMaxRank] = {};
    for (int32_t d = 0; d < rank; ++d) {
        shape[d] = 1;
        for (int32_t i = 0; i < arity; ++i) {
            const int32_t own = d - (rank - node.input(i).rank);
            const int64_t extent = own < 0 ? 1 : node.input(i).shape[own];
            if (extent != 1 && shape[d] != 1 && extent != shape[d])
                return fail(diagnostic, Status::kBadArgument,
                            "eltwise: dimension %d is %lld in one input and %lld in the other", d,
                            static_cast<long long>(shape[d]), static_cast<long long>(extent));
            shape[d] = extent != 1 ? extent : shape[d];
        }
    }
    if (const Status status =
            set_output("eltwise", node.output(), node.input(0).dtype, shape, rank, diagnostic);
        status != Status::kOk)
        return status;
    if (!is_float(node.output().dtype))
        return fail(diagnostic, Status::kBadArgument, "eltwise: the output is %s, not a float type",
                    name_of(node.output().dtype));
    return Status::kOk;
}

// The input's stride along dimension d of the output: 0 where it is broadcast.
TALUS_HOST_DEVICE inline int64_t broadcast_stride(const TensorView& input, int32_t rank,
                                                  int32_t d) {
    const int32_t own = d - (rank - input.rank);
    return own < 0 || input.shape[own] == 1 ? 0 : input.strides[own];
}

inline double apply_reference(const Attributes& attributes, double a, double b) {
    switch (attributes.function) {
    case Function::kAdd:
        return a + b;
    case Function::kSub:
        return a - b;
    case Function::kMul:
        return a * b;
    case Function::kDiv:
        return a / b;
    case Function::kMin:
        return std::isnan(a) || std::isnan(b) ? NAN : std::fmin(a, b);
    case Function::kMax:
        return std::isnan(a) || std::isnan(b) ? NAN : std::fmax(a, b);
    case Function::kIdentity:
        return a;
    case Function::kNeg:
        return -a;
    case Function::kAbs:
        return std::fabs(a);
    case Function::kRelu:
        return a < 0.0 ? 0.0 : a;
    case Function::kSigmoid:
        return 1.0 / (1.0 + std::exp(-a));
    case Function::kTanh:
        return std::tanh(a);
    case Function::kExp:
        return std::exp(a);
    case Function::kSqrt:
        return std::sqrt(a);
    case Function::kClip:
        return std::isnan(a) ? a : std::fmin(std::fmax(a, attributes.low), attributes.high);
    }
    return NAN;
}

inline Status reference(const Node& node, Diagnostic* diagnostic) {
    if (const Status status = infer(node, diagnostic); status != Status::kOk)
        return status;
    const Attributes& attributes = node.as<Attributes>();
    const TensorView& y = node.output();
    const int64_t count = y.elements();
    for (int64_t e = 0; e < count; ++e) {
        int64_t rest = e;
        int64_t at[2] = {0, 0};
        int64_t to = 0;
        for (int32_t d = y.rank - 1; d >= 0; --d) {
            const int64_t i = rest % y.shape[d];
            rest /= y.shape[d];
            to += i * y.strides[d];
            for (int32_t k = 0; k < node.input_count; ++k)
                at[k] += i * broadcast_stride(node.input(k), y.rank, d);
        }
        const double a = load_f64(node.input(0), at[0]);
        const double b = node.input_count > 1 ? load_f64(node.input(1), at[1]) : 0.0;
        store_f64(y, to, apply_reference(attributes, a, b));
    }
    return Status::kOk;
}

constexpr Operator kOperator{"eltwise", sizeof(Attributes), 0, infer, reference};

} // namespace talus::kernels::eltwise
