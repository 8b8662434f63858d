// A Device from boot to close on a fake transport: what it does in order, and what becomes of
// failures at every step.
#include "device.hpp"

#include "fake_device.hpp"

#include "talus/hw/status.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <numeric>
#include <vector>

namespace talus::driver {
namespace {

using test::FakeState;
using test::FakeTransport;
using test::TemporaryImage;

std::pair<talus_drv_status, std::string> failure(const std::function<void()>& operation) {
    try {
        operation();
    } catch (const Error& error) {
        return {error.status(), error.what()};
    }
    return {TALUS_DRV_OK, ""};
}

#define EXPECT_MENTIONS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

class DeviceTest : public ::testing::Test {
  protected:
    OpenOptions options() const {
        OpenOptions value;
        value.firmware = image_.path();
        return value;
    }
    std::unique_ptr<Device> open() { return open(options()); }
    std::unique_ptr<Device> open(const OpenOptions& options) {
        return std::make_unique<Device>(std::make_unique<FakeTransport>(state_), "fake", options);
    }

    talus_drv_command nop(std::uint64_t tag = 0) const {
        talus_drv_command command{};
        command.opcode = TALUS_DRV_NOP;
        command.user_data = tag;
        return command;
    }
    talus_drv_command copy(std::uint32_t opcode, std::uint64_t source, std::uint64_t destination,
                           std::uint64_t bytes) const {
        talus_drv_command command{};
        command.opcode = opcode;
        command.copy = {source, destination, bytes, 0, 0, 0};
        return command;
    }
    talus_drv_command launch() const {
        talus_drv_command command{};
        command.opcode = TALUS_DRV_LAUNCH;
        command.launch.entry = 0x40100000;
        return command;
    }
    // Submits and waits for all; the completions.
    std::vector<talus_drv_completion> run(IoQueue* queue,
                                          const std::vector<talus_drv_command>& commands) {
        queue->submit(commands, {});
        std::vector<talus_drv_completion> completions(commands.size());
        std::size_t count = 0;
        queue->wait(completions, commands.size(), count, 0);
        completions.resize(count);
        return completions;
    }

