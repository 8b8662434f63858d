// Vector integer: add, logic, shifts, min/max, compares, carry, merge, extension.
#include "vector.hpp"

namespace talus::sim {

namespace {

using namespace vec;

// Operations take vs2 first, as the manual's a op b with a = vs2.
// clang-format off
struct Add { template <class T> static T apply(T a, T b) { return static_cast<T>(a + b); } };
struct Sub { template <class T> static T apply(T a, T b) { return static_cast<T>(a - b); } };
struct Rsub { template <class T> static T apply(T a, T b) { return static_cast<T>(b - a); } };
struct And { template <class T> static T apply(T a, T b) { return static_cast<T>(a & b); } };
struct Or { template <class T> static T apply(T a, T b) { return static_cast<T>(a | b); } };
struct Xor { template <class T> static T apply(T a, T b) { return static_cast<T>(a ^ b); } };
struct Minu { template <class T> static T apply(T a, T b) { return a < b ? a : b; } };
struct Maxu { template <class T> static T apply(T a, T b) { return a < b ? b : a; } };
struct Min { template <class T> static T apply(T a, T b) { return Signed<T>(a) < Signed<T>(b) ? a : b; } };
struct Max { template <class T> static T apply(T a, T b) { return Signed<T>(a) < Signed<T>(b) ? b : a; } };
struct Sll { template <class T> static T apply(T a, T b) { return static_cast<T>(std::uint64_t{a} << (b & (8 * sizeof(T) - 1))); } };
struct Srl { template <class T> static T apply(T a, T b) { return static_cast<T>(a >> (b & (8 * sizeof(T) - 1))); } };
struct Sra { template <class T> static T apply(T a, T b) { return static_cast<T>(Signed<T>(a) >> (b & (8 * sizeof(T) - 1))); } };

struct Eq { template <class T> static bool apply(T a, T b) { return a == b; } };
struct Ne { template <class T> static bool apply(T a, T b) { return a != b; } };
struct Ltu { template <class T> static bool apply(T a, T b) { return a < b; } };
struct Lt { template <class T> static bool apply(T a, T b) { return Signed<T>(a) < Signed<T>(b); } };
struct Leu { template <class T> static bool apply(T a, T b) { return a <= b; } };
struct Le { template <class T> static bool apply(T a, T b) { return Signed<T>(a) <= Signed<T>(b); } };
struct Gtu { template <class T> static bool apply(T a, T b) { return a > b; } };
struct Gt { template <class T> static bool apply(T a, T b) { return Signed<T>(a) > Signed<T>(b); } };

struct Carry { template <class T> static bool apply(T a, T b, bool c) { const T s = static_cast<T>(a + b + c); return c ? s <= a : s < a; } };
struct Borrow { template <class T> static bool apply(T a, T b, bool c) { return c ? a <= b : a < b; } };
struct Adc { template <class T> static T apply(T a, T b, bool c) { return static_cast<T>(a + b + c); } };
struct Sbc { template <class T> static T apply(T a, T b, bool c) { return static_cast<T>(a - b - c); } };
// clang-format on

template <class Op, Src S>
void arith(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(
            c, d, d.vm(), [&](std::uint64_t i, T b) { vd.set(i, Op::template apply<T>(a[i], b)); });
    });
    done(c);
}

template <Src S>
bool check_mask_result(const Core& c, const Decoded& d) {
    return usable(c) && aligned(d.rs2, c.vlmul) && separate_narrow(d.rd, 0, d.rs2, c.vlmul) &&
           (S != Src::kV || (aligned(d.rs1, c.vlmul) && separate_narrow(d.rd, 0, d.rs1, c.vlmul)));
}

template <class Op, Src S>
void compare(Core& c, const Decoded& d) {
    if (!check_mask_result<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    std::uint8_t* vd = c.vreg(d.rd);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> a(c, d.rs2);
        for_operands<T, S>(c, d, d.vm(), [&](std::uint64_t i, T b) {
            set_mask_bit(vd, i, Op::template apply<T>(a[i], b));
        });
    });
    done(c);
}

/// vadc, vsbc: v0 is an operand, every element is active.
template <class Op, Src S>
void with_carry(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d)) // vm = 0 also forbids vd = v0 here
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    const std::uint8_t* mask = c.vreg(0);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(c, d, true, [&](std::uint64_t i, T b) {
            vd.set(i, Op::template apply<T>(a[i], b, mask_bit(mask, i)));
        });
    });
    done(c);
}

