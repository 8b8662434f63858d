#include "sdk/onnx/model_proto.hpp"

#include <cstring>
#include <fstream>
#include <set>

#include <onnx/onnx_pb.h>

#include "sdk/common/error.hpp"

namespace talus::onnx {

namespace {

namespace pb = ::onnx;
using graph::DType;

constexpr std::int64_t kMinOpset = 9;
constexpr std::int64_t kMaxOpset = 21;

DType dtype_of(std::int32_t type, const std::string& what) {
    const auto dtype = static_cast<DType>(type);
    if (kernels::size_of(dtype) == 0)
        fail(TALUS_ERROR_UNSUPPORTED, "{} has element type {}, which Talus does not know", what,
             type);
    return dtype;
}

// Fields hold one value per element in a wider type than the tensor's.
template <typename Stored, typename Field>
void narrow(std::vector<std::byte>& bytes, const Field& field) {
    std::size_t at = 0;
    for (auto value : field) {
        const auto stored = static_cast<Stored>(value);
        std::memcpy(bytes.data() + at, &stored, sizeof stored);
        at += sizeof stored;
    }
}

graph::Tensor decode_tensor(const pb::TensorProto& proto, const Limits& limits,
                            const std::string& what) {
    if (proto.data_location() == pb::TensorProto::EXTERNAL || proto.external_data_size() > 0)
        fail(
            TALUS_ERROR_UNSUPPORTED,
            "{} keeps its data in an external file, which Talus does not read; save the model with "
            "its data inside (onnx.save without save_as_external_data)",
            what);
    if (proto.has_segment())
        fail(TALUS_ERROR_UNSUPPORTED, "{} is a segment of a larger tensor", what);
    if (static_cast<std::size_t>(proto.dims_size()) > limits.rank)
        fail(TALUS_ERROR_MODEL, "{} has {} dimensions (limit {})", what, proto.dims_size(),
             limits.rank);

    graph::Tensor tensor;
    tensor.name = proto.name();
    tensor.type = dtype_of(proto.data_type(), what);
    tensor.shape.assign(proto.dims().begin(), proto.dims().end());
    const std::size_t element = kernels::size_of(tensor.type);
    const auto count = static_cast<std::size_t>(
        graph::checked_elements(tensor.shape, element, limits.tensor_bytes, what));

    // The length is compared before anything of that length is allocated.
    const auto require = [&](std::size_t found, const char* field) {
        if (found != count)
            fail(TALUS_ERROR_MODEL, "{} of shape {} needs {} elements but its {} holds {}", what,
                 graph::to_string(tensor.shape), count, field, found);
        tensor.bytes.resize(count * element);
    };
    if (proto.has_raw_data()) {
        const std::string& raw = proto.raw_data();
        if (raw.size() != count * element)
            fail(TALUS_ERROR_MODEL, "{} of shape {} needs {} bytes but holds {}", what,
                 graph::to_string(tensor.shape), count * element, raw.size());
        tensor.bytes.resize(raw.size());
        std::memcpy(tensor.bytes.data(), raw.data(), raw.size());
        return tensor;
    }
    switch (tensor.type) {
    case DType::kFloat32:
        require(static_cast<std::size_t>(proto.float_data_size()), "float_data");
        narrow<float>(tensor.bytes, proto.float_data());
        break;
    case DType::kFloat64:
        require(static_cast<std::size_t>(proto.double_data_size()), "double_data");
        narrow<double>(tensor.bytes, proto.double_data());
        break;
    case DType::kInt64:
        require(static_cast<std::size_t>(proto.int64_data_size()), "int64_data");
        narrow<std::int64_t>(tensor.bytes, proto.int64_data());
        break;
    case DType::kUint64:
        require(static_cast<std::size_t>(proto.uint64_data_size()), "uint64_data");
        narrow<std::uint64_t>(tensor.bytes, proto.uint64_data());
        break;
    case DType::kUint32:
        require(static_cast<std::size_t>(proto.uint64_data_size()), "uint64_data");
        narrow<std::uint32_t>(tensor.bytes, proto.uint64_data());
        break;
    case DType::kInt32:
        require(static_cast<std::size_t>(proto.int32_data_size()), "int32_data");
        narrow<std::int32_t>(tensor.bytes, proto.int32_data());
        break;
    case DType::kFloat16:
    case DType::kBfloat16:
    case DType::kUint16:
    case DType::kInt16:
        require(static_cast<std::size_t>(proto.int32_data_size()), "int32_data");
        narrow<std::uint16_t>(tensor.bytes, proto.int32_data());
        break;
    case DType::kInt8:
    case DType::kUint8:
    case DType::kBool:
        require(static_cast<std::size_t>(proto.int32_data_size()), "int32_data");
        narrow<std::uint8_t>(tensor.bytes, proto.int32_data());
        break;
    case DType::kUndefined:
        break;
    }
    return tensor;
}

OnnxValue decode_value(const pb::ValueInfoProto& proto, const Limits& limits) {
    OnnxValue value;
    value.name = proto.name();
    if (!proto.has_type())
        return value;
    if (!proto.type().has_tensor_type())
        fail(TALUS_ERROR_UNSUPPORTED, "'{}' is not a tensor; Talus runs tensors only", value.name);
    const pb::TypeProto_Tensor& type = proto.type().tensor_type();
    value.type = dtype_of(type.elem_type(), "'" + value.name + "'");
    value.has_shape = type.has_shape();
    if (static_cast<std::size_t>(type.shape().dim_size()) > limits.rank)
        fail(TALUS_ERROR_MODEL, "'{}' has {} dimensions (limit {})", value.name,
             type.shape().dim_size(), limits.rank);
    for (const auto& dim : type.shape().dim()) {
        if (dim.has_dim_value()) {
            if (dim.dim_value() < 0 || dim.dim_value() > INT32_MAX)
                fail(TALUS_ERROR_MODEL, "'{}' has a dimension of {}", value.name, dim.dim_value());
            value.shape.push_back(graph::Dim::known(dim.dim_value()));
        } else {
            value.shape.push_back(graph::Dim::symbolic(dim.dim_param()));
        }
    }
    return value;
}

class Decoder {
  public:
    explicit Decoder(const Limits& limits) : limits_(limits) {}

