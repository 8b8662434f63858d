// The performance counters of hw/perf.h, gathered where they are counted.
#ifndef TALUS_SIM_SOC_PERF_MONITOR_HPP
#define TALUS_SIM_SOC_PERF_MONITOR_HPP

#include <span>

#include "talus/hw/perf.h"

#include "../core/config.hpp"
#include "../mem/fabric.hpp"
#include "cores.hpp"
#include "energy.hpp"
#include "grid_control.hpp"
#include "pcie_link.hpp"

namespace talus::sim {

class PerfMonitor final : public PerfSampler {
  public:
    /// All outlive the monitor.
    PerfMonitor(const Config& config, Cores& cores, const Fabric& fabric, const PcieLink& link,
                const EnergyMeter& meter);

    void sample(Cycle now, std::span<const std::uint32_t> pes,
                talus_perf_record& record) const override;

  private:
    void add_pe(Cycle now, std::uint32_t pe, talus_perf_record& record) const;

    const Config& config_;
    Cores& cores_;
    const Fabric& fabric_;
    const PcieLink& link_;
    const EnergyMeter& meter_;
};

} // namespace talus::sim

#endif
