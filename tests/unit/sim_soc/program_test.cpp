// talus-sim as a process: readiness, exit codes, signals, sockets.
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace {

namespace fs = std::filesystem;

/// A child process with captured standard output and error.
class Program {
  public:
    explicit Program(std::vector<std::string> arguments, int inherited = -1) {
        std::array<int, 2> out{};
        std::array<int, 2> err{};
        EXPECT_EQ(pipe2(out.data(), O_CLOEXEC), 0);
        EXPECT_EQ(pipe2(err.data(), O_CLOEXEC), 0);
        arguments.insert(arguments.begin(), TALUS_TEST_SIM);
        std::vector<char*> argv;
        for (std::string& argument : arguments) {
            argv.push_back(argument.data());
        }
        argv.push_back(nullptr);
        pid_ = fork();
        if (pid_ == 0) {
            dup2(out[1], STDOUT_FILENO);
            dup2(err[1], STDERR_FILENO);
            if (inherited >= 0) {
                dup2(inherited, 7);
            }
            execv(argv[0], argv.data());
            _exit(127);
        }
        close(out[1]);
        close(err[1]);
        out_ = out[0];
        err_ = err[0];
    }
    ~Program() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
        }
        close(out_);
        close(err_);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    /// First line of standard output; "" if none comes.
    std::string ready_line() { return read_until(out_, true); }
    std::string errors() { return read_until(err_, false); }
    void signal(int number) const { kill(pid_, number); }
    /// Exit code, or -1 if it has not ended in time, or 1000 + signal.
    int exit_code(std::chrono::seconds limit = std::chrono::seconds(60)) {
        const auto until = std::chrono::steady_clock::now() + limit;
        int status = 0;
        while (waitpid(pid_, &status, WNOHANG) == 0) {
            if (std::chrono::steady_clock::now() > until) {
                return -1;
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    }

  private:
    static std::string read_until(int fd, bool line) {
        std::string text;
        char byte = 0;
        pollfd entry{fd, POLLIN, 0};
        while (poll(&entry, 1, 60000) > 0 && read(fd, &byte, 1) == 1) {
            if (line && byte == '\n') {
                break;
            }
            text += byte;
        }
        return text;
    }
    pid_t pid_ = -1;
    int out_ = -1;
    int err_ = -1;
};

class ProgramTest : public testing::Test {
  protected:
    fs::path folder = fs::path(testing::TempDir()) / ("talus_sim_" + std::to_string(getpid()));
    void SetUp() override { fs::create_directories(folder); }
    void TearDown() override { fs::remove_all(folder); }
    std::string path(const std::string& leaf) const { return (folder / leaf).string(); }
    std::string write(const std::string& leaf, const std::string& text) const {
        std::ofstream(folder / leaf) << text;
        return path(leaf);
    }
};

TEST_F(ProgramTest, VersionAndHelp) {
    Program version({"--version"});
    EXPECT_EQ(version.ready_line().rfind("talus-sim ", 0), 0u);
    EXPECT_EQ(version.exit_code(), 0);
    EXPECT_EQ(Program({"--help"}).exit_code(), 0);
}

TEST_F(ProgramTest, WrongArgumentsAreSentencesAndCodes) {
    const auto expect_error = [](std::vector<std::string> arguments, const std::string& part) {
        Program program(std::move(arguments));
        EXPECT_EQ(program.ready_line(), "");
        EXPECT_NE(program.errors().find(part), std::string::npos) << part;
        EXPECT_EQ(program.exit_code(), 1) << part;
    };
    const std::string socket = path("s");
    expect_error({}, "one of --socket, --fd and --elf is needed");
    expect_error({"--fd", "99"}, "99");
    expect_error({"--socket", path("missing/s")}, "missing/s");
    expect_error({"--socket", socket, "--config", path("none.toml")}, "none.toml");
    expect_error({"--socket", socket, "--config", write("bad.toml", "[grid]\nrows = 8\n")},
                 "bad.toml");
    expect_error({"--socket", socket, "--rom",
                  write("rom.elf", "no ELF file, but long enough to "
                                   "hold the header of one, which takes 64 bytes")},
                 "not an ELF file");
    expect_error({"--socket", socket, "--symbols", path("none.elf")}, "none.elf");
    expect_error({"--socket", socket, "--log", path("missing/log")}, "missing/log");
    Program unknown({"--nonsense"});
    EXPECT_GE(unknown.exit_code(), 100);
    Program both({"--socket", socket, "--fd", "3"});
    EXPECT_GE(both.exit_code(), 100);
}

TEST_F(ProgramTest, SigtermRemovesWhatItPublished) {
    Program program({"--socket", path("s"), "--sysfs", path("sysfs")});
    const std::string line = program.ready_line();
    EXPECT_EQ(line.rfind("talus-sim ready socket=" + path("s") + " serial=0x7a15", 0), 0u) << line;
    EXPECT_NE(line.find(" address=0000:"), std::string::npos) << line;
    EXPECT_TRUE(fs::exists(path("s")));
    EXPECT_TRUE(fs::exists(path("sysfs")));
    program.signal(SIGTERM);
    EXPECT_EQ(program.exit_code(), 0);
    EXPECT_FALSE(fs::exists(path("s")));
    EXPECT_FALSE(fs::exists(path("sysfs")));
}

TEST_F(ProgramTest, EndsWhenTheOtherEndOfItsSocketCloses) {
    std::array<int, 2> pair{};
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()), 0);
    Program program({"--fd", "7"}, pair[1]);
    close(pair[1]);
    EXPECT_EQ(program.ready_line().rfind("talus-sim ready fd=7", 0), 0u);
    close(pair[0]);
    EXPECT_EQ(program.exit_code(), 0);
}

TEST_F(ProgramTest, ASecondSimulatorDoesNotTakeALiveSocket) {
    Program first({"--socket", path("s")});
    EXPECT_NE(first.ready_line(), "");
    Program second({"--socket", path("s")});
    EXPECT_EQ(second.exit_code(), 1);
    first.signal(SIGKILL);
    EXPECT_EQ(first.exit_code(), 1000 + SIGKILL);
    // But it takes the place of a dead one.
    Program third({"--socket", path("s")});
    EXPECT_NE(third.ready_line(), "");
    third.signal(SIGINT);
    EXPECT_EQ(third.exit_code(), 0);
}

} // namespace
