#include "vfio_user.hpp"

#include "error.hpp"
#include "watch.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace talus::driver {
namespace {

constexpr std::chrono::milliseconds kSlice{500}; // of a wait for a reply
constexpr std::size_t kHeaderBytes = sizeof(vfio_user_header);
constexpr std::size_t kMaxFds = 16;
// The largest message that we accept: a full transfer and its head.
constexpr std::size_t kMaxMessage =
    kHeaderBytes + sizeof(vfio_user_region_access) + VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE + 4096;

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
    return std::as_bytes(std::span(&value, 1));
}

template <typename T>
T read_struct(std::span<const std::byte> bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
    return value;
}

const char* command_name(std::uint16_t command) {
    switch (command) {
    case VFIO_USER_VERSION:
        return "VERSION";
    case VFIO_USER_DMA_MAP:
        return "DMA_MAP";
    case VFIO_USER_DMA_UNMAP:
        return "DMA_UNMAP";
    case VFIO_USER_DEVICE_GET_INFO:
        return "DEVICE_GET_INFO";
    case VFIO_USER_DEVICE_GET_REGION_INFO:
        return "DEVICE_GET_REGION_INFO";
    case VFIO_USER_DEVICE_GET_IRQ_INFO:
        return "DEVICE_GET_IRQ_INFO";
    case VFIO_USER_DEVICE_SET_IRQS:
        return "DEVICE_SET_IRQS";
    case VFIO_USER_REGION_READ:
        return "REGION_READ";
    case VFIO_USER_REGION_WRITE:
        return "REGION_WRITE";
    case VFIO_USER_DEVICE_RESET:
        return "DEVICE_RESET";
    default:
        return "message";
    }
}

} // namespace

// ---- Connection ----

UniqueFd VfioUserTransport::connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path)
        throw Error(TALUS_DRV_INVALID_ARGUMENT, "socket path is too long: " + path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket.valid())
        throw system_error("cannot create a socket", errno);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        if (errno == EAGAIN)
            errno = EBUSY; // the server's backlog is full: somebody else holds the device
        throw system_error("cannot connect to the device at " + path, errno);
    }
    return socket;
}

VfioUserTransport::VfioUserTransport(UniqueFd socket, std::string name,
                                     std::unique_ptr<Simulator> simulator,
                                     std::chrono::milliseconds reply_limit)
    : reply_limit_(reply_limit), name_(std::move(name)),
      simulator_(std::move(simulator)), main_{std::move(socket)} {
    negotiate();
    query_device();
}

VfioUserTransport::~VfioUserTransport() {
    try {
        // Unmapping is what makes the device let go of our memory before its owner frees it.
        while (!dma_.empty() && dead_reason_.empty())
            dma_unmap(dma_.begin()->first, dma_.begin()->second.bytes);
    } catch (const Error&) {
    }
    // Also for descriptors of this socket that a child of a fork still has: the server is to hear
    // of the end.
    shutdown(main_.socket.get(), SHUT_RDWR);
    for (const BarMapping& mapping : mappings_)
        munmap(const_cast<std::byte*>(mapping.pointer), mapping.bytes);
}

