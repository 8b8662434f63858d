// The client's memory as the device may reach it: the table of DMA mappings (the "IOMMU") and the
// copies through it.
//
// Two kinds of callers meet here. Device threads access memory; the socket thread changes mappings.
// Each access is done in pieces of at most 64 KiB, each piece under a lock that a change takes too.
// A change therefore waits for at most one piece, and once it has returned nothing is touched by
// the old rules: this is what lets DMA_UNMAP, a reset and Bus Master off be answered at once. A
// waiting change goes before the next piece, so a long transfer cannot starve it.
//
// An access by message holds the lock while it is queued, not while its reply is awaited; a change
// cancels what is under way. The client sees such a request before the reply to the change.
#ifndef TALUS_SIM_VFIO_USER_CLIENT_MEMORY_HPP
#define TALUS_SIM_VFIO_USER_CLIENT_MEMORY_HPP

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "dma_channel.hpp"
#include "dma_status.hpp"
#include "unique_fd.hpp"

namespace talus::sim::vfio_user {

class ClientMemory {
  public:
    static constexpr size_t kPieceBytes = 64 * 1024;
    static constexpr uint64_t kPageBytes = 4096;

    // `reply_limit`: how long an access by message waits for the client (completion time-out).
    explicit ClientMemory(std::chrono::milliseconds reply_limit = std::chrono::seconds(5));
    ~ClientMemory();
    ClientMemory(const ClientMemory&) = delete;
    ClientMemory& operator=(const ClientMemory&) = delete;

    // ---- Socket thread ----------------------------------------------------------------------

    // VFIO_USER_DMA_MAP. With `fd` the file is mapped from `offset`, without it accesses go by
    // message. Returns 0 or an errno value: EINVAL (alignment, zero or overflowing range, no access
    // right, file too short), EEXIST (overlap), ENOSPC (too many), or what mmap said. Takes `fd`.
    int map(uint64_t iova, uint64_t size, bool readable, bool writable, uint64_t offset,
            UniqueFd fd);
    // VFIO_USER_DMA_UNMAP, by VFIO's rule: takes away every mapping that lies within the range.
    // ENOENT if there is none (a virtual IOMMU clears its whole address space, mapped or not),
    // EINVAL if the range is empty or would cut a mapping in two.
    int unmap(uint64_t iova, uint64_t size);
    void unmap_all();
    size_t mapping_count() const;

    // Bus Master Enable (and power state): while false every access fails with kBusMasterOff.
    void set_enabled(bool enabled);
    bool enabled() const { return enabled_.load(std::memory_order_acquire); }

    // The way to the client's messages; opened and closed with the connection.
    DmaChannel& channel() { return channel_; }
    const DmaChannel& channel() const { return channel_; }

    // ---- Device threads (any; never the socket thread, which must deliver the replies) ----------

    DmaStatus read(uint64_t iova, void* destination, size_t length);
    DmaStatus write(uint64_t iova, const void* source, size_t length);
    DmaStatus probe(uint64_t iova, size_t length, bool write) const;
    // Naturally aligned, else kNotPermitted. Atomic where the mapping has a file descriptor.
    DmaStatus load32(uint64_t iova, uint32_t& value);
    DmaStatus load64(uint64_t iova, uint64_t& value);
    DmaStatus store32(uint64_t iova, uint32_t value);
    DmaStatus store64(uint64_t iova, uint64_t value);
    DmaStatus load32_array(uint64_t iova, uint32_t* values, size_t count);

  private:
    struct Mapping {
        uint64_t size = 0;
        bool readable = false;
        bool writable = false;
        std::byte* host = nullptr; // null: by message
    };
    using Table = std::map<uint64_t, Mapping>; // by first IOVA; ranges are disjoint

    class Piece;  // scope of one piece of an access
    class Change; // scope of one change, before all pieces to come

    // Finds the mapping of `iova` and checks the direction; `available` = bytes from iova to its
    // end.
    DmaStatus locate(uint64_t iova, bool write, const Mapping*& mapping, uint64_t& offset,
                     uint64_t& available) const;
    DmaStatus transfer(uint64_t iova, std::byte* data, size_t length, bool write);
    template <typename T, typename Access>
    DmaStatus word(uint64_t iova, T& value, bool write, Access access);
    static void release(const Mapping& mapping);

    const std::chrono::milliseconds reply_limit_;
    mutable std::mutex gate_;
    mutable std::atomic<int> changes_waiting_{0};
    std::atomic<bool> enabled_{false}; // changes under gate_
    Table table_;                      // under gate_
    DmaChannel channel_;
};

} // namespace talus::sim::vfio_user

#endif
