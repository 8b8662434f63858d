// A trace of the whole stack: the same events that the device counted, at the times that it
// counted, and nothing changes by looking.
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "../sim_soc/busy_run.hpp"
#include "trace_reader.hpp"

namespace talus::test {
namespace {

class SystemTrace : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        // Without the LLC, which would keep most of the kernel's traffic from DRAM's tracks.
        const std::string uncached = "--set sram.scratch_bytes=268435456";
        setenv("TALUS_SIM_ARGS", uncached.c_str(), 1);
        plain_ = run_busy_kernel(true);
        const std::string path = testing::TempDir() + "talus_system.pftrace";
        const std::string stats = testing::TempDir() + "talus_system.json";
        setenv("TALUS_SIM_ARGS", (uncached + " --trace " + path + " --stats " + stats).c_str(), 1);
        traced_ = run_busy_kernel(true);
        unsetenv("TALUS_SIM_ARGS");
        trace_ = read_trace(path);
        std::ifstream file(stats);
        statistics_ = nlohmann::json::parse(file);
        std::filesystem::remove(stats);
        bytes_ = std::filesystem::file_size(path);
        std::filesystem::remove(path);
    }
    static const ReadTrack& track(const std::string& path) {
        const auto found = trace_.tracks.find(path);
        if (found == trace_.tracks.end())
            throw std::runtime_error("no track " + path);
        return found->second;
    }
    /// PEs of the sub-grid, as the trace names them.
    static std::vector<std::string> pes() {
        std::vector<std::string> names;
        for (unsigned row = 1; row < 1 + kRows; ++row)
            for (unsigned col = 2; col < 2 + kCols; ++col)
                names.push_back("PEs/PE " + std::to_string(row) + "." + std::to_string(col));
        return names;
    }
    /// Slices of the unit's tracks ("FI_IN", "FI_IN (2)", ...) whose names begin with `name`.
    static std::vector<TraceSlice> slices(const std::string& pe, const std::string& unit,
                                          const std::string& name) {
        std::vector<TraceSlice> result;
        for (const auto& [path, track] : trace_.tracks)
            if (path == pe + "/" + unit || path.starts_with(pe + "/" + unit + " ("))
                for (const TraceSlice& slice : track.slices)
                    if (slice.name.starts_with(name))
                        result.push_back(slice);
        return result;
    }
    static constexpr double kClocksPerNs = 1.35;

    static Ran plain_;
    static Ran traced_;
    static ReadTrace trace_;
    static std::uintmax_t bytes_;
    static nlohmann::json statistics_;
};

Ran SystemTrace::plain_;
Ran SystemTrace::traced_;
ReadTrace SystemTrace::trace_;
std::uintmax_t SystemTrace::bytes_;
nlohmann::json SystemTrace::statistics_;

TEST_F(SystemTrace, LookingChangesNothing) {
    EXPECT_EQ(plain_.launch.device_cycles, traced_.launch.device_cycles);
    EXPECT_EQ(plain_.launch.exec_cycles, traced_.launch.exec_cycles);
    EXPECT_EQ(plain_.launch.launch_cycles, traced_.launch.launch_cycles);
    EXPECT_EQ(plain_.launch.result, traced_.launch.result);
    EXPECT_EQ(plain_.record.end - plain_.record.begin, traced_.record.end - traced_.record.begin);
    expect_same_counters(plain_, traced_);
}

TEST_F(SystemTrace, SlicesOfATrackFollowOneAnother) {
    for (const auto& [path, track] : trace_.tracks) {
        std::uint64_t last = 0;
        for (const TraceSlice& slice : track.slices) {
            EXPECT_GE(slice.begin, last) << path << ": " << slice.name;
            EXPECT_GE(slice.end, slice.begin) << path;
            last = slice.end;
        }
        last = 0;
        for (const TracePoint& point : track.points) {
            EXPECT_GE(point.at, last) << path;
            last = point.at;
        }
    }
}

TEST_F(SystemTrace, CommandsAreThoseThatWereCounted) {
    const auto& counters = traced_.record.counters;
    const std::pair<const char*, unsigned> units[] = {{"FI_IN", TALUS_PERF_FI_IN_COMMANDS},
                                                      {"FI_OUT", TALUS_PERF_FI_OUT_COMMANDS},
                                                      {"DPE", TALUS_PERF_DPE_COMMANDS}};
    for (const auto& [unit, base] : units) {
        std::size_t commands = 0;
        double active = 0;
        for (const std::string& pe : pes()) {
            // Nothing overlaps in this kernel, so the sum is the union.
            for (const TraceSlice& slice :
                 slices(pe, unit, unit == std::string("DPE") ? "DPE_" : "FI_")) {
                ++commands;
                active += static_cast<double>(slice.end - slice.begin) * kClocksPerNs;
            }
        }
        EXPECT_EQ(commands, counters[base]) << unit;
        EXPECT_NEAR(active, static_cast<double>(counters[base + TALUS_PERF_FI_IN_ACTIVE]),
                    2.0 * kClocksPerNs * static_cast<double>(commands))
            << unit;
    }
    const auto one = slices("PEs/PE 1.2", "FI_IN", "FI_");
    ASSERT_EQ(one.size(), kRounds);
    EXPECT_EQ(one[0].name, "FI_DMA_IN 1 x 6400 B");           // from the contract's tables
    EXPECT_GE(one[0].arguments.at("address"), 0x1000000000u); // DRAM
}

