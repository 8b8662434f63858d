// The accelerator's table of functions, and how it is opened.
#include <cstdlib>
#include <string_view>
#include <vector>

#include "sdk/common/error.hpp"
#include "sdk/targets/talus_device.hpp"
#include "sdk/targets/targets.hpp"

namespace talus::targets {

namespace {

using kernels::Diagnostic;
using kernels::Node;
using kernels::Status;

struct CardEvent {
    TalusStream* stream = nullptr; // null: never recorded
    std::uint64_t position = 0;
};

// Device addresses travel as pointers through the table; the host never follows them.
void* pointer_of(std::uint64_t address) {
    return reinterpret_cast<void*>(address); // NOLINT(performance-no-int-to-ptr)
}

TalusCard& card_of(const kernels::Device* device) {
    return *reinterpret_cast<TalusCard*>(const_cast<kernels::Device*>(device));
}
TalusStream& stream_of(kernels::Stream* stream) {
    return *reinterpret_cast<TalusStream*>(stream);
}
CardEvent& event_of(kernels::Event* event) {
    return *reinterpret_cast<CardEvent*>(event);
}

Status status_of(talus_status status) {
    switch (status) {
    case TALUS_SUCCESS:
        return Status::kOk;
    case TALUS_ERROR_UNSUPPORTED:
        return Status::kUnsupported;
    case TALUS_ERROR_BAD_INPUT:
    case TALUS_ERROR_INVALID_ARGUMENT:
        return Status::kBadArgument;
    case TALUS_ERROR_INDEX_OUT_OF_RANGE:
        return Status::kIndexOutOfRange;
    case TALUS_ERROR_OUT_OF_MEMORY:
        return Status::kOutOfMemory;
    case TALUS_ERROR_UNAVAILABLE:
        return Status::kUnavailable;
    case TALUS_ERROR_DEVICE_LOST:
        return Status::kDeviceLost;
    case TALUS_ERROR_TIMEOUT:
        return Status::kTimedOut;
    default:
        return Status::kDeviceError;
    }
}

// The table's functions never throw.
template <typename Body>
Status bracket(Diagnostic* diagnostic, Body&& body) {
    try {
        return body();
    } catch (const Failure& failure) {
        return kernels::fail(diagnostic, status_of(failure.status()), "%s", failure.what());
    } catch (const std::exception& error) {
        return kernels::fail(diagnostic, Status::kOutOfMemory, "%s", error.what());
    }
}

Status open(std::int32_t, kernels::Device** device, Diagnostic* diagnostic) {
    return bracket(diagnostic, [&] {
        const talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        *device = reinterpret_cast<kernels::Device*>(new TalusCard(open_driver(options)));
        return Status::kOk;
    });
}

void close(kernels::Device* device) {
    delete &card_of(device);
}

const kernels::Capabilities* capabilities(const kernels::Device* device) {
    return &card_of(device).capabilities();
}

Status allocate(kernels::Device* device, std::size_t bytes, void** address,
                Diagnostic* diagnostic) {
    return bracket(diagnostic, [&] {
        *address = pointer_of(card_of(device).allocate(TALUS_DRV_DRAM, bytes));
        return Status::kOk;
    });
}

void release(kernels::Device* device, void* address) {
    card_of(device).release(reinterpret_cast<std::uint64_t>(address));
}

Status stream_create(kernels::Device* device, kernels::Stream** stream, Diagnostic* diagnostic) {
    return bracket(diagnostic, [&] {
        *stream = reinterpret_cast<kernels::Stream*>(card_of(device).take_stream());
        return Status::kOk;
    });
}

void stream_destroy(kernels::Stream* stream) {
    stream_of(stream).card().give_stream(&stream_of(stream));
}

Status event_create(kernels::Device*, kernels::Event** event, Diagnostic* diagnostic) {
    return bracket(diagnostic, [&] {
        *event = reinterpret_cast<kernels::Event*>(new CardEvent);
        return Status::kOk;
    });
}

void event_destroy(kernels::Event* event) {
    delete &event_of(event);
}

Status record(kernels::Stream* stream, kernels::Event* event, Diagnostic*) {
    event_of(event) = {&stream_of(stream), stream_of(stream).position()};
    return Status::kOk;
}

// Nothing is on the device before a stream is synchronised, so the other stream's work is done
// first.
Status wait_event(kernels::Stream* stream, kernels::Event* event, Diagnostic* diagnostic) {
    return bracket(diagnostic, [&] {
        TalusStream* other = event_of(event).stream;
        if (other != nullptr && other != &stream_of(stream))
            other->synchronize();
        return Status::kOk;
    });
}

Status synchronize(kernels::Stream* stream, Diagnostic* diagnostic) {
    return bracket(diagnostic, [&] {
        stream_of(stream).synchronize();
        return Status::kOk;
    });
}

Status elapsed(kernels::Event* begin, kernels::Event* end, double* seconds,
               Diagnostic* diagnostic) {
    const CardEvent& from = event_of(begin);
    const CardEvent& to = event_of(end);
    if (from.stream == nullptr || from.stream != to.stream)
        return kernels::fail(diagnostic, Status::kBadArgument,
                             "talus: elapsed() needs two events of one stream");
    const std::uint64_t cycles =
        to.stream->cycles_at(to.position) - from.stream->cycles_at(from.position);
    *seconds = static_cast<double>(cycles) / static_cast<double>(to.stream->card().info().clock_hz);
    return Status::kOk;
}

Status copy(kernels::Stream* stream, void* destination, const void* source, std::size_t bytes,
            kernels::CopyKind kind, Diagnostic* diagnostic) {
    return bracket(diagnostic, [&] {
        stream_of(stream).copy(destination, source, bytes, kind);
        return Status::kOk;
    });
}

// The node's kernel, after its signature has been checked; null if there is none or it does not
// fit, with the reason in `status` and `diagnostic`.
const kernels::TalusKernel* resolve(const Node& node, Status& status, Diagnostic* diagnostic) {
    const kernels::RegistryEntry* entry = kernels::find_operator(node.op);
    if (entry == nullptr || entry->talus == nullptr) {
        status = kernels::fail(diagnostic, Status::kUnsupported,
                               "the accelerator has no kernel for '%s'", node.op);
        return nullptr;
    }
    status = entry->op->infer(node, diagnostic);
    return status == Status::kOk ? entry->talus : nullptr;
}

Status supports(const kernels::Device* device, const Node* node, Diagnostic* reason) {
    Status status = Status::kOk;
    const kernels::TalusKernel* kernel = resolve(*node, status, reason);
    if (kernel == nullptr)
        return status;
    status = kernel->supports(*node, card_of(device).capabilities(), reason);
    if (status != Status::kOk)
        return status;
    return bracket(reason, [&] {
        card_of(device).kernel(kernel->image); // a build without the image does not run it
        return Status::kOk;
    });
}

Status packed_bytes(const kernels::Device* device, const Node* node, std::size_t* bytes,
                    Diagnostic* diagnostic) {
    Status status = Status::kOk;
    const kernels::TalusKernel* kernel = resolve(*node, status, diagnostic);
    if (kernel != nullptr)
        *bytes = kernel->packed_bytes(*node, card_of(device).capabilities());
    return status;
}

Status prepack(const kernels::Device* device, const Node* node, void* packed,
               Diagnostic* diagnostic) {
    Status status = Status::kOk;
    const kernels::TalusKernel* kernel = resolve(*node, status, diagnostic);
    return kernel == nullptr
               ? status
               : kernel->prepack(*node, card_of(device).capabilities(), packed, diagnostic);
}

Status workspace_bytes(const kernels::Device* device, const Node* node, std::size_t* bytes,
                       Diagnostic* diagnostic) {
    Status status = Status::kOk;
    const kernels::TalusKernel* kernel = resolve(*node, status, diagnostic);
    if (kernel != nullptr)
        *bytes = kernel->workspace_bytes(*node, card_of(device).capabilities());
    return status;
}

Status launch(kernels::Stream* stream, const Node* node, const void* packed, void* workspace,
              Diagnostic* diagnostic) {
    Status status = Status::kOk;
    const kernels::TalusKernel* kernel = resolve(*node, status, diagnostic);
    if (kernel == nullptr)
        return status;
    return bracket(diagnostic, [&] {
        if (node->output_count > 0 && node->output().elements() == 0)
            return Status::kOk;
        stream_of(stream).launch(*node, *kernel, packed, workspace);
        return Status::kOk;
    });
}

constexpr kernels::Target kTalusTarget{sizeof(kernels::Target),
                                       kernels::kTargetAbi,
                                       "talus",
                                       open,
                                       close,
                                       capabilities,
                                       allocate,
                                       release,
                                       stream_create,
                                       stream_destroy,
                                       event_create,
                                       event_destroy,
                                       record,
                                       wait_event,
                                       synchronize,
                                       elapsed,
                                       copy,
                                       supports,
                                       packed_bytes,
                                       prepack,
                                       workspace_bytes,
                                       launch};

// talus_device_options that own their strings: what it takes to open the device again.
struct OpenOptions {
    std::string device, firmware, simulator; // "": as found
    bool require_hardware = false;
    bool profile = false;
    std::uint64_t command_timeout_us = 0;

