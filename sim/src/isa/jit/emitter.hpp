// From a trace to host code. Private to sim/src/isa.
//
// Guest registers that the trace uses most have a host register each, the same throughout the
// trace; the others are operands in memory. Where code leaves the trace, what was modified is
// stored. A trace that branches back to its own entry loops without storing anything.
#ifndef TALUS_SIM_ISA_JIT_EMITTER_HPP
#define TALUS_SIM_ISA_JIT_EMITTER_HPP

#include <array>
#include <functional>
#include <vector>

#include "code_memory.hpp"

namespace talus::sim::jit {

/// The value can be an instruction's 32-bit displacement or immediate.
inline bool fits(std::int64_t value) {
    return value == static_cast<std::int32_t>(value);
}

inline std::uint64_t sign_extended(std::int32_t imm) {
    return static_cast<std::uint64_t>(std::int64_t{imm});
}

class Emitter {
  public:
    Emitter(asmjit::CodeHolder& code, const Trace& trace, const Profile& profile, bool free_fetch,
            std::uint64_t base, std::uint32_t len, Core& core, Translator& translator,
            CodeMemory& memory, Block& block, Variant variant);

    /// The whole block.
    void emit();

  private:
    using Gp = asmjit::x86::Gp;
    using Mem = asmjit::x86::Mem;
    using Label = asmjit::Label;

    /// Which guest registers are in host registers, and which of them memory does not have yet.
    struct Values {
        std::uint32_t valid = 0;
        std::uint32_t dirty = 0;
    };

    // emitter.cpp: frame of the trace
    void assign_registers();
    bool holds(unsigned r) const { return host_[r] >= 0; }
    Gp host(unsigned r) const;
    bool survives_calls(unsigned r) const;
    Mem x(unsigned r) const { return member(core_.x[r]); }
    template <class T>
    Mem member(const T& field, unsigned bytes = sizeof(T)) const {
        return asmjit::x86::ptr(kCore,
                                static_cast<std::int32_t>(reinterpret_cast<const char*>(&field) -
                                                          reinterpret_cast<const char*>(&core_)),
                                bytes);
    }
    void load_all();
    void store_dirty(std::uint32_t dirty);
    void check_until(std::size_t step);
    void check_lines(std::size_t step);
    void check_lines_of_loop();
    void branch_to_line_of(std::uint64_t line, Label missing);
    void account(std::int32_t clocks, std::uint32_t retired);
    void loop_back(std::int32_t clocks, std::uint32_t retired);
    Exit& make_exit(Exit::Kind kind, std::uint64_t pc, const LateList& outstanding);
    void leave_through(Exit& exit);
    void go_to(std::uint64_t pc, const LateList& outstanding);
    void go_indirect(const LateList& outstanding);
    void finish();
    /// Code outside of the main path, emitted after it.
    void later(std::function<void()> emit) { later_.push_back(std::move(emit)); }

    // emitter_steps.cpp: instructions
    void step(std::size_t index);
    Gp in(unsigned r, Gp scratch);
    Gp out(unsigned rd) const;
    void set(unsigned rd, Gp value);
    void set_constant(unsigned rd, std::uint64_t value);
    enum class Alu : std::uint8_t { kAdd, kSub, kAnd, kOr, kXor };
    void alu(Alu op, Gp to, Gp from);
    void binary(const Decoded& d, Alu op, bool word);
    void immediate(const Decoded& d, Alu op, bool word);
    enum class Shift : std::uint8_t { kLeft, kRight, kRightArithmetic, kRotateLeft, kRotateRight };
    void shift_by_register(const Decoded& d, Shift how, bool word);
    void shift_by_constant(const Decoded& d, Shift how, bool word);
    void compare(const Decoded& d, bool is_signed, bool with_immediate);
    void shift_add(const Decoded& d, unsigned shift, bool word);
    void inverted(const Decoded& d, Alu op);
    void select(const Decoded& d, asmjit::x86::CondCode take_second);
    void count(const Decoded& d, asmjit::x86::Inst::Id id, bool word);
    void extend(const Decoded& d, Op op);
    void multiply(const Decoded& d, Op op);
    void divide(std::size_t index);
    void load(std::size_t index);
    void store(std::size_t index);
    Gp address(const Decoded& d);
    void in_region(Gp offset, unsigned bytes, Label slow);
    void float_guard(Label slow);
    void call_handler(std::size_t index);
    void call_slow(std::size_t index, Label slow, Label join, Values values, unsigned rd);
    Site& make_site(std::size_t index);
    void call(Site& site);
    void reload(std::uint32_t valid, unsigned rd);
    void branch(std::size_t index);

    asmjit::x86::Assembler a_;
    const Trace& trace_;
    const Profile& profile_;
    bool free_fetch_;
    std::uint64_t base_;
    std::uint32_t len_;
    Core& core_;
    Translator& translator_;
    CodeMemory& memory_;
    Block& block_;
    Variant variant_;

    std::array<std::int8_t, 33> host_{};
    Values values_;
    std::uint32_t written_ = 0; ///< guest registers that the trace writes, of those in host ones
    Label header_;
    bool counts_ = false;                    ///< a loop that counts what retires in a register
    bool lines_checked_ = false;             ///< once before the loop
    std::uint64_t line_ = ~std::uint64_t{0}; ///< known to be in the instruction cache
    std::vector<bool> checkpoint_;           ///< by step: `until` is looked at before it
    bool float_checked_ = false;
    std::vector<std::function<void()>> later_;
};

} // namespace talus::sim::jit

#endif
