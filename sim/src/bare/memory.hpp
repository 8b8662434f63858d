// The memory of a bare-metal run: a few ranges of zeroed host memory that hold a program.
#ifndef TALUS_SIM_BARE_MEMORY_HPP
#define TALUS_SIM_BARE_MEMORY_HPP

#include <cstdint>
#include <vector>

#include "../core/elf_file.hpp"

namespace talus::sim::bare {

/// Zeroed on allocation; pages that the guest never touches take no host memory. Not thread-safe.
class Memory {
  public:
    struct Range {
        std::uint64_t base; ///< a multiple of 4096
        std::uint64_t size; ///< likewise
        std::uint8_t* host;
    };

    Memory() = default;
    ~Memory();
    Memory(const Memory&) = delete;
    Memory& operator=(const Memory&) = delete;

    /// Maps `size` bytes from the page of the lowest segment on; a segment that does not fit in
    /// there begins another range of as many. Then copies the segments. Throws std::runtime_error:
    /// a layout that ElfFile::check_layout() rejects, or more memory than the host gives.
    void load(const ElfFile& elf, std::uint64_t size);

    const std::vector<Range>& ranges() const { return ranges_; }

    /// Host address of [addr, addr + len), or null where not all of it is memory.
    std::uint8_t* at(std::uint64_t addr, std::uint64_t len) const;

  private:
    void map(std::uint64_t base, std::uint64_t size);

    std::vector<Range> ranges_;
};

} // namespace talus::sim::bare

#endif
