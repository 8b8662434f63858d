// The performance record of a launch, on the whole stack: what the kernel is known to do must stand
// in it, and a core's and a unit's time must be accounted for to the last clock.
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "talus/driver.h"
#include "talus/hw/perf.h"

namespace {

constexpr std::uint32_t kRows = 2;
constexpr std::uint32_t kCols = 3;
constexpr std::uint32_t kPes = kRows * kCols;
constexpr std::uint32_t kShare = 6400; // bytes a PE
constexpr std::uint32_t kRounds = 4;

struct Ran {
    talus_drv_completion launch{};
    talus_perf_record record{};
};

#define DRV(call)                                                                                  \
    do {                                                                                           \
        if ((call) != TALUS_DRV_OK)                                                                \
            throw std::runtime_error(std::string(#call) + ": " + talus_drv_last_error());          \
    } while (false)

/// Runs busy_kernel.c on a sub-grid, with or without a record.
Ran run(bool profile) {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    talus_drv_device* raw = nullptr;
    DRV(talus_drv_open(&options, &raw));
    const std::unique_ptr<talus_drv_device, void (*)(talus_drv_device*)> device(raw,
                                                                                talus_drv_close);
    talus_drv_queue* queue = nullptr;
    DRV(talus_drv_queue_create(raw, nullptr, &queue));
    std::ifstream file(TALUS_TEST_KERNEL, std::ios::binary);
    const std::vector<char> image{std::istreambuf_iterator<char>(file), {}};
    std::uint64_t code = 0;
    std::uint64_t data = 0;
    std::uint64_t args = 0;
    std::uint64_t perf = 0;
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, image.size(), 4096, &code));
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_DRAM, 2ull * kPes * kShare, 4096, &data));
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, 4096, 4096, &args));
    DRV(talus_drv_memory_alloc(raw, TALUS_DRV_DRAM, TALUS_PERF_RECORD_BYTES, 4096, &perf));
    DRV(talus_drv_copy_in(queue, code, image.data(), image.size()));
    const std::vector<std::uint8_t> ones(kPes * kShare, 1);
    DRV(talus_drv_copy_in(queue, data, ones.data(), ones.size()));
    const std::uint64_t argument[3] = {data, data + kPes * kShare,
                                       kShare | std::uint64_t{kRounds} << 32};
    DRV(talus_drv_copy_in(queue, args, argument, sizeof argument));

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
    DRV(talus_drv_submit(queue, &command, 1, nullptr));
    Ran ran;
    std::size_t count = 0;
    DRV(talus_drv_wait(queue, &ran.launch, 1, 1, &count, 0));
    DRV(talus_drv_copy_out(queue, &ran.record, perf, sizeof ran.record));

    command.launch.perf = perf + 8; // refused before it reaches the device
    EXPECT_EQ(talus_drv_submit(queue, &command, 1, nullptr), TALUS_DRV_INVALID_ARGUMENT);
    talus_drv_queue_destroy(queue);
    return ran;
}

