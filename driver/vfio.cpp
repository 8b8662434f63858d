#include "vfio.hpp"

#include "error.hpp"

#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace talus::driver {
namespace {

template <typename T>
T read_struct(std::span<const std::byte> bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), std::min(sizeof value, bytes.size()));
    return value;
}

constexpr std::uint32_t kConfig = VFIO_PCI_CONFIG_REGION_INDEX;

} // namespace

// ---- Open and close ----

VfioTransport::VfioTransport(const std::string& bdf, Syscalls& calls)
    : calls_(calls), bdf_(bdf), iommu_(VfioIommu::open(calls, bdf)), device_(iommu_->device_fd()) {
    vfio_device_info info{};
    info.argsz = sizeof info;
    if (const int result = calls.ioctl(device_, VFIO_DEVICE_GET_INFO, &info); result < 0)
        throw system_error("device " + bdf + ": VFIO_DEVICE_GET_INFO", -result);
    if ((info.flags & VFIO_DEVICE_FLAGS_PCI) == 0 || info.num_regions < kRegions)
        throw Error(TALUS_DRV_UNSUPPORTED, "device " + bdf + " is no PCI device of vfio");
    for (std::uint32_t index = 0; index < kRegions; ++index)
        query_region(index);
    query_interrupts();
}

VfioTransport::~VfioTransport() {
    for (const Region& region : regions_)
        for (const Area& area : region.areas)
            calls_.unmap(area.pointer, area.bytes);
    // Closing the device's file takes interrupts, bus mastering and mappings away.
}

void VfioTransport::query_region(std::uint32_t index) {
    std::vector<std::byte> buffer(sizeof(vfio_region_info));
    vfio_region_info info{};
    for (int round = 0; round < 2; ++round) { // the first says how much room the second needs
        info = {};
        info.argsz = static_cast<std::uint32_t>(buffer.size());
        info.index = index;
        std::memcpy(buffer.data(), &info, sizeof info);
        const int result = calls_.ioctl(device_, VFIO_DEVICE_GET_REGION_INFO, buffer.data());
        if (result == -EINVAL && index != kConfig)
            return; // no such region
        if (result < 0)
            throw system_error("device " + bdf_ + ": VFIO_DEVICE_GET_REGION_INFO", -result);
        info = read_struct<vfio_region_info>(buffer);
        if (info.argsz <= buffer.size())
            break;
        buffer.resize(std::min<std::size_t>(info.argsz, 1 << 16));
    }
    Region& region = regions_[index];
    region.size = info.size;
    region.file_offset = info.offset;
    if (index > VFIO_PCI_BAR5_REGION_INDEX || (info.flags & VFIO_REGION_INFO_FLAG_MMAP) == 0)
        return;

    bool sparse = false;
    std::size_t at = (info.flags & VFIO_REGION_INFO_FLAG_CAPS) != 0 ? info.cap_offset : 0;
    for (int hops = 0; at != 0 && hops < 32; ++hops) {
        if (at > buffer.size() || buffer.size() - at < sizeof(vfio_info_cap_header))
            break;
        const auto rest = std::span<const std::byte>(buffer).subspan(at);
        const auto cap = read_struct<vfio_info_cap_header>(rest);
        if (cap.id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
            sparse = true;
            const auto head = read_struct<vfio_region_info_cap_sparse_mmap>(rest);
            for (std::size_t i = 0; i < head.nr_areas; ++i) {
                const std::size_t entry = sizeof head + i * sizeof(vfio_region_sparse_mmap_area);
                if (rest.size() < entry + sizeof(vfio_region_sparse_mmap_area))
                    break;
                const auto area = read_struct<vfio_region_sparse_mmap_area>(rest.subspan(entry));
                map_area(region, info.flags, area.offset, area.size);
            }
        }
        at = cap.next;
    }
    if (!sparse)
        map_area(region, info.flags, 0, region.size);
}

void VfioTransport::map_area(Region& region, std::uint32_t flags, std::uint64_t offset,
                             std::uint64_t bytes) {
    if (bytes == 0 || offset > region.size || bytes > region.size - offset)
        return;
    const int protection = ((flags & VFIO_REGION_INFO_FLAG_READ) != 0 ? PROT_READ : 0) |
                           ((flags & VFIO_REGION_INFO_FLAG_WRITE) != 0 ? PROT_WRITE : 0);
    void* pointer = calls_.map(device_, bytes, protection, region.file_offset + offset);
    if (pointer != nullptr) // else system calls do the same work
        region.areas.push_back({offset, bytes, static_cast<std::byte*>(pointer)});
}

