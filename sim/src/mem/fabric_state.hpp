// Inside of class Fabric: memories, calendars and the translation of addresses.
#ifndef TALUS_SIM_MEM_FABRIC_STATE_HPP
#define TALUS_SIM_MEM_FABRIC_STATE_HPP

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_set>
#include <vector>

#include "talus/hw/address_map.h"

#include "calendar.hpp"
#include "dram.hpp"
#include "fabric.hpp"
#include "host_memory.hpp"
#include "last_level_cache.hpp"
#include "sources.hpp"

namespace talus::sim {

/// Where an address leads.
enum class TargetKind : std::uint8_t {
    kRom,
    kControlSram,
    kLls,
    kStaging,
    kDram,
    kLocal,     ///< local memory of `pe` by way of the NoC
    kOwnLocal,  ///< a PE core's own local memory, by its alias
    kRegisters, ///< registers of `pe` by way of the NoC
    kOwnRegisters,
    kMmio,
};

struct Target {
    FabricError error = FabricError::kUnmapped;
    TargetKind kind = TargetKind::kRom;
    std::uint32_t pe = 0;
    std::uint64_t offset = 0; ///< within the memory or block
    std::uint64_t left = 0;   ///< bytes from offset to the end of it
    std::uint8_t* host = nullptr;
    MmioHandler* handler = nullptr;

    bool ok() const { return error == FabricError::kNone; }
    bool memory() const { return host != nullptr; }
};

/// Tags of requests to DRAM that are not a packet's number: a fill of the cache (its number below),
/// and what nobody waits for.
inline constexpr std::uint64_t kFillTag = std::uint64_t{1} << 32;
inline constexpr std::uint64_t kNobodyTag = std::uint64_t{1} << 33;

struct Fabric::State final : DramClient {
    struct MmioRange {
        std::uint64_t base;
        std::uint64_t size;
        MmioHandler* handler;
    };
    struct PePorts {
        BandwidthCalendar in;
        BandwidthCalendar out;
    };

    /// Packets that somebody waits for as a whole.
    struct Transfer {
        Notify notify;
        Cycle done = 0;         ///< of the packets whose time is known
        Cycle after = 0;        ///< added at the end
        std::uint32_t open = 0; ///< packets whose time is not known
    };
    /// A packet that DRAM has, or a member's share of a broadcast that it has.
    struct Packet {
        Requester who;
        std::uint32_t transfer = 0;
        std::uint32_t bytes = 0;
        Cycle there = 0; ///< it has reached the memory
        Cycle way = 0;
        std::uint32_t link = Crossbars::kNoLink;
        bool write = false;
        std::shared_ptr<BroadcastTransfer> broadcast; ///< the answer is for its members
        std::size_t number = 0;                       ///< in the broadcast
    };
    /// A packet that its source has no credit for, and not even a time at which it will.
    struct Held {
        Requester who;
        Cycle at = 0; ///< it could have left
        Target target;
        std::uint64_t bytes = 0;
        bool write = false;
        std::uint32_t transfer = 0;
        std::shared_ptr<BroadcastTransfer> broadcast; ///< it is a member's request
        std::size_t number = 0;                       ///< in the broadcast
    };

    State(const Config& config, EventQueue& events, int staging_fd);

    Target locate(const Requester& who, std::uint64_t addr) const;
    Target in_pe_window(std::uint32_t pe, std::uint64_t offset) const;

