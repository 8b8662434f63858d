// Runs of elements for the CPU kernels: walk a strided view as its innermost runs, and move runs
// between any floating-point type and dense float32 buffers. Loops are plain so that the compiler
// vectorises them; TALUS_MULTIVERSION builds them for several x86 levels, chosen at load time. None
// of them contracts a*b+c, so that all levels give the same bits.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/common/half.hpp"
#include "kernels/common/types.hpp"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__)
#define TALUS_MULTIVERSION                                                                         \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TALUS_MULTIVERSION
#endif

namespace talus::kernels {

// Elements that kernels convert at a time: two such buffers stay within the L1 cache.
constexpr int64_t kRun = 512;

// Branch-free binary16 → binary32, equal to half_to_float.
inline float half_to_float_lane(uint16_t half) {
    const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffU) << 13;
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000U) << 16;
    // Scaling by 2^112 rebiases the exponent and normalises subnormals at once.
    const uint32_t finite = float_bits(float_from_bits(magnitude) * 0x1p112F);
    const uint32_t infinite = 0x7f800000U;
    const uint32_t special = (half & 0x3ffU) != 0 ? 0x7fc00000U : infinite | sign;
    return float_from_bits(magnitude >= 0x0f800000U ? special : finite | sign);
}

void half_run_to_float(const uint16_t* from, float* to, int64_t count);
void float_run_to_half(const float* from, uint16_t* to, int64_t count);

// `count` elements of a floating-point view from `offset` on, `stride` apart, as float32.
void load_run(const TensorView& view, int64_t offset, int64_t stride, int64_t count, float* to);
// Rounds once to the view's type.
void store_run(const TensorView& view, int64_t offset, int64_t stride, int64_t count,
               const float* from);

// 1 / (1 + exp(-x)) and its kin over a dense run, in place. Relative error below 4e-7 where the
// result is normal; NaN passes through; -inf and +inf give the limits.
void exp_run(float* values, int64_t count);
void sigmoid_run(float* values, int64_t count);
void tanh_run(float* values, int64_t count);

// Copies all elements of `source` to `destination`: same element size and shape, any strides.
void copy_view(const TensorView& destination, const TensorView& source);

// Calls f(index offsets...) for every innermost run of up to kRun elements of a shape. `strides`
// has `views` rows of kMaxRank entries; f(offsets, count) gets one element offset per view.
template <int Views, typename Function>
void for_each_run(const int64_t* shape, int32_t rank, const int64_t (&strides)[Views][kMaxRank],
                  Function&& f) {
    const int64_t inner = rank > 0 ? shape[rank - 1] : 1;
    int64_t outer = 1;
    for (int32_t d = 0; d + 1 < rank; ++d)
        outer *= shape[d];
    for (int64_t row = 0; row < outer; ++row) {
        int64_t offsets[Views] = {};
        int64_t rest = row;
        for (int32_t d = rank - 2; d >= 0; --d) {
            const int64_t at = rest % shape[d];
            rest /= shape[d];
            for (int v = 0; v < Views; ++v)
                offsets[v] += at * strides[v][d];
        }
        for (int64_t begin = 0; begin < inner; begin += kRun) {
            int64_t starts[Views];
            for (int v = 0; v < Views; ++v)
                starts[v] = offsets[v] + (rank > 0 ? begin * strides[v][rank - 1] : 0);
            f(starts, std::min(kRun, inner - begin));
        }
    }
}

} // namespace talus::kernels
