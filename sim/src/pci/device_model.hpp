// The seam between the PCIe function (sim/src/pci) and the chip behind it.
//
//   socket thread                                  timing thread
//   PciFunction ── PciDeviceModel::bar_read… ──►   the chip
//   PciFunction ◄── HostPort::dma_read…      ──   the chip
//
// The socket thread answers the host and never waits for the timing thread; what it calls in the
// model must return within microseconds. The timing thread may block in HostPort, but only on the
// host's memory (a client that serves DMA by messages), never on the socket thread's other work.
#ifndef TALUS_SIM_PCI_DEVICE_MODEL_HPP
#define TALUS_SIM_PCI_DEVICE_MODEL_HPP

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../vfio_user/dma_status.hpp"

namespace talus::sim {

// The host as the chip sees it through the link. All methods are thread-safe; the chip's timing
// thread is the usual caller. Simulated link time is the caller's to account for.
//
// DMA is performed in pieces of at most 64 KiB. A DMA_UNMAP, a reset or Bus Master going off takes
// effect between two pieces: once the host has the reply to it, no further byte is read or written,
// and the access returns an error. An access that fails may have moved a prefix.
class HostPort {
  public:
    virtual ~HostPort() = default;

    // Reads host memory [iova, iova+length) into `destination`. The range may span adjacent
    // mappings.
    virtual DmaStatus dma_read(uint64_t iova, void* destination, size_t length) = 0;
    // Writes `source` to host memory. Earlier writes are visible to the host before later ones and
    // before an interrupt raised after them.
    virtual DmaStatus dma_write(uint64_t iova, const void* source, size_t length) = 0;

    // What a dma_read (or with `write` a dma_write) of the range would say now, without touching
    // it.
    virtual DmaStatus probe(uint64_t iova, size_t length, bool write) const = 0;

    // One naturally aligned 32- or 64-bit word, accessed as a single atomic load (acquire) or store
    // (release): for shadow doorbells, event indices and completion phase words. Two threads on
    // either side never see a torn value where the mapping has a file descriptor.
    virtual DmaStatus load32(uint64_t iova, uint32_t& value) = 0;
    virtual DmaStatus load64(uint64_t iova, uint64_t& value) = 0;
    virtual DmaStatus store32(uint64_t iova, uint32_t value) = 0;
    virtual DmaStatus store64(uint64_t iova, uint64_t value) = 0;

    // Copies `count` consecutive 32-bit words, each loaded atomically (acquire), in one guarded
    // pass: the way to poll a page of shadow doorbells. At most 16384 words (64 KiB), 4-byte
    // aligned.
    virtual DmaStatus load32_array(uint64_t iova, uint32_t* values, size_t count) = 0;

    // Raises MSI-X vector `vector`. Delivered at once where MSI-X is enabled and the vector is not
    // masked; kept in the PBA where it is masked; dropped where MSI-X or Bus Master is off.
    // Vectors out of range are ignored and counted (dropped_interrupts()).
    virtual void raise_msix(unsigned vector) = 0;
    virtual uint64_t dropped_interrupts() const = 0;

    virtual bool bus_master_enabled() const = 0; // false too in D3hot and with no client
    virtual bool client_connected() const = 0;

    // PCIe Device Control (7.5.3.4), as the host has it now.
    virtual uint16_t device_control() const = 0;

    // Sets bits of the AER status registers (PCIe 7.8.4), with their summary in Device Status. A
    // fatal error also signals the ERR interrupt, at which QEMU stops the guest: for errors after
    // which the device needs a fundamental reset.
    virtual void report_correctable_error(uint32_t aer_status_bits) = 0;
    virtual void report_uncorrectable_error(uint32_t aer_status_bits, bool fatal) = 0;
};

// Part of a BAR that the host may map. Page-aligned, within the BAR.
struct MappableArea {
    uint64_t offset = 0;
    uint64_t size = 0;
};

// The memory behind a BAR's mappable areas. The file is laid out as the BAR is: the byte at BAR
// offset o stands at file offset o (a memfd as long as the BAR costs only the pages touched).
// Accesses by message to these areas are served from the file and never reach bar_read/bar_write.
struct MappableBar {
    int fd = -1; // owned by the model, open as long as it lives; -1 = nothing mappable.
                 // Seal it against shrinking (SharedBarMemory does): the host gets a duplicate.
    bool host_writable = false; // false: the host's writes by message are dropped
    std::vector<MappableArea> areas;
};

// The chip as the PCIe function sees it. Every method but connect() is called on the socket thread,
// one at a time, in the order in which the host issued the accesses. None may block on the timing
// thread and none may call HostPort's dma_* methods; all may be called before the chip first runs.
class PciDeviceModel {
  public:
    virtual ~PciDeviceModel() = default;

    // Called once, before any other method and before the server thread starts. `port` outlives the
    // model's use of it: the server is stopped before either is destroyed.
    virtual void connect(HostPort& port) = 0;

    // Mappable memory of BAR `bar` (0, 2, 4). Called once per BAR, after connect().
    virtual MappableBar mappable(unsigned bar) = 0;

    // A read of `size` (1, 2, 4 or 8) bytes at `offset`, naturally aligned and inside the BAR.
    // Answered from the model's snapshot, without side effects; the value is little-endian in the
    // low bytes. After a reset method has returned, no value from before the reset may be answered.
    virtual uint64_t bar_read(unsigned bar, uint64_t offset, unsigned size) = 0;

    // A posted write, same alignment rules; the model queues it for the timing thread.
    virtual void bar_write(unsigned bar, uint64_t offset, unsigned size, uint64_t value) = 0;

    // Function-level reset (queues, domains and interrupts die, firmware lives on). Bus Master is
    // already off and no DMA is under way; an access in flight has failed or will.
    virtual void function_reset() = 0;
    // Fundamental reset: back to the boot ROM. Same preconditions.
    virtual void fundamental_reset() = 0;

    // The client closed its end. function_reset() was called just before, mappings and interrupts
    // are gone. The server may accept another client afterwards.
    virtual void client_gone() = 0;
};

} // namespace talus::sim

#endif
