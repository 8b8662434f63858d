// Off-chip memory: address map, check bits, and the channels on the event queue.
//
// A request is told when its last byte has left the controller, as soon as that is decided.
// Channels are woken so rarely that they just keep that promise: requests are announced
// dram.controller_clocks / 2 before they reach a channel, so a channel may decide that far ahead,
// and an answer travels long after its decision, so it may decide late.
#ifndef TALUS_SIM_MEM_DRAM_HPP
#define TALUS_SIM_MEM_DRAM_HPP

#include <array>
#include <cstdint>
#include <vector>

#include "core/config.hpp"
#include "core/event_queue.hpp"

#include "divisor.hpp"
#include "dram_channel.hpp"

namespace talus::sim {

/// From a byte offset within a channel to rank, bank, row and column.
class DramAddressMap {
  public:
    explicit DramAddressMap(const DramConfig& dram);

    /// The run of bursts that begins at burst number `burst` of the channel, at most `bursts` long:
    /// as far as they are neighbours in a row. Arrival, direction and tag are the caller's.
    DramRun run(std::uint64_t burst, std::uint32_t bursts) const;
    /// Bytes of a channel that data can have; controller ECC takes an eighth.
    std::uint64_t bytes() const;
    /// Bursts of a row that hold data; its check bits follow.
    std::uint32_t data_columns() const { return data_columns_; }

  private:
    DramConfig dram_;
    std::uint32_t data_columns_;
    std::uint32_t low_columns_;
    Divisor low_; ///< the digits of a burst's number, from the low ones up
    Divisor groups_;
    Divisor banks_;
    Divisor ranks_;
    Divisor high_;
    Divisor rows_;
    Divisor banks_of_rank_; ///< for map_bank_xor
};

class DramClient {
  public:
    virtual ~DramClient() = default;
    /// The request with this tag: read, its last byte leaves the controller at `done`; written, its
    /// last byte was accepted by then. done >= now.
    virtual void on_dram(Cycle now, std::uint64_t tag, Cycle done) = 0;
    /// on_dram() for this tag is near: thousands of requests are under way, so that what one needs
    /// has left the host's caches. Steps 0, 1, 2 come one after the other as other requests follow,
    /// or not at all; the request may be over by then. No effect.
    virtual void expect_dram(std::uint64_t /*tag*/, unsigned /*step*/) {}
};

class Dram final : public EventSink {
  public:
    /// Everything passed in outlives it. Adds itself to the queue as a unit.
    Dram(const Config& config, EventQueue& events, DramClient& client);

    /// [offset, offset + len), within one channel's interleave block, reaches the controller at
    /// `at` >= global time. The client is never called from within.
    void request(Cycle at, std::uint64_t offset, std::uint64_t len, bool write, std::uint64_t tag);

    /// Forgets everything; time is 0.
    void reset();
    /// Rows of idle channels are closed and their refresh counts from `now` on.
    void rebase(Cycle now);

    DramCounters counters() const;
    /// Just after rebase(), all channels idle.
    void checkpoint(Checkpoint& state);

    void on_event(const Event& event) override;

  private:
    struct Channel {
        DramChannel controller;
        Cycle origin = 0; ///< the controller's clock 0
        Cycle wake = kNever;
        std::array<std::uint64_t, 2> near; ///< tags of the client's that have entered last
    };
    struct Pending {
        std::uint64_t tag = 0;
        std::uint32_t runs = 0;
        Cycle done = 0;
    };

    DramClock to_dram(const Channel& channel, Cycle time) const;
    Cycle to_device(const Channel& channel, DramClock clock) const;
    void push_check_bits(Channel& channel, const DramRun& run);
    void schedule(std::uint32_t index);
    void expect(Channel& channel);

    DramConfig dram_;
    EventQueue& events_;
    DramClient& client_;
    UnitId unit_;
    DramAddressMap map_;
    Divisor interleave_;
    Divisor channel_count_;
    Divisor burst_bytes_;
    /// A clock of the controller is ratio_num_ / ratio_den_ clocks of the device.
    Divisor ratio_num_;
    Divisor ratio_den_;
    Cycle front_; ///< of controller_clocks, before the queues
    Cycle back_;
    std::vector<Channel> channels_;
    std::vector<Pending> pending_;
    std::vector<std::uint32_t> free_;
    std::vector<DramRunDone> done_;
    std::vector<std::uint64_t> entered_;
};

} // namespace talus::sim

#endif
