#include "core/event_queue.hpp"

#include <algorithm>
#include <iterator>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

namespace talus::sim {
namespace {

class Recorder : public EventSink {
  public:
    std::vector<Event> events;
    void on_event(const Event& event) override { events.push_back(event); }
};

TEST(EventQueue, RunsInOrderOfTimeUnitAndSequence) {
    EventQueue queue;
    Recorder recorder;
    const UnitId first = queue.add_unit(recorder, "first");
    const UnitId second = queue.add_unit(recorder, "second");
    std::mt19937 random(7);
    std::vector<std::tuple<Cycle, UnitId, std::uint64_t>> expected;
    for (std::uint64_t i = 0; i < 5000; ++i) {
        const Cycle time = random() % 300;
        const UnitId unit = random() % 2 == 0 ? first : second;
        queue.schedule(time, unit, 1, i);
        expected.emplace_back(time, unit, i);
    }
    std::sort(expected.begin(), expected.end());
    while (!queue.empty()) {
        queue.run_next();
    }
    ASSERT_EQ(recorder.events.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const Event& event = recorder.events[i];
        EXPECT_EQ(std::make_tuple(event.time, event.unit, event.a), expected[i]) << i;
    }
}

/// Schedules more as it runs, near and far, and compares each event with the first of a std::set.
class Model : public EventSink {
  public:
    explicit Model(std::uint32_t seed) : random_(seed) {
        for (int i = 0; i < 3; ++i) {
            units_.push_back(queue_.add_unit(*this, "unit"));
        }
    }

    void on_event(const Event& event) override {
        ASSERT_FALSE(expected_.empty());
        const auto [time, unit, number] = *expected_.begin();
        expected_.erase(expected_.begin());
        ASSERT_EQ(event.time, time);
        ASSERT_EQ(event.unit, unit);
        ASSERT_EQ(event.a, number);
        ASSERT_EQ(queue_.now(), time);
        ++seen_;
        for (unsigned more = static_cast<unsigned>(random_() % 3); more != 0; --more) {
            schedule();
        }
    }

    void run(unsigned events) {
        while (seen_ < events && !testing::Test::HasFailure()) {
            if (queue_.empty()) {
                schedule();
            }
            const Cycle first = std::get<0>(*expected_.begin());
            ASSERT_EQ(queue_.next_time(), first);
            ASSERT_EQ(queue_.size(), expected_.size());
            if (random_() % 8 == 0) {
                queue_.advance_to(queue_.now() + random_() % (first - queue_.now() + 1));
                schedule();
            }
            queue_.run_next();
        }
    }

  private:
    void schedule() {
        static constexpr Cycle kReaches[] = {1, 2, 70, 1023, 1025, 2048, 100000};
        const Cycle time = queue_.now() + random_() % kReaches[random_() % std::size(kReaches)];
        const UnitId unit = units_[random_() % units_.size()];
        queue_.schedule(time, unit, 0, number_);
        expected_.emplace(time, unit, number_++);
    }

    std::mt19937 random_;
    EventQueue queue_;
    std::vector<UnitId> units_;
    std::set<std::tuple<Cycle, UnitId, std::uint64_t>> expected_;
    std::uint64_t number_ = 0;
    unsigned seen_ = 0;
};

TEST(EventQueue, AgreesWithASetWhateverIsScheduledMeanwhile) {
    for (std::uint32_t seed = 1; seed <= 20 && !HasFailure(); ++seed) {
        Model(seed).run(20000);
    }
}

TEST(EventQueue, RefusesThePast) {
    EventQueue queue;
    Recorder recorder;
    const UnitId unit = queue.add_unit(recorder, "unit");
    queue.schedule(10, unit, 0);
    queue.run_next();
    EXPECT_EQ(queue.now(), 10u);
    EXPECT_THROW(queue.schedule(9, unit, 0), std::logic_error);
    queue.schedule(20, unit, 0);
    EXPECT_THROW(queue.advance_to(21), std::logic_error);
    queue.advance_to(15);
    EXPECT_EQ(queue.now(), 15u);
}

TEST(EventQueue, TheBackgroundTimerKeepsNothingRunning) {
    EventQueue queue;
    Recorder recorder;
    const UnitId unit = queue.add_unit(recorder, "unit");
    queue.set_background_timer(5, unit, 9);
    EXPECT_TRUE(queue.empty());
    EXPECT_EQ(queue.next_time(), 5u);
    queue.schedule(3, unit, 1);
    queue.schedule(7, unit, 2);
    while (!queue.empty()) {
        queue.run_next();
    }
    // It took its place in time between the two.
    ASSERT_EQ(recorder.events.size(), 3u);
    EXPECT_EQ(recorder.events[1].kind, 9u);
    EXPECT_EQ(recorder.events[1].time, 5u);
    EXPECT_EQ(queue.background_timer(), kNever);
    // A parked device steps to it.
    queue.set_background_timer(50, unit, 9);
    queue.run_next();
    EXPECT_EQ(queue.now(), 50u);
}

} // namespace
} // namespace talus::sim
