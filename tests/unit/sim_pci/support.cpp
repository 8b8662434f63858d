#include "support.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

namespace talus::sim::test {

Bytes& Bytes::put(const void* value, size_t size) {
    if (size != 0) {
        data_.resize(data_.size() + size);
        std::memcpy(data_.data() + data_.size() - size, value, size);
    }
    return *this;
}

Bytes& Bytes::fill(size_t count, uint8_t value) {
    data_.insert(data_.end(), count, std::byte{value});
    return *this;
}

namespace {

template <typename T>
T at(std::span<const std::byte> data, size_t offset) {
    T value = 0;
    if (offset + sizeof value > data.size())
        ADD_FAILURE() << "field at " << offset << " of a payload of " << data.size() << " bytes";
    else
        std::memcpy(&value, data.data() + offset, sizeof value);
    return value;
}

std::pair<UniqueFd, UniqueFd> socket_pair() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        throw std::runtime_error("socketpair");
    return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

} // namespace

uint16_t u16_at(std::span<const std::byte> data, size_t offset) {
    return at<uint16_t>(data, offset);
}
uint32_t u32_at(std::span<const std::byte> data, size_t offset) {
    return at<uint32_t>(data, offset);
}
uint64_t u64_at(std::span<const std::byte> data, size_t offset) {
    return at<uint64_t>(data, offset);
}

std::vector<std::byte> message(uint16_t id, uint16_t command, uint32_t flags,
                               std::span<const std::byte> payload) {
    Bytes bytes;
    bytes.u16(id).u16(command).u32(static_cast<uint32_t>(16 + payload.size())).u32(flags).u32(0);
    bytes.raw(payload);
    return bytes.data();
}

void RawClient::send(std::span<const std::byte> data, std::span<const int> fds) {
    std::array<char, CMSG_SPACE(253 * sizeof(int))> control = {};
    iovec vector = {const_cast<std::byte*>(data.data()), data.size()};
    msghdr header = {};
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(fds.size_bytes());
        cmsghdr* part = CMSG_FIRSTHDR(&header);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(part), fds.data(), fds.size_bytes());
    }
    const ssize_t sent = sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
    ASSERT_GT(sent, 0) << std::strerror(errno);
    if (static_cast<size_t>(sent) < data.size())
        send(data.subspan(static_cast<size_t>(sent)));
}

bool RawClient::receive_exactly(std::span<std::byte> data, std::vector<UniqueFd>& fds,
                                int timeout_ms) {
    size_t done = 0;
    while (done < data.size()) {
        pollfd readable = {socket_.get(), POLLIN, 0};
        if (poll(&readable, 1, timeout_ms) != 1)
            return false;
        std::array<char, CMSG_SPACE(253 * sizeof(int))> control = {};
        iovec vector = {data.data() + done, data.size() - done};
        msghdr header = {};
        header.msg_iov = &vector;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        const ssize_t received = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
        if (received <= 0)
            return false;
        for (cmsghdr* part = CMSG_FIRSTHDR(&header); part; part = CMSG_NXTHDR(&header, part))
            for (size_t i = 0; i < (part->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
                fds.emplace_back(fd);
            }
        done += static_cast<size_t>(received);
    }
    return true;
}

std::optional<Received> RawClient::receive(int timeout_ms) {
    Received result;
    std::array<std::byte, 16> header;
    if (!receive_exactly(header, result.fds, timeout_ms))
        return std::nullopt;
    result.id = u16_at(header, 0);
    result.command = u16_at(header, 2);
    result.size = u32_at(header, 4);
    result.flags = u32_at(header, 8);
    result.error = u32_at(header, 12);
    if (result.size < 16 || result.size > 4 * kMiB) {
        ADD_FAILURE() << "message size " << result.size;
        return std::nullopt;
    }
    result.payload.resize(result.size - 16);
    if (!result.payload.empty() && !receive_exactly(result.payload, result.fds, timeout_ms))
        return std::nullopt;
    return result;
}

bool RawClient::closed_by_server(int timeout_ms) {
    pollfd readable = {socket_.get(), POLLIN, 0};
    if (poll(&readable, 1, timeout_ms) != 1)
        return false;
    char byte;
    return recv(socket_.get(), &byte, 1, MSG_PEEK) <= 0;
}

Received RawClient::call(uint16_t command, std::span<const std::byte> payload,
                         std::span<const int> fds) {
    const uint16_t id = next_id();
    send(message(id, command, 0, payload), fds);
    auto reply = receive();
    if (!reply) {
        ADD_FAILURE() << "no reply to command " << command;
        return {};
    }
    EXPECT_TRUE(reply->is_reply());
    EXPECT_EQ(reply->id, id);
    EXPECT_EQ(reply->command, command);
    if (reply->failed()) {
        EXPECT_EQ(reply->size, 16u) << "an error reply is a header only";
        EXPECT_TRUE(reply->fds.empty());
    } else {
        EXPECT_EQ(reply->error, 0u);
    }
    return std::move(*reply);
}

Received RawClient::call(uint16_t command, std::span<const std::byte> payload,
                         std::initializer_list<int> fds) {
    return call(command, payload, std::span(fds.begin(), fds.size()));
}

uint32_t RawClient::error_of(uint16_t command, std::span<const std::byte> payload,
                             std::initializer_list<int> fds) {
    const Received reply = call(command, payload, fds);
    return reply.failed() ? reply.error : 0;
}

Received RawClient::negotiate(const std::string& capabilities) {
    Bytes payload;
    payload.u16(0).u16(1);
    if (!capabilities.empty())
        payload.text(capabilities);
    return call(1, payload);
}

uint32_t RawClient::dma_map(uint64_t iova, uint64_t size, int fd, uint64_t offset, uint32_t flags) {
    const Bytes payload = Bytes().u32(32).u32(flags).u64(offset).u64(iova).u64(size);
    return fd < 0 ? error_of(2, payload) : error_of(2, payload, {fd});
}

uint32_t RawClient::dma_unmap(uint64_t iova, uint64_t size) {
    return error_of(3, Bytes().u32(24).u32(0).u64(iova).u64(size));
}

std::vector<std::byte> RawClient::read(uint32_t region, uint64_t offset, uint32_t count) {
    const Received reply = call(9, Bytes().u64(offset).u32(region).u32(count));
    EXPECT_FALSE(reply.failed()) << std::strerror(static_cast<int>(reply.error));
    EXPECT_EQ(reply.payload.size(), 16u + count);
    if (reply.payload.size() != 16u + count)
        return std::vector<std::byte>(count);
    EXPECT_EQ(u64_at(reply.payload, 0), offset);
    EXPECT_EQ(u32_at(reply.payload, 8), region);
    EXPECT_EQ(u32_at(reply.payload, 12), count);
    return {reply.payload.begin() + 16, reply.payload.end()};
}

void RawClient::write(uint32_t region, uint64_t offset, std::span<const std::byte> data) {
    const auto count = static_cast<uint32_t>(data.size());
    const Received reply = call(10, Bytes().u64(offset).u32(region).u32(count).raw(data));
    EXPECT_FALSE(reply.failed()) << std::strerror(static_cast<int>(reply.error));
    EXPECT_EQ(reply.payload.size(), 16u);
}

uint32_t RawClient::read32(uint32_t region, uint64_t offset) {
    return u32_at(read(region, offset, 4), 0);
}

void RawClient::write32(uint32_t region, uint64_t offset, uint32_t value) {
    write(region, offset, Bytes().u32(value));
}

void RawClient::write16(uint32_t region, uint64_t offset, uint16_t value) {
    write(region, offset, Bytes().u16(value));
}

uint32_t RawClient::set_irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                             std::span<const int> fds, std::span<const std::byte> data) {
    const auto argsz = static_cast<uint32_t>(20 + data.size());
    const Received reply =
        call(8, Bytes().u32(argsz).u32(flags).u32(index).u32(start).u32(count).raw(data), fds);
    EXPECT_TRUE(reply.payload.empty());
    return reply.failed() ? reply.error : 0;
}

