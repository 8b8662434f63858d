// Energy per event: what the units, the memories and the cores have done, times the [energy] table
// of the configuration; power, temperature and the clock steps that keep a power cap follow.
//
// A function of device time and of the device's work alone. Not thread-safe: the timing thread's.
#ifndef TALUS_SIM_SOC_ENERGY_HPP
#define TALUS_SIM_SOC_ENERGY_HPP

#include <array>
#include <cstdint>

#include "../core/checkpoint.hpp"
#include "../core/config.hpp"
#include "../core/types.hpp"
#include "../pe/pe.hpp"

namespace talus::sim {

class Cores;
class DmaEngines;
class Fabric;
class PcieLink;

/// Joules since the counters' start, by what spent them. Idle power is not among them.
struct EnergyReport {
    double dpe = 0;       ///< multiply-accumulates
    double simd = 0;      ///< SIMD engines, drains through them
    double reduction = 0; ///< reduction engines and their links
    double local = 0;     ///< local memories
    double noc = 0;
    double sram = 0;
    double dram = 0;  ///< transfers and row activations
    double cores = 0; ///< instructions
    double pcie = 0;
    double gzip = 0; ///< the DMA block's GZIP engine

    EnergyReport& operator+=(const EnergyReport& other) {
        dpe += other.dpe;
        simd += other.simd;
        reduction += other.reduction;
        local += other.local;
        noc += other.noc;
        sram += other.sram;
        dram += other.dram;
        cores += other.cores;
        pcie += other.pcie;
        gzip += other.gzip;
        return *this;
    }
    double total() const {
        return dpe + simd + reduction + local + noc + sram + dram + cores + pcie + gzip;
    }
};

class EnergyMeter {
  public:
    /// Everything outlives the meter.
    EnergyMeter(const Config& config, Cores& cores, const Fabric& fabric, const PcieLink& link,
                const DmaEngines& dma)
        : config_(config), cores_(cores), fabric_(fabric), link_(link), dma_(dma) {}

    /// Of one PE: its units, its port to the NoC, its cores.
    EnergyReport pe(std::uint32_t index) const;
    EnergyReport pes() const;
    /// Of the rest: NoC, shared SRAM, DRAM, PCIe, GZIP engine, control cores.
    EnergyReport chip() const;
    double joules() const { return chip().total() + pes().total(); }

  private:
    const Config& config_;
    Cores& cores_;
    const Fabric& fabric_;
    const PcieLink& link_;
    const DmaEngines& dma_;
};

/// Chooses the step at which the PEs' units run (full, middle, low): one down after a window above
/// power.cap_mw, one up when the next step would have kept it. Lower steps skip clocks of the
/// units; the rest of the chip keeps its pace.
class ClockGovernor {
  public:
    ClockGovernor(const Config& config, const EnergyMeter& meter);

    /// The step for a command that begins at `now` (never decreasing).
    UnitClock clock(Cycle now);
    /// Windows begin anew, at the full clock: after the device was parked, so that what follows
    /// takes the same time whenever it begins.
    void restart(Cycle now);

    std::uint32_t step_khz() const { return steps_[step_]; }
    bool capped() const { return step_ != 0; }

    void checkpoint(Checkpoint& state) { state(step_, window_, joules_); }

  private:
    const Config& config_;
    const EnergyMeter& meter_;
    std::array<std::uint32_t, 3> steps_; ///< kHz, descending
    unsigned step_ = 0;
    Cycle window_ = 0;  ///< begin
    double joules_ = 0; ///< at its begin
};

} // namespace talus::sim

#endif
