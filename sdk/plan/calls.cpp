// Kernel calls of planned nodes.
#include "sdk/common/error.hpp"
#include "sdk/plan/plan.hpp"

namespace talus::plan {

namespace {

using graph::Graph;
using kernels::TensorView;

TensorView matrix(void* data, DType type, std::int64_t rows, std::int64_t columns,
                  std::int64_t pitch) {
    TensorView view;
    view.data = data;
    view.dtype = type;
    view.rank = 2;
    view.shape[0] = rows;
    view.shape[1] = columns;
    view.strides[0] = pitch;
    view.strides[1] = 1;
    return view;
}

TensorView constant_view(const graph::Tensor& tensor, bool with_data) {
    void* data = with_data ? const_cast<std::byte*>(tensor.bytes.data()) : nullptr;
    return kernels::make_view(data, tensor.type, tensor.shape.data(),
                              static_cast<std::int32_t>(tensor.shape.size()));
}

} // namespace

void Call::bind() {
    if (tbe.table_count > 0)
        node.attributes = &tbe;
    node.inputs = inputs.data();
    node.input_count = static_cast<std::int32_t>(inputs.size());
    node.outputs = outputs.data();
    node.output_count = static_cast<std::int32_t>(outputs.size());
}

std::ptrdiff_t DevicePlan::find(ValueId storage) const {
    for (std::size_t i = 0; i < storages.size(); ++i)
        if (storages[i].storage == storage)
            return static_cast<std::ptrdiff_t>(i);
    return -1;
}

std::size_t NodePlan::calls(const Graph& graph) const {
    const graph::Node& what = graph.nodes[node];
    // A concatenation copies each input that could not be placed by a call of its own.
    return std::holds_alternative<graph::Concat>(what.what) ? what.inputs.size() : 1;
}

Call Plan::call(const Graph& graph, const NodePlan& planned, std::size_t number,
                const Binding& binding, const void* table_blob, bool constants) const {
    const graph::Node& node = graph.nodes[planned.node];
    const DevicePlan& where = memory[planned.device];
    const auto view = [&](ValueId id, std::int64_t column, std::int64_t width) {
        const Graph::Place place = graph.place(id);
        const std::ptrdiff_t at = where.find(place.storage);
        if (at < 0)
            fail(TALUS_ERROR_INTERNAL, "node '{}' has no storage for '{}'", node.name,
                 graph.value(id).name);
        const DeviceStorage& storage = where.storages[static_cast<std::size_t>(at)];
        void* data = nullptr;
        if (static_cast<std::size_t>(at) < binding.storages.size()) {
            auto* base = static_cast<std::byte*>(binding.storages[static_cast<std::size_t>(at)]);
            if (base != nullptr)
                data = base + static_cast<std::size_t>(place.column + column) *
                                  kernels::size_of(storage.type);
        }
        return matrix(data, storage.type, binding.batch, width, storage.pitch);
    };
    const auto whole = [&](ValueId id) { return view(id, 0, graph.value(id).width); };

    Call call;
    call.node.op = node.op();
    if (const auto* fc = std::get_if<graph::Fc>(&node.what)) {
        call.inputs = {whole(node.inputs[0]), constant_view(*fc->weight, constants)};
        if (fc->scale != nullptr)
            call.inputs.push_back(constant_view(*fc->scale, constants));
        if (fc->bias != nullptr)
            call.inputs.push_back(constant_view(*fc->bias, constants));
        if (fc->scale != nullptr)
            call.node.attributes = &std::get<kernels::fc_int8::Attributes>(planned.attributes);
        else
            call.node.attributes = &std::get<kernels::fc::Attributes>(planned.attributes);
    } else if (const auto* tbe = std::get_if<graph::Tbe>(&node.what)) {
        const std::int64_t blob_shape[] = {planned.table_bytes};
        call.inputs.push_back(
            kernels::make_view(const_cast<void*>(table_blob), DType::kUint8, blob_shape));
        const auto tables = static_cast<std::int64_t>(tbe->tables.size());
        auto* indices = const_cast<void*>(binding.indices);
        if (planned.ragged) {
            const std::int64_t flat[] = {binding.index_count};
            const std::int64_t bounds[] = {tables * binding.batch + 1};
            call.inputs.push_back(kernels::make_view(indices, DType::kInt32, flat));
            call.inputs.push_back(
                kernels::make_view(const_cast<void*>(binding.offsets), DType::kInt32, bounds));
        } else {
            const std::int64_t shape[] = {tables, binding.batch, tbe->tables.front().source.count};
            call.inputs.push_back(kernels::make_view(indices, DType::kInt32, shape));
        }
        call.tbe.tables = planned.tables.data();
        call.tbe.table_count = static_cast<std::int32_t>(tables);
        call.tbe.pooling = tbe->pooling;
        call.tbe.stored = planned.stored;
        call.tbe.batch = static_cast<std::int32_t>(binding.batch);
    } else if (const auto* dot = std::get_if<graph::Interaction>(&node.what)) {
        TensorView features = whole(node.inputs[0]);
        features.rank = 3;
        features.shape[1] = dot->features;
        features.shape[2] = dot->dim;
        features.strides[1] = dot->dim;
        features.strides[2] = 1;
        call.inputs.push_back(features);
        if (node.inputs.size() > 1)
            call.inputs.push_back(whole(node.inputs[1]));
        call.node.attributes = &std::get<kernels::interaction::Attributes>(planned.attributes);
    } else if (const auto* concat = std::get_if<graph::Concat>(&node.what)) {
        const ValueId input = node.inputs[number];
        call.inputs.push_back(whole(input));
        call.outputs.push_back(
            view(node.output, concat->columns[number], graph.value(input).width));
        call.node.attributes = &std::get<kernels::concat::Attributes>(planned.attributes);
    } else if (const auto* eltwise = std::get_if<graph::Eltwise>(&node.what)) {
        for (ValueId input : node.inputs)
            call.inputs.push_back(whole(input));
        if (eltwise->constant != nullptr) {
            TensorView operand = constant_view(*eltwise->constant, false);
            operand.dtype = call.inputs.front().dtype;
            operand.data = planned.constant.address();
            call.inputs.insert(eltwise->constant_first ? call.inputs.begin() : call.inputs.end(),
                               operand);
        }
        call.node.attributes = &std::get<kernels::eltwise::Attributes>(planned.attributes);
    } else {
        call.inputs.push_back(whole(node.inputs[0]));
        call.node.attributes = &std::get<kernels::convert::Attributes>(planned.attributes);
    }
    if (call.outputs.empty())
        call.outputs.push_back(whole(node.output));
    return call;
}

Work work_of(const Graph& graph, const Plan& plan, const NodePlan& planned, std::int64_t batch,
             std::int64_t indices) {
    const graph::Node& node = graph.nodes[planned.node];
    const DevicePlan& where = plan.memory[planned.device];
    Work work;
    const auto samples = static_cast<double>(batch);
    const auto touch = [&](ValueId id) {
        const std::ptrdiff_t at = where.find(graph.place(id).storage);
        if (at >= 0)
            work.activation_bytes +=
                static_cast<std::uint64_t>(batch * graph.value(id).width) *
                kernels::size_of(where.storages[static_cast<std::size_t>(at)].type);
    };
    for (ValueId input : node.inputs)
        touch(input);
    if (std::holds_alternative<graph::Concat>(node.what))
        for (ValueId input : node.inputs) // what is written is what was read
            touch(input);
    else
        touch(node.output);
    if (const auto* fc = std::get_if<graph::Fc>(&node.what)) {
        work.flops = 2.0 * samples * static_cast<double>(fc->weight->elements());
        work.constant_bytes = planned.packed.bytes();
    } else if (const auto* tbe = std::get_if<graph::Tbe>(&node.what)) {
        const std::uint64_t element = planned.stored == DType::kFloat16 ? 2 : 4;
        const auto looked_up = static_cast<std::uint64_t>(indices);
        work.constant_bytes = looked_up * static_cast<std::uint64_t>(tbe->dim) * element;
        work.activation_bytes += looked_up * sizeof(std::int32_t);
        work.flops = static_cast<double>(indices) * static_cast<double>(tbe->dim);
    } else if (const auto* dot = std::get_if<graph::Interaction>(&node.what)) {
        work.flops =
            2.0 * samples * static_cast<double>(dot->dim) *
            static_cast<double>(kernels::interaction::pair_count(dot->features, dot->diagonal));
    } else if (std::holds_alternative<graph::Eltwise>(node.what)) {
        work.flops = samples * static_cast<double>(graph.value(node.output).width);
    }
    return work;
}

} // namespace talus::plan
