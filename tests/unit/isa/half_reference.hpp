// Half precision by brute force, independent of the model: an exact value is compared with the
// sorted list of all halves. Values are doubles, which hold every half, sum and product of halves
// exactly.
#ifndef TALUS_TESTS_ISA_HALF_REFERENCE_HPP
#define TALUS_TESTS_ISA_HALF_REFERENCE_HPP

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace talus::sim::reference {

enum Flag : unsigned { kNx = 1, kUf = 2, kOf = 4, kDz = 8, kNv = 16 };

inline double half_value(std::uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * INFINITY;
    return sign *
           (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

/// Rounds `value` (finite; `error` says on which side of it the exact result lies: -1, 0, +1).
/// Rounding modes as RISC-V encodes them.
inline std::uint16_t round_half(double value, int error, unsigned rm, unsigned& flags,
                                bool zero_sign) {
    if (value == 0 && error == 0)
        return zero_sign ? 0x8000 : 0;
    const bool negative = value < 0 || (value == 0 && zero_sign);
    const double magnitude = std::fabs(value);
    const int side = negative ? -error : error; // of the magnitude
    // The largest half not above the exact magnitude; 0x7c00 stands for 2^16, the next step.
    unsigned low = 0;
    const auto step = [](unsigned bits) {
        return bits == 0x7c00 ? 65536.0 : half_value(static_cast<std::uint16_t>(bits));
    };
    for (unsigned bit = 0x4000; bit; bit >>= 1) {
        const unsigned candidate = low | bit;
        if (candidate <= 0x7c00 &&
            (step(candidate) < magnitude || (step(candidate) == magnitude && side >= 0)))
            low = candidate;
    }
    const bool overflow_region = low >= 0x7c00;
    const bool exact = !overflow_region && step(low) == magnitude && side == 0;
    unsigned result = low;
    if (overflow_region) {
        const bool to_max = rm == 1 || (rm == 2 && !negative) || (rm == 3 && negative);
        flags |= kOf | kNx;
        result = to_max ? 0x7bff : 0x7c00;
    } else if (!exact) {
        const double middle = (step(low) + step(low + 1)) / 2; // exact
        const int against = magnitude != middle ? (magnitude < middle ? -1 : 1) : side;
        bool up = false;
        switch (rm) {
        case 0:
            up = against > 0 || (against == 0 && (low & 1));
            break;
        case 2:
            up = negative;
            break;
        case 3:
            up = !negative;
            break;
        case 4:
            up = against >= 0;
            break;
        default:
            break;
        }
        result = low + up;
        flags |= kNx;
        if (result == 0x7c00)
            flags |= kOf;
        // Tiny after rounding to 11 bits with an unbounded exponent.
        const double smallest = half_value(0x0400);
        if (magnitude < smallest) {
            const double unit = std::ldexp(1.0, -25); // below 2^-14: spacing 2^-25
            const double floor_value = smallest - unit;
            bool reaches = false;
            if (magnitude >= floor_value) {
                const double half_way = smallest - unit / 2;
                const int where = magnitude != half_way ? (magnitude < half_way ? -1 : 1) : side;
                const bool inexact = magnitude != floor_value || side != 0;
                reaches = rm == 0   ? where >= 0
                          : rm == 4 ? where >= 0
                          : rm == 2 ? negative && inexact
                          : rm == 3 ? !negative && inexact
                                    : false;
            }
            if (!reaches)
                flags |= kUf;
        }
    }
    return static_cast<std::uint16_t>(result | (negative ? 0x8000 : 0));
}

} // namespace talus::sim::reference

#endif
