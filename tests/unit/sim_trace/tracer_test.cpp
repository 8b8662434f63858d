// The tracer's file, read by Perfetto's schema.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "trace/tracer.hpp"

#include "trace_reader.hpp"

namespace talus::sim {
namespace {

using test::read_trace;
using test::ReadTrace;

class TracerTest : public testing::Test {
  protected:
    void SetUp() override {
        path_ = testing::TempDir() + "talus_tracer_test_" +
                testing::UnitTest::GetInstance()->current_test_info()->name() + ".pftrace";
    }
    void TearDown() override { std::filesystem::remove(path_); }
    std::string path_;
};

constexpr std::uint64_t kClock = 1350000; // kHz
constexpr std::uint64_t kLarge = std::uint64_t{1} << 40;

TEST_F(TracerTest, SlicesInstantsAndCountersComeBack) {
    {
        Tracer tracer(path_, kClock, kLarge);
        const TraceTrack pe = tracer.add_track("PE 0.0", kTraceRoot);
        const TraceTrack dpe = tracer.add_track("DPE", pe);
        const TraceTrack rate = tracer.add_counter("SRAM", kTraceRoot);
        tracer.slice(dpe, "MATMUL", 135, 1350, {"pc", 0x1000});
        tracer.slice(dpe, "MATMUL", 1350, 2700, {});
        tracer.slice(dpe, "STORE", 4050, 4051, {});
        tracer.instant(pe, "doorbell", 13500, {"entries", 7});
        tracer.value(rate, 1350000000, 42);
        tracer.value(rate, 2 * 1350000000ull, 0);
    }
    ReadTrace trace = read_trace(path_);
    ASSERT_EQ(trace.tracks.size(), 3u);
    const auto& slices = trace.tracks.at("PE 0.0/DPE").slices;
    ASSERT_EQ(slices.size(), 3u);
    // 1.35 clocks a nanosecond, rounded down.
    EXPECT_EQ(slices[0].name, "MATMUL");
    EXPECT_EQ(slices[0].begin, 100u);
    EXPECT_EQ(slices[0].end, 1000u);
    EXPECT_EQ(slices[0].arguments.at("pc"), 0x1000u);
    EXPECT_EQ(slices[1].end, 2000u);
    EXPECT_TRUE(slices[1].arguments.empty());
    EXPECT_EQ(slices[2].name, "STORE");
    EXPECT_EQ(slices[2].begin, 3000u);
    EXPECT_EQ(slices[2].end, 3000u);
    const auto& points = trace.tracks.at("PE 0.0").points;
    ASSERT_EQ(points.size(), 1u);
    EXPECT_EQ(points[0].at, 10000u);
    EXPECT_EQ(points[0].arguments.at("entries"), 7u);
    const auto& values = trace.tracks.at("SRAM").points;
    ASSERT_EQ(values.size(), 2u);
    EXPECT_EQ(values[0].at, 1000000000u);
    EXPECT_EQ(values[0].value, 42);
    EXPECT_EQ(values[1].at, 2000000000u);
}

// What a killed process leaves: the file is read while the tracer is at work.
TEST_F(TracerTest, WhatStandsInTheFileIsWholeAtAnyTime) {
    Tracer tracer(path_, kClock, kLarge);
    const TraceTrack track = tracer.add_track("track", kTraceRoot);
    std::size_t seen = 0;
    for (Cycle now = 0; now < 200000; now += 2) {
        tracer.slice(track, "slice", now, now + 1, {"now", now});
        if (now % 20000 == 0) {
            const ReadTrace trace = read_trace(path_);
            if (!trace.tracks.empty()) {
                const std::size_t found = trace.tracks.at("track").slices.size();
                EXPECT_GE(found, seen);
                seen = found;
            }
        }
    }
    tracer.flush(true);
    for (int tries = 0; seen != 100000 && tries < 1000; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        seen = read_trace(path_).tracks.at("track").slices.size();
    }
    EXPECT_EQ(seen, 100000u);
    EXPECT_LT(std::filesystem::file_size(path_), 100000u * 12); // bytes a slice, deflated
}

TEST_F(TracerTest, TimeGoesOnAfterAReset) {
    {
        Tracer tracer(path_, kClock, kLarge);
        const TraceTrack track = tracer.add_track("track", kTraceRoot);
        tracer.slice(track, "before", 1350, 2700, {});
        tracer.restart();
        tracer.slice(track, "after", 0, 1350, {});
    }
    const auto slices = read_trace(path_).tracks.at("track").slices;
    ASSERT_EQ(slices.size(), 2u);
    EXPECT_EQ(slices[1].begin, 2000u);
    EXPECT_EQ(slices[1].end, 3000u);
}

TEST_F(TracerTest, StopsAtItsLimitWithAWholeTrace) {
    {
        Tracer tracer(path_, kClock, 100000);
        const TraceTrack track = tracer.add_track("track", kTraceRoot);
        for (Cycle now = 0; now < 3000000; now += 2) {
            tracer.slice(track, "slice", now * now % 1000 + now * 1000, now * 1000 + 1001, {});
        }
    }
    EXPECT_GE(std::filesystem::file_size(path_), 100000u);
    EXPECT_LT(std::filesystem::file_size(path_), 100000u + 66 * TraceFile::kBlockBytes);
    EXPECT_GT(read_trace(path_).tracks.at("track").slices.size(), 1000u);
}

TEST_F(TracerTest, AFileThatCannotBeMadeIsAnError) {
    try {
        Tracer tracer("/nonexistent/trace", kClock, kLarge);
        FAIL();
    } catch (const std::runtime_error& error) {
        EXPECT_NE(std::string(error.what()).find("/nonexistent/trace"), std::string::npos);
    }
}

} // namespace
} // namespace talus::sim
