// One RISC-V hart: RV64IMAFDC_Zicsr_Zifencei_Zicntr_Zicbom_Zba_Zbb_Zfh, and V 1.0 + Zvfh (VLEN=512,
// ELEN=64) where configured; machine and user mode, 16 PMP entries.
//
// A hart runs ahead of the rest of the chip: plain accesses to its *direct* regions neither call
// out nor synchronise. Everything that another unit can observe (AMOs, fences, accesses outside the
// direct regions, custom instructions, cbo.*, instruction-cache misses, WFI, reads of `time` and of
// port-owned CSRs) is executed only when global time has reached the hart's own clock; until then
// run() returns kSync with the instruction not yet executed. So the order in which shared things
// happen depends on simulated time alone.
//
// Not thread-safe: all harts of a device and their port belong to the timing thread.
#ifndef TALUS_SIM_ISA_HART_HPP
#define TALUS_SIM_ISA_HART_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/checkpoint.hpp"
#include "core/types.hpp"
#include "isa/commit.hpp"
#include "isa/debug_hook.hpp"
#include "isa/memory_guard.hpp"
#include "isa/timing.hpp"

namespace talus::sim {

/// Vector register length of the harts that have V.
inline constexpr unsigned kVlenBits = 512;
inline constexpr unsigned kVlenBytes = kVlenBits / 8;

/// The instruction cache's line and the unit of fetch_miss().
inline constexpr unsigned kFetchLineBytes = 64;

/// Synchronous trap causes (mcause without the interrupt bit). A port may deliver these and the
/// custom causes 24..63.
namespace cause {
inline constexpr std::uint64_t kFetchMisaligned = 0;
inline constexpr std::uint64_t kFetchAccess = 1;
inline constexpr std::uint64_t kIllegalInstruction = 2;
inline constexpr std::uint64_t kBreakpoint = 3;
inline constexpr std::uint64_t kLoadMisaligned = 4;
inline constexpr std::uint64_t kLoadAccess = 5;
inline constexpr std::uint64_t kStoreMisaligned = 6;
inline constexpr std::uint64_t kStoreAccess = 7;
inline constexpr std::uint64_t kEcallFromU = 8;
inline constexpr std::uint64_t kEcallFromM = 11;
inline constexpr std::uint64_t kHardwareError = 19; ///< the memory's ECC gave up on what was read
inline constexpr std::uint64_t kInterrupt = std::uint64_t{1} << 63;
} // namespace cause

/// Bits of mip/mie. 16 and above are local interrupts; a higher bit has a higher priority, and all
/// local interrupts come before the standard ones (which rank MEI, MSI, MTI).
namespace irq {
inline constexpr unsigned kMachineSoftware = 3;
inline constexpr unsigned kMachineTimer = 7;
inline constexpr unsigned kMachineExternal = 11;
inline constexpr unsigned kLocalFirst = 16;
inline constexpr unsigned kLocalLast = 31;
} // namespace irq

/// What became of an operation that the hart handed to its port.
enum class OpStatus : std::uint8_t {
    kDone,    ///< carried out
    kBlocked, ///< has to wait; it had no effect and is retried after Hart::wake()
    kTrap,    ///< raises `cause` with `tval`; it had no effect
};

struct OpResult {
    OpStatus status = OpStatus::kDone;
    bool writes_rd = false; ///< custom(): rd receives `value`; other operations ignore it
    Cycle done = 0;         ///< kDone: when the result is there (clamped to at least now + 1)
    std::uint64_t value =
        0; ///< custom(): rd; amo(): the old value, or SC's 0/1 (sign-extended by the hart)
    std::uint64_t cause = 0; ///< kTrap
    std::uint64_t tval = 0;  ///< kTrap

