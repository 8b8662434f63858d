// Trap entry, interrupts and physical memory protection.
#include <bit>

#include "core.hpp"

namespace talus::sim {

void Core::set_mode(Privilege to) {
    if (to == mode)
        return;
    mode = to;
    // PMP may judge the other mode differently.
    drop_fetch_state();
    drop_data_windows();
}

void Core::enter_trap(std::uint64_t cause_, std::uint64_t tval) {
    const bool handled = mtvec != 0;
    port.on_trap(config.id, {cause_, pc, tval, now, mode == Privilege::kUser, !handled});
    mepc = pc;
    mcause = cause_;
    mtval = tval;
    mstatus = (mstatus & ~(mstatus::kMpie | mstatus::kMie | mstatus::kMpp)) |
              (mstatus & mstatus::kMie ? mstatus::kMpie : 0) | std::uint64_t(mode) << 11;
    set_mode(Privilege::kMachine);
    drop_data_windows(); // MPRV may now mean another mode
    if (!handled) {
        state = StopReason::kHalted;
        return;
    }
    const std::uint64_t base = mtvec & ~std::uint64_t{3};
    const bool vectored = (mtvec & 3) == 1 && (cause_ & cause::kInterrupt);
    pc = vectored ? base + 4 * (cause_ & ~cause::kInterrupt) : base;
    now += 1 + timing.trap_penalty;
}

std::uint64_t Core::pending_interrupt() const {
    const std::uint64_t pending = mip & mie;
    if (!pending || (mode == Privilege::kMachine && !(mstatus & mstatus::kMie)))
        return 0;
    if (const std::uint64_t local = pending >> irq::kLocalFirst)
        return irq::kLocalFirst + 64u - static_cast<unsigned>(std::countl_zero(local));
    for (unsigned bit : {irq::kMachineExternal, irq::kMachineSoftware, irq::kMachineTimer}) {
        if (pending >> bit & 1)
            return bit + 1;
    }
    return 0;
}

bool Core::take_interrupt() {
    const std::uint64_t which = pending_interrupt();
    if (which == 0)
        return false;
    enter_trap(cause::kInterrupt | (which - 1), 0);
    return true;
}

bool Core::pmp_allows(std::uint64_t addr, std::uint64_t len, AccessKind kind, Privilege who,
                      std::uint64_t& lo, std::uint64_t& hi) const {
    const std::uint64_t last = addr + len - 1;
    for (unsigned i = 0; i < kPmpEntries; ++i) {
        const std::uint8_t cfg = pmpcfg[i];
        std::uint64_t first = 0, end = 0; // [first, end]
        switch (cfg >> 3 & 3) {
        case 0:
            continue;
        case 1: { // TOR
            first = i == 0 ? 0 : pmpaddr[i - 1] << 2;
            const std::uint64_t top = pmpaddr[i] << 2;
            if (top <= first)
                continue;
            end = top - 1;
            break;
        }
        case 2: // NA4
            first = pmpaddr[i] << 2;
            end = first + 3;
            break;
        default: { // NAPOT
            const unsigned ones = static_cast<unsigned>(std::countr_one(pmpaddr[i]));
            if (ones >= 54) {
                end = ~std::uint64_t{0};
            } else {
                const std::uint64_t size = std::uint64_t{8} << ones;
                first = (pmpaddr[i] << 2) & ~(size - 1);
                end = first + size - 1;
            }
            break;
        }
        }
        if (end < addr) {
            lo = std::max(lo, end + 1);
            continue;
        }
        if (first > last) {
            hi = std::min(hi, first - 1);
            continue;
        }
        if (first > addr || end < last)
            return false; // matches some bytes only
        lo = std::max(lo, first);
        hi = std::min(hi, end);
        if (who == Privilege::kMachine && !(cfg & 0x80))
            return true;
        const unsigned right = kind == AccessKind::kLoad ? 1 : kind == AccessKind::kStore ? 2 : 4;
        return cfg & right;
    }
    return who == Privilege::kMachine;
}

} // namespace talus::sim
