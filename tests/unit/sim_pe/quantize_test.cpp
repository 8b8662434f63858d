// Row ranges, quantisation, dequantisation: values against double arithmetic and the standard
// library's rounding, and rates.
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "pe/numeric.hpp"
#include "pe/se_functions.hpp"
#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

class QuantizeTest : public PeTest {
  protected:
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
    void put(std::uint32_t offset, unsigned type, float value) {
        store_element(grid.pes[0]->local_memory() + offset, type, value);
    }
    float get(std::uint32_t offset, unsigned type) {
        return load_element(grid.pes[0]->local_memory() + offset, type);
    }
    void put_row_scale(std::uint32_t offset, float scale, std::int32_t zero_point) {
        grid.set_local(0, offset, talus_row_scale{std::bit_cast<std::uint32_t>(scale), zero_point});
    }
    void store_ranges(std::uint32_t rows, std::uint32_t bank) {
        command(TALUS_RE_RANGE_STORE, rows, bank, {direct(0x58000)});
    }
    void expect_range(std::uint32_t row, float low, float high) {
        const auto range = grid.local<talus_row_range>(0, 0x58000 + 8 * row);
        EXPECT_EQ(range.low, std::bit_cast<std::uint32_t>(low)) << row;
        EXPECT_EQ(range.high, std::bit_cast<std::uint32_t>(high)) << row;
    }
    float uniform(float bound) {
        return static_cast<float>(static_cast<std::int32_t>(random())) * (bound / 2147483648.0f);
    }
    /// Clocks from the issue of a command to the end of the drain after it, in a fresh grid.
    Cycle clocks(const Step& step, const std::vector<std::uint64_t>& words) {
        Grid fresh;
        fresh.build();
        std::vector<Step> steps;
        for (unsigned i = 0; i < words.size(); ++i) {
            steps.push_back(context(0, i, words[i]));
        }
        steps.push_back(step);
        steps.push_back(drain());
        const auto& log = fresh.execute(0, 0, steps);
        return log.back().retired - log[log.size() - 2].retired;
    }
    std::mt19937 random{31};
};

TEST_F(QuantizeTest, RangesOfRowsFromMemory) {
    for (const unsigned type : {TALUS_CP_FP32, TALUS_CP_FP16, TALUS_CP_BF16}) {
        const std::uint32_t pitch = 404 * 4;
        std::vector<float> low(32, kInf);
        std::vector<float> high(32, -kInf);
        for (const unsigned pass : {0u, 1u}) { // START, then WIDEN with others
            for (std::uint32_t row = 0; row < 32; ++row) {
                for (std::uint32_t i = 0; i < 401; ++i) {
                    const std::uint32_t at = row * pitch + i * element_bytes(type);
                    put(at, type, uniform(pass == 0 ? 3.0f : 4.0f) + static_cast<float>(row) - 8);
                    low[row] = std::fmin(low[row], get(at, type));
                    high[row] = std::fmax(high[row], get(at, type));
                }
            }
            command(TALUS_RE_RANGE, TALUS_PAIR(401, 32), 3 | (pass + 1) << 8 | type << 16,
                    {0, direct(0), TALUS_PAIR(pitch, 0)});
        }
        store_ranges(32, 3);
        for (std::uint32_t row = 0; row < 32; ++row) {
            expect_range(row, low[row], high[row]);
        }
    }
}

