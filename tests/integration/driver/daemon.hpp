// A talusd process that a test owns.
#pragma once

#include "sim_session.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace talus::driver_sim {

/// A talusd, by default with a simulator of its own.
class Daemon {
  public:
    explicit Daemon(const std::vector<std::string>& arguments = {},
                    const std::string& device = "sim") {
        char name[] = "/tmp/talusd-test-XXXXXX";
        if (mkdtemp(name) == nullptr)
            throw std::runtime_error("mkdtemp");
        folder_ = name;
        socket_ = folder_ + "/socket";
        device_ = "talusd:" + socket_;
        std::vector<std::string> words{TALUS_TEST_TALUSD, "--socket", socket_, "--device", device};
        words.insert(words.end(), arguments.begin(), arguments.end());
        std::vector<char*> argv;
        for (std::string& word : words)
            argv.push_back(word.data());
        argv.push_back(nullptr);
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0)
            throw std::runtime_error("pipe2");
        pid_ = fork();
        if (pid_ == 0) {
            dup2(ends[1], STDOUT_FILENO);
            const int log = open((folder_ + "/log").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
            dup2(log, STDERR_FILENO);
            execv(TALUS_TEST_TALUSD, argv.data());
            _exit(127);
        }
        close(ends[1]);
        char byte = 0;
        while (read(ends[0], &byte, 1) == 1 && byte != '\n') {
        }
        close(ends[0]);
        if (byte != '\n')
            throw std::runtime_error("talusd did not start");
    }
    ~Daemon() {
        if (pid_ > 0) {
            kill(pid_, SIGTERM);
            waitpid(pid_, nullptr, 0);
        }
        std::filesystem::remove_all(folder_);
    }
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    void die() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
    pid_t pid() const { return pid_; }
    const std::string& socket() const { return socket_; }
    const std::string& device() const { return device_; }
    std::string log() const {
        std::ifstream file(folder_ + "/log");
        return {std::istreambuf_iterator<char>(file), {}};
    }
    talus_drv_open_options options() const {
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = device_.c_str();
        return options;
    }

  private:
    std::string folder_;
    std::string socket_;
    std::string device_;
    pid_t pid_ = -1;
};

/// Whether `condition` comes true within ten seconds of wall clock.
inline bool soon(const std::function<bool()>& condition) {
    for (int tries = 0; tries < 1000; ++tries) {
        if (condition())
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

} // namespace talus::driver_sim
