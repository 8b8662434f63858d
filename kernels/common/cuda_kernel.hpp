// What an operator's cuda.cu provides, and what the CUDA target hands it. Only code built by nvcc
// includes this.
#pragma once

#include <cuda_runtime.h>

#include "kernels/common/error_record.h"
#include "kernels/common/types.hpp"

namespace talus::kernels {

class Blas; // kernels/fc/cublaslt.hpp

// The order of faults: the smallest key is the first bag, then the first position in it.
using FaultKey = unsigned long long;
constexpr FaultKey kNoFault = ~0ULL;

// Device memory of a stream: the fault of the launch that runs, and the first of all since the last
// synchronisation.
struct StreamFaults {
    FaultKey key;
    talus_kernel_error first;
};

struct CudaContext {
    cudaStream_t stream;
    StreamFaults* faults; // device memory
    Blas* blas;           // null: cuBLASLt could not be loaded
};

struct CudaKernel {
    const char* op;
    Status (*supports)(const Node& node, Diagnostic* reason);
    size_t (*packed_bytes)(const Node& node);
    Status (*prepack)(const Node& node, void* packed, Diagnostic* diagnostic);
    size_t (*workspace_bytes)(const Node& node);
    Status (*launch)(const CudaContext& context, const Node& node, const void* packed,
                     void* workspace, Diagnostic* diagnostic);
};

// The error of the last launch, if any.
inline Status launched(const char* op, Diagnostic* diagnostic) {
    const cudaError_t error = cudaGetLastError();
    return error == cudaSuccess ? Status::kOk
                                : fail(diagnostic, Status::kDeviceError, "cuda: %s: %s", op,
                                       cudaGetErrorString(error));
}

constexpr int kThreads = 256;

// Blocks of kThreads for `count` threads; callers loop with a grid stride, so that the limit of the
// grid's x dimension is never met.
inline unsigned blocks_for(int64_t count) {
    const int64_t blocks = (count + kThreads - 1) / kThreads;
    return static_cast<unsigned>(blocks < 65535 * 4 ? blocks : 65535 * 4);
}

#if defined(__CUDACC__)
// for (int64_t i : this thread's share of [0, count))
#define TALUS_GRID_STRIDE(i, count)                                                                \
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < (count);     \
         i += static_cast<int64_t>(gridDim.x) * blockDim.x)
#endif

} // namespace talus::kernels
