// A bare machine: harts, memory, HTIF and CLINT, nothing else of the chip. It runs test programs.
#ifndef TALUS_SIM_BARE_MACHINE_HPP
#define TALUS_SIM_BARE_MACHINE_HPP

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../core/diagnostics.hpp"
#include "../isa/hart.hpp"
#include "clint.hpp"
#include "htif.hpp"
#include "memory.hpp"

namespace talus::sim::bare {

struct MachineOptions {
    bool vector = false;
    unsigned harts = 1; ///< with ids from 0; all start at `entry` in machine mode
    std::uint64_t entry = 0;
    std::uint64_t tohost = 0;           ///< a multiple of 8
    std::uint64_t max_instructions = 0; ///< of all harts together; 0: no limit
};

/// How a run ended.
struct Outcome {
    enum class Kind : std::uint8_t {
        kExit,  ///< the program wrote an exit code
        kLimit, ///< max_instructions have retired
        kStuck, ///< no hart can go on: each halted by a trap without handler, or in WFI for ever
    };
    Kind kind;
    std::uint64_t code = 0; ///< kExit
    std::string why;        ///< kStuck
};

/// Deterministic: harts share the memory in the order of their clocks, 64 at a time. Belongs to one
/// thread.
class Machine final : public HartPort {
  public:
    /// Everything passed in outlives the machine. Throws std::invalid_argument if tohost is not 8
    /// aligned bytes of memory.
    Machine(const MachineOptions& options, const Memory& memory, Htif& htif,
            Diagnostics& diagnostics);

    Outcome run();

    unsigned hart_count() const { return static_cast<unsigned>(harts_.size()); }
    std::uint64_t retired() const;
    Cycle now() const; ///< the furthest hart's clock
    Hart& hart(HartId id) { return *harts_.at(id); }

    // HartPort
    OpResult load(HartId hart, Cycle now, std::uint64_t addr, void* data, unsigned len) override;
    OpResult store(HartId hart, Cycle now, std::uint64_t addr, const void* data,
                   unsigned len) override;
    OpResult amo(HartId hart, Cycle now, const AmoRequest& request) override;
    OpResult cbo(HartId hart, Cycle now, CboOp op, std::uint64_t addr) override;
    OpResult fence(HartId hart, Cycle now, unsigned pred, unsigned succ, bool instruction) override;
    FetchWindow fetch_window(HartId hart, std::uint64_t addr) override;
    OpResult fetch_miss(HartId hart, Cycle now, std::uint64_t line_addr) override;
    OpResult custom(HartId hart, Cycle now, const CustomInsn& insn) override;
    std::uint64_t time(HartId hart, Cycle now) override;
    bool csr_read(HartId hart, Cycle now, unsigned csr, std::uint64_t& value) override;
    bool csr_write(HartId hart, Cycle now, unsigned csr, std::uint64_t value) override;
    void on_trap(HartId hart, const TrapInfo& info) override;

  private:
    OpResult after_store(Cycle now, std::uint64_t addr, std::uint64_t len);
    Cycle next_time(HartId hart) const;
    void update_interrupts(Cycle now);
    Outcome stuck() const;

    MachineOptions options_;
    const Memory& memory_;
    Htif& htif_;
    Diagnostics& diagnostics_;
    Clint clint_;
    CodeCache code_;
    std::vector<std::unique_ptr<Hart>> harts_;
    std::vector<std::string> halted_;   ///< per hart, why
    std::optional<HartId> clint_store_; ///< whose next store to the CLINT runs by itself
    /// Reservation of LR in the block of tohost; all else is the harts' own affair.
    std::optional<HartId> reserved_by_;
    std::uint64_t reserved_addr_ = 0;
};

} // namespace talus::sim::bare

#endif
