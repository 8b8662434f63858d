// Memory and queues that run out and come back, and a child of fork() that leaves the device alone.
#include "limit.hpp"
#include "session.hpp"

#include "talus/hw/status.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

namespace talus::device_test {
namespace {

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator begin("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin, {}));
}

std::uint64_t address_space() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t pages = 0;
    file >> pages;
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void expect_error(talus_drv_status status, talus_drv_status expected, const char* part) {
    const std::string text = talus_drv_last_error();
    EXPECT_EQ(status, expected) << text;
    EXPECT_NE(text.find(part), std::string::npos) << text;
}

// ---- What there is a number of ----

TEST(DeviceLimits, QueuesRunOutAndComeBack) {
    Session session;
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    std::vector<talus_drv_queue*> queues;
    talus_drv_queue* queue = nullptr;
    talus_drv_status status = TALUS_DRV_OK;
    while ((status = talus_drv_queue_create(session.device, nullptr, &queue)) == TALUS_DRV_OK) {
        queues.push_back(queue);
        ASSERT_LE(queues.size(), info.max_queues);
    }
    expect_error(status, TALUS_DRV_BUSY,
                 behind_talusd() ? "a client has at most" : "every queue is in use");
    EXPECT_EQ(queues.size() + 1, info.max_queues); // the session has one
    // The others work, and one that is given back can be had again.
    const talus_drv_command command = nop(7);
    for (talus_drv_queue* each : queues) {
        talus_drv_completion done{};
        std::size_t count = 0;
        ASSERT_DRV_OK(talus_drv_submit(each, &command, 1, nullptr));
        ASSERT_DRV_OK(talus_drv_wait(each, &done, 1, 1, &count, 0));
        EXPECT_STATUS(done, TALUS_OK);
    }
    talus_drv_queue_destroy(queues[queues.size() / 2]);
    EXPECT_DRV_OK(
        talus_drv_queue_create(session.device, nullptr, &queues[queues.size() / 2]));
    EXPECT_EQ(talus_drv_queue_create(session.device, nullptr, &queue), TALUS_DRV_BUSY);
    for (talus_drv_queue* each : queues)
        talus_drv_queue_destroy(each);
    EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
}

TEST(DeviceLimits, DeviceMemoryRunsOutAndComesBack) {
    if (behind_talusd())
        GTEST_SKIP() << "talusd zeroes what is freed: in a simulator tens of GiB of host memory";
    Session session;
    const talus_drv_host_buffer host = session.host(4096);
    for (const talus_drv_memory kind : {TALUS_DRV_DRAM, TALUS_DRV_LLS}) {
        std::uint64_t before = 0;
        std::uint64_t total = 0;
        ASSERT_DRV_OK(talus_drv_memory_usage(session.device, kind, &before, &total));
        std::uint64_t address = 0;
        expect_error(talus_drv_memory_alloc(session.device, kind, total + 64, 0, &address),
                     TALUS_DRV_OUT_OF_DEVICE_MEMORY, "no room for");
        std::vector<std::uint64_t> parts;
        while (talus_drv_memory_alloc(session.device, kind, total / 4, 0, &address) ==
               TALUS_DRV_OK)
            parts.push_back(address);
        EXPECT_GE(parts.size(), 3u);
        std::uint64_t used = 0;
        ASSERT_DRV_OK(talus_drv_memory_usage(session.device, kind, &used, &total));
        EXPECT_EQ(used, before + parts.size() * (total / 4));
        for (const std::uint64_t each : parts)
            EXPECT_DRV_OK(talus_drv_memory_free(session.device, each));
        ASSERT_DRV_OK(talus_drv_memory_usage(session.device, kind, &used, &total));
        EXPECT_EQ(used, before);
        const std::uint64_t again = session.memory(kind, total / 4 * 3);
        EXPECT_STATUS(session.run({copy(TALUS_DRV_COPY_H2D, host.iova, again + total / 2, 4096)})[0],
                      TALUS_OK);
        EXPECT_DRV_OK(talus_drv_memory_free(session.device, again));
    }
}

TEST(DeviceLimits, HostMemoryRunsOutAndComesBack) {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "AddressSanitizer itself ends with the address space";
#endif
    constexpr std::uint64_t kBytes = std::uint64_t{64} << 20;
    Session session;
    talus_drv_host_buffer first = session.host(4096);
    ASSERT_DRV_OK(talus_drv_host_free(session.device, &first));
    const std::size_t descriptors = open_descriptors();
    for (int round = 0; round < 2; ++round) { // the second as the first: nothing was left behind
        std::vector<talus_drv_host_buffer> buffers;
        talus_drv_status status = TALUS_DRV_OK;
        {
            const Limit limit(RLIMIT_AS, address_space() + kBytes * 5 / 2);
            talus_drv_host_buffer buffer{};
            while (buffers.size() < 4 && (status = talus_drv_host_alloc(session.device, kBytes, 0,
                                                                        &buffer)) == TALUS_DRV_OK)
                buffers.push_back(buffer);
        }
        expect_error(status, TALUS_DRV_OUT_OF_HOST_MEMORY, "DMA memory of 67108864 bytes");
        EXPECT_GE(buffers.size(), 2u);
        EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
        for (const talus_drv_host_buffer& each : buffers)
            EXPECT_DRV_OK(talus_drv_host_free(session.device, &each));
        EXPECT_EQ(open_descriptors(), descriptors);
    }
    const talus_drv_host_buffer host = session.host(kBytes);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    EXPECT_STATUS(
        session.run({copy(TALUS_DRV_COPY_D2H, dram, host.iova + kBytes - 4096, 4096)})[0],
        TALUS_OK);
}

TEST(DeviceLimits, DescriptorsRunOutAndComeBack) {
    Session session;
    const std::size_t descriptors = open_descriptors();
    talus_drv_queue* queue = nullptr;
    talus_drv_host_buffer buffer{};
    // An error before: UBSan makes sure of an object's type through a pipe, once for each type.
    EXPECT_EQ(talus_drv_host_alloc(session.device, 0, 0, &buffer), TALUS_DRV_INVALID_ARGUMENT);
    {
        const int next = dup(STDOUT_FILENO);
        close(next);
        const Limit limit(RLIMIT_NOFILE, static_cast<std::uint64_t>(next));
        expect_error(talus_drv_queue_create(session.device, nullptr, &queue), TALUS_DRV_IO,
                     "Too many open files");
        expect_error(talus_drv_host_alloc(session.device, std::uint64_t{65} << 20, 0, &buffer),
                     TALUS_DRV_IO, "Too many open files");
        EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
    }
    EXPECT_EQ(open_descriptors(), descriptors);
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &queue));
    ASSERT_DRV_OK(talus_drv_host_alloc(session.device, std::uint64_t{65} << 20, 0, &buffer));
    talus_drv_queue_destroy(queue);
}

