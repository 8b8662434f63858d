// The CUDA target: libtalus_cuda.so.
#include <cuda_runtime.h>

#include <cstring>
#include <memory>
#include <new>

#include "kernels/common/cuda_registry.hpp"
#include "kernels/common/target.hpp"
#include "kernels/fc/cublaslt.hpp"
#include "kernels/tbe/op.hpp"

namespace talus::kernels {
namespace {

constexpr int kOldestMajor = 8; // sm_80

struct CudaDevice {
    int ordinal = 0;
    Capabilities capabilities;
    std::unique_ptr<Blas> blas;
};

struct CudaStream {
    CudaDevice* device = nullptr;
    cudaStream_t stream = nullptr;
    StreamFaults* faults = nullptr;      // device memory
    talus_kernel_error* first = nullptr; // pinned host memory
    bool may_fault = false;              // something that can report a fault has been launched
};

struct CudaEvent {
    CudaDevice* device = nullptr;
    cudaEvent_t event = nullptr;
};

CudaDevice* of(Device* device) {
    return reinterpret_cast<CudaDevice*>(device);
}
CudaStream* of(Stream* stream) {
    return reinterpret_cast<CudaStream*>(stream);
}
CudaEvent* of(Event* event) {
    return reinterpret_cast<CudaEvent*>(event);
}

Status check(cudaError_t error, const char* what, Diagnostic* diagnostic) {
    if (error == cudaSuccess)
        return Status::kOk;
    const Status status =
        error == cudaErrorMemoryAllocation ? Status::kOutOfMemory : Status::kDeviceError;
    return fail(diagnostic, status, "cuda: %s: %s", what, cudaGetErrorString(error));
}

// The runtime's current device belongs to the calling thread.
Status select(const CudaDevice* device, Diagnostic* diagnostic) {
    return check(cudaSetDevice(device->ordinal), "cudaSetDevice", diagnostic);
}

Status open_device(int32_t ordinal, Device** device, Diagnostic* diagnostic) {
    cudaDeviceProp properties{};
    if (const Status status = check(cudaGetDeviceProperties(&properties, ordinal),
                                    "cudaGetDeviceProperties", diagnostic);
        status != Status::kOk)
        return status;
    if (properties.major < kOldestMajor)
        return fail(diagnostic, Status::kUnavailable,
                    "cuda: %s is sm_%d%d; this build needs sm_%d0 or newer", properties.name,
                    properties.major, properties.minor, kOldestMajor);
    std::unique_ptr<CudaDevice> created(new (std::nothrow) CudaDevice);
    if (created == nullptr)
        return fail(diagnostic, Status::kOutOfMemory, "cuda: out of memory");
    created->ordinal = ordinal;
    if (const Status status = select(created.get(), diagnostic); status != Status::kOk)
        return status;
    Capabilities& capabilities = created->capabilities;
    std::snprintf(capabilities.name, sizeof capabilities.name, "%.96s (sm_%d%d)", properties.name,
                  properties.major, properties.minor);
    capabilities.clock = ClockDomain::kGpu;
    capabilities.memory_bytes = properties.totalGlobalMem;
    capabilities.max_workers = 4;
    char reason[160] = {};
    created->blas = Blas::load(reason, sizeof reason);
    if (created->blas != nullptr)
        std::snprintf(capabilities.note, sizeof capabilities.note, "cuBLASLt %zu, TF32 off",
                      created->blas->version());
    else
        std::snprintf(capabilities.note, sizeof capabilities.note,
                      "own SGEMM, because cuBLASLt cannot be loaded: %s", reason);
    *device = reinterpret_cast<Device*>(created.release());
    return Status::kOk;
}

void close_device(Device* device) {
    delete of(device);
}

const Capabilities* capabilities(const Device* device) {
    return &reinterpret_cast<const CudaDevice*>(device)->capabilities;
}

Status allocate(Device* device, size_t bytes, void** address, Diagnostic* diagnostic) {
    if (const Status status = select(of(device), diagnostic); status != Status::kOk)
        return status;
    return check(cudaMalloc(address, bytes > 0 ? bytes : 1), "cudaMalloc", diagnostic);
}

void release(Device* device, void* address) {
    if (select(of(device), nullptr) == Status::kOk)
        cudaFree(address);
}

void stream_destroy(Stream* stream) {
    CudaStream* owned = of(stream);
    if (select(owned->device, nullptr) == Status::kOk) {
        if (owned->stream != nullptr)
            cudaStreamDestroy(owned->stream);
        cudaFree(owned->faults);
        cudaFreeHost(owned->first);
    }
    delete owned;
}

// The state of a stream without faults, in stream order. `initial` outlives every copy.
Status clear_faults(CudaStream* stream, Diagnostic* diagnostic) {
    static const StreamFaults initial{kNoFault, {}};
    return check(cudaMemcpyAsync(stream->faults, &initial, sizeof initial, cudaMemcpyHostToDevice,
                                 stream->stream),
                 "cudaMemcpyAsync", diagnostic);
}

Status stream_create(Device* device, Stream** stream, Diagnostic* diagnostic) {
    if (const Status status = select(of(device), diagnostic); status != Status::kOk)
        return status;
    auto* created = new (std::nothrow) CudaStream;
    if (created == nullptr)
        return fail(diagnostic, Status::kOutOfMemory, "cuda: out of memory");
    created->device = of(device);
    auto attempt = [&](cudaError_t error, const char* what) {
        return check(error, what, diagnostic) == Status::kOk;
    };
    const bool ok =
        attempt(cudaStreamCreateWithFlags(&created->stream, cudaStreamNonBlocking),
                "cudaStreamCreate") &&
        attempt(cudaMalloc(reinterpret_cast<void**>(&created->faults), sizeof(StreamFaults)),
                "cudaMalloc") &&
        attempt(cudaMallocHost(reinterpret_cast<void**>(&created->first), sizeof *created->first),
                "cudaMallocHost") &&
        clear_faults(created, diagnostic) == Status::kOk;
    if (!ok) {
        stream_destroy(reinterpret_cast<Stream*>(created));
        return Status::kDeviceError;
    }
    *stream = reinterpret_cast<Stream*>(created);
    return Status::kOk;
}

Status event_create(Device* device, Event** event, Diagnostic* diagnostic) {
    if (const Status status = select(of(device), diagnostic); status != Status::kOk)
        return status;
    auto* created = new (std::nothrow) CudaEvent;
    if (created == nullptr)
        return fail(diagnostic, Status::kOutOfMemory, "cuda: out of memory");
    created->device = of(device);
    if (const Status status =
            check(cudaEventCreate(&created->event), "cudaEventCreate", diagnostic);
        status != Status::kOk) {
        delete created;
        return status;
    }
    *event = reinterpret_cast<Event*>(created);
    return Status::kOk;
}

void event_destroy(Event* event) {
    if (select(of(event)->device, nullptr) == Status::kOk)
        cudaEventDestroy(of(event)->event);
    delete of(event);
}

Status record(Stream* stream, Event* event, Diagnostic* diagnostic) {
    if (const Status status = select(of(stream)->device, diagnostic); status != Status::kOk)
        return status;
    return check(cudaEventRecord(of(event)->event, of(stream)->stream), "cudaEventRecord",
                 diagnostic);
}

Status wait_event(Stream* stream, Event* event, Diagnostic* diagnostic) {
    if (const Status status = select(of(stream)->device, diagnostic); status != Status::kOk)
        return status;
    return check(cudaStreamWaitEvent(of(stream)->stream, of(event)->event), "cudaStreamWaitEvent",
                 diagnostic);
}

Status synchronize(Stream* stream, Diagnostic* diagnostic) {
    CudaStream* owned = of(stream);
    if (const Status status = select(owned->device, diagnostic); status != Status::kOk)
        return status;
    if (!owned->may_fault)
        return check(cudaStreamSynchronize(owned->stream), "cudaStreamSynchronize", diagnostic);
    Status status = check(cudaMemcpyAsync(owned->first, &owned->faults->first, sizeof *owned->first,
                                          cudaMemcpyDeviceToHost, owned->stream),
                          "cudaMemcpyAsync", diagnostic);
    if (status == Status::kOk)
        status = check(cudaStreamSynchronize(owned->stream), "cudaStreamSynchronize", diagnostic);
    owned->may_fault = false;
    if (status != Status::kOk || owned->first->code == TALUS_KERNEL_OK)
        return status;
    const talus_kernel_error error = *owned->first;
    if (status = clear_faults(owned, diagnostic); status != Status::kOk)
        return status;
    return tbe::report(error, diagnostic);
}

Status elapsed(Event* begin, Event* end, double* seconds, Diagnostic* diagnostic) {
    float milliseconds = 0;
    const Status status =
        check(cudaEventElapsedTime(&milliseconds, of(begin)->event, of(end)->event),
              "cudaEventElapsedTime", diagnostic);
    *seconds = milliseconds * 1e-3;
    return status;
}

Status copy(Stream* stream, void* destination, const void* source, size_t bytes, CopyKind kind,
            Diagnostic* diagnostic) {
    if (bytes == 0)
        return Status::kOk;
    if (const Status status = select(of(stream)->device, diagnostic); status != Status::kOk)
        return status;
    const cudaMemcpyKind direction = kind == CopyKind::kHostToDevice   ? cudaMemcpyHostToDevice
                                     : kind == CopyKind::kDeviceToHost ? cudaMemcpyDeviceToHost
                                                                       : cudaMemcpyDeviceToDevice;
    return check(cudaMemcpyAsync(destination, source, bytes, direction, of(stream)->stream),
                 "cudaMemcpyAsync", diagnostic);
}

Status resolve(const Node& node, const CudaKernel** kernel, Diagnostic* diagnostic) {
    for (const CudaRegistryEntry& entry : kCudaRegistry) {
        if (std::strcmp(entry.kernel->op, node.op) != 0)
            continue;
        *kernel = entry.kernel;
        return entry.op->infer(node, diagnostic);
    }
    return fail(diagnostic, Status::kUnsupported, "cuda: there is no operator '%s'", node.op);
}

Status supports(const Device*, const Node* node, Diagnostic* reason) {
    const CudaKernel* kernel = nullptr;
    const Status status = resolve(*node, &kernel, reason);
    return status != Status::kOk ? status : kernel->supports(*node, reason);
}

Status packed_bytes(const Device*, const Node* node, size_t* bytes, Diagnostic* diagnostic) {
    const CudaKernel* kernel = nullptr;
    const Status status = resolve(*node, &kernel, diagnostic);
    if (status == Status::kOk)
        *bytes = kernel->packed_bytes(*node);
    return status;
}

Status prepack(const Device*, const Node* node, void* packed, Diagnostic* diagnostic) {
    const CudaKernel* kernel = nullptr;
    const Status status = resolve(*node, &kernel, diagnostic);
    return status != Status::kOk ? status : kernel->prepack(*node, packed, diagnostic);
}

Status workspace_bytes(const Device*, const Node* node, size_t* bytes, Diagnostic* diagnostic) {
    const CudaKernel* kernel = nullptr;
    const Status status = resolve(*node, &kernel, diagnostic);
    if (status == Status::kOk)
        *bytes = kernel->workspace_bytes(*node);
    return status;
}

Status launch(Stream* stream, const Node* node, const void* packed, void* workspace,
              Diagnostic* diagnostic) {
    CudaStream* owned = of(stream);
    const CudaKernel* kernel = nullptr;
    Status status = resolve(*node, &kernel, diagnostic);
    if (status == Status::kOk)
        status = select(owned->device, diagnostic);
    if (status != Status::kOk)
        return status;
    owned->may_fault = owned->may_fault || std::strcmp(kernel->op, "tbe") == 0;
    const CudaContext context{owned->stream, owned->faults, owned->device->blas.get()};
    return kernel->launch(context, *node, packed, workspace, diagnostic);
}

constexpr Target kCudaTarget{
    sizeof(Target), kTargetAbi, "cuda",          open_device,    close_device, capabilities,
    allocate,       release,    stream_create,   stream_destroy, event_create, event_destroy,
    record,         wait_event, synchronize,     elapsed,        copy,         supports,
    packed_bytes,   prepack,    workspace_bytes, launch};

} // namespace

extern "C" __attribute__((visibility("default"))) const Target*
talus_target_entry(uint32_t abi, char* message, size_t message_bytes) {
    if (abi != kTargetAbi) {
        std::snprintf(
            message, message_bytes,
            "libtalus_cuda.so has target ABI %u and the program %u: they are of different "
            "builds",
            kTargetAbi, abi);
        return nullptr;
    }
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        std::snprintf(message, message_bytes,
                      "CUDA is not available: no NVIDIA driver is installed");
        return nullptr;
    }
    int devices = 0;
    const cudaError_t error = cudaGetDeviceCount(&devices);
    if (error != cudaSuccess || devices == 0) {
        std::snprintf(message, message_bytes, "CUDA is not available: %s",
                      error != cudaSuccess ? cudaGetErrorString(error) : "no device");
        return nullptr;
    }
    return &kCudaTarget;
}

} // namespace talus::kernels
