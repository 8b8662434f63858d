// The hart's state and the operations that instruction handlers share. Private to sim/src/isa.
#ifndef TALUS_SIM_ISA_CORE_HPP
#define TALUS_SIM_ISA_CORE_HPP

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "decode.hpp"
#include "hart.hpp"

namespace talus::sim {

/// What a handler leaves for the dispatch loop besides the architectural state.
enum class HartEvent : std::uint8_t {
    kNone,
    kTrap,    ///< the instruction raised trap_cause/trap_tval and did not retire
    kStop,    ///< the instruction did not execute; run() ends with stop_reason
    kRecheck, ///< it retired; interrupts may have become takeable
    kRetire,  ///< it retired, and run() ends with stop_reason
    kReset,   ///< a port call reset the hart: what the instruction did is undone
};

enum class Privilege : std::uint8_t { kUser = 0, kMachine = 3 };

namespace mstatus {
inline constexpr std::uint64_t kMie = 1u << 3;
inline constexpr std::uint64_t kMpie = 1u << 7;
inline constexpr std::uint64_t kVs = 3u << 9;
inline constexpr std::uint64_t kMpp = 3u << 11;
inline constexpr std::uint64_t kFs = 3u << 13;
inline constexpr std::uint64_t kMprv = 1u << 17;
inline constexpr std::uint64_t kTw = 1u << 21;
inline constexpr std::uint64_t kUxl64 = std::uint64_t{2} << 32;
inline constexpr std::uint64_t kSd = std::uint64_t{1} << 63;
} // namespace mstatus

inline constexpr unsigned kPmpEntries = 16;

/// A range of device addresses that the fast path may access without any further check. `span` is
/// the number of *start* addresses from which an access of 8 bytes stays inside.
struct DataWindow {
    std::uint64_t base = 0;
    std::uint64_t span = 0;
    std::uint8_t* host = nullptr;
    unsigned latency = 0;
};

struct CodePage;
class CommitRecorder;
namespace jit {
struct Profile;
}

struct alignas(64) Hart::Core {
    // Touched by every instruction.
    Cycle now = 0;
    Cycle until = 0;
    Cycle max_ready = 0; ///< no register is outstanding beyond this
    std::uint64_t pc = 0;
    std::uint64_t npc = 0; ///< preset to the next instruction; branches overwrite it
    std::uint64_t window_base = 0;
    std::uint64_t window_len = 0;
    Decoded* window = nullptr;
    CodePage* window_page = nullptr; ///< owns the slots that refill() hands out
    std::uint64_t retired = 0;
    HartEvent event = HartEvent::kNone;
    bool irq_check = true;
    bool fp_on = false; ///< mstatus.FS != 0
    bool v_on = false;  ///< V configured and mstatus.VS != 0
    StopReason stop_reason = StopReason::kUntil;
    DataWindow read_window;
    DataWindow write_window;
    std::array<std::uint64_t, 33> x{}; ///< x[kSink] takes writes to x0
    std::array<std::uint64_t, 32> f{};
    std::array<Cycle, kHazardSlots> ready{};
    Cycle vector_busy = 0; ///< the vector unit is free from here on
    Cycle global_now = 0;
    HartTiming timing;

    // Floating point.
    std::uint8_t fflags = 0;
    std::uint8_t frm = 0;

    // Vector. vill is vtype's top bit; then vl = vlmax = 0.
    std::uint8_t vsew = 0; ///< log2 of the element's bytes
    std::int8_t vlmul = 0; ///< log2 of LMUL, -3..3
    bool vill = true;
    bool vta = false;
    bool vma = false;
    std::uint8_t vxrm = 0;
    bool vxsat = false;
    std::uint64_t vl = 0;
    std::uint64_t vstart = 0;
    alignas(64) std::array<std::uint8_t, 32 * kVlenBytes> v{};

    // Machine state.
    Privilege mode = Privilege::kMachine;
    StopReason state = StopReason::kUntil;
    std::uint64_t mstatus = 0;
    std::uint64_t mie = 0;
    std::uint64_t mip = 0;
    std::uint64_t mtvec = 0;
    std::uint64_t mscratch = 0;
    std::uint64_t mepc = 0;
    std::uint64_t mcause = 0;
    std::uint64_t mtval = 0;
    std::uint64_t mcounteren = 0;
    std::uint64_t mcountinhibit = 0;
    std::uint64_t menvcfg = 0;
    std::uint64_t mcycle_offset = 0; ///< mcycle = now + offset, or the frozen value when inhibited
    std::uint64_t minstret_offset = 0; ///< likewise over retired
    std::array<std::uint8_t, kPmpEntries> pmpcfg{};
    std::array<std::uint64_t, kPmpEntries> pmpaddr{};
    bool pmp_locked = false; ///< some entry binds machine mode as well

