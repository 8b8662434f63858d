// What goes wrong on a device, and that the next try works.
#include "session.hpp"

#include "talus/hw/interrupts.h"
#include "talus/hw/status.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string>

namespace talus::device_test {
namespace {

double seconds_since(std::chrono::steady_clock::time_point began) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

// ---- Commands that fail ----

TEST(DeviceFault, BadAddressesFaultTheCommandOnly) {
    Session session;
    const talus_drv_host_buffer host = session.host(4096);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    const std::uint64_t end = info.dram_base + info.dram_bytes;
    for (const std::uint64_t bad :
         {std::uint64_t{0}, end, end - 32, std::uint64_t{0x60000000}, ~std::uint64_t{0} - 8}) {
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, bad, 64)})[0],
                      TALUS_DEVICE_ACCESS);
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_D2H, bad, host.iova, 64)})[0],
                      TALUS_DEVICE_ACCESS);
    }
    // The driver's rings stand at the lowest IOVA, outside the command's windows.
    for (const std::uint64_t bad : {std::uint64_t{0}, std::uint64_t{1} << 32, host.iova - 64,
                                    host.iova + (std::uint64_t{64} << 20) - 32}) {
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, bad, dram, 64)})[0], TALUS_WINDOW_MISS);
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_D2H, dram, bad, 64)})[0], TALUS_WINDOW_MISS);
    }
    EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, dram, 64)})[0], TALUS_OK);
}

TEST(DeviceFault, RestOfTheBatchIsAbortedAndTheNextRuns) {
    Session session;
    const auto done = session.run({nop(1), copy(TALUS_DRV_COPY_D2D, 0, 0, 64), nop(3), nop(4)});
    ASSERT_EQ(done.size(), 4u);
    EXPECT_STATUS(done[0], TALUS_OK);
    EXPECT_STATUS(done[1], TALUS_DEVICE_ACCESS);
    EXPECT_STATUS(done[2], TALUS_ABORTED);
    EXPECT_STATUS(done[3], TALUS_ABORTED);
    EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
}

TEST(DeviceFault, IllegalInstructionLeavesAFaultRecord) {
    Session session;
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    EXPECT_EQ(talus_drv_get_fault(session.queue, &fault), TALUS_DRV_NOT_FOUND);
    const std::uint64_t entry = session.load(kernel_with_an_illegal_instruction());
    const auto began = std::chrono::steady_clock::now();
    EXPECT_STATUS(session.run({launch(entry)})[0], TALUS_KERNEL_FAULT);
    ASSERT_DRV_OK(talus_drv_get_fault(session.queue, &fault));
    report_fault("kernel that traps", "an illegal instruction",
                 "a completion: KERNEL_FAULT, and a record of PE, pc and cause",
                 "none needed: the firmware ends the job", seconds_since(began));
    EXPECT_EQ(fault.cause, static_cast<std::uint32_t>(TALUS_CAUSE_ILLEGAL));
    EXPECT_EQ(fault.kernel_entry, entry);
    EXPECT_EQ(fault.pc, entry + 4);
    EXPECT_LE(fault.core, 1u);
    // The grid runs on.
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DeviceFault, KernelsReportTheirErrors) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_fails(0x1234));
    EXPECT_STATUS(session.run({launch(entry, 1, 1)})[0], TALUS_KERNEL_ERROR);
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    ASSERT_DRV_OK(talus_drv_get_fault(session.queue, &fault));
    EXPECT_EQ(fault.cause, 0x1234u);
    for (std::uint64_t i = 0; i < 4; ++i)
        EXPECT_EQ(fault.detail[i], i + 1);
}

