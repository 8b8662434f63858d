// Zvfh, which qemu 7.2 lacks, against plain arithmetic on doubles, over all halves: conversions,
// classification, comparison, and the estimates, which must be those of single precision.
#include <cmath>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "half_reference.hpp"
#include "machine.hpp"

namespace talus::sim {
namespace {

using reference::half_value;
using reference::kDz;
using reference::kNv;
using reference::kNx;
using reference::kOf;
using reference::round_half;

constexpr unsigned kBatch = 32; ///< halves in a register

/// Runs one program over and over: operands in by register, results out.
class Batches {
  public:
    Batches(std::initializer_list<std::uint32_t> code, unsigned frm = 0) : length_(code.size()) {
        m_.put(Machine::kBase, code);
        m_.hart->invalidate_code(Machine::kBase, 256);
        m_.hart->write_csr(0x305, Machine::kHandler);
        m_.hart->write_csr(0x002, frm);
    }
    template <class T>
    void set(unsigned reg, unsigned i, T value) {
        std::memcpy(at<T>(reg, i), &value, sizeof value);
    }
    template <class T>
    T get(unsigned reg, unsigned i) {
        T value;
        std::memcpy(&value, at<T>(reg, i), sizeof value);
        return value;
    }
    /// Returns the flags that the program raised.
    unsigned run() {
        m_.hart->write_csr(0x001, 0);
        m_.hart->set_pc(Machine::kBase);
        for (std::size_t i = 0; i < length_; ++i)
            m_.hart->step();
        EXPECT_TRUE(m_.port.traps.empty());
        return static_cast<unsigned>(m_.csr(0x001));
    }

