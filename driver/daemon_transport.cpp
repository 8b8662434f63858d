#include "daemon_transport.hpp"

#include "error.hpp"
#include "locate.hpp"
#include "watch.hpp"

#include "talus/hw/contract_hash.h"
#include "talus/hw/pci.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

extern char** environ;

namespace talus::driver {
namespace {

using Clock = std::chrono::steady_clock;
using daemon::Op;

// A talusd that says nothing for this long is stopped or dead; its own waits are shorter.
constexpr auto kAnswerLimit = std::chrono::seconds(90);
constexpr auto kStartLimit = std::chrono::seconds(30);

Error no_daemon(const std::string& socket, int error) {
    return system_error("no talusd answers at " + socket, error);
}

// Starts a talusd that belongs to all its clients and ends when the last one has gone. Returns when
// it listens, or another that was started at the same time will.
void start_daemon(const std::string& socket) {
    const std::string program = find_daemon();
    std::vector<std::string> words = {program, "--socket", socket, "--idle-exit", "10", "--detach"};
    std::vector<char*> argv;
    for (std::string& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    // TALUS_DEVICE names talusd here; what talusd is to own, TALUSD_DEVICE names.
    std::vector<char*> environment;
    for (char** entry = environ; *entry != nullptr; ++entry)
        if (std::strncmp(*entry, "TALUS_DEVICE=", 13) != 0)
            environment.push_back(*entry);
    environment.push_back(nullptr);
    pid_t pid = -1;
    const int error =
        posix_spawn(&pid, program.c_str(), nullptr, nullptr, argv.data(), environment.data());
    if (error != 0)
        throw system_error("cannot start " + program, error);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != EX_TEMPFAIL))
        throw Error(TALUS_DRV_NOT_FOUND, program + " could not be started for " + socket +
                                             "; it said why on its standard error");
}

UniqueFd connect_or_start(const std::string& socket, bool start) {
    const auto deadline = Clock::now() + kStartLimit;
    for (bool started = false;; started = true) {
        UniqueFd connection = daemon::Channel::connect(socket);
        if (connection.valid())
            return connection;
        const int error = errno;
        if (!start || (error != ENOENT && error != ECONNREFUSED) || Clock::now() >= deadline)
            throw no_daemon(socket, error);
        if (started)
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        if (const auto slash = socket.rfind('/'); slash != std::string::npos && slash != 0)
            mkdir(socket.substr(0, slash).c_str(), 0700);
        start_daemon(socket);
    }
}

} // namespace

std::string default_daemon_socket() {
    const auto text = [](const char* name) {
        const char* value = std::getenv(name);
        return std::string(value != nullptr ? value : "");
    };
    if (const std::string given = text("TALUSD_SOCKET"); !given.empty())
        return given;
    const std::string common = "/run/talus/talusd.sock";
    if (access(common.c_str(), F_OK) == 0)
        return common;
    if (const std::string runtime = text("XDG_RUNTIME_DIR"); !runtime.empty())
        return runtime + "/talusd.sock";
    return "/tmp/talus-" + std::to_string(getuid()) + "/talusd.sock";
}

DaemonTransport::DaemonTransport(const std::string& socket, bool start)
    : socket_(socket), channel_(connect_or_start(socket, start)) {
    daemon::Request request;
    request.op = Op::kHello;
    request.words = {daemon::kMagic, daemon::kVersion, TALUS_CONTRACT_HASH, 0};
    Answer answer = call(request);
    if (answer.data.size() < sizeof identity_ || !answer.descriptor.valid())
        throw Error(TALUS_DRV_PROTOCOL, "what answers at " + socket + " is no talusd");
    std::memcpy(&identity_, answer.data.data(), sizeof identity_);
    iova_ = {answer.reply.words[daemon::kHelloIovaBegin],
             answer.reply.words[daemon::kHelloIovaEnd]};
    pins_memory_ = answer.reply.words[daemon::kHelloPinsMemory] != 0;
    void* mapped = mmap(nullptr, daemon::kShadowBytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                        answer.descriptor.get(), 0);
    if (mapped == MAP_FAILED)
        throw system_error("cannot map the shadow page of talusd", errno);
    shadow_ = static_cast<std::byte*>(mapped);
}

DaemonTransport::~DaemonTransport() {
    if (shadow_ != nullptr)
        munmap(shadow_, daemon::kShadowBytes);
}

// ---- Messages ----

void DaemonTransport::lost() {
    lost_ = true;
    throw Error(TALUS_DRV_DEVICE_LOST, "talusd at " + socket_ + " is gone, and the device with it");
}

