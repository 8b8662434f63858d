// Energy per event against the table by hand, the power cap's clock steps, the thermal model.
#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"
#include "talus/hw/registers.h"

#include "common/gzip_member.hpp"
#include "fakes.hpp"
#include "mem/fabric.hpp"
#include "soc/cores.hpp"
#include "soc/dma_engine.hpp"
#include "soc/energy.hpp"
#include "soc/pcie_link.hpp"
#include "soc/sensors.hpp"

namespace talus::sim {
namespace {

class EnergyTest : public testing::Test {
  protected:
    void build() {
        diagnostics.open("/dev/null");
        config.noc.engine_credits = 0; // what is asked for counts at the call: no event is run
        fabric = std::make_unique<Fabric>(config, events);
        cores = std::make_unique<Cores>(config, events, *fabric, diagnostics);
        link = std::make_unique<PcieLink>(config);
        dma = std::make_unique<DmaEngines>(config, events, diagnostics, *link, *fabric, interrupts);
        meter = std::make_unique<EnergyMeter>(config, *cores, *fabric, *link, *dma);
        governor = std::make_unique<ClockGovernor>(config, *meter);
    }
    void read_dram(Cycle now, std::uint64_t bytes) {
        fabric->transfer(Requester::engine(0), now, TALUS_DRAM_BASE, bytes, false, Notify{});
    }

