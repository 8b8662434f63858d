// What nobody uses costs nothing: idle cores execute nothing, untouched memory is not there.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "busy_run.hpp"

namespace {

namespace fs = std::filesystem;

/// The statistics of a session with so many launches on the sub-grid of rows 1-2, columns 2-4.
nlohmann::json statistics(unsigned launches) {
    std::string folder = (fs::temp_directory_path() / "talus_idle_XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) {
        throw std::runtime_error("mkdtemp");
    }
    setenv("TALUS_SIM_ARGS", ("--stats " + folder + "/stats.json").c_str(), 1);
    talus::test::run_busy_kernel(false, launches);
    unsetenv("TALUS_SIM_ARGS");
    std::ifstream file(folder + "/stats.json");
    nlohmann::json json = nlohmann::json::parse(file);
    fs::remove_all(folder);
    return json;
}

TEST(Idle, CoresOutsideOfALaunchExecuteNothing) {
    const nlohmann::json once = statistics(1), often = statistics(6);
    ASSERT_EQ(often["pe"].size(), 64u);
    ASSERT_EQ(once["host"]["launches"], 1);
    ASSERT_EQ(often["host"]["launches"], 6);
    const std::set<std::string> busy = {"1.2", "1.3", "1.4", "2.2", "2.3", "2.4"};
    for (const auto& [pe, counters] : often["pe"].items()) {
        for (const char* core : {"core A", "core B"}) {
            const nlohmann::json &a = once["pe"][pe][core], &b = counters[core];
            if (busy.contains(pe)) {
                EXPECT_GT(b["instructions"], a["instructions"]) << pe << " " << core;
            } else {
                EXPECT_EQ(b["instructions"], a["instructions"]) << pe << " " << core;
                EXPECT_EQ(b["clocks"]["run"], a["clocks"]["run"]) << pe << " " << core;
            }
        }
    }
}

/// The resident memory of this process's only child.
std::uint64_t resident_mib_of_child() {
    std::ifstream children("/proc/thread-self/children");
    std::string pid;
    children >> pid;
    std::ifstream status("/proc/" + pid + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) {
            return std::stoull(line.substr(6)) / 1024;
        }
    }
    return 0;
}

TEST(Idle, UntouchedMemoryIsNotResident) {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    talus_drv_device* device = nullptr;
    ASSERT_EQ(talus_drv_open(&options, &device), TALUS_DRV_OK) << talus_drv_last_error();
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    EXPECT_EQ(talus_drv_get_info(device, &info), TALUS_DRV_OK);
    const std::uint64_t resident = resident_mib_of_child();
    talus_drv_close(device);
    EXPECT_GE(info.dram_bytes, std::uint64_t{32} << 30);
    if (resident == 0) {
        GTEST_SKIP() << "the kernel does not list children (CONFIG_PROC_CHILDREN)";
    }
    // A sanitizer keeps a shadow of its own, and what was freed.
#if defined(__SANITIZE_ADDRESS__)
    EXPECT_LT(resident, 2048u);
#else
    EXPECT_LT(resident, 300u);
#endif
}

} // namespace
