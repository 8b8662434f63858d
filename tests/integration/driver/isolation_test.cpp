// What a kernel and a copy can reach: of the device, nothing but what is their client's.
#include "daemon.hpp"

#include "probe.h"

#include "talus/hw/address_map.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/queue.h"
#include "talus/hw/registers.h"
#include "talus/hw/work.h"

#include <cstring>

namespace talus::driver_sim {
namespace {

/// A client with the probe kernel.
class Prober {
  public:
    explicit Prober(const talus_drv_open_options& options) : session_(options) {
        std::ifstream file(TALUS_TEST_PROBE_KERNEL, std::ios::binary);
        const std::string image{std::istreambuf_iterator<char>(file), {}};
        EXPECT_FALSE(image.empty());
        entry_ = session_.memory(TALUS_DRV_LLS, image.size());
        EXPECT_DRV_OK(talus_drv_copy_in(session_.queue, entry_, image.data(), image.size()));
        arguments_ = session_.memory(TALUS_DRV_DRAM, sizeof(probe_args));
    }

    talus_drv_completion probe(probe_way way, std::uint64_t address = 0, std::uint64_t value = 0,
                               std::uint8_t rows = 1, std::uint8_t row = 0) {
        const probe_args arguments{static_cast<std::uint32_t>(way), 0, address, value};
        EXPECT_DRV_OK(talus_drv_copy_in(session_.queue, arguments_, &arguments, sizeof arguments));
        talus_drv_command command = launch(entry_, rows, rows, 100000);
        command.launch.row = row;
        command.launch.args = arguments_;
        command.launch.args_bytes = sizeof arguments;
        return session_.run({command})[0];
    }

    /// The probe ends in a fault of `cause`.
    void expect_fault(probe_way way, std::uint64_t address, std::uint32_t cause) {
        EXPECT_STATUS(probe(way, address, 0xbad), TALUS_KERNEL_FAULT);
        talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
        ASSERT_DRV_OK(talus_drv_get_fault(session_.queue, &fault));
        EXPECT_EQ(fault.cause, cause) << "way " << way << " at " << std::hex << address;
    }

    /// In none of the ways is [address, address + 64) reached.
    void expect_out_of_reach(std::uint64_t address) {
        SCOPED_TRACE(testing::Message() << "address " << std::hex << address);
        expect_fault(PROBE_LOAD, address, TALUS_CAUSE_LOAD_ACCESS);
        expect_fault(PROBE_STORE, address, TALUS_CAUSE_STORE_ACCESS);
        expect_fault(PROBE_AMO, address, TALUS_CAUSE_STORE_ACCESS);
        expect_fault(PROBE_FETCH, address, TALUS_CAUSE_FETCH_ACCESS);
        expect_fault(PROBE_FLUSH, address, TALUS_CAUSE_STORE_ACCESS);
        expect_fault(PROBE_DMA_IN, address, TALUS_TRAP_FABRIC);
        expect_fault(PROBE_DMA_OUT, address, TALUS_TRAP_FABRIC);
    }

    Session& session() { return session_; }
    std::uint64_t entry() const { return entry_; }

