#include "sdk/runtime/request.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>

#include "sdk/common/error.hpp"
#include "sdk/runtime/rows.hpp"

namespace talus::runtime {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kAlignment = 64;
// Fewer rows than these are not worth a thread's wake-up.
constexpr std::int64_t kRowsPerWorker = 128;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

} // namespace

// What one device needs for a run.
struct Request::DeviceState {
    DevicePtr device;
    kernels::Stream* stream = nullptr;
    DeviceMemory storages;
    DeviceMemory workspace; // one for each worker, at this stride
    std::size_t workspace_stride = 0;
    std::vector<void*> rows;                    // per storage of the device's plan
    std::vector<std::vector<std::byte>> bounce; // host copies on their way, kept until synchronised
    std::vector<std::size_t> launched;          // node of each launch since the last collection
    struct Pending {                            // downloads to scatter after synchronisation
        const plan::DeviceStorage* from;
        std::size_t bounce;
        const plan::Step* step;
        std::int64_t batch;
    };
    std::vector<Pending> pending;
    std::vector<std::pair<kernels::Event*, kernels::Event*>> events; // gpu timing, per launch slot
    std::optional<std::size_t> copy_slot; // in operators_: copies in, then copies out
    bool busy = false;

    ~DeviceState() {
        if (device == nullptr)
            return;
        kernels::Diagnostic ignored;
        if (stream != nullptr && busy)
            device->target().synchronize(stream, &ignored);
        for (auto& [begin, end] : events) {
            device->target().event_destroy(begin);
            device->target().event_destroy(end);
        }
        if (stream != nullptr)
            device->target().stream_destroy(stream);
    }
};

// What one planned node keeps from run to run.
struct Request::NodeState {
    PackedIndices packed;
    DeviceMemory indices; // grows with the largest chunk
    DeviceMemory offsets;
    std::size_t slot = 0; // in operators_
};

double OperatorStats::utilisation() const {
    if (seconds <= 0.0 || peak_flops <= 0.0 || peak_large_bytes <= 0.0 || peak_fast_bytes <= 0.0)
        return -1.0;
    const double least =
        std::max({flops / peak_flops, static_cast<double>(large_bytes) / peak_large_bytes,
                  static_cast<double>(fast_bytes) / peak_fast_bytes});
    return least / seconds;
}

Request::Request(ModelPtr model) : model_(std::move(model)) {
    const graph::Graph& graph = model_->graph();
    const plan::Plan& plan = model_->plan();
    inputs_.resize(graph.inputs.size());
    outputs_.resize(graph.outputs.size());
    for (std::size_t d = 0; d < plan.devices.size(); ++d) {
        auto state = std::make_unique<DeviceState>();
        const plan::DevicePlan& memory = plan.memory[d];
        state->device = plan.devices[d];
        const bool used = std::any_of(plan.steps.begin(), plan.steps.end(),
                                      [&](const plan::Step& step) { return step.device == d; });
        if (used || d == plan.host) {
            kernels::Diagnostic diagnostic;
            check(state->device->target().stream_create(state->device->handle(), &state->stream,
                                                        &diagnostic),
                  diagnostic, state->device->info().name);
            state->storages = DeviceMemory(state->device, memory.bytes, Placement::kFast);
            const std::size_t users =
                state->device->workers() == nullptr ? 1 : state->device->workers()->workers();
            state->workspace_stride = (memory.workspace + kAlignment - 1) / kAlignment * kAlignment;
            state->workspace =
                DeviceMemory(state->device, users * state->workspace_stride, Placement::kFast);
        }
        auto* base = static_cast<std::byte*>(state->storages.address());
        for (const plan::DeviceStorage& storage : memory.storages)
            state->rows.push_back(base == nullptr ? nullptr : base + storage.offset);
        devices_.push_back(std::move(state));
    }
    for (const plan::NodePlan& planned : plan.nodes) {
        const graph::Node& node = graph.nodes[planned.node];
        const DeviceInfo& info = plan.devices[planned.device]->info();
        auto state = std::make_unique<NodeState>();
        if (std::holds_alternative<graph::Tbe>(node.what)) {
            OperatorStats pack;
            pack.name = node.name + ": indices";
            pack.op = "pack";
            pack.target = "host";
            pack.precision = "int32";
            operators_.push_back(std::move(pack));
        }
        OperatorStats stats;
        stats.name = node.name;
        stats.op = node.op();
        stats.target = info.name;
        stats.precision = planned.precision;
        stats.overflows = planned.overflows;
        stats.clock = info.clock;
        stats.peak_flops = info.peak_flops;
        stats.peak_large_bytes = info.peak_memory_bytes;
        stats.peak_fast_bytes = info.peak_scratch_bytes;
        state->slot = operators_.size();
        operators_.push_back(std::move(stats));
        nodes_.push_back(std::move(state));
    }
    for (const auto& state : devices_) {
        const DeviceInfo& info = state->device->info();
        if (info.clock_hz == 0 || state->stream == nullptr)
            continue;
        state->copy_slot = operators_.size();
        for (const char* way : {"copy in", "copy out"}) {
            OperatorStats stats;
            stats.name = way;
            stats.op = "copy";
            stats.target = info.name;
            stats.clock = info.clock;
            operators_.push_back(std::move(stats));
        }
    }
}

