// 2:4 sparse products: values against one std::fma per stored element, faults, rate.
#include <bit>
#include <cmath>
#include <random>

#include "pe/numeric.hpp"
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

constexpr std::uint32_t kA = 0, kB = 0x20000, kOut = 0x50000;

float half_to_float(std::uint16_t bits, unsigned type) {
    if (type == TALUS_CP_BF16) {
        return std::bit_cast<float>(std::uint32_t{bits} << 16);
    }
    __extension__ using CompilerHalf = _Float16;
    return static_cast<float>(std::bit_cast<CompilerHalf>(bits));
}

/// A stored element of B: its place in k and its bits.
struct Stored {
    std::uint32_t k;
    std::uint16_t bits;
};

class SparseTest : public PeTest {
  protected:
    static std::uint32_t size(unsigned type) { return type == TALUS_CP_INT8 ? 1 : 2; }

    std::uint16_t random_value(unsigned type) {
        const float x = static_cast<float>(static_cast<std::int32_t>(random())) / 1e9f;
        return type == TALUS_CP_FP16   ? fp32_to_fp16(x)
               : type == TALUS_CP_BF16 ? fp32_to_bf16(x)
                                       : static_cast<std::uint16_t>(random() & 0xff);
    }
    void put(std::uint32_t offset, unsigned type, std::uint16_t bits) {
        if (type == TALUS_CP_INT8) {
            grid.set_local<std::uint8_t>(0, offset, static_cast<std::uint8_t>(bits));
        } else {
            grid.set_local<std::uint16_t>(0, offset, bits);
        }
    }
    /// Writes rows of B in the format of the sheet and returns them as lists.
    std::vector<std::vector<Stored>> fill_b(std::uint32_t n, std::uint32_t k, unsigned type,
                                            std::uint32_t pitch) {
        std::vector<std::vector<Stored>> rows(n);
        for (std::uint32_t j = 0; j < n; ++j) {
            const std::uint32_t base = kB + j * pitch;
            for (std::uint32_t g = 0; g < k / 4; ++g) {
                const auto first = static_cast<std::uint32_t>(random() % 3);
                const auto second = first + 1 + static_cast<std::uint32_t>(random() % (3 - first));
                for (const std::uint32_t place : {first, second}) {
                    const std::uint16_t bits = random_value(type);
                    put(base + static_cast<std::uint32_t>(rows[j].size()) * size(type), type, bits);
                    rows[j].push_back({4 * g + place, bits});
                }
                const std::uint32_t at = base + k / 2 * size(type) + g / 2;
                const auto pair = static_cast<std::uint8_t>(first | second << 2);
                const auto before = grid.local<std::uint8_t>(0, at);
                grid.set_local<std::uint8_t>(
                    0, at,
                    static_cast<std::uint8_t>(g % 2 == 0 ? pair : (before & 15) | pair << 4));
            }
        }
        return rows;
    }
    void run(std::uint32_t m, std::uint32_t n, std::uint32_t k, unsigned type,
             std::uint32_t a_pitch, std::uint32_t b_pitch, bool accumulate) {
        run_a({context(0, 0, direct(kA)), context(0, 1, direct(kB)),
               context(0, 2, TALUS_PAIR(a_pitch, b_pitch)),
               enqueue(TALUS_DPE_MATMUL_SPARSE, 0, TALUS_PAIR(m | n << 16, k),
                       1u | (accumulate ? 1u << 8 : 0u) | type << 16),
               context(1, 0, direct(kOut)), context(1, 2, TALUS_PAIR(0, 128)),
               enqueue(TALUS_RE_STORE, 1, TALUS_PAIR(m | n << 16, 0), 1 | TALUS_CP_INT32 << 16),
               drain()});
    }
    std::mt19937 random{23};
};

TEST_F(SparseTest, MultipliesTheStoredElementsInOrder) {
    const std::vector<std::array<std::uint32_t, 3>> shapes = {
        {1, 1, 4}, {32, 32, 256}, {31, 7, 260}, {5, 32, 1000}, {17, 3, 12}};
    for (const auto& [m, n, k] : shapes) {
        for (const unsigned type : {TALUS_CP_FP16, TALUS_CP_BF16, TALUS_CP_INT8}) {
            const std::uint32_t a_pitch = k * size(type) + 2;
            const std::uint32_t b_pitch = (TALUS_SPARSE_ROW_BYTES(k, size(type)) + 1) / 2 * 2 + 2;
            std::vector<std::uint32_t> expected(1024);
            for (std::uint32_t i = 0; i < m * a_pitch; i += size(type)) {
                put(kA + i, type, random_value(type));
            }
            const auto b = fill_b(n, k, type, b_pitch);
            for (const bool accumulate : {false, true}) {
                for (std::uint32_t i = 0; i < m; ++i) {
                    for (std::uint32_t j = 0; j < n; ++j) {
                        std::uint32_t& out = expected[i * 32 + j];
                        if (type == TALUS_CP_INT8) {
                            std::uint32_t acc = accumulate ? out : 0;
                            for (const Stored& s : b[j]) {
                                acc += static_cast<std::uint32_t>(
                                    grid.local<std::int8_t>(0, kA + i * a_pitch + s.k) *
                                    static_cast<std::int8_t>(s.bits));
                            }
                            out = acc;
                            continue;
                        }
                        float acc = accumulate ? std::bit_cast<float>(out) : 0.0f;
                        for (const Stored& s : b[j]) {
                            const auto a = grid.local<std::uint16_t>(0, kA + i * a_pitch + 2 * s.k);
                            acc =
                                std::fma(half_to_float(a, type), half_to_float(s.bits, type), acc);
                        }
                        out = std::bit_cast<std::uint32_t>(acc);
                    }
                }
                run(m, n, k, type, a_pitch, b_pitch, accumulate);
                ASSERT_EQ(fault_cause(), 0u);
                for (std::uint32_t i = 0; i < m; ++i) {
                    for (std::uint32_t j = 0; j < n; ++j) {
                        ASSERT_EQ(grid.local<std::uint32_t>(0, kOut + i * 128 + 4 * j),
                                  expected[i * 32 + j])
                            << m << "x" << n << "x" << k << " type " << type << " at " << i << ","
                            << j;
                    }
                }
            }
        }
    }
}

