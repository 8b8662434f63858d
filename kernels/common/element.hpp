// Reads and writes single elements of any type, for the references and the tests. Independent of
// every target; slow.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/common/half.hpp"
#include "kernels/common/types.hpp"

namespace talus::kernels {

// The element at `offset` (in elements) as binary64. 64-bit integers beyond 2^53 round.
inline double load_f64(const TensorView& view, int64_t offset) {
    switch (view.dtype) {
    case DType::kFloat32:
        return view.as<const float>()[offset];
    case DType::kFloat64:
        return view.as<const double>()[offset];
    case DType::kFloat16:
        return half_to_float(view.as<const uint16_t>()[offset]);
    case DType::kBfloat16:
        return bfloat16_to_float(view.as<const uint16_t>()[offset]);
    case DType::kInt8:
        return view.as<const int8_t>()[offset];
    case DType::kUint8:
    case DType::kBool:
        return view.as<const uint8_t>()[offset];
    case DType::kInt16:
        return view.as<const int16_t>()[offset];
    case DType::kUint16:
        return view.as<const uint16_t>()[offset];
    case DType::kInt32:
        return view.as<const int32_t>()[offset];
    case DType::kUint32:
        return view.as<const uint32_t>()[offset];
    case DType::kInt64:
        return static_cast<double>(view.as<const int64_t>()[offset]);
    case DType::kUint64:
        return static_cast<double>(view.as<const uint64_t>()[offset]);
    case DType::kUndefined:
        break;
    }
    return std::numeric_limits<double>::quiet_NaN();
}

// An int32 or int64 element, exactly.
inline int64_t load_index(const TensorView& view, int64_t offset) {
    return view.dtype == DType::kInt32 ? view.as<const int32_t>()[offset]
                                       : view.as<const int64_t>()[offset];
}

// Rounds a real result once to the floating-point type of `view`. binary64 → binary16 goes through
// round-to-odd binary32, so that it is not rounded twice.
inline void store_f64(const TensorView& view, int64_t offset, double value) {
    if (view.dtype == DType::kFloat64) {
        view.as<double>()[offset] = value;
        return;
    }
    float single = static_cast<float>(value);
    if (view.dtype == DType::kFloat32) {
        view.as<float>()[offset] = single;
        return;
    }
    if (std::isfinite(value) && std::isfinite(single) && static_cast<double>(single) != value) {
        // Truncate toward zero, then set the lowest bit: a sticky bit far below binary16's last.
        if (std::fabs(static_cast<double>(single)) > std::fabs(value))
            single = std::nextafterf(single, 0.0F);
        single = float_from_bits(float_bits(single) | 1U);
    }
    if (view.dtype == DType::kFloat16)
        view.as<uint16_t>()[offset] = float_to_half(single);
    else if (view.dtype == DType::kBfloat16)
        view.as<uint16_t>()[offset] = float_to_bfloat16(single);
}

inline bool is_float(DType type) {
    return type == DType::kFloat32 || type == DType::kFloat16 || type == DType::kBfloat16 ||
           type == DType::kFloat64;
}

// Gives an output that the caller left blank (rank 0) its shape and dense strides, and its dtype if
// that is still undefined; never changes `data`. An output whose shape the caller has set, with
// strides of his own, must have the right one.
inline Status set_output(const char* op, TensorView& output, DType dtype, const int64_t* shape,
                         int32_t rank, Diagnostic* diagnostic) {
    const DType kept = output.present() ? output.dtype : dtype;
    if (output.rank == 0 && rank > 0) {
        output = make_view(output.data, kept, shape, rank);
        return Status::kOk;
    }
    output.dtype = kept;
    bool same = output.rank == rank;
    for (int32_t d = 0; same && d < rank; ++d)
        same = output.shape[d] == shape[d];
    return same ? Status::kOk
                : fail(diagnostic, Status::kBadArgument,
                       "%s: the output has not the shape that follows from the inputs", op);
}

} // namespace talus::kernels
