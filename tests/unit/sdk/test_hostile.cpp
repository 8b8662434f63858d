// Models that are truncated, hostile or contradictory: always a Failure that says what is wrong.
#include <fstream>
#include <iterator>
#include <random>

#include "sdk_test.hpp"

namespace talus::test {
namespace {

constexpr int kFloat = 1;

std::vector<std::byte> demo(const char* file) {
    std::ifstream stream(std::string(TALUS_DEMO_FOLDER) + "/" + file, std::ios::binary);
    const std::vector<char> text{std::istreambuf_iterator<char>(stream), {}};
    std::vector<std::byte> bytes(text.size());
    std::transform(text.begin(), text.end(), bytes.begin(),
                   [](char c) { return static_cast<std::byte>(c); });
    return bytes;
}

std::string refused(const GraphBuilder& g, talus_status wanted = TALUS_ERROR_MODEL) {
    talus_status status = TALUS_SUCCESS;
    const std::string message = failure([&] { import(g); }, &status);
    EXPECT_EQ(status, wanted) << message;
    return message;
}

GraphBuilder with_weight(int dtype, const std::vector<std::int64_t>& shape,
                         const std::string& raw) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.raw_tensor("w", dtype, shape, raw);
    g.node("MatMul", {"x", "w"}, {"y"});
    g.output("y");
    return g;
}

TEST(Hostile, EveryTruncationIsRefused) {
    const std::vector<std::byte> whole = demo("model_bag.onnx");
    ASSERT_GT(whole.size(), 1000U);
    for (std::size_t length = 0; length < whole.size();
         length += length < 600 ? 1 : 1 + whole.size() / 300) {
        const std::string message =
            failure([&] { onnx::import_model(onnx::read_model(std::span(whole).first(length))); });
        EXPECT_NE(message, "") << "cut at " << length;
    }
    EXPECT_EQ(failure([&] { onnx::import_model(onnx::read_model(whole)); }), "");
}

TEST(Hostile, NotAModel) {
    const std::string text = "row,probability\n0,0.5\n";
    EXPECT_CONTAINS(
        failure([&] { onnx::read_model(std::as_bytes(std::span(text.data(), text.size()))); }),
        "not an ONNX model");
    talus_status status = TALUS_SUCCESS;
    EXPECT_CONTAINS(failure([] { onnx::read_model_file("/nonexistent/model.onnx"); }, &status),
                    "/nonexistent/model.onnx");
    EXPECT_EQ(status, TALUS_ERROR_NOT_FOUND);
}

TEST(Hostile, TensorsWhoseDataDoNotFitTheirShape) {
    EXPECT_CONTAINS(refused(with_weight(kFloat, {2, 2}, std::string(15, '\0'))), "needs 16 bytes");
    EXPECT_CONTAINS(refused(with_weight(kFloat, {2, -2}, "")), "negative dimension");
    EXPECT_CONTAINS(refused(with_weight(kFloat, {INT64_MAX, 2}, "")), "exceeds the limit");
    EXPECT_CONTAINS(refused(with_weight(kFloat, {1 << 30, 1 << 30, 1 << 30}, "")),
                    "exceeds the limit");
    EXPECT_CONTAINS(refused(with_weight(kFloat, std::vector<std::int64_t>(17, 1), "abcd")),
                    "17 dimensions");
    refused(with_weight(99, {2, 2}, "abcd"), TALUS_ERROR_UNSUPPORTED);
}

TEST(Hostile, ExternalDataIsNotOpened) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.external_tensor("w", {2, 2});
    g.node("MatMul", {"x", "w"}, {"y"});
    g.output("y");
    EXPECT_CONTAINS(refused(g, TALUS_ERROR_UNSUPPORTED), "external file");
}

TEST(Hostile, CyclesAndDanglingNames) {
    GraphBuilder cycle;
    cycle.input("x", kFloat, {"batch", 2});
    cycle.node("Add", {"x", "b"}, {"a"});
    cycle.node("Relu", {"a"}, {"b"});
    cycle.output("b");
    EXPECT_CONTAINS(refused(cycle), "cycle");

    GraphBuilder self;
    self.input("x", kFloat, {"batch", 2});
    self.node("Add", {"x", "a"}, {"a"});
    self.output("a");
    EXPECT_CONTAINS(refused(self), "cycle");

    GraphBuilder dangling;
    dangling.input("x", kFloat, {"batch", 2});
    dangling.node("Relu", {"nowhere"}, {"y"});
    dangling.output("y");
    EXPECT_CONTAINS(refused(dangling), "'nowhere', which nothing defines");

    GraphBuilder unproduced;
    unproduced.input("x", kFloat, {"batch", 2});
    unproduced.output("y");
    EXPECT_CONTAINS(refused(unproduced), "graph output 'y'");
}

TEST(Hostile, NamesDefinedTwice) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.node("Relu", {"x"}, {"y"});
    g.node("Neg", {"x"}, {"y"});
    g.output("y");
    EXPECT_CONTAINS(refused(g), "'y' is defined twice");
    GraphBuilder h;
    h.input("x", kFloat, {"batch", 2});
    h.input("x", kFloat, {"batch", 2});
    h.output("x");
    EXPECT_CONTAINS(refused(h), "'x' is defined twice");
}

TEST(Hostile, GraphsNestedTooDeep) {
    GraphBuilder inner;
    inner.boolean("k", true);
    inner.output("k", 9);
    for (int depth = 0; depth < 8; ++depth) {
        GraphBuilder outer;
        const auto named = [&](const char* what) { return fmt::format("{}{}", what, depth); };
        outer.boolean(named("t"), true);
        outer.ints(named("m"), {}, {1});
        outer.node("Loop", {named("m"), named("t")}, {named("y")}, {}, &inner);
        outer.output(named("y"));
        inner = std::move(outer);
    }
    EXPECT_CONTAINS(refused(inner), "nested deeper");
}

