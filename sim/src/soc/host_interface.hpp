// Host interface: the frozen page, the controller registers and the status page, seen from the host
// on one side and from firmware on the other.
//
// The host's side is a snapshot that the socket thread reads without waiting. Host writes take
// effect in two steps: at once in the snapshot, so that a read returns what was written before it,
// and on the device when the timing thread admits them. A reset makes a new epoch in the snapshot
// at once; what the timing thread still has to say about the old one is dropped.
#ifndef TALUS_SIM_SOC_HOST_INTERFACE_HPP
#define TALUS_SIM_SOC_HOST_INTERFACE_HPP

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

#include "talus/hw/mailbox.h"
#include "talus/hw/pci.h"
#include "talus/hw/registers.h"

#include "../core/checkpoint.hpp"
#include "../mem/ecc.hpp"
#include "interrupt_controller.hpp"
#include "register_block.hpp"

namespace talus::sim {

class HostInterface final : public RegisterBlock {
  public:
    /// `capabilities`: FROZEN_CAP. `page` outlives the object and is shared with the host.
    HostInterface(InterruptController& interrupts, std::uint32_t capabilities,
                  std::uint32_t generation, std::uint32_t clock_khz, talus_status_page* page);

    // --- socket thread ------------------------------------------------------------------------
    std::uint32_t host_read_frozen(std::uint32_t offset) const;
    std::uint32_t host_read_controller(std::uint32_t offset) const;
    /// Updates the snapshot. The caller queues the write for the device.
    void host_write_frozen(std::uint32_t offset, std::uint32_t value);
    void host_write_controller(std::uint32_t offset, std::uint32_t value);
    /// A reset as the host sees it from now on.
    void begin_reset(bool fundamental);

    // --- timing thread ------------------------------------------------------------------------
    /// A host write is admitted. true: it acts on firmware (an interrupt was raised).
    bool admit_frozen(Cycle now, std::uint32_t offset, std::uint32_t value);
    bool admit_controller(Cycle now, std::uint32_t offset, std::uint32_t value);
    /// Follows begin_reset() on the device's side.
    void complete_reset(Cycle now, bool fundamental);
    /// What scrubs tenant memory after a function-level reset. Called once per reset, when firmware
    /// raises RDY again: only then has it dropped every job that could still write.
    void set_scrub(std::function<void()> scrub) { scrub_ = std::move(scrub); }

    /// A debugger holds the device: said at once, whatever reset is under way.
    void set_held(bool held);

    /// The clock goes on without regard to the host's (`--host-clock free`): drivers wait for the
    /// host's clock too before they call something late.
    void set_free_running();
    void set_clock(Cycle now);
    void set_parked(bool parked);
    void set_sensors(std::int32_t temperature_mc, std::uint32_t power_mw);
    void set_energy(std::uint64_t energy_uj, std::uint32_t unit_clock_khz, std::uint32_t reason);
    void set_ecc(const EccCounters& counters);
    void count_completion();
    std::uint64_t completions() const { return completions_; }

    /// The host has enabled the controller: there are queues, or are going to be.
    bool enabled() const { return device_controller_[CTRL_ENABLE / 4] != 0; }
    /// Before a client comes, or while none is there and no reset is under way.
    void checkpoint(Checkpoint& state);

    std::uint32_t boot_state() const { return boot_state_; }
    std::uint32_t reset_epoch() const { return device_epoch_; }

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override;

  private:
    static constexpr std::size_t kFrozenWords = 0x60 / 4;
    static constexpr std::size_t kControllerWords = 0x20 / 4;

    /// Stores into the host's view unless a reset has begun since. `word` is part of the snapshot.
    void publish(std::atomic<std::uint32_t>& word, std::uint32_t value);
    template <typename T>
    void publish_page(T& field, T value);
    void publish_boot();
    void publish_mailbox();
    void reset_snapshot(bool fundamental);

    InterruptController& interrupts_;
    const std::uint32_t clock_khz_;
    talus_status_page* page_;

    mutable std::mutex mutex_; ///< writers of the snapshot; readers take no lock
    std::atomic<std::uint32_t> epoch_{1};
    std::array<std::atomic<std::uint32_t>, kFrozenWords> frozen_{};
    std::array<std::atomic<std::uint32_t>, kControllerWords> controller_{};

    // The device's side.
    std::uint32_t device_epoch_ = 1;
    std::uint32_t boot_state_ = TALUS_BOOT_RESET;
    std::uint32_t post_code_ = 0;
    std::uint32_t fail_code_ = 0;
    std::uint32_t mailbox_command_ = 0;
    std::uint32_t mailbox_status_ = 0;
    std::array<std::uint32_t, 2> mailbox_results_{};
    std::array<std::uint32_t, 4> mailbox_args_{};
    std::uint32_t controller_status_ = 0;
    std::function<void()> scrub_;
    bool scrub_due_ = false;
    std::uint64_t log_written_ = 0;
    std::array<std::uint32_t, kControllerWords> device_controller_{};
    std::uint64_t heartbeat_ = 0;
    std::uint64_t completions_ = 0;
    bool held_ = false; ///< under mutex_
    std::uint32_t free_running_ = 0; ///< under mutex_
};

} // namespace talus::sim

#endif
