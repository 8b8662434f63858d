// DMA regions and the heap that cuts buffers from them.
#include "memory.hpp"

#include "error.hpp"
#include "fake_device.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace talus::driver {
namespace {

class Memory : public ::testing::Test {
  protected:
    test::FakeState state_;
    test::FakeTransport transport_{state_};
    IovaSpace space_;
};

TEST_F(Memory, RegionIsMappedWithItsFileAndUnmapped) {
    {
        const DmaRegion region(transport_, space_, 5000, 4096, true);
        EXPECT_EQ(region.bytes(), 8192u);
        EXPECT_EQ(region.iova() % 4096, 0u);
        EXPECT_GE(region.iova(), IovaSpace::kBase);
        ASSERT_EQ(state_.dma.size(), 1u);
        const int fd = state_.dma.begin()->second.fd;
        // The device reaches the same bytes through the descriptor, and can't cut them off.
        const char text[] = "through the file";
        ASSERT_EQ(pwrite(fd, text, sizeof text, 4096), static_cast<ssize_t>(sizeof text));
        EXPECT_STREQ(reinterpret_cast<const char*>(region.pointer() + 4096), text);
        EXPECT_NE(ftruncate(fd, 0), 0);
        EXPECT_NE(ftruncate(fd, 1 << 20), 0);
    }
    EXPECT_TRUE(state_.dma.empty());
}

TEST_F(Memory, RegionWithoutSharingHandsOverNoFile) {
    const DmaRegion region(transport_, space_, 4096, 4096, false);
    EXPECT_EQ(state_.dma.begin()->second.fd, -1);
}

TEST_F(Memory, FailedMappingLeavesNothingBehind) {
    state_.gone = true;
    EXPECT_THROW(DmaRegion(transport_, space_, 4096, 4096, true), Error);
    state_.gone = false;
    const DmaRegion region(transport_, space_, 4096, 4096, true);
    EXPECT_EQ(region.iova(), IovaSpace::kBase); // the IOVA range was given back
}

TEST_F(Memory, HeapHonoursAlignmentAndZeroes) {
    DmaHeap heap(transport_, space_, true, nullptr);
    for (const std::uint64_t alignment : {1ull, 64ull, 4096ull, 1ull << 21}) {
        const DmaBuffer buffer = heap.allocate(1000, alignment);
        EXPECT_EQ(buffer.iova % alignment, 0u);
        std::fill_n(buffer.pointer, buffer.bytes, std::byte{0xaa});
        heap.release(buffer.iova);
        const DmaBuffer again = heap.allocate(1000, alignment);
        EXPECT_TRUE(std::all_of(again.pointer, again.pointer + again.bytes,
                                [](std::byte b) { return b == std::byte{0}; }));
        heap.release(again.iova);
    }
    EXPECT_EQ(heap.arena_count(), 1u);
}

TEST_F(Memory, HeapRefusesNonsense) {
    DmaHeap heap(transport_, space_, true, nullptr);
    EXPECT_THROW(heap.allocate(0, 64), Error);
    EXPECT_THROW(heap.allocate(64, 48), Error);
    EXPECT_THROW(heap.allocate(64, 1 << 22), Error);
    EXPECT_THROW(heap.allocate(~0ull, 64), Error);
    EXPECT_THROW(heap.release(0x1234), Error);
    const DmaBuffer buffer = heap.allocate(64, 64);
    heap.release(buffer.iova);
    EXPECT_THROW(heap.release(buffer.iova), Error);
}

TEST_F(Memory, ArenasFollowDemandAndTellTheHook) {
    std::map<std::uint64_t, std::uint64_t> windows;
    DmaHeap heap(transport_, space_, true, [&](const DmaRegion& arena, bool added) {
        // At both times the memory is mapped at the device.
        EXPECT_NE(state_.host(arena.iova(), arena.bytes()), nullptr);
        if (added)
            windows[arena.iova()] = arena.bytes();
        else
            windows.erase(arena.iova());
    });
    const DmaBuffer small = heap.allocate(64, 64);
    const DmaBuffer large = heap.allocate(DmaHeap::kArenaBytes + 1, 64); // an arena of its own
    EXPECT_EQ(windows.size(), 2u);
    heap.release(large.iova);
    EXPECT_EQ(windows.size(), 1u);
    EXPECT_EQ(state_.dma.size(), 1u);
    heap.release(small.iova);
    EXPECT_EQ(windows.size(), 1u); // the first arena stays
}

TEST_F(Memory, FailingHookUndoesTheArena) {
    bool refuse = true;
    DmaHeap heap(transport_, space_, true, [&](const DmaRegion&, bool added) {
        if (added && refuse)
            throw Error(TALUS_DRV_OUT_OF_HOST_MEMORY, "no window");
    });
    EXPECT_THROW(heap.allocate(64, 64), Error);
    EXPECT_TRUE(state_.dma.empty());
    refuse = false;
    EXPECT_NO_THROW(heap.allocate(64, 64));
}

TEST_F(Memory, BuffersNeverOverlap) {
    DmaHeap heap(transport_, space_, true, nullptr);
    std::mt19937 random(7);
    std::map<std::uint64_t, DmaBuffer> live;
    for (int step = 0; step < 3000; ++step) {
        if (live.empty() || random() % 2 == 0) {
            const DmaBuffer buffer = heap.allocate(1 + random() % 100000, 1u << random() % 13);
            const auto next = live.lower_bound(buffer.iova);
            if (next != live.end()) {
                ASSERT_LE(buffer.iova + buffer.bytes, next->first);
            }
            if (next != live.begin()) {
                ASSERT_LE(std::prev(next)->first + std::prev(next)->second.bytes, buffer.iova);
            }
            ASSERT_EQ(state_.host(buffer.iova, buffer.bytes), buffer.pointer);
            live[buffer.iova] = buffer;
        } else {
            auto victim = live.begin();
            std::advance(victim, static_cast<long>(random() % live.size()));
            heap.release(victim->first);
            live.erase(victim);
        }
    }
}

} // namespace
} // namespace talus::driver
