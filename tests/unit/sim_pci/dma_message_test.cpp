// DMA to memory without a file descriptor: VFIO_USER_DMA_READ and VFIO_USER_DMA_WRITE.
#include <atomic>
#include <cerrno>
#include <cstring>
#include <future>
#include <gtest/gtest.h>

#include "support.hpp"

namespace talus::sim::test {
namespace {

constexpr uint64_t kBase = 0x40000000;

class DmaMessages : public testing::Test {
  protected:
    explicit DmaMessages(std::chrono::milliseconds timeout = std::chrono::seconds(5))
        : rig(timeout) {}
    void SetUp() override {
        rig.client.negotiate(R"({"capabilities":{"max_data_xfer_size":32768}})");
        rig.client.enable_device();
        ASSERT_EQ(rig.client.dma_map(kBase, kMiB, -1), 0u);
    }
    HostPort& host() { return *rig.chip.host; }
    std::future<DmaStatus> start_read(uint64_t iova, void* data, size_t length) {
        return std::async(std::launch::async,
                          [=, this] { return host().dma_read(iova, data, length); });
    }
    std::future<DmaStatus> start_write(uint64_t iova, const void* data, size_t length) {
        return std::async(std::launch::async,
                          [=, this] { return host().dma_write(iova, data, length); });
    }
    Received expect_request(uint16_t command) {
        auto request = rig.client.receive();
        EXPECT_TRUE(request);
        if (!request)
            return {};
        EXPECT_EQ(request->command, command);
        EXPECT_EQ(request->flags, 0u) << "a command that wants a reply";
        EXPECT_TRUE(request->fds.empty());
        return std::move(*request);
    }
    void reply(const Received& request, std::span<const std::byte> payload, uint32_t flags = 1) {
        rig.client.send(message(request.id, request.command, flags, payload));
    }
    Rig rig;
};

TEST_F(DmaMessages, ReadAsksTheClientAndTakesItsAnswer) {
    uint64_t value = 0;
    auto read = start_read(kBase + 0x123, &value, 8);
    const Received request = expect_request(11);
    ASSERT_EQ(request.payload.size(), 16u);
    EXPECT_EQ(u64_at(request.payload, 0), kBase + 0x123);
    EXPECT_EQ(u64_at(request.payload, 8), 8u);
    reply(request, Bytes().u64(kBase + 0x123).u64(8).u64(0xfeedfacecafef00d));
    EXPECT_EQ(read.get(), DmaStatus::kOk);
    EXPECT_EQ(value, 0xfeedfacecafef00du);
}

TEST_F(DmaMessages, WriteCarriesTheData) {
    const uint32_t value = 0x12345678;
    auto write = start_write(kBase, &value, 4);
    const Received request = expect_request(12);
    ASSERT_EQ(request.payload.size(), 20u);
    EXPECT_EQ(u64_at(request.payload, 0), kBase);
    EXPECT_EQ(u64_at(request.payload, 8), 4u);
    EXPECT_EQ(u32_at(request.payload, 16), value);
    reply(request, Bytes().u64(kBase).u64(4));
    EXPECT_EQ(write.get(), DmaStatus::kOk);
}

TEST_F(DmaMessages, WriteReplyMayHaveAFourByteCount) {
    const uint32_t value = 1;
    auto write = start_write(kBase, &value, 4);
    reply(expect_request(12), Bytes().u64(kBase).u32(4));
    EXPECT_EQ(write.get(), DmaStatus::kOk);
}

TEST_F(DmaMessages, LargeAccessesKeepToTheClientsLimit) {
    std::vector<uint8_t> data(80000);
    auto read = start_read(kBase, data.data(), data.size());
    uint64_t done = 0;
    for (const uint64_t expected : {32768u, 32768u, 14464u}) {
        const Received request = expect_request(11);
        EXPECT_EQ(u64_at(request.payload, 0), kBase + done);
        EXPECT_EQ(u64_at(request.payload, 8), expected);
        reply(request, Bytes()
                           .u64(kBase + done)
                           .u64(expected)
                           .fill(expected, static_cast<uint8_t>(1 + done / 32768)));
        done += expected;
    }
    EXPECT_EQ(read.get(), DmaStatus::kOk);
    EXPECT_EQ(data[32767], 1);
    EXPECT_EQ(data[32768], 2);
    EXPECT_EQ(data[79999], 3);
}

TEST_F(DmaMessages, WordsGoByMessageToo) {
    uint32_t word = 0;
    auto load = std::async(std::launch::async, [&] { return host().load32(kBase + 4, word); });
    reply(expect_request(11), Bytes().u64(kBase + 4).u64(4).u32(99));
    EXPECT_EQ(load.get(), DmaStatus::kOk);
    EXPECT_EQ(word, 99u);
    auto store = std::async(std::launch::async, [&] { return host().store64(kBase + 8, 5); });
    const Received request = expect_request(12);
    EXPECT_EQ(u64_at(request.payload, 16), 5u);
    reply(request, Bytes().u64(kBase + 8).u64(8));
    EXPECT_EQ(store.get(), DmaStatus::kOk);
}

TEST_F(DmaMessages, TheServerGoesOnServingWhileItWaits) {
    uint32_t value = 0;
    rig.chip.set_register(0, 0, 0x77);
    auto read = start_read(kBase, &value, 4);
    const Received request = expect_request(11);
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(rig.client.read32(0, 0), 0x77u);
    ASSERT_EQ(rig.client.dma_map(kBase + kMiB, 0x1000, -1), 0u);
    EXPECT_EQ(read.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
    reply(request, Bytes().u64(kBase).u64(4).u32(1));
    EXPECT_EQ(read.get(), DmaStatus::kOk);
}

TEST_F(DmaMessages, RequestsOfSeveralThreadsAreToldApart) {
    uint32_t a = 0, b = 0;
    auto first = start_read(kBase, &a, 4);
    const Received one = expect_request(11);
    auto second = start_read(kBase + 4, &b, 4);
    const Received two = expect_request(11);
    EXPECT_NE(one.id, two.id);
    reply(two, Bytes().u64(kBase + 4).u64(4).u32(2));
    reply(one, Bytes().u64(kBase).u64(4).u32(1));
    EXPECT_EQ(first.get(), DmaStatus::kOk);
    EXPECT_EQ(second.get(), DmaStatus::kOk);
    EXPECT_EQ(a, 1u);
    EXPECT_EQ(b, 2u);
}

TEST_F(DmaMessages, WrongAnswersAreErrorsOfTheClient) {
    uint32_t value = 5;
    struct Case {
        const char* what;
        std::vector<std::byte> payload;
        uint32_t flags;
    };
    const Case cases[] = {
        {"error reply", {}, 0x21},
        {"no payload", {}, 1},
        {"short", Bytes().u64(kBase).u64(4).u16(1).data(), 1},
        {"long", Bytes().u64(kBase).u64(4).u64(1).data(), 1},
        {"another address", Bytes().u64(kBase + 4).u64(4).u32(1).data(), 1},
        {"another count", Bytes().u64(kBase).u64(8).u32(1).data(), 1},
    };
    for (const Case& c : cases) {
        auto read = start_read(kBase, &value, 4);
        reply(expect_request(11), c.payload, c.flags);
        EXPECT_EQ(read.get(), DmaStatus::kClientError) << c.what;
        EXPECT_EQ(value, 5u) << c.what;
    }
    // A reply with the right id to the wrong command.
    auto read = start_read(kBase, &value, 4);
    const Received request = expect_request(11);
    rig.client.send(message(request.id, 12, 1, Bytes().u64(kBase).u64(4)));
    EXPECT_EQ(read.get(), DmaStatus::kClientError);
    // Replies to nothing are ignored.
    rig.client.send(message(4711, 11, 1, Bytes().u64(kBase).u64(4).u32(1)));
    EXPECT_EQ(rig.client.read32(0, 0), 0u);
}

TEST_F(DmaMessages, UnmapEndsAnAccessUnderWay) {
    uint32_t value = 5;
    auto read = start_read(kBase, &value, 4);
    const Received request = expect_request(11);
    EXPECT_EQ(rig.client.dma_unmap(kBase, kMiB), 0u) << "answered at once";
    EXPECT_EQ(read.get(), DmaStatus::kUnmapped);
    reply(request, Bytes().u64(kBase).u64(4).u32(1)); // too late
    EXPECT_EQ(rig.client.read32(0, 0), 0u);
    EXPECT_EQ(value, 5u);
}

TEST_F(DmaMessages, ResetsAndBusMasterOffEndAnAccessUnderWay) {
    const std::function<void()> ways[] = {
        [&] { rig.client.write16(kConfigRegion, 4, 0); },
        [&] { rig.client.write16(kConfigRegion, 0x68, 0x8000); },
        [&] { EXPECT_EQ(rig.client.error_of(13, Bytes()), 0u); },
    };
    for (const auto& stop : ways) {
        rig.client.enable_device();
        uint32_t value = 0;
        auto read = start_read(kBase, &value, 4);
        expect_request(11);
        stop();
        EXPECT_EQ(read.get(), DmaStatus::kBusMasterOff);
    }
}

TEST_F(DmaMessages, DisconnectEndsAnAccessUnderWay) {
    uint32_t value = 0;
    auto read = start_read(kBase, &value, 4);
    expect_request(11);
    rig.client.close();
    const DmaStatus status = read.get();
    EXPECT_TRUE(status == DmaStatus::kDisconnected || status == DmaStatus::kBusMasterOff);
    rig.server->wait();
    EXPECT_EQ(host().dma_read(kBase, &value, 4), DmaStatus::kDisconnected);
}

class DmaMessagesImpatient : public DmaMessages {
  protected:
    DmaMessagesImpatient() : DmaMessages(std::chrono::milliseconds(50)) {}
};

TEST_F(DmaMessagesImpatient, AnUnansweredAccessTimesOut) {
    uint32_t value = 5;
    auto read = start_read(kBase, &value, 4);
    const Received request = expect_request(11);
    EXPECT_EQ(read.get(), DmaStatus::kTimeout);
    EXPECT_EQ(rig.client.read32(kConfigRegion, 0x104), 1u << 14) << "AER: completion time-out";
    reply(request, Bytes().u64(kBase).u64(4).u32(1));
    EXPECT_EQ(rig.client.read32(0, 0), 0u);
    EXPECT_EQ(value, 5u);
    // The id of the late reply was not given to another request meanwhile.
    auto again = start_read(kBase, &value, 4);
    const Received second = expect_request(11);
    EXPECT_NE(second.id, request.id);
    reply(second, Bytes().u64(kBase).u64(4).u32(6));
    EXPECT_EQ(again.get(), DmaStatus::kOk);
    EXPECT_EQ(value, 6u);
}

// What a client that is stopped does not answer is not late.
TEST(DmaChannel, WaitsForAClientThatIsStopped) {
    vfio_user::DmaChannel channel;
    std::atomic<bool> stopped{true};
    channel.open([](const vfio_user_header&, std::span<const std::byte>) { return true; }, 4096,
                 [&] { return stopped.load(); });
    uint32_t value = 0;
    const auto request = channel.begin_read(kBase, sizeof value);
    auto read = std::async(std::launch::async, [&] {
        return channel.finish(request, &value, std::chrono::milliseconds(50));
    });
    EXPECT_EQ(read.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
    stopped = false;
    EXPECT_EQ(read.get(), DmaStatus::kTimeout);

    stopped = true; // and one that never goes on is waited for until its connection ends
    const auto another = channel.begin_read(kBase, sizeof value);
    read = std::async(std::launch::async, [&] {
        return channel.finish(another, &value, std::chrono::milliseconds(50));
    });
    EXPECT_EQ(read.wait_for(std::chrono::milliseconds(300)), std::future_status::timeout);
    channel.close();
    EXPECT_EQ(read.get(), DmaStatus::kDisconnected);
}

} // namespace
} // namespace talus::sim::test
