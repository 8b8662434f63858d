// What the device asks of a debugger, and what it shows to it.
#ifndef TALUS_SIM_SOC_DEVICE_DEBUGGER_HPP
#define TALUS_SIM_SOC_DEVICE_DEBUGGER_HPP

#include "../core/config.hpp"
#include "../core/diagnostics.hpp"
#include "../core/event_queue.hpp"
#include "../mem/fabric.hpp"

namespace talus::sim {

class Cores;
class Clint;
class HostInterface;
class QueueEngine;
class DmaEngines;
class PcieLink;
class InterruptController;

/// The units of a device. Belong to the timing thread.
struct DeviceParts {
    const Config& config;
    Diagnostics& diagnostics;
    EventQueue& events;
    Fabric& fabric;
    Cores& cores;
    Clint& clint;
    InterruptController& interrupts;
    HostInterface& host_interface;
    QueueEngine& queue_engine;
    DmaEngines& dma;
    PcieLink& link;
};

class DeviceDebugger {
  public:
    virtual ~DeviceDebugger() = default;

    /// attend() has something to do. Any thread; cheap enough for every event.
    virtual bool attention() const = 0;
    /// On the timing thread, between two events. Returns when the device may go on; while a
    /// debugger holds it that may take any time, in which no event happens. Returns early when
    /// DebugServices::ending().
    virtual void attend() = 0;
    /// Harts that could run are kept from it: a device without events is not parked.
    virtual bool holds_harts() const = 0;
    /// When on_due() wants to be called: after the first event at or after that time.
    virtual Cycle due() const = 0;
    virtual void on_due(Cycle now) = 0;
};

/// What a debugger may ask of the device besides its parts.
class DebugServices {
  public:
    virtual ~DebugServices() = default;
    virtual DeviceParts parts() = 0;
    /// Wakes a timing thread that sleeps because the device is parked. Any thread.
    virtual void call_attention() = 0;
    /// The simulator is about to end: a debugger must not hold the device any more. Any thread.
    virtual bool ending() const = 0;
    /// As by the host's FROZEN_RESET; takes effect when the timing thread is back in its loop.
    virtual void request_reset() = 0;
    /// Writes a checkpoint. On the timing thread, between two events. Throws CheckpointError: it
    /// cannot be written, or something is under way in the device (the message says what).
    virtual void save(const std::string& path) = 0;
};

} // namespace talus::sim

#endif
