// Work-queue engine of a PE: fetches descriptors and argument blocks into slots of local memory.
#ifndef TALUS_SIM_PE_WORK_QUEUE_HPP
#define TALUS_SIM_PE_WORK_QUEUE_HPP

#include <cstdint>
#include <deque>
#include <optional>

#include "talus/hw/work.h"

#include "command.hpp"
#include "unit.hpp"

namespace talus::sim {

/// Broadcasts that find all slots full wait in order. The descriptor is read first, then the
/// argument block that it names; the bytes are taken at the end of each read.
class WorkQueueEngine {
  public:
    enum EventKind : std::uint32_t { kLaunch = 16, kDescriptor, kArguments };

    WorkQueueEngine(PeShared& shared, EventQueue& events, UnitId unit_id);

    void launch(Cycle arrival, std::uint64_t descriptor);
    /// What an event led to.
    struct Outcome {
        bool filled = false;        ///< tail() moved
        std::optional<Fault> fault; ///< the descriptor was dropped
    };
    Outcome on_event(const Event& event);
    /// The runtime consumed slots up to `head`. false: beyond the tail (nothing changes).
    bool set_head(std::uint32_t head, Cycle now);
    /// PE_WQ_READY: the runtime has started, so that the PE may enter a domain.
    void set_ready(Cycle now);
    void reset();

    std::uint32_t head() const { return head_; }
    std::uint32_t tail() const { return tail_; }
    /// Not while busy().
    void checkpoint(Checkpoint& state) {
        state(head_, tail_, generation_, ready_);
        state.bytes(latched_.data(), sizeof latched_);
    }
    bool busy() const { return fetching_ || !pending_.empty() || in_transit_ != 0; }
    /// PE_SUBGRID_RECT of the slot at the head. Only if head != tail.
    std::uint32_t rect() const;
    /// The descriptor in front. Only if head() != tail().
    const talus_work& current() const { return latched_[head_ % TALUS_WQ_SLOTS]; }

  private:
    std::uint8_t* slot(std::uint32_t number) const;
    /// Address of an uncorrectable word of what is about to be read, or written in part; 0: none.
    std::uint64_t damage(const std::uint8_t* bytes, std::uint64_t len, bool write);
    void start(Cycle now);
    Outcome fail(std::uint64_t cause, std::uint64_t tval, Cycle now);
    void schedule(Cycle at, EventKind kind, std::uint64_t a);

    PeShared& shared_;
    Isolation& isolation_;
    EventQueue& events_;
    UnitId unit_id_;
    Requester who_;
    std::deque<std::uint64_t> pending_;
    bool fetching_ = false;
    std::uint32_t in_transit_ = 0; ///< broadcasts that have not arrived
    std::uint32_t head_ = 0;
    std::uint32_t tail_ = 0;
    std::uint64_t generation_ = 0;
    bool ready_ = false;
    bool waits_ = false; ///< the descriptor in front is of a domain, and the PE is not ready
    /// What the slots hold, out of the kernels' reach: the rectangle is what confines them.
    std::array<talus_work, TALUS_WQ_SLOTS> latched_{};
};

} // namespace talus::sim

#endif
