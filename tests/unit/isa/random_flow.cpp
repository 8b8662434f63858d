#include "random_flow.hpp"

#include <string_view>

#include "assembler.hpp"

namespace talus::sim {

namespace {

// x28 counts blocks; x29 is the handler's; x30 and x31 point to data.
constexpr unsigned kFuel = 28, kHandlerReg = 29, kOutside = 30, kDirect = 31;

class Flow {
  public:
    explicit Flow(const FlowOptions& options) : options_(options), engine_(options.seed) {
        registers_ = 5 + below(24);
        for (const InsnSpec* spec : instruction_rows()) {
            const std::string_view name = spec->name;
            const bool vector = name[0] == 'v';
            const std::uint32_t op = spec->pattern.match & 0x7f;
            if (spec->format == Format::kB || spec->format == Format::kJ || name == "jalr" ||
                op == 0x73 || op == 0x0f || op == 0x0b || op == 0x2b || (vector && !options.vector))
                continue;
            (vector ? vectors_ : scalars_).push_back(spec);
        }
    }

    std::vector<std::uint32_t> make() {
        handler();
        pad(kFlowEntry);
        constant(kDirect, options_.data_base + 0x2000);
        constant(kOutside, options_.outside_base + 0x2000);
        constant(kFuel, options_.fuel);
        emit("csrrw", {.rs1 = 0, .imm = 0x003});
        const unsigned blocks = 8 + static_cast<unsigned>(below(25));
        for (unsigned block = 0; block < blocks; ++block) {
            starts_.push_back(at());
            body();
            leave(blocks);
        }
        const std::uint64_t end = at();
        emit("csrrw", {.rs1 = 0, .imm = 0x305}); // no handler any more: ecall halts
        emit("ecall");
        for (const Fixup& f : fixups_) {
            const std::uint64_t target = f.block < blocks ? starts_[f.block] : end;
            patch(f, static_cast<std::int32_t>(target - f.addr));
        }
        return code_;
    }

  private:
    struct Fixup {
        std::uint64_t addr;
        std::size_t index;
        unsigned block;
    };

