// Debian's gdb-multiarch debugs firmware and a kernel on a talus-sim that a driver uses. What gdb
// shows is compared with what the sources say must be there; what the driver sees must be, clock by
// clock, what it sees without gdb.
#include <future>
#include <string>

#include <gtest/gtest.h>

#include "session.hpp"

namespace {

using namespace debug_test;

class Gdb : public testing::Test {
  protected:
    static Outcome reference;
    static void SetUpTestSuite() {
        reference = run_session({});
        ASSERT_EQ(reference.error, "");
        ASSERT_EQ(reference.completions.size(), 3u);
        for (const Observed& o : reference.completions) {
            ASSERT_EQ(o.status, 0);
            ASSERT_EQ(o.result, reference.expected);
        }
    }

    /// A session with gdb beside it; gdb's commands follow after it has connected before the first
    /// instruction.
    Outcome debugged(const std::string& commands, std::vector<std::string> arguments = {}) {
        const std::string socket = folder.path("gdb");
        for (const char* argument : {"--gdb", "", "--wait-gdb"}) {
            arguments.emplace_back(*argument != '\0' ? argument : "unix:" + socket);
        }
        auto client = std::async(std::launch::async, [&] { return run_session(arguments); });
        EXPECT_TRUE(appears(socket));
        output = gdb(folder, "file " TALUS_TEST_FIRMWARE "/rom.elf\n"
                             "add-symbol-file " TALUS_TEST_FIRMWARE "/control.elf\n"
                             "add-symbol-file " TALUS_TEST_FIRMWARE "/pe.elf\n"
                             "add-symbol-file " TALUS_TEST_KERNEL ".elf -o " +
                                 std::to_string(reference.code) + "\ntarget remote " + socket +
                                 "\n" + commands);
        Outcome outcome = client.get();
        EXPECT_EQ(outcome.error, "") << output;
        EXPECT_EQ(output.find("[ended badly]"), output.npos) << output;
        return outcome;
    }
    /// What the user saw after `echo [name]`.
    std::string shown(const std::string& name) const { return after(output, "[" + name + "]"); }

