// Driver, simulator and firmware together: what only a simulator has.
#include "sim_session.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>

namespace talus::driver_sim {
namespace {

TEST(DriverSim, DeviceWithoutShadowDoorbellsWorks) {
    const char* const arguments[] = {"--cap", "shadow=off", nullptr};
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    options.simulator_args = arguments;
    Session session(options);
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    EXPECT_EQ(info.shadow_doorbells, 0u);
    EXPECT_EQ(session.run({nop(1), nop(2)}).size(), 2u);
}

// ---- Discovery and talus-smi ----

TEST(DriverSim, PublishedDeviceIsFoundAndOpened) {
    const SimProcess sim(true);
    std::size_t count = 0;
    talus_drv_found found{};
    ASSERT_DRV_OK(talus_drv_discover(sim.sysfs().c_str(), &found, 1, &count));
    ASSERT_EQ(count, 1u);
    EXPECT_EQ(found.simulated, 1);
    EXPECT_EQ(found.vendor_id, 0x1af4);
    EXPECT_EQ(found.device_id, 0x10f1);
    EXPECT_EQ(found.bar_count, 3);
    EXPECT_EQ(std::string(found.socket), sim.socket());

    const auto list =
        run_program(std::string(TALUS_TEST_SMI) + " list --json --sysfs " + sim.sysfs());
    EXPECT_EQ(list.second, 0);
    const auto devices = nlohmann::json::parse(list.first).at("devices");
    ASSERT_EQ(devices.size(), 1u);
    EXPECT_EQ(devices[0].at("name"), found.name);
    EXPECT_EQ(devices[0].at("simulated"), true);

    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = found.name;
    options.sysfs = sim.sysfs().c_str();
    Session session(options);
    EXPECT_EQ(session.run({nop(9)}).at(0).user_data, 9u);
}

// Exit codes: 0 only if the device runs afterwards, 1 it does not, 2 wrong usage, 3 no device.
TEST(DriverSim, SmiResetsADevice) {
    const SimProcess sim;
    const auto reset = [&](const std::string& arguments) {
        return run_program(std::string(TALUS_TEST_SMI) + " reset -d " + sim.socket() + " " +
                           arguments + " 2>&1");
    };
    std::uint32_t epoch = 0;
    for (const auto& [arguments, rung] : std::initializer_list<std::pair<std::string, std::string>>{
             {"", "function-level reset"},
             {"--rung flr", "function-level reset"},
             {"--rung fundamental", "fundamental reset"}}) {
        const auto [text, code] = reset("--json " + arguments);
        ASSERT_EQ(code, 0) << text;
        const auto report = nlohmann::json::parse(text);
        EXPECT_EQ(report.at("device"), sim.socket());
        EXPECT_EQ(report.at("rung"), rung);
        EXPECT_EQ(report.at("reason"), "");
        EXPECT_EQ(report.at("boot_state"), "READY");
        EXPECT_GT(report.at("seconds"), 0);
        EXPECT_GT(report.at("reset_epoch"), epoch);
        epoch = report.at("reset_epoch");
    }
    const auto [line, code] = reset("");
    EXPECT_EQ(code, 0);
    EXPECT_NE(line.find("(simulated): function-level reset in 0."), std::string::npos) << line;
    const auto hot = reset("--rung hot");
    EXPECT_EQ(hot.second, 1);
    EXPECT_NE(hot.first.find("there is no bus to reset"), std::string::npos) << hot.first;
    EXPECT_EQ(reset("--rung cold").second, 2);
    EXPECT_EQ(run_program(std::string(TALUS_TEST_SMI) + " reset -d /nowhere 2>&1").second, 3);
    {
        Session session(sim.options()); // nobody resets a device under its owner's hands
        const auto held = reset("");
        EXPECT_EQ(held.second, 1) << held.first;
        EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
    }
}

TEST(DriverSim, CardsOfOneProcessAreApart) {
    constexpr unsigned kCards = 4;
    const SimProcess sim(true, {}, kCards);
    std::size_t count = 0;
    std::vector<talus_drv_found> found(kCards);
    ASSERT_DRV_OK(talus_drv_discover(sim.sysfs().c_str(), found.data(), kCards, &count));
    ASSERT_EQ(count, kCards);
    std::vector<std::unique_ptr<Session>> sessions;
    std::set<std::string> serials;
    std::uint64_t dram = 0;
    for (unsigned i = 0; i < kCards; ++i) {
        EXPECT_EQ(std::string(found[i].socket), sim.socket() + "." + std::to_string(i));
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = found[i].name;
        options.sysfs = sim.sysfs().c_str();
        sessions.push_back(std::make_unique<Session>(options));
        talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
        ASSERT_DRV_OK(talus_drv_get_info(sessions[i]->device, &info));
        serials.insert(info.serial);
        dram = sessions[i]->memory(TALUS_DRV_DRAM, 64); // the same address on every card
        const std::uint64_t value = 1000 + i;
        EXPECT_DRV_OK(talus_drv_copy_in(sessions[i]->queue, dram, &value, sizeof value));
    }
    EXPECT_EQ(serials.size(), kCards);
    ASSERT_DRV_OK(talus_drv_reset(sessions[1]->device)); // which is nobody else's business
    for (const unsigned i : {0u, 2u, 3u}) {
        std::uint64_t back = 0;
        EXPECT_DRV_OK(talus_drv_copy_out(sessions[i]->queue, &back, dram, sizeof back));
        EXPECT_EQ(back, 1000 + i);
    }
}

// ---- Recordings ----

/// What a session saw: statuses and cycles of completions, bytes, the device's name for itself.
std::string what_is_seen(const char* device) {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = device;
    Session session(options);
    std::string seen;
    const auto note = [&](const std::vector<talus_drv_completion>& done) {
        for (const talus_drv_completion& each : done)
            seen +=
                std::to_string(each.device_status) + "/" + std::to_string(each.device_cycles) + " ";
    };
    note(session.run({nop(1), nop(2)}));
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    const std::string text = "written by the host, read back from the device";
    std::string back(text.size(), '?');
    EXPECT_DRV_OK(talus_drv_copy_in(session.queue, dram, text.data(), text.size()));
    EXPECT_DRV_OK(talus_drv_copy_out(session.queue, back.data(), dram, back.size()));
    seen += back + " ";
    note(session.run({copy(TALUS_DRV_COPY_D2D, 0, 0, 64), nop(3)}));
    note(session.run({launch(session.load(kernel_that_returns()))}));
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    EXPECT_DRV_OK(talus_drv_get_info(session.device, &info));
    return seen + info.product + " " + info.serial;
}

TEST(DriverSim, RecordingReplaysWithoutTheDevice) {
    const std::string file = testing::TempDir() + "talus-recording-" + std::to_string(getpid());
    setenv("TALUS_RECORD", file.c_str(), 1);
    const std::string recorded = what_is_seen("sim");
    unsetenv("TALUS_RECORD");
    EXPECT_NE(recorded.find("written by the host, read back"), std::string::npos);
    const std::string replay = "replay:" + file;
    EXPECT_EQ(what_is_seen(replay.c_str()), recorded);

    // A driver that does something else is told where.
    std::ifstream in(file);
    std::string changed((std::istreambuf_iterator<char>(in)), {});
    const std::size_t doing = changed.find(" bar_write32 ");
    ASSERT_NE(doing, std::string::npos);
    changed[doing + 1] = 'X';
    std::ofstream(file, std::ios::trunc) << changed;
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = replay.c_str();
    talus_drv_device* device = nullptr;
    EXPECT_EQ(talus_drv_open(&options, &device), TALUS_DRV_PROTOCOL);
    EXPECT_NE(std::string(talus_drv_last_error()).find("has left the recording: line "),
              std::string::npos)
        << talus_drv_last_error();
    std::ofstream(file, std::ios::trunc) << "something else\n";
    EXPECT_EQ(talus_drv_open(&options, &device), TALUS_DRV_PROTOCOL);
    std::remove(file.c_str());
    EXPECT_EQ(talus_drv_open(&options, &device), TALUS_DRV_NOT_FOUND);
}

TEST(DriverSim, OneClientAfterAnother) {
    const SimProcess sim;
    for (int i = 0; i < 3; ++i) {
        Session session(sim.options());
        const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 64);
        const std::uint64_t value = 0x1234567890abcdef;
        std::uint64_t back = 0;
        EXPECT_DRV_OK(talus_drv_copy_in(session.queue, dram, &value, sizeof value));
        EXPECT_DRV_OK(talus_drv_copy_out(session.queue, &back, dram, sizeof back));
        EXPECT_EQ(back, value);
    }
}

TEST(DriverSim, SmiReportsASimulatedDevice) {
    const auto info = run_program(std::string(TALUS_TEST_SMI) + " info --device sim --json");
    ASSERT_EQ(info.second, 0) << info.first;
    const auto report = nlohmann::json::parse(info.first);
    EXPECT_EQ(report.at("simulated"), true);
    EXPECT_EQ(report.at("boot_state"), "READY");
    EXPECT_EQ(report.at("firmware_version"), report.at("driver_version"));
    EXPECT_GT(report.at("heartbeat").get<int>(), 0);
    EXPECT_GT(report.at("temperature_c").get<double>(), 0.0);
    const auto log = run_program(std::string(TALUS_TEST_SMI) + " log --device sim");
    EXPECT_EQ(log.second, 0);
    EXPECT_NE(log.first.find("talus firmware"), std::string::npos) << log.first;
    EXPECT_EQ(run_program(std::string(TALUS_TEST_SMI) + " info --device ffff:ff:1f.7 2>&1").second,
              3);
    EXPECT_EQ(run_program(std::string(TALUS_TEST_SMI) + " nonsense 2>&1").second, 2);
}

TEST(DriverSim, InspectionLeavesAnIdleDeviceInItsRom) {
    const SimProcess sim;
    talus_drv_open_options options = sim.options();
    options.flags = TALUS_DRV_OPEN_NO_BOOT;
    talus_drv_device* device = nullptr;
    ASSERT_DRV_OK(talus_drv_open(&options, &device));
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    EXPECT_DRV_OK(talus_drv_get_info(device, &info));
    EXPECT_STREQ(info.boot_state_name, "ROM_READY");
    talus_drv_close(device);
}

} // namespace
} // namespace talus::driver_sim
