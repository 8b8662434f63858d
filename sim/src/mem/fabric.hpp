// The physical memory map and everything between a requester and memory: NoC, LLS, DRAM, control
// SRAM, staging, PE windows, memory-mapped registers.
//
// Values and time are apart. A small access (a core's load, store, AMO) moves its value at the
// call. A bulk transfer (FI, DMA engine, work-queue engine) asks for its time with transfer() when
// it begins and moves its bytes through span() at its completion event; the guest's synchronisation
// makes the two indistinguishable.
//
// How long an access to SRAM or to a PE takes is known at the call: bandwidth is kept in calendars,
// so a requester may reserve for a little later than `now` without closing the time before it to
// others. DRAM's controllers reorder: their answer is kNever, and when it is decided, the event
// that the caller described (Notify) is scheduled for the time of completion. The same holds for
// any packet whose source has no credit before DRAM answers another (sources.hpp).
//
// Calls come in global time order (the event queue's).
//
// Not thread-safe: the timing thread owns it, except host memory itself (staging is shared with the
// host through its file descriptor).
#ifndef TALUS_SIM_MEM_FABRIC_HPP
#define TALUS_SIM_MEM_FABRIC_HPP

#include <cstdint>
#include <memory>
#include <vector>

#include "core/checkpoint.hpp"
#include "core/config.hpp"
#include "core/event_queue.hpp"
#include "core/fault_hooks.hpp"
#include "core/types.hpp"
#include "isa/hart.hpp"

#include "broadcast.hpp"
#include "crossbars.hpp"
#include "data_caches.hpp"
#include "ecc.hpp"
#include "isolation.hpp"
#include "last_level_cache.hpp"
#include "sources.hpp"

namespace talus::sim {

/// Who is asking: decides what may be reached, which NoC port is used and how far it is.
struct Requester {
    enum class Kind : std::uint8_t {
        kControlHart, ///< index = hart id 0..3
        kPeCore,      ///< index = hart id 4...
        kPeUnit,      ///< FI or work-queue engine; index = PE
        kEngine,      ///< DMA engine, queue engine, host interface; index = the caller's own
    };
    Kind kind = Kind::kEngine;
    std::uint32_t index = 0;

    static Requester hart(HartId id);
    static Requester pe_unit(std::uint32_t pe) { return {Kind::kPeUnit, pe}; }
    static Requester engine(std::uint32_t number) { return {Kind::kEngine, number}; }