    static OpResult ok(Cycle done) { return {OpStatus::kDone, false, done, 0, 0, 0}; }
    static OpResult with_value(Cycle done, std::uint64_t value) {
        return {OpStatus::kDone, true, done, value, 0, 0};
    }
    static OpResult blocked() { return {OpStatus::kBlocked, false, 0, 0, 0, 0}; }
    static OpResult trap(std::uint64_t cause, std::uint64_t tval) {
        return {OpStatus::kTrap, false, 0, 0, cause, tval};
    }
};

enum class AmoOp : std::uint8_t {
    kLr,
    kSc,
    kSwap,
    kAdd,
    kXor,
    kAnd,
    kOr,
    kMin,
    kMax,
    kMinu,
    kMaxu
};

struct AmoRequest {
    AmoOp op;
    std::uint8_t len; ///< 4 or 8; addr is a multiple of it
    bool acquire;
    bool release;
    std::uint64_t addr;
    std::uint64_t operand; ///< rs2; for len 4 only the low half counts
};

/// The value that an AMO (not LR) leaves in memory, from the old one; both zero-extended for len 4.
std::uint64_t amo_result(AmoOp op, unsigned len, std::uint64_t old_value, std::uint64_t operand);

enum class CboOp : std::uint8_t { kInval, kClean, kFlush };

/// An instruction of opcode custom-0 (0x0B) or custom-1 (0x2B), R-type.
struct CustomInsn {
    std::uint32_t raw;   ///< the whole instruction
    std::uint8_t opcode; ///< 0x0B or 0x2B
    std::uint8_t funct3;
    std::uint8_t funct7;
    std::uint8_t rd;  ///< register number; the port's result says whether it is written
    std::uint8_t rs1; ///< register numbers, for fields that are used as immediates
    std::uint8_t rs2;
    bool user_mode;
    std::uint64_t pc;
    std::uint64_t rs1_value;
    std::uint64_t rs2_value;
};

/// Executable memory outside the direct regions, as the hart may read instructions from it.
struct FetchWindow {
    const std::uint8_t* host = nullptr; ///< the byte at `base`; null: not executable (access fault)
    std::uint64_t base = 0;             ///< device address, a multiple of 64
    std::uint64_t size = 0;             ///< bytes, a multiple of 64
    bool free = false;                  ///< fetches cost nothing and bypass the instruction cache
};

struct TrapInfo {
    std::uint64_t cause; ///< with cause::kInterrupt for an interrupt
    std::uint64_t pc;    ///< mepc
    std::uint64_t tval;
    Cycle now;
    bool user_mode; ///< the mode that the trap was taken from
    bool unhandled; ///< mtvec was 0: the hart halts
};

/// What a hart sees of the world; the SoC implements it. Every call gets the hart's id and clock;
/// all but on_trap() are made at `now <= global time` only. Addresses are the hart's.
class HartPort {
  public:
    virtual ~HartPort() = default;

    /// Accesses outside the direct regions. `len` is 1, 2, 4 or 8 for scalar accesses (naturally
    /// aligned or not; the port may raise kLoadMisaligned); vector accesses come as pieces of at
    /// most 64 bytes that do not cross a 64-byte line. For load, `done` is when the data is there
    /// (the hart stalls on use); for store, when the hart may go on.
    virtual OpResult load(HartId hart, Cycle now, std::uint64_t addr, void* data, unsigned len) = 0;
    virtual OpResult store(HartId hart, Cycle now, std::uint64_t addr, const void* data,
                           unsigned len) = 0;

    /// Atomics outside the direct regions. The port owns the reservations of its memory.
    virtual OpResult amo(HartId hart, Cycle now, const AmoRequest& request) = 0;

    /// Cache-block operation on the 64-byte block that contains addr.
    virtual OpResult cbo(HartId hart, Cycle now, CboOp op, std::uint64_t addr) = 0;

    /// fence pred,succ (4 bits each: I O R W), after the hart's own vector unit drained.
    /// fence.i arrives as pred = succ = 0 with `instruction` set, after the hart forgot its fetched
    /// instructions.
    virtual OpResult fence(HartId hart, Cycle now, unsigned pred, unsigned succ,
                           bool instruction) = 0;

