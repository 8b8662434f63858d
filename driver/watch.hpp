// When to stop waiting for a device.
#pragma once

#include <chrono>
#include <cstdint>

namespace talus::driver {

/// Judges a wait by two clocks: a limit in the device's own time, and the wall clock only to notice
/// that the device's time stands still. A slow simulator or a loaded host is therefore never a
/// time-out, and a dead device is never waited for. A simulator that runs on while the host is busy
/// elsewhere has to be late by the wall clock as well.
class Watch {
  public:
    using WallClock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds kStillLimit{5};

    enum class Verdict {
        kGoOn,
        kTimeout,    // device time ran out
        kStandsStill // device time has not moved for kStillLimit
    };

    /// `limit`: device clocks from `device_clock` on. No time-out before `earliest`.
    Watch(std::uint64_t limit, std::uint64_t device_clock, WallClock::time_point now,
          WallClock::time_point earliest = WallClock::time_point::min())
        : limit_(limit), start_(device_clock), last_(device_clock), moved_(now),
          earliest_(earliest) {}

    /// `held`: a debugger has stopped the device, so that its clock has a reason to stand still.
    Verdict observe(std::uint64_t device_clock, WallClock::time_point now, bool held = false) {
        if (device_clock < last_) {
            // A reset put the clock back; what ran before it counts as nothing.
            start_ = device_clock;
        }
        if (device_clock != last_ || held) {
            last_ = device_clock;
            moved_ = now;
        }
        if (last_ - start_ > limit_ && now >= earliest_)
            return Verdict::kTimeout;
        return now - moved_ >= kStillLimit ? Verdict::kStandsStill : Verdict::kGoOn;
    }

  private:
    std::uint64_t limit_;
    std::uint64_t start_;
    std::uint64_t last_;
    WallClock::time_point moved_;
    WallClock::time_point earliest_;
};

} // namespace talus::driver
