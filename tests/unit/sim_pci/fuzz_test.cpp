// A short deterministic fuzz of message parser, configuration space and registers, through the
// memory transport: no socket, no thread, the same bytes in every run.
#include <algorithm>
#include <array>
#include <cstring>
#include <gtest/gtest.h>
#include <random>

#include "support.hpp"
#include "vfio_user/session.hpp"
#include "vfio_user/transport.hpp"

namespace talus::sim::test {
namespace {

using vfio_user::MemoryTransport;
using vfio_user::Session;

std::vector<std::byte> version_message() {
    return message(0, 1, 0, Bytes().u16(0).u16(1).text(R"({"capabilities":{"max_msg_fds":64}})"));
}

// One well-formed message of every kind; mutations start from these.
std::vector<std::vector<std::byte>> seeds() {
    std::vector<std::vector<std::byte>> all;
    const auto add = [&](uint16_t command, const Bytes& payload) {
        all.push_back(message(static_cast<uint16_t>(all.size()), command, 0, payload));
    };
    all.push_back(version_message());
    add(2, Bytes().u32(32).u32(3).u64(0).u64(0x10000).u64(0x10000));
    add(3, Bytes().u32(24).u32(0).u64(0x10000).u64(0x10000));
    add(3, Bytes().u32(24).u32(2).u64(0).u64(0));
    add(4, Bytes().u32(16).u32(0).u32(0).u32(0));
    add(5, Bytes().u32(64).u32(0).u32(0).u32(0).u64(0).u64(0));
    add(6, Bytes().u32(64).u32(0).u32(2).u32(0));
    add(7, Bytes().u32(16).u32(0).u32(2).u32(0));
    add(8, Bytes().u32(20).u32(0x24).u32(2).u32(1).u32(1));
    add(8, Bytes().u32(24).u32(0x12).u32(2).u32(0).u32(4).u32(0x01010101));
    add(9, Bytes().u64(0).u32(7).u32(256));
    add(9, Bytes().u64(0x1000).u32(0).u32(64));
    add(9, Bytes().u64(0x8000).u32(0).u32(8));
    add(9, Bytes().u64(0x100000).u32(4).u32(4096));
    add(10, Bytes().u64(4).u32(7).u32(4).u32(6));
    add(10, Bytes().u64(0x68).u32(7).u32(2).u16(0x8000));
    add(10, Bytes().u64(0x8000).u32(0).u32(8).u64(0xfee00000));
    add(10, Bytes().u64(0x10).u32(7).u32(16).fill(16, 0xff));
    add(10, Bytes().u64(0x10000).u32(2).u32(4).u32(9));
    add(11, Bytes().u64(0x10000).u64(4));
    add(13, Bytes());
    add(15, Bytes().u64(2).u64(0).u32(2).u32(4).u64(1).u64(0).u32(4).u32(8).u64(2));
    add(16, Bytes().u32(16).u32(1 << 16 | 1).u64(0));
    return all;
}

class Fuzzer {
  public:
    explicit Fuzzer(uint32_t seed) : random_(seed), seeds_(seeds()) {}

    std::vector<std::byte> next() {
        std::vector<std::byte> data = seeds_[below(seeds_.size())];
        const size_t mutations = below(4);
        for (size_t i = 0; i < mutations; ++i)
            mutate(data);
        // Usually a size that fits, so that the payload is looked at and not only the header.
        if (data.size() >= 16 && below(16) != 0) {
            const auto size = static_cast<uint32_t>(data.size());
            std::memcpy(data.data() + 4, &size, sizeof size);
        }
        return data;
    }

    size_t below(size_t limit) { return random_() % limit; }

  private:
    void mutate(std::vector<std::byte>& data) {
        static constexpr std::array<uint64_t, 12> kEdges = {0,
                                                            1,
                                                            3,
                                                            4,
                                                            0xfff,
                                                            0x1000,
                                                            0x7fffffff,
                                                            0x80000000,
                                                            0xffffffff,
                                                            0x100000000,
                                                            0x7fffffffffffffff,
                                                            0xffffffffffffffff};
        const size_t at = below(data.size());
        switch (below(5)) {
        case 0:
            data[at] ^= std::byte(1u << below(8));
            break;
        case 1:
            data[at] = std::byte(below(256));
            break;
        case 2: { // an edge value in a field
            const uint64_t value = kEdges[below(kEdges.size())];
            const size_t width = size_t{1} << below(4);
            const size_t field = at / width * width;
            std::memcpy(data.data() + field, &value, std::min(width, data.size() - field));
            break;
        }
        case 3:
            data.resize(1 + below(data.size()));
            break;
        default:
            data.insert(data.begin() + static_cast<std::ptrdiff_t>(at), below(64),
                        std::byte(below(256)));
        }
    }

