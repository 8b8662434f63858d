#include "dma_channel.hpp"

#include <algorithm>
#include <cstring>

namespace talus::sim::vfio_user {

struct DmaChannel::Request {
    uint16_t id = 0;
    uint16_t command = 0;
    uint64_t iova = 0;
    uint64_t length = 0;
    bool done = false;
    DmaStatus status = DmaStatus::kOk;
    std::vector<std::byte> data; // what a read brought
};

namespace {

constexpr size_t kMaxPending = 32768;
// Of the wait for a reply: a slice in which somebody was stopped counts as nothing, or as one.
constexpr std::chrono::milliseconds kSlice{100};

DmaStatus check_reply(const DmaChannel::Request& request, const vfio_user_header& header,
                      std::span<const std::byte> payload) {
    if ((header.flags & VFIO_USER_FLAG_ERROR) != 0 || header.command != request.command)
        return DmaStatus::kClientError;
    vfio_user_dma_access access = {};
    if (request.command == VFIO_USER_DMA_WRITE) {
        // The text gives the count 4 bytes here, its implementations send 8.
        if (payload.size() != 12 && payload.size() != sizeof access)
            return DmaStatus::kClientError;
        std::memcpy(&access, payload.data(), payload.size());
    } else {
        if (payload.size() != sizeof access + request.length)
            return DmaStatus::kClientError;
        std::memcpy(&access, payload.data(), sizeof access);
    }
    return access.address == request.iova && access.count == request.length
               ? DmaStatus::kOk
               : DmaStatus::kClientError;
}

} // namespace

void DmaChannel::open(Send send, size_t max_transfer, Stopped stopped) {
    const std::lock_guard lock(mutex_);
    send_ = std::move(send);
    stopped_ = std::move(stopped);
    max_transfer_ = max_transfer;
}

void DmaChannel::close() {
    {
        const std::lock_guard lock(mutex_);
        send_ = nullptr; // first: what begins from here on fails
        stopped_ = nullptr;
    }
    cancel(0, 0, DmaStatus::kDisconnected);
}

bool DmaChannel::is_open() const {
    const std::lock_guard lock(mutex_);
    return static_cast<bool>(send_);
}

size_t DmaChannel::max_transfer() const {
    const std::lock_guard lock(mutex_);
    return max_transfer_;
}

DmaChannel::Handle DmaChannel::begin_read(uint64_t iova, size_t length) {
    return begin(VFIO_USER_DMA_READ, iova, nullptr, length);
}

DmaChannel::Handle DmaChannel::begin_write(uint64_t iova, const void* source, size_t length) {
    return begin(VFIO_USER_DMA_WRITE, iova, source, length);
}

DmaChannel::Handle DmaChannel::begin(uint16_t command, uint64_t iova, const void* source,
                                     size_t length) {
    const vfio_user_dma_access access = {iova, length};
    std::vector<std::byte> payload(sizeof access + (source ? length : 0));
    std::memcpy(payload.data(), &access, sizeof access);
    if (source)
        std::memcpy(payload.data() + sizeof access, source, length);

    const std::lock_guard lock(mutex_);
    // A client that leaves half of all ids unanswered is as good as gone.
    if (!send_ || pending_.size() >= kMaxPending)
        return nullptr;
    auto request = std::make_shared<Request>();
    do {
        request->id = next_id_++;
    } while (pending_.contains(request->id));
    request->command = command;
    request->iova = iova;
    request->length = length;

    vfio_user_header header = {};
    header.message_id = request->id;
    header.command = command;
    header.size = static_cast<uint32_t>(sizeof header + payload.size());
    header.flags = VFIO_USER_FLAG_COMMAND;
    pending_.emplace(request->id, request);
    if (!send_(header, payload)) {
        pending_.erase(request->id);
        return nullptr;
    }
    return request;
}

DmaStatus DmaChannel::finish(const Handle& request, void* destination,
                             std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    std::chrono::milliseconds left = limit;
    const auto answered = [&] { return request->done; };
    while (!changed_.wait_for(lock, std::min(left, kSlice), answered)) {
        if (stopped_ && stopped_())
            continue;
        left -= std::min(left, kSlice);
        if (left.count() > 0)
            continue;
        // The id stays taken until the late reply comes or the client goes: were it used again,
        // that reply would answer the wrong request.
        request->status = DmaStatus::kTimeout;
        request->done = true;
    }
    if (request->status == DmaStatus::kOk && request->command == VFIO_USER_DMA_READ)
        std::memcpy(destination, request->data.data(), request->length);
    return request->status;
}

void DmaChannel::cancel(uint64_t iova, uint64_t size, DmaStatus status) {
    const std::lock_guard lock(mutex_);
    for (auto& [id, request] : pending_) {
        const bool overlaps =
            size == 0 || (request->iova < iova + size && iova < request->iova + request->length);
        if (request->done || !overlaps)
            continue;
        request->status = status;
        request->done = true;
    }
    if (status == DmaStatus::kDisconnected)
        pending_.clear(); // no reply will come
    changed_.notify_all();
}

void DmaChannel::on_reply(const vfio_user_header& header, std::span<const std::byte> payload) {
    const std::lock_guard lock(mutex_);
    const auto found = pending_.find(header.message_id);
    if (found == pending_.end())
        return;
    const Handle request = found->second;
    pending_.erase(found);
    if (request->done)
        return;
    request->status = check_reply(*request, header, payload);
    if (request->status == DmaStatus::kOk && request->command == VFIO_USER_DMA_READ)
        request->data.assign(payload.begin() + sizeof(vfio_user_dma_access), payload.end());
    request->done = true;
    changed_.notify_all();
}

} // namespace talus::sim::vfio_user
