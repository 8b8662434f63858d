// IEEE 754-2008 binary arithmetic in integers, as RISC-V wants it: NaN results are the canonical
// NaN, tininess is detected after rounding, all five rounding modes. Formats: half, single, double.
//
// It is the only implementation of half precision and of
// round-to-nearest-ties-to-maximum-magnitude, and the reference that the host's arithmetic (fp.hpp)
// is tested against.
#ifndef TALUS_SIM_ISA_SOFT_FLOAT_HPP
#define TALUS_SIM_ISA_SOFT_FLOAT_HPP

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

namespace talus::sim::soft {

__extension__ using u128 = unsigned __int128;

/// RISC-V's encodings.
enum Rounding : std::uint8_t { kRne = 0, kRtz = 1, kRdn = 2, kRup = 3, kRmm = 4 };
enum Flag : std::uint8_t { kNx = 1, kUf = 2, kOf = 4, kDz = 8, kNv = 16 };

template <class U, int Fraction, int Exponent>
struct Format {
    using Bits = U;
    static constexpr int kFraction = Fraction;
    static constexpr int kExponent = Exponent;
    static constexpr int kBias = (1 << (Exponent - 1)) - 1;
    static constexpr int kMaxBiased = (1 << Exponent) - 1;
    static constexpr U kSign = static_cast<U>(U{1} << (Fraction + Exponent));
    static constexpr U kInf = static_cast<U>(static_cast<U>(kMaxBiased) << Fraction);
    static constexpr U kQuiet = static_cast<U>(U{1} << (Fraction - 1));
    static constexpr U kNan = kInf | kQuiet;
    static constexpr U kOne = static_cast<U>(static_cast<U>(kBias) << Fraction);