TEST_F(SystemTrace, CoresWaitAsLongAsWasCounted) {
    double drain = 0;
    std::size_t waits = 0;
    for (const std::string& pe : pes())
        for (const TraceSlice& slice : slices(pe, "core A", "wait drain")) {
            drain += static_cast<double>(slice.end - slice.begin) * kClocksPerNs;
            ++waits;
        }
    EXPECT_NEAR(drain, static_cast<double>(traced_.record.counters[TALUS_PERF_A_WAIT_DRAIN]),
                2.0 * kClocksPerNs * static_cast<double>(waits));
    // Every core's time since its release is covered without gaps but one: the reset after the
    // queue's deletion, in which its local memory is cleared.
    for (const char* core : {"core A", "core B"}) {
        const auto& slices = track("PEs/PE 1.2/" + std::string(core)).slices;
        unsigned gaps = 0;
        for (std::size_t i = 1; i < slices.size(); ++i)
            gaps += slices[i].begin != slices[i - 1].end;
        EXPECT_EQ(gaps, 1u) << core;
    }
    EXPECT_EQ(slices("PEs/PE 0.0", "core A", "wait").size(), 0u); // not of the sub-grid
}

TEST_F(SystemTrace, JobsAndHostQueuesStandOnTheSameTimeBase) {
    const ReadTrack& job = track("PEs/PE 1.2/job");
    ASSERT_EQ(job.slices.size(), 1u);
    EXPECT_TRUE(track("PEs/PE 0.0/job").slices.empty());
    const auto span = static_cast<double>(traced_.record.end - traced_.record.begin);
    const double shown =
        static_cast<double>(job.slices[0].end - job.slices[0].begin) * kClocksPerNs;
    EXPECT_LT(shown, span);
    EXPECT_GT(shown, 0.8 * span);
    const ReadTrack& queue = track("host/queue 1");
    const auto of = [&](const char* name) {
        return std::count_if(queue.points.begin(), queue.points.end(),
                             [&](const TracePoint& point) { return point.name == name; });
    };
    const auto& fetches = track("host/queue 1 fetch").slices;
    const auto& completions = track("host/queue 1 completion").slices;
    EXPECT_EQ(of("doorbell"), static_cast<long>(fetches.size()));
    EXPECT_EQ(completions.size(), fetches.size()); // batches of one command
    // Doorbell -> fetch -> the job -> its completion -> MSI-X.
    const auto fetched = std::find_if(fetches.rbegin(), fetches.rend(), [&](const TraceSlice& s) {
        return s.end <= job.slices[0].begin;
    });
    ASSERT_NE(fetched, fetches.rend());
    const auto completed =
        std::find_if(completions.begin(), completions.end(),
                     [&](const TraceSlice& s) { return s.begin >= job.slices[0].end; });
    ASSERT_NE(completed, completions.end());
    EXPECT_NEAR(static_cast<double>(completed->end - fetched->begin) * kClocksPerNs,
                static_cast<double>(traced_.launch.device_cycles), 3.0);
    const bool interrupted =
        std::any_of(queue.points.begin(), queue.points.end(), [&](const TracePoint& point) {
            return point.name == "MSI-X" && point.at > completed->end &&
                   point.at < completed->end + 5; // ns: behind it on the link
        });
    EXPECT_TRUE(interrupted);
    std::uint64_t copied = 0;
    for (unsigned channel = 0; channel < 4; ++channel)
        for (const TraceSlice& slice : track("host/DMA channel " + std::to_string(channel)).slices)
            copied += slice.arguments.at("bytes");
    EXPECT_GE(copied, std::uint64_t{kPes} * kShare); // the operands, at least
}

TEST_F(SystemTrace, CountersIntegrateToWhatWasMoved) {
    double read = 0; // bytes over all DRAM channels, from MB/s and ns
    for (unsigned channel = 0; channel < 16; ++channel) {
        const auto& points =
            track("DRAM/DRAM channel " + std::to_string(channel) + " [MB/s]").points;
        for (std::size_t i = 0; i + 1 < points.size(); ++i)
            read += static_cast<double>(points[i].value) *
                    static_cast<double>(points[i + 1].at - points[i].at) * 1e-3;
        ASSERT_FALSE(points.empty());
        EXPECT_EQ(points.back().value, 0); // the device rests
    }
    // The kernel's transfers, and the copy of its operands to DRAM before it.
    const double moved = static_cast<double>(traced_.record.counters[TALUS_PERF_DRAM_READ_BYTES] +
                                             traced_.record.counters[TALUS_PERF_DRAM_WRITE_BYTES] +
                                             std::uint64_t{kPes} * kShare);
    EXPECT_NEAR(read / moved, 1.0, 0.05);
}

