#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string_view>

#include <unistd.h>

#include "kernels/common/half.hpp"
#include "kernels/common/registry.hpp"
#include "sdk/common/error.hpp"
#include "sdk/plan/plan.hpp"
#include "sdk/runtime/index_packing.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::plan {

namespace {

using graph::Graph;
using runtime::DevicePtr;
using runtime::Placement;

constexpr std::size_t kPitchBytes = 64; // rows of activations start at multiples of this
constexpr std::size_t kMaxActivations = std::size_t{1} << 40; // of one request on one device
constexpr std::size_t kTableAlignment = 64;                   // so do tables in the embedding blob

std::size_t rounded(std::size_t value, std::size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

std::size_t host_memory() {
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::size_t>(sysconf(_SC_PAGE_SIZE));
}

std::string_view target_part(std::string_view deny) {
    return deny.substr(0, deny.find(':'));
}
std::string_view what_part(std::string_view deny) {
    return deny.substr(deny.find(':') + 1);
}

class Compiler {
  public:
    Compiler(const Graph& graph, std::vector<DevicePtr> devices, Options options) : graph_(graph) {
        plan_.devices = std::move(devices);
        plan_.options = std::move(options);
        const auto host = std::find_if(plan_.devices.begin(), plan_.devices.end(),
                                       [](const DevicePtr& device) { return device->is_host(); });
        plan_.host = static_cast<std::size_t>(host - plan_.devices.begin());
        if (host == plan_.devices.end())
            plan_.devices.push_back(targets::open_cpu());
        plan_.memory.resize(plan_.devices.size());
    }

    Plan run() {
        check_denials();
        find_reads();
        for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
            if (!graph_.nodes[i].elided)
                choose(i);
        for (NodePlan& node : plan_.nodes)
            measure(node);
        schedule();
        lay_out();
        for (NodePlan& node : plan_.nodes)
            pack(node);
        return std::move(plan_);
    }

  private:
    void check_denials() const {
        for (const std::string& deny : plan_.options.deny) {
            const std::string_view target = target_part(deny);
            const std::string_view what = what_part(deny);
            const bool known_target = target == "talus" || target == "cuda" || target == "cpu";
            bool known = kernels::find_operator(what) != nullptr;
            for (const graph::Node& node : graph_.nodes)
                known = known || node.name == what;
            if (deny.find(':') == std::string::npos || !known_target || !known)
                fail(TALUS_ERROR_INVALID_ARGUMENT,
                     "deny '{}' is not target:operator or target:node (operators: concat, convert, "
                     "eltwise, fc, interaction, tbe)",
                     deny);
        }
    }

    bool denied(const runtime::Device& device, const graph::Node& node) const {
        return std::any_of(
            plan_.options.deny.begin(), plan_.options.deny.end(), [&](const std::string& deny) {
                return target_part(deny) == device.info().target &&
                       (what_part(deny) == node.op() || what_part(deny) == node.name);
            });
    }

    void find_reads() {
        for (const graph::Node& node : graph_.nodes)
            for (ValueId input : node.inputs)
                read_.insert(graph_.place(input).storage);
        for (const graph::Node& node : graph_.nodes)
            if (std::holds_alternative<graph::Concat>(node.what) && !node.elided)
                moved_into_.insert(graph_.place(node.output).storage);
    }

    // Activations are FP16 on the accelerator; a result that nothing reads stays FP32 if it is
    // computed where it lies (a concatenation moves bits, it cannot widen them).
    DType type_on(const runtime::Device& device, ValueId storage) const {
        const graph::Value& value = graph_.value(storage);
        const bool final_result =
            !read_.contains(storage) && !moved_into_.contains(storage) && !value.is_input;
        if (device.info().target == "talus" && value.type == DType::kFloat32 && !final_result)
            return DType::kFloat16;
        return value.type;
    }

    void hold(std::size_t device, ValueId id) {
        const ValueId storage = graph_.place(id).storage;
        DevicePlan& memory = plan_.memory[device];
        if (memory.find(storage) >= 0)
            return;
        DeviceStorage held;
        held.storage = storage;
        held.type = type_on(*plan_.devices[device], storage);
        held.width = graph_.value(storage).width;
        const std::size_t element = kernels::size_of(held.type);
        // The host reads inputs where the caller has them. What crosses the host link whole is
        // dense, since the pitch of a narrow row would cross it too.
        const bool dense =
            graph_.value(storage).is_input || (device != plan_.host && !read_.contains(storage));
        held.pitch =
            dense ? held.width
                  : static_cast<std::int64_t>(
                        rounded(static_cast<std::size_t>(held.width) * element, kPitchBytes) /
                        element);
        memory.storages.push_back(held);
    }

    static void describe_attributes(const graph::Node& node, NodePlan& planned) {
        if (const auto* fc = std::get_if<graph::Fc>(&node.what); fc != nullptr && fc->scale)
            planned.attributes = kernels::fc_int8::Attributes{fc->activation};
        else if (fc != nullptr)
            planned.attributes = kernels::fc::Attributes{fc->activation};
        else if (const auto* dot = std::get_if<graph::Interaction>(&node.what))
            planned.attributes = kernels::interaction::Attributes{dot->diagonal ? 1 : 0};
        else if (std::holds_alternative<graph::Concat>(node.what))
            planned.attributes = kernels::concat::Attributes{1};
        else if (const auto* eltwise = std::get_if<graph::Eltwise>(&node.what))
            planned.attributes =
                kernels::eltwise::Attributes{eltwise->function, eltwise->low, eltwise->high};
        else if (std::holds_alternative<graph::Convert>(node.what))
            planned.attributes = kernels::convert::Attributes{};
    }

    // Tables lie in one blob; a table that several lookups share is stored once.
    void describe_tables(const graph::Tbe& tbe, NodePlan& planned) const {
        const bool half =
            plan_.devices[planned.device]->info().target == "talus" && !plan_.options.fp32_tables;
        planned.stored = half ? DType::kFloat16 : DType::kUndefined;
        if (plan_.devices[planned.device]->info().target == "talus" && !half)
            planned.stored = DType::kFloat32;
        planned.precision = half ? "fp16" : "fp32";
        planned.ragged = runtime::is_ragged(tbe);
        planned.tables.clear();
        std::map<const graph::Tensor*, std::uint64_t> placed;
        std::uint64_t bytes = 0;
        std::int64_t column = 0;
        for (const graph::Table& table : tbe.tables) {
            const auto [entry, added] = placed.emplace(table.weight.get(), bytes);
            const std::int64_t columns = tbe.dim;
            if (column + columns > INT32_MAX)
                fail(TALUS_ERROR_UNSUPPORTED,
                     "the embeddings of one lookup are more than 2^31 wide");
            planned.tables.push_back({entry->second, table.weight->shape[0],
                                      static_cast<std::int32_t>(tbe.dim),
                                      static_cast<std::int32_t>(column), DType::kFloat32, 0});
            column += columns;
            if (added)
                bytes += rounded(static_cast<std::size_t>(table.weight->elements()) * sizeof(float),
                                 kTableAlignment);
        }
        planned.table_bytes = static_cast<std::int64_t>(bytes);
    }

    Binding shapes_only(const NodePlan& planned) const {
        Binding binding;
        binding.batch = plan_.options.max_batch;
        if (planned.ragged)
            binding.index_count = binding.batch * static_cast<std::int64_t>(planned.tables.size());
        return binding;
    }

    // kOk, or why the device does not run the node.
    bool supported(NodePlan& planned, std::string& reason) {
        const graph::Node& node = graph_.nodes[planned.node];
        const runtime::Device& device = *plan_.devices[planned.device];
        for (ValueId input : node.inputs)
            hold(planned.device, input);
        hold(planned.device, node.output);
        describe_attributes(node, planned);
        if (const auto* tbe = std::get_if<graph::Tbe>(&node.what))
            describe_tables(*tbe, planned);
        for (std::size_t i = 0; i < planned.calls(graph_); ++i) {
            Call call = plan_.call(graph_, planned, i, shapes_only(planned));
            call.bind();
            kernels::Diagnostic why;
            const kernels::RegistryEntry* entry = kernels::find_operator(call.node.op);
            kernels::Status status = entry->op->infer(call.node, &why);
            if (status == kernels::Status::kOk)
                status = device.target().supports(device.handle(), &call.node, &why);
            if (status != kernels::Status::kOk) {
                reason = why.text;
                return false;
            }
        }
        return true;
    }

    void choose(std::size_t index) {
        const graph::Node& node = graph_.nodes[index];
        std::vector<std::string> refusals;
        for (std::size_t d = 0; d < plan_.devices.size(); ++d) {
            const runtime::Device& device = *plan_.devices[d];
            const std::string& target = device.info().target;
            if (denied(device, node)) {
                refusals.push_back(target + ": denied by request");
                continue;
            }
            NodePlan planned;
            planned.node = index;
            planned.device = d;
            const DevicePlan before = plan_.memory[d];
            std::string why;
            if (!supported(planned, why)) {
                plan_.memory[d] = before;
                refusals.push_back(fmt::format("{}: {}", target, why));
                continue;
            }
            if (d > 0 && plan_.options.strict)
                fail(TALUS_ERROR_FALLBACK,
                     "strict: node '{}' ({}) would not run on {}, but on {}: {}", node.name,
                     node.op(), plan_.devices.front()->info().name, device.info().name,
                     fmt::join(refusals, "; "));
            planned.reason =
                refusals.empty() ? "first choice" : fmt::format("{}", fmt::join(refusals, "; "));
            plan_.nodes.push_back(std::move(planned));
            return;
        }
        fail(TALUS_ERROR_UNSUPPORTED, "node '{}' ({}) runs on no target: {}", node.name, node.op(),
             fmt::join(refusals, "; "));
    }

    void measure(NodePlan& planned) {
        const runtime::Device& device = *plan_.devices[planned.device];
        for (std::size_t i = 0; i < planned.calls(graph_); ++i) {
            Call call = plan_.call(graph_, planned, i, shapes_only(planned));
            call.bind();
            kernels::Diagnostic diagnostic;
            std::size_t bytes = 0;
            runtime::check(
                device.target().workspace_bytes(device.handle(), &call.node, &bytes, &diagnostic),
                diagnostic, device.info().name);
            planned.workspace.push_back(bytes);
            plan_.memory[planned.device].workspace =
                std::max(plan_.memory[planned.device].workspace, bytes);
        }
    }

    // --- Steps ----------------------------------------------------------------------------------
    // What a node wrote: columns of a storage, and the devices whose copy of them is current.
    struct Written {
        Columns columns;
        std::set<std::size_t> current;
    };

    void copy_step(Step::Kind kind, std::size_t device, ValueId storage,
                   std::vector<Columns> columns) {
        Step step;
        step.kind = kind;
        step.device = device;
        step.storage = storage;
        step.columns = std::move(columns);
        plan_.steps.push_back(std::move(step));
    }

    // Brings to the host what only `device` has of a storage.
    void download(ValueId storage, std::size_t device) {
        std::vector<Columns> missing;
        for (Written& written : written_[storage])
            if (written.current.contains(device) && !written.current.contains(plan_.host)) {
                missing.push_back(written.columns);
                written.current.insert(plan_.host);
            }
        if (missing.empty())
            return;
        hold(plan_.host, storage);
        copy_step(Step::Kind::kDownload, device, storage, std::move(missing));
    }

    void need(ValueId id, std::size_t device) {
        const Graph::Place place = graph_.place(id);
        const Columns wanted{place.column, place.column + graph_.value(id).width};
        bool stale = false;
        for (const Written& written : written_[place.storage])
            if (written.columns.begin < wanted.end && wanted.begin < written.columns.end &&
                !written.current.contains(device))
                stale = true;
        if (!stale)
            return;
        // An upload overwrites whole rows, so the host first gets everything that is current
        // anywhere, this device included.
        for (std::size_t d = 0; d < plan_.devices.size(); ++d)
            if (d != plan_.host)
                download(place.storage, d);
        if (device == plan_.host)
            return;
        copy_step(Step::Kind::kUpload, device, place.storage, {});
        for (Written& written : written_[place.storage])
            written.current.insert(device);
    }

    void schedule() {
        for (ValueId input : graph_.inputs)
            if (graph_.value(input).width > 0)
                written_[input].push_back({{0, graph_.value(input).width}, {plan_.host}});
        for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
            const NodePlan& planned = plan_.nodes[i];
            const graph::Node& node = graph_.nodes[planned.node];
            for (ValueId input : node.inputs)
                need(input, planned.device);
            Step run;
            run.device = planned.device;
            run.node = i;
            plan_.steps.push_back(std::move(run));
            const Graph::Place place = graph_.place(node.output);
            const auto wrote = [&](std::int64_t column, std::int64_t width) {
                written_[place.storage].push_back(
                    {{place.column + column, place.column + column + width}, {planned.device}});
            };
            if (const auto* concat = std::get_if<graph::Concat>(&node.what))
                for (std::size_t k = 0; k < node.inputs.size(); ++k)
                    wrote(concat->columns[k], graph_.value(node.inputs[k]).width);
            else
                wrote(0, graph_.value(node.output).width);
        }
        for (ValueId output : graph_.outputs) {
            hold(plan_.host, output);
            need(output, plan_.host);
        }
    }

    void lay_out() {
        for (std::size_t d = 0; d < plan_.devices.size(); ++d) {
            DevicePlan& memory = plan_.memory[d];
            for (DeviceStorage& storage : memory.storages) {
                storage.offset = memory.bytes;
                if (d == plan_.host && graph_.value(storage.storage).is_input)
                    continue;
                memory.bytes += rounded(static_cast<std::size_t>(plan_.options.max_batch) *
                                            static_cast<std::size_t>(storage.pitch) *
                                            kernels::size_of(storage.type),
                                        kPitchBytes);
                if (memory.bytes > kMaxActivations)
                    fail(TALUS_ERROR_OUT_OF_MEMORY,
                         "activations of more than {} bytes for a batch of {}", kMaxActivations,
                         plan_.options.max_batch);
            }
        }
    }

    // --- Constants ------------------------------------------------------------------------------
    void fill_blob(const graph::Tbe& tbe, NodePlan& planned, std::vector<std::byte>& blob) const {
        blob.resize(static_cast<std::size_t>(planned.table_bytes));
        std::set<const graph::Tensor*> done;
        for (std::size_t t = 0; t < tbe.tables.size(); ++t) {
            const graph::Tensor& weight = *tbe.tables[t].weight;
            if (!done.insert(&weight).second)
                continue;
            std::byte* to = blob.data() + planned.tables[t].byte_offset;
            std::memcpy(to, weight.bytes.data(), weight.bytes.size());
            if (planned.stored == DType::kFloat16)
                planned.overflows += overflows(weight);
        }
    }

    static std::uint64_t overflows(const graph::Tensor& tensor) {
        std::uint64_t count = 0;
        for (float value : tensor.as<float>())
            count += std::isfinite(value) && (kernels::float_to_half(value) & 0x7fffU) == 0x7c00U;
        return count;
    }

    void upload(const runtime::Device& device, void* to, const void* from, std::size_t bytes) {
        const kernels::Target& target = device.target();
        kernels::Diagnostic diagnostic;
        kernels::Stream* stream = nullptr;
        const std::string& where = device.info().name;
        runtime::check(target.stream_create(device.handle(), &stream, &diagnostic), diagnostic,
                       where);
        kernels::Status status =
            target.copy(stream, to, from, bytes, kernels::CopyKind::kHostToDevice, &diagnostic);
        if (status == kernels::Status::kOk)
            status = target.synchronize(stream, &diagnostic);
        target.stream_destroy(stream);
        runtime::check(status, diagnostic, where);
    }

    void pack(NodePlan& planned) {
        const graph::Node& node = graph_.nodes[planned.node];
        const DevicePtr& device = plan_.devices[planned.device];
        const kernels::Target& target = device->target();
        const std::string where = fmt::format("{}: node '{}'", device->info().name, node.name);
        std::vector<std::byte> blob;
        if (const auto* tbe = std::get_if<graph::Tbe>(&node.what))
            fill_blob(*tbe, planned, blob);
        const auto* fc = std::get_if<graph::Fc>(&node.what);
        if (fc != nullptr && fc->scale != nullptr) {
            planned.precision = "int8";
        } else if (fc != nullptr && device->info().target == "talus") {
            planned.precision = "fp16";
            planned.overflows += overflows(*fc->weight);
        }
        if (const auto* eltwise = std::get_if<graph::Eltwise>(&node.what);
            eltwise != nullptr && eltwise->constant != nullptr)
            pack_operand(*eltwise->constant, planned);
        if (std::holds_alternative<graph::Concat>(node.what))
            return;
        Call call = plan_.call(graph_, planned, 0, shapes_only(planned), blob.data(), true);
        call.bind();
        kernels::Diagnostic diagnostic;
        std::size_t bytes = 0;
        runtime::check(target.packed_bytes(device->handle(), &call.node, &bytes, &diagnostic),
                       diagnostic, where);
        if (bytes == 0)
            return;
        packed_bytes_ += bytes;
        if (packed_bytes_ > host_memory())
            fail(TALUS_ERROR_OUT_OF_MEMORY,
                 "the packed constants exceed this machine's memory ({} bytes)", host_memory());
        std::vector<std::byte> packed(bytes);
        runtime::check(target.prepack(device->handle(), &call.node, packed.data(), &diagnostic),
                       diagnostic, where);
        // Weights are read by every PE that computes with them, and short rows at random: both cost
        // DRAM far more than the scratch SRAM. What is larger than this would crowd out
        // activations.
        constexpr std::size_t kFastConstants = std::size_t{16} << 20;
        planned.packed = runtime::DeviceMemory(
            device, bytes, bytes <= kFastConstants ? Placement::kFast : Placement::kLarge);
        upload(*device, planned.packed.address(), packed.data(), bytes);
    }

    // The constant operand of an element-wise operation, in the activations' type.
    void pack_operand(const graph::Tensor& operand, NodePlan& planned) {
        const DevicePtr& device = plan_.devices[planned.device];
        const ValueId first = graph_.place(graph_.nodes[planned.node].inputs.front()).storage;
        std::vector<std::byte> bytes = operand.bytes;
        if (type_on(*device, first) == DType::kFloat16) {
            bytes.clear();
            for (float value : operand.as<float>()) {
                const std::uint16_t half = kernels::float_to_half(value);
                planned.overflows += std::isfinite(value) && (half & 0x7fffU) == 0x7c00U;
                const auto* raw = reinterpret_cast<const std::byte*>(&half);
                bytes.insert(bytes.end(), raw, raw + sizeof half);
            }
            planned.precision = "fp16";
        }
        planned.constant = runtime::DeviceMemory(device, bytes.size(), Placement::kLarge);
        upload(*device, planned.constant.address(), bytes.data(), bytes.size());
    }

    const Graph& graph_;
    Plan plan_;
    std::set<ValueId> read_;       // storages that some node reads
    std::set<ValueId> moved_into_; // storages that a concatenation copies into
    std::size_t packed_bytes_ = 0;
    std::map<ValueId, std::vector<Written>> written_;
};

} // namespace

Plan compile(const Graph& graph, std::vector<DevicePtr> devices, Options options) {
    constexpr std::int64_t kMaxBatch = 1 << 20;
    if (options.max_batch < 1 || options.max_batch > kMaxBatch)
        fail(TALUS_ERROR_INVALID_ARGUMENT, "max_batch {} is not in 1..{}", options.max_batch,
             kMaxBatch);
    return Compiler(graph, std::move(devices), std::move(options)).run();
}

} // namespace talus::plan
