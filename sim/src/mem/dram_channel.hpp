// One LPDDR5 channel and its controller: FR-FCFS over a read and a write queue, open page.
//
// The controller decides one command per clock of its own. It is not ticked: run() goes from one
// clock in which a command can be issued to the next. It knows nothing of events, addresses or the
// device's clock (class Dram does).
//
// What a command waits for is the table of dram_timing.hpp; which command comes first is here, as
// in Ramulator 2.1's LPDDR5 controller: a burst whose row was opened for it, then refresh, then the
// oldest burst of the queue in service whose next command is ready; the second half of a split
// activation takes the first clock that is left over. WCK is always synchronised.
#ifndef TALUS_SIM_MEM_DRAM_CHANNEL_HPP
#define TALUS_SIM_MEM_DRAM_CHANNEL_HPP

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "core/checkpoint.hpp"
#include "core/config.hpp"

#include "dram_timing.hpp"

namespace talus::sim {

/// Neighbouring bursts of one row.
struct DramRun {
    DramClock arrival = 0; ///< at the controller; it enters the queue when there is room
    std::uint32_t rank = 0;
    std::uint32_t group = 0; ///< bank group
    std::uint32_t bank = 0;  ///< within the group
    std::uint32_t row = 0;
    std::uint32_t column = 0; ///< of the first burst, in bursts
    std::uint32_t bursts = 1;
    bool write = false;
    std::uint64_t tag = 0; ///< the caller's
};

/// Of a read when its last burst has been read; of a write twice, when its last burst has been
/// accepted and when it has been written.
struct DramRunDone {
    enum class What : std::uint8_t { kRead, kAccepted, kWritten };
    std::uint64_t tag = 0;
    What what = What::kRead;
    DramClock accepted = 0; ///< the first burst entered the queue
    DramClock finished = 0; ///< the last data has passed, or the last burst entered the queue
};

/// Since reset(). A column command without an activation of its own is a row hit.
struct DramCounters {
    std::uint64_t reads = 0;  ///< bursts
    std::uint64_t writes = 0; ///< bursts
    std::uint64_t activates = 0;
    std::uint64_t precharges = 0;
    std::uint64_t refreshes = 0;
    std::uint64_t forwarded = 0; ///< reads answered and writes absorbed by the write queue

    void checkpoint(Checkpoint& state) {
        state(reads, writes, activates, precharges, refreshes, forwarded);
    }
};

class DramChannel {
  public:
    static constexpr DramClock kNever = INT64_MAX;

    explicit DramChannel(const DramConfig& dram);

    /// Idle at clock 0, all rows closed, refresh counted from there. Counters are kept.
    void restart();

    /// A run whose arrival lies in no clock that run() has passed. In order of arrival; runs of the
    /// same clock in order of the calls. The queues fill at two bursts a clock.
    void push(const DramRun& run);

    /// Decides all clocks before `until`, given that nothing more will arrive before `until` - 1.
    /// Appends what has finished by these decisions; its `finished` may lie later. `entered`: the
    /// tags of the runs that have begun to enter a queue, in this order; null: not asked for.
    void run(DramClock until, std::vector<DramRunDone>& done,
             std::vector<std::uint64_t>* entered = nullptr);

    /// The next clock with something to decide, or earlier; kNever: idle, whatever time passes.
    DramClock next_clock() const { return next_decision_; }
    /// Something may finish in the very clock of a decision: a write is accepted, or a read is
    /// answered from the write queue. Otherwise read data follows its decision by nCL + nBL.
    bool writing() const { return inbound_writes_ != 0 || writes_.bursts != 0; }

    const DramCounters& counters() const { return counters_; }
    /// Just after restart().
    void checkpoint(Checkpoint& state) { state(counters_); }

  private:
    static constexpr std::int64_t kClosed = -1;
    static constexpr std::int64_t kActivating = -2; ///< between the halves of an activation
    /// What a burst needs next in its bank.
    enum class Need : std::uint8_t {
        kColumn,
        kActivate,
        kPrecharge,
        kPatience, ///< a row stays open until the bursts are served for which it was opened
    };
    struct Rank {
        std::array<DramClock, 8> activations{}; ///< ring, for constraints with a window
        std::uint64_t activation_count = 0;
    };
    struct Bank {
        std::int64_t row = kClosed; ///< open row
        std::uint32_t active = 0;   ///< bursts for which the row is opened or open, and that wait
        std::uint32_t rank = 0;
        /// Of times_: what its commands wait for.
        std::uint32_t rank_times = 0;
        std::uint32_t group_times = 0;
        std::uint32_t own_times = 0;
        Need other = Need::kActivate; ///< of a burst of another row

