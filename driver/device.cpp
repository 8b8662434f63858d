#include "device.hpp"

#include "daemon_transport.hpp"
#include "error.hpp"

#include "talus/hw/contract_hash.h"
#include "talus/hw/pci.h"
#include "talus/hw/status.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

namespace talus::driver {
namespace {

constexpr std::uint32_t kAdminEntries = 16;
constexpr std::uint64_t kPage = IovaSpace::kPage;
// The domain of I/O queues: it sees the arenas of command buffers, and neither rings nor shadow
// pages, so that a stray device address in a command cannot reach the queues themselves.
constexpr std::uint8_t kDataDomain = 1;

constexpr std::uint32_t kPciCommand = 0x04;
constexpr std::uint16_t kPciCommandMemory = 0x2;
constexpr std::uint16_t kPciCommandBusMaster = 0x4;
constexpr std::uint32_t kPciCapabilities = 0x34;
constexpr std::uint8_t kPciCapMsix = 0x11;
constexpr std::uint16_t kMsixEnable = 0x8000;
constexpr std::uint8_t kPciCapExpress = 0x10;
constexpr std::uint32_t kExpressDeviceCap = 0x4;
constexpr std::uint32_t kExpressFlrCapable = 1u << 28;
constexpr std::uint32_t kExpressDeviceControl = 0x8;
constexpr unsigned kExpressPayloadShift = 5;
constexpr std::uint16_t kExpressExtendedTags = 0x0100;
constexpr std::uint16_t kExpressInitiateFlr = 0x8000;

template <typename T>
T config_get(Transport& transport, std::uint32_t offset) {
    T value{};
    transport.config_read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

template <typename T>
void config_set(Transport& transport, std::uint32_t offset, T value) {
    transport.config_write(offset, std::as_bytes(std::span(&value, 1)));
}

// Offset of a capability, or 0.
std::uint32_t find_capability(Transport& transport, std::uint8_t id) {
    std::uint32_t position = config_get<std::uint8_t>(transport, kPciCapabilities) & 0xfcu;
    for (int hops = 0; position >= 0x40 && hops < 48; ++hops) {
        const auto header = config_get<std::uint16_t>(transport, position);
        if ((header & 0xff) == id)
            return position;
        position = header >> 8 & 0xfcu;
    }
    return 0;
}

template <std::size_t N>
void put_text(char (&to)[N], const std::string& from) {
    const std::size_t length = std::min(N - 1, from.size());
    std::memcpy(to, from.data(), length);
    to[length] = '\0';
}

template <std::size_t N>
std::string padded_text(const char (&from)[N]) {
    return std::string(from, strnlen(from, N));
}

} // namespace

// ---- Open and close ----

std::unique_ptr<Device> Device::open(const OpenOptions& options) {
    const Target target = resolve_target(options.device, options.sysfs);
    OpenOptions adapted = options;
    if (!options.transport.record.empty() || target.transport == "replay") {
        // All that the device does has to pass through the transport, and whether a doorbell is
        // rung must not hang on how fast either side is.
        adapted.share_fd = false;
        adapted.shadow = false;
    }
    return std::make_unique<Device>(open_transport(target, options.transport), target.name,
                                    adapted);
}

Device::Device(std::unique_ptr<Transport> transport, const std::string& name,
               const OpenOptions& options)
    : options_(options), name_(name), transport_(std::move(transport)),
      daemon_(transport_->daemon()), registers_(*transport_),
      waiter_(*transport_, registers_, name), doorbells_(*transport_),
      iova_(transport_->iova_ranges()),
      control_memory_(*transport_, iova_, options.share_fd, nullptr),
      data_memory_(*transport_, iova_, options.share_fd,
                   [this](const DmaRegion& arena, bool added) { window(arena, added); }) {
    if (daemon_ != nullptr) {
        join();
        return;
    }
    const auto identity = config_get<std::uint32_t>(*transport_, 0);
    if (identity != (TALUS_PCI_DEVICE_ID << 16 | TALUS_PCI_VENDOR_ID)) {
        char text[16];
        std::snprintf(text, sizeof text, "%04x:%04x", identity & 0xffff, identity >> 16);
        throw Error(TALUS_DRV_PROTOCOL, "device " + name_ + " is a " + text + ", no Talus device");
    }
    enable_memory();
    check_contract(registers_, name_);
    if (options_.boot) {
        const std::lock_guard lock(admin_mutex_);
        const bool running = registers_.frozen(FROZEN_BOOT_STATE) == TALUS_BOOT_READY;
        boot_firmware(registers_, waiter_, options_.firmware, options_.boot_timeout_us);
        try {
            bring_up(options_.boot_timeout_us);
        } catch (const Error& error) {
            // Firmware of another bundle that an earlier owner booted: replace it by ours.
            if (!running || error.status() != TALUS_DRV_VERSION_MISMATCH)
                throw;
            reset_to_rom(registers_, waiter_, options_.boot_timeout_us);
            boot_firmware(registers_, waiter_, options_.firmware, options_.boot_timeout_us);
            bring_up(options_.boot_timeout_us);
        }
        return;
    }
    // For inspection: what was just switched on gets the time to reach its boot ROM.
    try {
        waiter_.until([&] { return registers_.frozen(FROZEN_BOOT_STATE) != TALUS_BOOT_RESET; },
                      "the boot ROM", options_.boot_timeout_us);
    } catch (const Error& error) {
        if (error.status() != TALUS_DRV_TIMEOUT)
            throw;
    }
}

Device::~Device() {
    // The device stops reading and writing our memory before any of it is unmapped.
    if (daemon_ != nullptr)
        daemon_->leave();
    else
        disable_pci();
    ready_ = false;
    queues_.clear();
}

void Device::disable_pci() noexcept {
    try {
        if (admin_queue_ != nullptr)
            registers_.write_controller(CTRL_ENABLE, 0);
        const auto command = config_get<std::uint16_t>(*transport_, kPciCommand);
        config_set<std::uint16_t>(*transport_, kPciCommand,
                                  command & static_cast<std::uint16_t>(~kPciCommandBusMaster));
    } catch (const Error&) {
        // Gone already.
    }
}

void Device::enable_memory() {
    const auto command = config_get<std::uint16_t>(*transport_, kPciCommand);
    config_set<std::uint16_t>(*transport_, kPciCommand, command | kPciCommandMemory);
}

void Device::enable_pci() {
    // Larger packets carry more data for the same headers. Beneath an operating system its PCI core
    // has chosen the size, and vfio-pci ignores what is written here; over vfio-user nobody has.
    if (const std::uint32_t express = find_capability(*transport_, kPciCapExpress); express != 0) {
        const auto supported =
            config_get<std::uint32_t>(*transport_, express + kExpressDeviceCap) & 7u;
        const auto control =
            config_get<std::uint16_t>(*transport_, express + kExpressDeviceControl);
        config_set<std::uint16_t>(
            *transport_, express + kExpressDeviceControl,
            static_cast<std::uint16_t>((control & ~(7u << kExpressPayloadShift)) |
                                       supported << kExpressPayloadShift | kExpressExtendedTags));
    }
    if (const std::uint32_t msix = find_capability(*transport_, kPciCapMsix); msix != 0) {
        const auto control = config_get<std::uint16_t>(*transport_, msix + 2);
        config_set<std::uint16_t>(*transport_, msix + 2, control | kMsixEnable);
    }
    const auto command = config_get<std::uint16_t>(*transport_, kPciCommand);
    config_set<std::uint16_t>(*transport_, kPciCommand,
                              command | kPciCommandMemory | kPciCommandBusMaster);
}

bool Device::has_function_level_reset() {
    const std::uint32_t express = find_capability(*transport_, kPciCapExpress);
    return express != 0 && (config_get<std::uint32_t>(*transport_, express + kExpressDeviceCap) &
                            kExpressFlrCapable) != 0;
}

void Device::function_level_reset() {
    const std::uint32_t express = find_capability(*transport_, kPciCapExpress);
    // Nothing new starts, then everything stops. PCIe gives the function 100 ms, in which it may
    // answer config reads with all ones; a simulated one is back when the write returns.
    disable_pci();
    const auto control = config_get<std::uint16_t>(*transport_, express + kExpressDeviceControl);
    config_set<std::uint16_t>(*transport_, express + kExpressDeviceControl,
                              control | kExpressInitiateFlr);
    for (int tries = 0; tries < 100; ++tries) {
        if (config_get<std::uint32_t>(*transport_, 0) != 0xffffffffu)
            return;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    throw Error(TALUS_DRV_DEVICE_LOST,
                "device " + name_ + " is lost: it did not come back from its function-level reset");
}

void Device::bring_up(std::uint64_t limit_us) {
    ready_ = false;
    if (!admin_event_.valid()) {
        admin_event_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        if (!admin_event_.valid())
            throw system_error("eventfd", errno);
        admin_submission_ = control_memory_.allocate(kAdminEntries * TALUS_SQE_BYTES, kPage);
        admin_completion_ = control_memory_.allocate(kAdminEntries * TALUS_CQE_BYTES, kPage);
        admin_data_ = control_memory_.allocate(kPage, kPage);
        shadow_pages_ = control_memory_.allocate(2 * kPage, kPage);
    }
    std::memset(admin_completion_.pointer, 0, admin_completion_.bytes);
    std::memset(shadow_pages_.pointer, 0, shadow_pages_.bytes);
    doorbells_.use_bar_only();
    shadow_in_use_ = false;
    admin_queue_ =
        std::make_unique<QueuePair>(TALUS_QUEUE_ADMIN, kAdminEntries, admin_submission_.pointer,
                                    admin_completion_.pointer, doorbells_);
    const auto status = [this] {
        const std::uint32_t value = registers_.controller(CTRL_STATUS);
        // A register may hold all ones; two that do, one of them constant, are a missing device.
        if (value == 0xffffffffu && registers_.frozen(FROZEN_MAGIC) == 0xffffffffu)
            throw Error(TALUS_DRV_DEVICE_LOST,
                        "device " + name_ + " is lost: its registers read all ones");
        if ((value & TALUS_STATUS_FATAL) != 0)
            throw Error(TALUS_DRV_FIRMWARE,
                        "device " + name_ + " reports a fatal error; " + registers_.last_state());
        return value;
    };
    if ((status() & TALUS_STATUS_RDY) != 0) {
        // An earlier owner left its queues behind.
        registers_.write_controller(CTRL_ENABLE, 0);
        waiter_.until([&] { return (status() & TALUS_STATUS_RDY) == 0; }, "the admin queue to stop",
                      limit_us);
    }
    enable_pci();
    if (transport_->irq_count() != 0)
        transport_->irq_set(0, admin_event_.get());
    const auto low = [](std::uint64_t value) { return static_cast<std::uint32_t>(value); };
    registers_.write_controller(CTRL_AQ_ENTRIES, kAdminEntries);
    registers_.write_controller(CTRL_AQ_VECTOR, 0);
    registers_.write_controller(CTRL_ASQ_LO, low(admin_submission_.iova));
    registers_.write_controller(CTRL_ASQ_HI, low(admin_submission_.iova >> 32));
    registers_.write_controller(CTRL_ACQ_LO, low(admin_completion_.iova));
    registers_.write_controller(CTRL_ACQ_HI, low(admin_completion_.iova >> 32));
    registers_.write_controller(CTRL_ENABLE, 1);
    waiter_.until([&] { return (status() & TALUS_STATUS_RDY) != 0; }, "the admin queue to start",
                  limit_us);
    identify();
    const std::uint32_t capabilities = registers_.frozen(FROZEN_CAP);
    gzip_ = (capabilities & TALUS_CAP_GZIP) != 0;
    if (options_.shadow && (capabilities & TALUS_CAP_SHADOW) != 0) {
        // In use on our side first: the device may look at the page as soon as it knows of it, and
        // must find this very command's tail there.
        doorbells_.use_shadow(reinterpret_cast<std::uint32_t*>(shadow_pages_.pointer),
                              reinterpret_cast<std::uint32_t*>(shadow_pages_.pointer + kPage));
        talus_sqe command{};
        command.opcode = TALUS_ADMIN_SET_SHADOW;
        command.u.set_shadow.shadow_iova = shadow_pages_.iova;
        command.u.set_shadow.event_iova = shadow_pages_.iova + kPage;
        admin_locked(command, "SET_SHADOW");
        shadow_in_use_ = true;
    }
    open_device_memory();
    ready_ = true;
}

void Device::open_device_memory() {
    const std::pair<std::uint64_t, std::uint64_t> memories[] = {
        {identity_.lls_base, identity_.lls_bytes}, // where kernels are: firmware looks here first
        {identity_.dram_base, identity_.dram_bytes}};
    std::uint16_t index = 0;
    for (const auto& [address, bytes] : memories) {
        talus_sqe command{};
        command.opcode = TALUS_ADMIN_SET_WINDOW;
        command.u.set_window.iova = address;
        command.u.set_window.length = bytes;
        command.u.set_window.index = index++;
        command.u.set_window.domain = kDataDomain;
        command.u.set_window.access = TALUS_WINDOW_READ | TALUS_WINDOW_WRITE | TALUS_WINDOW_DEVICE;
        admin_locked(command, "SET_WINDOW");
    }
}

void Device::identify() {
    std::memset(admin_data_.pointer, 0, sizeof(talus_identify));
    talus_sqe command{};
    command.opcode = TALUS_ADMIN_IDENTIFY;
    command.u.buffer.iova = admin_data_.iova;
    command.u.buffer.bytes = sizeof(talus_identify);
    admin_locked(command, "IDENTIFY");
    talus_identify identity{};
    std::memcpy(&identity, admin_data_.pointer, sizeof identity);
    accept_identity(identity);
}

void Device::accept_identity(const talus_identify& identity) {
    if (identity.contract_hash != TALUS_CONTRACT_HASH)
        throw Error(TALUS_DRV_VERSION_MISMATCH,
                    "device " + name_ + " runs firmware " + padded_text(identity.firmware) +
                        " of another contract than this driver (bundle " +
                        TALUS_BUNDLE_VERSION_STRING "); simulator, firmware and driver must come " +
                        "from one bundle");
    const auto range_ok = [](std::uint64_t base, std::uint64_t bytes) {
        return base % 64 == 0 && bytes <= TALUS_GIB(1024) && base <= TALUS_GIB(1024);
    };
    if (identity.rows == 0 || identity.cols == 0 || identity.rows > TALUS_MAX_ROWS ||
        identity.cols > TALUS_MAX_COLS || identity.clock_khz == 0 || identity.max_queues == 0 ||
        identity.max_queue_entries < 2 || identity.max_queue_entries > TALUS_MAX_QUEUE_ENTRIES ||
        !range_ok(identity.dram_base, identity.dram_bytes) ||
        !range_ok(identity.lls_base, identity.lls_bytes))
        throw Error(TALUS_DRV_PROTOCOL, "device " + name_ + " identifies itself with values that " +
                                            "no Talus device has");
    const std::lock_guard lock(memory_mutex_);
    identity_ = identity;
    dram_ = RangeAllocator(identity.dram_base, identity.dram_bytes, 64);
    lls_ = RangeAllocator(identity.lls_base, identity.lls_bytes, 64);
}

// ---- Lost ----

void Device::require_alive() {
    if (!lost_.load(std::memory_order_acquire))
        return;
    const std::lock_guard lock(lost_mutex_);
    throw Error(TALUS_DRV_DEVICE_LOST, lost_reason_);
}

void Device::require_ready() {
    if (!ready_)
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "device " + name_ + " was opened for inspection only, or its firmware does " +
                        "not run; " + registers_.last_state());
}

void Device::lose(const std::string& reason) {
    // What the firmware last said is the best hint at why; a wait's message has it already.
    const bool stated = reason.find("BOOT_STATE") != std::string::npos;
    const std::string full = stated ? reason : reason + "; " + registers_.last_state();
    const std::lock_guard lock(lost_mutex_);
    if (lost_.load(std::memory_order_relaxed))
        return;
    lost_reason_ = full;
    lost_.store(true, std::memory_order_release);
}

// ---- Admin commands ----

talus_cqe Device::admin(talus_sqe command, const char* what) {
    const std::lock_guard lock(admin_mutex_);
    require_ready();
    return guard([&] { return admin_locked(command, what); });
}

talus_cqe Device::admin_locked(talus_sqe command, const char* what, std::uint64_t timeout_us) {
    if (daemon_ != nullptr)
        return daemon_->admin(command, {admin_data_.pointer, admin_data_.bytes});
    const std::uint64_t tag = 0;
    std::uint32_t cid = 0;
    if (admin_queue_->room() == 0)
        throw Error(TALUS_DRV_DEVICE_LOST,
                    "device " + name_ + " is lost: it answers no admin " + "command");
    admin_queue_->submit({&command, 1}, {&tag, 1}, {&cid, 1});
    std::optional<QueuePair::Completion> answer;
    waiter_.until(
        [&] {
            // An earlier command that timed out may complete first.
            while (!answer) {
                auto next = admin_queue_->take();
                if (!next)
                    return false;
                if (next->entry.cid == cid)
                    answer = next;
            }
            return true;
        },
        std::string("admin command ") + what,
        timeout_us != 0 ? timeout_us : options_.command_timeout_us, options_.wait_by,
        transport_->irq_count() != 0 ? admin_event_.get() : -1);
    admin_queue_->acknowledge();
    const auto status = static_cast<std::uint16_t>(answer->entry.status >> 1);
    if (status != TALUS_OK)
        throw Error(TALUS_DRV_COMMAND_FAILED, "device " + name_ + ": admin command " + what +
                                                  " failed: " + device_status_text(status));
    return answer->entry;
}

talus_fault_record Device::fault_record(std::uint32_t qid) {
    talus_fault_record record{};
    const std::lock_guard lock(admin_mutex_);
    guard([&] {
        require_ready();
        std::memset(admin_data_.pointer, 0, sizeof record);
        talus_sqe command{};
        command.opcode = TALUS_ADMIN_GET_FAULT;
        command.u.buffer.iova = admin_data_.iova;
        command.u.buffer.bytes = sizeof record;
        command.u.buffer.qid = static_cast<std::uint16_t>(qid);
        admin_locked(command, "GET_FAULT");
        std::memcpy(&record, admin_data_.pointer, sizeof record);
    });
    return record;
}

void Device::set_window(std::uint16_t index, std::uint64_t iova, std::uint64_t length) {
    talus_sqe command{};
    command.opcode = TALUS_ADMIN_SET_WINDOW;
    command.u.set_window.iova = iova;
    command.u.set_window.length = length;
    command.u.set_window.index = index;
    command.u.set_window.domain = kDataDomain;
    command.u.set_window.access = TALUS_WINDOW_READ | TALUS_WINDOW_WRITE;
    admin(command, "SET_WINDOW");
}

void Device::window(const DmaRegion& arena, bool added) {
    if (!added) {
        const auto entry = windows_.find(arena.iova());
        if (entry == windows_.end())
            return;
        const std::uint16_t index = entry->second;
        windows_.erase(entry);
        try {
            set_window(index, arena.iova(), 0);
        } catch (const Error&) {
            // The mapping goes next, so the window leads nowhere.
        }
        return;
    }
    std::uint16_t index = 0;
    const auto taken = [&](std::uint16_t wanted) {
        return std::any_of(windows_.begin(), windows_.end(),
                           [&](const auto& entry) { return entry.second == wanted; });
    };
    while (taken(index))
        ++index;
    if (index >= std::min(identity_.windows_per_domain, TALUS_WINDOWS_PER_DOMAIN))
        throw Error(TALUS_DRV_OUT_OF_HOST_MEMORY,
                    "device " + name_ +
                        ": every host window is in use; use fewer and larger host " + "buffers");
    set_window(index, arena.iova(), arena.bytes());
    windows_.emplace(arena.iova(), index);
}

// ---- Information ----

talus_drv_device_info Device::info() {
    talus_drv_device_info info{};
    info.struct_size = sizeof info;
    const std::lock_guard lock(admin_mutex_);
    guard([&] {
        const std::uint32_t cap = registers_.frozen(FROZEN_CAP);
        info.simulated = (cap & TALUS_CAP_SIMULATED) != 0;
        info.abi_version = registers_.frozen(FROZEN_ABI_VERSION);
        info.contract_hash = registers_.frozen(FROZEN_CONTRACT_LO) |
                             std::uint64_t{registers_.frozen(FROZEN_CONTRACT_HI)} << 32;
        const talus_status_page status = registers_.status();
        info.boot_state = status.boot_state;
        info.post_code = status.post_code;
        info.failure_code = status.fail_code;
        info.reset_epoch = status.reset_epoch;
        info.clock_hz = std::uint64_t{status.clock_khz} * 1000;
        if (!ready_ && info.boot_state == TALUS_BOOT_READY) {
            const auto version = Mailbox(registers_, waiter_)
                                     .command(TALUS_MB_VERSION, 0, 0, options_.command_timeout_us);
            if (version.status == TALUS_OK)
                std::snprintf(info.firmware_version, sizeof info.firmware_version, "%u.%u.%u",
                              version.result0 >> 16, version.result0 >> 8 & 0xff,
                              version.result0 & 0xff);
        }
    });
    put_text(info.name, name_);
    put_text(info.transport, transport_->kind());
    put_text(info.boot_state_name, boot_state_name(info.boot_state));
    info.host_page_bytes = control_memory_.page_bytes();
    if (const std::uint64_t data = data_memory_.page_bytes(); data != 0)
        info.host_page_bytes = std::min(info.host_page_bytes, data);
    if (ready_) {
        put_text(info.product, padded_text(identity_.product));
        put_text(info.serial, padded_text(identity_.serial));
        put_text(info.firmware_version, padded_text(identity_.firmware));
        info.clock_hz = std::uint64_t{identity_.clock_khz} * 1000;
        info.grid_rows = identity_.rows;
        info.grid_cols = identity_.cols;
        info.dram_base = identity_.dram_base;
        info.dram_bytes = identity_.dram_bytes;
        info.lls_base = identity_.lls_base;
        info.lls_bytes = identity_.lls_bytes;
        info.local_memory_bytes = identity_.local_bytes;
        info.max_queues = std::min(identity_.max_queues, TALUS_MAX_QUEUES) - 1;
        info.max_queue_entries = identity_.max_queue_entries;
        info.max_args_bytes = identity_.max_args_bytes;
        info.max_sgl = identity_.max_sgl;
        info.gzip = gzip_ ? 1 : 0;
        info.shadow_doorbells = shadow_in_use_;
    }
    return info;
}

talus_drv_telemetry Device::telemetry() {
    const talus_status_page status = guard([&] { return registers_.status(); });
    talus_drv_telemetry telemetry{};
    telemetry.struct_size = sizeof telemetry;
    telemetry.heartbeat = status.heartbeat;
    telemetry.heartbeat_clock = status.heartbeat_clock;
    telemetry.device_clock = status.device_clock;
    telemetry.clock_hz = std::uint64_t{status.clock_khz} * 1000;
    telemetry.commands_completed = status.commands_done;
    telemetry.temperature_mc = status.temperature_mc;
    telemetry.power_mw = status.power_mw;
    telemetry.boot_state = status.boot_state;
    telemetry.post_code = status.post_code;
    telemetry.energy_uj = status.energy_uj;
    telemetry.unit_clock_hz = std::uint64_t{status.unit_clock_khz} * 1000;
    telemetry.clock_reason = status.clock_reason;
    telemetry.lost_interrupts = waiter_.lost_interrupts();
    std::copy_n(status.ecc_corrected, TALUS_ECC_MEMORIES, telemetry.ecc_corrected);
    std::copy_n(status.ecc_uncorrectable, TALUS_ECC_MEMORIES, telemetry.ecc_uncorrectable);
    return telemetry;
}

std::string Device::log() {
    return registers_.log(); // also of a lost device, where its memory is still mapped
}

// ---- Memory ----

RangeAllocator& Device::allocator(talus_drv_memory memory) {
    if (memory == TALUS_DRV_DRAM)
        return dram_;
    if (memory == TALUS_DRV_LLS)
        return lls_;
    throw Error(TALUS_DRV_INVALID_ARGUMENT, "no such device memory: " + std::to_string(memory));
}

std::uint64_t Device::memory_allocate(talus_drv_memory memory, std::uint64_t bytes,
                                      std::uint64_t alignment) {
    require_alive();
    require_ready();
    if (alignment == 0)
        alignment = 64;
    if (bytes == 0 || (alignment & (alignment - 1)) != 0)
        throw Error(TALUS_DRV_INVALID_ARGUMENT,
                    "device memory of " + std::to_string(bytes) + " bytes aligned to " +
                        std::to_string(alignment) +
                        ": the size must be above 0 and the alignment a power of two");
    if (daemon_ != nullptr) {
        const auto kind = static_cast<std::uint32_t>(memory);
        return guard([&] { return daemon_->memory_allocate(kind, bytes, alignment); });
    }
    const std::lock_guard lock(memory_mutex_);
    RangeAllocator& ranges = allocator(memory);
    const auto address = ranges.allocate(bytes, alignment);
    if (!address)
        throw Error(TALUS_DRV_OUT_OF_DEVICE_MEMORY,
                    "device " + name_ + ": no room for " + std::to_string(bytes) + " bytes in " +
                        (memory == TALUS_DRV_DRAM ? "DRAM" : "LLS") + ", " +
                        std::to_string(ranges.used()) + " of " + std::to_string(ranges.size()) +
                        " in use");
    return *address;
}

void Device::memory_free(std::uint64_t address) {
    if (daemon_ != nullptr)
        return guard([&] { daemon_->memory_free(address); });
    const std::lock_guard lock(memory_mutex_);
    if (!dram_.release(address) && !lls_.release(address))
        throw Error(TALUS_DRV_INVALID_ARGUMENT, "no allocation starts at the given device address");
}

void Device::memory_usage(talus_drv_memory memory, std::uint64_t& used, std::uint64_t& total) {
    if (daemon_ != nullptr) {
        const auto kind = static_cast<std::uint32_t>(memory);
        return guard([&] { daemon_->memory_usage(kind, used, total); });
    }
    const std::lock_guard lock(memory_mutex_);
    const RangeAllocator& ranges = allocator(memory);
    used = ranges.used();
    total = ranges.size();
}

DmaBuffer Device::host_allocate(std::uint64_t bytes, std::uint64_t alignment) {
    return guard([&] {
        require_ready();
        return data_memory_.allocate(bytes, alignment);
    });
}

void Device::host_free(std::uint64_t iova) {
    data_memory_.release(iova);
}

// ---- Queues ----

IoQueue* Device::create_queue(std::uint32_t entries, WaitBy wait_by) {
    const std::lock_guard lock(admin_mutex_);
    return guard([&] {
        require_ready();
        if (entries == 0)
            entries = std::min(256u, identity_.max_queue_entries);
        if (entries < 2 || (entries & (entries - 1)) != 0 || entries > identity_.max_queue_entries)
            throw Error(TALUS_DRV_INVALID_ARGUMENT,
                        "a queue has a power of two of entries, from 2 to " +
                            std::to_string(identity_.max_queue_entries) + ", not " +
                            std::to_string(entries));
        const auto taken = [&](std::uint32_t qid) {
            return std::any_of(queues_.begin(), queues_.end(), [&](const auto& queue) {
                return queue->epoch_ == epoch_ && queue->qid() == qid;
            });
        };
        std::uint32_t qid = 1;
        if (daemon_ != nullptr)
            qid = daemon_->reserve_queue();
        while (daemon_ == nullptr && taken(qid))
            ++qid;
        // Of talusd's numbers any may be this client's.
        const std::uint32_t end = daemon_ != nullptr ? TALUS_MAX_QUEUES : identity_.max_queues;
        if (qid >= std::min(end, TALUS_MAX_QUEUES))
            throw Error(TALUS_DRV_BUSY, "device " + name_ + ": every queue is in use");
        auto queue = std::make_unique<IoQueue>(*this, qid, entries, wait_by);
        queue->create();
        queues_.push_back(std::move(queue));
        return queues_.back().get();
    });
}

void Device::destroy_queue(IoQueue* queue) {
    bool hung = false;
    {
        const std::lock_guard lock(admin_mutex_);
        if (!lost_ && queue->epoch_ == epoch_) {
            try {
                guard([&] { queue->destroy(); });
            } catch (const Error& error) {
                hung = error.status() != TALUS_DRV_DEVICE_LOST;
            }
        }
    }
    // A device that cannot end the queue's commands would write into its memory later.
    if (hung) {
        try {
            reset();
        } catch (const Error& error) {
            lose(error.what());
        }
    }
    std::unique_ptr<IoQueue> owned;
    {
        const std::lock_guard lock(admin_mutex_);
        const auto entry = std::find_if(queues_.begin(), queues_.end(),
                                        [&](const auto& each) { return each.get() == queue; });
        if (entry == queues_.end())
            return;
        owned = std::move(*entry);
        queues_.erase(entry);
    }
    // Destroyed without the lock: giving its memory back may close a host window.
}

} // namespace talus::driver
