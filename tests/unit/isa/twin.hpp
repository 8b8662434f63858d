// The same machine twice, once interpreted and once translated, in lockstep: after every run() all
// that a guest or the chip can see must be equal.
#ifndef TALUS_TESTS_ISA_TWIN_HPP
#define TALUS_TESTS_ISA_TWIN_HPP

#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "machine.hpp"

namespace talus::sim {

struct TwinOptions {
    bool vector = false;
    std::uint64_t base = 0x10000;
    std::uint64_t size = 0x10000;
    std::uint64_t reset_pc = 0x10000;
    std::size_t translation_bytes = std::size_t{64} << 20;
    unsigned translate_after = 0;
    HartTiming timing;
};

class Twin {
  public:
    explicit Twin(const TwinOptions& options, const std::vector<std::uint8_t>& image = {}) {
        for (unsigned i = 0; i < 2; ++i) {
            memory[i].resize(options.size);
            std::copy(image.begin(), image.end(), memory[i].begin());
            HartConfig config;
            config.id = 7;
            config.vector = options.vector;
            config.reset_pc = options.reset_pc;
            config.icache_bytes = 1024;
            config.regions = {{options.base, options.size, memory[i].data()}};
            config.timing = options.timing;
            config.code = &code[i];
            config.translator = i == 1;
            config.translate_after = options.translate_after;
            config.translation_bytes = options.translation_bytes;
            hart[i] = std::make_unique<Hart>(config, port[i]);
        }
    }

    /// Both run; false, with a test failure that says what differs, if they do not agree.
    bool run(Cycle until, Cycle global_now) {
        StopReason reason[2];
        for (unsigned i = 0; i < 2; ++i)
            reason[i] = hart[i]->run(until, global_now);
        if (reason[0] == reason[1] && difference().empty())
            return true;
        ADD_FAILURE() << "run(" << until << ", " << global_now << ") ends with "
                      << static_cast<int>(reason[0]) << " and " << static_cast<int>(reason[1])
                      << "\n"
                      << difference();
        return false;
    }
    template <class F>
    void both(F f) {
        f(*hart[0], port[0], memory[0]);
        f(*hart[1], port[1], memory[1]);
    }

    /// What an interpreted and a translated machine differ in; empty if in nothing.
    std::string difference() {
        std::string text;
        const auto compare = [&](const char* name, unsigned index, std::uint64_t a,
                                 std::uint64_t b) {
            if (a != b)
                text += fmt::format("  {}{:<8} interpreted {:016x} translated {:016x}\n", name,
                                    index, a, b);
        };
        Hart &a = *hart[0], &b = *hart[1];
        compare("pc", 0, a.pc(), b.pc());
        compare("clock", 0, a.now(), b.now());
        compare("retired", 0, a.retired(), b.retired());
        compare("user", 0, a.user_mode(), b.user_mode());
        for (unsigned i = 1; i < 32; ++i)
            compare("x", i, a.x(i), b.x(i));
        for (unsigned i = 0; i < 32; ++i)
            compare("f", i, a.f(i), b.f(i));
        for (unsigned i = 0; i < 32; ++i)
            compare("v", i, std::memcmp(a.v(i).data(), b.v(i).data(), kVlenBytes) != 0, 0);
        for (unsigned csr : {0x003u, 0x008u, 0x00fu, 0xc20u, 0xc21u, 0x300u, 0x340u, 0x341u, 0x342u,
                             0x343u, 0x344u}) {
            std::uint64_t values[2] = {};
            a.read_csr(csr, values[0]);
            b.read_csr(csr, values[1]);
            compare("csr ", csr, values[0], values[1]);
        }
        compare("traps", 0, port[0].traps.size(), port[1].traps.size());
        compare("misses", 0, port[0].misses.size(), port[1].misses.size());
        compare("accesses", 0, port[0].access_sizes.size(), port[1].access_sizes.size());
        return text;
    }
    bool memories_equal() const {
        return memory[0] == memory[1] && port[0].memory == port[1].memory &&
               port[0].misses == port[1].misses && port[0].access_sizes == port[1].access_sizes;
    }

    ScriptedPort port[2];
    std::vector<std::uint8_t> memory[2];
    CodeCache code[2];
    std::unique_ptr<Hart> hart[2];
};

} // namespace talus::sim

#endif
