// The DMA engines: host <-> device and device <-> device, through the windows of the job's domain.
#ifndef TALUS_SIM_SOC_DMA_ENGINE_HPP
#define TALUS_SIM_SOC_DMA_ENGINE_HPP

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "talus/hw/queue.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"

#include "../core/checkpoint.hpp"
#include "../core/config.hpp"
#include "../core/diagnostics.hpp"
#include "../core/event_queue.hpp"
#include "../core/trace_sink.hpp"
#include "../mem/fabric.hpp"
#include "../pci/device_model.hpp"
#include "gzip_stream.hpp"
#include "interrupt_controller.hpp"
#include "pcie_link.hpp"
#include "register_block.hpp"

namespace talus::sim {

/// All TALUS_DMA_CHANNELS channels. A channel cuts its job into chunks, keeps several in flight,
/// and moves the bytes of each when its time has come. A channel whose job fails stops at the chunk
/// that failed; what it moved before stays moved.
///
/// With TALUS_COPY_GZIP the chunks of a gzip member go, in their order, through the GZIP engine
/// that all channels share piece by piece. What it makes is gathered into chunks of its own: half
/// of a channel's buffers hold what came in, half what goes out.
class DmaEngines final : public RegisterBlock, public EventSink {
  public:
    DmaEngines(const Config& config, EventQueue& events, Diagnostics& diagnostics, PcieLink& link,
               Fabric& fabric, InterruptController& interrupts);

    void connect(HostPort& host) { host_ = &host; }

    /// Fundamental reset: channels idle, registers zero.
    void reset();
    /// FLR: a host copy under way ends with TALUS_RESET; a copy within the device goes on.
    void abort_host_copies(Cycle now);

    /// Shows the channels' jobs on tracks below `parent`.
    void trace(TraceSink& sink, TraceTrack parent);

    std::uint64_t bytes_moved() const { return bytes_moved_; }
    /// What the GZIP engine took and made, and for how long it worked.
    std::uint64_t gzip_bytes_in() const { return gzip_bytes_in_; }
    std::uint64_t gzip_bytes_out() const { return gzip_bytes_out_; }
    std::uint64_t gzip_clocks() const { return gzip_ticks_ / kTicks; }
    /// A channel has a job.
    bool busy() const;
    /// Not while busy().
    void checkpoint(Checkpoint& state) {
        state(channels_, bytes_moved_, gzip_free_, gzip_ticks_, gzip_bytes_in_, gzip_bytes_out_);
    }

    std::uint32_t read32(Cycle now, std::uint32_t offset) override;
    void write32(Cycle now, std::uint32_t offset, std::uint32_t value) override;
    void on_event(const Event& event) override;

  private:
    enum EventKind : std::uint32_t {
        kBegin,    ///< the start-up time is over
        kList,     ///< the scatter list has arrived
        kHostSide, ///< H2D: a chunk has arrived from the host; D2D: from its source
        kDone,     ///< a chunk has reached its destination
        kInflated, ///< the GZIP engine is done with a piece
    };

    /// What a channel with a gzip member has besides.
    struct Inflation {
        explicit Inflation(std::uint64_t room) : stream(room) {}
        GzipStream stream;
        std::deque<std::uint64_t> arrived; ///< slots, in the member's order
        std::size_t taken = 0;             ///< bytes of the first of them
        std::uint64_t consumed = 0;        ///< bytes of the member
        std::vector<std::uint8_t> made{};  ///< not yet under way to memory
        std::uint64_t sent = 0;            ///< bytes that are or were
        unsigned reading = 0;              ///< chunks of the member in slots or under way
        bool working = false;              ///< a piece is in the engine
        bool ended = false;                ///< the last piece was made
        GzipStream::Result result{};       ///< of the piece in the engine, or the last
    };

    struct Channel {
        Cycle started = 0; ///< for traces
        // registers
        std::uint64_t host = 0;
        std::uint64_t device = 0;
        std::uint64_t bytes = 0;
        std::uint64_t gzip_bytes = 0;
        std::uint32_t sgl_count = 0;
        std::uint32_t kind = 0;
        std::uint32_t domain = 0;
        // state
        bool busy = false;
        bool done = false;
        std::uint16_t status = TALUS_OK;
        std::uint64_t generation = 0;      ///< of the job; older events are dropped
        std::uint64_t issued = 0;          ///< bytes
        std::uint64_t completed = 0;       ///< bytes
        unsigned in_flight = 0;            ///< chunks
        std::uint64_t device_free = 0;     ///< clock from which the engine's device port is free
        std::vector<talus_sgl_entry> list; ///< one entry for a plain range
        std::size_t list_index = 0;
        std::uint64_t list_offset = 0;
        std::unique_ptr<Inflation> inflation; ///< while busy with TALUS_COPY_GZIP

        bool inflates() const { return (kind & TALUS_COPY_GZIP) != 0; }
        /// On the source's side.
        std::uint64_t source_bytes() const { return inflates() ? gzip_bytes : bytes; }

        void checkpoint(Checkpoint& state) {
            state(host, device, bytes, gzip_bytes, sgl_count, kind, domain, done, status,
                  generation, issued, completed, device_free);
        }
    };

    void start(Cycle now, unsigned index);
    void begin(Cycle now, unsigned index);
    void load_list(Cycle now, unsigned index);
    bool check(const Channel& channel, std::uint16_t& status) const;
    void issue(Cycle now, unsigned index);
    void host_side(Cycle now, unsigned index, std::uint64_t slot);
    void chunk_done(Cycle now, unsigned index, std::uint64_t slot);
    bool supported(const Channel& channel) const;
    void inflate(Cycle now, unsigned index);
    void inflated(Cycle now, unsigned index);
    void go_on_inflating(Cycle now, unsigned index);
    std::uint64_t take_slot(unsigned index);
    void finish(Cycle now, unsigned index, std::uint16_t status);
    Cycle device_port(Channel& channel, Cycle from, std::uint64_t bytes);

    /// A chunk in flight. Bytes wait here between the two sides.
    struct Chunk {
        bool used = false;
        std::uint64_t host = 0;
        std::uint64_t device = 0;
        std::vector<std::uint8_t> data;
    };
    static constexpr unsigned kChunksInFlight = 16;
    static constexpr unsigned kGzipChunks = kChunksInFlight / 2; ///< either way
    static constexpr std::uint64_t kTicks = 1024;                ///< fractions of a clock

    const Config& config_;
    EventQueue& events_;
    Diagnostics& diagnostics_;
    PcieLink& link_;
    Fabric& fabric_;
    InterruptController& interrupts_;
    TraceSink* trace_ = nullptr;
    std::array<TraceTrack, TALUS_DMA_CHANNELS> tracks_{};
    HostPort* host_ = nullptr;
    UnitId unit_;
    std::array<Channel, TALUS_DMA_CHANNELS> channels_;
    std::array<std::array<Chunk, kChunksInFlight>, TALUS_DMA_CHANNELS> chunks_;
    std::uint64_t bytes_moved_ = 0;
    double gzip_ticks_per_byte_ = 0; ///< 0: there is no engine
    std::uint64_t gzip_free_ = 0;    ///< in ticks: the engine is free from here on
    std::uint64_t gzip_ticks_ = 0;
    std::uint64_t gzip_bytes_in_ = 0;
    std::uint64_t gzip_bytes_out_ = 0;
};

} // namespace talus::sim

#endif
