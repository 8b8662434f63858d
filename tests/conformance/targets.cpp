#include "targets.hpp"

#include <dlfcn.h>

#if TALUS_CONFORMANCE_TALUS
#include "sdk/targets/talus_device.hpp"
#endif

namespace talus::conformance {
namespace {

const kernels::Target* load_cuda(const std::string& path, std::string& reason) {
    // Never closed: the target's functions are used until the process ends.
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        reason = dlerror();
        return nullptr;
    }
    const auto entry =
        reinterpret_cast<kernels::TargetEntry>(dlsym(library, kernels::kTargetEntry));
    if (entry == nullptr) {
        reason = path + " is not a target library";
        return nullptr;
    }
    char message[512] = {};
    const kernels::Target* target = entry(kernels::kTargetAbi, message, sizeof message);
    if (target == nullptr)
        reason = message;
    return target;
}

} // namespace

std::vector<std::string> target_names() {
    return {
#if TALUS_CONFORMANCE_CPU
        "cpu", "cuda-bodies",
#endif
#if TALUS_CONFORMANCE_TALUS
            "talus",
#endif
            "cuda"
    };
}

const kernels::Target* find_target(const std::string& name, const TargetPaths& paths,
                                   std::string& reason) {
#if TALUS_CONFORMANCE_CPU
    if (name == "cpu")
        return kernels::cpu_target();
    if (name == "cuda-bodies")
        return cuda_bodies_target();
#endif
#if TALUS_CONFORMANCE_TALUS
    if (name == "talus") // the simulated device, unless TALUS_DEVICE names another
        return targets::talus_target();
#endif
    if (name == "cuda")
        return load_cuda(paths.cuda_library, reason);
    reason = "this build has no target of that name";
    return nullptr;
}

} // namespace talus::conformance
