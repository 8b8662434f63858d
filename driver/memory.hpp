// Host memory that the device reads and writes in place, and where it stands in IOVA space.
#pragma once

#include "fd.hpp"
#include "range_allocator.hpp"
#include "transport.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace talus::driver {

/// IOVA space of one device. Thread-safe.
class IovaSpace {
  public:
    /// Above 4 GiB, clear of the interrupt window at 0xfee00000, and within the 39 bits that the
    /// smallest IOMMU page tables cover.
    static constexpr std::uint64_t kBase = std::uint64_t{1} << 32;
    static constexpr std::uint64_t kEnd = std::uint64_t{1} << 38;
    static constexpr std::uint64_t kPage = 4096;

    /// Takes the parts of `usable` between kBase and kEnd, so that addresses are the same on every
    /// transport that permits it; only if there are none, what lies below kBase.
    explicit IovaSpace(const std::vector<IovaRange>& usable = {{kBase, kEnd}});

    /// Throws OUT_OF_HOST_MEMORY.
    std::uint64_t allocate(std::uint64_t bytes, std::uint64_t alignment);
    void release(std::uint64_t iova);

  private:
    std::mutex mutex_;
    std::vector<RangeAllocator> ranges_;
};

/// Page sizes that DMA memory is taken in, largest first. The larger two are Linux's hugetlb pages,
/// which the administrator reserves (vm.nr_hugepages).
constexpr std::uint64_t kHugePages[] = {std::uint64_t{1} << 30, std::uint64_t{2} << 20};

/// A memfd, mapped here and at the device, page-aligned and zeroed. Not movable: the device knows
/// its place. The memory lives until the destructor has unmapped it at the device. Where the
/// transport pins memory, the largest page size is taken that divides the size and that the system
/// has enough pages of; the size is rounded up to 2 MiB first if it is above that.
class DmaRegion {
  public:
    /// `share_fd`: hand the file to the device, so that it maps the memory too; without, each of
    /// its accesses is a message.
    DmaRegion(Transport& transport, IovaSpace& space, std::uint64_t bytes, std::uint64_t alignment,
              bool share_fd);
    ~DmaRegion();
    DmaRegion(const DmaRegion&) = delete;
    DmaRegion& operator=(const DmaRegion&) = delete;

    std::byte* pointer() const { return pointer_; }
    std::uint64_t iova() const { return iova_; }
    std::uint64_t bytes() const { return bytes_; }
    std::uint64_t page_bytes() const { return page_bytes_; }

  private:
    bool create(std::uint64_t page_bytes, bool last_resort);

    Transport& transport_;
    IovaSpace& space_;
    UniqueFd file_;
    std::uint64_t page_bytes_ = IovaSpace::kPage;
    std::byte* pointer_ = nullptr;
    std::uint64_t iova_ = 0;
    std::uint64_t bytes_ = 0;
};

/// A part of a DmaRegion.
struct DmaBuffer {
    std::byte* pointer = nullptr;
    std::uint64_t iova = 0;
    std::uint64_t bytes = 0;
};

/// Cuts buffers from large regions ("arenas"): one mapping, and one host window, serve thousands of
/// buffers. Thread-safe.
class DmaHeap {
  public:
    /// Called for every arena after it is mapped and before it is unmapped; the device's host
    /// windows follow the arenas.
    using ArenaHook = std::function<void(const DmaRegion&, bool added)>;

    static constexpr std::uint64_t kArenaBytes = std::uint64_t{64} << 20;
    static constexpr std::uint64_t kArenaAlignment = std::uint64_t{2} << 20;
    static constexpr std::uint64_t kGranule = 64;

    DmaHeap(Transport& transport, IovaSpace& space, bool share_fd, ArenaHook hook);

    /// Zeroed memory. Throws OUT_OF_HOST_MEMORY or INVALID_ARGUMENT (size 0, alignment no power of
    /// two or above kArenaAlignment).
    DmaBuffer allocate(std::uint64_t bytes, std::uint64_t alignment);

    /// Throws INVALID_ARGUMENT if `iova` is no buffer's start.
    void release(std::uint64_t iova);

    /// Calls `visit` for every arena.
    void for_each_arena(const std::function<void(const DmaRegion&)>& visit);

    std::size_t arena_count();

    /// Of the arena with the smallest pages; 0 without an arena.
    std::uint64_t page_bytes();

  private:
    struct Arena {
        std::unique_ptr<DmaRegion> region;
        RangeAllocator ranges;
    };

    Transport& transport_;
    IovaSpace& space_;
    bool share_fd_;
    ArenaHook hook_;
    std::mutex mutex_;
    std::vector<Arena> arenas_;
};

} // namespace talus::driver