TEST_F(QuantizeTest, RangesKeepZeroSignsInfinitiesAndNans) {
    const float nan = std::bit_cast<float>(0x7f800001u);
    const float rows[5][3] = {{0.0f, -0.0f, 0.0f},
                              {-0.0f, 0.0f, -1.0f},
                              {1.0f, -kInf, 2.0f},
                              {1.0f, nan, 2.0f},
                              {5, 5, 5}};
    for (std::uint32_t i = 0; i < 15; ++i) {
        grid.set_local<float>(0, 4 * i, rows[i / 3][i % 3]);
    }
    command(TALUS_RE_RANGE, TALUS_PAIR(3, 5), TALUS_RE_RANGE_START << 8,
            {0, direct(0), TALUS_PAIR(12, 0)});
    store_ranges(5, 0);
    expect_range(0, -0.0f, 0.0f);
    expect_range(1, -1.0f, 0.0f);
    expect_range(2, -kInf, 2.0f);
    expect_range(3, std::bit_cast<float>(0x7fc00000u), std::bit_cast<float>(0x7fc00000u));
    expect_range(4, 5.0f, 5.0f);
    // A NaN stays when the range widens.
    command(TALUS_RE_RANGE, TALUS_PAIR(3, 5), TALUS_RE_RANGE_WIDEN << 8,
            {0, direct(48), TALUS_PAIR(0, 0)});
    store_ranges(5, 0);
    expect_range(3, std::bit_cast<float>(0x7fc00000u), std::bit_cast<float>(0x7fc00000u));
    expect_range(0, -0.0f, 5.0f);
}

TEST_F(QuantizeTest, ADrainKeepsTheRangeOfWhatItStored) {
    for (std::uint32_t i = 0; i < 1024; ++i) {
        grid.set_local<float>(0, 4 * i, uniform(100.0f));
    }
    command(TALUS_RE_LOAD, TALUS_PAIR(32 | 32 << 16, 0), 2 | 2 << 8,
            {0, direct(0), TALUS_PAIR(128, 0)});
    const auto store = [&](unsigned range, std::uint32_t n) {
        command(TALUS_RE_STORE, TALUS_PAIR(32 | n << 16, 0),
                2u | TALUS_SE_TANH << 8 | TALUS_CP_FP16 << 16 | range << 24,
                {direct(0x2000), 0, TALUS_PAIR(0, 64)});
        store_ranges(32, 2);
    };
    for (const std::uint32_t n : {32u, 17u}) {
        store(TALUS_RE_RANGE_START, n);
        for (std::uint32_t row = 0; row < 32; ++row) {
            float low = kInf;
            float high = -kInf;
            for (std::uint32_t col = 0; col < n; ++col) {
                low = std::fmin(low, get(0x2000 + row * 64 + 2 * col, TALUS_CP_FP16));
                high = std::fmax(high, get(0x2000 + row * 64 + 2 * col, TALUS_CP_FP16));
            }
            expect_range(row, low, high);
        }
    }
    const auto before = grid.local<talus_row_range>(0, 0x58000);
    store(TALUS_RE_RANGE_OFF, 1);
    EXPECT_EQ(grid.local<talus_row_range>(0, 0x58000).low, before.low);
}

TEST_F(QuantizeTest, QuantisesRowsByTheirScales) {
    for (const unsigned source : {TALUS_CP_FP32, TALUS_CP_FP16, TALUS_CP_BF16}) {
        for (const unsigned destination : {TALUS_CP_INT8, TALUS_CP_UINT8}) {
            const double low = destination == TALUS_CP_INT8 ? -128 : 0;
            const std::uint32_t pitch = 4 * 130;
            for (std::uint32_t row = 0; row < 9; ++row) {
                put_row_scale(0x8000 + 8 * row, 2.5f * static_cast<float>(row) + 0.3f,
                              static_cast<std::int32_t>(row * 31) - 140);
                for (std::uint32_t i = 0; i < 129; ++i) {
                    put(row * pitch + i * element_bytes(source), source,
                        i == 0   ? kInf
                        : i == 1 ? -kInf
                        : i == 2 ? 1e30f
                                 : uniform(12.0f));
                }
                put(row * pitch + 3 * element_bytes(source), source, std::nanf(""));
            }
            command(TALUS_SE_QUANTIZE, TALUS_PAIR(129, 9), source << 8 | destination << 16,
                    {direct(0x20000), direct(0), TALUS_PAIR(pitch, 131), direct(0x8000)});
            for (std::uint32_t row = 0; row < 9; ++row) {
                const auto scale = grid.local<talus_row_scale>(0, 0x8000 + 8 * row);
                for (std::uint32_t i = 0; i < 129; ++i) {
                    const float x = get(row * pitch + i * element_bytes(source), source);
                    // Rounded once to FP32, then to an integer, ties to even.
                    const auto scaled = static_cast<float>(static_cast<double>(x) *
                                                           std::bit_cast<float>(scale.scale));
                    const double whole = std::isnan(scaled) ? 0.0 : std::nearbyint(scaled);
                    const double q = std::fmin(std::fmax(whole + scale.zero_point, low), low + 255);
                    const auto byte = grid.local<std::uint8_t>(0, 0x20000 + row * 131 + i);
                    ASSERT_EQ(destination == TALUS_CP_INT8 ? static_cast<std::int8_t>(byte)
                                                           : static_cast<int>(byte),
                              static_cast<int>(q))
                        << row << " " << i;
                }
            }
        }
    }
}

