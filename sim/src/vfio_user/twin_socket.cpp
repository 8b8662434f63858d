#include "twin_socket.hpp"

#include <array>
#include <sys/socket.h>

namespace talus::sim::vfio_user {
namespace {

constexpr int kReadsPerPump = 256;
constexpr size_t kMaxPayload = VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE + sizeof(vfio_user_dma_access);

} // namespace

std::unique_ptr<TwinSocket> TwinSocket::create(DmaChannel& replies, std::function<void()> wake,
                                               UniqueFd& client_end) {
    std::array<int, 2> ends;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
        return nullptr;
    client_end = UniqueFd(ends[1]);
    return std::unique_ptr<TwinSocket>(new TwinSocket(UniqueFd(ends[0]), replies, std::move(wake)));
}

TwinSocket::TwinSocket(UniqueFd socket, DmaChannel& replies, std::function<void()> wake)
    : transport_(std::move(socket)), outbox_(transport_, std::move(wake)), replies_(replies) {}

TwinSocket::State TwinSocket::pump() {
    for (int i = 0; i < kReadsPerPump; ++i) {
        const bool in_header = header_bytes_ < sizeof header_;
        const auto buffer =
            in_header ? std::as_writable_bytes(std::span(&header_, 1)).subspan(header_bytes_)
                      : std::span(payload_).subspan(payload_bytes_);
        size_t bytes = 0;
        std::vector<UniqueFd> fds; // none belong to a reply: closed
        bool fds_lost = false;
        switch (transport_.receive(buffer, bytes, fds, fds_lost)) {
        case Transport::Result::kWouldBlock:
            return State::kGoesOn;
        case Transport::Result::kClosed:
            return State::kClosed;
        case Transport::Result::kMoved:
            break;
        }
        if (in_header) {
            header_bytes_ += bytes;
            if (header_bytes_ < sizeof header_)
                continue;
            if ((header_.flags & VFIO_USER_FLAG_TYPE_MASK) != VFIO_USER_FLAG_REPLY ||
                header_.size < sizeof header_ || header_.size - sizeof header_ > kMaxPayload)
                return State::kNonsense;
            payload_.resize(header_.size - sizeof header_);
            payload_bytes_ = 0;
        } else {
            payload_bytes_ += bytes;
        }
        if (payload_bytes_ == payload_.size()) {
            header_bytes_ = 0;
            replies_.on_reply(header_, payload_);
        }
    }
    return State::kGoesOn;
}

} // namespace talus::sim::vfio_user
