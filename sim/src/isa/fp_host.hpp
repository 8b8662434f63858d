// The host's floating-point unit, used for single and double precision where it is exact: x86-64's
// SSE has RISC-V's four directed rounding modes, its flags, and detects tininess after rounding.
//
// A compiler does not know that arithmetic depends on MXCSR. Every use therefore has the shape
// begin(), operands loaded or laundered after it, results stored or laundered before end(): the
// asm statements below are volatile and clobber memory, so nothing crosses them.
#ifndef TALUS_SIM_ISA_FP_HOST_HPP
#define TALUS_SIM_ISA_FP_HOST_HPP

#include <cstdint>

#include "soft_float.hpp"

namespace talus::sim {

#if defined(__x86_64__)

inline constexpr bool kHostFp = true;
inline constexpr std::uint32_t kMxcsrDefault = 0x1f80; ///< all masked, nearest, no flush to zero

inline void host_fp_load(std::uint32_t mxcsr) {
    asm volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
}
inline std::uint32_t host_fp_store() {
    std::uint32_t mxcsr;
    asm volatile("stmxcsr %0" : "=m"(mxcsr) : : "memory");
    return mxcsr;
}

/// Clears the flags and selects one of kRne, kRtz, kRdn, kRup.
inline void host_fp_begin(std::uint8_t rm) {
    constexpr std::uint32_t kControl[4] = {0, 3, 1, 2};
    host_fp_load(kMxcsrDefault | kControl[rm] << 13);
}
/// The flags since host_fp_begin(); selects round to nearest again.
inline std::uint8_t host_fp_end() {
    const std::uint32_t mxcsr = host_fp_store();
    if (mxcsr & 0x6000)
        host_fp_load(kMxcsrDefault);
    // x86: IE DE ZE OE UE PE from bit 0; RISC-V: NX UF OF DZ NV.
    return static_cast<std::uint8_t>((mxcsr >> 5 & 1) | (mxcsr >> 3 & 2) | (mxcsr >> 1 & 4) |
                                     (mxcsr << 1 & 8) | (mxcsr << 4 & 16));
}
template <class T>
inline void host_fp_launder(T& value) {
    asm volatile("" : "+x"(value));
}

/// Gives the hart a known MXCSR and the caller its own modes back. Where they are the same nothing
/// is loaded, which would cost more than all else of a short slice; then only flags change.
class HostFpScope {
  public:
    HostFpScope() : saved_(host_fp_store()) {
        if (differs())
            host_fp_load(kMxcsrDefault);
    }
    ~HostFpScope() {
        if (differs())
            host_fp_load(saved_);
    }
    HostFpScope(const HostFpScope&) = delete;
    HostFpScope& operator=(const HostFpScope&) = delete;

  private:
    static constexpr std::uint32_t kFlags = 0x3f;
    bool differs() const { return (saved_ & ~kFlags) != kMxcsrDefault; }

    std::uint32_t saved_;
};

#else

inline constexpr bool kHostFp = false;
inline void host_fp_begin(std::uint8_t) {}
inline std::uint8_t host_fp_end() {
    return 0;
}
template <class T>
inline void host_fp_launder(T&) {}
class HostFpScope {
  public:
    HostFpScope() {}
};

#endif

} // namespace talus::sim

#endif
