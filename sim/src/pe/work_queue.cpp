#include "work_queue.hpp"

#include <cstring>

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/queue.h"

namespace talus::sim {

namespace {

/// On whose behalf descriptors are read: the PE itself may be confined to a domain, and its kernel
/// must not choose them.
constexpr Requester kGridControl{Requester::Kind::kEngine, 0};

} // namespace

WorkQueueEngine::WorkQueueEngine(PeShared& shared, EventQueue& events, UnitId unit_id)
    : shared_(shared), isolation_(shared.fabric.isolation()), events_(events), unit_id_(unit_id),
      who_(Requester::pe_unit(shared.pe)) {}

void WorkQueueEngine::schedule(Cycle at, EventKind kind, std::uint64_t a) {
    events_.schedule(at, unit_id_, kind, a, generation_);
}

std::uint8_t* WorkQueueEngine::slot(std::uint32_t number) const {
    return shared_.local + TALUS_LOCAL_WQ_OFFSET +
           std::uint64_t{number % TALUS_WQ_SLOTS} * TALUS_WQ_SLOT_BYTES;
}

std::uint32_t WorkQueueEngine::rect() const {
    const talus_work& work = current();
    return std::uint32_t{work.row0} | std::uint32_t{work.col0} << 8 |
           std::uint32_t{work.rows} << 16 | std::uint32_t{work.cols} << 24;
}

std::uint64_t WorkQueueEngine::damage(const std::uint8_t* bytes, std::uint64_t len, bool write) {
    Ecc& ecc = shared_.fabric.ecc();
    if (!ecc.any()) {
        return 0;
    }
    return write ? ecc.check_write(bytes, len) : ecc.check_read(bytes, len);
}

void WorkQueueEngine::launch(Cycle arrival, std::uint64_t descriptor) {
    ++in_transit_;
    schedule(arrival, kLaunch, descriptor);
}

void WorkQueueEngine::reset() {
    ++generation_;
    pending_.clear();
    fetching_ = false;
    in_transit_ = 0;
    head_ = 0;
    tail_ = 0;
    ready_ = false;
    waits_ = false;
}

void WorkQueueEngine::set_ready(Cycle now) {
    ready_ = true;
    if (waits_) {
        waits_ = false;
        schedule(now, kDescriptor, pending_.front());
    }
}

bool WorkQueueEngine::set_head(std::uint32_t head, Cycle now) {
    if (head - head_ > tail_ - head_) {
        return false;
    }
    head_ = head;
    start(now);
    return true;
}

void WorkQueueEngine::start(Cycle now) {
    if (fetching_ || pending_.empty() || tail_ - head_ == TALUS_WQ_SLOTS) {
        return;
    }
    fetching_ = true;
    const std::uint64_t descriptor = pending_.front();
    const Cycle own = shared_.config.memory.work_queue_clocks;
    if (shared_.fabric.span(kGridControl, descriptor, sizeof(talus_work), false).ok()) {
        shared_.fabric.transfer(who_, now, descriptor, sizeof(talus_work), false,
                                {unit_id_, kDescriptor, descriptor, generation_}, 0, own);
    } else {
        schedule(now + own, kDescriptor, descriptor);
    }
}

WorkQueueEngine::Outcome WorkQueueEngine::fail(std::uint64_t cause, std::uint64_t tval, Cycle now) {
    pending_.pop_front();
    fetching_ = false;
    start(now);
    return {false, Fault{cause, tval}};
}

WorkQueueEngine::Outcome WorkQueueEngine::on_event(const Event& event) {
    if (event.b != generation_) {
        return {};
    }
    const Cycle now = event.time;
    if (event.kind == kLaunch) {
        --in_transit_;
        pending_.push_back(event.a);
        start(now);
        return {};
    }

    talus_work work;
    if (event.kind == kDescriptor) {
        const MemorySpan span = shared_.fabric.span(kGridControl, event.a, sizeof(work), false);
        if (!span.ok()) {
            return fail(TALUS_TRAP_FABRIC, event.a, now);
        }
        if (!shared_.fabric.coherent(who_, event.a, sizeof(work), false)) {
            return fail(TALUS_TRAP_CACHE, event.a, now);
        }
        if (const std::uint64_t bad = damage(span.host, sizeof(work), false); bad != 0) {
            return fail(TALUS_CAUSE_HARDWARE_ERROR, bad, now);
        }
        std::memcpy(&work, span.host, sizeof(work));
        const std::uint32_t cols = shared_.config.grid.cols;
        const std::uint32_t row = shared_.pe / cols;
        const std::uint32_t col = shared_.pe % cols;
        const bool inside = row >= work.row0 && row - work.row0 < work.rows && col >= work.col0 &&
                            col - work.col0 < work.cols &&
                            work.row0 + work.rows <= shared_.config.grid.rows &&
                            work.col0 + work.cols <= cols;
        if (!inside) {
            return fail(TALUS_TRAP_SUBGRID, event.a, now);
        }
        if (const unsigned domain = isolation_.domain_of(shared_.pe); domain != work.domain) {
            if (domain != 0 || work.domain >= TALUS_MAX_DOMAINS) {
                return fail(TALUS_TRAP_FABRIC, event.a, now);
            }
            if (!ready_) {
                waits_ = true;
                return {};
            }
            isolation_.enter(shared_.pe, work.domain);
        }
        latched_[tail_ % TALUS_WQ_SLOTS] = work;
        damage(slot(tail_), TALUS_WQ_ARGS_OFFSET, true); // all of it is written
        std::memset(slot(tail_), 0, TALUS_WQ_ARGS_OFFSET);
        std::memcpy(slot(tail_), &work, sizeof(work));
        if (work.args_bytes != 0) {
            const bool fits = work.args_bytes <= TALUS_MAX_ARGS_BYTES &&
                              work.args_bytes <= TALUS_WQ_SLOT_BYTES - TALUS_WQ_ARGS_OFFSET;
            if (!fits || !shared_.fabric.span(who_, work.args, work.args_bytes, false).ok()) {
                return fail(TALUS_TRAP_FABRIC, work.args, now);
            }
            shared_.fabric.transfer(who_, now, work.args, work.args_bytes, false,
                                    {unit_id_, kArguments, event.a, generation_}, 0,
                                    shared_.config.memory.work_queue_clocks);
            return {};
        }
    } else {
        work = latched_[tail_ % TALUS_WQ_SLOTS];
        const MemorySpan span = shared_.fabric.span(who_, work.args, work.args_bytes, false);
        if (!span.ok()) {
            return fail(TALUS_TRAP_FABRIC, work.args, now);
        }
        if (!shared_.fabric.coherent(who_, work.args, work.args_bytes, false)) {
            return fail(TALUS_TRAP_CACHE, work.args, now);
        }
        std::uint8_t* const arguments = slot(tail_) + TALUS_WQ_ARGS_OFFSET;
        std::uint64_t bad = damage(span.host, work.args_bytes, false);
        bad = bad != 0 ? bad : damage(arguments, work.args_bytes, true);
        if (bad != 0) {
            return fail(TALUS_CAUSE_HARDWARE_ERROR, bad, now);
        }
        std::memcpy(arguments, span.host, work.args_bytes);
    }
    ++tail_;
    ++shared_.counters.launches;
    pending_.pop_front();
    fetching_ = false;
    start(now);
    return {true, std::nullopt};
}

} // namespace talus::sim
