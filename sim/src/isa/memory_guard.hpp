// Direct memory in which something is wrong (mem/ecc.hpp): a hart asks before it uses what is
// damaged, and keeps its data and fetch windows off it.
#ifndef TALUS_SIM_ISA_MEMORY_GUARD_HPP
#define TALUS_SIM_ISA_MEMORY_GUARD_HPP

#include <cstdint>

namespace talus::sim {

/// By addresses of the host's memory. Belongs to the timing thread.
class MemoryGuard {
  public:
    virtual ~MemoryGuard() = default;
    /// A byte of the range is in a damaged word.
    virtual bool damaged(const std::uint8_t* host, std::uint64_t len) const = 0;
    /// The range is about to be read, or written. false: it cannot be. May take the guard from the
    /// hart.
    virtual bool read(const std::uint8_t* host, std::uint64_t len) = 0;
    virtual bool write(const std::uint8_t* host, std::uint64_t len) = 0;
    /// Shrinks [begin, end), which contains the undamaged byte `at`, to bytes that are not damaged.
    virtual void undamaged(const std::uint8_t* at, const std::uint8_t*& begin,
                           const std::uint8_t*& end) const = 0;
};

} // namespace talus::sim

#endif
