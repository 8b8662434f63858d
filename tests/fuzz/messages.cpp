// libFuzzer harness: a vfio-user client that sends anything, against the whole server behind its
// transport.
//
// The input is a sequence of records:  spec (1 byte)  length (2 bytes, little-endian)  message.
//   spec bits 0-1  number of descriptors that come along
//        bit 2     they are eventfds, else a file of 1 MiB
//        bit 3     the header's size field is set to the message's length
//        bit 4     the device then reads, writes and interrupts
//        bit 5     the message goes to the twin socket, without descriptors
//        bit 6     the client closes its end of the twin socket
// The version negotiation comes first, so that every input starts at the commands. A first byte
// with bit 7 negotiates a twin socket; without one bits 5 and 6 mean nothing.
#include "chip.hpp"

#include "vfio_user/session.hpp"
#include "vfio_user/transport.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using namespace talus::sim;
using vfio_user::MemoryTransport;
using vfio_user::Session;
using vfio_user::UniqueFd;

constexpr uint64_t kFileBytes = 1u << 20;
constexpr size_t kMaxRequests = 64;

int shared_file() {
    static const int fd = [] {
        const int file = memfd_create("fuzz", MFD_CLOEXEC);
        if (file < 0 || ftruncate(file, kFileBytes) != 0)
            std::abort();
        return file;
    }();
    return fd;
}

uint32_t u32_at(std::span<const std::byte> data, size_t offset) {
    uint32_t value;
    std::memcpy(&value, data.data() + offset, sizeof value);
    return value;
}

void require(bool holds) {
    if (!holds)
        std::abort();
}

// What the server sends are whole messages: replies, or its own requests for memory without a file.
void check_output(std::span<const std::byte> output, bool replies, bool requests) {
    while (!output.empty()) {
        require(output.size() >= 16);
        const uint32_t size = u32_at(output, 4);
        require(size >= 16 && size <= output.size());
        const uint32_t type = u32_at(output, 8) & 0xf;
        const bool error = (u32_at(output, 8) & 0x20) != 0;
        require(type == 0 ? requests : type == 1 && replies);
        require(error == (u32_at(output, 12) != 0));
        require(!error || size == 16);
        output = output.subspan(size);
    }
}

// The client's end of the twin socket, if there is one.
class Twin {
  public:
    void take(UniqueFd socket) { socket_ = std::move(socket); }
    void close() { socket_ = UniqueFd(); }
    void feed(std::span<const std::byte> data) {
        if (socket_)
            static_cast<void>(
                send(socket_.get(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    }
    std::vector<std::byte> take_output() {
        std::vector<std::byte> output;
        std::array<std::byte, 4096> part;
        for (ssize_t got = 0;
             socket_ && (got = recv(socket_.get(), part.data(), part.size(), MSG_DONTWAIT)) > 0;)
            output.insert(output.end(), part.begin(), part.begin() + got);
        return output;
    }

  private:
    UniqueFd socket_;
};

// The client's first message.
std::vector<std::byte> version(bool twin) {
    const std::string text = twin ? R"({"capabilities":{"max_msg_fds":64,)"
                                    R"("twin_socket":{"supported":true}}})"
                                  : R"({"capabilities":{"max_msg_fds":64}})";
    const vfio_user_version number = {VFIO_USER_MAJOR, VFIO_USER_MINOR};
    vfio_user_header header = {};
    header.command = VFIO_USER_VERSION;
    header.size = static_cast<uint32_t>(sizeof header + sizeof number + text.size() + 1);
    std::vector<std::byte> message(header.size);
    std::memcpy(message.data(), &header, sizeof header);
    std::memcpy(message.data() + sizeof header, &number, sizeof number);
    std::memcpy(message.data() + sizeof header + sizeof number, text.c_str(), text.size() + 1);
    return message;
}

using Requests = std::vector<vfio_user::DmaChannel::Handle>;

void act(PciFunction& function, Requests& requests) {
    uint32_t word = 0;
    // Nothing is waited for: this thread is the client as well. Its next messages may be answers.
    vfio_user::DmaChannel& channel = function.memory().channel();
    if (requests.size() < kMaxRequests) {
        requests.push_back(channel.begin_read(0x1000, sizeof word));
        requests.push_back(channel.begin_write(0x2000, &word, sizeof word));
    }
    for (const uint64_t iova : {uint64_t{0}, uint64_t{0x10000}, uint64_t{1} << 32})
        if (function.memory().probe(iova, 0, false) == DmaStatus::kOk)
            static_cast<void>(function.dma_read(iova, &word, 0));
    function.raise_msix(0);
    function.raise_msix(63);
    function.report_correctable_error(1);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto input = std::as_bytes(std::span(data, size));
    fuzz::Chip chip;
    PciFunction function(chip, {});
    Requests requests;
    {
        MemoryTransport transport;
        Twin twin;
        Session session(transport, function, function.memory(), function.irqs(), {});
        const bool twin_socket = !input.empty() && (static_cast<unsigned>(input[0]) & 128) != 0;
        transport.feed(version(twin_socket));
        require(session.pump() == Session::State::kIdle);
        check_output(transport.take_output(), true, false);
        std::vector<UniqueFd> given = transport.take_descriptors();
        require(given.size() == (twin_socket ? 1 : 0));
        if (twin_socket)
            twin.take(std::move(given[0]));
        while (input.size() >= 3) {
            const auto spec = static_cast<unsigned>(input[0]);
            const size_t length =
                std::min<size_t>(static_cast<size_t>(input[1]) | static_cast<size_t>(input[2]) << 8,
                                 input.size() - 3);
            std::vector<std::byte> message(input.begin() + 3,
                                           input.begin() + 3 + static_cast<ptrdiff_t>(length));
            input = input.subspan(3 + length);
            if ((spec & 8) != 0 && message.size() >= 16) {
                const auto whole = static_cast<uint32_t>(message.size());
                std::memcpy(message.data() + 4, &whole, sizeof whole);
            }
            if (twin_socket && (spec & 64) != 0)
                twin.close();
            if (message.empty())
                continue;
            if (twin_socket && (spec & 32) != 0) {
                twin.feed(message);
            } else {
                std::vector<UniqueFd> fds;
                for (unsigned n = spec & 3; n > 0; --n)
                    fds.emplace_back((spec & 4) != 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
                                                     : dup(shared_file()));
                transport.feed(message, std::move(fds));
            }
            Session::State state;
            while ((state = session.pump()) == Session::State::kMore) {
            }
            // The device's requests go to the twin socket, or with it nowhere.
            check_output(transport.take_output(), true, !twin_socket);
            check_output(twin.take_output(), false, true);
            transport.take_descriptors();
            if (state == Session::State::kOver)
                break;
            if ((spec & 16) != 0)
                act(function, requests);
        }
    }
    // The client is gone: what was asked of it has ended, one way or another.
    std::array<std::byte, 4> answer;
    for (const auto& request : requests)
        if (request)
            require(function.memory().channel().finish(request, answer.data(),
                                                       std::chrono::milliseconds(0)) !=
                    DmaStatus::kTimeout);
    require(function.memory().mapping_count() == 0);
    require(!function.memory().enabled());
    return 0;
}
