// Bandwidth as a calendar: how much of each span of 64 clocks is taken.
//
// A plain next-free time forgets the gap before a reservation that lies a little in the future, so
// that one requester's long transfer would shut out all others that want the time before it. The
// calendar fills gaps, at the price of not knowing the order within a bucket.
#ifndef TALUS_SIM_MEM_CALENDAR_HPP
#define TALUS_SIM_MEM_CALENDAR_HPP

#include <cstdint>
#include <vector>

#include "core/types.hpp"

namespace talus::sim {

/// A resource that passes a fixed number of bytes per clock. Not thread-safe.
class BandwidthCalendar {
  public:
    static constexpr std::uint64_t kBucketClocks = 64;

    /// Bytes per clock as a fraction. Every `period` clocks (0: never), shifted by `phase`, the
    /// resource is away for `away` clocks (DRAM refresh).
    BandwidthCalendar(std::uint64_t bytes, std::uint64_t clocks, Cycle period = 0, Cycle away = 0,
                      Cycle phase = 0);

    /// Takes the earliest capacity from `at` on; returns when the last byte has passed.
    /// `now` is global time (never decreasing); at >= now.
    Cycle reserve(Cycle now, Cycle at, std::uint64_t bytes);

    /// Takes `bytes` evenly over [begin, end); returns `end`, or when the last byte has passed
    /// where others leave less than that.
    Cycle reserve_evenly(Cycle now, Cycle begin, Cycle end, std::uint64_t bytes);

    /// What `bytes` take when nothing else is there, in whole clocks.
    Cycle clocks(std::uint64_t bytes) const {
        return (cost(bytes) + kTicksPerClock - 1) / kTicksPerClock;
    }

    void reset() { restart(0); }
    /// Forgets all reservations and counts buckets and absences from `origin` on, as if that were
    /// time 0. Nothing may be reserved before it any more.
    void restart(Cycle origin);

  private:
    // Time within a bucket is counted in ticks of 1/256 clock.
    static constexpr std::uint64_t kTicksPerClock = 256;
    static constexpr std::uint32_t kCapacity = kBucketClocks * kTicksPerClock;

    /// In ticks.
    std::uint64_t cost(std::uint64_t bytes) const {
        return ticks_per_byte_ != 0 ? bytes * ticks_per_byte_
                                    : (bytes * kTicksPerClock * clocks_ + bytes_ - 1) / bytes_;
    }
    void advance(Cycle now) {
        if (now / kBucketClocks > first_) {
            turn(now / kBucketClocks);
        }
    }
    /// The ring begins at `current`.
    void turn(std::uint64_t current);
    std::uint32_t& bucket(std::uint64_t index) {
        if (index >= first_ + used_.size()) {
            grow(index);
        }
        return used_[index & (used_.size() - 1)];
    }
    void grow(std::uint64_t index);
    std::uint32_t initial(std::uint64_t index) const;
    std::uint64_t skip_full(std::uint64_t index);

    std::uint64_t bytes_;
    std::uint64_t clocks_;
    std::uint64_t ticks_per_byte_; ///< saves a division; 0: no whole number
    Cycle period_;
    Cycle away_;
    Cycle phase_;
    Cycle origin_ = 0;                ///< all that follows counts from here
    std::vector<std::uint32_t> used_; ///< ring of a power of two buckets
    std::uint64_t first_ = 0;         ///< oldest bucket that the ring holds
    std::uint64_t open_ = 0;          ///< all buckets before it are full (or past)
};

} // namespace talus::sim

#endif
