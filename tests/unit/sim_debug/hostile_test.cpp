// Whoever connects to the debug port may be confused or mean no good: the simulator answers errors,
// and the driver's client on the other side notices nothing.
#include <atomic>
#include <chrono>
#include <future>
#include <random>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "session.hpp"

namespace {

using namespace debug_test;

TEST(HostileDebugger, MalformedPacketsAreAnsweredByErrors) {
    Folder folder;
    const std::string socket = folder.path("gdb");
    auto session = std::async(std::launch::async, [&] {
        return run_session({"--gdb", "unix:" + socket, "--wait-gdb"});
    });
    ASSERT_TRUE(appears(socket));
    {
        Client client(socket);
        ASSERT_TRUE(client.connected());
        EXPECT_EQ(client.ask("?").substr(0, 3), "T05");
        for (const char* text : {"m",
                                 "m,",
                                 "m0",
                                 "mzz,4",
                                 "m0,zz",
                                 "mffffffffffffffff,10",
                                 "m0,ffffffffffffffff",
                                 "M0,1",
                                 "M0,1:zz",
                                 "M0,2:00",
                                 "M0,1:00",
                                 "X10,5:ab",
                                 "p",
                                 "pzz",
                                 "pffffffff",
                                 "P20",
                                 "P20=00",
                                 "P99999=00",
                                 "Pc61=0000000000000000",
                                 "G00",
                                 "Hg0x5",
                                 "Hgffff",
                                 "T0",
                                 "T85",
                                 "Tx",
                                 "vCont;",
                                 "vCont;x",
                                 "vCont;c:999",
                                 "vCont;r1",
                                 "vCont;C",
                                 "Cx",
                                 "c1000",
                                 "Z0",
                                 "Z0,,",
                                 "Z0,1,2",
                                 "z0,zz,2",
                                 "Z2,0,0",
                                 "Z2,ffffffffffffffff,2",
                                 "qRcmd,z",
                                 "qXfer:features:read:target.xml:zz,1",
                                 "qXfer:features:read:no.xml:0,10",
                                 "qXfer:threads:read::1",
                                 "qThreadExtraInfo,zz"}) {
            EXPECT_EQ(client.ask(text)[0], 'E') << text;
        }
        for (const char* text : {"", "zz", "Z7,0,0", "vFile:open:", "qNobodyKnows", "!", "R00"}) {
            const std::string reply = client.ask(text);
            EXPECT_TRUE(reply.empty() || reply[0] == 'E') << text << ": " << reply;
        }
        // Not a register of this hart, and an address with nothing behind it.
        EXPECT_EQ(client.ask("m99,4"), "E0e");
        EXPECT_EQ(client.ask("p1042"), std::string(128, 'x')); // v0 of a control hart
        // Reads stop where memory stops: the last 8 bytes of the ROM.
        EXPECT_EQ(client.ask("m1fff8,100").size(), 16u);

        client.send("$m10000,4#00"); // wrong checksum: asked for again
        client.send(packet(std::string(100000, 'a')));
        EXPECT_EQ(client.reply(), "E16");
        client.send("garbage\x01\x02}}##");
        EXPECT_EQ(client.ask("qC"), "QC1");
        client.ask("D");
    }
    const Outcome outcome = session.get();
    EXPECT_EQ(outcome.error, "");
    ASSERT_EQ(outcome.completions.size(), 3u);
    EXPECT_EQ(outcome.completions[2].result, outcome.expected);
}

// Debuggers that come, stop the device, talk nonsense and vanish: time stands still meanwhile, so
// no clock is lost.
TEST(HostileDebugger, ComingAndGoingCostsNoClocks) {
    const Outcome reference = run_session({});
    ASSERT_EQ(reference.error, "");
    Folder folder;
    const std::string socket = folder.path("gdb");
    std::atomic<bool> over{false};
    std::thread visitor([&] {
        if (!appears(socket)) {
            return;
        }
        std::mt19937 random(5);
        while (!over) {
            Client client(socket);
            if (!client.connected()) {
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
                continue;
            }
            std::string noise;
            for (unsigned i = random() % 200; i > 0; --i) {
                const char c = static_cast<char>(random());
                noise += c == 3 || c == '$' ? 'x' : c;
            }
            client.send(noise);
            client.ask("g");
            if (random() % 2 != 0) {
                client.send(packet("vCont;c") + "\x03");
                client.reply(5);
            }
        }
    });
    const Outcome outcome = run_session({"--gdb", "unix:" + socket});
    over = true;
    visitor.join();
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(outcome.completions, reference.completions);
}

// A driver does not give up a device that a debugger holds: its clock has a reason to stand still.
TEST(HostileDebugger, AHeldDeviceIsNotLost) {
    Folder folder;
    const std::string socket = folder.path("gdb");
    auto session = std::async(std::launch::async, [&] {
        return run_session({"--gdb", "unix:" + socket, "--wait-gdb"});
    });
    ASSERT_TRUE(appears(socket));
    Client client(socket);
    EXPECT_EQ(client.ask("?").substr(0, 3), "T05");
    // Longer than the 5 s after which the driver calls a device lost.
    EXPECT_EQ(session.wait_for(std::chrono::milliseconds(6500)), std::future_status::timeout);
    client.ask("D");
    EXPECT_EQ(session.get().error, "");
}

} // namespace
