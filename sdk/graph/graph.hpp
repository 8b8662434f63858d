// The graph that Talus executes: fully connected layers, table-batched embeddings, interactions,
// concatenations and element-wise operations on activations of shape [batch, width].
//
// An activation is a column range of a storage. A producer whose output a concatenation consumes
// writes straight into the concatenation's storage, so that the concatenation itself costs nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "kernels/eltwise/op.hpp"
#include "kernels/fc/op.hpp"
#include "kernels/tbe/op.hpp"
#include "sdk/graph/tensor.hpp"

namespace talus::graph {

using ValueId = std::int32_t;
constexpr ValueId kNoValue = -1;

struct Value {
    std::string name;
    DType type = DType::kFloat32;
    Shape shape;            // as the model sees it; shape[0] is the batch of an activation
    std::int64_t width = 0; // elements per sample (activations), 0 for index inputs without one
    bool is_input = false;

    // Where the value lives: columns [column, column + width) of `parent`, or of itself.
    ValueId parent = kNoValue;
    std::int64_t column = 0;
};

using kernels::eltwise::Function;
using kernels::fc::Activation;
using kernels::tbe::Pooling;

struct Fc {
    TensorPtr weight; // float32 [out, in]; with `scale`: int8
    TensorPtr scale;  // float32 [out]: dynamic INT8 (kernels/fc_int8); null: floating point
    TensorPtr bias;   // float32 [out], or null
    Activation activation = Activation::kNone;
};

// Where one table's indices come from.
struct IndexSource {
    ValueId indices = kNoValue; // integer graph input
    // Columns form (offsets == kNoValue): `indices` is [batch, columns...]; a sample's bag is
    // columns [column, column + count).
    std::int64_t column = 0;
    std::int64_t count = 1;
    std::int64_t row_width = 1; // columns of `indices`
    // Bag form: `indices` is [nnz], `offsets` is [batch], or [batch + 1] if it includes the end.
    ValueId offsets = kNoValue;
    bool includes_last_offset = false;
};

struct Table {
    TensorPtr weight; // float32 [rows, dim]; several tables may share one
    IndexSource source;
    bool allows_negative = false; // ONNX Gather counts negative indices from the end
    std::string onnx_node;        // for messages
};

// Output columns [t * dim, (t + 1) * dim) belong to table t.
struct Tbe {
    std::vector<Table> tables;
    std::int64_t dim = 0;
    Pooling pooling = Pooling::kSum;
};

// Inputs: [batch, features * dim] seen as [batch, features, dim], and optionally a dense tensor
// that precedes the products. Output: the dense columns, then <f_i, f_j> for j < i (j <= i with the
// diagonal), row by row.
struct Interaction {
    std::int64_t features = 0;
    std::int64_t dim = 0;
    bool diagonal = false;
};

// Inputs side by side. After placement only the inputs that could not be placed are left to copy.
struct Concat {
    std::vector<std::int64_t> columns; // of each input, within the output
};

struct Eltwise {
    Function function = Function::kIdentity;
    float low = 0.0F; // clip only
    float high = 0.0F;
    TensorPtr constant; // other operand of a binary function, [width], or null
    bool constant_first = false;
};

// Conversion to the output's type.
struct Convert {};

struct Node {
    std::string name;
    std::variant<Fc, Tbe, Interaction, Concat, Eltwise, Convert> what;
    std::vector<ValueId> inputs; // activations
    ValueId output = kNoValue;
    std::vector<std::string> onnx_nodes; // the model's nodes that it stands for
    bool elided = false;                 // a concatenation whose inputs were all placed

    const char* op() const; // the kernel's folder name
};

struct Graph {
    std::string name;
    std::vector<Value> values;
    std::vector<Node> nodes; // in execution order
    std::vector<ValueId> inputs;
    std::vector<ValueId> outputs;
    std::vector<std::string> output_names;
    std::vector<Shape> output_shapes;
    std::size_t onnx_node_count = 0;

    Value& value(ValueId id) { return values[static_cast<std::size_t>(id)]; }
    const Value& value(ValueId id) const { return values[static_cast<std::size_t>(id)]; }

    struct Place {
        ValueId storage;
        std::int64_t column;
    };
    // The storage that finally holds a value, and the value's first column in it.
    Place place(ValueId id) const;
};

// Merges embeddings of one width, pooling and shape into table-batched ones, places concatenations'
// inputs as views, and drops nodes that nothing reads.
void optimise(Graph& graph);

// What a node does, in a few words: "512x256, bias, activation relu -> 256 wide".
std::string describe(const Graph& graph, const Node& node);

// One line per node, for people and tests.
std::string to_string(const Graph& graph);

} // namespace talus::graph
