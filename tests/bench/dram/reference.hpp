// Reference points of one LPDDR5 channel, measured with Ramulator 2.1 (MIT licence), and the
// traffic that they were measured with. The unit test asserts them, talus-dram prints them.
#ifndef TALUS_TESTS_BENCH_DRAM_REFERENCE_HPP
#define TALUS_TESTS_BENCH_DRAM_REFERENCE_HPP

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "core/config.hpp"
#include "mem/dram.hpp"

namespace talus::sim::reference {

/// Bursts in the order in which they are sent. The channel takes two a clock as long as there is
/// room, as the reference's traffic generator did.
enum class Traffic : std::uint8_t { kSequential, kSequentialThirdWrites, kRandom64, kRandom256 };

enum RefreshMode : std::uint32_t { kNone, kAllBank, kPerBank };

struct Point {
    const char* name;
    Traffic traffic;
    RefreshMode refresh;
    std::uint32_t column_low_bits; ///< 6: the reference's address map, 1: its map B
    double gigabytes;              ///< per second
    double median;                 ///< clocks from acceptance to the data; 0: not given
};

inline constexpr std::array kPoints{
    Point{"sequential read", Traffic::kSequential, kAllBank, 6, 10.14, 92},
    Point{"sequential, 1/3 writes", Traffic::kSequentialThirdWrites, kAllBank, 6, 8.97, 137},
    Point{"random 64 B read", Traffic::kRandom64, kAllBank, 6, 8.78, 98},
    Point{"random 256 B read", Traffic::kRandom256, kAllBank, 6, 10.50, 87},
    Point{"sequential read, no refresh", Traffic::kSequential, kNone, 6, 10.24, 0},
    Point{"random 64 B read, no refresh", Traffic::kRandom64, kNone, 6, 9.64, 0},
    Point{"random 256 B read, no refresh", Traffic::kRandom256, kNone, 6, 11.48, 0},
    Point{"sequential read, map B", Traffic::kSequential, kPerBank, 1, 12.25, 0},
    Point{"random 64 B read, map B", Traffic::kRandom64, kPerBank, 1, 8.99, 0},
    Point{"random 256 B read, map B", Traffic::kRandom256, kPerBank, 1, 8.96, 0},
};
/// Clocks of a read that finds another row open in an idle channel.
inline constexpr DramClock kIdleConflict = 50;

/// One rank of one channel, as the points' address map and refresh ask.
inline DramConfig configure(DramConfig dram, RefreshMode refresh, std::uint32_t column_low_bits) {
    dram.ranks = 1;
    dram.refresh = refresh;
    dram.map_column_low_bits = column_low_bits;
    dram.map_bank_xor = false;
    dram.reorder = true;
    dram.ecc = false;
    return dram;
}

struct Result {
    double gigabytes = 0;
    double mean = 0;
    double median = 0;
    double p99 = 0;
    DramCounters counters;
};

/// `merged`: neighbouring bursts of a request in one run, as class Dram sends them.
inline Result run(const DramConfig& dram, Traffic traffic, bool merged = false,
                  std::uint64_t bursts = 60000) {
    const DramAddressMap map(dram);
    DramChannel channel(dram);
    std::uint64_t state = 88172645463325252ull; // xorshift64
    const auto random = [&state] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    };
    const bool is_random = traffic == Traffic::kRandom64 || traffic == Traffic::kRandom256;
    const std::uint32_t request = traffic == Traffic::kRandom64    ? 2
                                  : traffic == Traffic::kRandom256 ? 8
                                  : merged                         ? 8
                                                                   : 1;
    constexpr std::uint64_t kSpan = 2ull << 30;
    std::vector<bool> writes;
    for (std::uint64_t sent = 0; sent < bursts; sent += request) {
        std::uint64_t first = sent;
        if (is_random) {
            first = random() % (kSpan / dram.burst_bytes / request) * request;
        }
        const bool write = traffic == Traffic::kSequentialThirdWrites && random() % 3 == 0;
        for (std::uint32_t done = 0; done < request;) {
            DramRun one = map.run(first + done, merged ? request - done : 1);
            one.write = write;
            one.tag = writes.size();
            writes.push_back(write);
            done += one.bursts;
            channel.push(one);
        }
    }
    std::vector<DramRunDone> done;
    channel.run(DramChannel::kNever, done);

    std::vector<DramClock> latencies;
    DramClock end = 0;
    for (const DramRunDone& one : done) {
        end = std::max(end, one.finished);
        if (one.what == DramRunDone::What::kAccepted) {
            continue;
        }
        // The reference counts a write until its command is issued.
        const DramClock data = writes[one.tag] ? dram.ncwl + dram.nbl : 0;
        latencies.push_back(one.finished - data - one.accepted);
    }
    Result result;
    if (latencies.empty()) {
        return result;
    }
    std::sort(latencies.begin(), latencies.end());
    for (const DramClock latency : latencies) {
        result.mean += static_cast<double>(latency) / static_cast<double>(latencies.size());
    }
    result.median = static_cast<double>(latencies[latencies.size() / 2]);
    result.p99 = static_cast<double>(latencies[latencies.size() * 99 / 100]);
    result.gigabytes = static_cast<double>(bursts * dram.burst_bytes) /
                       (static_cast<double>(end) * dram.clock_ps / 1000.0);
    result.counters = channel.counters();
    return result;
}

} // namespace talus::sim::reference

#endif
