// The reduction network between neighbouring PEs: values, order, time, faults, reports.
#include <bit>
#include <random>

#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}
std::uint64_t tile(std::uint32_t m, std::uint32_t n) {
    return TALUS_PAIR(m | n << 16, 0);
}

Step send(std::uint32_t m, std::uint32_t n, unsigned direction, unsigned content = TALUS_RE_SUMS,
          unsigned bank = 0) {
    return enqueue(TALUS_RE_SEND, 0, tile(m, n), bank | content << 8 | direction << 16);
}
Step receive(std::uint32_t m, std::uint32_t n, unsigned direction, unsigned type = TALUS_CP_FP32,
             unsigned content = TALUS_RE_SUMS, unsigned bank = 0) {
    return enqueue(TALUS_RE_RECEIVE, 0, tile(m, n),
                   bank | content << 8 | direction << 16 | type << 24);
}

/// Bank 0 from 32 x 32 words at offset 0; drained as they are to kOut.
constexpr std::uint32_t kOut = 0x10000;
std::vector<Step> load() {
    return {context(1, 1, direct(0)), context(1, 2, TALUS_PAIR(128, 0)),
            enqueue(TALUS_RE_LOAD, 1, tile(32, 32), 2 << 8)};
}
std::vector<Step> store() {
    return {context(2, 0, direct(kOut)), context(2, 2, TALUS_PAIR(0, 128)),
            enqueue(TALUS_RE_STORE, 2, tile(32, 32), TALUS_CP_INT32 << 16), drain()};
}

class NetworkTest : public testing::Test {
  protected:
    void build(unsigned rows, unsigned cols) {
        grid = std::make_unique<Grid>(rows, cols);
        grid->config.re.reduction_network = present;
        grid->build();
    }
    /// Appends to core B's script of a PE.
    void add(unsigned pe, const std::vector<Step>& steps) {
        auto& script = grid->core(pe, 1).script;
        script.insert(script.end(), steps.begin(), steps.end());
    }
    Cycle run() {
        for (unsigned pe = 0; pe < grid->pes.size(); ++pe) {
            grid->core(pe, 1).start(grid->events.now());
        }
        return grid->run();
    }
    std::uint64_t cause(unsigned pe) {
        return (grid->reg(pe, PE_CP_FAULT_STATUS) & 2) == 0 ? 0
                                                            : grid->reg(pe, PE_CP_FAULT_CAUSE_B);
    }
    std::uint64_t tval(unsigned pe) { return grid->reg(pe, PE_CP_FAULT_TVAL_B, 8); }

    bool present = true;
    std::unique_ptr<Grid> grid;
    std::mt19937 random{7};
};

TEST_F(NetworkTest, PartialSumsTravelDownAndRight) {
    for (const unsigned direction : {TALUS_RE_DOWN, TALUS_RE_RIGHT}) {
        for (const unsigned type : {TALUS_CP_FP32, TALUS_CP_INT32}) {
            const bool down = direction == TALUS_RE_DOWN;
            build(down ? 4 : 2, down ? 2 : 4);
            const unsigned step = down ? 2 : 1;
            for (unsigned pe = 0; pe < 8; ++pe) {
                for (unsigned i = 0; i < 1024; ++i) {
                    const auto bits = static_cast<std::uint32_t>(random());
                    grid->set_local<std::uint32_t>(
                        pe, 4 * i,
                        type == TALUS_CP_INT32
                            ? bits
                            : std::bit_cast<std::uint32_t>(static_cast<float>(bits) / 3e7f));
                }
            }
            // Each of two chains of four: the first sends, the others add and send on.
            for (unsigned chain = 0; chain < 2; ++chain) {
                for (unsigned at = 0; at < 4; ++at) {
                    const unsigned pe = (down ? chain : 4 * chain) + at * step;
                    add(pe, load());
                    if (at > 0) {
                        add(pe, {receive(29, 17, direction, type)});
                    }
                    if (at < 3) {
                        add(pe, {send(29, 17, direction)});
                    }
                    add(pe, store());
                }
            }
            run();
            for (unsigned chain = 0; chain < 2; ++chain) {
                std::vector<std::uint32_t> sums(1024);
                for (unsigned at = 0; at < 4; ++at) {
                    const unsigned pe = (down ? chain : 4 * chain) + at * step;
                    ASSERT_EQ(cause(pe), 0u);
                    for (unsigned i = 0; i < 1024; ++i) {
                        const auto own = grid->local<std::uint32_t>(pe, 4 * i);
                        const bool inside = i / 32 < 29 && i % 32 < 17;
                        if (at == 0 || !inside) {
                            sums[i] = own;
                        } else if (type == TALUS_CP_INT32) {
                            sums[i] += own;
                        } else {
                            sums[i] = std::bit_cast<std::uint32_t>(std::bit_cast<float>(own) +
                                                                   std::bit_cast<float>(sums[i]));
                        }
                        ASSERT_EQ(grid->local<std::uint32_t>(pe, kOut + 4 * i), sums[i]);
                    }
                }
            }
        }
    }
}

