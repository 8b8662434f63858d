// Waiting for a device without ever hanging on it.
#pragma once

#include "registers.hpp"
#include "transport.hpp"
#include "watch.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace talus::driver {

/// How to learn that something may have happened.
enum class WaitBy {
    kSleep, ///< sleep on the eventfd, or in short naps without one
    kPoll   ///< look again at once
};

/// Everything that waits in this driver waits here.
class Waiter {
  public:
    Waiter(Transport& transport, Registers& registers, std::string name)
        : transport_(transport), registers_(registers), name_(std::move(name)) {}

    /// Returns when `done` says so. `what` names the wait in messages ("command 3 of queue 1").
    /// Throws TIMEOUT after `timeout_us` of device time, DEVICE_LOST if device time stands still or
    /// the transport is gone, and whatever `done` throws.
    void until(const std::function<bool()>& done, const std::string& what, std::uint64_t timeout_us,
               WaitBy by = WaitBy::kSleep, int eventfd = -1);

    const std::string& name() const { return name_; }

    /// Waits that found their condition met although no interrupt had come for it. Thread-safe.
    std::uint64_t lost_interrupts() const { return lost_interrupts_; }

  private:
    Transport& transport_;
    Registers& registers_;
    std::string name_;
    std::atomic<std::uint64_t> lost_interrupts_{0};
};

} // namespace talus::driver
