// A grid of PEs with scripted cores: a core executes a list of custom instructions as a hart would,
// waits when one blocks and tries again when it is woken.
#ifndef TALUS_TESTS_SIM_PE_PE_FIXTURE_HPP
#define TALUS_TESTS_SIM_PE_PE_FIXTURE_HPP

#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "talus/hw/address_map.h"
#include "talus/hw/instructions.h"
#include "talus/hw/interrupts.h"
#include "talus/hw/registers.h"

#include "core/config.hpp"
#include "core/diagnostics.hpp"
#include "core/event_queue.hpp"
#include "mem/fabric.hpp"
#include "pe/pe.hpp"

namespace talus::sim::test {

/// One custom instruction of a script.
struct Step {
    CustomInsn insn{};
};

inline Step enqueue(unsigned code, unsigned context, std::uint64_t rs1, std::uint64_t rs2) {
    Step step;
    step.insn.opcode = TALUS_OPCODE_ENQUEUE;
    step.insn.funct3 = static_cast<std::uint8_t>(TALUS_COMMAND_UNIT(code));
    step.insn.funct7 = static_cast<std::uint8_t>(TALUS_COMMAND_FUNCT7(code));
    step.insn.rd = static_cast<std::uint8_t>(context);
    step.insn.rs1_value = rs1;
    step.insn.rs2_value = rs2;
    step.insn.raw = 0x0b000000u | code;
    return step;
}

inline Step sync(unsigned code, std::uint64_t rs1, std::uint64_t rs2 = 0, unsigned rd = 1) {
    Step step = enqueue(code, rd, rs1, rs2);
    step.insn.opcode = TALUS_OPCODE_SYNC;
    step.insn.funct3 = static_cast<std::uint8_t>(code >> 8);
    step.insn.funct7 = static_cast<std::uint8_t>(code & 0x7f);
    step.insn.raw = 0x2b000000u | code;
    return step;
}

inline Step context(unsigned number, unsigned word, std::uint64_t value) {
    return sync(TALUS_CTX_SET, value, word, number);
}

inline Step configure(unsigned cb, std::uint64_t base, std::uint64_t depth) {
    return sync(TALUS_CB_CONFIG, cb, TALUS_PAIR(base, depth));
}

inline Step drain(unsigned mask = (1u << TALUS_UNIT_COUNT) - 1) {
    return sync(TALUS_CP_DRAIN, mask);
}

struct Executed {
    OpResult result;
    Cycle begun = 0;   ///< first attempt
    Cycle retired = 0; ///< the attempt that succeeded
};

class Grid;

class ScriptedCore final : public EventSink {
  public:
    ScriptedCore(Grid& grid, HartId hart);
    void on_event(const Event& event) override;
    void wake(Cycle when);

    HartId hart;
    std::vector<Step> script;
    std::size_t next = 0;
    bool blocked = false;
    bool trapped = false;
    std::vector<Executed> log;
    std::uint64_t lines = 0; ///< interrupt levels by bit

    void start(Cycle when);

  private:
    Grid& grid_;
    UnitId unit_;
    std::uint64_t pending_ = 0; ///< only the last scheduled step counts
    bool first_attempt_ = true;
};

/// Rows x columns of PEs in one sub-grid. Times of scripts are those of the event queue.
class Grid : public PeHost {
  public:
    explicit Grid(unsigned rows = 1, unsigned cols = 1) : config(Config::load(TALUS_CONFIG_FILE)) {
        config.grid.rows = rows;
        config.grid.cols = cols;
    }

    /// After the configuration is as the test wants it.
    void build() {
        diagnostics.open("/dev/null");
        fabric = std::make_unique<Fabric>(config, events);
        for (std::uint32_t index = 0; index < config.pe_count(); ++index) {
            pes.push_back(std::make_unique<Pe>(config, index, events, *fabric, diagnostics, *this));
            pes.back()->release(0);
            pes.back()->write_register(0, PE_SUBGRID_RECT, 4,
                                       config.grid.rows << 16 | config.grid.cols << 24);
        }
        for (std::uint32_t index = 0; index < config.pe_count(); ++index) {
            for (unsigned core = 0; core < 2; ++core) {
                cores.push_back(std::make_unique<ScriptedCore>(*this, TALUS_HART_OF(index, core)));
            }
        }
    }

