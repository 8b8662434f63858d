// Vector conversions between floating point and integers and between floating-point widths.
#include "vector_fp.hpp"

namespace talus::sim {

namespace {

using namespace vec;

template <unsigned Bytes, bool IsSigned>
struct IntOf;
template <>
struct IntOf<1, true> {
    using Type = std::int8_t;
};
template <>
struct IntOf<1, false> {
    using Type = std::uint8_t;
};
template <>
struct IntOf<2, true> {
    using Type = std::int16_t;
};
template <>
struct IntOf<2, false> {
    using Type = std::uint16_t;
};
template <>
struct IntOf<4, true> {
    using Type = std::int32_t;
};
template <>
struct IntOf<4, false> {
    using Type = std::uint32_t;
};
template <>
struct IntOf<8, true> {
    using Type = std::int64_t;
};
template <>
struct IntOf<8, false> {
    using Type = std::uint64_t;
};
template <unsigned Bytes, bool IsSigned>
using Int = typename IntOf<Bytes, IsSigned>::Type;

template <class F>
inline constexpr unsigned kBytes = sizeof(Bits<F>);

enum class Mode { kDynamic, kTruncate };

Env environment(const Core& c, Mode mode) {
    return {mode == Mode::kTruncate ? std::uint8_t{soft::kRtz} : c.frm, 0};
}

/// One loop for all: reads elements of From, writes convert(value) as elements of To.
template <class To, class From, class Fn>
void convert_elements(Core& c, const Decoded& d, Fn convert) {
    const Group<To> vd(c, d.rd);
    const Group<From> a(c, d.rs2);
    for_active(c, d.vm(), [&](std::uint64_t i) { vd.set(i, static_cast<To>(convert(a[i]))); });
}

template <bool IsSigned, Mode M>
void to_int(Core& c, const Decoded& d) {
    if (!fp_check_sss<FSrc::kF>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    Env env = environment(c, M);
    by_format(c, [&]<class F>() {
        using I = Int<kBytes<F>, IsSigned>;
        convert_elements<I, Bits<F>>(c, d, [&](Bits<F> a) { return soft::to_int<I, F>(a, env); });
    });
    fp_done(c, env);
}

template <bool IsSigned>
void from_int(Core& c, const Decoded& d) {
    if (!fp_check_sss<FSrc::kF>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    Env env = environment(c, Mode::kDynamic);
    by_format(c, [&]<class F>() {
        using I = Int<kBytes<F>, IsSigned>;
        convert_elements<Bits<F>, I>(c, d, [&](I a) { return soft::from_int<F, I>(a, env); });
    });
    fp_done(c, env);
}

/// vd of twice the width of vs2.
bool check_widening(const Core& c, const Decoded& d) {
    return usable(c) && c.fp_on && c.frm <= soft::kRmm && mask_kept(d) && c.vsew <= 2 &&
           c.vlmul <= 2 && aligned(d.rd, c.vlmul + 1) && aligned(d.rs2, c.vlmul) &&
           separate(d.rd, c.vlmul + 1, d.rs2, c.vlmul);
}
/// vd of half the width of vs2.
bool check_narrowing(const Core& c, const Decoded& d) {
    return usable(c) && c.fp_on && c.frm <= soft::kRmm && mask_kept(d) && c.vsew <= 2 &&
           c.vlmul <= 2 && aligned(d.rd, c.vlmul) && aligned(d.rs2, c.vlmul + 1) &&
           separate_narrow(d.rd, c.vlmul, d.rs2, c.vlmul + 1);
}

template <bool IsSigned, Mode M>
void widen_to_int(Core& c, const Decoded& d) {
    if (!check_widening(c, d) || c.vsew < 1)
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    Env env = environment(c, M);
    by_narrow_format(c, [&]<class F>() {
        using I = Int<2 * kBytes<F>, IsSigned>;
        convert_elements<I, Bits<F>>(c, d, [&](Bits<F> a) { return soft::to_int<I, F>(a, env); });
    });
    fp_done(c, env);
}

/// From integers of 8, 16 or 32 bits to floating point of 16, 32 or 64.
template <bool IsSigned>
void widen_from_int(Core& c, const Decoded& d) {
    if (!check_widening(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    Env env = environment(c, Mode::kDynamic);
    const auto run = [&]<class F>() {
        using I = Int<kBytes<F> / 2, IsSigned>;
        convert_elements<Bits<F>, I>(c, d, [&](I a) { return soft::from_int<F, I>(a, env); });
    };
    if (c.vsew == 0)
        run.template operator()<Half>();
    else if (c.vsew == 1)
        run.template operator()<Single>();
    else
        run.template operator()<Double>();
    fp_done(c, env);
}

void widen_float(Core& c, const Decoded& d) {
    if (!check_widening(c, d) || c.vsew < 1)
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    Env env = environment(c, Mode::kDynamic);
    by_narrow_format(c, [&]<class F>() {
        using W = WideFormat<F>;
        convert_elements<Bits<W>, Bits<F>>(c, d,
                                           [&](Bits<F> a) { return soft::convert<W, F>(a, env); });
    });
    fp_done(c, env);
}

/// From floating point of 16, 32 or 64 bits to integers of 8, 16 or 32.
template <bool IsSigned, Mode M>
void narrow_to_int(Core& c, const Decoded& d) {
    if (!check_narrowing(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    Env env = environment(c, M);
    const auto run = [&]<class F>() {
        using I = Int<kBytes<F> / 2, IsSigned>;
        convert_elements<I, Bits<F>>(c, d, [&](Bits<F> a) { return soft::to_int<I, F>(a, env); });
    };
    if (c.vsew == 0)
        run.template operator()<Half>();
    else if (c.vsew == 1)
        run.template operator()<Single>();
    else
        run.template operator()<Double>();
    fp_done(c, env);
}

template <bool IsSigned>
void narrow_from_int(Core& c, const Decoded& d) {
    if (!check_narrowing(c, d) || c.vsew < 1)
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    Env env = environment(c, Mode::kDynamic);
    by_narrow_format(c, [&]<class F>() {
        using I = Int<2 * kBytes<F>, IsSigned>;
        convert_elements<Bits<F>, I>(c, d, [&](I a) { return soft::from_int<F, I>(a, env); });
    });
    fp_done(c, env);
}

/// Round to odd: truncate, and make the last bit one if anything was lost.
template <class To, class From>
Bits<To> convert_to_odd(Bits<From> a, Env& env) {
    Env local{soft::kRtz, 0};
    Bits<To> r = soft::convert<To, From>(a, local);
    if (local.flags & soft::kNx)
        r |= 1;
    env.flags |= local.flags;
    return r;
}

template <bool ToOdd>
void narrow_float(Core& c, const Decoded& d) {
    if (!check_narrowing(c, d) || c.vsew < 1)
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    Env env = environment(c, Mode::kDynamic);
    by_narrow_format(c, [&]<class F>() {
        using W = WideFormat<F>;
        convert_elements<Bits<F>, Bits<W>>(c, d, [&](Bits<W> a) {
            if constexpr (ToOdd)
                return convert_to_odd<F, W>(a, env);
            else
                return soft::convert<F, W>(a, env);
        });
    });
    fp_done(c, env);
}

#define TALUS_CVT(name, code, ...)                                                                 \
    { name, "010010 - ----- " code " 001 ----- 1010111", Format::kV, __VA_ARGS__ }

constexpr InsnSpec kInsns[] = {
    TALUS_CVT("vfcvt.xu.f.v", "00000", to_int<false, Mode::kDynamic>),
    TALUS_CVT("vfcvt.x.f.v", "00001", to_int<true, Mode::kDynamic>),
    TALUS_CVT("vfcvt.f.xu.v", "00010", from_int<false>),
    TALUS_CVT("vfcvt.f.x.v", "00011", from_int<true>),
    TALUS_CVT("vfcvt.rtz.xu.f.v", "00110", to_int<false, Mode::kTruncate>),
    TALUS_CVT("vfcvt.rtz.x.f.v", "00111", to_int<true, Mode::kTruncate>),
    TALUS_CVT("vfwcvt.xu.f.v", "01000", widen_to_int<false, Mode::kDynamic>),
    TALUS_CVT("vfwcvt.x.f.v", "01001", widen_to_int<true, Mode::kDynamic>),
    TALUS_CVT("vfwcvt.f.xu.v", "01010", widen_from_int<false>),
    TALUS_CVT("vfwcvt.f.x.v", "01011", widen_from_int<true>),
    TALUS_CVT("vfwcvt.f.f.v", "01100", widen_float),
    TALUS_CVT("vfwcvt.rtz.xu.f.v", "01110", widen_to_int<false, Mode::kTruncate>),
    TALUS_CVT("vfwcvt.rtz.x.f.v", "01111", widen_to_int<true, Mode::kTruncate>),
    TALUS_CVT("vfncvt.xu.f.w", "10000", narrow_to_int<false, Mode::kDynamic>),
    TALUS_CVT("vfncvt.x.f.w", "10001", narrow_to_int<true, Mode::kDynamic>),
    TALUS_CVT("vfncvt.f.xu.w", "10010", narrow_from_int<false>),
    TALUS_CVT("vfncvt.f.x.w", "10011", narrow_from_int<true>),
    TALUS_CVT("vfncvt.f.f.w", "10100", narrow_float<false>),
    TALUS_CVT("vfncvt.rod.f.f.w", "10101", narrow_float<true>),
    TALUS_CVT("vfncvt.rtz.xu.f.w", "10110", narrow_to_int<false, Mode::kTruncate>),
    TALUS_CVT("vfncvt.rtz.x.f.w", "10111", narrow_to_int<true, Mode::kTruncate>),
};

} // namespace

std::span<const InsnSpec> vector_fp_convert_insns() {
    return kInsns;
}

} // namespace talus::sim
