// Real firmware, the real driver, a child process talus-sim: the same commands must take the same
// number of device clocks and give the same bytes whatever the host does meanwhile.
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "talus/driver.h"

namespace {

struct Observed {
    std::uint64_t device_cycles;
    std::uint32_t exec_cycles;
    std::uint32_t launch_cycles;
    std::uint64_t result;
    std::uint16_t status;
    bool operator==(const Observed&) const = default;
};

void PrintTo(const Observed& o, std::ostream* out) {
    *out << "{device " << o.device_cycles << ", exec " << o.exec_cycles << ", launch "
         << o.launch_cycles << ", result " << o.result << ", status " << o.status << "}";
}

#define DRV(call)                                                                                  \
    do {                                                                                           \
        const talus_drv_status status_ = (call);                                                   \
        ASSERT_EQ(status_, TALUS_DRV_OK) << #call << ": " << talus_drv_last_error();               \
    } while (false)

std::vector<char> kernel_image() {
    std::ifstream file(TALUS_TEST_KERNEL, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

struct Behaviour {
    bool shadow = true;
    bool poll = false;
    bool dawdle = false; ///< sleep and look at the device at random between and during commands
    std::uint32_t seed = 0;
};

constexpr std::uint32_t kPes = 64;
constexpr std::uint32_t kShare = 5000;
constexpr std::uint64_t kBytes = std::uint64_t{kPes} * kShare;

/// One session: boot, upload, ten batches of copy in, two launches, copy out.
void run_session(const Behaviour& how, std::vector<Observed>& observed,
                 std::vector<std::uint8_t>& output) {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    options.shadow = how.shadow ? TALUS_DRV_SHADOW_AUTO : TALUS_DRV_SHADOW_OFF;
    options.completion_mode = how.poll ? TALUS_DRV_COMPLETION_POLL : TALUS_DRV_COMPLETION_INTERRUPT;
    talus_drv_device* raw = nullptr;
    DRV(talus_drv_open(&options, &raw));
    const std::unique_ptr<talus_drv_device, void (*)(talus_drv_device*)> device(raw,
                                                                                talus_drv_close);
    talus_drv_queue* queue = nullptr;
    DRV(talus_drv_queue_create(raw, nullptr, &queue));

    const std::vector<char> image = kernel_image();
    ASSERT_FALSE(image.empty());
    std::uint64_t code = 0;
    std::uint64_t source = 0;
    std::uint64_t destination = 0;
    std::uint64_t args = 0;
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, image.size(), 4096, &code));
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_DRAM, kBytes, 0, &source));
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_DRAM, kBytes, 0, &destination));
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, 4096, 4096, &args));
    DRV(talus_drv_copy_in(queue, code, image.data(), image.size()));
    talus_drv_host_buffer host{};
    talus_drv_host_buffer words{};
    DRV(talus_drv_host_alloc(raw, kBytes, 4096, &host));
    DRV(talus_drv_host_alloc(raw, 4096, 4096, &words));

    std::mt19937 random(how.seed);
    std::mt19937 contents(3);
    const auto meddle = [&] {
        if (!how.dawdle) {
            return;
        }
        for (unsigned looks = random() % 6; looks > 0; --looks) {
            talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
            talus_drv_telemetry telemetry = TALUS_DRV_INIT(talus_drv_telemetry);
            EXPECT_EQ(talus_drv_get_info(raw, &info), TALUS_DRV_OK);
            EXPECT_EQ(talus_drv_get_telemetry(raw, &telemetry), TALUS_DRV_OK);
            std::this_thread::sleep_for(std::chrono::microseconds(random() % 2000));
        }
    };
    for (unsigned batch = 0; batch < 10; ++batch) {
        auto* bytes = static_cast<std::uint8_t*>(host.pointer);
        std::uint64_t sum = 0;
        for (std::uint64_t i = 0; i < kBytes; ++i) {
            bytes[i] = static_cast<std::uint8_t>(contents());
            sum += bytes[i];
        }
        const std::uint64_t argument[3] = {source, destination,
                                           kShare | std::uint64_t{1 + batch % 3} << 32};
        std::memcpy(words.pointer, argument, sizeof argument);
        talus_drv_command commands[5];
        std::memset(commands, 0, sizeof commands);
        commands[0].opcode = TALUS_DRV_COPY_H2D;
        commands[0].copy = {host.iova, source, kBytes, 0, 0, 0};
        commands[1].opcode = TALUS_DRV_COPY_H2D;
        commands[1].copy = {words.iova, args, sizeof argument, 0, 0, 0};
        commands[2].opcode = TALUS_DRV_LAUNCH;
        commands[2].launch.entry = code;
        commands[2].launch.args = args;
        commands[2].launch.args_bytes = sizeof argument;
        commands[3] = commands[2];
        commands[4].opcode = TALUS_DRV_COPY_D2H;
        commands[4].copy = {destination, host.iova, kBytes, 0, 0, 0};
        meddle();
        std::memset(bytes + kBytes - 1, bytes[kBytes - 1], 1);
        DRV(talus_drv_submit(queue, commands, 5, nullptr));
        meddle();
        std::size_t done = 0;
        talus_drv_completion completions[5];
        DRV(talus_drv_wait(queue, completions, 5, 5, &done, 0));
        ASSERT_EQ(done, 5u);
        for (const talus_drv_completion& c : completions) {
            observed.push_back(
                {c.device_cycles, c.exec_cycles, c.launch_cycles, c.result, c.device_status});
        }
        EXPECT_EQ(completions[2].result, sum); // the kernel saw what the host wrote
        output.insert(output.end(), bytes, bytes + kBytes);
    }
    talus_drv_queue_destroy(queue);
}

class Determinism : public testing::Test {
  protected:
    static std::vector<Observed> reference;
    static std::vector<std::uint8_t> reference_output;

    static void SetUpTestSuite() { run_session({}, reference, reference_output); }
    void expect_same(const Behaviour& how) {
        std::vector<Observed> observed;
        std::vector<std::uint8_t> output;
        run_session(how, observed, output);
        ASSERT_EQ(reference.size(), 50u);
        EXPECT_EQ(observed, reference);
        EXPECT_TRUE(output == reference_output);
    }
};

std::vector<Observed> Determinism::reference;
std::vector<std::uint8_t> Determinism::reference_output;

TEST_F(Determinism, TheReferenceIsSane) {
    std::mt19937 contents(3);
    for (std::size_t i = 0; i < reference_output.size(); ++i) {
        ASSERT_EQ(reference_output[i], static_cast<std::uint8_t>(contents())) << i;
    }
    for (const Observed& o : reference) {
        EXPECT_EQ(o.status, 0);
    }
    // Launch latency, control core's receipt to the first kernel instruction: below 1 us (1350
    // clocks), the published figure.
    EXPECT_GT(reference[3].launch_cycles, 0u);
    EXPECT_LT(reference[3].launch_cycles, 1350u);
    // Later in the batch, later from its admission.
    for (std::size_t i = 1; i < 5; ++i) {
        EXPECT_GT(reference[i].device_cycles, reference[i - 1].device_cycles);
    }
}

TEST_F(Determinism, ASecondRun) {
    expect_same({});
}
TEST_F(Determinism, CompletionsByPolling) {
    expect_same({true, true, false, 0});
}
TEST_F(Determinism, DoorbellsWithoutShadow) {
    expect_same({false, false, false, 0});
}

TEST_F(Determinism, ABusyMachineAndARestlessHost) {
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
    expect_same({true, false, true, 1});
    expect_same({false, true, true, 2});
    over = true;
    for (std::thread& thread : load) {
        thread.join();
    }
}

} // namespace
