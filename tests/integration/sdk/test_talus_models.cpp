// Small models on the accelerator against the same models on the CPU. Numerically equal:
// activations and constants are FP16 there, so results agree to a few units of 2^-11 of the largest
// term.
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "sdk/common/error.hpp"
#include "sdk/runtime/request.hpp"
#include "sdk/targets/targets.hpp"
#include "tests/unit/sdk/onnx_builder.hpp"

namespace talus::test {
namespace {

constexpr int kFloat = 1;
constexpr int kInt64 = 7;
constexpr double kTolerance = 4e-3; // of values up to about 2

class Models : public testing::Test {
  protected:
    static void SetUpTestSuite() {
        talus_device_options options = TALUS_INIT(talus_device_options);
        options.target = "talus";
        options.device = "sim";
        device() = runtime::open_device(options);
    }
    static void TearDownTestSuite() { device().reset(); }
    static runtime::DevicePtr& device() {
        static runtime::DevicePtr opened;
        return opened;
    }

    std::vector<float> floats(std::size_t count, float scale = 1.0F) {
        std::uniform_real_distribution<float> values(-scale, scale);
        std::vector<float> result(count);
        for (float& value : result)
            value = values(random_);
        return result;
    }

    void clear() { tensors_.clear(); }
    void bind(std::vector<float> data, std::int64_t rows, std::int64_t columns) {
        floats_.push_back(std::make_unique<std::vector<float>>(std::move(data)));
        tensors_.push_back(
            tensor(TALUS_FLOAT32, {rows, columns}, const_cast<float*>(floats_.back()->data())));
    }
    void bind(std::vector<std::int64_t> data, std::vector<std::int64_t> shape) {
        ints_.push_back(std::make_unique<std::vector<std::int64_t>>(std::move(data)));
        tensors_.push_back(tensor(TALUS_INT64, shape, ints_.back()->data()));
    }

    // Agrees with the CPU; `strict`: and all of it runs on the accelerator.
    void agrees(const GraphBuilder& g, std::int64_t max_batch = 64, bool strict = true) {
        std::vector<std::vector<float>> results;
        for (const bool talus : {false, true}) {
            plan::Options options;
            options.strict = talus && strict;
            options.max_batch = max_batch;
            const auto devices = talus ? std::vector<runtime::DevicePtr>{device()}
                                       : std::vector<runtime::DevicePtr>{};
            const auto model = runtime::Model::load(g.model(), devices, options);
            runtime::Request request(model);
            for (std::size_t i = 0; i < tensors_.size(); ++i)
                request.set_input(i, tensors_[i]);
            request.run();
            const talus_tensor out = request.output(0);
            std::size_t count = 1;
            for (std::int32_t d = 0; d < out.rank; ++d)
                count *= static_cast<std::size_t>(out.shape[d]);
            const auto* values = static_cast<const float*>(out.data);
            results.emplace_back(values, values + count);
        }
        ASSERT_EQ(results[0].size(), results[1].size());
        for (std::size_t i = 0; i < results[0].size(); ++i)
            ASSERT_NEAR(results[0][i], results[1][i], kTolerance) << "element " << i;
    }

  private:
    static talus_tensor tensor(std::int32_t dtype, const std::vector<std::int64_t>& shape,
                               void* data) {
        talus_tensor result = TALUS_INIT(talus_tensor);
        result.dtype = dtype;
        result.rank = static_cast<std::int32_t>(shape.size());
        for (std::size_t d = 0; d < shape.size(); ++d)
            result.shape[d] = shape[d];
        result.data = data;
        return result;
    }

