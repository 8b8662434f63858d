// Listening, clients that come and go, and what is released when they go.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "support.hpp"

namespace talus::sim::test {
namespace {

namespace fs = std::filesystem;

class Listening : public testing::Test {
  protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "talus-test-XXXXXX").string();
        folder = mkdtemp(pattern.data());
        path = (folder / "device.sock").string();
    }
    void TearDown() override {
        server.reset();
        fs::remove_all(folder);
    }
    void serve(bool exit_on_disconnect = false) {
        vfio_user::ServerOptions options;
        options.socket_path = path;
        options.exit_on_disconnect = exit_on_disconnect;
        server = std::make_unique<vfio_user::Server>(function, function.memory(), function.irqs(),
                                                     std::move(options));
        server->start();
    }
    RawClient connect_client() {
        UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        EXPECT_EQ(connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
            << std::strerror(errno);
        return RawClient(std::move(socket));
    }
    std::string failure() {
        try {
            serve();
        } catch (const std::runtime_error& error) {
            return error.what();
        }
        return "";
    }

    fs::path folder;
    std::string path;
    FakeChip chip;
    PciFunction function{chip, {}};
    std::unique_ptr<vfio_user::Server> server;
};

TEST_F(Listening, ServesOneClientAfterAnother) {
    serve();
    for (int i = 0; i < 20; ++i) {
        RawClient client = connect_client();
        ASSERT_FALSE(client.negotiate().failed());
        client.enable_device();
        ASSERT_TRUE(chip.host->bus_master_enabled());
        client.close();
    }
    EXPECT_TRUE(chip.wait_for("client_gone"));
    EXPECT_FALSE(server->finished());
}

TEST_F(Listening, TurnsASecondClientAway) {
    serve();
    RawClient first = connect_client();
    first.negotiate();
    RawClient second = connect_client();
    EXPECT_TRUE(second.closed_by_server());
    EXPECT_EQ(first.read32(kConfigRegion, 0), 0x10f11af4u) << "undisturbed";
}

TEST_F(Listening, OnlyTheOwnerMayConnectAndTheFileIsRemoved) {
    serve();
    struct stat status;
    ASSERT_EQ(lstat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u);
    server.reset();
    EXPECT_NE(lstat(path.c_str(), &status), 0);
}

TEST_F(Listening, ReplacesAStaleSocketButNothingElse) {
    {
        const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        ASSERT_EQ(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    }
    EXPECT_EQ(failure(), "");
    FakeChip chip2;
    PciFunction function2(chip2, {});
    vfio_user::ServerOptions options;
    options.socket_path = path;
    EXPECT_THROW(
        vfio_user::Server(function2, function2.memory(), function2.irqs(), std::move(options)),
        std::runtime_error)
        << "a living server";
    server.reset();
    std::ofstream(path) << "a file of the user's";
    EXPECT_NE(failure().find("no socket"), std::string::npos);
    EXPECT_TRUE(fs::exists(path));
}

TEST_F(Listening, SaysWhatIsWrongWithAPath) {
    path = "/nonexistent/x.sock";
    EXPECT_NE(failure().find("/nonexistent/x.sock"), std::string::npos);
    path = (folder / std::string(200, 'x')).string();
    EXPECT_NE(failure().find("too long"), std::string::npos);
}

TEST_F(Listening, StopsWhileAClientIsConnected) {
    serve();
    RawClient client = connect_client();
    client.negotiate();
    server->stop();
    EXPECT_TRUE(server->finished());
    EXPECT_TRUE(client.closed_by_server());
    EXPECT_TRUE(chip.wait_for("client_gone"));
}

TEST_F(Listening, MayEndWithItsClient) {
    serve(true);
    RawClient client = connect_client();
    client.negotiate();
    EXPECT_FALSE(server->finished());
    client.close();
    server->wait();
}

TEST(Disconnect, IsAFunctionLevelResetAndReleasesEverything) {
    const UniqueFd file = make_memfd(kMiB);
    const UniqueFd event = make_eventfd();
    const size_t before = open_descriptors();
    {
        Rig rig;
        rig.client.negotiate();
        rig.client.enable_device();
        ASSERT_EQ(rig.client.dma_map(0x1000000, kMiB, file.get()), 0u);
        const int number = event.get();
        ASSERT_EQ(rig.client.set_irqs(0x24, 2, 0, 1, {&number, 1}), 0u);
        EXPECT_TRUE(rig.chip.host->client_connected());

        rig.client.close();
        rig.server->wait();
        EXPECT_EQ(rig.chip.take_events(),
                  (std::vector<std::string>{"function_reset", "client_gone"}));
        EXPECT_EQ(rig.function.memory().mapping_count(), 0u);
        EXPECT_FALSE(rig.chip.host->bus_master_enabled());
        EXPECT_FALSE(rig.chip.host->client_connected());
        uint32_t word = 0;
        EXPECT_EQ(rig.chip.host->dma_read(0x1000000, &word, 4), DmaStatus::kDisconnected);
        rig.chip.host->raise_msix(0);
        EXPECT_EQ(eventfd_count(event.get()), 0u);
    }
    EXPECT_EQ(open_descriptors(), before);
}

TEST(Disconnect, InTheMiddleOfAMessage) {
    const size_t before = open_descriptors();
    const UniqueFd file = make_memfd(4096);
    {
        Rig rig;
        rig.client.negotiate();
        const auto whole = message(1, 2, 0, Bytes().u32(32).u32(3).u64(0).u64(0x1000).u64(0x1000));
        const int fd = file.get();
        rig.client.send(std::span(whole).first(30), {&fd, 1});
        rig.client.close();
        rig.server->wait();
        EXPECT_EQ(rig.function.memory().mapping_count(), 0u);
    }
    EXPECT_EQ(open_descriptors(), before + 1);
}

TEST(Disconnect, RequestsSentBeforeItAreStillExecuted) {
    Rig rig;
    rig.client.negotiate();
    rig.client.enable_device();
    for (int i = 0; i < 500; ++i)
        rig.client.send(message(1, 10, 0x10, Bytes().u64(0).u32(2).u32(4).u32(1)));
    rig.client.close();
    rig.server->wait();
    EXPECT_EQ(rig.chip.take_events().size(), 502u) << "500 writes, reset, gone";
}

TEST(Disconnect, InheritedDescriptorMustBeAStreamSocket) {
    FakeChip chip;
    PciFunction function(chip, {});
    const auto start = [&](int fd) {
        vfio_user::ServerOptions options;
        options.fd = fd;
        vfio_user::Server server(function, function.memory(), function.irqs(), std::move(options));
    };
    const UniqueFd file = make_memfd(4096);
    EXPECT_THROW(start(file.get()), std::runtime_error);
    EXPECT_THROW(start(9999), std::runtime_error);
    EXPECT_THROW(start(-1), std::runtime_error);
}

} // namespace
} // namespace talus::sim::test
