// Copies that the GZIP engine inflates: a fake host, the real link and fabric.
#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"

#include "common/gzip_member.hpp"
#include "fakes.hpp"
#include "soc/dma_engine.hpp"

namespace talus::sim {
namespace {

using talus::test::gzip;
using talus::test::noise;
using test::FakeHost;
using test::FakeLines;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint32_t kGzip = TALUS_COPY_H2D | TALUS_COPY_GZIP;
constexpr std::uint8_t kUntouched = 0xee; ///< no byte of noise()

struct Chip {
    explicit Chip(double gigabytes_per_second = 25) {
        config.pcie.gzip_gigabytes_per_second = gigabytes_per_second;
        dma.emplace(config, events, diagnostics, link, fabric, intc);
        dma->connect(host);
        link.set_sizes({512, 512, true});
        std::fill_n(fabric.lls(), 4 << 20, kUntouched);
    }
    void put(const Bytes& member, std::uint64_t at = FakeHost::kBase) {
        std::copy(member.begin(), member.end(), &host.at<std::uint8_t>(at));
    }
    void set(unsigned channel, unsigned reg, std::uint64_t value) {
        dma->write64(events.now(), channel * DMA_STRIDE + reg, value);
    }
    std::uint64_t get(unsigned channel, unsigned reg) {
        return dma->read64(events.now(), channel * DMA_STRIDE + reg);
    }
    void start(std::uint64_t gzip_bytes, std::uint64_t room, unsigned channel = 0,
               std::uint64_t from = FakeHost::kBase, std::uint64_t to = TALUS_LLS_BASE,
               std::uint32_t kind = kGzip, std::uint32_t domain = 0, std::uint32_t sgl = 0) {
        set(channel, DMA_HOST, from);
        set(channel, DMA_DEVICE, to);
        set(channel, DMA_BYTES, room);
        set(channel, DMA_GZIP_BYTES, gzip_bytes);
        const std::uint32_t base = channel * DMA_STRIDE;
        dma->write32(events.now(), base + DMA_KIND, kind);
        dma->write32(events.now(), base + DMA_DOMAIN, domain);
        dma->write32(events.now(), base + DMA_SGL_COUNT, sgl);
        dma->write32(events.now(), base + DMA_START, 1);
    }
    unsigned finish(unsigned channel = 0) {
        while (!events.empty()) {
            events.run_next();
        }
        const std::uint32_t status = dma->read32(0, channel * DMA_STRIDE + DMA_STATUS);
        EXPECT_EQ(status & 3u, TALUS_DMA_DONE);
        return status >> 16;
    }
    /// Copies `member` to the start of LLS; the status.
    unsigned inflate(const Bytes& member, std::uint64_t room) {
        put(member);
        start(member.size(), room);
        return finish();
    }
    double seconds(Cycle clocks) const {
        return static_cast<double>(clocks) / (config.device.clock_khz * 1e3);
    }

