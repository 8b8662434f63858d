// The vfio-user client against a server in this process, honest and otherwise.
#include "vfio_user.hpp"

#include "error.hpp"
#include "fake_server.hpp"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <numeric>

namespace talus::driver {
namespace {

using test::FakeServer;
using test::wire;
using Bytes = FakeServer::Bytes;
using Message = FakeServer::Message;

std::unique_ptr<VfioUserTransport>
connect(FakeServer& server, std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    return std::make_unique<VfioUserTransport>(server.client_socket(), "fake", nullptr, limit);
}

// The status and the text of what `operation` throws.
std::pair<talus_drv_status, std::string> failure(const std::function<void()>& operation) {
    try {
        operation();
    } catch (const Error& error) {
        return {error.status(), error.what()};
    }
    return {TALUS_DRV_OK, ""};
}

Bytes pattern(std::size_t bytes) {
    Bytes data(bytes);
    for (std::size_t i = 0; i < bytes; ++i)
        data[i] = static_cast<std::byte>(i * 7 + i / 256);
    return data;
}

template <typename T>
T payload_of(const Message& message) {
    T value{};
    std::memcpy(&value, message.payload.data(), std::min(sizeof value, message.payload.size()));
    return value;
}

TEST(VfioUser, NegotiatesAndReadsTheDevice) {
    FakeServer server;
    const auto transport = connect(server);
    EXPECT_EQ(transport->bar_size(0), server.bar0.size());
    EXPECT_EQ(transport->irq_count(), 4u);
    EXPECT_STREQ(transport->kind(), "vfio-user");
}

TEST(VfioUser, RegistersKeepTheirWidth) {
    FakeServer server;
    const auto transport = connect(server);
    transport->bar_write32(0, 0x40, 0x11223344);
    transport->bar_write64(0, 0x48, 0x0102030405060708);
    EXPECT_EQ(transport->bar_read32(0, 0x40), 0x11223344u);
    EXPECT_EQ(transport->bar_read64(0, 0x48), 0x0102030405060708u);
    const auto seen = server.seen();
    const std::vector<std::pair<std::uint16_t, std::uint32_t>> tail(seen.end() - 4, seen.end());
    EXPECT_EQ(tail,
              (std::vector<std::pair<std::uint16_t, std::uint32_t>>{{VFIO_USER_REGION_WRITE, 4},
                                                                    {VFIO_USER_REGION_WRITE, 8},
                                                                    {VFIO_USER_REGION_READ, 4},
                                                                    {VFIO_USER_REGION_READ, 8}}));
}

TEST(VfioUser, ConfigSpaceIsARegion) {
    FakeServer server;
    server.config[0x34] = std::byte{0x40};
    const auto transport = connect(server);
    std::byte value{};
    transport->config_read(0x34, {&value, 1});
    EXPECT_EQ(value, std::byte{0x40});
    EXPECT_EQ(failure([&] { transport->config_read(4095, std::span(&value, 1)); }).first,
              TALUS_DRV_OK);
    std::array<std::byte, 2> two{};
    EXPECT_EQ(failure([&] { transport->config_read(4095, two); }).first, TALUS_DRV_INTERNAL);
}

TEST(VfioUser, LongTransfersRespectTheServersLimit) {
    FakeServer server;
    server.capabilities = R"({"capabilities":{"max_data_xfer_size":65536}})";
    const auto transport = connect(server);
    const Bytes data = pattern(1000003);
    transport->bar_write(4, 17, data);
    Bytes back(data.size());
    transport->bar_read(4, 17, back);
    EXPECT_EQ(back, data);
    std::size_t messages = 0;
    for (const auto& [command, count] : server.seen()) {
        EXPECT_LE(count, 65536u);
        messages += command == VFIO_USER_REGION_WRITE;
    }
    EXPECT_EQ(messages, 16u); // ceil(1000003 / 65536)
}

TEST(VfioUser, ErrorRepliesBecomeErrorsAndTheConnectionLives) {
    FakeServer server([](FakeServer& self, Message& message) {
        if (message.header.command != VFIO_USER_DEVICE_RESET)
            return false;
        self.reply_error(message, ENOTSUP);
        return true;
    });
    const auto transport = connect(server);
    const auto [status, text] = failure([&] { transport->reset(); });
    EXPECT_EQ(status, TALUS_DRV_PROTOCOL);
    EXPECT_NE(text.find("DEVICE_RESET"), std::string::npos) << text;
    EXPECT_NO_THROW(transport->bar_read32(0, 0));
}

// ---- DMA ----

TEST(VfioUser, DmaMapCarriesTheFile) {
    UniqueFd received;
    vfio_user_dma_map seen{};
    FakeServer server([&](FakeServer&, Message& message) {
        if (message.header.command == VFIO_USER_DMA_MAP) {
            seen = payload_of<vfio_user_dma_map>(message);
            if (!message.fds.empty())
                received = std::move(message.fds.front());
        }
        return false;
    });
    const auto transport = connect(server);
    const UniqueFd file(memfd_create("test", MFD_CLOEXEC));
    ASSERT_EQ(ftruncate(file.get(), 8192), 0);
    std::array<std::byte, 8192> memory{};
    transport->dma_map(0x100000000, 8192, memory.data(), file.get());
    EXPECT_EQ(seen.argsz, 32u);
    EXPECT_EQ(seen.address, 0x100000000u);
    EXPECT_EQ(seen.size, 8192u);
    EXPECT_EQ(seen.flags, VFIO_USER_DMA_FLAG_READ | VFIO_USER_DMA_FLAG_WRITE);
    ASSERT_TRUE(received.valid());
    ASSERT_EQ(pwrite(file.get(), "x", 1, 100), 1);
    char byte = 0;
    ASSERT_EQ(pread(received.get(), &byte, 1, 100), 1);
    EXPECT_EQ(byte, 'x');
}

// The server asks for client memory in the middle of answering: it must be served, or both sides
// would wait for each other for ever.
TEST(VfioUser, ServesDmaWhileItAwaitsAReply) {
    Bytes memory = pattern(65536);
    const Bytes before = memory;
    Message read;
    Message write;
    FakeServer server([&](FakeServer& self, Message& message) {
        if (message.header.command != VFIO_USER_REGION_READ)
            return false;
        read = self.ask(VFIO_USER_DMA_READ, wire(vfio_user_dma_access{0x1000 + 100, 5000}));
        write = self.ask(VFIO_USER_DMA_WRITE,
                         wire(vfio_user_dma_access{0x1000 + 60000, 3}, pattern(3)));
        return false;
    });
    const auto transport = connect(server);
    transport->dma_map(0x1000, memory.size(), memory.data(), -1);
    transport->bar_read32(0, 0);
    ASSERT_EQ(read.header.flags, VFIO_USER_FLAG_REPLY);
    ASSERT_EQ(read.payload.size(), sizeof(vfio_user_dma_access) + 5000);
    EXPECT_EQ(
        std::memcmp(read.payload.data() + sizeof(vfio_user_dma_access), before.data() + 100, 5000),
        0);
    EXPECT_EQ(write.header.flags, VFIO_USER_FLAG_REPLY);
    EXPECT_EQ(std::memcmp(memory.data() + 60000, pattern(3).data(), 3), 0);
    EXPECT_EQ(memory[60003], before[60003]);
}

// A server with a socket for its own requests: they are served there, in wait() and while a reply
// on the first one is awaited.
TEST(VfioUser, ServesDmaOnATwinSocket) {
    std::array<int, 2> ends{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    const UniqueFd twin(ends[0]);
    UniqueFd far(ends[1]);
    Bytes memory = pattern(4096);
    const auto ask = [&](std::uint16_t id) {
        vfio_user_header header{};
        header.message_id = id;
        header.command = VFIO_USER_DMA_READ;
        header.size = sizeof header + sizeof(vfio_user_dma_access);
        const Bytes message = wire(header, wire(vfio_user_dma_access{0x1000 + 100, 8}));
        EXPECT_EQ(write(twin.get(), message.data(), message.size()),
                  static_cast<ssize_t>(message.size()));
    };
    const auto expect_answer = [&](std::uint16_t id) {
        Bytes answer(sizeof(vfio_user_header) + sizeof(vfio_user_dma_access) + 8);
        ASSERT_EQ(recv(twin.get(), answer.data(), answer.size(), MSG_WAITALL),
                  static_cast<ssize_t>(answer.size()));
        vfio_user_header header{};
        std::memcpy(&header, answer.data(), sizeof header);
        EXPECT_EQ(header.message_id, id);
        EXPECT_EQ(header.flags, VFIO_USER_FLAG_REPLY);
        EXPECT_EQ(std::memcmp(answer.data() + answer.size() - 8, memory.data() + 100, 8), 0);
    };
    FakeServer server([&](FakeServer& self, Message& message) {
        if (message.header.command == VFIO_USER_VERSION) {
            const std::string text =
                R"({"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}})";
            Bytes tail(text.size() + 1);
            std::memcpy(tail.data(), text.c_str(), tail.size());
            self.reply(message, wire(vfio_user_version{VFIO_USER_MAJOR, VFIO_USER_MINOR}, tail),
                       far.get());
            return true;
        }
        if (message.header.command == VFIO_USER_REGION_READ) {
            ask(2);
            expect_answer(2); // before the reply that the client awaits
        }
        return false;
    });
    const auto transport = connect(server);
    far.reset();
    transport->dma_map(0x1000, memory.size(), memory.data(), -1);
    ask(1);
    transport->wait(-1, std::chrono::milliseconds(20));
    expect_answer(1);
    transport->bar_read32(0, 0);
}

