#include "perf_monitor.hpp"

#include "talus/hw/instructions.h"

namespace talus::sim {

PerfMonitor::PerfMonitor(const Config& config, Cores& cores, const Fabric& fabric,
                         const PcieLink& link, const EnergyMeter& meter)
    : config_(config), cores_(cores), fabric_(fabric), link_(link), meter_(meter) {}

void PerfMonitor::add_pe(Cycle now, std::uint32_t pe, talus_perf_record& record) const {
    const PeCounters& counters = cores_.pe(pe).counters();
    constexpr std::uint32_t kFirst[] = {TALUS_PERF_FI_IN_COMMANDS, TALUS_PERF_FI_OUT_COMMANDS,
                                        TALUS_PERF_MLU_COMMANDS,   TALUS_PERF_DPE_COMMANDS,
                                        TALUS_PERF_RE_COMMANDS,    TALUS_PERF_SE_COMMANDS};
    static_assert(TALUS_UNIT_FI_IN == 0 && TALUS_UNIT_FI_OUT == 1 && TALUS_UNIT_MLU == 2 &&
                  TALUS_UNIT_DPE == 3 && TALUS_UNIT_RE == 4 && TALUS_UNIT_SE == 5);
    for (unsigned number = 0; number < TALUS_UNIT_COUNT; ++number) {
        const PeCounters::Unit& unit = counters.units[number];
        std::uint64_t* out = record.counters + kFirst[number];
        out[TALUS_PERF_FI_IN_COMMANDS] += unit.commands;
        out[TALUS_PERF_FI_IN_BUSY] += unit.busy_clocks;
        out[TALUS_PERF_FI_IN_ACTIVE] += unit.activity.spent(UnitActivity::kActive, now);
        out[TALUS_PERF_FI_IN_WAIT_DATA] += unit.activity.spent(UnitActivity::kWaitData, now);
        out[TALUS_PERF_FI_IN_WAIT_SPACE] += unit.activity.spent(UnitActivity::kWaitSpace, now);
        out[TALUS_PERF_FI_IN_WAIT_BANK] += unit.activity.spent(UnitActivity::kWaitBank, now);
        out[TALUS_PERF_FI_IN_BYTES] += unit.bytes;
    }
    record.counters[TALUS_PERF_MACS] += counters.macs;
    for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
        const HartId hart = TALUS_HART_OF(pe, core);
        const auto& activity = cores_.runner(hart).activity();
        const auto put = [&](std::uint32_t counter, std::uint64_t value) {
            record.counters[core * TALUS_PERF_CORE_STRIDE + counter] += value;
        };
        put(TALUS_PERF_A_RETIRED, cores_.retired(hart));
        put(TALUS_PERF_A_RUN, activity.spent(CoreActivity::kRun, now));
        put(TALUS_PERF_A_WFI, activity.spent(CoreActivity::kWfi, now));
        put(TALUS_PERF_A_WAIT_QUEUE, activity.spent(CoreActivity::kWaitQueue, now));
        put(TALUS_PERF_A_WAIT_DATA, activity.spent(CoreActivity::kWaitData, now));
        put(TALUS_PERF_A_WAIT_SPACE, activity.spent(CoreActivity::kWaitSpace, now));
        put(TALUS_PERF_A_WAIT_SEMAPHORE, activity.spent(CoreActivity::kWaitSemaphore, now));
        put(TALUS_PERF_A_WAIT_DRAIN, activity.spent(CoreActivity::kWaitDrain, now));
        put(TALUS_PERF_A_FETCH_MISSES, cores_.fetches(hart).misses);
        put(TALUS_PERF_A_FETCH_CLOCKS, cores_.fetches(hart).clocks);
    }
}

void PerfMonitor::sample(Cycle now, std::span<const std::uint32_t> pes,
                         talus_perf_record& record) const {
    record = {};
    record.magic = TALUS_PERF_MAGIC;
    record.count = TALUS_PERF_COUNT;
    record.end = now;
    record.pes = static_cast<std::uint32_t>(pes.size());
    record.clock_khz = config_.device.clock_khz;
    EnergyReport joules;
    for (const std::uint32_t pe : pes) {
        add_pe(now, pe, record);
        joules += meter_.pe(pe);
    }
    const EnergyReport chip = meter_.chip();
    const auto put = [&](std::uint32_t counter, double value) {
        record.counters[counter] = static_cast<std::uint64_t>(value * 1e9);
    };
    put(TALUS_PERF_DPE_ENERGY, joules.dpe);
    put(TALUS_PERF_SE_ENERGY, joules.simd);
    put(TALUS_PERF_RE_ENERGY, joules.reduction);
    put(TALUS_PERF_LOCAL_ENERGY, joules.local);
    put(TALUS_PERF_NOC_ENERGY, joules.noc + chip.noc);
    put(TALUS_PERF_CORE_ENERGY, joules.cores);
    put(TALUS_PERF_SRAM_ENERGY, chip.sram);
    put(TALUS_PERF_DRAM_ENERGY, chip.dram);
    put(TALUS_PERF_PCIE_ENERGY, chip.pcie + chip.gzip);
    put(TALUS_PERF_CONTROL_ENERGY, chip.cores);
    put(TALUS_PERF_IDLE_ENERGY,
        config_.power.idle_mw * 1e-3 * static_cast<double>(now) / (config_.device.clock_khz * 1e3));
    const FabricCounters& fabric = fabric_.counters();
    record.counters[TALUS_PERF_SRAM_READ_BYTES] = fabric.sram_read_bytes;
    record.counters[TALUS_PERF_SRAM_WRITE_BYTES] = fabric.sram_write_bytes;
    record.counters[TALUS_PERF_DRAM_READ_BYTES] = fabric.dram_read_bytes;
    record.counters[TALUS_PERF_DRAM_WRITE_BYTES] = fabric.dram_write_bytes;
    record.counters[TALUS_PERF_DRAM_ROW_HITS] = fabric.dram_row_hits;
    record.counters[TALUS_PERF_DRAM_ROW_MISSES] = fabric.dram_row_misses;
    record.counters[TALUS_PERF_PE_TO_PE_BYTES] = fabric.pe_to_pe_bytes;
    record.counters[TALUS_PERF_PCIE_IN_BYTES] = link_.bytes_read();
    record.counters[TALUS_PERF_PCIE_OUT_BYTES] = link_.bytes_written();

    const std::uint64_t megahertz = config_.device.clock_khz / 1000;
    const auto moved = [&](double bytes_per_clock) {
        return static_cast<std::uint64_t>(static_cast<double>(now) * bytes_per_clock);
    };
    record.local_peak_bytes = now * config_.local.bytes_per_clock * pes.size();
    record.sram_peak_bytes =
        now * config_.sram.slice_bytes_per_clock * std::uint64_t{config_.sram.slices};
    record.dram_peak_bytes =
        moved(static_cast<double>(config_.dram.megatransfers) * config_.dram.channel_bits / 8 *
              config_.dram.channels / static_cast<double>(megahertz));
    record.pcie_peak_bytes =
        moved(config_.pcie.gigabytes_per_second * 1e6 / config_.device.clock_khz);
}

} // namespace talus::sim