        void set(std::int64_t new_row, std::uint32_t new_active) {
            row = new_row;
            active = new_active;
            other = row == kClosed ? Need::kActivate
                    : active == 0  ? Need::kPrecharge
                                   : Need::kPatience;
        }
    };
    /// The second half of an activation waits for nothing; its place in a bank's times says never.
    static constexpr DramCommand kNothing = DramCommand::kActivate2;
    /// A time that a command puts off.
    struct Effect {
        std::int32_t clocks;
        std::uint32_t time; ///< of times_, or added to where the bank's group or the bank begins
        enum class Base : std::uint32_t { kNone, kGroup, kBank } base;
    };
    struct Request {
        DramRun run;
        std::uint32_t bank = 0;     ///< flat
        std::uint32_t accepted = 0; ///< bursts
        std::uint32_t left = 0;     ///< bursts not served
        DramClock accepted_at = 0;
        DramClock finished = 0;
    };
    /// Bursts of one request that wait in a queue, neighbours.
    struct Entry {
        std::uint64_t seq; ///< of acceptance, first burst
        std::uint32_t request;
        std::uint32_t bank;
        std::uint32_t row;
        std::uint32_t column;
        std::uint32_t waiting;
    };
    struct Queue {
        std::vector<Entry> entries;
        std::uint32_t bursts = 0;
    };
    /// A burst that opened its row: it waits outside the queues.
    struct Active {
        std::uint64_t seq;
        std::uint32_t request;
        std::uint32_t bank;
        std::uint32_t row;
        bool write;
    };
    struct Refresh {
        std::uint32_t rank;
        std::uint32_t bank; ///< flat
    };
    enum class Source : std::uint8_t { kUrgent, kActive, kRefresh, kQueue, kDeferred };
    /// A command that can be issued: its clock, its source, its place there, compared in this
    /// order.
    using Choice = std::uint64_t;
    static constexpr Choice kNoChoice = UINT64_MAX;
    static constexpr unsigned kPlaceBits = 13;
    static constexpr unsigned kClockShift = kPlaceBits + 3;
    static constexpr DramClock kNotInTime = kNever >> kClockShift; ///< the latest in a choice
    Choice choice(DramClock when, Source source, std::size_t place) const {
        // No earlier than now, without a branch.
        const DramClock wait = when - clock_;
        const auto clock = static_cast<std::uint64_t>(clock_ + (wait & ~(wait >> 63)));
        return clock << kClockShift | static_cast<std::uint64_t>(source) << kPlaceBits | place;
    }
    static DramClock clock_of(Choice choice) {
        return choice == kNoChoice ? kNever : static_cast<DramClock>(choice >> kClockShift);
    }

    DramClock ready(DramCommand command, const Bank& bank) const {
        const DramClock* const times = times_.data() + static_cast<std::size_t>(command);
        const DramClock around = std::max(times[bank.rank_times], times[bank.group_times]);
        return std::max(around, times[bank.own_times]);
    }
    void compile();
    std::vector<Effect>& effects(DramCommand command, std::uint32_t rank) {
        return effects_[static_cast<std::size_t>(command) * dram_.ranks + rank];
    }
    void apply(DramCommand command, const Bank& bank);
    void count_activation(const Bank& bank);

    void accept(DramClock before);
    void accept_burst(DramClock at);
    bool forwarded(const Request& request, std::uint32_t column) const;
    void burst_done(std::uint32_t request, DramClock finished);
    bool empty() const;

    void catch_up_refresh(DramClock at);
    void queue_refresh();
    DramClock next_arrival() const;
    DramClock next_change() const;

    Choice choose();
    Choice choose_refresh() const;
    Choice choose_from_queue() const;
    DramCommand refresh_command() const;
    void issue(Choice choice);
    void issue_refresh();
    void issue_from_queue(std::size_t place);
    void issue_column(const Bank& bank, std::uint32_t request, bool write);

    DramConfig dram_;
    DramTimingTable table_;
    std::uint32_t banks_per_rank_;

    std::uint64_t write_low_; ///< bursts, in hundredths
    std::uint64_t write_high_;

    std::vector<std::vector<Effect>> effects_; ///< by command and rank
    /// The earliest clock of each command at each rank, bank group and bank, in this order. A
    /// command waits for those of its bank, the bank's group and its rank.
    std::vector<DramClock> times_;
    std::vector<Rank> ranks_;
    std::vector<Bank> banks_;

    std::deque<std::uint32_t> inbound_; ///< requests, in order of arrival
    std::size_t inbound_writes_ = 0;
    std::vector<Request> requests_;
    std::vector<std::uint32_t> free_requests_;
    Queue reads_;
    Queue writes_;
    std::vector<Active> activating_; ///< at most one: the next ACT-1 waits for its ACT-2
    DramClock activate_deadline_ = 0;
    std::vector<Active> active_;
    std::deque<Refresh> refresh_queue_;
    bool write_mode_ = false;

    DramClock clock_ = 0; ///< the next clock to decide
    DramClock next_decision_ = kNever;
    DramClock accept_at_ = 0;  ///< clock of the next acceptance, at the earliest
    unsigned accepted_in_ = 0; ///< bursts accepted in clock accept_at_
    DramClock next_refresh_ = kNever;
    std::uint32_t refresh_bank_ = 0;
    std::uint64_t next_seq_ = 0;
    std::vector<DramRunDone>* done_ = nullptr;
    std::vector<std::uint64_t>* entered_ = nullptr;
    DramCounters counters_;
};

} // namespace talus::sim

#endif
