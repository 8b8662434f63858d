// Where units tell what they do, for a trace. A unit that has no sink pays one branch.
#ifndef TALUS_SIM_CORE_TRACE_SINK_HPP
#define TALUS_SIM_CORE_TRACE_SINK_HPP

#include <cstdint>
#include <string_view>

#include "types.hpp"

namespace talus::sim {

/// Names a track of the trace.
using TraceTrack = std::uint32_t;
inline constexpr TraceTrack kTraceRoot = 0;

/// A value beside a slice; `name` is null when there is none.
struct TraceArgument {
    const char* name = nullptr;
    std::uint64_t value = 0;
};

/// Times are device clocks. Slices of one track come in the order of their ends and are drawn one
/// after another: what overlaps belongs on tracks of its own. Not thread-safe: the timing thread's.
class TraceSink {
  public:
    virtual ~TraceSink() = default;
    virtual TraceTrack add_track(std::string_view name, TraceTrack parent) = 0;
    virtual TraceTrack add_counter(std::string_view name, TraceTrack parent) = 0;
    virtual void slice(TraceTrack track, std::string_view name, Cycle begin, Cycle end,
                       TraceArgument argument = {}) = 0;
    virtual void instant(TraceTrack track, std::string_view name, Cycle when,
                         TraceArgument argument = {}) = 0;
    virtual void value(TraceTrack counter, Cycle when, std::uint64_t value) = 0;
};

} // namespace talus::sim

#endif
