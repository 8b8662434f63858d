// One element of an element-wise function, for host and CUDA code.
#pragma once

#include <cmath>

#include "kernels/common/scalar.hpp"
#include "kernels/common/strided.hpp"
#include "kernels/eltwise/op.hpp"

namespace talus::kernels::eltwise {

struct Parameters {
    TensorView a, b, y; // a and b broadcast to y's shape; b: kUndefined for unary functions
    Attributes attributes;
};

TALUS_HOST_DEVICE inline float apply(const Attributes& attributes, float a, float b) {
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
        return a != a || a <= b ? a : b;
    case Function::kMax:
        return a != a || a >= b ? a : b;
    case Function::kIdentity:
        return a;
    case Function::kNeg:
        return -a;
    case Function::kAbs:
        return fabsf(a);
    case Function::kRelu:
        return a < 0.0F ? 0.0F : a;
    case Function::kSigmoid: {
        // e^-|a| cannot overflow.
        const float e = expf(-fabsf(a));
        const float positive = 1.0F / (1.0F + e);
        return a < 0.0F ? e * positive : positive;
    }
    case Function::kTanh:
        return tanhf(a);
    case Function::kExp:
        return expf(a);
    case Function::kSqrt:
        return sqrtf(a);
    case Function::kClip: {
        const float raised = a < attributes.low ? attributes.low : a;
        return raised > attributes.high ? attributes.high : raised;
    }
    }
    return a;
}

// Everything a thread does for the `linear`-th element of Y.
TALUS_HOST_DEVICE inline void compute_element(const Parameters& p, int64_t linear) {
    const float a = load_float(p.a.data, p.a.dtype, offset_of(p.a, linear));
    const float b = p.b.present() ? load_float(p.b.data, p.b.dtype, offset_of(p.b, linear)) : 0.0F;
    store_float(p.y.data, p.y.dtype, offset_of(p.y, linear), apply(p.attributes, a, b));
}

} // namespace talus::kernels::eltwise
