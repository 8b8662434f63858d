// The windows of the domains: which addresses, of the host or of device memory, the commands and
// jobs of a domain may touch.
#ifndef TALUS_SIM_MEM_DOMAIN_WINDOWS_HPP
#define TALUS_SIM_MEM_DOMAIN_WINDOWS_HPP

#include <array>
#include <cstdint>

#include "talus/hw/queue.h"

namespace talus::sim {

class DomainWindows {
  public:
    /// Sets a window; length 0 closes it. false: domain 0 (the owner's, which sees all) or an index
    /// out of range or a range that wraps round; nothing is changed then.
    bool set(unsigned domain, unsigned index, std::uint64_t iova, std::uint64_t length,
             unsigned access);

    /// May `domain` read (write: `write`) [iova, iova + length)? The range must lie in one window.
    bool allows(unsigned domain, std::uint64_t iova, std::uint64_t length, bool write) const;

    /// Closes all windows.
    void clear() {
        windows_ = {};
        used_ = {};
    }

  private:
    struct Window {
        std::uint64_t iova = 0;
        std::uint64_t length = 0;
        unsigned access = 0;
    };
    std::array<std::array<Window, TALUS_WINDOWS_PER_DOMAIN>, TALUS_MAX_DOMAINS> windows_{};
    std::array<unsigned, TALUS_MAX_DOMAINS> used_{}; ///< no window at or beyond this index
};

} // namespace talus::sim

#endif
