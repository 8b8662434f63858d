// The dispatcher: from a pc to translated code and back.
#include "translator.hpp"

#include <cstring>

#include "code_memory.hpp"
#include "emitter.hpp"

namespace talus::sim::jit {

using namespace asmjit;
using namespace asmjit::x86;

namespace {

/// A trace from where a slice ended is for getting back to those that there are.
constexpr std::size_t kMidstSteps = 16;
/// Such traces, and those for the end of a slice, pay off later.
constexpr unsigned kRareFactor = 4;
constexpr Cycle kMaxSlice = Cycle{1} << 40; ///< so that clocks fit the budget's signed register

const Exit kEvent = [] {
    Exit exit;
    exit.kind = Exit::Kind::kEvent;
    return exit;
}();
const Exit kResume = [] {
    Exit exit;
    exit.kind = Exit::Kind::kResume;
    return exit;
}();

/// The code around all traces: how they are entered from C++, and left.
void emit_frame(CodeMemory& memory, const Core& core) {
    const auto member = [&core](const auto& field) {
        return qword_ptr(kCore, static_cast<std::int32_t>(reinterpret_cast<const char*>(&field) -
                                                          reinterpret_cast<const char*>(&core)));
    };
    CodeHolder code;
    code.init(Environment::host());
    Assembler a(&code);
    const Label leave = a.newLabel();
    const std::array<Gp, 6> saved = {rbp, rbx, r12, r13, r14, r15};
    for (const Gp& reg : saved)
        a.push(reg);
    a.sub(rsp, 8);
    a.mov(kCore, rdi);
    a.mov(kBudget, member(core.budget));
    a.mov(kMemory, member(core.primary_memory));
    a.jmp(rsi);
    a.bind(leave);
    a.mov(member(core.budget), kBudget);
    a.add(rsp, 8);
    for (auto reg = saved.rbegin(); reg != saved.rend(); ++reg)
        a.pop(*reg);
    a.ret();
    std::size_t bytes = 0;
    const void* entry = memory.add(code, bytes);
    std::memcpy(&memory.enter, &entry, sizeof entry);
    memory.used = 0; // not to be dropped
    memory.leave = static_cast<const char*>(entry) + code.labelOffset(leave);
}

/// false: more is outstanding than a state can say. (A std::optional would be built in pieces and
/// read as a whole, which stalls the host at every entry.)
bool state_of(const Core& core, EntryState& state) {
    state = 0;
    if (core.max_ready <= core.now)
        return true;
    LateList late;
    for (unsigned slot = 0; slot < kHazardSlots; ++slot) {
        if (core.ready[slot] > core.now && slot != kSink) {
            const Cycle clocks = core.ready[slot] - core.now;
            if (clocks > static_cast<Cycle>(kMaxLate) || late.size() == 4)
                return false;
            late.push_back({static_cast<std::uint8_t>(slot), static_cast<std::int32_t>(clocks)});
        }
    }
    const std::optional<EntryState> packed = pack(late);
    state = packed.value_or(0);
    return packed.has_value();
}

void enter_results(Core& core, const LateList& late, Cycle from) {
    for (const Late& result : late)
        core.result_at(result.slot, from + static_cast<Cycle>(result.clocks));
}

/// Translated code knows these results by heart, and may replace them without a note: nothing must
/// be left of them.
void forget_results(Core& core, const LateList& late) {
    for (const Late& result : late)
        core.ready[result.slot] = 0;
    core.max_ready = core.now;
}

} // namespace

std::unique_ptr<Translator> Translator::create(CodeCache::Impl& cache) {
    const CpuInfo& cpu = CpuInfo::host();
    if (!cpu.features().x86().hasBMI() || !cpu.features().x86().hasBMI2() ||
        !cpu.features().x86().hasLZCNT() || !cpu.features().x86().hasPOPCNT())
        return nullptr;
    return std::unique_ptr<Translator>(new Translator(cache));
}

Translator::Translator(CodeCache::Impl& cache)
    : cache_(cache), memory_(std::make_shared<CodeMemory>()) {}
Translator::~Translator() = default;

const Profile* Translator::profile(const HartConfig& config) {
    Profile wanted;
    wanted.timing = config.timing;
    wanted.icache_lines = config.icache_bytes / kFetchLineBytes;
    if (!config.regions.empty()) {
        const DirectRegion& first = config.regions.front();
        wanted.base = first.base;
        wanted.size = first.size;
        wanted.load_latency = first.load_latency;
        wanted.readable = first.readable;
        wanted.writable = first.writable;
    }
    for (const Profile& known : profiles_) {
        if (known == wanted)
            return &known;
    }
    profiles_.push_back(wanted);
    return &profiles_.back();
}

std::size_t Translator::code_bytes() const {
    return memory_->used;
}

const Exit* Translator::handle(Core* core, const Site* site) {
    Core& c = *core;
    const Cycle base = c.limit - static_cast<Cycle>(c.budget);
    const Cycle issue = base + static_cast<Cycle>(site->issue);
    enter_results(c, site->pending, base);
    c.now = issue;
    c.pc = site->pc;
    c.npc = site->pc + site->insn.len;
    c.retired += site->retired;
    const std::uint64_t generation = c.code->generation, fetch_version = c.fetch_version;
    try {
        site->insn.fn(c, site->insn);
    } catch (...) {
        site->translator->failure_ = std::current_exception();
        return &kEvent;
    }
    if (c.event != HartEvent::kNone)
        return &kEvent;
    const HandlerTiming& expected = site->expected;
    bool goes_on = c.code->generation == generation && c.fetch_version == fetch_version;
    if (expected.known) {
        goes_on = goes_on && c.now == issue + static_cast<Cycle>(expected.penalty) &&
                  (expected.latency == 0 ||
                   c.ready[expected.slot] == issue + static_cast<Cycle>(expected.latency));
    } else {
        goes_on = goes_on && c.max_ready <= c.now + 1 && c.npc == site->pc + site->insn.len &&
                  c.now < c.limit;
        if (goes_on) // the offsets of what follows count from a later entry
            c.budget -= static_cast<std::int64_t>(c.now - issue);
    }
    if (goes_on) {
        forget_results(c, site->pending);
        if (expected.latency != 0)
            c.ready[expected.slot] = 0;
        c.retired -= site->retired;
        return nullptr;
    }
    c.pc = c.npc;
    ++c.now;
    ++c.retired;
    return &kResume;
}

/// Puts into the core what the code kept in constants.
void Translator::leave(Core& core, const Exit& exit) {
    if (exit.kind == Exit::Kind::kEvent || exit.kind == Exit::Kind::kResume)
        return; // handle() has done it
    core.now = core.limit - static_cast<Cycle>(core.budget);
    if (exit.kind != Exit::Kind::kIndirect)
        core.pc = exit.pc;
    enter_results(core, exit.outstanding, core.now);
}

const void* Translator::find(Core& core, EntryState state, Use use) {
    const Variant variant = use == Use::kTail    ? Variant::kTail
                            : use == Use::kLines ? Variant::kLines
                                                 : Variant::kUsual;
    Core::JumpTarget& jump = core.jump_targets[core.pc >> 1 & (Core::kJumpTargets - 1)];
    Core::FoundCode& known =
        core.found_code[(core.pc >> 1 ^ state ^ 64 * static_cast<unsigned>(variant)) &
                        (core.found_code.size() - 1)];
    const bool direct = variant == Variant::kUsual && state == 0; // as jumps in the code look
    if (direct && jump.pc == core.pc)
        return jump.code;
    if (!direct && known.pc == core.pc && known.state == state &&
        known.variant == static_cast<std::uint64_t>(variant))
        return known.code;
    std::uint64_t base = 0;
    bool free_fetch = false;
    CodePage* page = core.code_page(base, free_fetch);
    if (!page || (!free_fetch && core.icache.size() < 2))
        return nullptr;
    TranslatedPage* translated = nullptr;
    for (const auto& variant : page->translations) {
        if (variant->profile == core.profile && variant->base == base &&
            variant->free_fetch == free_fetch)
            translated = variant.get();
    }
    if (!translated) {
        auto fresh = std::make_shared<TranslatedPage>();
        fresh->profile = core.profile;
        fresh->base = base;
        fresh->free_fetch = free_fetch;
        translated = fresh.get();
        page->translations.push_back(std::move(fresh));
    }
    const auto offset = static_cast<std::uint32_t>(core.pc - base);
    const TranslatedPage::Key key{offset, variant, state};
    const auto found = translated->blocks.find(key);
    const void* code = nullptr;
    if (found != translated->blocks.end()) {
        code = found->second->code;
    } else {
        const unsigned enough = use == Use::kEntry || use == Use::kLines
                                    ? core.config.translate_after
                                    : std::min(255u, kRareFactor * core.config.translate_after);
        std::uint8_t& arrivals = translated->arrivals[static_cast<std::size_t>(use)][offset / 2];
        if (arrivals < enough) {
            ++arrivals;
            return nullptr;
        }
        const CodeView view{page->bytes.data(), page->len, base};
        TraceLimits limits;
        if (use == Use::kTail) {
            limits.steps = kStepsPerCheck;
        } else if (use == Use::kMidst) {
            limits.steps = kMidstSteps;
            limits.known = [&](std::uint64_t pc, EntryState late) {
                return translated->blocks.count(
                           {static_cast<std::uint32_t>(pc - base), Variant::kUsual, late}) != 0;
            };
        }
        const Trace trace = build_trace(view, core.pc, state, *core.profile, limits);
        if (trace.steps.empty())
            return nullptr;
        if (memory_->used > core.config.translation_bytes) {
            cache_.drop_translations();
            return find(core, state, use);
        }
        if (!memory_->enter)
            emit_frame(*memory_, core);
        auto block = std::make_unique<Block>(memory_);
        core.leave_code = memory_->leave;
        emit_block(trace, *core.profile, free_fetch, variant, view, core, *this, *block);
        ++traces_;
        code = block->code;
        translated->blocks.emplace(key, std::move(block));
    }
    if (direct)
        jump = {core.pc, code};
    else
        known = {core.pc, state, static_cast<std::uint64_t>(variant), code};
    return code;
}

Translator::Next Translator::run(Core& core, bool entry) {
    Use use = entry ? Use::kEntry : Use::kMidst;
    Exit* link = nullptr; // leads here, and may do so without the dispatcher
    for (;;) {
        if (core.now >= core.until)
            return Next::kDone;
        if (core.jump_epoch != memory_->epoch || core.jump_generation != cache_.generation ||
            core.jump_fetch_version != core.fetch_version) {
            for (unsigned i = 0; i < Core::kJumpTargets; ++i)
                core.jump_targets[i] = {};
            std::fill(core.found_code.begin(), core.found_code.end(), Core::FoundCode{});
            core.jump_epoch = memory_->epoch;
            core.jump_generation = cache_.generation;
            core.jump_fetch_version = core.fetch_version;
            link = nullptr;
        }
        EntryState state = 0;
        if (!state_of(core, state))
            return Next::kOne;
        const void* code = find(core, state, use);
        if (!code)
            return use == Use::kTail ? Next::kRest : Next::kBranch;
        if (core.jump_epoch != memory_->epoch)
            continue; // finding it made room
        if (link && link->state == state)
            link->target = code;
        link = nullptr;

        core.leave_code = memory_->leave;
        core.limit = std::min(core.until, core.now + kMaxSlice);
        core.budget = static_cast<std::int64_t>(core.limit - core.now);
        if (state != 0)
            forget_results(core, unpack(state));
        const Exit& exit = *memory_->enter(&core, code);
        leave(core, exit);
        use = Use::kEntry;
        switch (exit.kind) {
        case Exit::Kind::kGoto:
            if (exit.linkable)
                link = const_cast<Exit*>(&exit);
            break;
        case Exit::Kind::kIndirect:
        case Exit::Kind::kResume:
            break;
        case Exit::Kind::kUntil:
            if (core.limit != core.until)
                return Next::kOne;
            use = Use::kTail; // which leaves in the same way where time is up
            if (exit.linkable)
                link = const_cast<Exit*>(&exit);
            break;
        case Exit::Kind::kLines:
            use = Use::kLines;
            break;
        case Exit::Kind::kInterpret:
            return core.now < core.until ? Next::kOne : Next::kDone;
        case Exit::Kind::kEvent:
            if (failure_)
                std::rethrow_exception(std::exchange(failure_, nullptr));
            return Next::kEvent;
        }
    }
}

} // namespace talus::sim::jit
