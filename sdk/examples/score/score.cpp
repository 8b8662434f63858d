// Scores four impressions:  score MODEL.onnx [cpu|cuda|talus]
#include <cstdio>
#include <talus/talus.hpp>
#include <vector>

int main(int argc, char** argv) try {
    const talus::Device device(argc > 2 ? argv[2] : "cpu");
    const talus::Model model(argc > 1 ? argv[1] : "model.onnx", {&device});
    const std::vector<float> dense(4 * 13, 0.5F);      // 13 numeric features a row
    const std::vector<std::int64_t> sparse(4 * 26, 1); // one index into each of 26 tables
    talus::Request request(model);
    request.set_input("dense", dense, {4, 13});
    request.set_input("sparse", sparse, {4, 26});
    request.run();
    for (const float probability : request.output<float>(0))
        std::printf("%.9g on %s\n", probability, device.info().name);
} catch (const talus::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
