#include "irq_bank.hpp"

#include <cstring>
#include <poll.h>
#include <string>
#include <sys/stat.h>
#include <unistd.h>

namespace talus::sim::vfio_user {

bool IrqBank::is_eventfd(int fd) {
    struct stat status;
    // Anonymous inodes have no file type; this alone rules out files, pipes, sockets and devices.
    if (fstat(fd, &status) != 0 || (status.st_mode & S_IFMT) != 0)
        return false;
    char target[64];
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = readlink(link.c_str(), target, sizeof target);
    if (length < 0)
        return true; // no /proc here
    constexpr char kName[] = "anon_inode:[eventfd]";
    return static_cast<size_t>(length) == sizeof kName - 1 &&
           std::memcmp(target, kName, sizeof kName - 1) == 0;
}

void IrqBank::set_count(uint32_t index, uint32_t count) {
    const std::lock_guard lock(mutex_);
    eventfds_.at(index).resize(count);
}

void IrqBank::assign(uint32_t index, uint32_t vector, UniqueFd fd) {
    const std::lock_guard lock(mutex_);
    eventfds_.at(index).at(vector) = std::move(fd);
}

void IrqBank::clear(uint32_t index) {
    const std::lock_guard lock(mutex_);
    for (UniqueFd& fd : eventfds_.at(index))
        fd.reset();
}

void IrqBank::clear_all() {
    for (uint32_t index = 0; index < eventfds_.size(); ++index)
        clear(index);
}

bool IrqBank::assigned(uint32_t index, uint32_t vector) const {
    const std::lock_guard lock(mutex_);
    return vector < eventfds_.at(index).size() && eventfds_.at(index)[vector];
}

bool IrqBank::signal(uint32_t index, uint32_t vector) {
    // Under the lock, so that after assign() or clear() returned, the old eventfd is never written.
    const std::lock_guard lock(mutex_);
    if (vector >= eventfds_.at(index).size() || !eventfds_.at(index)[vector])
        return false;
    const int fd = eventfds_.at(index)[vector].get();
    // The client chose whether its eventfd blocks, and the flag is shared with it: ask first.
    pollfd writable = {fd, POLLOUT, 0};
    if (poll(&writable, 1, 0) == 1 && (writable.revents & POLLOUT) != 0) {
        const uint64_t one = 1;
        static_cast<void>(!write(fd, &one, sizeof one));
    }
    return true;
}

} // namespace talus::sim::vfio_user
