// The firmware inside the simulator: jobs through the driver, as any program runs them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "talus/driver.h"
#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/status.h"
#include "talus/hw/work.h"

#include "probe.h"

namespace {

std::vector<std::uint8_t> read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// One simulated device for all tests: a test that leaves it unusable fails those after it.
class OnTarget : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        auto options = TALUS_DRV_INIT(talus_drv_open_options);
        options.device = "sim";
        ASSERT_EQ(talus_drv_open(&options, &device_), TALUS_DRV_OK) << talus_drv_last_error();
        ASSERT_EQ(talus_drv_queue_create(device_, nullptr, &queue_), TALUS_DRV_OK)
            << talus_drv_last_error();
        const auto image = read_file(TALUS_PROBE_IMAGE);
        ASSERT_FALSE(image.empty());
        kernel_ = alloc(TALUS_DRV_LLS, image.size());
        args_ = alloc(TALUS_DRV_LLS, sizeof(probe_args)); // as the SDK does: every PE reads it
        out_ = alloc(TALUS_DRV_DRAM, 1 << 20);
        ASSERT_EQ(talus_drv_copy_in(queue_, kernel_, image.data(), image.size()), TALUS_DRV_OK)
            << talus_drv_last_error();
    }

    static void TearDownTestSuite() {
        talus_drv_queue_destroy(queue_);
        talus_drv_close(device_);
    }

    static std::uint64_t alloc(talus_drv_memory memory, std::uint64_t bytes) {
        std::uint64_t address = 0;
        EXPECT_EQ(talus_drv_memory_alloc(device_, memory, bytes, 64, &address), TALUS_DRV_OK)
            << talus_drv_last_error();
        return address;
    }

    struct Grid {
        std::uint8_t row, col, rows, cols;
    };
    static constexpr Grid kWhole{0, 0, 8, 8};

    static talus_drv_command launch(Grid grid, std::uint32_t timeout_us = 0) {
        talus_drv_command command{};
        command.opcode = TALUS_DRV_LAUNCH;
        command.launch.entry = kernel_;
        command.launch.args = args_;
        command.launch.args_bytes = sizeof(probe_args);
        command.launch.timeout_us = timeout_us;
        command.launch.row = grid.row;
        command.launch.col = grid.col;
        command.launch.rows = grid.rows;
        command.launch.cols = grid.cols;
        return command;
    }

    static void set_args(probe_mode mode, std::uint32_t value) {
        probe_args args{};
        args.mode = mode;
        args.value = value;
        args.out = out_;
        for (std::uint32_t i = 0; i < 256; ++i) {
            args.pattern[i] = i * 0x9e3779b9u;
        }
        ASSERT_EQ(talus_drv_copy_in(queue_, args_, &args, sizeof args), TALUS_DRV_OK)
            << talus_drv_last_error();
    }

    static talus_drv_completion wait_one() {
        talus_drv_completion completion{};
        std::size_t count = 0;
        EXPECT_EQ(talus_drv_wait(queue_, &completion, 1, 1, &count, 0), TALUS_DRV_OK)
            << talus_drv_last_error();
        EXPECT_EQ(count, 1u);
        return completion;
    }

    static talus_drv_completion run(probe_mode mode, std::uint32_t value = 0, Grid grid = kWhole,
                                    std::uint32_t timeout_us = 0) {
        set_args(mode, value);
        const talus_drv_command command = launch(grid, timeout_us);
        EXPECT_EQ(talus_drv_submit(queue_, &command, 1, nullptr), TALUS_DRV_OK)
            << talus_drv_last_error();
        return wait_one();
    }

    static talus_drv_fault fault() {
        auto fault = TALUS_DRV_INIT(talus_drv_fault);
        EXPECT_EQ(talus_drv_get_fault(queue_, &fault), TALUS_DRV_OK) << talus_drv_last_error();
        return fault;
    }

    static void expect_job_works() {
        const auto completion = run(PROBE_ABI, 0);
        EXPECT_EQ(completion.device_status, TALUS_OK);
        EXPECT_EQ(completion.result, 128u);
    }

    static talus_drv_device* device_;
    static talus_drv_queue* queue_;
    static std::uint64_t kernel_, args_, out_;
};

talus_drv_device* OnTarget::device_;
talus_drv_queue* OnTarget::queue_;
std::uint64_t OnTarget::kernel_, OnTarget::args_, OnTarget::out_;

