// Vector integer instructions whose operands differ in width: widening add, multiply, multiply-add,
// and narrowing shifts.
#include "vector.hpp"

namespace talus::sim {

namespace {

using namespace vec;

/// Zero- or sign-extends an element to twice its width.
template <bool IsSigned, class T>
Wide<T> extend(T value) {
    if constexpr (IsSigned)
        return static_cast<Wide<T>>(static_cast<std::int64_t>(Signed<T>(value)));
    else
        return value;
}

// The two flags say whether vs2 and the other operand are signed.
struct Add {
    template <class W>
    static W apply(W a, W b, W) {
        return static_cast<W>(a + b);
    }
};
struct Sub {
    template <class W>
    static W apply(W a, W b, W) {
        return static_cast<W>(a - b);
    }
};
struct Mul {
    template <class W>
    static W apply(W a, W b, W) {
        return static_cast<W>(std::uint64_t{a} * b);
    }
};
struct Macc {
    template <class W>
    static W apply(W a, W b, W acc) {
        return static_cast<W>(acc + std::uint64_t{a} * b);
    }
};

template <class F>
void by_narrow_width(unsigned log2, F f) {
    switch (log2) {
    case 0:
        return f.template operator()<std::uint8_t>();
    case 1:
        return f.template operator()<std::uint16_t>();
    default:
        return f.template operator()<std::uint32_t>();
    }
}

template <Src S>
bool check_widening(const Core& c, const Decoded& d) {
    return usable(c) && mask_kept(d) && c.vsew < 3 && c.vlmul < 3 && aligned(d.rd, c.vlmul + 1) &&
           (S != Src::kV ||
            (aligned(d.rs1, c.vlmul) && separate(d.rd, c.vlmul + 1, d.rs1, c.vlmul)));
}

/// 2*SEW = SEW op SEW.
template <class Op, Src S, bool SignedA, bool SignedB>
void widening(Core& c, const Decoded& d) {
    if (!check_widening<S>(c, d) || !aligned(d.rs2, c.vlmul) ||
        !separate(d.rd, c.vlmul + 1, d.rs2, c.vlmul))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    by_narrow_width(c.vsew, [&]<class T>() {
        const Group<Wide<T>> vd(c, d.rd);
        const Group<T> a(c, d.rs2);
        for_operands<T, S>(c, d, d.vm(), [&](std::uint64_t i, T b) {
            vd.set(i, Op::template apply<Wide<T>>(extend<SignedA, T>(a[i]), extend<SignedB, T>(b),
                                                  vd[i]));
        });
    });
    done(c);
}

/// 2*SEW = 2*SEW op SEW.
template <class Op, Src S, bool IsSigned>
void widening_w(Core& c, const Decoded& d) {
    if (!check_widening<S>(c, d) || !aligned(d.rs2, c.vlmul + 1))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    by_narrow_width(c.vsew, [&]<class T>() {
        const Group<Wide<T>> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(c, d, d.vm(), [&](std::uint64_t i, T b) {
            vd.set(i, Op::template apply<Wide<T>>(a[i], extend<IsSigned, T>(b), 0));
        });
    });
    done(c);
}

/// SEW = 2*SEW >> SEW.
template <bool Arithmetic, Src S>
void narrowing_shift(Core& c, const Decoded& d) {
    if (!usable(c) || !mask_kept(d) || c.vsew >= 3 || c.vlmul >= 3 || !aligned(d.rd, c.vlmul) ||
        !aligned(d.rs2, c.vlmul + 1) || !separate_narrow(d.rd, c.vlmul, d.rs2, c.vlmul + 1) ||
        (S == Src::kV && !aligned(d.rs1, c.vlmul)))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    by_narrow_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd);
        const Group<Wide<T>> a(c, d.rs2);
        constexpr unsigned kMask = 16 * sizeof(T) - 1;
        for_operands<T, S>(c, d, d.vm(), [&](std::uint64_t i, T b) {
            if constexpr (Arithmetic)
                vd.set(i, static_cast<T>(Signed<Wide<T>>(a[i]) >> (b & kMask)));
            else
                vd.set(i, static_cast<T>(a[i] >> (b & kMask)));
        });
    });
    done(c);
}

#define TALUS_W(name, f6, op, a, b)                                                                \
    TALUS_OPMVV(name ".vv", f6, (widening<op, Src::kV, a, b>)),                                    \
        TALUS_OPMVX(name ".vx", f6, (widening<op, Src::kX, a, b>))
#define TALUS_WW(name, f6, op, is_signed)                                                          \
    TALUS_OPMVV(name ".wv", f6, (widening_w<op, Src::kV, is_signed>)),                             \
        TALUS_OPMVX(name ".wx", f6, (widening_w<op, Src::kX, is_signed>))
#define TALUS_N(name, f6, arithmetic)                                                              \
    TALUS_OPIVV(name ".wv", f6, (narrowing_shift<arithmetic, Src::kV>)),                           \
        TALUS_OPIVX(name ".wx", f6, (narrowing_shift<arithmetic, Src::kX>)),                       \
        TALUS_OPIVI(name ".wi", f6, (narrowing_shift<arithmetic, Src::kU>))

constexpr InsnSpec kInsns[] = {
    TALUS_W("vwaddu", "110000", Add, false, false),
    TALUS_W("vwadd", "110001", Add, true, true),
    TALUS_W("vwsubu", "110010", Sub, false, false),
    TALUS_W("vwsub", "110011", Sub, true, true),
    TALUS_WW("vwaddu", "110100", Add, false),
    TALUS_WW("vwadd", "110101", Add, true),
    TALUS_WW("vwsubu", "110110", Sub, false),
    TALUS_WW("vwsub", "110111", Sub, true),
    TALUS_W("vwmulu", "111000", Mul, false, false),
    TALUS_W("vwmulsu", "111010", Mul, true, false),
    TALUS_W("vwmul", "111011", Mul, true, true),
    TALUS_W("vwmaccu", "111100", Macc, false, false),
    TALUS_W("vwmacc", "111101", Macc, true, true),
    TALUS_OPMVX("vwmaccus.vx", "111110", (widening<Macc, Src::kX, true, false>)),
    TALUS_W("vwmaccsu", "111111", Macc, false, true),
    TALUS_N("vnsrl", "101100", false),
    TALUS_N("vnsra", "101101", true),
};

} // namespace

std::span<const InsnSpec> vector_widen_insns() {
    return kInsns;
}

} // namespace talus::sim
