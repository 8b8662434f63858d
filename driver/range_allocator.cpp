#include "range_allocator.hpp"

#include "error.hpp"

#include <algorithm>
#include <bit>
#include <iterator>
#include <limits>

namespace talus::driver {

RangeAllocator::RangeAllocator(std::uint64_t base, std::uint64_t size, std::uint64_t granule)
    : base_(base), size_(size), granule_(granule) {
    if (!std::has_single_bit(granule) || base % granule != 0 ||
        size > std::numeric_limits<std::uint64_t>::max() - base)
        throw Error(TALUS_DRV_INTERNAL, "address range is not aligned to its granule or wraps");
    size_ -= size_ % granule;
    clear();
}

void RangeAllocator::clear() {
    used_ranges_.clear();
    free_ranges_.clear();
    used_ = 0;
    if (size_ != 0)
        free_ranges_.emplace(base_, size_);
}

std::optional<std::uint64_t> RangeAllocator::allocate(std::uint64_t size, std::uint64_t alignment) {
    if (size == 0 || size > size_ || !std::has_single_bit(alignment))
        return std::nullopt;
    size = (size + granule_ - 1) & ~(granule_ - 1);
    alignment = std::max(alignment, granule_);
    for (auto range = free_ranges_.begin(); range != free_ranges_.end(); ++range) {
        const auto [start, bytes] = *range;
        const std::uint64_t skipped = (alignment - start % alignment) % alignment;
        if (skipped > bytes || bytes - skipped < size)
            continue;
        const std::uint64_t address = start + skipped;
        const std::uint64_t tail = bytes - skipped - size;
        if (skipped == 0)
            free_ranges_.erase(range);
        else
            range->second = skipped;
        if (tail != 0)
            free_ranges_.emplace(address + size, tail);
        used_ranges_.emplace(address, size);
        used_ += size;
        return address;
    }
    return std::nullopt;
}

std::optional<std::uint64_t> RangeAllocator::release(std::uint64_t address) {
    const auto allocation = used_ranges_.find(address);
    if (allocation == used_ranges_.end())
        return std::nullopt;
    const std::uint64_t size = allocation->second;
    used_ranges_.erase(allocation);
    used_ -= size;

    auto range = free_ranges_.emplace(address, size).first;
    if (const auto next = std::next(range);
        next != free_ranges_.end() && range->first + range->second == next->first) {
        range->second += next->second;
        free_ranges_.erase(next);
    }
    if (range != free_ranges_.begin()) {
        const auto previous = std::prev(range);
        if (previous->first + previous->second == range->first) {
            previous->second += range->second;
            free_ranges_.erase(range);
        }
    }
    return size;
}

} // namespace talus::driver
