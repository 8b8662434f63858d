// The frame of a trace: registers, checks of time and of the instruction cache, ways out.
#include "emitter.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace talus::sim::jit {

using namespace asmjit;
using namespace asmjit::x86;

namespace {

// Host registers for guest registers. The first two and the last outlive calls; rax, rcx and rdx
// are scratch.
const std::array<x86::Gp, 9> kHostRegisters = {rbx, r12, rsi, rdi, r8, r9, r10, r11, r14};
const x86::Gp kCount = r14; ///< in a loop that leaves it free: instructions retired

void check(Error error) {
    if (error != kErrorOk)
        throw std::logic_error(std::string("emitting host code: ") +
                               DebugUtils::errorAsString(error));
}

class Throwing final : public ErrorHandler {
  public:
    void handleError(Error, const char* message, BaseEmitter*) override {
        throw std::logic_error(std::string("emitting host code: ") + message);
    }
};

} // namespace

Emitter::Emitter(CodeHolder& code, const Trace& trace, const Profile& profile, bool free_fetch,
                 std::uint64_t base, std::uint32_t len, Core& core, Translator& translator,
                 CodeMemory& memory, Block& block, Variant variant)
    : a_(&code), trace_(trace), profile_(profile), free_fetch_(free_fetch), base_(base), len_(len),
      core_(core), translator_(translator), memory_(memory), block_(block), variant_(variant) {
    host_.fill(-1);
}

void Emitter::assign_registers() {
    std::array<unsigned, 33> uses{};
    std::array<bool, 33> writes{};
    for (const Step& step : trace_.steps) {
        const Decoded& d = step.insn;
        for (std::uint8_t slot : d.hazards) {
            if (slot < 32)
                ++uses[slot];
        }
        // Results of handlers go through memory.
        if (step.op == Op::kHandler || step.op == Op::kSystem || is_branch(step.op) ||
            (step.op >= Op::kSb && step.op <= Op::kFsd))
            continue;
        ++uses[d.rd];
        writes[d.rd] = true;
    }
    uses[0] = uses[kSink] = 0;
    std::array<unsigned, 33> order;
    std::iota(order.begin(), order.end(), 0u);
    std::stable_sort(order.begin(), order.end(),
                     [&](unsigned a, unsigned b) { return uses[a] > uses[b]; });
    // A register of no more than one use gains nothing from a host register, except in a loop.
    const unsigned least = trace_.loop ? 1 : 2;
    std::size_t i = 0;
    for (; i < kHostRegisters.size() && uses[order[i]] >= least; ++i) {
        host_[order[i]] = static_cast<std::int8_t>(i);
        if (writes[order[i]])
            written_ |= 1u << order[i];
    }
    counts_ = trace_.loop && i < kHostRegisters.size();
}

bool Emitter::survives_calls(unsigned r) const {
    const Gp reg = host(r);
    return reg == rbx || reg == r12 || reg == r14;
}

Gp Emitter::host(unsigned r) const {
    return kHostRegisters[static_cast<std::size_t>(host_[r])];
}

void Emitter::load_all() {
    for (unsigned r = 1; r < 32; ++r) {
        if (holds(r)) {
            a_.mov(host(r), x(r));
            values_.valid |= 1u << r;
        }
    }
    values_.dirty = written_;
}

void Emitter::store_dirty(std::uint32_t dirty) {
    for (unsigned r = 1; r < 32; ++r) {
        if (dirty >> r & 1)
            a_.mov(x(r), host(r));
    }
}

void Emitter::account(std::int32_t clocks, std::uint32_t retired) {
    if (clocks != 0)
        a_.sub(kBudget, clocks);
    if (counts_) {
        a_.add(kCount, retired);
        a_.add(member(core_.retired), kCount);
    } else if (retired != 0) {
        a_.add(member(core_.retired), retired);
    }
}

void Emitter::loop_back(std::int32_t clocks, std::uint32_t retired) {
    a_.sub(kBudget, clocks);
    if (counts_)
        a_.add(kCount, retired);
    else
        a_.add(member(core_.retired), retired);
    a_.jmp(header_);
}

