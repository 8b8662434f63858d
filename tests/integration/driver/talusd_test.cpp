// talusd: several processes on one device, and that none of them can hurt another.
#include "daemon.hpp"

#include "talusd/channel.hpp"

#include "talus/hw/contract_hash.h"
#include "talus/hw/pci.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

namespace talus::driver_sim {
namespace {

using namespace driver::daemon;
using driver::UniqueFd;
using namespace std::chrono_literals;

/// A client that speaks the protocol by hand, and so need not keep to it.
class RawClient {
  public:
    explicit RawClient(const std::string& socket) : channel_(Channel::connect(socket)) {}

    struct Answer {
        bool ended = false;
        Reply reply;
        std::vector<std::byte> data;
        UniqueFd descriptor;
        std::string text() const {
            return {reinterpret_cast<const char*>(data.data()), data.size()};
        }
    };

    Answer call(const Request& request, int descriptor = -1) {
        Answer answer;
        if (!channel_.send(request, descriptor)) {
            answer.ended = true;
            return answer;
        }
        return take();
    }
    Answer take() {
        Answer answer;
        pollfd entry{channel_.fd(), POLLIN, 0};
        while (poll(&entry, 1, 20000) == 1) {
            const auto got = channel_.receive(answer.reply, answer.data, answer.descriptor);
            if (got == Channel::Got::kNothing)
                continue;
            answer.ended = got == Channel::Got::kEnd;
            if (!answer.ended && answer.reply.kind == Kind::kWorking) {
                ++working;
                continue;
            }
            return answer;
        }
        ADD_FAILURE() << "talusd does not answer";
        answer.ended = true;
        return answer;
    }
    /// How often talusd has said that a request takes its time.
    unsigned working = 0;
    Answer call(Op op, std::array<std::uint64_t, 4> words = {}, int descriptor = -1) {
        Request request;
        request.op = op;
        request.words = words;
        return call(request, descriptor);
    }
    Answer admin(const talus_sqe& command) {
        Request request;
        request.op = Op::kAdmin;
        request.sqe = command;
        return call(request);
    }
    void join() {
        Answer hello = call(Op::kHello, {kMagic, kVersion, TALUS_CONTRACT_HASH, 0});
        ASSERT_FALSE(hello.ended);
        ASSERT_EQ(hello.reply.status, std::uint32_t{TALUS_DRV_OK}) << hello.text();
        iova_ = hello.reply.words[kHelloIovaBegin];
        iova_end_ = hello.reply.words[kHelloIovaEnd];
        shadow_file_ = std::move(hello.descriptor);
        shadow_ = static_cast<std::uint32_t*>(
            mmap(nullptr, kShadowBytes, PROT_READ | PROT_WRITE, MAP_SHARED, shadow_file_.get(), 0));
        ASSERT_NE(static_cast<void*>(shadow_), MAP_FAILED);
    }
    /// Maps memory at the beginning of the client's IOVAs.
    void map(std::uint64_t bytes) {
        memory_ = sealed(bytes);
        const Answer answer = call(Op::kMap, {iova_, bytes, 0, 0}, memory_.get());
        ASSERT_EQ(answer.reply.status, std::uint32_t{TALUS_DRV_OK}) << answer.text();
        pointer_ = static_cast<std::byte*>(
            mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0));
    }
    /// Creates a queue with its rings at the start of what map() mapped.
    void create_queue(std::uint16_t entries) {
        qid_ = static_cast<std::uint16_t>(call(Op::kReserve).reply.words[0]);
        Answer answer = admin(create(qid_, iova_, iova_ + 8192, entries));
        ASSERT_EQ(answer.reply.status, std::uint32_t{TALUS_DRV_OK}) << answer.text();
        bell_ = std::move(answer.descriptor);
    }
    static talus_sqe create(std::uint16_t qid, std::uint64_t sq, std::uint64_t cq,
                            std::uint16_t entries) {
        talus_sqe command{};
        command.opcode = TALUS_ADMIN_CREATE_QUEUE;
        command.u.create_queue.qid = qid;
        command.u.create_queue.sq_iova = sq;
        command.u.create_queue.cq_iova = cq;
        command.u.create_queue.entries = entries;
        command.u.create_queue.irq_enable = 1;
        return command;
    }
    static UniqueFd sealed(std::uint64_t bytes, unsigned seals = F_SEAL_SHRINK) {
        UniqueFd file(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
        EXPECT_EQ(ftruncate(file.get(), static_cast<off_t>(bytes)), 0);
        if (seals != 0) {
            EXPECT_EQ(fcntl(file.get(), F_ADD_SEALS, seals), 0);
        }
        return file;
    }
    void ring() { EXPECT_EQ(write(bell_.get(), "!", 1), 1); }
    talus_sqe& submission(unsigned index) { return reinterpret_cast<talus_sqe*>(pointer_)[index]; }
    volatile talus_cqe& completion(unsigned index) {
        return reinterpret_cast<talus_cqe*>(pointer_ + 8192)[index];
    }
    volatile std::uint32_t& tail() { return shadow_[2 * qid_]; }
    volatile std::uint32_t& head() { return shadow_[2 * qid_ + 1]; }
    std::uint64_t iova() const { return iova_; }
    std::uint64_t iova_end() const { return iova_end_; }
    std::uint16_t qid() const { return qid_; }
    std::byte* pointer() const { return pointer_; }

  private:
    Channel channel_;
    UniqueFd shadow_file_;
    UniqueFd memory_;
    UniqueFd bell_;
    std::uint32_t* shadow_ = nullptr;
    std::byte* pointer_ = nullptr;
    std::uint64_t iova_ = 0;
    std::uint64_t iova_end_ = 0;
    std::uint16_t qid_ = 0;
};

/// That somebody else can work, all the way to a kernel on the whole grid, or on one PE of `row`.
void works(Session& session, std::uint8_t row = 0) {
    std::vector<std::uint8_t> data(100000);
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
    const std::uint64_t address = session.memory(TALUS_DRV_DRAM, data.size());
    std::vector<std::uint8_t> back(data.size());
    ASSERT_DRV_OK(talus_drv_copy_in(session.queue, address, data.data(), data.size()));
    ASSERT_DRV_OK(talus_drv_copy_out(session.queue, back.data(), address, back.size()));
    EXPECT_EQ(data, back);
    talus_drv_command kernel = launch(session.load(kernel_that_returns()));
    if (row != 0) {
        kernel.launch.row = row;
        kernel.launch.rows = kernel.launch.cols = 1;
    }
    EXPECT_STATUS(session.run({kernel})[0], TALUS_OK);
    ASSERT_DRV_OK(talus_drv_memory_free(session.device, address));
}

talus_drv_device_info info_of(const Session& session) {
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    EXPECT_DRV_OK(talus_drv_get_info(session.device, &info));
    return info;
}

// ---- Sharing ----

TEST(Talusd, ClientsWorkSideBySide) {
    const Daemon daemon;
    Session first(daemon.options());
    Session second(daemon.options());
    works(first);
    works(second);
    std::array<std::thread, 2> threads;
    for (std::size_t i = 0; i < threads.size(); ++i)
        threads[i] = std::thread([&, i] {
            for (int round = 0; round < 10; ++round)
                works(i == 0 ? first : second);
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_STREQ(info_of(first).transport, "talusd");
    EXPECT_STREQ(info_of(first).product, "talus-t2");
    EXPECT_NE(first.memory(TALUS_DRV_DRAM, 4096), second.memory(TALUS_DRV_DRAM, 4096));
}

TEST(Talusd, IsStartedOnDemandAndEndsByItself) {
    char name[] = "/tmp/talusd-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    const std::string device = std::string("talusd:") + name + "/socket";
    ASSERT_EQ(setenv("TALUSD", TALUS_TEST_TALUSD, 1), 0);
    ASSERT_EQ(setenv("TALUSD_DEVICE", "sim", 1), 0);
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = device.c_str();
    pid_t pid = 0;
    {
        // Two at once start one.
        std::array<std::thread, 2> threads;
        for (std::thread& thread : threads)
            thread = std::thread([&] {
                Session session(options);
                works(session);
            });
        for (std::thread& thread : threads)
            thread.join();
        std::ifstream(std::string(name) + "/socket.lock") >> pid;
        ASSERT_GT(pid, 0);
        Session session(options);
        works(session);
    }
    EXPECT_EQ(kill(pid, SIGTERM), 0);
    EXPECT_TRUE(soon([&] { return !std::filesystem::exists(std::string(name) + "/socket"); }));
    unsetenv("TALUSD");
    unsetenv("TALUSD_DEVICE");
    std::filesystem::remove_all(name);
}

TEST(Talusd, EndsWhenNobodyComes) {
    const Daemon daemon({"--idle-exit", "1"});
    { Session session(daemon.options()); }
    EXPECT_TRUE(soon([&] { return !std::filesystem::exists(daemon.socket()); }));
}

TEST(Talusd, ASecondOneNamesTheFirst) {
    const Daemon daemon;
    const auto [output, code] = run_program(std::string(TALUS_TEST_TALUSD) + " --socket " +
                                            daemon.socket() + " --device sim 2>&1");
    EXPECT_EQ(code, 75) << output; // EX_TEMPFAIL
    EXPECT_NE(output.find("process id "), std::string::npos) << output;
    Session session(daemon.options());
    works(session);
}

// ---- Clients that die, hang, or are many ----

TEST(Talusd, AKilledClientLeavesNothing) {
    const Daemon daemon;
    Session witness(daemon.options());
    std::uint64_t used = 0;
    std::uint64_t total = 0;
    ASSERT_DRV_OK(talus_drv_memory_usage(witness.device, TALUS_DRV_DRAM, &used, &total));
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
        Session session(daemon.options());
        session.memory(TALUS_DRV_DRAM, 1 << 20);
        const std::uint64_t entry = session.load(kernel_that_loops());
        if (session.submit({launch(entry, 4, 4)}) != TALUS_DRV_OK || write(ends[1], "!", 1) != 1)
            _exit(1);
        pause();
        _exit(1);
    }
    char byte = 0;
    ASSERT_EQ(read(ends[0], &byte, 1), 1);
    works(witness, 7);
    const auto [clients, code] =
        run_program(std::string(TALUS_TEST_TALUSD) + " --clients --socket " + daemon.socket());
    EXPECT_EQ(code, 0);
    EXPECT_NE(clients.find("\"pid\":" + std::to_string(child) + ","), std::string::npos) << clients;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    const std::uint64_t before = used;
    EXPECT_TRUE(soon([&] {
        return talus_drv_memory_usage(witness.device, TALUS_DRV_DRAM, &used, &total) ==
                   TALUS_DRV_OK &&
               used == before;
    })) << used;
    works(witness); // on the PEs that the dead client's kernel had
    EXPECT_EQ(info_of(witness).reset_epoch, 1u) << daemon.log();
}

TEST(Talusd, AHungKernelEndsWithItsClientsQueue) {
    const Daemon daemon;
    Session witness(daemon.options());
    Session session(daemon.options());
    ASSERT_DRV_OK(session.submit({launch(session.load(kernel_that_loops()), 4, 4)}));
    std::vector<talus_drv_completion> none;
    EXPECT_EQ(session.wait(1, none, 1000), TALUS_DRV_TIMEOUT);
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    ASSERT_DRV_OK(talus_drv_recover(session.queue, &recovery));
    EXPECT_EQ(recovery.rung, std::uint32_t{TALUS_DRV_RUNG_ABORT}) << recovery.reason;
    works(witness);
    ASSERT_DRV_OK(session.wait(1, none));
    EXPECT_STATUS(none[0], TALUS_ABORTED);
    works(session);
}

TEST(Talusd, AResetIsTheClientsOwn) {
    const Daemon daemon;
    Session witness(daemon.options());
    Session session(daemon.options());
    works(session);
    ASSERT_DRV_OK(talus_drv_reset(session.device));
    std::vector<talus_drv_completion> none;
    EXPECT_EQ(session.submit({nop()}), TALUS_DRV_DEVICE_LOST);
    EXPECT_EQ(info_of(witness).reset_epoch, 1u);
    talus_drv_queue_destroy(session.queue);
    ASSERT_DRV_OK(talus_drv_queue_create(session.device, nullptr, &session.queue));
    works(session);
    works(witness);
}

// Firmware that is gone takes a reset of the card; the others hear why, and go on after it.
TEST(Talusd, DeadFirmwareIsBootedAnewForAll) {
    std::string flips = "--set memory.control_sram_ecc=false ";
    // Most of the control firmware's text, from 40 ms of device time on.
    for (unsigned address = 0x100000; address < 0x103800; address += 8) {
        char text[80];
        std::snprintf(text, sizeof text, "--inject flip:memory=control:addr=%#x:bit=0:at=54000000 ",
                      address);
        flips += text;
    }
    ASSERT_EQ(setenv("TALUS_SIM_ARGS", flips.c_str(), 1), 0);
    const Daemon daemon({"--boot-timeout-us", "20000", "--command-timeout-us", "20000"});
    unsetenv("TALUS_SIM_ARGS");
    Session witness(daemon.options());
    Session session(daemon.options());
    std::vector<talus_drv_completion> done;
    talus_drv_status status = TALUS_DRV_OK;
    for (int round = 0; round < 100000 && status == TALUS_DRV_OK; ++round) {
        ASSERT_DRV_OK(session.submit({nop()}));
        status = session.wait(1, done, 5000);
    }
    EXPECT_TRUE(status == TALUS_DRV_TIMEOUT || status == TALUS_DRV_DEVICE_LOST)
        << talus_drv_last_error();
    talus_drv_recovery recovery = TALUS_DRV_INIT(talus_drv_recovery);
    ASSERT_DRV_OK(talus_drv_recover(session.queue, &recovery)) << daemon.log();
    EXPECT_EQ(recovery.rung, std::uint32_t{TALUS_DRV_RUNG_FUNDAMENTAL}) << recovery.reason;
    for (Session* each : {&session, &witness}) {
        if (each == &witness) {
            ASSERT_TRUE(soon([&] {
                return witness.submit({nop()}) == TALUS_DRV_DEVICE_LOST ||
                       witness.wait(1, done) == TALUS_DRV_DEVICE_LOST;
            }));
            EXPECT_NE(std::string(talus_drv_last_error()).find("for client "), std::string::npos)
                << talus_drv_last_error();
        }
        talus_drv_queue_destroy(each->queue);
        each->queue = nullptr;
        ASSERT_DRV_OK(talus_drv_queue_create(each->device, nullptr, &each->queue));
        works(*each);
    }
}

TEST(Talusd, ItsDeathIsALostDevice) {
    Daemon daemon;
    Session session(daemon.options());
    works(session);
    daemon.die();
    std::vector<talus_drv_completion> none;
    const auto began = std::chrono::steady_clock::now();
    const bool lost = session.submit({nop()}) == TALUS_DRV_DEVICE_LOST ||
                      session.wait(1, none) == TALUS_DRV_DEVICE_LOST;
    EXPECT_TRUE(lost) << talus_drv_last_error();
    EXPECT_LT(std::chrono::steady_clock::now() - began, 10s);
}

TEST(Talusd, ServesAsManyAsTheDeviceKeepsApart) {
    const Daemon daemon;
    std::vector<std::unique_ptr<Session>> sessions;
    for (unsigned i = 0; i < TALUS_MAX_DOMAINS - 2; ++i)
        sessions.push_back(std::make_unique<Session>(daemon.options()));
    talus_drv_device* device = nullptr;
    talus_drv_open_options options = daemon.options();
    EXPECT_EQ(talus_drv_open(&options, &device), TALUS_DRV_BUSY);
    works(*sessions.back());
    sessions.pop_back();
    // Its domain comes back when talusd has heard of its end.
    EXPECT_TRUE(soon([&] { return talus_drv_open(&options, &device) == TALUS_DRV_OK; }));
    talus_drv_close(device);
}

// ---- Hostile clients ----

std::uint32_t status_of(const RawClient::Answer& answer) {
    EXPECT_FALSE(answer.ended);
    return answer.reply.status;
}

TEST(TalusdHostile, NothingWithoutAHello) {
    const Daemon daemon;
    RawClient client(daemon.socket());
    EXPECT_EQ(status_of(client.call(Op::kReserve)), std::uint32_t{TALUS_DRV_INVALID_ARGUMENT});
    EXPECT_EQ(status_of(client.call(Op::kHello, {kMagic, kVersion, TALUS_CONTRACT_HASH + 1, 0})),
              std::uint32_t{TALUS_DRV_VERSION_MISMATCH});
    client.join();
    EXPECT_EQ(status_of(client.call(Op::kHello, {kMagic, kVersion, TALUS_CONTRACT_HASH, 0})),
              std::uint32_t{TALUS_DRV_INVALID_ARGUMENT});
    EXPECT_EQ(status_of(client.call(static_cast<Op>(99))),
              std::uint32_t{TALUS_DRV_INVALID_ARGUMENT});
}

TEST(TalusdHostile, RubbishEndsItsSenderAlone) {
    const Daemon daemon;
    Session witness(daemon.options());
    for (const std::size_t bytes : {std::size_t{1}, sizeof(Request) - 1, sizeof(Request) + 1}) {
        const UniqueFd socket = Channel::connect(daemon.socket());
        const std::vector<char> rubbish(bytes, 'x');
        ASSERT_EQ(write(socket.get(), rubbish.data(), bytes), static_cast<ssize_t>(bytes));
        pollfd entry{socket.get(), POLLIN, 0};
        ASSERT_EQ(poll(&entry, 1, 10000), 1);
        char byte = 0;
        EXPECT_LE(read(socket.get(), &byte, 1), 0);
    }
    works(witness);
}

TEST(TalusdHostile, OnlyTheClientsOwnIsNamed) {
    const Daemon daemon;
    Session witness(daemon.options());
    const talus_drv_host_buffer others = witness.host(4096);
    const std::uint64_t others_memory = witness.memory(TALUS_DRV_DRAM, 4096);
    RawClient client(daemon.socket());
    client.join();
    client.map(64 << 10);
    constexpr std::uint32_t kInvalid = TALUS_DRV_INVALID_ARGUMENT;
    // Rings in another's memory, or beyond one's own; another's queue numbers.
    const auto qid = static_cast<std::uint16_t>(client.call(Op::kReserve).reply.words[0]);
    const std::uint64_t iova = client.iova();
    const std::uint64_t page = others.iova & ~std::uint64_t{4095};
    EXPECT_EQ(status_of(client.admin(client.create(qid, page, iova, 64))), kInvalid);
    EXPECT_EQ(status_of(client.admin(client.create(qid, iova, page, 64))), kInvalid);
    EXPECT_EQ(status_of(client.admin(client.create(qid, iova + (64 << 10), iova, 64))), kInvalid);
    EXPECT_EQ(status_of(client.admin(client.create(qid, iova, iova + 8192, 63))), kInvalid);
    for (std::uint16_t other = 0; other < 8; ++other) {
        if (other != qid) {
            EXPECT_EQ(status_of(client.admin(client.create(other, iova, iova + 8192, 64))),
                      kInvalid);
        }
        talus_sqe command{};
        command.u.buffer.qid = other;
        for (const auto opcode :
             {TALUS_ADMIN_DELETE_QUEUE, TALUS_ADMIN_ABORT, TALUS_ADMIN_GET_FAULT}) {
            command.opcode = static_cast<std::uint8_t>(opcode);
            EXPECT_EQ(status_of(client.admin(command)), kInvalid) << opcode << " " << other;
        }
    }
    // Windows over what it has not mapped, and what is the owner's.
    talus_sqe window{};
    window.opcode = TALUS_ADMIN_SET_WINDOW;
    window.u.set_window.iova = page;
    window.u.set_window.length = 4096;
    window.u.set_window.domain = 1;
    EXPECT_EQ(status_of(client.admin(window)), kInvalid);
    for (const auto opcode : {TALUS_ADMIN_IDENTIFY, TALUS_ADMIN_SET_SHADOW}) {
        talus_sqe command{};
        command.opcode = static_cast<std::uint8_t>(opcode);
        EXPECT_EQ(status_of(client.admin(command)), std::uint32_t{TALUS_DRV_PERMISSION});
    }
    // Another's device memory, and the parts of the BARs that are the owner's.
    EXPECT_EQ(status_of(client.call(Op::kFree, {others_memory, 0, 0, 0})), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kAllocate, {7, 4096, 64, 0})), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kAllocate, {TALUS_DRV_DRAM, 0, 64, 0})), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kUsage, {7, 0, 0, 0})), kInvalid);
    for (const std::array<std::uint64_t, 4> read :
         {std::array<std::uint64_t, 4>{TALUS_BAR_REGISTERS, TALUS_BAR0_CONTROLLER, 4, 0},
          {TALUS_BAR_STAGING, 0, 4096, 0},
          {TALUS_BAR_STAGING, TALUS_STAGING_DUMP_OFFSET, 64, 0},
          {TALUS_BAR_STAGING, UINT64_MAX - 8, 64, 0},
          {TALUS_BAR_DOORBELLS, 0, 4, 0},
          {TALUS_BAR_STAGING, TALUS_STAGING_LOG_OFFSET, UINT64_MAX, 0},
          {7, 0, 4, 0}})
        EXPECT_EQ(status_of(client.call(Op::kRead, read)), std::uint32_t{TALUS_DRV_PERMISSION})
            << read[0] << " " << read[1];
    works(witness);
}

