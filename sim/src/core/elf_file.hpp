// Reading of RISC-V ELF64 executables: what their segments put where, and their symbols.
#ifndef TALUS_SIM_CORE_ELF_FILE_HPP
#define TALUS_SIM_CORE_ELF_FILE_HPP

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace talus::sim {

/// A whole ELF file, checked when it is opened. Immutable afterwards.
class ElfFile {
  public:
    /// A PT_LOAD segment that occupies memory. Its flags say nothing: they are not looked at.
    struct Segment {
        std::uint64_t addr; ///< physical address (p_paddr)
        std::uint64_t size; ///< bytes in memory, not 0; what `bytes` does not cover is zero
        std::span<const std::uint8_t> bytes; ///< contents, into the file
    };
    struct Symbol {
        std::uint64_t addr;
        std::uint64_t size;
        unsigned type; ///< STT_*
        std::string_view name;
    };

    /// Throws std::runtime_error with path and reason: unreadable, not an ELF file, of another
    /// class, byte order or machine, an object file that is not linked, or truncated anywhere.
    explicit ElfFile(const std::string& path);

    const std::string& path() const { return path_; }
    std::uint64_t entry() const { return entry_; }
    /// In ascending order of address. Segments may overlap; see overlap().
    const std::vector<Segment>& segments() const { return segments_; }
    /// Defined symbols, in the file's order.
    const std::vector<Symbol>& symbols() const { return symbols_; }
    /// Address of the first symbol of that name.
    std::optional<std::uint64_t> symbol(std::string_view name) const;
    /// Throws std::runtime_error if two segments share a byte or one runs past the last address.
    void check_layout() const;

  private:
    [[noreturn]] void fail(const std::string& reason) const;
    template <class T>
    T read(std::uint64_t offset, const char* what) const;
    void read_segments(const void* header);
    void read_symbols(const void* header);

    std::string path_;
    std::vector<std::uint8_t> file_;
    std::uint64_t entry_ = 0;
    std::vector<Segment> segments_;
    std::vector<Symbol> symbols_;
};

} // namespace talus::sim

#endif
