#include "diagnostics.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <elf.h>
#include <stdexcept>

#include "elf_file.hpp"

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

void SymbolTable::add_elf(const std::string& path, std::uint64_t base) {
    const ElfFile elf(path);
    for (const ElfFile::Symbol& symbol : elf.symbols()) {
        if ((symbol.type != STT_FUNC && symbol.type != STT_OBJECT && symbol.type != STT_NOTYPE) ||
            symbol.name.empty() || symbol.name[0] == '.' || symbol.name[0] == '$') {
            continue; // local labels and mapping symbols
        }
        symbols_.push_back({symbol.addr + base, symbol.size, std::string(symbol.name)});
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

bool SymbolTable::find_range(std::string_view name, std::uint64_t& first,
                             std::uint64_t& last) const {
    const auto found = std::ranges::find(symbols_, name, &Symbol::name);
    if (found == symbols_.end()) {
        return false;
    }
    first = found->addr;
    const auto next = std::ranges::upper_bound(symbols_, first, {}, &Symbol::addr);
    last = found->size != 0         ? first + found->size - 1
           : next != symbols_.end() ? next->addr - 1
                                    : ~std::uint64_t{0};
    return true;
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

void Diagnostics::reported(std::string_view text) {
    write(Owner::kInfo, text);
    if (listener_) {
        listener_(text);
    }
}

void Diagnostics::write(Owner owner, std::string_view text) {
    if (owner == Owner::kGuest && listener_) {
        listener_(text);
    }
    counts_[static_cast<unsigned>(owner)].fetch_add(1, std::memory_order_relaxed);
    const bool silent = owner == Owner::kInfo && quiet_.load(std::memory_order_relaxed);
    const std::string line = fmt::format("[{:<13} {:>12}] {}\n", owner_name(owner),
                                         clock_.load(std::memory_order_relaxed), text);
    const std::lock_guard lock(mutex_);
    recent_.push_back(line);
    if (recent_.size() > kRecentLines) {
        recent_.pop_front();
    }
    if (silent) {
        return;
    }
    std::FILE* out = file_ != nullptr ? file_ : stderr;
    std::fwrite(line.data(), 1, line.size(), out);
    std::fflush(out);
}

std::vector<std::string> Diagnostics::recent(std::size_t count) {
    const std::lock_guard lock(mutex_);
    const std::size_t take = std::min(count, recent_.size());
    return {recent_.end() - static_cast<std::ptrdiff_t>(take), recent_.end()};
}

std::uint64_t Diagnostics::count(Owner owner) const {
    return counts_[static_cast<unsigned>(owner)].load(std::memory_order_relaxed);
}

} // namespace talus::sim
