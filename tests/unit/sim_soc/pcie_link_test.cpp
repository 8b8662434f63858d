// The PCIe link against what PCI Express Base 5.0 says of its packets, and against Little's law.
#include <algorithm>

#include <gtest/gtest.h>

#include "soc/pcie_link.hpp"

namespace talus::sim {
namespace {

constexpr double kGen5x8 = 32e9 / 8 * 8 * 128 / 130; // bytes/s: 32 GT/s, 8 lanes, 128b/130b (4.2.2)
constexpr std::uint64_t kIova = 0x100000;

PcieSizes sizes(std::uint32_t payload, std::uint32_t request, bool extended = true) {
    return {payload, request, extended};
}

double bytes_per_second(const Config& config, std::uint64_t bytes, Cycle clocks) {
    return static_cast<double>(bytes) * 1e3 * config.device.clock_khz / static_cast<double>(clocks);
}

/// Reads or writes 4 MiB in 4 KiB pieces that are all issued at clock 0.
double rate(const Config& config, const PcieSizes& sizes, bool write) {
    PcieLink link(config);
    link.set_sizes(sizes);
    constexpr std::uint64_t kBytes = 4u << 20;
    Cycle last = 0;
    for (std::uint64_t at = 0; at < kBytes; at += 4096) {
        last = write ? link.write(0, kIova + at, 4096) : link.read(0, kIova + at, 4096);
    }
    const Cycle latency =
        config.clocks_of_ns(write ? config.pcie.write_latency_ns : config.pcie.read_latency_ns);
    return bytes_per_second(config, kBytes, last - latency);
}

TEST(PcieLink, EfficiencyOfWritesIsPayloadToPayloadAndOverhead) {
    const Config config = Config::load_default();
    for (const std::uint32_t payload : {128u, 256u, 512u}) {
        // Framing 4, header 4 double words, LCRC 4.
        const double expected = kGen5x8 * payload / (payload + 24.0);
        EXPECT_NEAR(rate(config, sizes(payload, 512), true), expected, 0.001 * expected) << payload;
    }
}

TEST(PcieLink, EfficiencyOfReadsIsThatOfTheirCompletions) {
    for (const std::uint32_t completion : {64u, 128u, 256u, 512u}) {
        const Config config =
            Config::load_default({"pcie.completion_bytes=" + std::to_string(completion),
                                  "pcie.tags=0", "pcie.nonposted_header_credits=0"});
        // A completion's header has 3 double words. The payload size limits it too.
        const double expected = kGen5x8 * completion / (completion + 20.0);
        EXPECT_NEAR(rate(config, sizes(512, 512), false), expected, 0.002 * expected);
        const double limited = std::min(completion, 128u);
        EXPECT_NEAR(rate(config, sizes(128, 512), false), kGen5x8 * limited / (limited + 20.0),
                    0.002 * expected);
    }
}

TEST(PcieLink, SwitchedOffItIsTheRawLink) {
    const Config raw =
        Config::load_default({"pcie.block_encoding=false", "pcie.packet_overhead=false"});
    EXPECT_NEAR(rate(raw, sizes(128, 512), true), 32e9, 32e6);
    EXPECT_NEAR(rate(raw, sizes(128, 512), false), 32e9, 32e6);
    const Config encoded = Config::load_default({"pcie.packet_overhead=false"});
    EXPECT_NEAR(rate(encoded, sizes(128, 512), true), kGen5x8, 32e6);
}

TEST(PcieLink, OneSmallReadTakesTheRoundTrip) {
    const Config config = Config::load_default();
    PcieLink link(config);
    link.set_sizes(sizes(512, 512));
    const Cycle latency = config.clocks_of_ns(config.pcie.read_latency_ns);
    // A request of 24 bytes out and a completion of 20 + 64 back.
    const double wire = (24 + 84) / kGen5x8 * 1e3 * config.device.clock_khz;
    EXPECT_NEAR(static_cast<double>(link.read(1000, kIova, 64)), 1000.0 + latency + wire, 2.0);
    EXPECT_EQ(link.outbound().wire, 24u);
    EXPECT_EQ(link.inbound().wire, 84u);
}

TEST(PcieLink, TagsLimitReadsByLittlesLaw) {
    for (const unsigned tags : {4u, 16u}) {
        const Config config = Config::load_default({"pcie.tags=" + std::to_string(tags)});
        // A request of 256 bytes: 276 bytes of completion, 24 of request.
        const double trip = 700e-9 + (276 + 24) / kGen5x8;
        const double expected = tags * 256.0 / trip;
        EXPECT_NEAR(rate(config, sizes(256, 256), false), expected, 0.03 * expected) << tags;
    }
    // Without extended tags a function has 32.
    const Config config = Config::load_default();
    const double expected = 32 * 128.0 / 700e-9;
    EXPECT_NEAR(rate(config, sizes(128, 128, false), false), expected, 0.05 * expected);
    EXPECT_GT(rate(config, sizes(128, 128, true), false), 3 * expected);
}

TEST(PcieLink, CreditsLimitWritesByLittlesLaw) {
    const Config headers = Config::load_default({"pcie.posted_header_credits=8"});
    const double trip = 400e-9 + (256 + 24) / kGen5x8;
    EXPECT_NEAR(rate(headers, sizes(256, 512), true), 8 * 256 / trip, 0.03 * 8 * 256 / trip);
    // 64 credits are 1024 bytes of data.
    const Config data = Config::load_default({"pcie.posted_data_credits=64"});
    EXPECT_NEAR(rate(data, sizes(256, 512), true), 1024 / trip, 0.03 * 1024 / trip);
    const Config requests = Config::load_default({"pcie.nonposted_header_credits=4"});
    EXPECT_NEAR(rate(requests, sizes(256, 256), false), 4 * 256 / 400e-9, 0.05 * 4 * 256 / 400e-9);
    // A packet above all credits there are goes when all are there, not never.
    const Config few = Config::load_default({"pcie.posted_data_credits=1"});
    EXPECT_GT(rate(few, sizes(512, 512), true), 0.9 * 512 / (400e-9 + 536 / kGen5x8));
}

TEST(PcieLink, RequestsAndPayloadsAreCutAtTheirBoundaries) {
    const Config config = Config::load_default();
    PcieLink link(config);
    link.set_sizes(sizes(256, 512));
    (void)link.read(0, kIova + 500, 24); // crosses 512: two requests, one completion each
    EXPECT_EQ(link.outbound().packets, 2u);
    EXPECT_EQ(link.inbound().packets, 2u);
    (void)link.read(0, kIova + 200, 300); // one request, completions to 256 and to 500
    EXPECT_EQ(link.outbound().packets, 3u);
    EXPECT_EQ(link.inbound().packets, 4u);
    (void)link.write(0, kIova + 255, 2);
    EXPECT_EQ(link.outbound().packets, 5u);
    EXPECT_EQ(link.bytes_written(), 2u);
    EXPECT_EQ(link.bytes_read(), 324u);
}

TEST(PcieLink, WhatIsWrittenLaterIsSeenLater) {
    // Data, its completion entry and the interrupt's write, while credits are scarce.
    const Config config =
        Config::load_default({"pcie.posted_header_credits=2", "pcie.posted_data_credits=16"});
    PcieLink link(config);
    link.set_sizes(sizes(512, 512));
    Cycle seen = 0;
    for (unsigned i = 0; i < 200; ++i) {
        const Cycle data = link.write(i * 10, kIova + 4096 * i, 1 + 37 * i % 4096);
        const Cycle completion = link.write(i * 10, kIova, 32);
        const Cycle interrupt = link.write_msix(i * 10);
        EXPECT_GE(data, seen);
        EXPECT_GT(completion, data);
        EXPECT_GT(interrupt, completion);
        seen = interrupt;
    }
    // And a read leaves behind the writes before it.
    const Cycle latency = config.clocks_of_ns(config.pcie.read_latency_ns);
    const Cycle write = config.clocks_of_ns(config.pcie.write_latency_ns);
    EXPECT_GE(link.read(2000, kIova, 4), seen - write + latency);
}

TEST(PcieLink, AnInterruptIsAWriteOfADoubleWord) {
    Config config = Config::load_default({"pcie.posted_header_credits=2"});
    PcieLink link(config);
    const Cycle write = config.clocks_of_ns(config.pcie.write_latency_ns);
    EXPECT_EQ(link.write_msix(0), 2 + write); // 24 bytes at 23.3 a clock
    EXPECT_EQ(link.outbound().packets, 1u);
    EXPECT_EQ(link.outbound().bytes, 4u);
    EXPECT_EQ(link.outbound().wire, 8u + 12 + 4); // framing and LCRC, 3 double words, data
    // It takes a credit as every posted packet does: the third waits for the first's.
    (void)link.write_msix(0);
    EXPECT_EQ(link.credit_wait_clocks(), 0u);
    const Cycle credit = config.clocks_of_ns(config.pcie.credit_latency_ns);
    EXPECT_GE(link.write_msix(0), credit + write);
    EXPECT_GT(link.credit_wait_clocks(), 0u);
}

TEST(PcieLink, TheOtherDirectionIsFree) {
    const Config config = Config::load_default();
    PcieLink link(config);
    for (unsigned i = 0; i < 64; ++i) {
        (void)link.read(0, kIova + 4096 * i, 4096);
    }
    const double requests = 64 * 32 * 24 / kGen5x8 * 1e3 * config.device.clock_khz; // 128 or 512
    const Cycle write = config.clocks_of_ns(config.pcie.write_latency_ns);
    EXPECT_LE(static_cast<double>(link.write(0, kIova, 32)), write + requests + 10.0);
}

class DamageEvery final : public FaultHooks {
  public:
    bool drops_dma(std::uint32_t, bool, Cycle, std::uint64_t) override { return false; }
    Cycle stuck_until(std::uint32_t, unsigned, Cycle now) override { return now; }
    std::uint64_t replays(Cycle, std::uint64_t packets) override { return packets; }
    bool loses_msix(unsigned, Cycle) override { return false; }
    unsigned droop_percent(Cycle) override { return 0; }
};

TEST(PcieLink, TheReceiverOfDamagedPacketsIsTold) {
    const Config config = Config::load_default();
    PcieLink plain(config);
    PcieLink link(config);
    DamageEvery faults;
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    link.set_fault_hooks(&faults);
    link.on_replay([&](std::uint64_t packets, bool inbound) { (inbound ? in : out) += packets; });
    EXPECT_GT(link.read(0, kIova, 512), plain.read(0, kIova, 512));
    EXPECT_EQ(in, 4u); // completions of 128 bytes, the reset value of the payload size
    EXPECT_EQ(out, 1u);
    EXPECT_EQ(link.replayed_packets(), 5u);
}

} // namespace
} // namespace talus::sim