TEST_F(QuantizeTest, DequantisesRowsByTheirScales) {
    for (const unsigned source : {TALUS_CP_INT8, TALUS_CP_UINT8, TALUS_CP_INT32}) {
        for (std::uint32_t i = 0; i < 5 * 33; ++i) {
            grid.set_local<std::uint32_t>(0, 4 * i, static_cast<std::uint32_t>(random()));
        }
        for (std::uint32_t row = 0; row < 5; ++row) {
            put_row_scale(0x8000 + 8 * row, 0.01f * static_cast<float>(row + 1),
                          static_cast<std::int32_t>(row * 1000000000u - 128u));
        }
        command(TALUS_SE_DEQUANTIZE, TALUS_PAIR(33, 5), source << 8 | TALUS_CP_FP32 << 16,
                {direct(0x20000), direct(0), TALUS_PAIR(132, 132), direct(0x8000)});
        for (std::uint32_t row = 0; row < 5; ++row) {
            const auto scale = grid.local<talus_row_scale>(0, 0x8000 + 8 * row);
            for (std::uint32_t i = 0; i < 33; ++i) {
                const std::uint32_t at = row * 132;
                const std::int64_t q = source == TALUS_CP_INT8 ? grid.local<std::int8_t>(0, at + i)
                                       : source == TALUS_CP_UINT8
                                           ? grid.local<std::uint8_t>(0, at + i)
                                           : grid.local<std::int32_t>(0, at + 4 * i);
                const auto wrapped =
                    static_cast<std::int32_t>(static_cast<std::uint64_t>(q - scale.zero_point));
                const float expected =
                    static_cast<float>(wrapped) * std::bit_cast<float>(scale.scale);
                ASSERT_EQ(grid.local<float>(0, 0x20000 + row * 132 + 4 * i), expected);
            }
        }
    }
}

