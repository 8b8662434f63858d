#include "memory.hpp"

#include "error.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace talus::driver {

IovaSpace::IovaSpace(const std::vector<IovaRange>& usable) {
    for (const auto& [low, high] : {IovaRange{kBase, kEnd}, IovaRange{kPage, kBase}}) {
        for (const IovaRange& range : usable) {
            const std::uint64_t begin = (std::max(range.begin, low) + kPage - 1) & ~(kPage - 1);
            const std::uint64_t end = std::min(range.end, high) & ~(kPage - 1);
            if (begin < end)
                ranges_.emplace_back(begin, end - begin, kPage);
        }
        if (!ranges_.empty())
            return;
    }
}

std::uint64_t IovaSpace::allocate(std::uint64_t bytes, std::uint64_t alignment) {
    const std::lock_guard lock(mutex_);
    for (RangeAllocator& range : ranges_)
        if (const auto iova = range.allocate(bytes, alignment))
            return *iova;
    throw Error(TALUS_DRV_OUT_OF_HOST_MEMORY,
                "IOVA space is exhausted: no room for " + std::to_string(bytes) + " bytes");
}

void IovaSpace::release(std::uint64_t iova) {
    const std::lock_guard lock(mutex_);
    for (RangeAllocator& range : ranges_)
        if (range.release(iova))
            return;
}

// False if the system has no such pages left. hugetlb reserves at mmap, so that a later access
// never fails.
bool DmaRegion::create(std::uint64_t page_bytes, bool last_resort) {
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    if (page_bytes != IovaSpace::kPage)
        flags |= MFD_HUGETLB | static_cast<unsigned>(std::countr_zero(page_bytes))
                                   << MFD_HUGE_SHIFT;
    file_.reset(memfd_create("talus-dma", flags));
    const auto failed = [&](const std::string& what) {
        if (last_resort)
            throw system_error(what, errno);
        file_.reset();
        return false;
    };
    if (!file_.valid())
        return failed("memfd_create");
    if (ftruncate(file_.get(), static_cast<off_t>(bytes_)) != 0)
        return failed("cannot size DMA memory of " + std::to_string(bytes_) + " bytes");
    void* mapped = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (mapped == MAP_FAILED)
        return failed("cannot map DMA memory of " + std::to_string(bytes_) + " bytes");
    // A child of fork() has no business in it.
    if (madvise(mapped, bytes_, MADV_DONTFORK) != 0) {
        munmap(mapped, bytes_);
        return failed("MADV_DONTFORK");
    }
    pointer_ = static_cast<std::byte*>(mapped);
    page_bytes_ = page_bytes;
    return true;
}

DmaRegion::DmaRegion(Transport& transport, IovaSpace& space, std::uint64_t bytes,
                     std::uint64_t alignment, bool share_fd)
    : transport_(transport), space_(space),
      bytes_((bytes + IovaSpace::kPage - 1) & ~(IovaSpace::kPage - 1)) {
    if (transport.pins_memory() && bytes_ > kHugePages[1])
        bytes_ = (bytes_ + kHugePages[1] - 1) & ~(kHugePages[1] - 1);
    bool created = false;
    if (transport.pins_memory())
        for (const std::uint64_t page : kHugePages)
            created = created || (bytes_ % page == 0 && create(page, false));
    if (!created)
        create(IovaSpace::kPage, true);
    try {
        // The other side gets this descriptor: it must not be able to shrink the file beneath us,
        // which would turn our next access into SIGBUS.
        if (fcntl(file_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
            throw system_error("cannot seal DMA memory", errno);
        iova_ = space_.allocate(bytes_, std::max(alignment, page_bytes_));
        try {
            transport_.dma_map(iova_, bytes_, pointer_, share_fd ? file_.get() : -1);
        } catch (...) {
            space_.release(iova_);
            throw;
        }
    } catch (...) {
        munmap(pointer_, bytes_);
        throw;
    }
}

DmaRegion::~DmaRegion() {
    try {
        transport_.dma_unmap(iova_, bytes_);
    } catch (const Error&) {
        // The device is lost: it can no longer reach the memory either.
    }
    space_.release(iova_);
    munmap(pointer_, bytes_);
}

DmaHeap::DmaHeap(Transport& transport, IovaSpace& space, bool share_fd, ArenaHook hook)
    : transport_(transport), space_(space), share_fd_(share_fd), hook_(std::move(hook)) {}

DmaBuffer DmaHeap::allocate(std::uint64_t bytes, std::uint64_t alignment) {
    if (alignment == 0)
        alignment = kGranule;
    if (bytes == 0 || bytes > IovaSpace::kEnd || !std::has_single_bit(alignment) ||
        alignment > kArenaAlignment)
        throw Error(TALUS_DRV_INVALID_ARGUMENT,
                    "host buffer of " + std::to_string(bytes) + " bytes aligned to " +
                        std::to_string(alignment) +
                        ": the size must be above 0, the alignment a power of two up to 2 MiB");
    const std::lock_guard lock(mutex_);
    for (Arena& arena : arenas_)
        if (const auto iova = arena.ranges.allocate(bytes, alignment)) {
            std::byte* pointer = arena.region->pointer() + (*iova - arena.region->iova());
            std::memset(pointer, 0, bytes);
            return {pointer, *iova, bytes};
        }
    auto region = std::make_unique<DmaRegion>(transport_, space_, std::max(bytes, kArenaBytes),
                                              kArenaAlignment, share_fd_);
    if (hook_)
        hook_(*region, true);
    RangeAllocator ranges(region->iova(), region->bytes(), kGranule);
    const std::uint64_t iova = ranges.allocate(bytes, alignment).value();
    std::byte* pointer = region->pointer() + (iova - region->iova());
    arenas_.push_back({std::move(region), std::move(ranges)});
    return {pointer, iova, bytes};
}

void DmaHeap::release(std::uint64_t iova) {
    const std::lock_guard lock(mutex_);
    for (auto arena = arenas_.begin(); arena != arenas_.end(); ++arena) {
        if (!arena->ranges.release(iova))
            continue;
        // The first arena stays for the next allocation; the others go when they are empty.
        if (arena->ranges.used() == 0 && arena != arenas_.begin()) {
            if (hook_)
                hook_(*arena->region, false);
            arenas_.erase(arena);
        }
        return;
    }
    throw Error(TALUS_DRV_INVALID_ARGUMENT, "no host buffer starts at the given IOVA");
}

void DmaHeap::for_each_arena(const std::function<void(const DmaRegion&)>& visit) {
    const std::lock_guard lock(mutex_);
    for (const Arena& arena : arenas_)
        visit(*arena.region);
}

std::uint64_t DmaHeap::page_bytes() {
    const std::lock_guard lock(mutex_);
    std::uint64_t smallest = 0;
    for (const Arena& arena : arenas_)
        if (smallest == 0 || arena.region->page_bytes() < smallest)
            smallest = arena.region->page_bytes();
    return smallest;
}

std::size_t DmaHeap::arena_count() {
    const std::lock_guard lock(mutex_);
    return arenas_.size();
}

} // namespace talus::driver
