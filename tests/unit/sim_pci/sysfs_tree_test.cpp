// The published tree: read by lspci, kept up to date, removed, and shared by several simulators.
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "pci/sysfs_tree.hpp"
#include "support.hpp"

namespace talus::sim::test {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Output of a shell command, both streams; adds a failure if it does not exit with 0.
std::string output_of(const std::string& command) {
    std::string text;
    FILE* pipe = popen((command + " 2>&1").c_str(), "r");
    std::array<char, 4096> buffer;
    while (size_t bytes = fread(buffer.data(), 1, buffer.size(), pipe))
        text.append(buffer.data(), bytes);
    EXPECT_EQ(pclose(pipe), 0) << command << "\n" << text;
    return text;
}

class Tree : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "talus-test-XXXXXX").string();
        folder = mkdtemp(pattern.data());
        root = folder / "sysfs";
    }
    void TearDown() override { fs::remove_all(folder); }
    fs::path device(const std::string& address = "0000:01:00.0") {
        return root / "bus" / "pci" / "devices" / address;
    }
    fs::path folder, root;
    ConfigSpace space{{.serial_number = 0x0011223344556677}};
};

TEST_F(Tree, HoldsWhatTheKernelsTreeHolds) {
    const SysfsTree tree(root.string(), "relative.sock", space.bytes());
    EXPECT_EQ(tree.address(), "0000:01:00.0");
    EXPECT_EQ(contents(device() / "vendor"), "0x1af4\n");
    EXPECT_EQ(contents(device() / "device"), "0x10f1\n");
    EXPECT_EQ(contents(device() / "subsystem_device"), "0x7a15\n");
    EXPECT_EQ(contents(device() / "class"), "0x120000\n");
    EXPECT_EQ(contents(device() / "revision"), "0x02\n");
    EXPECT_EQ(contents(device() / "irq"), "0\n");
    EXPECT_EQ(contents(device() / "current_link_speed"), "32.0 GT/s PCIe\n");
    EXPECT_EQ(contents(device() / "current_link_width"), "8\n");
    EXPECT_EQ(contents(device() / "modalias"),
              "pci:v00001AF4d000010F1sv00001AF4sd00007A15bc12sc00i00\n");
    EXPECT_EQ(contents(device() / "simulated"), "1\n");
    EXPECT_EQ(contents(device() / "talus_socket"), fs::absolute("relative.sock").string() + "\n");
    EXPECT_EQ(contents(device() / "config").size(), 4096u);
    EXPECT_EQ(contents(device() / "resource").substr(0, 57),
              "0x0000000000000000 0x00000000000fffff 0x0000000000140204\n");
    const std::string all = contents(device() / "resource");
    EXPECT_EQ(all.size(), 7 * 57u);
    EXPECT_EQ(all.substr(4 * 57, 57), "0x0000000000000000 0x0000000003ffffff 0x000000000014220c\n");
}

TEST_F(Tree, FollowsTheConfigurationSpace) {
    FakeChip chip;
    PciFunction function(chip, {});
    std::unique_ptr<SysfsTree> tree;
    function.observe_config([&](SysfsTree::Config config) {
        if (tree)
            tree->update(config);
        else
            tree = std::make_unique<SysfsTree>(root.string(), "x.sock", config);
    });
    ASSERT_TRUE(tree);
    const Bytes address = Bytes().u32(0xfe000000).u32(0x38);
    EXPECT_EQ(function.region_write(7, 0x10, address), 0);
    EXPECT_EQ(function.region_write(7, 4, Bytes().u16(2)), 0);
    EXPECT_EQ(contents(device() / "config").substr(0x10, 8),
              std::string("\x04\x00\x00\xfe\x38\x00\x00\x00", 8));
    EXPECT_EQ(contents(device() / "resource").substr(0, 57),
              "0x00000038fe000000 0x00000038fe0fffff 0x0000000000140204\n");
    EXPECT_EQ(contents(device() / "enable"), "1\n");
    chip.host->report_correctable_error(1);
    EXPECT_EQ(contents(device() / "config")[0x110], 1) << "AER, from the device's side";
    EXPECT_EQ(function.region_write(7, 0x68, Bytes().u16(0x8000)), 0);
    EXPECT_EQ(contents(device() / "enable"), "0\n");
}