Request::~Request() = default;

void Request::take_over(Request& lost) {
    inputs_ = lost.inputs_;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        outputs_[i].data = lost.outputs_[i].data;
        outputs_[i].capacity = lost.outputs_[i].capacity;
    }
    stats_ = lost.stats_;
    ++stats_.recoveries;
    // What ran so far stays in the books; where an operator has moved, as a row of its own.
    for (OperatorStats& before : lost.operators_) {
        const auto same =
            std::find_if(operators_.begin(), operators_.end(), [&](const OperatorStats& candidate) {
                return candidate.name == before.name && candidate.op == before.op &&
                       candidate.target == before.target;
            });
        if (same != operators_.end())
            *same = before;
        else if (before.launches > 0)
            operators_.push_back(before);
    }
}

void Request::set_input(std::size_t index, const talus_tensor& tensor) {
    const graph::Graph& graph = model_->graph();
    if (index >= inputs_.size())
        fail(TALUS_ERROR_INVALID_ARGUMENT, "the model has {} inputs; there is no input {}",
             inputs_.size(), index);
    const graph::Value& value = graph.value(graph.inputs[index]);
    const auto wanted = static_cast<std::int32_t>(value.type);
    if (tensor.rank < 0 || tensor.rank > TALUS_MAX_RANK)
        fail(TALUS_ERROR_INVALID_ARGUMENT, "input '{}': a rank of {}", value.name, tensor.rank);
    const std::vector<std::int64_t> given(tensor.shape, tensor.shape + tensor.rank);
    if (tensor.dtype != wanted)
        fail(TALUS_ERROR_BAD_INPUT, "input '{}' must be {}, not type {}", value.name,
             kernels::name_of(value.type), tensor.dtype);
    bool fits = given.size() == value.shape.size();
    for (std::size_t d = 0; fits && d < given.size(); ++d)
        fits = given[d] >= 0 && given[d] <= INT32_MAX &&
               (!value.shape[d].is_known() || value.shape[d].extent == given[d]);
    if (!fits)
        fail(TALUS_ERROR_BAD_INPUT, "input '{}' must be {}, not {}", value.name,
             graph::to_string(value.shape), graph::to_string(given));
    std::int64_t elements = 1;
    for (std::int64_t extent : given)
        elements *= extent;
    if (tensor.data == nullptr && elements > 0)
        fail(TALUS_ERROR_INVALID_ARGUMENT, "input '{}' has no data", value.name);
    inputs_[index] = tensor;
    static std::int64_t nothing = 0; // an empty tensor's data may be null; "bound" needs an address
    if (tensor.data == nullptr)
        inputs_[index].data = &nothing;
}

