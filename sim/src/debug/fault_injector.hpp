// Faults of the hardware, put in on purpose: from the command line (--inject) and from gdb (monitor
// inject). What was injected, when, and who noticed goes to the log and to a JSON report.
//
// A specification is a kind and key=value pairs, separated by colons:
//
//   flip:memory=local:pe=3.4      a bit of a PE's local memory changes, as by a particle
//   flip:memory=control|lls|dram  a bit of another memory
//   flip:memory=llc               of what the cache holds then; places are offsets in DRAM
//     [:addr=OFFSET]              from the memory's beginning; without it places are drawn by seed
//     [:range=BYTES][:seed=S]     from the first BYTES (default: all)
//     [:bit=0..7][:count=N]       bit of the byte (default: drawn); so many flips
//     [:bits=N]                   of each, N bits of the 64 around that one, the others drawn: two
//                                 are more than ECC corrects
//     [:job=N]                    when the Nth launch since then is broadcast; `at` counts from it
//   dma-drop:pe=3.4               DMA commands of the PE that complete but move nothing
//     [:dir=in|out][:count=N]     in one direction only; so many (default: 1)
//   stuck:pe=3.4:unit=UNIT        fi-in, fi-out, mlu, dpe, re or se begins no command
//     [:for=CLOCKS]               counted from the first command that it has (default: for ever)
//   link                          PCIe packets are damaged and sent again
//     [:every=N][:for=CLOCKS]     every Nth packet (default: all), from `at` on
//   msix-drop[:vector=N]          interrupts (of one vector, or of any) that never reach the host
//     [:count=N]                  so many (default: 1)
//   droop[:percent=N]             the supply sags: the PEs' units lose N % of their clock (default:
//   10)
//     [:for=CLOCKS]               from `at` on
//
// With [:at=CLOCK] it happens at the first event at or after that clock, otherwise at once. A flip
// in a memory with ECC is noticed by that (mem/ecc.hpp); the report says by which reader's access,
// or why not.
#ifndef TALUS_SIM_DEBUG_FAULT_INJECTOR_HPP
#define TALUS_SIM_DEBUG_FAULT_INJECTOR_HPP

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/fault_hooks.hpp"
#include "soc/device_debugger.hpp"

namespace talus::sim::debug {

struct InjectedFault {
    enum class Kind : std::uint8_t { kFlip, kDmaDrop, kStuck, kLink, kMsixDrop, kDroop };
    enum class Memory : std::uint8_t { kLocal, kControl, kLls, kLlc, kDram };

    std::string text; ///< as given
    Kind kind = Kind::kFlip;
    Memory memory = Memory::kLocal;
    std::uint32_t pe = 0;
    unsigned unit = 0;
    bool any_direction = true;
    bool out = false;
    bool has_addr = false;
    std::uint64_t addr = 0;
    std::uint64_t range = 0;
    unsigned bit = 8;  ///< 8: drawn
    unsigned bits = 1; ///< of each word
    std::uint64_t count = 1;
    std::uint64_t job = 0; ///< launches to come until it is due; 0: none, `at` says when
    std::uint64_t seed = 0;
    std::uint64_t every = 1;
    bool any_vector = true;
    std::uint64_t vector = 0;
    unsigned percent = 10;
    Cycle at = 0;
    Cycle duration = kNever;

    // What became of it.
    struct Effect {
        Cycle clock;
        std::string text;
        std::string fate{}; ///< flips: what became of it
    };
    std::vector<Effect> effects; ///< what was done to the hardware
    std::vector<Effect> noticed; ///< errors that the device reported afterwards
    std::uint64_t done = 0;      ///< how often it has acted
};

/// Throws std::invalid_argument with a sentence.
InjectedFault parse_fault(std::string_view text, const Config& config);

class FaultInjector final : public FaultHooks, public EccListener {
  public:
    /// The device outlives it.
    explicit FaultInjector(const DeviceParts& parts);
    ~FaultInjector() override;

    /// Any time on the timing thread, or before it runs.
    void add(InjectedFault fault);
    /// When fire() has something to do; kNever: no more.
    Cycle next() const { return next_; }
    /// Carries out what is due.
    void fire(Cycle now);
    /// The device reported an error of the guest (a trap, a command's fault, a deadlock) or a
    /// command that failed: remembered with the faults injected before it.
    void notice(Cycle now, std::string_view what);

    const std::vector<InjectedFault>& faults() const { return faults_; }
    /// {"faults": [{"spec", "injected": [{"clock", "what", "fate"}], "noticed": [...]}]}; only
    /// flips have a fate.
    std::string json() const;
    /// One line per fault, for people.
    std::string summary() const;

    // FaultHooks
    bool drops_dma(std::uint32_t pe, bool out, Cycle now, std::uint64_t bytes) override;
    Cycle stuck_until(std::uint32_t pe, unsigned unit, Cycle now) override;
    std::uint64_t replays(Cycle now, std::uint64_t packets) override;
    bool loses_msix(unsigned vector, Cycle now) override;
    unsigned droop_percent(Cycle now) override;
    void job_begins(Cycle now) override;

    // EccListener
    void on_ecc(const EccEvent& event) override;

  private:
    void flip(InjectedFault& fault, Cycle now);
    void flip_word(InjectedFault& fault, Cycle now, std::uint64_t addr, std::uint64_t bits);
    void record(InjectedFault& fault, Cycle now, std::string text);
    static bool active(const InjectedFault& fault, Cycle now) {
        return now >= fault.at && now - fault.at < fault.duration;
    }

    DeviceParts parts_;
    std::vector<InjectedFault> faults_;
    Cycle next_ = kNever;
    std::uint64_t packets_ = 0; ///< PCIe packets since the first link fault
};

} // namespace talus::sim::debug

#endif
