#include "diagnostics.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace talus::sim {

std::string_view owner_name(Owner owner) {
    switch (owner) {
    case Owner::kGuest:
        return "guest";
    case Owner::kHost:
        return "host";
    case Owner::kUnimplemented:
        return "unimplemented";
    case Owner::kInternal:
        return "internal";
    case Owner::kInfo:
        return "info";
    }
    return "?";
}

namespace {

template <typename T>
bool read_at(const std::vector<char>& file, std::uint64_t offset, T& out) {
    if (offset > file.size() || file.size() - offset < sizeof(T)) {
        return false;
    }
    std::memcpy(&out, file.data() + offset, sizeof(T));
    return true;
}

} // namespace

void SymbolTable::add_elf(const std::string& path, std::uint64_t base) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream) {
        throw std::runtime_error(fmt::format("{}: {}", path, std::strerror(errno)));
    }
    const std::vector<char> file((std::istreambuf_iterator<char>(stream)),
                                 std::istreambuf_iterator<char>());
    Elf64_Ehdr header;
    if (!read_at(file, 0, header) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
        throw std::runtime_error(path + ": not a little-endian ELF64 file");
    }
    for (unsigned i = 0; i < header.e_shnum; ++i) {
        Elf64_Shdr table;
        Elf64_Shdr strings;
        if (!read_at(file, header.e_shoff + std::uint64_t{i} * header.e_shentsize, table) ||
            table.sh_type != SHT_SYMTAB) {
            continue;
        }
        if (!read_at(file, header.e_shoff + std::uint64_t{table.sh_link} * header.e_shentsize,
                     strings) ||
            strings.sh_offset > file.size() || file.size() - strings.sh_offset < strings.sh_size) {
            throw std::runtime_error(path + ": truncated symbol table");
        }
        for (std::uint64_t at = 0; at + sizeof(Elf64_Sym) <= table.sh_size;
             at += sizeof(Elf64_Sym)) {
            Elf64_Sym symbol;
            if (!read_at(file, table.sh_offset + at, symbol)) {
                throw std::runtime_error(path + ": truncated symbol table");
            }
            const unsigned type = ELF64_ST_TYPE(symbol.st_info);
            if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= strings.sh_size ||
                (type != STT_FUNC && type != STT_OBJECT && type != STT_NOTYPE)) {
                continue;
            }
            const char* name = file.data() + strings.sh_offset + symbol.st_name;
            const std::size_t room = strings.sh_size - symbol.st_name;
            const std::string text(name, strnlen(name, room));
            if (text.empty() || text[0] == '.' || text[0] == '$') {
                continue; // local labels and mapping symbols
            }
            symbols_.push_back({symbol.st_value + base, symbol.st_size, text});
        }
    }
    std::stable_sort(symbols_.begin(), symbols_.end(),
                     [](const Symbol& x, const Symbol& y) { return x.addr < y.addr; });
}

std::string SymbolTable::describe(std::uint64_t addr) const {
    auto it = std::upper_bound(symbols_.begin(), symbols_.end(), addr,
                               [](std::uint64_t value, const Symbol& s) { return value < s.addr; });
    // Labels without a size (assembly) cover what follows up to the next symbol, within reason.
    constexpr std::uint64_t kUnsizedReach = 4096;
    while (it != symbols_.begin()) {
        --it;
        const std::uint64_t offset = addr - it->addr;
        if (offset > kUnsizedReach && offset >= it->size) {
            break;
        }
        if (offset < it->size || (it->size == 0 && offset < kUnsizedReach)) {
            return offset == 0 ? it->name : fmt::format("{}+{:#x}", it->name, offset);
        }
    }
    return {};
}

bool SymbolTable::find(std::string_view name, std::uint64_t& addr) const {
    for (const Symbol& symbol : symbols_) {
        if (symbol.name == name) {
            addr = symbol.addr;
            return true;
        }
    }
    return false;
}

Diagnostics::~Diagnostics() {
    if (file_ != nullptr) {
        std::fclose(file_);
    }
}

void Diagnostics::open(const std::string& path) {
    std::FILE* file = std::fopen(path.c_str(), "ae");
    if (file == nullptr) {
        throw std::runtime_error(
            fmt::format("cannot open log file {}: {}", path, std::strerror(errno)));
    }
    const std::lock_guard lock(mutex_);
    if (file_ != nullptr) {
        std::fclose(file_);
    }
    file_ = file;
}

std::string Diagnostics::pc(std::uint64_t addr) const {
    const std::string symbol = symbols_.describe(addr);
    return symbol.empty() ? fmt::format("{:#x}", addr) : fmt::format("{:#x} <{}>", addr, symbol);
}

void Diagnostics::write(Owner owner, std::string_view text) {
    counts_[static_cast<unsigned>(owner)].fetch_add(1, std::memory_order_relaxed);
    if (owner == Owner::kInfo && quiet_.load(std::memory_order_relaxed)) {
        return;
    }
    const std::string line = fmt::format("[{:<13} {:>12}] {}\n", owner_name(owner),
                                         clock_.load(std::memory_order_relaxed), text);
    const std::lock_guard lock(mutex_);
    std::FILE* out = file_ != nullptr ? file_ : stderr;
    std::fwrite(line.data(), 1, line.size(), out);
    std::fflush(out);
}

std::uint64_t Diagnostics::count(Owner owner) const {
    return counts_[static_cast<unsigned>(owner)].load(std::memory_order_relaxed);
}

} // namespace talus::sim
