// Run control of the device for gdb: breakpoints, watchpoints, steps, and the gdb remote protocol
// on top of them.
//
// All-stop: while gdb holds the device, the timing thread waits inside the debugger, in the middle
// of whatever it was doing: between two instructions of a hart (from Hart::run), or between two
// events (from Device::run). Nothing of the model changes by that, so a run with stops takes the
// same clocks as one without. The socket thread goes on serving the host, and the status page says
// `held`, so that a driver does not take a standing clock for a lost device.
//
// Two things the user asks for do change the course of time: resuming some harts only (the others
// are frozen: they execute nothing while device time goes on), and stepping a hart that waits in
// WFI (it leaves WFI without an interrupt). Writing registers or memory does what it says.
#ifndef TALUS_SIM_DEBUG_DEBUGGER_HPP
#define TALUS_SIM_DEBUG_DEBUGGER_HPP

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fault_injector.hpp"
#include "gdb_server.hpp"
#include "isa/hart.hpp"
#include "soc/cores.hpp"
#include "soc/device_debugger.hpp"

namespace talus::sim::debug {

struct DebuggerOptions {
    std::string listen;              ///< as GdbServer takes it; empty: no gdb
    bool wait_gdb = false;           ///< the device does not begin before gdb has said so
    std::string crash_dir;           ///< a core file there for every fault of a hart; empty: none
    std::vector<std::string> faults; ///< to inject (fault_injector.hpp)
    std::function<void()> on_kill;   ///< gdb's `kill`: the simulator shall end. Any thread.
};

/// Everything but the constructor, start() and attention() belongs to the timing thread.
class Debugger final : public DeviceDebugger, public DebugHook, public TrapObserver {
  public:
    /// Throws std::runtime_error. `device` outlives the debugger; its timing thread does not run
    /// yet.
    Debugger(DebugServices& device, DebuggerOptions options);
    ~Debugger() override;

    /// Accepts connections. Before the device starts.
    void start();
    /// What to give to gdb's `target remote`; empty without gdb.
    std::string address() const { return server_ ? server_->address() : std::string(); }

    // DeviceDebugger
    bool attention() const override;
    void attend() override;
    bool holds_harts() const override;
    Cycle due() const override { return injector_.next(); }
    void on_due(Cycle now) override { injector_.fire(now); }

    // DebugHook
    bool before_instruction(HartId hart) override;
    bool before_trap(HartId hart, std::uint64_t cause, std::uint64_t tval) override;
    void on_watched(HartId hart, const Watchpoint& point, std::uint64_t addr,
                    AccessKind kind) override;

    // TrapObserver
    void on_trap(HartId hart, const TrapInfo& info) override;

    /// One `monitor` command; the text that the user sees.
    std::string monitor(std::string_view command);

    /// What was injected and what noticed it. After the timing thread has ended.
    const FaultInjector& injector() const { return injector_; }

  private:
    enum class Action : std::uint8_t { kFreeze, kContinue, kStep };
    struct Place {
        std::uint64_t pc = 0;
        std::uint64_t retired = 0;
        bool operator==(const Place&) const = default;
    };
    struct WatchHit {
        Watchpoint point;
        std::uint64_t addr;
    };
    struct Control {
        HartDebug debug;
        Action action = Action::kContinue;
        std::uint64_t range_begin = 0; ///< a step ends outside of [begin, end)
        std::uint64_t range_end = 0;
        Place from;                  ///< where the step began
        std::optional<Place> passed; ///< the stop here has been reported
        std::optional<WatchHit> watch;
        /// While a step waits for an interrupt handler to return: where to, and whether the stepped
        /// instruction had retired before.
        std::optional<std::uint64_t> handler_return;
        bool retired_before_handler = false;
    };
    /// One entry of a vCont packet.
    struct Request {
        Action action = Action::kContinue;
        std::uint64_t range_begin = 0;
        std::uint64_t range_end = 0;
        std::optional<HartId> hart; ///< none: all harts that no earlier entry names
    };
    struct Breakpoint {
        std::uint64_t addr;
        bool hardware;
        bool operator==(const Breakpoint&) const = default;
    };

    // debugger.cpp
    Place place(HartId hart) const;
    bool step_done(HartId hart);
    bool stop_at(HartId hart, std::string reply);
    void begin_stop(std::string reply);
    bool serve();
    void resume(const std::vector<Request>& requests);
    void release();
    void apply_points();
    const DebugPoints* points_of(HartId hart);
    void set_held(bool held);
    void handle(const GdbServer::Message& message);
    std::string stop_reply(unsigned signal, HartId hart, std::string_view reason) const;
    void dump_crash(HartId hart, const TrapInfo& info);

    // gdb_protocol.cpp
    std::optional<std::string> answer(std::string_view packet);
    std::optional<std::string> answer_query(std::string_view packet);
    std::string answer_transfer(std::string_view packet);
    std::optional<std::string> answer_resume(std::string_view packet);
    std::string answer_point(std::string_view packet);
    std::string answer_registers(std::string_view packet);
    std::string answer_memory(std::string_view packet);
    FabricError peek(std::uint64_t addr, void* data, std::uint64_t len);
    FabricError poke(std::uint64_t addr, const void* data, std::uint64_t len);
    std::string thread_list() const;
    std::optional<HartId> thread(std::string_view text) const;
    bool change_point(bool insert, unsigned type, std::uint64_t addr, std::uint64_t len);

    // monitor.cpp
    std::string monitor_harts(std::string_view which) const;
    std::string monitor_caches() const;
    std::string monitor_pe(std::string_view which, bool buffers) const;
    std::string monitor_queues() const;
    std::string monitor_cycle() const;
    std::string monitor_checkpoint(std::string_view path) const;
    std::string monitor_log(std::string_view count) const;
    std::string monitor_inject(std::string_view specification);
    void inject(std::string_view specification);
    std::string monitor_dump(std::string_view which, std::string_view path) const;
    std::string hart_state(HartId hart) const;
    std::optional<std::uint32_t> parse_pe(std::string_view text) const;

    DebugServices& device_;
    DeviceParts parts_;
    DebuggerOptions options_;
    FaultInjector injector_;
    std::unique_ptr<GdbServer> server_;

    std::vector<Control> control_;
    std::vector<Breakpoint> breakpoints_;
    std::vector<Watchpoint> watchpoints_;
    /// Breakpoints that gdb has taken away since the stop, to step one hart over them.
    std::vector<std::uint64_t> lifted_;
    DebugPoints points_; ///< what the harts go by
    /// By PE, where one has watchpoints of its own: those given as addresses of its absolute
    /// window.
    std::vector<DebugPoints> pe_points_;

    bool connected_ = false;
    std::atomic<bool> stopped_{false};
    bool leave_ = false;   ///< serve() returns although the device is stopped: a reset comes first
    bool touched_ = false; ///< registers or memory were changed in this stop
    bool stop_on_trap_ = false;
    bool step_into_interrupts_ = false;
    HartId current_ = 0;        ///< whose registers and memory gdb looks at
    HartId current_resume_ = 0; ///< Hc: for `c` and `s`
    HartId last_stopped_ = 0;
    std::string last_reply_;
    std::optional<HartId> alone_; ///< steps over a lifted breakpoint, others run in its wake only
    unsigned frozen_ = 0;
    unsigned crash_dumps_ = 0;
};

} // namespace talus::sim::debug

#endif
