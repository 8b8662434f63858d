// A device that is lost, or hangs, while requests run: each caller gets its result once, or an
// error that says so. The simulator is killed, as silicon that falls off the bus, or has faults
// injected.
#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sdk/common/error.hpp"
#include "sdk/runtime/live_model.hpp"
#include "sdk/runtime/stream.hpp"
#include "sdk/targets/talus_device.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::test {
namespace {

constexpr std::int64_t kRows = 40;

// Processes that this one has started and not yet collected.
std::vector<pid_t> children() {
    std::vector<pid_t> found;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
        std::ifstream list(thread.path() / "children");
        for (pid_t pid = 0; list >> pid;)
            found.push_back(pid);
    }
    return found;
}

runtime::DevicePtr open(const std::string& name, std::uint64_t command_timeout_us = 0) {
    talus_device_options options = TALUS_INIT(talus_device_options);
    options.target = "talus";
    options.device = name.c_str();
    options.command_timeout_us = command_timeout_us;
    return runtime::open_device(options);
}

// A simulator of its own, started by the driver, that can be killed.
struct Simulated {
    runtime::DevicePtr device;
    pid_t pid = 0;

    Simulated() {
        const std::vector<pid_t> before = children();
        device = open("sim");
        for (const pid_t child : children())
            if (std::find(before.begin(), before.end(), child) == before.end())
                pid = child;
        EXPECT_GT(pid, 0);
    }
    void kill() const { ::kill(pid, SIGKILL); }
};

// A simulator on a socket: it does not come back by itself.
struct OnSocket {
    std::string folder = testing::TempDir() + "talus_recovery_XXXXXX";
    std::string socket;
    pid_t pid = 0;

    explicit OnSocket(std::vector<std::string> arguments = {}) {
        if (mkdtemp(folder.data()) == nullptr)
            throw std::runtime_error("mkdtemp");
        socket = folder + "/socket";
        const std::string program =
            (std::filesystem::path(TALUS_RUN).parent_path() / "talus-sim").string();
        arguments.insert(arguments.begin(),
                         {program, "--socket", socket, "--log", folder + "/log"});
        std::vector<char*> argv;
        for (std::string& argument : arguments)
            argv.push_back(argument.data());
        argv.push_back(nullptr);
        int ready[2];
        if (pipe(ready) != 0)
            throw std::runtime_error("pipe");
        pid = fork();
        if (pid == 0) {
            dup2(ready[1], STDOUT_FILENO);
            ::close(ready[0]);
            ::close(ready[1]);
            execv(program.c_str(), argv.data());
            _exit(127);
        }
        ::close(ready[1]);
        char byte = 0; // its first line says that clients can connect
        while (read(ready[0], &byte, 1) == 1 && byte != '\n') {
        }
        ::close(ready[0]);
    }
    ~OnSocket() {
        kill();
        std::filesystem::remove_all(folder);
    }
    void kill() {
        if (pid > 0) {
            ::kill(pid, SIGKILL);
            waitpid(pid, nullptr, 0);
        }
        pid = 0;
    }
};

class Recovery : public testing::Test {
  protected:
    Recovery() : dense_(kRows * 13), sparse_(kRows * 26) {
        for (std::size_t i = 0; i < dense_.size(); ++i)
            dense_[i] = static_cast<float>(i % 11) * 0.1F - 0.5F;
        for (std::size_t i = 0; i < sparse_.size(); ++i)
            sparse_[i] = static_cast<std::int64_t>(i % 9);
    }