    /// The core's hart id, or kNoHart for a unit or an engine.
    HartId hart_id() const {
        return kind == Kind::kControlHart || kind == Kind::kPeCore ? index : kNoHart;
    }
    bool in_pe() const { return kind == Kind::kPeCore || kind == Kind::kPeUnit; }
    /// The PE that the requester is in. Only if in_pe().
    std::uint32_t pe() const;
};

enum class FabricError : std::uint8_t {
    kNone,
    kUnmapped,   ///< nothing there, or past the configured size
    kForbidden,  ///< not for this requester, or not this kind of access (bulk to registers)
    kSubgrid,    ///< outside the issuing PE's sub-grid
    kMisaligned, ///< register access that is not natural
    kDamaged,    ///< the memory holds more wrong bits than its ECC corrects
};

/// The trap that a *core's* access with this error takes (units: TALUS_TRAP_FABRIC).
std::uint64_t trap_cause(FabricError error, AccessKind kind);

/// The event that tells a requester of a completion. The times that it is scheduled for are not
/// before the time of the call.
struct Notify {
    UnitId unit = 0;
    std::uint32_t kind = 0;
    std::uint64_t a = 0;
    std::uint64_t b = 0;
};

struct FabricResult {
    FabricError error = FabricError::kNone;
    /// read, amo: data is at the requester; write: memory has acknowledged. kNever: the event
    /// tells.
    Cycle done = 0;
    bool ok() const { return error == FabricError::kNone; }
    bool pending() const { return done == kNever; }
};

/// Plain memory behind a range of device addresses.
struct MemorySpan {
    FabricError error = FabricError::kNone;
    std::uint8_t* host = nullptr;
    bool ok() const { return error == FabricError::kNone; }
};

/// Registers behind a range of addresses. Accesses are naturally aligned, 1, 2, 4 or 8 bytes.
/// false: an access fault.
class MmioHandler {
  public:
    virtual ~MmioHandler() = default;
    virtual bool mmio_read(const Requester& who, Cycle now, std::uint64_t addr, unsigned len,
                           std::uint64_t& value) = 0;
    virtual bool mmio_write(const Requester& who, Cycle now, std::uint64_t addr, unsigned len,
                            std::uint64_t value) = 0;
};

struct ReductionMessage;
struct Target;

/// A PE as the NoC and its neighbours see it (class Pe implements it).
class PePort {
  public:
    virtual ~PePort() = default;
    /// TALUS_LOCAL_SIZE bytes.
    virtual std::uint8_t* local_memory() = 0;
    /// PE_SUBGRID_RECT: row0 | col0 << 8 | rows << 16 | cols << 24; rows = 0: no sub-grid.
    virtual std::uint32_t subgrid_rect() const = 0;
    virtual std::uint64_t read_register(Cycle now, std::uint32_t offset, unsigned len) = 0;
    virtual void write_register(Cycle now, std::uint32_t offset, unsigned len,
                                std::uint64_t value) = 0;
    /// A semaphore post reaches the PE at time `arrival`.
    virtual void post_semaphore(Cycle arrival, std::uint32_t semaphore, std::uint32_t value) = 0;
    /// Reduction network, from the neighbour whose link of a direction ends here: a message's first
    /// row arrives at a time (returns the message's number); its values, once the sender has all.
    virtual std::uint64_t announce_sums(Cycle, unsigned, const ReductionMessage&) { return 0; }
    virtual void deliver_sums(unsigned, std::uint64_t, const ReductionMessage&) {}
    /// The PE that the link of a direction leads to has room again, as seen here at a time.
    virtual void return_link(Cycle, unsigned) {}
    /// Fabric::rebase() reaches the PE's own calendars.
    virtual void rebase(Cycle) {}
};

/// Hears of writes to pages from which code was fetched (mark_code).
class CodeWriteListener {
  public:
    virtual ~CodeWriteListener() = default;
    virtual void on_code_written(std::uint64_t addr, std::uint64_t len) = 0;
};

/// Totals since construction or reset().
struct FabricCounters {
    std::uint64_t sram_read_bytes = 0;
    std::uint64_t sram_write_bytes = 0;
    std::uint64_t dram_read_bytes = 0;
    std::uint64_t dram_write_bytes = 0;
    std::uint64_t dram_row_hits = 0;
    std::uint64_t dram_row_misses = 0;
    std::uint64_t edge_bytes = 0; ///< of packets between requesters and shared SRAM or DRAM
    std::uint64_t pe_to_pe_bytes = 0;
    std::uint64_t amos = 0;
    std::vector<std::uint64_t> dram_channel_bytes; ///< read and written, by channel

    void checkpoint(Checkpoint& state) {
        state(sram_read_bytes, sram_write_bytes, dram_read_bytes, dram_write_bytes, dram_row_hits,
              dram_row_misses, edge_bytes, pe_to_pe_bytes, amos, dram_channel_bytes);
    }
};

class Fabric {
  public:
    /// `events` outlives the fabric, which adds itself as a unit. `staging_fd`: a file of
    /// TALUS_STAGING_SIZE bytes to map shared (not closed), or -1 for private memory. Throws
    /// std::system_error when address space is not to be had.
    Fabric(const Config& config, EventQueue& events, int staging_fd = -1);
    ~Fabric();
    Fabric(const Fabric&) = delete;
    Fabric& operator=(const Fabric&) = delete;

    const Config& config() const { return config_; }