    static constexpr bool is_nan(U a) { return static_cast<U>(a & ~kSign) > kInf; }
    static constexpr bool is_snan(U a) { return is_nan(a) && !(a & kQuiet); }
    static constexpr bool is_inf(U a) { return static_cast<U>(a & ~kSign) == kInf; }
    static constexpr bool is_zero(U a) { return static_cast<U>(a & ~kSign) == 0; }
    static constexpr bool sign(U a) { return a & kSign; }
    static constexpr U inf(bool negative) { return negative ? kInf | kSign : kInf; }
    static constexpr U zero(bool negative) { return negative ? kSign : U{0}; }
};

using Half = Format<std::uint16_t, 10, 5>;
using Single = Format<std::uint32_t, 23, 8>;
using Double = Format<std::uint64_t, 52, 11>;

struct Env {
    std::uint8_t rm = kRne;
    std::uint8_t flags = 0;
};

/// A finite non-zero number: (-1)^sign * sig * 2^(exp - 63), bit 63 of sig set; bit 0 may be
/// sticky.
struct Number {
    bool sign;
    int exp;
    std::uint64_t sig;
};

template <class F>
constexpr Number unpack(typename F::Bits a) {
    const int biased = static_cast<int>(a >> F::kFraction) & F::kMaxBiased;
    std::uint64_t sig = a & ((std::uint64_t{1} << F::kFraction) - 1);
    int exp = biased - F::kBias;
    if (biased == 0)
        exp = 1 - F::kBias;
    else
        sig |= std::uint64_t{1} << F::kFraction;
    sig <<= 63 - F::kFraction;
    const int shift = std::countl_zero(sig);
    return {F::sign(a), exp - shift, sig << shift};
}

constexpr std::uint64_t shift_right_sticky(std::uint64_t value, int count) {
    if (count <= 0)
        return value;
    if (count > 63)
        return value != 0;
    return value >> count | ((value << (64 - count)) != 0);
}
constexpr u128 shift_right_sticky(u128 value, int count) {
    if (count <= 0)
        return value;
    if (count > 127)
        return value != 0;
    return value >> count | u128{(value << (128 - count)) != 0};
}

/// Whether to add one unit to a magnitude whose dropped part is `rest` out of `unit` = 2^n, given
/// its lowest kept bit.
constexpr bool rounds_up(std::uint8_t rm, bool sign, bool odd, std::uint64_t rest,
                         std::uint64_t half) {
    switch (rm) {
    case kRne:
        return rest > half || (rest == half && odd);
    case kRmm:
        return rest >= half;
    case kRdn:
        return sign && rest != 0;
    case kRup:
        return !sign && rest != 0;
    default:
        return false;
    }
}

/// Rounds to the format; `n.sig` must have bit 63 set.
template <class F>
constexpr typename F::Bits round_pack(Number n, Env& env) {
    using Bits = typename F::Bits;
    constexpr int kDrop = 63 - F::kFraction;
    constexpr std::uint64_t kHalf = std::uint64_t{1} << (kDrop - 1);
    constexpr std::uint64_t kMask = (std::uint64_t{1} << kDrop) - 1;
    int biased = n.exp + F::kBias;
    std::uint64_t sig = n.sig;
    bool tiny = false;
    if (biased < 1) {
        // Tiny unless rounding with an unbounded exponent reaches the smallest normal number.
        const bool carries = biased == 0 &&
                             sig >> kDrop == (std::uint64_t{2} << F::kFraction) - 1 &&
                             rounds_up(env.rm, n.sign, true, sig & kMask, kHalf);
        tiny = !carries;
        sig = shift_right_sticky(sig, 1 - biased);
        biased = 0;
    }
    const std::uint64_t rest = sig & kMask;
    std::uint64_t kept = sig >> kDrop;
    if (rounds_up(env.rm, n.sign, kept & 1, rest, kHalf))
        ++kept;
    if (rest != 0)
        env.flags |= tiny ? kNx | kUf : kNx;
    // The significand's leading one adds itself to the exponent, as does its carry.
    const std::uint64_t magnitude =
        biased == 0 ? kept : (static_cast<std::uint64_t>(biased - 1) << F::kFraction) + kept;
    if (biased > 0 && magnitude >= F::kInf) {
        env.flags |= kOf | kNx;
        const bool to_max =
            env.rm == kRtz || (env.rm == kRdn && !n.sign) || (env.rm == kRup && n.sign);
        return static_cast<Bits>((to_max ? F::kInf - 1 : F::kInf) | F::zero(n.sign));
    }
    return static_cast<Bits>(static_cast<Bits>(magnitude) | F::zero(n.sign));
}

/// Rounds sig * 2^(exp - 127), any sig but 0.
template <class F>
constexpr typename F::Bits round_pack(bool sign, int exp, u128 sig, Env& env) {
    const auto high = static_cast<std::uint64_t>(sig >> 64);
    const int shift =
        high ? std::countl_zero(high) : 64 + std::countl_zero(static_cast<std::uint64_t>(sig));
    sig <<= shift;
    const std::uint64_t narrow =
        static_cast<std::uint64_t>(sig >> 64) | std::uint64_t{static_cast<std::uint64_t>(sig) != 0};
    return round_pack<F>(Number{sign, exp - shift, narrow}, env);
}

/// The result of an operation with a NaN operand.
template <class F, class... B>
constexpr typename F::Bits nan_result(Env& env, B... operands) {
    if ((F::is_snan(operands) || ...))
        env.flags |= kNv;
    return F::kNan;
}
template <class F>
constexpr typename F::Bits invalid(Env& env) {
    env.flags |= kNv;
    return F::kNan;
}

template <class F>
constexpr typename F::Bits add(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_nan(a) || F::is_nan(b))
        return nan_result<F>(env, a, b);
    if (F::is_inf(a))
        return F::is_inf(b) && a != b ? invalid<F>(env) : a;
    if (F::is_inf(b))
        return b;
    if (F::is_zero(a) && F::is_zero(b))
        return a == b ? a : F::zero(env.rm == kRdn);
    if (F::is_zero(a))
        return b;
    if (F::is_zero(b))
        return a;
    Number x = unpack<F>(a), y = unpack<F>(b);
    if (x.exp < y.exp || (x.exp == y.exp && x.sig < y.sig))
        std::swap(x, y);
    // One spare bit on top for the carry.
    const u128 big = u128{x.sig} << 63;
    const u128 small = shift_right_sticky(u128{y.sig} << 63, x.exp - y.exp);
    const u128 sum = x.sign == y.sign ? big + small : big - small;
    if (sum == 0)
        return F::zero(env.rm == kRdn);
    return round_pack<F>(x.sign, x.exp + 1, sum, env);
}

template <class F>
constexpr typename F::Bits sub(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_nan(b))
        return nan_result<F>(env, a, b);
    return add<F>(a, static_cast<typename F::Bits>(b ^ F::kSign), env);
}

template <class F>
constexpr typename F::Bits mul(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_nan(a) || F::is_nan(b))
        return nan_result<F>(env, a, b);
    const bool sign = F::sign(a) != F::sign(b);
    if (F::is_inf(a) || F::is_inf(b))
        return F::is_zero(a) || F::is_zero(b) ? invalid<F>(env) : F::inf(sign);
    if (F::is_zero(a) || F::is_zero(b))
        return F::zero(sign);
    const Number x = unpack<F>(a), y = unpack<F>(b);
    return round_pack<F>(sign, x.exp + y.exp + 1, u128{x.sig} * y.sig, env);
}

