// Broadcast reads: who gets what, what is read, and what happens when the members do not agree.
#include <random>

#include <gmock/gmock.h>

#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

constexpr std::uint32_t kBytes = 512; ///< of a row
constexpr std::uint32_t kRows = 16;
constexpr std::uint32_t kPitch = 640;
constexpr std::uint64_t kSource = TALUS_LLS_BASE + 0x1040;

struct BroadcastGrid : Grid {
    BroadcastGrid(unsigned rows, unsigned cols) : Grid(rows, cols) {}

    void start() {
        build();
        std::mt19937 random(9);
        for (unsigned i = 0; i < 1 << 20; ++i) {
            fabric->lls()[i] = static_cast<std::uint8_t>(random());
        }
    }
    /// One broadcast into `destination` of the PE's local memory.
    static std::vector<Step> read(unsigned over, std::uint32_t destination,
                                  std::uint64_t source = kSource, std::uint32_t rows = kRows,
                                  std::uint32_t pitch = kPitch) {
        return {context(0, 0, TALUS_OPERAND(TALUS_DIRECT, destination, 0)),
                context(0, 1, TALUS_PAIR(pitch, kBytes)), context(0, 2, over),
                enqueue(TALUS_FI_BROADCAST, 0, source, TALUS_PAIR(kBytes, rows)), drain()};
    }
    bool has(unsigned pe, std::uint32_t destination, std::uint64_t source = kSource) {
        for (std::uint32_t row = 0; row < kRows; ++row) {
            if (std::memcmp(pes[pe]->local_memory() + destination + row * kBytes,
                            fabric->lls() + (source - TALUS_LLS_BASE) + row * kPitch,
                            kBytes) != 0) {
                return false;
            }
        }
        return true;
    }
    bool done(unsigned pe) { return core(pe, 0).next == core(pe, 0).script.size(); }
    std::uint64_t cause(unsigned pe) {
        return (reg(pe, PE_CP_FAULT_STATUS) & 1) == 0 ? 0 : reg(pe, PE_CP_FAULT_CAUSE_A);
    }
};

TEST(Broadcast, EveryMemberOfARowGetsTheBytesAndTheyAreReadOnce) {
    for (const bool shared : {true, false}) {
        BroadcastGrid grid(2, 4);
        grid.config.fi.broadcast = shared;
        grid.start();
        for (unsigned pe = 0; pe < 4; ++pe) {
            grid.execute(pe, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0x100 * pe));
        }
        for (unsigned pe = 0; pe < 8; ++pe) {
            EXPECT_EQ(grid.has(pe, 0x100 * pe), pe < 4) << pe;
        }
        const std::uint64_t bytes = std::uint64_t{kBytes} * kRows;
        EXPECT_EQ(grid.fabric->counters().sram_read_bytes, shared ? bytes : 4 * bytes);
    }
}

TEST(Broadcast, ColumnsOfASubGrid) {
    // PEs (0,1), (0,2), (1,1), (1,2) are a sub-grid; its columns are {1, 5} and {2, 6}.
    BroadcastGrid grid(2, 4);
    grid.start();
    for (const unsigned pe : {1u, 2u, 5u, 6u}) {
        grid.pes[pe]->write_register(0, PE_SUBGRID_RECT, 4, 0u | 1u << 8 | 2u << 16 | 2u << 24);
    }
    grid.execute(1, 0, BroadcastGrid::read(TALUS_BROADCAST_COLUMN, 0));
    grid.execute(6, 0, BroadcastGrid::read(TALUS_BROADCAST_COLUMN, 0, kSource + 64));
    EXPECT_FALSE(grid.done(1));
    grid.execute(5, 0, BroadcastGrid::read(TALUS_BROADCAST_COLUMN, 64));
    EXPECT_TRUE(grid.done(1) && grid.done(5));
    EXPECT_FALSE(grid.done(6));
    grid.execute(2, 0, BroadcastGrid::read(TALUS_BROADCAST_COLUMN, 128, kSource + 64));
    EXPECT_TRUE(grid.has(1, 0) && grid.has(5, 64) && grid.has(6, 0, kSource + 64) &&
                grid.has(2, 128, kSource + 64));
}

