// Traps by instruction, WFI, fences, CSR instructions, Zicbom and the custom opcodes.
#include "commit_recorder.hpp"
#include "core.hpp"
#include "fetch.hpp"

namespace talus::sim {

namespace {

void ecall(Core& c, const Decoded&) {
    c.raise(c.mode == Privilege::kUser ? cause::kEcallFromU : cause::kEcallFromM, 0);
}
void ebreak(Core& c, const Decoded&) {
    c.raise(cause::kBreakpoint, c.pc);
}

void mret(Core& c, const Decoded& d) {
    if (c.mode != Privilege::kMachine)
        return c.illegal(d);
    const auto previous = Privilege((c.mstatus & mstatus::kMpp) >> 11);
    c.mstatus = (c.mstatus & ~(mstatus::kMie | mstatus::kMpp)) |
                (c.mstatus & mstatus::kMpie ? mstatus::kMie : 0) | mstatus::kMpie;
    if (previous != Privilege::kMachine)
        c.mstatus &= ~mstatus::kMprv;
    c.set_mode(previous);
    c.drop_data_windows(); // MPRV, if it stays, now means another mode
    c.npc = c.mepc;
    c.now += c.timing.trap_penalty;
    c.event = HartEvent::kRecheck;
}

void wfi(Core& c, const Decoded& d) {
    if (c.mode == Privilege::kUser && (c.mstatus & mstatus::kTw))
        return c.illegal(d);
    c.drain_vector();
    if (!c.sync_point())
        return;
    if (c.mip & c.mie) {
        c.event = HartEvent::kRecheck;
        return;
    }
    c.event = HartEvent::kRetire;
    c.stop_reason = StopReason::kWfi;
}

void fence(Core& c, const Decoded& d) {
    c.drain_vector();
    if (!c.sync_point())
        return;
    // fm other than fence.tso is reserved and executes as a full fence of the same sets.
    const OpResult result =
        c.port.fence(c.config.id, c.now, d.raw >> 24 & 15, d.raw >> 20 & 15, false);
    if (c.accept(result))
        c.now = std::max(c.now + c.timing.fence_penalty, result.done - 1);
}

void fence_i(Core& c, const Decoded&) {
    c.drain_vector();
    if (!c.sync_point())
        return;
    std::fill(c.icache.begin(), c.icache.end(), 0);
    c.code->invalidate();
    c.drop_fetch_state();
    const OpResult result = c.port.fence(c.config.id, c.now, 0, 0, true);
    if (c.accept(result))
        c.now = std::max(c.now + c.timing.fence_i_penalty, result.done - 1);
}

enum class CsrAccess : std::uint8_t { kWrite, kSet, kClear };

/// `writes` is false for csrrs/csrrc with x0 or a zero immediate: no write, so no side effect of
/// one.
void csr_op(Core& c, const Decoded& d, CsrAccess access, std::uint64_t operand, bool writes) {
    const unsigned number = static_cast<unsigned>(d.imm);
    if ((number >> 8 & 3) > static_cast<unsigned>(c.mode) || (writes && number >> 10 == 3))
        return c.illegal(d);
    std::uint64_t old_value = 0;
    // csrrw with rd = x0 does not read.
    if (access != CsrAccess::kWrite || d.rd != kSink) {
        const bool present = c.csr_read(number, old_value);
        if (c.interrupted())
            return;
        if (!present)
            return c.illegal(d);
    }
    if (writes) {
        const std::uint64_t value = access == CsrAccess::kWrite ? operand
                                    : access == CsrAccess::kSet ? old_value | operand
                                                                : old_value & ~operand;
        const bool present = c.csr_write(number, value);
        if (c.interrupted())
            return;
        if (!present)
            return c.illegal(d);
        c.event = HartEvent::kRecheck;
        if (c.commit) [[unlikely]]
            c.commit->csr(number, value);
    }
    c.x[d.rd] = old_value;
    c.now += c.timing.csr_penalty;
}

template <CsrAccess Access>
void csr_reg(Core& c, const Decoded& d) {
    csr_op(c, d, Access, c.x[d.rs1], Access == CsrAccess::kWrite || d.rs1 != 0);
}
template <CsrAccess Access>
void csr_imm(Core& c, const Decoded& d) {
    csr_op(c, d, Access, d.rs1, Access == CsrAccess::kWrite || d.rs1 != 0);
}

template <CboOp Op>
void cbo(Core& c, const Decoded& d) {
    CboOp op = Op;
    const std::uint64_t addr = c.x[d.rs1];
    if (c.mode == Privilege::kUser) {
        const unsigned cbie = c.menvcfg >> 4 & 3;
        const bool cbcfe = c.menvcfg >> 6 & 1;
        if (op == CboOp::kInval ? cbie == 0 : !cbcfe)
            return c.illegal(d);
        if (op == CboOp::kInval && cbie == 1)
            op = CboOp::kFlush;
    }
    std::uint64_t lo = 0, hi = ~std::uint64_t{0};
    const std::uint64_t block = addr & ~std::uint64_t{kFetchLineBytes - 1};
    const Privilege who = c.data_mode();
    if (c.pmp_binds(who) && !c.pmp_allows(block, kFetchLineBytes, AccessKind::kLoad, who, lo, hi) &&
        !c.pmp_allows(block, kFetchLineBytes, AccessKind::kStore, who, lo, hi))
        return c.raise(cause::kStoreAccess, addr);
    c.drain_vector();
    if (!c.sync_point())
        return;
    const OpResult result = c.port.cbo(c.config.id, c.now, op, addr);
    if (c.accept(result))
        c.now = std::max(c.now, result.done - 1);
}

void custom(Core& c, const Decoded& d) {
    c.drain_vector();
    if (!c.sync_point())
        return;
    CustomInsn insn{};
    insn.raw = d.raw;
    insn.opcode = static_cast<std::uint8_t>(d.raw & 0x7f);
    insn.funct3 = static_cast<std::uint8_t>(d.funct3());
    insn.funct7 = static_cast<std::uint8_t>(d.raw >> 25);
    insn.rd = static_cast<std::uint8_t>(d.raw >> 7 & 31);
    insn.rs1 = d.rs1;
    insn.rs2 = d.rs2;
    insn.user_mode = c.mode == Privilege::kUser;
    insn.pc = c.pc;
    insn.rs1_value = c.x[d.rs1];
    insn.rs2_value = c.x[d.rs2];
    const OpResult result = c.port.custom(c.config.id, c.now, insn);
    if (!c.accept(result))
        return;
    if (result.writes_rd)
        c.x[d.rd] = result.value;
    c.now = std::max(c.now, result.done - 1);
}

constexpr InsnSpec kInsns[] = {
    {"ecall", "000000000000 00000 000 00000 1110011", Format::kNone, ecall},
    {"ebreak", "000000000001 00000 000 00000 1110011", Format::kNone, ebreak},
    {"mret", "001100000010 00000 000 00000 1110011", Format::kNone, mret},
    {"wfi", "000100000101 00000 000 00000 1110011", Format::kNone, wfi},
    {"fence", "---- ---- ---- ----- 000 ----- 0001111", Format::kNone, fence},
    {"fence.i", "------------ ----- 001 ----- 0001111", Format::kNone, fence_i},
    {"cbo.inval", "000000000000 ----- 010 00000 0001111", Format::kRs1, cbo<CboOp::kInval>},
    {"cbo.clean", "000000000001 ----- 010 00000 0001111", Format::kRs1, cbo<CboOp::kClean>},
    {"cbo.flush", "000000000010 ----- 010 00000 0001111", Format::kRs1, cbo<CboOp::kFlush>},
    {"csrrw", "------------ ----- 001 ----- 1110011", Format::kCsr, csr_reg<CsrAccess::kWrite>},
    {"csrrs", "------------ ----- 010 ----- 1110011", Format::kCsr, csr_reg<CsrAccess::kSet>},
    {"csrrc", "------------ ----- 011 ----- 1110011", Format::kCsr, csr_reg<CsrAccess::kClear>},
    {"csrrwi", "------------ ----- 101 ----- 1110011", Format::kCsrI, csr_imm<CsrAccess::kWrite>},
    {"csrrsi", "------------ ----- 110 ----- 1110011", Format::kCsrI, csr_imm<CsrAccess::kSet>},
    {"csrrci", "------------ ----- 111 ----- 1110011", Format::kCsrI, csr_imm<CsrAccess::kClear>},
    {"custom-0", "------- ----- ----- --- ----- 0001011", Format::kR, custom},
    {"custom-1", "------- ----- ----- --- ----- 0101011", Format::kR, custom},
};

} // namespace

std::span<const InsnSpec> system_insns() {
    return kInsns;
}

} // namespace talus::sim