    std::size_t node_count() const { return node_count_; }

    OnnxGraph decode_graph(const pb::GraphProto& proto, std::set<std::string>& visible, int depth) {
        if (depth > limits_.graph_depth)
            fail(TALUS_ERROR_MODEL, "graph '{}' is nested deeper than {} levels", proto.name(),
                 limits_.graph_depth);
        if (proto.sparse_initializer_size() > 0)
            fail(TALUS_ERROR_UNSUPPORTED, "graph '{}' has sparse initializers", proto.name());
        OnnxGraph result;
        result.name = proto.name();
        const Scope scope(visible, proto);
        for (const pb::TensorProto& tensor : proto.initializer()) {
            const std::string what = "initializer '" + tensor.name() + "'";
            auto decoded =
                std::make_shared<const graph::Tensor>(decode_tensor(tensor, limits_, what));
            if (!result.initializers.emplace(tensor.name(), std::move(decoded)).second)
                fail(TALUS_ERROR_MODEL, "{} is defined twice", what);
            visible.insert(tensor.name());
        }
        for (const pb::ValueInfoProto& input : proto.input()) {
            if (result.initializers.contains(input.name()))
                continue; // before IR version 4 every initializer is listed as an input too
            define(visible, input.name(), "input");
            result.inputs.push_back(decode_value(input, limits_));
        }
        // ONNX demands topological order, which rules out cycles. Names of later nodes are known
        // so that the message can tell a cycle from a dangling name.
        std::set<std::string> produced;
        for (const pb::NodeProto& node : proto.node())
            produced.insert(node.output().begin(), node.output().end());
        for (const pb::NodeProto& node : proto.node())
            result.nodes.push_back(decode_node(node, visible, produced, depth));
        for (const pb::ValueInfoProto& output : proto.output()) {
            if (!visible.contains(output.name()))
                fail(TALUS_ERROR_MODEL, "graph output '{}' is produced by no node", output.name());
            result.outputs.push_back(decode_value(output, limits_));
        }
        return result;
    }

