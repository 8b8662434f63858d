#include "sdk/runtime/model.hpp"

#include "sdk/onnx/importer.hpp"

namespace talus::runtime {

namespace {

std::shared_ptr<const graph::Graph> share(graph::Graph graph) {
    return std::make_shared<const graph::Graph>(std::move(graph));
}

} // namespace

Model::Model(std::shared_ptr<const graph::Graph> graph, std::vector<DevicePtr> devices,
             plan::Options options)
    : graph_(std::move(graph)),
      plan_(plan::compile(*graph_, std::move(devices), std::move(options))),
      explanation_(plan::explain(*graph_, plan_)) {}

ModelPtr Model::load(const std::string& path, std::vector<DevicePtr> devices,
                     plan::Options options) {
    return ModelPtr(new Model(share(onnx::import_model(onnx::read_model_file(path))),
                              std::move(devices), std::move(options)));
}

ModelPtr Model::load(std::span<const std::byte> bytes, std::vector<DevicePtr> devices,
                     plan::Options options) {
    return ModelPtr(new Model(share(onnx::import_model(onnx::read_model(bytes))),
                              std::move(devices), std::move(options)));
}

ModelPtr Model::replan(std::vector<DevicePtr> devices, plan::Options options) const {
    return ModelPtr(new Model(graph_, std::move(devices), std::move(options)));
}

} // namespace talus::runtime