void Request::set_output(std::size_t index, void* data, std::size_t capacity_bytes) {
    if (index >= outputs_.size())
        fail(TALUS_ERROR_INVALID_ARGUMENT, "the model has {} outputs; there is no output {}",
             outputs_.size(), index);
    outputs_[index].data = data;
    outputs_[index].capacity = data == nullptr ? 0 : capacity_bytes;
}

talus_tensor Request::output(std::size_t index) const {
    if (index >= outputs_.size())
        fail(TALUS_ERROR_INVALID_ARGUMENT, "the model has {} outputs; there is no output {}",
             outputs_.size(), index);
    if (!valid_)
        fail(TALUS_ERROR_INVALID_ARGUMENT, "the request has no successful run yet");
    return outputs_[index].tensor;
}

const talus_tensor& Request::tensor(graph::ValueId input) const {
    const auto& inputs = model_->graph().inputs;
    const auto at = std::find(inputs.begin(), inputs.end(), input);
    return inputs_[static_cast<std::size_t>(at - inputs.begin())];
}

// The batch that all inputs agree on.
std::int64_t Request::bind_batch() const {
    const graph::Graph& graph = model_->graph();
    std::int64_t batch = -1;
    std::string from;
    const auto agree = [&](std::int64_t found, const std::string& name) {
        if (batch >= 0 && found != batch)
            fail(TALUS_ERROR_BAD_INPUT, "input '{}' holds {} samples, but '{}' holds {}", name,
                 found, from, batch);
        batch = found;
        from = name;
    };
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
        const graph::Value& value = graph.value(graph.inputs[i]);
        if (inputs_[i].data == nullptr)
            fail(TALUS_ERROR_BAD_INPUT, "input '{}' {} is not bound", value.name,
                 graph::to_string(value.shape));
        if (value.type == graph::DType::kFloat32 || value.type == graph::DType::kFloat16)
            agree(inputs_[i].shape[0], value.name);
    }
    for (const graph::Node& node : graph.nodes) {
        const auto* tbe = std::get_if<graph::Tbe>(&node.what);
        if (tbe == nullptr)
            continue;
        for (const graph::Table& table : tbe->tables) {
            const bool bags = table.source.offsets != graph::kNoValue;
            const graph::ValueId id = bags ? table.source.offsets : table.source.indices;
            std::int64_t found = tensor(id).shape[0];
            if (table.source.includes_last_offset) {
                if (found == 0)
                    fail(TALUS_ERROR_BAD_INPUT, "input '{}' needs at least one offset",
                         graph.value(id).name);
                --found;
            }
            agree(found, graph.value(id).name);
        }
    }
    if (batch < 0)
        fail(TALUS_ERROR_BAD_INPUT, "the model has no input that tells the batch");
    return batch;
}

void Request::prepare_outputs(std::int64_t batch) {
    const graph::Graph& graph = model_->graph();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        Output& output = outputs_[i];
        const graph::Value& value = graph.value(graph.outputs[i]);
        const graph::Shape& shape = graph.output_shapes[i];
        const std::size_t bytes =
            static_cast<std::size_t>(batch * value.width) * kernels::size_of(value.type);
        if (output.data == nullptr) {
            output.own.resize(std::max<std::size_t>(bytes, 1));
        } else if (output.capacity < bytes) {
            fail(TALUS_ERROR_BAD_INPUT, "output '{}' needs {} bytes; its memory holds {}",
                 graph.output_names[i], bytes, output.capacity);
        }
        output.tensor = TALUS_INIT(talus_tensor);
        output.tensor.dtype = static_cast<std::int32_t>(value.type);
        output.tensor.rank = static_cast<std::int32_t>(shape.size());
        for (std::size_t d = 0; d < shape.size(); ++d)
            output.tensor.shape[d] = d == 0 ? batch : shape[d].extent;
        output.tensor.data = output.data == nullptr ? output.own.data() : output.data;
    }
}

