// The importer: what ONNX graphs become, and that they compute what ONNX says.
#include "sdk_test.hpp"

namespace talus::test {
namespace {

constexpr int kFloat = 1;
constexpr int kInt64 = 7;

TEST(Import, GemmBiasReluIsOneLayer) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.floats("w", {3, 2}, {1, 2, 3, 4, -5, -6});
    g.floats("b", {3}, {10, 20, 30});
    g.node("Gemm", {"x", "w", "b"}, {"y"}, {Attr::integer("transB", 1)});
    g.node("Relu", {"y"}, {"z"});
    g.output("z");
    EXPECT_EQ(operators(import(g)), "fc");
    // [1,1] -> 1+2+10, 3+4+20, relu(-11+30); [10,0] -> 20, 50, relu(-50+30)
    EXPECT_EQ(run(g, {{{1.0F, 1.0F, 10.0F, 0.0F}, {2, 2}}}),
              (std::vector<float>{13, 27, 19, 20, 50, 0}));
}

TEST(Import, GemmScalesAndUntransposedWeights) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.floats("w", {2, 3}, {1, 2, 3, 4, 5, 6});
    g.floats("c", {1}, {100});
    g.node("Gemm", {"x", "w", "c"}, {"y"}, {Attr::real("alpha", 2.0F), Attr::real("beta", 0.5F)});
    g.output("y");
    EXPECT_EQ(run(g, {{{1.0F, 10.0F}, {1, 2}}}), (std::vector<float>{132, 154, 176}));
}

TEST(Import, MatMulAddSigmoidIsOneLayer) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 1});
    g.floats("w", {1, 2}, {0, 0});
    g.floats("b", {2}, {0, 100});
    g.node("MatMul", {"x", "w"}, {"m"});
    g.node("Add", {"b", "m"}, {"a"});
    g.node("Sigmoid", {"a"}, {"p"});
    g.output("p");
    const graph::Graph graph = import(g);
    EXPECT_EQ(operators(graph), "fc");
    EXPECT_EQ(graph.nodes.front().onnx_nodes.size(), 3U);
    EXPECT_EQ(run(g, {{{7.0F}, {1, 1}}}), (std::vector<float>{0.5F, 1.0F}));
}

TEST(Import, ActivationIsNotFusedIntoALayerThatSomebodyElseReads) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 1});
    g.floats("w", {1, 1}, {1});
    g.node("MatMul", {"x", "w"}, {"m"});
    g.node("Relu", {"m"}, {"r"});
    g.node("Concat", {"m", "r"}, {"c"}, {Attr::integer("axis", 1)});
    g.output("c");
    EXPECT_EQ(run(g, {{{-3.0F, 4.0F}, {2, 1}}}), (std::vector<float>{-3, 0, 4, 4}));
}

TEST(Import, ElementWiseOperatorsAndBroadcastConstants) {
    GraphBuilder g;
    g.input("a", kFloat, {"batch", 2});
    g.input("b", kFloat, {"batch", 2});
    g.floats("row", {2}, {100, 200});
    g.floats("one", {}, {1});
    g.node("Mul", {"a", "b"}, {"ab"});
    g.node("Sub", {"row", "ab"}, {"s"});
    g.node("Div", {"s", "b"}, {"d"});
    g.node("Add", {"d", "one"}, {"e"});
    g.node("Neg", {"e"}, {"n"});
    g.node("Clip", {"n"}, {"z"}, {Attr::real("min", -40.0F), Attr::real("max", 0.0F)});
    g.output("z");
    // -((row - a*b)/b + 1): a=1,2 b=4,5 -> -(24+1), -(38+1); a=3,4 b=2,-2 -> clip(-48), clip(103)
    EXPECT_EQ(run(g, {{{1.0F, 2.0F, 3.0F, 4.0F}, {2, 2}}, {{4.0F, 5.0F, 2.0F, -2.0F}, {2, 2}}}),
              (std::vector<float>{-25, -39, -40, 0}));
}

