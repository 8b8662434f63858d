// Vector floating point of one width: arithmetic, fused multiply-add, min/max, sign injection,
// compares, classification, estimates.
#include "vector_fp.hpp"

namespace talus::sim {

namespace {

using namespace vec;

template <class Op, FSrc S, bool Divides = false>
void arith(Core& c, const Decoded& d) {
    if (!fp_check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) * (Divides ? c.timing.vector_div_clocks : 1));
    Env env{c.frm, 0};
    by_format(c, [&]<class F>() {
        const Group<Bits<F>> vd(c, d.rd), a(c, d.rs2);
        with_host<F>(
            env,
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    vd.set(i, fp::canonical<F>(Op::host(native<F>(a[i]), native<F>(b))));
                });
            },
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    vd.set(i, Op::template soft<F>(a[i], b, env));
                });
            });
    });
    fp_done(c, env);
}

/// Which of the three operands vd is, and the signs: vd = (-)(b * x) (+/-) y with b = vs1 or f.
template <bool AccumulatesProduct, bool NegateProduct, bool NegateAddend, FSrc S>
void fused(Core& c, const Decoded& d) {
    if (!fp_check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) * c.timing.vector_mul_factor);
    Env env{c.frm, 0};
    by_format(c, [&]<class F>() {
        const Group<Bits<F>> vd(c, d.rd), vs2(c, d.rs2);
        const auto operands = [&](std::uint64_t i, Bits<F>& x, Bits<F>& y) {
            x = AccumulatesProduct ? vs2[i] : vd[i];
            y = AccumulatesProduct ? vd[i] : vs2[i];
            if (NegateProduct)
                x ^= F::kSign;
            if (NegateAddend)
                y ^= F::kSign;
        };
        with_host<F>(
            env,
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    Bits<F> x, y;
                    operands(i, x, y);
                    if (F::is_nan(y)) // see fp::fma
                        vd.set(i, soft::fma<F>(b, x, y, env));
                    else
                        vd.set(i, fp::canonical<F>(host_fma<F>(b, x, y)));
                });
            },
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    Bits<F> x, y;
                    operands(i, x, y);
                    vd.set(i, soft::fma<F>(b, x, y, env));
                });
            });
    });
    fp_done(c, env);
}

/// Operations on bits that no rounding touches.
template <class Op, FSrc S>
void bitwise(Core& c, const Decoded& d) {
    if (!fp_check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    Env env{c.frm, 0};
    by_format(c, [&]<class F>() {
        const Group<Bits<F>> vd(c, d.rd), a(c, d.rs2);
        for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
            vd.set(i, Op::template apply<F>(a[i], b, env));
        });
    });
    fp_done(c, env);
}

// clang-format off
struct Min { template <class F> static Bits<F> apply(Bits<F> a, Bits<F> b, Env& e) { return soft::min_max<F, false>(a, b, e); } };
struct Max { template <class F> static Bits<F> apply(Bits<F> a, Bits<F> b, Env& e) { return soft::min_max<F, true>(a, b, e); } };
struct Sgnj { template <class F> static Bits<F> apply(Bits<F> a, Bits<F> b, Env&) { return static_cast<Bits<F>>((a & ~F::kSign) | (b & F::kSign)); } };
struct Sgnjn { template <class F> static Bits<F> apply(Bits<F> a, Bits<F> b, Env&) { return static_cast<Bits<F>>((a & ~F::kSign) | (~b & F::kSign)); } };
struct Sgnjx { template <class F> static Bits<F> apply(Bits<F> a, Bits<F> b, Env&) { return static_cast<Bits<F>>(a ^ (b & F::kSign)); } };

struct Eq { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::eq<F>(a, b, e); } };
struct Ne { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return !soft::eq<F>(a, b, e); } };
struct Lt { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::lt<F>(a, b, e); } };
struct Le { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::le<F>(a, b, e); } };
struct Gt { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::lt<F>(b, a, e); } };
struct Ge { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::le<F>(b, a, e); } };
// clang-format on

