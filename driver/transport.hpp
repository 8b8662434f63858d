// The road to a device. A transport carries config space, BARs, interrupts, DMA mappings and reset;
// everything above it is the same for silicon and for a simulator.
#pragma once

#include "discovery.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace talus::driver {

/// A part of a BAR in this process's address space; unmapped when its transport is destroyed.
struct BarMapping {
    volatile std::byte* pointer = nullptr;
    std::uint64_t bytes = 0;
};

/// IOVAs from `begin` up to but not including `end`.
struct IovaRange {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

class DaemonTransport;

/// The operations that a transport offers. Thread-safe except for construction and destruction.
/// Every operation throws Error{TALUS_DRV_DEVICE_LOST} once the device is gone, and never blocks
/// for longer than the transport's own time-out. The destructor closes: device access to this
/// process's memory has ended when it returns.
class Transport {
  public:
    virtual ~Transport() = default;

    virtual const char* kind() const = 0;

    /// This very transport, where another process owns the device: no config space, no admin queue.
    virtual DaemonTransport* daemon() { return nullptr; }

    // Config space. `offset` + size within 4 KiB.
    virtual void config_read(std::uint32_t offset, std::span<std::byte> data) = 0;
    virtual void config_write(std::uint32_t offset, std::span<const std::byte> data) = 0;

    // BAR access of 4 or 8 aligned bytes: exactly one access of that width at the device.
    virtual std::uint32_t bar_read32(int bar, std::uint64_t offset) = 0;
    virtual std::uint64_t bar_read64(int bar, std::uint64_t offset) = 0;
    virtual void bar_write32(int bar, std::uint64_t offset, std::uint32_t value) = 0;
    virtual void bar_write64(int bar, std::uint64_t offset, std::uint64_t value) = 0;

    /// Plain memory in a BAR (staging): access widths are unspecified.
    virtual void bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) = 0;
    virtual void bar_write(int bar, std::uint64_t offset, std::span<const std::byte> data) = 0;

    virtual std::uint64_t bar_size(int bar) = 0;

    /// Maps a page-aligned part of a BAR; pointer is null where the device does not let it be
    /// mapped.
    virtual BarMapping bar_map(int bar, std::uint64_t offset, std::uint64_t bytes,
                               bool writable) = 0;

    /// Lets the device read and write [pointer, pointer + bytes) at `iova`. `fd` is the memory's
    /// file (offset 0), or -1: then the device's accesses go through this process.
    virtual void dma_map(std::uint64_t iova, std::uint64_t bytes, void* pointer, int fd) = 0;

    /// Ends the device's access; nothing touches the memory once this returns. Must match a
    /// dma_map.
    virtual void dma_unmap(std::uint64_t iova, std::uint64_t bytes) = 0;

    /// Where dma_map may map. A device in another process has no IOMMU: anywhere.
    virtual std::vector<IovaRange> iova_ranges() { return {{0, UINT64_MAX}}; }

    /// Whether mapped memory is pinned and entered into an IOMMU page by page, so that huge pages
    /// save time and entries.
    virtual bool pins_memory() { return false; }

    /// `observer` hears of every write of the device into mapped memory that passes through this
    /// process (mapped without a file), on whatever thread serves it. Set before anything is
    /// mapped.
    using DmaObserver = std::function<void(std::uint64_t iova, std::span<const std::byte> data)>;
    virtual void observe_dma(const DmaObserver&) {}

    /// Number of MSI-X vectors (of MSI's where the device has no MSI-X).
    virtual std::uint32_t irq_count() = 0;
    /// Vector `vector` signals `eventfd` from now on; -1 takes it away. The fd stays the
    /// caller's.
    virtual void irq_set(std::uint32_t vector, int eventfd) = 0;

    /// Resets the function by the transport's own means, at least as far as a function-level reset
    /// goes. (That one itself is a write to config space.) Config space is as after power-on.
    virtual void reset() = 0;

    /// Resets the bus that the function is on; false where there is none, or where others'
    /// functions are on it too. Config space is as after power-on.
    virtual bool hot_reset() { return false; }

    /// Sleeps until `eventfd` is readable or `timeout` has passed, serving the device's requests
    /// meanwhile; true if readable. `eventfd` -1 = only serve.
    virtual bool wait(int eventfd, std::chrono::milliseconds timeout) = 0;
};

/// What a transport needs beside the target.
struct TransportOptions {
    std::string simulator;                   // path of talus-sim; empty = search
    std::vector<std::string> simulator_args; // further arguments
    std::string record;                      // file for everything that passes; empty = none
};

/// Opens the transport that `target` names. Errors: NOT_FOUND, PERMISSION, BUSY, UNSUPPORTED (no
/// such transport in this driver), PROTOCOL, DEVICE_LOST.
std::unique_ptr<Transport> open_transport(const Target& target, const TransportOptions& options);

} // namespace talus::driver
