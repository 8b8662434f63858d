// A device that was saved and restored goes on as the one that was saved does: to the clock.
#include "sim_session.hpp"

#include "common/gzip_member.hpp"

#include <csignal>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace talus::driver_sim {
namespace {

namespace fs = std::filesystem;

std::vector<std::uint32_t> kernel_that_adds() {
    return {
        0x00100293, // li   t0, 1
        0x06400313, // li   t1, 100
        0x00628293, // add  t0, t0, 6
        0xfff30313, // addi t1, t1, -1
        0xfe031ce3, // bnez t1, -8
        0x00008067, // ret
    };
}

/// What one client does, and what it saw of it.
struct Visit {
    std::vector<std::uint64_t> cycles;
    std::vector<std::uint8_t> data;
    bool operator==(const Visit&) const = default;
};

Visit visit(const SimProcess& sim, std::uint8_t seed) {
    Visit seen;
    Session session(sim.options());
    const std::uint64_t entry = session.load(kernel_that_adds());
    const talus_drv_host_buffer from = session.host(65536);
    const talus_drv_host_buffer to = session.host(65536);
    std::memset(from.pointer, seed, 65536);
    const std::uint64_t dram = session.memory(TALUS_DRV_DRAM, 65536);
    const std::vector<std::uint8_t> member = talus::test::gzip(talus::test::noise(5000, 16, seed));
    const talus_drv_host_buffer zipped = session.host(member.size());
    std::memcpy(zipped.pointer, member.data(), member.size());
    talus_drv_command inflate = copy(TALUS_DRV_COPY_H2D, zipped.iova, dram + 100, 5000);
    inflate.flags = TALUS_DRV_COMMAND_GZIP;
    inflate.copy.gzip_bytes = member.size();
    std::uint64_t scrubbed = 0;
    for (const auto& command :
         {copy(TALUS_DRV_COPY_D2H, dram, to.iova, 65536), launch(entry), launch(entry, 2, 3),
          copy(TALUS_DRV_COPY_H2D, from.iova, dram, 65536), inflate, nop(),
          copy(TALUS_DRV_COPY_D2H, dram, to.iova, 65536)}) {
        for (const talus_drv_completion& done : session.run({command})) {
            EXPECT_EQ(done.device_status, 0) << talus_drv_device_status_name(done.device_status);
            seen.cycles.insert(seen.cycles.end(), {done.device_cycles, done.launch_cycles});
        }
        const auto* bytes = static_cast<const std::uint8_t*>(to.pointer);
        if (seen.cycles.size() == 2) {
            for (std::size_t i = 0; i < 65536; ++i)
                scrubbed += bytes[i];
        }
        seen.data.assign(bytes, bytes + 65536);
    }
    EXPECT_EQ(scrubbed, 0u) << "what the client before left in DRAM";
    return seen;
}

/// The simulator writes it after its client has gone.
std::string wait_for(const std::string& path) {
    for (int i = 0; i < 2000 && !fs::exists(path); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    EXPECT_TRUE(fs::exists(path));
    return path;
}

std::string bytes_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// Of a file of statistics the lines that do not depend on how long the device idled, or on how
/// often the host asked: what PEs, links and memories did.
std::string work_of(const std::string& path) {
    std::ifstream file(path);
    std::string work;
    for (std::string line; std::getline(file, line);) {
        const bool idle = line.find("WFI") != line.npos || line.find("idle") != line.npos ||
                          line.rfind("clocks", 0) == 0 || line.find("hart") != line.npos;
        work += idle ? "" : line + "\n";
    }
    return work;
}

std::string with_bytes(const SimProcess& sim, const std::string& name, const std::string& bytes) {
    const std::string path = sim.folder() + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
}

/// The simulator does not start from it: its words and exit code.
std::pair<std::string, int> refused(const std::string& path, const std::string& more = "") {
    return run_program("timeout 60 " TALUS_TEST_SIM " --socket " + path + ".socket --restore " +
                       path + " " + more + " 2>&1");
}

struct CheckpointTest : testing::Test {
    SimProcess saved{false, {"--checkpoint", "@/first", "--stats", "@/stats"}};
    std::string first;

    void SetUp() override {
        visit(saved, 1);
        first = wait_for(saved.folder() + "/first");
        const std::string kept = saved.folder() + "/kept";
        fs::copy_file(first, kept); // the next client's end overwrites the other
        first = kept;
    }
};

TEST_F(CheckpointTest, GoesOnToTheClock) {
    const Visit live = visit(saved, 2);
    saved.signal(SIGTERM);
    // With a checkpoint of its own it ends, as the other, when the PEs have started anew.
    SimProcess restored(false,
                        {"--restore", first, "--stats", "@/stats", "--checkpoint", "@/second"});
    EXPECT_EQ(visit(restored, 2), live);
    restored.signal(SIGTERM);
    // The counters of both clients, the first of which the restored device never saw.
    const std::string counted = work_of(saved.folder() + "/stats");
    EXPECT_GT(counted.size(), 1000u);
    EXPECT_EQ(work_of(restored.folder() + "/stats"), counted);
}

TEST_F(CheckpointTest, IsBooted) {
    const SimProcess restored(false, {"--restore", first});
    talus_drv_open_options options = restored.options();
    options.flags = TALUS_DRV_OPEN_NO_BOOT;
    talus_drv_device* device = nullptr;
    ASSERT_EQ(talus_drv_open(&options, &device), TALUS_DRV_OK) << talus_drv_last_error();
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    EXPECT_EQ(talus_drv_get_info(device, &info), TALUS_DRV_OK);
    EXPECT_EQ(info.boot_state, 5u) << "READY";
    talus_drv_telemetry telemetry = TALUS_DRV_INIT(talus_drv_telemetry);
    EXPECT_EQ(talus_drv_get_telemetry(device, &telemetry), TALUS_DRV_OK);
    EXPECT_GT(telemetry.heartbeat, 0u);
    talus_drv_close(device);
}

TEST_F(CheckpointTest, RestoredTwiceIsTheSame) {
    const SimProcess one(false, {"--restore", first});
    const SimProcess other(false, {"--restore", first, "--set", "hart.translator=false"});
    EXPECT_EQ(visit(one, 3), visit(other, 3));
}

TEST_F(CheckpointTest, RefusesWhatIsDamaged) {
    const std::string whole = bytes_of(first);
    for (const std::size_t length :
         {std::size_t{0}, std::size_t{1}, std::size_t{20}, whole.size() / 2, whole.size() - 1}) {
        const auto [words, code] = refused(with_bytes(saved, "short", whole.substr(0, length)));
        EXPECT_EQ(code, 1) << length << ": " << words;
        EXPECT_NE(words.find("checkpoint"), std::string::npos) << length << ": " << words;
    }
    for (const std::size_t at : {std::size_t{30}, whole.size() / 3, whole.size() - 6}) {
        std::string flipped = whole;
        // Not one bit: a match in a run of zeros may be at another distance and mean the same.
        for (std::size_t byte = at; byte < at + 4; ++byte)
            flipped[byte] = static_cast<char>(flipped[byte] ^ 0x55);
        const auto [words, code] = refused(with_bytes(saved, "flipped", flipped));
        EXPECT_EQ(code, 1) << at << ": " << words;
        EXPECT_NE(words.find("checkpoint"), std::string::npos) << at << ": " << words;
    }
    EXPECT_EQ(refused(with_bytes(saved, "text", "[device]\nrows = 8\n")).second, 1);
    EXPECT_EQ(refused(saved.folder() + "/absent").second, 1);
}

TEST_F(CheckpointTest, RefusesAnotherConfiguration) {
    const auto [words, code] = refused(first, "--set hart.dcache_bytes=0");
    EXPECT_EQ(code, 1);
    EXPECT_NE(words.find("hart.dcache_bytes"), std::string::npos) << words;
}

TEST(Checkpoint, ThatCannotBeWrittenIsSaid) {
    const SimProcess sim(false, {"--checkpoint", "@/absent/file", "--log", "@/log"});
    visit(sim, 1);
    std::string log;
    for (int i = 0; i < 2000 && log.find("cannot be written") == std::string::npos; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        log = bytes_of(sim.folder() + "/log");
    }
    EXPECT_NE(log.find("cannot be written: No such file"), std::string::npos) << log;
    visit(sim, 2); // and it goes on
}

} // namespace
} // namespace talus::driver_sim
