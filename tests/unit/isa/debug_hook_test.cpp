// Stops for a debugger: exactly where they were asked for, and without a trace in the hart's
// clocks.
#include <algorithm>
#include <vector>

#include <gtest/gtest.h>

#include "machine.hpp"

namespace talus::sim {
namespace {

struct Recorder final : DebugHook {
    struct Access {
        std::uint64_t addr;
        AccessKind kind;
        bool operator==(const Access&) const = default;
    };
    Hart* hart = nullptr;
    std::vector<std::uint64_t> stops;
    std::vector<Access> accesses;
    std::vector<std::uint64_t> traps;
    std::uint64_t last_retired = 0;
    bool go_on = true;

    bool before_instruction(HartId) override {
        // One that waits for a line or for global time is offered again.
        if (stops.empty() || hart->retired() != last_retired || hart->pc() != stops.back())
            stops.push_back(hart->pc());
        last_retired = hart->retired();
        return go_on;
    }
    bool before_trap(HartId, std::uint64_t, std::uint64_t) override {
        traps.push_back(hart->pc());
        return go_on;
    }
    void on_watched(HartId, const Watchpoint&, std::uint64_t addr, AccessKind kind) override {
        accesses.push_back({addr, kind});
    }
};

/// A machine with a debugger.
struct Debugged {
    Machine machine{true};
    DebugPoints points;
    Recorder recorder;
    HartDebug debug{&recorder, &points, false};