// ---- fork() ----

// Runs `body` in a child; false, and its reason, if it does not end with exit(0).
::testing::AssertionResult in_child(const std::function<std::string()>& body) {
    std::fflush(nullptr);
    int ends[2];
    if (pipe(ends) != 0)
        return ::testing::AssertionFailure() << "pipe";
    const pid_t child = fork();
    if (child == 0) {
        const std::string problem = body();
        [[maybe_unused]] const ssize_t told = write(ends[1], problem.data(), problem.size());
        std::exit(problem.empty() ? 0 : 1); // as a program ends, with all that runs at exit
    }
    close(ends[1]);
    std::string text;
    char part[512];
    for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;)
        text.append(part, static_cast<std::size_t>(got));
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << "status " << status << ": " << text;
}

// Every call with the parent's handles; the first that does something else than refuse.
std::string call_everything(const Session& session, const talus_drv_host_buffer& host,
                            std::uint64_t dram) {
    std::string wrong;
    const auto expect = [&](const char* name, talus_drv_status status) {
        const std::string text = talus_drv_last_error();
        if (status != TALUS_DRV_DEVICE_LOST || text.find("forked") == std::string::npos)
            wrong += std::string(name) + ": " + talus_drv_status_name(status) + ", " + text + "\n";
    };
    talus_drv_device* device = session.device;
    talus_drv_queue* queue = session.queue;
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    talus_drv_telemetry telemetry = TALUS_DRV_INIT(talus_drv_telemetry);
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    talus_drv_queue* other = nullptr;
    talus_drv_host_buffer buffer{};
    talus_drv_completion done{};
    const talus_drv_command command = nop();
    std::uint64_t word = 0;
    std::uint64_t total = 0;
    std::size_t count = 0;
    expect("get_info", talus_drv_get_info(device, &info));
    expect("get_telemetry", talus_drv_get_telemetry(device, &telemetry));
    expect("read_log", talus_drv_read_log(device, nullptr, 0, &count));
    expect("reset", talus_drv_reset(device));
    expect("reset_by", talus_drv_reset_by(device, TALUS_DRV_RUNG_FLR, nullptr));
    expect("recover", talus_drv_recover(queue, nullptr));
    expect("memory_alloc", talus_drv_memory_alloc(device, TALUS_DRV_DRAM, 64, 0, &word));
    expect("memory_free", talus_drv_memory_free(device, dram));
    expect("memory_usage", talus_drv_memory_usage(device, TALUS_DRV_DRAM, &word, &total));
    expect("host_alloc", talus_drv_host_alloc(device, 64, 0, &buffer));
    expect("host_free", talus_drv_host_free(device, &host));
    expect("queue_create", talus_drv_queue_create(device, nullptr, &other));
    expect("submit", talus_drv_submit(queue, &command, 1, nullptr));
    expect("wait", talus_drv_wait(queue, &done, 1, 1, &count, 0));
    expect("poll", talus_drv_poll(queue, &done, 1, &count));
    expect("get_fault", talus_drv_get_fault(queue, &fault));
    expect("copy_in", talus_drv_copy_in(queue, dram, &word, sizeof word));
    expect("copy_out", talus_drv_copy_out(queue, &word, dram, sizeof word));
    return wrong;
}

