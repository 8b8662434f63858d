#include "outbox.hpp"

#include <cstring>
#include <fcntl.h>

namespace talus::sim::vfio_user {

Outbox::Outbox(Transport& transport, std::function<void()> wake)
    : transport_(transport), wake_(std::move(wake)) {}

bool Outbox::send(const vfio_user_header& header, std::span<const std::byte> payload,
                  std::span<const int> fds) {
    Waiting message;
    message.data.resize(sizeof header + payload.size());
    std::memcpy(message.data.data(), &header, sizeof header);
    if (!payload.empty())
        std::memcpy(message.data.data() + sizeof header, payload.data(), payload.size());

    {
        const std::lock_guard lock(mutex_);
        if (closed_)
            return false;
        if (waiting_.empty()) {
            // One call for header and payload: QEMU takes a header in two parts for a broken
            // stream.
            size_t sent = 0;
            const auto result = transport_.send(message.data, fds, sent);
            if (result == Transport::Result::kClosed) {
                closed_ = true;
                return false;
            }
            if (sent == message.data.size())
                return true;
            message.sent = sent;
        }
        if (message.sent == 0) {
            for (const int fd : fds)
                message.fds.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
        }
        pending_bytes_ += message.data.size() - message.sent;
        waiting_.push_back(std::move(message));
    }
    if (wake_)
        wake_();
    return true;
}

void Outbox::flush() {
    const std::lock_guard lock(mutex_);
    if (!closed_)
        drain();
}

void Outbox::close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    waiting_.clear();
    pending_bytes_ = 0;
}

void Outbox::drain() {
    while (!waiting_.empty()) {
        Waiting& message = waiting_.front();
        std::vector<int> fds;
        for (const UniqueFd& fd : message.fds)
            if (fd)
                fds.push_back(fd.get());
        size_t sent = 0;
        const auto result =
            transport_.send(std::span(message.data).subspan(message.sent), fds, sent);
        if (result == Transport::Result::kClosed) {
            closed_ = true;
            waiting_.clear();
            pending_bytes_ = 0;
            return;
        }
        if (result == Transport::Result::kWouldBlock)
            return;
        message.sent += sent;
        message.fds.clear();
        pending_bytes_ -= sent;
        if (message.sent == message.data.size())
            waiting_.pop_front();
    }
}

} // namespace talus::sim::vfio_user
