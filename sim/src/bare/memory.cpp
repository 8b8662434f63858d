#include "memory.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

#include <sys/mman.h>

#include <fmt/format.h>

namespace talus::sim::bare {

namespace {

constexpr std::uint64_t kPage = 4096;

} // namespace

Memory::~Memory() {
    for (const Range& range : ranges_) {
        munmap(range.host, range.size);
    }
}

void Memory::map(std::uint64_t base, std::uint64_t size) {
    void* host = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (host == MAP_FAILED) {
        throw std::runtime_error(fmt::format("the host has no memory for {:#x} + {:#x}: {}", base,
                                             size, std::strerror(errno)));
    }
    ranges_.push_back({base, size, static_cast<std::uint8_t*>(host)});
}

void Memory::load(const ElfFile& elf, std::uint64_t size) {
    elf.check_layout();
    size = std::max((size + kPage - 1) & ~(kPage - 1), kPage);
    // The topmost page stays out: so no range ends at 2^64, which has no representation.
    constexpr std::uint64_t kEnd = ~std::uint64_t{0} & ~(kPage - 1);
    const auto& segments = elf.segments();
    for (std::size_t i = 0; i < segments.size();) {
        const std::uint64_t base = segments[i].addr & ~(kPage - 1);
        std::uint64_t end = size > kEnd - std::min(base, kEnd) ? kEnd : base + size;
        do { // a segment that begins inside and ends outside pulls the end along
            const std::uint64_t last = segments[i].addr + segments[i].size - 1;
            if (last >= kEnd) {
                throw std::runtime_error(fmt::format("{}: segment at {:#x} + {:#x} reaches into "
                                                     "the topmost page, which is no memory",
                                                     elf.path(), segments[i].addr,
                                                     segments[i].size));
            }
            end = std::max(end, (last | (kPage - 1)) + 1);
            ++i;
        } while (i < segments.size() && segments[i].addr < end);
        try {
            map(base, end - base);
        } catch (const std::runtime_error& error) {
            throw std::runtime_error(elf.path() + ": " + error.what());
        }
    }
    for (const ElfFile::Segment& segment : segments) {
        std::ranges::copy(segment.bytes, at(segment.addr, segment.size));
    }
}

std::uint8_t* Memory::at(std::uint64_t addr, std::uint64_t len) const {
    for (const Range& range : ranges_) {
        const std::uint64_t offset = addr - range.base;
        if (offset < range.size && len <= range.size - offset) {
            return range.host + offset;
        }
    }
    return nullptr;
}

} // namespace talus::sim::bare
