// Bad input, absent devices, dying simulators: a clear message, the documented exit code, nothing
// hung, and the next run works.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include <unistd.h>

#include "cli.hpp"

namespace talus::test {
namespace {

void fails(const std::string& arguments, int code, const std::vector<std::string>& parts,
           const std::string& environment = "") {
    const Outcome outcome = talus_run(arguments, environment);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.text;
    for (const std::string& part : parts)
        EXPECT_NE(outcome.text.find(part), std::string::npos)
            << "'" << part << "' in: " << outcome.text;
}

void works() {
    const Outcome outcome =
        talus_run(fmt::format("--model {}/model.onnx --target talus --explain", TALUS_DEMO_FOLDER));
    EXPECT_EQ(outcome.code, 0) << outcome.text;
}

std::string write(const std::string& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
    return path;
}

TEST(TalusRunErrors, Usage) {
    fails("", 2, {"--model"});
    fails("--model x --target gpu", 2, {"gpu"});
    fails(demo_arguments() + " --batch 0", 2, {"--batch"});
    fails(fmt::format("--model {}/model.onnx", TALUS_DEMO_FOLDER), 2, {"--encoder"});
    fails(demo_arguments() + " --target cpu --deny nonsense", 2, {"nonsense", "target:operator"});
    EXPECT_EQ(talus_run("--help").code, 0);
    EXPECT_NE(talus_run("--help").text.find("Exit codes"), std::string::npos);
    EXPECT_EQ(talus_run("--version").code, 0);
}

TEST(TalusRunErrors, MissingAndMalformedFiles) {
    const Scratch scratch;
    const std::string demo = TALUS_DEMO_FOLDER;
    const auto arguments = [&](const std::string& model, const std::string& data,
                               const std::string& encoder) {
        return fmt::format("--target cpu --model {} --data {} --encoder {}", model, data, encoder);
    };
    const std::string model = demo + "/model.onnx";
    const std::string data = demo + "/clicks.csv";
    const std::string encoder = demo + "/encoder.json";
    fails(arguments("/nonexistent.onnx", data, encoder), 3, {"/nonexistent.onnx"});
    fails(arguments(model, "/nonexistent.csv", encoder), 3, {"/nonexistent.csv"});
    fails(arguments(model, data, "/nonexistent.json"), 3, {"/nonexistent.json"});
    const std::string whole = slurp(model);
    fails(arguments(write(scratch.file("cut.onnx"), whole.substr(0, whole.size() / 2)), data,
                    encoder),
          4, {"cut.onnx", "truncated"});
    fails(arguments(write(scratch.file("text.onnx"), "hello"), data, encoder), 4, {"text.onnx"});
    const std::string log = slurp(data);
    const std::string header = log.substr(0, log.find('\n'));
    fails(arguments(model, write(scratch.file("short.csv"), "label,I1\n0,1\n"), encoder), 3,
          {"lacks columns", "I2", "C26"});
    fails(arguments(model, write(scratch.file("empty.csv"), header + "\n"), encoder), 3,
          {"holds no rows"});
    fails(
        arguments(model,
                  write(scratch.file("bad.csv"), header + "\n1,0,x" + std::string(38, ',') + "\n"),
                  encoder),
        3, {"line 2", "I1", "'x'"});
    fails(arguments(model, data, write(scratch.file("bad.json"), "{\"dense\": 1}")), 3,
          {"bad.json"});
    fails(arguments(model, data, encoder) + " --output /nonexistent/p.csv", 3,
          {"/nonexistent/p.csv"});
}

// An encoder whose ids lie beyond the model's tables.
TEST(TalusRunErrors, IndicesBeyondTheTables) {
    const Scratch scratch;
    auto encoder = nlohmann::json::parse(slurp(std::string(TALUS_DEMO_FOLDER) + "/encoder.json"));
    encoder["sparse"]["missing_id"] = 1000000;
    const std::string path = write(scratch.file("encoder.json"), encoder.dump());
    for (const char* target : {"cpu", "talus"})
        fails(fmt::format("--target {} --model {}/model.onnx --data {}/clicks.csv --encoder {}",
                          target, TALUS_DEMO_FOLDER, TALUS_DEMO_FOLDER, path),
              3, {"embedding table", "sample", "position 0", "1000000"});
}

// A length-delimited protobuf field.
std::string field(int number, const std::string& value) {
    return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(value.size())} + value;
}

TEST(TalusRunErrors, UnsupportedOperatorsAreNamed) {
    // x [2, 3] -> Softmax -> y, as an ONNX file: ir_version 8, opset 13.
    const std::string dims = field(1, "\x08\x02") + field(1, "\x08\x03");
    const std::string type = field(2, field(1, "\x08\x01" + field(2, dims)));
    const std::string node = field(1, "x") + field(2, "y") + field(4, "Softmax");
    const std::string graph = field(1, node) + field(2, "g") + field(11, field(1, "x") + type) +
                              field(12, field(1, "y") + type);
    const Scratch scratch;
    const std::string model =
        write(scratch.file("model.onnx"), "\x08\x08" + field(8, "\x10\x0d") + field(7, graph));
    fails("--target cpu --explain --model " + model, 4, {"Softmax", "not supported", "Gemm"});
}

TEST(TalusRunErrors, ADynamicallyQuantisedModelIsNoError) {
    const std::string model = std::string(TALUS_CRITEO_FOLDER) + "/dlrm_onehot/model_int8dyn.onnx";
    if (!std::filesystem::exists(model))
        GTEST_SKIP() << "no " << model;
    for (const char* target : {"cpu", "talus"}) {
        const Outcome outcome =
            talus_run(fmt::format("--target {} --explain --model {}", target, model));
        EXPECT_EQ(outcome.code, 0) << outcome.text;
        EXPECT_NE(outcome.text.find("fc_int8"), std::string::npos) << outcome.text;
    }
}

TEST(TalusRunErrors, CudaWithoutADriverSaysWhyAndAutoToo) {
    const std::string arguments = fmt::format("--explain --model {}/model.onnx", TALUS_DEMO_FOLDER);
    const Outcome cuda = talus_run(arguments + " --target cuda");
    if (cuda.code == 0)
        GTEST_SKIP() << "this machine has a GPU that Talus uses";
    EXPECT_EQ(cuda.code, 5) << cuda.text;
    const std::size_t at = cuda.text.find("cuda: ");
    ASSERT_NE(at, std::string::npos) << cuda.text;
    const std::string reason = cuda.text.substr(at, cuda.text.find('\n', at) - at);
    const Outcome fallback = talus_run(arguments + " --target auto");
    EXPECT_EQ(fallback.code, 0) << fallback.text;
    EXPECT_NE(fallback.text.find(reason), std::string::npos)
        << "'" << reason << "' in: " << fallback.text;
    EXPECT_NE(fallback.text.find("auto: using cpu"), std::string::npos);
    EXPECT_EQ(fallback.text.find("simulated"), std::string::npos)
        << "auto must not take the simulator unasked";
}

TEST(TalusRunErrors, AutoTakesTheSimulatorWhenAsked) {
    const Outcome outcome =
        talus_run(fmt::format("--explain --target auto --model {}/model.onnx", TALUS_DEMO_FOLDER),
                  "TALUS_DEVICE=sim");
    EXPECT_EQ(outcome.code, 0) << outcome.text;
    EXPECT_NE(outcome.text.find("on talus (simulated)"), std::string::npos) << outcome.text;
}

TEST(TalusRunErrors, DevicesThatAreNotThere) {
    const std::string arguments =
        fmt::format("--explain --target talus --model {}/model.onnx", TALUS_DEMO_FOLDER);
    fails(arguments, 5, {"0000:7f:1f.7"}, "TALUS_DEVICE=0000:7f:1f.7");
    fails(arguments, 5, {"/nonexistent/talus-sim"}, "TALUS_SIM=/nonexistent/talus-sim");
}

TEST(TalusRunErrors, DamagedFirmware) {
    const Scratch scratch;
    const std::filesystem::path image =
        std::filesystem::path(TALUS_RUN).parent_path().parent_path() /
        "lib/talus/firmware/talus.img";
    ASSERT_TRUE(std::filesystem::exists(image)) << image;
    std::string bytes = slurp(image.string());
    ASSERT_GT(bytes.size(), 1000U);
    bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 1);
    const std::string arguments =
        fmt::format("--explain --target talus --model {}/model.onnx", TALUS_DEMO_FOLDER);
    fails(arguments, 6, {"cannot open the device"},
          "TALUS_FIRMWARE=" + write(scratch.file("flipped.img"), bytes));
    fails(arguments, 6, {"cannot open the device"},
          "TALUS_FIRMWARE=" + write(scratch.file("cut.img"), bytes.substr(0, bytes.size() / 2)));
    fails(arguments, 5, {"/nonexistent.img"}, "TALUS_FIRMWARE=/nonexistent.img");
    works();
}