void Request::run() {
    const Clock::time_point begin = Clock::now();
    valid_ = false;
    const std::int64_t total = bind_batch();
    prepare_outputs(total);
    const std::int64_t step = model_->plan().options.max_batch;
    try {
        for (std::int64_t first = 0; first < total; first += step)
            run_chunk(total, first, std::min(step, total - first));
    } catch (...) {
        // Nothing of this run may still read or write memory when the caller gets its error.
        for (std::size_t d = 0; d < devices_.size(); ++d) {
            DeviceState& state = *devices_[d];
            kernels::Diagnostic ignored;
            if (state.busy)
                state.device->target().synchronize(state.stream, &ignored);
            state.busy = false;
            state.pending.clear();
            state.bounce.clear();
            state.launched.clear();
            DeviceProfile profile;
            if (state.stream != nullptr)
                state.device->take_profile(state.stream, profile);
        }
        throw;
    }
    for (OperatorStats& stats : operators_) {
        stats.resources = stats.roofline.resources();
        stats.stalls = stats.roofline.stalls();
        stats.counters = stats.roofline.counters();
    }
    valid_ = true;
    ++stats_.runs;
    stats_.samples += static_cast<std::uint64_t>(total);
    stats_.wall_seconds += seconds_since(begin);
}

void Request::run_chunk(std::int64_t total, std::int64_t first, std::int64_t batch) {
    // Every index is checked before any device sees one.
    pack(total, first, batch);
    for (const plan::Step& step : model_->plan().steps) {
        switch (step.kind) {
        case plan::Step::Kind::kUpload:
            upload(step, first, batch);
            break;
        case plan::Step::Kind::kDownload:
            download(step, batch);
            break;
        case plan::Step::Kind::kRun:
            launch(step, first, batch);
            break;
        }
    }
    for (std::size_t d = 0; d < devices_.size(); ++d)
        synchronize(d);
    collect_outputs(first, batch);
}

void Request::pack(std::int64_t total, std::int64_t first, std::int64_t batch) {
    const graph::Graph& graph = model_->graph();
    const plan::Plan& plan = model_->plan();
    for (std::size_t i = 0; i < plan.nodes.size(); ++i) {
        const auto* tbe = std::get_if<graph::Tbe>(&graph.nodes[plan.nodes[i].node].what);
        if (tbe == nullptr)
            continue;
        const Clock::time_point begin = Clock::now();
        NodeState& state = *nodes_[i];
        pack_indices(
            *tbe, [&](graph::ValueId id) -> const talus_tensor& { return tensor(id); }, total,
            first, batch, state.packed);
        OperatorStats& stats = operators_[state.slot - 1];
        ++stats.launches;
        stats.seconds += seconds_since(begin);
        stats.bytes += (state.packed.indices.size() + state.packed.offsets.size()) * 4;
    }
}

std::byte* Request::host_rows(graph::ValueId storage, std::int64_t first,
                              std::int64_t& pitch) const {
    const plan::Plan& plan = model_->plan();
    const graph::Value& value = model_->graph().value(storage);
    if (value.is_input) {
        pitch = value.width;
        return static_cast<std::byte*>(tensor(storage).data) +
               static_cast<std::size_t>(first * pitch) * kernels::size_of(value.type);
    }
    const plan::DevicePlan& memory = plan.memory[plan.host];
    const auto at = static_cast<std::size_t>(memory.find(storage));
    pitch = memory.storages[at].pitch;
    return static_cast<std::byte*>(devices_[plan.host]->rows[at]);
}

void* Request::device_rows(std::size_t device, graph::ValueId storage) const {
    const std::ptrdiff_t at = model_->plan().memory[device].find(storage);
    return devices_[device]->rows[static_cast<std::size_t>(at)];
}

