// Access to memory that its owner, another process, can take away.
//
// A client that shares a file for DMA may truncate it at any time; touching a page past the new end
// raises SIGBUS. These functions turn that into `false`.
//
// Why a signal handler and not process_vm_readv or pread: most accesses are a few bytes (doorbells,
// queue entries) and polled, a system call each would cost more than the access itself; reading
// through the descriptor is not possible for every kind of file (hugetlbfs) and would not be atomic
// word-wise; and process_vm_readv is refused by common seccomp profiles. The handler acts only on a
// SIGBUS raised inside one of these functions on the same thread and hands every other to the
// handler that was there before.
#ifndef TALUS_SIM_VFIO_USER_GUARDED_ACCESS_HPP
#define TALUS_SIM_VFIO_USER_GUARDED_ACCESS_HPP

#include <cstddef>
#include <cstdint>

namespace talus::sim::vfio_user::guarded {

// Installs the SIGBUS handler of the process, once; must precede the first access. Thread-safe.
void install();

// Each returns false if a page was gone; a prefix may have been copied. Thread-safe.
bool copy(void* destination, const void* source, size_t length);
// Single atomic accesses (acquire loads, release stores); pointers are naturally aligned.
bool load8(const uint8_t* source, uint8_t& value);
bool load16(const uint16_t* source, uint16_t& value);
bool load32(const uint32_t* source, uint32_t& value);
bool load64(const uint64_t* source, uint64_t& value);
bool store8(uint8_t* destination, uint8_t value);
bool store16(uint16_t* destination, uint16_t value);
bool store32(uint32_t* destination, uint32_t value);
bool store64(uint64_t* destination, uint64_t value);
bool load32_array(const uint32_t* source, uint32_t* values, size_t count);

} // namespace talus::sim::vfio_user::guarded

#endif