  private:
    Session session_;
    std::uint64_t entry_ = 0;
    std::uint64_t arguments_ = 0;
};

constexpr std::uint64_t kSecret = 0x5ec4e75ec4e75ec4;

/// Memory of a client with the secret in every word.
std::uint64_t secret_of(Session& session, talus_drv_memory kind, std::uint64_t bytes) {
    const std::uint64_t address = session.memory(kind, bytes);
    const std::vector<std::uint64_t> words(bytes / 8, kSecret);
    EXPECT_DRV_OK(talus_drv_copy_in(session.queue, address, words.data(), bytes));
    return address;
}

void expect_secret(Session& session, std::uint64_t address, std::uint64_t bytes) {
    std::vector<std::uint64_t> words(bytes / 8);
    ASSERT_DRV_OK(talus_drv_copy_out(session.queue, words.data(), address, bytes));
    EXPECT_EQ(std::count(words.begin(), words.end(), kSecret), static_cast<long>(words.size()));
}

/// Firmware's memory, and what else no kernel has business with.
void expect_firmware_out_of_reach(Prober& prober) {
    for (const std::uint64_t address :
         {TALUS_LLS_BASE, TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE - 64, TALUS_CONTROL_SRAM_BASE,
          TALUS_CONTROL_SRAM_BASE + TALUS_CONTROL_IMAGE_OFFSET,
          TALUS_CONTROL_SRAM_BASE + TALUS_PE_BOOT_OFFSET, TALUS_STAGING_BASE})
        prober.expect_out_of_reach(address);
    // Of the job records, its own without the descriptor, which says where it runs.
    unsigned reached = 0;
    for (unsigned job = 0; job < TALUS_MAX_JOBS; ++job) {
        const std::uint64_t record =
            TALUS_CONTROL_SRAM_BASE + TALUS_JOBS_OFFSET + job * sizeof(talus_job_record);
        prober.expect_fault(PROBE_STORE, record + offsetof(talus_work, domain) / 8 * 8,
                            TALUS_CAUSE_STORE_ACCESS);
        const talus_drv_completion rest = prober.probe(PROBE_LOAD, record + sizeof(talus_work));
        reached += TALUS_STATUS_BASE(rest.device_status) == TALUS_OK;
    }
    EXPECT_EQ(reached, 1u);
    prober.expect_fault(PROBE_LOAD, TALUS_SYSTEM_BASE + TALUS_SYS_QE, TALUS_CAUSE_LOAD_ACCESS);
    prober.expect_fault(PROBE_STORE, TALUS_SYSTEM_BASE + TALUS_SYS_GRID, TALUS_CAUSE_STORE_ACCESS);
    prober.expect_fault(PROBE_LOAD, TALUS_PE_WINDOW_BASE, TALUS_CAUSE_LOAD_ACCESS);
}

TEST(Isolation, AnOwnersKernelsDoNotReachTheFirmware) {
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    Prober prober(options);
    expect_firmware_out_of_reach(prober);
    const std::uint64_t own = secret_of(prober.session(), TALUS_DRV_DRAM, 4096);
    const talus_drv_completion read = prober.probe(PROBE_LOAD, own + 4088);
    EXPECT_STATUS(read, TALUS_OK);
    EXPECT_EQ(read.result, kSecret);
}

TEST(Isolation, KernelsReachTheirClientsMemoryAlone) {
    const Daemon daemon;
    Prober attacker(daemon.options());
    Prober victim(daemon.options());
    const std::uint64_t bytes = 8 << 20;
    const std::uint64_t dram = secret_of(victim.session(), TALUS_DRV_DRAM, bytes);
    const std::uint64_t lls = secret_of(victim.session(), TALUS_DRV_LLS, 1 << 20);
    attacker.expect_out_of_reach(dram);
    attacker.expect_out_of_reach(dram + bytes - 64);
    attacker.expect_out_of_reach(lls);
    attacker.expect_out_of_reach(victim.entry());
    expect_firmware_out_of_reach(attacker);
    expect_secret(victim.session(), dram, bytes);
    expect_secret(victim.session(), lls, 1 << 20);

    // Its own is there in each of these ways.
    const std::uint64_t own = secret_of(attacker.session(), TALUS_DRV_DRAM, 4096);
    for (const probe_way way : {PROBE_LOAD, PROBE_AMO, PROBE_DMA_IN}) {
        const talus_drv_completion read = attacker.probe(way, own);
        EXPECT_STATUS(read, TALUS_OK);
        EXPECT_EQ(read.result, kSecret);
    }
    EXPECT_STATUS(attacker.probe(PROBE_DMA_OUT, own, 7), TALUS_OK);
    EXPECT_EQ(attacker.probe(PROBE_LOAD, own).result, 7u);
}

TEST(Isolation, CommandsReachTheirClientsMemoryAlone) {
    const Daemon daemon;
    Prober attacker(daemon.options());
    Prober victim(daemon.options());
    const std::uint64_t bytes = 1 << 20;
    const std::uint64_t secret = secret_of(victim.session(), TALUS_DRV_DRAM, bytes);
    const std::uint64_t own = attacker.session().memory(TALUS_DRV_DRAM, bytes);
    const talus_drv_host_buffer host = attacker.session().host(bytes);
    const std::vector<talus_drv_command> copies{
        copy(TALUS_DRV_COPY_H2D, host.iova, secret, 64),
        copy(TALUS_DRV_COPY_D2H, secret, host.iova, bytes),
        copy(TALUS_DRV_COPY_D2D, secret, own, 4096),
        copy(TALUS_DRV_COPY_D2D, own, secret, 4096),
    };
    for (const talus_drv_command& command : copies)
        EXPECT_STATUS(attacker.session().run({command})[0], TALUS_DEVICE_ACCESS);
    // Neither the arguments of a launch, nor its record of performance, nor its text.
    talus_drv_command command = launch(attacker.entry(), 1, 1, 100000);
    command.launch.args = secret;
    command.launch.args_bytes = sizeof(probe_args);
    EXPECT_STATUS(attacker.session().run({command})[0], TALUS_DEVICE_ACCESS);
    command = launch(victim.entry(), 1, 1, 100000);
    EXPECT_STATUS(attacker.session().run({command})[0], TALUS_DEVICE_ACCESS);
    command = launch(attacker.session().load(kernel_that_returns()), 1, 1, 100000);
    command.launch.perf = secret;
    EXPECT_STATUS(attacker.session().run({command})[0], TALUS_DEVICE_ACCESS);
    expect_secret(victim.session(), secret, bytes);
}

TEST(Isolation, ASubGridIsNotEnlarged) {
    const Daemon daemon;
    Prober attacker(daemon.options());
    Prober victim(daemon.options());
    EXPECT_STATUS(victim.probe(PROBE_LEAVE, 0, kSecret, 1, 1), TALUS_OK);
    EXPECT_STATUS(attacker.probe(PROBE_RECTANGLE), TALUS_KERNEL_FAULT);
    talus_drv_fault fault = TALUS_DRV_INIT(talus_drv_fault);
    ASSERT_DRV_OK(talus_drv_get_fault(attacker.session().queue, &fault));
    EXPECT_EQ(fault.cause, TALUS_TRAP_SUBGRID);
}

TEST(Isolation, LocalMemoryIsClearedBetweenClients) {
    const Daemon daemon;
    Prober first(daemon.options());
    Prober second(daemon.options());
    EXPECT_STATUS(first.probe(PROBE_LEAVE, 0, kSecret, 8), TALUS_OK);
    EXPECT_EQ(first.probe(PROBE_FIND).result, kSecret); // one's own is left in peace
    const talus_drv_completion found = second.probe(PROBE_FIND, 0, 0, 8);
    EXPECT_STATUS(found, TALUS_OK);
    EXPECT_EQ(found.result, 0u);
}

TEST(Isolation, WhatAKernelLeavesRunningEndsWithItsClient) {
    const Daemon daemon;
    std::uint64_t address = 0;
    {
        Prober first(daemon.options());
        address = first.session().memory(TALUS_DRV_DRAM, 4096);
        EXPECT_STATUS(first.probe(PROBE_OUTLIVE, address, 0xbad), TALUS_OK);
        EXPECT_EQ(first.probe(PROBE_AMO, address, 0, 1, 1).result, 0xbadu);
    }
    Prober second(daemon.options()); // in the domain that the first had
    std::uint64_t again = 0;
    ASSERT_TRUE(soon([&] {
        again = second.session().memory(TALUS_DRV_DRAM, 4096);
        if (again != address)
            (void)talus_drv_memory_free(second.session().device, again);
        return again == address;
    }));
    for (int i = 0; i < 3; ++i) {
        const talus_drv_completion read = second.probe(PROBE_AMO, address, 0, 1, 1);
        EXPECT_STATUS(read, TALUS_OK);
        EXPECT_EQ(read.result, 0u);
    }
    EXPECT_STATUS(second.probe(PROBE_FIND), TALUS_OK); // its PE works
}

TEST(Isolation, AClientsShareIsLimited) {
    const Daemon daemon({"--dram-per-client", "16MiB", "--launch-limit-us", "200"});
    Prober client(daemon.options());
    talus_drv_device* device = client.session().device;
    std::uint64_t address = 0;
    std::uint64_t none = 0;
    ASSERT_DRV_OK(talus_drv_memory_alloc(device, TALUS_DRV_DRAM, 11 << 20, 0, &address));
    EXPECT_EQ(talus_drv_memory_alloc(device, TALUS_DRV_DRAM, 6 << 20, 0, &none),
              TALUS_DRV_OUT_OF_DEVICE_MEMORY);
    EXPECT_NE(std::string(talus_drv_last_error()).find("--dram-per-client"), std::string::npos)
        << talus_drv_last_error();
    ASSERT_DRV_OK(talus_drv_memory_free(device, address));
    ASSERT_DRV_OK(talus_drv_memory_alloc(device, TALUS_DRV_DRAM, 12 << 20, 0, &address));
    // A kernel that never ends, of a client that sets no limit.
    const std::uint64_t loop = client.session().load(kernel_that_loops());
    EXPECT_STATUS(client.session().run({launch(loop)})[0], TALUS_KERNEL_TIMEOUT);
}

TEST(Isolation, ManyPiecesOfMemory) {
    const Daemon daemon;
    Prober client(daemon.options());
    std::vector<std::uint64_t> pieces;
    for (unsigned i = 0; i < 100; ++i)
        pieces.push_back(client.session().memory(TALUS_DRV_DRAM, std::uint64_t{i + 1} << 14));
    for (const std::uint64_t piece : pieces) {
        EXPECT_STATUS(client.probe(PROBE_STORE, piece, piece), TALUS_OK);
        EXPECT_EQ(client.probe(PROBE_LOAD, piece).result, piece);
    }
    for (const std::uint64_t piece : pieces)
        ASSERT_DRV_OK(talus_drv_memory_free(client.session().device, piece));
    client.expect_fault(PROBE_LOAD, pieces.back(), TALUS_CAUSE_LOAD_ACCESS);
}

} // namespace
} // namespace talus::driver_sim
