// talus-run scores click logs: numerically equal to PyTorch within a stated tolerance on every
// target (2e-4 on talus with FP16, 1e-6 on cpu), bit-exact against itself across batch sizes and
// runs.
#include <algorithm>

#include "cli.hpp"

namespace talus::test {
namespace {

constexpr double kTalusTolerance = 2e-4;
constexpr double kCpuTolerance = 1e-6;

struct Log {
    std::string arguments; // model, data, encoder
    std::string expected;
    double auc;
};

std::vector<Log> demo_logs() {
    const std::string expected = std::string(TALUS_DEMO_FOLDER) + "/expected.csv";
    return {{demo_arguments("model.onnx"), expected, NAN},
            {demo_arguments("model_bag.onnx"), expected, NAN}};
}

// Real logs; they may not be copied into the project.
std::vector<Log> criteo_logs() {
    std::vector<Log> logs;
    const std::string folder = TALUS_CRITEO_FOLDER;
    for (const char* model : {"dlrm_onehot", "dlrm_bag"})
        for (const auto& [data, auc] :
             {std::pair{"train_tiny", 0.7951}, std::pair{"criteo_sample", 0.6902}})
            logs.push_back({fmt::format("--model {0}/{1}/model.onnx --data {0}/{2}.csv "
                                        "--encoder {0}/encoder.json",
                                        folder, model, data),
                            fmt::format("{}/expected_{}.csv", folder, data), auc});
    return logs;
}

bool criteo_is_there() {
    return std::filesystem::exists(TALUS_CRITEO_FOLDER);
}

void scores_like_pytorch(const std::vector<Log>& logs, const std::string& target,
                         double tolerance) {
    for (const Log& log : logs) {
        const Scratch scratch;
        const Outcome outcome =
            talus_run(fmt::format("{} --target {} --output {} --json {}", log.arguments, target,
                                  scratch.file("p.csv"), scratch.file("s.json")));
        ASSERT_EQ(outcome.code, 0) << outcome.text;
        const auto found = column(scratch.file("p.csv"), "probability");
        const auto expected = column(log.expected, "probability");
        EXPECT_LE(largest_difference(found, expected), tolerance) << log.arguments;
        const auto rows = column(scratch.file("p.csv"), "row");
        EXPECT_EQ(rows.front(), 0.0);
        EXPECT_EQ(rows.back(), static_cast<double>(rows.size() - 1));
        const auto summary = nlohmann::json::parse(slurp(scratch.file("s.json")));
        EXPECT_EQ(summary.at("rows"), found.size());
        if (!std::isnan(log.auc)) {
            EXPECT_NEAR(summary.at("auc").get<double>(), log.auc, 5e-5);
        }
        EXPECT_GT(summary.at("log_loss").get<double>(), 0.0);
        EXPECT_GT(summary.at("wall_seconds").get<double>(), 0.0);
        const bool talus = target == "talus";
        EXPECT_EQ(summary.at("device_cycles").get<std::uint64_t>() > 0, talus);
        EXPECT_EQ(summary.at("device_seconds").get<double>() > 0.0, talus);
        std::uint64_t launches = 0;
        for (const auto& op : summary.at("operators")) {
            launches += op.at("launches").get<std::uint64_t>();
            if (talus && op.at("op") != "pack") {
                EXPECT_EQ(op.at("target"), "talus (simulated)");
                EXPECT_GT(op.at("device_cycles").get<std::uint64_t>(), 0U);
                if (!op.at("utilisation").is_null()) {
                    EXPECT_GT(op.at("utilisation").get<double>(), 0.0);
                    EXPECT_LE(op.at("utilisation").get<double>(), 1.0);
                }
            }
        }
        EXPECT_GE(launches, 9U);
        const bool said = outcome.text.find("talus (simulated)") != std::string::npos;
        EXPECT_EQ(said, talus) << outcome.text;
    }
}

TEST(TalusRun, DemoOnCpu) {
    scores_like_pytorch(demo_logs(), "cpu", kCpuTolerance);
}
TEST(TalusRun, DemoOnTalus) {
    scores_like_pytorch(demo_logs(), "talus", kTalusTolerance);
}

TEST(TalusRun, CriteoOnCpu) {
    if (!criteo_is_there())
        GTEST_SKIP() << "real click logs are not at " << TALUS_CRITEO_FOLDER;
    scores_like_pytorch(criteo_logs(), "cpu", kCpuTolerance);
}

TEST(TalusRun, CriteoOnTalus) {
    if (!criteo_is_there())
        GTEST_SKIP() << "real click logs are not at " << TALUS_CRITEO_FOLDER;
    scores_like_pytorch(criteo_logs(), "talus", kTalusTolerance);
}

// A row's result is the same bits in every batch and at every position; batches of one take a part
// of the log only, since every one of them is a submission.
TEST(TalusRun, RowsAreBitIdenticalAtEveryBatchSizeAndPosition) {
    const Scratch scratch;
    std::ifstream log(std::string(TALUS_DEMO_FOLDER) + "/clicks.csv");
    std::ofstream part(scratch.file("part.csv"));
    std::string line;
    for (int i = 0; i < 98 && std::getline(log, line); ++i)
        part << line << '\n';
    part.close();
    std::string first;
    for (int batch : {1, 31, 32, 33, 97}) {
        const Outcome outcome = talus_run(fmt::format("--model {0}/model.onnx --data {1} --encoder "
                                                      "{0}/encoder.json --target talus --batch {2} "
                                                      "--output {3}",
                                                      TALUS_DEMO_FOLDER, scratch.file("part.csv"),
                                                      batch, scratch.file("p.csv")));
        ASSERT_EQ(outcome.code, 0) << outcome.text;
        const std::string text = slurp(scratch.file("p.csv"));
        if (first.empty())
            first = text;
        EXPECT_EQ(text, first) << "batch " << batch;
    }
    const auto whole = column(std::string(TALUS_DEMO_FOLDER) + "/expected.csv", "probability");
    const auto found = column(scratch.file("p.csv"), "probability");
    ASSERT_EQ(found.size(), 97U);
    EXPECT_LE(largest_difference(found, {whole.begin(), whole.begin() + 97}), kTalusTolerance);
}

TEST(TalusRun, TwoRunsHaveTheSameBitsAndTheSameCycles) {
    const Scratch scratch;
    std::string predictions;
    nlohmann::json cycles;
    for (int run = 0; run < 2; ++run) {
        ASSERT_EQ(
            talus_run(fmt::format("{} --target talus --batch 300 --output {} --json {}",
                                  demo_arguments(), scratch.file("p.csv"), scratch.file("s.json")))
                .code,
            0);
        const auto summary = nlohmann::json::parse(slurp(scratch.file("s.json")));
        nlohmann::json found = nlohmann::json::array({summary.at("device_cycles")});
        for (const auto& op : summary.at("operators"))
            found.push_back(op.at("device_cycles"));
        if (run == 0) {
            predictions = slurp(scratch.file("p.csv"));
            cycles = found;
        }
        EXPECT_EQ(slurp(scratch.file("p.csv")), predictions);
        EXPECT_EQ(found, cycles);
    }
}

// What the device counted must agree with what the operators are: a fully connected layer's
// multiply-accumulates are half its floating-point operations, everything that must be moved came
// through SRAM or DRAM, and looking changes neither the results nor (beyond a few hundred clocks of
// the control core) the cycles.
TEST(TalusRun, ReportAgreesWithTheOperators) {
    const Scratch scratch;
    ASSERT_EQ(talus_run(fmt::format("{} --target talus --output {} --json {}", demo_arguments(),
                                    scratch.file("p0.csv"), scratch.file("s0.json")))
                  .code,
              0);
    const Outcome outcome =
        talus_run(fmt::format("{} --target talus --report --output {} --json {}", demo_arguments(),
                              scratch.file("p1.csv"), scratch.file("s1.json")));
    ASSERT_EQ(outcome.code, 0) << outcome.text;
    EXPECT_NE(outcome.text.find("bound by"), std::string::npos) << outcome.text;
    EXPECT_EQ(slurp(scratch.file("p0.csv")), slurp(scratch.file("p1.csv")));
    const auto plain = nlohmann::json::parse(slurp(scratch.file("s0.json"))).at("operators");
    const auto ops = nlohmann::json::parse(slurp(scratch.file("s1.json"))).at("operators");
    ASSERT_EQ(plain.size(), ops.size());
    unsigned checked = 0;
    for (std::size_t i = 0; i < ops.size(); ++i) {
        const auto& op = ops[i];
        EXPECT_FALSE(plain[i].contains("counters"));
        if (op.at("op") == "pack" || op.at("op") == "copy") {
            EXPECT_FALSE(op.contains("counters"));
            continue;
        }
        const auto cycles = op.at("device_cycles").get<std::int64_t>();
        EXPECT_NEAR(static_cast<double>(cycles), plain[i].at("device_cycles").get<double>(), 400.0);
        const auto counter = [&](const char* name) {
            return op.at("counters").at(name).get<std::uint64_t>();
        };
        if (op.at("op") == "fc") {
            EXPECT_EQ(2.0 * static_cast<double>(counter("MACS")), op.at("flops").get<double>())
                << op.at("name");
            ++checked;
        }
        EXPECT_GE(counter("SRAM_READ_BYTES") + counter("SRAM_WRITE_BYTES") +
                      counter("DRAM_READ_BYTES") + counter("DRAM_WRITE_BYTES"),
                  op.at("bytes").get<std::uint64_t>())
            << op.at("name");
        // Idle power (25 W, of the configuration) over its cycles at 1.35 GHz, and its work's
        // energy.
        const double idle = 25.0 * static_cast<double>(cycles) / 1.35e9;
        EXPECT_NEAR(static_cast<double>(counter("IDLE_ENERGY")) * 1e-9, idle, 0.1 * idle + 1e-5);
        EXPECT_GT(op.at("joules").get<double>(),
                  1e-9 * static_cast<double>(counter("IDLE_ENERGY")));
        if (op.at("op") == "fc") { // FP16: 0.5 pJ each
            EXPECT_NEAR(static_cast<double>(counter("DPE_ENERGY")),
                        5e-4 * static_cast<double>(counter("MACS")), 65.0);
        }
        for (const char* kind : {"resources", "stalls"}) {
            for (const auto& [name, share] : op.at(kind).items()) {
                EXPECT_GE(share.get<double>(), 0.0) << name;
                EXPECT_LE(share.get<double>(), 1.0) << name;
            }
        }
        for (const char* name : {"DPE", "RE", "SE", "MLU", "FI in", "FI out", "local memory",
                                 "SRAM", "DRAM", "PCIe", "issue", "instruction fetch", "launch"})
            EXPECT_TRUE(op.at("resources").contains(name)) << name;
    }
    EXPECT_GE(checked, 6U);
}

TEST(TalusRun, MixedPlansComputeTheSame) {
    const auto expected = column(std::string(TALUS_DEMO_FOLDER) + "/expected.csv", "probability");
    for (const char* deny :
         {"talus:fc", "talus:tbe", "talus:interaction", "talus:/top/top.0/Gemm"}) {
        const Scratch scratch;
        const Outcome outcome = talus_run(
            fmt::format("{} --target talus --deny {} --output {} --json {}", demo_arguments(), deny,
                        scratch.file("p.csv"), scratch.file("s.json")));
        ASSERT_EQ(outcome.code, 0) << outcome.text;
        EXPECT_LE(largest_difference(column(scratch.file("p.csv"), "probability"), expected),
                  kTalusTolerance)
            << deny;
        bool on_cpu = false;
        const auto summary = nlohmann::json::parse(slurp(scratch.file("s.json")));
        for (const auto& op : summary.at("operators"))
            on_cpu = on_cpu || op.at("target") == "cpu";
        EXPECT_TRUE(on_cpu) << deny;
        const Outcome strict =
            talus_run(fmt::format("{} --target talus --strict --deny {}", demo_arguments(), deny));
        EXPECT_EQ(strict.code, 5) << strict.text;
        EXPECT_NE(strict.text.find("denied by request"), std::string::npos) << strict.text;
    }
    const Outcome strict = talus_run(demo_arguments() + " --target talus --strict");
    EXPECT_EQ(strict.code, 0) << strict.text;
}

TEST(TalusRun, TablesInFp32AreCloser) {
    const auto expected = column(std::string(TALUS_DEMO_FOLDER) + "/expected.csv", "probability");
    const Scratch scratch;
    const Outcome outcome = talus_run(fmt::format("{} --target talus --fp32-tables --output {}",
                                                  demo_arguments(), scratch.file("p.csv")));
    ASSERT_EQ(outcome.code, 0) << outcome.text;
    EXPECT_LE(largest_difference(column(scratch.file("p.csv"), "probability"), expected),
              kTalusTolerance);
    const Outcome plan = talus_run(demo_arguments() + " --target talus --fp32-tables --explain");
    EXPECT_NE(plan.text.find("constants fp32"), std::string::npos) << plan.text;
}

TEST(TalusRun, ExplainPrintsThePlanAndRunsNothing) {
    const Scratch scratch;
    const Outcome outcome = talus_run(
        fmt::format("--model {}/model_bag.onnx --target cpu --explain --deny cuda:fc --output {}",
                    TALUS_DEMO_FOLDER, scratch.file("p.csv")));
    EXPECT_EQ(outcome.code, 0) << outcome.text;
    for (const char* part : {"26 tables", "interaction", "first choice", "no work", "cpu"})
        EXPECT_NE(outcome.text.find(part), std::string::npos) << part << " in " << outcome.text;
    EXPECT_FALSE(std::filesystem::exists(scratch.file("p.csv")));
}

TEST(TalusRun, PredictionsAsJson) {
    const Scratch scratch;
    ASSERT_EQ(talus_run(fmt::format("{} --target cpu --output {}", demo_arguments(),
                                    scratch.file("p.json")))
                  .code,
              0);
    const auto rows = nlohmann::json::parse(slurp(scratch.file("p.json")));
    const auto expected = column(std::string(TALUS_DEMO_FOLDER) + "/expected.csv", "probability");
    ASSERT_EQ(rows.size(), expected.size());
    EXPECT_EQ(rows[7].at("row"), 7);
    EXPECT_NEAR(rows[7].at("probability").get<double>(), expected[7], kCpuTolerance);
}

// Criteo's own layout: tab-separated, no header, no Id.
TEST(TalusRun, TsvWithoutHeader) {
    const Scratch scratch;
    std::ifstream log(std::string(TALUS_DEMO_FOLDER) + "/clicks.csv");
    std::ofstream tsv(scratch.file("clicks.tsv"));
    std::string line;
    std::getline(log, line);
    while (std::getline(log, line)) {
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        line.erase(0, line.find(',') + 1);
        std::replace(line.begin(), line.end(), ',', '\t');
        tsv << line << '\n';
    }
    tsv.close();
    const Outcome outcome = talus_run(
        fmt::format("--model {0}/model.onnx --data {1} --encoder {0}/encoder.json --target cpu "
                    "--output {2}",
                    TALUS_DEMO_FOLDER, scratch.file("clicks.tsv"), scratch.file("p.csv")));
    ASSERT_EQ(outcome.code, 0) << outcome.text;
    EXPECT_LE(
        largest_difference(column(scratch.file("p.csv"), "probability"),
                           column(std::string(TALUS_DEMO_FOLDER) + "/expected.csv", "probability")),
        kCpuTolerance);
}

TEST(TalusRun, OnnxTestData) {
    if (!criteo_is_there())
        GTEST_SKIP() << "ONNX test data are not at " << TALUS_CRITEO_FOLDER;
    for (const char* model : {"dlrm_onehot", "dlrm_bag"})
        for (const char* target : {"cpu", "talus"}) {
            const std::string arguments = fmt::format(
                "--model {0}/{1}/model.onnx --inputs {0}/{1}/test_data_set_0 --target {2}",
                TALUS_CRITEO_FOLDER, model, target);
            const Outcome outcome = talus_run(arguments);
            EXPECT_EQ(outcome.code, 0) << outcome.text;
            EXPECT_NE(outcome.text.find("64 of 64 elements within"), std::string::npos);
            const Outcome exact = talus_run(arguments + " --tolerance 0");
            EXPECT_EQ(exact.code, 7) << exact.text;
        }
}

} // namespace
} // namespace talus::test
