#include "queue.hpp"

#include "error.hpp"

#include "talus/hw/pci.h"

#include <atomic>
#include <cstring>

namespace talus::driver {

void Doorbells::use_shadow(std::uint32_t* shadow, std::uint32_t* event) {
    shadow_ = shadow;
    event_ = event;
}

void Doorbells::use_bar_only() {
    shadow_ = nullptr;
    event_ = nullptr;
}

void Doorbells::restart(std::uint32_t qid) {
    if (shadow_ == nullptr)
        return;
    for (const std::uint32_t slot : {2 * qid, 2 * qid + 1}) {
        __atomic_store_n(&shadow_[slot], 0u, __ATOMIC_RELEASE);
        // The queue's predecessor may have left an index here that keeps the first doorbell silent.
        __atomic_store_n(&event_[slot], 0u, __ATOMIC_RELEASE);
    }
}

void Doorbells::submission_tail(std::uint32_t qid, std::uint32_t before, std::uint32_t after,
                                std::uint32_t entries) {
    ring(qid, 2 * qid, TALUS_DOORBELL_SQ_TAIL, before, after, entries);
}

void Doorbells::completion_head(std::uint32_t qid, std::uint32_t before, std::uint32_t after,
                                std::uint32_t entries) {
    ring(qid, 2 * qid + 1, TALUS_DOORBELL_CQ_HEAD, before, after, entries);
}

void Doorbells::ring(std::uint32_t qid, std::uint32_t slot, std::uint32_t bar_offset,
                     std::uint32_t before, std::uint32_t after, std::uint32_t entries) {
    // The entries must be visible before the index that announces them, on both roads.
    std::atomic_thread_fence(std::memory_order_release);
    if (shadow_ != nullptr) {
        __atomic_store_n(&shadow_[slot], after, __ATOMIC_RELEASE);
        // The store must not pass the load below: the device writes its event index, fences, and
        // rereads the tail before it sleeps. If both sides' loads ran ahead of their stores, it
        // would sleep on our entries and we would not wake it.
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const std::uint32_t event = __atomic_load_n(&event_[slot], __ATOMIC_ACQUIRE);
        // The admin queue always rings: it is rare, and devices may exempt it from shadowing.
        if (qid != TALUS_QUEUE_ADMIN && !wants_doorbell(event, before, after, entries))
            return;
    }
    transport_.bar_write32(TALUS_BAR_DOORBELLS,
                           std::uint64_t{qid} * TALUS_DOORBELL_STRIDE + bar_offset, after);
}

QueuePair::QueuePair(std::uint32_t qid, std::uint32_t entries, std::byte* submission,
                     std::byte* completion, Doorbells& doorbells)
    : qid_(qid), entries_(entries), submission_(submission), completion_(completion),
      doorbells_(doorbells), slots_(entries - 1) {
    for (std::uint32_t cid = 0; cid + 1 < entries; ++cid)
        free_cids_.push_back(static_cast<std::uint16_t>(cid));
}

void QueuePair::submit(std::span<talus_sqe> commands, std::span<const std::uint64_t> tags,
                       std::span<std::uint32_t> cids) {
    if (commands.empty())
        return;
    if (commands.size() > room())
        throw Error(TALUS_DRV_INTERNAL, "submission ring overrun");
    const std::uint32_t before = tail_;
    for (std::size_t i = 0; i < commands.size(); ++i) {
        const std::uint16_t cid = free_cids_.front();
        free_cids_.pop_front();
        slots_[cid] = {true, tags[i]};
        talus_sqe& entry = commands[i];
        entry.cid = cid;
        entry.function = 0;
        entry.flags = static_cast<std::uint8_t>(i + 1 == commands.size()
                                                    ? entry.flags | TALUS_SQE_BATCH_END
                                                    : entry.flags & ~TALUS_SQE_BATCH_END);
        std::memcpy(submission_ + std::size_t{tail_} * TALUS_SQE_BYTES, &entry, sizeof entry);
        tail_ = (tail_ + 1) & (entries_ - 1);
        if (!cids.empty())
            cids[i] = cid;
    }
    in_flight_ += commands.size();
    doorbells_.submission_tail(qid_, before, tail_, entries_);
}

std::size_t QueuePair::ready() const {
    std::uint32_t head = head_;
    std::uint16_t phase = phase_;
    std::size_t count = 0;
    while (count < in_flight_) {
        const std::byte* slot = completion_ + std::size_t{head} * TALUS_CQE_BYTES;
        const auto* status =
            reinterpret_cast<const std::uint16_t*>(slot + offsetof(talus_cqe, status));
        if ((__atomic_load_n(status, __ATOMIC_ACQUIRE) & TALUS_CQE_PHASE) != phase)
            break;
        ++count;
        if (++head == entries_) {
            head = 0;
            phase ^= 1;
        }
    }
    return count;
}

std::optional<QueuePair::Completion> QueuePair::take() {
    const std::byte* slot = completion_ + std::size_t{head_} * TALUS_CQE_BYTES;
    const auto* status = reinterpret_cast<const std::uint16_t*>(slot + offsetof(talus_cqe, status));
    // Acquire: the device writes the phase last, so the rest of the entry, and the data of the
    // command, must be read after it.
    if ((__atomic_load_n(status, __ATOMIC_ACQUIRE) & TALUS_CQE_PHASE) != phase_)
        return std::nullopt;
    Completion completion{};
    std::memcpy(&completion.entry, slot, sizeof completion.entry);
    const talus_cqe& entry = completion.entry;
    const auto refuse = [this](const std::string& what) {
        throw Error(TALUS_DRV_PROTOCOL, "completion entry " + std::to_string(head_) + " of queue " +
                                            std::to_string(qid_) + " " + what);
    };
    if (entry.qid != qid_)
        refuse("names queue " + std::to_string(entry.qid));
    if (entry.sq_head >= entries_)
        refuse("has submission head " + std::to_string(entry.sq_head) + " in a ring of " +
               std::to_string(entries_));
    if (!is_in_flight(entry.cid))
        refuse("is for command " + std::to_string(entry.cid) + ", which is not in flight");
    completion.tag = slots_[entry.cid].tag;
    slots_[entry.cid].busy = false;
    free_cids_.push_back(entry.cid);
    --in_flight_;
    if (++head_ == entries_) {
        head_ = 0;
        phase_ ^= 1;
    }
    return completion;
}

void QueuePair::acknowledge() {
    if (acknowledged_ == head_)
        return;
    const std::uint32_t before = acknowledged_;
    acknowledged_ = head_;
    doorbells_.completion_head(qid_, before, head_, entries_);
}

bool QueuePair::is_in_flight(std::uint32_t cid) const {
    return cid < slots_.size() && slots_[cid].busy;
}

std::vector<std::uint16_t> QueuePair::pending() const {
    std::vector<std::uint16_t> result;
    for (std::size_t cid = 0; cid < slots_.size(); ++cid)
        if (slots_[cid].busy)
            result.push_back(static_cast<std::uint16_t>(cid));
    return result;
}

} // namespace talus::driver
