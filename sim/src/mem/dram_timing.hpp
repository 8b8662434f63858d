// What an LPDDR5 device asks between two commands, as a table.
#ifndef TALUS_SIM_MEM_DRAM_TIMING_HPP
#define TALUS_SIM_MEM_DRAM_TIMING_HPP

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/config.hpp"

namespace talus::sim {

/// Clocks of the DRAM controller (dram.clock_ps).
using DramClock = std::int64_t;

enum class DramCommand : std::uint8_t {
    kActivate1,    ///< first half of a split activation; all row timing counts from it
    kActivate2,    ///< second half, at most nAAD later: the row is open
    kPrecharge,    ///< one bank
    kPrechargeAll, ///< all banks of a rank
    kRead,
    kWrite,
    kRefreshAll,  ///< a rank
    kRefreshBank, ///< one bank
};
inline constexpr unsigned kDramCommands = 8;

enum class DramLevel : std::uint8_t { kChannel, kRank, kBankGroup, kBank };
inline constexpr unsigned kDramLevels = 4;

/// `following` may come no earlier than `clocks` after `preceding` at the same node of `level`;
/// `siblings`: at the other nodes of that level instead.
struct DramConstraint {
    const char* name; ///< JEDEC's term
    DramLevel level;
    std::vector<DramCommand> preceding;
    std::vector<DramCommand> following;
    DramClock clocks;
    bool siblings = false;
    unsigned window = 1; ///< counts from the window-th last `preceding`
};

/// JESD209-5B, bank-group mode, as Ramulator 2.1's LPDDR5 states it.
std::vector<DramConstraint> lpddr5_constraints(const DramConfig& dram);

/// The table, compiled for look-up by level and preceding command.
class DramTimingTable {
  public:
    struct Rule {
        DramClock clocks;
        DramCommand following;
        std::uint8_t window;
    };
    /// Throws std::invalid_argument: a window with more than one preceding command, or above 8.
    explicit DramTimingTable(const std::vector<DramConstraint>& constraints);

    std::span<const Rule> own(DramLevel level, DramCommand preceding) const {
        return slice(index(level, preceding, false));
    }
    std::span<const Rule> siblings(DramLevel level, DramCommand preceding) const {
        return slice(index(level, preceding, true));
    }

  private:
    static constexpr std::size_t kSlices = 2 * kDramLevels * kDramCommands;
    static std::size_t index(DramLevel level, DramCommand command, bool siblings) {
        return (static_cast<std::size_t>(command) * kDramLevels + static_cast<std::size_t>(level)) *
                   2 +
               (siblings ? 1 : 0);
    }
    std::span<const Rule> slice(std::size_t index) const {
        return {rules_.data() + begin_[index], rules_.data() + begin_[index + 1]};
    }
    std::vector<Rule> rules_;
    std::array<std::uint16_t, kSlices + 1> begin_{};
};

} // namespace talus::sim

#endif
