// Constants, shape arithmetic, and operators that only rename what is there.
#include <algorithm>
#include <cmath>

#include "kernels/common/half.hpp"
#include "sdk/onnx/lowering.hpp"

namespace talus::onnx {

namespace {

TensorPtr integer_vector(const std::vector<std::int64_t>& values, bool scalar) {
    auto shape = scalar ? std::vector<std::int64_t>{}
                        : std::vector<std::int64_t>{static_cast<std::int64_t>(values.size())};
    graph::Tensor tensor = graph::make_tensor("", DType::kInt64, std::move(shape));
    std::copy(values.begin(), values.end(), tensor.as<std::int64_t>().begin());
    return std::make_shared<const graph::Tensor>(std::move(tensor));
}

double element(const graph::Tensor& tensor, std::size_t i) {
    switch (tensor.type) {
    case DType::kFloat32:
        return tensor.as<float>()[i];
    case DType::kFloat64:
        return tensor.as<double>()[i];
    case DType::kFloat16:
        return kernels::half_to_float(tensor.as<std::uint16_t>()[i]);
    case DType::kInt64:
        return static_cast<double>(tensor.as<std::int64_t>()[i]);
    case DType::kInt32:
        return tensor.as<std::int32_t>()[i];
    default:
        return tensor.as<std::uint8_t>()[i];
    }
}

bool convertible(DType type) {
    return type == DType::kFloat32 || type == DType::kFloat64 || type == DType::kFloat16 ||
           type == DType::kInt64 || type == DType::kInt32 || type == DType::kBool ||
           type == DType::kUint8;
}

// Constants are converted as ONNX's Cast has it. Integers to integers go without a detour through
// floating point.
TensorPtr cast_constant(const graph::Tensor& from, DType type) {
    graph::Tensor to = graph::make_tensor(from.name, type, from.shape);
    const auto count = static_cast<std::size_t>(from.elements());
    const bool from_integer = from.type == DType::kInt64 || from.type == DType::kInt32;
    const std::vector<std::int64_t> whole =
        from_integer ? from.integers() : std::vector<std::int64_t>{};
    for (std::size_t i = 0; i < count; ++i) {
        const double value = element(from, i);
        const auto rounded = from_integer                ? whole[i]
                             : std::fabs(value) < 0x1p62 ? static_cast<std::int64_t>(value)
                                                         : 0;
        switch (type) {
        case DType::kFloat32:
            to.as<float>()[i] = static_cast<float>(value);
            break;
        case DType::kFloat64:
            to.as<double>()[i] = value;
            break;
        case DType::kFloat16:
            to.as<std::uint16_t>()[i] = kernels::float_to_half(static_cast<float>(value));
            break;
        case DType::kInt64:
            to.as<std::int64_t>()[i] = rounded;
            break;
        case DType::kInt32:
            to.as<std::int32_t>()[i] = static_cast<std::int32_t>(rounded);
            break;
        case DType::kBool:
            to.as<std::uint8_t>()[i] = value != 0.0;
            break;
        default:
            to.as<std::uint8_t>()[i] = static_cast<std::uint8_t>(rounded);
        }
    }
    return std::make_shared<const graph::Tensor>(std::move(to));
}

Size size_of_dim(const Dim& dim) {
    return dim.is_known() ? Size{dim.extent, {}} : Size{0, dim.symbol};
}

std::vector<Size> sizes_of(const Shape& shape) {
    std::vector<Size> sizes;
    for (const Dim& dim : shape)
        sizes.push_back(size_of_dim(dim));
    return sizes;
}

} // namespace

void Lowering::constant(const OnnxNode& node) {
    if (const AttributeValue* value = node.find("value")) {
        if (const auto* tensor = std::get_if<TensorPtr>(value))
            return define(node, Constant{*tensor});
    } else if (const AttributeValue* integer = node.find("value_int")) {
        if (const auto* number = std::get_if<std::int64_t>(integer))
            return define(node, Constant{integer_vector({*number}, true)});
    } else if (node.find("value_ints") != nullptr) {
        return define(node, Constant{integer_vector(node.integers("value_ints"), false)});
    } else if (node.find("value_float") != nullptr) {
        graph::Tensor tensor = graph::make_tensor("", DType::kFloat32, {});
        tensor.as<float>()[0] = node.real("value_float", 0.0F);
        return define(node, Constant{std::make_shared<const graph::Tensor>(std::move(tensor))});
    }
    unsupported(node, "its value is not a dense tensor, an integer or a float");
}

void Lowering::identity(const OnnxNode& node) {
    if (node.op == "Dropout" && has_input(node, 2)) {
        const auto* training = get<Constant>(node, 2);
        if (training == nullptr || training->tensor->bytes.empty() ||
            training->tensor->bytes.front() != std::byte{0})
            unsupported(node, "it is in training mode");
    }
    define(node, meaning(node, 0));
}

void Lowering::shape(const OnnxNode& node) {
    std::vector<Size> sizes;
    if (const auto* input = get<IndexInput>(node, 0)) {
        sizes = sizes_of(input->shape);
    } else if (const auto* columns = get<IndexColumns>(node, 0)) {
        sizes = {size_of_dim(graph_.value(columns->input).shape.front())};
        if (!columns->vector)
            sizes.push_back({columns->count, {}});
    } else if (const auto* offsets = get<Offsets>(node, 0)) {
        if (!offsets->tail)
            unsupported(node, "the number of offsets is used other than as the number of bags");
        sizes = {offsets->bags};
    } else if (const auto* constant = get<Constant>(node, 0)) {
        for (std::int64_t extent : constant->tensor->shape)
            sizes.push_back({extent, {}});
    } else if (const auto* rows = get<Rows>(node, 0)) {
        sizes = sizes_of(rows->shape);
    } else if (const auto* products = get<Products>(node, 0)) {
        const Size features = size_of_dim(products->of.shape[1]);
        sizes = {size_of_dim(products->of.shape[0]), features, features};
        if (products->flat)
            sizes = {sizes[0], {features.value * features.value, {}}};
    } else {
        sizes = sizes_of(dense(node, 0).shape);
    }
    const auto rank = static_cast<std::int64_t>(sizes.size());
    const auto bound = [&](const char* name, std::int64_t otherwise) {
        const std::int64_t value = node.integer(name, otherwise);
        return std::clamp<std::int64_t>(value < 0 ? value + rank : value, 0, rank);
    };
    const std::int64_t start = bound("start", 0);
    const std::int64_t end = std::max(start, bound("end", rank));
    define(node, Sizes{{sizes.begin() + start, sizes.begin() + end}, false});
}

void Lowering::cast(const OnnxNode& node) {
    const auto type = static_cast<DType>(node.integer("to", 0));
    if (const auto* constant = get<Constant>(node, 0)) {
        if (!convertible(type) || !convertible(constant->tensor->type))
            unsupported(node, fmt::format("constant from {} to type {}",
                                          kernels::name_of(constant->tensor->type),
                                          static_cast<int>(type)));
        charge(node, constant->tensor->bytes.size());
        return define(node, Constant{cast_constant(*constant->tensor, type)});
    }
    if (const auto* product = get<IntegerProduct>(node, 0)) {
        if (type != DType::kFloat32)
            unsupported(node, fmt::format("a product of INT8 tensors to {}; to float32 is",
                                          kernels::name_of(type)));
        return define(node, IntegerProduct(*product));
    }
    const Meaning& what = meaning(node, 0);
    if (!std::holds_alternative<Dense>(what) && !std::holds_alternative<Rows>(what)) {
        const bool condition = std::holds_alternative<LoopCondition>(what);
        if (condition ? type != DType::kBool : type != DType::kInt64 && type != DType::kInt32)
            unsupported(node, fmt::format("{} to {}", describe(what), kernels::name_of(type)));
        return define(node, what);
    }
    const Dense input = dense(node, 0);
    if (type == graph_.value(input.value).type)
        return define(node, input);
    if (type != DType::kFloat32 && type != DType::kFloat16)
        unsupported(node, fmt::format("an activation to {}", kernels::name_of(type)));
    define(node, emit(node, graph::Convert{}, {input.value}, input.shape, type));
}

void Lowering::concat(const OnnxNode& node) {
    if (node.find("axis") == nullptr)
        fail(TALUS_ERROR_MODEL, "{} lacks its attribute 'axis'", node.label());
    const std::int64_t axis = node.integer("axis", 0);
    // offsets ++ [number of indices]
    const auto* offsets = get<IndexInput>(node, 0);
    if (offsets != nullptr && node.inputs.size() == 2 && offsets->shape.size() == 1 &&
        (axis == 0 || axis == -1)) {
        const auto end = sizes(node, 1);
        if (end && end->size() == 1)
            return define(node, Offsets{offsets->input, end->front(), false, false,
                                        size_of_dim(offsets->shape.front())});
    }
    std::vector<Size> joined;
    bool all_sizes = axis == 0 || axis == -1;
    for (std::size_t i = 0; all_sizes && i < node.inputs.size(); ++i) {
        const auto part = sizes(node, i);
        all_sizes = part.has_value();
        if (part && joined.size() + part->size() > kMaxShapeElements)
            fail(TALUS_ERROR_MODEL, "{}: a shape of more than {} elements", node.label(),
                 kMaxShapeElements);
        if (part)
            joined.insert(joined.end(), part->begin(), part->end());
    }
    if (all_sizes)
        return define(node, Sizes{std::move(joined), false});
    concat_dense(node, axis);
}

void Lowering::concat_dense(const OnnxNode& node, std::int64_t axis) {
    std::vector<Dense> parts;
    for (std::size_t i = 0; i < node.inputs.size(); ++i)
        parts.push_back(dense(node, i));
    const Shape& first = parts.front().shape;
    const std::int64_t at = normalised_axis(node, axis, first.size());
    // Along dimension 1 the samples' elements simply follow each other.
    if (at != 1)
        unsupported(node, fmt::format("axis {} of {}; only dimension 1 can be concatenated", axis,
                                      graph::to_string(first)));
    graph::Concat concat;
    std::vector<ValueId> inputs;
    Shape shape = first;
    std::int64_t extent = 0;
    std::int64_t column = 0;
    for (const Dense& part : parts) {
        bool fits = part.shape.size() == first.size() &&
                    graph_.value(part.value).type == graph_.value(parts.front().value).type;
        for (std::size_t d = 2; fits && d < first.size(); ++d)
            fits = part.shape[d] == first[d];
        if (!fits)
            fail(TALUS_ERROR_MODEL, "{}: inputs {} and {} do not fit", node.label(),
                 graph::to_string(first), graph::to_string(part.shape));
        concat.columns.push_back(column);
        inputs.push_back(part.value);
        column += graph_.value(part.value).width;
        extent += part.shape[1].extent;
    }
    shape[1] = Dim::known(extent);

    // The interaction kernel puts the dense vector before the products by itself.
    graph::Node* last = parts.size() == 2 ? sole_producer(node, 1) : nullptr;
    if (last != nullptr && std::holds_alternative<graph::Interaction>(last->what) &&
        last->inputs.size() == 1) {
        last->inputs.push_back(inputs.front());
        last->onnx_nodes.push_back(node.name);
        graph::Value& output = graph_.value(last->output);
        output.name = node.outputs.front();
        output.width = column;
        output.shape = shape;
        return define(node, Dense{last->output, shape});
    }
    const DType type = graph_.value(inputs.front()).type;
    define(node, emit(node, std::move(concat), std::move(inputs), shape, type));
}

Shape Lowering::reshaped(const OnnxNode& node, const Shape& from, std::vector<Size> to) const {
    const auto refuse = [&]() {
        std::vector<std::string> wanted;
        wanted.reserve(to.size());
        for (const Size& size : to)
            wanted.push_back(size.known() ? fmt::to_string(size.value) : size.symbol);
        unsupported(node, fmt::format("{} to [{}]; the batch must stay the first dimension",
                                      graph::to_string(from), fmt::join(wanted, ",")));
    };
    if (to.empty() || to.size() > kernels::kMaxRank)
        refuse();
    std::int64_t width = 1;
    for (std::size_t i = 1; i < from.size(); ++i)
        width *= from[i].extent;
    const bool zero_copies = node.integer("allowzero", 0) == 0;
    Shape result{from.front()};
    std::int64_t known = 1;
    std::size_t open = 0; // the dimension that is -1; 0: none
    for (std::size_t i = 1; i < to.size(); ++i) {
        Size size = to[i];
        if (size.known() && size.value == 0 && zero_copies && i < from.size())
            size = {from[i].extent, {}};
        if (!size.known() || size.value < -1 || (size.value == -1 && open != 0))
            refuse();
        if (size.value == -1) {
            open = i;
        } else {
            if (size.value != 0 && known > INT32_MAX / size.value)
                refuse();
            known *= size.value;
        }
        result.push_back(Dim::known(size.value));
    }
    const Size& batch = to.front();
    const bool same_batch =
        batch.known() ? batch.value == from.front().extent || (batch.value == 0 && zero_copies)
                      : batch.symbol == from.front().symbol;
    const bool open_batch = batch.known() && batch.value == -1;
    if (open != 0) {
        // [-1, -1] is not ONNX; [batch, -1] takes what is left.
        if (!same_batch || open_batch || known == 0 || width % known != 0)
            refuse();
        result[open] = Dim::known(width / known);
    } else if (known != width || !(same_batch || open_batch)) {
        refuse();
    }
    return result;
}

void Lowering::reshape(const OnnxNode& node) {
    const auto to = sizes(node, 1);
    if (!to)
        unsupported(node, "its target shape is not a constant or made of the inputs' shapes");
    if (const auto* known = get<Sizes>(node, 0); known != nullptr && to->size() <= 1)
        return define(node, Sizes{known->sizes, to->empty()});
    if (const auto* products = get<Products>(node, 0)) {
        const std::int64_t features = products->of.shape[1].extent;
        const Shape from = {products->of.shape[0], Dim::known(features), Dim::known(features)};
        if (reshaped(node, from, *to).size() != 2)
            unsupported(node, "pairwise products to other than [batch, features * features]");
        return define(node, Products{products->of, true});
    }
    if (const auto* columns = get<IndexColumns>(node, 0); columns != nullptr && columns->count == 1)
        if (to->size() == 1 || (to->size() == 2 && to->back() == Size{1, {}})) {
            IndexColumns renamed = *columns;
            renamed.vector = to->size() == 1;
            return define(node, renamed);
        }
    const Dense input = dense(node, 0);
    define(node, Dense{input.value, reshaped(node, input.shape, *to)});
}

void Lowering::flatten(const OnnxNode& node) {
    std::size_t rank = 3;
    if (get<Products>(node, 0) == nullptr)
        rank = dense(node, 0).shape.size();
    const std::int64_t axis = node.integer("axis", 1);
    if ((axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis) != 1)
        unsupported(node, fmt::format("axis {}; the batch must stay the first dimension", axis));
    if (const auto* products = get<Products>(node, 0))
        return define(node, Products{products->of, true});
    const Dense input = dense(node, 0);
    define(node,
           Dense{input.value, {input.shape.front(), Dim::known(graph_.value(input.value).width)}});
}

void Lowering::squeeze(const OnnxNode& node) {
    const std::vector<std::int64_t> removed = axes(node, 1);
    if (const auto* known = get<Sizes>(node, 0); known != nullptr && known->sizes.size() == 1)
        return define(node, Sizes{known->sizes, true});
    if (const auto* columns = get<IndexColumns>(node, 0);
        columns != nullptr && columns->count == 1) {
        IndexColumns vector = *columns;
        vector.vector = true;
        return define(node, vector);
    }
    if (const auto* bound = get<BagBound>(node, 0))
        return define(node, BagBound{bound->offsets, false});
    const Dense input = dense(node, 0);
    if (removed.empty())
        unsupported(node, "without axes");
    Shape shape;
    for (std::size_t d = 0; d < input.shape.size(); ++d) {
        bool drop = false;
        for (std::int64_t axis : removed)
            drop = drop ||
                   normalised_axis(node, axis, input.shape.size()) == static_cast<std::int64_t>(d);
        if (!drop)
            shape.push_back(input.shape[d]);
        else if (d == 0 || input.shape[d].extent != 1)
            unsupported(node, fmt::format("axis {} of {}", d, graph::to_string(input.shape)));
    }
    define(node, Dense{input.value, shape});
}

void Lowering::unsqueeze(const OnnxNode& node) {
    const std::vector<std::int64_t> added = axes(node, 1);
    if (const auto known = sizes(node, 0); known && known->size() == 1 && added.size() == 1)
        return define(node, Sizes{*known, false});
    if (const auto* columns = get<IndexColumns>(node, 0); columns != nullptr && columns->vector) {
        IndexColumns matrix = *columns;
        matrix.vector = false;
        if (added.size() == 1 && (added.front() == 1 || added.front() == -1))
            return define(node, matrix);
    }
    if (const auto* bound = get<BagBound>(node, 0); bound != nullptr && added.size() == 1)
        return define(node, BagBound{bound->offsets, true});
    const Dense input = dense(node, 0);
    Shape shape = input.shape;
    const std::size_t rank = input.shape.size() + added.size();
    if (added.empty() || rank > TALUS_MAX_RANK)
        unsupported(node, "its axes are missing, or too many");
    std::vector<std::int64_t> sorted;
    sorted.reserve(added.size());
    for (std::int64_t axis : added)
        sorted.push_back(normalised_axis(node, axis, rank));
    std::sort(sorted.begin(), sorted.end());
    for (std::int64_t axis : sorted) {
        if (axis == 0 || axis > static_cast<std::int64_t>(shape.size()))
            unsupported(node, "the batch must stay the first dimension");
        shape.insert(shape.begin() + axis, Dim::known(1));
    }
    define(node, Dense{input.value, shape});
}

void Lowering::transpose(const OnnxNode& node) {
    const std::vector<std::int64_t> perm = node.integers("perm");
    if (const auto* constant = get<Constant>(node, 0)) {
        const graph::Tensor& from = *constant->tensor;
        if (from.type != DType::kFloat32 || from.shape.size() != 2 ||
            (!perm.empty() && perm != std::vector<std::int64_t>{1, 0}))
            unsupported(node, "of a constant that is no float32 matrix");
        charge(node, from.bytes.size());
        graph::Tensor to = graph::make_tensor(from.name, from.type, {from.shape[1], from.shape[0]});
        const auto rows = static_cast<std::size_t>(from.shape[0]);
        const auto columns = static_cast<std::size_t>(from.shape[1]);
        for (std::size_t i = 0; i < rows; ++i)
            for (std::size_t j = 0; j < columns; ++j)
                to.as<float>()[j * rows + i] = from.as<float>()[i * columns + j];
        return define(node, Constant{std::make_shared<const graph::Tensor>(std::move(to))});
    }
    const Dense input = dense(node, 0);
    if (input.shape.size() != 3 || perm != std::vector<std::int64_t>{0, 2, 1})
        unsupported(node, fmt::format("an activation {} with perm {}; only [0,2,1] before a MatMul "
                                      "of a tensor with itself",
                                      graph::to_string(input.shape), graph::to_string(perm)));
    define(node, Transposed{input});
}

bool Lowering::fold_arithmetic(const OnnxNode& node) {
    const auto left = sizes(node, 0);
    const auto right = sizes(node, 1);
    if (!left || !right)
        return false;
    const std::size_t count = std::max(left->size(), right->size());
    const auto scalar = [&](std::size_t i) {
        const auto* known = get<Sizes>(node, i);
        const auto* constant = get<Constant>(node, i);
        return known != nullptr ? known->scalar
                                : constant != nullptr && constant->tensor->shape.empty();
    };
    std::vector<Size> result;
    for (std::size_t i = 0; i < count; ++i) {
        if ((left->size() != 1 && left->size() != count) ||
            (right->size() != 1 && right->size() != count))
            fail(TALUS_ERROR_MODEL, "{}: shapes of {} and {} elements do not fit", node.label(),
                 left->size(), right->size());
        const Size& a = (*left)[left->size() == 1 ? 0 : i];
        const Size& b = (*right)[right->size() == 1 ? 0 : i];
        if (!a.known() || !b.known())
            unsupported(node, "arithmetic on a symbolic dimension");
        std::int64_t value = 0;
        bool overflow = false;
        if (node.op == "Add")
            overflow = __builtin_add_overflow(a.value, b.value, &value);
        else if (node.op == "Sub")
            overflow = __builtin_sub_overflow(a.value, b.value, &value);
        else if (node.op == "Mul")
            overflow = __builtin_mul_overflow(a.value, b.value, &value);
        else if (node.op == "Div" && b.value > 0)
            value = a.value / b.value;
        else
            unsupported(node, "on shapes");
        if (overflow)
            fail(TALUS_ERROR_MODEL, "{}: {} and {} overflow", node.label(), a.value, b.value);
        result.push_back({value, {}});
    }
    define(node, Sizes{std::move(result), scalar(0) && scalar(1)});
    return true;
}

} // namespace talus::onnx