  private:
    // Forgets, at the end, what a subgraph defined. (Copying the set of visible names for each
    // subgraph would make a hostile file quadratic.)
    class Scope {
      public:
        Scope(std::set<std::string>& visible, const pb::GraphProto& proto)
            : visible_(visible), proto_(proto) {
            for (const auto& tensor : proto.initializer())
                if (visible.contains(tensor.name()))
                    fail(TALUS_ERROR_MODEL, "'{}' is defined twice", tensor.name());
        }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;
        ~Scope() {
            for (const auto& tensor : proto_.initializer())
                visible_.erase(tensor.name());
            for (const auto& input : proto_.input())
                visible_.erase(input.name());
            for (const auto& node : proto_.node())
                for (const std::string& output : node.output())
                    visible_.erase(output);
        }

      private:
        std::set<std::string>& visible_;
        const pb::GraphProto& proto_;
    };

    static void define(std::set<std::string>& visible, const std::string& name, const char* what) {
        if (name.empty())
            fail(TALUS_ERROR_MODEL, "an {} has no name", what);
        if (!visible.insert(name).second)
            fail(TALUS_ERROR_MODEL, "'{}' is defined twice", name);
    }

    OnnxNode decode_node(const pb::NodeProto& proto, std::set<std::string>& visible,
                         const std::set<std::string>& produced, int depth) {
        if (++node_count_ > limits_.nodes)
            fail(TALUS_ERROR_MODEL, "the model has more than {} nodes", limits_.nodes);
        OnnxNode node;
        node.op = proto.op_type();
        node.name =
            proto.name().empty() ? fmt::format("{}#{}", node.op, node_count_ - 1) : proto.name();
        node.domain = proto.domain();
        node.inputs.assign(proto.input().begin(), proto.input().end());
        node.outputs.assign(proto.output().begin(), proto.output().end());
        for (const std::string& input : node.inputs) {
            if (input.empty() || visible.contains(input))
                continue;
            if (produced.contains(input))
                fail(TALUS_ERROR_MODEL,
                     "{} reads '{}' before it is computed: the graph has a cycle or is not in "
                     "topological order",
                     node.label(), input);
            fail(TALUS_ERROR_MODEL, "{} reads '{}', which nothing defines", node.label(), input);
        }
        for (const pb::AttributeProto& attribute : proto.attribute())
            node.attributes.emplace(attribute.name(),
                                    decode_attribute(attribute, node, visible, depth));
        for (const std::string& output : node.outputs)
            if (!output.empty())
                define(visible, output, "output");
        return node;
    }

    AttributeValue decode_attribute(const pb::AttributeProto& proto, const OnnxNode& node,
                                    std::set<std::string>& visible, int depth) {
        const std::string what = fmt::format("attribute '{}' of {}", proto.name(), node.label());
        switch (proto.type()) {
        case pb::AttributeProto::INT:
            return std::int64_t{proto.i()};
        case pb::AttributeProto::FLOAT:
            return proto.f();
        case pb::AttributeProto::STRING:
            return proto.s();
        case pb::AttributeProto::INTS:
            return std::vector<std::int64_t>(proto.ints().begin(), proto.ints().end());
        case pb::AttributeProto::FLOATS:
            return std::vector<float>(proto.floats().begin(), proto.floats().end());
        case pb::AttributeProto::TENSOR:
            return std::make_shared<const graph::Tensor>(decode_tensor(proto.t(), limits_, what));
        case pb::AttributeProto::GRAPH:
            return std::make_shared<OnnxGraph>(decode_graph(proto.g(), visible, depth + 1));
        default:
            fail(TALUS_ERROR_UNSUPPORTED, "{} is of a kind that Talus does not know", what);
        }
    }

