#include "sdk/runtime/live_model.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "sdk/common/error.hpp"

namespace talus::runtime {

namespace {

// Denials of targets that no device stands for any more name nothing.
void drop_denials(plan::Options& options, const std::vector<DevicePtr>& devices) {
    std::erase_if(options.deny, [&](const std::string& deny) {
        const std::string target = deny.substr(0, deny.find(':'));
        return target != "cpu" && std::none_of(devices.begin(), devices.end(), [&](const auto& d) {
                   return d->info().target == target;
               });
    });
}

} // namespace

LiveModel::LiveModel(ModelPtr model, bool keep_lost)
    : keep_lost_(keep_lost), current_(std::move(model)), explanations_{current_->explanation()} {}

ModelPtr LiveModel::current() const {
    const std::lock_guard lock(mutex_);
    return current_;
}

const std::string& LiveModel::explanation() const {
    const std::lock_guard lock(mutex_);
    return explanations_.back();
}

std::string LiveModel::recovery_log() const {
    const std::lock_guard lock(mutex_);
    return log_;
}

ModelPtr LiveModel::recover(const ModelPtr& failed, talus_status status, const std::string& reason,
                            bool last) {
    const std::lock_guard lock(mutex_);
    if (current_ != failed)
        return current_;
    if (keep_lost_)
        fail(status, "{}", reason);
    plan::Options options = current_->plan().options;
    std::vector<DevicePtr> devices;
    std::string log;
    for (const DevicePtr& device : current_->plan().devices) {
        const std::string& name = device->info().name;
        if (last && device->hung()) {
            if (options.strict)
                fail(status, "{}; strict, and {} hangs again and again", reason, name);
            log += fmt::format("{} hangs again and again, its operators run elsewhere ({})\n", name,
                               reason);
            continue;
        }
        if (!device->lost()) {
            devices.push_back(device);
            continue;
        }
        try {
            devices.push_back(device->reopen());
            log += fmt::format("{} was lost and is open again ({})\n", name, reason);
        } catch (const Failure& failure) {
            if (options.strict)
                fail(TALUS_ERROR_DEVICE_LOST, "{}; strict, and it cannot be opened again: {}",
                     reason, failure.what());
            log +=
                fmt::format("{} was lost and cannot be opened again, its operators run elsewhere "
                            "({}; {})\n",
                            name, reason, failure.what());
        }
    }
    log_ += log;
    if (devices == current_->plan().devices) {
        log_ += fmt::format("a run did not end and was repeated ({})\n", reason);
        return current_;
    }
    drop_denials(options, devices);
    current_ = current_->replan(std::move(devices), std::move(options));
    explanations_.push_back(current_->explanation());
    return current_;
}

void run_with_recovery(LiveModel& model, std::unique_ptr<Request>& request) {
    ModelPtr latest = request->model();
    talus_status status = TALUS_SUCCESS;
    std::string reason;
    for (int recoveries = 0;; ++recoveries) {
        const ModelPtr next =
            recoveries == 0 ? nullptr
                            : model.recover(latest, status, reason, recoveries == kMostRecoveries);
        try {
            // The new device may be lost while the request makes itself ready on it.
            if (next != nullptr) {
                latest = next;
                auto fresh = std::make_unique<Request>(next);
                fresh->take_over(*request);
                request = std::move(fresh);
            }
            request->run();
            return;
        } catch (const Failure& failure) {
            status = failure.status();
            if ((status != TALUS_ERROR_DEVICE_LOST && status != TALUS_ERROR_TIMEOUT) ||
                recoveries == kMostRecoveries)
                throw;
            reason = failure.what();
        }
    }
}

} // namespace talus::runtime
