// The PCIe link's time: packets of each direction, what limits them, and the latency to host
// memory. Values move separately, through HostPort.
//
// Numbers of the packets are PCI Express Base 5.0's: 128b/130b blocks (4.2.2), a TLP's framing
// token and LCRC of 4 bytes each (4.2.2.2, 3.6.3), headers of 4 double words for requests with
// 64-bit addresses and 3 for completions and for MSI-X messages, addressed below 4 GiB (2.2.4.1,
// 2.2.9), requests that do not cross 4 KiB (2.2.7).
//
// The link keeps the order that PCIe demands (2.4): a posted write never passes an earlier one, and
// a read request leaves behind the writes before it, also when those wait for credits. So what is
// visible to the host becomes visible in the order of the calls.
//
// Not modelled: DLLPs (acknowledgements and credits go the other way: 8 bytes now and then) and SKP
// ordered sets (below 0.1 %).
#ifndef TALUS_SIM_SOC_PCIE_LINK_HPP
#define TALUS_SIM_SOC_PCIE_LINK_HPP

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

#include "../core/checkpoint.hpp"
#include "../core/config.hpp"
#include "../core/fault_hooks.hpp"

namespace talus::sim {

/// What the host has set in Device Control (7.5.3.4), in bytes. The reset values are PCIe's.
struct PcieSizes {
    std::uint32_t max_payload = 128;
    std::uint32_t max_read_request = 512;
    bool extended_tags = false; ///< 256 requests in flight, not 32
};

/// Things that are taken and come back later: tags, flow-control credits. First come, first served.
class PciePool {
  public:
    /// `size` 0: there are always enough.
    explicit PciePool(std::uint64_t size) : size_(size) {}
    void resize(std::uint64_t size) { size_ = size; }
    /// The first clock at or after `from` at which `count` can be taken. More than the pool has is
    /// had when all of it is there.
    Cycle available(Cycle from, std::uint64_t count);
    /// Takes `count`, which come back at `until`; calls must not go back in `until`.
    void take(Cycle until, std::uint64_t count);
    void clear();

  private:
    std::uint64_t size_;
    std::uint64_t used_ = 0;
    Cycle granted_ = 0; ///< nobody has before it what an earlier one waited for
    std::deque<std::pair<Cycle, std::uint64_t>> back_;
};

struct PcieDirection {
    std::uint64_t free = 0;    ///< in ticks: nothing is sent from here on
    std::uint64_t bytes = 0;   ///< payload
    std::uint64_t wire = 0;    ///< with headers and framing, as the blocks carry it
    std::uint64_t packets = 0; ///< TLPs

    void checkpoint(Checkpoint& state) { state(free, bytes, wire, packets); }
};

/// Requesters share each direction first come, first served. Calls come in global time order.
class PcieLink {
  public:
    explicit PcieLink(const Config& config);

    /// A read of host memory issued at `now`: when its last byte is on the device. It is cut into
    /// requests of max_read_request bytes, each with a tag; a request is answered by completions
    /// that end at multiples of the completion size.
    Cycle read(Cycle now, std::uint64_t address, std::uint64_t bytes);
    /// A posted write issued at `now`: when its last byte is visible to the host.
    Cycle write(Cycle now, std::uint64_t address, std::uint64_t bytes);
    /// An MSI-X message issued at `now`, a posted write of 4 bytes: when it interrupts the host,
    /// behind every write before it.
    Cycle write_msix(Cycle now);
    /// From a write's last byte on the wire to its visibility.
    Cycle write_latency() const { return write_latency_; }
    /// Whether the host gets the MSI-X message that arrives at `now`. Only an injected fault loses
    /// one.
    bool delivers_msix(unsigned vector, Cycle now) {
        return faults_ == nullptr || !faults_->loses_msix(vector, now);
    }

    /// For what is issued from now on.
    void set_sizes(const PcieSizes& sizes);
    const PcieSizes& sizes() const { return sizes_; }
    /// null: the link is free of errors. Outlives its use.
    void set_fault_hooks(FaultHooks* faults) { faults_ = faults; }
    /// Hears of damaged packets: how many, and whether the device received them.
    void on_replay(std::function<void(std::uint64_t packets, bool inbound)> told) {
        told_ = std::move(told);
    }
    void reset();

    /// Since construction; inbound is from the host.
    const PcieDirection& inbound() const { return inbound_; }
    const PcieDirection& outbound() const { return outbound_; }
    std::uint64_t bytes_read() const { return inbound_.bytes; }
    std::uint64_t bytes_written() const { return outbound_.bytes; }
    /// Clocks for which requests waited for a tag, and packets for a credit.
    std::uint64_t tag_wait_clocks() const { return tag_wait_; }
    std::uint64_t credit_wait_clocks() const { return credit_wait_; }
    std::uint64_t replayed_packets() const { return replayed_; }

    void checkpoint(Checkpoint& state) {
        state(inbound_, outbound_, tag_wait_, credit_wait_, replayed_);
    }

  private:
    Cycle post(Cycle now, std::uint64_t bytes, std::uint64_t header);
    Cycle send(PcieDirection& way, Cycle from, std::uint64_t bytes, std::uint64_t packets,
               std::uint64_t header);

    const PcieConfig& config_;
    FaultHooks* faults_ = nullptr;
    std::function<void(std::uint64_t, bool)> told_;
    PcieSizes sizes_;
    double ticks_per_byte_;
    Cycle read_latency_;
    Cycle write_latency_;
    Cycle credit_latency_;
    PciePool tags_;
    PciePool posted_headers_;
    PciePool posted_data_;
    PciePool nonposted_headers_;
    PcieDirection inbound_;
    PcieDirection outbound_;
    std::uint64_t tag_wait_ = 0;
    std::uint64_t credit_wait_ = 0;
    std::uint64_t replayed_ = 0;
};

} // namespace talus::sim

#endif
