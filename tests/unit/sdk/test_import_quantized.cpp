// Dynamic INT8 layers and quantised constants: what they become, and values by hand. Every row of x
// below spans a multiple of 255 steps, so that quantisation loses nothing.
#include "sdk_test.hpp"

namespace talus::test {
namespace {

constexpr int kFloat = 1;
constexpr int kUint8 = 2;
constexpr int kInt8 = 3;
constexpr int kInt32 = 6;

std::string bytes(const std::vector<int>& values) {
    std::string raw;
    for (const int value : values)
        raw.push_back(static_cast<char>(value));
    return raw;
}

struct Layer {
    int type = kInt8;
    std::vector<int> weight = {1, -2, 3, 4, -128, 127, 0, 5}; // [4, 2]
    std::vector<int> zero = {0};
    bool scales_first = true; // Mul(cast, Mul(s, ws)), else Mul(Mul(cast, s), ws)
    bool own_zero_point = true;
};

// x [batch, 4] -> q; the layer's float result is "y".
GraphBuilder layer(const Layer& what) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 4});
    g.raw_tensor("w", what.type, {4, 2}, bytes(what.weight));
    g.raw_tensor("wz", what.type, {static_cast<std::int64_t>(what.zero.size())}, bytes(what.zero));
    g.floats("ws", {2}, {0.5F, 0.25F});
    g.node("DynamicQuantizeLinear", {"x"}, {"q", "s", "z"});
    g.node("MatMulInteger", {"q", "w", what.own_zero_point ? "z" : "", "wz"}, {"i"});
    g.node("Cast", {"i"}, {"f"}, {Attr::integer("to", kFloat)});
    if (what.scales_first) {
        g.node("Mul", {"s", "ws"}, {"both"});
        g.node("Mul", {"f", "both"}, {"y"});
    } else {
        g.node("Mul", {"f", "s"}, {"half"});
        g.node("Mul", {"half", "ws"}, {"y"});
    }
    return g;
}

const Input kRows = {{0, 1, 2, 255, -128, 0, 127, 1, 0, 0.5F, 1, 127.5F}, {3, 4}};
// x W, by columns 0 and 1 of W: {1, 3, -128, 0} and {-2, 4, 127, 5}.
const std::vector<float> kProducts = {-253, 1533, -16384, 16390, -126.5F, 766.5F};

TEST(ImportQuantized, TheExportedPatternIsOneLayer) {
    for (const bool scales_first : {true, false}) {
        GraphBuilder g = layer({.scales_first = scales_first});
        g.floats("b", {2}, {1000, -1});
        g.node("Add", {"y", "b"}, {"a"});
        g.node("Relu", {"a"}, {"r"});
        g.output("r");
        const graph::Graph graph = import(g);
        EXPECT_EQ(operators(graph), "fc_int8");
        std::vector<float> expected;
        for (std::size_t i = 0; i < kProducts.size(); ++i)
            expected.push_back(
                std::max(0.0F, i % 2 == 0 ? kProducts[i] * 0.5F + 1000 : kProducts[i] * 0.25F - 1));
        EXPECT_EQ(run(g, {kRows}), expected);
    }
}

TEST(ImportQuantized, Uint8WeightsAround128AreTheSame) {
    GraphBuilder g = layer(
        {.type = kUint8, .weight = {129, 126, 131, 132, 0, 255, 128, 133}, .zero = {128, 128}});
    g.output("y");
    std::vector<float> expected;
    for (std::size_t i = 0; i < kProducts.size(); ++i)
        expected.push_back(kProducts[i] * (i % 2 == 0 ? 0.5F : 0.25F));
    EXPECT_EQ(run(g, {kRows}), expected);
}

TEST(ImportQuantized, ARowDoesNotDependOnItsNeighbours) {
    GraphBuilder g = layer({});
    g.output("y");
    const std::vector<float> alone = run(g, {{{0.1F, -0.7F, 0.3F, 0.2F}, {1, 4}}});
    const std::vector<float> beside =
        run(g, {{{0.1F, -0.7F, 0.3F, 0.2F, 1e6F, -1e6F, 3e5F, 0.0F}, {2, 4}}});
    EXPECT_EQ(alone[0], beside[0]);
    EXPECT_EQ(alone[1], beside[1]);
}

TEST(ImportQuantized, OneQuantisationFeedsSeveralLayers) {
    GraphBuilder g = layer({});
    g.node("MatMulInteger", {"q", "w", "z"}, {"i2"});
    g.node("Cast", {"i2"}, {"f2"}, {Attr::integer("to", kFloat)});
    g.floats("one", {}, {1});
    g.node("Mul", {"s", "one"}, {"s2"});
    g.node("Mul", {"s2", "f2"}, {"y2"});
    g.node("Concat", {"y", "y2"}, {"c"}, {Attr::integer("axis", 1)});
    g.output("c");
    EXPECT_EQ(operators(import(g)), "fc_int8 fc_int8");
    EXPECT_EQ(run(g, {{{0, 1, 2, 255}, {1, 4}}}),
              (std::vector<float>{-126.5F, 383.25F, -253, 1533}));
}

TEST(ImportQuantized, WhatIsNotSupportedIsSaid) {
    GraphBuilder asymmetric = layer({.zero = {0, 3}});
    asymmetric.output("y");
    EXPECT_CONTAINS(failure([&] { import(asymmetric); }), "zero point is 3");

    GraphBuilder no_zero_point = layer({.own_zero_point = false});
    no_zero_point.output("y");
    EXPECT_CONTAINS(failure([&] { import(no_zero_point); }), "DynamicQuantizeLinear");

    GraphBuilder unscaled = layer({});
    unscaled.output("i");
    EXPECT_CONTAINS(failure([&] { import(unscaled); }), "a product of INT8 tensors");

    GraphBuilder twice;
    twice.input("x", kFloat, {"batch", 4});
    twice.node("DynamicQuantizeLinear", {"x"}, {"q", "s", "z"});
    twice.node("Mul", {"s", "s"}, {"y"});
    twice.output("y");
    EXPECT_CONTAINS(failure([&] { import(twice); }), "do not belong together");

    GraphBuilder activation;
    activation.input("x", kFloat, {"batch", 4});
    activation.floats("scale", {}, {1});
    activation.node("DequantizeLinear", {"x", "scale"}, {"y"});
    activation.output("y");
    EXPECT_CONTAINS(failure([&] { import(activation); }), "only constants");
}

TEST(ImportQuantized, QuantisedConstantsAreExpanded) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.raw_tensor("w", kInt8, {2, 3}, bytes({1, 2, 3, -4, -5, -6}));
    g.floats("s", {3}, {1, 0.5F, 2});
    g.raw_tensor("z", kInt8, {3}, bytes({0, 2, 1}));
    g.raw_tensor("b", kInt32, {3}, std::string("\1\0\0\0\2\0\0\0\xff\xff\xff\xff", 12));
    g.floats("bs", {}, {10});
    g.node("DequantizeLinear", {"w", "s", "z"}, {"wf"}, {Attr::integer("axis", 1)});
    g.node("DequantizeLinear", {"b", "bs"}, {"bf"});
    g.node("Gemm", {"x", "wf", "bf"}, {"y"});
    g.output("y");
    EXPECT_EQ(operators(import(g)), "fc");
    // W = [[1, 0, 4], [-4, -3.5, -14]], bias = [10, 20, -10]
    EXPECT_EQ(run(g, {{{1, 10}, {1, 2}}}), (std::vector<float>{-29, -15, -146}));
}

} // namespace
} // namespace talus::test
