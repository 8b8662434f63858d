// Damaged words in direct memory: met exactly when they are used, and without a trace in the
// clocks.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "machine.hpp"

namespace talus::sim {
namespace {

/// Words that cannot be read (or can, once), until they are written as a whole.
struct FakeGuard final : MemoryGuard {
    Machine* machine = nullptr;
    std::vector<std::uint64_t> words; ///< addresses of their first bytes
    bool corrects = false;
    unsigned reads = 0;

    std::uint64_t address(const std::uint8_t* host) const {
        return Machine::kBase + static_cast<std::uint64_t>(host - machine->memory.data());
    }
    bool meets(std::uint64_t word, const std::uint8_t* host, std::uint64_t len) const {
        return word < address(host) + len && address(host) < word + 8;
    }
    bool damaged(const std::uint8_t* host, std::uint64_t len) const override {
        return std::any_of(words.begin(), words.end(),
                           [&](std::uint64_t word) { return meets(word, host, len); });
    }
    bool read(const std::uint8_t* host, std::uint64_t len) override {
        ++reads;
        if (corrects) {
            std::erase_if(words, [&](std::uint64_t word) { return meets(word, host, len); });
            leave();
        }
        return corrects;
    }
    bool write(const std::uint8_t* host, std::uint64_t len) override {
        std::erase_if(words, [&](std::uint64_t word) {
            return address(host) <= word && word + 8 <= address(host) + len;
        });
        leave();
        return !damaged(host, len) || read(host, len);
    }
    void undamaged(const std::uint8_t* at, const std::uint8_t*& begin,
                   const std::uint8_t*& end) const override {
        for (const std::uint64_t word : words) {
            const std::uint8_t* const host = machine->memory.data() + (word - Machine::kBase);
            if (host > at) {
                end = std::min(end, host);
            } else {
                begin = std::max(begin, host + 8);
            }
        }
    }
    void leave() {
        if (words.empty())
            machine->hart->set_guard(nullptr);
    }
};

struct Guarded {
    Machine machine{true};
    FakeGuard guard;

