// The PCIe link's time: bandwidth of each direction and latency to host memory. Values move
// separately, through HostPort.
#ifndef TALUS_SIM_SOC_PCIE_LINK_HPP
#define TALUS_SIM_SOC_PCIE_LINK_HPP

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "../core/checkpoint.hpp"
#include "../core/config.hpp"
#include "../core/fault_hooks.hpp"

namespace talus::sim {

/// Requesters share each direction first come, first served. Calls come in global time order.
class PcieLink {
  public:
    explicit PcieLink(const Config& config)
        : ticks_per_byte_(kTicks * static_cast<double>(config.device.clock_khz) * 1e3 /
                          (config.pcie.gigabytes_per_second * 1e9)),
          read_latency_(config.clocks_of_ns(config.pcie.read_latency_ns)),
          write_latency_(config.clocks_of_ns(config.pcie.write_latency_ns)) {}

    /// A read of host memory issued at `now`: when its last byte is on the device.
    Cycle read(Cycle now, std::uint64_t bytes) {
        return reserve(inbound_, now + read_latency_, bytes);
    }
    /// A posted write issued at `now`: when its last byte is visible to the host.
    Cycle write(Cycle now, std::uint64_t bytes) {
        return reserve(outbound_, now, bytes) + write_latency_;
    }
    /// null: the link is free of errors. Outlives its use.
    void set_fault_hooks(FaultHooks* faults) { faults_ = faults; }
    void reset() { inbound_ = outbound_ = 0; }

    /// From the host and to it, since construction.
    std::uint64_t bytes_read() const { return bytes_in_; }
    std::uint64_t bytes_written() const { return bytes_out_; }

    void checkpoint(Checkpoint& state) { state(inbound_, outbound_, bytes_in_, bytes_out_); }

  private:
    static constexpr std::uint64_t kTicks = 1024; ///< fractions of a clock

    Cycle reserve(std::uint64_t& free, Cycle from, std::uint64_t bytes) {
        if (faults_ != nullptr) {
            // A damaged packet is refused and sent again: its bytes once more, after the round trip
            // of the refusal.
            const std::uint64_t again = faults_->replays(from, bytes);
            from += again * read_latency_;
            bytes += again * kReplayedBytes;
        }
        free =
            std::max(free, from * kTicks) +
            static_cast<std::uint64_t>(std::llround(static_cast<double>(bytes) * ticks_per_byte_));
        (&free == &inbound_ ? bytes_in_ : bytes_out_) += bytes;
        return (free + kTicks - 1) / kTicks;
    }

    static constexpr std::uint64_t kReplayedBytes = 256 + 24; ///< payload and framing

    FaultHooks* faults_ = nullptr;
    double ticks_per_byte_;
    Cycle read_latency_;
    Cycle write_latency_;
    std::uint64_t inbound_ = 0;  ///< in ticks: direction free from here on
    std::uint64_t outbound_ = 0; ///< in ticks
    std::uint64_t bytes_in_ = 0;
    std::uint64_t bytes_out_ = 0;
};

} // namespace talus::sim

#endif
