// The socket that gdb connects to, on a thread of its own: accepts one debugger at a time, takes
// packets apart, acknowledges them and keeps them for the timing thread.
#ifndef TALUS_SIM_DEBUG_GDB_SERVER_HPP
#define TALUS_SIM_DEBUG_GDB_SERVER_HPP

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "packet.hpp"
#include "vfio_user/unique_fd.hpp"

namespace talus::sim::debug {

class GdbServer {
  public:
    struct Message {
        enum class Kind : std::uint8_t {
            kConnected,
            kPacket,
            kInterrupt, ///< Ctrl-C
            kOversized, ///< a packet too long to be kept
            kDisconnected,
        };
        Kind kind;
        std::string payload;
    };

    /// `where`: a TCP port (0: any free one) on the loopback interface, or "unix:PATH" (an old
    /// socket there is replaced). Throws std::runtime_error with a sentence.
    explicit GdbServer(const std::string& where);
    /// Ends the thread and closes the connection.
    ~GdbServer();
    GdbServer(const GdbServer&) = delete;
    GdbServer& operator=(const GdbServer&) = delete;

    /// Starts listening to clients. `notify` is called, from the server's thread, after every new
    /// message.
    void start(std::function<void()> notify);
    void stop();

    /// "127.0.0.1:4711" or "unix:/path": what a user gives to `target remote` (a path without its
    /// "unix:").
    const std::string& address() const { return address_; }

    /// Any thread.
    bool pending() const { return pending_.load(std::memory_order_acquire); }
    /// The next message; waits for one at most `limit`. false: none.
    bool receive(Message& message, std::chrono::milliseconds limit);
    /// Sends a packet to the connected client; without one, does nothing. A client that does not
    /// read is dropped after a few seconds.
    void send(std::string_view payload);
    /// From the next packet on there are no acknowledgements, until the client changes.
    void end_acknowledgements() { acknowledge_.store(false, std::memory_order_release); }

  private:
    void run();
    void serve_client();
    void post(Message::Kind kind, std::string payload = {});
    void write_all(std::string_view bytes);

    std::string address_;
    std::string unix_path_;
    vfio_user::UniqueFd listener_;
    vfio_user::UniqueFd wake_;
    std::function<void()> notify_;
    std::thread thread_;
    std::atomic<bool> stop_{false};

    std::mutex write_mutex_; ///< the client's descriptor and what is written to it
    vfio_user::UniqueFd client_;
    std::string unacknowledged_; ///< the last packet sent, for a client that asks again
    std::atomic<bool> acknowledge_{true};

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Message> messages_;
    std::atomic<bool> pending_{false};
};

} // namespace talus::sim::debug

#endif
