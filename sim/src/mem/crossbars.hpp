// The edges of the NoC: a crossbar on each side of the die, and its links into the grid.
//
// The slices of the shared SRAM, each with its share of DRAM behind it, sit at the sides in turn. A
// crossbar does not block: it passes what its slices give and its links take. A link belongs to a
// row of PEs (left and right) or to a column (top and bottom) and has a width for each direction.
// What all PEs of a row ask for in one broadcast read crosses that row's link once, and a column's
// likewise; a link across them carries a copy for each.
//
// Time only. Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_MEM_CROSSBARS_HPP
#define TALUS_SIM_MEM_CROSSBARS_HPP

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/checkpoint.hpp"
#include "core/config.hpp"
#include "core/types.hpp"

#include "calendar.hpp"

namespace talus::sim {

class Crossbars {
  public:
    enum class Side : std::uint8_t { kLeft, kRight, kTop, kBottom };
    enum class Direction : std::uint8_t { kIntoGrid, kOutOfGrid };
    /// The number of a link that a way does not have.
    static constexpr std::uint32_t kNoLink = ~std::uint32_t{0};

    /// Of one direction of a link.
    struct Counters {
        std::uint64_t packets = 0;
        std::uint64_t bytes = 0;
        std::uint64_t wait_clocks = 0; ///< sum over the packets, beyond what an idle link takes
        void checkpoint(Checkpoint& state) { state(packets, bytes, wait_clocks); }
    };

    explicit Crossbars(const Config& config);

    Side side_of(std::size_t slice) const { return static_cast<Side>(slice % sides_); }
    /// Rows or columns from a side to a PE, that of the PE included.
    std::uint32_t hops(Side side, std::uint32_t pe) const { return road(side, pe).hops; }
    std::uint32_t link(Side side, std::uint32_t pe) const { return road(side, pe).link; }
    std::uint32_t link_count() const { return static_cast<std::uint32_t>(links_.size()); }
    /// "left row 3"
    std::string name(std::uint32_t link) const;
    /// All members of a broadcast over a column (or a row) are reached by this one link.
    bool common(std::uint32_t link, bool column) const { return (link >= 2 * rows_) == column; }

    /// A packet whose last byte comes to the link at `at` (>= now), and its bytes in the `spread`
    /// clocks before: returns when the last one has passed. A link takes bytes as they come, so an
    /// idle one that is as wide as what is before it costs no time.
    Cycle pass(Cycle now, Cycle at, std::uint32_t link, Direction direction, std::uint64_t bytes,
               Cycle spread);

    const Counters& counters(std::uint32_t link, Direction direction) const {
        return counters_[link][static_cast<std::size_t>(direction)];
    }

    void reset();
    /// See Fabric::rebase().
    void rebase(Cycle now);
    void checkpoint(Checkpoint& state) { state(counters_); }

  private:
    struct Link {
        explicit Link(std::uint64_t bytes_per_clock)
            : width(bytes_per_clock), calendar(bytes_per_clock == 0 ? 1 : bytes_per_clock, 1) {}
        std::uint64_t width; ///< bytes/clk; 0: no limit
        BandwidthCalendar calendar;
    };

    struct Road {
        std::uint32_t hops;
        std::uint32_t link;
    };
    const Road& road(Side side, std::uint32_t pe) const {
        return roads_[4 * pe + static_cast<std::size_t>(side)];
    }

    std::uint32_t sides_;
    std::uint32_t rows_;
    std::uint32_t cols_;
    std::vector<Road> roads_; ///< of each PE, to each side
    std::vector<std::array<Link, 2>>
        links_; ///< left, right, top, bottom; each from row or column 0
    std::vector<std::array<Counters, 2>> counters_;
};

} // namespace talus::sim

#endif
