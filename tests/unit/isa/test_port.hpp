// A world with nothing in it but direct memory: every other access faults.
#ifndef TALUS_TESTS_ISA_TEST_PORT_HPP
#define TALUS_TESTS_ISA_TEST_PORT_HPP

#include <vector>

#include "isa/hart.hpp"

namespace talus::sim {

class TestPort : public HartPort {
  public:
    std::vector<TrapInfo> traps;

    OpResult load(HartId, Cycle, std::uint64_t addr, void*, unsigned) override {
        return OpResult::trap(cause::kLoadAccess, addr);
    }
    OpResult store(HartId, Cycle, std::uint64_t addr, const void*, unsigned) override {
        return OpResult::trap(cause::kStoreAccess, addr);
    }
    OpResult amo(HartId, Cycle, const AmoRequest& request) override {
        return OpResult::trap(cause::kStoreAccess, request.addr);
    }
    OpResult cbo(HartId, Cycle now, CboOp, std::uint64_t) override { return OpResult::ok(now + 1); }
    OpResult fence(HartId, Cycle now, unsigned, unsigned, bool) override {
        return OpResult::ok(now + 1);
    }
    FetchWindow fetch_window(HartId, std::uint64_t) override { return {}; }
    OpResult fetch_miss(HartId, Cycle now, std::uint64_t) override {
        return OpResult::ok(now + 10);
    }
    OpResult custom(HartId, Cycle, const CustomInsn& insn) override {
        return OpResult::trap(cause::kIllegalInstruction, insn.raw);
    }
    std::uint64_t time(HartId, Cycle now) override { return now; }
    bool csr_read(HartId, Cycle, unsigned, std::uint64_t&) override { return false; }
    bool csr_write(HartId, Cycle, unsigned, std::uint64_t) override { return false; }
    void on_trap(HartId, const TrapInfo& info) override { traps.push_back(info); }
};

} // namespace talus::sim

#endif
