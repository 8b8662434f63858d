// The whole chip with a test ROM and a fake host: the mailbox road, time, parking, resets.
//
// The ROM (test_rom.S) beats every 10,000 clocks and answers mailbox commands with result0 = arg0 +
// 1 and, after arg1 rounds of work, result1 = its cycle counter.
#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "talus/hw/mailbox.h"

#include "fakes.hpp"
#include "soc/device.hpp"
#include "soc/elf_image.hpp"

namespace talus::sim {
namespace {

using std::chrono::milliseconds;
using test::FakeHost;

constexpr Cycle kBeat = 10000;

class DeviceTest : public testing::Test {
  protected:
    Diagnostics diagnostics;
    FakeHost host;
    std::unique_ptr<Device> device;
    std::uint32_t sequence = 0;

    void SetUp() override {
        diagnostics.set_quiet(true);
        restart();
    }
    void TearDown() override { device->stop(); }

    void restart() {
        DeviceOptions options;
        options.config = Config::load_default();
        options.rom = load_elf_image(TALUS_TEST_ROM, TALUS_ROM_BASE, TALUS_ROM_SIZE);
        options.serial = 7;
        device = std::make_unique<Device>(std::move(options), diagnostics);
        device->connect(host);
        device->start();
        wait_for([&] { return boot_state() == TALUS_BOOT_ROM_READY && page().parked != 0; });
    }
    std::uint32_t read(std::uint32_t offset) {
        return static_cast<std::uint32_t>(device->bar_read(0, offset, 4));
    }
    void write(std::uint32_t offset, std::uint32_t value) {
        device->bar_write(0, offset, 4, value);
    }
    talus_status_page page() {
        // As a host that mapped the page: no access that the device could notice.
        talus_status_page copy;
        const MappableBar bar = device->mappable(TALUS_BAR_REGISTERS);
        EXPECT_EQ(pread(bar.fd, &copy, sizeof copy, TALUS_BAR0_STATUS_PAGE),
                  static_cast<ssize_t>(sizeof copy));
        return copy;
    }
    std::uint32_t boot_state() { return page().boot_state; }
    template <typename Condition>
    static void wait_for(Condition&& condition, milliseconds limit = milliseconds(20000)) {
        const auto until = std::chrono::steady_clock::now() + limit;
        while (!condition()) {
            ASSERT_LT(std::chrono::steady_clock::now(), until) << "timed out";
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    }
    /// Sends a mailbox command and waits without touching a register. Returns result1.
    std::uint32_t command(std::uint32_t arg0, std::uint32_t rounds) {
        ++sequence;
        write(FROZEN_MB_ARG0, arg0);
        write(FROZEN_MB_ARG1, rounds);
        write(FROZEN_MB_COMMAND, TALUS_MB_NOP | sequence << 16);
        // MB_STATUS is not on the status page; poll it, which is what drivers do as well.
        wait_for([&] { return read(FROZEN_MB_STATUS) == sequence << 16; });
        EXPECT_EQ(read(FROZEN_MB_RESULT0), arg0 + 1);
        return read(FROZEN_MB_RESULT1);
    }
};

TEST_F(DeviceTest, BootsAndAnswersTheMailbox) {
    EXPECT_EQ(read(FROZEN_MAGIC), TALUS_MAGIC);
    EXPECT_EQ(read(FROZEN_CAP), TALUS_CAP_SIMULATED | TALUS_CAP_SHADOW | TALUS_CAP_GZIP);
    EXPECT_EQ(device->bar_read(0, FROZEN_MAGIC, 8) >> 32, TALUS_ABI_VERSION);
    EXPECT_EQ(device->bar_read(0, FROZEN_MAGIC + 1, 1), (TALUS_MAGIC >> 8) & 0xff);
    EXPECT_EQ(device->bar_read(2, 0, 4), 0u);
    command(41, 0);
    command(42, 100);
}

TEST_F(DeviceTest, AParkedDeviceStandsStillUntilItIsPolled) {
    wait_for([&] { return page().parked != 0; });
    const talus_status_page before = page();
    std::this_thread::sleep_for(milliseconds(60));
    EXPECT_EQ(page().device_clock, before.device_clock);
    EXPECT_EQ(page().heartbeat, before.heartbeat);
    read(FROZEN_MAGIC);
    wait_for([&] { return page().heartbeat == before.heartbeat + 1; });
    wait_for([&] { return page().parked != 0; });
    const talus_status_page after = page();
    EXPECT_EQ(after.heartbeat_clock / kBeat, before.device_clock / kBeat + 1);
    EXPECT_LT(after.device_clock, after.heartbeat_clock + 500);
}

TEST_F(DeviceTest, AnAnswersTimeDependsNeitherOnPollingNorOnLoad) {
    // Reference: straight away, with the fewest polls.
    const std::vector<std::uint32_t> rounds = {0, 1, 500, 3000, 40000, 7, 40000, 0, 12345, 500};
    std::vector<std::uint32_t> reference;
    for (const std::uint32_t count : rounds) {
        reference.push_back(command(1, count) % kBeat);
    }
    EXPECT_EQ(reference[4], reference[6]); // the same work costs the same
    EXPECT_EQ(reference[2], reference[9]);
    EXPECT_NE(reference[0], reference[2]);

    // A fresh device on a busy machine whose host polls and dawdles at random.
    std::atomic<bool> over{false};
    std::vector<std::thread> load;
    for (int i = 0; i < 4; ++i) {
        load.emplace_back([&] {
            volatile std::uint64_t sink = 0;
            while (!over) {
                sink = sink + 1;
            }
        });
    }
    device->stop();
    restart();
    std::mt19937 random(11);
    for (std::size_t i = 0; i < rounds.size(); ++i) {
        for (unsigned polls = random() % 20; polls > 0; --polls) {
            read(FROZEN_BOOT_STATE);
            if (random() % 4 == 0) {
                std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
            }
        }
        EXPECT_EQ(command(1, rounds[i]) % kBeat, reference[i]) << i;
    }
    over = true;
    for (std::thread& thread : load) {
        thread.join();
    }
}

TEST_F(DeviceTest, FunctionResetKeepsFirmwareAndCountsAnEpoch) {
    write(TALUS_BAR0_CONTROLLER + CTRL_AQ_ENTRIES, 64);
    EXPECT_EQ(read(TALUS_BAR0_CONTROLLER + CTRL_AQ_ENTRIES), 64u);
    const std::uint64_t clock = page().device_clock;
    device->function_reset();
    EXPECT_EQ(read(FROZEN_RESET_EPOCH), 2u);
    EXPECT_EQ(read(TALUS_BAR0_CONTROLLER + CTRL_AQ_ENTRIES), 0u);
    EXPECT_EQ(read(FROZEN_BOOT_STATE), TALUS_BOOT_ROM_READY);
    command(5, 0);
    EXPECT_GT(page().device_clock, clock);
}

TEST_F(DeviceTest, FundamentalResetEndsARunawayGuest) {
    const std::uint32_t first = command(1, 500) % kBeat;
    ++sequence;
    write(FROZEN_MB_ARG1, 0xffffffff);
    write(FROZEN_MB_COMMAND, TALUS_MB_NOP | sequence << 16);
    wait_for([&] { return page().device_clock > 20 * kBeat; });
    // It runs for seconds of wall time, and reads are answered all the same.
    EXPECT_EQ(read(FROZEN_BOOT_STATE), TALUS_BOOT_ROM_READY);
    write(FROZEN_RESET, 1); // not the magic
    EXPECT_EQ(read(FROZEN_RESET_EPOCH), 1u);
    write(FROZEN_RESET, TALUS_RESET_MAGIC);
    EXPECT_EQ(read(FROZEN_RESET_EPOCH), 2u);
    EXPECT_EQ(read(FROZEN_MB_COMMAND), 0u);
    wait_for([&] { return boot_state() == TALUS_BOOT_ROM_READY; });
    EXPECT_LT(page().device_clock, 20 * kBeat);
    EXPECT_EQ(command(1, 500) % kBeat, first);
}

TEST_F(DeviceTest, NarrowAndUnlistedWritesDoNothing) {
    const std::uint64_t errors = diagnostics.count(Owner::kHost);
    device->bar_write(0, FROZEN_MB_ARG0, 2, 77);
    EXPECT_EQ(read(FROZEN_MB_ARG0), 0u);
    EXPECT_EQ(diagnostics.count(Owner::kHost), errors + 1);
    write(0x800, 5);
    write(0x5000, 5);
    device->bar_write(2, 0x10, 4, 5);
    device->bar_write(2, TALUS_DOORBELL_STRIDE, 4, 1); // queue 1 is not enabled
    command(1, 0);
    EXPECT_EQ(diagnostics.count(Owner::kHost), errors + 2);
}

TEST_F(DeviceTest, StagingIsSharedWithTheHost) {
    const MappableBar bar = device->mappable(TALUS_BAR_STAGING);
    ASSERT_GE(bar.fd, 0);
    EXPECT_TRUE(bar.host_writable);
    ASSERT_EQ(bar.areas.size(), 1u);
    EXPECT_EQ(bar.areas[0].size, TALUS_BAR4_SIZE);
    EXPECT_EQ(device->mappable(TALUS_BAR_DOORBELLS).fd, -1);
}

} // namespace
} // namespace talus::sim
