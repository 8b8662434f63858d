// The two things that talus-run does with a model.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "sdk/tools/talus_run/options.hpp"
#include "talus/talus.hpp"

namespace talus::run {

struct Job {
    const Options& options;
    const Model& model;
    std::vector<std::string> devices; // names, for the summary
    std::chrono::steady_clock::time_point begin;
    double load_seconds = 0;
};

// Scores a click log; returns an exit code. Throws Failure or Error.
int score(const Job& job);

// Runs the inputs of an ONNX backend-test folder and compares with its outputs. Throws.
int compare(const Job& job);

} // namespace talus::run
