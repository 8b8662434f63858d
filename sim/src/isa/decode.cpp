#include "decode.hpp"

#include <array>
#include <vector>

#include "core.hpp"

namespace talus::sim {

namespace {

void exec_illegal(Core& c, const Decoded& d) {
    c.illegal(d);
}

constexpr std::uint16_t kNoName = 0xffff;

/// All rows, bucketed by the major opcode, so that a lookup compares a few dozen rows at most.
class Table {
  public:
    Table() {
        for (auto part : {integer_insns(), bitmanip_insns(), memory_insns(), atomic_insns(),
                          system_insns(), fp_insns(), fp_convert_insns(), vector_config_insns(),
                          vector_memory_insns(), vector_integer_insns(), vector_multiply_insns(),
                          vector_fixed_insns(), vector_widen_insns(), vector_mask_insns(),
                          vector_permute_insns(), vector_reduce_insns(), vector_fp_insns(),
                          vector_fp_widen_insns(), vector_fp_convert_insns()}) {
            for (const InsnSpec& spec : part) {
                buckets_[spec.pattern.match >> 2 & 31].push_back(
                    static_cast<std::uint16_t>(specs_.size()));
                specs_.push_back(&spec);
            }
        }
    }

    std::uint16_t find(std::uint32_t bits) const {
        for (std::uint16_t index : buckets_[bits >> 2 & 31]) {
            const Pattern& p = specs_[index]->pattern;
            if ((bits & p.mask) == p.match)
                return index;
        }
        return kNoName;
    }
    std::span<const InsnSpec* const> rows() const { return specs_; }
    const InsnSpec& operator[](std::uint16_t index) const { return *specs_[index]; }