    static runtime::ModelPtr load(const runtime::DevicePtr& device, plan::Options options = {}) {
        return runtime::Model::load(std::string(TALUS_DEMO_FOLDER) + "/model.onnx", {device},
                                    std::move(options));
    }
    std::unique_ptr<runtime::Request> request(const runtime::ModelPtr& model) {
        auto result = std::make_unique<runtime::Request>(model);
        result->set_input(0, tensor(TALUS_FLOAT32, 13, dense_.data()));
        result->set_input(1, tensor(TALUS_INT64, 26, sparse_.data()));
        return result;
    }
    static std::vector<float> scores(const runtime::Request& request) {
        const auto* data = static_cast<const float*>(request.output(0).data);
        return {data, data + kRows};
    }
    static talus_status status_of(runtime::LiveModel& model,
                                  std::unique_ptr<runtime::Request>& request) {
        try {
            run_with_recovery(model, request);
            return TALUS_SUCCESS;
        } catch (const Failure& failure) {
            message_ = failure.what();
            return failure.status();
        }
    }

    static talus_tensor tensor(std::int32_t dtype, std::int64_t columns, void* data) {
        talus_tensor result = TALUS_INIT(talus_tensor);
        result.dtype = dtype;
        result.rank = 2;
        result.shape[0] = kRows;
        result.shape[1] = columns;
        result.data = data;
        return result;
    }

    static inline std::string message_;
    std::vector<float> dense_;
    std::vector<std::int64_t> sparse_;
};

TEST_F(Recovery, ALostSimulatorIsOpenedAnewAndTheRunRepeated) {
    const Simulated sim;
    runtime::LiveModel live(load(sim.device));
    auto request = this->request(live.current());
    std::vector<float> output(kRows, -1.0F);
    request->set_output(0, output.data(), output.size() * sizeof(float));
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS);
    const std::vector<float> expected = output;
    std::fill(output.begin(), output.end(), -1.0F);
    sim.kill();
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS) << message_;
    EXPECT_EQ(output, expected); // in the caller's own memory, to the bit
    EXPECT_EQ(request->stats().runs, 2U);
    EXPECT_EQ(request->stats().recoveries, 1U);
    EXPECT_EQ(request->stats().samples, 2U * kRows);
    const std::string log = live.recovery_log();
    EXPECT_NE(log.find("talus (simulated) was lost and is open again"), std::string::npos) << log;
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1);
    for (const runtime::OperatorStats& stats : request->operators()) {
        if (stats.op == "fc") {
            EXPECT_EQ(stats.launches, 3U) << stats.name; // the lost one included
        }
    }
}

TEST_F(Recovery, RequestsInFlightEachGetTheirResultOnce) {
    const Simulated sim;
    runtime::LiveModel live(load(sim.device));
    auto reference = request(live.current());
    ASSERT_EQ(status_of(live, reference), TALUS_SUCCESS);
    const std::vector<float> expected = scores(*reference);
    constexpr int kRequests = 3;
    constexpr int kRuns = 12;
    std::vector<std::unique_ptr<runtime::Request>> requests;
    for (int i = 0; i < kRequests; ++i)
        requests.push_back(request(live.current()));
    std::vector<int> results(kRequests, 0);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < kRequests; ++i)
            threads.emplace_back([&, i] {
                for (int run = 0; run < kRuns; ++run) {
                    if (status_of(live, requests[i]) == TALUS_SUCCESS &&
                        scores(*requests[i]) == expected)
                        ++results[i];
                    if (i == 0 && run == kRuns / 2)
                        sim.kill();
                }
            });
    }
    for (int i = 0; i < kRequests; ++i) {
        EXPECT_EQ(results[i], kRuns) << message_;
        EXPECT_EQ(requests[i]->stats().runs, static_cast<std::uint64_t>(kRuns));
    }
    // One device was lost, and one was opened for all.
    const std::string log = live.recovery_log();
    EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
}

TEST_F(Recovery, ADeviceThatStaysAwayIsDoneWithout) {
    OnSocket sim;
    plan::Options options;
    options.deny = {"talus:interaction"}; // names nothing once talus is gone
    runtime::LiveModel live(load(open(sim.socket), options));
    auto request = this->request(live.current());
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS);
    const std::vector<float> expected = scores(*request);
    sim.kill();
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS) << message_;
    const std::vector<float> got = scores(*request);
    for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_NEAR(got[i], expected[i], 2e-4); // FP16 against FP32
    EXPECT_NE(live.recovery_log().find("its operators run elsewhere"), std::string::npos)
        << live.recovery_log();
    EXPECT_EQ(live.explanation().find("talus"), std::string::npos) << live.explanation();
}