    Folder folder;
    std::string output;
};

Outcome Gdb::reference;

// PE 0.1 core B is hart 4 + 2 * 1 + 1 = 7, thread 8.
TEST_F(Gdb, DebugsAKernelWithoutChangingItsClocks) {
    const Outcome outcome = debugged(R"(
break accumulate thread 8
continue
echo [pc]
output/a $pc
echo \n
bt
echo [bytes]
output bytes
echo \n[data]
output/x *(unsigned long *)data
echo \n
up
echo [column]
output/d launch->col
echo \n
down
echo [hart]
output $mhartid
echo \n
delete
watch *(unsigned long *)0x80120000
continue
echo [first]
output *(unsigned long *)0x80120000
echo \n
continue
echo [second]
output *(unsigned long *)0x80120000
echo \n
delete
hbreak block_sum thread 8
continue
delete
stepi
stepi
stepi
stepi
stepi
stepi
stepi
stepi
echo [vl]
output $vl
echo \n[vlenb]
output $vlenb
echo \n[steps]
output/a $pc
echo \n
finish
echo [finished]
output/a $pc
echo \n
thread 7
echo [core A has no vectors]
output $v0
echo \n
rwatch *(unsigned long *)0x80120000
detach
)");
    EXPECT_EQ(outcome.completions, reference.completions) << output;
    EXPECT_NE(shown("pc").find("<accumulate"), std::string::npos) << output;
    EXPECT_NE(output.find("Thread 8 \"PE 0.1 core B\" hit Breakpoint 1"), std::string::npos);
    EXPECT_NE(after(output, "#1  ").find("in kernel_main"), std::string::npos) << output;
    EXPECT_NE(after(output, "#2  ").find("in runtime_call_kernel"), std::string::npos) << output;
    EXPECT_EQ(shown("bytes"), "1024") << output;
    EXPECT_EQ(shown("column"), "1") << output;
    // bytes[i] = i * 7 + i / 251, PE 0.1's share begins at 1024
    std::uint64_t first = 0;
    for (unsigned i = 0; i < 8; ++i) {
        const std::uint64_t at = kBytesPerPe + i;
        first |= std::uint64_t{static_cast<std::uint8_t>(at * 7 + at / 251)} << (8 * i);
    }
    char text[32];
    std::snprintf(text, sizeof text, "0x%lx", static_cast<unsigned long>(first));
    EXPECT_EQ(shown("data"), text) << output;
    EXPECT_EQ(shown("hart"), "7");
    EXPECT_EQ(shown("first"), "256") << output;
    EXPECT_EQ(shown("second"), "512") << output;
    EXPECT_EQ(after(output, "Old value = "), "0") << output;
    EXPECT_EQ(shown("vlenb"), "64");
    EXPECT_NE(shown("steps").find("<block_sum"), std::string::npos) << output;
    EXPECT_NE(shown("finished").find("<accumulate"), std::string::npos) << output;
    EXPECT_EQ(shown("core A has no vectors"), "<unavailable>") << output;
}

// Firmware: the control hart in the middle of a launch, with device registers, and frozen company.
TEST_F(Gdb, DebugsFirmwareAndLooksAtTheDevice) {
    const Outcome outcome = debugged(R"(
tbreak release
continue
info threads 1
bt 3
echo [columns]
output *(unsigned *)0x60000008
echo \n[rom]
x/i 0x10000
echo [nothing there]
python
try:
    gdb.execute("output *(int *)0x99")
except gdb.MemoryError as error:
    print(error)
end
monitor cycle
monitor queues
monitor harts 0.1
monitor caches
monitor cbs
monitor units 9.9
monitor nonsense
next
next
up
tbreak *$pc
continue
echo [caller]
output/a $pc
echo \n
detach
)");
    EXPECT_EQ(outcome.completions, reference.completions) << output;
    EXPECT_NE(output.find("Thread 1 \"control hart 0\" hit Temporary breakpoint 1"),
              std::string::npos)
        << output;
    EXPECT_EQ(shown("columns"), "8") << output;                       // INFO_COLS of t2
    EXPECT_NE(shown("rom").find("mie"), std::string::npos) << output; // start.S begins with it
    EXPECT_NE(shown("nothing there").find("annot access memory at address 0x99"), std::string::npos)
        << output;
    EXPECT_NE(output.find("clock "), std::string::npos);
    EXPECT_NE(output.find("queue 0: "), std::string::npos) << output;
    EXPECT_NE(output.find("PE 0.1 core B"), std::string::npos) << output;
    EXPECT_NE(output.find("unknown command \"nonsense\""), std::string::npos) << output;
    EXPECT_NE(output.find("no PE \"9.9\""), std::string::npos) << output;
    EXPECT_NE(shown("caller").find("<"), std::string::npos) << output;
}

// A hart that is sent to where nothing is: gdb sees it with its registers as they were, and a
// repaired one goes on as if nothing had been.
TEST_F(Gdb, StopsBeforeATrapAndLetsItBeRepaired) {
    const Outcome outcome = debugged(R"(
tbreak accumulate thread 8
continue
set $good = $pc
set $old_cause = $mcause
monitor stop-on-trap on
set $pc = 0x99990
continue
echo [where]
output/x $pc
echo \n[cause]
output $mcause == $old_cause
echo \n
set $pc = $good
detach
)");
    EXPECT_NE(output.find("received signal SIGSEGV"), std::string::npos) << output;
    EXPECT_EQ(shown("where"), "0x99990") << output;
    EXPECT_EQ(shown("cause"), "1") << output; // not taken yet
    ASSERT_EQ(outcome.completions.size(), 3u);
    for (const Observed& o : outcome.completions) {
        EXPECT_EQ(o.status, 0);
        EXPECT_EQ(o.result, reference.expected);
    }
}

} // namespace
