// The translator: guest code as code of the host (x86-64 with BMI2), behind Core::run(). It keeps
// every promise of the interpreter to the clock; what it does not translate, and whatever is
// unusual, is the interpreter's. Private to sim/src/isa.
//
// One translator per CodeCache, so that the harts of a device share what is translated. Guest state
// lives in Core; host registers hold guest registers only inside a trace.
#ifndef TALUS_SIM_ISA_JIT_TRANSLATOR_HPP
#define TALUS_SIM_ISA_JIT_TRANSLATOR_HPP

#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "../core.hpp"
#include "../fetch.hpp"
#include "trace.hpp"

namespace talus::sim::jit {

class CodeMemory;
class Translator;

/// Why translated code came back to the dispatcher, and what it left to put in order.
struct Exit {
    enum class Kind : std::uint8_t {
        kGoto,      ///< goes on at `pc`
        kIndirect,  ///< goes on at core.pc, which the code has set
        kUntil,     ///< `until` may fall into the piece of code from `pc` on
        kLines,     ///< not all lines of the loop at `pc` are in the instruction cache
        kInterpret, ///< the instruction at `pc` is the interpreter's (also: its line is not cached)
        kEvent,     ///< a handler raised an event; the core is as the interpreter would have it
        kResume,    ///< a handler took its own time; the instruction has retired
    };

    /// First, because the code jumps through it: the next trace, or the way out.
    const void* target = nullptr;
    Kind kind = Kind::kGoto;
    bool linkable = false; ///< `target` may become what follows at `pc` with `state`
    std::uint64_t pc = 0;
    LateList outstanding; ///< to be entered into the scoreboard, relative to the clock
    EntryState state = 0; ///< the same, if linkable
};

/// An instruction that a handler carries out in the midst of a trace.
struct Site {
    Translator* translator = nullptr;
    Decoded insn;
    std::uint64_t pc = 0;
    std::int32_t issue = 0;
    std::uint32_t retired = 0; ///< instructions of the trace before it
    LateList pending;          ///< offsets
    HandlerTiming expected;
};

/// Of the same code.
enum class Variant : std::uint8_t {
    kUsual,
    kTail,  ///< looks at `until` before every instruction
    kLines, ///< a loop that looks for each line of the instruction cache when it comes
};

/// One translated trace.
struct Block {
    Block(std::shared_ptr<CodeMemory> memory_) : memory(std::move(memory_)) {}
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    std::shared_ptr<CodeMemory> memory;
    const void* code = nullptr;
    std::size_t bytes = 0;
    std::list<Exit> exits; // addresses are in the code
    std::list<Site> sites;
};

class Translator {
  public:
    /// Null where the host cannot run what would be emitted.
    static std::unique_ptr<Translator> create(CodeCache::Impl& cache);
    ~Translator();

    /// The interned profile of a hart.
    const Profile* profile(const HartConfig& config);

    /// What the interpreter should do next.
    enum class Next : std::uint8_t {
        kOne,    ///< interpret one instruction, then ask again
        kBranch, ///< interpret up to a jump: the code here is cold or entered in its midst
        kRest,   ///< interpret up to `until`
        kEvent,  ///< core.event has to be handled
        kDone,   ///< now >= until
    };
    /// Runs translated code from core.pc. `entry` says that the pc is the target of a jump or
    /// follows a translated trace, so that it is worth a translation. Rethrows what a port throws.
    Next run(Core& core, bool entry);

    std::size_t code_bytes() const;
    std::uint64_t traces() const { return traces_; }

    // Called by translated code.
    static const Exit* handle(Core* core, const Site* site);

  private:
    explicit Translator(CodeCache::Impl& cache);

    /// Where a piece of code is looked for, and how often it has to be before it is translated.
    enum class Use : std::uint8_t {
        kEntry, ///< the target of a jump
        kMidst, ///< where a slice of time happened to end
        kTail,  ///< the last instructions before `until`: it is looked at before each
        kLines, ///< as kEntry, but each line is looked for when it comes
    };
    const void* find(Core& core, EntryState state, Use use);
    void leave(Core& core, const Exit& exit);

    CodeCache::Impl& cache_;
    std::shared_ptr<CodeMemory> memory_;
    std::list<Profile> profiles_;
    std::exception_ptr failure_;
    std::uint64_t traces_ = 0;
};

/// What has been translated of one page of code, for one profile and guest address.
struct TranslatedPage {
    const Profile* profile = nullptr;
    std::uint64_t base = 0;
    bool free_fetch = false;
    std::shared_ptr<CodeMemory> memory;
    std::array<std::array<std::uint8_t, kCodePageBytes / 2>, 4> arrivals{}; ///< by Use
    struct Key {
        std::uint32_t offset;
        Variant variant;
        EntryState state;
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const {
            const std::uint64_t place = 4 * key.offset + static_cast<unsigned>(key.variant);
            return (key.state ^ place * 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
        }
    };
    std::unordered_map<Key, std::unique_ptr<Block>, Hash> blocks;

    ~TranslatedPage();
};

} // namespace talus::sim::jit

#endif
