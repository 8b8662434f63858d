// The IOMMU side of vfio: how a device gets an address space, and what is mapped in it. Two kernel
// interfaces do the same work: the container of /dev/vfio/vfio with its groups, and iommufd.
#pragma once

#include "syscalls.hpp"
#include "transport.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace talus::driver {

/// The address space of one device. Holds the device's file while it lives. Thread-safe.
class VfioIommu {
  public:
    virtual ~VfioIommu() = default;

    virtual const char* kind() const = 0;

    /// The vfio device; stays this object's.
    virtual int device_fd() const = 0;

    /// Lets the device read and write process memory. Throws OUT_OF_HOST_MEMORY where the locked
    /// memory limit or the number of mappings is exceeded.
    virtual void map(std::uint64_t iova, std::uint64_t bytes, void* pointer) = 0;
    virtual void unmap(std::uint64_t iova, std::uint64_t bytes) = 0;

    /// What the kernel lets be mapped: inclusive of neither reserved regions nor the interrupt
    /// window.
    virtual const std::vector<IovaRange>& ranges() const = 0;

    /// File descriptors that prove ownership in a hot reset; empty where the kernel knows.
    virtual std::vector<int> reset_proof() const = 0;

    /// Opens `bdf`, which is bound to vfio-pci: by iommufd where the kernel has it, else by its
    /// group. Errors: NOT_FOUND, PERMISSION, BUSY, UNSUPPORTED.
    static std::unique_ptr<VfioIommu> open(Syscalls& calls, const std::string& bdf);
};

} // namespace talus::driver
