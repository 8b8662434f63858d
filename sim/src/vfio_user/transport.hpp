// How bytes and file descriptors reach the server. The session knows this table of operations only,
// so a test or a fuzzer drives the whole protocol from a buffer, without a socket or a thread.
#ifndef TALUS_SIM_VFIO_USER_TRANSPORT_HPP
#define TALUS_SIM_VFIO_USER_TRANSPORT_HPP

#include <cstddef>
#include <deque>
#include <mutex>
#include <span>
#include <vector>

#include "unique_fd.hpp"

namespace talus::sim::vfio_user {

// One end of a connection. receive() is called by one thread; send() by one thread at a time, which
// may be another. Neither blocks.
class Transport {
  public:
    enum class Result {
        kMoved,      // `bytes` > 0 were moved
        kWouldBlock, // nothing for now
        kClosed,     // the peer closed or the connection broke
    };

    virtual ~Transport() = default;

    // Reads at most buffer.size() (> 0) bytes. Descriptors that came with them are appended to
    // `fds`; `fds_lost` is set if the kernel dropped some (no room in this process).
    virtual Result receive(std::span<std::byte> buffer, size_t& bytes, std::vector<UniqueFd>& fds,
                           bool& fds_lost) = 0;

    // Sends at least one byte of `data`; `fds` (the caller's, duplicated) go with the first.
    virtual Result send(std::span<const std::byte> data, std::span<const int> fds,
                        size_t& bytes) = 0;

    // To poll() for POLLIN and POLLOUT; -1 = always ready.
    virtual int poll_fd() const = 0;

    // Whether the process at the other end is stopped (SIGSTOP, a debugger), so that nobody should
    // take its silence for an end. Any thread. False where that can't be told.
    virtual bool peer_stopped() const { return false; }
};

// A connected UNIX stream socket.
class SocketTransport final : public Transport {
  public:
    explicit SocketTransport(UniqueFd socket);

    Result receive(std::span<std::byte> buffer, size_t& bytes, std::vector<UniqueFd>& fds,
                   bool& fds_lost) override;
    Result send(std::span<const std::byte> data, std::span<const int> fds, size_t& bytes) override;
    int poll_fd() const override { return socket_.get(); }
    // The process that connected, or made the pair of sockets, if this one can see it.
    bool peer_stopped() const override;

  private:
    UniqueFd socket_;
};

// A buffer: feed() what the client would send, read what the server sent. End of input = closed
// once close_input() was called.
class MemoryTransport final : public Transport {
  public:
    // Descriptors belong to the first byte of `data`.
    void feed(std::span<const std::byte> data, std::vector<UniqueFd> fds = {});
    void close_input();
    // Everything sent since the last call, and duplicates of the descriptors that came along.
    std::vector<std::byte> take_output();
    std::vector<UniqueFd> take_descriptors();

    Result receive(std::span<std::byte> buffer, size_t& bytes, std::vector<UniqueFd>& fds,
                   bool& fds_lost) override;
    Result send(std::span<const std::byte> data, std::span<const int> fds, size_t& bytes) override;
    int poll_fd() const override { return -1; }

  private:
    struct Chunk {
        std::vector<std::byte> data;
        size_t taken = 0;
        std::vector<UniqueFd> fds;
    };
    std::mutex mutex_;
    std::deque<Chunk> input_;
    bool closed_ = false;
    std::vector<std::byte> output_;
    std::vector<UniqueFd> descriptors_;
};

} // namespace talus::sim::vfio_user

#endif
