#include "elf_image.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "../core/elf_file.hpp"

namespace talus::sim {

std::vector<std::uint8_t> load_elf_image(const std::string& path, std::uint64_t base,
                                         std::uint64_t size) {
    const ElfFile elf(path);
    std::vector<std::uint8_t> image(size);
    bool any = false;
    for (const ElfFile::Segment& segment : elf.segments()) {
        if (segment.bytes.empty()) {
            continue; // nothing to put there: .bss is the program's own duty
        }
        if (segment.addr < base || segment.addr - base > size ||
            segment.bytes.size() > size - (segment.addr - base)) {
            throw std::runtime_error(
                fmt::format("{}: segment at {:#x} + {:#x} lies outside {:#x} + {:#x}", path,
                            segment.addr, segment.bytes.size(), base, size));
        }
        std::ranges::copy(segment.bytes,
                          image.begin() + static_cast<std::ptrdiff_t>(segment.addr - base));
        any = true;
    }
    if (!any) {
        throw std::runtime_error(path + ": no loadable segment");
    }
    return image;
}

} // namespace talus::sim
