// A model: an imported graph and its plan. Immutable, shared by requests.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "sdk/graph/graph.hpp"
#include "sdk/plan/plan.hpp"

namespace talus::runtime {

class Model {
  public:
    // Throws Failure.
    static std::shared_ptr<const Model> load(const std::string& path,
                                             std::vector<DevicePtr> devices, plan::Options options);
    static std::shared_ptr<const Model> load(std::span<const std::byte> bytes,
                                             std::vector<DevicePtr> devices, plan::Options options);

    // The same graph over other devices. Throws Failure.
    std::shared_ptr<const Model> replan(std::vector<DevicePtr> devices,
                                        plan::Options options) const;

    const graph::Graph& graph() const { return *graph_; }
    const plan::Plan& plan() const { return plan_; }
    const std::string& explanation() const { return explanation_; }

  private:
    Model(std::shared_ptr<const graph::Graph> graph, std::vector<DevicePtr> devices,
          plan::Options options);

    std::shared_ptr<const graph::Graph> graph_; // the plan points into it
    plan::Plan plan_;
    std::string explanation_;
};

using ModelPtr = std::shared_ptr<const Model>;

} // namespace talus::runtime
