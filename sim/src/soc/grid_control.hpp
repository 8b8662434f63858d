// Grid control: broadcasts launches, holds and releases PEs, and notices jobs that cannot go on.
#ifndef TALUS_SIM_SOC_GRID_CONTROL_HPP
#define TALUS_SIM_SOC_GRID_CONTROL_HPP

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "talus/hw/perf.h"
#include "talus/hw/work.h"

#include "../core/checkpoint.hpp"
#include "../core/config.hpp"
#include "../core/diagnostics.hpp"
#include "../mem/fabric.hpp"
#include "interrupt_controller.hpp"
#include "register_block.hpp"

namespace talus::sim {

/// The PEs as grid control sees them.
class PeGrid {
  public:
    virtual ~PeGrid() = default;
    /// Resets both cores, CP, CBs, units and work queue, and holds them.
    virtual void hold_pe(std::uint32_t pe, Cycle now) = 0;
    /// Both cores start at `vector`.
    virtual void release_pe(std::uint32_t pe, Cycle now, std::uint64_t vector) = 0;
    /// The broadcast reaches the work-queue engine at `arrival`.
    virtual void launch(std::uint32_t pe, Cycle arrival, std::uint64_t descriptor) = 0;
    /// What the PE's cores and units wait for, one line each; nothing for a PE that is idle.
    virtual std::vector<std::string> describe_waits(std::uint32_t pe) const = 0;
};

/// Reads the performance counters.
class PerfSampler {
  public:
    virtual ~PerfSampler() = default;
    /// The counters of these PEs (physical indices) and of the chip as they stand at `now`.
    virtual void sample(Cycle now, std::span<const std::uint32_t> pes,
                        talus_perf_record& record) const = 0;
};

class GridControl final : public RegisterBlock {
  public:
    /// All outlive the grid control. Job records are read in the fabric's control SRAM.
    GridControl(const Config& config, PeGrid& grid, InterruptController& interrupts,
                Diagnostics& diagnostics, Fabric& fabric, const PerfSampler& counters);

    /// Fundamental reset: all PEs are held.
    void reset(Cycle now);

    /// For a device in which no event is left: a job that was launched, has not ended and has not
    /// faulted is a guest deadlock. Reports each such launch once, in the log and by
    /// TALUS_IRQ_GRID. true: there was a new one.
    bool check_deadlock(Cycle now);

    std::uint64_t launches() const { return launches_; }

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override;

    void checkpoint(Checkpoint& state) {
        state(rect_, descriptor_, vector_, perf_from_, perf_to_, perf_domain_, deadlock_job_, jobs_,
              launches_);
    }

  private:
    struct Job {
        std::uint32_t index;
        std::uint32_t generation;
        std::uint64_t record; ///< device address
        std::uint32_t rect;

        void checkpoint(Checkpoint& state) { state(index, generation, record, rect); }
    };

    template <typename Function>
    void for_each_pe(std::uint32_t rect, Function&& function) const;
    bool valid(std::uint32_t rect) const;
    bool overlap(std::uint32_t x, std::uint32_t y) const;
    const talus_job_record* record(std::uint64_t address) const;
    void launch(Cycle now);
    void reset_pes(Cycle now, bool hold);
    void store_counters(Cycle now, std::uint64_t to);

    const Config& config_;
    PeGrid& grid_;
    InterruptController& interrupts_;
    Diagnostics& diagnostics_;
    Fabric& fabric_;
    const PerfSampler& counters_;
    std::uint32_t rect_ = 0;
    std::uint64_t descriptor_ = 0;
    std::uint64_t vector_ = 0;
    std::uint64_t perf_from_ = 0;
    std::uint64_t perf_to_ = 0;
    std::uint32_t perf_domain_ = 0;
    std::uint32_t deadlock_job_ = 0xffffffffu;
    std::vector<Job> jobs_; ///< launched and not known to have ended
    std::uint64_t launches_ = 0;
};

} // namespace talus::sim

#endif
