// Queue engine: the only unit that touches host queues. It fetches submission entries into the
// inbox and posts completions from the outbox, both in control SRAM; firmware never waits for the
// host.
#ifndef TALUS_SIM_SOC_QUEUE_ENGINE_HPP
#define TALUS_SIM_SOC_QUEUE_ENGINE_HPP

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "talus/hw/pci.h"
#include "talus/hw/queue.h"
#include "talus/hw/registers.h"

#include "../core/checkpoint.hpp"
#include "../core/diagnostics.hpp"
#include "../core/event_queue.hpp"
#include "../core/trace_sink.hpp"
#include "../mem/ecc.hpp"
#include "../mem/isolation.hpp"
#include "../pci/device_model.hpp"
#include "host_interface.hpp"
#include "interrupt_controller.hpp"
#include "pcie_link.hpp"
#include "register_block.hpp"

namespace talus::sim {

class QueueEngine final : public RegisterBlock, public EventSink {
  public:
    /// `control_sram`: TALUS_CONTROL_SRAM_SIZE bytes.
    QueueEngine(EventQueue& events, Diagnostics& diagnostics, PcieLink& link,
                InterruptController& interrupts, HostInterface& host_interface,
                Isolation& isolation, std::uint8_t* control_sram, Ecc& ecc);

    void connect(HostPort& host) { host_ = &host; }

    /// All queues are gone, nothing is fetched or posted any more. FLR leaves what stands in inbox
    /// and outbox to firmware, indices included; a fundamental reset clears them (and the event
    /// queue).
    void reset(bool fundamental);

    /// A doorbell write is admitted at `now`; everything up to `tail` belongs to it.
    void admit_tail(Cycle now, unsigned qid, std::uint32_t tail);
    /// The host has taken completions up to `head`. A head beyond those that stand in its memory
    /// stops the queue: whoever writes it has lost track of the ring, and entries would be
    /// overwritten unread.
    void set_cq_head(Cycle now, unsigned qid, std::uint32_t head);

    // --- shadow doorbells: for a parked device ---------------------------------------------------
    /// The shadow page is set and some I/O queue is enabled.
    bool shadow_active() const;
    /// True if the queue's doorbell values come from the shadow page: writes to BAR2 only wake.
    bool shadowed(unsigned qid) const;
    /// Reads the shadow page. true: some queue has entries that were not admitted yet: `qid`, and
    /// `tail` just behind the first entry with TALUS_SQE_BATCH_END (or the host's tail).
    bool poll_shadow(unsigned& qid, std::uint32_t& tail);
    /// The same of one queue.
    bool poll_shadow_of(unsigned qid, std::uint32_t& tail);
    /// Asks the host to ring BAR2 for what poll_shadow() has not seen. Poll once more afterwards,
    /// before sleeping: the host may have stored its tail before it could see this.
    void request_doorbells();
    /// Takes the request back.
    void withdraw_doorbells();

    /// Looks whether the host has made room in a completion ring that was full. true: it has;
    /// resume_posting() goes on.
    bool poll_shadow_heads();
    void resume_posting(Cycle now);

    /// Completions of the queue wait for room in its ring.
    bool waits_for_host(unsigned qid) const {
        return qid < TALUS_MAX_QUEUES && !queues_[qid].waiting.empty();
    }

    /// Logs every admission and completion.
    void log_commands(bool on) { log_commands_ = on; }
    /// Shows doorbells, fetches, completions and interrupts on tracks below `parent`.
    void trace(TraceSink& sink, TraceTrack parent) {
        trace_ = &sink;
        trace_parent_ = parent;
    }

    /// Admission to completion, summed over all commands since the start, and the longest one's.
    std::uint64_t command_clocks() const { return command_clocks_; }
    std::uint64_t longest_command_clocks() const { return longest_command_clocks_; }

    /// Commands admitted and not yet completed, over all queues.
    std::uint64_t outstanding() const { return outstanding_; }

    /// What outlives a function-level reset. Not while a queue is enabled.
    void checkpoint(Checkpoint& state);

    /// For people: inbox and outbox, then a line for each queue that is enabled.
    std::vector<std::string> describe() const;

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override;
    void on_event(const Event& event) override;

  private:
    enum EventKind : std::uint32_t {
        kFetched,
        kPosted,
        kSent,        ///< a completion has left the device
        kInterrupted, ///< an MSI-X message is with the host
    };

