// Constants and shapes of a graph. Tensors are logical: row-major, unpadded, with ONNX's type
// numbers; a target owns its own physical layout.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/types.hpp"

namespace talus::graph {

using kernels::DType;

// One dimension: a known extent, or a symbol that a request binds ("batch", "nnz0").
struct Dim {
    std::int64_t extent = -1; // -1: symbolic
    std::string symbol;       // empty for a known extent

    static Dim known(std::int64_t extent) { return {extent, {}}; }
    static Dim symbolic(std::string name) { return {-1, std::move(name)}; }
    bool is_known() const { return extent >= 0; }
    bool operator==(const Dim&) const = default;
};

using Shape = std::vector<Dim>;

// "[batch,13]"
std::string to_string(const Shape& shape);
std::string to_string(std::span<const std::int64_t> shape);

// A host constant that owns its bytes. Immutable once it is part of a graph.
struct Tensor {
    std::string name;
    DType type = DType::kUndefined;
    std::vector<std::int64_t> shape;
    std::vector<std::byte> bytes;

    std::int64_t elements() const;
    template <typename T>
    std::span<const T> as() const {
        return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
    }
    template <typename T>
    std::span<T> as() {
        return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
    }
    // The elements as 64-bit integers. Requires an integer or bool type (throws Failure otherwise).
    std::vector<std::int64_t> integers() const;
};

using TensorPtr = std::shared_ptr<const Tensor>;

// Elements of a shape of non-negative extents. Throws Failure naming `what` on a negative extent or
// when the product of extents times `element_bytes` exceeds `limit_bytes`.
std::int64_t checked_elements(std::span<const std::int64_t> shape, std::size_t element_bytes,
                              std::uint64_t limit_bytes, const std::string& what);

// A zeroed tensor.
Tensor make_tensor(std::string name, DType type, std::vector<std::int64_t> shape);

} // namespace talus::graph
