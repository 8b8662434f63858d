#include "se_functions.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "numeric.hpp"

namespace talus::sim {

namespace {

// --- the functions in double, from basic operations: used to fill the tables
// --------------------------

constexpr double kLog2e = 0x1.71547652b82fep+0;
constexpr double kLn2High =
    0x1.62e42fee00000p-1; // low bits zero: products with small integers exact
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kTwoOverSqrtPi = 0x1.20dd750429b6dp+0;
constexpr double kSqrtHalf = 0x1.6a09e667f3bcdp-1;

/// 2^n for |n| <= 1022.
constexpr double power_of_two(int n) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(1023 + n) << 52);
}

constexpr double exact_exp(double x) {
    const double scaled = x * kLog2e;
    const int n = static_cast<int>(scaled + (scaled < 0 ? -0.5 : 0.5));
    const double r = (x - n * kLn2High) - n * kLn2Low;
    double sum = 1.0;
    for (int term = 18; term > 0; --term) {
        sum = 1.0 + sum * r / term;
    }
    return sum * power_of_two(n);
}

constexpr double exact_tanh(double x) { // x >= 0
    const double e = exact_exp(-2.0 * x);
    if (x < 0.25) {
        // (1 - e) cancels: tanh = sinh / cosh by their series.
        double sinh = 1.0;
        double cosh = 1.0;
        for (int term = 9; term > 0; --term) {
            sinh = 1.0 + sinh * x * x / ((2 * term) * (2 * term + 1));
            cosh = 1.0 + cosh * x * x / ((2 * term) * (2 * term - 1));
        }
        return x * sinh / cosh;
    }
    return (1.0 - e) / (1.0 + e);
}

constexpr double exact_sigmoid(double x) {
    return 1.0 / (1.0 + exact_exp(-x));
}

/// Standard normal distribution function for x >= 0. The series for erf has positive terms only:
/// erf(z) = 2/sqrt(pi) exp(-z^2) sum 2^n z^(2n+1) / (2n+1)!!
constexpr double exact_normal(double x) {
    const double z = x * kSqrtHalf;
    double term = z;
    double sum = z;
    for (int n = 1; n < 200; ++n) {
        term = term * (2.0 * z * z) / (2 * n + 1);
        sum = sum + term;
    }
    return 0.5 + 0.5 * kTwoOverSqrtPi * exact_exp(-z * z) * sum;
}

// --- tables
// -------------------------------------------------------------------------------------------

struct Segment {
    double c0, c1, c2; ///< value at t in [0, 1): c0 + t (c1 + t c2)
};

constexpr int kPerUnit = 64;

/// `units * kPerUnit` pieces of [0, units), each the parabola through its two ends and its middle.
std::vector<Segment> make_table(double (*function)(double), std::size_t units) {
    std::vector<Segment> segments;
    for (std::size_t i = 0; i < units * kPerUnit; ++i) {
        const double left = function(static_cast<double>(i) / kPerUnit);
        const double middle = function((static_cast<double>(i) + 0.5) / kPerUnit);
        const double right = function((static_cast<double>(i) + 1.0) / kPerUnit);
        const double c2 = 2.0 * (left - 2.0 * middle + right);
        segments.push_back({left, (right - left) - c2, c2});
    }
    return segments;
}

/// 0 <= x < units of the table.
double interpolate(const std::vector<Segment>& table, double x) {
    const double scaled = x * kPerUnit;
    const auto index = static_cast<std::size_t>(scaled);
    const double t = scaled - static_cast<double>(index);
    const Segment& s = table[index];
    return s.c0 + t * (s.c1 + t * s.c2);
}

constexpr float kTanhEnd = 8.0f;     // 1 - tanh(8) < 2^-22
constexpr float kSigmoidEnd = 16.0f; // 1 - sigmoid(16) < 2^-23
constexpr float kNormalEnd = 8.0f;   // 1 - normal(8) < 2^-50

double exact_exp2_fraction(double f) {
    return exact_exp(f / kLog2e);
}

const auto& tanh_table() {
    static const std::vector<Segment> table = make_table(exact_tanh, 8);
    return table;
}
const auto& sigmoid_table() {
    static const std::vector<Segment> table = make_table(exact_sigmoid, 16);
    return table;
}
const auto& normal_table() {
    static const std::vector<Segment> table = make_table(exact_normal, 8);
    return table;
}
const auto& exp2_table() {
    static const std::vector<Segment> table = make_table(exact_exp2_fraction, 1);
    return table;
}

constexpr float kNan = std::bit_cast<float>(kCanonicalNan);

} // namespace

float se_sigmoid(float x) {
    if (is_nan(x)) {
        return kNan;
    }
    const float magnitude = x < 0 ? -x : x;
    if (magnitude >= kSigmoidEnd) {
        return x < 0 ? 0.0f : 1.0f;
    }
    const double y = interpolate(sigmoid_table(), static_cast<double>(magnitude));
    return static_cast<float>(x < 0 ? 1.0 - y : y);
}

float se_tanh(float x) {
    if (is_nan(x)) {
        return kNan;
    }
    const std::uint32_t sign = std::bit_cast<std::uint32_t>(x) & 0x80000000u;
    const float magnitude = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ sign);
    const float y =
        magnitude >= kTanhEnd
            ? 1.0f
            : static_cast<float>(interpolate(tanh_table(), static_cast<double>(magnitude)));
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) | sign);
}

float se_exp(float x) {
    if (is_nan(x)) {
        return kNan;
    }
    if (x > 89.0f) {
        return std::numeric_limits<float>::infinity();
    }
    if (x < -104.0f) {
        return 0.0f;
    }
    const double scaled = static_cast<double>(x) * kLog2e;
    int whole = static_cast<int>(scaled);
    if (static_cast<double>(whole) > scaled) {
        --whole;
    }
    double fraction = scaled - static_cast<double>(whole);
    if (fraction >= 1.0) { // a tiny negative x: the subtraction rounded up
        ++whole;
        fraction = 0.0;
    }
    // FP32 subnormals and infinity come from the one rounding here.
    return static_cast<float>(interpolate(exp2_table(), fraction) * power_of_two(whole));
}

float se_gelu(float x) {
    if (is_nan(x)) {
        return kNan;
    }
    if (x >= kNormalEnd) {
        return x;
    }
    if (x <= -kNormalEnd) {
        return -0.0f;
    }
    const double magnitude = static_cast<double>(x < 0 ? -x : x);
    const double y = interpolate(normal_table(), magnitude);
    return static_cast<float>(static_cast<double>(x) * (x < 0 ? 1.0 - y : y));
}

float se_function(unsigned function, float x) {
    switch (function) {
    case TALUS_SE_RELU:
        return is_nan(x) ? kNan : (x > 0 ? x : 0.0f);
    case TALUS_SE_SIGMOID:
        return se_sigmoid(x);
    case TALUS_SE_TANH:
        return se_tanh(x);
    case TALUS_SE_EXP:
        return se_exp(x);
    case TALUS_SE_GELU:
        return se_gelu(x);
    default:
        return canonical(x);
    }
}

} // namespace talus::sim
