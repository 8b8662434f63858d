// A device and a queue through talus/driver.h alone, and small kernels in machine code.
#pragma once

#include "talus/driver.h"

#include "talus/hw/status.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace talus::device_test {

/// Fails the test with the driver's message.
#define EXPECT_DRV_OK(call) EXPECT_EQ(call, TALUS_DRV_OK) << talus_drv_last_error()
#define ASSERT_DRV_OK(call) ASSERT_EQ(call, TALUS_DRV_OK) << talus_drv_last_error()

/// The completion's status without its "more" and "do not retry" bits.
#define EXPECT_STATUS(completion, expected)                                                        \
    EXPECT_EQ(TALUS_STATUS_BASE((completion).device_status), expected)                             \
        << talus_drv_device_status_name((completion).device_status)

/// Kernels as RV64 machine code: an image of a few words needs no linker.
std::vector<std::uint32_t> kernel_that_returns();
std::vector<std::uint32_t> kernel_that_loops();
std::vector<std::uint32_t> kernel_with_an_illegal_instruction();
/// Reports error `code` with words 1, 2, 3, 4 (the kernel ABI's FAIL service).
std::vector<std::uint32_t> kernel_that_fails(std::uint32_t code);

/// A row of the fault table, which `tests/hil/run` collects from the tests' output: what went
/// wrong, how that was brought about, what the user of the driver saw, what brought the device
/// back, and how long that took in seconds of wall clock.
void report_fault(const std::string& fault, const std::string& injected, const std::string& seen,
                  const std::string& recovery, double seconds);
/// The same where talus_drv_recover did it.
void report_fault(const std::string& fault, const std::string& injected, const std::string& seen,
                  const talus_drv_recovery& recovery);

/// What TALUS_DEVICE names; without it a simulator that the driver starts.
const char* device_under_test();
/// It is talusd's, and so is what concerns the card as a whole.
bool behind_talusd();

/// An open device with one queue; by default device_under_test().
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

} // namespace talus::device_test
