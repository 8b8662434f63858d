// Conversion of one element, for host and CUDA code. Float types of 16 bits are wrapped so that a
// type, not an integer, selects the conversion.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/common/half.hpp"
#include "kernels/common/strided.hpp"
#include "kernels/common/types.hpp"

namespace talus::kernels::convert {

struct Half {
    uint16_t bits;
};
struct Bfloat {
    uint16_t bits;
};
struct Boolean {
    uint8_t value;
};

template <typename T>
constexpr bool kReal =
    std::is_floating_point_v<T> || std::is_same_v<T, Half> || std::is_same_v<T, Bfloat>;

// binary64 → binary32 rounded to odd: a later rounding to a narrower type is then the only one.
TALUS_HOST_DEVICE inline float round_to_odd(double value) {
    const auto single = static_cast<float>(value);
    const auto back = static_cast<double>(single);
    if (!(back != value) || value != value || float_bits(single) << 1 == 0xff000000U)
        return single; // exact, NaN, or overflow
    uint32_t bits = float_bits(single);
    const double magnitude = value < 0 ? -value : value;
    if ((back < 0 ? -back : back) > magnitude)
        bits -= 1; // towards zero
    return float_from_bits(bits | 1U);
}

template <typename To, typename From>
TALUS_HOST_DEVICE To saturate(From value) {
    static_assert(std::is_integral_v<To>);
    constexpr bool kSignedTo = std::is_signed_v<To>;
    constexpr int kBits = static_cast<int>(sizeof(To)) * 8 - (kSignedTo ? 1 : 0);
    constexpr auto kHigh = static_cast<To>(~uint64_t{0} >> (64 - kBits));
    constexpr To kLow = kSignedTo ? static_cast<To>(-kHigh - 1) : To{0};
    if constexpr (std::is_floating_point_v<From>) {
        // 2^kBits, exact in every binary format here.
        const From limit = static_cast<From>(uint64_t{1} << (kBits - 1)) * From{2};
        if (value != value)
            return 0;
        if (value >= limit)
            return kHigh;
        if (value <= static_cast<From>(kLow))
            return kLow;
        return static_cast<To>(value);
    } else if constexpr (std::is_signed_v<From>) {
        const int64_t wide = value; // NOLINT(bugprone-signed-char-misuse): int8_t is a number
        if (wide < 0)
            return kSignedTo ? (wide < static_cast<int64_t>(kLow) ? kLow : static_cast<To>(wide))
                             : To{0};
        return static_cast<uint64_t>(wide) > static_cast<uint64_t>(kHigh) ? kHigh
                                                                          : static_cast<To>(wide);
    } else {
        const uint64_t wide = value;
        return wide > static_cast<uint64_t>(kHigh) ? kHigh : static_cast<To>(wide);
    }
}

template <typename To, typename From>
TALUS_HOST_DEVICE To convert_element(From value) {
    if constexpr (std::is_same_v<To, From>) {
        if constexpr (std::is_same_v<To, Boolean>)
            return Boolean{static_cast<uint8_t>(value.value != 0)};
        else
            return value;
    } else if constexpr (std::is_same_v<From, Boolean>) {
        return convert_element<To>(static_cast<uint8_t>(value.value != 0));
    } else if constexpr (std::is_same_v<From, Half>) {
        return convert_element<To>(half_to_float(value.bits));
    } else if constexpr (std::is_same_v<From, Bfloat>) {
        return convert_element<To>(bfloat16_to_float(value.bits));
    } else if constexpr (std::is_same_v<To, Boolean>) {
        return Boolean{static_cast<uint8_t>(value != 0)};
    } else if constexpr (std::is_same_v<To, Half> || std::is_same_v<To, Bfloat>) {
        float single;
        if constexpr (std::is_same_v<From, float>)
            single = value;
        else if constexpr (std::is_same_v<From, double>)
            single = round_to_odd(value);
        else
            single = round_to_odd(static_cast<double>(value));
        if constexpr (std::is_same_v<To, Half>)
            return Half{float_to_half(single)};
        else
            return Bfloat{float_to_bfloat16(single)};
    } else if constexpr (std::is_floating_point_v<To>) {
        return static_cast<To>(value);
    } else {
        return saturate<To>(value);
    }
}

// Everything a thread does for the `linear`-th element: any type to To.
template <typename To>
TALUS_HOST_DEVICE void convert_one(const TensorView& y, const TensorView& x, int64_t linear) {
    const int64_t from = offset_of(x, linear);
    To& to = y.as<To>()[offset_of(y, linear)];
    switch (x.dtype) {
    case DType::kFloat32:
        to = convert_element<To>(x.as<const float>()[from]);
        return;
    case DType::kFloat64:
        to = convert_element<To>(x.as<const double>()[from]);
        return;
    case DType::kFloat16:
        to = convert_element<To>(x.as<const Half>()[from]);
        return;
    case DType::kBfloat16:
        to = convert_element<To>(x.as<const Bfloat>()[from]);
        return;
    case DType::kInt8:
        to = convert_element<To>(x.as<const int8_t>()[from]);
        return;
    case DType::kUint8:
        to = convert_element<To>(x.as<const uint8_t>()[from]);
        return;
    case DType::kInt16:
        to = convert_element<To>(x.as<const int16_t>()[from]);
        return;
    case DType::kUint16:
        to = convert_element<To>(x.as<const uint16_t>()[from]);
        return;
    case DType::kInt32:
        to = convert_element<To>(x.as<const int32_t>()[from]);
        return;
    case DType::kUint32:
        to = convert_element<To>(x.as<const uint32_t>()[from]);
        return;
    case DType::kInt64:
        to = convert_element<To>(x.as<const int64_t>()[from]);
        return;
    case DType::kUint64:
        to = convert_element<To>(x.as<const uint64_t>()[from]);
        return;
    case DType::kBool:
        to = convert_element<To>(x.as<const Boolean>()[from]);
        return;
    case DType::kUndefined:
        return;
    }
}

// Calls f(T{}) with the element type of `type`; false for an unknown one.
template <typename F>
bool with_element_type(DType type, F&& f) {
    switch (type) {
    case DType::kFloat32:
        f(float{});
        return true;
    case DType::kFloat64:
        f(double{});
        return true;
    case DType::kFloat16:
        f(Half{});
        return true;
    case DType::kBfloat16:
        f(Bfloat{});
        return true;
    case DType::kInt8:
        f(int8_t{});
        return true;
    case DType::kUint8:
        f(uint8_t{});
        return true;
    case DType::kInt16:
        f(int16_t{});
        return true;
    case DType::kUint16:
        f(uint16_t{});
        return true;
    case DType::kInt32:
        f(int32_t{});
        return true;
    case DType::kUint32:
        f(uint32_t{});
        return true;
    case DType::kInt64:
        f(int64_t{});
        return true;
    case DType::kUint64:
        f(uint64_t{});
        return true;
    case DType::kBool:
        f(Boolean{});
        return true;
    case DType::kUndefined:
        break;
    }
    return false;
}

} // namespace talus::kernels::convert