TEST_F(NetworkTest, ARowsRangeSpansPes) {
    build(1, 3);
    float low[8];
    float high[8];
    for (unsigned row = 0; row < 8; ++row) {
        low[row] = 1e9f;
        high[row] = -1e9f;
        for (unsigned pe = 0; pe < 3; ++pe) {
            for (unsigned i = 0; i < 100; ++i) {
                const float x = static_cast<float>(static_cast<std::int32_t>(random())) / 1e6f;
                grid->set_local<float>(pe, row * 400 + 4 * i, x);
                low[row] = std::min(low[row], x);
                high[row] = std::max(high[row], x);
            }
        }
    }
    for (unsigned pe = 0; pe < 3; ++pe) {
        add(pe, {context(1, 1, direct(0)), context(1, 2, TALUS_PAIR(400, 0)),
                 enqueue(TALUS_RE_RANGE, 1, TALUS_PAIR(100, 8), 3 | TALUS_RE_RANGE_START << 8)});
        if (pe > 0) {
            add(pe, {receive(8, 1, TALUS_RE_RIGHT, 0, TALUS_RE_RANGES, 3)});
        }
        if (pe < 2) {
            add(pe, {send(8, 1, TALUS_RE_RIGHT, TALUS_RE_RANGES, 3)});
        }
    }
    add(2, {context(2, 0, direct(kOut)), enqueue(TALUS_RE_RANGE_STORE, 2, 8, 3), drain()});
    run();
    for (unsigned row = 0; row < 8; ++row) {
        EXPECT_EQ(grid->local<float>(2, kOut + 8 * row), low[row]);
        EXPECT_EQ(grid->local<float>(2, kOut + 8 * row + 4), high[row]);
    }
}

TEST_F(NetworkTest, AMessageTakesItsRowsOverTheLinksWidth) {
    const auto clocks = [&](std::uint32_t m, std::uint32_t width, std::uint32_t way) {
        grid = std::make_unique<Grid>(2, 1);
        grid->config.re.link_elements_per_clock = width;
        grid->config.re.link_clocks = way;
        grid->build();
        add(0, {send(m, 32, TALUS_RE_DOWN), drain()});
        add(1, {receive(m, 32, TALUS_RE_DOWN), drain()});
        run();
        return grid->core(1, 1).log.back().retired;
    };
    EXPECT_EQ(clocks(32, 32, 4) - clocks(16, 32, 4), 16u);
    EXPECT_EQ(clocks(32, 8, 4) - clocks(16, 8, 4), 64u);
    EXPECT_EQ(clocks(32, 32, 24) - clocks(32, 32, 4), 20u);
}

TEST_F(NetworkTest, ALinkHoldsOneMessage) {
    build(2, 1);
    add(0, {send(1, 1, TALUS_RE_DOWN), drain(), send(1, 1, TALUS_RE_DOWN), drain()});
    // The receiver takes up the first at clock 1,000 only.
    add(1, {sync(TALUS_SEM_WAIT, 0, 1), receive(1, 1, TALUS_RE_DOWN), receive(1, 1, TALUS_RE_DOWN),
            drain()});
    grid->core(1, 0).script = {sync(TALUS_SEM_POST, 0 | 1u << 8, 1)};
    grid->core(1, 0).start(1000);
    run();
    const auto& log = grid->core(0, 1).log;
    EXPECT_LT(log[1].retired, 100u);
    EXPECT_GT(log[3].retired, 1000u);
    EXPECT_LT(log[3].retired, 1100u);
    EXPECT_EQ(grid->core(1, 1).next, 4u);
}

TEST_F(NetworkTest, BothLinksOfAPeWorkAtOnce) {
    build(2, 2);
    grid->set_local<std::uint32_t>(0, 0, 5);
    add(0, load());
    add(0, {send(32, 32, TALUS_RE_DOWN), send(32, 32, TALUS_RE_RIGHT)});
    for (const unsigned pe : {1u, 2u}) {
        add(pe, {receive(32, 32, pe == 1 ? TALUS_RE_RIGHT : TALUS_RE_DOWN, TALUS_CP_INT32)});
        add(pe, store());
    }
    run();
    EXPECT_EQ(grid->local<std::uint32_t>(1, kOut), 5u);
    EXPECT_EQ(grid->local<std::uint32_t>(2, kOut), 5u);
}

