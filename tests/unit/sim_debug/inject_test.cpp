// Injected faults do what they say, at the same place in every run, and the report knows whether
// anything noticed. Expected results follow from the bytes that the kernel adds up (session.cpp).
#include <fstream>
#include <future>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "session.hpp"

namespace {

using namespace debug_test;

std::uint64_t byte_at(std::uint64_t i) {
    return static_cast<std::uint8_t>(i * 7 + i / 251);
}

std::uint64_t share_of(unsigned pe) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = pe * kBytesPerPe; i < (pe + 1) * std::uint64_t{kBytesPerPe}; ++i) {
        sum += byte_at(i);
    }
    return sum;
}

class Inject : public testing::Test {
  protected:
    Folder folder;
    nlohmann::json faults;

    Outcome run(const std::vector<std::string>& specifications) {
        std::vector<std::string> arguments{"--inject-report", folder.path("report.json")};
        for (const std::string& specification : specifications) {
            arguments.insert(arguments.end(), {"--inject", specification});
        }
        Outcome outcome = run_session(arguments);
        EXPECT_EQ(outcome.error, "");
        EXPECT_EQ(outcome.completions.size(), 3u);
        outcome.completions.resize(3);
        std::ifstream file(folder.path("report.json"));
        faults = nlohmann::json::parse(file)["faults"];
        return outcome;
    }
};

TEST_F(Inject, ALostDmaIsNoticedByNobodyButTheResult) {
    const Outcome outcome = run({"dma-drop:pe=0.1:count=1"});
    // PE 0.1 adds up local memory that nothing was written to.
    EXPECT_EQ(outcome.completions[0].result, outcome.expected - share_of(1));
    EXPECT_EQ(outcome.completions[0].status, 0);
    EXPECT_EQ(outcome.completions[1].result, outcome.expected);
    ASSERT_EQ(faults.size(), 1u);
    EXPECT_EQ(faults[0]["spec"], "dma-drop:pe=0.1:count=1");
    EXPECT_EQ(faults[0]["times"], 1);
    EXPECT_EQ(faults[0]["injected"][0]["what"], "a DMA in of 1024 bytes is lost");
    EXPECT_TRUE(faults[0]["noticed"].empty());

    const Outcome again = run({"dma-drop:pe=0.1:count=1"});
    EXPECT_EQ(again.completions, outcome.completions);
    EXPECT_EQ(faults[0]["injected"][0]["what"], "a DMA in of 1024 bytes is lost");
}

TEST_F(Inject, AStuckUnitIsNoticed) {
    const Outcome outcome = run({"stuck:pe=0.1:unit=fi-in"});
    EXPECT_NE(outcome.completions[0].status, 0);
    ASSERT_FALSE(faults[0]["noticed"].empty());
    std::string all;
    for (const auto& entry : faults[0]["noticed"]) {
        all += entry["what"].get<std::string>() + "\n";
    }
    EXPECT_NE(all.find("0.1 core A"), std::string::npos) << all;     // who waited
    EXPECT_NE(all.find("failed, status"), std::string::npos) << all; // what the host was told
}

TEST_F(Inject, AUnitThatIsStuckForAWhileCostsThatWhile) {
    const Outcome plain = run({"stuck:pe=7.7:unit=dpe"}); // the kernel has no use for it
    EXPECT_EQ(faults[0]["times"], 0);
    EXPECT_EQ(plain.completions[0].result, plain.expected);
    const Outcome outcome = run({"stuck:pe=0.1:unit=fi-in:for=20000"});
    EXPECT_EQ(outcome.completions[0].result, outcome.expected);
    // All of PE 0.1's work waits for its input; other PEs had theirs meanwhile.
    EXPECT_GT(outcome.completions[0].exec_cycles, plain.completions[0].exec_cycles + 19000)
        << faults.dump();
    EXPECT_LT(outcome.completions[0].exec_cycles, plain.completions[0].exec_cycles + 20500);
    EXPECT_EQ(outcome.completions[1], plain.completions[1]); // over
    EXPECT_TRUE(faults[0]["noticed"].empty());
}

