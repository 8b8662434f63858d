// What the vector instructions share: register groups, legality checks, element loops, timing.
// Private to sim/src/isa.
//
// Tail and masked-off elements are always left undisturbed, which both agnostic and undisturbed
// policies permit.
#ifndef TALUS_SIM_ISA_VECTOR_HPP
#define TALUS_SIM_ISA_VECTOR_HPP

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "core.hpp"

namespace talus::sim::vec {

/// A register group seen as elements of T. Registers are contiguous, so element i of a group is at
/// byte i * sizeof(T) of its first register.
template <class T>
class Group {
  public:
    Group(Core& c, unsigned first) : bytes_(c.vreg(first)) {}
    T operator[](std::uint64_t i) const {
        T value;
        std::memcpy(&value, bytes_ + i * sizeof(T), sizeof(T));
        return value;
    }
    void set(std::uint64_t i, T value) const {
        std::memcpy(bytes_ + i * sizeof(T), &value, sizeof(T));
    }

  private:
    std::uint8_t* bytes_;
};

inline bool mask_bit(const std::uint8_t* mask, std::uint64_t i) {
    return mask[i / 8] >> (i % 8) & 1;
}
inline void set_mask_bit(std::uint8_t* mask, std::uint64_t i, bool value) {
    const auto bit = static_cast<std::uint8_t>(1u << (i % 8));
    mask[i / 8] = static_cast<std::uint8_t>(value ? mask[i / 8] | bit : mask[i / 8] & ~bit);
}

// Legality. LMUL and EMUL are log2; a group of a fraction occupies one register.
inline unsigned group_size(int lmul) {
    return lmul <= 0 ? 1u : 1u << lmul;
}
inline bool aligned(unsigned reg, int lmul) {
    return reg % group_size(lmul) == 0;
}
inline bool overlap(unsigned a, unsigned a_size, unsigned b, unsigned b_size) {
    return a < b + b_size && b < a + a_size;
}
/// A destination may overlap a narrower source only in the destination's highest-numbered part.
inline bool separate(unsigned dst, int dst_lmul, unsigned src, int src_lmul) {
    const unsigned dst_size = group_size(dst_lmul), src_size = group_size(src_lmul);
    if (dst_size > src_size && src_lmul >= 0 && src == dst + dst_size - src_size)
        return true;
    return !overlap(dst, dst_size, src, src_size);
}
/// A narrower destination may overlap a source only at the source's first register.
inline bool separate_narrow(unsigned dst, int dst_lmul, unsigned src, int src_lmul) {
    return dst == src || !overlap(dst, group_size(dst_lmul), src, group_size(src_lmul));
}

inline bool usable(const Core& c) {
    return c.v_on && !c.vill;
}
/// A masked instruction must not overwrite its mask.
inline bool mask_kept(const Decoded& d) {
    return d.vm() || d.rd != 0;
}

/// Calls f(i) for the active elements from vstart to vl.
template <class F>
void for_active(Core& c, bool unmasked, F f) {
    const std::uint64_t end = c.vl;
    if (unmasked) {
        for (std::uint64_t i = c.vstart; i < end; ++i)
            f(i);
    } else {
        const std::uint8_t* mask = c.vreg(0);
        for (std::uint64_t i = c.vstart; i < end; ++i) {
            if (mask_bit(mask, i))
                f(i);
        }
    }
}

inline void done(Core& c) {
    c.vstart = 0;
    c.v_dirty();
}

/// Calls f.operator()<uintN_t>() for the element width 8 << log2.
template <class F>
void by_width(unsigned log2, F f) {
    switch (log2) {
    case 0:
        return f.template operator()<std::uint8_t>();
    case 1:
        return f.template operator()<std::uint16_t>();
    case 2:
        return f.template operator()<std::uint32_t>();
    default:
        return f.template operator()<std::uint64_t>();
    }
}

template <class T>
struct Twice;
template <>
struct Twice<std::uint8_t> {
    using Type = std::uint16_t;
};
template <>
struct Twice<std::uint16_t> {
    using Type = std::uint32_t;
};
template <>
struct Twice<std::uint32_t> {
    using Type = std::uint64_t;
};
template <class T>
using Wide = typename Twice<T>::Type;
template <class T>
using Signed = std::make_signed_t<T>;

/// Occupies the vector unit for `clocks` from when it is free; the hart waits until then.
inline void occupy(Core& c, std::uint64_t clocks) {
    c.now = std::max(c.now, c.vector_busy);
    c.vector_busy = c.now + clocks;
}
/// Clocks to produce vl elements of 8 << log2 bits.
inline std::uint64_t chimes(const Core& c, unsigned log2) {
    const std::uint64_t bits = c.vl << (log2 + 3);
    return std::max<std::uint64_t>(1, (bits + c.timing.vector_lane_bits - 1) /
                                          c.timing.vector_lane_bits);
}
/// A scalar result leaves the vector unit when it is done with the instruction.
inline void scalar_result(Core& c, unsigned slot) {
    c.result_at(slot, c.vector_busy + c.timing.vector_to_scalar_latency);
}

// What the second operand is.
enum class Src : std::uint8_t {
    kV,
    kX,
    kI,
    kU
}; ///< register group, x, signed or unsigned immediate

template <Src S>
std::uint64_t scalar_operand(const Core& c, const Decoded& d) {
    if constexpr (S == Src::kX)
        return c.x[d.rs1];
    else if constexpr (S == Src::kI)
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(d.imm));
    else
        return d.rs1;
}

/// Same-width vd = f(vs2, operand).
template <Src S>
bool check_sss(const Core& c, const Decoded& d) {
    return usable(c) && mask_kept(d) && aligned(d.rd, c.vlmul) && aligned(d.rs2, c.vlmul) &&
           (S != Src::kV || aligned(d.rs1, c.vlmul));
}

/// Calls f(i, b) for the active elements, b the second operand as T.
template <class T, Src S, class F>
void for_operands(Core& c, const Decoded& d, bool unmasked, F f) {
    if constexpr (S == Src::kV) {
        const Group<T> b(c, d.rs1);
        for_active(c, unmasked, [&](std::uint64_t i) { f(i, b[i]); });
    } else {
        const T b = static_cast<T>(scalar_operand<S>(c, d));
        for_active(c, unmasked, [&](std::uint64_t i) { f(i, b); });
    }
}

} // namespace talus::sim::vec

// Rows of the three operand forms of OPI and OPM instructions.
#define TALUS_V_ROW(name, f6, f3, format, fn)                                                      \
    { name, f6 " - ----- ----- " f3 " ----- 1010111", Format::format, fn }
#define TALUS_OPIVV(name, f6, fn) TALUS_V_ROW(name, f6, "000", kV, fn)
#define TALUS_OPIVX(name, f6, fn) TALUS_V_ROW(name, f6, "100", kVX, fn)
#define TALUS_OPIVI(name, f6, fn) TALUS_V_ROW(name, f6, "011", kVI, fn)
#define TALUS_OPMVV(name, f6, fn) TALUS_V_ROW(name, f6, "010", kV, fn)
#define TALUS_OPMVX(name, f6, fn) TALUS_V_ROW(name, f6, "110", kVX, fn)

#endif