TEST(TalusdHostile, MemoryIsSealedAndInPlace) {
    const Daemon daemon;
    RawClient client(daemon.socket());
    client.join();
    constexpr std::uint32_t kInvalid = TALUS_DRV_INVALID_ARGUMENT;
    const std::uint64_t begin = client.iova();
    const UniqueFd good = RawClient::sealed(8192);
    const UniqueFd loose = RawClient::sealed(8192, 0);
    const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin, 8192, 0, 0}, loose.get())), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin, 8192, 0, 0}, null.get())), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin, 8192, 0, 0})), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin, 16384, 0, 0}, good.get())), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin - 4096, 4096, 0, 0}, good.get())), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {client.iova_end(), 4096, 0, 0}, good.get())),
              kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin + 1, 4096, 0, 0}, good.get())), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin, UINT64_MAX - 4095, 0, 0}, good.get())),
              kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin + 4096, 8192, 0, 0}, good.get())),
              std::uint32_t{TALUS_DRV_OK});
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin, 8192, 0, 0}, good.get())), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kMap, {begin + 8192, 8192, 0, 0}, good.get())), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kUnmap, {begin + 4096, 4096, 0, 0})), kInvalid);
    EXPECT_EQ(status_of(client.call(Op::kUnmap, {begin + 4096, 8192, 0, 0})),
              std::uint32_t{TALUS_DRV_OK});
}