TEST_F(OnTarget, EmptyJob) {
    const auto completion = run(PROBE_RETURN);
    EXPECT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completion.result, 0u);
    std::printf("empty job: receipt -> first instruction %u clocks, execution %u, doorbell -> "
                "completion %llu\n",
                completion.launch_cycles, completion.exec_cycles,
                static_cast<unsigned long long>(completion.device_cycles));
    EXPECT_GT(completion.launch_cycles, 0u);
    EXPECT_LT(completion.launch_cycles, 1350u); // 1 us, as published
}

// Without an argument block: what the road itself costs.
TEST_F(OnTarget, EmptyJobWithoutArguments) {
    talus_drv_command command = launch(kWhole);
    command.launch.args = 0;
    command.launch.args_bytes = 0;
    ASSERT_EQ(talus_drv_submit(queue_, &command, 1, nullptr), TALUS_DRV_OK);
    const auto completion = wait_one();
    EXPECT_EQ(completion.device_status, TALUS_OK);
    std::printf(
        "empty job without arguments: receipt -> first instruction %u clocks, execution %u, "
        "doorbell -> completion %llu\n",
        completion.launch_cycles, completion.exec_cycles,
        static_cast<unsigned long long>(completion.device_cycles));
    EXPECT_LT(completion.launch_cycles, 1350u);
}

TEST_F(OnTarget, KernelAbiOnEveryCore) {
    const Grid grid{2, 3, 4, 5};
    const std::vector<probe_report> clean(40);
    ASSERT_EQ(talus_drv_copy_in(queue_, out_, clean.data(), 40 * 64), TALUS_DRV_OK);
    const auto completion = run(PROBE_ABI, 0, grid);
    ASSERT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completion.result, 40u);
    std::vector<probe_report> reports(40);
    ASSERT_EQ(talus_drv_copy_out(queue_, reports.data(), out_, 40 * 64), TALUS_DRV_OK);
    for (unsigned i = 0; i < 40; ++i) {
        SCOPED_TRACE(i);
        const auto& report = reports[i];
        const unsigned row = i / 2 / 5;
        const unsigned col = i / 2 % 5;
        EXPECT_EQ(report.pattern_errors, 0u);
        EXPECT_EQ(report.args_bytes, sizeof(probe_args));
        EXPECT_EQ(report.core, i % 2);
        EXPECT_EQ(report.hart_core, i % 2);
        EXPECT_EQ(report.row, row);
        EXPECT_EQ(report.col, col);
        EXPECT_EQ(report.rows, 4);
        EXPECT_EQ(report.cols, 5);
        EXPECT_EQ(report.physical, (row + 2) * 8 + col + 3);
        EXPECT_EQ(report.local_bytes, TALUS_LOCAL_KERNEL_BYTES);
        EXPECT_EQ(report.args % 64, 0u);
        const std::uint64_t top = i % 2 == 0 ? TALUS_LOCAL_STACK_A_TOP : TALUS_LOCAL_STACK_B_TOP;
        const std::uint64_t size = i % 2 == 0 ? 0x1000 : 0x2000;
        EXPECT_GT(report.stack_pointer, TALUS_LOCAL_BASE + top - size + 1024);
        EXPECT_LE(report.stack_pointer, TALUS_LOCAL_BASE + top);
        EXPECT_EQ(report.stack_pointer % 16, 0u);
        EXPECT_NE(report.mstatus & 0x8, 0u);    // faults of commands interrupt
        EXPECT_NE(report.mstatus & 0x6000, 0u); // floating point is on
        EXPECT_EQ((report.mstatus & 0x600) != 0, i % 2 == 1);
    }
}

TEST_F(OnTarget, ExitFromDepth) {
    const auto completion = run(PROBE_EXIT);
    EXPECT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completion.result, 128u);
}

TEST_F(OnTarget, KernelErrorCarriesItsWords) {
    const auto completion = run(PROBE_FAIL, 10, {1, 0, 4, 4});
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_ERROR);
    EXPECT_NE(completion.device_status & TALUS_STATUS_MORE, 0);
    const auto record = fault();
    EXPECT_EQ(record.cause, 0x1234u);
    EXPECT_EQ(record.detail[0], 11u);
    EXPECT_EQ(record.detail[1], 22u);
    EXPECT_EQ(record.detail[2], 33u);
    EXPECT_EQ(record.detail[3], 0xffffffffffffull);
    EXPECT_EQ(record.row, 2);
    EXPECT_EQ(record.col, 2);
    EXPECT_EQ(record.core, TALUS_CORE_B);
    expect_job_works();
}

