#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "sdk/common/error.hpp"
#include "sdk/onnx/model_proto.hpp"
#include "sdk/tools/talus_run/report.hpp"
#include "sdk/tools/talus_run/score.hpp"

namespace talus::run {

namespace {

// Stated tolerances on |result - expected|: FP16 constants and activations with FP32 accumulation
// on the accelerator, FP32 elsewhere.
constexpr double kToleranceHalf = 2e-4;
constexpr double kToleranceSingle = 1e-5;

talus_tensor tensor_of(const graph::Tensor& from) {
    if (from.shape.size() > TALUS_MAX_RANK)
        fail(TALUS_ERROR_BAD_INPUT, "tensor '{}' has {} dimensions", from.name, from.shape.size());
    talus_tensor tensor = TALUS_INIT(talus_tensor);
    tensor.dtype = static_cast<std::int32_t>(from.type);
    tensor.rank = static_cast<std::int32_t>(from.shape.size());
    for (std::size_t d = 0; d < from.shape.size(); ++d)
        tensor.shape[d] = from.shape[d];
    tensor.data = const_cast<std::byte*>(from.bytes.data());
    return tensor;
}

struct Difference {
    double largest = 0;
    std::size_t at = 0;
    std::size_t above = 0; // elements beyond the tolerance
};

Difference difference(std::span<const float> found, std::span<const float> expected,
                      double tolerance) {
    Difference result;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const bool both_nan = std::isnan(found[i]) && std::isnan(expected[i]);
        const bool same = found[i] == expected[i]; // infinities too
        const double apart =
            same || both_nan
                ? 0.0
                : std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
        if (!(apart <= tolerance))
            ++result.above;
        if (std::isnan(apart) || apart > result.largest) {
            result.largest = apart;
            result.at = i;
        }
    }
    return result;
}

} // namespace

int compare(const Job& job) {
    const std::filesystem::path folder = job.options.inputs;
    if (!std::filesystem::is_directory(folder))
        fail(TALUS_ERROR_NOT_FOUND, "'{}' is not a folder", folder.string());
    const Model& model = job.model;
    std::vector<graph::Tensor> tensors;
    for (std::size_t i = 0; i < model.input_count(); ++i)
        tensors.push_back(
            onnx::read_tensor_file((folder / fmt::format("input_{}.pb", i)).string()));
    Request request(model);
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        // By name where the file has one that the model knows, else by position.
        std::size_t input = i;
        for (std::size_t k = 0; k < model.input_count(); ++k)
            if (!tensors[i].name.empty() && tensors[i].name == model.input(k).name)
                input = k;
        const talus_tensor tensor = tensor_of(tensors[i]);
        detail::check(talus_request_set_input(request.get(), input, &tensor));
    }
    request.run();

    Summary summary;
    summary.model = job.options.model;
    summary.target = job.options.target;
    summary.devices = job.devices;
    summary.load_seconds = job.load_seconds;
    summary.run = request.stats();
    summary.recoveries = job.model.recovery_log();
    summary.rows = summary.run.samples;
    summary.batch = static_cast<std::int64_t>(summary.rows);
    summary.operators = request.operators();
    summary.wall_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - job.begin).count();
    if (!job.options.json.empty())
        write_summary(job.options.json, summary);
    print_summary(summary);

    bool half = false;
    for (const talus_operator_stats& stats : summary.operators)
        half = half || std::string_view(stats.precision) == "fp16";
    const double tolerance = job.options.tolerance >= 0.0 ? job.options.tolerance
                             : half                       ? kToleranceHalf
                                                          : kToleranceSingle;
    bool all = true;
    for (std::size_t i = 0; i < model.output_count(); ++i) {
        const std::string path = (folder / fmt::format("output_{}.pb", i)).string();
        if (i > 0 && !std::filesystem::exists(path))
            break;
        const graph::Tensor expected = onnx::read_tensor_file(path);
        const std::span<const float> found = request.output<float>(i);
        if (expected.type != graph::DType::kFloat32 || expected.as<float>().size() != found.size())
            fail(TALUS_ERROR_BAD_INPUT, "'{}' holds {} {}, the model gives {} float32", path,
                 expected.elements(), kernels::name_of(expected.type), found.size());
        const Difference apart = difference(found, expected.as<float>(), tolerance);
        all = all && apart.above == 0;
        fmt::print("output {}: {} of {} elements within {:g}; largest difference {:.3g} at {}\n",
                   model.output(i).name, found.size() - apart.above, found.size(), tolerance,
                   apart.largest, apart.at);
    }
    fmt::print("{}\n", all ? "PASS" : "FAIL");
    return all ? kExitSuccess : kExitMismatch;
}

} // namespace talus::run
