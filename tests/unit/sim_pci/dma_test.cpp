// DMA_MAP and DMA_UNMAP with a file descriptor, and the device's accesses through them.
#include <atomic>
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <thread>

#include "support.hpp"

namespace talus::sim::test {
namespace {

constexpr auto kInvalid = static_cast<uint32_t>(EINVAL);
constexpr auto kExists = static_cast<uint32_t>(EEXIST);
constexpr auto kNoEntry = static_cast<uint32_t>(ENOENT);
constexpr uint64_t kBase = 0x100000000;

class Dma : public testing::Test {
  protected:
    void SetUp() override {
        rig.client.negotiate();
        rig.client.enable_device();
        file = make_memfd(kMiB);
        bytes = static_cast<uint8_t*>(
            mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
        ASSERT_NE(bytes, MAP_FAILED);
    }
    void TearDown() override { munmap(bytes, kMiB); }
    HostPort& host() { return *rig.chip.host; }

    Rig rig;
    UniqueFd file;
    uint8_t* bytes = nullptr;
};

TEST_F(Dma, ReadsAndWritesTheClientsMemory) {
    ASSERT_EQ(rig.client.dma_map(kBase, kMiB, file.get()), 0u);
    for (size_t i = 0; i < kMiB; ++i)
        bytes[i] = static_cast<uint8_t>(i * 7 + (i >> 12));
    std::vector<uint8_t> copy(300000);
    ASSERT_EQ(host().dma_read(kBase + 12345, copy.data(), copy.size()), DmaStatus::kOk);
    EXPECT_EQ(std::memcmp(copy.data(), bytes + 12345, copy.size()), 0);
    std::ranges::fill(copy, 0xee);
    ASSERT_EQ(host().dma_write(kBase + 700000, copy.data(), copy.size()), DmaStatus::kOk);
    EXPECT_EQ(bytes[699999], static_cast<uint8_t>(699999 * 7 + (699999 >> 12)));
    EXPECT_EQ(bytes[700000], 0xee);
    EXPECT_EQ(bytes[999999], 0xee);
    EXPECT_EQ(bytes[1000000], static_cast<uint8_t>(1000000 * 7 + (1000000 >> 12)));
}

TEST_F(Dma, HonoursTheFileOffset) {
    ASSERT_EQ(rig.client.dma_map(kBase, 0x2000, file.get(), 0x5000), 0u);
    bytes[0x5abc] = 42;
    uint8_t byte = 0;
    ASSERT_EQ(host().dma_read(kBase + 0xabc, &byte, 1), DmaStatus::kOk);
    EXPECT_EQ(byte, 42);
}

TEST_F(Dma, SpansAdjacentMappingsAndStopsAtAGap) {
    ASSERT_EQ(rig.client.dma_map(kBase + 0x1000, 0x1000, file.get(), 0x8000), 0u);
    ASSERT_EQ(rig.client.dma_map(kBase, 0x1000, file.get(), 0x1000), 0u);
    uint64_t value = 0x1122334455667788;
    ASSERT_EQ(host().dma_write(kBase + 0xffc, &value, 8), DmaStatus::kOk);
    EXPECT_EQ(std::memcmp(bytes + 0x1ffc, &value, 4), 0);
    EXPECT_EQ(std::memcmp(bytes + 0x8000, reinterpret_cast<char*>(&value) + 4, 4), 0);
    EXPECT_EQ(host().dma_read(kBase + 0x1ffc, &value, 8), DmaStatus::kUnmapped);
    EXPECT_EQ(host().dma_read(kBase - 1, &value, 1), DmaStatus::kUnmapped);
    EXPECT_EQ(host().dma_read(~uint64_t{0} - 3, &value, 8), DmaStatus::kUnmapped) << "wraps";
    EXPECT_EQ(host().probe(kBase, 0x2000, true), DmaStatus::kOk);
    EXPECT_EQ(host().probe(kBase, 0x2001, true), DmaStatus::kUnmapped);
    EXPECT_EQ(rig.client.read32(kConfigRegion, 4) >> 16 & 0x2000, 0x2000u)
        << "received master abort";
}

TEST_F(Dma, PermissionsAreChecked) {
    ASSERT_EQ(rig.client.dma_map(kBase, 0x1000, file.get(), 0, 1), 0u);
    ASSERT_EQ(rig.client.dma_map(kBase + 0x1000, 0x1000, file.get(), 0x1000, 2), 0u);
    uint32_t word = 0;
    EXPECT_EQ(host().dma_read(kBase, &word, 4), DmaStatus::kOk);
    EXPECT_EQ(host().dma_write(kBase, &word, 4), DmaStatus::kNotPermitted);
    EXPECT_EQ(host().store32(kBase, 1), DmaStatus::kNotPermitted);
    EXPECT_EQ(host().dma_read(kBase + 0x1000, &word, 4), DmaStatus::kNotPermitted);
    EXPECT_EQ(host().dma_write(kBase + 0x1000, &word, 4), DmaStatus::kOk);
    EXPECT_EQ(host().probe(kBase, 0x2000, false), DmaStatus::kNotPermitted);
}

TEST_F(Dma, WordsAreAtomicAndAligned) {
    ASSERT_EQ(rig.client.dma_map(kBase, 0x1000, file.get()), 0u);
    EXPECT_EQ(host().store32(kBase + 8, 0xdeadbeef), DmaStatus::kOk);
    EXPECT_EQ(host().store64(kBase + 16, 0x0123456789abcdef), DmaStatus::kOk);
    uint32_t word = 0;
    uint64_t both = 0;
    EXPECT_EQ(host().load32(kBase + 8, word), DmaStatus::kOk);
    EXPECT_EQ(word, 0xdeadbeefu);
    EXPECT_EQ(host().load64(kBase + 16, both), DmaStatus::kOk);
    EXPECT_EQ(both, 0x0123456789abcdefu);
    EXPECT_EQ(host().load32(kBase + 9, word), DmaStatus::kNotPermitted);
    EXPECT_EQ(host().load64(kBase + 12, both), DmaStatus::kNotPermitted);

    std::array<uint32_t, 64> words;
    for (uint32_t i = 0; i < 64; ++i)
        std::memcpy(bytes + 0x100 + 4 * i, &i, 4);
    ASSERT_EQ(host().load32_array(kBase + 0x100, words.data(), 64), DmaStatus::kOk);
    for (uint32_t i = 0; i < 64; ++i)
        EXPECT_EQ(words[i], i);
    EXPECT_EQ(host().load32_array(kBase + 0xfc0, words.data(), 64), DmaStatus::kUnmapped);
    EXPECT_EQ(host().load32_array(kBase + 1, words.data(), 1), DmaStatus::kNotPermitted);
}

TEST_F(Dma, RefusesImpossibleMappings) {
    const int fd = file.get();
    EXPECT_EQ(rig.client.dma_map(kBase, 0, fd), kInvalid);
    EXPECT_EQ(rig.client.dma_map(kBase, 0x800, fd), kInvalid) << "part of a page";
    EXPECT_EQ(rig.client.dma_map(kBase + 1, 0x1000, fd), kInvalid);
    EXPECT_EQ(rig.client.dma_map(kBase, 0x1000, fd, 0x10), kInvalid);
    EXPECT_EQ(rig.client.dma_map(kBase, 0x1000, fd, 0, 0), kInvalid) << "no access";
    EXPECT_EQ(rig.client.dma_map(kBase, 0x1000, fd, 0, 7), kInvalid) << "unknown flag";
    EXPECT_EQ(rig.client.dma_map(~uint64_t{0xfff}, 0x2000, fd), kInvalid) << "wraps";
    EXPECT_EQ(rig.client.dma_map(kBase, 0x2000, fd, ~uint64_t{0xfff}), kInvalid);
    EXPECT_EQ(rig.client.dma_map(kBase, kMiB + 0x1000, fd), kInvalid) << "beyond the file";
    EXPECT_EQ(rig.client.dma_map(kBase, 0x1000, fd, kMiB), kInvalid);
    EXPECT_EQ(rig.client.dma_map(kBase, uint64_t{1} << 63, fd), kInvalid);
    EXPECT_EQ(rig.client.dma_map(kBase, 0x1000, -1, 0x1000), kInvalid) << "offset without a file";
    const Bytes two = Bytes().u32(32).u32(3).u64(0).u64(kBase).u64(0x1000);
    EXPECT_EQ(rig.client.error_of(2, two, {fd, fd}), kInvalid);
    const Bytes brief = Bytes().u32(31).u32(3).u64(0).u64(kBase).u64(0x1000);
    EXPECT_EQ(rig.client.error_of(2, brief, {fd}), kInvalid);
    EXPECT_NE(rig.client.dma_map(kBase, 0x1000, rig.client.socket()), 0u) << "a socket";
    EXPECT_EQ(rig.function.memory().mapping_count(), 0u);
    EXPECT_EQ(rig.client.dma_map(~uint64_t{0xfff}, 0x1000, fd), 0u) << "the last page";
}

TEST_F(Dma, RefusesOverlaps) {
    const int fd = file.get();
    ASSERT_EQ(rig.client.dma_map(kBase, 0x4000, fd), 0u);
    EXPECT_EQ(rig.client.dma_map(kBase, 0x4000, fd), kExists);
    EXPECT_EQ(rig.client.dma_map(kBase + 0x1000, 0x1000, fd), kExists);
    EXPECT_EQ(rig.client.dma_map(kBase + 0x3000, 0x2000, fd), kExists);
    EXPECT_EQ(rig.client.dma_map(kBase - 0x1000, 0x2000, fd), kExists);
    EXPECT_EQ(rig.client.dma_map(kBase - 0x1000, 0x8000, -1), kExists);
    EXPECT_EQ(rig.client.dma_map(kBase - 0x1000, 0x1000, fd), 0u);
    EXPECT_EQ(rig.client.dma_map(kBase + 0x4000, 0x1000, fd), 0u);
}

TEST_F(Dma, UnmapsWholeMappingsOnly) {
    ASSERT_EQ(rig.client.dma_map(kBase, 0x4000, file.get()), 0u);
    EXPECT_EQ(rig.client.dma_unmap(kBase + 0x1000, 0x1000), kInvalid);
    EXPECT_EQ(rig.client.dma_unmap(kBase, 0x3000), kInvalid);
    EXPECT_EQ(rig.client.dma_unmap(kBase - 0x1000, 0x2000), kInvalid);
    EXPECT_EQ(rig.client.dma_unmap(kBase + 0x3000, 0x2000), kInvalid);
    EXPECT_EQ(rig.client.dma_unmap(0, 0), kInvalid);
    EXPECT_EQ(rig.client.dma_unmap(0x2000, ~uint64_t{0} - 0xfff), kInvalid) << "wraps";
    EXPECT_EQ(rig.client.dma_unmap(kBase + 0x4000, 0x1000), kNoEntry);
    EXPECT_EQ(rig.client.dma_unmap(kBase - 0x1000, 0x1000), kNoEntry);
    EXPECT_EQ(rig.function.memory().mapping_count(), 1u);
    const Received reply = rig.client.call(3, Bytes().u32(24).u32(0).u64(kBase).u64(0x4000));
    ASSERT_EQ(reply.payload.size(), 24u);
    EXPECT_EQ(u64_at(reply.payload, 8), kBase);
    EXPECT_EQ(u64_at(reply.payload, 16), 0x4000u);
    EXPECT_EQ(rig.client.dma_unmap(kBase, 0x4000), kNoEntry) << "twice";
    uint32_t word;
    EXPECT_EQ(host().dma_read(kBase, &word, 4), DmaStatus::kUnmapped);
    EXPECT_EQ(rig.client.error_of(3, Bytes().u32(24).u32(1).u64(kBase).u64(0x4000)), kInvalid)
        << "dirty bitmap";
    EXPECT_EQ(rig.client.error_of(3, Bytes().u32(23).u32(0).u64(kBase).u64(0x4000)), kInvalid);
}

// A guest that detaches a device from its IOMMU makes QEMU clear the address space in powers of
// two.
TEST_F(Dma, UnmapOfALargeRangeTakesEveryMappingInIt) {
    for (const uint64_t at : {uint64_t{0x1000}, kBase, kBase + 0x4000, uint64_t{1} << 47})
        ASSERT_EQ(rig.client.dma_map(at, 0x4000, file.get()), 0u);
    ASSERT_EQ(rig.client.dma_map(uint64_t{0} - 0x1000, 0x1000, file.get()), 0u) << "the last page";
    EXPECT_EQ(rig.client.dma_unmap(0, uint64_t{1} << 47), 0u);
    EXPECT_EQ(rig.function.memory().mapping_count(), 2u);
    uint32_t word;
    EXPECT_EQ(host().dma_read(kBase, &word, 4), DmaStatus::kUnmapped);
    EXPECT_EQ(host().dma_read(uint64_t{1} << 47, &word, 4), DmaStatus::kOk);
    EXPECT_EQ(rig.client.dma_unmap(uint64_t{1} << 47, uint64_t{1} << 47), 0u);
    EXPECT_EQ(rig.client.dma_unmap(uint64_t{0} - 0x2000, 0x2000), 0u);
    EXPECT_EQ(rig.function.memory().mapping_count(), 0u);
    ASSERT_EQ(rig.client.dma_map(kBase, 0x1000, file.get()), 0u) << "free again";
}

TEST_F(Dma, UnmapAll) {
    ASSERT_EQ(rig.client.dma_map(kBase, 0x4000, file.get()), 0u);
    ASSERT_EQ(rig.client.dma_map(0, 0x1000, -1), 0u);
    EXPECT_EQ(rig.client.error_of(3, Bytes().u32(24).u32(2).u64(kBase).u64(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(3, Bytes().u32(24).u32(2).u64(0).u64(0)), 0u);
    EXPECT_EQ(rig.function.memory().mapping_count(), 0u);
}

TEST_F(Dma, MappingsLeakNoDescriptors) {
    const size_t before = open_descriptors();
    for (uint64_t i = 0; i < 200; ++i) {
        ASSERT_EQ(rig.client.dma_map(kBase + i * 0x1000, 0x1000, file.get(), i * 0x1000), 0u);
        ASSERT_EQ(rig.client.dma_map(kBase, 0x1000, file.get()), kExists);
    }
    EXPECT_EQ(open_descriptors(), before) << "a mapping needs no descriptor";
}

TEST_F(Dma, BusMasterOffStopsAccess) {
    ASSERT_EQ(rig.client.dma_map(kBase, 0x1000, file.get()), 0u);
    uint32_t word = 7;
    rig.client.write16(kConfigRegion, 4, 0x2);
    EXPECT_EQ(host().dma_write(kBase, &word, 4), DmaStatus::kBusMasterOff);
    EXPECT_EQ(host().load32(kBase, word), DmaStatus::kBusMasterOff);
    rig.client.enable_device();
    EXPECT_EQ(host().dma_write(kBase, &word, 4), DmaStatus::kOk);
}

TEST_F(Dma, ATruncatedFileIsABusErrorAndNotTheEnd) {
    ASSERT_EQ(rig.client.dma_map(kBase, kMiB, file.get()), 0u);
    ASSERT_EQ(ftruncate(file.get(), 0x3000), 0);
    std::vector<uint8_t> copy(kMiB, 1);
    uint32_t word = 0;
    uint64_t both = 0;
    EXPECT_EQ(host().dma_read(kBase, copy.data(), copy.size()), DmaStatus::kBusError);
    EXPECT_EQ(host().dma_write(kBase + 0x2ff0, copy.data(), 0x100), DmaStatus::kBusError);
    EXPECT_EQ(host().load32(kBase + 0x3000, word), DmaStatus::kBusError);
    EXPECT_EQ(host().store64(kBase + 0x80000, both), DmaStatus::kBusError);
    EXPECT_EQ(host().load32_array(kBase + 0x3000, &word, 1), DmaStatus::kBusError);
    EXPECT_EQ(host().dma_read(kBase + 0x2000, copy.data(), 0x1000), DmaStatus::kOk);
    // From several threads, as often as one likes.
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
            uint32_t mine;
            for (int i = 0; i < 200; ++i)
                EXPECT_EQ(host().load32(kBase + 0x5000, mine), DmaStatus::kBusError);
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(rig.client.dma_unmap(kBase, kMiB), 0u);
}

// After the reply to `stop`, the memory must not change any more, though an engine writes without
// pause.
void expect_silence_after(Rig& rig, uint8_t* bytes, const std::function<void()>& stop) {
    std::atomic<bool> end{false};
    std::atomic<uint64_t> writes{0};
    std::thread engine([&] {
        std::vector<uint8_t> block(kMiB);
        for (uint8_t value = 1; !end; ++value) {
            std::ranges::fill(block, value);
            rig.chip.host->dma_write(kBase, block.data(), block.size());
            ++writes;
        }
    });
    while (writes < 3)
        std::this_thread::yield();
    stop();
    const std::vector<uint8_t> before(bytes, bytes + kMiB);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_EQ(std::memcmp(before.data(), bytes, kMiB), 0);
    end = true;
    engine.join();
}

TEST_F(Dma, NothingIsTouchedAfterTheReplyToUnmap) {
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(rig.client.dma_map(kBase, kMiB, file.get()), 0u);
        expect_silence_after(rig, bytes, [&] { ASSERT_EQ(rig.client.dma_unmap(kBase, kMiB), 0u); });
    }
}

TEST_F(Dma, NothingIsTouchedAfterBusMasterOff) {
    ASSERT_EQ(rig.client.dma_map(kBase, kMiB, file.get()), 0u);
    expect_silence_after(rig, bytes, [&] { rig.client.write16(kConfigRegion, 4, 0x2); });
}

TEST_F(Dma, NothingIsTouchedAfterFunctionLevelReset) {
    ASSERT_EQ(rig.client.dma_map(kBase, kMiB, file.get()), 0u);
    expect_silence_after(rig, bytes, [&] { rig.client.write16(kConfigRegion, 0x68, 0x8000); });
    EXPECT_EQ(rig.chip.take_events(), std::vector<std::string>{"function_reset"});
}

TEST_F(Dma, NothingIsTouchedAfterDeviceReset) {
    ASSERT_EQ(rig.client.dma_map(kBase, kMiB, file.get()), 0u);
    expect_silence_after(rig, bytes, [&] { ASSERT_EQ(rig.client.error_of(13, Bytes()), 0u); });
    EXPECT_EQ(rig.chip.take_events(), std::vector<std::string>{"fundamental_reset"});
    // The mapping is the client's and is still there.
    rig.client.enable_device();
    uint32_t word = 0;
    EXPECT_EQ(rig.chip.host->dma_read(kBase, &word, 4), DmaStatus::kOk);
}

} // namespace
} // namespace talus::sim::test
