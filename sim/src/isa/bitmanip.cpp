// Zba and Zbb.
#include <bit>

#include "core.hpp"

namespace talus::sim {

namespace {

using i32 = std::int32_t;
using i64 = std::int64_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u64 sext32(u64 value) {
    return static_cast<u64>(static_cast<i64>(static_cast<i32>(value)));
}

template <class Op>
void op_rr(Core& c, const Decoded& d) {
    c.x[d.rd] = Op::apply(c.x[d.rs1], c.x[d.rs2]);
}
template <class Op>
void op_ri(Core& c, const Decoded& d) {
    c.x[d.rd] = Op::apply(c.x[d.rs1], static_cast<u64>(d.imm));
}
template <u64 (*F)(u64)>
void op_r(Core& c, const Decoded& d) {
    c.x[d.rd] = F(c.x[d.rs1]);
}

template <unsigned N>
struct ShAdd {
    static u64 apply(u64 a, u64 b) { return (a << N) + b; }
};
template <unsigned N>
struct ShAddUw {
    static u64 apply(u64 a, u64 b) { return (u64{static_cast<u32>(a)} << N) + b; }
};
// clang-format off
struct SlliUw { static u64 apply(u64 a, u64 b) { return u64{static_cast<u32>(a)} << b; } };
struct Andn { static u64 apply(u64 a, u64 b) { return a & ~b; } };
struct Orn { static u64 apply(u64 a, u64 b) { return a | ~b; } };
struct Xnor { static u64 apply(u64 a, u64 b) { return ~(a ^ b); } };
struct Max { static u64 apply(u64 a, u64 b) { return static_cast<i64>(a) < static_cast<i64>(b) ? b : a; } };
struct Min { static u64 apply(u64 a, u64 b) { return static_cast<i64>(a) < static_cast<i64>(b) ? a : b; } };
struct Maxu { static u64 apply(u64 a, u64 b) { return a < b ? b : a; } };
struct Minu { static u64 apply(u64 a, u64 b) { return a < b ? a : b; } };
struct Rol { static u64 apply(u64 a, u64 b) { return std::rotl(a, static_cast<int>(b & 63)); } };
struct Ror { static u64 apply(u64 a, u64 b) { return std::rotr(a, static_cast<int>(b & 63)); } };
struct Rolw { static u64 apply(u64 a, u64 b) { return sext32(std::rotl(static_cast<u32>(a), static_cast<int>(b & 31))); } };
struct Rorw { static u64 apply(u64 a, u64 b) { return sext32(std::rotr(static_cast<u32>(a), static_cast<int>(b & 31))); } };
// clang-format on

u64 clz(u64 a) {
    return static_cast<u64>(std::countl_zero(a));
}
u64 ctz(u64 a) {
    return static_cast<u64>(std::countr_zero(a));
}
u64 cpop(u64 a) {
    return static_cast<u64>(std::popcount(a));
}
u64 clzw(u64 a) {
    return static_cast<u64>(std::countl_zero(static_cast<u32>(a)));
}
u64 ctzw(u64 a) {
    return static_cast<u64>(std::countr_zero(static_cast<u32>(a)));
}
u64 cpopw(u64 a) {
    return static_cast<u64>(std::popcount(static_cast<u32>(a)));
}
u64 sext_b(u64 a) {
    return static_cast<u64>(static_cast<i64>(static_cast<std::int8_t>(a)));
}
u64 sext_h(u64 a) {
    return static_cast<u64>(static_cast<i64>(static_cast<std::int16_t>(a)));
}
u64 zext_h(u64 a) {
    return a & 0xffff;
}
u64 rev8(u64 a) {
    return __builtin_bswap64(a);
}
u64 orc_b(u64 a) {
    u64 result = 0;
    for (unsigned i = 0; i < 64; i += 8) {
        if (a >> i & 0xff)
            result |= u64{0xff} << i;
    }
    return result;
}

constexpr InsnSpec kInsns[] = {
    {"sh1add", "0010000 ----- ----- 010 ----- 0110011", Format::kR, op_rr<ShAdd<1>>},
    {"sh2add", "0010000 ----- ----- 100 ----- 0110011", Format::kR, op_rr<ShAdd<2>>},
    {"sh3add", "0010000 ----- ----- 110 ----- 0110011", Format::kR, op_rr<ShAdd<3>>},
    {"add.uw", "0000100 ----- ----- 000 ----- 0111011", Format::kR, op_rr<ShAddUw<0>>},
    {"sh1add.uw", "0010000 ----- ----- 010 ----- 0111011", Format::kR, op_rr<ShAddUw<1>>},
    {"sh2add.uw", "0010000 ----- ----- 100 ----- 0111011", Format::kR, op_rr<ShAddUw<2>>},
    {"sh3add.uw", "0010000 ----- ----- 110 ----- 0111011", Format::kR, op_rr<ShAddUw<3>>},
    {"slli.uw", "000010 ------ ----- 001 ----- 0011011", Format::kShift, op_ri<SlliUw>},
    {"andn", "0100000 ----- ----- 111 ----- 0110011", Format::kR, op_rr<Andn>},
    {"orn", "0100000 ----- ----- 110 ----- 0110011", Format::kR, op_rr<Orn>},
    {"xnor", "0100000 ----- ----- 100 ----- 0110011", Format::kR, op_rr<Xnor>},
    {"min", "0000101 ----- ----- 100 ----- 0110011", Format::kR, op_rr<Min>},
    {"minu", "0000101 ----- ----- 101 ----- 0110011", Format::kR, op_rr<Minu>},
    {"max", "0000101 ----- ----- 110 ----- 0110011", Format::kR, op_rr<Max>},
    {"maxu", "0000101 ----- ----- 111 ----- 0110011", Format::kR, op_rr<Maxu>},
    {"rol", "0110000 ----- ----- 001 ----- 0110011", Format::kR, op_rr<Rol>},
    {"ror", "0110000 ----- ----- 101 ----- 0110011", Format::kR, op_rr<Ror>},
    {"rori", "011000 ------ ----- 101 ----- 0010011", Format::kShift, op_ri<Ror>},
    {"rolw", "0110000 ----- ----- 001 ----- 0111011", Format::kR, op_rr<Rolw>},
    {"rorw", "0110000 ----- ----- 101 ----- 0111011", Format::kR, op_rr<Rorw>},
    {"roriw", "0110000 ----- ----- 101 ----- 0011011", Format::kShiftW, op_ri<Rorw>},
    {"clz", "0110000 00000 ----- 001 ----- 0010011", Format::kRs1, op_r<clz>},
    {"ctz", "0110000 00001 ----- 001 ----- 0010011", Format::kRs1, op_r<ctz>},
    {"cpop", "0110000 00010 ----- 001 ----- 0010011", Format::kRs1, op_r<cpop>},
    {"clzw", "0110000 00000 ----- 001 ----- 0011011", Format::kRs1, op_r<clzw>},
    {"ctzw", "0110000 00001 ----- 001 ----- 0011011", Format::kRs1, op_r<ctzw>},
    {"cpopw", "0110000 00010 ----- 001 ----- 0011011", Format::kRs1, op_r<cpopw>},
    {"sext.b", "0110000 00100 ----- 001 ----- 0010011", Format::kRs1, op_r<sext_b>},
    {"sext.h", "0110000 00101 ----- 001 ----- 0010011", Format::kRs1, op_r<sext_h>},
    {"zext.h", "0000100 00000 ----- 100 ----- 0111011", Format::kRs1, op_r<zext_h>},
    {"orc.b", "001010000111 ----- 101 ----- 0010011", Format::kRs1, op_r<orc_b>},
    {"rev8", "011010111000 ----- 101 ----- 0010011", Format::kRs1, op_r<rev8>},
};

} // namespace

std::span<const InsnSpec> bitmanip_insns() {
    return kInsns;
}

} // namespace talus::sim
