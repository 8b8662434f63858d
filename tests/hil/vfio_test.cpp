// What only a function behind the kernel's vfio-pci has: resets of the bus and the function,
// interrupts that the kernel counts, removal. TALUS_DEVICE names the function; needs root.
#include "limit.hpp"
#include "session.hpp"

#include "binding.hpp"
#include "discovery.hpp"
#include "error.hpp"
#include "memory.hpp"
#include "vfio.hpp"

#include "talus/hw/mailbox.h"
#include "talus/hw/pci.h"
#include "talus/hw/registers.h"

#include <linux/capability.h>
#include <linux/pci_regs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace talus::device_test {
namespace {

using driver::Syscalls;
using driver::VfioTransport;
using std::chrono::milliseconds;

class VfioDevice : public ::testing::Test {
  protected:
    void SetUp() override {
        const auto bdf = driver::canonical_bdf(device_under_test());
        if (!bdf)
            GTEST_SKIP() << device_under_test() << " is no PCI function";
        bdf_ = *bdf;
    }

    /// Interrupts that the kernel has counted for the function.
    std::uint64_t interrupts() const {
        std::ifstream table("/proc/interrupts");
        std::uint64_t sum = 0;
        for (std::string line; std::getline(table, line);) {
            if (line.find("(" + bdf_ + ")") == std::string::npos)
                continue;
            std::istringstream fields(line.substr(line.find(':') + 1));
            for (std::uint64_t count = 0; fields >> count;)
                sum += count;
        }
        return sum;
    }

    /// Lets the function go and come back, and binds it again.
    void rescan() {
        Syscalls& linux = Syscalls::linux();
        ASSERT_EQ(linux.write_text("/sys/bus/pci/rescan", "1"), 0);
        ASSERT_TRUE(linux.exists(folder()));
        // A function that comes back belongs to nobody.
        EXPECT_EQ(linux.link_name(folder() + "/driver"), "");
        EXPECT_EQ(driver::bind_to_vfio(linux, bdf_), "");
    }

    std::string folder() const { return "/sys/bus/pci/devices/" + bdf_; }

