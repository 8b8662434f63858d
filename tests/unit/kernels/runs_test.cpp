#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/common/runs.hpp"

namespace talus::kernels {
namespace {

// All exponents and both signs, and what is special.
std::vector<float> arguments() {
    std::vector<float> values = {0.0F,    -0.0F,   1.0F,   -1.0F,    88.7F,    -87.3F,
                                 -103.9F, -104.5F, -745.F, 1e30F,    -1e30F,   1e-40F,
                                 0.625F,  0.6249F, NAN,    INFINITY, -INFINITY};
    std::mt19937 random(5);
    for (int i = 0; i < 200000; ++i) {
        values.push_back(float_from_bits(static_cast<uint32_t>(random())));
        values.push_back(std::uniform_real_distribution<float>(-110.0F, 110.0F)(random));
    }
    return values;
}

// The header's promise: relative error below 4e-7 where the result is normal.
void expect_close(float got, double exact, float argument) {
    if (std::isnan(exact)) {
        EXPECT_TRUE(std::isnan(got)) << argument;
        return;
    }
    if (std::isinf(static_cast<float>(exact))) {
        EXPECT_EQ(got, static_cast<float>(exact)) << argument;
        return;
    }
    const double allowed = std::max(std::fabs(exact) * 4e-7, 2e-45);
    ASSERT_LE(std::fabs(got - exact), allowed) << "of " << argument << ": " << got;
}

TEST(Runs, ExpSigmoidTanh) {
    const std::vector<float> x = arguments();
    std::vector<float> exp_values = x;
    std::vector<float> sigmoid_values = x;
    std::vector<float> tanh_values = x;
    const auto count = static_cast<int64_t>(x.size());
    exp_run(exp_values.data(), count);
    sigmoid_run(sigmoid_values.data(), count);
    tanh_run(tanh_values.data(), count);
    for (size_t i = 0; i < x.size(); ++i) {
        const double exact = x[i];
        expect_close(exp_values[i], std::exp(exact), x[i]);
        expect_close(sigmoid_values[i], 1.0 / (1.0 + std::exp(-exact)), x[i]);
        expect_close(tanh_values[i], std::tanh(exact), x[i]);
    }
}

TEST(Runs, ResultsDoNotDependOnThePositionInARun) {
    // Vector bodies and scalar tails must give the same bits.
    const std::vector<float> x = arguments();
    for (size_t length = 1; length < 70; ++length) {
        std::vector<float> run(x.begin() + 1000, x.begin() + 1000 + static_cast<long>(length));
        std::vector<float> single = run;
        sigmoid_run(run.data(), static_cast<int64_t>(length));
        for (size_t i = 0; i < length; ++i) {
            sigmoid_run(&single[i], 1);
            ASSERT_EQ(float_bits(run[i]), float_bits(single[i]));
        }
    }
}

TEST(Runs, CopyViewMovesEveryElement) {
    std::vector<uint16_t> from(1000);
    std::vector<uint16_t> to(1000, 0xffff);
    for (size_t i = 0; i < from.size(); ++i)
        from[i] = static_cast<uint16_t>(i);
    TensorView source;
    source.dtype = DType::kFloat16;
    source.data = from.data();
    source.rank = 3;
    TensorView destination = source;
    destination.data = to.data();
    const int64_t shape[] = {3, 4, 5};
    const int64_t source_strides[] = {1, 60, 12};
    const int64_t destination_strides[] = {100, 11, 2};
    for (int d = 0; d < 3; ++d) {
        source.shape[d] = destination.shape[d] = shape[d];
        source.strides[d] = source_strides[d];
        destination.strides[d] = destination_strides[d];
    }
    copy_view(destination, source);
    int written = 0;
    for (const uint16_t value : to)
        written += value != 0xffff;
    EXPECT_EQ(written, 60);
    for (int64_t i = 0; i < 3; ++i)
        for (int64_t j = 0; j < 4; ++j)
            for (int64_t k = 0; k < 5; ++k)
                EXPECT_EQ(to[static_cast<size_t>(i * 100 + j * 11 + k * 2)], i + j * 60 + k * 12);
}

TEST(Runs, ScalarTensors) {
    const float from = 3.0F;
    float to = 0.0F;
    TensorView source;
    source.dtype = DType::kFloat32;
    source.data = const_cast<float*>(&from);
    TensorView destination = source;
    destination.data = &to;
    copy_view(destination, source);
    EXPECT_EQ(to, 3.0F);
}

} // namespace
} // namespace talus::kernels
