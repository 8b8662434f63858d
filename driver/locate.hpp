// Finds what belongs to the driver's bundle: the simulator's program and the boot image.
#pragma once

#include <string>

namespace talus::driver {

/// talus-sim: `path` if not empty, else environment TALUS_SIM, else beside this program or this
/// library (build tree or installation), else PATH. Throws NOT_FOUND with the places it looked in.
std::string find_simulator(const std::string& path);

/// talusd: environment TALUSD, else as find_simulator.
std::string find_daemon();

/// The boot image: `path` if not empty, else environment TALUS_FIRMWARE, else
/// lib/talus/firmware/talus.img beside this program or this library. Throws NOT_FOUND.
std::string find_firmware(const std::string& path);

} // namespace talus::driver
