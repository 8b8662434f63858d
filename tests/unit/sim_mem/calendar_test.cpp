// Bandwidth calendars: rate, gaps, absences, and agreement with a slow model of the same resource.
#include <algorithm>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "mem/calendar.hpp"

namespace talus::sim {
namespace {

TEST(Calendar, AnIdleResourceTakesBytesOverRate) {
    BandwidthCalendar calendar(64, 1);
    EXPECT_EQ(calendar.reserve(0, 0, 64), 1u);
    EXPECT_EQ(calendar.reserve(0, 1000, 6400), 1100u);
    EXPECT_EQ(calendar.reserve(0, 5030, 256), 5034u); // in the middle of a bucket
    BandwidthCalendar slow(19, 2);                    // 9.5 bytes per clock
    EXPECT_EQ(slow.reserve(0, 100, 190), 120u);
}

TEST(Calendar, RequestsQueueBehindEachOther) {
    BandwidthCalendar calendar(64, 1);
    Cycle last = 0;
    for (int i = 1; i <= 100; ++i) {
        last = calendar.reserve(0, 0, 256);
        EXPECT_EQ(last, 4u * i);
    }
}

TEST(Calendar, AReservationInTheFutureLeavesTheTimeBefore) {
    BandwidthCalendar calendar(64, 1);
    EXPECT_EQ(calendar.reserve(0, 10000, 64000), 11000u);
    EXPECT_EQ(calendar.reserve(0, 0, 6400), 100u);
    // What does not fit before goes round the block.
    const Cycle end = calendar.reserve(0, 9900, 64 * 200);
    EXPECT_GT(end, 11000u);
    EXPECT_LE(end, 11000u + 200u);
}

TEST(Calendar, EvenReservationsLeaveRoomForOthers) {
    BandwidthCalendar calendar(768, 1);
    // A unit that reads 128 bytes a clock over 2,048 clocks leaves five sixths to others.
    EXPECT_EQ(calendar.reserve_evenly(0, 0, 2048, 128 * 2048), 2048u);
    EXPECT_EQ(calendar.reserve_evenly(0, 0, 2048, 512 * 2048), 2048u);
    // The last bytes of a full resource; its costs are rounded up to 1/256 clock.
    EXPECT_LE(calendar.reserve_evenly(0, 0, 2048, 128 * 2048), 2049u);
    // Full: the next is late by as much as it takes.
    const Cycle end = calendar.reserve_evenly(0, 0, 2048, 76800);
    EXPECT_GE(end, 2048u + 100u);
    EXPECT_LE(end, 2048u + 100u + 64u);
}

TEST(Calendar, AbsencesPassTheirTimeBy) {
    BandwidthCalendar calendar(1, 1, 1000, 100, 500); // away in [500, 600), [1500, 1600), ...
    EXPECT_EQ(calendar.reserve(0, 0, 100), 100u);
    EXPECT_GE(calendar.reserve(0, 520, 10), 600u);
    // Over many periods nine tenths are there.
    BandwidthCalendar other(1, 1, 1000, 100, 500);
    const Cycle end = other.reserve(0, 0, 90000);
    EXPECT_NEAR(static_cast<double>(end), 100000.0, 200.0);
}

TEST(Calendar, JumpsOfTimeForgetThePastOnly) {
    BandwidthCalendar calendar(64, 1);
    calendar.reserve(0, 1'000'000, 64 * 1000);
    EXPECT_EQ(calendar.reserve(999'990, 999'990, 640), 1'000'000u);
    EXPECT_GT(calendar.reserve(1'000'000, 1'000'000, 64), 1'000'900u);
    EXPECT_EQ(calendar.reserve(50'000'000, 50'000'000, 64), 50'000'001u);
}

/// Whatever the order of requests, no span of whole buckets passes more than its capacity, every
/// request takes at least its own time, and nothing is delayed while there was room.
TEST(Calendar, NeverExceedsItsRate) {
    std::mt19937 random(4);
    BandwidthCalendar calendar(64, 1);
    Cycle now = 0;
    std::uint64_t bytes = 0;
    Cycle latest = 0;
    for (int i = 0; i < 20000; ++i) {
        now += random() % 8;
        const Cycle at = now + random() % 500;
        const std::uint64_t size = 1 + random() % 512;
        const Cycle end = calendar.reserve(now, at, size);
        EXPECT_GE(end, at + size / 64);
        bytes += size;
        latest = std::max(latest, end);
    }
    // 4 bytes per clock above capacity on average: the resource is never idle for long.
    EXPECT_GE(latest * 64, bytes);
    EXPECT_LE(latest * 64, bytes + bytes / 50 + 64 * 1000);
}

} // namespace
} // namespace talus::sim
