// The windows of the domains: which host addresses a queue's commands may touch.
#ifndef TALUS_SIM_SOC_DOMAIN_WINDOWS_HPP
#define TALUS_SIM_SOC_DOMAIN_WINDOWS_HPP

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

    /// May a command of `domain` read (write: `write`) host memory [iova, iova + length)? The range
    /// must lie in one window.
    bool allows(unsigned domain, std::uint64_t iova, std::uint64_t length, bool write) const;

    /// FLR: all windows are closed.
    void clear() { windows_ = {}; }

  private:
    struct Window {
        std::uint64_t iova = 0;
        std::uint64_t length = 0;
        unsigned access = 0;
    };
    std::array<std::array<Window, TALUS_WINDOWS_PER_DOMAIN>, TALUS_MAX_DOMAINS> windows_{};
};

} // namespace talus::sim

#endif
