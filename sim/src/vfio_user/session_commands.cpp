// Handlers of VERSION, DEVICE_GET_INFO, DEVICE_GET_REGION_INFO, DEVICE_GET_REGION_IO_FDS,
// DEVICE_GET_IRQ_INFO, DMA_MAP, DMA_UNMAP and DEVICE_RESET.
#include "session.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "wire.hpp"

namespace talus::sim::vfio_user {
namespace {

using nlohmann::json;

// What the client's version message says.
struct ClientCapabilities {
    json offered = json::object();
    bool twin_socket = false;
    uint64_t max_data_transfer = VFIO_USER_DEFAULT_MAX_DATA_XFER_SIZE;
    uint64_t max_message_fds = VFIO_USER_DEFAULT_MAX_MSG_FDS;
};

// A member that is a positive number; false if it is there and is anything else.
bool read_limit(const json& capabilities, const char* name, uint64_t& value) {
    const auto member = capabilities.find(name);
    if (member == capabilities.end())
        return true;
    if (!member->is_number_unsigned() || member->get<uint64_t>() == 0)
        return false;
    value = member->get<uint64_t>();
    return true;
}

std::optional<ClientCapabilities> parse_capabilities(std::span<const std::byte> text) {
    ClientCapabilities result;
    if (text.empty())
        return result;
    if (text.back() != std::byte{0})
        return std::nullopt;
    const auto* first = reinterpret_cast<const char*>(text.data());
    const json document = json::parse(first, first + text.size() - 1, nullptr, false);
    if (!document.is_object())
        return std::nullopt;
    const auto member = document.find("capabilities");
    if (member == document.end())
        return result;
    if (!member->is_object())
        return std::nullopt;
    result.offered = *member;
    uint64_t ignored = 0;
    if (!read_limit(*member, VFIO_USER_CAP_MAX_DATA_XFER_SIZE, result.max_data_transfer) ||
        !read_limit(*member, VFIO_USER_CAP_MAX_MSG_FDS, result.max_message_fds) ||
        !read_limit(*member, VFIO_USER_CAP_MAX_DMA_MAPS, ignored) ||
        !read_limit(*member, VFIO_USER_CAP_PGSIZES, ignored))
        return std::nullopt;
    const auto twin = member->find(VFIO_USER_CAP_TWIN_SOCKET);
    result.twin_socket = twin != member->end() && twin->is_object() &&
                         twin->contains("supported") && twin->at("supported") == true;
    return result;
}

} // namespace

int Session::version(const Message& message, Reply& reply) {
    const auto request = wire::get<vfio_user_version>(message.payload);
    if (request.major != VFIO_USER_MAJOR) {
        closed_ = true; // after the error reply: no other version is spoken here
        return EINVAL;
    }
    const auto client = parse_capabilities(message.payload.subspan(sizeof request));
    if (!client)
        return EINVAL;

    // Only what the client named: the reply is a subset of the proposal, and QEMU's buffer for the
    // reply is no longer than its request.
    json capabilities = json::object();
    const auto answer = [&](const char* name, auto value) {
        if (client->offered.contains(name))
            capabilities[name] = value;
    };
    max_message_fds_ = static_cast<uint32_t>(
        std::clamp<uint64_t>(client->max_message_fds, kMinMessageFds, kMaxMessageFds));
    answer(VFIO_USER_CAP_MAX_MSG_FDS, max_message_fds_);
    answer(VFIO_USER_CAP_MAX_DATA_XFER_SIZE, kMaxDataTransfer);
    answer(VFIO_USER_CAP_MAX_DMA_MAPS, VFIO_USER_DEFAULT_MAX_DMA_MAPS);
    answer(VFIO_USER_CAP_PGSIZES, ClientMemory::kPageBytes);
    answer(VFIO_USER_CAP_WRITE_MULTIPLE, true);
    if (client->twin_socket && (message.header.flags & VFIO_USER_FLAG_NO_REPLY) == 0)
        twin_ = TwinSocket::create(memory_.channel(), hooks_.wake, reply.owned);
    if (twin_) {
        reply.fds.push_back(reply.owned.get());
        capabilities[VFIO_USER_CAP_TWIN_SOCKET] = {{"supported", true}, {"fd_index", 0}};
    }

    wire::put(reply.payload, vfio_user_version{VFIO_USER_MAJOR,
                                               std::min<uint16_t>(request.minor, VFIO_USER_MINOR)});
    if (message.payload.size() > sizeof request) {
        const std::string text = json{{"capabilities", capabilities}}.dump();
        wire::put_bytes(reply.payload, std::as_bytes(std::span(text.c_str(), text.size() + 1)));
    }

    negotiated_ = true;
    memory_.channel().open(
        [this](const vfio_user_header& header, std::span<const std::byte> payload) {
            return twin_ ? twin_->send(header, payload) : outbox_.send(header, payload);
        },
        static_cast<size_t>(
            std::min<uint64_t>(client->max_data_transfer, ClientMemory::kPieceBytes)),
        [this] { return transport_.peer_stopped(); });
    device_.client_arrived();
    return 0;
}

int Session::device_info(const Message& message, Reply& reply) {
    const auto request = wire::get<vfio_user_device_info>(message.payload);
    if (request.argsz < sizeof request || request.flags != 0)
        return EINVAL;
    wire::put(reply.payload,
              vfio_user_device_info{sizeof(vfio_user_device_info),
                                    VFIO_USER_DEVICE_FLAG_RESET | VFIO_USER_DEVICE_FLAG_PCI,
                                    VFIO_USER_PCI_NUM_REGIONS, VFIO_USER_PCI_NUM_IRQS});
    return 0;
}

int Session::region_info(const Message& message, Reply& reply) {
    const auto request = wire::get<vfio_user_region_info>(message.payload);
    if (request.argsz < sizeof request || request.flags != 0 ||
        request.index >= VFIO_USER_PCI_NUM_REGIONS)
        return EINVAL;

    const Region region = device_.region(request.index);
    vfio_user_region_info info = {};
    info.argsz = sizeof info;
    info.index = request.index;
    info.size = region.size;
    info.flags = (region.readable ? VFIO_USER_REGION_FLAG_READ : 0) |
                 (region.writable ? VFIO_USER_REGION_FLAG_WRITE : 0);
    const bool mappable = region.size > 0 && region.fd >= 0;
    const bool sparse = mappable && !region.areas.empty();
    if (sparse)
        info.argsz += static_cast<uint32_t>(sizeof(vfio_user_cap_sparse_mmap) +
                                            region.areas.size() * sizeof(vfio_user_sparse_area));
    // Without room for the capabilities there is nothing to map by yet: flags and descriptor come
    // with the full reply.
    if (!mappable || info.argsz > request.argsz) {
        wire::put(reply.payload, info);
        return 0;
    }
    info.flags |= VFIO_USER_REGION_FLAG_MMAP;
    info.offset = region.file_offset;
    reply.fds.push_back(region.fd);
    if (!sparse) {
        wire::put(reply.payload, info);
        return 0;
    }
    info.flags |= VFIO_USER_REGION_FLAG_CAPS;
    info.cap_offset = sizeof info;
    wire::put(reply.payload, info);
    vfio_user_cap_sparse_mmap capability = {};
    capability.header = {VFIO_USER_CAP_ID_SPARSE_MMAP, VFIO_USER_CAP_VERSION_SPARSE_MMAP, 0};
    capability.nr_areas = static_cast<uint32_t>(region.areas.size());
    wire::put(reply.payload, capability);
    for (const vfio_user_sparse_area& area : region.areas)
        wire::put(reply.payload, area);
    return 0;
}

int Session::region_io_fds(const Message& message, Reply& reply) {
    auto info = wire::get<vfio_user_region_io_fds>(message.payload);
    if (info.argsz < sizeof info || info.flags != 0 || info.count != 0 ||
        info.index >= VFIO_USER_PCI_NUM_REGIONS)
        return EINVAL;
    // None: an ioeventfd would lose the value written to a doorbell.
    info.argsz = sizeof info;
    wire::put(reply.payload, info);
    return 0;
}

int Session::irq_info(const Message& message, Reply& reply) {
    auto info = wire::get<vfio_user_irq_info>(message.payload);
    if (info.argsz < sizeof info || info.flags != 0 || info.index >= VFIO_USER_PCI_NUM_IRQS)
        return EINVAL;
    const IrqType type = device_.irq_type(info.index);
    info.argsz = sizeof info;
    info.flags = type.flags;
    info.count = type.count;
    wire::put(reply.payload, info);
    return 0;
}

int Session::dma_map(const Message& message, Reply&) {
    const auto request = wire::get<vfio_user_dma_map>(message.payload);
    constexpr uint32_t kKnown = VFIO_USER_DMA_FLAG_READ | VFIO_USER_DMA_FLAG_WRITE;
    if (request.argsz < sizeof request || (request.flags & ~kKnown) != 0 || message.fds.size() > 1)
        return EINVAL;
    UniqueFd fd;
    if (!message.fds.empty())
        fd = std::move(message.fds.front());
    return memory_.map(
        request.address, request.size, (request.flags & VFIO_USER_DMA_FLAG_READ) != 0,
        (request.flags & VFIO_USER_DMA_FLAG_WRITE) != 0, request.offset, std::move(fd));
}

int Session::dma_unmap(const Message& message, Reply& reply) {
    const auto request = wire::get<vfio_user_dma_unmap>(message.payload);
    if (request.argsz < sizeof request)
        return EINVAL;
    if (request.flags == VFIO_USER_DMA_UNMAP_FLAG_ALL) {
        if (request.address != 0 || request.size != 0)
            return EINVAL;
        memory_.unmap_all();
    } else if (request.flags != 0) {
        return EINVAL;
    } else if (const int error = memory_.unmap(request.address, request.size)) {
        return error;
    }
    wire::put(reply.payload, request);
    return 0;
}

int Session::device_reset(const Message&, Reply&) {
    device_.reset();
    return 0;
}

} // namespace talus::sim::vfio_user
