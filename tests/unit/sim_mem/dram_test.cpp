// First DRAM model: bandwidth of streams, row hits and misses, refresh. (The reference points of
// LPDDR5 belong to the scheduling controller that will take the seat.)
#include <algorithm>

#include <gtest/gtest.h>

#include "core/config.hpp"
#include "mem/dram.hpp"

namespace talus::sim {
namespace {

class DramTest : public testing::Test {
  protected:
    Config config = Config::load(TALUS_CONFIG_FILE);

    Cycle dram_clocks(std::uint64_t n) const {
        return (n * config.dram.clock_ps * config.device.clock_khz + 999'999'999) / 1'000'000'000;
    }
    /// Bytes per clock of `count` requests of `len` bytes at `stride`, all waiting from the start.
    double stream(std::uint64_t count, std::uint64_t len, std::uint64_t stride) {
        OpenPageDram dram(config.dram, config.device.clock_khz);
        Cycle end = 0;
        for (std::uint64_t i = 0; i < count; ++i) {
            end = std::max(end, dram.access(0, 0, i * stride, len, false));
        }
        return static_cast<double>(count * len) / static_cast<double>(end);
    }
    double peak() const {
        return static_cast<double>(config.dram.megatransfers) * 1e6 * config.dram.channel_bits / 8 *
               config.dram.channels / (config.device.clock_khz * 1e3);
    }
};

TEST_F(DramTest, AStreamHasAllChannelsLessRefresh) {
    const double refresh = 1.0 - static_cast<double>(config.dram.nrfc) / config.dram.nrefi;
    EXPECT_NEAR(stream(1 << 16, 256, 256), peak() * refresh, peak() * 0.03);
    config.dram.nrefi = 0;
    EXPECT_NEAR(stream(1 << 16, 256, 256), peak(), peak() * 0.02);
}

TEST_F(DramTest, OneChannelHasASixteenth) {
    config.dram.nrefi = 0;
    EXPECT_NEAR(stream(1 << 12, 256, 256 * config.dram.channels), peak() / config.dram.channels,
                peak() / config.dram.channels * 0.05);
}

TEST_F(DramTest, LatencyFollowsTheBanksState) {
    config.dram.nrefi = 0;
    OpenPageDram dram(config.dram, config.device.clock_khz);
    const Cycle bus = dram_clocks(0) + 7; // 64 bytes at 9.48 bytes per clock
    const Cycle control = config.dram.controller_clocks;
    const Cycle empty = dram.access(0, 0, 0, 64, false);
    EXPECT_EQ(empty, control + dram_clocks(config.dram.nrcd) + dram_clocks(config.dram.ncl) + bus);
    const Cycle hit = dram.access(10000, 10000, 64, 64, false) - 10000;
    EXPECT_EQ(hit, control + dram_clocks(config.dram.ncl) + bus);
    const std::uint64_t row = std::uint64_t{config.dram.columns} * config.dram.channel_bits / 8 *
                              config.dram.ranks * config.dram.bank_groups *
                              config.dram.banks_per_group * config.dram.channels;
    const Cycle conflict = dram.access(20000, 20000, row, 64, false) - 20000;
    EXPECT_EQ(conflict, control + dram_clocks(config.dram.nrp) + dram_clocks(config.dram.nrcd) +
                            dram_clocks(config.dram.ncl) + bus);
    EXPECT_EQ(dram.row_hits, 1u);
    EXPECT_EQ(dram.row_misses, 2u);
}

TEST_F(DramTest, ConflictsInOneBankAreFarSlowerThanHits) {
    config.dram.nrefi = 0;
    const std::uint64_t row = std::uint64_t{config.dram.columns} * config.dram.channel_bits / 8 *
                              config.dram.ranks * config.dram.bank_groups *
                              config.dram.banks_per_group * config.dram.channels;
    const double conflicts = stream(1000, 64, row);
    // One row cycle (tRAS + tRP) per request.
    const double cycle =
        static_cast<double>(dram_clocks(config.dram.nras) + dram_clocks(config.dram.nrp));
    EXPECT_NEAR(conflicts, 64.0 / cycle, 64.0 / cycle * 0.1);
}

TEST_F(DramTest, PartialBurstsCostWholeOnes) {
    config.dram.nrefi = 0;
    const double whole = stream(1 << 12, 32, 32);
    const double part = stream(1 << 12, 4, 32);
    EXPECT_NEAR(part * 8, whole, whole * 0.01);
}

} // namespace
} // namespace talus::sim
