// One element of a floating-point tensor as float32, for host and CUDA code. float64 is not among
// the types that kernels compute with.
#pragma once

#include "kernels/common/half.hpp"
#include "kernels/common/types.hpp"

namespace talus::kernels {

TALUS_HOST_DEVICE inline float load_float(const void* data, DType type, int64_t offset) {
    if (type == DType::kFloat32)
        return static_cast<const float*>(data)[offset];
    if (type == DType::kFloat16)
        return half_to_float(static_cast<const uint16_t*>(data)[offset]);
    return bfloat16_to_float(static_cast<const uint16_t*>(data)[offset]);
}

TALUS_HOST_DEVICE inline void store_float(void* data, DType type, int64_t offset, float value) {
    if (type == DType::kFloat32)
        static_cast<float*>(data)[offset] = value;
    else if (type == DType::kFloat16)
        static_cast<uint16_t*>(data)[offset] = float_to_half(value);
    else
        static_cast<uint16_t*>(data)[offset] = float_to_bfloat16(value);
}

inline bool is_kernel_float(DType type) {
    return type == DType::kFloat32 || type == DType::kFloat16 || type == DType::kBfloat16;
}

} // namespace talus::kernels