// ---- Interrupts ----

void VfioTransport::query_interrupts() {
    for (const std::uint32_t index : {VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX}) {
        vfio_irq_info info{};
        info.argsz = sizeof info;
        info.index = index;
        if (calls_.ioctl(device_, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 || info.count == 0 ||
            (info.flags & VFIO_IRQ_INFO_EVENTFD) == 0)
            continue;
        irq_index_ = index;
        irq_count_ = std::min(info.count, 2048u);
        eventfds_.assign(irq_count_, -1);
        break;
    }
    error_event_ = watch(VFIO_PCI_ERR_IRQ_INDEX);
    request_event_ = watch(VFIO_PCI_REQ_IRQ_INDEX);
}

UniqueFd VfioTransport::watch(std::uint32_t irq_index) {
    vfio_irq_info info{};
    info.argsz = sizeof info;
    info.index = irq_index;
    if (calls_.ioctl(device_, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 || info.count == 0)
        return {};
    UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!event.valid())
        throw system_error("eventfd", errno);
    const std::array<std::int32_t, 1> fds{event.get()};
    if (set_irqs(irq_index, 0, fds) != 0)
        return {};
    return event;
}

int VfioTransport::set_irqs(std::uint32_t index, std::uint32_t start,
                            std::span<const std::int32_t> eventfds) {
    std::vector<std::byte> buffer(sizeof(vfio_irq_set) + eventfds.size_bytes());
    vfio_irq_set set{};
    set.argsz = static_cast<std::uint32_t>(buffer.size());
    set.flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    set.index = index;
    set.start = start;
    set.count = static_cast<std::uint32_t>(eventfds.size());
    std::memcpy(buffer.data(), &set, sizeof set);
    std::memcpy(buffer.data() + sizeof set, eventfds.data(), eventfds.size_bytes());
    return calls_.ioctl(device_, VFIO_DEVICE_SET_IRQS, buffer.data());
}

void VfioTransport::irq_set(std::uint32_t vector, int eventfd) {
    require_alive();
    const std::lock_guard lock(mutex_);
    if (vector >= irq_count_)
        throw Error(TALUS_DRV_UNSUPPORTED,
                    "device " + bdf_ + " has no interrupt vector " + std::to_string(vector));
    const std::int32_t before = eventfds_[vector];
    eventfds_[vector] = eventfd;
    int result = 0;
    if (irqs_enabled_) {
        result = set_irqs(irq_index_, vector, {&eventfds_[vector], 1});
    } else {
        // All vectors at once: most kernels can't add one while interrupts are on. Where the host
        // is short of vectors, the kernel says how many there are.
        result = set_irqs(irq_index_, 0, eventfds_);
        if (result > 0 && vector < static_cast<std::uint32_t>(result)) {
            irq_count_ = static_cast<std::uint32_t>(result);
            eventfds_.resize(irq_count_);
            result = set_irqs(irq_index_, 0, eventfds_);
        }
        irqs_enabled_ = result == 0;
    }
    if (result == 0)
        return;
    if (vector < eventfds_.size())
        eventfds_[vector] = before;
    throw system_error("device " + bdf_ + ": cannot set interrupt vector " + std::to_string(vector),
                       result < 0 ? -result : ENOSPC);
}

bool VfioTransport::wait(int eventfd, std::chrono::milliseconds timeout) {
    require_alive();
    std::array<pollfd, 3> entries{pollfd{eventfd, POLLIN, 0}, pollfd{error_event_.get(), POLLIN, 0},
                                  pollfd{request_event_.get(), POLLIN, 0}};
    const int ready = poll(entries.data(), entries.size(),
                           static_cast<int>(std::max<std::int64_t>(timeout.count(), 0)));
    if (ready < 0 && errno != EINTR)
        throw system_error("poll", errno);
    if (ready > 0 && (entries[1].revents & POLLIN) != 0)
        lose("PCIe reported an uncorrectable error of it");
    if (ready > 0 && (entries[2].revents & POLLIN) != 0)
        lose("the kernel asks for it back (unbound or unplugged)");
    return ready > 0 && (entries[0].revents & POLLIN) != 0;
}

// ---- Lost ----

void VfioTransport::lose(const std::string& reason) {
    {
        const std::lock_guard lock(mutex_);
        if (!lost_) {
            lost_reason_ = "device " + bdf_ + " is lost: " + reason;
            lost_ = true;
        }
    }
    require_alive();
    throw Error(TALUS_DRV_DEVICE_LOST, reason); // not reached: it is lost
}

void VfioTransport::require_alive() {
    if (!lost_)
        return;
    const std::lock_guard lock(mutex_);
    throw Error(TALUS_DRV_DEVICE_LOST, lost_reason_);
}

// ---- Config space and BARs ----

const VfioTransport::Region& VfioTransport::checked(std::uint32_t index, std::uint64_t offset,
                                                    std::size_t bytes) const {
    const Region& region = regions_.at(index);
    if (offset > region.size || bytes > region.size - offset)
        throw Error(TALUS_DRV_INTERNAL, "access outside region " + std::to_string(index));
    return region;
}

volatile std::byte* VfioTransport::direct(int bar, std::uint64_t offset, std::size_t bytes) const {
    for (const Area& area : regions_.at(static_cast<std::size_t>(bar)).areas)
        if (offset >= area.offset && offset - area.offset <= area.bytes &&
            bytes <= area.bytes - (offset - area.offset))
            return area.pointer + (offset - area.offset);
    return nullptr;
}

void VfioTransport::read_region(std::uint32_t index, std::uint64_t offset,
                                std::span<std::byte> data) {
    require_alive();
    const Region& region = checked(index, offset, data.size());
    const ssize_t got =
        calls_.pread(device_, data.data(), data.size(), region.file_offset + offset);
    if (got == static_cast<ssize_t>(data.size()))
        return;
    if (got == -ENODEV || got == -EIO)
        lose("the kernel no longer reaches it");
    throw system_error("device " + bdf_ + ": read of region " + std::to_string(index),
                       got < 0 ? static_cast<int>(-got) : EIO);
}

void VfioTransport::write_region(std::uint32_t index, std::uint64_t offset,
                                 std::span<const std::byte> data) {
    require_alive();
    const Region& region = checked(index, offset, data.size());
    const ssize_t put =
        calls_.pwrite(device_, data.data(), data.size(), region.file_offset + offset);
    if (put == static_cast<ssize_t>(data.size()))
        return;
    if (put == -ENODEV || put == -EIO)
        lose("the kernel no longer reaches it");
    throw system_error("device " + bdf_ + ": write of region " + std::to_string(index),
                       put < 0 ? static_cast<int>(-put) : EIO);
}

void VfioTransport::config_read(std::uint32_t offset, std::span<std::byte> data) {
    read_region(kConfig, offset, data);
}

void VfioTransport::config_write(std::uint32_t offset, std::span<const std::byte> data) {
    write_region(kConfig, offset, data);
}

template <typename T>
T VfioTransport::load(int bar, std::uint64_t offset) {
    require_alive();
    T value{};
    if (const volatile std::byte* at = direct(bar, offset, sizeof(T)))
        value = *reinterpret_cast<const volatile T*>(at);
    else
        read_region(static_cast<std::uint32_t>(bar), offset,
                    std::as_writable_bytes(std::span(&value, 1)));
    // All ones is what an absent device answers, and a legal value: config space tells.
    if (value == static_cast<T>(~T{0})) {
        std::uint16_t vendor = 0;
        config_read(PCI_VENDOR_ID, std::as_writable_bytes(std::span(&vendor, 1)));
        if (vendor == 0xffff)
            lose("registers and config space read all ones (removed, or its link is down)");
    }
    return value;
}

template <typename T>
void VfioTransport::store(int bar, std::uint64_t offset, T value) {
    require_alive();
    if (volatile std::byte* at = direct(bar, offset, sizeof(T))) {
        // Memory that the device will look at is written before the register that says so.
        std::atomic_thread_fence(std::memory_order_release);
        *reinterpret_cast<volatile T*>(at) = value;
        return;
    }
    write_region(static_cast<std::uint32_t>(bar), offset, std::as_bytes(std::span(&value, 1)));
}

std::uint32_t VfioTransport::bar_read32(int bar, std::uint64_t offset) {
    return load<std::uint32_t>(bar, offset);
}

std::uint64_t VfioTransport::bar_read64(int bar, std::uint64_t offset) {
    return load<std::uint64_t>(bar, offset);
}

void VfioTransport::bar_write32(int bar, std::uint64_t offset, std::uint32_t value) {
    store(bar, offset, value);
}

void VfioTransport::bar_write64(int bar, std::uint64_t offset, std::uint64_t value) {
    store(bar, offset, value);
}

void VfioTransport::bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) {
    const volatile std::byte* at = direct(bar, offset, data.size());
    if (at == nullptr)
        return read_region(static_cast<std::uint32_t>(bar), offset, data);
    require_alive();
    std::size_t i = 0;
    for (; i < data.size() && (offset + i) % 8 != 0; ++i)
        data[i] = at[i];
    for (; i + 8 <= data.size(); i += 8) {
        const std::uint64_t word = *reinterpret_cast<const volatile std::uint64_t*>(at + i);
        std::memcpy(&data[i], &word, 8);
    }
    for (; i < data.size(); ++i)
        data[i] = at[i];
}

