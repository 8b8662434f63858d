// A chip that answers and does nothing, behind the PCIe function of a fuzzer.
#pragma once

#include "pci/device_model.hpp"
#include "pci/pci_function.hpp"
#include "pci/shared_bar_memory.hpp"

#include <talus/hw/pci.h>

namespace fuzz {

class Chip final : public talus::sim::PciDeviceModel {
  public:
    void connect(talus::sim::HostPort&) override {}
    talus::sim::MappableBar mappable(unsigned bar) override {
        if (bar == TALUS_BAR_REGISTERS)
            return {status_.fd(), false, {{TALUS_BAR0_STATUS_PAGE, TALUS_STATUS_PAGE_SIZE}}};
        if (bar == TALUS_BAR_STAGING)
            return {staging_.fd(), true, {{0, TALUS_BAR4_SIZE}}};
        return {};
    }
    uint64_t bar_read(unsigned, uint64_t offset, unsigned) override { return offset; }
    void bar_write(unsigned, uint64_t, unsigned, uint64_t) override {}
    void function_reset() override {}
    void fundamental_reset() override {}
    void client_gone() override {}

  private:
    talus::sim::SharedBarMemory status_{"fuzz-status", TALUS_BAR0_SIZE, false};
    talus::sim::SharedBarMemory staging_{"fuzz-staging", TALUS_BAR4_SIZE, true};
};

} // namespace fuzz
