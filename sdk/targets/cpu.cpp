// The host's own cores. Linked in; always there.
#include <algorithm>
#include <thread>

#include "sdk/common/error.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::targets {

namespace {

class CpuDevice final : public runtime::Device {
  public:
    CpuDevice() {
        target_ = kernels::cpu_target();
        kernels::Diagnostic diagnostic;
        runtime::check(target_->open(0, &handle_, &diagnostic), diagnostic, "cpu");
        info_.target = "cpu";
        info_.name = "cpu";
        info_.note = capabilities().note;
    }
    ~CpuDevice() override {
        if (handle_ != nullptr)
            target_->close(handle_);
    }

    runtime::WorkerPool* workers() override { return &pool_; }

  private:
    runtime::WorkerPool pool_{std::max(std::thread::hardware_concurrency(), 1U)};
};

} // namespace

runtime::DevicePtr open_cpu() {
    return std::make_shared<CpuDevice>();
}

} // namespace talus::targets
