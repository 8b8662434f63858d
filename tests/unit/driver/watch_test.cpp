// When a wait ends: device time decides, the wall clock only notices that device time stands still.
#include "watch.hpp"

#include "error.hpp"
#include "fake_device.hpp"
#include "fd.hpp"
#include "wait.hpp"

#include <gtest/gtest.h>

#include <sys/eventfd.h>

namespace talus::driver {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = Watch::Verdict;

const Watch::WallClock::time_point kStart{};

// A process that looks every 20 ms, as Waiter does.
class Looker {
  public:
    explicit Looker(Watch& watch) : watch_(watch) {}
    Verdict until(milliseconds wall, std::uint64_t device_clock, bool held = false) {
        Verdict verdict = Verdict::kGoOn;
        while (now_ < kStart + wall && verdict == Verdict::kGoOn) {
            now_ = std::min<Watch::WallClock::time_point>(now_ + milliseconds(20), kStart + wall);
            verdict = watch_.observe(device_clock, now_, held);
        }
        return verdict;
    }

  private:
    Watch& watch_;
    Watch::WallClock::time_point now_ = kStart;
};

TEST(Watch, SlowDeviceIsNoTimeout) {
    Watch watch(1000, 50, kStart);
    Looker looker(watch);
    // An hour of wall clock, as long as the device's clock creeps on.
    for (int i = 1; i <= 1000; ++i)
        ASSERT_EQ(looker.until(i * seconds(4), 50 + static_cast<std::uint64_t>(i)), Verdict::kGoOn);
    EXPECT_EQ(looker.until(hours(2), 1051), Verdict::kTimeout);
}

TEST(Watch, StandstillIsCountedFromTheLastMovement) {
    Watch watch(1000, 0, kStart);
    Looker looker(watch);
    EXPECT_EQ(looker.until(milliseconds(4999), 0), Verdict::kGoOn);
    EXPECT_EQ(watch.observe(1, kStart + milliseconds(4999)), Verdict::kGoOn);
    EXPECT_EQ(looker.until(milliseconds(9998), 1), Verdict::kGoOn);
    EXPECT_EQ(looker.until(milliseconds(9999), 1), Verdict::kStandsStill);
}

// Whoever was stopped for a minute has seen nothing of it: neither a clock that stood still, nor
// one that ran on while the device waited for this process.
TEST(Watch, APauseOfTheWatcherIsNobodysDelay) {
    Watch still(1000, 0, kStart);
    EXPECT_EQ(still.observe(0, kStart + seconds(60)), Verdict::kGoOn);
    Watch running(1000, 0, kStart, milliseconds(40));
    EXPECT_EQ(running.observe(80'000'000'000, kStart + seconds(60)), Verdict::kGoOn);
    EXPECT_EQ(running.observe(80'000'001'000, kStart + seconds(60) + milliseconds(20)),
              Verdict::kGoOn);
    EXPECT_EQ(running.observe(80'000'001'001, kStart + seconds(60) + milliseconds(40)),
              Verdict::kTimeout);
}

// On a host that lets it look once in two seconds only, a watch ends all the same.
TEST(Watch, PausesDoNotGoOnForEver) {
    Watch still(1000, 0, kStart);
    int looks = 1;
    while (still.observe(0, kStart + looks * seconds(2)) == Verdict::kGoOn && looks < 100)
        ++looks;
    EXPECT_EQ(looks, 5); // each counts as a second
    Watch late(1000, 0, kStart);
    looks = 1;
    while (late.observe(static_cast<std::uint64_t>(looks) * 2000, kStart + looks * seconds(2)) ==
               Verdict::kGoOn &&
           looks < 100)
        ++looks;
    EXPECT_EQ(looks, static_cast<int>(Watch::kMostPauses) + 1);
}

TEST(Watch, ResetPutsTheClockBack) {
    Watch watch(1000, 1'000'000, kStart);
    EXPECT_EQ(watch.observe(10, kStart + seconds(1)), Verdict::kGoOn);
    EXPECT_EQ(watch.observe(1010, kStart + seconds(2)), Verdict::kGoOn);
    EXPECT_EQ(watch.observe(1011, kStart + seconds(3)), Verdict::kTimeout);
}

class Wait : public ::testing::Test {
  protected:
    test::FakeState state_;
    test::FakeTransport transport_{state_};
    Registers registers_{transport_};
    Waiter waiter_{transport_, registers_, "fake"};
};

TEST_F(Wait, TimesOutInDeviceTimeAndSaysWhere) {
    state_.boot_state = TALUS_BOOT_VERIFIED;
    state_.write_log("one\nthe last words\n");
    state_.clock_step = 1000000; // 1 ms at the fake's 1 GHz
    try {
        waiter_.until([] { return false; }, "godot", 20000);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.status(), TALUS_DRV_TIMEOUT);
        const std::string text = error.what();
        for (const char* part : {"fake", "godot", "VERIFIED", "0x00000042", "the last words"})
            EXPECT_NE(text.find(part), std::string::npos) << text;
    }
    // 20 ms of device time and not much more (one more look, and the messages').
    EXPECT_LE(state_.clock, 25'000'000u);
    EXPECT_GT(state_.clock, 20'000'000u);
}

TEST_F(Wait, StandstillIsALostDevice) {
    state_.clock_moves = false;
    const auto began = std::chrono::steady_clock::now();
    try {
        waiter_.until([] { return false; }, "a command", 1000);
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.status(), TALUS_DRV_DEVICE_LOST);
        EXPECT_NE(std::string(error.what()).find("stood still"), std::string::npos);
    }
    EXPECT_GE(std::chrono::steady_clock::now() - began, Watch::kStillLimit);
}

TEST_F(Wait, ConditionThatHoldsWinsOverATimeout) {
    int looks = 0;
    state_.clock_step = 1'000'000'000'000;
    EXPECT_NO_THROW(waiter_.until([&] { return ++looks == 2; }, "a command", 1));
}

TEST_F(Wait, AnInterruptThatGetsLostIsNoticedAndCounted) {
    const UniqueFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    const auto wait = [&](bool interrupt) {
        if (interrupt) {
            ASSERT_EQ(eventfd_write(event.get(), 1), 0);
        }
        int looks = 0;
        waiter_.until([&] { return ++looks == 2; }, "a command", 1'000'000, WaitBy::kSleep,
                      event.get());
    };
    wait(true);
    EXPECT_EQ(waiter_.lost_interrupts(), 0u);
    wait(false);
    EXPECT_EQ(waiter_.lost_interrupts(), 1u);
    wait(true);
    EXPECT_EQ(waiter_.lost_interrupts(), 1u);
}

TEST_F(Wait, GoneTransportEndsIt) {
    int looks = 0;
    EXPECT_THROW(waiter_.until(
                     [&] {
                         state_.gone = ++looks == 3;
                         return false;
                     },
                     "a command", 1'000'000),
                 Error);
}

} // namespace
// A simulator whose clock runs on while the host is busy elsewhere is not late for that.
TEST(Watch, IsNotLateBeforeTheWallClockSaysSo) {
    Watch watch(1000, 0, kStart, milliseconds(40));
    EXPECT_EQ(watch.observe(5000, kStart + milliseconds(39)), Verdict::kGoOn);
    EXPECT_EQ(watch.observe(5001, kStart + milliseconds(40)), Verdict::kTimeout);
}

// A debugger may hold a device as long as it likes; from when it lets go the limit counts anew.
TEST(Watch, AHeldDeviceDoesNotStandStill) {
    Watch watch(1000, 50, kStart);
    Looker looker(watch);
    EXPECT_EQ(looker.until(hours(1), 50, true), Verdict::kGoOn);
    EXPECT_EQ(looker.until(hours(1) + milliseconds(4999), 50), Verdict::kGoOn);
    EXPECT_EQ(looker.until(hours(1) + seconds(5), 50), Verdict::kStandsStill);
}

} // namespace talus::driver
