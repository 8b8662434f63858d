// All channels on the event queue: address map, check bits, answers in time.
#include <set>
#include <tuple>

#include <gtest/gtest.h>

#include "core/config.hpp"
#include "mem/dram.hpp"

namespace talus::sim {
namespace {

class DramTest : public testing::Test, public DramClient {
  protected:
    Config config = Config::load(TALUS_CONFIG_FILE);
    EventQueue events;
    std::vector<Cycle> done;

    void on_dram(Cycle now, std::uint64_t tag, Cycle at) override {
        EXPECT_GE(at, now);
        done.resize(std::max<std::size_t>(done.size(), tag + 1));
        done[tag] = at;
    }
    void run() {
        while (!events.empty()) {
            events.run_next();
        }
    }
    /// Bytes per clock of `count` requests that come as fast as all channels could take them.
    double stream(std::uint64_t count, std::uint64_t len, std::uint64_t stride,
                  bool write = false) {
        EventQueue own;
        Dram dram(config, own, *this);
        done.clear();
        const double per_request = static_cast<double>(len) / peak();
        for (std::uint64_t i = 0; i < count; ++i) {
            const auto at = static_cast<Cycle>(static_cast<double>(i) * per_request);
            while (!own.empty() && own.next_time() <= at) {
                own.run_next();
            }
            own.advance_to(at);
            dram.request(at, i * stride, len, write, i);
        }
        while (!own.empty()) {
            own.run_next();
        }
        EXPECT_EQ(done.size(), count);
        counters = dram.counters();
        return static_cast<double>(count * len) /
               static_cast<double>(*std::max_element(done.begin(), done.end()));
    }
    double peak() const {
        return static_cast<double>(config.dram.megatransfers) * 1e6 * config.dram.channel_bits / 8 *
               config.dram.channels / (config.device.clock_khz * 1e3);
    }
    DramCounters counters;
};

TEST_F(DramTest, EveryBurstHasAPlaceOfItsOwn) {
    for (const std::uint32_t low : {1u, 3u, 6u}) {
        for (const bool high : {false, true}) {
            for (const bool bank_xor : {false, true}) {
                for (const bool ecc : {false, true}) {
                    DramConfig dram = config.dram;
                    dram.rows = 4;
                    dram.map_column_low_bits = low;
                    dram.map_rank_high = high;
                    dram.map_bank_xor = bank_xor;
                    dram.ecc = ecc;
                    const DramAddressMap map(dram);
                    std::set<std::tuple<unsigned, unsigned, unsigned, unsigned, unsigned>> seen;
                    const std::uint64_t bursts = map.bytes() / dram.burst_bytes;
                    for (std::uint64_t burst = 0; burst < bursts; ++burst) {
                        const DramRun run = map.run(burst, 1);
                        seen.insert({run.rank, run.group, run.bank, run.row, run.column});
                        ASSERT_LT(run.column, map.data_columns());
                    }
                    EXPECT_EQ(seen.size(), bursts);
                }
            }
        }
    }
}

TEST_F(DramTest, MapsAreTheReferences) {
    DramConfig dram = config.dram;
    dram.ranks = 1;
    dram.map_bank_xor = false;
    dram.map_column_low_bits = 6; // column(6), bank group(2), bank(2), row
    DramRun run = DramAddressMap(dram).run(0b101'10'01'000011, 64);
    EXPECT_EQ(std::tuple(run.column, run.group, run.bank, run.row, run.bursts),
              std::tuple(3u, 1u, 2u, 5u, 61u));
    dram.map_column_low_bits = 1; // column(1), bank group(2), bank(2), column(5), row
    run = DramAddressMap(dram).run(0b101'00011'10'01'1, 64);
    EXPECT_EQ(std::tuple(run.column, run.group, run.bank, run.row, run.bursts),
              std::tuple(7u, 1u, 2u, 5u, 1u));
}

TEST_F(DramTest, AStreamHasNearlyAllOfAllChannels) {
    EXPECT_GT(stream(1 << 14, 256, 256), peak() * 0.93);
    EXPECT_GT(stream(1 << 14, 256, 256, true), peak() * 0.90);
}

TEST_F(DramTest, StreamsAPowerOfTwoApartMeetByChanceOnly) {
    // 64 streams in lockstep. Without the XOR all of them are in one bank at a time.
    const auto lockstep = [&] {
        EventQueue own;
        Dram dram(config, own, *this);
        done.clear();
        constexpr std::uint64_t kStreams = 64, kPackets = 64;
        for (std::uint64_t packet = 0; packet < kPackets; ++packet) {
            for (std::uint64_t one = 0; one < kStreams; ++one) {
                dram.request(0, one * 65536 + packet * 256, 256, false, packet * kStreams + one);
            }
        }
        while (!own.empty()) {
            own.run_next();
        }
        return static_cast<double>(kStreams * kPackets * 256) /
               static_cast<double>(*std::max_element(done.begin(), done.end()));
    };
    EXPECT_GT(lockstep(), peak() * 0.75);
    config.dram.map_bank_xor = false;
    EXPECT_LT(lockstep(), peak() * 0.5);
}

TEST_F(DramTest, OneChannelHasASixteenth) {
    const double one = stream(1 << 10, 256, 256 * config.dram.channels);
    EXPECT_NEAR(one, peak() / config.dram.channels, peak() / config.dram.channels * 0.08);
}

TEST_F(DramTest, CheckBitsTakeTheirShareOfTheBus) {
    const double plain = stream(1 << 14, 256, 256);
    const std::uint64_t reads = counters.reads;
    config.dram.ecc = true;
    const double checked = stream(1 << 14, 256, 256);
    // One burst of check bits to eight of data.
    EXPECT_EQ(counters.reads, reads / 8 * 9);
    EXPECT_NEAR(checked / plain, 8.0 / 9.0, 0.04);
    // Part of a group: its check bits are read before they are written.
    EXPECT_GT(stream(1 << 10, 64, 256, true), 0.0);
    EXPECT_EQ(counters.reads + counters.forwarded, 1u << 10);
    EXPECT_EQ(counters.writes, 3u << 10);
}

TEST_F(DramTest, PartialBurstsCostWholeOnes) {
    stream(1 << 10, 4, 256);
    EXPECT_EQ(counters.reads, 1u << 10);
    stream(1 << 10, 64, 256 + 48); // unaligned: three bursts, or two
    EXPECT_GE(counters.reads, 2u << 10);
}

TEST_F(DramTest, IdleLatencyIsTheDevicesAndTheControllers) {
    config.dram.refresh = 0;
    Dram dram(config, events, *this);
    const auto clocks = [&](std::uint64_t n) {
        return (n * config.dram.clock_ps * config.device.clock_khz + 999'999'999) / 1'000'000'000;
    };
    events.advance_to(1000);
    dram.rebase(1000);
    dram.request(1000, 0, 64, false, 0);
    run();
    const Cycle least = config.dram.controller_clocks +
                        clocks(config.dram.nrcd + config.dram.ncl + config.dram.nbl);
    EXPECT_GE(done[0], 1000 + least);
    EXPECT_LE(done[0], 1000 + least + clocks(6)); // the second burst, and clocks' edges
    EXPECT_EQ(dram.counters().activates, 1u);
}

TEST_F(DramTest, ARebaseMakesTimesTheSame) {
    Dram dram(config, events, *this);
    const auto measure = [&](Cycle begin) {
        events.advance_to(begin);
        dram.rebase(begin);
        for (std::uint64_t i = 0; i < 5000; ++i) {
            dram.request(begin + i * 3, i * 4096 % 1000003 / 64 * 64, 64, i % 7 == 0, i);
        }
        run();
        std::uint64_t sum = 0;
        for (const Cycle at : done) {
            sum = sum * 31 + (at - begin);
        }
        return sum;
    };
    const std::uint64_t first = measure(1000);
    EXPECT_EQ(measure(events.now() + 12345), first);
    EXPECT_EQ(measure(events.now() + 7), first);
}

} // namespace
} // namespace talus::sim
