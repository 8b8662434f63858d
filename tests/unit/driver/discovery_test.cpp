// Discovery through libpci on trees as Linux and talus-sim lay them out.
#include "discovery.hpp"

#include "error.hpp"
#include "transport.hpp"

#include "talus/hw/pci.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>

namespace talus::driver {
namespace {

namespace fs = std::filesystem;

struct Config {
    std::uint16_t vendor = 0x1af4, device = 0x10f1;
    std::uint32_t pci_class = 0x120000;
    std::uint8_t capability = 0x09; // vendor-specific
    const char* magic = "TALU";
    std::uint8_t next = 0;
    std::size_t bytes = 4096; // what may be read
};

class DiscoveryTest : public ::testing::Test {
  protected:
    void SetUp() override {
        char name[] = "/tmp/talus-discovery-test-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        root_ = name;
        fs::create_directories(root_ / "bus/pci/devices");
        for (const char* variable : {"TALUS_SYSFS", "TALUS_DEVICE"})
            unsetenv(variable);
    }
    void TearDown() override { fs::remove_all(root_); }

    fs::path add(const std::string& bdf, const Config& from = {}, const std::string& socket = "") {
        std::array<unsigned char, 4096> config{};
        const auto put = [&](std::size_t at, std::uint32_t value, std::size_t bytes) {
            for (std::size_t i = 0; i < bytes; ++i)
                config[at + i] = static_cast<unsigned char>(value >> 8 * i);
        };
        put(0, from.vendor, 2);
        put(2, from.device, 2);
        put(6, 0x10, 2); // capability list
        put(8, TALUS_PCI_REVISION_T2, 1);
        put(9, from.pci_class, 3);
        put(0x34, 0x50, 1);
        put(0x50, from.capability, 1);
        put(0x51, from.next, 1);
        put(0x52, TALUS_PCI_VSC_LENGTH, 1);
        put(0x53, TALUS_PCI_VSC_VERSION, 1);
        std::memcpy(config.data() + 0x54, from.magic, 4);
        put(0x58, 0x00010002, 4);
        put(0x5c, 2, 1);
        put(0x5d, TALUS_PCI_VSC_SIMULATED, 1);
        const fs::path folder = root_ / "bus/pci/devices" / bdf;
        fs::create_directories(folder);
        std::ofstream(folder / "config", std::ios::binary)
            .write(reinterpret_cast<const char*>(config.data()),
                   static_cast<std::streamsize>(from.bytes));
        const auto hex = [&](const char* name, unsigned value, int digits) {
            char text[16];
            std::snprintf(text, sizeof text, "0x%0*x\n", digits, value);
            std::ofstream(folder / name) << text;
        };
        hex("vendor", from.vendor, 4);
        hex("device", from.device, 4);
        hex("class", from.pci_class, 6);
        std::ofstream(folder / "irq") << "0\n";
        std::ofstream resource(folder / "resource");
        const char* zero = "0x0000000000000000 0x0000000000000000 0x0000000000000000\n";
        resource << "0x00000000e0000000 0x00000000e00fffff 0x0000000000140204\n"
                 << zero << "0x00000000e0400000 0x00000000e07fffff 0x0000000000140204\n"
                 << zero << "0x00000000e4000000 0x00000000e7ffffff 0x000000000014220c\n"
                 << zero << zero;
        if (!socket.empty())
            std::ofstream(folder / "talus_socket") << socket << "\n";
        return folder;
    }
    static std::pair<talus_drv_status, std::string>
    failure(const std::function<void()>& operation) {
        try {
            operation();
        } catch (const Error& error) {
            return {error.status(), error.what()};
        }
        return {TALUS_DRV_OK, ""};
    }

    fs::path root_;
};

TEST_F(DiscoveryTest, FindsAPublishedDevice) {
    add("0000:03:00.0", {}, "/run/talus/sim.sock");
    const auto found = discover_tree(root_, true);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].bdf, "0000:03:00.0");
    EXPECT_EQ(found[0].socket, "/run/talus/sim.sock");
    EXPECT_EQ(found[0].abi_version, 0x00010002u);
    EXPECT_EQ(found[0].revision, TALUS_PCI_REVISION_T2);
    EXPECT_EQ(found[0].bar_count, 3);
    EXPECT_TRUE(found[0].simulated);
}

TEST_F(DiscoveryTest, ListsInOrder) {
    for (const char* bdf : {"0001:00:00.0", "0000:81:00.1", "0000:03:00.0"})
        add(bdf, {}, "/x");
    const auto found = discover_tree(root_, true);
    ASSERT_EQ(found.size(), 3u);
    EXPECT_EQ(found[0].bdf, "0000:03:00.0");
    EXPECT_EQ(found[1].bdf, "0000:81:00.1");
    EXPECT_EQ(found[2].bdf, "0001:00:00.0");
}