    std::uint64_t below(std::uint64_t n) { return engine_() % n; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    std::uint64_t at() const { return options_.code_base + 4 * code_.size(); }
    void emit(std::string_view name, const Operands& o = {}) { code_.push_back(assemble(name, o)); }
    void pad(std::uint64_t offset) {
        while (4 * code_.size() < offset)
            emit("addi");
    }
    void constant(unsigned rd, std::uint64_t value) {
        const auto low = static_cast<std::uint32_t>(value);
        code_.push_back(((low + 0x800) & 0xfffff000u) | rd << 7 | 0x37);
        emit("addiw", {.rd = rd, .rs1 = rd, .imm = static_cast<std::int32_t>(low << 20) >> 20});
    }
    /// Few registers make many dependences, many exceed the host's.
    unsigned reg() { return static_cast<unsigned>(below(registers_)); }

    /// Skips the instruction that trapped; returns from interrupts.
    void handler() {
        emit("csrrw", {.rs1 = kHandlerReg, .imm = 0x340});
        emit("csrrs", {.rd = kHandlerReg, .imm = 0x342});
        emit("blt", {.rs1 = kHandlerReg, .imm = 16});
        emit("csrrs", {.rd = kHandlerReg, .imm = 0x341});
        emit("addi", {.rd = kHandlerReg, .rs1 = kHandlerReg, .imm = 4});
        emit("csrrw", {.rs1 = kHandlerReg, .imm = 0x341});
        emit("csrrs", {.rd = kHandlerReg, .imm = 0x340});
        emit("mret");
    }

    void body() {
        const unsigned n = one_in(6) ? 0 : static_cast<unsigned>(below(14));
        for (unsigned i = 0; i < n; ++i) {
            switch (below(24)) {
            case 0: // clock and count, so that they enter the results
                emit("csrrs", {.rd = reg(), .imm = one_in(2) ? 0xb00 : 0xb02});
                break;
            case 1:
                emit(one_in(2) ? "csrrwi" : "csrrs", {.rd = reg(),
                                                      .rs1 = static_cast<unsigned>(below(5)),
                                                      .imm = one_in(2) ? 1 : 2});
                break;
            case 2:
                emit("fence");
                break;
            case 3: // an access fault or an illegal instruction
                if (one_in(2))
                    emit(one_in(2) ? "lw" : "sd", {.rd = reg(), .rs1 = 0, .imm = 64});
                else
                    code_.push_back(0xffffffffu);
                break;
            case 4: // the last instruction of the body changes, at once or at the next fence.i
                if (code_.size() > 80) {
                    constant(kHandlerReg, options_.code_base + 4 * (64 + below(code_.size() - 64)));
                    emit("lw", {.rd = 1, .rs1 = kHandlerReg});
                    emit("sw", {.rs1 = kHandlerReg, .rs2 = 1});
                    victim();
                    if (one_in(2))
                        emit("fence.i");
                }
                break;
            case 5:
            case 6:
                memory(kOutside);
                break;
            case 7: // a late result and its use, at some distance
                late_result();
                break;
            case 8:
            case 9:
            case 10:
                memory(kDirect);
                break;
            default:
                operation(options_.vector && one_in(3) ? vectors_ : scalars_);
                break;
            }
        }
    }

    void late_result() {
        static constexpr std::string_view kNames[] = {"mul",  "mulhu", "mulhsu",
                                                      "mulw", "ld",    "div"};
        const unsigned rd = reg();
        const std::string_view name = kNames[below(6)];
        emit(name, {.rd = rd, .rs1 = name == "ld" ? kDirect : reg(), .rs2 = reg()});
        for (std::uint64_t n = below(3); n > 0; --n)
            emit("addi", {.rd = reg(), .rs1 = reg(), .imm = 1});
        if (one_in(3)) // the block ends before the result is there
            return;
        emit("xor", {.rd = reg(), .rs1 = rd, .rs2 = reg()});
        if (one_in(2))
            emit("fmadd.d", {.rd = 1, .rs1 = 2, .rs2 = 1, .rs3 = 3});
    }

    /// A slot that another piece of code overwrites with a different addition.
    void victim() {
        const std::uint32_t other = assemble(
            "addi",
            {.rd = 2 + reg() % 8, .rs1 = reg(), .imm = static_cast<std::int32_t>(below(99))});
        constant(1, other);
        constant(kHandlerReg, at() + 4 * 8);
        emit("sw", {.rs1 = kHandlerReg, .rs2 = 1});
        if (one_in(2))
            emit("fence.i");
        else
            emit("addi");
        emit("addi");
        emit("addi");
        emit("addi");
        emit("addi", {.rd = 3, .rs1 = 3, .imm = 1});
    }

    void memory(unsigned base) {
        static constexpr std::string_view kNames[] = {"lb",  "lh",  "lw",  "ld",  "lbu", "lhu",
                                                      "lwu", "sb",  "sh",  "sw",  "sd",  "flw",
                                                      "fld", "flh", "fsw", "fsd", "fsh"};
        const std::string_view name = kNames[below(std::size(kNames))];
        std::int32_t imm = static_cast<std::int32_t>(below(4000)) - 2000;
        if (!one_in(5) || base == kOutside)
            imm &= ~7;
        emit(name, {.rd = reg(), .rs1 = base, .rs2 = reg(), .imm = imm});
    }

    void operation(const std::vector<const InsnSpec*>& from) {
        const InsnSpec& spec = *from[below(from.size())];
        std::uint32_t bits = static_cast<std::uint32_t>(engine_());
        const auto field = [&](unsigned low, std::uint32_t value) {
            bits = (bits & ~(31u << low)) | value << low;
        };
        const std::uint32_t op = spec.pattern.match & 0x7f;
        field(7, reg());
        const bool touches_memory =
            op == 0x03 || op == 0x07 || op == 0x23 || op == 0x27 || op == 0x2f;
        if (touches_memory) {
            field(15, kDirect);
            if (op == 0x03 || op == 0x23 || spec.format == Format::kFLoad ||
                spec.format == Format::kFStore)
                return memory(kDirect);
            if ((op == 0x07 || op == 0x27) && (bits >> 26 & 1))
                bits &= ~(3u << 26); // neither indexed nor strided: within the data
            if ((op == 0x07 || op == 0x27) && (spec.pattern.match >> 26 & 3))
                return;
        }
        bits = (bits & ~spec.pattern.mask) | spec.pattern.match;
        code_.push_back(bits);
    }

    void leave(unsigned blocks) {
        emit("addi", {.rd = kFuel, .rs1 = kFuel, .imm = -1});
        fixups_.push_back({at() + 4, code_.size() + 1, blocks});
        emit("bne", {.rs1 = kFuel, .imm = 8});
        emit("jal", {.rd = 0, .imm = 0}); // to the end
        const auto target = static_cast<unsigned>(below(blocks));
        switch (below(5)) {
        case 0: { // an indirect jump; its target is known only at the end
            const unsigned rd = 1 + static_cast<unsigned>(below(5));
            fixups_.push_back({at(), code_.size(), target});
            emit("auipc", {.rd = rd});
            emit("jalr", {.rd = one_in(2) ? 0u : 1u, .rs1 = rd, .imm = 0});
            break;
        }
        case 1: {
            fixups_.push_back({at(), code_.size(), target});
            emit("jal", {.rd = one_in(2) ? 0u : 1u});
            break;
        }
        default: {
            static constexpr std::string_view kNames[] = {"beq", "bne",  "blt",
                                                          "bge", "bltu", "bgeu"};
            fixups_.push_back({at(), code_.size(), target});
            emit(kNames[below(6)], {.rs1 = reg(), .rs2 = reg()});
            break; // else falls into the next block
        }
        }
    }

    void patch(const Fixup& f, std::int32_t distance) {
        std::uint32_t& bits = code_[f.index];
        const unsigned rd = bits >> 7 & 31, rs1 = bits >> 15 & 31, rs2 = bits >> 20 & 31;
        const std::string_view name = instruction_name(decode(bits));
        if (name == "auipc") {
            bits = ((static_cast<std::uint32_t>(distance) + 0x800) & 0xfffff000u) | rd << 7 | 0x17;
            std::uint32_t& jump = code_[f.index + 1];
            jump = (jump & 0xfffff) | static_cast<std::uint32_t>(distance) << 20;
        } else if (name == "jal") {
            bits = assemble("jal", {.rd = rd, .imm = distance});
        } else {
            bits = assemble(name, {.rs1 = rs1, .rs2 = rs2, .imm = distance});
        }
    }

    FlowOptions options_;
    std::mt19937_64 engine_;
    std::uint64_t registers_ = 28;
    std::vector<const InsnSpec*> scalars_, vectors_;
    std::vector<std::uint32_t> code_;
    std::vector<std::uint64_t> starts_;
    std::vector<Fixup> fixups_;
};

} // namespace

std::vector<std::uint32_t> random_flow(const FlowOptions& options) {
    return Flow(options).make();
}

} // namespace talus::sim