TEST(PerfRecord, HoldsWhatTheKernelDid) {
    const Ran ran = run(true);
    ASSERT_EQ(ran.launch.device_status, 0);
    EXPECT_EQ(ran.launch.result, std::uint64_t{kPes} * kShare); // all ones
    const talus_perf_record& r = ran.record;
    const auto& c = r.counters;
    ASSERT_EQ(r.magic, TALUS_PERF_MAGIC);
    EXPECT_EQ(r.count, TALUS_PERF_COUNT);
    EXPECT_EQ(r.pes, kPes);
    EXPECT_EQ(r.clock_khz, 1350000u);
    const std::uint64_t span = r.end - r.begin;
    EXPECT_GT(span, ran.launch.launch_cycles);
    EXPECT_LE(span, ran.launch.exec_cycles);
    EXPECT_LT(ran.launch.exec_cycles - span, 1000u); // the command's checks, and its end

    // The kernel's transfers.
    constexpr std::uint64_t kMoved = std::uint64_t{kPes} * kShare * kRounds;
    for (const unsigned unit : {TALUS_PERF_FI_IN_COMMANDS, TALUS_PERF_FI_OUT_COMMANDS}) {
        EXPECT_EQ(c[unit], kPes * kRounds);
        EXPECT_EQ(c[unit + TALUS_PERF_FI_IN_BYTES], kMoved);
        EXPECT_NEAR(static_cast<double>(c[unit + TALUS_PERF_FI_IN_BUSY]), kMoved / 64.0,
                    kPes * kRounds * 2.0);
        EXPECT_GE(c[unit + TALUS_PERF_FI_IN_ACTIVE], c[unit + TALUS_PERF_FI_IN_BUSY]);
    }
    EXPECT_GE(c[TALUS_PERF_DRAM_READ_BYTES], kMoved);
    EXPECT_GE(c[TALUS_PERF_DRAM_WRITE_BYTES], kMoved);
    EXPECT_LE(c[TALUS_PERF_DRAM_READ_BYTES], kMoved * 11 / 10);
    EXPECT_LE(c[TALUS_PERF_DRAM_WRITE_BYTES], kMoved * 11 / 10);
    EXPECT_GT(c[TALUS_PERF_DRAM_ROW_HITS] + c[TALUS_PERF_DRAM_ROW_MISSES], 0u);
    EXPECT_GT(c[TALUS_PERF_SRAM_READ_BYTES], 0u); // instructions and arguments
    EXPECT_EQ(c[TALUS_PERF_MACS], 0u);
    EXPECT_EQ(c[TALUS_PERF_DPE_COMMANDS], 0u);

    // Core B adds up every byte: at least a load and an addition each.
    EXPECT_GT(c[TALUS_PERF_B_RETIRED], 2u * kPes * kShare);
    EXPECT_GE(c[TALUS_PERF_B_RUN], c[TALUS_PERF_B_RETIRED] * 9 / 10);
    EXPECT_GT(c[TALUS_PERF_A_WAIT_DRAIN], c[TALUS_PERF_FI_IN_BUSY]);
    EXPECT_GT(c[TALUS_PERF_A_FETCH_MISSES], 0u);

    // Time is accounted for to the last clock.
    for (const unsigned core : {0u, 1u}) {
        std::uint64_t sum = 0;
        for (unsigned k = TALUS_PERF_A_RUN; k <= TALUS_PERF_A_WAIT_DRAIN; ++k) {
            sum += c[k + core * TALUS_PERF_CORE_STRIDE];
        }
        EXPECT_EQ(sum, span * kPes) << "core " << core;
    }
    for (unsigned unit = 0; unit < 6; ++unit) {
        const std::uint64_t* u = c + unit * TALUS_PERF_UNIT_STRIDE;
        EXPECT_LE(u[TALUS_PERF_FI_IN_ACTIVE] + u[TALUS_PERF_FI_IN_WAIT_DATA] +
                      u[TALUS_PERF_FI_IN_WAIT_SPACE] + u[TALUS_PERF_FI_IN_WAIT_BANK],
                  span * kPes);
    }
    for (unsigned k = TALUS_PERF_COUNT; k < 120; ++k) {
        EXPECT_EQ(c[k], 0u);
    }

    // Published peaks of t2: 2.7 TB/s of SRAM, 204.8 GB/s of DRAM, 32 GB/s of PCIe, 1 TB/s of local
    // memory a PE.
    const double seconds = static_cast<double>(span) / 1.35e9;
    EXPECT_NEAR(static_cast<double>(r.sram_peak_bytes) / seconds, 2.7e12, 0.08e12);
    EXPECT_NEAR(static_cast<double>(r.dram_peak_bytes) / seconds, 204.8e9, 0.5e9);
    EXPECT_NEAR(static_cast<double>(r.pcie_peak_bytes) / seconds, 32e9, 0.5e9);
    EXPECT_NEAR(static_cast<double>(r.local_peak_bytes) / seconds / kPes, 1e12, 0.05e12);
}

TEST(PerfRecord, IsNotWrittenUnlessAskedFor) {
    const Ran without = run(false);
    EXPECT_EQ(without.record.magic, 0u);
    const Ran with = run(true);
    EXPECT_EQ(without.launch.result, with.launch.result);
    // Looking costs the control core a few register accesses, and the PEs nothing; DRAM refresh
    // meets the job in another phase.
    EXPECT_NEAR(with.launch.exec_cycles, without.launch.exec_cycles, 400.0);
}

} // namespace
