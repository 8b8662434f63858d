// Conversion between element types, for graph boundaries and mixed precision.
//
//   input 0   X  float32, float16, bfloat16, float64, int8/16/32/64, uint8/16/32/64, bool; any rank
//   output 0  Y  any of these, the same shape; its dtype says what to convert to. Views may be
//   strided
//
// Bit-exact on every target: float → narrower float rounds to nearest even (overflow is infinity);
// float → integer truncates towards zero and saturates, NaN gives 0; integer → narrower integer
// saturates, so that an index which is out of range stays out of range; anything → bool is x != 0.
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/common/element.hpp"
#include "kernels/common/operator.hpp"

namespace talus::kernels::convert {

struct Attributes {
    int32_t reserved = 0;
};

inline bool convertible(DType type) {
    return size_of(type) != 0;
}

inline Status infer(const Node& node, Diagnostic* diagnostic) {
    if (node.input_count != 1 || node.output_count != 1)
        return fail(diagnostic, Status::kBadArgument,
                    "convert: takes one input and gives one output");
    if (!convertible(node.input(0).dtype) || !convertible(node.output().dtype))
        return fail(diagnostic, Status::kBadArgument, "convert: cannot convert %s to %s",
                    name_of(node.input(0).dtype), name_of(node.output().dtype));
    if (const Status status = set_output("convert", node.output(), node.output().dtype,
                                         node.input(0).shape, node.input(0).rank, diagnostic);
        status != Status::kOk)
        return status;
    return Status::kOk;
}

namespace detail {

// A value as the widest type of its kind: exact for every source type.
struct Wide {
    enum Kind { kReal, kSigned, kUnsigned } kind;
    double real;
    int64_t integer;
    uint64_t natural;
};

inline Wide load_wide(const TensorView& view, int64_t offset) {
    if (is_float(view.dtype))
        return {Wide::kReal, load_f64(view, offset), 0, 0};
    if (view.dtype == DType::kInt64)
        return {Wide::kSigned, 0, view.as<const int64_t>()[offset], 0};
    if (view.dtype == DType::kUint64)
        return {Wide::kUnsigned, 0, 0, view.as<const uint64_t>()[offset]};
    return {Wide::kSigned, 0, static_cast<int64_t>(load_f64(view, offset)), 0};
}

template <typename T>
T saturate(const Wide& value) {
    constexpr T kLow = std::numeric_limits<T>::min();
    constexpr T kHigh = std::numeric_limits<T>::max();
    if (value.kind == Wide::kReal) {
        if (std::isnan(value.real))
            return 0;
        // 2^(value bits) is exact in binary64 while kHigh may not be.
        if (value.real >= std::ldexp(1.0, std::numeric_limits<T>::digits))
            return kHigh;
        return value.real <= static_cast<double>(kLow) ? kLow : static_cast<T>(value.real);
    }
    if (value.kind == Wide::kSigned) {
        if (std::cmp_less(value.integer, kLow))
            return kLow;
        return std::cmp_greater(value.integer, kHigh) ? kHigh : static_cast<T>(value.integer);
    }
    return std::cmp_greater(value.natural, kHigh) ? kHigh : static_cast<T>(value.natural);
}

inline void store_wide(const TensorView& view, int64_t offset, const Wide& value) {
    switch (view.dtype) {
    case DType::kInt8:
        view.as<int8_t>()[offset] = saturate<int8_t>(value);
        return;
    case DType::kUint8:
        view.as<uint8_t>()[offset] = saturate<uint8_t>(value);
        return;
    case DType::kInt16:
        view.as<int16_t>()[offset] = saturate<int16_t>(value);
        return;
    case DType::kUint16:
        view.as<uint16_t>()[offset] = saturate<uint16_t>(value);
        return;
    case DType::kInt32:
        view.as<int32_t>()[offset] = saturate<int32_t>(value);
        return;
    case DType::kUint32:
        view.as<uint32_t>()[offset] = saturate<uint32_t>(value);
        return;
    case DType::kInt64:
        view.as<int64_t>()[offset] = saturate<int64_t>(value);
        return;
    case DType::kUint64:
        view.as<uint64_t>()[offset] = saturate<uint64_t>(value);
        return;
    case DType::kBool:
        view.as<uint8_t>()[offset] = value.kind == Wide::kReal     ? value.real != 0.0
                                     : value.kind == Wide::kSigned ? value.integer != 0
                                                                   : value.natural != 0;
        return;
    default:
        break;
    }
    // To a float type. 64-bit integers go to float32 in one rounding, not through binary64.
    if (value.kind != Wide::kReal && view.dtype == DType::kFloat32) {
        view.as<float>()[offset] = value.kind == Wide::kSigned ? static_cast<float>(value.integer)
                                                               : static_cast<float>(value.natural);
        return;
    }
    store_f64(view, offset,
              value.kind == Wide::kReal     ? value.real
              : value.kind == Wide::kSigned ? static_cast<double>(value.integer)
                                            : static_cast<double>(value.natural));
}

} // namespace detail

inline Status reference(const Node& node, Diagnostic* diagnostic) {
    if (const Status status = infer(node, diagnostic); status != Status::kOk)
        return status;
    const TensorView& x = node.input(0);
    const TensorView& y = node.output();
    const int64_t count = x.elements();
    for (int64_t e = 0; e < count; ++e) {
        int64_t rest = e;
        int64_t from = 0;
        int64_t to = 0;
        for (int32_t d = x.rank - 1; d >= 0; --d) {
            const int64_t i = rest % x.shape[d];
            rest /= x.shape[d];
            from += i * x.strides[d];
            to += i * y.strides[d];
        }
        detail::store_wide(y, to, detail::load_wide(x, from));
    }
    return Status::kOk;
}

constexpr Operator kOperator{"convert", sizeof(Attributes), 0, infer, reference};

} // namespace talus::kernels::convert
