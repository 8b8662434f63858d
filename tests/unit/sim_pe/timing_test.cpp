// Times that follow from the configuration, and their determinism.
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

class TimingTest : public PeTest {
  protected:
    /// Clocks from the issue of a command to the end of the drain after it, in a fresh grid.
    Cycle clocks(const Step& command, const std::vector<std::uint64_t>& words) {
        Grid fresh;
        fresh.config = grid.config;
        fresh.build();
        std::vector<Step> steps;
        for (unsigned i = 0; i < words.size(); ++i) {
            steps.push_back(context(0, i, words[i]));
        }
        steps.push_back(command);
        steps.push_back(drain());
        const auto& log = fresh.execute(0, 0, steps);
        EXPECT_EQ(fresh.reg(0, PE_CP_FAULT_STATUS), 0u);
        return log.back().retired - log[log.size() - 2].retired;
    }
    Cycle dma_in(std::uint64_t addr, std::uint32_t bytes, std::uint32_t rows = 1,
                 std::uint32_t pitch = 0) {
        return clocks(enqueue(TALUS_FI_DMA_IN, 0, addr, TALUS_PAIR(bytes, rows)),
                      {direct(0), TALUS_PAIR(pitch, bytes)});
    }
    Cycle matmul(std::uint32_t m, std::uint32_t n, std::uint32_t k, unsigned type) {
        const std::uint32_t pitch = type == TALUS_CP_INT8 ? k : 2 * k;
        return clocks(enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(m | n << 16, k), type << 16),
                      {direct(0), direct(0x20000), TALUS_PAIR(pitch, pitch)});
    }
    const FiConfig& fi() { return grid.config.fi; }
    /// With the headers of packets of 256 bytes.
    Cycle on_wire(std::uint64_t bytes) const {
        return bytes + bytes / 256 * grid.config.noc.header_bytes;
    }
};

TEST_F(TimingTest, ALongTransferFromSharedSramTakesItsBytesOverThePortRate) {
    const Cycle latency = dma_in(TALUS_LLS_BASE, 64) - 1;
    for (const std::uint32_t bytes : {4096u, 65536u, 262144u}) {
        const Cycle expected = on_wire(bytes) / grid.config.noc.pe_port_bytes_per_clock + latency;
        EXPECT_NEAR(static_cast<double>(dma_in(TALUS_LLS_BASE, bytes)),
                    static_cast<double>(expected), 16.0)
            << bytes;
    }
    const Cycle hops = 1; // block 0 is on the left, next to column 0
    const Cycle minimum = grid.config.cp.dispatch_clocks + fi().startup_clocks +
                          2 * (grid.config.noc.traverse_clocks + hops) +
                          grid.config.sram.access_clocks;
    EXPECT_GE(latency, minimum);
    EXPECT_LE(latency, minimum + 4);
}

TEST_F(TimingTest, OneChannelOfDramLimitsOneStream) {
    // 256-byte blocks, one per channel round: 16 channels at 9.48 B/clock are above the port's 64,
    // one channel alone is not.
    const std::uint64_t stride = 256ull * grid.config.dram.channels;
    grid.config.dram.refresh = 0;
    const Cycle spread = dma_in(TALUS_DRAM_BASE, 65536);
    const Cycle single = dma_in(TALUS_DRAM_BASE, 256, 256, static_cast<std::uint32_t>(stride));
    const double channel_rate = grid.config.dram.megatransfers * 1e6 *
                                grid.config.dram.channel_bits / 8 /
                                (grid.config.device.clock_khz * 1e3);
    EXPECT_LT(spread, on_wire(65536) / 64 + 200u);
    EXPECT_GT(static_cast<double>(single), 65536 / channel_rate);
    EXPECT_LT(static_cast<double>(single), 65536 / channel_rate * 1.05 + 200);
}

