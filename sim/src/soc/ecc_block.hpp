// Memory errors as firmware and host see them: counters, records, interrupt (registers.h ECC_*).
#ifndef TALUS_SIM_SOC_ECC_BLOCK_HPP
#define TALUS_SIM_SOC_ECC_BLOCK_HPP

#include <cstdint>
#include <deque>

#include "../core/checkpoint.hpp"
#include "../core/diagnostics.hpp"
#include "../core/event_queue.hpp"
#include "../mem/ecc.hpp"
#include "host_interface.hpp"
#include "interrupt_controller.hpp"
#include "register_block.hpp"

namespace talus::sim {

class EccBlock final : public RegisterBlock, public EccListener {
  public:
    /// Everything outlives the block.
    EccBlock(const Config& config, const EventQueue& events, Ecc& ecc,
             InterruptController& interrupts, HostInterface& host_interface,
             Diagnostics& diagnostics);
    ~EccBlock() override;

    /// Fundamental reset, after that of the memories.
    void reset();

    void on_ecc(const EccEvent& event) override;

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override;

    void checkpoint(Checkpoint& state) { state(records_, lost_); }

  private:
    struct Record {
        std::uint32_t what = 0; ///< TALUS_ECC_RECORD_*
        std::uint64_t address = 0;

        void checkpoint(Checkpoint& state) { state(what, address); }
    };

    const Config& config_;
    const EventQueue& events_;
    Ecc& ecc_;
    InterruptController& interrupts_;
    HostInterface& host_interface_;
    Diagnostics& diagnostics_;
    std::deque<Record> records_;
    std::uint32_t lost_ = 0;
};

} // namespace talus::sim

#endif
