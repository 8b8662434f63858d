// Driver, simulator and firmware together: what works.
#include "sim_session.hpp"

#include "talus/hw/interrupts.h"
#include "talus/hw/status.h"

#include <nlohmann/json.hpp>

#include <atomic>
#include <cstring>
#include <random>
#include <thread>

namespace talus::driver_sim {
namespace {

struct Road {
    const char* name;
    talus_drv_shadow shadow;
    talus_drv_completion_mode completion;
    std::uint32_t flags;
};

class Roads : public ::testing::TestWithParam<Road> {
  protected:
    talus_drv_open_options options() const {
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = "sim";
        options.shadow = static_cast<std::uint32_t>(GetParam().shadow);
        options.completion_mode = static_cast<std::uint32_t>(GetParam().completion);
        options.flags = GetParam().flags;
        return options;
    }
};

TEST_P(Roads, BootsAndSaysThatItIsSimulated) {
    Session session(options());
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    EXPECT_EQ(info.simulated, 1u);
    EXPECT_STREQ(info.boot_state_name, "READY");
    EXPECT_EQ(info.grid_rows * info.grid_cols, 64u);
    EXPECT_EQ(info.clock_hz, 1350000000u);
    EXPECT_EQ(info.shadow_doorbells, GetParam().shadow == TALUS_DRV_SHADOW_AUTO ? 1u : 0u);
}

TEST_P(Roads, CopiesOfEverySizeComeBack) {
    Session session(options());
    constexpr std::uint64_t kRoom = 3 << 20;
    const talus_drv_host_buffer host = session.host(2 * kRoom);
    auto* source = static_cast<unsigned char*>(host.pointer);
    unsigned char* result = source + kRoom;
    std::mt19937 random(1);
    for (std::uint64_t i = 0; i < kRoom; ++i)
        source[i] = static_cast<unsigned char>(random());
    for (const talus_drv_memory kind : {TALUS_DRV_DRAM, TALUS_DRV_LLS}) {
        const std::uint64_t device = session.memory(kind, 2 * kRoom);
        for (const std::uint64_t bytes : {1ull, 3ull, 63ull, 64ull, 65ull, 4096ull, 100001ull,
                                          static_cast<unsigned long long>(kRoom) - 64}) {
            const std::uint64_t skew = bytes % 7;
            std::memset(result, 0xee, kRoom);
            const auto done = session.run(
                {copy(TALUS_DRV_COPY_H2D, host.iova + skew, device + 2 * skew, bytes),
                 copy(TALUS_DRV_COPY_D2D, device + 2 * skew, device + kRoom, bytes),
                 copy(TALUS_DRV_COPY_D2H, device + kRoom, host.iova + kRoom + skew, bytes)});
            ASSERT_EQ(done.size(), 3u);
            for (const auto& completion : done) {
                EXPECT_EQ(completion.device_status, TALUS_OK)
                    << talus_drv_device_status_name(completion.device_status);
                EXPECT_EQ(completion.result, bytes);
                EXPECT_GT(completion.device_cycles, 0u);
            }
            EXPECT_EQ(std::memcmp(result + skew, source + skew, bytes), 0) << bytes;
            // And not a byte beside them.
            if (skew != 0) {
                EXPECT_EQ(result[skew - 1], 0xee);
            }
            EXPECT_EQ(result[skew + bytes], 0xee) << bytes;
        }
    }
}

TEST_P(Roads, ScatterListsGatherAndScatter) {
    Session session(options());
    const talus_drv_host_buffer host = session.host(1 << 20);
    auto* bytes = static_cast<unsigned char*>(host.pointer);
    const std::uint64_t device = session.memory(TALUS_DRV_DRAM, 1 << 20);
    std::vector<talus_drv_sgl_entry> list;
    std::string expected;
    std::mt19937 random(2);
    std::uint64_t at = 65536;
    for (int i = 0; i < 100; ++i) {
        const auto length = static_cast<std::uint32_t>(1 + random() % 300);
        for (std::uint32_t k = 0; k < length; ++k) {
            bytes[at + k] = static_cast<unsigned char>(random());
            expected += static_cast<char>(bytes[at + k]);
        }
        list.push_back({host.iova + at, length, 0});
        at += length + random() % 500;
    }
    std::memcpy(bytes, list.data(), list.size() * sizeof list[0]);
    talus_drv_command gather = copy(TALUS_DRV_COPY_H2D, host.iova, device, expected.size());
    gather.copy.sgl_count = static_cast<std::uint32_t>(list.size());
    const auto done = session.run(
        {gather, copy(TALUS_DRV_COPY_D2H, device, host.iova + 600000, expected.size())});
    for (const auto& completion : done)
        EXPECT_EQ(completion.device_status, TALUS_OK)
            << talus_drv_device_status_name(completion.device_status);
    EXPECT_EQ(std::memcmp(bytes + 600000, expected.data(), expected.size()), 0);
}

TEST_P(Roads, LaunchesOnTheGridAndItsParts) {
    Session session(options());
    const std::uint64_t entry = session.load(kernel_that_returns());
    talus_drv_command corner = launch(entry, 1, 1);
    corner.launch.row = 7;
    corner.launch.col = 7;
    for (const auto& completion :
         session.run({launch(entry), launch(entry, 2, 3), corner, launch(entry, 8, 8)})) {
        EXPECT_EQ(completion.device_status, TALUS_OK)
            << talus_drv_device_status_name(completion.device_status);
        EXPECT_GT(completion.exec_cycles, 0u);
        EXPECT_GT(completion.launch_cycles, 0u);
        EXPECT_LE(completion.launch_cycles, completion.exec_cycles);
    }
}

TEST_P(Roads, QueueWrapsManyTimes) {
    Session session(options());
    talus_drv_queue_options small = TALUS_DRV_INIT(talus_drv_queue_options);
    small.entries = 8;
    talus_drv_queue* queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, &small, &queue));
    std::uint64_t tag = 0;
    for (int round = 0; round < 60; ++round) {
        std::vector<talus_drv_command> batch;
        for (int i = 0; i < 1 + round % 7; ++i)
            batch.push_back(nop(tag + batch.size()));
        ASSERT_DRV_OK(talus_drv_submit(queue, batch.data(), batch.size(), nullptr));
        std::vector<talus_drv_completion> done(batch.size());
        std::size_t count = 0;
        ASSERT_DRV_OK(talus_drv_wait(queue, done.data(), done.size(), done.size(), &count, 0));
        ASSERT_EQ(count, batch.size());
        for (const auto& completion : done)
            EXPECT_EQ(completion.user_data, tag++);
    }
    talus_drv_queue_destroy(queue);
}