TEST_F(Recovery, StrictRefusesToDoWithout) {
    OnSocket sim;
    plan::Options options;
    options.strict = true;
    runtime::LiveModel live(load(open(sim.socket), options));
    auto request = this->request(live.current());
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS);
    sim.kill();
    EXPECT_EQ(status_of(live, request), TALUS_ERROR_DEVICE_LOST);
    EXPECT_NE(message_.find("strict"), std::string::npos) << message_;
    EXPECT_NE(message_.find(sim.socket), std::string::npos) << message_;
    EXPECT_EQ(status_of(live, request), TALUS_ERROR_DEVICE_LOST); // and again, at once
}

TEST_F(Recovery, KeepLostFailsTheRun) {
    const Simulated sim;
    runtime::LiveModel live(load(sim.device), true);
    auto request = this->request(live.current());
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS);
    sim.kill();
    EXPECT_EQ(status_of(live, request), TALUS_ERROR_DEVICE_LOST);
    EXPECT_EQ(live.recovery_log(), "");
}

// ---- Devices that hang ----

// What a request gives on a device without faults.
class Hang : public Recovery {
  protected:
    std::vector<float> expected() {
        const OnSocket sim;
        runtime::LiveModel live(load(open(sim.socket)));
        auto request = this->request(live.current());
        EXPECT_EQ(status_of(live, request), TALUS_SUCCESS) << message_;
        return scores(*request);
    }
};

// A launch waits for PEs that somebody else keeps, times out and is aborted; the same device runs
// it again: nothing is opened or planned anew.
TEST_F(Hang, ALaunchThatTimesOutIsAbortedAndRepeated) {
    const OnSocket sim({"--host-clock", "free"}); // hears of an abort while a kernel spins
    const runtime::DevicePtr device = open(sim.socket, 100'000);
    runtime::LiveModel live(load(device));
    const runtime::ModelPtr model = live.current();
    auto request = this->request(model);
    // A kernel loops on one PE until the first time-out has been heard of.
    talus_drv_device* driver = reinterpret_cast<targets::TalusCard*>(device->handle())->driver();
    talus_drv_queue* queue = nullptr;
    ASSERT_EQ(talus_drv_queue_create(driver, nullptr, &queue), TALUS_DRV_OK);
    const std::uint32_t loop = 0x0000006f; // j .
    std::uint64_t entry = 0;
    ASSERT_EQ(talus_drv_memory_alloc(driver, TALUS_DRV_LLS, sizeof loop, 0, &entry), TALUS_DRV_OK);
    ASSERT_EQ(talus_drv_copy_in(queue, entry, &loop, sizeof loop), TALUS_DRV_OK);
    talus_drv_command hog{};
    hog.opcode = TALUS_DRV_LAUNCH;
    hog.launch.entry = entry;
    hog.launch.rows = hog.launch.cols = 1;
    ASSERT_EQ(talus_drv_submit(queue, &hog, 1, nullptr), TALUS_DRV_OK);

    std::jthread ender([&](const std::stop_token& stop) {
        while (live.recovery_log().empty() && !stop.stop_requested())
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        talus_drv_queue_destroy(queue);
    });
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS) << message_;
    ender.join();
    EXPECT_EQ(scores(*request), expected());
    EXPECT_EQ(request->stats().runs, 1U);
    EXPECT_GE(request->stats().recoveries, 1U);
    EXPECT_EQ(live.current(), model);
    const std::string log = live.recovery_log();
    EXPECT_NE(log.find("a run did not end and was repeated"), std::string::npos) << log;
    EXPECT_NE(log.find("freed by abort"), std::string::npos) << log;
}

