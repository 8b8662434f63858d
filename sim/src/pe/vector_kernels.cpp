// Compiled once per instruction set that Highway knows; the best one is chosen when first called.
#include "vector_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pe/vector_kernels.cpp" // NOLINT: Highway includes this file again
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "numeric.hpp"

HWY_BEFORE_NAMESPACE();
namespace talus::sim::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::size_t kBankColumns = TALUS_RE_BANK_COLS;
inline constexpr std::size_t kBlock = 256; ///< steps of k whose operands are unpacked at a time

using FloatTag = hn::CappedTag<float, 16>;
using IntTag = hn::CappedTag<std::int32_t, 16>;

/// acc + a * b with one rounding, whether or not the host has the instruction.
template <class V>
HWY_INLINE V fused(V a, V b, V acc) {
#if HWY_NATIVE_FMA
    return hn::MulAdd(a, b, acc);
#else
    const FloatTag d;
    HWY_ALIGN float x[16];
    HWY_ALIGN float y[16];
    HWY_ALIGN float z[16];
    hn::Store(a, d, x);
    hn::Store(b, d, y);
    hn::Store(acc, d, z);
    for (std::size_t i = 0; i < hn::Lanes(d); ++i) {
        z[i] = std::fma(x[i], y[i], z[i]);
    }
    return hn::Load(d, z);
#endif
}

/// In integer steps, as Highway's own promotion does not know infinities on every host: a half's
/// exponent and mantissa, taken as those of a float, are 2^112 times too small.
void Fp16Row(const std::uint8_t* source, std::size_t count, float* destination) {
    const FloatTag d;
    const hn::RebindToUnsigned<FloatTag> wide;
    const hn::Rebind<std::uint16_t, FloatTag> half;
    const std::size_t lanes = hn::Lanes(d);
    const auto scale = hn::Set(d, 0x1p112f);
    HWY_ALIGN std::uint16_t buffer[16];
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        std::memcpy(buffer, source + 2 * i, 2 * lanes);
        const auto bits = hn::PromoteTo(wide, hn::Load(half, buffer));
        const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(wide, 0x8000u)));
        const auto magnitude = hn::And(bits, hn::Set(wide, 0x7fffu));
        const auto finite = hn::Mul(hn::BitCast(d, hn::ShiftLeft<13>(magnitude)), scale);
        const auto special = hn::Gt(hn::BitCast(IntTag(), magnitude), hn::Set(IntTag(), 0x7bff));
        const auto exponent =
            hn::IfThenElseZero(special, hn::BitCast(IntTag(), hn::Set(wide, 0x7f800000u)));
        const auto value = hn::Or(hn::BitCast(wide, finite), hn::BitCast(wide, exponent));
        hn::StoreU(hn::BitCast(d, hn::Or(value, sign)), d, destination + i);
    }
    for (; i < count; ++i) {
        destination[i] = load_element(source + 2 * i, TALUS_CP_FP16);
    }
}

void Bf16Row(const std::uint8_t* source, std::size_t count, float* destination) {
    for (std::size_t i = 0; i < count; ++i) {
        std::uint16_t bits;
        std::memcpy(&bits, source + 2 * i, 2);
        const std::uint32_t wide = std::uint32_t{bits} << 16;
        std::memcpy(destination + i, &wide, 4);
    }
}

void AddRow(const float* source, std::size_t count, float* accumulator) {
    const FloatTag d;
    const std::size_t lanes = hn::Lanes(d);
    std::size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
        hn::StoreU(hn::Add(hn::LoadU(d, accumulator + i), hn::LoadU(d, source + i)), d,
                   accumulator + i);
    }
    for (; i < count; ++i) {
        accumulator[i] = accumulator[i] + source[i];
    }
}

