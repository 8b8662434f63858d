// Gzip members on their way to the card: driver, firmware and the DMA block's engine together.
#include "sim_session.hpp"

#include "common/gzip_member.hpp"

#include <cstring>

namespace talus::driver_sim {
namespace {

using talus::test::gzip;
using talus::test::noise;
using Bytes = std::vector<std::uint8_t>;

constexpr const char* kNoEngine[] = {"--set", "pcie.gzip_gigabytes_per_second=0", nullptr};

talus_drv_open_options options(const char* const* arguments = nullptr) {
    talus_drv_open_options value = TALUS_DRV_INIT(talus_drv_open_options);
    value.device = "sim";
    value.simulator_args = arguments;
    return value;
}

talus_drv_command inflate(std::uint64_t iova, std::uint64_t gzip_bytes, std::uint64_t device,
                          std::uint64_t room) {
    talus_drv_command command = copy(TALUS_DRV_COPY_H2D, iova, device, room);
    command.flags = TALUS_DRV_COMMAND_GZIP;
    command.copy.gzip_bytes = gzip_bytes;
    return command;
}

void put(const talus_drv_host_buffer& host, const Bytes& bytes, std::size_t at = 0) {
    std::memcpy(static_cast<std::uint8_t*>(host.pointer) + at, bytes.data(), bytes.size());
}

Bytes get(Session& session, std::uint64_t device, std::size_t bytes) {
    Bytes data(bytes);
    EXPECT_DRV_OK(talus_drv_copy_out(session.queue, data.data(), device, bytes));
    return data;
}

TEST(DriverGzip, MembersArriveInflated) {
    Session session(options());
    const Bytes data = noise(3'000'001, 16);
    const Bytes member = gzip(data);
    const talus_drv_host_buffer host = session.host(4 << 20);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4 << 20);
    const std::uint64_t lls = session.memory(TALUS_DRV_LLS, 4 << 20);
    put(host, member, 4096);
    // The same member as a list of two pieces, in the other order in memory.
    const std::size_t first = 1'000'003;
    const std::uint64_t pieces = host.iova + (2 << 20);
    put(host, {member.begin() + first, member.end()}, 2 << 20);
    put(host, {member.begin(), member.begin() + first}, 3 << 20);
    const talus_drv_sgl_entry list[] = {
        {pieces + (1 << 20), first, 0},
        {pieces, static_cast<std::uint32_t>(member.size() - first), 0}};
    std::memcpy(host.pointer, list, sizeof list);
    talus_drv_command gather = inflate(host.iova, member.size(), lls + 3, data.size());
    gather.copy.sgl_count = 2;
    // A room that is larger than the data.
    const auto done =
        session.run({inflate(host.iova + 4096, member.size(), dram, 4 << 20), gather});
    for (const talus_drv_completion& completion : done) {
        EXPECT_STATUS(completion, TALUS_OK);
        EXPECT_EQ(completion.result, data.size());
    }
    EXPECT_EQ(get(session, dram, data.size()), data);
    EXPECT_EQ(get(session, lls + 3, data.size()), data);
}

TEST(DriverGzip, ABadMemberFailsItsBatchAndNothingElse) {
    Session session(options());
    const Bytes data = noise(100'000, 16);
    const Bytes member = gzip(data);
    Bytes checksum = member;
    checksum[member.size() - 5] ^= 1;
    Bytes longer = member;
    longer.push_back(0);
    const Bytes shorter(member.begin(), member.end() - 1);
    const talus_drv_host_buffer host = session.host(1 << 20);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 1 << 20);
    const auto fails = [&](const Bytes& bytes, std::uint64_t room, unsigned status) {
        put(host, bytes);
        const auto done = session.run({inflate(host.iova, bytes.size(), dram, room), nop()});
        EXPECT_STATUS(done.at(0), status);
        EXPECT_EQ(done.at(0).result, 0u);
        EXPECT_STATUS(done.at(1), TALUS_ABORTED);
        put(host, member);
        const auto next = session.run({inflate(host.iova, member.size(), dram, data.size())});
        EXPECT_STATUS(next.at(0), TALUS_OK);
        EXPECT_EQ(get(session, dram, data.size()), data);
    };
    fails(checksum, data.size(), TALUS_GZIP_DATA);
    fails(longer, data.size(), TALUS_GZIP_DATA);
    fails(shorter, data.size(), TALUS_GZIP_DATA);
    fails(data, data.size(), TALUS_GZIP_DATA); // not compressed at all
    fails(member, data.size() - 1, TALUS_GZIP_ROOM);
    fails(gzip(Bytes(64 << 20), 9), data.size(), TALUS_GZIP_ROOM);
    EXPECT_STREQ(talus_drv_device_status_name(TALUS_GZIP_ROOM),
                 "the gzip member inflates to more than announced (0x0204)");
}

TEST(DriverGzip, HostileSizesAreRefused) {
    Session session(options());
    const talus_drv_host_buffer host = session.host(4096);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    constexpr std::uint64_t kMost = ~std::uint64_t{0};
    const auto status = [&](const talus_drv_command& command) {
        return TALUS_STATUS_BASE(session.run({command}).at(0).device_status);
    };
    put(host, gzip(noise(100, 16)));
    EXPECT_EQ(status(inflate(host.iova, kMost, dram, 100)), TALUS_BAD_FIELD); // wraps
    EXPECT_EQ(status(inflate(host.iova, std::uint64_t{1} << 40, dram, 100)), TALUS_WINDOW_MISS);
    EXPECT_EQ(status(inflate(host.iova - (1 << 20), 2 << 20, dram, 100)), TALUS_WINDOW_MISS);
    EXPECT_EQ(status(inflate(host.iova, 50, dram, kMost)), TALUS_DEVICE_ACCESS);
    EXPECT_EQ(status(inflate(host.iova, 50, info.dram_base, info.dram_bytes + 1)),
              TALUS_DEVICE_ACCESS);
    talus_drv_command list = inflate(host.iova, kMost, dram, 100);
    list.copy.sgl_count = 1; // of what is no list
    EXPECT_NE(status(list), TALUS_OK);
    EXPECT_EQ(status(nop()), TALUS_OK);
}

/// Clocks of a plain copy, and (0 without an engine) of the same data inflated.
std::pair<std::uint64_t, std::uint64_t> clocks(const char* const* arguments) {
    Session session(options(arguments));
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    EXPECT_DRV_OK(talus_drv_get_info(session.device, &info));
    const Bytes data = noise(8 << 20, 16);
    const Bytes member = gzip(data, 1, Z_HUFFMAN_ONLY);
    const talus_drv_host_buffer host = session.host(data.size());
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, data.size());
    put(host, data);
    const auto plain = session.run({copy(TALUS_DRV_COPY_H2D, host.iova, dram, data.size())});
    EXPECT_STATUS(plain.at(0), TALUS_OK);
    put(host, member);
    const talus_drv_command command = inflate(host.iova, member.size(), dram, data.size());
    if (info.gzip == 0) {
        EXPECT_EQ(session.submit({nop(), command}), TALUS_DRV_UNSUPPORTED);
        EXPECT_NE(std::string(talus_drv_last_error()).find("no GZIP engine"), std::string::npos);
        EXPECT_EQ(talus_drv_in_flight(session.queue), 0u);
        return {plain.at(0).exec_cycles, 0};
    }
    const auto inflated = session.run({command});
    EXPECT_STATUS(inflated.at(0), TALUS_OK);
    return {plain.at(0).exec_cycles, inflated.at(0).exec_cycles};
}

TEST(DriverGzip, TheEnginesRateIsWhatTheHostSees) {
    constexpr const char* kDefault[] = {nullptr};
    constexpr const char* kHalf[] = {"--set", "pcie.gzip_gigabytes_per_second=12.5", nullptr};
    const auto [plain, inflated] = clocks(kDefault);
    const double at_25 = (8 << 20) / 25e9 * 1.35e9;
    EXPECT_GT(static_cast<double>(inflated), at_25);
    EXPECT_LT(static_cast<double>(inflated), 1.02 * at_25);
    EXPECT_EQ(clocks(kDefault), std::pair(plain, inflated)); // the same on every run
    const auto [plain_beside, half] = clocks(kHalf);
    EXPECT_NEAR(static_cast<double>(half), 2 * at_25, 0.02 * at_25);
    EXPECT_EQ(plain_beside, plain);
    EXPECT_EQ(clocks(kNoEngine),
              std::pair(plain, std::uint64_t{0})); // what is absent costs nothing
}

} // namespace
} // namespace talus::driver_sim