Error DaemonTransport::unsupported(const char* what) const {
    return Error(TALUS_DRV_UNSUPPORTED, std::string(what) +
                                            " belongs to the device's owner, talusd at " + socket_ +
                                            "; its clients do without");
}

std::optional<DaemonTransport::Answer> DaemonTransport::take() {
    for (;;) {
        Answer answer;
        switch (channel_.receive(answer.reply, answer.data, answer.descriptor)) {
        case daemon::Channel::Got::kNothing:
            return std::nullopt;
        case daemon::Channel::Got::kEnd:
            lost();
        case daemon::Channel::Got::kMessage:
            break;
        }
        if (answer.reply.kind == daemon::Kind::kReply)
            return answer;
        working_ = working_ || answer.reply.kind == daemon::Kind::kWorking;
        if (answer.reply.kind == daemon::Kind::kResetDone)
            news_.emplace_back(reinterpret_cast<const char*>(answer.data.data()),
                               answer.data.size());
    }
}

void DaemonTransport::tell() {
    std::vector<std::string> news;
    {
        const std::lock_guard lock(mutex_);
        news.swap(news_);
    }
    for (const std::string& text : news)
        if (heard_)
            heard_(text);
}

DaemonTransport::Answer DaemonTransport::call(const daemon::Request& request, int descriptor) {
    std::optional<Answer> answer;
    {
        const std::lock_guard lock(mutex_);
        if (lost_ || !channel_.send(request, descriptor))
            lost();
        AwakeClock awake(Clock::now());
        while (!(answer = take())) {
            awake.look(Clock::now());
            if (std::exchange(working_, false))
                awake = AwakeClock(Clock::now());
            if (awake.elapsed() >= kAnswerLimit) {
                lost_ = true; // a late answer would be taken for another request's
                throw Error(TALUS_DRV_DEVICE_LOST, "talusd at " + socket_ + " does not answer");
            }
            pollfd entry{channel_.fd(), POLLIN, 0};
            poll(&entry, 1, 500); // in slices, so that a pause of this process shows as one
        }
    }
    tell();
    if (answer->reply.status != TALUS_DRV_OK)
        throw Error(
            static_cast<talus_drv_status>(answer->reply.status),
            std::string(reinterpret_cast<const char*>(answer->data.data()), answer->data.size()));
    return std::move(*answer);
}

bool DaemonTransport::wait(int eventfd, std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    for (;;) {
        if (lost_)
            lost();
        if (const std::unique_lock lock(mutex_, std::try_to_lock); lock.owns_lock())
            take(); // events only: a reply belongs to a call, which holds the lock
        tell();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
        std::array<pollfd, 2> entries{pollfd{channel_.fd(), POLLIN, 0}, pollfd{eventfd, POLLIN, 0}};
        const int ready = poll(entries.data(), eventfd >= 0 ? 2 : 1,
                               static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready < 0 && errno != EINTR)
            throw system_error("poll", errno);
        if (ready > 0 && eventfd >= 0 && (entries[1].revents & POLLIN) != 0)
            return true;
        if (ready == 0)
            return false;
    }
}

// ---- Device ----

std::uint32_t* DaemonTransport::shadow_tails() const {
    return reinterpret_cast<std::uint32_t*>(shadow_);
}

std::uint32_t* DaemonTransport::shadow_events() const {
    return reinterpret_cast<std::uint32_t*>(shadow_ + daemon::kEventOffset);
}

std::uint32_t DaemonTransport::reserve_queue() {
    daemon::Request request;
    request.op = Op::kReserve;
    const std::uint64_t qid = call(request).reply.words[0];
    if (qid >= TALUS_MAX_QUEUES)
        throw Error(TALUS_DRV_PROTOCOL, "talusd gave the queue number " + std::to_string(qid));
    return static_cast<std::uint32_t>(qid);
}

talus_cqe DaemonTransport::admin(const talus_sqe& command, std::span<std::byte> data) {
    daemon::Request request;
    request.op = Op::kAdmin;
    request.sqe = command;
    Answer answer = call(request);
    if (command.opcode == TALUS_ADMIN_CREATE_QUEUE)
        bells_.at(command.u.create_queue.qid) = std::move(answer.descriptor);
    std::memcpy(data.data(), answer.data.data(), std::min(data.size(), answer.data.size()));
    return answer.reply.cqe;
}

UniqueFd DaemonTransport::bell(std::uint32_t qid) {
    UniqueFd own(fcntl(bells_.at(qid).get(), F_DUPFD_CLOEXEC, 0));
    if (!own.valid())
        throw system_error("cannot duplicate a queue's bell", errno);
    return own;
}

