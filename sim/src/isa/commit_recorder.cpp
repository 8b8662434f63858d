#include "commit_recorder.hpp"

#include <cstring>

namespace talus::sim {

namespace {

/// CSRs beyond the hart: reading one back could have an effect.
bool of_port(unsigned csr) {
    return (csr >= 0x7c0 && csr <= 0x8ff) || (csr >= 0xbc0 && csr <= 0xbff);
}

std::uint64_t value_of(const void* data, unsigned len) {
    std::uint64_t value = 0;
    std::memcpy(&value, data, len);
    return value;
}

} // namespace

CommitRecorder::Implied CommitRecorder::implied(const Core& c) {
    return {c.fflags, c.vstart, c.vxsat, c.mstatus_value(), c.vl, c.vtype_value()};
}

void CommitRecorder::begin(const Core& c, const Decoded* insn) {
    wanted_ = c.pc >= first_ && c.pc <= last_;
    if (!wanted_)
        return;
    // A vector access that stopped on its way goes on from vstart: what it did then counts.
    if (c.vstart == 0 || commit_.pc != c.pc)
        commit_.accesses.clear();
    commit_.csrs.clear();
    insn_ = insn;
    commit_.hart = c.config.id;
    commit_.now = c.now;
    commit_.pc = c.pc;
    commit_.user_mode = c.mode == Privilege::kUser;
    before_ = implied(c);
    x_before_ = c.x;
    if (c.v_on && c.vstart == 0)
        v_before_ = c.v;
}

void CommitRecorder::end(Core& c) {
    if (!wanted_)
        return;
    wanted_ = false;
    const Decoded& d = *insn_;
    commit_.bits = d.len == 2 ? d.compressed : d.raw;
    commit_.len = d.len;
    commit_.name = instruction_name(d);

    commit_.registers.clear();
    const char file = destination_file(d);
    const unsigned opcode = d.raw & 0x7f;
    const bool custom = opcode == 0x0b || opcode == 0x2b; // these may leave rd alone
    if (file == 'x' && d.rd != kSink && (!custom || c.x[d.rd] != x_before_[d.rd]))
        commit_.registers.push_back({'x', d.rd, c.x[d.rd]});
    else if (file == 'f')
        commit_.registers.push_back({'f', d.rd, c.f[d.rd]});

    commit_.vectors.clear();
    commit_.vector_file = c.v.data();
    commit_.vector_sew = 8u << c.vsew;
    commit_.vector_lmul_log2 = c.vlmul;
    commit_.vector_length = c.vl;
    for (unsigned i = 0; c.v_on && i < 32; ++i) {
        if (std::memcmp(c.vreg(i), v_before_.data() + i * kVlenBytes, kVlenBytes) != 0)
            commit_.vectors.push_back(i);
    }

    for (Commit::Csr& csr : commit_.csrs) {
        const Privilege mode = c.mode;
        c.mode = Privilege::kMachine;
        if (!of_port(csr.number))
            c.csr_read(csr.number, csr.value);
        c.mode = mode;
    }
    const Implied after = implied(c);
    const auto changed = [this](unsigned number, std::uint64_t old_value, std::uint64_t value) {
        if (value != old_value && (commit_.csrs.empty() || commit_.csrs[0].number != number))
            commit_.csrs.push_back({number, value});
    };
    changed(0x001, before_.fflags, after.fflags);
    changed(0x008, before_.vstart, after.vstart);
    changed(0x009, before_.vxsat, after.vxsat);
    changed(0x300, before_.mstatus, after.mstatus);
    changed(0xc20, before_.vl, after.vl);
    changed(0xc21, before_.vtype, after.vtype);
    observer_.on_commit(commit_);
}

void CommitRecorder::access(std::uint64_t addr, const void* data, unsigned len, AccessKind kind) {
    if (wanted_)
        commit_.accesses.push_back({addr, len, kind == AccessKind::kStore, value_of(data, len)});
}

void CommitRecorder::elements(std::uint64_t addr, const std::uint8_t* data, unsigned len,
                              unsigned size, AccessKind kind) {
    for (unsigned at = 0; at < len; at += size)
        access(addr + at, data + at, size, kind);
}

void CommitRecorder::atomic(const AmoRequest& request, std::uint64_t result) {
    const bool sc = request.op == AmoOp::kSc;
    if (!sc)
        access(request.addr, &result, request.len, AccessKind::kLoad);
    if (request.op == AmoOp::kLr || (sc && result != 0))
        return;
    const std::uint64_t stored = amo_result(request.op, request.len, result, request.operand);
    access(request.addr, &stored, request.len, AccessKind::kStore);
}

void CommitRecorder::csr(unsigned number, std::uint64_t value) {
    if (wanted_)
        commit_.csrs.push_back({number, value});
}

} // namespace talus::sim
