// Replays what a foreign client sent: QEMU 11.1.3 with a virtual IOMMU from its start, through a
// Linux guest that enumerates the device, binds it to vfio-pci and boots its firmware, to
// power-off. Each reply must be of the kind and size that QEMU was content with, and config space
// must read the same.
#include <fstream>
#include <gtest/gtest.h>
#include <map>
#include <sstream>

#include "support.hpp"

namespace talus::sim::test {
namespace {

struct Line {
    bool from_client = false;
    std::vector<std::byte> bytes; // payload may be cut; the header says how long it was
    std::vector<std::string> fds; // "event", or a file's size
};

std::vector<std::byte> from_hex(const std::string& text) {
    std::vector<std::byte> bytes;
    for (size_t i = 0; i + 1 < text.size(); i += 2)
        bytes.push_back(static_cast<std::byte>(std::stoi(text.substr(i, 2), nullptr, 16)));
    return bytes;
}

std::vector<Line> load(const std::string& name) {
    std::ifstream file(std::string(TALUS_TEST_TRANSCRIPTS) + "/" + name);
    std::vector<Line> lines;
    for (std::string text; std::getline(file, text);) {
        std::istringstream fields(text);
        std::string mark;
        std::string hex;
        fields >> mark >> hex;
        Line line{mark == ">", from_hex(hex), {}};
        for (std::string fd; fields >> fd;)
            line.fds.push_back(fd.substr(3));
        lines.push_back(std::move(line));
    }
    return lines;
}

constexpr uint16_t kRegionRead = 9;
constexpr uint32_t kErrorFlag = 0x20;

TEST(Transcript, QemuBootsALinuxGuest) {
    const std::vector<Line> lines = load("qemu-11.1.3-boot.txt");
    ASSERT_GT(lines.size(), 2000u);
    std::map<uint16_t, const Line*> replies;
    for (const Line& line : lines)
        if (!line.from_client) {
            ASSERT_TRUE(replies.emplace(u16_at(line.bytes, 0), &line).second);
        }

    Rig rig;
    std::map<std::string, UniqueFd> files; // by size: QEMU's guest memory and firmware
    UniqueFd event = make_eventfd();
    size_t errors = 0;
    size_t compared = 0;
    for (const Line& line : lines) {
        if (!line.from_client)
            continue;
        std::vector<std::byte> request = line.bytes;
        request.resize(u32_at(request, 4));
        std::vector<int> fds;
        for (const std::string& fd : line.fds) {
            if (fd == "event") {
                fds.push_back(event.get());
                continue;
            }
            UniqueFd& file = files[fd];
            if (!file)
                file = make_memfd(std::stoull(fd));
            fds.push_back(file.get());
        }
        rig.client.send(request, fds);
        const uint16_t id = u16_at(request, 0);
        ASSERT_EQ(replies.count(id), 1u);
        const Line& expected = *replies[id];
        const auto reply = rig.client.receive();
        ASSERT_TRUE(reply) << "message " << id;
        ASSERT_EQ(reply->id, id);
        EXPECT_EQ(reply->command, u16_at(expected.bytes, 2)) << id;
        EXPECT_EQ(reply->size, u32_at(expected.bytes, 4)) << id;
        EXPECT_EQ(reply->flags, u32_at(expected.bytes, 8)) << id;
        if ((reply->flags & kErrorFlag) != 0) {
            EXPECT_EQ(reply->error, u32_at(expected.bytes, 12)) << id;
            ++errors;
        }
        EXPECT_EQ(reply->fds.size(), expected.fds.size()) << id;
        // Registers are the chip's, which is another here; config space is the function's.
        const bool config = reply->command == kRegionRead && u32_at(request, 24) == kConfigRegion;
        if (config && u64_at(request, 16) < 0x140) {
            const auto payload = std::span(expected.bytes).subspan(16);
            EXPECT_TRUE(std::equal(payload.begin(), payload.end(), reply->payload.begin()))
                << "config space at " << u64_at(request, 16);
            ++compared;
        }
    }
    EXPECT_GT(errors, 20u) << "QEMU unmapped its whole address space";
    EXPECT_GT(compared, 100u);
    EXPECT_TRUE(rig.reports().empty()) << rig.reports().front();
}

} // namespace
} // namespace talus::sim::test