    std::string bdf_;
};

void boot() {
    const Session session;
}

template <typename T>
T config_get(VfioTransport& transport, std::uint32_t offset) {
    T value{};
    transport.config_read(offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

template <typename T>
void config_set(VfioTransport& transport, std::uint32_t offset, T value) {
    transport.config_write(offset, std::as_bytes(std::span(&value, 1)));
}

std::uint32_t express_capability(VfioTransport& transport) {
    std::uint32_t at = config_get<std::uint8_t>(transport, PCI_CAPABILITY_LIST);
    while (at != 0 && config_get<std::uint8_t>(transport, at) != PCI_CAP_ID_EXP)
        at = config_get<std::uint8_t>(transport, at + 1);
    return at;
}

void enable_memory(VfioTransport& transport) {
    config_set<std::uint16_t>(transport, PCI_COMMAND,
                              config_get<std::uint16_t>(transport, PCI_COMMAND) |
                                  PCI_COMMAND_MEMORY);
}

/// BOOT_STATE once it is `wanted`, or what it is after a while.
std::uint32_t boot_state(VfioTransport& transport, std::uint32_t wanted) {
    std::uint32_t state = 0;
    for (int i = 0; i < 600; ++i) {
        state = transport.bar_read32(TALUS_BAR_REGISTERS, TALUS_BAR0_FROZEN + FROZEN_BOOT_STATE);
        if (state == wanted)
            break;
        std::this_thread::sleep_for(milliseconds(50));
    }
    return state;
}

TEST_F(VfioDevice, FirmwareLivesThroughAFunctionLevelReset) {
    boot();
    VfioTransport transport(bdf_);
    enable_memory(transport);
    ASSERT_EQ(boot_state(transport, TALUS_BOOT_READY), std::uint32_t{TALUS_BOOT_READY});
    const std::uint32_t express = express_capability(transport);
    ASSERT_NE(express, 0u);
    ASSERT_NE(config_get<std::uint32_t>(transport, express + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR,
              0u);
    config_set<std::uint16_t>(transport, express + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_BCR_FLR);
    enable_memory(transport);
    EXPECT_EQ(boot_state(transport, TALUS_BOOT_READY), std::uint32_t{TALUS_BOOT_READY});
    // VFIO_DEVICE_RESET takes the same kind where the function has it.
    ASSERT_TRUE(transport.function_reset());
    enable_memory(transport);
    EXPECT_EQ(boot_state(transport, TALUS_BOOT_READY), std::uint32_t{TALUS_BOOT_READY});
}

TEST_F(VfioDevice, HotResetIsAFundamentalOne) {
    boot();
    VfioTransport transport(bdf_);
    enable_memory(transport);
    ASSERT_EQ(boot_state(transport, TALUS_BOOT_READY), std::uint32_t{TALUS_BOOT_READY});
    ASSERT_TRUE(transport.hot_reset());
    enable_memory(transport);
    EXPECT_EQ(boot_state(transport, TALUS_BOOT_ROM_READY), std::uint32_t{TALUS_BOOT_ROM_READY});
    const std::uint64_t clock = transport.bar_read64(
        TALUS_BAR_REGISTERS, TALUS_BAR0_STATUS_PAGE + offsetof(talus_status_page, device_clock));
    EXPECT_LT(clock, 100000u); // device time began anew; the ROM needs a few thousand clocks
}

TEST_F(VfioDevice, InterruptsArriveBeforeAndAfterAReset) {
    Session session;
    for (int round = 0; round < 2; ++round) {
        const std::uint64_t before = interrupts();
        for (int i = 0; i < 10; ++i) {
            EXPECT_STATUS(session.run({nop()}).at(0), TALUS_OK);
        }
        // Not necessarily ten: a completion may be seen before its interrupt, and two may become
        // one.
        EXPECT_GT(interrupts(), before) << "round " << round;
        ASSERT_DRV_OK(talus_drv_reset(session.device));
        talus_drv_queue_destroy(session.queue);
        session.queue = nullptr;
        ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    }
}

TEST_F(VfioDevice, SecondProcessIsTurnedAway) {
    const Session session;
    try {
        const VfioTransport second(bdf_);
        FAIL() << "it was opened twice";
    } catch (const driver::Error& error) {
        EXPECT_EQ(error.status(), TALUS_DRV_BUSY) << error.what();
    }
    try {
        driver::unbind_from_vfio(Syscalls::linux(), bdf_);
        FAIL() << "a device in use was unbound";
    } catch (const driver::Error& error) {
        EXPECT_EQ(error.status(), TALUS_DRV_BUSY) << error.what();
    }
}

TEST_F(VfioDevice, UnboundAndBoundAgainItWorks) {
    EXPECT_EQ(driver::unbind_from_vfio(Syscalls::linux(), bdf_), "");
    EXPECT_EQ(Syscalls::linux().link_name(folder() + "/driver"), "");
    talus_drv_device* device = nullptr;
    EXPECT_EQ(talus_drv_open(nullptr, &device), TALUS_DRV_UNSUPPORTED);
    EXPECT_NE(std::string(talus_drv_last_error()).find("talus-smi bind"), std::string::npos)
        << talus_drv_last_error();
    EXPECT_EQ(driver::bind_to_vfio(Syscalls::linux(), bdf_), "");
    Session session;
    EXPECT_STATUS(session.run({nop()}).at(0), TALUS_OK);
}

/// Takes the right to lock as much memory as it likes from this thread.
class WithoutLockCapability {
  public:
    WithoutLockCapability() {
        EXPECT_EQ(syscall(SYS_capget, &header_, before_.data()), 0);
        auto now = before_;
        now[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~CAP_TO_MASK(CAP_IPC_LOCK);
        EXPECT_EQ(syscall(SYS_capset, &header_, now.data()), 0);
    }
    ~WithoutLockCapability() { syscall(SYS_capset, &header_, before_.data()); }
    WithoutLockCapability(const WithoutLockCapability&) = delete;
    WithoutLockCapability& operator=(const WithoutLockCapability&) = delete;

  private:
    __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> before_{};
};

TEST_F(VfioDevice, TheLimitOfLockedMemoryIsExplained) {
    const auto expect_explained = [](std::uint64_t limit, std::uint64_t asked) {
        const std::string text = talus_drv_last_error();
        for (const std::string& part :
             {"may lock " + std::to_string(limit) + " bytes", std::string("RLIMIT_MEMLOCK"),
              std::string("ulimit -l"), "cannot map " + std::to_string(asked) + " bytes"})
            EXPECT_NE(text.find(part), std::string::npos) << text;
    };
    constexpr std::uint64_t kMiB = 1 << 20;
    const WithoutLockCapability unprivileged;
    {
        // As a user has it by default: not even the rings' memory.
        const Limit limit(RLIMIT_MEMLOCK, kMiB);
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = device_under_test();
        talus_drv_device* device = nullptr;
        EXPECT_EQ(talus_drv_open(&options, &device), TALUS_DRV_OUT_OF_HOST_MEMORY);
        expect_explained(kMiB, driver::DmaHeap::kArenaBytes);
    }
    Session session;
    const std::uint64_t enough = Syscalls::linux().locked_memory().bytes + kMiB;
    EXPECT_GT(enough, driver::DmaHeap::kArenaBytes);
    talus_drv_host_buffer buffer{};
    {
        const Limit limit(RLIMIT_MEMLOCK, enough);
        EXPECT_EQ(talus_drv_host_alloc(session.device, 80 * kMiB, 0, &buffer),
                  TALUS_DRV_OUT_OF_HOST_MEMORY);
        expect_explained(enough, 80 * kMiB);
        EXPECT_STATUS(session.run({nop()}).at(0), TALUS_OK);
    }
    EXPECT_DRV_OK(talus_drv_host_alloc(session.device, 80 * kMiB, 0, &buffer));
    EXPECT_STATUS(session.run({nop()}).at(0), TALUS_OK);
}

TEST_F(VfioDevice, RemovalInUseIsALostDeviceAndItComesBack) {
    {
        Session session;
        EXPECT_STATUS(session.run({nop()}).at(0), TALUS_OK);
        // The kernel waits in here until the device is closed.
        std::thread remover([&] { Syscalls::linux().write_text(folder() + "/remove", "1"); });
        talus_drv_status status = TALUS_DRV_OK;
        for (int i = 0; i < 3000 && status == TALUS_DRV_OK; ++i) {
            std::vector<talus_drv_completion> done;
            status = session.submit({nop()});
            if (status == TALUS_DRV_OK)
                status = session.wait(1, done);
            std::this_thread::sleep_for(milliseconds(10));
        }
        EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
        EXPECT_NE(std::string(talus_drv_last_error()).find("the kernel asks for it back"),
                  std::string::npos)
            << talus_drv_last_error();
        talus_drv_queue_destroy(session.queue);
        talus_drv_close(session.device);
        session.queue = nullptr;
        session.device = nullptr;
        remover.join();
    }
    const auto began = std::chrono::steady_clock::now();
    rescan();
    Session session;
    EXPECT_STATUS(session.run({nop()}).at(0), TALUS_OK);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    report_fault("removed in use, and returned", "sysfs: remove, rescan",
                 "device lost: the kernel asks for it back", "close, rescan, open", took.count());
}

} // namespace
} // namespace talus::device_test
