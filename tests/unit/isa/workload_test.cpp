// Compiled C on the model against the same C on the host.
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include <gtest/gtest.h>

#include "test_port.hpp"

extern "C" {
#include "device/workload.h"
}

namespace talus::sim {
namespace {

constexpr std::uint64_t kBase = 0x10000000;
constexpr std::uint64_t kSize = 0x80000;

std::vector<std::uint8_t> load_elf(const char* path) {
    std::ifstream in(path, std::ios::binary);
    std::vector<char> file{std::istreambuf_iterator<char>(in), {}};
    if (file.size() < 64)
        throw std::runtime_error(std::string("cannot read ") + path);
    const auto read = [&](std::uint64_t at, unsigned len) {
        std::uint64_t value = 0;
        std::memcpy(&value, file.data() + at, len);
        return value;
    };
    std::vector<std::uint8_t> memory(kSize);
    const std::uint64_t headers = read(32, 8), count = read(56, 2);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t h = headers + 56 * i;
        if (read(h, 4) != 1)
            continue;
        std::memcpy(memory.data() + (read(h + 16, 8) - kBase), file.data() + read(h + 8, 8),
                    read(h + 32, 8));
    }
    return memory;
}

class Workload : public testing::TestWithParam<bool> {
  protected:
    void start(std::uint64_t rounds) {
        memory_ = load_elf(GetParam() ? TALUS_WORKLOAD_VECTOR : TALUS_WORKLOAD_SCALAR);
        HartConfig config;
        config.vector = GetParam();
        config.reset_pc = kBase;
        config.regions = {{kBase, kSize, memory_.data()}};
        hart_ = std::make_unique<Hart>(config, port_);
        hart_->set_x(11, rounds);
    }
    const workload_results& results() const {
        return *reinterpret_cast<const workload_results*>(memory_.data() + (hart_->x(10) - kBase));
    }

    TestPort port_;
    std::vector<std::uint8_t> memory_;
    std::unique_ptr<Hart> hart_;
};

TEST_P(Workload, EqualsTheHost) {
    start(1);
    while (hart_->runnable())
        hart_->run(hart_->now() + 256, hart_->now());
    ASSERT_EQ(hart_->state(), StopReason::kHalted);
    ASSERT_EQ(port_.traps.back().cause, cause::kEcallFromM)
        << "pc " << std::hex << port_.traps.back().pc << " tval " << port_.traps.back().tval;
    workload_results host;
    const unsigned n = compute(&host, 1);
    for (unsigned i = 0; i < n; ++i)
        EXPECT_EQ(results().value[i], host.value[i]) << "result " << i;
}

/// Nothing depends on how the run is cut into pieces.
TEST_P(Workload, IsTheSameInAnySlices) {
    start(1);
    while (hart_->runnable())
        hart_->run(kNever, kNever);
    const Cycle clocks = hart_->now();
    const std::uint64_t retired = hart_->retired();
    start(1);
    std::uint64_t slice = 1;
    while (hart_->runnable()) {
        hart_->run(hart_->now() + slice % 977, hart_->now());
        slice = slice * 6364136223846793005u + 1442695040888963407u;
    }
    EXPECT_EQ(hart_->now(), clocks);
    EXPECT_EQ(hart_->retired(), retired);
}

/// Prints the simulation rate; it judges nothing, because the host's load is not known.
TEST_P(Workload, Rate) {
    start(40);
    const auto begin = std::clock();
    while (hart_->runnable())
        hart_->run(hart_->now() + 256, hart_->now());
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    std::printf("%s: %.1f million instructions in %.3f s of CPU time: %.1f MIPS, %.2f clocks per "
                "instruction\n",
                GetParam() ? "vector" : "scalar", static_cast<double>(hart_->retired()) / 1e6,
                seconds, static_cast<double>(hart_->retired()) / 1e6 / seconds,
                static_cast<double>(hart_->now()) / static_cast<double>(hart_->retired()));
    EXPECT_EQ(port_.traps.back().cause, cause::kEcallFromM);
}

INSTANTIATE_TEST_SUITE_P(Cores, Workload, testing::Values(false, true),
                         [](const auto& info) { return info.param ? "Vector" : "Scalar"; });

} // namespace
} // namespace talus::sim