Exit& Emitter::make_exit(Exit::Kind kind, std::uint64_t pc, const LateList& outstanding) {
    Exit& exit = block_.exits.emplace_back();
    exit.target = memory_.leave;
    exit.kind = kind;
    exit.pc = pc;
    exit.outstanding = outstanding;
    const bool continues =
        kind == Exit::Kind::kGoto || (kind == Exit::Kind::kUntil && variant_ != Variant::kTail);
    if (continues && pc - base_ < len_) {
        if (const auto state = pack(outstanding)) {
            exit.linkable = true;
            exit.state = *state;
        }
    }
    return exit;
}

void Emitter::leave_through(Exit& exit) {
    a_.mov(rax, reinterpret_cast<std::uint64_t>(&exit));
    if (exit.linkable)
        a_.jmp(qword_ptr(rax)); // Exit::target
    else
        a_.jmp(qword_ptr(
            kCore, static_cast<std::int32_t>(reinterpret_cast<const char*>(&core_.leave_code) -
                                             reinterpret_cast<const char*>(&core_))));
}

void Emitter::go_to(std::uint64_t pc, const LateList& outstanding) {
    Exit& exit = make_exit(Exit::Kind::kGoto, pc, outstanding);
    if (!exit.linkable && outstanding.empty()) { // another page
        const Label miss = a_.newLabel();
        const auto entry = static_cast<std::int32_t>((pc >> 1 & (Core::kJumpTargets - 1)) *
                                                     sizeof(Core::JumpTarget));
        a_.mov(rdx, member(core_.jump_targets));
        a_.mov(rax, pc);
        a_.cmp(rax, qword_ptr(rdx, entry));
        a_.jne(miss);
        a_.jmp(qword_ptr(rdx, entry + 8));
        a_.bind(miss);
    }
    leave_through(exit);
}

/// To the address in rax.
void Emitter::go_indirect(const LateList& outstanding) {
    static_assert(sizeof(Core::JumpTarget) == 16 && offsetof(Core::JumpTarget, code) == 8);
    a_.mov(member(core_.pc), rax);
    if (outstanding.empty()) {
        const Label miss = a_.newLabel();
        a_.mov(ecx, eax);
        a_.and_(ecx, (Core::kJumpTargets - 1) << 1);
        a_.mov(rdx, member(core_.jump_targets));
        a_.lea(rdx, ptr(rdx, rcx, 3));
        a_.cmp(rax, qword_ptr(rdx));
        a_.jne(miss);
        a_.jmp(qword_ptr(rdx, 8));
        a_.bind(miss);
    }
    leave_through(make_exit(Exit::Kind::kIndirect, 0, outstanding));
}

/// Before a step: may every instruction up to the next check begin before `until`?
void Emitter::check_until(std::size_t index) {
    std::size_t last = index;
    while (last + 1 < trace_.steps.size() && !checkpoint_[last + 1])
        ++last;
    const Step& step = trace_.steps[index];
    const Label out = a_.newLabel();
    a_.cmp(kBudget, trace_.steps[last].before);
    a_.jle(out);
    const std::uint32_t dirty = values_.dirty;
    later([this, &step, out, dirty, index] {
        a_.bind(out);
        store_dirty(dirty);
        account(step.before, static_cast<std::uint32_t>(index));
        leave_through(
            make_exit(Exit::Kind::kUntil, step.pc, outstanding(step.pending, step.before)));
    });
}

/// Before a step: are the lines of its bytes in the instruction cache?
void Emitter::check_lines(std::size_t index) {
    if (free_fetch_ || lines_checked_)
        return;
    constexpr std::uint64_t kMask = ~std::uint64_t{kFetchLineBytes - 1};
    const Step& step = trace_.steps[index];
    const std::uint64_t first = step.pc & kMask, last = (step.pc + step.insn.len - 1) & kMask;
    for (std::uint64_t line = first;; line += kFetchLineBytes) {
        if (line != line_) {
            const Label out = a_.newLabel();
            branch_to_line_of(line, out);
            const std::uint32_t dirty = values_.dirty;
            later([this, &step, out, dirty, index] {
                a_.bind(out);
                store_dirty(dirty);
                account(step.before, static_cast<std::uint32_t>(index));
                leave_through(make_exit(Exit::Kind::kInterpret, step.pc,
                                        outstanding(step.pending, step.before)));
            });
        }
        line_ = line;
        if (line == last)
            break;
    }
}

