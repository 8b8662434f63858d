// Off-chip memory timing, behind an interface: a scheduling controller (FR-FCFS over a window of
// requests) takes the same seat.
#ifndef TALUS_SIM_MEM_DRAM_HPP
#define TALUS_SIM_MEM_DRAM_HPP

#include <cstdint>
#include <memory>
#include <vector>

#include "calendar.hpp"
#include "core/config.hpp"

namespace talus::sim {

class DramTiming {
  public:
    virtual ~DramTiming() = default;
    /// A request for [offset, offset + len), within one channel's interleave block, reaches the
    /// controller at `at` (>= now, global time). Returns when its last byte leaves the controller
    /// (read) or is accepted as written.
    virtual Cycle access(Cycle now, Cycle at, std::uint64_t offset, std::uint64_t len,
                         bool write) = 0;
    virtual void reset() = 0;
    /// No access is under way any more: refresh counts from `now` on. Open rows stay open.
    virtual void rebase(Cycle now) = 0;

    std::uint64_t row_hits = 0;
    std::uint64_t row_misses = 0;
};

/// Open page, in order of arrival per bank: a bank's state decides the latency (row hit, empty,
/// conflict), a calendar per channel the data bus, all-bank refresh takes each channel's bus away.
/// Not modelled: reordering, bus turnaround, activation windows.
class OpenPageDram final : public DramTiming {
  public:
    OpenPageDram(const DramConfig& dram, std::uint64_t clock_khz);
    Cycle access(Cycle now, Cycle at, std::uint64_t offset, std::uint64_t len, bool write) override;
    void reset() override;
    void rebase(Cycle now) override;

  private:
    struct Bank {
        std::int64_t row = -1;
        Cycle column_ready = 0;    ///< earliest next column command
        Cycle precharge_ready = 0; ///< earliest precharge
    };
    struct Channel {
        BandwidthCalendar bus;
        std::vector<Bank> banks;
    };

    DramConfig dram_;
    std::uint64_t clock_khz_;
    std::vector<Channel> channels_;
    std::uint64_t row_bytes_;
    std::uint64_t banks_;
    Cycle cl_, cwl_, rcd_, rp_, ras_, ccd_, rtp_, wr_;

    Cycle clocks(std::uint64_t dram_clocks) const;
    Channel make_channel(std::uint32_t index) const;
};

} // namespace talus::sim

#endif
