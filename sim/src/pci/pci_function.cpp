#include "pci_function.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <linux/pci_regs.h>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>

#include <talus/hw/pci.h>

#include "../vfio_user/guarded_access.hpp"

namespace talus::sim {

using namespace config_layout;
namespace guarded = vfio_user::guarded;

namespace {

constexpr uint64_t kPageMask = vfio_user::ClientMemory::kPageBytes - 1;

bool single_access(uint64_t offset, size_t length) {
    return length <= 8 && std::has_single_bit(length) && offset % length == 0;
}

} // namespace

PciFunction::PciFunction(PciDeviceModel& model, const Options& options)
    : model_(model), memory_(options.completion_timeout), config_(options.identity) {
    model_.connect(*this);
    adopt(TALUS_BAR_REGISTERS, TALUS_BAR0_SIZE);
    adopt(TALUS_BAR_DOORBELLS, TALUS_BAR2_SIZE);
    adopt(TALUS_BAR_STAGING, TALUS_BAR4_SIZE);
}

PciFunction::~PciFunction() {
    for (const Bar& bar : bars_)
        if (bar.memory)
            munmap(bar.memory, bar.size);
}

void PciFunction::adopt(unsigned number, uint64_t size) {
    Bar& bar = bars_[number];
    bar.size = size;
    bar.mappable = model_.mappable(number);
    if (bar.mappable.fd < 0 || bar.mappable.areas.empty()) {
        bar.mappable = {};
        return;
    }
    const std::string name = "BAR" + std::to_string(number);
    struct stat status;
    if (fstat(bar.mappable.fd, &status) != 0)
        throw std::system_error(errno, std::generic_category(), name + "'s memory");
    if (static_cast<uint64_t>(status.st_size) < size)
        throw std::logic_error(name + "'s memory is shorter than the BAR");
    for (const MappableArea& area : bar.mappable.areas)
        if (((area.offset | area.size) & kPageMask) != 0 || area.size == 0 || area.offset >= size ||
            area.size > size - area.offset)
            throw std::logic_error(name + " has a mappable area that is not whole pages inside it");
    const int protection = PROT_READ | (bar.mappable.host_writable ? PROT_WRITE : 0);
    void* memory = mmap(nullptr, size, protection, MAP_SHARED, bar.mappable.fd, 0);
    if (memory == MAP_FAILED)
        throw std::system_error(errno, std::generic_category(), "mapping " + name + "'s memory");
    bar.memory = static_cast<std::byte*>(memory);
}

void PciFunction::observe_config(ConfigObserver observer) {
    {
        const std::lock_guard lock(observer_mutex_);
        observer_ = std::move(observer);
    }
    config_changed();
}

void PciFunction::config_changed() {
    const std::lock_guard observing(observer_mutex_);
    if (!observer_)
        return;
    std::array<std::byte, ConfigSpace::kBytes> copy;
    {
        const std::lock_guard lock(mutex_);
        std::ranges::copy(config_.bytes(), copy.begin());
    }
    observer_(copy);
}

// ---- Regions ------------------------------------------------------------------------------------

vfio_user::Region PciFunction::region(uint32_t index) const {
    vfio_user::Region region;
    if (index == VFIO_USER_REGION_CONFIG) {
        region.size = ConfigSpace::kBytes;
        region.readable = region.writable = true;
        return region;
    }
    if (index >= bars_.size() || bars_[index].size == 0)
        return region;
    const Bar& bar = bars_[index];
    region.size = bar.size;
    region.readable = region.writable = true;
    if (bar.mappable.fd < 0)
        return region;
    region.fd = bar.mappable.fd;
    const bool whole = bar.mappable.areas.size() == 1 && bar.mappable.areas[0].size == bar.size;
    if (!whole)
        for (const MappableArea& area : bar.mappable.areas)
            region.areas.push_back({area.offset, area.size});
    return region;
}

bool PciFunction::in_area(const Bar& bar, uint64_t offset, uint64_t length, bool& overlaps) const {
    overlaps = false;
    for (const MappableArea& area : bar.mappable.areas) {
        if (offset >= area.offset && offset + length <= area.offset + area.size)
            return true;
        overlaps |= offset < area.offset + area.size && area.offset < offset + length;
    }
    return false;
}

int PciFunction::area_read(const Bar& bar, uint64_t offset, std::span<std::byte> data) const {
    const std::byte* at = bar.memory + offset;
    bool there = false;
    const auto load = [&](auto value, bool (*access)(const decltype(value)*, decltype(value)&)) {
        there = access(reinterpret_cast<const decltype(value)*>(at), value);
        std::memcpy(data.data(), &value, sizeof value);
    };
    if (!single_access(offset, data.size()))
        there = guarded::copy(data.data(), at, data.size());
    else if (data.size() == 1)
        load(uint8_t{}, guarded::load8);
    else if (data.size() == 2)
        load(uint16_t{}, guarded::load16);
    else if (data.size() == 4)
        load(uint32_t{}, guarded::load32);
    else
        load(uint64_t{}, guarded::load64);
    return there ? 0 : EFAULT;
}

int PciFunction::area_write(const Bar& bar, uint64_t offset, std::span<const std::byte> data) {
    if (!bar.mappable.host_writable)
        return 0; // a read-only page: dropped, as silicon does
    std::byte* at = bar.memory + offset;
    bool there = false;
    const auto store = [&](auto value, bool (*access)(decltype(value)*, decltype(value))) {
        std::memcpy(&value, data.data(), sizeof value);
        there = access(reinterpret_cast<decltype(value)*>(at), value);
    };
    if (!single_access(offset, data.size()))
        there = guarded::copy(at, data.data(), data.size());
    else if (data.size() == 1)
        store(uint8_t{}, guarded::store8);
    else if (data.size() == 2)
        store(uint16_t{}, guarded::store16);
    else if (data.size() == 4)
        store(uint32_t{}, guarded::store32);
    else
        store(uint64_t{}, guarded::store64);
    return there ? 0 : EFAULT;
}

// Accesses to the MSI-X structures; false if the range is not theirs. Single accesses do not
// straddle.
bool PciFunction::msix_read(unsigned bar, uint64_t offset, std::span<std::byte> data) const {
    if (bar != TALUS_BAR_REGISTERS)
        return false;
    const std::lock_guard lock(mutex_);
    if (offset - TALUS_BAR0_MSIX_TABLE < MsixTable::kTableBytes)
        msix_.read_table(offset - TALUS_BAR0_MSIX_TABLE, data);
    else if (offset - TALUS_BAR0_MSIX_PBA < MsixTable::kPendingBytes)
        msix_.read_pending(offset - TALUS_BAR0_MSIX_PBA, data);
    else
        return false;
    return true;
}

bool PciFunction::msix_write(unsigned bar, uint64_t offset, std::span<const std::byte> data) {
    if (bar != TALUS_BAR_REGISTERS)
        return false;
    if (offset - TALUS_BAR0_MSIX_PBA < MsixTable::kPendingBytes)
        return true; // read-only
    if (offset - TALUS_BAR0_MSIX_TABLE >= MsixTable::kTableBytes)
        return false;
    const std::lock_guard lock(mutex_);
    msix_.write_table(offset - TALUS_BAR0_MSIX_TABLE, data);
    deliver_pending();
    return true;
}

int PciFunction::region_read(uint32_t index, uint64_t offset, std::span<std::byte> data) {
    if (index == VFIO_USER_REGION_CONFIG) {
        const std::lock_guard lock(mutex_);
        config_.read(static_cast<uint32_t>(offset), data);
        return 0;
    }
    const Bar& bar = bars_.at(index);
    bool overlaps = false;
    const bool memory = in_area(bar, offset, data.size(), overlaps);
    if (!memory && (overlaps || !single_access(offset, data.size())))
        return EINVAL;
    bool decodes = false;
    {
        const std::lock_guard lock(mutex_);
        decodes = config_.memory_enabled();
    }
    if (!decodes) { // an Unsupported Request, which the root complex turns into all ones
        std::ranges::fill(data, std::byte{0xff});
        return 0;
    }
    if (memory)
        return area_read(bar, offset, data);
    if (msix_read(index, offset, data))
        return 0;
    const uint64_t value = model_.bar_read(index, offset, static_cast<unsigned>(data.size()));
    std::memcpy(data.data(), &value, data.size());
    return 0;
}

int PciFunction::region_write(uint32_t index, uint64_t offset, std::span<const std::byte> data) {
    if (index == VFIO_USER_REGION_CONFIG) {
        config_write(offset, data);
        return 0;
    }
    const Bar& bar = bars_.at(index);
    bool overlaps = false;
    const bool memory = in_area(bar, offset, data.size(), overlaps);
    if (!memory && (overlaps || !single_access(offset, data.size())))
        return EINVAL;
    {
        const std::lock_guard lock(mutex_);
        if (!config_.memory_enabled())
            return 0;
    }
    if (memory)
        return area_write(bar, offset, data);
    if (msix_write(index, offset, data))
        return 0;
    uint64_t value = 0;
    std::memcpy(&value, data.data(), data.size());
    model_.bar_write(index, offset, static_cast<unsigned>(data.size()), value);
    return 0;
}

// ---- Configuration space and resets
// ---------------------------------------------------------------

void PciFunction::config_write(uint64_t offset, std::span<const std::byte> data) {
    bool function_reset = false;
    {
        const std::lock_guard lock(mutex_);
        function_reset = config_.write(static_cast<uint32_t>(offset), data);
        // Bus Master off: when this returns, no engine is in the host's memory any more.
        apply_config();
    }
    if (function_reset) {
        reset_function(ConfigReset::kFunctionLevel);
        model_.function_reset();
    }
    config_changed();
}

void PciFunction::apply_config() {
    if (memory_.enabled() != config_.bus_master())
        memory_.set_enabled(config_.bus_master());
    deliver_pending();
}

void PciFunction::reset_function(ConfigReset kind) {
    const std::lock_guard lock(mutex_);
    config_.reset(kind);
    msix_.reset();
    apply_config();
}

void PciFunction::reset() {
    reset_function(ConfigReset::kFundamental);
    model_.fundamental_reset();
    config_changed();
}

void PciFunction::client_arrived() {
    connected_ = true;
}

void PciFunction::client_gone() {
    connected_ = false;
    reset_function(ConfigReset::kFunctionLevel);
    model_.function_reset();
    model_.client_gone();
    config_changed();
}

// ---- Interrupts
// -----------------------------------------------------------------------------------

vfio_user::IrqType PciFunction::irq_type(uint32_t index) const {
    switch (index) {
    case VFIO_USER_IRQ_MSIX:
        return {MsixTable::kVectors, VFIO_USER_IRQ_INFO_EVENTFD | VFIO_USER_IRQ_INFO_MASKABLE};
    case VFIO_USER_IRQ_ERR:
    case VFIO_USER_IRQ_REQ:
        return {1, VFIO_USER_IRQ_INFO_EVENTFD};
    default: // no INTx, no MSI
        return {};
    }
}

void PciFunction::irq_assigned(uint32_t index, uint32_t vector, bool assigned) {
    if (index != VFIO_USER_IRQ_MSIX)
        return;
    bool changed = false;
    {
        const std::lock_guard lock(mutex_);
        if (assigned && !config_.msix_enabled()) {
            config_.set_bits16(kMsix + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
            changed = true;
        }
        msix_.set_masked(vector, !assigned);
        deliver_pending();
    }
    if (changed)
        config_changed();
}

void PciFunction::irq_masked(uint32_t index, uint32_t vector, bool masked) {
    if (index != VFIO_USER_IRQ_MSIX)
        return;
    const std::lock_guard lock(mutex_);
    msix_.set_masked(vector, masked);
    deliver_pending();
}

void PciFunction::irq_disabled(uint32_t index) {
    if (index != VFIO_USER_IRQ_MSIX)
        return;
    {
        const std::lock_guard lock(mutex_);
        config_.clear_bits16(kMsix + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE);
        msix_.reset();
    }
    config_changed();
}

bool PciFunction::msix_allowed() const {
    return config_.msix_enabled() && config_.bus_master();
}

void PciFunction::deliver_pending() {
    if (!msix_.any_pending() || !msix_allowed() || config_.msix_function_masked())
        return;
    for (unsigned vector = 0; vector < MsixTable::kVectors; ++vector) {
        if (!msix_.pending(vector) || msix_.masked(vector))
            continue;
        msix_.set_pending(vector, false);
        if (!irqs_.signal(VFIO_USER_IRQ_MSIX, vector))
            ++dropped_interrupts_;
    }
}

void PciFunction::raise_msix(unsigned vector) {
    // Signalled under the lock: after the reply to "Bus Master off" no interrupt follows.
    const std::lock_guard lock(mutex_);
    const bool sendable = vector < MsixTable::kVectors && msix_allowed();
    if (sendable && (config_.msix_function_masked() || msix_.masked(vector)))
        msix_.set_pending(vector, true);
    else if (!sendable || !irqs_.signal(VFIO_USER_IRQ_MSIX, vector))
        ++dropped_interrupts_;
}

// ---- Errors
// ---------------------------------------------------------------------------------------

uint16_t PciFunction::device_control() const {
    const std::lock_guard lock(mutex_);
    return config_.get16(kExpress + PCI_EXP_DEVCTL);
}

void PciFunction::report_correctable_error(uint32_t aer_status_bits) {
    {
        const std::lock_guard lock(mutex_);
        config_.set_bits32(kAdvancedErrors + PCI_ERR_COR_STATUS, aer_status_bits);
        config_.set_bits16(kExpress + PCI_EXP_DEVSTA, PCI_EXP_DEVSTA_CED);
    }
    config_changed();
}

void PciFunction::report_uncorrectable_error(uint32_t aer_status_bits, bool fatal) {
    {
        const std::lock_guard lock(mutex_);
        config_.set_bits32(kAdvancedErrors + PCI_ERR_UNCOR_STATUS, aer_status_bits);
        config_.set_bits16(kExpress + PCI_EXP_DEVSTA,
                           fatal ? PCI_EXP_DEVSTA_FED : PCI_EXP_DEVSTA_NFED);
    }
    if (fatal)
        irqs_.signal(VFIO_USER_IRQ_ERR, 0);
    config_changed();
}

// What the root complex would answer leaves its mark in the requester's status registers.
DmaStatus PciFunction::noted(DmaStatus status, bool read) {
    if (status == DmaStatus::kTimeout) {
        report_uncorrectable_error(PCI_ERR_UNC_COMP_TIME, false);
    } else if (read && (status == DmaStatus::kUnmapped || status == DmaStatus::kNotPermitted)) {
        bool news = false;
        {
            const std::lock_guard lock(mutex_);
            news = (config_.get16(PCI_STATUS) & PCI_STATUS_REC_MASTER_ABORT) == 0;
            config_.set_bits16(PCI_STATUS, PCI_STATUS_REC_MASTER_ABORT);
        }
        if (news) // an engine may fail a million times
            config_changed();
    }
    return status;
}

// ---- Host memory
// ----------------------------------------------------------------------------------

DmaStatus PciFunction::dma_read(uint64_t iova, void* destination, size_t length) {
    return noted(memory_.read(iova, destination, length), true);
}

DmaStatus PciFunction::dma_write(uint64_t iova, const void* source, size_t length) {
    return noted(memory_.write(iova, source, length), false);
}

DmaStatus PciFunction::probe(uint64_t iova, size_t length, bool write) const {
    return memory_.probe(iova, length, write);
}

DmaStatus PciFunction::load32(uint64_t iova, uint32_t& value) {
    return noted(memory_.load32(iova, value), true);
}

DmaStatus PciFunction::load64(uint64_t iova, uint64_t& value) {
    return noted(memory_.load64(iova, value), true);
}

DmaStatus PciFunction::store32(uint64_t iova, uint32_t value) {
    return noted(memory_.store32(iova, value), false);
}

DmaStatus PciFunction::store64(uint64_t iova, uint64_t value) {
    return noted(memory_.store64(iova, value), false);
}

DmaStatus PciFunction::load32_array(uint64_t iova, uint32_t* values, size_t count) {
    return noted(memory_.load32_array(iova, values, count), true);
}

} // namespace talus::sim
