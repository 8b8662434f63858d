// Types that every unit of the simulator shares.
#ifndef TALUS_SIM_CORE_TYPES_HPP
#define TALUS_SIM_CORE_TYPES_HPP

#include <cstdint>

namespace talus::sim {

/// A point in simulated time, in clocks of the device since its last fundamental reset.
using Cycle = std::uint64_t;

/// Later than every point in time.
inline constexpr Cycle kNever = ~Cycle{0};

/// 0..3 are the control cores, then 4 + 2 * pe + core (core 0 = A, scalar; core 1 = B, vector).
using HartId = std::uint32_t;

/// What a memory access is for.
enum class AccessKind : std::uint8_t { kLoad, kStore, kFetch };

} // namespace talus::sim

#endif