void Request::upload(const plan::Step& step, std::int64_t first, std::int64_t batch) {
    await_downloads(); // what goes out now may still be on its way in
    DeviceState& state = *devices_[step.device];
    const plan::DevicePlan& memory = model_->plan().memory[step.device];
    const plan::DeviceStorage& to =
        memory.storages[static_cast<std::size_t>(memory.find(step.storage))];
    std::int64_t pitch = 0;
    const std::byte* from = host_rows(step.storage, first, pitch);
    const std::size_t bytes =
        static_cast<std::size_t>(batch * to.pitch) * kernels::size_of(to.type);
    const graph::DType type = model_->graph().value(step.storage).type;
    const void* source = from;
    if (to.type != type || to.pitch != pitch) {
        std::vector<std::byte>& bounce = state.bounce.emplace_back(bytes);
        const std::uint64_t overflows =
            copy_rows({bounce.data(), to.type, to.pitch},
                      {const_cast<std::byte*>(from), type, pitch}, 0, to.width, batch);
        if (state.copy_slot)
            operators_[*state.copy_slot].overflows += overflows;
        source = bounce.data();
    }
    kernels::Diagnostic diagnostic;
    state.busy = true;
    check(state.device->target().copy(state.stream, device_rows(step.device, step.storage), source,
                                      bytes, kernels::CopyKind::kHostToDevice, &diagnostic),
          diagnostic, state.device->info().name);
}

void Request::download(const plan::Step& step, std::int64_t batch) {
    DeviceState& state = *devices_[step.device];
    const plan::DevicePlan& memory = model_->plan().memory[step.device];
    const plan::DeviceStorage& from =
        memory.storages[static_cast<std::size_t>(memory.find(step.storage))];
    const std::size_t bytes =
        static_cast<std::size_t>(batch * from.pitch) * kernels::size_of(from.type);
    std::vector<std::byte>& bounce = state.bounce.emplace_back(bytes);
    kernels::Diagnostic diagnostic;
    state.busy = true;
    check(state.device->target().copy(state.stream, bounce.data(),
                                      device_rows(step.device, step.storage), bytes,
                                      kernels::CopyKind::kDeviceToHost, &diagnostic),
          diagnostic, state.device->info().name);
    state.pending.push_back({&from, state.bounce.size() - 1, &step, batch});
}

void Request::await_downloads() {
    for (std::size_t d = 0; d < devices_.size(); ++d)
        if (!devices_[d]->pending.empty())
            synchronize(d);
}

// Waits for a device, scatters what it sent, and books its times.
void Request::synchronize(std::size_t device) {
    DeviceState& state = *devices_[device];
    if (!state.busy)
        return;
    const kernels::Target& target = state.device->target();
    const DeviceInfo& info = state.device->info();
    kernels::Diagnostic diagnostic;
    const kernels::Status status = target.synchronize(state.stream, &diagnostic);
    state.busy = false;
    check(status, diagnostic, info.name);
    for (const DeviceState::Pending& pending : state.pending) {
        std::int64_t pitch = 0;
        std::byte* to = host_rows(pending.step->storage, 0, pitch);
        const graph::DType type = model_->graph().value(pending.step->storage).type;
        for (const plan::Columns& columns : pending.step->columns)
            copy_rows(
                {to, type, pitch},
                {state.bounce[pending.bounce].data(), pending.from->type, pending.from->pitch},
                columns.begin, columns.end, pending.batch);
    }
    state.pending.clear();
    state.bounce.clear();

    DeviceProfile profile;
    if (state.device->take_profile(state.stream, profile)) {
        const auto hertz = static_cast<double>(info.clock_hz);
        const auto book = [&](OperatorStats& stats, std::uint64_t cycles) {
            stats.device_cycles += cycles;
            stats.seconds += static_cast<double>(cycles) / hertz;
        };
        for (std::size_t i = 0; i < profile.launches.size() && i < state.launched.size(); ++i) {
            OperatorStats& stats = operators_[nodes_[state.launched[i]]->slot];
            book(stats, profile.launches[i].cycles);
            if (i < profile.records.size())
                stats.roofline.add(profile.launches[i], profile.records[i]);
        }
        if (state.copy_slot) {
            const DeviceProfile::Copies* copies[] = {&profile.copies_in, &profile.copies_out};
            for (std::size_t way = 0; way < 2; ++way) {
                OperatorStats& stats = operators_[*state.copy_slot + way];
                stats.launches += copies[way]->count;
                stats.bytes += copies[way]->bytes;
                book(stats, copies[way]->cycles);
            }
        }
        stats_.device_cycles += profile.whole;
        stats_.device_seconds += static_cast<double>(profile.whole) / hertz;
    } else if (!state.device->is_host()) {
        for (std::size_t i = 0; i < state.launched.size() && i < state.events.size(); ++i) {
            double seconds = 0.0;
            if (target.elapsed(state.events[i].first, state.events[i].second, &seconds,
                               &diagnostic) == kernels::Status::kOk)
                operators_[nodes_[state.launched[i]]->slot].seconds += seconds;
        }
    }
    state.launched.clear();
}

