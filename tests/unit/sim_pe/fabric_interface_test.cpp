// DMA: shapes, alignment, faults, indexed reads, other PEs' memory.
#include <random>

#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

class FabricInterfaceTest : public PeTest {
  protected:
    void SetUp() override {
        PeTest::SetUp();
        std::mt19937 random(5);
        for (unsigned i = 0; i < 1 << 20; ++i) {
            grid.fabric->lls()[i] = static_cast<std::uint8_t>(random());
            grid.fabric->dram()[i] = static_cast<std::uint8_t>(random());
        }
    }
    static std::uint64_t direct(std::uint32_t offset) {
        return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
    }
    std::vector<Step> indexed(std::uint64_t table, std::uint32_t bytes, std::uint32_t count,
                              std::uint32_t pitch, std::uint64_t rows, unsigned type) {
        return {context(0, 0, direct(0)),
                context(0, 1, TALUS_PAIR(pitch, bytes)),
                context(0, 2, direct(0x40000)),
                context(0, 3, rows),
                context(0, 4, type),
                enqueue(TALUS_FI_DMA_INDEXED, 0, table, TALUS_PAIR(bytes, count)),
                drain()};
    }
};

TEST_F(FabricInterfaceTest, TwoDimensionalCopiesOfAnyAlignment) {
    std::mt19937 random(6);
    for (int i = 0; i < 40; ++i) {
        const std::uint32_t bytes = 1 + random() % 700;
        const std::uint32_t rows = 1 + random() % 20;
        const std::uint32_t far_pitch = bytes + random() % 300;
        const std::uint32_t near_pitch = bytes + random() % 50;
        const std::uint32_t near = random() % 1000;
        const bool lls = random() % 2 != 0;
        const std::uint64_t offset = random() % 5000;
        const std::uint64_t base = lls ? TALUS_LLS_BASE : TALUS_DRAM_BASE;
        std::uint8_t* memory = lls ? grid.fabric->lls() : grid.fabric->dram();

        run_a({context(0, 0, direct(near)), context(0, 1, TALUS_PAIR(far_pitch, near_pitch)),
               enqueue(TALUS_FI_DMA_IN, 0, base + offset, TALUS_PAIR(bytes, rows)), drain()});
        for (std::uint32_t row = 0; row < rows; ++row) {
            ASSERT_EQ(std::memcmp(grid.pes[0]->local_memory() + near + row * near_pitch,
                                  memory + offset + row * far_pitch, bytes),
                      0);
        }
        const std::uint64_t back = 600000 + offset;
        run_a({context(1, 0, direct(near)), context(1, 1, TALUS_PAIR(near_pitch, far_pitch)),
               enqueue(TALUS_FI_DMA_OUT, 1, base + back, TALUS_PAIR(bytes, rows)), drain()});
        for (std::uint32_t row = 0; row < rows; ++row) {
            ASSERT_EQ(std::memcmp(memory + back + row * far_pitch,
                                  memory + offset + row * far_pitch, bytes),
                      0);
        }
    }
    EXPECT_EQ(fault_cause(), 0u);
}

TEST_F(FabricInterfaceTest, IndexedRowsOfBothIndexTypes) {
    constexpr std::uint32_t kPitch = 80;
    constexpr std::uint32_t kBytes = 66;
    const std::vector<std::uint32_t> indices = {5, 0, 999, 5, 17};
    for (const unsigned type : {TALUS_CP_INT32, TALUS_CP_INT64}) {
        for (std::size_t i = 0; i < indices.size(); ++i) {
            if (type == TALUS_CP_INT32) {
                grid.set_local<std::uint32_t>(0, 0x40000 + 4 * i, indices[i]);
            } else {
                grid.set_local<std::uint64_t>(0, 0x40000 + 8 * i, indices[i]);
            }
        }
        std::memset(grid.pes[0]->local_memory(), 0, 1000);
        run_a(indexed(TALUS_DRAM_BASE + 64, kBytes, 5, kPitch, 1000, type));
        ASSERT_EQ(fault_cause(), 0u);
        for (std::size_t i = 0; i < indices.size(); ++i) {
            ASSERT_EQ(std::memcmp(grid.pes[0]->local_memory() + i * kBytes,
                                  grid.fabric->dram() + 64 + indices[i] * kPitch, kBytes),
                      0);
        }
    }
}

