// What the vector floating-point instructions share. Private to sim/src/isa.
#ifndef TALUS_SIM_ISA_VECTOR_FP_HPP
#define TALUS_SIM_ISA_VECTOR_FP_HPP

#include "fp.hpp"
#include "vector.hpp"

namespace talus::sim::vec {

using fp::Bits;
using fp::Double;
using fp::Env;
using fp::Half;
using fp::Native;
using fp::Single;

template <class F>
struct TwiceFormat;
template <>
struct TwiceFormat<Half> {
    using Type = Single;
};
template <>
struct TwiceFormat<Single> {
    using Type = Double;
};
template <class F>
using WideFormat = typename TwiceFormat<F>::Type;

/// FP and V are on, the dynamic rounding mode is valid, and the element is 16, 32 or 64 bits wide.
inline bool fp_usable(const Core& c) {
    return usable(c) && c.fp_on && c.frm <= soft::kRmm && c.vsew >= 1;
}
/// The same, and twice the width exists.
inline bool fp_usable_wide(const Core& c) {
    return fp_usable(c) && c.vsew <= 2 && c.vlmul <= 2;
}

/// Calls f.operator()<Format>() for the current element width.
template <class F>
void by_format(const Core& c, F f) {
    switch (c.vsew) {
    case 1:
        return f.template operator()<Half>();
    case 2:
        return f.template operator()<Single>();
    default:
        return f.template operator()<Double>();
    }
}
template <class F>
void by_narrow_format(const Core& c, F f) {
    if (c.vsew == 1)
        f.template operator()<Half>();
    else
        f.template operator()<Single>();
}

/// Bits as the host's number; only inside with_host's native loop.
template <class F>
Native<F> native(Bits<F> bits) {
    static_assert(fp::kNative<F> || sizeof(Bits<F>) == 2 || !kHostFp);
    if constexpr (sizeof(Bits<F>) == sizeof(Native<F>))
        return std::bit_cast<Native<F>>(bits);
    else
        return 0; // half precision has no native loop
}
template <class F>
Native<F> host_fma(Bits<F> a, Bits<F> b, Bits<F> c) {
    return std::fma(native<F>(a), native<F>(b), native<F>(c));
}

/// Vector or scalar second operand.
enum class FSrc : std::uint8_t { kV, kF };

template <class F, FSrc S, class Fn>
void for_fp_operands(Core& c, const Decoded& d, bool unmasked, Fn f) {
    if constexpr (S == FSrc::kV) {
        const Group<Bits<F>> b(c, d.rs1);
        for_active(c, unmasked, [&](std::uint64_t i) { f(i, b[i]); });
    } else {
        const Bits<F> b = fp::unbox<F>(c.f[d.rs1]);
        for_active(c, unmasked, [&](std::uint64_t i) { f(i, b); });
    }
}

/// Runs `native` with the host's unit in the current rounding mode, or `integer` where the host
/// cannot; both loop over the elements and leave flags in env. Operands must be read from and
/// results written to the vector registers inside: see fp_host.hpp.
template <class F, class NativeLoop, class IntegerLoop>
void with_host(Env& env, NativeLoop native, IntegerLoop integer) {
    if constexpr (fp::kNative<F>) {
        if (env.rm != soft::kRmm) [[likely]] {
            host_fp_begin(env.rm);
            native();
            env.flags |= host_fp_end();
            return;
        }
    }
    integer();
}

template <FSrc S>
bool fp_check_sss(const Core& c, const Decoded& d) {
    return fp_usable(c) && mask_kept(d) && aligned(d.rd, c.vlmul) && aligned(d.rs2, c.vlmul) &&
           (S != FSrc::kV || aligned(d.rs1, c.vlmul));
}

inline void fp_done(Core& c, const Env& env) {
    c.fflags |= env.flags;
    c.fp_dirty();
    done(c);
}

} // namespace talus::sim::vec

#define TALUS_OPFVV(name, f6, fn) TALUS_V_ROW(name, f6, "001", kV, fn)
#define TALUS_OPFVF(name, f6, fn) TALUS_V_ROW(name, f6, "101", kVF, fn)

#endif
