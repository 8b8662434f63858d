// Tells the process that opened a device from its children.
#pragma once

#include "error.hpp"

#include <sys/mman.h>

#include <cerrno>

namespace talus::driver {

/// A page that the kernel empties in a child of fork(): no system call to look at it, no handler of
/// the process's to register.
class ForkMark {
  public:
    ForkMark() {
        void* page = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (page == MAP_FAILED)
            throw system_error("cannot map a page", errno);
        page_ = static_cast<volatile unsigned char*>(page);
        if (madvise(page, kBytes, MADV_WIPEONFORK) != 0) {
            const int error = errno;
            munmap(page, kBytes);
            throw system_error("MADV_WIPEONFORK", error);
        }
        *page_ = 1;
    }
    ~ForkMark() { munmap(const_cast<unsigned char*>(page_), kBytes); }
    ForkMark(const ForkMark&) = delete;
    ForkMark& operator=(const ForkMark&) = delete;

    /// This process is a child of the one that made the mark.
    bool inherited() const { return *page_ == 0; }

  private:
    static constexpr std::size_t kBytes = 4096;
    volatile unsigned char* page_;
};

} // namespace talus::driver