TEST_F(SystemTrace, LinksOfTheNocAgree) {
    double traced = 0; // bytes
    double counted = 0;
    std::uint64_t into_grid = 0;
    for (const auto& [name, link] : statistics_.at("noc").items()) {
        for (const char* direction : {"in", "out"}) {
            counted += link.at(direction).at("bytes").get<double>();
            const auto& points = track("NoC/NoC " + name + " " + direction + " [MB/s]").points;
            for (std::size_t i = 0; i + 1 < points.size(); ++i)
                traced += static_cast<double>(points[i].value) *
                          static_cast<double>(points[i + 1].at - points[i].at) * 1e-3;
        }
        into_grid += link.at("in").at("bytes").get<std::uint64_t>();
    }
    EXPECT_EQ(statistics_.at("noc").size(), 32u); // eight rows and eight columns, both ends
    EXPECT_NEAR(traced / counted, 1.0, 0.05);
    // What the fabric interfaces read, none of it by broadcast, and what the cores and the
    // work-queue engines fetch beside it: some kilobytes a PE.
    const std::uint64_t read = traced_.record.counters[TALUS_PERF_FI_IN_BYTES];
    EXPECT_GE(into_grid, read);
    EXPECT_LE(into_grid, read + 64 * 4096);
}

// The file of --stats tells the same story as the launch's record.
TEST_F(SystemTrace, StatisticsAgree) {
    std::uint64_t commands = 0;
    std::uint64_t bytes = 0;
    for (const auto& [name, pe] : statistics_.at("pe").items()) {
        commands += pe.at("FI_IN").at("commands").get<std::uint64_t>();
        bytes += pe.at("FI_IN").at("bytes").get<std::uint64_t>();
        for (const auto& [part, numbers] : pe.items()) {
            if (!numbers.is_object())
                continue;
            std::uint64_t sum = 0;
            for (const auto& [activity, clocks] : numbers.at("clocks").items())
                sum += clocks.get<std::uint64_t>();
            EXPECT_NEAR(static_cast<double>(sum), statistics_.at("clocks").get<double>(), 256.0)
                << name << " " << part; // a core may run ahead by so much
        }
    }
    EXPECT_EQ(commands, traced_.record.counters[TALUS_PERF_FI_IN_COMMANDS]);
    EXPECT_EQ(bytes, traced_.record.counters[TALUS_PERF_FI_IN_BYTES]);
    EXPECT_EQ(statistics_.at("pe").size(), 64u);
    EXPECT_EQ(statistics_.at("host").at("launches"), 1);
    EXPECT_GE(statistics_.at("host").at("longest_command_clocks").get<std::uint64_t>(),
              traced_.launch.device_cycles);
    const auto& memory = statistics_.at("memory");
    std::uint64_t channels = 0;
    for (const auto& channel : memory.at("dram_channel_bytes"))
        channels += channel.get<std::uint64_t>();
    EXPECT_EQ(channels, memory.at("dram_read_bytes").get<std::uint64_t>() +
                            memory.at("dram_write_bytes").get<std::uint64_t>());
}

// With the LLC: its counters integrate to the statistics' packets. Without one there are none.
TEST_F(SystemTrace, CountersOfTheLastLevelCache) {
    EXPECT_FALSE(trace_.tracks.contains("LLC/LLC hits [k/s]"));
    const std::string path = testing::TempDir() + "talus_llc.pftrace";
    const std::string stats = testing::TempDir() + "talus_llc.json";
    setenv("TALUS_SIM_ARGS", ("--trace " + path + " --stats " + stats).c_str(), 1);
    (void)run_busy_kernel(true);
    unsetenv("TALUS_SIM_ARGS");
    const ReadTrace cached = read_trace(path);
    std::ifstream file(stats);
    const nlohmann::json llc = nlohmann::json::parse(file).at("llc");
    std::filesystem::remove(stats);
    std::filesystem::remove(path);
    const auto count = [&](const std::string& name) { return llc.at(name).get<double>(); };
    const auto expect = [&](const std::string& name, double expected) {
        const auto& points = cached.tracks.at("LLC/LLC " + name + " [k/s]").points;
        double sum = 0; // from thousands a second and ns
        for (std::size_t i = 0; i + 1 < points.size(); ++i)
            sum += static_cast<double>(points[i].value) *
                   static_cast<double>(points[i + 1].at - points[i].at) * 1e-6;
        EXPECT_NEAR(sum, expected, 0.05 * expected + 1) << name;
    };
    EXPECT_GT(count("hits"), 0);
    EXPECT_GT(count("misses"), 0);
    expect("hits", count("hits") + count("late_hits"));
    expect("misses", count("misses") + count("passed"));
    expect("write-backs", count("write_backs"));
}

TEST_F(SystemTrace, IsSmall) {
    EXPECT_LT(bytes_, 100000u);
    EXPECT_GT(trace_.packets, 1000u);
}

} // namespace
} // namespace talus::test