TEST_F(QuantizeTest, ADrainDequantisesSums) {
    constexpr std::uint32_t m = 29, n = 31;
    for (std::uint32_t i = 0; i < 1024; ++i) {
        grid.set_local<std::uint32_t>(0, 4 * i, static_cast<std::uint32_t>(random()));
    }
    for (std::uint32_t row = 0; row < m; ++row) {
        put_row_scale(0x8000 + 8 * row, uniform(0.1f),
                      static_cast<std::int32_t>(random() % 256) - 128);
    }
    for (std::uint32_t col = 0; col < n; ++col) {
        grid.set_local(0, 0x9000 + 16 * col,
                       talus_column_scale{std::bit_cast<std::uint32_t>(uniform(1e-6f)),
                                          static_cast<std::int32_t>(random()),
                                          std::bit_cast<std::uint32_t>(uniform(10.0f)), 0});
    }
    command(TALUS_RE_LOAD, TALUS_PAIR(m | n << 16, 0), 1 | 2 << 8,
            {0, direct(0), TALUS_PAIR(128, 0)});
    for (const unsigned function : {TALUS_SE_NONE, TALUS_SE_RELU, TALUS_SE_SIGMOID}) {
        for (const unsigned type : {TALUS_CP_FP32, TALUS_CP_FP16}) {
            command(TALUS_RE_STORE_DEQUANTIZED, TALUS_PAIR(m | n << 16, 0),
                    1u | function << 8 | type << 16 | TALUS_RE_RANGE_START << 24,
                    {direct(0x20000), direct(0x8000), TALUS_PAIR(0, 128), direct(0x9000)});
            for (std::uint32_t row = 0; row < m; ++row) {
                const auto scale = grid.local<talus_row_scale>(0, 0x8000 + 8 * row);
                for (std::uint32_t col = 0; col < n; ++col) {
                    const auto column = grid.local<talus_column_scale>(0, 0x9000 + 16 * col);
                    const std::int64_t exact = grid.local<std::int32_t>(0, row * 128 + 4 * col) -
                                               std::int64_t{scale.zero_point} * column.sum;
                    const auto sum = static_cast<std::int32_t>(static_cast<std::uint64_t>(exact));
                    const float factor =
                        std::bit_cast<float>(scale.scale) * std::bit_cast<float>(column.scale);
                    float value = std::fma(static_cast<float>(sum), factor,
                                           std::bit_cast<float>(column.bias));
                    if (function == TALUS_SE_RELU) {
                        value = value > 0 ? value : 0.0f;
                    } else if (function == TALUS_SE_SIGMOID) {
                        value = se_sigmoid(value);
                    }
                    const std::uint32_t at = 0x20000 + row * 128 + col * element_bytes(type);
                    if (type == TALUS_CP_FP16) {
                        ASSERT_EQ(grid.local<std::uint16_t>(0, at), fp32_to_fp16(value));
                    } else {
                        ASSERT_EQ(grid.local<float>(0, at), value);
                    }
                }
            }
        }
    }
    store_ranges(m, 1);
    const auto range = grid.local<talus_row_range>(0, 0x58000);
    EXPECT_GE(std::bit_cast<float>(range.low), 0.0f);
    EXPECT_LE(std::bit_cast<float>(range.high), 1.0f);
}

TEST_F(QuantizeTest, Rates) {
    const SeConfig& se = grid.config.se;
    const auto range = [&](std::uint32_t rows) {
        return clocks(enqueue(TALUS_RE_RANGE, 0, TALUS_PAIR(512, rows),
                              TALUS_RE_RANGE_START << 8 | TALUS_CP_FP16 << 16),
                      {0, direct(0), TALUS_PAIR(1024, 0)});
    };
    EXPECT_EQ(range(32) - range(16), 16u * 512 / grid.config.re.range_elements_per_clock);
    const auto quantize = [&](std::uint32_t rows) {
        return clocks(enqueue(TALUS_SE_QUANTIZE, 0, TALUS_PAIR(512, rows),
                              TALUS_CP_FP16 << 8 | TALUS_CP_INT8 << 16),
                      {direct(0x20000), direct(0), TALUS_PAIR(1024, 512), direct(0x30000)});
    };
    EXPECT_EQ(quantize(32) - quantize(16),
              16u * 512 * se.quantize_operations / se.operations_per_clock);
    const auto drain_sums = [&](std::uint32_t m) {
        return clocks(enqueue(TALUS_RE_STORE_DEQUANTIZED, 0, TALUS_PAIR(m | 32 << 16, 0),
                              TALUS_CP_FP16 << 16),
                      {direct(0x20000), direct(0), TALUS_PAIR(0, 64), direct(0x8000)});
    };
    EXPECT_EQ(drain_sums(32) - drain_sums(16),
              16u * 32 * se.dequantize_sums_operations / se.operations_per_clock);
    const auto pool = [&](std::uint32_t rows) {
        return clocks(enqueue(TALUS_SE_ROW_ACCUMULATE, 0, TALUS_PAIR(128, rows),
                              TALUS_SE_POOL_SUM | TALUS_CP_FP16 << 8),
                      {direct(0x20000), direct(0), TALUS_PAIR(256, 0)});
    };
    EXPECT_EQ(pool(128) - pool(64), 64u * 128 / se.operations_per_clock);
}

