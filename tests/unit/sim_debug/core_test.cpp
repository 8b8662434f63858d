// Core files, as gdb-multiarch and readelf read them.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "session.hpp"

namespace {

using namespace debug_test;

std::string load_symbols(std::uint64_t kernel) {
    return "set osabi none\nfile " TALUS_TEST_FIRMWARE
           "/pe.elf\nadd-symbol-file " TALUS_TEST_FIRMWARE
           "/control.elf\nadd-symbol-file " TALUS_TEST_KERNEL ".elf -o " +
           std::to_string(kernel) + "\n";
}

/// Sum of the bytes that PE `pe` adds up (session.cpp writes them).
std::uint64_t share_of(unsigned pe) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = pe * kBytesPerPe; i < (pe + 1) * std::uint64_t{kBytesPerPe}; ++i) {
        sum += static_cast<std::uint8_t>(i * 7 + i / 251);
    }
    return sum;
}

TEST(CoreFile, AFaultingKernelLeavesOneThatGdbReads) {
    Folder folder;
    const Outcome outcome = run_session({"--crash-dir", folder.root().string()}, 2);
    EXPECT_EQ(outcome.error, "");
    ASSERT_EQ(outcome.completions.size(), 3u);
    EXPECT_NE(outcome.completions[0].status, 0);
    const std::string core = folder.path("core.0.pe0.2");
    ASSERT_TRUE(std::filesystem::exists(core));
    EXPECT_TRUE(std::filesystem::exists(folder.path("core.2.pe0.2"))); // one per run
    EXPECT_FALSE(std::filesystem::exists(folder.path("core.3.pe0.2")));

    const std::string headers = output_of({"readelf", "-hln", core});
    EXPECT_NE(headers.find("CORE (Core file)"), std::string::npos) << headers;
    EXPECT_NE(headers.find("RISC-V"), std::string::npos);
    EXPECT_EQ(headers.find("Warning"), std::string::npos) << headers;

    // PE 0.2 core B is hart 9, thread 10.
    const std::string text = gdb(folder, load_symbols(outcome.code) + "core-file " + core + R"(
info threads
bt
echo [pc]
output/a $pc
echo \n[value]
output value
echo \n[hart]
output $mhartid
echo \n[progress]
output *(unsigned long *)0x10020000
echo \n[vectors on]
output ($mstatus >> 9) & 3
echo \n[local]
output/x *(unsigned char *)(0x10010000 + 9)
echo \n[bad]
python
try:
    gdb.execute("output *(int *)0x4242")
except gdb.MemoryError as error:
    print(error)
end
thread 2
bt 1
)");
    EXPECT_EQ(text.find("warning: Unexpected"), std::string::npos) << text;
    EXPECT_NE(text.find("SIGSEGV"), std::string::npos) << text;
    EXPECT_NE(after(text, "#1  ").find("in kernel_main"), std::string::npos) << text;
    EXPECT_NE(after(text, "[pc]").find("<store_nowhere"), std::string::npos) << text;
    EXPECT_EQ(after(text, "[value]"), std::to_string(share_of(2))) << text;
    EXPECT_EQ(after(text, "[hart]"), "9") << text;
    EXPECT_EQ(after(text, "[progress]"), "1024") << text;
    EXPECT_EQ(after(text, "[vectors on]"), "3") << text; // dirty
    const std::uint64_t at = 2 * kBytesPerPe + 9;
    char byte[8];
    std::snprintf(byte, sizeof byte, "0x%x", static_cast<unsigned>((at * 7 + at / 251) & 0xff));
    EXPECT_EQ(after(text, "[local]"), byte) << text;
    EXPECT_NE(after(text, "[bad]").find("annot access memory"), std::string::npos) << text;
    EXPECT_EQ(text.find("[ended badly]"), text.npos) << text;
}

TEST(Checkpoint, MonitorWritesOneOfAParkedDevice) {
    const Simulator simulator({"--wait-gdb"});
    const std::string path = simulator.folder.path("checkpoint");
    Client client(simulator.gdb_socket());
    EXPECT_NE(client.monitor("checkpoint").find("into which file"), std::string::npos);
    // The ROM's first instruction is due.
    EXPECT_NE(client.monitor("checkpoint " + path).find("at work"), std::string::npos);
    EXPECT_FALSE(std::filesystem::exists(path));
    client.send(packet("vCont;c"));
    for (unsigned tries = 0; !std::filesystem::exists(path) && tries < 200; ++tries) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10)); // until it waits for LOAD
        client.send("\x03");
        client.reply();
        client.monitor("checkpoint " + path);
        client.send(packet("vCont;c"));
    }
    EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(CoreFile, MonitorDumpsTheControlCore) {
    Simulator simulator({"--wait-gdb"});
    const std::string core = simulator.folder.path("core");
    {
        Client client(simulator.gdb_socket());
        ASSERT_EQ(client.ask("Z0,10008,4"), "OK");
        client.send(packet("vCont;c"));
        ASSERT_NE(client.reply().find("swbreak"), std::string::npos);
        EXPECT_NE(client.monitor("dump control " + core).find(core), std::string::npos);
        EXPECT_NE(client.monitor("dump 9.9 x").find("which PE"), std::string::npos);
        EXPECT_NE(client.monitor("dump 0.0").find("into which file"), std::string::npos);
        EXPECT_NE(client.monitor("dump 0.0 /nowhere/x").find("cannot write"), std::string::npos);
    }
    const std::string text =
        gdb(simulator.folder,
            "set osabi none\nfile " TALUS_TEST_FIRMWARE "/rom.elf\ncore-file " + core + R"(
info threads
echo [pc]
output/a $pc
echo \n[misa]
output/x $misa
echo \n
)");
    EXPECT_EQ(after(text, "[pc]"), "0x10008 <_start+8>") << text;
    // RV64 with A, C, D, F, I, M, U: bits 0, 2, 3, 5, 8, 12, 20, and MXL = 2.
    EXPECT_EQ(after(text, "[misa]"), "0x800000000010112d") << text;
}

} // namespace
