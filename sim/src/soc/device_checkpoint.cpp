// A booted device in a file: what it consists of, when it may be written, and how it comes back.
#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "talus/hw/contract_hash.h"

#include "device.hpp"

namespace talus::sim {

namespace {

/// Events that the firmware may take to notice that its client is gone, when the simulator ends.
constexpr unsigned kSettleEvents = 1'000'000;

} // namespace

CheckpointIdentity Device::identity() const {
    return {TALUS_CONTRACT_HASH, checkpoint_hash(options_.rom), options_.config.describe()};
}

/// A host's part is not in it: rings and windows point into memory that only that host has. So it
/// is the device as a function-level reset leaves it, and the next client finds it so.
void Device::checkpoint(Checkpoint& state) {
    state.section("time");
    state(events_, tick_fresh_, last_tick_);
    state(fabric_);
    state(cores_);
    state.section("system");
    state(clint_, interrupts_, host_interface_, link_, queue_engine_, dma_, governor_, grid_,
          sensors_, ecc_, uart_);
}

void Device::save(const std::string& path) {
    const auto refuse = [&](const std::string& why) {
        throw CheckpointError(fmt::format("checkpoint {} not written: {}", path, why));
    };
    if (!events_.empty()) {
        refuse("the device is at work; wait until it is parked");
    }
    if (host_interface_.enabled()) {
        refuse("a host has its queues enabled; end that program, or reset the function");
    }
    if (dma_.busy()) {
        refuse("a DMA channel is under way");
    }
    if (const std::string why = cores_.at_work(); !why.empty()) {
        refuse(why);
    }
    // What depends on the past only through calendars and open rows counts from here in both.
    fabric_.rebase(events_.now());
    const auto begin = std::chrono::steady_clock::now();
    Checkpoint state(Checkpoint::Direction::kSave, path, identity());
    checkpoint(state);
    state.finish();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    diagnostics_.info("checkpoint {} written: {} KiB in {:.2f} s", path,
                      std::filesystem::file_size(path) >> 10, took.count());
}

void Device::save_for_next_client() {
    try {
        save(options_.checkpoint_path);
    } catch (const CheckpointError& error) {
        diagnostics_.host("{}", error.what());
    }
}

/// The simulator ends, perhaps before the firmware has heard that its client is gone.
void Device::settle() {
    if (inbox_.take(HostInbox::kFundamentalReset) != 0) {
        reset_device();
    } else if (inbox_.take(HostInbox::kFunctionReset) != 0) {
        reset_function();
    }
    for (unsigned count = 0; count < kSettleEvents && !events_.empty(); ++count) {
        run_next_event();
    }
}

void Device::restore(const std::string& path) {
    Checkpoint state(Checkpoint::Direction::kRestore, path, identity());
    checkpoint(state);
    state.finish();
    fabric_.rebase(events_.now());
    next_publish_ = 0;
    publish_clock();
    diagnostics_.info("restored from checkpoint {}", path);
}

} // namespace talus::sim
