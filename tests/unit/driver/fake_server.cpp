#include "fake_server.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace talus::driver::test {
namespace {

template <typename T>
T read_struct(const FakeServer::Bytes& bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
    return value;
}

} // namespace

FakeServer::FakeServer(Handler handler) : handler_(std::move(handler)) {
    std::array<int, 2> pair{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0)
        throw std::runtime_error("socketpair");
    client_.reset(pair[0]);
    socket_.reset(pair[1]);
    thread_ = std::thread([this] { run(); });
}

FakeServer::~FakeServer() {
    shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
}

void FakeServer::close() {
    shutdown(socket_.get(), SHUT_RDWR);
}

std::vector<std::pair<std::uint16_t, std::uint32_t>> FakeServer::seen() {
    const std::lock_guard lock(mutex_);
    return seen_;
}

void FakeServer::run() {
    while (auto message = receive()) {
        {
            const std::lock_guard lock(mutex_);
            std::uint32_t count = 0;
            if (message->header.command == VFIO_USER_REGION_READ ||
                message->header.command == VFIO_USER_REGION_WRITE)
                count = read_struct<vfio_user_region_access>(message->payload).count;
            seen_.emplace_back(message->header.command, count);
        }
        if (!handler_ || !handler_(*this, *message))
            handle(*message);
    }
    shutdown(socket_.get(), SHUT_RDWR);
}

std::optional<FakeServer::Message> FakeServer::receive() {
    Message message;
    const auto read_exactly = [&](void* to, std::size_t bytes) {
        std::size_t done = 0;
        while (done < bytes) {
            iovec part{static_cast<char*>(to) + done, bytes - done};
            alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * 8)> control{};
            msghdr header{};
            header.msg_iov = &part;
            header.msg_iovlen = 1;
            header.msg_control = control.data();
            header.msg_controllen = control.size();
            const ssize_t got = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
            if (got <= 0)
                return false;
            for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c))
                for (std::size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
                    int fd = -1;
                    std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
                    message.fds.emplace_back(fd);
                }
            done += static_cast<std::size_t>(got);
        }
        return true;
    };
    if (!read_exactly(&message.header, sizeof message.header))
        return std::nullopt;
    message.payload.resize(message.header.size - sizeof message.header);
    if (!read_exactly(message.payload.data(), message.payload.size()))
        return std::nullopt;
    return message;
}

void FakeServer::send_raw(const Bytes& bytes, int fd) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        iovec part{const_cast<std::byte*>(bytes.data()) + done, bytes.size() - done};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        if (fd >= 0 && done == 0) {
            header.msg_control = control.data();
            header.msg_controllen = control.size();
            cmsghdr* rights = CMSG_FIRSTHDR(&header);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
        }
        const ssize_t sent = sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
        if (sent < 0)
            return; // the client went away, as some tests want
        done += static_cast<std::size_t>(sent);
    }
}

void FakeServer::reply(const Message& request, const Bytes& payload, int fd) {
    vfio_user_header header = request.header;
    header.flags = VFIO_USER_FLAG_REPLY;
    header.size = static_cast<std::uint32_t>(sizeof header + payload.size());
    send_raw(wire(header, payload), fd);
}

void FakeServer::reply_error(const Message& request, std::uint32_t error) {
    vfio_user_header header = request.header;
    header.flags = VFIO_USER_FLAG_REPLY | VFIO_USER_FLAG_ERROR;
    header.size = sizeof header;
    header.error = error;
    send_raw(wire(header));
}

FakeServer::Message FakeServer::ask(std::uint16_t command, const Bytes& payload) {
    vfio_user_header header{};
    header.message_id = 0x7777;
    header.command = command;
    header.size = static_cast<std::uint32_t>(sizeof header + payload.size());
    send_raw(wire(header, payload));
    auto answer = receive();
    if (!answer)
        throw std::runtime_error("no answer");
    return std::move(*answer);
}

std::vector<std::byte>* FakeServer::region(std::uint32_t index) {
    switch (index) {
    case VFIO_USER_REGION_BAR0:
        return &bar0;
    case VFIO_USER_REGION_BAR2:
        return &bar4; // only its size matters
    case VFIO_USER_REGION_BAR4:
        return &bar4;
    case VFIO_USER_REGION_CONFIG:
        return &config;
    default:
        return nullptr;
    }
}

void FakeServer::handle(Message& message) {
    switch (message.header.command) {
    case VFIO_USER_VERSION: {
        Bytes text(capabilities.size() + 1);
        std::memcpy(text.data(), capabilities.c_str(), text.size());
        reply(message, wire(vfio_user_version{VFIO_USER_MAJOR, VFIO_USER_MINOR}, text));
        break;
    }
    case VFIO_USER_DEVICE_GET_INFO:
        reply(message, wire(vfio_user_device_info{
                           16, VFIO_USER_DEVICE_FLAG_PCI | VFIO_USER_DEVICE_FLAG_RESET,
                           VFIO_USER_PCI_NUM_REGIONS, VFIO_USER_PCI_NUM_IRQS}));
        break;
    case VFIO_USER_DEVICE_GET_REGION_INFO: {
        auto info = read_struct<vfio_user_region_info>(message.payload);
        info.argsz = sizeof info;
        info.flags = VFIO_USER_REGION_FLAG_READ | VFIO_USER_REGION_FLAG_WRITE;
        const auto* memory = region(info.index);
        info.size = memory == nullptr ? 0 : memory->size();
        Bytes tail;
        int fd = -1;
        if (info.index == VFIO_USER_REGION_BAR4 && bar4_file.valid()) {
            fd = bar4_file.get();
            info.flags |= VFIO_USER_REGION_FLAG_MMAP;
            info.offset = bar4_file_offset;
            if (!bar4_areas.empty()) {
                info.flags |= VFIO_USER_REGION_FLAG_CAPS;
                info.cap_offset = sizeof info;
                vfio_user_cap_sparse_mmap sparse{};
                sparse.header.id = VFIO_USER_CAP_ID_SPARSE_MMAP;
                sparse.header.version = VFIO_USER_CAP_VERSION_SPARSE_MMAP;
                sparse.nr_areas = static_cast<std::uint32_t>(bar4_areas.size());
                tail = wire(sparse);
                for (const auto& area : bar4_areas) {
                    const Bytes part = wire(area);
                    tail.insert(tail.end(), part.begin(), part.end());
                }
            }
        }
        reply(message, wire(info, tail), fd);
        break;
    }
    case VFIO_USER_DEVICE_GET_IRQ_INFO:
        reply(message,
              wire(vfio_user_irq_info{16, VFIO_USER_IRQ_INFO_EVENTFD, VFIO_USER_IRQ_MSIX, 4}));
        break;
    case VFIO_USER_REGION_READ: {
        const auto access = read_struct<vfio_user_region_access>(message.payload);
        const auto* memory = region(access.region);
        reply(message, wire(access, Bytes(memory->begin() + static_cast<long>(access.offset),
                                          memory->begin() +
                                              static_cast<long>(access.offset + access.count))));
        break;
    }
    case VFIO_USER_REGION_WRITE: {
        const auto access = read_struct<vfio_user_region_access>(message.payload);
        std::memcpy(region(access.region)->data() + access.offset,
                    message.payload.data() + sizeof access, access.count);
        reply(message, wire(access));
        break;
    }
    case VFIO_USER_DMA_UNMAP:
        reply(message, message.payload);
        break;
    default:
        reply(message, {});
        break;
    }
}

} // namespace talus::driver::test
