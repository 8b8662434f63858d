// The part of the shared SRAM that is a hardware cache in front of DRAM (LLC), as tags: contents
// are in memory alone, so its size never changes a result.
//
// Lines are as long as the slices' interleave, in sectors of 64 bytes that are valid and dirty by
// themselves; sets within the slice that the address chooses. Write-back, write-allocate; a write
// that covers a sector does not fetch it. Replacement: least recently used, or first in, first out.
// Lines on their way keep a place of their slice's miss table (MSHR); where that is full, or all
// ways of a set are on their way, a demand goes past the cache and a prefetch is dropped.
//
// Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_MEM_LAST_LEVEL_CACHE_HPP
#define TALUS_SIM_MEM_LAST_LEVEL_CACHE_HPP

#include <cstdint>
#include <vector>

#include "core/checkpoint.hpp"
#include "core/config.hpp"
#include "core/types.hpp"

namespace talus::sim {

struct LlcCounters {
    std::uint64_t hits = 0;        ///< packets whose sectors were all there
    std::uint64_t late_hits = 0;   ///< ... or on their way
    std::uint64_t misses = 0;      ///< packets for which DRAM was asked
    std::uint64_t passed = 0;      ///< packets that found no place and went past it
    std::uint64_t write_backs = 0; ///< dirty lines that were replaced
    std::uint64_t prefetches = 0;  ///< that asked DRAM
    std::uint64_t dropped = 0;     ///< prefetches that found no place
    std::uint64_t discarded = 0;   ///< dirty sectors whose write-back a hint has saved
    void checkpoint(Checkpoint& state) {
        state(hits, late_hits, misses, passed, write_backs, prefetches, dropped, discarded);
    }
};

class LastLevelCache {
  public:
    static constexpr std::uint64_t kSector = 64;

    /// `bytes` of DRAM stand behind it.
    LastLevelCache(const SramConfig& sram, std::uint64_t bytes);

    bool enabled() const { return !lines_.empty(); }

    enum class Use : std::uint8_t { kRead, kWrite, kPrefetch };
    /// Whether a packet that finds no line makes one.
    enum class Allocate : bool { kNo, kYes };
    /// A range of DRAM, by offset, within one line.
    struct Range {
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
    };
    struct Answer {
        enum class What : std::uint8_t {
            kHit,  ///< the slice has it (or has taken it, written)
            kWait, ///< it is on its way: `fill` tells
            kPass, ///< not for this cache; prefetches: dropped
        };
        What what = What::kPass;
        std::uint32_t fill = 0; ///< kWait
        Range fetch;            ///< to be read from DRAM now, for `fill`; bytes = 0: nothing
        std::uint32_t fetch_for = 0;
        std::vector<Range> write_backs; ///< of the replaced line: what leaves for DRAM first
    };
    /// A packet reaches the slice. Written sectors that it does not cover are fetched.
    Answer access(const Range& range, Use use, Allocate allocate = Allocate::kYes);

    /// The packet with this number waits for `fill`.
    void wait(std::uint32_t fill, std::uint32_t packet) { fills_[fill].waiting.push_back(packet); }
    /// What was to be fetched for `fill` is there. Returns who waits, until the next access; the
    /// fill is over.
    const std::vector<std::uint32_t>& filled(std::uint32_t fill);
    /// What that was. Before filled().
    const Range& fetched(std::uint32_t fill) const { return fills_[fill].fetch; }

    /// Nobody needs the contents any more: sectors wholly within the range are clean from here on,
    /// and a line that holds nothing else is replaced next.
    void discard(std::uint64_t offset, std::uint64_t bytes);

    /// Lines of a range are dropped, whatever they hold: the memory itself was given up.
    void forget(std::uint64_t offset, std::uint64_t bytes);
    /// All lines are dropped: fundamental reset.
    void reset();

    const LlcCounters& counters() const { return counters_; }
    /// No fill is under way.
    void checkpoint(Checkpoint& state) { state(counters_, uses_, lines_); }

  private:
    static constexpr std::uint64_t kNoBlock = ~std::uint64_t{0};
    struct Line {
        std::uint64_t block = kNoBlock; ///< number of the line in DRAM
        std::uint64_t used = 0;         ///< for replacement
        std::uint32_t fill = 0;         ///< while coming != 0
        std::uint16_t valid = 0;        ///< masks of sectors
        std::uint16_t dirty = 0;
        std::uint16_t coming = 0;
        void checkpoint(Checkpoint& state) { state(block, used, valid, dirty); }
    };
    struct Fill {
        std::uint64_t line = 0; ///< index
        Range fetch;
        std::vector<std::uint32_t> waiting; ///< kept for its memory when the fill is over
    };

    Line* set_of(std::uint64_t block, std::uint32_t& slice);
    Line* find(Line* set, std::uint64_t block);
    /// The way to replace; null: all are on their way.
    Line* victim(Line* set);
    std::uint32_t open_fill(Line& line, std::uint32_t slice, std::uint16_t sectors);
    Range range_of(std::uint64_t block, std::uint16_t sectors) const;
    std::vector<Range> runs_of(std::uint64_t block, std::uint16_t sectors) const;

    std::uint64_t line_bytes_;
    std::uint64_t slices_;
    std::uint64_t sets_ = 0; ///< per slice
    std::uint32_t ways_ = 1;
    std::uint32_t misses_per_slice_;
    bool hash_;
    bool first_in_first_out_;
    std::vector<Line> lines_;
    std::vector<std::uint32_t> open_; ///< fills under way, by slice
    std::vector<Fill> fills_;
    std::vector<std::uint32_t> free_fills_;
    std::uint64_t uses_ = 0;
    LlcCounters counters_;
};

/// The slice of a block of SRAM or of what it caches: the sum of the number's digits in base
/// `slices`, or its last digit.
std::uint64_t sram_slice(std::uint64_t block, std::uint64_t slices, bool hash);

} // namespace talus::sim

#endif
