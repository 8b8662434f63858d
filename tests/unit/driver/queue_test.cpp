// Rings, doorbells, and completions that no device should write.
#include "queue.hpp"

#include "error.hpp"
#include "fake_device.hpp"

#include "talus/hw/pci.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

namespace talus::driver {
namespace {

// ---- Event index ----

// The definition, step by step: does the index, on its way from `before` to `after`, move from
// `event` to event + 1?
bool passes(std::uint32_t event, std::uint32_t before, std::uint32_t after, std::uint32_t entries) {
    for (std::uint32_t at = before; at != after; at = (at + 1) % entries)
        if (at == event)
            return true;
    return false;
}

TEST(EventIndex, AgreesWithSteppingAroundTheRing) {
    for (const std::uint32_t entries : {2u, 4u, 8u, 32u})
        for (std::uint32_t event = 0; event < entries; ++event)
            for (std::uint32_t before = 0; before < entries; ++before)
                for (std::uint32_t after = 0; after < entries; ++after)
                    ASSERT_EQ(wants_doorbell(event, before, after, entries),
                              passes(event, before, after, entries))
                        << event << ": " << before << " -> " << after << " of " << entries;
}

TEST(EventIndex, SleepingDeviceIsWokenAcrossTheWrap) {
    EXPECT_TRUE(wants_doorbell(255, 255, 0, 256));
    EXPECT_TRUE(wants_doorbell(250, 250, 3, 256));
    EXPECT_FALSE(wants_doorbell(249, 250, 3, 256)); // it has not caught up: it is awake
    EXPECT_FALSE(wants_doorbell(0, 0, 0, 256));
}

// ---- Rings ----

constexpr std::uint16_t kQid = 3;

// A ring pair in plain memory, with the device's side played by the test.
class Rings : public ::testing::Test {
  protected:
    explicit Rings(std::uint32_t entries = 8)
        : entries_(entries), submission_(entries * TALUS_SQE_BYTES),
          completion_(entries * TALUS_CQE_BYTES), transport_(state_), doorbells_(transport_),
          pair_(kQid, entries, submission_.data(), completion_.data(), doorbells_) {
        state_.memory_enabled = true;
    }

    void submit(std::size_t count, std::uint64_t first_tag = 0) {
        std::vector<talus_sqe> commands(count);
        std::vector<std::uint64_t> tags(count);
        for (std::size_t i = 0; i < count; ++i) {
            commands[i].opcode = TALUS_IO_NOP;
            tags[i] = first_tag + i;
        }
        cids_.resize(count);
        pair_.submit(commands, tags, cids_);
    }

    talus_sqe entry(std::uint32_t index) const {
        talus_sqe value{};
        std::memcpy(&value, submission_.data() + index * TALUS_SQE_BYTES, sizeof value);
        return value;
    }

    talus_cqe good(std::uint16_t cid) const {
        talus_cqe value{};
        value.qid = kQid;
        value.cid = cid;
        return value;
    }

    void write_raw(std::uint32_t index, const talus_cqe& value) {
        std::memcpy(completion_.data() + index * TALUS_CQE_BYTES, &value, sizeof value);
    }

    // The device's next completion, with its phase.
    void complete(talus_cqe value) {
        value.status = static_cast<std::uint16_t>((value.status & 0xfffe) | device_phase_);
        write_raw(device_tail_, value);
        if (++device_tail_ == entries_) {
            device_tail_ = 0;
            device_phase_ ^= 1;
        }
    }

