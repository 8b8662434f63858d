// The crossbars' links: where they lead, what they pass, and what of a broadcast crosses which.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"

#include "core/config.hpp"
#include "mem/crossbars.hpp"
#include "mem/fabric.hpp"

namespace talus::sim {
namespace {

using Side = Crossbars::Side;
using Direction = Crossbars::Direction;

Config configured() {
    Config config = Config::load(TALUS_CONFIG_FILE);
    config.sram.scratch_bytes = config.sram.bytes;
    return config;
}

TEST(Crossbars, EveryRowAndColumnHasALinkAtBothEnds) {
    Config config = configured();
    config.grid.rows = 3;
    config.grid.cols = 5;
    const Crossbars crossbars(config);
    EXPECT_EQ(crossbars.link_count(), 2 * 3u + 2 * 5u);
    std::set<std::string> names;
    for (std::uint32_t link = 0; link < crossbars.link_count(); ++link) {
        names.insert(crossbars.name(link));
    }
    EXPECT_EQ(names.size(), crossbars.link_count());
    const std::uint32_t pe = 1 * 5 + 3; // row 1, column 3
    const auto name = [&](Side side) { return crossbars.name(crossbars.link(side, pe)); };
    EXPECT_EQ(name(Side::kLeft), "left row 1");
    EXPECT_EQ(name(Side::kRight), "right row 1");
    EXPECT_EQ(name(Side::kTop), "top column 3");
    EXPECT_EQ(name(Side::kBottom), "bottom column 3");
    EXPECT_EQ(crossbars.hops(Side::kLeft, pe), 4u);
    EXPECT_EQ(crossbars.hops(Side::kRight, pe), 2u);
    EXPECT_EQ(crossbars.hops(Side::kTop, pe), 2u);
    EXPECT_EQ(crossbars.hops(Side::kBottom, pe), 2u);
    EXPECT_TRUE(crossbars.common(crossbars.link(Side::kTop, pe), true));
    EXPECT_FALSE(crossbars.common(crossbars.link(Side::kTop, pe), false));
    EXPECT_FALSE(crossbars.common(crossbars.link(Side::kRight, pe), true));
    EXPECT_TRUE(crossbars.common(crossbars.link(Side::kRight, pe), false));
}

TEST(Crossbars, SlicesSitAtTheSidesInTurn) {
    Config config = configured();
    std::vector<unsigned> at(4);
    for (config.noc.sides = 2; config.noc.sides <= 4; config.noc.sides += 2) {
        const Crossbars crossbars(config);
        std::fill(at.begin(), at.end(), 0);
        for (std::size_t slice = 0; slice < config.sram.slices; ++slice) {
            ++at[static_cast<std::size_t>(crossbars.side_of(slice))];
        }
        const unsigned share = config.sram.slices / config.noc.sides;
        EXPECT_EQ(at[0], share);
        EXPECT_EQ(at[1], share);
        EXPECT_EQ(at[2], config.noc.sides == 4 ? share : 0);
        EXPECT_EQ(at[3], config.noc.sides == 4 ? share : 0);
    }
}

TEST(Crossbars, AnIdleLinkCostsWhatItIsNarrowerThanWhatFeedsIt) {
    Config config = configured();
    for (const std::uint32_t width : {0u, 32u, 64u, 128u}) {
        config.noc.row_link_bytes_per_clock = width;
        Crossbars crossbars(config);
        // 256 bytes that came in the 4 clocks up to clock 1000.
        const Cycle late = width == 32 ? 4 : 0;
        EXPECT_EQ(crossbars.pass(900, 1000, 3, Direction::kIntoGrid, 256, 4), 1000 + late);
        EXPECT_EQ(crossbars.counters(3, Direction::kIntoGrid).wait_clocks, 0u);
        EXPECT_EQ(crossbars.counters(3, Direction::kIntoGrid).bytes, 256u);
        EXPECT_EQ(crossbars.counters(3, Direction::kOutOfGrid).packets, 0u);
    }
}

// Against a queue, one packet behind the other. The calendar does not know the order within 64
// clocks, so a single packet may be that much early, but never late, nor early for long.
TEST(Crossbars, ALinkPassesAsManyPacketsAsAQueue) {
    Config config = configured();
    config.noc.column_link_bytes_per_clock = 32;
    const std::uint32_t link = 2 * config.grid.rows + 1;
    std::mt19937 random(7);
    for (const unsigned pause : {4u, 9u, 14u}) { // above, about and below what the link passes
        Crossbars crossbars(config);
        Cycle at = 100;
        Cycle free = 0;
        Cycle waited = 0;
        for (unsigned packet = 0; packet < 2000; ++packet) {
            at += random() % (2 * pause);
            const std::uint64_t bytes = 32 * (1 + random() % 15);
            const Cycle cost = bytes / 32;
            const Cycle spread = std::min<Cycle>(cost, 4);
            free = std::max(free, at - spread) + cost;
            waited += free - (at - spread + cost);
            const Cycle done =
                crossbars.pass(at - spread, at, link, Direction::kOutOfGrid, bytes, spread);
            ASSERT_LE(done, free + 1) << packet;
            ASSERT_GE(done + 64, free) << packet;
        }
        const Cycle counted = crossbars.counters(link, Direction::kOutOfGrid).wait_clocks;
        EXPECT_LE(counted, waited + 2000);
        EXPECT_GE(counted + 64 * 2000, waited);
        if (pause == 4) {
            EXPECT_GT(waited, 1000000u);
            EXPECT_NEAR(static_cast<double>(counted), static_cast<double>(waited),
                        0.02 * static_cast<double>(waited));
        }
    }
}

class Road : public testing::Test, protected EventSink {
  protected:
    void on_event(const Event& event) override { last = event.time; }
    void build() {
        unit = events.add_unit(*this, "answers");
        fabric = std::make_unique<Fabric>(config, events);
    }
    void run() {
        while (!events.empty()) {
            events.run_next();
        }
    }
    std::uint64_t packets(const std::string& name, Direction direction) const {
        const Crossbars& crossbars = fabric->crossbars();
        for (std::uint32_t link = 0; link < crossbars.link_count(); ++link) {
            if (crossbars.name(link) == name) {
                return crossbars.counters(link, direction).packets;
            }
        }
        return ~std::uint64_t{0};
    }
    std::uint64_t all(Direction direction) const {
        std::uint64_t sum = 0;
        for (std::uint32_t link = 0; link < fabric->crossbars().link_count(); ++link) {
            sum += fabric->crossbars().counters(link, direction).packets;
        }
        return sum;
    }
    /// All eight PEs of row or column 2 ask for 32 blocks, eight of each side's.
    void broadcast(std::uint64_t base, bool column) {
        const auto transfer = std::make_shared<BroadcastTransfer>(column);
        for (std::uint32_t block = 0; block < 32; ++block) {
            for (std::uint32_t member = 0; member < 8; ++member) {
                const std::uint32_t pe = column ? member * 8 + 2 : 2 * 8 + member;
                const Cycle done =
                    fabric->broadcast_packet(transfer, block, Requester::pe_unit(pe), 0, 4 * block,
                                             base + 256 * block, 256, {unit, 0, 0, 0});
                last = done == kNever ? last : std::max(last, done);
            }
        }
        run();
    }
    /// The PEs of row 2 each read or write 256 blocks of their own, 64 bytes/clk. Returns the end.
    Cycle stream(bool write) {
        Cycle end = 0;
        for (std::uint64_t block = 0; block < 256; ++block) {
            for (std::uint32_t col = 0; col < 8; ++col) {
                const std::uint64_t address = TALUS_LLS_BASE + 256 * (col * 256 + block);
                const Cycle done = fabric->packet(Requester::pe_unit(16 + col), 0, 4 * block,
                                                  address, 256, write, {unit, 0, 0, 0});
                end = std::max(end, done);
            }
        }
        return end;
    }