template <class Op, FSrc S>
void compare(Core& c, const Decoded& d) {
    if (!fp_usable(c) || !aligned(d.rs2, c.vlmul) || !separate_narrow(d.rd, 0, d.rs2, c.vlmul) ||
        (S == FSrc::kV && (!aligned(d.rs1, c.vlmul) || !separate_narrow(d.rd, 0, d.rs1, c.vlmul))))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    Env env{c.frm, 0};
    std::uint8_t* vd = c.vreg(d.rd);
    by_format(c, [&]<class F>() {
        const Group<Bits<F>> a(c, d.rs2);
        for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
            set_mask_bit(vd, i, Op::template apply<F>(a[i], b, env));
        });
    });
    fp_done(c, env);
}

struct Sqrt {
    template <class F>
    static Bits<F> apply(Bits<F> a, Env& e) {
        return fp::sqrt<F>(a, e);
    }
};
struct Classify {
    template <class F>
    static Bits<F> apply(Bits<F> a, Env&) {
        return static_cast<Bits<F>>(soft::classify<F>(a));
    }
};

/// A significand's seven bits of 256 / denominator, rounded to nearest, without the leading one.
/// The manual prints tables; they are this function at the middle of each interval.
struct Estimates {
    std::array<std::uint8_t, 128> reciprocal{};
    std::array<std::uint8_t, 128> root{};

    Estimates() {
        for (unsigned i = 0; i < 128; ++i) {
            reciprocal[i] =
                static_cast<std::uint8_t>(std::lround(256 / (1 + (i + 0.5) / 128)) - 128);
            // The low half: even biased exponents, whose true exponent is odd.
            const double x = (1 + (i % 64 + 0.5) / 64) * (i < 64 ? 2 : 1);
            root[i] = static_cast<std::uint8_t>(std::lround(256 / std::sqrt(x)) - 128);
        }
    }
};
const Estimates kEstimates;

struct Rec7 {
    template <class F>
    static Bits<F> apply(Bits<F> a, Env& env) {
        const Bits<F> sign = a & F::kSign;
        if (F::is_nan(a))
            return soft::nan_result<F>(env, a);
        if (F::is_inf(a))
            return sign;
        if (F::is_zero(a)) {
            env.flags |= soft::kDz;
            return sign | F::kInf;
        }
        const soft::Number n = soft::unpack<F>(a);
        if (n.exp < -F::kBias - 1) {
            env.flags |= soft::kOf | soft::kNx;
            const bool to_max = env.rm == soft::kRtz || (env.rm == soft::kRdn && !sign) ||
                                (env.rm == soft::kRup && sign);
            return static_cast<Bits<F>>(sign | (to_max ? F::kInf - 1 : F::kInf));
        }
        std::uint64_t sig = std::uint64_t{kEstimates.reciprocal[n.sig >> 56 & 127]}
                            << (F::kFraction - 7);
        int biased = F::kBias - 1 - n.exp;
        for (bool leading = true; biased < 1; leading = false) {
            sig = sig >> 1 | (leading ? std::uint64_t{1} << (F::kFraction - 1) : 0);
            if (biased == 0)
                break;
            ++biased;
        }
        return static_cast<Bits<F>>(sign | static_cast<Bits<F>>(biased) << F::kFraction | sig);
    }
};

struct Rsqrt7 {
    template <class F>
    static Bits<F> apply(Bits<F> a, Env& env) {
        if (F::is_nan(a))
            return soft::nan_result<F>(env, a);
        if (F::is_zero(a)) {
            env.flags |= soft::kDz;
            return a | F::kInf;
        }
        if (F::sign(a))
            return soft::invalid<F>(env);
        if (F::is_inf(a))
            return 0;
        const soft::Number n = soft::unpack<F>(a);
        const bool odd_biased = (n.exp + F::kBias) & 1;
        const unsigned index = (odd_biased ? 64u : 0u) | static_cast<unsigned>(n.sig >> 57 & 63);
        const int biased = (3 * F::kBias - 1 - (n.exp + F::kBias)) >> 1;
        return static_cast<Bits<F>>(std::uint64_t(biased) << F::kFraction |
                                    std::uint64_t{kEstimates.root[index]} << (F::kFraction - 7));
    }
};

