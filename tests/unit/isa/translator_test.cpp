// The translator against the interpreter: equal registers, memory, flags and clocks at every stop.
// TALUS_DIFFERENTIAL_SEEDS=500 makes a soak test of the random parts.
#include <cstdlib>
#include <stdexcept>

#include "random_flow.hpp"
#include "random_program.hpp"
#include "twin.hpp"

namespace talus::sim {
namespace {

constexpr std::uint64_t kCode = 0x10000;
constexpr std::uint64_t kData = 0x18000;
constexpr std::uint64_t kOutside = ScriptedPort::kBase + 0x8000;

std::uint64_t seeds(std::uint64_t usual) {
    const char* text = std::getenv("TALUS_DIFFERENTIAL_SEEDS");
    return text ? std::strtoull(text, nullptr, 10) : usual;
}

void place(Twin& twin, std::uint64_t base, const std::vector<std::uint32_t>& code) {
    twin.both([&](Hart& hart, ScriptedPort& port, std::vector<std::uint8_t>& memory) {
        std::uint8_t* at = base >= ScriptedPort::kBase
                               ? port.memory.data() + (base - ScriptedPort::kBase)
                               : memory.data() + (base - kCode);
        std::memcpy(at, code.data(), 4 * code.size());
        hart.invalidate_code(base, 4 * code.size());
    });
}

void start(Twin& twin, std::uint64_t pc, std::uint64_t mtvec) {
    twin.both([&](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
        hart.write_csr(0x300, 0x6608);
        hart.write_csr(0x304, 0x888);
        hart.write_csr(0x305, mtvec);
        hart.set_pc(pc);
    });
}

/// Runs both in random slices, with interrupts that come and go, until they halt.
bool lockstep(Twin& twin, std::mt19937_64& random) {
    const unsigned style = static_cast<unsigned>(random() % 6);
    while (twin.hart[0]->runnable() || twin.hart[0]->state() == StopReason::kWfi) {
        const Cycle now = twin.hart[0]->now();
        const Cycle slice = style == 0   ? 1 + random() % 4
                            : style == 1 ? 1 + random() % 60
                                         : 1 + random() % 2000;
        const Cycle global = random() % 3 ? now + slice : now;
        if (!twin.run(now + slice, global))
            return false;
        if (random() % 16 == 0) {
            const unsigned bit = 3 + 4 * static_cast<unsigned>(random() % 3);
            const bool level = random() % 4 == 0;
            twin.both([&](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
                hart.set_interrupt(bit, level, hart.now());
            });
            if (!level)
                continue;
            if (!twin.run(twin.hart[0]->now() + 1 + random() % 20, kNever))
                return false;
            twin.both([&](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
                hart.set_interrupt(bit, false, hart.now());
            });
        }
    }
    return true;
}

struct FlowCase {
    bool vector;
    bool cached; ///< the code lies behind the port, fetched through the instruction cache
    bool functional;
};

class RandomFlow : public testing::TestWithParam<FlowCase> {};

TEST_P(RandomFlow, EqualsTheInterpreter) {
    const FlowCase c = GetParam();
    for (std::uint64_t seed = 1; seed <= seeds(60); ++seed) {
        SCOPED_TRACE(fmt::format("seed {}", seed));
        TwinOptions options;
        options.vector = c.vector;
        options.translate_after = seed % 8 == 0 ? 2 : 0;
        if (c.functional)
            options.timing = HartTiming::one_clock();
        if (seed % 4 == 0)
            options.translation_bytes = 20000; // drops everything now and then
        Twin twin(options);
        FlowOptions flow;
        flow.seed = seed;
        flow.vector = c.vector;
        flow.code_base = c.cached ? ScriptedPort::kBase : kCode;
        flow.data_base = kData;
        flow.outside_base = kOutside;
        flow.fuel = 250;
        place(twin, flow.code_base, random_flow(flow));
        std::mt19937_64 random(seed);
        twin.both([&](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>& memory) {
            std::mt19937_64 values(seed);
            for (unsigned i = 1; i < 28; ++i)
                hart.set_x(i, values() >> values() % 64);
            for (unsigned i = 0; i < 32; ++i)
                hart.set_f(i, values());
            for (std::size_t i = kData - kCode; i < memory.size(); ++i)
                memory[i] = static_cast<std::uint8_t>(values());
        });
        start(twin, flow.code_base + kFlowEntry, flow.code_base);
        ASSERT_TRUE(lockstep(twin, random));
        EXPECT_EQ(twin.hart[0]->state(), StopReason::kHalted);
        EXPECT_TRUE(twin.memories_equal());
    }
}

INSTANTIATE_TEST_SUITE_P(Harts, RandomFlow,
                         testing::Values(FlowCase{false, false, false},
                                         FlowCase{false, true, false}, FlowCase{true, false, false},
                                         FlowCase{true, true, false}, FlowCase{false, false, true},
                                         FlowCase{true, true, true}),
                         [](const auto& info) {
                             return std::string(info.param.vector ? "Vector" : "Scalar") +
                                    (info.param.cached ? "Cached" : "Direct") +
                                    (info.param.functional ? "Functional" : "");
                         });

/// Every instruction that qemu is compared on, with arbitrary operands.
TEST(RandomPrograms, EqualTheInterpreter) {
    for (bool vector : {false, true}) {
        for (std::uint64_t seed = 1; seed <= seeds(2); ++seed) {
            SCOPED_TRACE(fmt::format("seed {}", seed));
            const RandomProgram program({seed, 60, 24, vector});
            TwinOptions options;
            options.vector = vector;
            options.base = options.reset_pc = RandomProgram::kBase;
            options.size = RandomProgram::kSize;
            Twin twin(options, program.image());
            std::mt19937_64 random(seed);
            for (int pass = 0; pass < 2; ++pass) { // the second through what the first translated
                twin.both([&](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
                    hart.reset(hart.now());
                    hart.write_csr(0x300, 0x6600);
                });
                ASSERT_TRUE(lockstep(twin, random));
                // With the first pass's data the second may well end elsewhere.
                if (pass == 0) {
                    EXPECT_EQ(twin.port[0].traps.back().cause, cause::kEcallFromM);
                }
            }
            EXPECT_TRUE(twin.memories_equal());
        }
    }
}

const std::uint32_t kNop = assemble("addi");

std::uint32_t addi(unsigned rd, unsigned rs1, std::int32_t imm) {
    return assemble("addi", {.rd = rd, .rs1 = rs1, .imm = imm});
}

bool translates() {
    Machine m;
    CodeCache code;
    HartConfig config;
    config.regions = {{kCode, 0x1000, m.memory.data()}};
    config.reset_pc = kCode;
    config.code = &code;
    config.translate_after = 0;
    m.put(kCode, {assemble("jal", {.imm = 0})});
    Hart hart(config, m.port);
    hart.run(1000, kNever);
    return code.translations().count != 0;
}

class Translated : public testing::Test {
  protected:
    void SetUp() override {
        if (!translates())
            GTEST_SKIP() << "this host has no translator";
    }
};

TEST_F(Translated, LoopRunsWithoutTheInterpreter) {
    Twin twin({});
    place(twin, kCode, {addi(1, 1, 1), assemble("jal", {.imm = -4})});
    ASSERT_TRUE(twin.run(4000, kNever));
    EXPECT_EQ(twin.hart[1]->x(1), 1000u); // 1 + 1 + the taken branch's 2 clocks
    EXPECT_EQ(twin.code[0].translations().count, 0u);
    EXPECT_EQ(twin.code[1].translations().count, 1u);
}

/// Another unit overwrites the code of a running loop.
TEST_F(Translated, InvalidatedCodeIsTranslatedAnew) {
    for (std::uint64_t base : {kCode, ScriptedPort::kBase}) {
        Twin twin({});
        place(twin, base, {addi(1, 1, 1), assemble("jal", {.imm = -4})});
        start(twin, base, 0);
        ASSERT_TRUE(twin.run(4000, kNever));
        const std::uint64_t before = twin.hart[1]->x(1);
        place(twin, base, {addi(2, 2, 1)});
        ASSERT_TRUE(twin.run(8000, kNever));
        EXPECT_LE(twin.hart[1]->x(1), before + 1);
        EXPECT_GT(twin.hart[1]->x(2), 900u);
    }
}

/// A store into code is seen after fence.i, and not before.
TEST_F(Translated, SelfModifyingLoop) {
    Twin twin({});
    place(twin, kCode,
          {addi(1, 1, 1), addi(4, 4, 1), assemble("bne", {.rs1 = 4, .rs2 = 5, .imm = -8}),
           assemble("sw", {.rs1 = 6, .rs2 = 7}), addi(8, 8, 1), addi(4, 0, 0),
           assemble("bne", {.rs1 = 8, .rs2 = 9, .imm = -24}), assemble("fence.i"),
           assemble("jal", {.imm = -32})});
    twin.both([&](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
        hart.set_x(5, 50); // rounds before the store, which comes again after as many
        hart.set_x(6, kCode);
        hart.set_x(7, addi(1, 1, 100));
        hart.set_x(9, 2);
    });
    ASSERT_TRUE(twin.run(5000, kNever));
    // The first instruction was an addition of 1 for 100 rounds, then one of 100.
    EXPECT_GE(twin.hart[1]->x(1), 1000u);
    EXPECT_EQ(twin.hart[1]->x(1) % 100, 0u);
}

TEST_F(Translated, FaultInTheMidstOfALoopIsPrecise) {
    Twin twin({});
    // Walks off the end of memory; the handler stops there.
    place(twin, kCode,
          {addi(1, 1, 1), assemble("ld", {.rd = 2, .rs1 = 3}), addi(3, 3, 8), addi(4, 4, 1),
           assemble("jal", {.imm = -16})});
    place(twin, kCode + 0x800, {assemble("jal", {.imm = 0})});
    start(twin, kCode, kCode + 0x800);
    twin.both([&](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
        hart.set_x(3, kCode + 0x8000);
    });
    ASSERT_TRUE(twin.run(100000, kNever));
    ASSERT_EQ(twin.port[1].traps.size(), 1u);
    EXPECT_EQ(twin.port[1].traps[0].cause, cause::kLoadAccess);
    EXPECT_EQ(twin.port[1].traps[0].pc, kCode + 4);
    EXPECT_EQ(twin.port[1].traps[0].tval, kCode + 0x10000);
    EXPECT_EQ(twin.hart[1]->x(1), 0x8000u / 8 + 1);
    EXPECT_EQ(twin.hart[1]->x(4), 0x8000u / 8);
}

TEST_F(Translated, CodeMemoryIsBounded) {
    TwinOptions options;
    options.translation_bytes = 4096;
    Twin twin(options);
    std::vector<std::uint32_t> code;
    for (unsigned i = 0; i < 200; ++i) { // many small pieces, round and round
        code.push_back(addi(1 + i % 20, 1 + i % 20, static_cast<std::int32_t>(i)));
        code.push_back(assemble("jal", {.imm = 8}));
        code.push_back(kNop);
        code.push_back(assemble("bne", {.rs1 = 0, .imm = -8}));
    }
    code.push_back(assemble("jal", {.imm = -4 * 800}));
    place(twin, kCode, code);
    std::size_t most = 0;
    for (Cycle until = 1000; until < 60000; until += 997) {
        ASSERT_TRUE(twin.run(until, kNever));
        most = std::max(most, twin.code[1].translations().bytes);
    }
    EXPECT_LT(most, 4096u + 8192u); // the last piece may exceed it
    EXPECT_GT(twin.code[1].translations().count, 50u);
}

TEST_F(Translated, WhatAPortThrowsPassesThrough) {
    Twin twin({});
    place(twin, kCode,
          {addi(1, 1, 1), assemble("sd", {.rs1 = 6, .rs2 = 1}), assemble("jal", {.imm = -8})});
    unsigned calls = 0;
    twin.both([&](Hart& hart, ScriptedPort& port, std::vector<std::uint8_t>&) {
        hart.set_x(6, ScriptedPort::kBase);
        port.on_access = [&](Cycle, std::uint64_t, unsigned, bool) -> OpResult {
            if (++calls == 20)
                throw std::runtime_error("the port is broken");
            return OpResult::ok(0);
        };
    });
    EXPECT_THROW(twin.hart[1]->run(kNever, kNever), std::runtime_error);
    EXPECT_EQ(twin.hart[1]->x(1), 20u);
    EXPECT_EQ(twin.hart[1]->pc(), kCode + 4);
}

/// Harts of one device share translations where they run the same code at the same address.
TEST_F(Translated, HartsShareTranslations) {
    CodeCache code;
    Machine a(false, &code), b(false, &code);
    a.put(kCode, {addi(1, 1, 1), assemble("jal", {.imm = -4})});
    HartConfig config;
    config.regions = {{kCode, 0x10000, a.memory.data()}};
    config.reset_pc = kCode;
    config.code = &code;
    config.translate_after = 0;
    Hart first(config, a.port), second(config, b.port);
    first.run(4000, kNever);
    const std::uint64_t count = code.translations().count;
    second.run(4000, kNever);
    EXPECT_EQ(second.x(1), 1000u);
    EXPECT_EQ(code.translations().count, count);
}

} // namespace
} // namespace talus::sim
