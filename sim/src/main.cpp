// talus-sim: a simulated Talus device as a process, behind a vfio-user socket.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pthread.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "talus/hw/contract_hash.h"
#include "talus/hw/queue.h"

#include "bare/command_line.hpp"
#include "core/config.hpp"
#include "core/diagnostics.hpp"
#include "debug/debugger.hpp"
#include "isa/commit_log.hpp"
#include "pci/pci_function.hpp"
#include "pci/sysfs_tree.hpp"
#include "soc/device.hpp"
#include "soc/elf_image.hpp"
#include "vfio_user/server.hpp"

namespace {

using namespace talus::sim;

// Exit codes; the command line's own errors are CLI11's (100 and above).
constexpr int kExitOk = 0;
constexpr int kExitSetup = 1;     // configuration, ROM, socket or sysfs folder cannot be used
constexpr int kExitInternal = 70; // the simulator itself failed

struct Arguments {
    std::string socket;
    int fd = -1;
    std::string sysfs;
    std::string config;
    std::vector<std::string> assignments;
    std::string rom;
    std::string log;
    std::string uart;
    std::vector<std::string> symbols;
    std::vector<std::string> capabilities;
    unsigned dma_timeout_ms = 5000;
    std::uint64_t serial = 0x7a15000000000001ull; ///< of the first card; the next have the next
    unsigned devices = 1;
    std::string host_clock = "parked";
    std::string host_log;
    std::string replay;
    std::string gdb;
    bool wait_gdb = false;
    std::string crash_dir;
    std::vector<std::string> faults;
    std::string fault_report;
    bool trace_commands = false;
    std::string trace;
    std::string statistics;
    CommitLogOptions commit_log;
    std::string checkpoint;
    std::string restore;
    std::uint64_t trace_limit_mib = 1024;
    bool verbose = false;
};

std::filesystem::path program_prefix() {
    std::error_code error;
    return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().parent_path();
}

/// ELF[@base] as given on the command line.
void add_symbols(Diagnostics& diagnostics, const std::string& argument) {
    const std::size_t at = argument.rfind('@');
    std::string path = argument;
    std::uint64_t base = 0;
    if (at != std::string::npos && at + 1 < argument.size()) {
        std::size_t used = 0;
        base = std::stoull(argument.substr(at + 1), &used, 0);
        if (used != argument.size() - at - 1) {
            throw std::runtime_error("--symbols " + argument + ": the base is not a number");
        }
        path.resize(at);
    }
    diagnostics.symbols().add_elf(path, base);
}

/// The firmware's ELF files stand beside the ROM's; they are linked where they run.
void add_firmware_symbols(Diagnostics& diagnostics, const std::filesystem::path& rom) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(rom.parent_path(), error)) {
        if (entry.path().extension() != ".elf") {
            continue;
        }
        try {
            diagnostics.symbols().add_elf(entry.path().string(), 0);
        } catch (const std::exception& problem) {
            diagnostics.info("no symbols from {}", problem.what());
        }
    }
}

/// Several cards keep their files apart by their number: PATH.0, PATH.1...
std::string numbered(const std::string& path, const Arguments& arguments, unsigned number) {
    return path.empty() || arguments.devices == 1 ? path : fmt::format("{}.{}", path, number);
}

