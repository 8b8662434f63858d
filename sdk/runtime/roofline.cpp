#include "sdk/runtime/roofline.hpp"

#include <algorithm>

namespace talus::runtime {

namespace {

constexpr std::uint32_t kUnits[] = {TALUS_PERF_FI_IN_COMMANDS, TALUS_PERF_FI_OUT_COMMANDS,
                                    TALUS_PERF_MLU_COMMANDS,   TALUS_PERF_DPE_COMMANDS,
                                    TALUS_PERF_RE_COMMANDS,    TALUS_PERF_SE_COMMANDS};
constexpr const char* kUnitNames[] = {"FI in", "FI out", "MLU", "DPE", "RE", "SE"};

// What a unit waits for when it has commands and none is under way.
struct UnitWait {
    std::uint32_t counter; // relative to the unit's first
    const char* names[6];
};
constexpr UnitWait kUnitWaits[] = {
    {TALUS_PERF_FI_IN_WAIT_DATA,
     {"FI in: CB empty", "FI out: CB empty", "MLU: CB empty", "DPE: CB empty", "RE: CB empty",
      "SE: CB empty"}},
    {TALUS_PERF_FI_IN_WAIT_SPACE,
     {"FI in: CB full", "FI out: CB full", "MLU: CB full", "DPE: CB full", "RE: CB full",
      "SE: CB full"}},
    {TALUS_PERF_FI_IN_WAIT_BANK,
     {"FI in: RE bank", "FI out: RE bank", "MLU: RE bank", "DPE: RE bank", "RE: RE bank",
      "SE: RE bank"}},
};

struct CoreWait {
    std::uint32_t counter; // core A's
    const char* names[2];
};
constexpr CoreWait kCoreWaits[] = {
    {TALUS_PERF_A_WFI, {"core A: idle", "core B: idle"}},
    {TALUS_PERF_A_WAIT_QUEUE, {"core A: queue full", "core B: queue full"}},
    {TALUS_PERF_A_WAIT_DATA, {"core A: CB empty", "core B: CB empty"}},
    {TALUS_PERF_A_WAIT_SPACE, {"core A: CB full", "core B: CB full"}},
    {TALUS_PERF_A_WAIT_SEMAPHORE, {"core A: semaphore", "core B: semaphore"}},
    {TALUS_PERF_A_WAIT_DRAIN, {"core A: drain", "core B: drain"}},
    {TALUS_PERF_A_FETCH_CLOCKS, {"core A: instruction fetch", "core B: instruction fetch"}},
};

double share(std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

void sort(std::vector<talus_usage>& usages) {
    std::stable_sort(usages.begin(), usages.end(),
                     [](const talus_usage& a, const talus_usage& b) { return a.share > b.share; });
}

} // namespace

void Roofline::add(const DeviceProfile::Launch& launch, const talus_perf_record& record) {
    if (record.magic != TALUS_PERF_MAGIC || record.count != TALUS_PERF_COUNT)
        return;
    const std::uint64_t span = record.end - record.begin;
    clocks_ += span;
    pe_clocks_ += span * record.pes;
    startup_ += std::min(launch.startup, span);
    local_peak_ += record.local_peak_bytes;
    sram_peak_ += record.sram_peak_bytes;
    dram_peak_ += record.dram_peak_bytes;
    pcie_peak_ += record.pcie_peak_bytes;
    for (std::size_t i = 0; i < counters_.size(); ++i)
        counters_[i] += record.counters[i];
}

double Roofline::per_pe(std::uint64_t clocks) const {
    return share(clocks, pe_clocks_);
}

std::vector<talus_usage> Roofline::resources() const {
    if (empty())
        return {};
    std::vector<talus_usage> result;
    std::uint64_t local = 0;
    for (std::size_t unit = 0; unit < std::size(kUnits); ++unit) {
        const std::uint64_t* from = &counters_[kUnits[unit]];
        result.push_back({kUnitNames[unit], per_pe(from[TALUS_PERF_FI_IN_BUSY])});
        local += from[TALUS_PERF_FI_IN_BYTES];
    }
    const auto& c = counters_;
    result.push_back({"local memory", share(local, local_peak_)});
    result.push_back({"SRAM", share(c[TALUS_PERF_SRAM_READ_BYTES] + c[TALUS_PERF_SRAM_WRITE_BYTES],
                                    sram_peak_)});
    result.push_back({"DRAM", share(c[TALUS_PERF_DRAM_READ_BYTES] + c[TALUS_PERF_DRAM_WRITE_BYTES],
                                    dram_peak_)});
    result.push_back(
        {"PCIe",
         share(std::max(c[TALUS_PERF_PCIE_IN_BYTES], c[TALUS_PERF_PCIE_OUT_BYTES]), pcie_peak_)});
    std::uint64_t issue = 0;
    std::uint64_t fetch = 0;
    for (std::size_t core : {0, TALUS_PERF_CORE_STRIDE}) {
        const std::uint64_t missed = c[TALUS_PERF_A_FETCH_CLOCKS + core];
        const std::uint64_t ran = c[TALUS_PERF_A_RUN + core];
        issue = std::max(issue, ran > missed ? ran - missed : 0);
        fetch = std::max(fetch, missed);
    }
    result.push_back({"issue", per_pe(issue)}); // instructions of the busier core
    result.push_back({"instruction fetch", per_pe(fetch)});
    result.push_back({"launch", share(startup_, clocks_)});
    sort(result);
    return result;
}

std::vector<talus_usage> Roofline::stalls() const {
    std::vector<talus_usage> result;
    const auto put = [&](const char* name, std::uint64_t clocks) {
        if (clocks != 0)
            result.push_back({name, per_pe(clocks)});
    };
    for (std::size_t unit = 0; unit < std::size(kUnits); ++unit) {
        const std::uint64_t* from = &counters_[kUnits[unit]];
        for (const UnitWait& wait : kUnitWaits)
            put(wait.names[unit], from[wait.counter]);
    }
    for (const bool out : {false, true}) {
        // A command under way whose requests are all out: it waits for memory.
        const std::uint64_t* from = &counters_[kUnits[out ? 1 : 0]];
        const std::uint64_t active = from[TALUS_PERF_FI_IN_ACTIVE];
        const std::uint64_t busy = from[TALUS_PERF_FI_IN_BUSY];
        put(out ? "FI out: memory" : "FI in: memory", active > busy ? active - busy : 0);
    }
    for (const CoreWait& wait : kCoreWaits)
        for (std::uint32_t core = 0; core < 2; ++core)
            put(wait.names[core], counters_[wait.counter + core * TALUS_PERF_CORE_STRIDE]);
    sort(result);
    return result;
}

std::vector<talus_counter> Roofline::counters() const {
    std::vector<talus_counter> result;
    if (empty())
        return result;
#define TALUS_COUNTER(name, index, scope, unit, text)                                              \
    result.push_back({#name + sizeof("TALUS_PERF_") - 1, #unit, counters_[index]});
    TALUS_PERF_COUNTERS(TALUS_COUNTER)
#undef TALUS_COUNTER
    return result;
}

} // namespace talus::runtime
