#include "sdk/onnx/lowering.hpp"

#include <algorithm>

#include "sdk/onnx/importer.hpp"

namespace talus::onnx {

namespace {

constexpr std::size_t kMaxDerivedBytes = std::size_t{4} << 30;

template <typename... Ts>
struct Overloaded : Ts... {
    using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

bool is_integer(DType type) {
    return type == DType::kInt32 || type == DType::kInt64;
}

std::int64_t width_of(const OnnxValue& value) {
    std::int64_t width = 1;
    for (std::size_t i = 1; i < value.shape.size(); ++i) {
        if (!value.shape[i].is_known())
            fail(TALUS_ERROR_UNSUPPORTED,
                 "input '{}' is {}: only the first dimension of a float tensor may be symbolic",
                 value.name, graph::to_string(value.shape));
        if (value.shape[i].extent != 0 && width > INT32_MAX / value.shape[i].extent)
            fail(TALUS_ERROR_MODEL, "input '{}' is {}: too large", value.name,
                 graph::to_string(value.shape));
        width *= value.shape[i].extent;
    }
    return width;
}

} // namespace

std::string describe(const Meaning& meaning) {
    return std::visit(
        Overloaded{[](const Constant& c) {
                       return fmt::format("a constant of shape {}",
                                          graph::to_string(c.tensor->shape));
                   },
                   [](const Sizes&) { return std::string("a shape"); },
                   [](const Dense& d) {
                       return fmt::format("an activation of shape {}", graph::to_string(d.shape));
                   },
                   [](const Transposed& t) {
                       return fmt::format("a transposed activation of shape {}",
                                          graph::to_string(t.of.shape));
                   },
                   [](const Products&) { return std::string("pairwise products of features"); },
                   [](const Quantized&) { return std::string("a quantised activation"); },
                   [](const IntegerProduct&) { return std::string("a product of INT8 tensors"); },
                   [](const IndexInput& i) {
                       return fmt::format("an index input of shape {}", graph::to_string(i.shape));
                   },
                   [](const IndexColumns&) { return std::string("columns of an index input"); },
                   [](const Offsets&) { return std::string("offsets of bags"); },
                   [](const Rows&) { return std::string("rows of an embedding table"); },
                   [](const LoopIndex&) { return std::string("the loop's counter"); },
                   [](const LoopCondition&) { return std::string("the loop's condition"); },
                   [](const BagBound&) { return std::string("the bound of a bag"); },
                   [](const BagIndices&) { return std::string("the indices of a bag"); },
                   [](const BagRows&) { return std::string("the rows of a bag"); },
                   [](const PooledBag&) { return std::string("a pooled bag"); }},
        meaning);
}

const std::map<std::string, Lowering::Rule>& Lowering::rules() {
    static const std::map<std::string, Rule> table = {
        {"Abs", {&Lowering::activation, 1, 1}},
        {"Add", {&Lowering::binary, 2, 2}},
        {"Cast", {&Lowering::cast, 1, 1}},
        {"Clip", {&Lowering::clip, 1, 3}},
        {"Concat", {&Lowering::concat, 1, 4096}},
        {"Constant", {&Lowering::constant, 0, 0}},
        {"DequantizeLinear", {&Lowering::dequantize, 2, 3}},
        {"DynamicQuantizeLinear", {&Lowering::dynamic_quantize, 1, 1, 3}},
        {"MatMulInteger", {&Lowering::matmul_integer, 2, 4}},
        {"Div", {&Lowering::binary, 2, 2}},
        {"Dropout", {&Lowering::identity, 1, 3}},
        {"Exp", {&Lowering::activation, 1, 1}},
        {"Flatten", {&Lowering::flatten, 1, 1}},
        {"Gather", {&Lowering::gather, 2, 2}},
        {"Gemm", {&Lowering::gemm, 2, 3}},
        {"Identity", {&Lowering::identity, 1, 1}},
        {"Loop", {&Lowering::loop, 2, 2}},
        {"MatMul", {&Lowering::matmul, 2, 2}},
        {"Max", {&Lowering::binary, 2, 2}},
        {"Min", {&Lowering::binary, 2, 2}},
        {"Mul", {&Lowering::binary, 2, 2}},
        {"Neg", {&Lowering::activation, 1, 1}},
        {"ReduceMax", {&Lowering::reduce, 1, 2}},
        {"ReduceMean", {&Lowering::reduce, 1, 2}},
        {"ReduceSum", {&Lowering::reduce, 1, 2}},
        {"Relu", {&Lowering::activation, 1, 1}},
        {"Reshape", {&Lowering::reshape, 2, 2}},
        {"Shape", {&Lowering::shape, 1, 1}},
        {"Sigmoid", {&Lowering::activation, 1, 1}},
        {"Slice", {&Lowering::slice, 1, 5}},
        {"Sqrt", {&Lowering::activation, 1, 1}},
        {"Squeeze", {&Lowering::squeeze, 1, 2}},
        {"Sub", {&Lowering::binary, 2, 2}},
        {"Tanh", {&Lowering::activation, 1, 1}},
        {"Transpose", {&Lowering::transpose, 1, 1}},
        {"Unsqueeze", {&Lowering::unsqueeze, 1, 2}},
    };
    return table;
}

graph::Graph Lowering::run() {
    graph_.name = model_.graph.name;
    graph_.onnx_node_count = model_.node_count;
    count_uses(model_.graph, 0);
    declare_inputs();
    lower_nodes(model_.graph);
    declare_outputs();
    return std::move(graph_);
}

void Lowering::count_uses(const OnnxGraph& graph, int depth) {
    for (const OnnxNode& node : graph.nodes) {
        for (const std::string& input : node.inputs)
            ++uses_[input];
        for (const auto& [name, value] : node.attributes)
            if (const auto* body = std::get_if<std::shared_ptr<OnnxGraph>>(&value))
                count_uses(**body, depth + 1);
    }
    for (const OnnxValue& output : graph.outputs)
        ++uses_[output.name];
}

void Lowering::lower_nodes(const OnnxGraph& graph) {
    for (const auto& [name, tensor] : graph.initializers)
        meanings_.insert_or_assign(name, Constant{tensor});
    for (const OnnxNode& node : graph.nodes) {
        const auto rule = rules().find(node.op);
        const bool foreign = !node.domain.empty() && node.domain != "ai.onnx";
        if (foreign || rule == rules().end())
            fail(TALUS_ERROR_UNSUPPORTED, "{}: operator {}{} is not supported; Talus runs {}",
                 node.label(), foreign ? node.domain + "." : "", node.op,
                 fmt::join(supported_operators(), ", "));
        if (node.inputs.size() < rule->second.min_inputs ||
            node.inputs.size() > rule->second.max_inputs)
            fail(TALUS_ERROR_MODEL, "{} has {} inputs; {} takes {} to {}", node.label(),
                 node.inputs.size(), node.op, rule->second.min_inputs, rule->second.max_inputs);
        for (std::size_t i = 0; i < rule->second.min_inputs; ++i)
            if (node.inputs[i].empty())
                fail(TALUS_ERROR_MODEL, "{} lacks its input {}", node.label(), i);
        if (node.outputs.empty() || node.outputs.front().empty())
            fail(TALUS_ERROR_MODEL, "{} has no output", node.label());
        for (std::size_t i = rule->second.outputs; i < node.outputs.size(); ++i)
            if (uses_.contains(node.outputs[i]))
                unsupported(node, fmt::format("its output {} is used", i));
        (this->*rule->second.handler)(node);
    }
}

void Lowering::declare_inputs() {
    for (const OnnxValue& input : model_.graph.inputs) {
        if (!input.has_shape || input.shape.empty())
            fail(TALUS_ERROR_UNSUPPORTED, "input '{}' has no shape; Talus needs [batch, ...]",
                 input.name);
        if (input.shape.size() > TALUS_MAX_RANK)
            fail(TALUS_ERROR_UNSUPPORTED, "input '{}' has {} dimensions (limit {})", input.name,
                 input.shape.size(), TALUS_MAX_RANK);
        const auto id = static_cast<ValueId>(graph_.values.size());
        graph::Value value;
        value.name = input.name;
        value.type = input.type;
        value.shape = input.shape;
        value.is_input = true;
        for (std::size_t i = 0; i < value.shape.size(); ++i)
            if (!value.shape[i].is_known() && value.shape[i].symbol.empty())
                value.shape[i].symbol = fmt::format("{}.{}", input.name, i);
        if (is_integer(input.type)) {
            meanings_.insert_or_assign(input.name, IndexInput{id, value.shape});
        } else if (input.type == DType::kFloat32 || input.type == DType::kFloat16) {
            value.width = width_of(input);
            meanings_.insert_or_assign(input.name, Dense{id, value.shape});
        } else {
            fail(TALUS_ERROR_UNSUPPORTED,
                 "input '{}' is {}; inputs are float32, float16, int32 or int64", input.name,
                 kernels::name_of(input.type));
        }
        graph_.values.push_back(std::move(value));
        graph_.inputs.push_back(id);
    }
}

void Lowering::declare_outputs() {
    if (model_.graph.outputs.empty())
        fail(TALUS_ERROR_MODEL, "the model has no output");
    for (const OnnxValue& output : model_.graph.outputs) {
        OnnxNode end;
        end.name = output.name;
        end.op = "graph output";
        end.inputs = {output.name};
        Dense result = dense(end, 0);
        if (graph_.value(result.value).is_input) {
            graph::Eltwise copy;
            result = emit(end, copy, {result.value}, result.shape, graph_.value(result.value).type);
        }
        if (result.shape.size() > TALUS_MAX_RANK)
            unsupported(end, fmt::format("it has {} dimensions", result.shape.size()));
        graph_.outputs.push_back(result.value);
        graph_.output_names.push_back(output.name);
        graph_.output_shapes.push_back(result.shape);
    }
}

bool Lowering::has_input(const OnnxNode& node, std::size_t input) const {
    return input < node.inputs.size() && !node.inputs[input].empty();
}

const Meaning& Lowering::meaning(const OnnxNode& node, std::size_t input) const {
    const auto found = meanings_.find(node.inputs.at(input));
    if (found == meanings_.end())
        fail(TALUS_ERROR_MODEL, "{} reads '{}', which has no value", node.label(),
             node.inputs.at(input));
    return found->second;
}

void Lowering::define(const OnnxNode& node, Meaning meaning) {
    meanings_.insert_or_assign(node.outputs.front(), std::move(meaning));
}

void Lowering::unsupported(const OnnxNode& node, const std::string& why) const {
    fail(TALUS_ERROR_UNSUPPORTED, "{} is not supported: {}", node.label(), why);
}

Dense Lowering::dense(const OnnxNode& node, std::size_t input) {
    const Meaning& what = meaning(node, input);
    if (const auto* activation = std::get_if<Dense>(&what))
        return *activation;
    if (const auto* rows = std::get_if<Rows>(&what)) {
        Dense result = embed_rows(*rows);
        meanings_.insert_or_assign(node.inputs[input], result);
        return result;
    }
    unsupported(node, fmt::format("its input '{}' must be an activation [batch, ...], but is {}",
                                  node.inputs[input], describe(what)));
}

std::optional<std::vector<Size>> Lowering::sizes(const OnnxNode& node, std::size_t input) const {
    if (const auto* known = get<Sizes>(node, input))
        return known->sizes;
    const auto* constant = get<Constant>(node, input);
    if (constant == nullptr || constant->tensor->shape.size() > 1 ||
        !is_integer(constant->tensor->type) ||
        static_cast<std::size_t>(constant->tensor->elements()) > kMaxShapeElements)
        return std::nullopt;
    std::vector<Size> result;
    for (std::int64_t value : constant->tensor->integers())
        result.push_back({value, {}});
    return result;
}

std::optional<std::vector<std::int64_t>> Lowering::integers(const OnnxNode& node,
                                                            std::size_t input) const {
    if (const auto* constant = get<Constant>(node, input)) {
        if (!is_integer(constant->tensor->type))
            return std::nullopt;
        return constant->tensor->integers();
    }
    const auto symbolic = sizes(node, input);
    if (!symbolic)
        return std::nullopt;
    std::vector<std::int64_t> result;
    for (const Size& size : *symbolic) {
        if (!size.known())
            return std::nullopt;
        result.push_back(size.value);
    }
    return result;
}

std::vector<std::int64_t> Lowering::required_integers(const OnnxNode& node, std::size_t input,
                                                      const char* what) const {
    auto values = integers(node, input);
    if (!values)
        unsupported(node, fmt::format("its {} must be constant integers", what));
    return std::move(*values);
}

std::vector<std::int64_t> Lowering::axes(const OnnxNode& node, std::size_t input) const {
    if (has_input(node, input))
        return required_integers(node, input, "axes");
    return node.integers("axes");
}

std::int64_t Lowering::normalised_axis(const OnnxNode& node, std::int64_t axis,
                                       std::size_t rank) const {
    const auto signed_rank = static_cast<std::int64_t>(rank);
    if (axis < -signed_rank || axis >= signed_rank)
        fail(TALUS_ERROR_MODEL, "{}: axis {} does not exist in a tensor of rank {}", node.label(),
             axis, rank);
    return axis < 0 ? axis + signed_rank : axis;
}

Dense Lowering::emit(const OnnxNode& node, decltype(graph::Node::what) what,
                     std::vector<ValueId> inputs, Shape shape, DType type) {
    const auto id = static_cast<ValueId>(graph_.values.size());
    graph::Value value;
    value.name = node.outputs.empty() ? node.name : node.outputs.front();
    value.type = type;
    value.width = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) {
        if (shape[i].extent != 0 && value.width > INT32_MAX / shape[i].extent)
            fail(TALUS_ERROR_MODEL, "{}: its output {} is too large", node.label(),
                 graph::to_string(shape));
        value.width *= shape[i].extent;
    }
    value.shape = shape;
    graph_.values.push_back(std::move(value));