    /// The window of executable memory around addr. It must stay valid and constant until
    /// Hart::forget_fetch_windows() or reset.
    virtual FetchWindow fetch_window(HartId hart, std::uint64_t addr) = 0;

    /// An instruction-cache line (64-byte aligned) is fetched; the hart goes on at `done`.
    virtual OpResult fetch_miss(HartId hart, Cycle now, std::uint64_t line_addr) = 0;

    virtual OpResult custom(HartId hart, Cycle now, const CustomInsn& insn) = 0;

    /// The `time` CSR.
    virtual std::uint64_t time(HartId hart, Cycle now) = 0;

    /// CSRs in the custom ranges (0x7C0-0x7FF, 0x800-0x8FF, 0xBC0-0xBFF, 0xCC0-0xCFF,
    /// 0xFC0-0xFFF). Privilege and read-only-ness by number are already checked. false: no such CSR
    /// (illegal instruction).
    virtual bool csr_read(HartId hart, Cycle now, unsigned csr, std::uint64_t& value) = 0;
    virtual bool csr_write(HartId hart, Cycle now, unsigned csr, std::uint64_t value) = 0;

    /// Every trap and interrupt taken, for diagnostics; may come ahead of global time.
    virtual void on_trap(HartId hart, const TrapInfo& info) = 0;
};

/// Memory that no other unit orders against: own PE local memory, control SRAM. Plain loads, stores
/// and fetches go straight to host memory. AMOs and LR/SC synchronise, then act on it directly.
struct DirectRegion {
    std::uint64_t base = 0; ///< a multiple of 64
    std::uint64_t size = 0; ///< bytes, a multiple of 64
    std::uint8_t* host = nullptr;
    bool readable = true;
    bool writable = true;
    bool executable = true;
    bool free_fetch = true;    ///< fetches do not go through the instruction cache (ROM, TCM)
    unsigned load_latency = 2; ///< clocks from issue of a load to use of its result
};

/// Decoded instructions, keyed by host address; to be shared by the harts of one device, so that
/// code that many harts run is decoded once. Entries keep a copy of the bytes they came from, and
/// are compared with memory again after invalidate().
class CodeCache {
  public:
    CodeCache();
    ~CodeCache();
    CodeCache(const CodeCache&) = delete;
    CodeCache& operator=(const CodeCache&) = delete;

    /// Code may have changed (DMA into executable memory, boot): compare before the next use of
    /// each page. Cheap; a hart sees it at the latest when it next leaves a 64-byte line or run()
    /// returns.
    void invalidate();

    /// Of the translator: pieces of code translated so far (never less), and host code held now.
    struct Translations {
        std::uint64_t count = 0;
        std::size_t bytes = 0;
    };
    Translations translations() const;

    struct Impl;
    Impl& impl() { return *impl_; }

  private:
    std::unique_ptr<Impl> impl_;
};

struct HartConfig {
    HartId id = 0;
    bool vector = false;
    std::uint64_t reset_pc = 0;
    unsigned icache_bytes = 16 * 1024; ///< direct-mapped tags, power of two; 0: every line misses
    std::vector<DirectRegion> regions;
    HartTiming timing;
    CodeCache* code = nullptr; ///< shared, outlives the hart; null: a private one
    /// Translates code that runs often to host code (x86-64 with BMI2; elsewhere the interpreter
    /// does everything). Results and clocks are the same.
    bool translator = true;
    unsigned translate_after = 16; ///< arrivals at an entry before it is translated, at most 255
    std::size_t translation_bytes = std::size_t{64} << 20; ///< host code; beyond, all is dropped
};

enum class StopReason : std::uint8_t {
    kUntil,   ///< now() >= until
    kSync,    ///< a shared operation waits for global time to reach now()
    kBlocked, ///< an operation of the port has to wait; Hart::wake() retries it
    kWfi,     ///< waits for an interrupt that mie enables
    kHalted,  ///< took a trap without a handler (mtvec == 0); only reset() ends it
};

class Hart {
  public:
    /// `port` outlives the hart. The hart starts in reset() state at time 0.
    Hart(const HartConfig& config, HartPort& port);
    ~Hart();
    Hart(const Hart&) = delete;
    Hart& operator=(const Hart&) = delete;

