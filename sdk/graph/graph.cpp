#include "sdk/graph/graph.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "kernels/interaction/op.hpp"

namespace talus::graph {

namespace {

// Embedding lookups may become one table-batched lookup when they agree in these.
using MergeKey = std::tuple<std::int64_t, Pooling>;

void replace_uses(Graph& graph, const std::vector<char>& dropped) {
    std::vector<Node> kept;
    kept.reserve(graph.nodes.size());
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
        if (!dropped[i])
            kept.push_back(std::move(graph.nodes[i]));
    graph.nodes = std::move(kept);
}

// Embeddings read graph inputs only, so every one of a group may move to the place of the first.
void merge_embeddings(Graph& graph) {
    std::map<MergeKey, std::vector<std::size_t>> groups;
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
        if (const Tbe* tbe = std::get_if<Tbe>(&graph.nodes[i].what))
            groups[{tbe->dim, tbe->pooling}].push_back(i);

    std::vector<char> dropped(graph.nodes.size(), 0);
    for (const auto& [key, members] : groups) {
        if (members.size() < 2)
            continue;
        Node& first = graph.nodes[members.front()];
        Tbe& merged = std::get<Tbe>(first.what);
        Value storage = graph.value(first.output);
        storage.name = fmt::format("tbe{}", graph.values.size());
        storage.width = 0;
        const auto storage_id = static_cast<ValueId>(graph.values.size());
        const std::string name = first.name;
        for (std::size_t index : members) {
            Node& node = graph.nodes[index];
            Value& output = graph.value(node.output);
            output.parent = storage_id;
            output.column = storage.width;
            storage.width += output.width;
            if (index == members.front())
                continue;
            Tbe& tbe = std::get<Tbe>(node.what);
            std::move(tbe.tables.begin(), tbe.tables.end(), std::back_inserter(merged.tables));
            std::move(node.onnx_nodes.begin(), node.onnx_nodes.end(),
                      std::back_inserter(first.onnx_nodes));
            dropped[index] = 1;
        }
        storage.shape = {storage.shape.front(), Dim::known(storage.width)};
        first.output = storage_id;
        first.name = fmt::format("tbe({}…{})", name, graph.nodes[members.back()].name);
        graph.values.push_back(std::move(storage));
    }
    replace_uses(graph, dropped);
}

// An operand of a concatenation: adjacent pieces of one storage that cover it whole count as one.
struct Piece {
    ValueId value;       // the storage, if `whole`
    std::int64_t column; // in the concatenation
    bool whole;
};

std::vector<Piece> pieces_of(const Graph& graph, const Node& node, const Concat& concat) {
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < node.inputs.size();) {
        const Graph::Place place = graph.place(node.inputs[i]);
        const Value& storage = graph.value(place.storage);
        std::int64_t covered = 0;
        std::size_t last = i;
        while (last < node.inputs.size()) {
            const Graph::Place next = graph.place(node.inputs[last]);
            if (next.storage != place.storage || next.column != covered)
                break;
            covered += graph.value(node.inputs[last]).width;
            ++last;
        }
        if (place.column == 0 && covered == storage.width) {
            pieces.push_back({place.storage, concat.columns[i], true});
            i = last;
        } else {
            pieces.push_back({node.inputs[i], concat.columns[i], false});
            ++i;
        }
    }
    return pieces;
}

void place_concatenations(Graph& graph) {
    for (Node& node : graph.nodes) {
        Concat* concat = std::get_if<Concat>(&node.what);
        if (concat == nullptr)
            continue;
        std::vector<ValueId> left;
        std::vector<std::int64_t> columns;
        for (const Piece& piece : pieces_of(graph, node, *concat)) {
            Value& value = graph.value(piece.value);
            // A graph input lives in the caller's memory; a storage has one place only.
            if (piece.whole && !value.is_input && value.parent == kNoValue &&
                piece.value != node.output) {
                value.parent = node.output;
                value.column = piece.column;
            } else {
                left.push_back(piece.value);
                columns.push_back(piece.column);
            }
        }
        node.inputs = std::move(left);
        concat->columns = std::move(columns);
        node.elided = node.inputs.empty();
    }
}

void drop_dead_nodes(Graph& graph) {
    std::set<ValueId> live;
    for (ValueId id : graph.outputs)
        live.insert(graph.place(id).storage);
    std::vector<char> dropped(graph.nodes.size(), 0);
    for (std::size_t i = graph.nodes.size(); i-- > 0;) {
        Node& node = graph.nodes[i];
        if (!live.contains(graph.place(node.output).storage)) {
            dropped[i] = 1;
            continue;
        }
        for (ValueId id : node.inputs)
            live.insert(graph.place(id).storage);
    }
    replace_uses(graph, dropped);
}

const char* name_of(Activation activation) {
    switch (activation) {
    case Activation::kNone:
        return "none";
    case Activation::kRelu:
        return "relu";
    case Activation::kSigmoid:
        return "sigmoid";
    }
    return "?";
}

const char* name_of(Pooling pooling) {
    switch (pooling) {
    case Pooling::kSum:
        return "sum";
    case Pooling::kMean:
        return "mean";
    case Pooling::kMax:
        return "max";
    }
    return "?";
}

const char* name_of(Function function) {
    switch (function) {
    case Function::kAdd:
        return "add";
    case Function::kSub:
        return "sub";
    case Function::kMul:
        return "mul";
    case Function::kDiv:
        return "div";
    case Function::kMin:
        return "min";
    case Function::kMax:
        return "max";
    case Function::kIdentity:
        return "identity";
    case Function::kNeg:
        return "neg";
    case Function::kAbs:
        return "abs";
    case Function::kRelu:
        return "relu";
    case Function::kSigmoid:
        return "sigmoid";
    case Function::kTanh:
        return "tanh";
    case Function::kExp:
        return "exp";
    case Function::kSqrt:
        return "sqrt";
    case Function::kClip:
        return "clip";
    }
    return "?";
}

template <typename... Ts>
struct Overloaded : Ts... {
    using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

} // namespace

const char* Node::op() const {
    return std::visit(Overloaded{[](const Fc& fc) { return fc.scale ? "fc_int8" : "fc"; },
                                 [](const Tbe&) { return "tbe"; },
                                 [](const Interaction&) { return "interaction"; },
                                 [](const Concat&) { return "concat"; },
                                 [](const Eltwise&) { return "eltwise"; },
                                 [](const Convert&) { return "convert"; }},
                      what);
}

std::string describe(const Graph& graph, const Node& node) {
    return std::visit(
               Overloaded{
                   [](const Fc& fc) {
                       return fmt::format("{}x{}{}{}, activation {}", fc.weight->shape[1],
                                          fc.weight->shape[0],
                                          fc.scale ? ", INT8 with rows quantised one by one" : "",
                                          fc.bias ? ", bias" : "", name_of(fc.activation));
                   },
                   [](const Tbe& tbe) {
                       std::int64_t rows = 0;
                       for (const Table& table : tbe.tables)
                           rows += table.weight->shape[0];
                       return fmt::format("{} tables, {} rows of {}, {} pooling", tbe.tables.size(),
                                          rows, tbe.dim, name_of(tbe.pooling));
                   },
                   [&](const Interaction& dot) {
                       return fmt::format(
                           "{} features of {}, {} products{}", dot.features, dot.dim,
                           kernels::interaction::pair_count(dot.features, dot.diagonal),
                           node.inputs.size() > 1 ? " after the dense columns" : "");
                   },
                   [&](const Concat& concat) {
                       return node.elided ? std::string("view, nothing to copy")
                                          : fmt::format("{} inputs to copy", concat.columns.size());
                   },
                   [](const Eltwise& eltwise) { return std::string(name_of(eltwise.function)); },
                   [&](const Convert&) {
                       return fmt::format("to {}", kernels::name_of(graph.value(node.output).type));
                   }},
               node.what) +
           fmt::format(" -> {} wide", graph.value(node.output).width);
}

Graph::Place Graph::place(ValueId id) const {
    std::int64_t column = 0;
    while (value(id).parent != kNoValue) {
        column += value(id).column;
        id = value(id).parent;
    }
    return {id, column};
}

void optimise(Graph& graph) {
    // Before placement every value is its own storage, so liveness is per value; afterwards a dead
    // producer in a live storage would survive.
    drop_dead_nodes(graph);
    merge_embeddings(graph);
    place_concatenations(graph);
}

std::string to_string(const Graph& graph) {
    std::string text;
    for (const Node& node : graph.nodes)
        text += fmt::format("{} {}: {}\n", node.op(), node.name, describe(graph, node));
    return text;
}

} // namespace talus::graph
