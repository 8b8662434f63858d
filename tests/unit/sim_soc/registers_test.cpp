// UART, CLINT, interrupt controller, domain windows, host interface, system bus.
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "fakes.hpp"
#include "mem/domain_windows.hpp"
#include "soc/clint.hpp"
#include "soc/host_interface.hpp"
#include "soc/interrupt_controller.hpp"
#include "soc/system_bus.hpp"
#include "soc/system_info.hpp"
#include "soc/uart.hpp"

namespace talus::sim {
namespace {

using test::FakeLines;

TEST(Uart, WritesLinesAndFlushesTheRest) {
    const std::string path = testing::TempDir() + "talus_uart_" + std::to_string(getpid());
    std::filesystem::remove(path);
    {
        Diagnostics diagnostics;
        Uart uart(diagnostics);
        uart.open(path);
        EXPECT_EQ(uart.read32(0, UART_STATUS), 1u);
        EXPECT_EQ(uart.read32(0, UART_RX), 0x80000000u);
        for (const char c : std::string("hello\r\nwor")) {
            uart.write32(0, UART_TX, static_cast<unsigned char>(c));
        }
        std::ifstream file(path);
        std::string text((std::istreambuf_iterator<char>(file)), {});
        EXPECT_EQ(text, "hello\n");
    }
    std::ifstream file(path);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    EXPECT_EQ(text, "hello\nwor\n");
    std::filesystem::remove(path);
}

TEST(Clint, TimersFireInOrderAndStayLevel) {
    EventQueue queue;
    FakeLines lines;
    Clint clint(queue, lines, 6);
    clint.write64(0, CLINT_MTIMECMP + 8 * 2, 500);
    clint.write64(0, CLINT_MTIMECMP + 8 * 1, 300);
    EXPECT_TRUE(queue.empty()); // timers alone leave a device parked
    EXPECT_EQ(queue.next_time(), 300u);
    queue.run_next();
    EXPECT_TRUE(lines.level(1, irq::kMachineTimer));
    EXPECT_FALSE(lines.level(2, irq::kMachineTimer));
    EXPECT_EQ(queue.next_time(), 500u);
    queue.run_next();
    EXPECT_TRUE(lines.level(2, irq::kMachineTimer));
    EXPECT_EQ(queue.next_time(), kNever);
    // Moving the comparison ahead takes the level away.
    clint.write64(queue.now(), CLINT_MTIMECMP + 8 * 1, 900);
    EXPECT_FALSE(lines.level(1, irq::kMachineTimer));
    EXPECT_EQ(queue.next_time(), 900u);
    // A comparison that has passed already fires at once.
    clint.write64(600, CLINT_MTIMECMP + 8 * 3, 600);
    EXPECT_TRUE(lines.level(3, irq::kMachineTimer));
    // Halves.
    clint.write32(600, CLINT_MTIMECMP + 8 * 4 + 4, 1);
    clint.write32(600, CLINT_MTIMECMP + 8 * 4, 5);
    EXPECT_EQ(clint.read64(600, CLINT_MTIMECMP + 8 * 4), 0x100000005ull);
    EXPECT_EQ(clint.read64(0x200000007, CLINT_MTIME), 0x200000007ull);
}

TEST(Clint, SoftwareInterrupts) {
    EventQueue queue;
    FakeLines lines;
    Clint clint(queue, lines, 6);
    clint.write32(11, CLINT_MSIP + 4 * 5, 0xffffffff);
    EXPECT_TRUE(lines.level(5, irq::kMachineSoftware));
    EXPECT_EQ(lines.changes.back().when, 11u);
    EXPECT_EQ(clint.read32(11, CLINT_MSIP + 4 * 5), 1u);
    clint.write32(12, CLINT_MSIP + 4 * 5, 0);
    EXPECT_FALSE(lines.level(5, irq::kMachineSoftware));
}

TEST(InterruptController, LatchesAndGates) {
    FakeLines lines;
    InterruptController intc(lines);
    intc.raise(TALUS_IRQ_INBOX, 10);
    EXPECT_FALSE(lines.level(0, irq::kMachineExternal));
    intc.write32(20, INTC_ENABLE, 0xffffffff);
    EXPECT_TRUE(lines.level(0, irq::kMachineExternal));
    intc.raise(TALUS_IRQ_DMA2, 21);
    intc.write32(22, INTC_PENDING, 1u << TALUS_IRQ_INBOX);
    EXPECT_EQ(intc.read32(22, INTC_PENDING), 1u << TALUS_IRQ_DMA2);
    EXPECT_TRUE(lines.level(0, irq::kMachineExternal));
    intc.write32(23, INTC_PENDING, 1u << TALUS_IRQ_DMA2);
    EXPECT_FALSE(lines.level(0, irq::kMachineExternal));
}

TEST(DomainWindows, OnlyWhatOneWindowCoversIsAllowed) {
    DomainWindows windows;
    EXPECT_TRUE(windows.allows(0, 0, ~0ull, true)); // the owner's domain
    EXPECT_FALSE(windows.allows(3, 0x1000, 1, false));
    ASSERT_TRUE(windows.set(3, 0, 0x1000, 0x1000, TALUS_WINDOW_READ));
    ASSERT_TRUE(windows.set(3, 1, 0x2000, 0x1000, TALUS_WINDOW_READ | TALUS_WINDOW_WRITE));
    EXPECT_TRUE(windows.allows(3, 0x1000, 0x1000, false));
    EXPECT_FALSE(windows.allows(3, 0x1000, 0x1000, true));
    EXPECT_FALSE(windows.allows(3, 0x1001, 0x1000, false)); // two windows do not make one
    EXPECT_FALSE(windows.allows(3, 0x0fff, 2, false));
    EXPECT_TRUE(windows.allows(3, 0x2fff, 1, true));
    EXPECT_FALSE(windows.allows(3, 0x2fff, ~0ull, true));
    EXPECT_FALSE(windows.allows(2, 0x1000, 1, false));
    ASSERT_TRUE(windows.set(3, 0, 0, 0, 0));
    EXPECT_FALSE(windows.allows(3, 0x1000, 1, false));
    EXPECT_FALSE(windows.set(0, 0, 0x1000, 0x1000, 3));
    EXPECT_FALSE(windows.set(TALUS_MAX_DOMAINS, 0, 0x1000, 0x1000, 3));
    EXPECT_FALSE(windows.set(1, TALUS_WINDOWS_PER_DOMAIN, 0x1000, 0x1000, 3));
    EXPECT_FALSE(windows.set(1, 0, ~0ull - 10, 0x1000, 3));
    windows.clear();
    EXPECT_FALSE(windows.allows(3, 0x2000, 1, false));
}

class HostInterfaceTest : public testing::Test {
  protected:
    FakeLines lines;
    InterruptController intc{lines};
    talus_status_page page{};
    HostInterface host{intc, TALUS_CAP_SIMULATED, 2, 1350000, &page};
};

TEST_F(HostInterfaceTest, FrozenPageAtReset) {
    EXPECT_EQ(host.host_read_frozen(FROZEN_MAGIC), TALUS_MAGIC);
    EXPECT_EQ(host.host_read_frozen(FROZEN_CAP), TALUS_CAP_SIMULATED);
    EXPECT_EQ(host.host_read_frozen(FROZEN_RESET_EPOCH), 1u);
    EXPECT_EQ(page.reset_epoch, 1u);
    EXPECT_EQ(page.clock_khz, 1350000u);
    EXPECT_EQ(host.host_read_frozen(0xffc), 0u);
}

TEST_F(HostInterfaceTest, MailboxRoundTrip) {
    host.host_write_frozen(FROZEN_MB_ARG0, 42);
    host.host_write_frozen(FROZEN_MB_COMMAND, 0x70001);
    EXPECT_EQ(host.host_read_frozen(FROZEN_MB_COMMAND), 0x70001u); // reads what was written
    EXPECT_EQ(host.read32(0, HOSTIF_MB_ARG0), 0u);                 // the device has not seen it
    EXPECT_FALSE(host.admit_frozen(5, FROZEN_MB_ARG0, 42));
    EXPECT_TRUE(host.admit_frozen(5, FROZEN_MB_COMMAND, 0x70001));
    EXPECT_EQ(intc.pending(), 1u << TALUS_IRQ_MAILBOX);
    EXPECT_EQ(host.read32(6, HOSTIF_MB_ARG0), 42u);
    EXPECT_EQ(host.read32(6, HOSTIF_MB_COMMAND), 0x70001u);
    host.write32(7, HOSTIF_MB_RESULT0, 5);
    host.write32(8, HOSTIF_MB_STATUS, 0x70000);
    EXPECT_EQ(host.host_read_frozen(FROZEN_MB_STATUS), 0x70000u);
    EXPECT_EQ(host.host_read_frozen(FROZEN_MB_RESULT0), 5u);
    // Read-only for the host.
    host.host_write_frozen(FROZEN_MB_STATUS, 1);
    host.host_write_frozen(FROZEN_MAGIC, 1);
    EXPECT_EQ(host.host_read_frozen(FROZEN_MB_STATUS), 0x70000u);
    EXPECT_EQ(host.host_read_frozen(FROZEN_MAGIC), TALUS_MAGIC);
}

TEST_F(HostInterfaceTest, NothingFromBeforeAResetIsSeenAfterIt) {
    host.write32(1, HOSTIF_BOOT_STATE, TALUS_BOOT_READY);
    host.host_write_controller(CTRL_ENABLE, 1);
    host.admit_controller(1, CTRL_ENABLE, 1);
    host.write32(2, HOSTIF_CTRL_STATUS, TALUS_STATUS_RDY);
    EXPECT_EQ(host.host_read_controller(CTRL_STATUS), TALUS_STATUS_RDY);

    host.begin_reset(false); // on the socket thread; the timing thread has not heard of it
    EXPECT_EQ(host.host_read_frozen(FROZEN_RESET_EPOCH), 2u);
    EXPECT_EQ(page.reset_epoch, 2u);
    EXPECT_EQ(host.host_read_controller(CTRL_STATUS), 0u);
    EXPECT_EQ(host.host_read_controller(CTRL_ENABLE), 0u);
    EXPECT_EQ(host.host_read_frozen(FROZEN_BOOT_STATE), TALUS_BOOT_READY); // firmware lives
    host.write32(3, HOSTIF_CTRL_STATUS, TALUS_STATUS_RDY);                 // stale
    host.write32(3, HOSTIF_MB_STATUS, 0x1234);
    EXPECT_EQ(host.host_read_controller(CTRL_STATUS), 0u);

    host.complete_reset(4, false);
    EXPECT_NE(intc.pending() & (1u << TALUS_IRQ_FLR), 0u);
    // Firmware that has not yet looked at the interrupt cannot make a dead queue look ready.
    host.write32(5, HOSTIF_CTRL_STATUS, TALUS_STATUS_RDY);
    EXPECT_EQ(host.host_read_controller(CTRL_STATUS), 0u);
    // But what it answered in between is not lost.
    EXPECT_EQ(host.host_read_frozen(FROZEN_MB_STATUS), 0x1234u);
    EXPECT_EQ(host.read32(5, HOSTIF_RESET_EPOCH), 2u);

    host.begin_reset(true);
    EXPECT_EQ(host.host_read_frozen(FROZEN_BOOT_STATE), TALUS_BOOT_RESET);
    EXPECT_EQ(page.boot_state, TALUS_BOOT_RESET);
    host.write32(6, HOSTIF_BOOT_STATE, TALUS_BOOT_PANIC); // stale
    EXPECT_EQ(host.host_read_frozen(FROZEN_BOOT_STATE), TALUS_BOOT_RESET);
    host.complete_reset(0, true);
    host.write32(1, HOSTIF_BOOT_STATE, TALUS_BOOT_ROM_READY);
    EXPECT_EQ(host.host_read_frozen(FROZEN_BOOT_STATE), TALUS_BOOT_ROM_READY);
    EXPECT_EQ(page.boot_state, TALUS_BOOT_ROM_READY);
}

TEST_F(HostInterfaceTest, CountersGrowBeyondTheirRegister) {
    host.write32(10, HOSTIF_HEARTBEAT, 1);
    EXPECT_EQ(page.heartbeat, 1u);
    EXPECT_EQ(page.heartbeat_clock, 10u);
    host.write32(11, HOSTIF_HEARTBEAT, 0xffffffff);
    host.write32(12, HOSTIF_HEARTBEAT, 0);
    EXPECT_EQ(page.heartbeat, 0x100000000ull);
    host.write32(12, HOSTIF_LOG_WRITTEN, 500);
    host.write32(13, HOSTIF_LOG_WRITTEN, 20); // the guest began anew
    EXPECT_EQ(page.log_written, 20u);
}

TEST(SystemBus, ChecksRequesterWidthAndAlignment) {
    EventQueue queue;
    FakeLines lines;
    Clint clint(queue, lines, 8);
    SystemBus bus(clint);
    const Config config = Config::load_default();
    SystemInfo info(config, 0x1122334455667788ull);
    bus.attach(TALUS_SYS_INFO, info);
    const Requester control = Requester::hart(0);
    const Requester core = Requester::hart(5);
    std::uint64_t value = 0;
    EXPECT_TRUE(bus.mmio_read(control, 0, TALUS_SYSTEM_BASE + INFO_ROWS, 4, value));
    EXPECT_EQ(value, 8u);
    EXPECT_TRUE(bus.mmio_read(control, 0, TALUS_SYSTEM_BASE + INFO_SERIAL_LO, 8, value));
    EXPECT_EQ(value, 0x1122334455667788ull);
    EXPECT_TRUE(bus.mmio_read(control, 0, TALUS_SYSTEM_BASE + INFO_DRAM_BYTES_LO, 8, value));
    EXPECT_EQ(value, config.dram.bytes);
    EXPECT_FALSE(bus.mmio_read(control, 0, TALUS_SYSTEM_BASE + INFO_ROWS, 2, value));
    EXPECT_FALSE(bus.mmio_read(control, 0, TALUS_SYSTEM_BASE + INFO_ROWS, 8, value));
    EXPECT_FALSE(bus.mmio_read(control, 0, TALUS_SYSTEM_BASE + 0x90000, 4, value)); // no block
    // A PE core reaches software interrupts and nothing else.
    EXPECT_FALSE(bus.mmio_read(core, 0, TALUS_SYSTEM_BASE + INFO_ROWS, 4, value));
    const std::uint64_t msip = TALUS_SYSTEM_BASE + TALUS_SYS_CLINT;
    EXPECT_TRUE(bus.mmio_write(core, 0, msip, 4, 1));
    EXPECT_TRUE(lines.level(0, irq::kMachineSoftware));
    EXPECT_FALSE(bus.mmio_write(core, 0, msip + CLINT_MTIMECMP, 4, 1));
    EXPECT_FALSE(bus.mmio_write(Requester::engine(0), 0, msip, 4, 1));
}

} // namespace
} // namespace talus::sim