void Request::launch(const plan::Step& step, std::int64_t first, std::int64_t batch) {
    const graph::Graph& graph = model_->graph();
    const plan::Plan& plan = model_->plan();
    const plan::NodePlan& planned = plan.nodes[step.node];
    DeviceState& state = *devices_[step.device];
    NodeState& node = *nodes_[step.node];
    const kernels::Target& target = state.device->target();
    const bool host = state.device->is_host();
    const std::string where =
        state.device->info().name + ": node '" + graph.nodes[planned.node].name + "'";
    kernels::Diagnostic diagnostic;
    if (host)
        await_downloads(); // the CPU reads what other devices were asked to send

    plan::Binding binding;
    binding.batch = batch;
    binding.storages = state.rows;
    if (host)
        for (std::size_t i = 0; i < plan.memory[step.device].storages.size(); ++i) {
            std::int64_t pitch = 0;
            binding.storages[i] =
                host_rows(plan.memory[step.device].storages[i].storage, first, pitch);
        }
    std::int64_t looked_up = 0;
    if (!planned.tables.empty()) {
        looked_up = static_cast<std::int64_t>(node.packed.indices.size());
        binding.index_count = looked_up;
        binding.indices = node.packed.indices.data();
        binding.offsets = node.packed.offsets.data();
        const auto send = [&](DeviceMemory& memory, const std::vector<std::int32_t>& values) {
            const std::size_t bytes = std::max<std::size_t>(values.size() * sizeof values[0], 64);
            if (memory.bytes() < bytes)
                memory = DeviceMemory(state.device, bytes + bytes / 2, Placement::kFast);
            state.busy = true;
            check(target.copy(state.stream, memory.address(), values.data(),
                              values.size() * sizeof values[0], kernels::CopyKind::kHostToDevice,
                              &diagnostic),
                  diagnostic, where);
            return memory.address();
        };
        if (!host) {
            binding.indices = send(node.indices, node.packed.indices);
            if (planned.ragged)
                binding.offsets = send(node.offsets, node.packed.offsets);
        }
    }
    OperatorStats& stats = operators_[node.slot];
    const bool gpu = std::strcmp(state.device->info().clock, "gpu") == 0;
    for (std::size_t i = 0; i < planned.calls(graph); ++i) {
        if (host) {
            const Clock::time_point begin = Clock::now();
            launch_on_host(planned, i, binding, where);
            stats.seconds += seconds_since(begin);
            ++stats.launches;
            continue;
        }
        plan::Call call = plan.call(graph, planned, i, binding);
        call.bind();
        state.busy = true;
        if (gpu) {
            if (state.launched.size() == state.events.size()) {
                std::pair<kernels::Event*, kernels::Event*> pair{};
                check(target.event_create(state.device->handle(), &pair.first, &diagnostic),
                      diagnostic, where);
                check(target.event_create(state.device->handle(), &pair.second, &diagnostic),
                      diagnostic, where);
                state.events.push_back(pair);
            }
            check(
                target.record(state.stream, state.events[state.launched.size()].first, &diagnostic),
                diagnostic, where);
        }
        check(target.launch(state.stream, &call.node, planned.packed.address(),
                            planned.workspace[i] > 0 ? state.workspace.address() : nullptr,
                            &diagnostic),
              diagnostic, where);
        if (gpu)
            check(target.record(state.stream, state.events[state.launched.size()].second,
                                &diagnostic),
                  diagnostic, where);
        state.launched.push_back(step.node);
        ++stats.launches;
    }
    const plan::Work work = plan::work_of(graph, plan, planned, batch, looked_up);
    stats.flops += work.flops;
    stats.bytes += work.constant_bytes + work.activation_bytes;
    (planned.packed.placement() == Placement::kFast ? stats.fast_bytes : stats.large_bytes) +=
        work.constant_bytes;
    (state.storages.placement() == Placement::kFast ? stats.fast_bytes : stats.large_bytes) +=
        work.activation_bytes;
}

