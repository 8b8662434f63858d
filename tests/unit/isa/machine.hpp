// A hart with 64 KiB of direct memory at 0x10000, and a port that the test scripts.
#ifndef TALUS_TESTS_ISA_MACHINE_HPP
#define TALUS_TESTS_ISA_MACHINE_HPP

#include <cstring>
#include <functional>
#include <initializer_list>

#include "assembler.hpp"
#include "test_port.hpp"

namespace talus::sim {

/// Memory behind the port at 0x40000000 (64 KiB, executable and cached), and hooks.
class ScriptedPort : public TestPort {
  public:
    static constexpr std::uint64_t kBase = 0x40000000;
    static constexpr std::uint64_t kSize = 0x10000;
    static constexpr Cycle kLatency = 50;

    std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(kSize);
    std::function<OpResult(Cycle, const CustomInsn&)> on_custom;
    std::function<OpResult(Cycle, std::uint64_t, unsigned, bool)> on_access; ///< before memory
    std::vector<std::uint64_t> misses;
    std::vector<unsigned> access_sizes;
    unsigned fences = 0;

    OpResult load(HartId, Cycle now, std::uint64_t addr, void* data, unsigned len) override {
        return access(now, addr, len, false,
                      [&] { std::memcpy(data, memory.data() + (addr - kBase), len); });
    }
    OpResult store(HartId, Cycle now, std::uint64_t addr, const void* data, unsigned len) override {
        return access(now, addr, len, true,
                      [&] { std::memcpy(memory.data() + (addr - kBase), data, len); });
    }
    OpResult fence(HartId, Cycle now, unsigned, unsigned, bool) override {
        ++fences;
        return OpResult::ok(now + 1);
    }
    FetchWindow fetch_window(HartId, std::uint64_t addr) override {
        if (addr - kBase >= kSize)
            return {};
        return {memory.data(), kBase, kSize, false};
    }
    OpResult fetch_miss(HartId, Cycle now, std::uint64_t line) override {
        misses.push_back(line);
        return OpResult::ok(now + kLatency);
    }
    OpResult custom(HartId hart, Cycle now, const CustomInsn& insn) override {
        return on_custom ? on_custom(now, insn) : TestPort::custom(hart, now, insn);
    }

  private:
    template <class F>
    OpResult access(Cycle now, std::uint64_t addr, unsigned len, bool is_store, F copy) {
        if (on_access) {
            const OpResult result = on_access(now, addr, len, is_store);
            if (result.status != OpStatus::kDone)
                return result;
        }
        if (addr - kBase >= kSize || addr - kBase + len > kSize)
            return OpResult::trap(is_store ? cause::kStoreAccess : cause::kLoadAccess, addr);
        access_sizes.push_back(len);
        copy();
        return OpResult::ok(now + kLatency);
    }
};

class Machine {
  public:
    static constexpr std::uint64_t kBase = 0x10000;
    static constexpr std::uint64_t kSize = 0x10000;
    static constexpr std::uint64_t kHandler = kBase + 0x800;
    static constexpr std::uint64_t kData = kBase + 0x1000;

    ScriptedPort port;
    std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(kSize);
    std::unique_ptr<Hart> hart;

    explicit Machine(bool vector = false, CodeCache* code = nullptr) {
        HartConfig config;
        config.id = 7;
        config.vector = vector;
        config.reset_pc = kBase;
        config.icache_bytes = 1024;
        config.regions = {{kBase, kSize, memory.data()}};
        config.code = code;
        hart = std::make_unique<Hart>(config, port);
        hart->write_csr(0x300, vector ? 0x6600 : 0x6000);
    }

    void put(std::uint64_t addr, std::initializer_list<std::uint32_t> code) {
        for (std::uint32_t bits : code) {
            std::uint8_t* at = addr >= ScriptedPort::kBase
                                   ? port.memory.data() + (addr - ScriptedPort::kBase)
                                   : memory.data() + (addr - kBase);
            std::memcpy(at, &bits, 4);
            addr += 4;
        }
    }
    /// Places code at the reset address and executes as many instructions.
    void run(std::initializer_list<std::uint32_t> code) {
        put(kBase, code);
        hart->set_pc(kBase);
        hart->invalidate_code(kBase, kSize);
        for (std::size_t i = 0; i < code.size(); ++i)
            hart->step();
    }
    /// One instruction; the cause of the trap it took, or -1.
    std::int64_t execute(std::uint32_t bits) {
        const std::size_t before = port.traps.size();
        hart->write_csr(0x305, kHandler);
        run({bits});
        return port.traps.size() == before ? -1
                                           : static_cast<std::int64_t>(port.traps.back().cause);
    }
    std::uint64_t csr(unsigned number) {
        std::uint64_t value = 0;
        if (!hart->read_csr(number, value))
            throw std::logic_error("no such CSR");
        return value;
    }
    template <class T>
    T data(std::uint64_t addr) const {
        T value;
        std::memcpy(&value, memory.data() + (addr - kBase), sizeof value);
        return value;
    }
    template <class T>
    void set_data(std::uint64_t addr, T value) {
        std::memcpy(memory.data() + (addr - kBase), &value, sizeof value);
    }
};

} // namespace talus::sim

#endif