TEST(Import, ConcatIsAViewUnlessAnInputHasTwoPlaces) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 1});
    for (const char* w : {"w1", "w2"})
        g.floats(w, {1, 1}, {w[1] == '1' ? 2.0F : 3.0F});
    g.node("MatMul", {"x", "w1"}, {"two"});
    g.node("MatMul", {"x", "w2"}, {"three"});
    g.node("Concat", {"two", "three"}, {"c"}, {Attr::integer("axis", -1)});
    g.node("Concat", {"three", "c", "x"}, {"d"}, {Attr::integer("axis", 1)});
    g.output("d");
    const graph::Graph graph = import(g);
    std::size_t elided = 0;
    std::size_t copied = 0;
    for (const graph::Node& node : graph.nodes) {
        elided += node.elided;
        if (std::string(node.op()) == "concat")
            copied += node.inputs.size();
    }
    EXPECT_EQ(elided, 1U);
    EXPECT_EQ(copied, 2U); // "three" lives in the first concatenation, "x" with the caller
    EXPECT_EQ(run(g, {{{1.0F, 10.0F}, {2, 1}}}), (std::vector<float>{3, 2, 3, 1, 30, 20, 30, 10}));
}

// T = [[1,2],[3,4],[5,6]]: products 11, 17, 39 below the diagonal.
GraphBuilder interaction(const std::vector<std::int64_t>& pairs, bool dense) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 6});
    g.floats("w", {6, 6}, [] {
        std::vector<float> eye(36, 0.0F);
        for (std::size_t i = 0; i < 6; ++i)
            eye[i * 7] = 1.0F;
        return eye;
    }());
    g.node("MatMul", {"x", "w"}, {"y"});
    g.ints("shape", {3}, {-1, 3, 2});
    g.node("Reshape", {"y", "shape"}, {"t"});
    g.node("Transpose", {"t"}, {"tt"}, {Attr::list("perm", {0, 2, 1})});
    g.node("MatMul", {"t", "tt"}, {"z"});
    g.node("Flatten", {"z"}, {"f"}, {Attr::integer("axis", 1)});
    g.ints("pairs", {static_cast<std::int64_t>(pairs.size())}, pairs);
    g.node("Gather", {"f", "pairs"}, {"p"}, {Attr::integer("axis", 1)});
    if (dense) {
        g.node("Concat", {"y", "p"}, {"out"}, {Attr::integer("axis", 1)});
        g.output("out");
    } else {
        g.output("p");
    }
    return g;
}

const Input kFeatures({1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}, {1, 6});

TEST(Import, DotInteraction) {
    EXPECT_EQ(operators(import(interaction({3, 6, 7}, false))), "fc interaction");
    EXPECT_EQ(run(interaction({3, 6, 7}, false), {kFeatures}), (std::vector<float>{11, 17, 39}));
    // (1,0) may be taken at (0,1).
    EXPECT_EQ(run(interaction({1, 2, 5}, false), {kFeatures}), (std::vector<float>{11, 17, 39}));
    EXPECT_EQ(run(interaction({0, 3, 4, 6, 7, 8}, false), {kFeatures}),
              (std::vector<float>{5, 11, 25, 17, 39, 61}));
}

TEST(Import, DotInteractionTakesTheDenseColumnsAlong) {
    const GraphBuilder g = interaction({3, 6, 7}, true);
    EXPECT_EQ(operators(import(g)), "fc interaction");
    EXPECT_EQ(run(g, {kFeatures}), (std::vector<float>{1, 2, 3, 4, 5, 6, 11, 17, 39}));
}

TEST(Import, OtherTrianglesAreRefusedByName) {
    talus_status status = TALUS_SUCCESS;
    const std::string message = failure([] { import(interaction({7, 6, 3}, false)); }, &status);
    EXPECT_EQ(status, TALUS_ERROR_UNSUPPORTED);
    EXPECT_CONTAINS(message, "node '/p' (Gather)");
    EXPECT_CONTAINS(message, "lower triangle");
}

