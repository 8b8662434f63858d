// The PCIe endpoint that the host sees: configuration space, BARs, MSI-X and resets, put between
// the vfio-user server and the chip.
//
//   PciFunction function(chip, {});
//   vfio_user::Server server(function, function.memory(), function.irqs(), {.socket_path = path});
//   server.start();
//
// Destroy the server first, then the function, then the chip.
#ifndef TALUS_SIM_PCI_PCI_FUNCTION_HPP
#define TALUS_SIM_PCI_PCI_FUNCTION_HPP

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>

#include "../vfio_user/client_memory.hpp"
#include "../vfio_user/device.hpp"
#include "../vfio_user/irq_bank.hpp"
#include "config_space.hpp"
#include "device_model.hpp"
#include "msix.hpp"

namespace talus::sim {

// How VFIO's two halves meet here. On silicon the kernel's vfio-pci programs the MSI-X capability
// and table when user space assigns eventfds; this function does that itself: assigning an eventfd
// to a vector enables MSI-X and unmasks the vector's table entry, taking it away masks the entry,
// and disabling the interrupt type clears MSI-X Enable. A client may as well write the registers.
//
// Both resets put Command, BARs, MSI-X capability and table back to their reset values. The
// client's DMA mappings and eventfds are not the device's and stay; after a reset the client sets
// Command.Memory and Command.BusMaster again and re-enables MSI-X in one of the two ways.
//
// While Command.Memory is off or the function is in D3hot, BAR reads give all ones and writes are
// dropped. Mapped pages cannot be taken away and stay accessible.
//
// HostPort may be called from any thread. The Device methods belong to the socket thread.
class PciFunction final : public vfio_user::Device, public HostPort {
  public:
    struct Options {
        ConfigSpaceIdentity identity;
        // How long a DMA by message waits for a client that is not stopped (completion time-out).
        std::chrono::milliseconds completion_timeout = std::chrono::seconds(5);
    };

    // Connects the model and maps its mappable areas. `model` outlives the function. Throws
    // std::logic_error if the model's areas break the rules of MappableBar.
    PciFunction(PciDeviceModel& model, const Options& options);
    ~PciFunction() override;
    PciFunction(const PciFunction&) = delete;
    PciFunction& operator=(const PciFunction&) = delete;

    vfio_user::ClientMemory& memory() { return memory_; }
    vfio_user::IrqBank& irqs() { return irqs_; }

    // `observer` gets the 4 KiB of configuration space now and after every change, from whichever
    // thread made it, one call at a time. Set before the server starts.
    using ConfigObserver = std::function<void(std::span<const std::byte, ConfigSpace::kBytes>)>;
    void observe_config(ConfigObserver observer);

    // vfio_user::Device
    vfio_user::Region region(uint32_t index) const override;
    vfio_user::IrqType irq_type(uint32_t index) const override;
    int region_read(uint32_t index, uint64_t offset, std::span<std::byte> data) override;
    int region_write(uint32_t index, uint64_t offset, std::span<const std::byte> data) override;
    void irq_assigned(uint32_t index, uint32_t vector, bool assigned) override;
    void irq_masked(uint32_t index, uint32_t vector, bool masked) override;
    void irq_disabled(uint32_t index) override;
    void reset() override;
    void client_arrived() override;
    void client_gone() override;

    // HostPort
    DmaStatus dma_read(uint64_t iova, void* destination, size_t length) override;
    DmaStatus dma_write(uint64_t iova, const void* source, size_t length) override;
    DmaStatus probe(uint64_t iova, size_t length, bool write) const override;
    DmaStatus load32(uint64_t iova, uint32_t& value) override;
    DmaStatus load64(uint64_t iova, uint64_t& value) override;
    DmaStatus store32(uint64_t iova, uint32_t value) override;
    DmaStatus store64(uint64_t iova, uint64_t value) override;
    DmaStatus load32_array(uint64_t iova, uint32_t* values, size_t count) override;
    void raise_msix(unsigned vector) override;
    uint64_t dropped_interrupts() const override { return dropped_interrupts_; }
    bool bus_master_enabled() const override { return memory_.enabled(); }
    bool client_connected() const override { return connected_; }
    uint16_t device_control() const override;
    void report_correctable_error(uint32_t aer_status_bits) override;
    void report_uncorrectable_error(uint32_t aer_status_bits, bool fatal) override;

  private:
    struct Bar {
        uint64_t size = 0;
        MappableBar mappable;
        std::byte* memory = nullptr; // the whole file mapped here, null if nothing is mappable
    };

    void adopt(unsigned bar, uint64_t size);
    bool in_area(const Bar& bar, uint64_t offset, uint64_t length, bool& overlaps) const;
    int area_read(const Bar& bar, uint64_t offset, std::span<std::byte> data) const;
    int area_write(const Bar& bar, uint64_t offset, std::span<const std::byte> data);
    bool msix_read(unsigned bar, uint64_t offset, std::span<std::byte> data) const;
    bool msix_write(unsigned bar, uint64_t offset, std::span<const std::byte> data);
    void config_write(uint64_t offset, std::span<const std::byte> data);
    void reset_function(ConfigReset kind);
    void apply_config();       // under mutex_
    void deliver_pending();    // under mutex_
    bool msix_allowed() const; // under mutex_
    DmaStatus noted(DmaStatus status, bool read);
    void config_changed();

    PciDeviceModel& model_;
    vfio_user::ClientMemory memory_;
    vfio_user::IrqBank irqs_;
    std::array<Bar, 6> bars_; // by BAR number; upper halves stay empty

    // Order of locks: observer_mutex_, mutex_, then ClientMemory's and IrqBank's own.
    mutable std::mutex mutex_;
    ConfigSpace config_; // under mutex_
    MsixTable msix_;     // under mutex_
    std::mutex observer_mutex_;
    ConfigObserver observer_;

    std::atomic<bool> connected_{false};
    std::atomic<uint64_t> dropped_interrupts_{0};
};

} // namespace talus::sim

#endif
