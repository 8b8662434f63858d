// A device and a queue on talus-sim, through talus/driver.h alone, and small kernels in machine
// code.
#pragma once

#include "talus/driver.h"

#include <gtest/gtest.h>

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace talus::driver_sim {

/// Fails the test with the driver's message.
#define EXPECT_DRV_OK(call) EXPECT_EQ(call, TALUS_DRV_OK) << talus_drv_last_error()
#define ASSERT_DRV_OK(call) ASSERT_EQ(call, TALUS_DRV_OK) << talus_drv_last_error()

/// Kernels as RV64 machine code: an image of a few words needs no linker.
std::vector<std::uint32_t> kernel_that_returns();
std::vector<std::uint32_t> kernel_that_loops();
std::vector<std::uint32_t> kernel_with_an_illegal_instruction();
/// Reports error `code` with words 1, 2, 3, 4 (the kernel ABI's FAIL service).
std::vector<std::uint32_t> kernel_that_fails(std::uint32_t code);

/// An open device with one queue. `boot` false = nothing is opened yet.
class Session {
  public:
    explicit Session(const talus_drv_open_options& options);
    Session();
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    talus_drv_device* device = nullptr;
    talus_drv_queue* queue = nullptr;

    std::uint64_t memory(talus_drv_memory kind, std::uint64_t bytes, std::uint64_t alignment = 0);
    talus_drv_host_buffer host(std::uint64_t bytes);
    /// Puts a kernel into LLS; its entry.
    std::uint64_t load(const std::vector<std::uint32_t>& code);
    /// Submits one batch and waits for all of it.
    std::vector<talus_drv_completion> run(const std::vector<talus_drv_command>& commands);
    talus_drv_status submit(const std::vector<talus_drv_command>& commands);
    /// Waits for `count` completions.
    talus_drv_status wait(std::size_t count, std::vector<talus_drv_completion>& completions,
                          std::uint64_t timeout_us = 0);

  private:
    void start(const talus_drv_open_options& options);
};

talus_drv_command nop(std::uint64_t tag = 0);
talus_drv_command copy(talus_drv_opcode opcode, std::uint64_t source, std::uint64_t destination,
                       std::uint64_t bytes);
talus_drv_command launch(std::uint64_t entry, std::uint8_t rows = 0, std::uint8_t cols = 0,
                         std::uint32_t timeout_us = 0);

/// A talus-sim on a socket of its own, whose process the test knows.
class SimProcess {
  public:
    explicit SimProcess(bool publish = false);
    ~SimProcess();
    SimProcess(const SimProcess&) = delete;
    SimProcess& operator=(const SimProcess&) = delete;

    const std::string& socket() const { return socket_; }
    const std::string& sysfs() const { return sysfs_; }
    pid_t pid() const { return pid_; }
    void signal(int number);
    talus_drv_open_options options() const;

  private:
    std::string folder_;
    std::string socket_;
    std::string sysfs_;
    pid_t pid_ = -1;
};

/// Output and exit code of a program.
std::pair<std::string, int> run_program(const std::string& command);

} // namespace talus::driver_sim
