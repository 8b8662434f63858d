#include "sysfs_tree.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/pci_regs.h>
#include <stdexcept>
#include <sys/file.h>
#include <unistd.h>

#include <talus/hw/pci.h>

namespace talus::sim {
namespace {

namespace fs = std::filesystem;
using vfio_user::UniqueFd;

constexpr const char* kLockName = "talus_lock";

[[noreturn]] void fail(const fs::path& where, const std::string& why) {
    throw std::runtime_error("cannot publish the device under '" + where.string() + "': " + why);
}

template <typename T>
T field(SysfsTree::Config config, size_t offset) {
    T value;
    std::memcpy(&value, config.data() + offset, sizeof value);
    return value;
}

// Creates the file; the descriptor stays open for updates where the caller keeps it.
UniqueFd create(const fs::path& path, const void* data, size_t bytes, mode_t mode = 0444) {
    UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!fd || write(fd.get(), data, bytes) != static_cast<ssize_t>(bytes))
        fail(path, std::strerror(errno));
    return fd;
}

UniqueFd create(const fs::path& path, const std::string& text) {
    return create(path, text.data(), text.size());
}

// The kernel's IORESOURCE_* flags of a 64-bit memory BAR, with the BAR's own type bits at the
// bottom.
constexpr uint64_t resource_flags(bool prefetchable) {
    constexpr uint64_t kMemory = 0x200, kSizeAlign = 0x40000, kMemory64 = 0x100000;
    return kMemory | kSizeAlign | kMemory64 | PCI_BASE_ADDRESS_MEM_TYPE_64 |
           (prefetchable ? 0x2000u | PCI_BASE_ADDRESS_MEM_PREFETCH : 0u);
}

// One line per BAR and one for the ROM: first address, last address, flags. Lines are of constant
// length, so that the file can be rewritten in place.
std::string resource_text(SysfsTree::Config config) {
    struct Bar {
        uint64_t size = 0;
        bool prefetchable = false;
    };
    constexpr Bar kBars[7] = {{TALUS_BAR0_SIZE, false},
                              {},
                              {TALUS_BAR2_SIZE, false},
                              {},
                              {TALUS_BAR4_SIZE, true},
                              {},
                              {}};
    std::string text;
    for (unsigned number = 0; number < 7; ++number) {
        const Bar& bar = kBars[number];
        uint64_t first = 0, last = 0, flags = 0;
        if (bar.size != 0) {
            first = field<uint64_t>(config, PCI_BASE_ADDRESS_0 + 4 * number) & ~uint64_t{0xf};
            last = first + bar.size - 1;
            flags = resource_flags(bar.prefetchable);
        }
        text += fmt::format("{:#018x} {:#018x} {:#018x}\n", first, last, flags);
    }
    return text;
}

std::string enable_text(SysfsTree::Config config) {
    return (field<uint16_t>(config, PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0 ? "1\n" : "0\n";
}

const char* link_speed(unsigned generation) {
    constexpr const char* kSpeeds[] = {"2.5 GT/s PCIe\n",  "5.0 GT/s PCIe\n",  "8.0 GT/s PCIe\n",
                                       "16.0 GT/s PCIe\n", "32.0 GT/s PCIe\n", "64.0 GT/s PCIe\n"};
    return generation >= 1 && generation <= 6 ? kSpeeds[generation - 1] : "Unknown\n";
}

std::string modalias(SysfsTree::Config config) {
    return fmt::format(
        "pci:v{:08X}d{:08X}sv{:08X}sd{:08X}bc{:02X}sc{:02X}i{:02X}",
        field<uint16_t>(config, PCI_VENDOR_ID), field<uint16_t>(config, PCI_DEVICE_ID),
        field<uint16_t>(config, PCI_SUBSYSTEM_VENDOR_ID), field<uint16_t>(config, PCI_SUBSYSTEM_ID),
        field<uint8_t>(config, PCI_CLASS_DEVICE + 1), field<uint8_t>(config, PCI_CLASS_DEVICE),
        field<uint8_t>(config, PCI_CLASS_PROG));
}

// True if the folder is a simulator's that no longer runs.
bool abandoned(const fs::path& folder) {
    const UniqueFd lock(open((folder / kLockName).c_str(), O_RDWR | O_CLOEXEC));
    return lock && flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
}

} // namespace

SysfsTree::SysfsTree(const std::string& directory, const std::string& socket_path, Config config)
    : root_(fs::absolute(directory)) {
    std::error_code error;
    if (fs::exists(root_, error) && !fs::is_directory(root_, error))
        fail(root_, "it is not a directory");
    created_root_ = fs::create_directory(root_, error);
    if (error)
        fail(root_, error.message());
    devices_ = root_ / "bus" / "pci" / "devices";
    fs::create_directories(devices_, error);
    if (error)
        fail(devices_, error.message());
    fs::create_directory(root_ / "bus" / "pci" / "slots", error);
    if (error)
        fail(root_ / "bus" / "pci" / "slots", error.message());
    fs::create_directory_symlink("bus/pci/devices", root_ / "devices", error);
    if (error && error != std::errc::file_exists)
        fail(root_ / "devices", error.message());

    // libpci skips names that begin with a dot.
    const fs::path staging = devices_ / (".talus-sim-" + std::to_string(getpid()));
    fs::remove_all(staging, error);
    try {
        if (!fs::create_directory(staging, error))
            fail(staging, error.message());
        write_files(staging, socket_path, config);
        claim_address(staging);
    } catch (...) {
        fs::remove_all(staging, error);
        throw;
    }
}

void SysfsTree::write_files(const fs::path& folder, const std::string& socket_path, Config config) {
    lock_ = create(folder / kLockName, "", 0, 0600);
    if (flock(lock_.get(), LOCK_EX | LOCK_NB) != 0)
        fail(folder / kLockName, std::strerror(errno));
    config_ = create(folder / "config", config.data(), config.size(), 0644);
    resource_ = create(folder / "resource", resource_text(config));
    enable_ = create(folder / "enable", enable_text(config));

    const auto number = [&](const char* name, unsigned digits, uint32_t value) {
        create(folder / name, fmt::format("0x{:0{}x}\n", value, digits));
    };
    number("vendor", 4, field<uint16_t>(config, PCI_VENDOR_ID));
    number("device", 4, field<uint16_t>(config, PCI_DEVICE_ID));
    number("subsystem_vendor", 4, field<uint16_t>(config, PCI_SUBSYSTEM_VENDOR_ID));
    number("subsystem_device", 4, field<uint16_t>(config, PCI_SUBSYSTEM_ID));
    number("class", 6, field<uint32_t>(config, PCI_CLASS_REVISION) >> 8);
    number("revision", 2, field<uint8_t>(config, PCI_REVISION_ID));

    const auto link = field<uint16_t>(config, config_layout::kExpress + PCI_EXP_LNKSTA);
    const char* const speed = link_speed(link & PCI_EXP_LNKSTA_CLS);
    const std::string width = std::to_string((link & PCI_EXP_LNKSTA_NLW) >> 4) + "\n";
    create(folder / "current_link_speed", speed);
    create(folder / "max_link_speed", speed);
    create(folder / "current_link_width", width);
    create(folder / "max_link_width", width);
    create(folder / "irq", "0\n"); // no INTx
    create(folder / "numa_node", "-1\n");
    create(folder / "modalias", modalias(config) + "\n");
    create(folder / "uevent", "MODALIAS=" + modalias(config) + "\n");
    create(folder / "simulated", "1\n");
    if (!socket_path.empty())
        create(folder / "talus_socket", fs::absolute(socket_path).string() + "\n");
}

void SysfsTree::claim_address(const fs::path& staging) {
    for (unsigned bus = 1; bus < 256; ++bus) {
        const std::string address = fmt::format("0000:{:02x}:00.0", bus);
        const fs::path folder = devices_ / address;
        std::error_code error;
        if (abandoned(folder))
            fs::remove_all(folder, error);
        // Onto a folder that is in use the rename fails: this decides between simulators that start
        // at the same time.
        fs::rename(staging, folder, error);
        if (!error) {
            address_ = address;
            return;
        }
        if (error != std::errc::directory_not_empty && error != std::errc::file_exists &&
            error != std::errc::not_a_directory)
            fail(folder, error.message());
    }
    fail(devices_, "all 255 bus numbers are taken");
}

SysfsTree::~SysfsTree() {
    const std::lock_guard lock(mutex_);
    std::error_code ignored;
    // Out of sight in one step, then away file by file.
    const fs::path staging = devices_ / (".talus-sim-" + std::to_string(getpid()));
    fs::rename(devices_ / address_, staging, ignored);
    fs::remove_all(ignored ? devices_ / address_ : staging, ignored);

    // rmdir leaves what others still use.
    const fs::path bus = root_ / "bus";
    if (rmdir(devices_.c_str()) != 0)
        return;
    unlink((root_ / "devices").c_str());
    rmdir((bus / "pci" / "slots").c_str());
    rmdir((bus / "pci").c_str());
    rmdir(bus.c_str());
    if (created_root_)
        rmdir(root_.c_str());
}

void SysfsTree::update(Config config) {
    const std::lock_guard lock(mutex_);
    const std::string resource = resource_text(config);
    const std::string enable = enable_text(config);
    // A publication that can no longer be written (disk full) is no reason to stop the device.
    static_cast<void>(!pwrite(config_.get(), config.data(), config.size(), 0));
    static_cast<void>(!pwrite(resource_.get(), resource.data(), resource.size(), 0));
    static_cast<void>(!pwrite(enable_.get(), enable.data(), enable.size(), 0));
}

} // namespace talus::sim
