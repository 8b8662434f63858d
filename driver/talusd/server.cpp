#include "server.hpp"

#include "session.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace talus::driver::daemon {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxSessions = 64; // most of them without a domain: lookers-on
constexpr std::uint8_t kFirstDomain = 2; // 0 sees all, 1 is talusd's own
constexpr std::uint64_t kScrubBytes = std::uint64_t{4} << 20;
constexpr std::chrono::seconds kTellWorking{1};

} // namespace

Server::Server(std::unique_ptr<Device> device, const ServerOptions& options)
    : device_(std::move(device)), options_(options) {
    scrub_queue_ = device_->create_queue(0, WaitBy::kSleep);
    queues_.insert(static_cast<std::uint16_t>(scrub_queue_->qid()));
}

Server::~Server() {
    reap(true);
}

void Server::serve(int listener, int stop) {
    auto idle_since = Clock::now();
    for (;;) {
        std::array<pollfd, 2> entries{pollfd{listener, POLLIN, 0}, pollfd{stop, POLLIN, 0}};
        if (poll(entries.data(), entries.size(), 200) < 0 && errno != EINTR)
            throw system_error("poll", errno);
        if (entries[1].revents != 0)
            return;
        if ((entries[0].revents & POLLIN) != 0)
            adopt(UniqueFd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)));
        // The device may ask for something, or be gone.
        device_->transport().wait(-1, std::chrono::milliseconds(0));
        const std::uint64_t seen = resets_;
        try {
            device_->require_alive();
        } catch (const Error& error) {
            std::string reason = error.what();
            reset_card(nullptr, seen, reason); // throws where that does not bring it back
        }
        reap(false);
        const std::lock_guard lock(sessions_mutex_);
        if (!sessions_.empty())
            idle_since = Clock::now();
        if (options_.idle_exit.count() != 0 && Clock::now() - idle_since >= options_.idle_exit)
            return;
    }
}

void Server::adopt(UniqueFd socket) {
    if (!socket.valid())
        return; // it changed its mind, or descriptors are short: the next one may succeed
    const std::lock_guard lock(sessions_mutex_);
    if (sessions_.size() >= kMaxSessions)
        return;
    try {
        sessions_.push_back(std::make_unique<Session>(*this, std::move(socket)));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "talusd: a client is turned away: %s\n", error.what());
    }
}

bool Server::reap(bool all) {
    std::list<std::unique_ptr<Session>>
        gone; // ended without the lock, which their threads may want
    {
        const std::lock_guard lock(sessions_mutex_);
        for (auto entry = sessions_.begin(); entry != sessions_.end();) {
            const auto next = std::next(entry);
            if (all || (*entry)->ended())
                gone.splice(gone.end(), sessions_, entry);
            entry = next;
        }
        return sessions_.empty();
    }
}

std::uint8_t Server::take_domain() {
    const std::lock_guard lock(ids_mutex_);
    const std::uint32_t end = std::min(device_->identity().max_domains, TALUS_MAX_DOMAINS);
    for (std::uint32_t domain = kFirstDomain; domain < end; ++domain)
        if (domains_.insert(static_cast<std::uint8_t>(domain)).second)
            return static_cast<std::uint8_t>(domain);
    throw Error(TALUS_DRV_BUSY, "talusd serves " + std::to_string(end - kFirstDomain) +
                                    " clients, as many as the device keeps apart");
}

void Server::return_domain(std::uint8_t domain) {
    const std::lock_guard lock(ids_mutex_);
    domains_.erase(domain);
}

std::uint64_t Server::take_iovas() {
    return device_->iovas().allocate(kIovaBytes, std::uint64_t{1} << 30);
}

void Server::return_iovas(std::uint64_t begin) {
    device_->iovas().release(begin);
}

std::uint16_t Server::take_queue() {
    const std::lock_guard lock(ids_mutex_);
    const std::uint32_t end = std::min(device_->identity().max_queues, TALUS_MAX_QUEUES);
    for (std::uint32_t qid = 1; qid < end; ++qid)
        if (queues_.insert(static_cast<std::uint16_t>(qid)).second)
            return static_cast<std::uint16_t>(qid);
    throw Error(TALUS_DRV_BUSY, "every queue of the device is in use");
}

void Server::return_queue(std::uint16_t qid) {
    const std::lock_guard lock(ids_mutex_);
    queues_.erase(qid);
}

void Server::scrub(std::uint64_t address, std::uint64_t bytes,
                   const std::function<void()>& working) {
    static const std::vector<std::byte> zeros(kScrubBytes);
    auto told = std::chrono::steady_clock::now();
    for (std::uint64_t done = 0; done < bytes; done += kScrubBytes) {
        {
            // Part by part, so that a client with little memory need not wait for one with much.
            const std::lock_guard lock(scrub_mutex_);
            scrub_queue_->copy_in(address + done, zeros.data(),
                                  std::min(kScrubBytes, bytes - done));
        }
        if (const auto now = std::chrono::steady_clock::now(); now - told >= kTellWorking) {
            working();
            told = now;
        }
    }
}

talus_drv_rung Server::reset_card(Session* by, std::uint64_t seen, std::string& reason) {
    const std::unique_lock card(card_);
    if (resets_ != seen)
        return latest_rung_;
    const std::string why =
        (by != nullptr ? "for " + by->name() + ", whose commands did not end: " : "") + reason;
    std::fprintf(stderr, "talusd: resets the card: %s\n", why.c_str());
    const std::lock_guard lock(sessions_mutex_);
    for (const auto& session : sessions_)
        if (session.get() != by)
            session->reset_coming(why);
    std::string milder;
    latest_rung_ = device_->reset(&milder);
    if (!milder.empty())
        reason = milder + "; " + reason;
    device_->destroy_queue(scrub_queue_);
    scrub_queue_ = device_->create_queue(0, WaitBy::kSleep);
    for (const auto& session : sessions_)
        session->reset_done(session.get() == by ? "" : why);
    ++resets_;
    return latest_rung_;
}

std::vector<ClientEntry> Server::clients() {
    const std::lock_guard lock(sessions_mutex_);
    std::vector<ClientEntry> entries;
    for (const auto& session : sessions_)
        if (const ClientEntry entry = session->entry(); entry.domain != 0 && !session->ended())
            entries.push_back(entry);
    return entries;
}

} // namespace talus::driver::daemon
