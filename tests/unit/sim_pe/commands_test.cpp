// Queues, contexts, malformed commands, interlock of RE banks.
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

using CommandsTest = PeTest;

TEST_F(CommandsTest, TheQueueHoldsEightAndBlocksTheNinth) {
    // Commands that never start: their CB stays empty.
    std::vector<Step> steps = {configure(0, 0, 1024), context(0, 0, TALUS_OPERAND(0, 0, 64)),
                               context(0, 1, 0)};
    for (unsigned i = 0; i < TALUS_CP_QUEUE_DEPTH + 1; ++i) {
        steps.push_back(enqueue(TALUS_FI_DMA_OUT, 0, TALUS_LLS_BASE, TALUS_PAIR(64, 1)));
    }
    run_a(steps);
    ScriptedCore& a = grid.core(0, 0);
    EXPECT_TRUE(a.blocked);
    EXPECT_EQ(a.next, 3 + TALUS_CP_QUEUE_DEPTH);

    // Other units' queues have room; one block of data frees one place.
    ScriptedCore& b = grid.core(0, 1);
    b.script = {sync(TALUS_CB_WAIT_SPACE, 0, 64), sync(TALUS_CB_PUSH, 0, 64)};
    b.start(2000);
    grid.run();
    EXPECT_FALSE(a.blocked);
    EXPECT_EQ(a.next, a.script.size());
    EXPECT_GE(a.log.back().retired, 2000u);
}

TEST_F(CommandsTest, ACommandTakesACopyOfItsContext) {
    grid.set_local<std::uint32_t>(0, 0, 0x11223344);
    run_a({context(0, 0, TALUS_OPERAND(TALUS_DIRECT, 256, 0)),
           context(0, 1, TALUS_OPERAND(TALUS_DIRECT, 0, 0)), context(0, 2, 0),
           enqueue(TALUS_MLU_COPY, 0, TALUS_PAIR(4, 1), 0),
           context(0, 0, TALUS_OPERAND(TALUS_DIRECT, 512, 0)),
           enqueue(TALUS_MLU_COPY, 0, TALUS_PAIR(4, 1), 0), drain()});
    EXPECT_EQ(grid.local<std::uint32_t>(0, 256), 0x11223344u);
    EXPECT_EQ(grid.local<std::uint32_t>(0, 512), 0x11223344u);
}

TEST_F(CommandsTest, ContextsBelongToACore) {
    run_a({context(4, 0, TALUS_OPERAND(TALUS_DIRECT, 256, 0)), context(4, 2, 0)});
    // Core B's context 4 is still zero: CB 0, which is not configured.
    grid.execute(0, 1, {enqueue(TALUS_MLU_FILL, 4, TALUS_PAIR(4, 1), 0xab)});
    EXPECT_EQ(fault_cause(1), TALUS_TRAP_CB);
    run_a({enqueue(TALUS_MLU_FILL, 4, TALUS_PAIR(4, 1), 0xab), drain()});
    EXPECT_EQ(grid.local<std::uint32_t>(0, 256), 0xababababu);
}

TEST_F(CommandsTest, CoreNumbers) {
    run_a({sync(TALUS_CP_CORE, 0)});
    EXPECT_EQ(last(0).value, 0u);
    EXPECT_TRUE(last(0).writes_rd);
    grid.execute(0, 1, {sync(TALUS_CP_CORE, 0)});
    EXPECT_EQ(last(1).value, 1u);
}

/// Issues one instruction with context 0 = `words` and expects TALUS_TRAP_CP_COMMAND.
class MalformedTest : public PeTest {
  protected:
    void expect_malformed(const Step& step, std::vector<std::uint64_t> words = {}) {
        Grid fresh;
        fresh.build();
        std::vector<Step> steps;
        for (unsigned i = 0; i < words.size(); ++i) {
            steps.push_back(context(0, i, words[i]));
        }
        steps.push_back(step);
        const auto& log = fresh.execute(0, 0, steps);
        EXPECT_EQ(log.back().result.status, OpStatus::kTrap);
        EXPECT_EQ(log.back().result.cause, TALUS_TRAP_CP_COMMAND);
        EXPECT_EQ(log.back().result.tval, step.insn.raw);
    }
    const std::uint64_t direct = TALUS_OPERAND(TALUS_DIRECT, 0, 0);
};

