#include "core/diagnostics.hpp"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

namespace talus::sim {
namespace {

TEST(Diagnostics, LinesNameOwnerAndClock) {
    const std::string path = testing::TempDir() + "talus_diag_" + std::to_string(getpid());
    {
        Diagnostics diagnostics;
        diagnostics.open(path);
        diagnostics.set_clock(1234);
        diagnostics.guest("PE {}: {}", 3, "illegal instruction");
        diagnostics.set_quiet(true);
        diagnostics.info("not shown");
        diagnostics.host("bad tail");
        EXPECT_EQ(diagnostics.count(Owner::kGuest), 1u);
        EXPECT_EQ(diagnostics.count(Owner::kHost), 1u);
    }
    std::ifstream file(path);
    std::string line;
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_EQ(line, "[guest                 1234] PE 3: illegal instruction");
    ASSERT_TRUE(std::getline(file, line));
    EXPECT_EQ(line, "[host                  1234] bad tail");
    EXPECT_FALSE(std::getline(file, line));
    std::filesystem::remove(path);
}

TEST(Diagnostics, SymbolsComeFromElfFiles) {
    SymbolTable symbols;
    symbols.add_elf(TALUS_TEST_ROM, 0);
    std::uint64_t start = 0;
    std::uint64_t loop = 0;
    ASSERT_TRUE(symbols.find("_start", start));
    ASSERT_TRUE(symbols.find("idle", loop));
    EXPECT_EQ(symbols.describe(start), "_start");
    EXPECT_EQ(symbols.describe(start + 4), "_start+0x4");
    EXPECT_EQ(symbols.describe(loop), "idle");
    EXPECT_EQ(symbols.describe(0x40), "");
    SymbolTable shifted;
    shifted.add_elf(TALUS_TEST_ROM, 0x1000);
    EXPECT_EQ(shifted.describe(start + 0x1000), "_start");
    EXPECT_THROW(shifted.add_elf("/dev/null", 0), std::runtime_error);
    EXPECT_THROW(shifted.add_elf("/nonexistent", 0), std::runtime_error);
}

} // namespace
} // namespace talus::sim
