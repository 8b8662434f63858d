// Gathers what one instruction writes. Private to sim/src/isa.
#ifndef TALUS_SIM_ISA_COMMIT_RECORDER_HPP
#define TALUS_SIM_ISA_COMMIT_RECORDER_HPP

#include <array>
#include <cstdint>

#include "commit.hpp"
#include "core.hpp"

namespace talus::sim {

/// While a hart has one, it opens no data windows, so that every access comes by. An instruction
/// that does not retire (it waits, or traps) leaves nothing.
class CommitRecorder {
  public:
    CommitRecorder(CommitObserver& observer, std::uint64_t first, std::uint64_t last)
        : observer_(observer), first_(first), last_(last) {}

    /// `insn` is about to execute; its slot is filled in, if it was not decoded yet, by doing so.
    void begin(const Core& core, const Decoded* insn);
    /// It has retired; the pc still is its own.
    void end(Core& core);

    void access(std::uint64_t addr, const void* data, unsigned len, AccessKind kind);
    /// A run of elements of `size` bytes.
    void elements(std::uint64_t addr, const std::uint8_t* data, unsigned len, unsigned size,
                  AccessKind kind);
    /// `result`: the old value, or SC's 0 or 1.
    void atomic(const AmoRequest& request, std::uint64_t result);
    /// A CSR instruction wrote this; the hart's own CSRs are read back.
    void csr(unsigned number, std::uint64_t value);

  private:
    /// The CSRs that instructions change without naming them.
    struct Implied {
        std::uint64_t fflags, vstart, vxsat, mstatus, vl, vtype;
    };
    static Implied implied(const Core& core);

    CommitObserver& observer_;
    std::uint64_t first_;
    std::uint64_t last_;
    bool wanted_ = false;
    const Decoded* insn_ = nullptr;
    Commit commit_;
    Implied before_{};
    std::array<std::uint64_t, 33> x_before_{};
    std::array<std::uint8_t, 32 * kVlenBytes> v_before_{};
};

} // namespace talus::sim

#endif