TEST(TalusdHostile, RingsStayMapped) {
    const Daemon daemon;
    RawClient client(daemon.socket());
    client.join();
    client.map(64 << 10);
    client.create_queue(64);
    EXPECT_EQ(status_of(client.call(Op::kUnmap, {client.iova(), 64 << 10, 0, 0})),
              std::uint32_t{TALUS_DRV_BUSY});
}

// A copy that names another client's host memory meets the end of its domain.
TEST(TalusdHostile, CopiesReachNoOthersHostMemory) {
    const Daemon daemon;
    Session witness(daemon.options());
    const talus_drv_host_buffer secret = witness.host(4096);
    std::memset(secret.pointer, 0x5a, secret.bytes);
    RawClient client(daemon.socket());
    client.join();
    client.map(64 << 10);
    client.create_queue(64);
    const std::uint64_t address =
        client.call(Op::kAllocate, {TALUS_DRV_DRAM, 4096, 64, 0}).reply.words[0];
    unsigned index = 0;
    for (const unsigned kind : {TALUS_COPY_H2D, TALUS_COPY_D2H}) {
        talus_sqe& command = client.submission(index);
        command = {};
        command.opcode = TALUS_IO_COPY;
        command.cid = static_cast<std::uint16_t>(index);
        command.flags = TALUS_SQE_BATCH_END;
        command.u.copy.host = secret.iova;
        command.u.copy.device = address;
        command.u.copy.bytes = 4096;
        command.u.copy.kind = static_cast<std::uint8_t>(kind);
        client.tail() = index + 1;
        client.ring();
        ASSERT_TRUE(soon([&] { return (client.completion(index).status & 1) != 0; }));
        EXPECT_EQ(TALUS_STATUS_BASE(client.completion(index).status >> 1), TALUS_WINDOW_MISS);
        ++index;
    }
    const auto* bytes = static_cast<const std::uint8_t*>(secret.pointer);
    EXPECT_EQ(bytes[0], 0x5a);
    EXPECT_EQ(bytes[4095], 0x5a);
    works(witness);
}

