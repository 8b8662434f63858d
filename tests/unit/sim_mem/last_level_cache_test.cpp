// The shared SRAM as a cache in front of DRAM: replacement against published reference strings and
// a list of recently used lines, and what a packet costs on which road.
#include <cstdint>
#include <list>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"

#include "core/config.hpp"
#include "mem/fabric.hpp"
#include "mem/last_level_cache.hpp"

namespace talus::sim {
namespace {

using Use = LastLevelCache::Use;
using What = LastLevelCache::Answer::What;

constexpr std::uint64_t kLine = 256;

SramConfig one_slice(std::uint64_t sets, std::uint32_t ways, std::uint32_t replacement = 0) {
    SramConfig sram = Config::load(TALUS_CONFIG_FILE).sram;
    sram.slices = 1;
    sram.slice_interleave_bytes = kLine;
    sram.llc_ways = ways;
    sram.llc_replacement = replacement;
    sram.scratch_bytes = 0;
    sram.bytes = sets * ways * kLine;
    return sram;
}

/// Ends a fill. Who waited for it.
std::vector<std::uint32_t> filled(LastLevelCache& cache, std::uint32_t fill) {
    std::vector<std::uint32_t> waited;
    cache.filled(fill, [&](std::uint32_t packet) { waited.push_back(packet); });
    return waited;
}

/// A whole line, which comes at once. true: it was there.
bool touch(LastLevelCache& cache, std::uint64_t line, Use use = Use::kRead) {
    const LastLevelCache::Answer answer = cache.access({line * kLine, kLine}, use);
    if (answer.what == What::kWait) {
        EXPECT_EQ(answer.fetch.offset, line * kLine);
        EXPECT_EQ(answer.fetch.bytes, kLine);
        EXPECT_TRUE(filled(cache, answer.fill).empty());
    }
    return answer.what == What::kHit;
}

unsigned faults(std::uint32_t ways, std::uint32_t replacement, const std::vector<int>& string) {
    LastLevelCache cache(one_slice(1, ways, replacement), std::uint64_t{1} << 20);
    unsigned count = 0;
    for (const int page : string) {
        count += touch(cache, static_cast<std::uint64_t>(page)) ? 0 : 1;
    }
    return count;
}

// L. A. Belady, R. A. Nelson and G. S. Shedler, "An anomaly in space-time characteristics of
// certain programs running in a paging machine", CACM 12(6), 1969: first in, first out has 9 faults
// with three frames and 10 with four.
TEST(LastLevelCache, BeladysAnomaly) {
    const std::vector<int> string{1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
    EXPECT_EQ(faults(3, 1, string), 9u);
    EXPECT_EQ(faults(4, 1, string), 10u);
    EXPECT_EQ(faults(3, 0, string), 10u);
    EXPECT_EQ(faults(4, 0, string), 8u);
}

// Silberschatz, Galvin, Gagne, "Operating System Concepts", section on page replacement: three
// frames.
TEST(LastLevelCache, TheTextbooksString) {
    const std::vector<int> string{7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1};
    EXPECT_EQ(faults(3, 1, string), 15u);
    EXPECT_EQ(faults(3, 0, string), 12u);
}

/// Sets as lists, the most recently used line first, with the sectors that each line has and has
/// written.
struct ListModel {
    struct Line {
        std::set<std::uint64_t> valid, dirty;
    };
    std::uint64_t sets;
    std::size_t ways;
    std::map<std::uint64_t, std::list<std::pair<std::uint64_t, Line>>> set{};
    std::uint64_t hits = 0, misses = 0, write_backs = 0;

    void access(std::uint64_t offset, std::uint64_t bytes, bool write) {
        const std::uint64_t block = offset / kLine;
        auto& lines = set[block % sets];
        auto at = lines.begin();
        while (at != lines.end() && at->first != block) {
            ++at;
        }
        if (at == lines.end()) {
            if (lines.size() == ways) {
                write_backs += !lines.back().second.dirty.empty();
                lines.pop_back();
            }
            lines.push_front({block, {}});
        } else {
            lines.splice(lines.begin(), lines, at);
        }
        Line& line = lines.front().second;
        bool asked = false;
        for (std::uint64_t byte = offset; byte < offset + bytes; ++byte) {
            const std::uint64_t sector = byte / 64;
            const bool covered = sector * 64 >= offset && (sector + 1) * 64 <= offset + bytes;
            if (!(write && covered)) {
                asked |= line.valid.insert(sector).second;
            }
        }
        for (std::uint64_t byte = offset; write && byte < offset + bytes; ++byte) {
            line.valid.insert(byte / 64);
            line.dirty.insert(byte / 64);
        }
        ++(asked ? misses : hits);
    }
};

/// `last_use`: that numbers of uses are given anew.
void compare_with_list(std::uint32_t last_use) {
    constexpr std::uint64_t kSets = 8;
    constexpr std::uint32_t kWays = 4;
    LastLevelCache cache(one_slice(kSets, kWays), std::uint64_t{1} << 20, last_use);
    ListModel model{kSets, kWays};
    std::mt19937_64 random(20261126);
    for (int i = 0; i < 200000; ++i) {
        const std::uint64_t line = random() % 64;
        const std::uint64_t first = random() % kLine;
        const std::uint64_t bytes = 1 + random() % (kLine - first);
        const bool write = random() % 3 == 0;
        model.access(line * kLine + first, bytes, write);
        const auto answer =
            cache.access({line * kLine + first, bytes}, write ? Use::kWrite : Use::kRead);
        if (answer.fetch.bytes != 0) {
            filled(cache, answer.fetch_for);
        }
    }
    EXPECT_EQ(cache.counters().hits, model.hits);
    EXPECT_EQ(cache.counters().misses, model.misses);
    EXPECT_EQ(cache.counters().write_backs, model.write_backs);
    EXPECT_EQ(cache.counters().passed, 0u);
}

TEST(LastLevelCache, AgreesWithAList) {
    compare_with_list(1u << 30);
}

TEST(LastLevelCache, AgreesWithAListWhenNumbersOfUsesRunOut) {
    compare_with_list(100);
}

// The shared SRAM is split at a granularity of 32 MB, anywhere.
TEST(LastLevelCache, EverySplitWorks) {
    for (std::uint64_t mib = 32; mib <= 224; mib += 32) {
        SramConfig sram = Config::load(TALUS_CONFIG_FILE).sram;
        sram.scratch_bytes = sram.bytes - (mib << 20);
        LastLevelCache cache(sram, std::uint64_t{1} << 30);
        const std::uint64_t lines = (mib << 20) / kLine;
        for (std::uint64_t access = 0; access < 2 * lines; ++access) {
            touch(cache, access % lines);
        }
        EXPECT_EQ(cache.counters().hits, lines) << mib << " MiB hold as much";
    }
}

TEST(LastLevelCache, WritesBackWhatWasWrittenAndNoMore) {
    LastLevelCache cache(one_slice(1, 1), std::uint64_t{1} << 20);
    cache.access({0, 64}, Use::kWrite);
    cache.access({128, 64}, Use::kWrite);
    const auto answer = cache.access({kLine, kLine}, Use::kWrite);
    ASSERT_EQ(answer.write_backs.size(), 2u);
    EXPECT_EQ(answer.write_backs[0].offset, 0u);
    EXPECT_EQ(answer.write_backs[0].bytes, 64u);
    EXPECT_EQ(answer.write_backs[1].offset, 128u);
    EXPECT_EQ(answer.write_backs[1].bytes, 64u);
    EXPECT_EQ(answer.fetch.bytes, 0u) << "a write of all sectors fetches none";
}

TEST(LastLevelCache, DeadDataIsNotWrittenBack) {
    LastLevelCache cache(one_slice(1, 2), std::uint64_t{1} << 20);
    touch(cache, 0, Use::kWrite);
    touch(cache, 1, Use::kWrite);
    cache.discard(kLine + 1, kLine - 1); // not the first sector, of which a byte stays
    cache.discard(0, kLine);
    EXPECT_EQ(cache.counters().discarded, 4u + 3u);
    EXPECT_TRUE(cache.access({2 * kLine, kLine}, Use::kWrite).write_backs.empty());
    const auto answer = cache.access({3 * kLine, kLine}, Use::kWrite);
    ASSERT_EQ(answer.write_backs.size(), 1u) << "line 1: its first sector";
    EXPECT_EQ(answer.write_backs[0].offset, kLine);
    EXPECT_EQ(answer.write_backs[0].bytes, 64u);
}

TEST(LastLevelCache, AFullMissTableLetsDemandsPassAndDropsPrefetches) {
    SramConfig sram = one_slice(16, 4);
    sram.llc_misses_per_slice = 2;
    LastLevelCache cache(sram, std::uint64_t{1} << 20);
    const auto first = cache.access({0, kLine}, Use::kRead);
    const auto second = cache.access({kLine, kLine}, Use::kPrefetch);
    EXPECT_EQ(cache.access({2 * kLine, kLine}, Use::kPrefetch).what, What::kPass);
    EXPECT_EQ(cache.access({3 * kLine, kLine}, Use::kRead).what, What::kPass);
    EXPECT_EQ(cache.counters().dropped, 1u);
    EXPECT_EQ(cache.counters().passed, 1u);
    const auto late = cache.access({kLine, 64}, Use::kRead);
    EXPECT_EQ(late.what, What::kWait);
    EXPECT_EQ(late.fetch.bytes, 0u) << "the prefetch has asked already";
    cache.wait(late.fill, 17);
    cache.wait(late.fill, 4);
    EXPECT_EQ(filled(cache, second.fill), (std::vector<std::uint32_t>{17, 4}));
    EXPECT_TRUE(filled(cache, first.fill).empty());
    EXPECT_EQ(cache.access({2 * kLine, kLine}, Use::kRead).what, What::kWait);
}

// A copy of gigabytes must not sweep the cache, but it has to meet what is there.
TEST(LastLevelCache, WithoutAllocationOnlyLinesThatAreThereAreUsed) {
    constexpr auto kNo = LastLevelCache::Allocate::kNo;
    LastLevelCache cache(one_slice(1, 2), std::uint64_t{1} << 20);
    EXPECT_EQ(cache.access({0, kLine}, Use::kWrite, kNo).what, What::kPass);
    EXPECT_FALSE(touch(cache, 0));
    EXPECT_EQ(cache.access({0, kLine}, Use::kWrite, kNo).what, What::kHit);
    touch(cache, 1);
    EXPECT_EQ(cache.access({2 * kLine, kLine}, Use::kWrite).write_backs.size(), 1u);
}

class Answers final : public EventSink {
  public:
    void on_event(const Event& event) override { time = event.time; }
    Cycle time = 0;
};

/// Packets from PE 0 to DRAM, one after the other.
class LlcRoad : public testing::Test {
  protected:
    explicit LlcRoad(std::uint64_t llc_mib = 32)
        : config(Config::load(TALUS_CONFIG_FILE)), fabric((set(config, llc_mib), config), events) {
        unit = events.add_unit(answers, "answers");
    }
    static void set(Config& config, std::uint64_t llc_mib) {
        config.sram.scratch_bytes = config.sram.bytes - (llc_mib << 20);
    }
    Cycle move(std::uint64_t offset, bool write) {
        const Cycle begin = events.now();
        Cycle done = fabric.packet(Requester::pe_unit(0), begin, begin, TALUS_DRAM_BASE + offset,
                                   kLine, write, {unit, 0, 0, 0});
        while (!events.empty()) {
            events.run_next();
        }
        done = done == kNever ? answers.time : done;
        events.advance_to(std::max(done, events.now()));
        return done - begin;
    }
    void hint(std::uint64_t offset) {
        fabric.prefetch(Requester::pe_unit(0), events.now(), events.now(), TALUS_DRAM_BASE + offset,
                        kLine);
        while (!events.empty()) {
            events.run_next();
        }
    }

    EventQueue events;
    Config config;
    Answers answers;
    Fabric fabric;
    UnitId unit = 0;
};

// The way to the slice and back at the least distance, the array, and the port's width: as for the
// scratch part.
TEST_F(LlcRoad, AHitCostsWhatSramCosts) {
    const Cycle miss = move(0, false);
    const Cycle hit = move(0, false);
    const Cycle way = config.noc.traverse_clocks + config.noc.hop_clocks;
    EXPECT_EQ(hit, 2 * way + kLine / config.sram.slice_bytes_per_clock + config.sram.access_clocks +
                       (kLine + config.noc.header_bytes + config.noc.pe_port_bytes_per_clock - 1) /
                           config.noc.pe_port_bytes_per_clock);
    EXPECT_GT(miss, hit + config.dram.controller_clocks);
    EXPECT_EQ(fabric.counters().dram_read_bytes, kLine);
}

TEST_F(LlcRoad, APrefetchedLineIsAHit) {
    hint(4096);
    EXPECT_EQ(fabric.counters().dram_read_bytes, kLine);
    move(4096, false);
    EXPECT_EQ(fabric.cache_counters().hits, 1u);
    EXPECT_EQ(fabric.counters().dram_read_bytes, kLine);
}

TEST_F(LlcRoad, DirtyLinesReachDramOnceWhenTheyLeave) {
    constexpr std::uint64_t kCapacity = std::uint64_t{32} << 20;
    constexpr std::uint64_t kLines = 4096;
    for (std::uint64_t line = 0; line < kLines; ++line) {
        move(line * kLine, true);
        move(line * kLine, true);
    }
    EXPECT_EQ(fabric.counters().dram_write_bytes, 0u);
    for (std::uint64_t line = 0; line < kCapacity / kLine; ++line) {
        move(kCapacity + line * kLine, false);
    }
    EXPECT_EQ(fabric.counters().dram_write_bytes, kLines * kLine);
}

// The next client finds a device that is as fast as it was to the one before.
TEST_F(LlcRoad, AScrubDropsTheLines) {
    move(0, false);
    move(8192, true);
    fabric.scrub(TALUS_DRAM_BASE, config.dram.bytes);
    move(0, false);
    move(8192, false);
    EXPECT_EQ(fabric.cache_counters().hits, 1u) << "the write, which fetched nothing";
    EXPECT_EQ(fabric.cache_counters().misses, 3u);
    EXPECT_EQ(fabric.counters().dram_write_bytes, 0u);
}

// An AMO that finds its line in the cache has its effect at once, and only once.
TEST_F(LlcRoad, AnAtomicOperationOnAHit) {
    move(0, false);
    const AmoRequest add{AmoOp::kAdd, 8, false, false, TALUS_DRAM_BASE, 5};
    std::uint64_t old = 7;
    const FabricResult result =
        fabric.amo(Requester::hart(4), events.now(), add, old, {unit, 0, 0, 0});
    EXPECT_TRUE(result.ok() && !result.pending());
    EXPECT_EQ(old, 0u);
    EXPECT_EQ(fabric.dram()[0], 5u);
}

struct NoLlcRoad : LlcRoad {
    NoLlcRoad() : LlcRoad(0) {}
};

TEST_F(NoLlcRoad, EveryPacketGoesToDram) {
    move(0, false);
    hint(0);
    move(0, false);
    EXPECT_EQ(fabric.counters().dram_read_bytes, 2 * kLine);
    EXPECT_EQ(fabric.counters().sram_read_bytes, 0u);
}

} // namespace
} // namespace talus::sim
