// The DMA engines between a fake host and the real fabric.
#include <algorithm>
#include <numeric>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"

#include "fakes.hpp"
#include "soc/dma_engine.hpp"

namespace talus::sim {
namespace {

using test::FakeHost;
using test::FakeLines;

class DmaTest : public testing::Test {
  protected:
    Config config = Config::load_default();
    EventQueue events;
    Diagnostics diagnostics;
    Fabric fabric{config, events};
    FakeLines lines;
    InterruptController intc{lines};
    PcieLink link{config};
    DmaEngines dma{config, events, diagnostics, link, fabric, intc};
    FakeHost host;

    void SetUp() override {
        dma.connect(host);
        std::iota(host.memory.begin(), host.memory.end(), std::uint8_t{1});
    }
    void start(unsigned channel, std::uint32_t kind, std::uint64_t from_host, std::uint64_t device,
               std::uint64_t bytes, std::uint32_t domain = 0, std::uint32_t sgl = 0) {
        const std::uint32_t base = channel * DMA_STRIDE;
        dma.write64(events.now(), base + DMA_HOST, from_host);
        dma.write64(events.now(), base + DMA_DEVICE, device);
        dma.write64(events.now(), base + DMA_BYTES, bytes);
        dma.write32(events.now(), base + DMA_KIND, kind);
        dma.write32(events.now(), base + DMA_DOMAIN, domain);
        dma.write32(events.now(), base + DMA_SGL_COUNT, sgl);
        dma.write32(events.now(), base + DMA_START, 1);
    }
    std::uint32_t status(unsigned channel) {
        return dma.read32(events.now(), channel * DMA_STRIDE + DMA_STATUS);
    }
    std::uint32_t run(unsigned channel) {
        EXPECT_EQ(status(channel), TALUS_DMA_BUSY);
        while (!events.empty()) {
            events.run_next();
        }
        EXPECT_EQ(status(channel) & 3u, TALUS_DMA_DONE);
        EXPECT_NE(intc.pending() & (1u << (TALUS_IRQ_DMA0 + channel)), 0u);
        return status(channel) >> 16;
    }
};

TEST_F(DmaTest, HostToDeviceAndBack) {
    const std::uint64_t bytes = 100001;
    start(1, TALUS_COPY_H2D, FakeHost::kBase + 3, TALUS_DRAM_BASE + 777, bytes);
    EXPECT_EQ(run(1), TALUS_OK);
    EXPECT_TRUE(
        std::equal(fabric.dram() + 777, fabric.dram() + 777 + bytes, host.memory.begin() + 3));
    const std::vector<std::uint8_t> before(host.memory.begin() + 3,
                                           host.memory.begin() + 3 + bytes);
    std::fill(host.memory.begin(), host.memory.end(), std::uint8_t{0});
    start(0, TALUS_COPY_D2H, FakeHost::kBase + 5, TALUS_DRAM_BASE + 777, bytes);
    EXPECT_EQ(run(0), TALUS_OK);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), host.memory.begin() + 5));
    EXPECT_EQ(host.memory[4], 0);
    EXPECT_EQ(host.memory[5 + bytes], 0);
}

TEST_F(DmaTest, DeviceToDevice) {
    std::fill_n(fabric.lls() + 64, 20000, std::uint8_t{7});
    start(3, TALUS_COPY_D2D, TALUS_LLS_BASE + 64, TALUS_DRAM_BASE, 20000);
    EXPECT_EQ(run(3), TALUS_OK);
    EXPECT_EQ(std::count(fabric.dram(), fabric.dram() + 20001, 7), 20000);
}

