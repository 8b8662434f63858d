// Injected faults do what they say, at the same place in every run, and the report knows whether
// anything noticed. Expected results follow from the bytes that the kernel adds up (session.cpp).
#include <fstream>
#include <future>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "talus/hw/address_map.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"

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
    nlohmann::json ecc; ///< of the statistics

    Outcome run(const std::vector<std::string>& specifications,
                const std::vector<std::string>& switches = {}) {
        std::vector<std::string> arguments{"--inject-report", folder.path("report.json"), "--stats",
                                           folder.path("stats.json")};
        for (const std::string& assignment : switches) {
            arguments.insert(arguments.end(), {"--set", assignment});
        }
        for (const std::string& specification : specifications) {
            arguments.insert(arguments.end(), {"--inject", specification});
        }
        Outcome outcome = run_session(arguments);
        EXPECT_EQ(outcome.error, "");
        EXPECT_EQ(outcome.completions.size(), 3u);
        outcome.completions.resize(3);
        std::ifstream file(folder.path("report.json"));
        faults = nlohmann::json::parse(file)["faults"];
        std::ifstream statistics(folder.path("stats.json"));
        ecc = nlohmann::json::parse(statistics)["ecc"];
        return outcome;
    }
    /// What became of a fault's first flip.
    std::string fate(std::size_t fault = 0) const {
        return faults.at(fault).at("injected").at(0).at("fate").get<std::string>();
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

// --- memories with ECC ---------------------------------------------------------------------------

constexpr std::uint16_t kMemoryError = TALUS_MEMORY_ERROR | TALUS_STATUS_MORE;
const std::vector<std::string> kDramEcc{"dram.ecc=true", "dram.bytes=60129542144"};

std::string lls_flip(std::uint64_t address, const std::string& more) {
    return "flip:memory=lls:addr=" + std::to_string(address - TALUS_LLS_BASE) + more;
}

TEST_F(Inject, OneBitIsCorrectedAndCounted) {
    const Outcome plain = run_session({});
    const Outcome outcome = run({lls_flip(plain.args, ":bit=3:job=2")});
    EXPECT_EQ(outcome.completions[0], plain.completions[0]);
    EXPECT_EQ(outcome.completions[1].result,
              outcome.expected); // later: the firmware logs meanwhile
    EXPECT_EQ(outcome.completions[2], plain.completions[2]);
    EXPECT_NE(fate().find("corrected by ECC"), std::string::npos) << fate();
    ASSERT_EQ(faults[0]["noticed"].size(), 1u) << faults.dump(1);
    EXPECT_EQ(ecc["corrected"]["shared_sram"], 1);
    EXPECT_EQ(ecc["uncorrectable"]["shared_sram"], 0);
    EXPECT_EQ(outcome.corrected[TALUS_ECC_SHARED_SRAM], 1u);
    EXPECT_EQ(outcome.corrected[TALUS_ECC_LOCAL], 0u);
    EXPECT_NE(outcome.log.find("ecc: shared SRAM at 0x"), std::string::npos) << outcome.log;
    EXPECT_NE(outcome.log.find("one wrong bit, corrected"), std::string::npos) << outcome.log;
}

// Work-queue engines read the arguments: the PEs do not even have a job when they meet the error.
TEST_F(Inject, TwoBitsOfTheArgumentsFailTheJobAndNotTheNext) {
    const Outcome plain = run_session({});
    const Outcome outcome = run({lls_flip(plain.args, ":bits=2:job=2")});
    EXPECT_EQ(outcome.completions[0], plain.completions[0]);
    EXPECT_EQ(outcome.completions[1].status, kMemoryError);
    EXPECT_EQ(outcome.completions[2].status, 0);
    EXPECT_EQ(outcome.completions[2].result, outcome.expected);
    EXPECT_NE(fate().find("overwritten"), std::string::npos) << fate(); // by the next job's
    EXPECT_GE(ecc["uncorrectable"]["shared_sram"], 1);
    EXPECT_GE(outcome.uncorrectable[TALUS_ECC_SHARED_SRAM], 1u);
    EXPECT_NE(outcome.log.find("more wrong bits than can be corrected"), std::string::npos);
    std::string noticed;
    for (const auto& entry : faults[0]["noticed"]) {
        noticed += entry["what"].get<std::string>() + "\n";
    }
    EXPECT_NE(noticed.find("more wrong bits than ECC corrects"), std::string::npos) << noticed;
    EXPECT_NE(noticed.find("failed, status"), std::string::npos) << noticed;
    EXPECT_EQ(run({lls_flip(plain.args, ":bits=2:job=2")}).completions, outcome.completions);
}

TEST_F(Inject, TwoBitsOfTheCodeTrapTheCoresThatFetchIt) {
    const Outcome plain = run_session({});
    const Outcome outcome = run({lls_flip(plain.code, ":bits=2:job=2")});
    EXPECT_EQ(outcome.completions[1].status, kMemoryError);
    EXPECT_EQ(outcome.completions[2].status, kMemoryError); // nobody has written it since
    EXPECT_NE(fate().find("uncorrectable"), std::string::npos) << fate();
    EXPECT_NE(outcome.log.find("cause 19"), std::string::npos) << outcome.log;
}

TEST_F(Inject, DramIsProtectedIfItsControllersComputeEcc) {
    const std::string flip = "flip:memory=dram:addr=0x2000:job=1";
    Outcome outcome = run({flip + ":bit=0"}, kDramEcc);
    EXPECT_EQ(outcome.completions[0].result, outcome.expected);
    EXPECT_EQ(ecc["corrected"]["dram"], 1);
    // A DMA command of the PE that reads it.
    outcome = run({flip + ":bits=2"}, kDramEcc);
    EXPECT_EQ(outcome.completions[0].status, kMemoryError);
    EXPECT_EQ(outcome.uncorrectable[TALUS_ECC_DRAM], 3u); // every job's
    EXPECT_NE(outcome.log.find("PE (1, 0) core 0 cause 19"), std::string::npos) << outcome.log;
    // Behind a line of the LLC, which the first job has brought in.
    outcome = run({"flip:memory=dram:addr=0x2000:bits=2:job=2"}, kDramEcc);
    EXPECT_EQ(outcome.completions[1].result, outcome.expected);
    EXPECT_EQ(fate(), "not read yet");
    // That line itself, and without ECC in DRAM.
    outcome = run({"flip:memory=llc:addr=0x2000:bits=2:job=2", "flip:memory=llc:addr=0x0:job=1"});
    EXPECT_EQ(outcome.completions[1].status, kMemoryError);
    EXPECT_EQ(faults[1]["injected"][0]["what"],
              "the LLC does not hold DRAM + 0x0: nothing happens");
    outcome = run({flip + ":bit=0"});
    EXPECT_NE(outcome.completions[0].result, outcome.expected);
    EXPECT_EQ(outcome.completions[0].status, 0);
    EXPECT_EQ(fate(), "no ECC: silent");
}

// The firmware's own memory: it says so, and stops.
TEST_F(Inject, TwoBitsOfTheFirmwareArePanic) {
    std::vector<std::string> arguments;
    for (unsigned address = 0x200000; address < 0x201000; address += 64) { // its commands
        arguments.insert(
            arguments.end(),
            {"--inject", "flip:memory=control:addr=" + std::to_string(address) + ":bits=2:job=2"});
    }
    const Outcome outcome = run_session(arguments);
    EXPECT_EQ(outcome.completions.size(), 1u);
    EXPECT_NE(outcome.error.find("device memory"), std::string::npos) << outcome.error;
}

// By hand: bits of the operand, while the kernel stands before it.
class LocalFlip : public Inject {
  protected:
    Outcome run_to_operand(const std::vector<std::string>& switches, const std::string& more) {
        const Outcome reference = run_session({});
        const std::string socket = folder.path("gdb");
        auto client = std::async(std::launch::async, [&] {
            std::vector<std::string> arguments{"--gdb", "unix:" + socket, "--wait-gdb"};
            arguments.insert(arguments.end(), switches.begin(), switches.end());
            return run_session(arguments);
        });
        EXPECT_TRUE(appears(socket));
        output = gdb(folder, "file " TALUS_TEST_FIRMWARE
                             "/pe.elf\nadd-symbol-file " TALUS_TEST_KERNEL ".elf -o " +
                                 std::to_string(reference.code) + "\ntarget remote " + socket + R"(
tbreak accumulate thread 8
continue
monitor inject flip:memory=local:pe=0.1:addr=0x10005:bit=6)" +
                                 more + R"(
monitor inject
monitor inject flip:memory=local:pe=9.9
detach
)");
        Outcome outcome = client.get();
        EXPECT_EQ(outcome.completions.size(), 3u) << outcome.error << output;
        outcome.completions.resize(3);
        return outcome;
    }
    std::string output;
};

