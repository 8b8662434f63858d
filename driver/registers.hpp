// The device's registers, status page and log, as the contract (talus/hw) lays them out.
#pragma once

#include "transport.hpp"

#include "talus/hw/registers.h"

#include <mutex>
#include <string>

namespace talus::driver {

/// Names for messages.
std::string boot_state_name(std::uint32_t state);
/// "SHA-256 mismatch: image corrupt (0x0404)"
std::string device_status_text(std::uint16_t status);

/// Typed access to BAR0 and BAR4. Thread-safe as its transport is.
class Registers {
  public:
    explicit Registers(Transport& transport);

    std::uint32_t frozen(talus_frozen_register reg);
    void write_frozen(talus_frozen_register reg, std::uint32_t value);
    std::uint32_t controller(talus_controller_register reg);
    void write_controller(talus_controller_register reg, std::uint32_t value);

    /// A copy of the status page; no trap and no side effect where the device lets it be mapped.
    talus_status_page status();

    /// Reads a register, which the device notices: a parked simulator steps on to its next timer.
    void step_parked();

    /// The firmware's log, oldest line first; "" if there is none.
    std::string log();

    void write_staging(std::uint64_t offset, std::span<const std::byte> data);

    /// "BOOT_STATE READY, POST 0x00000042, last log line: ...", from what was last readable: works
    /// for a device that is gone.
    std::string last_state();

  private:
    void read_staging(std::uint64_t offset, std::span<std::byte> data);

    Transport& transport_;
    BarMapping status_page_;
    BarMapping staging_;
    std::mutex mutex_;
    talus_status_page last_status_{}; // guarded by mutex_
};

} // namespace talus::driver