void VfioUserTransport::negotiate() {
    const std::lock_guard lock(mutex_);
    const nlohmann::json proposal = {
        {"capabilities",
         {{VFIO_USER_CAP_MAX_MSG_FDS, kMaxFds},
          {VFIO_USER_CAP_MAX_DATA_XFER_SIZE, VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE},
          {VFIO_USER_CAP_TWIN_SOCKET, {{"supported", true}}}}}};
    const std::string text = proposal.dump();
    const vfio_user_version version{VFIO_USER_MAJOR, VFIO_USER_MINOR};
    Reply reply =
        request(VFIO_USER_VERSION, bytes_of(version),
                std::as_bytes(std::span(text.c_str(), text.size() + 1)), -1, sizeof version);
    const auto answer = read_struct<vfio_user_version>(reply.payload);
    if (answer.major != VFIO_USER_MAJOR || answer.minor > VFIO_USER_MINOR)
        fail("its vfio-user protocol is " + std::to_string(answer.major) + "." +
             std::to_string(answer.minor) + ", this driver's is 0.1");
    const std::string json(reinterpret_cast<const char*>(reply.payload.data()) + sizeof version,
                           reply.payload.size() - sizeof version);
    const auto parsed = nlohmann::json::parse(json.c_str(), nullptr, false);
    if (!parsed.is_object())
        return; // capabilities are optional
    const auto capabilities = parsed.find("capabilities");
    if (capabilities == parsed.end() || !capabilities->is_object())
        return;
    const auto twin = capabilities->find(VFIO_USER_CAP_TWIN_SOCKET);
    if (twin != capabilities->end() && twin->is_object() && twin->contains("supported") &&
        twin->at("supported") == true) {
        // From here on the server's own requests come over a second socket, or nowhere.
        const auto index = twin->find("fd_index");
        if (index == twin->end() || !index->is_number_unsigned() ||
            index->get<std::uint64_t>() >= reply.fds.size())
            fail("it offers a twin socket and sends none");
        twin_.socket = std::move(reply.fds[index->get<std::size_t>()]);
    }
    const auto limit = capabilities->find(VFIO_USER_CAP_MAX_DATA_XFER_SIZE);
    if (limit != capabilities->end() && limit->is_number_unsigned()) {
        const auto value = limit->get<std::uint64_t>();
        if (value < 8)
            fail("it accepts transfers of " + std::to_string(value) + " bytes only");
        max_transfer_ = static_cast<std::uint32_t>(
            std::min<std::uint64_t>(value, VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE));
    }
}

void VfioUserTransport::query_device() {
    const std::lock_guard lock(mutex_);
    vfio_user_device_info ask{};
    ask.argsz = sizeof ask;
    const Reply reply =
        request(VFIO_USER_DEVICE_GET_INFO, bytes_of(ask), {}, -1, sizeof(vfio_user_device_info));
    const auto info = read_struct<vfio_user_device_info>(reply.payload);
    if ((info.flags & VFIO_USER_DEVICE_FLAG_PCI) == 0 ||
        info.num_regions < VFIO_USER_PCI_NUM_REGIONS || info.num_irqs <= VFIO_USER_IRQ_MSIX)
        fail("it is no PCI device");
    for (const std::uint32_t region : {VFIO_USER_REGION_BAR0, VFIO_USER_REGION_BAR2,
                                       VFIO_USER_REGION_BAR4, VFIO_USER_REGION_CONFIG})
        query_region(region);

    vfio_user_irq_info irq{};
    irq.argsz = sizeof irq;
    irq.index = VFIO_USER_IRQ_MSIX;
    const Reply irq_reply =
        request(VFIO_USER_DEVICE_GET_IRQ_INFO, bytes_of(irq), {}, -1, sizeof irq);
    irq = read_struct<vfio_user_irq_info>(irq_reply.payload);
    irq_count_ = (irq.flags & VFIO_USER_IRQ_INFO_EVENTFD) != 0 ? std::min(irq.count, 2048u) : 0;
}

void VfioUserTransport::query_region(std::uint32_t index) {
    vfio_user_region_info ask{};
    ask.argsz = 4096; // room for capabilities
    ask.index = index;
    Reply reply = request(VFIO_USER_DEVICE_GET_REGION_INFO, bytes_of(ask), {}, -1, sizeof ask);
    const auto info = read_struct<vfio_user_region_info>(reply.payload);
    if (info.index != index)
        fail("it described region " + std::to_string(info.index) + " when asked for " +
             std::to_string(index));
    Region& region = regions_[index];
    region.size = info.size;
    region.flags = info.flags;
    region.file_offset = info.offset;
    if ((info.flags & VFIO_USER_REGION_FLAG_MMAP) == 0 || reply.fds.empty())
        return;
    region.fd = std::move(reply.fds.front());
    if ((info.flags & VFIO_USER_REGION_FLAG_CAPS) != 0)
        parse_areas(region, reply.payload, info.cap_offset);
    if (region.mappable.empty())
        region.mappable.push_back({0, region.size});
}

