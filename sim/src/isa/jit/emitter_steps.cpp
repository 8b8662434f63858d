// Instructions as host code. rax, rcx and rdx are scratch within one instruction.
#include "emitter.hpp"

#include <bit>

namespace talus::sim::jit {

using namespace asmjit;
using namespace asmjit::x86;

/// The value of a guest register, in its host register or else in `scratch`.
Gp Emitter::in(unsigned r, Gp scratch) {
    if (r == 0) {
        a_.xor_(scratch.r32(), scratch.r32());
        return scratch;
    }
    if (!holds(r)) {
        a_.mov(scratch, x(r));
        return scratch;
    }
    if (!(values_.valid >> r & 1)) {
        a_.mov(host(r), x(r));
        values_.valid |= 1u << r;
    }
    return host(r);
}

/// Where a result is best computed; set() follows.
Gp Emitter::out(unsigned rd) const {
    return holds(rd) ? host(rd) : Gp(rax);
}

void Emitter::set(unsigned rd, Gp value) {
    if (rd == kSink)
        return;
    if (!holds(rd)) {
        a_.mov(x(rd), value);
        return;
    }
    if (host(rd) != value)
        a_.mov(host(rd), value);
    values_.valid |= 1u << rd;
    values_.dirty |= 1u << rd;
}

void Emitter::set_constant(unsigned rd, std::uint64_t value) {
    const Gp d = out(rd);
    if (value == 0)
        a_.xor_(d.r32(), d.r32());
    else if (value == static_cast<std::uint32_t>(value))
        a_.mov(d.r32(), static_cast<std::uint32_t>(value));
    else
        a_.mov(d, value);
    set(rd, d);
}

void Emitter::alu(Alu op, Gp to, Gp from) {
    switch (op) {
    case Alu::kAdd:
        a_.add(to, from);
        break;
    case Alu::kSub:
        a_.sub(to, from);
        break;
    case Alu::kAnd:
        a_.and_(to, from);
        break;
    case Alu::kOr:
        a_.or_(to, from);
        break;
    case Alu::kXor:
        a_.xor_(to, from);
        break;
    }
}

void Emitter::binary(const Decoded& d, Alu op, bool word) {
    if (d.rs1 == 0 && (op == Alu::kAdd || op == Alu::kOr) && !word) { // mv
        set(d.rd, in(d.rs2, rax));
        return;
    }
    Gp a = in(d.rs1, rax), b = in(d.rs2, rcx), to = out(d.rd);
    if (op == Alu::kAdd && !word && to != a && to != b) {
        a_.lea(to, ptr(a, b));
        set(d.rd, to);
        return;
    }
    if (to == b && to != a) {
        if (op == Alu::kSub)
            to = rax;
        else
            std::swap(a, b);
    }
    if (to != a)
        a_.mov(to, a);
    if (word) {
        alu(op, to.r32(), b.r32());
        a_.movsxd(to, to.r32());
    } else {
        alu(op, to, b);
    }
    set(d.rd, to);
}

void Emitter::immediate(const Decoded& d, Alu op, bool word) {
    if (d.rs1 == 0) {
        set_constant(d.rd, op == Alu::kAnd ? 0 : sign_extended(d.imm));
        return;
    }
    const Gp a = in(d.rs1, rax), to = out(d.rd);
    if (word) {
        if (d.imm == 0) { // sext.w
            a_.movsxd(to, a.r32());
        } else {
            a_.lea(to.r32(), ptr(a, d.imm));
            a_.movsxd(to, to.r32());
        }
        set(d.rd, to);
        return;
    }
    if (op == Alu::kAdd && d.imm != 0 && to != a) {
        a_.lea(to, ptr(a, d.imm));
        set(d.rd, to);
        return;
    }
    if (op == Alu::kAnd && d.imm == 0xff) {
        a_.movzx(to.r32(), a.r8());
        set(d.rd, to);
        return;
    }
    if (to != a)
        a_.mov(to, a);
    switch (op) {
    case Alu::kAdd:
        if (d.imm != 0)
            a_.add(to, d.imm);
        break;
    case Alu::kAnd:
        a_.and_(to, d.imm);
        break;
    case Alu::kOr:
        a_.or_(to, d.imm);
        break;
    default:
        if (d.imm == -1)
            a_.not_(to);
        else
            a_.xor_(to, d.imm);
        break;
    }
    set(d.rd, to);
}

void Emitter::shift_by_register(const Decoded& d, Shift how, bool word) {
    const Gp a = in(d.rs1, rax), b = in(d.rs2, rcx);
    Gp to = out(d.rd);
    if (how == Shift::kRotateLeft || how == Shift::kRotateRight) {
        if (b != rcx)
            a_.mov(rcx, b);
        if (a != rax)
            a_.mov(rax, a);
        to = rax;
        const Gp value = word ? Gp(eax) : Gp(rax);
        if (how == Shift::kRotateLeft)
            a_.rol(value, cl);
        else
            a_.ror(value, cl);
    } else {
        const auto sized = [word](Gp reg) { return word ? reg.r32() : reg; };
        if (how == Shift::kLeft)
            a_.shlx(sized(to), sized(a), sized(b));
        else if (how == Shift::kRight)
            a_.shrx(sized(to), sized(a), sized(b));
        else
            a_.sarx(sized(to), sized(a), sized(b));
    }
    if (word)
        a_.movsxd(to, to.r32());
    set(d.rd, to);
}

void Emitter::shift_by_constant(const Decoded& d, Shift how, bool word) {
    const Gp a = in(d.rs1, rax), to = out(d.rd);
    const Gp value = word ? to.r32() : to, from = word ? a.r32() : a;
    const unsigned amount = static_cast<unsigned>(d.imm) & (word ? 31 : 63);
    if (how == Shift::kRotateRight) {
        a_.rorx(value, from, amount);
    } else {
        if (to != a)
            a_.mov(value, from);
        if (how == Shift::kLeft)
            a_.shl(value, amount);
        else if (how == Shift::kRight)
            a_.shr(value, amount);
        else
            a_.sar(value, amount);
    }
    if (word)
        a_.movsxd(to, to.r32());
    set(d.rd, to);
}

void Emitter::compare(const Decoded& d, bool is_signed, bool with_immediate) {
    const Gp a = in(d.rs1, rax);
    if (with_immediate)
        a_.cmp(a, d.imm);
    else
        a_.cmp(a, in(d.rs2, rcx));
    if (is_signed)
        a_.setl(al);
    else
        a_.setb(al);
    const Gp to = out(d.rd);
    a_.movzx(to.r32(), al);
    set(d.rd, to);
}

void Emitter::shift_add(const Decoded& d, unsigned shift, bool word) {
    Gp a = in(d.rs1, rax);
    const Gp b = in(d.rs2, rcx), to = out(d.rd);
    if (word) {
        a_.mov(eax, a.r32());
        a = rax;
    }
    a_.lea(to, ptr(b, a, shift));
    set(d.rd, to);
}

/// andn, orn, xnor.
void Emitter::inverted(const Decoded& d, Alu op) {
    const Gp a = in(d.rs1, rax), b = in(d.rs2, rcx);
    const Gp to = out(d.rd);
    if (op == Alu::kAnd) {
        a_.andn(to, b, a);
        set(d.rd, to);
        return;
    }
    if (b != rcx)
        a_.mov(rcx, b);
    a_.not_(rcx);
    alu(op, rcx, a);
    set(d.rd, rcx);
}

/// min and max: rs1, or rs2 where the condition holds for rs1 compared with rs2.
void Emitter::select(const Decoded& d, CondCode take_second) {
    const Gp a = in(d.rs1, rax), b = in(d.rs2, rcx);
    a_.cmp(a, b);
    if (a != rax)
        a_.mov(rax, a);
    a_.cmov(take_second, rax, b);
    set(d.rd, rax);
}

void Emitter::count(const Decoded& d, Inst::Id id, bool word) {
    const Gp a = in(d.rs1, rax), to = out(d.rd);
    a_.emit(id, word ? to.r32() : to, word ? a.r32() : a);
    set(d.rd, to);
}

void Emitter::extend(const Decoded& d, Op op) {
    const Gp a = in(d.rs1, rax), to = out(d.rd);
    if (op == Op::kSextB) {
        a_.movsx(to, a.r8());
    } else if (op == Op::kSextH) {
        a_.movsx(to, a.r16());
    } else if (op == Op::kZextH) {
        a_.movzx(to.r32(), a.r16());
    } else {
        if (to != a)
            a_.mov(to, a);
        a_.bswap(to);
    }
    set(d.rd, to);
}

void Emitter::multiply(const Decoded& d, Op op) {
    Gp a = in(d.rs1, rax), b = in(d.rs2, rcx);
    if (op == Op::kMulh || op == Op::kMulhu) {
        if (a != rax)
            a_.mov(rax, a);
        if (op == Op::kMulh)
            a_.imul(b);
        else
            a_.mul(b);
        set(d.rd, rdx);
        return;
    }
    const Gp to = out(d.rd);
    if (to == b)
        std::swap(a, b);
    if (to != a)
        a_.mov(to, a);
    if (op == Op::kMulw) {
        a_.imul(to.r32(), b.r32());
        a_.movsxd(to, to.r32());
    } else {
        a_.imul(to, b);
    }
    set(d.rd, to);
}

/// Division by zero, and by -1 for its one overflow, are the handler's.
void Emitter::divide(std::size_t index) {
    const Step& step = trace_.steps[index];
    const Decoded& d = step.insn;
    const bool word = step.op >= Op::kDivw;
    const bool is_signed =
        step.op == Op::kDiv || step.op == Op::kRem || step.op == Op::kDivw || step.op == Op::kRemw;
    const bool remainder = step.op == Op::kRem || step.op == Op::kRemu || step.op == Op::kRemw ||
                           step.op == Op::kRemuw;
    const Gp a = in(d.rs1, rax), b = in(d.rs2, rcx);
    const Label slow = a_.newLabel(), join = a_.newLabel();
    const Values values = values_;
    const Gp divisor = word ? b.r32() : b;
    if (is_signed) {
        const Gp probe = word ? Gp(edx) : Gp(rdx);
        a_.lea(probe, ptr(b, 1));
        a_.cmp(probe, 1);
        a_.jbe(slow);
    } else {
        a_.test(divisor, divisor);
        a_.jz(slow);
    }
    if (a != rax)
        a_.mov(rax, a);
    if (!is_signed) {
        a_.xor_(edx, edx);
        a_.div(divisor);
    } else if (word) {
        a_.cdq();
        a_.idiv(divisor);
    } else {
        a_.cqo();
        a_.idiv(divisor);
    }
    const Gp result = remainder ? rdx : rax;
    if (word)
        a_.movsxd(result, result.r32());
    set(d.rd, result);
    a_.bind(join);
    call_slow(index, slow, join, values, d.rd);
}

void Emitter::branch(std::size_t index) {
    const Step& step = trace_.steps[index];
    const Decoded& d = step.insn;
    const auto n = static_cast<std::uint32_t>(index + 1);
    const std::uint64_t target = step.pc + sign_extended(d.imm);
    const std::int32_t taken =
        step.after + static_cast<std::int32_t>(profile_.timing.taken_branch_penalty);
    LateList late; // nothing new: a branch has no result
    late = outstanding(step.pending, taken);
    CondCode condition = CondCode::kE;
    switch (step.op) {
    case Op::kBeq:
        condition = CondCode::kE;
        break;
    case Op::kBne:
        condition = CondCode::kNE;
        break;
    case Op::kBlt:
        condition = CondCode::kL;
        break;
    case Op::kBge:
        condition = CondCode::kGE;
        break;
    case Op::kBltu:
        condition = CondCode::kB;
        break;
    default:
        condition = CondCode::kAE;
        break;
    }
    const Gp a = in(d.rs1, rax);
    if (d.rs2 == 0)
        a_.cmp(a, 0);
    else
        a_.cmp(a, in(d.rs2, rcx));

    const bool last = index + 1 == trace_.steps.size();
    if (last && trace_.loop && target == trace_.entry_pc) {
        const Label out = a_.newLabel();
        a_.j(negateCond(condition), out);
        loop_back(taken, n);
        a_.bind(out); // finish() goes on
        return;
    }
    const Label out = a_.newLabel();
    a_.j(condition, out);
    const std::uint32_t dirty = values_.dirty;
    later([=, this] {
        a_.bind(out);
        store_dirty(dirty);
        account(taken, n);
        go_to(target, late);
    });
}

void Emitter::step(std::size_t index) {
    const Step& step = trace_.steps[index];
    const Decoded& d = step.insn;
    switch (step.op) {
    case Op::kHandler:
    case Op::kSystem:
        call_handler(index);
        break;
    case Op::kLui:
        set_constant(d.rd, sign_extended(d.imm));
        break;
    case Op::kAuipc:
        set_constant(d.rd, step.pc + sign_extended(d.imm));
        break;
    case Op::kJal:
        if (d.rd != kSink)
            set_constant(d.rd, step.pc + d.len);
        break;
    case Op::kJalr: {
        const Gp a = in(d.rs1, rax);
        a_.lea(rcx, ptr(a, d.imm));
        if (d.rd != kSink)
            set_constant(d.rd, step.pc + d.len); // may use rax
        a_.and_(rcx, -2);
        a_.mov(rax, rcx);
        break;
    }
    case Op::kBeq:
    case Op::kBne:
    case Op::kBlt:
    case Op::kBge:
    case Op::kBltu:
    case Op::kBgeu:
        branch(index);
        break;
    case Op::kAddi:
        immediate(d, Alu::kAdd, false);
        break;
    case Op::kAddiw:
        immediate(d, Alu::kAdd, true);
        break;
    case Op::kSlti:
        compare(d, true, true);
        break;
    case Op::kSltiu:
        compare(d, false, true);
        break;
    case Op::kXori:
        immediate(d, Alu::kXor, false);
        break;
    case Op::kOri:
        immediate(d, Alu::kOr, false);
        break;
    case Op::kAndi:
        immediate(d, Alu::kAnd, false);
        break;
    case Op::kSlli:
        shift_by_constant(d, Shift::kLeft, false);
        break;
    case Op::kSrli:
        shift_by_constant(d, Shift::kRight, false);
        break;
    case Op::kSrai:
        shift_by_constant(d, Shift::kRightArithmetic, false);
        break;
    case Op::kSlliw:
        shift_by_constant(d, Shift::kLeft, true);
        break;
    case Op::kSrliw:
        shift_by_constant(d, Shift::kRight, true);
        break;
    case Op::kSraiw:
        shift_by_constant(d, Shift::kRightArithmetic, true);
        break;
    case Op::kRori:
        shift_by_constant(d, Shift::kRotateRight, false);
        break;
    case Op::kRoriw:
        shift_by_constant(d, Shift::kRotateRight, true);
        break;
    case Op::kAdd:
        binary(d, Alu::kAdd, false);
        break;
    case Op::kSub:
        binary(d, Alu::kSub, false);
        break;
    case Op::kAnd:
        binary(d, Alu::kAnd, false);
        break;
    case Op::kOr:
        binary(d, Alu::kOr, false);
        break;
    case Op::kXor:
        binary(d, Alu::kXor, false);
        break;
    case Op::kAddw:
        binary(d, Alu::kAdd, true);
        break;
    case Op::kSubw:
        binary(d, Alu::kSub, true);
        break;
    case Op::kSlt:
        compare(d, true, false);
        break;
    case Op::kSltu:
        compare(d, false, false);
        break;
    case Op::kSll:
        shift_by_register(d, Shift::kLeft, false);
        break;
    case Op::kSrl:
        shift_by_register(d, Shift::kRight, false);
        break;
    case Op::kSra:
        shift_by_register(d, Shift::kRightArithmetic, false);
        break;
    case Op::kSllw:
        shift_by_register(d, Shift::kLeft, true);
        break;
    case Op::kSrlw:
        shift_by_register(d, Shift::kRight, true);
        break;
    case Op::kSraw:
        shift_by_register(d, Shift::kRightArithmetic, true);
        break;
    case Op::kRol:
        shift_by_register(d, Shift::kRotateLeft, false);
        break;
    case Op::kRor:
        shift_by_register(d, Shift::kRotateRight, false);
        break;
    case Op::kRolw:
        shift_by_register(d, Shift::kRotateLeft, true);
        break;
    case Op::kRorw:
        shift_by_register(d, Shift::kRotateRight, true);
        break;
    case Op::kMul:
    case Op::kMulh:
    case Op::kMulhu:
    case Op::kMulw:
        multiply(d, step.op);
        break;
    case Op::kDiv:
    case Op::kDivu:
    case Op::kRem:
    case Op::kRemu:
    case Op::kDivw:
    case Op::kDivuw:
    case Op::kRemw:
    case Op::kRemuw:
        divide(index);
        break;
    case Op::kLb:
    case Op::kLh:
    case Op::kLw:
    case Op::kLd:
    case Op::kLbu:
    case Op::kLhu:
    case Op::kLwu:
    case Op::kFlh:
    case Op::kFlw:
    case Op::kFld:
        load(index);
        break;
    case Op::kSb:
    case Op::kSh:
    case Op::kSw:
    case Op::kSd:
    case Op::kFsh:
    case Op::kFsw:
    case Op::kFsd:
        store(index);
        break;
    case Op::kSh1add:
        shift_add(d, 1, false);
        break;
    case Op::kSh2add:
        shift_add(d, 2, false);
        break;
    case Op::kSh3add:
        shift_add(d, 3, false);
        break;
    case Op::kAddUw:
        shift_add(d, 0, true);
        break;
    case Op::kSh1addUw:
        shift_add(d, 1, true);
        break;
    case Op::kSh2addUw:
        shift_add(d, 2, true);
        break;
    case Op::kSh3addUw:
        shift_add(d, 3, true);
        break;
    case Op::kSlliUw: {
        const Gp a = in(d.rs1, rax), to = out(d.rd);
        a_.mov(to.r32(), a.r32());
        a_.shl(to, static_cast<unsigned>(d.imm));
        set(d.rd, to);
        break;
    }
    case Op::kAndn:
        inverted(d, Alu::kAnd);
        break;
    case Op::kOrn:
        inverted(d, Alu::kOr);
        break;
    case Op::kXnor:
        inverted(d, Alu::kXor);
        break;
    case Op::kMin:
        select(d, CondCode::kGE);
        break;
    case Op::kMinu:
        select(d, CondCode::kAE);
        break;
    case Op::kMax:
        select(d, CondCode::kL);
        break;
    case Op::kMaxu:
        select(d, CondCode::kB);
        break;
    case Op::kClz:
        count(d, Inst::kIdLzcnt, false);
        break;
    case Op::kCtz:
        count(d, Inst::kIdTzcnt, false);
        break;
    case Op::kCpop:
        count(d, Inst::kIdPopcnt, false);
        break;
    case Op::kClzw:
        count(d, Inst::kIdLzcnt, true);
        break;
    case Op::kCtzw:
        count(d, Inst::kIdTzcnt, true);
        break;
    case Op::kCpopw:
        count(d, Inst::kIdPopcnt, true);
        break;
    case Op::kSextB:
    case Op::kSextH:
    case Op::kZextH:
    case Op::kRev8:
        extend(d, step.op);
        break;
    }
}

} // namespace talus::sim::jit
