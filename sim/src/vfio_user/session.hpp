// One client's connection: takes messages apart, checks them and answers.
#ifndef TALUS_SIM_VFIO_USER_SESSION_HPP
#define TALUS_SIM_VFIO_USER_SESSION_HPP

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <talus/vfio_user.h>

#include "client_memory.hpp"
#include "device.hpp"
#include "irq_bank.hpp"
#include "outbox.hpp"
#include "transport.hpp"
#include "twin_socket.hpp"

namespace talus::sim::vfio_user {

// What this server accepts, as told to the client in the version reply.
inline constexpr uint32_t kMaxDataTransfer = 1u << 20;
// Descriptors per message. QEMU (10.1) gives up on a server that announces more than its own limit,
// so the announcement is the client's own figure, within these bounds.
inline constexpr uint32_t kMinMessageFds = 16;
inline constexpr uint32_t kMaxMessageFds = 64;

// Any message may be malformed: it gets an error reply (unless it asked for none), is skipped as
// long as its header says, and changes nothing. Only an impossible protocol version ends the
// connection.
//
// pump(), flush() and end() belong to the socket thread. The device's threads enter through
// ClientMemory's channel only, which may send at any time.
class Session {
  public:
    enum class State {
        kIdle, // nothing left to read for now
        kMore, // stopped after a bounded number of reads; call again
        kOver, // the client is gone, or was sent away
    };

    struct Hooks {
        std::function<void()> wake;                   // output is waiting; from any thread
        std::function<void(std::string_view)> report; // a host error, one line; socket thread
    };

    Session(Transport& transport, Device& device, ClientMemory& memory, IrqBank& irqs, Hooks hooks);
    ~Session(); // end()
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    State pump();
    void flush();
    bool wants_write() const { return outbox_.pending_bytes() > 0; }
    // The twin socket, to poll() beside the transport; -1 if there is none.
    int twin_fd() const { return twin_ ? twin_->poll_fd() : -1; }
    bool twin_wants_write() const { return twin_ && twin_->wants_write(); }
    // False while so much output waits that no more requests are taken: a client that does not
    // read.
    bool wants_read() const;

    // Releases everything that the client gave and tells the device. Once.
    void end();

  private:
    struct Message {
        vfio_user_header header = {};
        std::span<const std::byte> payload;
        std::vector<UniqueFd>& fds;
    };
    struct Reply {
        std::vector<std::byte> payload;
        std::vector<int> fds; // the device's, and `owned`
        UniqueFd owned;
    };
    struct Command;
    static const Command kCommands[];

    bool receive_some();
    void begin_message();
    void dispatch();
    int execute(const Message& message, Reply& reply);
    void send_reply(const vfio_user_header& request, const Reply& reply);
    void send_error(const vfio_user_header& request, int error);

    int version(const Message& message, Reply& reply);
    int dma_map(const Message& message, Reply& reply);
    int dma_unmap(const Message& message, Reply& reply);
    int device_info(const Message& message, Reply& reply);
    int region_info(const Message& message, Reply& reply);
    int region_io_fds(const Message& message, Reply& reply);
    int irq_info(const Message& message, Reply& reply);
    int set_irqs(const Message& message, Reply& reply);
    int region_read(const Message& message, Reply& reply);
    int region_write(const Message& message, Reply& reply);
    int region_write_multi(const Message& message, Reply& reply);
    int device_reset(const Message& message, Reply& reply);
    int unsupported(const Message& message, Reply& reply);
    int wrong_direction(const Message& message, Reply& reply);

    int check_range(uint32_t region, uint64_t offset, uint64_t count, bool write) const;
    int write_range(const vfio_user_region_access& access, std::span<const std::byte> data);
    int set_irq_eventfds(const vfio_user_irq_set& set, std::vector<UniqueFd>& fds);
    void act_on_irq(const vfio_user_irq_set& set, uint32_t vector);

    Transport& transport_;
    Device& device_;
    ClientMemory& memory_;
    IrqBank& irqs_;
    Hooks hooks_;
    Outbox outbox_;
    std::unique_ptr<TwinSocket> twin_; // for the device's requests, if the client supports it

    // The message being received.
    vfio_user_header header_ = {};
    size_t header_bytes_ = 0;
    std::vector<std::byte> payload_;
    size_t payload_bytes_ = 0;
    uint64_t skip_ = 0; // bytes of an oversized message still to be thrown away
    int early_error_ = 0;
    std::vector<UniqueFd> fds_;

    bool closed_ = false; // no further input
    bool ended_ = false;
    bool negotiated_ = false;
    uint32_t max_message_fds_ = kMinMessageFds;
};

} // namespace talus::sim::vfio_user

#endif
