// System information: what firmware may know about the chip it runs on. Constant registers.
#ifndef TALUS_SIM_SOC_SYSTEM_INFO_HPP
#define TALUS_SIM_SOC_SYSTEM_INFO_HPP

#include "talus/hw/contract_hash.h"
#include "talus/hw/registers.h"

#include "../core/config.hpp"
#include "register_block.hpp"

namespace talus::sim {

class SystemInfo final : public RegisterBlock {
  public:
    SystemInfo(const Config& config, std::uint64_t serial) : config_(config), serial_(serial) {}

    std::uint32_t read32(Cycle, std::uint32_t offset) override {
        switch (offset) {
        case INFO_GENERATION:
            return config_.device.generation;
        case INFO_ROWS:
            return config_.grid.rows;
        case INFO_COLS:
            return config_.grid.cols;
        case INFO_CLOCK_KHZ:
            return config_.device.clock_khz;
        case INFO_LLS_BYTES_LO:
        case INFO_LLS_BYTES_HI:
            return read_half(config_.sram.scratch_bytes, offset == INFO_LLS_BYTES_HI);
        case INFO_DRAM_BYTES_LO:
        case INFO_DRAM_BYTES_HI:
            return read_half(config_.dram.bytes, offset == INFO_DRAM_BYTES_HI);
        case INFO_SERIAL_LO:
        case INFO_SERIAL_HI:
            return read_half(serial_, offset == INFO_SERIAL_HI);
        case INFO_CONTRACT_LO:
        case INFO_CONTRACT_HI:
            return read_half(TALUS_CONTRACT_HASH, offset == INFO_CONTRACT_HI);
        default:
            return 0;
        }
    }
    void write32(Cycle, std::uint32_t, std::uint32_t) override {}

  private:
    const Config& config_;
    std::uint64_t serial_;
};

} // namespace talus::sim

#endif
