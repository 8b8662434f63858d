// A plan says for every node of a graph which device runs it and why, where every storage lives,
// and which copies cross from one device to another. Immutable once compiled; shared by requests.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "kernels/concat/op.hpp"
#include "kernels/convert/op.hpp"
#include "kernels/eltwise/op.hpp"
#include "kernels/fc/op.hpp"
#include "kernels/fc_int8/op.hpp"
#include "kernels/interaction/op.hpp"
#include "kernels/tbe/op.hpp"
#include "sdk/graph/graph.hpp"
#include "sdk/runtime/device.hpp"

namespace talus::plan {

using graph::DType;
using graph::ValueId;

struct Options {
    std::int64_t max_batch = 2048;
    bool strict = false;           // a node that the first device does not run is an error
    bool fp32_tables = false;      // embedding tables stay FP32 on talus
    std::vector<std::string> deny; // "target:operator" or "target:node"
};

// A storage as one device holds it: rows of `pitch` elements of `type`.
struct DeviceStorage {
    ValueId storage = graph::kNoValue;
    DType type = DType::kFloat32;
    std::int64_t width = 0;
    std::int64_t pitch = 0;
    std::size_t offset = 0; // within the request's memory on that device
};

// One call of a kernel, ready for a target: views whose addresses and batch are filled in per run.
struct Call {
    kernels::Node node;
    std::vector<kernels::TensorView> inputs;
    std::vector<kernels::TensorView> outputs;
    kernels::tbe::Attributes tbe; // carries the batch, hence per call

    // Points `node` at this object's members. Call it after the last move.
    void bind();
};

// Where a call finds its operands.
struct Binding {
    std::int64_t batch = 0;
    // Start of each storage on the call's device, or null while only shapes matter.
    std::vector<void*> storages;   // by index into DevicePlan::storages
    const void* indices = nullptr; // tbe
    const void* offsets = nullptr; // tbe, ragged
    std::int64_t index_count = 0;  // tbe, ragged
};

struct NodePlan {
    std::size_t node = 0;   // in graph.nodes
    std::size_t device = 0; // in Plan::devices
    std::string reason;
    std::string precision = "fp32"; // of the constants
    std::uint64_t overflows = 0;    // constants that became infinite in that precision
    bool ragged = false;            // tbe with offsets
    std::variant<std::monostate, kernels::fc::Attributes, kernels::fc_int8::Attributes,
                 kernels::interaction::Attributes, kernels::concat::Attributes,
                 kernels::eltwise::Attributes, kernels::convert::Attributes>
        attributes;
    std::vector<kernels::tbe::Table> tables;
    DType stored = DType::kUndefined; // rows as the target keeps them; kUndefined: as given
    std::int64_t table_bytes = 0;     // size of the embedding blob

    runtime::DeviceMemory packed;
    runtime::DeviceMemory constant;     // a constant operand that is not prepacked
    std::vector<std::size_t> workspace; // bytes, per call

    std::size_t calls(const graph::Graph& graph) const;
};

struct Columns {
    std::int64_t begin;
    std::int64_t end;
};

// In execution order. Copies move a storage between the host's memory and a device's.
struct Step {
    enum class Kind { kUpload, kDownload, kRun };
    Kind kind = Kind::kRun;
    std::size_t device = 0;
    ValueId storage = graph::kNoValue; // copies
    std::vector<Columns> columns;      // downloads: what the device has that the host lacks
    std::size_t node = 0;              // runs: index into Plan::nodes
};

struct DevicePlan {
    std::vector<DeviceStorage> storages;
    std::size_t bytes = 0;     // of all storages at max_batch
    std::size_t workspace = 0; // the largest of its nodes

    // Index of a storage, or -1 if the device does not hold it.
    std::ptrdiff_t find(ValueId storage) const;
};

struct Plan {
    std::vector<runtime::DevicePtr> devices; // in order of preference; the host's CPU is among them
    std::size_t host = 0;                    // index of the CPU
    std::vector<DevicePlan> memory;          // per device
    std::vector<NodePlan> nodes;             // without elided concatenations
    std::vector<Step> steps;
    Options options;

    // Builds call number `number` of a node. With `constants` the constant inputs point to host
    // memory (for prepack), else they are null.
    Call call(const graph::Graph& graph, const NodePlan& node, std::size_t number,
              const Binding& binding, const void* table_blob = nullptr,
              bool constants = false) const;
};

// Plans `graph` over `devices` (the CPU is appended if it is not among them), prepacks constants
// and uploads them. The graph must outlive the plan. Throws Failure: FALLBACK (strict),
// UNSUPPORTED, INVALID_ARGUMENT (a deny that names nothing), OUT_OF_MEMORY, DEVICE.
Plan compile(const graph::Graph& graph, std::vector<runtime::DevicePtr> devices, Options options);

// The plan as text for people.
std::string explain(const graph::Graph& graph, const Plan& plan);

// Work that a node must do for `batch` samples, each byte counted once.
struct Work {
    double flops = 0;
    std::uint64_t constant_bytes = 0;   // weights, looked-up rows
    std::uint64_t activation_bytes = 0; // inputs, outputs, indices
};
// `indices`: looked-up rows (tbe).
Work work_of(const graph::Graph& graph, const Plan& plan, const NodePlan& node, std::int64_t batch,
             std::int64_t indices);

} // namespace talus::plan
