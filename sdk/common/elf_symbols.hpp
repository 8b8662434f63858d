// Function names of a device image, for messages about faults.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace talus::common {

// Function symbols of a 64-bit little-endian ELF file by address. A file that is no such ELF, or is
// damaged, has none.
std::map<std::uint64_t, std::string> read_symbols(const std::string& path);

} // namespace talus::common