    explicit OpenOptions(const talus_device_options& from)
        : device(text(from.device)), firmware(text(from.firmware)), simulator(text(from.simulator)),
          require_hardware(from.require_hardware != 0), profile(from.profile != 0),
          command_timeout_us(from.command_timeout_us) {}

    static std::string text(const char* given) { return given == nullptr ? "" : given; }
    static const char* or_null(const std::string& given) {
        return given.empty() ? nullptr : given.c_str();
    }
    talus_drv_open_options driver() const {
        talus_drv_open_options open = TALUS_DRV_INIT(talus_drv_open_options);
        open.device = or_null(device);
        open.firmware = or_null(firmware);
        open.simulator = or_null(simulator);
        open.command_timeout_us = command_timeout_us;
        return open;
    }
};

class TalusDevice final : public runtime::Device {
  public:
    TalusDevice(OpenOptions options, DriverPtr driver)
        : options_(std::move(options)), card_(std::move(driver), options_.profile) {
        const talus_drv_device_info& from = card_.info();
        target_ = talus_target();
        handle_ = reinterpret_cast<kernels::Device*>(&card_);
        info_.target = "talus";
        info_.simulated = from.simulated != 0;
        info_.name = info_.simulated ? "talus (simulated)" : std::string("talus ") + from.name;
        info_.note = fmt::format("{}, firmware {}, {}x{} PEs at {:.2f} GHz", from.product,
                                 from.firmware_version, from.grid_rows, from.grid_cols,
                                 static_cast<double>(from.clock_hz) / 1e9);
        info_.clock_hz = from.clock_hz;
        info_.memory_bytes = from.dram_bytes;
        info_.clock = info_.simulated ? "simulated" : "device";
        // The published figures of the t2 generation: 1024 FP16 multiply-accumulates per PE and
        // clock (177 TFLOPS), 16 channels of LPDDR5-6400 (204.8 GB/s), and 2048 bytes a clock of
        // shared SRAM (2.7 TB/s).
        info_.peak_flops =
            2.0 * 1024.0 * from.grid_rows * from.grid_cols * static_cast<double>(from.clock_hz);
        info_.peak_memory_bytes = 204.8e9;
        info_.peak_scratch_bytes = 2048.0 * static_cast<double>(from.clock_hz);
    }

