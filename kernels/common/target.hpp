// A target executes operators: cpu, cuda and talus are three implementations of this one table, and
// none is special. The runtime asks `supports`, prepacks constants once per compiled node, reserves
// workspace, and launches in order on a stream.
//
// Thread-safety: a Device and a packed constant are shared freely; a Stream and the memory a launch
// writes belong to one thread at a time. Functions never throw; each returns a Status and fills in
// the diagnostic. A target in a shared library is reached through one exported C function
// (kTargetEntry), so that nothing else links against its dependencies.
#pragma once

#include "kernels/common/types.hpp"

namespace talus::kernels {

// Raised whenever a struct of types.hpp, target.hpp or an operator's Attributes changes.
constexpr uint32_t kTargetAbi = 1;

// Opaque handles. Each target casts them to types of its own with names of its own, so that several
// targets can be linked into one program.
struct Device;
struct Stream;
struct Event;

enum class CopyKind : int32_t { kHostToDevice, kDeviceToHost, kDeviceToDevice };

// The domain in which `elapsed` counts. Times of different domains are never subtracted.
enum class ClockDomain : int32_t { kHost, kGpu, kSimulated };

// What `supports` and `prepack` need to know about a device. Owned by the target.
struct Capabilities {
    char name[128] = {}; // for people, e.g. "NVIDIA H100 (sm_90)"
    ClockDomain clock = ClockDomain::kHost;
    uint64_t memory_bytes = 0;       // total device memory; 0: unknown
    uint32_t max_workers = 1;        // launches of different streams that overlap usefully
    uint32_t grid_rows = 0;          // talus: PEs usable by one job, else 0
    uint32_t grid_columns = 0;       // talus, likewise
    uint32_t local_memory_bytes = 0; // talus: local memory of one PE
    char note[256] = {};             // what a user should know, e.g. "cuBLASLt absent: own SGEMM"
};

struct Target {
    uint32_t struct_size; // sizeof(Target) of the implementer
    uint32_t abi;         // kTargetAbi of the implementer
    const char* name;

    // --- device ---------------------------------------------------------------------------------
    Status (*open)(int32_t ordinal, Device** device, Diagnostic* diagnostic);
    void (*close)(Device* device); // after all its streams, events and memory
    const Capabilities* (*capabilities)(const Device* device);

    // --- memory: at least 64-byte aligned, uninitialised
    // -------------------------------------------
    Status (*allocate)(Device* device, size_t bytes, void** address, Diagnostic* diagnostic);
    void (*release)(Device* device, void* address);

    // --- streams and events ---------------------------------------------------------------------
    Status (*stream_create)(Device* device, Stream** stream, Diagnostic* diagnostic);
    void (*stream_destroy)(Stream* stream);
    Status (*event_create)(Device* device, Event** event, Diagnostic* diagnostic);
    void (*event_destroy)(Event* event);
    Status (*record)(Stream* stream, Event* event, Diagnostic* diagnostic);
    // Later work on `stream` waits for `event`; both of this target.
    Status (*wait_event)(Stream* stream, Event* event, Diagnostic* diagnostic);
    // Blocks until everything on the stream is done and returns the first error of it, such as an
    // index out of range. The error is cleared; later work on the stream is not affected.
    Status (*synchronize)(Stream* stream, Diagnostic* diagnostic);
    // Seconds between two recorded events whose streams have been synchronised.
    Status (*elapsed)(Event* begin, Event* end, double* seconds, Diagnostic* diagnostic);

    // Asynchronous, in stream order. Host memory stays valid until the stream is synchronised.
    Status (*copy)(Stream* stream, void* destination, const void* source, size_t bytes,
                   CopyKind kind, Diagnostic* diagnostic);

    // --- operators ------------------------------------------------------------------------------
    // kOk, or kUnsupported with the reason. Looks at types, shapes and attributes, never at data.
    Status (*supports)(const Device* device, const Node* node, Diagnostic* reason);
    // Bytes of device memory for the prepacked constants (0: none), and the packing itself. The
    // node's constant inputs point to host memory; `packed` is a host buffer of packed_bytes, which
    // the caller then copies to device memory. Any alignment the target needs is that of
    // `allocate`.
    Status (*packed_bytes)(const Device* device, const Node* node, size_t* bytes,
                           Diagnostic* diagnostic);
    Status (*prepack)(const Device* device, const Node* node, void* packed, Diagnostic* diagnostic);
    // Scratch for one launch with these shapes; nothing survives in it between launches. It grows
    // monotonically with the batch, so a plan reserves it for its max_batch.
    Status (*workspace_bytes)(const Device* device, const Node* node, size_t* bytes,
                              Diagnostic* diagnostic);
    // `packed` and `workspace` are device memory (null where their size is 0). Inputs that are
    // constants are not read. Zero-sized batches are valid and do nothing.
    Status (*launch)(Stream* stream, const Node* node, const void* packed, void* workspace,
                     Diagnostic* diagnostic);
};

// The CPU target, linked in. Synchronous: `launch` and `copy` return when they are done, and report
// their errors themselves. Uses no threads of its own.
const Target* cpu_target();

// Exported by libtalus_cuda.so: `extern "C" const Target* talus_target_entry(uint32_t abi, char*
// message, size_t message_bytes)`. Null if this machine cannot run it (no driver, no device,
// another ABI), with the reason in `message`.
constexpr const char* kTargetEntry = "talus_target_entry";
using TargetEntry = const Target* (*)(uint32_t abi, char* message, size_t message_bytes);

} // namespace talus::kernels
