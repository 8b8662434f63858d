// Executable memory of the translator. Private to sim/src/isa.
#ifndef TALUS_SIM_ISA_JIT_CODE_MEMORY_HPP
#define TALUS_SIM_ISA_JIT_CODE_MEMORY_HPP

#include <cstddef>
#include <cstdint>

#include <asmjit/x86.h>

#include "translator.hpp"

namespace talus::sim::jit {

/// Memory for code, mapped twice where the host permits: writable here, executable there, never
/// both at one address.
class CodeMemory {
  public:
    CodeMemory();
    CodeMemory(const CodeMemory&) = delete;
    CodeMemory& operator=(const CodeMemory&) = delete;

    /// Copies finished code in; throws std::runtime_error if the host gives no memory.
    const void* add(asmjit::CodeHolder& code, std::size_t& bytes);
    void release(const void* code, std::size_t bytes);

    std::size_t used = 0;    ///< bytes of code
    std::uint64_t epoch = 1; ///< changes when code is released: harts forget pointers into it
    /// const Exit* enter(Core*, const void* code).
    const Exit* (*enter)(Core*, const void*) = nullptr;
    const void* leave = nullptr; ///< where a trace goes with its Exit in rax

  private:
    asmjit::JitAllocator allocator_;
};

/// At most so many instructions run between two looks at `until`, until it is near.
inline constexpr std::size_t kStepsPerCheck = 8;

/// Emits host code for a trace; `core` serves for the offsets of its members only.
/// The block is added to `memory`.
void emit_block(const Trace& trace, const Profile& profile, bool free_fetch, Variant variant,
                const CodeView& page, Core& core, Translator& translator, Block& block);

// The registers of translated code.
inline constexpr asmjit::x86::Gp kCore = asmjit::x86::rbp;
inline constexpr asmjit::x86::Gp kBudget = asmjit::x86::r15; ///< until - clock at the trace's entry
inline constexpr asmjit::x86::Gp kMemory = asmjit::x86::r13; ///< host address of the first region

} // namespace talus::sim::jit

#endif
