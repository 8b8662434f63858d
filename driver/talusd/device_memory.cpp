#include "device_memory.hpp"

#include "server.hpp"

#include <algorithm>
#include <string>

namespace talus::driver::daemon {

namespace {

/// A slab is as large as what asks for it, but at least this, and at least an eighth of what the
/// client holds already: 64 windows reach for 64 GiB then.
std::uint64_t slab_bytes(talus_drv_memory memory, std::uint64_t bytes, std::uint64_t held) {
    const std::uint64_t least = std::uint64_t{memory == TALUS_DRV_DRAM ? 4096u : 256u} << 10;
    return std::max({bytes, least, held / 8});
}

std::uint64_t whole_pages(std::uint64_t bytes) {
    constexpr std::uint64_t kPage = 4096;
    return (bytes + kPage - 1) / kPage * kPage;
}

} // namespace

std::uint64_t DeviceMemory::held(talus_drv_memory memory) const {
    std::uint64_t bytes = 0;
    for (const auto& [address, slab] : slabs_)
        if (slab.memory == memory)
            bytes += slab.ranges.size();
    return bytes;
}

void DeviceMemory::set_window(std::uint16_t index, std::uint64_t address, std::uint64_t bytes) {
    talus_sqe command{};
    command.opcode = TALUS_ADMIN_SET_WINDOW;
    command.u.set_window.iova = address;
    command.u.set_window.length = bytes;
    command.u.set_window.index = index;
    command.u.set_window.domain = domain_;
    command.u.set_window.access = TALUS_WINDOW_READ | TALUS_WINDOW_WRITE | TALUS_WINDOW_DEVICE;
    server_.device().admin(command, "SET_WINDOW");
}

DeviceMemory::Slab& DeviceMemory::add(talus_drv_memory memory, std::uint64_t bytes,
                                      std::uint64_t alignment) {
    std::uint16_t index = 0;
    const auto taken = [&](std::uint16_t wanted) {
        return std::any_of(slabs_.begin(), slabs_.end(),
                           [&](const auto& slab) { return slab.second.window == wanted; });
    };
    while (taken(index))
        ++index;
    if (index >= std::min(server_.device().identity().windows_per_domain, TALUS_WINDOWS_PER_DOMAIN))
        throw Error(TALUS_DRV_OUT_OF_DEVICE_MEMORY,
                    "this client's device memory is in too many pieces; use fewer and larger ones");
    const std::uint64_t limit = memory == TALUS_DRV_DRAM ? server_.options().dram_per_client
                                                         : server_.options().lls_per_client;
    const std::uint64_t before = held(memory);
    const auto allowed = [&](std::uint64_t more) {
        return limit == 0 || (more <= limit && before <= limit - more);
    };
    std::uint64_t size = whole_pages(slab_bytes(memory, bytes, before));
    const std::uint64_t just_enough = whole_pages(bytes);
    if (!allowed(size))
        size = just_enough;
    if (!allowed(size))
        throw Error(TALUS_DRV_OUT_OF_DEVICE_MEMORY,
                    std::to_string(bytes) + " bytes more than the " + std::to_string(before) +
                        " in use are beyond this client's share of " + std::to_string(limit) +
                        " bytes (talusd --dram-per-client, --lls-per-client)");
    alignment = std::max<std::uint64_t>(alignment, 4096);
    std::uint64_t address = 0;
    try {
        address = server_.device().memory_allocate(memory, size, alignment);
    } catch (const Error& error) {
        if (error.status() != TALUS_DRV_OUT_OF_DEVICE_MEMORY || size == just_enough)
            throw;
        size = just_enough;
        address = server_.device().memory_allocate(memory, size, alignment);
    }
    try {
        set_window(index, address, size);
    } catch (...) {
        server_.device().memory_free(address);
        throw;
    }
    return slabs_.emplace(address, Slab{memory, index, RangeAllocator(address, size, 64)})
        .first->second;
}

std::uint64_t DeviceMemory::allocate(talus_drv_memory memory, std::uint64_t bytes,
                                     std::uint64_t alignment) {
    if (bytes == 0 || alignment == 0 || (alignment & (alignment - 1)) != 0)
        throw Error(TALUS_DRV_INVALID_ARGUMENT, "device memory of " + std::to_string(bytes) +
                                                    " bytes aligned to " +
                                                    std::to_string(alignment));
    for (auto& [address, slab] : slabs_)
        if (slab.memory == memory)
            if (const auto found = slab.ranges.allocate(bytes, alignment))
                return *found;
    // What fills the sizes of the device has no room either; sums below do not wrap then.
    if (bytes > server_.device().identity().dram_bytes)
        throw Error(TALUS_DRV_OUT_OF_DEVICE_MEMORY,
                    "no device has room for " + std::to_string(bytes) + " bytes");
    return *add(memory, bytes, alignment).ranges.allocate(bytes, alignment);
}

std::uint64_t DeviceMemory::release(std::uint64_t address) {
    auto slab = slabs_.upper_bound(address);
    if (slab == slabs_.begin())
        throw Error(TALUS_DRV_INVALID_ARGUMENT, "no allocation starts at the given device address");
    --slab;
    const auto freed = slab->second.ranges.release(address);
    if (!freed)
        throw Error(TALUS_DRV_INVALID_ARGUMENT, "no allocation starts at the given device address");
    if (slab->second.ranges.used() == 0)
        give_back(slab);
    return *freed;
}

void DeviceMemory::give_back(Slabs::iterator slab) {
    const auto [address, bytes] = std::pair(slab->first, slab->second.ranges.size());
    set_window(slab->second.window, 0, 0);
    server_.scrub(address, bytes, working_);
    server_.device().memory_free(address);
    slabs_.erase(slab);
}

void DeviceMemory::release_all() {
    while (!slabs_.empty())
        give_back(slabs_.begin());
}

} // namespace talus::driver::daemon