TEST(DeviceFault, LaunchIntoNowhereIsAFault) {
    Session session;
    for (const std::uint64_t entry : {std::uint64_t{0x10}, std::uint64_t{0x70000000}}) {
        const auto done = session.run({launch(entry, 1, 1)});
        EXPECT_NE(done[0].device_status, TALUS_OK);
    }
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DeviceFault, DeviceKillsAJobThatOverstaysItsLimit) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_loops());
    const auto began = std::chrono::steady_clock::now();
    EXPECT_STATUS(session.run({launch(entry, 1, 1, 200)})[0], TALUS_KERNEL_TIMEOUT);
    report_fault("hung PE, limit of 200 us on the launch", "a kernel that loops",
                 "a completion: KERNEL_TIMEOUT", "none needed: the firmware ends the job",
                 seconds_since(began));
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

// ---- Interrupts that get lost ----

std::uint64_t lost_interrupts(const Session& session) {
    talus_drv_telemetry telemetry = TALUS_DRV_INIT(talus_drv_telemetry);
    EXPECT_DRV_OK(talus_drv_get_telemetry(session.device, &telemetry));
    return telemetry.lost_interrupts;
}

// The device sends interrupts that never arrive: `tests/hil/run` starts such a simulator and says
// so by the environment, else the driver is to start one.
TEST(DeviceFault, LostInterruptsAreNoticedWithoutAReset) {
    constexpr unsigned kLost = 20; // of vector 1: the first I/O queue's
    if (std::string(device_under_test()) != "sim" &&
        std::getenv("TALUS_TEST_LOST_INTERRUPTS") == nullptr)
        GTEST_SKIP() << "no interrupt of this device gets lost (TALUS_TEST_LOST_INTERRUPTS)";
    const char* const faults[] = {"--inject", "msix-drop:vector=1:count=20", nullptr};
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = device_under_test();
    options.simulator_args = faults;
    Session session(options);
    talus_drv_device_info before = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &before));
    // So much that the first look, right after the submission, is too early, and the one after 20
    // ms is not: less for a slow host, more for a fast one.
    constexpr std::uint64_t kMost = 4 << 20;
    talus_drv_command work = copy(TALUS_DRV_COPY_H2D, session.host(kMost).iova,
                                  session.memory(TALUS_DRV_DRAM, kMost), 1 << 20);
    unsigned vetoed = 0;
    double longest = 0;
    for (unsigned i = 0; i < kLost; ++i) {
        const std::uint64_t lost = lost_interrupts(session);
        ASSERT_DRV_OK(session.submit({work}));
        const auto began = std::chrono::steady_clock::now();
        std::vector<talus_drv_completion> done;
        // Every command takes more device time than this. So when the wait looks after 20 ms
        // without an interrupt, its time is up, and the completion is there.
        constexpr std::uint64_t kTooShort = 1;
        talus_drv_status status = session.wait(1, done, kTooShort);
        if (status == TALUS_DRV_TIMEOUT) { // it was not there yet
            status = session.wait(1, done);
            work.copy.bytes = std::max<std::uint64_t>(work.copy.bytes / 2, 4096);
        } else if (status == TALUS_DRV_OK && lost_interrupts(session) == lost + 1) {
            ++vetoed;
            longest = std::max(longest, seconds_since(began));
        } else {
            work.copy.bytes = std::min<std::uint64_t>(work.copy.bytes * 2, kMost);
        }
        ASSERT_DRV_OK(status);
        ASSERT_EQ(done.size(), 1u);
        EXPECT_STATUS(done[0], TALUS_OK);
    }
    EXPECT_GE(vetoed, kLost / 4);
    // From here on interrupts arrive, on a loaded host perhaps later than they are waited for.
    const std::uint64_t lost = lost_interrupts(session);
    EXPECT_LE(lost, kLost);
    for (unsigned i = 0; i < kLost; ++i)
        EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
    EXPECT_LE(lost_interrupts(session) - lost, kLost / 4);
    // Nothing was reset, and a recovery finds nothing to do.
    talus_drv_device_info after = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &after));
    EXPECT_EQ(after.reset_epoch, before.reset_epoch);
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    ASSERT_DRV_OK(talus_drv_recover(session.queue, &recovery));
    EXPECT_EQ(recovery.rung, static_cast<std::uint32_t>(TALUS_DRV_RUNG_NONE));
    report_fault("lost interrupt", "the simulator drops MSI-X messages",
                 "nothing but 20 ms more; counted in `lost_interrupts` of the telemetry",
                 "none needed", longest);
}

