// The vfio transport on a device that is not ours: QEMU's `edu` (docs/specs/edu in QEMU's manual),
// which has a BAR, MSI and a DMA engine that reaches 28 bits of addresses. EDU_DEVICE names the
// function, which is bound to vfio-pci; needs root.
#include "binding.hpp"
#include "error.hpp"
#include "vfio.hpp"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>

namespace talus::driver {
namespace {

using std::chrono::milliseconds;

// Registers of BAR0.
constexpr std::uint64_t kIdentity = 0x00, kLiveness = 0x04, kFactorial = 0x08, kStatus = 0x20,
                        kInterruptStatus = 0x24, kRaise = 0x60, kAcknowledge = 0x64, kSource = 0x80,
                        kDestination = 0x88, kCount = 0x90, kCommand = 0x98;
constexpr std::uint32_t kComputing = 0x01, kInterruptWhenDone = 0x80;
constexpr std::uint64_t kStart = 1, kToMemory = 2, kInterruptAfter = 4;
constexpr std::uint32_t kDmaInterrupt = 0x100;
constexpr std::uint64_t kBuffer = 0x40000; // the engine's own 4096 bytes
constexpr std::uint64_t kIova = 0x100000;  // within the engine's 28 bits

class Edu : public ::testing::Test {
  protected:
    void SetUp() override {
        const char* name = std::getenv("EDU_DEVICE");
        if (name == nullptr)
            GTEST_SKIP() << "EDU_DEVICE names no device";
        bdf_ = name;
        open();
    }

    void open() {
        transport_ = std::make_unique<VfioTransport>(bdf_);
        // Interrupts and DMA are writes that the device masters.
        std::uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
        transport_->config_write(PCI_COMMAND, std::as_bytes(std::span(&command, 1)));
    }

    std::uint32_t read(std::uint64_t offset) { return transport_->bar_read32(0, offset); }
    void write(std::uint64_t offset, std::uint32_t value) {
        transport_->bar_write32(0, offset, value);
    }

    /// False if the engine did not finish.
    bool transfer(std::uint64_t source, std::uint64_t destination, std::uint64_t flags) {
        transport_->bar_write64(0, kSource, source);
        transport_->bar_write64(0, kDestination, destination);
        transport_->bar_write64(0, kCount, kBytes);
        transport_->bar_write64(0, kCommand, kStart | flags);
        return until([&] { return (transport_->bar_read64(0, kCommand) & kStart) == 0; });
    }

    template <typename Condition>
    static bool until(Condition&& condition) {
        for (int i = 0; i < 3000; ++i) {
            if (condition())
                return true;
            std::this_thread::sleep_for(milliseconds(10));
        }
        return false;
    }