INSTANTIATE_TEST_SUITE_P(
    DriverSim, Roads,
    ::testing::Values(Road{"ShadowInterrupt", TALUS_DRV_SHADOW_AUTO, TALUS_DRV_COMPLETION_INTERRUPT,
                           0},
                      Road{"ShadowPoll", TALUS_DRV_SHADOW_AUTO, TALUS_DRV_COMPLETION_POLL, 0},
                      Road{"BarInterrupt", TALUS_DRV_SHADOW_OFF, TALUS_DRV_COMPLETION_INTERRUPT, 0},
                      Road{"BarPoll", TALUS_DRV_SHADOW_OFF, TALUS_DRV_COMPLETION_POLL, 0},
                      Road{"ByMessage", TALUS_DRV_SHADOW_AUTO, TALUS_DRV_COMPLETION_INTERRUPT,
                           TALUS_DRV_OPEN_DMA_BY_MESSAGE},
                      Road{"ByMessageBar", TALUS_DRV_SHADOW_OFF, TALUS_DRV_COMPLETION_INTERRUPT,
                           TALUS_DRV_OPEN_DMA_BY_MESSAGE}),
    [](const auto& info) { return info.param.name; });

TEST(DriverSim, DeviceWithoutShadowDoorbellsWorks) {
    const char* const arguments[] = {"--cap", "shadow=off", nullptr};
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    options.simulator_args = arguments;
    Session session(options);
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    EXPECT_EQ(info.shadow_doorbells, 0u);
    EXPECT_EQ(session.run({nop(1), nop(2)}).size(), 2u);
}

