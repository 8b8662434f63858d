// Semaphores within a PE, across the sub-grid, and their order.
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t target(unsigned semaphore, unsigned row, unsigned col) {
    return semaphore | row << 8 | col << 16;
}

TEST(Semaphore, WaitTakesWhatWasPosted) {
    Grid grid;
    grid.build();
    ScriptedCore& b = grid.core(0, 1);
    b.script = {sync(TALUS_SEM_WAIT, 4, 3), sync(TALUS_SEM_READ, 4)};
    b.start(0);
    grid.execute(0, 0, {sync(TALUS_SEM_POST, target(4, 0, 0), 2)});
    EXPECT_TRUE(b.blocked);
    grid.execute(0, 0, {sync(TALUS_SEM_POST, target(4, 0, 0), 2)});
    EXPECT_FALSE(b.blocked);
    EXPECT_EQ(b.log.back().result.value, 1u);
}

TEST(Semaphore, BroadcastReachesTheSubGridAndNoOther) {
    Grid grid(2, 3);
    grid.build();
    // PEs (0,1), (0,2), (1,1), (1,2) are the sub-grid of PE (0,1).
    for (const unsigned pe : {1u, 2u, 4u, 5u}) {
        grid.pes[pe]->write_register(0, PE_SUBGRID_RECT, 4, 0u | 1u << 8 | 2u << 16 | 2u << 24);
    }
    grid.execute(1, 0, {sync(TALUS_SEM_POST, target(0, 0xff, 0xff), 1)});
    for (unsigned pe = 0; pe < 6; ++pe) {
        grid.execute(pe, 1, {sync(TALUS_SEM_READ, 0)});
        EXPECT_EQ(grid.core(pe, 1).log.back().result.value, pe % 3 == 0 ? 0u : 1u) << pe;
    }
    // Relative coordinates: (1, 0) of the sub-grid is PE 4.
    grid.execute(1, 0, {sync(TALUS_SEM_POST, target(0, 1, 0), 5)});
    grid.execute(4, 1, {sync(TALUS_SEM_READ, 0)});
    EXPECT_EQ(grid.core(4, 1).log.back().result.value, 6u);
    grid.execute(1, 0, {sync(TALUS_SEM_POST, target(0, 0, 2), 1)});
    EXPECT_EQ(grid.core(1, 0).log.back().result.cause, TALUS_TRAP_SUBGRID);
}

TEST(Semaphore, APostTakesLongerTheFartherItGoes) {
    Grid grid(8, 8);
    grid.build();
    const auto arrival = [&](unsigned pe) {
        ScriptedCore& waiter = grid.core(pe, 0);
        waiter.script.push_back(sync(TALUS_SEM_WAIT, 1, 1));
        waiter.start(grid.events.now());
        grid.run();
        const Cycle begin = grid.events.now();
        grid.execute(0, 1, {sync(TALUS_SEM_POST, target(1, pe / 8, pe % 8), 1)});
        return waiter.log.back().retired - begin;
    };
    const Cycle near = arrival(1);
    const Cycle far = arrival(63);
    EXPECT_EQ(far - near, 13 * grid.config.noc.hop_clocks); // 14 hops against 1
}

TEST(Semaphore, PostsOfACoreTakeEffectInItsOrder) {
    Grid grid(8, 8);
    grid.build();
    // First to the far corner, then to the neighbour: the neighbour must not see it earlier.
    ScriptedCore& far = grid.core(63, 0);
    ScriptedCore& near = grid.core(1, 0);
    far.script = {sync(TALUS_SEM_WAIT, 1, 1)};
    near.script = {sync(TALUS_SEM_WAIT, 1, 1)};
    far.start(0);
    near.start(0);
    grid.execute(
        0, 0, {sync(TALUS_SEM_POST, target(1, 7, 7), 1), sync(TALUS_SEM_POST, target(1, 0, 1), 1)});
    EXPECT_GE(near.log.back().retired, far.log.back().retired);
}

TEST(Semaphore, WithoutASubGridThereIsNobodyToPostTo) {
    Grid grid;
    grid.build();
    grid.pes[0]->write_register(0, PE_SUBGRID_RECT, 4, 0);
    grid.execute(0, 0, {sync(TALUS_SEM_POST, target(1, 0, 0), 1)});
    EXPECT_EQ(grid.core(0, 0).log.back().result.cause, TALUS_TRAP_SUBGRID);
}

} // namespace
} // namespace talus::sim::test
