// When the device takes notice of the host: parked (the default, the same cycles on every run),
// free, and a free run repeated from its log.
#include "sim_session.hpp"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace talus::driver_sim {
namespace {

// About 25 million clocks: long enough in wall time for a second submission to find it running.
std::vector<std::uint32_t> kernel_that_counts_down() {
    return {
        0x008002b7, // lui  t0, 0x800
        0xfff28293, // addi t0, t0, -1
        0xfe029ee3, // bnez t0, -4
        0x00008067, // ret
    };
}

std::string contents(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

struct TwoQueues {
    Session session;
    talus_drv_queue* other = nullptr;

    explicit TwoQueues(const SimProcess& sim) : session(sim.options()) {
        EXPECT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &other));
    }
    ~TwoQueues() { talus_drv_queue_destroy(other); }

    // On a PE of its own.
    talus_drv_command job(std::uint64_t entry, std::uint8_t column) const {
        talus_drv_command command = launch(entry, 1, 1);
        command.launch.col = column;
        return command;
    }
    std::uint64_t clock() const {
        talus_drv_telemetry telemetry = TALUS_DRV_INIT(talus_drv_telemetry);
        EXPECT_DRV_OK(talus_drv_get_telemetry(session.device, &telemetry));
        return telemetry.device_clock;
    }
    std::uint32_t epoch() const {
        talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
        EXPECT_DRV_OK(talus_drv_get_info(session.device, &info));
        return info.reset_epoch;
    }
    static talus_drv_completion wait(talus_drv_queue* queue) {
        talus_drv_completion done{};
        std::size_t count = 0;
        EXPECT_DRV_OK(talus_drv_wait(queue, &done, 1, 1, &count, 0));
        EXPECT_EQ(count, 1u);
        return done;
    }

    // Two long jobs, one a queue, side by side as far as the host can tell. Returns how much device
    // time they took together, in times of one of them.
    double jobs_in_times_of_one() const {
        const std::uint64_t entry = const_cast<Session&>(session).load(kernel_that_counts_down());
        const talus_drv_command left = job(entry, 0);
        const talus_drv_command right = job(entry, 1);
        const std::uint64_t before = clock();
        EXPECT_DRV_OK(talus_drv_submit(session.queue, &left, 1, nullptr));
        EXPECT_DRV_OK(talus_drv_submit(other, &right, 1, nullptr));
        const talus_drv_completion done = wait(session.queue);
        EXPECT_STATUS(done, TALUS_OK);
        EXPECT_STATUS(wait(other), TALUS_OK);
        return static_cast<double>(clock() - before) / done.exec_cycles;
    }
};

TEST(HostClock, ParkedRunsQueuesOneAfterTheOther) {
    const SimProcess sim;
    EXPECT_GE(TwoQueues(sim).jobs_in_times_of_one(), 2.0);
}

TEST(HostClock, FreeLetsQueuesOverlap) {
    const SimProcess sim(false, {"--host-clock", "free"});
    const double times = TwoQueues(sim).jobs_in_times_of_one();
    EXPECT_GE(times, 1.0);
    EXPECT_LT(times, 1.9);
}

// With a parked clock the device never hears of an abort while a kernel spins, and is reset.
TEST(HostClock, FreeHearsAnAbortWhileAKernelSpins) {
    const SimProcess sim(false, {"--host-clock", "free"});
    TwoQueues queues(sim);
    const std::uint64_t loops = queues.session.load(kernel_that_loops());
    const std::uint64_t returns = queues.session.load(kernel_that_returns());
    const std::uint32_t epoch = queues.epoch();
    const talus_drv_command stuck = queues.job(loops, 0);
    ASSERT_DRV_OK(talus_drv_submit(queues.other, &stuck, 1, nullptr));
    EXPECT_STATUS(queues.session.run({queues.job(returns, 1)})[0], TALUS_OK); // beside it
    talus_drv_queue_destroy(queues.other);
    queues.other = nullptr;
    EXPECT_EQ(queues.epoch(), epoch); // no reset: the queue beside it lives on
    EXPECT_STATUS(queues.session.run({queues.job(returns, 0)})[0], TALUS_OK);
}

// The mildest rung of the ladder: the queue itself goes on, and nobody else notices.
TEST(HostClock, RecoveryAbortsTheJobAlone) {
    const SimProcess sim(false, {"--host-clock", "free"});
    TwoQueues queues(sim);
    const std::uint64_t returns = queues.session.load(kernel_that_returns());
    const std::uint32_t epoch = queues.epoch();
    const talus_drv_command stuck = queues.job(queues.session.load(kernel_that_loops()), 0);
    ASSERT_DRV_OK(talus_drv_submit(queues.other, &stuck, 1, nullptr));
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    ASSERT_DRV_OK(talus_drv_recover(queues.other, &recovery));
    EXPECT_EQ(recovery.rung, static_cast<std::uint32_t>(TALUS_DRV_RUNG_ABORT)) << recovery.reason;
    EXPECT_STREQ(recovery.reason, "");
    report_fault("hung PE, simulator with a free clock", "a kernel that loops",
                 "time-out of the op", recovery);
    EXPECT_STATUS(TwoQueues::wait(queues.other), TALUS_ABORTED);
    EXPECT_EQ(queues.epoch(), epoch);
    EXPECT_STATUS(queues.session.run({queues.job(returns, 0)})[0], TALUS_OK);
    const talus_drv_command again = queues.job(returns, 0);
    ASSERT_DRV_OK(talus_drv_submit(queues.other, &again, 1, nullptr));
    EXPECT_STATUS(TwoQueues::wait(queues.other), TALUS_OK);
}