void VfioTransport::bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) {
    volatile std::byte* at = direct(bar, offset, data.size());
    if (at == nullptr)
        return write_region(static_cast<std::uint32_t>(bar), offset, data);
    require_alive();
    std::size_t i = 0;
    for (; i < data.size() && (offset + i) % 8 != 0; ++i)
        at[i] = data[i];
    for (; i + 8 <= data.size(); i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, &data[i], 8);
        *reinterpret_cast<volatile std::uint64_t*>(at + i) = word;
    }
    for (; i < data.size(); ++i)
        at[i] = data[i];
}

std::uint64_t VfioTransport::bar_size(int bar) {
    return regions_.at(static_cast<std::size_t>(bar)).size;
}

BarMapping VfioTransport::bar_map(int bar, std::uint64_t offset, std::uint64_t bytes, bool) {
    require_alive();
    volatile std::byte* at = direct(bar, offset, bytes);
    return at == nullptr ? BarMapping{} : BarMapping{at, bytes};
}

// ---- DMA ----

void VfioTransport::dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int) {
    require_alive();
    iommu_->map(iova, bytes, pointer);
}

void VfioTransport::dma_unmap(std::uint64_t iova, std::uint64_t bytes) {
    iommu_->unmap(iova, bytes); // also of a lost device: the mapping is the kernel's
}

