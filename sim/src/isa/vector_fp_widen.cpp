// Vector floating point with results of twice the operands' width, and reductions.
//
// Sums add the elements in ascending order, one rounding each; the "unordered" ones too.
#include "vector_fp.hpp"

namespace talus::sim {

namespace {

using namespace vec;

template <FSrc S>
bool check_wide(const Core& c, const Decoded& d) {
    return fp_usable_wide(c) && mask_kept(d) && aligned(d.rd, c.vlmul + 1) &&
           (S != FSrc::kV ||
            (aligned(d.rs1, c.vlmul) && separate(d.rd, c.vlmul + 1, d.rs1, c.vlmul)));
}
template <FSrc S>
bool check_wide_narrow(const Core& c, const Decoded& d) {
    return check_wide<S>(c, d) && aligned(d.rs2, c.vlmul) &&
           separate(d.rd, c.vlmul + 1, d.rs2, c.vlmul);
}

/// The exact value in twice the width; a signalling NaN raises invalid here.
template <class F>
Bits<WideFormat<F>> widen(Bits<F> value, Env& env) {
    return soft::convert<WideFormat<F>, F>(value, env);
}

/// Op on two wide values inside with_host's native loop.
template <class W, class Op>
Bits<W> host_apply(Bits<W> a, Bits<W> b) {
    return fp::canonical<W>(Op::host(native<W>(a), native<W>(b)));
}

template <class Op, FSrc S, bool WideA>
void widening(Core& c, const Decoded& d) {
    const bool legal =
        WideA ? check_wide<S>(c, d) && aligned(d.rs2, c.vlmul + 1) : check_wide_narrow<S>(c, d);
    if (!legal)
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u));
    Env env{c.frm, 0};
    by_narrow_format(c, [&]<class F>() {
        using W = WideFormat<F>;
        const Group<Bits<W>> vd(c, d.rd), wide(c, d.rs2);
        const Group<Bits<F>> narrow(c, d.rs2);
        const auto a = [&](std::uint64_t i) {
            if constexpr (WideA)
                return wide[i];
            else
                return widen<F>(narrow[i], env);
        };
        with_host<W>(
            env,
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    vd.set(i, host_apply<W, Op>(a(i), widen<F>(b, env)));
                });
            },
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    vd.set(i, Op::template soft<W>(a(i), widen<F>(b, env), env));
                });
            });
    });
    fp_done(c, env);
}

template <bool NegateProduct, bool NegateAddend, FSrc S>
void fused(Core& c, const Decoded& d) {
    if (!check_wide_narrow<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u) * c.timing.vector_mul_factor);
    Env env{c.frm, 0};
    by_narrow_format(c, [&]<class F>() {
        using W = WideFormat<F>;
        const Group<Bits<W>> vd(c, d.rd);
        const Group<Bits<F>> vs2(c, d.rs2);
        const auto operands = [&](std::uint64_t i, Bits<W>& x, Bits<W>& y) {
            x = widen<F>(vs2[i], env);
            y = vd[i];
            if (NegateProduct)
                x ^= W::kSign;
            if (NegateAddend)
                y ^= W::kSign;
        };
        with_host<W>(
            env,
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    Bits<W> x, y;
                    operands(i, x, y);
                    const Bits<W> wb = widen<F>(b, env);
                    if (W::is_nan(y)) // see fp::fma
                        vd.set(i, soft::fma<W>(wb, x, y, env));
                    else
                        vd.set(i, fp::canonical<W>(host_fma<W>(wb, x, y)));
                });
            },
            [&] {
                for_fp_operands<F, S>(c, d, d.vm(), [&](std::uint64_t i, Bits<F> b) {
                    Bits<W> x, y;
                    operands(i, x, y);
                    vd.set(i, soft::fma<W>(widen<F>(b, env), x, y, env));
                });
            });
    });
    fp_done(c, env);
}

/// vd and vs1 are single registers and may overlap anything.
bool check_reduction(const Core& c, const Decoded& d) {
    return fp_usable(c) && c.vstart == 0 && aligned(d.rs2, c.vlmul);
}

