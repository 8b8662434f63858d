// Vector integer reductions: vd[0] = op(vs1[0], active elements of vs2).
#include "vector.hpp"

namespace talus::sim {

namespace {

using namespace vec;

// clang-format off
struct Sum { template <class T> static T apply(T a, T b) { return static_cast<T>(a + b); } };
struct And { template <class T> static T apply(T a, T b) { return static_cast<T>(a & b); } };
struct Or { template <class T> static T apply(T a, T b) { return static_cast<T>(a | b); } };
struct Xor { template <class T> static T apply(T a, T b) { return static_cast<T>(a ^ b); } };
struct Minu { template <class T> static T apply(T a, T b) { return a < b ? a : b; } };
struct Maxu { template <class T> static T apply(T a, T b) { return a < b ? b : a; } };
struct Min { template <class T> static T apply(T a, T b) { return Signed<T>(a) < Signed<T>(b) ? a : b; } };
struct Max { template <class T> static T apply(T a, T b) { return Signed<T>(a) < Signed<T>(b) ? b : a; } };
// clang-format on

/// vd and vs1 are single registers and may overlap anything, v0 included.
bool check(const Core& c, const Decoded& d) {
    return usable(c) && c.vstart == 0 && aligned(d.rs2, c.vlmul);
}

template <class Op>
void reduce(Core& c, const Decoded& d) {
    if (!check(c, d))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew) + c.timing.vector_reduction_steps);
    if (c.vl != 0) {
        by_width(c.vsew, [&]<class T>() {
            const Group<T> a(c, d.rs2);
            T total = Group<T>(c, d.rs1)[0];
            for_active(c, d.vm(),
                       [&](std::uint64_t i) { total = Op::template apply<T>(total, a[i]); });
            Group<T>(c, d.rd).set(0, total);
        });
    }
    done(c);
}

template <bool IsSigned>
void widening_sum(Core& c, const Decoded& d) {
    if (!check(c, d) || c.vsew >= 3)
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew + 1u) + c.timing.vector_reduction_steps);
    const auto run = [&]<class T>() {
        const Group<T> a(c, d.rs2);
        Wide<T> total = Group<Wide<T>>(c, d.rs1)[0];
        for_active(c, d.vm(), [&](std::uint64_t i) {
            if constexpr (IsSigned)
                total = static_cast<Wide<T>>(total +
                                             static_cast<Wide<T>>(std::int64_t{Signed<T>(a[i])}));
            else
                total = static_cast<Wide<T>>(total + a[i]);
        });
        Group<Wide<T>>(c, d.rd).set(0, total);
    };
    if (c.vl != 0) {
        if (c.vsew == 0)
            run.template operator()<std::uint8_t>();
        else if (c.vsew == 1)
            run.template operator()<std::uint16_t>();
        else
            run.template operator()<std::uint32_t>();
    }
    done(c);
}

constexpr InsnSpec kInsns[] = {
    TALUS_OPMVV("vredsum.vs", "000000", reduce<Sum>),
    TALUS_OPMVV("vredand.vs", "000001", reduce<And>),
    TALUS_OPMVV("vredor.vs", "000010", reduce<Or>),
    TALUS_OPMVV("vredxor.vs", "000011", reduce<Xor>),
    TALUS_OPMVV("vredminu.vs", "000100", reduce<Minu>),
    TALUS_OPMVV("vredmin.vs", "000101", reduce<Min>),
    TALUS_OPMVV("vredmaxu.vs", "000110", reduce<Maxu>),
    TALUS_OPMVV("vredmax.vs", "000111", reduce<Max>),
    TALUS_OPIVV("vwredsumu.vs", "110000", widening_sum<false>),
    TALUS_OPIVV("vwredsum.vs", "110001", widening_sum<true>),
};

} // namespace

std::span<const InsnSpec> vector_reduce_insns() {
    return kInsns;
}

} // namespace talus::sim
