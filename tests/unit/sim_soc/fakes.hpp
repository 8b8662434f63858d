// Stand-ins for what surrounds a unit of the SoC.
#ifndef TALUS_TESTS_SIM_SOC_FAKES_HPP
#define TALUS_TESTS_SIM_SOC_FAKES_HPP

#include <cstring>
#include <functional>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "pci/device_model.hpp"
#include "soc/register_block.hpp"

namespace talus::sim::test {

/// One mapped range of host memory, with a record of what was done to it.
class FakeHost final : public HostPort {
  public:
    static constexpr std::uint64_t kBase = 0x100000;
    std::vector<std::uint8_t> memory = std::vector<std::uint8_t>(1 << 20);
    std::vector<unsigned> interrupts;
    unsigned reads = 0;
    /// Called when a vector is raised: to look at memory as the host would then.
    std::function<void(unsigned)> on_interrupt;

    template <typename T>
    T& at(std::uint64_t iova) {
        return *reinterpret_cast<T*>(memory.data() + (iova - kBase));
    }

    DmaStatus probe(std::uint64_t iova, std::size_t length, bool) const override {
        const bool inside = iova >= kBase && iova - kBase <= memory.size() &&
                            length <= memory.size() - (iova - kBase);
        return inside ? DmaStatus::kOk : DmaStatus::kUnmapped;
    }
    DmaStatus dma_read(std::uint64_t iova, void* destination, std::size_t length) override {
        ++reads;
        const DmaStatus status = probe(iova, length, false);
        if (status == DmaStatus::kOk) {
            std::memcpy(destination, memory.data() + (iova - kBase), length);
        }
        return status;
    }
    DmaStatus dma_write(std::uint64_t iova, const void* source, std::size_t length) override {
        const DmaStatus status = probe(iova, length, true);
        if (status == DmaStatus::kOk) {
            std::memcpy(memory.data() + (iova - kBase), source, length);
        }
        return status;
    }
    DmaStatus load32(std::uint64_t iova, std::uint32_t& value) override {
        return dma_read(iova, &value, sizeof value);
    }
    DmaStatus load64(std::uint64_t iova, std::uint64_t& value) override {
        return dma_read(iova, &value, sizeof value);
    }
    DmaStatus store32(std::uint64_t iova, std::uint32_t value) override {
        return dma_write(iova, &value, sizeof value);
    }
    DmaStatus store64(std::uint64_t iova, std::uint64_t value) override {
        return dma_write(iova, &value, sizeof value);
    }
    DmaStatus load32_array(std::uint64_t iova, std::uint32_t* values, std::size_t count) override {
        return dma_read(iova, values, 4 * count);
    }
    void raise_msix(unsigned vector) override {
        interrupts.push_back(vector);
        if (on_interrupt) {
            on_interrupt(vector);
        }
    }
    std::uint64_t dropped_interrupts() const override { return 0; }
    bool bus_master_enabled() const override { return true; }
    bool client_connected() const override { return true; }
    std::uint16_t device_control() const override { return 0x2140; } // 512, 512
    void report_correctable_error(std::uint32_t) override {}
    void report_uncorrectable_error(std::uint32_t, bool) override {}
};

/// Remembers the levels of all lines.
class FakeLines final : public InterruptLines {
  public:
    struct Change {
        HartId hart;
        unsigned bit;
        bool level;
        Cycle when;
        bool operator==(const Change&) const = default;
    };
    std::vector<Change> changes;
    std::map<std::pair<HartId, unsigned>, bool> levels;

    void set_interrupt(HartId hart, unsigned bit, bool level, Cycle when) override {
        if (levels[{hart, bit}] != level) {
            changes.push_back({hart, bit, level, when});
        }
        levels[{hart, bit}] = level;
    }
    bool level(HartId hart, unsigned bit) const {
        const auto it = levels.find({hart, bit});
        return it != levels.end() && it->second;
    }
};

} // namespace talus::sim::test

#endif
