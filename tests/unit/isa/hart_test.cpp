// The hart as the chip sees it: stops, traps, interrupts, privilege, fetch, timing.
#include <gtest/gtest.h>

#include "machine.hpp"

namespace talus::sim {
namespace {

constexpr std::uint64_t kCode = Machine::kBase;
const std::uint32_t kNop = assemble("addi");
const std::uint32_t kWfi = assemble("wfi");

std::uint32_t addi(unsigned rd, unsigned rs1, std::int32_t imm) {
    return assemble("addi", {.rd = rd, .rs1 = rs1, .imm = imm});
}
std::uint32_t csrw(unsigned csr, unsigned rs1) {
    return assemble("csrrw", {.rs1 = rs1, .imm = static_cast<std::int32_t>(csr)});
}
std::uint32_t csrr(unsigned rd, unsigned csr) {
    return assemble("csrrs", {.rd = rd, .imm = static_cast<std::int32_t>(csr)});
}

TEST(Stops, SharedOperationWaitsForGlobalTime) {
    Machine m;
    m.hart->set_x(5, Machine::kData);
    m.set_data<std::uint64_t>(Machine::kData, 40);
    m.put(kCode, {addi(6, 0, 2), assemble("amoadd.d", {.rd = 7, .rs1 = 5, .rs2 = 6}), kNop});
    ASSERT_EQ(m.hart->run(100, 0), StopReason::kSync);
    EXPECT_EQ(m.hart->pc(), kCode + 4);
    EXPECT_EQ(m.hart->now(), 1u);
    EXPECT_EQ(m.data<std::uint64_t>(Machine::kData), 40u);
    EXPECT_EQ(m.hart->run(100, 0), StopReason::kSync); // still
    EXPECT_TRUE(m.hart->runnable());
    m.hart->run(2, 1);
    EXPECT_EQ(m.data<std::uint64_t>(Machine::kData), 42u);
    EXPECT_EQ(m.hart->x(7), 40u);
}

TEST(Stops, PlainAccessesRunAhead) {
    Machine m;
    m.hart->set_x(5, Machine::kData);
    m.put(kCode, {assemble("sd", {.rs1 = 5, .rs2 = 5}), assemble("ld", {.rd = 6, .rs1 = 5}), kNop,
                  kNop, kNop, kNop});
    EXPECT_EQ(m.hart->run(5, 0), StopReason::kUntil);
    EXPECT_EQ(m.hart->x(6), Machine::kData);
}

TEST(Stops, EveryKindOfSharedOperation) {
    for (std::uint32_t bits :
         {assemble("fence"), assemble("fence.i"), kWfi, assemble("lr.w", {.rd = 1, .rs1 = 5}),
          assemble("sc.w", {.rd = 1, .rs1 = 5}), assemble("custom-0"), assemble("custom-1"),
          assemble("cbo.clean", {.rs1 = 5}), csrr(1, 0xc01), csrr(1, 0x7c0),
          assemble("lw", {.rd = 1, .rs1 = 6}), assemble("sb", {.rs1 = 6})}) {
        Machine m;
        m.hart->set_x(5, Machine::kData);
        m.hart->set_x(6, ScriptedPort::kBase);
        m.put(kCode, {kNop, bits});
        EXPECT_EQ(m.hart->run(100, 0), StopReason::kSync) << instruction_name(decode(bits));
        EXPECT_EQ(m.hart->pc(), kCode + 4);
    }
}

TEST(Stops, BlockedOperationIsRetried) {
    Machine m;
    unsigned calls = 0;
    m.port.on_custom = [&](Cycle now, const CustomInsn& insn) {
        EXPECT_EQ(insn.opcode, 0x0b);
        EXPECT_EQ(insn.funct3, 5);
        EXPECT_EQ(insn.funct7, 9);
        EXPECT_EQ(insn.rs1_value, 11u);
        EXPECT_EQ(insn.rs2_value, 22u);
        return ++calls == 1 ? OpResult::blocked() : OpResult::with_value(now + 7, 99);
    };
    m.hart->set_x(1, 11);
    m.hart->set_x(2, 22);
    m.put(kCode, {0x0bu | 3u << 7 | 5u << 12 | 1u << 15 | 2u << 20 | 9u << 25, kNop});
    ASSERT_EQ(m.hart->run(100, 100), StopReason::kBlocked);
    EXPECT_FALSE(m.hart->runnable());
    EXPECT_EQ(m.hart->run(100, 100), StopReason::kBlocked);
    EXPECT_EQ(calls, 1u);
    EXPECT_TRUE(m.hart->wake(40));
    EXPECT_FALSE(m.hart->wake(50)); // no longer blocked: no effect
    EXPECT_EQ(m.hart->now(), 40u);
    m.hart->run(41, 40);
    EXPECT_EQ(m.hart->x(3), 99u);
    EXPECT_EQ(m.hart->now(), 47u);
    EXPECT_EQ(m.hart->retired(), 1u);
}

TEST(Stops, PortTrapsWithCustomCause) {
    Machine m;
    m.port.on_custom = [](Cycle, const CustomInsn&) { return OpResult::trap(24, 0x1234); };
    EXPECT_EQ(m.execute(assemble("custom-1")), 24);
    EXPECT_EQ(m.csr(0x342), 24u);
    EXPECT_EQ(m.csr(0x343), 0x1234u);
    EXPECT_EQ(m.csr(0x341), kCode);
    EXPECT_EQ(m.hart->pc(), Machine::kHandler);
}

TEST(Stops, ResetFromInsideAPortCall) {
    Machine m;
    m.hart->set_x(6, ScriptedPort::kBase);
    m.port.on_access = [&](Cycle, std::uint64_t, unsigned, bool) {
        m.hart->reset(500, kCode + 64);
        return OpResult::ok(0);
    };
    m.put(kCode, {assemble("lw", {.rd = 1, .rs1 = 6}), kNop});
    m.hart->run(100, 100);
    EXPECT_EQ(m.hart->pc(), kCode + 64);
    EXPECT_EQ(m.hart->now(), 500u);
    EXPECT_EQ(m.hart->retired(), 0u);
    EXPECT_EQ(m.hart->x(6), 0u);
}

TEST(Traps, WithoutHandlerTheHartHalts) {
    Machine m;
    m.put(kCode, {0});
    EXPECT_EQ(m.hart->run(100, 100), StopReason::kHalted);
    ASSERT_EQ(m.port.traps.size(), 1u);
    EXPECT_TRUE(m.port.traps[0].unhandled);
    EXPECT_EQ(m.port.traps[0].cause, cause::kIllegalInstruction);
    EXPECT_FALSE(m.hart->runnable());
    m.hart->reset(200);
    EXPECT_TRUE(m.hart->runnable());
}

TEST(Traps, IllegalInstructions) {
    Machine m;
    for (std::uint32_t bits : {
             0u,                                // defined illegal
             0xffffffffu,                       // all ones
             0x10200073u,                       // sret
             0x12000073u,                       // sfence.vma
             0x0040200fu,                       // cbo.zero
             0x02007053u | 3u << 25,            // fadd.q
             0x00005053u,                       // fadd.s with a reserved rounding mode
             0xc0102073u | 1u << 15,            // csrrs x0, time, x1: a write to a read-only CSR
             0x18002073u,                       // csrr x0, satp
             0x14002073u,                       // sscratch
             0x0d0072d7u,                       // vsetvli without V
             0x02056007u,                       // vle32.v without V
             0x0000302fu | 5u << 27,            // no such AMO
             0x60200013u | 1u << 12 | 1u << 25, // between clz's rows
             0x00002063u,                       // branch with funct3 2
         })
        EXPECT_EQ(m.execute(bits), 2) << std::hex << bits;
    EXPECT_EQ(m.csr(0x343), 0x00002063u); // mtval holds the instruction
    // Compressed: reserved encodings and mtval of 16 bits.
    for (std::uint16_t bits : {0x0000, 0x2001, 0x4002, 0x6002, 0x8002, 0x6101, 0x9c41, 0x8000})
        EXPECT_EQ(m.execute(bits | 0x00010000u), 2) << std::hex << bits;
    EXPECT_EQ(m.csr(0x343), 0x8000u);
}

TEST(Traps, FloatingPointAndVectorsOff) {
    Machine m(true);
    m.hart->write_csr(0x300, 0);
    EXPECT_EQ(m.execute(assemble("fadd.s")), 2);
    EXPECT_EQ(m.execute(assemble("flw", {.rs1 = 0})), 2);
    EXPECT_EQ(m.execute(csrr(1, 0x003)), 2);
    EXPECT_EQ(m.execute(assemble("vsetivli", {.rs1 = 4, .imm = 0})), 2);
    EXPECT_EQ(m.execute(csrr(1, 0xc22)), 2);
    m.hart->write_csr(0x300, 0x2200); // both Initial
    EXPECT_EQ(m.execute(assemble("fmv.w.x")), -1);
    EXPECT_EQ(m.execute(assemble("vsetivli", {.rs1 = 4, .imm = 0})), -1);
    EXPECT_EQ(m.csr(0x300), 0x8000000200006600u); // both Dirty, SD, UXL = 2
}

TEST(Traps, MisalignedAtomics) {
    Machine m;
    m.hart->set_x(5, Machine::kData + 2);
    EXPECT_EQ(m.execute(assemble("lr.w", {.rs1 = 5})), 4);
    EXPECT_EQ(m.execute(assemble("amoadd.w", {.rs1 = 5})), 6);
    EXPECT_EQ(m.csr(0x343), Machine::kData + 2);
    EXPECT_EQ(m.execute(assemble("ld", {.rd = 1, .rs1 = 5, .imm = 1})), -1); // plain loads may be
}

TEST(Traps, AccessFaults) {
    Machine m;
    m.hart->set_x(5, 0x999);
    EXPECT_EQ(m.execute(assemble("lb", {.rd = 1, .rs1 = 5})), 5);
    EXPECT_EQ(m.csr(0x343), 0x999u);
    EXPECT_EQ(m.execute(assemble("sh", {.rs1 = 5})), 7);
    m.hart->set_x(6, 0x2000);
    m.put(kCode, {assemble("jalr", {.rs1 = 6})});
    m.hart->set_pc(kCode);
    m.hart->invalidate_code(kCode, 64);
    m.hart->step();
    m.hart->step();
    EXPECT_EQ(m.port.traps.back().cause, cause::kFetchAccess);
    EXPECT_EQ(m.port.traps.back().pc, 0x2000u);
}

TEST(Interrupts, WfiWakesAndTakesThem) {
    Machine m;
    m.hart->write_csr(0x305, Machine::kHandler);
    m.hart->write_csr(0x304, 1u << 7 | 1u << 11);
    m.put(kCode, {kWfi, addi(1, 0, 1)});
    ASSERT_EQ(m.hart->run(100, 100), StopReason::kWfi);
    EXPECT_FALSE(m.hart->set_interrupt(irq::kMachineSoftware, true, 10)); // not enabled in mie
    EXPECT_TRUE(m.hart->set_interrupt(irq::kMachineTimer, true, 300));
    EXPECT_EQ(m.hart->now(), 300u);
    m.hart->run(301, 301); // mstatus.MIE is off: goes on after the WFI
    EXPECT_EQ(m.hart->x(1), 1u);
    EXPECT_TRUE(m.port.traps.empty());
}

TEST(Interrupts, PriorityAndVectoring) {
    Machine m;
    m.hart->write_csr(0x305, Machine::kHandler | 1);
    m.hart->write_csr(0x304, 0xffff0888);
    m.hart->write_csr(0x300, 0x6008);
    const auto taken = [&] {
        m.hart->set_pc(kCode);
        m.hart->write_csr(0x300, 0x6008);
        m.hart->step();
        return m.port.traps.back().cause & 0xff;
    };
    m.hart->set_interrupt(7, true, 0);
    EXPECT_EQ(taken(), 7u);
    EXPECT_EQ(m.hart->pc(), Machine::kHandler + 4 * 7);
    m.hart->set_interrupt(3, true, 0);
    EXPECT_EQ(taken(), 3u);
    m.hart->set_interrupt(11, true, 0);
    EXPECT_EQ(taken(), 11u);
    m.hart->set_interrupt(16, true, 0);
    EXPECT_EQ(taken(), 16u);
    m.hart->set_interrupt(20, true, 0);
    EXPECT_EQ(taken(), 20u);
    EXPECT_EQ(m.csr(0x341), kCode);
    EXPECT_EQ(m.csr(0x300) & 0x88, 0x80u); // MPIE = 1, MIE = 0
    m.put(Machine::kHandler + 80, {assemble("mret")});
    m.hart->invalidate_code(Machine::kHandler, 256);
    m.hart->set_interrupt(20, false, 0);
    m.hart->write_csr(0x304, 0);
    m.hart->step();
    EXPECT_EQ(m.hart->pc(), kCode);
    EXPECT_EQ(m.csr(0x300) & 0x88, 0x88u);
}

TEST(Interrupts, TakenWhileBlocked) {
    Machine m;
    m.port.on_custom = [](Cycle, const CustomInsn&) { return OpResult::blocked(); };
    m.hart->write_csr(0x305, Machine::kHandler);
    m.hart->write_csr(0x304, 1u << 16);
    m.hart->write_csr(0x300, 8);
    m.put(kCode, {assemble("custom-0")});
    ASSERT_EQ(m.hart->run(100, 100), StopReason::kBlocked);
    EXPECT_TRUE(m.hart->set_interrupt(16, true, 60));
    m.hart->run(61, 61);
    EXPECT_EQ(m.hart->pc(), Machine::kHandler);
    EXPECT_EQ(m.csr(0x341), kCode); // retried after mret
}

TEST(Privilege, UserModeNeedsPmp) {
    Machine m;
    m.hart->write_csr(0x305, Machine::kHandler);
    // Entry 0: code and data, NAPOT 4 KiB R-X; entry 1: NA4 at kData, RW.
    m.hart->write_csr(0x3b0, kCode >> 2 | 0x1ff);
    m.hart->write_csr(0x3b1, Machine::kData >> 2);
    m.hart->write_csr(0x3a0, 0x1d | 0x13u << 8);
    m.hart->write_csr(0x341, kCode + 0x100);
    m.hart->set_x(5, Machine::kData);
    m.put(kCode, {assemble("mret")});
    const auto user = [&](std::uint32_t bits) {
        const std::size_t before = m.port.traps.size();
        m.put(kCode + 0x100, {bits});
        m.hart->invalidate_code(kCode, 4096);
        m.hart->write_csr(0x341, kCode + 0x100);
        m.hart->write_csr(0x300, 0x6000); // MPP = user
        m.hart->set_pc(kCode);
        if (m.hart->user_mode())
            ADD_FAILURE() << "left in user mode";
        m.hart->step();
        EXPECT_TRUE(m.hart->user_mode());
        m.hart->step();
        const std::int64_t result = m.port.traps.size() == before
                                        ? -1
                                        : static_cast<std::int64_t>(m.port.traps.back().cause);
        if (result < 0) { // come back through a trap
            m.put(kCode + 0x104, {assemble("ecall")});
            m.hart->invalidate_code(kCode, 4096);
            m.hart->step();
            EXPECT_EQ(m.port.traps.back().cause, cause::kEcallFromU);
        }
        return result;
    };
    EXPECT_EQ(user(kNop), -1);
    EXPECT_EQ(user(assemble("lw", {.rd = 1, .rs1 = 5})), -1);
    EXPECT_EQ(user(assemble("sw", {.rs1 = 5})), -1);
    EXPECT_EQ(user(assemble("ld", {.rd = 1, .rs1 = 5})), 5);           // half of it only
    EXPECT_EQ(user(assemble("lw", {.rd = 1, .rs1 = 5, .imm = 4})), 5); // no entry
    EXPECT_EQ(user(csrr(1, 0x300)), 2);
    EXPECT_EQ(user(assemble("mret")), 2);
    EXPECT_EQ(user(csrr(1, 0xc00)), 2);                    // mcounteren = 0
    EXPECT_EQ(user(assemble("cbo.clean", {.rs1 = 5})), 2); // menvcfg = 0
    m.hart->write_csr(0x306, 1);
    EXPECT_EQ(user(csrr(1, 0xc00)), -1);
    EXPECT_EQ(user(assemble("ecall")), 8);
    EXPECT_EQ(m.port.traps.back().user_mode, true);
    EXPECT_EQ(user(assemble("ebreak")), 3);
    // A jump out of the executable range: the fetch faults.
    m.put(kCode + 0x100, {assemble("jal", {.imm = 0x2000})});
    m.hart->invalidate_code(kCode, 4096);
    m.hart->write_csr(0x341, kCode + 0x100);
    m.hart->write_csr(0x300, 0x6000);
    m.hart->set_pc(kCode);
    for (int i = 0; i < 3; ++i)
        m.hart->step();
    EXPECT_EQ(m.port.traps.back().cause, cause::kFetchAccess);
    EXPECT_EQ(m.port.traps.back().pc, kCode + 0x2100);
}

TEST(Privilege, LockedEntryBindsMachineMode) {
    Machine m;
    m.hart->set_x(5, Machine::kData);
    m.hart->write_csr(0x3b0, Machine::kData >> 2 | 0x1ff); // NAPOT 4 KiB
    m.hart->write_csr(0x3a0, 0x99);                        // locked, read only
    EXPECT_EQ(m.execute(assemble("lw", {.rd = 1, .rs1 = 5})), -1);
    EXPECT_EQ(m.execute(assemble("sw", {.rs1 = 5})), 7);
    m.hart->write_csr(0x3a0, 0); // locked: no effect
    EXPECT_EQ(m.csr(0x3a0), 0x99u);
}

TEST(Csrs, CountersAndIdentity) {
    Machine m;
    EXPECT_EQ(m.csr(0xf14), 7u);
    // RV64 and the letters A C D F I M U.
    EXPECT_EQ(m.csr(0x301), 0x8000000000000000u | 1u << 0 | 1u << 2 | 1u << 3 | 1u << 5 | 1u << 8 |
                                1u << 12 | 1u << 20);
}

TEST(Csrs, WritesToCountersAreSeenByTheNextInstruction) {
    Machine m;
    m.hart->set_x(1, 1000);
    m.run({csrw(0xb00, 1), csrr(2, 0xb00), csrw(0xb02, 1), csrr(3, 0xb02)});
    EXPECT_EQ(m.hart->x(2), 1000u);
    EXPECT_EQ(m.hart->x(3), 1000u);
    m.hart->set_x(1, 5);
    m.run({csrw(0x320, 1), csrr(4, 0xb00), kNop, csrr(5, 0xb00)});
    EXPECT_EQ(m.hart->x(4), m.hart->x(5)); // inhibited
}

TEST(Fetch, SelfModifyingCodeNeedsFenceI) {
    Machine m;
    m.hart->set_x(5, kCode + 64);
    m.hart->set_x(6, addi(1, 0, 2));
    m.put(kCode + 64, {addi(1, 0, 1), assemble("jalr", {.rs1 = 2})});
    m.put(kCode, {assemble("jalr", {.rd = 2, .rs1 = 5}), assemble("sw", {.rs1 = 5, .rs2 = 6}),
                  assemble("fence.i"), assemble("jalr", {.rd = 2, .rs1 = 5}), kNop});
    for (int i = 0; i < 3; ++i)
        m.hart->step();
    EXPECT_EQ(m.hart->x(1), 1u);
    for (int i = 0; i < 4; ++i)
        m.hart->step();
    EXPECT_EQ(m.hart->x(1), 2u);
    EXPECT_EQ(m.port.fences, 1u);
}

TEST(Fetch, InstructionCacheMissesOncePerLine) {
    Machine m;
    const std::uint64_t base = ScriptedPort::kBase;
    // 2-byte shift: every 4-byte instruction at the end of a line straddles into the next.
    m.port.memory[0] = 0x01;
    for (unsigned i = 0; i < 40; ++i)
        m.put(base + 2 + 4 * i, {addi(1, 1, 1)});
    m.put(base + 2 + 160, {assemble("jal", {.imm = -160})});
    m.hart->set_pc(base);
    for (int i = 0; i < 1 + 2 * 41; ++i)
        m.hart->step();
    EXPECT_EQ(m.hart->x(1), 80u);
    EXPECT_EQ(m.port.misses, (std::vector<std::uint64_t>{base, base + 64, base + 128}));
}

TEST(Fetch, CacheConflictsAndPageCrossing) {
    Machine m;
    const std::uint64_t base = ScriptedPort::kBase;
    // An instruction across two 4 KiB pages.
    m.put(base + 4094, {addi(1, 1, 5), kNop});
    m.put(base + 5120, {kNop});
    m.hart->set_pc(base + 4094);
    m.hart->step();
    EXPECT_EQ(m.hart->x(1), 5u);
    EXPECT_EQ(m.port.misses, (std::vector<std::uint64_t>{base + 4032, base + 4096}));
    // 1 KiB of tags: 4096 and 5120 share one.
    m.hart->set_pc(base + 5120);
    m.hart->step();
    m.hart->set_pc(base + 4098);
    m.hart->step();
    EXPECT_EQ(m.port.misses.size(), 4u);
    m.hart->invalidate_code(base + 4096, 4);
    m.hart->set_pc(base + 4098);
    m.hart->step();
    EXPECT_EQ(m.port.misses.size(), 5u);
}

TEST(Fetch, HartsShareDecodedCode) {
    CodeCache code;
    Machine a(false, &code), b(false, &code);
    const std::uint64_t base = ScriptedPort::kBase;
    // Both fetch from a's memory through their own ports; here only the cache is common.
    a.put(base, {addi(1, 0, 1)});
    b.put(base, {addi(1, 0, 2)});
    a.hart->set_pc(base);
    b.hart->set_pc(base);
    a.hart->step();
    b.hart->step();
    EXPECT_EQ(a.hart->x(1), 1u);
    EXPECT_EQ(b.hart->x(1), 2u);
    a.put(base, {addi(1, 0, 3)});
    code.invalidate();
    a.hart->set_pc(base);
    b.hart->set_pc(base);
    a.hart->step();
    b.hart->step();
    EXPECT_EQ(a.hart->x(1), 3u);
    EXPECT_EQ(b.hart->x(1), 2u);
}

TEST(Timing, PipelinePenalties) {
    const HartTiming t;
    const auto clocks = [](std::initializer_list<std::uint32_t> code) {
        Machine m;
        m.hart->set_x(5, Machine::kData);
        m.run(code);
        return m.hart->now();
    };
    const std::uint32_t use = addi(2, 1, 0), load = assemble("ld", {.rd = 1, .rs1 = 5});
    EXPECT_EQ(clocks({kNop, kNop}), 2u);
    EXPECT_EQ(clocks({load, use}), 3u); // load-use: one bubble
    EXPECT_EQ(clocks({load, kNop, use}), 3u);
    EXPECT_EQ(clocks({assemble("jal", {.imm = 4})}), 1u + t.taken_branch_penalty);
    EXPECT_EQ(clocks({assemble("bne", {.imm = 8})}), 1u);
    EXPECT_EQ(clocks({assemble("mul", {.rd = 1}), use}), 1u + t.mul_latency);
    EXPECT_EQ(clocks({assemble("div", {.rd = 1}), use}), 2u + t.div_penalty);
    EXPECT_EQ(clocks({assemble("fadd.s", {.rd = 1}), assemble("fadd.s", {.rd = 2, .rs1 = 1})}),
              1u + t.fp_latency);
}

TEST(Timing, PortLoadsStallOnUse) {
    Machine m;
    m.hart->set_x(6, ScriptedPort::kBase);
    m.run({assemble("ld", {.rd = 1, .rs1 = 6}), kNop, kNop, addi(2, 1, 0)});
    EXPECT_EQ(m.hart->now(), ScriptedPort::kLatency + 1);
}

TEST(Atomics, LrScOnDirectMemory) {
    Machine m;
    m.hart->set_x(5, Machine::kData);
    m.hart->set_x(6, 77);
    const std::uint32_t lr = assemble("lr.d", {.rd = 1, .rs1 = 5}),
                        sc = assemble("sc.d", {.rd = 2, .rs1 = 5, .rs2 = 6});
    m.set_data<std::uint64_t>(Machine::kData, 5);
    m.run({lr, sc});
    EXPECT_EQ(m.hart->x(1), 5u);
    EXPECT_EQ(m.hart->x(2), 0u);
    EXPECT_EQ(m.data<std::uint64_t>(Machine::kData), 77u);
    m.run({sc}); // no reservation
    EXPECT_EQ(m.hart->x(2), 1u);
    m.run({lr});
    m.set_data<std::uint64_t>(Machine::kData, 6); // another unit stores
    m.run({sc});
    EXPECT_EQ(m.hart->x(2), 1u);
    EXPECT_EQ(m.data<std::uint64_t>(Machine::kData), 6u);
}

TEST(Integer, CountTrailingZerosOfAnEmptyWord) {
    Machine m;
    m.hart->set_x(1, 0x10000000000000);
    m.run({assemble("ctzw", {.rd = 2, .rs1 = 1})});
    EXPECT_EQ(m.hart->x(2), 32u);
}

} // namespace
} // namespace talus::sim
