// What gdb's `monitor` says about the device.
#include <algorithm>

#include <fmt/format.h>

#include "core_dump.hpp"
#include "debugger.hpp"
#include "pe/pe.hpp"
#include "soc/clint.hpp"
#include "soc/host_interface.hpp"
#include "soc/queue_engine.hpp"

namespace talus::sim::debug {

namespace {

constexpr const char* kHelp =
    "help                    this\n"
    "cycle                   the device clock, the next event, the next timer\n"
    "harts [all|ROW.COL]     what harts do (without argument: those not held in reset)\n"
    "caches                  instruction caches, the LLC, and what memories have passed\n"
    "cbs [ROW.COL]           circular buffers and semaphores (without argument: all PEs that "
    "work)\n"
    "units [ROW.COL]         commands queued and under way in PEs\n"
    "queues                  host queues\n"
    "log [LINES]             the end of the simulator's log\n"
    "stop-on-trap on|off     stop before a hart takes a trap (calls and interrupts excepted)\n"
    "step-interrupts on|off  step into interrupt handlers (off: over them)\n"
    "dump PE|control PATH    an ELF core file of PE ROW.COL, or of the control harts\n"
    "checkpoint PATH         the booted device in a file, for talus-sim --restore\n"
    "inject [SPEC]           a hardware fault (src/debug/README.md); without SPEC: what became of "
    "them\n"
    "reset                   fundamental reset; the device then stands before its first "
    "instruction\n";

std::string join(const std::vector<std::string>& lines, std::string_view indent = "") {
    std::string text;
    for (const std::string& line : lines) {
        text += fmt::format("{}{}\n", indent, line);
    }
    return text;
}

std::string_view next_word(std::string_view& text) {
    const std::size_t begin = text.find_first_not_of(" \t\n");
    text.remove_prefix(begin == text.npos ? text.size() : begin);
    const std::size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(end);
    return word;
}

std::optional<unsigned> parse_decimal(std::string_view text) {
    if (text.empty() || text.size() > 6 ||
        text.find_first_not_of("0123456789") != std::string_view::npos) {
        return std::nullopt;
    }
    unsigned value = 0;
    for (const char c : text) {
        value = value * 10 + static_cast<unsigned>(c - '0');
    }
    return value;
}

} // namespace

std::string Debugger::monitor(std::string_view command) {
    const std::string_view word = next_word(command);
    const std::string_view argument = next_word(command);
    const auto on_off = [&](bool& flag) {
        if (argument != "on" && argument != "off") {
            return fmt::format("{}: on or off?\n", word);
        }
        flag = argument == "on";
        apply_points();
        return fmt::format("{} is {}\n", word, argument);
    };
    if (word == "help" || word.empty()) {
        return kHelp;
    }
    if (word == "cycle") {
        return monitor_cycle();
    }
    if (word == "harts") {
        return monitor_harts(argument);
    }
    if (word == "caches") {
        return monitor_caches();
    }
    if (word == "cbs" || word == "units") {
        return monitor_pe(argument, word == "cbs");
    }
    if (word == "queues") {
        return monitor_queues();
    }
    if (word == "log") {
        return monitor_log(argument);
    }
    if (word == "dump") {
        return monitor_dump(argument, next_word(command));
    }
    if (word == "checkpoint") {
        return monitor_checkpoint(argument);
    }
    if (word == "inject") {
        return monitor_inject(argument);
    }
    if (word == "stop-on-trap") {
        return on_off(stop_on_trap_);
    }
    if (word == "step-interrupts") {
        return on_off(step_into_interrupts_);
    }
    if (word == "reset") {
        if (!stopped_) {
            return "the device runs; stop it first\n";
        }
        device_.request_reset();
        leave_ = true;
        for (Control& control : control_) {
            control.passed.reset();
            control.watch.reset();
        }
        return "fundamental reset: the control harts stand at the ROM's first instruction\n";
    }
    return fmt::format("unknown command \"{}\"; `monitor help` lists them\n", word);
}

std::string Debugger::hart_state(HartId hart) const {
    HartRunner& runner = parts_.cores.runner(hart);
    if (runner.held()) {
        return "held in reset";
    }
    switch (runner.hart().state()) {
    case StopReason::kUntil:
    case StopReason::kSync:
        return "runs";
    case StopReason::kBlocked:
        return "blocked";
    case StopReason::kWfi:
        return "in WFI";
    case StopReason::kHalted:
        return "halted by an unhandled trap";
    }
    return "?";
}

std::optional<std::uint32_t> Debugger::parse_pe(std::string_view text) const {
    const auto row = parse_decimal(take_field(text, "."));
    const auto col = parse_decimal(text);
    if (!row || !col || *row >= parts_.config.grid.rows || *col >= parts_.config.grid.cols) {
        return std::nullopt;
    }
    return *row * parts_.config.grid.cols + *col;
}

std::string Debugger::monitor_cycle() const {
    const auto time = [](Cycle at) {
        return at == kNever ? std::string("none") : fmt::format("{}", at);
    };
    const bool parked = parts_.events.empty();
    return fmt::format("clock {}{}, next event at {}, next timer at {}\n", parts_.events.now(),
                       parked ? " (parked)" : "", parked ? "none" : time(parts_.events.next_time()),
                       time(parts_.events.background_timer()));
}

std::string Debugger::monitor_harts(std::string_view which) const {
    constexpr std::uint32_t kAny = ~std::uint32_t{0};
    const bool one = !which.empty() && which != "all";
    const std::uint32_t pe = one ? parse_pe(which).value_or(kAny) : kAny;
    if (one && pe == kAny) {
        return fmt::format("no PE \"{}\"; ROW.COL, for instance 3.4\n", which);
    }
    std::string text;
    unsigned held = 0;
    for (HartId hart = 0; hart < control_.size(); ++hart) {
        const HartRunner& runner = parts_.cores.runner(hart);
        const bool of_pe =
            hart >= TALUS_CONTROL_HARTS && (hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE == pe;
        if (one ? !of_pe : which.empty() && runner.held()) {
            held += runner.held();
            continue;
        }
        const Hart& h = runner.hart();
        text += fmt::format("{:>3} {:<16} {:<13} pc {} clock {} retired {}\n", hart + 1,
                            parts_.cores.name(hart), hart_state(hart),
                            parts_.diagnostics.pc(h.pc()), h.now(), h.retired());
    }
    if (held != 0 && !one) {
        text += fmt::format("{} harts are held in reset\n", held);
    }
    return text;
}

std::string Debugger::monitor_caches() const {
    std::string text;
    for (HartId hart = 0; hart < TALUS_CONTROL_HARTS; ++hart) {
        const auto [used, lines] = parts_.cores.hart(hart).icache_lines();
        text += fmt::format("{}: {} of {} instruction-cache lines\n", parts_.cores.name(hart), used,
                            lines);
    }
    for (unsigned core = 0; core < TALUS_CORES_PER_PE; ++core) {
        unsigned least = ~0u;
        unsigned most = 0;
        for (std::uint32_t pe = 0; pe < parts_.config.pe_count(); ++pe) {
            const unsigned used = parts_.cores.hart(TALUS_HART_OF(pe, core)).icache_lines().first;
            least = std::min(least, used);
            most = std::max(most, used);
        }
        text += fmt::format("core {} of the PEs: {} to {} instruction-cache lines\n",
                            core == TALUS_CORE_A ? 'A' : 'B', least, most);
    }
    const LlcCounters& llc = parts_.fabric.cache_counters();
    text += fmt::format("LLC: {} hits, {} on lines under way, {} misses, {} past it, {} "
                        "write-backs, {} prefetches, {} dropped, {} sectors discarded\n",
                        llc.hits, llc.late_hits, llc.misses, llc.passed, llc.write_backs,
                        llc.prefetches, llc.dropped, llc.discarded);
    const FabricCounters& counters = parts_.fabric.counters();
    return text + fmt::format("shared SRAM: {} bytes read, {} written\n"
                              "DRAM: {} bytes read, {} written; {} row hits, {} misses\n",
                              counters.sram_read_bytes, counters.sram_write_bytes,
                              counters.dram_read_bytes, counters.dram_write_bytes,
                              counters.dram_row_hits, counters.dram_row_misses);
}

std::string Debugger::monitor_pe(std::string_view which, bool buffers) const {
    const auto only = which.empty() ? std::nullopt : parse_pe(which);
    if (!which.empty() && !only) {
        return fmt::format("no PE \"{}\"; ROW.COL, for instance 3.4\n", which);
    }
    std::string text;
    for (std::uint32_t pe = 0; pe < parts_.config.pe_count(); ++pe) {
        if (only && pe != *only) {
            continue;
        }
        const Pe& unit = parts_.cores.pe(pe);
        const auto lines = buffers ? unit.describe_buffers() : unit.describe_queues();
        if (!lines.empty()) {
            text += fmt::format("PE {}.{}\n", pe / parts_.config.grid.cols,
                                pe % parts_.config.grid.cols) +
                    join(lines, "  ");
        }
    }
    return !text.empty() ? text : buffers ? "no circular buffer is configured\n" : "all idle\n";
}

std::string Debugger::monitor_queues() const {
    return join(parts_.queue_engine.describe());
}

std::string Debugger::monitor_inject(std::string_view specification) {
    if (specification.empty()) {
        return injector_.summary();
    }
    try {
        inject(specification);
    } catch (const std::invalid_argument& error) {
        return fmt::format("{}\n", error.what());
    }
    injector_.fire(parts_.events.now());
    touched_ = true;
    return "\n";
}

std::string Debugger::monitor_dump(std::string_view which, std::string_view path) const {
    const auto pe = parse_pe(which);
    if (path.empty() || (which != "control" && !pe)) {
        return "dump: which PE (ROW.COL) or \"control\", and into which file?\n";
    }
    HartId hart = pe ? TALUS_HART_OF(*pe, 0) : 0;
    const HartId last = pe ? TALUS_HART_OF(*pe, 1) : TALUS_CONTROL_HARTS - 1;
    if (current_ >= hart && current_ <= last) {
        hart = current_;
    }
    try {
        write_core(std::string(path), parts_, hart, {"dumped by a debugger", 0});
    } catch (const std::exception& error) {
        return fmt::format("{}\n", error.what());
    }
    return fmt::format("{}\n", path);
}

std::string Debugger::monitor_checkpoint(std::string_view path) const {
    if (path.empty()) {
        return "checkpoint: into which file?\n";
    }
    try {
        device_.save(std::string(path));
    } catch (const CheckpointError& error) {
        return fmt::format("{}\n", error.what());
    }
    return fmt::format("{}\n", path);
}

std::string Debugger::monitor_log(std::string_view count) const {
    const auto lines = count.empty() ? std::optional(20u) : parse_decimal(count);
    if (!lines) {
        return "log: how many lines?\n";
    }
    std::string text;
    for (const std::string& line : parts_.diagnostics.recent(*lines)) {
        text += line;
    }
    return text.empty() ? "the log is empty\n" : text;
}

} // namespace talus::sim::debug