  private:
    template <class T>
    std::uint8_t* at(unsigned reg, unsigned i) {
        return m_.hart->v(reg + static_cast<unsigned>(i * sizeof(T) / kVlenBytes)).data() +
               i * sizeof(T) % kVlenBytes;
    }
    Machine m_{true};
    std::size_t length_;
};

std::uint32_t set_type(unsigned sew, unsigned lmul) {
    return assemble("vsetvli",
                    {.rd = 1, .rs1 = 0, .imm = static_cast<std::int32_t>(sew << 3 | lmul)});
}
constexpr unsigned kM1 = 0, kM2 = 1, kMf2 = 7;

double to_integer(double value, unsigned rm) {
    switch (rm) {
    case 0:
        return std::nearbyint(value);
    case 1:
        return std::trunc(value);
    case 2:
        return std::floor(value);
    case 3:
        return std::ceil(value);
    default:
        return std::round(value); // to nearest, halves away from zero
    }
}

/// Every half to an integer type, in the rounding mode or by truncation.
template <class Int>
void check_to_integer(const char* name, std::uint32_t type, unsigned frm, unsigned rm) {
    Batches batches({type, assemble(name, {.rd = 8, .rs2 = 16})}, frm);
    for (unsigned first = 0; first < 0x10000; first += kBatch) {
        for (unsigned i = 0; i < kBatch; ++i)
            batches.set<std::uint16_t>(16, i, static_cast<std::uint16_t>(first + i));
        const unsigned flags = batches.run();
        unsigned expected_flags = 0;
        for (unsigned i = 0; i < kBatch; ++i) {
            constexpr double kMin = std::numeric_limits<Int>::min();
            constexpr double kMax = std::numeric_limits<Int>::max();
            const double value = half_value(static_cast<std::uint16_t>(first + i));
            double expected = to_integer(value, rm);
            if (std::isnan(value) || expected < kMin || expected > kMax) {
                expected_flags |= kNv;
                expected = value < 0 ? kMin : kMax;
            } else if (expected != value) {
                expected_flags |= kNx;
            }
            ASSERT_EQ(batches.get<Int>(8, i), static_cast<Int>(expected))
                << name << " of half " << std::hex << first + i << " in mode " << rm;
        }
        ASSERT_EQ(flags, expected_flags) << name << " from " << std::hex << first;
    }
}

TEST(Zvfh, AllHalvesToIntegers) {
    for (unsigned rm = 0; rm < 5; ++rm) {
        check_to_integer<std::int16_t>("vfcvt.x.f.v", set_type(1, kM1), rm, rm);
        check_to_integer<std::uint16_t>("vfcvt.xu.f.v", set_type(1, kM1), rm, rm);
        check_to_integer<std::int8_t>("vfncvt.x.f.w", set_type(0, kMf2), rm, rm);
        check_to_integer<std::uint8_t>("vfncvt.xu.f.w", set_type(0, kMf2), rm, rm);
        check_to_integer<std::int32_t>("vfwcvt.x.f.v", set_type(1, kM1), rm, rm);
        check_to_integer<std::uint32_t>("vfwcvt.xu.f.v", set_type(1, kM1), rm, rm);
    }
    check_to_integer<std::int16_t>("vfcvt.rtz.x.f.v", set_type(1, kM1), 3, 1);
    check_to_integer<std::uint16_t>("vfcvt.rtz.xu.f.v", set_type(1, kM1), 2, 1);
    check_to_integer<std::int8_t>("vfncvt.rtz.x.f.w", set_type(0, kMf2), 3, 1);
    check_to_integer<std::uint8_t>("vfncvt.rtz.xu.f.w", set_type(0, kMf2), 2, 1);
    check_to_integer<std::int32_t>("vfwcvt.rtz.x.f.v", set_type(1, kM1), 3, 1);
    check_to_integer<std::uint32_t>("vfwcvt.rtz.xu.f.v", set_type(1, kM1), 2, 1);
}

/// Values of a source type to halves; `next` supplies them.
template <class From>
void check_to_half(const char* name, std::uint32_t type, unsigned rm, unsigned batches_to_run,
                   const std::function<From()>& next) {
    Batches batches({type, assemble(name, {.rd = 8, .rs2 = 16})}, rm);
    for (unsigned batch = 0; batch < batches_to_run; ++batch) {
        std::array<From, kBatch> source;
        for (unsigned i = 0; i < kBatch; ++i)
            batches.set<From>(16, i, source[i] = next());
        const unsigned flags = batches.run();
        unsigned expected_flags = 0;
        for (unsigned i = 0; i < kBatch; ++i) {
            const auto value = static_cast<double>(source[i]);
            ASSERT_EQ(batches.get<std::uint16_t>(8, i),
                      round_half(value, 0, rm, expected_flags, std::signbit(value)))
                << name << " of " << value << " in mode " << rm;
        }
        ASSERT_EQ(flags, expected_flags) << name;
    }
}

TEST(Zvfh, IntegersAndSinglesToHalves) {
    std::mt19937_64 engine(7);
    for (unsigned rm = 0; rm < 5; ++rm) {
        std::uint16_t count = 0;
        check_to_half<std::int16_t>("vfcvt.f.x.v", set_type(1, kM1), rm, 2048,
                                    [&] { return static_cast<std::int16_t>(count++); });
        check_to_half<std::uint16_t>("vfcvt.f.xu.v", set_type(1, kM1), rm, 2048,
                                     [&] { return count++; });
        check_to_half<std::int8_t>("vfwcvt.f.x.v", set_type(0, kMf2), rm, 8,
                                   [&] { return static_cast<std::int8_t>(count++); });
        check_to_half<std::uint8_t>("vfwcvt.f.xu.v", set_type(0, kMf2), rm, 8,
                                    [&] { return static_cast<std::uint8_t>(count++); });
        const auto word = [&] {
            return static_cast<std::uint32_t>(engine() >> (32 + engine() % 32));
        };
        check_to_half<std::int32_t>("vfncvt.f.x.w", set_type(1, kM1), rm, 500,
                                    [&] { return static_cast<std::int32_t>(word() - word()); });
        check_to_half<std::uint32_t>("vfncvt.f.xu.w", set_type(1, kM1), rm, 500, word);
        // Singles around all halves, on rounding boundaries and beyond the range.
        check_to_half<float>("vfncvt.f.f.w", set_type(1, kM1), rm, 4000, [&] {
            const auto half = static_cast<std::uint16_t>(engine());
            float value =
                std::isfinite(half_value(half)) ? static_cast<float>(half_value(half)) : 7e4f;
            for (std::uint64_t kind = engine() % 4; kind > 1; --kind)
                value += std::ldexp(value, -11) * static_cast<float>(engine() % 3);
            return engine() % 8 ? value : std::nextafter(value, 0.0f);
        });
    }
}

TEST(Zvfh, RoundToOdd) {
    std::mt19937_64 engine(8);
    Batches batches({set_type(1, kM1), assemble("vfncvt.rod.f.f.w", {.rd = 8, .rs2 = 16})});
    for (unsigned batch = 0; batch < 4000; ++batch) {
        std::array<float, kBatch> source;
        for (unsigned i = 0; i < kBatch; ++i) {
            const auto bits = static_cast<std::uint32_t>(engine());
            source[i] = std::ldexp(static_cast<float>(bits & 0xffffff) + 0x1000000,
                                   static_cast<int>(bits >> 24 & 63) - 64);
            source[i] = bits >> 31 ? -source[i] : source[i];
            batches.set<float>(16, i, source[i]);
        }
        const unsigned flags = batches.run();
        unsigned expected_flags = 0;
        for (unsigned i = 0; i < kBatch; ++i) {
            unsigned own = 0;
            auto expected = round_half(source[i], 0, 1, own, std::signbit(source[i]));
            if (own & kNx)
                expected |= 1;
            expected_flags |= own;
            ASSERT_EQ(batches.get<std::uint16_t>(8, i), expected) << source[i];
        }
        ASSERT_EQ(flags, expected_flags);
    }
}

TEST(Zvfh, AllHalvesWidenAndClassify) {
    Batches batches({set_type(1, kM1), assemble("vfwcvt.f.f.v", {.rd = 8, .rs2 = 16}),
                     assemble("vfclass.v", {.rd = 12, .rs2 = 16})});
    for (unsigned first = 0; first < 0x10000; first += kBatch) {
        for (unsigned i = 0; i < kBatch; ++i)
            batches.set<std::uint16_t>(16, i, static_cast<std::uint16_t>(first + i));
        const unsigned flags = batches.run();
        unsigned expected_flags = 0;
        for (unsigned i = 0; i < kBatch; ++i) {
            const auto bits = static_cast<std::uint16_t>(first + i);
            const double value = half_value(bits);
            const bool negative = bits & 0x8000, signalling = std::isnan(value) && !(bits & 0x200);
            const auto wide = static_cast<float>(value);
            std::uint32_t expected;
            std::memcpy(&expected, &wide, 4);
            if (std::isnan(value))
                expected = 0x7fc00000;
            if (signalling)
                expected_flags |= kNv;
            ASSERT_EQ(batches.get<std::uint32_t>(8, i), expected) << std::hex << bits;
            const unsigned kind = std::isnan(value)            ? (signalling ? 8 : 9)
                                  : std::isinf(value)          ? (negative ? 0 : 7)
                                  : value == 0                 ? (negative ? 3 : 4)
                                  : std::fabs(value) < 0x1p-14 ? (negative ? 2 : 5)
                                                               : (negative ? 1 : 6);
            ASSERT_EQ(batches.get<std::uint16_t>(12, i), 1u << kind) << std::hex << bits;
        }
        ASSERT_EQ(flags, expected_flags);
    }
}

TEST(Zvfh, Comparisons) {
    struct Compare {
        const char* name;
        bool (*holds)(double, double);
        bool signals_quiet;
    };
    const Compare kCompares[] = {
        {"vmfeq.vv", [](double a, double b) { return a == b; }, false},
        {"vmfne.vv", [](double a, double b) { return a != b; }, false},
        {"vmflt.vv", [](double a, double b) { return a < b; }, true},
        {"vmfle.vv", [](double a, double b) { return a <= b; }, true},
    };
    std::mt19937_64 engine(9);
    for (const Compare& compare : kCompares) {
        Batches batches({set_type(1, kM1), assemble(compare.name, {.rd = 8, .rs1 = 10, .rs2 = 9})});
        for (unsigned batch = 0; batch < 2000; ++batch) {
            std::array<std::uint16_t, kBatch> a, b;
            for (unsigned i = 0; i < kBatch; ++i) {
                a[i] = static_cast<std::uint16_t>(engine());
                b[i] = static_cast<std::uint16_t>(engine() % 4 ? engine() : a[i]);
                if (engine() % 16 == 0)
                    a[i] &= 0x8000, b[i] &= 0x8000;
                batches.set<std::uint16_t>(9, i, a[i]);
                batches.set<std::uint16_t>(10, i, b[i]);
            }
            const unsigned flags = batches.run();
            bool invalid = false;
            for (unsigned i = 0; i < kBatch; ++i) {
                const double x = half_value(a[i]), y = half_value(b[i]);
                for (std::uint16_t bits : {a[i], b[i]})
                    invalid |=
                        std::isnan(half_value(bits)) && (compare.signals_quiet || !(bits & 0x200));
                ASSERT_EQ(batches.get<std::uint8_t>(8, i / 8) >> (i % 8) & 1, compare.holds(x, y))
                    << compare.name << " " << x << " " << y;
            }
            ASSERT_EQ(flags, invalid ? kNv : 0u) << compare.name;
        }
    }
}

/// The tables have seven bits whatever the format, so a half's estimate is that of the same number
/// as a single, which is compared with qemu, wherever the result is a half.
TEST(Zvfh, EstimatesAreThoseOfSingles) {
    for (const char* name : {"vfrec7.v", "vfrsqrt7.v"}) {
        const bool root = std::string(name) == "vfrsqrt7.v";
        Batches batches({set_type(1, kM1), assemble("vfwcvt.f.f.v", {.rd = 20, .rs2 = 16}),
                         set_type(2, kM2), assemble(name, {.rd = 24, .rs2 = 20}), set_type(1, kM1),
                         assemble("vfncvt.f.f.w", {.rd = 12, .rs2 = 24}),
                         assemble("csrrwi", {.rs1 = 0, .imm = 1}),
                         assemble(name, {.rd = 8, .rs2 = 16})});
        for (unsigned first = 0; first < 0x10000; first += kBatch) {
            for (unsigned i = 0; i < kBatch; ++i)
                batches.set<std::uint16_t>(16, i, static_cast<std::uint16_t>(first + i));
            const unsigned flags = batches.run();
            unsigned expected_flags = 0;
            for (unsigned i = 0; i < kBatch; ++i) {
                const auto bits = static_cast<std::uint16_t>(first + i);
                const double value = half_value(bits);
                std::uint16_t expected = batches.get<std::uint16_t>(12, i);
                if (std::isnan(value))
                    expected_flags |= bits & 0x200 ? 0u : unsigned{kNv};
                else if (value == 0)
                    expected_flags |= kDz;
                else if (root && value < 0)
                    expected_flags |= kNv;
                else if (!root && std::fabs(value) < 0x1p-16) {
                    expected_flags |= kOf | kNx;
                    expected = static_cast<std::uint16_t>((bits & 0x8000) | 0x7c00);
                }
                ASSERT_EQ(batches.get<std::uint16_t>(8, i), expected)
                    << name << " of " << std::hex << bits;
            }
            ASSERT_EQ(flags, expected_flags) << name << " from " << std::hex << first;
        }
    }
}

} // namespace
} // namespace talus::sim
