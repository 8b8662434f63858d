// talusd: owns one Talus device and shares it among processes.
#include "server.hpp"

#include "../daemon_transport.hpp"

#include "talus/hw/contract_hash.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

using namespace talus::driver;

namespace {

struct Arguments {
    std::string socket = default_daemon_socket();
    std::string device;
    std::string sysfs;
    std::string firmware;
    std::string mode = "0600";
    std::uint64_t boot_timeout_us = OpenOptions().boot_timeout_us;
    std::uint64_t command_timeout_us = OpenOptions().command_timeout_us;
    unsigned idle_exit = 0;
    bool detach = false;
    bool clients = false;
    daemon::ServerOptions server;
};

/// Another talusd serves the socket.
struct Taken : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Held until this process ends, however it ends. The file says who holds it; it is believed only
// while somebody does.
UniqueFd take_lock(const std::string& socket) {
    const std::string path = socket + ".lock";
    UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (!file.valid())
        throw system_error("cannot open " + path, errno);
    if (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        char holder[32] = {};
        const ssize_t got = read(file.get(), holder, sizeof holder - 1);
        throw Taken("talusd with process id " + std::string(got > 0 ? holder : "(unknown)") +
                    " serves " + socket + " already");
    }
    const std::string pid = std::to_string(getpid());
    if (ftruncate(file.get(), 0) != 0 ||
        pwrite(file.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
        throw system_error("cannot write " + path, errno);
    return file;
}

UniqueFd listen_at(const std::string& socket, unsigned mode) {
    // systemd's socket activation: descriptor 3 listens already.
    const char* pid = std::getenv("LISTEN_PID");
    if (pid != nullptr && std::atoi(pid) == getpid())
        return UniqueFd(3);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path)
        throw Error(TALUS_DRV_INVALID_ARGUMENT, "the socket's path is too long: " + socket);
    std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
    UniqueFd listener(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    unlink(socket.c_str()); // of one that died: we hold the lock
    const mode_t before = umask(static_cast<mode_t>(~mode & 0777));
    const bool bound =
        listener.valid() &&
        bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
        listen(listener.get(), 64) == 0;
    umask(before);
    if (!bound)
        throw system_error("cannot listen at " + socket, errno);
    return listener;
}

// Goes on as a child without a terminal. The parent ends when the child is ready (0) or has failed.
UniqueFd detach() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0)
        throw system_error("pipe", errno);
    UniqueFd readiness(ends[0]);
    UniqueFd ready(ends[1]);
    const pid_t child = fork();
    if (child < 0)
        throw system_error("fork", errno);
    if (child != 0) {
        ready.reset();
        char code = EX_SOFTWARE;
        if (read(readiness.get(), &code, 1) != 1)
            code = EX_SOFTWARE;
        _exit(code);
    }
    setsid();
    return ready;
}

void tell(const UniqueFd& ready, int code) {
    const char byte = static_cast<char>(code);
    if (ready.valid())
        (void)!write(ready.get(), &byte, 1);
}

void become_quiet() {
    const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        dup2(null.get(), fd);
}

void print_clients(const std::string& socket) {
    daemon::Channel channel(daemon::Channel::connect(socket));
    daemon::Request request;
    request.op = daemon::Op::kClients;
    if (channel.fd() < 0 || !channel.send(request))
        throw system_error("no talusd answers at " + socket, errno);
    pollfd entry{channel.fd(), POLLIN, 0};
    daemon::Reply reply;
    std::vector<std::byte> data;
    UniqueFd none;
    if (poll(&entry, 1, 20000) != 1 ||
        channel.receive(reply, data, none) != daemon::Channel::Got::kMessage)
        throw Error(TALUS_DRV_DEVICE_LOST, "talusd at " + socket + " does not answer");
    for (std::size_t at = 0; at + sizeof(daemon::ClientEntry) <= data.size();
         at += sizeof(daemon::ClientEntry)) {
        daemon::ClientEntry client;
        std::memcpy(&client, data.data() + at, sizeof client);
        const nlohmann::ordered_json line{{"pid", client.pid},
                                          {"uid", client.uid},
                                          {"domain", client.domain},
                                          {"queues", client.queues},
                                          {"commands", client.commands},
                                          {"host_bytes", client.host_bytes},
                                          {"device_bytes", client.device_bytes}};
        std::printf("%s\n", line.dump().c_str());
    }
}

void serve(const Arguments& arguments, const UniqueFd& ready) {
    // The lock is the process's that serves, so it is taken after the fork.
    const UniqueFd lock = take_lock(arguments.socket);
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    const UniqueFd stop(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));