    Config config = Config::load(TALUS_CONFIG_FILE);
    EventQueue events;
    Diagnostics diagnostics;
    std::unique_ptr<Fabric> fabric;
    std::unique_ptr<Cores> cores;
    std::unique_ptr<PcieLink> link;
    test::FakeLines lines;
    InterruptController interrupts{lines};
    std::unique_ptr<DmaEngines> dma;
    std::unique_ptr<EnergyMeter> meter;
    std::unique_ptr<ClockGovernor> governor;
};

TEST_F(EnergyTest, EventsCostWhatTheTableSays) {
    build();
    EXPECT_EQ(meter->joules(), 0.0);
    read_dram(0, 1 << 20);
    link->read(0, 0, 1000);
    link->write(0, 0, 500);
    const FabricCounters& counters = fabric->counters();
    EXPECT_EQ(counters.dram_read_bytes, 1u << 20);
    const EnergyReport report = meter->chip();
    EXPECT_NEAR(
        report.dram,
        1e-15 * (1048576.0 * config.energy.dram_byte_fj +
                 static_cast<double>(counters.dram_row_misses) * config.energy.dram_activate_fj),
        1e-12);
    EXPECT_NEAR(report.pcie, 1e-15 * 1500.0 * config.energy.pcie_byte_fj, 1e-15);
    EXPECT_NEAR(report.noc, 1e-15 * 1048576.0 * config.energy.noc_byte_fj, 1e-12);
    EXPECT_EQ(report.dpe + report.simd + report.local + report.cores, 0.0);
    EXPECT_EQ(meter->pe(0).total(), 0.0);
    EXPECT_NEAR(meter->joules(), report.dram + report.pcie + report.sram + report.noc, 1e-12);
}

TEST_F(EnergyTest, TheGzipEngineCostsByTheByteItMakes) {
    const std::vector<std::uint8_t> data(10'000, 7);
    const std::vector<std::uint8_t> member = talus::test::gzip(data);
    ASSERT_LT(member.size(), 1000u);
    build();
    test::FakeHost host;
    dma->connect(host);
    std::copy(member.begin(), member.end(), host.memory.begin());
    dma->write64(0, DMA_HOST, test::FakeHost::kBase);
    dma->write64(0, DMA_DEVICE, TALUS_LLS_BASE);
    dma->write64(0, DMA_BYTES, data.size());
    dma->write64(0, DMA_GZIP_BYTES, member.size());
    dma->write32(0, DMA_KIND, TALUS_COPY_H2D | TALUS_COPY_GZIP);
    dma->write32(0, DMA_START, 1);
    while (!events.empty()) {
        events.run_next();
    }
    ASSERT_EQ(dma->gzip_bytes_out(), data.size());
    const EnergyReport report = meter->chip();
    EXPECT_GT(config.energy.gzip_byte_fj, 0u);
    EXPECT_NEAR(report.gzip, 1e-15 * 10'000.0 * config.energy.gzip_byte_fj, 1e-18);
    EXPECT_NEAR(report.pcie,
                1e-15 * static_cast<double>(member.size()) * config.energy.pcie_byte_fj, 1e-15);
    EXPECT_NEAR(meter->joules(), report.gzip + report.pcie + report.sram + report.noc, 1e-15);
    const double with = meter->joules();
    const double engine = report.gzip;
    config.energy.gzip_byte_fj = 0; // switched off: nothing else changes
    EXPECT_EQ(meter->chip().gzip, 0.0);
    EXPECT_NEAR(meter->joules(), with - engine, 1e-18);
}

TEST_F(EnergyTest, TheClockStepsDownAtTheCapAndUpBelowIt) {
    config.power.cap_window_clocks = 1000;
    config.power.cap_mw = config.power.idle_mw + 1000;
    config.energy.dram_byte_fj = 1000; // 1 nJ per 1,000 bytes
    config.energy.dram_activate_fj = 0;
    config.energy.sram_byte_fj = 0;
    config.energy.noc_byte_fj = 0;
    build();
    // A window of 1,000 clocks is 740.7 ns: 2 W of DRAM are 1,481 nJ.
    const auto window = [&](unsigned number, std::uint64_t bytes) {
        read_dram(number * 1000, bytes);
        return governor->clock((number + 1) * 1000).step;
    };
    governor->restart(0);
    EXPECT_EQ(governor->clock(999).step, config.device.clock_khz);
    EXPECT_EQ(window(0, 1481482), config.power.middle_khz);
    EXPECT_TRUE(governor->capped());
    EXPECT_EQ(window(1, 1481482), config.power.low_khz);
    EXPECT_EQ(window(2, 1481482), config.power.low_khz); // there is no lower one
    // 0.95 W would be 1.08 W at the next step: it stays. 0.5 W is let up, step by step.
    EXPECT_EQ(window(3, 703704), config.power.low_khz);
    EXPECT_EQ(window(4, 370370), config.power.middle_khz);
    EXPECT_EQ(window(5, 370370), config.device.clock_khz);
    EXPECT_FALSE(governor->capped());

    EXPECT_EQ(window(6, 1481482), config.power.middle_khz);
    governor->restart(7000);
    EXPECT_EQ(governor->clock(7000).step, config.device.clock_khz);
}

TEST_F(EnergyTest, TheCapCanBeSwitchedOff) {
    config.power.cap = false;
    config.power.cap_mw = 1;
    config.power.cap_window_clocks = 1000;
    build();
    read_dram(0, 1 << 20);
    EXPECT_EQ(governor->clock(1000).step, config.device.clock_khz);
}

TEST_F(EnergyTest, PowerAndTemperatureFollow) {
    config.energy.dram_byte_fj = 40000000; // 40 nJ: a thousand times too much, to see it
    config.energy.dram_activate_fj = 0;
    config.energy.sram_byte_fj = 0;
    config.energy.noc_byte_fj = 0;
    build();
    Sensors sensors(config, *meter, *governor);
    sensors.reset();
    EXPECT_EQ(sensors.power_mw(), config.power.idle_mw);
    const double resistance = config.power.millikelvin_per_watt; // millidegrees per watt
    const double idle = config.power.ambient_mc + config.power.idle_mw * 1e-3 * resistance;
    EXPECT_NEAR(sensors.temperature_mc(), idle, 1);
    // 1 ms with 1 MiB of DRAM: 41.9 mJ, 41.9 W above idle.
    read_dram(0, 1 << 20);
    EXPECT_FALSE(sensors.update(config.power.window_clocks - 1));
    EXPECT_TRUE(sensors.update(config.power.window_clocks));
    const double watts =
        config.power.idle_mw * 1e-3 + 1048576.0 * config.energy.dram_byte_fj * 1e-15 / 1e-3;
    EXPECT_NEAR(sensors.power_mw(), watts * 1e3, 1);
    EXPECT_EQ(sensors.energy_uj(), 41943u);
    EXPECT_EQ(sensors.read32(0, SENSOR_ENERGY_UJ_LO), 41943u);
    const double warm =
        idle + 41.943 * resistance * (1 - std::exp(-1.0 / config.power.time_constant_ms));
    EXPECT_NEAR(sensors.temperature_mc(), warm, 1);
    EXPECT_GT(warm, idle + 100);
    EXPECT_EQ(sensors.read32(0, SENSOR_CLOCK_KHZ), config.device.clock_khz);
    EXPECT_EQ(sensors.read32(0, SENSOR_CLOCK_REASON), TALUS_CLOCK_FULL);
    // One thermal time constant later, idle again, 63 % of the way back are done.
    const Cycle constant = Cycle{config.power.time_constant_ms} * config.device.clock_khz;
    const double before = sensors.temperature_mc();
    EXPECT_TRUE(sensors.update(config.power.window_clocks + constant));
    EXPECT_NEAR(sensors.temperature_mc(), idle + (before - idle) * std::exp(-1.0), 1);
}

} // namespace
} // namespace talus::sim