TEST_F(DmaTest, DamagedMemoryEndsACopy) {
    const auto lls_word = [](std::uint64_t offset) {
        return MemoryWord{TALUS_ECC_SHARED_SRAM, 0, offset, false};
    };
    fabric.flip(lls_word(0x1000), 1, 0);
    start(0, TALUS_COPY_D2H, FakeHost::kBase, TALUS_LLS_BASE, 20000);
    EXPECT_EQ(run(0), TALUS_OK); // corrected
    fabric.flip(lls_word(0x1000), 3, 0);
    start(0, TALUS_COPY_D2H, FakeHost::kBase, TALUS_LLS_BASE, 20000);
    EXPECT_EQ(run(0), TALUS_MEMORY_ERROR);
    start(1, TALUS_COPY_D2D, TALUS_LLS_BASE + 0x1004, TALUS_DRAM_BASE, 64);
    EXPECT_EQ(run(1), TALUS_MEMORY_ERROR);
    start(2, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE + 0xff0, 20); // the word in part
    EXPECT_EQ(run(2), TALUS_MEMORY_ERROR);
    start(2, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE + 0xff0, 64);
    EXPECT_EQ(run(2), TALUS_OK);
    start(0, TALUS_COPY_D2H, FakeHost::kBase, TALUS_LLS_BASE, 20000);
    EXPECT_EQ(run(0), TALUS_OK);
}

TEST_F(DmaTest, ALargeCopyRunsAtTheLinksRate) {
    const std::uint64_t bytes = 1 << 19;
    link.set_sizes({512, 512, true});
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE, bytes);
    EXPECT_EQ(run(0), TALUS_OK);
    const double seconds = static_cast<double>(events.now()) / (config.device.clock_khz * 1e3);
    const double rate = static_cast<double>(bytes) / seconds;
    // Completions of 256 bytes with 20 of framing and header, in blocks of 130 bits for 128.
    const double most = 32e9 * 128 / 130 * 256 / 276;
    EXPECT_GT(rate, 0.9 * most);
    EXPECT_LT(rate, most);
}

TEST_F(DmaTest, ScatterLists) {
    auto* list = &host.at<talus_sgl_entry>(FakeHost::kBase + 0x80000);
    list[0] = {FakeHost::kBase + 0x1000, 10, 0};
    list[1] = {FakeHost::kBase + 0x9000, 0, 0};
    list[2] = {FakeHost::kBase + 0x5001, 5000, 0};
    list[3] = {FakeHost::kBase, 1, 0};
    start(0, TALUS_COPY_H2D | TALUS_COPY_SGL, FakeHost::kBase + 0x80000, TALUS_LLS_BASE, 5011, 0,
          4);
    EXPECT_EQ(run(0), TALUS_OK);
    std::vector<std::uint8_t> expected;
    for (const talus_sgl_entry& entry : {list[0], list[2], list[3]}) {
        const auto* from = &host.at<std::uint8_t>(entry.iova);
        expected.insert(expected.end(), from, from + entry.bytes);
    }
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), fabric.lls()));
    EXPECT_EQ(fabric.lls()[5011], 0);
    start(0, TALUS_COPY_H2D | TALUS_COPY_SGL, FakeHost::kBase + 0x80000, TALUS_LLS_BASE, 5012, 0,
          4);
    EXPECT_EQ(run(0), TALUS_BAD_SIZE);
}

TEST_F(DmaTest, BadJobsMoveNothing) {
    fabric.lls()[0] = 0x55;
    start(0, TALUS_COPY_H2D, 0x10, TALUS_LLS_BASE, 64);
    EXPECT_EQ(run(0), TALUS_HOST_ACCESS);
    start(0, TALUS_COPY_H2D, FakeHost::kBase + (1 << 20) - 32, TALUS_LLS_BASE, 64);
    EXPECT_EQ(run(0), TALUS_HOST_ACCESS);
    start(0, TALUS_COPY_H2D, FakeHost::kBase, 0x9000000, 64);
    EXPECT_EQ(run(0), TALUS_DEVICE_ACCESS);
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_SYSTEM_BASE, 64);
    EXPECT_EQ(run(0), TALUS_DEVICE_ACCESS);
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_DRAM_BASE + config.dram.bytes - 32, 64);
    EXPECT_EQ(run(0), TALUS_DEVICE_ACCESS);
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE, 0);
    EXPECT_EQ(run(0), TALUS_BAD_SIZE);
    start(0, 3, FakeHost::kBase, TALUS_LLS_BASE, 64);
    EXPECT_EQ(run(0), TALUS_BAD_FIELD);
    EXPECT_EQ(fabric.lls()[0], 0x55);
}

