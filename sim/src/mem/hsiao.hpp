// The code of the memories with ECC: SEC-DED over 64 data and 8 check bits with the odd-weight
// columns of M. Y. Hsiao, "A Class of Optimal Minimum Odd-weight-column SEC-DED Codes", IBM J. Res.
// Dev. 14(4), 1970. (72,64) is the usual one for SRAM and for DIMMs: the widest word that 8 check
// bits cover, and the 12.5 % that controller ECC takes of DRAM.
#ifndef TALUS_SIM_MEM_HSIAO_HPP
#define TALUS_SIM_MEM_HSIAO_HPP

#include <array>
#include <bit>
#include <cstdint>

namespace talus::sim::hsiao {

inline constexpr unsigned kDataBits = 64;
inline constexpr unsigned kWordBytes = kDataBits / 8;

/// The data bits' columns of the parity-check matrix: the 56 of weight 3, ascending, and of those
/// of weight 5 the eight rotations of 0b11111, so that every row has 26 ones beside its check
/// bit's. A check bit's column is a power of two.
inline constexpr std::array<std::uint8_t, kDataBits> kColumns = [] {
    std::array<std::uint8_t, kDataBits> columns{};
    unsigned next = 0;
    for (unsigned column = 0; column < 256; ++column) {
        if (std::popcount(column) == 3) {
            columns[next++] = static_cast<std::uint8_t>(column);
        }
    }
    for (int turn = 0; turn < 8; ++turn) {
        columns[next++] = std::rotl(std::uint8_t{0b11111}, turn);
    }
    return columns;
}();

enum class Verdict : std::uint8_t {
    kClean,         ///< nothing is noticed
    kCorrected,     ///< the decoder has changed one bit
    kUncorrectable, ///< the word is known to be wrong
};

struct Decoded {
    Verdict verdict = Verdict::kClean;
    /// Data bits that are wrong after that: 0, unless there were too many for the code.
    std::uint64_t wrong = 0;
};

/// What the decoder makes of a word of which the data bits in `flips` are wrong.
inline constexpr Decoded decode(std::uint64_t flips) {
    std::uint8_t syndrome = 0;
    for (std::uint64_t left = flips; left != 0; left &= left - 1) {
        syndrome ^= kColumns[static_cast<unsigned>(std::countr_zero(left))];
    }
    if (syndrome == 0) {
        return {Verdict::kClean, flips};
    }
    if (std::has_single_bit(syndrome)) {
        return {Verdict::kCorrected, flips}; // it takes a check bit for the wrong one
    }
    for (unsigned bit = 0; bit < kDataBits; ++bit) {
        if (kColumns[bit] == syndrome) {
            return {Verdict::kCorrected, flips ^ std::uint64_t{1} << bit};
        }
    }
    return {Verdict::kUncorrectable, flips};
}

} // namespace talus::sim::hsiao

#endif
