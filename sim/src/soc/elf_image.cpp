#include "elf_image.hpp"

#include <cerrno>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <fmt/format.h>

namespace talus::sim {

std::vector<std::uint8_t> load_elf_image(const std::string& path, std::uint64_t base,
                                         std::uint64_t size) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) {
        throw std::runtime_error(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    const std::vector<char> file((std::istreambuf_iterator<char>(stream)),
                                 std::istreambuf_iterator<char>());
    Elf64_Ehdr header;
    if (file.size() < sizeof header) {
        throw std::runtime_error(path + ": not a RISC-V ELF64 executable");
    }
    std::memcpy(&header, file.data(), sizeof header);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_RISCV || header.e_phentsize != sizeof(Elf64_Phdr)) {
        throw std::runtime_error(path + ": not a RISC-V ELF64 executable");
    }
    std::vector<std::uint8_t> image(size);
    bool any = false;
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        const std::uint64_t at = header.e_phoff + std::uint64_t{i} * sizeof(Elf64_Phdr);
        Elf64_Phdr segment;
        if (at > file.size() || file.size() - at < sizeof segment) {
            throw std::runtime_error(path + ": truncated program headers");
        }
        std::memcpy(&segment, file.data() + at, sizeof segment);
        if (segment.p_type != PT_LOAD || segment.p_filesz == 0) {
            continue; // nothing to put there: .bss is the program's own duty
        }
        if (segment.p_offset > file.size() || file.size() - segment.p_offset < segment.p_filesz) {
            throw std::runtime_error(path + ": truncated segment");
        }
        if (segment.p_paddr < base || segment.p_paddr - base > size ||
            segment.p_filesz > size - (segment.p_paddr - base)) {
            throw std::runtime_error(
                fmt::format("{}: segment at {:#x} + {:#x} lies outside {:#x} + {:#x}", path,
                            segment.p_paddr, segment.p_filesz, base, size));
        }
        std::memcpy(image.data() + (segment.p_paddr - base), file.data() + segment.p_offset,
                    segment.p_filesz);
        any = true;
    }
    if (!any) {
        throw std::runtime_error(path + ": no loadable segment");
    }
    return image;
}

} // namespace talus::sim
