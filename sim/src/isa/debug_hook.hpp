// How a debugger stops a hart: between two instructions, with nothing of the next one done.
//
// A hart without a HartDebug pays nothing. One with it still runs at full speed between stops: the
// addresses of breakpoints are left out of its fetch windows and watched ranges out of its data
// windows, so that the dispatch loop comes by here only where there is something to ask. Neither
// changes a clock.
#ifndef TALUS_SIM_ISA_DEBUG_HOOK_HPP
#define TALUS_SIM_ISA_DEBUG_HOOK_HPP

#include <algorithm>
#include <cstdint>
#include <vector>

#include "core/types.hpp"

namespace talus::sim {

struct Watchpoint {
    std::uint64_t addr = 0; ///< as the hart addresses it
    std::uint64_t len = 0;  ///< bytes, not 0
    bool read = false;
    bool write = false;
    bool operator==(const Watchpoint&) const = default;
};

/// Where harts stop: one set for all harts of a device.
struct DebugPoints {
    std::vector<std::uint64_t> breakpoints; ///< sorted, each once
    std::vector<Watchpoint> watchpoints;

    bool breakpoint_at(std::uint64_t pc) const {
        return std::binary_search(breakpoints.begin(), breakpoints.end(), pc);
    }
    /// Shrinks the inclusive range [first, last] around pc until no breakpoint lies in it.
    /// Afterwards it may be empty (first > last).
    void exclude_breakpoints(std::uint64_t pc, std::uint64_t& first, std::uint64_t& last) const {
        const auto above = std::upper_bound(breakpoints.begin(), breakpoints.end(), pc);
        if (above != breakpoints.end()) {
            last = std::min(last, *above - 1);
        }
        if (above != breakpoints.begin()) {
            first = std::max(first, *(above - 1) + 2);
        }
    }
    /// The first watchpoint that an access meets, or null.
    const Watchpoint* watching(std::uint64_t addr, std::uint64_t len, AccessKind kind) const {
        for (const Watchpoint& point : watchpoints) {
            if ((kind == AccessKind::kLoad ? point.read : point.write) &&
                addr < point.addr + point.len && point.addr < addr + len) {
                return &point;
            }
        }
        return nullptr;
    }
    /// Shrinks [lo, hi], which contains addr, until no watched byte lies in it. false: addr itself
    /// is watched.
    bool exclude_watchpoints(std::uint64_t addr, std::uint64_t& lo, std::uint64_t& hi) const {
        for (const Watchpoint& point : watchpoints) {
            if (point.addr > addr) {
                hi = std::min(hi, point.addr - 1);
            } else if (point.addr + point.len <= addr) {
                lo = std::max(lo, point.addr + point.len);
            } else {
                return false;
            }
        }
        return true;
    }
};

/// The debugger's side. Called from within Hart::run(), on the timing thread; the state accessors
/// of the hart may be used, reset() and run() may not.
class DebugHook {
  public:
    virtual ~DebugHook() = default;

    /// The hart is about to execute the instruction at pc(): one with a breakpoint, the first one
    /// after a watched access, or any while HartDebug::every_instruction. May be called again for
    /// the same instruction when it has to wait. false: run() returns at once, runnable, with the
    /// instruction not executed (required after a change of pc, CSRs, memory or HartDebug).
    virtual bool before_instruction(HartId hart) = 0;

    /// The instruction at pc() raised a synchronous trap, which the hart is about to take. false:
    /// as above; the instruction is tried again later.
    virtual bool before_trap(HartId hart, std::uint64_t cause, std::uint64_t tval) = 0;

    /// An access met a watchpoint; the instruction goes on. before_instruction() follows.
    virtual void on_watched(HartId hart, const Watchpoint& point, std::uint64_t addr,
                            AccessKind kind) = 0;
};

/// What one hart has to look out for. Referenced by Hart::set_debug().
struct HartDebug {
    DebugHook* hook = nullptr;
    const DebugPoints* points = nullptr;
    bool every_instruction = false;
};

} // namespace talus::sim

#endif
