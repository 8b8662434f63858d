// A Talus device: boot, admin queue, I/O queues, memory, reset.
#pragma once

#include "error.hpp"
#include "firmware.hpp"
#include "fork_mark.hpp"
#include "memory.hpp"
#include "queue.hpp"
#include "registers.hpp"
#include "wait.hpp"

#include "talus/driver.h"
#include "talus/hw/work.h"

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace talus::driver {

struct OpenOptions {
    std::string device;
    std::string sysfs;
    std::string firmware;
    TransportOptions transport;
    bool boot = true;
    bool share_fd = true; // hand DMA memory's files to the device
    bool shadow = true;   // use shadow doorbells where the device has them
    WaitBy wait_by = WaitBy::kSleep;
    std::uint64_t boot_timeout_us = 2'000'000;
    std::uint64_t command_timeout_us = 1'000'000;
};

class IoQueue;

/// Thread-safe; each IoQueue belongs to one thread at a time. Owns the device, or is a client of
/// the talusd that does (device_client.cpp).
class Device {
  public:
    /// Resolves, connects, boots. `options` as in talus_drv_open.
    static std::unique_ptr<Device> open(const OpenOptions& options);

    /// On a transport that is already there.
    Device(std::unique_ptr<Transport> transport, const std::string& name,
           const OpenOptions& options);
    ~Device();

    talus_drv_device_info info();
    talus_drv_telemetry telemetry();
    std::string log();

    std::uint64_t memory_allocate(talus_drv_memory memory, std::uint64_t bytes,
                                  std::uint64_t alignment);
    void memory_free(std::uint64_t address);
    void memory_usage(talus_drv_memory memory, std::uint64_t& used, std::uint64_t& total);

    DmaBuffer host_allocate(std::uint64_t bytes, std::uint64_t alignment);
    void host_free(std::uint64_t iova);

    /// The queue is the device's; destroy_queue or ~Device ends it.
    IoQueue* create_queue(std::uint32_t entries, WaitBy wait_by);
    void destroy_queue(IoQueue* queue);

    /// FLR, or what else it takes. Returns the rung that worked; `reason` (may be null) gets why a
    /// milder one did not.
    talus_drv_rung reset(std::string* reason = nullptr);

    /// talus_drv_reset_by: that rung and no other, or as reset() for TALUS_DRV_RUNG_NONE.
    talus_drv_recovery reset_by(talus_drv_rung rung);

    const OpenOptions& options() const { return options_; }
    const std::string& name() const { return name_; }

    // For talusd, which lets others use the device.
    Transport& transport() { return *transport_; }
    Doorbells& doorbells() { return doorbells_; }
    IovaSpace& iovas() { return iova_; }
    const talus_identify& identity() const { return identity_; }
    talus_status_page status() { return registers_.status(); }
    /// One admin command, waited for. Throws COMMAND_FAILED with the device's reason.
    talus_cqe admin(talus_sqe command, const char* what);
    talus_fault_record fault_record(std::uint32_t qid);
    void require_alive(); // throws DEVICE_LOST with the reason

    /// This process was forked from the one that opened the device: it must not touch it, nor run
    /// the destructor.
    bool inherited() const { return fork_mark_.inherited(); }

  private:
    friend class IoQueue;

    // Runs `operation`, and remembers the device as lost if that is how it ends.
    template <typename Operation>
    auto guard(Operation&& operation);
    void require_ready();
    void lose(const std::string& reason);

    void enable_memory();
    void enable_pci();
    void disable_pci() noexcept;
    bool has_function_level_reset();
    void function_level_reset();
    void restart(talus_drv_rung rung); // one rung; throws UNSUPPORTED before anything is done
    void reopen_windows();
    // Admin queue, identify, shadow pages, each step within `limit_us`; holds admin_mutex_.
    void bring_up(std::uint64_t limit_us);
    void join(); // the client of a talusd: what bring_up does for an owner
    talus_drv_rung reset_client(std::string* reason);
    void identify();
    void accept_identity(const talus_identify& identity);

    talus_cqe admin_locked(talus_sqe command, const char* what, std::uint64_t timeout_us = 0);
    void window(const DmaRegion& arena, bool added);
    void set_window(std::uint16_t index, std::uint64_t iova, std::uint64_t length);
    void open_device_memory(); // to kDataDomain; holds admin_mutex_

    RangeAllocator& allocator(talus_drv_memory memory);

    ForkMark fork_mark_;
    OpenOptions options_;
    std::string name_;
    std::unique_ptr<Transport> transport_;
    DaemonTransport* daemon_; // transport_, if another process owns the device; else null
    Registers registers_;
    Waiter waiter_;
    Doorbells doorbells_;
    IovaSpace iova_;
    DmaHeap control_memory_; // rings, shadow pages, admin buffers: domain 0 only
    DmaHeap data_memory_;    // buffers of commands: windows of kDataDomain

    std::atomic<bool> lost_{false};
    std::mutex lost_mutex_;
    std::string lost_reason_;
    std::string reset_reason_; // of talusd's latest reset; lost_mutex_

    std::mutex admin_mutex_; // admin queue, identity, queue ids, and the list of queues
    UniqueFd admin_event_;
    DmaBuffer admin_submission_;
    DmaBuffer admin_completion_;
    DmaBuffer admin_data_;
    std::vector<std::byte> client_data_; // a client's admin_data_
    DmaBuffer shadow_pages_;
    std::unique_ptr<QueuePair> admin_queue_;
    talus_identify identity_{};
    std::atomic<bool> ready_{false};
    bool shadow_in_use_ = false;
    bool gzip_ = false;                   // copies may inflate
    std::atomic<std::uint32_t> epoch_{0}; // counts our resets; a queue of an older one is dead
    std::vector<std::unique_ptr<IoQueue>> queues_;

    std::map<std::uint64_t, std::uint16_t> windows_; // arena's IOVA -> window; data_memory_'s lock

    std::mutex memory_mutex_;
    RangeAllocator dram_{0, 0, 64};
    RangeAllocator lls_{0, 0, 64};
};

/// An I/O queue pair with its rings, interrupt and bounce buffer.
class IoQueue {
  public:
    IoQueue(Device& device, std::uint32_t qid, std::uint32_t entries, WaitBy wait_by);
    ~IoQueue();
    IoQueue(const IoQueue&) = delete;
    IoQueue& operator=(const IoQueue&) = delete;

    Device& device() const { return device_; }
    std::uint32_t qid() const { return pair_->qid(); }
    std::size_t in_flight() const { return pair_->in_flight(); }

    void submit(std::span<const talus_drv_command> commands, std::span<std::uint32_t> cids);

    /// Takes completions into `completions` until `minimum` of them are there or nothing is in
    /// flight; `count` is valid also when this throws.
    void wait(std::span<talus_drv_completion> completions, std::size_t minimum, std::size_t& count,
              std::uint64_t timeout_us);
    void poll(std::span<talus_drv_completion> completions, std::size_t& count);

    void copy_in(std::uint64_t device_address, const void* source, std::uint64_t bytes);
    void copy_out(void* destination, std::uint64_t device_address, std::uint64_t bytes);

    talus_drv_fault fault();

    /// Climbs the ladder of talus_drv_recover.
    talus_drv_recovery recover();

  private:
    friend class Device;

    void create();  // admin_mutex_ held
    void destroy(); // admin_mutex_ held
    void require_usable();
    void abort_pending(); // admin_mutex_ held
    std::uint64_t abort_timeout_us();
    talus_sqe encode(const talus_drv_command& command) const;
    void drain(std::span<talus_drv_completion> completions, std::size_t& count);
    void copy_and_wait(const talus_drv_copy& copy, std::uint32_t opcode);
    const DmaBuffer& bounce();

    Device& device_;
    std::uint32_t epoch_;
    WaitBy wait_by_;
    UniqueFd event_;
    DmaBuffer submission_;
    DmaBuffer completion_;
    DmaBuffer bounce_;
    std::unique_ptr<QueuePair> pair_;
    std::string broken_; // set by a completion that makes no sense
    std::vector<talus_sqe> encoded_;
    std::vector<std::uint64_t> tags_;
};

template <typename Operation>
auto Device::guard(Operation&& operation) {
    require_alive();
    try {
        return operation();
    } catch (const Error& error) {
        if (error.status() == TALUS_DRV_DEVICE_LOST) {
            lose(error.what());
            require_alive(); // throws again, with the last state that was seen
        }
        throw;
    }
}

} // namespace talus::driver
