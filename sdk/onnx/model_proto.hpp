// An ONNX model as plain data: what the importer reads after the protobuf has been decoded and
// checked. No protobuf type leaves model_proto.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "sdk/graph/tensor.hpp"

namespace talus::onnx {

struct OnnxGraph;

using AttributeValue =
    std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::vector<float>,
                 graph::TensorPtr, std::shared_ptr<OnnxGraph>>;

struct OnnxNode {
    std::string name; // never empty: "<op>#<index>" where the model gives none
    std::string op;
    std::string domain;
    std::vector<std::string> inputs; // "" = absent optional input
    std::vector<std::string> outputs;
    std::map<std::string, AttributeValue> attributes;

    // "node '/top/Gemm' (Gemm)"
    std::string label() const;
    std::int64_t integer(const std::string& attribute, std::int64_t otherwise) const;
    float real(const std::string& attribute, float otherwise) const;
    std::vector<std::int64_t> integers(const std::string& attribute) const; // empty if absent
    const AttributeValue* find(const std::string& attribute) const;
};

struct OnnxValue {
    std::string name;
    graph::DType type = graph::DType::kUndefined;
    graph::Shape shape;
    bool has_shape = false;
};

struct OnnxGraph {
    std::string name;
    std::vector<OnnxNode> nodes;
    std::map<std::string, graph::TensorPtr> initializers;
    std::vector<OnnxValue> inputs; // without those that are initializers
    std::vector<OnnxValue> outputs;
};

struct OnnxModel {
    std::int64_t ir_version = 0;
    std::int64_t opset = 0;
    std::string producer;
    OnnxGraph graph;
    std::size_t node_count = 0; // subgraphs included
};

// What a file may ask of the importer. A file beyond them is refused, not truncated.
struct Limits {
    std::uint64_t file_bytes = std::uint64_t{2} << 30; // protobuf's own limit
    std::uint64_t tensor_bytes = std::uint64_t{2} << 30;
    std::size_t nodes = 200000;
    int graph_depth = 4;
    std::size_t rank = 16;
};

// Decodes and checks a model. Throws Failure: NOT_FOUND, MODEL (truncated, oversized, cyclic, a
// negative dimension, external data, data of the wrong length ...), or UNSUPPORTED (opset or type).
OnnxModel read_model(std::span<const std::byte> bytes, const Limits& limits = {});
OnnxModel read_model_file(const std::string& path, const Limits& limits = {});

// Decodes a TensorProto file of the ONNX backend-test layout (input_0.pb).
graph::Tensor read_tensor_file(const std::string& path, const Limits& limits = {});

} // namespace talus::onnx