TEST_F(SparseTest, WhatIsNotStoredIsNotMultiplied) {
    // Positions 0 and 2 are stored; A is infinite at 1 and 3, and 0 x inf would be NaN.
    const std::uint16_t a[4] = {0x3c00, 0x7c00, 0x4000, 0x7c00}; // 1, inf, 2, inf
    for (std::uint32_t i = 0; i < 4; ++i) {
        grid.set_local<std::uint16_t>(0, kA + 2 * i, a[i]);
    }
    grid.set_local<std::uint16_t>(0, kB, 0x3c00);
    grid.set_local<std::uint16_t>(0, kB + 2, 0x3c00);
    grid.set_local<std::uint8_t>(0, kB + 4, 0 | 2 << 2);
    run(1, 1, 4, TALUS_CP_FP16, 8, 6, false);
    EXPECT_EQ(grid.local<float>(0, kOut), 3.0f);
}

TEST_F(SparseTest, FollowsADenseProductInTheSameBank) {
    grid.set_local<std::uint32_t>(0, kA, 0x04030201);
    grid.set_local<std::uint32_t>(0, kB, 0x08040a05); // 5, 10 at positions 0 and 1 of the group
    const auto product = [](unsigned code, bool accumulate) {
        return enqueue(code, 0, TALUS_PAIR(1 | 1 << 16, 4),
                       1u | (accumulate ? 1u << 8 : 0u) | TALUS_CP_INT8 << 16);
    };
    run_a({context(0, 0, direct(kA)), context(0, 1, direct(kB)), context(0, 2, 0),
           product(TALUS_DPE_MATMUL, false), product(TALUS_DPE_MATMUL_SPARSE, true),
           product(TALUS_DPE_MATMUL, true), context(1, 0, direct(kOut)), context(1, 2, 0),
           enqueue(TALUS_RE_STORE, 1, TALUS_PAIR(1 | 1 << 16, 0), 1 | TALUS_CP_INT32 << 16),
           drain()});
    const int dense = 1 * 5 + 2 * 10 + 3 * 4 + 4 * 8;
    EXPECT_EQ(grid.local<std::int32_t>(0, kOut), 2 * dense + 1 * 5 + 2 * 10);
}

TEST_F(SparseTest, PositionsMustAscend) {
    fill_b(3, 16, TALUS_CP_INT8, 16);
    grid.set_local<std::uint8_t>(0, kB + 16 + 8 + 1, 0x44 | 0x05); // row 1, group 2: 1, 1
    run(1, 3, 16, TALUS_CP_INT8, 16, 16, false);
    EXPECT_EQ(fault_cause(), TALUS_TRAP_INDEX);
    EXPECT_EQ(fault_tval(), std::uint64_t{1} << 32 | 2u);
}

TEST_F(SparseTest, MalformedAndAbsent) {
    const auto cause = [&](std::uint32_t k, bool sparsity) {
        Grid fresh;
        fresh.config.dpe.sparsity = sparsity;
        fresh.build();
        fresh.set_local<std::uint8_t>(0, kB + 4, 0x44); // positions 0, 1 of both groups
        fresh.execute(
            0, 0,
            {context(0, 0, direct(kA)), context(0, 1, direct(kB)), context(0, 2, 0),
             enqueue(TALUS_DPE_MATMUL_SPARSE, 0, TALUS_PAIR(1 | 1 << 16, k), TALUS_CP_INT8 << 16),
             drain()});
        return fresh.core(0, 0).log.back().result.cause;
    };
    EXPECT_EQ(cause(8, true), 0u);
    EXPECT_EQ(cause(6, true), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(8, false), TALUS_TRAP_CP_COMMAND);
}

TEST_F(SparseTest, TakesHalfTheTimeOfTheDenseProduct) {
    const auto clocks = [&](unsigned code, std::uint32_t k, unsigned type) {
        Grid fresh;
        fresh.build();
        for (std::uint32_t i = 0; i < 0x20000; ++i) {
            fresh.set_local<std::uint8_t>(0, kB + i, 0x44);
        }
        fresh.execute(0, 0,
                      {context(0, 0, direct(kA)), context(0, 1, direct(kB)),
                       context(0, 2, TALUS_PAIR(2048, 2048)),
                       enqueue(code, 0, TALUS_PAIR(32 | 32 << 16, k), type << 16), drain()});
        EXPECT_EQ(fresh.reg(0, PE_CP_FAULT_STATUS), 0u);
        return fresh.events.now();
    };
    for (const unsigned type : {TALUS_CP_FP16, TALUS_CP_BF16, TALUS_CP_INT8}) {
        const auto slope = [&](unsigned code) {
            return clocks(code, 1024, type) - clocks(code, 512, type);
        };
        EXPECT_EQ(slope(TALUS_DPE_MATMUL), 2 * slope(TALUS_DPE_MATMUL_SPARSE)) << type;
    }
}

} // namespace
} // namespace talus::sim::test
