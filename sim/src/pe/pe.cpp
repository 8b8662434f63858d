#include "pe.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

#include "command_processor.hpp"
#include "mem/host_memory.hpp"
#include "work_queue.hpp"

namespace talus::sim {

namespace {

enum PeEvent : std::uint32_t {
    kSemaphoreEvent = 32,
    kSumsEvent, ///< a = direction, b = number of the message whose first row arrives
    kLinkEvent, ///< a = direction whose neighbour has room again
};

} // namespace

struct Pe::Impl final : FaultSink {
    struct CoreFault {
        std::uint32_t cause = 0;
        std::uint64_t pc = 0;
        std::uint64_t tval = 0;

        void checkpoint(Checkpoint& state) { state(cause, pc, tval); }
    };

    Impl(const Config& config_in, std::uint32_t index_in, EventQueue& events_in, Fabric& fabric_in,
         Diagnostics& diagnostics_in, PeHost& host_in, Pe& pe)
        : config(config_in), index(index_in), events(events_in), diagnostics(diagnostics_in),
          host(host_in), memory(TALUS_LOCAL_SIZE, "a PE's local memory"),
          local_bandwidth(config.local.bytes_per_clock, 1),
          simd_operations(config.se.operations_per_clock, 1),
          shared{config, index,           fabric_in, memory.data(), local_bandwidth, counters,
                 banks,  simd_operations, ranges,    inboxes,       link_taken,      host},
          unit_id(events.add_unit(pe, fmt::format("pe{}", index))),
          cp(shared, events, unit_id, host, *this), work_queue(shared, events, unit_id) {
        forget_ranges();
    }

    HartId hart(unsigned core) const { return TALUS_HART_OF(index, core); }

    std::string name() const {
        return fmt::format("pe {}.{}", index / config.grid.cols, index % config.grid.cols);
    }

    /// Drives an interrupt line, if its level changed.
    void drive(unsigned core, unsigned bit, bool level, Cycle now) {
        const std::uint64_t mask = std::uint64_t{1} << bit;
        if (((lines[core] & mask) != 0) != level) {
            lines[core] ^= mask;
            host.set_interrupt(hart(core), bit, level, now);
        }
    }

    void drive_all(Cycle now) {
        drive(TALUS_CORE_A, TALUS_LIRQ_WORK, work_queue.tail() != work_queue.head(), now);
        for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
            drive(core, TALUS_LIRQ_CP_FAULT, (fault_status >> core & 1) != 0, now);
            drive(core, TALUS_LIRQ_PEER, (peer_interrupt >> core & 1) != 0, now);
        }
    }

    void record_fault(unsigned core, std::uint64_t cause, std::uint64_t pc, std::uint64_t tval,
                      Cycle now) {
        if ((fault_status >> core & 1) == 0) {
            faults[core] = {static_cast<std::uint32_t>(cause), pc, tval};
            fault_status |= 1u << core;
        }
        drive_all(now);
    }

    void on_command_fault(unsigned core, const Command& command, const Fault& fault,
                          Cycle now) override {
        diagnostics.guest("{} core {}: {} issued at {} faults: cause {}, tval {:#x}{}{}", name(),
                          static_cast<char>('A' + core), command_name(command.code),
                          diagnostics.pc(command.pc), fault.cause, fault.tval,
                          fault.detail.empty() ? "" : ": ", fault.detail);
        record_fault(core, fault.cause, command.pc, fault.tval, now);
    }

    std::uint32_t position() const {
        const std::uint32_t row = index / config.grid.cols - (rect & 0xff);
        const std::uint32_t col = index % config.grid.cols - (rect >> 8 & 0xff);
        return (row & 0xff) | (col & 0xff) << 8;
    }

