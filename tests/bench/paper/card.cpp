#include "card.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

#include <ctime>
#include <fmt/format.h>
#include <unistd.h>

namespace talus::paper {

namespace {

void require(talus_drv_status status, const char* what) {
    if (status != TALUS_DRV_OK) {
        throw std::runtime_error(fmt::format("{}: {}", what, talus_drv_last_error()));
    }
}

// The driver starts the simulator as a child of this process, which has no other.
int only_child() {
    std::ifstream children(fmt::format("/proc/self/task/{}/children", getpid()));
    int pid = 0;
    if (!(children >> pid)) {
        throw std::runtime_error("the driver started no simulator");
    }
    return pid;
}

} // namespace

Card::Card(const Settings& settings, const std::vector<std::string>& more) {
    std::vector<const char*> arguments;
    for (const std::string& setting : settings) {
        arguments.push_back("--set");
        arguments.push_back(setting.c_str());
    }
    for (const std::string& argument : more) {
        arguments.push_back(argument.c_str());
    }
    arguments.push_back(nullptr);
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    options.simulator_args = arguments.data();
    options.command_timeout_us = 60'000'000;
    require(talus_drv_open(&options, &device_), "cannot open a simulated device");
    simulator_ = only_child();
    info_ = TALUS_DRV_INIT(talus_drv_device_info);
    require(talus_drv_get_info(device_, &info_), "cannot identify the device");
    require(talus_drv_queue_create(device_, nullptr, &queue_), "cannot create a queue");
}

Card::~Card() {
    talus_drv_queue_destroy(queue_);
    talus_drv_close(device_);
}

double Card::simulator_seconds() const {
    clockid_t clock{};
    timespec time{};
    if (clock_getcpuclockid(simulator_, &clock) != 0 || clock_gettime(clock, &time) != 0) {
        throw std::runtime_error("cannot read the simulator's CPU time");
    }
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::uint64_t Card::simulator_resident_bytes() const {
    std::ifstream status(fmt::format("/proc/{}/status", simulator_));
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) {
            return std::stoull(line.substr(6)) * 1024; // "VmRSS:   12345 kB"
        }
    }
    throw std::runtime_error("cannot read the simulator's resident memory");
}

talus_drv_telemetry Card::telemetry() const {
    talus_drv_telemetry telemetry = TALUS_DRV_INIT(talus_drv_telemetry);
    require(talus_drv_get_telemetry(device_, &telemetry), "cannot read the status page");
    return telemetry;
}

std::uint64_t Card::allocate(talus_drv_memory memory, std::uint64_t bytes) {
    std::uint64_t address = 0;
    require(talus_drv_memory_alloc(device_, memory, bytes, 4096, &address), "no device memory");
    return address;
}

talus_drv_host_buffer Card::host(std::uint64_t bytes) {
    talus_drv_host_buffer buffer{};
    require(talus_drv_host_alloc(device_, bytes, 4096, &buffer), "no DMA memory");
    return buffer;
}

void Card::write(std::uint64_t address, const void* data, std::uint64_t bytes) {
    require(talus_drv_copy_in(queue_, address, data, bytes), "copy to the device failed");
}

void Card::read(void* data, std::uint64_t address, std::uint64_t bytes) {
    require(talus_drv_copy_out(queue_, data, address, bytes), "copy from the device failed");
}

std::uint64_t Card::load(std::span<const std::byte> image) {
    if (image.empty()) {
        throw std::runtime_error("the kernel's image is empty");
    }
    const std::uint64_t entry = allocate(TALUS_DRV_LLS, image.size());
    write(entry, image.data(), image.size());
    return entry;
}

std::uint64_t Card::load(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    const std::vector<char> image((std::istreambuf_iterator<char>(stream)), {});
    return load(std::as_bytes(std::span(image)));
}

std::vector<talus_drv_completion> Card::run(const std::vector<talus_drv_command>& commands,
                                            bool may_fail) {
    std::vector<talus_drv_completion> completions(commands.size());
    std::size_t count = 0;
    require(talus_drv_submit(queue_, commands.data(), commands.size(), nullptr), "submit failed");
    require(talus_drv_wait(queue_, completions.data(), commands.size(), commands.size(), &count, 0),
            "the device did not finish");
    for (const talus_drv_completion& completion : completions) {
        if (completion.device_status != 0 && !may_fail) {
            talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
            const bool known = talus_drv_get_fault(queue_, &fault) == TALUS_DRV_OK;
            throw std::runtime_error(fmt::format(
                "command failed: {}{}", talus_drv_device_status_name(completion.device_status),
                known ? fmt::format(", PE ({}, {}) core {}, cause {}, tval {:#x}", fault.row,
                                    fault.col, fault.core, fault.cause, fault.tval)
                      : ""));
        }
    }
    return completions;
}

talus_drv_command launch_command(std::uint64_t entry, std::uint64_t args,
                                 std::uint32_t args_bytes) {
    talus_drv_command command{};
    command.opcode = TALUS_DRV_LAUNCH;
    command.launch.entry = entry;
    command.launch.args = args;
    command.launch.args_bytes = args_bytes;
    return command;
}

} // namespace talus::paper
