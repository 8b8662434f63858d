// DEVICE_GET_INFO, DEVICE_GET_REGION_INFO, DEVICE_GET_REGION_IO_FDS, REGION_READ, REGION_WRITE and
// REGION_WRITE_MULTI.
#include <cerrno>
#include <cstring>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "support.hpp"

namespace talus::sim::test {
namespace {

constexpr auto kInvalid = static_cast<uint32_t>(EINVAL);

class Regions : public testing::Test {
  protected:
    void SetUp() override {
        rig.client.negotiate();
        rig.client.enable_device();
    }
    Received info(uint32_t index, uint32_t argsz) {
        return rig.client.call(5, Bytes().u32(argsz).u32(0).u32(index).u32(0).u64(0).u64(0));
    }
    Rig rig;
};

TEST_F(Regions, DeviceInfoCountsRegionsAndInterruptTypes) {
    const Received reply = rig.client.call(4, Bytes().u32(16).u32(0).u32(0).u32(0));
    ASSERT_EQ(reply.payload.size(), 16u);
    EXPECT_EQ(u32_at(reply.payload, 0), 16u);
    EXPECT_EQ(u32_at(reply.payload, 4), 3u) << "reset and PCI";
    EXPECT_EQ(u32_at(reply.payload, 8), 9u);
    EXPECT_EQ(u32_at(reply.payload, 12), 5u);
    EXPECT_EQ(rig.client.error_of(4, Bytes().u32(15).u32(0).u32(0).u32(0)), kInvalid);
}

TEST_F(Regions, Bar0TellsItsOnlyMappablePage) {
    const Received brief = info(0, 32);
    ASSERT_EQ(brief.payload.size(), 32u);
    EXPECT_EQ(u32_at(brief.payload, 0), 32u + 16u + 16u) << "the size needed";
    EXPECT_EQ(u32_at(brief.payload, 12), 0u) << "no capability in a reply too small for it";
    EXPECT_TRUE(brief.fds.empty());

    const Received full = info(0, 64);
    ASSERT_EQ(full.payload.size(), 64u);
    EXPECT_EQ(u32_at(full.payload, 0), 64u);
    EXPECT_EQ(u32_at(full.payload, 4), 0xfu) << "read, write, mmap, capabilities";
    EXPECT_EQ(u32_at(full.payload, 8), 0u);
    EXPECT_EQ(u32_at(full.payload, 12), 32u) << "cap_offset";
    EXPECT_EQ(u64_at(full.payload, 16), kMiB);
    EXPECT_EQ(u16_at(full.payload, 32), 1u) << "sparse mmap";
    EXPECT_EQ(u16_at(full.payload, 34), 1u) << "version";
    EXPECT_EQ(u32_at(full.payload, 36), 0u) << "last capability";
    EXPECT_EQ(u32_at(full.payload, 40), 1u) << "areas";
    EXPECT_EQ(u64_at(full.payload, 48), 0x1000u);
    EXPECT_EQ(u64_at(full.payload, 56), 0x1000u);
    ASSERT_EQ(full.fds.size(), 1u);

    std::memcpy(rig.chip.status.data() + 0x1000, "status", 6);
    const auto offset = static_cast<off_t>(u64_at(full.payload, 24) + 0x1000);
    void* page = mmap(nullptr, 0x1000, PROT_READ, MAP_SHARED, full.fds[0].get(), offset);
    ASSERT_NE(page, MAP_FAILED);
    EXPECT_EQ(std::memcmp(page, "status", 6), 0);
    munmap(page, 0x1000);
    EXPECT_EQ(mmap(nullptr, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, full.fds[0].get(), offset),
              MAP_FAILED)
        << "the status page is the device's to write";
    EXPECT_NE(ftruncate(full.fds[0].get(), 0), 0) << "sealed";
}

TEST_F(Regions, Bar4MapsWholeAndIsTheSameMemoryByMessage) {
    const Received reply = info(4, 32);
    ASSERT_EQ(reply.payload.size(), 32u);
    EXPECT_EQ(u32_at(reply.payload, 4), 7u) << "read, write, mmap";
    EXPECT_EQ(u64_at(reply.payload, 16), 64 * kMiB);
    ASSERT_EQ(reply.fds.size(), 1u);
    void* memory = mmap(nullptr, 64 * kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, reply.fds[0].get(),
                        static_cast<off_t>(u64_at(reply.payload, 24)));
    ASSERT_NE(memory, MAP_FAILED);
    auto* bytes = static_cast<uint8_t*>(memory);

    bytes[12345] = 0x5a;
    EXPECT_EQ(rig.client.read(4, 12345, 1)[0], std::byte{0x5a});
    rig.client.write(4, 64 * kMiB - 3, Bytes().u8(1).u8(2).u8(3));
    EXPECT_EQ(bytes[64 * kMiB - 1], 3);
    EXPECT_EQ(rig.chip.staging.data()[64 * kMiB - 2], std::byte{2});

    const Bytes block = Bytes().fill(kMiB, 0xa7);
    rig.client.write(4, 0x100001, block);
    EXPECT_EQ(rig.client.read(4, 0x100001, kMiB), block.data()) << "the largest transfer";
    munmap(memory, 64 * kMiB);
    EXPECT_TRUE(rig.chip.take_events().empty()) << "memory is not the register model's";
}

TEST_F(Regions, OtherRegionsCannotBeMapped) {
    for (const uint32_t index : {2u, 7u}) {
        const Received reply = info(index, 256);
        EXPECT_EQ(u32_at(reply.payload, 4), 3u);
        EXPECT_EQ(u64_at(reply.payload, 16), index == 2 ? 4 * kMiB : 4096);
        EXPECT_TRUE(reply.fds.empty());
    }
    for (const uint32_t index : {1u, 3u, 5u, 6u, 8u}) {
        const Received reply = info(index, 256);
        EXPECT_EQ(u32_at(reply.payload, 4), 0u) << index;
        EXPECT_EQ(u64_at(reply.payload, 16), 0u) << index;
    }
    EXPECT_EQ(rig.client.error_of(5, Bytes().u32(32).u32(0).u32(9).u32(0).u64(0).u64(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(5, Bytes().u32(31).u32(0).u32(0).u32(0).u64(0).u64(0)), kInvalid);
}

TEST_F(Regions, ThereAreNoIoFds) {
    const Received reply = rig.client.call(6, Bytes().u32(4096).u32(0).u32(2).u32(0));
    ASSERT_EQ(reply.payload.size(), 16u);
    EXPECT_EQ(u32_at(reply.payload, 0), 16u);
    EXPECT_EQ(u32_at(reply.payload, 8), 2u);
    EXPECT_EQ(u32_at(reply.payload, 12), 0u);
    EXPECT_EQ(rig.client.error_of(6, Bytes().u32(4096).u32(1).u32(2).u32(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(6, Bytes().u32(4096).u32(0).u32(9).u32(0)), kInvalid);
}

TEST_F(Regions, RegistersAreReadAndWrittenInOneAccess) {
    rig.chip.set_register(0, 0x10, 0x1122334455667788);
    EXPECT_EQ(u64_at(rig.client.read(0, 0x10, 8), 0), 0x1122334455667788u);
    EXPECT_EQ(rig.client.read32(0, 0x10), 0x55667788u);
    EXPECT_EQ(u16_at(rig.client.read(0, 0x10, 2), 0), 0x7788u);
    rig.client.write32(2, 0x30000, 7);
    rig.client.write(0, 0x20, Bytes().u64(0x99));
    EXPECT_EQ(rig.chip.take_events(),
              (std::vector<std::string>{"write BAR2+0x30000/4=0x7", "write BAR0+0x20/8=0x99"}));
}

TEST_F(Regions, RefusesRangesAndShapesThatDoNotExist) {
    const auto read = [&](uint64_t offset, uint32_t region, uint32_t count) {
        return rig.client.error_of(9, Bytes().u64(offset).u32(region).u32(count));
    };
    EXPECT_EQ(read(0, 0, 0), kInvalid);
    EXPECT_EQ(read(0, 9, 4), kInvalid);
    EXPECT_EQ(read(0, 0xffffffff, 4), kInvalid);
    EXPECT_EQ(read(0, 1, 4), kInvalid) << "upper half of a BAR";
    EXPECT_EQ(read(kMiB, 0, 4), kInvalid);
    EXPECT_EQ(read(kMiB - 4, 0, 8), kInvalid);
    EXPECT_EQ(read(~uint64_t{0} - 3, 0, 8), kInvalid);
    EXPECT_EQ(read(~uint64_t{0}, 4, 1), kInvalid);
    EXPECT_EQ(read(2, 0, 4), kInvalid) << "unaligned";
    EXPECT_EQ(read(0, 0, 3), kInvalid);
    EXPECT_EQ(read(0, 0, 16), kInvalid) << "registers are read by the word";
    EXPECT_EQ(read(0xffc, 0, 8), kInvalid);
    EXPECT_EQ(read(0x1ff0, 0, 32), kInvalid) << "leaves the mappable page";
    EXPECT_EQ(read(0, 4, kMiB + 1), kInvalid) << "above max_data_xfer_size";
    EXPECT_EQ(read(4093, 7, 4), kInvalid);
    EXPECT_EQ(rig.client.error_of(10, Bytes().u64(0).u32(0).u32(8).u32(1)), kInvalid)
        << "less data than announced";
    EXPECT_EQ(rig.client.error_of(10, Bytes().u64(0).u32(0).u32(4).u64(1)), kInvalid);
    EXPECT_TRUE(rig.chip.take_events().empty());
}

TEST_F(Regions, StatusPageIgnoresWrites) {
    std::memcpy(rig.chip.status.data() + 0x1008, "12345678", 8);
    rig.client.write(0, 0x1008, Bytes().u64(0));
    EXPECT_EQ(std::memcmp(rig.client.read(0, 0x1008, 8).data(), "12345678", 8), 0);
    EXPECT_TRUE(rig.chip.take_events().empty());
}

TEST_F(Regions, WithoutMemoryEnableReadsGiveOnesAndWritesAreDropped) {
    rig.client.write16(kConfigRegion, 4, 0x4);
    EXPECT_EQ(rig.client.read32(0, 0), 0xffffffffu);
    EXPECT_EQ(rig.client.read32(4, 0), 0xffffffffu);
    rig.client.write32(2, 0, 1);
    rig.client.write32(4, 0, 1);
    rig.client.enable_device();
    EXPECT_EQ(rig.client.read32(4, 0), 0u);
    EXPECT_TRUE(rig.chip.take_events().empty());
}

TEST_F(Regions, D3hotClosesBarsAndMasteringUntilD0) {
    rig.client.write16(kConfigRegion, 0x44, 3);
    EXPECT_EQ(rig.client.read32(0, 0), 0xffffffffu);
    EXPECT_FALSE(rig.chip.host->bus_master_enabled());
    rig.client.write16(kConfigRegion, 0x44, 0);
    EXPECT_EQ(rig.client.read32(0, 0), 0u);
    EXPECT_TRUE(rig.chip.host->bus_master_enabled()) << "No_Soft_Reset";
}

TEST_F(Regions, WriteMultiAppliesInOrder) {
    Bytes payload;
    payload.u64(3);
    payload.u64(0x10000).u32(2).u32(4).u64(0x11);
    payload.u64(0x10004).u32(2).u32(4).u64(0x22);
    payload.u64(0x40).u32(0).u32(8).u64(0x3333333344444444);
    const Received reply = rig.client.call(15, payload);
    ASSERT_EQ(reply.payload.size(), 8u);
    EXPECT_EQ(u64_at(reply.payload, 0), 3u);
    EXPECT_EQ(rig.chip.take_events(),
              (std::vector<std::string>{"write BAR2+0x10000/4=0x11", "write BAR2+0x10004/4=0x22",
                                        "write BAR0+0x40/8=0x3333333344444444"}));
}

TEST_F(Regions, WriteMultiStopsAtTheFirstError) {
    Bytes payload;
    payload.u64(3);
    payload.u64(0x10000).u32(2).u32(4).u64(1);
    payload.u64(0x10000).u32(2).u32(9).u64(2);
    payload.u64(0x10000).u32(2).u32(4).u64(3);
    EXPECT_EQ(u64_at(rig.client.call(15, payload).payload, 0), 1u);
    EXPECT_EQ(rig.chip.take_events().size(), 1u);
    EXPECT_EQ(rig.client.error_of(15, Bytes().u64(1).u64(0).u32(9).u32(4).u64(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(15, Bytes().u64(2).u64(0).u32(2).u32(4).u64(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(15, Bytes().u64(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(15, Bytes().u64(0x0aaaaaaaaaaaaaab).u64(0).u32(2).u32(4).u64(0)),
              kInvalid)
        << "24 times the count overflows to 8";
}

TEST_F(Regions, NoReplyIsHonouredAndOrderIsKept) {
    const Bytes payload = Bytes().u64(0x20000).u32(2).u32(4).u32(5);
    rig.client.send(message(1, 10, 0x10, payload));
    rig.client.send(message(2, 99, 0x10, {})); // even an error stays unanswered
    EXPECT_EQ(rig.client.read32(0, 0), 0u);    // its reply is the first thing that comes
    EXPECT_EQ(rig.chip.take_events(), std::vector<std::string>{"write BAR2+0x20000/4=0x5"});
}

} // namespace
} // namespace talus::sim::test
