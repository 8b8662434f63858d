// The commit log of a whole device: it names harts and places, and takes no simulated time.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "busy_run.hpp"

namespace {

namespace fs = std::filesystem;

TEST(CommitLog, OfADeviceChangesNoClock) {
    const talus::test::Ran plain = talus::test::run_busy_kernel(true);
    std::string folder = (fs::temp_directory_path() / "talus_commits_XXXXXX").string();
    ASSERT_NE(mkdtemp(folder.data()), nullptr);
    const std::string path = folder + "/commits";
    // PE 1.2 of a grid of 8 columns is number 10.
    setenv("TALUS_SIM_ARGS",
           ("--commit-log " + path +
            " --commit-log-harts 24-25,0 --commit-log-pc 0x30100000-0x7fffffff")
               .c_str(),
           1);
    const talus::test::Ran logged = talus::test::run_busy_kernel(true);
    unsetenv("TALUS_SIM_ARGS");
    EXPECT_EQ(logged.launch.device_cycles, plain.launch.device_cycles);
    EXPECT_EQ(logged.launch.exec_cycles, plain.launch.exec_cycles);
    // Not at which clock it began: that depends on how often the host looked meanwhile.
    EXPECT_EQ(logged.record.end - logged.record.begin, plain.record.end - plain.record.begin);
    talus::test::expect_same_counters(logged, plain);

    std::map<std::string, unsigned> harts;
    std::ifstream stream(path);
    for (std::string line; std::getline(stream, line);) {
        const std::string hart = line.substr(0, line.find(':'));
        ++harts[hart];
        if (hart == "core   0") {
            ASSERT_NE(line.find(" control hart 0 "), std::string::npos) << line;
        } else {
            ASSERT_NE(line.find(" PE 1.2 core "), std::string::npos) << line;
        }
    }
    EXPECT_EQ(harts.size(), 3u);
    fs::remove_all(folder);
}

} // namespace
