#include "sdk/common/error.hpp"
#include "sdk/plan/plan.hpp"

namespace talus::plan {

namespace {

std::string_view name_of(runtime::Placement placement) {
    return placement == runtime::Placement::kFast ? "LLS" : "DRAM";
}

std::string bytes_text(std::uint64_t bytes) {
    if (bytes >= 10 * 1024 * 1024)
        return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
    if (bytes >= 10 * 1024)
        return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024.0);
    return fmt::format("{} B", bytes);
}

} // namespace

std::string explain(const graph::Graph& graph, const Plan& plan) {
    std::string text =
        fmt::format("plan of '{}': {} ONNX nodes -> {} operators, max_batch {}\n", graph.name,
                    graph.onnx_node_count, graph.nodes.size(), plan.options.max_batch);
    for (std::size_t d = 0; d < plan.devices.size(); ++d) {
        const runtime::DeviceInfo& info = plan.devices[d]->info();
        text += fmt::format("device {}: {}{}{}\n", d, info.name, info.note.empty() ? "" : " - ",
                            info.note);
    }
    for (const NodePlan& planned : plan.nodes) {
        const graph::Node& node = graph.nodes[planned.node];
        if (const auto* tbe = std::get_if<graph::Tbe>(&node.what))
            text += fmt::format("  {:<44} {:<12} {:<18} {} index inputs checked and packed\n",
                                node.name + ": indices", "pack", "host", tbe->tables.size());
        const runtime::Device& device = *plan.devices[planned.device];
        text += fmt::format("  {:<44} {:<12} {:<18} {}; {}", node.name, node.op(),
                            device.info().name, graph::describe(graph, node), planned.reason);
        if (planned.packed.bytes() > 0)
            text += fmt::format("; constants {} {}{}{}", planned.precision,
                                bytes_text(planned.packed.bytes()), device.is_host() ? "" : " in ",
                                device.is_host() ? "" : name_of(planned.packed.placement()));
        if (planned.overflows > 0)
            text += fmt::format("; WARNING: {} constants overflow {} to infinity",
                                planned.overflows, planned.precision);
        text += '\n';
    }
    for (const graph::Node& node : graph.nodes)
        if (node.elided)
            text += fmt::format("  {:<44} {:<12} {:<18} its inputs are written in place\n",
                                node.name, node.op(), "no work");
    std::size_t crossings = 0;
    for (const Step& step : plan.steps)
        if (step.kind != Step::Kind::kRun) {
            ++crossings;
            text += fmt::format("  {:<44} {:<12} {}\n", graph.value(step.storage).name, "copy",
                                step.kind == Step::Kind::kUpload
                                    ? "host -> " + plan.devices[step.device]->info().name
                                    : plan.devices[step.device]->info().name + " -> host");
        }
    for (std::size_t d = 0; d < plan.devices.size(); ++d)
        if (!plan.memory[d].storages.empty())
            text += fmt::format("activations on {}: {} per request{}\n",
                                plan.devices[d]->info().name, bytes_text(plan.memory[d].bytes),
                                plan.devices[d]->info().target == "talus"
                                    ? " (LLS while it has room, else DRAM)"
                                    : "");
    text += fmt::format("{} copies between host and devices\n", crossings);
    return text;
}

} // namespace talus::plan
