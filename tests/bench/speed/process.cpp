// What a simulated card costs the host besides executing: its start, and its memory.
#include "speed.hpp"

#include <filesystem>

#include <fmt/format.h>
#include <unistd.h>

#include "tests/bench/paper/card.hpp"

namespace talus::bench {

std::vector<Row> measure_process(const Options& options) {
    constexpr double kMiB = 1024.0 * 1024.0;
    constexpr std::uint64_t kTouched = std::uint64_t{256} << 20;
    std::vector<double> start, restored, booted, grown;
    const std::string checkpoint = fmt::format("/tmp/talus-speed-{}.checkpoint", getpid());
    { const paper::Card saved({}, {"--checkpoint", checkpoint}); } // written when it is closed
    for (unsigned i = 0; i < options.repetitions; ++i) {
        {
            const paper::Card again({}, {"--restore", checkpoint});
            restored.push_back(again.simulator_seconds());
        }
        paper::Card card({});
        start.push_back(card.simulator_seconds());
        const double before = static_cast<double>(card.simulator_resident_bytes());
        booted.push_back(before / kMiB);
        const std::uint64_t at = card.allocate(TALUS_DRV_DRAM, kTouched);
        const std::vector<std::uint8_t> bytes(kTouched, 0x5a);
        card.write(at, bytes.data(), bytes.size());
        grown.push_back((static_cast<double>(card.simulator_resident_bytes()) - before) /
                        static_cast<double>(kTouched));
    }
    std::filesystem::remove(checkpoint);
    const auto row = [](const char* what, double ours, const char* unit, double limit) {
        Row made;
        made.what = what;
        made.ours = ours;
        made.unit = unit;
        made.target = limit;
        made.less_is_better = true;
        return made;
    };
    return {row("start until the first job may come", median(start), "CPU s", 0.2),
            row("the same from a checkpoint", median(restored), "CPU s", 0.2),
            row("resident when started, 64 GB of DRAM", median(booted), "MiB", 300),
            row("resident bytes a byte written to DRAM", median(grown), "bytes", 1.1)};
}

} // namespace talus::bench
