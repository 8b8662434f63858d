// talus-sim --elf as a program: exit codes, console, signature, and ELF files of every bad kind.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <elf.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include <regex.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace {

namespace fs = std::filesystem;

struct Result {
    int code;
    std::string out;
    std::string err;
};

std::string slurp(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

class Bare : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "talus_bare_XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    void TearDown() override { fs::remove_all(folder_); }

    /// Runs talus-sim with these arguments, split at spaces by the shell.
    Result sim(const std::string& arguments) const {
        const fs::path out = folder_ / "out", err = folder_ / "err";
        const std::string line = std::string(TALUS_TEST_SIM) + " " + arguments + " >" +
                                 out.string() + " 2>" + err.string() + " </dev/null";
        const int status = std::system(line.c_str());
        return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(out), slurp(err)};
    }
    static std::string program(const char* name) {
        return std::string(TALUS_TEST_PROGRAMS) + "/" + name + ".elf";
    }
    /// The passing program after a change of its bytes.
    std::string changed(const std::function<void(std::vector<char>&)>& change,
                        const char* base = "pass") const {
        const std::string text = slurp(program(base));
        std::vector<char> bytes(text.begin(), text.end());
        change(bytes);
        const fs::path path = folder_ / "changed.elf";
        std::ofstream(path, std::ios::binary)
            .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        return path.string();
    }
    void expect_error(const std::string& path, const char* part) const {
        const Result result = sim("--elf " + path);
        EXPECT_EQ(result.code, 1) << part;
        EXPECT_NE(result.err.find(part), std::string::npos) << part << ": " << result.err;
        EXPECT_NE(result.err.find(path), std::string::npos) << result.err;
    }

    fs::path folder_;
};

template <class T>
T& header_at(std::vector<char>& bytes, std::size_t offset) {
    EXPECT_LE(offset + sizeof(T), bytes.size());
    return *reinterpret_cast<T*>(bytes.data() + offset);
}
Elf64_Ehdr& elf_header(std::vector<char>& bytes) {
    return header_at<Elf64_Ehdr>(bytes, 0);
}
Elf64_Phdr& segment(std::vector<char>& bytes, unsigned index) {
    return header_at<Elf64_Phdr>(bytes, elf_header(bytes).e_phoff + index * sizeof(Elf64_Phdr));
}

TEST_F(Bare, SegmentsHaveNoFlags) {
    const std::string text = slurp(program("pass"));
    std::vector<char> bytes(text.begin(), text.end());
    ASSERT_GE(elf_header(bytes).e_phnum, 2);
    for (unsigned i = 0; i < 2; ++i) {
        EXPECT_EQ(segment(bytes, i).p_type, PT_LOAD);
        EXPECT_EQ(segment(bytes, i).p_flags, 0u);
    }
}

TEST_F(Bare, ExitCodes) {
    const Result pass = sim("--elf " + program("pass") + " --isa rv64gc --exit-symbol tohost");
    EXPECT_EQ(pass.code, 0) << pass.err;
    EXPECT_EQ(pass.out + pass.err, "");
    const Result fail = sim("--elf " + program("fail"));
    EXPECT_EQ(fail.code, 5);
    EXPECT_NE(fail.err.find("test number 5"), std::string::npos) << fail.err;
    // Code 1011 does not fit: an ecall without a handler of its own.
    const Result vector = sim("--elf " + program("vector") + " --isa rv64gc");
    EXPECT_EQ(vector.code, 69);
    EXPECT_NE(vector.err.find("1002"), std::string::npos) << vector.err;
    EXPECT_EQ(sim("--elf " + program("vector") + " --isa rv64gcv_zvfh").code, 0);
}

