// The data caches' tags: replacement, coherence among control harts, cache-block operations, and
// every way in which a program can break the rules.
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"

#include "mem/data_caches.hpp"

namespace talus::sim {
namespace {

using Kind = Incoherence::Kind;

constexpr HartId kA = 4, kB = 5; // two PE cores; 0 to 3 are control harts
constexpr std::uint64_t kLine = TALUS_LLS_BASE + 0x1000;

class DataCachesTest : public testing::Test, public IncoherenceListener {
  protected:
    DataCaches caches{8, 4, {1024, 2}}; // 8 sets of 2 ways: lines 512 bytes apart share a set
    std::vector<Incoherence> told;

    DataCachesTest() { caches.set_listener(this); }
    void on_incoherence(const Incoherence& incoherence) override { told.push_back(incoherence); }
    DataCaches::Access load(HartId hart, std::uint64_t line) {
        return caches.access(hart, line, false);
    }
    DataCaches::Access store(HartId hart, std::uint64_t line) {
        const DataCaches::Access access = caches.access(hart, line, true);
        if (access.ok) {
            caches.written(hart, line, 8);
        }
        return access;
    }
    void expect_told(Kind kind, HartId who, HartId holder, std::uint64_t line = kLine) {
        ASSERT_EQ(told.size(), 1u);
        EXPECT_EQ(told[0].kind, kind);
        EXPECT_EQ(told[0].who, who);
        EXPECT_EQ(told[0].holder, holder);
        EXPECT_EQ(told[0].line, line);
        told.clear();
    }
};

TEST_F(DataCachesTest, HitsMissesAndReplacement) {
    EXPECT_TRUE(load(kA, kLine).fill);
    caches.filled(kA, kLine, 77);
    EXPECT_FALSE(load(kA, kLine).fill);
    EXPECT_EQ(load(kA, kLine).ready, 77u);
    EXPECT_TRUE(load(kA, kLine + 512).fill);
    EXPECT_FALSE(load(kA, kLine).fill); // now the other one is the older
    EXPECT_TRUE(load(kA, kLine + 1024).fill);
    EXPECT_FALSE(load(kA, kLine).fill);
    EXPECT_TRUE(load(kA, kLine + 512).fill);
    EXPECT_TRUE(load(kB, kLine).fill) << "each core has its own";
    EXPECT_EQ(caches.counters(kA).misses, 4u);
    EXPECT_EQ(caches.counters(kA).hits, 4u);
    EXPECT_EQ(caches.counters(kA).write_backs, 0u);
    EXPECT_TRUE(told.empty());
}

TEST_F(DataCachesTest, EvictionWritesBack) {
    store(kA, kLine);
    load(kA, kLine + 512);
    const DataCaches::Access access = load(kA, kLine + 1024);
    ASSERT_EQ(access.write_back_count, 1u);
    EXPECT_EQ(access.write_backs[0].hart, kA);
    EXPECT_EQ(access.write_backs[0].line, kLine);
    EXPECT_TRUE(caches.check(kNoHart, kLine, 64, false)) << "memory has it now";
}

TEST_F(DataCachesTest, StoresAreNotInMemoryUntilCleaned) {
    store(kA, kLine);
    EXPECT_FALSE(caches.check(kNoHart, kLine + 60, 100, false));
    expect_told(Kind::kDirtyRead, kNoHart, kA);
    EXPECT_FALSE(caches.check(kNoHart, kLine - 1000, 1001, true));
    expect_told(Kind::kDirtyWrite, kNoHart, kA);
    EXPECT_TRUE(caches.check(kNoHart, kLine + 64, 4096, false));
    EXPECT_TRUE(caches.check(kNoHart, kLine - 4096, 4096, false));
    EXPECT_FALSE(load(kB, kLine).ok) << "the other core of the PE is another unit";
    expect_told(Kind::kDirtyRead, kB, kA);
    EXPECT_FALSE(store(kB, kLine).ok);
    expect_told(Kind::kDirtyWrite, kB, kA);

    const DataCaches::Access clean = caches.block(kA, CboOp::kClean, kLine);
    EXPECT_TRUE(clean.ok);
    EXPECT_EQ(clean.write_back_count, 1u);
    EXPECT_TRUE(caches.check(kNoHart, kLine, 64, false));
    EXPECT_FALSE(load(kA, kLine).fill) << "cleaning keeps the line";
    EXPECT_EQ(caches.block(kA, CboOp::kClean, kLine).write_back_count, 0u);
    store(kA, kLine);
    EXPECT_EQ(caches.block(kA, CboOp::kFlush, kLine).write_back_count, 1u);
    EXPECT_TRUE(load(kA, kLine).fill) << "flushing does not";
    EXPECT_TRUE(told.empty());
}

TEST_F(DataCachesTest, LinesGoStale) {
    load(kA, kLine);
    caches.written(kNoHart, kLine + 63, 1);
    EXPECT_FALSE(load(kA, kLine).ok);
    expect_told(Kind::kStale, kA, kA);
    EXPECT_FALSE(store(kA, kLine).ok) << "a part of the line would be old";
    expect_told(Kind::kStale, kA, kA);
    EXPECT_TRUE(caches.block(kA, CboOp::kInval, kLine).ok);
    EXPECT_TRUE(load(kA, kLine).fill);
    caches.written(kNoHart, kLine + 64, 64);
    EXPECT_FALSE(load(kA, kLine).fill);
    store(kB, kLine); // a store elsewhere counts from the store on, not from its write-back
    EXPECT_FALSE(load(kA, kLine).ok);
    expect_told(Kind::kStale, kA, kA);
    // A stale line that is evicted is none.
    load(kA, kLine + 512);
    load(kA, kLine + 1024);
    caches.block(kB, CboOp::kFlush, kLine);
    EXPECT_TRUE(load(kA, kLine).ok);
    EXPECT_TRUE(told.empty());
}

TEST_F(DataCachesTest, WriteUnderADirtyLineIsToldOnce) {
    store(kA, kLine);
    caches.written(kNoHart, kLine, 4);
    expect_told(Kind::kDirtyWrite, kNoHart, kA);
    caches.written(kNoHart, kLine + 4, 4);
    EXPECT_TRUE(told.empty());
}

TEST_F(DataCachesTest, InvalidatingADirtyLineLosesIt) {
    store(kA, kLine);
    EXPECT_FALSE(caches.block(kA, CboOp::kInval, kLine).ok);
    expect_told(Kind::kDiscarded, kA, kA);
    EXPECT_TRUE(load(kA, kLine).fill);
}

TEST_F(DataCachesTest, ControlHartsAreCoherent) {
    store(0, kLine);
    const DataCaches::Access read = load(2, kLine);
    EXPECT_TRUE(read.ok);
    ASSERT_EQ(read.write_back_count, 1u) << "hart 0 gives the line to memory first";
    EXPECT_EQ(read.write_backs[0].hart, 0u);
    EXPECT_FALSE(load(0, kLine).fill);
    EXPECT_TRUE(store(2, kLine).ok);
    EXPECT_TRUE(load(0, kLine).fill) << "a store elsewhere takes it away";
    EXPECT_TRUE(told.empty());
    // Maintenance by one acts for all, and towards others they are one.
    store(1, kLine + 64);
    EXPECT_FALSE(caches.check(kA, kLine + 64, 8, false));
    expect_told(Kind::kDirtyRead, kA, 1, kLine + 64);
    EXPECT_EQ(caches.block(3, CboOp::kClean, kLine + 64).write_back_count, 1u);
    EXPECT_TRUE(caches.check(kA, kLine + 64, 8, false));
}

TEST_F(DataCachesTest, AtomicsGoToMemory) {
    store(kA, kLine);
    const DataCaches::Access access = caches.bypass(kA, kLine);
    EXPECT_TRUE(access.ok);
    EXPECT_EQ(access.write_back_count, 1u);
    caches.written(kA, kLine, 8);
    EXPECT_TRUE(load(kA, kLine).fill);
    EXPECT_TRUE(caches.bypass(kB, kLine).ok);
    caches.written(kB, kLine, 8);
    EXPECT_FALSE(load(kA, kLine).ok);
    expect_told(Kind::kStale, kA, kA);
    caches.block(kA, CboOp::kInval, kLine);
    store(kA, kLine);
    EXPECT_FALSE(caches.bypass(kB, kLine).ok);
    expect_told(Kind::kDirtyWrite, kB, kA);
}

TEST_F(DataCachesTest, ResetsAndForgottenMemory) {
    store(kA, kLine);
    store(kB, TALUS_DRAM_BASE);
    caches.reset(kA);
    EXPECT_TRUE(caches.check(kNoHart, kLine, 64, false));
    EXPECT_FALSE(caches.check(kNoHart, TALUS_DRAM_BASE, 1, false));
    told.clear();
    caches.forget(TALUS_DRAM_BASE, 1 << 20);
    EXPECT_TRUE(load(kB, TALUS_DRAM_BASE).fill);
    store(kB, TALUS_DRAM_BASE);
    caches.reset();
    EXPECT_TRUE(caches.check(kNoHart, TALUS_DRAM_BASE, 1, true));
    EXPECT_FALSE(caches.may_hold(TALUS_DRAM_BASE, 64));
    EXPECT_TRUE(told.empty());
}

TEST(DataCachesGeometry, IsChecked) {
    EXPECT_THROW(DataCaches(8, 4, {1000, 2}), std::invalid_argument);
    EXPECT_THROW(DataCaches(8, 4, {1024, 3}), std::invalid_argument);
    EXPECT_THROW(DataCaches(8, 4, {64, 2}), std::invalid_argument);
    EXPECT_TRUE(DataCaches(8, 4, {3 * 4096, 3}).enabled());
    const DataCaches none(8, 4, {0, 4});
    EXPECT_FALSE(none.enabled());
    EXPECT_FALSE(none.may_hold(kLine, 64));
}

} // namespace
} // namespace talus::sim
