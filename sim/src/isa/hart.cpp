// The dispatch loop and the public face of the hart.
#include "hart.hpp"

#include <stdexcept>
#include <string>

#include "commit_recorder.hpp"
#include "core.hpp"
#include "fetch.hpp"
#include "fp_host.hpp"
#include "jit/translator.hpp"

namespace talus::sim {

Core::Core(const HartConfig& cfg, HartPort& p) : timing(cfg.timing), config(cfg), port(p) {
    for (const DirectRegion& region : cfg.regions) {
        if (!region.host || region.size == 0 || (region.base | region.size) % kFetchLineBytes != 0)
            throw std::invalid_argument("hart " + std::to_string(cfg.id) +
                                        ": a direct region is not a multiple of 64 bytes");
    }
    const unsigned lines = cfg.icache_bytes / kFetchLineBytes;
    if (lines & (lines - 1))
        throw std::invalid_argument("hart " + std::to_string(cfg.id) +
                                    ": icache_bytes is not a power of two");
    icache.resize(lines);
    if (timing.functional) {
        for (DirectRegion& region : config.regions)
            region.load_latency = 1;
    }
    if (!cfg.code)
        own_code = std::make_unique<CodeCache>();
    code = &(cfg.code ? *cfg.code : *own_code).impl();
    if (jit::Translator* translator = cfg.translator ? code->translate() : nullptr) {
        profile = translator->profile(config);
        jump_table.resize(kJumpTargets);
        jump_targets = jump_table.data();
        found_code.resize(128);
        primary_memory = config.regions.empty() ? nullptr : config.regions.front().host;
        icache_tags = icache.data();
    }
    reset(0, cfg.reset_pc);
}

Core::~Core() = default;

void Core::reset(Cycle when, std::uint64_t at) {
    if (running) {
        event = HartEvent::kReset;
        reset_when = when;
        reset_at = at;
        return;
    }
    now = when;
    max_ready = 0;
    pc = at & ~std::uint64_t{1};
    retired = 0;
    event = HartEvent::kNone;
    irq_check = true;
    x.fill(0);
    f.fill(0);
    ready.fill(0);
    v.fill(0);
    vector_busy = 0;
    fflags = frm = 0;
    vsew = 0;
    vlmul = 0;
    vill = true;
    vta = vma = vxsat = false;
    vxrm = 0;
    vl = vstart = 0;
    mode = Privilege::kMachine;
    state = StopReason::kUntil;
    mstatus = mie = mtvec = mscratch = mepc = mcause = mtval = 0;
    mcounteren = mcountinhibit = menvcfg = 0;
    mcycle_offset = 0 - when;
    minstret_offset = 0;
    pmpcfg.fill(0);
    pmpaddr.fill(0);
    pmp_locked = false;
    reserved = false;
    port_window = FetchWindow{};
    std::fill(icache.begin(), icache.end(), 0);
    code->invalidate();
    drop_fetch_state();
    drop_data_windows();
    update_units();
}

namespace {

class RunningScope {
  public:
    explicit RunningScope(bool& flag) : flag_(flag) { flag_ = true; }
    ~RunningScope() { flag_ = false; }
    RunningScope(const RunningScope&) = delete;
    RunningScope& operator=(const RunningScope&) = delete;

