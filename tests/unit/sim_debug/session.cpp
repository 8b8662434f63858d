#include "session.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <thread>

#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "talus/driver.h"

#include "debug_kernel.h"

namespace debug_test {

namespace {

constexpr unsigned kPes = 64;
constexpr std::uint64_t kBytes = std::uint64_t{kPes} * kBytesPerPe;

void check(talus_drv_status status) {
    if (status != TALUS_DRV_OK) {
        throw std::runtime_error(talus_drv_last_error());
    }
}

std::vector<char> file(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

void run(const std::vector<std::string>& sim_arguments, std::uint32_t fault_col, Outcome& outcome) {
    std::vector<const char*> arguments;
    for (const std::string& argument : sim_arguments) {
        arguments.push_back(argument.c_str());
    }
    arguments.push_back(nullptr);
    talus_drv_open_options options = TALUS_DRV_INIT(talus_drv_open_options);
    options.device = "sim";
    options.simulator_args = arguments.data();
    talus_drv_device* raw = nullptr;
    check(talus_drv_open(&options, &raw));
    const std::unique_ptr<talus_drv_device, void (*)(talus_drv_device*)> device(raw,
                                                                                talus_drv_close);
    talus_drv_queue* queue = nullptr;
    check(talus_drv_queue_create(raw, nullptr, &queue));

    const std::vector<char> image = file(TALUS_TEST_KERNEL ".bin");
    std::uint64_t source = 0;
    check(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, image.size(), 4096, &outcome.code));
    check(talus_drv_memory_alloc(raw, TALUS_DRV_DRAM, kBytes, 0, &source));
    check(talus_drv_memory_alloc(raw, TALUS_DRV_LLS, 4096, 4096, &outcome.args));
    check(talus_drv_copy_in(queue, outcome.code, image.data(), image.size()));
    std::vector<std::uint8_t> bytes(kBytes);
    for (std::uint64_t i = 0; i < kBytes; ++i) {
        bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 251);
        outcome.expected += bytes[i];
    }
    check(talus_drv_copy_in(queue, source, bytes.data(), bytes.size()));
    const debug_args argument{source, kBytesPerPe, fault_col};
    for (unsigned i = 0; i < 3; ++i) {
        check(talus_drv_copy_in(queue, outcome.args, &argument, sizeof argument));
        talus_drv_command launch{};
        launch.opcode = TALUS_DRV_LAUNCH;
        launch.launch.entry = outcome.code;
        launch.launch.args = outcome.args;
        launch.launch.args_bytes = sizeof argument;
        check(talus_drv_submit(queue, &launch, 1, nullptr));
        std::size_t done = 0;
        talus_drv_completion completion{};
        check(talus_drv_wait(queue, &completion, 1, 1, &done, 0));
        outcome.completions.push_back({completion.device_cycles, completion.exec_cycles,
                                       completion.result, completion.device_status});
    }
    talus_drv_telemetry now = TALUS_DRV_INIT(talus_drv_telemetry);
    check(talus_drv_get_telemetry(raw, &now));
    std::copy_n(now.ecc_corrected, outcome.corrected.size(), outcome.corrected.begin());
    std::copy_n(now.ecc_uncorrectable, outcome.uncorrectable.size(), outcome.uncorrectable.begin());
    outcome.log.resize(65536);
    std::size_t bytes_read = 0;
    check(talus_drv_read_log(raw, outcome.log.data(), outcome.log.size(), &bytes_read));
    outcome.log.resize(bytes_read - 1); // it counts the NUL
    talus_drv_queue_destroy(queue);
}

} // namespace

void PrintTo(const Observed& o, std::ostream* out) {
    *out << "{device " << o.device_cycles << ", exec " << o.exec_cycles << ", result " << o.result
         << ", status " << o.status << "}";
}

Outcome run_session(const std::vector<std::string>& sim_arguments, std::uint32_t fault_col) {
    Outcome outcome;
    try {
        run(sim_arguments, fault_col, outcome);
    } catch (const std::exception& error) {
        outcome.error = error.what();
    }
    return outcome;
}

Folder::Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "talus_debug_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) {
        throw std::runtime_error("mkdtemp");
    }
    folder_ = name;
}

Folder::~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

