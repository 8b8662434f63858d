// The DPE's arithmetic. Compiled once per instruction set that Highway knows; the best one is
// chosen when first called.
//
// An element's chain of fma has one order, but elements are independent: vectors run along the
// columns of the bank, and several rows are under way at once. For that A is unpacked to rows and B
// to columns, a slice of k at a time. Tiles of one block share both, so a batch keeps them.
#include "vector_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pe/matmul_kernels.cpp" // NOLINT: Highway includes this file again
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "half-inl.hpp"
#include "numeric.hpp"

HWY_BEFORE_NAMESPACE();
namespace talus::sim::HWY_NAMESPACE {

inline constexpr std::size_t kRowsOfBank = TALUS_RE_BANK_ROWS;
inline constexpr std::size_t kColumns = TALUS_RE_BANK_COLS;
inline constexpr std::size_t kSlice = 128; ///< steps of k that are unpacked at a time; even
inline constexpr std::size_t kPairs = kSlice / 2;

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

/// Steps [k0, k0 + steps) of the rows of one operand, unpacked. Floating point: FP32, A as
/// [row][kSlice], B as [step][kColumns]. INT8: pairs of steps as two 16-bit integers in a word, A
/// as [row][kPairs], B as [pair][kColumns]; an odd last step is paired with zero.
struct Unpacked {
    const std::uint8_t* source = nullptr; ///< of step k0; null: nothing yet
    std::size_t pitch = 0;
    std::size_t rows = 0;
    std::size_t steps = 0;
    HWY_ALIGN float values[kRowsOfBank * kSlice];        ///< floating point
    HWY_ALIGN std::uint32_t words[kRowsOfBank * kPairs]; ///< INT8

    bool holds(const std::uint8_t* from, std::size_t from_pitch, std::size_t count,
               std::size_t length) const {
        return source == from && pitch == from_pitch && rows == count && steps == length;
    }
};

struct Scratch {
    Unpacked a;
    Unpacked b[2]; ///< a block has up to two columns of tiles that alternate
    std::size_t next_b = 0;
    HWY_ALIGN std::uint32_t pairs[kPairs * kColumns];
    HWY_ALIGN std::int16_t wide[kColumns * kSlice]; ///< rows of INT8 as 16-bit integers
    HWY_ALIGN std::uint32_t bank[kRowsOfBank * kColumns];
};

/// rows[j][k] of 16 bits -> out[k / 2][j], two steps to a word.
HWY_INLINE void pair_columns(const std::uint8_t* rows, std::size_t pitch, std::size_t n,
                             std::size_t steps, std::uint32_t* HWY_RESTRICT out) {
    std::size_t whole = 0;   // vectors of 8 steps
    std::size_t columns = 0; // done by vectors
#if HWY_TARGET != HWY_SCALAR
    const hn::Full128<std::uint8_t> bytes;
    const hn::Full128<std::uint32_t> d;
    const hn::Full128<std::uint64_t> wide;
    whole = steps / 8;
    columns = n & ~std::size_t{3};
    for (std::size_t j = 0; j < columns; j += 4) {
        const std::uint8_t* row = rows + j * pitch;
        for (std::size_t q = 0; q < whole; ++q) {
            const std::uint8_t* at = row + 16 * q;
            const auto v0 = hn::BitCast(d, hn::LoadU(bytes, at));
            const auto v1 = hn::BitCast(d, hn::LoadU(bytes, at + pitch));
            const auto v2 = hn::BitCast(d, hn::LoadU(bytes, at + 2 * pitch));
            const auto v3 = hn::BitCast(d, hn::LoadU(bytes, at + 3 * pitch));
            const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, v0, v1));
            const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, v2, v3));
            const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, v0, v1));
            const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, v2, v3));
            std::uint32_t* to = out + 4 * q * kColumns + j;
            hn::Store(hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), d, to);
            hn::Store(hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), d, to + kColumns);
            hn::Store(hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), d,
                      to + 2 * kColumns);
            hn::Store(hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), d,
                      to + 3 * kColumns);
        }
    }
#endif
    for (std::size_t j = 0; j < n; ++j) {
        for (std::size_t k = j < columns ? 8 * whole : 0; k < steps; k += 2) {
            std::uint16_t even;
            std::uint16_t odd = 0;
            std::memcpy(&even, rows + j * pitch + 2 * k, 2);
            if (k + 1 < steps) {
                std::memcpy(&odd, rows + j * pitch + 2 * k + 2, 2);
            }
            out[k / 2 * kColumns + j] = even | std::uint32_t{odd} << 16;
        }
    }
}

