// Custom-1: contexts, circular buffers, semaphores, drain; waiting cores; reports of what waits.
#include <algorithm>

#include <fmt/format.h>

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"

#include "command_processor.hpp"

namespace talus::sim {

namespace {

std::uint32_t low(std::uint64_t pair) {
    return static_cast<std::uint32_t>(pair);
}
std::uint32_t high(std::uint64_t pair) {
    return static_cast<std::uint32_t>(pair >> 32);
}

OpResult malformed(const CustomInsn& insn) {
    return OpResult::trap(TALUS_TRAP_CP_COMMAND, insn.raw);
}
OpResult misuse(std::uint64_t cb) {
    return OpResult::trap(TALUS_TRAP_CB, cb);
}

} // namespace

OpResult CommandProcessor::retire(unsigned core, Cycle now) {
    cores_[core].wait = {};
    cores_[core].wait_expired = false;
    return OpResult::ok(now + shared_.config.cp.sync_clocks);
}

OpResult CommandProcessor::retire_with(unsigned core, Cycle now, std::uint64_t value) {
    retire(core, now);
    return OpResult::with_value(now + shared_.config.cp.sync_clocks, value);
}

OpResult CommandProcessor::block(unsigned core, Cycle now, const CustomInsn& insn,
                                 const Wait& wait) {
    CoreState& state = cores_[core];
    const bool on_cb = wait.reason == Reason::kData || wait.reason == Reason::kSpace;
    if (state.wait_expired && on_cb) {
        state.wait = {};
        state.wait_expired = false;
        return OpResult::trap(TALUS_TRAP_CP_STALL, wait.object);
    }
    if (state.wait.reason == Reason::kNone) {
        state.wait_since = now;
        state.wait_number = next_wait_++;
        state.wait_expired = false;
        if (on_cb && stall_limit_ != 0) {
            schedule(now + stall_limit_, kCoreStall, core, state.wait_number);
        }
    }
    state.wait = wait;
    state.wait_pc = insn.pc;
    return OpResult::blocked();
}

OpResult CommandProcessor::synchronous(unsigned core, Cycle now, const CustomInsn& insn) {
    CoreState& state = cores_[core];
    const std::uint32_t code = static_cast<std::uint32_t>(insn.funct3) << 8 | insn.funct7;
    const std::uint64_t a = insn.rs1_value;
    const std::uint64_t b = insn.rs2_value;
    OpResult result;
    if (insn.funct3 != TALUS_CTX_SET >> 8) {
        units_[TALUS_UNIT_DPE].unit->settle(); // whatever it returns, the core may act upon it
    }
    switch (code) {
    case TALUS_CTX_SET:
        if (b >= TALUS_CP_CONTEXT_WORDS) {
            return malformed(insn);
        }
        state.contexts[insn.rd][b] = a;
        return retire(core, now);
    case TALUS_CTX_SET2:
    case TALUS_CTX_SET3: {
        const std::size_t word = code == TALUS_CTX_SET2 ? 0 : 2;
        state.contexts[insn.rd][word] = a;
        state.contexts[insn.rd][word + 1] = b;
        return retire(core, now);
    }
    case TALUS_CB_CONFIG:
        result = a < TALUS_CB_COUNT ? configure_cb(now, insn) : misuse(a);
        return result.status == OpStatus::kDone ? retire(core, now) : result;
    case TALUS_CB_WAIT_DATA:
    case TALUS_CB_POP:
    case TALUS_CB_WAIT_SPACE:
    case TALUS_CB_PUSH:
    case TALUS_CB_OCCUPANCY:
        return a < TALUS_CB_COUNT ? cb_operation(core, now, insn, code) : misuse(a);
    case TALUS_SEM_WAIT: {
        const auto value = low(b);
        if (a >= TALUS_SEM_COUNT || high(b) != 0) {
            return malformed(insn);
        }
        if (semaphores_[a] < value) {
            return block(core, now, insn, {Reason::kSemaphore, low(a), value});
        }
        semaphores_[a] -= value;
        return retire(core, now);
    }
    case TALUS_SEM_POST:
        return post(core, now, insn);
    case TALUS_SEM_READ:
        return a < TALUS_SEM_COUNT ? retire_with(core, now, semaphores_[a]) : malformed(insn);
    case TALUS_CP_DRAIN:
        if (a >> TALUS_UNIT_COUNT != 0) {
            return malformed(insn);
        }
        if (!drained(core, a)) {
            return block(core, now, insn, {Reason::kDrain, low(a), 0});
        }
        return retire(core, now);
    case TALUS_CP_CORE:
        return retire_with(core, now, core);
    default:
        return malformed(insn);
    }
}

OpResult CommandProcessor::configure_cb(Cycle now, const CustomInsn& insn) {
    const std::uint64_t id = insn.rs1_value;
    const std::uint64_t base = low(insn.rs2_value);
    const std::uint64_t depth = high(insn.rs2_value);
    if (base % 64 != 0 || depth % 64 != 0 || cbs_[id].references != 0) {
        return misuse(id);
    }
    if (base + depth > TALUS_LOCAL_SIZE) {
        return OpResult::trap(TALUS_TRAP_LOCAL, base);
    }
    cbs_[id].configure(base, depth);
    state_changed(now);
    return OpResult::ok(now);
}

OpResult CommandProcessor::cb_operation(unsigned core, Cycle now, const CustomInsn& insn,
                                        std::uint32_t code) {
    const std::uint64_t id = insn.rs1_value;
    const std::uint64_t bytes = insn.rs2_value;
    CircularBuffer& cb = cbs_[id];
    const CbParty self = CbParty::of_core(core);
    if (!cb.configured()) {
        return misuse(id);
    }
    if (code == TALUS_CB_OCCUPANCY) {
        return retire_with(core, now, cb.occupancy());
    }
    const bool consumes = code == TALUS_CB_WAIT_DATA || code == TALUS_CB_POP;
    const CbParty owner = consumes ? cb.consumer() : cb.producer();
    if (bytes > cb.depth() || !(owner.nobody() || owner == self)) {
        return misuse(id);
    }
    switch (code) {
    case TALUS_CB_WAIT_DATA:
        cb.begin_consume(self, 0);
        if (cb.available() < bytes) {
            return block(core, now, insn, {Reason::kData, low(id), bytes});
        }
        return retire_with(core, now, TALUS_LOCAL_BASE + cb.consume_address(0));
    case TALUS_CB_WAIT_SPACE:
        cb.begin_produce(self, 0);
        if (cb.space() < bytes) {
            return block(core, now, insn, {Reason::kSpace, low(id), bytes});
        }
        return retire_with(core, now, TALUS_LOCAL_BASE + cb.produce_address(0));
    case TALUS_CB_POP:
        if (!cb.moves(bytes) || bytes > cb.available()) {
            return misuse(id);
        }
        cb.begin_consume(self, bytes);
        cb.end_consume(bytes);
        break;
    default: // TALUS_CB_PUSH
        if (!cb.moves(bytes) || bytes > cb.space()) {
            return misuse(id);
        }
        cb.begin_produce(self, bytes);
        cb.end_produce(bytes);
        break;
    }
    const OpResult result = retire(core, now);
    state_changed(now);
    return result;
}

OpResult CommandProcessor::post(unsigned core, Cycle now, const CustomInsn& insn) {
    CoreState& state = cores_[core];
    const std::uint64_t target = insn.rs1_value;
    const auto semaphore = static_cast<std::uint32_t>(target & 0xff);
    const auto row = static_cast<std::uint32_t>(target >> 8 & 0xff);
    const auto col = static_cast<std::uint32_t>(target >> 16 & 0xff);
    if (semaphore >= TALUS_SEM_COUNT || target >> 24 != 0 || high(insn.rs2_value) != 0) {
        return malformed(insn);
    }
    const std::uint32_t rect = shared_.fabric.pe(shared_.pe)->subgrid_rect();
    const std::uint32_t row0 = rect & 0xff;
    const std::uint32_t col0 = rect >> 8 & 0xff;
    const std::uint32_t rows = rect >> 16 & 0xff;
    const std::uint32_t cols = rect >> 24;
    const bool all = row == 0xff && col == 0xff;
    if (rows == 0 || cols == 0 || (!all && (row >= rows || col >= cols))) {
        return OpResult::trap(TALUS_TRAP_SUBGRID, target);
    }
    const auto post_to = [&](std::uint32_t r, std::uint32_t c) {
        const std::uint32_t pe = (row0 + r) * shared_.config.grid.cols + col0 + c;
        PePort* port = shared_.fabric.pe(pe);
        if (port == nullptr) {
            return false;
        }
        const Cycle way = shared_.config.cp.sync_clocks +
                          (pe == shared_.pe ? 0 : shared_.fabric.pe_to_pe_latency(shared_.pe, pe));
        // Posts of a core take effect in its order, also at different PEs.
        state.last_post = std::max(state.last_post, now + way);
        port->post_semaphore(state.last_post, semaphore, low(insn.rs2_value));
        return true;
    };
    if (!all) {
        if (!post_to(row, col)) {
            return OpResult::trap(TALUS_TRAP_SUBGRID, target);
        }
        return retire(core, now);
    }
    for (std::uint32_t r = 0; r < rows; ++r) {
        for (std::uint32_t c = 0; c < cols; ++c) {
            post_to(r, c);
        }
    }
    return retire(core, now);
}

void CommandProcessor::add_to_semaphore(std::uint32_t semaphore, std::uint32_t value, Cycle now) {
    semaphores_[semaphore] += value;
    wake_cores(now);
}

bool CommandProcessor::drained(unsigned core, std::uint64_t mask) const {
    for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
        if ((mask >> unit & 1) != 0 && cores_[core].outstanding[unit] != 0) {
            return false;
        }
    }
    return true;
}

