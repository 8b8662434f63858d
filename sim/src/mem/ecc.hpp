// Memory words with wrong bits, and the ECC that notices them.
//
// Memory itself holds the right values; a word that an injected fault has damaged is kept here
// until it is read or written. A read runs the damage through the code (hsiao.hpp): one wrong bit
// is corrected for the reader and in memory, two are reported and stay, of more the decoder may be
// wrong, and then memory becomes wrong. A write of a whole word ends the damage; of a part of a
// word the hardware reads the rest first. Neither takes time: the code stands beside the arrays.
//
// While nothing is damaged, all of it is a test for an empty container.
//
// Words are found by where they are in the host's memory, as requesters have them from
// Fabric::span(). Damage of a word of the LLC goes with the line: a clean one that is replaced
// takes it along, a dirty one is checked on its way to DRAM. Damage of DRAM behind a line of the
// LLC is out of sight as long as that is there. A data cache's line hides what is behind it
// likewise.
//
// Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_MEM_ECC_HPP
#define TALUS_SIM_MEM_ECC_HPP

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "talus/hw/registers.h"

#include "core/checkpoint.hpp"
#include "core/config.hpp"
#include "isa/memory_guard.hpp"

#include "hsiao.hpp"
#include "last_level_cache.hpp"

namespace talus::sim {

/// A protected word of the chip.
struct MemoryWord {
    talus_ecc_memory memory = TALUS_ECC_LOCAL;
    std::uint32_t pe = 0;     ///< local memory: whose
    std::uint64_t offset = 0; ///< within the memory; a multiple of hsiao::kWordBytes
    bool in_llc = false;      ///< shared SRAM: in the LLC, and the offset is DRAM's

    void checkpoint(Checkpoint& state) { state(memory, pe, offset, in_llc); }
    /// As in ECC_ADDRESS (registers.h).
    std::uint64_t address() const;
    /// "local memory of PE 3.4 + 0x1008"; or a byte of it, by its own offset.
    std::string name(const GridConfig& grid, std::uint64_t byte) const;
    std::string name(const GridConfig& grid) const { return name(grid, offset); }
};

enum class EccFate : std::uint8_t {
    kCorrected,     ///< the reader had the right value, and memory has it
    kMiscorrected,  ///< the decoder has changed a bit, but not the wrong one: memory is wrong
    kMissed,        ///< so many wrong bits that nothing was noticed: memory is wrong
    kUncorrectable, ///< the reader was told; the word stays as it is
    kOverwritten,
    kDropped, ///< the memory was cleared, or the cache line was replaced and not needed
};
/// Whether the hardware counts it, and as what.
inline bool counts_as_corrected(EccFate fate) {
    return fate == EccFate::kCorrected || fate == EccFate::kMiscorrected;
}

struct EccEvent {
    MemoryWord word;
    EccFate fate;
    std::vector<std::uint64_t> tickets; ///< of the damage's causes, as given to damage()
};

class EccListener {
  public:
    virtual ~EccListener() = default;
    virtual void on_ecc(const EccEvent& event) = 0;
};

/// What runs ahead of memory and has to know of damage.
class EccGuarded {
  public:
    virtual ~EccGuarded() = default;
    /// The first word of a memory was damaged, or the last damage has gone.
    virtual void guard_changed(const MemoryWord& word) = 0;
    /// Bytes of memory are about to change by themselves.
    virtual void before_change() = 0;
};

struct EccCounters {
    std::array<std::uint64_t, TALUS_ECC_MEMORIES> corrected{};
    std::array<std::uint64_t, TALUS_ECC_MEMORIES> uncorrectable{};

    void checkpoint(Checkpoint& state) { state(corrected, uncorrectable); }
};

class Ecc final : public MemoryGuard, public EvictionListener {
  public:
    /// Both outlive it.
    Ecc(const Config& config, LastLevelCache& llc) : config_(config), llc_(llc) {}

    /// Whether the configuration protects that memory.
    bool covers(talus_ecc_memory memory) const;

    // Listeners outlive their use.
    void add_listener(EccListener& listener) { listeners_.push_back(&listener); }
    void remove_listener(EccListener& listener) { std::erase(listeners_, &listener); }
    void set_guarded(EccGuarded* guarded) { guarded_ = guarded; }

    /// The data bits `flips` of a word that covers() protects become wrong; `host` is where its
    /// first byte is (LLC: in DRAM). `ticket` comes back with its events; 0: none.
    void damage(const MemoryWord& word, std::uint8_t* host, std::uint64_t flips,
                std::uint64_t ticket);

    bool any() const { return !words_.empty() || !cached_.empty(); }

    // What follows is for ranges of one memory, and cheap only if asked behind any().

    /// Address of the first word of [host, host + len) that cannot be read; 0: all can.
    std::uint64_t check_read(const std::uint8_t* host, std::uint64_t len);
    /// The same before a write: of words that it covers in part.
    std::uint64_t check_write(const std::uint8_t* host, std::uint64_t len);
    /// Whole words of it were written, by what needs no part of the others.
    void overwritten(const std::uint8_t* host, std::uint64_t len);
    /// The memory was cleared or given up.
    void forget(const std::uint8_t* host, std::uint64_t len);

    // MemoryGuard
    bool damaged(const std::uint8_t* host, std::uint64_t len) const override;
    bool read(const std::uint8_t* host, std::uint64_t len) override {
        return check_read(host, len) == 0;
    }
    bool write(const std::uint8_t* host, std::uint64_t len) override {
        return check_write(host, len) == 0;
    }
    void undamaged(const std::uint8_t* at, const std::uint8_t*& begin,
                   const std::uint8_t*& end) const override;

    // EvictionListener
    void on_eviction(const LastLevelCache::Range& sector, bool dirty) override;

    const EccCounters& counters() const { return counters_; }
    /// Fundamental reset: damage and counts are gone.
    void reset();
    /// `locate`: where a word is in the host's memory.
    void checkpoint(Checkpoint& state,
                    const std::function<std::uint8_t*(const MemoryWord&)>& locate);

  private:
    struct Damage {
        MemoryWord word;
        std::uint64_t flips = 0;
        bool hidden = false; ///< DRAM, behind a line of the LLC
        std::vector<std::uint64_t> tickets;

        void checkpoint(Checkpoint& state) { state(word, flips, hidden, tickets); }
    };
    using Words = std::map<const std::uint8_t*, Damage>;

    static const std::uint8_t* word_of(const std::uint8_t* host) {
        return host - reinterpret_cast<std::uintptr_t>(host) % hsiao::kWordBytes;
    }
    std::uint64_t check(Words& words, const std::uint8_t* begin, const std::uint8_t* end);
    std::uint64_t check(const std::uint8_t* begin, const std::uint8_t* end);
    /// The decoder sees the word. Returns the next one; `bad` becomes its address, or stays.
    Words::iterator decode(Words& words, Words::iterator at, std::uint64_t& bad);
    Words::iterator end_damage(Words& words, Words::iterator at, EccFate fate);
    /// Ends damage of words [begin, end).
    void end_damage(const std::uint8_t* begin, const std::uint8_t* end, EccFate fate);
    void tell(const Damage& damage, EccFate fate);
    void change(const std::uint8_t* host, std::uint64_t flips);
    /// Once words have come or gone.
    void update_watches();

    const Config& config_;
    LastLevelCache& llc_;
    Words words_;  ///< by the address of their first byte
    Words cached_; ///< of the LLC: by that of the DRAM behind it
    std::vector<EccListener*> listeners_;
    EccGuarded* guarded_ = nullptr;
    EccCounters counters_;
};

} // namespace talus::sim

#endif
