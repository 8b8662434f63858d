// A device that talusd owns and shares: what a client of it has instead of the card.
#pragma once

#include "error.hpp"
#include "fd.hpp"
#include "talusd/channel.hpp"
#include "transport.hpp"

#include <array>
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace talus::driver {

/// The socket of the talusd that serves this user: environment TALUSD_SOCKET, else
/// /run/talus/talusd.sock if it is there, else $XDG_RUNTIME_DIR/talusd.sock, else
/// /tmp/talus-UID/talusd.sock.
std::string default_daemon_socket();

/// Config space, resets and most of the BARs are talusd's alone; here they are UNSUPPORTED. Reads
/// of the frozen registers, the status page and the log go through it, doorbells are bells that it
/// answers, and memory is mapped at IOVAs of this client's own range.
class DaemonTransport final : public Transport {
  public:
    /// Connects to `socket`. If nobody listens there and `start` is set: starts a talusd that ends
    /// itself when it has had no client for a while. Errors: NOT_FOUND, PERMISSION, BUSY (it serves
    /// as many clients as it can), VERSION_MISMATCH.
    DaemonTransport(const std::string& socket, bool start);
    ~DaemonTransport() override;

    // What Device needs of talusd beside a transport. All throw as a transport's operations do, or
    // with the status and text that talusd answers.
    const talus_identify& identity() const { return identity_; }
    std::uint32_t* shadow_tails() const;
    std::uint32_t* shadow_events() const;
    std::uint32_t reserve_queue();
    /// An admin command of this client; `data` gets a GET_FAULT's record.
    talus_cqe admin(const talus_sqe& command, std::span<std::byte> data);
    std::uint64_t memory_allocate(std::uint32_t memory, std::uint64_t bytes,
                                  std::uint64_t alignment);
    void memory_free(std::uint64_t address);
    void memory_usage(std::uint32_t memory, std::uint64_t& used, std::uint64_t& total);
    /// Ends the client's queues and frees its device memory. Returns the rung of the ladder.
    std::uint32_t reset_client(std::string& reason);
    /// As reset_client, as the last thing: the device no longer touches this process's memory.
    void leave() noexcept;
    /// A descriptor of its own that becomes readable when the queue has completed something.
    UniqueFd bell(std::uint32_t qid);
    /// Called (on any thread, no lock held) with the reason after talusd has reset the card on
    /// another client's account.
    void on_reset(std::function<void(const std::string&)> heard) { heard_ = std::move(heard); }

    const char* kind() const override { return "talusd"; }
    DaemonTransport* daemon() override { return this; }
    void config_read(std::uint32_t offset, std::span<std::byte> data) override;
    void config_write(std::uint32_t offset, std::span<const std::byte> data) override;
    std::uint32_t bar_read32(int bar, std::uint64_t offset) override;
    std::uint64_t bar_read64(int bar, std::uint64_t offset) override;
    void bar_write32(int bar, std::uint64_t offset, std::uint32_t value) override;
    void bar_write64(int bar, std::uint64_t offset, std::uint64_t value) override;
    void bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) override;
    void bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) override;
    std::uint64_t bar_size(int bar) override;
    BarMapping bar_map(int, std::uint64_t, std::uint64_t, bool) override { return {}; }
    void dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) override;
    void dma_unmap(std::uint64_t iova, std::uint64_t bytes) override;
    std::vector<IovaRange> iova_ranges() override { return {iova_}; }
    bool pins_memory() override { return pins_memory_; }
    std::uint32_t irq_count() override { return TALUS_MAX_QUEUES; }
    void irq_set(std::uint32_t, int) override {} // a queue's bell is its interrupt
    void reset() override;
    bool wait(int eventfd, std::chrono::milliseconds timeout) override;

  private:
    struct Answer {
        daemon::Reply reply;
        std::vector<std::byte> data;
        UniqueFd descriptor;
    };
    Answer call(const daemon::Request& request, int descriptor = -1);
    std::optional<Answer> take(); // mutex_ held; events are put aside
    void tell();                  // what was put aside; mutex_ not held
    [[noreturn]] void lost();
    Error unsupported(const char* what) const;

    std::string socket_;
    std::mutex mutex_; // channel_, news_, working_
    daemon::Channel channel_;
    std::atomic<bool> lost_{false};
    std::vector<std::string> news_;
    bool working_ = false; // talusd has said so since the last look
    std::function<void(const std::string&)> heard_;
    talus_identify identity_{};
    IovaRange iova_;
    bool pins_memory_ = false;
    std::byte* shadow_ = nullptr;
    // Each queue's bell is used by the thread that owns the queue.
    std::array<UniqueFd, TALUS_MAX_QUEUES> bells_;
};

} // namespace talus::driver