TEST_F(Hang, ADeviceThatHangsAgainAndAgainIsDoneWithout) {
    const OnSocket sim({"--inject", "stuck:pe=0.0:unit=dpe"});
    runtime::LiveModel live(load(open(sim.socket)));
    auto request = this->request(live.current());
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS) << message_;
    EXPECT_EQ(request->stats().recoveries, static_cast<std::uint64_t>(runtime::kMostRecoveries));
    const std::vector<float> got = scores(*request);
    const std::vector<float> wanted = expected();
    for (std::size_t i = 0; i < got.size(); ++i)
        EXPECT_NEAR(got[i], wanted[i], 2e-4); // FP32 against FP16
    EXPECT_NE(live.recovery_log().find("hangs again and again, its operators run elsewhere"),
              std::string::npos)
        << live.recovery_log();
    EXPECT_EQ(live.explanation().find("talus"), std::string::npos) << live.explanation();
    // The next one starts there.
    ASSERT_EQ(status_of(live, request), TALUS_SUCCESS) << message_;
    EXPECT_EQ(request->stats().recoveries, static_cast<std::uint64_t>(runtime::kMostRecoveries));
}

TEST_F(Hang, StrictAndKeepLostGiveTheirError) {
    const OnSocket sim({"--inject", "stuck:pe=0.0:unit=dpe"});
    const runtime::DevicePtr device = open(sim.socket);
    plan::Options options;
    options.strict = true;
    runtime::LiveModel strict(load(device, options));
    auto request = this->request(strict.current());
    EXPECT_EQ(status_of(strict, request), TALUS_ERROR_TIMEOUT);
    EXPECT_NE(message_.find("hangs again and again"), std::string::npos) << message_;
    EXPECT_NE(message_.find("PE (0,0)"), std::string::npos) << message_;
    runtime::LiveModel keeping(load(device), true);
    request = this->request(keeping.current());
    EXPECT_EQ(status_of(keeping, request), TALUS_ERROR_TIMEOUT);
    EXPECT_EQ(keeping.recovery_log(), "");
}

// Commands time out, the ladder ends with a fundamental reset, and everything is loaded anew: onto
// the device that this process holds, for by its name it could not be had a second time.
TEST_F(Hang, DeadFirmwareIsBootedAnewAndTheRunRepeated) {
    const std::vector<float> wanted = expected();
    std::vector<std::string> arguments{"--set", "memory.control_sram_ecc=false"};
    // Most of the control firmware's text, after 100 ms of device time: when the model is loaded.
    for (unsigned address = 0x100000; address < 0x103800; address += 8)
        arguments.insert(
            arguments.end(),
            {"--inject",
             fmt::format("flip:memory=control:addr={:#x}:bit=0:at=135000000", address)});
    const OnSocket sim(arguments);
    runtime::LiveModel live(load(open(sim.socket, 20'000)));
    constexpr int kRequests = 2;
    std::vector<std::unique_ptr<runtime::Request>> requests;
    for (int i = 0; i < kRequests; ++i)
        requests.push_back(request(live.current()));
    std::vector<int> bad(kRequests, 0);
    std::vector<std::uint64_t> runs(kRequests, 0);
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < kRequests; ++i)
            threads.emplace_back([&, i] {
                // Until after it has happened, to both.
                for (int after = 0; after < 3 && runs[i] < 1000; ++runs[i]) {
                    if (status_of(live, requests[i]) != TALUS_SUCCESS ||
                        scores(*requests[i]) != wanted)
                        ++bad[i];
                    after += requests[i]->stats().recoveries > 0 ? 1 : 0;
                }
            });
    }
    for (int i = 0; i < kRequests; ++i) {
        EXPECT_EQ(bad[i], 0) << message_;
        EXPECT_EQ(requests[i]->stats().runs, runs[i]);
        EXPECT_GE(requests[i]->stats().recoveries, 1U);
    }
    const std::string log = live.recovery_log();
    EXPECT_NE(log.find("was lost and is open again"), std::string::npos) << log;
    EXPECT_EQ(log.find("elsewhere"), std::string::npos) << log;
}

} // namespace
} // namespace talus::test