/// vmadc, vmsbc: with vm = 1 there is no carry-in.
template <class Op, Src S>
void carry_out(Core& c, const Decoded& d) {
    if (!check_mask_result<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    const std::uint8_t* mask = c.vreg(0);
    const bool with_carry_in = !d.vm();
    std::uint8_t* vd = c.vreg(d.rd);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> a(c, d.rs2);
        for_operands<T, S>(c, d, true, [&](std::uint64_t i, T b) {
            set_mask_bit(vd, i, Op::template apply<T>(a[i], b, with_carry_in && mask_bit(mask, i)));
        });
    });
    done(c);
}

template <Src S>
void merge(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    const std::uint8_t* mask = c.vreg(0);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(c, d, true,
                           [&](std::uint64_t i, T b) { vd.set(i, mask_bit(mask, i) ? b : a[i]); });
    });
    done(c);
}

template <Src S>
void move(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd);
        for_operands<T, S>(c, d, true, [&](std::uint64_t i, T b) { vd.set(i, b); });
    });
    done(c);
}

template <unsigned Shift, bool IsSigned>
void extend(Core& c, const Decoded& d) {
    const int source_lmul = c.vlmul - static_cast<int>(Shift);
    if (!usable(c) || !mask_kept(d) || c.vsew < Shift || source_lmul < -3 ||
        !aligned(d.rd, c.vlmul) || !aligned(d.rs2, source_lmul) ||
        !separate(d.rd, c.vlmul, d.rs2, source_lmul))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    by_width(c.vsew, [&]<class T>() {
        by_width(c.vsew - Shift, [&]<class N>() {
            const Group<T> vd(c, d.rd);
            const Group<N> a(c, d.rs2);
            for_active(c, d.vm(), [&](std::uint64_t i) {
                if constexpr (IsSigned)
                    vd.set(i, static_cast<T>(static_cast<std::int64_t>(Signed<N>(a[i]))));
                else
                    vd.set(i, static_cast<T>(a[i]));
            });
        });
    });
    done(c);
}

#define TALUS_VV(name, f6, op) TALUS_OPIVV(name ".vv", f6, (arith<op, Src::kV>))
#define TALUS_VX(name, f6, op) TALUS_OPIVX(name ".vx", f6, (arith<op, Src::kX>))
#define TALUS_VI(name, f6, op) TALUS_OPIVI(name ".vi", f6, (arith<op, Src::kI>))
#define TALUS_VU(name, f6, op) TALUS_OPIVI(name ".vi", f6, (arith<op, Src::kU>))
#define TALUS_CV(name, f6, op) TALUS_OPIVV(name ".vv", f6, (compare<op, Src::kV>))
#define TALUS_CX(name, f6, op) TALUS_OPIVX(name ".vx", f6, (compare<op, Src::kX>))
#define TALUS_CI(name, f6, op) TALUS_OPIVI(name ".vi", f6, (compare<op, Src::kI>))
// vm and vs2 are fixed in the last group, so the patterns are written out.
#define TALUS_EXT(name, code, shift, is_signed)                                                    \
    { name, "010010 - ----- " code " 010 ----- 1010111", Format::kV, extend<shift, is_signed> }

