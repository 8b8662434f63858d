// A host that breaks the rules of the queues, and what becomes of its queue and of the others. With
// the driver's inside, for the driver itself keeps to the rules.
#include "sim_session.hpp"

#include "device.hpp"
#include "error.hpp"

#include "talus/hw/pci.h"

namespace talus::driver_sim {
namespace {

using namespace driver;

TEST(QueueRules, ASenselessCompletionHeadEndsTheQueueThatItIsFor) {
    const SimProcess sim(false, {"--log", "@/log"});
    OpenOptions options;
    options.device = sim.socket();
    options.shadow = false; // so that doorbells are BAR2's
    const auto device = Device::open(options);
    IoQueue* const queue = device->create_queue(0, WaitBy::kSleep);
    IoQueue* const other = device->create_queue(0, WaitBy::kSleep);
    const auto run = [](IoQueue& which) {
        const talus_drv_command command = nop();
        which.submit({&command, 1}, {});
        talus_drv_completion done{};
        std::size_t count = 0;
        which.wait({&done, 1}, 1, count, 10'000);
        return count == 1 && done.device_status == TALUS_OK;
    };
    EXPECT_TRUE(run(*queue));
    // One completion was taken, and there is no other.
    device->transport().bar_write32(
        TALUS_BAR_DOORBELLS,
        queue->qid() * std::uint64_t{TALUS_DOORBELL_STRIDE} + TALUS_DOORBELL_CQ_HEAD, 2);
    try {
        run(*queue);
        FAIL() << "the queue goes on";
    } catch (const Error& error) {
        EXPECT_EQ(error.status(), TALUS_DRV_TIMEOUT) << error.what();
    }
    EXPECT_TRUE(run(*other));
    const auto [said, code] = run_program("cat " + sim.folder() + "/log");
    EXPECT_NE(
        said.find("queue " + std::to_string(queue->qid()) + " stopped: completion head 2 after 1"),
        std::string::npos)
        << said.substr(said.size() > 2000 ? said.size() - 2000 : 0);
    const talus_drv_recovery recovery = queue->recover();
    EXPECT_EQ(recovery.rung, std::uint32_t{TALUS_DRV_RUNG_FLR});
    EXPECT_NE(std::string(recovery.reason).find("stopped by the queue engine"), std::string::npos)
        << recovery.reason;
    IoQueue* const next = device->create_queue(0, WaitBy::kSleep);
    EXPECT_TRUE(run(*next));
}

} // namespace
} // namespace talus::driver_sim
