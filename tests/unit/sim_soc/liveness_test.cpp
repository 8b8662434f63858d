// What must go on when a part of the device, or the link, is busy or stands still.
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "talus/driver.h"

namespace {

#define DRV(call)                                                                                  \
    do {                                                                                           \
        const talus_drv_status status_ = (call);                                                   \
        ASSERT_EQ(status_, TALUS_DRV_OK) << #call << ": " << talus_drv_last_error();               \
    } while (false)

class Liveness : public testing::Test {
  protected:
    talus_drv_device* device = nullptr;
    talus_drv_queue* queue = nullptr;
    std::string config;

    void open(const std::vector<const char*>& arguments = {}) {
        std::vector<const char*> words = arguments;
        words.push_back(nullptr);
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = "sim";
        options.simulator_args = words.data();
        DRV(talus_drv_open(&options, &device));
        DRV(talus_drv_queue_create(device, nullptr, &queue));
    }
    void TearDown() override {
        talus_drv_queue_destroy(queue);
        talus_drv_close(device);
        if (!config.empty()) {
            std::filesystem::remove(config);
        }
    }
    talus_drv_telemetry telemetry() {
        talus_drv_telemetry t = TALUS_DRV_INIT(talus_drv_telemetry);
        EXPECT_EQ(talus_drv_get_telemetry(device, &t), TALUS_DRV_OK);
        return t;
    }
    void run(const talus_drv_command& command, talus_drv_completion& completion) {
        std::size_t count = 0;
        DRV(talus_drv_submit(queue, &command, 1, nullptr));
        DRV(talus_drv_wait(queue, &completion, 1, 1, &count, 60'000'000));
        ASSERT_EQ(count, 1u);
    }
};

TEST_F(Liveness, TheHeartbeatGoesOnWhileEveryCoreSpins) {
    open();
    std::ifstream file(TALUS_TEST_SPIN_KERNEL, std::ios::binary);
    const std::vector<char> image((std::istreambuf_iterator<char>(file)), {});
    std::uint64_t code = 0;
    DRV(talus_drv_memory_alloc(device, TALUS_DRV_LLS, image.size(), 4096, &code));
    DRV(talus_drv_copy_in(queue, code, image.data(), image.size()));
    const talus_drv_telemetry before = telemetry();
    talus_drv_command launch{};
    launch.opcode = TALUS_DRV_LAUNCH;
    launch.launch.entry = code;
    launch.launch.timeout_us = 2500;
    talus_drv_completion completion{};
    run(launch, completion);
    EXPECT_NE(completion.device_status, 0);
    const talus_drv_telemetry after = telemetry();
    const double clocks = 2500e-6 * static_cast<double>(after.clock_hz);
    EXPECT_NEAR(static_cast<double>(completion.device_cycles), clocks, 0.02 * clocks);
    EXPECT_GE(after.heartbeat - before.heartbeat, 2u); // a beat each millisecond of device time
    // And the PEs that were killed run the next job.
    run(launch, completion);
    EXPECT_NEAR(static_cast<double>(completion.device_cycles), clocks, 0.02 * clocks);
}

TEST_F(Liveness, TheHeartbeatGoesOnWhileTheLinkCrawls) {
    // A link of 1 MB/s: the copy takes 50 ms of device time.
    std::ifstream file(TALUS_TEST_CONFIG);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    const std::string rate = "gigabytes_per_second = 32.0";
    ASSERT_NE(text.find(rate), std::string::npos);
    text.replace(text.find(rate), rate.size(), "gigabytes_per_second = 0.001");
    config = testing::TempDir() + "talus_slow_" + std::to_string(getpid()) + ".toml";
    std::ofstream(config) << text;
    open({"--config", config.c_str()});
    talus_drv_host_buffer host{};
    std::uint64_t dram = 0;
    DRV(talus_drv_host_alloc(device, 50000, 0, &host));
    DRV(talus_drv_memory_alloc(device, TALUS_DRV_DRAM, 50000, 0, &dram));
    const talus_drv_telemetry before = telemetry();
    talus_drv_command copy{};
    copy.opcode = TALUS_DRV_COPY_H2D;
    copy.copy = {host.iova, dram, 50000, 0, 0, 0};
    talus_drv_completion completion{};
    run(copy, completion);
    EXPECT_EQ(completion.device_status, 0);
    EXPECT_GE(static_cast<double>(completion.exec_cycles), 0.050 * before.clock_hz);
    EXPECT_GE(telemetry().heartbeat - before.heartbeat, 50u);
}

} // namespace
