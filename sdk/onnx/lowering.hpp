// How the importer reads a graph: every ONNX value gets a meaning, and an operator maps the
// meanings of its inputs to that of its output. Shapes computed at run time, the columns of an
// index input, or the bag that iteration i of a Loop looks up are meanings, not computations; only
// what means an activation becomes a node. So a pattern is recognised by what it says, whatever
// casts, squeezes and identities the exporter put between.
//
// Internal to sdk/onnx.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sdk/common/error.hpp"
#include "sdk/graph/graph.hpp"
#include "sdk/onnx/model_proto.hpp"

namespace talus::onnx {

using graph::Dim;
using graph::DType;
using graph::Shape;
using graph::TensorPtr;
using graph::ValueId;

// An integer that is known, or the extent that a symbol will have.
struct Size {
    std::int64_t value = 0;
    std::string symbol; // empty: known
    bool known() const { return symbol.empty(); }
    bool operator==(const Size&) const = default;
};

struct Constant {
    TensorPtr tensor;
};
// An integer vector (or scalar) with symbols in it.
struct Sizes {
    std::vector<Size> sizes;
    bool scalar = false;
};
// An activation; shape[0] is the batch and the product of the rest is the value's width.
struct Dense {
    ValueId value;
    Shape shape;
};
// The last two dimensions of a rank-3 activation, swapped.
struct Transposed {
    Dense of;
};
// All products of a rank-3 activation's rows, [batch, F, F] or flattened to [batch, F*F].
struct Products {
    Dense of;
    bool flat;
};
// What DynamicQuantizeLinear makes of an activation.
struct Quantized {
    enum Part { kValues, kScale, kZeroPoint };
    Dense of;
    Part part = kValues;
};
// Factors of a dynamically quantised layer, as far as they have met: x's quantised values by W (if
// `weight`), times x's scale (if `scaled`), times W's scale (if `weight_scale`).
struct IntegerProduct {
    Dense of;
    TensorPtr weight; // int8 [out, in]
    bool scaled = false;
    TensorPtr weight_scale;
};
// An integer graph input.
struct IndexInput {
    ValueId input;
    Shape shape;
};
// Columns of a rank-2 integer input: [batch] or [batch, count].
struct IndexColumns {
    ValueId input;
    std::int64_t column;
    std::int64_t count;
    std::int64_t row_width;
    bool vector; // [batch]
};
// The bounds of bags: offsets with their end appended, or its tail (the ends).
struct Offsets {
    ValueId input = graph::kNoValue;
    Size end;                   // what was appended: the number of indices
    bool includes_last = false; // the input itself has the end
    bool tail = false;          // without the first
    Size bags;                  // number of bags
};
// Elements of an embedding table that were looked up and not yet pooled: [batch, bag, dim].
struct Rows {
    TensorPtr table;
    graph::IndexSource source;
    Shape shape;
    std::string node;
};
// Inside a Loop over bags.
struct LoopIndex {};
struct LoopCondition {};
struct BagBound {
    Offsets offsets; // the bound is offsets[i], or offsets[i + 1] if `tail`
    bool vector;
};
struct BagIndices {
    ValueId indices;
    Offsets offsets;
};
struct BagRows {
    TensorPtr table;
    BagIndices bag;
    std::string node;
};
struct PooledBag {
    BagRows rows;
    graph::Pooling pooling;
};

using Meaning = std::variant<Constant, Sizes, Dense, Transposed, Products, Quantized,
                             IntegerProduct, IndexInput, IndexColumns, Offsets, Rows, LoopIndex,
                             LoopCondition, BagBound, BagIndices, BagRows, PooledBag>;

// Elements of an integer constant or concatenation that is read as sizes.
constexpr std::size_t kMaxShapeElements = 4096;

// What kind of thing a meaning is, for messages: "a constant", "an activation".
std::string describe(const Meaning& meaning);

class Lowering {
  public:
    explicit Lowering(const OnnxModel& model) : model_(model) {}
    graph::Graph run();

    using Handler = void (Lowering::*)(const OnnxNode&);
    struct Rule {
        Handler handler;
        std::size_t min_inputs;
        std::size_t max_inputs;
        std::size_t outputs = 1; // that others may use
    };
    static const std::map<std::string, Rule>& rules();

