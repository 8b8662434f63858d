// Where packets enter the NoC: the leaky bucket, credits, and what a header costs.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"

#include "core/config.hpp"
#include "mem/fabric.hpp"
#include "mem/sources.hpp"

namespace talus::sim {
namespace {

TEST(Source, ABucketWithoutABurstSpacesPacketsByTheirBytes) {
    Source source(64, 0, 0);
    // 272 bytes are 4.25 clocks: the following may leave at 4.25, 9 + 0.25, ...
    EXPECT_EQ(source.enter(0, 272), 0u);
    EXPECT_EQ(source.enter(0, 272), 5u);
    EXPECT_EQ(source.enter(0, 272), 10u); // 5 + 4.25
    EXPECT_EQ(source.enter(40, 64), 40u); // long empty
    EXPECT_EQ(source.enter(41, 64), 41u);
    EXPECT_EQ(source.enter(41, 64), 42u);
    EXPECT_EQ(source.counters().packets, 6u);
    EXPECT_EQ(source.counters().bytes, 3 * 272u + 3 * 64u);
    EXPECT_EQ(source.counters().shaping_waits, 3u);
    EXPECT_EQ(source.counters().shaping_wait_clocks, 5u + 10u + 1u);
    EXPECT_EQ(source.counters().credit_waits, 0u);
}

TEST(Source, ABurstGoesAtOnce) {
    Source source(64, 512, 0);
    for (const Cycle at : {0u, 0u, 0u, 4u, 8u}) { // 256, 512, then what has drained
        EXPECT_EQ(source.enter(0, 256), at);
    }
    EXPECT_EQ(source.enter(100, 256), 100u);
    source.rebase();
    EXPECT_EQ(source.enter(100, 1024), 100u);
    EXPECT_EQ(source.enter(100, 64), 108u);
    Source off(0, 0, 0);
    EXPECT_EQ(off.enter(7, 4096), 7u);
    EXPECT_EQ(off.enter(7, 4096), 7u);
}

// Against a bucket that is drained clock by clock.
TEST(Source, TheBucketIsTheOneOfTheTextbook) {
    std::mt19937 random(3);
    for (const std::uint64_t rate : {7u, 64u, 100u}) {
        Source source(rate, 600, 0);
        std::uint64_t level = 0;
        Cycle clock = 0;
        const auto drain = [&] {
            level -= std::min(level, rate);
            ++clock;
        };
        for (unsigned packet = 0; packet < 3000; ++packet) {
            const Cycle at = clock + random() % (288 / rate + 1); // about what drains
            const std::uint64_t bytes = 16 + random() % 257;
            while (clock < at) {
                drain();
            }
            while (level > 600) {
                drain();
            }
            ASSERT_EQ(source.enter(at, bytes), clock) << rate << ' ' << packet;
            level += bytes;
        }
        EXPECT_GT(source.counters().shaping_waits, 100u);
    }
}

TEST(Source, AnAnswerGivesACreditBack) {
    Source source(0, 0, 2);
    EXPECT_EQ(source.enter(0, 64), 0u);
    EXPECT_FALSE(source.full());
    EXPECT_EQ(source.enter(1, 64), 1u);
    EXPECT_TRUE(source.full());
    source.answered(50);
    EXPECT_FALSE(source.full());
    EXPECT_EQ(source.enter(2, 64), 50u);
    source.answered(100);
    EXPECT_EQ(source.enter(120, 64), 120u);
    EXPECT_EQ(source.counters().credit_waits, 1u);
    EXPECT_EQ(source.counters().credit_wait_clocks, 48u);
    // Held packets go in the order in which they came, and not before now.
    EXPECT_TRUE(source.must_hold());
    source.hold();
    source.answered(130);
    EXPECT_FALSE(source.full());
    EXPECT_TRUE(source.must_hold());
    EXPECT_EQ(source.enter_held(125, 140, 64), 140u);
    EXPECT_EQ(source.held(), 0u);
    EXPECT_EQ(source.counters().credit_wait_clocks, 48u + 15u);
    source.reset();
    EXPECT_FALSE(source.full());
    EXPECT_EQ(source.enter(0, 64), 0u);
    EXPECT_EQ(source.counters().packets, 1u);
    Source unlimited(0, 0, 0);
    for (unsigned i = 0; i < 1000; ++i) {
        ASSERT_FALSE(unlimited.full());
        ASSERT_EQ(unlimited.enter(5, 64), 5u);
    }
}

class Entry : public testing::Test, protected EventSink {
  protected:
    Entry() {
        config.sram.scratch_bytes = config.sram.bytes; // what stands before DRAM is elsewhere
        config.noc.pe_shape_bytes_per_clock = 0;
        config.noc.engine_shape_bytes_per_clock = 0;
        config.noc.pe_credits = 0;
        config.noc.engine_credits = 0;
    }
    void on_event(const Event& event) override { told.push_back(event); }
    void build() {
        told.clear();
        unit = events.add_unit(*this, "answers");
        fabric = std::make_unique<Fabric>(config, events);
        fabric->rebase(events.now());
    }
    void run() {
        while (!events.empty()) {
            events.run_next();
        }
    }
    Notify notify(std::uint64_t number = 0) const { return {unit, 0, number, 0}; }
    Cycle packet(Cycle at, std::uint64_t addr, std::uint64_t bytes, bool write = false,
                 std::uint64_t number = 0) {
        return fabric->packet(pe, 0, at, addr, bytes, write, notify(number));
    }
    const Source::Counters& counted(bool write) const {
        const Sources& sources = fabric->sources();
        return sources[sources.number(0, write)].counters();
    }
    /// Block 0 of LLS is at the left, beside PE 0.
    Cycle way() const { return config.noc.traverse_clocks + config.noc.hop_clocks; }
    /// A block of LLS with its header, nothing else under way: 256 bytes leave the slice in 4
    /// clocks, 272 pass the port in 5.
    Cycle round_trip() const { return 2 * way() + 4 + config.sram.access_clocks + 5; }

