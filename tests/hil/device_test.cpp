// What works, on whatever device TALUS_DEVICE names.
#include "session.hpp"

#include "talus/hw/interrupts.h"
#include "talus/hw/status.h"

#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>

namespace talus::device_test {
namespace {

struct Road {
    const char* name;
    talus_drv_shadow shadow;
    talus_drv_completion_mode completion;
    std::uint32_t flags;
};

class Roads : public ::testing::TestWithParam<Road> {
  protected:
    void SetUp() override {
        if (behind_talusd() && GetParam().shadow == TALUS_DRV_SHADOW_OFF)
            GTEST_SKIP() << "talusd alone rings BAR2; its clients have shadow doorbells";
        if ((GetParam().flags & TALUS_DRV_OPEN_DMA_BY_MESSAGE) == 0)
            return;
        const std::string device = device_under_test();
        if (device != "sim" && device.find('/') == std::string::npos)
            GTEST_SKIP() << "only a device behind a socket takes messages";
        if (behind_talusd())
            GTEST_SKIP() << "talusd's clients hand it the files of their memory";
    }
    talus_drv_open_options options() const {
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = device_under_test();
        options.shadow = static_cast<std::uint32_t>(GetParam().shadow);
        options.completion_mode = static_cast<std::uint32_t>(GetParam().completion);
        options.flags = GetParam().flags;
        return options;
    }
};

TEST_P(Roads, BootsAndSaysWhatItIs) {
    Session session(options());
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
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
    Device, Roads,
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

// ---- Queues ----

TEST(Device, QueuesRunSideBySideAndAreReused) {
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

TEST(Device, FullBatchOfALargeQueue) {
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

TEST(Device, DeviceTimeDoesNotDependOnTheHost) {
    if (behind_talusd())
        GTEST_SKIP() << "talusd's simulators have a free clock, which does depend on the host";
    // A device that lives on still holds what its last client left in caches and open DRAM rows.
    if (std::string(device_under_test()) != "sim")
        timings(false);
    const auto quiet = timings(false);
    EXPECT_EQ(timings(true), quiet);
    EXPECT_EQ(timings(true), quiet);
}

} // namespace
} // namespace talus::device_test
