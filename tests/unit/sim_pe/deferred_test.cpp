// The DPE puts its values off. Nobody may be able to tell: what changes the operands of a completed
// product, or reads its bank, must find it done.
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

constexpr std::uint32_t kA = 0;
constexpr std::uint32_t kB = 0x4000;
constexpr std::uint32_t kOut = 0x10000;
constexpr std::uint32_t k = 64;
constexpr std::uint32_t kPitch = 2 * k;

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

class DeferredTest : public PeTest {
  protected:
    void SetUp() override {
        PeTest::SetUp();
        set_operands(0x3c00); // 1.0
        for (unsigned i = 0; i < 0x10000; ++i) {
            grid.fabric->lls()[i] = i % 2 == 0 ? 0x00 : 0x40; // FP16 2.0
        }
    }
    void set_operands(std::uint16_t half) {
        for (std::uint32_t i = 0; i < 32 * k; ++i) {
            grid.set_local<std::uint16_t>(0, kA + 2 * i, half);
            grid.set_local<std::uint16_t>(0, kB + 2 * i, half);
        }
    }
    static std::vector<Step> product() {
        return {context(0, 0, direct(kA)), context(0, 1, direct(kB)),
                context(0, 2, TALUS_PAIR(kPitch, kPitch)),
                enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 32 << 16, k), TALUS_CP_FP16 << 16)};
    }
    static std::vector<Step> store() {
        return {context(2, 0, direct(kOut)), context(2, 2, TALUS_PAIR(0, 128)),
                enqueue(TALUS_RE_STORE, 2, TALUS_PAIR(32 | 32 << 16, 0), TALUS_CP_FP32 << 16),
                drain()};
    }
    void run(std::initializer_list<std::vector<Step>> parts) {
        std::vector<Step> steps;
        for (const std::vector<Step>& part : parts) {
            steps.insert(steps.end(), part.begin(), part.end());
        }
        run_a(steps);
        ASSERT_EQ(fault_cause(), 0u);
    }
    void expect_sum(float want) {
        for (std::uint32_t i = 0; i < 1024; ++i) {
            ASSERT_EQ(grid.local<float>(0, kOut + 4 * i), want) << i;
        }
    }
};

TEST_F(DeferredTest, ACoreThatWasToldMayWrite) {
    run({product(), {drain(1u << TALUS_UNIT_DPE)}});
    set_operands(0x4400); // 4.0, by the core's own stores
    run({store()});
    expect_sum(k);
}

TEST_F(DeferredTest, AnotherUnitMayTakeThePlaceOfWhatWasPopped) {
    // A and B stand in CBs 1 and 2, of one slot each: what goes there next waits for the product's
    // pop. The drain waits, behind a preset of another bank, for what the FI brings last into CB 3:
    // until then nothing but those writes asks for the product's values.
    constexpr std::uint32_t kSlot = 32 * kPitch;
    const auto place = [](unsigned cb) { return TALUS_OPERAND(cb, 0, kSlot); };
    const auto load = [&](unsigned cb) {
        return std::vector<Step>{context(1, 0, place(cb)), context(1, 1, 0),
                                 enqueue(TALUS_FI_DMA_IN, 1, TALUS_LLS_BASE, TALUS_PAIR(kSlot, 1))};
    };
    const auto fill = [&](unsigned cb, std::uint8_t value) {
        return std::vector<Step>{context(3, 0, place(cb)), context(3, 2, 0),
                                 enqueue(TALUS_MLU_FILL, 3, TALUS_PAIR(kSlot, 1), value)};
    };
    const std::vector<Step> gate = {
        context(4, 1, place(3)), context(4, 2, 0),
        enqueue(TALUS_RE_LOAD, 4, TALUS_PAIR(1 | 1 << 16, 0), 1 | 1 << 8)};
    for (const unsigned cb : {1u, 2u}) {
        for (const bool by_fill : {false, true}) {
            grid.pes[0]->write_register(grid.events.now(), PE_CP_RESET, 4, 1);
            run({{configure(1, 0x20000, kSlot), configure(2, 0x28000, kSlot),
                  configure(3, 0x30000, kSlot)},
                 by_fill ? fill(cb, 0x40) : load(cb),
                 load(3 - cb),
                 {context(0, 0, place(1)), context(0, 1, place(2)),
                  context(0, 2, TALUS_PAIR(kPitch, kPitch)),
                  enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 32 << 16, k), TALUS_CP_FP16 << 16)},
                 by_fill ? fill(cb, 0) : std::vector<Step>{},
                 {context(1, 0, place(by_fill ? 3 - cb : cb)), context(1, 1, 0),
                  // other data than before
                  enqueue(TALUS_FI_DMA_IN, 1, TALUS_LLS_BASE + 1, TALUS_PAIR(kSlot, 1))},
                 load(3),
                 gate,
                 store()});
            expect_sum(by_fill ? k * 2.0f * 2.125f : k * 4.0f); // 0x4040 is 2.125 in FP16
        }
    }
}