void unpack_a(const std::uint8_t* source, std::size_t pitch, unsigned type, Unpacked& to) {
    for (std::size_t row = 0; row < to.rows; ++row) {
        const std::uint8_t* from = source + row * pitch;
        if (type != TALUS_CP_INT8) {
            half_row(from, to.steps, type, to.values + row * kSlice);
            continue;
        }
        std::uint32_t* out = to.words + row * kPairs;
        for (std::size_t k = 0; k < to.steps; k += 2) {
            const auto even = static_cast<std::uint16_t>(static_cast<std::int8_t>(from[k]));
            const auto odd = static_cast<std::uint16_t>(
                k + 1 < to.steps ? static_cast<std::int8_t>(from[k + 1]) : 0);
            out[k / 2] = even | std::uint32_t{odd} << 16;
        }
    }
}

void unpack_b(const std::uint8_t* source, std::size_t pitch, unsigned type, Scratch& s,
              Unpacked& to) {
    if (type == TALUS_CP_INT8) {
        for (std::size_t row = 0; row < to.rows; ++row) {
            for (std::size_t k = 0; k < to.steps; ++k) {
                s.wide[row * kSlice + k] = static_cast<std::int8_t>(source[row * pitch + k]);
            }
        }
        pair_columns(reinterpret_cast<const std::uint8_t*>(s.wide), 2 * kSlice, to.rows, to.steps,
                     to.words);
        return;
    }
    pair_columns(source, pitch, to.rows, to.steps, s.pairs);
    const FloatTag d;
    const WordTag words;
    for (std::size_t pair = 0; 2 * pair < to.steps; ++pair) {
        float* even = to.values + 2 * pair * kColumns;
        for (std::size_t col = 0; col < kColumns; col += hn::Lanes(d)) {
            const auto bits = hn::Load(words, s.pairs + pair * kColumns + col);
            if (type == TALUS_CP_FP16) {
                hn::Store(from_fp16(hn::And(bits, hn::Set(words, 0xffffu))), d, even + col);
                hn::Store(from_fp16(hn::ShiftRight<16>(bits)), d, even + kColumns + col);
            } else {
                hn::Store(from_bf16(bits), d, even + col);
                hn::Store(hn::BitCast(d, hn::And(bits, hn::Set(words, 0xffff0000u))), d,
                          even + kColumns + col);
            }
        }
    }
}

/// kRows rows of the bank x two vectors from column `col`, over `steps` of k.
template <int kRows>
HWY_INLINE void float_tile(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                           std::size_t steps, std::uint32_t* HWY_RESTRICT bank, std::size_t col) {
    const FloatTag d;
    const WordTag words;
    const std::size_t lanes = hn::Lanes(d);
    hn::Vec<FloatTag> left[kRows];
    hn::Vec<FloatTag> right[kRows];
    for (int r = 0; r < kRows; ++r) {
        left[r] = hn::BitCast(d, hn::LoadU(words, bank + r * kColumns + col));
        right[r] = hn::BitCast(d, hn::LoadU(words, bank + r * kColumns + col + lanes));
    }
    for (std::size_t k = 0; k < steps; ++k) {
        const auto b_left = hn::Load(d, b + k * kColumns + col);
        const auto b_right = hn::Load(d, b + k * kColumns + col + lanes);
        for (int r = 0; r < kRows; ++r) {
            const auto value = hn::Set(d, a[r * kSlice + k]);
            left[r] = fused(value, b_left, left[r]);
            right[r] = fused(value, b_right, right[r]);
        }
    }
    const auto store = [&](hn::Vec<FloatTag> value, std::uint32_t* to) {
        const auto bits = hn::BitCast(words, value);
        const auto nan = hn::RebindMask(words, hn::IsNaN(value));
        hn::StoreU(hn::IfThenElse(nan, hn::Set(words, kCanonicalNan), bits), words, to);
    };
    for (int r = 0; r < kRows; ++r) {
        store(left[r], bank + r * kColumns + col);
        store(right[r], bank + r * kColumns + col + lanes);
    }
}

