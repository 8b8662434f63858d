#include "calendar.hpp"

#include <algorithm>

namespace talus::sim {

BandwidthCalendar::BandwidthCalendar(std::uint64_t bytes, std::uint64_t clocks, Cycle period,
                                     Cycle away, Cycle phase)
    : bytes_(bytes), clocks_(clocks),
      ticks_per_byte_(kTicksPerClock * clocks % bytes == 0 ? kTicksPerClock * clocks / bytes : 0),
      period_(period), away_(away), phase_(phase) {
    reset();
}

void BandwidthCalendar::restart(Cycle origin) {
    origin_ = origin;
    used_.assign(64, 0);
    first_ = 0;
    open_ = 0;
    for (std::uint64_t index = 0; index < used_.size(); ++index) {
        used_[index] = initial(index);
    }
}

std::uint32_t BandwidthCalendar::initial(std::uint64_t index) const {
    if (period_ == 0) {
        return 0;
    }
    const Cycle begin = index * kBucketClocks;
    const Cycle end = begin + kBucketClocks;
    // Away: [k * period + phase, + away). Only the absence that began last before `end` can matter,
    // as away <= period and a bucket is shorter than a period's free part.
    if (end <= phase_) {
        return 0;
    }
    const Cycle away_begin = (end - 1 - phase_) / period_ * period_ + phase_;
    const Cycle from = std::max(begin, away_begin);
    const Cycle to = std::min(end, away_begin + away_);
    return to > from ? static_cast<std::uint32_t>((to - from) * kTicksPerClock) : 0;
}

void BandwidthCalendar::turn(std::uint64_t current) {
    // The buckets that leave the ring become those at its far end.
    const std::uint64_t size = used_.size();
    const std::uint64_t begin = std::max(first_ + size, current);
    for (std::uint64_t index = begin; index < current + size; ++index) {
        used_[index & (size - 1)] = initial(index);
    }
    first_ = current;
    open_ = std::max(open_, current);
}

void BandwidthCalendar::grow(std::uint64_t index) {
    while (index >= first_ + used_.size()) {
        const std::uint64_t old_size = used_.size();
        std::vector<std::uint32_t> grown(old_size * 2);
        for (std::uint64_t i = first_; i < first_ + old_size * 2; ++i) {
            grown[i & (old_size * 2 - 1)] =
                i < first_ + old_size ? used_[i & (old_size - 1)] : initial(i);
        }
        used_ = std::move(grown);
    }
}

std::uint64_t BandwidthCalendar::skip_full(std::uint64_t index) {
    if (index <= open_) {
        while (bucket(open_) >= kCapacity) {
            ++open_;
        }
        return open_ > index ? open_ : index;
    }
    while (bucket(index) >= kCapacity) {
        ++index;
    }
    return index;
}

Cycle BandwidthCalendar::reserve(Cycle now, Cycle at, std::uint64_t bytes) {
    now = std::max(now, origin_) - origin_;
    at = std::max(at, origin_) - origin_;
    advance(now);
    std::uint64_t left = cost(bytes);
    std::uint64_t index = std::max(at / kBucketClocks, first_);
    // Ticks from the start of `index`'s bucket before which nothing can pass.
    std::uint64_t earliest =
        at > index * kBucketClocks ? (at - index * kBucketClocks) * kTicksPerClock : 0;
    std::uint64_t finish = 0;
    while (true) {
        const std::uint64_t open = skip_full(index);
        if (open != index) {
            index = open;
            earliest = 0;
        }
        std::uint32_t& used = bucket(index);
        const std::uint64_t take = std::min<std::uint64_t>(left, kCapacity - used);
        const std::uint64_t begin = std::max<std::uint64_t>(used, earliest);
        finish = index * kCapacity + begin + take;
        used += static_cast<std::uint32_t>(take);
        left -= take;
        if (left == 0) {
            break;
        }
        ++index;
        // What did not fit goes on where this part ended, at the earliest.
        earliest = finish > index * kCapacity ? finish - index * kCapacity : 0;
    }
    return (finish + kTicksPerClock - 1) / kTicksPerClock + origin_;
}

Cycle BandwidthCalendar::reserve_evenly(Cycle now, Cycle begin, Cycle end, std::uint64_t bytes) {
    if (end <= begin) {
        return std::max(end, reserve(now, begin, bytes));
    }
    now = std::max(now, origin_) - origin_;
    begin = std::max(begin, origin_) - origin_;
    end = std::max(end, origin_) - origin_;
    advance(now);
    const std::uint64_t total = cost(bytes);
    const Cycle length = end - begin;
    std::uint64_t taken = 0;
    std::uint64_t index = begin / kBucketClocks;
    Cycle late = end;
    while (taken < total) {
        const Cycle bucket_end = (index + 1) * kBucketClocks;
        const std::uint64_t due = bucket_end >= end ? total : total * (bucket_end - begin) / length;
        std::uint32_t& used = bucket(index);
        const std::uint64_t room = used < kCapacity ? kCapacity - used : 0;
        const std::uint64_t take = std::min(due > taken ? due - taken : 0, room);
        used += static_cast<std::uint32_t>(take);
        taken += take;
        if (taken == total && bucket_end > end && index * kBucketClocks >= end) {
            late = index * kBucketClocks + (used + kTicksPerClock - 1) / kTicksPerClock;
        }
        ++index;
    }
    return std::max(end, late) + origin_;
}

} // namespace talus::sim
