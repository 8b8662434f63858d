#include "trace.hpp"

#include <cstring>
#include <string_view>
#include <unordered_map>

namespace talus::sim::jit {

namespace {

Op named(std::string_view name) {
    static const std::unordered_map<std::string_view, Op> table = {
        {"lui", Op::kLui},
        {"auipc", Op::kAuipc},
        {"jal", Op::kJal},
        {"jalr", Op::kJalr},
        {"beq", Op::kBeq},
        {"bne", Op::kBne},
        {"blt", Op::kBlt},
        {"bge", Op::kBge},
        {"bltu", Op::kBltu},
        {"bgeu", Op::kBgeu},
        {"addi", Op::kAddi},
        {"slti", Op::kSlti},
        {"sltiu", Op::kSltiu},
        {"xori", Op::kXori},
        {"ori", Op::kOri},
        {"andi", Op::kAndi},
        {"slli", Op::kSlli},
        {"srli", Op::kSrli},
        {"srai", Op::kSrai},
        {"addiw", Op::kAddiw},
        {"slliw", Op::kSlliw},
        {"srliw", Op::kSrliw},
        {"sraiw", Op::kSraiw},
        {"add", Op::kAdd},
        {"sub", Op::kSub},
        {"sll", Op::kSll},
        {"slt", Op::kSlt},
        {"sltu", Op::kSltu},
        {"xor", Op::kXor},
        {"srl", Op::kSrl},
        {"sra", Op::kSra},
        {"or", Op::kOr},
        {"and", Op::kAnd},
        {"addw", Op::kAddw},
        {"subw", Op::kSubw},
        {"sllw", Op::kSllw},
        {"srlw", Op::kSrlw},
        {"sraw", Op::kSraw},
        {"mul", Op::kMul},
        {"mulh", Op::kMulh},
        {"mulhu", Op::kMulhu},
        {"mulw", Op::kMulw},
        {"div", Op::kDiv},
        {"divu", Op::kDivu},
        {"rem", Op::kRem},
        {"remu", Op::kRemu},
        {"divw", Op::kDivw},
        {"divuw", Op::kDivuw},
        {"remw", Op::kRemw},
        {"remuw", Op::kRemuw},
        {"lb", Op::kLb},
        {"lh", Op::kLh},
        {"lw", Op::kLw},
        {"ld", Op::kLd},
        {"lbu", Op::kLbu},
        {"lhu", Op::kLhu},
        {"lwu", Op::kLwu},
        {"sb", Op::kSb},
        {"sh", Op::kSh},
        {"sw", Op::kSw},
        {"sd", Op::kSd},
        {"flh", Op::kFlh},
        {"flw", Op::kFlw},
        {"fld", Op::kFld},
        {"fsh", Op::kFsh},
        {"fsw", Op::kFsw},
        {"fsd", Op::kFsd},
        {"sh1add", Op::kSh1add},
        {"sh2add", Op::kSh2add},
        {"sh3add", Op::kSh3add},
        {"add.uw", Op::kAddUw},
        {"sh1add.uw", Op::kSh1addUw},
        {"sh2add.uw", Op::kSh2addUw},
        {"sh3add.uw", Op::kSh3addUw},
        {"slli.uw", Op::kSlliUw},
        {"andn", Op::kAndn},
        {"orn", Op::kOrn},
        {"xnor", Op::kXnor},
        {"min", Op::kMin},
        {"minu", Op::kMinu},
        {"max", Op::kMax},
        {"maxu", Op::kMaxu},
        {"rol", Op::kRol},
        {"ror", Op::kRor},
        {"rori", Op::kRori},
        {"rolw", Op::kRolw},
        {"rorw", Op::kRorw},
        {"roriw", Op::kRoriw},
        {"clz", Op::kClz},
        {"ctz", Op::kCtz},
        {"cpop", Op::kCpop},
        {"clzw", Op::kClzw},
        {"ctzw", Op::kCtzw},
        {"cpopw", Op::kCpopw},
        {"sext.b", Op::kSextB},
        {"sext.h", Op::kSextH},
        {"zext.h", Op::kZextH},
        {"rev8", Op::kRev8},
        {"ecall", Op::kSystem},
        {"ebreak", Op::kSystem},
        {"mret", Op::kSystem},
        {"wfi", Op::kSystem},
        {"illegal", Op::kSystem},
    };
    const auto found = table.find(name);
    return found == table.end() ? Op::kHandler : found->second;
}

bool starts_with(std::string_view text, std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
}
bool ends_with(std::string_view text, std::string_view suffix) {
    return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

/// Of instructions that handlers carry out in a time known beforehand.
HandlerTiming expected_timing(const Decoded& d, std::string_view name, const HartTiming& timing) {
    HandlerTiming expected;
    const auto clocks = [](unsigned value) { return static_cast<std::int32_t>(value); };
    if (starts_with(name, "vset") || name == "mulhsu" || name == "orc.b") {
        expected.known = true;
        if (name == "mulhsu") {
            expected.slot = d.rd;
            expected.latency = clocks(timing.mul_latency);
        }
        return expected;
    }
    if (name[0] != 'f' || starts_with(name, "fence"))
        return expected;
    expected.known = true;
    const bool to_x = starts_with(name, "feq") || starts_with(name, "flt") ||
                      starts_with(name, "fle") || starts_with(name, "fclass") ||
                      starts_with(name, "fmv.x") || starts_with(name, "fcvt.w") ||
                      starts_with(name, "fcvt.l");
    const bool convert = starts_with(name, "fcvt");
    const bool move = (to_x && !convert) || starts_with(name, "fsgnj") ||
                      starts_with(name, "fmin") || starts_with(name, "fmax") ||
                      starts_with(name, "fmv");
    expected.slot = static_cast<std::uint8_t>(to_x ? d.rd : kHazardF + d.rd);
    expected.latency = clocks(move ? timing.fp_move_latency : timing.fp_latency);
    if (starts_with(name, "fdiv") || starts_with(name, "fsqrt")) {
        expected.penalty = clocks(ends_with(name, ".d")   ? timing.fp_div_penalty_d
                                  : ends_with(name, ".s") ? timing.fp_div_penalty_s
                                                          : timing.fp_div_penalty_h);
        expected.latency += expected.penalty;
    }
    return expected;
}

class Schedule {
  public:
    Schedule(EntryState state) : pending_(unpack(state)) {}

    std::int32_t now() const { return now_; }
    const LateList& pending() const { return pending_; }

    std::int32_t issue(const Decoded& d) const {
        std::int32_t at = now_;
        for (const Late& late : pending_) {
            for (std::uint8_t slot : d.hazards) {
                if (slot == late.slot)
                    at = std::max(at, late.clocks);
            }
        }
        return at;
    }
    void result(unsigned slot, std::int32_t at) {
        if (slot == kSink)
            return;
        std::erase_if(pending_, [&](const Late& late) { return late.slot == slot; });
        pending_.push_back({static_cast<std::uint8_t>(slot), at});
    }
    void advance(std::int32_t to) {
        now_ = to;
        std::erase_if(pending_, [&](const Late& late) { return late.clocks <= to; });
    }
    void forget() { pending_.clear(); }

  private:
    std::int32_t now_ = 0;
    LateList pending_;
};

} // namespace

std::optional<EntryState> pack(const LateList& outstanding) {
    if (outstanding.size() > 4)
        return std::nullopt;
    LateList sorted = outstanding;
    std::sort(sorted.begin(), sorted.end(),
              [](const Late& a, const Late& b) { return a.slot < b.slot; });
    EntryState state = 0;
    for (const Late& late : sorted) {
        if (late.clocks > kMaxLate)
            return std::nullopt;
        state = state << 16 | (late.slot + 1u) << 8 | static_cast<std::uint32_t>(late.clocks);
    }
    return state;
}

LateList unpack(EntryState state) {
    LateList list;
    for (; state; state >>= 16)
        list.push_back({static_cast<std::uint8_t>((state >> 8 & 0xff) - 1),
                        static_cast<std::int32_t>(state & 0xff)});
    return list;
}

LateList outstanding(const LateList& pending, std::int32_t at) {
    LateList list;
    for (const Late& late : pending) {
        if (late.clocks > at)
            list.push_back({late.slot, late.clocks - at});
    }
    return list;
}

Trace build_trace(const CodeView& page, std::uint64_t pc, EntryState state, const Profile& profile,
                  const TraceLimits& limits) {
    const auto [bytes, len, base] = page;
    const HartTiming& timing = profile.timing;
    const auto clocks = [](unsigned value) { return static_cast<std::int32_t>(value); };
    Trace trace;
    trace.entry_pc = pc;
    trace.state = state;
    Schedule schedule(state);
    const auto visited = [&](std::uint64_t addr) {
        for (const Step& step : trace.steps) {
            if (step.pc == addr)
                return true;
        }
        return false;
    };
    const auto end = [&](TraceEnd kind, std::uint64_t at) {
        trace.end = kind;
        trace.end_pc = at;
        trace.pending = schedule.pending();
        if (kind == TraceEnd::kGoto && at == trace.entry_pc)
            trace.loop = pack(outstanding(trace.pending, schedule.now())) == state;
        return trace;
    };

    for (;;) {
        const std::uint64_t offset = pc - base;
        if (offset + 2 > len)
            return end(TraceEnd::kGoto, pc);
        std::uint32_t bits = 0;
        std::memcpy(&bits, bytes + offset, std::min<std::uint64_t>(4, len - offset));
        if ((bits & 3) == 3 && offset + 4 > len)
            return end(TraceEnd::kInterpret, pc);
        if (trace.steps.size() == limits.steps || visited(pc))
            return end(TraceEnd::kGoto, pc);
        if (limits.known && !trace.steps.empty()) {
            const auto late = pack(outstanding(schedule.pending(), schedule.now()));
            if (late && limits.known(pc, *late))
                return end(TraceEnd::kGoto, pc);
        }

        Step step;
        step.insn = decode(bits);
        step.pc = pc;
        const Decoded& d = step.insn;
        const std::string_view name = instruction_name(d);
        step.op = named(name);
        step.pending = schedule.pending();
        step.before = schedule.now();
        step.issue = schedule.issue(d);
        step.after = step.issue + 1;
        const std::uint64_t next = pc + d.len;
        const std::uint64_t target = pc + static_cast<std::uint64_t>(std::int64_t{d.imm});

        switch (step.op) {
        case Op::kSystem:
            trace.steps.push_back(step);
            return end(TraceEnd::kSystem, next);
        case Op::kHandler:
            step.expected = expected_timing(d, name, timing);
            if (!step.expected.known) {
                // It may take any time: the translation goes on only if nothing is outstanding.
                schedule.forget();
            } else {
                step.after += step.expected.penalty;
                if (step.expected.latency != 0)
                    schedule.result(step.expected.slot, step.issue + step.expected.latency);
            }
            break;
        case Op::kMul:
        case Op::kMulh:
        case Op::kMulhu:
        case Op::kMulw:
            schedule.result(d.rd, step.issue + clocks(timing.mul_latency));
            break;
        case Op::kDiv:
        case Op::kDivu:
        case Op::kRem:
        case Op::kRemu:
        case Op::kDivw:
        case Op::kDivuw:
        case Op::kRemw:
        case Op::kRemuw:
            step.after += clocks(timing.div_penalty);
            step.expected = {true, clocks(timing.div_penalty), 0, 0};
            break;
        case Op::kLb:
        case Op::kLh:
        case Op::kLw:
        case Op::kLd:
        case Op::kLbu:
        case Op::kLhu:
        case Op::kLwu:
            schedule.result(d.rd, step.issue + clocks(profile.load_latency));
            step.expected = {true, 0, clocks(profile.load_latency), d.rd};
            break;
        case Op::kFlh:
        case Op::kFlw:
        case Op::kFld:
            step.expected = {true, 0, clocks(profile.load_latency),
                             static_cast<std::uint8_t>(kHazardF + d.rd)};
            schedule.result(step.expected.slot, step.issue + clocks(profile.load_latency));
            break;
        case Op::kSb:
        case Op::kSh:
        case Op::kSw:
        case Op::kSd:
        case Op::kFsh:
        case Op::kFsw:
        case Op::kFsd:
            step.expected.known = true;
            break;
        case Op::kJal: {
            step.after += clocks(timing.taken_branch_penalty);
            const bool inside = target - page.base < page.len && !visited(target) && target != pc;
            step.inline_jump = inside;
            schedule.advance(step.after);
            trace.steps.push_back(step);
            if (!inside)
                return end(TraceEnd::kGoto, target);
            pc = target;
            continue;
        }
        case Op::kJalr:
            step.after += clocks(timing.taken_branch_penalty);
            schedule.advance(step.after);
            trace.steps.push_back(step);
            return end(TraceEnd::kIndirect, 0);
        default:
            break;
        }
        schedule.advance(step.after);
        trace.steps.push_back(step);
        pc = next;
        if (is_branch(step.op) && target <= step.pc) {
            // Most likely the end of a loop, so what follows is another trace.
            const std::int32_t taken = step.after + clocks(timing.taken_branch_penalty);
            end(TraceEnd::kGoto, pc);
            trace.loop =
                target == trace.entry_pc && pack(outstanding(schedule.pending(), taken)) == state;
            return trace;
        }
    }
}

} // namespace talus::sim::jit