    Config config = Config::load_default();
    EventQueue events;
    Diagnostics diagnostics;
    Fabric fabric{config, events};
    FakeLines lines;
    InterruptController intc{lines};
    PcieLink link{config};
    FakeHost host;
    std::optional<DmaEngines> dma;
};

void expect_at(const Chip& chip, const Bytes& data, std::uint64_t offset = 0) {
    const std::uint8_t* lls = const_cast<Fabric&>(chip.fabric).lls() + offset;
    EXPECT_TRUE(std::equal(data.begin(), data.end(), lls));
    EXPECT_EQ(lls[data.size()], kUntouched);
}

/// CRC-32 as RFC 1952 defines it, bit by bit.
std::uint32_t crc32_of(const Bytes& data) {
    std::uint32_t crc = ~0u;
    for (const std::uint8_t byte : data) {
        crc ^= byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

void append(Bytes& to, std::uint32_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
        to.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
    }
}

/// A member with every optional field of the header and one stored block, written by hand.
Bytes by_hand(const Bytes& data) {
    Bytes member{0x1f, 0x8b, 8, 0x1f, 1, 2, 3, 4, 0, 255}; // FTEXT FHCRC FEXTRA FNAME FCOMMENT
    member.insert(member.end(), {3, 0, 'x', 'y', 'z', 'n', 'a', 0, 'c', 0});
    append(member, crc32_of(member), 2);
    member.push_back(1); // the last block, stored
    append(member, static_cast<std::uint32_t>(data.size()), 2);
    append(member, ~static_cast<std::uint32_t>(data.size()), 2);
    member.insert(member.end(), data.begin(), data.end());
    append(member, crc32_of(data), 4);
    append(member, static_cast<std::uint32_t>(data.size()), 4);
    return member;
}

TEST(Gzip, InflatesToTheByte) {
    for (const auto& [level, strategy] : {std::pair{0, Z_DEFAULT_STRATEGY},
                                          {1, Z_HUFFMAN_ONLY},
                                          {1, Z_FIXED},
                                          {6, Z_RLE},
                                          {9, Z_DEFAULT_STRATEGY}}) {
        for (const std::size_t bytes : {1, 4095, 4096, 4097, 300'001}) {
            Bytes data = noise(bytes, 64);
            std::copy_n(data.begin(), bytes / 3, data.begin() + static_cast<long>(bytes / 2));
            const Bytes member = gzip(data, level, strategy);
            Chip chip;
            chip.put(member, FakeHost::kBase + 3);
            chip.start(member.size(), bytes, 1, FakeHost::kBase + 3, TALUS_LLS_BASE + 777);
            EXPECT_EQ(chip.finish(1), TALUS_OK);
            expect_at(chip, data, 777);
            EXPECT_EQ(chip.fabric.lls()[776], kUntouched);
            EXPECT_EQ(chip.get(1, DMA_WRITTEN), bytes);
            EXPECT_EQ(chip.link.bytes_read(), member.size()); // only that crosses the link
            EXPECT_EQ(chip.dma->gzip_bytes_in(), member.size());
            EXPECT_EQ(chip.dma->gzip_bytes_out(), bytes);
            EXPECT_EQ(chip.dma->bytes_moved(), bytes);
        }
    }
}

TEST(Gzip, TakesEveryFieldOfTheHeader) {
    const Bytes data = noise(1000, 128);
    Chip chip;
    EXPECT_EQ(chip.inflate(by_hand(data), 1000), TALUS_OK);
    expect_at(chip, data);
}

TEST(Gzip, RoomIsALimitAndNotALength) {
    const Bytes data = noise(10'000, 16);
    const Bytes member = gzip(data);
    for (const std::uint64_t room : {10'000, 10'001, 100'000}) {
        Chip chip;
        EXPECT_EQ(chip.inflate(member, room), TALUS_OK);
        expect_at(chip, data);
        EXPECT_EQ(chip.get(0, DMA_WRITTEN), 10'000u);
    }
    for (const std::uint64_t room : {1, 4095, 4096, 8192, 9'999}) {
        Chip chip;
        EXPECT_EQ(chip.inflate(member, room), TALUS_GZIP_ROOM);
        EXPECT_EQ(chip.fabric.lls()[room], kUntouched);
    }
}

TEST(Gzip, AMemberOfNothingWritesNothing) {
    Chip chip;
    EXPECT_EQ(chip.inflate(gzip({}), 1), TALUS_OK);
    EXPECT_EQ(chip.get(0, DMA_WRITTEN), 0u);
    EXPECT_EQ(chip.fabric.lls()[0], kUntouched);
}

// 64 MiB from 64 KiB: refused when the room is full, with no more made than the buffers hold.
TEST(Gzip, ABombFillsItsRoomOnly) {
    const Bytes member = gzip(Bytes(64 << 20, 1), 9);
    ASSERT_LT(member.size(), 80'000u);
    Chip chip;
    EXPECT_EQ(chip.inflate(member, 20'000), TALUS_GZIP_ROOM);
    EXPECT_LE(chip.dma->gzip_bytes_out(), 20'000u);
    EXPECT_EQ(chip.fabric.lls()[20'000], kUntouched);
}

TEST(Gzip, TruncatedMembersFailWhereverTheyEnd) {
    const Bytes data = noise(300, 16);
    const Bytes whole = gzip(data);
    for (std::size_t bytes = 1; bytes < whole.size(); ++bytes) {
        Chip chip;
        EXPECT_EQ(chip.inflate({whole.begin(), whole.begin() + static_cast<long>(bytes)}, 300),
                  TALUS_GZIP_DATA)
            << bytes;
    }
    const Bytes large = gzip(noise(200'000, 16));
    for (const std::size_t bytes : {std::size_t{4096}, std::size_t{8192}, large.size() - 1}) {
        Chip chip;
        EXPECT_EQ(chip.inflate({large.begin(), large.begin() + static_cast<long>(bytes)}, 200'000),
                  TALUS_GZIP_DATA);
    }
}

TEST(Gzip, ChecksumAndLengthAreChecked) {
    const Bytes data = noise(300, 16);
    const Bytes whole = gzip(data);
    for (std::size_t bit = 0; bit < 64; ++bit) {
        Bytes damaged = whole;
        damaged[whole.size() - 8 + bit / 8] ^= 1u << bit % 8;
        Chip chip;
        EXPECT_EQ(chip.inflate(damaged, 300), TALUS_GZIP_DATA) << bit;
    }
    for (std::size_t byte : {0, 1, 2, 3}) { // identification, method, reserved flags
        Bytes damaged = whole;
        damaged[byte] ^= 0x80;
        Chip chip;
        EXPECT_EQ(chip.inflate(damaged, 300), TALUS_GZIP_DATA) << byte;
    }
    // The deflated data: whatever becomes of them, it is not success.
    for (std::size_t byte = 10; byte < whole.size() - 8; ++byte) {
        Bytes damaged = whole;
        damaged[byte] ^= 1u << byte % 8;
        Chip chip;
        const unsigned status = chip.inflate(damaged, 300);
        EXPECT_TRUE(status == TALUS_GZIP_DATA || status == TALUS_GZIP_ROOM)
            << byte << " " << status;
        EXPECT_EQ(chip.fabric.lls()[300], kUntouched);
    }
}

TEST(Gzip, NothingMayFollowTheMember) {
    const Bytes data = noise(5000, 16);
    const Bytes whole = gzip(data);
    for (const std::size_t more : {std::size_t{1}, std::size_t{5000}, whole.size()}) {
        Bytes longer = whole;
        longer.insert(longer.end(), whole.begin(),
                      whole.begin() + static_cast<long>(std::min(more, whole.size())));
        longer.resize(whole.size() + more);
        Chip chip;
        EXPECT_EQ(chip.inflate(longer, 100'000), TALUS_GZIP_DATA) << more;
    }
}

TEST(Gzip, HostileSizesMoveNothing) {
    const Bytes member = gzip(noise(5000, 128));
    const std::uint64_t bytes = member.size();
    Chip chip;
    chip.put(member);
    const auto status = [&](auto... arguments) {
        chip.start(arguments...);
        return chip.finish();
    };
    constexpr std::uint64_t kHost = FakeHost::kBase;
    constexpr std::uint64_t kMost = ~std::uint64_t{0};
    EXPECT_EQ(status(0, 5000), TALUS_BAD_SIZE);
    EXPECT_EQ(status(bytes, 0), TALUS_BAD_SIZE);
    EXPECT_EQ(status(kMost, 5000), TALUS_HOST_ACCESS);
    EXPECT_EQ(status((1 << 20) + 1, 5000), TALUS_HOST_ACCESS);
    EXPECT_EQ(status(bytes, kMost), TALUS_DEVICE_ACCESS);
    EXPECT_EQ(status(bytes, chip.config.dram.bytes + 1, 0, kHost, TALUS_DRAM_BASE),
              TALUS_DEVICE_ACCESS);
    for (const unsigned way : {TALUS_COPY_D2H, TALUS_COPY_D2D, 3u}) {
        EXPECT_EQ(status(bytes, 5000, 0, kHost, TALUS_LLS_BASE, way | TALUS_COPY_GZIP),
                  TALUS_BAD_FIELD);
    }
    // A window that the data would fit if they were what `bytes` says.
    chip.fabric.isolation().device_windows().set(2, 0, TALUS_LLS_BASE, 1 << 20, TALUS_WINDOW_WRITE);
    chip.fabric.isolation().host_windows().set(2, 0, kHost, bytes - 1, TALUS_WINDOW_READ);
    EXPECT_EQ(status(bytes, 100, 0, kHost, TALUS_LLS_BASE, kGzip, 2), TALUS_WINDOW_MISS);
    EXPECT_EQ(chip.fabric.lls()[0], kUntouched);
    EXPECT_EQ(chip.link.bytes_read(), 0u);
    // And the other way round: what is inflated may be larger than the window.
    chip.fabric.isolation().host_windows().set(2, 0, kHost, bytes, TALUS_WINDOW_READ);
    EXPECT_EQ(status(bytes, 5000, 0, kHost, TALUS_LLS_BASE, kGzip, 2), TALUS_OK);
}

TEST(Gzip, ScatterListsCutTheMemberAnywhere) {
    const Bytes data = noise(60'000, 16);
    const Bytes member = gzip(data);
    Chip chip;
    const std::uint64_t list_at = FakeHost::kBase + 0xf0000;
    unsigned count = 0;
    std::uint64_t place = FakeHost::kBase;
    for (std::size_t done = 0; done < member.size(); ++count) {
        const std::size_t piece = std::min<std::size_t>(count % 7 * 1500, member.size() - done);
        std::copy_n(member.begin() + static_cast<long>(done), piece,
                    &chip.host.at<std::uint8_t>(place));
        chip.host.at<talus_sgl_entry>(list_at +
                                      16 * count) = {place, static_cast<std::uint32_t>(piece), 0};
        place += piece + 100;
        done += piece;
    }
    constexpr std::uint32_t kList = kGzip | TALUS_COPY_SGL;
    chip.start(member.size(), 60'000, 0, list_at, TALUS_LLS_BASE, kList, 0, count);
    EXPECT_EQ(chip.finish(), TALUS_OK);
    expect_at(chip, data);
    chip.start(member.size() + 1, 60'000, 0, list_at, TALUS_LLS_BASE, kList, 0, count);
    EXPECT_EQ(chip.finish(), TALUS_BAD_SIZE);
}

// Of 2:1 data the link brings more than the engine makes; of what does not shrink, the link is the
// limit, as it is with an engine that nothing holds up.
TEST(Gzip, TheEngineOrTheLinkIsTheLimit) {
    const auto rate = [](const Bytes& data, int level, double engine) {
        Chip chip(engine);
        const Bytes member = gzip(data, level, level == 1 ? Z_HUFFMAN_ONLY : Z_DEFAULT_STRATEGY);
        EXPECT_EQ(chip.inflate(member, data.size()), TALUS_OK);
        EXPECT_NEAR(chip.seconds(chip.dma->gzip_clocks()) * engine * 1e9,
                    static_cast<double>(std::max(member.size(), data.size())), 5e4);
        return static_cast<double>(data.size()) / chip.seconds(chip.events.now()) * 1e-9;
    };
    const Bytes half = noise(1 << 20, 16);
    const double shrunk = rate(half, 1, 25);
    EXPECT_LT(shrunk, 25);
    EXPECT_GT(shrunk, 0.95 * 25);
    const double link = 32.0 * 128 / 130 * 256 / 276; // as in dma_test.cpp
    EXPECT_GT(rate(half, 1, 1000), 1.8 * link);
    EXPECT_LT(rate(half, 1, 1000), 2 * 1.01 * link);
    const Bytes stored = noise(900'000, 128);
    EXPECT_GT(rate(stored, 0, 1000), 0.9 * link);
    EXPECT_LT(rate(stored, 0, 1000), link);
    EXPECT_LT(rate(Bytes(4 << 20, 1), 9, 25), 25); // 1000:1
}

TEST(Gzip, ChannelsShareTheEngine) {
    const Bytes data = noise(400'000, 16);
    const Bytes other = noise(400'000, 16, 2);
    const Bytes member = gzip(data);
    const Bytes second = gzip(other);
    Chip alone;
    EXPECT_EQ(alone.inflate(member, data.size()), TALUS_OK);
    Chip chip;
    chip.put(member);
    chip.put(second, FakeHost::kBase + 0x80000);
    chip.start(member.size(), data.size());
    chip.start(second.size(), other.size(), 3, FakeHost::kBase + 0x80000,
               TALUS_LLS_BASE + 0x100000);
    EXPECT_EQ(chip.finish(0), TALUS_OK);
    EXPECT_EQ(chip.finish(3), TALUS_OK);
    expect_at(chip, data);
    expect_at(chip, other, 0x100000);
    EXPECT_GT(chip.events.now(), 1.9 * static_cast<double>(alone.events.now()) - 3000);
}

// Memory changes only as fast as the engine works, in order, and not before the member could be
// here.
TEST(Gzip, NothingIsThereBeforeItsTime) {
    const Bytes data = noise(200'000, 16);
    const Bytes member = gzip(data);
    Chip chip;
    chip.put(member);
    chip.start(member.size(), data.size());
    const double per_clock = 25e9 / (chip.config.device.clock_khz * 1e3);
    const double latency = static_cast<double>(chip.config.clocks_of_ns(700));
    std::size_t there = 0;
    unsigned steps = 0;
    while (!chip.events.empty()) {
        chip.events.run_next();
        const std::size_t before = there;
        while (there < data.size() && chip.fabric.lls()[there] != kUntouched) {
            ++there;
        }
        steps += there != before ? 1 : 0;
        const double passed = static_cast<double>(chip.events.now()) - latency;
        ASSERT_LE(static_cast<double>(there), std::max(0.0, passed) * per_clock);
        ASSERT_TRUE(there == data.size() || chip.fabric.lls()[there] == kUntouched);
    }
    EXPECT_EQ(there, data.size());
    EXPECT_GT(steps, 40u); // in chunks of 4 KiB
}

TEST(Gzip, AFailedJobLeavesTheChannelUsable) {
    const Bytes data = noise(100'000, 16);
    const Bytes member = gzip(data);
    Chip chip;
    EXPECT_EQ(chip.inflate(Bytes(100'000, 0x55), 100'000), TALUS_GZIP_DATA);
    EXPECT_EQ(chip.inflate(member, 50'000), TALUS_GZIP_ROOM);
    EXPECT_EQ(chip.inflate(member, 100'000), TALUS_OK);
    expect_at(chip, data);
    // A function-level reset in the midst of one.
    chip.start(member.size(), data.size());
    while (chip.dma->gzip_bytes_in() < 2 * member.size()) {
        chip.events.run_next();
    }
    chip.dma->abort_host_copies(chip.events.now());
    EXPECT_EQ(chip.finish(), TALUS_RESET);
    EXPECT_EQ(chip.inflate(member, 100'000), TALUS_OK);
}

TEST(Gzip, WithoutAnEngineTheFlagIsRefused) {
    Chip chip(0);
    EXPECT_EQ(chip.inflate(gzip(noise(100, 16)), 100), TALUS_BAD_FIELD);
    EXPECT_EQ(chip.fabric.lls()[0], kUntouched);
}

TEST(Gzip, ACheckpointHoldsRegistersAndCounters) {
    const Bytes member = gzip(noise(100'000, 16));
    Chip chip;
    EXPECT_EQ(chip.inflate(member, 100'001), TALUS_OK);
    const std::string path = testing::TempDir() + "gzip_checkpoint";
    {
        Checkpoint saved(Checkpoint::Direction::kSave, path, {});
        chip.dma->checkpoint(saved);
        saved.finish();
    }
    Chip other;
    Checkpoint restored(Checkpoint::Direction::kRestore, path, {});
    other.dma->checkpoint(restored);
    restored.finish();
    std::filesystem::remove(path);
    EXPECT_EQ(other.get(0, DMA_GZIP_BYTES), member.size());
    EXPECT_EQ(other.get(0, DMA_WRITTEN), 100'000u);
    EXPECT_EQ(other.dma->gzip_bytes_in(), member.size());
    EXPECT_EQ(other.dma->gzip_bytes_out(), 100'000u);
    EXPECT_EQ(other.dma->gzip_clocks(), chip.dma->gzip_clocks());
    EXPECT_EQ(other.dma->bytes_moved(), 100'000u);
}

} // namespace
} // namespace talus::sim
