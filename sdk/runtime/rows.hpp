// Rows of activations as they cross from one layout to another.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/common/types.hpp"

namespace talus::runtime {

struct Rows {
    std::byte* data;
    kernels::DType type;
    std::int64_t pitch; // elements
};

// Copies columns [begin, end) of `count` rows, converting between float32 and float16 (round to
// nearest even). Other pairs of types must be equal. Returns how many finite values became
// infinite.
std::uint64_t copy_rows(const Rows& to, const Rows& from, std::int64_t begin, std::int64_t end,
                        std::int64_t count);

} // namespace talus::runtime