bool CommandProcessor::holds(unsigned core, const Wait& wait) const {
    switch (wait.reason) {
    case Reason::kQueueFull:
        return units_[wait.object].queues[core].commands.size() >= TALUS_CP_QUEUE_DEPTH;
    case Reason::kData:
        return cbs_[wait.object].configured() && cbs_[wait.object].available() < wait.amount;
    case Reason::kSpace:
        return cbs_[wait.object].configured() && cbs_[wait.object].space() < wait.amount;
    case Reason::kSemaphore:
        return semaphores_[wait.object] < wait.amount;
    case Reason::kDrain:
        return !drained(core, wait.object);
    default:
        return true;
    }
}

void CommandProcessor::wake_cores(Cycle now) {
    for (unsigned core = 0; core < 2; ++core) {
        CoreState& state = cores_[core];
        if (state.wait.reason != Reason::kNone && !holds(core, state.wait)) {
            state.wait = {};
            host_.wake(state.hart, now);
        }
    }
}

CoreActivity CommandProcessor::wait_of(unsigned core) const {
    switch (cores_[core].wait.reason) {
    case Reason::kQueueFull:
        return CoreActivity::kWaitQueue;
    case Reason::kData:
        return CoreActivity::kWaitData;
    case Reason::kSpace:
        return CoreActivity::kWaitSpace;
    case Reason::kSemaphore:
        return CoreActivity::kWaitSemaphore;
    case Reason::kDrain:
        return CoreActivity::kWaitDrain;
    default:
        return CoreActivity::kWaitOther;
    }
}

