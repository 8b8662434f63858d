// Random programs with control flow: loops, forward branches, calls, indirect jumps, faults,
// accesses outside of direct memory, code that overwrites code. They end after a number of blocks.
#ifndef TALUS_TESTS_ISA_RANDOM_FLOW_HPP
#define TALUS_TESTS_ISA_RANDOM_FLOW_HPP

#include <cstdint>
#include <random>
#include <vector>

namespace talus::sim {

struct FlowOptions {
    std::uint64_t seed = 1;
    bool vector = false;
    std::uint64_t code_base = 0;    ///< where the program will lie, 16 KiB
    std::uint64_t data_base = 0;    ///< 16 KiB of direct memory; the middle is x31 in the program
    std::uint64_t outside_base = 0; ///< likewise outside of direct memory: x30
    unsigned fuel = 2000;           ///< blocks to execute
};

/// The program; the trap handler is at its start, the entry at code_base + kFlowEntry. It halts by
/// clearing mtvec and ecall.
std::vector<std::uint32_t> random_flow(const FlowOptions& options);

inline constexpr std::uint64_t kFlowEntry = 256;

} // namespace talus::sim

#endif