// ---- Reset ----

void VfioTransport::reset() {
    require_alive();
    if (!hot_reset() && !function_reset())
        throw Error(TALUS_DRV_UNSUPPORTED, "device " + bdf_ + ": the kernel can't reset it");
}

bool VfioTransport::function_reset() {
    const int result = calls_.ioctl(device_, VFIO_DEVICE_RESET, nullptr);
    if (result == -ENOTTY || result == -EINVAL)
        return false;
    if (result < 0)
        throw system_error("device " + bdf_ + ": VFIO_DEVICE_RESET", -result);
    return true;
}

bool VfioTransport::hot_reset() {
    // The kernel resets the bus only for somebody who holds every group that has a function on it.
    const std::vector<int> proof = iommu_->reset_proof();
    std::vector<std::byte> buffer(sizeof(vfio_pci_hot_reset) + proof.size() * sizeof(std::int32_t));
    vfio_pci_hot_reset reset{};
    reset.argsz = static_cast<std::uint32_t>(buffer.size());
    reset.count = static_cast<std::uint32_t>(proof.size());
    std::memcpy(buffer.data(), &reset, sizeof reset);
    for (std::size_t i = 0; i < proof.size(); ++i) {
        const std::int32_t fd = proof[i];
        std::memcpy(buffer.data() + sizeof reset + i * sizeof fd, &fd, sizeof fd);
    }
    const int result = calls_.ioctl(device_, VFIO_DEVICE_PCI_HOT_RESET, buffer.data());
    if (result == -ENODEV || result == -EINVAL || result == -EPERM || result == -ENOTTY ||
        result == -EBUSY)
        return false; // no slot or bus reset here, or other functions are not ours
    if (result < 0)
        throw system_error("device " + bdf_ + ": VFIO_DEVICE_PCI_HOT_RESET", -result);
    return true;
}

} // namespace talus::driver