/// Waits that CP_STALL_LIMIT ends, and the tval of the trap.
bool CommandProcessor::limited(const Wait& wait) {
    return wait.reason == Reason::kData || wait.reason == Reason::kSpace ||
           wait.reason == Reason::kArrival || wait.reason == Reason::kLink;
}

std::uint64_t CommandProcessor::stall_value(const Wait& wait) {
    const std::uint32_t kind = wait.reason == Reason::kArrival ? TALUS_STALL_RECEIVE
                               : wait.reason == Reason::kLink  ? TALUS_STALL_SEND
                                                               : 0;
    return kind | wait.object;
}

std::string CommandProcessor::party_name(CbParty party) {
    if (party.nobody()) {
        return "nobody yet";
    }
    const char core = static_cast<char>('A' + party.core());
    return party.is_core() ? fmt::format("core {}", core)
                           : fmt::format("core {}'s {} queue", core, unit_name(party.unit()));
}

std::string CommandProcessor::describe(const Wait& wait) const {
    switch (wait.reason) {
    case Reason::kQueueFull:
        return fmt::format("waits for room in its {} queue", unit_name(wait.object));
    case Reason::kData: {
        const CircularBuffer& cb = cbs_[wait.object];
        return fmt::format("waits for {} bytes in CB {} ({} of {} there; producer: {})",
                           wait.amount, wait.object, cb.available(), cb.depth(),
                           party_name(cb.producer()));
    }
    case Reason::kSpace: {
        const CircularBuffer& cb = cbs_[wait.object];
        return fmt::format("waits for {} bytes of space in CB {} ({} of {} free; consumer: {})",
                           wait.amount, wait.object, cb.space(), cb.depth(),
                           party_name(cb.consumer()));
    }
    case Reason::kSemaphore:
        return fmt::format("waits for semaphore {} to reach {} (it is {})", wait.object,
                           wait.amount, semaphores_[wait.object]);
    case Reason::kDrain: {
        std::string units;
        for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
            if ((wait.object >> unit & 1) != 0) {
                units += fmt::format("{}{}", units.empty() ? "" : ", ", unit_name(unit));
            }
        }
        return fmt::format("waits for its commands on {} to complete", units);
    }
    case Reason::kBank:
        return fmt::format("waits for earlier commands on RE bank {}", wait.object);
    case Reason::kArrival:
    case Reason::kLink: {
        const bool down = wait.object == TALUS_RE_DOWN;
        const bool arrival = wait.reason == Reason::kArrival;
        const auto other = shared_.neighbour(wait.object, arrival ? -1 : +1);
        const std::string who = !other ? "the sub-grid ends there"
                                       : fmt::format("pe {}.{}", *other / shared_.config.grid.cols,
                                                     *other % shared_.config.grid.cols);
        return arrival ? fmt::format("waits for an RE_SEND from {} ({})",
                                     down ? "above" : "the left", who)
                       : fmt::format("waits until the PE {} receives what was sent before ({})",
                                     down ? "below" : "on the right", who);
    }
    default:
        return "does not wait";
    }
}

