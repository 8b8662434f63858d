// Handlers of REGION_READ, REGION_WRITE, REGION_WRITE_MULTI and DEVICE_SET_IRQS.
#include "session.hpp"

#include <bit>
#include <cerrno>

#include "wire.hpp"

namespace talus::sim::vfio_user {

int Session::check_range(uint32_t region, uint64_t offset, uint64_t count, bool write) const {
    if (region >= VFIO_USER_PCI_NUM_REGIONS || count == 0)
        return EINVAL;
    const Region what = device_.region(region);
    if (offset >= what.size || count > what.size - offset)
        return EINVAL;
    if (write ? !what.writable : !what.readable)
        return EPERM;
    return 0;
}

int Session::region_read(const Message& message, Reply& reply) {
    const auto access = wire::get<vfio_user_region_access>(message.payload);
    if (access.count > kMaxDataTransfer)
        return EINVAL;
    if (const int error = check_range(access.region, access.offset, access.count, false))
        return error;
    reply.payload.reserve(sizeof access + access.count);
    wire::put(reply.payload, access);
    reply.payload.resize(sizeof access + access.count);
    return device_.region_read(access.region, access.offset,
                               std::span(reply.payload).subspan(sizeof access));
}

int Session::write_range(const vfio_user_region_access& access, std::span<const std::byte> data) {
    if (const int error = check_range(access.region, access.offset, access.count, true))
        return error;
    return device_.region_write(access.region, access.offset, data);
}

int Session::region_write(const Message& message, Reply& reply) {
    const auto access = wire::get<vfio_user_region_access>(message.payload);
    const auto data = message.payload.subspan(sizeof access);
    if (data.size() != access.count)
        return EINVAL;
    wire::put(reply.payload, access);
    return write_range(access, data);
}

int Session::region_write_multi(const Message& message, Reply& reply) {
    const auto request = wire::get<vfio_user_write_multi>(message.payload);
    const auto body = message.payload.subspan(sizeof request);
    if (request.write_count == 0 || body.size() % sizeof(vfio_user_single_write) != 0 ||
        body.size() / sizeof(vfio_user_single_write) != request.write_count)
        return EINVAL;
    uint64_t done = 0;
    for (; done < request.write_count; ++done) {
        const auto entry = body.subspan(done * sizeof(vfio_user_single_write));
        const auto write = wire::get<vfio_user_single_write>(entry);
        int error = EINVAL;
        if (write.count <= sizeof write.data)
            error = write_range({write.offset, write.region, write.count},
                                entry.subspan(offsetof(vfio_user_single_write, data), write.count));
        // The reply counts the writes done; an error reply says that there were none.
        if (error != 0 && done == 0)
            return error;
        if (error != 0)
            break;
    }
    wire::put(reply.payload, vfio_user_write_multi{done});
    return 0;
}

int Session::set_irqs(const Message& message, Reply&) {
    const auto set = wire::get<vfio_user_irq_set>(message.payload);
    const auto data = message.payload.subspan(sizeof set);
    const uint32_t what = set.flags & VFIO_USER_IRQ_SET_DATA_MASK;
    const uint32_t action = set.flags & VFIO_USER_IRQ_SET_ACTION_TYPE_MASK;
    if (set.argsz < sizeof set || set.argsz > message.payload.size() || (set.flags & ~0x3fu) != 0 ||
        !std::has_single_bit(what) || !std::has_single_bit(action) ||
        set.index >= VFIO_USER_PCI_NUM_IRQS)
        return EINVAL;
    if (what != VFIO_USER_IRQ_SET_DATA_EVENTFD && !message.fds.empty())
        return EINVAL;
    if (data.size() != (what == VFIO_USER_IRQ_SET_DATA_BOOL ? set.count : 0u))
        return EINVAL;

    const IrqType type = device_.irq_type(set.index);
    if (set.count == 0) {
        if (set.start != 0 || what != VFIO_USER_IRQ_SET_DATA_NONE ||
            action != VFIO_USER_IRQ_SET_ACTION_TRIGGER)
            return EINVAL;
        irqs_.clear(set.index);
        device_.irq_disabled(set.index);
        return 0;
    }
    if (set.start >= type.count || set.count > type.count - set.start)
        return EINVAL;
    if (action != VFIO_USER_IRQ_SET_ACTION_TRIGGER &&
        ((type.flags & VFIO_USER_IRQ_INFO_MASKABLE) == 0 || what == VFIO_USER_IRQ_SET_DATA_EVENTFD))
        return ENOTSUP;
    if (what == VFIO_USER_IRQ_SET_DATA_EVENTFD)
        return set_irq_eventfds(set, message.fds);
    for (uint32_t i = 0; i < set.count; ++i)
        if (what == VFIO_USER_IRQ_SET_DATA_NONE || data[i] != std::byte{0})
            act_on_irq(set, set.start + i);
    return 0;
}

int Session::set_irq_eventfds(const vfio_user_irq_set& set, std::vector<UniqueFd>& fds) {
    // No descriptor at all takes the assignments away.
    if (!fds.empty() && fds.size() != set.count)
        return EINVAL;
    for (const UniqueFd& fd : fds)
        if (!IrqBank::is_eventfd(fd.get()))
            return EINVAL;
    for (uint32_t i = 0; i < set.count; ++i) {
        irqs_.assign(set.index, set.start + i, fds.empty() ? UniqueFd() : std::move(fds[i]));
        device_.irq_assigned(set.index, set.start + i, !fds.empty());
    }
    return 0;
}

void Session::act_on_irq(const vfio_user_irq_set& set, uint32_t vector) {
    switch (set.flags & VFIO_USER_IRQ_SET_ACTION_TYPE_MASK) {
    case VFIO_USER_IRQ_SET_ACTION_MASK:
        device_.irq_masked(set.index, vector, true);
        break;
    case VFIO_USER_IRQ_SET_ACTION_UNMASK:
        device_.irq_masked(set.index, vector, false);
        break;
    default: // as in VFIO, a trigger by the client itself asks neither mask nor device
        irqs_.signal(set.index, vector);
        break;
    }
}

} // namespace talus::sim::vfio_user
