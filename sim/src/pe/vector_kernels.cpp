// Compiled once per instruction set that Highway knows; the best one is chosen when first called.
#include "vector_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pe/vector_kernels.cpp" // NOLINT: Highway includes this file again
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "half-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace talus::sim::HWY_NAMESPACE {

void Fp16Row(const std::uint8_t* source, std::size_t count, float* destination) {
    half_row(source, count, TALUS_CP_FP16, destination);
}

void Bf16Row(const std::uint8_t* source, std::size_t count, float* destination) {
    half_row(source, count, TALUS_CP_BF16, destination);
}

void AddRow(const float* source, std::size_t count, float* accumulator) {
    const FloatTag d;
    const std::size_t lanes = hn::Lanes(d);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        hn::StoreU(hn::Add(hn::LoadU(d, accumulator + i), hn::LoadU(d, source + i)), d,
                   accumulator + i);
    }
    for (; i < count; ++i) {
        accumulator[i] = accumulator[i] + source[i];
    }
}

} // namespace talus::sim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace talus::sim {

HWY_EXPORT(Fp16Row);
HWY_EXPORT(Bf16Row);
HWY_EXPORT(AddRow);

void fp16_to_fp32_row(const std::uint8_t* source, std::size_t count, float* destination) {
    HWY_DYNAMIC_DISPATCH(Fp16Row)(source, count, destination);
}
void bf16_to_fp32_row(const std::uint8_t* source, std::size_t count, float* destination) {
    HWY_DYNAMIC_DISPATCH(Bf16Row)(source, count, destination);
}
void add_row(const float* source, std::size_t count, float* accumulator) {
    HWY_DYNAMIC_DISPATCH(AddRow)(source, count, accumulator);
}

} // namespace talus::sim
#endif