// Indices that no driver writes end their client before they reach the device.
TEST(TalusdHostile, IndicesThatMakeNoSenseEndTheClient) {
    const Daemon daemon;
    Session witness(daemon.options());
    struct Case {
        std::uint32_t tail;
        std::uint32_t head;
    };
    for (const Case& bad : {Case{64, 0}, Case{UINT32_MAX, 0}, Case{1, 2}, Case{0, 63}}) {
        RawClient client(daemon.socket());
        client.join();
        client.map(64 << 10);
        client.create_queue(64);
        client.tail() = bad.tail;
        client.head() = bad.head;
        client.ring();
        EXPECT_TRUE(client.take().ended) << bad.tail << " " << bad.head;
    }
    EXPECT_NE(daemon.log().find("make no sense"), std::string::npos);
    works(witness);
}

// What a client's device memory held is nothing that the next one reads.
// Zeroing much memory may take longer than a client waits for an answer.
TEST(Talusd, SaysThatItWorksWhileItZeroesMuch) {
    const Daemon daemon;
    RawClient client(daemon.socket());
    client.join();
    constexpr std::uint64_t kBytes = std::uint64_t{256} << 20;
    const auto memory = client.call(Op::kAllocate, {TALUS_DRV_DRAM, kBytes, 64, 0});
    ASSERT_EQ(memory.reply.status, std::uint32_t{TALUS_DRV_OK}) << memory.text();
    const auto began = std::chrono::steady_clock::now();
    EXPECT_EQ(client.call(Op::kFree, {memory.reply.words[0], 0, 0, 0}).reply.status,
              std::uint32_t{TALUS_DRV_OK});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    // Once a second, but for what else took time.
    EXPECT_GE(client.working, static_cast<unsigned>(took.count() / 1.5)) << took.count();
}

