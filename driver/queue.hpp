// Submission and completion rings in DMA memory, and how the device hears of them.
#pragma once

#include "memory.hpp"
#include "transport.hpp"

#include "talus/hw/queue.h"

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace talus::driver {

/// Does moving an index from `before` to `after` pass the device's event index? All are ring
/// indices below `entries`, a power of two. The device sets the event index to the index that it
/// has seen before it sleeps, and wants a doorbell for the first move beyond it; the distances are
/// taken around the ring, so wrapping needs no special case. (A stale event index of an earlier lap
/// can ask for one doorbell too many, never for one too few.)
constexpr bool wants_doorbell(std::uint32_t event, std::uint32_t before, std::uint32_t after,
                              std::uint32_t entries) {
    const std::uint32_t mask = entries - 1;
    return ((after - event - 1) & mask) < ((after - before) & mask);
}

/// The doorbells of all queues: BAR2, and with shadow doorbells two pages of host memory. A queue's
/// doorbells are rung by the thread that owns the queue.
class Doorbells {
  public:
    explicit Doorbells(Transport& transport) : transport_(transport) {}

    /// From now on: store the index in `shadow`, and write BAR2 only if the device's `event` index
    /// asks. Both hold u32[2 * qid] for submission tails and u32[2 * qid + 1] for completion heads.
    void use_shadow(std::uint32_t* shadow, std::uint32_t* event);
    void use_bar_only();

    /// Back to index 0, for a queue that is about to be created.
    void restart(std::uint32_t qid);

    void submission_tail(std::uint32_t qid, std::uint32_t before, std::uint32_t after,
                         std::uint32_t entries);
    void completion_head(std::uint32_t qid, std::uint32_t before, std::uint32_t after,
                         std::uint32_t entries);

  private:
    void ring(std::uint32_t qid, std::uint32_t slot, std::uint32_t bar_offset, std::uint32_t before,
              std::uint32_t after, std::uint32_t entries);

    Transport& transport_;
    std::uint32_t* shadow_ = nullptr;
    std::uint32_t* event_ = nullptr; // written by the device, except by restart()
};

/// One queue pair: rings, in-flight table, phase. One thread at a time. Knows nothing of what the
/// commands mean.
class QueuePair {
  public:
    /// A completion and the tag its command was submitted with.
    struct Completion {
        talus_cqe entry;
        std::uint64_t tag;
    };

    /// `submission`: entries * 64 bytes, `completion`: entries * 32 zeroed bytes. `entries`: a
    /// power of two from 2 to TALUS_MAX_QUEUE_ENTRIES. One slot stays empty, so that a full ring
    /// differs from an empty one.
    QueuePair(std::uint32_t qid, std::uint32_t entries, std::byte* submission,
              std::byte* completion, Doorbells& doorbells);

    std::uint32_t qid() const { return qid_; }
    std::uint32_t entries() const { return entries_; }
    std::size_t room() const { return entries_ - 1 - in_flight_; }
    std::size_t in_flight() const { return in_flight_; }

    /// Writes the commands to the ring, gives them command ids, marks the last one as the batch's
    /// end, and rings once. `tags` and `cids` run parallel to `commands`; cids may be empty. The
    /// caller has checked room().
    void submit(std::span<talus_sqe> commands, std::span<const std::uint64_t> tags,
                std::span<std::uint32_t> cids);

    /// The next completion, if the device has written one. Throws PROTOCOL for one that no device
    /// in its senses writes: unknown command id, other queue, head outside the ring.
    std::optional<Completion> take();

    /// Completions that the device has written and nobody has taken, at most in_flight().
    std::size_t ready() const;

    /// Tells the device how far completions were taken; once per batch of take().
    void acknowledge();

    /// Is `cid` submitted and not completed?
    bool is_in_flight(std::uint32_t cid) const;

    /// Command ids in flight, ascending.
    std::vector<std::uint16_t> pending() const;

  private:
    struct Slot {
        bool busy = false;
        std::uint64_t tag = 0;
    };

    std::uint32_t qid_;
    std::uint32_t entries_;
    std::byte* submission_;
    std::byte* completion_;
    Doorbells& doorbells_;
    std::uint32_t tail_ = 0;
    std::uint32_t head_ = 0;
    std::uint32_t acknowledged_ = 0;
    std::uint16_t phase_ = 1;
    std::size_t in_flight_ = 0;
    std::vector<Slot> slots_;             // by command id
    std::deque<std::uint16_t> free_cids_; // oldest first: a late duplicate hits an idle id
};

} // namespace talus::driver
