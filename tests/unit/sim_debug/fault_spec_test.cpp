// Specifications of injected faults: what is accepted, and what is said about the rest.
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "core/config.hpp"
#include "debug/fault_injector.hpp"
#include "soc/cores.hpp"
#include "soc/device.hpp"
#include "talus/hw/address_map.h"

namespace {

using namespace talus::sim;
using namespace talus::sim::debug;

InjectedFault parse(const std::string& text) {
    static const Config config = Config::load(TALUS_TEST_CONFIG);
    return parse_fault(text, config);
}

TEST(FaultSpec, TakesWhatTheHeaderDescribes) {
    const InjectedFault flip = parse("flip:memory=dram:addr=0x1000:bit=7:count=2:seed=9:at=12345");
    EXPECT_EQ(flip.kind, InjectedFault::Kind::kFlip);
    EXPECT_EQ(flip.memory, InjectedFault::Memory::kDram);
    EXPECT_EQ(flip.addr, 0x1000u);
    EXPECT_EQ(flip.bit, 7u);
    EXPECT_EQ(flip.count, 2u);
    EXPECT_EQ(flip.seed, 9u);
    EXPECT_EQ(flip.at, 12345u);
    EXPECT_EQ(flip.bits, 1u);
    const InjectedFault words = parse("flip:memory=llc:bits=2:job=3:at=100");
    EXPECT_EQ(words.memory, InjectedFault::Memory::kLlc);
    EXPECT_EQ(words.bits, 2u);
    EXPECT_EQ(words.job, 3u);
    const InjectedFault stuck = parse("stuck:pe=3.4:unit=se:for=100");
    EXPECT_EQ(stuck.pe, 28u); // 8 columns
    EXPECT_EQ(stuck.duration, 100u);
    EXPECT_TRUE(parse("dma-drop:pe=0.0:dir=out").out);
    EXPECT_EQ(parse("link:every=10").every, 10u);
    EXPECT_EQ(parse("link").duration, kNever);
    EXPECT_TRUE(parse("msix-drop").any_vector);
    EXPECT_EQ(parse("msix-drop:vector=63").vector, 63u);
    EXPECT_FALSE(parse("msix-drop:vector=63").any_vector);
    EXPECT_EQ(parse("msix-drop:count=3").count, 3u);
    EXPECT_EQ(parse("droop").percent, 10u);
    EXPECT_EQ(parse("droop:percent=99:for=7").duration, 7u);
}

TEST(FaultInjector, ADroopSlowsTheUnitsWhileItLastsAndIsDetectedOnce) {
    Diagnostics diagnostics;
    diagnostics.set_quiet(true);
    DeviceOptions options;
    options.config = Config::load(TALUS_TEST_CONFIG);
    options.rom.resize(TALUS_ROM_SIZE);
    Device device(std::move(options), diagnostics);
    const DeviceParts parts = device.parts();
    FaultInjector injector(parts);
    diagnostics.set_detection_listener([&](std::string_view what) { injector.notice(0, what); });
    parts.fabric.set_fault_hooks(&injector);
    injector.add(parse("droop:percent=20:at=1000:for=500"));
    const auto share = [&](Cycle now) {
        const UnitClock clock = parts.cores.unit_clock(now);
        return static_cast<double>(clock.step) / static_cast<double>(clock.full);
    };
    EXPECT_EQ(share(999), 1.0);
    EXPECT_TRUE(injector.faults()[0].effects.empty());
    EXPECT_DOUBLE_EQ(share(1000), 0.8);
    EXPECT_DOUBLE_EQ(share(1499), 0.8);
    EXPECT_EQ(share(1500), 1.0);
    injector.add(parse("droop:percent=50:at=2000"));
    injector.add(parse("droop:percent=30:at=2000"));
    EXPECT_DOUBLE_EQ(share(9000), 0.5); // the worst one counts
    ASSERT_EQ(injector.faults()[0].noticed.size(), 2u);
    EXPECT_NE(injector.faults()[0].noticed[0].text.find("20 %"), std::string::npos);
    parts.fabric.set_fault_hooks(nullptr);
}

TEST(FaultSpec, SaysWhatIsWrong) {
    const std::pair<const char*, const char*> cases[] = {
        {"", "none of flip"},
        {"droop:pe=0.0", "does not belong"},
        {"droop:percent=0", "1 to 99"},
        {"droop:percent=100", "1 to 99"},
        {"link:percent=5", "does not belong"},
        {"flop", "\"flop\" is none of"},
        {"flip", "memory="},
        {"flip:memory=cache", "memory="},
        {"flip:memory=local", "pe=ROW.COL"},
        {"flip:memory=local:pe=8.0", "no PE 8.0"},
        {"flip:memory=local:pe=1", "not a number"},
        {"flip:memory=local:pe=0.0:addr=0x60000", "0x60000 bytes"},
        {"flip:memory=dram:bit=8", "bits 0 to 7"},
        {"flip:memory=dram:count=0", "0 makes no sense"},
        {"flip:memory=dram:count=99999999", "at most"},
        {"flip:memory=dram:bits=0", "1 to 64 bits"},
        {"flip:memory=dram:bits=65", "1 to 64 bits"},
        {"flip:memory=dram:job=0", "0 makes no sense"},
        {"stuck:pe=0.0:unit=dpe:job=1", "does not belong"},
        {"flip:memory=dram:unit=dpe", "does not belong"},
        {"flip:memory=dram:addr=-1", "not a number"},
        {"flip:memory=dram:addr=12z", "not a number"},
        {"stuck:pe=0.0", "unit="},
        {"stuck:pe=0.0:unit=alu", "unit="},
        {"stuck:unit=dpe", "pe=ROW.COL"},
        {"dma-drop", "pe=ROW.COL"},
        {"dma-drop:pe=0.0:dir=up", "does not belong"},
        {"link:pe=0.0", "does not belong"},
        {"link:every=0", "0 makes no sense"},
        {"msix-drop:vector=64", "vectors 0 to 63"},
        {"msix-drop:count=0", "0 makes no sense"},
        {"msix-drop:for=100", "does not belong"},
        {"msix-drop:pe=0.0", "does not belong"},
    };
    for (const auto& [text, said] : cases) {
        try {
            parse(text);
            ADD_FAILURE() << text << " was accepted";
        } catch (const std::invalid_argument& error) {
            EXPECT_NE(std::string(error.what()).find(said), std::string::npos) << error.what();
        }
    }
}

} // namespace
