// How far a hart runs ahead of global time: two of them spin in memory of their own.
#include "core/hart_runner.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "unit/isa/test_port.hpp"

namespace talus::sim {
namespace {

class Nobody final : public EventSink {
  public:
    void on_event(const Event&) override {}
};

class NoReasons final : public BlockReasons {
  public:
    CoreActivity blocked_on(HartId) const override { return CoreActivity::kWaitOther; }
};

class HartRunnerTest : public testing::Test {
  protected:
    static constexpr Cycle kUsual = 256, kAlone = 8192;
    static constexpr Cycle kPiece = 8; ///< an instruction may begin before the end and end after it

    HartRunnerTest() {
        constexpr std::uint32_t kJumpToItself = 0x0000006f; // jal x0, 0
        std::memcpy(memory_.data(), &kJumpToItself, sizeof kJumpToItself);
        for (HartId id = 0; id < 2; ++id) {
            HartConfig config;
            config.id = id;
            config.regions = {{0x1000, memory_.size(), memory_.data()}};
            harts_.push_back(std::make_unique<Hart>(config, port_));
            runners_.push_back(std::make_unique<HartRunner>(
                queue_, *harts_.back(), reasons_, "hart", HartRunner::RunAhead{kUsual, kAlone}));
        }
        other_ = queue_.add_unit(nobody_, "other");
        for (const auto& runner : runners_) {
            runner->release(0, 0x1000);
        }
    }

    /// Where the first hart is when it has had its first turn, and global time has not moved.
    Cycle first_turn() {
        queue_.run_next();
        EXPECT_EQ(queue_.now(), 0u);
        return harts_.front()->now();
    }

    EventQueue queue_;
    TestPort port_;
    NoReasons reasons_;
    Nobody nobody_;
    UnitId other_ = 0;
    alignas(64) std::array<std::uint8_t, 64> memory_{};
    std::vector<std::unique_ptr<Hart>> harts_;
    std::vector<std::unique_ptr<HartRunner>> runners_;
};

TEST_F(HartRunnerTest, AnEventOfAnotherUnitKeepsItNear) {
    queue_.schedule(100000, other_, 0);
    const Cycle now = first_turn();
    EXPECT_GE(now, kUsual);
    EXPECT_LT(now, kUsual + kPiece);
}

TEST_F(HartRunnerTest, AmongHartsItRunsFurther) {
    const Cycle now = first_turn();
    EXPECT_GE(now, kAlone);
    EXPECT_LT(now, kAlone + kPiece);
}

TEST_F(HartRunnerTest, ButNotPastTheTimer) {
    queue_.set_background_timer(1000, other_, 0);
    const Cycle now = first_turn();
    EXPECT_GE(now, 1000u);
    EXPECT_LT(now, 1000 + kPiece);
}

TEST_F(HartRunnerTest, HoldsAndReleasesLeaveTheCountOfHartsRight) {
    runners_[1]->hold();             // its event is still in the queue
    runners_[1]->release(0, 0x1000); // and now there are two
    queue_.schedule(5, other_, 0);
    EXPECT_FALSE(queue_.only_cores());
    while (queue_.now() < 20000) {
        queue_.run_next();
    }
    EXPECT_TRUE(queue_.only_cores());
    EXPECT_EQ(queue_.size(), 2u);
}

} // namespace
} // namespace talus::sim
