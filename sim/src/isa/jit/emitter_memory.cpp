// Instructions that reach memory, and calls out of translated code: to the interpreter's handlers
// and to the slow paths of loads and stores.
#include "emitter.hpp"

namespace talus::sim::jit {

using namespace asmjit;
using namespace asmjit::x86;

/// rcx = the offset of the access in the profile's region; clobbers rax.
Gp Emitter::address(const Decoded& d) {
    const Gp a = in(d.rs1, rax);
    const auto disp = static_cast<std::int64_t>(sign_extended(d.imm) - profile_.base);
    if (fits(disp)) {
        a_.lea(rcx, ptr(a, static_cast<std::int32_t>(disp)));
    } else {
        a_.lea(rcx, ptr(a, d.imm));
        a_.mov(rax, profile_.base);
        a_.sub(rcx, rax);
    }
    return rcx;
}

/// Leaves for `slow` unless an access at the offset stays in the region and costs no extra clock.
void Emitter::in_region(Gp offset, unsigned bytes, Label slow) {
    const std::uint64_t starts = profile_.size - 7; // as DataWindow::span
    const auto limit = [](std::uint64_t count) {
        return static_cast<std::int32_t>(std::min<std::uint64_t>(count, 0x7fffffff));
    };
    if (bytes > 1 && profile_.timing.misaligned_penalty != 0) {
        // The low bits on top: one comparison for both.
        const unsigned shift = static_cast<unsigned>(std::countr_zero(bytes));
        a_.rorx(rdx, offset, shift);
        a_.cmp(rdx, limit((starts + bytes - 1) / bytes));
    } else {
        a_.cmp(offset, limit(starts));
    }
    a_.jae(slow);
}

void Emitter::float_guard(Label slow) {
    if (float_checked_)
        return;
    a_.cmp(member(core_.fp_on, 1), 0);
    a_.je(slow);
}

void Emitter::load(std::size_t index) {
    const Step& step = trace_.steps[index];
    const Decoded& d = step.insn;
    if (!profile_.readable) {
        call_handler(index);
        return;
    }
    const bool to_f = step.op >= Op::kFlh;
    const unsigned bytes = 1u << (d.funct3() & 3);
    const Label slow = a_.newLabel(), join = a_.newLabel();
    const Gp offset = address(d);
    const Values values = values_;
    if (to_f)
        float_guard(slow);
    in_region(offset, bytes, slow);
    const Mem at = ptr(kMemory, offset, 0, 0, bytes);
    if (to_f) {
        switch (step.op) {
        case Op::kFlh:
            a_.movzx(eax, at);
            a_.or_(rax, -0x10000);
            break;
        case Op::kFlw:
            a_.mov(eax, at);
            a_.mov(rdx, ~std::uint64_t{0} << 32);
            a_.or_(rax, rdx);
            break;
        default:
            a_.mov(rax, at);
            break;
        }
        a_.mov(member(core_.f[d.rd]), rax);
        if (!float_checked_)
            a_.or_(member(core_.mstatus), static_cast<std::int32_t>(mstatus::kFs));
        a_.bind(join);
        call_slow(index, slow, join, values, kSink);
        float_checked_ = true;
        return;
    }
    const Gp to = out(d.rd);
    switch (step.op) {
    case Op::kLb:
    case Op::kLh:
        a_.movsx(to, at);
        break;
    case Op::kLw:
        a_.movsxd(to, at);
        break;
    case Op::kLd:
        a_.mov(to, at);
        break;
    case Op::kLwu:
        a_.mov(to.r32(), at);
        break;
    default:
        a_.movzx(to.r32(), at);
        break;
    }
    set(d.rd, to);
    a_.bind(join);
    call_slow(index, slow, join, values, d.rd);
}

void Emitter::store(std::size_t index) {
    const Step& step = trace_.steps[index];
    const Decoded& d = step.insn;
    if (!profile_.writable) {
        call_handler(index);
        return;
    }
    const bool from_f = step.op >= Op::kFsh;
    const unsigned bytes = 1u << (d.funct3() & 3);
    const Label slow = a_.newLabel(), join = a_.newLabel();
    const Gp offset = address(d);
    Gp value = rax;
    if (from_f)
        a_.mov(rax, member(core_.f[d.rs2]));
    else
        value = in(d.rs2, rax);
    if (from_f && !float_checked_)
        float_guard(slow);
    in_region(offset, bytes, slow);
    const Mem at = ptr(kMemory, offset, 0, 0, bytes);
    const Values values = values_;
    switch (bytes) {
    case 1:
        a_.mov(at, value.r8());
        break;
    case 2:
        a_.mov(at, value.r16());
        break;
    case 4:
        a_.mov(at, value.r32());
        break;
    default:
        a_.mov(at, value);
        break;
    }
    a_.bind(join);
    call_slow(index, slow, join, values, kSink);
}

Site& Emitter::make_site(std::size_t index) {
    const Step& step = trace_.steps[index];
    Site& site = block_.sites.emplace_back();
    site.translator = &translator_;
    site.insn = step.insn;
    site.pc = step.pc;
    site.issue = step.issue;
    site.retired = static_cast<std::uint32_t>(index);
    site.pending = step.pending;
    site.expected = step.expected;
    return site;
}

/// Everything modified is stored already. Clobbers what a call may.
void Emitter::call(Site& site) {
    if (counts_) {
        a_.add(member(core_.retired), r14);
        a_.xor_(r14d, r14d);
    }
    a_.mov(member(core_.budget), kBudget);
    a_.mov(rdi, kCore);
    a_.mov(rsi, reinterpret_cast<std::uint64_t>(&site));
    a_.mov(rax, reinterpret_cast<std::uint64_t>(&Translator::handle));
    a_.call(rax);
    a_.test(rax, rax);
    const Label out = a_.newLabel();
    a_.jnz(out);
    later([this, out] {
        a_.bind(out);
        a_.jmp(member(core_.leave_code));
    });
}

void Emitter::reload(std::uint32_t valid, unsigned rd) {
    for (unsigned r = 1; r < 32; ++r) {
        if (holds(r) && ((valid >> r & 1 && !survives_calls(r)) || r == rd))
            a_.mov(host(r), x(r));
    }
}

void Emitter::call_handler(std::size_t index) {
    const Step& step = trace_.steps[index];
    store_dirty(values_.dirty);
    values_.dirty = 0;
    call(make_site(index));
    if (step.op == Op::kSystem)
        return;
    if (!step.expected.known)
        a_.mov(kBudget, member(core_.budget));
    // Any handler with an x register in rd may have written it.
    const unsigned rd = step.insn.rd;
    reload(values_.valid, rd);
    if (holds(rd))
        values_.valid |= 1u << rd;
}

void Emitter::call_slow(std::size_t index, Label slow, Label join, Values values, unsigned rd) {
    later([=, this] {
        a_.bind(slow);
        store_dirty(values.dirty);
        call(make_site(index));
        reload(values.valid, rd);
        a_.jmp(join);
    });
}

} // namespace talus::sim::jit