// ---- Queues ----

TEST(DriverSim, QueuesRunSideBySideAndAreReused) {
    Session session;
    for (int round = 0; round < 3; ++round) {
        std::vector<talus_drv_queue*> queues;
        for (int i = 0; i < 6; ++i) {
            talus_drv_queue* queue = nullptr;
            ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &queue));
            queues.push_back(queue);
        }
        std::vector<std::thread> threads;
        std::atomic<int> wrong{0};
        for (talus_drv_queue* queue : queues)
            threads.emplace_back([&, queue] {
                for (std::uint64_t i = 0; i < 20; ++i) {
                    const talus_drv_command command = nop(i);
                    talus_drv_completion done{};
                    std::size_t count = 0;
                    wrong += talus_drv_submit(queue, &command, 1, nullptr) != TALUS_DRV_OK ||
                             talus_drv_wait(queue, &done, 1, 1, &count, 0) != TALUS_DRV_OK ||
                             done.user_data != i || done.device_status != TALUS_OK;
                }
            });
        for (auto& thread : threads)
            thread.join();
        EXPECT_EQ(wrong, 0) << talus_drv_last_error();
        for (talus_drv_queue* queue : queues)
            talus_drv_queue_destroy(queue);
    }
}

TEST(DriverSim, FullBatchOfALargeQueue) {
    Session session;
    talus_drv_queue_options large = TALUS_DRV_INIT(talus_drv_queue_options);
    large.entries = 1024;
    talus_drv_queue* queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, &large, &queue));
    const std::vector<talus_drv_command> batch(1023, nop());
    ASSERT_DRV_OK(talus_drv_submit(queue, batch.data(), batch.size(), nullptr));
    const talus_drv_command more = nop();
    EXPECT_EQ(talus_drv_submit(queue, &more, 1, nullptr), TALUS_DRV_QUEUE_FULL);
    std::vector<talus_drv_completion> done(batch.size());
    std::size_t count = 0;
    ASSERT_DRV_OK(talus_drv_wait(queue, done.data(), done.size(), done.size(), &count, 0));
    EXPECT_EQ(count, batch.size());
}

// ---- Determinism ----

// The same writes in the same order give the same device time, whatever the host does in between.
std::vector<std::uint64_t> timings(bool disturbed) {
    Session session;
    std::atomic<bool> stop{false};
    std::vector<std::thread> load;
    if (disturbed)
        for (int i = 0; i < 3; ++i)
            load.emplace_back([&] {
                while (!stop) {
                }
            });
    std::mt19937 random(disturbed ? 3u : 4u);
    const auto dawdle = [&] {
        if (disturbed)
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    };
    const talus_drv_host_buffer host = session.host(1 << 20);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 1 << 20);
    const std::uint64_t entry = session.load(kernel_that_returns());
    std::vector<std::uint64_t> result;
    for (std::uint64_t i = 0; i < 20; ++i) {
        dawdle();
        for (const auto& completion :
             session.run({copy(TALUS_DRV_COPY_H2D, host.iova, dram + 64 * i, 1000 * (i + 1)),
                          launch(entry), copy(TALUS_DRV_COPY_D2H, dram, host.iova + 4096, 777)})) {
            result.push_back(completion.device_cycles);
            result.push_back(completion.exec_cycles);
            result.push_back(completion.launch_cycles);
        }
        dawdle();
    }
    stop = true;
    for (auto& thread : load)
        thread.join();
    return result;
}