void CommandProcessor::describe_waits(const std::string& pe, std::vector<std::string>& out) const {
    for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
        if (units_[unit].unit->waits()) {
            const Command& command = units_[unit].in_flight.back();
            out.push_back(fmt::format("{} core {}'s {} of {:#x} from pc {:#x} waits for {}", pe,
                                      static_cast<char>('A' + command.core),
                                      command_name(command.code), command.rs1, command.pc,
                                      units_[unit].unit->describe_wait()));
        }
    }
    for (unsigned core = 0; core < 2; ++core) {
        const CoreState& state = cores_[core];
        const char name = static_cast<char>('A' + core);
        if (state.wait.reason != Reason::kNone) {
            out.push_back(fmt::format("{} core {} at pc {:#x} {}, since clock {}", pe, name,
                                      state.wait_pc, describe(state.wait), state.wait_since));
        }
        if (state.stopped) {
            out.push_back(fmt::format("{} core {}'s queues are stopped by a fault", pe, name));
            continue;
        }
        for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
            const Queue& queue = units_[unit].queues[core];
            if (queue.commands.empty()) {
                continue;
            }
            Command head = piece_of(queue.commands.front());
            Wait wait;
            if (!evaluate(head, wait) && wait.reason != Reason::kNone) {
                out.push_back(fmt::format("{} core {}'s {} queue: {} from pc {:#x} {}, {} queued",
                                          pe, name, unit_name(unit), command_name(head.code),
                                          head.pc, describe(wait), queue.commands.size()));
            }
        }
    }
}

void CommandProcessor::describe_buffers(std::vector<std::string>& out) const {
    for (unsigned id = 0; id < cbs_.size(); ++id) {
        const CircularBuffer& cb = cbs_[id];
        if (cb.configured()) {
            out.push_back(fmt::format("CB {}: base {:#x}, depth {}, occupied {} (from offset "
                                      "{:#x}), free {}, producer {}, "
                                      "consumer {}, {} commands",
                                      id, cb.base(), cb.depth(), cb.occupancy(),
                                      cb.consume_address(0), cb.space(), party_name(cb.producer()),
                                      party_name(cb.consumer()), cb.references));
        }
    }
    for (unsigned id = 0; id < semaphores_.size(); ++id) {
        if (semaphores_[id] != 0) {
            out.push_back(fmt::format("semaphore {}: {}", id, semaphores_[id]));
        }
    }
}

void CommandProcessor::describe_queues(std::vector<std::string>& out) const {
    for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
        for (const Command& command : units_[unit].in_flight) {
            out.push_back(fmt::format("{}: {} of core {} from pc {:#x} is under way",
                                      unit_name(unit), command_name(command.code),
                                      static_cast<char>('A' + command.core), command.pc));
        }
        for (unsigned core = 0; core < 2; ++core) {
            for (const Command& command : units_[unit].queues[core].commands) {
                out.push_back(fmt::format("{}: {} of core {} from pc {:#x} is queued",
                                          unit_name(unit), command_name(command.code),
                                          static_cast<char>('A' + core), command.pc));
            }
        }
    }
    for (unsigned core = 0; core < 2; ++core) {
        if (cores_[core].wait.reason != Reason::kNone) {
            out.push_back(fmt::format("core {} at pc {:#x} {}", static_cast<char>('A' + core),
                                      cores_[core].wait_pc, describe(cores_[core].wait)));
        }
    }
}

} // namespace talus::sim
