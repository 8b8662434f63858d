// Embeddings: Gather, Gather + Reduce, and PyTorch's Loop for EmbeddingBag.
#include "sdk_test.hpp"

namespace talus::test {
namespace {

constexpr int kInt64 = 7;
const std::vector<float> kTable = {1, 10, 2, 20, 3, 30, 4, 40}; // [4, 2]

TEST(Embedding, OneHotColumnsBecomeOneTableBatchedLookup) {
    GraphBuilder g;
    g.input("sparse", kInt64, {"batch", 2});
    for (int t = 0; t < 2; ++t) {
        const auto named = [&](const char* what) { return fmt::format("{}{}", what, t); };
        g.floats(named("table"), {4, 2}, kTable);
        g.ints(named("column"), {}, {t});
        g.node("Gather", {"sparse", named("column")}, {named("i")}, {Attr::integer("axis", 1)});
        g.node("Gather", {named("table"), named("i")}, {named("e")});
    }
    g.node("Concat", {"e0", "e1"}, {"y"}, {Attr::integer("axis", 1)});
    g.output("y");
    const graph::Graph graph = import(g);
    EXPECT_EQ(operators(graph), "tbe");
    EXPECT_EQ(run(g, {{std::vector<std::int64_t>{0, 3, 2, -1}, {2, 2}}}),
              (std::vector<float>{1, 10, 4, 40, 3, 30, 4, 40}))
        << "-1 counts from the end, as ONNX's Gather has it";
}

TEST(Embedding, UnpooledColumnsOfOneTable) {
    GraphBuilder g;
    g.input("idx", kInt64, {"batch", 2});
    g.floats("table", {4, 2}, kTable);
    g.node("Gather", {"table", "idx"}, {"rows"}, {Attr::integer("axis", 0)});
    g.node("Flatten", {"rows"}, {"y"}, {Attr::integer("axis", 1)});
    g.output("y");
    EXPECT_EQ(run(g, {{std::vector<std::int64_t>{1, 0, 3, 3}, {2, 2}}}),
              (std::vector<float>{2, 20, 1, 10, 4, 40, 4, 40}));
}

TEST(Embedding, GatherAndReduceIsPooling) {
    for (const auto& [op, expected] :
         {std::pair<std::string, std::vector<float>>{"ReduceSum", {6, 60}},
          {"ReduceMean", {2, 20}},
          {"ReduceMax", {3, 30}}}) {
        GraphBuilder g;
        g.input("idx", kInt64, {"batch", 3});
        g.floats("table", {4, 2}, kTable);
        g.node("Gather", {"table", "idx"}, {"rows"}, {Attr::integer("axis", 0)});
        if (op == "ReduceSum") {
            g.ints("axes", {1}, {1});
            g.node(op, {"rows", "axes"}, {"y"}, {Attr::integer("keepdims", 0)});
        } else {
            g.node(op, {"rows"}, {"y"}, {Attr::integer("keepdims", 0), Attr::list("axes", {-2})});
        }
        g.output("y");
        EXPECT_EQ(operators(import(g)), "tbe") << op;
        EXPECT_EQ(run(g, {{std::vector<std::int64_t>{2, 1, 0}, {1, 3}}}), expected) << op;
    }
}

struct LoopCase {
    const char* reduce;
    bool include_last;
    bool slice_starts;
    std::vector<float> expected;
};

class EmbeddingBagLoop : public testing::TestWithParam<LoopCase> {};

// Bags {1, 1, 3}, {} and {0}.
TEST_P(EmbeddingBagLoop, BecomesATableBatchedEmbedding) {
    const LoopCase& c = GetParam();
    GraphBuilder g;
    g.input("idx", kInt64, {"nnz"});
    g.input("off", kInt64, {c.include_last ? "batch_and_end" : "batch"});
    g.floats("table", {4, 2}, kTable);
    embedding_bag(g, "bag", "table", "idx", "off", "y", {c.reduce, c.include_last, c.slice_starts});
    g.output("y");
    EXPECT_EQ(operators(import(g)), "tbe");
    std::vector<std::int64_t> offsets = {0, 3, 3};
    if (c.include_last)
        offsets.push_back(4);
    const auto count = static_cast<std::int64_t>(offsets.size());
    EXPECT_EQ(run(g, {{std::vector<std::int64_t>{1, 1, 3, 0}, {4}}, {offsets, {count}}}),
              c.expected);
}

INSTANTIATE_TEST_SUITE_P(
    All, EmbeddingBagLoop,
    testing::Values(LoopCase{"ReduceSum", false, false, {8, 80, 0, 0, 1, 10}},
                    LoopCase{"ReduceSum", false, true, {8, 80, 0, 0, 1, 10}},
                    LoopCase{"ReduceSum", true, true, {8, 80, 0, 0, 1, 10}},
                    LoopCase{"ReduceMean", false, true, {8.0F / 3.0F, 80.0F / 3.0F, 0, 0, 1, 10}},
                    LoopCase{"ReduceMax", false, true, {4, 40, 0, 0, 1, 10}}));

TEST(Embedding, BagsAndColumnsMayShareALookup) {
    GraphBuilder g;
    g.input("idx", kInt64, {"nnz"});
    g.input("off", kInt64, {"batch"});
    g.input("one", kInt64, {"batch"});
    g.floats("table", {4, 2}, kTable);
    embedding_bag(g, "bag", "table", "idx", "off", "e0");
    g.node("Gather", {"table", "one"}, {"e1"}, {Attr::integer("axis", 0)});
    g.node("Concat", {"e1", "e0"}, {"y"}, {Attr::integer("axis", 1)});
    g.output("y");
    EXPECT_EQ(run(g, {{std::vector<std::int64_t>{0, 1, 2}, {3}},
                      {std::vector<std::int64_t>{0, 2}, {2}},
                      {std::vector<std::int64_t>{3, -4}, {2}}}),
              (std::vector<float>{4, 40, 3, 30, 1, 10, 3, 30}));
}

TEST(Embedding, LoopsThatAreNoBagsAreRefused) {
    GraphBuilder body;
    body.input("i", kInt64, {});
    body.input("cond", 9, {});
    body.node("Identity", {"cond"}, {"go_on"});
    body.node("Gather", {"table", "i"}, {"row"}, {Attr::integer("axis", 0)});
    body.output("go_on", 9);
    body.output("row", 1);
    GraphBuilder g;
    g.input("idx", kInt64, {"nnz"});
    g.floats("table", {4, 2}, kTable);
    g.ints("trips", {}, {4});
    g.boolean("true", true);
    g.node("Loop", {"trips", "true"}, {"y"}, {}, &body);
    g.output("y");
    talus_status status = TALUS_SUCCESS;
    const std::string message = failure([&] { import(g); }, &status);
    EXPECT_EQ(status, TALUS_ERROR_UNSUPPORTED);
    EXPECT_CONTAINS(message, "Gather");
}

TEST(Embedding, LoopWithAnotherTripCountIsRefused) {
    GraphBuilder g;
    g.input("idx", kInt64, {"nnz"});
    g.input("off", kInt64, {"batch"});
    g.input("other", kInt64, {"other"});
    g.floats("table", {4, 2}, kTable);
    // Bags of `off`, but the last one ends where `other` does.
    embedding_bag(g, "bag", "table", "other", "off", "y0");
    g.output("y0");
    EXPECT_EQ(failure([&] { import(g); }), "");
    GraphBuilder h;
    h.input("idx", kInt64, {"nnz"});
    h.input("off", kInt64, {"batch"});
    h.floats("table", {4, 2}, kTable);
    h.ints("zero", {1}, {0});
    h.ints("one", {1}, {1});
    h.ints("end", {1}, {INT64_MAX});
    h.ints("fixed", {1}, {17});
    h.ints("trips", {}, {5});
    h.boolean("true", true);
    h.node("Concat", {"off", "fixed"}, {"all"}, {Attr::integer("axis", 0)});
    h.node("Slice", {"all", "one", "end", "zero"}, {"ends"});
    GraphBuilder body;
    body.input("i", kInt64, {});
    body.input("cond", 9, {});
    body.node("Gather", {"all", "i"}, {"s"});
    body.node("Gather", {"ends", "i"}, {"e"});
    body.node("Unsqueeze", {"s", "zero"}, {"s1"});
    body.node("Unsqueeze", {"e", "zero"}, {"e1"});
    body.node("Slice", {"idx", "s1", "e1", "zero"}, {"b"});
    body.node("Gather", {"table", "b"}, {"rows"});
    body.node("ReduceSum", {"rows", "zero"}, {"pooled"}, {Attr::integer("keepdims", 0)});
    body.node("Identity", {"cond"}, {"go_on"});
    body.output("go_on", 9);
    body.output("pooled", 1);
    h.node("Loop", {"trips", "true"}, {"y"}, {}, &body);
    h.output("y");
    EXPECT_CONTAINS(failure([&] { import(h); }), "the last bag does not end with the indices");
}

} // namespace
} // namespace talus::test
