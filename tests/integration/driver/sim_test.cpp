// Driver, simulator and firmware together: what only a simulator has.
#include "sim_session.hpp"

#include <nlohmann/json.hpp>

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

TEST(DriverSim, CardsOfOneProcessAreApart) {
    constexpr unsigned kCards = 4;
    const SimProcess sim(true, kCards);
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