void VfioUserTransport::parse_areas(Region& region, const Bytes& payload,
                                    std::uint32_t cap_offset) {
    std::size_t position = cap_offset;
    for (int hops = 0; hops < 16 && position != 0; ++hops) {
        if (position > payload.size() || payload.size() - position < sizeof(vfio_user_cap_header))
            fail("its region capabilities run past their message");
        const auto rest = std::span(payload).subspan(position);
        const auto header = read_struct<vfio_user_cap_header>(rest);
        if (header.id == VFIO_USER_CAP_ID_SPARSE_MMAP) {
            const auto sparse = read_struct<vfio_user_cap_sparse_mmap>(rest);
            if (rest.size() < sizeof sparse ||
                (rest.size() - sizeof sparse) / sizeof(vfio_user_sparse_area) < sparse.nr_areas)
                fail("its sparse mmap areas run past their message");
            for (std::uint32_t i = 0; i < sparse.nr_areas; ++i)
                region.mappable.push_back(read_struct<vfio_user_sparse_area>(
                    rest.subspan(sizeof sparse + i * sizeof(vfio_user_sparse_area))));
        }
        position = header.next;
    }
}

// ---- Messages ----

void VfioUserTransport::require_alive() {
    if (!dead_reason_.empty())
        throw_dead();
}

void VfioUserTransport::throw_dead() {
    throw Error(TALUS_DRV_DEVICE_LOST, "device " + name_ + " is lost: " + dead_reason_);
}

void VfioUserTransport::fail(const std::string& reason) {
    if (dead_reason_.empty()) {
        dead_reason_ = reason;
        if (simulator_ != nullptr) {
            const std::string ending = simulator_->ending(500);
            if (!ending.empty())
                dead_reason_ += " (" + ending + ")";
        }
        // The server must not go on with a half-finished exchange.
        shutdown(main_.socket.get(), SHUT_RDWR);
    }
    throw_dead();
}

VfioUserTransport::Reply VfioUserTransport::request(std::uint16_t command,
                                                    std::span<const std::byte> head,
                                                    std::span<const std::byte> tail, int fd,
                                                    std::size_t minimum_reply) {
    require_alive();
    vfio_user_header header{};
    header.message_id = next_id_++;
    header.command = command;
    header.size = static_cast<std::uint32_t>(kHeaderBytes + head.size() + tail.size());
    header.flags = VFIO_USER_FLAG_COMMAND;

    Outgoing message;
    message.bytes.reserve(header.size);
    for (const auto part : {bytes_of(header), head, tail})
        message.bytes.insert(message.bytes.end(), part.begin(), part.end());
    message.fd = fd;
    main_.out.push_back(std::move(message));
    awaited_ = header;
    reply_.reset();

    AwakeClock awake(Clock::now());
    pump();
    while (!reply_) {
        std::array<pollfd, 2> entries{main_.to_poll(), twin_.to_poll()};
        awake.look(Clock::now());
        // In slices, so that a pause of this process shows as one.
        const auto left = std::min(
            std::chrono::ceil<std::chrono::milliseconds>(reply_limit_ - awake.elapsed()), kSlice);
        if (left.count() <= 0)
            fail(std::string("no answer to vfio-user ") + command_name(command) + " within " +
                 std::to_string(reply_limit_.count()) + " ms" +
                 (command == VFIO_USER_VERSION ? "; another process may hold the device" : ""));
        const int ready = poll(entries.data(), entries.size(), static_cast<int>(left.count()));
        if (ready < 0 && errno != EINTR)
            fail(std::string("poll: ") + std::generic_category().message(errno));
        if (ready > 0)
            pump();
    }
    Reply reply = std::move(*reply_);
    reply_.reset();
    if (reply_error_ != 0)
        throw Error(TALUS_DRV_PROTOCOL, "device " + name_ + " refused vfio-user " +
                                            command_name(command) + ": " +
                                            std::generic_category().message(reply_error_));
    if (reply.payload.size() < minimum_reply)
        fail(std::string("its answer to vfio-user ") + command_name(command) + " is truncated");
    return reply;
}

void VfioUserTransport::pump() {
    // Receiving first: a server that waits for room in our direction must not wait for us.
    bool moved = true;
    while (moved) {
        moved = receive_some(main_);
        moved |= send_some(main_);
        if (twin_.socket.valid()) {
            moved |= receive_some(twin_);
            moved |= send_some(twin_);
        }
    }
}