    /// The 32-bit register at `offset`.
    std::uint32_t read32(std::uint32_t offset) const {
        switch (offset) {
        case PE_ID:
            return index;
        case PE_SUBGRID_RECT:
            return rect;
        case PE_POSITION:
            return position();
        case PE_WQ_TAIL:
            return work_queue.tail();
        case PE_WQ_HEAD:
            return work_queue.head();
        case PE_PEER_INTERRUPT:
            return peer_interrupt;
        case PE_CP_STALL_LIMIT:
            return cp.stall_limit();
        case PE_CP_FAULT_STATUS:
            return fault_status;
        case PE_CP_FAULT_CAUSE_A:
            return faults[0].cause;
        case PE_CP_FAULT_CAUSE_B:
            return faults[1].cause;
        case PE_CP_FAULT_PC_A:
        case PE_CP_FAULT_PC_A + 4:
            return half(faults[0].pc, offset);
        case PE_CP_FAULT_PC_B:
        case PE_CP_FAULT_PC_B + 4:
            return half(faults[1].pc, offset);
        case PE_CP_FAULT_TVAL_A:
        case PE_CP_FAULT_TVAL_A + 4:
            return half(faults[0].tval, offset);
        case PE_CP_FAULT_TVAL_B:
        case PE_CP_FAULT_TVAL_B + 4:
            return half(faults[1].tval, offset);
        default:
            return 0;
        }
    }
    static std::uint32_t half(std::uint64_t value, std::uint32_t offset) {
        return static_cast<std::uint32_t>((offset & 4) != 0 ? value >> 32 : value);
    }

    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) {
        switch (offset) {
        case PE_SUBGRID_RECT:
            if (shared.fabric.isolation().domain_of(index) == 0) {
                rect = value;
            }
            break;
        case PE_WQ_READY:
            if ((value & 1) != 0) {
                work_queue.set_ready(now);
            }
            break;
        case PE_WQ_HEAD:
            if (const std::uint32_t before = work_queue.head(); !work_queue.set_head(value, now)) {
                diagnostics.guest("{}: PE_WQ_HEAD set to {}, outside {}..{}", name(), value,
                                  work_queue.head(), work_queue.tail());
            } else if (work_queue.head() != before) {
                job_changes(now, true);
                if (work_queue.head() != work_queue.tail()) {
                    rect = work_queue.rect();
                }
            } else if (work_queue.head() != work_queue.tail()) {
                rect = work_queue.rect();
            }
            break;
        case PE_PEER_INTERRUPT:
            peer_interrupt = value & 3u;
            break;
        case PE_CP_STALL_LIMIT:
            cp.set_stall_limit(value);
            break;
        case PE_CP_FAULT_STATUS:
            fault_status &= ~value;
            break;
        case PE_CP_RESET:
            if ((value & 1) != 0) {
                reset_cp(now);
            }
            break;
        default:
            break;
        }
        drive_all(now);
    }

    void launch_outcome(const WorkQueueEngine::Outcome& outcome, Cycle now) {
        if (outcome.filled && work_queue.tail() - work_queue.head() == 1) {
            // The slot became the runtime's next; otherwise the sub-grid of the job before stays.
            rect = work_queue.rect();
            job_changes(now, false);
        }
        if (outcome.fault) {
            diagnostics.guest("{}: work descriptor dropped: cause {}, address {:#x}", name(),
                              outcome.fault->cause, outcome.fault->tval);
            ++counters.faults;
            record_fault(TALUS_CORE_A, outcome.fault->cause, 0, outcome.fault->tval, now);
        }
        drive_all(now);
    }

    void forget_ranges() {
        for (RowRanges& bank : ranges) {
            bank.fill(kEmptyRange);
        }
    }

    /// Drops what the reduction network has brought, and tells the senders of the room.
    void reset_cp(Cycle now) {
        for (unsigned direction = 0; direction < inboxes.size(); ++direction) {
            ReductionInbox& inbox = inboxes[direction];
            const bool waiting = inbox.state == ReductionInbox::State::kReserved ||
                                 inbox.state == ReductionInbox::State::kArrived;
            const auto from = shared.link_peer(direction, -1);
            if (waiting && from) {
                shared.fabric.pe(*from)->return_link(now + config.re.link_clocks, direction);
            }
            inbox.state = ReductionInbox::State::kFree;
        }
        cp.reset(now);
    }

    const Config& config;
    std::uint32_t index;
    EventQueue& events;
    Diagnostics& diagnostics;
    PeHost& host;
    HostMemory memory;
    BandwidthCalendar local_bandwidth;
    PeCounters counters;
    BandwidthCalendar simd_operations;
    std::array<Bank, TALUS_RE_BANKS> banks{};
    std::array<RowRanges, TALUS_RE_BANKS> ranges{};
    std::array<ReductionInbox, 2> inboxes{};
    std::array<bool, 2> link_taken{};
    PeShared shared;
    UnitId unit_id;
    CommandProcessor cp;
    WorkQueueEngine work_queue;

    /// The job in front of the work queue ends or begins at `now`.
    void job_changes(Cycle now, bool ends) {
        if (trace == nullptr) {
            return;
        }
        if (ends && job_entry != 0) {
            trace->slice(job_track, diagnostics.pc(job_entry), job_since, now, {"job", job_number});
        }
        job_entry = 0;
        if (work_queue.tail() != work_queue.head()) {
            const talus_work work = work_queue.current();
            job_entry = work.entry;
            job_number = work.job;
            job_since = now;
        }
    }

    bool held = true;
    Cycle cleared = 0; ///< when a reset has cleared local memory
    TraceSink* trace = nullptr;
    TraceTrack job_track = kTraceRoot;
    std::uint64_t job_entry = 0;
    std::uint32_t job_number = 0;
    Cycle job_since = 0;
    std::uint32_t rect = 0;
    std::uint32_t peer_interrupt = 0;
    std::uint32_t fault_status = 0;
    std::array<CoreFault, TALUS_CORES_PER_PE> faults{};
    std::array<std::uint64_t, TALUS_CORES_PER_PE> lines{}; ///< levels as last driven
    std::uint64_t posts_generation = 0;
    std::uint32_t posts_in_transit = 0;
};