TEST_F(Bare, EndsThatAreNone) {
    const Result limit = sim("--elf " + program("spin") + " --max-instructions 12345");
    EXPECT_EQ(limit.code, 71);
    EXPECT_NE(limit.err.find("after 12345 instructions"), std::string::npos) << limit.err;
    const Result sleep = sim("--elf " + program("sleep"));
    EXPECT_EQ(sleep.code, 72);
    EXPECT_NE(sleep.err.find("waits at"), std::string::npos) << sleep.err;
    const Result trap = sim("--elf " + program("no_handler"));
    EXPECT_EQ(trap.code, 72);
    EXPECT_NE(trap.err.find("trap 11"), std::string::npos) << trap.err;
    const Result htif = sim("--elf " + program("bad_htif"));
    EXPECT_EQ(htif.code, 1);
    EXPECT_NE(htif.err.find("no HTIF device 9"), std::string::npos) << htif.err;
}

TEST_F(Bare, ConsoleAndCalls) {
    const Result result = sim("--elf " + program("console"));
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, "put\nwrite\n");
}

TEST_F(Bare, StartsAsTestSuitesDo) {
    const Result result = sim("--elf " + program("suite"));
    EXPECT_EQ(result.code, 0) << result.err;
}

TEST_F(Bare, HalfWordsOfToHost) {
    const Result result = sim("--elf " + program("halves"));
    EXPECT_EQ(result.code, 7) << result.err;
    EXPECT_EQ(result.out, "halves\n");
}

TEST_F(Bare, TimerAndSoftwareInterrupts) {
    EXPECT_EQ(sim("--elf " + program("timer")).code, 0);
}

TEST_F(Bare, Harts) {
    const Result result = sim("--elf " + program("harts") + " --harts 4");
    EXPECT_EQ(result.code, 0) << result.err;
}

TEST_F(Bare, Signature) {
    const fs::path path = folder_ / "signature";
    const auto lines = [&](const std::string& options) {
        EXPECT_EQ(
            sim("--elf " + program("signature") + " --signature " + path.string() + options).code,
            0);
        return slurp(path);
    };
    EXPECT_EQ(lines(""), "11223344\ncafef00d\n00775566\n");
    EXPECT_EQ(lines(" --signature-granularity 8"), "cafef00d11223344\n0000000000775566\n");
    EXPECT_EQ(lines(" --signature-granularity 16"), "0000000000775566cafef00d11223344\n");
    const Result none = sim("--elf " + program("pass") + " --signature " + path.string());
    EXPECT_EQ(none.code, 1);
    EXPECT_NE(none.err.find("no symbol begin_signature"), std::string::npos) << none.err;
}

TEST_F(Bare, BadFiles) {
    expect_error("/nonexistent", "No such file");
    expect_error("/dev/null", "not an ELF file");
    expect_error(changed([](auto& b) { b.resize(40); }), "truncated: the ELF header");
    expect_error(changed([](auto& b) { b.resize(100); }), "truncated: the program header");
    expect_error(changed([](auto& b) { b.resize(segment(b, 0).p_offset + 8); }),
                 "truncated: segment 0");
    expect_error(changed([](auto& b) { elf_header(b).e_shoff = b.size() - 8; }),
                 "truncated: the section header");
    expect_error(changed([](auto& b) { elf_header(b).e_ident[EI_CLASS] = ELFCLASS32; }), "32-bit");
    expect_error(changed([](auto& b) { elf_header(b).e_ident[EI_DATA] = ELFDATA2MSB; }),
                 "little-endian");
    expect_error(changed([](auto& b) { elf_header(b).e_machine = EM_X86_64; }), "machine 62");
    expect_error(changed([](auto& b) { elf_header(b).e_type = ET_REL; }), "relocatable");
    expect_error(changed([](auto& b) { elf_header(b).e_type = ET_CORE; }), "not an executable");
    expect_error(changed([](auto& b) { elf_header(b).e_phnum = 0; }), "no loadable segment");
    expect_error(changed([](auto& b) { segment(b, 0).p_filesz = segment(b, 0).p_memsz + 1; }),
                 "in memory");
    expect_error(changed([](auto& b) { segment(b, 1).p_paddr = segment(b, 0).p_paddr + 4; }),
                 "overlap");
    expect_error(changed([](auto& b) { segment(b, 1).p_paddr = ~0ull - 8; }), "past the last");
    expect_error(changed([](auto& b) { segment(b, 1).p_memsz = 1ull << 62; }), "has no memory");
    expect_error(changed([](auto& b) { elf_header(b).e_shnum = 0; }), "no symbol tohost");
    const Result other = sim("--elf " + program("pass") + " --exit-symbol nowhere");
    EXPECT_EQ(other.code, 1);
    EXPECT_NE(other.err.find("no symbol nowhere"), std::string::npos) << other.err;
    const Result isa = sim("--elf " + program("pass") + " --isa rv64gch");
    EXPECT_EQ(isa.code, 1);
    EXPECT_NE(isa.err.find("no core has"), std::string::npos) << isa.err;
}