TEST_F(MalformedTest, TrapsAtIssue) {
    const auto shape = TALUS_PAIR(64, 1);
    expect_malformed(enqueue(6 << 8, 0, 0, 0));                                     // no such unit
    expect_malformed(enqueue(TALUS_UNIT_FI_IN << 8 | 3, 0, 0, shape), {direct, 0}); // operation
    expect_malformed(enqueue(TALUS_FI_BROADCAST, 0, 0, shape), {direct, 0, 2});
    expect_malformed(enqueue(TALUS_FI_PREFETCH, 0, 0, shape), {0, TALUS_PAIR(0, 1)});
    expect_malformed(enqueue(TALUS_FI_DISCARD, 0, 0, shape), {0, TALUS_PAIR(0, 1)});
    expect_malformed(enqueue(TALUS_FI_DMA_IN, 0, 0, TALUS_PAIR(0, 1)), {direct, 0});
    expect_malformed(enqueue(TALUS_FI_DMA_IN, 0, 0, TALUS_PAIR(1, 0)), {direct, 0});
    expect_malformed(enqueue(TALUS_FI_DMA_IN, 0, 0, shape), {TALUS_OPERAND(32, 0, 0), 0});
    expect_malformed(enqueue(TALUS_FI_DMA_IN, 0, 0, shape), {direct | 1ull << 60, 0});
    expect_malformed(enqueue(TALUS_FI_DMA_IN, 0, 0, shape),
                     {TALUS_OPERAND(TALUS_DIRECT, 0, 64), 0}); // a direct operand can't push
    expect_malformed(enqueue(TALUS_FI_DMA_INDEXED, 0, 0, shape), {direct, 0, direct, 1, 7});
    expect_malformed(enqueue(TALUS_MLU_TRANSPOSE, 0, shape, 3), {direct, direct, 0});
    expect_malformed(enqueue(TALUS_MLU_FILL, 0, shape, 256), {direct, 0, 0});
    const auto tile = [](std::uint32_t m, std::uint32_t n, std::uint32_t k) {
        return TALUS_PAIR(m | n << 16, k);
    };
    expect_malformed(enqueue(TALUS_DPE_MATMUL, 0, tile(129, 1, 1), 1 << 16), {direct, direct, 0});
    expect_malformed(enqueue(TALUS_DPE_MATMUL, 0, tile(65, 33, 1), 1 << 16), {direct, direct, 0});
    expect_malformed(enqueue(TALUS_DPE_MATMUL, 0, tile(1, 0, 1), 1 << 16), {direct, direct, 0});
    expect_malformed(enqueue(TALUS_DPE_MATMUL, 0, tile(1, 1, 0), 1 << 16), {direct, direct, 0});
    expect_malformed(enqueue(TALUS_DPE_MATMUL, 0, tile(1, 1, 1), 4 | 1 << 16), {direct, direct});
    expect_malformed(enqueue(TALUS_DPE_MATMUL, 0, tile(1, 1, 1), 0), {direct, direct, 0}); // FP32
    expect_malformed(enqueue(TALUS_RE_LOAD, 0, tile(1, 1, 0), 3 << 8), {0, direct, 0});
    expect_malformed(enqueue(TALUS_RE_STORE, 0, tile(1, 1, 0), TALUS_CP_INT8 << 16), {direct});
    expect_malformed(
        enqueue(TALUS_RE_STORE, 0, tile(1, 1, 0), TALUS_SE_RELU << 8 | TALUS_CP_INT32 << 16),
        {direct});
    expect_malformed(enqueue(TALUS_SE_UNARY, 0, shape, 6), {direct, direct, 0});
    expect_malformed(enqueue(TALUS_SE_UNARY, 0, shape, TALUS_CP_INT64 << 8), {direct, direct, 0});
    expect_malformed(enqueue(TALUS_SE_BINARY, 0, shape, 5), {direct, direct, 0, direct, 0});
    expect_malformed(enqueue(TALUS_SE_SCALE, 0, shape, 1), {direct, direct, 0, 0});
    expect_malformed(enqueue(TALUS_SE_ROW_ACCUMULATE, 0, TALUS_PAIR(8, 129), 0), {direct, direct});
    expect_malformed(enqueue(TALUS_SE_ROW_ACCUMULATE, 0, TALUS_PAIR(8, 1), 2), {direct, direct});
    expect_malformed(sync(TALUS_CTX_SET, 0, 8));
    expect_malformed(sync(TALUS_SEM_WAIT, 32, 1));
    expect_malformed(sync(TALUS_SEM_POST, 32, 1));
    expect_malformed(sync(TALUS_CP_DRAIN, 64));
    expect_malformed(sync(7 << 8, 0));
}

TEST_F(CommandsTest, LocalOperandsAreBoundedAndAligned) {
    run_a({context(0, 0, TALUS_OPERAND(TALUS_DIRECT, TALUS_LOCAL_SIZE - 64, 0)), context(0, 2, 0),
           enqueue(TALUS_MLU_FILL, 0, TALUS_PAIR(64, 1), 1), drain()});
    EXPECT_EQ(fault_cause(), 0u);
    run_a({enqueue(TALUS_MLU_FILL, 0, TALUS_PAIR(65, 1), 1)});
    EXPECT_EQ(fault_cause(), TALUS_TRAP_LOCAL);
    EXPECT_EQ(fault_tval(), TALUS_LOCAL_SIZE - 64);

    // FP16 operands at an odd offset.
    grid.execute(0, 1,
                 {context(0, 0, TALUS_OPERAND(TALUS_DIRECT, 1, 0)),
                  context(0, 1, TALUS_OPERAND(TALUS_DIRECT, 64, 0)), context(0, 2, 0),
                  enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(1 | 1 << 16, 4), 1 << 16)});
    EXPECT_EQ(fault_cause(1), TALUS_TRAP_LOCAL);
}

