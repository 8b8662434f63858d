#include "rows.hpp"

#include <cstring>

#include "common/gzip_member.hpp"
#include "peak_args.h"
#include "product.hpp"
#include "stream_args.h"
#include "talus/hw/instructions.h"

namespace talus::paper {

namespace {

const std::string kKernels = TALUS_PAPER_KERNELS "/";

std::uint64_t put(Card& card, const void* args, std::size_t bytes) {
    const std::uint64_t address = card.allocate(TALUS_DRV_LLS, bytes);
    card.write(address, args, bytes);
    return address;
}

Measured gemm(const Product& product, const Settings& settings) {
    const ProductResult result = run_product(product, settings);
    return {100 * result.peak_share,
            {{"cycles", static_cast<double>(result.cycles)},
             {"s CPU of talus-sim", result.simulator_seconds},
             {"s of them for the launch", result.launch_seconds}}};
}

// How much faster dynamic INT8 is than FP16, (de)quantisation included.
Measured gemm_int8(const Settings& settings) {
    const Product product{2048, 2048, 2048, TALUS_DRV_LLS};
    const ProductResult half = run_product(product, settings);
    const ProductResult result = run_int8_product(product, settings);
    return {static_cast<double>(half.cycles) / static_cast<double>(result.cycles),
            {{"cycles", static_cast<double>(result.cycles)},
             {"% of INT8 peak", 100 * result.peak_share},
             {"s CPU of talus-sim", result.simulator_seconds}}};
}

// Clocks of a launch of `kernel`, whose text the PEs' caches have.
template <class Args>
double clocks(Card& card, const std::string& kernel, const Args& args) {
    const std::uint64_t entry = card.load(kKernels + kernel + ".bin");
    const auto command = launch_command(entry, put(card, &args, sizeof args), sizeof args);
    return static_cast<double>(card.run({command, command}).back().exec_cycles);
}

// Clocks in which all PEs together read a range once.
double stream_clocks(Card& card, talus_drv_memory memory, std::uint64_t bytes) {
    talus_stream_args args{};
    args.piece = 4096; // all DRAM channels in turn: 199 GB/s; 1 to 8 KiB give 198 to 199, 512 bytes
                       // 188, 16 KiB 189, 64 KiB 196
    args.pieces = bytes / args.piece;
    args.source = card.allocate(memory, args.pieces * args.piece);
    return clocks(card, "stream", args);
}

// GB/s of a stream from DRAM.
double stream(const Settings& settings, double bytes) {
    Card card(settings);
    return bytes * 1e-9 * static_cast<double>(card.info().clock_hz) /
           stream_clocks(card, TALUS_DRV_DRAM, static_cast<std::uint64_t>(bytes));
}

// What is short enough for the launch to show is measured as the difference of two lengths.
Measured sram_stream(const Settings& settings) {
    Card card(settings);
    constexpr std::uint64_t kBytes = 9 << 20;
    const double once = stream_clocks(card, TALUS_DRV_LLS, kBytes);
    const double twice = stream_clocks(card, TALUS_DRV_LLS, 2 * kBytes);
    return {kBytes * 1e-12 * static_cast<double>(card.info().clock_hz) / (twice - once), {}};
}

struct Peak {
    std::uint32_t what; // TALUS_PEAK_*
    std::uint32_t type; // enum talus_cp_type
};

// 1e12 operations a second that all PEs do.
Measured unit_peak(const Peak& peak, const Settings& settings) {
    Card card(settings);
    talus_peak_args args{};
    args.what = peak.what;
    args.type = peak.type;
    args.commands = 50;
    const double once = clocks(card, "peak", args);
    args.commands *= 2;
    const double twice = clocks(card, "peak", args);
    const double each = peak.what == TALUS_PEAK_SIMD
                            ? TALUS_PEAK_ELEMENTS
                            : 2.0 * TALUS_PEAK_BLOCK * TALUS_PEAK_BLOCK * TALUS_PEAK_K;
    const double pes = card.info().grid_rows * card.info().grid_cols;
    return {each * 50 * pes * 1e-12 * static_cast<double>(card.info().clock_hz) / (twice - once),
            {{"clocks of a command", (twice - once) / 50}}};
}

Measured dram_stream(const Settings& settings) {
    return {stream(settings, 128 << 20), {}};
}

Measured layer(const Product& product, const Settings& settings) {
    const ProductResult result = run_product(product, settings);
    const double rate =
        result.weights_bytes * 1e-9 * result.clock_hz / static_cast<double>(result.cycles);
    const double pure = stream(settings, result.weights_bytes);
    return {100 * rate / pure,
            {{"cycles", static_cast<double>(result.cycles)},
             {"GB/s of weights", rate},
             {"GB/s pure stream", pure},
             {"% of 204.8 GB/s", 100 * rate / 204.8},
             {"% of peak FLOPS", 100 * result.peak_share},
             {"s CPU of talus-sim", result.simulator_seconds},
             {"s of them for the launch", result.launch_seconds}}};
}

// Nanoseconds from the control core's receipt of a launch to the first instruction of the job.
// `position` 0: the grid was idle; 1: the job before it in the same batch has just ended.
Measured launch(const Settings& settings, std::size_t position) {
    Card card(settings);
    const std::uint64_t entry = card.load(kKernels + "spin.bin");
    const talus_drv_command command = launch_command(entry, 0, 0);
    (void)card.run({command}); // loads the control core's caches, as a card in use has them
    const auto completions = card.run({command, command});
    const double ns = 1e9 / static_cast<double>(card.info().clock_hz);
    return {ns * completions.at(position).launch_cycles, {}};
}

Measured pcie(const Settings& settings, bool in) {
    Card card(settings);
    constexpr std::uint64_t kBytes = std::uint64_t{64} << 20;
    const talus_drv_host_buffer host = card.host(kBytes);
    const std::uint64_t device = card.allocate(TALUS_DRV_DRAM, kBytes);
    talus_drv_command command{};
    command.opcode = in ? TALUS_DRV_COPY_H2D : TALUS_DRV_COPY_D2H;
    command.copy = {in ? host.iova : device, in ? device : host.iova, kBytes, 0, 0, 0};
    const auto completion = card.run({command}).front();
    return {static_cast<double>(kBytes) * 1e-9 * static_cast<double>(card.info().clock_hz) /
                static_cast<double>(completion.exec_cycles),
            {}};
}

// GB/s that reach DRAM of 64 MiB in which half of every byte is known: gzip makes them 2:1.
Measured pcie_gzip(const Settings& settings) {
    Card card(settings);
    const std::vector<std::uint8_t> data = test::noise(std::size_t{64} << 20, 16);
    const std::vector<std::uint8_t> member = test::gzip(data, 1, Z_HUFFMAN_ONLY);
    const talus_drv_host_buffer host = card.host(member.size());
    std::memcpy(host.pointer, member.data(), member.size());
    talus_drv_command command{};
    command.opcode = TALUS_DRV_COPY_H2D;
    command.flags = TALUS_DRV_COMMAND_GZIP;
    const std::uint64_t device = card.allocate(TALUS_DRV_DRAM, data.size());
    command.copy = {host.iova, device, data.size(), 0, 0, member.size()};
    const auto completion = card.run({command}).front();
    std::vector<std::uint8_t> arrived(data.size());
    card.read(arrived.data(), device, arrived.size());
    if (completion.result != data.size() || arrived != data) {
        throw std::runtime_error("the GZIP engine made something else of the data");
    }
    const double seconds =
        static_cast<double>(completion.exec_cycles) / static_cast<double>(card.info().clock_hz);
    return {static_cast<double>(data.size()) * 1e-9 / seconds,
            {{"bytes out for one in", static_cast<double>(data.size()) / member.size()},
             {"GB/s over the link", static_cast<double>(member.size()) * 1e-9 / seconds}}};
}

// Beats per millisecond of device time while all cores spin and a copy waits for a link that passes
// 1 MB/s: to the firmware that is as good as none.
Measured heartbeat(const Settings& settings) {
    Settings slow = settings;
    slow.push_back("pcie.gigabytes_per_second=0.001");
    Card card(slow);
    const std::uint64_t entry = card.load(kKernels + "spin.bin");
    const std::uint64_t args[8] = {1};
    talus_drv_command job = launch_command(entry, put(card, args, sizeof args), sizeof args);
    job.launch.timeout_us = 10'000;
    const talus_drv_telemetry before = card.telemetry();
    const auto completion = card.run({job}, true).front();
    const talus_drv_telemetry after = card.telemetry();
    const double ms = 1e3 * static_cast<double>(completion.device_cycles) /
                      static_cast<double>(card.info().clock_hz);
    return {static_cast<double>(after.heartbeat - before.heartbeat) / ms, {{"ms", ms}}};
}

} // namespace

std::vector<Row> rows() {
    const Switch broadcast{"no broadcast read", {"fi.broadcast=false"}};
    const Switch narrow{"fabric interface 32 B/clk", {"fi.in_bytes_per_clock=32"}};
    // A core that issues every tile by itself takes about 24 clocks for it.
    const Switch issue{"no command sequences, 24 clk a tile", {"cp.sequence_clocks=24"}};
    const Switch slices{"lowest address bits choose the slice", {"sram.slice_hash=false"}};
    const Switch prefetch{"no prefetch into the LLC", {"sram.llc_prefetch=false"}};
    const Switch cache{"no LLC: all of the SRAM is scratch", {"sram.scratch_bytes=268435456"}};
    const Switch sides{"slices at the left and right edge alone", {"noc.sides=2"}};
    const Switch links{"crossbars' links without a limit",
                       {"noc.row_link_bytes_per_clock=0", "noc.column_link_bytes_per_clock=0"}};
    const Switch half{"crossbars' links 64 B/clk",
                      {"noc.row_link_bytes_per_clock=64", "noc.column_link_bytes_per_clock=64"}};
    const Switch no_header{"packets without headers", {"noc.header_bytes=0"}};
    const Switch small{"packets of 128 B", {"noc.packet_bytes=128"}};
    const Switch no_shaping{
        "no shaping of sources",
        {"noc.pe_shape_bytes_per_clock=0", "noc.engine_shape_bytes_per_clock=0"}};
    const Switch no_credits{"sources without credits",
                            {"noc.pe_credits=0", "noc.engine_credits=0"}};
    const Switch few{"16 credits a PE", {"noc.pe_credits=16"}};
    const Switch refresh{"no refresh", {"dram.refresh=0"}};
    const Switch order{"bursts in order of arrival", {"dram.reorder=false"}};
    const Switch check_bits{"controller ECC on", {"dram.ecc=true", "dram.bytes=60129542144"}};
    const Switch encoding{"no 128b/130b blocks", {"pcie.block_encoding=false"}};
    const Switch headers{"no framing and headers", {"pcie.packet_overhead=false"}};
    const Switch boundary{"completions of 64 bytes", {"pcie.completion_bytes=64"}};
    const Switch tags{"32 tags", {"pcie.tags=32"}};
    const Switch credits{"16 posted credits", {"pcie.posted_header_credits=16"}};
    const Switch unbound{"GZIP engine without a limit of its own",
                         {"pcie.gzip_gigabytes_per_second=10000"}};
    const auto with = [](auto function, auto argument) {
        return [=](const Settings& settings) { return function(argument, settings); };
    };
    return {
        {"gemm_fp16",
         "GEMM 2048x2048x2048 FP16, operands in SRAM",
         "> 92 % of peak",
         92,
         true,
         "% of peak",
         with(gemm, Product{2048, 2048, 2048, TALUS_DRV_LLS}),
         {broadcast, narrow, slices, issue, sides, links, half, no_header, small, no_shaping,
          no_credits, few}},
        {"gemm_int8",
         "the same in dynamic INT8 with (de)quantisation",
         "1.6 x FP16",
         1.6,
         true,
         "x FP16",
         gemm_int8,
         {broadcast, narrow, issue}},
        {"gemm_small",
         "GEMM 512x1024x1024 FP16, operands in SRAM",
         "-",
         100,
         true,
         "% of peak",
         with(gemm, Product{512, 1024, 1024, TALUS_DRV_LLS}),
         {}},
        {"fc_k26592",
         "FC 512x26592x2048 FP16, weights in DRAM, K = 26592",
         "> 95 % of DRAM bandwidth",
         95,
         true,
         "% of a pure stream",
         with(layer, Product{512, 2048, 26592, TALUS_DRV_DRAM}),
         {broadcast, prefetch, cache, sides, links, half, no_header, small, no_shaping, no_credits,
          few}},
        {"fc_k2048",
         "FC 512x26592x2048 FP16, weights in DRAM, K = 2048",
         "> 95 % of DRAM bandwidth",
         95,
         true,
         "% of a pure stream",
         with(layer, Product{512, 26592, 2048, TALUS_DRV_DRAM}),
         {broadcast, cache}},
        {"peak_fp16",
         "GEMM peak, operands in local memory, FP16",
         "177 TFLOPS",
         177,
         true,
         "TFLOPS",
         with(unit_peak, Peak{TALUS_PEAK_DENSE, TALUS_CP_FP16}),
         {}},
        {"peak_int8",
         "the same, INT8",
         "354 TOPS",
         354,
         true,
         "TOPS",
         with(unit_peak, Peak{TALUS_PEAK_DENSE, TALUS_CP_INT8}),
         {}},
        {"peak_sparse",
         "the same, FP16 with 2:4 sparse weights",
         "2 x 177 TFLOPS",
         354,
         true,
         "TFLOPS",
         with(unit_peak, Peak{TALUS_PEAK_SPARSE, TALUS_CP_FP16}),
         {}},
        {"peak_simd",
         "SIMD engines, FP16 additions",
         "5.5 TOPS",
         5.5,
         true,
         "TOPS",
         with(unit_peak, Peak{TALUS_PEAK_SIMD, TALUS_CP_FP16}),
         {}},
        {"sram",
         "shared SRAM, read by all PEs",
         "2.7 TB/s",
         2.7,
         true,
         "TB/s",
         sram_stream,
         {sides, half}},
        {"dram",
         "LPDDR5, 128 MiB read once by all PEs",
         "204.8 GB/s",
         204.8,
         true,
         "GB/s",
         dram_stream,
         {refresh, order, check_bits}},
        {"launch",
         "job launch, receipt to first instruction",
         "< 1 us",
         1000,
         false,
         "ns",
         [](const Settings& settings) { return launch(settings, 0); },
         {}},
        {"replace",
         "job replace, receipt to first instruction",
         "< 0.5 us",
         500,
         false,
         "ns",
         [](const Settings& settings) { return launch(settings, 1); },
         {}},
        {"pcie_in",
         "PCIe, host to device, 64 MiB",
         "32 GB/s",
         32,
         true,
         "GB/s",
         [](const Settings& settings) { return pcie(settings, true); },
         {encoding, headers, boundary, tags}},
        {"pcie_gzip",
         "effective host to device, 64 MiB that gzip makes 2:1",
         "<= 25 GB/s",
         25,
         true,
         "GB/s",
         pcie_gzip,
         {unbound}},
        {"pcie_out",
         "PCIe, device to host, 64 MiB",
         "32 GB/s",
         32,
         true,
         "GB/s",
         [](const Settings& settings) { return pcie(settings, false); },
         {encoding, headers, credits}},
        {"heartbeat",
         "heartbeat, every core spinning, link at 1 MB/s",
         "goes on (1 a ms)",
         1,
         true,
         "beats a ms",
         heartbeat,
         {}},
    };
}

} // namespace talus::paper
