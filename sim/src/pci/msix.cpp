#include "msix.hpp"

#include <cstring>
#include <linux/pci_regs.h>

namespace talus::sim {
namespace {

// Byte of an entry that holds its only control bit; the rest of the word is reserved.
constexpr size_t control_byte(unsigned vector) {
    return vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL;
}
constexpr std::byte kMaskBit{PCI_MSIX_ENTRY_CTRL_MASKBIT};

} // namespace

void MsixTable::reset() {
    table_.fill(std::byte{0});
    for (unsigned vector = 0; vector < kVectors; ++vector)
        table_[control_byte(vector)] = kMaskBit;
    pending_ = 0;
}

void MsixTable::read_table(uint64_t offset, std::span<std::byte> data) const {
    std::memcpy(data.data(), table_.data() + offset, data.size());
}

void MsixTable::write_table(uint64_t offset, std::span<const std::byte> data) {
    for (size_t i = 0; i < data.size(); ++i) {
        const size_t at = offset + i;
        const size_t in_entry = at % PCI_MSIX_ENTRY_SIZE;
        if (in_entry < PCI_MSIX_ENTRY_VECTOR_CTRL)
            table_[at] = in_entry == 0 ? data[i] & std::byte{0xfc} : data[i]; // address: 4-aligned
        else if (in_entry == PCI_MSIX_ENTRY_VECTOR_CTRL)
            table_[at] = data[i] & kMaskBit;
    }
}

void MsixTable::read_pending(uint64_t offset, std::span<std::byte> data) const {
    std::memcpy(data.data(), reinterpret_cast<const std::byte*>(&pending_) + offset, data.size());
}

bool MsixTable::masked(unsigned vector) const {
    return (table_[control_byte(vector)] & kMaskBit) != std::byte{0};
}

void MsixTable::set_masked(unsigned vector, bool masked) {
    table_[control_byte(vector)] = masked ? kMaskBit : std::byte{0};
}

void MsixTable::set_pending(unsigned vector, bool pending) {
    const uint64_t bit = uint64_t{1} << vector;
    pending_ = pending ? pending_ | bit : pending_ & ~bit;
}

} // namespace talus::sim