/// An accelerator: chip, PCIe function, socket, and its folder in the published tree. `wake` is
/// called from its threads when it has failed, or when its only client is gone.
class Card {
  public:
    Card(const Arguments& arguments, unsigned number, const std::function<void()>& wake)
        : serial_(arguments.serial + number), fd_(arguments.fd),
          device_(device_options(arguments, number), diagnostics_), function_(device_, [&] {
              PciFunction::Options options;
              options.identity.serial_number = serial_;
              options.completion_timeout = std::chrono::milliseconds(arguments.dma_timeout_ms);
              return options;
          }()) {
        device_.on_internal_error([this, wake] {
            failed_ = true;
            wake();
        });
        fault_report_ = numbered(arguments.fault_report, arguments, number);
        if (!arguments.gdb.empty() || !arguments.crash_dir.empty() || !arguments.faults.empty()) {
            debugger_ = std::make_unique<debug::Debugger>(
                device_, debugger_options(arguments, number, wake));
            device_.set_debugger(debugger_.get());
        }
        vfio_user::ServerOptions options;
        options.socket_path = numbered(arguments.socket, arguments, number);
        options.fd = arguments.fd;
        options.report = [this](std::string_view text) {
            const bool comes_or_goes = text.find("client connected") != text.npos ||
                                       text.find("client disconnected") != text.npos;
            diagnostics_.write(comes_or_goes ? Owner::kInfo : Owner::kHost, text);
        };
        options.on_finished = wake;
        server_.emplace(function_, function_.memory(), function_.irqs(), std::move(options));
        if (arguments.sysfs.empty()) {
            return;
        }
        function_.observe_config([this, directory = arguments.sysfs](SysfsTree::Config config) {
            if (tree_ == nullptr) {
                tree_ = std::make_unique<SysfsTree>(directory, server_->socket_path(), config);
            } else {
                tree_->update(config);
            }
        });
    }

    ~Card() {
        server_->stop(); // first: then no DMA is left that the timing thread could wait for
        device_.stop();
        function_.observe_config({});
        if (debugger_ && !debugger_->injector().faults().empty()) {
            diagnostics_.info("injected faults:\n{}", debugger_->injector().summary());
            if (!fault_report_.empty()) {
                std::ofstream(fault_report_) << debugger_->injector().json();
            }
        }
    }

    void start() {
        if (debugger_) {
            debugger_->start();
        }
        if (!gdb_address().empty()) {
            // The program that started us may keep our standard output to itself.
            fmt::print(stderr, "talus-sim: gdb at {}\n", gdb_address());
        }
        device_.start();
        server_->start();
    }

    /// What says that clients can connect.
    std::string ready_line() const {
        const std::string where =
            fd_ >= 0 ? fmt::format("fd={}", fd_) : fmt::format("socket={}", server_->socket_path());
        const std::string gdb = gdb_address();
        return fmt::format("talus-sim ready {} serial={:#018x}{}{}{}{}", where, serial_,
                           tree_ ? " address=" : "", tree_ ? tree_->address() : "",
                           gdb.empty() ? "" : " gdb=", gdb);
    }

    bool failed() const { return failed_; }

  private:
    std::string gdb_address() const { return debugger_ ? debugger_->address() : std::string(); }

    static debug::DebuggerOptions debugger_options(const Arguments& arguments, unsigned number,
                                                   const std::function<void()>& wake) {
        debug::DebuggerOptions options;
        options.listen = arguments.gdb;
        const bool is_port = arguments.gdb.find_first_not_of("0123456789") == std::string::npos;
        if (!is_port) {
            options.listen = numbered(arguments.gdb, arguments, number);
        } else if (number != 0 && !arguments.gdb.empty() && arguments.gdb != "0") {
            options.listen = std::to_string(std::stoul(arguments.gdb) + number);
        }
        options.wait_gdb = arguments.wait_gdb;
        options.crash_dir = numbered(arguments.crash_dir, arguments, number);
        if (!options.crash_dir.empty()) {
            std::filesystem::create_directories(options.crash_dir);
        }
        options.faults = arguments.faults;
        options.on_kill = wake;
        return options;
    }

    DeviceOptions device_options(const Arguments& arguments, unsigned number) {
        if (!arguments.log.empty()) {
            diagnostics_.open(numbered(arguments.log, arguments, number));
        }
        // A program that starts the simulator shares its stderr with it: only errors belong there.
        diagnostics_.set_quiet(arguments.log.empty() && !arguments.verbose);
        DeviceOptions options;
        options.config = arguments.config.empty()
                             ? Config::load_default(arguments.assignments)
                             : Config::load(arguments.config, arguments.assignments);
        const std::filesystem::path rom = arguments.rom.empty()
                                              ? program_prefix() / "lib/talus/firmware/rom.elf"
                                              : std::filesystem::path(arguments.rom);
        options.rom = load_elf_image(rom.string(), TALUS_ROM_BASE, TALUS_ROM_SIZE);
        options.serial = serial_;
        options.uart_path = numbered(arguments.uart, arguments, number);
        options.free_host_clock = arguments.host_clock == "free";
        options.host_log = numbered(arguments.host_log, arguments, number);
        options.replay = numbered(arguments.replay, arguments, number);
        options.trace_commands = arguments.trace_commands;
        options.trace_path = numbered(arguments.trace, arguments, number);
        options.statistics_path = numbered(arguments.statistics, arguments, number);
        options.commit_log = arguments.commit_log;
        options.commit_log.path = numbered(arguments.commit_log.path, arguments, number);
        options.checkpoint_path = numbered(arguments.checkpoint, arguments, number);
        options.restore_path = arguments.restore;
        options.trace_limit_bytes = arguments.trace_limit_mib << 20;
        for (const std::string& capability : arguments.capabilities) {
            options.shadow = capability == "shadow=on";
        }
        add_firmware_symbols(diagnostics_, rom);
        for (const std::string& symbols : arguments.symbols) {
            add_symbols(diagnostics_, symbols);
        }
        return options;
    }

