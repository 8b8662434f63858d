#include "dram_timing.hpp"

#include <stdexcept>

namespace talus::sim {

std::vector<DramConstraint> lpddr5_constraints(const DramConfig& d) {
    using enum DramCommand;
    using enum DramLevel;
    const auto n = [](std::uint32_t value) { return static_cast<DramClock>(value); };
    const DramClock read_to_write = n(d.ncl) + n(d.nbl) + 2 - n(d.ncwl);
    const DramClock write_recovery = n(d.ncwl) + n(d.nbl) + n(d.nwr);
    return {
        // Data bus.
        {"BL/n_min", kChannel, {kRead}, {kRead}, n(d.nbl)},
        {"BL/n_min", kChannel, {kWrite}, {kWrite}, n(d.nbl)},
        {"tCCD_S", kRank, {kRead}, {kRead}, n(d.nccds)},
        {"tCCD_S", kRank, {kWrite}, {kWrite}, n(d.nccds)},
        {"tCCD_L", kBankGroup, {kRead}, {kRead}, n(d.nccdl)},
        {"tCCD_L", kBankGroup, {kWrite}, {kWrite}, n(d.nccdl)},
        // Turnaround of the bus.
        {"tRTW", kRank, {kRead}, {kWrite}, read_to_write},
        {"tWTR_S", kRank, {kWrite}, {kRead}, n(d.ncwl) + n(d.nbl) + n(d.nwtrs)},
        {"tWTR_L", kBankGroup, {kWrite}, {kRead}, n(d.ncwl) + n(d.nbl_max) + n(d.nwtrl)},
        {"tCS", kRank, {kRead}, {kRead, kWrite}, n(d.nbl) + n(d.ncs), true},
        {"tCS", kRank, {kWrite}, {kRead}, n(d.ncl) + n(d.nbl) + n(d.ncs) - n(d.ncwl), true},
        {"tCS", kRank, {kWrite}, {kWrite}, n(d.nbl) + n(d.ncs), true},
        // Rows.
        {"tRCD", kBank, {kActivate1}, {kRead, kWrite}, n(d.nrcd)},
        {"tRC", kBank, {kActivate1}, {kActivate1, kRefreshBank}, n(d.nrc)},
        {"tRAS", kBank, {kActivate1}, {kPrecharge}, n(d.nras)},
        {"tRP", kBank, {kPrecharge}, {kActivate1, kRefreshBank}, n(d.nrp)},
        {"tRTP", kBank, {kRead}, {kPrecharge}, n(d.nrtp)},
        {"tWR", kBank, {kWrite}, {kPrecharge}, write_recovery},
        {"tRRD", kRank, {kActivate1}, {kActivate1}, n(d.nrrd)},
        {"tFAW", kRank, {kActivate1}, {kActivate1}, n(d.nfaw), false, 4},
        {"tPPD", kRank, {kPrecharge, kPrechargeAll}, {kPrecharge, kPrechargeAll}, n(d.nppd)},
        // All banks of a rank.
        {"tRTP", kRank, {kRead}, {kPrechargeAll}, n(d.nrtp)},
        {"tWR", kRank, {kWrite}, {kPrechargeAll}, write_recovery},
        {"tRAS", kRank, {kActivate1}, {kPrechargeAll}, n(d.nras)},
        {"tRPab", kRank, {kPrechargeAll}, {kActivate1}, n(d.nrpab)},
        {"tRP", kRank, {kPrecharge, kPrechargeAll}, {kRefreshAll}, n(d.nrp)},
        {"tRC", kRank, {kActivate1}, {kRefreshAll}, n(d.nrc)},
        // Refresh.
        {"tRFCab",
         kRank,
         {kRefreshAll},
         {kActivate1, kPrechargeAll, kRefreshAll, kRefreshBank},
         n(d.nrfc)},
        {"tRFCpb", kBank, {kRefreshBank}, {kActivate1}, n(d.nrfcpb)},
        {"tRFCpb", kRank, {kRefreshBank}, {kRefreshAll}, n(d.nrfcpb)},
        {"tpbR2pbR", kRank, {kRefreshBank}, {kRefreshBank}, n(d.npbr2pbr)},
        {"tpbR2act", kRank, {kRefreshBank}, {kActivate1}, n(d.npbr2act)},
    };
}

DramTimingTable::DramTimingTable(const std::vector<DramConstraint>& constraints) {
    std::array<std::vector<Rule>, kSlices> slices;
    for (const DramConstraint& constraint : constraints) {
        if (constraint.window != 1 &&
            (constraint.window > 8 || constraint.level != DramLevel::kRank || constraint.siblings ||
             constraint.preceding != std::vector{DramCommand::kActivate1})) {
            throw std::invalid_argument("DRAM constraint: windows count activations of a rank");
        }
        for (const DramCommand preceding : constraint.preceding) {
            for (const DramCommand following : constraint.following) {
                slices[index(constraint.level, preceding, constraint.siblings)].push_back(
                    {constraint.clocks, following, static_cast<std::uint8_t>(constraint.window)});
            }
        }
    }
    for (std::size_t slice = 0; slice < kSlices; ++slice) {
        rules_.insert(rules_.end(), slices[slice].begin(), slices[slice].end());
        begin_[slice + 1] = static_cast<std::uint16_t>(rules_.size());
    }
}

} // namespace talus::sim
