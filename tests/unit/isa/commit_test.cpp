// What a hart tells of its instructions is complete: applied in order to what it began with, it
// gives the registers and the memory that the same program leaves on a hart that tells nothing.
#include <algorithm>
#include <bitset>
#include <cstring>

#include <gtest/gtest.h>

#include "isa/commit.hpp"
#include "random_program.hpp"
#include "twin.hpp"

namespace talus::sim {
namespace {

/// A hart's state, made from commits alone.
struct Replica final : CommitObserver {
    std::array<std::uint64_t, 32> x{};
    std::array<std::uint64_t, 32> f{};
    std::array<std::uint8_t, 32 * kVlenBytes> v{};
    std::map<unsigned, std::uint64_t> csrs;
    std::vector<std::uint8_t> memory;
    std::uint64_t base = 0;
    std::uint64_t count = 0;
    Cycle last = 0;
    std::vector<std::uint64_t> pcs;

    void on_commit(const Commit& commit) override {
        ++count;
        EXPECT_GE(commit.now, last);
        last = commit.now;
        pcs.push_back(commit.pc);
        for (const Commit::Register& reg : commit.registers)
            (reg.file == 'x' ? x : f)[reg.index] = reg.value;
        for (const unsigned index : commit.vectors)
            std::memcpy(v.data() + index * kVlenBytes, commit.vector_file + index * kVlenBytes,
                        kVlenBytes);
        for (const Commit::Csr& csr : commit.csrs)
            csrs[csr.number] = csr.value;
        for (const Commit::Access& access : commit.accesses) {
            if (access.store)
                std::memcpy(memory.data() + (access.addr - base), &access.value, access.len);
        }
    }
};

TEST(Commits, RebuildTheStateOfAHartThatTellsNothing) {
    for (const bool vector : {false, true}) {
        const RandomProgram program({11, 40, 24, vector});
        TwinOptions options;
        options.vector = vector;
        options.base = options.reset_pc = RandomProgram::kBase;
        options.size = RandomProgram::kSize;
        Twin twin(options, program.image()); // the first hart tells, the second one is translated
        twin.both([](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
            hart.write_csr(0x300, 0x6600);
        });
        Replica replica;
        replica.base = options.base;
        replica.memory = twin.memory[0];
        twin.hart[0]->set_commit_observer(&replica);
        while (twin.hart[0]->runnable())
            ASSERT_TRUE(twin.run(twin.hart[0]->now() + 777, twin.hart[0]->now() + 777));

        Hart& plain = *twin.hart[1];
        EXPECT_EQ(replica.count, plain.retired());
        EXPECT_TRUE(replica.memory == twin.memory[1]);
        for (unsigned i = 0; i < 32; ++i) {
            EXPECT_EQ(replica.x[i], plain.x(i)) << "x" << i;
            EXPECT_EQ(replica.f[i], plain.f(i)) << "f" << i;
            EXPECT_EQ(std::memcmp(replica.v.data() + i * kVlenBytes, plain.v(i).data(), kVlenBytes),
                      0)
                << "v" << i;
        }
        for (const auto& [number, value] : replica.csrs) {
            std::uint64_t expected = 0;
            // fcsr and vcsr are views of others; the trap that ended the program changed mstatus,
            // and is no instruction.
            if (number != 0x003 && number != 0x00f && number != 0x300 &&
                plain.read_csr(number, expected)) {
                EXPECT_EQ(value, expected) << csr_name(number);
            }
        }
        EXPECT_TRUE(replica.csrs.contains(0x001) || replica.csrs.contains(0x003));
        EXPECT_EQ(vector, replica.csrs.contains(0xc21)) << "vtype";
    }
}

TEST(Commits, ComeFromTheChosenAddressesOnly) {
    const RandomProgram program({12, 3, 24, false});
    TwinOptions options;
    options.base = options.reset_pc = RandomProgram::kBase;
    options.size = RandomProgram::kSize;
    Twin twin(options, program.image());
    twin.both([](Hart& hart, ScriptedPort&, std::vector<std::uint8_t>&) {
        hart.write_csr(0x300, 0x6600);
    });
    Replica all, some;
    all.base = some.base = options.base;
    all.memory = twin.memory[0];
    some.memory = twin.memory[1];
    const std::uint64_t first = options.base + 0x40, last = options.base + 0x80;
    twin.hart[0]->set_commit_observer(&all);
    twin.hart[1]->set_commit_observer(&some, first, last);
    while (twin.hart[0]->runnable())
        ASSERT_TRUE(twin.run(twin.hart[0]->now() + 100, twin.hart[0]->now() + 100));
    std::erase_if(all.pcs, [&](std::uint64_t pc) { return pc < first || pc > last; });
    EXPECT_FALSE(some.pcs.empty());
    EXPECT_EQ(some.pcs, all.pcs);
}

/// Vector accesses outside the direct regions are listed by elements, atomics by what they read and
/// wrote.
TEST(Commits, ListAccessesThroughThePort) {
    struct Accesses final : CommitObserver {
        std::vector<std::string> all;
        void on_commit(const Commit& commit) override {
            for (const Commit::Access& access : commit.accesses)
                all.push_back(fmt::format("{} {:x}/{}{}", commit.name, access.addr, access.len,
                                          access.store ? fmt::format("={:x}", access.value) : ""));
        }
    } seen;
    Machine m(true);
    constexpr std::uint64_t kAt = ScriptedPort::kBase + 0x8000;
    m.put(ScriptedPort::kBase,
          {
              0xcd827057, // vsetivli x0, 4, e64, m1, ta, ma
              0x5208a0d7, // vid.v v1
              0x020370a7, // vse64.v v1, (x6)
              0x02037107, // vle64.v v2, (x6)
              assemble("amoadd.d", {.rd = 5, .rs1 = 8, .rs2 = 7}),
              assemble("jal", {.rd = 0, .imm = 0}),
          });
    m.hart->write_csr(0x300, 0x6600);
    m.hart->set_pc(ScriptedPort::kBase);
    m.hart->set_x(6, kAt);
    m.hart->set_x(7, 42);
    m.hart->set_x(8, Machine::kData);
    m.hart->set_commit_observer(&seen);
    while (m.hart->runnable() && m.hart->now() < 500)
        m.hart->run(m.hart->now() + 100, m.hart->now());
    std::vector<std::string> expected;
    for (const char* name : {"vse64.v", "vle64.v"}) {
        for (unsigned i = 0; i < 4; ++i)
            expected.push_back(fmt::format("{} {:x}/8{}", name, kAt + 8 * i,
                                           name[1] == 's' ? fmt::format("={:x}", i) : ""));
    }
    expected.push_back(fmt::format("amoadd.d {:x}/8", Machine::kData));
    expected.push_back(fmt::format("amoadd.d {:x}/8=2a", Machine::kData));
    EXPECT_EQ(seen.all, expected);
}

} // namespace
} // namespace talus::sim
