// The twin socket between driver and simulator: with DMA by message, all of the device's requests
// and their answers pass there, and nothing but the client's own requests over the first socket.
// Seen by a relay between the two, which neither knows of.
#include "sim_session.hpp"

#include "talus/vfio_user.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string_view>
#include <thread>

namespace talus::driver_sim {
namespace {

/// What passed one socket in one direction.
struct Traffic {
    std::uint64_t commands = 0;
    std::uint64_t replies = 0;
    std::uint64_t dma_commands = 0; // of both: DMA_READ and DMA_WRITE
    std::uint64_t dma_replies = 0;
    std::uint64_t dma_bytes = 0; // of data, in either
};

/// Takes messages out of a stream to count them.
class Meter {
  public:
    Traffic traffic;

    void pass(const std::byte* data, std::size_t bytes) {
        while (bytes != 0) {
            const std::size_t part = have_ < sizeof header_
                                         ? std::min(bytes, sizeof header_ - have_)
                                         : std::min<std::size_t>(bytes, header_.size - have_);
            if (have_ < sizeof header_)
                std::memcpy(reinterpret_cast<std::byte*>(&header_) + have_, data, part);
            have_ += part;
            data += part;
            bytes -= part;
            if (have_ >= sizeof header_ && have_ == header_.size) {
                count();
                have_ = 0;
            }
        }
    }

  private:
    void count() {
        const bool reply = (header_.flags & VFIO_USER_FLAG_TYPE_MASK) == VFIO_USER_FLAG_REPLY;
        ++(reply ? traffic.replies : traffic.commands);
        if (header_.command != VFIO_USER_DMA_READ && header_.command != VFIO_USER_DMA_WRITE)
            return;
        ++(reply ? traffic.dma_replies : traffic.dma_commands);
        traffic.dma_bytes +=
            header_.size - sizeof header_ -
            std::min<std::size_t>(header_.size - sizeof header_, sizeof(vfio_user_dma_access));
    }

    vfio_user_header header_{};
    std::size_t have_ = 0;
};

/// Listens where a driver connects, connects to a simulator, and hands on what they say. Knows of
/// the protocol what a message is, and that a descriptor in the first answer is the twin socket.
class Relay {
  public:
    /// `deaf`: the simulator does not hear that the client supports a twin socket.
    Relay(const std::string& folder, const std::string& simulator, bool deaf)
        : path_(folder + "/relay"), deaf_(deaf), listener_(open_socket()), server_(open_socket()) {
        const sockaddr_un here = address(path_);
        const sockaddr_un there = address(simulator);
        if (bind(listener_, reinterpret_cast<const sockaddr*>(&here), sizeof here) != 0 ||
            listen(listener_, 1) != 0 ||
            connect(server_, reinterpret_cast<const sockaddr*>(&there), sizeof there) != 0)
            throw std::runtime_error("relay");
        thread_ = std::thread([this] { run(); });
    }
    ~Relay() {
        shutdown(listener_, SHUT_RDWR); // of a client that never came
        stop();
        close(listener_);
        close(server_);
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    const std::string& path() const { return path_; }
    /// Waits until the client has hung up.
    void stop() {
        if (thread_.joinable())
            thread_.join();
    }

    // Whole once stopped.
    Meter from_client;
    Meter from_server;
    Meter twin_from_client;
    Meter twin_from_server;
    bool has_twin() const { return has_twin_; }

  private:
    static int open_socket() { return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0); }
    static sockaddr_un address(const std::string& path) {
        sockaddr_un result{};
        result.sun_family = AF_UNIX;
        std::memcpy(result.sun_path, path.c_str(), path.size() + 1);
        return result;
    }

    void run() {
        const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0)
            return;
        std::array<pollfd, 4> sockets{pollfd{client, POLLIN, 0}, pollfd{server_, POLLIN, 0},
                                      pollfd{-1, POLLIN, 0}, pollfd{-1, POLLIN, 0}};
        const std::array<Meter*, 4> meters{&from_client, &from_server, &twin_from_client,
                                           &twin_from_server};
        bool open = true;
        while (open && poll(sockets.data(), sockets.size(), -1) > 0)
            for (std::size_t i = 0; i < sockets.size() && open; ++i)
                if (sockets[i].revents != 0)
                    open = hand_on(sockets[i].fd, sockets[i ^ 1].fd, *meters[i], sockets);
        for (const pollfd& each : sockets)
            if (each.fd >= 0 && each.fd != server_)
                close(each.fd);
        shutdown(server_, SHUT_RDWR);
    }

