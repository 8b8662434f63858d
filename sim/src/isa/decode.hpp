// Decoded instructions and the tables they come from. Private to sim/src/isa.
//
// Every instruction is one row of a table: its name, its bit pattern as the manual prints it, its
// operand format and its handler. The decoder and the tests read the same rows.
#ifndef TALUS_SIM_ISA_DECODE_HPP
#define TALUS_SIM_ISA_DECODE_HPP

#include <cstdint>
#include <span>

#include "hart.hpp"

namespace talus::sim {

struct Decoded;
using Exec = void (*)(Hart::Core&, const Decoded&);

/// Writes to x0 go to this register number, so that handlers need not ask.
inline constexpr unsigned kSink = 32;
/// Scoreboard slots: x0..x31, the sink, then the f registers.
inline constexpr unsigned kHazardF = 33;
inline constexpr unsigned kHazardSlots = kHazardF + 32;

struct Decoded {
    Exec fn;
    std::uint32_t raw; ///< the 32-bit instruction; for a compressed one, what it expands to
    std::int32_t imm;
    std::uint8_t rd; ///< x destinations: kSink for x0
    std::uint8_t rs1;
    std::uint8_t rs2;
    std::uint8_t rs3;
    std::uint8_t len;        ///< 2 or 4
    std::uint8_t hazards[3]; ///< scoreboard slots that the instruction reads; 0 where none

    std::uint16_t compressed; ///< the 16-bit encoding if len == 2
    std::uint16_t name;       ///< index for instruction_name()

    unsigned rm() const { return raw >> 12 & 7; }
    unsigned funct3() const { return raw >> 12 & 7; }
    bool vm() const { return raw >> 25 & 1; } ///< vector: 1 = unmasked
};

/// Operand formats: which fields are registers of which file, and the immediate's shape.
enum class Format : std::uint8_t {
    kNone,   ///< no operands (ecall, fence)
    kR,      ///< x: rd, rs1, rs2
    kRs1,    ///< x: rd, rs1 (unary)
    kI,      ///< x: rd, rs1; imm[11:0]
    kShift,  ///< x: rd, rs1; shamt[5:0]
    kShiftW, ///< x: rd, rs1; shamt[4:0]
    kS,      ///< x: rs1, rs2; store immediate
    kB,
    kU,
    kJ,
    kCsr,    ///< x: rd, rs1; csr number in imm
    kCsrI,   ///< x: rd; zimm in rs1, csr number in imm
    kFLoad,  ///< f: rd; x: rs1; imm
    kFStore, ///< x: rs1; f: rs2; store immediate
    kFR,     ///< f: rd, rs1, rs2
    kFR4,    ///< f: rd, rs1, rs2, rs3
    kF1,     ///< f: rd, rs1
    kFCmp,   ///< x: rd; f: rs1, rs2
    kFToX,   ///< x: rd; f: rs1
    kXToF,   ///< f: rd; x: rs1
    kV,      ///< v: rd, rs1, rs2
    kVX,     ///< v: rd, rs2; x: rs1
    kVI,     ///< v: rd, rs2; imm = sign-extended rs1 field
    kVF,     ///< v: rd, rs2; f: rs1
    kVToX,   ///< x: rd; v: rs2
    kVToF,   ///< f: rd; v: rs2
    kVSet,   ///< x: rd, rs1; imm = zimm
    kVSetI,  ///< x: rd; rs1 = uimm; imm = zimm
    kVMem,   ///< v: rd; x: rs1; rs2 field is a register number of either file
    kVMemS,  ///< v: rd; x: rs1, rs2 (stride)
};

/// A bit pattern such as "0000000 ----- ----- 000 ----- 0110011": 32 of 0, 1 and -, most
/// significant first, spaces ignored.
struct Pattern {
    std::uint32_t mask = 0;
    std::uint32_t match = 0;

    consteval Pattern(const char* text) {
        unsigned bits = 0;
        for (; *text; ++text) {
            if (*text == ' ')
                continue;
            mask = mask << 1 | (*text != '-');
            match = match << 1 | (*text == '1');
            ++bits;
        }
        if (bits != 32)
            throw "a pattern has 32 bits";
    }
};

struct InsnSpec {
    const char* name;
    Pattern pattern;
    Format format;
    Exec fn;
};

// The tables, one per file of handlers.
std::span<const InsnSpec> integer_insns();
std::span<const InsnSpec> bitmanip_insns();
std::span<const InsnSpec> memory_insns();
std::span<const InsnSpec> atomic_insns();
std::span<const InsnSpec> system_insns();
std::span<const InsnSpec> fp_insns();
std::span<const InsnSpec> fp_convert_insns();
std::span<const InsnSpec> vector_config_insns();
std::span<const InsnSpec> vector_memory_insns();
std::span<const InsnSpec> vector_integer_insns();
std::span<const InsnSpec> vector_multiply_insns();
std::span<const InsnSpec> vector_fixed_insns();
std::span<const InsnSpec> vector_widen_insns();
std::span<const InsnSpec> vector_mask_insns();
std::span<const InsnSpec> vector_permute_insns();
std::span<const InsnSpec> vector_reduce_insns();
std::span<const InsnSpec> vector_fp_insns();
std::span<const InsnSpec> vector_fp_widen_insns();
std::span<const InsnSpec> vector_fp_convert_insns();

/// The 32-bit instruction that a 16-bit one stands for, or 0 if it is reserved.
std::uint32_t expand_compressed(std::uint16_t insn);

/// Decodes one instruction from its first four bytes (of a 16-bit one the upper half is ignored).
/// An unknown encoding yields a handler that raises an illegal instruction.
Decoded decode(std::uint32_t bits);

/// Every row of every table.
std::span<const InsnSpec* const> instruction_rows();

/// The file of d.rd where it is a destination of one register: 'x', 'f' or, for others, '-'.
char destination_file(const Decoded& d);

/// "add", "vle32.v", ...; "illegal" for what has no row.
const char* instruction_name(const Decoded& d);

} // namespace talus::sim

#endif
