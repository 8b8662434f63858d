// Values of MLU, DPE, RE and SE commands as the guest sees them, against plain loops.
#include <bit>
#include <cmath>
#include <random>

#include "pe/numeric.hpp"
#include "pe/se_functions.hpp"
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}
std::uint64_t tile(std::uint32_t m, std::uint32_t n, std::uint32_t k = 0) {
    return TALUS_PAIR(m | n << 16, k);
}

class UnitsTest : public PeTest {
  protected:
    void SetUp() override {
        PeTest::SetUp();
        for (unsigned i = 0; i < TALUS_LOCAL_SIZE; ++i) {
            grid.pes[0]->local_memory()[i] = static_cast<std::uint8_t>(random());
        }
    }
    float read(std::uint64_t offset, unsigned type) {
        return load_element(grid.pes[0]->local_memory() + offset, type);
    }
    std::uint32_t word(std::uint64_t offset) { return grid.local<std::uint32_t>(0, offset); }
    /// Runs one command with context 0 = words.
    void command(unsigned code, std::uint64_t rs1, std::uint64_t rs2,
                 const std::vector<std::uint64_t>& words) {
        std::vector<Step> steps;
        for (unsigned i = 0; i < words.size(); ++i) {
            steps.push_back(context(0, i, words[i]));
        }
        steps.push_back(enqueue(code, 0, rs1, rs2));
        steps.push_back(drain());
        run_a(steps);
        ASSERT_EQ(fault_cause(), 0u);
        ASSERT_FALSE(grid.core(0, 0).trapped);
    }
    std::mt19937 random{17};
};

TEST_F(UnitsTest, MluCopiesFillsAndTransposes) {
    std::vector<std::uint8_t> before(grid.pes[0]->local_memory(),
                                     grid.pes[0]->local_memory() + TALUS_LOCAL_SIZE);
    command(TALUS_MLU_COPY, TALUS_PAIR(100, 7), 0,
            {direct(0x10003), direct(0x101), TALUS_PAIR(133, 111)});
    for (unsigned row = 0; row < 7; ++row) {
        ASSERT_EQ(std::memcmp(grid.pes[0]->local_memory() + 0x10003 + row * 111,
                              before.data() + 0x101 + row * 133, 100),
                  0);
    }
    for (const std::uint32_t size : {1u, 2u, 4u}) {
        command(TALUS_MLU_TRANSPOSE, TALUS_PAIR(13, 29), 8 * size,
                {direct(0x20000), direct(0x400), TALUS_PAIR(64, 128)});
        for (unsigned row = 0; row < 29; ++row) {
            for (unsigned col = 0; col < 13; ++col) {
                ASSERT_EQ(
                    std::memcmp(grid.pes[0]->local_memory() + 0x20000 + col * 128 + row * size,
                                before.data() + 0x400 + row * 64 + col * size, size),
                    0);
            }
        }
    }
    command(TALUS_MLU_FILL, TALUS_PAIR(5, 3), 0xee, {direct(0x30000), 0, TALUS_PAIR(0, 8)});
    for (unsigned i = 0; i < 24; ++i) {
        EXPECT_EQ(grid.local<std::uint8_t>(0, 0x30000 + i), i % 8 < 5 ? 0xee : before[0x30000 + i]);
    }
}

TEST_F(UnitsTest, MatmulAccumulatesInTheBankFromTheBias) {
    constexpr unsigned m = 5, n = 19, k = 77;
    for (unsigned i = 0; i < 64 * 1024; i += 2) {
        const float x = static_cast<float>(static_cast<int>(random() % 2001) - 1000) / 512.0f;
        grid.set_local<std::uint16_t>(0, i, fp32_to_fp16(x));
    }
    for (unsigned j = 0; j < n; ++j) {
        grid.set_local<float>(0, 0x30000 + 4 * j, static_cast<float>(j) * 0.25f - 2.0f);
    }
    command(TALUS_RE_LOAD, tile(m, n), 2 | 1 << 8, {0, direct(0x30000), 0});
    const auto pitches = TALUS_PAIR(160, 200);
    for (unsigned part = 0; part < 2; ++part) {
        command(TALUS_DPE_MATMUL, tile(m, n, k), 2 | 1 << 8 | TALUS_CP_FP16 << 16,
                {direct(part * 2048), direct(0x8000 + part * 8192), pitches});
    }
    command(TALUS_RE_STORE, tile(m, n), 2 | TALUS_SE_RELU << 8 | TALUS_CP_FP32 << 16,
            {direct(0x31000), 0, TALUS_PAIR(0, 128)});
    command(TALUS_RE_STORE, tile(m, n), 2 | TALUS_SE_SIGMOID << 8 | TALUS_CP_FP16 << 16,
            {direct(0x32000), 0, TALUS_PAIR(0, 64)});
    command(TALUS_RE_STORE, tile(m, n), 2 | TALUS_CP_INT32 << 16,
            {direct(0x33000), 0, TALUS_PAIR(0, 128)});
    for (unsigned i = 0; i < m; ++i) {
        for (unsigned j = 0; j < n; ++j) {
            float acc = static_cast<float>(j) * 0.25f - 2.0f;
            for (unsigned part = 0; part < 2; ++part) {
                for (unsigned s = 0; s < k; ++s) {
                    acc =
                        std::fma(read(part * 2048 + i * 160 + 2 * s, TALUS_CP_FP16),
                                 read(0x8000 + part * 8192 + j * 200 + 2 * s, TALUS_CP_FP16), acc);
                }
            }
            ASSERT_EQ(word(0x31000 + i * 128 + 4 * j),
                      std::bit_cast<std::uint32_t>(acc > 0 ? acc : 0.0f));
            ASSERT_EQ(grid.local<std::uint16_t>(0, 0x32000 + i * 64 + 2 * j),
                      fp32_to_fp16(se_sigmoid(acc)));
            ASSERT_EQ(word(0x33000 + i * 128 + 4 * j), std::bit_cast<std::uint32_t>(acc));
        }
    }
}

