// The socket thread: listens, serves one client after another, and never waits for anything else.
#ifndef TALUS_SIM_VFIO_USER_SERVER_HPP
#define TALUS_SIM_VFIO_USER_SERVER_HPP

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "client_memory.hpp"
#include "device.hpp"
#include "irq_bank.hpp"
#include "session.hpp"
#include "transport.hpp"
#include "unique_fd.hpp"

namespace talus::sim::vfio_user {

struct ServerOptions {
    // Exactly one of the two: a path to listen on, or a connected stream socket (taken over).
    std::string socket_path;
    int fd = -1;
    // End when the client's connection closes; else wait for the next one. Always so with `fd`.
    bool exit_on_disconnect = false;
    // Host errors, one line each, and connections coming and going. Called on the socket thread.
    std::function<void(std::string_view)> report;
    // Called once, on the socket thread, when it is about to end by itself. May not call stop().
    std::function<void()> on_finished;
};

class Server {
  public:
    // Binds and listens: from here on clients can connect, and are served once start() was called.
    // A stale socket file (nobody listens) is replaced. Throws std::runtime_error with a sentence
    // for the user. Device, memory and bank outlive the server.
    Server(Device& device, ClientMemory& memory, IrqBank& irqs, ServerOptions options);
    ~Server(); // stop(), and removes the socket file
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    void start();
    // Ends the connection and the thread. Thread-safe but for the socket thread itself; idempotent.
    void stop();
    // True once the thread has ended (or never ran and stop() was called).
    bool finished() const;
    // Blocks until finished.
    void wait();

    // Absolute path listened on; empty with `fd`.
    const std::string& socket_path() const { return options_.socket_path; }

  private:
    void run();
    void serve();
    void accept_client();
    void open_session(UniqueFd socket);
    bool pump_session(); // true if it stopped in the middle of its input
    void close_session();
    void wake();

    Device& device_;
    ClientMemory& memory_;
    IrqBank& irqs_;
    ServerOptions options_;
    UniqueFd listener_;
    UniqueFd wake_;
    UniqueFd inherited_;
    std::unique_ptr<SocketTransport> transport_;
    std::unique_ptr<Session> session_;
    bool over_ = false; // socket thread: leave the loop

    std::thread thread_;
    std::atomic<bool> stop_{false};
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool finished_ = false;
};

} // namespace talus::sim::vfio_user

#endif