    OpenOptions options;
    options.device = arguments.device;
    options.sysfs = arguments.sysfs;
    options.firmware = arguments.firmware;
    options.boot_timeout_us = arguments.boot_timeout_us;
    options.command_timeout_us = arguments.command_timeout_us;
    // Nobody's kernel may keep the others' commands from being heard.
    options.transport.simulator_args = {"--host-clock", "free"};
    if (const char* more = std::getenv("TALUS_SIM_ARGS")) {
        std::istringstream words(more);
        for (std::string word; words >> word;)
            options.transport.simulator_args.push_back(word);
    }
    daemon::Server server(Device::open(options), arguments.server);
    const UniqueFd listener =
        listen_at(arguments.socket, static_cast<unsigned>(std::stoul(arguments.mode, nullptr, 8)));
    std::printf("talusd: ready on %s\n", arguments.socket.c_str());
    std::fflush(stdout);
    tell(ready, 0);
    if (arguments.detach)
        become_quiet();
    try {
        server.serve(listener.get(), stop.get());
    } catch (...) {
        unlink(arguments.socket.c_str());
        throw;
    }
    unlink(arguments.socket.c_str());
}

} // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    CLI::App app{"talusd owns one Talus device and shares it among processes, each confined to its "
                 "own queues and memory. Clients open the device \"talusd\" or \"talusd:SOCKET\" "
                 "(TALUS_DEVICE); without a talusd they start one."};
    app.add_option("--socket", arguments.socket,
                   "where clients connect; its permissions say who may")
        ->capture_default_str();
    app.add_option("--device", arguments.device,
                   "BDF, vfio-user socket, or sim; default: the first in the machine, else sim")
        ->envname("TALUSD_DEVICE");
    app.add_option("--sysfs", arguments.sysfs, "tree that talus-sim --sysfs published");
    app.add_option("--firmware", arguments.firmware, "boot image");
    app.add_option("--mode", arguments.mode, "the socket's permissions, octal")
        ->check([](const std::string& text) {
            return !text.empty() && text.size() <= 4 &&
                           text.find_first_not_of("01234567") == std::string::npos
                       ? std::string()
                       : "octal permissions, such as 0660";
        })
        ->capture_default_str();
    app.add_option("--idle-exit", arguments.idle_exit,
                   "end after so many seconds without a client; 0: never")
        ->capture_default_str();
    app.add_option("--boot-timeout-us", arguments.boot_timeout_us,
                   "device time for a boot, in microseconds")
        ->capture_default_str();
    app.add_option("--command-timeout-us", arguments.command_timeout_us,
                   "device time for an admin command, in microseconds")
        ->capture_default_str();
    app.add_option("--queues-per-client", arguments.server.queues_per_client, "at most")
        ->capture_default_str();
    app.add_option("--dram-per-client", arguments.server.dram_per_client,
                   "off-chip memory, such as 4GiB; 0: as much as there is")
        ->transform(CLI::AsSizeValue(false));
    app.add_option("--lls-per-client", arguments.server.lls_per_client,
                   "shared SRAM, such as 16MiB; 0: as much as there is")
        ->transform(CLI::AsSizeValue(false));
    app.add_option(
           "--launch-limit-us", arguments.server.launch_limit_us,
           "device time, in microseconds, after which a kernel is ended whatever its client "
           "says; 0: never")
        ->capture_default_str();
    app.add_flag("--detach", arguments.detach, "go to the background once it serves");
    app.add_flag("--clients", arguments.clients,
                 "say who uses the talusd at the socket, one JSON object a line, and end");
    app.set_version_flag("--version", "talusd " TALUS_BUNDLE_VERSION_STRING);
    CLI11_PARSE(app, argc, argv);
    arguments.server.idle_exit = std::chrono::seconds(arguments.idle_exit);

    UniqueFd ready;
    int code = EXIT_FAILURE;
    try {
        if (arguments.clients) {
            print_clients(arguments.socket);
            return EXIT_SUCCESS;
        }
        if (arguments.detach)
            ready = detach();
        serve(arguments, ready);
        return EXIT_SUCCESS;
    } catch (const Taken& taken) {
        std::fprintf(stderr, "talusd: %s\n", taken.what());
        code = EX_TEMPFAIL;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "talusd: %s\n", error.what());
    }
    tell(ready, code);
    return code;
}