  private:
    std::vector<const InsnSpec*> specs_;
    std::array<std::vector<std::uint16_t>, 32> buckets_;
};

const Table& table() {
    static const Table instance;
    return instance;
}

constexpr std::int32_t sext(std::uint32_t value, unsigned bits) {
    return static_cast<std::int32_t>(value << (32 - bits)) >> (32 - bits);
}

std::int32_t imm_i(std::uint32_t b) {
    return static_cast<std::int32_t>(b) >> 20;
}
std::int32_t imm_s(std::uint32_t b) {
    return sext((b >> 25) << 5 | (b >> 7 & 31), 12);
}
std::int32_t imm_b(std::uint32_t b) {
    return sext((b >> 31) << 12 | (b >> 7 & 1) << 11 | (b >> 25 & 63) << 5 | (b >> 8 & 15) << 1,
                13);
}
std::int32_t imm_j(std::uint32_t b) {
    return sext(
        (b >> 31) << 20 | (b >> 12 & 255) << 12 | (b >> 20 & 1) << 11 | (b >> 21 & 1023) << 1, 21);
}

enum class Imm : std::uint8_t { kNone, kI, kS, kB, kU, kJ, kSh6, kSh5, kCsr, kRs1, kVSet };

/// Which fields of a format name registers: x, f, or neither (vector, none, immediate).
struct Layout {
    char rd = '-';
    char rs1 = '-';
    char rs2 = '-';
    char rs3 = '-';
    Imm imm = Imm::kNone;
};

constexpr Layout layout_of(Format format) {
    switch (format) {
    case Format::kNone:
        return {};
    case Format::kR:
        return {'x', 'x', 'x', '-', Imm::kNone};
    case Format::kRs1:
        return {'x', 'x', '-', '-', Imm::kNone};
    case Format::kI:
        return {'x', 'x', '-', '-', Imm::kI};
    case Format::kShift:
        return {'x', 'x', '-', '-', Imm::kSh6};
    case Format::kShiftW:
        return {'x', 'x', '-', '-', Imm::kSh5};
    case Format::kS:
        return {'-', 'x', 'x', '-', Imm::kS};
    case Format::kB:
        return {'-', 'x', 'x', '-', Imm::kB};
    case Format::kU:
        return {'x', '-', '-', '-', Imm::kU};
    case Format::kJ:
        return {'x', '-', '-', '-', Imm::kJ};
    case Format::kCsr:
        return {'x', 'x', '-', '-', Imm::kCsr};
    case Format::kCsrI:
        return {'x', '-', '-', '-', Imm::kCsr};
    case Format::kFLoad:
        return {'f', 'x', '-', '-', Imm::kI};
    case Format::kFStore:
        return {'-', 'x', 'f', '-', Imm::kS};
    case Format::kFR:
        return {'f', 'f', 'f', '-', Imm::kNone};
    case Format::kFR4:
        return {'f', 'f', 'f', 'f', Imm::kNone};
    case Format::kF1:
        return {'f', 'f', '-', '-', Imm::kNone};
    case Format::kFCmp:
        return {'x', 'f', 'f', '-', Imm::kNone};
    case Format::kFToX:
        return {'x', 'f', '-', '-', Imm::kNone};
    case Format::kXToF:
        return {'f', 'x', '-', '-', Imm::kNone};
    case Format::kV:
        return {};
    case Format::kVX:
        return {'-', 'x', '-', '-', Imm::kNone};
    case Format::kVI:
        return {'-', '-', '-', '-', Imm::kRs1};
    case Format::kVF:
        return {'-', 'f', '-', '-', Imm::kNone};
    case Format::kVToX:
        return {'x', '-', '-', '-', Imm::kNone};
    case Format::kVToF:
        return {'f', '-', '-', '-', Imm::kNone};
    case Format::kVSet:
        return {'x', 'x', '-', '-', Imm::kVSet};
    case Format::kVSetI:
        return {'x', '-', '-', '-', Imm::kVSet};
    case Format::kVMem:
        return {'-', 'x', '-', '-', Imm::kNone};
    case Format::kVMemS:
        return {'-', 'x', 'x', '-', Imm::kNone};
    }
    return {};
}

std::int32_t immediate(Imm kind, std::uint32_t b) {
    switch (kind) {
    case Imm::kNone:
        return 0;
    case Imm::kI:
        return imm_i(b);
    case Imm::kS:
        return imm_s(b);
    case Imm::kB:
        return imm_b(b);
    case Imm::kU:
        return static_cast<std::int32_t>(b & 0xfffff000u);
    case Imm::kJ:
        return imm_j(b);
    case Imm::kSh6:
        return static_cast<std::int32_t>(b >> 20 & 63);
    case Imm::kSh5:
        return static_cast<std::int32_t>(b >> 20 & 31);
    case Imm::kCsr:
        return static_cast<std::int32_t>(b >> 20);
    case Imm::kRs1:
        return sext(b >> 15 & 31, 5);
    case Imm::kVSet:
        return static_cast<std::int32_t>(b >> 31 ? b >> 20 & 0x3ff : b >> 20 & 0x7ff);
    }
    return 0;
}

} // namespace

Decoded decode(std::uint32_t bits) {
    Decoded d{};
    d.fn = exec_illegal;
    d.name = kNoName;
    d.len = 4;
    if ((bits & 3) != 3) {
        d.len = 2;
        d.compressed = static_cast<std::uint16_t>(bits);
        bits = expand_compressed(d.compressed);
        if (bits == 0)
            return d;
    }
    d.raw = bits;
    const std::uint16_t index = table().find(bits);
    if (index == kNoName)
        return d;
    const InsnSpec& spec = table()[index];
    const Layout layout = layout_of(spec.format);
    d.name = index;
    d.fn = spec.fn;
    d.imm = immediate(layout.imm, bits);
    d.rd = static_cast<std::uint8_t>(bits >> 7 & 31);
    d.rs1 = static_cast<std::uint8_t>(bits >> 15 & 31);
    d.rs2 = static_cast<std::uint8_t>(bits >> 20 & 31);
    d.rs3 = static_cast<std::uint8_t>(bits >> 27);
    if (layout.rd == 'x' && d.rd == 0)
        d.rd = kSink;
    const auto hazard = [](char file, std::uint8_t reg) {
        return static_cast<std::uint8_t>(file == 'x' ? reg : file == 'f' ? kHazardF + reg : 0);
    };
    d.hazards[0] = hazard(layout.rs1, d.rs1);
    d.hazards[1] = hazard(layout.rs2, d.rs2);
    d.hazards[2] = hazard(layout.rs3, d.rs3);
    return d;
}

std::span<const InsnSpec* const> instruction_rows() {
    return table().rows();
}

char destination_file(const Decoded& d) {
    const char file = d.name == kNoName ? '-' : layout_of(table()[d.name].format).rd;
    return file == 'x' || file == 'f' ? file : '-';
}

const char* instruction_name(const Decoded& d) {
    return d.name == kNoName ? "illegal" : table()[d.name].name;
}

} // namespace talus::sim
