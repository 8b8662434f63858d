// Messages that no client should send: each gets an errno, none harms the connection.
#include <cerrno>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "support.hpp"

namespace talus::sim::test {
namespace {

constexpr auto kInvalid = static_cast<uint32_t>(EINVAL);

class Hostile : public testing::Test {
  protected:
    void SetUp() override { rig.client.negotiate(); }
    void expect_error(std::span<const std::byte> raw, uint16_t id, uint32_t error,
                      std::span<const int> fds = {}) {
        rig.client.send(raw, fds);
        const auto reply = rig.client.receive();
        ASSERT_TRUE(reply);
        EXPECT_EQ(reply->id, id);
        EXPECT_EQ(reply->flags, 0x21u);
        EXPECT_EQ(reply->size, 16u);
        EXPECT_EQ(reply->error, error);
    }
    void expect_alive() {
        EXPECT_FALSE(rig.client.call(4, Bytes().u32(16).u32(0).u32(0).u32(0)).failed());
    }
    static Bytes header(uint16_t id, uint16_t command, uint32_t size, uint32_t flags) {
        return Bytes().u16(id).u16(command).u32(size).u32(flags).u32(0);
    }
    Rig rig;
};

TEST_F(Hostile, SizesBelowTheHeader) {
    for (const uint32_t size : {0u, 1u, 15u})
        expect_error(header(7, 4, size, 0), 7, kInvalid);
    expect_alive();
}

TEST_F(Hostile, AnOversizedMessageIsSkipped) {
    const uint32_t size = 3 * kMiB;
    Bytes bytes = header(8, 10, size, 0);
    bytes.fill(size - 16, 0x11);
    std::thread sender([&] { rig.client.send(bytes); });
    const auto reply = rig.client.receive();
    sender.join();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->error, static_cast<uint32_t>(EMSGSIZE));
    expect_alive();
}

TEST_F(Hostile, UnknownTypesAndFlags) {
    for (const uint32_t flags : {2u, 15u, 0x20u, 0x40u, 0x80000000u})
        expect_error(header(9, 13, 16, flags), 9, kInvalid);
    EXPECT_TRUE(rig.chip.take_events().empty()) << "no reset happened";
    expect_alive();
}

TEST_F(Hostile, UnknownAndUnsupportedCommands) {
    const auto unsupported = static_cast<uint32_t>(ENOTSUP);
    for (const uint16_t command : {0, 14, 16, 17, 18, 19, 255, 65535})
        EXPECT_EQ(rig.client.error_of(command, Bytes().u64(0)), unsupported) << command;
    EXPECT_EQ(rig.client.error_of(14, {}), unsupported) << "DIRTY_PAGES";
    EXPECT_EQ(rig.client.error_of(11, Bytes().u64(0).u64(4)), kInvalid) << "the server's command";
    EXPECT_EQ(rig.client.error_of(12, Bytes().u64(0).u64(4)), kInvalid);
    expect_alive();
}

TEST_F(Hostile, PayloadsOfTheWrongLength) {
    // Command and the length of its fixed payload.
    for (const auto& [command, length] : {std::pair<uint16_t, size_t>{2, 32},
                                          {3, 24},
                                          {4, 16},
                                          {5, 32},
                                          {6, 16},
                                          {7, 16},
                                          {9, 16}}) {
        for (const size_t wrong : {size_t{0}, length - 1, length + 1, length + 4096})
            EXPECT_EQ(rig.client.error_of(command, Bytes().fill(wrong, 0xff)), kInvalid)
                << command << " " << wrong;
    }
    EXPECT_EQ(rig.client.error_of(8, Bytes().fill(19, 0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(10, Bytes().fill(15, 0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(13, Bytes().u8(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(15, Bytes().fill(7, 0)), kInvalid);
    EXPECT_TRUE(rig.chip.take_events().empty());
    expect_alive();
}

TEST_F(Hostile, RepliesAreNeverAnswered) {
    rig.client.send(header(1, 4, 16, 1));
    rig.client.send(header(2, 999, 16, 0x21));
    rig.client.send(message(3, 9, 1, Bytes().fill(100, 1)));
    rig.client.send(header(4, 4, 3, 1)); // even with an impossible size
    expect_alive();                      // its reply is the first that comes
}

TEST_F(Hostile, MessagesInPieces) {
    const auto whole = message(5, 4, 0, Bytes().u32(16).u32(0).u32(0).u32(0));
    for (const std::byte& byte : whole) {
        rig.client.send(std::span(&byte, 1));
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    const auto reply = rig.client.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->id, 5);
    EXPECT_FALSE(reply->failed());
}

TEST_F(Hostile, ManyMessagesAtOnceAreAnsweredInOrder) {
    Bytes all;
    for (uint16_t id = 0; id < 1000; ++id)
        all.raw(message(id, 4, 0, Bytes().u32(16).u32(0).u32(0).u32(0)));
    rig.client.send(all);
    for (uint16_t id = 0; id < 1000; ++id) {
        const auto reply = rig.client.receive();
        ASSERT_TRUE(reply);
        ASSERT_EQ(reply->id, id);
    }
}

TEST_F(Hostile, UnwantedDescriptorsAreClosed) {
    const size_t before = open_descriptors();
    const UniqueFd file = make_memfd(4096);
    const int fd = file.get();
    EXPECT_EQ(rig.client.error_of(4, Bytes().u32(16).u32(0).u32(0).u32(0), {fd}), kInvalid);
    EXPECT_EQ(rig.client.error_of(13, {}, {fd, fd}), kInvalid);
    expect_error(header(9, 77, 16, 0), 9, static_cast<uint32_t>(ENOTSUP), {&fd, 1});
    rig.client.send(header(9, 4, 16, 1), {&fd, 1}); // with a reply
    expect_alive();
    const std::vector<int> many(200, fd);
    expect_error(message(3, 8, 0, Bytes().u32(20).u32(0x24).u32(2).u32(0).u32(64)), 3, kInvalid,
                 many);
    expect_alive();
    // With each byte of a message a load of descriptors.
    const auto whole = message(5, 4, 0, Bytes().u32(16).u32(0).u32(0).u32(0));
    for (const std::byte& byte : whole)
        rig.client.send(std::span(&byte, 1), many);
    const auto reply = rig.client.receive();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->error, kInvalid);
    expect_alive();
    EXPECT_EQ(open_descriptors(), before + 1) << "the file of this test";
}

TEST_F(Hostile, RunningOutOfDescriptorsIsAnErrorReply) {
    rlimit limit;
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const UniqueFd file = make_memfd(4096);
    const rlimit tight = {open_descriptors() + 1, limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
    const std::vector<int> fds(16, file.get());
    rig.client.send(message(6, 8, 0, Bytes().u32(20).u32(0x24).u32(2).u32(0).u32(16)), fds);
    const auto reply = rig.client.receive();
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->error, static_cast<uint32_t>(EMFILE));
    expect_alive();
}

TEST_F(Hostile, AClientThatNeverReadsIsNotBufferedWithoutLimit) {
    // 64 requests for 1 MiB each; the server must stop taking requests, and go on once it is read.
    rig.client.enable_device();
    std::thread sender([&] {
        for (uint16_t i = 0; i < 64; ++i)
            rig.client.send(
                message(i, 9, 0, Bytes().u64(0).u32(4).u32(static_cast<uint32_t>(kMiB))));
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (uint16_t i = 0; i < 64; ++i) {
        const auto reply = rig.client.receive();
        ASSERT_TRUE(reply);
        ASSERT_EQ(reply->id, i);
        ASSERT_EQ(reply->payload.size(), 16 + kMiB);
    }
    sender.join();
    expect_alive();
}

TEST_F(Hostile, ErrorsAreReportedWithTheirCommand) {
    rig.client.dma_unmap(0x1000, 0x1000);
    EXPECT_TRUE(rig.reports().empty()) << "a virtual IOMMU unmaps all it has, mapped or not";
    rig.client.dma_unmap(0x1000, 0);
    const auto reports = rig.reports();
    ASSERT_FALSE(reports.empty());
    EXPECT_NE(reports.back().find("DMA_UNMAP"), std::string::npos) << reports.back();
}

} // namespace
} // namespace talus::sim::test
