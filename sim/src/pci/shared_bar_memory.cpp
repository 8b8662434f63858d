#include "shared_bar_memory.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <system_error>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE // Linux 5.1; missing from older C libraries' headers
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

namespace talus::sim {
namespace {

[[noreturn]] void fail(const char* what) {
    throw std::system_error(errno, std::generic_category(), what);
}

} // namespace

SharedBarMemory::SharedBarMemory(const std::string& name, uint64_t bytes, bool host_writable)
    : fd_(memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING)), bytes_(bytes) {
    if (!fd_)
        fail("memfd_create");
    if (ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0)
        fail("ftruncate of a BAR's memory");
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (data == MAP_FAILED)
        fail("mmap of a BAR's memory");
    data_ = static_cast<std::byte*>(data);
    // FUTURE_WRITE leaves our own mapping writable and refuses every later one.
    const int seals =
        F_SEAL_SHRINK | F_SEAL_GROW | (host_writable ? 0 : F_SEAL_FUTURE_WRITE) | F_SEAL_SEAL;
    if (fcntl(fd_.get(), F_ADD_SEALS, seals) != 0) {
        const int error = errno;
        munmap(data_, bytes_);
        errno = error;
        fail("sealing a BAR's memory");
    }
}

SharedBarMemory::~SharedBarMemory() {
    if (data_)
        munmap(data_, bytes_);
}

} // namespace talus::sim