bool appears(const std::string& path) {
    for (int tries = 0; tries < 6000; ++tries) {
        if (std::filesystem::exists(path)) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

std::string output_of(const std::vector<std::string>& command) {
    int ends[2];
    if (pipe(ends) != 0) {
        throw std::runtime_error("pipe");
    }
    const pid_t child = fork();
    if (child == 0) {
        std::vector<char*> argv;
        for (const std::string& word : command) {
            argv.push_back(const_cast<char*>(word.c_str()));
        }
        argv.push_back(nullptr);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        alarm(120); // survives exec
        execvp(argv[0], argv.data());
        _exit(127);
    }
    close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(ends[0], buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<std::size_t>(got));
    }
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        text += "\n[ended badly]\n";
    }
    return text;
}

std::string gdb(const Folder& folder, const std::string& commands) {
    const std::string script = folder.path("script.gdb");
    std::ofstream(script) << "set pagination off\nset confirm off\nset architecture riscv:rv64\n"
                          << commands;
    return output_of({TALUS_TEST_GDB, "-nx", "-batch", "-x", script});
}

std::string after(const std::string& text, const std::string& marker) {
    const std::size_t at = text.find(marker);
    if (at == text.npos) {
        return "";
    }
    const std::size_t begin = at + marker.size();
    return text.substr(begin, text.find('\n', begin) - begin);
}

std::string packet(const std::string& payload) {
    unsigned sum = 0;
    for (const char c : payload) {
        sum += static_cast<unsigned char>(c);
    }
    char end[8];
    std::snprintf(end, sizeof end, "#%02x", sum % 256);
    return "$" + payload + end;
}

Client::Client(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Client::~Client() {
    close(fd_);
}

void Client::send(const std::string& bytes) const {
    [[maybe_unused]] const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

std::string Client::reply(int seconds) {
    for (;;) {
        const std::size_t begin = buffer_.find('$');
        const std::size_t end = buffer_.find('#', begin == buffer_.npos ? 0 : begin);
        if (begin != buffer_.npos && end != buffer_.npos && buffer_.size() >= end + 3) {
            const std::string text = buffer_.substr(begin + 1, end - begin - 1);
            buffer_.erase(0, end + 3);
            send("+");
            return text;
        }
        pollfd entry{fd_, POLLIN, 0};
        char bytes[4096];
        if (poll(&entry, 1, seconds * 1000) <= 0) {
            return "(none)";
        }
        const ssize_t got = read(fd_, bytes, sizeof bytes);
        if (got <= 0) {
            return "(closed)";
        }
        buffer_.append(bytes, static_cast<std::size_t>(got));
    }
}

std::string Client::ask(const std::string& payload) {
    send(packet(payload));
    return reply();
}

std::string Client::monitor(const std::string& command) {
    std::string hex;
    for (const char c : command) {
        char digits[4];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
        hex += digits;
    }
    std::string text;
    for (std::string part = ask("qRcmd," + hex); part != "OK"; part = reply()) {
        if (part.empty() || part[0] != 'O') {
            return text + "[" + part + "]";
        }
        for (std::size_t i = 1; i + 1 < part.size(); i += 2) {
            text += static_cast<char>(std::stoi(part.substr(i, 2), nullptr, 16));
        }
    }
    return text;
}

std::uint64_t Client::reg(unsigned number) {
    char text[16];
    std::snprintf(text, sizeof text, "p%x", number);
    const std::string hex = ask(text);
    std::uint64_t value = 0;
    for (std::size_t i = hex.size(); i >= 2; i -= 2) {
        value = value << 8 | std::stoul(hex.substr(i - 2, 2), nullptr, 16);
    }
    return value;
}

Simulator::Simulator(const std::vector<std::string>& arguments) : gdb_(folder.path("gdb")) {
    std::vector<std::string> words = {TALUS_TEST_SIM, "--socket", folder.path("vfio"), "--gdb",
                                      "unix:" + gdb_};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
        const int null = open("/dev/null", O_WRONLY);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        execv(argv[0], argv.data());
        _exit(127);
    }
    appears(gdb_);
}

Simulator::~Simulator() {
    if (pid_ > 0) {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
}

int Simulator::exit_code() {
    for (int tries = 0; tries < 6000; ++tries) {
        int status = 0;
        if (waitpid(pid_, &status, WNOHANG) == pid_) {
            pid_ = -1;
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return -1;
}

} // namespace debug_test
