// The cores' data caches as tags: what is cached where, what is dirty, what is stale. Contents are
// in memory alone, so a program that keeps the rules computes the same with caches of any size or
// none; one that breaks them is told instead of computing something else.
//
// Cached are LLS and DRAM, in lines of 64 bytes, write-back, write-allocate, least recently used.
// Local memory, control SRAM, staging and registers are not. AMOs execute at the memory.
//
// The caches of the control harts are coherent among themselves. Nothing else is: not with DMA, not
// between PE cores, not between the two cores of a PE. So (Zicbom)
//   - what a core stored and has not cleaned is not in memory: nobody else may read or write it;
//   - what another unit wrote since a core loaded a line is not in that line: it is invalidated
//     before the next access.
// A violation is an Incoherence: it is told to the listener, and whoever can be stopped is.
//
// Not thread-safe: belongs to the timing thread.
#ifndef TALUS_SIM_MEM_DATA_CACHES_HPP
#define TALUS_SIM_MEM_DATA_CACHES_HPP

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "talus/hw/address_map.h"

#include "core/checkpoint.hpp"
#include "core/types.hpp"
#include "isa/hart.hpp"

namespace talus::sim {

/// Nobody's cache: DMA engines, FIs, work-queue engines.
inline constexpr HartId kNoHart = ~HartId{0};

struct Incoherence {
    enum class Kind : std::uint8_t {
        kStale,      ///< `holder` accesses its line although another unit wrote the memory since
        kDirtyRead,  ///< `who` reads memory that `holder` has dirty
        kDirtyWrite, ///< `who` writes memory that `holder` has dirty: the line will overwrite it
        kDiscarded,  ///< `holder` invalidates its own dirty line: what it stored is lost
    };
    Kind kind;
    HartId who; ///< kNoHart: a unit
    HartId holder;
    std::uint64_t line;
};

class IncoherenceListener {
  public:
    virtual ~IncoherenceListener() = default;
    virtual void on_incoherence(const Incoherence& incoherence) = 0;
};

struct DataCacheCounters {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t write_backs = 0; ///< evictions, cleans, and for another control hart

    void checkpoint(Checkpoint& state) { state(hits, misses, write_backs); }
};

class DataCaches {
  public:
    static constexpr std::uint64_t kLine = 64;

    struct Geometry {
        unsigned bytes = 0; ///< per core; 0: no caches
        unsigned ways = 1;
    };
    struct WriteBack {
        HartId hart;
        std::uint64_t line;
    };
    /// What an access meant: `fill` when the line has to come from memory (then filled() says when
    /// it is there), and up to that many lines that leave for memory first.
    struct Access {
        bool ok = true; ///< false: an incoherence; the access must not happen
        bool fill = false;
        Cycle ready = 0; ///< a hit: when the line arrived or arrives
        std::array<WriteBack, 2> write_backs{};
        unsigned write_back_count = 0;
    };

    /// Harts below `control_harts` are coherent among themselves. Throws std::invalid_argument if
    /// bytes / ways is not a power of two of lines.
    DataCaches(unsigned harts, unsigned control_harts, Geometry geometry);

    bool enabled() const { return sets_ != 0; }
    void set_listener(IncoherenceListener* listener) { listener_ = listener; }

    /// All lines are dropped, whatever they hold: reset.
    void reset();
    /// The same for one core.
    void reset(HartId hart);
    /// The same for a range of addresses: the memory itself was given up.
    void forget(std::uint64_t addr, std::uint64_t len);

    /// A load or store within one line.
    Access access(HartId hart, std::uint64_t line, bool store);
    /// The line that access() asked for arrives at `when`; kNever: to be told again. Nothing if it
    /// was dropped meanwhile.
    void filled(HartId hart, std::uint64_t line, Cycle when);
    /// The hart has the line, or it is on its way.
    bool holds(HartId hart, std::uint64_t line) { return find(hart, line) != nullptr; }
    /// A cache-block operation. Of the result ok and write_backs count.
    Access block(HartId hart, CboOp op, std::uint64_t line);
    /// The hart's AMO at the memory: its line, dirty or not, leaves the cache first.
    Access bypass(HartId hart, std::uint64_t line);

    /// Whether any line of the range may be cached; false is certain.
    bool may_hold(std::uint64_t addr, std::uint64_t len) const {
        const Bounds& bounds = bounds_[is_dram(addr)];
        return addr <= bounds.last && addr + (len - 1) >= bounds.first;
    }
    /// Another unit, or hart `who` past its cache, reads or is about to write [addr, addr + len).
    /// False: some other core has a line of it dirty; the first one is told.
    bool check(HartId who, std::uint64_t addr, std::uint64_t len, bool write);
    /// It wrote: lines of others are stale from here on. Dirty ones are told.
    void written(HartId who, std::uint64_t addr, std::uint64_t len);

    /// No line is on its way.
    void checkpoint(Checkpoint& state) {
        state(accesses_, lines_, holders_, pages_, bounds_, counters_);
    }

    const DataCacheCounters& counters(HartId hart) const { return counters_.at(hart); }

  private:
    struct Line {
        std::uint64_t addr = 1; ///< of its first byte; 1: empty
        Cycle ready = 0;
        std::uint64_t used = 0; ///< access number, for replacement
        bool dirty = false;
        bool stale = false;

        void checkpoint(Checkpoint& state) { state(addr, ready, used, dirty, stale); }
    };
    /// First and last byte that were ever cached since reset.
    struct Bounds {
        std::uint64_t first = ~std::uint64_t{0};
        std::uint64_t last = 0;

        void checkpoint(Checkpoint& state) { state(first, last); }
    };
    static constexpr std::uint64_t kPage = 4096;

    static bool is_dram(std::uint64_t addr) { return addr >= TALUS_DRAM_BASE; }

    unsigned group(HartId hart) const { return hart < control_harts_ ? 0 : hart; }
    Line* set_of(HartId hart, std::uint64_t line) {
        return &lines_[(hart * sets_ + (line / kLine & (sets_ - 1))) * ways_];
    }
    Line* find(HartId hart, std::uint64_t line);
    void drop(HartId hart, Line& line);
    bool tell(Incoherence::Kind kind, HartId who, HartId holder, std::uint64_t line);
    void write_back(Access& result, HartId hart, Line& line);
    /// Calls f(holder, line) for the lines of others in the range until it returns false.
    template <class F>
    void for_others(HartId who, std::uint64_t addr, std::uint64_t len, F f);

    unsigned control_harts_;
    unsigned sets_ = 0;
    unsigned ways_ = 1;
    std::uint64_t accesses_ = 0;
    std::vector<Line> lines_;
    /// Who holds a line, and how many lines of a page are held at all.
    std::unordered_map<std::uint64_t, std::vector<HartId>> holders_;
    std::unordered_map<std::uint64_t, unsigned> pages_;
    std::array<Bounds, 2> bounds_; ///< of LLS and of DRAM
    std::vector<DataCacheCounters> counters_;
    IncoherenceListener* listener_ = nullptr;
};

} // namespace talus::sim

#endif
