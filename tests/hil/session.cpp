#include "session.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace talus::device_test {

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

void report_fault(const std::string& fault, const std::string& injected, const std::string& seen,
                  const std::string& recovery, double seconds) {
    const auto quoted = [](const std::string& text) {
        std::string result = "\"";
        for (const char each : text) {
            if (each == '"' || each == '\\')
                result += '\\';
            result += each < ' ' ? ' ' : each;
        }
        return result + "\"";
    };
    std::printf("@fault {\"fault\": %s, \"injected\": %s, \"seen\": %s, \"recovery\": %s, "
                "\"seconds\": %.6f}\n",
                quoted(fault).c_str(), quoted(injected).c_str(), quoted(seen).c_str(),
                quoted(recovery).c_str(), seconds);
}

void report_fault(const std::string& fault, const std::string& injected, const std::string& seen,
                  const talus_drv_recovery& recovery) {
    report_fault(fault, injected, seen,
                 talus_drv_rung_name(static_cast<talus_drv_rung>(recovery.rung)),
                 static_cast<double>(recovery.wall_us) * 1e-6);
}

const char* device_under_test() {
    const char* name = std::getenv("TALUS_DEVICE");
    return name == nullptr || *name == '\0' ? "sim" : name;
}

bool behind_talusd() {
    return std::string(device_under_test()).starts_with("talusd");
}

Session::Session(const talus_drv_open_options& options) {
    start(options);
}

Session::Session() {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = device_under_test();
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
    command.copy = {source, destination, bytes, 0, 0, 0};
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

} // namespace talus::device_test