// Runs talus-run over the demo's log and kills its simulator once it has completed some requests.
Outcome run_and_kill(const Scratch& scratch, const std::string& arguments) {
    // The real simulator under a shell that notes its process id, each time it is started.
    const std::string simulator =
        (std::filesystem::path(TALUS_RUN).parent_path() / "talus-sim").string();
    const std::string wrapper =
        write(scratch.file("sim"), fmt::format("#!/bin/sh\necho $$ >> {}\nexec {} \"$@\"\n",
                                               scratch.file("pid"), simulator));
    std::filesystem::permissions(wrapper, std::filesystem::perms::owner_all);
    const std::string log = scratch.file("sim.log");
    std::atomic<bool> over = false;
    Outcome outcome;
    std::thread run([&] {
        outcome = talus_run(
            demo_arguments() + " --target talus --batch 5 " + arguments,
            fmt::format("TALUS_SIM={} TALUS_SIM_ARGS='--log {} --trace-commands'", wrapper, log));
        over = true;
    });
    // 200 requests of some ten commands each; opening and loading take fewer than 100.
    while (!over && std::ranges::count(slurp(log), '\n') < 500)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_FALSE(over) << "the run ended before its simulator was killed";
    const pid_t pid = static_cast<pid_t>(std::atoi(slurp(scratch.file("pid")).c_str()));
    EXPECT_GT(pid, 0);
    if (pid > 0)
        kill(pid, SIGKILL);
    run.join();
    return outcome;
}