TEST(VfioUser, ServesDmaWhileItWaits) {
    Bytes memory(4096);
    std::atomic<bool> done{false};
    FakeServer server([&](FakeServer& self, Message& message) {
        if (message.header.command != VFIO_USER_DEVICE_RESET)
            return false;
        self.reply(message, {});
        self.ask(VFIO_USER_DMA_WRITE, wire(vfio_user_dma_access{0x1000, 4}, pattern(4)));
        done = true;
        return true;
    });
    const auto transport = connect(server);
    transport->dma_map(0x1000, memory.size(), memory.data(), -1);
    transport->reset();
    for (int i = 0; i < 1000 && !done; ++i)
        transport->wait(-1, std::chrono::milliseconds(10));
    EXPECT_TRUE(done);
    EXPECT_EQ(std::memcmp(memory.data(), pattern(4).data(), 4), 0);
}

TEST(VfioUser, DmaOutsideTheMappingsIsRefused) {
    std::array<std::byte, 4096> memory{};
    std::vector<Message> answers;
    FakeServer server([&](FakeServer& self, Message& message) {
        if (message.header.command != VFIO_USER_REGION_READ)
            return false;
        for (const auto& [address, count] : std::vector<std::pair<std::uint64_t, std::uint64_t>>{
                 {0x0fff, 1},              // before
                 {0x2000, 1},              // behind
                 {0x1fff, 2},              // over the end
                 {0x1000, 1ull << 40},     // longer than any message
                 {~0ull, 1},               // wraps
                 {0x1800, ~0ull - 0x100}}) // so does the sum
            answers.push_back(
                self.ask(VFIO_USER_DMA_READ, wire(vfio_user_dma_access{address, count})));
        // A write that says 100 bytes and carries 4.
        answers.push_back(
            self.ask(VFIO_USER_DMA_WRITE, wire(vfio_user_dma_access{0x1000, 100}, pattern(4))));
        answers.push_back(self.ask(VFIO_USER_DMA_READ, pattern(3)));
        answers.push_back(self.ask(99, {}));
        return false;
    });
    const auto transport = connect(server);
    transport->dma_map(0x1000, memory.size(), memory.data(), -1);
    transport->bar_read32(0, 0);
    ASSERT_EQ(answers.size(), 9u);
    for (const Message& answer : answers) {
        EXPECT_EQ(answer.header.flags, VFIO_USER_FLAG_REPLY | VFIO_USER_FLAG_ERROR);
        EXPECT_EQ(answer.payload.size(), 0u);
    }
    EXPECT_EQ(answers.back().header.error, static_cast<std::uint32_t>(ENOTSUP));
}

