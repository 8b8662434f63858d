// Where packets enter the NoC: each PE, and the control subsystem, may have so many packets
// without an answer (credits), and sends no more bytes than its leaky bucket passes. Both bind the
// source, so that what is on its way always has a place to end and nothing piles up in the NoC.
//
// Time only. Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_MEM_SOURCES_HPP
#define TALUS_SIM_MEM_SOURCES_HPP

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/checkpoint.hpp"
#include "core/config.hpp"
#include "core/types.hpp"

namespace talus::sim {

/// One direction (reads or writes) of one port into the NoC.
///
/// A packet takes a credit, and its answer gives it back. Kept is when: at once for what SRAM has,
/// and when DRAM has decided for what it has. Credits are taken in the order in which that became
/// known, so there is nothing to search.
///
/// The bucket is a meter (the generic cell rate algorithm of ITU-T I.371): it drains at the rate,
/// each packet pours its bytes in, and one may go while no more than the burst is left. Kept is the
/// time at which it will be empty, times the rate: no division unless a packet has to wait.
class Source {
  public:
    /// Sums over packets.
    struct Counters {
        std::uint64_t packets = 0;
        std::uint64_t bytes = 0; ///< headers included
        std::uint64_t credit_waits = 0;
        std::uint64_t credit_wait_clocks = 0;
        std::uint64_t shaping_waits = 0;
        std::uint64_t shaping_wait_clocks = 0;
        void checkpoint(Checkpoint& state) {
            state(packets, bytes, credit_waits, credit_wait_clocks, shaping_waits,
                  shaping_wait_clocks);
        }
    };
    /// Bytes/clk and bytes of the bucket, 0 bytes/clk: none; credits, 0: no limit.
    Source(std::uint64_t rate, std::uint64_t burst, std::uint32_t credits)
        : rate_(rate), burst_(burst), back_(credits, 0), count_(credits) {}

    /// All credits are out, and when the next comes back is not known yet.
    bool full() const { return count_ == 0 && !back_.empty(); }
    /// Packets that came while it was full wait, and so do those that come behind them.
    bool must_hold() const { return held_ != 0 || full(); }
    std::uint32_t held() const { return held_; }
    void hold() { ++held_; }
    /// When a packet leaves that could leave at `at`. Not if must_hold(); answered() must follow.
    Cycle enter(Cycle at, std::uint64_t bytes) { return enter(at, 0, bytes); }
    /// The first of those held, at `now`. Not if full().
    Cycle enter_held(Cycle at, Cycle now, std::uint64_t bytes) {
        --held_;
        return enter(at, now, bytes);
    }
    /// A packet that entered has its answer at `at`, which is known now.
    void answered(Cycle at) {
        if (!back_.empty()) {
            back_[wrap(first_ + count_)] = at;
            ++count_;
        }
    }

    const Counters& counters() const { return counters_; }
    /// Nothing is on its way: an empty bucket and all credits.
    void rebase() {
        empty_ = 0;
        first_ = 0;
        count_ = static_cast<std::uint32_t>(back_.size());
        held_ = 0;
        std::fill(back_.begin(), back_.end(), 0);
    }
    void reset() {
        rebase();
        counters_ = {};
    }
    void checkpoint(Checkpoint& state) { state(counters_); }

  private:
    Cycle enter(Cycle at, Cycle earliest, std::uint64_t bytes) {
        ++counters_.packets;
        counters_.bytes += bytes;
        // First the bucket: it must not be carried to a time at which a credit comes back, or what
        // could go before would wait for that as well.
        if (rate_ != 0) {
            if (empty_ > at * rate_ + burst_) {
                const Cycle later = (empty_ - burst_ + rate_ - 1) / rate_;
                ++counters_.shaping_waits;
                counters_.shaping_wait_clocks += later - at;
                at = later;
            }
            empty_ = std::max(empty_, at * rate_) + bytes;
        }
        if (!back_.empty()) {
            const Cycle credit = std::max(back_[first_], earliest);
            first_ = wrap(first_ + 1);
            --count_;
            if (credit > at) {
                ++counters_.credit_waits;
                counters_.credit_wait_clocks += credit - at;
                at = credit;
            }
        }
        return at;
    }
    std::uint32_t wrap(std::uint32_t place) const {
        return place < back_.size() ? place : place - static_cast<std::uint32_t>(back_.size());
    }

    std::uint64_t rate_;
    std::uint64_t burst_;
    std::uint64_t empty_ = 0; ///< when the bucket is empty, in clocks times rate_
    std::vector<Cycle> back_; ///< ring: when each credit that is not out, or known to be, is back
    std::uint32_t first_ = 0; ///< of those in back_
    std::uint32_t count_;     ///< of those in back_
    std::uint32_t held_ = 0;
    Counters counters_;
};

/// Of all ports: the PEs', then the control subsystem's.
class Sources {
  public:
    explicit Sources(const Config& config) {
        const NocConfig& noc = config.noc;
        all_.assign(2 * std::size_t{config.pe_count()},
                    {noc.pe_shape_bytes_per_clock, noc.shape_burst_bytes, noc.pe_credits});
        all_.insert(all_.end(), 2,
                    {noc.engine_shape_bytes_per_clock, noc.shape_burst_bytes, noc.engine_credits});
    }

    std::uint32_t number(std::uint32_t port, bool write) const {
        return 2 * port + (write ? 1 : 0);
    }
    std::uint32_t count() const { return static_cast<std::uint32_t>(all_.size()); }
    /// That of the control subsystem.
    std::uint32_t control_port() const { return count() / 2 - 1; }
    Source& operator[](std::uint32_t number) { return all_[number]; }
    const Source& operator[](std::uint32_t number) const { return all_[number]; }

    void reset() {
        for (Source& source : all_) {
            source.reset();
        }
    }
    void rebase() {
        for (Source& source : all_) {
            source.rebase();
        }
    }
    void checkpoint(Checkpoint& state) {
        for (Source& source : all_) {
            source.checkpoint(state);
        }
    }

  private:
    std::vector<Source> all_;
};

} // namespace talus::sim

#endif