Pe::Pe(const Config& config, std::uint32_t index, EventQueue& events, Fabric& fabric,
       Diagnostics& diagnostics, PeHost& host)
    : index_(index),
      impl_(std::make_unique<Impl>(config, index, events, fabric, diagnostics, host, *this)) {
    fabric.attach_pe(index, *this);
}

Pe::~Pe() = default;

void Pe::hold(Cycle now) {
    Impl& s = *impl_;
    s.held = true;
    Isolation& isolation = s.shared.fabric.isolation();
    const Cycle clearing = s.memory.size() / s.config.local.bytes_per_clock;
    if (isolation.domain_of(s.index) != 0) {
        isolation.leave(s.index);
        s.cp.settle();
        s.memory.discard(0, s.memory.size());
        if (Ecc& ecc = s.shared.fabric.ecc(); ecc.any()) {
            ecc.forget(s.memory.data(), s.memory.size());
        }
        s.cleared = now + clearing;
    }
    // A fundamental reset puts the clock back behind an earlier clearing.
    s.cleared = std::min(s.cleared, now + clearing);
    s.reset_cp(now);
    s.cp.set_stall_limit(s.config.cp.stall_limit_clocks);
    s.work_queue.reset();
    s.job_changes(now, true);
    for (Bank& bank : s.banks) {
        bank.fill(0);
    }
    s.forget_ranges();
    s.local_bandwidth.reset();
    s.simd_operations.reset();
    s.rect = 0;
    s.peer_interrupt = 0;
    s.fault_status = 0;
    s.faults = {};
    ++s.posts_generation;
    s.posts_in_transit = 0;
    s.drive_all(now);
}

Cycle Pe::release(Cycle now) {
    impl_->held = false;
    return std::max(now, impl_->cleared);
}

OpResult Pe::custom(HartId hart, Cycle now, const CustomInsn& insn) {
    const unsigned core = (hart - TALUS_CONTROL_HARTS) % TALUS_CORES_PER_PE;
    return impl_->cp.custom(core, hart, now, insn);
}

void Pe::launch(Cycle arrival, std::uint64_t descriptor) {
    if (impl_->held) {
        impl_->diagnostics.guest("{}: launch while held in reset; dropped", impl_->name());
        return;
    }
    impl_->work_queue.launch(arrival, descriptor);
}

void Pe::trace(TraceSink& sink, TraceTrack parent) {
    impl_->trace = &sink;
    impl_->job_track = sink.add_track("job", parent);
    impl_->cp.trace(sink, parent);
}

CoreActivity Pe::wait_of(unsigned core) const {
    return impl_->cp.wait_of(core);
}

bool Pe::busy() const {
    return impl_->cp.busy() || impl_->work_queue.busy() || impl_->posts_in_transit != 0;
}

std::vector<std::string> Pe::describe_waits() const {
    std::vector<std::string> lines;
    impl_->cp.describe_waits(impl_->name(), lines);
    return lines;
}

bool Pe::has_work() const {
    return impl_->work_queue.head() != impl_->work_queue.tail();
}

