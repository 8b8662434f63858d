#include "sdk/tools/talus_run/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <utility>

#include <nlohmann/json.hpp>

#include "sdk/common/error.hpp"

namespace talus::run {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

json number(const std::optional<double>& value) {
    return value && std::isfinite(*value) ? json(*value) : json(nullptr);
}

std::ofstream create(const std::string& path) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    if (!file)
        fail(TALUS_ERROR_DATA, "cannot write '{}'", path);
    return file;
}

void finish(std::ofstream& file, const std::string& path) {
    file.flush();
    if (!file)
        fail(TALUS_ERROR_DATA, "writing '{}' failed", path);
}

std::string shortened(std::string_view text, std::size_t width) {
    return text.size() <= width ? std::string(text)
                                : fmt::format("{}..", text.substr(0, width - 2));
}

json usages(const talus_usage* values, std::size_t count) {
    json result = json::object();
    for (std::size_t i = 0; i < count; ++i)
        result[values[i].name] = values[i].share;
    return result;
}

// "DPE 61.2%, FI in 40.0%": the first `limit` of them that round to something.
std::string listed(const talus_usage* values, std::size_t count, std::size_t limit) {
    std::string text;
    for (std::size_t i = 0; i < std::min(count, limit) && values[i].share >= 0.0005; ++i)
        text +=
            fmt::format("{}{} {:.1f}%", i > 0 ? ", " : "", values[i].name, values[i].share * 100.0);
    return text.empty() ? "-" : text;
}

// Joules of an operator by what spent them, greatest first: "0.000123 J: idle 60.1%, DPE 20.0%".
std::string energy(const talus_operator_stats& stats) {
    const std::string_view suffix = "_ENERGY";
    std::vector<talus_usage> parts;
    double sum = 0;
    std::vector<std::string> names;
    names.reserve(stats.counter_count);
    for (std::size_t i = 0; i < stats.counter_count; ++i) {
        const std::string_view name = stats.counters[i].name;
        if (!name.ends_with(suffix))
            continue;
        names.emplace_back(name.substr(0, name.size() - suffix.size()));
        parts.push_back({names.back().c_str(), static_cast<double>(stats.counters[i].value)});
        sum += parts.back().share;
    }
    if (sum == 0.0)
        return "-";
    for (talus_usage& part : parts)
        part.share /= sum;
    std::stable_sort(parts.begin(), parts.end(),
                     [](const talus_usage& a, const talus_usage& b) { return a.share > b.share; });
    return fmt::format("{:.6f} J: {}", sum * 1e-9, listed(parts.data(), parts.size(), 4));
}

// What bounds each operator that left performance counters, and what it costs.
void print_roofline(const std::vector<talus_operator_stats>& operators) {
    bool first = true;
    for (const talus_operator_stats& stats : operators) {
        if (stats.resource_count == 0)
            continue;
        if (std::exchange(first, false))
            fmt::print("\n{:<36} {:<24} {:<44} {:<64} {}\n", "node", "bound by", "also used",
                       "energy", "waits");
        fmt::print("{:<36} {:<24} {:<44} {:<64} {}\n", shortened(stats.name, 36),
                   listed(stats.resources, 1, 1),
                   listed(stats.resources + 1, stats.resource_count - 1, 3), energy(stats),
                   listed(stats.stalls, stats.stall_count, 4));
    }
    if (!first)
        fmt::print("\n");
}

std::string share(double utilisation) {
    return utilisation < 0.0 ? "-" : fmt::format("{:.1f}%", utilisation * 100.0);
}

} // namespace

void write_predictions(const std::string& path, const std::vector<float>& probabilities) {
    std::ofstream file = create(path);
    const bool as_json = path.ends_with(".json");
    file << (as_json ? "[" : "row,probability\n");
    for (std::size_t row = 0; row < probabilities.size(); ++row) {
        const float p = probabilities[row];
        if (as_json)
            file << fmt::format("{}\n  {{\"row\": {}, \"probability\": {}}}", row > 0 ? "," : "",
                                row, std::isfinite(p) ? fmt::format("{:.9g}", p) : "null");
        else
            file << fmt::format("{},{:.9g}\n", row, p);
    }
    if (as_json)
        file << "\n]\n";
    finish(file, path);
}