/// acc + both products of each pair, wrapping.
HWY_INLINE hn::Vec<IntTag> dot_pairs(hn::Vec<WordTag> a, hn::Vec<WordTag> b, hn::Vec<IntTag> acc) {
    const IntTag d;
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR
    // In order of lanes on x86: one multiply-add of neighbouring 16-bit integers.
    const hn::Repartition<std::int16_t, IntTag> half;
    auto unused = hn::Zero(d);
    return hn::ReorderWidenMulAccumulate(d, hn::BitCast(half, a), hn::BitCast(half, b), acc,
                                         unused);
#else
    const auto low = [&](hn::Vec<WordTag> x) {
        return hn::ShiftRight<16>(hn::BitCast(d, hn::ShiftLeft<16>(x)));
    };
    const auto high = [&](hn::Vec<WordTag> x) { return hn::ShiftRight<16>(hn::BitCast(d, x)); };
    return hn::Add(acc, hn::Add(hn::Mul(low(a), low(b)), hn::Mul(high(a), high(b))));
#endif
}

template <int kRows>
HWY_INLINE void int_tile(const std::uint32_t* HWY_RESTRICT a, const std::uint32_t* HWY_RESTRICT b,
                         std::size_t pairs, std::uint32_t* HWY_RESTRICT bank, std::size_t col) {
    const IntTag d;
    const WordTag words;
    const std::size_t lanes = hn::Lanes(d);
    hn::Vec<IntTag> left[kRows];
    hn::Vec<IntTag> right[kRows];
    for (int r = 0; r < kRows; ++r) {
        left[r] = hn::BitCast(d, hn::LoadU(words, bank + r * kColumns + col));
        right[r] = hn::BitCast(d, hn::LoadU(words, bank + r * kColumns + col + lanes));
    }
    for (std::size_t k = 0; k < pairs; ++k) {
        const auto b_left = hn::Load(words, b + k * kColumns + col);
        const auto b_right = hn::Load(words, b + k * kColumns + col + lanes);
        for (int r = 0; r < kRows; ++r) {
            const auto value = hn::Set(words, a[r * kPairs + k]);
            left[r] = dot_pairs(value, b_left, left[r]);
            right[r] = dot_pairs(value, b_right, right[r]);
        }
    }
    for (int r = 0; r < kRows; ++r) {
        hn::StoreU(hn::BitCast(words, left[r]), words, bank + r * kColumns + col);
        hn::StoreU(hn::BitCast(words, right[r]), words, bank + r * kColumns + col + lanes);
    }
}

template <int kRows>
HWY_INLINE void rows_of_tile(Unpacked& a, Unpacked& b, std::size_t row, std::size_t n,
                             unsigned type, std::uint32_t* bank) {
    for (std::size_t col = 0; col < n; col += 2 * hn::Lanes(FloatTag())) {
        if (type == TALUS_CP_INT8) {
            int_tile<kRows>(a.words + row * kPairs, b.words, (a.steps + 1) / 2,
                            bank + row * kColumns, col);
        } else {
            float_tile<kRows>(a.values + row * kSlice, b.values, a.steps, bank + row * kColumns,
                              col);
        }
    }
}

/// Operands that the next slice will unpack. They come from memory that other PEs' work has pushed
/// out of the host's caches.
struct Ahead {
    const Matmul* product = nullptr; ///< null: nothing
    std::size_t k0 = 0;
    std::size_t steps = 0;

    /// The part that belongs to rows [row, end) of either operand.
    HWY_INLINE void prefetch(std::size_t row, std::size_t end) const {
        if (product == nullptr) {
            return;
        }
        const std::size_t element = element_bytes(product->type);
        const auto rows = [&](const std::uint8_t* from, std::size_t pitch, std::size_t count) {
            for (std::size_t r = row; r < std::min(end, count); ++r) {
                for (std::size_t byte = 0; byte < steps * element; byte += 64) {
                    __builtin_prefetch(from + r * pitch + k0 * element + byte);
                }
            }
        };
        rows(product->a, product->a_pitch, product->m);
        rows(product->b, product->b_pitch, product->n);
    }
};

