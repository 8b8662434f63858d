// The targets that the conformance test can reach in this build.
#pragma once

#include <string>
#include <vector>

#include "kernels/common/target.hpp"

namespace talus::conformance {

struct TargetPaths {
    std::string cuda_library = "libtalus_cuda.so";
};

std::vector<std::string> target_names();

// Null, with the reason, if this build or this machine has no such target.
const kernels::Target* find_target(const std::string& name, const TargetPaths& paths,
                                   std::string& reason);

// The bodies of the CUDA kernels on the CPU (cuda_bodies.cpp).
const kernels::Target* cuda_bodies_target();

} // namespace talus::conformance