std::vector<std::string> lines_of(const fs::path& path) {
    std::ifstream stream(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) {
        lines.push_back(line);
    }
    return lines;
}

/// programs/suite.S by hand: what its user-mode part writes, in the format of Spike
/// (riscv/execute.cc, commit_log_print_insn), whose encodings the assembler chose.
TEST_F(Bare, CommitLog) {
    const fs::path log = folder_ / "commits";
    const Result plain = sim("--verbose --elf " + program("suite"));
    const Result logged =
        sim("--verbose --elf " + program("suite") + " --commit-log " + log.string());
    EXPECT_EQ(logged.code, 0);
    EXPECT_EQ(logged.err, plain.err); // instructions, clocks, and the clocks of all traps
    const std::vector<std::string> lines = lines_of(log);
    unsigned long retired = 0;
    const std::size_t total = plain.err.rfind("talus-sim: ");
    ASSERT_EQ(std::sscanf(plain.err.c_str() + total, "talus-sim: %lu", &retired), 1);
    EXPECT_EQ(lines.size(), retired);

    // riscv-dv reads Spike's logs by the pattern
    // (core +\d+: +)?(mode) +0x(pc) +\((encoding)\) +(register) +0x(value)
    regex_t spike;
    ASSERT_EQ(regcomp(&spike,
                      "^core +[0-9]+: ([03]) 0x[0-9a-f]{16} \\(0x([0-9a-f]{4}|[0-9a-f]{8})\\)"
                      "( ([xf][0-9]+) +0x0*([0-9a-f]*))?( c[0-9]+_[a-z0-9]+ 0x[0-9a-f]{16})*"
                      "(( mem 0x[0-9a-f]{16}( 0x[0-9a-f]+)?)*) # [0-9]+ hart 0 [^ ]+: ([^ ]+)$",
                      REG_EXTENDED),
              0);
    std::vector<std::string> user;
    for (const std::string& line : lines) {
        std::array<regmatch_t, 11> match{};
        ASSERT_EQ(regexec(&spike, line.c_str(), match.size(), match.data(), 0), 0) << line;
        const auto part = [&](std::size_t number) {
            const regmatch_t& found = match.at(number);
            return found.rm_so < 0
                       ? std::string()
                       : line.substr(static_cast<std::size_t>(found.rm_so),
                                     static_cast<std::size_t>(found.rm_eo - found.rm_so));
        };
        if (part(1) == "0") {
            user.push_back((part(4).empty() ? part(10) : part(4) + "=" + part(5)) + part(7));
        }
    }
    regfree(&spike);
    ASSERT_GE(user.size(), 13u);
    // auipc's value and the immediate of the sd behind it say where scratch is.
    const auto sd = std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
        return line.starts_with("core   0: 0") && line.ends_with(": sd");
    });
    ASSERT_NE(sd, lines.end());
    const std::uint64_t high = std::stoull(user[3].substr(3), nullptr, 16);
    const std::uint64_t bits = std::stoull(sd->substr(sd->find('(') + 1), nullptr, 16);
    const std::int64_t low =
        static_cast<std::int32_t>(bits) >> 25 << 5 | static_cast<std::int64_t>(bits >> 7 & 31);
    char scratch[19];
    std::snprintf(scratch, sizeof scratch, "0x%016llx",
                  static_cast<unsigned long long>(high + static_cast<std::uint64_t>(low)));
    // li gp, 2; li t0, 0x1234 (lui, addiw); sd (auipc, sd); lw (auipc, lw); bne; li gp, 3;
    // fcvt.d.w (4660.0); fcvt.w.d; bne; li gp, 1
    EXPECT_EQ(user[0], "x3=2");
    EXPECT_EQ(user[1], "x5=1000");
    EXPECT_EQ(user[2], "x5=1234");
    EXPECT_EQ(user[4], "sd mem " + std::string(scratch) + " 0x0000000000001234");
    EXPECT_EQ(user[6], "x7=1234 mem " + std::string(scratch));
    EXPECT_EQ(user[7], "bne");
    EXPECT_EQ(user[8], "x3=3");
    EXPECT_EQ(user[9], "f10=40b2340000000000");
    EXPECT_EQ(user[10], "x7=1234");
    EXPECT_EQ(user[11], "bne");
    EXPECT_EQ(user[12], "x3=1");

    const std::string only = " --commit-log " + log.string() + " --commit-log-pc ";
    EXPECT_EQ(sim("--elf " + program("suite") + only + "user").code, 0);
    EXPECT_EQ(lines_of(log).size(), 13u);
    EXPECT_EQ(sim("--elf " + program("suite") + only + "0x80000000-0x80000004").code, 0);
    EXPECT_EQ(lines_of(log).size(), 2u);
    EXPECT_EQ(sim("--elf " + program("harts") + " --harts 4 --commit-log " + log.string() +
                  " --commit-log-harts 2-3")
                  .code,
              0);
    const std::vector<std::string> some = lines_of(log);
    EXPECT_FALSE(some.empty());
    for (const std::string& line : some) {
        EXPECT_TRUE(line.starts_with("core   2: ") || line.starts_with("core   3: ")) << line;
    }
}

