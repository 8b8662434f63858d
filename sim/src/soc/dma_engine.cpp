#include "dma_engine.hpp"

#include <algorithm>

namespace talus::sim {

namespace {

constexpr unsigned direction(std::uint32_t kind) {
    return kind & ~(TALUS_COPY_SGL | TALUS_COPY_GZIP);
}

std::uint16_t status_of(DmaStatus status) {
    return status == DmaStatus::kDisconnected ? TALUS_RESET : TALUS_HOST_ACCESS;
}

} // namespace

DmaEngines::DmaEngines(const Config& config, EventQueue& events, Diagnostics& diagnostics,
                       PcieLink& link, Fabric& fabric, InterruptController& interrupts)
    : config_(config), events_(events), diagnostics_(diagnostics), link_(link), fabric_(fabric),
      interrupts_(interrupts), unit_(events.add_unit(*this, "dma")) {
    const double rate = config.pcie.gzip_gigabytes_per_second * 1e9;
    if (rate > 0) {
        gzip_ticks_per_byte_ = kTicks * static_cast<double>(config.device.clock_khz) * 1e3 / rate;
    }
}

bool DmaEngines::busy() const {
    return std::any_of(channels_.begin(), channels_.end(),
                       [](const Channel& channel) { return channel.busy; });
}

void DmaEngines::reset() {
    for (Channel& channel : channels_) {
        const std::uint64_t generation = channel.generation + 1;
        channel = Channel{};
        channel.generation = generation;
    }
    chunks_ = {};
    gzip_free_ = 0;
}

void DmaEngines::abort_host_copies(Cycle now) {
    for (unsigned index = 0; index < channels_.size(); ++index) {
        if (channels_[index].busy && direction(channels_[index].kind) != TALUS_COPY_D2D) {
            finish(now, index, TALUS_RESET);
        }
    }
}

std::uint32_t DmaEngines::read32(Cycle, std::uint32_t offset) {
    const unsigned index = offset / DMA_STRIDE;
    if (index >= channels_.size()) {
        return 0;
    }
    const Channel& channel = channels_[index];
    switch (offset % DMA_STRIDE) {
    case DMA_HOST:
    case DMA_HOST + 4:
        return read_half(channel.host, (offset & 4) != 0);
    case DMA_DEVICE:
    case DMA_DEVICE + 4:
        return read_half(channel.device, (offset & 4) != 0);
    case DMA_BYTES:
    case DMA_BYTES + 4:
        return read_half(channel.bytes, (offset & 4) != 0);
    case DMA_GZIP_BYTES:
    case DMA_GZIP_BYTES + 4:
        return read_half(channel.gzip_bytes, (offset & 4) != 0);
    case DMA_WRITTEN:
    case DMA_WRITTEN + 4:
        return read_half(channel.completed, (offset & 4) != 0);
    case DMA_SGL_COUNT:
        return channel.sgl_count;
    case DMA_KIND:
        return channel.kind;
    case DMA_DOMAIN:
        return channel.domain;
    case DMA_STATUS:
        return (channel.busy ? TALUS_DMA_BUSY : 0) | (channel.done ? TALUS_DMA_DONE : 0) |
               static_cast<std::uint32_t>(channel.status) << 16;
    default:
        return 0;
    }
}

void DmaEngines::write32(Cycle now, std::uint32_t offset, std::uint32_t value) {
    const unsigned index = offset / DMA_STRIDE;
    if (index >= channels_.size()) {
        return;
    }
    Channel& channel = channels_[index];
    if (channel.busy) {
        diagnostics_.guest("DMA channel {}: register {:#x} written while it is busy; ignored",
                           index, offset % DMA_STRIDE);
        return;
    }
    switch (offset % DMA_STRIDE) {
    case DMA_HOST:
    case DMA_HOST + 4:
        write_half(channel.host, (offset & 4) != 0, value);
        break;
    case DMA_DEVICE:
    case DMA_DEVICE + 4:
        write_half(channel.device, (offset & 4) != 0, value);
        break;
    case DMA_BYTES:
    case DMA_BYTES + 4:
        write_half(channel.bytes, (offset & 4) != 0, value);
        break;
    case DMA_GZIP_BYTES:
    case DMA_GZIP_BYTES + 4:
        write_half(channel.gzip_bytes, (offset & 4) != 0, value);
        break;
    case DMA_SGL_COUNT:
        channel.sgl_count = value;
        break;
    case DMA_KIND:
        channel.kind = value;
        break;
    case DMA_DOMAIN:
        channel.domain = value;
        break;
    case DMA_START:
        if ((value & 1) != 0) {
            start(now, index);
        }
        break;
    default:
        break;
    }
}

void DmaEngines::start(Cycle now, unsigned index) {
    Channel& channel = channels_[index];
    ++channel.generation;
    channel.started = now;
    channel.busy = true;
    channel.done = false;
    channel.status = TALUS_OK;
    channel.issued = channel.completed = 0;
    channel.in_flight = 0;
    channel.device_free = 0;
    channel.list.clear();
    channel.list_index = 0;
    channel.list_offset = 0;
    for (Chunk& chunk : chunks_[index]) {
        chunk.used = false;
    }
    events_.schedule(now + config_.dma.startup_clocks, unit_, kBegin, index, channel.generation);
}

bool DmaEngines::supported(const Channel& channel) const {
    const unsigned way = direction(channel.kind);
    if (channel.inflates()) {
        return way == TALUS_COPY_H2D && gzip_ticks_per_byte_ != 0;
    }
    return way < TALUS_COPY_D2D || (way == TALUS_COPY_D2D && (channel.kind & TALUS_COPY_SGL) == 0);
}

void DmaEngines::begin(Cycle now, unsigned index) {
    Channel& channel = channels_[index];
    const bool scattered = (channel.kind & TALUS_COPY_SGL) != 0;
    if (!supported(channel)) {
        finish(now, index, TALUS_BAD_FIELD);
        return;
    }
    if (channel.bytes == 0 || channel.source_bytes() == 0 ||
        (scattered && (channel.sgl_count == 0 || channel.sgl_count > TALUS_MAX_SGL))) {
        finish(now, index, TALUS_BAD_SIZE);
        return;
    }
    const std::uint64_t list_bytes = std::uint64_t{channel.sgl_count} * sizeof(talus_sgl_entry);
    if (!scattered) {
        issue(now, index);
    } else if (!fabric_.isolation().host_windows().allows(channel.domain, channel.host, list_bytes,
                                                          false)) {
        finish(now, index, TALUS_WINDOW_MISS);
    } else {
        events_.schedule(link_.read(now, channel.host, list_bytes), unit_, kList, index,
                         channel.generation);
    }
}

void DmaEngines::load_list(Cycle now, unsigned index) {
    Channel& channel = channels_[index];
    channel.list.resize(channel.sgl_count);
    const DmaStatus status =
        host_->dma_read(channel.host, channel.list.data(),
                        std::size_t{channel.sgl_count} * sizeof(talus_sgl_entry));
    if (status != DmaStatus::kOk) {
        diagnostics_.host("DMA channel {}: scatter list at {:#x}: {}", index, channel.host,
                          to_string(status));
        finish(now, index, status_of(status));
        return;
    }
    std::uint64_t sum = 0;
    for (const talus_sgl_entry& entry : channel.list) {
        sum += entry.bytes;
    }
    if (sum != channel.source_bytes()) {
        finish(now, index, TALUS_BAD_SIZE);
        return;
    }
    issue(now, index);
}

/// A job is checked whole before its first byte moves: no half-done copy for a bad argument.
bool DmaEngines::check(const Channel& channel, std::uint16_t& status) const {
    const unsigned way = direction(channel.kind);
    const auto device_ok = [&](std::uint64_t addr, bool write) {
        if (!fabric_.span(Requester::engine(0), addr, channel.bytes, write).ok() ||
            !fabric_.isolation().device_windows().allows(channel.domain, addr, channel.bytes,
                                                         write)) {
            status = TALUS_DEVICE_ACCESS;
            return false;
        }
        return true;
    };
    if (!device_ok(channel.device, way != TALUS_COPY_D2H)) {
        return false;
    }
    if (way == TALUS_COPY_D2D) {
        return device_ok(channel.host, false);
    }
    const bool to_host = way == TALUS_COPY_D2H;
    const auto range_ok = [&](std::uint64_t iova, std::uint64_t bytes) {
        if (!fabric_.isolation().host_windows().allows(channel.domain, iova, bytes, to_host)) {
            status = TALUS_WINDOW_MISS;
            return false;
        }
        if (host_->probe(iova, bytes, to_host) != DmaStatus::kOk) {
            status = TALUS_HOST_ACCESS;
            return false;
        }
        return true;
    };
    if (channel.list.empty()) {
        return range_ok(channel.host, channel.source_bytes());
    }
    return std::all_of(channel.list.begin(), channel.list.end(), [&](const talus_sgl_entry& entry) {
        return entry.bytes == 0 || range_ok(entry.iova, entry.bytes);
    });
}

Cycle DmaEngines::device_port(Channel& channel, Cycle from, std::uint64_t bytes) {
    const std::uint64_t rate = config_.dma.device_bytes_per_clock;
    channel.device_free = std::max<Cycle>(channel.device_free, from) + (bytes + rate - 1) / rate;
    return channel.device_free;
}

std::uint64_t DmaEngines::take_slot(unsigned index) {
    std::uint64_t slot = 0;
    while (chunks_[index][slot].used) {
        ++slot;
    }
    chunks_[index][slot].used = true;
    return slot;
}

void DmaEngines::issue(Cycle now, unsigned index) {
    Channel& channel = channels_[index];
    std::uint16_t status = TALUS_OK;
    if (channel.issued == 0) {
        if (!check(channel, status)) {
            finish(now, index, status);
            return;
        }
        if (channel.inflates()) {
            channel.inflation = std::make_unique<Inflation>(channel.bytes);
        }
    }
    unsigned& held = channel.inflation ? channel.inflation->reading : channel.in_flight;
    const unsigned most = channel.inflation ? kGzipChunks : kChunksInFlight;
    const std::uint64_t source_bytes = channel.source_bytes();
    const Requester engine = Requester::engine(index);
    const unsigned way = direction(channel.kind);
    while (channel.issued < source_bytes && held < most) {
        std::uint64_t bytes =
            std::min<std::uint64_t>(config_.dma.chunk_bytes, source_bytes - channel.issued);
        std::uint64_t host = channel.host + channel.issued;
        if (!channel.list.empty()) {
            while (channel.list[channel.list_index].bytes == channel.list_offset) {
                ++channel.list_index;
                channel.list_offset = 0;
            }
            const talus_sgl_entry& entry = channel.list[channel.list_index];
            bytes = std::min<std::uint64_t>(bytes, entry.bytes - channel.list_offset);
            host = entry.iova + channel.list_offset;
            channel.list_offset += bytes;
        }
        const std::uint64_t slot = take_slot(index);
        Chunk& chunk = chunks_[index][slot];
        chunk.host = host;
        chunk.device = channel.device + channel.issued;
        chunk.data.resize(bytes);
        channel.issued += bytes;
        ++held;
        const Notify arrival{unit_, kHostSide, index | slot << 8, channel.generation};
        if (way == TALUS_COPY_H2D) {
            events_.schedule(link_.read(now, host, bytes), unit_, kHostSide, arrival.a, arrival.b);
        } else {
            const std::uint64_t source = way == TALUS_COPY_D2H ? chunk.device : chunk.host;
            fabric_.transfer(engine, now, source, bytes, false, arrival,
                             device_port(channel, now, bytes));
        }
    }
}

void DmaEngines::host_side(Cycle now, unsigned index, std::uint64_t slot) {
    Channel& channel = channels_[index];
    Chunk& chunk = chunks_[index][slot];
    const Requester engine = Requester::engine(index);
    const unsigned way = direction(channel.kind);
    const std::uint64_t bytes = chunk.data.size();
    if (way == TALUS_COPY_H2D) {
        const DmaStatus status = host_->dma_read(chunk.host, chunk.data.data(), bytes);
        if (status != DmaStatus::kOk) {
            diagnostics_.host("DMA channel {}: reading host {:#x} + {:#x}: {}", index, chunk.host,
                              bytes, to_string(status));
            finish(now, index, status_of(status));
            return;
        }
        if (channel.inflation) {
            channel.inflation->arrived.push_back(slot); // the link answers in the order of calls
            inflate(now, index);
            return;
        }
    } else {
        const std::uint64_t source = way == TALUS_COPY_D2H ? chunk.device : chunk.host;
        const MemorySpan span = fabric_.span(engine, source, bytes, false);
        (void)fabric_.coherent(engine, source, bytes, false); // told, and read all the same
        if (fabric_.ecc().any() && !fabric_.ecc().read(span.host, bytes)) {
            finish(now, index, TALUS_MEMORY_ERROR);
            return;
        }
        std::copy_n(span.host, bytes, chunk.data.data());
    }
    const Notify done{unit_, kDone, index | slot << 8, channel.generation};
    if (way == TALUS_COPY_D2H) {
        events_.schedule(link_.write(now, chunk.host, bytes), unit_, kDone, done.a, done.b);
    } else {
        fabric_.transfer(engine, now, chunk.device, bytes, true, done,
                         device_port(channel, now, bytes));
    }
}

void DmaEngines::chunk_done(Cycle now, unsigned index, std::uint64_t slot) {
    Channel& channel = channels_[index];
    Chunk& chunk = chunks_[index][slot];
    const std::uint64_t bytes = chunk.data.size();
    if (direction(channel.kind) == TALUS_COPY_D2H) {
        const DmaStatus status = host_->dma_write(chunk.host, chunk.data.data(), bytes);
        if (status != DmaStatus::kOk) {
            diagnostics_.host("DMA channel {}: writing host {:#x} + {:#x}: {}", index, chunk.host,
                              bytes, to_string(status));
            finish(now, index, status_of(status));
            return;
        }
    } else {
        const MemorySpan span = fabric_.span(Requester::engine(index), chunk.device, bytes, true);
        if (fabric_.ecc().any() && !fabric_.ecc().write(span.host, bytes)) {
            finish(now, index, TALUS_MEMORY_ERROR);
            return;
        }
        std::copy_n(chunk.data.data(), bytes, span.host);
        fabric_.written(Requester::engine(index), chunk.device, bytes);
    }
    chunk.used = false;
    --channel.in_flight;
    channel.completed += bytes;
    bytes_moved_ += bytes;
    if (channel.inflation) {
        go_on_inflating(now, index);
    } else if (channel.completed == channel.bytes) {
        finish(now, index, TALUS_OK);
    } else {
        issue(now, index);
    }
}

void DmaEngines::trace(TraceSink& sink, TraceTrack parent) {
    trace_ = &sink;
    for (unsigned index = 0; index < TALUS_DMA_CHANNELS; ++index) {
        tracks_[index] = sink.add_track(fmt::format("DMA channel {}", index), parent);
    }
}

void DmaEngines::finish(Cycle now, unsigned index, std::uint16_t status) {
    Channel& channel = channels_[index];
    if (trace_ != nullptr) {
        constexpr const char* kNames[] = {"host to device", "device to host", "within the device"};
        const unsigned way = direction(channel.kind);
        const char* name = way < 3 ? kNames[way] : "?";
        trace_->slice(tracks_[index], channel.inflates() ? "gzip to device" : name, channel.started,
                      now, {"bytes", channel.bytes});
    }
    channel.inflation.reset();
    ++channel.generation; // chunks still under way are dropped
    channel.busy = false;
    channel.done = true;
    channel.status = status;
    interrupts_.raise(static_cast<talus_irq_source>(TALUS_IRQ_DMA0 + index), now);
}

void DmaEngines::on_event(const Event& event) {
    const unsigned index = event.a & 0xff;
    const std::uint64_t slot = event.a >> 8;
    if (channels_[index].generation != event.b) {
        return;
    }
    switch (event.kind) {
    case kBegin:
        begin(event.time, index);
        break;
    case kList:
        load_list(event.time, index);
        break;
    case kHostSide:
        host_side(event.time, index, slot);
        break;
    case kInflated:
        inflated(event.time, index);
        break;
    default:
        chunk_done(event.time, index, slot);
        break;
    }
}

} // namespace talus::sim
