#include "core/config.hpp"

#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

namespace talus::sim {
namespace {

std::string default_text() {
    std::ifstream file(Config::default_path());
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string replace(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text) {
    try {
        Config::parse(text, "test.toml");
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "accepted";
}

TEST(Config, TheDefaultIsTheChipOfTheData) {
    const Config config = Config::load_default();
    // MTIA 2i's published figures (ISCA 2025, Table 2), recomputed from the per-unit numbers.
    const double clock = config.device.clock_khz * 1e3;
    EXPECT_EQ(config.pe_count(), 64u);
    EXPECT_NEAR(2.0 * config.dpe.fp16_macs_per_clock * 64 * clock, 177e12, 0.5e12);
    EXPECT_NEAR(2.0 * config.dpe.int8_macs_per_clock * 64 * clock, 354e12, 1e12);
    EXPECT_NEAR(1.0 * config.se.operations_per_clock * 64 * clock, 5.5e12, 0.05e12);
    EXPECT_NEAR(1.0 * config.sram.slices * config.sram.slice_bytes_per_clock * clock, 2.7e12,
                0.1e12);
    EXPECT_NEAR(config.dram.channels * config.dram.channel_bits / 8 * config.dram.megatransfers *
                    1e6,
                204.8e9, 1);
    EXPECT_NEAR(config.local.bytes_per_clock * clock, 1e12, 0.05e12);
    EXPECT_EQ(config.pcie.gigabytes_per_second, 32.0);
    EXPECT_EQ(config.clocks_of_ns(1000), 1350u);
}

TEST(Config, UnknownKeysAreErrorsThatNameThem) {
    const std::string text = default_text();
    EXPECT_EQ(error_of(text), "accepted");
    EXPECT_NE(error_of(replace(text, "[grid]", "[grid]\ncolour = 3")).find("'grid.colour'"),
              std::string::npos);
    EXPECT_NE(error_of(text + "\n[gird]\nrows = 8\n").find("unknown key 'gird'"),
              std::string::npos);
}

TEST(Config, MissingIllTypedAndOutOfRangeValuesAreErrors) {
    const std::string text = default_text();
    EXPECT_NE(error_of(replace(text, "clock_khz = 1350000", "")).find("'device.clock_khz'"),
              std::string::npos);
    EXPECT_NE(error_of(replace(text, "clock_khz = 1350000", "clock_khz = \"fast\""))
                  .find("must be an integer"),
              std::string::npos);
    EXPECT_NE(error_of(replace(text, "rows = 8 ", "rows = 17")).find("outside 1..16"),
              std::string::npos);
    EXPECT_NE(error_of(replace(text, "scratch_bytes = 234881024", "scratch_bytes = 234881023"))
                  .find("32 MiB"),
              std::string::npos);
    EXPECT_NE(error_of("[device\n").find("test.toml:1"), std::string::npos);
}

TEST(Config, AMissingFileIsNamed) {
    try {
        Config::load("/nonexistent/t9.toml");
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_NE(std::string(error.what()).find("/nonexistent/t9.toml"), std::string::npos);
    }
}

std::string assignment_error(const std::string& assignment) {
    try {
        Config::load_default({assignment});
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "accepted";
}

TEST(Config, AssignmentsReplaceValuesInOrder) {
    const Config config = Config::load_default({"dram.channels=8", "pcie.gigabytes_per_second=16.0",
                                                "dram.bytes = 17179869184", "dram.channels = 4"});
    EXPECT_EQ(config.dram.channels, 4u);
    EXPECT_EQ(config.pcie.gigabytes_per_second, 16.0);
    EXPECT_EQ(config.grid.rows, Config::load_default().grid.rows);
}

TEST(Config, BadAssignmentsAreErrorsThatNameThem) {
    for (const char* shape : {"", "dram", "dram.channels", "dram.channels=", "dram=3", "= 3",
                              "dram = {channels = 4, ranks = 1}"}) {
        const std::string error = assignment_error(shape);
        EXPECT_NE(error.find("SECTION.KEY=VALUE"), std::string::npos) << error;
        EXPECT_NE(error.find(std::string("--set ") + shape), std::string::npos) << error;
    }
    EXPECT_NE(assignment_error("dram.colour=3").find("no such key 'dram.colour'"),
              std::string::npos);
    EXPECT_NE(assignment_error("drum.channels=3").find("--set drum.channels=3"), std::string::npos);
    EXPECT_EQ(assignment_error("dram.channels=0"), "--set: dram.channels = 0 is outside 1..1024");
    EXPECT_NE(assignment_error("dram.channels=\"many\"").find("must be an integer"),
              std::string::npos);
}

} // namespace
} // namespace talus::sim
