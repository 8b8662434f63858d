#include "device.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>
#include <utility>

#include <fmt/format.h>
#include <linux/pci_regs.h>

#include "talus/hw/pci.h"
#include "talus/hw/queue.h"

namespace talus::sim {

namespace {

/// Wall-clock time for which a parked device looks at the shadow page before it asks for a doorbell
/// and sleeps: longer than a busy driver takes from a completion to its next submission, short
/// enough not to be felt by others on the machine.
constexpr std::chrono::microseconds kSpin{60};
/// A sleeping device wakes this often to look for a host that does not ring.
constexpr std::chrono::microseconds kNap{100000};
/// A replay waits this long for what was recorded while the host offers something else: well below
/// the 5 s after which a driver takes a standing clock for a lost device.
constexpr std::chrono::seconds kReplayPatience{2};
/// Ticks of background timers that an admission steps over at most, looking for a quiet span.
constexpr unsigned kMaxSteps = 64;

talus_status_page* status_page(SharedBarMemory& memory) {
    return reinterpret_cast<talus_status_page*>(memory.data() + TALUS_BAR0_STATUS_PAGE);
}

/// Reserved encodings, and payloads above what Device Capabilities offers, act as the largest.
PcieSizes pcie_sizes(std::uint16_t device_control, std::uint32_t max_payload) {
    const unsigned payload = (device_control & PCI_EXP_DEVCTL_PAYLOAD) >> 5;
    const unsigned request = (device_control & PCI_EXP_DEVCTL_READRQ) >> 12;
    return {std::min(128u << std::min(payload, 2u), max_payload), 128u << std::min(request, 5u),
            (device_control & PCI_EXP_DEVCTL_EXT_TAG) != 0};
}

std::uint32_t capabilities(const DeviceOptions& options) {
    return TALUS_CAP_SIMULATED | (options.shadow ? TALUS_CAP_SHADOW : 0) |
           (options.config.pcie.gzip_gigabytes_per_second > 0 ? TALUS_CAP_GZIP : 0);
}

} // namespace

Device::Device(DeviceOptions options, Diagnostics& diagnostics)
    : options_(std::move(options)), diagnostics_(diagnostics),
      registers_memory_("talus-bar0", TALUS_BAR0_SIZE, false),
      staging_memory_("talus-bar4", TALUS_BAR4_SIZE, true),
      fabric_(options_.config, events_, staging_memory_.fd()),
      cores_(options_.config, events_, fabric_, diagnostics_),
      clint_(events_, cores_, cores_.hart_count()), interrupts_(cores_),
      host_interface_(interrupts_, capabilities(options_), options_.config.device.generation,
                      options_.config.device.clock_khz, status_page(registers_memory_)),
      link_(options_.config),
      queue_engine_(events_, diagnostics_, link_, interrupts_, host_interface_, fabric_.isolation(),
                    fabric_.control_sram(), fabric_.ecc()),
      dma_(options_.config, events_, diagnostics_, link_, fabric_, interrupts_),
      meter_(options_.config, cores_, fabric_, link_, dma_), governor_(options_.config, meter_),
      perf_(options_.config, cores_, fabric_, link_, meter_),
      grid_(options_.config, cores_, interrupts_, diagnostics_, fabric_, perf_),
      sensors_(options_.config, meter_, governor_),
      ecc_(options_.config, events_, fabric_.ecc(), interrupts_, host_interface_, diagnostics_),
      info_(options_.config, options_.serial), uart_(diagnostics_), bus_(clint_) {
    if (options_.rom.size() != TALUS_ROM_SIZE) {
        throw std::invalid_argument("the boot ROM image has the wrong size");
    }
    host_interface_.set_scrub([this] { scrub_tenant_memory(); });
    bus_.attach(TALUS_SYS_INFO, info_);
    bus_.attach(TALUS_SYS_UART, uart_);
    bus_.attach(TALUS_SYS_INTC, interrupts_);
    bus_.attach(TALUS_SYS_DMA, dma_);
    bus_.attach(TALUS_SYS_QE, queue_engine_);
    bus_.attach(TALUS_SYS_HOSTIF, host_interface_);
    bus_.attach(TALUS_SYS_GRID, grid_);
    bus_.attach(TALUS_SYS_SENSORS, sensors_);
    bus_.attach(TALUS_SYS_ECC, ecc_);
    cores_.connect(bus_);
    cores_.set_governor(&governor_);
    fabric_.add_mmio(TALUS_SYSTEM_BASE, TALUS_SYSTEM_SIZE, bus_);
    if (!options_.uart_path.empty()) {
        uart_.open(options_.uart_path);
    }
    queue_engine_.log_commands(options_.trace_commands);
    if (!options_.host_log.empty()) {
        host_log_ = std::make_unique<AdmissionLog>(options_.host_log);
    }
    if (!options_.replay.empty()) {
        options_.free_host_clock = true;
        replay_ = std::make_unique<AdmissionReplay>(options_.replay);
    }
    if (options_.free_host_clock) {
        host_interface_.set_free_running();
    }
    if (!options_.trace_path.empty()) {
        start_trace();
    }
    if (!options_.commit_log.path.empty()) {
        commit_log_ = std::make_unique<CommitLog>(
            options_.commit_log, cores_.hart_count(),
            [this](HartId hart) { return cores_.name(hart); }, diagnostics_);
        for (HartId hart = 0; hart < cores_.hart_count(); ++hart) {
            commit_log_->observe(cores_.hart(hart));
        }
    }
    reset_device();
    if (!options_.restore_path.empty()) {
        restore(options_.restore_path);
    }
}

Device::~Device() {
    stop();
}

void Device::start() {
    thread_ = std::thread([this] { run(); });
}

void Device::stop() {
    if (thread_.joinable()) {
        inbox_.request(HostInbox::kStop);
        thread_.join();
        if (!options_.statistics_path.empty()) {
            write_statistics();
        }
        uart_.flush();
        if (commit_log_ != nullptr) {
            try {
                commit_log_->close();
            } catch (const std::exception& error) {
                diagnostics_.internal("{}", error.what());
            }
        }
    }
}

DeviceParts Device::parts() {
    return {options_.config, diagnostics_,    events_,       fabric_, cores_, clint_,
            interrupts_,     host_interface_, queue_engine_, dma_,    link_};
}

// --- socket thread -------------------------------------------------------------------------------

void Device::connect(HostPort& port) {
    host_ = &port;
    queue_engine_.connect(port);
    dma_.connect(port);
    link_.on_replay([this](std::uint64_t packets, bool inbound) {
        // The receiver of a damaged packet counts a bad TLP; the sender cannot tell.
        if (inbound) {
            host_->report_correctable_error(PCI_ERR_COR_BAD_TLP);
            diagnostics_.reported(
                fmt::format("{} bad TLPs (AER correctable error status)", packets));
        }
    });
}

MappableBar Device::mappable(unsigned bar) {
    if (bar == TALUS_BAR_REGISTERS) {
        return {registers_memory_.fd(), false, {{TALUS_BAR0_STATUS_PAGE, TALUS_STATUS_PAGE_SIZE}}};
    }
    if (bar == TALUS_BAR_STAGING) {
        return {staging_memory_.fd(), true, {{0, TALUS_BAR4_SIZE}}};
    }
    return {};
}

std::uint32_t Device::read_word(std::uint64_t offset) {
    if (offset < TALUS_BAR0_STATUS_PAGE) {
        return host_interface_.host_read_frozen(static_cast<std::uint32_t>(offset));
    }
    if (offset >= TALUS_BAR0_CONTROLLER && offset < TALUS_BAR0_CONTROLLER + CTRL_END) {
        return host_interface_.host_read_controller(
            static_cast<std::uint32_t>(offset - TALUS_BAR0_CONTROLLER));
    }
    return 0;
}

std::uint64_t Device::bar_read(unsigned bar, std::uint64_t offset, unsigned size) {
    if (bar != TALUS_BAR_REGISTERS) {
        return 0; // doorbells are write-only
    }
    inbox_.request(HostInbox::kPolled);
    std::uint64_t value = read_word(offset & ~std::uint64_t{3});
    if (size == 8) {
        return value | static_cast<std::uint64_t>(read_word(offset + 4)) << 32;
    }
    value >>= 8 * (offset & 3);
    return size == 4 ? value : value & ((std::uint64_t{1} << (8 * size)) - 1);
}

void Device::bar_write(unsigned bar, std::uint64_t offset, unsigned size, std::uint64_t value) {
    if (size < 4) {
        diagnostics_.host("write of {} byte(s) to BAR{} + {:#x}: registers are 32 bits wide; "
                          "ignored",
                          size, bar, offset);
        return;
    }
    write_word(bar, offset, static_cast<std::uint32_t>(value));
    if (size == 8) {
        write_word(bar, offset + 4, static_cast<std::uint32_t>(value >> 32));
    }
}

void Device::write_word(unsigned bar, std::uint64_t offset, std::uint32_t value) {
    HostWrite write{HostWrite::Kind::kFrozen, 0, value};
    if (bar == TALUS_BAR_DOORBELLS) {
        const auto reg = static_cast<std::uint32_t>(offset % TALUS_DOORBELL_STRIDE);
        write.index = static_cast<std::uint32_t>(offset / TALUS_DOORBELL_STRIDE);
        if (reg != TALUS_DOORBELL_SQ_TAIL && reg != TALUS_DOORBELL_CQ_HEAD) {
            return;
        }
        write.kind =
            reg == TALUS_DOORBELL_SQ_TAIL ? HostWrite::Kind::kSqTail : HostWrite::Kind::kCqHead;
    } else if (offset == FROZEN_RESET) {
        if (value == TALUS_RESET_MAGIC) {
            fundamental_reset();
        }
        return;
    } else if (offset < TALUS_BAR0_STATUS_PAGE) {
        write.index = static_cast<std::uint32_t>(offset);
        host_interface_.host_write_frozen(write.index, value);
    } else if (offset >= TALUS_BAR0_CONTROLLER && offset < TALUS_BAR0_CONTROLLER + CTRL_END) {
        write.kind = HostWrite::Kind::kController;
        write.index = static_cast<std::uint32_t>(offset - TALUS_BAR0_CONTROLLER);
        host_interface_.host_write_controller(write.index, value);
    } else {
        return;
    }
    if (!inbox_.push(write) && !host_flooded_.exchange(true)) {
        diagnostics_.host("too many writes wait for the device; some were dropped");
    }
}

void Device::function_reset() {
    host_interface_.begin_reset(false);
    inbox_.request(HostInbox::kFunctionReset);
}

void Device::fundamental_reset() {
    host_interface_.begin_reset(true);
    inbox_.request(HostInbox::kFundamentalReset);
}

void Device::client_gone() { // function_reset() came just before
    if (!options_.checkpoint_path.empty()) {
        inbox_.request(HostInbox::kCheckpoint);
    }
}

// --- timing thread -------------------------------------------------------------------------------

void Device::run() {
    try {
        while (serve_requests()) {
            if (debugger_calls()) {
                diagnostics_.set_clock(events_.now());
                host_interface_.set_clock(events_.now());
                debugger_->attend();
            } else if (events_.empty()) {
                park();
            } else {
                run_events();
            }
        }
        settle();
        if (inbox_.take(HostInbox::kCheckpoint) != 0) {
            save_for_next_client();
        }
        publish_clock();
    } catch (const std::exception& error) {
        diagnostics_.internal("the timing thread ends: {}", error.what());
        if (on_error_) {
            on_error_();
        }
    }
}

bool Device::serve_requests() {
    if ((inbox_.pending() & HostInbox::kUrgent) == 0) {
        return true;
    }
    if (inbox_.take(HostInbox::kStop) != 0) {
        return false;
    }
    if (replay_ != nullptr) {
        return true; // resets have their recorded places
    }
    const std::uint32_t requests =
        inbox_.take(HostInbox::kFunctionReset | HostInbox::kFundamentalReset);
    if ((requests & HostInbox::kFundamentalReset) != 0) {
        note(Admission::Kind::kFundamentalReset);
        diagnostics_.info("fundamental reset: back to ROM");
        reset_device();
    } else if ((requests & HostInbox::kFunctionReset) != 0) {
        note(Admission::Kind::kFunctionReset);
        reset_function();
    }
    return true;
}

void Device::run_next_event() {
    events_.run_next();
    if (debugger_ != nullptr && events_.now() >= debugger_->due()) {
        debugger_->on_due(events_.now());
    }
}

void Device::run_events() {
    // In portions, so that requests and the status page are looked after.
    for (unsigned count = 0; count < 256 && !events_.empty() && !replay_due() && !debugger_calls();
         ++count) {
        run_next_event();
    }
    tick_fresh_ = false;
    if (options_.free_host_clock && !events_.empty()) {
        admit_while_running();
    }
    if (events_.now() >= next_publish_) {
        publish_clock();
    }
    if (events_.now() >= next_sample_) [[unlikely]] {
        sample_traffic();
    }
}

void Device::publish_clock() {
    const Cycle now = events_.now();
    next_publish_ = now + options_.config.sim.status_page_clocks;
    diagnostics_.set_clock(now);
    host_interface_.set_clock(now);
    if (sensors_.update(now)) {
        host_interface_.set_sensors(sensors_.temperature_mc(), sensors_.power_mw());
    }
    host_interface_.set_energy(sensors_.energy_uj(), governor_.step_khz(),
                               governor_.capped() ? TALUS_CLOCK_POWER_CAP : TALUS_CLOCK_FULL);
}

void Device::reset_device() {
    events_.reset();
    if (tracer_ != nullptr) {
        tracer_->restart();
        next_sample_ = last_sample_ = 0;
    }
    next_publish_ = 0;
    tick_fresh_ = false;
    last_tick_ = 0;
    diagnostics_.set_clock(0);
    uart_.flush();
    fabric_.reset();
    std::memcpy(fabric_.rom(), options_.rom.data(), options_.rom.size());
    clint_.reset();
    interrupts_.reset();
    link_.reset();
    queue_engine_.reset(true);
    dma_.reset();
    sensors_.reset();
    governor_.restart(0);
    host_interface_.complete_reset(0, true);
    host_interface_.set_sensors(sensors_.temperature_mc(), sensors_.power_mw());
    ecc_.reset();
    cores_.reset();
    grid_.reset(0);
}

void Device::reset_function() {
    if (events_.empty()) {
        align_for_admission();
    }
    fabric_.isolation().close_windows();
    queue_engine_.reset(false);
    dma_.abort_host_copies(events_.now());
    host_interface_.complete_reset(events_.now(), false);
    tick_fresh_ = false;
}

// What one host left in the device is not the next one's to read. Takes no simulated time: a scrub
// engine's bandwidth is not modelled.
void Device::scrub_tenant_memory() {
    const Config& config = options_.config;
    fabric_.scrub(TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE,
                  config.sram.scratch_bytes - TALUS_LLS_FIRMWARE_SIZE);
    fabric_.scrub(TALUS_DRAM_BASE, config.dram.bytes);
    for (std::uint32_t index = 0; index < config.pe_count(); ++index) {
        if (PePort* pe = fabric_.pe(index)) {
            std::fill_n(pe->local_memory(), TALUS_LOCAL_KERNEL_BYTES, std::uint8_t{0});
            if (fabric_.ecc().any()) {
                fabric_.ecc().forget(pe->local_memory(), TALUS_LOCAL_KERNEL_BYTES);
            }
        }
    }
}

void Device::park() {
    publish_clock();
    if (debugger_ != nullptr) {
        // In this order: a call that comes after it ends the sleep below.
        inbox_.take(HostInbox::kDebugger);
        if (debugger_->attention()) {
            return;
        }
        if (debugger_->holds_harts()) {
            inbox_.wait(kNap);
            return;
        }
    }
    const bool recorded = replay_ != nullptr;
    if (grid_.check_deadlock(events_.now()) ||
        (!recorded && (admit_host_write() || admit_shadow()))) {
        host_interface_.set_parked(false);
        tick_fresh_ = false;
        return;
    }
    if (inbox_.take(HostInbox::kCheckpoint) != 0) {
        save_for_next_client();
        return;
    }
    host_interface_.set_parked(true);
    if (tracer_ != nullptr) {
        sample_traffic(); // what moved since the last sample, and silence after it
        tracer_->flush();
    }
    if (recorded) {
        replay_next();
    } else if (inbox_.take(HostInbox::kPolled) != 0) {
        note(Admission::Kind::kPoll);
        step_to_timer();
    } else {
        sleep_until_host_acts();
    }
}

bool Device::admit_host_write() {
    HostWrite write{};
    while (inbox_.pop(write)) {
        if (apply(write)) {
            return true;
        }
        if ((inbox_.pending() & HostInbox::kUrgent) != 0) {
            return false; // a reset overtakes what is left
        }
    }
    return false;
}

/// true: something began.
bool Device::apply(const HostWrite& write) {
    const bool doorbell =
        write.kind == HostWrite::Kind::kSqTail || write.kind == HostWrite::Kind::kCqHead;
    if (doorbell && queue_engine_.shadowed(write.index)) {
        return false; // it only wakes: its values come in the order of the shadow page
    }
    note(Admission::kind_of(write.kind), write.index, write.value);
    switch (write.kind) {
    case HostWrite::Kind::kFrozen:
        if (write.index == FROZEN_MB_COMMAND) {
            align_for_admission();
        }
        return host_interface_.admit_frozen(events_.now(), write.index, write.value);
    case HostWrite::Kind::kController:
        if (write.index == CTRL_ENABLE) {
            align_for_admission();
            link_.set_sizes(
                pcie_sizes(host_->device_control(), options_.config.pcie.max_payload_bytes));
        }
        return host_interface_.admit_controller(events_.now(), write.index, write.value);
    case HostWrite::Kind::kSqTail:
        align_for_admission();
        queue_engine_.admit_tail(events_.now(), write.index, write.value);
        return !events_.empty();
    case HostWrite::Kind::kCqHead:
        // Takes no time of its own: it frees entries. Only where completions wait for them does
        // something begin.
        if (queue_engine_.waits_for_host(write.index)) {
            align_for_admission();
        }
        queue_engine_.set_cq_head(events_.now(), write.index, write.value);
        return !events_.empty();
    }
    return false;
}

bool Device::admit_shadow() {
    if (!queue_engine_.shadow_active()) {
        return false;
    }
    if (queue_engine_.poll_shadow_heads()) {
        note(Admission::Kind::kShadowHeads);
        align_for_admission();
        queue_engine_.resume_posting(events_.now());
        return true;
    }
    unsigned qid = 0;
    std::uint32_t tail = 0;
    if (!queue_engine_.poll_shadow(qid, tail)) {
        return false;
    }
    note(Admission::Kind::kShadowTail, qid, tail);
    align_for_admission();
    queue_engine_.admit_tail(events_.now(), qid, tail);
    return !events_.empty();
}

// --- a free host clock ---------------------------------------------------------------------------

void Device::note(Admission::Kind kind, std::uint32_t index, std::uint32_t value) {
    if (host_log_ != nullptr) {
        host_log_->add({events_.executed(), events_.now(), kind, index, value});
    }
}

void Device::admit_while_running() {
    if (replay_ != nullptr) {
        if (replay_due()) {
            replay_next();
        }
        return;
    }
    inbox_.take(HostInbox::kPolled); // time moves anyway
    admit_host_write();
    admit_shadow();
}

bool Device::replay_due() const {
    return replay_ != nullptr && !replay_->empty() && replay_->next().event <= events_.executed();
}

bool Device::interrupted() const {
    return replay_ != nullptr ? replay_due() : (inbox_.pending() & HostInbox::kUrgent) != 0;
}

/// Waits until the host has done what was recorded next, and admits it. In portions of a
/// millisecond, so that the simulator can be stopped meanwhile.
void Device::replay_next() {
    if (replay_->empty()) {
        end_replay("the recorded admissions have all been repeated");
        return;
    }
    const Admission admission = replay_->next();
    if (admission.event != events_.executed() || admission.clock != events_.now()) {
        end_replay(fmt::format("the run departs from the recorded one before {}: another firmware, "
                               "configuration, kernel or program",
                               admission.text()));
        return;
    }
    if (!replay_arrived(admission)) {
        const auto now = std::chrono::steady_clock::now();
        replay_waits_since_ = std::min(replay_waits_since_, now);
        unsigned qid = 0;
        std::uint32_t tail = 0;
        if (replay_ != nullptr && now - replay_waits_since_ > kReplayPatience &&
            queue_engine_.shadow_active() && queue_engine_.poll_shadow(qid, tail)) {
            end_replay(fmt::format("queue {} has entries up to {}, and {} does not come", qid, tail,
                                   admission.text()));
            return;
        }
        if (queue_engine_.shadow_active()) {
            queue_engine_.request_doorbells();
        }
        inbox_.wait(std::chrono::milliseconds(1));
        return;
    }
    replay_->pop();
    replay_waits_since_ = std::chrono::steady_clock::time_point::max();
    host_interface_.set_parked(false);
    apply_recorded(admission);
}

bool Device::replay_arrived(const Admission& admission) {
    std::uint32_t tail = 0;
    HostWrite write{};
    switch (admission.kind) {
    case Admission::Kind::kPoll:
        return true;
    case Admission::Kind::kShadowTail:
        return queue_engine_.poll_shadow_of(admission.index, tail) && tail == admission.value;
    case Admission::Kind::kShadowHeads:
        return queue_engine_.poll_shadow_heads();
    case Admission::Kind::kFunctionReset:
        return inbox_.take(HostInbox::kFunctionReset) != 0;
    case Admission::Kind::kFundamentalReset:
        return inbox_.take(HostInbox::kFundamentalReset) != 0;
    default:
        break;
    }
    while (inbox_.pop(write)) {
        const bool doorbell =
            write.kind == HostWrite::Kind::kSqTail || write.kind == HostWrite::Kind::kCqHead;
        if (doorbell && queue_engine_.shadowed(write.index)) {
            continue;
        }
        if (Admission::kind_of(write.kind) != admission.kind || write.index != admission.index ||
            write.value != admission.value) {
            end_replay(fmt::format("the host wrote {:#x} to register {}, but {} was recorded",
                                   write.value, write.index, admission.text()));
            apply(write);
            return false;
        }
        return true;
    }
    return false;
}

void Device::apply_recorded(const Admission& admission) {
    switch (admission.kind) {
    case Admission::Kind::kPoll:
        note(admission.kind);
        step_to_timer();
        break;
    case Admission::Kind::kShadowTail:
        note(admission.kind, admission.index, admission.value);
        queue_engine_.admit_tail(events_.now(), admission.index, admission.value);
        break;
    case Admission::Kind::kShadowHeads:
        note(admission.kind);
        queue_engine_.resume_posting(events_.now());
        break;
    case Admission::Kind::kFunctionReset:
        note(admission.kind);
        reset_function();
        break;
    case Admission::Kind::kFundamentalReset:
        note(admission.kind);
        reset_device();
        break;
    default:
        apply({static_cast<HostWrite::Kind>(admission.kind), admission.index, admission.value});
        break;
    }
}

void Device::end_replay(const std::string& why) {
    const bool whole = replay_->empty();
    replay_.reset();
    if (whole) {
        diagnostics_.info("replay ends: {}; the host clock is free from here", why);
    } else {
        diagnostics_.host("replay ends early: {}; the host clock is free from here", why);
    }
}

void Device::step_to_timer() {
    if (events_.background_timer() == kNever) {
        return;
    }
    last_tick_ = events_.background_timer();
    run_next_event();
    while (!events_.empty() && !interrupted()) {
        run_next_event();
    }
    tick_fresh_ = true;
    publish_clock();
}

void Device::align_for_admission() {
    if (options_.free_host_clock) {
        return; // counts are not to be the same on every run
    }
    const Cycle wait = options_.config.sim.admission_clocks;
    const auto target = [&] {
        return tick_fresh_ ? std::max(last_tick_ + wait, events_.now()) : events_.now() + wait;
    };
    for (unsigned step = 0; step < kMaxSteps && events_.background_timer() != kNever &&
                            !(tick_fresh_ && target() < events_.background_timer());
         ++step) {
        step_to_timer();
    }
    if (target() < events_.next_time()) {
        events_.advance_to(target());
    }
    // Nothing is under way any more: phases that count from time zero count from here.
    fabric_.rebase(events_.now());
    governor_.restart(events_.now());
    tick_fresh_ = false;
}

void Device::sleep_until_host_acts() {
    using Clock = std::chrono::steady_clock;
    const bool shadow = queue_engine_.shadow_active();
    unsigned qid = 0;
    std::uint32_t tail = 0;
    const auto something = [&] {
        return shadow &&
               (queue_engine_.poll_shadow(qid, tail) || queue_engine_.poll_shadow_heads());
    };
    if (shadow) {
        const auto until = Clock::now() + kSpin;
        do {
            if (something() || inbox_.wait(std::chrono::microseconds(0))) {
                return;
            }
        } while (Clock::now() < until);
        queue_engine_.request_doorbells();
    }
    if (!something()) {
        inbox_.wait(kNap);
    }
    if (shadow) {
        queue_engine_.withdraw_doorbells();
    }
}

} // namespace talus::sim
