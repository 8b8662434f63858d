// RV64I and M: arithmetic, branches, multiply and divide.
#include "core.hpp"

namespace talus::sim {

namespace {

__extension__ using i128 = __int128;
__extension__ using u128 = unsigned __int128;
using i32 = std::int32_t;
using i64 = std::int64_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u64 sext32(u64 value) {
    return static_cast<u64>(static_cast<i64>(static_cast<i32>(value)));
}

// The operation's immediate form reads d.imm, which holds shift amounts as well.
template <class Op>
void op_rr(Core& c, const Decoded& d) {
    c.x[d.rd] = Op::apply(c.x[d.rs1], c.x[d.rs2]);
}
template <class Op>
void op_ri(Core& c, const Decoded& d) {
    c.x[d.rd] = Op::apply(c.x[d.rs1], static_cast<u64>(static_cast<i64>(d.imm)));
}
template <class Op>
void op_mul(Core& c, const Decoded& d) {
    c.x[d.rd] = Op::apply(c.x[d.rs1], c.x[d.rs2]);
    c.result_at(d.rd, c.now + c.timing.mul_latency);
}
template <class Op>
void op_div(Core& c, const Decoded& d) {
    c.x[d.rd] = Op::apply(c.x[d.rs1], c.x[d.rs2]);
    c.now += c.timing.div_penalty;
}
template <class Op>
void op_branch(Core& c, const Decoded& d) {
    if (Op::taken(c.x[d.rs1], c.x[d.rs2]))
        c.take_branch(c.pc + static_cast<u64>(static_cast<i64>(d.imm)));
}

// clang-format off
struct Add { static u64 apply(u64 a, u64 b) { return a + b; } };
struct Sub { static u64 apply(u64 a, u64 b) { return a - b; } };
struct Sll { static u64 apply(u64 a, u64 b) { return a << (b & 63); } };
struct Srl { static u64 apply(u64 a, u64 b) { return a >> (b & 63); } };
struct Sra { static u64 apply(u64 a, u64 b) { return static_cast<u64>(static_cast<i64>(a) >> (b & 63)); } };
struct Slt { static u64 apply(u64 a, u64 b) { return static_cast<i64>(a) < static_cast<i64>(b); } };
struct Sltu { static u64 apply(u64 a, u64 b) { return a < b; } };
struct Xor { static u64 apply(u64 a, u64 b) { return a ^ b; } };
struct Or { static u64 apply(u64 a, u64 b) { return a | b; } };
struct And { static u64 apply(u64 a, u64 b) { return a & b; } };
struct Addw { static u64 apply(u64 a, u64 b) { return sext32(a + b); } };
struct Subw { static u64 apply(u64 a, u64 b) { return sext32(a - b); } };
struct Sllw { static u64 apply(u64 a, u64 b) { return sext32(static_cast<u32>(a) << (b & 31)); } };
struct Srlw { static u64 apply(u64 a, u64 b) { return sext32(static_cast<u32>(a) >> (b & 31)); } };
struct Sraw { static u64 apply(u64 a, u64 b) { return static_cast<u64>(static_cast<i64>(static_cast<i32>(a) >> (b & 31))); } };

struct Mul { static u64 apply(u64 a, u64 b) { return a * b; } };
struct Mulh { static u64 apply(u64 a, u64 b) { return static_cast<u64>((i128{static_cast<i64>(a)} * static_cast<i64>(b)) >> 64); } };
struct Mulhsu { static u64 apply(u64 a, u64 b) { return static_cast<u64>((i128{static_cast<i64>(a)} * static_cast<i128>(b)) >> 64); } };
struct Mulhu { static u64 apply(u64 a, u64 b) { return static_cast<u64>((u128{a} * b) >> 64); } };
struct Mulw { static u64 apply(u64 a, u64 b) { return sext32(a * b); } };
// clang-format on

/// Division by zero and the one signed overflow have defined results and do not trap.
template <class T>
struct Div {
    static u64 apply(u64 a, u64 b) {
        const T n = static_cast<T>(a), m = static_cast<T>(b);
        if (m == 0)
            return ~u64{0};
        if constexpr (std::is_signed_v<T>) {
            if (m == T{-1})
                return extend(static_cast<T>(0 - static_cast<std::make_unsigned_t<T>>(n)));
        }
        return extend(static_cast<T>(n / m));
    }
    static u64 extend(T v) {
        if constexpr (sizeof(T) == 4)
            return sext32(static_cast<u32>(v));
        else
            return static_cast<u64>(v);
    }
};
template <class T>
struct Rem {
    static u64 apply(u64 a, u64 b) {
        const T n = static_cast<T>(a), m = static_cast<T>(b);
        if (m == 0)
            return Div<T>::extend(n);
        if constexpr (std::is_signed_v<T>) {
            if (m == T{-1})
                return 0;
        }
        return Div<T>::extend(static_cast<T>(n % m));
    }
};

// clang-format off
struct Eq { static bool taken(u64 a, u64 b) { return a == b; } };
struct Ne { static bool taken(u64 a, u64 b) { return a != b; } };
struct Lt { static bool taken(u64 a, u64 b) { return static_cast<i64>(a) < static_cast<i64>(b); } };
struct Ge { static bool taken(u64 a, u64 b) { return static_cast<i64>(a) >= static_cast<i64>(b); } };
struct Ltu { static bool taken(u64 a, u64 b) { return a < b; } };
struct Geu { static bool taken(u64 a, u64 b) { return a >= b; } };
// clang-format on

void lui(Core& c, const Decoded& d) {
    c.x[d.rd] = static_cast<u64>(static_cast<i64>(d.imm));
}
void auipc(Core& c, const Decoded& d) {
    c.x[d.rd] = c.pc + static_cast<u64>(static_cast<i64>(d.imm));
}
void jal(Core& c, const Decoded& d) {
    c.x[d.rd] = c.npc;
    c.take_branch(c.pc + static_cast<u64>(static_cast<i64>(d.imm)));
}
void jalr(Core& c, const Decoded& d) {
    const u64 target = (c.x[d.rs1] + static_cast<u64>(static_cast<i64>(d.imm))) & ~u64{1};
    c.x[d.rd] = c.npc;
    c.take_branch(target);
}

constexpr InsnSpec kInsns[] = {
    {"lui", "----- ----- ----- ----- ----- 0110111", Format::kU, lui},
    {"auipc", "----- ----- ----- ----- ----- 0010111", Format::kU, auipc},
    {"jal", "----- ----- ----- ----- ----- 1101111", Format::kJ, jal},
    {"jalr", "------------ ----- 000 ----- 1100111", Format::kI, jalr},
    {"beq", "------- ----- ----- 000 ----- 1100011", Format::kB, op_branch<Eq>},
    {"bne", "------- ----- ----- 001 ----- 1100011", Format::kB, op_branch<Ne>},
    {"blt", "------- ----- ----- 100 ----- 1100011", Format::kB, op_branch<Lt>},
    {"bge", "------- ----- ----- 101 ----- 1100011", Format::kB, op_branch<Ge>},
    {"bltu", "------- ----- ----- 110 ----- 1100011", Format::kB, op_branch<Ltu>},
    {"bgeu", "------- ----- ----- 111 ----- 1100011", Format::kB, op_branch<Geu>},
    {"addi", "------------ ----- 000 ----- 0010011", Format::kI, op_ri<Add>},
    {"slti", "------------ ----- 010 ----- 0010011", Format::kI, op_ri<Slt>},
    {"sltiu", "------------ ----- 011 ----- 0010011", Format::kI, op_ri<Sltu>},
    {"xori", "------------ ----- 100 ----- 0010011", Format::kI, op_ri<Xor>},
    {"ori", "------------ ----- 110 ----- 0010011", Format::kI, op_ri<Or>},
    {"andi", "------------ ----- 111 ----- 0010011", Format::kI, op_ri<And>},
    {"slli", "000000 ------ ----- 001 ----- 0010011", Format::kShift, op_ri<Sll>},
    {"srli", "000000 ------ ----- 101 ----- 0010011", Format::kShift, op_ri<Srl>},
    {"srai", "010000 ------ ----- 101 ----- 0010011", Format::kShift, op_ri<Sra>},
    {"add", "0000000 ----- ----- 000 ----- 0110011", Format::kR, op_rr<Add>},
    {"sub", "0100000 ----- ----- 000 ----- 0110011", Format::kR, op_rr<Sub>},
    {"sll", "0000000 ----- ----- 001 ----- 0110011", Format::kR, op_rr<Sll>},
    {"slt", "0000000 ----- ----- 010 ----- 0110011", Format::kR, op_rr<Slt>},
    {"sltu", "0000000 ----- ----- 011 ----- 0110011", Format::kR, op_rr<Sltu>},
    {"xor", "0000000 ----- ----- 100 ----- 0110011", Format::kR, op_rr<Xor>},
    {"srl", "0000000 ----- ----- 101 ----- 0110011", Format::kR, op_rr<Srl>},
    {"sra", "0100000 ----- ----- 101 ----- 0110011", Format::kR, op_rr<Sra>},
    {"or", "0000000 ----- ----- 110 ----- 0110011", Format::kR, op_rr<Or>},
    {"and", "0000000 ----- ----- 111 ----- 0110011", Format::kR, op_rr<And>},
    {"addiw", "------------ ----- 000 ----- 0011011", Format::kI, op_ri<Addw>},
    {"slliw", "0000000 ----- ----- 001 ----- 0011011", Format::kShiftW, op_ri<Sllw>},
    {"srliw", "0000000 ----- ----- 101 ----- 0011011", Format::kShiftW, op_ri<Srlw>},
    {"sraiw", "0100000 ----- ----- 101 ----- 0011011", Format::kShiftW, op_ri<Sraw>},
    {"addw", "0000000 ----- ----- 000 ----- 0111011", Format::kR, op_rr<Addw>},
    {"subw", "0100000 ----- ----- 000 ----- 0111011", Format::kR, op_rr<Subw>},
    {"sllw", "0000000 ----- ----- 001 ----- 0111011", Format::kR, op_rr<Sllw>},
    {"srlw", "0000000 ----- ----- 101 ----- 0111011", Format::kR, op_rr<Srlw>},
    {"sraw", "0100000 ----- ----- 101 ----- 0111011", Format::kR, op_rr<Sraw>},
    {"mul", "0000001 ----- ----- 000 ----- 0110011", Format::kR, op_mul<Mul>},
    {"mulh", "0000001 ----- ----- 001 ----- 0110011", Format::kR, op_mul<Mulh>},
    {"mulhsu", "0000001 ----- ----- 010 ----- 0110011", Format::kR, op_mul<Mulhsu>},
    {"mulhu", "0000001 ----- ----- 011 ----- 0110011", Format::kR, op_mul<Mulhu>},
    {"div", "0000001 ----- ----- 100 ----- 0110011", Format::kR, op_div<Div<i64>>},
    {"divu", "0000001 ----- ----- 101 ----- 0110011", Format::kR, op_div<Div<u64>>},
    {"rem", "0000001 ----- ----- 110 ----- 0110011", Format::kR, op_div<Rem<i64>>},
    {"remu", "0000001 ----- ----- 111 ----- 0110011", Format::kR, op_div<Rem<u64>>},
    {"mulw", "0000001 ----- ----- 000 ----- 0111011", Format::kR, op_mul<Mulw>},
    {"divw", "0000001 ----- ----- 100 ----- 0111011", Format::kR, op_div<Div<i32>>},
    {"divuw", "0000001 ----- ----- 101 ----- 0111011", Format::kR, op_div<Div<u32>>},
    {"remw", "0000001 ----- ----- 110 ----- 0111011", Format::kR, op_div<Rem<i32>>},
    {"remuw", "0000001 ----- ----- 111 ----- 0111011", Format::kR, op_div<Rem<u32>>},
};

} // namespace

std::span<const InsnSpec> integer_insns() {
    return kInsns;
}

} // namespace talus::sim