    std::uint32_t entries_;
    std::vector<std::byte> submission_;
    std::vector<std::byte> completion_;
    test::FakeState state_;
    test::FakeTransport transport_;
    Doorbells doorbells_;
    QueuePair pair_;
    std::vector<std::uint32_t> cids_;
    std::uint32_t device_tail_ = 0;
    std::uint16_t device_phase_ = 1;
};

TEST_F(Rings, BatchRingsOnceAndMarksItsEnd) {
    submit(3);
    ASSERT_EQ(state_.doorbells.size(), 1u);
    EXPECT_EQ(state_.doorbells[0].bar, TALUS_BAR_DOORBELLS);
    EXPECT_EQ(state_.doorbells[0].offset, kQid * TALUS_DOORBELL_STRIDE + TALUS_DOORBELL_SQ_TAIL);
    EXPECT_EQ(state_.doorbells[0].value, 3u);
    EXPECT_EQ(entry(0).flags, 0);
    EXPECT_EQ(entry(1).flags, 0);
    EXPECT_EQ(entry(2).flags, TALUS_SQE_BATCH_END);
    EXPECT_EQ(std::set(cids_.begin(), cids_.end()).size(), 3u);
    EXPECT_EQ(pair_.in_flight(), 3u);
    EXPECT_EQ(pair_.room(), 4u); // one slot of eight stays empty
}

TEST_F(Rings, WrapsManyTimesWithTheRightPhase) {
    std::uint64_t next_tag = 0;
    std::uint64_t expected_tag = 0;
    for (int round = 0; round < 200; ++round) {
        const std::size_t count = 1 + static_cast<std::size_t>(round) % 7;
        submit(count, next_tag);
        next_tag += count;
        EXPECT_FALSE(pair_.take()); // nothing of an earlier lap is taken again
        for (const std::uint32_t cid : cids_)
            complete(good(static_cast<std::uint16_t>(cid)));
        for (std::size_t i = 0; i < count; ++i) {
            const auto taken = pair_.take();
            ASSERT_TRUE(taken) << "round " << round;
            EXPECT_EQ(taken->tag, expected_tag++);
        }
        EXPECT_FALSE(pair_.take());
        pair_.acknowledge();
        EXPECT_EQ(state_.doorbells.back().offset % TALUS_DOORBELL_STRIDE, TALUS_DOORBELL_CQ_HEAD);
        EXPECT_EQ(state_.doorbells.back().value, expected_tag % entries_);
    }
    EXPECT_EQ(pair_.in_flight(), 0u);
}

TEST_F(Rings, AcknowledgesOnlyNews) {
    submit(1);
    complete(good(static_cast<std::uint16_t>(cids_[0])));
    ASSERT_TRUE(pair_.take());
    pair_.acknowledge();
    const std::size_t rung = state_.doorbells.size();
    pair_.acknowledge();
    EXPECT_EQ(state_.doorbells.size(), rung);
}

TEST_F(Rings, CompletionsInAnyOrderFindTheirTags) {
    submit(4, 100);
    for (const std::size_t i : {2u, 0u, 3u, 1u})
        complete(good(static_cast<std::uint16_t>(cids_[i])));
    for (const std::uint64_t tag : {102u, 100u, 103u, 101u})
        EXPECT_EQ(pair_.take()->tag, tag);
}

TEST_F(Rings, StaleCommandIdsAreNotReusedAtOnce) {
    submit(1);
    const std::uint32_t first = cids_[0];
    complete(good(static_cast<std::uint16_t>(first)));
    ASSERT_TRUE(pair_.take());
    submit(1);
    EXPECT_NE(cids_[0], first);
    complete(good(static_cast<std::uint16_t>(first))); // the device completes it twice
    EXPECT_THROW(pair_.take(), Error);
}

// ---- Hostile completions ----

TEST_F(Rings, WrongPhaseIsNoCompletion) {
    submit(1);
    talus_cqe value = good(static_cast<std::uint16_t>(cids_[0]));
    value.status = 0; // phase of the lap before
    write_raw(0, value);
    EXPECT_FALSE(pair_.take());
    EXPECT_EQ(pair_.in_flight(), 1u);
}

TEST_F(Rings, UnknownCommandIdIsAProtocolError) {
    submit(1);
    complete(good(static_cast<std::uint16_t>(cids_[0] + 1))); // idle id
    EXPECT_THROW(pair_.take(), Error);
}

TEST_F(Rings, CommandIdOutsideTheTableIsAProtocolError) {
    submit(1);
    complete(good(0xfffe));
    try {
        pair_.take();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.status(), TALUS_DRV_PROTOCOL);
        EXPECT_NE(std::string(error.what()).find("65534"), std::string::npos) << error.what();
    }
}

TEST_F(Rings, AllOnesIsAProtocolError) {
    submit(1);
    talus_cqe value{};
    std::memset(&value, 0xff, sizeof value);
    write_raw(0, value);
    EXPECT_THROW(pair_.take(), Error);
}

TEST_F(Rings, ForeignQueueIsAProtocolError) {
    submit(1);
    talus_cqe value = good(static_cast<std::uint16_t>(cids_[0]));
    value.qid = kQid + 1;
    complete(value);
    EXPECT_THROW(pair_.take(), Error);
}

TEST_F(Rings, HeadOutsideTheRingIsAProtocolError) {
    submit(1);
    talus_cqe value = good(static_cast<std::uint16_t>(cids_[0]));
    value.sq_head = 8;
    complete(value);
    EXPECT_THROW(pair_.take(), Error);
}

TEST_F(Rings, OverrunIsRefusedBeforeTheRingIsTouched) {
    submit(7);
    EXPECT_EQ(pair_.room(), 0u);
    const auto before = submission_;
    EXPECT_THROW(submit(1), Error);
    EXPECT_EQ(submission_, before);
}

// ---- Shadow doorbells ----

class ShadowRings : public Rings {
  protected:
    ShadowRings() { doorbells_.use_shadow(shadow_.data(), event_.data()); }
    std::vector<std::uint32_t> shadow_ = std::vector<std::uint32_t>(2 * TALUS_MAX_QUEUES);
    std::vector<std::uint32_t> event_ = std::vector<std::uint32_t>(2 * TALUS_MAX_QUEUES);
};

TEST_F(ShadowRings, RingsASleepingDeviceOnly) {
    submit(2); // event index 0: it sleeps at the start of the ring
    EXPECT_EQ(shadow_[2 * kQid], 2u);
    EXPECT_EQ(state_.doorbells.size(), 1u);
    submit(1); // event index is still 0: it is awake and looks by itself
    EXPECT_EQ(shadow_[2 * kQid], 3u);
    EXPECT_EQ(state_.doorbells.size(), 1u);
    event_[2 * kQid] = 3; // asleep again
    submit(1);
    EXPECT_EQ(state_.doorbells.size(), 2u);
    EXPECT_EQ(state_.doorbells.back().value, 4u);
}

TEST_F(ShadowRings, RestartForgetsAPredecessorsEventIndex) {
    event_[2 * kQid] = 5;
    event_[2 * kQid + 1] = 5;
    shadow_[2 * kQid] = 7;
    doorbells_.restart(kQid);
    EXPECT_EQ(shadow_[2 * kQid], 0u);
    submit(1);
    EXPECT_EQ(state_.doorbells.size(), 1u);
}

TEST_F(ShadowRings, AdminQueueAlwaysRings) {
    doorbells_.submission_tail(TALUS_QUEUE_ADMIN, 5, 6, 16);
    EXPECT_EQ(shadow_[0], 6u);
    EXPECT_EQ(state_.doorbells.size(), 1u);
}

// A device thread that follows the protocol (set the event index, fence, reread the tail, sleep)
// against a driver that stores tails as fast as it can. A lost wake-up stops the device for ever.
TEST(ShadowRace, NoWakeUpIsLost) {
    constexpr std::uint32_t kEntries = 64;
    constexpr int kMoves = 2000000;
    std::uint32_t shadow[2 * (kQid + 1)] = {};
    std::uint32_t event[2 * (kQid + 1)] = {};
    std::atomic<int> bells{0};

    test::FakeState state;
    state.on_operation = [&](const char*) { bells.fetch_add(1); };
    test::FakeTransport transport(state);
    Doorbells doorbells(transport);
    doorbells.use_shadow(shadow, event);

    std::atomic<std::uint32_t> seen{0};
    std::atomic<bool> stop{false};
    std::thread device([&] {
        int heard = 0;
        for (;;) {
            const std::uint32_t tail = __atomic_load_n(&shadow[2 * kQid], __ATOMIC_ACQUIRE);
            seen.store(tail);
            __atomic_store_n(&event[2 * kQid], tail, __ATOMIC_RELEASE);
            std::atomic_thread_fence(std::memory_order_seq_cst);
            if (__atomic_load_n(&shadow[2 * kQid], __ATOMIC_ACQUIRE) != tail)
                continue;
            for (int spins = 0; bells.load() == heard; ++spins) { // asleep
                if (stop.load())
                    return;
                if (spins > 1000)
                    std::this_thread::yield();
            }
            heard = bells.load();
        }
    });
    std::uint32_t tail = 0;
    bool stuck = false;
    for (int move = 0; move < kMoves && !stuck; ++move) {
        const std::uint32_t next = (tail + 1) % kEntries;
        doorbells.submission_tail(kQid, tail, next, kEntries);
        tail = next;
        // Spread the moves over the device's way from awake to asleep.
        for (volatile int pause = move * 7 % 61; pause > 0;)
            pause = pause - 1;
        if (move % 16 == 0) {
            // Let it catch up and fall asleep now and then; a device that can't is stuck.
            const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
            while (seen.load() != tail && !stuck) {
                std::this_thread::yield();
                stuck = std::chrono::steady_clock::now() > deadline;
            }
        }
    }
    stop = true;
    device.join();
    EXPECT_FALSE(stuck) << "the device sleeps on entries that it was not told of";
}

} // namespace
} // namespace talus::driver
