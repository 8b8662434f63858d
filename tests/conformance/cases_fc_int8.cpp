#include <cmath>

#include "case.hpp"
#include "kernels/common/element.hpp"
#include "kernels/fc_int8/op.hpp"

namespace talus::conformance {
namespace {

using kernels::load_f64;
using kernels::fc::Activation;

struct Shape {
    int64_t batch, n, k;
};

// `low`, `high`: X's values. With `rows_differ`, row b's are scaled by 2^(b % 7 - 3).
Case make_case(Shape s, Activation activation, DType x_type, DType y_type, bool bias, bool strided,
               double low = -1, double high = 1, bool rows_differ = true) {
    Random random(static_cast<uint64_t>(s.batch * 1000003 + s.n * 1009 + s.k));
    Case test;
    test.op = "fc_int8";
    char name[128];
    std::snprintf(name, sizeof name, "%lldx%lldx%lld act %d %s->%s [%g, %g]%s%s",
                  static_cast<long long>(s.batch), static_cast<long long>(s.n),
                  static_cast<long long>(s.k), static_cast<int>(activation), name_of(x_type),
                  name_of(y_type), low, high, bias ? "" : " no bias", strided ? " strided" : "");
    test.name = name;
    test.constant_inputs = 0b1110;
    test.emplace_attributes<kernels::fc_int8::Attributes>().activation = activation;
    const int64_t x_pitch = strided ? (s.k + 31) / 32 * 32 + 32 : 0;
    const int64_t y_pitch = strided ? (s.n + 31) / 32 * 32 + 32 : 0;
    test.inputs.push_back(make_tensor(x_type, {s.batch, s.k}, x_pitch, strided ? 32 : 0));
    test.inputs.push_back(make_tensor(DType::kInt8, {s.n, s.k}));
    test.inputs.push_back(make_tensor(DType::kFloat32, {s.n}));
    fill_halves(test.inputs[0], random, low, high);
    const TensorView x = test.inputs[0].host();
    for (int64_t b = 0; rows_differ && b < s.batch; ++b)
        for (int64_t k = 0; k < s.k; ++k) {
            const int64_t at = b * x.strides[0] + k;
            store_f64(x, at, std::ldexp(load_f64(x, at), static_cast<int>(b % 7) - 3));
        }
    auto* weights = test.inputs[1].host().as<int8_t>();
    for (int64_t i = 0; i < s.n * s.k; ++i)
        weights[i] = static_cast<int8_t>(random.integer(-128, 127));
    auto* scales = test.inputs[2].host().as<float>();
    for (int64_t n = 0; n < s.n; ++n)
        scales[n] = static_cast<float>(random.uniform(0.5, 2) /
                                       (127 * std::sqrt(static_cast<double>(s.k))));
    if (bias) {
        test.inputs.push_back(make_tensor(DType::kFloat32, {s.n}));
        fill_halves(test.inputs[3], random, -1, 1);
    } else {
        test.inputs.emplace_back();
    }
    test.output = make_tensor(y_type, {s.batch, s.n}, y_pitch, strided ? 32 : 0);
    if (activation == Activation::kSigmoid)
        test.function_absolute = 0x1p-20;

    // The integer sum is exact. Behind it come its conversion, the product of the scales, the
    // product with that, and the sum with the bias: 4 roundings of at most 2^-24 of the product,
    // one of the result. |sum| <= 255 * sum |w|.
    for (int64_t b = 0; b < s.batch; ++b) {
        double least = 0;
        double most = 0;
        for (int64_t k = 0; k < s.k; ++k) {
            least = std::fmin(least, load_f64(x, b * x.strides[0] + k));
            most = std::fmax(most, load_f64(x, b * x.strides[0] + k));
        }
        for (int64_t n = 0; n < s.n; ++n) {
            // A tight magnitude would repeat the reference; |x - rounding| <= range is enough.
            double magnitude = bias ? std::fabs(load_f64(test.inputs[3].host(), n)) : 0.0;
            double sum = 0;
            for (int64_t k = 0; k < s.k; ++k)
                sum += load_f64(x, b * x.strides[0] + k) * weights[n * s.k + k];
            double slack = 0;
            for (int64_t k = 0; k < s.k; ++k)
                slack += std::abs(weights[n * s.k + k]);
            slack *= (most - least) / 255;
            magnitude += (std::fabs(sum) + slack) * static_cast<double>(scales[n]);
            test.bound.push_back(6 * 0x1p-24 * magnitude);
        }
    }
    return test;
}

Case special_case(Activation activation) {
    Case test = make_case({37, 33, 65}, activation, DType::kFloat16, DType::kFloat16, true, true);
    test.name += " with NaN, infinity and zero rows";
    const int64_t pitch = test.inputs[0].view.strides[0];
    auto* x = test.inputs[0].host().as<uint16_t>();
    x[5 * pitch + 3] = 0x7e00;
    x[7 * pitch + 64] = 0x7c00;
    x[8 * pitch] = 0xfc00;
    for (int64_t k = 0; k < 65; ++k) {
        x[9 * pitch + k] = 0;                             // no range
        x[10 * pitch + k] = 0x8000;                       // -0
        x[11 * pitch + k] = 0x0001;                       // the least subnormal
        x[12 * pitch + k] = k % 2 == 0 ? 0x7bff : 0xfbff; // the largest
    }
    return test;
}

Case wide_k_case() {
    // The largest sums: 255 * -128 * 65536 is just inside INT32.
    Case test = make_case({2, 3, 65536}, Activation::kNone, DType::kFloat32, DType::kFloat32, true,
                          false, 0.5, 1, false);
    test.name += " extreme weights";
    auto* weights = test.inputs[1].host().as<int8_t>();
    for (int64_t i = 0; i < 3 * 65536; ++i)
        weights[i] = i < 65536 ? -128 : 127;
    auto* x = test.inputs[0].host().as<float>();
    for (int64_t i = 0; i < 65536; ++i)
        x[i] = 1.0F;
    for (double& bound : test.bound)
        bound = 6 * 0x1p-24 * 65536 * 128 * 1.01 * 2 / (127 * 256.0);
    return test;
}

Case rejected_case() {
    Case test =
        make_case({2, 3, 5}, Activation::kNone, DType::kFloat16, DType::kFloat16, true, false);
    test.name = "weights of the wrong type";
    test.inputs[1] = make_tensor(DType::kFloat32, {3, 5});
    test.expected = Status::kBadArgument;
    test.expected_text = "W int8";
    return test;
}

} // namespace

void add_fc_int8_cases(Cases& cases) {
    constexpr Shape kShapes[] = {
        {0, 3, 5},       {1, 1, 1},     {1, 512, 13},  {1, 33, 65},    {31, 31, 31},  {33, 33, 33},
        {33, 1, 256},    {65, 65, 65},  {100, 1, 367}, {129, 96, 513}, {3, 40, 1025}, {2, 33, 2049},
        {130, 300, 700}, {5, 70, 9000}, {600, 65, 20}, {4096, 31, 7},
    };
    constexpr DType kTypes[][2] = {{DType::kFloat32, DType::kFloat32},
                                   {DType::kFloat16, DType::kFloat16},
                                   {DType::kFloat16, DType::kFloat32}};
    int variant = 0;
    for (const Shape& shape : kShapes)
        for (const auto& types : kTypes) {
            const auto activation = static_cast<Activation>(variant % 3);
            const bool bias = variant % 5 != 4;
            const bool strided = variant % 2 == 1;
            const DType x_type = types[0];
            const DType y_type = types[1];
            ++variant;
            cases.push_back(
                [=] { return make_case(shape, activation, x_type, y_type, bias, strided); });
        }
    // Rows of one sign, as behind a ReLU, and rows far from 0: the range always includes it.
    for (const auto& [low, high] : {std::pair{0.0, 4.0}, std::pair{-3.0, 0.0}, std::pair{2.0, 3.0}})
        cases.push_back([=] {
            return make_case({33, 65, 130}, Activation::kNone, DType::kFloat16, DType::kFloat16,
                             true, true, low, high);
        });
    for (const auto activation : {Activation::kNone, Activation::kRelu, Activation::kSigmoid})
        cases.push_back([=] { return special_case(activation); });
    cases.push_back(wide_k_case);
    cases.push_back(rejected_case);
}

} // namespace talus::conformance
