// talusd: the owner of one device, and what each of its clients has of it.
#pragma once

#include "../device.hpp"
#include "channel.hpp"

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <thread>

namespace talus::driver::daemon {

struct ServerOptions {
    std::chrono::seconds idle_exit{0}; // end when there was no client for so long; 0 = never
    std::size_t queues_per_client = 8;
    std::uint64_t dram_per_client = 0; // bytes; 0 = as much as there is
    std::uint64_t lls_per_client = 0;
    std::uint32_t launch_limit_us = 0; // device time that a launch may take; 0 = no limit
};

class Session;

/// Thread-safe but for serve().
class Server {
  public:
    Server(std::unique_ptr<Device> device, const ServerOptions& options);
    ~Server();

    /// Takes clients from `listener` until `stop` is readable, nobody has come for idle_exit, or
    /// the device is lost (throws).
    void serve(int listener, int stop);

    /// What serve() does with a client that has come; one that can't be served is hung up on.
    void adopt(UniqueFd socket);
    /// Puts away the sessions whose clients are gone, or all; true if none is left.
    bool reap(bool all);

    // For sessions.
    Device& device() { return *device_; }
    const ServerOptions& options() const { return options_; }

    /// Held shared by whoever uses the device, alone while it is reset.
    std::shared_mutex& card() { return card_; }

    /// A domain, a slice of IOVA space and queue numbers are a client's alone.
    std::uint8_t take_domain();
    void return_domain(std::uint8_t domain);
    std::uint64_t take_iovas();
    void return_iovas(std::uint64_t begin);
    std::uint16_t take_queue();
    void return_queue(std::uint16_t qid);
    static constexpr std::uint64_t kIovaBytes = std::uint64_t{15} << 30;

    /// Zeroes device memory, so that the next one to get it learns nothing. card() held.
    /// Once a second `working` is called meanwhile.
    void scrub(std::uint64_t address, std::uint64_t bytes, const std::function<void()>& working);

    /// Resets of the card so far.
    std::uint64_t resets() const { return resets_; }

    /// Resets the card unless that has happened since resets() was `seen`: `by`'s commands can't be
    /// ended otherwise, or (null) it is lost. card() not held. The others are told before and
    /// after.
    talus_drv_rung reset_card(Session* by, std::uint64_t seen, std::string& reason);

    std::vector<ClientEntry> clients();

  private:
    std::unique_ptr<Device> device_;
    ServerOptions options_;
    std::shared_mutex card_;
    std::atomic<std::uint64_t> resets_{0};
    talus_drv_rung latest_rung_ = TALUS_DRV_RUNG_NONE;
    std::mutex scrub_mutex_;
    IoQueue* scrub_queue_ = nullptr;
    std::mutex ids_mutex_; // domains_, queues_
    std::set<std::uint8_t> domains_;
    std::set<std::uint16_t> queues_;
    std::mutex sessions_mutex_;
    std::list<std::unique_ptr<Session>> sessions_;
};

} // namespace talus::driver::daemon