TEST_F(FabricInterfaceTest, AnIndexOutOfRangeFaultsBeforeAnyRowIsRead) {
    for (const std::int32_t bad : {1000, -1, INT32_MIN, INT32_MAX}) {
        Grid fresh;
        fresh.build();
        fresh.fabric->dram()[0] = 0x5a;
        for (int i = 0; i < 4; ++i) {
            fresh.set_local<std::int32_t>(0, 0x40000 + 4 * i, i == 2 ? bad : 0);
        }
        fresh.execute(0, 0, indexed(TALUS_DRAM_BASE, 64, 4, 64, 1000, TALUS_CP_INT32));
        EXPECT_EQ(fresh.reg(0, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_INDEX);
        EXPECT_EQ(fresh.reg(0, PE_CP_FAULT_TVAL_A, 8), 2u);
        EXPECT_EQ(fresh.local<std::uint8_t>(0, 0), 0u);
        EXPECT_EQ(fresh.fabric->counters().dram_read_bytes, 0u);
    }
    // 2^32 must not be taken for 0.
    Grid fresh;
    fresh.build();
    fresh.set_local<std::uint64_t>(0, 0x40000, std::uint64_t{1} << 32);
    fresh.execute(0, 0, indexed(TALUS_DRAM_BASE, 64, 1, 64, 1000, TALUS_CP_INT64));
    EXPECT_EQ(fresh.reg(0, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_INDEX);
}

TEST_F(FabricInterfaceTest, NoIndicesIsACommandThatCompletes) {
    run_a(indexed(TALUS_DRAM_BASE, 64, 0, 64, 0, TALUS_CP_INT32));
    EXPECT_EQ(fault_cause(), 0u);
    EXPECT_EQ(last().status, OpStatus::kDone);
}

TEST_F(FabricInterfaceTest, AddressesThatAreNotMemoryFault) {
    const std::uint64_t lls_end = TALUS_LLS_BASE + grid.config.sram.scratch_bytes;
    const std::vector<std::uint64_t> nowhere = {0,
                                                lls_end - 32,
                                                TALUS_LOCAL_BASE,
                                                TALUS_PE_REGS_BASE,
                                                TALUS_SYSTEM_BASE,
                                                TALUS_PE_WINDOW_BASE,
                                                TALUS_ROM_BASE,
                                                TALUS_DRAM_BASE + grid.config.dram.bytes,
                                                TALUS_SUBGRID_BASE + TALUS_PE_WINDOW_REGS,
                                                TALUS_SUBGRID_BASE + TALUS_LOCAL_SIZE,
                                                ~std::uint64_t{0}};
    for (const std::uint64_t addr : nowhere) {
        Grid fresh;
        fresh.build();
        fresh.execute(0, 0,
                      {context(0, 0, direct(0)), context(0, 1, 0),
                       enqueue(TALUS_FI_DMA_IN, 0, addr, TALUS_PAIR(64, 1))});
        EXPECT_EQ(fresh.reg(0, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_FABRIC) << std::hex << addr;
        EXPECT_EQ(fresh.reg(0, PE_CP_FAULT_TVAL_A, 8), addr);
    }
}

TEST_F(FabricInterfaceTest, RowsReachTheMemoryOfOtherPesOfTheSubGrid) {
    Grid pair(1, 2);
    pair.build();
    for (std::uint32_t i = 0; i < 256; ++i) {
        pair.set_local<std::uint8_t>(0, i, static_cast<std::uint8_t>(i));
    }
    const std::uint64_t neighbour = TALUS_SUBGRID_BASE + TALUS_PE_WINDOW_STRIDE + 0x200;
    pair.execute(0, 0,
                 {context(0, 0, direct(0)), context(0, 1, 0),
                  enqueue(TALUS_FI_DMA_OUT, 0, neighbour, TALUS_PAIR(256, 1)), drain()});
    EXPECT_EQ(std::memcmp(pair.pes[1]->local_memory() + 0x200, pair.pes[0]->local_memory(), 256),
              0);
    pair.execute(0, 0,
                 {enqueue(TALUS_FI_DMA_OUT, 0, TALUS_SUBGRID_BASE + 2 * TALUS_PE_WINDOW_STRIDE,
                          TALUS_PAIR(256, 1))});
    EXPECT_EQ(pair.reg(0, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_SUBGRID);
}

} // namespace
} // namespace talus::sim::test