    std::mt19937 random_{17};
    std::vector<std::unique_ptr<std::vector<float>>> floats_;
    std::vector<std::unique_ptr<std::vector<std::int64_t>>> ints_;
    std::vector<talus_tensor> tensors_;
};

TEST_F(Models, ElementWiseChain) {
    GraphBuilder g;
    g.input("a", kFloat, {"batch", 37});
    g.input("b", kFloat, {"batch", 37});
    g.floats("row", {37}, floats(37));
    g.floats("half", {}, {0.5F});
    g.node("Mul", {"a", "b"}, {"ab"});
    g.node("Add", {"ab", "row"}, {"s"});
    g.node("Add", {"half", "s"}, {"h"});
    g.node("Sub", {"h", "row"}, {"d"});
    g.node("Tanh", {"d"}, {"t"});
    g.node("Max", {"t", "a"}, {"m"});
    g.node("Neg", {"m"}, {"z"});
    g.output("z");
    bind(floats(45 * 37), 45, 37);
    bind(floats(45 * 37), 45, 37);
    agrees(g);
}

// The SIMD engine has no absolute value; the plan goes over the CPU and back.
TEST_F(Models, OperatorsThatTheDeviceLacksRunOnTheCpu) {
    GraphBuilder g;
    g.input("a", kFloat, {"batch", 37});
    g.floats("row", {37}, floats(37));
    g.node("Tanh", {"a"}, {"t"});
    g.node("Abs", {"t"}, {"u"});
    g.node("Sub", {"row", "u"}, {"s"});
    g.node("Relu", {"s"}, {"z"});
    g.output("z");
    bind(floats(70 * 37), 70, 37);
    agrees(g, 64, false);
}

TEST_F(Models, ConcatOfInputsAndSharedLayers) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 5});
    g.floats("w", {5, 19}, floats(5 * 19, 0.3F));
    g.node("MatMul", {"x", "w"}, {"y"});
    g.node("Relu", {"x"}, {"r"});
    g.node("Concat", {"y", "r"}, {"c"}, {Attr::integer("axis", 1)});
    g.node("Concat", {"x", "c", "y"}, {"d"}, {Attr::integer("axis", 1)});
    g.floats("v", {48, 3}, floats(48 * 3, 0.2F));
    g.node("MatMul", {"d", "v"}, {"z"});
    g.output("z");
    bind(floats(33 * 5), 33, 5);
    agrees(g);
}

TEST_F(Models, BagsOfEveryPoolingAndLength) {
    for (const char* reduce : {"ReduceSum", "ReduceMean", "ReduceMax"}) {
        SCOPED_TRACE(reduce);
        GraphBuilder g;
        g.input("idx", kInt64, {"nnz"});
        g.input("off", kInt64, {"batch"});
        g.floats("table", {23, 12}, floats(23 * 12, 0.2F));
        embedding_bag(g, "bag", "table", "idx", "off", "y", {reduce, false, true});
        g.output("y");
        std::vector<std::int64_t> indices;
        std::vector<std::int64_t> offsets;
        for (std::int64_t b = 0; b < 41; ++b) {
            offsets.push_back(static_cast<std::int64_t>(indices.size()));
            for (std::int64_t i = 0; i < b % 6; ++i)
                indices.push_back((b * 5 + i * 3) % 23);
        }
        const auto count = static_cast<std::int64_t>(indices.size());
        clear();
        bind(indices, {count});
        bind(offsets, {41});
        agrees(g, 16); // pieces of 16 samples, each with its own bags
    }
}

TEST_F(Models, TablesOfDifferentWidths) {
    GraphBuilder g;
    g.input("s", kInt64, {"batch", 3});
    const std::int64_t widths[] = {8, 32, 8};
    for (std::int64_t t = 0; t < 3; ++t) {
        const auto named = [&](const char* what) { return fmt::format("{}{}", what, t); };
        g.floats(named("table"), {11, widths[t]}, floats(static_cast<std::size_t>(11 * widths[t])));
        g.ints(named("c"), {}, {t});
        g.node("Gather", {"s", named("c")}, {named("i")}, {Attr::integer("axis", 1)});
        g.node("Gather", {named("table"), named("i")}, {named("e")});
    }
    g.node("Concat", {"e0", "e1", "e2"}, {"y"}, {Attr::integer("axis", 1)});
    g.output("y");
    std::vector<std::int64_t> indices;
    for (std::int64_t i = 0; i < 3 * 50; ++i)
        indices.push_back(i * 7 % 11);
    bind(indices, {50, 3});
    agrees(g);
}

TEST_F(Models, LayersWithOddSizes) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 1});
    std::int64_t in = 1;
    int layer = 0;
    std::string value = "x";
    for (const std::int64_t out : {65, 33, 1, 7}) {
        const auto named = [&](const char* what) { return fmt::format("{}{}", what, layer); };
        const float scale = 1.0F / std::sqrt(static_cast<float>(in));
        g.floats(named("w"), {out, in}, floats(static_cast<std::size_t>(out * in), scale));
        g.floats(named("b"), {out}, floats(static_cast<std::size_t>(out), 0.2F));
        g.node("Gemm", {value, named("w"), named("b")}, {named("y")}, {Attr::integer("transB", 1)});
        g.node(layer % 2 == 0 ? "Relu" : "Sigmoid", {named("y")}, {named("z")});
        value = named("z");
        in = out;
        ++layer;
    }
    g.output(value);
    bind(floats(67), 67, 1);
    agrees(g);
}

} // namespace
} // namespace talus::test
