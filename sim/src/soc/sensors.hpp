// Modelled power and temperature: idle power plus a share for what the PEs' units do, and a first-
// order thermal model. A function of device time and of the device's work alone.
#ifndef TALUS_SIM_SOC_SENSORS_HPP
#define TALUS_SIM_SOC_SENSORS_HPP

#include <cstdint>

#include "../core/config.hpp"
#include "register_block.hpp"

namespace talus::sim {

class Sensors final : public RegisterBlock {
  public:
    explicit Sensors(const Config& config);

    void reset();

    /// `busy_clocks`: clocks in which PEs worked, summed over the PEs since reset. Averages over at
    /// least power.window_clocks; false: too early for a new value.
    bool update(Cycle now, std::uint64_t busy_clocks);

    std::int32_t temperature_mc() const { return static_cast<std::int32_t>(temperature_mc_); }
    std::uint32_t power_mw() const { return static_cast<std::uint32_t>(power_mw_); }

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle, std::uint32_t, std::uint32_t) override {}

  private:
    double steady_mc(double power_mw) const;

    const Config& config_;
    Cycle last_ = 0;
    std::uint64_t last_busy_ = 0;
    double power_mw_ = 0;
    double temperature_mc_ = 0;
};

} // namespace talus::sim

#endif
