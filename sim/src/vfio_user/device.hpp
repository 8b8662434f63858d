// What the vfio-user server presents: a PCI device as regions, interrupts and a reset.
#ifndef TALUS_SIM_VFIO_USER_DEVICE_HPP
#define TALUS_SIM_VFIO_USER_DEVICE_HPP

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <talus/vfio_user.h>

namespace talus::sim::vfio_user {

struct Region {
    uint64_t size = 0; // 0 = the device has no such region
    bool readable = false;
    bool writable = false;
    int fd = -1;              // the device's; -1 = not mappable
    uint64_t file_offset = 0; // of the region's first byte
    // Parts that can be mapped, page-aligned; with an fd, none means the whole region.
    std::vector<vfio_user_sparse_area> areas;
};

struct IrqType {
    uint32_t count = 0;
    uint32_t flags = 0; // VFIO_USER_IRQ_INFO_*
};

// Called on the socket thread only, one call at a time, in the order of the client's messages. No
// method may block on the device's own progress.
class Device {
  public:
    virtual ~Device() = default;

    virtual Region region(uint32_t index) const = 0;    // index < VFIO_USER_PCI_NUM_REGIONS
    virtual IrqType irq_type(uint32_t index) const = 0; // index < VFIO_USER_PCI_NUM_IRQS

    // The range lies within the region and is not empty. Return 0 or an errno value.
    virtual int region_read(uint32_t index, uint64_t offset, std::span<std::byte> data) = 0;
    virtual int region_write(uint32_t index, uint64_t offset, std::span<const std::byte> data) = 0;

    // An eventfd was assigned to a vector or taken away (the bank already says so).
    virtual void irq_assigned(uint32_t index, uint32_t vector, bool assigned) = 0;
    // The client masked or unmasked a vector; only for types with VFIO_USER_IRQ_INFO_MASKABLE.
    virtual void irq_masked(uint32_t index, uint32_t vector, bool masked) = 0;
    // The client gave all vectors of a type up.
    virtual void irq_disabled(uint32_t index) = 0;

    // VFIO_USER_DEVICE_RESET.
    virtual void reset() = 0;

    // A client completed the version negotiation / its connection ended. At client_gone() mappings
    // and interrupts are already released.
    virtual void client_arrived() = 0;
    virtual void client_gone() = 0;
};

} // namespace talus::sim::vfio_user

#endif