    explicit Guarded(std::vector<std::uint64_t> words, bool corrects = false) {
        guard.machine = &machine;
        guard.words = std::move(words);
        guard.corrects = corrects;
        machine.hart->set_guard(&guard);
    }
};

constexpr std::uint64_t kData = Machine::kData;
constexpr std::int64_t kHardwareError = static_cast<std::int64_t>(cause::kHardwareError);

const std::uint32_t kLoad = assemble("ld", {.rd = 7, .rs1 = 6, .imm = 0});
const std::uint32_t kLoadHalf = assemble("lhu", {.rd = 7, .rs1 = 6, .imm = 0});
const std::uint32_t kStore = assemble("sd", {.rs1 = 6, .rs2 = 5, .imm = 0});
const std::uint32_t kStoreByte = assemble("sb", {.rs1 = 6, .rs2 = 5, .imm = 0});

TEST(MemoryGuard, LoadsOfADamagedWordTrap) {
    Guarded g({kData + 8});
    g.machine.hart->set_x(6, kData);
    EXPECT_EQ(g.machine.execute(kLoad), -1); // opens a window beside it
    for (const std::uint64_t addr : {kData + 8, kData + 2, kData + 15}) {
        g.machine.hart->set_x(6, addr);
        EXPECT_EQ(g.machine.execute(kLoad), kHardwareError) << addr - kData;
        EXPECT_EQ(g.machine.port.traps.back().tval, addr);
    }
    g.machine.hart->set_x(6, kData + 7);
    EXPECT_EQ(g.machine.execute(kLoadHalf), kHardwareError); // its first byte alone
    g.machine.hart->set_x(6, kData + 16);
    EXPECT_EQ(g.machine.execute(kLoad), -1);
}

TEST(MemoryGuard, AWholeStoreEndsTheDamageAndAPartTraps) {
    Guarded g({kData, kData + 64});
    g.machine.hart->set_x(5, 77);
    g.machine.hart->set_x(6, kData);
    EXPECT_EQ(g.machine.execute(kStoreByte), kHardwareError);
    EXPECT_EQ(g.machine.data<std::uint64_t>(kData), 0u);
    EXPECT_EQ(g.machine.execute(kStore), -1);
    EXPECT_EQ(g.machine.data<std::uint64_t>(kData), 77u);
    EXPECT_EQ(g.machine.execute(kStoreByte), -1);
    EXPECT_EQ(g.machine.execute(kLoad), -1);
    g.machine.hart->set_x(6, kData + 64);
    EXPECT_EQ(g.machine.execute(kLoad), kHardwareError); // through no window
}

TEST(MemoryGuard, AtomicsAndVectorsMeetIt) {
    Guarded g({kData + 0x18});
    g.machine.hart->set_x(6, kData + 0x18);
    EXPECT_EQ(g.machine.execute(assemble("amoadd.d", {.rd = 7, .rs1 = 6, .rs2 = 5})),
              kHardwareError);
    g.machine.hart->set_x(6, kData);
    g.machine.hart->set_x(8, 8);
    EXPECT_EQ(g.machine.execute(assemble("vsetvli", {.rd = 0, .rs1 = 8, .imm = 0xd8})), -1);
    EXPECT_EQ(g.machine.execute(assemble("vle64.v", {.rd = 1, .rs1 = 6})), kHardwareError);
    EXPECT_EQ(g.machine.csr(0x008), 3u); // vstart: the element
}

TEST(MemoryGuard, AnInstructionInADamagedWordIsNotExecuted) {
    Guarded g({Machine::kBase});
    EXPECT_EQ(g.machine.execute(assemble("addi", {.rd = 5, .rs1 = 0, .imm = 3})), kHardwareError);
    EXPECT_EQ(g.machine.port.traps.back().tval, Machine::kBase);
    EXPECT_EQ(g.machine.hart->x(5), 0u);
}

/// A hundred rounds of loads and stores, by code in direct memory.
void run_loop(Machine& machine) {
    machine.put(Machine::kBase, {
                                    assemble("lui", {.rd = 6, .imm = 0x11000}),
                                    assemble("addi", {.rd = 5, .imm = 100}),
                                    assemble("ld", {.rd = 7, .rs1 = 6, .imm = 8}),
                                    assemble("addi", {.rd = 7, .rs1 = 7, .imm = 1}),
                                    assemble("sd", {.rs1 = 6, .rs2 = 7, .imm = 8}),
                                    assemble("lw", {.rd = 8, .rs1 = 6, .imm = 16}),
                                    assemble("addi", {.rd = 5, .rs1 = 5, .imm = -1}),
                                    assemble("bne", {.rs1 = 5, .rs2 = 0, .imm = -20}),
                                    assemble("jal", {.rd = 0, .imm = 0}),
                                });
    machine.hart->invalidate_code(Machine::kBase, 64);
    machine.hart->set_pc(Machine::kBase);
    for (Cycle until = 100; until <= 5000; until += 100) {
        while (machine.hart->now() < until)
            machine.hart->run(until, machine.hart->now()); // again where it waits for global time
    }
}

TEST(MemoryGuard, ChangesNoClock) {
    Machine plain(true);
    run_loop(plain);
    ASSERT_EQ(plain.data<std::uint64_t>(kData + 8), 100u);
    for (const bool corrects : {false, true}) {
        std::vector<std::uint64_t> words{kData + 24, kData - 8}; // nobody's
        if (corrects)
            words = {kData + 8, kData + 16, Machine::kBase + 8, Machine::kBase + 24};
        Guarded g(words, corrects);
        run_loop(g.machine);
        EXPECT_EQ(g.machine.hart->now(), plain.hart->now());
        EXPECT_EQ(g.machine.hart->retired(), plain.hart->retired());
        EXPECT_EQ(g.machine.memory, plain.memory);
        EXPECT_EQ(g.guard.words.size(), corrects ? 0u : 2u);
        EXPECT_EQ(g.guard.reads, corrects ? 4u : 0u);
    }
}

} // namespace
} // namespace talus::sim
