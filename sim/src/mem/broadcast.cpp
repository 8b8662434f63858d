#include "broadcast.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace talus::sim {

BroadcastRendezvous::Line BroadcastRendezvous::line(std::uint32_t pe, std::uint32_t rect,
                                                    bool column, std::uint8_t core) const {
    const std::uint32_t row = pe / grid_cols_ - (rect & 0xff);
    const std::uint32_t col = pe % grid_cols_ - (rect >> 8 & 0xff);
    return {rect, column, column ? col : row, core};
}

const BroadcastRead* BroadcastRendezvous::conflict(const Line& line,
                                                   const BroadcastRead& read) const {
    const auto found = groups_.find(line);
    return found == groups_.end() || found->second.read == read ? nullptr : &found->second.read;
}

std::shared_ptr<BroadcastTransfer> BroadcastRendezvous::join(const Line& line,
                                                             const BroadcastRead& read,
                                                             std::uint32_t pe,
                                                             BroadcastMember& member, Cycle now) {
    Group& group = groups_[line];
    group.read = read;
    if (group.members.size() + 1 < line.members()) {
        group.members.push_back({pe, &member});
        return nullptr;
    }
    const std::vector<Waiting> others = std::move(group.members);
    groups_.erase(line);
    auto transfer = std::make_shared<BroadcastTransfer>(line.column);
    for (const Waiting& other : others) {
        other.member->broadcast_begins(transfer, now);
    }
    return transfer;
}

void BroadcastRendezvous::leave(std::uint32_t pe) {
    for (auto at = groups_.begin(); at != groups_.end();) {
        std::vector<Waiting>& members = at->second.members;
        std::erase_if(members, [&](const Waiting& waiting) { return waiting.pe == pe; });
        at = members.empty() ? groups_.erase(at) : std::next(at);
    }
}

std::string BroadcastRendezvous::missing(const Line& line) const {
    const auto found = groups_.find(line);
    std::string absent;
    for (std::uint32_t i = 0; i < line.members(); ++i) {
        const std::uint32_t row = (line.rect & 0xff) + (line.column ? i : line.index);
        const std::uint32_t col = (line.rect >> 8 & 0xff) + (line.column ? line.index : i);
        const std::uint32_t pe = row * grid_cols_ + col;
        const bool there = found != groups_.end() &&
                           std::any_of(found->second.members.begin(), found->second.members.end(),
                                       [&](const Waiting& waiting) { return waiting.pe == pe; });
        if (!there) {
            absent += fmt::format("{}{}.{}", absent.empty() ? "" : ", ", row, col);
        }
    }
    return fmt::format("{} {} of the sub-grid: {} have not asked", line.column ? "column" : "row",
                       line.index, absent);
}

} // namespace talus::sim
