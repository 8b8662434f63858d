// The pipelined units: memory layout, dot product, reduction, SIMD.
#ifndef TALUS_SIM_PE_UNITS_HPP
#define TALUS_SIM_PE_UNITS_HPP

#include <vector>

#include "unit.hpp"
#include "vector_kernels.hpp"

namespace talus::sim {

class MemoryLayoutUnit final : public PipelinedUnit {
  public:
    explicit MemoryLayoutUnit(PeShared& shared);
    void execute(Command& command) override;

  protected:
    Cycle occupancy(const Command& command) const override;
    std::uint64_t local_bytes(const Command& command) const override;
};

/// Rows of B are cached (up to 32), rows of A are streamed against all of them: a row of A takes
/// the same time however many rows of B there are. Refilling the cached operand overlaps with
/// streaming and limits tiles of few rows of A.
///
/// Values are put off, so that the tiles of a block are computed together.
class DotProductEngine final : public PipelinedUnit {
  public:
    explicit DotProductEngine(PeShared& shared);
    void execute(Command& command) override;
    void settle(const std::uint8_t* changes, std::uint64_t bytes) override;
    void reset() override;

  protected:
    Cycle occupancy(const Command& command) const override;
    std::uint64_t local_bytes(const Command& command) const override;

  private:
    std::vector<Matmul> pending_;
};

class ReductionEngine final : public PipelinedUnit {
  public:
    explicit ReductionEngine(PeShared& shared);
    void execute(Command& command) override;

  protected:
    Cycle occupancy(const Command& command) const override;
    std::uint64_t local_bytes(const Command& command) const override;
};

class SimdEngine final : public PipelinedUnit {
  public:
    explicit SimdEngine(PeShared& shared);
    void execute(Command& command) override;

  protected:
    Cycle occupancy(const Command& command) const override;
    std::uint64_t local_bytes(const Command& command) const override;

  private:
    const float* load_row(const std::uint8_t* source, unsigned type, std::size_t count,
                          std::vector<float>& buffer) const;
    void unary(Command& command);
    void binary(Command& command);
    void scale(Command& command);
    void row_accumulate(Command& command);

    std::vector<float> first_;
    std::vector<float> second_;
    std::vector<float> result_;
};

} // namespace talus::sim

#endif
