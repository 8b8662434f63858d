// Requests of the device to a client that shares memory without a file descriptor:
// VFIO_USER_DMA_READ and VFIO_USER_DMA_WRITE, and the matching of their replies.
#ifndef TALUS_SIM_VFIO_USER_DMA_CHANNEL_HPP
#define TALUS_SIM_VFIO_USER_DMA_CHANNEL_HPP

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include <talus/vfio_user.h>

#include "dma_status.hpp"

namespace talus::sim::vfio_user {

// Thread-safe. Requests begin and end on the device's threads; replies and cancellations come from
// the socket thread, which never waits here.
class DmaChannel {
  public:
    // Queues one message for the client without blocking; false if there is no client.
    using Send = std::function<bool(const vfio_user_header&, std::span<const std::byte>)>;

    struct Request; // one message under way
    using Handle = std::shared_ptr<Request>;

    // Whether the client is stopped, and so can't answer. Called with the channel locked.
    using Stopped = std::function<bool()>;

    // Connects to a client that accepts at most `max_transfer` bytes per message. Without `stopped`
    // it never is.
    void open(Send send, size_t max_transfer, Stopped stopped = {});
    // Ends every request with kDisconnected; none begins until the next open().
    void close();
    bool is_open() const;
    size_t max_transfer() const;

    // Sends a request for `length` (<= max_transfer) bytes; null if there is no client. `source` is
    // read before the function returns.
    Handle begin_read(uint64_t iova, size_t length);
    Handle begin_write(uint64_t iova, const void* source, size_t length);
    // Blocks until the reply, a cancellation or the time limit. For reads, `destination` receives
    // the data on kOk and stays untouched otherwise. The limit is of time in which the client could
    // have answered: neither its own pauses count nor those of this process.
    DmaStatus finish(const Handle& request, void* destination, std::chrono::milliseconds limit);

    // Ends requests that touch [iova, iova+size) (size 0 = all) with `status`; their replies,
    // should they come, are dropped.
    void cancel(uint64_t iova, uint64_t size, DmaStatus status);

    // A reply from the client. Replies to nothing are dropped.
    void on_reply(const vfio_user_header& header, std::span<const std::byte> payload);

  private:
    Handle begin(uint16_t command, uint64_t iova, const void* source, size_t length);

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    Send send_;
    Stopped stopped_;
    size_t max_transfer_ = VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE;
    uint16_t next_id_ = 0;
    std::unordered_map<uint16_t, Handle> pending_;
};

} // namespace talus::sim::vfio_user

#endif