    FakeState state_;
    TemporaryImage image_;
};

// ---- Boot ----

TEST_F(DeviceTest, BootsAndIdentifies) {
    const auto device = open();
    EXPECT_EQ(state_.boot_state, static_cast<std::uint32_t>(TALUS_BOOT_READY));
    const talus_drv_device_info info = device->info();
    EXPECT_STREQ(info.name, "fake");
    EXPECT_STREQ(info.firmware_version, "9.8.7");
    EXPECT_STREQ(info.boot_state_name, "READY");
    EXPECT_EQ(info.simulated, 1u);
    EXPECT_EQ(info.grid_rows, 8u);
    EXPECT_EQ(info.clock_hz, 1350000000u);
    EXPECT_EQ(info.dram_base, TALUS_DRAM_BASE);
    EXPECT_EQ(info.shadow_doorbells, 1u);
    // The image stands in staging as it is in the file.
    talus_image_header header{};
    std::memcpy(&header, state_.staging.data(), sizeof header);
    EXPECT_EQ(header.magic[0], TALUS_IMAGE_MAGIC_0);
}

TEST_F(DeviceTest, RunningFirmwareIsNotBootedAgain) {
    state_.boot_state = TALUS_BOOT_READY;
    OpenOptions no_image = options();
    no_image.firmware = "/nonexistent";
    EXPECT_NO_THROW(open(no_image));
    EXPECT_EQ(state_.fundamental_resets, 0u);
}

TEST_F(DeviceTest, RunningFirmwareOfAnotherBundleIsReplaced) {
    state_.boot_state = TALUS_BOOT_READY;
    state_.firmware_contract_hash = 1;
    const auto device = open();
    EXPECT_EQ(state_.fundamental_resets, 1u);
    EXPECT_EQ(state_.boot_state, static_cast<std::uint32_t>(TALUS_BOOT_READY));
}

TEST_F(DeviceTest, PanickedFirmwareIsReplaced) {
    state_.boot_state = TALUS_BOOT_PANIC;
    EXPECT_NO_THROW(open());
    EXPECT_EQ(state_.fundamental_resets, 1u);
}

TEST_F(DeviceTest, FailedBootCanBeRetried) {
    state_.boot_state = TALUS_BOOT_FAILED;
    EXPECT_NO_THROW(open());
}

TEST_F(DeviceTest, NoDmaAndNoBusMasterBeforeTheFirmwareRuns) {
    state_.on_operation = [&](const char* operation) {
        if (state_.boot_state != TALUS_BOOT_READY) {
            EXPECT_STRNE(operation, "dma_map");
            EXPECT_FALSE(state_.bus_master);
        }
    };
    EXPECT_NO_THROW(open());
}

TEST_F(DeviceTest, CorruptImageNamesTheCodeAndTheLog) {
    state_.verify_status = TALUS_IMAGE_HASH;
    state_.write_log("rom: segment 1 hash mismatch\n");
    const auto [status, text] = failure([&] { open(); });
    EXPECT_EQ(status, TALUS_DRV_FIRMWARE);
    EXPECT_MENTIONS(text, "SHA-256 mismatch");
    EXPECT_MENTIONS(text, "FAILED");
    EXPECT_MENTIONS(text, "segment 1 hash mismatch");
    EXPECT_MENTIONS(text, image_.path());
    // And the next try with a good image works.
    state_.verify_status = TALUS_OK;
    EXPECT_NO_THROW(open());
}

TEST_F(DeviceTest, RomRefusalOfTheContractIsAVersionMismatch) {
    state_.load_status = TALUS_IMAGE_CONTRACT;
    EXPECT_EQ(failure([&] { open(); }).first, TALUS_DRV_VERSION_MISMATCH);
}

TEST_F(DeviceTest, FirmwareThatDoesNotStartNamesWhy) {
    state_.boot_status = TALUS_PE_BOOT;
    const auto [status, text] = failure([&] { open(); });
    EXPECT_EQ(status, TALUS_DRV_FIRMWARE);
    EXPECT_MENTIONS(text, "a PE did not start");
}

TEST_F(DeviceTest, BootThatHangsTimesOut) {
    state_.boot_hangs = true;
    state_.clock_step = 20'000'000;
    const auto [status, text] = failure([&] { open(); });
    EXPECT_EQ(status, TALUS_DRV_TIMEOUT);
    EXPECT_MENTIONS(text, "STARTING");
}

TEST_F(DeviceTest, ImageOfAnotherContractIsRefusedBeforeItIsPushed) {
    const TemporaryImage other([](talus_image_header& header) { header.contract_hash ^= 1; });
    OpenOptions with_other = options();
    with_other.firmware = other.path();
    const auto [status, text] = failure([&] { open(with_other); });
    EXPECT_EQ(status, TALUS_DRV_VERSION_MISMATCH);
    EXPECT_MENTIONS(text, "bundle");
    EXPECT_EQ(state_.boot_state, static_cast<std::uint32_t>(TALUS_BOOT_ROM_READY));
}

TEST_F(DeviceTest, FilesThatAreNoImagesAreRefused) {
    const TemporaryImage no_magic([](talus_image_header& header) { header.magic[0] = 0; });
    const TemporaryImage truncated([](talus_image_header& header) { header.image_bytes = 100000; });
    for (const std::string& path : {no_magic.path(), truncated.path(), std::string("/dev/null")}) {
        OpenOptions with = options();
        with.firmware = path;
        const auto [status, text] = failure([&] { open(with); });
        EXPECT_NE(status, TALUS_DRV_OK);
        EXPECT_MENTIONS(text, path);
    }
    EXPECT_EQ(failure([&] { read_boot_image(no_magic.path()); }).first, TALUS_DRV_FIRMWARE);
    EXPECT_EQ(failure([&] { read_boot_image(truncated.path()); }).first, TALUS_DRV_FIRMWARE);
    EXPECT_EQ(failure([&] { read_boot_image("/nonexistent"); }).first, TALUS_DRV_NOT_FOUND);
}

TEST_F(DeviceTest, DeviceOfAnotherContractIsRefused) {
    state_.contract_hash ^= std::uint64_t{1} << 63;
    const auto [status, text] = failure([&] { open(); });
    EXPECT_EQ(status, TALUS_DRV_VERSION_MISMATCH);
    EXPECT_MENTIONS(text, "one bundle");
}

TEST_F(DeviceTest, DeviceOfAnotherAbiIsRefused) {
    state_.abi_version = 0x00020000;
    const auto [status, text] = failure([&] { open(); });
    EXPECT_EQ(status, TALUS_DRV_VERSION_MISMATCH);
    EXPECT_MENTIONS(text, "2.0");
    state_.abi_version = TALUS_ABI_VERSION + 7; // a later minor is fine
    EXPECT_NO_THROW(open());
}

TEST_F(DeviceTest, SurpriseRemovalIsALostDevice) {
    state_.all_ones = true;
    EXPECT_EQ(failure([&] { open(); }).first, TALUS_DRV_DEVICE_LOST);
}

TEST_F(DeviceTest, InspectionTouchesNothing) {
    OpenOptions inspect = options();
    inspect.boot = false;
    const auto device = open(inspect);
    EXPECT_EQ(state_.boot_state, static_cast<std::uint32_t>(TALUS_BOOT_ROM_READY));
    EXPECT_STREQ(device->info().boot_state_name, "ROM_READY");
    EXPECT_STREQ(device->info().firmware_version, "");
    EXPECT_EQ(device->telemetry().temperature_mc, 41500);
    EXPECT_EQ(device->telemetry().ecc_corrected[TALUS_ECC_DRAM], 5u);
    EXPECT_EQ(device->telemetry().ecc_uncorrectable[TALUS_ECC_LOCAL], 6u);
    EXPECT_EQ(failure([&] { device->create_queue(0, WaitBy::kPoll); }).first,
              TALUS_DRV_UNSUPPORTED);
    EXPECT_EQ(failure([&] { device->host_allocate(64, 64); }).first, TALUS_DRV_UNSUPPORTED);
    EXPECT_EQ(failure([&] { device->memory_allocate(TALUS_DRV_DRAM, 64, 64); }).first,
              TALUS_DRV_UNSUPPORTED);
    state_.boot_state = TALUS_BOOT_READY;
    EXPECT_STREQ(device->info().firmware_version, "9.8.7"); // by mailbox
    EXPECT_TRUE(state_.dma.empty());
}

// ---- Work ----

class WorkTest : public DeviceTest, public ::testing::WithParamInterface<std::pair<bool, WaitBy>> {
  protected:
    void SetUp() override {
        OpenOptions with = options();
        with.shadow = GetParam().first;
        with.wait_by = GetParam().second;
        device_ = open(with);
        queue_ = device_->create_queue(16, GetParam().second);
    }
    std::unique_ptr<Device> device_;
    IoQueue* queue_ = nullptr;
};

TEST_P(WorkTest, CopiesThereAndBack) {
    const DmaBuffer host = device_->host_allocate(10000, 64);
    const std::uint64_t dram = device_->memory_allocate(TALUS_DRV_DRAM, 20000, 0);
    for (std::size_t i = 0; i < 5000; ++i)
        host.pointer[i] = static_cast<std::byte>(i * 3);
    const auto completions =
        run(queue_, {copy(TALUS_DRV_COPY_H2D, host.iova, dram, 5000),
                     copy(TALUS_DRV_COPY_D2D, dram, dram + 5000, 5000), launch(),
                     copy(TALUS_DRV_COPY_D2H, dram + 5000, host.iova + 5000, 5000)});
    ASSERT_EQ(completions.size(), 4u);
    for (const auto& completion : completions)
        EXPECT_EQ(completion.device_status, TALUS_OK);
    EXPECT_EQ(completions[0].result, 5000u);
    EXPECT_EQ(completions[2].result, 0x40100000u);
    EXPECT_EQ(completions[2].launch_cycles, 77u);
    EXPECT_EQ(std::memcmp(host.pointer, host.pointer + 5000, 5000), 0);
    EXPECT_EQ(std::memcmp(state_.dram.data() + 5000, host.pointer, 5000), 0);
}

TEST_P(WorkTest, OneDoorbellPerBatchAndOneEnd) {
    std::size_t before = state_.doorbells.size();
    state_.commands.clear();
    run(queue_, std::vector<talus_drv_command>(10, nop()));
    const auto rings = std::count_if(
        state_.doorbells.begin() + static_cast<long>(before), state_.doorbells.end(),
        [](const auto& w) { return w.offset % TALUS_DOORBELL_STRIDE == TALUS_DOORBELL_SQ_TAIL; });
    EXPECT_EQ(rings, 1);
    ASSERT_EQ(state_.commands.size(), 10u);
    for (std::size_t i = 0; i < 10; ++i)
        EXPECT_EQ(state_.commands[i].flags, i == 9 ? TALUS_SQE_BATCH_END : 0);
}

TEST_P(WorkTest, ManyLapsOfTheRing) {
    std::uint64_t tag = 0;
    for (int round = 0; round < 100; ++round) {
        std::vector<talus_drv_command> batch;
        for (int i = 0; i < 1 + round % 15; ++i)
            batch.push_back(nop(tag + batch.size()));
        for (const auto& completion : run(queue_, batch))
            EXPECT_EQ(completion.user_data, tag++);
    }
    EXPECT_EQ(queue_->in_flight(), 0u);
}

TEST_P(WorkTest, FullQueueTakesNothing) {
    state_.mute = true;
    const std::vector<talus_drv_command> batch(14, nop());
    queue_->submit(batch, {});
    const std::vector<talus_drv_command> two(2, nop());
    EXPECT_EQ(failure([&] { queue_->submit(two, {}); }).first, TALUS_DRV_QUEUE_FULL);
    EXPECT_EQ(queue_->in_flight(), 14u);
    EXPECT_NO_THROW(queue_->submit({two.data(), 1}, {}));
}

TEST_P(WorkTest, FailedCommandIsACompletion) {
    const auto completions = run(queue_, {copy(TALUS_DRV_COPY_D2D, 0, 0, 64)});
    ASSERT_EQ(completions.size(), 1u);
    EXPECT_EQ(completions[0].device_status, TALUS_DEVICE_ACCESS);
    EXPECT_EQ(run(queue_, {nop()})[0].device_status, TALUS_OK);
}

TEST_P(WorkTest, CommandsReachBuffersButNotTheRings) {
    // Every queue and shadow page is mapped at the device, and outside the command domain's
    // windows.
    const DmaBuffer host = device_->host_allocate(64, 64);
    const std::uint64_t dram = device_->memory_allocate(TALUS_DRV_DRAM, 64, 0);
    for (const auto& [iova, mapping] : state_.dma) {
        const bool data = host.iova >= iova && host.iova < iova + mapping.bytes;
        const auto completion = run(queue_, {copy(TALUS_DRV_COPY_D2H, dram, iova, 64)})[0];
        EXPECT_EQ(completion.device_status, data ? TALUS_OK : TALUS_WINDOW_MISS);
    }
    EXPECT_EQ(state_.dma.size(), 2u);
}

TEST_P(WorkTest, ScatterListsAreCarried) {
    const DmaBuffer host = device_->host_allocate(4096, 64);
    const std::uint64_t dram = device_->memory_allocate(TALUS_DRV_DRAM, 64, 0);
    const talus_drv_sgl_entry list[] = {{host.iova + 1000, 3, 0}, {host.iova + 2000, 5, 0}};
    std::memcpy(host.pointer, list, sizeof list);
    std::memcpy(host.pointer + 1000, "abc", 3);
    std::memcpy(host.pointer + 2000, "defgh", 5);
    talus_drv_command command = copy(TALUS_DRV_COPY_H2D, host.iova, dram, 8);
    command.copy.sgl_count = 2;
    EXPECT_EQ(run(queue_, {command})[0].device_status, TALUS_OK);
    EXPECT_EQ(std::memcmp(state_.dram.data(), "abcdefgh", 8), 0);
}

TEST_P(WorkTest, GzipMembersAreCarried) {
    const std::uint64_t host = device_->host_allocate(4096, 64).iova;
    const std::uint64_t dram = device_->memory_allocate(TALUS_DRV_DRAM, 64, 0);
    EXPECT_EQ(device_->info().gzip, 1u);
    talus_drv_command command = copy(TALUS_DRV_COPY_H2D, host, dram, 64);
    command.copy.gzip_bytes = 0x123456789; // means nothing without the flag
    run(queue_, {command});
    EXPECT_EQ(state_.commands.back().u.copy.gzip_bytes, 0u);
    EXPECT_EQ(state_.commands.back().u.copy.kind, TALUS_COPY_H2D);
    command.flags = TALUS_DRV_COMMAND_GZIP;
    run(queue_, {command});
    EXPECT_EQ(state_.commands.back().u.copy.gzip_bytes, 0x123456789u);
    EXPECT_EQ(state_.commands.back().u.copy.bytes, 64u);
    EXPECT_EQ(state_.commands.back().u.copy.kind, TALUS_COPY_H2D | TALUS_COPY_GZIP);
    command.copy.sgl_count = 1;
    run(queue_, {command});
    EXPECT_EQ(state_.commands.back().u.copy.kind,
              TALUS_COPY_H2D | TALUS_COPY_GZIP | TALUS_COPY_SGL);
}

TEST_F(DeviceTest, WithoutAGzipEngineTheDriverRefuses) {
    state_.capabilities = TALUS_CAP_SHADOW | TALUS_CAP_SIMULATED;
    const auto device = open();
    EXPECT_EQ(device->info().gzip, 0u);
    IoQueue* queue = device->create_queue(16, WaitBy::kPoll);
    talus_drv_command command = copy(TALUS_DRV_COPY_H2D, 0x1000, TALUS_DRAM_BASE, 64);
    command.flags = TALUS_DRV_COMMAND_GZIP;
    command.copy.gzip_bytes = 30;
    state_.commands.clear();
    const std::vector<talus_drv_command> batch = {nop(), command};
    const auto [status, text] = failure([&] { queue->submit(batch, {}); });
    EXPECT_EQ(status, TALUS_DRV_UNSUPPORTED);
    EXPECT_MENTIONS(text, "no GZIP engine");
    EXPECT_TRUE(state_.commands.empty());
}

TEST_P(WorkTest, SynchronousCopiesOfAnyMemory) {
    std::vector<std::byte> data(500'000);
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::byte>(i ^ i >> 8);
    const std::uint64_t dram = device_->memory_allocate(TALUS_DRV_DRAM, data.size(), 4096);
    queue_->copy_in(dram, data.data(), data.size());
    std::vector<std::byte> back(data.size());
    queue_->copy_out(back.data(), dram, back.size());
    EXPECT_EQ(back, data);
    const std::vector<std::byte> too_much(2 << 20); // the fake has 1 MiB of DRAM
    EXPECT_EQ(failure([&] { queue_->copy_in(dram, too_much.data(), too_much.size()); }).first,
              TALUS_DRV_COMMAND_FAILED);
}

TEST_P(WorkTest, FailedSynchronousCopySaysWhy) {
    std::byte byte{};
    const auto [status, text] = failure([&] { queue_->copy_in(0x1234, &byte, 1); });
    EXPECT_EQ(status, TALUS_DRV_COMMAND_FAILED);
    EXPECT_MENTIONS(text, "device address outside memory");
}

TEST_P(WorkTest, NonsenseIsRefusedBeforeTheRing) {
    std::vector<talus_drv_command> bad;
    bad.push_back(copy(TALUS_DRV_COPY_H2D, 0, 0, 0)); // no bytes
    bad.push_back(copy(99, 0, 0, 1));                 // no such opcode
    bad.push_back(copy(TALUS_DRV_COPY_D2D, 0, 0, 1));
    bad.back().copy.sgl_count = 1; // no list within the device
    bad.push_back(copy(TALUS_DRV_COPY_H2D, 0, 0, 1));
    bad.back().copy.sgl_count = TALUS_MAX_SGL + 1;
    bad.push_back(launch());
    bad.back().launch.args_bytes = TALUS_MAX_ARGS_BYTES + 1;
    bad.back().launch.args = 64;
    bad.push_back(launch());
    bad.back().launch.args = 32; // misaligned
    bad.back().launch.args_bytes = 8;
    bad.push_back(launch());
    bad.back().launch.args_bytes = 8; // nowhere
    bad.push_back(launch());
    bad.back().launch.rows = 9;
    bad.back().launch.cols = 1;
    bad.push_back(launch());
    bad.back().launch.row = 255;
    bad.back().launch.rows = 255;
    bad.back().launch.cols = 1;
    bad.push_back(launch());
    bad.back().launch.rows = 1; // without columns
    bad.push_back(nop());
    bad.back().flags = TALUS_DRV_COMMAND_GZIP;
    for (const std::uint32_t opcode : {TALUS_DRV_COPY_D2H, TALUS_DRV_COPY_D2D}) {
        bad.push_back(copy(opcode, 1, 1, 1));
        bad.back().flags = TALUS_DRV_COMMAND_GZIP;
        bad.back().copy.gzip_bytes = 1;
    }
    bad.push_back(copy(TALUS_DRV_COPY_H2D, 1, 1, 1)); // a member of no bytes
    bad.back().flags = TALUS_DRV_COMMAND_GZIP;
    bad.push_back(copy(TALUS_DRV_COPY_H2D, 1, 1, 1));
    bad.back().flags = 2;
    state_.commands.clear();
    for (const talus_drv_command& command : bad) {
        const std::vector<talus_drv_command> batch = {nop(), command};
        EXPECT_EQ(failure([&] { queue_->submit(batch, {}); }).first, TALUS_DRV_INVALID_ARGUMENT);
    }
    EXPECT_TRUE(state_.commands.empty()); // all or none
    EXPECT_EQ(queue_->in_flight(), 0u);
}

TEST_P(WorkTest, LaunchCoversTheWholeGridByDefault) {
    state_.commands.clear();
    talus_drv_command part = launch();
    part.launch.row = 2;
    part.launch.col = 3;
    part.launch.rows = 6;
    part.launch.cols = 5;
    run(queue_, {launch(), part});
    EXPECT_EQ(state_.commands[0].u.launch.rows, 8);
    EXPECT_EQ(state_.commands[0].u.launch.cols, 8);
    EXPECT_EQ(state_.commands[1].u.launch.row0, 2);
    EXPECT_EQ(state_.commands[1].u.launch.cols, 5);
}

// ---- Hostile and dying devices ----

TEST_P(WorkTest, TimeoutLeavesTheCommandInFlight) {
    state_.mute = true;
    state_.clock_step = 1'000'000;
    const talus_drv_command command = nop(5);
    queue_->submit({&command, 1}, {});
    talus_drv_completion completion{};
    std::size_t count = 7;
    const auto [status, text] = failure([&] { queue_->wait({&completion, 1}, 1, count, 10'000); });
    EXPECT_EQ(status, TALUS_DRV_TIMEOUT);
    EXPECT_MENTIONS(text, "fake");
    EXPECT_MENTIONS(text, "READY");
    EXPECT_EQ(count, 0u);
    EXPECT_EQ(queue_->in_flight(), 1u);
    // It completes late, and is taken then.
    talus_cqe late{};
    late.qid = static_cast<std::uint16_t>(queue_->qid());
    late.cid = state_.commands.back().cid;
    state_.post(late.qid, late);
    queue_->wait({&completion, 1}, 1, count, 0);
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(completion.user_data, 5u);
}

TEST_P(WorkTest, DeathDuringAWaitIsALostDeviceForEver) {
    state_.write_log("control: about to do something brave\n");
    (void)device_->telemetry(); // the last that is heard of it
    state_.mute = true;
    const talus_drv_command command = nop();
    queue_->submit({&command, 1}, {});
    int looks = 0;
    state_.on_operation = [&](const char*) { state_.gone = ++looks > 20; };
    talus_drv_completion completion{};
    std::size_t count = 0;
    const auto [status, text] = failure([&] { queue_->wait({&completion, 1}, 1, count, 0); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
    EXPECT_MENTIONS(text, "fake");
    state_.on_operation = nullptr;
    state_.gone = true;
    std::byte byte{};
    for (const auto& operation : std::vector<std::function<void()>>{
             [&] {
                 queue_->submit({&command, 1}, {});
             },
             [&] {
                 queue_->wait({&completion, 1}, 1, count, 0);
             },
             [&] {
                 queue_->poll({&completion, 1}, count);
             },
             [&] { queue_->copy_in(0, &byte, 1); },
             [&] { device_->create_queue(0, WaitBy::kPoll); }, [&] { (void)device_->info(); },
             [&] { (void)device_->memory_allocate(TALUS_DRV_DRAM, 64, 0); }}) {
        const auto [again, message] = failure(operation);
        EXPECT_EQ(again, TALUS_DRV_DEVICE_LOST);
        EXPECT_MENTIONS(message, "BOOT_STATE READY");
    }
}

TEST_P(WorkTest, CompletionsBeforeAnErrorAreDelivered) {
    state_.on_io = [](const talus_sqe& entry, talus_cqe& answer) {
        if (entry.opcode == TALUS_IO_LAUNCH)
            answer.cid = 0x3ff;
        return true;
    };
    const std::vector<talus_drv_command> batch = {nop(1), nop(2), launch()};
    queue_->submit(batch, {});
    std::vector<talus_drv_completion> completions(3);
    std::size_t count = 0;
    const auto [status, text] = failure([&] { queue_->wait(completions, 3, count, 0); });
    EXPECT_EQ(status, TALUS_DRV_PROTOCOL);
    EXPECT_MENTIONS(text, "fake");
    EXPECT_EQ(count, 2u);
    EXPECT_EQ(completions[1].user_data, 2u);
    // The queue is of no further use; the device is.
    EXPECT_EQ(failure([&] { queue_->poll(completions, count); }).first, TALUS_DRV_PROTOCOL);
    state_.on_io = nullptr;
    EXPECT_EQ(run(device_->create_queue(4, WaitBy::kSleep), {nop()}).size(), 1u);
}

TEST_P(WorkTest, AllOnesCompletionIsAProtocolError) {
    state_.on_io = [](const talus_sqe&, talus_cqe& answer) {
        std::memset(&answer, 0xff, sizeof answer);
        return true;
    };
    const talus_drv_command command = nop();
    queue_->submit({&command, 1}, {});
    talus_drv_completion completion{};
    std::size_t count = 0;
    EXPECT_EQ(failure([&] {
                  queue_->wait({&completion, 1}, 1, count, 0);
              }).first,
              TALUS_DRV_PROTOCOL);
}

TEST_P(WorkTest, ResetRecoversAHungDevice) {
    const DmaBuffer host = device_->host_allocate(64, 64);
    state_.mute = true;
    state_.clock_step = 1'000'000;
    const talus_drv_command command = nop();
    queue_->submit({&command, 1}, {});
    talus_drv_completion completion{};
    std::size_t count = 0;
    EXPECT_EQ(failure([&] {
                  queue_->wait({&completion, 1}, 1, count, 1000);
              }).first,
              TALUS_DRV_TIMEOUT);
    const std::uint64_t before = device_->memory_allocate(TALUS_DRV_DRAM, 64, 0);
    device_->reset();
    EXPECT_EQ(state_.resets, 1u);
    EXPECT_EQ(state_.fundamental_resets, 0u); // the firmware lives on
    const auto [status, text] = failure([&] { queue_->submit({&command, 1}, {}); });
    EXPECT_EQ(status, TALUS_DRV_DEVICE_LOST);
    EXPECT_MENTIONS(text, "reset");
    // Device memory is free again, host buffers and their windows live on.
    EXPECT_EQ(failure([&] { device_->memory_free(before); }).first, TALUS_DRV_INVALID_ARGUMENT);
    const std::uint64_t dram = device_->memory_allocate(TALUS_DRV_DRAM, 64, 0);
    IoQueue* fresh = device_->create_queue(16, GetParam().second);
    EXPECT_EQ(fresh->qid(), 1u); // the stale queue holds no id
    device_->destroy_queue(queue_);
    EXPECT_TRUE(state_.queues[1].live); // nor takes the fresh one with it
    EXPECT_EQ(run(fresh, {copy(TALUS_DRV_COPY_H2D, host.iova, dram, 64)})[0].device_status,
              TALUS_OK);
}

TEST_P(WorkTest, ResetReplacesFirmwareThatDoesNotSurviveIt) {
    state_.mute = state_.firmware_is_hung = true;
    state_.clock_step = 20'000'000;
    device_->reset();
    EXPECT_EQ(state_.resets, 1u);
    EXPECT_EQ(state_.fundamental_resets, 1u);
    EXPECT_EQ(run(device_->create_queue(4, GetParam().second), {nop()}).size(), 1u);
}

TEST_P(WorkTest, DestroyAbortsWhatIsInFlight) {
    const talus_drv_command command = nop();
    state_.on_io = [](const talus_sqe&, talus_cqe&) { return false; };
    queue_->submit({&command, 1}, {});
    queue_->submit({&command, 1}, {});
    state_.commands.clear();
    device_->destroy_queue(queue_);
    ASSERT_EQ(state_.commands.size(), 3u);
    EXPECT_EQ(state_.commands[0].opcode, TALUS_ADMIN_ABORT);
    EXPECT_EQ(state_.commands[1].opcode, TALUS_ADMIN_ABORT);
    EXPECT_EQ(state_.commands[2].opcode, TALUS_ADMIN_DELETE_QUEUE);
    EXPECT_FALSE(state_.queues[1].live);
}

TEST_P(WorkTest, FaultRecordIsFetched) {
    EXPECT_EQ(failure([&] { (void)queue_->fault(); }).first, TALUS_DRV_NOT_FOUND);
    state_.fault.valid = TALUS_FAULT_VALID;
    state_.fault.status = TALUS_KERNEL_FAULT;
    state_.fault.pc = 0x40100010;
    state_.fault.kernel_entry = 0x40100000;
    state_.fault.row = 3;
    state_.fault.core = 1;
    state_.fault.detail[3] = 9;
    const talus_drv_fault fault = queue_->fault();
    EXPECT_EQ(fault.pc, 0x40100010u);
    EXPECT_EQ(fault.row, 3);
    EXPECT_EQ(fault.core, 1u);
    EXPECT_EQ(fault.detail[3], 9u);
    EXPECT_EQ(fault.device_status, TALUS_KERNEL_FAULT);
}

INSTANTIATE_TEST_SUITE_P(Roads, WorkTest,
                         ::testing::Values(std::pair{true, WaitBy::kSleep},
                                           std::pair{true, WaitBy::kPoll},
                                           std::pair{false, WaitBy::kSleep},
                                           std::pair{false, WaitBy::kPoll}),
                         [](const auto& info) {
                             return std::string(info.param.first ? "Shadow" : "Bar") +
                                    (info.param.second == WaitBy::kPoll ? "Poll" : "Interrupt");
                         });

// ---- Shadow doorbells end to end ----

TEST_F(DeviceTest, AwakeDeviceNeedsNoDoorbell) {
    const auto device = open();
    IoQueue* queue = device->create_queue(16, WaitBy::kPoll);
    run(queue, {nop()}); // wakes it
    state_.sleeps = false;
    run(queue, {nop()});
    const std::size_t before = state_.doorbells.size();
    const talus_drv_command command = nop(42);
    queue->submit({&command, 1}, {});
    EXPECT_EQ(state_.doorbells.size(), before);
    state_.poll_shadow(); // the device looks by itself
    talus_drv_completion completion{};
    std::size_t count = 0;
    queue->poll({&completion, 1}, count);
    EXPECT_EQ(count, 1u);
    EXPECT_EQ(completion.user_data, 42u);
}

TEST_F(DeviceTest, DeviceWithoutTheCapabilityGetsPlainDoorbells) {
    state_.capabilities = 0;
    const auto device = open();
    EXPECT_EQ(device->info().shadow_doorbells, 0u);
    EXPECT_EQ(device->info().simulated, 0u);
    EXPECT_EQ(state_.shadow_iova, 0u);
    EXPECT_EQ(run(device->create_queue(16, WaitBy::kSleep), {nop(), nop()}).size(), 2u);
}

TEST_F(DeviceTest, QueueIdIsReusedWithCleanDoorbells) {
    const auto device = open();
    for (int round = 0; round < 5; ++round) {
        IoQueue* queue = device->create_queue(16, WaitBy::kSleep);
        EXPECT_EQ(queue->qid(), 1u);
        for (int i = 0; i < 7; ++i)
            EXPECT_EQ(run(queue, {nop()}).size(), 1u);
        device->destroy_queue(queue);
    }
}

TEST_F(DeviceTest, DeviceWithoutInterruptsIsPolled) {
    state_.vectors = 0;
    const auto device = open();
    EXPECT_EQ(run(device->create_queue(16, WaitBy::kSleep), {nop()}).size(), 1u);
}

// ---- Queues and memory ----

TEST_F(DeviceTest, QueuesRunOut) {
    const auto device = open();
    for (std::uint32_t i = 1; i < TALUS_MAX_QUEUES; ++i)
        device->create_queue(2, WaitBy::kPoll);
    EXPECT_EQ(failure([&] { device->create_queue(2, WaitBy::kPoll); }).first, TALUS_DRV_BUSY);
    for (const std::uint32_t entries : {1u, 3u, 2048u})
        EXPECT_EQ(failure([&] { device->create_queue(entries, WaitBy::kPoll); }).first,
                  TALUS_DRV_INVALID_ARGUMENT);
}

TEST_F(DeviceTest, DeviceMemoryRunsOutAndComesBack) {
    const auto device = open();
    std::uint64_t used = 0;
    std::uint64_t total = 0;
    const std::uint64_t all = device->memory_allocate(TALUS_DRV_DRAM, 1 << 20, 0);
    EXPECT_EQ(all, TALUS_DRAM_BASE);
    device->memory_usage(TALUS_DRV_DRAM, used, total);
    EXPECT_EQ(used, total);
    const auto [status, text] = failure([&] { device->memory_allocate(TALUS_DRV_DRAM, 1, 0); });
    EXPECT_EQ(status, TALUS_DRV_OUT_OF_DEVICE_MEMORY);
    EXPECT_MENTIONS(text, "1048576 of 1048576");
    device->memory_free(all);
    EXPECT_EQ(failure([&] { device->memory_free(all); }).first, TALUS_DRV_INVALID_ARGUMENT);
    EXPECT_EQ(device->memory_allocate(TALUS_DRV_LLS, 64, 0),
              TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE);
    EXPECT_EQ(failure([&] { device->memory_allocate(TALUS_DRV_LLS, 64, 3); }).first,
              TALUS_DRV_INVALID_ARGUMENT);
    EXPECT_EQ(
        failure([&] { device->memory_allocate(static_cast<talus_drv_memory>(7), 64, 0); }).first,
        TALUS_DRV_INVALID_ARGUMENT);
}

TEST_F(DeviceTest, CloseStopsTheDeviceBeforeItUnmaps) {
    auto device = open();
    device->create_queue(16, WaitBy::kSleep);
    (void)device->host_allocate(64, 64);
    bool unmapped = false;
    state_.on_operation = [&](const char* operation) {
        if (std::strcmp(operation, "dma_unmap") == 0) {
            unmapped = true;
            EXPECT_FALSE(state_.bus_master);
            EXPECT_FALSE(state_.queues[0].live);
        }
    };
    device.reset();
    EXPECT_TRUE(unmapped);
    EXPECT_TRUE(state_.dma.empty());
}

TEST_F(DeviceTest, LogIsReadOldestLineFirst) {
    const auto device = open();
    EXPECT_EQ(device->log(), "");
    state_.write_log("first\nsecond\n", 64);
    EXPECT_EQ(device->log(), "first\nsecond\n");
    for (int i = 0; i < 20; ++i)
        state_.write_log("line " + std::to_string(10 + i) + "\n", 64);
    // 64 bytes hold eight lines of eight bytes; the fragment at the front is dropped.
    const std::string log = device->log();
    EXPECT_EQ(log.find("line 2"), 0u) << log;
    EXPECT_EQ(log.substr(log.size() - 8), "line 29\n");
    state_.write_log(std::string("\x1b[31m\x00\xff\n", 8), 64);
    EXPECT_EQ(device->log().find('\x1b'), std::string::npos); // no escape codes for the terminal
}

TEST_F(DeviceTest, HostileLogHeaderIsNoLog) {
    const auto device = open();
    state_.write_log("text\n");
    auto* header =
        reinterpret_cast<talus_log_header*>(state_.staging.data() + TALUS_STAGING_LOG_OFFSET);
    for (const std::uint32_t capacity : {0u, 0x10000u, 0xffffffffu}) {
        header->capacity = capacity;
        EXPECT_EQ(device->log(), "");
    }
    header->capacity = 64;
    header->written = ~0ull; // a counter that is about to wrap
    EXPECT_LE(device->log().size(), 64u);
}

} // namespace
} // namespace talus::driver
