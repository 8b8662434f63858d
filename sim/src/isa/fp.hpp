// Floating-point operations on raw bits, each through the host where that is exact (fp_host.hpp)
// and in integers otherwise (soft_float.hpp). Private to sim/src/isa.
#ifndef TALUS_SIM_ISA_FP_HPP
#define TALUS_SIM_ISA_FP_HPP

#include <bit>
#include <cmath>
#include <type_traits>

#include "core.hpp"
#include "fp_host.hpp"
#include "soft_float.hpp"

namespace talus::sim::fp {

using soft::Double;
using soft::Env;
using soft::Half;
using soft::Single;

template <class F>
using Bits = typename F::Bits;
template <class F>
using Native = std::conditional_t<std::is_same_v<F, Double>, double, float>;

/// Whether the host carries out arithmetic of format F.
template <class F>
inline constexpr bool kNative = kHostFp && !std::is_same_v<F, Half>;

// Arithmetic operations: soft<F>() on bits, host() on float or double.
// clang-format off
struct Add {
    template <class F> static Bits<F> soft(Bits<F> a, Bits<F> b, Env& e) { return soft::add<F>(a, b, e); }
    template <class T> static T host(T a, T b) { return a + b; }
};
struct Sub {
    template <class F> static Bits<F> soft(Bits<F> a, Bits<F> b, Env& e) { return soft::sub<F>(a, b, e); }
    template <class T> static T host(T a, T b) { return a - b; }
};
struct Rsub {
    template <class F> static Bits<F> soft(Bits<F> a, Bits<F> b, Env& e) { return soft::sub<F>(b, a, e); }
    template <class T> static T host(T a, T b) { return b - a; }
};
struct Mul {
    template <class F> static Bits<F> soft(Bits<F> a, Bits<F> b, Env& e) { return soft::mul<F>(a, b, e); }
    template <class T> static T host(T a, T b) { return a * b; }
};
struct Div {
    template <class F> static Bits<F> soft(Bits<F> a, Bits<F> b, Env& e) { return soft::div<F>(a, b, e); }
    template <class T> static T host(T a, T b) { return a / b; }
};
struct Rdiv {
    template <class F> static Bits<F> soft(Bits<F> a, Bits<F> b, Env& e) { return soft::div<F>(b, a, e); }
    template <class T> static T host(T a, T b) { return b / a; }
};
// clang-format on

template <class F>
Bits<F> canonical(Native<F> value) {
    if constexpr (std::is_same_v<F, Half>)
        return F::kNan; // never called: half precision is done in integers
    else
        return value != value ? F::kNan : std::bit_cast<Bits<F>>(value);
}

template <class F, class Op>
Bits<F> binary(Bits<F> a, Bits<F> b, Env& env) {
    if constexpr (kNative<F>) {
        if (env.rm != soft::kRmm) [[likely]] {
            auto x = std::bit_cast<Native<F>>(a), y = std::bit_cast<Native<F>>(b);
            host_fp_begin(env.rm);
            host_fp_launder(x);
            host_fp_launder(y);
            Native<F> r = Op::host(x, y);
            host_fp_launder(r);
            env.flags |= host_fp_end();
            return canonical<F>(r);
        }
    }
    return Op::template soft<F>(a, b, env);
}

template <class F>
Bits<F> sqrt(Bits<F> a, Env& env) {
    if constexpr (kNative<F>) {
        if (env.rm != soft::kRmm && !F::sign(a)) [[likely]] {
            auto x = std::bit_cast<Native<F>>(a);
            host_fp_begin(env.rm);
            host_fp_launder(x);
            Native<F> r = std::sqrt(x);
            host_fp_launder(r);
            env.flags |= host_fp_end();
            return canonical<F>(r);
        }
    }
    return soft::sqrt<F>(a, env);
}

/// a * b + c. The host differs where a product of infinity and zero meets a quiet NaN.
template <class F>
Bits<F> fma(Bits<F> a, Bits<F> b, Bits<F> c, Env& env) {
    if constexpr (kNative<F>) {
        if (env.rm != soft::kRmm && !F::is_nan(c)) [[likely]] {
            auto x = std::bit_cast<Native<F>>(a), y = std::bit_cast<Native<F>>(b),
                 z = std::bit_cast<Native<F>>(c);
            host_fp_begin(env.rm);
            host_fp_launder(x);
            host_fp_launder(y);
            host_fp_launder(z);
            Native<F> r = std::fma(x, y, z);
            host_fp_launder(r);
            env.flags |= host_fp_end();
            return canonical<F>(r);
        }
    }
    return soft::fma<F>(a, b, c, env);
}

// NaN boxing: a narrower value in an f register has all upper bits set, or it reads as the NaN.
template <class F>
Bits<F> unbox(std::uint64_t reg) {
    constexpr int kWidth = 8 * sizeof(Bits<F>);
    if constexpr (kWidth < 64) {
        if (reg >> kWidth != ~std::uint64_t{0} >> kWidth)
            return F::kNan;
    }
    return static_cast<Bits<F>>(reg);
}
template <class F>
std::uint64_t box(Bits<F> value) {
    constexpr int kWidth = 8 * sizeof(Bits<F>);
    if constexpr (kWidth < 64)
        return value | ~std::uint64_t{0} << kWidth;
    else
        return value;
}

/// The rounding mode that a field selects, 5 and above if it is reserved.
inline std::uint8_t rounding(const Core& c, unsigned field) {
    return field == 7 ? c.frm : static_cast<std::uint8_t>(field);
}

template <class F>
void write_f(Core& c, unsigned rd, Bits<F> value, unsigned latency) {
    c.f[rd] = box<F>(value);
    c.result_at(kHazardF + rd, c.now + latency);
    c.fp_dirty();
}

inline void accrue(Core& c, const Env& env) {
    c.fflags |= env.flags;
    c.fp_dirty();
}

} // namespace talus::sim::fp

#endif
