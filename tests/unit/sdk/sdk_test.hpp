// Running small models in tests.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "onnx_builder.hpp"
#include "sdk/common/error.hpp"
#include "sdk/onnx/importer.hpp"
#include "sdk/runtime/request.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::test {

inline graph::Graph import(const GraphBuilder& builder, std::int64_t opset = 13) {
    return onnx::import_model(onnx::read_model(builder.model(opset)));
}

// The operators of a graph in order, elided concatenations left out: "fc tbe interaction".
inline std::string operators(const graph::Graph& graph) {
    std::vector<std::string> names;
    for (const graph::Node& node : graph.nodes)
        if (!node.elided)
            names.emplace_back(node.op());
    return fmt::format("{}", fmt::join(names, " "));
}

struct Input {
    // A braced list is one of floats; integers come as a vector.
    Input(std::initializer_list<float> values, std::vector<std::int64_t> dims)
        : floats(values), shape(std::move(dims)) {}
    Input(std::vector<float> values, std::vector<std::int64_t> dims)
        : floats(std::move(values)), shape(std::move(dims)) {}
    Input(std::vector<std::int64_t> values, std::vector<std::int64_t> dims)
        : ints(std::move(values)), shape(std::move(dims)) {}

    talus_tensor tensor() {
        talus_tensor result = TALUS_INIT(talus_tensor);
        result.dtype = ints.empty() && !floats.empty() ? TALUS_FLOAT32 : TALUS_INT64;
        result.data = result.dtype == TALUS_FLOAT32 ? static_cast<void*>(floats.data())
                                                    : static_cast<void*>(ints.data());
        result.rank = static_cast<std::int32_t>(shape.size());
        for (std::size_t d = 0; d < shape.size(); ++d)
            result.shape[d] = shape[d];
        return result;
    }

    std::vector<float> floats;
    std::vector<std::int64_t> ints;
    std::vector<std::int64_t> shape;
};

inline std::vector<float> output_of(const runtime::Request& request, std::size_t index = 0) {
    const talus_tensor tensor = request.output(index);
    std::size_t count = 1;
    for (std::int32_t d = 0; d < tensor.rank; ++d)
        count *= static_cast<std::size_t>(tensor.shape[d]);
    const auto* values = static_cast<const float*>(tensor.data);
    return {values, values + count};
}

// Imports, plans on `devices` (none: the CPU) and runs once.
inline std::vector<float> run(const GraphBuilder& builder, std::vector<Input> inputs,
                              std::vector<runtime::DevicePtr> devices = {},
                              plan::Options options = {}) {
    const auto model =
        runtime::Model::load(builder.model(), std::move(devices), std::move(options));
    runtime::Request request(model);
    for (std::size_t i = 0; i < inputs.size(); ++i)
        request.set_input(i, inputs[i].tensor());
    request.run();
    return output_of(request);
}

// The message of the Failure that `body` throws, and its status; "" if it throws none.
template <typename Body>
std::string failure(Body&& body, talus_status* status = nullptr) {
    try {
        body();
    } catch (const Failure& thrown) {
        if (status != nullptr)
            *status = thrown.status();
        return thrown.what();
    }
    return "";
}

#define EXPECT_CONTAINS(text, part)                                                                \
    EXPECT_NE((text).find(part), std::string::npos) << "in: " << (text)

} // namespace talus::test
