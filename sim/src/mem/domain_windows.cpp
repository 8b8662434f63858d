#include "domain_windows.hpp"

#include <algorithm>

namespace talus::sim {

bool DomainWindows::set(unsigned domain, unsigned index, std::uint64_t iova, std::uint64_t length,
                        unsigned access) {
    if (domain == 0 || domain >= TALUS_MAX_DOMAINS || index >= TALUS_WINDOWS_PER_DOMAIN ||
        (length != 0 && iova + (length - 1) < iova)) {
        return false;
    }
    windows_[domain][index] = length == 0 ? Window{} : Window{iova, length, access};
    used_[domain] = std::max(used_[domain], index + 1);
    return true;
}

bool DomainWindows::allows(unsigned domain, std::uint64_t iova, std::uint64_t length,
                           bool write) const {
    if (domain == 0) {
        return true;
    }
    if (domain >= TALUS_MAX_DOMAINS) {
        return false;
    }
    const unsigned need = write ? TALUS_WINDOW_WRITE : TALUS_WINDOW_READ;
    for (unsigned index = 0; index < used_[domain]; ++index) {
        const Window& window = windows_[domain][index];
        if (window.length != 0 && (window.access & need) != 0 && iova >= window.iova &&
            iova - window.iova <= window.length && length <= window.length - (iova - window.iova)) {
            return true;
        }
    }
    return false;
}

} // namespace talus::sim
