// F, D and Zfh: arithmetic, fused multiply-add, comparison, sign injection.
#include "fp.hpp"

namespace talus::sim {

namespace {

using fp::Bits;
using fp::Double;
using fp::Env;
using fp::Half;
using fp::Single;

/// Checks that FP is on and resolves the rounding mode; false: illegal instruction raised.
bool enter(Core& c, const Decoded& d, Env& env) {
    env.rm = fp::rounding(c, d.rm());
    if (!c.fp_on || env.rm > soft::kRmm) {
        c.illegal(d);
        return false;
    }
    return true;
}

template <class F>
unsigned div_penalty(const Core& c) {
    return std::is_same_v<F, Double>   ? c.timing.fp_div_penalty_d
           : std::is_same_v<F, Single> ? c.timing.fp_div_penalty_s
                                       : c.timing.fp_div_penalty_h;
}

template <class F, class Op>
void arith(Core& c, const Decoded& d) {
    Env env;
    if (!enter(c, d, env))
        return;
    const Bits<F> r = fp::binary<F, Op>(fp::unbox<F>(c.f[d.rs1]), fp::unbox<F>(c.f[d.rs2]), env);
    if constexpr (std::is_same_v<Op, fp::Div>)
        c.now += div_penalty<F>(c);
    fp::write_f<F>(c, d.rd, r, c.timing.fp_latency);
    fp::accrue(c, env);
}

template <class F>
void square_root(Core& c, const Decoded& d) {
    Env env;
    if (!enter(c, d, env))
        return;
    const Bits<F> r = fp::sqrt<F>(fp::unbox<F>(c.f[d.rs1]), env);
    c.now += div_penalty<F>(c);
    fp::write_f<F>(c, d.rd, r, c.timing.fp_latency);
    fp::accrue(c, env);
}

template <class F, bool NegateProduct, bool NegateAddend>
void fused(Core& c, const Decoded& d) {
    Env env;
    if (!enter(c, d, env))
        return;
    auto a = fp::unbox<F>(c.f[d.rs1]), addend = fp::unbox<F>(c.f[d.rs3]);
    if (NegateProduct)
        a ^= F::kSign;
    if (NegateAddend)
        addend ^= F::kSign;
    const Bits<F> r = fp::fma<F>(a, fp::unbox<F>(c.f[d.rs2]), addend, env);
    fp::write_f<F>(c, d.rd, r, c.timing.fp_latency);
    fp::accrue(c, env);
}

enum class Sign { kCopy, kNegate, kXor };

template <class F, Sign How>
void sign_inject(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    const auto a = fp::unbox<F>(c.f[d.rs1]), b = fp::unbox<F>(c.f[d.rs2]);
    const Bits<F> sign = How == Sign::kCopy     ? b
                         : How == Sign::kNegate ? Bits<F>(~b)
                                                : Bits<F>(a ^ b);
    const auto r = static_cast<Bits<F>>((a & ~F::kSign) | (sign & F::kSign));
    fp::write_f<F>(c, d.rd, r, c.timing.fp_move_latency);
}

template <class F, bool Max>
void min_max(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    Env env;
    const Bits<F> r =
        soft::min_max<F, Max>(fp::unbox<F>(c.f[d.rs1]), fp::unbox<F>(c.f[d.rs2]), env);
    fp::write_f<F>(c, d.rd, r, c.timing.fp_move_latency);
    fp::accrue(c, env);
}

// clang-format off
struct Eq { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::eq<F>(a, b, e); } };
struct Lt { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::lt<F>(a, b, e); } };
struct Le { template <class F> static bool apply(Bits<F> a, Bits<F> b, Env& e) { return soft::le<F>(a, b, e); } };
// clang-format on

template <class F, class Op>
void compare(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    Env env;
    c.x[d.rd] = Op::template apply<F>(fp::unbox<F>(c.f[d.rs1]), fp::unbox<F>(c.f[d.rs2]), env);
    c.result_at(d.rd, c.now + c.timing.fp_move_latency);
    if (env.flags)
        fp::accrue(c, env);
}

