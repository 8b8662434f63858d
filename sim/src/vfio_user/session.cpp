#include "session.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>

namespace talus::sim::vfio_user {
namespace {

// The largest message that a client has a reason to send, and bounds for one turn of the loop.
constexpr size_t kMaxPayload = kMaxDataTransfer + sizeof(vfio_user_region_access);
constexpr int kReadsPerPump = 256;
constexpr size_t kOutputLimit = 8u << 20;

} // namespace

// The handlers are in session_commands.cpp (queries, DMA) and session_regions.cpp (regions, IRQs).
// A payload is between min and max bytes; `fds`: whether descriptors may come with the message.
struct Session::Command {
    uint16_t id;
    uint32_t min_payload;
    uint32_t max_payload;
    bool fds;
    int (Session::*handler)(const Message&, Reply&);
    const char* name;
};

const Session::Command Session::kCommands[] = {
    {VFIO_USER_VERSION, sizeof(vfio_user_version), 65536, false, &Session::version, "VERSION"},
    {VFIO_USER_DMA_MAP, sizeof(vfio_user_dma_map), sizeof(vfio_user_dma_map), true,
     &Session::dma_map, "DMA_MAP"},
    {VFIO_USER_DMA_UNMAP, sizeof(vfio_user_dma_unmap), sizeof(vfio_user_dma_unmap), false,
     &Session::dma_unmap, "DMA_UNMAP"},
    {VFIO_USER_DEVICE_GET_INFO, sizeof(vfio_user_device_info), sizeof(vfio_user_device_info), false,
     &Session::device_info, "DEVICE_GET_INFO"},
    {VFIO_USER_DEVICE_GET_REGION_INFO, sizeof(vfio_user_region_info), sizeof(vfio_user_region_info),
     false, &Session::region_info, "DEVICE_GET_REGION_INFO"},
    {VFIO_USER_DEVICE_GET_REGION_IO_FDS, sizeof(vfio_user_region_io_fds),
     sizeof(vfio_user_region_io_fds), false, &Session::region_io_fds, "DEVICE_GET_REGION_IO_FDS"},
    {VFIO_USER_DEVICE_GET_IRQ_INFO, sizeof(vfio_user_irq_info), sizeof(vfio_user_irq_info), false,
     &Session::irq_info, "DEVICE_GET_IRQ_INFO"},
    {VFIO_USER_DEVICE_SET_IRQS, sizeof(vfio_user_irq_set), kMaxPayload, true, &Session::set_irqs,
     "DEVICE_SET_IRQS"},
    {VFIO_USER_REGION_READ, sizeof(vfio_user_region_access), sizeof(vfio_user_region_access), false,
     &Session::region_read, "REGION_READ"},
    {VFIO_USER_REGION_WRITE, sizeof(vfio_user_region_access), kMaxPayload, false,
     &Session::region_write, "REGION_WRITE"},
    {VFIO_USER_DMA_READ, 0, kMaxPayload, false, &Session::wrong_direction, "DMA_READ"},
    {VFIO_USER_DMA_WRITE, 0, kMaxPayload, false, &Session::wrong_direction, "DMA_WRITE"},
    {VFIO_USER_DEVICE_RESET, 0, 0, false, &Session::device_reset, "DEVICE_RESET"},
    {VFIO_USER_DIRTY_PAGES, 0, kMaxPayload, false, &Session::unsupported, "DIRTY_PAGES"},
    {VFIO_USER_REGION_WRITE_MULTI, sizeof(vfio_user_write_multi), kMaxPayload, false,
     &Session::region_write_multi, "REGION_WRITE_MULTI"},
    {VFIO_USER_DEVICE_FEATURE, 0, kMaxPayload, false, &Session::unsupported, "DEVICE_FEATURE"},
    {VFIO_USER_MIG_DATA_READ, 0, kMaxPayload, false, &Session::unsupported, "MIG_DATA_READ"},
    {VFIO_USER_MIG_DATA_WRITE, 0, kMaxPayload, false, &Session::unsupported, "MIG_DATA_WRITE"},
};

Session::Session(Transport& transport, Device& device, ClientMemory& memory, IrqBank& irqs,
                 Hooks hooks)
    : transport_(transport), device_(device), memory_(memory), irqs_(irqs),
      hooks_(std::move(hooks)), outbox_(transport, hooks_.wake) {
    for (uint32_t index = 0; index < VFIO_USER_PCI_NUM_IRQS; ++index)
        irqs_.set_count(index, device_.irq_type(index).count);
}

Session::~Session() {
    end();
}

void Session::end() {
    if (std::exchange(ended_, true))
        return;
    // The device's threads stop first: nothing of what follows is in their use any more.
    memory_.set_enabled(false);
    memory_.channel().close(); // and no thread is in the twin's send() any more
    outbox_.close();
    twin_.reset();
    memory_.unmap_all();
    irqs_.clear_all();
    fds_.clear();
    device_.client_gone();
}

bool Session::wants_read() const {
    return outbox_.pending_bytes() < kOutputLimit;
}

void Session::flush() {
    outbox_.flush();
    if (twin_)
        twin_->flush();
}

Session::State Session::pump() {
    const auto twin = twin_ ? twin_->pump() : TwinSocket::State::kGoesOn;
    if (twin != TwinSocket::State::kGoesOn) {
        if (twin == TwinSocket::State::kNonsense && hooks_.report)
            hooks_.report("vfio-user: what came by the twin socket is no reply; it is closed");
        memory_.channel().close();
        twin_.reset();
    }
    for (int i = 0; i < kReadsPerPump; ++i) {
        if (!wants_read())
            return State::kIdle;
        if (!receive_some())
            return closed_ ? State::kOver : State::kIdle;
        if (closed_)
            return State::kOver;
    }
    return State::kMore;
}

// Advances the message being received by at most one read and dispatches it when complete. Header
// and payload are read separately and exactly, so that descriptors are attributed to the message
// that they came with. False if there was nothing to read.
bool Session::receive_some() {
    std::array<std::byte, 4096> discarded;
    std::span<std::byte> buffer;
    const bool in_header = header_bytes_ < sizeof header_;
    if (skip_ > 0)
        buffer = std::span(discarded).first(std::min<uint64_t>(skip_, discarded.size()));
    else if (in_header)
        buffer = std::as_writable_bytes(std::span(&header_, 1)).subspan(header_bytes_);
    else
        buffer = std::span(payload_).subspan(payload_bytes_);

    size_t bytes = 0;
    bool fds_lost = false;
    const auto result = transport_.receive(buffer, bytes, fds_, fds_lost);
    const bool progress = result == Transport::Result::kMoved;
    closed_ = result == Transport::Result::kClosed;
    if (fds_lost)
        early_error_ = EMFILE;
    if (fds_.size() > max_message_fds_) {
        fds_.clear();
        early_error_ = EINVAL;
    }
    if (!progress)
        return false;

    if (skip_ > 0) {
        skip_ -= bytes;
        fds_.clear();
        if (skip_ == 0)
            early_error_ = 0;
    } else if (in_header) {
        header_bytes_ += bytes;
        if (header_bytes_ == sizeof header_)
            begin_message();
    } else {
        payload_bytes_ += bytes;
        if (payload_bytes_ == payload_.size())
            dispatch();
    }
    return true;
}

void Session::begin_message() {
    payload_.clear();
    payload_bytes_ = 0;
    // A size below the header's own is a lie about at least itself; the header is all there is.
    if (header_.size < sizeof header_) {
        early_error_ = EINVAL;
    } else if (header_.size - sizeof header_ > kMaxPayload) {
        const vfio_user_header header = header_;
        skip_ = header.size - sizeof header;
        header_bytes_ = 0;
        fds_.clear();
        early_error_ = 0;
        if ((header.flags & VFIO_USER_FLAG_TYPE_MASK) != VFIO_USER_FLAG_REPLY)
            send_error(header, EMSGSIZE);
        return;
    } else {
        payload_.resize(header_.size - sizeof header_);
    }
    if (payload_.empty())
        dispatch();
}

void Session::dispatch() {
    header_bytes_ = 0;
    const int early_error = std::exchange(early_error_, 0);
    std::vector<UniqueFd> fds = std::exchange(fds_, {});
    const uint32_t type = header_.flags & VFIO_USER_FLAG_TYPE_MASK;

    if (type == VFIO_USER_FLAG_REPLY) {
        // Never answered, whatever it holds: an answer to an answer has no end.
        if (early_error == 0)
            memory_.channel().on_reply(header_, payload_);
        return;
    }
    constexpr uint32_t kKnown = VFIO_USER_FLAG_TYPE_MASK | VFIO_USER_FLAG_NO_REPLY;
    if (early_error != 0 || type != VFIO_USER_FLAG_COMMAND || (header_.flags & ~kKnown) != 0)
        return send_error(header_, early_error != 0 ? early_error : EINVAL);

    Reply reply;
    const int error = execute({header_, payload_, fds}, reply);
    if (error != 0)
        send_error(header_, error);
    else
        send_reply(header_, reply);
}

int Session::execute(const Message& message, Reply& reply) {
    const auto command = std::ranges::find(kCommands, message.header.command, &Command::id);
    if (command == std::end(kCommands))
        return ENOTSUP;
    if (message.payload.size() < command->min_payload ||
        message.payload.size() > command->max_payload)
        return EINVAL;
    if (!command->fds && !message.fds.empty())
        return EINVAL;
    // The version comes first and once.
    if (negotiated_ == (command->id == VFIO_USER_VERSION))
        return EINVAL;
    return (this->*command->handler)(message, reply);
}

void Session::send_reply(const vfio_user_header& request, const Reply& reply) {
    if ((request.flags & VFIO_USER_FLAG_NO_REPLY) != 0)
        return;
    vfio_user_header header = {};
    header.message_id = request.message_id;
    header.command = request.command;
    header.size = static_cast<uint32_t>(sizeof header + reply.payload.size());
    header.flags = VFIO_USER_FLAG_REPLY;
    outbox_.send(header, reply.payload, reply.fds);
}

void Session::send_error(const vfio_user_header& request, int error) {
    // Unmapping what is not mapped is how a client with a virtual IOMMU makes sure; no reason to
    // talk.
    const bool harmless = request.command == VFIO_USER_DMA_UNMAP && error == ENOENT;
    if (hooks_.report && !harmless) {
        const auto command = std::ranges::find(kCommands, request.command, &Command::id);
        const std::string name = command == std::end(kCommands)
                                     ? "command " + std::to_string(request.command)
                                     : command->name;
        hooks_.report("vfio-user: " + name + " (message " + std::to_string(request.message_id) +
                      ", " + std::to_string(request.size) + " bytes): " + std::strerror(error));
    }
    if ((request.flags & VFIO_USER_FLAG_NO_REPLY) != 0)
        return;
    vfio_user_header header = {};
    header.message_id = request.message_id;
    header.command = request.command;
    header.size = sizeof header;
    header.flags = VFIO_USER_FLAG_REPLY | VFIO_USER_FLAG_ERROR;
    header.error = static_cast<uint32_t>(error);
    outbox_.send(header, {});
}

int Session::unsupported(const Message&, Reply&) {
    return ENOTSUP;
}

int Session::wrong_direction(const Message&, Reply&) {
    return EINVAL;
}

} // namespace talus::sim::vfio_user
