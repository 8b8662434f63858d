// Element-wise functions on the CPU: runs are widened to float32, computed, and rounded once.
#include <algorithm>
#include <cmath>

#include "kernels/common/implementation.hpp"
#include "kernels/common/runs.hpp"
#include "kernels/eltwise/op.hpp"

namespace talus::kernels::eltwise {
namespace {

Status supports(const Node& node, Diagnostic* reason) {
    for (int32_t i = 0; i < node.input_count; ++i)
        if (node.input(i).dtype == DType::kFloat64)
            return fail(reason, Status::kUnsupported,
                        "eltwise: float64 is not computed in float64");
    return Status::kOk;
}

size_t packed_bytes(const Node&) {
    return 0;
}
Status prepack(const Node&, void*, Diagnostic*) {
    return Status::kOk;
}
size_t workspace_bytes(const Node&) {
    return 0;
}

TALUS_MULTIVERSION void binary_run(Function function, float* a, const float* b, int64_t count) {
    switch (function) {
    case Function::kAdd:
        for (int64_t i = 0; i < count; ++i)
            a[i] += b[i];
        return;
    case Function::kSub:
        for (int64_t i = 0; i < count; ++i)
            a[i] -= b[i];
        return;
    case Function::kMul:
        for (int64_t i = 0; i < count; ++i)
            a[i] *= b[i];
        return;
    case Function::kDiv:
        for (int64_t i = 0; i < count; ++i)
            a[i] /= b[i];
        return;
    case Function::kMin:
        for (int64_t i = 0; i < count; ++i)
            a[i] = a[i] != a[i] || a[i] <= b[i] ? a[i] : b[i];
        return;
    default: // kMax
        for (int64_t i = 0; i < count; ++i)
            a[i] = a[i] != a[i] || a[i] >= b[i] ? a[i] : b[i];
        return;
    }
}

TALUS_MULTIVERSION void unary_run(const Attributes& attributes, float* a, int64_t count) {
    const float low = attributes.low;
    const float high = attributes.high;
    switch (attributes.function) {
    case Function::kNeg:
        for (int64_t i = 0; i < count; ++i)
            a[i] = -a[i];
        return;
    case Function::kAbs:
        for (int64_t i = 0; i < count; ++i)
            a[i] = std::fabs(a[i]);
        return;
    case Function::kRelu:
        for (int64_t i = 0; i < count; ++i)
            a[i] = a[i] < 0.0F ? 0.0F : a[i];
        return;
    case Function::kClip:
        for (int64_t i = 0; i < count; ++i) {
            const float raised = a[i] < low ? low : a[i];
            a[i] = raised > high ? high : raised;
        }
        return;
    case Function::kSqrt:
        for (int64_t i = 0; i < count; ++i)
            a[i] = std::sqrt(a[i]);
        return;
    case Function::kSigmoid:
        sigmoid_run(a, count);
        return;
    case Function::kTanh:
        tanh_run(a, count);
        return;
    case Function::kExp:
        exp_run(a, count);
        return;
    default: // kIdentity
        return;
    }
}

Status launch(const Node& node, const void*, void*, Diagnostic*) {
    const Attributes& attributes = node.as<Attributes>();
    const TensorView& y = node.output();
    const TensorView& a = node.input(0);
    const TensorView& b = node.input(node.input_count - 1);
    if (y.elements() == 0)
        return Status::kOk;
    int64_t strides[3][kMaxRank] = {};
    for (int32_t d = 0; d < y.rank; ++d) {
        strides[0][d] = y.strides[d];
        strides[1][d] = broadcast_stride(a, y.rank, d);
        strides[2][d] = broadcast_stride(b, y.rank, d);
    }
    const int32_t last = y.rank > 0 ? y.rank - 1 : 0;
    for_each_run<3>(y.shape, y.rank, strides, [&](const int64_t* at, int64_t count) {
        float left[kRun];
        float right[kRun];
        load_run(a, at[1], strides[1][last], count, left);
        if (is_binary(attributes.function)) {
            load_run(b, at[2], strides[2][last], count, right);
            binary_run(attributes.function, left, right, count);
        } else {
            unary_run(attributes, left, count);
        }
        store_run(y, at[0], strides[0][last], count, left);
    });
    return Status::kOk;
}

} // namespace

extern const HostKernel kCpu;
const HostKernel kCpu{supports, packed_bytes, prepack, workspace_bytes, launch};

} // namespace talus::kernels::eltwise