    // --- wiring; everything outlives the fabric
    // ---------------------------------------------------
    void attach_pe(std::uint32_t pe, PePort& port);
    /// [base, base + size) goes to `handler`, for every requester: the handler decides.
    void add_mmio(std::uint64_t base, std::uint64_t size, MmioHandler& handler);
    void set_code_listener(CodeWriteListener* listener) { code_listener_ = listener; }
    /// The cores' data caches: hear of every write, and are asked by coherent().
    void set_caches(DataCaches* caches) { caches_ = caches; }
    /// Injected faults, for the units of the PEs; null: none. Outlives its use.
    void set_fault_hooks(FaultHooks* faults) { faults_ = faults; }
    FaultHooks* fault_hooks() const { return faults_; }
    /// Who may reach what. read(), write(), amo() and span() ask it for requesters in a PE; engines
    /// that work for a domain ask it themselves.
    Isolation& isolation() { return isolation_; }
    const Isolation& isolation() const { return isolation_; }
    /// Damaged words. read(), write() and amo() ask it; who uses span() does so himself, when the
    /// bytes move.
    Ecc& ecc();
    /// Data bits of a word change, as by a particle: kept by ecc() where that protects the memory,
    /// else in the bytes themselves. `ticket` as of Ecc::damage(). false: the word is to be in the
    /// LLC, and is not.
    bool flip(const MemoryWord& word, std::uint64_t bits, std::uint64_t ticket);
    /// The word's first byte in host memory. The word must exist.
    std::uint8_t* bytes_of(const MemoryWord& word) const;
    LastLevelCache& llc();

    /// An instruction-cache line at addr was fetched: later writes to its page are told.
    void mark_code(std::uint64_t addr);

    // --- host memory, for direct regions, fetch windows and loading
    // --------------------------------
    std::uint8_t* rom();
    std::uint8_t* control_sram();
    std::uint8_t* lls();
    std::uint8_t* staging();
    std::uint8_t* dram();
    /// Zeroes a range of LLS or DRAM and gives its pages back to the host; cached lines of it go.
    void scrub(std::uint64_t addr, std::uint64_t len);
    /// Fundamental reset: memory is zeroed (staging is kept), calendars and counters cleared.
    void reset();
    /// For a parked device, in which no transfer is under way: calendars and DRAM refresh count
    /// from `now` on, so that what follows takes the same time whenever it begins.
    void rebase(Cycle now);
    /// Contents and counters. Just after rebase(), no transfer under way; LR/SC reservations end.
    void checkpoint(Checkpoint& state);

    // --- small accesses: len is 1..64 and does not cross a 64-byte line, or is natural
    // ------------
    // `answered`: the call again after its event came; it takes no more time.
    FabricResult read(const Requester& who, Cycle now, std::uint64_t addr, void* data, unsigned len,
                      const Notify& notify, bool answered = false);
    FabricResult write(const Requester& who, Cycle now, std::uint64_t addr, const void* data,
                       unsigned len, const Notify& notify);
    /// Executes at the memory. LR/SC reservations are per hart and belong to the fabric; any write
    /// to the 64-byte line breaks them. `old_value`: as OpResult::value of an AMO. A pending AMO
    /// has had no effect: it executes when it is called again, `answered`.
    FabricResult amo(const Requester& who, Cycle now, const AmoRequest& request,
                     std::uint64_t& old_value, const Notify& notify, bool answered = false);

    // --- without time and without side effects, for debuggers
    // --------------------------------------
    /// Reads [addr, addr + len) as `who` would see it; registers by their natural widths. What is
    /// read before an error remains in `data`.
    FabricError peek(const Requester& who, Cycle now, std::uint64_t addr, void* data,
                     std::uint64_t len);
    /// Writes likewise. A write of a register has the register's effect; ROM cannot be written.
    FabricError poke(const Requester& who, Cycle now, std::uint64_t addr, const void* data,
                     std::uint64_t len);

