// The typed configuration of a simulated device, read from a TOML file (sim/config/t2.toml). The
// file holds every number with its unit and source; this table holds names, types and ranges. A key
// is in both or in neither: unknown, missing, ill-typed and out-of-range keys are errors.
//
// To add a number: one row here, one line in every file of sim/config.
#ifndef TALUS_SIM_CORE_CONFIG_HPP
#define TALUS_SIM_CORE_CONFIG_HPP

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace talus::sim {

// X(name, type, lowest, highest): type is u32, u64, f64 or flag (bool; its range is ignored).

#define TALUS_CONFIG_DEVICE(X)                                                                     \
    X(generation, u32, 1, 3)                                                                       \
    X(clock_khz, u32, 100000, 4000000)

#define TALUS_CONFIG_GRID(X)                                                                       \
    X(rows, u32, 1, 16)                                                                            \
    X(cols, u32, 1, 16)

#define TALUS_CONFIG_HART(X)                                                                       \
    X(run_ahead_clocks, u32, 1, 65536)                                                             \
    X(run_ahead_alone_clocks, u32, 1, 65536)                                                       \
    X(icache_bytes, u32, 0, 1 << 20)                                                               \
    X(dcache_bytes, u32, 0, 1 << 20)                                                               \
    X(dcache_ways, u32, 1, 64)                                                                     \
    X(dcache_hit_clocks, u32, 1, 1000)                                                             \
    X(local_load_clocks, u32, 1, 1000)                                                             \
    X(mmio_clocks, u32, 1, 10000)                                                                  \
    X(translator, flag, 0, 1)                                                                      \
    X(functional, flag, 0, 1)

#define TALUS_CONFIG_CONTROL(X)                                                                    \
    X(sram_load_clocks, u32, 1, 1000)                                                              \
    X(rom_load_clocks, u32, 1, 1000)                                                               \
    X(system_register_clocks, u32, 1, 10000)                                                       \
    X(launch_broadcast_clocks, u32, 1, 10000)

#define TALUS_CONFIG_LOCAL(X)                                                                      \
    X(bytes, u64, 65536, 1 << 24)                                                                  \
    X(bytes_per_clock, u32, 1, 65536)                                                              \
    X(ecc, flag, 0, 1)

#define TALUS_CONFIG_CP(X)                                                                         \
    X(dispatch_clocks, u32, 0, 1000)                                                               \
    X(sync_clocks, u32, 1, 1000)                                                                   \
    X(sequence_clocks, u32, 1, 1000)                                                               \
    X(stall_limit_clocks, u32, 0, 0x7fffffff)

#define TALUS_CONFIG_FI(X)                                                                         \
    X(in_bytes_per_clock, u32, 1, 4096)                                                            \
    X(out_bytes_per_clock, u32, 1, 4096)                                                           \
    X(max_requests, u32, 1, 65536)                                                                 \
    X(request_bytes, u32, 64, 65536)                                                               \
    X(startup_clocks, u32, 0, 1000)                                                                \
    X(segment_bytes, u32, 64, 1 << 20)                                                             \
    X(in_flight_commands, u32, 1, 64)                                                              \
    X(indices_per_clock, u32, 1, 64)                                                               \
    X(rows_per_clock, u32, 1, 64)                                                                  \
    X(broadcast, flag, 0, 1)

#define TALUS_CONFIG_MLU(X)                                                                        \
    X(bytes_per_clock, u32, 1, 4096)                                                               \
    X(startup_clocks, u32, 0, 1000)                                                                \
    X(transpose_elements_per_clock, u32, 1, 4096)

#define TALUS_CONFIG_DPE(X)                                                                        \
    X(fp16_macs_per_clock, u32, 1, 1 << 20)                                                        \
    X(int8_macs_per_clock, u32, 1, 1 << 20)                                                        \
    X(startup_clocks, u32, 0, 1000)                                                                \
    X(load_bytes_per_clock, u32, 1, 4096)                                                          \
    X(pipeline_clocks, u32, 0, 1000)                                                               \
    X(sparsity, flag, 0, 1)

#define TALUS_CONFIG_RE(X)                                                                         \
    X(drain_elements_per_clock, u32, 1, 4096)                                                      \
    X(startup_clocks, u32, 0, 1000)                                                                \
    X(pipeline_clocks, u32, 0, 1000)                                                               \
    X(row_range, flag, 0, 1)                                                                       \
    X(range_elements_per_clock, u32, 1, 4096)                                                      \
    X(reduction_network, flag, 0, 1)                                                               \
    X(link_elements_per_clock, u32, 1, 4096)                                                       \
    X(link_clocks, u32, 1, 1000)

#define TALUS_CONFIG_SE(X)                                                                         \
    X(operations_per_clock, u32, 1, 4096)                                                          \
    X(startup_clocks, u32, 0, 1000)                                                                \
    X(pipeline_clocks, u32, 0, 1000)                                                               \
    X(quantize_operations, u32, 1, 64)                                                             \
    X(dequantize_operations, u32, 1, 64)                                                           \
    X(dequantize_sums_operations, u32, 1, 64)

#define TALUS_CONFIG_NOC(X)                                                                        \
    X(pe_port_bytes_per_clock, u32, 1, 4096)                                                       \
    X(traverse_clocks, u32, 0, 10000)                                                              \
    X(hop_clocks, u32, 0, 1000)                                                                    \
    X(packet_bytes, u32, 64, 65536)                                                                \
    X(engine_port_bytes_per_clock, u32, 1, 4096)                                                   \
    X(sides, u32, 2, 4)                                                                            \
    X(row_link_bytes_per_clock, u32, 0, 4096)                                                      \
    X(column_link_bytes_per_clock, u32, 0, 4096)                                                   \
    X(header_bytes, u32, 0, 256)                                                                   \
    X(pe_shape_bytes_per_clock, u32, 0, 4096)                                                      \
    X(engine_shape_bytes_per_clock, u32, 0, 4096)                                                  \
    X(shape_burst_bytes, u32, 0, 1 << 20)                                                          \
    X(pe_credits, u32, 0, 4096)                                                                    \
    X(engine_credits, u32, 0, 4096)

#define TALUS_CONFIG_SRAM(X)                                                                       \
    X(bytes, u64, 1 << 20, 1ull << 34)                                                             \
    X(scratch_bytes, u64, 1 << 20, 1ull << 28)                                                     \
    X(slices, u32, 1, 1024)                                                                        \
    X(slice_bytes_per_clock, u32, 1, 65536)                                                        \
    X(slice_interleave_bytes, u32, 64, 1 << 20)                                                    \
    X(slice_hash, flag, 0, 1)                                                                      \
    X(access_clocks, u32, 1, 10000)                                                                \
    X(ecc, flag, 0, 1)                                                                             \
    X(llc_ways, u32, 1, 1024)                                                                      \
    X(llc_tag_clocks, u32, 0, 10000)                                                               \
    X(llc_misses_per_slice, u32, 1, 1 << 20)                                                       \
    X(llc_engines_allocate, flag, 0, 1)                                                            \
    X(llc_replacement, u32, 0, 1)                                                                  \
    X(llc_prefetch, flag, 0, 1)                                                                    \
    X(llc_discard, flag, 0, 1)

#define TALUS_CONFIG_DRAM(X)                                                                       \
    X(bytes, u64, 1 << 20, 1ull << 36)                                                             \
    X(channels, u32, 1, 1024)                                                                      \
    X(channel_interleave_bytes, u32, 64, 1 << 20)                                                  \
    X(map_column_low_bits, u32, 0, 16)                                                             \
    X(map_rank_high, flag, 0, 1)                                                                   \
    X(map_bank_xor, flag, 0, 1)                                                                    \
    X(queue_entries, u32, 1, 4096)                                                                 \
    X(write_low_percent, u32, 0, 100)                                                              \
    X(write_high_percent, u32, 0, 100)                                                             \
    X(reorder, flag, 0, 1)                                                                         \
    X(refresh, u32, 0, 2)                                                                          \
    X(ecc, flag, 0, 1)                                                                             \
    X(controller_clocks, u32, 0, 10000)                                                            \
    X(megatransfers, u32, 100, 100000)                                                             \
    X(channel_bits, u32, 8, 4096)                                                                  \
    X(ranks, u32, 1, 16)                                                                           \
    X(bank_groups, u32, 1, 64)                                                                     \
    X(banks_per_group, u32, 1, 64)                                                                 \
    X(columns, u32, 64, 1 << 20)                                                                   \
    X(rows, u32, 64, 1 << 24)                                                                      \
    X(burst_bytes, u32, 8, 4096)                                                                   \
    X(clock_ps, u32, 1, 1000000)                                                                   \
    X(ncl, u32, 0, 1000)                                                                           \
    X(ncwl, u32, 0, 1000)                                                                          \
    X(nrcd, u32, 0, 1000)                                                                          \
    X(nrp, u32, 0, 1000)                                                                           \
    X(nrpab, u32, 0, 1000)                                                                         \
    X(nras, u32, 0, 1000)                                                                          \
    X(nrc, u32, 0, 1000)                                                                           \
    X(nwr, u32, 0, 1000)                                                                           \
    X(nrtp, u32, 0, 1000)                                                                          \
    X(nppd, u32, 0, 1000)                                                                          \
    X(nbl, u32, 1, 1000)                                                                           \
    X(nbl_max, u32, 1, 1000)                                                                       \
    X(nccds, u32, 0, 1000)                                                                         \
    X(nccdl, u32, 0, 1000)                                                                         \
    X(nrrd, u32, 0, 1000)                                                                          \
    X(nfaw, u32, 0, 1000)                                                                          \
    X(nwtrs, u32, 0, 1000)                                                                         \
    X(nwtrl, u32, 0, 1000)                                                                         \
    X(naad, u32, 1, 1000)                                                                          \
    X(ncs, u32, 0, 1000)                                                                           \
    X(nrfc, u32, 0, 100000)                                                                        \
    X(nrefi, u32, 1, 1000000)                                                                      \
    X(nrfcpb, u32, 0, 100000)                                                                      \
    X(nrefipb, u32, 1, 1000000)                                                                    \
    X(npbr2pbr, u32, 0, 100000)                                                                    \
    X(npbr2act, u32, 0, 100000)

#define TALUS_CONFIG_MEMORY(X)                                                                     \
    X(control_sram_bytes_per_clock, u32, 1, 4096)                                                  \
    X(control_sram_clocks, u32, 1, 10000)                                                          \
    X(control_sram_ecc, flag, 0, 1)                                                                \
    X(staging_bytes_per_clock, u32, 1, 4096)                                                       \
    X(staging_clocks, u32, 1, 10000)                                                               \
    X(remote_local_clocks, u32, 1, 10000)                                                          \
    X(amo_clocks, u32, 0, 10000)                                                                   \
    X(work_queue_clocks, u32, 0, 10000)

#define TALUS_CONFIG_PCIE(X)                                                                       \
    X(gigabytes_per_second, f64, 0.001, 10000)                                                     \
    X(block_encoding, flag, 0, 1)                                                                  \
    X(packet_overhead, flag, 0, 1)                                                                 \
    X(max_payload_bytes, u32, 128, 512)                                                            \
    X(completion_bytes, u32, 64, 4096)                                                             \
    X(tags, u32, 0, 256)                                                                           \
    X(posted_header_credits, u32, 0, 65536)                                                        \
    X(posted_data_credits, u32, 0, 1 << 20)                                                        \
    X(nonposted_header_credits, u32, 0, 65536)                                                     \
    X(credit_latency_ns, u32, 1, 1000000)                                                          \
    X(read_latency_ns, u32, 1, 1000000)                                                            \
    X(write_latency_ns, u32, 1, 1000000)                                                           \
    X(gzip_gigabytes_per_second, f64, 0, 10000)

#define TALUS_CONFIG_DMA(X)                                                                        \
    X(chunk_bytes, u32, 64, 1 << 20)                                                               \
    X(startup_clocks, u32, 0, 10000)                                                               \
    X(device_bytes_per_clock, u32, 1, 4096)

#define TALUS_CONFIG_POWER(X)                                                                      \
    X(idle_mw, u32, 0, 10000000)                                                                   \
    X(cap, flag, 0, 1)                                                                             \
    X(cap_mw, u32, 1, 10000000)                                                                    \
    X(cap_window_clocks, u32, 1, 0x7fffffff)                                                       \
    X(middle_khz, u32, 100000, 4000000)                                                            \
    X(low_khz, u32, 100000, 4000000)                                                               \
    X(ambient_mc, u32, 0, 100000)                                                                  \
    X(millikelvin_per_watt, u32, 0, 100000)                                                        \
    X(time_constant_ms, u32, 1, 0x7fffffff)                                                        \
    X(window_clocks, u32, 1, 0x7fffffff)

// Femtojoules per event.
#define TALUS_CONFIG_ENERGY(X)                                                                     \
    X(fp16_mac_fj, u32, 0, 1000000000)                                                             \
    X(int8_mac_fj, u32, 0, 1000000000)                                                             \
    X(simd_operation_fj, u32, 0, 1000000000)                                                       \
    X(reduction_element_fj, u32, 0, 1000000000)                                                    \
    X(local_byte_fj, u32, 0, 1000000000)                                                           \
    X(port_byte_fj, u32, 0, 1000000000)                                                            \
    X(noc_byte_fj, u32, 0, 1000000000)                                                             \
    X(sram_byte_fj, u32, 0, 1000000000)                                                            \
    X(dram_byte_fj, u32, 0, 1000000000)                                                            \
    X(dram_activate_fj, u32, 0, 1000000000)                                                        \
    X(pcie_byte_fj, u32, 0, 1000000000)                                                            \
    X(gzip_byte_fj, u32, 0, 1000000000)                                                            \
    X(instruction_fj, u32, 0, 1000000000)

#define TALUS_CONFIG_SIM(X)                                                                        \
    X(admission_clocks, u32, 1, 1 << 24)                                                           \
    X(status_page_clocks, u32, 1, 1 << 24)                                                         \
    X(value_threads, u32, 0, 64)

// S(section, Struct, table)
#define TALUS_CONFIG_SECTIONS(S)                                                                   \
    S(device, DeviceConfig, TALUS_CONFIG_DEVICE)                                                   \
    S(grid, GridConfig, TALUS_CONFIG_GRID)                                                         \
    S(hart, HartSettings, TALUS_CONFIG_HART)                                                       \
    S(control, ControlConfig, TALUS_CONFIG_CONTROL)                                                \
    S(local, LocalConfig, TALUS_CONFIG_LOCAL)                                                      \
    S(cp, CpConfig, TALUS_CONFIG_CP)                                                               \
    S(fi, FiConfig, TALUS_CONFIG_FI)                                                               \
    S(mlu, MluConfig, TALUS_CONFIG_MLU)                                                            \
    S(dpe, DpeConfig, TALUS_CONFIG_DPE)                                                            \
    S(re, ReConfig, TALUS_CONFIG_RE)                                                               \
    S(se, SeConfig, TALUS_CONFIG_SE)                                                               \
    S(noc, NocConfig, TALUS_CONFIG_NOC)                                                            \
    S(sram, SramConfig, TALUS_CONFIG_SRAM)                                                         \
    S(dram, DramConfig, TALUS_CONFIG_DRAM)                                                         \
    S(memory, MemoryConfig, TALUS_CONFIG_MEMORY)                                                   \
    S(pcie, PcieConfig, TALUS_CONFIG_PCIE)                                                         \
    S(dma, DmaConfig, TALUS_CONFIG_DMA)                                                            \
    S(power, PowerConfig, TALUS_CONFIG_POWER)                                                      \
    S(energy, EnergyConfig, TALUS_CONFIG_ENERGY)                                                   \
    S(sim, SimConfig, TALUS_CONFIG_SIM)

namespace detail {
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using f64 = double;
using flag = bool;
#define TALUS_CONFIG_FIELD(name, type, lowest, highest) type name{};
#define TALUS_CONFIG_STRUCT(section, Struct, table)                                                \
    struct Struct {                                                                                \
        table(TALUS_CONFIG_FIELD)                                                                  \
    };
TALUS_CONFIG_SECTIONS(TALUS_CONFIG_STRUCT)
#undef TALUS_CONFIG_STRUCT
#undef TALUS_CONFIG_FIELD
} // namespace detail

#define TALUS_CONFIG_USING(section, Struct, table) using detail::Struct;
TALUS_CONFIG_SECTIONS(TALUS_CONFIG_USING)
#undef TALUS_CONFIG_USING

/// A configuration that cannot be used; what() names the file, the key and the reason.
class ConfigError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// config.dram.channels, config.sram.access_clocks, ...
struct Config {
#define TALUS_CONFIG_MEMBER(section, Struct, table) Struct section;
    TALUS_CONFIG_SECTIONS(TALUS_CONFIG_MEMBER)
#undef TALUS_CONFIG_MEMBER

    /// `assignments`: "section.key=value" each, in TOML's notation; they replace what the file
    /// says, in order, and may not add a key. Throws ConfigError.
    static Config load(const std::string& path, const std::vector<std::string>& assignments = {});
    /// `name` stands for the file in error messages.
    static Config parse(std::string_view toml, const std::string& name);
    /// The `t2.toml` that belongs to the running program: <folder of the program>/../share/talus/
    /// config/t2.toml, which both the build tree and the installed tree have. Throws ConfigError if
    /// it is not there.
    static std::string default_path();

    /// "section.key = value" of every key that can change results or clocks, in a fixed order.
    std::vector<std::string> describe() const;
    static Config load_default(const std::vector<std::string>& assignments = {}) {
        return load(default_path(), assignments);
    }

    /// Nanoseconds as clocks of the device, rounded up.
    std::uint64_t clocks_of_ns(std::uint64_t ns) const {
        return (ns * device.clock_khz + 999999) / 1000000;
    }
    std::uint32_t pe_count() const {
        return grid.rows * grid.cols;
    }
};

} // namespace talus::sim

#endif