TEST_F(Bare, CommitLogsThatCannotBe) {
    const std::string log = " --commit-log " + (folder_ / "commits").string();
    const auto refused = [&](const std::string& arguments, const char* part) {
        const Result result = sim("--elf " + program("pass") + arguments);
        EXPECT_EQ(result.code, 1) << arguments;
        EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    };
    refused(" --commit-log " + (folder_ / "none" / "log").string(), "cannot write");
    refused(" --commit-log /dev/full", "not complete");
    for (const char* harts : {"1", "0-1", "0,x", "-", "1-0", "99999999999999999999"}) {
        refused(log + " --commit-log-harts=" + harts, "there is no hart");
    }
    for (const char* pcs : {"nothing_has_this_name", "5-", "0x9-0x1"}) {
        refused(log + " --commit-log-pc " + pcs, "neither FIRST-LAST nor");
    }
    EXPECT_GE(sim("--elf " + program("pass") + " --commit-log-harts 0").code, 100);
}

/// A segment far from the others is memory as well: here a copy of the first.
TEST_F(Bare, FarSegment) {
    const std::string path = changed([](auto& b) {
        const std::uint64_t at = b.size();
        std::array<Elf64_Phdr, 3> headers = {segment(b, 0), segment(b, 1), segment(b, 0)};
        headers[2].p_paddr = headers[2].p_vaddr = 0x1000;
        b.resize(at + sizeof headers);
        std::memcpy(b.data() + at, headers.data(), sizeof headers);
        elf_header(b).e_phoff = at;
        elf_header(b).e_phnum = headers.size();
    });
    EXPECT_EQ(sim("--elf " + path + " --memory 1MiB").code, 0);
}

} // namespace
