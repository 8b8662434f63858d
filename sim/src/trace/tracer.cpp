#include "tracer.hpp"

#include <algorithm>

#include "protobuf.hpp"

namespace talus::sim {

namespace {

// Field numbers of perfetto's protos/perfetto/trace/: trace.proto, trace_packet.proto,
// trace_packet_defaults.proto, clock_snapshot.proto, interned_data/interned_data.proto,
// track_event/{track_event,track_descriptor,counter_descriptor,debug_annotation}.proto.
enum Field : unsigned {
    kTracePacket = 1,

    kPacketClockSnapshot = 6,
    kPacketTimestamp = 8,
    kPacketSequence = 10,
    kPacketTrackEvent = 11,
    kPacketInterned = 12,
    kPacketFlags = 13,
    kPacketClock = 58,
    kPacketDefaults = 59,
    kPacketDescriptor = 60,

    kSnapshotClocks = 1,
    kClockId = 1,
    kClockTimestamp = 2,
    kClockIncremental = 3,

    kDefaultsTrackEvent = 11,
    kDefaultsClock = 58,
    kEventDefaultsTrack = 11,

    kDescriptorUuid = 1,
    kDescriptorName = 2,
    kDescriptorParent = 5,
    kDescriptorCounter = 8,

    kInternedEventNames = 2,
    kInternedAnnotationNames = 3,
    kInternedId = 1,
    kInternedName = 2,

