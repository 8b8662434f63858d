// Blocks of tiles and sequences: the same as the commands that they stand for, by one instruction.
#include <random>

#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

Step sequence(Step step) {
    step.insn.funct7 |= TALUS_CP_SEQUENCE;
    return step;
}

class SequenceTest : public PeTest {
  protected:
    static constexpr std::uint32_t kA = 0;
    static constexpr std::uint32_t kB = 0x10000;
    static constexpr std::uint32_t kBias = 0x20000;
    static constexpr std::uint32_t kOut = 0x30000;

    /// Halves that are small integers, so that FP32 sums are exact in any order.
    void fill(Grid& to) {
        std::mt19937 random(3);
        for (std::uint32_t i = 0; i < 0x10000; ++i) {
            static constexpr std::uint16_t kValues[] = {0x0000, 0x3c00, 0xbc00, 0x4000, 0xc200};
            to.set_local<std::uint16_t>(0, 2 * i, kValues[random() % 5]);
        }
        for (std::uint32_t i = 0; i < 128; ++i) {
            to.set_local<float>(0, kBias + 4 * i, static_cast<float>(i) - 60.0f);
        }
    }
    static float half(std::uint16_t bits) {
        switch (bits) {
        case 0x3c00:
            return 1;
        case 0xbc00:
            return -1;
        case 0x4000:
            return 2;
        case 0xc200:
            return -3;
        default:
            return 0;
        }
    }
    void SetUp() override {
        PeTest::SetUp();
        fill(grid);
        for (unsigned i = 0; i < 1 << 16; ++i) {
            grid.fabric->lls()[i] = static_cast<std::uint8_t>(i * 7 + (i >> 8));
        }
    }
};

TEST_F(SequenceTest, ABlockIsItsTiles) {
    constexpr std::uint32_t k = 50;
    constexpr std::uint32_t kPitch = 128;
    struct Shape {
        std::uint32_t m, n, bank;
    };
    for (const Shape s : {Shape{64, 64, 0}, Shape{50, 40, 3}, Shape{33, 1, 2}, Shape{7, 128, 1},
                          Shape{128, 32, 0}, Shape{96, 31, 3}}) {
        const auto tile = TALUS_PAIR(s.m | s.n << 16, 0);
        const std::uint32_t out = s.n * 4;
        run_a({context(0, 1, direct(kBias)), context(0, 2, 0),
               enqueue(TALUS_RE_LOAD, 0, tile, s.bank | 1 << 8), context(1, 0, direct(kA)),
               context(1, 1, direct(kB)), context(1, 2, TALUS_PAIR(kPitch, kPitch)),
               enqueue(TALUS_DPE_MATMUL, 1, TALUS_PAIR(s.m | s.n << 16, k),
                       s.bank | 1 << 8 | TALUS_CP_FP16 << 16),
               context(2, 0, direct(kOut)), context(2, 2, TALUS_PAIR(0, out)),
               enqueue(TALUS_RE_STORE, 2, tile, s.bank | TALUS_CP_FP32 << 16), drain()});
        ASSERT_EQ(fault_cause(), 0u);
        for (std::uint32_t i = 0; i < s.m; ++i) {
            for (std::uint32_t j = 0; j < s.n; ++j) {
                float want = static_cast<float>(j) - 60.0f;
                for (std::uint32_t x = 0; x < k; ++x) {
                    want += half(grid.local<std::uint16_t>(0, kA + i * kPitch + 2 * x)) *
                            half(grid.local<std::uint16_t>(0, kB + j * kPitch + 2 * x));
                }
                ASSERT_EQ(grid.local<float>(0, kOut + i * out + 4 * j), want)
                    << s.m << "x" << s.n << " " << i << "," << j;
            }
        }
    }
}

TEST_F(SequenceTest, TilesOfABlockGoToTheBanksInOrder) {
    // Mode 2 loads 64 x 64 different values; each tile is then stored by itself.
    for (std::uint32_t i = 0; i < 4096; ++i) {
        grid.set_local<std::uint32_t>(0, kA + 4 * i, i);
    }
    run_a({context(0, 1, direct(kA)), context(0, 2, TALUS_PAIR(256, 0)),
           enqueue(TALUS_RE_LOAD, 0, TALUS_PAIR(64 | 64 << 16, 0), 3 | 2 << 8)});
    for (unsigned t = 0; t < 4; ++t) {
        run_a({context(1, 0, direct(kOut)), context(1, 2, TALUS_PAIR(0, 128)),
               enqueue(TALUS_RE_STORE, 1, TALUS_PAIR(32 | 32 << 16, 0),
                       (3 + t) % 4 | TALUS_CP_INT32 << 16),
               drain()});
        ASSERT_EQ(grid.local<std::uint32_t>(0, kOut), (t / 2) * 32 * 64 + (t % 2) * 32);
        ASSERT_EQ(grid.local<std::uint32_t>(0, kOut + 31 * 128 + 31 * 4),
                  ((t / 2) * 32 + 31) * 64 + (t % 2) * 32 + 31);
    }
}

