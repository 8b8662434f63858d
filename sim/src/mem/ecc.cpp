#include "ecc.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include <fmt/format.h>

#include "talus/hw/address_map.h"

namespace talus::sim {

std::uint64_t MemoryWord::address() const {
    switch (memory) {
    case TALUS_ECC_LOCAL:
        return TALUS_PE_WINDOW_BASE + pe * TALUS_PE_WINDOW_STRIDE + offset;
    case TALUS_ECC_CONTROL_SRAM:
        return TALUS_CONTROL_SRAM_BASE + offset;
    case TALUS_ECC_SHARED_SRAM:
        return (in_llc ? TALUS_DRAM_BASE : TALUS_LLS_BASE) + offset;
    default:
        return TALUS_DRAM_BASE + offset;
    }
}

std::string MemoryWord::name(const GridConfig& grid, std::uint64_t byte) const {
    switch (memory) {
    case TALUS_ECC_LOCAL:
        return fmt::format("local memory of PE {}.{} + {:#x}", pe / grid.cols, pe % grid.cols,
                           byte);
    case TALUS_ECC_CONTROL_SRAM:
        return fmt::format("control SRAM + {:#x}", byte);
    case TALUS_ECC_SHARED_SRAM:
        return fmt::format("{} + {:#x}", in_llc ? "LLC, line of DRAM" : "LLS", byte);
    default:
        return fmt::format("DRAM + {:#x}", byte);
    }
}

bool Ecc::covers(talus_ecc_memory memory) const {
    switch (memory) {
    case TALUS_ECC_LOCAL:
        return config_.local.ecc;
    case TALUS_ECC_CONTROL_SRAM:
        return config_.memory.control_sram_ecc;
    case TALUS_ECC_SHARED_SRAM:
        return config_.sram.ecc;
    default:
        return config_.dram.ecc;
    }
}

void Ecc::damage(const MemoryWord& word, std::uint8_t* host, std::uint64_t flips,
                 std::uint64_t ticket) {
    Words& words = word.in_llc ? cached_ : words_;
    Damage& damage = words[host];
    damage.word = word;
    damage.flips ^= flips;
    damage.hidden = word.memory == TALUS_ECC_DRAM && llc_.holds(word.offset);
    if (ticket != 0) {
        damage.tickets.push_back(ticket);
    }
    if (damage.flips == 0) { // the same bit twice
        words.erase(host);
    }
    update_watches();
    if (guarded_ != nullptr) {
        guarded_->guard_changed(word);
    }
}

void Ecc::update_watches() {
    bool watched = !cached_.empty();
    for (const auto& [host, damage] : words_) {
        watched = watched || damage.hidden;
    }
    llc_.set_listener(watched ? this : nullptr);
}

void Ecc::tell(const Damage& damage, EccFate fate) {
    if (counts_as_corrected(fate)) {
        ++counters_.corrected[damage.word.memory];
    } else if (fate == EccFate::kUncorrectable) {
        ++counters_.uncorrectable[damage.word.memory];
    }
    const EccEvent event{damage.word, fate, damage.tickets};
    for (EccListener* listener : listeners_) {
        listener->on_ecc(event);
    }
}

void Ecc::change(const std::uint8_t* host, std::uint64_t flips) {
    if (flips == 0) {
        return;
    }
    if (guarded_ != nullptr) {
        guarded_->before_change();
    }
    std::uint64_t value = 0;
    std::memcpy(&value, host, sizeof value);
    value ^= flips;
    std::memcpy(const_cast<std::uint8_t*>(host), &value, sizeof value); // damage() had it writable
}

Ecc::Words::iterator Ecc::end_damage(Words& words, Words::iterator at, EccFate fate) {
    const Damage damage = std::move(at->second);
    at = words.erase(at);
    update_watches();
    if (guarded_ != nullptr) {
        guarded_->guard_changed(damage.word);
    }
    tell(damage, fate);
    return at;
}

Ecc::Words::iterator Ecc::decode(Words& words, Words::iterator at, std::uint64_t& bad) {
    const hsiao::Decoded decoded = hsiao::decode(at->second.flips);
    if (decoded.verdict == hsiao::Verdict::kUncorrectable) {
        bad = bad == 0 ? at->second.word.address() : bad;
        tell(at->second, EccFate::kUncorrectable);
        return std::next(at);
    }
    change(at->first, decoded.wrong);
    return end_damage(words, at,
                      decoded.verdict == hsiao::Verdict::kClean ? EccFate::kMissed
                      : decoded.wrong != 0                      ? EccFate::kMiscorrected
                                                                : EccFate::kCorrected);
}

std::uint64_t Ecc::check(Words& words, const std::uint8_t* begin, const std::uint8_t* end) {
    std::uint64_t bad = 0;
    for (auto at = words.lower_bound(begin); at != words.end() && at->first < end;) {
        at = at->second.hidden ? std::next(at) : decode(words, at, bad);
    }
    return bad;
}

std::uint64_t Ecc::check(const std::uint8_t* begin, const std::uint8_t* end) {
    const std::uint64_t bad = check(words_, begin, end);
    const std::uint64_t bad_cached = check(cached_, begin, end);
    return bad != 0 ? bad : bad_cached;
}

std::uint64_t Ecc::check_read(const std::uint8_t* host, std::uint64_t len) {
    return len == 0 ? 0 : check(word_of(host), host + len);
}

std::uint64_t Ecc::check_write(const std::uint8_t* host, std::uint64_t len) {
    if (len == 0) {
        return 0;
    }
    overwritten(host, len);
    const std::uint8_t* const first = word_of(host);
    const std::uint8_t* const last = word_of(host + len - 1);
    std::uint64_t bad = 0;
    if (first != host || host + len < first + hsiao::kWordBytes) {
        bad = check(first, first + 1);
    }
    if (last != first && last + hsiao::kWordBytes != host + len) {
        const std::uint64_t bad_last = check(last, last + 1);
        bad = bad != 0 ? bad : bad_last;
    }
    return bad;
}

void Ecc::end_damage(const std::uint8_t* begin, const std::uint8_t* end, EccFate fate) {
    for (Words* words : {&words_, &cached_}) {
        for (auto at = words->lower_bound(begin); at != words->end() && at->first < end;) {
            at = end_damage(*words, at, fate);
        }
    }
}

void Ecc::overwritten(const std::uint8_t* host, std::uint64_t len) {
    const std::uint8_t* begin = word_of(host);
    begin += begin == host ? 0 : hsiao::kWordBytes;
    const std::uint8_t* const end = word_of(host + len);
    if (begin < end) {
        end_damage(begin, end, EccFate::kOverwritten);
    }
}

void Ecc::forget(const std::uint8_t* host, std::uint64_t len) {
    end_damage(word_of(host), host + len, EccFate::kDropped);
}

bool Ecc::damaged(const std::uint8_t* host, std::uint64_t len) const {
    const auto at = words_.lower_bound(word_of(host));
    return at != words_.end() && at->first < host + len;
}

void Ecc::undamaged(const std::uint8_t* at, const std::uint8_t*& begin,
                    const std::uint8_t*& end) const {
    const auto above = words_.upper_bound(at);
    if (above != words_.end() && above->first < end) {
        end = above->first;
    }
    if (above != words_.begin()) {
        const std::uint8_t* const behind = std::prev(above)->first + hsiao::kWordBytes;
        if (behind > begin && behind <= at) {
            begin = behind;
        }
    }
}

void Ecc::on_eviction(const LastLevelCache::Range& sector, bool dirty) {
    const auto in_sector = [&](const Damage& damage) {
        return damage.word.offset - sector.offset < sector.bytes;
    };
    for (auto at = words_.begin(); at != words_.end();) {
        if (!at->second.hidden || !in_sector(at->second)) {
            ++at;
        } else if (dirty) {
            at = end_damage(words_, at, EccFate::kOverwritten);
        } else {
            at->second.hidden = false;
            ++at;
        }
    }
    for (auto at = cached_.begin(); at != cached_.end();) {
        if (!in_sector(at->second)) {
            ++at;
        } else if (!dirty) {
            at = end_damage(cached_, at, EccFate::kDropped);
        } else {
            const auto [host, damage] = *at;
            std::uint64_t bad = 0;
            at = decode(cached_, at, bad);
            if (bad != 0) {
                // What is known to be wrong goes to DRAM as such, if that can tell.
                cached_.erase(host);
                if (covers(TALUS_ECC_DRAM)) {
                    words_[host] = damage;
                    words_[host].word.memory = TALUS_ECC_DRAM;
                    words_[host].word.in_llc = false;
                } else {
                    change(host, damage.flips);
                }
            }
        }
    }
    update_watches();
}

void Ecc::reset() {
    while (!words_.empty()) {
        end_damage(words_, words_.begin(), EccFate::kDropped);
    }
    while (!cached_.empty()) {
        end_damage(cached_, cached_.begin(), EccFate::kDropped);
    }
    counters_ = {};
}

void Ecc::checkpoint(Checkpoint& state,
                     const std::function<std::uint8_t*(const MemoryWord&)>& locate) {
    state(counters_);
    for (Words* words : {&words_, &cached_}) {
        std::vector<Damage> list;
        for (const auto& [host, damage] : *words) {
            list.push_back(damage);
            list.back().tickets.clear(); // their causes are not saved
        }
        // Not in the order in which the host has placed the memories.
        std::sort(list.begin(), list.end(), [](const Damage& a, const Damage& b) {
            return a.word.address() < b.word.address();
        });
        state(list);
        if (!state.restoring()) {
            continue;
        }
        words->clear();
        for (const Damage& damage : list) {
            words->emplace(locate(damage.word), damage);
        }
    }
    if (state.restoring()) {
        update_watches();
        for (const auto& [host, damage] : words_) {
            if (guarded_ != nullptr) {
                guarded_->guard_changed(damage.word);
            }
        }
    }
}

} // namespace talus::sim
