// What a hart tells of every instruction that it retires, to who asks for it.
#ifndef TALUS_SIM_ISA_COMMIT_HPP
#define TALUS_SIM_ISA_COMMIT_HPP

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/types.hpp"

namespace talus::sim {

/// One instruction and what it wrote. The spans hold until the observer returns.
struct Commit {
    struct Register {
        char file; ///< 'x' or 'f'
        unsigned index;
        std::uint64_t value; ///< f: raw, NaN-boxed
    };
    struct Csr {
        unsigned number;
        std::uint64_t value;
    };
    struct Access {
        std::uint64_t addr; ///< as the hart addresses it
        unsigned len;       ///< 1, 2, 4 or 8
        bool store;
        std::uint64_t value; ///< stores: what went to memory
    };

    HartId hart = 0;
    Cycle now = 0; ///< the hart's clock at which the instruction issued
    std::uint64_t pc = 0;
    std::uint32_t bits = 0; ///< the encoding in memory
    unsigned len = 0;       ///< its bytes, 2 or 4
    bool user_mode = false; ///< the mode that it executed in
    std::string_view name;  ///< "add", "vle32.v"; a compressed one's is that of what it stands for
    /// The register that the instruction names as its destination.
    std::vector<Register> registers;
    /// Vector registers whose value changed.
    std::vector<unsigned> vectors;
    /// 32 registers of kVlenBytes.
    const std::uint8_t* vector_file = nullptr;
    unsigned vector_sew = 0;  ///< bits
    int vector_lmul_log2 = 0; ///< -3..3
    std::uint64_t vector_length = 0;
    /// The CSR that the instruction names, and others that changed: fflags, mstatus, vl, vtype...
    std::vector<Csr> csrs;
    std::vector<Access> accesses; ///< in the order in which they were made
};

class CommitObserver {
  public:
    virtual ~CommitObserver() = default;
    /// Called from within Hart::run(), on the timing thread.
    virtual void on_commit(const Commit& commit) = 0;
};

/// A hart's CSRs by number, ascending.
struct CsrName {
    unsigned number;
    std::string_view name;
};
std::span<const CsrName> csr_names();
/// "mstatus"; "csr7c0" where a number has no name of the ISA's.
std::string csr_name(unsigned number);

} // namespace talus::sim

#endif
