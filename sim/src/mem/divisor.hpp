// Division by a number that is fixed when the model is built: a shift where it is a power of two,
// as it mostly is, for a packet would pay several divisions.
#ifndef TALUS_SIM_MEM_DIVISOR_HPP
#define TALUS_SIM_MEM_DIVISOR_HPP

#include <bit>
#include <cstdint>

namespace talus::sim {

class Divisor {
  public:
    /// value >= 1.
    explicit Divisor(std::uint64_t value)
        : value_(value), shift_(std::has_single_bit(value) ? std::countr_zero(value) : -1) {}

    std::uint64_t value() const { return value_; }
    std::uint64_t quotient(std::uint64_t number) const {
        return shift_ >= 0 ? number >> shift_ : number / value_;
    }
    std::uint64_t remainder(std::uint64_t number) const {
        return shift_ >= 0 ? number & (value_ - 1) : number % value_;
    }

  private:
    std::uint64_t value_;
    int shift_;
};

} // namespace talus::sim

#endif
