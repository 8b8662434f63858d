// The memory map: who reaches what, AMOs and reservations, registers, code pages, resident size.
#include <cstring>
#include <fstream>
#include <string>

#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"

#include "core/config.hpp"
#include "mem/fabric.hpp"

namespace talus::sim {
namespace {

class FakePe final : public PePort {
  public:
    std::uint8_t* local_memory() override { return local.data(); }
    std::uint32_t subgrid_rect() const override { return rect; }
    std::uint64_t read_register(Cycle, std::uint32_t offset, unsigned len) override {
        return offset * 16 + len;
    }
    void write_register(Cycle, std::uint32_t offset, unsigned, std::uint64_t value) override {
        written_offset = offset;
        written_value = value;
    }
    void post_semaphore(Cycle, std::uint32_t, std::uint32_t) override {}

    std::vector<std::uint8_t> local = std::vector<std::uint8_t>(TALUS_LOCAL_SIZE);
    std::uint32_t rect = 0;
    std::uint32_t written_offset = 0;
    std::uint64_t written_value = 0;
};

class FakeRegisters final : public MmioHandler {
  public:
    bool mmio_read(const Requester& who, Cycle, std::uint64_t addr, unsigned,
                   std::uint64_t& value) override {
        value = addr;
        return who.kind == Requester::Kind::kControlHart;
    }
    bool mmio_write(const Requester&, Cycle, std::uint64_t, unsigned,
                    std::uint64_t value) override {
        last = value;
        return true;
    }
    std::uint64_t last = 0;
};

class FakeListener final : public CodeWriteListener {
  public:
    void on_code_written(std::uint64_t addr, std::uint64_t len) override {
        ++calls;
        first = addr;
        bytes = len;
    }
    int calls = 0;
    std::uint64_t first = 0;
    std::uint64_t bytes = 0;
};

class Answers final : public EventSink {
  public:
    void on_event(const Event& event) override { times.push_back(event.time); }
    std::vector<Cycle> times;
};

class FabricTest : public testing::Test {
  protected:
    /// All of the SRAM is scratch: last_level_cache_test.cpp has what stands in front of DRAM else.
    static Config without_cache() {
        Config config = Config::load(TALUS_CONFIG_FILE);
        config.sram.scratch_bytes = config.sram.bytes;
        return config;
    }
    FabricTest() : config(without_cache()), fabric(config, events), pes(64) {
        for (std::uint32_t index = 0; index < 64; ++index) {
            fabric.attach_pe(index, pes[index]);
        }
        fabric.add_mmio(TALUS_SYSTEM_BASE, TALUS_SYSTEM_SIZE, registers);
    }

    FabricError read_error(const Requester& who, std::uint64_t addr, unsigned len = 4) {
        std::uint64_t value = 0;
        return fabric.read(who, 0, addr, &value, len, answer).error;
    }
    FabricError write_error(const Requester& who, std::uint64_t addr, unsigned len = 4) {
        const std::uint64_t value = 0x1122334455667788;
        return fabric.write(who, 0, addr, &value, len, answer).error;
    }
    std::uint64_t amo(const Requester& who, AmoOp op, std::uint64_t addr, std::uint64_t operand,
                      std::uint8_t len = 4) {
        std::uint64_t old = 0;
        const AmoRequest request{op, len, false, false, addr, operand};
        EXPECT_TRUE(fabric.amo(who, 0, request, old, answer).ok());
        return old;
    }
    static std::uint64_t subgrid(unsigned row, unsigned col, std::uint64_t offset) {
        return TALUS_SUBGRID_BASE + (row * TALUS_MAX_COLS + col) * TALUS_PE_WINDOW_STRIDE + offset;
    }

    void run() {
        while (!events.empty()) {
            events.run_next();
        }
    }

