#include "host_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
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

/// Which pages of private memory the process has, from /proc/self/pagemap (Linux:
/// admin-guide/mm/pagemap.rst): 64 bits a page, bit 63 = present, bit 62 = swapped.
class Pagemap {
  public:
    Pagemap() : fd_(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)) {
        if (fd_ < 0) {
            throw CheckpointError(std::string("a checkpoint needs /proc/self/pagemap: ") +
                                  std::strerror(errno));
        }
    }
    ~Pagemap() { close(fd_); }
    Pagemap(const Pagemap&) = delete;
    Pagemap& operator=(const Pagemap&) = delete;

    /// The first page from `page` on that is there, at most `end`; both are numbers of pages.
    std::uint64_t next(std::uint64_t page, std::uint64_t end) {
        for (; page < end; ++page) {
            if (page < first_ || page - first_ >= entries_.size()) {
                load(page, end);
            }
            if (entries_[page - first_] >> 62 != 0) {
                break;
            }
        }
        return page;
    }

  private:
    static constexpr std::uint64_t kEntries = 65536;

    void load(std::uint64_t page, std::uint64_t end) {
        first_ = page;
        entries_.resize(std::min(kEntries, end - page));
        const std::size_t bytes = entries_.size() * sizeof(std::uint64_t);
        const auto at = static_cast<off_t>(page * sizeof(std::uint64_t));
        if (pread(fd_, entries_.data(), bytes, at) != static_cast<ssize_t>(bytes)) {
            throw CheckpointError("a checkpoint needs /proc/self/pagemap, which cannot be read");
        }
    }

    int fd_;
    std::uint64_t first_ = 0;
    std::vector<std::uint64_t> entries_;
};

} // namespace

HostMemory::HostMemory(std::uint64_t bytes, const char* what)
    : data_(map(bytes, what, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1)), bytes_(bytes) {}

HostMemory::HostMemory(std::uint64_t bytes, const char* what, int fd)
    : data_(map(bytes, what, MAP_SHARED, fd)), bytes_(bytes), fd_(fd) {}

HostMemory::~HostMemory() {
    munmap(data_, bytes_);
}

void HostMemory::discard(std::uint64_t offset, std::uint64_t len) {
    if (shared()) {
        constexpr int kHole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        if (fallocate(fd_, kHole, static_cast<off_t>(offset), static_cast<off_t>(len)) != 0) {
            std::memset(data_ + offset, 0, len);
        }
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

void HostMemory::checkpoint(Checkpoint& state) {
    if (state.restoring()) {
        discard(0, bytes_);
    }
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    std::optional<Pagemap> pagemap;
    state.memory(data_, bytes_, [&](std::uint64_t offset) {
        if (offset >= bytes_) {
            return bytes_;
        }
        if (shared()) { // what the other side has touched, this page table does not say
            const off_t next = lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
            return next < 0 ? bytes_ : std::min(static_cast<std::uint64_t>(next), bytes_);
        }
        if (!pagemap) {
            pagemap.emplace();
        }
        const std::uint64_t base = reinterpret_cast<std::uintptr_t>(data_) / page;
        const std::uint64_t end = base + (bytes_ + page - 1) / page;
        const std::uint64_t found = pagemap->next(base + offset / page, end);
        return found == end ? bytes_ : std::max((found - base) * page, offset);
    });
}

} // namespace talus::sim
