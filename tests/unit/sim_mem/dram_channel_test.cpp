// One LPDDR5 channel: the reference points, constraints seen from outside, refresh, the write
// queue.
#include <gtest/gtest.h>

#include "../../bench/dram/reference.hpp"

namespace talus::sim {
namespace {

using Done = std::vector<DramRunDone>;

class DramChannelTest : public testing::Test {
  protected:
    DramConfig dram =
        reference::configure(Config::load(TALUS_CONFIG_FILE).dram, reference::kNone, 6);

    static DramRun read(DramClock arrival, std::uint32_t bank, std::uint32_t row,
                        std::uint32_t column = 0, std::uint32_t bursts = 1) {
        DramRun run;
        run.arrival = arrival;
        run.group = bank % 4;
        run.bank = bank / 4;
        run.row = row;
        run.column = column;
        run.bursts = bursts;
        run.tag = static_cast<std::uint64_t>(arrival);
        return run;
    }
    static DramRun write(DramRun run) {
        run.write = true;
        return run;
    }
    /// Latency of the last of `runs` to finish its data.
    DramClock last(const std::vector<DramRun>& runs) {
        DramChannel channel(dram);
        for (const DramRun& run : runs) {
            channel.push(run);
        }
        Done done;
        channel.run(DramChannel::kNever, done);
        return done.back().finished - done.back().accepted;
    }
};

TEST_F(DramChannelTest, MeetsTheReferencePoints) {
    for (const reference::Point& point : reference::kPoints) {
        const reference::Result ours = reference::run(
            reference::configure(dram, point.refresh, point.column_low_bits), point.traffic);
        EXPECT_NEAR(ours.gigabytes / point.gigabytes, 1.0, 0.012) << point.name;
        if (point.median != 0) {
            EXPECT_NEAR(ours.median / point.median, 1.0, 0.05) << point.name;
        }
    }
}

// Runs of neighbouring bursts are a matter of host time alone.
TEST_F(DramChannelTest, RunsTakeTheTimeOfTheirBursts) {
    for (const reference::Point& point : reference::kPoints) {
        if (point.traffic == reference::Traffic::kSequentialThirdWrites) {
            continue; // the directions are drawn per request
        }
        const DramConfig one = reference::configure(dram, point.refresh, point.column_low_bits);
        const reference::Result apart = reference::run(one, point.traffic);
        const reference::Result merged = reference::run(one, point.traffic, true);
        EXPECT_EQ(merged.gigabytes, apart.gigabytes) << point.name;
        EXPECT_EQ(merged.counters.activates, apart.counters.activates) << point.name;
    }
}

TEST_F(DramChannelTest, IdleLatencyFollowsTheRow) {
    const DramClock closed = DramClock{dram.nrcd} + dram.ncl + dram.nbl + 1;
    EXPECT_EQ(last({read(0, 0, 7)}), closed);
    EXPECT_EQ(last({read(0, 0, 7), read(1000, 0, 7, 5)}), closed - dram.nrcd);
    EXPECT_EQ(last({read(0, 0, 7), read(1000, 0, 8)}), reference::kIdleConflict);
}

TEST_F(DramChannelTest, RowHitsOvertakeUnlessReorderingIsOff) {
    // The conflict waits for tRAS and tRP; the younger hit does not wait with it.
    const std::vector<DramRun> runs{read(0, 0, 1), read(1, 0, 2), read(2, 0, 1, 9), read(3, 5, 1)};
    const auto order = [&] {
        DramChannel channel(dram);
        for (const DramRun& run : runs) {
            channel.push(run);
        }
        Done done;
        channel.run(DramChannel::kNever, done);
        std::vector<std::uint64_t> tags;
        for (const DramRunDone& one : done) {
            tags.push_back(one.tag);
        }
        return tags;
    };
    EXPECT_EQ(order().back(), 1u);
    dram.reorder = false;
    EXPECT_EQ(order(), (std::vector<std::uint64_t>{0, 1, 2, 3}));
}

TEST_F(DramChannelTest, WhenItIsRunDoesNotMatter) {
    dram.refresh = reference::kPerBank;
    const auto finish = [&](DramClock step) {
        DramChannel channel(dram);
        Done done;
        DramClock ran = 0;
        for (unsigned i = 0; i < 2000; ++i) {
            const DramClock arrival = i * 13 + (i / 500) * 40000; // with idle spans
            while (ran + step < arrival) {
                ran += step;
                channel.run(ran, done);
            }
            DramRun run = read(arrival, i * 7 % 16, i * 31 % 64, 0, 1 + i % 8);
            run.write = i % 5 == 0;
            channel.push(run);
        }
        channel.run(DramChannel::kNever, done);
        std::uint64_t sum = 0; // wraps
        for (const DramRunDone& one : done) {
            sum = sum * 31 + static_cast<std::uint64_t>(one.finished % 1000003);
        }
        EXPECT_EQ(done.size(), 2000u + 400u);
        return sum;
    };
    const std::uint64_t once = finish(1 << 30);
    EXPECT_EQ(finish(1), once);
    EXPECT_EQ(finish(100), once);
}

TEST_F(DramChannelTest, AllBankRefreshStopsTheRankWhenDue) {
    dram.refresh = reference::kAllBank;
    const DramClock due = dram.nrefi;
    // Just after the refresh began: its whole time is still to pass.
    EXPECT_GE(last({read(due, 0, 0)}), DramClock{dram.nrfc});
    // Refreshes of idle time leave the rows closed and the rank free.
    EXPECT_EQ(last({read(0, 0, 7), read(1000 * due + 1000, 0, 7)}),
              DramClock{dram.nrcd} + dram.ncl + dram.nbl + 1);
    dram.refresh = reference::kPerBank;
    // Only bank 0 is refreshed then.
    const DramClock first = dram.nrefipb;
    EXPECT_GE(last({read(first, 0, 0)}), DramClock{dram.nrfcpb});
    EXPECT_LT(last({read(first, 1, 0)}), DramClock{dram.nrfcpb});
}

TEST_F(DramChannelTest, RefreshKeepsItsRateUnderLoad) {
    for (const auto mode : {reference::kAllBank, reference::kPerBank}) {
        dram.refresh = mode;
        const reference::Result result = reference::run(dram, reference::Traffic::kRandom256);
        const double clocks = 60000.0 * 32 / result.gigabytes / 1.25;
        const double period = mode == reference::kAllBank ? dram.nrefi : dram.nrefipb;
        EXPECT_NEAR(static_cast<double>(result.counters.refreshes), clocks / period, 1.5);
    }
}

TEST_F(DramChannelTest, WritesAreAcceptedReadsAnsweredFromTheQueue) {
    DramChannel channel(dram);
    Done done;
    // Reads keep the bus; the write stays in its queue.
    for (unsigned i = 0; i < 8; ++i) {
        channel.push(read(0, 0, 1, i));
    }
    channel.push(write(read(4, 1, 5, 3)));
    channel.push(read(6, 1, 5, 3));
    channel.run(10, done);
    ASSERT_EQ(done.size(), 2u);
    EXPECT_EQ(done[0].what, DramRunDone::What::kAccepted);
    EXPECT_EQ(done[0].finished, 5);
    EXPECT_EQ(done[1].finished, 7);
    EXPECT_EQ(channel.counters().forwarded, 1u);
    channel.run(DramChannel::kNever, done);
    EXPECT_EQ(done.back().what, DramRunDone::What::kWritten);
    EXPECT_EQ(channel.counters().writes, 1u);
    EXPECT_EQ(channel.next_clock(), DramChannel::kNever);
}

TEST_F(DramChannelTest, AFullQueueHoldsTheRestBack) {
    DramChannel channel(dram);
    for (unsigned i = 0; i < 64; ++i) {
        channel.push(read(0, 0, i));
    }
    Done done;
    channel.run(DramChannel::kNever, done);
    ASSERT_EQ(done.size(), 64u);
    EXPECT_EQ(done[31].accepted, 15); // two a clock
    // From then on one per row cycle.
    EXPECT_NEAR(static_cast<double>(done[63].accepted - done[40].accepted), 23.0 * dram.nrc,
                dram.nrc);
}

TEST_F(DramChannelTest, RanksOverlapTheirRows) {
    // Two ranks have twice the activations per tRRD; the bus turns around between them.
    const double one = reference::run(dram, reference::Traffic::kRandom64).gigabytes;
    dram.ranks = 2;
    dram.map_rank_high = false;
    dram.map_column_low_bits = 1;
    const double two = reference::run(dram, reference::Traffic::kRandom64).gigabytes;
    EXPECT_GT(two, one * 0.7);
    const double peak = dram.burst_bytes / (dram.nbl * dram.clock_ps / 1000.0);
    EXPECT_LT(two, peak);
}

TEST_F(DramChannelTest, APastArrivalIsAnInternalError) {
    DramChannel channel(dram);
    Done done;
    channel.push(read(100, 0, 0));
    channel.run(1000, done);
    EXPECT_THROW(channel.push(read(50, 0, 0)), std::logic_error);
    DramRun outside = read(2000, 0, 0);
    outside.rank = 9;
    EXPECT_THROW(channel.push(outside), std::logic_error);
}

TEST_F(DramChannelTest, TheWriteWatermarksAreInOrder) {
    dram.write_low_percent = 80;
    dram.write_high_percent = 80;
    EXPECT_NO_THROW(DramChannel{dram});
    dram.write_low_percent = 81;
    EXPECT_THROW(DramChannel{dram}, std::invalid_argument);
}

// As the controller decided when it weighed every burst against every constraint at each clock with
// a possible command: whatever saves it work must not change a decision.
TEST_F(DramChannelTest, DecidesAsItAlwaysDid) {
    struct Case {
        reference::Traffic traffic;
        bool merged;
        double p99;
        std::uint64_t activates, precharges, refreshes;
    };
    for (const Case& one :
         {Case{reference::Traffic::kRandom256, false, 220, 2803, 2787, 118},
          Case{reference::Traffic::kRandom256, true, 247, 2803, 2787, 118},
          Case{reference::Traffic::kSequentialThirdWrites, false, 250, 401, 385, 127}}) {
        const reference::Result result =
            reference::run(Config::load(TALUS_CONFIG_FILE).dram, one.traffic, one.merged, 20000);
        EXPECT_EQ(result.p99, one.p99);
        EXPECT_EQ(result.counters.activates, one.activates);
        EXPECT_EQ(result.counters.precharges, one.precharges);
        EXPECT_EQ(result.counters.refreshes, one.refreshes);
    }
}

TEST(DramTimingTableTest, WindowsCountActivationsOnly) {
    const DramConstraint bad{
        "x", DramLevel::kRank, {DramCommand::kRead}, {DramCommand::kRead}, 5, false, 3};
    EXPECT_THROW(DramTimingTable({bad}), std::invalid_argument);
}

} // namespace
} // namespace talus::sim
