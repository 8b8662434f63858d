#include "debugger.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"

#include "core_dump.hpp"
#include "soc/host_interface.hpp"
#include "soc/pcie_link.hpp"

namespace talus::sim::debug {

namespace {

constexpr std::chrono::milliseconds kLook{50};

// gdb's signal numbers.
constexpr unsigned kSigInt = 2;
constexpr unsigned kSigIll = 4;
constexpr unsigned kSigTrap = 5;
constexpr unsigned kSigBus = 10;
constexpr unsigned kSigSegv = 11;

unsigned signal_of(std::uint64_t cause) {
    switch (cause) {
    case cause::kBreakpoint:
        return kSigTrap;
    case cause::kFetchMisaligned:
    case cause::kLoadMisaligned:
    case cause::kStoreMisaligned:
        return kSigBus;
    case cause::kFetchAccess:
    case cause::kLoadAccess:
    case cause::kStoreAccess:
        return kSigSegv;
    default:
        return kSigIll;
    }
}

/// Core files per run of the simulator: a kernel that faults does so on all PEs.
constexpr unsigned kMaxCrashDumps = 16;

// Linux's signal numbers, which core files have.
constexpr unsigned kLinuxSigIll = 4;

unsigned linux_signal_of(std::uint64_t cause) {
    const unsigned signal = signal_of(cause);
    return signal == kSigBus ? 7 : signal; // the others are the same
}

/// Absolute window of the PE that the hart belongs to.
std::uint64_t window_of(HartId hart) {
    return TALUS_PE_WINDOW_BASE +
           (hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE * TALUS_PE_WINDOW_STRIDE;
}

} // namespace

Debugger::Debugger(DebugServices& device, DebuggerOptions options)
    : device_(device), parts_(device.parts()), options_(std::move(options)), injector_(parts_) {
    control_.resize(parts_.cores.hart_count());
    pe_points_.resize(parts_.config.pe_count());
    for (Control& control : control_) {
        control.debug = {this, &points_, false};
    }
    if (!options_.listen.empty()) {
        server_ = std::make_unique<GdbServer>(options_.listen);
    }
    parts_.cores.set_trap_observer(this);
    parts_.diagnostics.set_detection_listener(
        [this](std::string_view what) { injector_.notice(parts_.events.now(), what); });
    for (const std::string& fault : options_.faults) {
        inject(fault);
    }
}

void Debugger::inject(std::string_view specification) {
    injector_.add(parse_fault(specification, parts_.config));
    parts_.fabric.set_fault_hooks(&injector_);
    parts_.link.set_fault_hooks(&injector_);
}

Debugger::~Debugger() {
    server_.reset();
    parts_.cores.set_trap_observer(nullptr);
    parts_.diagnostics.set_detection_listener({});
    parts_.fabric.set_fault_hooks(nullptr);
    parts_.link.set_fault_hooks(nullptr);
    for (HartId hart = 0; hart < control_.size(); ++hart) {
        parts_.cores.hart(hart).set_debug(nullptr);
    }
}

void Debugger::start() {
    if (!server_) {
        return;
    }
    if (options_.wait_gdb) {
        begin_stop(stop_reply(kSigTrap, 0, {}));
    }
    server_->start([this] { device_.call_attention(); });
}

void Debugger::set_held(bool held) {
    parts_.host_interface.set_held(held);
}

// --- between events ------------------------------------------------------------------------------

bool Debugger::attention() const {
    return server_ && (server_->pending() || stopped_.load(std::memory_order_acquire));
}

void Debugger::attend() {
    touched_ = false;
    if (!stopped_) {
        GdbServer::Message message;
        while (!stopped_ && server_->receive(message, std::chrono::milliseconds(0))) {
            handle(message);
        }
    }
    serve();
}

bool Debugger::holds_harts() const {
    if (frozen_ == 0) {
        return false;
    }
    for (HartId hart = 0; hart < control_.size(); ++hart) {
        HartRunner& runner = parts_.cores.runner(hart);
        if (runner.frozen() && !runner.waiting()) {
            return true;
        }
    }
    return false;
}

// --- stopping ------------------------------------------------------------------------------------

Debugger::Place Debugger::place(HartId hart) const {
    const Hart& h = parts_.cores.hart(hart);
    return {h.pc(), h.retired()};
}

std::string Debugger::stop_reply(unsigned signal, HartId hart, std::string_view reason) const {
    std::string text = fmt::format("T{:02x}thread:{:x};{}", signal, hart + 1, reason);
    text += fmt::format("{:x}:{};", 32, hex_of_value(parts_.cores.hart(hart).pc(), 8));
    return text;
}

void Debugger::begin_stop(std::string reply) {
    stopped_.store(true, std::memory_order_release);
    lifted_.clear();
    alone_.reset();
    last_reply_ = std::move(reply);
    current_ = current_resume_ = last_stopped_;
    for (Control& control : control_) {
        if (control.action == Action::kStep) {
            control.action = Action::kContinue;
            control.handler_return.reset();
        }
    }
    set_held(true);
}

/// Stops from inside the hart's run(). The result is before_instruction()'s.
bool Debugger::stop_at(HartId hart, std::string reply) {
    if (alone_ && *alone_ != hart) {
        // gdb has resumed another hart only; this one says so when it is resumed itself.
        parts_.cores.runner(hart).set_frozen(true);
        ++frozen_;
        return false;
    }
    touched_ = false;
    last_stopped_ = hart;
    control_[hart].watch.reset();
    control_[hart].passed = place(hart);
    begin_stop(std::move(reply));
    server_->send(last_reply_);
    return serve();
}

bool Debugger::step_done(HartId hart) {
    Control& control = control_[hart];
    if (control.action != Action::kStep) {
        return false;
    }
    const Place here = place(hart);
    if (control.handler_return) {
        if (here.pc != *control.handler_return) {
            return false;
        }
        control.handler_return.reset();
        if (!control.retired_before_handler) {
            control.from = here;
        }
    }
    if (here == control.from) {
        return false;
    }
    return here.pc < control.range_begin || here.pc >= control.range_end;
}

bool Debugger::before_instruction(HartId hart) {
    Control& control = control_[hart];
    const Place here = place(hart);
    if (control.passed == here) {
        return true; // reported, or begun and waiting
    }
    control.passed.reset();
    if (control.watch) {
        const WatchHit& hit = *control.watch;
        const char* kind = !hit.point.read ? "watch" : hit.point.write ? "awatch" : "rwatch";
        return stop_at(hart, stop_reply(kSigTrap, hart, fmt::format("{}:{:x};", kind, hit.addr)));
    }
    const bool stepped = step_done(hart);
    if (points_.breakpoint_at(here.pc)) {
        const bool hardware = std::find(breakpoints_.begin(), breakpoints_.end(),
                                        Breakpoint{here.pc, true}) != breakpoints_.end();
        const bool set = hardware || std::find(breakpoints_.begin(), breakpoints_.end(),
                                               Breakpoint{here.pc, false}) != breakpoints_.end();
        // A lifted one is there for the others, not for the hart that is stepped over it.
        if (set || alone_ != hart) {
            return stop_at(hart, stop_reply(kSigTrap, hart, hardware ? "hwbreak:;" : "swbreak:;"));
        }
    }
    return stepped ? stop_at(hart, stop_reply(kSigTrap, hart, {})) : true;
}

bool Debugger::before_trap(HartId hart, std::uint64_t cause, std::uint64_t) {
    const bool call = cause == cause::kEcallFromU || cause == cause::kEcallFromM;
    if (!stop_on_trap_ || call || !connected_) {
        return true;
    }
    return stop_at(hart, stop_reply(signal_of(cause), hart, {}));
}

void Debugger::on_watched(HartId hart, const Watchpoint& point, std::uint64_t addr, AccessKind) {
    if (control_[hart].watch) {
        return;
    }
    // gdb knows the watchpoint by an address inside it.
    WatchHit hit{point, std::max(addr, point.addr)};
    const bool known =
        std::find(watchpoints_.begin(), watchpoints_.end(), point) != watchpoints_.end();
    if (!known && hart >= TALUS_CONTROL_HARTS) {
        const std::uint64_t shift = window_of(hart) - TALUS_LOCAL_BASE;
        hit.point.addr += shift;
        hit.addr += shift;
    }
    control_[hart].watch = hit;
}

void Debugger::on_trap(HartId hart, const TrapInfo& info) {
    Control& control = control_[hart];
    const bool interrupt = (info.cause & cause::kInterrupt) != 0;
    if (!options_.crash_dir.empty()) {
        const bool call = info.cause == cause::kEcallFromU || info.cause == cause::kEcallFromM;
        const bool command_fault = info.cause == (cause::kInterrupt | TALUS_LIRQ_CP_FAULT);
        if (command_fault || (!interrupt && !call)) {
            dump_crash(hart, info);
        }
    }
    if (interrupt && control.action == Action::kStep && !control.handler_return &&
        !step_into_interrupts_) {
        // The step goes on when the handler has returned.
        control.handler_return = info.pc;
        control.retired_before_handler = place(hart) != control.from;
    }
}

void Debugger::dump_crash(HartId hart, const TrapInfo& info) {
    if (crash_dumps_ >= kMaxCrashDumps) {
        return;
    }
    const std::uint32_t pe = (hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE;
    const std::string who =
        hart < TALUS_CONTROL_HARTS
            ? std::string("control")
            : fmt::format("pe{}.{}", pe / parts_.config.grid.cols, pe % parts_.config.grid.cols);
    const std::string path = fmt::format("{}/core.{}.{}", options_.crash_dir, crash_dumps_, who);
    ++crash_dumps_;
    const bool command = (info.cause & cause::kInterrupt) != 0;
    DumpReason reason;
    reason.signal = command ? kLinuxSigIll : linux_signal_of(info.cause);
    reason.text = command ? std::string("a command of its command processor faulted")
                          : fmt::format("cause {}, tval {:#x}", info.cause, info.tval);
    try {
        write_core(path, parts_, hart, reason);
        parts_.diagnostics.info("{}: core file {}{}", parts_.cores.name(hart), path,
                                crash_dumps_ == kMaxCrashDumps ? "; the last one" : "");
    } catch (const std::exception& error) {
        parts_.diagnostics.info("no core file of {}: {}", parts_.cores.name(hart), error.what());
    }
}

// --- while stopped -------------------------------------------------------------------------------

bool Debugger::serve() {
    leave_ = false;
    while (stopped_ && !leave_ && !device_.ending()) {
        GdbServer::Message message;
        if (server_->receive(message, kLook)) {
            handle(message);
        }
    }
    return !stopped_ && !touched_;
}

void Debugger::handle(const GdbServer::Message& message) {
    using Kind = GdbServer::Message::Kind;
    switch (message.kind) {
    case Kind::kConnected:
        connected_ = true;
        if (!stopped_) {
            begin_stop(stop_reply(kSigTrap, last_stopped_, {}));
        }
        break;
    case Kind::kDisconnected:
        connected_ = false;
        release();
        break;
    case Kind::kInterrupt:
        if (!stopped_) {
            last_stopped_ = alone_.value_or(last_stopped_);
            begin_stop(stop_reply(kSigInt, last_stopped_, {}));
            server_->send(last_reply_);
        }
        break;
    case Kind::kOversized:
        server_->send("E16");
        break;
    case Kind::kPacket:
        if (const auto reply = answer(message.payload)) {
            server_->send(*reply);
        }
        break;
    }
}

/// gdb has gone: nothing stops any more.
void Debugger::release() {
    breakpoints_.clear();
    watchpoints_.clear();
    lifted_.clear();
    stop_on_trap_ = false;
    resume({Request{}});
}

/// The points of all harts, and what is watched in the hart's own PE under its absolute address:
/// the core reaches that by the alias of its local memory.
const DebugPoints* Debugger::points_of(HartId hart) {
    if (hart < TALUS_CONTROL_HARTS) {
        return &points_;
    }
    const std::uint64_t window = window_of(hart);
    DebugPoints own = points_;
    for (Watchpoint point : watchpoints_) {
        if (point.addr >= window && point.addr - window < TALUS_LOCAL_SIZE) {
            point.addr += TALUS_LOCAL_BASE - window;
            own.watchpoints.push_back(point);
        }
    }
    if (own.watchpoints.size() == points_.watchpoints.size()) {
        return &points_;
    }
    DebugPoints& place = pe_points_[(hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE];
    place = std::move(own);
    return &place;
}

void Debugger::apply_points() {
    points_.breakpoints.clear();
    for (const Breakpoint& point : breakpoints_) {
        points_.breakpoints.push_back(point.addr);
    }
    if (alone_) {
        points_.breakpoints.insert(points_.breakpoints.end(), lifted_.begin(), lifted_.end());
    }
    auto& list = points_.breakpoints;
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
    points_.watchpoints = watchpoints_;

    const bool any = !list.empty() || !watchpoints_.empty() || stop_on_trap_;
    for (HartId hart = 0; hart < control_.size(); ++hart) {
        Control& control = control_[hart];
        control.debug.every_instruction =
            control.action == Action::kStep || control.watch.has_value();
        control.debug.points = points_of(hart);
        const bool needed = any || control.debug.every_instruction;
        parts_.cores.hart(hart).set_debug(needed ? &control.debug : nullptr);
    }
}

void Debugger::resume(const std::vector<Request>& requests) {
    std::optional<HartId> stepping;
    unsigned running = 0;
    for (HartId hart = 0; hart < control_.size(); ++hart) {
        Control& control = control_[hart];
        control.action = Action::kFreeze;
        for (const Request& request : requests) {
            if (!request.hart || *request.hart == hart) {
                control.action = request.action;
                control.range_begin = request.range_begin;
                control.range_end = request.range_end;
                break;
            }
        }
        control.from = place(hart);
        control.handler_return.reset();
        running += control.action != Action::kFreeze;
        if (control.action == Action::kStep) {
            stepping = hart;
        }
    }
    // A step over a breakpoint: the others run in the hart's wake, as far as the order of time asks
    // for, so that the step changes nothing.
    const bool over =
        running == 1 && stepping &&
        std::find(lifted_.begin(), lifted_.end(), control_[*stepping].from.pc) != lifted_.end();
    alone_ = over ? stepping : std::nullopt;

    frozen_ = 0;
    bool nothing_to_step = false;
    for (HartId hart = 0; hart < control_.size(); ++hart) {
        Control& control = control_[hart];
        HartRunner& runner = parts_.cores.runner(hart);
        const bool freeze = control.action == Action::kFreeze && !over;
        frozen_ += freeze;
        if (freeze && hart == last_stopped_) {
            touched_ = true; // it may be the one whose run() waits for us
        }
        runner.set_frozen(freeze);
        if (control.action == Action::kStep) {
            runner.leave_wfi(std::max(runner.hart().now(), parts_.events.now()));
            nothing_to_step |= runner.held() || runner.hart().state() == StopReason::kHalted;
        }
    }
    apply_points();
    stopped_.store(false, std::memory_order_release);
    if (nothing_to_step && stepping) {
        last_stopped_ = *stepping;
        begin_stop(stop_reply(kSigTrap, *stepping, {}));
        server_->send(last_reply_);
        return;
    }
    set_held(false);
}

} // namespace talus::sim::debug
