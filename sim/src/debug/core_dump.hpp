// A PE or the control core as an ELF core file that gdb opens.
#ifndef TALUS_SIM_DEBUG_CORE_DUMP_HPP
#define TALUS_SIM_DEBUG_CORE_DUMP_HPP

#include <cstdint>
#include <string>

#include "isa/hart.hpp"
#include "soc/device_debugger.hpp"

namespace talus::sim::debug {

/// Why a core was dumped.
struct DumpReason {
    std::string text;    ///< one line; gdb shows its beginning
    unsigned signal = 0; ///< Linux's number; 0: none
};

/// Writes an ET_CORE file with the harts that `hart` shares its memory with: all control harts, or
/// both cores of its PE; `hart` is the first and so gdb's current thread. Threads have the ids that
/// they have under gdb (hart + 1); their names are in notes of owner "TALUS", type 1 (hart id, 32
/// bits, then the name).
///
/// Registers: x, pc, f, fcsr, and the CSRs by target description; vectors in a note
/// NT_RISCV_VECTOR. Memory, each as the hart addresses it: local memory and PE registers, or ROM
/// and control SRAM; and the pages of LLS and DRAM that hold something, DRAM up to kMaxDramBytes
/// from its beginning.
///
/// On the timing thread. Throws std::runtime_error if the file cannot be written.
void write_core(const std::string& path, const DeviceParts& parts, HartId hart,
                const DumpReason& reason);

inline constexpr std::uint64_t kMaxDramBytes = std::uint64_t{64} << 20;

} // namespace talus::sim::debug

#endif
