#include "pcie_link.hpp"

#include <algorithm>
#include <cmath>

namespace talus::sim {

namespace {

constexpr std::uint64_t kTicks = 1024; ///< fractions of a clock
constexpr std::uint64_t kFraming = 4 + 4;
constexpr std::uint64_t kRequestHeader = 16;
constexpr std::uint64_t kCompletionHeader = 12;
constexpr std::uint64_t kMessageHeader = 12;
constexpr std::uint64_t kMessageBytes = 4; ///< Message Data (6.1.4)
constexpr std::uint64_t kCreditBytes = 16; ///< of data (2.6.1)
constexpr unsigned kShortTags = 32;        ///< without Extended Tag Field Enable

/// Bytes from `address` to the next multiple of `block` (a power of two), at most `bytes`.
std::uint64_t piece(std::uint64_t address, std::uint64_t bytes, std::uint64_t block) {
    return std::min(bytes, block - (address & (block - 1)));
}

/// Blocks that [address, address + bytes) touches.
std::uint64_t pieces(std::uint64_t address, std::uint64_t bytes, std::uint64_t block) {
    return ((address & (block - 1)) + bytes + block - 1) / block;
}

} // namespace

Cycle PciePool::available(Cycle from, std::uint64_t count) {
    if (size_ == 0) {
        return from;
    }
    from = std::max(from, granted_);
    const std::uint64_t allowed = size_ - std::min(size_, count);
    while (!back_.empty() && (back_.front().first <= from || used_ > allowed)) {
        from = std::max(from, back_.front().first);
        used_ -= back_.front().second;
        back_.pop_front();
    }
    granted_ = from;
    return from;
}

void PciePool::take(Cycle until, std::uint64_t count) {
    if (size_ != 0) {
        used_ += count;
        back_.emplace_back(until, count);
    }
}

void PciePool::clear() {
    used_ = granted_ = 0;
    back_.clear();
}

PcieLink::PcieLink(const Config& config)
    : config_(config.pcie), ticks_per_byte_(kTicks * static_cast<double>(config.device.clock_khz) *
                                            1e3 / (config.pcie.gigabytes_per_second * 1e9) *
                                            (config.pcie.block_encoding ? 130.0 / 128.0 : 1.0)),
      read_latency_(config.clocks_of_ns(config.pcie.read_latency_ns)),
      write_latency_(config.clocks_of_ns(config.pcie.write_latency_ns)),
      credit_latency_(config.clocks_of_ns(config.pcie.credit_latency_ns)), tags_(0),
      posted_headers_(config.pcie.posted_header_credits),
      posted_data_(config.pcie.posted_data_credits),
      nonposted_headers_(config.pcie.nonposted_header_credits) {
    set_sizes({});
}

void PcieLink::set_sizes(const PcieSizes& sizes) {
    sizes_ = sizes;
    const unsigned enabled = sizes.extended_tags ? config_.tags : kShortTags;
    tags_.resize(config_.tags == 0 ? 0 : std::min(config_.tags, enabled));
}

void PcieLink::reset() {
    inbound_.free = outbound_.free = 0;
    for (PciePool* pool : {&tags_, &posted_headers_, &posted_data_, &nonposted_headers_}) {
        pool->clear();
    }
    set_sizes({});
}

/// The clock at which `packets` packets with `bytes` of data in all have passed.
Cycle PcieLink::send(PcieDirection& way, Cycle from, std::uint64_t bytes, std::uint64_t packets,
                     std::uint64_t header) {
    const std::uint64_t overhead = config_.packet_overhead ? kFraming + header : 0;
    std::uint64_t wire = bytes + packets * overhead;
    if (faults_ != nullptr) {
        // A damaged packet is refused and sent again: its bytes once more, after the round trip of
        // the refusal.
        const std::uint64_t again = faults_->replays(from, packets);
        if (again != 0) {
            from += again * read_latency_;
            wire += again * (bytes / packets + overhead);
            replayed_ += again;
            if (told_) {
                told_(again, &way == &inbound_);
            }
        }
    }
    way.free =
        std::max(way.free, from * kTicks) +
        static_cast<std::uint64_t>(std::llround(static_cast<double>(wire) * ticks_per_byte_));
    way.bytes += bytes;
    way.wire += wire;
    way.packets += packets;
    return (way.free + kTicks - 1) / kTicks;
}

Cycle PcieLink::read(Cycle now, std::uint64_t address, std::uint64_t bytes) {
    const std::uint64_t completion =
        std::min<std::uint64_t>(config_.completion_bytes, sizes_.max_payload);
    Cycle done = now;
    while (bytes != 0) {
        const std::uint64_t length = piece(address, bytes, sizes_.max_read_request);
        // A request that waits for a tag waits on the device and holds up nobody: the wire is taken
        // in the order of the calls, the wait comes on top.
        const Cycle sent = send(outbound_, now, 0, 1, kRequestHeader);
        const Cycle tagged = tags_.available(sent, 1);
        tag_wait_ += tagged - sent;
        const Cycle issued = nonposted_headers_.available(tagged, 1);
        credit_wait_ += issued - tagged;
        nonposted_headers_.take(issued + credit_latency_, 1);
        done = send(inbound_, issued + read_latency_, length, pieces(address, length, completion),
                    kCompletionHeader);
        tags_.take(done, 1);
        address += length;
        bytes -= length;
    }
    return done;
}

/// One posted packet: the clock at which it has passed.
Cycle PcieLink::post(Cycle now, std::uint64_t bytes, std::uint64_t header) {
    const std::uint64_t credits = (bytes + kCreditBytes - 1) / kCreditBytes;
    const Cycle from = std::max<Cycle>(now, outbound_.free / kTicks);
    const Cycle allowed = posted_data_.available(posted_headers_.available(from, 1), credits);
    credit_wait_ += allowed - from;
    const Cycle sent = send(outbound_, allowed == from ? now : allowed, bytes, 1, header);
    posted_headers_.take(sent + credit_latency_, 1);
    posted_data_.take(sent + credit_latency_, credits);
    return sent;
}

Cycle PcieLink::write_msix(Cycle now) {
    return post(now, kMessageBytes, kMessageHeader) + write_latency_;
}

Cycle PcieLink::write(Cycle now, std::uint64_t address, std::uint64_t bytes) {
    Cycle sent = now;
    while (bytes != 0) {
        const std::uint64_t length = piece(address, bytes, sizes_.max_payload);
        sent = post(now, length, kRequestHeader);
        address += length;
        bytes -= length;
    }
    return sent + write_latency_;
}

} // namespace talus::sim
