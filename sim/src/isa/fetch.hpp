// The decoded-instruction cache. Private to sim/src/isa.
#ifndef TALUS_SIM_ISA_FETCH_HPP
#define TALUS_SIM_ISA_FETCH_HPP

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "decode.hpp"

namespace talus::sim {

namespace jit {
class Translator;
struct TranslatedPage;
} // namespace jit

inline constexpr unsigned kCodePageBytes = 4096;

/// The decoded form of up to one 4 KiB page of code. Slot i belongs to the instruction at byte 2 i;
/// it is decoded from `bytes`, the copy, so that page and slots agree until the next validation.
struct CodePage {
    const std::uint8_t* source = nullptr;
    std::uint32_t len = 0;
    std::uint64_t generation = 0;
    std::array<std::uint8_t, kCodePageBytes> bytes{};
    std::array<Decoded, kCodePageBytes / 2> slots{};
    std::vector<std::shared_ptr<jit::TranslatedPage>> translations; ///< of `bytes`

    void refresh();
};

struct CodeCache::Impl {
    Impl();
    ~Impl();

    std::unordered_map<const std::uint8_t*, std::unique_ptr<CodePage>> pages;
    std::uint64_t generation = 1; ///< pages of an older one are compared with memory before use
    std::uint64_t epoch = 1;      ///< changes when pages are freed: harts forget their pointers

    std::unique_ptr<jit::Translator> translator; ///< null until a hart asks, or if impossible

    void invalidate() { ++generation; }
    jit::Translator* translate();
    void drop_translations();
    CodePage* page(const std::uint8_t* source, std::uint32_t len);
};

} // namespace talus::sim

#endif
