// A PCI function behind Linux's vfio-pci.
#pragma once

#include "transport.hpp"
#include "vfio_iommu.hpp"

#include "fd.hpp"

#include <array>
#include <atomic>
#include <mutex>

namespace talus::driver {

/// BARs are mapped where the kernel permits it, so that an access is one load or store of its
/// width; elsewhere it is a system call. Config space is vfio-pci's: what would upset the host (BAR
/// addresses, the MSI-X enable bit) is not written through, and initiating a function-level reset
/// resets with state saved and restored, interrupts included.
class VfioTransport final : public Transport {
  public:
    /// Opens `bdf`. Errors: NOT_FOUND, PERMISSION, BUSY, UNSUPPORTED (no IOMMU, or bound to another
    /// driver).
    explicit VfioTransport(const std::string& bdf, Syscalls& calls = Syscalls::linux());
    ~VfioTransport() override;

    const char* kind() const override { return "vfio"; }
    /// "vfio container" or "iommufd".
    const char* iommu_kind() const { return iommu_->kind(); }

    void config_read(std::uint32_t offset, std::span<std::byte> data) override;
    void config_write(std::uint32_t offset, std::span<const std::byte> data) override;
    std::uint32_t bar_read32(int bar, std::uint64_t offset) override;
    std::uint64_t bar_read64(int bar, std::uint64_t offset) override;
    void bar_write32(int bar, std::uint64_t offset, std::uint32_t value) override;
    void bar_write64(int bar, std::uint64_t offset, std::uint64_t value) override;
    void bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) override;
    void bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) override;
    std::uint64_t bar_size(int bar) override;
    BarMapping bar_map(int bar, std::uint64_t offset, std::uint64_t bytes, bool writable) override;
    void dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) override;
    void dma_unmap(std::uint64_t iova, std::uint64_t bytes) override;
    std::vector<IovaRange> iova_ranges() override { return iommu_->ranges(); }
    bool pins_memory() override { return true; }
    std::uint32_t irq_count() override { return irq_count_; }
    void irq_set(std::uint32_t vector, int eventfd) override;
    bool wait(int eventfd, std::chrono::milliseconds timeout) override;

    /// A hot reset of the bus (which the device's own firmware cannot prevent) where every function
    /// on it is ours, else what VFIO_DEVICE_RESET does.
    void reset() override;

    /// The two by themselves. False where the kernel has no such reset for this device.
    bool hot_reset() override;
    bool function_reset();

  private:
    struct Area { // of a BAR, mapped into this process
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
        std::byte* pointer = nullptr;
    };
    struct Region {
        std::uint64_t size = 0;
        std::uint64_t file_offset = 0; // in the device's file
        std::vector<Area> areas;
    };
    static constexpr std::size_t kRegions = 8; // six BARs, ROM, config space

    void query_region(std::uint32_t index);
    void map_area(Region& region, std::uint32_t flags, std::uint64_t offset, std::uint64_t bytes);
    void query_interrupts();
    /// Returns ioctl's result: 0, a smaller number of vectors that there would be, or -errno.
    int set_irqs(std::uint32_t index, std::uint32_t start, std::span<const std::int32_t> eventfds);
    UniqueFd watch(std::uint32_t irq_index);

    const Region& checked(std::uint32_t index, std::uint64_t offset, std::size_t bytes) const;
    volatile std::byte* direct(int bar, std::uint64_t offset, std::size_t bytes) const;
    void read_region(std::uint32_t index, std::uint64_t offset, std::span<std::byte> data);
    void write_region(std::uint32_t index, std::uint64_t offset, std::span<const std::byte> data);
    template <typename T>
    T load(int bar, std::uint64_t offset);
    template <typename T>
    void store(int bar, std::uint64_t offset, T value);

    [[noreturn]] void lose(const std::string& reason);
    void require_alive();

    Syscalls& calls_;
    std::string bdf_;
    std::unique_ptr<VfioIommu> iommu_;
    int device_ = -1; // iommu_'s
    std::array<Region, kRegions> regions_;
    std::mutex mutex_; // irqs, lost reason
    std::uint32_t irq_index_ = 0;
    std::uint32_t irq_count_ = 0;
    bool irqs_enabled_ = false;
    std::vector<std::int32_t> eventfds_; // by vector; -1 = none
    std::atomic<bool> lost_{false};
    std::string lost_reason_;
    UniqueFd error_event_;   // PCIe reported an uncorrectable error of the device
    UniqueFd request_event_; // the kernel wants the device back
};

} // namespace talus::driver