TEST_F(DeferredTest, ARepeatedProductAccumulatesInOrder) {
    const Step twice =
        enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(32 | 32 << 16, k), 1 << 8 | TALUS_CP_FP16 << 16);
    run({product(), {twice, twice, twice}, store()});
    expect_sum(4.0f * k);
}

TEST_F(DeferredTest, AResetKeepsWhatWasComplete) {
    run_a(product());
    grid.pes[0]->write_register(grid.events.now(), PE_CP_RESET, 4, 1);
    set_operands(0x4400);
    run({store()});
    expect_sum(k);
}

TEST(DeferredOnThreads, ValuesDoNotDependOnTheirNumber) {
    // 24 PEs, so that other threads are woken; each computes six products into the same banks, one
    // after the other, and drains.
    const auto sums = [](unsigned threads) {
        Grid grid(4, 6);
        grid.config.sim.value_threads = threads;
        grid.build();
        for (unsigned pe = 0; pe < 24; ++pe) {
            for (std::uint32_t i = 0; i < 0x20000; ++i) {
                const std::uint32_t bits = (i + 77 * pe) * 2654435761u;
                grid.set_local<std::uint16_t>(
                    pe, 2 * i, static_cast<std::uint16_t>((bits >> 16 & 0x83ff) | 0x3400));
            }
            Step products = enqueue(TALUS_DPE_MATMUL, 0, TALUS_PAIR(64 | 64 << 16, 128),
                                    1 << 8 | TALUS_CP_FP16 << 16);
            products.insn.funct7 |= TALUS_CP_SEQUENCE;
            ScriptedCore& core = grid.core(pe, 0);
            core.script = {
                context(0, 0, direct(0)),
                context(0, 1, direct(0x20000)),
                context(0, 2, TALUS_PAIR(2048, 2048)),
                context(0, 5, TALUS_PAIR(6, 0)),
                context(0, 6, TALUS_PAIR(256, 0)),
                context(0, 7, TALUS_PAIR(256, 0)),
                enqueue(TALUS_RE_LOAD, 0, TALUS_PAIR(64 | 64 << 16, 0), 0),
                products,
                context(2, 0, direct(0x40000)),
                context(2, 2, TALUS_PAIR(0, 256)),
                enqueue(TALUS_RE_STORE, 2, TALUS_PAIR(64 | 64 << 16, 0), TALUS_CP_FP32 << 16),
                drain()};
            core.start(0);
        }
        grid.run();
        std::vector<std::uint32_t> out;
        for (unsigned pe = 0; pe < 24; ++pe) {
            EXPECT_EQ(grid.reg(pe, PE_CP_FAULT_STATUS), 0u);
            for (std::uint32_t i = 0; i < 64 * 64; ++i) {
                out.push_back(grid.local<std::uint32_t>(pe, 0x40000 + 4 * i));
            }
        }
        return out;
    };
    const std::vector<std::uint32_t> alone = sums(0);
    EXPECT_NE(alone[5], alone[6]);
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(sums(3), alone);
    }
}

} // namespace
} // namespace talus::sim::test