bool VfioUserTransport::send_some(Stream& stream) {
    bool moved = false;
    while (!stream.out.empty()) {
        Outgoing& message = stream.out.front();
        iovec part{message.bytes.data() + message.sent, message.bytes.size() - message.sent};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        if (message.sent == 0 && message.fd >= 0) {
            header.msg_control = control.data();
            header.msg_controllen = control.size();
            cmsghdr* rights = CMSG_FIRSTHDR(&header);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof(int));
            std::memcpy(CMSG_DATA(rights), &message.fd, sizeof(int));
        }
        const ssize_t sent = sendmsg(stream.socket.get(), &header, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
                return moved;
            if (errno == EPIPE || errno == ECONNRESET)
                fail("its connection is closed");
            fail(std::string("sendmsg: ") + std::generic_category().message(errno));
        }
        moved = true;
        message.sent += static_cast<std::size_t>(sent);
        if (message.sent == message.bytes.size())
            stream.out.pop_front();
    }
    return moved;
}

bool VfioUserTransport::receive_some(Stream& stream) {
    bool moved = false;
    for (;;) {
        // First the header, then as much as it announces.
        std::size_t want = kHeaderBytes;
        if (stream.have >= kHeaderBytes) {
            const auto header = read_struct<vfio_user_header>(stream.in);
            if (header.size < kHeaderBytes || header.size > kMaxMessage)
                fail("it sent a vfio-user message of " + std::to_string(header.size) + " bytes");
            want = header.size;
            if (stream.have == want) {
                handle_message(stream);
                stream.have = 0;
                stream.fds.clear();
                continue;
            }
        }
        stream.in.resize(want);
        iovec part{stream.in.data() + stream.have, want - stream.have};
        msghdr header{};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> control{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        const ssize_t got = recvmsg(stream.socket.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0) {
            if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
                return moved;
            if (errno == ECONNRESET)
                fail("its connection is closed");
            fail(std::string("recvmsg: ") + std::generic_category().message(errno));
        }
        if (got == 0)
            fail("its connection is closed");
        take_fds(stream, header);
        moved = true;
        stream.have += static_cast<std::size_t>(got);
    }
}

void VfioUserTransport::take_fds(Stream& stream, const msghdr& message) {
    auto* mutable_message = const_cast<msghdr*>(&message);
    for (cmsghdr* part = CMSG_FIRSTHDR(mutable_message); part != nullptr;
         part = CMSG_NXTHDR(mutable_message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            stream.fds.emplace_back(fd);
        }
    }
    if ((message.msg_flags & MSG_CTRUNC) != 0)
        fail("it sent more file descriptors than were agreed");
}

void VfioUserTransport::handle_message(Stream& stream) {
    const auto header = read_struct<vfio_user_header>(stream.in);
    const std::uint32_t type = header.flags & VFIO_USER_FLAG_TYPE_MASK;
    if (type == VFIO_USER_FLAG_COMMAND) {
        serve(stream, header);
        return;
    }
    if (type != VFIO_USER_FLAG_REPLY || &stream != &main_ || !awaited_ ||
        header.message_id != awaited_->message_id || header.command != awaited_->command)
        fail("it sent a vfio-user reply that nobody asked for (command " +
             std::to_string(header.command) + ")");
    awaited_.reset();
    reply_error_ = 0;
    if ((header.flags & VFIO_USER_FLAG_ERROR) != 0)
        reply_error_ = header.error != 0 ? static_cast<int>(header.error) : EIO;
    Reply reply;
    reply.payload.assign(stream.in.begin() + kHeaderBytes, stream.in.end());
    reply.fds = std::move(stream.fds);
    stream.fds.clear();
    reply_ = std::move(reply);
}

// ---- The device's requests ----

void VfioUserTransport::serve(Stream& stream, const vfio_user_header& header) {
    const auto payload = std::span<const std::byte>(stream.in).subspan(kHeaderBytes);
    const bool read = header.command == VFIO_USER_DMA_READ;
    if (!read && header.command != VFIO_USER_DMA_WRITE) {
        answer(stream, header, {}, ENOTSUP);
        return;
    }
    const auto access = read_struct<vfio_user_dma_access>(payload);
    if (payload.size() < sizeof access || access.count > VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE ||
        (!read && payload.size() - sizeof access != access.count)) {
        answer(stream, header, {}, EINVAL);
        return;
    }
    auto range = dma_.upper_bound(access.address);
    if (range == dma_.begin()) {
        answer(stream, header, {}, EFAULT);
        return;
    }
    --range;
    const std::uint64_t offset = access.address - range->first;
    if (offset >= range->second.bytes || access.count > range->second.bytes - offset) {
        answer(stream, header, {}, EFAULT);
        return;
    }
    std::byte* memory = range->second.pointer + offset;
    Bytes reply(bytes_of(access).begin(), bytes_of(access).end());
    if (read) {
        reply.insert(reply.end(), memory, memory + access.count);
    } else {
        std::memcpy(memory, payload.data() + sizeof access, access.count);
        if (dma_observer_)
            dma_observer_(access.address, payload.subspan(sizeof access));
    }
    answer(stream, header, reply, 0);
}

void VfioUserTransport::answer(Stream& stream, const vfio_user_header& request,
                               std::span<const std::byte> payload, int error) {
    if ((request.flags & VFIO_USER_FLAG_NO_REPLY) != 0)
        return;
    vfio_user_header header{};
    header.message_id = request.message_id;
    header.command = request.command;
    header.size = static_cast<std::uint32_t>(kHeaderBytes + payload.size());
    header.flags = VFIO_USER_FLAG_REPLY | (error != 0 ? VFIO_USER_FLAG_ERROR : 0u);
    header.error = static_cast<std::uint32_t>(error);
    Outgoing message;
    message.bytes.assign(bytes_of(header).begin(), bytes_of(header).end());
    message.bytes.insert(message.bytes.end(), payload.begin(), payload.end());
    stream.out.push_back(std::move(message));
}

bool VfioUserTransport::wait(int eventfd, std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
        std::array<pollfd, 3> entries{};
        {
            const std::lock_guard lock(mutex_);
            require_alive();
            pump();
            if (simulator_ != nullptr)
                simulator_->discard_output();
            entries = {main_.to_poll(), twin_.to_poll(), pollfd{eventfd, POLLIN, 0}};
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            deadline - Clock::now() + std::chrono::microseconds(999));
        const int ready = poll(entries.data(), entries.size(),
                               static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready < 0 && errno != EINTR)
            throw system_error("poll", errno);
        if (eventfd >= 0 && ready > 0 && (entries[2].revents & POLLIN) != 0)
            return true;
        if (ready == 0)
            return false;
    }
}

