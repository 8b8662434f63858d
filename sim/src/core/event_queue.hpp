// The device's one queue of events. Events are plain data, so that a parked device can be
// checkpointed: no closures, no coroutines. They run in order of (time, unit, sequence): what
// happens in a clock does not depend on who scheduled first across units.
//
// Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_CORE_EVENT_QUEUE_HPP
#define TALUS_SIM_CORE_EVENT_QUEUE_HPP

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
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
        const Event event{time, unit, kind, next_seq_++, a, b};
        if (time - now_ < kNear) {
            add_near(event);
        } else {
            far_.emplace_back();
            sift_up(far_.size() - 1, event);
        }
    }

    /// Of a core that is to run, which counts it here: nothing comes of it but by the core's own
    /// shared operations.
    void core_waits() { ++cores_; }
    void core_runs() { --cores_; }
    /// No event waits but those of cores.
    bool only_cores() const { return size() == cores_; }

    /// Global time: that of the event being run, or as set by advance_to().
    Cycle now() const { return now_; }
    /// No event but perhaps the background timer: nothing goes on by itself.
    bool empty() const { return near_count_ == 0 && far_.empty(); }
    std::size_t size() const { return near_count_ + far_.size(); }
    /// Time of the first event, the background timer's included; kNever when there is none.
    Cycle next_time() const {
        const Cycle first = std::min(near_time_, timer_.time);
        return far_.empty() ? first : std::min(far_.front().time, first);
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
        const bool is_near =
            near_count_ != 0 && (far_.empty() || before(first_near(), far_.front()));
        Event event = timer_;
        if (empty() ||
            (timer_.time != kNever && before(timer_, is_near ? first_near() : far_.front()))) {
            timer_.time = kNever;
        } else if (is_near) {
            event = first_near();
            pop_near();
        } else {
            event = far_.front();
            pop_far();
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
        drop();
        timer_.time = kNever;
        now_ = 0;
        next_seq_ = 0;
    }

    /// Time and the background timer. Throws std::logic_error (an internal error) where events
    /// wait; restoring drops them.
    void checkpoint(Checkpoint& state) {
        if (state.restoring()) {
            drop();
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

    // What happens within kNear clocks, which is nearly everything, has a list for each clock, in
    // the order of (unit, seq): events are added and taken in a time that does not depend on how
    // many there are. All times in the lists are from now_ on and less than kNear away, so that a
    // time's place is its remainder. The rest is a heap; nothing moves from there to here.
    static constexpr Cycle kNear = 1024;
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};
    struct Node {
        Event event;
        std::uint32_t next;
    };
    struct List {
        std::uint32_t first = kNone;
        std::uint32_t last = kNone;
    };

    const Event& first_near() const { return nodes_[lists_[near_time_ % kNear].first].event; }

    void add_near(const Event& event) {
        std::uint32_t number = free_;
        if (number == kNone) {
            number = static_cast<std::uint32_t>(nodes_.size());
            nodes_.emplace_back();
        } else {
            free_ = nodes_[number].next;
        }
        Node& node = nodes_[number];
        node.event = event;
        node.next = kNone;
        const std::size_t place = event.time % kNear;
        List& list = lists_[place];
        if (list.first == kNone) {
            list = {number, number};
            busy_[place / 64] |= std::uint64_t{1} << place % 64;
        } else if (nodes_[list.last].event.unit <= event.unit) {
            list.last = nodes_[list.last].next = number;
        } else {
            std::uint32_t* link = &list.first;
            while (nodes_[*link].event.unit <= event.unit) {
                link = &nodes_[*link].next;
            }
            node.next = *link;
            *link = number;
        }
        ++near_count_;
        near_time_ = std::min(near_time_, event.time);
    }

    void pop_near() {
        const std::size_t place = near_time_ % kNear;
        List& list = lists_[place];
        const std::uint32_t number = list.first;
        list.first = nodes_[number].next;
        nodes_[number].next = free_;
        free_ = number;
        --near_count_;
        if (list.first == kNone) {
            busy_[place / 64] &= ~(std::uint64_t{1} << place % 64);
            near_time_ = near_count_ == 0 ? kNever : near_time_ + to_next_list(place);
        }
    }

    /// Clocks from an empty list to the next that is not. There is one.
    Cycle to_next_list(std::size_t place) const {
        std::size_t word = place / 64;
        std::uint64_t bits = busy_[word] >> place % 64;
        Cycle clocks = 0;
        if (bits == 0) {
            clocks = 64 - place % 64;
            while ((bits = busy_[word = (word + 1) % busy_.size()]) == 0) {
                clocks += 64;
            }
        }
        return clocks + static_cast<Cycle>(std::countr_zero(bits));
    }

    void drop() {
        far_.clear();
        nodes_.clear();
        lists_.fill({});
        busy_.fill(0);
        free_ = kNone;
        near_count_ = 0;
        cores_ = 0;
        near_time_ = kNever;
    }

    // A 4-ary heap: half the depth of a binary one, and the children share cache lines.
    void sift_up(std::size_t index, const Event& event) {
        while (index > 0) {
            const std::size_t parent = (index - 1) / 4;
            if (!before(event, far_[parent])) {
                break;
            }
            far_[index] = far_[parent];
            index = parent;
        }
        far_[index] = event;
    }

    void pop_far() {
        const Event last = far_.back();
        far_.pop_back();
        const std::size_t size = far_.size();
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
                if (before(far_[child], far_[best])) {
                    best = child;
                }
            }
            if (!before(far_[best], last)) {
                break;
            }
            far_[index] = far_[best];
            index = best;
        }
        far_[index] = last;
    }

    std::vector<Unit> units_;
    std::vector<Node> nodes_;
    std::array<List, kNear> lists_{};
    std::array<std::uint64_t, kNear / 64> busy_{}; ///< a bit for each list
    std::uint32_t free_ = kNone;                   ///< node, the first of a list
    std::size_t near_count_ = 0;
    std::size_t cores_ = 0;    ///< events of cores
    Cycle near_time_ = kNever; ///< of the first near event
    std::vector<Event> far_;
    Event timer_{kNever, 0, 0, 0, 0, 0};
    Cycle now_ = 0;
    std::uint64_t next_seq_ = 0;
    std::uint64_t executed_ = 0;
};

} // namespace talus::sim

#endif
