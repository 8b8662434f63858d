// The host-target interface (HTIF) by which RISC-V test programs end, print and call the host.
#ifndef TALUS_SIM_BARE_HTIF_HPP
#define TALUS_SIM_BARE_HTIF_HPP

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "../core/types.hpp"
#include "memory.hpp"

namespace talus::sim::bare {

/// Acts on stores to `tohost`. A program of 32-bit words writes the lower half first, then the
/// upper one, or just the lower one, mostly over and over: so a store that leaves the upper half
/// alone counts when it comes a third time, or when nothing followed it for a while. A value is
/// {device 8 bits, command 8, payload 48}; 0 says nothing. Device 0, command 0: bit 0 set ends the
/// program with code payload >> 1; clear, the payload is the address of a system call's block
/// {number, arguments}, of which write (to file 1 or 2) and exit are known and others answer
/// ENOSYS. Device 1: command 1 prints a character, command 0 answers with one of the host's
/// standard input.
class Htif {
  public:
    /// `tohost` and `fromhost` are guest addresses of 8 bytes each, inside `memory`, which outlives
    /// the object. Console output goes to `console`, which stays the caller's. Without fromhost a
    /// request that needs an answer is an error.
    Htif(const Memory& memory, std::uint64_t tohost, std::optional<std::uint64_t> fromhost,
         std::FILE* console)
        : memory_(memory), tohost_(tohost), fromhost_(fromhost), console_(console) {}

    /// How long a store of the lower half alone waits for the upper one, in clocks.
    static constexpr Cycle kSettleClocks = 4096;

    /// The guest stored `len` bytes at `offset` of tohost. Throws std::runtime_error on a request
    /// that nothing here serves.
    void stored(Cycle now, std::uint64_t offset, std::uint64_t len);
    /// Time went by. Throws like stored().
    void settle(Cycle now);

    /// The program's exit code once it has ended: 0 is a pass, of a test program n the test that
    /// failed.
    std::optional<std::uint64_t> exit_code() const { return exit_code_; }

  private:
    void act();
    void system_call(std::uint64_t block);
    void write_call(std::uint64_t* block);
    void respond(std::uint64_t value);

    const Memory& memory_;
    std::uint64_t tohost_;
    std::optional<std::uint64_t> fromhost_;
    std::FILE* console_;
    std::optional<std::uint64_t> exit_code_;
    std::uint64_t half_ = 0; ///< what a store of the lower half alone left; 0: nothing waits
    unsigned repeats_ = 0;   ///< how often it came since
    Cycle half_at_ = 0;
};

} // namespace talus::sim::bare

#endif
