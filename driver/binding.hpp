// Which kernel driver owns a PCI function: handing it to vfio-pci, and giving it back.
#pragma once

#include "syscalls.hpp"

#include <string>

namespace talus::driver {

/// Binds `bdf` to vfio-pci through driver_override, so that no other function with the same ids is
/// touched, and remembers in /run/talus which driver it had. Returns that driver's name, "" for
/// none, "vfio-pci" if it was bound already (and then changes nothing). If the kernel refuses, the
/// former driver is back when this throws. Needs root.
/// Errors: NOT_FOUND (no such function), UNSUPPORTED (vfio-pci is not loaded, no IOMMU group),
/// PERMISSION, IO.
std::string bind_to_vfio(Syscalls& calls, const std::string& bdf);

/// Gives `bdf` back to the driver that it had before bind_to_vfio, or to none. Returns its name.
/// Errors: as above; BUSY while a process holds the device, since the kernel would wait for it.
std::string unbind_from_vfio(Syscalls& calls, const std::string& bdf);

} // namespace talus::driver
