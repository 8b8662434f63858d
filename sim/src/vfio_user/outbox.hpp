// Messages on their way to the client, whole and in order, from any thread.
#ifndef TALUS_SIM_VFIO_USER_OUTBOX_HPP
#define TALUS_SIM_VFIO_USER_OUTBOX_HPP

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <vector>

#include <talus/vfio_user.h>

#include "transport.hpp"

namespace talus::sim::vfio_user {

// Thread-safe; never blocks. What the transport does not take at once waits for flush().
class Outbox {
  public:
    // `wake` is called, from the sender's thread, when something is left for flush().
    Outbox(Transport& transport, std::function<void()> wake);

    // Descriptors stay the caller's. False once the connection is closed.
    bool send(const vfio_user_header& header, std::span<const std::byte> payload,
              std::span<const int> fds = {});
    void flush();
    // Drops what waits and refuses more.
    void close();
    size_t pending_bytes() const { return pending_bytes_.load(std::memory_order_relaxed); }

  private:
    struct Waiting {
        std::vector<std::byte> data;
        size_t sent = 0;
        std::vector<UniqueFd> fds;
    };
    void drain();

    Transport& transport_;
    const std::function<void()> wake_;
    std::mutex mutex_;
    std::deque<Waiting> waiting_;
    std::atomic<size_t> pending_bytes_{0};
    bool closed_ = false;
};

} // namespace talus::sim::vfio_user

#endif