TEST_F(TimingTest, SixtyFourPesShareSharedSramsBandwidth) {
    Grid full(8, 8);
    full.build();
    constexpr std::uint32_t kBytes = 131072;
    for (unsigned pe = 0; pe < 64; ++pe) {
        full.core(pe, 0).script = {
            context(0, 0, direct(0)), context(0, 1, 0),
            enqueue(TALUS_FI_DMA_IN, 0, TALUS_LLS_BASE + pe * kBytes, TALUS_PAIR(kBytes, 1)),
            drain()};
        full.core(pe, 0).start(0);
    }
    const double clocks = static_cast<double>(full.run());
    const double rate = 64.0 * kBytes / clocks;
    const double peak =
        static_cast<double>(full.config.sram.slices) * full.config.sram.slice_bytes_per_clock;
    EXPECT_LE(rate, peak);
    EXPECT_GE(rate, peak * 0.90) << clocks;
}

TEST_F(TimingTest, SixtyFourPesShareDramsBandwidth) {
    Grid full(8, 8);
    full.build();
    constexpr std::uint32_t kBytes = 65536;
    for (unsigned pe = 0; pe < 64; ++pe) {
        full.core(pe, 0).script = {
            context(0, 0, direct(0)), context(0, 1, 0),
            enqueue(TALUS_FI_DMA_IN, 0, TALUS_DRAM_BASE + pe * kBytes, TALUS_PAIR(kBytes, 1)),
            drain()};
        full.core(pe, 0).start(0);
    }
    const double clocks = static_cast<double>(full.run());
    const double rate = 64.0 * kBytes / clocks;
    const double peak = 204.8e9 / 1.35e9;
    EXPECT_LE(rate, peak);
    EXPECT_GE(rate, peak * 0.75) << clocks;
}

TEST_F(TimingTest, TheDotProductEngineReachesItsPublishedRate) {
    // The slope between two lengths leaves start-up and pipeline out.
    const Cycle fp16 = matmul(32, 32, 2048, TALUS_CP_FP16) - matmul(32, 32, 1024, TALUS_CP_FP16);
    EXPECT_EQ(fp16, 32u * 32 * 1024 / 1024);
    const Cycle int8 = matmul(32, 32, 2048, TALUS_CP_INT8) - matmul(32, 32, 1024, TALUS_CP_INT8);
    EXPECT_EQ(int8, 32u * 32 * 1024 / 2048);
    // One row alone is bound by filling the cached operand.
    const Cycle row = matmul(1, 32, 2048, TALUS_CP_FP16) - matmul(1, 32, 1024, TALUS_CP_FP16);
    EXPECT_EQ(row, 32u * 1024 * 2 / grid.config.dpe.load_bytes_per_clock);
}

TEST_F(TimingTest, ALowerStepTakesProportionallyMoreClocks) {
    const auto slope = [&](UnitClock clock) {
        const auto run = [&](std::uint32_t k) {
            Grid fresh;
            fresh.clock = clock;
            fresh.build();
            fresh.execute(
                0, 0,
                {context(0, 0, direct(0)), context(0, 1, direct(0x20000)),
                 context(0, 2, TALUS_PAIR(2 * k, 2 * k)),
                 enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 32 << 16, k), TALUS_CP_FP16 << 16),
                 drain()});
            return fresh.events.now();
        };
        return run(2200) - run(1100);
    };
    // 32 rows of k / 32 clocks, rounded up: 1,120 and 2,208; at the low step 1,374.5 and 2,709.8.
    EXPECT_EQ(slope({}), 2208u - 1120u);
    EXPECT_EQ(slope({1350000, 1100000}), 2710u - 1375u);
}

TEST_F(TimingTest, UnitsCountTheirWork) {
    Grid fresh;
    fresh.build();
    fresh.execute(0, 0,
                  {context(0, 0, direct(0)), context(0, 1, direct(0x20000)),
                   context(0, 2, TALUS_PAIR(64, 64)),
                   enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(3 | 5 << 16, 7), TALUS_CP_INT8 << 16),
                   enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(2 | 4 << 16, 6), TALUS_CP_FP16 << 16),
                   enqueue(TALUS_RE_STORE, 0, TALUS_PAIR(3 | 5 << 16, 0), TALUS_SE_RELU << 8),
                   enqueue(TALUS_SE_UNARY, 0, TALUS_PAIR(9, 2), 0), drain()});
    const PeCounters& counters = fresh.pes[0]->counters();
    EXPECT_EQ(counters.macs, 3u * 5 * 7 + 2u * 4 * 6);
    EXPECT_EQ(counters.int8_macs, 3u * 5 * 7);
    EXPECT_EQ(counters.reduction_elements, 15u);
    EXPECT_EQ(counters.simd_operations, 15u + 18u);
}

