// The commit log: a line for every instruction that the chosen harts retire.
#ifndef TALUS_SIM_ISA_COMMIT_LOG_HPP
#define TALUS_SIM_ISA_COMMIT_LOG_HPP

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "core/diagnostics.hpp"
#include "isa/commit.hpp"
#include "isa/hart.hpp"

namespace talus::sim {

/// As given on the command line.
struct CommitLogOptions {
    std::string path;  ///< empty: no log
    std::string harts; ///< "0,4-7", or names as in the log; empty: all
    std::string pcs;   ///< "0x100-0x1ff", or a function's name; empty: all
};

/// Lines as `spike --log-commits` writes them, so that its readers (riscv-dv, for one) take them,
///
///   core   0: 3 0x0000000080000010 (0x00a3b023) mem 0x0000000080002000 0x000000000000002a # ...
///
/// and behind a '#' what Spike does not say: clock, hart, place and instruction. Spike's order:
/// hart, mode (0 user, 3 machine), pc, encoding; registers, vectors after "e<SEW> m<LMUL> l<vl>",
/// CSRs as "c<number>_<name>"; loads as an address, stores with the value. Belongs to the timing
/// thread.
class CommitLog final : public CommitObserver {
  public:
    using Name = std::function<std::string(HartId)>;

    /// Creates the file. `diagnostics` and what `name` needs outlive the log. Throws
    /// std::runtime_error: the file cannot be written, or the options name no hart or function.
    CommitLog(const CommitLogOptions& options, unsigned hart_count, const Name& name,
              const Diagnostics& diagnostics);
    ~CommitLog() override;
    CommitLog(const CommitLog&) = delete;
    CommitLog& operator=(const CommitLog&) = delete;

    /// Logs what this hart does from now on, if it is one of those chosen.
    void observe(Hart& hart);

    void on_commit(const Commit& commit) override;

    /// Writes out what is buffered. Throws std::runtime_error if any line could not be written.
    void close();

  private:
    std::string path_;
    std::FILE* file_ = nullptr;
    const Diagnostics& diagnostics_;
    std::vector<std::string> names_; ///< per hart; empty: not chosen
    std::uint64_t first_ = 0;
    std::uint64_t last_ = ~std::uint64_t{0};
    std::string line_;
};

} // namespace talus::sim

#endif