    std::uint64_t trap_cause = 0;
    std::uint64_t trap_tval = 0;

    // Reservation of LR on direct memory.
    bool reserved = false;
    std::uint8_t reserved_len = 0;
    std::uint64_t reserved_addr = 0;
    std::uint64_t reserved_value = 0;

    // Fetch.
    struct PageRef {
        std::uint64_t base = ~std::uint64_t{0};
        CodePage* page = nullptr;
    };
    std::array<PageRef, 16> pages{};
    FetchWindow port_window;
    std::vector<std::uint64_t> icache; ///< line address | 1, or 0
    Decoded scratch{};                 ///< an instruction across two pages
    bool running = false; ///< inside run(): a reset has to wait for the port call to return
    Cycle reset_when = 0;
    std::uint64_t reset_at = 0;
    std::uint64_t code_epoch = 0;
    std::uint64_t code_generation = 0;
    std::uint64_t fetch_version = 0; ///< changes with whatever a pc's code depends on

    // Translated code (jit/translator.hpp).
    struct JumpTarget {
        std::uint64_t pc = 1; ///< odd: none
        const void* code = nullptr;
    };
    static constexpr unsigned kJumpTargets = 512;
    const jit::Profile* profile = nullptr; ///< null: everything is interpreted
    bool at_entry = true;               ///< the pc is not an arbitrary place that time ran out at
    std::int64_t budget = 0;            ///< limit - now where the running trace began
    Cycle limit = 0;                    ///< until, or less
    JumpTarget* jump_targets = nullptr; ///< by pc, for jumps that leave the page
    std::uint8_t* primary_memory = nullptr; ///< of the first direct region
    const std::uint64_t* icache_tags = nullptr;
    const void* leave_code = nullptr;
    std::vector<JumpTarget> jump_table;
    struct FoundCode { // what the dispatcher found lately, apart from those
        std::uint64_t pc = 1;
        std::uint64_t state = 0;
        std::uint64_t variant = 0;
        const void* code = nullptr;
    };
    std::vector<FoundCode> found_code;
    std::uint64_t jump_epoch = 0; ///< what the two hold for
    std::uint64_t jump_generation = 0;
    std::uint64_t jump_fetch_version = 0;

    // Debugging.
    const HartDebug* debug = nullptr;
    bool watch_hit = false;                 ///< before_instruction() is due
    std::unique_ptr<CommitRecorder> commit; ///< null: nobody asks

    MemoryGuard* guard = nullptr; ///< direct memory has damaged words

    HartConfig config;
    HartPort& port;
    std::unique_ptr<CodeCache> own_code;
    CodeCache::Impl* code = nullptr;

    Core(const HartConfig& cfg, HartPort& p);
    ~Core();

    // hart.cpp
    StopReason run(Cycle until_, Cycle global);
    void reset(Cycle when, std::uint64_t at);
    /// Runs interpreted or translated code up to `until` or an event.
    bool interpret();
    template <bool Recorded, class Enough>
    bool interpret_until(Enough enough);
    void run_translated();
    bool may_translate() const {
        return profile && !debug && !commit && !guard && !pmp_binds(mode) &&
               !pmp_binds(data_mode());
    }

    /// Asks the debugger where it may want to stop. false: run() returns.
    bool debug_gate();
    /// Keeps watched bytes out of a data window around addr and tells the debugger of a hit.
    void debug_access(std::uint64_t addr, std::uint64_t len, AccessKind kind);

    // fetch.cpp
    const Decoded* refill();
    void drop_fetch_state();
    /// The page of code at the pc, its guest address, and whether its fetches are free; null where
    /// there is none. Ignores PMP and the instruction cache.
    CodePage* code_page(std::uint64_t& base, bool& free);

