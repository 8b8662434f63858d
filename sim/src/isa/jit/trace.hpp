// What the translator makes of guest code before it emits host code: a trace, that is, the
// instructions from one entry along the fall-through path, with the clock of each. Private to
// sim/src/isa.
//
// Everything the pipeline does to direct code is known before it runs: an instruction's clock is an
// *offset* from the clock at the entry, and a result that comes late (load, multiply) is a
// *pending* offset of its register. What is still pending where a trace ends becomes the *state*
// that the next trace is entered with, so that its clocks are constants again.
#ifndef TALUS_SIM_ISA_JIT_TRACE_HPP
#define TALUS_SIM_ISA_JIT_TRACE_HPP

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "../core.hpp"

namespace talus::sim::jit {

/// How the translator carries an instruction out.
enum class Op : std::uint8_t {
    kHandler, ///< calls the interpreter's handler
    kSystem,  ///< likewise, and the trace ends: it never goes on with the next instruction
    // clang-format off
    kLui, kAuipc, kJal, kJalr, kBeq, kBne, kBlt, kBge, kBltu, kBgeu,
    kAddi, kSlti, kSltiu, kXori, kOri, kAndi, kSlli, kSrli, kSrai, kAddiw, kSlliw, kSrliw, kSraiw,
    kAdd, kSub, kSll, kSlt, kSltu, kXor, kSrl, kSra, kOr, kAnd, kAddw, kSubw, kSllw, kSrlw, kSraw,
    kMul, kMulh, kMulhu, kMulw, kDiv, kDivu, kRem, kRemu, kDivw, kDivuw, kRemw, kRemuw,
    kLb, kLh, kLw, kLd, kLbu, kLhu, kLwu, kSb, kSh, kSw, kSd,
    kFlh, kFlw, kFld, kFsh, kFsw, kFsd,
    kSh1add, kSh2add, kSh3add, kAddUw, kSh1addUw, kSh2addUw, kSh3addUw, kSlliUw,
    kAndn, kOrn, kXnor, kMin, kMinu, kMax, kMaxu, kRol, kRor, kRori, kRolw, kRorw, kRoriw,
    kClz, kCtz, kCpop, kClzw, kCtzw, kCpopw, kSextB, kSextH, kZextH, kRev8,
    // clang-format on
};

/// What the code of all harts with the same profile may take for granted.
struct Profile {
    HartTiming timing;
    /// The region that loads and stores reach without a call: the first of the configuration.
    std::uint64_t base = 0;
    std::uint64_t size = 0; ///< 0: none
    unsigned load_latency = 0;
    bool readable = false;
    bool writable = false;
    std::size_t icache_lines = 0;

    bool operator==(const Profile&) const = default;
};

/// A register whose result is there at an offset from the trace's entry (pending), or in so many
/// clocks (outstanding).
struct Late {
    std::uint8_t slot;
    std::int32_t clocks;
};
using LateList = std::vector<Late>;

/// Up to four outstanding registers, (slot + 1) << 8 | clocks each, in the order of slots; 0: none.
using EntryState = std::uint64_t;
inline constexpr std::int32_t kMaxLate = 31; ///< clocks; what is later is left to the interpreter

/// nullopt if there are too many or they come too late.
std::optional<EntryState> pack(const LateList& outstanding);
LateList unpack(EntryState state);

/// What a handler is expected to do to the clock; the translation goes on only if it did.
struct HandlerTiming {
    bool known = false;
    std::int32_t penalty = 0; ///< beyond the instruction's one clock
    std::int32_t latency = 0; ///< of `slot`; 0: no late result
    std::uint8_t slot = 0;
};

struct Step {
    Decoded insn;
    std::uint64_t pc = 0;
    Op op = Op::kHandler;
    std::int32_t before = 0; ///< offset at which the pipeline turns to the instruction
    std::int32_t issue = 0;  ///< before, or later by the stall on its operands
    std::int32_t after = 0;  ///< `before` of the next one on the fall-through path
    HandlerTiming expected;
    LateList pending;         ///< at `before`
    bool inline_jump = false; ///< a jal whose target is the next step
};

enum class TraceEnd : std::uint8_t {
    kGoto,      ///< goes on at end_pc
    kIndirect,  ///< the last step is a jalr
    kInterpret, ///< the instruction at end_pc is not the translator's
    kSystem,    ///< the last step is of kind Op::kSystem
};

struct Trace {
    std::uint64_t entry_pc = 0;
    EntryState state = 0;
    std::vector<Step> steps;
    TraceEnd end = TraceEnd::kGoto;
    std::uint64_t end_pc = 0;
    LateList pending;  ///< at the end
    bool loop = false; ///< the last step branches, or the end goes, back to the entry in its state
};

/// What is outstanding at offset `at`.
LateList outstanding(const LateList& pending, std::int32_t at);

/// The page of code that a trace lies in.
struct CodeView {
    const std::uint8_t* bytes;
    std::uint32_t len;
    std::uint64_t base; ///< guest address
};

struct TraceLimits {
    std::size_t steps = 64;
    /// Where the trace may as well end, because there is a translation; null: nowhere.
    std::function<bool(std::uint64_t pc, EntryState state)> known;
};

/// The trace from `pc`. Without steps if the first instruction is not the translator's.
Trace build_trace(const CodeView& page, std::uint64_t pc, EntryState state, const Profile& profile,
                  const TraceLimits& limits);

inline bool is_branch(Op op) {
    return op >= Op::kBeq && op <= Op::kBgeu;
}

} // namespace talus::sim::jit

#endif
