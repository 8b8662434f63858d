#include "sdk/runtime/device.hpp"

#include <cstdlib>
#include <cstring>
#include <string_view>

#include "sdk/common/error.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::runtime {

namespace {

talus_status status_of(kernels::Status status) {
    switch (status) {
    case kernels::Status::kOk:
        return TALUS_SUCCESS;
    case kernels::Status::kUnsupported:
        return TALUS_ERROR_UNSUPPORTED;
    case kernels::Status::kBadArgument:
        return TALUS_ERROR_BAD_INPUT;
    case kernels::Status::kIndexOutOfRange:
        return TALUS_ERROR_INDEX_OUT_OF_RANGE;
    case kernels::Status::kOutOfMemory:
        return TALUS_ERROR_OUT_OF_MEMORY;
    case kernels::Status::kDeviceError:
        return TALUS_ERROR_DEVICE;
    case kernels::Status::kUnavailable:
        return TALUS_ERROR_UNAVAILABLE;
    case kernels::Status::kDeviceLost:
        return TALUS_ERROR_DEVICE_LOST;
    case kernels::Status::kTimedOut:
        return TALUS_ERROR_TIMEOUT;
    }
    return TALUS_ERROR_INTERNAL;
}

} // namespace

void check(kernels::Status status, const kernels::Diagnostic& diagnostic,
           const std::string& where) {
    if (status != kernels::Status::kOk)
        fail(status_of(status), "{}: {}", where, diagnostic.text);
}

void* Device::allocate(std::size_t bytes, Placement, Placement* got) {
    void* address = nullptr;
    kernels::Diagnostic diagnostic;
    check(target_->allocate(handle_, bytes, &address, &diagnostic), diagnostic, info_.name);
    if (got != nullptr)
        *got = Placement::kLarge;
    return address;
}

void Device::release(void* address) {
    target_->release(handle_, address);
}

void* Device::host_allocate(std::size_t bytes) {
    constexpr std::size_t kAlignment = 64;
    void* memory = std::aligned_alloc(kAlignment, (bytes + kAlignment) / kAlignment * kAlignment);
    if (memory == nullptr)
        fail(TALUS_ERROR_OUT_OF_MEMORY, "no host memory for a buffer of {} bytes", bytes);
    return memory;
}

void Device::host_release(void* memory) {
    std::free(memory);
}

DevicePtr Device::reopen() const {
    fail(TALUS_ERROR_UNAVAILABLE, "{} cannot be opened anew", info_.name);
}

bool Device::take_profile(kernels::Stream*, DeviceProfile&) {
    return false;
}

DevicePtr open_device(const talus_device_options& options) {
    const std::string_view target = options.target == nullptr ? "cpu" : options.target;
    if (target == "cpu")
        return targets::open_cpu();
    if (target == "cuda")
        return targets::open_cuda(options);
    if (target == "talus")
        return targets::open_talus(options);
    fail(TALUS_ERROR_INVALID_ARGUMENT, "there is no target '{}'; targets are talus, cuda and cpu",
         target);
}

DeviceMemory::DeviceMemory(DevicePtr device, std::size_t bytes, Placement wanted)
    : device_(std::move(device)), bytes_(bytes) {
    if (bytes > 0)
        address_ = device_->allocate(bytes, wanted, &placement_);
}

DeviceMemory::~DeviceMemory() {
    if (address_ != nullptr)
        device_->release(address_);
}

} // namespace talus::runtime
