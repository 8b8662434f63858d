// A client's device memory: slabs of the card's, each with a window of the client's domain, from
// which its allocations are cut.
#pragma once

#include "../range_allocator.hpp"

#include "talus/driver.h"

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

namespace talus::driver::daemon {

class Server;

/// Few and large slabs, because a domain has few windows. Not thread-safe; Server::card() is held.
class DeviceMemory {
  public:
    /// `working` is called once a second while memory is being zeroed.
    DeviceMemory(Server& server, std::function<void()> working)
        : server_(server), working_(std::move(working)) {}

    /// Before anything else.
    void use_domain(std::uint8_t domain) { domain_ = domain; }

    /// Throws TALUS_DRV_OUT_OF_DEVICE_MEMORY where the card, or the client's share of it, has no
    /// room.
    std::uint64_t allocate(talus_drv_memory memory, std::uint64_t bytes, std::uint64_t alignment);
    /// Returns the freed bytes; throws where no allocation starts at `address`.
    std::uint64_t release(std::uint64_t address);
    /// Gives everything back, zeroed, and closes the windows. Nothing of the client runs any more.
    void release_all();
    /// The card was reset: there is nothing to give back.
    void forget() { slabs_.clear(); }

  private:
    struct Slab {
        talus_drv_memory memory;
        std::uint16_t window;
        RangeAllocator ranges;
    };
    using Slabs = std::map<std::uint64_t, Slab>; // by device address

    Slab& add(talus_drv_memory memory, std::uint64_t bytes, std::uint64_t alignment);
    void give_back(Slabs::iterator slab);
    void set_window(std::uint16_t index, std::uint64_t address, std::uint64_t bytes);
    std::uint64_t held(talus_drv_memory memory) const;

    Server& server_;
    std::function<void()> working_;
    std::uint8_t domain_ = 0;
    Slabs slabs_;
};

} // namespace talus::driver::daemon
