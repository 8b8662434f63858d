// The privileged architecture by the manual: PMP matching, MPRV, WARL fields, absent CSRs,
// counters, and corners of the unprivileged state that an emulator of user programs cannot show.
#include <gtest/gtest.h>

#include "machine.hpp"

namespace talus::sim {
namespace {

constexpr std::uint64_t kCode = Machine::kBase;
constexpr std::uint64_t kData = Machine::kData;
constexpr unsigned kMstatus = 0x300, kMtvec = 0x305, kMepc = 0x341, kPmpcfg0 = 0x3a0,
                   kPmpaddr0 = 0x3b0;
constexpr std::uint64_t kMprv = 1u << 17, kMppMachine = 3u << 11, kFsOn = 0x6000;
constexpr unsigned kR = 1, kW = 2, kX = 4, kTor = 8, kNa4 = 16, kNapot = 24, kLock = 0x80;

/// A hart whose loads and stores are judged as user mode's (MPRV), while it runs in machine mode.
class Pmp : public testing::Test {
  protected:
    Machine m;

    void SetUp() override { m.hart->write_csr(kMstatus, kFsOn | kMprv); }
    void entry(unsigned index, unsigned cfg, std::uint64_t addr) {
        m.hart->write_csr(kPmpaddr0 + index, addr >> 2);
        std::uint64_t all = m.csr(kPmpcfg0 + index / 8 * 2);
        all &= ~(std::uint64_t{0xff} << (8 * (index % 8)));
        m.hart->write_csr(kPmpcfg0 + index / 8 * 2, all | std::uint64_t{cfg} << (8 * (index % 8)));
    }
    /// The cause of the trap at one access by "lb", "sd", ..., or -1.
    std::int64_t access(const char* name, std::uint64_t addr) {
        m.hart->set_x(5, addr);
        m.hart->write_csr(kMstatus, kFsOn | kMprv); // a trap changed MPP
        if (name[0] == 's')
            return m.execute(assemble(name, {.rs1 = 5}));
        return m.execute(assemble(name, {.rd = 1, .rs1 = 5}));
    }
};

TEST_F(Pmp, TopOfRange) {
    entry(0, 0, kData);
    entry(1, kTor | kR | kW, kData + 0x100);
    EXPECT_EQ(access("lb", kData), -1);
    EXPECT_EQ(access("sb", kData + 0xff), -1);
    EXPECT_EQ(access("lb", kData - 1), 5);
    EXPECT_EQ(access("sb", kData + 0x100), 7);
    EXPECT_EQ(access("ld", kData - 4), 5);    // part of it inside
    EXPECT_EQ(access("sd", kData + 0xfc), 7); // part of it outside
    entry(2, kTor | kR, kData + 0x100);       // from entry 1's address to the same: empty
    EXPECT_EQ(access("lb", kData + 0x100), 5);
    entry(2, kTor | kR, kData + 0x200); // from entry 1's address on
    EXPECT_EQ(access("lb", kData + 0x100), -1);
    EXPECT_EQ(access("lb", kData + 0x200), 5);
    entry(0, kTor | kR, kData); // entry 0 starts at 0
    EXPECT_EQ(access("lb", kData - 1), -1);
    EXPECT_EQ(access("sb", kData - 1), 7);
}

TEST_F(Pmp, NaturallyAlignedRanges) {
    entry(0, kNa4 | kR | kW, kData);
    EXPECT_EQ(access("lw", kData), -1);
    EXPECT_EQ(access("lb", kData + 4), 5);
    EXPECT_EQ(access("lh", kData + 3), 5);
    entry(0, kNapot | kR | kW, kData); // address bit 2 clear: 8 bytes
    EXPECT_EQ(access("ld", kData), -1);
    EXPECT_EQ(access("lb", kData + 8), 5);
    entry(0, kNapot | kR | kW, kData | 0x7c); // five ones: 256 bytes
    EXPECT_EQ(access("sd", kData + 0xf8), -1);
    EXPECT_EQ(access("sb", kData + 0x100), 7);
    entry(0, kNapot | kR | kW, ~std::uint64_t{0}); // everything
    EXPECT_EQ(access("sb", kCode + 0xfff), -1);
}

TEST_F(Pmp, LowestMatchingEntryDecides) {
    entry(0, kNa4 | kR, kData);
    entry(1, kNapot | kR | kW, kData | 0x7c);
    EXPECT_EQ(access("sw", kData), 7);
    EXPECT_EQ(access("sw", kData + 4), -1);
    EXPECT_EQ(access("ld", kData),
              5); // entry 0 matches a part: fails although entry 1 has all of it
    entry(0, 0, kData);
    EXPECT_EQ(access("sw", kData), -1);
    entry(15, kNapot | kR, 0x40000000 | 0x1ffc);
    EXPECT_EQ(access("lb", 0x40000000), -1);
    EXPECT_EQ(access("sb", 0x40000000), 7);
}

TEST_F(Pmp, WriteWithoutReadIsReserved) {
    entry(0, kNapot | kW | kX, kData | 0x7c);
    EXPECT_EQ(m.csr(kPmpcfg0), kNapot | kX);
    EXPECT_EQ(access("sb", kData), 7);
}

TEST_F(Pmp, LocksHoldUntilReset) {
    entry(1, kLock | kTor | kR, kData + 0x100);
    m.hart->write_csr(kPmpaddr0, 0x1234);
    EXPECT_EQ(m.csr(kPmpaddr0), 0u) << "a locked TOR entry locks the address below it";
    m.hart->write_csr(kPmpaddr0 + 1, 0);
    EXPECT_EQ(m.csr(kPmpaddr0 + 1), (kData + 0x100) >> 2);
    m.hart->write_csr(kPmpcfg0, 0);
    EXPECT_EQ(m.csr(kPmpcfg0), std::uint64_t{kLock | kTor | kR} << 8);
    m.hart->write_csr(kMstatus, kFsOn); // machine mode is bound as well
    m.hart->set_x(5, kData);
    EXPECT_EQ(m.execute(assemble("sb", {.rs1 = 5})), 1)
        << "not even executable: [0, kData + 0x100)";
    m.hart->reset(0);
    EXPECT_EQ(m.csr(kPmpcfg0), 0u);
}

TEST_F(Pmp, JudgesAtomicsAndBlocks) {
    entry(0, kNapot | kR, kData | 0x7c);
    EXPECT_EQ(access("lr.w", kData), -1);
    EXPECT_EQ(access("sc.w", kData), 7);
    m.hart->set_x(5, kData);
    EXPECT_EQ(m.execute(assemble("amoadd.w", {.rd = 1, .rs1 = 5})), -1) << "MPP is machine now";
    m.hart->write_csr(kMstatus, kFsOn | kMprv);
    EXPECT_EQ(m.execute(assemble("amoadd.w", {.rd = 1, .rs1 = 5})), 7);
    m.hart->write_csr(kMstatus, kFsOn | kMprv);
    EXPECT_EQ(m.execute(assemble("cbo.clean", {.rs1 = 5})), -1);
    m.hart->set_x(5, kData + 0x140);
    EXPECT_EQ(m.execute(assemble("cbo.inval", {.rs1 = 5})), 7);
    EXPECT_EQ(m.csr(0x343), kData + 0x140) << "mtval is rs1, not the block";
}

/// The rights of loads change with MPP while MPRV is set, also where the mode does not.
TEST(Mprv, FollowsMppThroughMret) {
    Machine m;
    m.hart->write_csr(kMtvec, Machine::kHandler);
    m.hart->write_csr(kMstatus, kFsOn | kMprv | kMppMachine);
    m.hart->write_csr(kMepc, kCode + 8);
    m.hart->set_x(5, kData);
    m.put(kCode, {assemble("lw", {.rd = 1, .rs1 = 5}), assemble("mret"),
                  assemble("lw", {.rd = 1, .rs1 = 5})});
    m.hart->set_pc(kCode);
    m.hart->step();
    m.hart->step(); // to machine mode, so MPRV stays; MPP becomes user
    EXPECT_EQ(m.csr(kMstatus) & (kMprv | kMppMachine), kMprv);
    ASSERT_TRUE(m.port.traps.empty());
    m.hart->step();
    ASSERT_EQ(m.port.traps.size(), 1u) << "user mode has no PMP entry";
    EXPECT_EQ(m.port.traps.back().cause, cause::kLoadAccess);
    EXPECT_EQ(m.csr(kMstatus) & (kMprv | kMppMachine), kMprv | kMppMachine);
}

TEST(Mprv, ClearedOnTheWayToUserMode) {
    Machine m;
    m.hart->write_csr(kMstatus, kMprv); // MPP = user
    m.hart->write_csr(kMepc, kCode);
    EXPECT_EQ(m.execute(assemble("mret")), -1);
    EXPECT_TRUE(m.hart->user_mode());
    EXPECT_EQ(m.csr(kMstatus) & kMprv, 0u);
}

TEST(Warl, Mstatus) {
    Machine m;
    m.hart->write_csr(kMstatus, ~std::uint64_t{0});
    // SD, UXL = 2, TW, MPRV, FS, MPP, MPIE, MIE: no S, no V, no endianness control.
    EXPECT_EQ(m.csr(kMstatus), 0x8000000200227888u);
    m.hart->write_csr(kMstatus, std::uint64_t{1} << 11); // MPP = S is not supported
    EXPECT_NE(m.csr(kMstatus) >> 11 & 3, 1u);
    m.hart->write_csr(kMstatus, 0);
    EXPECT_EQ(m.csr(kMstatus), 0x200000000u);
    Machine v(true);
    v.hart->write_csr(kMstatus, ~std::uint64_t{0});
    EXPECT_EQ(v.csr(kMstatus), 0x8000000200227e88u);
}

TEST(Warl, OtherFields) {
    Machine m;
    const auto reads_back = [&](unsigned csr, std::uint64_t value) {
        m.hart->write_csr(csr, value);
        return m.csr(csr);
    };
    EXPECT_EQ(reads_back(kMtvec, 0x12345675), 0x12345675u);
    EXPECT_EQ(reads_back(kMtvec, 0x2000) & 3, 0u);
    EXPECT_LT(reads_back(kMtvec, 0x2003) & 3, 2u); // modes 2 and 3 are reserved
    EXPECT_EQ(reads_back(kMepc, 0x12345), 0x12344u);
    EXPECT_EQ(reads_back(0x301, 0), 0x8000000000000000u | 0x10112du); // misa is fixed
    EXPECT_EQ(reads_back(0x344, ~std::uint64_t{0}), 0u);              // mip: sources own it
    EXPECT_EQ(reads_back(0x304, ~std::uint64_t{0}), 0xffff0888u);     // no supervisor bits
    EXPECT_EQ(reads_back(0x320, ~std::uint64_t{0}), 5u);              // no TM, no event counters
    EXPECT_EQ(reads_back(0x306, ~std::uint64_t{0}), 0xffffffffu);
    EXPECT_EQ(reads_back(0x30a, 0x60), 0x40u); // CBIE = 2 is reserved
    EXPECT_EQ(reads_back(0x30a, ~std::uint64_t{0}), 0x70u);
    EXPECT_EQ(reads_back(0xb03, 7), 0u);
    EXPECT_EQ(reads_back(0x323, 7), 0u);
    EXPECT_EQ(reads_back(0x342, 0x800000000000000b), 0x800000000000000bu);
    EXPECT_EQ(reads_back(0x340, 0x123456789abcdef0), 0x123456789abcdef0u);
    EXPECT_EQ(reads_back(kPmpaddr0, ~std::uint64_t{0}), (std::uint64_t{1} << 54) - 1);
    EXPECT_EQ(reads_back(0x003, ~std::uint64_t{0}), 0xffu);
    // Trigger registers that say "none", as programs that look for one expect.
    EXPECT_EQ(reads_back(0x7a0, ~std::uint64_t{0}), 0u);
    EXPECT_EQ(reads_back(0x7a1, ~std::uint64_t{0}), 0u);
}

TEST(Csrs, AbsentOnesTrap) {
    Machine m(true);
    for (unsigned csr : {0x100u, 0x104u, 0x105u, 0x106u, 0x140u, 0x141u, 0x144u, 0x180u, // S
                         0x200u, 0x600u, 0x680u,                                         // H
                         0x302u, 0x303u, 0x310u, 0x34au, 0x34bu,                         // M
                         0x3a1u, 0x3a3u, 0x747u, 0x7b0u, 0x015u, 0xc80u, 0xb80u, 0xda0u})
        EXPECT_EQ(m.execute(assemble("csrrs", {.rd = 1, .imm = static_cast<int>(csr)})), 2)
            << std::hex << csr;
    // Read-only by number: a write traps, a set of no bits does not.
    for (unsigned csr : {0xc00u, 0xc02u, 0xf11u, 0xf14u, 0xc20u, 0xc21u, 0xc22u}) {
        const int number = static_cast<int>(csr);
        EXPECT_EQ(m.execute(assemble("csrrw", {.rd = 1, .rs1 = 0, .imm = number})), 2);
        EXPECT_EQ(m.execute(assemble("csrrsi", {.rd = 1, .rs1 = 1, .imm = number})), 2);
        EXPECT_EQ(m.execute(assemble("csrrs", {.rd = 1, .rs1 = 0, .imm = number})), -1);
        EXPECT_EQ(m.execute(assemble("csrrci", {.rd = 1, .rs1 = 0, .imm = number})), -1);
    }
}

TEST(Csrs, CountersStopAndGoOn) {
    Machine m;
    m.hart->write_csr(0x320, 4); // minstret stands
    const std::uint64_t before = m.csr(0xb02), clocks = m.csr(0xb00);
    m.run({0x00000013, 0x00000013, 0x00000013});
    EXPECT_EQ(m.csr(0xb02), before);
    EXPECT_GE(m.csr(0xb00), clocks + 3);
    m.hart->write_csr(0x320, 1); // mcycle stands, minstret goes on where it stood
    const std::uint64_t frozen = m.csr(0xb00);
    m.run({0x00000013, 0x00000013});
    EXPECT_EQ(m.csr(0xb02), before + 2);
    EXPECT_EQ(m.csr(0xb00), frozen);
    m.hart->write_csr(0xb00, 1000); // also while it stands
    EXPECT_EQ(m.csr(0xb00), 1000u);
    m.hart->write_csr(0x320, 0);
    m.run({0x00000013});
    EXPECT_EQ(m.csr(0xb00), 1001u);
    // What traps does not retire.
    m.hart->write_csr(kMtvec, Machine::kHandler);
    const std::uint64_t retired = m.csr(0xb02);
    EXPECT_EQ(m.execute(assemble("ecall")), 11);
    EXPECT_EQ(m.execute(assemble("ebreak")), 3);
    EXPECT_EQ(m.csr(0xb02), retired);
}

TEST(UserMode, WaitsAndBlocks) {
    Machine m;
    m.hart->write_csr(kPmpaddr0, ~std::uint64_t{0});
    m.hart->write_csr(kPmpcfg0, kNapot | kR | kW | kX);
    m.hart->set_x(5, kData);
    const auto user = [&](const char* name, std::uint64_t mstatus, std::uint64_t menvcfg) {
        m.hart->write_csr(kMtvec, Machine::kHandler);
        m.hart->write_csr(0x30a, menvcfg);
        m.hart->write_csr(kMstatus, kFsOn | mstatus);
        m.hart->write_csr(kMepc, kCode + 4);
        m.put(kCode, {assemble("mret"), assemble(name, {.rs1 = name[0] == 'c' ? 5u : 0u})});
        m.hart->invalidate_code(kCode, 64);
        m.hart->set_pc(kCode);
        const std::size_t before = m.port.traps.size();
        m.hart->step();
        m.hart->step();
        const bool trapped = m.port.traps.size() != before;
        if (m.hart->state() == StopReason::kWfi || !trapped)
            m.hart->reset(m.hart->now());
        m.hart->write_csr(kPmpaddr0, ~std::uint64_t{0});
        m.hart->write_csr(kPmpcfg0, kNapot | kR | kW | kX);
        m.hart->set_x(5, kData);
        return trapped ? static_cast<int>(m.port.traps.back().cause) : -1;
    };
    EXPECT_EQ(user("wfi", 0, 0), -1);
    EXPECT_EQ(user("wfi", 1u << 21, 0), 2); // TW
    EXPECT_EQ(user("cbo.inval", 0, 0), 2);
    EXPECT_EQ(user("cbo.inval", 0, 0x10), -1);
    EXPECT_EQ(user("cbo.inval", 0, 0x30), -1);
    EXPECT_EQ(user("cbo.inval", 0, 0x40), 2);
    EXPECT_EQ(user("cbo.clean", 0, 0x30), 2);
    EXPECT_EQ(user("cbo.clean", 0, 0x40), -1);
    EXPECT_EQ(user("cbo.flush", 0, 0x40), -1);
}

TEST(VectorState, IllegalTypeStopsAllButWholeRegisterAccesses) {
    Machine m(true);
    m.hart->set_x(5, kData);
    ASSERT_EQ(m.execute(assemble("vsetvli", {.rd = 1, .rs1 = 0, .imm = 0x3ff})), -1);
    EXPECT_EQ(m.csr(0xc21), std::uint64_t{1} << 63);
    EXPECT_EQ(m.csr(0xc20), 0u);
    for (const char* name : {"vadd.vv", "vmv1r.v", "vmv8r.v", "vmand.mm", "vmv.x.s", "vle8.v",
                             "vlm.v", "vcpop.m", "vfirst.m"})
        EXPECT_EQ(m.execute(assemble(name, {.rs1 = name[1] == 'l' ? 5u : 0u})), 2) << name;
    EXPECT_EQ(m.execute(assemble("vlre8.v", {.rs1 = 5})), -1);
    EXPECT_EQ(m.execute(assemble("vsr.v", {.rs1 = 5})), -1);
}

/// SC ends every reservation, and a hart has one at most.
TEST(Reservation, OneForAllMemory) {
    struct Port : TestPort {
        OpResult amo(HartId, Cycle now, const AmoRequest& request) override {
            return OpResult::with_value(now + 1, request.op == AmoOp::kSc);
        }
    } port;
    std::vector<std::uint8_t> memory(4096);
    HartConfig config;
    config.reset_pc = 0x10000;
    config.regions = {{0x10000, 4096, memory.data()}};
    Hart hart(config, port);
    const auto run = [&](std::initializer_list<std::uint32_t> code) {
        std::size_t at = 0;
        for (std::uint32_t bits : code)
            std::memcpy(memory.data() + 4 * at++, &bits, 4);
        hart.invalidate_code(0x10000, 4096);
        hart.set_pc(0x10000);
        for (std::size_t i = 0; i < code.size(); ++i)
            hart.step();
    };
    hart.set_x(5, 0x10800);
    hart.set_x(6, 0x40000000);
    const std::uint32_t lr = assemble("lr.w", {.rd = 1, .rs1 = 5}),
                        sc = assemble("sc.w", {.rd = 2, .rs1 = 5}),
                        lr_port = assemble("lr.w", {.rd = 1, .rs1 = 6}),
                        sc_port = assemble("sc.w", {.rd = 3, .rs1 = 6});
    run({lr, sc});
    EXPECT_EQ(hart.x(2), 0u);
    run({lr, sc, sc});
    EXPECT_EQ(hart.x(2), 1u);
    run({lr, sc_port, sc});
    EXPECT_EQ(hart.x(2), 1u);
    run({lr, lr_port, sc});
    EXPECT_EQ(hart.x(2), 1u);
}

} // namespace
} // namespace talus::sim
