// Drives one hart from the event queue: runs it ahead of global time by a number of clocks, sleeps
// while it waits. An idle hart has no event and costs nothing.
//
// How far it runs ahead bounds how late an interrupt reaches a hart that shares nothing meanwhile;
// what is shared comes at its time anyway.
#ifndef TALUS_SIM_CORE_HART_RUNNER_HPP
#define TALUS_SIM_CORE_HART_RUNNER_HPP

#include <algorithm>
#include <string>
#include <utility>

#include "../isa/hart.hpp"
#include "activity.hpp"
#include "event_queue.hpp"

namespace talus::sim {

/// Says what a hart waits for whose port call returned kBlocked.
class BlockReasons {
  public:
    virtual ~BlockReasons() = default;
    virtual CoreActivity blocked_on(HartId hart) const = 0;
};

/// Every change that may let the hart run goes through here: interrupts, wake-ups, reset. Belongs
/// to the timing thread.
class HartRunner final : public EventSink {
  public:
    /// In clocks; `alone` while no event waits but those of harts.
    struct RunAhead {
        unsigned usual;
        unsigned alone;
    };

    /// The hart starts held: nothing runs until release(). The references outlive the runner.
    HartRunner(EventQueue& queue, Hart& hart, const BlockReasons& reasons, std::string name,
               RunAhead run_ahead)
        : queue_(queue), hart_(hart), reasons_(reasons), run_ahead_(run_ahead),
          unit_(queue.add_unit(*this, std::move(name))) {}

    /// Holds the hart in reset: no instruction runs until release().
    void hold() {
        held_ = true;
        activity_.enter(CoreActivity::kHeld, queue_.now());
        ++generation_;
        scheduled_ = false;
    }
    /// Leaves reset at time `when` with the given first instruction.
    void release(Cycle when, std::uint64_t pc) {
        hart_.reset(when, pc);
        held_ = false;
        activity_.enter(CoreActivity::kRun, when);
        schedule();
    }
    bool held() const { return held_; }

    /// A debugger keeps the hart from executing: what would let it run is remembered.
    void set_frozen(bool frozen) {
        frozen_ = frozen;
        if (!frozen && !held_) {
            schedule();
        }
    }
    bool frozen() const { return frozen_; }
    /// Ends the hart's WFI without an interrupt. false: it was not in WFI.
    bool leave_wfi(Cycle when) {
        if (held_ || !hart_.leave_wfi(when)) {
            return false;
        }
        activity_.enter(CoreActivity::kRun, hart_.now());
        schedule();
        return true;
    }

    /// Level of mip bit `bit` from time `when` on.
    void set_interrupt(unsigned bit, bool level, Cycle when) {
        if (hart_.set_interrupt(bit, level, when) && !held_) {
            activity_.enter(CoreActivity::kRun, hart_.now());
            schedule();
        }
    }
    /// A blocked operation of the hart may retry at time `when`.
    void wake(Cycle when) {
        if (hart_.wake(when) && !held_) {
            activity_.enter(CoreActivity::kRun, hart_.now());
            schedule();
        }
    }

    Hart& hart() { return hart_; }
    const Hart& hart() const { return hart_; }
    /// True while the hart cannot go on by itself: held, halted, in WFI or blocked.
    bool waiting() const { return held_ || !hart_.runnable(); }
    /// How the hart has spent its time.
    const ActivityClock<CoreActivity>& activity() const { return activity_; }
    /// Shows it on a track of a trace.
    void trace(TraceSink& sink, TraceTrack track) { activity_.trace(&sink, track); }

    /// The hart and what it waits for; it is not on the schedule.
    void checkpoint(Checkpoint& state) {
        state(hart_, held_, generation_, activity_);
        scheduled_ = false;
    }

    void on_event(const Event& event) override {
        queue_.core_runs();
        if (event.b != generation_ || held_) {
            return; // from before a reset
        }
        scheduled_ = false;
        if (frozen_) {
            return; // set_frozen(false) schedules again
        }
        // Stay here as long as no other event lies between: saves a trip through the queue per
        // shared operation. The bounds let the caller look at resets and shutdown.
        Cycle now = hart_.now();
        const Cycle end = now + kRounds * run_ahead_.usual;
        for (unsigned round = 0; round < kRounds && now < end; ++round) {
            in_run_ = true;
            const StopReason reason = hart_.run(until(now), queue_.now());
            in_run_ = false;
            if (held_ || frozen_ || event.b != generation_) {
                return; // reset by its own store, or stopped
            }
            now = hart_.now();
            if (!hart_.runnable()) {
                activity_.enter(waiting_state(reason), now);
                return;
            }
            if (now >= queue_.next_time()) {
                break;
            }
            if (now > queue_.now()) {
                queue_.advance_to(now);
            }
        }
        schedule();
    }

  private:
    static constexpr unsigned kRounds = 64;

    CoreActivity waiting_state(StopReason reason) const {
        switch (reason) {
        case StopReason::kWfi:
            return CoreActivity::kWfi;
        case StopReason::kHalted:
            return CoreActivity::kHalted;
        default:
            return reasons_.blocked_on(hart_.id());
        }
    }

    Cycle until(Cycle now) const {
        const Cycle usual = now + run_ahead_.usual;
        if (!queue_.only_cores()) {
            return usual;
        }
        return std::max(usual, std::min(now + run_ahead_.alone, queue_.background_timer()));
    }

    void schedule() {
        if (scheduled_ || in_run_ || frozen_ || !hart_.runnable()) {
            return;
        }
        scheduled_ = true;
        queue_.core_waits();
        queue_.schedule(std::max(hart_.now(), queue_.now()), unit_, 0, 0, generation_);
    }

    EventQueue& queue_;
    Hart& hart_;
    const BlockReasons& reasons_;
    RunAhead run_ahead_;
    UnitId unit_;
    ActivityClock<CoreActivity> activity_;
    std::uint64_t generation_ = 0;
    bool held_ = true;
    bool frozen_ = false;
    bool scheduled_ = false;
    bool in_run_ = false;
};

} // namespace talus::sim

#endif