TEST(TalusdHostile, MemoryThatWasAnothersIsZero) {
    const Daemon daemon;
    const std::vector<std::uint8_t> secret(1 << 20, 0x5a);
    std::uint64_t address = 0;
    for (const talus_drv_memory kind : {TALUS_DRV_DRAM, TALUS_DRV_LLS}) {
        {
            Session first(daemon.options());
            address = first.memory(kind, secret.size());
            ASSERT_DRV_OK(talus_drv_copy_in(first.queue, address, secret.data(), secret.size()));
        }
        Session second(daemon.options());
        std::uint64_t again = 0;
        // The same place, once talusd has let the first one go.
        ASSERT_TRUE(soon([&] {
            again = second.memory(kind, secret.size());
            if (again != address)
                (void)talus_drv_memory_free(second.device, again);
            return again == address;
        }));
        std::vector<std::uint8_t> seen(secret.size(), 1);
        ASSERT_DRV_OK(talus_drv_copy_out(second.queue, seen.data(), again, seen.size()));
        EXPECT_EQ(std::count(seen.begin(), seen.end(), 0), static_cast<long>(seen.size()));
    }
}

TEST(TalusdHostile, QueuesAreLimited) {
    const Daemon daemon({"--queues-per-client", "2"});
    RawClient client(daemon.socket());
    client.join();
    EXPECT_EQ(status_of(client.call(Op::kReserve)), std::uint32_t{TALUS_DRV_OK});
    EXPECT_EQ(status_of(client.call(Op::kReserve)), std::uint32_t{TALUS_DRV_OK});
    EXPECT_EQ(status_of(client.call(Op::kReserve)), std::uint32_t{TALUS_DRV_BUSY});
}

} // namespace
} // namespace talus::driver_sim
