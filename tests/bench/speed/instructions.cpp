// Instructions per second. Five programs, the same ELF on the model and under qemu-riscv64; code in
// shared memory behind the instruction cache, data in local memory, as a PE's kernels have it. The
// hart runs as in the chip: from the event queue, at most 256 clocks ahead.
#include "speed.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <stdexcept>

#include <fmt/format.h>

#include "core/elf_file.hpp"
#include "core/event_queue.hpp"
#include "core/hart_runner.hpp"
#include "isa/hart.hpp"

namespace talus::bench {
namespace {

using namespace talus::sim;

constexpr std::array kPrograms = {"hashing", "sorting", "dot_products", "copying", "dispatching"};
constexpr std::uint64_t kCodeBase = 0x40000000, kCodeSize = 0x10000;
constexpr std::uint64_t kDataBase = 0x10000000, kDataSize = 0x60000;
constexpr Cycle kMissClocks = 60;
constexpr HartRunner::RunAhead kRunAhead{256, 8192}; // as in t2.toml
constexpr unsigned kHarts = 128;
constexpr Cycle kManyHartsClocks = 1000000;

std::string elf_path(const std::string& program) {
    return fmt::format("{}/{}.elf", TALUS_SPEED_PROGRAMS, program);
}

/// Shared code, nothing else outside of the harts' own memory.
class Port final : public HartPort, public BlockReasons {
  public:
    std::vector<std::uint8_t> code = std::vector<std::uint8_t>(kCodeSize);

    OpResult load(HartId, Cycle, std::uint64_t addr, void*, unsigned) override {
        return OpResult::trap(cause::kLoadAccess, addr);
    }
    OpResult store(HartId, Cycle, std::uint64_t addr, const void*, unsigned) override {
        return OpResult::trap(cause::kStoreAccess, addr);
    }
    OpResult amo(HartId, Cycle, const AmoRequest& request) override {
        return OpResult::trap(cause::kStoreAccess, request.addr);
    }
    OpResult cbo(HartId, Cycle now, CboOp, std::uint64_t) override { return OpResult::ok(now + 1); }
    OpResult fence(HartId, Cycle now, unsigned, unsigned, bool) override {
        return OpResult::ok(now + 1);
    }
    FetchWindow fetch_window(HartId, std::uint64_t addr) override {
        return addr - kCodeBase < kCodeSize ? FetchWindow{code.data(), kCodeBase, kCodeSize, false}
                                            : FetchWindow{};
    }
    OpResult fetch_miss(HartId, Cycle now, std::uint64_t) override {
        return OpResult::ok(now + kMissClocks);
    }
    OpResult custom(HartId, Cycle, const CustomInsn& insn) override {
        return OpResult::trap(cause::kIllegalInstruction, insn.raw);
    }
    std::uint64_t time(HartId, Cycle now) override { return now; }
    bool csr_read(HartId, Cycle, unsigned, std::uint64_t&) override { return false; }
    bool csr_write(HartId, Cycle, unsigned, std::uint64_t) override { return false; }
    void on_trap(HartId, const TrapInfo& info) override { last_trap = info; }
    CoreActivity blocked_on(HartId) const override { return CoreActivity::kRun; }

    TrapInfo last_trap{};
};

struct Mode {
    bool translator = true;
    bool functional = false;
};

/// `harts` harts with a copy of the program's data each.
class Machine {
  public:
    Machine(const ElfFile& elf, unsigned harts, Mode mode) {
        for (unsigned i = 0; i < harts; ++i) {
            memories_.emplace_back(kDataSize);
            for (const ElfFile::Segment& segment : elf.segments()) {
                const bool is_code = segment.addr - kCodeBase < kCodeSize;
                std::vector<std::uint8_t>& memory = is_code ? port_.code : memories_.back();
                const std::uint64_t at = segment.addr - (is_code ? kCodeBase : kDataBase);
                if (at + segment.size > memory.size()) {
                    throw std::runtime_error(elf.path() + " does not fit");
                }
                std::copy(segment.bytes.begin(), segment.bytes.end(),
                          memory.begin() + static_cast<std::ptrdiff_t>(at));
            }
            HartConfig config;
            config.id = i;
            config.regions = {{kDataBase, kDataSize, memories_.back().data()}};
            config.code = &code_;
            config.translator = mode.translator;
            if (mode.functional) {
                config.timing = HartTiming::one_clock();
            }
            harts_.push_back(std::make_unique<Hart>(config, port_));
            runners_.push_back(std::make_unique<HartRunner>(events_, *harts_.back(), port_,
                                                            fmt::format("hart {}", i), kRunAhead));
            runners_.back()->release(0, elf.entry());
            harts_.back()->write_csr(0x300, 0x6000); // floating point on
        }
    }

    /// Up to the given time, or until every hart has halted.
    void run(Cycle until) {
        while (!events_.empty() && events_.next_time() < until) {
            events_.run_next();
        }
    }
    std::uint64_t retired() const {
        std::uint64_t sum = 0;
        for (const auto& hart : harts_) {
            sum += hart->retired();
        }
        return sum;
    }
    Cycle clocks() const { return harts_.front()->now(); }

