// talus-speed: how fast the simulator is, each figure beside a peer's in the same run. A section is
// a function that returns rows; main.cpp has the list.
//
// Times are CPU seconds of user and system together, medians over the repetitions, peer and ours in
// turn, because the wall clock of a shared machine says little.
#ifndef TALUS_BENCH_SPEED_SPEED_HPP
#define TALUS_BENCH_SPEED_SPEED_HPP

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace talus::bench {

struct Options {
    unsigned repetitions = 5;
};

struct Row {
    std::string what;
    double ours = 0; ///< in `unit`
    std::string unit;
    std::optional<double> peer;   ///< likewise; nullopt: there is none, or it is not installed
    std::string peer_name;        ///< what the figure is compared with
    std::string command;          ///< how the peer was run
    std::optional<double> ratio;  ///< above 1: ours is better
    std::optional<double> target; ///< of the ratio, or of `ours` if there is no ratio
    bool less_is_better = false;  ///< of `ours`, for the target
};

struct Section {
    const char* name;
    std::vector<Row> (*measure)(const Options&);
};

/// Guest instructions: interpreter and translator, timed and functional, against qemu-riscv64.
std::vector<Row> measure_instructions(const Options& options);

/// Matrix products on a card of their own, beside what simulators of NPUs took.
std::vector<Row> measure_products(const Options& options);

/// Embedding lookups through the timed DRAM.
std::vector<Row> measure_embeddings(const Options& options);

/// CPU time until a card is ready, and its simulator's resident memory.
std::vector<Row> measure_process(const Options& options);

/// CPU seconds that this process spends in f().
double cpu_seconds(const std::function<void()>& f);

struct Child {
    bool ok = false; ///< ran and ended with exit code 0
    double seconds = 0;
    std::string output;
};
/// Runs a program (argv[0] is looked for in PATH) and takes its standard output.
Child run_child(const std::vector<std::string>& argv);

double median(std::vector<double> values);
double geometric_mean(const std::vector<double>& values);

} // namespace talus::bench

#endif