TEST_F(NetworkTest, SendingPastTheSubGridFaults) {
    build(2, 2);
    grid->pes[0]->write_register(0, PE_SUBGRID_RECT, 4, 1u << 16 | 2u << 24); // one row of two
    add(0, {send(1, 1, TALUS_RE_DOWN)});
    add(3, {send(1, 1, TALUS_RE_RIGHT)});
    run();
    EXPECT_EQ(cause(0), TALUS_TRAP_SUBGRID);
    EXPECT_EQ(cause(3), TALUS_TRAP_SUBGRID);
    EXPECT_EQ(tval(3), TALUS_RE_RIGHT);
}

TEST_F(NetworkTest, AMismatchFaultsTheReceiver) {
    for (const Step& wrong : {receive(8, 5, TALUS_RE_DOWN), receive(7, 4, TALUS_RE_DOWN),
                              receive(8, 1, TALUS_RE_DOWN, 0, TALUS_RE_RANGES)}) {
        build(2, 1);
        add(0, {send(8, 4, TALUS_RE_DOWN), drain()});
        add(1, {wrong});
        run();
        EXPECT_EQ(cause(0), 0u);
        EXPECT_EQ(cause(1), TALUS_TRAP_REDUCTION);
        EXPECT_EQ(tval(1), 8u << 8 | 4u);
    }
}

TEST_F(NetworkTest, ADeadlockNamesTheNeighbour) {
    build(2, 1);
    add(0, {send(1, 1, TALUS_RE_DOWN), send(1, 1, TALUS_RE_DOWN), drain()});
    add(1, {receive(1, 1, TALUS_RE_RIGHT), drain()});
    run();
    EXPECT_TRUE(grid->core(0, 1).blocked);
    const auto sender = grid->pes[0]->describe_waits();
    const auto receiver = grid->pes[1]->describe_waits();
    ASSERT_EQ(sender.size(), 2u);
    EXPECT_NE(sender[1].find("until the PE below receives what was sent before (pe 1.0)"),
              std::string::npos)
        << sender[1];
    ASSERT_EQ(receiver.size(), 2u);
    EXPECT_NE(receiver[1].find("RE_SEND from the left (the sub-grid ends there)"),
              std::string::npos)
        << receiver[1];
}

TEST_F(NetworkTest, AStallLimitEndsTheWait) {
    build(2, 1);
    for (unsigned pe = 0; pe < 2; ++pe) {
        grid->pes[pe]->write_register(0, PE_CP_STALL_LIMIT, 4, 500);
    }
    add(0, {send(1, 1, TALUS_RE_DOWN), send(1, 1, TALUS_RE_DOWN)});
    add(1, {receive(1, 1, TALUS_RE_RIGHT)});
    run();
    EXPECT_EQ(cause(0), TALUS_TRAP_CP_STALL);
    EXPECT_EQ(tval(0), TALUS_STALL_SEND | TALUS_RE_DOWN);
    EXPECT_EQ(cause(1), TALUS_TRAP_CP_STALL);
    EXPECT_EQ(tval(1), TALUS_STALL_RECEIVE | TALUS_RE_RIGHT);
}

TEST_F(NetworkTest, AResetDropsTheMessageAndFreesTheLink) {
    build(2, 1);
    grid->set_local<std::uint32_t>(0, 0, 1);
    add(0, load());
    add(0, {send(32, 32, TALUS_RE_DOWN), drain()});
    run();
    grid->pes[1]->write_register(grid->events.now(), PE_CP_RESET, 4, 1);
    grid->set_local<std::uint32_t>(0, 0, 2);
    add(0, load());
    add(0, {send(32, 32, TALUS_RE_DOWN), drain()});
    add(1, {enqueue(TALUS_RE_LOAD, 0, tile(32, 32), 0),
            receive(32, 32, TALUS_RE_DOWN, TALUS_CP_INT32)});
    add(1, store());
    run();
    EXPECT_EQ(cause(1), 0u);
    EXPECT_EQ(grid->core(0, 1).next, grid->core(0, 1).script.size());
    EXPECT_EQ(grid->local<std::uint32_t>(1, kOut), 2u);
}

TEST_F(NetworkTest, MalformedAndAbsent) {
    const auto trap = [&](const Step& step) {
        build(2, 2);
        add(0, {step});
        run();
        return grid->core(0, 1).log.back().result.cause;
    };
    EXPECT_EQ(trap(send(1, 1, TALUS_RE_DOWN)), 0u);
    EXPECT_EQ(trap(send(1, 1, 2)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(send(33, 1, 0)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(send(1, 2, 0, TALUS_RE_RANGES)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(send(1, 1, 0, 2)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(receive(1, 1, 0, TALUS_CP_FP16)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(receive(1, 1, 0, TALUS_CP_INT32, TALUS_RE_RANGES)), TALUS_TRAP_CP_COMMAND);
    present = false;
    EXPECT_EQ(trap(send(1, 1, TALUS_RE_DOWN)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(receive(1, 1, TALUS_RE_DOWN)), TALUS_TRAP_CP_COMMAND);
}

} // namespace
} // namespace talus::sim::test
