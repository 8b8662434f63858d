// talus-smi: which Talus devices are there, and how are they? Resets one that hangs.
#include "talus/driver.h"

#include "talus/hw/contract_hash.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using Json = nlohmann::ordered_json;

constexpr int kExitOk = 0;
constexpr int kExitFailure = 1;  // the device or the driver reported an error
constexpr int kExitUsage = 2;    // the command line is wrong
constexpr int kExitNoDevice = 3; // there is no such device

constexpr const char* kExitCodes =
    "Exit codes: 0 success, 1 the device or driver failed, 2 wrong usage, 3 no such device.\n"
    "Environment: TALUS_DEVICE, TALUS_SYSFS, TALUS_SIM, TALUS_SIM_ARGS, TALUS_FIRMWARE.";

struct Failure : std::runtime_error {
    Failure(int code, const std::string& message) : std::runtime_error(message), code(code) {}
    int code;
};

void check(talus_drv_status status) {
    if (status != TALUS_DRV_OK)
        throw Failure(status == TALUS_DRV_NOT_FOUND ? kExitNoDevice : kExitFailure,
                      talus_drv_last_error());
}

struct Options {
    std::string device;
    std::string sysfs;
    bool json = false;
    bool boot = false;
    std::string rung; // of `reset`; empty: the mildest that works
};

using DevicePtr = std::unique_ptr<talus_drv_device, void (*)(talus_drv_device*)>;

std::vector<talus_drv_found> discover(const Options& options) {
    const char* sysfs = options.sysfs.empty() ? nullptr : options.sysfs.c_str();
    std::size_t count = 0;
    check(talus_drv_discover(sysfs, nullptr, 0, &count));
    std::vector<talus_drv_found> found(count);
    check(talus_drv_discover(sysfs, found.data(), found.size(), &count));
    found.resize(std::min(count, found.size()));
    return found;
}

// A simulated device that this tool starts is booted, since it has no other life; any other is only
// looked at unless --boot asks for more.
DevicePtr open(const Options& options) {
    std::string name = options.device;
    if (name.empty())
        if (const char* variable = std::getenv("TALUS_DEVICE"))
            name = variable;
    if (name.empty()) {
        const auto found = discover(options);
        if (found.empty())
            throw Failure(kExitNoDevice, "there is no Talus device in this machine; `--device sim` "
                                         "starts a simulated one");
        name = found.front().name;
    }
    talus_drv_open_options open_options = TALUS_DRV_INIT(talus_drv_open_options);
    open_options.device = name.c_str();
    open_options.sysfs = options.sysfs.empty() ? nullptr : options.sysfs.c_str();
    open_options.flags = name == "sim" || options.boot ? 0 : TALUS_DRV_OPEN_NO_BOOT;
    talus_drv_device* device = nullptr;
    check(talus_drv_open(&open_options, &device));
    return {device, talus_drv_close};
}

std::string version_text(std::uint32_t abi) {
    return abi == 0 ? "unknown" : fmt::format("{}.{}", abi >> 16, abi & 0xffff);
}

int list(const Options& options) {
    const auto found = discover(options);
    if (options.json) {
        Json devices = Json::array();
        for (const talus_drv_found& each : found)
            devices.push_back({{"name", each.name},
                               {"simulated", each.simulated != 0},
                               {"vendor_id", fmt::format("{:04x}", each.vendor_id)},
                               {"device_id", fmt::format("{:04x}", each.device_id)},
                               {"revision", each.revision},
                               {"bars", each.bar_count},
                               {"abi_version", version_text(each.abi_version)},
                               {"socket", each.socket},
                               {"kernel_driver", each.driver}});
        fmt::print("{}\n", Json{{"devices", devices}}.dump(2));
        return kExitOk;
    }
    if (found.empty()) {
        fmt::print("No Talus device in this machine. `talus-smi info --device sim` starts a "
                   "simulated one.\n");
        return kExitOk;
    }
    fmt::print("{:<16} {:<10} {:<10} {:<5} {}\n", "DEVICE", "KIND", "ID", "ABI", "REACHED BY");
    for (const talus_drv_found& each : found)
        fmt::print("{:<16} {:<10} {:04x}:{:04x}  {:<5} {}\n", each.name,
                   each.simulated != 0 ? "simulated" : "silicon", each.vendor_id, each.device_id,
                   version_text(each.abi_version),
                   each.socket[0] != '\0'   ? std::string("vfio-user ") + each.socket
                   : each.driver[0] != '\0' ? std::string("kernel driver ") + each.driver
                                            : "no kernel driver bound");
    return kExitOk;
}

