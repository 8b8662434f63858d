// talus-dram: one LPDDR5 channel of the simulator beside the reference points.
#include <cstdio>

#include "core/config.hpp"

#include "reference.hpp"

int main() {
    using namespace talus::sim;
    try {
        const Config config = Config::load_default();
        std::printf("%-32s %9s %9s %7s   %s\n", "traffic, one x16 channel", "GB/s", "reference",
                    "ratio", "clocks: mean / median (reference) / p99");
        for (const reference::Point& point : reference::kPoints) {
            const reference::Result ours = reference::run(
                reference::configure(config.dram, point.refresh, point.column_low_bits),
                point.traffic);
            std::printf("%-32s %9.2f %9.2f %7.3f   %.0f / %.0f (%.0f) / %.0f\n", point.name,
                        ours.gigabytes, point.gigabytes, ours.gigabytes / point.gigabytes,
                        ours.mean, ours.median, point.median, ours.p99);
        }
        // The configuration that the device uses, and each mechanism off.
        struct Variant {
            const char* name;
            DramConfig dram;
        };
        const auto changed = [&](auto change) {
            DramConfig dram = config.dram;
            change(dram);
            return dram;
        };
        const Variant variants[] = {
            {"as configured", config.dram},
            {"reorder = false", changed([](DramConfig& d) { d.reorder = false; })},
            {"refresh = 0", changed([](DramConfig& d) { d.refresh = 0; })},
            {"refresh = 1", changed([](DramConfig& d) { d.refresh = 1; })},
            {"map_column_low_bits = 6", changed([](DramConfig& d) { d.map_column_low_bits = 6; })},
            {"map_column_low_bits = 1", changed([](DramConfig& d) { d.map_column_low_bits = 1; })},
            {"map_rank_high = false", changed([](DramConfig& d) { d.map_rank_high = false; })},
            {"map_bank_xor = false", changed([](DramConfig& d) { d.map_bank_xor = false; })},
        };
        std::printf("\n%-32s %12s %12s %12s   GB/s of a channel\n", "t2", "sequential",
                    "random 64 B", "random 256 B");
        for (const Variant& variant : variants) {
            std::printf("%-32s", variant.name);
            for (const auto traffic :
                 {reference::Traffic::kSequential, reference::Traffic::kRandom64,
                  reference::Traffic::kRandom256}) {
                std::printf(" %12.2f", reference::run(variant.dram, traffic).gigabytes);
            }
            std::printf("\n");
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "talus-dram: %s\n", error.what());
        return 1;
    }
    return 0;
}