    Config config;
    EventQueue events;
    Answers answers;
    const Notify answer{events.add_unit(answers, "answers"), 0, 0, 0};
    FakeRegisters registers;
    Fabric fabric;
    std::vector<FakePe> pes;
    const Requester control = Requester::hart(0);
    const Requester core = Requester::hart(TALUS_HART_OF(9, 1)); // PE (1, 1)
    const Requester unit = Requester::pe_unit(9);
    const Requester engine = Requester::engine(0);
};

TEST_F(FabricTest, RequestersKnowTheirPe) {
    EXPECT_EQ(core.pe(), 9u);
    EXPECT_EQ(unit.pe(), 9u);
    EXPECT_EQ(control.kind, Requester::Kind::kControlHart);
    EXPECT_EQ(Requester::hart(4).kind, Requester::Kind::kPeCore);
}

TEST_F(FabricTest, MemoriesKeepTheirValues) {
    for (const std::uint64_t base :
         {TALUS_LLS_BASE, TALUS_DRAM_BASE, TALUS_CONTROL_SRAM_BASE, TALUS_STAGING_BASE}) {
        const std::uint64_t value = base + 77;
        std::uint64_t back = 0;
        ASSERT_TRUE(fabric.write(core, 10, base + 0x1008, &value, 8, answer).ok());
        ASSERT_TRUE(fabric.read(control, 20, base + 0x1008, &back, 8, answer).ok());
        EXPECT_EQ(back, value);
    }
    EXPECT_EQ(read_error(core, TALUS_LLS_BASE + config.sram.scratch_bytes - 4), FabricError::kNone);
    EXPECT_EQ(read_error(core, TALUS_STAGING_BASE + TALUS_STAGING_SIZE), FabricError::kUnmapped);
    EXPECT_EQ(read_error(core, TALUS_DRAM_BASE + config.dram.bytes - 2), FabricError::kUnmapped);
    EXPECT_EQ(read_error(core, 0), FabricError::kUnmapped);
}

TEST_F(FabricTest, TheRomIsForControlHartsAndReadOnly) {
    EXPECT_EQ(read_error(control, TALUS_ROM_BASE), FabricError::kNone);
    EXPECT_EQ(write_error(control, TALUS_ROM_BASE), FabricError::kForbidden);
    EXPECT_EQ(read_error(core, TALUS_ROM_BASE), FabricError::kForbidden);
}

TEST_F(FabricTest, PeWindowsAreForTheControlSubsystem) {
    const std::uint64_t window = TALUS_PE_WINDOW_BASE + 12 * TALUS_PE_WINDOW_STRIDE;
    const std::uint32_t value = 0xabcd;
    ASSERT_TRUE(fabric.write(control, 0, window + 0x40, &value, 4, answer).ok());
    EXPECT_EQ(pes[12].local[0x40], 0xcd);
    ASSERT_TRUE(
        fabric.write(engine, 0, window + TALUS_PE_WINDOW_REGS + 0x14, &value, 4, answer).ok());
    EXPECT_EQ(pes[12].written_offset, 0x14u);
    EXPECT_EQ(pes[12].written_value, 0xabcdu);
    EXPECT_EQ(read_error(core, window), FabricError::kForbidden);
    EXPECT_EQ(read_error(control, window + TALUS_LOCAL_SIZE), FabricError::kUnmapped);
    EXPECT_EQ(read_error(control, TALUS_PE_WINDOW_BASE + 64 * TALUS_PE_WINDOW_STRIDE),
              FabricError::kUnmapped);
}

TEST_F(FabricTest, TheSubGridIsTranslatedAndBounded) {
    pes[9].rect = 1u | 1u << 8 | 2u << 16 | 3u << 24; // rows 1..2, columns 1..3
    const std::uint32_t value = 0x55;
    ASSERT_TRUE(fabric.write(core, 0, subgrid(1, 2, 0x100), &value, 4, answer).ok());
    EXPECT_EQ(pes[2 * 8 + 3].local[0x100], 0x55);
    EXPECT_EQ(read_error(core, subgrid(2, 0, 0)), FabricError::kSubgrid);
    EXPECT_EQ(read_error(core, subgrid(0, 3, 0)), FabricError::kSubgrid);
    EXPECT_EQ(read_error(control, subgrid(0, 0, 0)), FabricError::kUnmapped);
    EXPECT_EQ(trap_cause(FabricError::kSubgrid, AccessKind::kLoad), TALUS_TRAP_SUBGRID);
    EXPECT_EQ(trap_cause(FabricError::kForbidden, AccessKind::kStore), TALUS_CAUSE_STORE_ACCESS);
}

TEST_F(FabricTest, AliasesLeadToTheOwnPe) {
    const std::uint32_t value = 0x77;
    ASSERT_TRUE(fabric.write(core, 0, TALUS_LOCAL_BASE + 8, &value, 4, answer).ok());
    EXPECT_EQ(pes[9].local[8], 0x77);
    ASSERT_TRUE(fabric.write(core, 0, TALUS_PE_REGS_BASE + 0x18, &value, 4, answer).ok());
    EXPECT_EQ(pes[9].written_offset, 0x18u);
    EXPECT_EQ(read_error(unit, TALUS_LOCAL_BASE), FabricError::kForbidden);
    EXPECT_EQ(read_error(control, TALUS_LOCAL_BASE), FabricError::kUnmapped);
}

TEST_F(FabricTest, RegistersWantNaturalScalarAccesses) {
    EXPECT_EQ(read_error(control, TALUS_SYSTEM_BASE + 4, 4), FabricError::kNone);
    EXPECT_EQ(read_error(control, TALUS_SYSTEM_BASE + 4, 8), FabricError::kMisaligned);
    EXPECT_EQ(read_error(core, TALUS_SYSTEM_BASE + 4, 4), FabricError::kForbidden);
    std::uint8_t vector[64] = {};
    EXPECT_EQ(fabric.read(control, 0, TALUS_SYSTEM_BASE, vector, 64, answer).error,
              FabricError::kForbidden);
    EXPECT_EQ(fabric.span(engine, TALUS_SYSTEM_BASE, 4, false).error, FabricError::kForbidden);
}

TEST_F(FabricTest, AmosReturnTheOldValueAndAreBoundToMemory) {
    const std::uint64_t addr = TALUS_CONTROL_SRAM_BASE + 64;
    EXPECT_EQ(amo(core, AmoOp::kSwap, addr, 5), 0u);
    EXPECT_EQ(amo(control, AmoOp::kAdd, addr, 0xffffffff), 5u); // minus one
    EXPECT_EQ(amo(core, AmoOp::kMax, addr, 0xfffffff0), 4u);    // signed: 4 stays
    EXPECT_EQ(amo(core, AmoOp::kMaxu, addr, 0xfffffff0), 4u);
    EXPECT_EQ(amo(core, AmoOp::kXor, addr, 0, 4), 0xfffffff0u);
    std::uint64_t old = 0;
    const AmoRequest on_registers{AmoOp::kAdd, 4, false, false, TALUS_SYSTEM_BASE, 1};
    EXPECT_EQ(fabric.amo(control, 0, on_registers, old, answer).error, FabricError::kForbidden);
    const AmoRequest by_engine{AmoOp::kAdd, 4, false, false, addr, 1};
    EXPECT_EQ(fabric.amo(engine, 0, by_engine, old, answer).error, FabricError::kForbidden);
    EXPECT_EQ(fabric.counters().amos, 5u);
}

TEST_F(FabricTest, AReservationIsBrokenByAnyWriteToItsLine) {
    const std::uint64_t addr = TALUS_LLS_BASE + 0x1080;
    const Requester other = Requester::hart(TALUS_HART_OF(3, 0));
    amo(core, AmoOp::kLr, addr, 0);
    EXPECT_EQ(amo(core, AmoOp::kSc, addr, 1), 0u);
    EXPECT_EQ(amo(core, AmoOp::kSc, addr, 2), 1u); // used up

    amo(core, AmoOp::kLr, addr, 0);
    const std::uint32_t value = 9;
    fabric.write(other, 0, addr + 60, &value, 4, answer); // same line
    EXPECT_EQ(amo(core, AmoOp::kSc, addr, 3), 1u);

    amo(core, AmoOp::kLr, addr, 0);
    fabric.write(other, 0, addr + 64, &value, 4, answer); // the next line
    EXPECT_EQ(amo(core, AmoOp::kSc, addr, 4), 0u);

    amo(core, AmoOp::kLr, addr, 0);
    amo(other, AmoOp::kLr, addr, 0);
    EXPECT_EQ(amo(other, AmoOp::kSc, addr, 5), 0u);
    EXPECT_EQ(amo(core, AmoOp::kSc, addr, 6), 1u);

    amo(core, AmoOp::kLr, addr, 0);
    fabric.written(engine, addr - 256, 512); // a bulk transfer
    EXPECT_EQ(amo(core, AmoOp::kSc, addr, 7), 1u);
}

TEST_F(FabricTest, WritesToCodePagesAreTold) {
    FakeListener listener;
    fabric.set_code_listener(&listener);
    EXPECT_EQ(write_error(core, TALUS_LLS_BASE + 0x5000), FabricError::kNone);
    EXPECT_EQ(listener.calls, 0);
    fabric.mark_code(TALUS_LLS_BASE + 0x5fc0);
    EXPECT_EQ(write_error(core, TALUS_LLS_BASE + 0x5000), FabricError::kNone);
    EXPECT_EQ(listener.calls, 1);
    EXPECT_EQ(write_error(core, TALUS_LLS_BASE + 0x6000), FabricError::kNone);
    EXPECT_EQ(listener.calls, 1);
    fabric.written(engine, TALUS_LLS_BASE, 1 << 20);
    EXPECT_EQ(listener.calls, 2);
    EXPECT_EQ(listener.bytes, 1u << 20);
}

TEST_F(FabricTest, StagingIsTheCallersFile) {
    const int fd = memfd_create("staging", 0);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(ftruncate(fd, TALUS_STAGING_SIZE), 0);
    {
        Fabric shared(config, events, fd);
        const std::uint32_t value = 0xfeedbeef;
        ASSERT_TRUE(shared.write(control, 0, TALUS_STAGING_BASE + 4096, &value, 4, answer).ok());
        std::uint32_t back = 0;
        ASSERT_EQ(pread(fd, &back, 4, 4096), 4);
        EXPECT_EQ(back, value);
        shared.reset(); // keeps staging: the image in it survives a fundamental reset
        ASSERT_EQ(pread(fd, &back, 4, 4096), 4);
        EXPECT_EQ(back, value);
    }
    close(fd);
}

std::uint64_t resident_bytes() {
    std::ifstream statm("/proc/self/statm");
    std::uint64_t total = 0;
    std::uint64_t resident = 0;
    statm >> total >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(FabricTest, ResidentSizeFollowsWhatIsTouched) {
    const std::uint64_t before = resident_bytes();
    std::memset(fabric.dram() + (std::uint64_t{40} << 30), 1, 32 << 20);
    const std::uint64_t touched = resident_bytes();
    EXPECT_GE(touched - before, std::uint64_t{30} << 20);
    EXPECT_LE(touched - before, std::uint64_t{80} << 20);
    fabric.scrub(TALUS_DRAM_BASE + (std::uint64_t{40} << 30) + 5, (32 << 20) - 10);
    EXPECT_EQ(fabric.dram()[(std::uint64_t{40} << 30) + 4], 1);
    EXPECT_EQ(fabric.dram()[(std::uint64_t{40} << 30) + 5], 0);
    EXPECT_LE(resident_bytes(), before + (std::uint64_t{8} << 20));
}

TEST_F(FabricTest, LatencyIsTheWayThereAndBack) {
    std::uint64_t value = 0;
    // PE (1, 1): block 0 of LLS is on the left edge, two columns away.
    const Cycle way = config.noc.traverse_clocks + 2 * config.noc.hop_clocks;
    const Cycle read = fabric.read(core, 1000, TALUS_LLS_BASE, &value, 8, answer).done - 1000;
    EXPECT_GE(read, 2 * way + config.sram.access_clocks);
    EXPECT_LE(read, 2 * way + config.sram.access_clocks + 3);
    pes[9].rect = 8u << 16 | 8u << 24;
    const Cycle neighbour =
        fabric.read(core, 2000, subgrid(1, 2, 0), &value, 8, answer).done - 2000;
    const Cycle corner = fabric.read(core, 3000, subgrid(7, 7, 0), &value, 8, answer).done - 3000;
    EXPECT_EQ(corner - neighbour, 2 * 11 * config.noc.hop_clocks);
    EXPECT_EQ(fabric.pe_to_pe_latency(9, 9), config.memory.remote_local_clocks);
}

TEST_F(FabricTest, DramAnswersByAnEvent) {
    const std::uint64_t value = 0x1234;
    ASSERT_TRUE(fabric.write(core, 0, TALUS_DRAM_BASE + 64, &value, 8, answer).pending());
    run();
    ASSERT_EQ(answers.times.size(), 1u);
    // A write is acknowledged once the controller has it.
    const Cycle way = config.noc.traverse_clocks + 2 * config.noc.hop_clocks;
    EXPECT_GE(answers.times[0], 2 * way + config.dram.controller_clocks);
    EXPECT_LE(answers.times[0], 2 * way + config.dram.controller_clocks + 6);

    // A pending AMO has no effect before it is made anew.
    const AmoRequest swap{AmoOp::kSwap, 8, false, false, TALUS_DRAM_BASE + 64, 0x5678};
    std::uint64_t old = 0;
    const Cycle begin = events.now() + 1000;
    events.advance_to(begin);
    ASSERT_TRUE(fabric.amo(core, begin, swap, old, answer).pending());
    std::uint64_t seen = 0;
    std::memcpy(&seen, fabric.dram() + 64, 8);
    EXPECT_EQ(seen, value);
    run();
    ASSERT_EQ(answers.times.size(), 2u);
    ASSERT_FALSE(fabric.amo(core, answers.times[1], swap, old, answer, true).pending());
    EXPECT_EQ(old, value);
    std::memcpy(&seen, fabric.dram() + 64, 8);
    EXPECT_EQ(seen, 0x5678u);
    // An open row's column access, both ways, and the atomic unit.
    const Cycle column =
        config.clocks_of_ns((config.dram.ncl + config.dram.nbl) * config.dram.clock_ps / 1000);
    EXPECT_GE(answers.times[1] - begin,
              2 * way + config.dram.controller_clocks + column + config.memory.amo_clocks);
}

TEST_F(FabricTest, AnEnginesTransferTakesItsBytesOverItsPort) {
    const std::uint64_t bytes = 1 << 20;
    fabric.transfer(engine, 0, TALUS_LLS_BASE, bytes, true, answer);
    run();
    ASSERT_EQ(answers.times.size(), 1u);
    const Cycle clocks = answers.times[0];
    const std::uint64_t headers = bytes / fabric.packet_bytes() * config.noc.header_bytes;
    const double expected =
        static_cast<double>(bytes + headers) / config.noc.engine_port_bytes_per_clock;
    EXPECT_NEAR(static_cast<double>(clocks), expected, 200.0);
    EXPECT_EQ(fabric.counters().sram_write_bytes, bytes);
}

} // namespace
} // namespace talus::sim