constexpr const char* kEccMemories[] = {"local", "control_sram", "shared_sram", "dram"};

Json ecc_json(const talus_drv_telemetry& now) {
    Json out;
    for (std::size_t memory = 0; memory < std::size(kEccMemories); ++memory)
        out[kEccMemories[memory]] = {{"corrected", now.ecc_corrected[memory]},
                                     {"uncorrectable", now.ecc_uncorrectable[memory]}};
    return out;
}

// Memories without an error are not named.
std::string ecc_text(const talus_drv_telemetry& now) {
    constexpr const char* kNames[] = {"PE local memory", "control SRAM", "shared SRAM", "DRAM"};
    std::string text;
    for (std::size_t memory = 0; memory < std::size(kNames); ++memory) {
        const std::uint64_t corrected = now.ecc_corrected[memory];
        const std::uint64_t uncorrectable = now.ecc_uncorrectable[memory];
        if (corrected + uncorrectable != 0)
            text += fmt::format("{}{}: {} corrected, {} uncorrectable", text.empty() ? "" : "; ",
                                kNames[memory], corrected, uncorrectable);
    }
    return text.empty() ? "none since reset" : text;
}

int info(const Options& options) {
    const DevicePtr device = open(options);
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    check(talus_drv_get_info(device.get(), &info));
    talus_drv_telemetry now = TALUS_DRV_INIT(talus_drv_telemetry);
    check(talus_drv_get_telemetry(device.get(), &now));
    const double seconds = now.clock_hz == 0 ? 0
                                             : static_cast<double>(now.device_clock) /
                                                   static_cast<double>(now.clock_hz);
    if (options.json) {
        const Json report = {
            {"name", info.name},
            {"simulated", info.simulated != 0},
            {"transport", info.transport},
            {"host_page_bytes", info.host_page_bytes},
            {"product", info.product},
            {"serial", info.serial},
            {"abi_version", version_text(info.abi_version)},
            {"contract_hash", fmt::format("{:016x}", info.contract_hash)},
            {"firmware_version", info.firmware_version},
            {"driver_version", TALUS_BUNDLE_VERSION_STRING},
            {"boot_state", info.boot_state_name},
            {"post_code", now.post_code},
            {"failure_code", info.failure_code},
            {"failure",
             info.failure_code == 0
                 ? ""
                 : talus_drv_device_status_name(static_cast<std::uint16_t>(info.failure_code))},
            {"reset_epoch", info.reset_epoch},
            {"heartbeat", now.heartbeat},
            {"heartbeat_clock", now.heartbeat_clock},
            {"device_clock", now.device_clock},
            {"device_seconds", seconds},
            {"commands_completed", now.commands_completed},
            {"lost_interrupts", now.lost_interrupts},
            {"temperature_c", now.temperature_mc / 1000.0},
            {"power_w", now.power_mw / 1000.0},
            {"energy_j", static_cast<double>(now.energy_uj) * 1e-6},
            {"unit_clock_hz", now.unit_clock_hz},
            {"ecc", ecc_json(now)},
            {"clock_reason", now.clock_reason == TALUS_DRV_CLOCK_POWER_CAP ? "power cap" : "none"},
            {"sensors_modelled", info.simulated != 0},
            {"clock_hz", info.clock_hz},
            {"grid_rows", info.grid_rows},
            {"grid_cols", info.grid_cols},
            {"dram_bytes", info.dram_bytes},
            {"lls_bytes", info.lls_bytes},
            {"local_memory_bytes", info.local_memory_bytes},
            {"shadow_doorbells", info.shadow_doorbells != 0},
            {"gzip", info.gzip != 0},
        };
        fmt::print("{}\n", report.dump(2));
        return kExitOk;
    }
    const char* modelled = info.simulated != 0 ? " (modelled)" : "";
    const auto row = [](const char* name, const std::string& value) {
        fmt::print("{:<18} {}\n", name, value);
    };
    row("Device", fmt::format("{}{}", info.name, info.simulated != 0 ? " (simulated)" : ""));
    row("Transport", info.transport);
    if (info.host_page_bytes != 0)
        row("Host memory", fmt::format("{} KiB pages", info.host_page_bytes >> 10));
    if (info.product[0] != '\0')
        row("Product", fmt::format("{}, serial {}", info.product, info.serial));
    row("Firmware", info.firmware_version[0] != '\0' ? info.firmware_version : "not running");
    row("Driver", TALUS_BUNDLE_VERSION_STRING);
    row("ABI, contract",
        fmt::format("{}, {:016x}", version_text(info.abi_version), info.contract_hash));
    row("State", fmt::format("{}, POST code 0x{:08x}, reset epoch {}", info.boot_state_name,
                             now.post_code, info.reset_epoch));
    if (info.failure_code != 0)
        row("Failure", talus_drv_device_status_name(static_cast<std::uint16_t>(info.failure_code)));
    row("Heartbeat", fmt::format("{}, last at clock {}", now.heartbeat, now.heartbeat_clock));
    row("Device clock", fmt::format("{} ({:.6f} s at {:.3f} GHz)", now.device_clock, seconds,
                                    static_cast<double>(now.clock_hz) / 1e9));
    row("Commands", fmt::format("{} completed", now.commands_completed));
    row("Temperature", fmt::format("{:.1f} C{}", now.temperature_mc / 1000.0, modelled));
    row("Power", fmt::format("{:.1f} W{}", now.power_mw / 1000.0, modelled));
    row("Energy", fmt::format("{:.6f} J beyond idle power, since reset{}",
                              static_cast<double>(now.energy_uj) * 1e-6, modelled));
    row("PE clock",
        fmt::format("{:.3f} GHz{}", static_cast<double>(now.unit_clock_hz) / 1e9,
                    now.clock_reason == TALUS_DRV_CLOCK_POWER_CAP ? ", held down by the power cap"
                                                                  : ""));
    row("Memory errors", ecc_text(now));
    if (info.grid_rows != 0) {
        row("Grid", fmt::format("{} x {} PEs", info.grid_rows, info.grid_cols));
        row("Memory", fmt::format("{} MiB DRAM, {} MiB LLS, {} KiB per PE", info.dram_bytes >> 20,
                                  info.lls_bytes >> 20, info.local_memory_bytes >> 10));
        row("Doorbells", info.shadow_doorbells != 0 ? "shadow" : "BAR2");
    }
    return kExitOk;
}

