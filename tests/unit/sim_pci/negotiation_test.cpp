// VFIO_USER_VERSION ("Version"): what is agreed, and what is refused.
#include <cerrno>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support.hpp"

namespace talus::sim::test {
namespace {

using nlohmann::json;

json reply_json(const Received& reply) {
    EXPECT_GT(reply.payload.size(), 4u);
    EXPECT_EQ(reply.payload.back(), std::byte{0}) << "the text ends with NUL";
    return json::parse(reinterpret_cast<const char*>(reply.payload.data()) + 4);
}

TEST(Negotiation, AnswersTheVersionAndASubsetOfTheCapabilities) {
    Rig rig;
    const Received reply = rig.client.negotiate(
        R"({"capabilities":{"max_msg_fds":16,"max_data_xfer_size":65536,"pgsizes":4096,)"
        R"("max_dma_maps":65535,"write_multiple":true,"twin_socket":{"supported":false},)"
        R"("migration":{"pgsize":4096,"max_bitmap_size":268435456}}})");
    ASSERT_FALSE(reply.failed());
    EXPECT_EQ(u16_at(reply.payload, 0), 0);
    EXPECT_EQ(u16_at(reply.payload, 2), 1);
    const json capabilities = reply_json(reply)["capabilities"];
    EXPECT_EQ(capabilities["max_msg_fds"], 16);
    EXPECT_EQ(capabilities["max_data_xfer_size"], 1048576);
    EXPECT_EQ(capabilities["pgsizes"], 4096);
    EXPECT_EQ(capabilities["max_dma_maps"], 65535);
    EXPECT_EQ(capabilities["write_multiple"], true);
    EXPECT_FALSE(capabilities.contains("twin_socket")) << "not supported by the client";
    EXPECT_FALSE(capabilities.contains("migration"));
    EXPECT_TRUE(reply.fds.empty());
}

TEST(Negotiation, LeavesOutWhatTheClientDidNotPropose) {
    Rig rig;
    const json capabilities =
        reply_json(rig.client.negotiate(R"({"capabilities":{"max_msg_fds":200}})"))["capabilities"];
    EXPECT_EQ(capabilities, json({{"max_msg_fds", 64}}));
}

TEST(Negotiation, ReplyFitsTheBufferOfAClientThatReusesItsRequest) {
    // QEMU receives the reply into a buffer of the request's size.
    Rig rig;
    const std::string text =
        R"({"capabilities": {"max_msg_fds": 16, "max_data_xfer_size": 1048576, "pgsizes": 4096, )"
        R"("max_dma_maps": 65535, "write_multiple": true, )"
        R"("migration": {"pgsize": 4096, "max_bitmap_size": 268435456}}})";
    const Received reply = rig.client.negotiate(text);
    EXPECT_LE(reply.payload.size(), 4 + text.size() + 1);
}

TEST(Negotiation, CapabilitiesAreOptional) {
    Rig rig;
    const Received reply = rig.client.negotiate("");
    EXPECT_FALSE(reply.failed());
    EXPECT_EQ(reply.payload.size(), 4u);
    EXPECT_FALSE(rig.client.call(4, Bytes().u32(16).u32(0).u32(0).u32(0)).failed());
}

TEST(Negotiation, AnswersAnOlderMinorVersion) {
    Rig rig;
    const Received reply = rig.client.call(1, Bytes().u16(0).u16(0));
    ASSERT_FALSE(reply.failed());
    EXPECT_EQ(u16_at(reply.payload, 2), 0);
}

TEST(Negotiation, AnswersANewerMinorVersionWithItsOwn) {
    Rig rig;
    const Received reply = rig.client.call(1, Bytes().u16(0).u16(700));
    ASSERT_FALSE(reply.failed());
    EXPECT_EQ(u16_at(reply.payload, 2), 1);
}

TEST(Negotiation, ClosesOnAnotherMajorVersion) {
    Rig rig;
    EXPECT_EQ(rig.client.error_of(1, Bytes().u16(1).u16(0)), static_cast<uint32_t>(EINVAL));
    EXPECT_TRUE(rig.client.closed_by_server());
}

TEST(Negotiation, NothingElseGoesBeforeIt) {
    Rig rig;
    const auto einval = static_cast<uint32_t>(EINVAL);
    EXPECT_EQ(rig.client.error_of(4, Bytes().u32(16).u32(0).u32(0).u32(0)), einval);
    EXPECT_EQ(rig.client.error_of(13, Bytes()), einval);
    EXPECT_TRUE(rig.chip.take_events().empty()) << "the reset must not have happened";
    EXPECT_FALSE(rig.client.negotiate().failed());
}

TEST(Negotiation, HappensOnce) {
    Rig rig;
    rig.client.negotiate();
    EXPECT_EQ(rig.client.error_of(1, Bytes().u16(0).u16(1)), static_cast<uint32_t>(EINVAL));
}

class BadCapabilities : public testing::TestWithParam<const char*> {};

TEST_P(BadCapabilities, AreRefusedAndMayBeCorrected) {
    Rig rig;
    EXPECT_EQ(rig.client.error_of(1, Bytes().u16(0).u16(1).text(GetParam())),
              static_cast<uint32_t>(EINVAL));
    EXPECT_FALSE(rig.client.negotiate().failed());
}

INSTANTIATE_TEST_SUITE_P(Texts, BadCapabilities,
                         testing::Values("", "{", "[]", "null", "{\"capabilities\":[]}",
                                         "{\"capabilities\":7}",
                                         "{\"capabilities\":{\"max_msg_fds\":\"many\"}}",
                                         "{\"capabilities\":{\"max_msg_fds\":-1}}",
                                         "{\"capabilities\":{\"max_msg_fds\":0}}",
                                         "{\"capabilities\":{\"max_msg_fds\":1.5}}",
                                         "{\"capabilities\":{\"max_data_xfer_size\":0}}",
                                         "{\"capabilities\":{\"pgsizes\":{}}}",
                                         "{\"capabilities\":{\"max_msg_fds\":1e400}}", "\xff\xfe"));

TEST(Negotiation, RefusesATextWithoutItsEnd) {
    Rig rig;
    Bytes payload;
    payload.u16(0).u16(1).u8('{').u8('}');
    EXPECT_EQ(rig.client.error_of(1, payload), static_cast<uint32_t>(EINVAL));
}

TEST(Negotiation, SurvivesDeeplyNestedText) {
    Rig rig;
    EXPECT_EQ(rig.client.error_of(1, Bytes().u16(0).u16(1).text(std::string(60000, '['))),
              static_cast<uint32_t>(EINVAL));
    const std::string nested = std::string(30000, '[') + std::string(30000, ']');
    EXPECT_EQ(rig.client.error_of(1, Bytes().u16(0).u16(1).text(nested)),
              static_cast<uint32_t>(EINVAL));
    EXPECT_FALSE(rig.client.negotiate().failed());
}

} // namespace
} // namespace talus::sim::test
