#include "command_line.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <optional>
#include <stdexcept>

#include <fmt/format.h>

#include "../core/diagnostics.hpp"
#include "../core/elf_file.hpp"
#include "htif.hpp"
#include "isa_string.hpp"
#include "machine.hpp"
#include "memory.hpp"

namespace talus::sim::bare {

CLI::Option* add_options(CLI::App& app, Options& options) {
    const std::string group = "Bare-metal programs";
    auto* elf =
        app.add_option("--elf", options.elf,
                       "Run this RV64 ELF program on bare cores instead of serving a device")
            ->group(group);
    const auto add = [&](const char* name, auto& variable, const char* text) {
        return app.add_option(name, variable, text)
            ->group(group)
            ->needs(elf)
            ->capture_default_str();
    };
    add("--isa", options.isa, "The core: any part of what the cores have, with V or without");
    add("--exit-symbol", options.exit_symbol,
        "The program ends by a store to this symbol: 1 passes, other odd values fail");
    add("--signature", options.signature,
        "Write memory from begin_signature to end_signature to this file, in hexadecimal lines");
    add("--signature-granularity", options.signature_granularity, "Bytes of a signature line")
        ->check(CLI::IsMember({1, 2, 4, 8, 16, 32, 64}));
    add("--memory", options.memory_bytes, "Bytes of memory from the lowest load address on")
        ->transform(CLI::AsSizeValue(false));
    add("--max-instructions", options.max_instructions, "Give up after so many; 0: never");
    add("--harts", options.harts, "Number of harts")->check(CLI::Range(1, 64));
    return elf;
}

namespace {

std::uint64_t need_symbol(const ElfFile& elf, const std::string& name, const char* use) {
    const auto addr = elf.symbol(name);
    if (!addr) {
        throw std::runtime_error(fmt::format("{}: no symbol {}, {}", elf.path(), name, use));
    }
    return *addr;
}

/// Lines of `granularity` bytes, the last one filled up with zeros, most significant digit first.
void write_signature(const Options& options, const ElfFile& elf, const Memory& memory) {
    const char* use = "which --signature needs";
    const std::uint64_t begin = need_symbol(elf, "begin_signature", use);
    const std::uint64_t end = need_symbol(elf, "end_signature", use);
    const std::uint8_t* bytes = end < begin ? nullptr : memory.at(begin, end - begin);
    if (bytes == nullptr) {
        throw std::runtime_error(
            fmt::format("{}: the signature {:#x} to {:#x} is not memory", elf.path(), begin, end));
    }
    std::ofstream out(options.signature);
    const std::uint64_t size = end - begin, step = options.signature_granularity;
    for (std::uint64_t at = 0; at < size; at += step) {
        for (std::uint64_t i = step; i-- > 0;) {
            out << fmt::format("{:02x}", at + i < size ? bytes[at + i] : 0);
        }
        out << '\n';
    }
    out.close();
    if (!out) {
        throw std::runtime_error(options.signature + ": cannot write the signature");
    }
}

} // namespace

int run(const Options& options, const CommitLogOptions& commit_log, bool verbose) {
    const Isa isa = parse_isa(options.isa);
    const ElfFile elf(options.elf);
    Memory memory;
    memory.load(elf, options.memory_bytes);
    Diagnostics diagnostics;
    diagnostics.set_quiet(!verbose);
    diagnostics.symbols().add_elf(options.elf, 0);

    MachineOptions machine_options;
    machine_options.vector = isa.vector;
    machine_options.harts = options.harts;
    machine_options.entry = elf.entry();
    machine_options.tohost =
        need_symbol(elf, options.exit_symbol, "so its end could not be told (--exit-symbol)");
    machine_options.max_instructions = options.max_instructions;
    std::optional<std::uint64_t> fromhost = elf.symbol("fromhost");
    if (fromhost && memory.at(*fromhost, 8) == nullptr) {
        fromhost.reset();
    }
    Htif htif(memory, machine_options.tohost, fromhost, stdout);
    Machine machine(machine_options, memory, htif, diagnostics);
    std::optional<CommitLog> commits;
    if (!commit_log.path.empty()) {
        const auto name = [](HartId hart) { return fmt::format("hart {}", hart); };
        commits.emplace(commit_log, machine.hart_count(), name, diagnostics);
        for (HartId hart = 0; hart < machine.hart_count(); ++hart) {
            commits->observe(machine.hart(hart));
        }
    }
    const Outcome outcome = machine.run();
    if (commits) {
        commits->close();
    }
    if (!options.signature.empty()) {
        write_signature(options, elf, memory);
    }
    if (verbose) {
        fmt::print(stderr, "talus-sim: {} instructions in {} clocks\n", machine.retired(),
                   machine.now());
    }
    switch (outcome.kind) {
    case Outcome::Kind::kLimit:
        fmt::print(stderr, "talus-sim: {}: not finished after {} instructions, at {}\n",
                   options.elf, machine.retired(), diagnostics.pc(machine.hart(0).pc()));
        return kExitLimit;
    case Outcome::Kind::kStuck:
        fmt::print(stderr, "talus-sim: {}: cannot go on: {}\n", options.elf, outcome.why);
        return kExitStuck;
    case Outcome::Kind::kExit:
        break;
    }
    if (outcome.code == 0) {
        return 0;
    }
    fmt::print(stderr, "talus-sim: {}: failed with code {} (test number {})\n", options.elf,
               outcome.code, outcome.code);
    return static_cast<int>(std::min<std::uint64_t>(outcome.code, kLargestProgramCode));
}

} // namespace talus::sim::bare
