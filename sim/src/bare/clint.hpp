// The interrupt source of bare-metal runs: software interrupts and timers at the addresses where
// RISC-V's common platforms have them.
#ifndef TALUS_SIM_BARE_CLINT_HPP
#define TALUS_SIM_BARE_CLINT_HPP

#include <cstdint>
#include <vector>

#include "../core/types.hpp"

namespace talus::sim::bare {

/// Registers by offset: msip of hart h at 4 h, mtimecmp at 0x4000 + 8 h, mtime at 0xbff8. Accesses
/// of 4 bytes, and of 8 to the latter two, naturally aligned. mtime counts clocks.
class Clint {
  public:
    static constexpr std::uint64_t kBase = 0x2000000;
    static constexpr std::uint64_t kSize = 0x10000;

    explicit Clint(unsigned harts) : msip_(harts), compare_(harts, kNever) {}

    /// False: no register there.
    bool read(Cycle now, std::uint64_t offset, unsigned len, std::uint64_t& value) const {
        std::uint64_t word = 0;
        if (!get(now, offset & ~std::uint64_t{7}, word) || !fits(offset, len)) {
            return false;
        }
        value = len == 8 ? word : word >> (8 * (offset & 4)) & 0xffffffff;
        return true;
    }
    bool write(Cycle now, std::uint64_t offset, unsigned len, std::uint64_t value) {
        std::uint64_t word = 0;
        const std::uint64_t at = offset & ~std::uint64_t{7};
        if (!get(now, at, word) || !fits(offset, len)) {
            return false;
        }
        if (len == 4) {
            const unsigned shift = 8 * (offset & 4);
            word = (word & ~(std::uint64_t{0xffffffff} << shift)) | (value & 0xffffffff) << shift;
        } else {
            word = value;
        }
        put(now, at, word);
        return true;
    }

    bool software(HartId hart) const { return msip_[hart]; }
    /// Whether the hart's timer interrupt is pending at `now`.
    bool timer(HartId hart, Cycle now) const { return now + offset_ >= compare_[hart]; }
    /// When timer() becomes true if nothing is written; kNever: not within 2^63 clocks.
    Cycle timer_at(HartId hart) const {
        const std::uint64_t at = compare_[hart] - offset_;
        return compare_[hart] < offset_ ? 0 : at >> 63 ? kNever : at;
    }
    std::uint64_t mtime(Cycle now) const { return now + offset_; }

  private:
    static constexpr std::uint64_t kCompare = 0x4000;
    static constexpr std::uint64_t kTime = 0xbff8;

    static bool fits(std::uint64_t offset, unsigned len) {
        return (len == 4 && offset % 4 == 0) || (len == 8 && offset % 8 == 0 && offset >= kCompare);
    }
    /// The eight bytes at an aligned offset.
    bool get(Cycle now, std::uint64_t at, std::uint64_t& word) const {
        if (at < 4 * msip_.size()) {
            word = msip_[at / 4];
            if (at / 4 + 1 < msip_.size()) {
                word |= std::uint64_t{msip_[at / 4 + 1]} << 32;
            }
            return true;
        }
        if (at >= kCompare && (at - kCompare) / 8 < compare_.size()) {
            word = compare_[(at - kCompare) / 8];
            return true;
        }
        word = mtime(now);
        return at == kTime;
    }
    void put(Cycle now, std::uint64_t at, std::uint64_t word) {
        if (at < kCompare) {
            msip_[at / 4] = word & 1;
            if (at / 4 + 1 < msip_.size()) {
                msip_[at / 4 + 1] = word >> 32 & 1;
            }
        } else if (at == kTime) {
            offset_ = word - now;
        } else {
            compare_[(at - kCompare) / 8] = word;
        }
    }

    std::vector<std::uint8_t> msip_;
    std::vector<std::uint64_t> compare_;
    std::uint64_t offset_ = 0; ///< mtime - now
};

} // namespace talus::sim::bare

#endif
