// Work-queue engine: descriptor and arguments into slots, sub-grid, interrupt, order, bad
// descriptors.
#include "pe_fixture.hpp"
#include "talus/hw/queue.h"
#include "talus/hw/work.h"

namespace talus::sim::test {
namespace {

class WorkQueueTest : public testing::Test {
  protected:
    WorkQueueTest() : grid(2, 2) { grid.build(); }

    std::uint64_t descriptor(unsigned number, std::uint32_t args_bytes, talus_work work = {}) {
        const std::uint64_t offset = TALUS_JOBS_OFFSET + 256 * number;
        work.entry = 0x40200000 + number;
        work.args = TALUS_LLS_BASE + 0x200000 + 8192 * number;
        work.args_bytes = args_bytes;
        work.job = number;
        if (work.rows == 0) {
            work.rows = work.cols = 2;
        }
        std::memcpy(grid.fabric->control_sram() + offset, &work, sizeof work);
        for (std::uint32_t i = 0; i < args_bytes; ++i) {
            grid.fabric->lls()[0x200000 + 8192 * number + i] =
                static_cast<std::uint8_t>(i * 3 + number);
        }
        return TALUS_CONTROL_SRAM_BASE + offset;
    }
    bool work_interrupt(unsigned pe) {
        return (grid.core(pe, 0).lines >> TALUS_LIRQ_WORK & 1) != 0;
    }
    std::uint64_t slot(unsigned number) {
        return TALUS_LOCAL_WQ_OFFSET + number % TALUS_WQ_SLOTS * TALUS_WQ_SLOT_BYTES;
    }
    void set_head(unsigned pe, std::uint32_t head) {
        grid.pes[pe]->write_register(grid.events.now(), PE_WQ_HEAD, 4, head);
    }

    Grid grid;
};

TEST_F(WorkQueueTest, FillsTheSlotAndInterruptsCoreA) {
    grid.pes[3]->launch(100, descriptor(7, 1000));
    grid.run();
    EXPECT_EQ(grid.reg(3, PE_WQ_TAIL), 1u);
    EXPECT_TRUE(work_interrupt(3));
    EXPECT_FALSE(work_interrupt(0));
    EXPECT_EQ(grid.local<talus_work>(3, slot(0)).job, 7u);
    EXPECT_EQ(std::memcmp(grid.pes[3]->local_memory() + slot(0) + TALUS_WQ_ARGS_OFFSET,
                          grid.fabric->lls() + 0x200000 + 8192 * 7, 1000),
              0);
    EXPECT_EQ(grid.reg(3, PE_SUBGRID_RECT), 2u << 16 | 2u << 24);
    EXPECT_EQ(grid.reg(3, PE_POSITION), 1u | 1u << 8);
    EXPECT_LT(grid.events.now(), 100u + 300u);
    set_head(3, 1);
    EXPECT_FALSE(work_interrupt(3));
}

TEST_F(WorkQueueTest, SlotsFillInOrderAndTheFifthWaits) {
    for (unsigned i = 0; i < 6; ++i) {
        grid.pes[0]->launch(10 + i, descriptor(i, i == 2 ? 0 : 64 * i));
    }
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 4u);
    EXPECT_TRUE(grid.pes[0]->busy());
    for (unsigned i = 0; i < 4; ++i) {
        EXPECT_EQ(grid.local<talus_work>(0, slot(i)).job, i);
    }
    set_head(0, 1);
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 5u);
    EXPECT_EQ(grid.local<talus_work>(0, slot(4)).job, 4u);
    set_head(0, 5);
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 6u);
    EXPECT_TRUE(work_interrupt(0));
    set_head(0, 6);
    EXPECT_FALSE(work_interrupt(0));
    EXPECT_FALSE(grid.pes[0]->busy());
}

TEST_F(WorkQueueTest, TheSubGridIsThatOfTheJobAtTheHead) {
    talus_work small{};
    small.rows = 1;
    small.cols = 1;
    grid.pes[0]->launch(10, descriptor(0, 64));
    grid.pes[0]->launch(11, descriptor(1, 64, small));
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 2u);
    EXPECT_EQ(grid.reg(0, PE_SUBGRID_RECT), 2u << 16 | 2u << 24); // the running job's
    set_head(0, 1);
    EXPECT_EQ(grid.reg(0, PE_SUBGRID_RECT), 1u << 16 | 1u << 24);
}

