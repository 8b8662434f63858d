#include "client_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <sys/stat.h>

#include "guarded_access.hpp"

namespace talus::sim {

const char* to_string(DmaStatus status) {
    switch (status) {
    case DmaStatus::kOk:
        return "ok";
    case DmaStatus::kBusMasterOff:
        return "bus master off";
    case DmaStatus::kUnmapped:
        return "unmapped";
    case DmaStatus::kNotPermitted:
        return "not permitted";
    case DmaStatus::kBusError:
        return "memory taken away by its owner";
    case DmaStatus::kClientError:
        return "client error";
    case DmaStatus::kTimeout:
        return "completion time-out";
    case DmaStatus::kDisconnected:
        return "disconnected";
    }
    return "unknown";
}

} // namespace talus::sim

namespace talus::sim::vfio_user {

class ClientMemory::Piece {
  public:
    explicit Piece(const ClientMemory& memory) : lock_(memory.gate_, std::defer_lock) {
        // std::mutex is not fair: without this a busy engine would take the lock back at once.
        while (const int waiting = memory.changes_waiting_.load(std::memory_order_acquire))
            memory.changes_waiting_.wait(waiting);
        lock_.lock();
    }
    void end() { lock_.unlock(); }

  private:
    std::unique_lock<std::mutex> lock_;
};

class ClientMemory::Change {
  public:
    explicit Change(ClientMemory& memory) : memory_(memory) {
        memory_.changes_waiting_.fetch_add(1, std::memory_order_acq_rel);
        memory_.gate_.lock();
    }
    ~Change() {
        memory_.gate_.unlock();
        memory_.changes_waiting_.fetch_sub(1, std::memory_order_acq_rel);
        memory_.changes_waiting_.notify_all();
    }
    Change(const Change&) = delete;
    Change& operator=(const Change&) = delete;

