// Where a fault of the hardware can be put into the model. Units that have such a place ask here; a
// device without injected faults has no hooks, and pays a test of a null pointer.
#ifndef TALUS_SIM_CORE_FAULT_HOOKS_HPP
#define TALUS_SIM_CORE_FAULT_HOOKS_HPP

#include <cstdint>

#include "types.hpp"

namespace talus::sim {

/// Belongs to the timing thread. Answers may depend on device time and on earlier questions only,
/// so that a run with faults can be repeated.
class FaultHooks {
  public:
    virtual ~FaultHooks() = default;

    /// A DMA command of `bytes` of the PE's fabric interface completes. true: it moved nothing.
    virtual bool drops_dma(std::uint32_t pe, bool out, Cycle now, std::uint64_t bytes) = 0;
    /// The unit (enum talus_unit) begins no command before the returned time; kNever: no more.
    virtual Cycle stuck_until(std::uint32_t pe, unsigned unit, Cycle now) = 0;
    /// Grid control has broadcast a job.
    virtual void job_begins(Cycle) {}
    /// How many of `packets` over the PCIe link arrive damaged and are replayed.
    virtual std::uint64_t replays(Cycle now, std::uint64_t packets) = 0;
    /// An MSI-X message leaves the device. true: it never reaches the host.
    virtual bool loses_msix(unsigned vector, Cycle now) = 0;
    /// Per cent by which the supply's droop slows the clock of the PEs' units at `now`: 0 to 99.
    virtual unsigned droop_percent(Cycle now) = 0;
};

} // namespace talus::sim

#endif
