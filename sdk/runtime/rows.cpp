#include "sdk/runtime/rows.hpp"

#include <cmath>
#include <cstring>

#include "kernels/common/half.hpp"
#include "sdk/common/error.hpp"

namespace talus::runtime {

std::uint64_t copy_rows(const Rows& to, const Rows& from, std::int64_t begin, std::int64_t end,
                        std::int64_t count) {
    using kernels::DType;
    std::uint64_t overflows = 0;
    const auto element_to = static_cast<std::int64_t>(kernels::size_of(to.type));
    const auto element_from = static_cast<std::int64_t>(kernels::size_of(from.type));
    for (std::int64_t r = 0; r < count; ++r) {
        std::byte* target = to.data + (r * to.pitch + begin) * element_to;
        const std::byte* source = from.data + (r * from.pitch + begin) * element_from;
        if (to.type == from.type) {
            std::memcpy(target, source, static_cast<std::size_t>((end - begin) * element_to));
        } else if (to.type == DType::kFloat16 && from.type == DType::kFloat32) {
            for (std::int64_t c = 0; c < end - begin; ++c) {
                float value = 0;
                std::memcpy(&value, source + c * 4, 4);
                const std::uint16_t half = kernels::float_to_half(value);
                overflows += std::isfinite(value) && (half & 0x7fffU) == 0x7c00U;
                std::memcpy(target + c * 2, &half, 2);
            }
        } else if (to.type == DType::kFloat32 && from.type == DType::kFloat16) {
            for (std::int64_t c = 0; c < end - begin; ++c) {
                std::uint16_t half = 0;
                std::memcpy(&half, source + c * 2, 2);
                const float value = kernels::half_to_float(half);
                std::memcpy(target + c * 4, &value, 4);
            }
        } else {
            fail(TALUS_ERROR_INTERNAL, "rows of {} cannot become {}", kernels::name_of(from.type),
                 kernels::name_of(to.type));
        }
    }
    return overflows;
}

} // namespace talus::runtime
