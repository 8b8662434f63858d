// A fixed-function unit: how long a command takes and what it computes.
//
// Values are computed at the completion event: a command reads its sources and writes its
// destination in that instant. Circular buffers and the program's own waits keep others away in
// between, so it is the same as any time within the command's duration. Index lists alone are read
// when the command begins, for they decide its requests.
#ifndef TALUS_SIM_PE_UNIT_HPP
#define TALUS_SIM_PE_UNIT_HPP

#include <array>
#include <optional>
#include <string>

#include "core/config.hpp"
#include "core/event_queue.hpp"
#include "mem/calendar.hpp"
#include "mem/fabric.hpp"

#include "command.hpp"
#include "pe.hpp"
#include "reduction_link.hpp"

namespace talus::sim {

using Bank = std::array<std::uint32_t, TALUS_RE_BANK_ROWS * TALUS_RE_BANK_COLS>;

/// Least and greatest value of each row; FP32 bit patterns. +inf, -inf: of nothing.
using RowRanges = std::array<talus_row_range, TALUS_RE_BANK_ROWS>;
inline constexpr talus_row_range kEmptyRange{0x7f800000u, 0xff800000u};

/// What the units of a PE share. The references outlive the units.
struct PeShared {
    const Config& config;
    std::uint32_t pe;
    Fabric& fabric;
    std::uint8_t* local;
    BandwidthCalendar& local_bandwidth;
    PeCounters& counters;
    std::array<Bank, TALUS_RE_BANKS>& banks;
    /// The SE's operations; drains with a function take theirs from them too.
    BandwidthCalendar& simd_operations;
    std::array<RowRanges, TALUS_RE_BANKS>& ranges;
    /// By direction: what arrives from above and from the left; whether the link to the neighbour
    /// below or on the right holds a message of this PE's.
    std::array<ReductionInbox, 2>& inboxes;
    std::array<bool, 2>& link_taken;
    PeHost& host;

    /// Physical index of the PE to which (step = 1) or from which (-1) the link of `direction`
    /// leads; nullopt at the sub-grid's edge (neighbour) or the grid's (link_peer).
    std::optional<std::uint32_t> neighbour(unsigned direction, int step) const;
    std::optional<std::uint32_t> link_peer(unsigned direction, int step) const;
};

class Unit {
  public:
    explicit Unit(PeShared& shared) : shared_(shared) {}
    virtual ~Unit() = default;

    /// Earliest time at which another command may begin; kNever while that depends on an event.
    virtual Cycle ready_at() const = 0;
    /// Commands that may be under way at once.
    virtual std::size_t in_flight_limit() const { return 8; }

    /// Checks that need resolved operands (fabric range, indices), before anything is touched.
    virtual std::optional<Fault> check(Command&) { return std::nullopt; }
    /// Begins `command`, which stays where it is until it completes. Returns the time of
    /// completion, never before that of the command before it; nullopt: advance() will tell.
    virtual std::optional<Cycle> begin(Command& command, Cycle now) = 0;

    /// Multi-step units. The next step is due at `next`; or there is none: the begun command
    /// completes at `done`, or finished() will tell. `waits`: an answer is needed before the next
    /// step, which answered() asks for.
    struct Step {
        std::optional<Cycle> next;
        std::optional<Cycle> done;
        bool waits = false;
    };
    virtual Step advance(Cycle now) { return {std::nullopt, now, false}; }

    /// An answer to a request that was sent with answer(token) came. true: advance() is due now.
    /// Then finished() is asked until it has nothing more.
    virtual bool answered(std::uint64_t /*token*/, Cycle /*now*/) { return false; }
    /// The oldest command whose completion was left to answers completes at this time.
    virtual std::optional<Cycle> finished() { return std::nullopt; }
    /// How answers reach the unit: the event, less the token in `b`.
    void set_answer(const Notify& answer) { answer_ = answer; }

    /// The command begun last waits for others than time; advance() is called once it goes on.
    virtual bool waits() const { return false; }
    /// For whom, for a deadlock report. Only if waits().
    virtual std::string describe_wait() const { return {}; }

    /// The command is about to be executed, and some memory of the chip is damaged: the first
    /// uncorrectable word of what it reads, or writes in part. By default its local operands count.
    virtual std::optional<Fault> damage(const Command& command);

    /// The values. Called at completion, in order. A unit may put them off until settle().
    virtual void execute(Command& command) = 0;
    /// Computes what execute() has put off. Called before anybody could tell the difference: before
    /// another unit uses an RE bank or writes to `changes` (local memory, or null: anywhere),
    /// before a core is told that commands are complete, and before a reset.
    virtual void settle(const std::uint8_t* /*changes*/ = nullptr, std::uint64_t /*bytes*/ = 0) {}

    virtual void reset() = 0;

    /// What outlives its commands. Not while one is queued or under way, or a value is put off.
    virtual void checkpoint(Checkpoint& state) = 0;

  protected:
    std::uint8_t* local(const Operand& operand) const { return shared_.local + operand.base; }
    /// Checks rows of memory that the chip's ECC may know of; `bytes`: the first one's.
    std::optional<Fault> damage(const std::uint8_t* bytes, std::uint64_t rows, std::uint64_t pitch,
                                std::uint64_t row_bytes, bool write) const;
    PeCounters::Unit& counters(const Command& command) {
        return shared_.counters.units[command.unit];
    }

    Notify answer(std::uint64_t token) const {
        return {answer_.unit, answer_.kind, answer_.a, token};
    }

    PeShared& shared_;

  private:
    Notify answer_;
};

/// A unit whose occupancy is known when a command begins. A command's start-up overlaps with the
/// end of the one before.
class PipelinedUnit : public Unit {
  public:
    PipelinedUnit(PeShared& shared, Cycle startup, Cycle pipeline)
        : Unit(shared), startup_(startup), pipeline_(pipeline) {}

    Cycle ready_at() const override { return free_at_ > startup_ ? free_at_ - startup_ : 0; }
    std::optional<Cycle> begin(Command& command, Cycle now) override;
    void reset() override {
        free_at_ = 0;
        last_done_ = 0;
    }
    void checkpoint(Checkpoint& state) override { state(free_at_, last_done_); }

  protected:
    /// Clocks for which the command keeps others out.
    virtual Cycle occupancy(const Command& command) const = 0;
    /// Bytes it moves to and from local memory.
    virtual std::uint64_t local_bytes(const Command& command) const = 0;
    /// Operations that it asks of the SIMD engine.
    virtual std::uint64_t simd_operations(const Command&) const { return 0; }

  private:
    Cycle startup_;
    Cycle pipeline_;
    Cycle free_at_ = 0;
    Cycle last_done_ = 0;
};

inline constexpr std::uint64_t divide_up(std::uint64_t a, std::uint64_t b) {
    return (a + b - 1) / b;
}

} // namespace talus::sim

#endif
