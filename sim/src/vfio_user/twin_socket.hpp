// Twin-socket mode: the device's requests and their replies on a socket of their own, apart from
// the client's requests.
#ifndef TALUS_SIM_VFIO_USER_TWIN_SOCKET_HPP
#define TALUS_SIM_VFIO_USER_TWIN_SOCKET_HPP

#include <functional>
#include <memory>
#include <vector>

#include <talus/vfio_user.h>

#include "dma_channel.hpp"
#include "outbox.hpp"
#include "transport.hpp"

namespace talus::sim::vfio_user {

// send() is the device's threads' to call, all else the socket thread's.
class TwinSocket {
  public:
    // `replies` gets what the client answers, `wake` is called when something is left for flush().
    // `client_end` is for the version reply. Null if no sockets can be had.
    static std::unique_ptr<TwinSocket> create(DmaChannel& replies, std::function<void()> wake,
                                              UniqueFd& client_end);

    bool send(const vfio_user_header& header, std::span<const std::byte> payload) {
        return outbox_.send(header, payload);
    }
    void flush() { outbox_.flush(); }
    bool wants_write() const { return outbox_.pending_bytes() > 0; }
    int poll_fd() const { return transport_.poll_fd(); }

    enum class State { kGoesOn, kClosed, kNonsense };
    // Takes a bounded number of replies. kClosed: the client has closed its end. kNonsense: it sent
    // what is no reply, and nothing that follows can be told apart any more.
    State pump();

  private:
    TwinSocket(UniqueFd socket, DmaChannel& replies, std::function<void()> wake);

    SocketTransport transport_;
    Outbox outbox_;
    DmaChannel& replies_;
    vfio_user_header header_ = {};
    size_t header_bytes_ = 0;
    std::vector<std::byte> payload_;
    size_t payload_bytes_ = 0;
};

} // namespace talus::sim::vfio_user

#endif
