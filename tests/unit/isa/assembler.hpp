// Encodes instructions by name from the model's own tables (the encodings themselves are checked
// against qemu and clang by the differential and workload tests).
#ifndef TALUS_TESTS_ISA_ASSEMBLER_HPP
#define TALUS_TESTS_ISA_ASSEMBLER_HPP

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "isa/decode.hpp"

namespace talus::sim {

inline const InsnSpec& row(std::string_view name) {
    for (const InsnSpec* spec : instruction_rows()) {
        if (name == spec->name)
            return *spec;
    }
    throw std::invalid_argument("no instruction " + std::string(name));
}

struct Operands {
    unsigned rd = 0, rs1 = 0, rs2 = 0, rs3 = 0;
    std::int32_t imm = 0; ///< as the format takes it; CSR number for CSR instructions
    unsigned rm = 7;      ///< rounding mode of floating-point instructions
    bool vm = true;       ///< vector: unmasked
    unsigned nf = 1;      ///< vector: fields or registers of a memory access
};

inline std::uint32_t assemble(std::string_view name, const Operands& o = {}) {
    const InsnSpec& spec = row(name);
    const auto u = static_cast<std::uint32_t>(o.imm);
    std::uint32_t bits = o.rd << 7 | o.rs1 << 15 | o.rs2 << 20;
    switch (spec.format) {
    case Format::kI:
    case Format::kFLoad:
    case Format::kShift:
    case Format::kShiftW:
    case Format::kCsr:
    case Format::kCsrI:
    case Format::kVSet:
    case Format::kVSetI:
        bits = o.rd << 7 | o.rs1 << 15 | u << 20;
        break;
    case Format::kS:
    case Format::kFStore:
        bits = o.rs1 << 15 | o.rs2 << 20 | (u & 31) << 7 | (u >> 5 & 127) << 25;
        break;
    case Format::kB:
        bits = o.rs1 << 15 | o.rs2 << 20 | (u >> 12 & 1) << 31 | (u >> 5 & 63) << 25 |
               (u >> 1 & 15) << 8 | (u >> 11 & 1) << 7;
        break;
    case Format::kU:
        bits = o.rd << 7 | (u & 0xfffff000u);
        break;
    case Format::kJ:
        bits = o.rd << 7 | (u >> 20 & 1) << 31 | (u >> 1 & 1023) << 21 | (u >> 11 & 1) << 20 |
               (u >> 12 & 255) << 12;
        break;
    case Format::kFR:
    case Format::kFR4:
    case Format::kF1:
    case Format::kFToX:
    case Format::kXToF:
    case Format::kFCmp:
        bits |= o.rs3 << 27 | o.rm << 12;
        break;
    case Format::kVI:
        bits = o.rd << 7 | (u & 31) << 15 | o.rs2 << 20 | std::uint32_t{o.vm} << 25;
        break;
    case Format::kVMem:
    case Format::kVMemS:
        bits |= std::uint32_t{o.vm} << 25 | (o.nf - 1) << 29;
        break;
    case Format::kV:
    case Format::kVX:
    case Format::kVF:
    case Format::kVToX:
    case Format::kVToF:
        bits |= std::uint32_t{o.vm} << 25;
        break;
    default:
        break;
    }
    return (bits & ~spec.pattern.mask) | spec.pattern.match;
}

} // namespace talus::sim

#endif
