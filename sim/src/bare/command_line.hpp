// talus-sim --elf: runs one bare-metal program instead of serving a device.
#ifndef TALUS_SIM_BARE_COMMAND_LINE_HPP
#define TALUS_SIM_BARE_COMMAND_LINE_HPP

#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>

#include "../isa/commit_log.hpp"

namespace talus::sim::bare {

struct Options {
    std::string elf; ///< empty: no bare-metal run asked for
    std::string isa = "rv64gc_zicntr_zicbom_zba_zbb_zfh";
    std::string exit_symbol = "tohost";
    std::string signature;
    unsigned signature_granularity = 4;
    std::uint64_t memory_bytes = std::uint64_t{256} << 20;
    std::uint64_t max_instructions = 0;
    unsigned harts = 1;
};

// Exit codes besides 0, a pass, and the program's own code.
inline constexpr int kExitLimit = 71;          ///< the instruction limit was reached
inline constexpr int kExitStuck = 72;          ///< no hart can go on
inline constexpr int kLargestProgramCode = 69; ///< what a program's code above this becomes

/// Adds the options to the program's command line, as a group of their own. Returns --elf.
CLI::Option* add_options(CLI::App& app, Options& options);

/// Runs the program: its console on standard output, one sentence on standard error if it fails.
/// `verbose` logs traps, and the instructions and clocks that it took. Returns talus-sim's exit
/// code. Throws std::exception with a sentence if the program, the ISA string or the signature file
/// cannot be used.
int run(const Options& options, const CommitLogOptions& commit_log, bool verbose);

} // namespace talus::sim::bare

#endif