    void attach() {
        recorder.hart = machine.hart.get();
        machine.hart->set_debug(&debug);
    }
};

constexpr std::uint64_t kProgram = ScriptedPort::kBase + 0x38; // its loop crosses a line
constexpr std::uint64_t kLoop = kProgram + 8;

/// Ten rounds of stores to and loads from direct memory by code in cached memory; then for ever in
/// place. Runs 3000 clocks.
void run_loop(Machine& machine) {
    machine.put(kProgram, {
                              assemble("lui", {.rd = 6, .imm = 0x11000}),
                              assemble("addi", {.rd = 5, .imm = 10}),
                              assemble("sd", {.rs1 = 6, .rs2 = 5, .imm = 0}),
                              assemble("ld", {.rd = 7, .rs1 = 6, .imm = 0}),
                              assemble("lw", {.rd = 8, .rs1 = 6, .imm = 4}),
                              assemble("addi", {.rd = 5, .rs1 = 5, .imm = -1}),
                              assemble("bne", {.rs1 = 5, .rs2 = 0, .imm = -16}),
                              assemble("jal", {.rd = 0, .imm = 0}),
                          });
    machine.hart->set_pc(kProgram);
    while (machine.hart->now() < 3000)
        machine.hart->run(machine.hart->now() + 100, machine.hart->now());
}

TEST(DebugHook, StopsChangeNoClock) {
    Machine plain(true);
    run_loop(plain);
    std::vector<DebugPoints> sets;
    sets.push_back({});
    for (unsigned i = 0; i < 8; ++i)
        sets.push_back({{kProgram + 4 * i}, {}});
    sets.push_back({{kProgram, kLoop, kLoop + 4, kLoop + 16}, {{Machine::kData, 8, true, true}}});
    sets.push_back({{}, {{Machine::kData + 4, 1, true, false}}});
    for (const DebugPoints& set : sets) {
        for (const bool every : {false, true}) {
            Debugged d;
            d.points = set;
            d.debug.every_instruction = every;
            d.attach();
            run_loop(d.machine);
            EXPECT_EQ(d.machine.hart->now(), plain.hart->now());
            EXPECT_EQ(d.machine.hart->retired(), plain.hart->retired());
            EXPECT_EQ(d.machine.port.misses, plain.port.misses);
            EXPECT_EQ(d.machine.hart->x(8), plain.hart->x(8));
        }
    }
}

TEST(DebugHook, ABreakpointIsMetOncePerPass) {
    for (const std::uint64_t at : {kLoop, kLoop + 4, kLoop + 16}) {
        Debugged d;
        d.points.breakpoints = {at};
        d.attach();
        run_loop(d.machine);
        EXPECT_EQ(d.recorder.stops, std::vector<std::uint64_t>(10, at));
    }
}

TEST(DebugHook, EveryInstructionMeansEveryOne) {
    Debugged d;
    d.debug.every_instruction = true;
    d.attach();
    run_loop(d.machine);
    std::vector<std::uint64_t> offered = d.recorder.stops;
    const auto end = std::find(offered.begin(), offered.end(), kProgram + 28);
    offered.erase(end, offered.end()); // the endless jump
    std::vector<std::uint64_t> expected{kProgram, kProgram + 4};
    for (unsigned round = 0; round < 10; ++round) {
        for (unsigned i = 0; i < 5; ++i)
            expected.push_back(kLoop + 4 * i);
    }
    EXPECT_EQ(offered, expected);
}

TEST(DebugHook, FalseLeavesTheInstructionUndone) {
    Debugged d;
    d.recorder.go_on = false;
    d.attach();
    d.machine.put(Machine::kBase,
                  {assemble("addi", {.rd = 5, .imm = 1}), assemble("addi", {.rd = 5, .imm = 2})});
    d.points.breakpoints = {Machine::kBase + 4};
    d.machine.hart->set_pc(Machine::kBase);
    EXPECT_EQ(d.machine.hart->run(100, 100), StopReason::kUntil);
    EXPECT_EQ(d.machine.hart->pc(), Machine::kBase + 4);
    EXPECT_EQ(d.machine.hart->x(5), 1u);
    EXPECT_TRUE(d.machine.hart->runnable());
    d.machine.hart->set_debug(nullptr);
    d.machine.hart->step();
    EXPECT_EQ(d.machine.hart->x(5), 2u);
}

// [watched, watched + 4) against accesses of every kind around it.
TEST(DebugHook, WatchpointsSeeWhatOverlapsAndNothingElse) {
    constexpr std::uint64_t kWatched = Machine::kData + 0x40;
    struct Case {
        const char* name;
        Operands operands;
        std::int64_t offset; ///< of x6 from the watched word
        bool load, store;
    };
    const Case cases[] = {
        {"lw", {.rd = 7, .rs1 = 6}, 0, true, false},
        {"lb", {.rd = 7, .rs1 = 6}, 3, true, false},
        {"lb", {.rd = 7, .rs1 = 6}, 4, false, false},
        {"lb", {.rd = 7, .rs1 = 6}, -1, false, false},
        {"ld", {.rd = 7, .rs1 = 6}, -4, true, false},
        {"sw", {.rs1 = 6, .rs2 = 5}, 0, false, true},
        {"sd", {.rs1 = 6, .rs2 = 5}, -7, false, true},
        {"sd", {.rs1 = 6, .rs2 = 5}, -8, false, false},
        {"sb", {.rs1 = 6, .rs2 = 5}, 4, false, false},
        {"fsd", {.rs1 = 6, .rs2 = 5}, 0, false, true},
        {"fld", {.rd = 5, .rs1 = 6}, 0, true, false},
        {"amoadd.w", {.rd = 7, .rs1 = 6, .rs2 = 5}, 0, true, true},
        {"lr.w", {.rd = 7, .rs1 = 6}, 0, true, false},
        {"vle32.v", {.rd = 8, .rs1 = 6}, -60, true, false},
        {"vle32.v", {.rd = 8, .rs1 = 6}, -64, false, false},
        {"vse32.v", {.rd = 8, .rs1 = 6}, -32, false, true},
        {"vse32.v", {.rd = 8, .rs1 = 6}, 4, false, false},
    };
    for (const bool warm : {false, true}) { // with a data window open beside it
        for (const Case& c : cases) {
            Debugged d;
            d.points.watchpoints = {{kWatched, 4, true, true}};
            d.attach();
            Hart& hart = *d.machine.hart;
            d.machine.put(Machine::kBase, {assemble("vsetvli", {.rd = 0, .rs1 = 9, .imm = 0xd0})});
            hart.set_pc(Machine::kBase);
            hart.set_x(9, 16);
            hart.step();
            if (warm) {
                hart.set_x(6, kWatched - 16);
                for (const char* name : {"ld", "sd"}) {
                    d.machine.put(Machine::kBase, {assemble(name, {.rs1 = 6})});
                    hart.set_pc(Machine::kBase);
                    hart.invalidate_code(Machine::kBase, 8);
                    hart.step();
                }
                ASSERT_TRUE(d.recorder.accesses.empty());
            }
            hart.set_x(6, kWatched + static_cast<std::uint64_t>(c.offset));
            d.machine.put(Machine::kBase, {assemble(c.name, c.operands), assemble("addi")});
            hart.set_pc(Machine::kBase);
            hart.invalidate_code(Machine::kBase, 8);
            hart.step();
            const auto seen = [&](AccessKind kind) {
                for (const Recorder::Access& access : d.recorder.accesses) {
                    if (access.kind == kind)
                        return true;
                }
                return false;
            };
            EXPECT_EQ(seen(AccessKind::kLoad), c.load) << c.name << " at " << c.offset;
            EXPECT_EQ(seen(AccessKind::kStore), c.store) << c.name << " at " << c.offset;
            // The stop comes before the next instruction.
            EXPECT_TRUE(d.recorder.stops.empty());
            hart.step();
            EXPECT_EQ(d.recorder.stops, c.load || c.store
                                            ? std::vector<std::uint64_t>{Machine::kBase + 4}
                                            : std::vector<std::uint64_t>{})
                << c.name << " at " << c.offset;
        }
    }
}

TEST(DebugHook, ATrapIsSeenBeforeItIsTaken) {
    Debugged d;
    d.attach();
    d.machine.put(Machine::kBase, {0}); // illegal
    d.machine.hart->write_csr(0x305, Machine::kHandler);
    d.machine.hart->set_pc(Machine::kBase);
    d.recorder.go_on = false;
    d.machine.hart->run(100, 100);
    EXPECT_EQ(d.recorder.traps, std::vector<std::uint64_t>{Machine::kBase});
    EXPECT_EQ(d.machine.hart->pc(), Machine::kBase);
    EXPECT_EQ(d.machine.csr(0x342), 0u);
    d.recorder.go_on = true;
    d.machine.hart->step();
    EXPECT_EQ(d.machine.hart->pc(), Machine::kHandler);
    EXPECT_EQ(d.machine.csr(0x342), cause::kIllegalInstruction);
}

TEST(DebugHook, WfiEndsAStepAndCanBeLeft) {
    Debugged d;
    d.debug.every_instruction = true;
    d.attach();
    d.machine.put(Machine::kBase, {assemble("wfi"), assemble("addi", {.rd = 5, .imm = 3})});
    Hart& hart = *d.machine.hart;
    hart.set_pc(Machine::kBase);
    EXPECT_EQ(hart.run(100, 100), StopReason::kWfi);
    EXPECT_EQ(d.recorder.stops, (std::vector<std::uint64_t>{Machine::kBase, Machine::kBase + 4}));
    EXPECT_TRUE(hart.leave_wfi(50));
    EXPECT_FALSE(hart.leave_wfi(50));
    EXPECT_EQ(hart.now(), 50u);
    hart.step();
    EXPECT_EQ(hart.x(5), 3u);
}

} // namespace
} // namespace talus::sim
