// DEVICE_GET_IRQ_INFO and DEVICE_SET_IRQS.
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <gtest/gtest.h>

#include "support.hpp"

namespace talus::sim::test {
namespace {

// Flags of DEVICE_SET_IRQS, by bit number in the text.
constexpr uint32_t kNone = 1u << 0, kBool = 1u << 1, kEventfd = 1u << 2;
constexpr uint32_t kMask = 1u << 3, kUnmask = 1u << 4, kTrigger = 1u << 5;
constexpr uint32_t kMsix = 2, kErr = 3, kReq = 4;
constexpr auto kInvalid = static_cast<uint32_t>(EINVAL);

class Irqs : public testing::Test {
  protected:
    void SetUp() override {
        rig.client.negotiate();
        rig.client.enable_device();
    }
    uint32_t assign(uint32_t vector, const UniqueFd& fd) {
        const int number = fd.get();
        return rig.client.set_irqs(kEventfd | kTrigger, kMsix, vector, 1, {&number, 1});
    }
    uint64_t pending_bits() { return u64_at(rig.client.read(0, 0x9000, 8), 0); }
    uint16_t msix_control() { return u16_at(rig.client.read(kConfigRegion, 0x52, 2), 0); }
    Rig rig;
};

TEST_F(Irqs, InfoOfEveryType) {
    struct Expected {
        uint32_t index, flags, count;
    };
    for (const Expected& e : {Expected{0, 0, 0}, {1, 0, 0}, {2, 3, 64}, {3, 1, 1}, {4, 1, 1}}) {
        const Received reply = rig.client.call(7, Bytes().u32(16).u32(0).u32(e.index).u32(0));
        ASSERT_EQ(reply.payload.size(), 16u);
        EXPECT_EQ(u32_at(reply.payload, 0), 16u);
        EXPECT_EQ(u32_at(reply.payload, 4), e.flags) << e.index;
        EXPECT_EQ(u32_at(reply.payload, 8), e.index);
        EXPECT_EQ(u32_at(reply.payload, 12), e.count) << e.index;
    }
    EXPECT_EQ(rig.client.error_of(7, Bytes().u32(16).u32(0).u32(5).u32(0)), kInvalid);
    EXPECT_EQ(rig.client.error_of(7, Bytes().u32(12).u32(0).u32(2).u32(0)), kInvalid);
}

TEST_F(Irqs, AnAssignedVectorIsSignalled) {
    const UniqueFd fd = make_eventfd();
    ASSERT_EQ(assign(5, fd), 0u);
    rig.chip.host->raise_msix(5);
    rig.chip.host->raise_msix(5);
    EXPECT_EQ(eventfd_count(fd.get()), 2u);
    rig.chip.host->raise_msix(6);
    rig.chip.host->raise_msix(64);
    rig.chip.host->raise_msix(~0u);
    EXPECT_EQ(eventfd_count(fd.get()), 0u);
    EXPECT_EQ(rig.chip.host->dropped_interrupts(), 2u) << "the masked vector 6 is pending instead";
}

TEST_F(Irqs, AllVectorsInOneMessage) {
    std::vector<UniqueFd> fds;
    std::vector<int> numbers;
    for (int i = 0; i < 64; ++i) {
        fds.push_back(make_eventfd());
        numbers.push_back(fds.back().get());
    }
    ASSERT_EQ(rig.client.set_irqs(kEventfd | kTrigger, kMsix, 0, 64, numbers), 0u);
    for (unsigned vector = 0; vector < 64; ++vector)
        rig.chip.host->raise_msix(vector);
    for (const UniqueFd& fd : fds)
        EXPECT_EQ(eventfd_count(fd.get()), 1u);
}

TEST_F(Irqs, ReassignmentReplacesAndRemovalSilences) {
    const UniqueFd first = make_eventfd(), second = make_eventfd();
    ASSERT_EQ(assign(0, first), 0u);
    ASSERT_EQ(assign(0, second), 0u);
    rig.chip.host->raise_msix(0);
    EXPECT_EQ(eventfd_count(first.get()), 0u);
    EXPECT_EQ(eventfd_count(second.get()), 1u);
    ASSERT_EQ(rig.client.set_irqs(kEventfd | kTrigger, kMsix, 0, 1), 0u);
    rig.chip.host->raise_msix(0);
    EXPECT_EQ(eventfd_count(second.get()), 0u);
}

TEST_F(Irqs, AssignmentEnablesMsixAndDisablingTheTypeDisablesIt) {
    EXPECT_EQ(msix_control() & 0x8000, 0);
    const UniqueFd fd = make_eventfd();
    ASSERT_EQ(assign(1, fd), 0u);
    EXPECT_EQ(msix_control() & 0x8000, 0x8000);
    ASSERT_EQ(rig.client.set_irqs(kNone | kTrigger, kMsix, 0, 0), 0u);
    EXPECT_EQ(msix_control() & 0x8000, 0);
    rig.chip.host->raise_msix(1);
    EXPECT_EQ(eventfd_count(fd.get()), 0u);
}

TEST_F(Irqs, AMaskedVectorIsPendingUntilUnmasked) {
    const UniqueFd fd = make_eventfd();
    ASSERT_EQ(assign(3, fd), 0u);
    ASSERT_EQ(rig.client.set_irqs(kNone | kMask, kMsix, 3, 1), 0u);
    rig.chip.host->raise_msix(3);
    rig.chip.host->raise_msix(3);
    EXPECT_EQ(eventfd_count(fd.get()), 0u);
    EXPECT_EQ(pending_bits(), 1u << 3);
    ASSERT_EQ(rig.client.set_irqs(kNone | kUnmask, kMsix, 3, 1), 0u);
    EXPECT_EQ(eventfd_count(fd.get()), 1u) << "pending is a bit, not a count";
    EXPECT_EQ(pending_bits(), 0u);
}

TEST_F(Irqs, BooleansSelectVectors) {
    const UniqueFd one = make_eventfd(), two = make_eventfd();
    ASSERT_EQ(assign(10, one), 0u);
    ASSERT_EQ(assign(11, two), 0u);
    ASSERT_EQ(rig.client.set_irqs(kBool | kMask, kMsix, 10, 2, {}, Bytes().u8(0).u8(1)), 0u);
    rig.chip.host->raise_msix(10);
    rig.chip.host->raise_msix(11);
    EXPECT_EQ(eventfd_count(one.get()), 1u);
    EXPECT_EQ(eventfd_count(two.get()), 0u);
    ASSERT_EQ(rig.client.set_irqs(kBool | kTrigger, kMsix, 10, 2, {}, Bytes().u8(1).u8(0)), 0u);
    EXPECT_EQ(eventfd_count(one.get()), 1u) << "triggered by the client";
    EXPECT_EQ(eventfd_count(two.get()), 0u);
    ASSERT_EQ(rig.client.set_irqs(kNone | kTrigger, kMsix, 10, 2), 0u);
    EXPECT_EQ(eventfd_count(one.get()) + eventfd_count(two.get()), 2u);
}

TEST_F(Irqs, BusMasterOffSilences) {
    const UniqueFd fd = make_eventfd();
    ASSERT_EQ(assign(0, fd), 0u);
    rig.client.write16(kConfigRegion, 4, 0x2);
    rig.chip.host->raise_msix(0);
    EXPECT_EQ(eventfd_count(fd.get()), 0u);
}

TEST_F(Irqs, FatalErrorsSignalErrAndSetAer) {
    const UniqueFd fd = make_eventfd();
    const int number = fd.get();
    ASSERT_EQ(rig.client.set_irqs(kEventfd | kTrigger, kErr, 0, 1, {&number, 1}), 0u);
    rig.chip.host->report_uncorrectable_error(1u << 22, false);
    EXPECT_EQ(eventfd_count(fd.get()), 0u) << "QEMU would stop the guest";
    rig.chip.host->report_uncorrectable_error(1u << 22, true);
    EXPECT_EQ(eventfd_count(fd.get()), 1u);
    EXPECT_EQ(rig.client.read32(kConfigRegion, 0x104), 1u << 22);
    ASSERT_EQ(rig.client.set_irqs(kEventfd | kTrigger, kReq, 0, 1, {&number, 1}), 0u);
}

TEST_F(Irqs, RefusesWhatMakesNoSense) {
    const UniqueFd fd = make_eventfd();
    const std::array<int, 2> two = {fd.get(), fd.get()};
    const std::span<const int> one(two.data(), 1);
    const auto set = [&](uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
                         std::span<const int> fds = {}) {
        return rig.client.set_irqs(flags, index, start, count, fds);
    };
    EXPECT_EQ(set(kEventfd | kTrigger, 5, 0, 1, one), kInvalid) << "index";
    EXPECT_EQ(set(kEventfd | kTrigger, kMsix, 64, 1, one), kInvalid);
    EXPECT_EQ(set(kEventfd | kTrigger, kMsix, 63, 2, two), kInvalid);
    EXPECT_EQ(set(kNone | kTrigger, kMsix, 1, 0xffffffff), kInvalid) << "start + count overflows";
    EXPECT_EQ(set(kEventfd | kTrigger, kMsix, 0, 1, two), kInvalid) << "count and descriptors";
    EXPECT_EQ(set(kEventfd | kTrigger, kMsix, 0, 2, one), kInvalid);
    EXPECT_EQ(set(kNone | kTrigger, kMsix, 0, 1, one), kInvalid) << "descriptors for no data";
    EXPECT_EQ(set(kNone | kBool | kTrigger, kMsix, 0, 1), kInvalid) << "two kinds of data";
    EXPECT_EQ(set(kNone | kMask | kUnmask, kMsix, 0, 1), kInvalid) << "two actions";
    EXPECT_EQ(set(kNone, kMsix, 0, 1), kInvalid);
    EXPECT_EQ(set(kTrigger, kMsix, 0, 1), kInvalid);
    EXPECT_EQ(set(kNone | kTrigger | 1u << 6, kMsix, 0, 1), kInvalid);
    EXPECT_EQ(set(kNone | kMask, kMsix, 0, 0), kInvalid) << "count 0 disables, and only that";
    EXPECT_EQ(set(kNone | kTrigger, kMsix, 1, 0), kInvalid);
    EXPECT_EQ(set(kBool | kTrigger, kMsix, 0, 1), kInvalid) << "no data";
    EXPECT_EQ(rig.client.set_irqs(kBool | kTrigger, kMsix, 0, 1, {}, Bytes().u16(1)), kInvalid);
    EXPECT_EQ(set(kNone | kMask, kErr, 0, 1), static_cast<uint32_t>(ENOTSUP));
    EXPECT_EQ(set(kEventfd | kMask, kMsix, 0, 1, one), static_cast<uint32_t>(ENOTSUP));
    EXPECT_EQ(set(kEventfd | kTrigger, 0, 0, 1, one), kInvalid) << "no INTx";
    EXPECT_EQ(set(kNone | kTrigger, 0, 0, 0), 0u) << "disabling what is not there is fine";
    EXPECT_EQ(rig.client.error_of(8, Bytes().u32(19).u32(kNone | kTrigger).u32(2).u32(0).u32(0)),
              kInvalid);
    EXPECT_EQ(rig.client.error_of(8, Bytes().u32(24).u32(kNone | kTrigger).u32(2).u32(0).u32(0)),
              kInvalid);
    EXPECT_EQ(rig.client.error_of(8, Bytes().u32(20).u32(kNone | kTrigger).u32(2).u32(0)),
              kInvalid);
}

TEST_F(Irqs, TakesEventfdsOnly) {
    const UniqueFd file = make_memfd(4096);
    int pipe_ends[2];
    ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    const UniqueFd in(pipe_ends[0]), out(pipe_ends[1]);
    for (const int number : {file.get(), out.get(), rig.client.socket()})
        EXPECT_EQ(rig.client.set_irqs(kEventfd | kTrigger, kMsix, 0, 1, {&number, 1}), kInvalid);
}

TEST_F(Irqs, AFullEventfdDoesNotBlock) {
    const UniqueFd fd(dup(make_eventfd().get()));
    fcntl(fd.get(), F_SETFL, 0); // blocking
    const uint64_t full = ~uint64_t{0} - 1;
    ASSERT_EQ(write(fd.get(), &full, sizeof full), static_cast<ssize_t>(sizeof full));
    ASSERT_EQ(assign(0, fd), 0u);
    rig.chip.host->raise_msix(0); // returns
    EXPECT_EQ(eventfd_count(fd.get()), full);
}

} // namespace
} // namespace talus::sim::test
