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

#include <cstddef>
#include <cstdint>
#include <optional>
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

class EvictionListener;

class LastLevelCache {
    /// In used_, added to the number of the fill that the line waits for.
    static constexpr std::uint32_t kOnItsWay = std::uint32_t{1} << 31;

  public:
    static constexpr std::uint64_t kSector = 64;

    /// `bytes` of DRAM stand behind it. Uses are numbered up to `last_use`, then anew; no result
    /// depends on it.
    LastLevelCache(const SramConfig& sram, std::uint64_t bytes,
                   std::uint32_t last_use = kOnItsWay - 1);

    bool enabled() const { return !words_.empty(); }

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
    /// An access to this offset is near: a hint to the host's caches, without any effect.
    void expect(std::uint64_t offset) const;

    /// The packet with this number waits for `fill`.
    void wait(std::uint32_t fill, std::uint32_t packet) {
        Fill& waited_for = fills_[fill];
        if (waited_for.first == kNobody) {
            waited_for.first = packet;
        } else {
            waited_for.others.push_back(packet);
        }
    }
    /// What was to be fetched for `fill` is there: the fill is over, and `deliver(packet)` is
    /// called for each that waits, in the order of wait(). It makes no access.
    template <class Deliver>
    void filled(std::uint32_t fill, Deliver deliver) {
        close_fill(fill);
        const Fill& over = fills_[fill];
        if (over.first == kNobody) {
            return; // a prefetch
        }
        deliver(over.first);
        for (const std::uint32_t packet : over.others) {
            deliver(packet);
        }
    }
    /// What that was. Before filled().
    const Range& fetched(std::uint32_t fill) const { return fills_[fill].fetch; }
    /// The end of a fill is near: hints like expect(). The first brings the second near, which
    /// returns the first packet that waits for it, or nothing.
    void expect_filled(std::uint32_t fill) const { __builtin_prefetch(&fills_[fill]); }
    std::optional<std::uint32_t> expect_delivery(std::uint32_t fill) const;

    /// Nobody needs the contents any more: sectors wholly within the range are clean from here on,
    /// and a line that holds nothing else is replaced next.
    void discard(std::uint64_t offset, std::uint64_t bytes);

    /// Lines of a range are dropped, whatever they hold: the memory itself was given up.
    void forget(std::uint64_t offset, std::uint64_t bytes);
    /// All lines are dropped: fundamental reset.
    void reset();

    /// null: none. Outlives its use.
    void set_listener(EvictionListener* listener) { listener_ = listener; }
    /// The sector of this byte of DRAM is there.
    bool holds(std::uint64_t offset);
    /// A sector that is there, by its first byte in DRAM: one for each draw; nullopt: none is.
    std::optional<std::uint64_t> any_sector(std::uint64_t draw);

    const LlcCounters& counters() const { return counters_; }
    /// No fill is under way.
    void checkpoint(Checkpoint& state) { state(counters_, uses_, words_); }

  private:
    static constexpr std::uint32_t kNoBlock = ~std::uint32_t{0};
    static constexpr std::uint32_t kNobody = ~std::uint32_t{0};
    static constexpr std::uint32_t kNoWay = ~std::uint32_t{0};

    /// What a set knows of its lines, by way.
    struct Set {
        std::uint32_t* block;   ///< number in DRAM
        std::uint32_t* used;    ///< for replacement, the oldest goes first; or kOnItsWay
        std::uint32_t* sectors; ///< mask of the valid ones, and of the dirty ones << 16
    };
    struct Fill {
        std::uint32_t set = 0; ///< index
        std::uint32_t way = 0;
        Range fetch;
        std::uint32_t used = 0;            ///< of the line, until it is there
        std::uint32_t first = kNobody;     ///< packet that waits
        std::uint16_t coming = 0;          ///< mask of sectors
        std::vector<std::uint32_t> others; ///< kept for its memory when the fill is over
    };

    Set set(std::uint32_t index) {
        std::uint32_t* const words = words_.data() + std::size_t{3} * ways_ * index;
        return {words, words + ways_, words + 2 * ways_};
    }
    const std::uint32_t* words(std::uint32_t set) const {
        return words_.data() + std::size_t{3} * ways_ * set;
    }
    /// The set that the block belongs to.
    std::uint32_t set_of(std::uint64_t block) const;
    std::uint32_t slice_of(std::uint32_t set) const {
        return set / static_cast<std::uint32_t>(sets_);
    }
    std::uint32_t find(const Set& set, std::uint64_t block) const;
    /// The way to replace; kNoWay: all are on their way.
    std::uint32_t victim(const Set& set) const;
    Fill* fill_of(const Set& set, std::uint32_t way) {
        return set.used[way] < kOnItsWay ? nullptr : &fills_[set.used[way] - kOnItsWay];
    }
    /// When the line was used last.
    std::uint32_t& used(const Set& set, std::uint32_t way) {
        Fill* const fill = fill_of(set, way);
        return fill == nullptr ? set.used[way] : fill->used;
    }
    void touch(const Set& set, std::uint32_t way);
    void renumber();
    std::uint32_t open_fill(std::uint32_t set, std::uint32_t way, std::uint16_t sectors);
    void close_fill(std::uint32_t fill);
    void tell_eviction(const Set& set, std::uint32_t way);
    Range range_of(std::uint64_t block, std::uint16_t sectors) const;
    std::vector<Range> runs_of(std::uint64_t block, std::uint16_t sectors) const;

    std::uint64_t line_bytes_;
    std::uint64_t slices_;
    std::uint64_t sets_ = 0; ///< per slice
    std::uint32_t ways_ = 1;
    std::uint32_t misses_per_slice_;
    std::uint32_t last_use_;
    bool hash_;
    bool first_in_first_out_;
    /// Set after set, slice after slice; a set lies together, for most accesses find it in none of
    /// the host's caches, and its page in no TLB.
    std::vector<std::uint32_t> words_;
    std::vector<std::uint32_t> open_; ///< fills under way, by slice
    std::vector<Fill> fills_;
    std::vector<std::uint32_t> free_fills_;
    std::uint32_t uses_ = 0;
    LlcCounters counters_;
    EvictionListener* listener_ = nullptr;
};

/// Hears of every sector that is in a line which is replaced.
class EvictionListener {
  public:
    virtual ~EvictionListener() = default;
    /// `dirty`: it goes to DRAM.
    virtual void on_eviction(const LastLevelCache::Range& sector, bool dirty) = 0;
};

/// The slice of a block of SRAM or of what it caches: the sum of the number's digits in base
/// `slices`, or its last digit.
std::uint64_t sram_slice(std::uint64_t block, std::uint64_t slices, bool hash);

} // namespace talus::sim

#endif
