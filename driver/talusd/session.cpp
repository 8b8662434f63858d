#include "session.hpp"

#include "talus/hw/contract_hash.h"
#include "talus/hw/pci.h"
#include "talus/hw/status.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

namespace talus::driver::daemon {
namespace {

constexpr std::uint64_t kPage = IovaSpace::kPage;
constexpr std::size_t kMaxMappings = 1024;

Error invalid(const std::string& message) {
    return Error(TALUS_DRV_INVALID_ARGUMENT, message);
}

void say(const std::string& text) {
    std::fprintf(stderr, "talusd: %s\n", text.c_str());
}

std::vector<std::byte> bytes_of(const std::string& text) {
    const auto bytes = std::as_bytes(std::span(text.data(), std::min(text.size(), kMaxData)));
    return {bytes.begin(), bytes.end()};
}

template <typename T>
std::vector<std::byte> copy_of(const T& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    return {bytes.begin(), bytes.end()};
}

talus_drv_memory memory_kind(std::uint64_t word) {
    if (word != TALUS_DRV_DRAM && word != TALUS_DRV_LLS)
        throw invalid("no such device memory: " + std::to_string(word));
    return static_cast<talus_drv_memory>(word);
}

// The shadow page is the client's to write at any moment.
std::uint32_t load(const std::byte* at) {
    return __atomic_load_n(reinterpret_cast<const std::uint32_t*>(at), __ATOMIC_ACQUIRE);
}

void store(std::byte* at, std::uint32_t value) {
    __atomic_store_n(reinterpret_cast<std::uint32_t*>(at), value, __ATOMIC_RELEASE);
}

} // namespace

Session::Session(Server& server, UniqueFd socket)
    : server_(server), channel_(std::move(socket)), stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      memory_(server, [this] {
          Reply reply;
          reply.kind = Kind::kWorking;
          channel_.send(reply, {}); // one that has gone is noticed afterwards
      }) {
    socklen_t length = sizeof peer_;
    if (getsockopt(channel_.fd(), SOL_SOCKET, SO_PEERCRED, &peer_, &length) != 0 || !stop_.valid())
        throw system_error("a client's connection", errno);
    entry_.pid = static_cast<std::uint64_t>(peer_.pid);
    entry_.uid = peer_.uid;
    thread_ = std::thread([this] { run(); });
}

Session::~Session() {
    eventfd_write(stop_.get(), 1);
    thread_.join();
}

std::string Session::name() const {
    return "client " + std::to_string(peer_.pid) + " (uid " + std::to_string(peer_.uid) + ")";
}

ClientEntry Session::entry() const {
    const std::lock_guard lock(entry_mutex_);
    return entry_;
}

void Session::run() {
    try {
        for (bool go_on = true; go_on;) {
            std::vector<pollfd> entries = {{channel_.fd(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
            std::vector<std::uint16_t> qids;
            {
                const std::shared_lock card(server_.card());
                for (const auto& [qid, queue] : queues_) {
                    if (queue.entries == 0)
                        continue;
                    qids.push_back(qid);
                    entries.push_back({queue.bell.get(), POLLIN, 0});
                    entries.push_back({queue.interrupt.get(), POLLIN, 0});
                }
            }
            if (poll(entries.data(), entries.size(), -1) < 0 && errno != EINTR)
                throw system_error("poll", errno);
            if (entries[1].revents != 0)
                break;
            {
                // A queue may have ended meanwhile, with a reset of the card; then its descriptor's
                // number is somebody else's, and this was a look too many.
                const std::shared_lock card(server_.card());
                for (std::size_t i = 0; i < qids.size(); ++i) {
                    const auto found = queues_.find(qids[i]);
                    if (found == queues_.end())
                        continue;
                    Queue& queue = found->second;
                    if ((entries[2 + 2 * i].revents & (POLLIN | POLLHUP)) != 0) {
                        std::array<char, 256> rings;
                        if (recv(queue.bell.get(), rings.data(), rings.size(), MSG_DONTWAIT) == 0)
                            throw invalid("it closed a queue's bell");
                        relay(qids[i], queue);
                    }
                    if ((entries[3 + 2 * i].revents & POLLIN) != 0) {
                        eventfd_t count = 0;
                        eventfd_read(queue.interrupt.get(), &count);
                        ring(queue);
                    }
                }
            }
            if ((entries[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
                go_on = serve_request();
        }
    } catch (const std::exception& error) {
        say(name() + " is dropped: " + error.what());
    }
    end();
    shutdown(channel_.fd(), SHUT_RDWR);
    ended_ = true;
}

// ---- Doorbells ----

// The client's indices become the device's. A client that has more commands under way than its ring
// has entries could fill its completion ring, and the device's outbox behind it, for everybody.
void Session::relay(std::uint32_t qid, Queue& queue) {
    std::byte* const tail_at = shadow_ + 8 * qid;
    std::byte* const head_at = tail_at + 4;
    const std::uint32_t mask = queue.entries - 1;
    for (;;) {
        const std::uint32_t head = load(head_at);
        const std::uint32_t tail = load(tail_at);
        queue.submitted += (tail - queue.tail) & mask;
        queue.acknowledged += (head - queue.head) & mask;
        if (head > mask || tail > mask || queue.acknowledged > queue.submitted ||
            queue.submitted - queue.acknowledged > mask)
            throw invalid("queue " + std::to_string(qid) + "'s indices make no sense: tail " +
                          std::to_string(tail) + ", head " + std::to_string(head) + " of " +
                          std::to_string(queue.entries) + " entries");
        Doorbells& doorbells = server_.device().doorbells();
        if (head != queue.head)
            doorbells.completion_head(qid, queue.head, head, queue.entries);
        if (tail != queue.tail)
            doorbells.submission_tail(qid, queue.tail, tail, queue.entries);
        {
            const std::lock_guard lock(entry_mutex_);
            entry_.commands += (tail - queue.tail) & mask;
        }
        queue.head = head;
        queue.tail = tail;
        // Ask for a bell at the next tail, for none at heads; then look again.
        store(tail_at + kEventOffset, tail);
        store(head_at + kEventOffset, (head - 1) & mask);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (load(tail_at) == tail)
            return;
    }
}

void Session::ring(Queue& queue) {
    const char one = 1;
    // A full buffer rings already.
    (void)!send(queue.bell.get(), &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// ---- Requests ----

bool Session::serve_request() {
    Request request;
    UniqueFd descriptor;
    switch (channel_.receive(request, descriptor)) {
    case Channel::Got::kNothing:
        return true;
    case Channel::Got::kEnd:
        return false;
    case Channel::Got::kMessage:
        break;
    }
    Answer answer;
    try {
        answer = handle(request, std::move(descriptor));
    } catch (const Error& error) {
        answer = {};
        answer.reply.status = error.status();
        answer.data = bytes_of(error.what());
    }
    if (!channel_.send(answer.reply, answer.data, answer.descriptor.get()))
        throw invalid("it does not take its answers");
    return true;
}

void Session::require_joined() const {
    if (!joined_)
        throw invalid("a client says hello first");
    if (left_)
        throw invalid("this client has left");
}

Session::Answer Session::handle(const Request& request, UniqueFd descriptor) {
    if (request.op == Op::kClients) {
        Answer answer;
        for (const ClientEntry& entry : server_.clients()) {
            const auto bytes = copy_of(entry);
            answer.data.insert(answer.data.end(), bytes.begin(), bytes.end());
        }
        return answer;
    }
    if (request.op == Op::kHello)
        return hello(request);
    require_joined();
    if (request.op == Op::kReset)
        return reset(); // takes the card itself
    if (request.op == Op::kLeave) {
        end();
        return {};
    }
    const std::shared_lock card(server_.card());
    Answer answer;
    switch (request.op) {
    case Op::kReserve: {
        if (queues_.size() >= server_.options().queues_per_client)
            throw Error(TALUS_DRV_BUSY, "a client has at most " +
                                            std::to_string(server_.options().queues_per_client) +
                                            " queues");
        const std::uint16_t qid = server_.take_queue();
        queues_[qid];
        answer.reply.words[0] = qid;
        return answer;
    }
    case Op::kAdmin:
        return admin(request);
    case Op::kRead:
        return read(request);
    case Op::kMap:
        return map(request, std::move(descriptor));
    case Op::kUnmap:
        return unmap(request);
    case Op::kAllocate:
        return allocate(request);
    case Op::kFree: {
        const std::uint64_t bytes = memory_.release(request.words[0]);
        const std::lock_guard lock(entry_mutex_);
        entry_.device_bytes -= bytes;
        return answer;
    }
    case Op::kUsage:
        server_.device().memory_usage(memory_kind(request.words[0]), answer.reply.words[0],
                                      answer.reply.words[1]);
        return answer;
    default:
        throw invalid("unknown request " + std::to_string(static_cast<std::uint32_t>(request.op)));
    }
}

Session::Answer Session::hello(const Request& request) {
    if (joined_ || request.words[0] != kMagic)
        throw invalid("that is no hello");
    if (request.words[1] != kVersion || request.words[2] != TALUS_CONTRACT_HASH)
        throw Error(TALUS_DRV_VERSION_MISMATCH,
                    "talusd is of another bundle (" TALUS_BUNDLE_VERSION_STRING
                    ") than this driver; end it, or use its driver");
    const std::shared_lock card(server_.card());
    shadow_file_.reset(memfd_create("talusd-shadow", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (!shadow_file_.valid() || ftruncate(shadow_file_.get(), kShadowBytes) != 0 ||
        fcntl(shadow_file_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        throw system_error("a client's shadow page", errno);
    void* mapped =
        mmap(nullptr, kShadowBytes, PROT_READ | PROT_WRITE, MAP_SHARED, shadow_file_.get(), 0);
    if (mapped == MAP_FAILED)
        throw system_error("a client's shadow page", errno);
    shadow_ = static_cast<std::byte*>(mapped);
    domain_ = server_.take_domain();
    memory_.use_domain(domain_);
    try {
        iovas_ = server_.take_iovas();
    } catch (...) {
        server_.return_domain(domain_);
        domain_ = 0;
        throw;
    }
    joined_ = true;
    {
        const std::lock_guard lock(entry_mutex_);
        entry_.domain = domain_;
    }
    say(name() + " joins as domain " + std::to_string(domain_));
    Answer answer;
    answer.reply.words[kHelloDomain] = domain_;
    answer.reply.words[kHelloIovaBegin] = iovas_;
    answer.reply.words[kHelloIovaEnd] = iovas_ + Server::kIovaBytes;
    answer.reply.words[kHelloPinsMemory] = server_.device().transport().pins_memory();
    talus_identify identity = server_.device().identity();
    identity.max_queues = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        identity.max_queues, std::uint64_t{server_.options().queues_per_client} + 1));
    answer.data = copy_of(identity);
    answer.descriptor = UniqueFd(fcntl(shadow_file_.get(), F_DUPFD_CLOEXEC, 0));
    return answer;
}

Session::Queue& Session::queue(std::uint64_t qid) {
    const auto found =
        qid < TALUS_MAX_QUEUES ? queues_.find(static_cast<std::uint16_t>(qid)) : queues_.end();
    if (found == queues_.end() || found->second.entries == 0)
        throw invalid("queue " + std::to_string(qid) + " is not this client's");
    return found->second;
}

bool Session::mapped(std::uint64_t iova, std::uint64_t bytes) const {
    auto entry = mappings_.upper_bound(iova);
    if (entry == mappings_.begin())
        return false;
    --entry;
    const std::uint64_t offset = iova - entry->first;
    return offset <= entry->second.bytes && bytes <= entry->second.bytes - offset;
}

// Rebuilt from the few fields that a client may choose: nothing else that it wrote goes on.
Session::Answer Session::admin(const Request& request) {
    Device& device = server_.device();
    const talus_sqe& from = request.sqe;
    talus_sqe command{};
    command.opcode = from.opcode;
    Answer answer;
    switch (from.opcode) {
    case TALUS_ADMIN_CREATE_QUEUE:
        return create_queue(from);
    case TALUS_ADMIN_DELETE_QUEUE: {
        const std::uint16_t qid = from.u.buffer.qid;
        queue(qid);
        command.u.buffer.qid = qid;
        command.u.buffer.cid = TALUS_DELETE_ABORT;
        answer.reply.cqe = device.admin(command, "DELETE_QUEUE");
        device.transport().irq_set(qid, -1);
        queues_.erase(qid);
        server_.return_queue(qid);
        const std::lock_guard lock(entry_mutex_);
        --entry_.queues;
        return answer;
    }
    case TALUS_ADMIN_ABORT:
        queue(from.u.buffer.qid);
        command.u.buffer.qid = from.u.buffer.qid;
        command.u.buffer.cid = from.u.buffer.cid;
        answer.reply.cqe = device.admin(command, "ABORT");
        return answer;
    case TALUS_ADMIN_GET_FAULT: {
        queue(from.u.buffer.qid);
        answer.data = copy_of(device.fault_record(from.u.buffer.qid));
        return answer;
    }
    case TALUS_ADMIN_SET_WINDOW: {
        const talus_sqe_set_window& window = from.u.set_window;
        if (window.index >= TALUS_WINDOWS_PER_DOMAIN ||
            (window.length != 0 && !mapped(window.iova, window.length)))
            throw invalid("a window over memory that this client has not mapped");
        command.u.set_window.iova = window.iova;
        command.u.set_window.length = window.length;
        command.u.set_window.index = window.index;
        command.u.set_window.access = window.access & (TALUS_WINDOW_READ | TALUS_WINDOW_WRITE);
        command.u.set_window.domain = domain_;
        answer.reply.cqe = device.admin(command, "SET_WINDOW");
        windows_[window.index] = {window.iova, window.length};
        if (window.length == 0)
            windows_.erase(window.index);
        return answer;
    }
    default:
        throw Error(TALUS_DRV_PERMISSION,
                    "admin command " + std::to_string(from.opcode) + " is the owner's alone");
    }
}

Session::Answer Session::create_queue(talus_sqe command) {
    talus_sqe_create_queue& create = command.u.create_queue;
    const auto found = queues_.find(create.qid);
    if (found == queues_.end() || found->second.entries != 0)
        throw invalid("queue " + std::to_string(create.qid) + " is not reserved for this client");
    const std::uint64_t entries = create.entries;
    if (entries < 2 || (entries & (entries - 1)) != 0 || entries > TALUS_MAX_QUEUE_ENTRIES ||
        create.sq_iova % kPage != 0 || create.cq_iova % kPage != 0 ||
        !mapped(create.sq_iova, entries * TALUS_SQE_BYTES) ||
        !mapped(create.cq_iova, entries * TALUS_CQE_BYTES))
        throw invalid("rings of " + std::to_string(entries) +
                      " entries, or where this client has mapped nothing");
    Device& device = server_.device();
    Queue made;
    std::array<int, 2> bells{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, bells.data()) != 0)
        throw system_error("a queue's bell", errno);
    made.bell.reset(bells[0]);
    UniqueFd far(bells[1]);
    made.interrupt.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!made.interrupt.valid())
        throw system_error("a queue's interrupt", errno);
    const bool interrupts = create.irq_enable != 0 && create.qid < device.transport().irq_count();
    for (const std::size_t half : {std::size_t{0}, kEventOffset})
        for (const std::size_t index : {0, 4})
            store(shadow_ + half + 8 * create.qid + index, 0);
    if (interrupts)
        device.transport().irq_set(create.qid, made.interrupt.get());
    device.doorbells().restart(create.qid);
    talus_sqe clean{};
    clean.opcode = TALUS_ADMIN_CREATE_QUEUE;
    clean.u.create_queue.sq_iova = create.sq_iova;
    clean.u.create_queue.cq_iova = create.cq_iova;
    clean.u.create_queue.qid = create.qid;
    clean.u.create_queue.entries = create.entries;
    clean.u.create_queue.vector = static_cast<std::uint16_t>(interrupts ? create.qid : 0);
    clean.u.create_queue.domain = domain_;
    clean.u.create_queue.irq_enable = interrupts;
    clean.u.create_queue.launch_limit_us = server_.options().launch_limit_us;
    Answer answer;
    answer.reply.cqe = device.admin(clean, "CREATE_QUEUE");
    made.entries = create.entries;
    made.rings[0] = create.sq_iova;
    made.rings[1] = create.cq_iova;
    found->second = std::move(made);
    answer.descriptor = std::move(far);
    const std::lock_guard lock(entry_mutex_);
    ++entry_.queues;
    return answer;
}

// The frozen registers, the status page and the firmware's log: what anybody may know.
Session::Answer Session::read(const Request& request) {
    const auto [bar, offset, bytes, unused] = request.words;
    const auto within = [&](std::uint64_t begin, std::uint64_t size) {
        return offset >= begin && offset - begin <= size && bytes <= size - (offset - begin);
    };
    const bool frozen = bar == TALUS_BAR_REGISTERS && bytes == 4 && offset % 4 == 0 &&
                        within(TALUS_BAR0_FROZEN, TALUS_BAR0_STATUS_PAGE - TALUS_BAR0_FROZEN);
    const bool status =
        bar == TALUS_BAR_REGISTERS && within(TALUS_BAR0_STATUS_PAGE, sizeof(talus_status_page));
    const bool log =
        bar == TALUS_BAR_STAGING && within(TALUS_STAGING_LOG_OFFSET, TALUS_STAGING_LOG_SIZE);
    if (bytes == 0 || bytes > kMaxData || !(frozen || status || log))
        throw Error(TALUS_DRV_PERMISSION, "that part of the device is its owner's alone");
    Answer answer;
    answer.data.resize(bytes);
    Transport& transport = server_.device().transport();
    if (frozen) {
        const std::uint32_t value = transport.bar_read32(TALUS_BAR_REGISTERS, offset);
        std::memcpy(answer.data.data(), &value, sizeof value);
    } else if (status) {
        const talus_status_page page = server_.device().status();
        std::memcpy(answer.data.data(),
                    reinterpret_cast<const std::byte*>(&page) + (offset - TALUS_BAR0_STATUS_PAGE),
                    bytes);
    } else {
        transport.bar_read(TALUS_BAR_STAGING, offset, answer.data);
    }
    return answer;
}

Session::Answer Session::map(const Request& request, UniqueFd descriptor) {
    const std::uint64_t iova = request.words[0];
    const std::uint64_t bytes = request.words[1];
    if (bytes == 0 || iova % kPage != 0 || bytes % kPage != 0 || iova < iovas_ ||
        iova - iovas_ > Server::kIovaBytes || bytes > Server::kIovaBytes - (iova - iovas_))
        throw invalid("a mapping outside this client's IOVAs");
    const auto next = mappings_.lower_bound(iova);
    if ((next != mappings_.end() && next->first - iova < bytes) ||
        (next != mappings_.begin() &&
         iova - std::prev(next)->first < std::prev(next)->second.bytes))
        throw invalid("a mapping over another one");
    if (mappings_.size() >= kMaxMappings)
        throw Error(TALUS_DRV_OUT_OF_HOST_MEMORY,
                    "a client has at most " + std::to_string(kMaxMappings) + " mappings");
    // A file that can shrink would be a trap for every process that touches it.
    struct stat file {};
    const int seals = descriptor.valid() ? fcntl(descriptor.get(), F_GET_SEALS) : -1;
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0 || fstat(descriptor.get(), &file) != 0 ||
        static_cast<std::uint64_t>(file.st_size) < bytes)
        throw invalid("memory for the device is a memfd with F_SEAL_SHRINK, as large as is said");
    Mapping mapping;
    mapping.bytes = bytes;
    mapping.pointer = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor.get(), 0);
    if (mapping.pointer == MAP_FAILED)
        throw system_error("cannot map a client's memory", errno);
    try {
        server_.device().transport().dma_map(iova, bytes, mapping.pointer, descriptor.get());
    } catch (...) {
        munmap(mapping.pointer, bytes);
        throw;
    }
    mappings_.emplace(iova, mapping);
    const std::lock_guard lock(entry_mutex_);
    entry_.host_bytes += bytes;
    return {};
}

Session::Answer Session::unmap(const Request& request) {
    const auto found = mappings_.find(request.words[0]);
    if (found == mappings_.end() || found->second.bytes != request.words[1])
        throw invalid("there is no such mapping");
    for (const auto& [qid, queue] : queues_)
        for (const std::uint64_t ring : queue.rings)
            if (queue.entries != 0 && ring - found->first < found->second.bytes)
                throw Error(TALUS_DRV_BUSY,
                            "queue " + std::to_string(qid) + "'s rings are in that memory");
    server_.device().transport().dma_unmap(found->first, found->second.bytes);
    munmap(found->second.pointer, found->second.bytes);
    const std::lock_guard lock(entry_mutex_);
    entry_.host_bytes -= found->second.bytes;
    mappings_.erase(found);
    return {};
}

Session::Answer Session::allocate(const Request& request) {
    const std::uint64_t bytes = request.words[1];
    Answer answer;
    answer.reply.words[0] =
        memory_.allocate(memory_kind(request.words[0]), bytes, request.words[2]);
    const std::lock_guard lock(entry_mutex_);
    entry_.device_bytes += bytes;
    return answer;
}

// ---- Ends ----

void Session::forget_queues() {
    for (const auto& [qid, queue] : queues_) {
        if (queue.entries != 0) {
            try {
                server_.device().transport().irq_set(qid, -1);
            } catch (const Error&) {
                // Lost: it signals nothing any more.
            }
        }
        server_.return_queue(qid);
    }
    queues_.clear();
    const std::lock_guard lock(entry_mutex_);
    entry_.queues = 0;
}

void Session::end_queues() {
    for (const auto& [qid, queue] : queues_) {
        if (queue.entries == 0)
            continue;
        talus_sqe command{};
        command.opcode = TALUS_ADMIN_DELETE_QUEUE;
        command.u.buffer.qid = qid;
        command.u.buffer.cid = TALUS_DELETE_ABORT;
        server_.device().admin(command, "DELETE_QUEUE");
    }
    forget_queues();
}

void Session::release_memory() {
    memory_.release_all();
    const std::lock_guard lock(entry_mutex_);
    entry_.device_bytes = 0;
}

void Session::close_windows() {
    for (const auto& [index, range] : windows_) {
        talus_sqe command{};
        command.opcode = TALUS_ADMIN_SET_WINDOW;
        command.u.set_window.index = index;
        command.u.set_window.domain = domain_;
        server_.device().admin(command, "SET_WINDOW");
    }
    windows_.clear();
}

void Session::unmap_all() {
    for (const auto& [iova, mapping] : mappings_) {
        try {
            server_.device().transport().dma_unmap(iova, mapping.bytes);
        } catch (const Error&) {
            // Lost: it reaches nothing any more.
        }
        munmap(mapping.pointer, mapping.bytes);
    }
    mappings_.clear();
    const std::lock_guard lock(entry_mutex_);
    entry_.host_bytes = 0;
}

Session::Answer Session::reset() {
    Answer answer;
    std::string reason;
    talus_drv_rung rung = TALUS_DRV_RUNG_ABORT;
    const std::uint64_t seen = server_.resets();
    try {
        const std::shared_lock card(server_.card());
        end_queues();
        close_windows();
        release_memory();
    } catch (const Error& error) {
        reason = error.what();
        rung = server_.reset_card(this, seen, reason);
    }
    answer.reply.words[0] = rung;
    answer.data = bytes_of(reason);
    return answer;
}

void Session::end() {
    if (!joined_ || left_)
        return;
    left_ = true;
    try {
        reset();
    } catch (const Error& error) {
        say(name() + ": " + error.what());
    }
    {
        const std::shared_lock card(server_.card());
        forget_queues();
        unmap_all();
    }
    munmap(shadow_, kShadowBytes);
    server_.return_iovas(iovas_);
    server_.return_domain(domain_);
    say(name() + " has left");
}

void Session::reset_coming(const std::string& why) {
    if (!joined_ || left_)
        return;
    Reply reply;
    reply.kind = Kind::kResetComing;
    channel_.send(reply, bytes_of(why)); // one that does not listen is dropped at its next answer
}

void Session::reset_done(const std::string& why) {
    forget_queues();
    memory_.forget();
    {
        const std::lock_guard lock(entry_mutex_);
        entry_.device_bytes = 0;
    }
    if (left_)
        windows_.clear();
    for (const auto& [index, range] : windows_) {
        talus_sqe command{};
        command.opcode = TALUS_ADMIN_SET_WINDOW;
        command.u.set_window = {
            range.first, range.second, index, domain_, TALUS_WINDOW_READ | TALUS_WINDOW_WRITE, 0,
            {}};
        server_.device().admin(command, "SET_WINDOW");
    }
    if (why.empty() || !joined_ || left_)
        return;
    Reply reply;
    reply.kind = Kind::kResetDone;
    channel_.send(reply, bytes_of(why));
}

} // namespace talus::driver::daemon
