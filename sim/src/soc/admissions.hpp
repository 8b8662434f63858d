// What the host did, at the places in the order of events where the device took notice: written
// down by a run whose host clock is free, so that another run can repeat it exactly.
//
// A text file: a line `talus-admissions 1 <contract hash>`, then a line for each admission:
// events run so far, device clock, kind, index, value. Numbers are decimal, the value hexadecimal.
#ifndef TALUS_SIM_SOC_ADMISSIONS_HPP
#define TALUS_SIM_SOC_ADMISSIONS_HPP

#include <cstdint>
#include <cstdio>
#include <deque>
#include <memory>
#include <string>

#include "../core/types.hpp"
#include "host_inbox.hpp"

namespace talus::sim {

struct Admission {
    enum class Kind : std::uint8_t {
        kFrozen, ///< HostWrite::Kind's
        kController,
        kSqTail,
        kCqHead,
        kShadowTail,  ///< a batch found in the shadow page; index = queue, value = tail behind it
        kShadowHeads, ///< completions found room in a ring that was full
        kPoll,        ///< the host read a register: one step to the next timer
        kFunctionReset,
        kFundamentalReset,
    };
    std::uint64_t event = 0; ///< events that had run, since the simulator's start
    Cycle clock = 0;
    Kind kind = Kind::kPoll;
    std::uint32_t index = 0;
    std::uint32_t value = 0;

    static Kind kind_of(HostWrite::Kind kind) { return static_cast<Kind>(kind); }
    /// "admission of …" for messages.
    std::string text() const;
};

/// Line by line: what was added is in the file, whenever it is read and however the process ends.
class AdmissionLog {
  public:
    /// Throws std::runtime_error if the file can't be written.
    explicit AdmissionLog(const std::string& path);
    void add(const Admission& admission);

  private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::unique_ptr<std::FILE, Close> file_;
};

class AdmissionReplay {
  public:
    /// Throws std::runtime_error that names the file, the line and what is wrong with it.
    explicit AdmissionReplay(const std::string& path);
    bool empty() const { return admissions_.empty(); }
    /// Only if not empty().
    const Admission& next() const { return admissions_.front(); }
    void pop() { admissions_.pop_front(); }

  private:
    std::deque<Admission> admissions_;
};

} // namespace talus::sim

#endif
