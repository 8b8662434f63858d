// RangeAllocator against a reference that marks every granule in a bitmap.
#include "range_allocator.hpp"

#include "error.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <random>
#include <vector>

namespace talus::driver {
namespace {

constexpr std::uint64_t kGranule = 64;

TEST(RangeAllocator, GivesTheLowestFittingAddress) {
    RangeAllocator ranges(0x1000, 0x1000, kGranule);
    EXPECT_EQ(ranges.allocate(1, 1), 0x1000u);
    EXPECT_EQ(ranges.allocate(64, 64), 0x1040u);
    EXPECT_EQ(ranges.allocate(64, 0x400), 0x1400u);
    EXPECT_EQ(ranges.allocate(0x380, 64), 0x1080u); // the hole before the aligned one, exactly
    EXPECT_EQ(ranges.release(0x1040), 64u);
    EXPECT_EQ(ranges.allocate(64, 64), 0x1040u);
}

TEST(RangeAllocator, RefusesWhatItCannotGive) {
    RangeAllocator ranges(0x1000, 0x1000, kGranule);
    EXPECT_FALSE(ranges.allocate(0, 64));
    EXPECT_FALSE(ranges.allocate(64, 3));
    EXPECT_FALSE(ranges.allocate(64, 0));
    EXPECT_FALSE(ranges.allocate(0x1001, 64));
    EXPECT_FALSE(ranges.allocate(std::numeric_limits<std::uint64_t>::max(), 64));
    EXPECT_FALSE(ranges.allocate(64, std::uint64_t{1} << 63));
    EXPECT_EQ(ranges.used(), 0u);
    EXPECT_TRUE(ranges.allocate(0x1000, 64));
    EXPECT_FALSE(ranges.allocate(1, 1));
}

TEST(RangeAllocator, RefusesToFreeWhatItDidNotGive) {
    RangeAllocator ranges(0x1000, 0x1000, kGranule);
    const auto address = ranges.allocate(128, 64);
    ASSERT_TRUE(address);
    EXPECT_FALSE(ranges.release(*address + 64)); // the middle
    EXPECT_FALSE(ranges.release(0));
    EXPECT_TRUE(ranges.release(*address));
    EXPECT_FALSE(ranges.release(*address)); // twice
}

TEST(RangeAllocator, RejectsRangesThatWrapOrAreMisaligned) {
    EXPECT_THROW(RangeAllocator(~std::uint64_t{63}, 128, kGranule), Error);
    EXPECT_THROW(RangeAllocator(32, 128, kGranule), Error);
    EXPECT_THROW(RangeAllocator(0, 128, 48), Error);
    RangeAllocator last(~std::uint64_t{0} - 127, 64, kGranule);
    EXPECT_EQ(last.allocate(64, 64), ~std::uint64_t{0} - 127);
}

TEST(RangeAllocator, CoalescesInEveryOrderOfFreeing) {
    std::vector<int> order = {0, 1, 2, 3};
    do {
        RangeAllocator ranges(0, 256, kGranule);
        std::vector<std::uint64_t> parts;
        for (int i = 0; i < 4; ++i)
            parts.push_back(ranges.allocate(64, 64).value());
        for (const int i : order)
            EXPECT_TRUE(ranges.release(parts[static_cast<std::size_t>(i)]));
        EXPECT_EQ(ranges.free_range_count(), 1u);
        EXPECT_EQ(ranges.allocate(256, 256), 0u);
    } while (std::next_permutation(order.begin(), order.end()));
}

TEST(RangeAllocator, AgreesWithABitmap) {
    constexpr std::uint64_t kBase = 0x7000;
    constexpr std::size_t kGranules = 512;
    RangeAllocator ranges(kBase, kGranules * kGranule, kGranule);
    std::vector<bool> taken(kGranules, false);
    std::map<std::uint64_t, std::size_t> live; // address -> granules
    std::mt19937 random(12345);
    const auto fits = [&](std::size_t first, std::size_t count) {
        if (first + count > kGranules)
            return false;
        for (std::size_t i = first; i < first + count; ++i)
            if (taken[i])
                return false;
        return true;
    };
    for (int step = 0; step < 20000; ++step) {
        if (live.empty() || random() % 5 < 3) {
            const std::uint64_t bytes = 1 + random() % 4000;
            const std::uint64_t alignment = std::uint64_t{1} << random() % 13;
            const std::size_t count = (bytes + kGranule - 1) / kGranule;
            const auto address = ranges.allocate(bytes, alignment);
            // First fit: the lowest address at which the bitmap has room.
            std::optional<std::uint64_t> expected;
            for (std::size_t first = 0; first < kGranules && !expected; ++first)
                if ((kBase + first * kGranule) % alignment == 0 && fits(first, count))
                    expected = kBase + first * kGranule;
            ASSERT_EQ(address, expected) << "step " << step;
            if (!address)
                continue;
            for (std::size_t i = 0; i < count; ++i)
                taken[(*address - kBase) / kGranule + i] = true;
            live[*address] = count;
        } else {
            auto victim = live.begin();
            std::advance(victim, static_cast<long>(random() % live.size()));
            ASSERT_EQ(ranges.release(victim->first), victim->second * kGranule);
            for (std::size_t i = 0; i < victim->second; ++i)
                taken[(victim->first - kBase) / kGranule + i] = false;
            live.erase(victim);
        }
        std::size_t runs = 0;
        std::size_t used = 0;
        for (std::size_t i = 0; i < kGranules; ++i) {
            used += taken[i];
            runs += !taken[i] && (i == 0 || taken[i - 1]);
        }
        ASSERT_EQ(ranges.used(), used * kGranule);
        ASSERT_EQ(ranges.free_range_count(), runs); // free neighbours are always one range
    }
}

} // namespace
} // namespace talus::driver