void Pe::checkpoint(Checkpoint& state) {
    Impl& s = *impl_;
    s.cp.settle();
    state(s.memory, s.counters, s.banks);
    for (RowRanges& bank : s.ranges) {
        for (talus_row_range& range : bank) {
            state(range.low, range.high);
        }
    }
    state(s.inboxes, s.link_taken, s.cp, s.work_queue, s.held, s.cleared, s.rect, s.peer_interrupt,
          s.fault_status, s.faults, s.lines, s.posts_generation);
}

void Pe::settle() {
    impl_->cp.settle();
}

std::vector<std::string> Pe::describe_buffers() const {
    std::vector<std::string> lines;
    impl_->cp.describe_buffers(lines);
    return lines;
}

std::vector<std::string> Pe::describe_queues() const {
    std::vector<std::string> lines;
    impl_->cp.describe_queues(lines);
    return lines;
}

const PeCounters& Pe::counters() const {
    return impl_->counters;
}

std::uint8_t* Pe::local_memory() {
    return impl_->memory.data();
}

std::uint32_t Pe::subgrid_rect() const {
    return impl_->rect;
}

std::uint64_t Pe::read_register(Cycle, std::uint32_t offset, unsigned len) {
    const std::uint32_t word = offset & ~3u;
    std::uint64_t value = impl_->read32(word);
    if (len == 8) {
        value |= std::uint64_t{impl_->read32(word + 4)} << 32;
    }
    return value >> ((offset & 3u) * 8);
}

void Pe::write_register(Cycle now, std::uint32_t offset, unsigned len, std::uint64_t value) {
    // Registers are 32 bits wide: narrower writes are ignored, a 64-bit one is two.
    const Cycle at = std::max(now, impl_->events.now());
    if (len >= 4) {
        impl_->write32(at, offset, static_cast<std::uint32_t>(value));
    }
    if (len == 8) {
        impl_->write32(at, offset + 4, static_cast<std::uint32_t>(value >> 32));
    }
}

void Pe::post_semaphore(Cycle arrival, std::uint32_t semaphore, std::uint32_t value) {
    ++impl_->posts_in_transit;
    impl_->events.schedule(arrival, impl_->unit_id, kSemaphoreEvent,
                           semaphore | std::uint64_t{value} << 32, impl_->posts_generation);
}

std::uint64_t Pe::announce_sums(Cycle arrival, unsigned direction, const ReductionMessage& header) {
    ReductionInbox& inbox = impl_->inboxes[direction];
    inbox.state = ReductionInbox::State::kReserved;
    inbox.message = header;
    ++inbox.number;
    impl_->events.schedule(arrival, impl_->unit_id, kSumsEvent, direction, inbox.number);
    return inbox.number;
}

void Pe::deliver_sums(unsigned direction, std::uint64_t number, const ReductionMessage& message) {
    ReductionInbox& inbox = impl_->inboxes[direction];
    if (inbox.number == number) {
        inbox.message = message;
    }
}

void Pe::return_link(Cycle arrival, unsigned direction) {
    impl_->events.schedule(arrival, impl_->unit_id, kLinkEvent, direction, 0);
}

void Pe::rebase(Cycle now) {
    impl_->local_bandwidth.restart(now);
    impl_->simd_operations.restart(now);
}

void Pe::on_event(const Event& event) {
    Impl& s = *impl_;
    if (event.kind < CommandProcessor::kEventKinds) {
        s.cp.on_event(event);
    } else if (event.kind == kSemaphoreEvent) {
        if (event.b == s.posts_generation) {
            --s.posts_in_transit;
            s.cp.add_to_semaphore(static_cast<std::uint32_t>(event.a),
                                  static_cast<std::uint32_t>(event.a >> 32), event.time);
        }
    } else if (event.kind == kSumsEvent) {
        ReductionInbox& inbox = s.inboxes[event.a];
        if (inbox.state == ReductionInbox::State::kReserved && inbox.number == event.b) {
            inbox.state = ReductionInbox::State::kArrived;
            s.cp.link_changed(event.time);
        }
    } else if (event.kind == kLinkEvent) {
        s.link_taken[event.a] = false;
        s.cp.link_changed(event.time);
    } else {
        s.launch_outcome(s.work_queue.on_event(event), event.time);
    }
}

} // namespace talus::sim
