#include "fault_injector.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "talus/hw/address_map.h"
#include "talus/hw/instructions.h"
#include "talus/hw/pci.h"

#include "packet.hpp"
#include "soc/cores.hpp"

namespace talus::sim::debug {

namespace {

constexpr std::uint64_t kMaxFlips = 1u << 20;
constexpr std::size_t kMaxEffects = 1000; ///< recorded per fault

constexpr struct {
    const char* name;
    unsigned unit;
} kUnits[] = {{"fi-in", TALUS_UNIT_FI_IN}, {"fi-out", TALUS_UNIT_FI_OUT}, {"mlu", TALUS_UNIT_MLU},
              {"dpe", TALUS_UNIT_DPE},     {"re", TALUS_UNIT_RE},         {"se", TALUS_UNIT_SE}};
constexpr struct {
    const char* name;
    InjectedFault::Memory memory;
} kMemories[] = {{"local", InjectedFault::Memory::kLocal},
                 {"control", InjectedFault::Memory::kControl},
                 {"lls", InjectedFault::Memory::kLls},
                 {"llc", InjectedFault::Memory::kLlc},
                 {"dram", InjectedFault::Memory::kDram}};
constexpr struct {
    const char* name;
    InjectedFault::Kind kind;
} kKinds[] = {
    {"flip", InjectedFault::Kind::kFlip},          {"dma-drop", InjectedFault::Kind::kDmaDrop},
    {"stuck", InjectedFault::Kind::kStuck},        {"link", InjectedFault::Kind::kLink},
    {"msix-drop", InjectedFault::Kind::kMsixDrop}, {"droop", InjectedFault::Kind::kDroop}};

[[noreturn]] void refuse(std::string_view text, const std::string& why) {
    throw std::invalid_argument(fmt::format("inject {}: {}", text, why));
}

std::uint64_t number(std::string_view whole, std::string_view text) {
    try {
        std::size_t used = 0;
        const std::string copy(text);
        const std::uint64_t value = std::stoull(copy, &used, 0);
        if (used == copy.size() && copy[0] != '-') {
            return value;
        }
    } catch (const std::exception&) {
    }
    refuse(whole, fmt::format("\"{}\" is not a number", text));
}

std::uint64_t size_of(const InjectedFault& fault, const Config& config) {
    switch (fault.memory) {
    case InjectedFault::Memory::kLocal:
        return TALUS_LOCAL_SIZE;
    case InjectedFault::Memory::kControl:
        return TALUS_CONTROL_SRAM_SIZE;
    case InjectedFault::Memory::kLls:
        return config.sram.scratch_bytes;
    case InjectedFault::Memory::kLlc: // as what is behind it
    case InjectedFault::Memory::kDram:
        return config.dram.bytes;
    }
    return 0;
}

MemoryWord word_of(const InjectedFault& fault, std::uint64_t offset) {
    MemoryWord word;
    word.pe = fault.pe;
    word.offset = offset;
    switch (fault.memory) {
    case InjectedFault::Memory::kLocal:
        word.memory = TALUS_ECC_LOCAL;
        break;
    case InjectedFault::Memory::kControl:
        word.memory = TALUS_ECC_CONTROL_SRAM;
        break;
    case InjectedFault::Memory::kLlc:
        word.in_llc = true;
        [[fallthrough]];
    case InjectedFault::Memory::kLls:
        word.memory = TALUS_ECC_SHARED_SRAM;
        break;
    case InjectedFault::Memory::kDram:
        word.memory = TALUS_ECC_DRAM;
        break;
    }
    return word;
}

const char* fate_text(EccFate fate) {
    switch (fate) {
    case EccFate::kCorrected:
        return "corrected by ECC when it was read";
    case EccFate::kMiscorrected:
        return "ECC has corrected a wrong bit: too many for it";
    case EccFate::kMissed:
        return "read, and not noticed by ECC: too many bits for it";
    case EccFate::kUncorrectable:
        return "uncorrectable: who read it was told";
    case EccFate::kOverwritten:
        return "overwritten before it was read";
    case EccFate::kDropped:
        return "gone before it was read: the memory was cleared or the cache line replaced";
    }
    return "";
}

} // namespace

InjectedFault parse_fault(std::string_view text, const Config& config) {
    InjectedFault fault;
    fault.text = text;
    std::string_view rest = text;
    const std::string_view kind = take_field(rest, ":");
    const auto* found = std::find_if(std::begin(kKinds), std::end(kKinds),
                                     [&](const auto& entry) { return kind == entry.name; });
    if (found == std::end(kKinds)) {
        refuse(text, fmt::format("\"{}\" is none of flip, dma-drop, stuck, link, msix-drop, droop",
                                 kind));
    }
    fault.kind = found->kind;
    bool has_pe = false;
    bool has_unit = false;
    bool has_memory = false;
    while (!rest.empty()) {
        std::string_view value = take_field(rest, ":");
        const std::string_view key = take_field(value, "=");
        const auto is_flip = fault.kind == InjectedFault::Kind::kFlip;
        if (key == "at") {
            fault.at = number(text, value);
        } else if (key == "pe" && fault.kind != InjectedFault::Kind::kLink &&
                   fault.kind != InjectedFault::Kind::kMsixDrop &&
                   fault.kind != InjectedFault::Kind::kDroop) {
            std::string_view column = value;
            const std::uint64_t row = number(text, take_field(column, "."));
            const std::uint64_t col = number(text, column);
            if (row >= config.grid.rows || col >= config.grid.cols) {
                refuse(text, fmt::format("there is no PE {}", value));
            }
            fault.pe = static_cast<std::uint32_t>(row * config.grid.cols + col);
            has_pe = true;
        } else if (key == "memory" && is_flip) {
            for (const auto& entry : kMemories) {
                if (value == entry.name) {
                    fault.memory = entry.memory;
                    has_memory = true;
                }
            }
        } else if (key == "addr" && is_flip) {
            fault.addr = number(text, value);
            fault.has_addr = true;
        } else if (key == "range" && is_flip) {
            fault.range = number(text, value);
        } else if (key == "bit" && is_flip) {
            fault.bit = static_cast<unsigned>(std::min<std::uint64_t>(number(text, value), 99));
            if (fault.bit > 7) {
                refuse(text, "a byte has bits 0 to 7");
            }
        } else if (key == "bits" && is_flip) {
            fault.bits = static_cast<unsigned>(std::min<std::uint64_t>(number(text, value), 99));
            if (fault.bits < 1 || fault.bits > hsiao::kDataBits) {
                refuse(text, "a word has 1 to 64 bits");
            }
        } else if (key == "job" && is_flip) {
            fault.job = number(text, value);
            if (fault.job == 0) {
                refuse(text, "0 makes no sense here");
            }
        } else if (key == "seed" && is_flip) {
            fault.seed = number(text, value);
        } else if (key == "count" && (is_flip || fault.kind == InjectedFault::Kind::kDmaDrop ||
                                      fault.kind == InjectedFault::Kind::kMsixDrop)) {
            fault.count = number(text, value);
        } else if (key == "vector" && fault.kind == InjectedFault::Kind::kMsixDrop) {
            fault.any_vector = false;
            fault.vector = number(text, value);
            if (fault.vector >= TALUS_MSIX_VECTORS) {
                refuse(text,
                       fmt::format("there are MSI-X vectors 0 to {}", TALUS_MSIX_VECTORS - 1));
            }
        } else if (key == "dir" && fault.kind == InjectedFault::Kind::kDmaDrop &&
                   (value == "in" || value == "out")) {
            fault.any_direction = false;
            fault.out = value == "out";
        } else if (key == "unit" && fault.kind == InjectedFault::Kind::kStuck) {
            for (const auto& entry : kUnits) {
                if (value == entry.name) {
                    fault.unit = entry.unit;
                    has_unit = true;
                }
            }
        } else if (key == "for" && !is_flip && fault.kind != InjectedFault::Kind::kDmaDrop &&
                   fault.kind != InjectedFault::Kind::kMsixDrop) {
            fault.duration = number(text, value);
        } else if (key == "every" && fault.kind == InjectedFault::Kind::kLink) {
            fault.every = number(text, value);
        } else if (key == "percent" && fault.kind == InjectedFault::Kind::kDroop) {
            fault.percent =
                static_cast<unsigned>(std::min<std::uint64_t>(number(text, value), 100));
            if (fault.percent == 0 || fault.percent > 99) {
                refuse(text, "percent is 1 to 99 of the clock");
            }
        } else {
            refuse(text, fmt::format("\"{}={}\" does not belong to {}", key, value, kind));
        }
    }
    const bool local =
        fault.kind == InjectedFault::Kind::kFlip && fault.memory == InjectedFault::Memory::kLocal;
    if (fault.kind == InjectedFault::Kind::kFlip && !has_memory) {
        refuse(text, "memory= is one of local, control, lls, llc, dram");
    }
    if ((local || fault.kind == InjectedFault::Kind::kDmaDrop ||
         fault.kind == InjectedFault::Kind::kStuck) &&
        !has_pe) {
        refuse(text, "pe=ROW.COL is missing");
    }
    if (fault.kind == InjectedFault::Kind::kStuck && !has_unit) {
        refuse(text, "unit= is one of fi-in, fi-out, mlu, dpe, re, se");
    }
    if (fault.kind == InjectedFault::Kind::kFlip) {
        const std::uint64_t size = size_of(fault, config);
        fault.range = fault.range == 0 ? size : fault.range;
        if (fault.range > size || fault.addr >= size) {
            refuse(text, fmt::format("the memory has {:#x} bytes", size));
        }
        if (fault.count > kMaxFlips) {
            refuse(text, fmt::format("at most {} flips", kMaxFlips));
        }
    }
    if (fault.every == 0 || fault.count == 0) {
        refuse(text, "0 makes no sense here");
    }
    return fault;
}

void FaultInjector::add(InjectedFault fault) {
    if (fault.kind == InjectedFault::Kind::kFlip) {
        next_ = std::min(next_, fault.at);
    }
    faults_.push_back(std::move(fault));
}

FaultInjector::FaultInjector(const DeviceParts& parts) : parts_(parts) {
    parts_.fabric.ecc().add_listener(*this);
}

FaultInjector::~FaultInjector() {
    parts_.fabric.ecc().remove_listener(*this);
}

void FaultInjector::record(InjectedFault& fault, Cycle now, std::string text) {
    ++fault.done;
    if (fault.effects.size() < kMaxEffects) {
        parts_.diagnostics.info("injected fault ({}): {}", fault.text, text);
        fault.effects.push_back({now, std::move(text)});
    }
}

void FaultInjector::fire(Cycle now) {
    next_ = kNever;
    for (InjectedFault& fault : faults_) {
        if (fault.kind != InjectedFault::Kind::kFlip || fault.done != 0) {
            continue;
        }
        if (fault.job != 0) {
            continue; // until that begins
        }
        if (fault.at <= now) {
            flip(fault, now);
        } else {
            next_ = std::min(next_, fault.at);
        }
    }
}

void FaultInjector::job_begins(Cycle now) {
    for (InjectedFault& fault : faults_) {
        if (fault.job != 0 && --fault.job == 0) {
            fault.at += now;
        }
    }
    next_ = now; // look again
}

void FaultInjector::flip(InjectedFault& fault, Cycle now) {
    parts_.cores.prepare_for_writes();
    std::mt19937_64 random(fault.seed);
    for (std::uint64_t i = 0; i < fault.count; ++i) {
        // The same draws whether they are used or not.
        const std::uint64_t place = random();
        const unsigned drawn = static_cast<unsigned>(random() % 8);
        std::uint64_t addr = fault.has_addr ? fault.addr : place % fault.range;
        if (fault.memory == InjectedFault::Memory::kLlc && !fault.has_addr) {
            const auto sector = parts_.fabric.llc().any_sector(place);
            if (!sector) {
                record(fault, now, "the LLC is empty: nothing happens");
                continue;
            }
            addr = *sector + place % LastLevelCache::kSector;
        }
        const unsigned bit = fault.bit < 8 ? fault.bit : drawn;
        std::uint64_t bits = std::uint64_t{1} << (addr % hsiao::kWordBytes * 8 + bit);
        while (static_cast<unsigned>(std::popcount(bits)) < fault.bits) {
            bits |= std::uint64_t{1} << random() % hsiao::kDataBits;
        }
        flip_word(fault, now, addr, bits);
    }
}

void FaultInjector::flip_word(InjectedFault& fault, Cycle now, std::uint64_t addr,
                              std::uint64_t bits) {
    const MemoryWord word = word_of(fault, addr - addr % hsiao::kWordBytes);
    std::uint64_t before = 0;
    std::memcpy(&before, parts_.fabric.bytes_of(word), sizeof before);
    const std::size_t effect = fault.effects.size();
    const auto number = static_cast<std::uint64_t>(&fault - faults_.data());
    const bool kept = effect < kMaxEffects;
    const std::uint64_t ticket = kept ? (number << 32 | effect) + 1 : 0;
    if (!parts_.fabric.flip(word, bits, ticket)) {
        record(fault, now,
               fmt::format("the LLC does not hold DRAM + {:#x}: nothing happens", addr));
        return;
    }
    const unsigned shift = static_cast<unsigned>(addr % hsiao::kWordBytes) * 8;
    std::string what =
        fault.bits == 1
            ? fmt::format("{}, bit {}: {:#04x} becomes {:#04x}",
                          word.name(parts_.config.grid, addr), std::countr_zero(bits) % 8,
                          before >> shift & 0xff, (before ^ bits) >> shift & 0xff)
            : fmt::format("{}: {:#018x} becomes {:#018x}", word.name(parts_.config.grid), before,
                          before ^ bits);
    record(fault, now, std::move(what));
    if (kept) {
        fault.effects[effect].fate =
            parts_.fabric.ecc().covers(word.memory) ? "not read yet" : "no ECC: silent";
    }
}

void FaultInjector::on_ecc(const EccEvent& event) {
    for (const std::uint64_t ticket : event.tickets) {
        InjectedFault& fault = faults_.at((ticket - 1) >> 32);
        InjectedFault::Effect& effect = fault.effects.at((ticket - 1) & 0xffffffffu);
        effect.fate = fmt::format("{} (clock {})", fate_text(event.fate), parts_.events.now());
    }
}

bool FaultInjector::drops_dma(std::uint32_t pe, bool out, Cycle now, std::uint64_t bytes) {
    for (InjectedFault& fault : faults_) {
        if (fault.kind == InjectedFault::Kind::kDmaDrop && fault.pe == pe &&
            (fault.any_direction || fault.out == out) && active(fault, now) &&
            fault.done < fault.count) {
            record(fault, now,
                   fmt::format("a DMA {} of {} bytes is lost", out ? "out" : "in", bytes));
            return true;
        }
    }
    return false;
}

Cycle FaultInjector::stuck_until(std::uint32_t pe, unsigned unit, Cycle now) {
    for (InjectedFault& fault : faults_) {
        if (fault.kind == InjectedFault::Kind::kStuck && fault.pe == pe && fault.unit == unit &&
            (fault.done == 0 ? now >= fault.at : active(fault, now))) {
            if (fault.done == 0) {
                record(fault, now, "the unit does not begin a command that it has");
                fault.at = now; // its time counts from here
            }
            return fault.duration == kNever ? kNever : fault.at + fault.duration;
        }
    }
    return now;
}

std::uint64_t FaultInjector::replays(Cycle now, std::uint64_t packets) {
    std::uint64_t damaged = 0;
    for (InjectedFault& fault : faults_) {
        if (fault.kind != InjectedFault::Kind::kLink || !active(fault, now)) {
            continue;
        }
        const std::uint64_t before = packets_;
        packets_ += packets;
        const std::uint64_t hit = packets_ / fault.every - before / fault.every;
        if (hit != 0) {
            record(fault, now, fmt::format("{} PCIe packets are damaged and sent again", hit));
            damaged += hit;
        }
    }
    return damaged;
}

bool FaultInjector::loses_msix(unsigned vector, Cycle now) {
    for (InjectedFault& fault : faults_) {
        if (fault.kind == InjectedFault::Kind::kMsixDrop &&
            (fault.any_vector || fault.vector == vector) && active(fault, now) &&
            fault.done < fault.count) {
            record(fault, now, fmt::format("MSI-X {} is lost", vector));
            return true;
        }
    }
    return false;
}

unsigned FaultInjector::droop_percent(Cycle now) {
    unsigned worst = 0;
    for (InjectedFault& fault : faults_) {
        if (fault.kind == InjectedFault::Kind::kDroop && active(fault, now)) {
            if (fault.done == 0) {
                record(fault, now,
                       fmt::format("the PEs' units lose {} % of their clock", fault.percent));
            }
            worst = std::max(worst, fault.percent);
        }
    }
    return worst;
}

void FaultInjector::notice(Cycle now, std::string_view what) {
    for (InjectedFault& fault : faults_) {
        if (fault.done != 0 && fault.noticed.size() < kMaxEffects) {
            fault.noticed.push_back({now, std::string(what)});
        }
    }
}

std::string FaultInjector::json() const {
    const auto list = [](const std::vector<InjectedFault::Effect>& effects) {
        nlohmann::json array = nlohmann::json::array();
        for (const InjectedFault::Effect& effect : effects) {
            array.push_back({{"clock", effect.clock}, {"what", effect.text}});
            if (!effect.fate.empty()) {
                array.back()["fate"] = effect.fate;
            }
        }
        return array;
    };
    nlohmann::json faults = nlohmann::json::array();
    for (const InjectedFault& fault : faults_) {
        faults.push_back({{"spec", fault.text},
                          {"times", fault.done},
                          {"injected", list(fault.effects)},
                          {"noticed", list(fault.noticed)}});
    }
    return nlohmann::json{{"faults", std::move(faults)}}.dump(2) + "\n";
}

std::string FaultInjector::summary() const {
    std::string text;
    for (const InjectedFault& fault : faults_) {
        text += fault.text;
        if (fault.done == 0) {
            text += ": not injected (yet)\n";
            continue;
        }
        text += fmt::format(": injected {} times, first at clock {} ({}); ", fault.done,
                            fault.effects.front().clock, fault.effects.front().text);
        if (!fault.effects.front().fate.empty()) {
            text += fmt::format("that was: {}; ", fault.effects.front().fate);
        }
        text += fault.noticed.empty()
                    ? std::string("noticed by nobody\n")
                    : fmt::format("noticed {} times, first at clock {}: {}\n", fault.noticed.size(),
                                  fault.noticed.front().clock, fault.noticed.front().text);
    }
    return text.empty() ? "no fault was injected\n" : text;
}

} // namespace talus::sim::debug
