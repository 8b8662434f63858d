// Modelled power and temperature: idle power plus what the device's work costs, and a first-order
// thermal model. A function of device time and of the device's work alone.
#ifndef TALUS_SIM_SOC_SENSORS_HPP
#define TALUS_SIM_SOC_SENSORS_HPP

#include <cstdint>

#include "../core/checkpoint.hpp"
#include "../core/config.hpp"
#include "energy.hpp"
#include "register_block.hpp"

namespace talus::sim {

class Sensors final : public RegisterBlock {
  public:
    /// Everything outlives the sensors.
    Sensors(const Config& config, const EnergyMeter& meter, const ClockGovernor& governor);

    void reset();

    /// Averages over at least power.window_clocks; false: too early for a new value.
    bool update(Cycle now);

    std::int32_t temperature_mc() const { return static_cast<std::int32_t>(temperature_mc_); }
    std::uint32_t power_mw() const { return static_cast<std::uint32_t>(power_mw_); }
    /// Microjoules that work has cost since reset, beyond idle power.
    std::uint64_t energy_uj() const;

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle, std::uint32_t, std::uint32_t) override {}

    void checkpoint(Checkpoint& state) {
        state(last_, joules_at_reset_, last_joules_, power_mw_, temperature_mc_);
    }

  private:
    double steady_mc(double power_mw) const;

    const Config& config_;
    const EnergyMeter& meter_;
    const ClockGovernor& governor_;
    Cycle last_ = 0;
    double joules_at_reset_ = 0;
    double last_joules_ = 0;
    double power_mw_ = 0;
    double temperature_mc_ = 0;
};

} // namespace talus::sim

#endif