    /// Executes until now() >= until or a stop (see StopReason). Precise: at return every
    /// instruction before pc() has executed and none from pc() on. An instruction that began before
    /// `until` may carry the clock past it. `global_now` is the time up to which shared operations
    /// may execute.
    StopReason run(Cycle until, Cycle global_now);

    /// Executes one instruction (or takes one trap), shared or not.
    StopReason step();

    /// Architectural reset at time `now`; registers 0, machine mode, pc = reset_pc or as given.
    /// From inside a port call it takes effect when that call returns, and run() then returns.
    void reset(Cycle now);
    void reset(Cycle now, std::uint64_t pc);

    HartId id() const;
    /// The hart's own clock. While it waits (kWfi, kBlocked) it stands at the start of the wait.
    Cycle now() const;
    /// The state that the last run() ended in; kUntil while runnable.
    StopReason state() const;
    bool runnable() const;

    /// Sets mip bit `bit` (3, 7, 11, 16..31) to `level` at time `when`. A hart in WFI (any bit
    /// enabled in mie) or blocked (only if the interrupt is taken) becomes runnable and its clock
    /// moves to at least `when`. Returns true if the hart became runnable by it.
    bool set_interrupt(unsigned bit, bool level, Cycle when);

    /// The port lets a blocked operation retry at time `when`. No effect on a hart that is not
    /// blocked. Returns true if the hart became runnable by it.
    bool wake(Cycle when);

    /// The port's fetch windows moved, or executable memory was remapped.
    void forget_fetch_windows();
    /// Executable memory at [addr, addr + len) was written by another unit: drops decoded
    /// instructions and instruction-cache lines there.
    void invalidate_code(std::uint64_t addr, std::uint64_t len);

    /// Stops for a debugger; null: none. `debug` outlives its use. To be called again after every
    /// change of what it refers to. Takes no time and changes none.
    void set_debug(const HartDebug* debug);
    /// Direct memory has damaged words; null: none has. The hart is interpreted meanwhile, to the
    /// same clocks. Outlives its use.
    void set_guard(MemoryGuard* guard);
    /// Tells `observer` of every retired instruction whose pc is in [first, last]; null: nobody.
    /// The hart is interpreted meanwhile, to the same results and clocks. Outlives its use.
    void set_commit_observer(CommitObserver* observer, std::uint64_t first = 0,
                             std::uint64_t last = ~std::uint64_t{0});
    /// Ends WFI without an interrupt, as the architecture permits; at time `when`. false: the hart
    /// was not in WFI.
    bool leave_wfi(Cycle when);
    /// Instruction-cache lines: how many hold something, and how many there are.
    std::pair<unsigned, unsigned> icache_lines() const;

    // State, for tests, debuggers and crash dumps; not while inside a port call.
    std::uint64_t pc() const;
    void set_pc(std::uint64_t pc);
    std::uint64_t x(unsigned index) const;
    void set_x(unsigned index, std::uint64_t value);
    std::uint64_t f(unsigned index) const; ///< raw, NaN-boxed
    void set_f(unsigned index, std::uint64_t value);
    std::span<std::uint8_t, kVlenBytes> v(unsigned index);
    bool user_mode() const;
    /// CSRs by number, without privilege checks and without side effects of the port; false:
    /// absent.
    bool read_csr(unsigned csr, std::uint64_t& value) const;
    bool write_csr(unsigned csr, std::uint64_t value);
    /// Instructions retired since reset, whatever the guest wrote to minstret.
    std::uint64_t retired() const;

    /// Architectural state, pipeline and instruction-cache tags. Not while inside run(); LR/SC
    /// reservations end.
    void checkpoint(Checkpoint& state);

    struct Core;

  private:
    std::unique_ptr<Core> core_;
};

} // namespace talus::sim

#endif
