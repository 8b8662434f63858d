#include "discovery.hpp"

#include "error.hpp"
#include "talus/hw/pci.h"

extern "C" {
#include <pci/pci.h>
}

#include <algorithm>
#include <csetjmp>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>

namespace talus::driver {
namespace {

namespace fs = std::filesystem;

// libpci ends the process on an error unless its error handler does not return. The handler jumps
// back to scan_tree, across C frames only.
thread_local std::jmp_buf scan_failed;
thread_local char scan_error[256];

void on_pci_error(char* format, ...) __attribute__((noreturn)); // as libpci's own type has it
void on_pci_error(char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(scan_error, sizeof scan_error, format, arguments);
    va_end(arguments);
    std::longjmp(scan_failed, 1);
}

void on_pci_message(char*, ...) {}

// True, or false with the reason in scan_error. No object with a destructor may live in here.
bool scan_bus(pci_access* access) {
    if (setjmp(scan_failed) != 0)
        return false;
    pci_init(access);
    pci_scan_bus(access);
    for (pci_dev* device = access->devices; device != nullptr; device = device->next)
        pci_fill_info(device, PCI_FILL_IDENT | PCI_FILL_CLASS | PCI_FILL_BASES);
    return true;
}

enum class Mark { kTalus, kOther, kUnreadable };

// Looks for the vendor-specific capability that tells Talus from other users of its PCI id. A
// process without privileges sees only the first 64 bytes of a real device's config space.
Mark read_mark(pci_dev* device, std::uint32_t& abi_version, bool& simulated) {
    std::uint8_t config[256];
    if (!pci_read_block(device, 0, config, 64))
        return Mark::kUnreadable;
    if ((config[PCI_STATUS] & PCI_STATUS_CAP_LIST) == 0)
        return Mark::kOther;
    if (!pci_read_block(device, 64, config + 64, sizeof config - 64))
        return Mark::kUnreadable;
    unsigned position = config[PCI_CAPABILITY_LIST] & 0xfcu;
    for (int hops = 0; position >= 64 && hops < 48; ++hops) {
        const std::uint8_t* capability = config + position;
        const auto word = [&](unsigned at) {
            return static_cast<std::uint32_t>(capability[at]) | capability[at + 1] << 8 |
                   capability[at + 2] << 16 | static_cast<std::uint32_t>(capability[at + 3]) << 24;
        };
        if (capability[0] == PCI_CAP_ID_VNDR && position + TALUS_PCI_VSC_LENGTH <= sizeof config &&
            capability[2] >= TALUS_PCI_VSC_LENGTH && word(4) == TALUS_PCI_VSC_MAGIC) {
            abi_version = word(8);
            simulated = (capability[13] & TALUS_PCI_VSC_SIMULATED) != 0;
            return Mark::kTalus;
        }
        position = capability[1] & 0xfcu;
    }
    return Mark::kOther;
}

std::string read_first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<FoundDevice> inspect(pci_dev* device, const fs::path& devices, bool published) {
    if (device->vendor_id != TALUS_PCI_VENDOR_ID || device->device_id != TALUS_PCI_DEVICE_ID ||
        device->device_class != TALUS_PCI_CLASS >> 8)
        return std::nullopt;
    FoundDevice found;
    if (read_mark(device, found.abi_version, found.simulated) == Mark::kOther)
        return std::nullopt;

    char bdf[32];
    std::snprintf(bdf, sizeof bdf, "%04x:%02x:%02x.%d", static_cast<unsigned>(device->domain),
                  device->bus, device->dev, device->func);
    found.bdf = bdf;
    found.published = published;
    found.vendor_id = device->vendor_id;
    found.device_id = device->device_id;
    found.revision = pci_read_byte(device, PCI_REVISION_ID);
    for (const pciaddr_t size : device->size)
        found.bar_count += size != 0;
    const fs::path folder = devices / found.bdf;
    if (published) {
        found.simulated = true;
        found.socket = read_first_line(folder / "talus_socket");
    }
    std::error_code ignored;
    found.kernel_driver = fs::read_symlink(folder / "driver", ignored).filename().string();
    return found;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
}

} // namespace

std::vector<FoundDevice> discover_tree(const std::string& root, bool published) {
    const fs::path bus = fs::path(root) / "bus" / "pci";
    std::error_code error;
    if (!fs::is_directory(bus / "devices", error)) {
        if (!published)
            return {}; // a machine without PCI
        throw Error(TALUS_DRV_NOT_FOUND, root +
                                             " is not a tree published by talus-sim --sysfs (no " +
                                             (bus / "devices").string() + ")");
    }
    const std::unique_ptr<pci_access, void (*)(pci_access*)> access(pci_alloc(), pci_cleanup);
    access->method = PCI_ACCESS_SYS_BUS_PCI;
    access->error = on_pci_error;
    access->warning = on_pci_message;
    access->debug = on_pci_message;
    std::string path = bus.string();
    std::string key = "sysfs.path";
    pci_set_param(access.get(), key.data(), path.data());
    if (!scan_bus(access.get()))
        throw Error(TALUS_DRV_IO, "cannot list the PCI devices of " + path + ": " + scan_error);

    std::vector<FoundDevice> result;
    for (pci_dev* device = access->devices; device != nullptr; device = device->next)
        if (auto found = inspect(device, bus / "devices", published))
            result.push_back(std::move(*found));
    std::sort(result.begin(), result.end(),
              [](const FoundDevice& a, const FoundDevice& b) { return a.bdf < b.bdf; });
    return result;
}

std::vector<FoundDevice> discover(const std::string& sysfs) {
    std::vector<FoundDevice> result = discover_tree("/sys", false);
    const std::string tree = sysfs.empty() ? environment("TALUS_SYSFS") : sysfs;
    if (!tree.empty()) {
        auto published = discover_tree(tree, true);
        std::move(published.begin(), published.end(), std::back_inserter(result));
    }
    return result;
}

std::optional<std::string> canonical_bdf(const std::string& name) {
    if (name.find_first_not_of("0123456789abcdefABCDEF:.") != std::string::npos)
        return std::nullopt;
    const bool with_domain = std::count(name.begin(), name.end(), ':') == 2;
    const std::string full = with_domain ? name : "0000:" + name;
    unsigned domain = 0;
    unsigned bus = 0;
    unsigned device = 0;
    unsigned function = 0;
    int length = 0;
    if (std::sscanf(full.c_str(), "%8x:%2x:%2x.%1x%n", &domain, &bus, &device, &function,
                    &length) != 4 ||
        static_cast<std::size_t>(length) != full.size() || device > 0x1f || function > 7)
        return std::nullopt;
    char text[32];
    std::snprintf(text, sizeof text, "%04x:%02x:%02x.%u", domain, bus, device, function);
    return text;
}

namespace {

Target target_of(const FoundDevice& device) {
    if (!device.socket.empty())
        return {device.bdf, "vfio-user", device.socket};
    if (device.published)
        throw Error(TALUS_DRV_NOT_FOUND, device.bdf + ": the published tree names no socket " +
                                             "(its talus_socket file is missing or empty)");
    return {device.bdf, "vfio", device.bdf};
}

} // namespace

Target resolve_target(const std::string& name, const std::string& sysfs) {
    const std::string wanted = name.empty() ? environment("TALUS_DEVICE") : name;
    if (wanted.empty()) {
        const auto found = discover(sysfs);
        return found.empty() ? Target{"sim", "vfio-user", ""} : target_of(found.front());
    }
    if (wanted == "sim")
        return {"sim", "vfio-user", ""};

    if (constexpr std::string_view kReplay = "replay:"; wanted.starts_with(kReplay))
        return {wanted, "replay", wanted.substr(kReplay.size())};

    if (constexpr std::string_view kDaemon = "talusd"; wanted == kDaemon)
        return {wanted, "talusd", ""};
    else if (wanted.starts_with("talusd:"))
        return {wanted, "talusd", wanted.substr(kDaemon.size() + 1)};

    if (const auto bdf = canonical_bdf(wanted)) {
        for (const FoundDevice& device : discover(sysfs))
            if (device.bdf == *bdf)
                return target_of(device);
        throw Error(TALUS_DRV_NOT_FOUND,
                    "no Talus device at " + *bdf + "; `talus-smi list` shows what is there");
    }
    std::error_code error;
    if (fs::is_socket(wanted, error))
        return {wanted, "vfio-user", wanted};
    throw Error(TALUS_DRV_NOT_FOUND,
                "\"" + wanted + "\" is no device: neither a BDF (0000:03:00.0), " +
                    "nor an existing vfio-user socket, nor \"sim\", nor talusd, nor replay:FILE");
}

} // namespace talus::driver