constexpr InsnSpec kInsns[] = {
    TALUS_VV("vadd", "000000", Add),
    TALUS_VX("vadd", "000000", Add),
    TALUS_VI("vadd", "000000", Add),
    TALUS_VV("vsub", "000010", Sub),
    TALUS_VX("vsub", "000010", Sub),
    TALUS_VX("vrsub", "000011", Rsub),
    TALUS_VI("vrsub", "000011", Rsub),
    TALUS_VV("vminu", "000100", Minu),
    TALUS_VX("vminu", "000100", Minu),
    TALUS_VV("vmin", "000101", Min),
    TALUS_VX("vmin", "000101", Min),
    TALUS_VV("vmaxu", "000110", Maxu),
    TALUS_VX("vmaxu", "000110", Maxu),
    TALUS_VV("vmax", "000111", Max),
    TALUS_VX("vmax", "000111", Max),
    TALUS_VV("vand", "001001", And),
    TALUS_VX("vand", "001001", And),
    TALUS_VI("vand", "001001", And),
    TALUS_VV("vor", "001010", Or),
    TALUS_VX("vor", "001010", Or),
    TALUS_VI("vor", "001010", Or),
    TALUS_VV("vxor", "001011", Xor),
    TALUS_VX("vxor", "001011", Xor),
    TALUS_VI("vxor", "001011", Xor),
    TALUS_VV("vsll", "100101", Sll),
    TALUS_VX("vsll", "100101", Sll),
    TALUS_VU("vsll", "100101", Sll),
    TALUS_VV("vsrl", "101000", Srl),
    TALUS_VX("vsrl", "101000", Srl),
    TALUS_VU("vsrl", "101000", Srl),
    TALUS_VV("vsra", "101001", Sra),
    TALUS_VX("vsra", "101001", Sra),
    TALUS_VU("vsra", "101001", Sra),
    TALUS_CV("vmseq", "011000", Eq),
    TALUS_CX("vmseq", "011000", Eq),
    TALUS_CI("vmseq", "011000", Eq),
    TALUS_CV("vmsne", "011001", Ne),
    TALUS_CX("vmsne", "011001", Ne),
    TALUS_CI("vmsne", "011001", Ne),
    TALUS_CV("vmsltu", "011010", Ltu),
    TALUS_CX("vmsltu", "011010", Ltu),
    TALUS_CV("vmslt", "011011", Lt),
    TALUS_CX("vmslt", "011011", Lt),
    TALUS_CV("vmsleu", "011100", Leu),
    TALUS_CX("vmsleu", "011100", Leu),
    TALUS_CI("vmsleu", "011100", Leu),
    TALUS_CV("vmsle", "011101", Le),
    TALUS_CX("vmsle", "011101", Le),
    TALUS_CI("vmsle", "011101", Le),
    TALUS_CX("vmsgtu", "011110", Gtu),
    TALUS_CI("vmsgtu", "011110", Gtu),
    TALUS_CX("vmsgt", "011111", Gt),
    TALUS_CI("vmsgt", "011111", Gt),
    {"vadc.vvm", "010000 0 ----- ----- 000 ----- 1010111", Format::kV, with_carry<Adc, Src::kV>},
    {"vadc.vxm", "010000 0 ----- ----- 100 ----- 1010111", Format::kVX, with_carry<Adc, Src::kX>},
    {"vadc.vim", "010000 0 ----- ----- 011 ----- 1010111", Format::kVI, with_carry<Adc, Src::kI>},
    {"vsbc.vvm", "010010 0 ----- ----- 000 ----- 1010111", Format::kV, with_carry<Sbc, Src::kV>},
    {"vsbc.vxm", "010010 0 ----- ----- 100 ----- 1010111", Format::kVX, with_carry<Sbc, Src::kX>},
    TALUS_OPIVV("vmadc.vv", "010001", (carry_out<Carry, Src::kV>)),
    TALUS_OPIVX("vmadc.vx", "010001", (carry_out<Carry, Src::kX>)),
    TALUS_OPIVI("vmadc.vi", "010001", (carry_out<Carry, Src::kI>)),
    TALUS_OPIVV("vmsbc.vv", "010011", (carry_out<Borrow, Src::kV>)),
    TALUS_OPIVX("vmsbc.vx", "010011", (carry_out<Borrow, Src::kX>)),
    {"vmerge.vvm", "010111 0 ----- ----- 000 ----- 1010111", Format::kV, merge<Src::kV>},
    {"vmerge.vxm", "010111 0 ----- ----- 100 ----- 1010111", Format::kVX, merge<Src::kX>},
    {"vmerge.vim", "010111 0 ----- ----- 011 ----- 1010111", Format::kVI, merge<Src::kI>},
    {"vmv.v.v", "010111 1 00000 ----- 000 ----- 1010111", Format::kV, move<Src::kV>},
    {"vmv.v.x", "010111 1 00000 ----- 100 ----- 1010111", Format::kVX, move<Src::kX>},
    {"vmv.v.i", "010111 1 00000 ----- 011 ----- 1010111", Format::kVI, move<Src::kI>},
    TALUS_EXT("vzext.vf8", "00010", 3, false),
    TALUS_EXT("vsext.vf8", "00011", 3, true),
    TALUS_EXT("vzext.vf4", "00100", 2, false),
    TALUS_EXT("vsext.vf4", "00101", 2, true),
    TALUS_EXT("vzext.vf2", "00110", 1, false),
    TALUS_EXT("vsext.vf2", "00111", 1, true),
};

} // namespace

std::span<const InsnSpec> vector_integer_insns() {
    return kInsns;
}

} // namespace talus::sim
