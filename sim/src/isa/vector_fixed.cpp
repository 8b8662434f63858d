// Vector fixed point: saturation, averaging, fractional multiply, scaling shifts, clips.
#include "vector.hpp"

#include <limits>

namespace talus::sim {

namespace {

using namespace vec;
__extension__ using i128 = __int128;

/// What vxrm adds to value >> shift: 0 nearest up, 1 nearest even, 2 down, 3 odd.
template <class W>
W rounding_increment(W value, unsigned shift, unsigned vxrm) {
    if (shift == 0)
        return 0;
    const bool half = value >> (shift - 1) & 1;
    const bool odd = value >> shift & 1;
    const bool rest = (value & ((W{1} << (shift - 1)) - 1)) != 0;
    switch (vxrm) {
    case 0:
        return half;
    case 1:
        return half && (rest || odd);
    case 2:
        return 0;
    default:
        return !odd && (half || rest);
    }
}
template <class W>
W rounded_shift(W value, unsigned shift, unsigned vxrm) {
    return (value >> shift) + rounding_increment(value, shift, vxrm);
}

/// Clamps to the range of T, and sets sat if that changed anything.
template <class T, class W>
T saturate(W value, bool& sat) {
    constexpr T kMax = std::numeric_limits<T>::max(), kMin = std::numeric_limits<T>::min();
    if (value > W{kMax}) {
        sat = true;
        return kMax;
    }
    if (value < W{kMin}) {
        sat = true;
        return kMin;
    }
    return static_cast<T>(value);
}

// Every operation is exact in 128 bits.
struct Context {
    unsigned vxrm;
    bool sat = false;
};
// clang-format off
struct Saddu { template <class T> static T apply(T a, T b, Context& x) { return saturate<T>(i128{a} + b, x.sat); } };
struct Ssubu { template <class T> static T apply(T a, T b, Context& x) { return saturate<T>(i128{a} - b, x.sat); } };
struct Sadd { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(saturate<Signed<T>>(i128{Signed<T>(a)} + Signed<T>(b), x.sat)); } };
struct Ssub { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(saturate<Signed<T>>(i128{Signed<T>(a)} - Signed<T>(b), x.sat)); } };
struct Aaddu { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(rounded_shift(i128{a} + b, 1, x.vxrm)); } };
struct Asubu { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(rounded_shift(i128{a} - b, 1, x.vxrm)); } };
struct Aadd { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(rounded_shift(i128{Signed<T>(a)} + Signed<T>(b), 1, x.vxrm)); } };
struct Asub { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(rounded_shift(i128{Signed<T>(a)} - Signed<T>(b), 1, x.vxrm)); } };
struct Smul { template <class T> static T apply(T a, T b, Context& x) {
    return static_cast<T>(saturate<Signed<T>>(rounded_shift(i128{Signed<T>(a)} * Signed<T>(b), 8 * sizeof(T) - 1, x.vxrm), x.sat));
} };
struct Ssrl { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(rounded_shift(i128{a}, b & (8 * sizeof(T) - 1), x.vxrm)); } };
struct Ssra { template <class T> static T apply(T a, T b, Context& x) { return static_cast<T>(rounded_shift(i128{Signed<T>(a)}, b & (8 * sizeof(T) - 1), x.vxrm)); } };
// clang-format on

template <class Op, Src S>
void fixed(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    Context context{c.vxrm};
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(c, d, d.vm(), [&](std::uint64_t i, T b) {
            vd.set(i, Op::template apply<T>(a[i], b, context));
        });
    });
    c.vxsat |= context.sat;
    done(c);
}

/// SEW = clip(2*SEW >> SEW).
template <bool IsSigned, Src S>
void clip(Core& c, const Decoded& d) {
    if (!usable(c) || !mask_kept(d) || c.vsew >= 3 || c.vlmul >= 3 || !aligned(d.rd, c.vlmul) ||
        !aligned(d.rs2, c.vlmul + 1) || !separate_narrow(d.rd, c.vlmul, d.rs2, c.vlmul + 1) ||
        (S == Src::kV && !aligned(d.rs1, c.vlmul)))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    bool sat = false;
    const auto run = [&]<class T>() {
        const Group<T> vd(c, d.rd);
        const Group<Wide<T>> a(c, d.rs2);
        for_operands<T, S>(c, d, d.vm(), [&](std::uint64_t i, T b) {
            const unsigned shift = b & (16 * sizeof(T) - 1);
            if constexpr (IsSigned) {
                const i128 v = rounded_shift(i128{Signed<Wide<T>>(a[i])}, shift, c.vxrm);
                vd.set(i, static_cast<T>(saturate<Signed<T>>(v, sat)));
            } else {
                vd.set(i, saturate<T>(rounded_shift(i128{a[i]}, shift, c.vxrm), sat));
            }
        });
    };
    if (c.vsew == 0)
        run.template operator()<std::uint8_t>();
    else if (c.vsew == 1)
        run.template operator()<std::uint16_t>();
    else
        run.template operator()<std::uint32_t>();
    c.vxsat |= sat;
    done(c);
}

#define TALUS_VVX(name, f6, op)                                                                    \
    TALUS_OPIVV(name ".vv", f6, (fixed<op, Src::kV>)),                                             \
        TALUS_OPIVX(name ".vx", f6, (fixed<op, Src::kX>))
#define TALUS_MVX(name, f6, op)                                                                    \
    TALUS_OPMVV(name ".vv", f6, (fixed<op, Src::kV>)),                                             \
        TALUS_OPMVX(name ".vx", f6, (fixed<op, Src::kX>))
#define TALUS_CLIP(name, f6, is_signed)                                                            \
    TALUS_OPIVV(name ".wv", f6, (clip<is_signed, Src::kV>)),                                       \
        TALUS_OPIVX(name ".wx", f6, (clip<is_signed, Src::kX>)),                                   \
        TALUS_OPIVI(name ".wi", f6, (clip<is_signed, Src::kU>))

constexpr InsnSpec kInsns[] = {
    TALUS_VVX("vsaddu", "100000", Saddu),
    TALUS_OPIVI("vsaddu.vi", "100000", (fixed<Saddu, Src::kI>)),
    TALUS_VVX("vsadd", "100001", Sadd),
    TALUS_OPIVI("vsadd.vi", "100001", (fixed<Sadd, Src::kI>)),
    TALUS_VVX("vssubu", "100010", Ssubu),
    TALUS_VVX("vssub", "100011", Ssub),
    TALUS_MVX("vaaddu", "001000", Aaddu),
    TALUS_MVX("vaadd", "001001", Aadd),
    TALUS_MVX("vasubu", "001010", Asubu),
    TALUS_MVX("vasub", "001011", Asub),
    TALUS_VVX("vsmul", "100111", Smul),
    TALUS_VVX("vssrl", "101010", Ssrl),
    TALUS_OPIVI("vssrl.vi", "101010", (fixed<Ssrl, Src::kU>)),
    TALUS_VVX("vssra", "101011", Ssra),
    TALUS_OPIVI("vssra.vi", "101011", (fixed<Ssra, Src::kU>)),
    TALUS_CLIP("vnclipu", "101110", false),
    TALUS_CLIP("vnclip", "101111", true),
};

} // namespace

std::span<const InsnSpec> vector_fixed_insns() {
    return kInsns;
}

} // namespace talus::sim
