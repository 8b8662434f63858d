// MSI-X table and pending bits (PCIe 6.1.4, 7.7.2), as they stand in BAR0.
#ifndef TALUS_SIM_PCI_MSIX_HPP
#define TALUS_SIM_PCI_MSIX_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <talus/hw/pci.h>

namespace talus::sim {

// Not synchronised: PciFunction holds a lock around every call.
class MsixTable {
  public:
    static constexpr unsigned kVectors = TALUS_MSIX_VECTORS;
    static constexpr size_t kTableBytes = kVectors * 16;
    static constexpr size_t kPendingBytes = kVectors / 8;

    MsixTable() { reset(); }
    // All entries masked, nothing pending.
    void reset();

    // Ranges inside the table / the PBA. The PBA is read-only.
    void read_table(uint64_t offset, std::span<std::byte> data) const;
    void write_table(uint64_t offset, std::span<const std::byte> data);
    void read_pending(uint64_t offset, std::span<std::byte> data) const;

    bool masked(unsigned vector) const;
    void set_masked(unsigned vector, bool masked);
    bool pending(unsigned vector) const { return (pending_ >> vector & 1) != 0; }
    void set_pending(unsigned vector, bool pending);
    bool any_pending() const { return pending_ != 0; }

  private:
    static_assert(kVectors == 64, "the pending bits are one 64-bit word");
    std::array<std::byte, kTableBytes> table_;
    uint64_t pending_ = 0;
};

} // namespace talus::sim

#endif