void RawClient::enable_device() {
    write16(kConfigRegion, 4, 0x6);
}

FakeChip::FakeChip() : status("test-bar0", kMiB, false), staging("test-bar4", 64 * kMiB, true) {}

MappableBar FakeChip::mappable(unsigned bar) {
    if (bar == 0)
        return {status.fd(), false, {{0x1000, 0x1000}}};
    if (bar == 4)
        return {staging.fd(), true, {{0, 64 * kMiB}}};
    return {};
}

uint64_t FakeChip::bar_read(unsigned bar, uint64_t offset, unsigned) {
    const std::lock_guard lock(mutex_);
    const auto found = registers_.find({bar, offset});
    return found == registers_.end() ? 0 : found->second;
}

void FakeChip::bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) {
    char text[80];
    std::snprintf(text, sizeof text, "write BAR%u+0x%llx/%u=0x%llx", bar,
                  static_cast<unsigned long long>(offset), size,
                  static_cast<unsigned long long>(value));
    note(text);
}

void FakeChip::note(const std::string& event) {
    const std::lock_guard lock(mutex_);
    events_.push_back(event);
}

std::vector<std::string> FakeChip::take_events() {
    const std::lock_guard lock(mutex_);
    return std::exchange(events_, {});
}

bool FakeChip::wait_for(const std::string& event, int timeout_ms) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
    while (std::chrono::steady_clock::now() < end) {
        {
            const std::lock_guard lock(mutex_);
            if (std::ranges::find(events_, event) != events_.end())
                return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
}

void FakeChip::set_register(unsigned bar, uint64_t offset, uint64_t value) {
    const std::lock_guard lock(mutex_);
    registers_[{bar, offset}] = value;
}

Rig::Rig(std::chrono::milliseconds completion_timeout)
    : function(chip, {{}, completion_timeout}), client(UniqueFd()) {
    auto [ours, theirs] = socket_pair();
    client = RawClient(std::move(ours));
    vfio_user::ServerOptions options;
    options.fd = theirs.release();
    options.report = [this](std::string_view line) {
        const std::lock_guard lock(mutex_);
        reports_.emplace_back(line);
    };
    server = std::make_unique<vfio_user::Server>(function, function.memory(), function.irqs(),
                                                 std::move(options));
    server->start();
}

Rig::~Rig() {
    server.reset();
}

std::vector<std::string> Rig::reports() const {
    const std::lock_guard lock(mutex_);
    return reports_;
}

UniqueFd make_memfd(uint64_t bytes) {
    UniqueFd fd(memfd_create("test", MFD_CLOEXEC));
    if (!fd || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0)
        throw std::runtime_error("memfd");
    return fd;
}

UniqueFd make_eventfd() {
    return UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

uint64_t eventfd_count(int fd, int timeout_ms) {
    pollfd readable = {fd, POLLIN, 0};
    if (poll(&readable, 1, timeout_ms) != 1)
        return 0;
    uint64_t count = 0;
    return read(fd, &count, sizeof count) == sizeof count ? count : 0;
}

size_t open_descriptors() {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

} // namespace talus::sim::test
