#include "machine.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include <fmt/format.h>

namespace talus::sim::bare {

namespace {

/// How far a hart may run ahead of the others, in clocks.
constexpr Cycle kQuantum = 64;
/// Without others: how long until the machine looks at its limit again.
constexpr Cycle kAlone = Cycle{1} << 20;

/// The 64 bytes around tohost are left out of the harts' direct memory, so that every store to it
/// comes through the port.
std::uint64_t block_of(std::uint64_t addr) {
    return addr & ~std::uint64_t{kFetchLineBytes - 1};
}

bool overlaps(std::uint64_t a, std::uint64_t a_len, std::uint64_t b, std::uint64_t b_len) {
    return a - b < b_len || b - a < a_len;
}

bool in_clint(std::uint64_t addr) {
    return addr - Clint::kBase < Clint::kSize;
}

} // namespace

Machine::Machine(const MachineOptions& options, const Memory& memory, Htif& htif,
                 Diagnostics& diagnostics)
    : options_(options), memory_(memory), htif_(htif), diagnostics_(diagnostics),
      clint_(options.harts), halted_(options.harts) {
    if (options.tohost % 8 != 0 || memory.at(options.tohost, 8) == nullptr) {
        throw std::invalid_argument(
            fmt::format("tohost at {:#x} is not 8 aligned bytes of memory", options.tohost));
    }
    const std::uint64_t block = block_of(options.tohost);
    HartConfig config;
    config.vector = options.vector;
    config.reset_pc = options.entry;
    config.code = &code_;
    for (const Memory::Range& range : memory.ranges()) {
        const auto add = [&](std::uint64_t base, std::uint64_t end) {
            if (end > base) {
                config.regions.push_back({base, end - base, range.host + (base - range.base)});
            }
        };
        if (block - range.base < range.size) {
            add(range.base, block);
            add(block + kFetchLineBytes, range.base + range.size);
        } else {
            add(range.base, range.base + range.size);
        }
    }
    for (HartId id = 0; id < options.harts; ++id) {
        config.id = id;
        harts_.push_back(std::make_unique<Hart>(config, *this));
    }
}

Cycle Machine::next_time(HartId id) const {
    const Hart& hart = *harts_[id];
    if (hart.runnable()) {
        return hart.now();
    }
    std::uint64_t mip = 0;
    hart.read_csr(0x344, mip);
    const bool fired = mip >> irq::kMachineTimer & 1; // and did not wake the hart, so it will not
    return hart.state() == StopReason::kWfi && !fired ? std::max(hart.now(), clint_.timer_at(id))
                                                      : kNever;
}

void Machine::update_interrupts(Cycle now) {
    for (HartId id = 0; id < harts_.size(); ++id) {
        harts_[id]->set_interrupt(irq::kMachineSoftware, clint_.software(id), now);
        harts_[id]->set_interrupt(irq::kMachineTimer, clint_.timer(id, now), now);
    }
}

Outcome Machine::run() {
    for (;;) {
        // The hart that is furthest behind, and how far it may go before the next one's turn.
        HartId turn = 0;
        Cycle others = kNever;
        for (HartId id = 1; id < harts_.size(); ++id) {
            if (next_time(id) < next_time(turn)) {
                turn = id;
            }
        }
        for (HartId id = 0; id < harts_.size(); ++id) {
            others = id == turn ? others : std::min(others, next_time(id));
        }
        const Cycle start = next_time(turn);
        if (start == kNever) {
            return stuck();
        }
        Hart& hart = *harts_[turn];
        hart.set_interrupt(irq::kMachineTimer, clint_.timer(turn, start), start);
        if (!hart.runnable()) {
            continue; // waits on: that interrupt is not enabled
        }
        Cycle until = start + (others == kNever ? kAlone : kQuantum);
        if (clint_.timer_at(turn) > start) {
            until = std::min(until, clint_.timer_at(turn));
        }
        if (options_.max_instructions != 0) {
            const std::uint64_t done = retired();
            if (done >= options_.max_instructions) {
                return {Outcome::Kind::kLimit, 0, ""};
            }
            // An instruction takes at least a clock, so the limit is exact.
            until = std::min(until, start + (options_.max_instructions - done));
        }
        if (clint_store_ == turn) {
            until = start + 1;
        }
        if (hart.run(until, others == kNever ? kNever : start) == StopReason::kBlocked) {
            hart.wake(hart.now());
        }
        htif_.settle(hart.now());
        if (htif_.exit_code()) {
            return {Outcome::Kind::kExit, *htif_.exit_code(), ""};
        }
    }
}

Outcome Machine::stuck() const {
    std::string why;
    for (HartId id = 0; id < harts_.size(); ++id) {
        why += fmt::format("{}hart {} {}", id == 0 ? "" : "; ", id,
                           halted_[id].empty()
                               ? fmt::format("waits at {} for an interrupt that nothing will raise",
                                             diagnostics_.pc(harts_[id]->pc()))
                               : halted_[id]);
    }
    return {Outcome::Kind::kStuck, 0, why};
}

std::uint64_t Machine::retired() const {
    std::uint64_t sum = 0;
    for (const auto& hart : harts_) {
        sum += hart->retired();
    }
    return sum;
}

Cycle Machine::now() const {
    Cycle latest = 0;
    for (const auto& hart : harts_) {
        latest = std::max(latest, hart->now());
    }
    return latest;
}

// --- HartPort ------------------------------------------------------------------------------------

OpResult Machine::load(HartId, Cycle now, std::uint64_t addr, void* data, unsigned len) {
    if (const std::uint8_t* at = memory_.at(addr, len)) {
        std::memcpy(data, at, len);
        return OpResult::ok(now + DirectRegion{}.load_latency);
    }
    std::uint64_t value = 0;
    if (in_clint(addr) && clint_.read(now, addr - Clint::kBase, len, value)) {
        std::memcpy(data, &value, len);
        return OpResult::ok(now + 1);
    }
    return OpResult::trap(cause::kLoadAccess, addr);
}

OpResult Machine::store(HartId hart, Cycle now, std::uint64_t addr, const void* data,
                        unsigned len) {
    if (std::uint8_t* at = memory_.at(addr, len)) {
        std::memcpy(at, data, len);
        return after_store(now, addr, len);
    }
    std::uint64_t value = 0;
    std::memcpy(&value, data, std::min<std::size_t>(len, sizeof value));
    if (in_clint(addr) && clint_store_ != hart) {
        // It may set a timer to before the end of this run(), so it gets one of its own.
        clint_store_ = hart;
        return OpResult::blocked();
    }
    if (in_clint(addr) && clint_.write(now, addr - Clint::kBase, len, value)) {
        clint_store_.reset();
        update_interrupts(now);
        return OpResult::ok(now + 1);
    }
    return OpResult::trap(cause::kStoreAccess, addr);
}

OpResult Machine::after_store(Cycle now, std::uint64_t addr, std::uint64_t len) {
    if (overlaps(addr, len, reserved_addr_, 8)) {
        reserved_by_.reset();
    }
    if (overlaps(addr, len, options_.tohost, 8)) {
        const std::uint64_t first = std::max(addr, options_.tohost);
        htif_.stored(now, first - options_.tohost, addr + len - first);
        if (htif_.exit_code()) {
            return OpResult::blocked(); // the program has ended: nothing executes any more
        }
    }
    return OpResult::ok(now + 1);
}

OpResult Machine::amo(HartId hart, Cycle now, const AmoRequest& request) {
    std::uint8_t* at = memory_.at(request.addr, request.len);
    if (at == nullptr) {
        return OpResult::trap(request.op == AmoOp::kLr ? cause::kLoadAccess : cause::kStoreAccess,
                              request.addr);
    }
    std::uint64_t old_value = 0;
    std::memcpy(&old_value, at, request.len);
    if (request.op == AmoOp::kLr) {
        reserved_by_ = hart;
        reserved_addr_ = request.addr;
        return OpResult::with_value(now + 1, old_value);
    }
    if (request.op == AmoOp::kSc) {
        const bool success = reserved_by_ == hart && reserved_addr_ == request.addr;
        reserved_by_.reset();
        if (!success) {
            return OpResult::with_value(now + 1, 1);
        }
    }
    const std::uint64_t updated = amo_result(request.op, request.len, old_value, request.operand);
    std::memcpy(at, &updated, request.len);
    OpResult result = after_store(now, request.addr, request.len);
    result.value = request.op == AmoOp::kSc ? 0 : old_value;
    return result;
}

OpResult Machine::cbo(HartId, Cycle now, CboOp, std::uint64_t addr) {
    return memory_.at(block_of(addr), kFetchLineBytes) != nullptr
               ? OpResult::ok(now + 1)
               : OpResult::trap(cause::kStoreAccess, addr);
}

OpResult Machine::fence(HartId, Cycle now, unsigned, unsigned, bool) {
    return OpResult::ok(now + 1);
}

FetchWindow Machine::fetch_window(HartId, std::uint64_t addr) {
    const std::uint64_t block = block_of(addr);
    return {memory_.at(block, kFetchLineBytes), block, kFetchLineBytes, true};
}

OpResult Machine::fetch_miss(HartId, Cycle now, std::uint64_t) {
    return OpResult::ok(now + 1);
}

OpResult Machine::custom(HartId, Cycle, const CustomInsn& insn) {
    return OpResult::trap(cause::kIllegalInstruction, insn.raw);
}

std::uint64_t Machine::time(HartId, Cycle now) {
    return clint_.mtime(now);
}
bool Machine::csr_read(HartId, Cycle, unsigned, std::uint64_t&) {
    return false;
}
bool Machine::csr_write(HartId, Cycle, unsigned, std::uint64_t) {
    return false;
}

void Machine::on_trap(HartId hart, const TrapInfo& info) {
    diagnostics_.set_clock(info.now);
    const std::string text = fmt::format(
        "{} {} at pc {}, tval {:#x}", (info.cause & cause::kInterrupt) ? "interrupt" : "trap",
        info.cause & ~cause::kInterrupt, diagnostics_.pc(info.pc), info.tval);
    diagnostics_.info("hart {}: {}", hart, text);
    if (info.unhandled) {
        halted_[hart] = "halted: " + text + ", and mtvec is 0";
    }
}

} // namespace talus::sim::bare
