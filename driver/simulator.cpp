#include "simulator.hpp"

#include "error.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

extern char** environ;

namespace talus::driver {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kChildSocket = 3; // the fd number that the child sees
constexpr auto kReadinessLimit = std::chrono::seconds(20);

} // namespace

Simulator::Simulator(const std::string& program, const std::vector<std::string>& arguments) {
    std::array<int, 2> sockets{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0)
        throw system_error("cannot create a socket pair for talus-sim", errno);
    socket_.reset(sockets[0]);
    UniqueFd far_socket(sockets[1]);
    std::array<int, 2> pipe{};
    if (pipe2(pipe.data(), O_CLOEXEC) != 0)
        throw system_error("cannot create a pipe for talus-sim", errno);
    output_.reset(pipe[0]);
    UniqueFd far_output(pipe[1]);

    std::vector<std::string> words = {program, "--fd", std::to_string(kChildSocket)};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);

    // Dup in two steps: the child's number 3 may be one of our own descriptors' numbers.
    UniqueFd child_socket(fcntl(far_socket.get(), F_DUPFD_CLOEXEC, 16));
    UniqueFd child_output(fcntl(far_output.get(), F_DUPFD_CLOEXEC, 16));
    if (!child_socket.valid() || !child_output.valid())
        throw system_error("cannot duplicate a descriptor for talus-sim", errno);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, child_output.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, child_socket.get(), kChildSocket);
    // A process group of its own: a terminal's Ctrl-C ends the program that uses the device, whose
    // socket then closes; the device does not vanish first.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                              POSIX_SPAWN_SETSIGDEF);
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGCHLD);
    posix_spawnattr_setsigdefault(&attributes, &defaults);

    const int error =
        posix_spawn(&pid_, program.c_str(), &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        throw system_error("cannot start " + program, error);
    // Only the child may hold the far ends: its death is how we hear of its death.
    child_socket.reset();
    child_output.reset();
    far_socket.reset();
    far_output.reset();
    try {
        await_readiness();
    } catch (...) {
        end();
        throw;
    }
}

// The first line of standard output says that the simulator serves its socket.
void Simulator::await_readiness() {
    const auto deadline = Clock::now() + kReadinessLimit;
    std::string line;
    for (;;) {
        pollfd entry{output_.get(), POLLIN, 0};
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
        if (left.count() <= 0)
            throw Error(TALUS_DRV_DEVICE_LOST, "talus-sim did not become ready within 20 s");
        const int ready = poll(&entry, 1, static_cast<int>(left.count()));
        if (ready < 0 && errno != EINTR)
            throw system_error("waiting for talus-sim", errno);
        if (ready <= 0)
            continue;
        char byte = 0;
        const ssize_t got = read(output_.get(), &byte, 1);
        if (got == 1 && byte == '\n')
            break;
        if (got == 1) {
            line += byte;
        } else if (got == 0) {
            std::string how = ending(2000);
            if (how.empty())
                how = "talus-sim closed its output";
            throw Error(TALUS_DRV_DEVICE_LOST,
                        how + " before it was ready" + (line.empty() ? "" : ": " + line));
        }
    }
    fcntl(output_.get(), F_SETFL, O_NONBLOCK);
}

Simulator::~Simulator() {
    end();
}

void Simulator::end() {
    socket_.reset();
    output_.reset();
    if (pid_ > 0 && !reap(5000)) {
        kill(pid_, SIGKILL);
        reap(5000);
    }
}

void Simulator::discard_output() {
    std::array<char, 4096> text;
    while (output_.valid() && read(output_.get(), text.data(), text.size()) > 0) {
    }
}

UniqueFd Simulator::take_socket() {
    return std::move(socket_);
}

bool Simulator::reap(int milliseconds) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
    while (!ended_) {
        const pid_t got = waitpid(pid_, &wait_status_, WNOHANG);
        if (got == pid_ || (got < 0 && errno == ECHILD)) {
            ended_ = true;
            break;
        }
        if (Clock::now() >= deadline)
            break;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return ended_;
}

std::string Simulator::ending(int milliseconds) {
    if (!reap(milliseconds))
        return "";
    if (WIFSIGNALED(wait_status_))
        return "talus-sim was ended by signal " + std::to_string(WTERMSIG(wait_status_)) + " (" +
               strsignal(WTERMSIG(wait_status_)) + ")";
    return "talus-sim ended with exit code " + std::to_string(WEXITSTATUS(wait_status_));
}

} // namespace talus::driver
