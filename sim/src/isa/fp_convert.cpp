// F, D and Zfh: conversions and moves between register files.
#include "fp.hpp"

namespace talus::sim {

namespace {

using fp::Bits;
using fp::Double;
using fp::Env;
using fp::Half;
using fp::Single;

bool enter(Core& c, const Decoded& d, Env& env) {
    env.rm = fp::rounding(c, d.rm());
    if (!c.fp_on || env.rm > soft::kRmm) {
        c.illegal(d);
        return false;
    }
    return true;
}

template <class To, class From>
void convert(Core& c, const Decoded& d) {
    Env env;
    if (!enter(c, d, env))
        return;
    const Bits<To> r = soft::convert<To, From>(fp::unbox<From>(c.f[d.rs1]), env);
    fp::write_f<To>(c, d.rd, r, c.timing.fp_latency);
    fp::accrue(c, env);
}

/// 32-bit results are sign-extended, the unsigned one too.
template <class Int, class F>
void to_int(Core& c, const Decoded& d) {
    Env env;
    if (!enter(c, d, env))
        return;
    const Int r = soft::to_int<Int, F>(fp::unbox<F>(c.f[d.rs1]), env);
    c.x[d.rd] = static_cast<std::uint64_t>(
        static_cast<std::int64_t>(static_cast<std::make_signed_t<Int>>(r)));
    c.result_at(d.rd, c.now + c.timing.fp_latency);
    fp::accrue(c, env);
}

template <class F, class Int>
void from_int(Core& c, const Decoded& d) {
    Env env;
    if (!enter(c, d, env))
        return;
    const Bits<F> r = soft::from_int<F, Int>(static_cast<Int>(c.x[d.rs1]), env);
    fp::write_f<F>(c, d.rd, r, c.timing.fp_latency);
    fp::accrue(c, env);
}

/// Moves copy bits: an f register that is not properly boxed is not a NaN here.
template <class F>
void move_to_x(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    c.x[d.rd] = static_cast<std::uint64_t>(
        static_cast<std::int64_t>(static_cast<std::make_signed_t<Bits<F>>>(c.f[d.rs1])));
    c.result_at(d.rd, c.now + c.timing.fp_move_latency);
}
template <class F>
void move_to_f(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    fp::write_f<F>(c, d.rd, static_cast<Bits<F>>(c.x[d.rs1]), c.timing.fp_move_latency);
}

using W = std::int32_t;
using Wu = std::uint32_t;
using L = std::int64_t;
using Lu = std::uint64_t;

#define TALUS_FP_ROWS(suffix, width, fmt, F)                                                       \
    {"fcvt.w." suffix, "11000" fmt "00000 ----- --- ----- 1010011", Format::kFToX, to_int<W, F>},  \
        {"fcvt.wu." suffix, "11000" fmt "00001 ----- --- ----- 1010011", Format::kFToX,            \
         to_int<Wu, F>},                                                                           \
        {"fcvt.l." suffix, "11000" fmt "00010 ----- --- ----- 1010011", Format::kFToX,             \
         to_int<L, F>},                                                                            \
        {"fcvt.lu." suffix, "11000" fmt "00011 ----- --- ----- 1010011", Format::kFToX,            \
         to_int<Lu, F>},                                                                           \
        {"fcvt." suffix ".w", "11010" fmt "00000 ----- --- ----- 1010011", Format::kXToF,          \
         from_int<F, W>},                                                                          \
        {"fcvt." suffix ".wu", "11010" fmt "00001 ----- --- ----- 1010011", Format::kXToF,         \
         from_int<F, Wu>},                                                                         \
        {"fcvt." suffix ".l", "11010" fmt "00010 ----- --- ----- 1010011", Format::kXToF,          \
         from_int<F, L>},                                                                          \
        {"fcvt." suffix ".lu", "11010" fmt "00011 ----- --- ----- 1010011", Format::kXToF,         \
         from_int<F, Lu>},                                                                         \
        {"fmv.x." width, "11100" fmt "00000 ----- 000 ----- 1010011", Format::kFToX,               \
         move_to_x<F>},                                                                            \
    {                                                                                              \
        "fmv." width ".x", "11110" fmt "00000 ----- 000 ----- 1010011", Format::kXToF,             \
            move_to_f<F>                                                                           \
    }

constexpr InsnSpec kInsns[] = {
    TALUS_FP_ROWS("s", "w", "00", Single),
    TALUS_FP_ROWS("d", "d", "01", Double),
    TALUS_FP_ROWS("h", "h", "10", Half),
    {"fcvt.s.d", "0100000 00001 ----- --- ----- 1010011", Format::kF1, convert<Single, Double>},
    {"fcvt.s.h", "0100000 00010 ----- --- ----- 1010011", Format::kF1, convert<Single, Half>},
    {"fcvt.d.s", "0100001 00000 ----- --- ----- 1010011", Format::kF1, convert<Double, Single>},
    {"fcvt.d.h", "0100001 00010 ----- --- ----- 1010011", Format::kF1, convert<Double, Half>},
    {"fcvt.h.s", "0100010 00000 ----- --- ----- 1010011", Format::kF1, convert<Half, Single>},
    {"fcvt.h.d", "0100010 00001 ----- --- ----- 1010011", Format::kF1, convert<Half, Double>},
};

#undef TALUS_FP_ROWS

} // namespace

std::span<const InsnSpec> fp_convert_insns() {
    return kInsns;
}

} // namespace talus::sim