TEST_F(TimingTest, BackToBackProductsHideTheirStartUp) {
    const auto run = [](unsigned count) {
        Grid fresh;
        fresh.build();
        std::vector<Step> steps = {context(0, 0, direct(0)), context(0, 1, direct(0x20000)),
                                   context(0, 2, TALUS_PAIR(512, 512))};
        for (unsigned i = 0; i < count; ++i) {
            steps.push_back(enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 32 << 16, 256),
                                    (i & 3) | TALUS_CP_FP16 << 16));
        }
        steps.push_back(drain());
        fresh.execute(0, 0, steps);
        return fresh.events.now();
    };
    EXPECT_EQ(run(20) - run(4), 16u * 256);
}

TEST_F(TimingTest, DrainAndSimdRates) {
    const auto store = [&](std::uint32_t m) {
        return clocks(enqueue(TALUS_RE_STORE, 0, TALUS_PAIR(m | 32 << 16, 0), TALUS_CP_FP32 << 16),
                      {direct(0), 0, TALUS_PAIR(0, 128)});
    };
    EXPECT_EQ(store(32) - store(16), 16u);
    const auto unary = [&](std::uint32_t rows) {
        return clocks(enqueue(TALUS_SE_UNARY, 0, TALUS_PAIR(256, rows), 0),
                      {direct(0), direct(0x20000), TALUS_PAIR(1024, 1024)});
    };
    EXPECT_EQ(unary(20) - unary(10), 10u * 256 / grid.config.se.operations_per_clock);
}

/// A workload of many units and PEs, begun at `origin`; returns everything that a run may show,
/// times relative to `origin`.
std::vector<std::uint64_t> observe(Cycle origin) {
    Grid grid(2, 2);
    grid.build();
    grid.events.advance_to(origin);
    grid.fabric->rebase(origin);
    for (unsigned i = 0; i < 1 << 18; ++i) {
        grid.fabric->lls()[i] = static_cast<std::uint8_t>(i * 31);
    }
    for (unsigned pe = 0; pe < 4; ++pe) {
        ScriptedCore& a = grid.core(pe, 0);
        ScriptedCore& b = grid.core(pe, 1);
        a.script = {configure(0, 0, 8192), configure(1, 8192, 8192),
                    sync(TALUS_SEM_POST, 0 | 0xffff00, 1)};
        b.script = {sync(TALUS_SEM_WAIT, 0, 4)};
        for (unsigned i = 0; i < 12; ++i) {
            a.script.push_back(context(0, 0, TALUS_OPERAND(0, 0, 2048)));
            a.script.push_back(context(0, 1, TALUS_PAIR(64, 64)));
            a.script.push_back(enqueue(TALUS_FI_DMA_IN, 0, TALUS_LLS_BASE + 4096 * (i + 3 * pe),
                                       TALUS_PAIR(64, 32)));
            b.script.push_back(context(0, 0, TALUS_OPERAND(0, 0, 2048)));
            b.script.push_back(context(0, 1, TALUS_OPERAND(TALUS_DIRECT, 0x10000, 0)));
            b.script.push_back(context(0, 2, TALUS_PAIR(64, 64)));
            b.script.push_back(
                enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 16 << 16, 32), TALUS_CP_FP16 << 16));
            b.script.push_back(context(1, 0, TALUS_OPERAND(1, 0, 2048)));
            b.script.push_back(context(1, 2, TALUS_PAIR(0, 64)));
            b.script.push_back(
                enqueue(TALUS_RE_STORE, 1, TALUS_PAIR(32 | 16 << 16, 0), TALUS_CP_FP32 << 16));
            b.script.push_back(context(2, 0, TALUS_OPERAND(1, 0, 2048)));
            b.script.push_back(context(2, 1, TALUS_PAIR(64, 128)));
            b.script.push_back(enqueue(TALUS_FI_DMA_OUT, 2, TALUS_DRAM_BASE + 65536 * pe + 4096 * i,
                                       TALUS_PAIR(64, 32)));
        }
        a.script.push_back(drain());
        b.script.push_back(drain());
        a.start(origin + pe * 3);
        b.start(origin + pe * 5);
    }
    std::vector<std::uint64_t> seen = {grid.run() - origin};
    for (unsigned pe = 0; pe < 4; ++pe) {
        for (unsigned core = 0; core < 2; ++core) {
            EXPECT_EQ(grid.core(pe, core).next, grid.core(pe, core).script.size());
            for (const Executed& executed : grid.core(pe, core).log) {
                seen.push_back(executed.retired - origin);
            }
        }
        EXPECT_EQ(grid.reg(pe, PE_CP_FAULT_STATUS), 0u);
        EXPECT_EQ(grid.pes[pe]->counters().macs, 12u * 32 * 16 * 32);
    }
    std::uint64_t sum = 0;
    for (unsigned i = 0; i < 1 << 18; i += 8) {
        std::uint64_t word;
        std::memcpy(&word, grid.fabric->dram() + i, 8);
        sum = sum * 31 + word;
    }
    seen.push_back(sum);
    return seen;
}

