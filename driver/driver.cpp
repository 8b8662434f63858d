// The C ABI: checks arguments, calls the C++ inside, turns exceptions into a status and a message.
#include "talus/driver.h"

#include "binding.hpp"
#include "device.hpp"
#include "error.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sstream>

using namespace talus::driver;

struct talus_drv_device {
    std::unique_ptr<Device> device;
};

namespace {

thread_local std::string last_error;
thread_local std::string device_status;

template <typename Operation>
talus_drv_status call(Operation&& operation) noexcept {
    try {
        operation();
        return TALUS_DRV_OK;
    } catch (const Error& error) {
        last_error = error.what();
        return error.status();
    } catch (const std::bad_alloc&) {
        last_error = "out of memory";
        return TALUS_DRV_OUT_OF_HOST_MEMORY;
    } catch (const std::exception& error) {
        last_error = error.what();
        return TALUS_DRV_INTERNAL;
    }
}

void require(bool condition, const char* message) {
    if (!condition)
        throw Error(TALUS_DRV_INVALID_ARGUMENT, message);
}

// Copies as much of a struct as the caller's version of it has. The caller's struct_size stays.
template <typename T>
void give(T* to, T from) {
    require(to != nullptr && to->struct_size >= sizeof(std::size_t) && to->struct_size <= 65536,
            "struct_size of an output struct is not set");
    from.struct_size = to->struct_size;
    std::memcpy(static_cast<void*>(to), &from, std::min(to->struct_size, sizeof from));
}

// An options struct of any version; NULL gives the defaults.
template <typename T>
T take(const T* from) {
    T to{};
    if (from != nullptr) {
        require(from->struct_size >= sizeof(std::size_t) && from->struct_size <= 65536,
                "struct_size of an options struct is not set");
        std::memcpy(static_cast<void*>(&to), from, std::min(from->struct_size, sizeof to));
    }
    return to;
}

std::string text(const char* value) {
    return value == nullptr ? "" : value;
}

template <std::size_t N>
void put(char (&to)[N], const std::string& from) {
    std::snprintf(to, N, "%s", from.c_str());
}

void put(char* to, std::size_t capacity, const std::string& from) {
    if (to != nullptr && capacity != 0)
        std::snprintf(to, capacity, "%s", from.c_str());
}

std::string bdf_of(const char* name) {
    const auto bdf = canonical_bdf(text(name));
    require(bdf.has_value(), "the device's name is no BDF (0000:03:00.0)");
    return *bdf;
}

WaitBy wait_by(std::uint32_t mode) {
    require(mode <= TALUS_DRV_COMPLETION_POLL, "completion_mode is unknown");
    return mode == TALUS_DRV_COMPLETION_POLL ? WaitBy::kPoll : WaitBy::kSleep;
}

[[noreturn]] void throw_inherited(const Device& device) {
    throw Error(TALUS_DRV_DEVICE_LOST, "device " + device.name() +
                                           " belongs to the process that this one was forked " +
                                           "from; what a child needs it opens itself");
}

OpenOptions convert(const talus_drv_open_options* given) {
    const talus_drv_open_options from = take(given);
    require((from.flags & ~(TALUS_DRV_OPEN_NO_BOOT | TALUS_DRV_OPEN_DMA_BY_MESSAGE)) == 0,
            "unknown flags in talus_drv_open_options");
    require(from.shadow <= TALUS_DRV_SHADOW_OFF, "shadow is unknown");
    OpenOptions to;
    to.device = text(from.device);
    to.sysfs = text(from.sysfs);
    to.firmware = text(from.firmware);
    to.transport.simulator = text(from.simulator);
    if (from.simulator_args != nullptr) {
        for (const char* const* argument = from.simulator_args; *argument != nullptr; ++argument)
            to.transport.simulator_args.emplace_back(*argument);
    } else if (const char* arguments = std::getenv("TALUS_SIM_ARGS")) {
        std::istringstream words(arguments);
        for (std::string word; words >> word;)
            to.transport.simulator_args.push_back(word);
    }
    if (const char* record = std::getenv("TALUS_RECORD"))
        to.transport.record = record;
    to.boot = (from.flags & TALUS_DRV_OPEN_NO_BOOT) == 0;
    to.share_fd = (from.flags & TALUS_DRV_OPEN_DMA_BY_MESSAGE) == 0;
    to.shadow = from.shadow == TALUS_DRV_SHADOW_AUTO;
    to.wait_by = wait_by(from.completion_mode);
    if (from.boot_timeout_us != 0)
        to.boot_timeout_us = from.boot_timeout_us;
    if (from.command_timeout_us != 0)
        to.command_timeout_us = from.command_timeout_us;
    return to;
}

Device& use(talus_drv_device* device) {
    require(device != nullptr, "device is NULL");
    if (device->device->inherited())
        throw_inherited(*device->device);
    return *device->device;
}

IoQueue& use(talus_drv_queue* queue) {
    require(queue != nullptr, "queue is NULL");
    auto& io = *reinterpret_cast<IoQueue*>(queue);
    if (io.device().inherited())
        throw_inherited(io.device());
    return io;
}

} // namespace

