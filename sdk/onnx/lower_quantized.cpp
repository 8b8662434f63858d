// Dynamic INT8 layers as ONNX Runtime's quantiser writes them, and quantised constants:
//
//   DynamicQuantizeLinear(x) -> q, s, z
//   MatMulInteger(q, W, z[, W's zero point]) -> Cast to float -> Mul with s and W's scale[s]
//
// become one layer, which quantises every row of x by its own range instead of the whole batch by
// one: a result then depends on its own row alone, and no step is coarser than the model's.
#include <algorithm>

#include "kernels/fc_int8/op.hpp"
#include "sdk/onnx/lowering.hpp"

namespace talus::onnx {

namespace {

bool is_int8(DType type) {
    return type == DType::kInt8 || type == DType::kUint8;
}

// An element of an int8 or uint8 tensor.
int byte_of(const graph::Tensor& tensor, std::size_t index) {
    return tensor.type == DType::kInt8 ? static_cast<int>(tensor.as<std::int8_t>()[index])
                                       : static_cast<int>(tensor.as<std::uint8_t>()[index]);
}

std::int32_t integer_of(const graph::Tensor& tensor, std::size_t index) {
    return tensor.type == DType::kInt32 ? tensor.as<std::int32_t>()[index] : byte_of(tensor, index);
}

} // namespace

void Lowering::dynamic_quantize(const OnnxNode& node) {
    const Dense x = dense(node, 0);
    define(node, Quantized{x, Quantized::kValues});
    if (node.outputs.size() > 1)
        meanings_.insert_or_assign(node.outputs[1], Quantized{x, Quantized::kScale});
    if (node.outputs.size() > 2)
        meanings_.insert_or_assign(node.outputs[2], Quantized{x, Quantized::kZeroPoint});
}

void Lowering::matmul_integer(const OnnxNode& node) {
    const auto* a = get<Quantized>(node, 0);
    const auto* zero = get<Quantized>(node, 2);
    if (a == nullptr || a->part != Quantized::kValues || zero == nullptr ||
        zero->part != Quantized::kZeroPoint || zero->of.value != a->of.value)
        unsupported(node, "its A must come from DynamicQuantizeLinear, with that one's zero point");
    const auto* b = get<Constant>(node, 1);
    if (b == nullptr || b->tensor->shape.size() != 2 || !is_int8(b->tensor->type))
        unsupported(node, "its B must be a constant int8 or uint8 matrix");
    const graph::Tensor& matrix = *b->tensor;
    const Shape& shape = a->of.shape;
    const std::int64_t in = matrix.shape[0];
    const std::int64_t out = matrix.shape[1];
    if (shape.size() != 2)
        unsupported(node, fmt::format("A must be [batch, in]; it is {}", graph::to_string(shape)));
    if (in != shape[1].extent)
        fail(TALUS_ERROR_MODEL, "{}: A is {} but B is {}", node.label(), graph::to_string(shape),
             graph::to_string(matrix.shape));
    if (in == 0 || out == 0 || in > kernels::fc_int8::kMaxK)
        unsupported(node, fmt::format("{} inputs and {} outputs; 1 to {} inputs are", in, out,
                                      kernels::fc_int8::kMaxK));
    // The hardware multiplies INT8 without a zero point of B; uint8 around 128 is the same shifted.
    const int middle = matrix.type == DType::kInt8 ? 0 : 128;
    int found = 0;
    if (has_input(node, 3)) {
        const auto* point = get<Constant>(node, 3);
        if (point == nullptr || point->tensor->type != matrix.type ||
            (point->tensor->elements() != 1 && point->tensor->elements() != out))
            unsupported(node,
                        "B's zero point must be a constant of B's type, one or one per column");
        found = middle;
        for (std::size_t i = 0; i < static_cast<std::size_t>(point->tensor->elements()); ++i)
            if (byte_of(*point->tensor, i) != middle)
                found = byte_of(*point->tensor, i);
    }
    if (found != middle)
        unsupported(node,
                    fmt::format("B's zero point is {}; only symmetric weights (int8 around 0, "
                                "uint8 around 128) are",
                                found));
    charge(node, matrix.bytes.size());
    graph::Tensor weight = graph::make_tensor(matrix.name, DType::kInt8, {out, in});
    for (std::int64_t k = 0; k < in; ++k)
        for (std::int64_t n = 0; n < out; ++n)
            weight.as<std::int8_t>()[static_cast<std::size_t>(n * in + k)] =
                static_cast<std::int8_t>(byte_of(matrix, static_cast<std::size_t>(k * out + n)) -
                                         middle);
    define(node, IntegerProduct{a->of, std::make_shared<const graph::Tensor>(std::move(weight)),
                                false, nullptr});
}

// Mul of an integer product or of the scale of its A. False: neither is there.
bool Lowering::rescale(const OnnxNode& node) {
    const auto one = [&](std::size_t input) -> std::optional<IntegerProduct> {
        if (const auto* product = get<IntegerProduct>(node, input))
            return *product;
        const auto* quantized = get<Quantized>(node, input);
        if (quantized != nullptr && quantized->part == Quantized::kScale)
            return IntegerProduct{quantized->of, nullptr, true, nullptr};
        return std::nullopt;
    };
    auto left = one(0);
    auto right = one(1);
    if (!left && !right)
        return false;
    if (!left)
        std::swap(left, right);
    IntegerProduct result = *left;
    if (right) {
        const bool clash = (result.weight != nullptr && right->weight != nullptr) ||
                           (result.scaled && right->scaled) ||
                           (result.weight_scale != nullptr && right->weight_scale != nullptr);
        if (clash || result.of.value != right->of.value)
            unsupported(node, "a product of two quantised tensors that do not belong together");
        result.weight = result.weight != nullptr ? result.weight : right->weight;
        result.scaled = result.scaled || right->scaled;
        result.weight_scale =
            result.weight_scale != nullptr ? result.weight_scale : right->weight_scale;
    } else {
        const TensorPtr scale = float_constant(node, one(0) ? 1 : 0);
        if (scale == nullptr || result.weight_scale != nullptr)
            unsupported(node, "an integer product takes the scale of its A and one constant scale");
        result.weight_scale = scale;
    }
    if (result.weight == nullptr || !result.scaled || result.weight_scale == nullptr)
        return define(node, result), true;

    const std::int64_t out = result.weight->shape[0];
    const std::int64_t count = result.weight_scale->elements();
    if ((count != 1 && count != out) ||
        (!result.weight_scale->shape.empty() && result.weight_scale->shape.back() != count))
        unsupported(node, fmt::format("a scale of shape {}; one element or one per column are",
                                      graph::to_string(result.weight_scale->shape)));
    charge(node, static_cast<std::size_t>(out) * sizeof(float));
    graph::Tensor scale = graph::make_tensor(result.weight_scale->name, DType::kFloat32, {out});
    for (std::size_t n = 0; n < static_cast<std::size_t>(out); ++n)
        scale.as<float>()[n] = result.weight_scale->as<float>()[count == 1 ? 0 : n];
    graph::Fc fc;
    fc.weight = result.weight;
    fc.scale = std::make_shared<const graph::Tensor>(std::move(scale));
    define(node, emit(node, std::move(fc), {result.of.value},
                      {result.of.shape.front(), Dim::known(out)}));
    return true;
}

void Lowering::dequantize(const OnnxNode& node) {
    const auto* x = get<Constant>(node, 0);
    const TensorPtr scale = float_constant(node, 1);
    if (x == nullptr || scale == nullptr ||
        !(is_int8(x->tensor->type) || x->tensor->type == DType::kInt32))
        unsupported(node, "only constants (int8, uint8, int32) by constant scales are; activations "
                          "run in INT8 behind DynamicQuantizeLinear");
    const graph::Tensor& from = *x->tensor;
    const graph::Tensor* zero = nullptr;
    if (has_input(node, 2)) {
        const auto* point = get<Constant>(node, 2);
        if (point == nullptr || point->tensor->type != from.type ||
            point->tensor->elements() != scale->elements())
            unsupported(node, "its zero point must be a constant like its scale");
        zero = point->tensor.get();
    }
    std::size_t inner = 1; // elements that share a scale, side by side
    const std::int64_t count = scale->elements();
    if (count != 1) {
        const std::int64_t axis = normalised_axis(node, node.integer("axis", 1), from.shape.size());
        if (scale->shape.size() != 1 || from.shape[static_cast<std::size_t>(axis)] != count)
            unsupported(node, "its scale must have one element or one per slice of its axis");
        for (std::size_t d = static_cast<std::size_t>(axis) + 1; d < from.shape.size(); ++d)
            inner *= static_cast<std::size_t>(from.shape[d]);
    }
    const auto elements = static_cast<std::size_t>(from.elements());
    charge(node, elements * sizeof(float));
    graph::Tensor result = graph::make_tensor(from.name, DType::kFloat32, from.shape);
    for (std::size_t i = 0; i < elements; ++i) {
        const std::size_t at = count == 1 ? 0 : i / inner % static_cast<std::size_t>(count);
        const std::int64_t value =
            std::int64_t{integer_of(from, i)} - (zero != nullptr ? integer_of(*zero, at) : 0);
        result.as<float>()[i] = static_cast<float>(value) * scale->as<float>()[at];
    }
    define(node, Constant{std::make_shared<const graph::Tensor>(std::move(result))});
}

} // namespace talus::onnx
