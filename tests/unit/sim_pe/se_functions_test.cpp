// The SE's functions against long double mathematics: the bounds that instructions.h states, over a
// sweep of every exponent and dense ranges.
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "pe/numeric.hpp"
#include "pe/se_functions.hpp"

namespace talus::sim {
namespace {

const long double kBound = std::ldexp(1.0L, -20);

/// All exponents and both signs with 4,096 significands each, and the neighbourhood of powers of
/// two.
void sweep(const std::function<void(float)>& visit) {
    for (std::uint32_t high = 0; high < 0x7f800u; high += 1) {
        const std::uint32_t bits = high << 12 | (high * 2654435761u >> 20);
        visit(std::bit_cast<float>(bits));
        visit(std::bit_cast<float>(bits | 0x80000000u));
    }
    for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
        for (const std::uint32_t low : {0u, 1u, 0x7fffffu, 0x7ffffeu}) {
            visit(std::bit_cast<float>(exponent << 23 | low));
            visit(std::bit_cast<float>(exponent << 23 | low | 0x80000000u));
        }
    }
    // Dense where the functions bend.
    for (int i = -20 * 32768; i <= 20 * 32768; ++i) {
        visit(static_cast<float>(i) / 32768.0f + 1e-6f);
    }
    visit(std::numeric_limits<float>::infinity());
    visit(-std::numeric_limits<float>::infinity());
    visit(std::numeric_limits<float>::max());
    visit(std::numeric_limits<float>::lowest());
}

void expect_absolute(float (*function)(float), long double (*exact)(long double)) {
    long double worst = 0;
    float where = 0;
    sweep([&](float x) {
        const long double error =
            std::fabs(static_cast<long double>(function(x)) - exact(static_cast<long double>(x)));
        if (!(error <= worst)) {
            worst = error;
            where = x;
        }
    });
    EXPECT_LE(worst, kBound) << "at " << where;
}

TEST(SeFunctions, Sigmoid) {
    expect_absolute(se_sigmoid, [](long double x) { return 1.0L / (1.0L + std::exp(-x)); });
    EXPECT_EQ(se_sigmoid(0.0f), 0.5f);
}

TEST(SeFunctions, Tanh) {
    expect_absolute(se_tanh, [](long double x) { return std::tanh(x); });
    EXPECT_TRUE(std::signbit(se_tanh(-0.0f)));
}

TEST(SeFunctions, Exp) {
    long double worst = 0;
    float where = 0;
    sweep([&](float x) {
        const long double exact = std::exp(static_cast<long double>(x));
        const float value = se_exp(x);
        if (exact > static_cast<long double>(std::numeric_limits<float>::max()) * (1 + kBound)) {
            ASSERT_EQ(value, std::numeric_limits<float>::infinity()) << x;
            return;
        }
        if (exact < static_cast<long double>(std::numeric_limits<float>::min())) {
            // Below the normal range the spacing of FP32 is the bound.
            ASSERT_LE(std::fabs(static_cast<long double>(value) - exact), std::ldexp(1.0L, -149))
                << x;
            return;
        }
        if (std::isinf(value)) {
            ASSERT_GE(exact,
                      static_cast<long double>(std::numeric_limits<float>::max()) * (1 - kBound));
            return;
        }
        const long double error = std::fabs(static_cast<long double>(value) - exact) / exact;
        if (!(error <= worst)) {
            worst = error;
            where = x;
        }
    });
    EXPECT_LE(worst, kBound) << "at " << where;
    EXPECT_EQ(se_exp(0.0f), 1.0f);
    EXPECT_EQ(se_exp(-std::numeric_limits<float>::infinity()), 0.0f);
}

TEST(SeFunctions, Gelu) {
    long double worst = 0;
    float where = 0;
    sweep([&](float x) {
        if (std::isinf(x)) {
            return;
        }
        const auto wide = static_cast<long double>(x);
        const long double exact = wide * 0.5L * std::erfc(-wide / std::sqrt(2.0L));
        const long double error = std::fabs(static_cast<long double>(se_gelu(x)) - exact) /
                                  std::fmax(1.0L, std::fabs(wide));
        if (!(error <= worst)) {
            worst = error;
            where = x;
        }
    });
    EXPECT_LE(worst, kBound) << "at " << where;
    EXPECT_EQ(se_gelu(std::numeric_limits<float>::infinity()),
              std::numeric_limits<float>::infinity());
    EXPECT_EQ(se_gelu(-std::numeric_limits<float>::infinity()), 0.0f);
}

TEST(SeFunctions, NanIsCanonicalAndReluKeepsIt) {
    const float odd_nan = std::bit_cast<float>(0xffc12345u);
    for (unsigned function = TALUS_SE_NONE; function <= TALUS_SE_GELU; ++function) {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(se_function(function, odd_nan)), kCanonicalNan);
    }
    EXPECT_EQ(se_function(TALUS_SE_RELU, 2.5f), 2.5f);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(se_function(TALUS_SE_RELU, -0.0f)), 0u);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(se_function(TALUS_SE_RELU, -7.0f)), 0u);
    EXPECT_EQ(std::bit_cast<std::uint32_t>(se_function(TALUS_SE_NONE, -0.0f)), 0x80000000u);
}

/// FNV-1a over the results of a fixed sweep. The values are part of the model: they are the same on
/// every host and compiler, and a change of a table shows here.
TEST(SeFunctions, ResultsAreTheSameOnEveryHost) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    for (std::uint32_t i = 0; i < 1u << 20; ++i) {
        const float x = std::bit_cast<float>(i << 12 | 0x5a5u);
        for (unsigned function = TALUS_SE_SIGMOID; function <= TALUS_SE_GELU; ++function) {
            const auto bits = std::bit_cast<std::uint32_t>(se_function(function, x));
            for (int byte = 0; byte < 4; ++byte) {
                hash = (hash ^ (bits >> (8 * byte) & 0xff)) * 0x100000001b3u;
            }
        }
    }
    EXPECT_EQ(hash, 0x38a462340b19f6ddu);
}

} // namespace
} // namespace talus::sim
