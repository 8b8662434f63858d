#include "config_space.hpp"

#include <cstring>
#include <linux/pci_regs.h>
#include <stdexcept>

#include <talus/hw/pci.h>

namespace talus::sim {

using namespace config_layout;

// One register: `size` bytes at `offset`. Bits in none of the masks are read-only.
struct ConfigSpace::Field {
    uint16_t offset;
    uint8_t size; // 1, 2 or 4
    uint32_t reset;
    uint32_t writable = 0;
    uint32_t write_clears = 0;
    uint32_t sticky = 0;
};

namespace {

constexpr uint32_t bar_type(bool prefetchable) {
    return PCI_BASE_ADDRESS_MEM_TYPE_64 | (prefetchable ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0u);
}

// Address bits of a BAR of `size` bytes (a power of two): writing all ones reads the size back.
constexpr uint32_t bar_low_mask(uint64_t size) {
    return static_cast<uint32_t>(~(size - 1)) & ~0xfu;
}
constexpr uint32_t bar_high_mask(uint64_t size) {
    return static_cast<uint32_t>(~(size - 1) >> 32);
}

constexpr uint32_t kCommandWritable = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                                      PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;
constexpr uint32_t kStatusWriteClears = PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT |
                                        PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT |
                                        PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY;

constexpr uint32_t kPayload512 = 2; // encoding of 512 bytes in the payload size fields
constexpr uint32_t kDeviceCapabilities =
    kPayload512 | PCI_EXP_DEVCAP_EXT_TAG | PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR;
constexpr uint32_t kDeviceControlWritable =
    PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE |
    PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD | PCI_EXP_DEVCTL_EXT_TAG |
    PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ;
constexpr uint32_t kDeviceControlReset =
    PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ_512B;
constexpr uint32_t kDeviceStatusWriteClears =
    PCI_EXP_DEVSTA_CED | PCI_EXP_DEVSTA_NFED | PCI_EXP_DEVSTA_FED | PCI_EXP_DEVSTA_URD;
constexpr uint32_t kLinkControlWritable =
    PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES;
constexpr uint32_t kDeviceCapabilities2 =
    0xf /* time-out ranges A-D */ | PCI_EXP_DEVCAP2_COMP_TMOUT_DIS;
constexpr uint32_t kDeviceControl2Writable =
    PCI_EXP_DEVCTL2_COMP_TIMEOUT | PCI_EXP_DEVCTL2_COMP_TMOUT_DIS;
constexpr uint32_t kEqualisationDone = 0x1e; // Link Status 2: complete, phases 1 to 3 successful

// AER (PCIe 7.8.4): errors that an endpoint can see.
constexpr uint32_t kUncorrectable =
    PCI_ERR_UNC_DLP | PCI_ERR_UNC_POISON_TLP | PCI_ERR_UNC_FCP | PCI_ERR_UNC_COMP_TIME |
    PCI_ERR_UNC_COMP_ABORT | PCI_ERR_UNC_UNX_COMP | PCI_ERR_UNC_RX_OVER | PCI_ERR_UNC_MALF_TLP |
    PCI_ERR_UNC_ECRC | PCI_ERR_UNC_UNSUP | PCI_ERR_UNC_INTN;
constexpr uint32_t kFatalByDefault = PCI_ERR_UNC_DLP | PCI_ERR_UNC_FCP | PCI_ERR_UNC_RX_OVER |
                                     PCI_ERR_UNC_MALF_TLP | PCI_ERR_UNC_INTN;
constexpr uint32_t kCorrectable =
    PCI_ERR_COR_RCVR | PCI_ERR_COR_BAD_TLP | PCI_ERR_COR_BAD_DLLP | PCI_ERR_COR_REP_ROLL |
    PCI_ERR_COR_REP_TIMER | PCI_ERR_COR_ADV_NFAT | PCI_ERR_COR_INTERNAL | PCI_ERR_COR_LOG_OVER;

constexpr uint32_t extended_header(uint32_t id, uint32_t version, uint32_t next) {
    return id | version << 16 | next << 20;
}

} // namespace

ConfigSpace::ConfigSpace(const ConfigSpaceIdentity& identity) {
    constexpr uint32_t kAll = 0xffffffffu;
    const uint32_t link = uint32_t{identity.link_speed} | uint32_t{identity.link_width} << 4;
    const uint32_t speeds = ((1u << identity.link_speed) - 1) << 1; // bit n: generation n

    const Field fields[] = {
        // ---- Type 0 header
        {PCI_VENDOR_ID, 2, TALUS_PCI_VENDOR_ID},
        {PCI_DEVICE_ID, 2, TALUS_PCI_DEVICE_ID},
        {PCI_COMMAND, 2, 0, kCommandWritable},
        {PCI_STATUS, 2, PCI_STATUS_CAP_LIST, 0, kStatusWriteClears},
        {PCI_REVISION_ID, 1, identity.revision},
        {PCI_CLASS_PROG, 1, TALUS_PCI_CLASS & 0xff},
        {PCI_CLASS_DEVICE, 2, TALUS_PCI_CLASS >> 8},
        {PCI_CACHE_LINE_SIZE, 1, 0, 0xff},
        {PCI_BASE_ADDRESS_0, 4, bar_type(false), bar_low_mask(TALUS_BAR0_SIZE)},
        {PCI_BASE_ADDRESS_1, 4, 0, bar_high_mask(TALUS_BAR0_SIZE)},
        {PCI_BASE_ADDRESS_2, 4, bar_type(false), bar_low_mask(TALUS_BAR2_SIZE)},
        {PCI_BASE_ADDRESS_3, 4, 0, bar_high_mask(TALUS_BAR2_SIZE)},
        {PCI_BASE_ADDRESS_4, 4, bar_type(true), bar_low_mask(TALUS_BAR4_SIZE)},
        {PCI_BASE_ADDRESS_5, 4, 0, bar_high_mask(TALUS_BAR4_SIZE)},
        {PCI_SUBSYSTEM_VENDOR_ID, 2, TALUS_PCI_SUBSYSTEM_VENDOR_ID},
        {PCI_SUBSYSTEM_ID, 2, TALUS_PCI_SUBSYSTEM_ID},
        {PCI_CAPABILITY_LIST, 1, kPowerManagement},
        {PCI_INTERRUPT_LINE, 1, 0, 0xff},

        // ---- Power management: D0 and D3hot; state survives D3hot (No Soft Reset)
        {kPowerManagement, 2, PCI_CAP_ID_PM | kMsix << 8},
        {kPowerManagement + PCI_PM_PMC, 2, 3 /* version */},
        {kPowerManagement + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK},

        // ---- MSI-X: table and PBA in BAR0
        {kMsix, 2, PCI_CAP_ID_MSIX | kExpress << 8},
        {kMsix + PCI_MSIX_FLAGS, 2, TALUS_MSIX_VECTORS - 1,
         PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL},
        {kMsix + PCI_MSIX_TABLE, 4, TALUS_BAR0_MSIX_TABLE | TALUS_BAR_REGISTERS},
        {kMsix + PCI_MSIX_PBA, 4, TALUS_BAR0_MSIX_PBA | TALUS_BAR_REGISTERS},

        // ---- PCI Express, version 2 of the structure, endpoint
        {kExpress, 2, PCI_CAP_ID_EXP | kVendorSpecific << 8},
        {kExpress + PCI_EXP_FLAGS, 2, 2 | PCI_EXP_TYPE_ENDPOINT << 4},
        {kExpress + PCI_EXP_DEVCAP, 4, kDeviceCapabilities},
        {kExpress + PCI_EXP_DEVCTL, 2, kDeviceControlReset, kDeviceControlWritable, 0,
         PCI_EXP_DEVCTL_PAYLOAD},
        {kExpress + PCI_EXP_DEVSTA, 2, 0, 0, kDeviceStatusWriteClears},
        {kExpress + PCI_EXP_LNKCAP, 4, link},
        {kExpress + PCI_EXP_LNKCTL, 2, 0, kLinkControlWritable, 0, kLinkControlWritable},
        {kExpress + PCI_EXP_LNKSTA, 2, link | PCI_EXP_LNKSTA_SLC},
        {kExpress + PCI_EXP_DEVCAP2, 4, kDeviceCapabilities2},
        {kExpress + PCI_EXP_DEVCTL2, 2, 0, kDeviceControl2Writable},
        {kExpress + PCI_EXP_LNKCAP2, 4, speeds},
        {kExpress + PCI_EXP_LNKCTL2, 2, identity.link_speed, 0xf, 0, 0xf},
        {kExpress + PCI_EXP_LNKSTA2, 2, kEqualisationDone},

        // ---- Vendor-specific: "this is Talus"
        {kVendorSpecific, 2, PCI_CAP_ID_VNDR},
        {kVendorSpecific + 2, 1, TALUS_PCI_VSC_LENGTH},
        {kVendorSpecific + 3, 1, TALUS_PCI_VSC_VERSION},
        {kVendorSpecific + 4, 4, TALUS_PCI_VSC_MAGIC},
        {kVendorSpecific + 8, 4, identity.abi_version},
        {kVendorSpecific + 12, 1, identity.generation},
        {kVendorSpecific + 13, 1, identity.simulated ? TALUS_PCI_VSC_SIMULATED : 0},

        // ---- Advanced Error Reporting; all of it sticky
        {kAdvancedErrors, 4, extended_header(PCI_EXT_CAP_ID_ERR, 2, kSerialNumber)},
        {kAdvancedErrors + PCI_ERR_UNCOR_STATUS, 4, 0, 0, kUncorrectable, kAll},
        {kAdvancedErrors + PCI_ERR_UNCOR_MASK, 4, 0, kUncorrectable, 0, kAll},
        {kAdvancedErrors + PCI_ERR_UNCOR_SEVER, 4, kFatalByDefault, kUncorrectable, 0, kAll},
        {kAdvancedErrors + PCI_ERR_COR_STATUS, 4, 0, 0, kCorrectable, kAll},
        {kAdvancedErrors + PCI_ERR_COR_MASK, 4, PCI_ERR_COR_ADV_NFAT, kCorrectable, 0, kAll},
        {kAdvancedErrors + PCI_ERR_CAP, 4, 0, 0, 0, kAll},

        // ---- Device Serial Number
        {kSerialNumber, 4, extended_header(PCI_EXT_CAP_ID_DSN, 1, 0)},
        {kSerialNumber + 4, 4, static_cast<uint32_t>(identity.serial_number)},
        {kSerialNumber + 8, 4, static_cast<uint32_t>(identity.serial_number >> 32)},
    };
    for (const Field& field : fields)
        define(field);
    value_ = reset_value_;
}

void ConfigSpace::define(const Field& field) {
    // Little-endian hosts only, as everywhere in the contract.
    std::memcpy(reset_value_.data() + field.offset, &field.reset, field.size);
    std::memcpy(writable_.data() + field.offset, &field.writable, field.size);
    std::memcpy(write_clears_.data() + field.offset, &field.write_clears, field.size);
    std::memcpy(sticky_.data() + field.offset, &field.sticky, field.size);
}

void ConfigSpace::read(uint32_t offset, std::span<std::byte> data) const {
    if (offset > kBytes || data.size() > kBytes - offset)
        throw std::out_of_range("configuration space read");
    std::memcpy(data.data(), value_.data() + offset, data.size());
}

bool ConfigSpace::write(uint32_t offset, std::span<const std::byte> data) {
    if (offset > kBytes || data.size() > kBytes - offset)
        throw std::out_of_range("configuration space write");
    bool function_reset = false;
    for (size_t i = 0; i < data.size(); ++i) {
        const size_t at = offset + i;
        const std::byte in = data[i];
        value_[at] = (value_[at] & ~writable_[at]) | (in & writable_[at]);
        value_[at] &= ~(in & write_clears_[at]);
        if (at == kExpress + PCI_EXP_DEVCTL + 1)
            function_reset = (in & std::byte{PCI_EXP_DEVCTL_BCR_FLR >> 8}) != std::byte{0};
    }
    return function_reset;
}

void ConfigSpace::reset(ConfigReset kind) {
    for (size_t at = 0; at < kBytes; ++at) {
        const std::byte keep = kind == ConfigReset::kFunctionLevel ? sticky_[at] : std::byte{0};
        value_[at] = (value_[at] & keep) | (reset_value_[at] & ~keep);
    }
}

uint16_t ConfigSpace::get16(uint16_t offset) const {
    uint16_t value;
    std::memcpy(&value, value_.data() + offset, sizeof value);
    return value;
}

uint32_t ConfigSpace::get32(uint16_t offset) const {
    uint32_t value;
    std::memcpy(&value, value_.data() + offset, sizeof value);
    return value;
}

void ConfigSpace::set_bits16(uint16_t offset, uint16_t bits) {
    const auto value = static_cast<uint16_t>(get16(offset) | bits);
    std::memcpy(value_.data() + offset, &value, sizeof value);
}

void ConfigSpace::set_bits32(uint16_t offset, uint32_t bits) {
    const uint32_t value = get32(offset) | bits;
    std::memcpy(value_.data() + offset, &value, sizeof value);
}

void ConfigSpace::clear_bits16(uint16_t offset, uint16_t bits) {
    const auto value = static_cast<uint16_t>(get16(offset) & ~bits);
    std::memcpy(value_.data() + offset, &value, sizeof value);
}

namespace {

bool in_d0(const ConfigSpace& space) {
    return (space.get16(kPowerManagement + PCI_PM_CTRL) & PCI_PM_CTRL_STATE_MASK) == 0;
}

} // namespace

bool ConfigSpace::memory_enabled() const {
    return (get16(PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0 && in_d0(*this);
}

bool ConfigSpace::bus_master() const {
    return (get16(PCI_COMMAND) & PCI_COMMAND_MASTER) != 0 && in_d0(*this);
}

bool ConfigSpace::msix_enabled() const {
    return (get16(kMsix + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_ENABLE) != 0;
}

bool ConfigSpace::msix_function_masked() const {
    return (get16(kMsix + PCI_MSIX_FLAGS) & PCI_MSIX_FLAGS_MASKALL) != 0;
}

uint64_t ConfigSpace::bar_address(unsigned bar) const {
    const auto at = static_cast<uint16_t>(PCI_BASE_ADDRESS_0 + 4 * bar);
    return (get32(at) & ~uint64_t{0xf}) | uint64_t{get32(static_cast<uint16_t>(at + 4))} << 32;
}

} // namespace talus::sim
