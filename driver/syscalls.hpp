// What the vfio transport and the driver binding ask of Linux: the seam at which a test puts a
// kernel of its own.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace talus::driver {

/// Memory that this process has locked, as what a device reaches is.
struct LockedMemory {
    std::uint64_t bytes = 0;            ///< locked or pinned now
    std::optional<std::uint64_t> limit; ///< RLIMIT_MEMLOCK; none where no limit holds this process
};

/// Calls return what the system call returns, or -errno. Thread-safe.
class Syscalls {
  public:
    virtual ~Syscalls() = default;

    virtual int open(const std::string& path, int flags) = 0;
    virtual void close(int fd) = 0;
    virtual int ioctl(int fd, unsigned long request, void* argument) = 0;
    virtual ssize_t pread(int fd, void* to, std::size_t bytes, std::uint64_t offset) = 0;
    virtual ssize_t pwrite(int fd, const void* from, std::size_t bytes, std::uint64_t offset) = 0;
    /// Null where the kernel refuses. Shared, at any address.
    virtual void* map(int fd, std::size_t bytes, int protection, std::uint64_t offset) = 0;
    virtual void unmap(void* pointer, std::size_t bytes) = 0;
    /// Of the calling thread, whose capabilities count.
    virtual LockedMemory locked_memory() = 0;

    // sysfs and the record of bindings.
    virtual std::optional<std::string> read_line(const std::string& path) = 0;
    virtual int write_text(const std::string& path, const std::string& text) = 0;
    virtual int remove(const std::string& path) = 0;
    /// Last component of what a symbolic link points at; "" where there is none.
    virtual std::string link_name(const std::string& path) = 0;
    virtual bool exists(const std::string& path) = 0;
    virtual std::vector<std::string> list(const std::string& folder) = 0;

    /// The real one.
    static Syscalls& linux();
};

/// Owns a file descriptor of a Syscalls.
class KernelFd {
  public:
    KernelFd() = default;
    KernelFd(Syscalls& calls, int fd) : calls_(&calls), fd_(fd) {}
    KernelFd(KernelFd&& other) noexcept : calls_(other.calls_), fd_(std::exchange(other.fd_, -1)) {}
    KernelFd& operator=(KernelFd&& other) noexcept {
        if (this != &other) {
            reset();
            calls_ = other.calls_;
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~KernelFd() { reset(); }

    int get() const { return fd_; }
    void reset() {
        if (fd_ >= 0)
            calls_->close(fd_);
        fd_ = -1;
    }

  private:
    Syscalls* calls_ = nullptr;
    int fd_ = -1;
};

} // namespace talus::driver
