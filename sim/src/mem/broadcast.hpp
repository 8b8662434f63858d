// Broadcast reads: requests of the PEs of a row or a column that the NoC coalesces into one. The
// members meet here; the answers' times are shared between them.
//
// Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_MEM_BROADCAST_HPP
#define TALUS_SIM_MEM_BROADCAST_HPP

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "core/types.hpp"

namespace talus::sim {

/// What all members of a broadcast must agree on.
struct BroadcastRead {
    std::uint64_t address = 0;
    std::uint32_t row_bytes = 0;
    std::uint32_t rows = 0;
    std::uint32_t pitch = 0; ///< of the source
    bool operator==(const BroadcastRead&) const = default;
};

/// The packets of one broadcast, numbered in the order in which every member asks for them.
class BroadcastTransfer {
  public:
    explicit BroadcastTransfer(bool column) : column_(column) {}
    bool column() const { return column_; } ///< over a column of PEs, not a row

    struct Packet {
        bool asked = false;                 ///< the first member's request is the one request
        Cycle data = kNever;                ///< when the data left the memory, once that is known
        Cycle over_link = kNever;           ///< ... and crossed the link that all members share
        std::vector<std::uint32_t> waiting; ///< members that asked before: the fabric's numbers
    };
    Packet& packet(std::size_t number) {
        if (number >= packets_.size()) {
            packets_.resize(number + 1);
        }
        return packets_[number];
    }

  private:
    bool column_;
    std::vector<Packet> packets_;
};

/// A member that waits for the others.
class BroadcastMember {
  public:
    virtual ~BroadcastMember() = default;
    /// The last member has come: the transfer may begin.
    virtual void broadcast_begins(std::shared_ptr<BroadcastTransfer> transfer, Cycle now) = 0;
};

/// Where the members of each line meet. A member waits in at most one broadcast per line and core.
class BroadcastRendezvous {
  public:
    /// A row or a column of a sub-grid, for one of the two cores' queues.
    struct Line {
        std::uint32_t rect = 0; ///< PE_SUBGRID_RECT
        bool column = false;
        std::uint32_t index = 0; ///< which row or column of the sub-grid
        std::uint8_t core = 0;
        auto operator<=>(const Line&) const = default;
        std::uint32_t members() const { return column ? rect >> 16 & 0xff : rect >> 24; }
    };

    explicit BroadcastRendezvous(std::uint32_t grid_cols) : grid_cols_(grid_cols) {}

    /// The line of physical PE `pe`, whose sub-grid is `rect`. The PE must lie in it.
    Line line(std::uint32_t pe, std::uint32_t rect, bool column, std::uint8_t core) const;

    /// Null if `read` agrees with what the line's waiting members ask for, or none waits; otherwise
    /// what the first of them asked for.
    const BroadcastRead* conflict(const Line& line, const BroadcastRead& read) const;

    /// `pe` joins. Returns the transfer if it was the last; then the others have been told.
    /// Otherwise null: `member` will be told. It must not conflict.
    std::shared_ptr<BroadcastTransfer> join(const Line& line, const BroadcastRead& read,
                                            std::uint32_t pe, BroadcastMember& member, Cycle now);
    /// `pe` no longer waits anywhere.
    void leave(std::uint32_t pe);

    /// "row 2 of the sub-grid: 0.1, 0.3 have not asked": physical PEs as row.column.
    std::string missing(const Line& line) const;

  private:
    struct Waiting {
        std::uint32_t pe;
        BroadcastMember* member;
    };
    struct Group {
        BroadcastRead read;
        std::vector<Waiting> members; ///< in the order in which they came
    };

    std::uint32_t grid_cols_;
    std::map<Line, Group> groups_; ///< only those in which someone waits
};

} // namespace talus::sim

#endif
