// A model that outlives its devices: when one is lost, it is opened anew, or done without, and the
// graph is planned again.
#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "sdk/runtime/model.hpp"
#include "sdk/runtime/request.hpp"

namespace talus::runtime {

// Thread-safe.
class LiveModel {
  public:
    explicit LiveModel(ModelPtr model, bool keep_lost = false);

    // The latest plan. All plans share one graph.
    ModelPtr current() const;
    // Of the latest plan; lives as long as this object.
    const std::string& explanation() const;
    // A line for each recovery: which device, why, and what came of it.
    std::string recovery_log() const;

    // What a run is repeated on that ended on `failed` with DEVICE_LOST or TIMEOUT (`status`): the
    // same, if its devices live; else what replaces it. If another request has brought that about
    // already, no device is touched. `last`: devices that hung are done without. Throws Failure
    // `status` if nothing may replace it.
    ModelPtr recover(const ModelPtr& failed, talus_status status, const std::string& reason,
                     bool last);

  private:
    const bool keep_lost_;
    mutable std::mutex mutex_;
    ModelPtr current_;
    std::deque<std::string> explanations_; // addresses stay
    std::string log_;
};

// Runs `request`; as often as a device is lost or hangs on the way, replaces it by one over what
// `model` has recovered, with the same inputs, outputs and statistics, and runs again. Ends with
// DEVICE_LOST or TIMEOUT after kMostRecoveries. Throws Failure as Request::run() does.
void run_with_recovery(LiveModel& model, std::unique_ptr<Request>& request);

inline constexpr int kMostRecoveries = 3; // of one run: devices that die of it are not fed for ever

} // namespace talus::runtime
