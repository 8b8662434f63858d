// What a core or a unit of a PE does with its time.
#ifndef TALUS_SIM_CORE_ACTIVITY_HPP
#define TALUS_SIM_CORE_ACTIVITY_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "checkpoint.hpp"
#include "trace_sink.hpp"
#include "types.hpp"

namespace talus::sim {

/// X(enumerator, name in traces and statistics)
#define TALUS_UNIT_ACTIVITIES(X)                                                                   \
    X(kIdle, "idle")             /* nothing queued */                                              \
    X(kActive, "active")         /* a command is under way */                                      \
    X(kWaitData, "wait data")    /* none is; the first one waits for data in a CB */               \
    X(kWaitSpace, "wait space")  /* ... for space in a CB */                                       \
    X(kWaitBank, "wait RE bank") /* ... for earlier commands on its RE bank */

#define TALUS_CORE_ACTIVITIES(X)                                                                   \
    X(kHeld, "held") /* in reset */                                                                \
    X(kRun, "run")                                                                                 \
    X(kWfi, "WFI")                                                                                 \
    X(kWaitQueue, "wait queue") /* for room in a queue of the command processor */                 \
    X(kWaitData, "wait data")   /* for data in a CB */                                             \
    X(kWaitSpace, "wait space") /* for space in a CB */                                            \
    X(kWaitSemaphore, "wait semaphore")                                                            \
    X(kWaitDrain, "wait drain") /* for its commands to complete */                                 \
    X(kWaitOther, "wait other")                                                                    \
    X(kHalted, "halted") /* took a trap without a handler */

#define TALUS_ACTIVITY_VALUE(name, text) name,
enum class UnitActivity : std::uint8_t { TALUS_UNIT_ACTIVITIES(TALUS_ACTIVITY_VALUE) kCount };
enum class CoreActivity : std::uint8_t { TALUS_CORE_ACTIVITIES(TALUS_ACTIVITY_VALUE) kCount };
#undef TALUS_ACTIVITY_VALUE

std::string_view activity_name(UnitActivity activity);
std::string_view activity_name(CoreActivity activity);

/// What a trace shows: a unit's commands are shown as such, and what stands still is not.
constexpr bool is_traced(UnitActivity activity) {
    return activity != UnitActivity::kIdle && activity != UnitActivity::kActive;
}
constexpr bool is_traced(CoreActivity activity) {
    return activity != CoreActivity::kHeld;
}

/// Divides time among the values of an enumeration (whose last is kCount): at every moment one of
/// them holds, from time 0 on the first one.
template <typename State>
class ActivityClock {
  public:
    static constexpr std::size_t kStates = static_cast<std::size_t>(State::kCount);

    State state() const { return state_; }
    Cycle since() const { return since_; }

    /// `state` holds from `now` on. `now` never goes back, except to 0 when time starts anew.
    void enter(State state, Cycle now) {
        if (state == state_) {
            return;
        }
        const Cycle before = since_;
        if (now >= since_) {
            spent_[index(state_)] += now - since_;
            if (trace_ != nullptr && is_traced(state_)) [[unlikely]] {
                trace_->slice(track_, activity_name(state_), since_, now);
            }
        }
        last_ = state_;
        last_since_ = before;
        state_ = state;
        since_ = now;
    }

    /// Shows from now on what holds on `track`. Null: no longer.
    void trace(TraceSink* sink, TraceTrack track) {
        trace_ = sink;
        track_ = track;
    }

    /// Clocks that `state` has held up to `now`, which may lie a little before since(): a core runs
    /// ahead of global time.
    std::uint64_t spent(State state, Cycle now) const {
        std::uint64_t sum = spent_[index(state)];
        if (now >= since_) {
            sum += state == state_ ? now - since_ : 0;
        } else if (state == last_) {
            sum -= since_ - (now > last_since_ ? now : last_since_);
        }
        return sum;
    }

    void checkpoint(Checkpoint& state) { state(spent_, state_, last_, since_, last_since_); }

  private:
    static constexpr std::size_t index(State state) { return static_cast<std::size_t>(state); }

    std::array<std::uint64_t, kStates> spent_{};
    State state_ = State{};
    State last_ = State{};
    Cycle since_ = 0;
    Cycle last_since_ = 0;
    TraceSink* trace_ = nullptr;
    TraceTrack track_ = kTraceRoot;
};

} // namespace talus::sim

#endif
