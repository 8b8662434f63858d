// When to stop waiting for a device.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace talus::driver {

/// The wall clock without the pauses of its reader. Between two looks of a process that runs lie
/// milliseconds; one that was stopped (a signal, a suspended machine, a debugger) must not take its
/// own pause for somebody else's silence.
class AwakeClock {
  public:
    using WallClock = std::chrono::steady_clock;
    static constexpr std::chrono::seconds kLongestGap{1}; ///< a longer one counts as this

    explicit AwakeClock(WallClock::time_point now) : seen_(now) {}

    /// Takes a look; what it adds to elapsed().
    WallClock::duration look(WallClock::time_point now) {
        paused_ = now - seen_ > kLongestGap;
        const WallClock::duration gap = std::min<WallClock::duration>(now - seen_, kLongestGap);
        seen_ = now;
        elapsed_ += gap;
        return gap;
    }
    WallClock::duration elapsed() const { return elapsed_; }
    /// The latest look came after a pause.
    bool paused() const { return paused_; }

  private:
    WallClock::time_point seen_;
    WallClock::duration elapsed_{};
    bool paused_ = false;
};

/// Judges a wait by two clocks: a limit in the device's own time, and the wall clock only to notice
/// that the device's time stands still. A slow simulator or a loaded host is therefore never a
/// time-out, and a dead device is never waited for. A simulator that runs on while the host is busy
/// elsewhere has to be late by the wall clock as well. The wall clock is this process's own: while
/// it was stopped, nothing was late.
class Watch {
  public:
    using WallClock = AwakeClock::WallClock;
    static constexpr std::chrono::seconds kStillLimit{5};
    /// So often a pause begins the device's limit anew; a host that never gets to look more often
    /// than every second still has its time-outs.
    static constexpr unsigned kMostPauses = 16;

    enum class Verdict {
        kGoOn,
        kTimeout,    // device time ran out
        kStandsStill // device time has not moved for kStillLimit
    };

    /// `limit`: device clocks from `device_clock` on. No time-out before `floor` of wall time.
    Watch(std::uint64_t limit, std::uint64_t device_clock, WallClock::time_point now,
          WallClock::duration floor = {})
        : limit_(limit), start_(device_clock), last_(device_clock), awake_(now), floor_(floor) {}

    /// `held`: a debugger has stopped the device, so that its clock has a reason to stand still.
    Verdict observe(std::uint64_t device_clock, WallClock::time_point now, bool held = false) {
        const WallClock::duration gap = awake_.look(now);
        if (device_clock < last_) {
            // A reset put the clock back; what ran before it counts as nothing.
            start_ = device_clock;
        }
        if (awake_.paused() && pauses_ < kMostPauses) {
            // A device that ran on meanwhile may have waited for this process.
            ++pauses_;
            start_ = device_clock;
        }
        still_ += gap;
        if (device_clock != last_ || held) {
            last_ = device_clock;
            still_ = {};
        }
        if (last_ - start_ > limit_ && awake_.elapsed() >= floor_)
            return Verdict::kTimeout;
        return still_ >= kStillLimit ? Verdict::kStandsStill : Verdict::kGoOn;
    }

    /// Since the watch began, as this process was there to see it.
    WallClock::duration elapsed() const { return awake_.elapsed(); }

  private:
    std::uint64_t limit_;
    std::uint64_t start_;
    std::uint64_t last_;
    AwakeClock awake_;
    WallClock::duration still_{}; // since device time last moved
    WallClock::duration floor_;
    unsigned pauses_ = 0;
};

} // namespace talus::driver
