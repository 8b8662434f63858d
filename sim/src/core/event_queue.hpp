// The device's one queue of events. Events are plain data, so that a parked device can be
// checkpointed: no closures, no coroutines. They run in order of (time, unit, sequence): what
// happens in a clock does not depend on who scheduled first across units.
//
// Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_CORE_EVENT_QUEUE_HPP
#define TALUS_SIM_CORE_EVENT_QUEUE_HPP

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint.hpp"
#include "types.hpp"

namespace talus::sim {

/// Index of a unit, in the order of add_unit(). Within a clock, units run in this order, so it is
/// part of the model: add units in a fixed order.
using UnitId = std::uint32_t;

struct Event {
    Cycle time;
    UnitId unit;
    std::uint32_t kind; ///< the unit's own
    std::uint64_t seq;  ///< number of the schedule() call; breaks ties within a unit
    std::uint64_t a;    ///< the unit's own
    std::uint64_t b;    ///< the unit's own
};

/// A unit of the chip that receives events.
class EventSink {
  public:
    virtual ~EventSink() = default;
    virtual void on_event(const Event& event) = 0;
};

class EventQueue {
  public:
    /// `sink` outlives the queue's use.
    UnitId add_unit(EventSink& sink, std::string name) {
        units_.push_back({&sink, std::move(name)});
        return static_cast<UnitId>(units_.size() - 1);
    }
    const std::string& unit_name(UnitId unit) const { return units_.at(unit).name; }

    /// There is no cancellation: a unit that may change its mind keeps a generation in `b`.
    /// `time` must not lie in the past; throws std::logic_error (an internal error) if it does.
    void schedule(Cycle time, UnitId unit, std::uint32_t kind, std::uint64_t a = 0,
                  std::uint64_t b = 0) {
        if (time < now_) {
            throw std::logic_error("event scheduled in the past for unit " + unit_name(unit));
        }
        heap_.emplace_back();
        sift_up(heap_.size() - 1, {time, unit, kind, next_seq_++, a, b});
    }

    /// Global time: that of the event being run, or as set by advance_to().
    Cycle now() const { return now_; }
    /// No event but perhaps the background timer: nothing goes on by itself.
    bool empty() const { return heap_.empty(); }
    std::size_t size() const { return heap_.size(); }
    /// Time of the first event, the background timer's included; kNever when there is none.
    Cycle next_time() const {
        return heap_.empty() ? timer_.time : std::min(heap_.front().time, timer_.time);
    }

    /// The one timer that does not count for empty(): a device with nothing but a timer is parked.
    /// It takes its place among the events and fires once, with `kind` and the given unit; setting
    /// it again replaces it. kNever disarms it; a time in the past means now.
    void set_background_timer(Cycle time, UnitId unit, std::uint32_t kind) {
        timer_ = {std::max(time, now_), unit, kind, 0, 0, 0};
    }
    Cycle background_timer() const { return timer_.time; }

    /// Runs the first event, the background timer's included. There must be one.
    void run_next() {
        Event event = timer_;
        if (heap_.empty() || (timer_.time != kNever && before(timer_, heap_.front()))) {
            timer_.time = kNever;
        } else {
            event = heap_.front();
            pop();
        }
        now_ = event.time;
        ++executed_;
        units_[event.unit].sink->on_event(event);
    }

    /// Events that have run since construction; a reset does not set it back.
    std::uint64_t executed() const { return executed_; }

    /// Moves global time over a span without events. Never backwards, never past an event.
    void advance_to(Cycle time) {
        if (time < now_ || time > next_time()) {
            throw std::logic_error("global time moved across an event");
        }
        now_ = time;
    }

    /// Drops all events and sets time to 0 (fundamental reset). Units stay.
    void reset() {
        heap_.clear();
        timer_.time = kNever;
        now_ = 0;
        next_seq_ = 0;
    }

    /// Time and the background timer. Throws std::logic_error (an internal error) where events
    /// wait; restoring drops them.
    void checkpoint(Checkpoint& state) {
        if (state.restoring()) {
            heap_.clear();
        }
        if (!empty()) {
            throw std::logic_error("a checkpoint while events wait");
        }
        state(now_, next_seq_, executed_, timer_.time, timer_.unit, timer_.kind);
    }

  private:
    struct Unit {
        EventSink* sink;
        std::string name;
    };

    static bool before(const Event& x, const Event& y) {
        // Without branches: which way it goes is as good as random.
        const bool seq = x.seq < y.seq;
        const bool unit = (x.unit < y.unit) | ((x.unit == y.unit) & seq);
        return (x.time < y.time) | ((x.time == y.time) & unit);
    }

    // A 4-ary heap: half the depth of a binary one, and the children share cache lines.
    void sift_up(std::size_t index, const Event& event) {
        while (index > 0) {
            const std::size_t parent = (index - 1) / 4;
            if (!before(event, heap_[parent])) {
                break;
            }
            heap_[index] = heap_[parent];
            index = parent;
        }
        heap_[index] = event;
    }

    void pop() {
        const Event last = heap_.back();
        heap_.pop_back();
        const std::size_t size = heap_.size();
        if (size == 0) {
            return;
        }
        std::size_t index = 0;
        for (;;) {
            const std::size_t first = index * 4 + 1;
            if (first >= size) {
                break;
            }
            std::size_t best = first;
            const std::size_t end = first + 4 < size ? first + 4 : size;
            for (std::size_t child = first + 1; child < end; ++child) {
                if (before(heap_[child], heap_[best])) {
                    best = child;
                }
            }
            if (!before(heap_[best], last)) {
                break;
            }
            heap_[index] = heap_[best];
            index = best;
        }
        heap_[index] = last;
    }

    std::vector<Unit> units_;
    std::vector<Event> heap_;
    Event timer_{kNever, 0, 0, 0, 0, 0};
    Cycle now_ = 0;
    std::uint64_t next_seq_ = 0;
    std::uint64_t executed_ = 0;
};

} // namespace talus::sim

#endif