TEST_F(UnitsTest, RowsAndColumnsOutsideTheTileAreUntouched) {
    command(TALUS_RE_LOAD, tile(32, 32), 0 | 2 << 8, {0, direct(0x1000), TALUS_PAIR(128, 0)});
    command(TALUS_DPE_MATMUL, tile(3, 4, 16), 0 | TALUS_CP_INT8 << 16,
            {direct(0), direct(64), TALUS_PAIR(16, 16)});
    command(TALUS_RE_LOAD, tile(2, 2), 0, {});
    command(TALUS_RE_STORE, tile(32, 32), 0 | TALUS_CP_INT32 << 16,
            {direct(0x31000), 0, TALUS_PAIR(0, 128)});
    for (unsigned i = 0; i < 32; ++i) {
        for (unsigned j = 0; j < 32; ++j) {
            std::uint32_t expected = word(0x1000 + i * 128 + 4 * j);
            if (i < 2 && j < 2) {
                expected = 0;
            } else if (i < 3 && j < 4) {
                std::int32_t acc = 0;
                for (unsigned s = 0; s < 16; ++s) {
                    acc += grid.local<std::int8_t>(0, i * 16 + s) *
                           grid.local<std::int8_t>(0, 64 + j * 16 + s);
                }
                expected = static_cast<std::uint32_t>(acc);
            }
            ASSERT_EQ(word(0x31000 + i * 128 + 4 * j), expected) << i << " " << j;
        }
    }
}

TEST_F(UnitsTest, UnaryConvertsBetweenAllTypes) {
    const unsigned types[] = {TALUS_CP_FP32,  TALUS_CP_FP16, TALUS_CP_BF16,
                              TALUS_CP_INT32, TALUS_CP_INT8, TALUS_CP_UINT8};
    for (const unsigned from : types) {
        for (const unsigned to : types) {
            for (unsigned function = TALUS_SE_NONE; function <= TALUS_SE_GELU; ++function) {
                const unsigned in = element_bytes(from);
                const unsigned out = element_bytes(to);
                command(TALUS_SE_UNARY, TALUS_PAIR(50, 3), function | from << 8 | to << 16,
                        {direct(0x20000), direct(0x1000), TALUS_PAIR(512, 256)});
                for (unsigned row = 0; row < 3; ++row) {
                    for (unsigned col = 0; col < 50; ++col) {
                        const std::uint64_t source = 0x1000 + row * 512 + col * in;
                        std::uint8_t expected[4] = {};
                        if (from == TALUS_CP_INT32 && to == TALUS_CP_INT32 && function == 0) {
                            std::memcpy(expected, grid.pes[0]->local_memory() + source, 4);
                        } else {
                            store_element(expected, to, se_function(function, read(source, from)));
                        }
                        ASSERT_EQ(std::memcmp(grid.pes[0]->local_memory() + 0x20000 + row * 256 +
                                                  col * out,
                                              expected, out),
                                  0)
                            << from << " to " << to << " by " << function;
                    }
                }
            }
        }
    }
}

