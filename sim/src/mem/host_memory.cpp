#include "host_memory.hpp"

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <sys/mman.h>
#include <unistd.h>

namespace talus::sim {

namespace {

std::uint8_t* map(std::uint64_t bytes, const char* what, int flags, int fd) {
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (address == MAP_FAILED) {
        throw std::system_error(errno, std::generic_category(),
                                std::string("cannot map ") + std::to_string(bytes >> 10) +
                                    " KiB of address space for " + what);
    }
    return static_cast<std::uint8_t*>(address);
}

} // namespace

HostMemory::HostMemory(std::uint64_t bytes, const char* what)
    : data_(map(bytes, what, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)), bytes_(bytes) {}

HostMemory::HostMemory(std::uint64_t bytes, const char* what, int fd)
    : data_(map(bytes, what, MAP_SHARED, fd)), bytes_(bytes), shared_(true) {}

HostMemory::~HostMemory() {
    munmap(data_, bytes_);
}

void HostMemory::discard(std::uint64_t offset, std::uint64_t len) {
    if (shared_) {
        std::memset(data_ + offset, 0, len);
        return;
    }
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    const std::uint64_t end = offset + len;
    const std::uint64_t first = (offset + page - 1) / page * page;
    const std::uint64_t last = end / page * page;
    if (first >= last) {
        std::memset(data_ + offset, 0, len);
        return;
    }
    std::memset(data_ + offset, 0, first - offset);
    std::memset(data_ + last, 0, end - last);
    // Private anonymous pages read as zero after this.
    if (madvise(data_ + first, last - first, MADV_DONTNEED) != 0) {
        std::memset(data_ + first, 0, last - first);
    }
}

} // namespace talus::sim