template <class F>
constexpr typename F::Bits div(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_nan(a) || F::is_nan(b))
        return nan_result<F>(env, a, b);
    const bool sign = F::sign(a) != F::sign(b);
    if (F::is_inf(a))
        return F::is_inf(b) ? invalid<F>(env) : F::inf(sign);
    if (F::is_inf(b))
        return F::zero(sign);
    if (F::is_zero(b)) {
        if (F::is_zero(a))
            return invalid<F>(env);
        env.flags |= kDz;
        return F::inf(sign);
    }
    if (F::is_zero(a))
        return F::zero(sign);
    const Number x = unpack<F>(a), y = unpack<F>(b);
    const u128 numerator = u128{x.sig} << 63;
    u128 quotient = numerator / y.sig; // 2^62 .. 2^64
    if (numerator % y.sig != 0)
        quotient = quotient << 1 | 1;
    else
        quotient <<= 1;
    return round_pack<F>(sign, x.exp - y.exp + 63, quotient, env);
}

template <class F>
constexpr typename F::Bits sqrt(typename F::Bits a, Env& env) {
    if (F::is_nan(a))
        return nan_result<F>(env, a);
    if (F::is_zero(a))
        return a;
    if (F::sign(a))
        return invalid<F>(env);
    if (F::is_inf(a))
        return a;
    const Number x = unpack<F>(a);
    // value = sig * 2^63 * 2^(exp - 126), or with an odd exponent sig * 2^64 * 2^(exp - 1 - 126).
    const bool odd = x.exp & 1;
    const u128 radicand = u128{x.sig} << (odd ? 64 : 63);
    u128 root = 0;
    u128 rest = radicand;
    for (u128 bit = u128{1} << 126; bit != 0; bit >>= 2) {
        if (rest >= root + bit) {
            rest -= root + bit;
            root = (root >> 1) + bit;
        } else {
            root >>= 1;
        }
    }
    const int exp = (x.exp - (odd ? 1 : 0)) / 2;
    root = root << 1 | u128{rest != 0};
    return round_pack<F>(false, exp + 63, root, env);
}

/// a * b + c with one rounding.
template <class F>
constexpr typename F::Bits fma(typename F::Bits a, typename F::Bits b, typename F::Bits c,
                               Env& env) {
    const bool inf_times_zero = (F::is_inf(a) && F::is_zero(b)) || (F::is_zero(a) && F::is_inf(b));
    if (inf_times_zero)
        return invalid<F>(env); // even if c is a quiet NaN
    if (F::is_nan(a) || F::is_nan(b) || F::is_nan(c))
        return nan_result<F>(env, a, b, c);
    const bool sign = F::sign(a) != F::sign(b);
    if (F::is_inf(a) || F::is_inf(b))
        return F::is_inf(c) && F::sign(c) != sign ? invalid<F>(env) : F::inf(sign);
    if (F::is_inf(c))
        return c;
    if (F::is_zero(a) || F::is_zero(b)) {
        if (F::is_zero(c))
            return F::sign(c) == sign ? c : F::zero(env.rm == kRdn);
        return c;
    }
    const Number x = unpack<F>(a), y = unpack<F>(b);
    // The product's significant bits lie in the upper 2 * (kFraction + 1) of 128: the low ones are
    // zero, so a shift by two loses nothing and larger ones only a sticky part.
    u128 product = (u128{x.sig} * y.sig) >> 2;
    int exp = x.exp + y.exp + 3;
    if (F::is_zero(c))
        return round_pack<F>(sign, exp, product, env);
    const Number z = unpack<F>(c);
    u128 addend = u128{z.sig} << 61; // value = addend * 2^(z_exp - 127)
    int z_exp = z.exp + 3;
    if (exp >= z_exp) {
        addend = shift_right_sticky(addend, exp - z_exp);
    } else {
        product = shift_right_sticky(product, z_exp - exp);
        exp = z_exp;
    }
    if (sign == z.sign)
        return round_pack<F>(sign, exp, product + addend, env);
    if (product == addend)
        return F::zero(env.rm == kRdn);
    return product > addend ? round_pack<F>(sign, exp, product - addend, env)
                            : round_pack<F>(z.sign, exp, addend - product, env);
}

