// What bounds an operator on the accelerator: shares of what each resource could have done, and
// what cores and units waited for, from the performance records of its launches.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sdk/runtime/device.hpp"

namespace talus::runtime {

class Roofline {
  public:
    void add(const DeviceProfile::Launch& launch, const talus_perf_record& record);
    bool empty() const { return clocks_ == 0; }

    // Greatest first; names are constants. See talus_operator_stats.
    std::vector<talus_usage> resources() const;
    std::vector<talus_usage> stalls() const;
    std::vector<talus_counter> counters() const;

  private:
    double per_pe(std::uint64_t clocks) const;

    std::uint64_t clocks_ = 0;    // of the records' spans
    std::uint64_t pe_clocks_ = 0; // the same, once for each PE
    std::uint64_t startup_ = 0;
    std::uint64_t local_peak_ = 0;
    std::uint64_t sram_peak_ = 0;
    std::uint64_t dram_peak_ = 0;
    std::uint64_t pcie_peak_ = 0;
    std::array<std::uint64_t, TALUS_PERF_COUNT> counters_{};
};

} // namespace talus::runtime