TEST_F(DmaTest, WindowsBindEveryDomainButTheOwners) {
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE, 64, 2);
    EXPECT_EQ(run(0), TALUS_DEVICE_ACCESS);
    fabric.isolation().device_windows().set(2, 0, TALUS_LLS_BASE, 4096,
                                            TALUS_WINDOW_READ | TALUS_WINDOW_WRITE);
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE, 64, 2);
    EXPECT_EQ(run(0), TALUS_WINDOW_MISS);
    fabric.isolation().host_windows().set(2, 0, FakeHost::kBase, 4096, TALUS_WINDOW_READ);
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE, 64, 2);
    EXPECT_EQ(run(0), TALUS_OK);
    start(0, TALUS_COPY_D2H, FakeHost::kBase, TALUS_LLS_BASE, 64, 2);
    EXPECT_EQ(run(0), TALUS_WINDOW_MISS);
    // The list is checked as well as what it names.
    auto* list = &host.at<talus_sgl_entry>(FakeHost::kBase + 4096);
    list[0] = {FakeHost::kBase, 64, 0};
    start(0, TALUS_COPY_H2D | TALUS_COPY_SGL, FakeHost::kBase + 4096, TALUS_LLS_BASE, 64, 2, 1);
    EXPECT_EQ(run(0), TALUS_WINDOW_MISS);
    host.at<talus_sgl_entry>(FakeHost::kBase + 64) = {FakeHost::kBase + 4096, 64, 0};
    start(0, TALUS_COPY_H2D | TALUS_COPY_SGL, FakeHost::kBase + 64, TALUS_LLS_BASE, 64, 2, 1);
    EXPECT_EQ(run(0), TALUS_WINDOW_MISS);
    // The device's side as well, at both ends of a copy.
    start(0, TALUS_COPY_D2D, TALUS_LLS_BASE, TALUS_LLS_BASE + 4096 - 32, 64, 2);
    EXPECT_EQ(run(0), TALUS_DEVICE_ACCESS);
    start(0, TALUS_COPY_D2D, TALUS_DRAM_BASE, TALUS_LLS_BASE, 64, 2);
    EXPECT_EQ(run(0), TALUS_DEVICE_ACCESS);
    fabric.isolation().device_windows().set(2, 1, TALUS_DRAM_BASE, 4096, TALUS_WINDOW_READ);
    start(0, TALUS_COPY_D2D, TALUS_DRAM_BASE, TALUS_LLS_BASE, 64, 2);
    EXPECT_EQ(run(0), TALUS_OK);
    start(0, TALUS_COPY_D2D, TALUS_LLS_BASE, TALUS_DRAM_BASE, 64, 2);
    EXPECT_EQ(run(0), TALUS_DEVICE_ACCESS);
}

TEST_F(DmaTest, FunctionResetEndsHostCopiesOnly) {
    start(0, TALUS_COPY_H2D, FakeHost::kBase, TALUS_LLS_BASE, 1 << 19);
    start(1, TALUS_COPY_D2D, TALUS_LLS_BASE, TALUS_DRAM_BASE, 1 << 19);
    for (int i = 0; i < 40; ++i) {
        events.run_next();
    }
    dma.abort_host_copies(events.now());
    EXPECT_EQ(status(0), (TALUS_RESET << 16) | TALUS_DMA_DONE);
    const unsigned reads = host.reads;
    EXPECT_EQ(run(1), TALUS_OK);
    EXPECT_EQ(host.reads, reads); // nothing touches the host any more
}

} // namespace
} // namespace talus::sim