    // --- bulk
    // ---------------------------------------------------------------------------------------
    /// Checks a range of plain memory (not registers) and finds its bytes. `write` also when the
    /// caller is about to write: then it calls written() once it did.
    MemorySpan span(const Requester& who, std::uint64_t addr, std::uint64_t len, bool write);
    void written(const Requester& who, std::uint64_t addr, std::uint64_t len);
    /// Whether memory holds what is to be read (or may be written): false if some other core has a
    /// line of the range dirty (TALUS_TRAP_CACHE; data_caches.hpp).
    bool coherent(const Requester& who, std::uint64_t addr, std::uint64_t len, bool write) const {
        return caches_ == nullptr || caches_->check(who.hart_id(), addr, len, write);
    }
    /// False: coherent() holds for the range, and asking is a waste.
    bool may_be_cached(std::uint64_t addr, std::uint64_t len) const {
        return caches_ != nullptr && caches_->may_hold(addr, len);
    }
    /// Time only: `len` bytes from `now` (global time) on. `notify` comes when the last byte has
    /// arrived (read) or was acknowledged (write), but not before `earliest`, and `after` clocks
    /// later. The range must have passed span().
    void transfer(const Requester& who, Cycle now, std::uint64_t addr, std::uint64_t len,
                  bool write, const Notify& notify, Cycle earliest = 0, Cycle after = 0);
    /// The same for one packet, which leaves the requester at `at` (>= now) and lies within one
    /// packet_bytes()-aligned block. Returns the time, or kNever: then `notify` comes at that time.
    Cycle packet(const Requester& who, Cycle now, Cycle at, std::uint64_t addr, std::uint64_t len,
                 bool write, const Notify& notify);
    /// The same for packet `number` of a broadcast read, towards one of its members: the first that
    /// asks makes the request, each has the answer on its own port.
    Cycle broadcast_packet(const std::shared_ptr<BroadcastTransfer>& transfer, std::size_t number,
                           const Requester& who, Cycle now, Cycle at, std::uint64_t addr,
                           std::uint64_t len, const Notify& notify);
    /// A packet's worth of DRAM into the shared SRAM's cache, if there is one: returns when the
    /// request has reached the memory, whatever it then does. Other memories: nothing.
    Cycle prefetch(const Requester& who, Cycle now, Cycle at, std::uint64_t addr,
                   std::uint64_t len);
    /// Nobody needs this part of DRAM any more: the cache need not write it back. Returns when the
    /// hint has reached it.
    Cycle discard(const Requester& who, Cycle at, std::uint64_t addr, std::uint64_t len);
    /// A packet for this address will soon leave: a hint to the host's caches, without any effect.
    void expect(std::uint64_t addr) const;
    const LlcCounters& cache_counters() const;
    BroadcastRendezvous& broadcasts() { return broadcasts_; }
    /// noc.packet_bytes, or less where memories interleave more finely.
    std::uint64_t packet_bytes() const;

    /// Clocks from PE `from` to PE `to`, one way; from the control subsystem with pe_latency().
    Cycle pe_to_pe_latency(std::uint32_t from, std::uint32_t to) const;
    Cycle pe_latency(std::uint32_t pe) const;
    /// The port of a PE by physical index; null when absent.
    PePort* pe(std::uint32_t index) const;

    const FabricCounters& counters() const;
    /// The links between the sides' crossbars and the grid, with what passed them.
    const Crossbars& crossbars() const;
    /// What each port's packets waited for before they entered the NoC.
    const Sources& sources() const;

  private:
    struct State;
    /// The error that an access to [addr, addr + len), which begins in `target`, ends with.
    FabricError admit(const Requester& who, const Target& target, std::uint64_t addr,
                      std::uint64_t len, bool write) const;
    Config config_;
    Isolation isolation_;
    CodeWriteListener* code_listener_ = nullptr;
    FaultHooks* faults_ = nullptr;
    BroadcastRendezvous broadcasts_;
    DataCaches* caches_ = nullptr;
    std::unique_ptr<State> state_;
};

} // namespace talus::sim

#endif
