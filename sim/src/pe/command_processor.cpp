// Queues, dispatch and completion. The synchronous instructions are in synchronous.cpp.
#include "command_processor.hpp"

#include <algorithm>

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"

#include "fabric_interface.hpp"
#include "units.hpp"

namespace talus::sim {

CommandProcessor::CommandProcessor(PeShared& shared, EventQueue& events, UnitId unit_id,
                                   PeHost& host, FaultSink& faults)
    : shared_(shared), events_(events), unit_id_(unit_id), host_(host), faults_(faults),
      stall_limit_(shared.config.cp.stall_limit_clocks) {
    const auto step_in = [this](Cycle at) { schedule(at, kStep, TALUS_UNIT_FI_IN, 0); };
    units_[TALUS_UNIT_FI_IN].unit = std::make_unique<FabricInterface>(shared, false, step_in);
    units_[TALUS_UNIT_FI_OUT].unit = std::make_unique<FabricInterface>(shared, true, nullptr);
    units_[TALUS_UNIT_MLU].unit = std::make_unique<MemoryLayoutUnit>(shared);
    units_[TALUS_UNIT_DPE].unit = std::make_unique<DotProductEngine>(shared);
    units_[TALUS_UNIT_RE].unit = std::make_unique<ReductionEngine>(shared);
    units_[TALUS_UNIT_SE].unit = std::make_unique<SimdEngine>(shared);
    connect_units();
}

CommandProcessor::~CommandProcessor() = default;

void CommandProcessor::connect_units() {
    for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
        units_[unit].unit->set_answer(
            {unit_id_, kAnswer, unit | std::uint64_t{generation_} << 32, 0});
    }
}

void CommandProcessor::schedule(Cycle at, EventKind kind, std::uint64_t a, std::uint64_t b) {
    // The generation travels in the upper half of `a`.
    events_.schedule(at, unit_id_, kind, a | std::uint64_t{generation_} << 32, b);
}

void CommandProcessor::on_event(const Event& event) {
    if (event.a >> 32 != generation_) {
        return;
    }
    const auto a = static_cast<std::uint32_t>(event.a);
    switch (event.kind) {
    case kKick: {
        UnitState& state = units_[a];
        if (state.kick_at == event.time) {
            state.kick_at = kNever;
        }
        dispatch(a, event.time);
        break;
    }
    case kStep:
        step(a, event.time);
        break;
    case kComplete:
        complete(a, event.time);
        break;
    case kAnswer:
        answer(a, event.b, event.time);
        break;
    case kStall: {
        const unsigned core = a / 8;
        const unsigned unit = a % 8;
        Queue& queue = units_[unit].queues[core];
        if (queue.stalled && !queue.commands.empty() && queue.commands.front().ticket == event.b &&
            !cores_[core].stopped) {
            Wait wait;
            if (!evaluate(head(queue), wait) && limited(wait)) {
                fault(unit, core, {TALUS_TRAP_CP_STALL, stall_value(wait)}, event.time);
            }
        }
        break;
    }
    case kCoreStall: {
        CoreState& state = cores_[a];
        if (state.wait.reason != Reason::kNone && state.wait_number == event.b) {
            state.wait_expired = true;
            host_.wake(state.hart, event.time);
        }
        break;
    }
    default:
        break;
    }
}

OpResult CommandProcessor::custom(unsigned core, HartId hart, Cycle now, const CustomInsn& insn) {
    CoreState& state = cores_[core];
    state.hart = hart;
    if (state.wait.reason != Reason::kNone && state.wait_pc != insn.pc) {
        // The core left the wait by an interrupt.
        state.wait = {};
        state.wait_expired = false;
    }
    // A core's clock may stand before global time when a wait ends; nothing happens in the past.
    const Cycle at = std::max(now, events_.now());
    return insn.opcode == TALUS_OPCODE_ENQUEUE ? enqueue(core, at, insn)
                                               : synchronous(core, at, insn);
}

bool CommandProcessor::present(const Command& command) const {
    switch (command.code) {
    case TALUS_DPE_MATMUL_SPARSE:
        return shared_.config.dpe.sparsity;
    case TALUS_RE_RANGE:
    case TALUS_RE_RANGE_STORE:
        return shared_.config.re.row_range;
    case TALUS_RE_STORE:
    case TALUS_RE_STORE_DEQUANTIZED:
        return command.range == TALUS_RE_RANGE_OFF || shared_.config.re.row_range;
    case TALUS_RE_SEND:
    case TALUS_RE_RECEIVE:
        return shared_.config.re.reduction_network &&
               (command.content == TALUS_RE_SUMS || shared_.config.re.row_range);
    default:
        return true;
    }
}

