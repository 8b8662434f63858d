// Matrix products: real firmware and kernel, timed, values bit for bit.
#include "speed.hpp"

#include <fmt/format.h>

#include "tests/bench/paper/product.hpp"

namespace talus::bench {
namespace {

struct Case {
    paper::Product product;
    double limit; ///< CPU seconds
    std::optional<double> peer;
    const char* peer_name;
};

} // namespace

std::vector<Row> measure_products(const Options& options) {
    // ONNXim 2048^3: CPU seconds that a core of this kind of machine took (no values computed).
    const Case cases[] = {
        {{2048, 2048, 2048}, 1.5, 92.0, "ONNXim, as published"},
        {{512, 1024, 1024}, 0.15, std::nullopt, ""},
    };
    std::vector<Row> rows;
    for (const Case& one : cases) {
        std::vector<double> whole, launch;
        double cycles = 0;
        for (unsigned i = 0; i < options.repetitions; ++i) {
            const paper::ProductResult result = paper::run_product(one.product, {});
            whole.push_back(result.simulator_seconds);
            launch.push_back(result.launch_seconds);
            cycles = static_cast<double>(result.cycles);
        }
        const std::string name =
            fmt::format("{} x {} x {} FP16", one.product.m, one.product.n, one.product.k);
        Row row;
        row.what = name + ", with start";
        row.ours = median(whole);
        row.unit = "CPU s";
        row.peer = one.peer;
        row.peer_name = one.peer_name;
        row.target = one.limit;
        row.less_is_better = true;
        rows.push_back(row);
        Row alone;
        alone.what = name + ", launch alone";
        alone.ours = median(launch);
        alone.unit = "CPU s";
        rows.push_back(alone);
        Row pace;
        pace.what = name + ", pace";
        pace.ours = cycles / median(launch) / 1000;
        pace.unit = "kcycles/CPU s";
        rows.push_back(pace);
    }
    return rows;
}

} // namespace talus::bench