/// Rows of `bank` from `row` on: kRows x (2 vectors from column `col`), over `steps` of k.
/// a: [row][step], pitch kBlock; b: [step][kBankColumns].
template <int kRows>
HWY_INLINE void float_tile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                           std::size_t steps, float* HWY_RESTRICT bank, std::size_t col) {
    const FloatTag d;
    const std::size_t lanes = hn::Lanes(d);
    hn::Vec<FloatTag> left[kRows];
    hn::Vec<FloatTag> right[kRows];
    for (int r = 0; r < kRows; ++r) {
        left[r] = hn::Load(d, bank + r * kBankColumns + col);
        right[r] = hn::Load(d, bank + r * kBankColumns + col + lanes);
    }
    for (std::size_t k = 0; k < steps; ++k) {
        const auto b_left = hn::Load(d, b + k * kBankColumns + col);
        const auto b_right = hn::Load(d, b + k * kBankColumns + col + lanes);
        for (int r = 0; r < kRows; ++r) {
            const auto value = hn::Set(d, a[r * kBlock + k]);
            left[r] = fused(value, b_left, left[r]);
            right[r] = fused(value, b_right, right[r]);
        }
    }
    for (int r = 0; r < kRows; ++r) {
        hn::Store(left[r], d, bank + r * kBankColumns + col);
        hn::Store(right[r], d, bank + r * kBankColumns + col + lanes);
    }
}

template <int kRows>
HWY_INLINE void int_tile(const std::int32_t* HWY_RESTRICT a, const std::int32_t* HWY_RESTRICT b,
                         std::size_t steps, std::int32_t* HWY_RESTRICT bank, std::size_t col) {
    const IntTag d;
    hn::Vec<IntTag> acc[kRows];
    for (int r = 0; r < kRows; ++r) {
        acc[r] = hn::Load(d, bank + r * kBankColumns + col);
    }
    for (std::size_t k = 0; k < steps; ++k) {
        const auto b_k = hn::Load(d, b + k * kBankColumns + col);
        for (int r = 0; r < kRows; ++r) {
            acc[r] = hn::Add(acc[r], hn::Mul(hn::Set(d, a[r * kBlock + k]), b_k));
        }
    }
    for (int r = 0; r < kRows; ++r) {
        hn::Store(acc[r], d, bank + r * kBankColumns + col);
    }
}

/// Transposes rows of k into [k][kBankColumns]; columns from n on are zero.
template <typename T>
HWY_INLINE void transpose(const T* HWY_RESTRICT rows, std::size_t n, std::size_t steps,
                          T* HWY_RESTRICT out) {
    if (n < kBankColumns) {
        std::fill(out, out + steps * kBankColumns, T{});
    }
    constexpr std::size_t kTile = 8;
    std::size_t j = 0;
    for (; j + kTile <= n; j += kTile) {
        const T* HWY_RESTRICT in = rows + j * kBlock;
        for (std::size_t k = 0; k < steps; ++k) {
            for (std::size_t c = 0; c < kTile; ++c) {
                out[k * kBankColumns + j + c] = in[c * kBlock + k];
            }
        }
    }
    for (; j < n; ++j) {
        for (std::size_t k = 0; k < steps; ++k) {
            out[k * kBankColumns + j] = rows[j * kBlock + k];
        }
    }
}

template <typename T>
struct Scratch {
    HWY_ALIGN T a[TALUS_RE_BANK_ROWS * kBlock];
    HWY_ALIGN T rows[TALUS_RE_BANK_COLS * kBlock];
    HWY_ALIGN T b[kBlock * kBankColumns];
    HWY_ALIGN T bank[TALUS_RE_BANK_ROWS * kBankColumns];
};

template <int kRows>
HWY_INLINE void float_rows(Scratch<float>& s, std::size_t row, std::size_t n, std::size_t steps) {
    const std::size_t width = 2 * hn::Lanes(FloatTag());
    for (std::size_t col = 0; col < n; col += width) {
        float_tile<kRows>(s.a + row * kBlock, s.b, steps, s.bank + row * kBankColumns, col);
    }
}

template <int kRows>
HWY_INLINE void int_rows(Scratch<std::int32_t>& s, std::size_t row, std::size_t n,
                         std::size_t steps) {
    for (std::size_t col = 0; col < n; col += hn::Lanes(IntTag())) {
        int_tile<kRows>(s.a + row * kBlock, s.b, steps, s.bank + row * kBankColumns, col);
    }
}

