// A table-batched embedding on a card of its own, by the operator's kernel.
#pragma once

#include <cstdint>

#include "card.hpp"

namespace talus::paper {

struct Embedding {
    std::int64_t tables = 4;
    std::int64_t rows = 1 << 17; // of each
    std::int64_t width = 64;     // FP32: 256 bytes a row
    std::int64_t batch = 512;
    std::int64_t pooling = 32; // indices of a bag, uniform over the rows
};

struct EmbeddingResult {
    std::uint64_t lookups = 0;
    std::uint64_t cycles = 0; // of the launch
    double clock_hz = 0;
    double launch_seconds = 0; // CPU time of the simulator
};

// Throws std::runtime_error, also where a sum is not that of its rows in the order of the indices.
EmbeddingResult run_embedding(const Embedding& embedding, const Settings& settings);

} // namespace talus::paper