    graph::Node result;
    result.name = node.name;
    result.what = std::move(what);
    result.inputs = std::move(inputs);
    result.output = id;
    result.onnx_nodes = {node.name};
    producers_.emplace(id, graph_.nodes.size());
    graph_.nodes.push_back(std::move(result));
    return {id, std::move(shape)};
}

graph::Node* Lowering::sole_producer(const OnnxNode& node, std::size_t input) {
    const auto* activation = get<Dense>(node, input);
    const auto uses = uses_.find(node.inputs[input]);
    if (activation == nullptr || uses == uses_.end() || uses->second != 1)
        return nullptr;
    // A reshape in between gives the value a second name; the value then keeps its first one.
    if (graph_.value(activation->value).name != node.inputs[input])
        return nullptr;
    const auto producer = producers_.find(activation->value);
    return producer == producers_.end() ? nullptr : &graph_.nodes[producer->second];
}

void Lowering::charge(const OnnxNode& node, std::size_t bytes) {
    derived_bytes_ += bytes;
    if (derived_bytes_ > kMaxDerivedBytes)
        fail(TALUS_ERROR_MODEL,
             "{}: the model derives more than {} bytes of constants from its own", node.label(),
             kMaxDerivedBytes);
}

TensorPtr Lowering::float_constant(const OnnxNode& node, std::size_t input) const {
    const auto* constant = get<Constant>(node, input);
    if (constant == nullptr)
        return nullptr;
    if (constant->tensor->type != DType::kFloat32)
        unsupported(node, fmt::format("its constant '{}' is {}, not float32", node.inputs[input],
                                      kernels::name_of(constant->tensor->type)));
    return constant->tensor;
}

graph::Graph import_model(const OnnxModel& model) {
    graph::Graph result = Lowering(model).run();
    graph::optimise(result);
    return result;
}

std::vector<std::string> supported_operators() {
    std::vector<std::string> names;
    for (const auto& [name, rule] : Lowering::rules())
        names.push_back(name);
    return names;
}

} // namespace talus::onnx