// ---- Hung commands ----

TEST(DeviceFault, HungJobTimesOutAndDestroyingTheQueueEndsIt) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_loops());
    ASSERT_DRV_OK(session.submit({launch(entry, 1, 1)}));
    std::vector<talus_drv_completion> done;
    EXPECT_EQ(session.wait(1, done, 300), TALUS_DRV_TIMEOUT);
    const std::string text = talus_drv_last_error();
    EXPECT_NE(text.find(device_under_test()), std::string::npos) << text;
    EXPECT_NE(text.find("READY"), std::string::npos) << text;
    talus_drv_queue_destroy(session.queue);
    session.queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DeviceFault, RecoveryEndsAHungJob) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_loops());
    ASSERT_DRV_OK(session.submit({launch(entry, 1, 1)}));
    std::vector<talus_drv_completion> done;
    EXPECT_EQ(session.wait(1, done, 300), TALUS_DRV_TIMEOUT);
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    ASSERT_DRV_OK(talus_drv_recover(session.queue, &recovery));
    // A card hears of the abort; a simulator with a parked clock does not while a kernel spins.
    EXPECT_TRUE(recovery.rung == TALUS_DRV_RUNG_ABORT || recovery.rung == TALUS_DRV_RUNG_FLR)
        << talus_drv_rung_name(static_cast<talus_drv_rung>(recovery.rung));
    EXPECT_EQ(recovery.commands, 1u);
    report_fault("hung PE", "a kernel that loops", "time-out of the op", recovery);
    if (recovery.rung != TALUS_DRV_RUNG_ABORT) {
        talus_drv_queue_destroy(session.queue);
        session.queue = nullptr;
        ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    } else {
        ASSERT_DRV_OK(session.wait(1, done));
        EXPECT_STATUS(done[0], TALUS_ABORTED);
    }
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

TEST(DeviceFault, RecoveryOfAQueueThatHasFinishedDoesNothing) {
    Session session;
    ASSERT_DRV_OK(session.submit({nop(1), nop(2)}));
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    for (int tries = 0; tries < 100; ++tries) { // until both have completed, untaken
        ::usleep(1000);
        talus_drv_telemetry telemetry = TALUS_DRV_INIT(talus_drv_telemetry);
        ASSERT_DRV_OK(talus_drv_get_telemetry(session.device, &telemetry));
    }
    ASSERT_DRV_OK(talus_drv_recover(session.queue, &recovery));
    EXPECT_EQ(recovery.rung, static_cast<std::uint32_t>(TALUS_DRV_RUNG_NONE));
    EXPECT_STREQ(recovery.reason, "");
    std::vector<talus_drv_completion> done;
    ASSERT_DRV_OK(session.wait(2, done));
    EXPECT_STATUS(done[0], TALUS_OK);
    EXPECT_STATUS(done[1], TALUS_OK);
    ASSERT_DRV_OK(talus_drv_recover(session.queue, nullptr)); // nothing is in flight
}

TEST(DeviceFault, ResetRecoversAHungDevice) {
    Session session;
    const std::uint64_t entry = session.load(kernel_that_loops());
    ASSERT_DRV_OK(session.submit({launch(entry)}));
    std::vector<talus_drv_completion> done;
    EXPECT_EQ(session.wait(1, done, 20), TALUS_DRV_TIMEOUT);
    ASSERT_DRV_OK(talus_drv_reset(session.device));
    const talus_drv_command command = nop();
    EXPECT_EQ(talus_drv_submit(session.queue, &command, 1, nullptr), TALUS_DRV_DEVICE_LOST);
    talus_drv_queue_destroy(session.queue);
    session.queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    const talus_drv_host_buffer host = session.host(4096);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, dram, 64)})[0], TALUS_OK);
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

