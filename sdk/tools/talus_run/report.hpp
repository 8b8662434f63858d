// What a run tells the user: files, the table per operator, progress.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "talus/talus.hpp"

namespace talus::run {

struct Summary {
    std::string model;
    std::string target; // as asked
    std::vector<std::string> devices;
    std::size_t rows = 0;
    std::int64_t batch = 0;
    std::optional<double> auc;
    std::optional<double> log_loss;
    double wall_seconds = 0; // of the whole program, from its start
    double load_seconds = 0; // open, import, plan, prepack
    talus_request_stats run{};
    std::string recoveries; // the model's recovery log
    std::vector<talus_operator_stats> operators;
};

// `row,probability` with 9 significant digits, or a JSON array of such objects if the name ends in
// ".json". Throws Failure DATA.
void write_predictions(const std::string& path, const std::vector<float>& probabilities);
void write_summary(const std::string& path, const Summary& summary);
void print_summary(const Summary& summary);

// A line on stderr that follows a long input; silent unless stderr is a terminal or `always`.
class Progress {
  public:
    explicit Progress(bool enabled);
    ~Progress();
    void update(std::size_t rows, std::size_t bytes_read, std::size_t bytes_total);

  private:
    bool enabled_;
    bool shown_ = false;
    std::chrono::steady_clock::time_point begin_;
    std::chrono::steady_clock::time_point latest_;
};

} // namespace talus::run