// What a program sees of device time: everything that its completions say.
std::vector<std::uint64_t> observe(const SimProcess& sim, std::chrono::microseconds pace) {
    std::vector<std::uint64_t> seen;
    TwoQueues queues(sim);
    const std::uint64_t returns = queues.session.load(kernel_that_returns());
    const talus_drv_host_buffer host = queues.session.host(1 << 20);
    const std::uint64_t dram = queues.session.memory(TALUS_DRV_DRAM, 1 << 20);
    for (std::uint32_t round = 0; round < 30; ++round) {
        const talus_drv_command left[] = {
            copy(TALUS_DRV_COPY_H2D, host.iova, dram, 4096 << round % 8), queues.job(returns, 0)};
        const talus_drv_command right = queues.job(returns, 1 + round % 7);
        EXPECT_DRV_OK(talus_drv_submit(queues.session.queue, left, 2, nullptr));
        std::this_thread::sleep_for(pace * (round % 4));
        EXPECT_DRV_OK(talus_drv_submit(queues.other, &right, 1, nullptr));
        for (talus_drv_queue* queue : {queues.session.queue, queues.other, queues.session.queue}) {
            const talus_drv_completion done = TwoQueues::wait(queue);
            EXPECT_STATUS(done, TALUS_OK);
            seen.insert(seen.end(), {done.device_cycles, done.exec_cycles, done.launch_cycles});
        }
    }
    return seen;
}

TEST(HostClock, ReplayRepeatsAFreeRunToTheCycle) {
    const SimProcess recorded(false,
                              {"--host-clock", "free", "--host-log", "@/host", "--log", "@/log"});
    const std::vector<std::uint64_t> expected = observe(recorded, std::chrono::microseconds(300));
    const std::string admissions = contents(recorded.folder() + "/host");
    ASSERT_NE(admissions.find("shadow-tail"), std::string::npos);
    for (const int pace : {0, 2000}) { // another host speed
        SCOPED_TRACE(pace);
        const SimProcess replayed(false,
                                  {"--replay", recorded.folder() + "/host", "--log", "@/log"});
        EXPECT_EQ(observe(replayed, std::chrono::microseconds(pace)), expected);
        const std::string log = contents(replayed.folder() + "/log");
        EXPECT_EQ(log.find("ends early"), std::string::npos) << log;
    }
}

TEST(HostClock, ReplayOfAnotherProgramSaysSoAndGoesOn) {
    const SimProcess recorded(false, {"--host-clock", "free", "--host-log", "@/host"});
    { // stops before its last admissions are repeated
        observe(recorded, std::chrono::microseconds(0));
    }
    const SimProcess replayed(false, {"--replay", recorded.folder() + "/host", "--log", "@/log"});
    Session session(replayed.options());
    EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
    EXPECT_NE(contents(replayed.folder() + "/log").find("replay ends early"), std::string::npos);
}

TEST(HostClock, BadLogsAreRefused) {
    const SimProcess sim; // for its folder
    const std::string path = sim.folder() + "/bad";
    const std::string program = std::string(TALUS_TEST_SIM) + " --socket " + path + ".socket ";
    const auto outcome = [&](const std::string& text) {
        std::ofstream(path) << text;
        return run_program(program + "--replay " + path + " 2>&1");
    };
    EXPECT_EQ(run_program(program + "--replay " + path + ".absent 2>&1").second, 1);
    EXPECT_EQ(outcome("").second, 1);
    const auto [foreign, code] = outcome("talus-admissions 1 0000000000000000\n");
    EXPECT_EQ(code, 1);
    EXPECT_NE(foreign.find("another contract"), std::string::npos) << foreign;
    const SimProcess good(false, {"--host-clock", "free", "--host-log", "@/host"});
    { Session session(good.options()); }
    const std::string text = contents(good.folder() + "/host");
    for (const char* line : {"12", "1 2 nothing 3 4", "x y z", "0 0 poll 0 0 more"}) {
        const auto [message, exit_code] = outcome(text + line + "\n");
        EXPECT_EQ(exit_code, 1) << line;
        EXPECT_NE(message.find("is no admission"), std::string::npos) << message;
    }
    EXPECT_EQ(run_program(program + "--host-log " + path + " 2>&1").second, 1);
}

} // namespace
} // namespace talus::driver_sim