TEST_F(UnitsTest, BinaryRoundsOnceAndRepeatsARow) {
    for (unsigned i = 0; i < 4096; ++i) {
        grid.set_local<float>(0, 4 * i, std::ldexp(static_cast<float>(random()), -31) - 0.5f);
    }
    grid.set_local<std::uint32_t>(0, 0x1000, 0xffc00001u); // a NaN in the second row's start
    for (unsigned operation = TALUS_SE_ADD; operation <= TALUS_SE_MIN; ++operation) {
        for (const std::uint32_t second_pitch : {0u, 100u * 4}) {
            command(TALUS_SE_BINARY, TALUS_PAIR(90, 4), operation | TALUS_CP_FP32 << 16,
                    {direct(0x20000), direct(0), TALUS_PAIR(400, 400), direct(0x1000),
                     TALUS_PAIR(second_pitch, 0)});
            for (unsigned row = 0; row < 4; ++row) {
                for (unsigned col = 0; col < 90; ++col) {
                    const float x = grid.local<float>(0, row * 400 + col * 4);
                    const float y = grid.local<float>(0, 0x1000 + row * second_pitch + col * 4);
                    float expected = 0;
                    switch (operation) {
                    case TALUS_SE_ADD:
                        expected = x + y;
                        break;
                    case TALUS_SE_SUB:
                        expected = x - y;
                        break;
                    case TALUS_SE_MUL:
                        expected = x * y;
                        break;
                    case TALUS_SE_MAX:
                        expected = std::isnan(y) ? y : std::fmax(x, y);
                        break;
                    default:
                        expected = std::isnan(y) ? y : std::fmin(x, y);
                        break;
                    }
                    const std::uint32_t bits =
                        std::isnan(expected) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(expected);
                    ASSERT_EQ(word(0x20000 + row * 400 + col * 4), bits);
                }
            }
        }
    }
}

TEST_F(UnitsTest, ScaleIsOneFusedOperation) {
    const float scale = 1.0f / 3.0f;
    const float offset = -0.1f;
    for (unsigned i = 0; i < 64; ++i) {
        grid.set_local<float>(0, 4 * i, static_cast<float>(random()) / 1e8f);
    }
    command(
        TALUS_SE_SCALE, TALUS_PAIR(64, 1), TALUS_CP_FP32 << 8 | TALUS_CP_INT8 << 16,
        {direct(0x20000), direct(0), 0,
         TALUS_PAIR(std::bit_cast<std::uint32_t>(scale), std::bit_cast<std::uint32_t>(offset))});
    for (unsigned i = 0; i < 64; ++i) {
        const float value = std::fma(grid.local<float>(0, 4 * i), scale, offset);
        ASSERT_EQ(grid.local<std::int8_t>(0, 0x20000 + i),
                  std::fmin(std::fmax(std::nearbyint(value), -128.0f), 127.0f));
    }
}

TEST_F(UnitsTest, RowAccumulatePoolsInOrder) {
    for (unsigned i = 0; i < 128 * 64; ++i) {
        grid.set_local<std::uint16_t>(0, 2 * i, fp32_to_fp16(static_cast<float>(random()) / 4e8f));
    }
    for (const unsigned rows : {0u, 1u, 7u, 128u}) {
        for (const unsigned mode : {TALUS_SE_POOL_SUM, TALUS_SE_POOL_MAX}) {
            for (const unsigned accumulate : {0u, 1u}) {
                std::vector<float> expected(50);
                for (unsigned col = 0; col < 50; ++col) {
                    grid.set_local<float>(0, 0x20000 + 4 * col, static_cast<float>(col));
                    float acc = accumulate != 0 ? static_cast<float>(col)
                                : mode == TALUS_SE_POOL_SUM
                                    ? 0.0f
                                    : -std::numeric_limits<float>::infinity();
                    for (unsigned row = 0; row < rows; ++row) {
                        const float x = read(row * 128 + 2 * col, TALUS_CP_FP16);
                        acc = mode == TALUS_SE_POOL_SUM ? acc + x : std::fmax(acc, x);
                    }
                    expected[col] = acc;
                }
                command(TALUS_SE_ROW_ACCUMULATE, TALUS_PAIR(50, rows),
                        mode | TALUS_CP_FP16 << 8 | accumulate << 24,
                        {direct(0x20000), direct(0), TALUS_PAIR(128, 0)});
                for (unsigned col = 0; col < 50; ++col) {
                    ASSERT_EQ(grid.local<float>(0, 0x20000 + 4 * col), expected[col]);
                }
            }
        }
    }
}

TEST_F(UnitsTest, ANanRowMakesThePoolNan) {
    grid.set_local<float>(0, 0, 1.0f);
    grid.set_local<std::uint32_t>(0, 4, 0x7f800001u);
    grid.set_local<float>(0, 8, 2.0f);
    for (const unsigned mode : {TALUS_SE_POOL_SUM, TALUS_SE_POOL_MAX}) {
        command(TALUS_SE_ROW_ACCUMULATE, TALUS_PAIR(1, 3), mode,
                {direct(0x20000), direct(0), TALUS_PAIR(4, 0)});
        EXPECT_EQ(word(0x20000), kCanonicalNan);
    }
}

} // namespace
} // namespace talus::sim::test
