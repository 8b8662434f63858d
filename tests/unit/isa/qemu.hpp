// Runs a bare memory image as a program of qemu-riscv64 (Debian package qemu-user).
#ifndef TALUS_TESTS_ISA_QEMU_HPP
#define TALUS_TESTS_ISA_QEMU_HPP

#include <cstdint>
#include <vector>

namespace talus::sim {

bool have_qemu();

/// Loads `image` readable, writable and executable at `base`, enters it at its first byte, and
/// returns what it writes to its standard output. `status` is the emulator's wait status.
std::vector<std::uint8_t> run_qemu(const std::vector<std::uint8_t>& image, std::uint64_t base,
                                   int& status);

} // namespace talus::sim

#endif
