// NVIDIA GPUs through libtalus_cuda.so, so that nothing else needs CUDA. The library stays loaded
// as long as a device of it is open.
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include <dlfcn.h>

#include "sdk/common/error.hpp"
#include "sdk/common/paths.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::targets {

namespace {

class CudaDevice final : public runtime::Device {
  public:
    CudaDevice(void* library, const kernels::Target* target, int ordinal) : library_(library) {
        target_ = target;
        kernels::Diagnostic diagnostic;
        const kernels::Status status = target_->open(ordinal, &handle_, &diagnostic);
        if (status != kernels::Status::kOk) {
            dlclose(library_);
            runtime::check(status, diagnostic, "cuda");
        }
        const kernels::Capabilities& found = capabilities();
        info_.target = "cuda";
        info_.name = std::string("cuda: ") + found.name;
        info_.note = found.note;
        info_.memory_bytes = found.memory_bytes;
        info_.clock = "gpu";
    }
    ~CudaDevice() override {
        target_->close(handle_);
        dlclose(library_);
    }

  private:
    void* library_;
};

} // namespace

runtime::DevicePtr open_cuda(const talus_device_options& options) {
    int ordinal = 0;
    if (options.device != nullptr) {
        const std::string_view text = options.device;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ordinal);
        if (error != std::errc{} || end != text.data() + text.size())
            fail(TALUS_ERROR_INVALID_ARGUMENT, "cuda: '{}' is not a device's ordinal", text);
    }
    std::vector<std::string> candidates;
    const char* environment = std::getenv("TALUS_CUDA_LIBRARY");
    if (options.kernels != nullptr) {
        candidates.emplace_back(options.kernels);
    } else if (environment != nullptr && *environment != '\0') {
        candidates.emplace_back(environment);
    } else {
        for (const std::filesystem::path& folder : common::library_folders())
            candidates.push_back((folder / "libtalus_cuda.so").string());
        candidates.emplace_back("libtalus_cuda.so");
    }
    void* library = nullptr;
    std::string reason;
    for (const std::string& candidate : candidates) {
        library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library != nullptr)
            break;
        const char* why = dlerror();
        if (reason.empty() || std::filesystem::exists(candidate))
            reason = why == nullptr ? candidate : why;
    }
    if (library == nullptr)
        fail(TALUS_ERROR_UNAVAILABLE, "cuda: the library cannot be loaded: {}", reason);
    const auto entry =
        reinterpret_cast<kernels::TargetEntry>(dlsym(library, kernels::kTargetEntry));
    std::array<char, 512> message{};
    const kernels::Target* target =
        entry == nullptr ? nullptr : entry(kernels::kTargetAbi, message.data(), message.size());
    if (target == nullptr) {
        dlclose(library);
        if (entry == nullptr)
            fail(TALUS_ERROR_UNAVAILABLE, "cuda: the library is not Talus's");
        fail(TALUS_ERROR_UNAVAILABLE, "cuda: {}", message.data());
    }
    return std::make_shared<CudaDevice>(library, target, ordinal);
}

} // namespace talus::targets