  private:
    ClientMemory& memory_;
};

ClientMemory::ClientMemory(std::chrono::milliseconds reply_limit) : reply_limit_(reply_limit) {
    guarded::install();
}

ClientMemory::~ClientMemory() {
    unmap_all();
}

void ClientMemory::release(const Mapping& mapping) {
    if (mapping.host)
        munmap(mapping.host, mapping.size);
}

int ClientMemory::map(uint64_t iova, uint64_t size, bool readable, bool writable, uint64_t offset,
                      UniqueFd fd) {
    if (size == 0 || iova + (size - 1) < iova || offset + size < offset)
        return EINVAL;
    if (((iova | size | offset) & (kPageBytes - 1)) != 0)
        return EINVAL;
    if (!readable && !writable)
        return EINVAL;
    if (!fd && offset != 0)
        return EINVAL;

    // Only this thread changes the table, so what is checked here still holds at the insertion, and
    // mmap runs outside the lock.
    {
        const std::lock_guard lock(gate_);
        if (table_.size() >= VFIO_USER_DEFAULT_MAX_DMA_MAPS)
            return ENOSPC;
        const auto next = table_.lower_bound(iova);
        if (next != table_.end() && next->first - iova < size)
            return EEXIST;
        if (next != table_.begin()) {
            const auto previous = std::prev(next);
            if (iova - previous->first < previous->second.size)
                return EEXIST;
        }
    }

    Mapping mapping = {size, readable, writable, nullptr};
    if (fd) {
        struct stat status;
        if (fstat(fd.get(), &status) != 0)
            return errno;
        if (S_ISREG(status.st_mode) && offset + size > static_cast<uint64_t>(status.st_size))
            return EINVAL;
        const int protection = (readable ? PROT_READ : 0) | (writable ? PROT_WRITE : 0);
        void* host = mmap(nullptr, size, protection, MAP_SHARED | MAP_NORESERVE, fd.get(),
                          static_cast<off_t>(offset));
        if (host == MAP_FAILED)
            return errno;
        // A child of this process has no business in the client's memory.
        madvise(host, size, MADV_DONTFORK);
        mapping.host = static_cast<std::byte*>(host);
    }
    const Change change(*this);
    table_.emplace(iova, mapping);
    return 0;
}

int ClientMemory::unmap(uint64_t iova, uint64_t size) {
    if (size == 0 || iova + (size - 1) < iova)
        return EINVAL;
    const uint64_t last = iova + (size - 1);
    Table gone;
    {
        const Change change(*this);
        auto first = table_.lower_bound(iova);
        const auto splits = [&](Table::const_iterator mapping, uint64_t edge) {
            return mapping->first < edge && mapping->first + (mapping->second.size - 1) >= edge;
        };
        if (first != table_.begin() && splits(std::prev(first), iova))
            return EINVAL;
        auto end = first;
        while (end != table_.end() && end->first <= last)
            ++end;
        if (first == end)
            return ENOENT;
        if (last != UINT64_MAX && splits(std::prev(end), last + 1))
            return EINVAL;
        while (first != end) {
            if (!first->second.host)
                channel_.cancel(first->first, first->second.size, DmaStatus::kUnmapped);
            gone.insert(table_.extract(first++));
        }
    }
    for (const auto& [start, mapping] : gone)
        release(mapping);
    return 0;
}

void ClientMemory::unmap_all() {
    Table gone;
    {
        const Change change(*this);
        gone.swap(table_);
        channel_.cancel(0, 0, DmaStatus::kUnmapped);
    }
    for (const auto& [iova, mapping] : gone)
        release(mapping);
}

size_t ClientMemory::mapping_count() const {
    const std::lock_guard lock(gate_);
    return table_.size();
}

void ClientMemory::set_enabled(bool enabled) {
    const Change change(*this);
    enabled_.store(enabled, std::memory_order_release);
    if (!enabled)
        channel_.cancel(0, 0, DmaStatus::kBusMasterOff);
}

DmaStatus ClientMemory::locate(uint64_t iova, bool write, const Mapping*& mapping, uint64_t& offset,
                               uint64_t& available) const {
    if (!enabled())
        return channel_.is_open() ? DmaStatus::kBusMasterOff : DmaStatus::kDisconnected;
    auto next = table_.upper_bound(iova);
    if (next == table_.begin())
        return DmaStatus::kUnmapped;
    const auto& [first, found] = *std::prev(next);
    offset = iova - first;
    if (offset >= found.size)
        return DmaStatus::kUnmapped;
    if (write ? !found.writable : !found.readable)
        return DmaStatus::kNotPermitted;
    mapping = &found;
    available = found.size - offset;
    return DmaStatus::kOk;
}

DmaStatus ClientMemory::transfer(uint64_t iova, std::byte* data, size_t length, bool write) {
    if (length != 0 && iova + (length - 1) < iova)
        return DmaStatus::kUnmapped;
    while (length > 0) {
        Piece piece(*this);
        const Mapping* mapping = nullptr;
        uint64_t offset = 0;
        uint64_t available = 0;
        const DmaStatus found = locate(iova, write, mapping, offset, available);
        if (found != DmaStatus::kOk)
            return found;
        size_t step = std::min<uint64_t>({length, kPieceBytes, available});
        if (mapping->host) {
            std::byte* const host = mapping->host + offset;
            if (!(write ? guarded::copy(host, data, step) : guarded::copy(data, host, step)))
                return DmaStatus::kBusError;
        } else {
            step = std::min(step, channel_.max_transfer());
            const DmaChannel::Handle request =
                write ? channel_.begin_write(iova, data, step) : channel_.begin_read(iova, step);
            piece.end();
            if (!request)
                return DmaStatus::kDisconnected;
            const DmaStatus status = channel_.finish(request, data, reply_limit_);
            if (status != DmaStatus::kOk)
                return status;
        }
        iova += step;
        data += step;
        length -= step;
    }
    return DmaStatus::kOk;
}

DmaStatus ClientMemory::read(uint64_t iova, void* destination, size_t length) {
    return transfer(iova, static_cast<std::byte*>(destination), length, false);
}

DmaStatus ClientMemory::write(uint64_t iova, const void* source, size_t length) {
    // transfer() only reads `data` when it writes host memory.
    return transfer(iova, static_cast<std::byte*>(const_cast<void*>(source)), length, true);
}

DmaStatus ClientMemory::probe(uint64_t iova, size_t length, bool write) const {
    if (length != 0 && iova + (length - 1) < iova)
        return DmaStatus::kUnmapped;
    const Piece piece(*this);
    while (length > 0) {
        const Mapping* mapping = nullptr;
        uint64_t offset = 0;
        uint64_t available = 0;
        const DmaStatus found = locate(iova, write, mapping, offset, available);
        if (found != DmaStatus::kOk)
            return found;
        const uint64_t step = std::min<uint64_t>(length, available);
        iova += step;
        length -= step;
    }
    return DmaStatus::kOk;
}

template <typename T, typename Access>
DmaStatus ClientMemory::word(uint64_t iova, T& value, bool write, Access access) {
    if (iova % sizeof(T) != 0)
        return DmaStatus::kNotPermitted;
    {
        const Piece piece(*this);
        const Mapping* mapping = nullptr;
        uint64_t offset = 0;
        uint64_t available = 0;
        const DmaStatus found = locate(iova, write, mapping, offset, available);
        if (found != DmaStatus::kOk)
            return found;
        if (mapping->host) // pages are mapped whole, so an aligned word lies in one mapping
            return access(reinterpret_cast<T*>(mapping->host + offset)) ? DmaStatus::kOk
                                                                        : DmaStatus::kBusError;
    }
    return transfer(iova, reinterpret_cast<std::byte*>(&value), sizeof(T), write);
}

DmaStatus ClientMemory::load32(uint64_t iova, uint32_t& value) {
    return word(iova, value, false, [&](uint32_t* at) { return guarded::load32(at, value); });
}

DmaStatus ClientMemory::load64(uint64_t iova, uint64_t& value) {
    return word(iova, value, false, [&](uint64_t* at) { return guarded::load64(at, value); });
}

DmaStatus ClientMemory::store32(uint64_t iova, uint32_t value) {
    return word(iova, value, true, [&](uint32_t* at) { return guarded::store32(at, value); });
}

DmaStatus ClientMemory::store64(uint64_t iova, uint64_t value) {
    return word(iova, value, true, [&](uint64_t* at) { return guarded::store64(at, value); });
}

DmaStatus ClientMemory::load32_array(uint64_t iova, uint32_t* values, size_t count) {
    if (iova % sizeof(uint32_t) != 0 || count > kPieceBytes / sizeof(uint32_t))
        return DmaStatus::kNotPermitted;
    {
        const Piece piece(*this);
        const Mapping* mapping = nullptr;
        uint64_t offset = 0;
        uint64_t available = 0;
        const DmaStatus found = locate(iova, false, mapping, offset, available);
        if (found != DmaStatus::kOk)
            return found;
        if (mapping->host && available >= count * sizeof(uint32_t))
            return guarded::load32_array(reinterpret_cast<uint32_t*>(mapping->host + offset),
                                         values, count)
                       ? DmaStatus::kOk
                       : DmaStatus::kBusError;
    }
    return transfer(iova, reinterpret_cast<std::byte*>(values), count * sizeof(uint32_t), false);
}

} // namespace talus::sim::vfio_user
