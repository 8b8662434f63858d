// Loading of ELF64 files into the device's memory: the boot ROM.
#ifndef TALUS_SIM_SOC_ELF_IMAGE_HPP
#define TALUS_SIM_SOC_ELF_IMAGE_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace talus::sim {

/// The bytes that the ELF file's loadable segments put into [base, base + size), by physical
/// address; the rest is zero. Throws std::runtime_error with path and reason: not a RISC-V ELF64
/// executable, truncated, or a segment with contents outside the range.
std::vector<std::uint8_t> load_elf_image(const std::string& path, std::uint64_t base,
                                         std::uint64_t size);

} // namespace talus::sim

#endif