TEST_F(LocalFlip, WithoutEccItIsInTheResult) {
    const Outcome outcome = run_to_operand({"--set", "local.ecc=false"}, "");
    const std::uint64_t byte = byte_at(kBytesPerPe + 5);
    EXPECT_EQ(outcome.completions[0].result, outcome.expected - byte + (byte ^ 64u)) << output;
    EXPECT_EQ(outcome.completions[1].result, outcome.expected);
    EXPECT_NE(output.find("no ECC: silent"), std::string::npos) << output;
    EXPECT_NE(output.find("noticed by nobody"), std::string::npos) << output;
    EXPECT_NE(output.find("there is no PE 9.9"), std::string::npos) << output;
}

// The vector loads of core B, which run past global time while nothing is damaged.
TEST_F(LocalFlip, OneBitIsCorrected) {
    const Outcome outcome = run_to_operand({}, "");
    EXPECT_EQ(outcome.completions[0].result, outcome.expected) << output;
    EXPECT_EQ(outcome.completions[1].result, outcome.expected);
    EXPECT_EQ(outcome.corrected[TALUS_ECC_LOCAL], 1u);
    EXPECT_NE(output.find("not read yet"), std::string::npos) << output;
    EXPECT_NE(outcome.log.find("ecc: PE local memory at 0x80110000: one wrong bit"),
              std::string::npos)
        << outcome.log;
}

TEST_F(LocalFlip, TwoBitsFailTheJobAndNotTheNext) {
    const Outcome outcome = run_to_operand({}, ":bits=2");
    EXPECT_EQ(outcome.completions[0].status, kMemoryError) << output;
    EXPECT_EQ(outcome.completions[1].result, outcome.expected);
    EXPECT_EQ(outcome.uncorrectable[TALUS_ECC_LOCAL], 1u);
    EXPECT_NE(outcome.log.find("PE (0, 1) core 1 cause 19"), std::string::npos) << outcome.log;
}

} // namespace
