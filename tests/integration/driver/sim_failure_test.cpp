// Driver, simulator and firmware together: what goes wrong, and that the next try works.
#include "sim_session.hpp"

#include "talus/hw/boot_image.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/status.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>

namespace talus::driver_sim {
namespace {

#define EXPECT_STATUS(completion, expected)                                                        \
    EXPECT_EQ(TALUS_STATUS_BASE((completion).device_status), expected)                             \
        << talus_drv_device_status_name((completion).device_status)

// ---- Commands that fail ----

TEST(DriverSimFailure, BadAddressesFaultTheCommandOnly) {
    Session session;
    const talus_drv_host_buffer host = session.host(4096);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    const std::uint64_t end = info.dram_base + info.dram_bytes;
    for (const std::uint64_t bad :
         {std::uint64_t{0}, end, end - 32, std::uint64_t{0x60000000}, ~std::uint64_t{0} - 8}) {
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, bad, 64)})[0],
                      TALUS_DEVICE_ACCESS);
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_D2H, bad, host.iova, 64)})[0],
                      TALUS_DEVICE_ACCESS);
    }
    // The driver's rings stand at the lowest IOVA, outside the command's windows.
    for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{1} << 32, host.iova - 64,
                                    host.iova + (std::uint64_t{64} << 20) - 32}) {
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, bad, dram, 64)})[0], TALUS_WINDOW_MISS);
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_D2H, dram, bad, 64)})[0], TALUS_WINDOW_MISS);
    }
    EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, dram, 64)})[0], TALUS_OK);
}

TEST(DriverSimFailure, RestOfTheBatchIsAbortedAndTheNextRuns) {
    Session session;
    const auto done = session.run({nop(1), copy(TALUS_DRV_COPY_D2D, 0, 0, 64), nop(3), nop(4)});
    ASSERT_EQ(done.size(), 4u);
    EXPECT_STATUS(done[0], TALUS_OK);
    EXPECT_STATUS(done[1], TALUS_DEVICE_ACCESS);
    EXPECT_STATUS(done[2], TALUS_ABORTED);
    EXPECT_STATUS(done[3], TALUS_ABORTED);
    EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
}

TEST(DriverSimFailure, IllegalInstructionLeavesAFaultRecord) {
    Session session;
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    EXPECT_EQ(talus_drv_get_fault(session.queue, &fault), TALUS_DRV_NOT_FOUND);
    const std::uint64_t entry = session.load(kernel_with_an_illegal_instruction());
    EXPECT_STATUS(session.run({launch(entry)})[0], TALUS_KERNEL_FAULT);
    ASSERT_DRV_OK(talus_drv_get_fault(session.queue, &fault));
    EXPECT_EQ(fault.cause, static_cast<std::uint32_t>(TALUS_CAUSE_ILLEGAL));
    EXPECT_EQ(fault.kernel_entry, entry);
    EXPECT_EQ(fault.pc, entry + 4);
    EXPECT_LE(fault.core, 1u);
    // The grid runs on.
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DriverSimFailure, KernelsReportTheirErrors) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_fails(0x1234));
    EXPECT_STATUS(session.run({launch(entry, 1, 1)})[0], TALUS_KERNEL_ERROR);
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    ASSERT_DRV_OK(talus_drv_get_fault(session.queue, &fault));
    EXPECT_EQ(fault.cause, 0x1234u);
    for (std::uint64_t i = 0; i < 4; ++i)
        EXPECT_EQ(fault.detail[i], i + 1);
}

TEST(DriverSimFailure, LaunchIntoNowhereIsAFault) {
    Session session;
    for (const std::uint64_t entry : {std::uint64_t{0x10}, std::uint64_t{0x70000000}}) {
        const auto done = session.run({launch(entry, 1, 1)});
        EXPECT_NE(done[0].device_status, TALUS_OK);
    }
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DriverSimFailure, DeviceKillsAJobThatOverstaysItsLimit) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_loops());
    EXPECT_STATUS(session.run({launch(entry, 1, 1, 200)})[0], TALUS_KERNEL_TIMEOUT);
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

