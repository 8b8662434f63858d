// interaction, concat, eltwise, convert.
#include <cmath>
#include <limits>

#include "case.hpp"
#include "kernels/common/element.hpp"
#include "kernels/concat/op.hpp"
#include "kernels/convert/op.hpp"
#include "kernels/eltwise/op.hpp"
#include "kernels/interaction/op.hpp"

namespace talus::conformance {
namespace {

using kernels::load_f64;
using kernels::eltwise::Function;

constexpr DType kF16 = DType::kFloat16;
constexpr DType kF32 = DType::kFloat32;

struct Interaction {
    int64_t batch, features, width, dense;
    bool diagonal;
    DType type, output;
    bool strided;
};

Case interaction_case(const Interaction& s) {
    Random random(static_cast<uint64_t>(s.batch * 101 + s.features * 7 + s.width));
    Case test;
    test.op = "interaction";
    char name[128];
    std::snprintf(name, sizeof name, "%lldx%lldx%lld dense %lld%s %s->%s%s",
                  static_cast<long long>(s.batch), static_cast<long long>(s.features),
                  static_cast<long long>(s.width), static_cast<long long>(s.dense),
                  s.diagonal ? " diagonal" : "", name_of(s.type), name_of(s.output),
                  s.strided ? " strided" : "");
    test.name = name;
    test.emplace_attributes<kernels::interaction::Attributes>().include_diagonal = s.diagonal;
    test.inputs.push_back(make_tensor(s.type, {s.batch, s.features, s.width}));
    if (s.strided) { // a gap between samples, none between features
        Tensor& t = test.inputs[0];
        const int64_t stride = s.features * s.width + 32;
        t = make_tensor(s.type, {s.batch, stride});
        t.view.rank = 3;
        const int64_t shape[] = {s.batch, s.features, s.width};
        const int64_t strides[] = {stride, s.width, 1};
        for (int d = 0; d < 3; ++d) {
            t.view.shape[d] = shape[d];
            t.view.strides[d] = strides[d];
        }
    }
    fill_halves(test.inputs[0], random, -2, 2);
    if (s.dense > 0) {
        test.inputs.push_back(make_tensor(s.type, {s.batch, s.dense}, s.strided ? s.dense + 5 : 0));
        fill_halves(test.inputs[1], random, -9, 9);
    }
    const int64_t columns = s.dense + kernels::interaction::pair_count(s.features, s.diagonal);
    test.output =
        make_tensor(s.output, {s.batch, columns}, s.strided ? (columns + 63) / 32 * 32 : 0);
    const TensorView t = test.inputs[0].host();
    for (int64_t b = 0; b < s.batch; ++b) {
        test.bound.insert(test.bound.end(), static_cast<size_t>(s.dense), 0.0);
        for (int64_t i = 0; i < s.features; ++i)
            for (int64_t j = 0; j < i + (s.diagonal ? 1 : 0); ++j) {
                double sum = 0;
                for (int64_t d = 0; d < s.width; ++d)
                    sum += std::fabs(load_f64(t, b * t.strides[0] + i * t.strides[1] + d) *
                                     load_f64(t, b * t.strides[0] + j * t.strides[1] + d));
                test.bound.push_back(static_cast<double>(s.width + 1) * 0x1p-24 * sum);
            }
    }
    return test;
}

Case concat_case(DType type, std::vector<std::vector<int64_t>> shapes, int32_t axis, bool strided) {
    Random random(static_cast<uint64_t>(shapes.size() * 13 + static_cast<size_t>(type)));
    Case test;
    test.op = "concat";
    test.name = std::to_string(shapes.size()) + " inputs of rank " +
                std::to_string(shapes[0].size()) + " axis " + std::to_string(axis) + " " +
                name_of(type) + (strided ? " strided" : "");
    test.claim = Claim::kBitExact;
    test.emplace_attributes<kernels::concat::Attributes>().axis = axis;
    std::vector<int64_t> shape = shapes[0];
    const auto at =
        static_cast<size_t>(axis < 0 ? axis + static_cast<int32_t>(shape.size()) : axis);
    shape[at] = 0;
    for (const auto& input : shapes) {
        shape[at] += input[at];
        test.inputs.push_back(make_tensor(type, input, strided ? input.back() + 3 : 0));
        for (uint8_t& byte : test.inputs.back().bytes)
            byte = static_cast<uint8_t>(random.next());
    }
    test.output = make_tensor(type, shape, strided ? shape.back() + 7 : 0);
    return test;
}

Case eltwise_case(Function function, const std::vector<int64_t>& a, const std::vector<int64_t>& b,
                  DType type, DType output, bool strided) {
    Random random(static_cast<uint64_t>(static_cast<int>(function) * 17 + 1));
    Case test;
    test.op = "eltwise";
    test.name = "function " + std::to_string(static_cast<int>(function)) + " rank " +
                std::to_string(a.size()) + " " + name_of(type) + "->" + name_of(output) +
                (strided ? " strided" : "");
    auto& attributes = test.emplace_attributes<kernels::eltwise::Attributes>();
    attributes.function = function;
    attributes.low = -0.75F;
    attributes.high = 1.5F;
    const bool binary = kernels::eltwise::is_binary(function);
    std::vector<int64_t> shape(std::max(a.size(), binary ? b.size() : 0), 1);
    auto broadcast = [&](const std::vector<int64_t>& input) {
        for (size_t d = 0; d < input.size(); ++d)
            if (int64_t& extent = shape[shape.size() - input.size() + d]; extent == 1)
                extent = input[d];
    };
    broadcast(a);
    if (binary)
        broadcast(b);
    auto add = [&](const std::vector<int64_t>& input, double low) {
        const int64_t pitch = strided && input.size() > 1 ? input.back() + 3 : 0;
        test.inputs.push_back(make_tensor(type, input, pitch));
        fill_halves(test.inputs.back(), random, low, 8);
        // The first elements are the awkward ones.
        constexpr double kSpecial[] = {0.0, -0.0, INFINITY, -INFINITY, NAN, 1.0, -1.0, 30000.0};
        const int64_t specials = test.inputs.back().view.elements() > 0 ? input.back() : 0;
        for (int64_t i = 0; i < 8 && i < specials; ++i)
            if (function != Function::kSqrt || i < 3)
                kernels::store_f64(test.inputs.back().host(), i, kSpecial[i]);
    };
    add(a, function == Function::kSqrt ? 0 : -8);
    if (binary)
        add(b, -8);
    if (function == Function::kDiv)
        for (int64_t i = 0; i < 8 && i < b.back() && test.inputs[1].view.elements() > 0; ++i)
            kernels::store_f64(test.inputs[1].host(), i, static_cast<double>(i + 1));
    if (function == Function::kSigmoid || function == Function::kTanh)
        test.function_absolute = 0x1p-20;
    if (function == Function::kExp)
        test.function_relative = 0x1p-20;
    test.output = make_tensor(output, shape, strided && shape.size() > 1 ? shape.back() + 5 : 0);
    return test;
}

Case convert_case(DType from, DType to, std::vector<int64_t> shape, bool strided) {
    Random random(static_cast<uint64_t>(static_cast<int>(from) * 100 + static_cast<int>(to)));
    Case test;
    test.op = "convert";
    test.name = std::string(name_of(from)) + "->" + name_of(to) + (strided ? " strided" : "");
    test.claim = Claim::kBitExact;
    test.emplace_attributes<kernels::convert::Attributes>();
    test.inputs.push_back(make_tensor(from, shape, strided ? shape.back() + 3 : 0));
    const TensorView all = test.inputs[0].host();
    const auto count = static_cast<int64_t>(test.inputs[0].bytes.size() / kernels::size_of(from));
    constexpr double kSpecial[] = {0.0,
                                   -0.0,
                                   0.5,
                                   -0.5,
                                   1.5,
                                   -1.5,
                                   2.5,
                                   127.5,
                                   -128.5,
                                   128.0,
                                   255.5,
                                   256.0,
                                   -1.0,
                                   32767.5,
                                   65504.0,
                                   65519.9,
                                   65520.0,
                                   65536.0,
                                   2147483647.0,
                                   2147483648.0,
                                   -2147483649.0,
                                   4294967296.0,
                                   9223372036854775807.0,
                                   1e300,
                                   -1e300,
                                   1e-7,
                                   5.9e-8,
                                   2.9e-8,
                                   1e-40,
                                   16777217.0,
                                   INFINITY,
                                   -INFINITY,
                                   NAN};
    constexpr int64_t kSpecialCount = sizeof kSpecial / sizeof kSpecial[0];
    for (int64_t i = 0; i < count; ++i) {
        if (kernels::is_float(from)) {
            kernels::store_f64(
                all, i,
                i < kSpecialCount
                    ? kSpecial[i]
                    : std::ldexp(random.uniform(-1, 1), static_cast<int>(random.integer(-30, 40))));
            continue;
        }
        const uint64_t bits = random.next() >> random.integer(0, 63);
        const size_t bytes = kernels::size_of(from);
        auto* element = test.inputs[0].bytes.data() + static_cast<size_t>(i) * bytes;
        for (size_t k = 0; k < bytes; ++k)
            element[k] = static_cast<uint8_t>((i % 2 == 0 ? bits : ~bits) >> (8 * k));
        if (from == DType::kBool)
            element[0] &= 1;
    }
    test.output = make_tensor(to, shape, strided ? shape.back() + 2 : 0);
    return test;
}

} // namespace

void add_interaction_cases(Cases& cases) {
    const Interaction shapes[] = {
        {0, 4, 4, 2, false, kF32, kF32, false},     {1, 1, 1, 0, true, kF32, kF32, false},
        {1, 2, 1, 1, false, kF16, kF16, false},     {65, 27, 16, 16, false, kF16, kF16, true},
        {33, 27, 16, 16, false, kF32, kF32, true},  {31, 27, 16, 0, true, kF16, kF32, false},
        {3, 31, 33, 13, false, kF16, kF16, true},   {2, 32, 31, 7, true, kF16, kF16, false},
        {2, 33, 65, 5, true, kF16, kF16, true},     {2, 65, 32, 64, false, kF16, kF32, true},
        {5, 40, 128, 0, false, kF32, kF16, false},  {4096, 5, 4, 3, false, kF16, kF16, true},
        {600, 27, 16, 16, false, kF16, kF16, true}, {1, 27, 16, 16, false, kF16, kF16, true},
    };
    for (const Interaction& shape : shapes)
        cases.push_back([shape] { return interaction_case(shape); });
}

void add_concat_cases(Cases& cases) {
    for (const DType type : {kF32, kF16, DType::kInt64, DType::kUint8})
        for (const bool strided : {false, true}) {
            cases.push_back([=] { return concat_case(type, {{33, 16}, {33, 351}}, 1, strided); });
            cases.push_back([=] {
                return concat_case(type, {{1, 1}, {2, 1}, {31, 1}}, 0, strided);
            });
            cases.push_back([=] { return concat_case(type, {{5, 0, 3}, {5, 7, 3}}, -2, strided); });
            cases.push_back([=] {
                return concat_case(type, std::vector<std::vector<int64_t>>(27, {65, 16}), 1,
                                   strided);
            });
            cases.push_back([=] { return concat_case(type, {{4096, 3}, {4096, 33}}, 1, strided); });
        }
    cases.push_back([] { return concat_case(kF32, {{7}, {31}, {65}}, 0, false); });
    cases.push_back([] { return concat_case(kF32, {{2, 3, 4, 5}, {2, 3, 6, 5}}, 2, true); });
}

void add_eltwise_cases(Cases& cases) {
    for (int code = 0; code <= 24; code = code == 5 ? 16 : code + 1) {
        const auto function = static_cast<Function>(code);
        constexpr DType kTypes[][2] = {{kF32, kF32}, {kF16, kF16}, {kF16, kF32}, {kF32, kF16}};
        for (const auto& types : kTypes) {
            const DType from = types[0];
            const DType to = types[1];
            for (const bool strided : {false, true})
                cases.push_back([=] {
                    return eltwise_case(function, {33, 65}, {33, 65}, from, to, strided);
                });
            cases.push_back([=] {
                return eltwise_case(function, {4096, 31}, {31}, from, to, true);
            });
            cases.push_back([=] { return eltwise_case(function, {1}, {1}, from, to, false); });
            cases.push_back([=] {
                return eltwise_case(function, {3, 1, 20}, {3, 5, 1}, from, to, false);
            });
            cases.push_back([=] {
                return eltwise_case(function, {0, 7}, {0, 7}, from, to, false);
            });
            cases.push_back([=] {
                return eltwise_case(function, {1000, 33}, {1000, 33}, from, to, false);
            });
        }
    }
}

void add_convert_cases(Cases& cases) {
    constexpr DType kTypes[] = {kF32,          kF16,           DType::kBfloat16, DType::kFloat64,
                                DType::kInt8,  DType::kInt16,  DType::kInt32,    DType::kInt64,
                                DType::kUint8, DType::kUint16, DType::kUint32,   DType::kUint64,
                                DType::kBool};
    for (const DType from : kTypes)
        for (const DType to : kTypes) {
            cases.push_back([=] { return convert_case(from, to, {65, 33}, false); });
            cases.push_back([=] { return convert_case(from, to, {7, 31}, true); });
        }
    cases.push_back([] { return convert_case(kF32, kF16, {4096, 13}, false); });
    cases.push_back([] { return convert_case(kF32, kF16, {1, 1}, false); });
    cases.push_back([] { return convert_case(kF16, kF32, {1, 512}, true); });
}

} // namespace talus::conformance
