#include "cores.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"

#include "energy.hpp"

namespace talus::sim {

namespace {

std::uint32_t pe_of(HartId hart) {
    return (hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE;
}
unsigned core_of(HartId hart) {
    return (hart - TALUS_CONTROL_HARTS) % TALUS_CORES_PER_PE;
}
bool is_control(HartId hart) {
    return hart < TALUS_CONTROL_HARTS;
}

bool in(std::uint64_t addr, std::uint64_t base, std::uint64_t size) {
    return addr >= base && addr - base < size;
}

/// Accesses with side effects: the core waits for the acknowledgement of a store.
bool is_register(std::uint64_t addr) {
    if (in(addr, TALUS_SYSTEM_BASE, TALUS_SYSTEM_SIZE) ||
        in(addr, TALUS_PE_REGS_BASE, TALUS_PE_REGS_SIZE)) {
        return true;
    }
    return (in(addr, TALUS_PE_WINDOW_BASE, TALUS_PE_WINDOW_SIZE) ||
            in(addr, TALUS_SUBGRID_BASE, TALUS_SUBGRID_SIZE)) &&
           addr % TALUS_PE_WINDOW_STRIDE >= TALUS_PE_WINDOW_REGS;
}

const char* cause_text(std::uint64_t cause) {
    switch (cause) {
#define TALUS_CAUSE_CASE(name, value, text)                                                        \
    case value:                                                                                    \
        return text;
        TALUS_STANDARD_CAUSES(TALUS_CAUSE_CASE)
        TALUS_TRAP_CAUSES(TALUS_CAUSE_CASE)
#undef TALUS_CAUSE_CASE
    default:
        return "unknown cause";
    }
}

const char* state_text(StopReason reason) {
    switch (reason) {
    case StopReason::kUntil:
    case StopReason::kSync:
        return "runs";
    case StopReason::kBlocked:
        return "blocked";
    case StopReason::kWfi:
        return "in WFI";
    case StopReason::kHalted:
        return "halted by an unhandled trap";
    }
    return "?";
}

} // namespace

Cores::Cores(const Config& config, EventQueue& events, Fabric& fabric, Diagnostics& diagnostics)
    : config_(config), events_(events), fabric_(fabric), diagnostics_(diagnostics),
      caches_(TALUS_HART_OF(config.pe_count(), 0), TALUS_CONTROL_HARTS,
              {config.hart.dcache_bytes, config.hart.dcache_ways}),
      unit_(events.add_unit(*this, "core accesses")) {
    for (HartId hart = 0; hart < TALUS_CONTROL_HARTS; ++hart) {
        add_control_hart(hart);
    }
    for (std::uint32_t pe = 0; pe < config_.pe_count(); ++pe) {
        pes_.push_back(std::make_unique<Pe>(config_, pe, events_, fabric_, diagnostics_, *this));
        for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
            add_pe_hart(TALUS_HART_OF(pe, core));
        }
    }
    waits_.resize(harts_.size());
    fetches_.resize(harts_.size());
    fabric_.set_code_listener(this);
    fabric_.ecc().set_guarded(this);
    if (caches_.enabled()) {
        caches_.set_listener(this);
        fabric_.set_caches(&caches_);
    }
}

Cores::~Cores() {
    fabric_.set_code_listener(nullptr);
    fabric_.ecc().set_guarded(nullptr);
    fabric_.set_caches(nullptr);
}

void Cores::add_control_hart(HartId hart) {
    HartConfig core;
    core.id = hart;
    core.reset_pc = TALUS_ROM_BASE;
    core.icache_bytes = config_.hart.icache_bytes;
    core.code = &code_;
    core.translator = config_.hart.translator;
    core.timing = config_.hart.functional ? HartTiming::one_clock() : HartTiming{};
    DirectRegion rom{TALUS_ROM_BASE, TALUS_ROM_SIZE, fabric_.rom()};
    rom.writable = false;
    rom.load_latency = config_.control.rom_load_clocks;
    DirectRegion sram{TALUS_CONTROL_SRAM_BASE, TALUS_CONTROL_SRAM_SIZE, fabric_.control_sram()};
    sram.load_latency = config_.control.sram_load_clocks;
    // Shared with the host, which orders it by the mailbox; no unit of the chip watches it.
    DirectRegion staging{TALUS_STAGING_BASE, TALUS_STAGING_SIZE, fabric_.staging()};
    staging.executable = false;
    staging.load_latency = config_.memory.staging_clocks;
    core.regions = {sram, rom, staging};
    harts_.push_back(std::make_unique<Hart>(core, *this));
    retired_before_.push_back(0);
    runners_.push_back(std::make_unique<HartRunner>(
        events_, *harts_.back(), *this, name(hart),
        HartRunner::RunAhead{config_.hart.run_ahead_clocks, config_.hart.run_ahead_clocks}));
}

void Cores::add_pe_hart(HartId hart) {
    HartConfig core;
    core.id = hart;
    core.vector = core_of(hart) == TALUS_CORE_B;
    core.icache_bytes = config_.hart.icache_bytes;
    core.code = &code_;
    core.translator = config_.hart.translator;
    core.timing = config_.hart.functional ? HartTiming::one_clock() : HartTiming{};
    DirectRegion local{TALUS_LOCAL_BASE, TALUS_LOCAL_SIZE, pes_[pe_of(hart)]->local_memory()};
    local.load_latency = config_.hart.local_load_clocks;
    core.regions = {local};
    harts_.push_back(std::make_unique<Hart>(core, *this));
    retired_before_.push_back(0);
    runners_.push_back(std::make_unique<HartRunner>(
        events_, *harts_.back(), *this, name(hart),
        HartRunner::RunAhead{config_.hart.run_ahead_clocks, config_.hart.run_ahead_alone_clocks}));
}

std::string Cores::at_work() const {
    for (const auto& pe : pes_) {
        if (pe->busy() || pe->has_work()) {
            return fmt::format("PE {}.{} has a job", pe->index() / config_.grid.cols,
                               pe->index() % config_.grid.cols);
        }
    }
    for (HartId hart = 0; hart < runners_.size(); ++hart) {
        const HartRunner& runner = *runners_[hart];
        if (!runner.waiting()) {
            return name(hart) + " is kept from running";
        }
        if (waits_[hart].stores_open != 0) {
            return name(hart) + " waits for memory";
        }
    }
    return {};
}

void Cores::checkpoint(Checkpoint& state) {
    state.section("cores");
    state(caches_, waits_, fetches_, trap_reports_, incoherence_reports_, retired_before_);
    state.section("harts");
    for (const auto& runner : runners_) {
        state(*runner);
    }
    state.section("PEs");
    for (const auto& pe : pes_) {
        state(*pe);
    }
}

void Cores::reset() {
    trap_reports_ = 0;
    incoherence_reports_ = 0;
    caches_.reset();
    for (HartId hart = 0; hart < hart_count(); ++hart) {
        forget(hart);
    }
    code_.invalidate();
    for (auto& runner : runners_) {
        runner->hold();
    }
    for (auto& pe : pes_) {
        pe->hold(0);
    }
    for (HartId hart = 0; hart < TALUS_CONTROL_HARTS; ++hart) {
        retired_before_[hart] = retired(hart);
        runners_[hart]->release(0, TALUS_ROM_BASE);
    }
}

UnitClock Cores::unit_clock(Cycle now) {
    UnitClock clock = governor_ != nullptr ? governor_->clock(now) : UnitClock{};
    if (FaultHooks* faults = fabric_.fault_hooks(); faults != nullptr) {
        const unsigned droop = faults->droop_percent(now);
        if (droop != droop_ && droop != 0) {
            diagnostics_.reported(fmt::format("clock droop: the PEs' units lose {} %", droop));
        }
        droop_ = droop;
        clock = {clock.full * 100, clock.step * (100 - droop)};
    }
    return clock;
}

std::string Cores::name(HartId hart) const {
    if (is_control(hart)) {
        return fmt::format("control hart {}", hart);
    }
    const std::uint32_t pe = pe_of(hart);
    return fmt::format("PE {}.{} core {}", pe / config_.grid.cols, pe % config_.grid.cols,
                       core_of(hart) == TALUS_CORE_A ? 'A' : 'B');
}

// --- memory --------------------------------------------------------------------------------------

OpResult Cores::fault(FabricError error, AccessKind kind, std::uint64_t addr) const {
    return OpResult::trap(trap_cause(error, kind), addr);
}

OpResult Cores::load(HartId hart, Cycle now, std::uint64_t addr, void* data, unsigned len) {
    const Requester who = Requester::hart(hart);
    if (is_control(hart) && in(addr, TALUS_SYSTEM_BASE, TALUS_SYSTEM_SIZE)) {
        std::uint64_t value = 0;
        if (!bus_->mmio_read(who, now, addr, len, value)) {
            return fault(FabricError::kForbidden, AccessKind::kLoad, addr);
        }
        std::copy_n(reinterpret_cast<const std::uint8_t*>(&value), len,
                    static_cast<std::uint8_t*>(data));
        return OpResult::ok(now + config_.control.system_register_clocks);
    }
    if (cached(addr, len)) {
        const MemorySpan span = fabric_.span(who, addr, len, false);
        if (!span.ok()) {
            return fault(span.error, AccessKind::kLoad, addr);
        }
        if (fabric_.ecc().any() && !lines_readable(hart, addr, len)) {
            return fault(FabricError::kDamaged, AccessKind::kLoad, addr);
        }
        Cycle ready = 0;
        if (!look_up(hart, now, addr, len, false, ready)) {
            return OpResult::trap(TALUS_TRAP_CACHE, addr);
        }
        if (ready == kNever) {
            waits_[hart].for_line = true;
            return OpResult::blocked();
        }
        std::copy_n(span.host, len, static_cast<std::uint8_t*>(data));
        return OpResult::ok(std::max(ready, now + config_.hart.dcache_hit_clocks));
    }
    Access& access = waits_[hart].data;
    const bool again = access.is(false, addr, len);
    if (again && !access.answered) {
        return OpResult::blocked();
    }
    const FabricResult result =
        fabric_.read(who, now, addr, data, len, {unit_, kLoaded, hart, access.ticket + 1}, again);
    if (!result.ok()) {
        access.open = access.open && !again;
        return fault(result.error, AccessKind::kLoad, addr);
    }
    if (result.pending()) {
        return access.wait(false, addr, len);
    }
    access.open = access.open && !again;
    return OpResult::ok(result.done);
}

OpResult Cores::store(HartId hart, Cycle now, std::uint64_t addr, const void* data, unsigned len) {
    const Requester who = Requester::hart(hart);
    if (is_control(hart) && in(addr, TALUS_SYSTEM_BASE, TALUS_SYSTEM_SIZE)) {
        std::uint64_t value = 0;
        if (len > sizeof value) {
            return fault(FabricError::kForbidden, AccessKind::kStore, addr);
        }
        std::copy_n(static_cast<const std::uint8_t*>(data), len,
                    reinterpret_cast<std::uint8_t*>(&value));
        if (!bus_->mmio_write(who, now, addr, len, value)) {
            return fault(FabricError::kForbidden, AccessKind::kStore, addr);
        }
        return OpResult::ok(now + config_.control.system_register_clocks);
    }
    if (cached(addr, len)) {
        const MemorySpan span = fabric_.span(who, addr, len, true);
        if (!span.ok()) {
            return fault(span.error, AccessKind::kStore, addr);
        }
        if (fabric_.ecc().any() && !lines_readable(hart, addr, len)) {
            return fault(FabricError::kDamaged, AccessKind::kStore, addr);
        }
        Cycle ready = 0;
        if (!look_up(hart, now, addr, len, true, ready)) {
            return OpResult::trap(TALUS_TRAP_CACHE, addr);
        }
        std::copy_n(static_cast<const std::uint8_t*>(data), len, span.host);
        fabric_.written(who, addr, len);
        if (fabric_.ecc().any()) {
            fabric_.ecc().overwritten(span.host, len);
        }
        return OpResult::ok(now + 1); // a line that is still under way takes it when it arrives
    }
    Waits& waits = waits_[hart];
    const FabricResult result =
        fabric_.write(who, now, addr, data, len, {unit_, kStored, hart, waits.generation});
    if (!result.ok()) {
        return fault(result.error, AccessKind::kStore, addr);
    }
    if (result.pending()) {
        ++waits.stores_open;
    } else {
        waits.stores_done = std::max(waits.stores_done, result.done);
    }
    // Posted, unless it has a side effect: then the core stays in step with it.
    return OpResult::ok(is_register(addr) ? result.done : now + 1);
}

OpResult Cores::amo(HartId hart, Cycle now, const AmoRequest& request) {
    Waits& waits = waits_[hart];
    Access& access = waits.data;
    const bool again = access.is(true, request.addr, request.len);
    if (again && !access.answered) {
        return OpResult::blocked();
    }
    if (request.release && waits.stores_open != 0) {
        waits.for_stores = true;
        return OpResult::blocked();
    }
    std::uint64_t old_value = 0;
    if (cached(request.addr, request.len)) {
        const DataCaches::Access access =
            caches_.bypass(hart, request.addr & ~(DataCaches::kLine - 1));
        write_back(access, now);
        if (!access.ok) {
            return OpResult::trap(TALUS_TRAP_CACHE, request.addr);
        }
    }
    const FabricResult result = fabric_.amo(Requester::hart(hart), now, request, old_value,
                                            {unit_, kLoaded, hart, access.ticket + 1}, again);
    if (!result.ok()) {
        access.open = access.open && !again;
        const bool load = request.op == AmoOp::kLr;
        return fault(result.error, load ? AccessKind::kLoad : AccessKind::kStore, request.addr);
    }
    if (result.pending()) {
        return access.wait(true, request.addr, request.len);
    }
    access.open = access.open && !again;
    const Cycle released = request.release ? waits.stores_done : 0;
    return OpResult::with_value(std::max(result.done, released), old_value);
}

OpResult Cores::cbo(HartId hart, Cycle now, CboOp op, std::uint64_t addr) {
    const std::uint64_t line = addr & ~(DataCaches::kLine - 1);
    const MemorySpan span = fabric_.span(Requester::hart(hart), line, DataCaches::kLine, false);
    if (!span.ok()) {
        return fault(span.error, AccessKind::kStore, addr);
    }
    if (cached(line, DataCaches::kLine)) {
        const DataCaches::Access access = caches_.block(hart, op, line);
        write_back(access, now);
        if (!access.ok) {
            return OpResult::trap(TALUS_TRAP_CACHE, addr);
        }
    }
    return OpResult::ok(now + 1); // a fence waits for what is written back
}

bool Cores::cached(std::uint64_t addr, std::uint64_t len) const {
    const auto inside = [&](std::uint64_t base, std::uint64_t size) {
        return in(addr, base, size) && len <= size - (addr - base);
    };
    return caches_.enabled() && (inside(TALUS_LLS_BASE, config_.sram.scratch_bytes) ||
                                 inside(TALUS_DRAM_BASE, config_.dram.bytes));
}

void Cores::write_back(const DataCaches::Access& access, Cycle now) {
    for (unsigned i = 0; i < access.write_back_count; ++i) {
        const auto& [owner, line] = access.write_backs[i];
        if (fabric_.ecc().any()) {
            const MemorySpan span =
                fabric_.span(Requester::engine(0), line, DataCaches::kLine, true);
            fabric_.ecc().overwritten(span.host, DataCaches::kLine);
        }
        Waits& waits = waits_[owner];
        const Cycle done = fabric_.packet(Requester::hart(owner), now, now, line, DataCaches::kLine,
                                          true, {unit_, kStored, owner, waits.generation});
        if (done == kNever) {
            ++waits.stores_open;
        } else {
            waits.stores_done = std::max(waits.stores_done, done);
        }
    }
}

bool Cores::lines_readable(HartId hart, std::uint64_t addr, std::uint64_t len) {
    const std::uint64_t last = (addr + len - 1) & ~(DataCaches::kLine - 1);
    for (std::uint64_t line = addr & ~(DataCaches::kLine - 1); line <= last;
         line += DataCaches::kLine) {
        const MemorySpan span = fabric_.span(Requester::engine(0), line, DataCaches::kLine, false);
        if (!caches_.holds(hart, line) && !fabric_.ecc().read(span.host, DataCaches::kLine)) {
            return false;
        }
    }
    return true;
}

bool Cores::look_up(HartId hart, Cycle now, std::uint64_t addr, std::uint64_t len, bool store,
                    Cycle& ready) {
    const std::uint64_t last = (addr + len - 1) & ~(DataCaches::kLine - 1);
    for (std::uint64_t line = addr & ~(DataCaches::kLine - 1); line <= last;
         line += DataCaches::kLine) {
        const DataCaches::Access access = caches_.access(hart, line, store);
        write_back(access, now);
        if (!access.ok) {
            return false;
        }
        Cycle arrives = access.ready;
        if (access.fill) {
            const std::uint64_t whose = hart | std::uint64_t{waits_[hart].generation} << 32;
            arrives = fabric_.packet(Requester::hart(hart), now, now, line, DataCaches::kLine,
                                     false, {unit_, kFilled, whose, line});
            caches_.filled(hart, line, arrives);
        }
        ready = std::max(ready, arrives);
    }
    return true;
}

OpResult Cores::fence(HartId hart, Cycle now, unsigned pred, unsigned, bool) {
    constexpr unsigned kWritesAndOutput = 0b0101; // I O R W
    if ((pred & kWritesAndOutput) == 0) {
        return OpResult::ok(now + 1);
    }
    Waits& waits = waits_[hart];
    if (waits.stores_open != 0) {
        waits.for_stores = true;
        return OpResult::blocked();
    }
    return OpResult::ok(std::max(now + 1, waits.stores_done));
}

/// The hart is reset: answers under way are nobody's.
void Cores::forget(HartId hart) {
    Waits& waits = waits_[hart];
    Waits fresh;
    fresh.fetch.ticket = waits.fetch.ticket + 1;
    fresh.data.ticket = waits.data.ticket + 1;
    fresh.generation = waits.generation + 1;
    waits = fresh;
}

void Cores::on_event(const Event& event) {
    const auto hart = static_cast<HartId>(event.a);
    Waits& waits = waits_[hart];
    if (event.kind == kFilled) {
        if (event.a >> 32 == waits.generation) {
            caches_.filled(hart, event.b, event.time);
            if (waits.for_line) {
                waits.for_line = false;
                wake(hart, event.time);
            }
        }
        return;
    }
    if (event.kind == kStored) {
        if (event.b != waits.generation) {
            return;
        }
        waits.stores_done = std::max(waits.stores_done, event.time);
        if (--waits.stores_open == 0 && waits.for_stores) {
            waits.for_stores = false;
            wake(hart, event.time);
        }
        return;
    }
    Access& access = event.kind == kFetched ? waits.fetch : waits.data;
    if (access.open && event.b == access.ticket) {
        access.answered = true;
        wake(hart, event.time);
    }
}

FetchWindow Cores::fetch_window(HartId, std::uint64_t addr) {
    if (in(addr, TALUS_LLS_BASE, config_.sram.scratch_bytes)) {
        return {fabric_.lls(), TALUS_LLS_BASE, config_.sram.scratch_bytes, false};
    }
    if (in(addr, TALUS_DRAM_BASE, config_.dram.bytes)) {
        return {fabric_.dram(), TALUS_DRAM_BASE, config_.dram.bytes, false};
    }
    return {};
}

OpResult Cores::fetch_miss(HartId hart, Cycle now, std::uint64_t line_addr) {
    Access& access = waits_[hart].fetch;
    const bool again = access.is(false, line_addr, kFetchLineBytes);
    if (again && !access.answered) {
        return OpResult::blocked();
    }
    std::array<std::uint8_t, kFetchLineBytes> line{};
    fabric_.mark_code(line_addr);
    if (!fabric_.coherent(Requester::hart(hart), line_addr, kFetchLineBytes, false)) {
        return OpResult::trap(TALUS_TRAP_CACHE, line_addr);
    }
    const FabricResult result =
        fabric_.read(Requester::hart(hart), now, line_addr, line.data(), kFetchLineBytes,
                     {unit_, kFetched, hart, access.ticket + 1}, again);
    if (!result.ok()) {
        access.open = access.open && !again;
        return fault(result.error, AccessKind::kFetch, line_addr);
    }
    if (result.pending()) {
        access.wait(false, line_addr, kFetchLineBytes);
        access.since = now;
        return OpResult::blocked();
    }
    access.open = false;
    ++fetches_[hart].misses;
    fetches_[hart].clocks += result.done - (again ? access.since : now);
    return OpResult::ok(result.done);
}

void Cores::on_code_written(std::uint64_t, std::uint64_t) {
    code_.invalidate();
}

void Cores::on_incoherence(const Incoherence& incoherence) {
    if (incoherence_reports_ >= kMaxTrapReports) {
        return;
    }
    ++incoherence_reports_;
    const std::string holder = name(incoherence.holder);
    const std::string who = incoherence.who == kNoHart ? "a DMA unit" : name(incoherence.who);
    std::string text;
    switch (incoherence.kind) {
    case Incoherence::Kind::kStale:
        text = fmt::format("{} uses a stale cache line: memory was written since; cbo.inval before "
                           "the access",
                           holder);
        break;
    case Incoherence::Kind::kDirtyRead:
        text = fmt::format("{} reads what {} has in a dirty cache line; cbo.clean or cbo.flush "
                           "after the store",
                           who, holder);
        break;
    case Incoherence::Kind::kDirtyWrite:
        text = fmt::format("{} writes under a dirty cache line of {}, which will overwrite it; "
                           "cbo.flush before",
                           who, holder);
        break;
    case Incoherence::Kind::kDiscarded:
        text = fmt::format("{} invalidates a dirty cache line of {}: stores are lost", who, holder);
        break;
    }
    diagnostics_.guest("cache line {:#x}, clock {}: {}{}", incoherence.line, events_.now(), text,
                       incoherence_reports_ == kMaxTrapReports ? "; further ones are not logged"
                                                               : "");
}

// --- instructions --------------------------------------------------------------------------------

OpResult Cores::custom(HartId hart, Cycle now, const CustomInsn& insn) {
    if (is_control(hart)) {
        return OpResult::trap(cause::kIllegalInstruction, insn.raw);
    }
    return pes_[pe_of(hart)]->custom(hart, now, insn);
}

std::uint64_t Cores::time(HartId, Cycle now) {
    return now;
}

bool Cores::csr_read(HartId, Cycle, unsigned, std::uint64_t&) {
    return false;
}
bool Cores::csr_write(HartId, Cycle, unsigned, std::uint64_t) {
    return false;
}

FabricError Cores::peek(HartId hart, std::uint64_t addr, void* data, std::uint64_t len) {
    return fabric_.peek(Requester::hart(hart), events_.now(), addr, data, len);
}

FabricError Cores::poke(HartId hart, std::uint64_t addr, const void* data, std::uint64_t len) {
    prepare_for_writes();
    return fabric_.poke(Requester::hart(hart), events_.now(), addr, data, len);
}

void Cores::prepare_for_writes() {
    for (const auto& pe : pes_) {
        pe->settle();
    }
    code_.invalidate();
}

void Cores::guard_changed(const MemoryWord& word) {
    const bool local = word.memory == TALUS_ECC_LOCAL;
    if (!local && word.memory != TALUS_ECC_CONTROL_SRAM) {
        return; // cores go through the fabric
    }
    Ecc& ecc = fabric_.ecc();
    const bool damaged = local ? ecc.damaged(pes_[word.pe]->local_memory(), TALUS_LOCAL_SIZE)
                               : ecc.damaged(fabric_.control_sram(), TALUS_CONTROL_SRAM_SIZE);
    const HartId first = local ? TALUS_HART_OF(word.pe, 0) : 0;
    const HartId count = local ? TALUS_CORES_PER_PE : TALUS_CONTROL_HARTS;
    for (HartId hart = first; hart < first + count; ++hart) {
        harts_[hart]->set_guard(damaged ? &ecc : nullptr);
    }
}

void Cores::on_trap(HartId hart, const TrapInfo& info) {
    if (observer_ != nullptr) {
        observer_->on_trap(hart, info);
    }
    const bool interrupt = (info.cause & cause::kInterrupt) != 0;
    const bool call = info.cause == cause::kEcallFromU || info.cause == cause::kEcallFromM;
    if (((interrupt || call) && !info.unhandled) || trap_reports_ >= kMaxTrapReports) {
        return;
    }
    ++trap_reports_;
    diagnostics_.guest("{}: {} (cause {}) at pc {}, tval {:#x}, clock {}{}{}", name(hart),
                       interrupt ? "interrupt" : cause_text(info.cause),
                       info.cause & ~cause::kInterrupt, diagnostics_.pc(info.pc), info.tval,
                       info.now, info.unhandled ? "; mtvec is 0, the hart halts" : "",
                       trap_reports_ == kMaxTrapReports ? "; further traps are not logged" : "");
}

// --- interrupts, holds
// -----------------------------------------------------------------------------

void Cores::wake(HartId hart, Cycle when) {
    runners_[hart]->wake(when);
}

void Cores::set_interrupt(HartId hart, unsigned bit, bool level, Cycle when) {
    runners_[hart]->set_interrupt(bit, level, when);
}

void Cores::trace(TraceSink& sink) {
    const TraceTrack control = sink.add_track("control cores", kTraceRoot);
    for (HartId hart = 0; hart < TALUS_CONTROL_HARTS; ++hart) {
        runners_[hart]->trace(sink, sink.add_track(name(hart), control));
    }
    const TraceTrack all = sink.add_track("PEs", kTraceRoot);
    for (std::uint32_t pe = 0; pe < config_.pe_count(); ++pe) {
        const TraceTrack parent = sink.add_track(
            fmt::format("PE {}.{}", pe / config_.grid.cols, pe % config_.grid.cols), all);
        pes_[pe]->trace(sink, parent);
        for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
            runners_[TALUS_HART_OF(pe, core)]->trace(
                sink, sink.add_track(core == TALUS_CORE_A ? "core A" : "core B", parent));
        }
    }
}

