// Decodes the system registers (TALUS_SYSTEM_BASE): which block, who may, which width.
#ifndef TALUS_SIM_SOC_SYSTEM_BUS_HPP
#define TALUS_SIM_SOC_SYSTEM_BUS_HPP

#include <array>
#include <cstdint>

#include "talus/hw/address_map.h"

#include "../mem/fabric.hpp"
#include "clint.hpp"
#include "register_block.hpp"

namespace talus::sim {

/// Registers are read and written by 4 or 8 aligned bytes; anything else is an access fault.
/// Control harts reach all blocks, PE cores only the software interrupts, engines none.
class SystemBus final : public MmioHandler {
  public:
    explicit SystemBus(Clint& clint) : clint_(clint) { attach(TALUS_SYS_CLINT, clint); }

    /// `offset`: of a 64 KiB block from TALUS_SYSTEM_BASE.
    void attach(std::uint32_t offset, RegisterBlock& block) {
        blocks_.at(offset / kBlockBytes) = &block;
    }

    bool mmio_read(const Requester& who, Cycle now, std::uint64_t addr, unsigned len,
                   std::uint64_t& value) override {
        std::uint32_t offset = 0;
        RegisterBlock* block = find(who, addr, len, offset);
        if (block == nullptr) {
            return false;
        }
        value = len == 8 ? block->read64(now, offset) : block->read32(now, offset);
        return true;
    }

    bool mmio_write(const Requester& who, Cycle now, std::uint64_t addr, unsigned len,
                    std::uint64_t value) override {
        std::uint32_t offset = 0;
        RegisterBlock* block = find(who, addr, len, offset);
        if (block == nullptr) {
            return false;
        }
        if (len == 8) {
            block->write64(now, offset, value);
        } else {
            block->write32(now, offset, static_cast<std::uint32_t>(value));
        }
        return true;
    }

  private:
    static constexpr std::uint32_t kBlockBytes = 0x10000;

    RegisterBlock* find(const Requester& who, std::uint64_t addr, unsigned len,
                        std::uint32_t& offset) const {
        const std::uint64_t within = addr - TALUS_SYSTEM_BASE;
        if (addr < TALUS_SYSTEM_BASE || within >= TALUS_SYSTEM_SIZE || (len != 4 && len != 8) ||
            addr % len != 0) {
            return nullptr;
        }
        RegisterBlock* block = blocks_[within / kBlockBytes];
        offset = static_cast<std::uint32_t>(within % kBlockBytes);
        const bool allowed = who.kind == Requester::Kind::kControlHart ||
                             (who.kind == Requester::Kind::kPeCore && block == &clint_ &&
                              len == 4 && clint_.is_msip(offset) &&
                              (offset / 4 < TALUS_CONTROL_HARTS || offset / 4 == who.index));
        return allowed ? block : nullptr;
    }

    Clint& clint_;
    std::array<RegisterBlock*, TALUS_SYSTEM_SIZE / kBlockBytes> blocks_{};
};

} // namespace talus::sim

#endif