    static constexpr std::uint64_t kBytes = 1000;
    std::string bdf_;
    std::unique_ptr<VfioTransport> transport_;
};

TEST_F(Edu, RegistersAnswer) {
    EXPECT_EQ(transport_->bar_size(0), 1u << 20);
    EXPECT_EQ(read(kIdentity) & 0xffff, 0x00edu);
    write(kLiveness, 0x12345678);
    EXPECT_EQ(read(kLiveness), ~0x12345678u);
    write(kFactorial, 10);
    ASSERT_TRUE(until([&] { return (read(kStatus) & kComputing) == 0; }));
    EXPECT_EQ(read(kFactorial), 3628800u);
}

TEST_F(Edu, InterruptsArriveAsEvents) {
    ASSERT_EQ(transport_->irq_count(), 1u); // MSI: it has no MSI-X
    const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    transport_->irq_set(0, event);
    EXPECT_FALSE(transport_->wait(event, milliseconds(100)));
    std::uint64_t count = 0;

    write(kRaise, 0x40);
    ASSERT_TRUE(transport_->wait(event, milliseconds(30000)));
    ASSERT_EQ(::read(event, &count, sizeof count), 8);
    EXPECT_EQ(read(kInterruptStatus), 0x40u);
    write(kAcknowledge, 0x40);
    EXPECT_EQ(read(kInterruptStatus), 0u);

    write(kStatus, kInterruptWhenDone);
    write(kFactorial, 5);
    ASSERT_TRUE(transport_->wait(event, milliseconds(30000)));
    ASSERT_EQ(::read(event, &count, sizeof count), 8);
    EXPECT_EQ(read(kFactorial), 120u);
    write(kAcknowledge, read(kInterruptStatus));

    transport_->irq_set(0, -1);
    write(kRaise, 0x40);
    EXPECT_FALSE(transport_->wait(event, milliseconds(200)));
    write(kAcknowledge, 0x40);
    close(event);
}

TEST_F(Edu, MemoryGoesThroughTheDeviceAndBack) {
    auto* memory = static_cast<unsigned char*>(
        mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(memory, MAP_FAILED);
    for (std::uint64_t i = 0; i < kBytes; ++i)
        memory[i] = static_cast<unsigned char>(i * 7 + 3);
    const int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    transport_->irq_set(0, event);
    transport_->dma_map(kIova, 8192, memory, -1);

    ASSERT_TRUE(transfer(kIova, kBuffer, kInterruptAfter));
    ASSERT_TRUE(transport_->wait(event, milliseconds(30000)));
    EXPECT_EQ(read(kInterruptStatus), kDmaInterrupt);
    write(kAcknowledge, kDmaInterrupt);
    ASSERT_TRUE(transfer(kBuffer, kIova + 4096, kToMemory));
    EXPECT_EQ(std::memcmp(memory, memory + 4096, kBytes), 0);
    EXPECT_EQ(memory[4096 + kBytes], 0);

    transport_->dma_unmap(kIova, 8192);
    munmap(memory, 8192);
    close(event);
}

TEST_F(Edu, UnmappedAddressesAreRefusedByTheIommu) {
    const int log = ::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ASSERT_GE(log, 0);
    lseek(log, 0, SEEK_END);
    auto* memory = static_cast<unsigned char*>(
        mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(memory, MAP_FAILED);
    transport_->dma_map(kIova, 4096, memory, -1);
    ASSERT_TRUE(transfer(kIova, kBuffer, 0));
    transport_->dma_unmap(kIova, 4096);
    std::memset(memory, 0x5a, 4096);
    // The engine believes that it wrote; the memory says that it did not, and the kernel who tried.
    ASSERT_TRUE(transfer(kBuffer, kIova, kToMemory));
    EXPECT_EQ(memory[0], 0x5a);
    EXPECT_EQ(std::memcmp(memory, memory + 1, 4095), 0);
    std::string records;
    const bool reported = until([&] {
        char record[8192];
        for (ssize_t got = 0; (got = ::read(log, record, sizeof record)) > 0;)
            records.append(record, static_cast<std::size_t>(got));
        return records.find("DMAR: [DMA Write") != std::string::npos;
    });
    EXPECT_TRUE(reported) << records;
    EXPECT_NE(records.find("[" + bdf_.substr(5) + "] fault addr 0x100000"), std::string::npos)
        << records;
    munmap(memory, 4096);
    close(log);
}

TEST_F(Edu, RemovedAndRescannedItWorks) {
    transport_.reset();
    Syscalls& linux = Syscalls::linux();
    const std::string folder = "/sys/bus/pci/devices/" + bdf_;
    ASSERT_EQ(linux.write_text(folder + "/remove", "1"), 0);
    ASSERT_FALSE(linux.exists(folder));
    try {
        open();
        FAIL() << "a device that is gone was opened";
    } catch (const Error& error) {
        EXPECT_EQ(error.status(), TALUS_DRV_NOT_FOUND) << error.what();
    }
    ASSERT_EQ(linux.write_text("/sys/bus/pci/rescan", "1"), 0);
    ASSERT_TRUE(linux.exists(folder));
    EXPECT_EQ(linux.link_name(folder + "/driver"), ""); // it comes back unbound
    EXPECT_EQ(bind_to_vfio(linux, bdf_), "");
    open();
    EXPECT_EQ(read(kIdentity) & 0xffff, 0x00edu);
}

} // namespace
} // namespace talus::driver
