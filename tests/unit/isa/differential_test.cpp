// Random instruction sequences on the model and on qemu-riscv64: all registers and flags must
// agree. Skipped where qemu-riscv64 is missing. qemu 7.2 has no Zvfh, which directed tests cover.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>

#include <gtest/gtest.h>

#include "qemu.hpp"
#include "random_program.hpp"

namespace talus::sim {
namespace {

std::vector<std::uint8_t> run_model(const std::vector<std::uint8_t>& image, bool vector,
                                    std::uint64_t bytes) {
    std::vector<std::uint8_t> memory = image;
    TestPort port;
    HartConfig config;
    config.vector = vector;
    config.reset_pc = RandomProgram::kBase;
    config.regions = {{RandomProgram::kBase, RandomProgram::kSize, memory.data()}};
    Hart hart(config, port);
    hart.write_csr(0x300, 0x6600);
    while (hart.runnable())
        hart.run(hart.now() + 1000, kNever);
    if (port.traps.back().cause != cause::kEcallFromM)
        return {};
    const std::uint8_t* first = memory.data() + (RandomProgram::kResults - RandomProgram::kBase);
    const std::uint8_t* data = memory.data() + (RandomProgram::kData - RandomProgram::kBase);
    std::vector<std::uint8_t> results(first, first + bytes);
    results.insert(results.end(), data, data + RandomProgram::kDataSize);
    return results;
}

std::string describe(unsigned offset) {
    static constexpr const char* kControls[8] = {"fcsr",   "vl", "vtype", "vcsr",
                                                 "vstart", "",   "",      ""};
    char text[64];
    if (offset < 256)
        std::snprintf(text, sizeof text, "x%u", offset / 8);
    else if (offset < 512)
        std::snprintf(text, sizeof text, "f%u", (offset - 256) / 8);
    else if (offset < 1024)
        return kControls[offset / 8 % 8];
    else
        std::snprintf(text, sizeof text, "v%u byte %u", (offset - 1024) / 64, offset % 64);
    return text;
}

/// Up to `most` registers of a block in which the two differ, a line each.
std::string differences(const std::uint8_t* a, const std::uint8_t* b, unsigned most) {
    std::string text;
    for (unsigned i = 0; i < RandomProgram::kRegisterBytes && most > 0; i += 8) {
        if (std::memcmp(a + i, b + i, 8) == 0)
            continue;
        std::uint64_t mine, other;
        std::memcpy(&mine, a + i, 8);
        std::memcpy(&other, b + i, 8);
        char line[120];
        std::snprintf(line, sizeof line, "  %-14s model %016llx qemu %016llx\n",
                      describe(i).c_str(), static_cast<unsigned long long>(mine),
                      static_cast<unsigned long long>(other));
        text += line;
        --most;
    }
    return text;
}

/// The first instruction of a block after which the two disagree, and how.
std::string culprit(const RandomProgram& program, bool vector, unsigned block, unsigned blocks) {
    const std::size_t at = std::size_t{block} * RandomProgram::kRegisterBytes;
    std::string last;
    for (unsigned keep = 1; keep <= program.length(block); ++keep) {
        const auto image = program.image_keeping(block, keep, blocks, last);
        const auto ours = run_model(image, vector, program.result_bytes());
        int status = 0;
        const auto theirs = run_qemu(image, RandomProgram::kBase, status);
        if (theirs.size() != ours.size())
            return last;
        if (std::memcmp(ours.data() + at, theirs.data() + at, RandomProgram::kRegisterBytes) != 0)
            return last + "\n" + differences(ours.data() + at, theirs.data() + at, 4);
    }
    return "none alone";
}

/// The number of blocks that the model and qemu agree on; the listing of the first other one is
/// added as a test failure.
void compare(const ProgramOptions& options, std::uint64_t& instructions) {
    const RandomProgram program(options);
    instructions += program.instructions();
    const auto ours = run_model(program.image(), options.vector, program.result_bytes());
    ASSERT_FALSE(ours.empty()) << "seed " << options.seed << ": the program traps";
    ASSERT_EQ(std::memcmp(ours.data(),
                          program.trial().data() + (RandomProgram::kResults - RandomProgram::kBase),
                          program.result_bytes()),
              0)
        << "seed " << options.seed << ": a run differs from single steps";
    int status = 0;
    const auto theirs = run_qemu(program.image(), RandomProgram::kBase, status);
    if (theirs.size() != ours.size()) {
        if (options.blocks == 1) {
            ADD_FAILURE() << "seed " << options.seed << ": qemu does not accept (status " << status
                          << ")\n"
                          << program.listing(0);
            return;
        }
        // Which block? The generator is deterministic, so its first n blocks are those of the
        // whole.
        unsigned good = 0, bad = options.blocks;
        ProgramOptions part = options;
        while (bad - good > 1) {
            part.blocks = (good + bad) / 2;
            // Register values are drawn for all blocks first: keep the count, cut the code.
            const auto cut = program.image_until(part.blocks);
            (run_qemu(cut, RandomProgram::kBase, status).size() == ours.size() ? good : bad) =
                part.blocks;
        }
        ADD_FAILURE() << "seed " << options.seed << ": qemu rejects block " << bad - 1 << ", first "
                      << culprit(program, options.vector, bad - 1, bad) << "\n"
                      << program.listing(bad - 1);
        return;
    }
    for (unsigned block = 0; block < options.blocks; ++block) {
        const std::uint8_t* a = ours.data() + block * RandomProgram::kRegisterBytes;
        const std::uint8_t* b = theirs.data() + block * RandomProgram::kRegisterBytes;
        if (std::memcmp(a, b, RandomProgram::kRegisterBytes) == 0)
            continue;
        ADD_FAILURE() << "seed " << options.seed << " block " << block << "\n"
                      << differences(a, b, 12)
                      << "first wrong: " << culprit(program, options.vector, block, options.blocks)
                      << "\n"
                      << program.listing(block);
        return;
    }
    for (std::uint64_t i = program.result_bytes(); i < ours.size(); ++i) {
        ASSERT_EQ(ours[i], theirs[i]) << "seed " << options.seed << ": memory differs at offset "
                                      << i - program.result_bytes() << " of the data";
    }
}

/// How many programs of each kind; TALUS_DIFFERENTIAL_SEEDS=500 makes a soak test of it.
std::uint64_t seeds() {
    const char* text = std::getenv("TALUS_DIFFERENTIAL_SEEDS");
    return text ? std::strtoull(text, nullptr, 10) : 8;
}

class Differential : public testing::Test {
  protected:
    void SetUp() override {
        if (!have_qemu())
            GTEST_SKIP() << "qemu-riscv64 is not installed (Debian package qemu-user)";
    }
};

/// Runs the seeds from `first` on and says how much that was.
void compare_seeds(std::uint64_t first, ProgramOptions options) {
    std::uint64_t instructions = 0;
    for (options.seed = first; options.seed < first + seeds(); ++options.seed)
        compare(options, instructions);
    std::printf("%llu programs (seeds %llu to %llu), %llu random instructions\n",
                static_cast<unsigned long long>(seeds()), static_cast<unsigned long long>(first),
                static_cast<unsigned long long>(first + seeds() - 1),
                static_cast<unsigned long long>(instructions));
}

TEST_F(Differential, Scalar) {
    compare_seeds(1, {0, 250, 24, false});
}

TEST_F(Differential, Vector) {
    compare_seeds(1001, {0, 250, 16, true});
}

/// The same for vector types and for the shapes of vector accesses.
TEST_F(Differential, GeneratorReachesEveryShape) {
    const RandomProgram program({901, 900, 24, true});
    const auto& shapes = program.shapes();
    std::string missing;
    const auto expect = [&](const std::string& shape) {
        if (!shapes.contains(shape))
            missing += shape + "\n";
    };
    for (unsigned sew = 0; sew < 4; ++sew) {
        for (unsigned lmul : {0u, 1u, 2u, 3u, 5u, 6u, 7u}) {
            if (lmul < 4 || sew + 5 <= lmul) // SEW <= LMUL * 64
                expect("lmul " + std::to_string(lmul) + " sew " + std::to_string(8u << sew));
        }
    }
    for (const char* mode : {"unit", "strided", "indexed"}) {
        for (const char* direction : {" load", " store"}) {
            for (const char* masked : {"", " masked"}) {
                for (unsigned fields = 1; fields <= 8; ++fields)
                    expect(std::string(mode) + direction + masked + " of " +
                           std::to_string(fields));
            }
        }
    }
    expect("fault-only-first load of 1");
    expect("fault-only-first load masked of 1");
    expect("fault-only-first load of 2");
    expect("shortened");
    EXPECT_EQ(missing, "");
}

/// A generator that never finds a legal encoding of an instruction would test nothing.
TEST_F(Differential, GeneratorReachesEveryInstruction) {
    std::set<std::string> missing;
    for (const InsnSpec* spec : instruction_rows())
        missing.insert(spec->name);
    for (bool vector : {false, true}) {
        const RandomProgram program({vector ? 900u : 800u, vector ? 900u : 600u, 24, vector});
        for (const auto& [name, count] : program.coverage())
            missing.erase(name);
    }
    for (const char* name : {"ecall", "ebreak", "mret", "wfi", "fence.i", "cbo.inval", "cbo.clean",
                             "cbo.flush", "custom-0", "custom-1", "jalr", "ctzw"})
        missing.erase(name);
    std::erase_if(missing, [](const std::string& name) { return name.find(".rtz.") != name.npos; });
    std::string list;
    for (const std::string& name : missing)
        list += name + " ";
    EXPECT_EQ(list, "");
}

} // namespace
} // namespace talus::sim
