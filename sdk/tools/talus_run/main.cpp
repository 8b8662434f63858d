// talus-run: scores a click log with a model, or checks a model against ONNX test data.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "sdk/common/error.hpp"
#include "sdk/tools/talus_run/options.hpp"
#include "sdk/tools/talus_run/score.hpp"
#include "talus/talus.hpp"

namespace {

using namespace talus;
using namespace talus::run;

constexpr const char* kFooter = R"(
Targets: talus (the accelerator, or its simulator), cuda, cpu. "auto" takes a real accelerator, then a
GPU, then the CPU, and says why it passed one over; it takes the simulator only if TALUS_DEVICE names
one (TALUS_DEVICE=sim). With talus or cuda, operators that they do not run fall back to the CPU, which
the plan shows; --strict makes that an error.

Exit codes: 0 success; 1 internal error; 2 wrong usage; 3 a file is missing, malformed or does not fit
the model; 4 the model is damaged or not supported; 5 the target is not available, or --strict refused
a fallback; 6 the device failed; 7 --inputs: the results differ from the expected ones.)";

int exit_code(talus_status status) {
    switch (status) {
    case TALUS_SUCCESS:
        return kExitSuccess;
    case TALUS_ERROR_INVALID_ARGUMENT:
        return kExitUsage;
    case TALUS_ERROR_NOT_FOUND:
    case TALUS_ERROR_BAD_INPUT:
    case TALUS_ERROR_INDEX_OUT_OF_RANGE:
    case TALUS_ERROR_DATA:
        return kExitData;
    case TALUS_ERROR_MODEL:
    case TALUS_ERROR_UNSUPPORTED:
        return kExitModel;
    case TALUS_ERROR_FALLBACK:
    case TALUS_ERROR_UNAVAILABLE:
        return kExitTarget;
    case TALUS_ERROR_DEVICE:
    case TALUS_ERROR_DEVICE_LOST:
    case TALUS_ERROR_TIMEOUT:
        return kExitDevice;
    case TALUS_ERROR_OUT_OF_MEMORY:
    case TALUS_ERROR_BUSY:
    case TALUS_ERROR_INTERNAL:
        break;
    }
    return kExitInternal;
}

Device open(const Options& options, const std::string& target, bool require_hardware) {
    talus_device_options wanted = TALUS_INIT(talus_device_options);
    wanted.target = target.c_str();
    wanted.device = options.device.empty() ? nullptr : options.device.c_str();
    wanted.require_hardware = require_hardware ? 1 : 0;
    wanted.profile = options.report ? 1 : 0;
    return Device(wanted);
}

// Has the simulator that the driver starts write a trace.
void request_trace(const std::string& path) {
    if (path.find_first_of(" \t\n") != std::string::npos)
        fail(TALUS_ERROR_INVALID_ARGUMENT, "--trace '{}': no blanks, please", path);
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    const char* more = std::getenv("TALUS_SIM_ARGS");
    const std::string arguments = fmt::format("{}{}--trace {}", more != nullptr ? more : "",
                                              more != nullptr ? " " : "", path);
    setenv("TALUS_SIM_ARGS", arguments.c_str(), 1);
}

// The devices that a target stands for, in order of preference.
std::vector<Device> open_devices(const Options& options) {
    std::vector<Device> devices;
    if (options.target != "auto") {
        devices.push_back(open(options, options.target, false));
        return devices;
    }
    const char* named = std::getenv("TALUS_DEVICE");
    const bool asked = !options.device.empty() || (named != nullptr && *named != '\0');
    for (const char* target : {"talus", "cuda"}) {
        try {
            devices.push_back(open(options, target, !asked));
        } catch (const Error& error) {
            // A device that was asked for and fails is no reason to go on without it.
            if (asked && std::string_view(target) == "talus")
                throw;
            fmt::print("auto: not {}: {}\n", target, error.what());
        }
        if (asked)
            break;
    }
    if (devices.empty())
        fmt::print("auto: using cpu\n");
    return devices;
}

