// Processes that are stopped for longer than anybody is waited for, and go on: nobody takes that
// pause for a dead device. TALUS_TEST_PAUSE_SECONDS=60 for a minute of it.
#include "daemon.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <thread>

namespace talus::driver_sim {
namespace {

using namespace std::chrono_literals;

// Above the 5 s for which a device's clock may stand still.
std::chrono::seconds pause_length() {
    const char* given = std::getenv("TALUS_TEST_PAUSE_SECONDS");
    return std::chrono::seconds(given == nullptr ? 6 : std::atoi(given));
}

void stop(pid_t pid) {
    kill(pid, SIGSTOP);
    int status = 0;
    waitpid(pid, &status, WUNTRACED); // kill() returns before the process has stopped
    EXPECT_TRUE(WIFSTOPPED(status));
}

/// A process that uses the device until its standard input ends: batches whose last job runs for a
/// while, so that it is in flight most of the time.
class Client {
  public:
    explicit Client(const std::string& device, std::uint32_t flags = 0) {
        std::array<int, 2> in{};
        std::array<int, 2> out{};
        if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("pipe2");
        std::fflush(nullptr);
        pid_ = fork();
        if (pid_ == 0) {
            // Nor may it hold another client's ends.
            for (int fd = STDERR_FILENO + 1; fd < 256; ++fd)
                if (fd != in[0] && fd != out[1])
                    close(fd);
            fcntl(in[0], F_SETFL, O_NONBLOCK);
            std::string problem;
            try {
                problem = work(device, flags, in[0], out[1]);
            } catch (const std::exception& error) {
                problem = error.what();
            }
            [[maybe_unused]] const ssize_t told = write(out[1], problem.data(), problem.size());
            _exit(problem.empty() ? 0 : 1);
        }
        input_ = in[1];
        output_ = out[0];
        close(in[0]);
        close(out[1]);
        char ready = 0;
        if (read(output_, &ready, 1) != 1 || ready != '\n')
            throw std::runtime_error("the client did not start");
    }
    ~Client() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        close(output_);
    }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    pid_t pid() const { return pid_; }
    /// Lets it end; what it has to complain of, "" if nothing.
    std::string finish() {
        close(input_);
        std::string text;
        char part[512];
        for (ssize_t got; (got = read(output_, part, sizeof part)) > 0;)
            text.append(part, static_cast<std::size_t>(got));
        int status = 0;
        waitpid(pid_, &status, 0);
        pid_ = -1;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "" : "ended badly: " + text;
    }

  private:
    static constexpr std::uint64_t kBytes = 1 << 20;

    static std::string work(const std::string& device, std::uint32_t flags, int input,
                            int output) {
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = device.c_str();
        options.flags = flags;
        Session session(options);
        const talus_drv_host_buffer host = session.host(kBytes);
        const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, kBytes);
        const std::uint64_t returns = session.load(kernel_that_returns());
        const std::uint64_t loops = session.load(kernel_that_loops());
        char byte = '\n';
        for (std::uint64_t round = 0;; ++round) {
            const std::vector<talus_drv_command> batch{
                nop(3 * round), copy(TALUS_DRV_COPY_H2D, host.iova, dram, kBytes),
                launch(returns, 1, 1), launch(loops, 1, 1, 20'000)};
            std::vector<talus_drv_completion> done;
            if (session.submit(batch) != TALUS_DRV_OK || session.wait(4, done) != TALUS_DRV_OK)
                return "round " + std::to_string(round) + ": " + talus_drv_last_error();
            if (done.size() != 4 || done[0].user_data != 3 * round ||
                done[1].device_status != TALUS_OK || done[2].device_status != TALUS_OK ||
                TALUS_STATUS_BASE(done[3].device_status) != TALUS_KERNEL_TIMEOUT)
                return "round " + std::to_string(round) + " has other completions";
            if (round == 0)
                [[maybe_unused]] const ssize_t told = write(output, &byte, 1);
            if (read(input, &byte, 1) == 0)
                return "";
        }
    }

    pid_t pid_ = -1;
    int input_ = -1;
    int output_ = -1;
};

/// Stops them one after another, and lets them go on, the last one first. Between two steps they
/// get the time to see that another one does not move.
void pause_and_go_on(const std::vector<pid_t>& pids) {
    for (const pid_t pid : pids) {
        std::this_thread::sleep_for(300ms);
        stop(pid);
    }
    std::this_thread::sleep_for(pause_length());
    for (auto pid = pids.rbegin(); pid != pids.rend(); ++pid) {
        kill(*pid, SIGCONT);
        std::this_thread::sleep_for(300ms);
    }
}

class Suspended : public ::testing::TestWithParam<const char*> {};

TEST_P(Suspended, ClientAlone) {
    const SimProcess sim(false, {"--host-clock", GetParam()});
    Client client(sim.socket());
    pause_and_go_on({client.pid()});
    EXPECT_EQ(client.finish(), "");
}

// What the device asks of it meanwhile is answered when it goes on: the pause is above the 5 s
// within which a client has to answer.
TEST_P(Suspended, ClientThatServesDmaByMessage) {
    const SimProcess sim(false, {"--host-clock", GetParam()});
    Client client(sim.socket(), TALUS_DRV_OPEN_DMA_BY_MESSAGE);
    pause_and_go_on({client.pid()});
    EXPECT_EQ(client.finish(), "");
}

// The client goes on first, and finds a device whose clock stands where it stood.
TEST_P(Suspended, ClientAndSimulator) {
    const SimProcess sim(false, {"--host-clock", GetParam()});
    Client client(sim.socket());
    pause_and_go_on({sim.pid(), client.pid()});
    EXPECT_EQ(client.finish(), "");
}

TEST_P(Suspended, SimulatorAloneForLessThanItIsWaitedFor) {
    const SimProcess sim(false, {"--host-clock", GetParam()});
    Client client(sim.socket());
    stop(sim.pid());
    std::this_thread::sleep_for(2s);
    kill(sim.pid(), SIGCONT);
    EXPECT_EQ(client.finish(), "");
}

// Nor does the simulator take its own pause for the client's silence.
TEST(SuspendedByMessage, ClientAndSimulator) {
    const SimProcess sim;
    Client client(sim.socket(), TALUS_DRV_OPEN_DMA_BY_MESSAGE);
    pause_and_go_on({client.pid(), sim.pid()});
    EXPECT_EQ(client.finish(), "");
}

INSTANTIATE_TEST_SUITE_P(Clocks, Suspended, ::testing::Values("parked", "free"));

TEST(SuspendedDaemon, Alone) {
    const SimProcess sim(false, {"--host-clock", "free"});
    const Daemon daemon({}, sim.socket());
    Client client(daemon.device());
    pause_and_go_on({daemon.pid()});
    EXPECT_EQ(client.finish(), "");
}

TEST(SuspendedDaemon, ItsClientAlone) {
    const SimProcess sim(false, {"--host-clock", "free"});
    const Daemon daemon({}, sim.socket());
    Client client(daemon.device());
    Client beside(daemon.device());
    pause_and_go_on({client.pid()});
    EXPECT_EQ(client.finish(), "");
    EXPECT_EQ(beside.finish(), "");
}

TEST(SuspendedDaemon, WithClientAndSimulator) {
    const SimProcess sim(false, {"--host-clock", "free"});
    const Daemon daemon({}, sim.socket());
    Client client(daemon.device());
    pause_and_go_on({sim.pid(), daemon.pid(), client.pid()});
    EXPECT_EQ(client.finish(), "");
}

} // namespace
} // namespace talus::driver_sim
