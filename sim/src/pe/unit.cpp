#include "unit.hpp"

#include <algorithm>

namespace talus::sim {

std::optional<Cycle> PipelinedUnit::begin(Command& command, Cycle now) {
    const Cycle begin = std::max(free_at_, now + startup_);
    const Cycle clocks = occupancy(command);
    const std::uint64_t bytes = local_bytes(command);
    const Cycle end = shared_.local_bandwidth.reserve_evenly(now, begin, begin + clocks, bytes);
    PeCounters::Unit& totals = counters(command);
    totals.busy_clocks += clocks;
    totals.bytes += bytes;
    free_at_ = end;
    last_done_ = std::max(last_done_, end + pipeline_);
    return last_done_;
}

} // namespace talus::sim