TEST(Hostile, ShapesThatContradictEachOther) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 3});
    g.floats("w", {2, 2}, {1, 2, 3, 4});
    g.node("MatMul", {"x", "w"}, {"y"});
    g.output("y");
    EXPECT_CONTAINS(refused(g), "[batch,3]");
    GraphBuilder axis;
    axis.input("x", kFloat, {"batch", 3});
    axis.node("Concat", {"x", "x"}, {"y"}, {Attr::integer("axis", 7)});
    axis.output("y");
    EXPECT_CONTAINS(refused(axis), "axis 7");
    GraphBuilder arity;
    arity.input("x", kFloat, {"batch", 3});
    arity.node("Gemm", {"x"}, {"y"});
    arity.output("y");
    EXPECT_CONTAINS(refused(arity), "has 1 inputs");
}

TEST(Hostile, HugeActivationsAreRefused) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 1 << 20, 1 << 20});
    g.node("Relu", {"x"}, {"y"});
    g.output("y");
    EXPECT_CONTAINS(refused(g), "too large");
}

// Small files that ask for enormous work.
TEST(Hostile, AmplificationIsBounded) {
    GraphBuilder shapes; // every node doubles the shape
    shapes.input("x", kFloat, {"batch", 2});
    shapes.ints("s0", {2}, {1, 1});
    for (int i = 0; i < 64; ++i)
        shapes.node("Concat", {fmt::format("s{}", i), fmt::format("s{}", i)},
                    {fmt::format("s{}", i + 1)}, {Attr::integer("axis", 0)});
    shapes.node("Reshape", {"x", "s64"}, {"y"});
    shapes.output("y");
    EXPECT_CONTAINS(refused(shapes), "4096 elements");

    GraphBuilder widths; // every node doubles the activation
    widths.input("v0", kFloat, {"batch", 2});
    for (int i = 0; i < 64; ++i)
        widths.node("Concat", {fmt::format("v{}", i), fmt::format("v{}", i)},
                    {fmt::format("v{}", i + 1)}, {Attr::integer("axis", 1)});
    widths.output("v64");
    EXPECT_CONTAINS(refused(widths), "too large");

    GraphBuilder lookups;
    lookups.input("i", 7, {"batch", 2000000000});
    lookups.floats("table", {1, 1}, {1});
    lookups.node("Gather", {"table", "i"}, {"y"}, {Attr::integer("axis", 0)});
    lookups.output("y");
    EXPECT_CONTAINS(refused(lookups, TALUS_ERROR_UNSUPPORTED), "2000000000 rows a sample");

    GraphBuilder features;
    features.input("x", kFloat, {"batch", 2000000000, 1});
    features.node("Transpose", {"x"}, {"t"}, {Attr::list("perm", {0, 2, 1})});
    features.node("MatMul", {"x", "t"}, {"z"});
    features.node("Flatten", {"z"}, {"f"}, {Attr::integer("axis", 1)});
    features.ints("pairs", {1}, {1});
    features.node("Gather", {"f", "pairs"}, {"y"}, {Attr::integer("axis", 1)});
    features.output("y");
    EXPECT_CONTAINS(refused(features, TALUS_ERROR_UNSUPPORTED), "lower triangle");
}

TEST(Hostile, WrongOpset) {
    GraphBuilder g;
    g.input("x", kFloat, {"batch", 2});
    g.node("Relu", {"x"}, {"y"});
    g.output("y");
    EXPECT_CONTAINS(failure([&] { import(g, 3); }), "opset 3");
    EXPECT_CONTAINS(failure([&] { import(g, 1000); }), "opset 1000");
}

// Damaged copies of the demo models either import or are refused; nothing else. What imports is
// planned too. The seed is fixed, so that a finding is repeatable.
TEST(Hostile, MutatedModelsNeverCrash) {
    std::mt19937_64 random(20240229);
    std::size_t imported = 0;
    for (const char* file : {"model.onnx", "model_bag.onnx"}) {
        const std::vector<std::byte> original = demo(file);
        for (int round = 0; round < 1500; ++round) {
            std::vector<std::byte> mutant = original;
            const int edits = 1 + static_cast<int>(random() % 8);
            for (int e = 0; e < edits; ++e) {
                // Most of a model is weights; the structure is near the front of the file.
                const std::size_t range =
                    random() % 4 == 0 ? mutant.size() : std::min<std::size_t>(mutant.size(), 60000);
                const std::size_t at = random() % range;
                switch (random() % 4) {
                case 0:
                    mutant[at] = static_cast<std::byte>(random());
                    break;
                case 1:
                    mutant[at] ^= static_cast<std::byte>(1U << (random() % 8));
                    break;
                case 2:
                    mutant.erase(mutant.begin() + static_cast<std::ptrdiff_t>(at));
                    break;
                default:
                    mutant.insert(mutant.begin() + static_cast<std::ptrdiff_t>(at),
                                  static_cast<std::byte>(random()));
                }
            }
            try {
                const graph::Graph graph = onnx::import_model(onnx::read_model(mutant));
                plan::Options options;
                options.max_batch = 8;
                const plan::Plan plan = plan::compile(graph, {}, options);
                EXPECT_FALSE(plan::explain(graph, plan).empty());
                ++imported;
            } catch (const Failure& failure) {
                EXPECT_STRNE(failure.what(), "");
                EXPECT_NE(failure.status(), TALUS_ERROR_INTERNAL) << failure.what();
            }
        }
    }
    EXPECT_GT(imported, 100U) << "the mutations are too coarse to test what lies behind the parser";
}

} // namespace
} // namespace talus::test
