// The pipelined units: memory layout, dot product, reduction, SIMD.
#ifndef TALUS_SIM_PE_UNITS_HPP
#define TALUS_SIM_PE_UNITS_HPP

#include <vector>

#include "unit.hpp"
#include "value_pool.hpp"
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

/// `count` elements as FP32, in `buffer`, which grows as needed.
const float* load_row(const std::uint8_t* source, unsigned type, std::size_t count,
                      std::vector<float>& buffer);

/// Rows of B are cached (up to 32), rows of A are streamed against all of them: a row of A takes
/// the same time however many rows of B there are. Refilling the cached operand overlaps with
/// streaming and limits tiles of few rows of A.
///
/// Values are put off, so that the tiles of a block are computed together, and by other threads.
class DotProductEngine final : public PipelinedUnit {
  public:
    explicit DotProductEngine(PeShared& shared);
    ~DotProductEngine() override;
    std::optional<Fault> check(Command& command) override;
    void execute(Command& command) override;
    void settle(const std::uint8_t* changes, std::uint64_t bytes) override;
    void reset() override;

  protected:
    Cycle occupancy(const Command& command) const override;
    std::uint64_t local_bytes(const Command& command) const override;

  private:
    bool worth_handing_over() const;

    std::vector<Matmul> pending_; ///< after those of stream_
    ValuePool* pool_ = nullptr;   ///< null: the timing thread computes all values
    ValuePool::Stream stream_;
};

class ReductionEngine final : public PipelinedUnit {
  public:
    explicit ReductionEngine(PeShared& shared);
    std::optional<Fault> check(Command& command) override;
    std::optional<Cycle> begin(Command& command, Cycle now) override;
    void execute(Command& command) override;
    void reset() override;

  protected:
    Cycle occupancy(const Command& command) const override;
    std::uint64_t local_bytes(const Command& command) const override;
    std::uint64_t simd_operations(const Command& command) const override;

  private:
    std::uint32_t* bank(const Command& command) const;
    RowRanges& ranges(const Command& command) const;
    void load(const Command& command);
    void store(const Command& command);
    void store_dequantized(const Command& command);
    void include_stored(const Command& command, std::uint32_t row, const std::uint8_t* stored);
    void range(const Command& command);
    void send(const Command& command);
    void receive(const Command& command);

    std::vector<float> row_;
    /// Numbers that the neighbours gave to RE_SENDs under way, in order, by direction.
    std::array<std::vector<std::uint64_t>, 2> sending_;
};

class SimdEngine final : public PipelinedUnit {
  public:
    explicit SimdEngine(PeShared& shared);
    void execute(Command& command) override;

  protected:
    Cycle occupancy(const Command& command) const override;
    std::uint64_t local_bytes(const Command& command) const override;
    std::uint64_t simd_operations(const Command& command) const override;

  private:
    void quantize(Command& command);
    void dequantize(Command& command);
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