void Emitter::branch_to_line_of(std::uint64_t line, Label missing) {
    const auto tag = static_cast<std::int32_t>(
        (line / kFetchLineBytes & (profile_.icache_lines - 1)) * sizeof(std::uint64_t));
    a_.mov(rax, member(core_.icache_tags));
    if (fits(static_cast<std::int64_t>(line | 1))) {
        a_.cmp(qword_ptr(rax, tag), static_cast<std::int32_t>(line | 1));
    } else {
        a_.mov(rcx, line | 1);
        a_.cmp(qword_ptr(rax, tag), rcx);
    }
    a_.jne(missing);
}

/// Nothing is fetched while a loop runs, so lines that are there before it stay. Where one is not,
/// which may be because the loop does not come to it, the other variant runs.
void Emitter::check_lines_of_loop() {
    std::vector<std::uint64_t> lines;
    for (const Step& step : trace_.steps) {
        lines.push_back(step.pc / kFetchLineBytes);
        lines.push_back((step.pc + step.insn.len - 1) / kFetchLineBytes);
    }
    std::sort(lines.begin(), lines.end());
    lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
    if (lines.back() - lines.front() >= profile_.icache_lines)
        return; // two may have one place
    const Label out = a_.newLabel();
    for (const std::uint64_t line : lines)
        branch_to_line_of(line * kFetchLineBytes, out);
    lines_checked_ = true;
    later([this, out] {
        a_.bind(out);
        leave_through(make_exit(Exit::Kind::kLines, trace_.entry_pc, unpack(trace_.state)));
    });
}

void Emitter::emit() {
    assign_registers();
    const std::size_t n = trace_.steps.size();
    checkpoint_.assign(n, false);
    std::size_t since = 0;
    for (std::size_t i = 0; i < n; ++i, ++since) {
        const bool after_unknown =
            i > 0 && trace_.steps[i - 1].op == Op::kHandler && !trace_.steps[i - 1].expected.known;
        if (i == 0 || since == (variant_ == Variant::kTail ? 1 : kStepsPerCheck) || after_unknown) {
            checkpoint_[i] = true;
            since = 0;
        }
    }
    if (trace_.loop) {
        if (!free_fetch_ && variant_ == Variant::kUsual)
            check_lines_of_loop();
        load_all();
        if (counts_)
            a_.xor_(kCount.r32(), kCount.r32());
    }
    header_ = a_.newLabel();
    a_.bind(header_);
    for (std::size_t i = 0; i < n; ++i) {
        if (checkpoint_[i])
            check_until(i);
        check_lines(i);
        step(i);
    }
    finish();
    for (std::size_t i = 0; i < later_.size(); ++i)
        later_[i]();
}

void Emitter::finish() {
    const auto n = static_cast<std::uint32_t>(trace_.steps.size());
    const Step& last = trace_.steps.back();
    switch (trace_.end) {
    case TraceEnd::kGoto:
        if (trace_.loop && trace_.end_pc == trace_.entry_pc) {
            loop_back(last.after, n);
            break;
        }
        store_dirty(values_.dirty);
        account(last.after, n);
        go_to(trace_.end_pc, outstanding(trace_.pending, last.after));
        break;
    case TraceEnd::kInterpret:
        store_dirty(values_.dirty);
        account(last.after, n);
        leave_through(make_exit(Exit::Kind::kInterpret, trace_.end_pc,
                                outstanding(trace_.pending, last.after)));
        break;
    case TraceEnd::kIndirect: // rax holds the target
        store_dirty(values_.dirty);
        account(last.after, n);
        go_indirect(outstanding(trace_.pending, last.after));
        break;
    case TraceEnd::kSystem: // its handler raises an event
        a_.ud2();
        break;
    }
}

void emit_block(const Trace& trace, const Profile& profile, bool free_fetch, Variant variant,
                const CodeView& page, Core& core, Translator& translator, Block& block) {
    CodeHolder code;
    Throwing errors;
    check(code.init(Environment::host()));
    code.setErrorHandler(&errors);
    Emitter emitter(code, trace, profile, free_fetch, page.base, page.len, core, translator,
                    *block.memory, block, variant);
    emitter.emit();
    block.code = block.memory->add(code, block.bytes);
}

} // namespace talus::sim::jit
