#include "transport.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/socket.h>

namespace talus::sim::vfio_user {
namespace {

constexpr size_t kMaxKernelFds = 253; // SCM_MAX_FD of Linux: no message can carry more

} // namespace

SocketTransport::SocketTransport(UniqueFd socket) : socket_(std::move(socket)) {}

Transport::Result SocketTransport::receive(std::span<std::byte> buffer, size_t& bytes,
                                           std::vector<UniqueFd>& fds, bool& fds_lost) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxKernelFds * sizeof(int))> control;
    iovec vector = {buffer.data(), buffer.size()};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();

    ssize_t received;
    do {
        received = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    bytes = received > 0 ? static_cast<size_t>(received) : 0;
    if (received < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? Result::kWouldBlock : Result::kClosed;

    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            fds.emplace_back(fd);
        }
    }
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        fds_lost = true;
    return received == 0 ? Result::kClosed : Result::kMoved;
}

Transport::Result SocketTransport::send(std::span<const std::byte> data, std::span<const int> fds,
                                        size_t& bytes) {
    alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxKernelFds * sizeof(int))> control = {};
    iovec vector = {const_cast<std::byte*>(data.data()), data.size()};
    msghdr message = {};
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        if (fds.size() > kMaxKernelFds)
            throw std::invalid_argument("more file descriptors than a message can carry");
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(part), fds.data(), fds.size_bytes());
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    bytes = sent > 0 ? static_cast<size_t>(sent) : 0;
    if (sent < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? Result::kWouldBlock : Result::kClosed;
    return Result::kMoved;
}

bool SocketTransport::peer_stopped() const {
    ucred peer = {};
    socklen_t length = sizeof peer;
    if (getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0)
        return false;
    std::ifstream file("/proc/" + std::to_string(peer.pid) + "/stat");
    std::string text;
    std::getline(file, text);
    // "pid (name) state …"; the name may hold anything.
    const size_t name_end = text.rfind(") ");
    const char state = name_end == std::string::npos ? '?' : text[name_end + 2];
    return state == 'T' || state == 't';
}

void MemoryTransport::feed(std::span<const std::byte> data, std::vector<UniqueFd> fds) {
    const std::lock_guard lock(mutex_);
    if (!data.empty())
        input_.push_back({{data.begin(), data.end()}, 0, std::move(fds)});
}

void MemoryTransport::close_input() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
}

std::vector<std::byte> MemoryTransport::take_output() {
    const std::lock_guard lock(mutex_);
    return std::exchange(output_, {});
}

std::vector<UniqueFd> MemoryTransport::take_descriptors() {
    const std::lock_guard lock(mutex_);
    return std::exchange(descriptors_, {});
}

Transport::Result MemoryTransport::receive(std::span<std::byte> buffer, size_t& bytes,
                                           std::vector<UniqueFd>& fds, bool&) {
    const std::lock_guard lock(mutex_);
    bytes = 0;
    if (input_.empty())
        return closed_ ? Result::kClosed : Result::kWouldBlock;
    Chunk& chunk = input_.front();
    bytes = std::min(buffer.size(), chunk.data.size() - chunk.taken);
    std::memcpy(buffer.data(), chunk.data.data() + chunk.taken, bytes);
    chunk.taken += bytes;
    std::move(chunk.fds.begin(), chunk.fds.end(), std::back_inserter(fds));
    chunk.fds.clear();
    if (chunk.taken == chunk.data.size())
        input_.pop_front();
    return Result::kMoved;
}

Transport::Result MemoryTransport::send(std::span<const std::byte> data, std::span<const int> fds,
                                        size_t& bytes) {
    const std::lock_guard lock(mutex_);
    output_.insert(output_.end(), data.begin(), data.end());
    for (const int fd : fds)
        descriptors_.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    bytes = data.size();
    return Result::kMoved;
}

} // namespace talus::sim::vfio_user
