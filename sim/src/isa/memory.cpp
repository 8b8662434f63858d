// Scalar loads and stores, and the slow paths behind the data windows.
#include "commit_recorder.hpp"
#include "core.hpp"

namespace talus::sim {

const DirectRegion* Core::find_region(std::uint64_t addr) const {
    for (const DirectRegion& region : config.regions) {
        if (addr - region.base < region.size)
            return &region;
    }
    return nullptr;
}

namespace {

/// The part of `region` with uniform PMP rights around an access just allowed on [lo, hi].
DataWindow window_of(const DirectRegion& region, std::uint64_t lo, std::uint64_t hi) {
    const std::uint64_t base = std::max(region.base, lo);
    const std::uint64_t last = std::min(region.base + region.size - 1, hi);
    DataWindow window;
    window.base = base;
    window.span = last - base >= 7 ? last - base - 6 : 0;
    window.host = region.host + (base - region.base);
    window.latency = region.load_latency;
    return window;
}

/// Tells the debugger and the recorder of the access, and whether a data window may follow from it;
/// [lo, hi] shrinks to what is not watched.
bool may_open_window(Core& c, std::uint64_t addr, const void* data, unsigned len, AccessKind kind,
                     std::uint64_t& lo, std::uint64_t& hi) {
    if (c.commit) [[unlikely]]
        c.commit->access(addr, data, len, kind);
    if (!c.debug) [[likely]]
        return !c.commit;
    c.debug_access(addr, len, kind);
    return c.debug->points->exclude_watchpoints(addr, lo, hi) && !c.commit;
}

} // namespace

bool Core::pass_guard(const DirectRegion& region, std::uint64_t addr, std::uint64_t len,
                      AccessKind kind, std::uint64_t& lo, std::uint64_t& hi) {
    const std::uint8_t* const at = region.host + (addr - region.base);
    if (guard->damaged(at, len)) {
        if (!sync_point())
            return false;
        if (!(kind == AccessKind::kStore ? guard->write(at, len) : guard->read(at, len))) {
            raise(cause::kHardwareError, addr);
            return false;
        }
        if (!guard)
            return true;
    }
    const std::uint8_t* begin = region.host;
    const std::uint8_t* end = region.host + region.size;
    guard->undamaged(at, begin, end);
    lo = std::max(lo, region.base + static_cast<std::uint64_t>(begin - region.host));
    hi = std::min(hi, region.base + static_cast<std::uint64_t>(end - region.host) - 1);
    return true;
}

bool Core::load_slow(std::uint64_t addr, void* data, unsigned len, Cycle& ready_at) {
    std::uint64_t lo = 0, hi = ~std::uint64_t{0};
    if (pmp_binds(data_mode()) && !pmp_allows(addr, len, AccessKind::kLoad, data_mode(), lo, hi)) {
        raise(cause::kLoadAccess, addr);
        return false;
    }
    const DirectRegion* region = find_region(addr);
    if (region && region->size - (addr - region->base) >= len) {
        if (!region->readable) {
            raise(cause::kLoadAccess, addr);
            return false;
        }
        if (guard && !pass_guard(*region, addr, len, AccessKind::kLoad, lo, hi)) [[unlikely]]
            return false;
        std::memcpy(data, region->host + (addr - region->base), len);
        if (may_open_window(*this, addr, data, len, AccessKind::kLoad, lo, hi))
            read_window = window_of(*region, lo, hi);
        ready_at = now + region->load_latency;
        if (addr & (len - 1))
            now += timing.misaligned_penalty;
        return true;
    }
    if (!sync_point())
        return false;
    const OpResult result = port.load(config.id, now, addr, data, len);
    if (!accept(result))
        return false;
    if (commit) [[unlikely]]
        commit->access(addr, data, len, AccessKind::kLoad);
    if (debug) [[unlikely]]
        debug_access(addr, len, AccessKind::kLoad);
    ready_at = std::max(now + 1, result.done);
    return true;
}

bool Core::store_slow(std::uint64_t addr, const void* data, unsigned len) {
    std::uint64_t lo = 0, hi = ~std::uint64_t{0};
    if (pmp_binds(data_mode()) && !pmp_allows(addr, len, AccessKind::kStore, data_mode(), lo, hi)) {
        raise(cause::kStoreAccess, addr);
        return false;
    }
    const DirectRegion* region = find_region(addr);
    if (region && region->size - (addr - region->base) >= len) {
        if (!region->writable) {
            raise(cause::kStoreAccess, addr);
            return false;
        }
        if (guard && !pass_guard(*region, addr, len, AccessKind::kStore, lo, hi)) [[unlikely]]
            return false;
        std::memcpy(region->host + (addr - region->base), data, len);
        if (may_open_window(*this, addr, data, len, AccessKind::kStore, lo, hi))
            write_window = window_of(*region, lo, hi);
        if (addr & (len - 1))
            now += timing.misaligned_penalty;
        return true;
    }
    if (!sync_point())
        return false;
    const OpResult result = port.store(config.id, now, addr, data, len);
    if (!accept(result))
        return false;
    if (commit) [[unlikely]]
        commit->access(addr, data, len, AccessKind::kStore);
    if (debug) [[unlikely]]
        debug_access(addr, len, AccessKind::kStore);
    now = std::max(now, result.done - 1); // the dispatch loop adds the instruction's own clock
    return true;
}

namespace {

std::uint64_t address(const Core& c, const Decoded& d) {
    return c.x[d.rs1] + static_cast<std::uint64_t>(static_cast<std::int64_t>(d.imm));
}

template <class T>
void load(Core& c, const Decoded& d) {
    T value;
    Cycle ready;
    if (!c.load(address(c, d), value, ready))
        return;
    c.x[d.rd] = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
    c.result_at(d.rd, ready);
}

template <class T>
void store(Core& c, const Decoded& d) {
    c.store(address(c, d), static_cast<T>(c.x[d.rs2]));
}

template <class T>
void fload(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    T value;
    Cycle ready;
    if (!c.load(address(c, d), value, ready))
        return;
    std::uint64_t boxed = value;
    if constexpr (sizeof(T) < 8)
        boxed |= ~std::uint64_t{0} << (8 * sizeof(T));
    c.f[d.rd] = boxed;
    c.fp_dirty();
    c.result_at(kHazardF + d.rd, ready);
}

template <class T>
void fstore(Core& c, const Decoded& d) {
    if (!c.fp_on)
        return c.illegal(d);
    c.store(address(c, d), static_cast<T>(c.f[d.rs2]));
}

constexpr InsnSpec kInsns[] = {
    {"lb", "------------ ----- 000 ----- 0000011", Format::kI, load<std::int8_t>},
    {"lh", "------------ ----- 001 ----- 0000011", Format::kI, load<std::int16_t>},
    {"lw", "------------ ----- 010 ----- 0000011", Format::kI, load<std::int32_t>},
    {"ld", "------------ ----- 011 ----- 0000011", Format::kI, load<std::int64_t>},
    {"lbu", "------------ ----- 100 ----- 0000011", Format::kI, load<std::uint8_t>},
    {"lhu", "------------ ----- 101 ----- 0000011", Format::kI, load<std::uint16_t>},
    {"lwu", "------------ ----- 110 ----- 0000011", Format::kI, load<std::uint32_t>},
    {"sb", "------- ----- ----- 000 ----- 0100011", Format::kS, store<std::uint8_t>},
    {"sh", "------- ----- ----- 001 ----- 0100011", Format::kS, store<std::uint16_t>},
    {"sw", "------- ----- ----- 010 ----- 0100011", Format::kS, store<std::uint32_t>},
    {"sd", "------- ----- ----- 011 ----- 0100011", Format::kS, store<std::uint64_t>},
    {"flh", "------------ ----- 001 ----- 0000111", Format::kFLoad, fload<std::uint16_t>},
    {"flw", "------------ ----- 010 ----- 0000111", Format::kFLoad, fload<std::uint32_t>},
    {"fld", "------------ ----- 011 ----- 0000111", Format::kFLoad, fload<std::uint64_t>},
    {"fsh", "------- ----- ----- 001 ----- 0100111", Format::kFStore, fstore<std::uint16_t>},
    {"fsw", "------- ----- ----- 010 ----- 0100111", Format::kFStore, fstore<std::uint32_t>},
    {"fsd", "------- ----- ----- 011 ----- 0100111", Format::kFStore, fstore<std::uint64_t>},
};

} // namespace

std::span<const InsnSpec> memory_insns() {
    return kInsns;
}

} // namespace talus::sim
