#include "fabric.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "talus/hw/interrupts.h"

#include "fabric_state.hpp"

namespace talus::sim {

namespace {

constexpr std::uint64_t kCodePage = 4096;

BandwidthCalendar rate(std::uint64_t bytes_per_clock) {
    return {bytes_per_clock, 1};
}

} // namespace

Requester Requester::hart(HartId id) {
    return {id < TALUS_CONTROL_HARTS ? Kind::kControlHart : Kind::kPeCore, id};
}

std::uint32_t Requester::pe() const {
    return kind == Kind::kPeUnit ? index : (index - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE;
}

std::uint64_t trap_cause(FabricError error, AccessKind kind) {
    if (error == FabricError::kSubgrid) {
        return TALUS_TRAP_SUBGRID;
    }
    if (error == FabricError::kDamaged) {
        return TALUS_CAUSE_HARDWARE_ERROR;
    }
    const bool misaligned = error == FabricError::kMisaligned;
    switch (kind) {
    case AccessKind::kFetch:
        return TALUS_CAUSE_FETCH_ACCESS;
    case AccessKind::kLoad:
        return misaligned ? TALUS_CAUSE_LOAD_MISALIGNED : TALUS_CAUSE_LOAD_ACCESS;
    case AccessKind::kStore:
        return misaligned ? TALUS_CAUSE_STORE_MISALIGNED : TALUS_CAUSE_STORE_ACCESS;
    }
    return TALUS_CAUSE_LOAD_ACCESS;
}

Fabric::State::State(const Config& config_in, EventQueue& events_in, int staging_fd)
    : config(config_in), events(events_in), rom(TALUS_ROM_SIZE, "boot ROM"),
      control_sram(TALUS_CONTROL_SRAM_SIZE, "control SRAM"),
      lls(config.sram.scratch_bytes, "shared SRAM"),
      staging(staging_fd < 0 ? HostMemory(TALUS_STAGING_SIZE, "staging RAM")
                             : HostMemory(TALUS_STAGING_SIZE, "staging RAM", staging_fd)),
      dram(config.dram.bytes, "off-chip memory"),
      control_ports{rate(config.noc.engine_port_bytes_per_clock),
                    rate(config.noc.engine_port_bytes_per_clock)},
      sources(config), held(sources.count()), crossbars(config),
      control_sram_port(rate(config.memory.control_sram_bytes_per_clock)),
      staging_port(rate(config.memory.staging_bytes_per_clock)),
      dram_controllers(config, events, *this), llc(config.sram, config.dram.bytes),
      ecc(config, llc) {
    const std::uint32_t count = config.pe_count();
    pes.assign(count, nullptr);
    const BandwidthCalendar port = rate(config.noc.pe_port_bytes_per_clock);
    pe_ports.assign(count, PePorts{port, port});
    counters.dram_channel_bytes.resize(config.dram.channels);
    slices.assign(config.sram.slices, rate(config.sram.slice_bytes_per_clock));
    reservations.assign(TALUS_HART_OF(count, 0), nullptr);
}

Target Fabric::State::in_pe_window(std::uint32_t pe, std::uint64_t offset) const {
    Target target;
    if (pe >= pes.size() || pes[pe] == nullptr) {
        return target;
    }
    target.pe = pe;
    if (offset < TALUS_LOCAL_SIZE) {
        target.error = FabricError::kNone;
        target.kind = TargetKind::kLocal;
        target.offset = offset;
        target.left = TALUS_LOCAL_SIZE - offset;
        target.host = pes[pe]->local_memory() + offset;
    } else if (offset >= TALUS_PE_WINDOW_REGS &&
               offset < TALUS_PE_WINDOW_REGS + TALUS_PE_REGS_SIZE) {
        target.error = FabricError::kNone;
        target.kind = TargetKind::kRegisters;
        target.offset = offset - TALUS_PE_WINDOW_REGS;
        target.left = TALUS_PE_REGS_SIZE - target.offset;
    }
    return target;
}

Target Fabric::State::locate(const Requester& who, std::uint64_t addr) const {
    Target target;
    const auto memory = [&](TargetKind kind, std::uint64_t base, const HostMemory& host) {
        target.error = FabricError::kNone;
        target.kind = kind;
        target.offset = addr - base;
        target.left = host.size() - target.offset;
        target.host = host.data() + target.offset;
        return target;
    };
    const auto within = [&](std::uint64_t base, std::uint64_t size) {
        return addr >= base && addr - base < size;
    };

    if (within(TALUS_LLS_BASE, lls.size())) {
        return memory(TargetKind::kLls, TALUS_LLS_BASE, lls);
    }
    if (within(TALUS_DRAM_BASE, dram.size())) {
        return memory(TargetKind::kDram, TALUS_DRAM_BASE, dram);
    }
    if (within(TALUS_CONTROL_SRAM_BASE, control_sram.size())) {
        return memory(TargetKind::kControlSram, TALUS_CONTROL_SRAM_BASE, control_sram);
    }
    if (within(TALUS_STAGING_BASE, staging.size())) {
        return memory(TargetKind::kStaging, TALUS_STAGING_BASE, staging);
    }
    if (within(TALUS_LOCAL_BASE, TALUS_LOCAL_SIZE) ||
        within(TALUS_PE_REGS_BASE, TALUS_PE_REGS_SIZE)) {
        // The aliases are decoded in the cores; nothing of them reaches the NoC.
        if (who.kind != Requester::Kind::kPeCore) {
            target.error = who.in_pe() ? FabricError::kForbidden : FabricError::kUnmapped;
            return target;
        }
        const bool local = within(TALUS_LOCAL_BASE, TALUS_LOCAL_SIZE);
        target = in_pe_window(who.pe(), local ? addr - TALUS_LOCAL_BASE
                                              : addr - TALUS_PE_REGS_BASE + TALUS_PE_WINDOW_REGS);
        target.kind = local ? TargetKind::kOwnLocal : TargetKind::kOwnRegisters;
        return target;
    }
    if (within(TALUS_SUBGRID_BASE, TALUS_SUBGRID_SIZE)) {
        if (!who.in_pe() || pes[who.pe()] == nullptr) {
            return target;
        }
        const std::uint32_t rect = pes[who.pe()]->subgrid_rect();
        const std::uint64_t window = (addr - TALUS_SUBGRID_BASE) / TALUS_PE_WINDOW_STRIDE;
        const std::uint64_t row = window / TALUS_MAX_COLS;
        const std::uint64_t col = window % TALUS_MAX_COLS;
        if (row >= (rect >> 16 & 0xff) || col >= rect >> 24) {
            target.error = FabricError::kSubgrid;
            return target;
        }
        const std::uint64_t pe =
            ((rect & 0xff) + row) * config.grid.cols + (rect >> 8 & 0xff) + col;
        return in_pe_window(static_cast<std::uint32_t>(pe),
                            (addr - TALUS_SUBGRID_BASE) % TALUS_PE_WINDOW_STRIDE);
    }
    if (within(TALUS_PE_WINDOW_BASE, TALUS_PE_WINDOW_SIZE)) {
        if (who.in_pe()) {
            target.error = FabricError::kForbidden;
            return target;
        }
        const std::uint64_t offset = addr - TALUS_PE_WINDOW_BASE;
        return in_pe_window(static_cast<std::uint32_t>(offset / TALUS_PE_WINDOW_STRIDE),
                            offset % TALUS_PE_WINDOW_STRIDE);
    }
    if (within(TALUS_ROM_BASE, rom.size())) {
        if (who.kind != Requester::Kind::kControlHart) {
            target.error = FabricError::kForbidden;
            return target;
        }
        return memory(TargetKind::kRom, TALUS_ROM_BASE, rom);
    }
    for (const MmioRange& range : mmio) {
        if (within(range.base, range.size)) {
            target.error = FabricError::kNone;
            target.kind = TargetKind::kMmio;
            target.offset = addr - range.base;
            target.left = range.size - target.offset;
            target.handler = range.handler;
            return target;
        }
    }
    return target;
}

void Fabric::State::break_reservations(const std::uint8_t* host, std::uint64_t len) {
    if (reserved == 0) {
        return;
    }
    for (const std::uint8_t*& line : reservations) {
        if (line != nullptr && line < host + len && host < line + 64) {
            line = nullptr;
            --reserved;
        }
    }
}

Fabric::Fabric(const Config& config, EventQueue& events, int staging_fd)
    : config_(config), isolation_(config.pe_count()), broadcasts_(config.grid.cols),
      state_(std::make_unique<State>(config_, events, staging_fd)) {}

Fabric::~Fabric() = default;

void Fabric::attach_pe(std::uint32_t pe, PePort& port) {
    state_->pes.at(pe) = &port;
}

void Fabric::add_mmio(std::uint64_t base, std::uint64_t size, MmioHandler& handler) {
    state_->mmio.push_back({base, size, &handler});
}

void Fabric::mark_code(std::uint64_t addr) {
    state_->code_pages.insert(addr / kCodePage);
}

std::uint8_t* Fabric::rom() {
    return state_->rom.data();
}
std::uint8_t* Fabric::control_sram() {
    return state_->control_sram.data();
}
std::uint8_t* Fabric::lls() {
    return state_->lls.data();
}
std::uint8_t* Fabric::staging() {
    return state_->staging.data();
}
std::uint8_t* Fabric::dram() {
    return state_->dram.data();
}

PePort* Fabric::pe(std::uint32_t index) const {
    return index < state_->pes.size() ? state_->pes[index] : nullptr;
}

void Fabric::scrub(std::uint64_t addr, std::uint64_t len) {
    if (len == 0) {
        return;
    }
    const Requester who = Requester::engine(0);
    const Target target = state_->locate(who, addr);
    const bool known = target.ok() && target.left >= len &&
                       (target.kind == TargetKind::kLls || target.kind == TargetKind::kDram);
    if (!known) {
        throw std::invalid_argument("scrub: not a range of LLS or DRAM");
    }
    (target.kind == TargetKind::kLls ? state_->lls : state_->dram).discard(target.offset, len);
    if (state_->ecc.any()) {
        state_->ecc.forget(target.host, len);
    }
    if (target.kind == TargetKind::kDram) {
        state_->llc.forget(target.offset, len);
    }
    if (caches_ != nullptr) {
        caches_->forget(addr, len);
    }
    written(who, addr, len);
}

void Fabric::reset() {
    State& s = *state_;
    s.control_sram.discard(0, s.control_sram.size());
    s.lls.discard(0, s.lls.size());
    s.dram.discard(0, s.dram.size());
    for (State::PePorts& ports : s.pe_ports) {
        ports.in.reset();
        ports.out.reset();
    }
    s.control_ports.in.reset();
    s.control_ports.out.reset();
    s.sources.reset();
    s.held.assign(s.sources.count(), {});
    s.ready.clear();
    s.crossbars.reset();
    for (BandwidthCalendar& slice : s.slices) {
        slice.reset();
    }
    s.control_sram_port.reset();
    s.staging_port.reset();
    s.dram_controllers.reset();
    s.ecc.reset();
    s.llc.reset();
    s.transfers.clear();
    s.free_transfers.clear();
    s.packets.clear();
    s.free_packets.clear();
    std::fill(s.reservations.begin(), s.reservations.end(), nullptr);
    s.reserved = 0;
    s.code_pages.clear();
    isolation_.reset();
    s.counters = {};
    s.counters.dram_channel_bytes.resize(config_.dram.channels);
}

void Fabric::rebase(Cycle now) {
    State& s = *state_;
    for (State::PePorts& ports : s.pe_ports) {
        ports.in.restart(now);
        ports.out.restart(now);
    }
    s.control_ports.in.restart(now);
    s.control_ports.out.restart(now);
    s.sources.rebase();
    s.crossbars.rebase(now);
    for (BandwidthCalendar& slice : s.slices) {
        slice.restart(now);
    }
    s.control_sram_port.restart(now);
    s.staging_port.restart(now);
    s.dram_controllers.rebase(now);
    for (PePort* pe : s.pes) {
        if (pe != nullptr) {
            pe->rebase(now);
        }
    }
}

void Fabric::checkpoint(Checkpoint& state) {
    State& s = *state_;
    std::fill(s.reservations.begin(), s.reservations.end(), nullptr);
    s.reserved = 0;
    state.section("memories");
    state(s.control_sram, s.lls, s.staging, s.dram);
    state.section("fabric");
    state(s.code_pages, s.counters, s.sources, s.crossbars, s.dram_controllers, s.llc, isolation_);
    s.ecc.checkpoint(state, [this](const MemoryWord& word) { return bytes_of(word); });
}

Ecc& Fabric::ecc() {
    return state_->ecc;
}

LastLevelCache& Fabric::llc() {
    return state_->llc;
}

std::uint8_t* Fabric::bytes_of(const MemoryWord& word) const {
    State& s = *state_;
    switch (word.memory) {
    case TALUS_ECC_LOCAL:
        return s.pes.at(word.pe)->local_memory() + word.offset;
    case TALUS_ECC_CONTROL_SRAM:
        return s.control_sram.data() + word.offset;
    case TALUS_ECC_SHARED_SRAM:
        return (word.in_llc ? s.dram : s.lls).data() + word.offset;
    default:
        return s.dram.data() + word.offset;
    }
}

bool Fabric::flip(const MemoryWord& word, std::uint64_t bits, std::uint64_t ticket) {
    State& s = *state_;
    if (word.in_llc && !s.llc.holds(word.offset)) {
        return false;
    }
    std::uint8_t* const bytes = bytes_of(word);
    if (s.ecc.covers(word.memory)) {
        s.ecc.damage(word, bytes, bits, ticket);
        return true;
    }
    std::uint64_t value = 0;
    std::memcpy(&value, bytes, sizeof value);
    value ^= bits;
    std::memcpy(bytes, &value, sizeof value);
    return true;
}

FabricError Fabric::admit(const Requester& who, const Target& target, std::uint64_t addr,
                          std::uint64_t len, bool write) const {
    if (!target.ok()) {
        return target.error;
    }
    if (target.left < len) {
        return FabricError::kUnmapped;
    }
    if (write && target.kind == TargetKind::kRom) {
        return FabricError::kForbidden;
    }
    const unsigned domain = who.in_pe() ? isolation_.domain_of(who.pe()) : 0;
    if (domain == 0) {
        return FabricError::kNone;
    }
    bool allowed = true;
    switch (target.kind) {
    case TargetKind::kLls:
    case TargetKind::kDram:
        allowed = isolation_.device_windows().allows(domain, addr, len, write);
        break;
    case TargetKind::kControlSram:
        allowed = isolation_.allows_control_sram(domain, target.offset, len);
        break;
    case TargetKind::kStaging:
        allowed = false;
        break;
    default:
        break; // of the PE's own sub-grid, or its handler decides
    }
    return allowed ? FabricError::kNone : FabricError::kForbidden;
}

FabricResult Fabric::read(const Requester& who, Cycle now, std::uint64_t addr, void* data,
                          unsigned len, const Notify& notify, bool answered) {
    const Target target = state_->locate(who, addr);
    if (const FabricError error = admit(who, target, addr, len, false);
        error != FabricError::kNone) {
        return {error, now};
    }
    if (target.memory()) {
        const Cycle done =
            answered ? now : state_->single(who, now, now, target, len, false, notify);
        if (done != kNever && state_->ecc.any() && !state_->ecc.read(target.host, len)) {
            return {FabricError::kDamaged, now};
        }
        std::memcpy(data, target.host, len);
        return {FabricError::kNone, done};
    }
    if (len > 8) {
        return {FabricError::kForbidden, now};
    }
    if ((addr & (len - 1)) != 0) {
        return {FabricError::kMisaligned, now};
    }
    std::uint64_t value = 0;
    if (target.kind == TargetKind::kMmio) {
        if (!target.handler->mmio_read(who, now, addr, len, value)) {
            return {FabricError::kForbidden, now};
        }
    } else {
        value = state_->pes[target.pe]->read_register(
            now, static_cast<std::uint32_t>(target.offset), len);
    }
    std::memcpy(data, &value, len);
    if (answered) {
        return {FabricError::kNone, now};
    }
    return {FabricError::kNone, state_->single(who, now, now, target, len, false, notify)};
}

FabricResult Fabric::write(const Requester& who, Cycle now, std::uint64_t addr, const void* data,
                           unsigned len, const Notify& notify) {
    const Target target = state_->locate(who, addr);
    if (const FabricError error = admit(who, target, addr, len, true);
        error != FabricError::kNone) {
        return {error, now};
    }
    if (target.memory()) {
        if (state_->ecc.any() && !state_->ecc.write(target.host, len)) {
            return {FabricError::kDamaged, now};
        }
        std::memcpy(target.host, data, len);
        written(who, addr, len);
    } else {
        if (len > 8) {
            return {FabricError::kForbidden, now};
        }
        if ((addr & (len - 1)) != 0) {
            return {FabricError::kMisaligned, now};
        }
        std::uint64_t value = 0;
        std::memcpy(&value, data, len);
        if (target.kind == TargetKind::kMmio) {
            if (!target.handler->mmio_write(who, now, addr, len, value)) {
                return {FabricError::kForbidden, now};
            }
        } else {
            state_->pes[target.pe]->write_register(now, static_cast<std::uint32_t>(target.offset),
                                                   len, value);
        }
    }
    return {FabricError::kNone, state_->single(who, now, now, target, len, true, notify)};
}

FabricResult Fabric::amo(const Requester& who, Cycle now, const AmoRequest& request,
                         std::uint64_t& old_value, const Notify& notify, bool answered) {
    State& s = *state_;
    const Target target = s.locate(who, request.addr);
    if (!target.ok()) {
        return {target.error, now};
    }
    const bool hart =
        who.kind == Requester::Kind::kControlHart || who.kind == Requester::Kind::kPeCore;
    const bool writes = request.op != AmoOp::kLr;
    if (!hart || !target.memory() ||
        admit(who, target, request.addr, request.len, writes) != FabricError::kNone) {
        return {FabricError::kForbidden, now};
    }
    if ((request.addr & (request.len - 1)) != 0) {
        return {FabricError::kMisaligned, now};
    }
    const Cycle done = answered ? now
                                : s.single(who, now, now, target, request.len, false, notify,
                                           config_.memory.amo_clocks);
    if (done == kNever) {
        return {FabricError::kNone, kNever};
    }
    if (s.ecc.any() && !s.ecc.read(target.host, request.len)) {
        return {FabricError::kDamaged, now};
    }

    const std::uint8_t* line = target.host - (request.addr & 63);
    const std::uint8_t*& reservation = s.reservations.at(who.index);
    std::uint64_t old = 0;
    std::memcpy(&old, target.host, request.len);
    std::uint64_t stored = 0;
    bool store = false;
    switch (request.op) {
    case AmoOp::kLr:
        s.reserved += reservation == nullptr ? 1 : 0;
        reservation = line;
        old_value = old;
        break;
    case AmoOp::kSc:
        store = reservation == line;
        stored = request.operand;
        old_value = store ? 0 : 1;
        s.reserved -= reservation != nullptr ? 1 : 0;
        reservation = nullptr;
        break;
    default:
        store = true;
        stored = amo_result(request.op, request.len, old, request.operand);
        old_value = old;
        break;
    }
    if (store) {
        std::memcpy(target.host, &stored, request.len);
        written(who, request.addr, request.len);
    }
    ++s.counters.amos;
    return {FabricError::kNone, done};
}

MemorySpan Fabric::span(const Requester& who, std::uint64_t addr, std::uint64_t len, bool write) {
    const Target target = state_->locate(who, addr);
    if (const FabricError error = admit(who, target, addr, len, write);
        error != FabricError::kNone) {
        return {error, nullptr};
    }
    if (!target.memory()) {
        return {FabricError::kForbidden, nullptr};
    }
    return {FabricError::kNone, target.host};
}

void Fabric::written(const Requester& who, std::uint64_t addr, std::uint64_t len) {
    State& s = *state_;
    if (len == 0) {
        return;
    }
    if (caches_ != nullptr) {
        caches_->written(who.hart_id(), addr, len);
    }
    if (s.reserved != 0) {
        const Target target = s.locate(who, addr);
        if (target.memory()) {
            s.break_reservations(target.host, len);
        }
    }
    if (s.code_pages.empty() || code_listener_ == nullptr) {
        return;
    }
    const std::uint64_t first = addr / kCodePage;
    const std::uint64_t last = (addr + len - 1) / kCodePage;
    if (last - first < s.code_pages.size()) {
        for (std::uint64_t page = first; page <= last; ++page) {
            if (s.code_pages.count(page) != 0) {
                code_listener_->on_code_written(addr, len);
                return;
            }
        }
    } else {
        // Which page is found first does not matter: the listener hears of the range once.
        for (const std::uint64_t page : s.code_pages) {
            if (page >= first && page <= last) {
                code_listener_->on_code_written(addr, len);
                return;
            }
        }
    }
}

namespace {

/// The widest natural register access at addr within `left` bytes.
unsigned register_width(std::uint64_t addr, std::uint64_t left) {
    return addr % 8 == 0 && left >= 8 ? 8 : 4;
}

} // namespace

FabricError Fabric::peek(const Requester& who, Cycle now, std::uint64_t addr, void* data,
                         std::uint64_t len) {
    auto* to = static_cast<std::uint8_t*>(data);
    while (len > 0) {
        const Target target = state_->locate(who, addr);
        if (!target.ok()) {
            return target.error;
        }
        std::uint64_t bytes = std::min(len, target.left);
        if (target.memory()) {
            std::memcpy(to, target.host, bytes);
        } else {
            // Bytes of a register come from the word around them.
            const std::uint64_t word = addr & ~std::uint64_t{3};
            const unsigned width = word == addr ? register_width(addr, len) : 4;
            std::uint64_t value = 0;
            if (target.kind == TargetKind::kMmio) {
                if (!target.handler->mmio_read(who, now, word, width, value)) {
                    return FabricError::kForbidden;
                }
            } else {
                value = state_->pes[target.pe]->read_register(
                    now, static_cast<std::uint32_t>(target.offset & ~std::uint64_t{3}), width);
            }
            value >>= 8 * (addr - word);
            bytes = std::min(bytes, width - (addr - word));
            std::memcpy(to, &value, bytes);
        }
        to += bytes;
        addr += bytes;
        len -= bytes;
    }
    return FabricError::kNone;
}

FabricError Fabric::poke(const Requester& who, Cycle now, std::uint64_t addr, const void* data,
                         std::uint64_t len) {
    const auto* from = static_cast<const std::uint8_t*>(data);
    while (len > 0) {
        const Target target = state_->locate(who, addr);
        if (!target.ok()) {
            return target.error;
        }
        if (target.kind == TargetKind::kRom) {
            return FabricError::kForbidden;
        }
        std::uint64_t bytes = std::min(len, target.left);
        if (target.memory()) {
            std::memcpy(target.host, from, bytes);
            state_->break_reservations(target.host, bytes);
            if (state_->ecc.any()) {
                state_->ecc.overwritten(target.host, bytes);
            }
        } else {
            const unsigned width = register_width(addr, len);
            if (addr % 4 != 0 || len < width) {
                return FabricError::kMisaligned;
            }
            std::uint64_t value = 0;
            std::memcpy(&value, from, width);
            if (target.kind == TargetKind::kMmio) {
                if (!target.handler->mmio_write(who, now, addr, width, value)) {
                    return FabricError::kForbidden;
                }
            } else {
                state_->pes[target.pe]->write_register(
                    now, static_cast<std::uint32_t>(target.offset), width, value);
            }
            bytes = width;
        }
        from += bytes;
        addr += bytes;
        len -= bytes;
    }
    return FabricError::kNone;
}

Cycle Fabric::packet(const Requester& who, Cycle now, Cycle at, std::uint64_t addr,
                     std::uint64_t len, bool write, const Notify& notify) {
    return state_->single(who, now, at, state_->locate(who, addr), len, write, notify);
}

Cycle Fabric::broadcast_packet(const std::shared_ptr<BroadcastTransfer>& transfer,
                               std::size_t number, const Requester& who, Cycle now, Cycle at,
                               std::uint64_t addr, std::uint64_t len, const Notify& notify) {
    State& s = *state_;
    const Target target = s.locate(who, addr);
    const std::uint32_t source = s.source_of(who, false);
    if (s.sources[source].must_hold()) {
        s.hold(source,
               {who, at, target, len, false, s.open_transfer(notify, now, 0), transfer, number});
        return kNever;
    }
    std::uint32_t waits = 0;
    const Cycle leaves = s.sources[source].enter(at, s.on_wire(len));
    const Cycle done = s.send_member(transfer, number, who, now, leaves, target, len, waits);
    if (done == kNever) {
        const std::uint32_t slot = s.open_transfer(notify, now, 0);
        s.packets[waits].transfer = slot;
        ++s.transfers[slot].open;
    }
    return done;
}

Cycle Fabric::prefetch(const Requester& who, Cycle now, Cycle at, std::uint64_t addr,
                       std::uint64_t len) {
    State& s = *state_;
    const Target target = s.locate(who, addr);
    if (target.kind != TargetKind::kDram ||
        admit(who, target, addr, len, false) != FabricError::kNone) {
        return at;
    }
    const Cycle there = at + s.way(who, target).clocks;
    if (s.llc.enabled() && config_.sram.llc_prefetch) {
        const auto answer = s.llc.access({target.offset, len}, LastLevelCache::Use::kPrefetch);
        s.write_back(now, there, answer.write_backs);
        if (answer.fetch.bytes != 0) {
            s.ask_dram(there + config_.sram.llc_tag_clocks, answer.fetch.offset, answer.fetch.bytes,
                       false, kFillTag | answer.fetch_for);
        }
    }
    return there;
}

Cycle Fabric::discard(const Requester& who, Cycle at, std::uint64_t addr, std::uint64_t len) {
    State& s = *state_;
    const Target target = s.locate(who, addr);
    if (target.kind != TargetKind::kDram ||
        admit(who, target, addr, len, true) != FabricError::kNone) {
        return at;
    }
    if (s.llc.enabled() && config_.sram.llc_discard) {
        s.llc.discard(target.offset, len);
    }
    return at + s.way(who, target).clocks;
}

void Fabric::expect(std::uint64_t addr) const {
    if (addr - TALUS_DRAM_BASE < state_->dram.size() && state_->llc.enabled()) {
        state_->llc.expect(addr - TALUS_DRAM_BASE);
    }
}

std::uint64_t Fabric::packet_bytes() const {
    return std::min({config_.noc.packet_bytes, config_.sram.slice_interleave_bytes,
                     config_.dram.channel_interleave_bytes});
}

void Fabric::transfer(const Requester& who, Cycle now, std::uint64_t addr, std::uint64_t len,
                      bool write, const Notify& notify, Cycle earliest, Cycle after) {
    State& s = *state_;
    const std::uint64_t block = packet_bytes();
    const std::uint64_t port_rate =
        who.in_pe() ? config_.noc.pe_port_bytes_per_clock : config_.noc.engine_port_bytes_per_clock;
    const std::uint32_t transfer = s.open_transfer(notify, std::max(now, earliest), after);
    std::uint64_t sent = 0;
    while (sent < len) {
        const std::uint64_t begin = addr + sent;
        const std::uint64_t bytes = std::min(len - sent, block - begin % block);
        const Cycle at = now + sent / port_rate;
        const Cycle done = s.packet(who, now, at, s.locate(who, begin), bytes, write, transfer);
        if (done != kNever) {
            Cycle& last = s.transfers[transfer].done;
            last = std::max(last, done);
        }
        sent += bytes;
    }
    if (s.transfers[transfer].open == 0) {
        s.events.schedule(s.transfers[transfer].done + after, notify.unit, notify.kind, notify.a,
                          notify.b);
        s.free_transfers.push_back(transfer);
    }
}

Cycle Fabric::pe_to_pe_latency(std::uint32_t from, std::uint32_t to) const {
    return state_->pe_to_pe(from, to);
}

Cycle Fabric::pe_latency(std::uint32_t pe) const {
    return state_->pe_to_control(pe);
}

const Crossbars& Fabric::crossbars() const {
    return state_->crossbars;
}

const Sources& Fabric::sources() const {
    return state_->sources;
}

const LlcCounters& Fabric::cache_counters() const {
    return state_->llc.counters();
}

const FabricCounters& Fabric::counters() const {
    const DramCounters dram = state_->dram_controllers.counters();
    state_->counters.dram_row_hits = dram.reads + dram.writes - dram.activates;
    state_->counters.dram_row_misses = dram.activates;
    return state_->counters;
}

} // namespace talus::sim
