#include "syscalls.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

namespace talus::driver {
namespace {

namespace fs = std::filesystem;

class Linux final : public Syscalls {
  public:
    int open(const std::string& path, int flags) override {
        const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
    }
    void close(int fd) override { ::close(fd); }
    int ioctl(int fd, unsigned long request, void* argument) override {
        int result = 0;
        do
            result = ::ioctl(fd, request, argument);
        while (result < 0 && errno == EINTR);
        return result < 0 ? -errno : result;
    }
    ssize_t pread(int fd, void* to, std::size_t bytes, std::uint64_t offset) override {
        const ssize_t got = ::pread(fd, to, bytes, static_cast<off_t>(offset));
        return got < 0 ? -errno : got;
    }
    ssize_t pwrite(int fd, const void* from, std::size_t bytes, std::uint64_t offset) override {
        const ssize_t put = ::pwrite(fd, from, bytes, static_cast<off_t>(offset));
        return put < 0 ? -errno : put;
    }
    void* map(int fd, std::size_t bytes, int protection, std::uint64_t offset) override {
        void* pointer =
            ::mmap(nullptr, bytes, protection, MAP_SHARED, fd, static_cast<off_t>(offset));
        return pointer == MAP_FAILED ? nullptr : pointer;
    }
    void unmap(void* pointer, std::size_t bytes) override { ::munmap(pointer, bytes); }

    LockedMemory locked_memory() override {
        LockedMemory locked;
        // VFIO's containers count what they pin as locked, iommufd as pinned.
        std::ifstream status("/proc/thread-self/status");
        std::uint64_t capabilities = 0;
        for (std::string word; status >> word;) {
            std::uint64_t kib = 0;
            if (word == "VmLck:" || word == "VmPin:") {
                status >> kib;
                locked.bytes += kib << 10;
            } else if (word == "CapEff:") {
                status >> std::hex >> capabilities >> std::dec;
            }
        }
        rlimit limit{};
        if ((capabilities >> CAP_IPC_LOCK & 1) == 0 && ::getrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
            limit.rlim_cur != RLIM_INFINITY)
            locked.limit = limit.rlim_cur;
        return locked;
    }

    std::optional<std::string> read_line(const std::string& path) override {
        std::ifstream file(path);
        std::string line;
        if (!file || !std::getline(file, line))
            return std::nullopt;
        return line;
    }
    int write_text(const std::string& path, const std::string& text) override {
        // One write call: sysfs takes a value whole. Only the record of bindings is ever created.
        const bool attribute = path.starts_with("/sys/");
        if (!attribute) {
            std::error_code ignored;
            fs::create_directories(fs::path(path).parent_path(), ignored);
        }
        const int fd =
            ::open(path.c_str(), O_WRONLY | O_CLOEXEC | (attribute ? 0 : O_CREAT | O_TRUNC), 0644);
        if (fd < 0)
            return -errno;
        const ssize_t put = ::write(fd, text.data(), text.size());
        const int error = put < 0 ? errno : 0;
        ::close(fd);
        return -error;
    }
    int remove(const std::string& path) override {
        return ::unlink(path.c_str()) != 0 ? -errno : 0;
    }
    std::string link_name(const std::string& path) override {
        std::error_code ignored;
        return fs::read_symlink(path, ignored).filename().string();
    }
    bool exists(const std::string& path) override {
        std::error_code ignored;
        return fs::exists(path, ignored);
    }
    std::vector<std::string> list(const std::string& folder) override {
        std::vector<std::string> names;
        std::error_code error;
        for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
             entry.increment(error))
            names.push_back(entry->path().filename().string());
        std::sort(names.begin(), names.end());
        return names;
    }
};

} // namespace

Syscalls& Syscalls::linux() {
    static Linux calls;
    return calls;
}

} // namespace talus::driver
