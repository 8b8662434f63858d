// How the DMA engines' channels use the GZIP engine.
#include "dma_engine.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

namespace talus::sim {

/// Gives the engine the channel's next piece, if the engine's answer to the last one is there and
/// the buffers allow: at most one chunk of the member, and at most what is missing of a chunk to
/// send.
void DmaEngines::inflate(Cycle now, unsigned index) {
    Channel& channel = channels_[index];
    Inflation& state = *channel.inflation;
    const std::size_t before = state.made.size();
    if (state.working || state.ended || before == config_.dma.chunk_bytes) {
        return;
    }
    std::span<const std::uint8_t> input;
    if (!state.arrived.empty()) {
        input = std::span(chunks_[index][state.arrived.front()].data).subspan(state.taken);
    }
    state.made.resize(config_.dma.chunk_bytes);
    state.result = state.stream.step(input, std::span(state.made).subspan(before));
    state.made.resize(before + state.result.made);
    const std::size_t work = std::max(state.result.taken, state.result.made);
    if (work == 0 && state.result.state == GzipStream::State::kRunning) {
        if (channel.issued != channel.gzip_bytes || state.reading != 0) {
            return; // the rest is on its way
        }
        state.result.state = GzipStream::State::kDamaged;
    }
    const auto ticks =
        static_cast<std::uint64_t>(std::llround(static_cast<double>(work) * gzip_ticks_per_byte_));
    gzip_free_ = std::max(gzip_free_, now * kTicks) + ticks;
    gzip_ticks_ += ticks;
    gzip_bytes_in_ += state.result.taken;
    gzip_bytes_out_ += state.result.made;
    state.working = true;
    events_.schedule((gzip_free_ + kTicks - 1) / kTicks, unit_, kInflated, index,
                     channel.generation);
}

void DmaEngines::inflated(Cycle now, unsigned index) {
    Channel& channel = channels_[index];
    Inflation& state = *channel.inflation;
    state.working = false;
    state.taken += state.result.taken;
    state.consumed += state.result.taken;
    if (!state.arrived.empty()) {
        Chunk& chunk = chunks_[index][state.arrived.front()];
        if (state.taken == chunk.data.size()) {
            chunk.used = false;
            state.arrived.pop_front();
            state.taken = 0;
            --state.reading;
        }
    }
    if (state.result.state == GzipStream::State::kNoRoom) {
        diagnostics_.host("DMA channel {}: the gzip member at {:#x} inflates to more than {} bytes",
                          index, channel.host, channel.bytes);
        finish(now, index, TALUS_GZIP_ROOM);
        return;
    }
    state.ended = state.result.state == GzipStream::State::kEnd;
    std::string wrong;
    if (state.result.state == GzipStream::State::kDamaged) {
        wrong = state.stream.why().empty() ? "it ends early" : state.stream.why();
    } else if (state.ended && state.consumed != channel.gzip_bytes) {
        wrong = "something follows it";
    }
    if (!wrong.empty()) {
        diagnostics_.host("DMA channel {}: gzip member at {:#x}, byte {} of {}: {}", index,
                          channel.host, state.consumed, channel.gzip_bytes, wrong);
        finish(now, index, TALUS_GZIP_DATA);
        return;
    }
    go_on_inflating(now, index);
}

/// After a piece was made, or a chunk has reached memory: sends what fills a chunk or is the last.
void DmaEngines::go_on_inflating(Cycle now, unsigned index) {
    Channel& channel = channels_[index];
    Inflation& state = *channel.inflation;
    const bool whole = state.made.size() == config_.dma.chunk_bytes || state.ended;
    if (whole && !state.working && !state.made.empty() && channel.in_flight < kGzipChunks) {
        const std::uint64_t slot = take_slot(index);
        Chunk& chunk = chunks_[index][slot];
        chunk.device = channel.device + state.sent;
        chunk.data = std::move(state.made);
        state.made.clear();
        state.sent += chunk.data.size();
        ++channel.in_flight;
        const Notify done{unit_, kDone, index | slot << 8, channel.generation};
        fabric_.transfer(Requester::engine(index), now, chunk.device, chunk.data.size(), true, done,
                         device_port(channel, now, chunk.data.size()));
    }
    if (state.ended && state.made.empty() && channel.in_flight == 0) {
        finish(now, index, TALUS_OK);
        return;
    }
    issue(now, index);
    inflate(now, index);
}

} // namespace talus::sim