TEST(DriverSim, DeviceTimeDoesNotDependOnTheHost) {
    const auto quiet = timings(false);
    EXPECT_EQ(timings(true), quiet);
    EXPECT_EQ(timings(true), quiet);
}

// ---- Discovery and talus-smi ----

TEST(DriverSim, PublishedDeviceIsFoundAndOpened) {
    const SimProcess sim(true);
    std::size_t count = 0;
    talus_drv_found found{};
    ASSERT_DRV_OK(talus_drv_discover(sim.sysfs().c_str(), &found, 1, &count));
    ASSERT_EQ(count, 1u);
    EXPECT_EQ(found.simulated, 1);
    EXPECT_EQ(found.vendor_id, 0x1af4);
    EXPECT_EQ(found.device_id, 0x10f1);
    EXPECT_EQ(found.bar_count, 3);
    EXPECT_EQ(std::string(found.socket), sim.socket());

    const auto list =
        run_program(std::string(TALUS_TEST_SMI) + " list --json --sysfs " + sim.sysfs());
    EXPECT_EQ(list.second, 0);
    const auto devices = nlohmann::json::parse(list.first).at("devices");
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_EQ(devices[0].at("name"), found.name);
    EXPECT_EQ(devices[0].at("simulated"), true);

    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = found.name;
    options.sysfs = sim.sysfs().c_str();
    Session session(options);
    EXPECT_EQ(session.run({nop(9)}).at(0).user_data, 9u);
}

TEST(DriverSim, OneClientAfterAnother) {
    const SimProcess sim;
    for (int i = 0; i < 3; ++i) {
        Session session(sim.options());
        const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 64);
        const std::uint64_t value = 0x1234567890abcdef;
        std::uint64_t back = 0;
        EXPECT_DRV_OK(talus_drv_copy_in(session.queue, dram, &value, sizeof value));
        EXPECT_DRV_OK(talus_drv_copy_out(session.queue, &back, dram, sizeof back));
        EXPECT_EQ(back, value);
    }
}

TEST(DriverSim, SmiReportsASimulatedDevice) {
    const auto info = run_program(std::string(TALUS_TEST_SMI) + " info --device sim --json");
    ASSERT_EQ(info.second, 0) << info.first;
    const auto report = nlohmann::json::parse(info.first);
    EXPECT_EQ(report.at("simulated"), true);
    EXPECT_EQ(report.at("boot_state"), "READY");
    EXPECT_EQ(report.at("firmware_version"), report.at("driver_version"));
    EXPECT_GT(report.at("heartbeat").get<int>(), 0);
    EXPECT_GT(report.at("temperature_c").get<double>(), 0.0);
    const auto log = run_program(std::string(TALUS_TEST_SMI) + " log --device sim");
    EXPECT_EQ(log.second, 0);
    EXPECT_NE(log.first.find("talus firmware"), std::string::npos) << log.first;
    EXPECT_EQ(run_program(std::string(TALUS_TEST_SMI) + " info --device ffff:ff:1f.7 2>&1").second,
              3);
    EXPECT_EQ(run_program(std::string(TALUS_TEST_SMI) + " nonsense 2>&1").second, 2);
}

TEST(DriverSim, InspectionLeavesAnIdleDeviceInItsRom) {
    const SimProcess sim;
    talus_drv_open_options options = sim.options();
    options.flags = TALUS_DRV_OPEN_NO_BOOT;
    talus_drv_device* device = nullptr;
    ASSERT_DRV_OK(talus_drv_open(&options, &device));
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    EXPECT_DRV_OK(talus_drv_get_info(device, &info));
    EXPECT_STREQ(info.boot_state_name, "ROM_READY");
    talus_drv_close(device);
}

} // namespace
} // namespace talus::driver_sim
