// What firmware and host see of memory errors.
#include <gtest/gtest.h>

#include "talus/hw/address_map.h"

#include "fakes.hpp"
#include "mem/fabric.hpp"
#include "soc/ecc_block.hpp"

namespace talus::sim {
namespace {

class EccBlockTest : public testing::Test {
  protected:
    Config config = Config::load_default();
    EventQueue events;
    Diagnostics diagnostics;
    Fabric fabric{config, events};
    test::FakeLines lines;
    InterruptController intc{lines};
    talus_status_page page{};
    HostInterface host_interface{intc, 0, 2, config.device.clock_khz, &page};
    EccBlock block{config, events, fabric.ecc(), intc, host_interface, diagnostics};

    /// A bit or two of an LLS word, found by a reader.
    void error(std::uint64_t offset, std::uint64_t bits) {
        fabric.flip({TALUS_ECC_SHARED_SRAM, 0, offset, false}, bits, 0);
        fabric.ecc().read(fabric.lls() + offset, 8);
    }
    std::uint32_t record() { return block.read32(0, ECC_RECORD); }
    std::uint64_t counter(std::uint32_t base, unsigned memory) {
        return block.read64(0, base + 8 * memory);
    }
};

TEST_F(EccBlockTest, RecordsAreReadInOrder) {
    EXPECT_EQ(record(), 0u);
    EXPECT_EQ(block.read64(0, ECC_ADDRESS), 0u);
    error(0x100, 1);
    EXPECT_NE(intc.pending() & 1u << TALUS_IRQ_ECC, 0u);
    error(0x200, 3);
    EXPECT_EQ(record(), TALUS_ECC_RECORD_VALID | TALUS_ECC_SHARED_SRAM << 8);
    EXPECT_EQ(block.read64(0, ECC_ADDRESS), TALUS_LLS_BASE + 0x100);
    block.write32(0, ECC_NEXT, 0);
    EXPECT_EQ(block.read64(0, ECC_ADDRESS), TALUS_LLS_BASE + 0x100);
    block.write32(0, ECC_NEXT, 1);
    EXPECT_EQ(record(),
              TALUS_ECC_RECORD_VALID | TALUS_ECC_RECORD_UNCORRECTABLE | TALUS_ECC_SHARED_SRAM << 8);
    EXPECT_EQ(TALUS_ECC_RECORD_MEMORY(record()), unsigned{TALUS_ECC_SHARED_SRAM});
    EXPECT_EQ(block.read64(0, ECC_ADDRESS), TALUS_LLS_BASE + 0x200);
    block.write32(0, ECC_NEXT, 1);
    block.write32(0, ECC_NEXT, 1);
    EXPECT_EQ(record(), 0u);
}

TEST_F(EccBlockTest, ErrorsAreCountedWhetherThereIsARecordOrNot) {
    for (unsigned i = 0; i < TALUS_ECC_RECORDS + 3; ++i) {
        error(0x100, 1);
    }
    EXPECT_EQ(block.read32(0, ECC_LOST), 3u);
    EXPECT_EQ(counter(ECC_CORRECTED, TALUS_ECC_SHARED_SRAM), TALUS_ECC_RECORDS + 3);
    EXPECT_EQ(counter(ECC_CORRECTED, TALUS_ECC_DRAM), 0u);
    EXPECT_EQ(counter(ECC_UNCORRECTABLE, TALUS_ECC_SHARED_SRAM), 0u);
    EXPECT_EQ(page.ecc_corrected[TALUS_ECC_SHARED_SRAM], TALUS_ECC_RECORDS + 3);
    error(0x200, 3);
    EXPECT_EQ(counter(ECC_UNCORRECTABLE, TALUS_ECC_SHARED_SRAM), 1u);
    EXPECT_EQ(page.ecc_uncorrectable[TALUS_ECC_SHARED_SRAM], 1u);
    fabric.reset();
    block.reset();
    EXPECT_EQ(record(), 0u);
    EXPECT_EQ(block.read32(0, ECC_LOST), 0u);
    EXPECT_EQ(page.ecc_corrected[TALUS_ECC_SHARED_SRAM], 0u);
}

TEST_F(EccBlockTest, WhatIsOverwrittenIsNoError) {
    fabric.flip({TALUS_ECC_SHARED_SRAM, 0, 0x100, false}, 3, 0);
    fabric.ecc().overwritten(fabric.lls() + 0x100, 8);
    EXPECT_EQ(record(), 0u);
    EXPECT_EQ(intc.pending(), 0u);
}

} // namespace
} // namespace talus::sim