const char* talus_drv_status_name(talus_drv_status status) {
    return status_name(status);
}

const char* talus_drv_last_error(void) {
    return last_error.c_str();
}

const char* talus_drv_device_status_name(uint16_t status) {
    try {
        device_status = device_status_text(status);
        return device_status.c_str();
    } catch (const std::exception&) {
        return "out of memory";
    }
}

talus_drv_status talus_drv_discover(const char* sysfs, talus_drv_found* found, size_t capacity,
                                    size_t* count) {
    return call([&] {
        require(count != nullptr && (found != nullptr || capacity == 0),
                "count is NULL, or found is NULL with a capacity");
        const std::vector<FoundDevice> devices = discover(text(sysfs));
        for (std::size_t i = 0; i < std::min(capacity, devices.size()); ++i) {
            const FoundDevice& from = devices[i];
            talus_drv_found to{};
            to.struct_size = sizeof to;
            put(to.name, from.bdf);
            put(to.socket, from.socket);
            put(to.driver, from.kernel_driver);
            to.vendor_id = from.vendor_id;
            to.device_id = from.device_id;
            to.revision = from.revision;
            to.simulated = from.simulated;
            to.bar_count = from.bar_count;
            to.abi_version = from.abi_version;
            found[i] = to;
        }
        *count = devices.size();
    });
}

talus_drv_status talus_drv_bind(const char* name, char* former, size_t capacity) {
    return call([&] { put(former, capacity, bind_to_vfio(Syscalls::linux(), bdf_of(name))); });
}

talus_drv_status talus_drv_unbind(const char* name, char* former, size_t capacity) {
    return call([&] { put(former, capacity, unbind_from_vfio(Syscalls::linux(), bdf_of(name))); });
}

talus_drv_status talus_drv_open(const talus_drv_open_options* options, talus_drv_device** device) {
    return call([&] {
        require(device != nullptr, "device is NULL");
        auto handle = std::make_unique<talus_drv_device>();
        handle->device = Device::open(convert(options));
        *device = handle.release();
    });
}

void talus_drv_close(talus_drv_device* device) {
    // In a child of fork() none of it is this process's to end, nor is its DMA memory there.
    if (device == nullptr || device->device->inherited())
        return;
    delete device;
}

talus_drv_status talus_drv_get_info(talus_drv_device* device, talus_drv_device_info* info) {
    return call([&] { give(info, use(device).info()); });
}

talus_drv_status talus_drv_get_telemetry(talus_drv_device* device, talus_drv_telemetry* telemetry) {
    return call([&] { give(telemetry, use(device).telemetry()); });
}

talus_drv_status talus_drv_read_log(talus_drv_device* device, char* text, size_t capacity,
                                    size_t* length) {
    return call([&] {
        require(length != nullptr && (text != nullptr || capacity == 0),
                "length is NULL, or text is NULL with a capacity");
        const std::string log = use(device).log();
        if (capacity != 0) {
            const std::size_t copied = std::min(capacity - 1, log.size());
            std::memcpy(text, log.data(), copied);
            text[copied] = '\0';
        }
        *length = log.size() + 1;
    });
}

talus_drv_status talus_drv_reset(talus_drv_device* device) {
    return call([&] { use(device).reset(); });
}

talus_drv_status talus_drv_reset_by(talus_drv_device* device, talus_drv_rung rung,
                                    talus_drv_recovery* recovery) {
    return call([&] {
        const talus_drv_recovery done = use(device).reset_by(rung);
        if (recovery != nullptr)
            give(recovery, done);
    });
}

const char* talus_drv_rung_name(talus_drv_rung rung) {
    switch (rung) {
    case TALUS_DRV_RUNG_NONE:
        return "none needed";
    case TALUS_DRV_RUNG_ABORT:
        return "abort and reset of the sub-grid";
    case TALUS_DRV_RUNG_FLR:
        return "function-level reset";
    case TALUS_DRV_RUNG_HOT:
        return "hot reset";
    case TALUS_DRV_RUNG_FUNDAMENTAL:
        return "fundamental reset";
    }
    return "unknown";
}

