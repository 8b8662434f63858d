#include "trace_reader.hpp"

#include <fstream>
#include <iterator>
#include <stdexcept>

#include <zlib.h>

#include "perfetto.pb.h"

namespace talus::test {

namespace {

namespace pb = perfetto::protos;

constexpr unsigned kDeltaClock = 64;
constexpr unsigned kCleared = 1;
constexpr unsigned kNeedsState = 2;
constexpr std::size_t kLargestPacket = 512 * 1024;

void require(bool ok, const char* what) {
    if (!ok)
        throw std::runtime_error(std::string("trace: ") + what);
}

std::string inflated(const std::string& data) {
    std::string out;
    z_stream stream{};
    require(inflateInit(&stream) == Z_OK, "inflateInit");
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    int status = Z_OK;
    while (status == Z_OK) {
        char block[65536];
        stream.next_out = reinterpret_cast<Bytef*>(block);
        stream.avail_out = sizeof block;
        status = inflate(&stream, Z_NO_FLUSH);
        out.append(block, sizeof block - stream.avail_out);
    }
    inflateEnd(&stream);
    require(status == Z_STREAM_END, "compressed_packets is no deflate stream");
    return out;
}

struct Sequence {
    std::uint64_t clock = 0;
    std::uint64_t track = 0;
    bool has_clock = false;
    std::map<std::uint64_t, std::string> names;
    std::map<std::uint64_t, std::string> annotations;
};

class Reader {
  public:
    void packet(const pb::TracePacket& packet) {
        if (packet.has_compressed_packets()) {
            require(packet.ByteSizeLong() < kLargestPacket, "a compressed packet is too large");
            pb::Trace inner;
            require(inner.ParseFromString(inflated(packet.compressed_packets())),
                    "compressed packets do not parse");
            require(inner.unknown_fields().empty(), "unknown field");
            for (const pb::TracePacket& part : inner.packet())
                this->packet(part);
            return;
        }
        ++result.packets;
        require(packet.unknown_fields().empty(), "unknown field in a packet");
        require(packet.trusted_packet_sequence_id() != 0, "a packet without a sequence");
        if (packet.has_track_descriptor()) {
            describe(packet.track_descriptor());
            return;
        }
        Sequence& sequence = sequences_[packet.trusted_packet_sequence_id()];
        if ((packet.sequence_flags() & kCleared) != 0)
            sequence = {};
        require((packet.sequence_flags() & kNeedsState) != 0, "interning without its flag");
        if (packet.has_trace_packet_defaults()) {
            const auto& defaults = packet.trace_packet_defaults();
            require(defaults.timestamp_clock_id() == kDeltaClock, "another default clock");
            sequence.track = defaults.track_event_defaults().track_uuid();
        }
        if (packet.has_clock_snapshot()) {
            for (const auto& clock : packet.clock_snapshot().clocks())
                if (clock.clock_id() == kDeltaClock) {
                    require(clock.is_incremental(), "the delta clock is none");
                    sequence.clock = clock.timestamp();
                    sequence.has_clock = true;
                }
            return;
        }
        require(sequence.has_clock, "an event before its clock");
        for (const auto& entry : packet.interned_data().event_names())
            sequence.names[entry.iid()] = entry.name();
        for (const auto& entry : packet.interned_data().debug_annotation_names())
            sequence.annotations[entry.iid()] = entry.name();
        sequence.clock += packet.timestamp();
        require(packet.has_track_event(), "a packet with nothing");
        event(sequence, packet.track_event());
    }

    void finish() {
        for (const auto& [track, stack] : open_)
            require(stack.empty(), "a slice has no end");
    }

    ReadTrace result;

  private:
    void describe(const pb::TrackDescriptor& descriptor) {
        std::string path = descriptor.name();
        require(!path.empty(), "a track without a name");
        if (descriptor.has_parent_uuid()) {
            require(paths_.contains(descriptor.parent_uuid()), "a parent that is not described");
            path = paths_[descriptor.parent_uuid()] + "/" + path;
        }
        require(paths_.emplace(descriptor.uuid(), path).second, "a track is described twice");
        require(!result.tracks.contains(path), "two tracks of one name");
        result.tracks[path] = {path, descriptor.has_counter(), {}, {}};
    }

    void event(const Sequence& sequence, const pb::TrackEvent& event) {
        const std::uint64_t uuid = event.has_track_uuid() ? event.track_uuid() : sequence.track;
        require(paths_.contains(uuid), "an event on a track that is not described");
        ReadTrack& track = result.tracks[paths_[uuid]];
        std::map<std::string, std::uint64_t> arguments;
        for (const auto& annotation : event.debug_annotations()) {
            require(sequence.annotations.contains(annotation.name_iid()), "annotation's name");
            arguments[sequence.annotations.at(annotation.name_iid())] = annotation.uint_value();
        }
        std::string name;
        if (event.has_name_iid()) {
            require(sequence.names.contains(event.name_iid()), "a name that is not interned");
            name = sequence.names.at(event.name_iid());
        }
        switch (event.type()) {
        case pb::TrackEvent::TYPE_SLICE_BEGIN:
            require(!track.counter && !name.empty(), "a slice on a counter, or without a name");
            open_[uuid].push_back({name, sequence.clock, 0, arguments});
            break;
        case pb::TrackEvent::TYPE_SLICE_END: {
            require(!open_[uuid].empty(), "an end without a beginning");
            TraceSlice slice = open_[uuid].back();
            open_[uuid].pop_back();
            slice.end = sequence.clock;
            track.slices.push_back(slice);
            break;
        }
        case pb::TrackEvent::TYPE_INSTANT:
            track.points.push_back({sequence.clock, name, 0, arguments});
            break;
        case pb::TrackEvent::TYPE_COUNTER:
            require(track.counter, "a value on a track that is no counter");
            track.points.push_back({sequence.clock, "", event.counter_value(), {}});
            break;
        default:
            require(false, "an event without a type");
        }
    }

    std::map<std::uint32_t, Sequence> sequences_;
    std::map<std::uint64_t, std::string> paths_;
    std::map<std::uint64_t, std::vector<TraceSlice>> open_;
};

} // namespace

ReadTrace read_trace(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    require(file.good(), "cannot read the file");
    const std::string data{std::istreambuf_iterator<char>(file), {}};
    Reader reader;
    for (std::size_t at = 0; at < data.size();) {
        require(data[at++] == 0x0a, "not a field of Trace"); // packet = 1, length-delimited
        std::uint64_t length = 0;
        unsigned shift = 0;
        bool more = true;
        for (; more && at < data.size(); shift += 7) {
            more = (data[at] & 0x80) != 0;
            length |= std::uint64_t{data[at++] & 0x7fu} << shift;
        }
        if (more || length > data.size() - at)
            break; // the last block is being written
        pb::TracePacket packet;
        require(packet.ParseFromArray(data.data() + at, static_cast<int>(length)),
                "a packet does not parse");
        reader.packet(packet);
        at += length;
    }
    reader.finish();
    return std::move(reader.result);
}

} // namespace talus::test
