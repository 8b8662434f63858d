// Conversions against the compiler's and against definitions, exhaustively where that is possible.
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "pe/numeric.hpp"

namespace talus::sim {
namespace {

__extension__ using CompilerHalf = _Float16;

float compiler_fp16(std::uint16_t bits) {
    return static_cast<float>(std::bit_cast<CompilerHalf>(bits));
}

std::uint16_t compiler_to_fp16(float x) {
    return std::bit_cast<std::uint16_t>(static_cast<CompilerHalf>(x));
}

std::uint32_t bits_of(float x) {
    return std::bit_cast<std::uint32_t>(x);
}

TEST(Numeric, EveryFp16ConvertsAsTheCompilerDoes) {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        const auto half = static_cast<std::uint16_t>(bits);
        const float expected = compiler_fp16(half);
        const float value = fp16_to_fp32(half);
        if (std::isnan(expected)) {
            ASSERT_EQ(bits_of(value), kCanonicalNan) << bits;
            ASSERT_EQ(fp32_to_fp16(expected), kCanonicalNanFp16);
        } else {
            ASSERT_EQ(bits_of(value), bits_of(expected)) << bits;
            ASSERT_EQ(fp32_to_fp16(value), half) << bits;
        }
    }
}

TEST(Numeric, Fp32RoundsToFp16AroundEveryNeighbour) {
    // The midpoints between neighbours, and one FP32 step to either side of them.
    for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
        const float low = fp16_to_fp32(static_cast<std::uint16_t>(bits));
        const float high =
            bits == 0x7bff ? 65536.0f : fp16_to_fp32(static_cast<std::uint16_t>(bits + 1));
        const float middle = low + (high - low) / 2;
        for (const float x : {middle, std::nextafter(middle, low), std::nextafter(middle, high)}) {
            ASSERT_EQ(fp32_to_fp16(x), compiler_to_fp16(x)) << x;
            ASSERT_EQ(fp32_to_fp16(-x), compiler_to_fp16(-x)) << -x;
        }
    }
    EXPECT_EQ(fp32_to_fp16(65519.996f), 0x7bff);
    EXPECT_EQ(fp32_to_fp16(65520.0f), 0x7c00);
    EXPECT_EQ(fp32_to_fp16(-std::numeric_limits<float>::infinity()), 0xfc00);
    EXPECT_EQ(fp32_to_fp16(std::numeric_limits<float>::denorm_min()), 0);
}

TEST(Numeric, RandomFp32RoundsToFp16AsTheCompilerDoes) {
    std::mt19937 random(1);
    for (int i = 0; i < 2'000'000; ++i) {
        const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
        if (!std::isnan(x)) {
            ASSERT_EQ(fp32_to_fp16(x), compiler_to_fp16(x)) << x;
        }
    }
}

TEST(Numeric, Bf16RoundsToTheNearerNeighbourAndTiesToEven) {
    std::mt19937 random(2);
    for (int i = 0; i < 1'000'000; ++i) {
        const auto bits = static_cast<std::uint32_t>(random());
        const float x = std::bit_cast<float>(bits);
        const std::uint16_t rounded = fp32_to_bf16(x);
        if (std::isnan(x)) {
            ASSERT_EQ(rounded, kCanonicalNanBf16);
            continue;
        }
        const auto down = static_cast<std::uint16_t>(bits >> 16); // towards zero
        const auto up = static_cast<std::uint16_t>(down + 1);
        const std::uint32_t rest = bits & 0xffff;
        const bool to_up = rest > 0x8000 || (rest == 0x8000 && (down & 1) != 0);
        ASSERT_EQ(rounded, to_up ? up : down) << std::hex << bits;
        ASSERT_EQ(bits_of(bf16_to_fp32(rounded)), std::uint32_t{rounded} << 16);
    }
    EXPECT_EQ(fp32_to_bf16(std::numeric_limits<float>::max()), 0x7f80);
    EXPECT_EQ(bits_of(bf16_to_fp32(0xff81)), kCanonicalNan);
}

TEST(Numeric, IntegersRoundToEvenAndSaturate) {
    EXPECT_EQ(fp32_to_int(std::numeric_limits<float>::quiet_NaN(), -128, 127), 0);
    EXPECT_EQ(fp32_to_int(std::numeric_limits<float>::infinity(), -128, 127), 127);
    EXPECT_EQ(fp32_to_int(-std::numeric_limits<float>::infinity(), 0, 255), 0);
    EXPECT_EQ(fp32_to_int(3e9f, INT32_MIN, INT32_MAX), INT32_MAX);
    EXPECT_EQ(fp32_to_int(-3e9f, INT32_MIN, INT32_MAX), INT32_MIN);
    EXPECT_EQ(fp32_to_int(-0.5f, -128, 127), 0);
    std::fesetround(FE_TONEAREST);
    for (float x = -300.0f; x <= 300.0f; x += 0.0625f) {
        const double nearest = std::nearbyint(static_cast<double>(x));
        const double clamped = std::fmin(std::fmax(nearest, -128.0), 127.0);
        ASSERT_EQ(fp32_to_int(x, -128, 127), static_cast<std::int32_t>(clamped)) << x;
    }
    std::mt19937 random(3);
    for (int i = 0; i < 1'000'000; ++i) {
        const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
        if (std::isnan(x)) {
            continue;
        }
        const double nearest = std::nearbyint(static_cast<double>(x));
        const double clamped = std::fmin(std::fmax(nearest, -2147483648.0), 2147483647.0);
        ASSERT_EQ(fp32_to_int(x, INT32_MIN, INT32_MAX), static_cast<std::int32_t>(clamped)) << x;
    }
}

TEST(Numeric, MaximumAndMinimumKnowNanAndZeros) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(bits_of(maximum(nan, 1.0f)), kCanonicalNan);
    EXPECT_EQ(bits_of(minimum(1.0f, -nan)), kCanonicalNan);
    EXPECT_EQ(bits_of(maximum(-0.0f, 0.0f)), bits_of(0.0f));
    EXPECT_EQ(bits_of(maximum(-0.0f, -0.0f)), bits_of(-0.0f));
    EXPECT_EQ(bits_of(minimum(0.0f, -0.0f)), bits_of(-0.0f));
    EXPECT_EQ(maximum(-2.0f, 3.0f), 3.0f);
    EXPECT_EQ(minimum(-2.0f, 3.0f), -2.0f);
}

} // namespace
} // namespace talus::sim