TEST_F(OnTarget, IllegalInstructionNamesItsPlaceAndShowsTheLog) {
    const auto completion = run(PROBE_LOG_ILLEGAL, 63);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_FAULT);
    const auto record = fault();
    EXPECT_EQ(record.cause, TALUS_CAUSE_ILLEGAL);
    EXPECT_EQ(record.row, 7);
    EXPECT_EQ(record.col, 7);
    EXPECT_EQ(record.core, TALUS_CORE_A);
    EXPECT_EQ(record.kernel_entry, kernel_);
    EXPECT_GT(record.pc, kernel_);
    EXPECT_LT(record.pc, kernel_ + 4096);
    std::vector<char> text(70000);
    std::size_t length = 0;
    ASSERT_EQ(talus_drv_read_log(device_, text.data(), text.size(), &length), TALUS_DRV_OK);
    EXPECT_NE(std::string(text.data()).find("probe was here"), std::string::npos) << text.data();
    expect_job_works();
}

TEST_F(OnTarget, BadLoad) {
    const auto completion = run(PROBE_BAD_LOAD, 5);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_FAULT);
    EXPECT_EQ(fault().cause, TALUS_CAUSE_LOAD_ACCESS);
    EXPECT_EQ(fault().tval, 0x5555000u);
    EXPECT_EQ(fault().core, TALUS_CORE_B);
    expect_job_works();
}

TEST_F(OnTarget, UnitFaultReachesACoreThatWaits) {
    const auto completion = run(PROBE_UNIT_FAULT, 8);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_FAULT);
    const auto record = fault();
    EXPECT_EQ(record.cause, TALUS_TRAP_FABRIC);
    EXPECT_EQ(record.tval, 0x7700000000u);
    EXPECT_EQ(record.row, 1);
    EXPECT_EQ(record.col, 0);
    EXPECT_GT(record.pc, kernel_);
    EXPECT_LT(record.pc, kernel_ + 4096);
    expect_job_works();
}

TEST_F(OnTarget, CircularBufferMisuse) {
    const auto completion = run(PROBE_CB_MISUSE, 0);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_FAULT);
    EXPECT_EQ(fault().cause, TALUS_TRAP_CB);
    EXPECT_EQ(fault().tval, 9u);
    expect_job_works();
}

TEST_F(OnTarget, BarrierHoldsEveryoneUntilTheLast) {
    constexpr unsigned kRounds = 20;
    const Grid grid{0, 2, 8, 6};
    const auto completion = run(PROBE_BARRIER, kRounds, grid);
    ASSERT_EQ(completion.device_status, TALUS_OK);
    std::vector<std::uint64_t> stamps(48 * kRounds * 2);
    ASSERT_EQ(talus_drv_copy_out(queue_, stamps.data(), out_, stamps.size() * 8), TALUS_DRV_OK);
    for (unsigned round = 0; round < kRounds; ++round) {
        std::uint64_t last_arrival = 0;
        std::uint64_t first_departure = ~std::uint64_t{0};
        for (unsigned pe = 0; pe < 48; ++pe) {
            const std::uint64_t* stamp = &stamps[(pe * kRounds + round) * 2];
            last_arrival = std::max(last_arrival, stamp[0]);
            first_departure = std::min(first_departure, stamp[1]);
        }
        EXPECT_LE(last_arrival, first_departure) << "round " << round;
    }
}

TEST_F(OnTarget, TimeLimit) {
    const auto completion = run(PROBE_SPIN, 0, {0, 0, 1, 1}, 100);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_TIMEOUT);
    EXPECT_GE(completion.exec_cycles, 135000u);
    EXPECT_LT(completion.exec_cycles, 145000u);
    EXPECT_EQ(fault().core, TALUS_FAULT_CONTROL);
    expect_job_works();
}

TEST_F(OnTarget, Deadlock) {
    const auto completion = run(PROBE_STUCK, 0, {0, 0, 2, 2});
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_DEADLOCK);
    expect_job_works();
}

TEST_F(OnTarget, VectorsOnCoreB) {
    const auto completion = run(PROBE_VECTOR, 17, {3, 3, 1, 1});
    EXPECT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completion.result, 17u * 1000 + 999 * 1000 / 2);
}

TEST_F(OnTarget, NextKernelFindsACleanCommandProcessor) {
    ASSERT_EQ(run(PROBE_LITTER).device_status, TALUS_OK);
    const auto completion = run(PROBE_CLEAN);
    EXPECT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completion.result, 0u);
}

TEST_F(OnTarget, LocalMemoryBudget) {
    const auto completion = run(PROBE_LOCAL_MEMORY);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_ERROR);
    const auto record = fault();
    EXPECT_EQ(record.cause, 0xffff0001u);
    EXPECT_EQ(record.detail[0], TALUS_LOCAL_KERNEL_BYTES);
    EXPECT_EQ(record.detail[1], TALUS_LOCAL_KERNEL_BYTES - 1000);
    expect_job_works();
}

