// Planning: which node runs where and why, and that mixed plans move exactly what they must.
#include <random>

#include "fake_device.hpp"
#include "sdk_test.hpp"

namespace talus::test {
namespace {

std::vector<std::byte> demo_model() {
    const std::string path = std::string(TALUS_DEMO_FOLDER) + "/model.onnx";
    std::vector<std::byte> bytes;
    FILE* file = std::fopen(path.c_str(), "rb");
    if (file == nullptr)
        return bytes;
    int c = 0;
    while ((c = std::fgetc(file)) != EOF)
        bytes.push_back(static_cast<std::byte>(c));
    std::fclose(file);
    return bytes;
}

runtime::ModelPtr load(std::vector<runtime::DevicePtr> devices, plan::Options options = {}) {
    return runtime::Model::load(demo_model(), std::move(devices), std::move(options));
}

std::vector<float> score(const runtime::ModelPtr& model, std::int64_t rows) {
    std::mt19937 random(7);
    std::vector<float> dense(static_cast<std::size_t>(rows) * 13);
    std::vector<std::int64_t> sparse(static_cast<std::size_t>(rows) * 26);
    for (float& value : dense)
        value = static_cast<float>(random() % 2000) / 1000.0F - 1.0F;
    for (std::int64_t& value : sparse)
        value = static_cast<std::int64_t>(random() % 9);
    runtime::Request request(model);
    Input d(dense, {rows, 13});
    Input s(sparse, {rows, 26});
    request.set_input(0, d.tensor());
    request.set_input(1, s.tensor());
    request.run();
    return output_of(request);
}

std::map<std::string, std::string> targets(const runtime::Model& model) {
    std::map<std::string, std::string> result; // node -> target
    for (const plan::NodePlan& planned : model.plan().nodes)
        result[model.graph().nodes[planned.node].name] =
            model.plan().devices[planned.device]->info().target;
    return result;
}

TEST(Plan, EverythingOnTheFirstDeviceThatRunsIt) {
    const auto model = load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{})});
    for (const auto& [node, target] : targets(*model))
        EXPECT_EQ(target, "cuda") << node;
    EXPECT_CONTAINS(model->explanation(), "first choice");
}

TEST(Plan, RefusalsAreReasons) {
    const auto model = load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{"tbe"})});
    for (const plan::NodePlan& planned : model->plan().nodes) {
        const bool tbe = std::string(model->graph().nodes[planned.node].op()) == "tbe";
        EXPECT_EQ(model->plan().devices[planned.device]->info().target, tbe ? "cpu" : "cuda");
        EXPECT_EQ(planned.reason, tbe ? "cuda: no such unit: tbe" : "first choice");
    }
}

TEST(Plan, StrictRefusesAFallbackAndSaysWhichNode) {
    plan::Options options;
    options.strict = true;
    talus_status status = TALUS_SUCCESS;
    const std::string message = failure(
        [&] {
            load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{"interaction"})},
                 options);
        },
        &status);
    EXPECT_EQ(status, TALUS_ERROR_FALLBACK);
    EXPECT_CONTAINS(message, "(interaction)");
    EXPECT_CONTAINS(message, "no such unit: interaction");
    EXPECT_EQ(failure([&] {
                  load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{})}, options);
              }),
              "");
}

TEST(Plan, DenialsByOperatorAndByNode) {
    plan::Options options;
    options.deny = {"cuda:fc"};
    auto model = load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{})}, options);
    for (const plan::NodePlan& planned : model->plan().nodes)
        EXPECT_EQ(model->plan().devices[planned.device]->info().target,
                  std::string(model->graph().nodes[planned.node].op()) == "fc" ? "cpu" : "cuda");
    options.deny = {"cuda:/bot/bot.2/Gemm"};
    model = load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{})}, options);
    for (const auto& [node, target] : targets(*model))
        EXPECT_EQ(target, node == "/bot/bot.2/Gemm" ? "cpu" : "cuda") << node;
    for (const char* nonsense : {"fc", "cuda:", "gpu:fc", "cuda:nothing"}) {
        options.deny = {nonsense};
        talus_status status = TALUS_SUCCESS;
        EXPECT_NE(failure([&] { load({}, options); }, &status), "") << nonsense;
        EXPECT_EQ(status, TALUS_ERROR_INVALID_ARGUMENT);
    }
    options.deny = {"cpu:fc"};
    talus_status status = TALUS_SUCCESS;
    EXPECT_CONTAINS(failure([&] { load({}, options); }, &status), "runs on no target");
    EXPECT_EQ(status, TALUS_ERROR_UNSUPPORTED);
}

// Every set of refused operators gives another mixture; all give the CPU's own results, because the
// fake computes as the CPU does and fresh memory is NaN.
TEST(Plan, EveryMixtureComputesTheSame) {
    const std::vector<float> expected = score(load({}), 37);
    const std::vector<std::string> operators = {"fc", "tbe", "interaction"};
    for (unsigned mask = 0; mask < 8; ++mask) {
        std::set<std::string> refused;
        for (unsigned i = 0; i < 3; ++i)
            if ((mask >> i & 1U) != 0)
                refused.insert(operators[i]);
        const auto model = load({std::make_shared<FakeDevice>("cuda", refused)});
        EXPECT_EQ(score(model, 37), expected) << "mask " << mask;
    }
}

TEST(Plan, EverySingleNodeOnTheOtherDevice) {
    const std::vector<float> expected = score(load({}), 5);
    const auto all = targets(*load({}));
    for (const auto& [node, target] : all) {
        plan::Options options;
        options.deny = {"cuda:" + node};
        const auto model =
            load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{})}, options);
        EXPECT_EQ(score(model, 5), expected) << node;
    }
}

TEST(Plan, AWholeDevicePlanCopiesInputsAndOutputsOnly) {
    const auto model = load({std::make_shared<FakeDevice>("cuda", std::set<std::string>{})});
    FakeDevice::copies() = 0;
    score(model, 3);
    EXPECT_EQ(FakeDevice::copies(), 3) << "dense in, indices in, probabilities out";
}

TEST(Plan, LargeRequestsAreCutIntoPiecesOfMaxBatch) {
    plan::Options options;
    options.max_batch = 16;
    const std::vector<float> whole = score(load({}), 50);
    const std::vector<float> pieces = score(load({}, options), 50);
    ASSERT_EQ(whole.size(), pieces.size());
    for (std::size_t i = 0; i < whole.size(); ++i)
        EXPECT_NEAR(whole[i], pieces[i], 1e-6);
    options.max_batch = 0;
    EXPECT_NE(failure([&] { load({}, options); }), "");
}

TEST(Plan, SharedTablesAreStoredOnce) {
    GraphBuilder g;
    g.input("idx", 7, {"batch", 3});
    g.floats("table", {100, 4}, std::vector<float>(400, 1.0F));
    g.node("Gather", {"table", "idx"}, {"rows"}, {Attr::integer("axis", 0)});
    g.node("Flatten", {"rows"}, {"y"}, {Attr::integer("axis", 1)});
    g.output("y");
    const auto model = runtime::Model::load(g.model(), {}, {});
    EXPECT_EQ(model->plan().nodes.front().table_bytes, 1600);
    EXPECT_EQ(model->plan().nodes.front().tables.size(), 3U);
}

} // namespace
} // namespace talus::test