    kEventAnnotations = 4,
    kEventType = 9,
    kEventName = 10,
    kEventCounter = 30,
    kAnnotationName = 1,
    kAnnotationUint = 3,
};
constexpr unsigned kStateCleared = 1; // TracePacket.SequenceFlags
constexpr unsigned kNeedsState = 2;
constexpr unsigned kSliceBegin = 1; // TrackEvent.Type
constexpr unsigned kSliceEnd = 2;
constexpr unsigned kInstant = 3;
constexpr unsigned kCounter = 4;
constexpr unsigned kBootTime = 6;    // ClockSnapshot: the trace's clock
constexpr unsigned kDeltaClock = 64; // the first one that belongs to a sequence

constexpr auto kPatience = std::chrono::milliseconds(50);

} // namespace

Tracer::Tracer(const std::string& path, std::uint64_t clock_khz, std::uint64_t limit_bytes)
    : file_(path), clock_khz_(clock_khz), limit_(limit_bytes),
      handed_(std::chrono::steady_clock::now()) {}

Tracer::~Tracer() {
    flush(true);
}

std::uint64_t Tracer::nanoseconds(Cycle clocks) const {
    // In two steps: clocks * 1e6 would not fit after five days of device time.
    return base_ + clocks / clock_khz_ * 1000000 + clocks % clock_khz_ * 1000000 / clock_khz_;
}

TraceTrack Tracer::add(std::string_view name, TraceTrack parent, bool counter) {
    tracks_.push_back({std::string(name), parent, counter, false, 0, {}, {}});
    return static_cast<TraceTrack>(tracks_.size());
}

TraceTrack Tracer::add_track(std::string_view name, TraceTrack parent) {
    const TraceTrack number = add(name, parent, false);
    describe(number);
    return number;
}

TraceTrack Tracer::add_counter(std::string_view name, TraceTrack parent) {
    const TraceTrack number = add(name, parent, true);
    describe(number);
    return number;
}

void Tracer::packet() {
    ProtobufWriter(block_).bytes(kTracePacket, packet_);
    packet_.clear();
}

/// Between slices, so that every block holds whole ones.
void Tracer::end_of_entry() {
    if (block_.size() >= TraceFile::kBlockBytes / 2) {
        flush(true);
    }
}

void Tracer::describe(TraceTrack number) {
    const Track& track = tracks_[number - 1];
    inner_.clear();
    ProtobufWriter descriptor(inner_);
    descriptor.number(kDescriptorUuid, number);
    descriptor.bytes(kDescriptorName, track.name);
    if (track.parent != kTraceRoot) {
        descriptor.number(kDescriptorParent, track.parent);
    }
    if (track.counter) {
        descriptor.bytes(kDescriptorCounter, {});
    }
    ProtobufWriter out(packet_);
    out.number(kPacketSequence, 1);
    out.bytes(kPacketDescriptor, inner_);
    packet();
}

std::uint64_t Tracer::intern(std::string_view name) {
    const auto [found, fresh] = names_.try_emplace(std::string(name), texts_.size() + 1);
    if (fresh) {
        texts_.emplace_back(name);
    }
    return found->second;
}

/// Begins a packet of the track's sequence at `at` ns, which is moved up to the one before.
bool Tracer::open(TraceTrack number, std::uint64_t& at) {
    if (full_) {
        return false;
    }
    Track& track = tracks_[number - 1];
    if (!track.begun) {
        track.begun = true;
        track.last = at;
        std::string clock;
        std::string snapshot;
        ProtobufWriter(clock).number(kClockId, kBootTime);
        ProtobufWriter(clock).number(kClockTimestamp, at);
        ProtobufWriter(snapshot).bytes(kSnapshotClocks, clock);
        clock.clear();
        ProtobufWriter(clock).number(kClockId, kDeltaClock);
        ProtobufWriter(clock).number(kClockTimestamp, at);
        ProtobufWriter(clock).number(kClockIncremental, 1);
        ProtobufWriter(snapshot).bytes(kSnapshotClocks, clock);
        std::string event_defaults;
        ProtobufWriter(event_defaults).number(kEventDefaultsTrack, number);
        std::string defaults;
        ProtobufWriter(defaults).bytes(kDefaultsTrackEvent, event_defaults);
        ProtobufWriter(defaults).number(kDefaultsClock, kDeltaClock);
        ProtobufWriter out(packet_);
        out.number(kPacketSequence, number + 1);
        out.number(kPacketFlags, kStateCleared | kNeedsState);
        out.bytes(kPacketDefaults, defaults);
        // The snapshot itself is in the trace's clock: its packet precedes the delta clock.
        out.number(kPacketClock, kBootTime);
        out.number(kPacketTimestamp, at);
        out.bytes(kPacketClockSnapshot, snapshot);
        packet();
    }
    at = std::max(at, track.last);
    ProtobufWriter out(packet_);
    out.number(kPacketTimestamp, at - track.last);
    out.number(kPacketSequence, number + 1);
    out.number(kPacketFlags, kNeedsState);
    track.last = at;
    latest_ = std::max(latest_, at);
    return true;
}

void Tracer::event(TraceTrack number, std::uint64_t at, unsigned type, std::uint64_t name,
                   TraceArgument argument) {
    if (!open(number, at)) {
        return;
    }
    Track& track = tracks_[number - 1];
    ProtobufWriter out(packet_);
    const auto declare = [&](std::vector<bool>& known, std::uint64_t id, unsigned field) {
        if (known.size() <= id) {
            known.resize(id + 1);
        }
        if (known[id]) {
            return;
        }
        known[id] = true;
        std::string entry;
        ProtobufWriter(entry).number(kInternedId, id);
        ProtobufWriter(entry).bytes(kInternedName, texts_[id - 1]);
        ProtobufWriter(inner_).bytes(field, entry);
    };
    inner_.clear();
    event_.clear();
    ProtobufWriter body(event_);
    body.number(kEventType, type);
    if (name != 0) {
        declare(track.names, name, kInternedEventNames);
        body.number(kEventName, name);
    }
    if (argument.name != nullptr) {
        const std::uint64_t id = intern(argument.name);
        declare(track.arguments, id, kInternedAnnotationNames);
        std::string annotation;
        ProtobufWriter(annotation).number(kAnnotationName, id);
        ProtobufWriter(annotation).number(kAnnotationUint, argument.value);
        body.bytes(kEventAnnotations, annotation);
    }
    if (!inner_.empty()) {
        out.bytes(kPacketInterned, inner_);
    }
    out.bytes(kPacketTrackEvent, event_);
    packet();
}

void Tracer::slice(TraceTrack track, std::string_view name, Cycle begin, Cycle end,
                   TraceArgument argument) {
    event(track, nanoseconds(begin), kSliceBegin, intern(name), argument);
    event(track, nanoseconds(end), kSliceEnd, 0, {});
    end_of_entry();
}

void Tracer::instant(TraceTrack track, std::string_view name, Cycle when, TraceArgument argument) {
    event(track, nanoseconds(when), kInstant, intern(name), argument);
    end_of_entry();
}

void Tracer::value(TraceTrack counter, Cycle when, std::uint64_t value) {
    std::uint64_t at = nanoseconds(when);
    if (!open(counter, at)) {
        return;
    }
    event_.clear();
    ProtobufWriter body(event_);
    body.number(kEventType, kCounter);
    body.number(kEventCounter, value);
    ProtobufWriter(packet_).bytes(kPacketTrackEvent, event_);
    packet();
    end_of_entry();
}

void Tracer::restart() {
    base_ = latest_;
}

void Tracer::flush(bool all) {
    const auto now = std::chrono::steady_clock::now();
    if (block_.empty() || (!all && now - handed_ < kPatience)) {
        return;
    }
    handed_ = now;
    file_.append(std::move(block_));
    block_.clear();
    full_ = full_ || file_.written() >= limit_;
}

} // namespace talus::sim