std::uint64_t DaemonTransport::memory_allocate(std::uint32_t memory, std::uint64_t bytes,
                                               std::uint64_t alignment) {
    daemon::Request request;
    request.op = Op::kAllocate;
    request.words = {memory, bytes, alignment, 0};
    return call(request).reply.words[0];
}

void DaemonTransport::memory_free(std::uint64_t address) {
    daemon::Request request;
    request.op = Op::kFree;
    request.words = {address, 0, 0, 0};
    call(request);
}

void DaemonTransport::memory_usage(std::uint32_t memory, std::uint64_t& used,
                                   std::uint64_t& total) {
    daemon::Request request;
    request.op = Op::kUsage;
    request.words = {memory, 0, 0, 0};
    const Answer answer = call(request);
    used = answer.reply.words[0];
    total = answer.reply.words[1];
}

std::uint32_t DaemonTransport::reset_client(std::string& reason) {
    daemon::Request request;
    request.op = Op::kReset;
    const Answer answer = call(request);
    reason.assign(reinterpret_cast<const char*>(answer.data.data()), answer.data.size());
    return static_cast<std::uint32_t>(answer.reply.words[0]);
}

void DaemonTransport::leave() noexcept {
    try {
        daemon::Request request;
        request.op = Op::kLeave;
        call(request);
    } catch (const std::exception&) {
        // Gone already, which comes to the same.
    }
}

// ---- Transport ----

void DaemonTransport::config_read(std::uint32_t, std::span<std::byte>) {
    throw unsupported("config space");
}

void DaemonTransport::config_write(std::uint32_t, std::span<const std::byte>) {
    throw unsupported("config space");
}

std::uint32_t DaemonTransport::bar_read32(int bar, std::uint64_t offset) {
    std::uint32_t value = 0;
    bar_read(bar, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

std::uint64_t DaemonTransport::bar_read64(int bar, std::uint64_t offset) {
    std::uint64_t value = 0;
    bar_read(bar, offset, std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

void DaemonTransport::bar_read(int bar, std::uint64_t offset, std::span<std::byte> data) {
    for (std::size_t done = 0; done < data.size();) {
        const std::size_t part = std::min(data.size() - done, daemon::kMaxData);
        daemon::Request request;
        request.op = Op::kRead;
        request.words = {static_cast<std::uint64_t>(bar), offset + done, part, 0};
        const Answer answer = call(request);
        if (answer.data.size() != part)
            throw Error(TALUS_DRV_PROTOCOL, "talusd answered a read with another length");
        std::memcpy(data.data() + done, answer.data.data(), part);
        done += part;
    }
}

// The index stands in the shadow page; talusd only has to look.
void DaemonTransport::bar_write32(int bar, std::uint64_t offset, std::uint32_t) {
    if (bar != TALUS_BAR_DOORBELLS || offset / TALUS_DOORBELL_STRIDE >= bells_.size())
        throw unsupported("writing registers");
    const UniqueFd& bell = bells_[offset / TALUS_DOORBELL_STRIDE];
    const char ring = 1;
    // A full buffer is a bell that rings already; a closed one is heard of on the channel.
    if (bell.valid())
        (void)!send(bell.get(), &ring, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void DaemonTransport::bar_write64(int, std::uint64_t, std::uint64_t) {
    throw unsupported("writing registers");
}

void DaemonTransport::bar_write(int, std::uint64_t, std::span<const std::byte>) {
    throw unsupported("writing registers");
}

std::uint64_t DaemonTransport::bar_size(int bar) {
    return bar == TALUS_BAR_REGISTERS   ? TALUS_BAR0_SIZE
           : bar == TALUS_BAR_DOORBELLS ? TALUS_BAR2_SIZE
           : bar == TALUS_BAR_STAGING   ? TALUS_BAR4_SIZE
                                        : 0;
}

void DaemonTransport::dma_map(std::uint64_t iova, std::uint64_t bytes, void*, int fd) {
    if (fd < 0)
        throw unsupported("memory without a file");
    daemon::Request request;
    request.op = Op::kMap;
    request.words = {iova, bytes, 0, 0};
    call(request, fd);
}

void DaemonTransport::dma_unmap(std::uint64_t iova, std::uint64_t bytes) {
    daemon::Request request;
    request.op = Op::kUnmap;
    request.words = {iova, bytes, 0, 0};
    call(request);
}

void DaemonTransport::reset() {
    throw unsupported("resetting the card");
}

} // namespace talus::driver
