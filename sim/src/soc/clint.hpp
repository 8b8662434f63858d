// CLINT: software interrupts and timers of all harts. MTIME is the device clock.
#ifndef TALUS_SIM_SOC_CLINT_HPP
#define TALUS_SIM_SOC_CLINT_HPP

#include <cstdint>
#include <vector>

#include "../core/event_queue.hpp"
#include "register_block.hpp"

namespace talus::sim {

/// Timers use the event queue's background timer: a device that only waits for one is parked.
class Clint final : public RegisterBlock, public EventSink {
  public:
    Clint(EventQueue& queue, InterruptLines& lines, unsigned harts);

    /// Fundamental reset: no software interrupt, no timer armed.
    void reset();

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override;
    void write64(Cycle now, std::uint32_t offset, std::uint64_t value) override;

    /// True if the register at `offset` is an MSIP. PE cores reach no others, and of these their
    /// own and the control harts'.
    bool is_msip(std::uint32_t offset) const { return offset < 4 * msip_.size(); }

    /// Number of times that a timer fired since reset.
    std::uint64_t ticks() const { return ticks_; }

    void on_event(const Event& event) override;

    void checkpoint(Checkpoint& state) { state(msip_, compare_, ticks_); }

  private:
    void set_compare(Cycle now, std::size_t hart, std::uint64_t value);
    void arm(Cycle now);

    EventQueue& queue_;
    InterruptLines& lines_;
    UnitId unit_;
    std::vector<std::uint8_t> msip_;
    std::vector<std::uint64_t> compare_;
    std::uint64_t ticks_ = 0;
};

} // namespace talus::sim

#endif
