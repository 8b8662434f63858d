// All harts of the device and what they see: control harts with ROM, control SRAM and staging, PE
// cores with their local memory, everything else over the fabric.
#ifndef TALUS_SIM_SOC_CORES_HPP
#define TALUS_SIM_SOC_CORES_HPP

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../core/checkpoint.hpp"
#include "../core/config.hpp"
#include "../core/diagnostics.hpp"
#include "../core/event_queue.hpp"
#include "../core/hart_runner.hpp"
#include "../isa/hart.hpp"
#include "../mem/data_caches.hpp"
#include "../mem/fabric.hpp"
#include "../pe/pe.hpp"
#include "grid_control.hpp"
#include "register_block.hpp"
#include "system_bus.hpp"

namespace talus::sim {

/// Hears of every trap and interrupt that a hart takes, before its state changes.
class TrapObserver {
  public:
    virtual ~TrapObserver() = default;
    virtual void on_trap(HartId hart, const TrapInfo& info) = 0;
};
class ClockGovernor;

class Cores final : public HartPort,
                    public PeHost,
                    public InterruptLines,
                    public PeGrid,
                    public BlockReasons,
                    public CodeWriteListener,
                    public IncoherenceListener,
                    public EccGuarded,
                    public EventSink {
  public:
    /// Makes the PEs and all harts. Everything passed in outlives the cores.
    Cores(const Config& config, EventQueue& events, Fabric& fabric, Diagnostics& diagnostics);
    ~Cores() override;

    /// The blocks behind TALUS_SYSTEM_BASE, which control harts reach without crossing the NoC.
    /// Before the first reset().
    void connect(SystemBus& bus) { bus_ = &bus; }

    /// Fundamental reset: PE harts are held, control harts start in ROM at time 0.
    void reset();

    unsigned hart_count() const { return static_cast<unsigned>(runners_.size()); }
    HartRunner& runner(HartId hart) { return *runners_.at(hart); }
    Hart& hart(HartId hart) { return *harts_.at(hart); }
    const DataCaches& caches() const { return caches_; }
    Pe& pe(std::uint32_t index) { return *pes_.at(index); }
    /// Instruction cache misses of a hart since construction, and the clocks that it waited for
    /// them.
    struct FetchCounters {
        std::uint64_t misses = 0;
        std::uint64_t clocks = 0;

        void checkpoint(Checkpoint& state) { state(misses, clocks); }
    };
    /// Shows harts, jobs and units on tracks of their own.
    void trace(TraceSink& sink);

    const FetchCounters& fetches(HartId hart) const { return fetches_.at(hart); }

    /// null: none. Outlives its use.
    void set_trap_observer(TrapObserver* observer) { observer_ = observer; }

    /// Memory and registers as the hart addresses them; takes no time, reads change nothing
    /// (Fabric::peek). Not while the hart is inside a port call.
    FabricError peek(HartId hart, std::uint64_t addr, void* data, std::uint64_t len);
    FabricError poke(HartId hart, std::uint64_t addr, const void* data, std::uint64_t len);

    /// Memory is about to be written behind the model's back: what units have put off is computed
    /// from what is there now, and code is looked at again before its next use.
    void prepare_for_writes();

    /// What keeps the cores from a checkpoint, for people; empty: nothing.
    std::string at_work() const;
    /// All harts and PEs, with their caches' tags. Not while at_work(); after Fabric::rebase().
    void checkpoint(Checkpoint& state);

    /// Instructions of a hart since construction, over its resets.
    std::uint64_t retired(HartId hart) const {
        return retired_before_[hart] + harts_[hart]->retired();
    }
    /// Who says at which clock the PEs' units run; null: the device's.
    void set_governor(ClockGovernor* governor) { governor_ = governor; }
    /// "control hart 0" or "PE 3.4 core B".
    std::string name(HartId hart) const;

    // HartPort
    OpResult load(HartId hart, Cycle now, std::uint64_t addr, void* data, unsigned len) override;
    OpResult store(HartId hart, Cycle now, std::uint64_t addr, const void* data,
                   unsigned len) override;
    OpResult amo(HartId hart, Cycle now, const AmoRequest& request) override;
    OpResult cbo(HartId hart, Cycle now, CboOp op, std::uint64_t addr) override;
    OpResult fence(HartId hart, Cycle now, unsigned pred, unsigned succ, bool instruction) override;
    FetchWindow fetch_window(HartId hart, std::uint64_t addr) override;
    OpResult fetch_miss(HartId hart, Cycle now, std::uint64_t line_addr) override;
    OpResult custom(HartId hart, Cycle now, const CustomInsn& insn) override;
    std::uint64_t time(HartId hart, Cycle now) override;
    bool csr_read(HartId hart, Cycle now, unsigned csr, std::uint64_t& value) override;
    bool csr_write(HartId hart, Cycle now, unsigned csr, std::uint64_t value) override;
    void on_trap(HartId hart, const TrapInfo& info) override;

    // PeHost, InterruptLines
    void wake(HartId hart, Cycle when) override;
    void set_interrupt(HartId hart, unsigned bit, bool level, Cycle when) override;
    UnitClock unit_clock(Cycle now) override;

    // PeGrid
    void hold_pe(std::uint32_t pe, Cycle now) override;
    void release_pe(std::uint32_t pe, Cycle now, std::uint64_t vector) override;
    void launch(std::uint32_t pe, Cycle arrival, std::uint64_t descriptor) override;
    std::vector<std::string> describe_waits(std::uint32_t pe) const override;

    // BlockReasons
    CoreActivity blocked_on(HartId hart) const override;

    // CodeWriteListener
    void on_code_written(std::uint64_t addr, std::uint64_t len) override;

    // IncoherenceListener
    void on_incoherence(const Incoherence& incoherence) override;

    // EccGuarded
    void guard_changed(const MemoryWord& word) override;
    void before_change() override { prepare_for_writes(); }

    // EventSink: answers of memory
    void on_event(const Event& event) override;

  private:
    static constexpr unsigned kMaxTrapReports = 200; ///< per reset

    /// Whether a core's access goes through its data cache.
    bool cached(std::uint64_t addr, std::uint64_t len) const;
    /// Asks the cache for the lines of [addr, addr + len) and moves lines in and out; `ready`: when
    /// the last one is there; kNever: memory has not told yet (kFilled). False: an incoherence.
    bool look_up(HartId hart, Cycle now, std::uint64_t addr, std::uint64_t len, bool store,
                 Cycle& ready);
    void write_back(const DataCaches::Access& access, Cycle now);
    /// Whether the lines of an access that the core's cache has to fetch can be read.
    bool lines_readable(HartId hart, std::uint64_t addr, std::uint64_t len);
    enum EventKind : std::uint32_t {
        kFetched, ///< a = hart, b = ticket: the fetch that it waits for may go on
        kLoaded,  ///< a = hart, b = ticket: the load or AMO that it waits for may go on
        kStored,  ///< a = hart, b = generation: a posted store or a write-back was acknowledged
        kFilled,  ///< a = hart | generation << 32, b = a line of its data cache that has arrived
    };
    /// An access of a hart that memory answers by an event. It is made anew when the answer is
    /// there, then with its effect. A hart that an interrupt took away finds the answer later, or
    /// overwrites this by another access.
    struct Access {
        bool open = false;
        bool answered = false;
        bool amo = false;
        unsigned len = 0;
        std::uint64_t addr = 0;
        std::uint64_t ticket = 0;
        Cycle since = 0;

        void checkpoint(Checkpoint& state) { state(open, answered, amo, len, addr, ticket, since); }
        bool is(bool an_amo, std::uint64_t at, unsigned bytes) const {
            return open && amo == an_amo && addr == at && len == bytes;
        }
        OpResult wait(bool an_amo, std::uint64_t at, unsigned bytes) {
            *this = {true, false, an_amo, bytes, at, ticket + 1, 0};
            return OpResult::blocked();
        }
    };
    struct Waits {
        Access fetch;
        Access data;
        std::uint32_t generation = 0; ///< changes when the hart is reset
        std::uint32_t stores_open = 0;
        Cycle stores_done = 0; ///< when the last of the others was acknowledged
        bool for_stores = false;
        bool for_line = false; ///< of the data cache

        void checkpoint(Checkpoint& state) {
            state(fetch, data, generation, stores_open, stores_done, for_stores, for_line);
        }
    };
    void forget(HartId hart);

    void add_control_hart(HartId hart);
    void add_pe_hart(HartId hart);
    OpResult fault(FabricError error, AccessKind kind, std::uint64_t addr) const;

    const Config& config_;
    EventQueue& events_;
    Fabric& fabric_;
    Diagnostics& diagnostics_;
    SystemBus* bus_ = nullptr;
    TrapObserver* observer_ = nullptr;
    CodeCache code_;
    DataCaches caches_;
    std::vector<std::unique_ptr<Pe>> pes_;
    std::vector<std::unique_ptr<Hart>> harts_;
    std::vector<std::unique_ptr<HartRunner>> runners_;
    std::vector<Waits> waits_; ///< per hart
    UnitId unit_;
    std::vector<FetchCounters> fetches_;
    unsigned trap_reports_ = 0;
    unsigned incoherence_reports_ = 0;
    ClockGovernor* governor_ = nullptr;
    unsigned droop_ = 0;                        ///< per cent, as the detector last saw it
    std::vector<std::uint64_t> retired_before_; ///< per hart: up to its last reset
};

} // namespace talus::sim

#endif