TEST_F(QuantizeTest, ADrainAndTheSimdEngineShareItsOperations) {
    // Alone, each takes 2,048 clocks: 16 drains of 32 x 32 at 4 operations, and 65,536 elements
    // at 2.
    const auto run = [&](bool drains, bool quantizes) {
        Grid fresh;
        fresh.build();
        std::vector<Step> steps = {
            context(0, 0, direct(0x20000)),       context(0, 1, direct(0)),
            context(0, 2, TALUS_PAIR(0, 64)),     context(0, 3, direct(0x8000)),
            context(1, 0, direct(0x30000)),       context(1, 1, direct(0)),
            context(1, 2, TALUS_PAIR(1024, 512)), context(1, 3, direct(0x8000))};
        for (unsigned i = 0; i < 32; ++i) {
            if (drains) {
                steps.push_back(enqueue(TALUS_RE_STORE_DEQUANTIZED, 0, TALUS_PAIR(32 | 32 << 16, 0),
                                        TALUS_CP_FP16 << 16));
            }
            if (quantizes) {
                steps.push_back(enqueue(TALUS_SE_QUANTIZE, 1, TALUS_PAIR(512, 4),
                                        TALUS_CP_FP16 << 8 | TALUS_CP_INT8 << 16));
            }
        }
        steps.push_back(drain());
        fresh.execute(0, 0, steps);
        return static_cast<double>(fresh.events.now());
    };
    const double alone = run(true, false);
    EXPECT_NEAR(alone, 2048, 200);
    EXPECT_NEAR(run(false, true), 2048, 200);
    EXPECT_NEAR(run(true, true), 4096, 400);
}

TEST_F(QuantizeTest, MalformedAndAbsent) {
    const auto cause = [&](unsigned code, std::uint64_t rs1, std::uint64_t rs2,
                           bool present = true) {
        Grid fresh;
        fresh.config.re.row_range = present;
        fresh.build();
        std::vector<Step> steps;
        for (unsigned i = 0; i < 4; ++i) {
            steps.push_back(context(0, i, i == 2 ? 0 : direct(0x4000 * i)));
        }
        steps.push_back(enqueue(code, 0, rs1, rs2));
        fresh.execute(0, 0, steps);
        return fresh.core(0, 0).log.back().result.cause;
    };
    const auto tile = TALUS_PAIR(1 | 1 << 16, 0);
    const std::uint64_t start = TALUS_RE_RANGE_START << 8;
    EXPECT_EQ(cause(TALUS_RE_RANGE, TALUS_PAIR(4, 1), start), 0u);
    EXPECT_EQ(cause(TALUS_RE_RANGE, TALUS_PAIR(4, 1), start, false), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_RANGE, TALUS_PAIR(4, 33), start), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_RANGE, TALUS_PAIR(4, 1), 0), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_RANGE, TALUS_PAIR(4, 1), start | TALUS_CP_INT32 << 16),
              TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_RANGE_STORE, 33, 0), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_RANGE_STORE, 1, 4), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_STORE, tile, 3u << 24), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_STORE, tile, TALUS_CP_INT32 << 16 | 1u << 24), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_STORE, tile, 1u << 24, false), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_RE_STORE, tile, 0, false), 0u);
    EXPECT_EQ(cause(TALUS_RE_STORE_DEQUANTIZED, tile, TALUS_CP_INT32 << 16), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_SE_QUANTIZE, TALUS_PAIR(4, 1), TALUS_CP_INT32 << 16),
              TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_SE_QUANTIZE, TALUS_PAIR(4, 1), TALUS_CP_INT8 << 8 | TALUS_CP_INT8 << 16),
              TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(cause(TALUS_SE_DEQUANTIZE, TALUS_PAIR(4, 1), TALUS_CP_FP16 << 8),
              TALUS_TRAP_CP_COMMAND);
}

} // namespace
} // namespace talus::sim::test
