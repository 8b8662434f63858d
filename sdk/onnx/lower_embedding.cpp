// Embeddings: Gather, Gather + Reduce, and the Loop that PyTorch exports for nn.EmbeddingBag.
//
// The Loop's body computes, for bag i:  Reduce(Gather(table, indices[offsets[i] : offsets[i +
// 1]])), where the end of the last bag is the number of indices (appended to the offsets outside
// the Loop, or already in them with include_last_offset). The Loop stacks the results: [bags, dim].
#include <algorithm>

#include "sdk/onnx/lowering.hpp"

namespace talus::onnx {

namespace {

using graph::IndexSource;
using graph::Pooling;
using graph::Table;

constexpr std::int64_t kMaxLookups = 1 << 16; // unpooled, of one node and sample

Pooling pooling_of(const std::string& op) {
    return op == "ReduceSum" ? Pooling::kSum : op == "ReduceMean" ? Pooling::kMean : Pooling::kMax;
}

// Offsets that an input holds with their end.
Offsets with_last(ValueId input) {
    Offsets offsets;
    offsets.input = input;
    offsets.includes_last = true;
    return offsets;
}

Size size_of_dim(const Dim& dim) {
    return dim.is_known() ? Size{dim.extent, {}} : Size{0, dim.symbol};
}

} // namespace

Dense Lowering::embed(const std::string& name, Table table, Pooling pooling, Dim batch) {
    OnnxNode origin;
    origin.name = name;
    graph::Tbe tbe;
    tbe.dim = table.weight->shape[1];
    tbe.pooling = pooling;
    const std::int64_t dim = tbe.dim;
    tbe.tables.push_back(std::move(table));
    return emit(origin, std::move(tbe), {}, {std::move(batch), Dim::known(dim)});
}

// Unpooled rows [batch, count, dim]: every column is a lookup of its own in the same table.
Dense Lowering::embed_rows(const Rows& rows) {
    OnnxNode origin;
    origin.name = rows.node;
    graph::Tbe tbe;
    tbe.dim = rows.table->shape[1];
    if (rows.source.count > kMaxLookups)
        fail(TALUS_ERROR_UNSUPPORTED, "node '{}' (Gather) looks up {} rows a sample (limit {})",
             rows.node, rows.source.count, kMaxLookups);
    for (std::int64_t c = 0; c < rows.source.count; ++c) {
        IndexSource column = rows.source;
        column.column += c;
        column.count = 1;
        tbe.tables.push_back({rows.table, column, true, rows.node});
    }
    return emit(origin, std::move(tbe), {}, rows.shape);
}

void Lowering::lookup(const OnnxNode& node, const TensorPtr& table) {
    if (table->type != DType::kFloat32 || table->shape.size() != 2)
        unsupported(node,
                    fmt::format("a table of {} {}; it must be float32 [rows, dim]",
                                kernels::name_of(table->type), graph::to_string(table->shape)));
    if (node.integer("axis", 0) != 0 || table->shape[1] == 0 || table->shape[1] > INT32_MAX)
        unsupported(node, "a lookup along another axis than 0, or of empty rows");
    if (const auto* bag = get<BagIndices>(node, 1))
        return define(node, BagRows{table, *bag, node.name});

    Rows rows;
    rows.table = table;
    rows.node = node.name;
    bool vector = false;
    if (const auto* columns = get<IndexColumns>(node, 1)) {
        rows.source = {columns->input,     columns->column, columns->count,
                       columns->row_width, graph::kNoValue, false};
        vector = columns->vector;
    } else if (const auto* input = get<IndexInput>(node, 1)) {
        const bool known = input->shape.size() == 1 || input->shape[1].is_known();
        if (input->shape.size() > 2 || !known)
            unsupported(node, fmt::format("indices {}; they must be [batch] or [batch, columns]",
                                          graph::to_string(input->shape)));
        vector = input->shape.size() == 1;
        const std::int64_t width = vector ? 1 : input->shape[1].extent;
        rows.source = {input->input, 0, width, width, graph::kNoValue, false};
    } else {
        unsupported(node, fmt::format("its indices are {}; they must come from an integer input",
                                      describe(meaning(node, 1))));
    }
    const Dim batch = graph_.value(rows.source.indices).shape.front();
    if (vector)
        return define(
            node, embed(node.name, {table, rows.source, true, node.name}, Pooling::kSum, batch));
    rows.shape = {batch, Dim::known(rows.source.count), Dim::known(table->shape[1])};
    define(node, std::move(rows));
}

void Lowering::gather(const OnnxNode& node) {
    const std::int64_t axis = node.integer("axis", 0);
    if (const auto* constant = get<Constant>(node, 0)) {
        const bool of_sizes = sizes(node, 0) && integers(node, 1);
        if (!of_sizes)
            return lookup(node, constant->tensor);
    }
    // Elements of a shape.
    if (const auto from = sizes(node, 0)) {
        const auto wanted = required_integers(node, 1, "indices");
        const auto* index = get<Constant>(node, 1);
        const auto* index_sizes = get<Sizes>(node, 1);
        Sizes result;
        result.scalar = index != nullptr ? index->tensor->shape.empty()
                                         : index_sizes != nullptr && index_sizes->scalar;
        for (std::int64_t i : wanted)
            result.sizes.push_back(
                (*from)[static_cast<std::size_t>(normalised_axis(node, i, from->size()))]);
        return define(node, std::move(result));
    }
    // A bag's bound: offsets[i].
    if (get<LoopIndex>(node, 1) != nullptr) {
        if (const auto* offsets = get<Offsets>(node, 0); offsets != nullptr && axis == 0)
            return define(node, BagBound{*offsets, false});
        if (const auto* input = get<IndexInput>(node, 0);
            input != nullptr && input->shape.size() == 1 && axis == 0)
            return define(node, BagBound{with_last(input->input), false});
    }
    if (const auto* input = get<IndexInput>(node, 0)) {
        if (input->shape.size() != 2 || !input->shape[1].is_known() ||
            normalised_axis(node, axis, 2) != 1)
            unsupported(node, fmt::format("of an index input {} along axis {}",
                                          graph::to_string(input->shape), axis));
        const auto wanted = required_integers(node, 1, "indices");
        const std::int64_t width = input->shape[1].extent;
        const auto* index = get<Constant>(node, 1);
        const bool scalar = index != nullptr && index->tensor->shape.empty();
        for (std::size_t i = 0; i < wanted.size(); ++i)
            if (normalised_axis(node, wanted[i], static_cast<std::size_t>(width)) !=
                normalised_axis(node, wanted[0], static_cast<std::size_t>(width)) +
                    static_cast<std::int64_t>(i))
                unsupported(node, "columns that do not follow each other");
        if (wanted.empty())
            unsupported(node, "no columns");
        return define(
            node, IndexColumns{input->input,
                               normalised_axis(node, wanted[0], static_cast<std::size_t>(width)),
                               static_cast<std::int64_t>(wanted.size()), width, scalar});
    }
    if (const auto* products = get<Products>(node, 0)) {
        if (!products->flat || normalised_axis(node, axis, 2) != 1)
            unsupported(node, "of pairwise products that are not flattened");
        const Products of = *products;
        return interaction(node, of, required_integers(node, 1, "indices"));
    }
    unsupported(node, fmt::format("of {}; Talus gathers rows of a constant table, columns of an "
                                  "index input, and the triangle of the dot interaction",
                                  describe(meaning(node, 0))));
}

void Lowering::slice(const OnnxNode& node) {
    const auto* starts_bound = get<BagBound>(node, 1);
    const auto* ends_bound = get<BagBound>(node, 2);
    if (starts_bound != nullptr && ends_bound != nullptr) {
        const auto* indices = get<IndexInput>(node, 0);
        const std::vector<std::int64_t> along = axes(node, 3);
        const Offsets& from = starts_bound->offsets;
        const Offsets& to = ends_bound->offsets;
        if (indices == nullptr || indices->shape.size() != 1 ||
            (!along.empty() && along != std::vector<std::int64_t>{0}) || has_input(node, 4))
            unsupported(node, "inside a loop, other than indices[offsets[i] : offsets[i + 1]]");
        if (from.tail || !to.tail || from.input != to.input ||
            from.includes_last != to.includes_last)
            unsupported(node, "its bounds are not offsets[i] and offsets[i + 1] of one input");
        if (!to.includes_last && to.end != size_of_dim(indices->shape.front()))
            unsupported(node, "the last bag does not end with the indices");
        return define(node, BagIndices{indices->input, to});
    }
    std::vector<std::int64_t> starts;
    std::vector<std::int64_t> ends;
    std::vector<std::int64_t> along;
    if (has_input(node, 1)) {
        starts = required_integers(node, 1, "starts");
        ends = required_integers(node, 2, "ends");
        along = axes(node, 3);
        if (has_input(node, 4))
            for (std::int64_t step : required_integers(node, 4, "steps"))
                if (step != 1)
                    unsupported(node, fmt::format("a step of {}", step));
    } else {
        starts = node.integers("starts");
        ends = node.integers("ends");
        along = node.integers("axes");
    }
    if (along.empty())
        along.push_back(0);
    if (starts.size() != 1 || ends.size() != 1 || along.size() != 1)
        unsupported(node, "along more than one axis");
    slice_bounds(node, starts.front(), ends.front());
}

void Lowering::slice_bounds(const OnnxNode& node, std::int64_t start, std::int64_t end) {
    const std::vector<std::int64_t> given =
        has_input(node, 3) ? axes(node, 3) : node.integers("axes");
    const std::int64_t axis = given.empty() ? 0 : given.front();
    const auto clamped = [](std::int64_t at, std::int64_t extent) {
        return std::clamp<std::int64_t>(at < 0 ? at + extent : at, 0, extent);
    };
    // Larger than any dimension: "to the end".
    const bool to_end = end >= INT32_MAX;
    if (const auto from = sizes(node, 0)) {
        const auto extent = static_cast<std::int64_t>(from->size());
        const std::int64_t first = clamped(start, extent);
        const std::int64_t last = std::max(first, clamped(end, extent));
        return define(node, Sizes{{from->begin() + first, from->begin() + last}, false});
    }
    if (const auto* offsets = get<Offsets>(node, 0); offsets != nullptr && axis == 0) {
        // [0:] and [:-1] are the starts, [1:] the ends.
        Offsets part = *offsets;
        if (!part.tail && start == 0 && (to_end || end == -1))
            return define(node, part);
        if (!part.tail && start == 1 && to_end) {
            part.tail = true;
            return define(node, part);
        }
    }
    if (const auto* input = get<IndexInput>(node, 0)) {
        if (input->shape.size() == 1 && axis == 0) {
            Offsets part = with_last(input->input);
            const Dim& dim = input->shape.front();
            part.bags = dim.is_known() ? Size{dim.extent - 1, {}} : Size{0, dim.symbol + "-1"};
            if (start == 0 && to_end)
                return define(node, *input);
            if (start == 0 && end == -1)
                return define(node, part);
            if (start == 1 && to_end) {
                part.tail = true;
                return define(node, part);
            }
        }
        if (input->shape.size() == 2 && input->shape[1].is_known() &&
            normalised_axis(node, axis, 2) == 1) {
            const std::int64_t width = input->shape[1].extent;
            const std::int64_t first = clamped(start, width);
            const std::int64_t last = clamped(end, width);
            if (last > first)
                return define(node, IndexColumns{input->input, first, last - first, width, false});
        }
    }
    unsupported(node, fmt::format("[{}:{}] along axis {} of {}", start, end, axis,
                                  describe(meaning(node, 0))));
}

void Lowering::reduce(const OnnxNode& node) {
    const std::vector<std::int64_t> along = axes(node, 1);
    const bool keep = node.integer("keepdims", 1) != 0;
    if (along.size() != 1)
        unsupported(node, "over other than one axis");
    if (const auto* bag = get<BagRows>(node, 0)) {
        if (normalised_axis(node, along.front(), 2) != 0 || keep)
            unsupported(node, "of a bag along its dim, or with keepdims");
        return define(node, PooledBag{*bag, pooling_of(node.op)});
    }
    const auto* rows = get<Rows>(node, 0);
    if (rows == nullptr)
        unsupported(node, fmt::format("of {}; Talus reduces rows of an embedding table",
                                      describe(meaning(node, 0))));
    if (normalised_axis(node, along.front(), 3) != 1)
        unsupported(node, "of rows of an embedding table along another axis than 1");
    const Rows looked_up = *rows;
    Dense pooled = embed(looked_up.node, {looked_up.table, looked_up.source, true, looked_up.node},
                         pooling_of(node.op), looked_up.shape.front());
    graph_.nodes.back().onnx_nodes.push_back(node.name);
    if (keep)
        pooled.shape.insert(pooled.shape.begin() + 1, Dim::known(1));
    define(node, pooled);
}

void Lowering::loop(const OnnxNode& node) {
    const AttributeValue* attribute = node.find("body");
    const auto* shared =
        attribute == nullptr ? nullptr : std::get_if<std::shared_ptr<OnnxGraph>>(attribute);
    if (shared == nullptr)
        fail(TALUS_ERROR_MODEL, "{} has no body", node.label());
    const OnnxGraph& body = **shared;
    static const std::string kOnly = "; Talus runs the Loop that PyTorch exports for EmbeddingBag";
    if (body.inputs.size() != 2 || body.outputs.size() != 2 || node.outputs.size() != 1)
        unsupported(node, "it carries state from one iteration to the next" + kOnly);
    const auto is_true = [](const Meaning* what) {
        const auto* constant = what == nullptr ? nullptr : std::get_if<Constant>(what);
        return constant != nullptr && constant->tensor->type == DType::kBool &&
               constant->tensor->elements() == 1 && constant->tensor->bytes.front() != std::byte{0};
    };
    const auto found = [&](const std::string& name) -> const Meaning* {
        const auto at = meanings_.find(name);
        return at == meanings_.end() ? nullptr : &at->second;
    };
    if (!is_true(found(node.inputs[1])))
        unsupported(node, "its condition is not constantly true" + kOnly);
    meanings_.insert_or_assign(body.inputs[0].name, LoopIndex{});
    meanings_.insert_or_assign(body.inputs[1].name, LoopCondition{});
    lower_nodes(body);

    const Meaning* condition = found(body.outputs[0].name);
    const bool goes_on = is_true(condition) || (condition != nullptr &&
                                                std::holds_alternative<LoopCondition>(*condition));
    const Meaning* result = found(body.outputs[1].name);
    const auto* pooled = result == nullptr ? nullptr : std::get_if<PooledBag>(result);
    if (!goes_on || pooled == nullptr)
        unsupported(node, "its body is not one bag's lookup and reduction" + kOnly);

    const Offsets& offsets = pooled->rows.bag.offsets;
    const auto trips = sizes(node, 0);
    if (!trips || trips->size() != 1 || trips->front() != offsets.bags)
        unsupported(node, "its trip count is not the number of bags" + kOnly);
    Table table;
    table.weight = pooled->rows.table;
    table.onnx_node = node.name;
    table.source.indices = pooled->rows.bag.indices;
    table.source.offsets = offsets.input;
    table.source.includes_last_offset = offsets.includes_last;
    const Dim batch =
        offsets.bags.known() ? Dim::known(offsets.bags.value) : Dim::symbolic(offsets.bags.symbol);
    define(node, embed(node.name, std::move(table), pooled->pooling, batch));
}

} // namespace talus::onnx