  private:
    bool& flag_;
};

} // namespace

/// The dispatch loop; ends at `until`, after an event, or when enough(address of the next
/// instruction in memory) says so. false: the debugger stops the hart.
template <bool Recorded, class Enough>
inline bool Core::interpret_until(Enough enough) {
    while (now < until) {
        const std::uint64_t offset = pc - window_base;
        const Decoded* d;
        if (offset < window_len) [[likely]] {
            d = window + offset / 2;
        } else {
            if (debug && !debug_gate()) [[unlikely]]
                return false;
            d = refill();
            if (!d)
                return true;
        }
        if (now < max_ready) {
            const Cycle a = ready[d->hazards[0]], b = ready[d->hazards[1]],
                        e = ready[d->hazards[2]];
            now = std::max(std::max(now, a), std::max(b, e));
        }
        const std::uint64_t next = pc + d->len;
        npc = next;
        if constexpr (Recorded)
            commit->begin(*this, d);
        d->fn(*this, *d);
        if (event != HartEvent::kNone) [[unlikely]]
            return true;
        if constexpr (Recorded)
            commit->end(*this);
        pc = npc;
        ++now;
        ++retired;
        if (enough(next))
            return true;
    }
    return true;
}

bool Core::interpret() {
    const auto never = [](std::uint64_t) { return false; };
    return commit ? interpret_until<true>(never) : interpret_until<false>(never);
}

void Core::run_translated() {
    using Next = jit::Translator::Next;
    bool entry = at_entry;
    while (event == HartEvent::kNone && now < until) {
        switch (code->translator->run(*this, entry)) {
        case Next::kOne:
            interpret_until<false>([](std::uint64_t) { return true; });
            break;
        case Next::kBranch:
            interpret_until<false>([this](std::uint64_t next) { return pc != next; });
            break;
        case Next::kRest:
            interpret();
            break;
        case Next::kEvent:
        case Next::kDone:
            return;
        }
        entry = true;
    }
}

StopReason Core::run(Cycle until_, Cycle global) {
    if (state != StopReason::kUntil && state != StopReason::kSync)
        return state;
    state = StopReason::kUntil;
    until = until_;
    global_now = global;
    if (code_epoch != code->epoch) {
        drop_fetch_state();
        code_epoch = code->epoch;
    }
    if (code_generation != code->generation) {
        window_len = 0;
        code_generation = code->generation;
    }
    const HostFpScope host_fp;
    const RunningScope scope(running);

    for (;;) {
        if (irq_check) [[unlikely]] {
            irq_check = false;
            if (now < until && take_interrupt() && state == StopReason::kHalted)
                return state;
            irq_check = now >= until;
        }
        if (may_translate())
            run_translated();
        else if (!interpret())
            return state;
        const HartEvent happened = event;
        event = HartEvent::kNone;
        at_entry = happened != HartEvent::kNone;
        switch (happened) {
        case HartEvent::kNone:
            return StopReason::kUntil;
        case HartEvent::kTrap:
            if (debug && !debug->hook->before_trap(config.id, trap_cause, trap_tval)) [[unlikely]]
                return state;
            enter_trap(trap_cause, trap_tval);
            if (state == StopReason::kHalted)
                return state;
            irq_check = true;
            break;
        case HartEvent::kStop:
            state = stop_reason;
            return state;
        case HartEvent::kReset:
            running = false;
            reset(reset_when, reset_at);
            return state;
        case HartEvent::kRecheck:
        case HartEvent::kRetire:
            if (commit) [[unlikely]]
                commit->end(*this);
            pc = npc;
            ++now;
            ++retired;
            irq_check = true;
            if (happened == HartEvent::kRetire) {
                state = stop_reason;
                // A step of WFI ends here, not when an interrupt comes.
                if (debug && debug->every_instruction)
                    debug->hook->before_instruction(config.id);
                return state;
            }
            break;
        }
    }
}

bool Core::debug_gate() {
    if (!debug->every_instruction && !watch_hit && !debug->points->breakpoint_at(pc))
        return true;
    watch_hit = false;
    return debug->hook->before_instruction(config.id);
}

void Core::debug_access(std::uint64_t addr, std::uint64_t len, AccessKind kind) {
    const Watchpoint* point = debug->points->watching(addr, len, kind);
    if (!point)
        return;
    watch_hit = true;
    window_len = 0; // the next instruction comes through debug_gate()
    debug->hook->on_watched(config.id, *point, addr, kind);
}

Hart::Hart(const HartConfig& config, HartPort& port)
    : core_(std::make_unique<Core>(config, port)) {}
Hart::~Hart() = default;

StopReason Hart::run(Cycle until, Cycle global_now) {
    return core_->run(until, global_now);
}
StopReason Hart::step() {
    return core_->run(core_->now + 1, kNever);
}
void Hart::reset(Cycle now) {
    core_->reset(now, core_->config.reset_pc);
}
void Hart::reset(Cycle now, std::uint64_t pc) {
    core_->reset(now, pc);
}

HartId Hart::id() const {
    return core_->config.id;
}
Cycle Hart::now() const {
    return core_->now;
}
StopReason Hart::state() const {
    return core_->state;
}
bool Hart::runnable() const {
    return core_->state == StopReason::kUntil || core_->state == StopReason::kSync;
}

bool Hart::set_interrupt(unsigned bit, bool level, Cycle when) {
    Core& c = *core_;
    const std::uint64_t mask = std::uint64_t{1} << bit;
    c.mip = level ? c.mip | mask : c.mip & ~mask;
    c.irq_check = true;
    if (c.running && c.event == HartEvent::kNone)
        c.event = HartEvent::kRecheck; // raised by the instruction that is executing
    const bool wakes = (c.state == StopReason::kWfi && (c.mip & c.mie)) ||
                       (c.state == StopReason::kBlocked && c.pending_interrupt());
    if (!wakes)
        return false;
    c.state = StopReason::kUntil;
    c.now = std::max(c.now, when);
    return true;
}

bool Hart::wake(Cycle when) {
    Core& c = *core_;
    if (c.state != StopReason::kBlocked)
        return false;
    c.state = StopReason::kUntil;
    c.now = std::max(c.now, when);
    return true;
}

void Hart::set_debug(const HartDebug* debug) {
    Core& c = *core_;
    c.debug = debug;
    c.watch_hit = false;
    c.window_len = 0;
    c.drop_data_windows();
}

void Hart::set_guard(MemoryGuard* guard) {
    Core& c = *core_;
    c.guard = guard;
    c.window_len = 0;
    c.drop_data_windows();
}

void Hart::set_commit_observer(CommitObserver* observer, std::uint64_t first, std::uint64_t last) {
    Core& c = *core_;
    c.commit = observer ? std::make_unique<CommitRecorder>(*observer, first, last) : nullptr;
    c.drop_data_windows();
}

bool Hart::leave_wfi(Cycle when) {
    Core& c = *core_;
    if (c.state != StopReason::kWfi)
        return false;
    c.state = StopReason::kUntil;
    c.now = std::max(c.now, when);
    return true;
}

std::pair<unsigned, unsigned> Hart::icache_lines() const {
    const auto& lines = core_->icache;
    const auto empty = std::count(lines.begin(), lines.end(), std::uint64_t{0});
    return {static_cast<unsigned>(lines.size() - static_cast<std::size_t>(empty)),
            static_cast<unsigned>(lines.size())};
}

void Hart::forget_fetch_windows() {
    core_->port_window = FetchWindow{};
    core_->drop_fetch_state();
}

void Hart::invalidate_code(std::uint64_t addr, std::uint64_t len) {
    Core& c = *core_;
    if (len == 0)
        return;
    c.code->invalidate();
    c.window_len = 0;
    for (std::uint64_t& tag : c.icache) {
        const std::uint64_t line = tag & ~std::uint64_t{1};
        if (tag && line - addr + kFetchLineBytes - 1 < len + kFetchLineBytes - 1)
            tag = 0;
    }
}

std::uint64_t Hart::pc() const {
    return core_->pc;
}
void Hart::set_pc(std::uint64_t pc) {
    core_->pc = pc & ~std::uint64_t{1};
}
std::uint64_t Hart::x(unsigned index) const {
    return core_->x[index & 31];
}
void Hart::set_x(unsigned index, std::uint64_t value) {
    if (index & 31)
        core_->x[index & 31] = value;
}
std::uint64_t Hart::f(unsigned index) const {
    return core_->f[index & 31];
}
void Hart::set_f(unsigned index, std::uint64_t value) {
    core_->f[index & 31] = value;
}
std::span<std::uint8_t, kVlenBytes> Hart::v(unsigned index) {
    return std::span<std::uint8_t, kVlenBytes>(core_->vreg(index & 31), kVlenBytes);
}
bool Hart::user_mode() const {
    return core_->mode == Privilege::kUser;
}
std::uint64_t Hart::retired() const {
    return core_->retired;
}

void Hart::checkpoint(Checkpoint& state) {
    Core& c = *core_;
    c.reserved = false;
    state(c.now, c.max_ready, c.pc, c.retired, c.irq_check, c.at_entry, c.x, c.f, c.ready,
          c.vector_busy, c.fflags, c.frm, c.vsew, c.vlmul, c.vill, c.vta, c.vma, c.vxrm, c.vxsat,
          c.vl, c.vstart, c.v, c.mode, c.state, c.mstatus, c.mie, c.mip, c.mtvec, c.mscratch,
          c.mepc, c.mcause, c.mtval, c.mcounteren, c.mcountinhibit, c.menvcfg, c.mcycle_offset,
          c.minstret_offset, c.pmpcfg, c.pmpaddr, c.pmp_locked);
    const std::size_t lines = c.icache.size();
    state(c.icache);
    if (c.icache.size() != lines) {
        throw CheckpointError("a checkpoint with instruction caches of another size");
    }
    if (state.restoring()) {
        c.icache_tags = c.icache.data();
        c.port_window = FetchWindow{};
        c.code->invalidate();
        c.drop_fetch_state();
        c.drop_data_windows();
        c.update_units();
    }
}

namespace {

constexpr bool has_port_side(unsigned csr) {
    return csr == 0xc01 || (csr >= 0x7c0 && csr <= 0x8ff) || (csr >= 0xbc0 && csr <= 0xbff) ||
           (csr >= 0xcc0 && csr <= 0xcff) || csr >= 0xfc0;
}

} // namespace

bool Hart::read_csr(unsigned csr, std::uint64_t& value) const {
    Core& c = *core_;
    if (has_port_side(csr))
        return false;
    const Privilege mode = c.mode;
    c.mode = Privilege::kMachine;
    const bool present = c.csr_read(csr, value);
    c.mode = mode;
    return present;
}

bool Hart::write_csr(unsigned csr, std::uint64_t value) {
    Core& c = *core_;
    if (has_port_side(csr) || csr >> 10 == 3)
        return false;
    c.irq_check = true;
    return c.csr_write(csr, value);
}

} // namespace talus::sim
