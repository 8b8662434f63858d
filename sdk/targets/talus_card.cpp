// Device-wide state of the accelerator: memory, kernel images, streams.
#include <algorithm>
#include <cstring>
#include <filesystem>

#include "kernels/common/device_images.hpp"
#include "sdk/common/elf_symbols.hpp"
#include "sdk/common/error.hpp"
#include "sdk/common/paths.hpp"
#include "sdk/targets/talus_device.hpp"

namespace talus::targets {

namespace {

// What a packet of the NoC holds, and a channel of DRAM in one row: no block that fits is cut in
// two.
constexpr std::uint64_t kAlignment = 256; // bytes

// The kernel's ELF beside the libraries, only for names of functions. Absent: no names.
std::map<std::uint64_t, std::string> symbols_of(const std::string& image) {
    for (const std::filesystem::path& folder : common::library_folders()) {
        const auto path = folder.parent_path() / "share" / "talus" / "kernels" / (image + ".elf");
        std::error_code ignored;
        if (std::filesystem::exists(path, ignored))
            return common::read_symbols(path.string());
    }
    return {};
}

talus_status meaning_of(talus_drv_status status) {
    switch (status) {
    case TALUS_DRV_NOT_FOUND:
    case TALUS_DRV_PERMISSION:
    case TALUS_DRV_BUSY:
    case TALUS_DRV_UNSUPPORTED:
        return TALUS_ERROR_UNAVAILABLE;
    case TALUS_DRV_INVALID_ARGUMENT:
        return TALUS_ERROR_INVALID_ARGUMENT;
    case TALUS_DRV_OUT_OF_HOST_MEMORY:
    case TALUS_DRV_OUT_OF_DEVICE_MEMORY:
        return TALUS_ERROR_OUT_OF_MEMORY;
    case TALUS_DRV_DEVICE_LOST:
        return TALUS_ERROR_DEVICE_LOST;
    case TALUS_DRV_TIMEOUT:
        return TALUS_ERROR_TIMEOUT;
    default:
        return TALUS_ERROR_DEVICE;
    }
}

} // namespace

talus_status TalusCard::status_of(talus_drv_status status) {
    if (status == TALUS_DRV_DEVICE_LOST)
        lost_ = true;
    return meaning_of(status);
}

void TalusCard::require(talus_drv_status status, const char* what) {
    if (status != TALUS_DRV_OK)
        fail(status_of(status), "talus: {}: {}", what, talus_drv_last_error());
}

std::string LoadedKernel::locate(const std::string& name, std::uint64_t offset) const {
    auto after = symbols.upper_bound(offset);
    if (after == symbols.begin())
        return fmt::format("{}+{:#x}", name, offset);
    --after;
    return fmt::format("{}!{}+{:#x}", name, after->second, offset - after->first);
}

DriverPtr open_driver(const talus_drv_open_options& options) {
    talus_drv_device* driver = nullptr;
    if (const talus_drv_status status = talus_drv_open(&options, &driver); status != TALUS_DRV_OK)
        fail(meaning_of(status), "talus: cannot open the device: {}", talus_drv_last_error());
    return {driver, talus_drv_close};
}

TalusCard::TalusCard(DriverPtr driver, bool profile)
    : driver_(std::move(driver)), profile_(profile) {
    info_ = TALUS_DRV_INIT(talus_drv_device_info);
    require(talus_drv_get_info(driver_.get(), &info_), "cannot identify the device");
    std::snprintf(capabilities_.name, sizeof capabilities_.name, "%s",
                  info_.simulated != 0 ? "talus (simulated)" : info_.name);
    capabilities_.clock = kernels::ClockDomain::kSimulated;
    capabilities_.memory_bytes = info_.dram_bytes;
    capabilities_.grid_rows = info_.grid_rows;
    capabilities_.grid_columns = info_.grid_cols;
    capabilities_.local_memory_bytes = static_cast<std::uint32_t>(info_.local_memory_bytes);
}

TalusCard::~TalusCard() {
    idle_.clear(); // queues before the device
}

talus_drv_status TalusCard::recover(talus_drv_queue* queue, talus_drv_recovery& recovery) {
    hung_ = true;
    const std::unique_lock alone(resets_);
    const talus_drv_status status = talus_drv_recover(queue, &recovery);
    if (status != TALUS_DRV_OK || recovery.rung > TALUS_DRV_RUNG_ABORT)
        lost_ = true; // its memory is
    return status;
}

talus_drv_queue* TalusCard::create_queue(const talus_drv_queue_options& options) {
    const std::shared_lock together(resets_);
    talus_drv_queue* queue = nullptr;
    if (!lost_)
        require(talus_drv_queue_create(driver_.get(), &options, &queue), "cannot create a queue");
    talus_drv_device_info now = TALUS_DRV_INIT(talus_drv_device_info);
    if (!lost_ && talus_drv_get_info(driver_.get(), &now) == TALUS_DRV_OK &&
        now.reset_epoch == info_.reset_epoch)
        return queue;
    talus_drv_queue_destroy(queue);
    lost_ = true;
    fail(TALUS_ERROR_DEVICE_LOST, "talus: the device was reset, and with it went what it held");
}

DriverPtr TalusCard::revive() const {
    talus_drv_device_info now = TALUS_DRV_INIT(talus_drv_device_info);
    if (talus_drv_get_info(driver_.get(), &now) == TALUS_DRV_OK ||
        talus_drv_reset(driver_.get()) == TALUS_DRV_OK)
        return driver_;
    return nullptr;
}

const LoadedKernel& TalusCard::kernel(const std::string& image) {
    const std::lock_guard lock(mutex_);
    LoadedKernel& kernel = kernels_[image];
    if (kernel.bytes == 0) {
        try {
            load(image, kernel);
        } catch (...) {
            kernels_.erase(image);
            throw;
        }
    }
    return kernel;
}

void TalusCard::load(const std::string& image, LoadedKernel& kernel) {
    const std::span<const std::byte> code = kernels::device_image(image);
    if (code.empty())
        fail(TALUS_ERROR_UNSUPPORTED, "talus: this build has no device image '{}'", image);
    std::uint64_t address = 0;
    require(talus_drv_memory_alloc(driver_.get(), TALUS_DRV_LLS, code.size(), kAlignment, &address),
            "no scratch SRAM for a kernel");
    talus_drv_queue* queue = create_queue(TALUS_DRV_INIT(talus_drv_queue_options));
    const talus_drv_status status = talus_drv_copy_in(queue, address, code.data(), code.size());
    const std::string message = status == TALUS_DRV_OK ? "" : talus_drv_last_error();
    talus_drv_queue_destroy(queue);
    if (status != TALUS_DRV_OK)
        fail(status_of(status), "talus: cannot load the kernel '{}': {}", image, message);
    kernel.entry = address;
    kernel.bytes = code.size();
    kernel.symbols = symbols_of(image);
}

std::uint64_t TalusCard::allocate(talus_drv_memory memory, std::uint64_t bytes) {
    std::uint64_t address = 0;
    require(talus_drv_memory_alloc(driver_.get(), memory, bytes, kAlignment, &address),
            memory == TALUS_DRV_LLS ? "no scratch SRAM" : "no device memory");
    return address;
}

void TalusCard::release(std::uint64_t address) {
    // A reset has freed it already; what stands there now may be another card's.
    const std::shared_lock together(resets_);
    if (!lost_)
        (void)talus_drv_memory_free(driver_.get(), address);
}

void* TalusCard::host_allocate(std::uint64_t bytes) {
    talus_drv_host_buffer buffer{};
    require(talus_drv_host_alloc(driver_.get(), std::max<std::uint64_t>(bytes, 1), 0, &buffer),
            "no DMA memory");
    const std::lock_guard lock(mutex_);
    host_buffers_.emplace(reinterpret_cast<std::uintptr_t>(buffer.pointer), buffer);
    return buffer.pointer;
}

void TalusCard::host_release(void* pointer) {
    const std::lock_guard lock(mutex_);
    const auto found = host_buffers_.find(reinterpret_cast<std::uintptr_t>(pointer));
    if (found == host_buffers_.end())
        return;
    (void)talus_drv_host_free(driver_.get(), &found->second);
    host_buffers_.erase(found);
}

std::uint64_t TalusCard::iova_of(const void* pointer, std::uint64_t bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    const std::lock_guard lock(mutex_);
    auto after = host_buffers_.upper_bound(address);
    if (after == host_buffers_.begin())
        return 0;
    --after;
    const std::uint64_t offset = address - after->first;
    const talus_drv_host_buffer& buffer = after->second;
    return offset <= buffer.bytes && bytes <= buffer.bytes - offset ? buffer.iova + offset : 0;
}

TalusStream* TalusCard::take_stream() {
    {
        const std::lock_guard lock(mutex_);
        if (!idle_.empty()) {
            TalusStream* stream = idle_.back().release();
            idle_.pop_back();
            return stream;
        }
    }
    return new TalusStream(*this);
}

void TalusCard::give_stream(TalusStream* stream) {
    std::unique_ptr<TalusStream> owned(stream);
    owned->discard();
    if (owned->broken())
        return;
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(owned));
}

} // namespace talus::targets
