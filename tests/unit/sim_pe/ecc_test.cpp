// Damaged words under the units' commands: in local memory, in what they fetch, in index lists.
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

class PeEccTest : public PeTest {
  protected:
    void damage(std::uint64_t offset, std::uint64_t bits) {
        ASSERT_TRUE(grid.fabric->flip({TALUS_ECC_LOCAL, 0, offset, false}, bits, 0));
    }
    void damage_lls(std::uint64_t offset, std::uint64_t bits) {
        ASSERT_TRUE(grid.fabric->flip({TALUS_ECC_SHARED_SRAM, 0, offset, false}, bits, 0));
    }
    /// Rows of `bytes` from `from` to `to`, both with the pitch.
    void copy(std::uint32_t from, std::uint32_t to, std::uint32_t bytes, std::uint32_t rows,
              std::uint32_t pitch) {
        run_a({context(0, 0, direct(to)), context(0, 1, direct(from)),
               context(0, 2, TALUS_PAIR(pitch, pitch)),
               enqueue(TALUS_MLU_COPY, 0, TALUS_PAIR(bytes, rows), 0)});
    }
    void dma_in(std::uint64_t from, std::uint32_t to, std::uint32_t bytes) {
        run_a({context(0, 0, direct(to)), context(0, 1, 0),
               enqueue(TALUS_FI_DMA_IN, 0, from, TALUS_PAIR(bytes, 1))});
    }
    std::uint64_t corrected() { return grid.fabric->ecc().counters().corrected[TALUS_ECC_LOCAL]; }
    static constexpr std::uint64_t kTwo = 3;
};

TEST_F(PeEccTest, AUnitReadsWhatWasCorrected) {
    grid.set_local<std::uint64_t>(0, 0x108, 0x1234567890);
    damage(0x108, 1 << 5);
    copy(0x100, 0x200, 16, 1, 16);
    EXPECT_EQ(fault_cause(), 0u);
    EXPECT_EQ(grid.local<std::uint64_t>(0, 0x208), 0x1234567890u);
    EXPECT_EQ(corrected(), 1u);
}

TEST_F(PeEccTest, AUnitThatCannotReadFaultsAndWritesNothing) {
    grid.set_local<std::uint64_t>(0, 0x200, 7);
    damage(0x108, kTwo);
    copy(0x100, 0x200, 16, 1, 16);
    EXPECT_EQ(fault_cause(), std::uint64_t{TALUS_CAUSE_HARDWARE_ERROR});
    EXPECT_EQ(fault_tval(), TALUS_PE_WINDOW_BASE + 0x108);
    EXPECT_EQ(grid.local<std::uint64_t>(0, 0x200), 7u);
    // What was behind it does not run, and nothing waits for it.
    EXPECT_FALSE(grid.pes[0]->busy());
    grid.pes[0]->write_register(grid.events.now(), PE_CP_RESET, 4, 1);
    grid.pes[0]->write_register(grid.events.now(), PE_CP_FAULT_STATUS, 4, 1);
    copy(0x300, 0x100, 16, 1, 16); // overwrites it
    copy(0x100, 0x200, 16, 1, 16);
    EXPECT_EQ(fault_cause(), 0u);
}

TEST_F(PeEccTest, WhatLiesBetweenRowsIsNotRead) {
    damage(0x110, kTwo);
    damage(0x210, kTwo);
    copy(0x100, 0x200, 16, 4, 32);
    EXPECT_EQ(fault_cause(), 0u);
    EXPECT_TRUE(grid.fabric->ecc().damaged(grid.pes[0]->local_memory() + 0x110, 8));
    EXPECT_TRUE(grid.fabric->ecc().damaged(grid.pes[0]->local_memory() + 0x210, 8)); // nor written
    copy(0x100, 0x400, 20, 4, 32);
    EXPECT_EQ(fault_cause(), std::uint64_t{TALUS_CAUSE_HARDWARE_ERROR});
}

TEST_F(PeEccTest, AWordWrittenInPartIsReadFirst) {
    damage(0x208, kTwo);
    copy(0x100, 0x204, 12, 1, 12); // its end, and the whole of that word
    EXPECT_EQ(fault_cause(), 0u);
    damage(0x208, kTwo);
    copy(0x100, 0x200, 12, 1, 12);
    EXPECT_EQ(fault_cause(), std::uint64_t{TALUS_CAUSE_HARDWARE_ERROR});
    EXPECT_EQ(fault_tval(), TALUS_PE_WINDOW_BASE + 0x208);
}

TEST_F(PeEccTest, RowsThatMeetInAWordWriteAllOfIt) {
    damage(0x208, kTwo);
    copy(0x100, 0x200, 4, 8, 4);
    EXPECT_EQ(fault_cause(), 0u);
    EXPECT_FALSE(grid.fabric->ecc().any());
}

TEST_F(PeEccTest, TheFabricInterfaceChecksBothEnds) {
    damage_lls(0x2000, 1);
    damage(0x1000, kTwo);
    dma_in(TALUS_LLS_BASE + 0x2000, 0x1000, 64);
    EXPECT_EQ(fault_cause(), 0u);
    EXPECT_FALSE(grid.fabric->ecc().any());
    damage_lls(0x2010, kTwo);
    dma_in(TALUS_LLS_BASE + 0x2000, 0x1000, 64);
    EXPECT_EQ(fault_cause(), std::uint64_t{TALUS_CAUSE_HARDWARE_ERROR});
    EXPECT_EQ(fault_tval(), TALUS_LLS_BASE + 0x2010);
}

TEST_F(PeEccTest, AnIndexListIsCheckedBeforeItIsUsed) {
    damage(0x40000, kTwo);
    run_a({context(0, 0, direct(0)), context(0, 1, TALUS_PAIR(64, 64)),
           context(0, 2, direct(0x40000)), context(0, 3, 16), context(0, 4, TALUS_CP_INT32),
           enqueue(TALUS_FI_DMA_INDEXED, 0, TALUS_LLS_BASE + 0x2000, TALUS_PAIR(64, 2))});
    EXPECT_EQ(fault_cause(), std::uint64_t{TALUS_CAUSE_HARDWARE_ERROR});
    EXPECT_EQ(fault_tval(), TALUS_PE_WINDOW_BASE + 0x40000);
}

} // namespace
} // namespace talus::sim::test