    std::mt19937 random_; // the standard fixes its output
    std::vector<std::vector<std::byte>> seeds_;
};

// Splits the server's output into messages and checks that each is one.
size_t check_output(std::span<const std::byte> output) {
    size_t replies = 0;
    while (!output.empty()) {
        if (output.size() < 16) {
            ADD_FAILURE() << "half a header";
            return replies;
        }
        const uint32_t size = u32_at(output, 4);
        const uint32_t flags = u32_at(output, 8);
        EXPECT_TRUE(flags == 1 || flags == 0x21) << flags;
        EXPECT_EQ(u32_at(output, 12) != 0, flags == 0x21);
        EXPECT_TRUE(flags != 0x21 || size == 16) << "an error reply of " << size << " bytes";
        if (size < 16 || size > output.size()) {
            ADD_FAILURE() << "size " << size << " of " << output.size();
            return replies;
        }
        output = output.subspan(size);
        ++replies;
    }
    return replies;
}

TEST(Fuzz, TwentyThousandMessages) {
    constexpr int kMessages = 20000;
    FakeChip chip;
    PciFunction function(chip, {});
    const UniqueFd file = make_memfd(kMiB);
    const size_t before = open_descriptors();
    Fuzzer fuzzer(20261121);
    size_t replies = 0;
    size_t succeeded = 0;

    for (int done = 0; done < kMessages;) {
        // A connection ends once a wrong size has put its stream out of step; then a new client
        // comes to the same device.
        MemoryTransport transport;
        Session session(transport, function, function.memory(), function.irqs(), {});
        transport.feed(version_message());
        ASSERT_NE(session.pump(), Session::State::kOver);
        transport.take_output();
        for (int i = 0; i < 100 && done < kMessages; ++i, ++done) {
            const auto data = fuzzer.next();
            std::vector<UniqueFd> fds;
            for (size_t n = fuzzer.below(4) == 0 ? fuzzer.below(4) : 0; n > 0; --n)
                fds.emplace_back(fuzzer.below(2) == 0 ? dup(file.get()) : make_eventfd().release());
            transport.feed(data, std::move(fds));
            Session::State state;
            while ((state = session.pump()) == Session::State::kMore) {
            }
            const auto output = transport.take_output();
            replies += check_output(output);
            for (size_t at = 0; at + 16 <= output.size(); at += u32_at(output, at + 4))
                succeeded += u32_at(output, at + 8) == 1;
            const bool in_step = data.size() >= 16 && u32_at(data, 4) == data.size();
            if (state == Session::State::kOver || !in_step)
                break;
            // The device's side, so that the tables meet accesses in every state.
            uint32_t word = 0;
            chip.host->dma_read(0x10000 + fuzzer.below(0x20000), &word, 0);
            if (function.memory().probe(0x10000, 4, false) == DmaStatus::kOk && i % 2 == 0)
                chip.host->raise_msix(static_cast<unsigned>(fuzzer.below(70)));
        }
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(function.memory().mapping_count(), 0u);
    EXPECT_GT(replies, kMessages / 2u);
    EXPECT_GT(succeeded, kMessages / 10u) << "the mutations must leave some messages intact";

    // And it still works.
    Rig rig;
    EXPECT_FALSE(rig.client.negotiate().failed());
}

TEST(Fuzz, RandomConfigurationWrites) {
    ConfigSpace space({});
    const std::array<std::byte, 4096> reset = [&] {
        std::array<std::byte, 4096> copy;
        space.read(0, copy);
        return copy;
    }();
    std::mt19937 random(7);
    for (int i = 0; i < 20000; ++i) {
        const auto offset = static_cast<uint32_t>(random() % 4096);
        std::array<std::byte, 8> data;
        for (std::byte& byte : data)
            byte = std::byte(random());
        space.write(offset,
                    std::span(data).first(std::min<size_t>(1 + random() % 8, 4096 - offset)));
        ASSERT_EQ(space.get32(0), 0x10f11af4u);
        ASSERT_EQ(space.get32(8), 0x12000002u);
        ASSERT_EQ(space.get16(0x34) & 0xff, 0x40);
    }
    space.reset(ConfigReset::kFundamental);
    EXPECT_TRUE(std::ranges::equal(space.bytes(), reset));
}

} // namespace
} // namespace talus::sim::test
