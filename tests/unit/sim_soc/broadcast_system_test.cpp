// Broadcast reads whose members do not all come, through firmware and driver: what the host is
// told, and that the next job finds nothing of it.
#include <fstream>
#include <iterator>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "talus/driver.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/status.h"

namespace {

#define DRV(call)                                                                                  \
    do {                                                                                           \
        const talus_drv_status status_ = (call);                                                   \
        ASSERT_EQ(status_, TALUS_DRV_OK) << #call << ": " << talus_drv_last_error();               \
    } while (false)

enum Mode : std::uint32_t { kAll, kAbsent, kDifferent, kLate }; // broadcast_kernel.c

class BroadcastJob : public testing::Test {
  protected:
    static constexpr std::uint32_t kBytes = 4096;
    struct Args {
        std::uint64_t source;
        std::uint32_t mode;
        std::uint32_t reserved[13];
    };

    void SetUp() override {
        talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = "sim";
        DRV(talus_drv_open(&options, &device_));
        upload();
    }
    void TearDown() override {
        talus_drv_queue_destroy(queue_);
        talus_drv_close(device_);
    }
    /// What a reset takes away.
    void upload() {
        DRV(talus_drv_queue_create(device_, nullptr, &queue_));
        std::ifstream file(TALUS_TEST_BROADCAST_KERNEL, std::ios::binary);
        const std::vector<char> image((std::istreambuf_iterator<char>(file)), {});
        DRV(talus_drv_memory_alloc(device_, TALUS_DRV_LLS, image.size(), 4096, &entry_));
        DRV(talus_drv_copy_in(queue_, entry_, image.data(), image.size()));
        std::vector<std::uint8_t> data(kBytes + 64);
        std::iota(data.begin(), data.end(), std::uint8_t{1});
        sum_ = std::accumulate(data.begin(), data.begin() + kBytes, std::uint64_t{0});
        DRV(talus_drv_memory_alloc(device_, TALUS_DRV_DRAM, data.size(), 4096, &data_));
        DRV(talus_drv_copy_in(queue_, data_, data.data(), data.size()));
        DRV(talus_drv_memory_alloc(device_, TALUS_DRV_LLS, sizeof(Args), 64, &args_));
    }
    void submit(Mode mode) {
        const Args args{data_, mode, {}};
        DRV(talus_drv_copy_in(queue_, args_, &args, sizeof args));
        talus_drv_command command{};
        command.opcode = TALUS_DRV_LAUNCH;
        command.launch.entry = entry_;
        command.launch.args = args_;
        command.launch.args_bytes = sizeof args;
        command.launch.rows = 2;
        command.launch.cols = 4;
        DRV(talus_drv_submit(queue_, &command, 1, nullptr));
    }
    talus_drv_completion run(Mode mode) {
        talus_drv_completion completion{};
        submit(mode);
        std::size_t count = 0;
        EXPECT_EQ(talus_drv_wait(queue_, &completion, 1, 1, &count, 10'000'000), TALUS_DRV_OK);
        EXPECT_EQ(count, 1u);
        return completion;
    }
    void expect_good_run() {
        const talus_drv_completion completion = run(kAll);
        EXPECT_EQ(completion.device_status, 0);
        EXPECT_EQ(completion.result, 8 * sum_);
    }
    static unsigned base(const talus_drv_completion& completion) {
        return TALUS_STATUS_BASE(completion.device_status);
    }

    talus_drv_device* device_ = nullptr;
    talus_drv_queue* queue_ = nullptr;
    std::uint64_t entry_ = 0, data_ = 0, args_ = 0, sum_ = 0;
};

TEST_F(BroadcastJob, AMemberThatNeverAsksIsADeadlock) {
    expect_good_run();
    EXPECT_EQ(base(run(kAbsent)), unsigned{TALUS_KERNEL_DEADLOCK});
    expect_good_run();
}

TEST_F(BroadcastJob, AMemberThatAsksForSomethingElseFaults) {
    EXPECT_EQ(base(run(kDifferent)), unsigned{TALUS_KERNEL_FAULT});
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    DRV(talus_drv_get_fault(queue_, &fault));
    EXPECT_EQ(fault.cause, TALUS_TRAP_BROADCAST);
    EXPECT_EQ(fault.row, 0);
    // Whoever came second: PE (0, 0), or the first to meet its request.
    EXPECT_EQ(fault.tval, fault.col == 0 ? data_ + 64 : data_);
    expect_good_run();
}

TEST_F(BroadcastJob, AResetOfTheFunctionEndsTheWait) {
    submit(kLate);
    DRV(talus_drv_reset(device_));
    talus_drv_queue_destroy(queue_);
    queue_ = nullptr;
    upload();
    expect_good_run();
}

} // namespace
