#include "sensors.hpp"

#include <algorithm>
#include <cmath>

#include "talus/hw/registers.h"

namespace talus::sim {

Sensors::Sensors(const Config& config, const EnergyMeter& meter, const ClockGovernor& governor)
    : config_(config), meter_(meter), governor_(governor) {}

void Sensors::reset() {
    last_ = 0;
    joules_at_reset_ = last_joules_ = meter_.joules();
    power_mw_ = config_.power.idle_mw;
    temperature_mc_ = steady_mc(power_mw_);
}

double Sensors::steady_mc(double power_mw) const {
    return config_.power.ambient_mc + power_mw * 1e-3 * config_.power.millikelvin_per_watt;
}

bool Sensors::update(Cycle now) {
    const Cycle elapsed = now - last_;
    if (elapsed < config_.power.window_clocks) {
        return false;
    }
    const double joules = meter_.joules();
    const double seconds = static_cast<double>(elapsed) / (config_.device.clock_khz * 1e3);
    power_mw_ = config_.power.idle_mw + (joules - last_joules_) / seconds * 1e3;
    const double reach = 1.0 - std::exp(-seconds * 1e3 / config_.power.time_constant_ms);
    temperature_mc_ += (steady_mc(power_mw_) - temperature_mc_) * reach;
    last_ = now;
    last_joules_ = joules;
    return true;
}

std::uint64_t Sensors::energy_uj() const {
    return static_cast<std::uint64_t>(std::max(meter_.joules() - joules_at_reset_, 0.0) * 1e6);
}

std::uint32_t Sensors::read32(Cycle, std::uint32_t offset) {
    switch (offset) {
    case SENSOR_TEMPERATURE_MC:
        return static_cast<std::uint32_t>(temperature_mc());
    case SENSOR_POWER_MW:
        return power_mw();
    case SENSOR_ENERGY_UJ_LO:
        return static_cast<std::uint32_t>(energy_uj());
    case SENSOR_ENERGY_UJ_HI:
        return static_cast<std::uint32_t>(energy_uj() >> 32);
    case SENSOR_CLOCK_KHZ:
        return governor_.step_khz();
    case SENSOR_CLOCK_REASON:
        return governor_.capped() ? TALUS_CLOCK_POWER_CAP : TALUS_CLOCK_FULL;
    default:
        return 0;
    }
}

} // namespace talus::sim