TEST(Broadcast, NothingMovesBeforeTheLastMemberAsksAndTheReportNamesIt) {
    BroadcastGrid grid(1, 4);
    grid.start();
    for (const unsigned pe : {2u, 0u, 1u}) {
        grid.execute(pe, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0));
    }
    EXPECT_EQ(grid.fabric->counters().sram_read_bytes, 0u);
    EXPECT_TRUE(grid.pes[0]->busy());
    EXPECT_THAT(grid.pes[1]->describe_waits(),
                testing::Contains(testing::AllOf(
                    testing::HasSubstr("TALUS_FI_BROADCAST"),
                    testing::HasSubstr("row 0 of the sub-grid: 0.3 have not asked"))));
    grid.execute(3, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0));
    for (unsigned pe = 0; pe < 4; ++pe) {
        EXPECT_TRUE(grid.done(pe) && grid.has(pe, 0)) << pe;
    }
}

TEST(Broadcast, ADifferentRequestFaults) {
    struct Other {
        std::uint64_t source;
        std::uint32_t rows;
        std::uint32_t pitch;
    };
    for (const Other other :
         {Other{kSource + 512, kRows, kPitch}, Other{kSource, kRows - 1, kPitch},
          Other{kSource, kRows, kPitch + 64}}) {
        BroadcastGrid grid(1, 2);
        grid.start();
        grid.execute(0, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0));
        grid.execute(
            1, 0,
            BroadcastGrid::read(TALUS_BROADCAST_ROW, 0, other.source, other.rows, other.pitch));
        EXPECT_EQ(grid.cause(1), TALUS_TRAP_BROADCAST);
        EXPECT_EQ(grid.reg(1, PE_CP_FAULT_TVAL_A, 8), other.source);
        EXPECT_EQ(grid.cause(0), 0u);
        EXPECT_FALSE(grid.done(0));
    }
    // Nowhere to read from, and no line to read for.
    BroadcastGrid grid(1, 2);
    grid.start();
    grid.execute(0, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0, TALUS_SYSTEM_BASE));
    EXPECT_EQ(grid.cause(0), TALUS_TRAP_FABRIC);
    grid.pes[1]->write_register(0, PE_SUBGRID_RECT, 4, 0);
    grid.execute(1, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0));
    EXPECT_EQ(grid.cause(1), TALUS_TRAP_SUBGRID);
}

TEST(Broadcast, AMemberThatIsResetLeavesAndMayComeAgain) {
    BroadcastGrid grid(1, 3);
    grid.start();
    grid.execute(0, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0));
    grid.execute(1, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0));
    for (const unsigned pe : {0u, 1u}) { // as at the end of a job that was killed
        grid.pes[pe]->write_register(grid.events.now(), PE_CP_RESET, 4, 1);
    }
    grid.run();
    // The next job reads something else.
    for (unsigned pe = 0; pe < 3; ++pe) {
        grid.execute(pe, 0, BroadcastGrid::read(TALUS_BROADCAST_ROW, 0, kSource + 1024));
    }
    for (unsigned pe = 0; pe < 3; ++pe) {
        EXPECT_TRUE(grid.has(pe, 0, kSource + 1024)) << pe;
        EXPECT_EQ(grid.cause(pe), 0u);
    }
}

TEST(Broadcast, OneReadServesEightWhereEightReadsShareTheMemory) {
    const auto clocks = [](bool shared) {
        BroadcastGrid grid(1, 8);
        grid.config.fi.broadcast = shared;
        grid.config.sram.slices = 1; // one slice passes what one PE takes
        grid.start();
        for (unsigned pe = 0; pe < 8; ++pe) {
            ScriptedCore& core = grid.core(pe, 0);
            core.script = BroadcastGrid::read(TALUS_BROADCAST_ROW, 0, TALUS_LLS_BASE, 256, kBytes);
            core.start(0);
        }
        return static_cast<double>(grid.run());
    };
    const double rate = 64;
    const double bytes = 256.0 * kBytes;
    const double packets = bytes / 256; // a port passes a header of 16 bytes with each, a slice not
    EXPECT_NEAR(clocks(true), (bytes + 16 * packets) / rate, 150);
    EXPECT_NEAR(clocks(false), 8 * bytes / rate, 300);
}

} // namespace
} // namespace talus::sim::test
