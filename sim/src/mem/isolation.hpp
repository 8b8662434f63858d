// What keeps the domains apart: the windows through which their commands and jobs reach host and
// device memory, the domain that each PE is in, and whose a job record is.
//
// A PE enters a domain with its first job of it and leaves it by a reset, which clears its local
// memory: whatever a kernel leaves running or lying there stays within the domain. A PE in domain 0
// (after a reset, or at work for the owner) is not confined.
//
// Not thread-safe: the timing thread owns it.
#ifndef TALUS_SIM_MEM_ISOLATION_HPP
#define TALUS_SIM_MEM_ISOLATION_HPP

#include <array>
#include <cstdint>
#include <vector>

#include "talus/hw/address_map.h"
#include "talus/hw/work.h"

#include "core/checkpoint.hpp"

#include "domain_windows.hpp"

namespace talus::sim {

class Isolation {
  public:
    explicit Isolation(std::uint32_t pe_count) : pes_(pe_count, 0) {}

    /// What a queue's commands may touch of host memory.
    DomainWindows& host_windows() { return host_windows_; }
    const DomainWindows& host_windows() const { return host_windows_; }
    /// What commands and jobs may touch of shared SRAM and off-chip memory.
    DomainWindows& device_windows() { return device_windows_; }
    const DomainWindows& device_windows() const { return device_windows_; }
    /// FLR: all windows are closed.
    void close_windows() {
        host_windows_.clear();
        device_windows_.clear();
    }

    unsigned domain_of(std::uint32_t pe) const { return pes_[pe]; }
    void enter(std::uint32_t pe, unsigned domain) { pes_[pe] = static_cast<std::uint8_t>(domain); }
    void leave(std::uint32_t pe) { pes_[pe] = 0; }

    /// From now on the job's record is for PEs of `domain`; 0: for none but those in domain 0.
    void give_record(std::uint32_t job, unsigned domain) {
        if (job < records_.size()) {
            records_[job] = static_cast<std::uint8_t>(domain);
        }
    }

    /// May PEs of `domain` touch [offset, offset + len) of control SRAM? Only what follows the work
    /// descriptor in the record of one of the domain's jobs: a kernel that could change descriptors
    /// could choose its rectangle and its domain.
    bool allows_control_sram(unsigned domain, std::uint64_t offset, std::uint64_t len) const {
        if (offset < TALUS_JOBS_OFFSET) {
            return false;
        }
        const std::uint64_t job = (offset - TALUS_JOBS_OFFSET) / sizeof(talus_job_record);
        const std::uint64_t within = (offset - TALUS_JOBS_OFFSET) % sizeof(talus_job_record);
        return job < records_.size() && records_[job] == domain && within >= sizeof(talus_work) &&
               len <= sizeof(talus_job_record) - within;
    }

    /// Fundamental reset.
    void reset() {
        close_windows();
        pes_.assign(pes_.size(), 0);
        records_ = {};
    }

    /// A host's windows are not in it (Device::checkpoint).
    void checkpoint(Checkpoint& state) { state(pes_, records_); }

  private:
    DomainWindows host_windows_;
    DomainWindows device_windows_;
    std::vector<std::uint8_t> pes_;                      ///< domain, by PE
    std::array<std::uint8_t, TALUS_MAX_JOBS> records_{}; ///< domain, by job
};

} // namespace talus::sim

#endif
