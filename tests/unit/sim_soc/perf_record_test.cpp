// The performance record of a launch, on the whole stack: what the kernel is known to do must stand
// in it, and a core's and a unit's time must be accounted for to the last clock.
#include "busy_run.hpp"

namespace talus::test {
namespace {

TEST(PerfRecord, HoldsWhatTheKernelDid) {
    const Ran ran = run_busy_kernel(true);
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
    // DRAM is read in the first round; the others find the LLC's lines, and what is written stays
    // there.
    constexpr std::uint64_t kFirst = kMoved / kRounds;
    EXPECT_GE(c[TALUS_PERF_DRAM_READ_BYTES], kFirst);
    EXPECT_LE(c[TALUS_PERF_DRAM_READ_BYTES], kFirst * 11 / 10);
    EXPECT_LE(c[TALUS_PERF_DRAM_WRITE_BYTES], kFirst / 10);
    EXPECT_GE(c[TALUS_PERF_SRAM_READ_BYTES], kMoved - kFirst);
    EXPECT_GE(c[TALUS_PERF_SRAM_WRITE_BYTES], kMoved + kFirst); // and what came from DRAM
    EXPECT_GT(c[TALUS_PERF_DRAM_ROW_HITS] + c[TALUS_PERF_DRAM_ROW_MISSES], 0u);
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
    const Ran without = run_busy_kernel(false);
    EXPECT_EQ(without.record.magic, 0u);
    const Ran with = run_busy_kernel(true);
    EXPECT_EQ(without.launch.result, with.launch.result);
    // Looking costs the control core a few register accesses, and the PEs nothing; DRAM refresh
    // meets the job in another phase.
    EXPECT_NEAR(with.launch.exec_cycles, without.launch.exec_cycles, 400.0);
}

} // namespace
} // namespace talus::test
