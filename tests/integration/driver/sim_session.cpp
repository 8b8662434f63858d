#include "sim_session.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace talus::driver_sim {

// The words below are what `llvm-mc -triple=riscv64 -show-encoding` prints.
std::vector<std::uint32_t> kernel_that_returns() {
    return {0x00008067}; // ret
}

std::vector<std::uint32_t> kernel_that_loops() {
    return {0x0000006f}; // j .
}

std::vector<std::uint32_t> kernel_with_an_illegal_instruction() {
    return {0x00000013, 0x00000000}; // nop; unimp
}

std::vector<std::uint32_t> kernel_that_fails(std::uint32_t code) {
    return {
        0x00000517, // auipc a0, 0
        0x02052503, // lw    a0, 32(a0)
        0x00100593, // li    a1, 1
        0x00200613, // li    a2, 2
        0x00300693, // li    a3, 3
        0x00400713, // li    a4, 4
        0x00100893, // li    a7, 1 (TALUS_SERVICE_FAIL)
        0x00000073, // ecall
        code,
    };
}

Session::Session(const talus_drv_open_options& options) {
    start(options);
}

Session::Session() {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    start(options);
}

void Session::start(const talus_drv_open_options& options) {
    if (talus_drv_open(&options, &device) != TALUS_DRV_OK ||
        talus_drv_queue_create(device, nullptr, &queue) != TALUS_DRV_OK)
        throw std::runtime_error(talus_drv_last_error());
}

Session::~Session() {
    talus_drv_queue_destroy(queue);
    talus_drv_close(device);
}

std::uint64_t Session::memory(talus_drv_memory kind, std::uint64_t bytes, std::uint64_t alignment) {
    std::uint64_t address = 0;
    if (talus_drv_memory_alloc(device, kind, bytes, alignment, &address) != TALUS_DRV_OK)
        throw std::runtime_error(talus_drv_last_error());
    return address;
}

talus_drv_host_buffer Session::host(std::uint64_t bytes) {
    talus_drv_host_buffer buffer{};
    if (talus_drv_host_alloc(device, bytes, 0, &buffer) != TALUS_DRV_OK)
        throw std::runtime_error(talus_drv_last_error());
    return buffer;
}

std::uint64_t Session::load(const std::vector<std::uint32_t>& code) {
    const std::uint64_t address = memory(TALUS_DRV_LLS, code.size() * 4, 64);
    if (talus_drv_copy_in(queue, address, code.data(), code.size() * 4) != TALUS_DRV_OK)
        throw std::runtime_error(talus_drv_last_error());
    return address;
}

talus_drv_status Session::submit(const std::vector<talus_drv_command>& commands) {
    return talus_drv_submit(queue, commands.data(), commands.size(), nullptr);
}

talus_drv_status Session::wait(std::size_t count, std::vector<talus_drv_completion>& completions,
                               std::uint64_t timeout_us) {
    completions.resize(count);
    std::size_t taken = 0;
    const talus_drv_status status =
        talus_drv_wait(queue, completions.data(), count, count, &taken, timeout_us);
    completions.resize(taken);
    return status;
}

std::vector<talus_drv_completion> Session::run(const std::vector<talus_drv_command>& commands) {
    std::vector<talus_drv_completion> completions;
    EXPECT_DRV_OK(submit(commands));
    EXPECT_DRV_OK(wait(commands.size(), completions));
    return completions;
}

talus_drv_command nop(std::uint64_t tag) {
    talus_drv_command command{};
    command.opcode = TALUS_DRV_NOP;
    command.user_data = tag;
    return command;
}

talus_drv_command copy(talus_drv_opcode opcode, std::uint64_t source, std::uint64_t destination,
                       std::uint64_t bytes) {
    talus_drv_command command{};
    command.opcode = static_cast<std::uint32_t>(opcode);
    command.copy = {source, destination, bytes, 0, 0};
    return command;
}

talus_drv_command launch(std::uint64_t entry, std::uint8_t rows, std::uint8_t cols,
                         std::uint32_t timeout_us) {
    talus_drv_command command{};
    command.opcode = TALUS_DRV_LAUNCH;
    command.launch.entry = entry;
    command.launch.rows = rows;
    command.launch.cols = cols;
    command.launch.timeout_us = timeout_us;
    return command;
}

SimProcess::SimProcess(bool publish) {
    char name[] = "/tmp/talus-driver-sim-XXXXXX";
    if (mkdtemp(name) == nullptr)
        throw std::runtime_error("mkdtemp");
    folder_ = name;
    socket_ = folder_ + "/socket";
    sysfs_ = folder_ + "/sysfs";
    std::array<int, 2> pipe_ends{};
    if (pipe(pipe_ends.data()) != 0)
        throw std::runtime_error("pipe");
    pid_ = fork();
    if (pid_ == 0) {
        dup2(pipe_ends[1], STDOUT_FILENO);
        close(pipe_ends[0]);
        close(pipe_ends[1]);
        if (publish)
            execl(TALUS_TEST_SIM, TALUS_TEST_SIM, "--socket", socket_.c_str(), "--sysfs",
                  sysfs_.c_str(), nullptr);
        else
            execl(TALUS_TEST_SIM, TALUS_TEST_SIM, "--socket", socket_.c_str(), nullptr);
        _exit(127);
    }
    close(pipe_ends[1]);
    char byte = 0;
    while (read(pipe_ends[0], &byte, 1) == 1 && byte != '\n') {
    }
    close(pipe_ends[0]);
    if (byte != '\n')
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
    if (number == SIGKILL) {
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
