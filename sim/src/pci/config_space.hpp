// PCI configuration space of the function: 4 KiB whose every bit is read-only, writable or
// write-one-to-clear by table. Registers are named as in <linux/pci_regs.h>.
#ifndef TALUS_SIM_PCI_CONFIG_SPACE_HPP
#define TALUS_SIM_PCI_CONFIG_SPACE_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <talus/hw/registers.h>

namespace talus::sim {

// Where the capabilities stand. The list in the header starts at kPowerManagement.
namespace config_layout {
inline constexpr uint16_t kPowerManagement = 0x40;
inline constexpr uint16_t kMsix = 0x50;
inline constexpr uint16_t kExpress = 0x60;
inline constexpr uint16_t kVendorSpecific = 0xa0;
inline constexpr uint16_t kAdvancedErrors = 0x100;
inline constexpr uint16_t kSerialNumber = 0x150;
} // namespace config_layout

struct ConfigSpaceIdentity {
    uint8_t generation = 2; // of the vendor-specific capability: 2 = t2
    uint8_t revision = 2;
    bool simulated = true;
    uint64_t serial_number = 0; // EUI-64 of the Device Serial Number capability
    uint32_t abi_version = TALUS_ABI_VERSION;
    uint8_t link_speed = 5; // PCIe generation
    uint8_t link_width = 8; // lanes
};

// What a reset leaves alone.
enum class ConfigReset {
    kFunctionLevel, // sticky bits stay (PCIe 6.6.2: AER status, MPS, common clock ...)
    kFundamental,   // everything back to its reset value
};

// Not synchronised: PciFunction holds a lock around every call.
class ConfigSpace {
  public:
    static constexpr size_t kBytes = 4096;

    explicit ConfigSpace(const ConfigSpaceIdentity& identity);

    // Any range within kBytes.
    void read(uint32_t offset, std::span<std::byte> data) const;
    // Applies the write masks. Side effects are the caller's: it compares before and after. Returns
    // true if the write sets Initiate FLR, which reads as zero.
    bool write(uint32_t offset, std::span<const std::byte> data);
    void reset(ConfigReset kind);

    std::span<const std::byte, kBytes> bytes() const { return value_; }
    uint16_t get16(uint16_t offset) const;
    uint32_t get32(uint16_t offset) const;
    // The device's own way to its status bits: sets or clears regardless of masks.
    void set_bits16(uint16_t offset, uint16_t bits);
    void set_bits32(uint16_t offset, uint32_t bits);
    void clear_bits16(uint16_t offset, uint16_t bits);

    // The registers that have effects elsewhere.
    bool memory_enabled() const; // Command.MemorySpace, in D0
    bool bus_master() const;     // Command.BusMaster, in D0
    bool msix_enabled() const;
    bool msix_function_masked() const;
    uint64_t bar_address(unsigned bar) const; // 0, 2, 4; what the host wrote, without the type bits

  private:
    struct Field;
    void define(const Field& field);

    std::array<std::byte, kBytes> value_ = {};
    std::array<std::byte, kBytes> reset_value_ = {};
    std::array<std::byte, kBytes> writable_ = {};     // 1 = the host writes the bit
    std::array<std::byte, kBytes> write_clears_ = {}; // 1 = writing 1 clears it
    std::array<std::byte, kBytes> sticky_ = {};       // 1 = an FLR leaves it
};

} // namespace talus::sim

#endif
