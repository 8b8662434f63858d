// A vfio-user server for one connection, on a thread of its own: just enough of a PCI device to see
// what the client sends, and to send what no honest server would.
#pragma once

#include "fd.hpp"

#include "talus/vfio_user.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace talus::driver::test {

class FakeServer {
  public:
    struct Message {
        vfio_user_header header{};
        std::vector<std::byte> payload;
        std::vector<UniqueFd> fds;
    };
    using Bytes = std::vector<std::byte>;

    /// Handles one request; false = the default handling follows.
    using Handler = std::function<bool(FakeServer&, Message&)>;

    explicit FakeServer(Handler handler = {});
    ~FakeServer();

    UniqueFd client_socket() { return std::move(client_); }

    // For handlers (the server's thread):
    void reply(const Message& request, const Bytes& payload, int fd = -1);
    void reply_error(const Message& request, std::uint32_t error);
    void send_raw(const Bytes& bytes, int fd = -1);
    /// Sends a request to the client and returns its answer.
    Message ask(std::uint16_t command, const Bytes& payload);
    void close();

    // Settings, before the client connects.
    std::string capabilities = R"({"capabilities":{"max_msg_fds":1}})";
    UniqueFd bar4_file; // with it, BAR4 can be mapped
    std::uint64_t bar4_file_offset = 0;
    std::vector<vfio_user_sparse_area> bar4_areas;

    // Memory behind the regions.
    std::vector<std::byte> bar0 = std::vector<std::byte>(1 << 20);
    std::vector<std::byte> bar4 = std::vector<std::byte>(4 << 20);
    std::vector<std::byte> config = std::vector<std::byte>(4096);

    /// Commands and, for accesses, byte counts seen so far.
    std::vector<std::pair<std::uint16_t, std::uint32_t>> seen();

  private:
    void run();
    std::optional<Message> receive();
    void handle(Message& message);
    std::vector<std::byte>* region(std::uint32_t index);

    Handler handler_;
    UniqueFd client_;
    UniqueFd socket_;
    std::mutex mutex_;
    std::vector<std::pair<std::uint16_t, std::uint32_t>> seen_;
    std::thread thread_;
};

/// Serialises a struct, and what follows it.
template <typename T>
FakeServer::Bytes wire(const T& value, const FakeServer::Bytes& tail = {}) {
    FakeServer::Bytes bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    for (const std::byte byte : tail)
        bytes.push_back(byte);
    return bytes;
}

} // namespace talus::driver::test