void write_summary(const std::string& path, const Summary& summary) {
    json operators = json::array();
    for (const talus_operator_stats& stats : summary.operators) {
        json entry = {
            {"name", stats.name},         {"op", stats.op},
            {"target", stats.target},     {"precision", stats.precision},
            {"launches", stats.launches}, {"device_cycles", stats.device_cycles},
            {"seconds", stats.seconds},   {"clock", stats.clock},
            {"bytes", stats.bytes},       {"flops", stats.flops},
        };
        if (stats.resource_count > 0) {
            entry["resources"] = usages(stats.resources, stats.resource_count);
            entry["stalls"] = usages(stats.stalls, stats.stall_count);
            json counters = json::object();
            for (std::size_t i = 0; i < stats.counter_count; ++i)
                counters[stats.counters[i].name] = stats.counters[i].value;
            std::uint64_t nanojoules = 0;
            for (const auto& [name, value] : counters.items())
                nanojoules += name.ends_with("_ENERGY") ? value.get<std::uint64_t>() : 0;
            entry["joules"] = static_cast<double>(nanojoules) * 1e-9;
            entry["counters"] = std::move(counters);
        }
        entry["utilisation"] = stats.utilisation < 0.0 ? json(nullptr) : json(stats.utilisation);
        operators.push_back(std::move(entry));
    }
    const json root = {
        {"model", summary.model},
        {"target", summary.target},
        {"devices", summary.devices},
        {"rows", summary.rows},
        {"batch", summary.batch},
        {"auc", number(summary.auc)},
        {"log_loss", number(summary.log_loss)},
        {"wall_seconds", summary.wall_seconds},
        {"load_seconds", summary.load_seconds},
        {"run_seconds", summary.run.wall_seconds},
        {"device_cycles", summary.run.device_cycles},
        {"device_seconds", summary.run.device_seconds},
        {"recoveries", summary.run.recoveries},
        {"recovery_log", summary.recoveries},
        {"operators", std::move(operators)},
    };
    std::ofstream file = create(path);
    file << root.dump(2, ' ', false, json::error_handler_t::replace) << '\n';
    finish(file, path);
}

void print_summary(const Summary& summary) {
    fmt::print("{:<36} {:<12} {:<20} {:>8} {:>14} {:>11} {:>12} {:>8}\n", "node", "operator",
               "target", "launches", "device cycles", "time [us]", "bytes", "of peak");
    for (const talus_operator_stats& stats : summary.operators)
        fmt::print("{:<36} {:<12} {:<20} {:>8} {:>14} {:>11.1f} {:>12} {:>8}\n",
                   shortened(stats.name, 36), stats.op, shortened(stats.target, 20), stats.launches,
                   stats.device_cycles > 0 ? fmt::to_string(stats.device_cycles) : "-",
                   stats.seconds * 1e6, stats.bytes, share(stats.utilisation));
    print_roofline(summary.operators);
    for (const talus_operator_stats& stats : summary.operators)
        if (stats.overflows > 0)
            fmt::print("WARNING: {}: {} values became infinite in FP16\n", stats.name,
                       stats.overflows);
    if (summary.run.recoveries > 0)
        fmt::print("WARNING: {} runs were repeated:\n{}", summary.run.recoveries,
                   summary.recoveries);
    fmt::print("rows {}", summary.rows);
    if (summary.auc)
        fmt::print("  AUC {:.4f}", *summary.auc);
    if (summary.log_loss)
        fmt::print("  log loss {:.4f}", *summary.log_loss);
    fmt::print("\nwall time {:.3f} s (load {:.3f} s, runs {:.3f} s)", summary.wall_seconds,
               summary.load_seconds, summary.run.wall_seconds);
    if (summary.run.device_cycles > 0)
        fmt::print(
            "; device time {:.3f} ms ({} cycles{})", summary.run.device_seconds * 1e3,
            summary.run.device_cycles,
            summary.rows > 0
                ? fmt::format(", {:.2f} us per batch",
                              summary.run.device_seconds * 1e6 /
                                  static_cast<double>(std::max<std::uint64_t>(summary.run.runs, 1)))
                : std::string());
    fmt::print("\n");
}

Progress::Progress(bool enabled) : enabled_(enabled), begin_(Clock::now()), latest_(begin_) {}

Progress::~Progress() {
    if (shown_)
        fmt::print(stderr, "\r\033[K");
}

void Progress::update(std::size_t rows, std::size_t bytes_read, std::size_t bytes_total) {
    constexpr auto kInterval = std::chrono::milliseconds(500);
    const Clock::time_point now = Clock::now();
    if (!enabled_ || now - latest_ < kInterval)
        return;
    latest_ = now;
    shown_ = true;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double done =
        bytes_total > 0 ? static_cast<double>(bytes_read) / static_cast<double>(bytes_total) : 0.0;
    fmt::print(stderr, "\r\033[K{} rows, {:.0f} rows/s{}", rows,
               static_cast<double>(rows) / seconds,
               bytes_total > 0 ? fmt::format(", {:.0f}%", done * 100.0) : std::string());
    std::fflush(stderr);
}

} // namespace talus::run
