// A simulator that dies, stops, or gets a damaged image, and that the next try works.
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
        std::chrono::steady_clock::time_point killed;
        std::thread killer([&] {
            std::this_thread::sleep_for(std::chrono::milliseconds(200));
            killed = std::chrono::steady_clock::now();
            sim->signal(SIGKILL);
        });
        std::vector<talus_drv_completion> done;
        EXPECT_EQ(session.wait(1, done), TALUS_DRV_DEVICE_LOST);
        const auto heard = std::chrono::steady_clock::now();
        killer.join();
        report_fault("dead simulator", "SIGKILL during a job", "device lost", "none: open another",
                     std::chrono::duration<double>(heard - killed).count());
        const std::string text = talus_drv_last_error();
        EXPECT_NE(text.find(sim->socket()), std::string::npos) << text;
        EXPECT_NE(text.find("BOOT_STATE READY"), std::string::npos) << text;
        EXPECT_NE(text.find("last log line"), std::string::npos) << text;
        EXPECT_EQ(session.submit({nop()}), TALUS_DRV_DEVICE_LOST);
    }
    Session next;
    EXPECT_STATUS(next.run({nop()})[0], TALUS_OK);
}

// Firmware that has lost its text survives no function-level reset; the boot ROM does.
TEST(DriverSimFailure, DeadFirmwareIsBootedAnew) {
    std::vector<std::string> arguments{"--log", "@/log", "--set", "memory.control_sram_ecc=false"};
    // Most of the control firmware's text, from 20 ms of device time on: after the boot.
    for (unsigned address = 0x100000; address < 0x103800; address += 8) {
        char text[64];
        std::snprintf(text, sizeof text, "flip:memory=control:addr=%#x:bit=0:at=27000000", address);
        arguments.insert(arguments.end(), {"--inject", text});
    }
    const SimProcess sim(false, arguments);
    Session session(sim.options());
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    std::vector<talus_drv_completion> done;
    talus_drv_status status = TALUS_DRV_OK;
    for (int round = 0; round < 100 && status == TALUS_DRV_OK; ++round) {
        ASSERT_DRV_OK(session.submit({nop()}));
        status = session.wait(1, done, 5000);
    }
    // Its timer may be gone as well: then the clock of a parked device stands still.
    EXPECT_TRUE(status == TALUS_DRV_TIMEOUT || status == TALUS_DRV_DEVICE_LOST)
        << talus_drv_last_error();
    ASSERT_DRV_OK(talus_drv_recover(session.queue, &recovery));
    EXPECT_EQ(recovery.rung, static_cast<std::uint32_t>(TALUS_DRV_RUNG_FUNDAMENTAL));
    EXPECT_NE(std::string(recovery.reason).find("after the function-level reset: device"),
              std::string::npos)
        << recovery.reason;
    report_fault("dead firmware", "flips all over its text, without ECC",
                 status == TALUS_DRV_TIMEOUT ? "time-out of the op"
                                             : "device lost: no device time for 5 s",
                 recovery);
    talus_drv_queue_destroy(session.queue);
    session.queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
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
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        EXPECT_LT(took.count(), 60);
        report_fault("stopped simulator", "SIGSTOP",
                     submitted == TALUS_DRV_DEVICE_LOST ? "device lost: no answer within 10 s"
                                                        : "device lost: no device time for 5 s",
                     "none: reopen it when it goes on", took.count());
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
