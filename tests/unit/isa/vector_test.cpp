// Vectors: half precision element by element, tails and masks, vstart, fault-only-first, the port.
#include <random>

#include <gtest/gtest.h>

#include "isa/soft_float.hpp"
#include "machine.hpp"

namespace talus::sim {
namespace {

using soft::Env;
using soft::Half;

constexpr std::int32_t vtype(unsigned sew, unsigned lmul = 0) {
    return static_cast<std::int32_t>(sew << 3 | lmul);
}
std::uint32_t setvl(unsigned avl, unsigned sew, unsigned lmul = 0) {
    return assemble("vsetivli", {.rs1 = avl, .imm = vtype(sew, lmul)});
}

template <class T>
T element(Machine& m, unsigned reg, unsigned i) {
    T value;
    std::memcpy(&value,
                m.hart->v(reg + i * sizeof(T) / kVlenBytes).data() + i * sizeof(T) % kVlenBytes,
                sizeof value);
    return value;
}
template <class T>
void set_element(Machine& m, unsigned reg, unsigned i, T value) {
    std::memcpy(m.hart->v(reg + i * sizeof(T) / kVlenBytes).data() + i * sizeof(T) % kVlenBytes,
                &value, sizeof value);
}
void fill(Machine& m, std::uint64_t seed) {
    std::mt19937_64 engine(seed);
    for (unsigned reg = 0; reg < 32; ++reg) {
        for (unsigned i = 0; i < 32; ++i) {
            // Halves of every kind, with an accent on ordinary ones.
            auto bits = static_cast<std::uint16_t>(engine());
            if (engine() % 4)
                bits = static_cast<std::uint16_t>((bits & 0x83ff) | (10 + engine() % 12) << 10);
            set_element<std::uint16_t>(m, reg, i, bits);
        }
    }
}

/// Zvfh must do to each element what Zfh does to a register; the scalar instruction is the
/// reference, and that is tested by itself.
TEST(VectorHalf, MatchesScalarInstructions) {
    const std::pair<const char*, const char*> kPairs[] = {
        {"vfadd.vv", "fadd.h"},   {"vfsub.vv", "fsub.h"},     {"vfmul.vv", "fmul.h"},
        {"vfdiv.vv", "fdiv.h"},   {"vfmin.vv", "fmin.h"},     {"vfmax.vv", "fmax.h"},
        {"vfsgnj.vv", "fsgnj.h"}, {"vfsgnjn.vv", "fsgnjn.h"}, {"vfsgnjx.vv", "fsgnjx.h"}};
    for (unsigned frm = 0; frm < 5; ++frm) {
        for (const auto& [vector, scalar] : kPairs) {
            Machine m(true);
            fill(m, 5 + frm);
            m.hart->write_csr(0x002, frm);
            m.run({setvl(31, 1), assemble(vector, {.rd = 8, .rs1 = 9, .rs2 = 10})});
            const std::uint64_t flags = m.csr(0x001);
            m.hart->write_csr(0x001, 0);
            const std::uint16_t tail = element<std::uint16_t>(m, 8, 31);
            for (unsigned i = 0; i < 31; ++i) {
                m.hart->set_f(1, element<std::uint16_t>(m, 10, i) | ~std::uint64_t{0xffff});
                m.hart->set_f(2, element<std::uint16_t>(m, 9, i) | ~std::uint64_t{0xffff});
                const bool no_rm = std::string(scalar).find("sgn") != std::string::npos ||
                                   std::string(scalar) == "fmin.h" ||
                                   std::string(scalar) == "fmax.h";
                const std::uint32_t bits =
                    no_rm ? assemble(scalar, {.rd = 3, .rs1 = 1, .rs2 = 2, .rm = 0})
                          : assemble(scalar, {.rd = 3, .rs1 = 1, .rs2 = 2});
                m.run({bits});
                ASSERT_EQ(element<std::uint16_t>(m, 8, i), static_cast<std::uint16_t>(m.hart->f(3)))
                    << vector << " element " << i << " frm " << frm;
            }
            EXPECT_EQ(flags, m.csr(0x001)) << vector << " frm " << frm;
            Machine fresh(true);
            fill(fresh, 5 + frm);
            EXPECT_EQ(tail, element<std::uint16_t>(fresh, 8, 31)) << "the tail is undisturbed";
        }
    }
}

TEST(VectorHalf, FusedAndWidening) {
    Machine m(true);
    fill(m, 77);
    Machine before(true);
    fill(before, 77);
    m.run({setvl(30, 1), assemble("vfmacc.vv", {.rd = 8, .rs1 = 9, .rs2 = 10}),
           assemble("vfwmacc.vv", {.rd = 12, .rs1 = 9, .rs2 = 10}),
           assemble("vfwcvt.f.f.v", {.rd = 16, .rs2 = 10}),
           assemble("vfncvt.f.f.w", {.rd = 20, .rs2 = 16})});
    for (unsigned i = 0; i < 30; ++i) {
        Env env;
        const auto a = element<std::uint16_t>(before, 10, i),
                   b = element<std::uint16_t>(before, 9, i);
        EXPECT_EQ(element<std::uint16_t>(m, 8, i),
                  soft::fma<Half>(b, a, element<std::uint16_t>(before, 8, i), env));
        EXPECT_EQ(element<std::uint32_t>(m, 12, i),
                  soft::fma<soft::Single>(soft::convert<soft::Single, Half>(b, env),
                                          soft::convert<soft::Single, Half>(a, env),
                                          element<std::uint32_t>(before, 12, i), env));
        const std::uint16_t there_and_back = Half::is_nan(a) ? Half::kNan : a;
        EXPECT_EQ(element<std::uint16_t>(m, 20, i), there_and_back);
    }
}

TEST(VectorHalf, ReductionIsOrdered) {
    Machine m(true);
    const std::uint16_t values[] = {0x7bff, 0x3c00, 0xfbff, 0x0001, 0x3c00};
    for (unsigned i = 0; i < 5; ++i)
        set_element<std::uint16_t>(m, 8, i, values[i]);
    set_element<std::uint16_t>(m, 9, 0, 0x4000);
    m.run({setvl(5, 1), assemble("vfredosum.vs", {.rd = 10, .rs1 = 9, .rs2 = 8}),
           assemble("vfredusum.vs", {.rd = 11, .rs1 = 9, .rs2 = 8}),
           assemble("vfwredosum.vs", {.rd = 12, .rs1 = 9, .rs2 = 8})});
    Env env;
    std::uint16_t total = 0x4000;
    for (std::uint16_t v : values)
        total = soft::add<Half>(total, v, env);
    EXPECT_EQ(element<std::uint16_t>(m, 10, 0), total);
    EXPECT_EQ(element<std::uint16_t>(m, 11, 0), total);
}

/// The truncating conversions equal the dynamic ones under round-towards-zero.
TEST(VectorConvert, TruncatingForms) {
    const std::pair<const char*, const char*> kPairs[] = {
        {"vfcvt.rtz.x.f.v", "vfcvt.x.f.v"},   {"vfcvt.rtz.xu.f.v", "vfcvt.xu.f.v"},
        {"vfwcvt.rtz.x.f.v", "vfwcvt.x.f.v"}, {"vfwcvt.rtz.xu.f.v", "vfwcvt.xu.f.v"},
        {"vfncvt.rtz.x.f.w", "vfncvt.x.f.w"}, {"vfncvt.rtz.xu.f.w", "vfncvt.xu.f.w"}};
    for (unsigned sew : {1u, 2u, 3u}) {
        for (const auto& [rtz, dynamic] : kPairs) {
            if (sew == 3 && std::string(rtz).substr(0, 4) != "vfcv")
                continue;
            Machine a(true), b(true);
            for (Machine* m : {&a, &b}) {
                fill(*m, 99);
                m->hart->write_csr(0x002, m == &a ? 3 : 1);
            }
            EXPECT_EQ((a.run({setvl(8, sew)}), a.execute(assemble(rtz, {.rd = 8, .rs2 = 16}))), -1);
            EXPECT_EQ((b.run({setvl(8, sew)}), b.execute(assemble(dynamic, {.rd = 8, .rs2 = 16}))),
                      -1);
            for (unsigned reg = 8; reg < 10; ++reg)
                EXPECT_EQ(std::memcmp(a.hart->v(reg).data(), b.hart->v(reg).data(), kVlenBytes), 0)
                    << rtz << " sew " << sew;
            EXPECT_EQ(a.csr(0x001), b.csr(0x001)) << rtz;
        }
    }
}

TEST(VectorConfig, LengthsAndTypes) {
    Machine m(true);
    const auto set = [&](std::uint64_t avl, unsigned type) {
        m.hart->set_x(1, avl);
        m.hart->set_x(2, type);
        m.run({assemble("vsetvl", {.rd = 3, .rs1 = 1, .rs2 = 2})});
        return m.hart->x(3);
    };
    EXPECT_EQ(set(1000, vtype(0)), 64u);     // e8 m1
    EXPECT_EQ(set(1000, vtype(0, 3)), 512u); // e8 m8
    EXPECT_EQ(set(1000, vtype(3)), 8u);      // e64 m1
    EXPECT_EQ(set(5, vtype(2)), 5u);
    EXPECT_EQ(set(~0ull, vtype(0, 5)), 8u); // e8 mf8
    EXPECT_EQ(m.csr(0xc21), 5u);
    EXPECT_EQ(set(4, vtype(1, 5)), 0u); // e16 mf8: vill
    EXPECT_EQ(m.csr(0xc21), std::uint64_t{1} << 63);
    EXPECT_EQ(m.execute(assemble("vadd.vv")), 2);
    EXPECT_EQ(m.execute(assemble("vmv1r.v", {.rd = 1, .rs2 = 2})), 2); // works in units of SEW
    EXPECT_EQ(set(4, vtype(0) | 0x100), 0u);                           // reserved bit
    EXPECT_EQ(set(4, vtype(4)), 0u);                                   // e128
    EXPECT_EQ(set(4, vtype(0, 4)), 0u);                                // reserved LMUL
    set(3, vtype(2));
    m.run({assemble("vsetvli", {.rd = 0, .rs1 = 0, .imm = vtype(2)})}); // keeps vl
    EXPECT_EQ(m.csr(0xc20), 3u);
    m.run({assemble("vsetvli", {.rd = 4, .rs1 = 0, .imm = vtype(2)})}); // VLMAX
    EXPECT_EQ(m.csr(0xc20), 16u);
}

TEST(VectorMask, InactiveElementsAndTail) {
    Machine m(true);
    fill(m, 3);
    Machine before(true);
    fill(before, 3);
    m.run({setvl(20, 1), assemble("vadd.vi", {.rd = 8, .rs2 = 9, .imm = 5, .vm = false})});
    for (unsigned i = 0; i < 32; ++i) {
        const bool active = i < 20 && (before.hart->v(0)[i / 8] >> (i % 8) & 1);
        const auto expected =
            active ? static_cast<std::uint16_t>(element<std::uint16_t>(before, 9, i) + 5)
                   : element<std::uint16_t>(before, 8, i);
        EXPECT_EQ(element<std::uint16_t>(m, 8, i), expected) << i;
    }
    EXPECT_EQ(m.execute(assemble("vadd.vi", {.rd = 0, .rs2 = 9, .imm = 5, .vm = false})), 2);
}

TEST(VectorStart, ResumesAndResets) {
    Machine m(true);
    fill(m, 4);
    Machine before(true);
    fill(before, 4);
    m.run({setvl(16, 2)});
    m.hart->write_csr(0x008, 3);
    m.run({assemble("vadd.vi", {.rd = 8, .rs2 = 9, .imm = 1})});
    EXPECT_EQ(m.csr(0x008), 0u);
    for (unsigned i = 0; i < 16; ++i)
        EXPECT_EQ(element<std::uint32_t>(m, 8, i), i < 3
                                                       ? element<std::uint32_t>(before, 8, i)
                                                       : element<std::uint32_t>(before, 9, i) + 1);
    m.hart->write_csr(0x008, 3);
    EXPECT_EQ(m.execute(assemble("vredsum.vs", {.rd = 8, .rs1 = 9, .rs2 = 10})), 2);
}

TEST(VectorMemory, FaultOnlyFirst) {
    Machine m(true);
    const std::uint64_t end = Machine::kBase + Machine::kSize;
    m.hart->set_x(5, end - 12);
    m.run({setvl(16, 2), assemble("vle32ff.v", {.rd = 8, .rs1 = 5})});
    EXPECT_EQ(m.csr(0xc20), 3u);
    EXPECT_TRUE(m.port.traps.empty());
    m.hart->set_x(5, end);
    m.run({setvl(16, 2)});
    EXPECT_EQ(m.execute(assemble("vle32ff.v", {.rd = 8, .rs1 = 5})), 5);
}

TEST(VectorMemory, TrapLeavesVstart) {
    Machine m(true);
    const std::uint64_t end = Machine::kBase + Machine::kSize;
    m.hart->set_x(5, end - 12);
    m.run({setvl(16, 2)});
    EXPECT_EQ(m.execute(assemble("vse32.v", {.rd = 8, .rs1 = 5})), 7);
    EXPECT_EQ(m.csr(0x008), 3u);
    EXPECT_EQ(m.csr(0x343), end);
}

TEST(VectorMemory, PortAccessesComeByLine) {
    Machine m(true);
    for (unsigned i = 0; i < 512; ++i)
        m.port.memory[i] = static_cast<std::uint8_t>(i * 7);
    m.hart->set_x(5, ScriptedPort::kBase + 32);
    m.hart->set_x(6, ~std::uint64_t{0});
    m.put(Machine::kBase,
          {assemble("vsetvli", {.rd = 7, .rs1 = 6, .imm = vtype(2, 1)}),
           assemble("vle32.v", {.rd = 8, .rs1 = 5}), assemble("vmv.x.s", {.rd = 9, .rs2 = 8})});
    EXPECT_EQ(m.hart->run(1000, 0), StopReason::kSync);
    EXPECT_EQ(m.hart->pc(), Machine::kBase + 4);
    m.hart->step();
    EXPECT_EQ(m.port.access_sizes, (std::vector<unsigned>{32, 64, 32}));
    EXPECT_EQ(std::memcmp(m.hart->v(8).data(), m.port.memory.data() + 32, 64), 0);
    EXPECT_EQ(std::memcmp(m.hart->v(9).data(), m.port.memory.data() + 96, 64), 0);
    m.hart->step();
    EXPECT_GE(m.hart->now(), ScriptedPort::kLatency);
}

/// As the chip's scheduler runs a hart: global time follows it to each stop. A retry must find the
/// clock where the first attempt left it, or the two never meet.
TEST(VectorMemory, PortAccessesMeetGlobalTime) {
    for (const char* name : {"vle32.v", "vse32.v", "vlse32.v", "vluxei32.v", "vle32ff.v"}) {
        Machine m(true);
        m.hart->set_x(5, ScriptedPort::kBase);
        m.hart->set_x(6, 4);
        m.put(Machine::kBase, {setvl(16, 2), assemble("vadd.vi", {.rd = 8, .rs2 = 8}),
                               assemble(name, {.rd = 8, .rs1 = 5, .rs2 = 6}), assemble("ecall")});
        for (unsigned i = 0; i < 16; ++i)
            set_element<std::uint32_t>(m, 6, i, 4 * i);
        unsigned stops = 0;
        Cycle global = 0;
        while (m.hart->run(m.hart->now() + 256, global) == StopReason::kSync && ++stops < 100)
            global = m.hart->now();
        EXPECT_EQ(m.hart->state(), StopReason::kHalted) << name;
        EXPECT_LT(stops, 4u) << name;
    }
}

TEST(VectorMemory, BlockedPortAccessResumes) {
    Machine m(true);
    unsigned calls = 0;
    m.port.on_access = [&](Cycle now, std::uint64_t, unsigned, bool) {
        return ++calls == 2 ? OpResult::blocked() : OpResult::ok(now);
    };
    for (unsigned i = 0; i < 256; ++i)
        m.port.memory[i] = static_cast<std::uint8_t>(i);
    m.hart->set_x(5, ScriptedPort::kBase);
    m.hart->set_x(6, 64);
    m.put(Machine::kBase, {assemble("vsetvli", {.rd = 7, .rs1 = 6, .imm = vtype(1, 1)}),
                           assemble("vle16.v", {.rd = 8, .rs1 = 5})});
    EXPECT_EQ(m.hart->run(1000, 1000), StopReason::kBlocked);
    EXPECT_EQ(m.csr(0x008), 32u);
    m.hart->wake(200);
    m.hart->step();
    EXPECT_EQ(m.csr(0x008), 0u);
    EXPECT_EQ(std::memcmp(m.hart->v(8).data(), m.port.memory.data(), 128), 0);
}

TEST(VectorMemory, SegmentsAndStrides) {
    Machine m(true);
    for (unsigned i = 0; i < 256; ++i)
        m.memory[0x1000 + i] = static_cast<std::uint8_t>(i);
    m.hart->set_x(5, Machine::kData);
    m.hart->set_x(6, 10);
    m.run({setvl(20, 0), assemble("vle8.v", {.rd = 8, .rs1 = 5, .nf = 3}),
           assemble("vlse8.v", {.rd = 16, .rs1 = 5, .rs2 = 6, .nf = 2})});
    for (unsigned i = 0; i < 20; ++i) {
        for (unsigned f = 0; f < 3; ++f)
            EXPECT_EQ(element<std::uint8_t>(m, 8 + f, i), 3 * i + f);
        for (unsigned f = 0; f < 2; ++f)
            EXPECT_EQ(element<std::uint8_t>(m, 16 + f, i), 10 * i + f);
    }
}

TEST(VectorTiming, ChimesAndOverlap) {
    Machine m(true);
    m.hart->set_x(6, 32);
    // 32 elements of 32 bits: two chimes each; the scalar instructions run beside them.
    m.run({assemble("vsetvli", {.rd = 7, .rs1 = 6, .imm = vtype(2, 1)}),
           assemble("vadd.vv", {.rd = 8, .rs1 = 10, .rs2 = 12}), assemble("addi"),
           assemble("vadd.vv", {.rd = 8, .rs1 = 10, .rs2 = 12}),
           assemble("vadd.vv", {.rd = 8, .rs1 = 10, .rs2 = 12})});
    EXPECT_EQ(m.hart->now(), 6u);
}

} // namespace
} // namespace talus::sim
