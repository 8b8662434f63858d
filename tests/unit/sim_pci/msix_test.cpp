// The MSI-X table and PBA through BAR0, as a guest's kernel programs them.
#include <gtest/gtest.h>

#include "support.hpp"

namespace talus::sim::test {
namespace {

constexpr uint32_t kTable = 0x8000;
constexpr uint32_t kPba = 0x9000;

class Msix : public testing::Test {
  protected:
    void SetUp() override {
        rig.client.negotiate();
        rig.client.enable_device();
        const int number = event.get();
        ASSERT_EQ(rig.client.set_irqs(0x24, 2, 7, 1, {&number, 1}), 0u);
    }
    void control(uint16_t value) { rig.client.write16(kConfigRegion, 0x52, value); }
    void mask(uint32_t value) { rig.client.write32(0, kTable + 7 * 16 + 12, value); }
    uint32_t count() { return static_cast<uint32_t>(eventfd_count(event.get())); }
    uint64_t pending() { return u64_at(rig.client.read(0, kPba, 8), 0); }
    UniqueFd event = make_eventfd();
    Rig rig;
};

TEST_F(Msix, EntriesHoldAddressAndDataAndStartMasked) {
    EXPECT_EQ(rig.client.read32(0, kTable + 12), 1u) << "masked after reset";
    EXPECT_EQ(rig.client.read32(0, kTable + 7 * 16 + 12), 0u) << "unmasked by its eventfd";
    rig.client.write(0, kTable, Bytes().u64(0x12345678fee00003));
    rig.client.write(0, kTable + 8, Bytes().u64(0xffffffff00004021));
    EXPECT_EQ(u64_at(rig.client.read(0, kTable, 8), 0), 0x12345678fee00000u);
    EXPECT_EQ(u64_at(rig.client.read(0, kTable + 8, 8), 0), 0x0000000100004021u);
    EXPECT_TRUE(rig.chip.take_events().empty()) << "not the chip's registers";
}

TEST_F(Msix, VectorMaskHoldsTheInterruptBack) {
    mask(1);
    rig.chip.host->raise_msix(7);
    EXPECT_EQ(count(), 0u);
    EXPECT_EQ(pending(), 1u << 7);
    EXPECT_EQ(rig.client.read32(0, kPba), 1u << 7);
    mask(0);
    EXPECT_EQ(count(), 1u);
    EXPECT_EQ(pending(), 0u);
}

TEST_F(Msix, FunctionMaskHoldsEverythingBack) {
    control(0xc000);
    rig.chip.host->raise_msix(7);
    EXPECT_EQ(count(), 0u);
    EXPECT_EQ(pending(), 1u << 7);
    control(0x8000);
    EXPECT_EQ(count(), 1u);
}

TEST_F(Msix, DisabledMeansDropped) {
    control(0);
    rig.chip.host->raise_msix(7);
    EXPECT_EQ(pending(), 0u);
    control(0x8000);
    EXPECT_EQ(count(), 0u);
    rig.chip.host->raise_msix(7);
    EXPECT_EQ(count(), 1u) << "the eventfd is still assigned";
}

TEST_F(Msix, PendingBitsAreReadOnly) {
    rig.client.write(0, kPba, Bytes().u64(~uint64_t{0}));
    EXPECT_EQ(pending(), 0u);
    EXPECT_EQ(count(), 0u);
}

TEST_F(Msix, ResetMasksAllEntriesAndForgetsWhatWasPending) {
    mask(1);
    rig.chip.host->raise_msix(7);
    rig.client.write16(kConfigRegion, 0x68, 0x8000);
    rig.client.enable_device();
    EXPECT_EQ(pending(), 0u);
    EXPECT_EQ(rig.client.read32(0, kTable + 7 * 16 + 12), 1u);
    control(0x8000);
    mask(0);
    EXPECT_EQ(count(), 0u);
    rig.chip.host->raise_msix(7);
    EXPECT_EQ(count(), 1u);
}

TEST_F(Msix, BeyondTableAndPbaIsTheChips) {
    rig.chip.set_register(0, kTable + 64 * 16, 0xabc);
    EXPECT_EQ(rig.client.read32(0, kTable + 64 * 16), 0xabcu);
}

} // namespace
} // namespace talus::sim::test