void Request::launch_on_host(const plan::NodePlan& planned, std::size_t number,
                             const plan::Binding& binding, const std::string& where) {
    const graph::Graph& graph = model_->graph();
    const plan::Plan& plan = model_->plan();
    const plan::DevicePlan& memory = plan.memory[planned.device];
    DeviceState& state = *devices_[planned.device];
    WorkerPool* pool = state.device->workers();
    // Offsets of ragged bags count from the first sample of all, so those stay whole.
    std::size_t parts = 1;
    if (pool != nullptr && !planned.ragged)
        parts = std::clamp<std::size_t>(static_cast<std::size_t>(binding.batch / kRowsPerWorker), 1,
                                        pool->workers());
    std::vector<kernels::Status> results(parts, kernels::Status::kOk);
    std::vector<kernels::Diagnostic> diagnostics(parts);
    const auto run_part = [&](std::size_t part) {
        const auto share = [&](std::size_t p) {
            return binding.batch * static_cast<std::int64_t>(p) / static_cast<std::int64_t>(parts);
        };
        const std::int64_t first = share(part);
        plan::Binding rows = binding;
        rows.batch = share(part + 1) - first;
        for (std::size_t i = 0; i < rows.storages.size(); ++i) {
            const plan::DeviceStorage& storage = memory.storages[i];
            rows.storages[i] =
                static_cast<std::byte*>(rows.storages[i]) +
                static_cast<std::size_t>(first * storage.pitch) * kernels::size_of(storage.type);
        }
        plan::Call call = plan.call(graph, planned, number, rows);
        if (!planned.tables.empty() && !planned.ragged) {
            // [tables, batch, pooling]: a share of the samples of every table.
            kernels::TensorView& indices = call.inputs[1];
            indices.data =
                indices.as<std::byte>() +
                static_cast<std::size_t>(first * indices.shape[2]) * sizeof(std::int32_t);
            indices.strides[0] = binding.batch * indices.shape[2];
        }
        call.bind();
        auto* workspace = static_cast<std::byte*>(state.workspace.address());
        results[part] = state.device->target().launch(
            state.stream, &call.node, planned.packed.address(),
            planned.workspace[number] > 0 ? workspace + part * state.workspace_stride : nullptr,
            &diagnostics[part]);
    };
    if (parts == 1)
        run_part(0);
    else
        pool->run(parts, run_part);
    for (std::size_t part = 0; part < parts; ++part)
        check(results[part], diagnostics[part], where);
}

void Request::collect_outputs(std::int64_t first, std::int64_t batch) {
    const graph::Graph& graph = model_->graph();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        const graph::Value& value = graph.value(graph.outputs[i]);
        const graph::Graph::Place place = graph.place(graph.outputs[i]);
        std::int64_t pitch = 0;
        std::byte* rows = host_rows(place.storage, first, pitch);
        const std::size_t element = kernels::size_of(value.type);
        auto* to = static_cast<std::byte*>(outputs_[i].tensor.data) +
                   static_cast<std::size_t>(first * value.width) * element;
        copy_rows({to, value.type, value.width},
                  {rows + static_cast<std::size_t>(place.column) * element, value.type, pitch}, 0,
                  value.width, batch);
    }
}

} // namespace talus::runtime
