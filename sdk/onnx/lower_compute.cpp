// Dense arithmetic: fully connected layers, the dot interaction, element-wise operations.
#include <cmath>
#include <limits>

#include "kernels/interaction/op.hpp"
#include "sdk/onnx/lowering.hpp"

namespace talus::onnx {

namespace {

using graph::Activation;
using graph::Function;

// [out, in] from Gemm's or MatMul's B, scaled.
TensorPtr weight_of(const TensorPtr& constant, bool transposed, float scale) {
    if (transposed && scale == 1.0F)
        return constant;
    const graph::Tensor& b = *constant;
    const auto out = static_cast<std::size_t>(transposed ? b.shape[0] : b.shape[1]);
    const auto in = static_cast<std::size_t>(transposed ? b.shape[1] : b.shape[0]);
    graph::Tensor weight = graph::make_tensor(
        b.name, DType::kFloat32, {static_cast<std::int64_t>(out), static_cast<std::int64_t>(in)});
    const auto from = b.as<float>();
    auto to = weight.as<float>();
    for (std::size_t n = 0; n < out; ++n)
        for (std::size_t k = 0; k < in; ++k)
            to[n * in + k] = scale * (transposed ? from[n * in + k] : from[k * out + n]);
    return std::make_shared<const graph::Tensor>(std::move(weight));
}

// A bias [out] from a constant that broadcasts along the batch, or null if it does not.
TensorPtr bias_of(const graph::Tensor& c, std::int64_t out, float scale) {
    const std::int64_t count = c.elements();
    const bool row = c.shape.empty() || c.shape.back() == count;
    if (!row || (count != out && count != 1))
        return nullptr;
    graph::Tensor bias = graph::make_tensor(c.name, DType::kFloat32, {out});
    for (std::int64_t n = 0; n < out; ++n)
        bias.as<float>()[static_cast<std::size_t>(n)] =
            scale * c.as<float>()[count == 1 ? 0 : static_cast<std::size_t>(n)];
    return std::make_shared<const graph::Tensor>(std::move(bias));
}

const std::map<std::string, Function>& functions() {
    static const std::map<std::string, Function> table = {
        {"Abs", Function::kAbs},   {"Add", Function::kAdd},         {"Div", Function::kDiv},
        {"Exp", Function::kExp},   {"Max", Function::kMax},         {"Min", Function::kMin},
        {"Mul", Function::kMul},   {"Neg", Function::kNeg},         {"Relu", Function::kRelu},
        {"Sub", Function::kSub},   {"Sigmoid", Function::kSigmoid}, {"Sqrt", Function::kSqrt},
        {"Tanh", Function::kTanh},
    };
    return table;
}

} // namespace

void Lowering::gemm(const OnnxNode& node) {
    const Dense x = dense(node, 0);
    const TensorPtr b = float_constant(node, 1);
    if (b == nullptr || b->shape.size() != 2)
        unsupported(node, "its B must be a constant matrix");
    if (x.shape.size() != 2 || node.integer("transA", 0) != 0)
        unsupported(node, fmt::format("A must be [batch, in] and not transposed; it is {}",
                                      graph::to_string(x.shape)));
    const bool transposed = node.integer("transB", 0) != 0;
    const std::int64_t in = b->shape[transposed ? 1 : 0];
    const std::int64_t out = b->shape[transposed ? 0 : 1];
    if (in != x.shape[1].extent)
        fail(TALUS_ERROR_MODEL, "{}: A is {} but B is {}", node.label(), graph::to_string(x.shape),
             graph::to_string(b->shape));
    if (in == 0 || out == 0)
        unsupported(node, "a layer without inputs or outputs");
    graph::Fc fc;
    charge(node, b->bytes.size());
    fc.weight = weight_of(b, transposed, node.real("alpha", 1.0F));
    if (has_input(node, 2)) {
        const TensorPtr c = float_constant(node, 2);
        if (c != nullptr)
            fc.bias = bias_of(*c, out, node.real("beta", 1.0F));
        if (fc.bias == nullptr)
            unsupported(node, "its C must be a constant of one element or one per output");
    }
    define(node, emit(node, std::move(fc), {x.value}, {x.shape.front(), Dim::known(out)}));
}

void Lowering::matmul(const OnnxNode& node) {
    const auto* right = get<Transposed>(node, 1);
    const auto* left = get<Dense>(node, 0);
    if (right != nullptr) {
        if (left == nullptr || left->value != right->of.value || left->shape != right->of.shape)
            unsupported(node, "two different activations; only a tensor with its own transpose "
                              "(the dot interaction)");
        return define(node, Products{*left, false});
    }
    const Dense x = dense(node, 0);
    const TensorPtr b = float_constant(node, 1);
    if (b == nullptr || b->shape.size() != 2 || x.shape.size() != 2)
        unsupported(node,
                    fmt::format("{} by {}; only [batch, in] by a constant matrix, or a tensor "
                                "by its own transpose",
                                graph::to_string(x.shape), describe(meaning(node, 1))));
    if (b->shape[0] != x.shape[1].extent)
        fail(TALUS_ERROR_MODEL, "{}: A is {} but B is {}", node.label(), graph::to_string(x.shape),
             graph::to_string(b->shape));
    if (b->shape[0] == 0 || b->shape[1] == 0)
        unsupported(node, "a layer without inputs or outputs");
    graph::Fc fc;
    charge(node, b->bytes.size());
    fc.weight = weight_of(b, false, 1.0F);
    define(node, emit(node, std::move(fc), {x.value}, {x.shape.front(), Dim::known(b->shape[1])}));
}

void Lowering::interaction(const OnnxNode& node, const Products& products,
                           const std::vector<std::int64_t>& pairs) {
    const std::int64_t features = products.of.shape[1].extent;
    graph::Interaction dot;
    dot.features = features;
    dot.dim = products.of.shape[2].extent;
    bool matches = false;
    // The count rules out absurd numbers of features before anything of that size is built.
    const auto given = static_cast<std::int64_t>(pairs.size());
    for (const bool diagonal : {false, true}) {
        if (features > INT32_MAX || kernels::interaction::pair_count(features, diagonal) != given)
            continue;
        bool same = true;
        std::size_t p = 0;
        for (std::int64_t i = 0; same && i < features; ++i)
            for (std::int64_t j = 0; same && j < i + (diagonal ? 1 : 0); ++j, ++p)
                // The products are symmetric: <f_i, f_j> may be taken at (i, j) or (j, i).
                same = pairs[p] == i * features + j || pairs[p] == j * features + i;
        if (same) {
            dot.diagonal = diagonal;
            matches = true;
            break;
        }
    }
    if (!matches)
        unsupported(node, fmt::format("{} products of {} features; only the lower triangle in "
                                      "row-major order, with or without the diagonal",
                                      pairs.size(), features));
    const auto count = static_cast<std::int64_t>(pairs.size());
    define(node,
           emit(node, dot, {products.of.value}, {products.of.shape.front(), Dim::known(count)},
                graph_.value(products.of.value).type));
}

void Lowering::activation(const OnnxNode& node) {
    const Dense input = dense(node, 0);
    const Function function = functions().at(node.op);
    graph::Node* producer = sole_producer(node, 0);
    graph::Fc* fc = producer == nullptr ? nullptr : std::get_if<graph::Fc>(&producer->what);
    const bool fusible = function == Function::kRelu || function == Function::kSigmoid;
    if (fc != nullptr && fusible && fc->activation == Activation::kNone) {
        fc->activation = function == Function::kRelu ? Activation::kRelu : Activation::kSigmoid;
        producer->onnx_nodes.push_back(node.name);
        graph_.value(input.value).name = node.outputs.front();
        return define(node, input);
    }
    graph::Eltwise eltwise;
    eltwise.function = function;
    define(node, emit(node, eltwise, {input.value}, input.shape, graph_.value(input.value).type));
}

void Lowering::binary(const OnnxNode& node) {
    if ((node.op == "Mul" && rescale(node)) || fold_arithmetic(node))
        return;
    const bool constant_first = get<Constant>(node, 0) != nullptr;
    const std::size_t first = constant_first ? 1 : 0;
    const Dense a = dense(node, first);
    graph::Eltwise eltwise;
    eltwise.function = functions().at(node.op);
    // Targets repeat a row most readily as the second operand; where the order does not matter, the
    // constant goes there.
    eltwise.constant_first = constant_first && (node.op == "Sub" || node.op == "Div");
    if (const TensorPtr constant = float_constant(node, 1 - first)) {
        graph::Node* producer = sole_producer(node, first);
        graph::Fc* fc = producer == nullptr ? nullptr : std::get_if<graph::Fc>(&producer->what);
        const std::int64_t width = graph_.value(a.value).width;
        charge(node, static_cast<std::size_t>(width) * sizeof(float));
        const TensorPtr row = bias_of(*constant, width, 1.0F);
        const bool fits =
            row != nullptr && a.shape.size() <= 2 && constant->shape.size() <= a.shape.size();
        if (row == nullptr || (!fits && constant->elements() != 1))
            unsupported(node,
                        fmt::format("{} with a constant {}; the constant must be one element "
                                    "or one per column",
                                    graph::to_string(a.shape), graph::to_string(constant->shape)));
        if (fc != nullptr && fits && node.op == "Add" && fc->bias == nullptr &&
            fc->activation == Activation::kNone) {
            fc->bias = row;
            producer->onnx_nodes.push_back(node.name);
            graph_.value(a.value).name = node.outputs.front();
            return define(node, a);
        }
        if (graph_.value(a.value).type != DType::kFloat32)
            unsupported(node, "a float32 constant with a float16 activation");
        eltwise.constant = row;
        return define(node, emit(node, std::move(eltwise), {a.value}, a.shape));
    }
    const Dense b = dense(node, 1);
    if (a.shape != b.shape || graph_.value(a.value).type != graph_.value(b.value).type)
        unsupported(node, fmt::format("{} with {}; two activations must have one shape and type",
                                      graph::to_string(a.shape), graph::to_string(b.shape)));
    define(node,
           emit(node, std::move(eltwise), {a.value, b.value}, a.shape, graph_.value(a.value).type));
}

void Lowering::clip(const OnnxNode& node) {
    const Dense input = dense(node, 0);
    graph::Eltwise eltwise;
    eltwise.function = Function::kClip;
    eltwise.low = node.real("min", -std::numeric_limits<float>::infinity());
    eltwise.high = node.real("max", std::numeric_limits<float>::infinity());
    for (std::size_t i = 1; i <= 2; ++i) {
        if (!has_input(node, i))
            continue;
        const TensorPtr bound = float_constant(node, i);
        if (bound == nullptr || bound->elements() != 1)
            unsupported(node, "its bounds must be constant scalars");
        (i == 1 ? eltwise.low : eltwise.high) = bound->as<float>()[0];
    }
    define(node, emit(node, eltwise, {input.value}, input.shape, graph_.value(input.value).type));
}

} // namespace talus::onnx