TEST_F(Inject, LostInterruptsCostTheHostTimeAndTheDeviceNone) {
    const Outcome plain = run({"msix-drop:vector=63"}); // of no queue
    EXPECT_EQ(faults[0]["times"], 0);
    const Outcome outcome = run({"msix-drop:vector=1:count=4"});
    EXPECT_EQ(faults[0]["times"], 4);
    EXPECT_EQ(faults[0]["injected"][0]["what"], "MSI-X 1 is lost");
    EXPECT_EQ(outcome.completions, plain.completions);
}

TEST_F(Inject, LinkErrorsCostTimeAndNothingElse) {
    const Outcome plain = run({"link:at=0xffffffffffff"});
    EXPECT_EQ(faults[0]["times"], 0);
    const Outcome outcome = run({"link:every=1"});
    EXPECT_GT(faults[0]["times"], 0);
    EXPECT_EQ(outcome.completions[0].result, outcome.expected);
    EXPECT_EQ(outcome.completions[0].status, 0);
    ASSERT_FALSE(faults[0]["noticed"].empty()); // what the device received damaged
    EXPECT_NE(faults[0]["noticed"][0]["what"].get<std::string>().find("bad TLP"),
              std::string::npos);
    // At least the command's fetch and its completion were sent twice.
    EXPECT_GT(outcome.completions[0].device_cycles, plain.completions[0].device_cycles + 500);
}

TEST_F(Inject, AFlipHappensAtItsClock) {
    run({"flip:memory=control:addr=0x3ff000:bit=2:at=1000", "flip:memory=lls:count=3:seed=1"});
    EXPECT_GE(faults[0]["injected"][0]["clock"], 1000);
    EXPECT_LT(faults[0]["injected"][0]["clock"], 1400); // the next event, not some later one
    EXPECT_EQ(faults[0]["injected"][0]["what"],
              "control SRAM + 0x3ff000, bit 2: 0x00 becomes 0x04");
    EXPECT_EQ(faults[1]["times"], 3);
    const nlohmann::json drawn = faults[1]["injected"];
    run({"flip:memory=lls:count=3:seed=1", "flip:memory=lls:count=3:seed=2"});
    EXPECT_EQ(faults[0]["injected"], drawn); // the seed decides
    EXPECT_NE(faults[1]["injected"], drawn);
}

// By hand: a bit of the operand, while the kernel stands before it.
TEST_F(Inject, AFlipFromGdbIsInTheResult) {
    const Outcome reference = run_session({});
    const std::string socket = folder.path("gdb");
    auto client = std::async(std::launch::async, [&] {
        return run_session({"--gdb", "unix:" + socket, "--wait-gdb"});
    });
    ASSERT_TRUE(appears(socket));
    const std::string output =
        gdb(folder, "file " TALUS_TEST_FIRMWARE "/pe.elf\nadd-symbol-file " TALUS_TEST_KERNEL
                    ".elf -o " +
                        std::to_string(reference.code) + "\ntarget remote " + socket + R"(
tbreak accumulate thread 8
continue
monitor inject flip:memory=local:pe=0.1:addr=0x10005:bit=6
monitor inject
monitor inject flip:memory=local:pe=9.9
detach
)");
    const Outcome outcome = client.get();
    const std::uint64_t byte = byte_at(kBytesPerPe + 5);
    ASSERT_EQ(outcome.completions.size(), 3u) << outcome.error << output;
    EXPECT_EQ(outcome.completions[0].result, outcome.expected - byte + (byte ^ 64u)) << output;
    EXPECT_EQ(outcome.completions[1].result, outcome.expected);
    EXPECT_NE(output.find("noticed by nobody"), std::string::npos) << output;
    EXPECT_NE(output.find("there is no PE 9.9"), std::string::npos) << output;
}

} // namespace