    Config config = configured();
    EventQueue events;
    UnitId unit = 0;
    std::unique_ptr<Fabric> fabric;
    Cycle last = 0;
};

TEST_F(Road, ABroadcastCrossesACommonLinkOnce) {
    for (const std::uint64_t base : {TALUS_LLS_BASE, TALUS_DRAM_BASE}) {
        for (const bool column : {true, false}) {
            build();
            broadcast(base, column);
            // Its own two links once for each of the sides' eight blocks; the links across, once
            // for each member.
            EXPECT_EQ(packets(column ? "top column 2" : "left row 2", Direction::kIntoGrid), 8u);
            EXPECT_EQ(packets(column ? "bottom column 2" : "right row 2", Direction::kIntoGrid),
                      8u);
            for (unsigned across = 0; across < 8; ++across) {
                const std::string line = std::to_string(across);
                EXPECT_EQ(
                    packets((column ? "left row " : "top column ") + line, Direction::kIntoGrid),
                    8u);
                EXPECT_EQ(packets((column ? "right row " : "bottom column ") + line,
                                  Direction::kIntoGrid),
                          8u);
            }
            EXPECT_EQ(all(Direction::kIntoGrid), 2 * 8u + 2 * 8 * 8u);
            EXPECT_EQ(all(Direction::kOutOfGrid), 0u);
        }
    }
}

TEST_F(Road, TheLinksOfARowBoundWhatItsPesRead) {
    constexpr double kBytes = 8 * 256 * 256;
    struct Case {
        std::uint32_t sides;
        std::uint32_t row;
        double rate; ///< bytes/clk of all PEs together
    };
    // Two sides: the row's two links. Four: its links pass half of it; columns' links, of which
    // each PE here has its own, would pass as much as a port. Off: eight ports of 64.
    for (const Case& c : {Case{2, 64, 128}, Case{2, 128, 256}, Case{2, 32, 64}, Case{4, 32, 128},
                          Case{4, 64, 256}, Case{2, 0, 512}}) {
        config.noc.sides = c.sides;
        config.noc.row_link_bytes_per_clock = c.row;
        for (const bool write : {false, true}) {
            build();
            const double clocks = static_cast<double>(stream(write));
            EXPECT_GE(clocks, kBytes / c.rate) << c.sides << ' ' << c.row;
            EXPECT_LE(clocks, kBytes / c.rate * 1.06 + 150) << c.sides << ' ' << c.row;
            EXPECT_EQ(all(write ? Direction::kOutOfGrid : Direction::kIntoGrid), 8 * 256u);
            EXPECT_EQ(all(write ? Direction::kIntoGrid : Direction::kOutOfGrid), 0u);
        }
    }
}

TEST_F(Road, WhatTheControlSubsystemHasCrossesTheTop) {
    build();
    std::uint64_t value = 0;
    const Notify notify{unit, 0, 0, 0};
    const Requester core = Requester::hart(TALUS_HART_OF(11, 0)); // row 1, column 3
    ASSERT_TRUE(fabric->read(core, 0, TALUS_CONTROL_SRAM_BASE, &value, 8, notify).ok());
    EXPECT_EQ(packets("top column 3", Direction::kIntoGrid), 1u);
    ASSERT_TRUE(fabric->write(core, 0, TALUS_STAGING_BASE, &value, 8, notify).ok());
    EXPECT_EQ(packets("top column 3", Direction::kOutOfGrid), 1u);
    fabric->read(Requester::hart(0), 0, TALUS_LLS_BASE, &value, 8, notify); // beside the grid
    EXPECT_EQ(all(Direction::kIntoGrid) + all(Direction::kOutOfGrid), 2u);
    fabric->reset();
    EXPECT_EQ(all(Direction::kIntoGrid) + all(Direction::kOutOfGrid), 0u);
}

} // namespace
} // namespace talus::sim