    /// One way through the NoC: its clocks, and the link between a crossbar and the grid on it.
    struct Way {
        Cycle clocks = 0;
        std::uint32_t link = Crossbars::kNoLink;
    };
    Way way(const Requester& who, const Target& target) const;
    /// A packet's data, all of which is at the link's end at `at`, crosses it.
    Cycle over_link(Cycle now, Cycle at, std::uint32_t link, Crossbars::Direction direction,
                    std::uint64_t bytes);
    /// The same into the grid, for a member of a broadcast: where the link is common, only once.
    Cycle over_link(Cycle now, Cycle at, std::uint32_t link, std::uint64_t bytes, bool column,
                    BroadcastTransfer::Packet& shared);
    Cycle pe_to_pe(std::uint32_t from, std::uint32_t to) const;
    Cycle pe_to_control(std::uint32_t pe) const;
    /// The SRAM slice of an offset in LLS: the sum of the block number's digits in base `slices`.
    std::size_t slice_of(std::uint64_t offset) const;
    BandwidthCalendar& port(const Requester& who, bool into_requester);
    /// What a packet's data take on ports and links.
    std::uint64_t on_wire(std::uint64_t bytes) const { return bytes + config.noc.header_bytes; }
    std::uint32_t source_of(const Requester& who, bool write) const {
        return sources.number(who.in_pe() ? who.pe() : sources.control_port(), write);
    }
    /// One more open packet of its transfer, until the source has a credit for it.
    void hold(std::uint32_t source, Held packet);
    /// Sends what was held and has a credit now.
    void release(Cycle now);
    /// A packet of `bytes` at the target: returns when its data is available (read) or stored.
    Cycle at_target(Cycle now, Cycle at, const Target& target, std::uint64_t bytes, bool write);
    /// From `at` at the requester to the data's arrival there (read) or the acknowledgement;
    /// kNever: DRAM has it, or its source no credit, and `transfer` one more open packet.
    Cycle packet(const Requester& who, Cycle now, Cycle at, const Target& target,
                 std::uint64_t bytes, bool write, std::uint32_t transfer);
    /// The same once its source lets it go. kNever: DRAM has it.
    Cycle send(const Requester& who, Cycle now, Cycle leaves, const Target& target,
               std::uint64_t bytes, bool write, std::uint32_t transfer);
    /// The same for packet `number` of a broadcast, towards one member. kNever: `waits` is its
    /// share, which needs a transfer.
    Cycle send_member(const std::shared_ptr<BroadcastTransfer>& transfer, std::size_t number,
                      const Requester& who, Cycle now, Cycle leaves, const Target& target,
                      std::uint64_t bytes, std::uint32_t& waits);
    /// The same as a transfer of its own.
    Cycle single(const Requester& who, Cycle now, Cycle at, const Target& target,
                 std::uint64_t bytes, bool write, const Notify& notify, Cycle after = 0);
    std::uint32_t open_transfer(const Notify& notify, Cycle earliest, Cycle after);
    /// One open packet of it less.
    void close(std::uint32_t transfer, Cycle done);
    /// A packet for DRAM reaches its SRAM slice at `there`: `then` is answered at the time
    /// returned, or, kNever, by deliver().
    Cycle at_dram(Cycle now, Cycle there, std::uint64_t offset, std::uint64_t bytes, bool write,
                  Packet then);
    void ask_dram(Cycle there, std::uint64_t offset, std::uint64_t bytes, bool write,
                  std::uint64_t tag);
    /// The packet's data left the memory at `done`, or was accepted by it.
    void deliver(Cycle now, std::uint32_t packet, Cycle done);
    void write_back(Cycle now, Cycle there, const std::vector<LastLevelCache::Range>& ranges);
    std::uint32_t new_packet();
    /// `done`: the data has crossed the link (read), or the memory has it (write).
    void answer(Cycle now, const Packet& packet, Cycle done);
    void on_dram(Cycle now, std::uint64_t tag, Cycle done) override;
    void expect_dram(std::uint64_t tag, unsigned step) override;

    void break_reservations(const std::uint8_t* host, std::uint64_t len);

    const Config& config;
    EventQueue& events;
    HostMemory rom;
    HostMemory control_sram;
    HostMemory lls;
    HostMemory staging;
    HostMemory dram;

    std::vector<PePort*> pes;
    std::vector<MmioRange> mmio;

    std::vector<PePorts> pe_ports;
    PePorts control_ports;
    Sources sources;
    std::vector<std::deque<Held>> held; ///< by source
    std::vector<std::uint32_t> ready;   ///< sources that hold packets and had an answer
    Crossbars crossbars;
    std::vector<BandwidthCalendar> slices;
    BandwidthCalendar control_sram_port;
    BandwidthCalendar staging_port;
    Dram dram_controllers;
    LastLevelCache llc;
    Ecc ecc;
    std::vector<Transfer> transfers;
    std::vector<std::uint32_t> free_transfers;
    std::vector<Packet> packets;
    std::vector<std::uint32_t> free_packets;

    /// LR/SC: by hart, the host address of the reserved 64-byte line; null: none.
    std::vector<const std::uint8_t*> reservations;
    std::uint32_t reserved = 0; ///< how many of them stand
    std::unordered_set<std::uint64_t> code_pages;
    mutable FabricCounters counters;
};

} // namespace talus::sim

#endif
