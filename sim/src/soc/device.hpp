// The chip: all units, wired, on one timing thread, behind the PCIe function's model interface.
//
//   Device device(options, diagnostics);
//   PciFunction function(device, ...);      // connects
//   vfio_user::Server server(function, ...);
//   device.start(); server.start();  ...  server.stop(); device.stop();
//
// Time. The timing thread runs events until none is left but timers: the device is *parked*, and
// its time stands still. Then one host write (a doorbell with its batch, a mailbox command, ...) is
// admitted, and it runs until parked again. What a command costs must not depend on how long the
// host took, or on how often it polled meanwhile: so an admission always happens
// sim.admission_clocks after the tick of the background timer that firmware has armed (a
// heartbeat), with no other activity in between. If the last thing that happened was not such a
// tick, the device first steps on to the next one. Timers thereby have the same phase relative to
// every admission, and so have DRAM refresh and the bandwidth calendars, which start anew there.
// Without a timer the admission comes sim.admission_clocks after the device parked.
#ifndef TALUS_SIM_SOC_DEVICE_HPP
#define TALUS_SIM_SOC_DEVICE_HPP

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "../core/config.hpp"
#include "../core/diagnostics.hpp"
#include "../core/event_queue.hpp"
#include "../isa/commit_log.hpp"
#include "../mem/fabric.hpp"
#include "../pci/device_model.hpp"
#include "../pci/shared_bar_memory.hpp"
#include "../trace/tracer.hpp"
#include "admissions.hpp"
#include "clint.hpp"
#include "cores.hpp"
#include "device_debugger.hpp"
#include "dma_engine.hpp"
#include "ecc_block.hpp"
#include "grid_control.hpp"
#include "host_inbox.hpp"
#include "host_interface.hpp"
#include "interrupt_controller.hpp"
#include "pcie_link.hpp"
#include "perf_monitor.hpp"
#include "queue_engine.hpp"
#include "sensors.hpp"
#include "system_bus.hpp"
#include "system_info.hpp"
#include "uart.hpp"

namespace talus::sim {

struct DeviceOptions {
    Config config;
    /// Contents of the boot ROM, TALUS_ROM_SIZE bytes (load_elf_image()).
    std::vector<std::uint8_t> rom;
    bool shadow = true; ///< TALUS_CAP_SHADOW: shadow doorbells are offered
    std::uint64_t serial = 0;
    std::string uart_path; ///< empty: UART lines go to the log
    /// false: host writes are admitted when the device is parked; true: as they come, so that
    /// queues overlap in device time, and cycle counts depend on the host's speed.
    bool free_host_clock = false;
    std::string host_log;        ///< with free_host_clock: AdmissionLog's file; empty: none
    std::string replay;          ///< AdmissionReplay's file: its admissions first; empty: none
    bool trace_commands = false; ///< one line per admission and per completion
    std::string trace_path;      ///< empty: no trace
    std::string statistics_path; ///< written by stop(): JSON if it ends in ".json"; empty: none
    CommitLogOptions commit_log;
    std::string checkpoint_path; ///< a checkpoint whenever a client has gone; empty: none
    std::string restore_path;    ///< the checkpoint to start from; empty: from the ROM
    std::uint64_t trace_limit_bytes = std::uint64_t{1} << 30;
};

class Device final : public PciDeviceModel, public DebugServices {
  public:
    /// Throws std::runtime_error or std::system_error. `diagnostics` outlives the device.
    Device(DeviceOptions options, Diagnostics& diagnostics);
    ~Device() override;

    /// Starts the timing thread; after connect().
    void start();
    /// Ends it. Idempotent. After the server has stopped: then no thread waits for the host.
    void stop();
    /// Called on the timing thread, once, when it ends by an internal error.
    void on_internal_error(std::function<void()> callback) { on_error_ = std::move(callback); }

    /// Before start(); outlives stop(). null: none.
    void set_debugger(DeviceDebugger* debugger) { debugger_ = debugger; }