// ---- Operations ----

void VfioUserTransport::region_transfer(bool write, std::uint32_t region, std::uint64_t offset,
                                        std::byte* read_to, const std::byte* write_from,
                                        std::size_t bytes) {
    if (offset > regions_[region].size || bytes > regions_[region].size - offset)
        throw Error(TALUS_DRV_INTERNAL, "access outside region " + std::to_string(region));
    for (std::size_t done = 0; done < bytes;) {
        const std::size_t count = std::min<std::size_t>(bytes - done, max_transfer_);
        vfio_user_region_access access{};
        access.offset = offset + done;
        access.region = region;
        access.count = static_cast<std::uint32_t>(count);
        if (write) {
            request(VFIO_USER_REGION_WRITE, bytes_of(access), {write_from + done, count}, -1,
                    sizeof access);
        } else {
            const Reply reply =
                request(VFIO_USER_REGION_READ, bytes_of(access), {}, -1, sizeof access + count);
            std::memcpy(read_to + done, reply.payload.data() + sizeof access, count);
        }
        done += count;
    }
}

void VfioUserTransport::config_read(std::uint32_t offset, std::span<std::byte> data) {
    const std::lock_guard lock(mutex_);
    region_transfer(false, VFIO_USER_REGION_CONFIG, offset, data.data(), nullptr, data.size());
}

void VfioUserTransport::config_write(std::uint32_t offset, std::span<const std::byte> data) {
    const std::lock_guard lock(mutex_);
    region_transfer(true, VFIO_USER_REGION_CONFIG, offset, nullptr, data.data(), data.size());
}

