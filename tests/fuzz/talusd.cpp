// libFuzzer harness: a client of talusd that says and does anything, against a real session of it
// on a fake device.
//
// The input is a sequence of records:  action (1 byte)  arguments. Actions, modulo 16:
//   0-5   a request: op (1 byte), then 4 words; descriptors: none, sealed memory, unsealed, an
//   eventfd 6-9   an admin command: opcode, queue or window, 2 words 10    a raw message: length (1
//   byte), bytes 11    an index in the shadow page: slot, value 12    a queue's bell 13    a
//   queue's bell is closed 14    the device ends no commands from now on, or ends them again 15
//   hello again
// Words are one byte of scale and one of value, so that the interesting addresses are near.
// Hello comes first, unless the input's first byte is odd.
#include "fake_device.hpp"
#include "talusd/session.hpp"

#include "talus/hw/contract_hash.h"
#include "talus/hw/status.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <optional>

namespace talus::driver {

// The fake is the only device.
Target resolve_target(const std::string&, const std::string&) {
    std::abort();
}
std::unique_ptr<Transport> open_transport(const Target&, const TransportOptions&) {
    std::abort();
}

} // namespace talus::driver

namespace {

using namespace talus::driver;
using namespace talus::driver::daemon;

void require(bool holds) {
    if (!holds)
        std::abort();
}

UniqueFd memory(bool sealed) {
    UniqueFd file(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    require(file.valid() && ftruncate(file.get(), 1 << 16) == 0);
    require(!sealed || fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    return file;
}

// Sockets, eventfds and files of memory; the fuzzer itself has pipes to its symbolizer.
int open_descriptors() {
    int count = 0;
    for (int fd = 0; fd < 256; ++fd) {
        struct stat about {};
        if (fstat(fd, &about) == 0 && !S_ISFIFO(about.st_mode) && !S_ISCHR(about.st_mode))
            ++count;
    }
    return count;
}

// A device and a daemon for all inputs: each session must leave them as it found them.
struct World {
    test::FakeState state;
    test::TemporaryImage image;
    std::optional<Server> server;

    World() {
        state.clock_step = 10'000'000; // 10 ms with every look: time-outs are soon
        state.on_io = [](const talus_sqe&, talus_cqe& answer) { // it has no LLS to scrub
            answer.status = TALUS_OK;
            return true;
        };
        OpenOptions options;
        options.firmware = image.path();
        options.command_timeout_us = 100'000;
        server.emplace(
            std::make_unique<Device>(std::make_unique<test::FakeTransport>(state), "fake", options),
            ServerOptions{});
        settled_mappings = state.dma.size();
        settled_descriptors = open_descriptors() + 1; // the bounce buffer of scrubs
    }
    std::size_t settled_mappings = 0;
    int settled_descriptors = 0;
};

World& world() {
    static World world;
    return world;
}

class Input {
  public:
    Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}
    bool empty() const { return left_.empty(); }
    std::uint8_t byte() {
        if (left_.empty())
            return 0;
        const std::uint8_t value = left_.front();
        left_ = left_.subspan(1);
        return value;
    }
    // Scales 0 to 63: that power of two; above: near the client's IOVAs, an all-ones word.
    std::uint64_t word(std::uint64_t base) {
        const std::uint8_t scale = byte();
        const std::uint64_t value = byte();
        if (scale < 64)
            return value << scale;
        if (scale < 192)
            return base + (value << scale % 32);
        return ~value;
    }
    std::vector<std::byte> bytes(std::size_t count) {
        const auto taken = std::as_bytes(left_.first(std::min(count, left_.size())));
        left_ = left_.subspan(taken.size());
        return {taken.begin(), taken.end()};
    }

  private:
    std::span<const std::uint8_t> left_;
};

class Client {
  public:
    explicit Client(UniqueFd socket) : channel_(std::move(socket)) {}
    ~Client() {
        if (shadow_ != nullptr)
            munmap(shadow_, kShadowBytes);
    }

    // Sends and takes the answer. False once the daemon has hung up.
    bool call(const Request& request, int descriptor = -1) {
        if (!channel_.send(request, descriptor))
            return false;
        Reply reply;
        UniqueFd received;
        for (;;) {
            pollfd entry{channel_.fd(), POLLIN, 0};
            const int ready = poll(&entry, 1, 20000);
            if (ready < 0 && errno == EINTR)
                continue;        // the fuzzer's alarm
            require(ready == 1); // it always answers, or hangs up
            std::vector<std::byte> data;
            switch (channel_.receive(reply, data, received)) {
            case Channel::Got::kEnd:
                return false;
            case Channel::Got::kNothing:
                continue;
            case Channel::Got::kMessage:
                break;
            }
            if (reply.kind == Kind::kReply)
                break;
        }
        require(reply.status <= TALUS_DRV_INTERNAL && reply.status != TALUS_DRV_INTERNAL);
        if (reply.status != TALUS_DRV_OK)
            return true;
        if (request.op == Op::kHello) {
            require(received.valid() && shadow_ == nullptr);
            void* mapped =
                mmap(nullptr, kShadowBytes, PROT_READ | PROT_WRITE, MAP_SHARED, received.get(), 0);
            require(mapped != MAP_FAILED);
            shadow_ = static_cast<std::uint32_t*>(mapped);
            iovas_ = reply.words[kHelloIovaBegin];
        } else if (request.op == Op::kReserve) {
            qid_ = static_cast<std::uint16_t>(reply.words[0]);
        } else if (received.valid()) {
            bell_ = std::move(received);
        }
        return true;
    }

    bool hello() {
        Request request;
        request.op = Op::kHello;
        request.words = {kMagic, kVersion, TALUS_CONTRACT_HASH, 0};
        return call(request);
    }
    // Done when the daemon has seen what was done before.
    bool settle() {
        Request request;
        request.op = Op::kUsage;
        return call(request);
    }
    bool act(Input& input) {
        const std::uint8_t action = input.byte() % 16;
        Request request;
        switch (action) {
        case 10: {
            const std::vector<std::byte> raw = input.bytes(input.byte());
            if (raw.size() >= sizeof request)
                return true; // a whole request has an answer; this one shall have none
            return ::send(channel_.fd(), raw.data(), raw.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
        }
        case 11: {
            const std::size_t slot = input.byte() % 4;
            const auto value = static_cast<std::uint32_t>(input.word(0));
            if (shadow_ != nullptr)
                __atomic_store_n(&shadow_[2 * qid_ + (slot & 1) + (slot & 2) * 256], value,
                                 __ATOMIC_RELEASE);
            return true;
        }
        case 12:
            if (bell_.valid())
                (void)!::send(bell_.get(), "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            return settle();
        case 13:
            bell_.reset();
            return settle();
        case 14:
            world().state.mute = !world().state.mute;
            return true;
        case 15:
            return hello();
        default:
            break;
        }
        UniqueFd descriptor;
        if (action < 6) {
            request.op = static_cast<Op>(input.byte() % 14);
            for (std::uint64_t& word : request.words)
                word = input.word(iovas_);
            if (action == 1 || action == 2)
                descriptor = memory(true);
            else if (action == 3)
                descriptor = memory(false);
            else if (action == 4)
                descriptor.reset(eventfd(0, EFD_CLOEXEC));
        } else {
            request.op = Op::kAdmin;
            request.sqe.opcode = input.byte();
            const std::uint8_t which = input.byte();
            const auto qid = static_cast<std::uint16_t>(which < 128 ? qid_ : which - 128);
            const std::uint64_t first = input.word(iovas_);
            const std::uint64_t second = input.word(iovas_);
            switch (request.sqe.opcode) {
            case TALUS_ADMIN_CREATE_QUEUE:
                request.sqe.u.create_queue.qid = qid;
                request.sqe.u.create_queue.sq_iova = first;
                request.sqe.u.create_queue.cq_iova = second;
                request.sqe.u.create_queue.entries = static_cast<std::uint16_t>(1u << which % 16);
                request.sqe.u.create_queue.irq_enable = which & 1;
                break;
            case TALUS_ADMIN_SET_WINDOW:
                request.sqe.u.set_window.index = which;
                request.sqe.u.set_window.iova = first;
                request.sqe.u.set_window.length = second;
                request.sqe.u.set_window.access = 0xff;
                break;
            default:
                request.sqe.u.buffer.qid = qid;
                request.sqe.u.buffer.cid = static_cast<std::uint16_t>(second);
                request.sqe.u.buffer.iova = first;
                break;
            }
        }
        return call(request, descriptor.get());
    }

  private:
    Channel channel_;
    UniqueFd bell_;
    std::uint32_t* shadow_ = nullptr;
    std::uint64_t iovas_ = 0;
    std::uint16_t qid_ = 0;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    World& all = world();
    Input input(data, size);
    {
        int ends[2];
        require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        all.server->adopt(UniqueFd(ends[0]));
        Client client{UniqueFd(ends[1])};
        bool on = input.byte() % 2 == 1 || client.hello();
        while (on && !input.empty())
            on = client.act(input);
    }
    // The client is gone: its session notices, and gives everything back.
    for (int tries = 0; !all.server->reap(false); ++tries) {
        require(tries < 200000);
        usleep(100);
    }
    all.state.mute = false;
    require(all.state.dma.size() <= all.settled_mappings + 1); // the bounce buffer of scrubs
    all.state.commands.clear();
    all.state.doorbells.clear();
    for (const talus_drv_memory kind : {TALUS_DRV_DRAM, TALUS_DRV_LLS}) {
        std::uint64_t used = 0;
        std::uint64_t total = 0;
        all.server->device().memory_usage(kind, used, total);
        require(used == 0);
    }
    require(open_descriptors() <= all.settled_descriptors);
    const std::uint8_t domain = all.server->take_domain();
    require(domain == 2); // the first one is free again
    all.server->return_domain(domain);
    return 0;
}
