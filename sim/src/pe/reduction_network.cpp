// The reduction engine's ends of the reduction network.
#include <bit>
#include <cstring>

#include "talus/hw/interrupts.h"

#include "numeric.hpp"
#include "units.hpp"

namespace talus::sim {

std::optional<Fault> ReductionEngine::check(Command& command) {
    if (command.code == TALUS_RE_SEND) {
        if (!shared_.neighbour(command.direction, +1)) {
            return Fault{TALUS_TRAP_SUBGRID, command.direction};
        }
    } else if (command.code == TALUS_RE_RECEIVE) {
        const ReductionMessage& sent = shared_.inboxes[command.direction].message;
        if (sent.content != command.content || sent.m != command.m || sent.n != command.n) {
            return Fault{TALUS_TRAP_REDUCTION,
                         std::uint64_t{sent.content} << 16 | std::uint64_t{sent.m} << 8 | sent.n};
        }
    }
    return std::nullopt;
}

std::optional<Cycle> ReductionEngine::begin(Command& command, Cycle now) {
    const std::optional<Cycle> done = PipelinedUnit::begin(command, now);
    const unsigned direction = command.direction;
    const Cycle way = shared_.config.re.link_clocks;
    if (command.code == TALUS_RE_SEND) {
        // Rows leave as they come out of the pipeline, and the receiver takes them at the same
        // rate: it never waits for more than the first.
        const Cycle first_row = *done - occupancy(command) + 1;
        ReductionMessage header;
        header.content = command.content;
        header.m = static_cast<std::uint8_t>(command.m);
        header.n = static_cast<std::uint8_t>(command.n);
        shared_.link_taken[direction] = true;
        PePort& to = *shared_.fabric.pe(*shared_.neighbour(direction, +1));
        sending_[direction].push_back(to.announce_sums(first_row + way, direction, header));
    } else if (command.code == TALUS_RE_RECEIVE) {
        shared_.inboxes[direction].state = ReductionInbox::State::kReading;
        if (const auto from = shared_.link_peer(direction, -1)) {
            shared_.fabric.pe(*from)->return_link(*done + way, direction);
        }
    }
    return done;
}

void ReductionEngine::send(const Command& command) {
    ReductionMessage message;
    message.content = command.content;
    message.m = static_cast<std::uint8_t>(command.m);
    message.n = static_cast<std::uint8_t>(command.n);
    if (command.content == TALUS_RE_RANGES) {
        std::memcpy(message.values.data(), ranges(command).data(),
                    command.m * sizeof(talus_row_range));
    } else {
        std::memcpy(message.values.data(), bank(command), sizeof(Bank));
    }
    auto& numbers = sending_[command.direction];
    const std::uint64_t number = numbers.front();
    numbers.erase(numbers.begin());
    if (const auto to = shared_.link_peer(command.direction, +1)) {
        shared_.fabric.pe(*to)->deliver_sums(command.direction, number, message);
    }
}

void ReductionEngine::receive(const Command& command) {
    ReductionInbox& inbox = shared_.inboxes[command.direction];
    const ReductionMessage& message = inbox.message;
    inbox.state = ReductionInbox::State::kFree;
    if (command.content == TALUS_RE_RANGES) {
        for (std::uint32_t row = 0; row < command.m; ++row) {
            talus_row_range& range = ranges(command)[row];
            const auto low = std::bit_cast<float>(message.values[2 * row]);
            const auto high = std::bit_cast<float>(message.values[2 * row + 1]);
            range.low = std::bit_cast<std::uint32_t>(minimum(std::bit_cast<float>(range.low), low));
            range.high =
                std::bit_cast<std::uint32_t>(maximum(std::bit_cast<float>(range.high), high));
        }
        return;
    }
    for (std::uint32_t row = 0; row < command.m; ++row) {
        std::uint32_t* sums = bank(command) + row * TALUS_RE_BANK_COLS;
        const std::uint32_t* sent = message.values.data() + row * TALUS_RE_BANK_COLS;
        for (std::uint32_t col = 0; col < command.n; ++col) {
            if (command.source_type == TALUS_CP_INT32) {
                sums[col] += sent[col];
            } else {
                const float sum = std::bit_cast<float>(sums[col]) + std::bit_cast<float>(sent[col]);
                sums[col] = std::bit_cast<std::uint32_t>(canonical(sum));
            }
        }
    }
}

} // namespace talus::sim
