// The registers of a hart as gdb numbers and describes them.
#ifndef TALUS_SIM_DEBUG_REGISTERS_HPP
#define TALUS_SIM_DEBUG_REGISTERS_HPP

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "isa/commit.hpp"
#include "isa/hart.hpp"

namespace talus::sim::debug {

/// gdb's own numbers for RISC-V, which targets without a description use as well.
inline constexpr unsigned kRegPc = 32;
inline constexpr unsigned kRegF0 = 33;
inline constexpr unsigned kRegCsr0 = 65; ///< + CSR number
inline constexpr unsigned kRegPriv = 65 + 4096;
inline constexpr unsigned kRegV0 = kRegPriv + 1;
inline constexpr unsigned kRegEnd = kRegV0 + 32;

/// The 33 registers of a `g` packet: x0..x31 and pc.
inline constexpr unsigned kGeneralRegisters = 33;

/// target.xml: the features org.gnu.gdb.riscv.cpu, .fpu, .csr, .virtual and .vector. One
/// description serves all harts; what a hart lacks reads as unavailable.
const std::string& target_description();

/// Bytes of register `number`, or 0 if there is no such register.
unsigned register_bytes(unsigned number);

/// Value in little-endian order, or nullopt: the hart has no such register (now). `now`: for the
/// time CSR.
std::optional<std::vector<std::uint8_t>> read_register(Hart& hart, unsigned number);
/// false: no such register, wrong size, or read-only.
bool write_register(Hart& hart, unsigned number, std::span<const std::uint8_t> bytes);

} // namespace talus::sim::debug

#endif