template <class Op, bool Divides = false>
void unary(Core& c, const Decoded& d) {
    if (!fp_check_sss<FSrc::kF>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) * (Divides ? c.timing.vector_div_clocks : 1));
    Env env{c.frm, 0};
    by_format(c, [&]<class F>() {
        const Group<Bits<F>> vd(c, d.rd), a(c, d.rs2);
        for_active(c, d.vm(),
                   [&](std::uint64_t i) { vd.set(i, Op::template apply<F>(a[i], env)); });
    });
    fp_done(c, env);
}

#define TALUS_F(name, f6, op)                                                                      \
    TALUS_OPFVV(name ".vv", f6, (arith<op, FSrc::kV>)),                                            \
        TALUS_OPFVF(name ".vf", f6, (arith<op, FSrc::kF>))
#define TALUS_FMA(name, f6, acc, np, na)                                                           \
    TALUS_OPFVV(name ".vv", f6, (fused<acc, np, na, FSrc::kV>)),                                   \
        TALUS_OPFVF(name ".vf", f6, (fused<acc, np, na, FSrc::kF>))
#define TALUS_B(name, f6, op)                                                                      \
    TALUS_OPFVV(name ".vv", f6, (bitwise<op, FSrc::kV>)),                                          \
        TALUS_OPFVF(name ".vf", f6, (bitwise<op, FSrc::kF>))
#define TALUS_C(name, f6, op)                                                                      \
    TALUS_OPFVV(name ".vv", f6, (compare<op, FSrc::kV>)),                                          \
        TALUS_OPFVF(name ".vf", f6, (compare<op, FSrc::kF>))
#define TALUS_U(name, code, ...)                                                                   \
    { name, "010011 - ----- " code " 001 ----- 1010111", Format::kV, unary<__VA_ARGS__> }

constexpr InsnSpec kInsns[] = {
    TALUS_F("vfadd", "000000", fp::Add),
    TALUS_F("vfsub", "000010", fp::Sub),
    TALUS_OPFVF("vfrsub.vf", "100111", (arith<fp::Rsub, FSrc::kF>)),
    TALUS_F("vfmul", "100100", fp::Mul),
    TALUS_OPFVV("vfdiv.vv", "100000", (arith<fp::Div, FSrc::kV, true>)),
    TALUS_OPFVF("vfdiv.vf", "100000", (arith<fp::Div, FSrc::kF, true>)),
    TALUS_OPFVF("vfrdiv.vf", "100001", (arith<fp::Rdiv, FSrc::kF, true>)),
    TALUS_FMA("vfmadd", "101000", false, false, false),
    TALUS_FMA("vfnmadd", "101001", false, true, true),
    TALUS_FMA("vfmsub", "101010", false, false, true),
    TALUS_FMA("vfnmsub", "101011", false, true, false),
    TALUS_FMA("vfmacc", "101100", true, false, false),
    TALUS_FMA("vfnmacc", "101101", true, true, true),
    TALUS_FMA("vfmsac", "101110", true, false, true),
    TALUS_FMA("vfnmsac", "101111", true, true, false),
    TALUS_B("vfmin", "000100", Min),
    TALUS_B("vfmax", "000110", Max),
    TALUS_B("vfsgnj", "001000", Sgnj),
    TALUS_B("vfsgnjn", "001001", Sgnjn),
    TALUS_B("vfsgnjx", "001010", Sgnjx),
    TALUS_C("vmfeq", "011000", Eq),
    TALUS_C("vmfle", "011001", Le),
    TALUS_C("vmflt", "011011", Lt),
    TALUS_C("vmfne", "011100", Ne),
    TALUS_OPFVF("vmfgt.vf", "011101", (compare<Gt, FSrc::kF>)),
    TALUS_OPFVF("vmfge.vf", "011111", (compare<Ge, FSrc::kF>)),
    TALUS_U("vfsqrt.v", "00000", Sqrt, true),
    TALUS_U("vfrsqrt7.v", "00100", Rsqrt7),
    TALUS_U("vfrec7.v", "00101", Rec7),
    TALUS_U("vfclass.v", "10000", Classify),
};

} // namespace

std::span<const InsnSpec> vector_fp_insns() {
    return kInsns;
}

} // namespace talus::sim