    // trap.cpp
    void enter_trap(std::uint64_t cause, std::uint64_t tval);
    bool take_interrupt();
    std::uint64_t pending_interrupt() const; ///< the cause number + 1 of the one to take, or 0
    void set_mode(Privilege to);
    bool pmp_binds(Privilege who) const { return who == Privilege::kUser || pmp_locked; }
    Privilege data_mode() const {
        return (mstatus & mstatus::kMprv) ? Privilege((mstatus & mstatus::kMpp) >> 11) : mode;
    }
    /// Whether [addr, addr+len) may be accessed; shrinks [lo, hi] to where the answer is the same.
    bool pmp_allows(std::uint64_t addr, std::uint64_t len, AccessKind kind, Privilege who,
                    std::uint64_t& lo, std::uint64_t& hi) const;

    // memory.cpp: false = an event was raised.
    bool load_slow(std::uint64_t addr, void* data, unsigned len, Cycle& ready_at);
    bool store_slow(std::uint64_t addr, const void* data, unsigned len);
    bool amo(const AmoRequest& request, std::uint64_t& old_value, Cycle& ready_at);
    const DirectRegion* find_region(std::uint64_t addr) const;
    /// Before an access to direct memory while there is a guard; [lo, hi] shrinks to what is not
    /// damaged.
    bool pass_guard(const DirectRegion& region, std::uint64_t addr, std::uint64_t len,
                    AccessKind kind, std::uint64_t& lo, std::uint64_t& hi);
    void drop_data_windows() { read_window.span = write_window.span = 0; }

    // csr.cpp: false = no such CSR or no right.
    bool csr_read(unsigned csr, std::uint64_t& value);
    bool csr_write(unsigned csr, std::uint64_t value);
    std::uint64_t mstatus_value() const;
    void set_mstatus(std::uint64_t value);
    void update_units();

    // vector_config.cpp
    std::uint64_t vtype_value() const;
    void set_vtype(std::uint64_t vtype);
    std::uint64_t vlmax() const;

    void raise(std::uint64_t cause_, std::uint64_t tval) {
        event = HartEvent::kTrap;
        trap_cause = cause_;
        trap_tval = tval;
    }
    void illegal(const Decoded& d) {
        raise(cause::kIllegalInstruction,
              d.len == 2 ? std::uint64_t{d.compressed} : std::uint64_t{d.raw});
    }
    void stop(StopReason why) {
        event = HartEvent::kStop;
        stop_reason = why;
    }
    /// A shared operation is about to execute.
    bool sync_point() {
        if (now > global_now) [[unlikely]] {
            stop(StopReason::kSync);
            return false;
        }
        return true;
    }
    /// Takes over a port's result; false: an event was raised.
    bool accept(const OpResult& result) {
        if (event == HartEvent::kReset) [[unlikely]]
            return false;
        if (result.status == OpStatus::kDone) [[likely]]
            return true;
        if (result.status == OpStatus::kBlocked)
            stop(StopReason::kBlocked);
        else
            raise(result.cause, result.tval);
        return false;
    }
    /// The instruction must not go on: it waits, or the hart was reset under it.
    bool interrupted() const { return event == HartEvent::kStop || event == HartEvent::kReset; }
    void drain_vector() { now = std::max(now, vector_busy); }
    void result_at(unsigned slot, Cycle when) {
        ready[slot] = when;
        max_ready = std::max(max_ready, when);
    }
    void take_branch(std::uint64_t target) {
        npc = target;
        now += timing.taken_branch_penalty;
    }
    void fp_dirty() { mstatus |= mstatus::kFs; }
    void v_dirty() { mstatus |= mstatus::kVs; }

    std::uint8_t* vreg(unsigned index) { return v.data() + index * kVlenBytes; }

    template <class T>
    bool load(std::uint64_t addr, T& value, Cycle& ready_at) {
        const std::uint64_t offset = addr - read_window.base;
        if (offset < read_window.span) [[likely]] {
            std::memcpy(&value, read_window.host + offset, sizeof value);
            ready_at = now + read_window.latency;
            if (addr & (sizeof value - 1)) [[unlikely]]
                now += timing.misaligned_penalty;
            return true;
        }
        return load_slow(addr, &value, sizeof value, ready_at);
    }
    template <class T>
    bool store(std::uint64_t addr, T value) {
        const std::uint64_t offset = addr - write_window.base;
        if (offset < write_window.span) [[likely]] {
            std::memcpy(write_window.host + offset, &value, sizeof value);
            if (addr & (sizeof value - 1)) [[unlikely]]
                now += timing.misaligned_penalty;
            return true;
        }
        return store_slow(addr, &value, sizeof value);
    }
};

using Core = Hart::Core;

} // namespace talus::sim

#endif