TEST(Determinism, TheSameProgramTakesTheSameClocksAndGivesTheSameValues) {
    EXPECT_EQ(observe(0), observe(0));
}

TEST(Determinism, ARebasedFabricTakesTheSameClocksWheneverItBegins) {
    const auto expected = observe(0);
    for (const Cycle origin : {1u, 63u, 64u, 5000u, 1'234'567u}) {
        EXPECT_EQ(observe(origin), expected) << origin;
    }
}

// A unit's time is idle, active or one of the waits, to the last clock; busy is what its width
// says.
TEST_F(TimingTest, AUnitsTimeIsAccountedFor) {
    // CB 0 gets its data 3,000 clocks late by core B's hand; the DPE waits for it, then computes.
    grid.core(0, 1).script = {sync(TALUS_SEM_WAIT, 0, 1), sync(TALUS_CB_WAIT_SPACE, 0, 4096),
                              sync(TALUS_CB_PUSH, 0, 4096)};
    grid.core(0, 1).start(0);
    grid.pes[0]->write_register(0, PE_CP_STALL_LIMIT, 4, 0); // no event but those of the test
    const auto& log =
        run_a({configure(0, 0, 4096), context(0, 0, TALUS_OPERAND(0, 0, 0)),
               context(0, 1, direct(0x20000)), context(0, 2, TALUS_PAIR(128, 128)),
               enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 32 << 16, 64), TALUS_CP_FP16 << 16)});
    ASSERT_EQ(log.back().result.status, OpStatus::kDone);
    const Cycle waiting_from = log.back().retired + grid.config.cp.dispatch_clocks;
    grid.pes[0]->post_semaphore(3000, 0, 1);
    run_a({drain()});
    ASSERT_EQ(fault_cause(), 0u);
    const Cycle end = grid.events.now();
    const PeCounters::Unit& dpe = grid.pes[0]->counters().units[TALUS_UNIT_DPE];
    const Cycle pushed = grid.core(0, 1).log.back().retired;
    EXPECT_GT(pushed, 3000u);
    EXPECT_EQ(dpe.activity.spent(UnitActivity::kWaitData, end), pushed - waiting_from);
    EXPECT_EQ(dpe.activity.spent(UnitActivity::kIdle, pushed), waiting_from);
    EXPECT_EQ(dpe.activity.spent(UnitActivity::kWaitSpace, end), 0u);
    EXPECT_EQ(dpe.activity.spent(UnitActivity::kWaitBank, end), 0u);
    // 32 rows of 64 FP16 against 32 rows: 32 * 32 * 64 MAC at 1,024 a clock.
    EXPECT_EQ(dpe.busy_clocks, 64u);
    EXPECT_EQ(dpe.commands, 1u);
    std::uint64_t sum = 0;
    for (unsigned state = 0; state < static_cast<unsigned>(UnitActivity::kCount); ++state) {
        sum += dpe.activity.spent(static_cast<UnitActivity>(state), end);
    }
    EXPECT_EQ(sum, end);
    EXPECT_EQ(dpe.activity.spent(UnitActivity::kActive, end),
              64 + grid.config.dpe.startup_clocks + grid.config.dpe.pipeline_clocks);
}

} // namespace
} // namespace talus::sim::test
