// Memory of a BAR that the host may map: a sealed memfd, laid out as the BAR is.
#ifndef TALUS_SIM_PCI_SHARED_BAR_MEMORY_HPP
#define TALUS_SIM_PCI_SHARED_BAR_MEMORY_HPP

#include <cstddef>
#include <cstdint>
#include <string>

#include "../vfio_user/unique_fd.hpp"

namespace talus::sim {

// A convenience for implementations of PciDeviceModel::mappable(). Only pages that are touched take
// memory, so a 1 MiB BAR of which one page is shared costs one page. The host can neither shrink
// nor grow the file, and without `host_writable` it cannot map it writable. The object is immovable
// and not itself synchronised; the bytes are shared with other processes.
class SharedBarMemory {
  public:
    // `name` shows in /proc. `bytes` is the BAR's size. Throws std::system_error.
    SharedBarMemory(const std::string& name, uint64_t bytes, bool host_writable);
    ~SharedBarMemory();
    SharedBarMemory(const SharedBarMemory&) = delete;
    SharedBarMemory& operator=(const SharedBarMemory&) = delete;

    std::byte* data() { return data_; } // offset o of the BAR at data() + o
    uint64_t size() const { return bytes_; }
    // To hand out in MappableBar: read-only unless host_writable.
    int fd() const { return fd_.get(); }

  private:
    vfio_user::UniqueFd fd_;
    uint64_t bytes_;
    std::byte* data_ = nullptr;
};

} // namespace talus::sim

#endif
