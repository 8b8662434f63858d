// What talusd and its clients say to each other over a SOCK_SEQPACKET socket: a request, then its
// reply; events come unasked in between. Both ends are of one bundle (the contract's hash is
// compared), so the structs travel as they are.
#pragma once

#include "talus/hw/pci.h"
#include "talus/hw/queue.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace talus::driver::daemon {

constexpr std::uint32_t kMagic = 0x44534c54; // "TLSD"
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kMaxData = 4096;

enum class Op : std::uint32_t {
    /// words: magic, version, contract hash. Must come first (or kClients). Reply: words: kHello*
    /// below; data: talus_identify (its max_queues is the client's share), then the device's name;
    /// descriptor: the shadow page's memfd.
    kHello = 1,
    kReserve,  ///< reply: words[0] = the number of a queue that is to be created
    kAdmin,    ///< sqe, filtered and confined to the client. CREATE_QUEUE: reply has the queue's
               ///< bell as descriptor. GET_FAULT: data = the record
    kRead,     ///< words: BAR, offset, bytes (at most kMaxData). Reply: data
    kMap,      ///< words: IOVA, bytes; descriptor: a memfd of at least that size, sealed
    kUnmap,    ///< words: IOVA, bytes
    kAllocate, ///< words: talus_drv_memory, bytes, alignment. Reply: words[0] = device address
    kFree,     ///< words: device address
    kUsage,    ///< words: talus_drv_memory. Reply: words: used, total
    kReset,    ///< ends all the client has on the device. Reply: words[0] = rung; data: the reason
    kLeave,    ///< the same, without giving anything back to be used
    kClients,  ///< reply: data = ClientEntry[]
};

enum HelloWord : std::size_t { kHelloDomain, kHelloIovaBegin, kHelloIovaEnd, kHelloPinsMemory };

struct Request {
    Op op{};
    std::uint32_t reserved = 0;
    std::array<std::uint64_t, 4> words{};
    talus_sqe sqe{};
};

enum class Kind : std::uint32_t {
    kReply = 1,
    kResetComing, ///< the card is about to be reset on another client's account; data: why
    kResetDone,   ///< it was: queues and device memory are gone, mapped memory is not
    kWorking,     ///< the request under way takes its time; its reply follows
};

/// Followed by `data_bytes` bytes: the error's text if `status` is not TALUS_DRV_OK.
struct Reply {
    Kind kind = Kind::kReply;
    std::uint32_t status = 0; // talus_drv_status
    std::array<std::uint64_t, 4> words{};
    talus_cqe cqe{};
    std::uint32_t data_bytes = 0;
    std::uint32_t reserved = 0;
};

struct ClientEntry {
    std::uint64_t pid;
    std::uint64_t uid;
    std::uint64_t domain;
    std::uint64_t queues;
    std::uint64_t host_bytes;
    std::uint64_t device_bytes;
    std::uint64_t commands;
};

/// The shadow page: tails and heads of the client (u32[2 * qid], u32[2 * qid + 1]) in its first
/// half, talusd's event indices in its second.
constexpr std::size_t kShadowBytes = 4096;
constexpr std::size_t kEventOffset = 2048;
static_assert(2 * TALUS_MAX_QUEUES * sizeof(std::uint32_t) <= kEventOffset);

} // namespace talus::driver::daemon
