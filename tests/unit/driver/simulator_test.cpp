// The talus-sim child: found, started, and never left behind. The program is played by shell
// scripts.
#include "simulator.hpp"

#include "error.hpp"
#include "locate.hpp"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace talus::driver {
namespace {

namespace fs = std::filesystem;

class SimulatorTest : public ::testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/talus-simulator-test-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        folder_ = name;
        for (const char* variable : {"TALUS_SIM", "TALUS_FIRMWARE"})
            unsetenv(variable);
    }
    void TearDown() override { fs::remove_all(folder_); }

    std::string script(const std::string& body, const std::string& name = "talus-sim") {
        const fs::path path = folder_ / name;
        std::ofstream(path) << "#!/bin/sh\n" << body << "\n";
        chmod(path.c_str(), 0755);
        return path.string();
    }
    static std::pair<talus_drv_status, std::string>
    failure(const std::function<void()>& operation) {
        try {
            operation();
        } catch (const Error& error) {
            return {error.status(), error.what()};
        }
        return {TALUS_DRV_OK, ""};
    }

    fs::path folder_;
};

TEST_F(SimulatorTest, GetsItsSocketAndArguments) {
    // Says what it was given, over the socket.
    Simulator simulator(script("echo ready\necho \"$@\" >&3"), {"--config", "a b.toml"});
    const UniqueFd socket = simulator.take_socket();
    std::string text;
    char byte = 0;
    while (read(socket.get(), &byte, 1) == 1)
        text += byte;
    EXPECT_EQ(text, "--fd 3 --config a b.toml\n");
}

TEST_F(SimulatorTest, EndsWithItsSocket) {
    pid_t pid = 0;
    {
        Simulator simulator(script("echo ready\nread line <&3"), {});
        pid = simulator.pid();
        EXPECT_EQ(simulator.ending(0), "");
        EXPECT_EQ(kill(pid, 0), 0);
    } // the socket closes, the script's read ends
    EXPECT_EQ(kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH); // gone, and reaped
}

TEST_F(SimulatorTest, DeathBeforeReadinessNamesItsEnd) {
    const auto [status, text] =
        failure([&] { Simulator(script("printf 'no such config'\nexit 3"), {}); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
    EXPECT_NE(text.find("exit code 3"), std::string::npos) << text;
    EXPECT_NE(text.find("no such config"), std::string::npos) << text;
}

TEST_F(SimulatorTest, DeathBySignalIsNamed) {
    Simulator simulator(script("echo ready\nread line <&3"), {});
    kill(simulator.pid(), SIGKILL);
    EXPECT_NE(simulator.ending(5000).find("signal 9"), std::string::npos);
}

TEST_F(SimulatorTest, MissingProgramIsNotFound) {
    EXPECT_EQ(failure([&] { Simulator((folder_ / "absent").string(), {}); }).first,
              TALUS_DRV_NOT_FOUND);
}

TEST_F(SimulatorTest, IsFoundByArgumentThenVariableThenPath) {
    const std::string by_argument = script("", "by-argument");
    const std::string by_variable = script("", "by-variable");
    EXPECT_EQ(find_simulator(by_argument), by_argument);
    setenv("TALUS_SIM", by_variable.c_str(), 1);
    EXPECT_EQ(find_simulator(""), by_variable);
    EXPECT_EQ(find_simulator(by_argument), by_argument);
    // A variable that names nothing is an error, not a reason to take another.
    setenv("TALUS_SIM", "/nonexistent", 1);
    const auto [status, text] = failure([] { find_simulator(""); });
    EXPECT_EQ(status, TALUS_DRV_NOT_FOUND);
    EXPECT_NE(text.find("TALUS_SIM"), std::string::npos) << text;
}

TEST_F(SimulatorTest, FirmwareIsFoundByArgumentThenVariable) {
    const std::string image = script("", "image");
    EXPECT_EQ(find_firmware(image), image);
    setenv("TALUS_FIRMWARE", image.c_str(), 1);
    EXPECT_EQ(find_firmware(""), image);
    setenv("TALUS_FIRMWARE", "/nonexistent", 1);
    EXPECT_EQ(failure([] { find_firmware(""); }).first, TALUS_DRV_NOT_FOUND);
    EXPECT_EQ(failure([] { find_firmware("/nonexistent"); }).first, TALUS_DRV_NOT_FOUND);
}

} // namespace
} // namespace talus::driver