TEST_F(SequenceTest, AStreamTakesOneEntryOfTheQueue) {
    // 24 pieces of 256 bytes, 1,000 apart, through a CB of four; core B pops them one by one.
    ScriptedCore& b = grid.core(0, 1);
    for (unsigned i = 0; i < 24; ++i) {
        const std::vector<Step> steps = {sync(TALUS_CB_WAIT_DATA, 1, 256),
                                         context(0, 0, direct(kOut + 256 * i)),
                                         context(0, 1, direct(0x8000 + 256 * (i % 4))),
                                         context(0, 2, 0),
                                         enqueue(TALUS_MLU_COPY, 0, TALUS_PAIR(256, 1), 0),
                                         drain(),
                                         sync(TALUS_CB_POP, 1, 256)};
        b.script.insert(b.script.end(), steps.begin(), steps.end());
    }
    const auto& log = run_a(
        {configure(1, 0x8000, 1024), context(0, 0, TALUS_OPERAND(1, 0, 256)), context(0, 1, 0),
         context(0, 5, TALUS_PAIR(24, 1000)), context(0, 6, 0), context(0, 7, 0),
         sequence(enqueue(TALUS_FI_DMA_IN, 0, TALUS_LLS_BASE, TALUS_PAIR(256, 1))),
         sync(TALUS_CP_CORE, 0), drain()});
    EXPECT_EQ(log[7].retired - log[6].retired, 1u); // the core went on at once
    EXPECT_TRUE(grid.core(0, 0).blocked);           // in the drain, as nobody has popped yet
    b.start(grid.events.now());
    grid.run();
    ASSERT_FALSE(b.trapped);
    EXPECT_FALSE(grid.core(0, 0).blocked);
    for (unsigned i = 0; i < 24; ++i) {
        EXPECT_EQ(std::memcmp(grid.pes[0]->local_memory() + kOut + 256 * i,
                              grid.fabric->lls() + 1000 * i, 256),
                  0)
            << i;
    }
}

TEST_F(SequenceTest, OperandsStepAndWrap) {
    // Five products: A steps by 16 columns and wraps after two, B steps by 16 columns.
    constexpr std::uint32_t kPitch = 256;
    const auto words = {context(0, 0, direct(kA)),
                        context(0, 1, direct(kB)),
                        context(0, 2, TALUS_PAIR(kPitch, kPitch)),
                        context(0, 5, TALUS_PAIR(5, 0)),
                        context(0, 6, TALUS_PAIR(32, 64)),
                        context(0, 7, TALUS_PAIR(32, 0)),
                        enqueue(TALUS_RE_LOAD, 0, TALUS_PAIR(40 | 40 << 16, 0), 0)};
    std::vector<Step> steps = words;
    steps.push_back(sequence(
        enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(40 | 40 << 16, 16), 1 << 8 | TALUS_CP_FP16 << 16)));
    const std::vector<Step> store = {
        context(2, 0, direct(kOut)), context(2, 2, TALUS_PAIR(0, 160)),
        enqueue(TALUS_RE_STORE, 2, TALUS_PAIR(40 | 40 << 16, 0), TALUS_CP_FP32 << 16), drain()};
    steps.insert(steps.end(), store.begin(), store.end());
    run_a(steps);
    ASSERT_EQ(fault_cause(), 0u);
    for (std::uint32_t i = 0; i < 40; ++i) {
        for (std::uint32_t j = 0; j < 40; ++j) {
            float want = 0;
            for (std::uint32_t r = 0; r < 5; ++r) {
                for (std::uint32_t x = 0; x < 16; ++x) {
                    want +=
                        half(grid.local<std::uint16_t>(0, kA + i * kPitch + 32 * (r % 2) + 2 * x)) *
                        half(grid.local<std::uint16_t>(0, kB + j * kPitch + 32 * r + 2 * x));
                }
            }
            ASSERT_EQ(grid.local<float>(0, kOut + i * 160 + 4 * j), want) << i << "," << j;
        }
    }
}

TEST_F(SequenceTest, ALaterDrainOfABankWaitsForAllRepetitions) {
    // Without that the store would see the sum of the first product alone.
    constexpr std::uint32_t kPitch = 1024;
    for (std::uint32_t i = 0; i < 32 * kPitch / 2; ++i) {
        grid.set_local<std::uint16_t>(0, 2 * i, 0x3c00);
    }
    run_a({context(0, 0, direct(0)), context(0, 1, direct(0)),
           context(0, 2, TALUS_PAIR(kPitch, kPitch)), context(0, 5, TALUS_PAIR(7, 0)),
           context(0, 6, 0), context(0, 7, 0),
           enqueue(TALUS_RE_LOAD, 0, TALUS_PAIR(32 | 32 << 16, 0), 1),
           sequence(enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 32 << 16, 512),
                            1 | 1 << 8 | TALUS_CP_FP16 << 16)),
           context(2, 0, direct(kOut)), context(2, 2, TALUS_PAIR(0, 128)),
           enqueue(TALUS_RE_STORE, 2, TALUS_PAIR(32 | 32 << 16, 0), 1 | TALUS_CP_FP32 << 16),
           drain()});
    EXPECT_EQ(grid.local<float>(0, kOut), 7.0f * 512);
}

TEST_F(SequenceTest, MalformedSequencesTrapAtIssue) {
    const auto expect_malformed = [&](std::uint64_t w5, std::uint64_t w6, std::uint64_t w7) {
        Grid fresh;
        fresh.build();
        fresh.execute(0, 0,
                      {context(0, 0, direct(0)), context(0, 1, 0), context(0, 5, w5),
                       context(0, 6, w6), context(0, 7, w7),
                       sequence(enqueue(TALUS_FI_DMA_IN, 0, TALUS_LLS_BASE, TALUS_PAIR(64, 1)))});
        EXPECT_TRUE(fresh.core(0, 0).trapped);
        EXPECT_EQ(fresh.core(0, 0).log.back().result.cause, TALUS_TRAP_CP_COMMAND);
    };
    expect_malformed(0, 0, 0);                  // no repetition
    expect_malformed(1, TALUS_PAIR(0, 64), 0);  // a wrap without steps
    expect_malformed(1, 0, TALUS_PAIR(48, 64)); // never back where it began
}

} // namespace
} // namespace talus::sim::test