void sum(Core& c, const Decoded& d) {
    if (!check_reduction(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) + c.timing.vector_reduction_steps);
    Env env{c.frm, 0};
    if (c.vl != 0) {
        by_format(c, [&]<class F>() {
            const Group<Bits<F>> a(c, d.rs2);
            Bits<F> total = Group<Bits<F>>(c, d.rs1)[0];
            for_active(c, d.vm(),
                       [&](std::uint64_t i) { total = fp::binary<F, fp::Add>(total, a[i], env); });
            Group<Bits<F>>(c, d.rd).set(0, total);
        });
    }
    fp_done(c, env);
}

template <bool Max>
void extreme(Core& c, const Decoded& d) {
    if (!check_reduction(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) + c.timing.vector_reduction_steps);
    Env env{c.frm, 0};
    if (c.vl != 0) {
        by_format(c, [&]<class F>() {
            const Group<Bits<F>> a(c, d.rs2);
            Bits<F> best = Group<Bits<F>>(c, d.rs1)[0];
            for_active(c, d.vm(),
                       [&](std::uint64_t i) { best = soft::min_max<F, Max>(best, a[i], env); });
            Group<Bits<F>>(c, d.rd).set(0, best);
        });
    }
    fp_done(c, env);
}

void widening_sum(Core& c, const Decoded& d) {
    if (!check_reduction(c, d) || c.vsew > 2)
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u) + c.timing.vector_reduction_steps);
    Env env{c.frm, 0};
    if (c.vl != 0) {
        by_narrow_format(c, [&]<class F>() {
            using W = WideFormat<F>;
            const Group<Bits<F>> a(c, d.rs2);
            Bits<W> total = Group<Bits<W>>(c, d.rs1)[0];
            for_active(c, d.vm(), [&](std::uint64_t i) {
                total = fp::binary<W, fp::Add>(total, widen<F>(a[i], env), env);
            });
            Group<Bits<W>>(c, d.rd).set(0, total);
        });
    }
    fp_done(c, env);
}

#define TALUS_W(name, f6, op)                                                                      \
    TALUS_OPFVV(name ".vv", f6, (widening<op, FSrc::kV, false>)),                                  \
        TALUS_OPFVF(name ".vf", f6, (widening<op, FSrc::kF, false>))
#define TALUS_WW(name, f6, op)                                                                     \
    TALUS_OPFVV(name ".wv", f6, (widening<op, FSrc::kV, true>)),                                   \
        TALUS_OPFVF(name ".wf", f6, (widening<op, FSrc::kF, true>))
#define TALUS_FMA(name, f6, np, na)                                                                \
    TALUS_OPFVV(name ".vv", f6, (fused<np, na, FSrc::kV>)),                                        \
        TALUS_OPFVF(name ".vf", f6, (fused<np, na, FSrc::kF>))

constexpr InsnSpec kInsns[] = {
    TALUS_W("vfwadd", "110000", fp::Add),
    TALUS_W("vfwsub", "110010", fp::Sub),
    TALUS_WW("vfwadd", "110100", fp::Add),
    TALUS_WW("vfwsub", "110110", fp::Sub),
    TALUS_W("vfwmul", "111000", fp::Mul),
    TALUS_FMA("vfwmacc", "111100", false, false),
    TALUS_FMA("vfwnmacc", "111101", true, true),
    TALUS_FMA("vfwmsac", "111110", false, true),
    TALUS_FMA("vfwnmsac", "111111", true, false),
    TALUS_OPFVV("vfredusum.vs", "000001", sum),
    TALUS_OPFVV("vfredosum.vs", "000011", sum),
    TALUS_OPFVV("vfredmin.vs", "000101", extreme<false>),
    TALUS_OPFVV("vfredmax.vs", "000111", extreme<true>),
    TALUS_OPFVV("vfwredusum.vs", "110001", widening_sum),
    TALUS_OPFVV("vfwredosum.vs", "110011", widening_sum),
};

} // namespace

std::span<const InsnSpec> vector_fp_widen_insns() {
    return kInsns;
}

} // namespace talus::sim
