// What the user asked for, and how the program ends.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace talus::run {

struct Options {
    std::string model;
    std::string data;
    std::string encoder;
    std::string target = "auto";
    std::string device;
    std::string output;
    std::string json;
    std::string inputs;
    std::string trace;
    std::vector<std::string> deny;
    std::int64_t batch = 2048;
    double tolerance = -1.0; // negative: by precision
    bool explain = false;
    bool report = false;
    bool strict = false;
    bool keep_lost = false;
    bool fp32_tables = false;
    bool progress = false;
    bool no_progress = false;
};

enum ExitCode {
    kExitSuccess = 0,
    kExitInternal = 1,
    kExitUsage = 2,
    kExitData = 3,
    kExitModel = 4,
    kExitTarget = 5,
    kExitDevice = 6,
    kExitMismatch = 7,
};

} // namespace talus::run
