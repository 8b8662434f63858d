// The eventfds that the client assigned to the device's interrupts.
#ifndef TALUS_SIM_VFIO_USER_IRQ_BANK_HPP
#define TALUS_SIM_VFIO_USER_IRQ_BANK_HPP

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include <talus/vfio_user.h>

#include "unique_fd.hpp"

namespace talus::sim::vfio_user {

// Thread-safe. Masking is the device's business, not this table's.
class IrqBank {
  public:
    // An eventfd and nothing else: whatever else a client sends could block the caller of signal().
    static bool is_eventfd(int fd);

    void set_count(uint32_t index, uint32_t count);
    // Takes `fd` for the vector; an empty one takes the assignment away. Index and vector in range.
    void assign(uint32_t index, uint32_t vector, UniqueFd fd);
    void clear(uint32_t index);
    void clear_all();
    bool assigned(uint32_t index, uint32_t vector) const;

    // Adds 1 to the eventfd. Returns false if none is assigned. Does not block: a counter that is
    // full stays as it is (its owner has an unread signal).
    bool signal(uint32_t index, uint32_t vector);

  private:
    mutable std::mutex mutex_;
    std::array<std::vector<UniqueFd>, VFIO_USER_PCI_NUM_IRQS> eventfds_;
};

} // namespace talus::sim::vfio_user

#endif