TEST_F(CommandsTest, AFaultStopsTheCoreUntilReset) {
    run_a({context(0, 0, TALUS_OPERAND(0, 0, 0)), enqueue(TALUS_MLU_FILL, 0, TALUS_PAIR(4, 1), 1),
           context(1, 0, TALUS_OPERAND(TALUS_DIRECT, 0, 0)), context(1, 2, 0),
           enqueue(TALUS_MLU_FILL, 1, TALUS_PAIR(4, 1), 1)});
    EXPECT_EQ(fault_cause(), TALUS_TRAP_CB);
    EXPECT_EQ(grid.local<std::uint32_t>(0, 0), 0u);
    // The other core goes on.
    grid.execute(0, 1,
                 {context(1, 0, TALUS_OPERAND(TALUS_DIRECT, 64, 0)), context(1, 2, 0),
                  enqueue(TALUS_MLU_FILL, 1, TALUS_PAIR(4, 1), 2), drain()});
    EXPECT_EQ(grid.local<std::uint32_t>(0, 64), 0x02020202u);

    grid.pes[0]->write_register(grid.events.now(), PE_CP_FAULT_STATUS, 4, 1);
    EXPECT_EQ(grid.core(0, 0).lines >> TALUS_LIRQ_CP_FAULT & 1, 0u);
    grid.pes[0]->write_register(grid.events.now(), PE_CP_RESET, 4, 1);
    run_a({context(1, 0, TALUS_OPERAND(TALUS_DIRECT, 0, 0)), context(1, 2, 0),
           enqueue(TALUS_MLU_FILL, 1, TALUS_PAIR(4, 1), 3), drain()});
    EXPECT_EQ(grid.local<std::uint32_t>(0, 0), 0x03030303u);
}

TEST_F(CommandsTest, ABanksCommandsKeepTheirOrderAcrossUnits) {
    // Bias, product, drain, next bias on one bank: without the interlock the store would overtake
    // the long product and the second load would destroy it.
    constexpr std::uint32_t k = 2048;
    for (std::uint32_t i = 0; i < 64 * k; ++i) {
        grid.set_local<std::uint16_t>(0, 2 * i, 0x3c00); // FP16 1.0
    }
    for (std::uint32_t j = 0; j < 32; ++j) {
        grid.set_local<float>(0, 0x50000 + 4 * j, 0.5f);
        grid.set_local<float>(0, 0x50080 + 4 * j, -4.0f);
    }
    const auto tile = TALUS_PAIR(32 | 32 << 16, 0);
    const auto direct = [](std::uint32_t offset) { return TALUS_OPERAND(TALUS_DIRECT, offset, 0); };
    const auto store = 0x0 | TALUS_SE_NONE << 8 | TALUS_CP_FP32 << 16;
    run_a({context(0, 1, direct(0x50000)), context(0, 2, 0), context(1, 0, direct(0)),
           context(1, 1, direct(32 * k * 2)), context(1, 2, TALUS_PAIR(2 * k, 2 * k)),
           context(2, 0, direct(0x51000)), context(2, 2, TALUS_PAIR(0, 128)),
           context(3, 1, direct(0x50080)), context(3, 2, 0), context(4, 0, direct(0x53000)),
           context(4, 2, TALUS_PAIR(0, 128)), enqueue(TALUS_RE_LOAD, 0, tile, 1 << 8),
           enqueue(TALUS_DPE_MATMUL, 1, TALUS_PAIR(32 | 32 << 16, k), 1 << 8 | 1 << 16),
           enqueue(TALUS_RE_STORE, 2, tile, store), enqueue(TALUS_RE_LOAD, 3, tile, 1 << 8),
           enqueue(TALUS_RE_STORE, 4, tile, store), drain()});
    ASSERT_EQ(fault_cause(), 0u);
    for (std::uint32_t i = 0; i < 1024; ++i) {
        ASSERT_EQ(grid.local<float>(0, 0x51000 + 4 * i), 2048.5f);
        ASSERT_EQ(grid.local<float>(0, 0x53000 + 4 * i), -4.0f);
    }
}

TEST_F(CommandsTest, DrainWaitsForTheUnitsOfItsMaskOnly) {
    std::vector<Step> steps = {configure(0, 0, 1024),
                               context(0, 0, TALUS_OPERAND(0, 0, 64)),
                               context(0, 1, 0),
                               context(1, 0, TALUS_OPERAND(TALUS_DIRECT, 4096, 0)),
                               context(1, 2, 0),
                               enqueue(TALUS_FI_DMA_OUT, 0, TALUS_LLS_BASE, TALUS_PAIR(64, 1)),
                               enqueue(TALUS_MLU_FILL, 1, TALUS_PAIR(6400, 1), 9),
                               drain(1u << TALUS_UNIT_MLU),
                               drain(1u << TALUS_UNIT_FI_OUT)};
    run_a(steps);
    ScriptedCore& a = grid.core(0, 0);
    EXPECT_TRUE(a.blocked);
    EXPECT_EQ(a.next, 8u);
    EXPECT_GE(a.log[7].retired, 100u); // 6,400 bytes at 64 a clock
}

} // namespace
} // namespace talus::sim::test