TEST(Import, ReshapeBySizesOfTheInput) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2, 3});
    g.ints("zero", {}, {0});
    g.ints("axis", {1}, {0});
    g.ints("minus", {1}, {-1});
    g.node("Shape", {"x"}, {"s"});
    g.node("Gather", {"s", "zero"}, {"b"}, {Attr::integer("axis", 0)});
    g.node("Unsqueeze", {"b", "axis"}, {"b1"});
    g.node("Concat", {"b1", "minus"}, {"to"}, {Attr::integer("axis", 0)});
    g.node("Reshape", {"x", "to"}, {"flat"});
    g.node("Relu", {"flat"}, {"y"});
    g.output("y");
    const graph::Graph graph = import(g);
    EXPECT_EQ(graph::to_string(graph.output_shapes.front()), "[batch,6]");
    EXPECT_EQ(run(g, {{{1.0F, -2.0F, 3.0F, -4.0F, 5.0F, -6.0F}, {1, 2, 3}}}),
              (std::vector<float>{1, 0, 3, 0, 5, 0}));
}

TEST(Import, ReshapeThatMixesSamplesIsRefused) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 6});
    g.ints("shape", {2}, {-1, 4});
    g.node("Reshape", {"x", "shape"}, {"y"});
    g.output("y");
    EXPECT_CONTAINS(failure([&] { import(g); }), "the batch must stay the first dimension");
}

TEST(Import, UnsupportedOperatorsAreNamedWithWhatIsSupported) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 6});
    g.node("Softmax", {"x"}, {"q"});
    g.output("q");
    talus_status status = TALUS_SUCCESS;
    const std::string message = failure([&] { import(g); }, &status);
    EXPECT_EQ(status, TALUS_ERROR_UNSUPPORTED);
    EXPECT_CONTAINS(message, "node '/q' (Softmax)");
    EXPECT_CONTAINS(message, "Gemm");
    EXPECT_CONTAINS(message, "Loop");
}

TEST(Import, CastsOfIndicesAndConstants) {
    GraphBuilder g;
    g.input("i", 6, {"batch", 1});
    g.floats("table", {3, 1}, {5, 6, 7});
    g.node("Cast", {"i"}, {"wide"}, {Attr::integer("to", kInt64)});
    g.node("Gather", {"table", "wide"}, {"rows"}, {Attr::integer("axis", 0)});
    g.node("Flatten", {"rows"}, {"y"}, {Attr::integer("axis", 1)});
    g.output("y");
    EXPECT_EQ(operators(import(g)), "tbe");
}

TEST(Import, NodesThatNothingReadsAreDropped) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 1});
    g.floats("w", {1, 1}, {1});
    g.node("MatMul", {"x", "w"}, {"used"});
    g.node("MatMul", {"x", "w"}, {"unused"});
    g.node("Relu", {"unused"}, {"also_unused"});
    g.output("used");
    EXPECT_EQ(import(g).nodes.size(), 1U);
}

TEST(Import, AnInputMayBeAnOutput) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.node("Identity", {"x"}, {"y"});
    g.output("y");
    EXPECT_EQ(run(g, {{{1.0F, 2.0F}, {1, 2}}}), (std::vector<float>{1, 2}));
}

TEST(Import, DemoModelsBecomeTheSameOperators) {
    for (const char* file : {"model.onnx", "model_bag.onnx"}) {
        const graph::Graph graph =
            onnx::import_model(onnx::read_model_file(std::string(TALUS_DEMO_FOLDER) + "/" + file));
        EXPECT_EQ(operators(graph), "fc fc fc tbe interaction fc fc fc") << file;
        for (const graph::Node& node : graph.nodes)
            if (const auto* tbe = std::get_if<graph::Tbe>(&node.what)) {
                EXPECT_EQ(tbe->tables.size(), 26U);
            }
    }
}

} // namespace
} // namespace talus::test