template <class To, class From>
constexpr typename To::Bits convert(typename From::Bits a, Env& env) {
    if (From::is_nan(a)) {
        if (From::is_snan(a))
            env.flags |= kNv;
        return To::kNan;
    }
    if (From::is_inf(a))
        return To::inf(From::sign(a));
    if (From::is_zero(a))
        return To::zero(From::sign(a));
    return round_pack<To>(unpack<From>(a), env);
}

template <class F, class Int>
constexpr typename F::Bits from_int(Int value, Env& env) {
    if (value == 0)
        return 0;
    bool sign = false;
    auto magnitude = static_cast<std::uint64_t>(value);
    if constexpr (std::is_signed_v<Int>) {
        sign = value < 0;
        if (sign)
            magnitude = 0 - static_cast<std::uint64_t>(std::int64_t{value});
    }
    const int shift = std::countl_zero(magnitude);
    return round_pack<F>(Number{sign, 63 - shift, magnitude << shift}, env);
}

/// Out of range and NaN saturate and are invalid (and not inexact).
template <class Int, class F>
constexpr Int to_int(typename F::Bits a, Env& env) {
    constexpr Int kMax = std::numeric_limits<Int>::max(), kMin = std::numeric_limits<Int>::min();
    const auto saturate = [&](bool low) {
        env.flags |= kNv;
        return low ? kMin : kMax;
    };
    if (F::is_nan(a))
        return saturate(false);
    if (F::is_inf(a))
        return saturate(F::sign(a));
    if (F::is_zero(a))
        return 0;
    const Number n = unpack<F>(a);
    if (n.exp > 63)
        return saturate(n.sign);
    // Integer part and a rest of 64 bits with stickiness.
    std::uint64_t whole = 0, rest = 0;
    if (n.exp == 63) {
        whole = n.sig;
    } else if (n.exp >= 0) {
        whole = n.sig >> (63 - n.exp);
        rest = n.sig << (n.exp + 1);
    } else {
        rest = shift_right_sticky(n.sig, -1 - n.exp);
    }
    if (rounds_up(env.rm, n.sign, whole & 1, rest, std::uint64_t{1} << 63)) {
        if (++whole == 0)
            return saturate(n.sign);
    }
    const std::uint64_t limit = n.sign ? 0 - static_cast<std::uint64_t>(std::int64_t(kMin))
                                       : static_cast<std::uint64_t>(kMax);
    if (whole > (n.sign && !std::is_signed_v<Int> ? 0 : limit))
        return saturate(n.sign);
    if (rest != 0)
        env.flags |= kNx;
    return static_cast<Int>(n.sign ? 0 - whole : whole);
}

template <class F>
constexpr bool lt_ordered(typename F::Bits a, typename F::Bits b) {
    if (F::is_zero(a) && F::is_zero(b))
        return false;
    if (F::sign(a) != F::sign(b))
        return F::sign(a);
    return F::sign(a) ? b < a : a < b;
}
template <class F>
constexpr bool eq(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_nan(a) || F::is_nan(b)) {
        nan_result<F>(env, a, b);
        return false;
    }
    return a == b || (F::is_zero(a) && F::is_zero(b));
}
template <class F>
constexpr bool lt(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_nan(a) || F::is_nan(b)) {
        env.flags |= kNv;
        return false;
    }
    return lt_ordered<F>(a, b);
}
template <class F>
constexpr bool le(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_nan(a) || F::is_nan(b)) {
        env.flags |= kNv;
        return false;
    }
    return !lt_ordered<F>(b, a);
}

/// minimumNumber and maximumNumber: a NaN loses to a number, and -0 < +0.
template <class F, bool Max>
constexpr typename F::Bits min_max(typename F::Bits a, typename F::Bits b, Env& env) {
    if (F::is_snan(a) || F::is_snan(b))
        env.flags |= kNv;
    if (F::is_nan(a))
        return F::is_nan(b) ? F::kNan : b;
    if (F::is_nan(b))
        return a;
    const bool a_less = F::sign(a) != F::sign(b) ? F::sign(a) : lt_ordered<F>(a, b);
    return a_less != Max ? a : b;
}

template <class F>
constexpr unsigned classify(typename F::Bits a) {
    const bool negative = F::sign(a);
    if (F::is_nan(a))
        return F::is_snan(a) ? 1u << 8 : 1u << 9;
    if (F::is_inf(a))
        return negative ? 1u << 0 : 1u << 7;
    if (F::is_zero(a))
        return negative ? 1u << 3 : 1u << 4;
    if ((a & F::kInf) == 0)
        return negative ? 1u << 2 : 1u << 5;
    return negative ? 1u << 1 : 1u << 6;
}

} // namespace talus::sim::soft

#endif