int execute(const Options& options) {
    const auto begin = std::chrono::steady_clock::now();
    if (!options.trace.empty())
        request_trace(options.trace);
    const std::vector<Device> devices = open_devices(options);
    if (!options.trace.empty() && !std::filesystem::exists(options.trace))
        fail(TALUS_ERROR_UNAVAILABLE,
             "--trace '{}': no simulator was started that could write it (--target talus --device "
             "sim)",
             options.trace);
    std::vector<const Device*> preferred;
    std::vector<std::string> names;
    for (const Device& device : devices) {
        preferred.push_back(&device);
        names.emplace_back(device.info().name);
    }
    if (names.empty())
        names.emplace_back("cpu");
    ModelOptions how;
    how.max_batch = options.batch;
    how.strict = options.strict;
    how.fp32_tables = options.fp32_tables;
    how.keep_lost = options.keep_lost;
    how.deny = options.deny;
    const Model model(options.model, preferred, how);
    const double load_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{} on {}\n", options.model, fmt::join(names, ", "));
    if (options.explain) {
        fmt::print("{}", model.explain());
        return kExitSuccess;
    }
    const Job job{options, model, names, begin, load_seconds};
    return options.inputs.empty() ? score(job) : compare(job);
}

// Options that only make sense together.
std::optional<std::string> contradiction(const Options& options) {
    if (options.explain)
        return std::nullopt;
    if (options.inputs.empty() && (options.data.empty() || options.encoder.empty()))
        return "--data and --encoder are needed (or --inputs DIR, or --explain)";
    if (!options.inputs.empty() && !options.data.empty())
        return "--data and --inputs exclude each other";
    return std::nullopt;
}

} // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app(
        "Scores a click log with an ONNX model: predictions, AUC, log loss, and what every "
        "operator cost on its target.",
        "talus-run");
    app.footer(kFooter);
    app.set_version_flag("--version", std::string("talus-run ") + talus_version());
    app.add_option("--model", options.model, "ONNX model")->required();
    app.add_option("--data", options.data,
                   "Click log: CSV or TSV with a header (Id, Label, I1.., C1.., any case), or "
                   "Criteo's TSV without one");
    app.add_option("--encoder", options.encoder, "encoder.json: how raw values become inputs");
    app.add_option("--target", options.target, "talus, cuda, cpu or auto")
        ->check(CLI::IsMember({"talus", "cuda", "cpu", "auto"}))
        ->capture_default_str();
    app.add_option("--device", options.device,
                   "Device of the target: BDF, socket path or sim (talus; default TALUS_DEVICE), "
                   "ordinal (cuda)");
    app.add_option("--output", options.output,
                   "Predictions: row,probability (JSON if the name ends in .json)");
    app.add_option("--json", options.json, "Summary as JSON");
    app.add_option("--batch", options.batch, "Rows per request")
        ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 20))
        ->capture_default_str();
    app.add_option("--inputs", options.inputs,
                   "Folder with input_K.pb and output_0.pb (ONNX test data): run and compare");
    app.add_option("--tolerance", options.tolerance,
                   "Largest difference that --inputs accepts (default 2e-4 with FP16 constants, "
                   "else 1e-5)")
        ->check(CLI::NonNegativeNumber);
    app.add_flag("--explain", options.explain, "Print the plan and stop");
    app.add_flag("--report", options.report,
                 "Read performance counters on talus: what bounds each operator, and what it "
                 "waits for (all counters with --json)");
    app.add_option("--trace", options.trace,
                   "Let the simulator write a trace for ui.perfetto.dev to this file");
    app.add_flag("--strict", options.strict, "Refuse any fallback to another target");
    app.add_option("--deny", options.deny,
                   "target:operator or target:node that the plan must not use; repeatable");
    app.add_flag(
        "--keep-lost", options.keep_lost,
        "End when a device is lost (default: open it anew or fall back, and repeat the run)");
    app.add_flag("--fp32-tables", options.fp32_tables, "Keep embedding tables in FP32 on talus");
    app.add_flag("--progress", options.progress, "Show progress even if stderr is no terminal");
    app.add_flag("--no-progress", options.no_progress, "Never show progress");
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kExitSuccess : kExitUsage;
    }
    if (const auto why = contradiction(options)) {
        fmt::print(stderr, "talus-run: {}\nRun with --help for more information.\n", *why);
        return kExitUsage;
    }
    try {
        return execute(options);
    } catch (const Error& error) {
        fmt::print(stderr, "talus-run: {}\n", error.what());
        return exit_code(error.status());
    } catch (const Failure& failure) {
        fmt::print(stderr, "talus-run: {}\n", failure.what());
        return exit_code(failure.status());
    } catch (const std::exception& error) {
        fmt::print(stderr, "talus-run: {}\n", error.what());
        return kExitInternal;
    }
}