TEST(VfioUser, UnmapsWhatIsLeftWhenItCloses) {
    std::atomic<int> unmaps{0};
    FakeServer server([&](FakeServer&, Message& message) {
        unmaps += message.header.command == VFIO_USER_DMA_UNMAP;
        return false;
    });
    std::array<std::byte, 4096> memory{};
    auto transport = connect(server);
    transport->dma_map(0x1000, 4096, memory.data(), -1);
    transport->dma_map(0x4000, 4096, memory.data(), -1);
    transport->dma_unmap(0x1000, 4096);
    EXPECT_EQ(failure([&] { transport->dma_unmap(0x1000, 4096); }).first, TALUS_DRV_INTERNAL);
    transport.reset();
    EXPECT_EQ(unmaps, 2);
}

// ---- Interrupts ----

TEST(VfioUser, InterruptsArriveAtTheEventfd) {
    UniqueFd at_server;
    vfio_user_irq_set seen{};
    FakeServer server([&](FakeServer&, Message& message) {
        if (message.header.command == VFIO_USER_DEVICE_SET_IRQS) {
            seen = payload_of<vfio_user_irq_set>(message);
            at_server = message.fds.empty() ? UniqueFd() : std::move(message.fds.front());
        }
        return false;
    });
    const auto transport = connect(server);
    const UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    transport->irq_set(3, event.get());
    EXPECT_EQ(seen.index, static_cast<std::uint32_t>(VFIO_USER_IRQ_MSIX));
    EXPECT_EQ(seen.start, 3u);
    EXPECT_EQ(seen.count, 1u);
    EXPECT_EQ(seen.flags, VFIO_USER_IRQ_SET_DATA_EVENTFD | VFIO_USER_IRQ_SET_ACTION_TRIGGER);
    EXPECT_FALSE(transport->wait(event.get(), std::chrono::milliseconds(1)));
    const std::uint64_t one = 1;
    ASSERT_EQ(write(at_server.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    EXPECT_TRUE(transport->wait(event.get(), std::chrono::seconds(10)));
    transport->irq_set(3, -1);
    EXPECT_FALSE(at_server.valid());
    EXPECT_EQ(failure([&] { transport->irq_set(4, event.get()); }).first, TALUS_DRV_UNSUPPORTED);
}

// ---- Mapping ----

UniqueFd sealed_file(std::size_t bytes, int seals = F_SEAL_SHRINK) {
    UniqueFd file(memfd_create("bar", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    EXPECT_EQ(ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
    EXPECT_EQ(fcntl(file.get(), F_ADD_SEALS, seals), 0);
    return file;
}

TEST(VfioUser, MapsOnlyWhatTheServerOffers) {
    FakeServer server;
    server.bar4_file = sealed_file(8 << 20);
    server.bar4_file_offset = 4096;
    server.bar4_areas = {{0x1000, 0x2000}, {0x10000, 0x1000}};
    ASSERT_EQ(pwrite(server.bar4_file.get(), "mapped", 6, 4096 + 0x2000), 6);
    const auto transport = connect(server);
    const BarMapping mapping = transport->bar_map(4, 0x2000, 0x1000, false);
    ASSERT_NE(mapping.pointer, nullptr);
    EXPECT_EQ(std::memcmp(const_cast<const std::byte*>(mapping.pointer), "mapped", 6), 0);
    EXPECT_EQ(transport->bar_map(4, 0x2000, 0x2000, false).pointer, nullptr);
    EXPECT_EQ(transport->bar_map(4, 0, 0x1000, false).pointer, nullptr);
    EXPECT_EQ(transport->bar_map(0, 0, 0x1000, false).pointer, nullptr);
}

TEST(VfioUser, DoesNotMapAFileThatCanVanishBeneathIt) {
    FakeServer short_file;
    short_file.bar4_file = sealed_file(4096);
    EXPECT_EQ(connect(short_file)->bar_map(4, 0, 8192, false).pointer, nullptr);
    FakeServer unsealed;
    unsealed.bar4_file = sealed_file(4 << 20, F_SEAL_GROW);
    EXPECT_EQ(connect(unsealed)->bar_map(4, 0, 8192, false).pointer, nullptr);
}

// ---- Death and lies ----

TEST(VfioUser, ClosedConnectionIsALostDevice) {
    FakeServer server([](FakeServer& self, Message& message) {
        if (message.header.command != VFIO_USER_REGION_READ)
            return false;
        self.close();
        return true;
    });
    const auto transport = connect(server);
    const auto [status, text] = failure([&] { transport->bar_read32(0, 0); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
    EXPECT_NE(text.find("fake"), std::string::npos);
    // And it stays lost, at once, for every operation.
    std::array<std::byte, 64> memory{};
    for (const auto& operation : std::vector<std::function<void()>>{
             [&] { transport->bar_write32(0, 0, 1); }, [&] { transport->reset(); },
             [&] { transport->dma_map(0, 64, memory.data(), -1); },
             [&] { transport->wait(-1, std::chrono::seconds(30)); }})
        EXPECT_EQ(failure(operation).first, TALUS_DRV_DEVICE_LOST);
}

TEST(VfioUser, SilentServerIsALostDevice) {
    FakeServer server([](FakeServer&, Message& message) {
        return message.header.command == VFIO_USER_REGION_READ; // swallowed
    });
    const auto transport = connect(server, std::chrono::milliseconds(100));
    const auto [status, text] = failure([&] { transport->bar_read32(0, 0); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
    EXPECT_NE(text.find("REGION_READ"), std::string::npos) << text;
}

TEST(VfioUser, SilenceFromTheStartHintsAtAnotherOwner) {
    FakeServer server([](FakeServer&, Message&) { return true; });
    const auto [status, text] = failure([&] { connect(server, std::chrono::milliseconds(100)); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
    EXPECT_NE(text.find("another process"), std::string::npos) << text;
}

struct Lie {
    const char* name;
    std::function<void(FakeServer&, Message&)> tell;
};

class Lies : public ::testing::TestWithParam<Lie> {};

TEST_P(Lies, EndTheConnectionAndNothingElse) {
    FakeServer server([&](FakeServer& self, Message& message) {
        if (message.header.command != VFIO_USER_REGION_READ)
            return false;
        GetParam().tell(self, message);
        return true;
    });
    const auto transport = connect(server, std::chrono::seconds(5));
    const auto [status, text] = failure([&] { transport->bar_read32(0, 0); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST) << text;
}

vfio_user_header reply_header(const Message& message, std::uint32_t size) {
    vfio_user_header header = message.header;
    header.flags = VFIO_USER_FLAG_REPLY;
    header.size = size;
    return header;
}

INSTANTIATE_TEST_SUITE_P(
    VfioUser, Lies,
    ::testing::Values(
        Lie{"HugeMessage",
            [](FakeServer& self, Message& m) { self.send_raw(wire(reply_header(m, 0xffffffff))); }},
        Lie{"TinyMessage",
            [](FakeServer& self, Message& m) { self.send_raw(wire(reply_header(m, 15))); }},
        Lie{"WrongId",
            [](FakeServer& self, Message& m) {
                auto header = reply_header(m, 36);
                ++header.message_id;
                self.send_raw(wire(header, pattern(20)));
            }},
        Lie{"WrongCommand",
            [](FakeServer& self, Message& m) {
                auto header = reply_header(m, 36);
                header.command = VFIO_USER_REGION_WRITE;
                self.send_raw(wire(header, pattern(20)));
            }},
        Lie{"NeitherCommandNorReply",
            [](FakeServer& self, Message& m) {
                auto header = reply_header(m, 36);
                header.flags = 2;
                self.send_raw(wire(header, pattern(20)));
            }},
        Lie{"TruncatedReply",
            [](FakeServer& self, Message& m) {
                self.send_raw(wire(reply_header(m, 34), pattern(18)));
            }},
        Lie{"ReplyTwice",
            [](FakeServer& self, Message& m) {
                auto bad = reply_header(m, 36);
                bad.message_id = 0x4242;
                self.send_raw(wire(bad, pattern(20)));
                self.send_raw(wire(reply_header(m, 36), pattern(20)));
            }},
        Lie{"ConnectionEndsInTheMiddle",
            [](FakeServer& self, Message& m) {
                self.send_raw(wire(reply_header(m, 36), pattern(5)));
                self.close();
            }}),
    [](const auto& info) { return info.param.name; });

TEST(VfioUser, HostileCapabilitiesAreRefused) {
    for (const char* text :
         {R"({"capabilities":{"max_data_xfer_size":0}})",
          R"({"capabilities":{"max_data_xfer_size":7}})",
          // A second socket that is promised and does not come.
          R"({"capabilities":{"twin_socket":{"supported":true}}})",
          R"({"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}})",
          R"({"capabilities":{"twin_socket":{"supported":true,"fd_index":-1}}})"}) {
        FakeServer server;
        server.capabilities = text;
        EXPECT_EQ(failure([&] { connect(server); }).first, TALUS_DRV_DEVICE_LOST) << text;
    }
    // Nonsense that can be ignored is.
    for (const char* text :
         {"", "not json", "[]", R"({"capabilities":7})", R"({"capabilities":{"twin_socket":7}})",
          R"({"capabilities":{"twin_socket":{"supported":false}}})",
          R"({"capabilities":{"max_data_xfer_size":"many"}})"}) {
        FakeServer server;
        server.capabilities = text;
        EXPECT_EQ(failure([&] { connect(server); }).first, TALUS_DRV_OK) << text;
    }
}

TEST(VfioUser, HostileRegionCapabilitiesAreRefused) {
    FakeServer server;
    server.bar4_file = sealed_file(4 << 20);
    server.bar4_areas = {{0, 0x1000}};
    FakeServer liar([&](FakeServer& self, Message& message) {
        if (message.header.command != VFIO_USER_DEVICE_GET_REGION_INFO)
            return false;
        auto info = payload_of<vfio_user_region_info>(message);
        info.flags = VFIO_USER_REGION_FLAG_MMAP | VFIO_USER_REGION_FLAG_CAPS;
        info.cap_offset = sizeof info;
        info.size = 4 << 20;
        vfio_user_cap_sparse_mmap sparse{};
        sparse.header.id = VFIO_USER_CAP_ID_SPARSE_MMAP;
        sparse.nr_areas = 0x10000000; // far more than the message holds
        self.reply(message, wire(info, wire(sparse)), server.bar4_file.get());
        return true;
    });
    EXPECT_EQ(failure([&] { connect(liar); }).first, TALUS_DRV_DEVICE_LOST);
}

TEST(VfioUser, ThreadsMayShareTheTransport) {
    FakeServer server;
    const auto transport = connect(server);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (std::uint32_t t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (std::uint32_t i = 0; i < 300; ++i) {
                transport->bar_write32(0, 4 * t, i);
                wrong += transport->bar_read32(0, 4 * t) != i;
                transport->wait(-1, std::chrono::milliseconds(0));
            }
        });
    for (auto& thread : threads)
        thread.join();
    EXPECT_EQ(wrong, 0);
}

TEST(VfioUser, ConnectingToNothingIsNotFound) {
    EXPECT_EQ(failure([] { VfioUserTransport::connect("/nonexistent/socket"); }).first,
              TALUS_DRV_NOT_FOUND);
    EXPECT_EQ(failure([] { VfioUserTransport::connect(std::string(200, 'x')); }).first,
              TALUS_DRV_INVALID_ARGUMENT);
}

} // namespace
} // namespace talus::driver
