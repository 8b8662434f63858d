// Requests: binding, bad input, asynchronous runs. Errors stay with their request.
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

#include "sdk/runtime/stream.hpp"
#include "sdk_test.hpp"

namespace talus::test {
namespace {

using Ints = std::vector<std::int64_t>;

// y = [table0[idx0 bag], x]
GraphBuilder bag_model() {
    GraphBuilder g;
    g.input("x", 1, {"batch", 1});
    g.input("idx", 7, {"nnz"});
    g.input("off", 7, {"batch"});
    g.floats("table", {3, 1}, {1, 10, 100});
    embedding_bag(g, "bag", "table", "idx", "off", "e");
    g.node("Concat", {"e", "x"}, {"y"}, {Attr::integer("axis", 1)});
    g.output("y");
    return g;
}

struct Harness {
    explicit Harness(const GraphBuilder& g, std::int64_t max_batch = 2048)
        : request(runtime::Model::load(g.model(), {}, {max_batch, false, false, {}})) {}

    std::string run(std::vector<Input> given, talus_status* status = nullptr) {
        inputs = std::move(given);
        return failure(
            [&] {
                for (std::size_t i = 0; i < inputs.size(); ++i)
                    request.set_input(i, inputs[i].tensor());
                request.run();
            },
            status);
    }

