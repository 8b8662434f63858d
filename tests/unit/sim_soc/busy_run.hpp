// One launch of busy_kernel.c on a sub-grid of a simulated device, with or without a performance
// record.
#ifndef TALUS_TESTS_SIM_SOC_BUSY_RUN_HPP
#define TALUS_TESTS_SIM_SOC_BUSY_RUN_HPP

#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "talus/driver.h"
#include "talus/hw/perf.h"

namespace talus::test {

constexpr std::uint32_t kRows = 2;
constexpr std::uint32_t kCols = 3;
constexpr std::uint32_t kPes = kRows * kCols;
constexpr std::uint32_t kShare = 6400; // bytes a PE
constexpr std::uint32_t kRounds = 4;

struct Ran {
    talus_drv_completion launch{};
    talus_perf_record record{};
};

#define BUSY_RUN(call)                                                                             \
    do {                                                                                           \
        if ((call) != TALUS_DRV_OK)                                                                \
            throw std::runtime_error(std::string(#call) + ": " + talus_drv_last_error());          \
    } while (false)

/// Opens the device, runs as often as asked for, closes it.
inline Ran run_busy_kernel(bool profile, unsigned launches = 1) {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    talus_drv_device* raw = nullptr;
    BUSY_RUN(talus_drv_open(&options, &raw));
    const std::unique_ptr<talus_drv_device, void (*)(talus_drv_device*)> device(raw,
                                                                                talus_drv_close);
    talus_drv_queue* queue = nullptr;
    BUSY_RUN(talus_drv_queue_create(raw, nullptr, &queue));
    std::ifstream file(TALUS_TEST_KERNEL, std::ios::binary);
    const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    std::uint64_t code = 0;
    std::uint64_t data = 0;
    std::uint64_t args = 0;
    std::uint64_t perf = 0;
    BUSY_RUN(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, image.size(), 4096, &code));
    BUSY_RUN(talus_drv_memory_alloc(raw, TALUS_DRV_DRAM, 2ull * kPes * kShare, 4096, &data));
    BUSY_RUN(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, 4096, 4096, &args));
    BUSY_RUN(talus_drv_memory_alloc(raw, TALUS_DRV_DRAM, TALUS_PERF_RECORD_BYTES, 4096, &perf));
    BUSY_RUN(talus_drv_copy_in(queue, code, image.data(), image.size()));
    const std::vector<std::uint8_t> ones(kPes * kShare, 1);
    BUSY_RUN(talus_drv_copy_in(queue, data, ones.data(), ones.size()));
    const std::uint64_t argument[3] = {data, data + kPes * kShare,
                                       kShare | std::uint64_t{kRounds} << 32};
    BUSY_RUN(talus_drv_copy_in(queue, args, argument, sizeof argument));

    talus_drv_command command;
    std::memset(&command, 0, sizeof command);
    command.opcode = TALUS_DRV_LAUNCH;
    command.launch.entry = code;
    command.launch.args = args;
    command.launch.args_bytes = sizeof argument;
    command.launch.row = 1;
    command.launch.col = 2;
    command.launch.rows = kRows;
    command.launch.cols = kCols;
    command.launch.perf = profile ? perf : 0;
    Ran ran;
    for (unsigned launch = 0; launch < launches; ++launch) {
        std::size_t count = 0;
        BUSY_RUN(talus_drv_submit(queue, &command, 1, nullptr));
        BUSY_RUN(talus_drv_wait(queue, &ran.launch, 1, 1, &count, 0));
    }
    BUSY_RUN(talus_drv_copy_out(queue, &ran.record, perf, sizeof ran.record));

    command.launch.perf = perf + 8; // refused before it reaches the device
    EXPECT_EQ(talus_drv_submit(queue, &command, 1, nullptr), TALUS_DRV_INVALID_ARGUMENT);
    talus_drv_queue_destroy(queue);
    return ran;
}

#undef BUSY_RUN

/// The counters of two runs are the same, but for how a difference of whole nanojoules is rounded:
/// that depends on what the control cores did before, and so on how often the host looked.
inline void expect_same_counters(const Ran& left, const Ran& right) {
    for (std::size_t i = 0; i < std::size(left.record.counters); ++i) {
        if (i == TALUS_PERF_CONTROL_ENERGY) {
            EXPECT_NEAR(static_cast<double>(left.record.counters[i]),
                        static_cast<double>(right.record.counters[i]), 1);
        } else {
            EXPECT_EQ(left.record.counters[i], right.record.counters[i]) << i;
        }
    }
}

} // namespace talus::test

#endif