/// One slice of one product. `n` is a multiple of two vectors, or the bank has columns to spare.
HWY_INLINE void multiply_slice(Unpacked& a, Unpacked& b, unsigned type, std::uint32_t* bank,
                               const Ahead& ahead) {
    // As many accumulators as the registers hold beside two vectors of B.
    constexpr int kAtOnce = HWY_TARGET <= HWY_AVX3 ? 8 : 6;
    std::size_t row = 0;
    for (; row + kAtOnce <= a.rows; row += kAtOnce) {
        ahead.prefetch(row, row + kAtOnce);
        rows_of_tile<kAtOnce>(a, b, row, b.rows, type, bank);
    }
    ahead.prefetch(row, kRowsOfBank);
    for (; row + 2 <= a.rows; row += 2) {
        rows_of_tile<2>(a, b, row, b.rows, type, bank);
    }
    if (row < a.rows) {
        rows_of_tile<1>(a, b, row, b.rows, type, bank);
    }
}

void multiply(const Matmul& args, std::size_t k0, std::size_t steps, const Ahead& ahead,
              Scratch& s) {
    const std::size_t element = element_bytes(args.type);
    const std::uint8_t* a_from = args.a + k0 * element;
    const std::uint8_t* b_from = args.b + k0 * element;
    if (!s.a.holds(a_from, args.a_pitch, args.m, steps)) {
        s.a.source = a_from;
        s.a.pitch = args.a_pitch;
        s.a.rows = args.m;
        s.a.steps = steps;
        unpack_a(a_from, args.a_pitch, args.type, s.a);
    }
    Unpacked* b = nullptr;
    for (Unpacked& kept : s.b) {
        if (kept.holds(b_from, args.b_pitch, args.n, steps)) {
            b = &kept;
        }
    }
    if (b == nullptr) {
        b = &s.b[s.next_b];
        s.next_b ^= 1;
        b->source = b_from;
        b->pitch = args.b_pitch;
        b->rows = args.n;
        b->steps = steps;
        unpack_b(b_from, args.b_pitch, args.type, s, *b);
    }
    if (args.n == kColumns) {
        multiply_slice(s.a, *b, args.type, args.bank, ahead);
        return;
    }
    // Columns from n on are not the command's; those of B hold anything.
    for (std::size_t i = 0; i < args.m; ++i) {
        std::memcpy(s.bank + i * kColumns, args.bank + i * kColumns, 4ull * args.n);
    }
    multiply_slice(s.a, *b, args.type, s.bank, ahead);
    for (std::size_t i = 0; i < args.m; ++i) {
        std::memcpy(args.bank + i * kColumns, s.bank + i * kColumns, 4ull * args.n);
    }
}

/// Products of one k and type in different banks: their slices may alternate. `after` (or null)
/// comes next.
void RunGroup(const Matmul* group, std::size_t count, const Matmul* after) {
    static thread_local Scratch scratch;
    scratch.a.source = nullptr; // what it points to may have changed
    scratch.b[0].source = nullptr;
    scratch.b[1].source = nullptr;
    for (std::size_t e = 0; e < count; ++e) {
        for (std::size_t i = 0; i < group[e].m && !group[e].accumulate; ++i) {
            std::memset(group[e].bank + i * kColumns, 0, 4ull * group[e].n);
        }
    }
    for (std::size_t k0 = 0; k0 < group->k; k0 += kSlice) {
        const std::size_t steps = std::min<std::size_t>(kSlice, group->k - k0);
        for (std::size_t e = 0; e < count; ++e) {
            Ahead ahead{after, 0, 0};
            if (e + 1 < count) {
                ahead = {group + e + 1, k0, steps};
            } else if (k0 + kSlice < group->k) {
                ahead = {group, k0 + kSlice, std::min<std::size_t>(kSlice, group->k - k0 - kSlice)};
            } else if (after != nullptr) {
                ahead.steps = std::min<std::size_t>(kSlice, after->k);
            }
            multiply(group[e], k0, steps, ahead, scratch);
        }
    }
}

} // namespace talus::sim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace talus::sim {

HWY_EXPORT(RunGroup);

void dpe_matmul_batch(const Matmul* batch, std::size_t count) {
    for (std::size_t first = 0; first < count;) {
        std::size_t end = first + 1;
        const auto joins = [&](const Matmul& next) {
            return next.k == batch[first].k && next.type == batch[first].type &&
                   std::none_of(batch + first, batch + end,
                                [&](const Matmul& other) { return other.bank == next.bank; });
        };
        while (end < count && joins(batch[end])) {
            ++end;
        }
        HWY_DYNAMIC_DISPATCH(RunGroup)
        (batch + first, end - first, end < count ? batch + end : nullptr);
        first = end;
    }
}

void dpe_matmul(const Matmul& args) {
    dpe_matmul_batch(&args, 1);
}

} // namespace talus::sim
#endif
