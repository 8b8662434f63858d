// The MLU's element commands, against element lists that the tests encode and decode themselves.
#include <random>

#include "pe_fixture.hpp"

namespace talus::sim::test {
namespace {

std::uint64_t direct(std::uint32_t offset) {
    return TALUS_OPERAND(TALUS_DIRECT, offset, 0);
}

class LayoutTest : public PeTest, public testing::WithParamInterface<std::uint32_t> {
  protected:
    using Matrix = std::vector<std::vector<std::uint32_t>>;

    std::uint32_t bits() const { return GetParam(); }
    std::uint32_t bytes(std::uint32_t elements) const { return (elements * bits() + 7) / 8; }
    std::uint32_t align(std::uint32_t size) const { return (size + 3) / 4 * 4; }

    Matrix random_matrix(std::uint32_t rows, std::uint32_t cols) {
        Matrix matrix(rows, std::vector<std::uint32_t>(cols));
        for (auto& row : matrix) {
            for (auto& value : row) {
                value = static_cast<std::uint32_t>(random()) &
                        static_cast<std::uint32_t>((std::uint64_t{1} << bits()) - 1);
            }
        }
        return matrix;
    }
    void put(std::uint32_t offset, std::uint32_t pitch, const Matrix& matrix) {
        std::uint8_t* memory = grid.pes[0]->local_memory();
        for (std::size_t r = 0; r < matrix.size(); ++r) {
            for (std::size_t c = 0; c < matrix[r].size(); ++c) {
                for (std::uint32_t bit = 0; bit < bits(); ++bit) {
                    const std::size_t at = c * bits() + bit;
                    std::uint8_t& byte = memory[offset + r * pitch + at / 8];
                    const auto mask = static_cast<std::uint8_t>(1u << at % 8);
                    byte = static_cast<std::uint8_t>((byte & ~mask) |
                                                     ((matrix[r][c] >> bit & 1u) != 0 ? mask : 0));
                }
            }
        }
    }
    /// The rows at `offset` hold exactly `matrix`, zero in a half byte that is over, and 0xa5
    /// between the rows.
    void expect(std::uint32_t offset, std::uint32_t pitch, const Matrix& matrix) {
        const std::uint8_t* memory = grid.pes[0]->local_memory() + offset;
        for (std::size_t r = 0; r < matrix.size(); ++r) {
            const auto cols = static_cast<std::uint32_t>(matrix[r].size());
            for (std::size_t at = 0; at < 8 * std::size_t{pitch}; ++at) {
                std::uint32_t bit = 0xa5u >> at % 8 & 1u;
                if (at < std::size_t{cols} * bits()) {
                    bit = matrix[r][at / bits()] >> at % bits() & 1u;
                } else if (at < 8 * std::size_t{bytes(cols)}) {
                    bit = 0;
                }
                ASSERT_EQ(memory[r * pitch + at / 8] >> at % 8 & 1u, bit) << r << " bit " << at;
            }
        }
    }
    void run(unsigned code, std::uint64_t rs1, std::uint64_t rs2,
             const std::vector<std::uint64_t>& words) {
        std::memset(grid.pes[0]->local_memory() + 0x20000, 0xa5, 0x10000);
        std::vector<Step> steps;
        for (unsigned i = 0; i < words.size(); ++i) {
            steps.push_back(context(0, i, words[i]));
        }
        steps.push_back(enqueue(code, 0, rs1, rs2));
        steps.push_back(drain());
        run_a(steps);
        ASSERT_FALSE(grid.core(0, 0).trapped);
        ASSERT_EQ(fault_cause(), 0u);
    }
    std::mt19937 random{5};
};

TEST_P(LayoutTest, Transpose) {
    const Matrix source = random_matrix(29, 13);
    const std::uint32_t source_pitch = align(bytes(13)) + 8;
    const std::uint32_t pitch = align(bytes(29)) + 4;
    put(0x400, source_pitch, source);
    run(TALUS_MLU_TRANSPOSE, TALUS_PAIR(13, 29), bits(),
        {direct(0x20000), direct(0x400), TALUS_PAIR(source_pitch, pitch)});
    Matrix expected(13, std::vector<std::uint32_t>(29));
    for (unsigned r = 0; r < 29; ++r) {
        for (unsigned c = 0; c < 13; ++c) {
            expected[c][r] = source[r][c];
        }
    }
    expect(0x20000, pitch, expected);
}

TEST_P(LayoutTest, Concatenate) {
    for (const auto& [first, second] :
         {std::pair{13u, 8u}, std::pair{1u, 6u}, std::pair{16u, 3u}}) {
        const Matrix left = random_matrix(7, first);
        const Matrix right = random_matrix(7, second);
        const std::uint32_t pitch = align(bytes(first + second)) + 4;
        put(0x400, 64, left);
        put(0x1000, 48, right);
        run(TALUS_MLU_CONCAT, TALUS_PAIR(first, 7), TALUS_PAIR(second, bits()),
            {direct(0x20000), direct(0x400), TALUS_PAIR(64, pitch), direct(0x1000),
             TALUS_PAIR(48, 0)});
        Matrix expected = left;
        for (unsigned r = 0; r < 7; ++r) {
            expected[r].insert(expected[r].end(), right[r].begin(), right[r].end());
        }
        expect(0x20000, pitch, expected);
    }
}

TEST_P(LayoutTest, Reshape) {
    const Matrix source = random_matrix(6, 15);
    put(0x400, 64, source);
    for (const std::uint32_t columns : {1u, 9u, 10u, 45u, 90u}) {
        const std::uint32_t pitch = align(bytes(columns)) + 4;
        run(TALUS_MLU_RESHAPE, TALUS_PAIR(15, 6), TALUS_PAIR(columns, bits()),
            {direct(0x20000), direct(0x400), TALUS_PAIR(64, pitch)});
        Matrix expected(90 / columns, std::vector<std::uint32_t>(columns));
        for (unsigned i = 0; i < 90; ++i) {
            expected[i / columns][i % columns] = source[i / 15][i % 15];
        }
        expect(0x20000, pitch, expected);
    }
}

TEST_P(LayoutTest, OperandsAreAlignedToTheElement) {
    run_a({context(0, 0, direct(0x20000)), context(0, 1, direct(0x401)),
           context(0, 2, TALUS_PAIR(64, 64)),
           enqueue(TALUS_MLU_RESHAPE, 0, TALUS_PAIR(4, 2), TALUS_PAIR(8, bits())), drain()});
    EXPECT_EQ(fault_cause() == TALUS_TRAP_LOCAL, bits() > 8);
}

INSTANTIATE_TEST_SUITE_P(Bits, LayoutTest, testing::Values(4u, 8u, 16u, 32u));

TEST_F(PeTest, MalformedLayoutCommandsTrap) {
    const auto shape = TALUS_PAIR(8, 2);
    const auto trap = [&](unsigned code, std::uint64_t rs1, std::uint64_t rs2) {
        Grid fresh;
        fresh.build();
        std::vector<Step> steps;
        for (unsigned i = 0; i < 5; ++i) {
            steps.push_back(context(0, i, i == 2 || i == 4 ? 0 : direct(0x1000 * i)));
        }
        steps.push_back(enqueue(code, 0, rs1, rs2));
        fresh.execute(0, 0, steps);
        return fresh.core(0, 0).log.back().result.cause;
    };
    EXPECT_EQ(trap(TALUS_MLU_TRANSPOSE, shape, 64), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(TALUS_MLU_CONCAT, shape, TALUS_PAIR(0, 8)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(TALUS_MLU_CONCAT, shape, TALUS_PAIR(8, 12)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(TALUS_MLU_RESHAPE, shape, TALUS_PAIR(3, 8)), TALUS_TRAP_CP_COMMAND); // 16 / 3
    EXPECT_EQ(trap(TALUS_MLU_RESHAPE, shape, TALUS_PAIR(0, 8)), TALUS_TRAP_CP_COMMAND);
    EXPECT_EQ(trap(TALUS_MLU_RESHAPE, shape, TALUS_PAIR(4, 8)), 0u);
}

} // namespace
} // namespace talus::sim::test
