// Circular buffers: order, waiting, and every rule whose breach is TALUS_TRAP_CB.
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

constexpr std::uint64_t kLls = TALUS_LLS_BASE;

class CircularBufferTest : public PeTest {
  protected:
    /// Core A's FI produces `bytes` into CB `cb` from LLS.
    static std::vector<Step> produce(unsigned cb, std::uint32_t bytes, std::uint32_t push,
                                     std::uint32_t offset = 0, std::uint64_t from = kLls) {
        return {context(0, 0, TALUS_OPERAND(cb, offset, push)), context(0, 1, 0),
                enqueue(TALUS_FI_DMA_IN, 0, from, TALUS_PAIR(bytes, 1))};
    }
    static std::vector<Step> consume(unsigned cb, std::uint32_t bytes, std::uint32_t pop,
                                     std::uint64_t to, std::uint32_t offset = 0) {
        return {context(1, 0, TALUS_OPERAND(cb, offset, pop)), context(1, 1, 0),
                enqueue(TALUS_FI_DMA_OUT, 1, to, TALUS_PAIR(bytes, 1))};
    }
    static std::vector<Step> join(std::initializer_list<std::vector<Step>> parts) {
        std::vector<Step> all;
        for (const auto& part : parts) {
            all.insert(all.end(), part.begin(), part.end());
        }
        return all;
    }
    void fill_lls() {
        for (unsigned i = 0; i < 65536; ++i) {
            grid.fabric->lls()[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
        }
    }
};

TEST_F(CircularBufferTest, DataFlowsThroughARingSmallerThanItself) {
    fill_lls();
    std::vector<Step> steps = {configure(3, 4096, 512)};
    for (unsigned i = 0; i < 16; ++i) {
        steps = join({steps, produce(3, 128, 128, 0, kLls + 128 * i),
                      consume(3, 128, 128, kLls + 65536 + 128 * i)});
    }
    steps.push_back(drain());
    run_a(steps);
    ASSERT_EQ(fault_cause(), 0u);
    ASSERT_FALSE(grid.core(0, 0).trapped);
    EXPECT_EQ(std::memcmp(grid.fabric->lls(), grid.fabric->lls() + 65536, 16 * 128), 0);
}

TEST_F(CircularBufferTest, TheConsumerWaitsForTheProducerOfTheOtherCore) {
    fill_lls();
    // Core B's consumer is issued first and long before core A's producer.
    ScriptedCore& b = grid.core(0, 1);
    b.script = join({{configure(0, 0, 1024)}, consume(0, 256, 256, kLls + 65536), {drain()}});
    b.start(0);
    grid.run();
    EXPECT_TRUE(b.blocked);
    EXPECT_EQ(grid.events.now() < 100, true);

    ScriptedCore& a = grid.core(0, 0);
    a.script = join({produce(0, 256, 256), {drain()}});
    a.start(5000);
    grid.run();
    EXPECT_FALSE(b.blocked);
    EXPECT_GT(b.log.back().retired, a.log.back().retired);
    EXPECT_EQ(std::memcmp(grid.fabric->lls(), grid.fabric->lls() + 65536, 256), 0);
}

TEST_F(CircularBufferTest, TheProducerWaitsForSpaceAndIsReleasedByACorePop) {
    fill_lls();
    ScriptedCore& a = grid.core(0, 0);
    a.script = join({{configure(0, 0, 256)},
                     produce(0, 256, 256),
                     produce(0, 256, 256, 0, kLls + 256),
                     {drain()}});
    a.start(0);
    grid.run();
    ASSERT_TRUE(a.blocked);
    EXPECT_EQ(grid.local<std::uint8_t>(0, 0), grid.fabric->lls()[0]);

    const auto waits = grid.pes[0]->describe_waits();
    ASSERT_EQ(waits.size(), 2u);
    EXPECT_NE(waits[1].find("256 bytes of space in CB 0"), std::string::npos) << waits[1];

    ScriptedCore& b = grid.core(0, 1);
    b.script = {sync(TALUS_CB_WAIT_DATA, 0, 256), sync(TALUS_CB_POP, 0, 256)};
    b.start(10000);
    grid.run();
    EXPECT_FALSE(a.blocked);
    EXPECT_EQ(b.log[0].result.value, TALUS_LOCAL_BASE + 0);
    EXPECT_EQ(grid.local<std::uint8_t>(0, 0), grid.fabric->lls()[256]);
    EXPECT_GT(a.log.back().retired, 10000u);
}

TEST_F(CircularBufferTest, PartsArePublishedByThePushOfTheLast) {
    fill_lls();
    ScriptedCore& b = grid.core(0, 1);
    b.script = {configure(0, 0, 512), sync(TALUS_CB_WAIT_DATA, 0, 256)};
    b.start(0);
    grid.run();
    run_a(join({produce(0, 128, 0), produce(0, 64, 0, 192, kLls + 192), {drain()}}));
    EXPECT_TRUE(b.blocked); // nothing was pushed
    EXPECT_EQ(grid.pes[0]->describe_waits().size(), 1u);
    run_a(join({produce(0, 64, 256, 128, kLls + 128), {drain()}}));
    EXPECT_FALSE(b.blocked);
    EXPECT_EQ(std::memcmp(grid.fabric->lls(), grid.pes[0]->local_memory(), 256), 0);
}

TEST_F(CircularBufferTest, DataIsReusedUntilItIsPopped) {
    fill_lls();
    run_a(join({{configure(0, 0, 256)},
                produce(0, 256, 256),
                consume(0, 64, 0, kLls + 65536, 64),
                consume(0, 64, 0, kLls + 65536 + 64, 64),
                consume(0, 64, 256, kLls + 65536 + 128),
                {drain(), sync(TALUS_CB_OCCUPANCY, 0)}}));
    EXPECT_EQ(last().value, 0u);
    const std::uint8_t* out = grid.fabric->lls() + 65536;
    EXPECT_EQ(std::memcmp(out, grid.fabric->lls() + 64, 64), 0);
    EXPECT_EQ(std::memcmp(out + 64, grid.fabric->lls() + 64, 64), 0);
    EXPECT_EQ(std::memcmp(out + 128, grid.fabric->lls(), 64), 0);
}

TEST_F(CircularBufferTest, APushMustDivideTheDepth) {
    run_a(join({{configure(5, 0, 256)}, produce(5, 96, 96)}));
    EXPECT_EQ(fault_cause(), TALUS_TRAP_CB);
    EXPECT_EQ(fault_tval(), 5u);
    EXPECT_NE(grid.core(0, 0).lines >> TALUS_LIRQ_CP_FAULT & 1, 0u);
    EXPECT_EQ(grid.reg(0, PE_CP_FAULT_PC_A, 8), 0x1000u + 4 * 3);
}

TEST_F(CircularBufferTest, ARequestAboveTheDepthIsAnErrorNotAWait) {
    run_a(join({{configure(5, 0, 256)}, produce(5, 512, 256)}));
    EXPECT_EQ(fault_cause(), TALUS_TRAP_CB);
}

TEST_F(CircularBufferTest, NoOperandWrapsRoundTheEnd) {
    run_a(join({{configure(5, 0, 256)}, produce(5, 64, 64), {drain()}, consume(5, 64, 64, kLls)}));
    ASSERT_EQ(fault_cause(), 0u);
    run_a(produce(5, 256, 64)); // 192 bytes are left before the end
    EXPECT_EQ(fault_cause(), TALUS_TRAP_CB);
}

TEST_F(CircularBufferTest, APopAboveWhatIsCommittedIsAnError) {
    run_a(join({{configure(5, 0, 256)}, produce(5, 64, 64), {drain()}, consume(5, 64, 128, kLls)}));
    EXPECT_EQ(fault_cause(), TALUS_TRAP_CB);
}

TEST_F(CircularBufferTest, ASecondProducerIsAnError) {
    run_a(join({{configure(5, 0, 256)}, produce(5, 64, 64), {drain()}}));
    ASSERT_EQ(fault_cause(), 0u);
    grid.execute(0, 1, produce(5, 64, 64));
    EXPECT_EQ(fault_cause(1), TALUS_TRAP_CB);
    EXPECT_EQ(fault_cause(0), 0u);
    EXPECT_EQ(grid.core(0, 0).lines >> TALUS_LIRQ_CP_FAULT & 1, 0u);
}

TEST_F(CircularBufferTest, ASecondConsumerIsAnError) {
    run_a(join({{configure(5, 0, 256)},
                produce(5, 128, 128),
                consume(5, 64, 64, kLls),
                {drain()},
                {sync(TALUS_CB_POP, 5, 64)}}));
    EXPECT_EQ(last().status, OpStatus::kTrap);
    EXPECT_EQ(last().cause, TALUS_TRAP_CB);
}

TEST_F(CircularBufferTest, AnUnconfiguredOrUnknownCbIsAnError) {
    run_a({sync(TALUS_CB_WAIT_DATA, 7, 64)});
    EXPECT_EQ(last().cause, TALUS_TRAP_CB);
    EXPECT_EQ(last().tval, 7u);
    grid.execute(0, 1, {sync(TALUS_CB_PUSH, 32, 64)});
    EXPECT_EQ(last(1).cause, TALUS_TRAP_CB);
}

TEST_F(CircularBufferTest, ReconfigurationWhileACommandRefersToItIsAnError) {
    run_a(join({{configure(5, 0, 256)}, consume(5, 64, 64, kLls)})); // waits for ever
    ASSERT_EQ(fault_cause(), 0u);
    run_a({configure(5, 1024, 256)});
    EXPECT_EQ(last().cause, TALUS_TRAP_CB);
}

TEST_F(CircularBufferTest, ConfigurationChecksAlignmentAndBounds) {
    run_a({configure(1, 32, 256)});
    EXPECT_EQ(last().cause, TALUS_TRAP_CB);
    grid.execute(0, 1, {configure(1, TALUS_LOCAL_SIZE - 64, 128)});
    EXPECT_EQ(last(1).cause, TALUS_TRAP_LOCAL);
}

TEST_F(CircularBufferTest, CorePushesAndPopsKeepTheirBounds) {
    run_a({configure(1, 0, 256), sync(TALUS_CB_WAIT_SPACE, 1, 256), sync(TALUS_CB_PUSH, 1, 256),
           sync(TALUS_CB_OCCUPANCY, 1), sync(TALUS_CB_PUSH, 1, 64)});
    EXPECT_EQ(grid.core(0, 0).log[1].result.value, TALUS_LOCAL_BASE);
    EXPECT_EQ(grid.core(0, 0).log[3].result.value, 256u);
    EXPECT_EQ(last().cause, TALUS_TRAP_CB); // no space was waited for
    grid.execute(
        0, 1, {sync(TALUS_CB_POP, 1, 128), sync(TALUS_CB_POP, 1, 128), sync(TALUS_CB_POP, 1, 128)});
    EXPECT_EQ(grid.core(0, 1).log.size(), 3u);
    EXPECT_EQ(last(1).cause, TALUS_TRAP_CB);
}

TEST_F(CircularBufferTest, AStalledCommandTrapsAfterTheLimit) {
    grid.pes[0]->write_register(0, PE_CP_STALL_LIMIT, 4, 1000);
    run_a(join({{configure(9, 0, 256)}, consume(9, 64, 64, kLls)}));
    EXPECT_EQ(fault_cause(), TALUS_TRAP_CP_STALL);
    EXPECT_EQ(fault_tval(), 9u);
    EXPECT_GE(grid.events.now(), 1000u);
    EXPECT_LE(grid.events.now(), 1100u);
}

TEST_F(CircularBufferTest, AStalledCoreTrapsAfterTheLimit) {
    grid.pes[0]->write_register(0, PE_CP_STALL_LIMIT, 4, 1000);
    run_a({configure(9, 0, 256), sync(TALUS_CB_WAIT_DATA, 9, 64)});
    EXPECT_EQ(last().status, OpStatus::kTrap);
    EXPECT_EQ(last().cause, TALUS_TRAP_CP_STALL);
    EXPECT_EQ(last().tval, 9u);
    EXPECT_GE(grid.events.now(), 1000u);
}

TEST_F(CircularBufferTest, WithoutALimitAStallWaitsForEverWithoutEvents) {
    run_a({configure(9, 0, 256), sync(TALUS_CB_WAIT_DATA, 9, 64)});
    EXPECT_TRUE(grid.core(0, 0).blocked);
    EXPECT_TRUE(grid.events.empty());
    EXPECT_FALSE(grid.pes[0]->busy());
    const auto waits = grid.pes[0]->describe_waits();
    ASSERT_EQ(waits.size(), 1u);
    EXPECT_NE(waits[0].find("core A"), std::string::npos);
    EXPECT_NE(waits[0].find("64 bytes in CB 9"), std::string::npos);
}

TEST_F(CircularBufferTest, ResetDropsCommandsBuffersAndSemaphores) {
    run_a(join({{configure(5, 0, 256)}, consume(5, 64, 64, kLls)}));
    EXPECT_TRUE(grid.pes[0]->busy());
    grid.pes[0]->write_register(grid.events.now(), PE_CP_RESET, 4, 1);
    EXPECT_FALSE(grid.pes[0]->busy());
    run_a({drain(), configure(5, 1024, 256), sync(TALUS_CB_OCCUPANCY, 5)});
    EXPECT_EQ(last().status, OpStatus::kDone);
    EXPECT_EQ(last().value, 0u);
}

} // namespace
} // namespace talus::sim::test
