// The part of device.hpp for a device that talusd owns.
#include "daemon_transport.hpp"
#include "device.hpp"

namespace talus::driver {

void Device::join() {
    const std::lock_guard lock(admin_mutex_);
    daemon_->on_reset([this](const std::string& why) {
        {
            const std::lock_guard reason_lock(lost_mutex_);
            reset_reason_ = why;
        }
        ++epoch_; // queues of before stop here
    });
    client_data_.resize(IovaSpace::kPage);
    admin_data_ = {client_data_.data(), 0, client_data_.size()};
    accept_identity(daemon_->identity());
    gzip_ = (registers_.frozen(FROZEN_CAP) & TALUS_CAP_GZIP) != 0;
    doorbells_.use_shadow(daemon_->shadow_tails(), daemon_->shadow_events());
    shadow_in_use_ = true;
    ready_ = true;
}

// talusd ends what this client has; only where that fails is it the card's turn. What is mapped
// stays mapped, but the windows to it are closed.
talus_drv_rung Device::reset_client(std::string* reason) {
    std::string why;
    talus_drv_rung rung{};
    {
        const std::lock_guard lock(admin_mutex_);
        ++epoch_;
        rung = guard([&] { return static_cast<talus_drv_rung>(daemon_->reset_client(why)); });
    }
    if (reason != nullptr)
        *reason += why;
    data_memory_.for_each_arena([this](const DmaRegion& arena) {
        guard([&] { set_window(windows_.at(arena.iova()), arena.iova(), arena.bytes()); });
    });
    return rung;
}

} // namespace talus::driver
