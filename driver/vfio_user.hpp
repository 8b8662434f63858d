// The vfio-user client: a PCI device in another process, at the other end of a UNIX socket.
#pragma once

#include "simulator.hpp"
#include "transport.hpp"

#include "talus/vfio_user.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <optional>

namespace talus::driver {

/// One thread at a time talks on the socket (mutex). The device's own requests (DMA_READ and
/// DMA_WRITE, for memory that it has no file descriptor of) are answered whenever this client reads
/// the sockets: while it awaits a reply, while it waits for room to send, and in wait(). A server
/// that offers a second socket for its requests (twin socket) is served there, and on the first one
/// too.
class VfioUserTransport final : public Transport {
  public:
    /// Takes `socket` and negotiates. `simulator` is null where somebody else runs the server.
    /// `reply_limit`: how long the server may be silent when a reply is due.
    VfioUserTransport(UniqueFd socket, std::string name, std::unique_ptr<Simulator> simulator,
                      std::chrono::milliseconds reply_limit = kReplyLimit);
    ~VfioUserTransport() override;

    /// Connects to the server's socket at `path`.
    static UniqueFd connect(const std::string& path);

    static constexpr std::chrono::milliseconds kReplyLimit{10000};

    const char* kind() const override { return "vfio-user"; }
    void config_read(std::uint32_t offset, std::span<std::byte> data) override;
    void config_write(std::uint32_t offset, std::span<const std::byte> data) override;
    std::uint32_t bar_read32(int bar, std::uint64_t offset) override;
    std::uint64_t bar_read64(int bar, std::uint64_t offset) override;
    void bar_write32(int bar, std::uint64_t offset, std::uint32_t value) override;
    void bar_write64(int bar, std::uint64_t offset, std::uint64_t value) override;
    void bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) override;
    void bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) override;
    std::uint64_t bar_size(int bar) override;
    BarMapping bar_map(int bar, std::uint64_t offset, std::uint64_t bytes, bool writable) override;
    void dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) override;
    void dma_unmap(std::uint64_t iova, std::uint64_t bytes) override;
    void observe_dma(const DmaObserver& observer) override { dma_observer_ = observer; }
    std::uint32_t irq_count() override { return irq_count_; }
    void irq_set(std::uint32_t vector, int eventfd) override;
    void reset() override;
    bool wait(int eventfd, std::chrono::milliseconds timeout) override;

  private:
    using Clock = std::chrono::steady_clock;
    using Bytes = std::vector<std::byte>;

    struct Region {
        std::uint64_t size = 0;
        std::uint32_t flags = 0;
        std::uint64_t file_offset = 0;
        UniqueFd fd;
        std::vector<vfio_user_sparse_area> mappable;
    };
    struct DmaRange {
        std::uint64_t bytes;
        std::byte* pointer;
    };
    struct Outgoing {
        Bytes bytes;
        std::size_t sent = 0;
        int fd = -1; // attached to the first byte; not owned
    };
    // A socket, and the messages on their way over it.
    struct Stream {
        UniqueFd socket;
        std::deque<Outgoing> out{};
        Bytes in{}; // the message being received
        std::size_t have = 0;
        std::vector<UniqueFd> fds{};

        pollfd to_poll() const {
            return {socket.get(), static_cast<short>(POLLIN | (out.empty() ? 0 : POLLOUT)), 0};
        }
    };
    struct Reply {
        Bytes payload;
        std::vector<UniqueFd> fds;
    };

    void negotiate();
    void query_device();
    void query_region(std::uint32_t index);
    void parse_areas(Region& region, const Bytes& payload, std::uint32_t cap_offset);

    // All of these hold mutex_.
    Reply request(std::uint16_t command, std::span<const std::byte> head,
                  std::span<const std::byte> tail = {}, int fd = -1, std::size_t minimum_reply = 0);
    void region_transfer(bool write, std::uint32_t region, std::uint64_t offset, std::byte* read_to,
                         const std::byte* write_from, std::size_t bytes);
    void pump(); // moves whatever the socket takes and gives, without blocking
    bool send_some(Stream& stream);
    bool receive_some(Stream& stream);
    void take_fds(Stream& stream, const msghdr& message);
    void handle_message(Stream& stream);
    void serve(Stream& stream, const vfio_user_header& header);
    void answer(Stream& stream, const vfio_user_header& request, std::span<const std::byte> payload,
                int error);
    [[noreturn]] void fail(const std::string& reason); // the connection is dead from here on
    [[noreturn]] void throw_dead();
    void require_alive();

    const std::chrono::milliseconds reply_limit_;
    std::mutex mutex_;
    std::string name_;
    std::unique_ptr<Simulator> simulator_; // above main_: closing the socket ends the child
    Stream main_;
    Stream twin_; // for the device's own requests, where the server has set one up; else no socket
    std::string dead_reason_; // empty while alive

    std::optional<vfio_user_header> awaited_;
    std::optional<Reply> reply_;
    int reply_error_ = 0;
    std::uint16_t next_id_ = 1;

    std::uint32_t max_transfer_ = VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE;
    std::uint32_t irq_count_ = 0;
    std::array<Region, VFIO_USER_PCI_NUM_REGIONS> regions_;
    std::map<std::uint64_t, DmaRange> dma_;
    DmaObserver dma_observer_;
    std::vector<BarMapping> mappings_;
};

} // namespace talus::driver
