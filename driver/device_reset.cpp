// The part of device.hpp that resets the device.
#include "device.hpp"
#include "error.hpp"

#include "talus/hw/pci.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

namespace talus::driver {
namespace {

// PCIe gives a function 100 ms after a function-level reset (PCI Express Base, 6.6.2): so long may
// firmware that has survived it take to answer.
constexpr std::uint64_t kFlrLimitUs = 100'000;

} // namespace

// From the reset to a device that takes commands. admin_mutex_ is held.
void Device::restart(talus_drv_rung rung) {
    const auto end_queues = [this] {
        ++epoch_;
        ready_ = false;
    };
    std::uint64_t limit_us = options_.boot_timeout_us;
    switch (rung) {
    case TALUS_DRV_RUNG_FLR:
        if (!has_function_level_reset())
            throw Error(TALUS_DRV_UNSUPPORTED,
                        "device " + name_ + ": the function has no function-level reset");
        end_queues();
        function_level_reset();
        limit_us = std::min(limit_us, kFlrLimitUs);
        break;
    case TALUS_DRV_RUNG_HOT:
        if (!transport_->hot_reset())
            throw Error(TALUS_DRV_UNSUPPORTED, "device " + name_ + ": there is no bus to reset, " +
                                                   "or functions of others are on it");
        end_queues();
        break;
    default:
        end_queues();
        transport_->reset();
        break;
    }
    enable_memory(); // the reset put config space back: until here the BARs read all ones
    {
        const std::lock_guard lost_lock(lost_mutex_);
        lost_ = false;
    }
    const std::uint32_t state = registers_.frozen(FROZEN_BOOT_STATE);
    if (rung == TALUS_DRV_RUNG_FLR && state == TALUS_BOOT_PANIC)
        throw Error(TALUS_DRV_FIRMWARE,
                    "device " + name_ + ": the firmware has panicked, which a " +
                        "function-level reset does not cure; " + registers_.last_state());
    // The kernel's own means may be no more than a function-level reset.
    if (rung == TALUS_DRV_RUNG_FUNDAMENTAL && state == TALUS_BOOT_READY)
        reset_to_rom(registers_, waiter_, limit_us);
    boot_firmware(registers_, waiter_, options_.firmware, limit_us);
    bring_up(limit_us);
}

void Device::reopen_windows() {
    data_memory_.for_each_arena([this](const DmaRegion& arena) {
        guard([&] { set_window(windows_.at(arena.iova()), arena.iova(), arena.bytes()); });
    });
}

talus_drv_rung Device::reset(std::string* reason) {
    if (daemon_ != nullptr)
        return reset_client(reason);
    std::string why;
    const auto failed = [&](const char* rung, const Error& error) {
        why = std::string("after the ") + rung + ": " + error.what() + (why.empty() ? "" : "; ") +
              why;
    };
    talus_drv_rung rung = TALUS_DRV_RUNG_FLR;
    {
        const std::lock_guard lock(admin_mutex_);
        for (bool up = false; !up;) {
            try {
                restart(rung);
                up = true;
            } catch (const Error& error) {
                if (rung == TALUS_DRV_RUNG_FUNDAMENTAL ||
                    error.status() == TALUS_DRV_VERSION_MISMATCH) {
                    lose(error.what());
                    throw;
                }
                if (rung == TALUS_DRV_RUNG_FLR)
                    failed("function-level reset", error);
                else if (error.status() != TALUS_DRV_UNSUPPORTED) // else: there was none
                    failed("hot reset", error);
                rung = static_cast<talus_drv_rung>(rung + 1);
            }
        }
    }
    reopen_windows();
    if (reason != nullptr)
        *reason += why;
    return rung;
}

talus_drv_recovery Device::reset_by(talus_drv_rung rung) {
    const auto began = std::chrono::steady_clock::now();
    std::string reason;
    if (rung == TALUS_DRV_RUNG_NONE) {
        rung = reset(&reason);
    } else if (rung < TALUS_DRV_RUNG_FLR || rung > TALUS_DRV_RUNG_FUNDAMENTAL) {
        throw Error(TALUS_DRV_INVALID_ARGUMENT, "rung " + std::to_string(rung) + " is no reset");
    } else if (daemon_ != nullptr) {
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "device " + name_ + " belongs to talusd, which chooses " + "how it is reset");
    } else {
        {
            const std::lock_guard lock(admin_mutex_);
            try {
                restart(rung);
            } catch (const Error& error) {
                if (error.status() != TALUS_DRV_UNSUPPORTED) // else: nothing was done
                    lose(error.what());
                throw;
            }
        }
        reopen_windows();
    }
    talus_drv_recovery done{};
    done.rung = rung;
    done.wall_us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                                  std::chrono::steady_clock::now() - began)
                                                  .count());
    std::snprintf(done.reason, sizeof done.reason, "%s", reason.c_str());
    return done;
}

} // namespace talus::driver
