// Which Talus devices are there, and what does a name mean.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace talus::driver {

/// A Talus function found by libpci.
struct FoundDevice {
    std::string bdf;           // "0000:03:00.0"
    std::string socket;        // vfio-user socket of a published simulated device, else ""
    std::string kernel_driver; // bound to a real device, else ""
    std::uint16_t vendor_id = 0;
    std::uint16_t device_id = 0;
    std::uint8_t revision = 0;
    std::uint8_t bar_count = 0;
    bool simulated = false; // says its capability, or the tree that it was published in
    bool published = false; // by talus-sim; else on the real sysfs, a simulated one in a guest
    std::uint32_t abi_version = 0; // of the vendor-specific capability; 0 where it is unreadable
};

/// Devices on the real sysfs, then those on the tree that `talus-sim --sysfs DIR` published
/// (`sysfs` = DIR, "" = environment TALUS_SYSFS, and without it none). In BDF order each.
/// Throws Error(NOT_FOUND) if a tree that was asked for by name is not one.
std::vector<FoundDevice> discover(const std::string& sysfs);

/// As discover, on one tree: `root` holds bus/pci/devices.
std::vector<FoundDevice> discover_tree(const std::string& root, bool published);

/// "03:00.0" and "0000:03:00.0" as sysfs writes them; empty for anything else.
std::optional<std::string> canonical_bdf(const std::string& name);

/// What to open, and by which transport.
struct Target {
    std::string name;      // for messages and info: BDF, socket path, or "sim"
    std::string transport; // key of the table in transport.cpp
    std::string address;   // the transport's own: socket path or BDF; "" = start a simulator
};

/// Resolves a device name: a BDF, a socket's path, "sim", "talusd" or "talusd:SOCKET",
/// "replay:FILE". Empty = environment TALUS_DEVICE; with that empty too, the first device
/// discovered, else "sim".
Target resolve_target(const std::string& name, const std::string& sysfs);

} // namespace talus::driver
