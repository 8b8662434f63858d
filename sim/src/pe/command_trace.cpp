// Commands as a trace shows them: a slice from the moment a unit takes one to its completion.
#include <bit>

#include <fmt/format.h>

#include "command_processor.hpp"

namespace talus::sim {

std::string command_title(const Command& command) {
    std::string_view name = command_name(command.code);
    if (name.starts_with("TALUS_")) {
        name.remove_prefix(6);
    }
    switch (command.unit) {
    case TALUS_UNIT_DPE:
        return fmt::format("{} {} x {} x {}", name, command.m, command.n, command.k);
    case TALUS_UNIT_RE:
        return fmt::format("{} {} x {}", name, command.m, command.n);
    case TALUS_UNIT_SE:
        return fmt::format("{} {} x {}", name, command.rows, command.columns);
    default:
        return fmt::format("{} {} x {} B", name, command.rows, command.row_bytes);
    }
}

void CommandProcessor::trace(TraceSink& sink, TraceTrack parent) {
    trace_ = &sink;
    trace_parent_ = parent;
    for (unsigned unit = 0; unit < TALUS_UNIT_COUNT; ++unit) {
        const TraceTrack track = sink.add_track(unit_name(unit), parent);
        units_[unit].lanes = {track};
        shared_.counters.units[unit].activity.trace(&sink, track);
    }
}

void CommandProcessor::trace_begin(unsigned unit, Cycle now) {
    UnitState& state = units_[unit];
    Command& command = state.in_flight.back();
    command.begun = now;
    command.lane = static_cast<std::uint8_t>(std::countr_one(state.lanes_used));
    state.lanes_used |= std::uint64_t{1} << command.lane;
    if (command.lane == state.lanes.size()) {
        state.lanes.push_back(trace_->add_track(
            fmt::format("{} ({})", unit_name(unit), command.lane + 1), trace_parent_));
    }
    if (command.lane == 0) {
        // The wait before it ends here, and stands on the same track.
        shared_.counters.units[unit].activity.enter(UnitActivity::kActive, now);
    }
}

void CommandProcessor::trace_end(unsigned unit, Cycle now) {
    UnitState& state = units_[unit];
    const Command& command = state.in_flight.front();
    state.lanes_used &= ~(std::uint64_t{1} << command.lane);
    const bool fabric = unit == TALUS_UNIT_FI_IN || unit == TALUS_UNIT_FI_OUT;
    trace_->slice(state.lanes[command.lane], command_title(command), command.begun, now,
                  fabric ? TraceArgument{"address", command.rs1} : TraceArgument{"pc", command.pc});
}

} // namespace talus::sim