    void wake(HartId hart, Cycle when) override { core(hart).wake(when); }
    void set_interrupt(HartId hart, unsigned bit, bool level, Cycle) override {
        std::uint64_t& lines = core(hart).lines;
        lines = level ? lines | std::uint64_t{1} << bit : lines & ~(std::uint64_t{1} << bit);
    }

    UnitClock unit_clock(Cycle) override { return clock; }

    ScriptedCore& core(HartId hart) { return *cores.at(hart - TALUS_CONTROL_HARTS); }
    ScriptedCore& core(unsigned pe, unsigned number) { return *cores.at(2 * pe + number); }

    /// Runs until no event is left; returns the time of the last one.
    Cycle run() {
        while (!events.empty()) {
            events.run_next();
        }
        return events.now();
    }

    /// Appends to a core's script and runs everything.
    const std::vector<Executed>& execute(unsigned pe, unsigned number, std::vector<Step> steps) {
        ScriptedCore& target = core(pe, number);
        target.script.insert(target.script.end(), steps.begin(), steps.end());
        target.start(events.now());
        run();
        return target.log;
    }

    template <typename T>
    T local(unsigned pe, std::uint64_t offset) {
        T value;
        std::memcpy(&value, pes[pe]->local_memory() + offset, sizeof(T));
        return value;
    }
    template <typename T>
    void set_local(unsigned pe, std::uint64_t offset, T value) {
        std::memcpy(pes[pe]->local_memory() + offset, &value, sizeof(T));
    }
    std::uint64_t reg(unsigned pe, std::uint32_t offset, unsigned len = 4) {
        return pes[pe]->read_register(events.now(), offset, len);
    }

    Config config;
    UnitClock clock; ///< of the units
    EventQueue events;
    Diagnostics diagnostics;
    std::unique_ptr<Fabric> fabric;
    std::vector<std::unique_ptr<Pe>> pes;
    std::vector<std::unique_ptr<ScriptedCore>> cores;
};

inline ScriptedCore::ScriptedCore(Grid& grid, HartId id)
    : hart(id), grid_(grid), unit_(grid.events.add_unit(*this, "core" + std::to_string(id))) {}

inline void ScriptedCore::start(Cycle when) {
    blocked = false;
    grid_.events.schedule(when, unit_, 0, ++pending_);
}

inline void ScriptedCore::wake(Cycle when) {
    if (blocked) {
        start(when);
    }
}

inline void ScriptedCore::on_event(const Event& event) {
    if (event.a != pending_ || next == script.size() || trapped) {
        return;
    }
    CustomInsn insn = script[next].insn;
    insn.pc = 0x1000 + 4 * next;
    if (first_attempt_) {
        log.push_back({{}, event.time, 0});
        first_attempt_ = false;
    }
    const OpResult result =
        grid_.pes[(hart - TALUS_CONTROL_HARTS) / 2]->custom(hart, event.time, insn);
    log.back().result = result;
    switch (result.status) {
    case OpStatus::kDone:
        log.back().retired = event.time;
        ++next;
        first_attempt_ = true;
        start(result.done);
        break;
    case OpStatus::kBlocked:
        blocked = true;
        break;
    case OpStatus::kTrap:
        trapped = true;
        break;
    }
}

/// A test with a grid of one PE; `pe` is it.
class PeTest : public testing::Test {
  protected:
    void SetUp() override { grid.build(); }
    Grid grid;

    const std::vector<Executed>& run_a(std::vector<Step> steps) {
        return grid.execute(0, 0, std::move(steps));
    }
    /// The fault of a core's unit as its registers show it; 0: none.
    std::uint64_t fault_cause(unsigned core = 0) {
        return (grid.reg(0, PE_CP_FAULT_STATUS) >> core & 1) == 0
                   ? 0
                   : grid.reg(0, core == 0 ? PE_CP_FAULT_CAUSE_A : PE_CP_FAULT_CAUSE_B);
    }
    std::uint64_t fault_tval(unsigned core = 0) {
        return grid.reg(0, core == 0 ? PE_CP_FAULT_TVAL_A : PE_CP_FAULT_TVAL_B, 8);
    }
    const OpResult& last(unsigned core = 0) { return grid.core(0, core).log.back().result; }
};

} // namespace talus::sim::test

#endif
