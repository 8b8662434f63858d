#include "sdk/common/elf_symbols.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include <elf.h>

namespace talus::common {

namespace {

// Reads a T at `offset` if it lies within the file.
template <typename T>
std::optional<T> at(const std::vector<char>& file, std::uint64_t offset) {
    if (offset > file.size() || file.size() - offset < sizeof(T))
        return std::nullopt;
    T value;
    std::memcpy(&value, file.data() + offset, sizeof value);
    return value;
}

} // namespace

std::map<std::uint64_t, std::string> read_symbols(const std::string& path) {
    std::map<std::uint64_t, std::string> symbols;
    std::ifstream stream(path, std::ios::binary);
    const std::vector<char> file{std::istreambuf_iterator<char>(stream), {}};
    const auto header = at<Elf64_Ehdr>(file, 0);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_ident[EI_CLASS] != ELFCLASS64)
        return symbols;
    const auto section = [&](std::uint64_t index) {
        return at<Elf64_Shdr>(file, header->e_shoff + index * sizeof(Elf64_Shdr));
    };
    for (std::uint64_t i = 0; i < header->e_shnum; ++i) {
        const auto table = section(i);
        if (!table || table->sh_type != SHT_SYMTAB)
            continue;
        const auto strings = section(table->sh_link);
        if (!strings)
            continue;
        for (std::uint64_t offset = 0; offset + sizeof(Elf64_Sym) <= table->sh_size;
             offset += sizeof(Elf64_Sym)) {
            const auto symbol = at<Elf64_Sym>(file, table->sh_offset + offset);
            if (!symbol)
                break;
            const std::uint64_t name = strings->sh_offset + symbol->st_name;
            if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || name >= file.size())
                continue;
            const char* text = file.data() + name;
            symbols.emplace(symbol->st_value, std::string(text, strnlen(text, file.size() - name)));
        }
    }
    return symbols;
}

} // namespace talus::common
