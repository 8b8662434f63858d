#include "clint.hpp"

#include <algorithm>

#include "talus/hw/registers.h"

#include "../isa/hart.hpp"

namespace talus::sim {

Clint::Clint(EventQueue& queue, InterruptLines& lines, unsigned harts)
    : queue_(queue), lines_(lines), unit_(queue.add_unit(*this, "clint")), msip_(harts, 0),
      compare_(harts, ~std::uint64_t{0}) {}

void Clint::reset() {
    std::fill(msip_.begin(), msip_.end(), std::uint8_t{0});
    std::fill(compare_.begin(), compare_.end(), ~std::uint64_t{0});
    ticks_ = 0;
}

std::uint32_t Clint::read32(Cycle now, std::uint32_t offset) {
    if (is_msip(offset)) {
        return msip_[offset / 4];
    }
    const std::uint64_t slot = offset - CLINT_MTIMECMP;
    if (offset >= CLINT_MTIMECMP && slot / 8 < compare_.size()) {
        return read_half(compare_[slot / 8], (offset & 4) != 0);
    }
    if (offset == CLINT_MTIME || offset == CLINT_MTIME + 4) {
        return read_half(now, (offset & 4) != 0);
    }
    return 0;
}

void Clint::write32(Cycle now, std::uint32_t offset, std::uint32_t value) {
    if (is_msip(offset)) {
        const std::size_t hart = offset / 4;
        msip_[hart] = value & 1;
        lines_.set_interrupt(static_cast<HartId>(hart), irq::kMachineSoftware, (value & 1) != 0,
                             now);
        return;
    }
    const std::uint64_t slot = offset - CLINT_MTIMECMP;
    if (offset >= CLINT_MTIMECMP && slot / 8 < compare_.size()) {
        std::uint64_t compare = compare_[slot / 8];
        write_half(compare, (offset & 4) != 0, value);
        set_compare(now, slot / 8, compare);
    }
}

void Clint::write64(Cycle now, std::uint32_t offset, std::uint64_t value) {
    const std::uint64_t slot = offset - CLINT_MTIMECMP;
    if (offset >= CLINT_MTIMECMP && slot / 8 < compare_.size()) {
        set_compare(now, slot / 8, value);
    } else {
        RegisterBlock::write64(now, offset, value);
    }
}

void Clint::set_compare(Cycle now, std::size_t hart, std::uint64_t value) {
    compare_[hart] = value;
    lines_.set_interrupt(static_cast<HartId>(hart), irq::kMachineTimer, value <= now, now);
    arm(now);
}

void Clint::arm(Cycle now) {
    Cycle next = kNever;
    for (const std::uint64_t compare : compare_) {
        if (compare > now) {
            next = std::min(next, compare);
        }
    }
    queue_.set_background_timer(next, unit_, 0);
}

void Clint::on_event(const Event& event) {
    ++ticks_;
    for (std::size_t hart = 0; hart < compare_.size(); ++hart) {
        if (compare_[hart] <= event.time) {
            lines_.set_interrupt(static_cast<HartId>(hart), irq::kMachineTimer, true, event.time);
        }
    }
    arm(event.time);
}

} // namespace talus::sim