TEST(TalusRunErrors, ASimulatorThatDiesMidRun) {
    const Scratch scratch;
    const Outcome outcome = run_and_kill(scratch, "--keep-lost");
    EXPECT_EQ(outcome.code, 6) << outcome.text;
    EXPECT_NE(outcome.text.find("talus-run: "), std::string::npos) << outcome.text;
    works();
}

// Without --keep-lost another simulator takes over, and no row is lost or scored twice.
TEST(TalusRunErrors, ASimulatorThatDiesIsReplaced) {
    const Scratch scratch;
    const std::string expected = scratch.file("expected.csv");
    ASSERT_EQ(talus_run(demo_arguments() + " --target talus --output " + expected).code, 0);
    const Outcome outcome =
        run_and_kill(scratch, fmt::format("--output {} --json {}", scratch.file("predictions.csv"),
                                          scratch.file("summary.json")));
    ASSERT_EQ(outcome.code, 0) << outcome.text;
    EXPECT_EQ(slurp(scratch.file("predictions.csv")), slurp(expected));
    const auto summary = nlohmann::json::parse(slurp(scratch.file("summary.json")));
    EXPECT_EQ(summary["recoveries"], 1) << outcome.text;
    EXPECT_NE(outcome.text.find("was lost and is open again"), std::string::npos) << outcome.text;
}

TEST(TalusRunErrors, ATraceNeedsASimulatorToWriteIt) {
    const Scratch scratch;
    const Outcome cpu = talus_run(
        fmt::format("{} --target cpu --trace {}", demo_arguments(), scratch.file("t.pftrace")));
    EXPECT_EQ(cpu.code, 5) << cpu.text;
    EXPECT_NE(cpu.text.find("no simulator was started"), std::string::npos) << cpu.text;
    const Outcome traced = talus_run(
        fmt::format("{} --target talus --trace {}", demo_arguments(), scratch.file("t.pftrace")));
    EXPECT_EQ(traced.code, 0) << traced.text;
    EXPECT_GT(std::filesystem::file_size(scratch.file("t.pftrace")), 10000U);
}

} // namespace
} // namespace talus::test