    /// The program's result, after it has halted.
    std::string result() const {
        const Hart& hart = *harts_.front();
        if (hart.state() != StopReason::kHalted || port_.last_trap.cause != cause::kEcallFromM ||
            hart.x(11) - kDataBase > kDataSize - 8) {
            throw std::runtime_error(fmt::format("the program ended by cause {} at {:#x}",
                                                 port_.last_trap.cause, port_.last_trap.pc));
        }
        return {reinterpret_cast<const char*>(memories_.front().data() + (hart.x(11) - kDataBase)),
                8};
    }

  private:
    Port port_;
    CodeCache code_;
    std::vector<std::vector<std::uint8_t>> memories_;
    EventQueue events_;
    std::vector<std::unique_ptr<Hart>> harts_;
    std::vector<std::unique_ptr<HartRunner>> runners_;
};

struct Run {
    double seconds = 0;
    std::uint64_t retired = 0;
    Cycle clocks = 0;
    std::string result;
};

Run run_program(const ElfFile& elf, Mode mode) {
    Machine machine(elf, 1, mode);
    Run run;
    run.seconds = cpu_seconds([&] { machine.run(kNever); });
    run.retired = machine.retired();
    run.clocks = machine.clocks();
    run.result = machine.result();
    return run;
}

/// Instructions per CPU second of many harts that run the same code.
double many_harts(const ElfFile& elf) {
    Machine machine(elf, kHarts, {});
    const double seconds = cpu_seconds([&] { machine.run(kManyHartsClocks); });
    return static_cast<double>(machine.retired()) / seconds;
}

} // namespace

std::vector<Row> measure_instructions(const Options& options) {
    const std::string qemu = "qemu-riscv64 -cpu rv64,zba=true,zbb=true,Zfh=true";
    const std::vector<std::string> argv = {"qemu-riscv64", "-cpu",
                                           "rv64,zba=true,zbb=true,Zfh=true"};
    const auto run_qemu = [&](const std::string& program) {
        std::vector<std::string> with_program = argv;
        with_program.push_back(elf_path(program));
        return run_child(with_program);
    };
    std::vector<double> starts;
    for (unsigned i = 0; i < options.repetitions; ++i) {
        const Child child = run_qemu("empty");
        if (child.ok) {
            starts.push_back(child.seconds);
        }
    }
    const bool have_qemu = !starts.empty();
    if (!have_qemu) {
        fmt::print(stderr, "talus-speed: qemu-riscv64 does not run (Debian package qemu-user)\n");
    }

    std::vector<Row> rows;
    std::array<std::vector<double>, 3> ratios; // timed, functional, interpreted
    std::vector<double> single, many;
    for (const char* program : kPrograms) {
        const ElfFile elf(elf_path(program));
        std::vector<double> peer, timed, functional, interpreted;
        Run run;
        for (unsigned i = 0; i < options.repetitions; ++i) {
            run = run_program(elf, {});
            timed.push_back(run.seconds);
            functional.push_back(run_program(elf, {true, true}).seconds);
            if (have_qemu) {
                const Child child = run_qemu(program);
                if (!child.ok || child.output != run.result) {
                    throw std::runtime_error(
                        fmt::format("{}: qemu-riscv64 computes something else", program));
                }
                peer.push_back(child.seconds);
            }
        }
        const Run slow = run_program(elf, {false, false}); // once: it takes its time
        if (slow.clocks != run.clocks || slow.retired != run.retired || slow.result != run.result) {
            throw std::runtime_error(fmt::format("{}: interpreter and translator differ", program));
        }
        many.push_back(many_harts(elf));

        const double millions = static_cast<double>(run.retired) / 1e6;
        single.push_back(1e6 * millions / median(timed));
        std::optional<double> peer_rate;
        if (have_qemu) {
            peer_rate = millions / (median(peer) - median(starts));
        }
        const auto add = [&](const char* mode, double seconds, std::size_t which) {
            Row row;
            row.what = fmt::format("{}, {}", program, mode);
            row.ours = millions / seconds;
            row.unit = "MIPS";
            row.peer_name = "qemu-riscv64";
            row.command = qemu + " PROGRAM.elf";
            row.peer = peer_rate;
            if (peer_rate) {
                row.ratio = row.ours / *peer_rate;
                ratios[which].push_back(*row.ratio);
            }
            rows.push_back(row);
        };
        add("timed", median(timed), 0);
        add("functional", median(functional), 1);
        add("timed, interpreter", slow.seconds, 2);
    }
    const auto mean = [&](const char* what, std::size_t which, std::optional<double> target) {
        Row row;
        row.what = fmt::format("geometric mean, {}", what);
        row.unit = "of the peer";
        row.ours = geometric_mean(ratios[which]);
        row.peer_name = "qemu-riscv64";
        if (have_qemu) {
            row.ratio = row.ours;
        }
        row.target = target;
        rows.push_back(row);
    };
    mean("timed", 0, 0.15);
    mean("functional", 1, 0.5);
    mean("timed, interpreter", 2, std::nullopt);
    Row row;
    row.what = fmt::format("{} busy harts, timed, summed", kHarts);
    row.unit = "MIPS";
    row.ours = geometric_mean(many) / 1e6;
    row.peer = geometric_mean(single) / 1e6;
    row.peer_name = "one hart";
    row.ratio = row.ours / *row.peer;
    row.target = 1;
    rows.push_back(row);
    return rows;
}

} // namespace talus::bench
