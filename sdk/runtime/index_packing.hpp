// Index inputs of a request, checked and packed into the layout of the table-batched embedding.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sdk/graph/graph.hpp"
#include "talus/talus.h"

namespace talus::runtime {

// Packed indices for samples [first, first + batch). 32 bits suffice: every index was found to be
// inside its table, and negative ones (ONNX Gather) were counted from the end.
struct PackedIndices {
    bool ragged = false;
    std::int64_t pooling = 1;          // fixed pooling: indices are [tables, batch, pooling]
    std::vector<std::int32_t> indices; // ragged: [L]
    std::vector<std::int32_t> offsets; // ragged: [tables * batch + 1]
};

// True if some table's bags vary in length, so that offsets are needed.
bool is_ragged(const graph::Tbe& tbe);

// `tensor` gives the request's tensor for a graph input; `total` is the whole request's batch.
// Throws Failure INDEX_OUT_OF_RANGE naming table, sample and position (sample counts from the
// request's first).
void pack_indices(const graph::Tbe& tbe,
                  const std::function<const talus_tensor&(graph::ValueId)>& tensor,
                  std::int64_t total, std::int64_t first, std::int64_t batch,
                  PackedIndices& packed);

} // namespace talus::runtime
