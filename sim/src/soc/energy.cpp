#include "energy.hpp"

#include <algorithm>

#include "talus/hw/instructions.h"

#include "../mem/fabric.hpp"
#include "cores.hpp"
#include "dma_engine.hpp"
#include "pcie_link.hpp"

namespace talus::sim {

namespace {

double joules_of(std::uint64_t events, std::uint32_t femtojoules) {
    return 1e-15 * static_cast<double>(events) * femtojoules;
}

} // namespace

EnergyReport EnergyMeter::pe(std::uint32_t index) const {
    const EnergyConfig& each = config_.energy;
    const PeCounters& counters = cores_.pe(index).counters();
    EnergyReport joules;
    joules.dpe = joules_of(counters.macs - counters.int8_macs, each.fp16_mac_fj) +
                 joules_of(counters.int8_macs, each.int8_mac_fj);
    joules.simd = joules_of(counters.simd_operations, each.simd_operation_fj);
    joules.reduction = joules_of(counters.reduction_elements, each.reduction_element_fj);
    std::uint64_t bytes = 0;
    for (const PeCounters::Unit& unit : counters.units) {
        bytes += unit.bytes;
    }
    joules.local = joules_of(bytes, each.local_byte_fj);
    joules.noc =
        joules_of(counters.units[TALUS_UNIT_FI_IN].bytes + counters.units[TALUS_UNIT_FI_OUT].bytes,
                  each.port_byte_fj);
    joules.cores = joules_of(cores_.retired(TALUS_HART_OF(index, TALUS_CORE_A)) +
                                 cores_.retired(TALUS_HART_OF(index, TALUS_CORE_B)),
                             each.instruction_fj);
    return joules;
}

EnergyReport EnergyMeter::chip() const {
    const EnergyConfig& each = config_.energy;
    const FabricCounters& fabric = fabric_.counters();
    EnergyReport joules;
    joules.noc = joules_of(fabric.edge_bytes, each.noc_byte_fj);
    joules.sram = joules_of(fabric.sram_read_bytes + fabric.sram_write_bytes, each.sram_byte_fj);
    joules.dram = joules_of(fabric.dram_read_bytes + fabric.dram_write_bytes, each.dram_byte_fj) +
                  joules_of(fabric.dram_row_misses, each.dram_activate_fj);
    joules.pcie = joules_of(link_.bytes_read() + link_.bytes_written(), each.pcie_byte_fj);
    joules.gzip = joules_of(dma_.gzip_bytes_out(), each.gzip_byte_fj);
    for (HartId hart = 0; hart < TALUS_CONTROL_HARTS; ++hart) {
        joules.cores += joules_of(cores_.retired(hart), each.instruction_fj);
    }
    return joules;
}

EnergyReport EnergyMeter::pes() const {
    EnergyReport sum;
    for (std::uint32_t index = 0; index < config_.pe_count(); ++index) {
        sum += pe(index);
    }
    return sum;
}

ClockGovernor::ClockGovernor(const Config& config, const EnergyMeter& meter)
    : config_(config),
      meter_(meter), steps_{config.device.clock_khz,
                            std::min(config.power.middle_khz, config.device.clock_khz),
                            std::min(config.power.low_khz, config.device.clock_khz)} {}

UnitClock ClockGovernor::clock(Cycle now) {
    const PowerConfig& power = config_.power;
    const Cycle elapsed = now - window_;
    if (power.cap && elapsed >= power.cap_window_clocks) {
        const double joules = meter_.joules();
        const double seconds =
            static_cast<double>(elapsed) / (static_cast<double>(config_.device.clock_khz) * 1e3);
        const double dynamic_mw = (joules - joules_) / seconds * 1e3;
        if (power.idle_mw + dynamic_mw > power.cap_mw) {
            step_ = std::min(step_ + 1, 2u);
        } else if (step_ > 0) {
            const double faster = static_cast<double>(steps_[step_ - 1]) / steps_[step_];
            if (power.idle_mw + dynamic_mw * faster <= power.cap_mw) {
                --step_;
            }
        }
        window_ = now;
        joules_ = joules;
    }
    return {steps_[0], steps_[step_]};
}

void ClockGovernor::restart(Cycle now) {
    step_ = 0;
    window_ = now;
    joules_ = config_.power.cap ? meter_.joules() : 0;
}

} // namespace talus::sim
