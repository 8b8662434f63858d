// Framing of the remote protocol, as the gdb manual defines it.
#include <string>

#include <gtest/gtest.h>

#include "debug/packet.hpp"

namespace {

using namespace talus::sim::debug;
using Kind = PacketReader::Kind;

std::vector<PacketReader::Item> read(std::string_view bytes) {
    PacketReader reader;
    return reader.feed(bytes);
}

// The manual's checksum: the sum of the characters modulo 256. 'O' + 'K' = 0x9a.
TEST(Packet, ChecksumIsTheManuals) {
    EXPECT_EQ(frame("OK"), "$OK#9a");
    EXPECT_EQ(frame(""), "$#00");
    const auto items = read("$OK#9a");
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].kind, Kind::kPacket);
    EXPECT_EQ(items[0].payload, "OK");
}

TEST(Packet, EscapesEveryByteThatMeansSomething) {
    const std::string payload = "a#b$c}d*e";
    const std::string framed = frame(payload);
    EXPECT_EQ(framed.substr(0, framed.size() - 3), "$a}\x03"
                                                   "b}\x04"
                                                   "c}]d}\x0a"
                                                   "e");
    const auto items = read(framed);
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].payload, payload);
}

TEST(Packet, ArrivesInPiecesAndInCrowds) {
    PacketReader reader;
    for (const char c : std::string("+$qC#b")) {
        EXPECT_TRUE(reader.feed(std::string(1, c)).empty());
    }
    const auto items = reader.feed("4\x03$g#67+");
    ASSERT_EQ(items.size(), 3u);
    EXPECT_EQ(items[0].payload, "qC");
    EXPECT_EQ(items[1].kind, Kind::kInterrupt);
    EXPECT_EQ(items[2].payload, "g");
}

TEST(Packet, WhatIsDamagedIsAskedForAgain) {
    EXPECT_EQ(read("$g#68").at(0).kind, Kind::kBadChecksum);
    EXPECT_EQ(read("$g#zz").at(0).kind, Kind::kBadChecksum);
    // A packet that was cut off does not take the next one with it.
    const auto items = read("$m100$g#67");
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].payload, "g");
}

TEST(Packet, GarbageIsNotAPacket) {
    EXPECT_TRUE(read("hello}#}##\n\xff\x80").empty());
}

TEST(Packet, AnOversizedPacketIsBoundedAndSaidToBe) {
    PacketReader reader;
    reader.feed("$");
    for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(reader.feed(std::string(4096, 'a')).empty());
    }
    const unsigned sum = 100u * 4096u * 'a' % 256;
    char end[4];
    std::snprintf(end, sizeof end, "#%02x", sum);
    const auto items = reader.feed(end);
    ASSERT_EQ(items.size(), 1u);
    EXPECT_EQ(items[0].kind, Kind::kOversized);
    // The longest that is accepted.
    const std::string longest(kMaxPacket, 'x');
    EXPECT_EQ(read(frame(longest)).at(0).payload, longest);
}

TEST(Packet, NumbersAreHexadecimalAndNothingElse) {
    EXPECT_EQ(parse_hex("ffffFFFF00000001"), 0xffffffff00000001u);
    for (const char* text : {"", "-1", "0x1", "1 ", "g", "10000000000000000"}) {
        EXPECT_FALSE(parse_hex(text)) << text;
    }
    EXPECT_FALSE(from_hex("123"));
    EXPECT_FALSE(from_hex("1g"));
    EXPECT_EQ(hex_of_value(0x12345678, 4), "78563412"); // target order
}

} // namespace
