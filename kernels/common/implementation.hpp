// What an operator's folder provides per target. kernels/<op>/cpu.cpp defines `const HostKernel
// talus::kernels::<op>::kCpu`, cuda.cu `const CudaKernel ...::kCuda`, talus.cpp `const TalusKernel
// ...::kTalus`. A target's own file (cpu_target.cpp, cuda_target.cu, the SDK's runtime for talus)
// looks them up in the generated registry and does the rest.
#pragma once

#include "kernels/common/target.hpp"
#include "kernels/common/types.hpp"

namespace talus::kernels {

// The operator's shapes and types have been checked by Operator::infer before any of these runs.
struct HostKernel {
    Status (*supports)(const Node& node, Diagnostic* reason);
    size_t (*packed_bytes)(const Node& node);
    Status (*prepack)(const Node& node, void* packed, Diagnostic* diagnostic);
    size_t (*workspace_bytes)(const Node& node);
    Status (*launch)(const Node& node, const void* packed, void* workspace, Diagnostic* diagnostic);
};

// The host's half of a kernel of the accelerator: decides what it can run, packs constants into the
// layout that device.c reads, and encodes one launch's argument block (args.h). All addresses are
// device physical addresses; TensorView::data holds them too.
struct TalusKernel {
    const char* image;   // name of the device image that runs it, without directory or suffix
    uint32_t args_bytes; // size of the argument block

    Status (*supports)(const Node& node, const Capabilities& device, Diagnostic* reason);
    size_t (*packed_bytes)(const Node& node, const Capabilities& device);
    Status (*prepack)(const Node& node, const Capabilities& device, void* packed,
                      Diagnostic* diagnostic);
    size_t (*workspace_bytes)(const Node& node, const Capabilities& device);
    // `error_records` is the address of one talus_kernel_error (error_record.h) per PE of the job.
    Status (*encode)(const Node& node, const Capabilities& device, uint64_t packed,
                     uint64_t workspace, uint64_t error_records, void* args,
                     Diagnostic* diagnostic);
};

} // namespace talus::kernels
