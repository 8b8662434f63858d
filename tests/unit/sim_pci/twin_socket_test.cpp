// Twin-socket mode ("twin_socket" of the version message): the device's requests, and the client's
// answers to them, on a socket of their own.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <future>

#include "support.hpp"

namespace talus::sim::test {
namespace {

constexpr uint64_t kBase = 0x40000000;

class Twin : public testing::Test {
  protected:
    void SetUp() override {
        Received reply = rig.client.negotiate(
            R"({"capabilities":{"max_msg_fds":8,"twin_socket":{"supported":true}}})");
        ASSERT_FALSE(reply.failed());
        const auto answer = nlohmann::json::parse(
            reinterpret_cast<const char*>(reply.payload.data()) + 4)["capabilities"]["twin_socket"];
        ASSERT_EQ(answer, nlohmann::json({{"supported", true}, {"fd_index", 0}}));
        ASSERT_EQ(reply.fds.size(), 1u);
        twin = std::make_unique<RawClient>(std::move(reply.fds[0]));
        rig.client.enable_device();
        ASSERT_EQ(rig.client.dma_map(kBase, kMiB, -1), 0u);
    }
    std::future<DmaStatus> start_read(void* data) {
        return std::async(std::launch::async,
                          [=, this] { return rig.chip.host->dma_read(kBase, data, 8); });
    }
    Rig rig;
    std::unique_ptr<RawClient> twin;
};

TEST_F(Twin, RequestsAndTheirAnswersPassThere) {
    uint64_t value = 0;
    auto read = start_read(&value);
    const auto request = twin->receive();
    ASSERT_TRUE(request);
    EXPECT_EQ(request->command, 11);
    // The first socket goes on meanwhile, with the client's own requests only.
    EXPECT_EQ(rig.client.read(7, 0, 2).size(), 2u);
    twin->send(message(request->id, 11, 1, Bytes().u64(kBase).u64(8).u64(0xfeedfacecafef00d)));
    EXPECT_EQ(read.get(), DmaStatus::kOk);
    EXPECT_EQ(value, 0xfeedfacecafef00du);
    EXPECT_FALSE(rig.client.receive(0));
}

TEST_F(Twin, AnAnswerInPiecesIsPutTogether) {
    uint64_t value = 0;
    auto read = start_read(&value);
    const auto request = twin->receive();
    ASSERT_TRUE(request);
    const auto answer = message(request->id, 11, 1, Bytes().u64(kBase).u64(8).u64(42));
    for (const std::byte& byte : answer)
        twin->send(std::span(&byte, 1));
    EXPECT_EQ(read.get(), DmaStatus::kOk);
    EXPECT_EQ(value, 42u);
}

TEST_F(Twin, ItsEndFailsWhatTheDeviceAsks) {
    uint64_t value = 0;
    auto read = start_read(&value);
    ASSERT_TRUE(twin->receive());
    twin->close();
    EXPECT_EQ(read.get(), DmaStatus::kDisconnected);
    EXPECT_EQ(start_read(&value).get(), DmaStatus::kDisconnected);
    // The client itself is there.
    EXPECT_EQ(rig.client.read(7, 0, 2).size(), 2u);
}

TEST_F(Twin, ACommandThereEndsIt) {
    twin->send(message(1, 13, 0, {})); // DEVICE_RESET belongs on the other socket
    EXPECT_TRUE(twin->closed_by_server());
    EXPECT_EQ(rig.client.read(7, 0, 2).size(), 2u);
}

TEST_F(Twin, ASizeThatNoMessageHasEndsIt) {
    auto lie = message(1, 11, 1, {});
    lie[4] = std::byte{15};
    twin->send(lie);
    EXPECT_TRUE(twin->closed_by_server());
}

TEST_F(Twin, ItEndsWithTheClient) {
    rig.client.close();
    EXPECT_TRUE(twin->closed_by_server());
}

} // namespace
} // namespace talus::sim::test
