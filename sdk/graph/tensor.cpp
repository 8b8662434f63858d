#include "sdk/graph/tensor.hpp"

#include "sdk/common/error.hpp"

namespace talus::graph {

namespace {

template <typename T>
std::vector<std::int64_t> widened(std::span<const T> values) {
    std::vector<std::int64_t> result;
    result.reserve(values.size());
    for (T value : values)
        result.push_back(static_cast<std::int64_t>(value));
    return result;
}

} // namespace

std::string to_string(const Shape& shape) {
    std::vector<std::string> dims;
    for (const Dim& dim : shape)
        dims.push_back(dim.is_known() ? fmt::to_string(dim.extent) : dim.symbol);
    return fmt::format("[{}]", fmt::join(dims, ","));
}

std::string to_string(std::span<const std::int64_t> shape) {
    return fmt::format("[{}]", fmt::join(shape, ","));
}

std::int64_t Tensor::elements() const {
    std::int64_t count = 1;
    for (std::int64_t extent : shape)
        count *= extent;
    return count;
}

std::vector<std::int64_t> Tensor::integers() const {
    switch (type) {
    case DType::kInt64:
        return widened(as<std::int64_t>());
    case DType::kInt32:
        return widened(as<std::int32_t>());
    case DType::kInt16:
        return widened(as<std::int16_t>());
    case DType::kInt8:
        return widened(as<std::int8_t>());
    case DType::kUint8:
    case DType::kBool:
        return widened(as<std::uint8_t>());
    case DType::kUint16:
        return widened(as<std::uint16_t>());
    case DType::kUint32:
        return widened(as<std::uint32_t>());
    default:
        fail(TALUS_ERROR_MODEL, "constant '{}' is {}, where integers are needed", name,
             kernels::name_of(type));
    }
}

std::int64_t checked_elements(std::span<const std::int64_t> shape, std::size_t element_bytes,
                              std::uint64_t limit_bytes, const std::string& what) {
    std::uint64_t bytes = element_bytes;
    bool empty = false;
    for (std::int64_t extent : shape) {
        if (extent < 0)
            fail(TALUS_ERROR_MODEL, "{} has a negative dimension: {}", what, to_string(shape));
        empty = empty || extent == 0;
    }
    if (empty)
        return 0;
    for (std::int64_t extent : shape) {
        if (bytes > limit_bytes / static_cast<std::uint64_t>(extent))
            fail(TALUS_ERROR_MODEL, "{} of shape {} exceeds the limit of {} bytes", what,
                 to_string(shape), limit_bytes);
        bytes *= static_cast<std::uint64_t>(extent);
    }
    return static_cast<std::int64_t>(bytes / element_bytes);
}

Tensor make_tensor(std::string name, DType type, std::vector<std::int64_t> shape) {
    Tensor tensor;
    tensor.name = std::move(name);
    tensor.type = type;
    tensor.shape = std::move(shape);
    tensor.bytes.resize(static_cast<std::size_t>(tensor.elements()) * kernels::size_of(type));
    return tensor;
}

} // namespace talus::graph