OpResult CommandProcessor::enqueue(unsigned core, Cycle now, const CustomInsn& insn) {
    CoreState& state = cores_[core];
    Command command;
    if (insn.funct3 >= TALUS_UNIT_COUNT ||
        !decode_command(insn, state.contexts[insn.rd], command) || !present(command)) {
        state.wait = {};
        return OpResult::trap(TALUS_TRAP_CP_COMMAND, insn.raw);
    }
    Queue& queue = units_[command.unit].queues[core];
    if (queue.commands.size() >= TALUS_CP_QUEUE_DEPTH) {
        return block(core, now, insn, {Reason::kQueueFull, command.unit, 0});
    }
    command.core = static_cast<std::uint8_t>(core);
    command.ticket = next_ticket_++;
    command.visible = now + shared_.config.cp.dispatch_clocks;
    for (const Operand& operand : command.operands) {
        if (operand.used && !operand.direct) {
            ++cbs_[operand.cb].references;
        }
    }
    if (command.bank >= 0) {
        for (std::uint32_t tile = 0; tile < command.tiles; ++tile) {
            state.bank_users[bank_of(command, tile)].push_back({command.ticket, command.unit});
        }
    }
    ++state.outstanding[command.unit];
    ++shared_.counters.units[command.unit].commands;
    kick(command.unit, command.visible);
    queue.commands.push_back(std::move(command));
    state.wait = {};
    return OpResult::ok(now + 1);
}

void CommandProcessor::kick(unsigned unit, Cycle at) {
    UnitState& state = units_[unit];
    if (at < state.kick_at) {
        state.kick_at = at;
        schedule(at, kKick, unit, 0);
    }
}

void CommandProcessor::dispatch(unsigned unit, Cycle now) {
    UnitState& state = units_[unit];
    state.head_wait = UnitActivity::kIdle;
    begin_commands(unit, now);
    shared_.counters.units[unit].activity.enter(
        state.in_flight.empty() ? state.head_wait : UnitActivity::kActive, now);
}

void CommandProcessor::begin_commands(unsigned unit, Cycle now) {
    UnitState& state = units_[unit];
    while (!state.queues[0].commands.empty() || !state.queues[1].commands.empty()) {
        if (FaultHooks* faults = shared_.fabric.fault_hooks()) {
            const Cycle until = faults->stuck_until(shared_.pe, unit, now);
            if (until > now) {
                if (until != kNever) {
                    kick(unit, until);
                }
                return;
            }
        }
        if (state.in_flight.size() >= state.unit->in_flight_limit()) {
            return; // a completion dispatches again
        }
        const Cycle ready = std::max(state.next_issue, state.unit->ready_at());
        if (ready == kNever) {
            return; // the last step dispatches again
        }
        if (now < ready) {
            kick(unit, ready);
            return;
        }
        // The core that was not served last comes first.
        const unsigned first = state.last_core ^ 1u;
        if (!try_begin(unit, first, now) && !try_begin(unit, first ^ 1u, now)) {
            return;
        }
    }
}

Command& CommandProcessor::head(Queue& queue) {
    if (!queue.piece) {
        queue.piece = piece_of(queue.commands.front());
    }
    return *queue.piece;
}

bool CommandProcessor::try_begin(unsigned unit, unsigned core, Cycle now) {
    UnitState& state = units_[unit];
    Queue& queue = state.queues[core];
    if (queue.commands.empty() || cores_[core].stopped) {
        return false;
    }
    Command& command = head(queue);
    if (now < command.visible) {
        kick(unit, command.visible);
        return false;
    }
    Wait wait;
    std::optional<Fault> found = evaluate(command, wait);
    if (!found && wait.reason == Reason::kNone) {
        found = state.unit->check(command);
    }
    if (found) {
        fault(unit, core, *found, now);
        return false;
    }
    if (wait.reason == Reason::kNone) {
        begin(unit, core, now);
        return true;
    }
    state.head_wait = wait.reason == Reason::kData    ? UnitActivity::kWaitData
                      : wait.reason == Reason::kSpace ? UnitActivity::kWaitSpace
                                                      : UnitActivity::kWaitBank;
    if (limited(wait) && !queue.stalled) {
        queue.stalled = true;
        queue.stalled_since = now;
        if (stall_limit_ != 0) {
            schedule(now + stall_limit_, kStall, core * 8 + unit, command.ticket);
        }
    }
    return false;
}

