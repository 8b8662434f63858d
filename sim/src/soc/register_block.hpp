// What the units behind the system registers have in common.
#ifndef TALUS_SIM_SOC_REGISTER_BLOCK_HPP
#define TALUS_SIM_SOC_REGISTER_BLOCK_HPP

#include <cstdint>

#include "../core/types.hpp"

namespace talus::sim {

/// A block of 32-bit registers; a 64-bit register is two of them, low half first. Unlisted offsets
/// read 0 and ignore writes. Offsets are relative to the block and aligned to the access. Reading
/// changes nothing: debuggers do it too.
class RegisterBlock {
  public:
    virtual ~RegisterBlock() = default;
    virtual std::uint32_t read32(Cycle now, std::uint32_t offset) = 0;
    virtual void write32(Cycle now, std::uint32_t offset, std::uint32_t value) = 0;

    virtual std::uint64_t read64(Cycle now, std::uint32_t offset) {
        const std::uint64_t low = read32(now, offset);
        return low | static_cast<std::uint64_t>(read32(now, offset + 4)) << 32;
    }
    /// Halves in ascending order: a register that acts when written acts on its high half.
    virtual void write64(Cycle now, std::uint32_t offset, std::uint64_t value) {
        write32(now, offset, static_cast<std::uint32_t>(value));
        write32(now, offset + 4, static_cast<std::uint32_t>(value >> 32));
    }
};

/// The interrupt lines of all harts.
class InterruptLines {
  public:
    virtual ~InterruptLines() = default;
    /// Level of mip bit `bit` of the hart from time `when` on.
    virtual void set_interrupt(HartId hart, unsigned bit, bool level, Cycle when) = 0;
};

/// Replaces the low or high half of a 64-bit register.
inline void write_half(std::uint64_t& reg, bool high, std::uint32_t value) {
    reg = high ? (reg & 0xffffffffull) | static_cast<std::uint64_t>(value) << 32
               : (reg & ~0xffffffffull) | value;
}
inline std::uint32_t read_half(std::uint64_t reg, bool high) {
    return static_cast<std::uint32_t>(high ? reg >> 32 : reg);
}

} // namespace talus::sim

#endif
