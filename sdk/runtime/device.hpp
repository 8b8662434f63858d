// A device of one target, as plans and requests use it: the target's table of functions, the opened
// device, and what the table does not say (placement, DMA memory, device cycles).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/common/target.hpp"
#include "sdk/runtime/worker_pool.hpp"
#include "talus/hw/perf.h"
#include "talus/talus.h"

namespace talus::runtime {

// Throws Failure with the target's message if `status` is not kOk. `where` precedes it.
void check(kernels::Status status, const kernels::Diagnostic& diagnostic, const std::string& where);

struct DeviceInfo {
    std::string target; // "talus", "cuda", "cpu"
    std::string name;   // for people: "talus (simulated)"
    std::string note;   // what a user should know, or empty
    bool simulated = false;
    std::uint64_t clock_hz = 0;
    std::uint64_t memory_bytes = 0;
    double peak_flops = 0;         // FP16 with FP32 accumulation, per second; 0 = not published
    double peak_scratch_bytes = 0; // on-chip scratch bytes per second; 0 = not published
    double peak_memory_bytes = 0;  // off-chip bytes per second; 0 = not published
    const char* clock = "host";    // domain of times
};

enum class Placement { kFast, kLarge }; // on-chip scratch if it has room, or main device memory

// Device cycles of the work on a stream.
struct DeviceProfile {
    struct Copies {
        std::uint64_t count = 0;
        std::uint64_t cycles = 0;
        std::uint64_t bytes = 0;
        void add(std::uint64_t more_cycles, std::uint64_t more_bytes) {
            ++count;
            cycles += more_cycles;
            bytes += more_bytes;
        }
    };
    struct Launch {
        std::uint64_t cycles = 0;  // its execution alone
        std::uint64_t startup = 0; // of it, before the first instruction of the kernel
    };
    std::vector<Launch> launches;           // in order
    std::vector<talus_perf_record> records; // one a launch, or none: only when asked for
    Copies copies_in;                       // host to device, argument blocks included
    Copies copies_out;
    std::uint64_t whole = 0; // from each batch's admission to its last completion, summed
};

class Device;
using DevicePtr = std::shared_ptr<Device>;

// Thread-safe. Shared by models, requests and buffers; closed with the last of them.
class Device {
  public:
    virtual ~Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const kernels::Target& target() const { return *target_; }
    kernels::Device* handle() const { return handle_; }
    const kernels::Capabilities& capabilities() const { return *target_->capabilities(handle_); }
    const DeviceInfo& info() const { return info_; }
    // Its memory is the process's own.
    bool is_host() const { return info_.target == "cpu"; }

    // Nothing works on it any more, for good; see kernels::Status::kDeviceLost.
    virtual bool lost() const { return false; }
    // A run on it did not end by itself: repeating it may not help.
    virtual bool hung() const { return false; }
    // A device opened as this one was, or the same one after its reset. Throws Failure.
    virtual DevicePtr reopen() const;

    // Device memory. `got` (may be null) tells where it is. Throws Failure OUT_OF_MEMORY.
    virtual void* allocate(std::size_t bytes, Placement wanted, Placement* got);
    virtual void release(void* address);
    // Host memory that the device reads and writes in place.
    virtual void* host_allocate(std::size_t bytes);
    virtual void host_release(void* memory);
    // What the device says of the work on `stream` since the last call. False if it has no clock of
    // its own to tell.
    virtual bool take_profile(kernels::Stream* stream, DeviceProfile& profile);
    // Threads that share the rows of a call, or null: its launches are not the caller's work.
    virtual WorkerPool* workers() { return nullptr; }

  protected:
    Device() = default;
    const kernels::Target* target_ = nullptr;
    kernels::Device* handle_ = nullptr;
    DeviceInfo info_;
};

// Opens a device. Throws Failure: UNAVAILABLE holds the reason.
DevicePtr open_device(const talus_device_options& options);

// Owned device memory.
class DeviceMemory {
  public:
    DeviceMemory() = default;
    DeviceMemory(DevicePtr device, std::size_t bytes, Placement wanted);
    ~DeviceMemory();
    DeviceMemory(DeviceMemory&& other) noexcept { swap(other); }
    DeviceMemory& operator=(DeviceMemory&& other) noexcept {
        swap(other);
        return *this;
    }
    void* address() const { return address_; }
    std::size_t bytes() const { return bytes_; }
    Placement placement() const { return placement_; }

  private:
    void swap(DeviceMemory& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(address_, other.address_);
        std::swap(bytes_, other.bytes_);
        std::swap(placement_, other.placement_);
    }
    DevicePtr device_;
    void* address_ = nullptr;
    std::size_t bytes_ = 0;
    Placement placement_ = Placement::kLarge;
};

} // namespace talus::runtime
