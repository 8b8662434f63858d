// A circular buffer of local memory, as hardware keeps it (instructions.h has the rules).
#ifndef TALUS_SIM_PE_CIRCULAR_BUFFER_HPP
#define TALUS_SIM_PE_CIRCULAR_BUFFER_HPP

#include <cstdint>

#include "core/checkpoint.hpp"

namespace talus::sim {

/// Who produces or consumes: a core's queue of a unit, or a core itself.
struct CbParty {
    std::uint8_t code = 0; ///< 0: nobody yet

    static CbParty queue(unsigned core, unsigned unit) {
        return {static_cast<std::uint8_t>(1 + core * 8 + unit)};
    }
    static CbParty of_core(unsigned core) { return {static_cast<std::uint8_t>(1 + core * 8 + 7)}; }
    bool nobody() const { return code == 0; }
    bool is_core() const { return !nobody() && (code - 1) % 8 == 7; }
    unsigned core() const { return (code - 1u) / 8; }
    unsigned unit() const { return (code - 1u) % 8; }
    bool operator==(const CbParty&) const = default;
};

enum class CbCheck : std::uint8_t { kReady, kWait, kMisuse };

/// Positions count bytes since configuration and never wrap; the place in memory is position mod
/// depth. In order: head <= popping <= committed <= reserved <= head + depth.
class CircularBuffer {
  public:
    bool configured() const { return depth_ != 0; }
    void configure(std::uint64_t base, std::uint64_t depth) {
        const std::uint32_t kept = references;
        *this = CircularBuffer{};
        references = kept;
        base_ = base;
        depth_ = depth;
    }

    /// May `party` read `extent` bytes at head + offset and pop `move`?
    CbCheck check_consume(CbParty party, std::uint64_t offset, std::uint64_t extent,
                          std::uint64_t move) const {
        if (!configured() || !(consumer_.nobody() || consumer_ == party) || !moves(move) ||
            offset + extent > depth_ || wraps(popping_ + offset, extent)) {
            return CbCheck::kMisuse;
        }
        const std::uint64_t available = committed_ - popping_;
        if (available < offset + extent) {
            return CbCheck::kWait;
        }
        return move > available ? CbCheck::kMisuse : CbCheck::kReady;
    }
    /// May `party` write `extent` bytes at tail + offset and push `move`?
    CbCheck check_produce(CbParty party, std::uint64_t offset, std::uint64_t extent,
                          std::uint64_t move) const {
        if (!configured() || !(producer_.nobody() || producer_ == party) || !moves(move) ||
            offset + extent > depth_ || wraps(reserved_ + offset, extent)) {
            return CbCheck::kMisuse;
        }
        const std::uint64_t wanted = offset + extent > move ? offset + extent : move;
        return space() < wanted ? CbCheck::kWait : CbCheck::kReady;
    }

    /// Offsets in local memory for a command that begins now.
    std::uint64_t consume_address(std::uint64_t offset) const {
        return base_ + (popping_ + offset) % depth_;
    }
    std::uint64_t produce_address(std::uint64_t offset) const {
        return base_ + (reserved_ + offset) % depth_;
    }

    void begin_consume(CbParty party, std::uint64_t move) {
        consumer_ = party;
        popping_ += move;
    }
    void end_consume(std::uint64_t move) { head_ += move; }
    void begin_produce(CbParty party, std::uint64_t move) {
        producer_ = party;
        reserved_ += move;
    }
    void end_produce(std::uint64_t move) { committed_ += move; }

    std::uint64_t base() const { return base_; }
    std::uint64_t depth() const { return depth_; }
    /// Committed and not yet being popped.
    std::uint64_t available() const { return committed_ - popping_; }
    /// Committed and not popped.
    std::uint64_t occupancy() const { return committed_ - head_; }
    /// Not reserved.
    std::uint64_t space() const { return depth_ - (reserved_ - head_); }
    CbParty producer() const { return producer_; }
    CbParty consumer() const { return consumer_; }
    /// A size by which a head or tail may move.
    bool moves(std::uint64_t bytes) const { return bytes == 0 || depth_ % bytes == 0; }

    void checkpoint(Checkpoint& state) {
        state(references, base_, depth_, head_, popping_, committed_, reserved_, producer_.code,
              consumer_.code);
    }

    /// Commands issued and not complete that name this CB.
    std::uint32_t references = 0;

  private:
    bool wraps(std::uint64_t position, std::uint64_t extent) const {
        return position % depth_ + extent > depth_;
    }

    std::uint64_t base_ = 0;
    std::uint64_t depth_ = 0;
    std::uint64_t head_ = 0;
    std::uint64_t popping_ = 0;
    std::uint64_t committed_ = 0;
    std::uint64_t reserved_ = 0;
    CbParty producer_;
    CbParty consumer_;
};

} // namespace talus::sim

#endif
