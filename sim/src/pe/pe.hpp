// A processing element: local memory, registers, command processor, circular buffers,
// fixed-function units and work-queue engine. The two harts themselves belong to the SoC, which
// hands their custom instructions to custom() and their accesses to the fabric.
//
// Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_PE_PE_HPP
#define TALUS_SIM_PE_PE_HPP

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/activity.hpp"
#include "core/config.hpp"
#include "core/diagnostics.hpp"
#include "core/event_queue.hpp"
#include "isa/hart.hpp"
#include "mem/fabric.hpp"

namespace talus::sim {

/// A unit that runs at `step` of the device's `full` clock skips clocks: it takes full / step as
/// many.
struct UnitClock {
    std::uint64_t full = 1;
    std::uint64_t step = 1;
};

/// What a PE asks of the SoC that owns its harts. Both may be called from within custom() and from
/// register writes, also for the hart that is executing: the SoC calls Hart::wake or
/// Hart::set_interrupt and puts the hart back on its schedule.
class PeHost {
  public:
    virtual ~PeHost() = default;
    virtual void wake(HartId hart, Cycle when) = 0;
    virtual void set_interrupt(HartId hart, unsigned bit, bool level, Cycle when) = 0;
    /// The clock at which a unit's command that begins at `now` runs.
    virtual UnitClock unit_clock(Cycle) { return {}; }
};

/// Totals since construction; reset() keeps them.
struct PeCounters {
    struct Unit {
        std::uint64_t commands = 0;
        std::uint64_t busy_clocks = 0; ///< the unit's throughput was taken
        std::uint64_t bytes = 0;       ///< read and written in local memory
        ActivityClock<UnitActivity> activity;

        void checkpoint(Checkpoint& state) { state(commands, busy_clocks, bytes, activity); }
    };
    std::array<Unit, 6> units{}; ///< by enum talus_unit
    std::uint64_t macs = 0;      ///< of all types
    std::uint64_t int8_macs = 0; ///< of them
    std::uint64_t simd_operations = 0;
    std::uint64_t reduction_elements = 0; ///< loaded, drained, ranged, sent or received by the RE
    std::uint64_t launches = 0;
    std::uint64_t faults = 0;

    void checkpoint(Checkpoint& state) {
        state(units, macs, int8_macs, simd_operations, reduction_elements, launches, faults);
    }
};

class Pe final : public EventSink, public PePort {
  public:
    /// Registers with `events` (one unit) and with `fabric` as PE `index` (physical). All
    /// references outlive the PE. Starts held (see hold()).
    Pe(const Config& config, std::uint32_t index, EventQueue& events, Fabric& fabric,
       Diagnostics& diagnostics, PeHost& host);
    ~Pe() override;

    /// GRID_PE_RESET = 1: drops everything but the contents of local memory, and that too where the
    /// PE was in a domain; the SoC resets and holds the harts. GRID_PE_RESET = 0: the work-queue
    /// engine accepts launches again; returns when the harts may start.
    void hold(Cycle now);
    Cycle release(Cycle now);

    /// A custom-0 or custom-1 instruction of one of the PE's harts. kBlocked: PeHost::wake()
    /// follows when its condition may hold; the hart then executes it again.
    OpResult custom(HartId hart, Cycle now, const CustomInsn& insn);

    /// The broadcast of GRID_LAUNCH reaches the PE at time `arrival` (>= global time).
    void launch(Cycle arrival, std::uint64_t descriptor);

    /// Shows jobs and the units' commands on tracks below `parent`.
    void trace(TraceSink& sink, TraceTrack parent);

    /// What a core waits for that custom() has blocked.
    CoreActivity wait_of(unsigned core) const;

    /// True while a command, a fetch of the work queue or a semaphore post is under way or queued.
    bool busy() const;
    /// A descriptor is in the work queue: a job is under way or waits.
    bool has_work() const;
    /// Not while busy() or has_work(); after Fabric::rebase().
    void checkpoint(Checkpoint& state);

    /// One line for everything that waits: blocked cores, queue heads with the CB and the bytes
    /// that they wait for and who produces or consumes them. For the wait-for graph of a deadlock
    /// report.
    std::vector<std::string> describe_waits() const;

    /// Computes what a unit has completed and put off: local memory is about to change under it.
    void settle();

    /// For people: the state of the command processor, a line for each thing that is not idle.
    std::vector<std::string> describe_buffers() const;
    std::vector<std::string> describe_queues() const;

    const PeCounters& counters() const;
    std::uint32_t index() const { return index_; }

    // PePort
    std::uint8_t* local_memory() override;
    std::uint32_t subgrid_rect() const override;
    std::uint64_t read_register(Cycle now, std::uint32_t offset, unsigned len) override;
    void write_register(Cycle now, std::uint32_t offset, unsigned len,
                        std::uint64_t value) override;
    void post_semaphore(Cycle arrival, std::uint32_t semaphore, std::uint32_t value) override;
    std::uint64_t announce_sums(Cycle arrival, unsigned direction,
                                const ReductionMessage& header) override;
    void deliver_sums(unsigned direction, std::uint64_t number,
                      const ReductionMessage& message) override;
    void return_link(Cycle arrival, unsigned direction) override;
    void rebase(Cycle now) override;

    // EventSink
    void on_event(const Event& event) override;

    struct Impl;

  private:
    std::uint32_t index_;
    std::unique_ptr<Impl> impl_;
};

} // namespace talus::sim

#endif
