#include "dram.hpp"

#include <algorithm>
#include <numeric>

namespace talus::sim {

namespace {

constexpr std::uint64_t kNoTag = UINT64_MAX; ///< a run that nobody waits for

/// With controller ECC, data bursts that share a burst of check bits.
constexpr std::uint32_t kDataPerCheck = 8;

} // namespace

// --- address map ---------------------------------------------------------------------------------

namespace {

std::uint32_t columns_for_data(const DramConfig& dram) {
    const std::uint32_t columns = dram.columns * dram.channel_bits / 8 / dram.burst_bytes;
    return dram.ecc ? columns / kDataPerCheck * (kDataPerCheck - 1) : columns;
}

} // namespace

DramAddressMap::DramAddressMap(const DramConfig& dram)
    : dram_(dram), data_columns_(columns_for_data(dram)),
      low_columns_(std::min(1u << dram.map_column_low_bits, data_columns_)), low_(low_columns_),
      groups_(dram.bank_groups), banks_(dram.banks_per_group), ranks_(dram.ranks),
      high_(data_columns_ / low_columns_), rows_(dram.rows),
      banks_of_rank_(std::uint64_t{dram.bank_groups} * dram.banks_per_group) {}

std::uint64_t DramAddressMap::bytes() const {
    return std::uint64_t{data_columns_} * dram_.burst_bytes * dram_.rows * dram_.bank_groups *
           dram_.banks_per_group * dram_.ranks;
}

DramRun DramAddressMap::run(std::uint64_t burst, std::uint32_t bursts) const {
    const auto digit = [&burst](const Divisor& radix) {
        const auto value = static_cast<std::uint32_t>(radix.remainder(burst));
        burst = radix.quotient(burst);
        return value;
    };
    DramRun run;
    const std::uint32_t low = digit(low_);
    run.group = digit(groups_);
    run.bank = digit(banks_);
    run.rank = dram_.map_rank_high ? 0 : digit(ranks_);
    run.column = low + digit(high_) * low_columns_;
    run.row = digit(rows_);
    if (dram_.map_rank_high) {
        run.rank = digit(ranks_);
    }
    if (dram_.map_bank_xor) {
        // All bits of the row take part: whatever power of two lies between two streams, they meet
        // in the same bank no more often than by chance.
        std::uint64_t hash = 0;
        for (std::uint64_t rest = run.row; rest != 0; rest = banks_of_rank_.quotient(rest)) {
            hash ^= banks_of_rank_.remainder(rest);
        }
        run.group = static_cast<std::uint32_t>(groups_.remainder(run.group ^ hash));
        run.bank = static_cast<std::uint32_t>(banks_.remainder(run.bank ^ groups_.quotient(hash)));
    }
    run.bursts = std::min(bursts, low_columns_ - low);
    return run;
}

// --- channels ------------------------------------------------------------------------------------

Dram::Dram(const Config& config, EventQueue& events, DramClient& client)
    : dram_(config.dram), events_(events), client_(client), unit_(events.add_unit(*this, "DRAM")),
      map_(config.dram), interleave_(dram_.channel_interleave_bytes),
      channel_count_(dram_.channels), burst_bytes_(dram_.burst_bytes), ratio_num_(1), ratio_den_(1),
      front_(config.dram.controller_clocks / 2), back_(config.dram.controller_clocks - front_) {
    const std::uint64_t num = std::uint64_t{dram_.clock_ps} * config.device.clock_khz;
    constexpr std::uint64_t kDen = 1'000'000'000;
    const std::uint64_t common = std::gcd(num, kDen);
    ratio_num_ = Divisor(num / common);
    ratio_den_ = Divisor(kDen / common);
    for (std::uint32_t index = 0; index < dram_.channels; ++index) {
        channels_.push_back({DramChannel(dram_), 0, kNever, {kNoTag, kNoTag}});
    }
}

DramClock Dram::to_dram(const Channel& channel, Cycle time) const {
    const std::uint64_t num = ratio_num_.value();
    return static_cast<DramClock>(
        ratio_num_.quotient((time - channel.origin) * ratio_den_.value() + num - 1));
}

Cycle Dram::to_device(const Channel& channel, DramClock clock) const {
    const std::uint64_t den = ratio_den_.value();
    return channel.origin +
           ratio_den_.quotient(static_cast<std::uint64_t>(clock) * ratio_num_.value() + den - 1);
}

void Dram::reset() {
    for (Channel& channel : channels_) {
        channel.controller = DramChannel(dram_);
        channel.origin = 0;
        channel.wake = kNever;
        channel.near = {kNoTag, kNoTag};
    }
    pending_.clear();
    free_.clear();
}

void Dram::rebase(Cycle now) {
    for (Channel& channel : channels_) {
        if (channel.controller.next_clock() == DramChannel::kNever) {
            channel.controller.restart();
            channel.origin = now;
        }
    }
}

/// Check bits of the bursts of `run` are read with them and written with them; a write that does
/// not cover all that share a burst of check bits reads it first.
void Dram::push_check_bits(Channel& channel, const DramRun& run) {
    std::uint32_t column = run.column;
    const std::uint32_t end = run.column + run.bursts;
    while (column < end) {
        const std::uint32_t group = column / kDataPerCheck;
        const std::uint32_t next = std::min(end, (group + 1) * kDataPerCheck);
        DramRun check = run;
        check.column = map_.data_columns() + group;
        check.bursts = 1;
        if (run.write && next - column != kDataPerCheck) {
            check.write = false;
            check.tag = kNoTag;
            channel.controller.push(check);
            check.write = true;
        }
        check.tag = run.tag;
        ++pending_[run.tag].runs;
        channel.controller.push(check);
        column = next;
    }
}

void Dram::request(Cycle at, std::uint64_t offset, std::uint64_t len, bool write,
                   std::uint64_t tag) {
    const std::uint64_t block = interleave_.quotient(offset);
    const auto index = static_cast<std::uint32_t>(channel_count_.remainder(block));
    Channel& channel = channels_[index];
    const std::uint64_t local =
        channel_count_.quotient(block) * interleave_.value() + interleave_.remainder(offset);

    std::uint32_t slot = 0;
    if (free_.empty()) {
        slot = static_cast<std::uint32_t>(pending_.size());
        pending_.emplace_back();
    } else {
        slot = free_.back();
        free_.pop_back();
    }
    pending_[slot] = {tag, 0, 0};

    const DramClock arrival = to_dram(channel, at + front_);
    std::uint64_t burst = burst_bytes_.quotient(local);
    const std::uint64_t end = burst_bytes_.quotient(local + len + dram_.burst_bytes - 1);
    while (burst < end) {
        DramRun run = map_.run(burst, static_cast<std::uint32_t>(end - burst));
        run.arrival = arrival;
        run.write = write;
        run.tag = slot;
        ++pending_[slot].runs;
        channel.controller.push(run);
        if (dram_.ecc) {
            push_check_bits(channel, run);
        }
        burst += run.bursts;
    }
    schedule(index);
}

void Dram::schedule(std::uint32_t index) {
    Channel& channel = channels_[index];
    const DramClock next = channel.controller.next_clock();
    if (next == DramChannel::kNever) {
        return;
    }
    // Nothing that is decided at `next` or later is to be told before this.
    const DramClock lag = channel.controller.writing() ? 0 : dram_.ncl + dram_.nbl;
    const Cycle wake = std::max(to_device(channel, next + lag) + back_, events_.now());
    if (wake < channel.wake) {
        channel.wake = wake;
        events_.schedule(wake, unit_, 0, index);
    }
}

/// Tells the client of the runs that have entered a queue, each in three steps as others follow it.
void Dram::expect(Channel& channel) {
    for (const std::uint64_t run : entered_) {
        if (run == kNoTag) {
            continue;
        }
        const std::array<std::uint64_t, 3> tags = {pending_[run].tag, channel.near[0],
                                                   channel.near[1]};
        for (unsigned step = 0; step < tags.size(); ++step) {
            if (tags[step] != kNoTag) {
                client_.expect_dram(tags[step], step);
            }
        }
        channel.near = {tags[0], tags[1]};
    }
    entered_.clear();
}

void Dram::on_event(const Event& event) {
    const auto index = static_cast<std::uint32_t>(event.a);
    Channel& channel = channels_[index];
    if (channel.wake != event.time) {
        return; // an earlier one took its place
    }
    channel.wake = kNever;
    done_.clear();
    // What is announced from now on arrives at event.time + front_ at the earliest, and takes part
    // in decisions of the clock after that.
    channel.controller.run(to_dram(channel, event.time + front_) + 1, done_, &entered_);
    expect(channel);
    for (const DramRunDone& run : done_) {
        if (run.tag == kNoTag || run.what == DramRunDone::What::kWritten) {
            continue;
        }
        Pending& pending = pending_[run.tag];
        pending.done = std::max(pending.done, to_device(channel, run.finished) + back_);
        if (--pending.runs == 0) {
            free_.push_back(static_cast<std::uint32_t>(run.tag));
            client_.on_dram(event.time, pending.tag, std::max(pending.done, event.time));
        }
    }
    schedule(index);
}

void Dram::checkpoint(Checkpoint& state) {
    for (Channel& channel : channels_) {
        state(channel.controller, channel.origin);
    }
}

DramCounters Dram::counters() const {
    DramCounters sum;
    for (const Channel& channel : channels_) {
        const DramCounters& one = channel.controller.counters();
        sum.reads += one.reads;
        sum.writes += one.writes;
        sum.activates += one.activates;
        sum.precharges += one.precharges;
        sum.refreshes += one.refreshes;
        sum.forwarded += one.forwarded;
    }
    return sum;
}

} // namespace talus::sim
