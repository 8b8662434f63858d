// Address space of the host that stands for a memory of the device.
#ifndef TALUS_SIM_MEM_HOST_MEMORY_HPP
#define TALUS_SIM_MEM_HOST_MEMORY_HPP

#include <cstdint>

#include "core/checkpoint.hpp"

namespace talus::sim {

/// Zeroed pages that become resident when they are touched. Owns the mapping.
class HostMemory {
  public:
    /// Private memory of `bytes`; `what` names it in errors. Throws std::system_error.
    HostMemory(std::uint64_t bytes, const char* what);
    /// The first `bytes` of `fd`, shared; the descriptor stays the caller's.
    HostMemory(std::uint64_t bytes, const char* what, int fd);
    ~HostMemory();
    HostMemory(const HostMemory&) = delete;
    HostMemory& operator=(const HostMemory&) = delete;

    std::uint8_t* data() const { return data_; }
    std::uint64_t size() const { return bytes_; }

    /// Zeroes [offset, offset + len); whole pages go back to the host.
    void discard(std::uint64_t offset, std::uint64_t len);

    /// What it holds. Restored, it becomes that, whatever it held.
    void checkpoint(Checkpoint& state);

  private:
    bool shared() const { return fd_ >= 0; }

    std::uint8_t* data_ = nullptr;
    std::uint64_t bytes_ = 0;
    int fd_ = -1; ///< of shared memory; the caller's
};

} // namespace talus::sim

#endif