// With its last queue a domain's PEs are reset and their memory is cleared, which takes them until
// a later clock. The reset puts the clock back: by more than a boot may take.
TEST(DeviceFault, FundamentalResetAfterJobsBootsEveryPe) {
    if (behind_talusd())
        GTEST_SKIP() << "talusd chooses how the card is reset";
    Session session;
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_loops()), 1, 1, 15'000)})[0],
                  TALUS_KERNEL_TIMEOUT);
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
    for (int round = 0; round < 2; ++round) {
        talus_drv_queue_destroy(session.queue);
        session.queue = nullptr;
        talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
        ASSERT_DRV_OK(talus_drv_reset_by(session.device, TALUS_DRV_RUNG_FUNDAMENTAL, &recovery));
        EXPECT_EQ(recovery.rung, static_cast<std::uint32_t>(TALUS_DRV_RUNG_FUNDAMENTAL));
        ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
        EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
    }
}

TEST(DeviceFault, ResetScrubsDeviceMemory) {
    Session session;
    const talus_drv_host_buffer host = session.host(4096);
    auto* bytes = static_cast<unsigned char*>(host.pointer);
    std::memset(bytes, 0xa5, 4096);
    std::uint64_t places[] = {session.memory(TALUS_DRV_DRAM, 4096),
                              session.memory(TALUS_DRV_LLS, 4096)};
    for (const std::uint64_t place : places) {
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, place, 4096)})[0], TALUS_OK);
    }
    ASSERT_DRV_OK(talus_drv_reset(session.device));
    talus_drv_queue_destroy(session.queue);
    session.queue = nullptr;
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    // The reset has freed them; the next ones are the same.
    EXPECT_EQ(session.memory(TALUS_DRV_DRAM, 4096), places[0]);
    EXPECT_EQ(session.memory(TALUS_DRV_LLS, 4096), places[1]);
    for (const std::uint64_t place : places) {
        std::memset(bytes, 0x5a, 4096);
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_D2H, place, host.iova, 4096)})[0], TALUS_OK);
        EXPECT_EQ(std::count(bytes, bytes + 4096, 0), 4096);
    }
}

// ---- A client that dies ----

TEST(DeviceFault, KilledClientLeavesACleanDevice) {
    if (std::string(device_under_test()) == "sim")
        GTEST_SKIP() << "a simulator that the driver starts dies with its client";
    constexpr std::uint64_t kBytes = 1 << 20;
    std::array<int, 2> ready{};
    ASSERT_EQ(pipe(ready.data()), 0);
    const pid_t client = fork();
    if (client == 0) {
        Session session;
        const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, kBytes);
        const std::string secret(kBytes, 's');
        const std::uint64_t entry = session.load(kernel_that_loops());
        const bool ok =
            talus_drv_copy_in(session.queue, dram, secret.data(), kBytes) == TALUS_DRV_OK &&
            session.submit({launch(entry)}) == TALUS_DRV_OK;
        [[maybe_unused]] const ssize_t told = write(ready[1], ok ? "y" : "n", 1);
        pause(); // with every PE busy
        _exit(0);
    }
    close(ready[1]);
    char answer = 0;
    EXPECT_EQ(read(ready[0], &answer, 1), 1);
    EXPECT_EQ(answer, 'y');
    close(ready[0]);
    const auto began = std::chrono::steady_clock::now();
    kill(client, SIGKILL);
    int status = 0;
    waitpid(client, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));

    Session session;
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, kBytes); // the same address
    std::string back(kBytes, '?');
    EXPECT_DRV_OK(talus_drv_copy_out(session.queue, back.data(), dram, kBytes));
    EXPECT_EQ(back, std::string(kBytes, '\0'));
    report_fault("client killed with every PE busy", "SIGKILL",
                 "the next client: a clean device, with memory zeroed",
                 behind_talusd() ? "talusd aborts its commands and zeroes its memory"
                                 : "function-level reset when its connection ends",
                 seconds_since(began));
    EXPECT_STATUS(session.run({launch(session.load(kernel_that_returns()))})[0], TALUS_OK);
}

} // namespace
} // namespace talus::device_test