    /// False at the connection's end.
    bool hand_on(int from, int to, Meter& meter, std::array<pollfd, 4>& sockets) {
        std::array<std::byte, 65536> data;
        alignas(cmsghdr) std::array<char, CMSG_SPACE(16 * sizeof(int))> control{};
        iovec part{data.data(), data.size()};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t got = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
        if (got <= 0)
            return false;
        std::vector<int> fds;
        for (cmsghdr* head = CMSG_FIRSTHDR(&message); head != nullptr;
             head = CMSG_NXTHDR(&message, head)) {
            fds.resize((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            std::memcpy(fds.data(), CMSG_DATA(head), fds.size() * sizeof(int));
        }
        if (deaf_ && &meter == &from_client && meter.traffic.commands == 0)
            cover(reinterpret_cast<char*>(data.data()), static_cast<std::size_t>(got));
        if (&meter == &from_server && meter.traffic.replies == 0 && !fds.empty()) {
            // The twin socket: we keep its end, and the client gets one of ours.
            std::array<int, 2> ends{};
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
                return false;
            sockets[2].fd = ends[0];
            sockets[3].fd = fds[0];
            fds[0] = ends[1];
            has_twin_ = true;
        }
        meter.pass(data.data(), static_cast<std::size_t>(got));
        part.iov_len = static_cast<std::size_t>(got);
        message.msg_control = fds.empty() ? nullptr : control.data();
        message.msg_controllen = fds.empty() ? 0 : CMSG_SPACE(fds.size() * sizeof(int));
        if (!fds.empty()) {
            cmsghdr* head = CMSG_FIRSTHDR(&message);
            head->cmsg_level = SOL_SOCKET;
            head->cmsg_type = SCM_RIGHTS;
            head->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
            std::memcpy(CMSG_DATA(head), fds.data(), fds.size() * sizeof(int));
        }
        bool sent_all = true;
        while (part.iov_len != 0 && sent_all) {
            const ssize_t sent = sendmsg(to, &message, MSG_NOSIGNAL);
            sent_all = sent > 0;
            part.iov_base = static_cast<std::byte*>(part.iov_base) + std::max<ssize_t>(sent, 0);
            part.iov_len -= static_cast<std::size_t>(std::max<ssize_t>(sent, 0));
            message.msg_control = nullptr;
            message.msg_controllen = 0;
        }
        for (const int fd : fds)
            close(fd);
        return sent_all;
    }

    static void cover(char* text, std::size_t bytes) {
        constexpr std::string_view kName = VFIO_USER_CAP_TWIN_SOCKET;
        const std::size_t at = std::string_view(text, bytes).find(kName);
        if (at != std::string_view::npos)
            text[at] = 'x';
    }

    std::string path_;
    const bool deaf_;
    int listener_;
    int server_;
    bool has_twin_ = false;
    std::thread thread_;
};

constexpr std::uint64_t kBytes = 1 << 20;

/// Copies that the device makes by DMA_READ and DMA_WRITE, and a job; every byte is compared.
void work(const std::string& device) {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = device.c_str();
    options.flags = TALUS_DRV_OPEN_DMA_BY_MESSAGE;
    Session session(options);
    const talus_drv_host_buffer host = session.host(2 * kBytes);
    auto* bytes = static_cast<unsigned char*>(host.pointer);
    std::mt19937 random(3);
    std::generate(bytes, bytes + kBytes, [&] { return static_cast<unsigned char>(random()); });
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, kBytes);
    for (const auto& done : session.run({copy(TALUS_DRV_COPY_H2D, host.iova, dram, kBytes),
                                         copy(TALUS_DRV_COPY_D2H, dram, host.iova + kBytes, kBytes),
                                         launch(session.load(kernel_that_returns()))}))
        EXPECT_STATUS(done, TALUS_OK);
    EXPECT_EQ(std::memcmp(bytes, bytes + kBytes, kBytes), 0);
}

TEST(TwinSocket, CarriesAllOfTheDevicesRequests) {
    const SimProcess sim;
    Relay relay(sim.folder(), sim.socket(), false);
    work(relay.path());
    relay.stop();
    ASSERT_TRUE(relay.has_twin());
    const Traffic& asked = relay.twin_from_server.traffic;
    const Traffic& answered = relay.twin_from_client.traffic;
    // The device's reads of a MiB are answered with data there, its writes of a MiB bring them.
    EXPECT_GE(asked.dma_bytes, kBytes);
    EXPECT_GE(answered.dma_bytes, kBytes);
    EXPECT_EQ(answered.dma_replies, asked.dma_commands);
    // Nothing else passes there,
    EXPECT_EQ(asked.commands, asked.dma_commands);
    EXPECT_EQ(asked.replies, 0u);
    EXPECT_EQ(answered.commands, 0u);
    EXPECT_EQ(answered.replies, answered.dma_replies);
    // and over the first socket only the client asks.
    EXPECT_EQ(relay.from_server.traffic.commands, 0u);
    EXPECT_EQ(relay.from_client.traffic.dma_commands + relay.from_client.traffic.dma_replies, 0u);
    EXPECT_EQ(relay.from_client.traffic.commands, relay.from_server.traffic.replies);
    EXPECT_GT(relay.from_client.traffic.commands, 10u);
}

// The same without: what is counted above is there to be counted.
TEST(TwinSocket, WithoutItTheyShareTheFirstOne) {
    const SimProcess sim;
    Relay relay(sim.folder(), sim.socket(), true);
    work(relay.path());
    relay.stop();
    EXPECT_FALSE(relay.has_twin());
    EXPECT_GE(relay.from_server.traffic.dma_bytes, kBytes);
    EXPECT_GE(relay.from_client.traffic.dma_bytes, kBytes);
    EXPECT_EQ(relay.from_client.traffic.dma_replies, relay.from_server.traffic.dma_commands);
}

} // namespace
} // namespace talus::driver_sim