    bool lost() const override { return card_.lost(); }
    bool hung() const override { return card_.hung(); }
    runtime::DevicePtr reopen() const override {
        // The card itself is held by this process still: another one can't be had by its name.
        if (DriverPtr driver = card_.revive())
            return std::make_shared<TalusDevice>(options_, std::move(driver));
        return open_talus(options_);
    }

    void* allocate(std::size_t bytes, runtime::Placement wanted, runtime::Placement* got) override {
        runtime::Placement where = wanted;
        std::uint64_t address = 0;
        if (wanted == runtime::Placement::kFast) {
            try {
                address = card_.allocate(TALUS_DRV_LLS, bytes);
            } catch (const Failure& failure) {
                if (failure.status() != TALUS_ERROR_OUT_OF_MEMORY)
                    throw;
                where = runtime::Placement::kLarge; // scratch SRAM is full: DRAM is only slower
            }
        }
        if (where == runtime::Placement::kLarge)
            address = card_.allocate(TALUS_DRV_DRAM, bytes);
        if (got != nullptr)
            *got = where;
        return pointer_of(address);
    }
    void* host_allocate(std::size_t bytes) override { return card_.host_allocate(bytes); }
    void host_release(void* memory) override { card_.host_release(memory); }
    bool take_profile(kernels::Stream* stream, runtime::DeviceProfile& profile) override {
        profile = stream_of(stream).take_profile();
        return true;
    }

    static runtime::DevicePtr open_talus(OpenOptions options);

  private:
    OpenOptions options_;
    TalusCard card_;
};

// The first accelerator in the machine that is not simulated.
std::string find_hardware() {
    std::vector<talus_drv_found> found(64);
    for (talus_drv_found& entry : found)
        entry.struct_size = sizeof entry;
    std::size_t count = 0;
    if (talus_drv_discover(nullptr, found.data(), found.size(), &count) != TALUS_DRV_OK)
        fail(TALUS_ERROR_UNAVAILABLE, "talus: discovery failed: {}", talus_drv_last_error());
    for (std::size_t i = 0; i < std::min(count, found.size()); ++i)
        if (found[i].simulated == 0)
            return found[i].name;
    fail(TALUS_ERROR_UNAVAILABLE, "talus: no accelerator in this machine");
}

runtime::DevicePtr TalusDevice::open_talus(OpenOptions options) {
    if (options.device.empty() && options.require_hardware)
        options.device = find_hardware();
    const bool hardware = options.require_hardware;
    const std::string name = options.device;
    DriverPtr driver = open_driver(options.driver());
    auto device = std::make_shared<TalusDevice>(std::move(options), std::move(driver));
    if (hardware && device->info().simulated)
        fail(TALUS_ERROR_UNAVAILABLE, "talus: '{}' is simulated", name);
    return device;
}

} // namespace

const kernels::Target* talus_target() {
    return &kTalusTarget;
}

runtime::DevicePtr open_talus(const talus_device_options& options) {
    return TalusDevice::open_talus(OpenOptions(options));
}

} // namespace talus::targets
