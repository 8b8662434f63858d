// talus-speed [--json FILE] [--section NAME] [--repetitions N]
#include "speed.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <fstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace talus::bench {
namespace {

constexpr std::array kSections = {
    Section{"instructions", measure_instructions},
    Section{"products", measure_products},
    Section{"embeddings", measure_embeddings},
    Section{"process", measure_process},
};

std::string figure(std::optional<double> value) {
    return value ? fmt::format("{:.4g}", *value) : "-";
}

/// Empty where there is no target.
std::string verdict(const Row& row) {
    if (!row.target) {
        return "";
    }
    const double value = row.ratio ? *row.ratio : row.ours;
    const bool met = row.less_is_better && !row.ratio ? value <= *row.target : value >= *row.target;
    return fmt::format("{} ({})", *row.target, met ? "met" : "missed");
}

void print(const std::string& name, const std::vector<Row>& rows) {
    fmt::print("{}\n{:<34} {:>10} {:<16} {:>10}  {:<24} {:>8}  {}\n", name, "what", "ours", "unit",
               "peer", "", "ratio", "target");
    for (const Row& row : rows) {
        fmt::print("{:<34} {:>10} {:<16} {:>10}  {:<24} {:>8}  {}\n", row.what, figure(row.ours),
                   row.unit, figure(row.peer), row.peer_name, figure(row.ratio), verdict(row));
    }
    std::vector<std::string> commands;
    for (const Row& row : rows) {
        if (!row.command.empty() &&
            std::find(commands.begin(), commands.end(), row.command) == commands.end()) {
            commands.push_back(row.command);
            fmt::print("  {}: {}\n", row.peer_name, row.command);
        }
    }
    fmt::print("\n");
}

nlohmann::json to_json(const Row& row) {
    nlohmann::json json = {{"what", row.what}, {"ours", row.ours}, {"unit", row.unit}};
    const auto add = [&](const char* key, const std::optional<double>& value) {
        if (value) {
            json[key] = *value;
        }
    };
    add("peer", row.peer);
    add("ratio", row.ratio);
    add("target", row.target);
    if (!row.peer_name.empty()) {
        json["peer_name"] = row.peer_name;
    }
    if (!row.command.empty()) {
        json["command"] = row.command;
    }
    return json;
}

int run(int argc, char** argv) {
    CLI::App app("Measures the simulator's speed beside its peers, in CPU seconds.");
    std::string json_file, only;
    Options options;
    app.add_option("--json", json_file, "also write the table to this file");
    std::vector<std::string> names;
    for (const Section& section : kSections) {
        names.emplace_back(section.name);
    }
    app.add_option("--section", only, "measure this section only")->check(CLI::IsMember(names));
    app.add_option("--repetitions", options.repetitions, "of each measurement")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);

    nlohmann::json json = nlohmann::json::object();
    for (const Section& section : kSections) {
        if (!only.empty() && only != section.name) {
            continue;
        }
        const std::vector<Row> rows = section.measure(options);
        print(section.name, rows);
        for (const Row& row : rows) {
            json[section.name].push_back(to_json(row));
        }
    }
    if (!json_file.empty()) {
        std::ofstream out(json_file);
        out << json.dump(2) << "\n";
        if (!out.flush()) {
            fmt::print(stderr, "talus-speed: cannot write {}\n", json_file);
            return 1;
        }
    }
    return 0;
}

} // namespace
} // namespace talus::bench

int main(int argc, char** argv) {
    try {
        return talus::bench::run(argc, argv);
    } catch (const std::exception& e) {
        fmt::print(stderr, "talus-speed: {}\n", e.what());
        return 1;
    }
}
