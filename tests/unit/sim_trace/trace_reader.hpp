// Reads a trace by Perfetto's schema, as trace_processor would: sequences, delta clocks, interned
// names, defaults. Throws on whatever breaks a rule of the format.
#ifndef TALUS_TESTS_SIM_TRACE_TRACE_READER_HPP
#define TALUS_TESTS_SIM_TRACE_TRACE_READER_HPP

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace talus::test {

struct TraceSlice {
    std::string name;
    std::uint64_t begin = 0; // ns
    std::uint64_t end = 0;
    std::map<std::string, std::uint64_t> arguments;
};
struct TracePoint {
    std::uint64_t at = 0;   // ns
    std::string name;       // of an instant
    std::int64_t value = 0; // of a counter
    std::map<std::string, std::uint64_t> arguments;
};
struct ReadTrack {
    std::string path; // "PE 1.2/core A"
    bool counter = false;
    std::vector<TraceSlice> slices;
    std::vector<TracePoint> points;
};

struct ReadTrace {
    std::map<std::string, ReadTrack> tracks; // by path
    std::size_t packets = 0;
};

/// The trace that stands in the file now; a last block that is not whole does not count, as with
/// trace_processor.
ReadTrace read_trace(const std::string& path);

} // namespace talus::test

#endif
