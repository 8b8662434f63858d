// talus-sim: a simulated Talus device as a process, behind a vfio-user socket.
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
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
    std::uint64_t serial = 0x7a15000000000001ull;
    bool trace_commands = false;
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

int serve(const Arguments& arguments) {
    Diagnostics diagnostics;
    if (!arguments.log.empty()) {
        diagnostics.open(arguments.log);
    }
    // A program that starts the simulator shares its stderr with it: only errors belong there.
    diagnostics.set_quiet(arguments.log.empty() && !arguments.verbose);

    DeviceOptions options;
    options.config = arguments.config.empty()
                         ? Config::load_default(arguments.assignments)
                         : Config::load(arguments.config, arguments.assignments);
    const std::filesystem::path rom = arguments.rom.empty()
                                          ? program_prefix() / "lib/talus/firmware/rom.elf"
                                          : std::filesystem::path(arguments.rom);
    options.rom = load_elf_image(rom.string(), TALUS_ROM_BASE, TALUS_ROM_SIZE);
    options.serial = arguments.serial;
    options.uart_path = arguments.uart;
    options.trace_commands = arguments.trace_commands;
    for (const std::string& capability : arguments.capabilities) {
        options.shadow = capability == "shadow=on";
    }
    add_firmware_symbols(diagnostics, rom);
    for (const std::string& symbols : arguments.symbols) {
        add_symbols(diagnostics, symbols);
    }

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

    bool failed = false;
    Device device(std::move(options), diagnostics);
    device.on_internal_error([&] {
        failed = true;
        wake_main();
    });
    PciFunction::Options function_options;
    function_options.identity.serial_number = arguments.serial;
    PciFunction function(device, function_options);

    vfio_user::ServerOptions server_options;
    server_options.socket_path = arguments.socket;
    server_options.fd = arguments.fd;
    server_options.report = [&](std::string_view text) {
        const bool comes_or_goes = text.find("client connected") != text.npos ||
                                   text.find("client disconnected") != text.npos;
        diagnostics.write(comes_or_goes ? Owner::kInfo : Owner::kHost, text);
    };
    server_options.on_finished = wake_main;
    vfio_user::Server server(function, function.memory(), function.irqs(),
                             std::move(server_options));

    std::unique_ptr<SysfsTree> tree;
    if (!arguments.sysfs.empty()) {
        function.observe_config([&](SysfsTree::Config config) {
            if (tree == nullptr) {
                tree = std::make_unique<SysfsTree>(arguments.sysfs, server.socket_path(), config);
            } else {
                tree->update(config);
            }
        });
    }

    device.start();
    server.start();
    if (arguments.fd >= 0) {
        fmt::print("talus-sim ready fd={} serial={:#018x}\n", arguments.fd, arguments.serial);
    } else {
        fmt::print("talus-sim ready socket={} serial={:#018x}{}{}\n", server.socket_path(),
                   arguments.serial, tree ? " address=" : "", tree ? tree->address() : "");
    }
    std::fflush(stdout);

    int signal = 0;
    sigwait(&signals, &signal);
    server.stop(); // first: then no DMA is left that the timing thread could wait for
    device.stop();
    function.observe_config({});
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
    app.add_option("--cap", arguments.capabilities,
                   "shadow=on|off: offer shadow doorbells (default on)")
        ->check(CLI::IsMember({"shadow=on", "shadow=off"}));
    app.add_option("--serial", arguments.serial, "Card serial number, 64 bits");
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
    try {
        if (!bare_options.elf.empty()) {
            return bare::run(bare_options, arguments.verbose);
        }
        return serve(arguments);
    } catch (const std::exception& error) {
        fmt::print(stderr, "talus-sim: {}\n", error.what());
        return kExitSetup;
    }
}
