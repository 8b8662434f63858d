// The receiving end of one link of the reduction network: a place for one message between the
// reduction engines of neighbouring PEs. It belongs to the receiver; the sender asks its own
// `taken` flag, which the receiver's credit clears one link delay after the message was read.
#ifndef TALUS_SIM_PE_REDUCTION_LINK_HPP
#define TALUS_SIM_PE_REDUCTION_LINK_HPP

#include <array>
#include <cstdint>

#include "talus/hw/instructions.h"

#include "core/checkpoint.hpp"

namespace talus::sim {

/// m x n 32-bit sums at [row * 32 + column], or m ranges at [2 * row], [2 * row + 1].
struct ReductionMessage {
    std::uint8_t content = TALUS_RE_SUMS;
    std::uint8_t m = 0;
    std::uint8_t n = 0;
    std::array<std::uint32_t, TALUS_RE_BANK_ROWS * TALUS_RE_BANK_COLS> values{};
};

struct ReductionInbox {
    enum class State : std::uint8_t {
        kFree,
        kReserved, ///< a sender streams to it; its first row has not arrived
        kArrived,  ///< may be received; the rows behind the first follow at the link's rate
        kReading,  ///< being received; the credit is on its way
    };
    State state = State::kFree;
    std::uint64_t number = 0; ///< of the message; one that was dropped is told by it
    ReductionMessage message;

    void checkpoint(Checkpoint& checkpoint) {
        checkpoint(state, number, message.content, message.m, message.n, message.values);
    }
};

} // namespace talus::sim

#endif
