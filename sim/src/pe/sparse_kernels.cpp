// The 2:4 sparse product, compiled once per instruction set that Highway knows.
#include "vector_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "pe/sparse_kernels.cpp" // NOLINT: Highway includes this file again
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "numeric.hpp"

HWY_BEFORE_NAMESPACE();
namespace talus::sim::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr std::size_t kBankRows = TALUS_RE_BANK_ROWS;
inline constexpr std::size_t kSparseBlock =
    256; ///< elements of k of A that are transposed at a time

inline float Value(const std::uint8_t* source, unsigned type, float) {
    return load_element(source, type);
}
inline std::int32_t Value(const std::uint8_t* source, unsigned, std::int32_t) {
    return static_cast<std::int8_t>(*source);
}

template <class D, class V>
HWY_INLINE V Accumulate(D, V a, V b, V acc, std::int32_t) {
    return hn::Add(acc, hn::Mul(a, b));
}
/// One rounding, whether or not the host has the instruction.
template <class D, class V>
HWY_INLINE V Accumulate(D d, V a, V b, V acc, float) {
#if HWY_NATIVE_FMA
    (void)d;
    return hn::MulAdd(a, b, acc);
#else
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

/// Lanes are rows of A: an element of B meets all of them at once.
template <typename T>
void Run(const Matmul& args) {
    const hn::CappedTag<T, 16> d;
    const std::size_t lanes = hn::Lanes(d);
    const std::size_t bytes = element_bytes(args.type);
    const std::size_t values = args.k / 2 * bytes;
    HWY_ALIGN static thread_local T a[kSparseBlock * kBankRows];
    HWY_ALIGN static thread_local T sums[TALUS_RE_BANK_COLS * kBankRows];
    std::fill(std::begin(sums), std::end(sums), T{});
    if (args.accumulate) {
        for (std::size_t i = 0; i < args.m; ++i) {
            for (std::size_t j = 0; j < args.n; ++j) {
                sums[j * kBankRows + i] = std::bit_cast<T>(args.bank[i * TALUS_RE_BANK_COLS + j]);
            }
        }
    }
    for (std::size_t k0 = 0; k0 < args.k; k0 += kSparseBlock) {
        const std::size_t steps = std::min<std::size_t>(kSparseBlock, args.k - k0);
        for (std::size_t i = 0; i < args.m; ++i) {
            const std::uint8_t* row = args.a + i * args.a_pitch + k0 * bytes;
            for (std::size_t k = 0; k < steps; ++k) {
                a[k * kBankRows + i] = Value(row + k * bytes, args.type, T{});
            }
        }
        for (std::size_t j = 0; j < args.n; ++j) {
            const std::uint8_t* row = args.b + j * args.b_pitch;
            for (std::size_t stored = k0 / 2; stored < (k0 + steps) / 2; ++stored) {
                const std::size_t group = stored / 2;
                const unsigned pair = row[values + group / 2] >> (group % 2 * 4) & 15u;
                const unsigned position = stored % 2 == 0 ? pair & 3u : pair >> 2;
                const T* x = a + (4 * group + position - k0) * kBankRows;
                const auto b = hn::Set(d, Value(row + stored * bytes, args.type, T{}));
                T* acc = sums + j * kBankRows;
                for (std::size_t i = 0; i < args.m; i += lanes) {
                    const auto next =
                        Accumulate(d, hn::Load(d, x + i), b, hn::Load(d, acc + i), T{});
                    hn::Store(next, d, acc + i);
                }
            }
        }
    }
    for (std::size_t i = 0; i < args.m; ++i) {
        for (std::size_t j = 0; j < args.n; ++j) {
            const T value = sums[j * kBankRows + i];
            // Only a NaN differs from itself.
            args.bank[i * TALUS_RE_BANK_COLS + j] =
                value != value ? kCanonicalNan : std::bit_cast<std::uint32_t>(value);
        }
    }
}

void RunSparse(const Matmul& args) {
    if (args.type == TALUS_CP_INT8) {
        Run<std::int32_t>(args);
    } else {
        Run<float>(args);
    }
}

} // namespace talus::sim::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace talus::sim {

HWY_EXPORT(RunSparse);

void dpe_matmul_sparse(const Matmul& args) {
    HWY_DYNAMIC_DISPATCH(RunSparse)(args);
}

} // namespace talus::sim
#endif
