// The CPU target: every call completes before it returns.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "kernels/common/registry.hpp"

namespace talus::kernels {

namespace {

struct CpuDevice {
    Capabilities capabilities;
};
struct CpuStream {
    Device* device;
};
struct CpuEvent {
    std::chrono::steady_clock::time_point time;
    bool recorded = false;
};

CpuEvent* of(Event* event) {
    return reinterpret_cast<CpuEvent*>(event);
}

constexpr size_t kAlignment = 64;

Status open_device(int32_t ordinal, Device** device, Diagnostic* diagnostic) {
    if (ordinal != 0)
        return fail(diagnostic, Status::kUnavailable, "cpu: there is only device 0, not %d",
                    ordinal);
    auto* created = new (std::nothrow) CpuDevice;
    if (created == nullptr)
        return fail(diagnostic, Status::kOutOfMemory, "cpu: out of memory");
    Capabilities& capabilities = created->capabilities;
    std::snprintf(capabilities.name, sizeof capabilities.name, "CPU (oneDNN)");
    capabilities.clock = ClockDomain::kHost;
    const unsigned workers = std::thread::hardware_concurrency();
    capabilities.max_workers = workers > 0 ? workers : 1;
    *device = reinterpret_cast<Device*>(created);
    return Status::kOk;
}

void close_device(Device* device) {
    delete reinterpret_cast<CpuDevice*>(device);
}

const Capabilities* capabilities(const Device* device) {
    return &reinterpret_cast<const CpuDevice*>(device)->capabilities;
}

Status allocate(Device*, size_t bytes, void** address, Diagnostic* diagnostic) {
    // Exactly this size: a sanitizer then sees a kernel that reads beyond it.
    if (posix_memalign(address, kAlignment, bytes > 0 ? bytes : 1) != 0)
        return fail(diagnostic, Status::kOutOfMemory, "cpu: cannot allocate %zu bytes", bytes);
    return Status::kOk;
}

void release(Device*, void* address) {
    std::free(address);
}

Status stream_create(Device* device, Stream** stream, Diagnostic* diagnostic) {
    *stream = reinterpret_cast<Stream*>(new (std::nothrow) CpuStream{device});
    return *stream != nullptr ? Status::kOk
                              : fail(diagnostic, Status::kOutOfMemory, "cpu: out of memory");
}

void stream_destroy(Stream* stream) {
    delete reinterpret_cast<CpuStream*>(stream);
}

Status event_create(Device*, Event** event, Diagnostic* diagnostic) {
    *event = reinterpret_cast<Event*>(new (std::nothrow) CpuEvent);
    return *event != nullptr ? Status::kOk
                             : fail(diagnostic, Status::kOutOfMemory, "cpu: out of memory");
}

void event_destroy(Event* event) {
    delete of(event);
}

Status record(Stream*, Event* event, Diagnostic*) {
    of(event)->time = std::chrono::steady_clock::now();
    of(event)->recorded = true;
    return Status::kOk;
}

Status wait_event(Stream*, Event*, Diagnostic*) {
    return Status::kOk;
}

Status synchronize(Stream*, Diagnostic*) {
    return Status::kOk;
}

Status elapsed(Event* begin, Event* end, double* seconds, Diagnostic* diagnostic) {
    if (!of(begin)->recorded || !of(end)->recorded)
        return fail(diagnostic, Status::kBadArgument, "cpu: elapsed() needs two recorded events");
    *seconds = std::chrono::duration<double>(of(end)->time - of(begin)->time).count();
    return Status::kOk;
}

Status copy(Stream*, void* destination, const void* source, size_t bytes, CopyKind, Diagnostic*) {
    if (bytes > 0)
        std::memmove(destination, source, bytes);
    return Status::kOk;
}

// The node's implementation, after its signature has been checked; null with the status if it
// fails. Outputs keep what the caller set.
const HostKernel* resolve(const Node& node, Status& status, Diagnostic* diagnostic) {
    const RegistryEntry* entry = find_operator(node.op);
    if (entry == nullptr || entry->cpu == nullptr) {
        status = fail(diagnostic, Status::kUnsupported, "cpu: there is no operator '%s'", node.op);
        return nullptr;
    }
    status = entry->op->infer(node, diagnostic);
    return status == Status::kOk ? entry->cpu : nullptr;
}

Status supports(const Device*, const Node* node, Diagnostic* reason) {
    Status status = Status::kOk;
    const HostKernel* kernel = resolve(*node, status, reason);
    return kernel != nullptr ? kernel->supports(*node, reason) : status;
}

Status packed_bytes(const Device*, const Node* node, size_t* bytes, Diagnostic* diagnostic) {
    Status status = Status::kOk;
    if (const HostKernel* kernel = resolve(*node, status, diagnostic); kernel != nullptr)
        *bytes = kernel->packed_bytes(*node);
    return status;
}

Status prepack(const Device*, const Node* node, void* packed, Diagnostic* diagnostic) {
    Status status = Status::kOk;
    const HostKernel* kernel = resolve(*node, status, diagnostic);
    return kernel != nullptr ? kernel->prepack(*node, packed, diagnostic) : status;
}

Status workspace_bytes(const Device*, const Node* node, size_t* bytes, Diagnostic* diagnostic) {
    Status status = Status::kOk;
    if (const HostKernel* kernel = resolve(*node, status, diagnostic); kernel != nullptr)
        *bytes = kernel->workspace_bytes(*node);
    return status;
}

Status launch(Stream*, const Node* node, const void* packed, void* workspace,
              Diagnostic* diagnostic) {
    Status status = Status::kOk;
    const HostKernel* kernel = resolve(*node, status, diagnostic);
    return kernel != nullptr ? kernel->launch(*node, packed, workspace, diagnostic) : status;
}

constexpr Target kCpuTarget{sizeof(Target),  kTargetAbi,    "cpu",    open_device,   close_device,
                            capabilities,    allocate,      release,  stream_create, stream_destroy,
                            event_create,    event_destroy, record,   wait_event,    synchronize,
                            elapsed,         copy,          supports, packed_bytes,  prepack,
                            workspace_bytes, launch};

} // namespace

const Target* cpu_target() {
    return &kCpuTarget;
}

} // namespace talus::kernels