// ---- Hung commands ----

TEST(DriverSimFailure, HungJobTimesOutAndDestroyingTheQueueEndsIt) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_loops());
    ASSERT_DRV_OK(session.submit({launch(entry, 1, 1)}));
    std::vector<talus_drv_completion> done;
    EXPECT_EQ(session.wait(1, done, 300), TALUS_DRV_TIMEOUT);
    const std::string text = talus_drv_last_error();
    EXPECT_NE(text.find("sim"), std::string::npos) << text;
    EXPECT_NE(text.find("READY"), std::string::npos) << text;
    talus_drv_queue_destroy(session.queue);
    session.queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DriverSimFailure, ResetRecoversAHungDevice) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_loops());
    ASSERT_DRV_OK(session.submit({launch(entry)}));
    std::vector<talus_drv_completion> done;
    EXPECT_EQ(session.wait(1, done, 20), TALUS_DRV_TIMEOUT);
    ASSERT_DRV_OK(talus_drv_reset(session.device));
    const talus_drv_command command = nop();
    EXPECT_EQ(talus_drv_submit(session.queue, &command, 1, nullptr), TALUS_DRV_DEVICE_LOST);
    talus_drv_queue_destroy(session.queue);
    session.queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    const talus_drv_host_buffer host = session.host(4096);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, dram, 64)})[0], TALUS_OK);
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DriverSimFailure, ResetScrubsDeviceMemory) {
    Session session;
    const talus_drv_host_buffer host = session.host(4096);
    auto* bytes = static_cast<unsigned char*>(host.pointer);
    std::memset(bytes, 0xa5, 4096);
    std::uint64_t places[] = {session.memory(TALUS_DRV_DRAM, 4096),
                              session.memory(TALUS_DRV_LLS, 4096)};
    for (const std::uint64_t place : places) {
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, place, 4096)})[0], TALUS_OK);
    }
    ASSERT_DRV_OK(talus_drv_reset(session.device));
    talus_drv_queue_destroy(session.queue);
    session.queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    for (const std::uint64_t place : places) {
        std::memset(bytes, 0x5a, 4096);
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_D2H, place, host.iova, 4096)})[0], TALUS_OK);
        EXPECT_EQ(std::count(bytes, bytes + 4096, 0), 4096);
    }
}

TEST(DriverSimFailure, ClosingWithWorkInFlightDoesNotHang) {
    const SimProcess sim;
    for (int round = 0; round < 3; ++round) {
        Session session(sim.options());
        const std::uint64_t entry = session.load(kernel_that_loops());
        ASSERT_DRV_OK(session.submit({launch(entry, 1, 1)}));
        session.queue = nullptr; // the device closes with the queue still there
    }
    Session session(sim.options());
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

// ---- A simulator that dies or stops ----

TEST(DriverSimFailure, DeathDuringAJobIsALostDevice) {
    auto sim = std::make_unique<SimProcess>();
    {
        Session session(sim->options());
        const std::uint64_t entry = session.load(kernel_that_loops());
        ASSERT_DRV_OK(session.submit({launch(entry, 1, 1)}));
        std::thread killer([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
            sim->signal(SIGKILL);
        });
        std::vector<talus_drv_completion> done;
        EXPECT_EQ(session.wait(1, done), TALUS_DRV_DEVICE_LOST);
        killer.join();
        const std::string text = talus_drv_last_error();
        EXPECT_NE(text.find(sim->socket()), std::string::npos) << text;
        EXPECT_NE(text.find("BOOT_STATE READY"), std::string::npos) << text;
        EXPECT_NE(text.find("last log line"), std::string::npos) << text;
        EXPECT_EQ(session.submit({nop()}), TALUS_DRV_DEVICE_LOST);
    }
    Session next;
    EXPECT_STATUS(next.run({nop()})[0], TALUS_OK);
}

TEST(DriverSimFailure, StoppedSimulatorIsALostDeviceAfterFiveSeconds) {
    SimProcess sim;
    {
        Session session(sim.options());
        sim.signal(SIGSTOP);
        const auto began = std::chrono::steady_clock::now();
        // Shadow doorbells need no answer; the wait notices that device time stands still.
        const talus_drv_status submitted = session.submit({nop()});
        std::vector<talus_drv_completion> done;
        const talus_drv_status waited = session.wait(1, done);
        EXPECT_TRUE(submitted == TALUS_DRV_DEVICE_LOST || waited == TALUS_DRV_DEVICE_LOST);
        EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(60));
        sim.signal(SIGCONT);
    }
    Session next(sim.options());
    EXPECT_STATUS(next.run({nop()})[0], TALUS_OK);
}