    Config config = Config::load(TALUS_CONFIG_FILE);
    EventQueue events;
    UnitId unit = 0;
    std::unique_ptr<Fabric> fabric;
    std::vector<Event> told;
    const Requester pe = Requester::pe_unit(0);
};

TEST_F(Entry, AHeaderCostsItsBytesOnPortsAndLinks) {
    for (const std::uint32_t header : {0u, 16u, 64u, 256u}) {
        config.noc.header_bytes = header;
        build();
        const Cycle port = (256 + header + 63) / 64;
        EXPECT_EQ(packet(0, TALUS_LLS_BASE, 256), 2 * way() + 4 + config.sram.access_clocks + port);
        Cycle last = 0;
        for (unsigned block = 1; block <= 512; ++block) { // the port bounds them
            last = std::max(last, packet(1000, TALUS_LLS_BASE + 256 * block, 256));
        }
        // The port's calendar does not know the order within 64 clocks.
        EXPECT_NEAR(static_cast<double>(last - 1000),
                    512.0 * (256 + header) / 64 + static_cast<double>(round_trip()), 64);
    }
}

TEST_F(Entry, ATransferIsCutAtBlocksAndPaysAHeaderForEachPiece) {
    for (const std::uint32_t limit : {64u, 128u, 256u, 4096u}) {
        config.noc.packet_bytes = limit;
        build();
        fabric->transfer(pe, 0, TALUS_LLS_BASE + 200, 1000, false, notify());
        run();
        ASSERT_EQ(told.size(), 1u);
        // 200..1200; no packet crosses a slice's block of 256 bytes.
        const std::uint64_t block = std::min(limit, 256u);
        const std::uint64_t pieces = 1199 / block - 200 / block + 1;
        EXPECT_EQ(counted(false).packets, pieces);
        EXPECT_EQ(counted(false).bytes, 1000 + pieces * config.noc.header_bytes);
        EXPECT_EQ(fabric->counters().sram_read_bytes, 1000u);
    }
}

TEST_F(Entry, ShapingSpacesWhatASourceAsksFor) {
    config.noc.pe_shape_bytes_per_clock = 16;
    config.noc.shape_burst_bytes = 0;
    build();
    for (Cycle block = 0; block < 16; ++block) { // 272 bytes: 17 clocks
        EXPECT_EQ(packet(0, TALUS_LLS_BASE, 256), 17 * block + round_trip());
    }
    EXPECT_EQ(counted(false).shaping_waits, 15u);
    EXPECT_EQ(counted(false).shaping_wait_clocks, 17u * 15 * 16 / 2);
    // Writes have a bucket of their own, and another PE has its own.
    const Cycle written = packet(0, TALUS_LLS_BASE + 256, 256, true);
    EXPECT_LT(written, 2 * round_trip());
    EXPECT_EQ(counted(true).shaping_waits, 0u);
    fabric->packet(Requester::pe_unit(1), 0, 0, TALUS_LLS_BASE, 256, false, notify());
    EXPECT_EQ(fabric->sources()[fabric->sources().number(1, false)].counters().shaping_waits, 0u);
    fabric->rebase(0);
    EXPECT_EQ(packet(0, TALUS_LLS_BASE, 256), round_trip()); // an empty bucket
}

TEST_F(Entry, OneCreditMakesRoundTripsFollowEachOther) {
    config.noc.pe_credits = 1;
    build();
    for (Cycle block = 1; block <= 8; ++block) {
        EXPECT_EQ(packet(0, TALUS_LLS_BASE, 256), block * round_trip());
    }
    EXPECT_EQ(counted(false).credit_waits, 7u);
    EXPECT_EQ(counted(false).credit_wait_clocks, 7 * 8 / 2 * round_trip());
    EXPECT_EQ(counted(true).credit_waits, 0u);
}

// DRAM says late when it answers: what has no credit is held, and told of by its own event.
TEST_F(Entry, WhatDramHasKeepsItsCreditUntilItsAnswer) {
    constexpr unsigned kPackets = 40;
    for (const bool write : {false, true}) {
        Cycle unlimited = 0;
        for (const std::uint32_t credits : {0u, 1u, 4u, 64u}) {
            config.noc.pe_credits = credits;
            build();
            const Cycle begin = events.now();
            for (unsigned i = 0; i < kPackets; ++i) {
                ASSERT_EQ(fabric->packet(pe, begin, begin, TALUS_DRAM_BASE + 256 * i, 256, write,
                                         notify(i)),
                          kNever);
            }
            run();
            ASSERT_EQ(told.size(), kPackets);
            std::vector<Cycle> at(kPackets);
            for (const Event& event : told) {
                at[event.a] = event.time - begin;
            }
            const Cycle end = *std::max_element(at.begin(), at.end());
            const Cycle least = 2 * way() + config.dram.controller_clocks;
            if (credits == 0) {
                unlimited = end;
            } else if (credits >= kPackets) {
                EXPECT_EQ(end, unlimited);
            } else {
                // Packet i leaves when at most `credits` - 1 of those before it lack an answer.
                std::vector<Cycle> sorted = at;
                std::sort(sorted.begin(), sorted.end());
                for (unsigned i = credits; i < kPackets; ++i) {
                    EXPECT_GE(at[i], sorted[i - credits] + least) << credits << ' ' << i;
                }
                EXPECT_EQ(counted(write).credit_waits, kPackets - credits);
                EXPECT_GT(end, unlimited);
            }
            EXPECT_EQ(counted(write).packets, kPackets);
        }
    }
}

TEST_F(Entry, MoreCreditsAreFaster) {
    Cycle before = kNever;
    for (const std::uint32_t credits : {1u, 2u, 4u, 16u, 64u}) {
        config.noc.engine_credits = credits;
        build();
        const Cycle begin = events.now();
        fabric->transfer(Requester::engine(0), begin, TALUS_DRAM_BASE, 65536, false, notify());
        run();
        ASSERT_EQ(told.size(), 1u); // of the whole transfer
        EXPECT_LT(told[0].time - begin, before);
        before = told[0].time - begin;
        EXPECT_EQ(fabric->counters().dram_read_bytes, 65536u);
    }
}

TEST_F(Entry, MembersOfABroadcastWaitEachForItsOwnCredits) {
    for (const std::uint64_t base : {TALUS_LLS_BASE, TALUS_DRAM_BASE}) {
        Cycle unlimited = 0;
        for (const std::uint32_t credits : {0u, 2u}) {
            config.noc.pe_credits = credits;
            build();
            const Cycle begin = events.now();
            const auto transfer = std::make_shared<BroadcastTransfer>(false);
            Cycle last = 0;
            std::size_t known = 0;
            for (std::uint32_t member = 0; member < 8; ++member) {
                for (std::uint32_t block = 0; block < 16; ++block) {
                    const Cycle done = fabric->broadcast_packet(
                        transfer, block, Requester::pe_unit(member), begin, begin,
                        base + 256 * block, 256, notify(16 * member + block));
                    known += done == kNever ? 0 : 1;
                    last = done == kNever ? last : std::max(last, done);
                }
            }
            run();
            EXPECT_EQ(known + told.size(), 8 * 16u);
            for (const Event& event : told) {
                last = std::max(last, event.time);
            }
            // One request for all of them, whoever makes it.
            EXPECT_EQ(fabric->counters().edge_bytes, 16 * 256u);
            if (credits == 0) {
                unlimited = last - begin;
            } else {
                EXPECT_GT(last - begin, 2 * unlimited);
                EXPECT_EQ(counted(false).credit_waits, 14u);
            }
        }
    }
}

TEST_F(Entry, ACoreWaitsBehindItsPesTransfersButNotForRegisters) {
    config.noc.pe_credits = 2;
    build();
    packet(0, TALUS_DRAM_BASE, 256);
    packet(0, TALUS_DRAM_BASE + 256, 256);
    const Requester core = Requester::hart(TALUS_HART_OF(0, 1));
    std::uint64_t value = 0;
    std::fill_n(fabric->lls(), 8, std::uint8_t{0x5a});
    EXPECT_TRUE(fabric->read(core, 0, TALUS_LLS_BASE, &value, 8, notify(7)).pending());
    class Registers final : public MmioHandler {
      public:
        bool mmio_read(const Requester&, Cycle, std::uint64_t, unsigned,
                       std::uint64_t& read) override {
            read = ++reads;
            return true;
        }
        bool mmio_write(const Requester&, Cycle, std::uint64_t, unsigned, std::uint64_t) override {
            return true;
        }
        std::uint64_t reads = 0;
    } registers;
    fabric->add_mmio(TALUS_SYSTEM_BASE, TALUS_SYSTEM_SIZE, registers);
    EXPECT_FALSE(fabric->read(core, 0, TALUS_SYSTEM_BASE, &value, 8, notify()).pending());
    EXPECT_EQ(registers.reads, 1u);
    run();
    ASSERT_EQ(told.size(), 3u);
    const auto load =
        std::find_if(told.begin(), told.end(), [](const Event& e) { return e.a == 7; });
    ASSERT_NE(load, told.end());
    EXPECT_GT(load->time, 3 * way());
    fabric->reset();
    EXPECT_EQ(counted(false).packets, 0u);
    EXPECT_NE(packet(0, TALUS_LLS_BASE, 256), kNever);
}

} // namespace
} // namespace talus::sim
