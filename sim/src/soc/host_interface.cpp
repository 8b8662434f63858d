#include "host_interface.hpp"

#include "talus/hw/contract_hash.h"

namespace talus::sim {

namespace {

/// Extends a 32-bit counter register to the page's 64 bits. A value that falls back without having
/// been near the end is a restart of the guest's count.
std::uint64_t extend(std::uint64_t old_value, std::uint32_t value) {
    const auto low = static_cast<std::uint32_t>(old_value);
    const std::uint64_t high = old_value & ~std::uint64_t{0xffffffffu};
    if (value >= low) {
        return high | value;
    }
    const bool wrapped = low - value > 0x80000000u;
    return wrapped ? (high + (std::uint64_t{1} << 32)) | value : value;
}

} // namespace

HostInterface::HostInterface(InterruptController& interrupts, std::uint32_t capabilities,
                             std::uint32_t generation, std::uint32_t clock_khz,
                             talus_status_page* page)
    : interrupts_(interrupts), clock_khz_(clock_khz), page_(page) {
    frozen_[FROZEN_MAGIC / 4] = TALUS_MAGIC;
    frozen_[FROZEN_ABI_VERSION / 4] = TALUS_ABI_VERSION;
    frozen_[FROZEN_CONTRACT_LO / 4] = static_cast<std::uint32_t>(TALUS_CONTRACT_HASH);
    frozen_[FROZEN_CONTRACT_HI / 4] = static_cast<std::uint32_t>(TALUS_CONTRACT_HASH >> 32);
    frozen_[FROZEN_CAP / 4] = capabilities;
    frozen_[FROZEN_GENERATION / 4] = generation;
    *page_ = {};
    reset_snapshot(true);
}

// --- socket thread -----------------------------------------------------------------------------

std::uint32_t HostInterface::host_read_frozen(std::uint32_t offset) const {
    const std::size_t word = offset / 4;
    return word < kFrozenWords ? frozen_[word].load(std::memory_order_acquire) : 0;
}

std::uint32_t HostInterface::host_read_controller(std::uint32_t offset) const {
    const std::size_t word = offset / 4;
    return word < kControllerWords ? controller_[word].load(std::memory_order_acquire) : 0;
}

void HostInterface::host_write_frozen(std::uint32_t offset, std::uint32_t value) {
    const bool writable =
        offset == FROZEN_MB_COMMAND || (offset >= FROZEN_MB_ARG0 && offset <= FROZEN_MB_ARG3);
    if (writable) {
        frozen_[offset / 4].store(value, std::memory_order_release);
    }
}

void HostInterface::host_write_controller(std::uint32_t offset, std::uint32_t value) {
    if (offset != CTRL_STATUS && offset / 4 < kControllerWords) {
        controller_[offset / 4].store(value, std::memory_order_release);
    }
}

void HostInterface::begin_reset(bool fundamental) {
    const std::lock_guard lock(mutex_);
    epoch_.fetch_add(1, std::memory_order_acq_rel);
    reset_snapshot(fundamental);
}

void HostInterface::reset_snapshot(bool fundamental) {
    const std::uint32_t epoch = epoch_.load(std::memory_order_relaxed);
    frozen_[FROZEN_RESET_EPOCH / 4] = epoch;
    for (auto& word : controller_) {
        word = 0;
    }
    std::atomic_ref(page_->reset_epoch).store(epoch);
    if (fundamental) {
        for (const unsigned offset :
             {FROZEN_BOOT_STATE, FROZEN_POST_CODE, FROZEN_FAIL_CODE, FROZEN_MB_COMMAND,
              FROZEN_MB_STATUS, FROZEN_MB_ARG0, FROZEN_MB_ARG1, FROZEN_MB_ARG2, FROZEN_MB_ARG3,
              FROZEN_MB_RESULT0, FROZEN_MB_RESULT1}) {
            frozen_[offset / 4] = 0;
        }
        *page_ = {};
        page_->clock_khz = clock_khz_;
        page_->held = held_;
        page_->free_running = free_running_;
        std::atomic_ref(page_->reset_epoch).store(epoch);
    }
}

// --- timing thread -----------------------------------------------------------------------------

void HostInterface::publish(std::atomic<std::uint32_t>& word, std::uint32_t value) {
    const std::lock_guard lock(mutex_);
    if (epoch_.load(std::memory_order_relaxed) == device_epoch_) {
        word.store(value, std::memory_order_release);
    }
}

template <typename T>
void HostInterface::publish_page(T& field, T value) {
    const std::lock_guard lock(mutex_);
    if (epoch_.load(std::memory_order_relaxed) == device_epoch_) {
        std::atomic_ref(field).store(value, std::memory_order_release);
    }
}

void HostInterface::publish_boot() {
    publish(frozen_[FROZEN_FAIL_CODE / 4], fail_code_);
    publish(frozen_[FROZEN_POST_CODE / 4], post_code_);
    publish(frozen_[FROZEN_BOOT_STATE / 4], boot_state_);
    publish_page(page_->fail_code, fail_code_);
    publish_page(page_->post_code, post_code_);
    publish_page(page_->boot_state, boot_state_);
}

void HostInterface::publish_mailbox() {
    publish(frozen_[FROZEN_MB_RESULT0 / 4], mailbox_results_[0]);
    publish(frozen_[FROZEN_MB_RESULT1 / 4], mailbox_results_[1]);
    publish(frozen_[FROZEN_MB_STATUS / 4], mailbox_status_);
}

bool HostInterface::admit_frozen(Cycle now, std::uint32_t offset, std::uint32_t value) {
    if (offset == FROZEN_MB_COMMAND) {
        mailbox_command_ = value;
        interrupts_.raise(TALUS_IRQ_MAILBOX, now);
        return true;
    }
    if (offset >= FROZEN_MB_ARG0 && offset <= FROZEN_MB_ARG3) {
        mailbox_args_[(offset - FROZEN_MB_ARG0) / 4] = value;
    }
    return false;
}

bool HostInterface::admit_controller(Cycle now, std::uint32_t offset, std::uint32_t value) {
    if (offset == CTRL_STATUS || offset / 4 >= kControllerWords) {
        return false;
    }
    device_controller_[offset / 4] = value;
    if (offset == CTRL_ENABLE) {
        interrupts_.raise(TALUS_IRQ_CONTROLLER, now);
        return true;
    }
    return false;
}

void HostInterface::complete_reset(Cycle now, bool fundamental) {
    device_epoch_ = epoch_.load(std::memory_order_acquire);
    device_controller_ = {};
    if (fundamental) {
        boot_state_ = TALUS_BOOT_RESET;
        post_code_ = fail_code_ = mailbox_command_ = mailbox_status_ = 0;
        mailbox_args_ = {};
        mailbox_results_ = {};
        heartbeat_ = completions_ = log_written_ = 0;
    } else {
        interrupts_.raise(TALUS_IRQ_FLR, now);
    }
    scrub_due_ = !fundamental; // a fundamental reset zeroes the memories itself
    controller_status_ = 0;
    publish_boot();
    publish_mailbox(); // an answer that fell between begin_reset() and now must not get lost
}

void HostInterface::checkpoint(Checkpoint& state) {
    const std::lock_guard lock(mutex_);
    state(device_epoch_, boot_state_, post_code_, fail_code_, mailbox_command_, mailbox_status_,
          mailbox_results_, mailbox_args_, controller_status_, scrub_due_, log_written_,
          device_controller_, heartbeat_, completions_);
    for (auto* words : {frozen_.data(), controller_.data()}) {
        const std::size_t count = words == frozen_.data() ? kFrozenWords : kControllerWords;
        for (std::size_t word = 0; word < count; ++word) {
            std::uint32_t value = words[word];
            state(value);
            words[word] = value;
        }
    }
    talus_status_page page = *page_;
    state.bytes(&page, sizeof page);
    if (state.restoring()) {
        page.held = held_;
        page.free_running = free_running_;
        *page_ = page;
        epoch_ = device_epoch_;
    }
}

void HostInterface::set_held(bool held) {
    const std::lock_guard lock(mutex_);
    held_ = held;
    std::atomic_ref(page_->held).store(held, std::memory_order_release);
}

void HostInterface::set_free_running() {
    const std::lock_guard lock(mutex_);
    free_running_ = 1;
    std::atomic_ref(page_->free_running).store(1, std::memory_order_release);
}

void HostInterface::set_clock(Cycle now) {
    publish_page(page_->device_clock, std::uint64_t{now});
}

void HostInterface::set_parked(bool parked) {
    publish_page(page_->parked, std::uint32_t{parked});
}

void HostInterface::set_sensors(std::int32_t temperature_mc, std::uint32_t power_mw) {
    publish_page(page_->temperature_mc, temperature_mc);
    publish_page(page_->power_mw, power_mw);
}

void HostInterface::set_energy(std::uint64_t energy_uj, std::uint32_t unit_clock_khz,
                               std::uint32_t reason) {
    publish_page(page_->energy_uj, energy_uj);
    publish_page(page_->unit_clock_khz, unit_clock_khz);
    publish_page(page_->clock_reason, reason);
}

void HostInterface::set_ecc(const EccCounters& counters) {
    for (unsigned memory = 0; memory < TALUS_ECC_MEMORIES; ++memory) {
        publish_page(page_->ecc_corrected[memory], counters.corrected[memory]);
        publish_page(page_->ecc_uncorrectable[memory], counters.uncorrectable[memory]);
    }
}

void HostInterface::count_completion() {
    ++completions_;
    publish_page(page_->commands_done, std::uint64_t{completions_});
}

std::uint32_t HostInterface::read32(Cycle, std::uint32_t offset) {
    switch (offset) {
    case HOSTIF_BOOT_STATE:
        return boot_state_;
    case HOSTIF_POST_CODE:
        return post_code_;
    case HOSTIF_FAIL_CODE:
        return fail_code_;
    case HOSTIF_RESET_EPOCH:
        return device_epoch_;
    case HOSTIF_MB_COMMAND:
        return mailbox_command_;
    case HOSTIF_MB_STATUS:
        return mailbox_status_;
    case HOSTIF_MB_ARG0:
    case HOSTIF_MB_ARG1:
    case HOSTIF_MB_ARG2:
    case HOSTIF_MB_ARG3:
        return mailbox_args_[(offset - HOSTIF_MB_ARG0) / 4];
    case HOSTIF_MB_RESULT0:
    case HOSTIF_MB_RESULT1:
        return mailbox_results_[(offset - HOSTIF_MB_RESULT0) / 4];
    case HOSTIF_CTRL_ENABLE:
        return device_controller_[CTRL_ENABLE / 4];
    case HOSTIF_CTRL_STATUS:
        return controller_status_;
    case HOSTIF_AQ_ENTRIES:
        return device_controller_[CTRL_AQ_ENTRIES / 4];
    case HOSTIF_AQ_VECTOR:
        return device_controller_[CTRL_AQ_VECTOR / 4];
    case HOSTIF_ASQ:
        return device_controller_[CTRL_ASQ_LO / 4];
    case HOSTIF_ASQ + 4:
        return device_controller_[CTRL_ASQ_HI / 4];
    case HOSTIF_ACQ:
        return device_controller_[CTRL_ACQ_LO / 4];
    case HOSTIF_ACQ + 4:
        return device_controller_[CTRL_ACQ_HI / 4];
    case HOSTIF_HEARTBEAT:
        return static_cast<std::uint32_t>(heartbeat_);
    default:
        return 0;
    }
}

void HostInterface::write32(Cycle now, std::uint32_t offset, std::uint32_t value) {
    switch (offset) {
    case HOSTIF_BOOT_STATE:
        boot_state_ = value;
        publish_boot();
        break;
    case HOSTIF_POST_CODE:
        post_code_ = value;
        publish_boot();
        break;
    case HOSTIF_FAIL_CODE:
        fail_code_ = value;
        publish_boot();
        break;
    case HOSTIF_MB_STATUS:
        mailbox_status_ = value;
        publish_mailbox();
        break;
    case HOSTIF_MB_RESULT0:
    case HOSTIF_MB_RESULT1:
        mailbox_results_[(offset - HOSTIF_MB_RESULT0) / 4] = value;
        publish_mailbox();
        break;
    case HOSTIF_CTRL_STATUS:
        // RDY cannot outlive the enable that it answers, whatever firmware believes: an FLR may
        // have come in between.
        if (device_controller_[CTRL_ENABLE / 4] == 0) {
            value &= ~TALUS_STATUS_RDY;
        }
        if ((value & TALUS_STATUS_RDY) != 0 && std::exchange(scrub_due_, false) && scrub_) {
            scrub_();
        }
        controller_status_ = value;
        publish(controller_[CTRL_STATUS / 4], value);
        break;
    case HOSTIF_HEARTBEAT:
        heartbeat_ = extend(heartbeat_, value);
        publish_page(page_->heartbeat_clock, std::uint64_t{now});
        publish_page(page_->heartbeat, std::uint64_t{heartbeat_});
        break;
    case HOSTIF_LOG_WRITTEN:
        log_written_ = extend(log_written_, value);
        publish_page(page_->log_written, std::uint64_t{log_written_});
        break;
    default:
        break;
    }
}

} // namespace talus::sim