TEST_F(Tree, IsRemovedWithEverythingItCreated) {
    {
        const SysfsTree tree(root.string(), "x.sock", space.bytes());
    }
    EXPECT_FALSE(fs::exists(root));
    fs::create_directory(root);
    std::ofstream(root / "a user's file");
    {
        const SysfsTree tree(root.string(), "x.sock", space.bytes());
    }
    EXPECT_TRUE(fs::exists(root / "a user's file"));
    EXPECT_FALSE(fs::exists(root / "bus"));
    EXPECT_FALSE(fs::exists(fs::symlink_status(root / "devices")));
}

TEST_F(Tree, SeveralSimulatorsShareADirectory) {
    auto one = std::make_unique<SysfsTree>(root.string(), "1.sock", space.bytes());
    const SysfsTree two(root.string(), "2.sock", space.bytes());
    EXPECT_EQ(two.address(), "0000:02:00.0");
    one.reset();
    EXPECT_FALSE(fs::exists(device()));
    EXPECT_TRUE(fs::exists(device("0000:02:00.0") / "config"));
    const SysfsTree three(root.string(), "3.sock", space.bytes());
    EXPECT_EQ(three.address(), "0000:01:00.0");
}

TEST_F(Tree, AFolderWhoseOwnerDiedIsReplaced) {
    const pid_t child = fork();
    if (child == 0) {
        new SysfsTree(root.string(), "dead.sock", space.bytes());
        _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(fs::exists(device() / "config"));
    const SysfsTree tree(root.string(), "alive.sock", space.bytes());
    EXPECT_EQ(tree.address(), "0000:01:00.0");
    EXPECT_EQ(contents(device() / "talus_socket"), fs::absolute("alive.sock").string() + "\n");
}

TEST_F(Tree, SaysWhatIsWrongWithADirectory) {
    const auto failure = [&](const fs::path& where) -> std::string {
        try {
            const SysfsTree tree(where.string(), "x.sock", space.bytes());
        } catch (const std::runtime_error& error) {
            return error.what();
        }
        return "";
    };
    EXPECT_NE(failure("/nonexistent/deep/tree").find("/nonexistent/deep/tree"), std::string::npos);
    std::ofstream(folder / "file") << "x";
    EXPECT_NE(failure(folder / "file").find("not a directory"), std::string::npos);
}

// Integration with pciutils: every structure is decoded, and none is reported as unknown or broken.
TEST_F(Tree, IsDecodedByLspci) {
    if (std::system("lspci --version >/dev/null 2>&1") != 0)
        GTEST_SKIP() << "lspci is not installed (Debian package pciutils)";
    const SysfsTree tree(root.string(), "x.sock", space.bytes());
    const std::string text =
        output_of("lspci -O sysfs.path=" + (root / "bus" / "pci").string() + " -vvv -nn -xxxx");
    for (const char* expected : {
             "01:00.0 Processing accelerators [1200]",
             "[1af4:10f1] (rev 02)",
             "Subsystem: Red Hat, Inc. Device [1af4:7a15]",
             "(64-bit, non-prefetchable) [disabled] [size=1M]",
             "(64-bit, non-prefetchable) [disabled] [size=4M]",
             "(64-bit, prefetchable) [disabled] [size=64M]",
             "Power Management version 3",
             "NoSoftRst+",
             "MSI-X: Enable- Count=64 Masked-",
             "Vector table: BAR=0 offset=00008000",
             "PBA: BAR=0 offset=00009000",
             "Express (v2) Endpoint, MSI 00",
             "FLReset+",
             "Speed 32GT/s, Width x8",
             "Supported Link Speeds: 2.5-32GT/s",
             "Vendor Specific Information: Len=10",
             "Advanced Error Reporting",
             "Device Serial Number 00-11-22-33-44-55-66-77",
             "ff0: 00 00",
         })
        EXPECT_NE(text.find(expected), std::string::npos) << expected << " is missing in\n" << text;
    for (const char* unwanted : {"!!!", "Unknown", "unknown", "<chain looped>", "<chain broken>",
                                 "rev ff", "access denied", "pcilib:"})
        EXPECT_EQ(text.find(unwanted), std::string::npos) << unwanted << " is in\n" << text;
    EXPECT_EQ(output_of("lspci -O sysfs.path=" + root.string() + " -n | grep -v lspci:"),
              "01:00.0 1200: 1af4:10f1 (rev 02)\n");
}

} // namespace
} // namespace talus::sim::test