std::optional<Fault> CommandProcessor::evaluate(Command& command, Wait& wait) const {
    for (Operand& operand : command.operands) {
        if (!operand.used) {
            continue;
        }
        Wait one;
        if (const auto found = evaluate_operand(command, operand, one)) {
            return found;
        }
        if (wait.reason == Reason::kNone) {
            wait = one;
        }
    }
    if (command.bank >= 0 && wait.reason == Reason::kNone) {
        const auto bank = static_cast<std::size_t>(command.bank);
        for (const CoreState::BankUse& use : cores_[command.core].bank_users[bank]) {
            if (use.ticket >= command.ticket) {
                break;
            }
            // The same unit keeps its own order.
            if (use.unit != command.unit) {
                wait = {Reason::kBank, static_cast<std::uint32_t>(bank), 0};
                break;
            }
        }
    }
    if (wait.reason == Reason::kNone) {
        if (command.code == TALUS_RE_RECEIVE &&
            shared_.inboxes[command.direction].state != ReductionInbox::State::kArrived) {
            wait = {Reason::kArrival, command.direction, 0};
        } else if (command.code == TALUS_RE_SEND && shared_.link_taken[command.direction]) {
            wait = {Reason::kLink, command.direction, 0};
        }
    }
    return std::nullopt;
}

std::optional<Fault> CommandProcessor::evaluate_operand(const Command& command, Operand& operand,
                                                        Wait& wait) const {
    if (operand.direct) {
        if (operand.offset + operand.extent > TALUS_LOCAL_SIZE) {
            return Fault{TALUS_TRAP_LOCAL, operand.offset};
        }
        operand.base = operand.offset;
    } else {
        const CircularBuffer& cb = cbs_[operand.cb];
        const CbParty party = CbParty::queue(command.core, command.unit);
        const CbCheck check =
            operand.producer
                ? cb.check_produce(party, operand.offset, operand.extent, operand.move)
                : cb.check_consume(party, operand.offset, operand.extent, operand.move);
        if (check == CbCheck::kMisuse) {
            return Fault{TALUS_TRAP_CB, operand.cb};
        }
        if (check == CbCheck::kWait) {
            wait = {operand.producer ? Reason::kSpace : Reason::kData, operand.cb,
                    operand.offset + operand.extent};
            return std::nullopt;
        }
        operand.base = operand.producer ? cb.produce_address(operand.offset)
                                        : cb.consume_address(operand.offset);
    }
    const std::uint64_t mask = operand.align - 1;
    if (((operand.base | operand.pitch) & mask) != 0) {
        return Fault{TALUS_TRAP_LOCAL, operand.base};
    }
    return std::nullopt;
}

void CommandProcessor::begin(unsigned unit, unsigned core, Cycle now) {
    UnitState& state = units_[unit];
    Queue& queue = state.queues[core];
    state.in_flight.push_back(std::move(head(queue)));
    queue.piece.reset();
    queue.stalled = false;
    state.last_core = core;
    state.next_issue = now + 1;
    if (next_piece(queue.commands.front())) {
        queue.commands.front().visible = now + shared_.config.cp.sequence_clocks;
    } else {
        queue.commands.pop_front();
    }
    if (trace_ != nullptr) [[unlikely]] {
        trace_begin(unit, now);
    }
    Command& command = state.in_flight.back();
    if (unit == TALUS_UNIT_RE) {
        units_[TALUS_UNIT_DPE].unit->settle();
    }
    for (const Operand& operand : command.operands) {
        if (!operand.used || operand.direct) {
            continue;
        }
        const CbParty party = CbParty::queue(core, unit);
        if (operand.producer) {
            cbs_[operand.cb].begin_produce(party, operand.move);
        } else {
            cbs_[operand.cb].begin_consume(party, operand.move);
        }
    }
    if (const auto done = state.unit->begin(command, now)) {
        schedule(*done, kComplete, unit, 0);
    } else if (!state.unit->waits()) {
        step(unit, now);
    }
    wake_cores(now); // the queue has room
}

void CommandProcessor::step(unsigned unit, Cycle now) {
    const Unit::Step next = units_[unit].unit->advance(now);
    if (next.next) {
        schedule(*next.next, kStep, unit, 0);
        return;
    }
    if (next.waits) {
        return;
    }
    if (next.done) {
        schedule(std::max(*next.done, now), kComplete, unit, 0);
    }
    kick(unit, std::max(now + 1, units_[unit].unit->ready_at()));
}

void CommandProcessor::settle_before(const Command& command) {
    Unit& products = *units_[TALUS_UNIT_DPE].unit;
    const Operand& written = command.operands[kDestination];
    if (command.unit == TALUS_UNIT_RE) {
        products.settle();
    } else if (command.unit != TALUS_UNIT_DPE && written.used) {
        products.settle(shared_.local + written.base, written.extent);
    }
}