TEST_F(DiscoveryTest, LeavesOtherDevicesAlone) {
    Config other;
    other.vendor = 0x8086;
    add("0000:00:01.0", other);
    other = {};
    other.device = 0x10f2;
    add("0000:00:02.0", other);
    other = {};
    other.pci_class = 0x020000; // the same ids, but a network card
    add("0000:00:03.0", other);
    other = {};
    other.capability = 0x05; // no vendor-specific capability
    add("0000:00:04.0", other);
    other = {};
    other.magic = "ELSE";
    add("0000:00:05.0", other);
    EXPECT_TRUE(discover_tree(root_, true).empty());
}

TEST_F(DiscoveryTest, CapabilityListThatBitesItsTailEnds) {
    Config loop;
    loop.capability = 0x05;
    loop.next = 0x50;
    add("0000:00:04.0", loop);
    EXPECT_TRUE(discover_tree(root_, true).empty());
}

TEST_F(DiscoveryTest, UnprivilegedReadersGetTheBenefitOfTheDoubt) {
    Config head;
    head.bytes = 64; // what sysfs shows to an ordinary user
    add("0000:03:00.0", head);
    const auto found = discover_tree(root_, false);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].abi_version, 0u);
}

TEST_F(DiscoveryTest, KernelDriverIsTheLinksTarget) {
    const fs::path folder = add("0000:03:00.0");
    fs::create_directories(root_ / "bus/pci/drivers/vfio-pci");
    fs::create_symlink(root_ / "bus/pci/drivers/vfio-pci", folder / "driver");
    EXPECT_EQ(discover_tree(root_, false).at(0).kernel_driver, "vfio-pci");
}

TEST_F(DiscoveryTest, TreeThatIsNoneIsAnError) {
    EXPECT_EQ(failure([&] { discover_tree(root_ / "elsewhere", true); }).first,
              TALUS_DRV_NOT_FOUND);
    EXPECT_TRUE(discover_tree(root_ / "elsewhere", false).empty()); // a machine without PCI
    setenv("TALUS_SYSFS", (root_ / "elsewhere").c_str(), 1);
    EXPECT_EQ(failure([] { discover(""); }).first, TALUS_DRV_NOT_FOUND);
}

TEST_F(DiscoveryTest, UnreadableDeviceDoesNotEndTheProcess) {
    fs::create_directories(root_ / "bus/pci/devices/0000:09:00.0"); // no files in it
    EXPECT_EQ(failure([&] { discover_tree(root_, true); }).first, TALUS_DRV_IO);
}

// ---- Names ----

TEST_F(DiscoveryTest, NamesResolve) {
    add("0000:03:00.0", {}, "/run/sim.sock");
    setenv("TALUS_SYSFS", root_.c_str(), 1);
    for (const char* name : {"0000:03:00.0", "03:00.0", "3:0.0"}) {
        const Target target = resolve_target(name, "");
        EXPECT_EQ(target.name, "0000:03:00.0");
        EXPECT_EQ(target.transport, "vfio-user");
        EXPECT_EQ(target.address, "/run/sim.sock");
    }
    EXPECT_EQ(resolve_target("", "").address, "/run/sim.sock"); // the first there is
    setenv("TALUS_DEVICE", "sim", 1);
    EXPECT_EQ(resolve_target("", "").address, "");
    EXPECT_EQ(resolve_target("03:00.0", "").address, "/run/sim.sock"); // the argument wins
    EXPECT_EQ(failure([] { resolve_target("0000:04:00.0", ""); }).first, TALUS_DRV_NOT_FOUND);
    // Not BDFs, however close; nor are they files.
    for (const char* name : {"0000:03:00.8", "03:20.0", "03:00", "03:00.0 ", "0000:03:00.00", ":."})
        EXPECT_NE(failure([&] { resolve_target(name, ""); }).second.find("neither a BDF"),
                  std::string::npos)
            << name;
    EXPECT_EQ(failure([] { resolve_target("/nonexistent", ""); }).first, TALUS_DRV_NOT_FOUND);
}

TEST_F(DiscoveryTest, SocketPathIsATarget) {
    const std::string path = (root_ / "socket").string();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(resolve_target(path, "").address, path);
    close(fd);
}

TEST_F(DiscoveryTest, PublishedDeviceWithoutASocketSaysSo) {
    add("0000:03:00.0");
    const auto [status, text] = failure([&] { resolve_target("0000:03:00.0", root_.string()); });
    EXPECT_EQ(status, TALUS_DRV_NOT_FOUND);
    EXPECT_NE(text.find("talus_socket"), std::string::npos) << text;
}

TEST_F(DiscoveryTest, UnknownTransportNamesTheKnownOnes) {
    const auto [status, text] = failure([] {
        open_transport({"0000:03:00.0", "carrier-pigeon", "0000:03:00.0"}, {});
    });
    EXPECT_EQ(status, TALUS_DRV_UNSUPPORTED);
    EXPECT_NE(text.find("vfio-user"), std::string::npos) << text;
}

} // namespace
} // namespace talus::driver
