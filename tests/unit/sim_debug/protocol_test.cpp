// The debug port packet by packet, on a device that only its ROM uses: parked, stepped,
// interrupted, reset, left and come back to.
#include <chrono>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "session.hpp"

namespace {

using namespace debug_test;

constexpr unsigned kPc = 32;
constexpr std::uint64_t kRom = 0x10000;

std::uint64_t clock_of(Client& client) {
    return std::stoull(after(client.monitor("cycle"), "clock "));
}

/// A device that has booted its ROM and is parked, with a connected debugger that has stopped it.
struct Parked {
    Simulator simulator{{"--wait-gdb"}};
    Client client{simulator.gdb_socket()};

    Parked() {
        EXPECT_TRUE(client.connected());
        EXPECT_EQ(client.ask("?").substr(0, 3), "T05");
        client.send(packet("vCont;c"));
        // Parked: the ROM waits for the host's mailbox in WFI.
        for (int tries = 0; tries < 1000; ++tries) {
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
            client.send("\x03");
            EXPECT_EQ(client.reply().substr(0, 3), "T02");
            if (client.monitor("cycle").find("(parked)") != std::string::npos) {
                return;
            }
            client.send(packet("vCont;c"));
        }
        ADD_FAILURE() << "the device does not park";
    }
};

TEST(DebugProtocol, NothingRunsBeforeGdbSaysSo) {
    Simulator simulator({"--wait-gdb"});
    Client client(simulator.gdb_socket());
    EXPECT_EQ(client.reg(kPc), kRom);
    EXPECT_EQ(clock_of(client), 0u);
    client.send(packet("vCont;s:1"));
    EXPECT_EQ(client.reply().substr(0, 12), "T05thread:1;");
    EXPECT_EQ(client.reg(kPc), kRom + 4); // start.S: csrw, four bytes
}

TEST(DebugProtocol, TimeStandsStillWhileParkedAndStopped) {
    Parked parked;
    Client& client = parked.client;
    const std::uint64_t before = clock_of(client);
    for (int i = 0; i < 3; ++i) {
        client.send(packet("vCont;c"));
        EXPECT_EQ(client.reply(1), "(none)");
        client.send("\x03");
        EXPECT_EQ(client.reply().substr(0, 3), "T02");
    }
    EXPECT_EQ(clock_of(client), before);
}

TEST(DebugProtocol, AParkedHartCanBeStepped) {
    Parked parked;
    Client& client = parked.client;
    EXPECT_EQ(client.ask("Hg2"), "OK"); // control hart 1, which sleeps in a WFI loop
    const std::uint64_t pc = client.reg(kPc);
    EXPECT_NE(client.monitor("harts").find("in WFI"), std::string::npos);
    client.send(packet("vCont;s:2;c"));
    EXPECT_EQ(client.reply().substr(0, 12), "T05thread:2;");
    EXPECT_NE(client.reg(kPc), pc);
    // Round the loop and over the WFI: every step ends.
    bool back = false;
    for (int i = 0; i < 8; ++i) {
        client.send(packet("vCont;s:2;c"));
        EXPECT_EQ(client.reply().substr(0, 12), "T05thread:2;");
        back = back || client.reg(kPc) == pc;
    }
    EXPECT_TRUE(back);
    // A hart held in reset has nothing to step, and says so at once.
    client.send(packet("vCont;s:5;c"));
    EXPECT_EQ(client.reply().substr(0, 12), "T05thread:5;");
}

TEST(DebugProtocol, AFrozenHartExecutesNothing) {
    Simulator simulator({"--wait-gdb"});
    Client client(simulator.gdb_socket());
    client.ask("?");
    // Only hart 1 runs; 300 of its instructions take time that hart 0 does not see.
    for (int i = 0; i < 3; ++i) {
        client.send(packet("vCont;s:2"));
        EXPECT_EQ(client.reply().substr(0, 12), "T05thread:2;");
    }
    client.ask("Hg1");
    EXPECT_EQ(client.reg(kPc), kRom);
    client.ask("Hg2");
    EXPECT_NE(client.reg(kPc), kRom);
    // All of them again.
    client.send(packet("vCont;s:1;c"));
    EXPECT_EQ(client.reply().substr(0, 12), "T05thread:1;");
    EXPECT_EQ(client.reg(kPc), kRom + 4);
}

TEST(DebugProtocol, ABreakpointInRomNeedsNoWritableMemory) {
    Simulator simulator({"--wait-gdb"});
    Client client(simulator.gdb_socket());
    const std::string bytes = client.ask("m10000,10");
    EXPECT_EQ(client.ask("M10000,4:00000000")[0], 'E'); // it is a ROM
    EXPECT_EQ(client.ask("Z0,10008,4"), "OK");
    EXPECT_EQ(client.ask("m10000,10"), bytes);
    client.send(packet("vCont;c"));
    const std::string stop = client.reply();
    EXPECT_NE(stop.find("swbreak:;"), std::string::npos) << stop;
    EXPECT_EQ(client.reg(kPc), kRom + 8);
}

TEST(DebugProtocol, ResetBeginsAnewWithEverythingStopped) {
    Parked parked;
    Client& client = parked.client;
    EXPECT_GT(clock_of(client), 0u);
    EXPECT_NE(client.monitor("reset").find("fundamental reset"), std::string::npos);
    client.ask("Hg1");
    EXPECT_EQ(client.reg(kPc), kRom);
    EXPECT_EQ(clock_of(client), 0u);
    client.send(packet("vCont;s:1"));
    EXPECT_EQ(client.reply().substr(0, 12), "T05thread:1;");
    EXPECT_EQ(client.reg(kPc), kRom + 4);
}

TEST(DebugProtocol, WrittenRegistersAndMemoryAreThere) {
    Parked parked;
    Client& client = parked.client;
    EXPECT_EQ(client.ask("P5=8877665544332211"), "OK");
    EXPECT_EQ(client.reg(5), 0x1122334455667788u);
    EXPECT_EQ(client.ask("M30200000,4:0a0b0c0d"), "OK"); // control SRAM
    EXPECT_EQ(client.ask("m30200000,4"), "0a0b0c0d");
    EXPECT_EQ(client.ask("M80120000,2:beef"), "OK"); // PE 0.1's local memory by its window
    client.ask("Hg8");
    EXPECT_EQ(client.ask("m10020000,2"), "beef"); // and as its core sees it
    client.ask("Hg6");
    EXPECT_EQ(client.ask("m10020000,2"), "0000"); // PE 0.0 has its own
}

TEST(DebugProtocol, DebuggersComeBackAndKillEndsTheSimulator) {
    Simulator simulator({"--wait-gdb"});
    {
        Client first(simulator.gdb_socket());
        EXPECT_EQ(first.ask("Z0,10008,4"), "OK");
        EXPECT_EQ(first.ask("D"), "OK"); // its breakpoints go with it
    }
    Client second(simulator.gdb_socket());
    EXPECT_EQ(second.ask("?").substr(0, 3), "T05");
    EXPECT_NE(second.reg(kPc), kRom + 8);
    second.send(packet("k"));
    EXPECT_EQ(simulator.exit_code(), 0);
}

} // namespace
