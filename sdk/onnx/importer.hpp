// From an ONNX model to the graph that Talus executes.
#pragma once

#include <string>
#include <vector>

#include "sdk/graph/graph.hpp"
#include "sdk/onnx/model_proto.hpp"

namespace talus::onnx {

// Lowers a model and optimises the graph. Throws Failure: UNSUPPORTED names the node, its operator
// and what is supported; MODEL says how the model contradicts itself.
graph::Graph import_model(const OnnxModel& model);

// The ONNX operators that an import may understand, in alphabetical order.
std::vector<std::string> supported_operators();

} // namespace talus::onnx