TEST_F(WorkQueueTest, BadDescriptorsAreDroppedAndReported) {
    grid.pes[0]->launch(10, 0x1234);
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_FABRIC);
    EXPECT_EQ(grid.reg(0, PE_CP_FAULT_TVAL_A, 8), 0x1234u);
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 0u);

    grid.pes[1]->launch(grid.events.now(), descriptor(0, TALUS_MAX_ARGS_BYTES + 1));
    talus_work elsewhere{};
    elsewhere.row0 = 1;
    elsewhere.rows = elsewhere.cols = 1;
    grid.pes[2]->launch(grid.events.now(), descriptor(1, 0, elsewhere)); // PE 2 is (1, 0): inside
    grid.pes[3]->launch(grid.events.now(), descriptor(1, 0, elsewhere));
    grid.run();
    EXPECT_EQ(grid.reg(1, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_FABRIC);
    EXPECT_EQ(grid.reg(2, PE_WQ_TAIL), 1u);
    EXPECT_EQ(grid.reg(3, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_SUBGRID);
    // The next good one is served.
    grid.pes[0]->launch(grid.events.now(), descriptor(2, 64));
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 1u);
}

TEST_F(WorkQueueTest, EntersADomainWhenItIsReadyAndTakesNoOthers) {
    talus_work work{};
    work.domain = 3;
    grid.pes[0]->launch(10, descriptor(0, 64, work));
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 0u); // the runtime still reads what no domain reaches
    EXPECT_EQ(grid.fabric->isolation().domain_of(0), 0u);
    ASSERT_TRUE(grid.fabric->isolation().device_windows().set(3, 0, TALUS_LLS_BASE + 0x200000, 8192,
                                                              TALUS_WINDOW_READ));
    grid.pes[0]->write_register(grid.events.now(), PE_WQ_READY, 4, 1);
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 1u);
    EXPECT_EQ(grid.fabric->isolation().domain_of(0), 3u);

    // Arguments outside the window, another domain, and the owner's, which would free it.
    grid.pes[0]->launch(grid.events.now(), descriptor(1, 64, work));
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_CP_FAULT_CAUSE_A), TALUS_TRAP_FABRIC);
    EXPECT_EQ(grid.reg(0, PE_CP_FAULT_TVAL_A, 8), TALUS_LLS_BASE + 0x202000);
    for (const std::uint8_t other : {std::uint8_t{4}, std::uint8_t{0}, std::uint8_t{200}}) {
        work.domain = other;
        grid.pes[0]->launch(grid.events.now(), descriptor(0, 0, work));
        grid.run();
        EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 1u);
    }

    // A reset frees it, and nothing is left in its memory.
    grid.pes[0]->local_memory()[100] = 1;
    grid.pes[0]->hold(grid.events.now());
    EXPECT_EQ(grid.pes[0]->local_memory()[100], 0);
    EXPECT_GT(grid.pes[0]->release(grid.events.now()), grid.events.now());
    EXPECT_EQ(grid.fabric->isolation().domain_of(0), 0u);
}

TEST_F(WorkQueueTest, AKernelDoesNotChooseItsRectangle) {
    talus_work work{};
    work.domain = 1;
    work.rows = work.cols = 1;
    grid.pes[0]->write_register(0, PE_WQ_READY, 4, 1);
    grid.pes[0]->launch(10, descriptor(0, 0, work));
    grid.pes[0]->launch(11, descriptor(1, 0, work));
    grid.run();
    talus_work forged = grid.local<talus_work>(0, slot(1));
    forged.rows = forged.cols = 2;
    std::memcpy(grid.pes[0]->local_memory() + slot(1), &forged, sizeof forged);
    grid.pes[0]->write_register(grid.events.now(), PE_SUBGRID_RECT, 4, 2u << 16 | 2u << 24);
    EXPECT_EQ(grid.reg(0, PE_SUBGRID_RECT), 1u << 16 | 1u << 24);
    set_head(0, 1);
    EXPECT_EQ(grid.reg(0, PE_SUBGRID_RECT), 1u << 16 | 1u << 24);
}

TEST_F(WorkQueueTest, HoldForgetsEverything) {
    grid.pes[0]->launch(10, descriptor(0, 64));
    grid.run();
    grid.pes[0]->launch(grid.events.now() + 5, descriptor(1, 64));
    grid.pes[0]->hold(grid.events.now());
    grid.run();
    EXPECT_EQ(grid.reg(0, PE_WQ_TAIL), 0u);
    EXPECT_EQ(grid.reg(0, PE_SUBGRID_RECT), 0u);
    EXPECT_FALSE(work_interrupt(0));
    EXPECT_FALSE(grid.pes[0]->busy());
}

TEST_F(WorkQueueTest, PeerInterruptIsALevelPerCore) {
    grid.pes[0]->write_register(0, PE_PEER_INTERRUPT, 4, 2);
    EXPECT_EQ(grid.core(0, 1).lines, std::uint64_t{1} << TALUS_LIRQ_PEER);
    EXPECT_EQ(grid.core(0, 0).lines, 0u);
    grid.pes[0]->write_register(0, PE_PEER_INTERRUPT, 4, 1);
    EXPECT_EQ(grid.core(0, 1).lines, 0u);
    EXPECT_EQ(grid.core(0, 0).lines, std::uint64_t{1} << TALUS_LIRQ_PEER);
}

} // namespace
} // namespace talus::sim::test
