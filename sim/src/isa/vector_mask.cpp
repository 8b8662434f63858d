// Vector mask instructions.
#include "vector.hpp"

namespace talus::sim {

namespace {

using namespace vec;

// clang-format off
struct Andn { static bool apply(bool a, bool b) { return a && !b; } };
struct And { static bool apply(bool a, bool b) { return a && b; } };
struct Or { static bool apply(bool a, bool b) { return a || b; } };
struct Xor { static bool apply(bool a, bool b) { return a != b; } };
struct Orn { static bool apply(bool a, bool b) { return a || !b; } };
struct Nand { static bool apply(bool a, bool b) { return !(a && b); } };
struct Nor { static bool apply(bool a, bool b) { return !(a || b); } };
struct Xnor { static bool apply(bool a, bool b) { return a == b; } };
// clang-format on

template <class Op>
void logical(Core& c, const Decoded& d) {
    if (!usable(c))
        return c.illegal(d);
    occupy(c, 1);
    std::uint8_t* vd = c.vreg(d.rd);
    const std::uint8_t *a = c.vreg(d.rs2), *b = c.vreg(d.rs1);
    for_active(c, true, [&](std::uint64_t i) {
        set_mask_bit(vd, i, Op::apply(mask_bit(a, i), mask_bit(b, i)));
    });
    done(c);
}

/// vcpop.m and vfirst.m.
template <bool First>
void count(Core& c, const Decoded& d) {
    if (!usable(c) || c.vstart != 0)
        return c.illegal(d);
    occupy(c, 1 + c.timing.vector_startup);
    const std::uint8_t* a = c.vreg(d.rs2);
    std::uint64_t total = 0, first = ~std::uint64_t{0};
    for_active(c, d.vm(), [&](std::uint64_t i) {
        if (!mask_bit(a, i))
            return;
        ++total;
        first = std::min(first, i);
    });
    c.x[d.rd] = First ? first : total;
    scalar_result(c, d.rd);
    done(c);
}

enum class Around { kBefore, kOnly, kIncluding };

/// vmsbf.m, vmsof.m, vmsif.m: bits before, at, or up to the first set bit.
template <Around Which>
void around_first(Core& c, const Decoded& d) {
    if (!usable(c) || c.vstart != 0 || !mask_kept(d) || d.rd == d.rs2)
        return c.illegal(d);
    occupy(c, 1);
    std::uint8_t* vd = c.vreg(d.rd);
    const std::uint8_t* a = c.vreg(d.rs2);
    bool seen = false;
    for_active(c, d.vm(), [&](std::uint64_t i) {
        const bool here = !seen && mask_bit(a, i);
        const bool bit = Which == Around::kOnly     ? here
                         : Which == Around::kBefore ? !seen && !here
                                                    : !seen;
        seen = seen || here;
        set_mask_bit(vd, i, bit);
    });
    done(c);
}

void viota(Core& c, const Decoded& d) {
    if (!usable(c) || c.vstart != 0 || !mask_kept(d) || !aligned(d.rd, c.vlmul) ||
        overlap(d.rd, group_size(c.vlmul), d.rs2, 1))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    const std::uint8_t* a = c.vreg(d.rs2);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd);
        std::uint64_t sum = 0;
        for_active(c, d.vm(), [&](std::uint64_t i) {
            vd.set(i, static_cast<T>(sum));
            sum += mask_bit(a, i);
        });
    });
    done(c);
}

void vid(Core& c, const Decoded& d) {
    if (!usable(c) || !mask_kept(d) || !aligned(d.rd, c.vlmul))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd);
        for_active(c, d.vm(), [&](std::uint64_t i) { vd.set(i, static_cast<T>(i)); });
    });
    done(c);
}

#define TALUS_MM(name, f6, op)                                                                     \
    { name, f6 " 1 ----- ----- 010 ----- 1010111", Format::kV, logical<op> }

constexpr InsnSpec kInsns[] = {
    TALUS_MM("vmandn.mm", "011000", Andn),
    TALUS_MM("vmand.mm", "011001", And),
    TALUS_MM("vmor.mm", "011010", Or),
    TALUS_MM("vmxor.mm", "011011", Xor),
    TALUS_MM("vmorn.mm", "011100", Orn),
    TALUS_MM("vmnand.mm", "011101", Nand),
    TALUS_MM("vmnor.mm", "011110", Nor),
    TALUS_MM("vmxnor.mm", "011111", Xnor),
    {"vcpop.m", "010000 - ----- 10000 010 ----- 1010111", Format::kVToX, count<false>},
    {"vfirst.m", "010000 - ----- 10001 010 ----- 1010111", Format::kVToX, count<true>},
    {"vmsbf.m", "010100 - ----- 00001 010 ----- 1010111", Format::kV,
     around_first<Around::kBefore>},
    {"vmsof.m", "010100 - ----- 00010 010 ----- 1010111", Format::kV, around_first<Around::kOnly>},
    {"vmsif.m", "010100 - ----- 00011 010 ----- 1010111", Format::kV,
     around_first<Around::kIncluding>},
    {"viota.m", "010100 - ----- 10000 010 ----- 1010111", Format::kV, viota},
    {"vid.v", "010100 - 00000 10001 010 ----- 1010111", Format::kV, vid},
};

} // namespace

std::span<const InsnSpec> vector_mask_insns() {
    return kInsns;
}

} // namespace talus::sim