    runtime::Request request;
    std::vector<Input> inputs;
};

TEST(Request, BagsThatCrossPieces) {
    Harness h(bag_model(), 2);
    EXPECT_EQ(
        h.run({{{1.0F, 2.0F, 3.0F}, {3, 1}}, {Ints{0, 1, 2, 2, 0}, {5}}, {Ints{0, 2, 2}, {3}}}),
        "");
    EXPECT_EQ(output_of(h.request), (std::vector<float>{11, 1, 0, 2, 201, 3}));
}

TEST(Request, IndicesOutOfRangeNameTableSampleAndPosition) {
    Harness h(bag_model(), 2);
    talus_status status = TALUS_SUCCESS;
    std::string message = h.run(
        {{{1.0F, 2.0F, 3.0F}, {3, 1}}, {Ints{0, 1, 2, 3}, {4}}, {Ints{0, 1, 2}, {3}}}, &status);
    EXPECT_EQ(status, TALUS_ERROR_INDEX_OUT_OF_RANGE);
    EXPECT_CONTAINS(message, "table 0 (/e), sample 2, position 1: index 3");
    EXPECT_CONTAINS(message, "3 rows");
    message = h.run({{{1.0F}, {1, 1}}, {Ints{-1}, {1}}, {Ints{0}, {1}}}, &status);
    EXPECT_EQ(status, TALUS_ERROR_INDEX_OUT_OF_RANGE) << "EmbeddingBag permits no negative index";
    // The next run works.
    EXPECT_EQ(h.run({{{1.0F}, {1, 1}}, {Ints{2}, {1}}, {Ints{0}, {1}}}), "");
    EXPECT_EQ(output_of(h.request), (std::vector<float>{100, 1}));
}

TEST(Request, BadOffsets) {
    for (const Ints& offsets : {Ints{-1, 0}, Ints{1, 0}, Ints{0, 3}, Ints{0, INT64_MAX}}) {
        Harness h(bag_model());
        talus_status status = TALUS_SUCCESS;
        const std::string message =
            h.run({{{1.0F, 2.0F}, {2, 1}}, {Ints{0, 1}, {2}}, {offsets, {2}}}, &status);
        EXPECT_EQ(status, TALUS_ERROR_INDEX_OUT_OF_RANGE) << message;
        EXPECT_CONTAINS(message, "offsets");
    }
}

TEST(Request, EmptyBatchAndEmptyBags) {
    Harness h(bag_model());
    EXPECT_EQ(h.run({{std::vector<float>{}, {0, 1}}, {Ints{}, {0}}, {Ints{}, {0}}}),
              "input 'x' must be float32, not type 7")
        << "an empty vector of this test has no type; the model's own is checked";
    Input x(std::vector<float>{1.0F}, {0, 1});
    EXPECT_EQ(h.run({x, {Ints{}, {0}}, {Ints{}, {0}}}), "");
    EXPECT_TRUE(output_of(h.request).empty());
    EXPECT_EQ(h.run({{{1.0F, 2.0F}, {2, 1}}, {Ints{}, {0}}, {Ints{0, 0}, {2}}}), "");
    EXPECT_EQ(output_of(h.request), (std::vector<float>{0, 1, 0, 2}));
}

TEST(Request, WrongShapesTypesAndBatches) {
    Harness h(bag_model());
    talus_status status = TALUS_SUCCESS;
    EXPECT_CONTAINS(h.run({{{1.0F, 2.0F}, {1, 2}}}, &status), "input 'x' must be [batch,1]");
    EXPECT_EQ(status, TALUS_ERROR_BAD_INPUT);
    EXPECT_CONTAINS(h.run({{Ints{1}, {1, 1}}}, &status), "must be float32");
    EXPECT_CONTAINS(h.run({{{1.0F}, {1}}}, &status), "must be [batch,1], not [1]");
    EXPECT_CONTAINS(h.run({{{1.0F, 2.0F}, {2, 1}}, {Ints{0}, {1}}, {Ints{0}, {1}}}, &status),
                    "input 'off' holds 1 samples, but 'x' holds 2");
    Harness unbound(bag_model());
    EXPECT_CONTAINS(unbound.run({{{1.0F}, {1, 1}}}, &status), "input 'idx' [nnz] is not bound");
    EXPECT_CONTAINS(failure([&] { unbound.request.output(0); }), "no successful run");
    Input y({1.0F}, {-1, 1});
    EXPECT_CONTAINS(failure([&] { unbound.request.set_input(0, y.tensor()); }), "not [-1,1]");
    EXPECT_NE(failure([&] { unbound.request.set_input(9, y.tensor()); }), "");
}

TEST(Request, NaNsPassThrough) {
    Harness h(bag_model());
    const float nan = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(h.run({{{nan, 1.0F}, {2, 1}}, {Ints{0, 0}, {2}}, {Ints{0, 1}, {2}}}), "");
    const std::vector<float> y = output_of(h.request);
    EXPECT_TRUE(std::isnan(y[1]));
    EXPECT_EQ(y[0], 1.0F);
    EXPECT_EQ(y[3], 1.0F);
}

TEST(Request, CallersMemoryForOutputs) {
    Harness h(bag_model());
    std::vector<float> mine(4, -1.0F);
    h.request.set_output(0, mine.data(), 2 * sizeof(float));
    EXPECT_CONTAINS(h.run({{{1.0F, 2.0F}, {2, 1}}, {Ints{0, 1}, {2}}, {Ints{0, 1}, {2}}}),
                    "needs 16 bytes");
    h.request.set_output(0, mine.data(), 4 * sizeof(float));
    EXPECT_EQ(h.run({{{1.0F, 2.0F}, {2, 1}}, {Ints{0, 1}, {2}}, {Ints{0, 1}, {2}}}), "");
    EXPECT_EQ(mine, (std::vector<float>{1, 1, 10, 2}));
}

TEST(Request, OneModelServesManyThreads) {
    const auto model = runtime::Model::load(bag_model().model(), {}, {});
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            runtime::Request request(model);
            for (int i = 0; i < 50; ++i) {
                Input x({static_cast<float>(t)}, {1, 1});
                Input idx(Ints{t % 3}, {1});
                Input off(Ints{0}, {1});
                request.set_input(0, x.tensor());
                request.set_input(1, idx.tensor());
                request.set_input(2, off.tensor());
                request.run();
                const float expected = t % 3 == 0 ? 1.0F : t % 3 == 1 ? 10.0F : 100.0F;
                wrong += output_of(request) != std::vector<float>{expected, static_cast<float>(t)};
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(wrong, 0);
}

TEST(Request, StatisticsCountWork) {
    Harness h(bag_model());
    ASSERT_EQ(h.run({{{1.0F, 2.0F}, {2, 1}}, {Ints{0, 1, 1}, {3}}, {Ints{0, 1}, {2}}}), "");
    EXPECT_EQ(h.request.stats().runs, 1U);
    EXPECT_EQ(h.request.stats().samples, 2U);
    EXPECT_EQ(h.request.stats().device_cycles, 0U);
    bool found = false;
    for (const runtime::OperatorStats& stats : h.request.operators())
        if (stats.op == "tbe") {
            found = true;
            EXPECT_EQ(stats.launches, 1U);
            // 3 rows of 4 bytes with a 4-byte index each, and 2 results of 4 bytes.
            EXPECT_EQ(stats.bytes, 3U * 8U + 2U * 4U);
            EXPECT_EQ(stats.target, "cpu");
            EXPECT_LT(stats.utilisation(), 0.0);
        }
    EXPECT_TRUE(found);
}

TEST(WorkerPool, EveryPartRunsOnceWhateverTheCallers) {
    for (std::size_t workers : {1U, 2U, 5U}) {
        runtime::WorkerPool pool(workers);
        std::vector<std::thread> callers;
        std::atomic<int> wrong = 0;
        for (int c = 0; c < 3; ++c)
            callers.emplace_back([&] {
                for (std::size_t count : {0U, 1U, 3U, 100U}) {
                    std::vector<std::atomic<int>> ran(count);
                    pool.run(count, [&](std::size_t part) { ++ran[part]; });
                    for (const auto& times : ran)
                        wrong += times != 1;
                }
            });
        for (std::thread& caller : callers)
            caller.join();
        EXPECT_EQ(wrong, 0) << workers;
    }
}

// Rows that several workers share are the rows that one computes.
TEST(Request, LargeBatchesAreSharedByWorkers) {
    GraphBuilder g;
    g.input("idx", 7, {"batch", 3});
    g.floats("table", {50, 2}, [] {
        std::vector<float> rows(100);
        for (std::size_t i = 0; i < rows.size(); ++i)
            rows[i] = static_cast<float>(i);
        return rows;
    }());
    g.ints("axes", {1}, {1});
    g.node("Gather", {"table", "idx"}, {"rows"}, {Attr::integer("axis", 0)});
    g.node("ReduceSum", {"rows", "axes"}, {"y"}, {Attr::integer("keepdims", 0)});
    g.output("y");
    constexpr std::int64_t kRows = 1001;
    Ints indices;
    std::vector<float> expected;
    for (std::int64_t r = 0; r < kRows; ++r) {
        const Ints bag = {r % 50, r * 7 % 50, r * 13 % 50};
        indices.insert(indices.end(), bag.begin(), bag.end());
        for (std::int64_t c = 0; c < 2; ++c)
            expected.push_back(static_cast<float>(2 * (bag[0] + bag[1] + bag[2]) + 3 * c));
    }
    EXPECT_EQ(run(g, {{indices, {kRows, 3}}}), expected);
}

TEST(Stream, TasksRunInOrderAndMarkersPass) {
    runtime::Stream stream;
    std::vector<int> order;
    for (int i = 0; i < 100; ++i)
        stream.submit([&order, i] { order.push_back(i); });
    const auto marker = stream.mark();
    marker->wait();
    ASSERT_EQ(order.size(), 100U);
    for (int i = 0; i < 100; ++i)
        EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
    EXPECT_TRUE(marker->passed());
}

TEST(Stream, OneStreamWaitsForAnothersMarker) {
    runtime::Stream first;
    runtime::Stream second;
    std::atomic<bool> gate = false;
    std::atomic<bool> done = false;
    first.submit([&] {
        while (!gate)
            std::this_thread::yield();
        done = true;
    });
    const auto marker = first.mark();
    std::atomic<bool> saw = false;
    second.submit([marker] { marker->wait(); });
    second.submit([&] { saw = done.load(); });
    EXPECT_FALSE(marker->passed());
    gate = true;
    second.synchronize();
    EXPECT_TRUE(saw);
}

} // namespace
} // namespace talus::test
