#include "sensors.hpp"

#include <algorithm>
#include <cmath>

#include "talus/hw/registers.h"

namespace talus::sim {

Sensors::Sensors(const Config& config) : config_(config) {
    reset();
}

void Sensors::reset() {
    last_ = last_busy_ = 0;
    power_mw_ = config_.power.idle_mw;
    temperature_mc_ = steady_mc(power_mw_);
}

double Sensors::steady_mc(double power_mw) const {
    return config_.power.ambient_mc + power_mw * 1e-3 * config_.power.millikelvin_per_watt;
}

bool Sensors::update(Cycle now, std::uint64_t busy_clocks) {
    const Cycle elapsed = now - last_;
    if (elapsed < config_.power.window_clocks) {
        return false;
    }
    const double activity = std::min(1.0, static_cast<double>(busy_clocks - last_busy_) /
                                              (static_cast<double>(elapsed) * config_.pe_count()));
    power_mw_ = config_.power.idle_mw +
                activity * (static_cast<double>(config_.power.typical_mw) - config_.power.idle_mw);
    const double seconds = static_cast<double>(elapsed) / (config_.device.clock_khz * 1e3);
    const double reach = 1.0 - std::exp(-seconds * 1e3 / config_.power.time_constant_ms);
    temperature_mc_ += (steady_mc(power_mw_) - temperature_mc_) * reach;
    last_ = now;
    last_busy_ = busy_clocks;
    return true;
}

std::uint32_t Sensors::read32(Cycle, std::uint32_t offset) {
    switch (offset) {
    case SENSOR_TEMPERATURE_MC:
        return static_cast<std::uint32_t>(temperature_mc());
    case SENSOR_POWER_MW:
        return power_mw();
    default:
        return 0;
    }
}

} // namespace talus::sim
