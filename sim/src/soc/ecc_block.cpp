#include "ecc_block.hpp"

#include "talus/hw/registers.h"

namespace talus::sim {

EccBlock::EccBlock(const Config& config, const EventQueue& events, Ecc& ecc,
                   InterruptController& interrupts, HostInterface& host_interface,
                   Diagnostics& diagnostics)
    : config_(config), events_(events), ecc_(ecc), interrupts_(interrupts),
      host_interface_(host_interface), diagnostics_(diagnostics) {
    ecc_.add_listener(*this);
}

EccBlock::~EccBlock() {
    ecc_.remove_listener(*this);
}

void EccBlock::reset() {
    records_.clear();
    lost_ = 0;
    host_interface_.set_ecc(ecc_.counters());
}

void EccBlock::on_ecc(const EccEvent& event) {
    const bool corrected = counts_as_corrected(event.fate);
    if (!corrected && event.fate != EccFate::kUncorrectable) {
        return; // nothing that hardware knows of
    }
    host_interface_.set_ecc(ecc_.counters());
    diagnostics_.reported(fmt::format("{}: {}", event.word.name(config_.grid),
                                      corrected ? "a bit was corrected by ECC"
                                                : "more wrong bits than ECC corrects"));
    if (records_.size() == TALUS_ECC_RECORDS) {
        ++lost_;
        return;
    }
    records_.push_back({TALUS_ECC_RECORD_VALID | (corrected ? 0 : TALUS_ECC_RECORD_UNCORRECTABLE) |
                            static_cast<std::uint32_t>(event.word.memory) << 8,
                        event.word.address()});
    interrupts_.raise(TALUS_IRQ_ECC, events_.now());
}

std::uint32_t EccBlock::read32(Cycle, std::uint32_t offset) {
    const auto counter = [&](std::uint32_t base, const auto& values) {
        return read_half(values[(offset - base) / 8], (offset & 4) != 0);
    };
    constexpr std::uint32_t kCounterBytes = TALUS_ECC_MEMORIES * 8;
    if (offset - ECC_CORRECTED < kCounterBytes) {
        return counter(ECC_CORRECTED, ecc_.counters().corrected);
    }
    if (offset - ECC_UNCORRECTABLE < kCounterBytes) {
        return counter(ECC_UNCORRECTABLE, ecc_.counters().uncorrectable);
    }
    switch (offset) {
    case ECC_RECORD:
        return records_.empty() ? 0 : records_.front().what;
    case ECC_ADDRESS:
    case ECC_ADDRESS + 4:
        return records_.empty() ? 0 : read_half(records_.front().address, (offset & 4) != 0);
    case ECC_LOST:
        return lost_;
    default:
        return 0;
    }
}

void EccBlock::write32(Cycle, std::uint32_t offset, std::uint32_t value) {
    if (offset == ECC_NEXT && (value & 1) != 0 && !records_.empty()) {
        records_.pop_front();
    }
}

} // namespace talus::sim
