// Gives out parts of an address range: IOVA space, DMA arenas, device DRAM and LLS.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace talus::driver {

/// First fit by address, so the same sequence of calls gives the same addresses on every run:
/// device addresses decide DRAM banks, and simulated time must not depend on the heap's mood. Free
/// neighbours are merged at once. Not thread-safe; the owner locks.
class RangeAllocator {
  public:
    /// Manages [base, base + size); base + size must not wrap. Sizes are rounded up to `granule`
    /// (a power of two), to which `base` is aligned.
    RangeAllocator(std::uint64_t base, std::uint64_t size, std::uint64_t granule);

    /// `alignment`: a power of two. Empty when no free range fits or `size` is 0.
    std::optional<std::uint64_t> allocate(std::uint64_t size, std::uint64_t alignment);

    /// Frees what allocate gave; the freed bytes, or empty if `address` is not an allocation's
    /// start.
    std::optional<std::uint64_t> release(std::uint64_t address);

    /// Forgets every allocation.
    void clear();

    bool owns(std::uint64_t address) const { return used_ranges_.count(address) != 0; }
    std::uint64_t base() const { return base_; }
    std::uint64_t size() const { return size_; }
    std::uint64_t used() const { return used_; }
    std::size_t free_range_count() const { return free_ranges_.size(); }

  private:
    std::uint64_t base_;
    std::uint64_t size_;
    std::uint64_t granule_;
    std::uint64_t used_ = 0;
    std::map<std::uint64_t, std::uint64_t> free_ranges_; // start -> bytes
    std::map<std::uint64_t, std::uint64_t> used_ranges_; // start -> bytes
};

} // namespace talus::driver