    std::uint64_t serial_;
    int fd_;
    std::string fault_report_;
    std::atomic<bool> failed_{false};
    Diagnostics diagnostics_;
    Device device_;
    std::unique_ptr<debug::Debugger> debugger_;
    PciFunction function_;
    std::optional<vfio_user::Server> server_;
    std::unique_ptr<SysfsTree> tree_;
};

int serve(const Arguments& arguments) {
    // The main thread waits for signals, and so that it alone gets them, blocks them before any
    // other thread starts.
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
        sigaddset(&signals, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
    const pthread_t main_thread = pthread_self();
    const auto wake_main = [main_thread] { pthread_kill(main_thread, SIGUSR1); };

    std::vector<std::unique_ptr<Card>> cards;
    for (unsigned number = 0; number < arguments.devices; ++number) {
        cards.push_back(std::make_unique<Card>(arguments, number, wake_main));
    }
    for (const auto& card : cards) {
        card->start();
        fmt::print("{}\n", card->ready_line());
    }
    std::fflush(stdout);

    int signal = 0;
    sigwait(&signals, &signal);
    const bool failed =
        std::any_of(cards.begin(), cards.end(), [](const auto& card) { return card->failed(); });
    cards.clear();
    return failed ? kExitInternal : kExitOk;
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"Simulates a Talus accelerator behind a vfio-user socket.", "talus-sim"};
    Arguments arguments;
    auto* socket = app.add_option("--socket", arguments.socket,
                                  "Listen on this UNIX socket; serves one client after another");
    auto* fd = app.add_option("--fd", arguments.fd,
                              "Serve the connected socket of this number; end when it closes");
    socket->excludes(fd);
    app.add_option("--sysfs", arguments.sysfs,
                   "Publish the device below this folder, for libpci and lspci -O sysfs.path=DIR")
        ->needs(socket);
    app.add_option("--config", arguments.config,
                   "Configuration (default: share/talus/config/t2.toml beside the program)");
    app.add_option("--set", arguments.assignments,
                   "SECTION.KEY=VALUE: use this instead of what the configuration file says")
        ->allow_extra_args(false);
    app.add_option(
        "--rom", arguments.rom,
        "Boot ROM, an ELF file (default: lib/talus/firmware/rom.elf beside the program)");
    app.add_option("--log", arguments.log, "Append the log to this file instead of stderr");
    app.add_flag("--verbose", arguments.verbose,
                 "Information and UART lines on stderr too; a log file always has them");
    app.add_option("--uart", arguments.uart, "Append the UART's lines to this file");
    app.add_option("--symbols", arguments.symbols,
                   "ELF[@BASE]: names for addresses in the log; the firmware's are known");
    app.add_option("--trace", arguments.trace,
                   "Write a trace of cores, units, links and host queues to this file, for "
                   "ui.perfetto.dev");
    app.add_option("--stats", arguments.statistics,
                   "At the end, write what was counted to this file: JSON if its name ends in "
                   ".json, else a line a number");
    auto* commit_log = app.add_option("--commit-log", arguments.commit_log.path,
                                      "Write a line for every instruction that retires to this "
                                      "file, as spike --log-commits does");
    app.add_option("--commit-log-harts", arguments.commit_log.harts,
                   "Of these harts only, for instance 0,8-11: numbers as in mhartid, or names")
        ->needs(commit_log);
    app.add_option("--commit-log-pc", arguments.commit_log.pcs,
                   "Of these instructions only: FIRST-LAST, or the name of a function")
        ->needs(commit_log);
    app.add_option("--trace-limit", arguments.trace_limit_mib,
                   "MiB after which the trace's file grows no more (default 1024)")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 20));
    app.add_option("--checkpoint", arguments.checkpoint,
                   "Write the booted device to this file whenever a client has gone");
    app.add_option("--restore", arguments.restore,
                   "Start from this checkpoint instead of the boot ROM");
    app.add_option("--cap", arguments.capabilities,
                   "shadow=on|off: offer shadow doorbells (default on)")
        ->check(CLI::IsMember({"shadow=on", "shadow=off"}));
    app.add_option("--dma-timeout-ms", arguments.dma_timeout_ms,
                   "How long a client that shares no memory may take to answer a request for its "
                   "data; not counted is while it is stopped (default 5000)")
        ->check(CLI::Range(1u, 86'400'000u));
    app.add_option("--serial", arguments.serial,
                   "Card serial number, 64 bits; of several cards, the first one's");
    app.add_option(
           "--devices", arguments.devices,
           "So many cards in this process, each with its own socket, serial number, log and "
           "UART file: NAME.0, NAME.1...")
        ->check(CLI::Range(1, 16))
        ->needs(socket);
    app.add_option(
           "--host-clock", arguments.host_clock,
           "parked: host writes are taken when the device rests, so that cycle counts are the "
           "same on every run (default); free: as they come, so that queues overlap")
        ->check(CLI::IsMember({"parked", "free"}));
    app.add_option("--host-log", arguments.host_log,
                   "Write down what the host did and when, for --replay");
    app.add_option(
           "--replay", arguments.replay,
           "Take the host's writes at the clocks of this log of --host-log; the same program, "
           "run again, then takes the same cycles")
        ->excludes("--host-clock");
    auto* gdb = app.add_option("--gdb", arguments.gdb,
                               "PORT|unix:PATH: accept gdb there, on the loopback interface; port "
                               "0 takes a free one; the ready line says which");
    app.add_flag("--wait-gdb", arguments.wait_gdb,
                 "Do not execute the first instruction before gdb has said `continue`")
        ->needs(gdb);
    app.add_option("--crash-dir", arguments.crash_dir,
                   "Write an ELF core file into this folder for every fault of a hart")
        ->check(CLI::ExistingDirectory);
    auto* faults =
        app.add_option("--inject", arguments.faults,
                       "Inject a hardware fault, for instance flip:memory=dram:addr=0x100, as "
                       "src/debug/README.md describes them; may be given several times");
    app.add_option("--inject-report", arguments.fault_report,
                   "Write what was injected and what noticed it to this file at the end (JSON)")
        ->needs(faults);
    app.add_flag("--trace-commands", arguments.trace_commands,
                 "Log every admitted batch and every completion with its clocks");
    bare::Options bare_options;
    bare::add_options(app, bare_options)->excludes(socket)->excludes(fd);
    app.set_version_flag("--version",
                         fmt::format("talus-sim {} (contract {:016x})", TALUS_BUNDLE_VERSION_STRING,
                                     TALUS_CONTRACT_HASH));
    CLI11_PARSE(app, argc, argv);
    if (arguments.socket.empty() && arguments.fd < 0 && bare_options.elf.empty()) {
        fmt::print(stderr, "talus-sim: one of --socket, --fd and --elf is needed; see --help\n");
        return kExitSetup;
    }
    if (!arguments.host_log.empty() && arguments.host_clock != "free" && arguments.replay.empty()) {
        fmt::print(stderr,
                   "talus-sim: --host-log needs --host-clock free; with a parked clock every "
                   "run is the same anyway\n");
        return kExitSetup;
    }
    try {
        if (!bare_options.elf.empty()) {
            return bare::run(bare_options, arguments.commit_log, arguments.verbose);
        }
        return serve(arguments);
    } catch (const std::exception& error) {
        fmt::print(stderr, "talus-sim: {}\n", error.what());
        return kExitSetup;
    }
}
