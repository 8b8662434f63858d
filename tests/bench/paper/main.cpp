// talus-paper: each published result that the model must reproduce, ours, their ratio, and the same
// with each mechanism switched off.
#include <cstdio>
#include <fstream>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "rows.hpp"

namespace {

using namespace talus::paper;

nlohmann::json as_json(const Measured& measured) {
    nlohmann::json json = {{"value", measured.value}};
    for (const auto& [name, value] : measured.more) {
        json["more"][name] = value;
    }
    return json;
}

std::string detail(const Measured& measured) {
    std::string text;
    for (const auto& [name, value] : measured.more) {
        text += fmt::format("{}{:.6g} {}", text.empty() ? "" : ", ", value, name);
    }
    return text;
}

void print(const std::string& first, const std::string& published, const Measured& measured,
           const Row& row) {
    fmt::print("{:<52} {:>24} {:>10.2f} {:<18} {:>6.3f}  {}\n", first, published, measured.value,
               row.unit, measured.value / row.target, detail(measured));
    std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"Published results beside the model's"};
    std::string file;
    std::vector<std::string> only;
    Settings settings;
    bool switches = true;
    bool list = false;
    app.add_option("--json", file, "write the table to FILE as well");
    app.add_option("--only", only, "rows to measure, by id; may be repeated");
    app.add_option("--set", settings, "section.key=value for every run; may be repeated");
    app.add_flag("--switches,!--no-switches", switches, "also with each mechanism off (default)");
    app.add_flag("--list", list, "print the rows' ids");
    CLI11_PARSE(app, argc, argv);

    const std::vector<Row> all = rows();
    for (const std::string& id : only) {
        if (std::none_of(all.begin(), all.end(), [&](const Row& row) { return row.id == id; })) {
            fmt::print(stderr, "talus-paper: no row '{}'\n", id);
            return 2;
        }
    }
    nlohmann::json json = nlohmann::json::array();
    int failures = 0;
    if (!list) {
        fmt::print("{:<52} {:>24} {:>10} {:<18} {:>6}\n", "", "published", "ours", "", "ratio");
    }
    for (const Row& row : all) {
        if (!only.empty() && std::find(only.begin(), only.end(), row.id) == only.end()) {
            continue;
        }
        if (list) {
            fmt::print("{:<12} {}\n", row.id, row.what);
            continue;
        }
        try {
            const Measured measured = row.measure(settings);
            print(row.what, row.published, measured, row);
            nlohmann::json entry = as_json(measured);
            entry["id"] = row.id;
            entry["what"] = row.what;
            entry["published"] = row.published;
            entry["target"] = row.target;
            entry["unit"] = row.unit;
            entry["ratio"] = measured.value / row.target;
            entry["reached"] =
                row.at_least ? measured.value >= row.target : measured.value <= row.target;
            entry["off"] = nlohmann::json::array();
            for (const Switch& one : row.switches) {
                if (!switches) {
                    break;
                }
                Settings without = settings;
                without.insert(without.end(), one.off.begin(), one.off.end());
                const Measured off = row.measure(without);
                print("    " + one.name, "", off, row);
                nlohmann::json variant = as_json(off);
                variant["name"] = one.name;
                variant["settings"] = one.off;
                entry["off"].push_back(variant);
            }
            json.push_back(entry);
        } catch (const std::exception& error) {
            fmt::print("{:<52} failed: {}\n", row.what, error.what());
            json.push_back({{"id", row.id}, {"error", error.what()}});
            ++failures;
        }
    }
    if (!file.empty() && !(std::ofstream(file) << json.dump(2) << '\n')) {
        fmt::print(stderr, "talus-paper: cannot write '{}'\n", file);
        return 1;
    }
    return failures == 0 ? 0 : 1;
}
