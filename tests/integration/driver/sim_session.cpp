#include "sim_session.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <vector>

namespace talus::driver_sim {

SimProcess::SimProcess(bool publish, const std::vector<std::string>& arguments, unsigned devices) {
    char name[] = "/tmp/talus-driver-sim-XXXXXX";
    if (mkdtemp(name) == nullptr)
        throw std::runtime_error("mkdtemp");
    folder_ = name;
    socket_ = folder_ + "/socket";
    sysfs_ = folder_ + "/sysfs";
    std::vector<std::string> words{TALUS_TEST_SIM, "--socket", socket_, "--devices",
                                   std::to_string(devices)};
    if (publish)
        words.insert(words.end(), {"--sysfs", sysfs_});
    for (std::string word : arguments) {
        if (const std::size_t at = word.find('@'); at != std::string::npos)
            word.replace(at, 1, folder_);
        words.push_back(word);
    }
    std::vector<char*> argv;
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    std::array<int, 2> pipe_ends{};
    if (pipe(pipe_ends.data()) != 0)
        throw std::runtime_error("pipe");
    pid_ = fork();
    if (pid_ == 0) {
        dup2(pipe_ends[1], STDOUT_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        execv(TALUS_TEST_SIM, argv.data());
        _exit(127);
    }
    close(pipe_ends[1]);
    unsigned lines = 0;
    for (char byte = 0; lines < devices && read(pipe_ends[0], &byte, 1) == 1;)
        lines += byte == '\n';
    close(pipe_ends[0]);
    if (lines < devices)
        throw std::runtime_error("talus-sim did not start");
}

SimProcess::~SimProcess() {
    if (pid_ > 0) {
        kill(pid_, SIGCONT);
        kill(pid_, SIGTERM);
        waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
}

void SimProcess::signal(int number) {
    kill(pid_, number);
    // kill() returns before the process has stopped or died: on a loaded host it still served the
    // command that a test submitted next.
    if (number == SIGSTOP) {
        waitpid(pid_, nullptr, WUNTRACED);
    }
    if (number == SIGKILL || number == SIGTERM) {
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
}

talus_drv_open_options SimProcess::options() const {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = socket_.c_str();
    return options;
}

std::pair<std::string, int> run_program(const std::string& command) {
    std::FILE* pipe = popen(command.c_str(), "r");
    if (pipe == nullptr)
        throw std::runtime_error("popen");
    std::string output;
    std::array<char, 4096> part{};
    while (const std::size_t got = std::fread(part.data(), 1, part.size(), pipe))
        output.append(part.data(), got);
    const int status = pclose(pipe);
    return {output, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

} // namespace talus::driver_sim
