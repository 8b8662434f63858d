#include "elf_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <fmt/format.h>

namespace talus::sim {

void ElfFile::fail(const std::string& reason) const {
    throw std::runtime_error(path_ + ": " + reason);
}

template <class T>
T ElfFile::read(std::uint64_t offset, const char* what) const {
    if (offset > file_.size() || file_.size() - offset < sizeof(T)) {
        fail(fmt::format("truncated: the {} at byte {} lies beyond the end of the file ({} bytes)",
                         what, offset, file_.size()));
    }
    T value;
    std::memcpy(&value, file_.data() + offset, sizeof value);
    return value;
}

ElfFile::ElfFile(const std::string& path) : path_(path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) {
        fail(std::strerror(errno));
    }
    file_.assign(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
    if (stream.bad() || file_.size() < SELFMAG || std::memcmp(file_.data(), ELFMAG, SELFMAG) != 0) {
        fail("not an ELF file");
    }
    const auto header = read<Elf64_Ehdr>(0, "ELF header");
    if (header.e_ident[EI_CLASS] != ELFCLASS64) {
        fail(header.e_ident[EI_CLASS] == ELFCLASS32 ? "a 32-bit ELF file; the cores are RV64"
                                                    : "an ELF file of unknown class");
    }
    if (header.e_ident[EI_DATA] != ELFDATA2LSB) {
        fail("not a little-endian ELF file");
    }
    if (header.e_machine != EM_RISCV) {
        fail(fmt::format("an ELF file for machine {}; RISC-V is {}", header.e_machine, EM_RISCV));
    }
    if (header.e_type == ET_REL) {
        fail("a relocatable object file; link it first");
    }
    if (header.e_type != ET_EXEC && header.e_type != ET_DYN) {
        fail(fmt::format("an ELF file of type {}, not an executable", header.e_type));
    }
    entry_ = header.e_entry;
    read_segments(&header);
    read_symbols(&header);
}

void ElfFile::read_segments(const void* of) {
    const auto& header = *static_cast<const Elf64_Ehdr*>(of);
    if (header.e_phnum != 0 && header.e_phentsize != sizeof(Elf64_Phdr)) {
        fail(fmt::format("program headers of {} bytes instead of {}", header.e_phentsize,
                         sizeof(Elf64_Phdr)));
    }
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        const auto segment = read<Elf64_Phdr>(
            header.e_phoff + std::uint64_t{i} * sizeof(Elf64_Phdr), "program header");
        if (segment.p_type != PT_LOAD || segment.p_memsz == 0) {
            continue;
        }
        if (segment.p_filesz > segment.p_memsz) {
            fail(fmt::format("segment {} has {} bytes in the file but {} in memory", i,
                             segment.p_filesz, segment.p_memsz));
        }
        if (segment.p_filesz != 0 && (segment.p_offset > file_.size() ||
                                      file_.size() - segment.p_offset < segment.p_filesz)) {
            fail(fmt::format("truncated: segment {} ends at byte {} of {}", i,
                             segment.p_offset + segment.p_filesz, file_.size()));
        }
        segments_.push_back({segment.p_paddr, segment.p_memsz,
                             segment.p_filesz == 0
                                 ? std::span<const std::uint8_t>()
                                 : std::span(file_).subspan(segment.p_offset, segment.p_filesz)});
    }
    if (segments_.empty()) {
        fail("no loadable segment");
    }
    std::stable_sort(segments_.begin(), segments_.end(),
                     [](const Segment& a, const Segment& b) { return a.addr < b.addr; });
}

void ElfFile::read_symbols(const void* of) {
    const auto& header = *static_cast<const Elf64_Ehdr*>(of);
    if (header.e_shnum != 0 && header.e_shentsize != sizeof(Elf64_Shdr)) {
        fail(fmt::format("section headers of {} bytes instead of {}", header.e_shentsize,
                         sizeof(Elf64_Shdr)));
    }
    const auto section = [&](std::uint64_t index) {
        return read<Elf64_Shdr>(header.e_shoff + index * sizeof(Elf64_Shdr), "section header");
    };
    for (unsigned i = 0; i < header.e_shnum; ++i) {
        const Elf64_Shdr table = section(i);
        if (table.sh_type != SHT_SYMTAB) {
            continue;
        }
        const Elf64_Shdr names = section(table.sh_link);
        if (names.sh_offset > file_.size() || file_.size() - names.sh_offset < names.sh_size ||
            table.sh_offset > file_.size() || file_.size() - table.sh_offset < table.sh_size) {
            fail("truncated symbol table");
        }
        for (std::uint64_t at = 0; table.sh_size - at >= sizeof(Elf64_Sym);
             at += sizeof(Elf64_Sym)) {
            const auto symbol = read<Elf64_Sym>(table.sh_offset + at, "symbol");
            if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= names.sh_size) {
                continue;
            }
            const auto* name =
                reinterpret_cast<const char*>(file_.data() + names.sh_offset + symbol.st_name);
            symbols_.push_back({symbol.st_value,
                                symbol.st_size,
                                static_cast<unsigned>(ELF64_ST_TYPE(symbol.st_info)),
                                {name, strnlen(name, names.sh_size - symbol.st_name)}});
        }
    }
}

std::optional<std::uint64_t> ElfFile::symbol(std::string_view name) const {
    for (const Symbol& symbol : symbols_) {
        if (symbol.name == name) {
            return symbol.addr;
        }
    }
    return std::nullopt;
}

void ElfFile::check_layout() const {
    const Segment* below = nullptr;
    for (const Segment& segment : segments_) {
        if (segment.size - 1 > ~std::uint64_t{0} - segment.addr) {
            fail(fmt::format("segment at {:#x} + {:#x} runs past the last address", segment.addr,
                             segment.size));
        }
        if (below != nullptr && segment.addr - below->addr < below->size) {
            fail(fmt::format("segments at {:#x} + {:#x} and {:#x} + {:#x} overlap", below->addr,
                             below->size, segment.addr, segment.size));
        }
        below = &segment;
    }
}

} // namespace talus::sim