  private:
    // --- lowering.cpp: names, nodes -------------------------------------------------------------
    void count_uses(const OnnxGraph& graph, int depth);
    void lower_nodes(const OnnxGraph& graph);
    void declare_inputs();
    void declare_outputs();
    const Meaning& meaning(const OnnxNode& node, std::size_t input) const;
    bool has_input(const OnnxNode& node, std::size_t input) const;
    void define(const OnnxNode& node, Meaning meaning);
    [[noreturn]] void unsupported(const OnnxNode& node, const std::string& why) const;
    // The activation an input stands for; looked-up rows become an embedding here.
    Dense dense(const OnnxNode& node, std::size_t input);
    template <typename T>
    const T* get(const OnnxNode& node, std::size_t input) const {
        return has_input(node, input) ? std::get_if<T>(&meaning(node, input)) : nullptr;
    }
    std::optional<std::vector<Size>> sizes(const OnnxNode& node, std::size_t input) const;
    std::optional<std::vector<std::int64_t>> integers(const OnnxNode& node,
                                                      std::size_t input) const;
    std::vector<std::int64_t> required_integers(const OnnxNode& node, std::size_t input,
                                                const char* what) const;
    // Axes from attribute or, in newer opsets, from an input; empty if neither is there.
    std::vector<std::int64_t> axes(const OnnxNode& node, std::size_t input) const;
    std::int64_t normalised_axis(const OnnxNode& node, std::int64_t axis, std::size_t rank) const;
    Dense emit(const OnnxNode& node, decltype(graph::Node::what) what, std::vector<ValueId> inputs,
               Shape shape, DType type = DType::kFloat32);
    // The node that produces an ONNX value nobody else reads, or null: it may be changed.
    graph::Node* sole_producer(const OnnxNode& node, std::size_t input);
    // Books memory for a constant that is derived from another one, and refuses a model that would
    // multiply its own size.
    void charge(const OnnxNode& node, std::size_t bytes);
    TensorPtr float_constant(const OnnxNode& node, std::size_t input) const;

    // --- lower_shapes.cpp -----------------------------------------------------------------------
    void constant(const OnnxNode& node);
    void identity(const OnnxNode& node);
    void shape(const OnnxNode& node);
    void cast(const OnnxNode& node);
    void concat(const OnnxNode& node);
    void reshape(const OnnxNode& node);
    void flatten(const OnnxNode& node);
    void squeeze(const OnnxNode& node);
    void unsqueeze(const OnnxNode& node);
    void transpose(const OnnxNode& node);
    Shape reshaped(const OnnxNode& node, const Shape& from, std::vector<Size> to) const;
    void concat_dense(const OnnxNode& node, std::int64_t axis);
    bool fold_arithmetic(const OnnxNode& node);

    // --- lower_compute.cpp ----------------------------------------------------------------------
    void gemm(const OnnxNode& node);
    void matmul(const OnnxNode& node);
    void activation(const OnnxNode& node);
    void binary(const OnnxNode& node);
    void clip(const OnnxNode& node);
    void interaction(const OnnxNode& node, const Products& products,
                     const std::vector<std::int64_t>& pairs);

    // --- lower_quantized.cpp --------------------------------------------------------------------
    void dynamic_quantize(const OnnxNode& node);
    void matmul_integer(const OnnxNode& node);
    void dequantize(const OnnxNode& node);
    bool rescale(const OnnxNode& node);

    // --- lower_embedding.cpp --------------------------------------------------------------------
    void gather(const OnnxNode& node);
    void slice(const OnnxNode& node);
    void reduce(const OnnxNode& node);
    void loop(const OnnxNode& node);
    void lookup(const OnnxNode& node, const TensorPtr& table);
    void slice_bounds(const OnnxNode& node, std::int64_t start, std::int64_t end);
    Dense embed(const std::string& name, graph::Table table, graph::Pooling pooling, Dim batch);
    Dense embed_rows(const Rows& rows);

    const OnnxModel& model_;
    graph::Graph graph_;
    std::map<std::string, Meaning> meanings_;
    std::map<std::string, std::size_t> uses_;
    std::size_t derived_bytes_ = 0;
    std::map<ValueId, std::size_t> producers_; // index into graph_.nodes
};

} // namespace talus::onnx
