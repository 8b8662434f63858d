// libFuzzer harness: any sequence of writes and resets of PCI configuration space.
//
// The input is a sequence of records:  offset (2 bytes)  count (1 byte)  data. A count of 0 is a
// function-level reset, 255 a fundamental one.
#include "pci/config_space.hpp"

#include <linux/pci_regs.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <span>

namespace {

using talus::sim::ConfigReset;
using talus::sim::ConfigSpace;

void require(bool holds) {
    if (!holds)
        std::abort();
}

// What no write may change, and what must hold in every state.
void check(const ConfigSpace& space) {
    require(space.get32(PCI_VENDOR_ID) == 0x10f11af4u);
    require(space.get32(PCI_REVISION_ID) == 0x12000002u);
    // The lists of capabilities end, within their halves of the space.
    unsigned at = space.get16(PCI_CAPABILITY_LIST) & 0xffu;
    for (int hops = 0; at != 0; ++hops) {
        require(hops < 8 && at >= 0x40 && at < 0x100 && at % 4 == 0);
        at = space.get16(static_cast<uint16_t>(at)) >> 8;
    }
    at = 0x100;
    for (int hops = 0; at != 0; ++hops) {
        require(hops < 8 && at >= 0x100 && at < 0x1000);
        at = space.get32(static_cast<uint16_t>(at)) >> 20;
    }
    // BARs are 64-bit memory of their sizes: the low bits never move.
    for (const unsigned bar : {0u, 2u, 4u}) {
        const auto low = space.get32(static_cast<uint16_t>(PCI_BASE_ADDRESS_0 + 4 * bar));
        require((low & 0xf) == (bar == 4 ? 0xcu : 0x4u));
        require((low & 0xffff0u) == 0);
    }
    require(!space.memory_enabled() || (space.get16(PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0);
    require(!space.bus_master() || (space.get16(PCI_COMMAND) & PCI_COMMAND_MASTER) != 0);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto input = std::as_bytes(std::span(data, size));
    ConfigSpace space({});
    std::array<std::byte, ConfigSpace::kBytes> fresh{};
    space.read(0, fresh);
    while (input.size() >= 3) {
        const auto offset = static_cast<uint32_t>(
            (static_cast<unsigned>(input[0]) | static_cast<unsigned>(input[1]) << 8) % 4096u);
        const auto count = static_cast<unsigned>(input[2]);
        input = input.subspan(3);
        if (count == 0 || count == 255) {
            space.reset(count == 0 ? ConfigReset::kFunctionLevel : ConfigReset::kFundamental);
            require(!space.bus_master() && !space.memory_enabled() && !space.msix_enabled());
        } else {
            const size_t bytes = std::min<size_t>({count, input.size(), 4096 - offset});
            std::array<std::byte, 256> back{};
            space.write(offset, input.first(bytes));
            space.read(offset, std::span(back).first(bytes));
            input = input.subspan(bytes);
        }
        check(space);
    }
    space.reset(ConfigReset::kFundamental);
    std::array<std::byte, ConfigSpace::kBytes> after{};
    space.read(0, after);
    require(after == fresh);
    return 0;
}
