// Configuration space as software sees it: identity, BAR sizing, capability lists, masks, resets.
#include <gtest/gtest.h>
#include <set>

#include "support.hpp"

namespace talus::sim::test {
namespace {

class Config : public testing::Test {
  protected:
    void SetUp() override { rig.client.negotiate(); }
    uint8_t c8(uint32_t at) { return static_cast<uint8_t>(rig.client.read(7, at, 1)[0]); }
    uint16_t c16(uint32_t at) { return u16_at(rig.client.read(7, at, 2), 0); }
    uint32_t c32(uint32_t at) { return rig.client.read32(7, at); }
    void w16(uint32_t at, uint16_t value) { rig.client.write16(7, at, value); }
    void w32(uint32_t at, uint32_t value) { rig.client.write32(7, at, value); }
    uint32_t find(uint8_t id) {
        for (uint32_t at = c8(0x34); at != 0; at = c8(at + 1))
            if (c8(at) == id)
                return at;
        return 0;
    }
    uint32_t find_extended(uint16_t id) {
        for (uint32_t at = 0x100; at != 0; at = c32(at) >> 20)
            if ((c32(at) & 0xffff) == id)
                return at;
        return 0;
    }
    Rig rig;
};

TEST_F(Config, Identity) {
    EXPECT_EQ(c32(0x00), 0x10f11af4u);
    EXPECT_EQ(c32(0x08), 0x12000002u) << "processing accelerator, revision 2";
    EXPECT_EQ(c8(0x0e), 0) << "type 0, one function";
    EXPECT_EQ(c32(0x2c), 0x7a151af4u);
    EXPECT_EQ(c8(0x3d), 0) << "no INTx pin";
    EXPECT_EQ(c16(0x06) & 0x10, 0x10) << "capability list";
    EXPECT_EQ(c32(0x30), 0u) << "no expansion ROM";
    for (const uint32_t at : {0x00u, 0x08u, 0x2cu, 0x34u}) {
        const uint32_t before = c32(at);
        w32(at, ~before);
        EXPECT_EQ(c32(at), before) << at;
    }
}

TEST_F(Config, BarsAreSizedByAllOnes) {
    struct Bar {
        uint32_t at;
        uint32_t type;
        uint64_t size;
    };
    for (const Bar& bar : {Bar{0x10, 0x4, kMiB}, {0x18, 0x4, 4 * kMiB}, {0x20, 0xc, 64 * kMiB}}) {
        EXPECT_EQ(c32(bar.at), bar.type) << "64-bit, unassigned";
        w32(bar.at, 0xffffffff);
        w32(bar.at + 4, 0xffffffff);
        const uint64_t mask = c32(bar.at) | uint64_t{c32(bar.at + 4)} << 32;
        EXPECT_EQ(mask & 0xf, bar.type);
        EXPECT_EQ(~(mask & ~uint64_t{0xf}) + 1, bar.size);
        w32(bar.at, 0xabcdef12);
        w32(bar.at + 4, 0x00000038);
        EXPECT_EQ(c32(bar.at), (0xabcdef12u & ~static_cast<uint32_t>(bar.size - 1)) | bar.type);
        EXPECT_EQ(c32(bar.at + 4), 0x38u);
    }
}

TEST_F(Config, CommandKeepsWhatAnEndpointHas) {
    w16(4, 0xffff);
    EXPECT_EQ(c16(4), 0x0546) << "memory, master, parity, SERR, INTx disable; no I/O space";
    EXPECT_TRUE(rig.chip.host->bus_master_enabled());
    w16(4, 0);
    EXPECT_FALSE(rig.chip.host->bus_master_enabled());
    // Bytes are written one by one.
    rig.client.write(7, 4, Bytes().u8(0x04));
    EXPECT_TRUE(rig.chip.host->bus_master_enabled());
    rig.client.write(7, 5, Bytes().u8(0x04));
    EXPECT_EQ(c16(4), 0x0404);
}

TEST_F(Config, CapabilityListsAreWellFormed) {
    std::set<uint32_t> seen;
    std::set<uint8_t> ids;
    for (uint32_t at = c8(0x34); at != 0; at = c8(at + 1)) {
        ASSERT_GE(at, 0x40u);
        ASSERT_EQ(at % 4, 0u);
        ASSERT_TRUE(seen.insert(at).second) << "a loop";
        ids.insert(c8(at));
    }
    EXPECT_EQ(ids, (std::set<uint8_t>{0x01, 0x09, 0x10, 0x11}));
    EXPECT_NE(find_extended(0x0001), 0u) << "AER";
    EXPECT_NE(find_extended(0x0003), 0u) << "serial number";
}

TEST_F(Config, Msix) {
    const uint32_t at = find(0x11);
    EXPECT_EQ(c16(at + 2), 63) << "64 vectors, disabled";
    EXPECT_EQ(c32(at + 4), 0x8000u) << "table in BAR0";
    EXPECT_EQ(c32(at + 8), 0x9000u) << "PBA in BAR0";
    w16(at + 2, 0xffff);
    EXPECT_EQ(c16(at + 2), 0xc03f);
}

TEST_F(Config, PciExpress) {
    const uint32_t at = find(0x10);
    EXPECT_EQ(c16(at + 2) & 0xff, 0x02) << "version 2, endpoint";
    EXPECT_NE(c32(at + 4) & 1u << 28, 0u) << "FLR capable";
    EXPECT_EQ(c32(at + 12) & 0x3ff, 0x085u) << "32 GT/s, x8";
    EXPECT_EQ(c16(at + 18) & 0x3ff, 0x085u);
    EXPECT_EQ(c32(at + 0x2c), 0x3eu) << "all speeds up to the fifth";
    w16(at + 8, 0x7fff);
    EXPECT_EQ(c16(at + 8) & 0x8000, 0) << "Initiate FLR reads zero";
    EXPECT_TRUE(rig.chip.take_events().empty());
}

TEST_F(Config, VendorSpecificSaysTalus) {
    const uint32_t at = find(0x09);
    EXPECT_EQ(c8(at + 2), 16);
    EXPECT_EQ(c32(at + 4), 0x554c4154u);
    EXPECT_EQ(c8(at + 12), 2) << "t2";
    EXPECT_EQ(c8(at + 13), 1) << "simulated";
}

TEST_F(Config, PowerStateIsWritableAndNothingElseOfIt) {
    const uint32_t at = find(0x01);
    w16(at + 4, 0xffff);
    EXPECT_EQ(c16(at + 4), 0x000b) << "D3hot, No_Soft_Reset";
}

TEST_F(Config, AerStatusIsClearedByWritingOnes) {
    const uint32_t aer = find_extended(1);
    const uint32_t express = find(0x10);
    rig.chip.host->report_uncorrectable_error(1u << 20 | 1u << 12, false);
    rig.chip.host->report_correctable_error(1u << 13);
    EXPECT_EQ(c32(aer + 4), 1u << 20 | 1u << 12);
    EXPECT_EQ(c32(aer + 0x10), 1u << 13);
    EXPECT_EQ(c16(express + 10), 0x3) << "correctable, non-fatal";
    w32(aer + 4, 1u << 20);
    EXPECT_EQ(c32(aer + 4), 1u << 12);
    w32(aer + 0x10, 0xffffffff);
    EXPECT_EQ(c32(aer + 0x10), 0u);
    w16(express + 10, 0x1);
    EXPECT_EQ(c16(express + 10), 0x2);
}

TEST_F(Config, FunctionLevelResetClearsAllButStickyBits) {
    const uint32_t express = find(0x10);
    const uint32_t aer = find_extended(1);
    w32(0x10, 0xfe000000);
    w16(4, 6);
    w16(express + 8, 0x2850); // MPS 512
    w32(aer + 8, 1u << 20);
    rig.chip.host->report_uncorrectable_error(1u << 12, false);
    w16(express + 8, 0x8000 | c16(express + 8));
    EXPECT_EQ(rig.chip.take_events(), std::vector<std::string>{"function_reset"});
    EXPECT_EQ(c32(0x10), 4u);
    EXPECT_EQ(c16(4), 0);
    EXPECT_EQ(c16(express + 8), 0x2840 | 0x10) << "MPS stays, the rest is reset";
    EXPECT_EQ(c32(aer + 4), 1u << 12);
    EXPECT_EQ(c32(aer + 8), 1u << 20);
    EXPECT_EQ(c16(find(0x11) + 2), 63);
}

TEST_F(Config, FundamentalResetClearsEverything) {
    const auto before = rig.client.read(7, 0, 4096);
    for (uint32_t at = 0; at < 4096; at += 4)
        if (at != 0x68) // would be an FLR
            w32(at, 0xffffffff);
    EXPECT_NE(rig.client.read(7, 0, 4096), before);
    EXPECT_EQ(rig.client.error_of(13, {}), 0u);
    EXPECT_EQ(rig.client.read(7, 0, 4096), before);
    EXPECT_EQ(rig.chip.take_events(), std::vector<std::string>{"fundamental_reset"});
}

} // namespace
} // namespace talus::sim::test
