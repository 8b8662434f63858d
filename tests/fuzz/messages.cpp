// libFuzzer harness: a vfio-user client that sends anything, against the whole server behind its
// transport.
//
// The input is a sequence of records:  spec (1 byte)  length (2 bytes, little-endian)  message.
//   spec bits 0-1  number of descriptors that come along
//        bit 2     they are eventfds, else a file of 1 MiB
//        bit 3     the header's size field is set to the message's length
//        bit 4     the device then reads, writes and interrupts
// The version negotiation comes first, so that every input starts at the commands.
#include "chip.hpp"

#include "vfio_user/session.hpp"
#include "vfio_user/transport.hpp"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace {

using namespace talus::sim;
using vfio_user::MemoryTransport;
using vfio_user::Session;
using vfio_user::UniqueFd;

constexpr uint64_t kFileBytes = 1u << 20;

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
void check_output(std::span<const std::byte> output) {
    while (!output.empty()) {
        require(output.size() >= 16);
        const uint32_t size = u32_at(output, 4);
        require(size >= 16 && size <= output.size());
        const uint32_t type = u32_at(output, 8) & 0xf;
        const bool error = (u32_at(output, 8) & 0x20) != 0;
        require(type <= 1);
        require(error == (u32_at(output, 12) != 0));
        require(!error || size == 16);
        output = output.subspan(size);
    }
}

void act(PciFunction& function) {
    uint32_t word = 0;
    // Only where no answer of the client is needed: this thread is the client as well.
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
    {
        MemoryTransport transport;
        Session session(transport, function, function.memory(), function.irqs(), {});
        constexpr char kVersion[] = "\0\0\1\0\x3d\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0"
                                    R"({"capabilities":{"max_msg_fds":64}}     )";
        static_assert(sizeof kVersion == 0x3d);
        transport.feed(std::as_bytes(std::span(kVersion)));
        require(session.pump() == Session::State::kIdle);
        check_output(transport.take_output());
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
            if (message.empty())
                continue;
            std::vector<UniqueFd> fds;
            for (unsigned n = spec & 3; n > 0; --n)
                fds.emplace_back((spec & 4) != 0 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
                                                 : dup(shared_file()));
            transport.feed(message, std::move(fds));
            Session::State state;
            while ((state = session.pump()) == Session::State::kMore) {
            }
            check_output(transport.take_output());
            if (state == Session::State::kOver)
                break;
            if ((spec & 16) != 0)
                act(function);
        }
    }
    require(function.memory().mapping_count() == 0);
    require(!function.memory().enabled());
    return 0;
}
