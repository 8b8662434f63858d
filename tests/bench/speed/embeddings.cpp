// Embedding lookups: real firmware and kernel, through the timed DRAM, sums bit for bit.
#include "speed.hpp"

#include <fmt/format.h>

#include "tests/bench/paper/embedding.hpp"

namespace talus::bench {

std::vector<Row> measure_embeddings(const Options& options) {
    const paper::Embedding embedding;
    std::vector<double> rates;
    paper::EmbeddingResult last;
    for (unsigned i = 0; i < options.repetitions; ++i) {
        last = paper::run_embedding(embedding, {});
        rates.push_back(static_cast<double>(last.lookups) * 1e-6 / last.launch_seconds);
    }
    const double bytes = static_cast<double>(embedding.width) * 4;
    Row lookups;
    lookups.what = fmt::format("lookups of {} bytes, {} tables of {} MiB", bytes, embedding.tables,
                               embedding.rows * embedding.width * 4 >> 20);
    lookups.ours = median(rates);
    lookups.unit = "M/CPU s";
    lookups.target = 0.3;
    Row simulated;
    simulated.what = "the same in simulated time";
    simulated.ours = static_cast<double>(last.lookups) * bytes * 1e-9 * last.clock_hz /
                     static_cast<double>(last.cycles);
    simulated.unit = "GB/s of rows";
    return {lookups, simulated};
}

} // namespace talus::bench
