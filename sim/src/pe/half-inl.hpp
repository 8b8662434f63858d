// FP16 and BF16 to FP32 in vectors, for the files that Highway compiles once per instruction set.
#if defined(TALUS_SIM_PE_HALF_INL_HPP) == defined(HWY_TARGET_TOGGLE) // NOLINT: as Highway asks
#ifdef TALUS_SIM_PE_HALF_INL_HPP
#undef TALUS_SIM_PE_HALF_INL_HPP
#else
#define TALUS_SIM_PE_HALF_INL_HPP
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hwy/highway.h"

#include "numeric.hpp"

HWY_BEFORE_NAMESPACE();
namespace talus::sim::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using FloatTag = hn::CappedTag<float, 16>;
using IntTag = hn::CappedTag<std::int32_t, 16>;
using WordTag = hn::RebindToUnsigned<FloatTag>;

/// FP32 of the FP16 bit patterns in the lower halves of `bits`, whose upper halves are zero.
HWY_INLINE hn::Vec<FloatTag> from_fp16(hn::Vec<WordTag> bits) {
    const FloatTag d;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
    const hn::Rebind<std::uint16_t, FloatTag> half;
    const hn::Rebind<hwy::float16_t, FloatTag> half_float;
    return hn::PromoteTo(d, hn::BitCast(half_float, hn::TruncateTo(half, bits)));
#else
    // In integer steps, as Highway's own promotion does not know infinities on every host: a half's
    // exponent and mantissa, taken as those of a float, are 2^112 times too small.
    const WordTag wide;
    const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(wide, 0x8000u)));
    const auto magnitude = hn::And(bits, hn::Set(wide, 0x7fffu));
    const auto finite = hn::Mul(hn::BitCast(d, hn::ShiftLeft<13>(magnitude)), hn::Set(d, 0x1p112f));
    const auto special = hn::Gt(hn::BitCast(IntTag(), magnitude), hn::Set(IntTag(), 0x7bff));
    const auto exponent =
        hn::IfThenElseZero(special, hn::BitCast(IntTag(), hn::Set(wide, 0x7f800000u)));
    const auto value = hn::Or(hn::BitCast(wide, finite), hn::BitCast(wide, exponent));
    return hn::BitCast(d, hn::Or(value, sign));
#endif
}

/// FP32 of the BF16 bit patterns in the lower halves.
HWY_INLINE hn::Vec<FloatTag> from_bf16(hn::Vec<WordTag> bits) {
    return hn::BitCast(FloatTag(), hn::ShiftLeft<16>(bits));
}

/// `count` elements of `type` (FP16 or BF16) at any alignment.
HWY_INLINE void half_row(const std::uint8_t* source, std::size_t count, unsigned type,
                         float* destination) {
    const FloatTag d;
    const WordTag wide;
    const hn::Rebind<std::uint16_t, FloatTag> half;
    const std::size_t lanes = hn::Lanes(d);
    HWY_ALIGN std::uint16_t buffer[16];
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        std::memcpy(buffer, source + 2 * i, 2 * lanes);
        const auto bits = hn::PromoteTo(wide, hn::Load(half, buffer));
        hn::StoreU(type == TALUS_CP_FP16 ? from_fp16(bits) : from_bf16(bits), d, destination + i);
    }
    for (; i < count; ++i) {
        destination[i] = load_element(source + 2 * i, type);
    }
}

} // namespace talus::sim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
