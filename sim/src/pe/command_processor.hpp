// Command processor of a PE: queues per core and unit, contexts, circular buffers, semaphores.
#ifndef TALUS_SIM_PE_COMMAND_PROCESSOR_HPP
#define TALUS_SIM_PE_COMMAND_PROCESSOR_HPP

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/diagnostics.hpp"

#include "circular_buffer.hpp"
#include "unit.hpp"

namespace talus::sim {

/// What the command processor reports to the PE's registers.
class FaultSink {
  public:
    virtual ~FaultSink() = default;
    virtual void on_command_fault(unsigned core, const Command& command, const Fault& fault,
                                  Cycle now) = 0;
};

class CommandProcessor {
  public:
    /// Kinds of the events that it schedules for `unit_id`; the PE hands them to on_event().
    enum EventKind : std::uint32_t {
        kKick,      ///< a = unit: look for a command to begin
        kStep,      ///< a = unit: Unit::advance
        kComplete,  ///< a = unit
        kStall,     ///< a = core * 8 + unit, b = ticket: CP_STALL_LIMIT of a queue's first command
        kCoreStall, ///< a = core, b = number of the wait: CP_STALL_LIMIT of a waiting core
        kAnswer,    ///< a = unit, b = token: Unit::answered
        kEventKinds,
    };

    CommandProcessor(PeShared& shared, EventQueue& events, UnitId unit_id, PeHost& host,
                     FaultSink& faults);
    ~CommandProcessor();

    OpResult custom(unsigned core, HartId hart, Cycle now, const CustomInsn& insn);
    void on_event(const Event& event);
    void add_to_semaphore(std::uint32_t semaphore, std::uint32_t value, Cycle now);
    /// A link of the reduction network changed its state.
    void link_changed(Cycle now) { state_changed(now); }

    /// PE_CP_RESET: drops commands, CBs, contexts and semaphores.
    void reset(Cycle now);
    void set_stall_limit(std::uint32_t clocks) { stall_limit_ = clocks; }
    std::uint32_t stall_limit() const { return stall_limit_; }

    bool busy() const;
    /// Not while busy().
    void checkpoint(Checkpoint& state);
    /// Shows the units' commands and waits on tracks below `parent`.
    void trace(TraceSink& sink, TraceTrack parent);
    CoreActivity wait_of(unsigned core) const;
    void describe_waits(const std::string& pe, std::vector<std::string>& out) const;
    /// Unit::settle() of the units that put values off.
    void settle() { units_[TALUS_UNIT_DPE].unit->settle(); }
    /// Configured circular buffers and semaphores that are not 0, a line each.
    void describe_buffers(std::vector<std::string>& out) const;
    /// What each queue holds and what is under way in each unit, a line each.
    void describe_queues(std::vector<std::string>& out) const;

  private:
    struct Queue {
        std::deque<Command> commands;
        std::optional<Command> piece; ///< of the first command: what begins next
        bool stalled = false;
        Cycle stalled_since = 0;
    };
    struct UnitState {
        std::unique_ptr<Unit> unit;
        std::array<Queue, 2> queues;
        std::deque<Command> in_flight; ///< complete in this order
        unsigned last_core = 1;
        Cycle next_issue = 0;
        Cycle kick_at = kNever;
        /// What the first command that dispatch() looked at last waits for.
        UnitActivity head_wait = UnitActivity::kIdle;
        std::vector<TraceTrack> lanes; ///< for commands that overlap
        std::uint64_t lanes_used = 0;

        void checkpoint(Checkpoint& state) {
            state(*unit, last_core, next_issue, kick_at, head_wait);
        }
    };
    /// Why a command cannot begin, or a core's instruction retire.
    enum class Reason : std::uint8_t {
        kNone,
        kQueueFull,
        kData,
        kSpace,
        kSemaphore,
        kDrain,
        kBank,
        kArrival, ///< of a message of the reduction network; object = direction
        kLink,    ///< the neighbour has not taken up the last message; object = direction
    };
    struct Wait {
        Reason reason = Reason::kNone;
        std::uint32_t object = 0; ///< CB, semaphore, unit, mask of units, bank
        std::uint64_t amount = 0;