    struct Admission {
        std::uint32_t tail; ///< ring index just behind the batch
        Cycle when;
    };
    struct Completion {
        talus_cqe cqe;
        Cycle issued = 0;   ///< when it was sent over the link
        std::uint32_t slot; ///< of the outbox, free-running
    };
    struct Queue {
        // registers
        std::uint64_t sq_iova = 0;
        std::uint64_t cq_iova = 0;
        std::uint32_t entries = 0;
        std::uint32_t vector = 0;
        std::uint32_t domain = 0;
        std::uint32_t irq_enable = 0;
        bool enabled = false;
        std::string stopped; ///< why the engine stopped it; "" if it did not
        // state since it was enabled; ring indices
        std::uint32_t generation = 0; ///< of enable; events of an older one are dropped
        std::uint32_t fetched = 0;    ///< entries requested up to here
        std::uint32_t sq_head = 0;    ///< entries delivered up to here
        std::uint32_t tail = 0;       ///< admitted up to here
        std::uint32_t cq_tail = 0;    ///< completions issued up to here
        std::uint32_t cq_head = 0;    ///< as last heard from the host
        std::uint32_t phase = 1;
        std::uint64_t outstanding = 0; ///< admitted, completion not posted
        std::deque<Admission> admissions;
        std::deque<Completion> waiting; ///< taken from the outbox, not yet issued
        std::deque<Completion> posting; ///< on their way over the link
        std::uint32_t sending = 0;      ///< of those, the ones that have not left the device
        struct Tracks {
            TraceTrack events = kTraceRoot; ///< doorbells and MSI-X; root: not made yet
            TraceTrack fetch = kTraceRoot;
            TraceTrack completion = kTraceRoot;
        } tracks;
    };

    void enable(Cycle now, unsigned qid, bool on);
    void fetch(Cycle now);
    void fetched(Cycle now, unsigned qid, std::uint32_t start, std::uint32_t count);
    void drain_outbox(Cycle now);
    void post(Cycle now, unsigned qid);
    void posted(Cycle now, unsigned qid);
    void sent(Cycle now, unsigned qid);
    void interrupted(Cycle now, unsigned qid);
    void finish_slot(Cycle now, std::uint32_t slot);
    bool shadow_batch(unsigned qid, std::uint32_t tail, std::uint32_t& end);
    bool valid_head(const Queue& queue, std::uint32_t head) const;
    bool take_head(Cycle now, unsigned qid, std::uint32_t head);
    bool load_shadow_head(unsigned qid, std::uint32_t& head);
    void store_event_indices(bool ring);
    Queue::Tracks& tracks(unsigned qid);
    void stop(Cycle now, unsigned qid, std::string why);
    void write_queue32(Cycle now, std::uint32_t offset, std::uint32_t value);

    EventQueue& events_;
    Diagnostics& diagnostics_;
    PcieLink& link_;
    InterruptController& interrupts_;
    HostInterface& host_interface_;
    Isolation& isolation_;
    Ecc& ecc_;
    talus_inbox_slot* inbox_;
    talus_outbox_slot* outbox_;
    HostPort* host_ = nullptr;
    UnitId unit_;

    std::array<Queue, TALUS_MAX_QUEUES> queues_;
    std::uint32_t inbox_reserved_ = 0; ///< slots promised to fetches under way
    std::uint32_t inbox_tail_ = 0;
    std::uint32_t inbox_head_ = 0;
    std::uint32_t outbox_tail_ = 0;
    std::uint32_t outbox_head_ = 0;
    std::uint32_t outbox_taken_ = 0; ///< slots copied out; posted in order up to outbox_head_
    std::array<bool, TALUS_OUTBOX_SLOTS> outbox_done_{};
    std::uint64_t shadow_iova_ = 0;
    std::uint64_t event_iova_ = 0;
    std::uint32_t window_index_ = 0;
    std::uint64_t window_iova_ = 0;
    std::uint64_t window_length_ = 0;
    std::uint32_t window_access_ = 0;
    unsigned next_queue_ = 0; ///< round robin
    std::uint64_t outstanding_ = 0;
    std::uint64_t command_clocks_ = 0;
    std::uint64_t longest_command_clocks_ = 0;
    bool log_commands_ = false;
    TraceSink* trace_ = nullptr;
    TraceTrack trace_parent_ = kTraceRoot;
};

} // namespace talus::sim

#endif
