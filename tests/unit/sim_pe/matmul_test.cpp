// The DPE's arithmetic on every instruction set that this host has, against the scalar definition:
// one std::fma per step of k, ascending.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include "pe/numeric.hpp"
#include "pe/vector_kernels.hpp"

namespace talus::sim {
namespace {

using BankValues = std::vector<std::uint32_t>; // 32 x 32

struct Problem {
    std::uint32_t m, n, k;
    unsigned type;
    bool accumulate;
    std::size_t a_pitch, b_pitch;
    std::vector<std::uint8_t> a, b;
    BankValues bank = BankValues(1024);
};

float element(const Problem& p, const std::vector<std::uint8_t>& data, std::size_t offset) {
    std::uint16_t bits;
    std::memcpy(&bits, data.data() + offset, 2);
    if (p.type == TALUS_CP_BF16) {
        return std::bit_cast<float>(std::uint32_t{bits} << 16);
    }
    __extension__ using CompilerHalf = _Float16;
    return static_cast<float>(std::bit_cast<CompilerHalf>(bits));
}

BankValues reference(const Problem& p) {
    BankValues bank = p.bank;
    for (std::uint32_t i = 0; i < p.m; ++i) {
        for (std::uint32_t j = 0; j < p.n; ++j) {
            std::uint32_t& out = bank[i * 32 + j];
            if (p.type == TALUS_CP_INT8) {
                std::uint32_t acc = p.accumulate ? out : 0;
                for (std::uint32_t k = 0; k < p.k; ++k) {
                    const auto x = static_cast<std::int8_t>(p.a[i * p.a_pitch + k]);
                    const auto y = static_cast<std::int8_t>(p.b[j * p.b_pitch + k]);
                    acc += static_cast<std::uint32_t>(x * y);
                }
                out = acc;
                continue;
            }
            float acc = p.accumulate ? std::bit_cast<float>(out) : 0.0f;
            for (std::uint32_t k = 0; k < p.k; ++k) {
                acc = std::fma(element(p, p.a, i * p.a_pitch + 2 * k),
                               element(p, p.b, j * p.b_pitch + 2 * k), acc);
            }
            out = std::isnan(acc) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(acc);
        }
    }
    return bank;
}

BankValues run(const Problem& p) {
    BankValues bank = p.bank;
    Matmul args;
    args.a = p.a.data();
    args.a_pitch = p.a_pitch;
    args.b = p.b.data();
    args.b_pitch = p.b_pitch;
    args.m = p.m;
    args.n = p.n;
    args.k = p.k;
    args.type = p.type;
    args.accumulate = p.accumulate;
    args.bank = bank.data();
    dpe_matmul(args);
    return bank;
}

enum class Values { kSmall, kAnyBits, kSubnormal };

Problem make(std::mt19937& random, std::uint32_t m, std::uint32_t n, std::uint32_t k, unsigned type,
             bool accumulate, Values values) {
    Problem p{m, n, k, type, accumulate, 0, 0, {}, {}};
    const std::size_t bytes = type == TALUS_CP_INT8 ? 1 : 2;
    p.a_pitch = k * bytes + bytes * (random() % 5);
    p.b_pitch = k * bytes + bytes * (random() % 5);
    const auto fill = [&](std::vector<std::uint8_t>& data, std::size_t size) {
        data.resize(size);
        for (std::size_t i = 0; i + bytes <= size; i += bytes) {
            std::uint16_t bits = static_cast<std::uint16_t>(random());
            if (bytes == 2 && values == Values::kSmall) {
                const float x = static_cast<float>(static_cast<std::int32_t>(random())) / 1e9f;
                bits = type == TALUS_CP_FP16 ? fp32_to_fp16(x) : fp32_to_bf16(x);
            } else if (bytes == 2 && values == Values::kSubnormal) {
                // FP16: subnormals; BF16: exponents whose products are subnormal in FP32.
                bits = type == TALUS_CP_FP16 ? bits & 0x83ffu : (bits & 0x807fu) | 0x2000u;
            }
            std::memcpy(data.data() + i, &bits, bytes);
        }
    };
    fill(p.a, m * p.a_pitch);
    fill(p.b, n * p.b_pitch);
    for (std::uint32_t& word : p.bank) {
        word = static_cast<std::uint32_t>(random());
        if (type != TALUS_CP_INT8 && values != Values::kAnyBits) {
            word = std::bit_cast<std::uint32_t>(static_cast<float>(word) / 1e9f);
        }
    }
    return p;
}

/// Each instruction set that Highway compiled and this host has.
class MatmulOn : public testing::TestWithParam<std::int64_t> {
  protected:
    void SetUp() override {
        hwy::SetSupportedTargetsForTest(GetParam());
        hwy::GetChosenTarget().Update(GetParam());
    }
    void TearDown() override {
        hwy::SetSupportedTargetsForTest(0);
        hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    }
};

std::vector<std::int64_t> targets() {
    std::vector<std::int64_t> list;
    for (std::int64_t rest = hwy::SupportedTargets() & HWY_TARGETS; rest != 0; rest &= rest - 1) {
        list.push_back(rest & -rest);
    }
    return list;
}

TEST_P(MatmulOn, EqualsTheScalarDefinition) {
    std::mt19937 random(11);
    const std::vector<std::array<std::uint32_t, 3>> shapes = {
        {1, 1, 1},    {32, 32, 1},  {32, 32, 64},  {31, 33 - 1, 257}, {1, 32, 26}, {32, 1, 300},
        {7, 17, 513}, {13, 5, 255}, {32, 31, 256}, {2, 9, 1000},      {6, 16, 31}, {5, 24, 77}};
    for (const auto& [m, n, k] : shapes) {
        for (const unsigned type : {TALUS_CP_FP16, TALUS_CP_BF16, TALUS_CP_INT8}) {
            for (const Values values : {Values::kSmall, Values::kAnyBits, Values::kSubnormal}) {
                for (const bool accumulate : {false, true}) {
                    const Problem p = make(random, m, n, k, type, accumulate, values);
                    ASSERT_EQ(run(p), reference(p))
                        << m << "x" << n << "x" << k << " type " << type << " values "
                        << static_cast<int>(values) << " accumulate " << accumulate;
                }
            }
        }
    }
}

TEST_P(MatmulOn, Int8WrapsAround) {
    Problem p{1,
              1,
              4,
              TALUS_CP_INT8,
              true,
              4,
              4,
              std::vector<std::uint8_t>(4, 0x80),
              std::vector<std::uint8_t>(4, 0x80)};
    p.bank[0] = 0x7fffffffu;
    EXPECT_EQ(run(p)[0], 0x7fffffffu + 4 * 16384u);
}

TEST_P(MatmulOn, RowConversionsMatchTheScalarOnes) {
    for (std::uint32_t first = 0; first < 65536; first += 1021) {
        std::vector<std::uint8_t> bytes(2 * 1021 + 1);
        for (std::uint32_t i = 0; i < 1021; ++i) {
            const auto bits = static_cast<std::uint16_t>(first + i);
            std::memcpy(bytes.data() + 1 + 2 * i, &bits, 2); // at an odd address
        }
        std::vector<float> half(1021);
        std::vector<float> brain(1021);
        fp16_to_fp32_row(bytes.data() + 1, 1021, half.data());
        bf16_to_fp32_row(bytes.data() + 1, 1021, brain.data());
        for (std::uint32_t i = 0; i < 1021; ++i) {
            const auto bits = static_cast<std::uint16_t>(first + i);
            ASSERT_EQ(std::bit_cast<std::uint32_t>(canonical(half[i])),
                      std::bit_cast<std::uint32_t>(fp16_to_fp32(bits)));
            ASSERT_EQ(std::bit_cast<std::uint32_t>(canonical(brain[i])),
                      std::bit_cast<std::uint32_t>(bf16_to_fp32(bits)));
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Targets, MatmulOn, testing::ValuesIn(targets()),
                         [](const testing::TestParamInfo<std::int64_t>& info) {
                             return std::string(hwy::TargetName(info.param));
                         });

} // namespace
} // namespace talus::sim
