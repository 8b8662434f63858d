#include "commit_log.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace talus::sim {

namespace {

std::optional<std::uint64_t> number(std::string_view text) {
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    text.remove_prefix(hex ? 2 : 0);
    std::uint64_t value = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), value, hex ? 16 : 10);
    if (error != std::errc() || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

struct Range {
    std::uint64_t first;
    std::uint64_t last;
};
/// "A" or "A-B".
std::optional<Range> range(std::string_view text) {
    const std::size_t dash = text.find('-');
    const auto first = number(text.substr(0, dash));
    const auto last = dash == text.npos ? first : number(text.substr(dash + 1));
    if (!first || !last || *first > *last) {
        return std::nullopt;
    }
    return Range{*first, *last};
}

} // namespace

CommitLog::CommitLog(const CommitLogOptions& options, unsigned hart_count, const Name& name,
                     const Diagnostics& diagnostics)
    : path_(options.path), diagnostics_(diagnostics), names_(hart_count) {
    std::string_view rest = options.harts;
    do {
        const std::string_view part = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), part.size() + 1));
        const auto numbers = part.empty() ? Range{0, hart_count - 1} : range(part);
        bool found = false;
        for (HartId hart = 0; hart < hart_count; ++hart) {
            if (numbers && numbers->last < hart_count
                    ? hart >= numbers->first && hart <= numbers->last
                    : name(hart) == part) {
                names_[hart] = name(hart);
                found = true;
            }
        }
        if (!found) {
            throw std::runtime_error(fmt::format(
                "--commit-log-harts: there is no hart '{}'; give numbers from 0 to {}, ranges, "
                "or names as '{}', with commas between",
                part, hart_count - 1, name(hart_count - 1)));
        }
    } while (!rest.empty());
    if (const auto pcs = range(options.pcs)) {
        first_ = pcs->first;
        last_ = pcs->last;
    } else if (!options.pcs.empty() &&
               !diagnostics.symbols().find_range(options.pcs, first_, last_)) {
        throw std::runtime_error(fmt::format(
            "--commit-log-pc: '{}' is neither FIRST-LAST nor a function that is known; --symbols "
            "makes those of other ELF files known",
            options.pcs));
    }
    file_ = std::fopen(path_.c_str(), "we");
    if (file_ == nullptr) {
        throw std::runtime_error(
            fmt::format("cannot write the commit log {}: {}", path_, std::strerror(errno)));
    }
    std::setvbuf(file_, nullptr, _IOFBF, std::size_t{1} << 20);
}

CommitLog::~CommitLog() {
    if (file_ != nullptr) {
        std::fclose(file_);
    }
}

void CommitLog::observe(Hart& hart) {
    if (!names_.at(hart.id()).empty()) {
        hart.set_commit_observer(this, first_, last_);
    }
}

void CommitLog::on_commit(const Commit& commit) {
    line_.clear();
    const auto to = std::back_inserter(line_);
    fmt::format_to(to, "core{:4}: {} 0x{:016x} (0x{:0{}x})", commit.hart, commit.user_mode ? 0 : 3,
                   commit.pc, commit.bits, 2 * commit.len);
    for (const Commit::Register& reg : commit.registers) {
        fmt::format_to(to, " {}{:<2} 0x{:016x}", reg.file, reg.index, reg.value);
    }
    if (!commit.vectors.empty()) {
        fmt::format_to(to, " e{} {}{} l{}", commit.vector_sew,
                       commit.vector_lmul_log2 < 0 ? "mf" : "m",
                       1 << std::abs(commit.vector_lmul_log2), commit.vector_length);
    }
    for (const unsigned index : commit.vectors) {
        fmt::format_to(to, " v{:<2} 0x", index);
        for (unsigned i = kVlenBytes; i-- > 0;) {
            fmt::format_to(to, "{:02x}", commit.vector_file[index * kVlenBytes + i]);
        }
    }
    for (const Commit::Csr& csr : commit.csrs) {
        fmt::format_to(to, " c{}_{} 0x{:016x}", csr.number, csr_name(csr.number), csr.value);
    }
    for (const Commit::Access& access : commit.accesses) {
        fmt::format_to(to, " mem 0x{:016x}", access.addr);
        if (access.store) {
            fmt::format_to(to, " 0x{:0{}x}", access.value, 2 * access.len);
        }
    }
    const std::string place = diagnostics_.symbols().describe(commit.pc);
    fmt::format_to(to, " # {} {}{}{}: {}\n", commit.now, names_[commit.hart],
                   place.empty() ? "" : " ", place, commit.name);
    std::fwrite(line_.data(), 1, line_.size(), file_);
}

void CommitLog::close() {
    const bool failed = std::ferror(file_) != 0;
    if ((std::fclose(std::exchange(file_, nullptr)) != 0) || failed) {
        throw std::runtime_error(
            fmt::format("the commit log {} is not complete: the file could not be written", path_));
    }
}

} // namespace talus::sim