void CommandProcessor::answer(unsigned unit, std::uint64_t token, Cycle now) {
    Unit& own = *units_[unit].unit;
    const bool due = own.answered(token, now);
    while (const auto done = own.finished()) {
        schedule(std::max(*done, now), kComplete, unit, 0);
    }
    if (due) {
        step(unit, now);
    }
}

/// An injected fault keeps the command's bytes from arriving.
bool CommandProcessor::lost(const Command& command, Cycle now) const {
    const bool in = command.unit == TALUS_UNIT_FI_IN;
    const bool out = command.unit == TALUS_UNIT_FI_OUT;
    FaultHooks* faults = shared_.fabric.fault_hooks();
    return faults != nullptr && (in || out) &&
           faults->drops_dma(shared_.pe, out, now, std::uint64_t{command.rows} * command.row_bytes);
}

void CommandProcessor::complete(unsigned unit, Cycle now) {
    UnitState& state = units_[unit];
    if (trace_ != nullptr) [[unlikely]] {
        trace_end(unit, now);
    }
    Command& command = state.in_flight.front();
    settle_before(command);
    if (!lost(command, now)) {
        if (shared_.fabric.ecc().any()) [[unlikely]] {
            if (const auto found = state.unit->damage(command)) {
                give_up(unit, *found, now);
                return;
            }
        }
        state.unit->execute(command);
    }
    for (const Operand& operand : command.operands) {
        if (!operand.used || operand.direct) {
            continue;
        }
        CircularBuffer& cb = cbs_[operand.cb];
        if (operand.producer) {
            cb.end_produce(operand.move);
        } else {
            cb.end_consume(operand.move);
        }
        cb.references -= command.last ? 1 : 0;
    }
    CoreState& core = cores_[command.core];
    if (command.bank >= 0 && command.last_on_bank) {
        auto& users = core.bank_users[static_cast<std::size_t>(command.bank)];
        users.erase(std::find_if(users.begin(), users.end(), [&](const CoreState::BankUse& use) {
            return use.ticket == command.ticket;
        }));
    }
    core.outstanding[unit] -= command.last ? 1 : 0;
    state.in_flight.pop_front();
    state_changed(now);
}

/// The unit's first command cannot complete. What it holds (CBs, an RE bank) stays held, so that
/// nobody takes its result for done.
void CommandProcessor::give_up(unsigned unit, const Fault& found, Cycle now) {
    UnitState& state = units_[unit];
    const Command command = std::move(state.in_flight.front());
    state.in_flight.pop_front();
    cores_[command.core].stopped = true;
    ++shared_.counters.faults;
    faults_.on_command_fault(command.core, command, found, now);
    dispatch(unit, now);
}

void CommandProcessor::state_changed(Cycle now) {
    for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
        dispatch(unit, now);
    }
    wake_cores(now);
}

void CommandProcessor::fault(unsigned unit, unsigned core, const Fault& found, Cycle now) {
    cores_[core].stopped = true;
    ++shared_.counters.faults;
    faults_.on_command_fault(core, units_[unit].queues[core].commands.front(), found, now);
}

void CommandProcessor::reset(Cycle now) {
    ++generation_;
    for (PeCounters::Unit& totals : shared_.counters.units) {
        totals.activity.enter(UnitActivity::kIdle, now);
    }
    for (UnitState& state : units_) {
        state.queues = {};
        state.in_flight.clear();
        state.last_core = 1;
        state.next_issue = 0;
        state.kick_at = kNever;
        state.lanes_used = 0;
        state.unit->reset();
    }
    for (CoreState& core : cores_) {
        const Wait wait = core.wait;
        const HartId hart = core.hart;
        core = CoreState{};
        core.hart = hart;
        if (wait.reason != Reason::kNone) {
            host_.wake(hart, now); // it executes its instruction anew
        }
    }
    connect_units();
    cbs_.fill({});
    semaphores_.fill(0);
}

void CommandProcessor::checkpoint(Checkpoint& state) {
    state(units_, cores_, cbs_, semaphores_, next_ticket_, next_wait_, generation_, stall_limit_);
}

bool CommandProcessor::busy() const {
    return std::any_of(units_.begin(), units_.end(), [this](const UnitState& state) {
        // What a faulted core has queued waits for PE_CP_RESET, not for time.
        return !state.in_flight.empty() ||
               (!state.queues[0].commands.empty() && !cores_[0].stopped) ||
               (!state.queues[1].commands.empty() && !cores_[1].stopped);
    });
}

} // namespace talus::sim