template <class F>
void classify(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    c.x[d.rd] = soft::classify<F>(fp::unbox<F>(c.f[d.rs1]));
    c.result_at(d.rd, c.now + c.timing.fp_move_latency);
}

// The format field of the opcode (bits 26:25) is 00 single, 01 double, 10 half.
#define TALUS_FP_ROWS(suffix, fmt, F)                                                              \
    {"fmadd." suffix, "-----" fmt "----- ----- --- ----- 1000011", Format::kFR4,                   \
     fused<F, false, false>},                                                                      \
        {"fmsub." suffix, "-----" fmt "----- ----- --- ----- 1000111", Format::kFR4,               \
         fused<F, false, true>},                                                                   \
        {"fnmsub." suffix, "-----" fmt "----- ----- --- ----- 1001011", Format::kFR4,              \
         fused<F, true, false>},                                                                   \
        {"fnmadd." suffix, "-----" fmt "----- ----- --- ----- 1001111", Format::kFR4,              \
         fused<F, true, true>},                                                                    \
        {"fadd." suffix, "00000" fmt "----- ----- --- ----- 1010011", Format::kFR,                 \
         arith<F, fp::Add>},                                                                       \
        {"fsub." suffix, "00001" fmt "----- ----- --- ----- 1010011", Format::kFR,                 \
         arith<F, fp::Sub>},                                                                       \
        {"fmul." suffix, "00010" fmt "----- ----- --- ----- 1010011", Format::kFR,                 \
         arith<F, fp::Mul>},                                                                       \
        {"fdiv." suffix, "00011" fmt "----- ----- --- ----- 1010011", Format::kFR,                 \
         arith<F, fp::Div>},                                                                       \
        {"fsqrt." suffix, "01011" fmt "00000 ----- --- ----- 1010011", Format::kF1,                \
         square_root<F>},                                                                          \
        {"fsgnj." suffix, "00100" fmt "----- ----- 000 ----- 1010011", Format::kFR,                \
         sign_inject<F, Sign::kCopy>},                                                             \
        {"fsgnjn." suffix, "00100" fmt "----- ----- 001 ----- 1010011", Format::kFR,               \
         sign_inject<F, Sign::kNegate>},                                                           \
        {"fsgnjx." suffix, "00100" fmt "----- ----- 010 ----- 1010011", Format::kFR,               \
         sign_inject<F, Sign::kXor>},                                                              \
        {"fmin." suffix, "00101" fmt "----- ----- 000 ----- 1010011", Format::kFR,                 \
         min_max<F, false>},                                                                       \
        {"fmax." suffix, "00101" fmt "----- ----- 001 ----- 1010011", Format::kFR,                 \
         min_max<F, true>},                                                                        \
        {"fle." suffix, "10100" fmt "----- ----- 000 ----- 1010011", Format::kFCmp,                \
         compare<F, Le>},                                                                          \
        {"flt." suffix, "10100" fmt "----- ----- 001 ----- 1010011", Format::kFCmp,                \
         compare<F, Lt>},                                                                          \
        {"feq." suffix, "10100" fmt "----- ----- 010 ----- 1010011", Format::kFCmp,                \
         compare<F, Eq>},                                                                          \
    {                                                                                              \
        "fclass." suffix, "11100" fmt "00000 ----- 001 ----- 1010011", Format::kFToX, classify<F>  \
    }

constexpr InsnSpec kInsns[] = {
    TALUS_FP_ROWS("s", "00", Single),
    TALUS_FP_ROWS("d", "01", Double),
    TALUS_FP_ROWS("h", "10", Half),
};

#undef TALUS_FP_ROWS

} // namespace

std::span<const InsnSpec> fp_insns() {
    return kInsns;
}

} // namespace talus::sim
