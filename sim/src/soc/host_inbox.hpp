// What the host did to the device and the timing thread has not yet seen: posted writes in order,
// resets, and the fact that it polled. The one place where the two threads meet.
#ifndef TALUS_SIM_SOC_HOST_INBOX_HPP
#define TALUS_SIM_SOC_HOST_INBOX_HPP

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>

namespace talus::sim {

/// A posted write of the host, 32 bits.
struct HostWrite {
    enum class Kind : std::uint8_t {
        kFrozen,     ///< index = offset in the frozen page
        kController, ///< index = offset in the controller registers
        kSqTail,     ///< index = queue id
        kCqHead,     ///< index = queue id
    };
    Kind kind;
    std::uint32_t index;
    std::uint32_t value;
};

/// Thread-safe. The socket thread puts, the timing thread takes; neither waits for the other.
class HostInbox {
  public:
    /// Requests that do not wait for a parked device. They are levels: two are as one.
    enum Request : std::uint32_t {
        kStop = 1,             ///< the simulator ends
        kFunctionReset = 2,    ///< writes from before it have been dropped
        kFundamentalReset = 4, ///< likewise
        kPolled = 8,           ///< the host read a register: a parked device may step to its timer
        kDebugger = 16,        ///< a debugger has something to say: only wakes who waits
        kCheckpoint = 32,      ///< a client has gone: write a checkpoint once parked
    };
    /// What does not wait for the device to finish what it is doing.
    static constexpr std::uint32_t kUrgent = kStop | kFunctionReset | kFundamentalReset;

    /// false: the host ran too far ahead of the device and the write was dropped.
    bool push(const HostWrite& write) {
        {
            const std::lock_guard lock(mutex_);
            if (writes_.size() >= kMaxWrites) {
                return false;
            }
            writes_.push_back(write);
        }
        changed_.notify_one();
        return true;
    }

    void request(std::uint32_t requests) {
        {
            const std::lock_guard lock(mutex_);
            if ((requests & (kFunctionReset | kFundamentalReset)) != 0) {
                writes_.clear();
            }
            requests_.fetch_or(requests, std::memory_order_release);
        }
        changed_.notify_one();
    }

    /// Cheap enough for every event.
    std::uint32_t pending() const { return requests_.load(std::memory_order_acquire); }
    /// Takes the given requests: returns those of them that were pending.
    std::uint32_t take(std::uint32_t requests) {
        return requests_.fetch_and(~requests, std::memory_order_acq_rel) & requests;
    }

    /// The next write; false: there is none, or it was made after a reset that was not served yet,
    /// which would undo it.
    bool pop(HostWrite& write) {
        const std::lock_guard lock(mutex_);
        if (writes_.empty() || (requests_.load(std::memory_order_relaxed) & kUrgent) != 0) {
            return false;
        }
        write = writes_.front();
        writes_.pop_front();
        return true;
    }

    /// Sleeps until there is a write or a request, at most `limit`. true: there is one.
    bool wait(std::chrono::microseconds limit) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, limit, [this] {
            return !writes_.empty() || requests_.load(std::memory_order_relaxed) != 0;
        });
    }

  private:
    /// Far above what a driver that waits for its commands can have under way.
    static constexpr std::size_t kMaxWrites = 65536;

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<HostWrite> writes_;
    std::atomic<std::uint32_t> requests_{0};
};

} // namespace talus::sim

#endif
