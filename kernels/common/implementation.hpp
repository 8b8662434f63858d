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
// device physical addresses; TensorView::data holds them too. Activations are dense along their
// last dimension; `kTalusPitch` is the row pitch to place them at.
struct TalusKernel {
    const char* image;   // name of the device image that runs it: kernels/device_images.hpp
    uint32_t args_bytes; // size of the argument block

    Status (*supports)(const Node& node, const Capabilities& device, Diagnostic* reason);
    size_t (*packed_bytes)(const Node& node, const Capabilities& device);
    // On success the diagnostic may hold a note for the user (e.g. "3 weights overflow float16").
    Status (*prepack)(const Node& node, const Capabilities& device, void* packed,
                      Diagnostic* diagnostic);
    size_t (*workspace_bytes)(const Node& node, const Capabilities& device);
    // The grid is that of `device` (grid_rows, grid_columns); the launch uses all of it.
    Status (*encode)(const Node& node, const Capabilities& device, uint64_t packed,
                     uint64_t workspace, void* args, Diagnostic* diagnostic);
    // The error of a job that ended with KERNEL_ERROR: `code` and `detail` are cause and detail of
    // its fault record. Never kOk. Null: the kernel reports no errors of its own.
    Status (*explain)(const Node& node, uint32_t code, const uint64_t detail[4],
                      Diagnostic* diagnostic);
};

constexpr int64_t kTalusPitch = 64; // bytes

// What a packet of the NoC carries, and a channel of DRAM has in one row (packet_bytes and
// channel_interleave_bytes of the default card): tables and weights start at multiples of it, so
// that no block that fits is cut in two.
constexpr int64_t kTalusBlock = 256; // bytes

} // namespace talus::kernels
