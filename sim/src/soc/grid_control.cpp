#include "grid_control.hpp"

#include <algorithm>
#include <cstring>

#include "talus/hw/address_map.h"

namespace talus::sim {

namespace {

struct Rect {
    std::uint32_t row0, col0, rows, cols;
    explicit Rect(std::uint32_t word)
        : row0(word & 0xff), col0((word >> 8) & 0xff), rows((word >> 16) & 0xff), cols(word >> 24) {
    }
};

} // namespace

GridControl::GridControl(const Config& config, PeGrid& grid, InterruptController& interrupts,
                         Diagnostics& diagnostics, Fabric& fabric, const PerfSampler& counters)
    : config_(config), grid_(grid), interrupts_(interrupts), diagnostics_(diagnostics),
      fabric_(fabric), counters_(counters) {}

void GridControl::reset(Cycle now) {
    rect_ = 0;
    descriptor_ = vector_ = perf_from_ = perf_to_ = 0;
    perf_domain_ = 0;
    deadlock_job_ = 0xffffffffu;
    jobs_.clear();
    for (std::uint32_t pe = 0; pe < config_.pe_count(); ++pe) {
        grid_.hold_pe(pe, now);
    }
}

bool GridControl::valid(std::uint32_t word) const {
    const Rect rect(word);
    return rect.rows > 0 && rect.cols > 0 && rect.row0 + rect.rows <= config_.grid.rows &&
           rect.col0 + rect.cols <= config_.grid.cols;
}

bool GridControl::overlap(std::uint32_t x_word, std::uint32_t y_word) const {
    const Rect x(x_word);
    const Rect y(y_word);
    return x.row0 < y.row0 + y.rows && y.row0 < x.row0 + x.rows && x.col0 < y.col0 + y.cols &&
           y.col0 < x.col0 + x.cols;
}

template <typename Function>
void GridControl::for_each_pe(std::uint32_t word, Function&& function) const {
    const Rect rect(word);
    for (std::uint32_t row = rect.row0; row < rect.row0 + rect.rows; ++row) {
        for (std::uint32_t col = rect.col0; col < rect.col0 + rect.cols; ++col) {
            function(row * config_.grid.cols + col);
        }
    }
}

const talus_job_record* GridControl::record(std::uint64_t address) const {
    const std::uint64_t offset = address - TALUS_CONTROL_SRAM_BASE;
    if (address < TALUS_CONTROL_SRAM_BASE || address % alignof(talus_job_record) != 0 ||
        offset > TALUS_CONTROL_SRAM_SIZE - sizeof(talus_job_record)) {
        return nullptr;
    }
    return reinterpret_cast<const talus_job_record*>(fabric_.control_sram() + offset);
}

namespace {

/// The number of a job whose record is at `address`; TALUS_MAX_JOBS or more: it is not where job
/// records are.
std::uint32_t record_index(std::uint64_t address) {
    const std::uint64_t base = TALUS_CONTROL_SRAM_BASE + TALUS_JOBS_OFFSET;
    const std::uint64_t index = (address - base) / sizeof(talus_job_record);
    return address < base || (address - base) % sizeof(talus_job_record) != 0 ||
                   index > TALUS_MAX_JOBS
               ? TALUS_MAX_JOBS
               : static_cast<std::uint32_t>(index);
}

} // namespace

void GridControl::launch(Cycle now) {
    if (!valid(rect_)) {
        diagnostics_.guest("GRID_LAUNCH with GRID_LAUNCH_RECT {:#010x}: empty or outside the grid",
                           rect_);
        return;
    }
    const talus_job_record* job = record(descriptor_);
    if (job == nullptr) {
        diagnostics_.guest("GRID_LAUNCH of {:#x}, which is not in control SRAM", descriptor_);
        return;
    }
    ++launches_;
    if (FaultHooks* faults = fabric_.fault_hooks(); faults != nullptr) {
        faults->job_begins(now);
    }
    const talus_work& work = job->work;
    std::erase_if(jobs_, [&](const Job& old) { return old.index == work.job; });
    if (record(work.record) != nullptr) {
        fabric_.isolation().give_record(record_index(work.record), work.domain);
        jobs_.push_back({work.job, work.generation, work.record, rect_});
    }
    for_each_pe(rect_, [&](std::uint32_t pe) {
        grid_.launch(pe, now + config_.control.launch_broadcast_clocks, descriptor_);
    });
}

void GridControl::reset_pes(Cycle now, bool hold) {
    if (!valid(rect_)) {
        diagnostics_.guest(
            "GRID_PE_RESET with GRID_LAUNCH_RECT {:#010x}: empty or outside the grid", rect_);
        return;
    }
    if (hold) {
        std::erase_if(jobs_, [&](const Job& job) { return overlap(job.rect, rect_); });
    }
    for_each_pe(rect_, [&](std::uint32_t pe) {
        if (hold) {
            grid_.hold_pe(pe, now);
        } else {
            grid_.release_pe(pe, now + config_.control.launch_broadcast_clocks, vector_);
        }
    });
}

// Takes the time of its register write alone: where the kilobyte goes, and the bandwidth that it
// takes there, are not worth a model.
void GridControl::store_counters(Cycle now, std::uint64_t to) {
    const Requester who = Requester::engine(0);
    const MemorySpan span = fabric_.span(who, to, sizeof(talus_perf_record), true);
    const bool allowed = fabric_.isolation().device_windows().allows(
        perf_domain_, to, sizeof(talus_perf_record), true);
    if (!valid(rect_) || !span.ok() || !allowed) {
        diagnostics_.guest(
            "GRID_PERF_TO {:#x} of domain {} with GRID_LAUNCH_RECT {:#010x}: not the "
            "domain's memory, or the rectangle is empty or outside the grid",
            to, perf_domain_, rect_);
        return;
    }
    std::vector<std::uint32_t> pes;
    for_each_pe(rect_, [&](std::uint32_t pe) { pes.push_back(pe); });
    talus_perf_record record;
    counters_.sample(now, pes, record);
    if (perf_from_ != 0) {
        const MemorySpan from = fabric_.span(who, perf_from_, sizeof(talus_perf_record), false);
        talus_perf_record earlier{};
        if (from.ok() && (!fabric_.ecc().any() || fabric_.ecc().read(from.host, sizeof earlier))) {
            std::memcpy(&earlier, from.host, sizeof earlier);
        }
        if (earlier.magic != TALUS_PERF_MAGIC || earlier.count != TALUS_PERF_COUNT) {
            diagnostics_.guest("GRID_PERF_FROM {:#x}: no sample stands there", perf_from_);
            return;
        }
        record.begin = earlier.end;
        record.local_peak_bytes -= earlier.local_peak_bytes;
        record.sram_peak_bytes -= earlier.sram_peak_bytes;
        record.dram_peak_bytes -= earlier.dram_peak_bytes;
        record.pcie_peak_bytes -= earlier.pcie_peak_bytes;
        for (unsigned index = 0; index < TALUS_PERF_COUNT; ++index) {
            record.counters[index] -= earlier.counters[index];
        }
    }
    if (fabric_.ecc().any()) {
        fabric_.ecc().overwritten(span.host, sizeof record);
    }
    std::memcpy(span.host, &record, sizeof record);
    fabric_.written(who, to, sizeof record);
}

bool GridControl::check_deadlock(Cycle now) {
    bool found = false;
    std::erase_if(jobs_, [&](const Job& job) {
        const talus_job_record* state = record(job.record);
        if (state->work.generation != job.generation || state->pending == 0 ||
            state->fault_claim != 0) {
            return true; // ended, faulted, or the record has another job
        }
        found = true;
        deadlock_job_ = job.index;
        diagnostics_.guest("deadlock: job {} can't go on; {} PEs have not finished. Who waits:",
                           job.index, state->pending);
        unsigned idle = 0;
        for_each_pe(job.rect, [&](std::uint32_t pe) {
            const std::vector<std::string> lines = grid_.describe_waits(pe);
            idle += lines.empty() ? 1 : 0;
            for (const std::string& line : lines) {
                diagnostics_.guest("  {}", line);
            }
        });
        diagnostics_.guest("  {} PEs of the job are idle", idle);
        return true;
    });
    if (found) {
        interrupts_.raise(TALUS_IRQ_GRID, now);
    }
    return found;
}

std::uint32_t GridControl::read32(Cycle, std::uint32_t offset) {
    switch (offset) {
    case GRID_LAUNCH_RECT:
        return rect_;
    case GRID_PE_VECTOR:
    case GRID_PE_VECTOR + 4:
        return read_half(vector_, (offset & 4) != 0);
    case GRID_DEADLOCK_JOB:
        return deadlock_job_;
    case GRID_PERF_FROM:
    case GRID_PERF_FROM + 4:
        return read_half(perf_from_, (offset & 4) != 0);
    default:
        return 0;
    }
}

void GridControl::write32(Cycle now, std::uint32_t offset, std::uint32_t value) {
    switch (offset) {
    case GRID_LAUNCH_RECT:
        rect_ = value;
        break;
    case GRID_LAUNCH:
        write_half(descriptor_, false, value);
        break;
    case GRID_LAUNCH + 4:
        write_half(descriptor_, true, value);
        launch(now);
        break;
    case GRID_PE_RESET:
        reset_pes(now, (value & 1) != 0);
        break;
    case GRID_PE_VECTOR:
    case GRID_PE_VECTOR + 4:
        write_half(vector_, (offset & 4) != 0, value);
        break;
    case GRID_PERF_DOMAIN:
        perf_domain_ = value;
        break;
    case GRID_JOB_REVOKE:
        fabric_.isolation().give_record(value, 0);
        break;
    case GRID_PERF_FROM:
    case GRID_PERF_FROM + 4:
        write_half(perf_from_, (offset & 4) != 0, value);
        break;
    case GRID_PERF_TO:
        write_half(perf_to_, false, value);
        break;
    case GRID_PERF_TO + 4:
        write_half(perf_to_, true, value);
        store_counters(now, perf_to_);
        break;
    default:
        break;
    }
}

} // namespace talus::sim
