// The accelerator through talus/driver.h, as a kernels::Target. A stream collects copies and
// launches and submits them as one doorbell batch when it is synchronised: argument blocks and
// inputs in, launches, results out. Commands of a queue execute in order, so nothing else orders
// them.
//
// Internal to sdk/targets.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "kernels/common/registry.hpp"
#include "kernels/common/target.hpp"
#include "sdk/runtime/device.hpp"
#include "talus/driver.h"

namespace talus::targets {

// A kernel image in the scratch SRAM, and its symbols for messages.
struct LoadedKernel {
    std::uint64_t entry = 0;
    std::uint64_t bytes = 0;
    std::map<std::uint64_t, std::string> symbols; // offset in the image -> function

    // "fc!drain_tile+0x12", or an offset if there are no symbols.
    std::string locate(const std::string& name, std::uint64_t offset) const;
};

// One host or device DMA buffer that grows by whole blocks and is reused after each batch.
struct Staging {
    struct Block {
        talus_drv_host_buffer memory{};
        std::uint64_t used = 0;
    };
    std::vector<Block> blocks;
};

class TalusStream;

using DriverPtr = std::shared_ptr<talus_drv_device>;
// Throws Failure.
DriverPtr open_driver(const talus_drv_open_options& options);

// The opaque kernels::Device of this target. It is lost with a reset of the device, which clears
// the device's memory: what comes after is another TalusCard, on the same driver or on another.
class TalusCard {
  public:
    // `profile`: every launch leaves its performance record.
    explicit TalusCard(DriverPtr driver, bool profile = false);
    ~TalusCard();
    TalusCard(const TalusCard&) = delete;
    TalusCard& operator=(const TalusCard&) = delete;

    talus_drv_device* driver() const { return driver_.get(); }
    const talus_drv_device_info& info() const { return info_; }
    const kernels::Capabilities& capabilities() const { return capabilities_; }
    bool profile() const { return profile_; }

    // The driver said DEVICE_LOST, of whatever call, or the device was reset.
    bool lost() const { return lost_; }
    // A command on it had to be ended by force, or could not go on.
    bool hung() const { return hung_; }
    void note_hang() { hung_ = true; }
    // Ends what is in flight on a queue whose commands timed out, by talus_drv_recover.
    talus_drv_status recover(talus_drv_queue* queue, talus_drv_recovery& recovery);
    // A queue on which this card's memory is what it was. Throws Failure DEVICE_LOST if the device
    // has been reset meanwhile, by whomever.
    talus_drv_queue* create_queue(const talus_drv_queue_options& options);
    // The driver of this lost card, if it reaches a device that works, if need be after a reset.
    DriverPtr revive() const;
    // The SDK's status for the driver's; remembers a loss.
    talus_status status_of(talus_drv_status status);

    // The image of an operator, copied to the scratch SRAM at its first use. Throws Failure.
    const LoadedKernel& kernel(const std::string& image);

    // Device memory. Throws Failure OUT_OF_MEMORY.
    std::uint64_t allocate(talus_drv_memory memory, std::uint64_t bytes);
    void release(std::uint64_t address);
    // DMA memory; remembered, so that copies from it need no staging.
    void* host_allocate(std::uint64_t bytes);
    void host_release(void* pointer);
    // The IOVA of [pointer, pointer + bytes) if it lies in DMA memory of this card, else 0.
    std::uint64_t iova_of(const void* pointer, std::uint64_t bytes);

    // Streams own a queue pair, which costs admin commands; idle ones are kept.
    TalusStream* take_stream();
    void give_stream(TalusStream* stream);

  private:
    void load(const std::string& image, LoadedKernel& kernel);
    // Throws Failure unless `status` is OK.
    void require(talus_drv_status status, const char* what);

    DriverPtr driver_;
    std::atomic<bool> lost_ = false;
    std::atomic<bool> hung_ = false;
    std::shared_mutex resets_; // held alone while this card resets the device
    talus_drv_device_info info_{};
    bool profile_;
    kernels::Capabilities capabilities_;
    std::mutex mutex_;
    std::map<std::string, LoadedKernel> kernels_;
    std::map<std::uintptr_t, talus_drv_host_buffer> host_buffers_;
    std::vector<std::unique_ptr<TalusStream>> idle_;
};

// The opaque kernels::Stream of this target. Belongs to one thread at a time.
class TalusStream {
  public:
    explicit TalusStream(TalusCard& card);
    ~TalusStream();
    TalusStream(const TalusStream&) = delete;
    TalusStream& operator=(const TalusStream&) = delete;

    TalusCard& card() { return card_; }
    // A stream whose queue failed is not used again.
    bool broken() const { return broken_; }

    // All throw Failure.
    void copy(void* destination, const void* source, std::size_t bytes, kernels::CopyKind kind);
    void launch(const kernels::Node& node, const kernels::TalusKernel& kernel, const void* packed,
                void* workspace);
    void synchronize();

    // Commands so far, for events; and the device clock of a command once it has completed.
    std::uint64_t position() const { return submitted_ + commands_.size(); }
    std::uint64_t cycles_at(std::uint64_t position) const;

    runtime::DeviceProfile take_profile();
    void discard(); // forgets what was not submitted

  private:
    // A launch as its error message needs it, after the caller's node is gone.
    struct Launched {
        std::size_t command;
        std::string image;
        const kernels::TalusKernel* kernel;
        std::vector<std::byte> attributes;
        std::vector<kernels::TensorView> inputs;
        std::vector<kernels::TensorView> outputs;
    };
    struct Arrival { // D2H data to hand over after the batch
        const void* staged;
        void* destination;
        std::size_t bytes;
    };
    struct Staged {
        void* pointer;
        std::uint64_t iova;
    };

    Staged stage(std::uint64_t bytes);
    void submit_batch();
    // After a time-out: true if all was done after all. Throws Failure otherwise.
    bool ended_after_all(const std::string& message);
    // One doorbell: `commands` (at most capacity_ less one), and their performance records back.
    void submit_chunk(std::vector<talus_drv_command> commands);
    [[noreturn]] void explain_failure(const talus_drv_completion& completion);
    [[noreturn]] void lose(talus_drv_status status, const char* what);

    TalusCard& card_;
    talus_drv_queue* queue_ = nullptr;
    bool broken_ = false;
    std::uint32_t capacity_ = 0; // commands in flight
    std::vector<talus_drv_command> commands_;
    std::vector<Launched> launched_;
    std::vector<Arrival> arrivals_;
    Staging staging_;
    // Argument blocks of a batch: built in host memory, sent by the batch's first command.
    static constexpr std::uint64_t kArgumentBytes = 64 * 1024;
    talus_drv_host_buffer arguments_{};
    std::uint64_t device_arguments_ = 0;
    std::uint64_t arguments_used_ = 0;
    // Performance records of the launches of one doorbell.
    talus_drv_host_buffer records_{};
    std::uint64_t device_records_ = 0;

    std::uint64_t submitted_ = 0;                  // commands of earlier batches
    std::uint64_t clock_ = 0;                      // sum of the batches' cycles
    std::map<std::uint64_t, std::uint64_t> marks_; // position -> clock_, of the latest batch
    runtime::DeviceProfile profile_;
};

// The table of functions over the two classes.
const kernels::Target* talus_target();

} // namespace talus::targets
