// The A extension.
//
// On direct memory the hart carries atomics out itself, at a synchronised point. There, SC succeeds
// if the reserved address still holds the value that LR saw (its other writers run ahead with plain
// stores, which nothing observes); outside, the port owns the reservations.
#include "commit_recorder.hpp"
#include "core.hpp"

namespace talus::sim {

std::uint64_t amo_result(AmoOp op, unsigned len, std::uint64_t old_value, std::uint64_t operand) {
    const bool word = len == 4;
    const auto sext = [word](std::uint64_t v) {
        return word ? std::int64_t{static_cast<std::int32_t>(v)} : static_cast<std::int64_t>(v);
    };
    const std::uint64_t mask = word ? 0xffffffffu : ~std::uint64_t{0};
    const std::uint64_t a = old_value & mask, b = operand & mask;
    switch (op) {
    case AmoOp::kLr:
        return a;
    case AmoOp::kSc:
    case AmoOp::kSwap:
        return b;
    case AmoOp::kAdd:
        return (a + b) & mask;
    case AmoOp::kXor:
        return a ^ b;
    case AmoOp::kAnd:
        return a & b;
    case AmoOp::kOr:
        return a | b;
    case AmoOp::kMin:
        return sext(a) < sext(b) ? a : b;
    case AmoOp::kMax:
        return sext(a) < sext(b) ? b : a;
    case AmoOp::kMinu:
        return std::min(a, b);
    case AmoOp::kMaxu:
        return std::max(a, b);
    }
    return a;
}

bool Core::amo(const AmoRequest& request, std::uint64_t& old_value, Cycle& ready_at) {
    const bool lr = request.op == AmoOp::kLr;
    if (request.addr & (request.len - 1u)) {
        raise(lr ? cause::kLoadMisaligned : cause::kStoreMisaligned, request.addr);
        return false;
    }
    std::uint64_t lo = 0, hi = ~std::uint64_t{0};
    const Privilege who = data_mode();
    if (pmp_binds(who) &&
        !(pmp_allows(request.addr, request.len, AccessKind::kLoad, who, lo, hi) &&
          (lr || pmp_allows(request.addr, request.len, AccessKind::kStore, who, lo, hi)))) {
        raise(lr ? cause::kLoadAccess : cause::kStoreAccess, request.addr);
        return false;
    }
    drain_vector();
    if (!sync_point())
        return false;
    const DirectRegion* region = find_region(request.addr);
    const auto watch = [&] {
        if (!debug) [[likely]]
            return;
        if (request.op != AmoOp::kSc)
            debug_access(request.addr, request.len, AccessKind::kLoad);
        if (!lr)
            debug_access(request.addr, request.len, AccessKind::kStore);
    };
    if (!region) {
        const OpResult result = port.amo(config.id, now, request);
        if (!accept(result))
            return false;
        if (lr || request.op == AmoOp::kSc)
            reserved = false; // one reservation per hart, and SC ends any
        watch();
        if (commit) [[unlikely]]
            commit->atomic(request, result.value);
        old_value = result.value;
        ready_at = std::max(now + 1, result.done);
        return true;
    }
    if (!region->readable || (!lr && !region->writable)) {
        raise(lr ? cause::kLoadAccess : cause::kStoreAccess, request.addr);
        return false;
    }
    if (guard && !pass_guard(*region, request.addr, request.len, AccessKind::kLoad, lo, hi))
        [[unlikely]]
        return false;
    watch();
    std::uint8_t* at = region->host + (request.addr - region->base);
    std::uint64_t memory = 0;
    std::memcpy(&memory, at, request.len); // the low bytes: the host is little-endian
    now += timing.amo_penalty;
    ready_at = now + region->load_latency;
    if (lr) {
        reserved = true;
        reserved_len = request.len;
        reserved_addr = request.addr;
        reserved_value = memory;
        old_value = memory;
        if (commit) [[unlikely]]
            commit->atomic(request, old_value);
        return true;
    }
    if (request.op == AmoOp::kSc) {
        const bool success = reserved && reserved_len == request.len &&
                             reserved_addr == request.addr && reserved_value == memory;
        reserved = false;
        if (success)
            std::memcpy(at, &request.operand, request.len);
        old_value = success ? 0 : 1;
        if (commit) [[unlikely]]
            commit->atomic(request, old_value);
        return true;
    }
    const std::uint64_t updated = amo_result(request.op, request.len, memory, request.operand);
    std::memcpy(at, &updated, request.len);
    old_value = memory;
    if (commit) [[unlikely]]
        commit->atomic(request, old_value);
    return true;
}

namespace {

template <AmoOp Op, class T>
void exec(Core& c, const Decoded& d) {
    AmoRequest request{};
    request.op = Op;
    request.len = sizeof(T);
    request.acquire = d.raw >> 26 & 1;
    request.release = d.raw >> 25 & 1;
    request.addr = c.x[d.rs1];
    request.operand = static_cast<std::make_unsigned_t<T>>(c.x[d.rs2]);
    std::uint64_t old_value;
    Cycle ready;
    if (!c.amo(request, old_value, ready))
        return;
    c.x[d.rd] = static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<T>(old_value)));
    c.result_at(d.rd, ready);
}

using W = std::int32_t;
using D = std::int64_t;

constexpr InsnSpec kInsns[] = {
    {"lr.w", "00010 -- 00000 ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kLr, W>},
    {"lr.d", "00010 -- 00000 ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kLr, D>},
    {"sc.w", "00011 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kSc, W>},
    {"sc.d", "00011 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kSc, D>},
    {"amoswap.w", "00001 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kSwap, W>},
    {"amoswap.d", "00001 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kSwap, D>},
    {"amoadd.w", "00000 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kAdd, W>},
    {"amoadd.d", "00000 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kAdd, D>},
    {"amoxor.w", "00100 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kXor, W>},
    {"amoxor.d", "00100 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kXor, D>},
    {"amoand.w", "01100 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kAnd, W>},
    {"amoand.d", "01100 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kAnd, D>},
    {"amoor.w", "01000 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kOr, W>},
    {"amoor.d", "01000 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kOr, D>},
    {"amomin.w", "10000 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kMin, W>},
    {"amomin.d", "10000 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kMin, D>},
    {"amomax.w", "10100 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kMax, W>},
    {"amomax.d", "10100 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kMax, D>},
    {"amominu.w", "11000 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kMinu, W>},
    {"amominu.d", "11000 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kMinu, D>},
    {"amomaxu.w", "11100 -- ----- ----- 010 ----- 0101111", Format::kR, exec<AmoOp::kMaxu, W>},
    {"amomaxu.d", "11100 -- ----- ----- 011 ----- 0101111", Format::kR, exec<AmoOp::kMaxu, D>},
};

} // namespace

std::span<const InsnSpec> atomic_insns() {
    return kInsns;
}

} // namespace talus::sim