// Core caches are not coherent with DMA: what a core stored is in memory once it was cleaned, and
// what DMA wrote is loaded once the line was invalidated. A kernel that forgets is told.
TEST_F(OnTarget, CacheMaintenance) {
    const Grid one{0, 0, 1, 1};
    auto completion = run(PROBE_CACHE_STORE, 1, one);
    EXPECT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completion.result, 0x1234567890abcdefull);
    completion = run(PROBE_CACHE_LOAD, 1, one);
    EXPECT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completion.result, 0x1234567890abcdefull);

    completion = run(PROBE_CACHE_STORE, 0, one);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_FAULT);
    EXPECT_EQ(fault().cause, TALUS_TRAP_CACHE);
    EXPECT_EQ(fault().tval, out_);
    completion = run(PROBE_CACHE_LOAD, 0, one);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_FAULT);
    EXPECT_EQ(fault().cause, TALUS_TRAP_CACHE);
    EXPECT_EQ(fault().tval, out_);
    expect_job_works();
}

TEST_F(OnTarget, StackOverflow) {
    const auto completion = run(PROBE_DEEP, 17);
    EXPECT_EQ(TALUS_STATUS_BASE(completion.device_status), TALUS_KERNEL_FAULT);
    const auto record = fault();
    EXPECT_EQ(record.cause, TALUS_CAUSE_STORE_ACCESS);
    EXPECT_EQ(record.tval, TALUS_LOCAL_BASE + TALUS_LOCAL_STACK_A_TOP - 0x1000);
    EXPECT_EQ(record.row, 2);
    EXPECT_EQ(record.col, 1);
    EXPECT_EQ(record.core, TALUS_CORE_A);
    expect_job_works();
}

// A batch stops at its failed command; the next one runs.
TEST_F(OnTarget, FailedBatch) {
    set_args(PROBE_CB_MISUSE, 0);
    const talus_drv_command batch[] = {launch(kWhole), launch(kWhole), launch(kWhole)};
    ASSERT_EQ(talus_drv_submit(queue_, batch, 3, nullptr), TALUS_DRV_OK);
    EXPECT_EQ(TALUS_STATUS_BASE(wait_one().device_status), TALUS_KERNEL_FAULT);
    EXPECT_EQ(wait_one().device_status, TALUS_ABORTED);
    EXPECT_EQ(wait_one().device_status, TALUS_ABORTED);
    expect_job_works();
}

// Job after job on the same PEs: the published "replace" is the time from the end of one job to the
// first instruction of the next.
TEST_F(OnTarget, ReplaceLatency) {
    talus_drv_command command = launch(kWhole);
    command.launch.args = 0;
    command.launch.args_bytes = 0;
    const std::vector<talus_drv_command> batch(8, command);
    ASSERT_EQ(talus_drv_submit(queue_, batch.data(), batch.size(), nullptr), TALUS_DRV_OK);
    std::uint32_t first = 0;
    std::uint32_t worst = 0;
    for (std::size_t i = 0; i < batch.size(); ++i) {
        const auto completion = wait_one();
        EXPECT_EQ(completion.device_status, TALUS_OK);
        (i == 0 ? first : worst) = std::max(i == 0 ? first : worst, completion.launch_cycles);
    }
    std::printf("job after job: first start %u clocks, slowest replacement %u\n", first, worst);
    EXPECT_LT(worst, 675u); // 0.5 us, as published
}

// Two queues on two halves of the grid, many jobs each.
TEST_F(OnTarget, TwoQueuesSideBySide) {
    talus_drv_queue* other = nullptr;
    ASSERT_EQ(talus_drv_queue_create(device_, nullptr, &other), TALUS_DRV_OK);
    set_args(PROBE_EXIT, 0);
    const std::vector<talus_drv_command> left(20, launch({0, 0, 8, 4}));
    const std::vector<talus_drv_command> right(20, launch({0, 4, 8, 4}));
    ASSERT_EQ(talus_drv_submit(queue_, left.data(), 20, nullptr), TALUS_DRV_OK);
    ASSERT_EQ(talus_drv_submit(other, right.data(), 20, nullptr), TALUS_DRV_OK);
    for (talus_drv_queue* queue : {queue_, other}) {
        std::vector<talus_drv_completion> done(20);
        std::size_t count = 0;
        ASSERT_EQ(talus_drv_wait(queue, done.data(), 20, 20, &count, 0), TALUS_DRV_OK);
        ASSERT_EQ(count, 20u);
        for (const auto& completion : done) {
            EXPECT_EQ(completion.device_status, TALUS_OK);
            EXPECT_EQ(completion.result, 64u);
        }
    }
    talus_drv_queue_destroy(other);
}

} // namespace