std::uint32_t VfioUserTransport::bar_read32(int bar, std::uint64_t offset) {
    std::uint32_t value = 0;
    bar_read(bar, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

std::uint64_t VfioUserTransport::bar_read64(int bar, std::uint64_t offset) {
    std::uint64_t value = 0;
    bar_read(bar, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

void VfioUserTransport::bar_write32(int bar, std::uint64_t offset, std::uint32_t value) {
    bar_write(bar, offset, bytes_of(value));
}

void VfioUserTransport::bar_write64(int bar, std::uint64_t offset, std::uint64_t value) {
    bar_write(bar, offset, bytes_of(value));
}

void VfioUserTransport::bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) {
    const std::lock_guard lock(mutex_);
    region_transfer(false, static_cast<std::uint32_t>(bar), offset, data.data(), nullptr,
                    data.size());
}

void VfioUserTransport::bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) {
    const std::lock_guard lock(mutex_);
    region_transfer(true, static_cast<std::uint32_t>(bar), offset, nullptr, data.data(),
                    data.size());
}

std::uint64_t VfioUserTransport::bar_size(int bar) {
    return regions_[static_cast<std::size_t>(bar)].size;
}

BarMapping VfioUserTransport::bar_map(int bar, std::uint64_t offset, std::uint64_t bytes,
                                      bool writable) {
    const std::lock_guard lock(mutex_);
    require_alive();
    const Region& region = regions_[static_cast<std::size_t>(bar)];
    const bool allowed = std::any_of(region.mappable.begin(), region.mappable.end(), [&](auto& a) {
        return offset >= a.offset && offset - a.offset <= a.size &&
               bytes <= a.size - (offset - a.offset);
    });
    struct stat file {};
    // A file that is shorter than promised, or may become so, would end this process by SIGBUS.
    // Where that can't be ruled out, messages do the same work.
    const int seals = fcntl(region.fd.get(), F_GET_SEALS);
    if (!allowed || seals < 0 || (seals & F_SEAL_SHRINK) == 0 ||
        fstat(region.fd.get(), &file) != 0 ||
        static_cast<std::uint64_t>(file.st_size) < region.file_offset + offset + bytes)
        return {};
    void* pointer = mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                         region.fd.get(), static_cast<off_t>(region.file_offset + offset));
    if (pointer == MAP_FAILED)
        return {};
    mappings_.push_back({static_cast<std::byte*>(pointer), bytes});
    return mappings_.back();
}

void VfioUserTransport::dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) {
    const std::lock_guard lock(mutex_);
    vfio_user_dma_map map{};
    map.argsz = sizeof map;
    map.flags = VFIO_USER_DMA_FLAG_READ | VFIO_USER_DMA_FLAG_WRITE;
    map.address = iova;
    map.size = bytes;
    // Known before the server hears of it: it may access the range as soon as it does.
    const auto [range, inserted] =
        dma_.emplace(iova, DmaRange{bytes, static_cast<std::byte*>(pointer)});
    if (!inserted)
        throw Error(TALUS_DRV_INTERNAL, "IOVA is mapped already");
    try {
        request(VFIO_USER_DMA_MAP, bytes_of(map), {}, fd);
    } catch (...) {
        dma_.erase(range);
        throw;
    }
}

void VfioUserTransport::dma_unmap(std::uint64_t iova, std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    const auto range = dma_.find(iova);
    if (range == dma_.end() || range->second.bytes != bytes)
        throw Error(TALUS_DRV_INTERNAL, "IOVA is not mapped");
    vfio_user_dma_unmap unmap{};
    unmap.argsz = sizeof unmap;
    unmap.address = iova;
    unmap.size = bytes;
    try {
        request(VFIO_USER_DMA_UNMAP, bytes_of(unmap));
    } catch (...) {
        dma_.erase(iova);
        throw;
    }
    dma_.erase(iova);
}

void VfioUserTransport::irq_set(std::uint32_t vector, int eventfd) {
    const std::lock_guard lock(mutex_);
    if (vector >= irq_count_)
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "device " + name_ + " has no MSI-X vector " + std::to_string(vector));
    vfio_user_irq_set set{};
    set.argsz = sizeof set;
    set.flags = VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER;
    set.index = VFIO_USER_IRQ_MSIX;
    set.start = vector;
    set.count = 1;
    request(VFIO_USER_DEVICE_SET_IRQS, bytes_of(set), {}, eventfd);
}

void VfioUserTransport::reset() {
    const std::lock_guard lock(mutex_);
    request(VFIO_USER_DEVICE_RESET, {});
}

} // namespace talus::driver
