#include "channel.hpp"

#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

namespace talus::driver::daemon {

UniqueFd Channel::connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return {};
    }
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    if (socket.valid() &&
        ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const int error = errno;
        socket.reset();
        errno = error;
    }
    return socket;
}

bool Channel::send(const Request& request, int descriptor) {
    return send(std::as_bytes(std::span(&request, 1)), {}, descriptor);
}

bool Channel::send(Reply reply, std::span<const std::byte> data, int descriptor) {
    reply.data_bytes = static_cast<std::uint32_t>(data.size());
    return send(std::as_bytes(std::span(&reply, 1)), data, descriptor);
}

bool Channel::send(std::span<const std::byte> head, std::span<const std::byte> data,
                   int descriptor) {
    std::array<iovec, 2> parts{iovec{const_cast<std::byte*>(head.data()), head.size()},
                               iovec{const_cast<std::byte*>(data.data()), data.size()}};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = data.empty() ? 1 : 2;
    if (descriptor >= 0) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    ssize_t sent = 0;
    do
        sent = sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == static_cast<ssize_t>(head.size() + data.size());
}

Channel::Got Channel::receive(Request& request, UniqueFd& descriptor) {
    std::vector<std::byte> none;
    return receive(std::as_writable_bytes(std::span(&request, 1)), none, descriptor);
}

Channel::Got Channel::receive(Reply& reply, std::vector<std::byte>& data, UniqueFd& descriptor) {
    data.resize(kMaxData);
    const Got got = receive(std::as_writable_bytes(std::span(&reply, 1)), data, descriptor);
    if (got == Got::kMessage && reply.data_bytes != data.size())
        return Got::kEnd;
    return got;
}

Channel::Got Channel::receive(std::span<std::byte> head, std::vector<std::byte>& data,
                              UniqueFd& descriptor) {
    std::array<iovec, 2> parts{iovec{head.data(), head.size()}, iovec{data.data(), data.size()}};
    // Room for more descriptors than are used, so that surplus ones are seen and closed.
    alignas(cmsghdr) std::array<char, CMSG_SPACE(16 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = data.empty() ? 1 : 2;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t got = 0;
    do
        got = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? Got::kNothing : Got::kEnd;
    std::vector<UniqueFd> descriptors;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            descriptors.emplace_back(fd);
        }
    }
    if (static_cast<std::size_t>(got) < head.size() ||
        (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || descriptors.size() > 1)
        return Got::kEnd;
    data.resize(static_cast<std::size_t>(got) - head.size());
    descriptor = descriptors.empty() ? UniqueFd() : std::move(descriptors.front());
    return Got::kMessage;
}

} // namespace talus::driver::daemon