        void checkpoint(Checkpoint& state) { state(reason, object, amount); }
    };
    struct CoreState {
        std::array<std::array<std::uint64_t, TALUS_CP_CONTEXT_WORDS>, TALUS_CP_CONTEXTS> contexts{};
        /// Commands issued and not complete that use the bank, in order of issue.
        struct BankUse {
            std::uint64_t ticket;
            std::uint8_t unit;
        };
        std::array<std::deque<BankUse>, TALUS_RE_BANKS> bank_users;
        std::array<std::uint32_t, TALUS_UNIT_COUNT> outstanding{};
        bool stopped = false; ///< a command of this core faulted
        Wait wait;
        std::uint64_t wait_pc = 0;
        Cycle wait_since = 0;
        std::uint64_t wait_number = 0;
        bool wait_expired = false;
        HartId hart = 0;
        Cycle last_post = 0;

        void checkpoint(Checkpoint& state) {
            state(contexts, stopped, wait, wait_pc, wait_since, wait_number, wait_expired, hart,
                  last_post);
        }
    };

    bool present(const Command& command) const; ///< the configuration has its mechanism
    OpResult enqueue(unsigned core, Cycle now, const CustomInsn& insn);
    OpResult synchronous(unsigned core, Cycle now, const CustomInsn& insn);
    OpResult configure_cb(Cycle now, const CustomInsn& insn);
    OpResult cb_operation(unsigned core, Cycle now, const CustomInsn& insn, std::uint32_t code);
    OpResult post(unsigned core, Cycle now, const CustomInsn& insn);
    OpResult block(unsigned core, Cycle now, const CustomInsn& insn, const Wait& wait);
    OpResult retire(unsigned core, Cycle now);
    OpResult retire_with(unsigned core, Cycle now, std::uint64_t value);

    void state_changed(Cycle now);
    void wake_cores(Cycle now);
    bool holds(unsigned core, const Wait& wait) const; ///< the wait is still on
    bool drained(unsigned core, std::uint64_t mask) const;

    void kick(unsigned unit, Cycle at);
    void dispatch(unsigned unit, Cycle now);
    void begin_commands(unsigned unit, Cycle now);
    static Command& head(Queue& queue);
    bool try_begin(unsigned unit, unsigned core, Cycle now);
    void begin(unsigned unit, unsigned core, Cycle now);
    void step(unsigned unit, Cycle now);
    void answer(unsigned unit, std::uint64_t token, Cycle now);
    void connect_units();
    void complete(unsigned unit, Cycle now);
    bool lost(const Command& command, Cycle now) const;
    void give_up(unsigned unit, const Fault& fault, Cycle now);
    void settle_before(const Command& command);
    std::optional<Fault> evaluate(Command& command, Wait& wait) const;
    std::optional<Fault> evaluate_operand(const Command& command, Operand& operand,
                                          Wait& wait) const;
    void fault(unsigned unit, unsigned core, const Fault& fault, Cycle now);
    void schedule(Cycle at, EventKind kind, std::uint64_t a, std::uint64_t b);
    static bool limited(const Wait& wait);
    static std::uint64_t stall_value(const Wait& wait);
    void trace_begin(unsigned unit, Cycle now);
    void trace_end(unsigned unit, Cycle now);
    std::string describe(const Wait& wait) const;
    static std::string party_name(CbParty party);

    PeShared& shared_;
    EventQueue& events_;
    UnitId unit_id_;
    PeHost& host_;
    FaultSink& faults_;
    std::array<UnitState, TALUS_UNIT_COUNT> units_;
    std::array<CoreState, 2> cores_;
    std::array<CircularBuffer, TALUS_CB_COUNT> cbs_;
    std::array<std::uint32_t, TALUS_SEM_COUNT> semaphores_{};
    std::uint64_t next_ticket_ = 1;
    std::uint64_t next_wait_ = 1;
    std::uint32_t generation_ = 0; ///< events of an earlier one are void
    std::uint32_t stall_limit_ = 0;
    TraceSink* trace_ = nullptr;
    TraceTrack trace_parent_ = kTraceRoot;
};

} // namespace talus::sim

#endif
