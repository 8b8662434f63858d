// A trace in Perfetto's format (ui.perfetto.dev opens it).
//
// Every track has a packet sequence of its own, with a delta clock, interned names and its track as
// default: an event is some 15 bytes, and deflates to a few. Timestamps are simulated nanoseconds,
// rounded down from clocks.
#ifndef TALUS_SIM_TRACE_TRACER_HPP
#define TALUS_SIM_TRACE_TRACER_HPP

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/trace_sink.hpp"

#include "trace_file.hpp"

namespace talus::sim {

class Tracer final : public TraceSink {
  public:
    /// `limit_bytes`: of the file; when it is reached, nothing more is recorded. Throws
    /// std::runtime_error when the file cannot be made.
    Tracer(const std::string& path, std::uint64_t clock_khz, std::uint64_t limit_bytes);
    ~Tracer() override;

    TraceTrack add_track(std::string_view name, TraceTrack parent) override;
    TraceTrack add_counter(std::string_view name, TraceTrack parent) override;
    void slice(TraceTrack track, std::string_view name, Cycle begin, Cycle end,
               TraceArgument argument) override;
    void instant(TraceTrack track, std::string_view name, Cycle when,
                 TraceArgument argument) override;
    void value(TraceTrack counter, Cycle when, std::uint64_t value) override;

    /// Device time starts anew at 0; the trace goes on.
    void restart();
    /// Hands what is recorded to the file, if enough has gathered or some time has passed.
    void flush(bool all = false);

  private:
    struct Track {
        std::string name;
        TraceTrack parent;
        bool counter;
        bool begun = false;
        std::uint64_t last = 0; ///< ns
        std::vector<bool> names;
        std::vector<bool> arguments;
    };

    TraceTrack add(std::string_view name, TraceTrack parent, bool counter);
    std::uint64_t nanoseconds(Cycle clocks) const;
    bool open(TraceTrack number, std::uint64_t& at);
    void describe(TraceTrack number);
    std::uint64_t intern(std::string_view name);
    void event(TraceTrack number, std::uint64_t at, unsigned type, std::uint64_t name,
               TraceArgument argument);
    void packet();
    void end_of_entry();

    TraceFile file_;
    const std::uint64_t clock_khz_;
    const std::uint64_t limit_;
    std::vector<Track> tracks_;
    std::unordered_map<std::string, std::uint64_t> names_;
    std::vector<std::string> texts_; ///< by id less 1
    std::string block_;
    std::string packet_;
    std::string event_;
    std::string inner_;
    std::uint64_t base_ = 0;   ///< ns at device time 0
    std::uint64_t latest_ = 0; ///< ns
    bool full_ = false;
    std::chrono::steady_clock::time_point handed_;
};

} // namespace talus::sim

#endif