    // DebugServices
    DeviceParts parts() override;
    void call_attention() override { inbox_.request(HostInbox::kDebugger); }
    bool ending() const override { return (inbox_.pending() & HostInbox::kStop) != 0; }
    void request_reset() override { fundamental_reset(); }
    void save(const std::string& path) override;

    // PciDeviceModel
    void connect(HostPort& port) override;
    MappableBar mappable(unsigned bar) override;
    std::uint64_t bar_read(unsigned bar, std::uint64_t offset, unsigned size) override;
    void bar_write(unsigned bar, std::uint64_t offset, unsigned size, std::uint64_t value) override;
    void function_reset() override;
    void fundamental_reset() override;
    void client_gone() override;

  private:
    // socket thread
    std::uint32_t read_word(std::uint64_t offset);
    void write_word(unsigned bar, std::uint64_t offset, std::uint32_t value);

    // timing thread
    void run();
    void run_next_event();
    void run_events();
    bool debugger_calls() const { return debugger_ != nullptr && debugger_->attention(); }
    bool serve_requests(); ///< false: stop
    void reset_device();
    void reset_function();
    void scrub_tenant_memory();
    void park();
    void admit_while_running();
    void note(Admission::Kind kind, std::uint32_t index = 0, std::uint32_t value = 0);
    bool replay_due() const; ///< the next recorded admission comes before the next event
    void replay_next();
    bool replay_arrived(const Admission& admission);
    void apply_recorded(const Admission& admission);
    void end_replay(const std::string& why);
    bool interrupted() const; ///< something waits that a step to a timer must not run past
    bool apply(const HostWrite& write);
    bool admit_host_write();
    bool admit_shadow();
    void align_for_admission();
    void step_to_timer();
    void sleep_until_host_acts();
    void publish_clock();

    // device_trace.cpp
    void start_trace();
    void sample_traffic();

    void write_statistics(); // device_statistics.cpp

    // device_checkpoint.cpp
    void save_for_next_client();
    void settle();
    void restore(const std::string& path);
    CheckpointIdentity identity() const;
    void checkpoint(Checkpoint& state);

    DeviceOptions options_;
    Diagnostics& diagnostics_;
    HostPort* host_ = nullptr;
    std::function<void()> on_error_;

    SharedBarMemory registers_memory_; ///< BAR0: only the status page is touched
    SharedBarMemory staging_memory_;   ///< BAR4

    // Units, in the order of their ids.
    EventQueue events_;
    Fabric fabric_;
    Cores cores_;
    Clint clint_;
    InterruptController interrupts_;
    HostInterface host_interface_;
    PcieLink link_;
    QueueEngine queue_engine_;
    DmaEngines dma_;
    EnergyMeter meter_;
    ClockGovernor governor_;
    PerfMonitor perf_;
    GridControl grid_;
    Sensors sensors_;
    EccBlock ecc_;
    SystemInfo info_;
    Uart uart_;
    SystemBus bus_;

    DeviceDebugger* debugger_ = nullptr;
    HostInbox inbox_;
    std::unique_ptr<CommitLog> commit_log_;
    std::unique_ptr<AdmissionLog> host_log_;
    std::unique_ptr<AdmissionReplay> replay_; ///< null: none, or at its end
    std::chrono::steady_clock::time_point replay_waits_since_ =
        std::chrono::steady_clock::time_point::max(); ///< max(): it does not
    Cycle next_publish_ = 0;

    // Of a trace: what passed a link or a cache, as a counter in MB/s or thousands a second.
    struct Traffic {
        TraceTrack track;
        std::uint64_t scale; ///< of units a clock to the counter's
        std::function<std::uint64_t()> total;
        std::uint64_t last_total = 0;
        std::uint64_t last_rate = 0;
    };
    std::unique_ptr<Tracer> tracer_;
    std::vector<Traffic> traffic_;
    Cycle last_sample_ = 0;
    Cycle next_sample_ = kNever;

    bool tick_fresh_ = false; ///< nothing but the handler of the tick at last_tick_ has run since
    Cycle last_tick_ = 0;
    std::atomic<bool> host_flooded_{false};
    std::thread thread_;
};

} // namespace talus::sim

#endif