int bind(const Options& options, bool to_vfio) {
    char former[64] = "";
    check((to_vfio ? talus_drv_bind : talus_drv_unbind)(options.device.c_str(), former,
                                                        sizeof former));
    const std::string driver = former;
    if (options.json) {
        fmt::print("{}\n", Json{{"device", options.device},
                                {"driver", to_vfio ? "vfio-pci" : driver},
                                {"former_driver", to_vfio ? driver : "vfio-pci"}}
                               .dump(2));
    } else if (!to_vfio) {
        fmt::print("{}: {}\n", options.device,
                   driver.empty() ? "unbound, as it was before" : "back at " + driver);
    } else if (driver == "vfio-pci") {
        fmt::print("{}: was bound to vfio-pci already\n", options.device);
    } else {
        fmt::print("{}: bound to vfio-pci, before {}\n", options.device,
                   driver.empty() ? "unbound" : driver);
    }
    return kExitOk;
}

int reset(const Options& options) {
    const DevicePtr device = open(options);
    talus_drv_device_info info = TALUS_DRV_INIT(talus_drv_device_info);
    check(talus_drv_get_info(device.get(), &info));
    if (std::string(info.transport) == "talusd")
        throw Failure(kExitFailure, "a card of talusd's is reset by talusd, when a client's work "
                                    "does not end; end talusd first to do it by hand");
    const std::map<std::string, talus_drv_rung> rungs{{"", TALUS_DRV_RUNG_NONE},
                                                      {"flr", TALUS_DRV_RUNG_FLR},
                                                      {"hot", TALUS_DRV_RUNG_HOT},
                                                      {"fundamental", TALUS_DRV_RUNG_FUNDAMENTAL}};
    talus_drv_recovery done = TALUS_DRV_INIT(talus_drv_recovery);
    check(talus_drv_reset_by(device.get(), rungs.at(options.rung), &done));
    check(talus_drv_get_info(device.get(), &info));
    const char* rung = talus_drv_rung_name(static_cast<talus_drv_rung>(done.rung));
    if (options.json)
        fmt::print("{}\n", Json{{"device", info.name},
                                {"simulated", info.simulated != 0},
                                {"asked", options.rung.empty() ? "any" : options.rung},
                                {"rung", rung},
                                {"reason", done.reason},
                                {"seconds", static_cast<double>(done.wall_us) * 1e-6},
                                {"boot_state", info.boot_state_name},
                                {"reset_epoch", info.reset_epoch}}
                               .dump(2));
    else
        fmt::print("{}{}: {} in {:.3f} s, now {}{}{}\n", info.name,
                   info.simulated != 0 ? " (simulated)" : "", rung,
                   static_cast<double>(done.wall_us) * 1e-6, info.boot_state_name,
                   done.reason[0] != '\0' ? "; a milder reset did not do: " : "", done.reason);
    return kExitOk;
}

