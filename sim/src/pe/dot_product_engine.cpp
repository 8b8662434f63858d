#include <algorithm>
#include <utility>

#include "talus/hw/interrupts.h"

#include "numeric.hpp"
#include "units.hpp"

namespace talus::sim {

namespace {

/// Products whose values are put off at a time.
constexpr std::size_t kMostPending = 64;
/// Multiply-accumulates that are worth handing to another thread.
constexpr std::uint64_t kWorthHandingOver = 1 << 18;

/// Elements of k that are multiplied: those of B that are stored.
std::uint64_t stored_k(const Command& command) {
    return command.code == TALUS_DPE_MATMUL_SPARSE ? command.k / 2 : command.k;
}

std::uint64_t b_row_bytes(const Command& command) {
    const std::uint64_t bytes = element_bytes(command.source_type);
    return command.code == TALUS_DPE_MATMUL_SPARSE
               ? TALUS_SPARSE_ROW_BYTES(std::uint64_t{command.k}, bytes)
               : command.k * bytes;
}

} // namespace

DotProductEngine::DotProductEngine(PeShared& shared)
    : PipelinedUnit(shared, shared.config.dpe.startup_clocks, shared.config.dpe.pipeline_clocks) {
    if (shared.config.sim.value_threads != 0) {
        pool_ = &ValuePool::shared(shared.config.sim.value_threads);
    }
}

DotProductEngine::~DotProductEngine() {
    settle(nullptr, 0);
}

Cycle DotProductEngine::occupancy(const Command& command) const {
    const DpeConfig& dpe = shared_.config.dpe;
    const bool integer = command.source_type == TALUS_CP_INT8;
    // Elements of one row of A per clock, with TALUS_RE_BANK_COLS rows of B cached.
    const std::uint64_t macs = integer ? dpe.int8_macs_per_clock : dpe.fp16_macs_per_clock;
    const std::uint64_t step = std::max<std::uint64_t>(macs / TALUS_RE_BANK_COLS, 1);
    const std::uint64_t stream = command.m * divide_up(stored_k(command), step);
    const std::uint64_t cached = command.n * b_row_bytes(command);
    return std::max(stream, divide_up(cached, dpe.load_bytes_per_clock));
}

std::uint64_t DotProductEngine::local_bytes(const Command& command) const {
    return std::uint64_t{command.m} * command.k * element_bytes(command.source_type) +
           command.n * b_row_bytes(command);
}

std::optional<Fault> DotProductEngine::check(Command& command) {
    if (command.code != TALUS_DPE_MATMUL_SPARSE) {
        return std::nullopt;
    }
    const Operand& b = command.operands[kSecond];
    const std::uint64_t values = stored_k(command) * element_bytes(command.source_type);
    for (std::uint64_t row = 0; row < command.n; ++row) {
        const std::uint8_t* positions = local(b) + row * b.pitch + values;
        for (std::uint64_t group = 0; group < command.k / 4; ++group) {
            const unsigned pair = positions[group / 2] >> (group % 2 * 4) & 15u;
            if ((pair & 3u) >= pair >> 2) {
                return Fault{TALUS_TRAP_INDEX, row << 32 | group};
            }
        }
    }
    return std::nullopt;
}

void DotProductEngine::execute(Command& command) {
    const Operand& a = command.operands[kFirst];
    const Operand& b = command.operands[kSecond];
    Matmul args;
    args.a = local(a);
    args.a_pitch = a.pitch;
    args.b = local(b);
    args.b_pitch = b.pitch;
    args.m = command.m;
    args.n = command.n;
    args.k = command.k;
    args.type = command.source_type;
    args.accumulate = command.accumulate;
    args.bank = shared_.banks[static_cast<std::size_t>(command.bank)].data();
    if (command.code == TALUS_DPE_MATMUL_SPARSE) {
        settle(nullptr, 0);
        dpe_matmul_sparse(args);
    } else {
        pending_.push_back(args);
        if (pending_.size() == kMostPending) {
            settle(nullptr, 0);
        }
    }
    // At the end of a block, as its tiles share operands.
    if (pool_ != nullptr && command.tile + 1 == command.tiles && worth_handing_over()) {
        pool_->submit(stream_, std::exchange(pending_, {}));
    }
    const std::uint64_t macs = std::uint64_t{command.m} * command.n * stored_k(command);
    shared_.counters.macs += macs;
    shared_.counters.int8_macs += command.source_type == TALUS_CP_INT8 ? macs : 0;
}

bool DotProductEngine::worth_handing_over() const {
    std::uint64_t macs = 0;
    for (const Matmul& product : pending_) {
        macs += std::uint64_t{product.m} * product.n * product.k;
    }
    return macs >= kWorthHandingOver;
}

void DotProductEngine::settle(const std::uint8_t* changes, std::uint64_t bytes) {
    const auto reads = [&](const std::uint8_t* rows, std::uint64_t count, std::uint64_t pitch,
                           std::uint64_t row_bytes) {
        return rows < changes + bytes && changes < rows + (count - 1) * pitch + row_bytes;
    };
    // How many must be done, in order: up to the last that reads what changes.
    const auto due = [&](const std::vector<Matmul>& products) {
        std::size_t count = products.size();
        for (; changes != nullptr && count > 0; --count) {
            const Matmul& product = products[count - 1];
            const std::uint64_t row = std::uint64_t{product.k} * element_bytes(product.type);
            if (reads(product.a, product.m, product.a_pitch, row) ||
                reads(product.b, product.n, product.b_pitch, row)) {
                break;
            }
        }
        return count;
    };
    const std::size_t own = due(pending_);
    std::size_t batches = stream_.size();
    while (own == 0 && batches > 0 && changes != nullptr && due(stream_[batches - 1]) == 0) {
        --batches;
    }
    if (batches > 0) {
        pool_->finish(stream_, batches);
    }
    if (own > 0) {
        // No more than needed: the rest may still become a whole block.
        dpe_matmul_batch(pending_.data(), own);
        pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(own));
    }
}

void DotProductEngine::reset() {
    settle(nullptr, 0);
    PipelinedUnit::reset();
}

} // namespace talus::sim