CoreActivity Cores::blocked_on(HartId hart) const {
    return is_control(hart) ? CoreActivity::kWaitOther : pes_[pe_of(hart)]->wait_of(core_of(hart));
}

void Cores::hold_pe(std::uint32_t pe, Cycle now) {
    for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
        runners_[TALUS_HART_OF(pe, core)]->hold();
        caches_.reset(TALUS_HART_OF(pe, core));
        forget(TALUS_HART_OF(pe, core));
    }
    pes_[pe]->hold(now);
}

void Cores::release_pe(std::uint32_t pe, Cycle now, std::uint64_t vector) {
    const Cycle start = pes_[pe]->release(now);
    for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
        const HartId hart = TALUS_HART_OF(pe, core);
        retired_before_[hart] = retired(hart); // the reset clears the hart's own count
        runners_[TALUS_HART_OF(pe, core)]->release(start, vector);
    }
}

void Cores::launch(std::uint32_t pe, Cycle arrival, std::uint64_t descriptor) {
    pes_[pe]->launch(arrival, descriptor);
}

std::vector<std::string> Cores::describe_waits(std::uint32_t pe) const {
    std::vector<std::string> lines = pes_[pe]->describe_waits();
    std::vector<std::string> cores;
    bool idle = lines.empty();
    for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
        const HartId hart = TALUS_HART_OF(pe, core);
        const StopReason state = harts_[hart]->state();
        idle = idle && !runners_[hart]->held() && state == StopReason::kWfi;
        cores.push_back(runners_[hart]->held()
                            ? fmt::format("{} is held in reset", name(hart))
                            : fmt::format("{} {} at {}", name(hart), state_text(state),
                                          diagnostics_.pc(harts_[hart]->pc())));
    }
    if (idle) {
        return {}; // waits for work, like any PE that has finished
    }
    lines.insert(lines.begin(), cores.begin(), cores.end());
    return lines;
}

} // namespace talus::sim
