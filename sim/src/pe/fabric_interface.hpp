// Fabric interface: one direction of the DMA between local memory and the NoC.
#ifndef TALUS_SIM_PE_FABRIC_INTERFACE_HPP
#define TALUS_SIM_PE_FABRIC_INTERFACE_HPP

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mem/broadcast.hpp"

#include "unit.hpp"

namespace talus::sim {

/// Cuts commands into packets. A packet leaves when the port has room and fewer than
/// fi.max_requests are unanswered. Bandwidth of the NoC and the memories is reserved in segments,
/// so that PEs with long commands share them in the order of time.
///
/// A broadcast read begins like another command; from then until its last member has come, nothing
/// else of the PE goes through this direction.
class FabricInterface final : public Unit, private BroadcastMember {
  public:
    /// `step` schedules advance() for a broadcast that goes on.
    FabricInterface(PeShared& shared, bool out, std::function<void(Cycle)> step);

    Cycle ready_at() const override;
    std::size_t in_flight_limit() const override { return shared_.config.fi.in_flight_commands; }
    std::optional<Fault> check(Command& command) override;
    std::optional<Cycle> begin(Command& command, Cycle now) override;
    Step advance(Cycle now) override;
    bool waits() const override { return waiting_; }
    std::string describe_wait() const override;
    bool answered(std::uint64_t token, Cycle now) override;
    std::optional<Cycle> finished() override;
    std::optional<Fault> damage(const Command& command) override;
    void execute(Command& command) override;
    void reset() override;
    void checkpoint(Checkpoint& state) override {
        state(first_flight_, issue_ticks_, slots_, last_done_);
    }

  private:
    void broadcast_begins(std::shared_ptr<BroadcastTransfer> transfer, Cycle now) override;
    BroadcastRendezvous::Line line(const Command& command) const;
    std::optional<Fault> check_broadcast(const Command& command) const;
    Cycle packet(Cycle now, Cycle at, std::uint64_t addr, std::uint64_t bytes, std::uint64_t token);
    /// A row of the list is near: a hint to the host's caches.
    void expect_row(const Command& command, std::uint64_t row) const;
    std::optional<Fault> check_rows(Command& command);
    /// The part of check_rows() that is about addresses.
    std::optional<Fault> find_rows(Command& command);
    std::optional<Fault> check_indices(Command& command);
    std::uint64_t row_address(const Command& command, std::uint64_t row) const;
    const Operand& local_operand(const Command& command) const;

    Requester who_;
    bool out_;
    std::uint64_t rate_;
    std::function<void(Cycle)> step_;

    /// A command under way.
    struct Flight {
        std::uint32_t open = 0; ///< packets without an answer
        bool issued = false;    ///< all packets have been
        Cycle data = 0;         ///< of the packets that are known
    };

    /// The command whose requests are being issued, and where it stands.
    Command* current_ = nullptr;
    std::uint64_t row_ = 0;
    std::uint64_t column_ = 0;
    bool waiting_ = false;                        ///< current_ is a broadcast that lacks members
    std::shared_ptr<BroadcastTransfer> transfer_; ///< of current_, if its request is shared
    std::size_t packet_ = 0;                      ///< number of its next packet
    bool needs_slot_ = false;                     ///< waits for a request slot
    std::deque<Flight> flights_;                  ///< in order; the last one may be `current_`'s
    std::uint64_t first_flight_ = 0;              ///< number of flights_.front()

    /// When the next request may leave, in 1/256 clocks.
    std::uint64_t issue_ticks_ = 0;
    /// When each of fi.max_requests request slots is free again: a heap, the earliest in front.
    /// Slots whose packet has no answer are not in it.
    std::vector<Cycle> slots_;
    Cycle last_done_ = 0;
};

} // namespace talus::sim

#endif
