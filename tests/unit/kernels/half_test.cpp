#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/common/element.hpp"
#include "kernels/common/half.hpp"
#include "kernels/common/runs.hpp"

namespace talus::kernels {
namespace {

// binary16 by its definition, in double arithmetic.
double half_value(uint16_t half) {
    const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
    const int exponent = (half >> 10) & 31;
    const int fraction = half & 1023;
    if (exponent == 31)
        return fraction != 0 ? NAN : sign * INFINITY;
    return exponent == 0 ? sign * std::ldexp(fraction, -24)
                         : sign * std::ldexp(1024 + fraction, exponent - 25);
}

TEST(Half, EveryValueWidensExactly) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const double expected = half_value(half);
        const float got = half_to_float(half);
        if (std::isnan(expected)) {
            EXPECT_EQ(float_bits(got), 0x7fc00000U) << bits;
            EXPECT_EQ(float_bits(half_to_float_lane(half)), 0x7fc00000U) << bits;
            continue;
        }
        ASSERT_EQ(got, expected) << bits;
        ASSERT_EQ(std::signbit(got), std::signbit(expected)) << bits;
        ASSERT_EQ(float_bits(half_to_float_lane(half)), float_bits(got)) << bits;
        ASSERT_EQ(float_to_half(got), half);
    }
}

// The nearest binary16, found by looking at all neighbours.
void expect_nearest(float value) {
    const uint16_t half = float_to_half(value);
    ASSERT_EQ((half & 0x8000) != 0, std::signbit(value)) << value;
    const double magnitude = std::fabs(static_cast<double>(value));
    const auto bits = static_cast<uint16_t>(half & 0x7fff);
    ASSERT_LE(bits, 0x7c00) << value;
    // Beyond the largest finite value the next step would be 65536.
    auto reach = [](uint16_t h) { return h == 0x7c00 ? 65536.0 : half_value(h); };
    const double error = std::fabs(magnitude - reach(bits));
    if (bits > 0) {
        const double below = std::fabs(magnitude - reach(static_cast<uint16_t>(bits - 1)));
        ASSERT_TRUE(error < below || (error == below && bits % 2 == 0)) << value;
    }
    if (bits < 0x7c00) {
        const double above = std::fabs(magnitude - reach(static_cast<uint16_t>(bits + 1)));
        ASSERT_TRUE(error < above || (error == above && bits % 2 == 0)) << value;
    }
}

TEST(Half, RoundsToNearestEven) {
    std::mt19937 random(1);
    for (int i = 0; i < 300000; ++i) {
        const auto value = float_from_bits(static_cast<uint32_t>(random()));
        if (std::isfinite(value) && std::fabs(value) < 65536.0F)
            expect_nearest(value);
    }
    // Every midpoint between neighbours, and the floats beside it.
    for (uint16_t bits = 0; bits < 0x7bff; ++bits) {
        const auto middle = static_cast<float>(
            (half_value(bits) + half_value(static_cast<uint16_t>(bits + 1))) / 2);
        for (const float value :
             {middle, std::nextafterf(middle, 0.0F), std::nextafterf(middle, INFINITY)}) {
            expect_nearest(value);
            expect_nearest(-value);
        }
    }
}

TEST(Half, Specials) {
    EXPECT_EQ(float_to_half(INFINITY), 0x7c00);
    EXPECT_EQ(float_to_half(-INFINITY), 0xfc00);
    EXPECT_EQ(float_to_half(1e30F), 0x7c00);
    EXPECT_EQ(float_to_half(-NAN), 0x7e00);
    EXPECT_EQ(float_to_half(-0.0F), 0x8000);
    EXPECT_EQ(float_to_half(65519.996F), 0x7bff);
    EXPECT_EQ(float_to_half(65520.0F), 0x7c00);
}

TEST(Bfloat16, RoundsToNearestEven) {
    EXPECT_EQ(float_to_bfloat16(1.0F), 0x3f80);
    EXPECT_EQ(float_to_bfloat16(float_from_bits(0x3f808000)), 0x3f80);
    EXPECT_EQ(float_to_bfloat16(float_from_bits(0x3f818000)), 0x3f82);
    EXPECT_EQ(float_to_bfloat16(float_from_bits(0x3f808001)), 0x3f81);
    EXPECT_EQ(float_to_bfloat16(NAN), 0x7fc0);
    EXPECT_EQ(float_to_bfloat16(3.4028235e38F), 0x7f80);
    for (uint32_t bits = 0; bits < 0x10000; ++bits)
        if ((bits & 0x7fff) <= 0x7f80) {
            ASSERT_EQ(float_to_bfloat16(bfloat16_to_float(static_cast<uint16_t>(bits))), bits);
        }
}

TEST(Half, DoublesAreRoundedOnce) {
    // 1 + 2^-11 + 2^-40 lies above the midpoint of two halves; through float32 it would be the
    // midpoint.
    uint16_t half = 0;
    const int64_t shape[] = {1};
    const TensorView view = make_view(&half, DType::kFloat16, shape);
    store_f64(view, 0, 1.0 + 0x1p-11 + 0x1p-40);
    EXPECT_EQ(half, 0x3c01);
    store_f64(view, 0, 1.0 + 0x1p-11);
    EXPECT_EQ(half, 0x3c00);
    store_f64(view, 0, 1.0 + 0x1p-11 - 0x1p-40);
    EXPECT_EQ(half, 0x3c00);
}

} // namespace
} // namespace talus::kernels
