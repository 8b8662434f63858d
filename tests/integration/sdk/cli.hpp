// Running talus-run and reading what it writes.
#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include <sys/wait.h>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace talus::test {

struct Outcome {
    int code = -1;
    std::string text; // stdout and stderr
};

// Runs talus-run through the shell; `environment` as in "TALUS_DEVICE=sim".
inline Outcome talus_run(const std::string& arguments, const std::string& environment = "") {
    const std::string command = fmt::format("{} {} {} 2>&1", environment, TALUS_RUN, arguments);
    Outcome outcome;
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> block{};
    std::size_t count = 0;
    while ((count = std::fread(block.data(), 1, block.size(), pipe)) > 0)
        outcome.text.append(block.data(), count);
    const int status = pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
}

// A folder that lives as long as the test.
class Scratch {
  public:
    Scratch() {
        std::string pattern = testing::TempDir() + "talus_run_XXXXXX";
        path_ = mkdtemp(pattern.data());
    }
    ~Scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    std::string file(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

inline std::string slurp(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

// A column of a CSV file with a header, as numbers.
inline std::vector<double> column(const std::string& path, const std::string& name) {
    std::ifstream file(path);
    std::string line;
    std::vector<double> values;
    std::size_t wanted = 0;
    for (bool header = true; std::getline(file, line); header = false) {
        std::stringstream fields(line);
        std::string field;
        for (std::size_t i = 0; std::getline(fields, field, ','); ++i) {
            if (header && field == name)
                wanted = i;
            if (!header && i == wanted)
                values.push_back(std::strtod(field.c_str(), nullptr));
        }
    }
    return values;
}

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
    if (a.size() != b.size() || a.empty())
        return INFINITY;
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i)
        largest = std::isnan(a[i] - b[i]) ? INFINITY : std::max(largest, std::fabs(a[i] - b[i]));
    return largest;
}

inline std::string demo_arguments(const std::string& model = "model.onnx") {
    const std::string folder = TALUS_DEMO_FOLDER;
    return fmt::format("--model {0}/{1} --data {0}/clicks.csv --encoder {0}/encoder.json", folder,
                       model);
}

} // namespace talus::test