// ---- Firmware images ----

class DriverSimImage : public ::testing::Test {
  protected:
    void SetUp() override {
        std::ifstream file(TALUS_TEST_IMAGE, std::ios::binary);
        image_.assign(std::istreambuf_iterator<char>(file), {});
        ASSERT_GT(image_.size(), sizeof(talus_image_header));
        std::memcpy(&header_, image_.data(), sizeof header_);
        path_ = (std::filesystem::temp_directory_path() /
                 ("talus-image-" + std::to_string(getpid()) + ".img"))
                    .string();
    }
    void TearDown() override { std::filesystem::remove(path_); }

    talus_drv_status open(std::string* message) {
        std::ofstream(path_, std::ios::binary)
            .write(image_.data(), static_cast<std::streamsize>(image_.size()));
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = sim_.socket().c_str();
        options.firmware = path_.c_str();
        talus_drv_device* device = nullptr;
        const talus_drv_status status = talus_drv_open(&options, &device);
        *message = talus_drv_last_error();
        talus_drv_close(device);
        return status;
    }
    void expect_next_run_works() {
        Session session(sim_.options());
        EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
    }

    SimProcess sim_;
    std::string path_;
    std::vector<char> image_;
    talus_image_header header_{};
};

TEST_F(DriverSimImage, CorruptSegmentIsRefusedByTheRom) {
    std::string message;
    for (std::uint32_t i = 0; i < header_.segment_count; ++i) {
        const std::size_t at = header_.segments[i].offset + header_.segments[i].file_bytes / 2;
        image_[at] = static_cast<char>(image_[at] ^ 0x10);
        EXPECT_EQ(open(&message), TALUS_DRV_FIRMWARE);
        EXPECT_NE(message.find("SHA-256 mismatch"), std::string::npos) << message;
        image_[at] = static_cast<char>(image_[at] ^ 0x10);
    }
    expect_next_run_works();
}

TEST_F(DriverSimImage, CorruptHeaderIsRefusedByTheRom) {
    std::string message;
    const std::size_t at = offsetof(talus_image_header, segments) +
                           offsetof(talus_image_segment, entry); // guarded by the header's hash
    image_[at] = static_cast<char>(image_[at] ^ 0x10);
    EXPECT_EQ(open(&message), TALUS_DRV_FIRMWARE);
    expect_next_run_works();
}

TEST_F(DriverSimImage, TruncatedImageIsRefused) {
    std::string message;
    image_.resize(image_.size() / 2);
    EXPECT_EQ(open(&message), TALUS_DRV_FIRMWARE);
    EXPECT_NE(message.find("truncated"), std::string::npos) << message;
    expect_next_run_works();
}

TEST_F(DriverSimImage, ImageOfAnotherContractIsAVersionMismatch) {
    std::string message;
    const std::size_t at = offsetof(talus_image_header, contract_hash);
    image_[at] = static_cast<char>(image_[at] ^ 0x10);
    EXPECT_EQ(open(&message), TALUS_DRV_VERSION_MISMATCH);
    EXPECT_NE(message.find("bundle"), std::string::npos) << message;
    expect_next_run_works();
}

} // namespace
} // namespace talus::driver_sim