    const Limits& limits_;
    std::size_t node_count_ = 0;
};

std::vector<std::byte> read_file(const std::string& path, std::uint64_t limit) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file)
        fail(TALUS_ERROR_NOT_FOUND, "cannot open '{}'", path);
    const std::streamoff size = file.tellg();
    if (size < 0)
        fail(TALUS_ERROR_NOT_FOUND, "'{}' is not a regular file", path);
    if (static_cast<std::uint64_t>(size) > limit)
        fail(TALUS_ERROR_MODEL, "'{}' has {} bytes (limit {})", path, size, limit);
    std::vector<std::byte> bytes(static_cast<std::size_t>(size));
    file.seekg(0);
    if (!file.read(reinterpret_cast<char*>(bytes.data()), size))
        fail(TALUS_ERROR_NOT_FOUND, "cannot read '{}'", path);
    return bytes;
}

} // namespace

std::string OnnxNode::label() const {
    return fmt::format("node '{}' ({})", name, op);
}

const AttributeValue* OnnxNode::find(const std::string& attribute) const {
    const auto found = attributes.find(attribute);
    return found == attributes.end() ? nullptr : &found->second;
}

std::int64_t OnnxNode::integer(const std::string& attribute, std::int64_t otherwise) const {
    const AttributeValue* value = find(attribute);
    if (value == nullptr)
        return otherwise;
    if (const auto* integer = std::get_if<std::int64_t>(value))
        return *integer;
    fail(TALUS_ERROR_MODEL, "attribute '{}' of {} is not an integer", attribute, label());
}

float OnnxNode::real(const std::string& attribute, float otherwise) const {
    const AttributeValue* value = find(attribute);
    if (value == nullptr)
        return otherwise;
    if (const auto* real = std::get_if<float>(value))
        return *real;
    fail(TALUS_ERROR_MODEL, "attribute '{}' of {} is not a float", attribute, label());
}

std::vector<std::int64_t> OnnxNode::integers(const std::string& attribute) const {
    const AttributeValue* value = find(attribute);
    if (value == nullptr)
        return {};
    if (const auto* integers = std::get_if<std::vector<std::int64_t>>(value))
        return *integers;
    fail(TALUS_ERROR_MODEL, "attribute '{}' of {} is not a list of integers", attribute, label());
}

OnnxModel read_model(std::span<const std::byte> bytes, const Limits& limits) {
    if (bytes.size() > limits.file_bytes || bytes.size() > INT32_MAX)
        fail(TALUS_ERROR_MODEL, "the model has {} bytes (limit {})", bytes.size(),
             limits.file_bytes);
    pb::ModelProto proto;
    if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        fail(TALUS_ERROR_MODEL, "not an ONNX model, or truncated ({} bytes)", bytes.size());
    if (!proto.has_graph())
        fail(TALUS_ERROR_MODEL, "not an ONNX model: it holds no graph");
    OnnxModel model;
    model.ir_version = proto.ir_version();
    model.producer = proto.producer_name() + " " + proto.producer_version();
    for (const auto& opset : proto.opset_import())
        if (opset.domain().empty() || opset.domain() == "ai.onnx")
            model.opset = opset.version();
    if (model.opset < kMinOpset || model.opset > kMaxOpset)
        fail(TALUS_ERROR_UNSUPPORTED, "the model uses opset {}; Talus reads {} to {}", model.opset,
             kMinOpset, kMaxOpset);
    Decoder decoder(limits);
    std::set<std::string> visible;
    model.graph = decoder.decode_graph(proto.graph(), visible, 0);
    model.node_count = decoder.node_count();
    return model;
}

OnnxModel read_model_file(const std::string& path, const Limits& limits) {
    const std::vector<std::byte> bytes = read_file(path, limits.file_bytes);
    try {
        return read_model(bytes, limits);
    } catch (const Failure& failure) {
        throw Failure(failure.status(), path + ": " + failure.what());
    }
}

graph::Tensor read_tensor_file(const std::string& path, const Limits& limits) {
    const std::vector<std::byte> bytes = read_file(path, limits.file_bytes);
    pb::TensorProto proto;
    if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
        fail(TALUS_ERROR_MODEL, "'{}' is not an ONNX tensor, or truncated", path);
    return decode_tensor(proto, limits, "'" + path + "'");
}

} // namespace talus::onnx
