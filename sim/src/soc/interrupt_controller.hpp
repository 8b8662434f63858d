// Interrupt controller: the sources of interrupts.h, as MEIP of control hart 0.
#ifndef TALUS_SIM_SOC_INTERRUPT_CONTROLLER_HPP
#define TALUS_SIM_SOC_INTERRUPT_CONTROLLER_HPP

#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

#include "../core/checkpoint.hpp"
#include "../isa/hart.hpp"
#include "register_block.hpp"

namespace talus::sim {

class InterruptController final : public RegisterBlock {
  public:
    explicit InterruptController(InterruptLines& lines) : lines_(lines) {}

    void reset() { pending_ = enable_ = 0; }

    /// Latches `source` until firmware clears it.
    void raise(talus_irq_source source, Cycle when) {
        pending_ |= 1u << source;
        update(when);
    }

    std::uint32_t pending() const { return pending_; }

    std::uint32_t read32(Cycle, std::uint32_t offset) override {
        return offset == INTC_PENDING ? pending_ : offset == INTC_ENABLE ? enable_ : 0;
    }
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override {
        if (offset == INTC_PENDING) {
            pending_ &= ~value;
        } else if (offset == INTC_ENABLE) {
            enable_ = value & ((1u << TALUS_IRQ_COUNT) - 1);
        }
        update(now);
    }

    void checkpoint(Checkpoint& state) { state(pending_, enable_); }

  private:
    void update(Cycle when) {
        lines_.set_interrupt(0, irq::kMachineExternal, (pending_ & enable_) != 0, when);
    }

    InterruptLines& lines_;
    std::uint32_t pending_ = 0;
    std::uint32_t enable_ = 0;
};

} // namespace talus::sim

#endif