void accumulate_blocks(const Matmul& args, Scratch<float>& s) {
    const auto unpack = args.type == TALUS_CP_FP16 ? Fp16Row : Bf16Row;
    for (std::size_t k0 = 0; k0 < args.k; k0 += kBlock) {
        const std::size_t steps = std::min<std::size_t>(kBlock, args.k - k0);
        for (std::size_t i = 0; i < args.m; ++i) {
            unpack(args.a + i * args.a_pitch + 2 * k0, steps, s.a + i * kBlock);
        }
        for (std::size_t j = 0; j < args.n; ++j) {
            unpack(args.b + j * args.b_pitch + 2 * k0, steps, s.rows + j * kBlock);
        }
        transpose(s.rows, args.n, steps, s.b);
        std::size_t row = 0;
        for (; row + 6 <= args.m; row += 6) {
            float_rows<6>(s, row, args.n, steps);
        }
        for (; row + 2 <= args.m; row += 2) {
            float_rows<2>(s, row, args.n, steps);
        }
        if (row < args.m) {
            float_rows<1>(s, row, args.n, steps);
        }
    }
}

void accumulate_blocks(const Matmul& args, Scratch<std::int32_t>& s) {
    const auto unpack = [](const std::uint8_t* source, std::size_t steps, std::int32_t* out) {
        for (std::size_t k = 0; k < steps; ++k) {
            out[k] = static_cast<std::int8_t>(source[k]);
        }
    };
    for (std::size_t k0 = 0; k0 < args.k; k0 += kBlock) {
        const std::size_t steps = std::min<std::size_t>(kBlock, args.k - k0);
        for (std::size_t i = 0; i < args.m; ++i) {
            unpack(args.a + i * args.a_pitch + k0, steps, s.a + i * kBlock);
        }
        for (std::size_t j = 0; j < args.n; ++j) {
            unpack(args.b + j * args.b_pitch + k0, steps, s.rows + j * kBlock);
        }
        transpose(s.rows, args.n, steps, s.b);
        std::size_t row = 0;
        for (; row + 8 <= args.m; row += 8) {
            int_rows<8>(s, row, args.n, steps);
        }
        for (; row < args.m; ++row) {
            int_rows<1>(s, row, args.n, steps);
        }
    }
}

template <typename T>
void run_typed(const Matmul& args, Scratch<T>& s) {
    for (std::size_t i = 0; i < args.m; ++i) {
        T* row = s.bank + i * kBankColumns;
        if (args.accumulate) {
            std::memcpy(row, args.bank + i * kBankColumns, 4 * kBankColumns);
        } else {
            std::memset(row, 0, 4 * kBankColumns);
        }
    }
    accumulate_blocks(args, s);
    for (std::size_t i = 0; i < args.m; ++i) {
        for (std::size_t j = 0; j < args.n; ++j) {
            const T value = s.bank[i * kBankColumns + j];
            // Only a NaN differs from itself.
            args.bank[i * kBankColumns + j] =
                value != value ? kCanonicalNan : std::bit_cast<std::uint32_t>(value);
        }
    }
}

void RunMatmul(const Matmul& args) {
    if (args.type == TALUS_CP_INT8) {
        static thread_local Scratch<std::int32_t> scratch;
        run_typed(args, scratch);
    } else {
        static thread_local Scratch<float> scratch;
        run_typed(args, scratch);
    }
}

} // namespace talus::sim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace talus::sim {

HWY_EXPORT(RunMatmul);
HWY_EXPORT(Fp16Row);
HWY_EXPORT(Bf16Row);
HWY_EXPORT(AddRow);

void dpe_matmul(const Matmul& args) {
    HWY_DYNAMIC_DISPATCH(RunMatmul)(args);
}
void fp16_to_fp32_row(const std::uint8_t* source, std::size_t count, float* destination) {
    HWY_DYNAMIC_DISPATCH(Fp16Row)(source, count, destination);
}
void bf16_to_fp32_row(const std::uint8_t* source, std::size_t count, float* destination) {
    HWY_DYNAMIC_DISPATCH(Bf16Row)(source, count, destination);
}
void add_row(const float* source, std::size_t count, float* accumulator) {
    HWY_DYNAMIC_DISPATCH(AddRow)(source, count, accumulator);
}

} // namespace talus::sim
#endif
