#include "queue_engine.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include <fmt/format.h>

namespace talus::sim {

namespace {

constexpr std::uint32_t kShadowWords = 2 * TALUS_MAX_QUEUES;

std::uint32_t ring_distance(std::uint32_t from, std::uint32_t to, std::uint32_t entries) {
    return to >= from ? to - from : to + entries - from;
}

bool valid_ring(std::uint32_t entries) {
    return entries >= 2 && entries <= TALUS_MAX_QUEUE_ENTRIES && (entries & (entries - 1)) == 0;
}

} // namespace

QueueEngine::QueueEngine(EventQueue& events, Diagnostics& diagnostics, PcieLink& link,
                         InterruptController& interrupts, HostInterface& host_interface,
                         Isolation& isolation, std::uint8_t* control_sram, Ecc& ecc)
    : events_(events), diagnostics_(diagnostics), link_(link), interrupts_(interrupts),
      host_interface_(host_interface), isolation_(isolation), ecc_(ecc),
      inbox_(reinterpret_cast<talus_inbox_slot*>(control_sram + TALUS_INBOX_OFFSET)),
      outbox_(reinterpret_cast<talus_outbox_slot*>(control_sram + TALUS_OUTBOX_OFFSET)),
      unit_(events.add_unit(*this, "queue engine")) {}

void QueueEngine::checkpoint(Checkpoint& state) {
    for (Queue& queue : queues_) {
        state(queue.generation);
    }
    state(inbox_reserved_, inbox_tail_, inbox_head_, outbox_tail_, outbox_head_, outbox_taken_,
          outbox_done_, window_index_, window_iova_, window_length_, window_access_, next_queue_,
          command_clocks_, longest_command_clocks_);
}

void QueueEngine::reset(bool fundamental) {
    for (unsigned qid = 0; qid < TALUS_MAX_QUEUES; ++qid) {
        if (!fundamental) {
            enable(events_.now(), qid, false); // hands the outbox slots back
        }
        const std::uint32_t generation = queues_[qid].generation + 1;
        const Queue::Tracks tracks = queues_[qid].tracks;
        queues_[qid] = Queue{};
        queues_[qid].tracks = tracks;
        queues_[qid].generation = generation;
    }
    shadow_iova_ = event_iova_ = 0;
    outstanding_ = 0;
    if (fundamental) {
        inbox_reserved_ = inbox_tail_ = inbox_head_ = 0;
        outbox_tail_ = outbox_head_ = outbox_taken_ = 0;
        outbox_done_ = {};
        window_index_ = window_access_ = 0;
        window_iova_ = window_length_ = 0;
        next_queue_ = 0;
    }
}

// --- submission --------------------------------------------------------------------------------

void QueueEngine::admit_tail(Cycle now, unsigned qid, std::uint32_t tail) {
    if (qid >= TALUS_MAX_QUEUES || !queues_[qid].enabled) {
        diagnostics_.host("doorbell of queue {}, which is not enabled", qid);
        return;
    }
    Queue& queue = queues_[qid];
    if (tail >= queue.entries) {
        diagnostics_.host("queue {}: tail {} is beyond its {} entries; ignored", qid, tail,
                          queue.entries);
        return;
    }
    const std::uint32_t count = ring_distance(queue.tail, tail, queue.entries);
    if (count == 0) {
        return;
    }
    if (queue.outstanding + count > queue.entries - 1) {
        stop(now, qid, fmt::format("tail {} overruns entries that are not free", tail));
        return;
    }
    if (log_commands_) {
        diagnostics_.info("queue {}: admitted {} entries at clock {}", qid, count, now);
    }
    if (trace_ != nullptr) {
        trace_->instant(tracks(qid).events, "doorbell", now, {"entries", count});
    }
    queue.tail = tail;
    queue.admissions.push_back({tail, now});
    queue.outstanding += count;
    outstanding_ += count;
    fetch(now);
}

void QueueEngine::fetch(Cycle now) {
    for (unsigned visited = 0; visited < TALUS_MAX_QUEUES;) {
        const std::uint32_t used = inbox_tail_ - inbox_head_ + inbox_reserved_;
        const std::uint32_t room = used < TALUS_INBOX_SLOTS ? TALUS_INBOX_SLOTS - used : 0;
        if (room == 0) {
            return;
        }
        const unsigned qid = next_queue_;
        Queue& queue = queues_[qid];
        const std::uint32_t waiting =
            queue.enabled ? ring_distance(queue.fetched, queue.tail, queue.entries) : 0;
        next_queue_ = (next_queue_ + 1) % TALUS_MAX_QUEUES;
        if (waiting == 0) {
            ++visited;
            continue;
        }
        visited = 0;
        const std::uint32_t count =
            std::min({waiting, TALUS_QE_FETCH_MAX, room, queue.entries - queue.fetched});
        inbox_reserved_ += count;
        const Cycle arrives =
            link_.read(now, queue.sq_iova + std::uint64_t{queue.fetched} * TALUS_SQE_BYTES,
                       std::uint64_t{count} * TALUS_SQE_BYTES);
        if (trace_ != nullptr) {
            trace_->slice(tracks(qid).fetch, "fetch", now, arrives, {"entries", count});
        }
        events_.schedule(arrives, unit_, kFetched,
                         qid | std::uint64_t{count} << 16 | std::uint64_t{queue.fetched} << 32,
                         queue.generation);
        queue.fetched = (queue.fetched + count) % queue.entries;
    }
}

void QueueEngine::fetched(Cycle now, unsigned qid, std::uint32_t start, std::uint32_t count) {
    Queue& queue = queues_[qid];
    talus_sqe entries[TALUS_QE_FETCH_MAX];
    const DmaStatus status = host_->dma_read(queue.sq_iova + std::uint64_t{start} * TALUS_SQE_BYTES,
                                             entries, std::size_t{count} * TALUS_SQE_BYTES);
    if (status != DmaStatus::kOk) {
        stop(now, qid, fmt::format("reading its submission ring: {}", to_string(status)));
        return;
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        queue.sq_head = (start + i + 1) % queue.entries;
        talus_inbox_slot& slot = inbox_[(inbox_tail_ + i) % TALUS_INBOX_SLOTS];
        if (ecc_.any()) {
            ecc_.overwritten(reinterpret_cast<const std::uint8_t*>(&slot), sizeof slot);
        }
        slot = talus_inbox_slot{};
        slot.sqe = entries[i];
        slot.admitted = queue.admissions.front().when;
        slot.qid = static_cast<std::uint16_t>(qid);
        slot.sq_head = static_cast<std::uint16_t>(queue.sq_head);
        slot.domain = static_cast<std::uint8_t>(queue.domain);
        if (queue.sq_head == queue.admissions.front().tail) {
            queue.admissions.pop_front();
        }
    }
    inbox_tail_ += count;
    interrupts_.raise(TALUS_IRQ_INBOX, now);
}

// --- completion --------------------------------------------------------------------------------

void QueueEngine::drain_outbox(Cycle now) {
    while (outbox_taken_ != outbox_tail_) {
        const std::uint32_t slot = outbox_taken_++;
        const talus_outbox_slot& source = outbox_[slot % TALUS_OUTBOX_SLOTS];
        outbox_done_[slot % TALUS_OUTBOX_SLOTS] = false;
        if (ecc_.any() &&
            !ecc_.read(reinterpret_cast<const std::uint8_t*>(&source), sizeof source)) {
            finish_slot(now, slot); // whose completion it was is not known
            continue;
        }
        const unsigned qid = source.cqe.qid;
        if (qid >= TALUS_MAX_QUEUES || !queues_[qid].enabled) {
            // Also what is left of a queue that a reset or the host has taken away.
            finish_slot(now, slot);
            continue;
        }
        Completion completion{source.cqe, 0, slot};
        completion.cqe.device_cycles = source.admitted; // until post() knows the end
        queues_[qid].waiting.push_back(completion);
        post(now, qid);
    }
}

void QueueEngine::post(Cycle now, unsigned qid) {
    Queue& queue = queues_[qid];
    while (!queue.waiting.empty()) {
        const std::uint32_t next = (queue.cq_tail + 1) % queue.entries;
        if (next == queue.cq_head) {
            std::uint32_t head = 0;
            if (!load_shadow_head(qid, head) || !take_head(now, qid, head) ||
                next == queue.cq_head) {
                return; // full: goes on when the host moves its head
            }
        }
        Completion completion = queue.waiting.front();
        queue.waiting.pop_front();
        const Cycle done = link_.write(
            now, queue.cq_iova + std::uint64_t{queue.cq_tail} * TALUS_CQE_BYTES, TALUS_CQE_BYTES);
        completion.issued = now;
        completion.cqe.device_cycles = done - completion.cqe.device_cycles;
        completion.cqe.status =
            static_cast<std::uint16_t>((completion.cqe.status & ~TALUS_CQE_PHASE) | queue.phase);
        if ((completion.cqe.status & ~TALUS_CQE_PHASE) != 0) {
            diagnostics_.reported(fmt::format("queue {}: command {} failed, status {:#06x}", qid,
                                              completion.cqe.cid,
                                              completion.cqe.status & ~TALUS_CQE_PHASE));
        }
        queue.posting.push_back(completion);
        queue.cq_tail = next;
        if (next == 0) {
            queue.phase ^= 1;
        }
        events_.schedule(done, unit_, kPosted, qid, queue.generation);
        ++queue.sending;
        events_.schedule(done - link_.write_latency(), unit_, kSent, qid, queue.generation);
    }
}

void QueueEngine::posted(Cycle now, unsigned qid) {
    Queue& queue = queues_[qid];
    const Completion completion = queue.posting.front();
    queue.posting.pop_front();
    const std::uint32_t index =
        (queue.cq_tail + 2 * queue.entries - 1 - static_cast<std::uint32_t>(queue.posting.size())) %
        queue.entries;
    const std::uint64_t iova = queue.cq_iova + std::uint64_t{index} * TALUS_CQE_BYTES;
    // The word with the phase bit last, in one piece: it is what the host polls.
    constexpr std::size_t kPhaseWord = TALUS_CQE_BYTES - sizeof(std::uint64_t);
    std::uint64_t last = 0;
    std::memcpy(&last, reinterpret_cast<const char*>(&completion.cqe) + kPhaseWord, sizeof last);
    if (queue.outstanding > 0) { // firmware may complete what nobody asked for
        --queue.outstanding;
        --outstanding_;
    }
    host_interface_.count_completion();
    host_interface_.set_clock(now); // who sees a completion finds no earlier time in the status page
    command_clocks_ += completion.cqe.device_cycles;
    longest_command_clocks_ =
        std::max<std::uint64_t>(longest_command_clocks_, completion.cqe.device_cycles);
    if (trace_ != nullptr) {
        trace_->slice(tracks(qid).completion, "completion", completion.issued, now,
                      {"command", completion.cqe.cid});
    }
    if (log_commands_) {
        diagnostics_.info("queue {}: command {} completed, status {:#x}, {} clocks", qid,
                          completion.cqe.cid, completion.cqe.status >> 1,
                          completion.cqe.device_cycles);
    }
    DmaStatus status = host_->dma_write(iova, &completion.cqe, kPhaseWord);
    if (status == DmaStatus::kOk) {
        status = host_->store64(iova + kPhaseWord, last);
    }
    finish_slot(now, completion.slot);
    if (status != DmaStatus::kOk) {
        stop(now, qid, fmt::format("writing its completion ring: {}", to_string(status)));
        return;
    }
}

/// One message for completions that leave the device back to back, behind the last: a posted write
/// does not pass another, so the host has the entries when it is interrupted.
void QueueEngine::sent(Cycle now, unsigned qid) {
    Queue& queue = queues_[qid];
    if (--queue.sending == 0 && queue.irq_enable != 0) {
        events_.schedule(link_.write_msix(now), unit_, kInterrupted, qid, queue.generation);
    }
}

void QueueEngine::interrupted(Cycle now, unsigned qid) {
    const Queue& queue = queues_[qid];
    const bool delivered = link_.delivers_msix(queue.vector, now);
    if (delivered) {
        host_->raise_msix(queue.vector);
    }
    if (trace_ != nullptr) {
        trace_->instant(tracks(qid).events, delivered ? "MSI-X" : "MSI-X lost", now,
                        {"vector", queue.vector});
    }
}

void QueueEngine::finish_slot(Cycle now, std::uint32_t slot) {
    outbox_done_[slot % TALUS_OUTBOX_SLOTS] = true;
    const std::uint32_t before = outbox_head_;
    while (outbox_head_ != outbox_taken_ && outbox_done_[outbox_head_ % TALUS_OUTBOX_SLOTS]) {
        ++outbox_head_;
    }
    if (outbox_head_ != before) {
        interrupts_.raise(TALUS_IRQ_OUTBOX, now);
    }
}

void QueueEngine::set_cq_head(Cycle now, unsigned qid, std::uint32_t head) {
    if (qid >= TALUS_MAX_QUEUES || !queues_[qid].enabled) {
        return; // the host may update the head of a queue that it has just deleted
    }
    if (take_head(now, qid, head)) {
        post(now, qid);
    }
}

/// Only what stands in the host's memory can have been taken: up to the tail, without what is still
/// on its way.
bool QueueEngine::valid_head(const Queue& queue, std::uint32_t head) const {
    const std::uint32_t issued = ring_distance(queue.cq_head, queue.cq_tail, queue.entries);
    return head < queue.entries &&
           ring_distance(queue.cq_head, head, queue.entries) + queue.posting.size() <= issued;
}

/// false: the queue is stopped.
bool QueueEngine::take_head(Cycle now, unsigned qid, std::uint32_t head) {
    Queue& queue = queues_[qid];
    if (!valid_head(queue, head)) {
        const std::uint32_t posted = ring_distance(queue.cq_head, queue.cq_tail, queue.entries) -
                                     static_cast<std::uint32_t>(queue.posting.size());
        stop(now, qid,
             fmt::format("completion head {} after {}, but the host has {} completions to take",
                         head, queue.cq_head, posted));
        return false;
    }
    queue.cq_head = head;
    return true;
}

QueueEngine::Queue::Tracks& QueueEngine::tracks(unsigned qid) {
    Queue::Tracks& tracks = queues_[qid].tracks;
    if (tracks.events == kTraceRoot) {
        const std::string name =
            qid == TALUS_QUEUE_ADMIN ? std::string("admin queue") : fmt::format("queue {}", qid);
        tracks.events = trace_->add_track(name, trace_parent_);
        tracks.fetch = trace_->add_track(name + " fetch", trace_parent_);
        tracks.completion = trace_->add_track(name + " completion", trace_parent_);
    }
    return tracks;
}

void QueueEngine::stop(Cycle now, unsigned qid, std::string why) {
    diagnostics_.host("queue {} stopped: {}", qid, why);
    enable(now, qid, false);
    queues_[qid].stopped = std::move(why);
}

void QueueEngine::enable(Cycle now, unsigned qid, bool on) {
    Queue& queue = queues_[qid];
    queue.stopped.clear();
    ++queue.generation;
    outstanding_ -= queue.outstanding;
    queue.outstanding = 0;
    std::deque<Completion> dropped;
    dropped.swap(queue.waiting);
    dropped.insert(dropped.end(), queue.posting.begin(), queue.posting.end());
    queue.posting.clear();
    queue.sending = 0;
    queue.admissions.clear();
    queue.enabled = on && valid_ring(queue.entries);
    if (on && !queue.enabled) {
        diagnostics_.guest("queue {} enabled with {} entries: not a power of two in 2..{}", qid,
                           queue.entries, TALUS_MAX_QUEUE_ENTRIES);
    }
    queue.fetched = queue.sq_head = queue.tail = 0;
    queue.cq_tail = queue.cq_head = 0;
    queue.phase = 1;
    for (const Completion& completion : dropped) {
        finish_slot(now, completion.slot);
    }
}

// --- shadow doorbells ----------------------------------------------------------------------------

bool QueueEngine::shadowed(unsigned qid) const {
    return qid != TALUS_QUEUE_ADMIN && qid < TALUS_MAX_QUEUES && shadow_iova_ != 0 &&
           queues_[qid].enabled;
}

bool QueueEngine::shadow_active() const {
    for (unsigned qid = 1; qid < TALUS_MAX_QUEUES; ++qid) {
        if (shadowed(qid)) {
            return true;
        }
    }
    return false;
}

bool QueueEngine::poll_shadow(unsigned& qid_out, std::uint32_t& tail_out) {
    std::uint32_t words[kShadowWords];
    if (host_->load32_array(shadow_iova_, words, kShadowWords) != DmaStatus::kOk) {
        return false; // unmapped for now: the host will say so by a reset or a doorbell
    }
    for (unsigned qid = 1; qid < TALUS_MAX_QUEUES; ++qid) {
        if (shadow_batch(qid, words[2 * qid], tail_out)) {
            qid_out = qid;
            return true;
        }
    }
    return false;
}

bool QueueEngine::poll_shadow_of(unsigned qid, std::uint32_t& tail_out) {
    std::uint32_t tail = 0;
    return qid < TALUS_MAX_QUEUES && shadowed(qid) &&
           host_->load32(shadow_iova_ + 4 * (2 * qid), tail) == DmaStatus::kOk &&
           shadow_batch(qid, tail, tail_out);
}

/// One batch of what the host has put up to `tail`: to and including the first entry that ends one.
/// The entries themselves are fetched later, as after any doorbell; this look is the model's own
/// and costs no time.
bool QueueEngine::shadow_batch(unsigned qid, std::uint32_t tail, std::uint32_t& end) {
    const Queue& queue = queues_[qid];
    if (!shadowed(qid) || tail == queue.tail || tail >= queue.entries) {
        return false;
    }
    end = queue.tail;
    while (end != tail) {
        const std::uint64_t iova = queue.sq_iova + std::uint64_t{end} * TALUS_SQE_BYTES;
        end = (end + 1) % queue.entries;
        std::uint8_t head[2] = {0, TALUS_SQE_BATCH_END};
        if (host_->dma_read(iova, head, sizeof head) != DmaStatus::kOk) {
            end = tail; // the fetch will find the same and stop the queue
        } else if ((head[1] & TALUS_SQE_BATCH_END) != 0) {
            break;
        }
    }
    return true;
}

bool QueueEngine::load_shadow_head(unsigned qid, std::uint32_t& head) {
    return shadowed(qid) && host_->load32(shadow_iova_ + 4 * (2 * qid + 1), head) == DmaStatus::kOk;
}

bool QueueEngine::poll_shadow_heads() {
    bool moved = false;
    for (unsigned qid = 1; qid < TALUS_MAX_QUEUES; ++qid) {
        const Queue& queue = queues_[qid];
        std::uint32_t head = 0;
        // Also to something senseless: resume_posting() stops the queue.
        moved = moved ||
                (!queue.waiting.empty() && load_shadow_head(qid, head) && head != queue.cq_head);
    }
    return moved;
}

void QueueEngine::resume_posting(Cycle now) {
    for (unsigned qid = 1; qid < TALUS_MAX_QUEUES; ++qid) {
        if (queues_[qid].enabled) {
            post(now, qid);
        }
    }
}

void QueueEngine::request_doorbells() {
    store_event_indices(true);
}
void QueueEngine::withdraw_doorbells() {
    store_event_indices(false);
}

void QueueEngine::store_event_indices(bool ring) {
    for (unsigned qid = 1; qid < TALUS_MAX_QUEUES; ++qid) {
        const Queue& queue = queues_[qid];
        if (!shadowed(qid) || event_iova_ == 0) {
            continue;
        }
        // The host rings when its tail moves past the event index. The index just behind the tail
        // is the one that it passes last.
        const std::uint32_t quiet = (queue.tail + queue.entries - 1) % queue.entries;
        host_->store32(event_iova_ + 4 * (2 * qid), ring ? queue.tail : quiet);
        const std::uint32_t head = queue.cq_head;
        const std::uint32_t quiet_head = (head + queue.entries - 1) % queue.entries;
        const bool full = !queue.waiting.empty();
        host_->store32(event_iova_ + 4 * (2 * qid + 1), ring && full ? head : quiet_head);
    }
    // Our stores before our next look at the tails; the host has the mirror image of this fence.
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

std::vector<std::string> QueueEngine::describe() const {
    std::vector<std::string> lines;
    lines.push_back(fmt::format("inbox: head {}, tail {}; outbox: head {}, tail {}; {} commands "
                                "admitted and not completed",
                                inbox_head_, inbox_tail_, outbox_head_, outbox_tail_,
                                outstanding_));
    for (unsigned qid = 0; qid < queues_.size(); ++qid) {
        const Queue& queue = queues_[qid];
        if (!queue.stopped.empty()) {
            lines.push_back(fmt::format("queue {}: stopped: {}", qid, queue.stopped));
        }
        if (queue.enabled) {
            lines.push_back(fmt::format(
                "queue {}: {} entries, domain {}, vector {}, SQ head {} of tail {}, CQ head {} of "
                "tail {}, {} outstanding, {} completions wait for the host",
                qid, queue.entries, queue.domain, queue.vector, queue.sq_head, queue.tail,
                queue.cq_head, queue.cq_tail, queue.outstanding, queue.waiting.size()));
        }
    }
    return lines;
}

// --- registers -----------------------------------------------------------------------------------

std::uint32_t QueueEngine::read32(Cycle, std::uint32_t offset) {
    if (offset >= QE_QUEUE) {
        const std::uint32_t qid = (offset - QE_QUEUE) / QE_QUEUE_STRIDE;
        if (qid >= TALUS_MAX_QUEUES) {
            return 0;
        }
        const Queue& queue = queues_[qid];
        switch ((offset - QE_QUEUE) % QE_QUEUE_STRIDE) {
        case QEQ_SQ_IOVA:
            return read_half(queue.sq_iova, false);
        case QEQ_SQ_IOVA + 4:
            return read_half(queue.sq_iova, true);
        case QEQ_CQ_IOVA:
            return read_half(queue.cq_iova, false);
        case QEQ_CQ_IOVA + 4:
            return read_half(queue.cq_iova, true);
        case QEQ_ENTRIES:
            return queue.entries;
        case QEQ_VECTOR:
            return queue.vector;
        case QEQ_DOMAIN:
            return queue.domain;
        case QEQ_IRQ_ENABLE:
            return queue.irq_enable;
        case QEQ_ENABLE:
            return queue.enabled ? 1 : 0;
        case QEQ_SQ_HEAD:
            return queue.sq_head;
        case QEQ_CQ_TAIL:
            return queue.cq_tail;
        default:
            return 0;
        }
    }
    switch (offset) {
    case QE_INBOX_TAIL:
        return inbox_tail_;
    case QE_INBOX_HEAD:
        return inbox_head_;
    case QE_OUTBOX_TAIL:
        return outbox_tail_;
    case QE_OUTBOX_HEAD:
        return outbox_head_;
    case QE_SHADOW_LO:
    case QE_SHADOW_HI:
        return read_half(shadow_iova_, offset == QE_SHADOW_HI);
    case QE_EVENT_LO:
    case QE_EVENT_HI:
        return read_half(event_iova_, offset == QE_EVENT_HI);
    case QE_WINDOW_INDEX:
        return window_index_;
    case QE_WINDOW_ACCESS:
        return window_access_;
    case QE_WINDOW_IOVA:
    case QE_WINDOW_IOVA + 4:
        return read_half(window_iova_, (offset & 4) != 0);
    case QE_WINDOW_LENGTH:
    case QE_WINDOW_LENGTH + 4:
        return read_half(window_length_, (offset & 4) != 0);
    default:
        return 0;
    }
}

void QueueEngine::write32(Cycle now, std::uint32_t offset, std::uint32_t value) {
    if (offset >= QE_QUEUE) {
        write_queue32(now, offset - QE_QUEUE, value);
        return;
    }
    switch (offset) {
    case QE_INBOX_HEAD:
        if (value - inbox_head_ > inbox_tail_ - inbox_head_) {
            diagnostics_.guest("QE_INBOX_HEAD moved to {}, beyond its tail {}", value, inbox_tail_);
            return;
        }
        inbox_head_ = value;
        fetch(now);
        break;
    case QE_OUTBOX_TAIL:
        if (value - outbox_head_ > TALUS_OUTBOX_SLOTS) {
            diagnostics_.guest("QE_OUTBOX_TAIL moved to {}: more than {} slots ahead of {}", value,
                               TALUS_OUTBOX_SLOTS, outbox_head_);
            return;
        }
        outbox_tail_ = value;
        drain_outbox(now);
        break;
    case QE_SHADOW_LO:
    case QE_SHADOW_HI:
        write_half(shadow_iova_, offset == QE_SHADOW_HI, value);
        break;
    case QE_EVENT_LO:
    case QE_EVENT_HI:
        write_half(event_iova_, offset == QE_EVENT_HI, value);
        break;
    case QE_WINDOW_INDEX:
        window_index_ = value;
        break;
    case QE_WINDOW_IOVA:
    case QE_WINDOW_IOVA + 4:
        write_half(window_iova_, (offset & 4) != 0, value);
        break;
    case QE_WINDOW_LENGTH:
    case QE_WINDOW_LENGTH + 4:
        write_half(window_length_, (offset & 4) != 0, value);
        break;
    case QE_WINDOW_ACCESS: {
        window_access_ = value;
        DomainWindows& windows = (value & TALUS_WINDOW_DEVICE) != 0 ? isolation_.device_windows()
                                                                    : isolation_.host_windows();
        if (!windows.set(window_index_ / TALUS_WINDOWS_PER_DOMAIN,
                         window_index_ % TALUS_WINDOWS_PER_DOMAIN, window_iova_, window_length_,
                         value)) {
            diagnostics_.guest("window {} cannot be set to {:#x} + {:#x}", window_index_,
                               window_iova_, window_length_);
        }
        break;
    }
    default:
        break;
    }
}

void QueueEngine::write_queue32(Cycle now, std::uint32_t offset, std::uint32_t value) {
    const unsigned qid = offset / QE_QUEUE_STRIDE;
    if (qid >= TALUS_MAX_QUEUES) {
        return;
    }
    Queue& queue = queues_[qid];
    const std::uint32_t reg = offset % QE_QUEUE_STRIDE;
    if (queue.enabled && reg != QEQ_ENABLE && reg != QEQ_IRQ_ENABLE) {
        diagnostics_.guest("register {:#x} of queue {} written while it is enabled; ignored", reg,
                           qid);
        return;
    }
    switch (reg) {
    case QEQ_SQ_IOVA:
    case QEQ_SQ_IOVA + 4:
        write_half(queue.sq_iova, (reg & 4) != 0, value);
        break;
    case QEQ_CQ_IOVA:
    case QEQ_CQ_IOVA + 4:
        write_half(queue.cq_iova, (reg & 4) != 0, value);
        break;
    case QEQ_ENTRIES:
        queue.entries = value;
        break;
    case QEQ_VECTOR:
        queue.vector = value;
        break;
    case QEQ_DOMAIN:
        queue.domain = value;
        break;
    case QEQ_IRQ_ENABLE:
        queue.irq_enable = value & 1;
        break;
    case QEQ_ENABLE:
        enable(now, qid, (value & 1) != 0);
        break;
    default:
        break;
    }
}

void QueueEngine::on_event(const Event& event) {
    const unsigned qid = event.a & 0xffff;
    const bool stale = queues_[qid].generation != static_cast<std::uint32_t>(event.b);
    if (event.kind == kFetched) {
        const std::uint32_t count = (event.a >> 16) & 0xffff;
        inbox_reserved_ -= count;
        if (!stale) {
            fetched(event.time, qid, static_cast<std::uint32_t>(event.a >> 32), count);
        } else {
            fetch(event.time); // the room goes to other queues
        }
    } else if (stale) {
        return;
    } else if (event.kind == kPosted) {
        posted(event.time, qid);
    } else if (event.kind == kSent) {
        sent(event.time, qid);
    } else {
        interrupted(event.time, qid);
    }
}

} // namespace talus::sim