TEST(DeviceFork, AChildLeavesItsParentsDeviceAlone) {
    Session session;
    const talus_drv_host_buffer host = session.host(4096);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 4096);
    const std::string text = "the parent's";
    ASSERT_DRV_OK(talus_drv_copy_in(session.queue, dram, text.data(), text.size()));
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    const std::uint32_t epoch = info.reset_epoch;
    const std::uint64_t returns = session.load(kernel_that_returns());
    // With work in flight, and twice: the first child must not have closed anything.
    ASSERT_DRV_OK(session.submit({launch(returns), nop(5)}));
    for (int child = 0; child < 2; ++child)
        EXPECT_TRUE(in_child([&] {
            std::string wrong = call_everything(session, host, dram);
            unsigned char resident = 0;
            if (mincore(host.pointer, 4096, &resident) == 0 || errno != ENOMEM)
                wrong += "the host buffer is mapped\n";
            talus_drv_queue_destroy(session.queue);
            talus_drv_close(session.device);
            return wrong;
        }));
    std::vector<talus_drv_completion> done;
    ASSERT_DRV_OK(session.wait(2, done));
    EXPECT_STATUS(done[0], TALUS_OK);
    EXPECT_EQ(done[1].user_data, 5u);
    ASSERT_DRV_OK(talus_drv_get_info(session.device, &info));
    EXPECT_EQ(info.reset_epoch, epoch);
    std::string back(text.size(), '?');
    ASSERT_DRV_OK(talus_drv_copy_out(session.queue, back.data(), dram, back.size()));
    EXPECT_EQ(back, text);
    EXPECT_STATUS(session.run({launch(returns)})[0], TALUS_OK);
}

TEST(DeviceFork, AChildOpensADeviceOfItsOwn) {
    if (std::string(device_under_test()) != "sim")
        GTEST_SKIP() << "the parent holds the only one";
    Session session;
    EXPECT_TRUE(in_child([] {
        Session own;
        const auto done = own.run({nop(3)});
        return std::string(done.size() == 1 && done[0].user_data == 3 ? "" : "no completion");
    }));
    EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
}

// The parent closes while a child lives on with copies of its descriptors.
TEST(DeviceFork, ClosingEndsTheDeviceAlsoForDescriptorsOfChildren) {
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    ASSERT_DRV_OK(talus_drv_get_info(Session().device, &info));
    if (std::string(info.transport) == "vfio")
        GTEST_SKIP() << "the kernel lets a function go when its last descriptor closes";
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    pid_t child = -1;
    {
        Session session;
        child = fork();
        if (child == 0) {
            close(ends[1]);
            char byte = 0;
            [[maybe_unused]] const ssize_t got = read(ends[0], &byte, 1); // until the parent has closed
            _exit(0);
        }
        close(ends[0]);
        EXPECT_STATUS(session.run({nop()})[0], TALUS_OK);
    }
    {
        Session next;
        EXPECT_STATUS(next.run({nop()})[0], TALUS_OK);
    }
    close(ends[1]);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status));
}

} // namespace
} // namespace talus::device_test
