// Floating point: half precision against brute force, the integer implementation against the host's
// unit, and the edges that programs meet.
#include <bit>
#include <cfenv>
#include <random>

#include <gtest/gtest.h>

#include "half_reference.hpp"
#include "isa/fp.hpp"
#include "machine.hpp"

namespace talus::sim {
namespace {

using soft::Double;
using soft::Env;
using soft::Half;
using soft::Single;

std::uint16_t random_half(std::mt19937_64& engine) {
    static constexpr std::uint16_t kSpecial[] = {0,      0x8000, 0x0001, 0x8001, 0x03ff,
                                                 0x0400, 0x3c00, 0xbc00, 0x7bff, 0xfbff,
                                                 0x3555, 0x3bff, 0x3c01};
    const std::uint64_t r = engine();
    if (r % 5 == 0)
        return kSpecial[(r >> 8) % std::size(kSpecial)];
    std::uint16_t bits = static_cast<std::uint16_t>(r >> 16);
    if ((bits & 0x7c00) == 0x7c00)
        bits ^= 0x4000; // NaN and infinity are tested by themselves
    return bits;
}

TEST(Half, ArithmeticAgainstBruteForce) {
    std::mt19937_64 engine(20260101);
    for (unsigned i = 0; i < 200000; ++i) {
        const std::uint16_t a = random_half(engine), b = random_half(engine);
        const double x = reference::half_value(a), y = reference::half_value(b);
        const std::uint8_t rm = static_cast<std::uint8_t>(i % 5);
        const bool cancel_sign = rm == soft::kRdn;
        {
            Env env{rm, 0};
            unsigned flags = 0;
            const bool zero_sign = x == 0 && y == 0 ? ((a & 0x8000) && (b & 0x8000)) ||
                                                          ((a ^ b) & 0x8000 && cancel_sign)
                                                    : cancel_sign;
            const auto expected = reference::round_half(x + y, 0, rm, flags, zero_sign);
            ASSERT_EQ(soft::add<Half>(a, b, env), expected) << a << " + " << b << " rm " << +rm;
            ASSERT_EQ(env.flags, flags) << a << " + " << b << " rm " << +rm;
        }
        {
            Env env{rm, 0};
            unsigned flags = 0;
            const auto expected =
                reference::round_half(x * y, 0, rm, flags, ((a ^ b) & 0x8000) != 0);
            ASSERT_EQ(soft::mul<Half>(a, b, env), expected) << a << " * " << b << " rm " << +rm;
            ASSERT_EQ(env.flags, flags) << a << " * " << b << " rm " << +rm;
        }
        if (y != 0) {
            Env env{rm, 0};
            unsigned flags = 0;
            const double q = x / y; // 53 bits: the remainder's sign settles the rest
            const double rest = std::fma(-q, y, x);
            const int error = rest == 0 ? 0 : (rest > 0) == (y > 0) ? 1 : -1;
            const auto expected =
                reference::round_half(q, error, rm, flags, ((a ^ b) & 0x8000) != 0);
            ASSERT_EQ(soft::div<Half>(a, b, env), expected) << a << " / " << b << " rm " << +rm;
            ASSERT_EQ(env.flags, flags) << a << " / " << b << " rm " << +rm;
        }
        if (x > 0) {
            Env env{rm, 0};
            unsigned flags = 0;
            const double root = std::sqrt(x), rest = std::fma(-root, root, x);
            const auto expected = reference::round_half(root,
                                                        rest == 0  ? 0
                                                        : rest > 0 ? 1
                                                                   : -1,
                                                        rm, flags, false);
            ASSERT_EQ(soft::sqrt<Half>(a, env), expected) << "sqrt " << a << " rm " << +rm;
            ASSERT_EQ(env.flags, flags) << "sqrt " << a << " rm " << +rm;
        }
        {
            // x * y is exact in a double; adding z may not be: two-sum gives the lost part.
            const std::uint16_t c = random_half(engine);
            const double z = reference::half_value(c), p = x * y, s = p + z;
            const double back = s - p, lost = (p - (s - back)) + (z - back);
            Env env{rm, 0};
            unsigned flags = 0;
            const bool p_sign = ((a ^ b) & 0x8000) != 0, z_sign = (c & 0x8000) != 0;
            const bool zero_sign =
                p == 0 && z == 0 ? (p_sign == z_sign ? p_sign : cancel_sign) : cancel_sign;
            const auto expected = reference::round_half(s,
                                                        lost == 0  ? 0
                                                        : lost > 0 ? 1
                                                                   : -1,
                                                        rm, flags, zero_sign);
            ASSERT_EQ(soft::fma<Half>(a, b, c, env), expected)
                << a << " * " << b << " + " << c << " rm " << +rm;
            ASSERT_EQ(env.flags, flags) << a << " * " << b << " + " << c << " rm " << +rm;
        }
    }
}

/// A double that rounds to a float half-way between two halves must not be rounded twice.
TEST(Half, ConversionRoundsOnce) {
    const double tie = 1 + std::ldexp(1, -11); // between 1 and the next half
    const double above = tie + std::ldexp(1, -40);
    Env env;
    EXPECT_EQ((soft::convert<Half, Double>(std::bit_cast<std::uint64_t>(tie), env)), 0x3c00);
    EXPECT_EQ((soft::convert<Half, Double>(std::bit_cast<std::uint64_t>(above), env)), 0x3c01);
    // Through a single, the difference is lost: 0x3c00. The hardware instruction must not do that.
    EXPECT_EQ(
        (soft::convert<Half, Single>(std::bit_cast<std::uint32_t>(static_cast<float>(above)), env)),
        0x3c00);
    std::mt19937_64 engine(7);
    for (unsigned i = 0; i < 100000; ++i) {
        const std::uint8_t rm = static_cast<std::uint8_t>(i % 5);
        const double value = std::ldexp(static_cast<double>(static_cast<std::int64_t>(engine())),
                                        -63 - 30 + static_cast<int>(engine() % 50));
        Env local{rm, 0};
        unsigned flags = 0;
        const auto expected = reference::round_half(value, 0, rm, flags, false);
        ASSERT_EQ((soft::convert<Half, Double>(std::bit_cast<std::uint64_t>(value), local)),
                  expected)
            << value << " rm " << +rm;
        ASSERT_EQ(local.flags, flags) << value << " rm " << +rm;
    }
}

template <class F>
typename F::Bits any_bits(std::mt19937_64& engine) {
    using B = typename F::Bits;
    const std::uint64_t r = engine();
    const B fraction_mask = static_cast<B>((B{1} << F::kFraction) - 1);
    switch (r % 8) {
    case 0:
        return static_cast<B>((F::kInf & ~(engine() % 4 ? 0 : F::kInf)) | (engine() & F::kSign));
    case 1: // subnormal or tiny
        return static_cast<B>((engine() & fraction_mask) | (engine() & F::kSign));
    case 2: // any NaN
        return static_cast<B>(F::kInf | engine());
    case 3:
    case 4:
    case 5: { // exponents near each other, sparse fractions
        const B exponent = static_cast<B>(F::kBias - 30 + static_cast<int>(engine() % 60));
        const B fraction =
            static_cast<B>(engine() & fraction_mask & (engine() % 2 ? ~B{0} : engine()));
        return static_cast<B>(exponent << F::kFraction | fraction | (engine() & F::kSign));
    }
    default:
        return static_cast<B>(engine());
    }
}

template <class F>
void compare_with_host(std::uint64_t seed) {
    if (!kHostFp)
        GTEST_SKIP() << "the host's unit is not used on this machine";
    std::mt19937_64 engine(seed);
    for (unsigned i = 0; i < 400000; ++i) {
        const auto a = any_bits<F>(engine), b = any_bits<F>(engine), c = any_bits<F>(engine);
        const std::uint8_t rm = static_cast<std::uint8_t>(i % 4);
        Env host{rm, 0}, integer{rm, 0};
        const auto check = [&](const char* what, auto h, auto s) {
            ASSERT_EQ(h, s) << what << std::hex << " " << a << " " << b << " " << c << " rm "
                            << +rm;
            ASSERT_EQ(host.flags, integer.flags)
                << what << std::hex << " " << a << " " << b << " " << c << " rm " << +rm;
            host.flags = integer.flags = 0;
        };
        check("add", fp::binary<F, fp::Add>(a, b, host), soft::add<F>(a, b, integer));
        check("sub", fp::binary<F, fp::Sub>(a, b, host), soft::sub<F>(a, b, integer));
        check("mul", fp::binary<F, fp::Mul>(a, b, host), soft::mul<F>(a, b, integer));
        check("div", fp::binary<F, fp::Div>(a, b, host), soft::div<F>(a, b, integer));
        check("sqrt", fp::sqrt<F>(a, host), soft::sqrt<F>(a, integer));
        check("fma", fp::fma<F>(a, b, c, host), soft::fma<F>(a, b, c, integer));
        if (testing::Test::HasFatalFailure())
            return;
    }
}

TEST(Single, IntegersAgreeWithTheHost) {
    compare_with_host<Single>(11);
}
TEST(Double, IntegersAgreeWithTheHost) {
    compare_with_host<Double>(12);
}

TEST(Instructions, NanBoxing) {
    Machine m;
    m.hart->set_f(1, 0x000000003f800000); // 1.0f, not boxed: a NaN
    m.hart->set_f(2, 0xffffffff3f800000);
    m.run({assemble("fadd.s", {.rd = 3, .rs1 = 1, .rs2 = 2}),
           assemble("fadd.s", {.rd = 4, .rs1 = 2, .rs2 = 2}),
           assemble("fmv.x.w", {.rd = 5, .rs1 = 1}),
           assemble("fsgnj.s", {.rd = 6, .rs1 = 1, .rs2 = 1}),
           assemble("fmv.h.x", {.rd = 7, .rs1 = 0}), assemble("fcvt.s.h", {.rd = 8, .rs1 = 2})});
    EXPECT_EQ(m.hart->f(3), 0xffffffff7fc00000u);
    EXPECT_EQ(m.hart->f(4), 0xffffffff40000000u);
    EXPECT_EQ(m.hart->x(5), 0x3f800000u); // a move takes the bits
    EXPECT_EQ(m.hart->f(6), 0xffffffff7fc00000u);
    EXPECT_EQ(m.hart->f(7), 0xffffffffffff0000u);
    EXPECT_EQ(m.hart->f(8), 0xffffffff7fc00000u); // single boxes are no half boxes
    EXPECT_EQ(m.csr(0x001), 0u);
}

TEST(Instructions, ConversionsSaturate) {
    struct Case {
        double value;
        const char* insn;
        std::uint64_t expected;
        unsigned flags;
    };
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const Case cases[] = {
        {1e10, "fcvt.w.d", 0x7fffffff, 16},
        {-1e10, "fcvt.w.d", 0xffffffff80000000, 16},
        {nan, "fcvt.w.d", 0x7fffffff, 16},
        {nan, "fcvt.wu.d", 0xffffffffffffffff, 16},
        {-1.0, "fcvt.wu.d", 0, 16},
        {-0.5, "fcvt.wu.d", 0, 1},
        {4294967295.0, "fcvt.wu.d", 0xffffffffffffffff, 0},
        {4294967296.0, "fcvt.wu.d", 0xffffffffffffffff, 16},
        {9.3e18, "fcvt.l.d", 0x7fffffffffffffff, 16},
        {-9.3e18, "fcvt.l.d", 0x8000000000000000, 16},
        {1.9e19, "fcvt.lu.d", 0xffffffffffffffff, 16},
        {-INFINITY, "fcvt.lu.d", 0, 16},
        {INFINITY, "fcvt.l.d", 0x7fffffffffffffff, 16},
        {2.5, "fcvt.l.d", 2, 1},
    };
    for (const Case& c : cases) {
        Machine m;
        m.hart->set_f(1, std::bit_cast<std::uint64_t>(c.value));
        m.run({assemble(c.insn, {.rd = 5, .rs1 = 1, .rm = 0})});
        EXPECT_EQ(m.hart->x(5), c.expected) << c.insn << " " << c.value;
        EXPECT_EQ(m.csr(0x001), c.flags) << c.insn << " " << c.value;
    }
}

TEST(Instructions, DynamicRounding) {
    Machine m;
    m.hart->set_f(1, std::bit_cast<std::uint64_t>(2.5));
    const std::uint64_t expected[] = {2, 2, 2, 3, 3}; // RNE RTZ RDN RUP RMM
    for (std::uint64_t frm = 0; frm < 5; ++frm) {
        m.hart->write_csr(0x002, frm);
        EXPECT_EQ(m.execute(assemble("fcvt.l.d", {.rd = 5, .rs1 = 1})), -1);
        EXPECT_EQ(m.hart->x(5), expected[frm]) << frm;
    }
    m.hart->write_csr(0x002, 5);
    EXPECT_EQ(m.execute(assemble("fcvt.l.d", {.rd = 5, .rs1 = 1})), 2);
    EXPECT_EQ(m.execute(assemble("fcvt.l.d", {.rd = 5, .rs1 = 1, .rm = 1})), -1);
}

/// The host's flags and rounding mode are its own business, before and after.
TEST(Instructions, HostEnvironmentIsKeptApart) {
    std::feclearexcept(FE_ALL_EXCEPT);
    std::fesetround(FE_UPWARD);
    Machine m;
    m.hart->set_f(1, std::bit_cast<std::uint64_t>(1.0));
    m.hart->set_f(2, std::bit_cast<std::uint64_t>(3.0));
    m.run({assemble("fdiv.d", {.rd = 3, .rs1 = 1, .rs2 = 2, .rm = 0})});
    EXPECT_EQ(std::fetestexcept(FE_ALL_EXCEPT), 0);
    EXPECT_EQ(std::fegetround(), FE_UPWARD);
    std::fesetround(FE_TONEAREST);
    EXPECT_EQ(m.hart->f(3), 0x3fd5555555555555u);
    EXPECT_EQ(m.csr(0x001), 1u);
    std::feraiseexcept(FE_OVERFLOW);
    m.hart->write_csr(0x001, 0);
    m.run({assemble("fadd.d", {.rd = 3, .rs1 = 1, .rs2 = 2})});
    EXPECT_EQ(m.csr(0x001), 0u);
    std::feclearexcept(FE_ALL_EXCEPT);
}

} // namespace
} // namespace talus::sim