int log(const Options& options) {
    const DevicePtr device = open(options);
    std::size_t length = 0;
    check(talus_drv_read_log(device.get(), nullptr, 0, &length));
    std::string text(length + 65536, '\0'); // it may grow between the two calls
    check(talus_drv_read_log(device.get(), text.data(), text.size(), &length));
    text.resize(std::min(length, text.size()) - 1);
    if (options.json) {
        Json lines = Json::array();
        for (std::size_t start = 0; start < text.size();) {
            const std::size_t end = std::min(text.find('\n', start), text.size());
            lines.push_back(text.substr(start, end - start));
            start = end + 1;
        }
        fmt::print("{}\n", Json{{"log", lines}}.dump(2));
    } else {
        fmt::print("{}", text);
    }
    return kExitOk;
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app{"Lists Talus accelerators, shows their state, and resets them.", "talus-smi"};
    app.footer(kExitCodes);
    app.set_version_flag("--version", std::string("talus-smi " TALUS_BUNDLE_VERSION_STRING));
    app.require_subcommand(1);
    Options options;

    const auto common = [&](CLI::App* command) {
        command->add_flag("--json", options.json, "Print JSON");
        command->add_option("--sysfs", options.sysfs,
                            "Tree that `talus-sim --sysfs DIR` published (default: TALUS_SYSFS)");
        command->footer(kExitCodes);
    };
    const auto with_device = [&](CLI::App* command) {
        common(command);
        command->add_option("-d,--device", options.device,
                            "BDF (0000:03:00.0), vfio-user socket, or `sim` to start a simulated "
                            "device (default: TALUS_DEVICE, else the first device listed)");
        command->add_flag("--boot", options.boot, "Boot the firmware if it does not run");
    };
    CLI::App* list_command = app.add_subcommand(
        "list", "Devices in the machine, and simulated ones that were published");
    common(list_command);
    CLI::App* info_command = app.add_subcommand(
        "info", "Firmware version, state, heartbeat, temperature and power of one device");
    with_device(info_command);
    CLI::App* log_command = app.add_subcommand("log", "The firmware's log page");
    with_device(log_command);

    CLI::App* reset_command = app.add_subcommand(
        "reset", "Reset a device that hangs, and boot it. Ends its queues and clears its memory; "
                 "exit code 0 only if its firmware runs afterwards");
    common(reset_command);
    reset_command->add_option("-d,--device", options.device,
                              "BDF (0000:03:00.0) or vfio-user socket (default: TALUS_DEVICE, else "
                              "the first device listed)");
    reset_command
        ->add_option(
            "--rung", options.rung,
            "This reset and no other: flr (function-level: the firmware lives on), hot (of "
            "the bus), fundamental (of the card); hot and fundamental boot the firmware "
            "anew (default: the mildest that works)")
        ->check(CLI::IsMember({"flr", "hot", "fundamental"}));

    CLI::App* bind_command = app.add_subcommand(
        "bind", "Hand a PCI device to vfio-pci, through which the driver reaches it (needs root)");
    CLI::App* unbind_command =
        app.add_subcommand("unbind", "Give it back to the kernel driver that it had before");
    for (CLI::App* command : {bind_command, unbind_command}) {
        command->add_flag("--json", options.json, "Print JSON");
        command->add_option("device", options.device, "BDF (0000:03:00.0)")->required();
        command->footer(kExitCodes);
    }

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? kExitOk : kExitUsage;
    }
    try {
        if (list_command->parsed())
            return list(options);
        if (info_command->parsed())
            return info(options);
        if (reset_command->parsed())
            return reset(options);
        if (bind_command->parsed() || unbind_command->parsed())
            return bind(options, bind_command->parsed());
        return log(options);
    } catch (const Failure& failure) {
        fmt::print(stderr, "talus-smi: {}\n", failure.what());
        return failure.code;
    } catch (const std::exception& error) {
        fmt::print(stderr, "talus-smi: {}\n", error.what());
        return kExitFailure;
    }
}
