#include <cmath>

#include "case.hpp"
#include "kernels/common/element.hpp"
#include "kernels/fc/op.hpp"

namespace talus::conformance {
namespace {

using kernels::load_f64;
using kernels::fc::Activation;

struct Shape {
    int64_t batch, n, k;
};

Case fc_case(Shape s, Activation activation, DType x_type, DType y_type, bool bias, bool strided) {
    Random random(static_cast<uint64_t>(s.batch * 1000003 + s.n * 1009 + s.k));
    Case test;
    test.op = "fc";
    char name[128];
    std::snprintf(name, sizeof name, "%lldx%lldx%lld act %d %s->%s%s%s",
                  static_cast<long long>(s.batch), static_cast<long long>(s.n),
                  static_cast<long long>(s.k), static_cast<int>(activation), name_of(x_type),
                  name_of(y_type), bias ? "" : " no bias", strided ? " strided" : "");
    test.name = name;
    test.constant_inputs = 0b110;
    test.emplace_attributes<kernels::fc::Attributes>().activation = activation;
    // Pitches are multiples of 64 bytes, as a plan for the accelerator has them, plus 32.
    const int64_t x_pitch = strided ? (s.k + 31) / 32 * 32 + 32 : 0;
    const int64_t y_pitch = strided ? (s.n + 31) / 32 * 32 + 32 : 0;
    test.inputs.push_back(make_tensor(x_type, {s.batch, s.k}, x_pitch, strided ? 32 : 0));
    test.inputs.push_back(make_tensor(DType::kFloat32, {s.n, s.k}));
    const double scale = 1.0 / std::sqrt(static_cast<double>(s.k));
    fill_halves(test.inputs[0], random, -1, 1);
    fill_halves(test.inputs[1], random, -2 * scale, 2 * scale);
    if (bias) {
        test.inputs.push_back(make_tensor(DType::kFloat32, {s.n}));
        fill_halves(test.inputs[2], random, -1, 1);
    } else {
        test.inputs.emplace_back();
    }
    test.output = make_tensor(y_type, {s.batch, s.n}, y_pitch, strided ? 32 : 0);
    if (activation == Activation::kSigmoid)
        test.function_absolute = 0x1p-20;

    // |error| <= (K + 2) u (sum |x w| + |bias|), any order of summation, fused or not.
    const TensorView x = test.inputs[0].host();
    const TensorView w = test.inputs[1].host();
    for (int64_t b = 0; b < s.batch; ++b)
        for (int64_t n = 0; n < s.n; ++n) {
            double sum = bias ? std::fabs(load_f64(test.inputs[2].host(), n)) : 0.0;
            for (int64_t k = 0; k < s.k; ++k)
                sum += std::fabs(load_f64(x, b * x.strides[0] + k) *
                                 load_f64(w, n * w.strides[0] + k));
            test.bound.push_back(static_cast<double>(s.k + 2) * 0x1p-24 * sum);
        }
    return test;
}

Case nan_case(Activation activation) {
    Case test = fc_case({33, 33, 65}, activation, DType::kFloat16, DType::kFloat16, true, true);
    test.name += " with NaN and infinity";
    auto* x = test.inputs[0].host().as<uint16_t>();
    x[5 * test.inputs[0].view.strides[0] + 3] = 0x7e00;
    x[7 * test.inputs[0].view.strides[0] + 64] = 0x7c00;
    return test;
}

// What lies between the rows must never reach a result: here it is NaN.
Case poisoned_padding_case(Shape s) {
    Case test = fc_case(s, Activation::kRelu, DType::kFloat16, DType::kFloat16, true, true);
    test.name += " with NaN in the padding";
    Tensor clean = test.inputs[0];
    auto* all = reinterpret_cast<uint16_t*>(test.inputs[0].bytes.data());
    for (size_t i = 0; i < test.inputs[0].bytes.size() / 2; ++i)
        all[i] = 0x7e00;
    const auto* from = clean.host().as<const uint16_t>();
    auto* to = test.inputs[0].host().as<uint16_t>();
    for (int64_t b = 0; b < s.batch; ++b)
        for (int64_t k = 0; k < s.k; ++k)
            to[b * clean.view.strides[0] + k] = from[b * clean.view.strides[0] + k];
    return test;
}

} // namespace

void add_fc_cases(Cases& cases) {
    constexpr Shape kShapes[] = {
        {0, 3, 5},     {1, 1, 1},      {1, 512, 13},  {1, 33, 65},    {2, 31, 1},    {31, 31, 31},
        {31, 65, 33},  {32, 32, 32},   {33, 33, 33},  {33, 1, 256},   {65, 65, 65},  {64, 128, 64},
        {65, 16, 64},  {100, 1, 367},  {7, 512, 367}, {129, 96, 513}, {3, 40, 1025}, {2, 33, 2049},
        {600, 65, 20}, {1999, 16, 33}, {4096, 31, 7}, {4096, 64, 13},
    };
    constexpr DType kTypes[][2] = {{DType::kFloat32, DType::kFloat32},
                                   {DType::kFloat16, DType::kFloat16},
                                   {DType::kFloat16, DType::kFloat32},
                                   {DType::kFloat32, DType::kFloat16}};
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
                [=] { return fc_case(shape, activation, x_type, y_type, bias, strided); });
            cases.push_back([=] {
                return fc_case(shape,
                               static_cast<Activation>((static_cast<int>(activation) + 1) % 3),
                               x_type, y_type, true, !strided);
            });
        }
    for (const auto activation : {Activation::kNone, Activation::kRelu, Activation::kSigmoid})
        cases.push_back([=] { return nan_case(activation); });
    for (const Shape shape : {Shape{33, 33, 13}, Shape{5, 65, 367}, Shape{2, 7, 1030}})
        cases.push_back([=] { return poisoned_padding_case(shape); });
}

} // namespace talus::conformance
