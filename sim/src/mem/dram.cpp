#include "dram.hpp"

#include <algorithm>

namespace talus::sim {

OpenPageDram::OpenPageDram(const DramConfig& dram, std::uint64_t clock_khz)
    : dram_(dram), clock_khz_(clock_khz),
      row_bytes_(std::uint64_t{dram.columns} * dram.channel_bits / 8),
      banks_(std::uint64_t{dram.ranks} * dram.bank_groups * dram.banks_per_group),
      cl_(clocks(dram.ncl)), cwl_(clocks(dram.ncwl)), rcd_(clocks(dram.nrcd)),
      rp_(clocks(dram.nrp)), ras_(clocks(dram.nras)), ccd_(clocks(dram.nccds)),
      rtp_(clocks(dram.nrtp)), wr_(clocks(dram.nwr)) {
    for (std::uint32_t index = 0; index < dram.channels; ++index) {
        channels_.push_back(make_channel(index));
    }
}

Cycle OpenPageDram::clocks(std::uint64_t dram_clocks) const {
    return (dram_clocks * dram_.clock_ps * clock_khz_ + 999'999'999) / 1'000'000'000;
}

OpenPageDram::Channel OpenPageDram::make_channel(std::uint32_t index) const {
    // megatransfers * bits / 8 = MB/s; * 1000 / khz = bytes per clock.
    const std::uint64_t bytes = std::uint64_t{dram_.megatransfers} * dram_.channel_bits / 8 * 1000;
    const Cycle period = clocks(dram_.nrefi);
    const Cycle away = dram_.nrefi == 0 ? 0 : clocks(dram_.nrfc);
    const Cycle phase = period * (index + 1) / dram_.channels;
    return {BandwidthCalendar(bytes, clock_khz_, period, away, phase), std::vector<Bank>(banks_)};
}

void OpenPageDram::reset() {
    for (Channel& channel : channels_) {
        channel.bus.reset();
        std::fill(channel.banks.begin(), channel.banks.end(), Bank{});
    }
    row_hits = 0;
    row_misses = 0;
}

void OpenPageDram::rebase(Cycle now) {
    for (Channel& channel : channels_) {
        channel.bus.restart(now);
    }
}

Cycle OpenPageDram::access(Cycle now, Cycle at, std::uint64_t offset, std::uint64_t len,
                           bool write) {
    const std::uint64_t interleave = dram_.channel_interleave_bytes;
    const std::uint64_t block = offset / interleave;
    Channel& channel = channels_[block % dram_.channels];
    const std::uint64_t local = block / dram_.channels * interleave + offset % interleave;
    const std::uint64_t page = local / row_bytes_;
    Bank& bank = channel.banks[page % banks_];
    const auto row = static_cast<std::int64_t>(page / banks_);

    // Whole bursts travel.
    const std::uint64_t burst = dram_.burst_bytes;
    const std::uint64_t bytes = (local + len + burst - 1) / burst * burst - local / burst * burst;

    const Cycle arrival = at + dram_.controller_clocks / 2;
    Cycle column = std::max(arrival, bank.column_ready);
    if (bank.row != row) {
        ++row_misses;
        Cycle activate = arrival;
        if (bank.row >= 0) {
            activate = std::max(arrival, bank.precharge_ready) + rp_;
        }
        bank.row = row;
        bank.precharge_ready = activate + ras_;
        column = activate + rcd_;
    } else {
        ++row_hits;
    }
    const Cycle data = column + (write ? cwl_ : cl_);
    const Cycle last = channel.bus.reserve(now, data, bytes);
    bank.column_ready = column + ccd_;
    bank.precharge_ready = std::max(bank.precharge_ready, write ? last + wr_ : column + rtp_);
    return last + (dram_.controller_clocks - dram_.controller_clocks / 2);
}

} // namespace talus::sim
