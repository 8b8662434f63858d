// Vector integer multiply, multiply-add, divide.
#include "vector.hpp"

namespace talus::sim {

namespace {

using namespace vec;
__extension__ using i128 = __int128;
__extension__ using u128 = unsigned __int128;

template <class T>
constexpr unsigned kBits = 8 * sizeof(T);

/// Holds a product of two elements, and is exactly as wide as that takes: g++ 12 vectorises the
/// upper half of a 16-bit signed product computed in 64 or 128 bits as if it were unsigned.
template <class T>
using SignedProduct =
    std::conditional_t<sizeof(T) == 8, i128,
                       std::conditional_t<sizeof(T) == 4, std::int64_t, std::int32_t>>;
template <class T>
using Product =
    std::conditional_t<sizeof(T) == 8, u128,
                       std::conditional_t<sizeof(T) == 4, std::uint64_t, std::uint32_t>>;

// clang-format off
struct Mul { template <class T> static T apply(T a, T b) { return static_cast<T>(std::uint64_t{a} * b); } };
struct Mulhu { template <class T> static T apply(T a, T b) { return static_cast<T>(Product<T>{a} * b >> kBits<T>); } };
struct Mulh { template <class T> static T apply(T a, T b) { return static_cast<T>(SignedProduct<T>{Signed<T>(a)} * Signed<T>(b) >> kBits<T>); } };
struct Mulhsu { template <class T> static T apply(T a, T b) { return static_cast<T>(SignedProduct<T>{Signed<T>(a)} * static_cast<SignedProduct<T>>(b) >> kBits<T>); } };
struct Divu { template <class T> static T apply(T a, T b) { return b == 0 ? static_cast<T>(~T{0}) : static_cast<T>(a / b); } };
struct Remu { template <class T> static T apply(T a, T b) { return b == 0 ? a : static_cast<T>(a % b); } };
struct Div { template <class T> static T apply(T a, T b) {
    if (b == 0) return static_cast<T>(~T{0});
    if (b == static_cast<T>(~T{0})) return static_cast<T>(0 - std::uint64_t{a}); // the overflow as well
    return static_cast<T>(Signed<T>(a) / Signed<T>(b));
} };
struct Rem { template <class T> static T apply(T a, T b) {
    if (b == 0) return a;
    if (b == static_cast<T>(~T{0})) return 0;
    return static_cast<T>(Signed<T>(a) % Signed<T>(b));
} };

// Multiply-add: a = vs2, b = vs1 or rs1, acc = vd.
struct Macc { template <class T> static T apply(T a, T b, T acc) { return static_cast<T>(acc + std::uint64_t{a} * b); } };
struct Nmsac { template <class T> static T apply(T a, T b, T acc) { return static_cast<T>(acc - std::uint64_t{a} * b); } };
struct Madd { template <class T> static T apply(T a, T b, T acc) { return static_cast<T>(a + std::uint64_t{acc} * b); } };
struct Nmsub { template <class T> static T apply(T a, T b, T acc) { return static_cast<T>(a - std::uint64_t{acc} * b); } };
// clang-format on

template <class Op, Src S>
void multiply(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) * c.timing.vector_mul_factor);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(
            c, d, d.vm(), [&](std::uint64_t i, T b) { vd.set(i, Op::template apply<T>(a[i], b)); });
    });
    done(c);
}

template <class Op, Src S>
void divide(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) * c.timing.vector_div_clocks);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(
            c, d, d.vm(), [&](std::uint64_t i, T b) { vd.set(i, Op::template apply<T>(a[i], b)); });
    });
    done(c);
}

template <class Op, Src S>
void accumulate(Core& c, const Decoded& d) {
    if (!check_sss<S>(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) * c.timing.vector_mul_factor);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_operands<T, S>(c, d, d.vm(), [&](std::uint64_t i, T b) {
            vd.set(i, Op::template apply<T>(a[i], b, vd[i]));
        });
    });
    done(c);
}

#define TALUS_BOTH(name, f6, fn, op)                                                               \
    TALUS_OPMVV(name ".vv", f6, (fn<op, Src::kV>)), TALUS_OPMVX(name ".vx", f6, (fn<op, Src::kX>))

constexpr InsnSpec kInsns[] = {
    TALUS_BOTH("vmul", "100101", multiply, Mul),
    TALUS_BOTH("vmulh", "100111", multiply, Mulh),
    TALUS_BOTH("vmulhu", "100100", multiply, Mulhu),
    TALUS_BOTH("vmulhsu", "100110", multiply, Mulhsu),
    TALUS_BOTH("vdivu", "100000", divide, Divu),
    TALUS_BOTH("vdiv", "100001", divide, Div),
    TALUS_BOTH("vremu", "100010", divide, Remu),
    TALUS_BOTH("vrem", "100011", divide, Rem),
    TALUS_BOTH("vmacc", "101101", accumulate, Macc),
    TALUS_BOTH("vnmsac", "101111", accumulate, Nmsac),
    TALUS_BOTH("vmadd", "101001", accumulate, Madd),
    TALUS_BOTH("vnmsub", "101011", accumulate, Nmsub),
};

} // namespace

std::span<const InsnSpec> vector_multiply_insns() {
    return kInsns;
}

} // namespace talus::sim
