// Totals of everything that is counted, at the end of a run.
#include <fstream>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "../pe/command.hpp"
#include "device.hpp"

namespace talus::sim {

namespace {

using Json = nlohmann::ordered_json;

template <typename State>
Json times(const ActivityClock<State>& activity, Cycle now) {
    Json result = Json::object();
    for (unsigned state = 0; state < static_cast<unsigned>(State::kCount); ++state) {
        const std::uint64_t clocks = activity.spent(static_cast<State>(state), now);
        if (clocks != 0) {
            result[std::string(activity_name(static_cast<State>(state)))] = clocks;
        }
    }
    return result;
}

/// One line a number: "pe.1.2.DPE.busy_clocks 131072".
void print(std::ostream& out, const std::string& path, const Json& value) {
    for (const auto& [key, inner] : value.items()) {
        std::string name = path.empty() ? key : path + "." + key;
        if (inner.is_structured()) {
            print(out, name, inner);
        } else {
            out << fmt::format("{:<56} {:>20}\n", name, inner.dump());
        }
    }
}

/// Of a port's packets: what they waited for before they entered the NoC.
Json entered(const Sources& sources, std::uint32_t port) {
    Json out;
    for (const bool write : {false, true}) {
        const Source::Counters& from = sources[sources.number(port, write)].counters();
        out[write ? "write" : "read"] = {{"packets", from.packets},
                                         {"bytes", from.bytes},
                                         {"credit_waits", from.credit_waits},
                                         {"credit_wait_clocks", from.credit_wait_clocks},
                                         {"shaping_waits", from.shaping_waits},
                                         {"shaping_wait_clocks", from.shaping_wait_clocks}};
    }
    return out;
}

} // namespace

void Device::write_statistics() {
    const Cycle now = events_.now();
    const FabricCounters& fabric = fabric_.counters();
    Json root;
    root["clocks"] = now; // since the last fundamental reset; all else since the start
    root["clock_khz"] = options_.config.device.clock_khz;
    root["host"] = {{"completions", host_interface_.completions()},
                    {"command_clocks", queue_engine_.command_clocks()},
                    {"longest_command_clocks", queue_engine_.longest_command_clocks()},
                    {"pcie_bytes_in", link_.bytes_read()},
                    {"pcie_bytes_out", link_.bytes_written()},
                    {"pcie_wire_bytes_in", link_.inbound().wire},
                    {"pcie_wire_bytes_out", link_.outbound().wire},
                    {"pcie_packets_in", link_.inbound().packets},
                    {"pcie_packets_out", link_.outbound().packets},
                    {"pcie_tag_wait_clocks", link_.tag_wait_clocks()},
                    {"pcie_credit_wait_clocks", link_.credit_wait_clocks()},
                    {"pcie_replayed_packets", link_.replayed_packets()},
                    {"dma_bytes", dma_.bytes_moved()},
                    {"gzip_bytes_in", dma_.gzip_bytes_in()},
                    {"gzip_bytes_out", dma_.gzip_bytes_out()},
                    {"gzip_clocks", dma_.gzip_clocks()},
                    {"launches", grid_.launches()}};
    root["memory"] = {{"sram_read_bytes", fabric.sram_read_bytes},
                      {"sram_write_bytes", fabric.sram_write_bytes},
                      {"dram_read_bytes", fabric.dram_read_bytes},
                      {"dram_write_bytes", fabric.dram_write_bytes},
                      {"dram_row_hits", fabric.dram_row_hits},
                      {"dram_row_misses", fabric.dram_row_misses},
                      {"dram_channel_bytes", fabric.dram_channel_bytes},
                      {"pe_to_pe_bytes", fabric.pe_to_pe_bytes},
                      {"amos", fabric.amos}};
    const EnergyReport pes = meter_.pes();
    const EnergyReport chip = meter_.chip();
    root["joules"] = {{"dpe", pes.dpe},
                      {"simd", pes.simd},
                      {"reduction", pes.reduction},
                      {"local", pes.local},
                      {"cores", pes.cores},
                      {"control_harts", chip.cores},
                      {"noc", pes.noc + chip.noc},
                      {"sram", chip.sram},
                      {"dram", chip.dram},
                      {"pcie", chip.pcie},
                      {"gzip", chip.gzip}};
    const EccCounters& ecc = fabric_.ecc().counters();
    const auto by_memory = [](const std::array<std::uint64_t, TALUS_ECC_MEMORIES>& counts) {
        return Json{{"local", counts[TALUS_ECC_LOCAL]},
                    {"control_sram", counts[TALUS_ECC_CONTROL_SRAM]},
                    {"shared_sram", counts[TALUS_ECC_SHARED_SRAM]},
                    {"dram", counts[TALUS_ECC_DRAM]}};
    };
    root["ecc"] = {{"corrected", by_memory(ecc.corrected)},
                   {"uncorrectable", by_memory(ecc.uncorrectable)}};
    const Crossbars& links = fabric_.crossbars();
    for (std::uint32_t link = 0; link < links.link_count(); ++link) {
        const auto counted = [&](Crossbars::Direction direction) {
            const Crossbars::Counters& from = links.counters(link, direction);
            return Json{{"packets", from.packets},
                        {"bytes", from.bytes},
                        {"wait_clocks", from.wait_clocks}};
        };
        root["noc"][links.name(link)] = {{"in", counted(Crossbars::Direction::kIntoGrid)},
                                         {"out", counted(Crossbars::Direction::kOutOfGrid)}};
    }
    const Sources& sources = fabric_.sources();
    root["noc_sources"]["control"] = entered(sources, sources.control_port());
    for (std::uint32_t pe = 0; pe < options_.config.pe_count(); ++pe) {
        const std::uint32_t cols = options_.config.grid.cols;
        root["noc_sources"][fmt::format("{}.{}", pe / cols, pe % cols)] = entered(sources, pe);
    }
    const LlcCounters& llc = fabric_.cache_counters();
    root["llc"] = {{"hits", llc.hits},
                   {"late_hits", llc.late_hits},
                   {"misses", llc.misses},
                   {"passed", llc.passed},
                   {"write_backs", llc.write_backs},
                   {"prefetches", llc.prefetches},
                   {"prefetches_dropped", llc.dropped},
                   {"sectors_discarded", llc.discarded}};
    for (HartId hart = 0; hart < cores_.hart_count(); ++hart) {
        const Json core = {{"instructions", cores_.retired(hart)},
                           {"fetch_misses", cores_.fetches(hart).misses},
                           {"fetch_clocks", cores_.fetches(hart).clocks},
                           {"clocks", times(cores_.runner(hart).activity(), now)}};
        if (hart < TALUS_CONTROL_HARTS) {
            root["control"][fmt::format("hart {}", hart)] = core;
            continue;
        }
        const unsigned number = hart - TALUS_CONTROL_HARTS;
        const std::uint32_t pe = number / TALUS_CORES_PER_PE;
        const std::uint32_t cols = options_.config.grid.cols;
        root["pe"][fmt::format("{}.{}", pe / cols, pe % cols)]
            [number % TALUS_CORES_PER_PE == TALUS_CORE_A ? "core A" : "core B"] = core;
    }
    for (std::uint32_t pe = 0; pe < options_.config.pe_count(); ++pe) {
        const PeCounters& counters = cores_.pe(pe).counters();
        const std::uint32_t cols = options_.config.grid.cols;
        Json& out = root["pe"][fmt::format("{}.{}", pe / cols, pe % cols)];
        for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
            const PeCounters::Unit& from = counters.units[unit];
            out[std::string(unit_name(unit))] = {{"commands", from.commands},
                                                 {"busy_clocks", from.busy_clocks},
                                                 {"bytes", from.bytes},
                                                 {"clocks", times(from.activity, now)}};
        }
        out["macs"] = counters.macs;
        out["launches"] = counters.launches;
        out["faults"] = counters.faults;
    }
    std::ofstream file(options_.statistics_path, std::ios::trunc);
    if (options_.statistics_path.ends_with(".json")) {
        file << root.dump(2) << '\n';
    } else {
        print(file, "", root);
    }
    file.flush();
    if (!file) {
        diagnostics_.internal("{}: cannot be written", options_.statistics_path);
    }
}

} // namespace talus::sim