talus_drv_status talus_drv_recover(talus_drv_queue* queue, talus_drv_recovery* recovery) {
    return call([&] {
        const talus_drv_recovery done = use(queue).recover();
        if (recovery != nullptr)
            give(recovery, done);
    });
}

talus_drv_status talus_drv_memory_alloc(talus_drv_device* device, talus_drv_memory memory,
                                        uint64_t bytes, uint64_t alignment,
                                        uint64_t* device_address) {
    return call([&] {
        require(device_address != nullptr, "device_address is NULL");
        *device_address = use(device).memory_allocate(memory, bytes, alignment);
    });
}

talus_drv_status talus_drv_memory_free(talus_drv_device* device, uint64_t device_address) {
    return call([&] { use(device).memory_free(device_address); });
}

talus_drv_status talus_drv_memory_usage(talus_drv_device* device, talus_drv_memory memory,
                                        uint64_t* used, uint64_t* total) {
    return call([&] {
        require(used != nullptr && total != nullptr, "used or total is NULL");
        use(device).memory_usage(memory, *used, *total);
    });
}

talus_drv_status talus_drv_host_alloc(talus_drv_device* device, uint64_t bytes, uint64_t alignment,
                                      talus_drv_host_buffer* buffer) {
    return call([&] {
        require(buffer != nullptr, "buffer is NULL");
        const DmaBuffer allocated = use(device).host_allocate(bytes, alignment);
        *buffer = {allocated.pointer, allocated.iova, allocated.bytes};
    });
}

talus_drv_status talus_drv_host_free(talus_drv_device* device,
                                     const talus_drv_host_buffer* buffer) {
    return call([&] {
        require(buffer != nullptr, "buffer is NULL");
        use(device).host_free(buffer->iova);
    });
}

talus_drv_status talus_drv_queue_create(talus_drv_device* device,
                                        const talus_drv_queue_options* options,
                                        talus_drv_queue** queue) {
    return call([&] {
        require(queue != nullptr, "queue is NULL");
        const talus_drv_queue_options from = take(options);
        Device& owner = use(device);
        const WaitBy by =
            from.completion_mode == 0 ? owner.options().wait_by : wait_by(from.completion_mode - 1);
        *queue = reinterpret_cast<talus_drv_queue*>(owner.create_queue(from.entries, by));
    });
}

void talus_drv_queue_destroy(talus_drv_queue* queue) {
    if (queue == nullptr)
        return;
    auto* io = reinterpret_cast<IoQueue*>(queue);
    if (io->device().inherited())
        return;
    (void)call([&] { io->device().destroy_queue(io); });
}

talus_drv_status talus_drv_submit(talus_drv_queue* queue, const talus_drv_command* commands,
                                  size_t count, uint32_t* cids) {
    return call([&] {
        require(commands != nullptr && count != 0, "there are no commands");
        use(queue).submit({commands, count}, cids == nullptr
                                                 ? std::span<std::uint32_t>()
                                                 : std::span<std::uint32_t>(cids, count));
    });
}

talus_drv_status talus_drv_wait(talus_drv_queue* queue, talus_drv_completion* completions,
                                size_t minimum, size_t capacity, size_t* count,
                                uint64_t timeout_us) {
    return call([&] {
        require(count != nullptr && (completions != nullptr || capacity == 0),
                "count is NULL, or completions is NULL with a capacity");
        use(queue).wait({completions, capacity}, minimum, *count, timeout_us);
    });
}

talus_drv_status talus_drv_poll(talus_drv_queue* queue, talus_drv_completion* completions,
                                size_t capacity, size_t* count) {
    return call([&] {
        require(count != nullptr && (completions != nullptr || capacity == 0),
                "count is NULL, or completions is NULL with a capacity");
        use(queue).poll({completions, capacity}, *count);
    });
}

size_t talus_drv_in_flight(const talus_drv_queue* queue) {
    return queue == nullptr ? 0 : reinterpret_cast<const IoQueue*>(queue)->in_flight();
}

talus_drv_status talus_drv_get_fault(talus_drv_queue* queue, talus_drv_fault* fault) {
    return call([&] { give(fault, use(queue).fault()); });
}

talus_drv_status talus_drv_copy_in(talus_drv_queue* queue, uint64_t device_address,
                                   const void* source, uint64_t bytes) {
    return call([&] {
        require(source != nullptr || bytes == 0, "source is NULL");
        use(queue).copy_in(device_address, source, bytes);
    });
}

talus_drv_status talus_drv_copy_out(talus_drv_queue* queue, void* destination,
                                    uint64_t device_address, uint64_t bytes) {
    return call([&] {
        require(destination != nullptr || bytes == 0, "destination is NULL");
        use(queue).copy_out(destination, device_address, bytes);
    });
}
