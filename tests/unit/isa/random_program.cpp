#include "random_program.hpp"

#include <cstring>
#include <stdexcept>
#include <string_view>

namespace talus::sim {

namespace {

constexpr std::uint32_t i_type(std::uint32_t imm, unsigned rs1, unsigned f3, unsigned rd,
                               unsigned op) {
    return (imm & 0xfff) << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op;
}
constexpr std::uint32_t s_type(std::uint32_t imm, unsigned rs2, unsigned rs1, unsigned f3,
                               unsigned op) {
    return (imm >> 5 & 127) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | (imm & 31) << 7 | op;
}
constexpr std::uint32_t addi(unsigned rd, unsigned rs1, std::uint32_t imm) {
    return i_type(imm, rs1, 0, rd, 0x13);
}
constexpr std::uint32_t ld(unsigned rd, unsigned rs1, std::uint32_t imm) {
    return i_type(imm, rs1, 3, rd, 0x03);
}
constexpr std::uint32_t fld(unsigned rd, unsigned rs1, std::uint32_t imm) {
    return i_type(imm, rs1, 3, rd, 0x07);
}
constexpr std::uint32_t sd(unsigned rs2, unsigned rs1, std::uint32_t imm) {
    return s_type(imm, rs2, rs1, 3, 0x23);
}
constexpr std::uint32_t fsd(unsigned rs2, unsigned rs1, std::uint32_t imm) {
    return s_type(imm, rs2, rs1, 3, 0x27);
}
constexpr std::uint32_t csrr(unsigned rd, unsigned csr) {
    return i_type(csr, 0, 2, rd, 0x73);
}
constexpr std::uint32_t csrwi(unsigned csr, unsigned value) {
    return i_type(csr, value, 5, 0, 0x73);
}
/// vl8re8.v and vs8r.v.
constexpr std::uint32_t vl8r(unsigned vd, unsigned rs1) {
    return 0xe2800007u | rs1 << 15 | vd << 7;
}
constexpr std::uint32_t vs8r(unsigned vs3, unsigned rs1) {
    return 0xe2800027u | rs1 << 15 | vs3 << 7;
}
constexpr std::uint32_t kEcall = 0x00000073;

constexpr unsigned kF = 256, kControl = 512, kV = 1024; ///< offsets in a block of registers

bool starts_with(const char* name, std::string_view prefix) {
    return std::string_view(name).substr(0, prefix.size()) == prefix;
}
bool any_of(const char* name, std::initializer_list<std::string_view> names) {
    for (std::string_view n : names) {
        if (n == name)
            return true;
    }
    return false;
}
void field(std::uint32_t& bits, unsigned low, unsigned width, std::uint32_t value) {
    const std::uint32_t mask = ((1u << width) - 1) << low;
    bits = (bits & ~mask) | (value << low & mask);
}

} // namespace

RandomProgram::RandomProgram(const ProgramOptions& options)
    : options_(options), engine_(options.seed), image_(kSize), listings_(options.blocks) {
    fill_data();
    for (unsigned block = 0; block < options.blocks; ++block)
        fill_registers(block);
    memory_ = image_;

    HartConfig config;
    config.vector = options.vector;
    config.reset_pc = kBase;
    config.regions = {{kBase, kSize, memory_.data()}};
    config.code = &code_;
    hart_ = std::make_unique<Hart>(config, port_);
    hart_->write_csr(0x300, 0x6600);             // FS and VS on
    hart_->write_csr(0x305, kBase + kSize - 64); // traps have somewhere to go

    for (const InsnSpec* spec : instruction_rows()) {
        if (usable(*spec))
            rows_.push_back(spec);
    }
    for (unsigned block = 0; block < options.blocks; ++block) {
        block_starts_.push_back(at_);
        prologue(block);
        const std::uint64_t first = at_;
        while (at_ < first + 4 * options.instructions) {
            if (one_in(40))
                emit_reserved_pair();
            else
                try_instruction(*rows_[below(rows_.size())]);
        }
        for (std::uint64_t addr = first; addr < at_; addr += 4) {
            std::uint32_t bits;
            std::memcpy(&bits, memory_.data() + (addr - kBase), 4);
            listings_[block].push_back({addr, bits});
        }
        epilogue(block);
    }
    finish_at_ = at_;
    finish();
    if (at_ > kInit)
        throw std::logic_error("the code runs into the data");
    std::memcpy(image_.data(), memory_.data(), at_ - kBase);
}

std::uint64_t RandomProgram::interesting() {
    static constexpr std::uint64_t kValues[] = {
        0, 1, ~0ull, 0x7fffffff, 0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000,
        2, 7, 0x3f,  0x40,       0xff,       0x100};
    static constexpr std::uint64_t kDoubles[] = {
        0x3ff0000000000000, 0xbff0000000000000, 0x7ff0000000000000, 0xfff0000000000000,
        0x7ff8000000000000, 0x7ff0000000000001, 0xfff8000000000123, 0x0000000000000001,
        0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff, 0x8000000000000000,
        0x41dfffffffc00000, 0x43e0000000000000, 0xc3e0000000000000, 0x3fe0000000000000,
        0x4004000000000000, 0x3ff0000000000001, 0x3ca0000000000000, 0x36a0000000000000};
    static constexpr std::uint64_t kSingles[] = {0x3f800000, 0xbf800000, 0x7f800000, 0xff800000,
                                                 0x7fc00000, 0x7f800001, 0x00000001, 0x007fffff,
                                                 0x00800000, 0x7f7fffff, 0x80000000, 0x4f000000,
                                                 0xcf000000, 0x3f000000, 0x40200000, 0x33800000};
    static constexpr std::uint64_t kHalves[] = {0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00, 0x7c01,
                                                0x0001, 0x03ff, 0x0400, 0x7bff, 0x8000, 0x3800,
                                                0x4100, 0x6400, 0x1400, 0xd800};
    constexpr std::uint64_t kBoxS = 0xffffffff00000000, kBoxH = 0xffffffffffff0000;
    switch (below(10)) {
    case 0:
        return kValues[below(std::size(kValues))];
    case 1:
        return kDoubles[below(std::size(kDoubles))];
    case 2:
        return kSingles[below(std::size(kSingles))] | kBoxS;
    case 3:
        return kHalves[below(std::size(kHalves))] | kBoxH;
    case 4: // a double of moderate size
        return (random() & 0x800fffffffffffff) | (0x3f0 + below(32)) << 52;
    case 5:
        return (random() & 0x807fffff) | (112 + below(32)) << 23 | kBoxS;
    case 6:
        return (random() & 0x83ff) | (10 + below(12)) << 10 | kBoxH;
    case 7:
        return random() >> below(64);
    case 8:
        return static_cast<std::uint64_t>(-static_cast<std::int64_t>(below(300)));
    default:
        return random();
    }
}

void RandomProgram::fill_data() {
    for (std::uint64_t offset = 0; offset < kDataSize; offset += 8) {
        const std::uint64_t value = interesting();
        std::memcpy(image_.data() + (kData - kBase) + offset, &value, 8);
    }
    // 8 registers of indices for each of the widths 8, 16, 32, 64.
    std::uint8_t* out = image_.data() + (kIndices - kBase);
    for (unsigned log2 = 0; log2 < 4; ++log2) {
        for (unsigned i = 0; i < 512; i += 1u << log2, out += 1u << log2) {
            const std::uint64_t value = below(log2 == 0 ? 256 : 4000);
            std::memcpy(out, &value, 1u << log2);
        }
    }
}

void RandomProgram::fill_registers(unsigned block) {
    std::uint8_t* out = image_.data() + (kInit - kBase) + std::uint64_t{block} * kRegisterBytes;
    for (unsigned i = 0; i < 64; ++i) {
        std::uint64_t value = interesting();
        if (i < 32 && i >= 24 && i < 28)
            value = below(70); // vector lengths, shift amounts
        std::memcpy(out + 8 * i, &value, 8);
    }
    const unsigned style = static_cast<unsigned>(below(4));
    for (unsigned i = 0; i < 2048; i += 8) {
        std::uint64_t value = interesting();
        if (style == 1) { // singles
            value = (interesting() << 32) | (interesting() & 0xffffffff);
        } else if (style == 2) { // halves and short integers
            value = 0;
            for (unsigned j = 0; j < 4; ++j)
                value = value << 16 | (interesting() & 0xffff);
        }
        std::memcpy(out + kV + i, &value, 8);
    }
}

void RandomProgram::emit(std::uint32_t bits) {
    std::memcpy(memory_.data() + (at_ - kBase), &bits, 4);
    at_ += 4;
}

void RandomProgram::run_pending() {
    code_.invalidate();
    hart_->set_pc(executed_);
    const std::size_t traps = port_.traps.size();
    while (hart_->pc() != at_) {
        hart_->step();
        if (port_.traps.size() != traps)
            throw std::logic_error("generated frame code traps: cause " +
                                   std::to_string(port_.traps.back().cause) + ", pc offset " +
                                   std::to_string(port_.traps.back().pc - executed_) + ", tval " +
                                   std::to_string(port_.traps.back().tval));
    }
    executed_ = at_;
}

void RandomProgram::load_address(unsigned reg, std::uint64_t addr) {
    const auto low = static_cast<std::uint32_t>(addr);
    emit(((low + 0x800) & 0xfffff000u) | reg << 7 | 0x37);
    emit(i_type(low & 0xfff, reg, 0, reg, 0x1b)); // addiw
}

void RandomProgram::prologue(unsigned block) {
    load_address(31, kInit + std::uint64_t{block} * kRegisterBytes);
    emit(csrwi(0x003, 0));
    for (unsigned i = 0; i < 32; ++i)
        emit(fld(i, 31, kF + 8 * i));
    if (options_.vector) {
        emit(csrwi(0x008, 0));
        emit(csrwi(0x00f, 0));
        for (unsigned i = 0; i < 32; i += 8) {
            emit(addi(30, 31, kV));
            emit(addi(30, 30, 64 * i)); // the sum exceeds an immediate
            emit(vl8r(i, 30));
        }
    }
    for (unsigned i = 1; i < 31; ++i)
        emit(ld(i, 31, 8 * i));
    load_address(31, kPointer);
    run_pending();
}

void RandomProgram::epilogue(unsigned block) {
    load_address(31, kResults + std::uint64_t{block} * kRegisterBytes);
    for (unsigned i = 1; i < 31; ++i)
        emit(sd(i, 31, 8 * i));
    for (unsigned i = 0; i < 32; ++i)
        emit(fsd(i, 31, kF + 8 * i));
    emit(csrr(1, 0x003));
    emit(sd(1, 31, kControl));
    if (options_.vector) {
        unsigned offset = kControl + 8;
        for (unsigned csr : {0xc20u, 0xc21u, 0x00fu, 0x008u}) {
            emit(csrr(1, csr));
            emit(sd(1, 31, offset));
            offset += 8;
        }
        emit(csrwi(0x008, 0));
        for (unsigned i = 0; i < 32; i += 8) {
            emit(addi(30, 31, kV));
            emit(addi(30, 30, 64 * i)); // the sum exceeds an immediate
            emit(vs8r(i, 30));
        }
    }
    run_pending();
}

void RandomProgram::finish() {
    const auto write = [&](std::uint64_t first, std::uint64_t bytes) {
        emit(addi(10, 0, 1));
        load_address(11, first);
        load_address(12, bytes);
        emit(addi(17, 0, 64));
        emit(kEcall);
    };
    write(kResults, result_bytes());
    write(kData, kDataSize);
    emit(addi(10, 0, 0));
    emit(addi(17, 0, 93));
    emit(kEcall);
}

bool RandomProgram::usable(const InsnSpec& spec) const {
    if (any_of(spec.name,
               {"ecall", "ebreak", "mret", "wfi", "fence.i", "cbo.inval", "cbo.clean", "cbo.flush",
                "custom-0", "custom-1", "jalr", "lr.w", "lr.d", "sc.w", "sc.d"}))
        return false;
    // qemu 7.2 counts on into the upper half when the low word is zero.
    if (any_of(spec.name, {"ctzw"}))
        return false;
    // qemu 7.2 fails an assertion of its own on the truncating vector conversions.
    if (starts_with(spec.name, "vf") &&
        std::string_view(spec.name).find(".rtz.") != std::string_view::npos)
        return false;
    const bool is_vector = spec.name[0] == 'v';
    if (is_vector && !options_.vector)
        return false;
    // A vector program still mixes in some scalar code, chosen by the seed.
    if (!is_vector && options_.vector)
        return starts_with(spec.name, "csrrw") || starts_with(spec.name, "fadd") ||
               starts_with(spec.name, "add");
    return true;
}

void RandomProgram::shape(const InsnSpec& spec, std::uint32_t& bits) {
    const std::uint32_t op = bits & 0x7f;
    const auto near = [&] { return static_cast<std::uint32_t>(below(4000)) - 2000; };
    switch (spec.format) {
    case Format::kB:
        field(bits, 7, 5, 8);
        field(bits, 25, 7, 0);
        return;
    case Format::kJ:
        field(bits, 12, 20, 8 << 8);
        break;
    case Format::kS:
    case Format::kFStore:
        bits = (bits & 0x01f0707f) | s_type(near(), 0, 31, 0, 0);
        return;
    case Format::kFLoad:
        bits = (bits & 0x7fff) | near() << 20 | 31u << 15;
        return;
    case Format::kI:
        if (op == 0x03)
            bits = (bits & 0x7fff) | near() << 20 | 31u << 15;
        break;
    case Format::kCsr:
    case Format::kCsrI: {
        static constexpr std::uint32_t kCsrs[] = {1,     2,     3,     0x00f, 0x009,
                                                  0x00a, 0xc20, 0xc21, 0xc22};
        const std::uint64_t which = below(options_.vector ? 9 : 3);
        field(bits, 20, 12, kCsrs[which]);
        if (one_in(2))
            field(bits, 15, 5, 0);
        // qemu 7.2 keeps the unimplemented bits of vxsat and vxrm that a guest writes.
        if (which >= 3 && which <= 5)
            bits = i_type(kCsrs[which],
                          static_cast<unsigned>(below(which == 3   ? 8
                                                      : which == 4 ? 2
                                                                   : 4)),
                          5, bits >> 7 & 31, 0x73);
        break;
    }
    default:
        break;
    }
    if (op == 0x2f) // atomics
        field(bits, 15, 5, 31);
    // x31 stays the data pointer.
    if ((bits >> 7 & 31) == 31 && op != 0x53 && op != 0x57)
        field(bits, 7, 5, static_cast<std::uint32_t>(below(31)));
    if ((bits >> 7 & 31) == 31 && op == 0x53 &&
        (spec.format == Format::kFCmp || spec.format == Format::kFToX))
        field(bits, 7, 5, static_cast<std::uint32_t>(below(31)));
}

void RandomProgram::shape_vector(const InsnSpec& spec, std::uint32_t& bits) {
    switch (spec.format) {
    case Format::kVSet:
    case Format::kVSetI: {
        // Mostly valid types; the lengths come from registers of the small kind or are VLMAX.
        const std::uint32_t sew = static_cast<std::uint32_t>(below(4));
        static constexpr std::uint32_t kLmul[] = {0, 0, 1, 2, 3, 5, 6, 7};
        std::uint32_t type = kLmul[below(8)] | sew << 3 | static_cast<std::uint32_t>(below(4)) << 6;
        if (one_in(30))
            type = static_cast<std::uint32_t>(random()) & 0x3ff;
        field(bits, 20, 10, type);
        if (spec.format == Format::kVSet) {
            field(bits, 30, 1, 0);
            field(bits, 15, 5, static_cast<std::uint32_t>(one_in(3) ? below(31) : 24 + below(4)));
        }
        if ((bits >> 7 & 31) == 31)
            field(bits, 7, 5, 5);
        return;
    }
    case Format::kVMem:
    case Format::kVMemS:
        field(bits, 15, 5, 31);
        if (spec.format == Format::kVMemS)
            field(bits, 20, 5, static_cast<std::uint32_t>(24 + below(4)));
        if (one_in(3))
            field(bits, 29, 3, 0); // not a segment access
        break;
    case Format::kR: // vsetvl
    case Format::kVToX:
        if ((bits >> 7 & 31) == 31)
            field(bits, 7, 5, 5);
        break;
    default:
        break;
    }
    // Registers that suit the larger LMULs, often.
    if (spec.format == Format::kR)
        return;
    const std::uint32_t keep = ~((1u << below(4)) - 1);
    if (spec.format != Format::kVToX && spec.format != Format::kVToF)
        field(bits, 7, 5, (bits >> 7 & 31) & keep);
    if (spec.format != Format::kVMemS && (spec.pattern.mask >> 20 & 31) == 0)
        field(bits, 20, 5, (bits >> 20 & 31) & keep);
    if (spec.format == Format::kV && (spec.pattern.mask >> 15 & 31) == 0)
        field(bits, 15, 5, (bits >> 15 & 31) & keep);
    bits = (bits & ~spec.pattern.mask) | spec.pattern.match;
}

/// Strided and indexed accesses must not reach the program, the register values or the results.
bool RandomProgram::stays_in_data(std::uint32_t bits) const {
    const unsigned mode = bits >> 26 & 3;
    const bool memory = (bits & 0x5f) == 0x07 && ((bits >> 12 & 7) == 0 || (bits >> 12 & 7) > 4);
    if (!memory || mode == 0)
        return true;
    if (mode == 2) {
        const auto stride = static_cast<std::int64_t>(hart_->x(bits >> 20 & 31));
        return stride >= -64 && stride <= 64;
    }
    const unsigned width = bits >> 12 & 7, log2 = width == 0 ? 0 : width - 4;
    std::uint64_t vl = 0;
    hart_->read_csr(0xc20, vl);
    for (std::uint64_t i = 0; i < vl; ++i) {
        const std::uint64_t byte = (bits >> 20 & 31) * kVlenBytes + (i << log2);
        if (byte >= 32 * kVlenBytes)
            return false;
        std::uint64_t index = 0;
        std::memcpy(&index,
                    hart_->v(static_cast<unsigned>(byte / kVlenBytes)).data() + byte % kVlenBytes,
                    1u << log2);
        if (index > 8192)
            return false;
    }
    return true;
}

bool RandomProgram::try_bits(std::uint32_t bits) {
    if (!stays_in_data(bits))
        return false;
    std::uint64_t vtype = 0;
    const char* name = instruction_name(decode(bits));
    if ((starts_with(name, "vf") || starts_with(name, "vmf")) && !starts_with(name, "vfirst") &&
        hart_->read_csr(0xc21, vtype) && (vtype >> 3 & 7) <= 1)
        return false; // qemu 7.2 has no Zvfh
    std::array<std::uint8_t, 32 * kVlenBytes> saved;
    if (options_.vector) {
        for (unsigned i = 0; i < 32; ++i)
            std::memcpy(saved.data() + i * kVlenBytes, hart_->v(i).data(), kVlenBytes);
    }
    const std::uint64_t start = at_;
    emit(bits);
    const std::uint32_t op = bits & 0x7f;
    if (op == 0x63 || op == 0x6f)
        emit(addi(0, 0, 1)); // what a taken branch skips
    code_.invalidate();
    hart_->set_pc(start);
    const std::size_t traps = port_.traps.size();
    while (hart_->pc() != at_ && port_.traps.size() == traps)
        hart_->step();
    if (port_.traps.size() == traps) {
        executed_ = at_;
        return true;
    }
    at_ = start;
    if (options_.vector) {
        for (unsigned i = 0; i < 32; ++i)
            std::memcpy(hart_->v(i).data(), saved.data() + i * kVlenBytes, kVlenBytes);
        hart_->write_csr(0x008, 0);
    }
    return false;
}

bool RandomProgram::try_instruction(const InsnSpec& spec) {
    std::uint32_t bits =
        spec.pattern.match | (static_cast<std::uint32_t>(random()) & ~spec.pattern.mask);
    if (spec.name[0] == 'v')
        shape_vector(spec, bits);
    else
        shape(spec, bits);
    const bool indexed = (bits & 0x5f) == 0x07 && spec.format == Format::kVMem && (bits >> 26 & 1);
    if (indexed) {
        // Fresh small indices of the width that the instruction reads, into eight registers.
        const unsigned width = bits >> 12 & 7;
        const unsigned log2 = width == 0 ? 0 : width - 4;
        load_address(30, kIndices + 512 * log2);
        emit(vl8r(8 * (bits >> 23 & 3), 30));
        run_pending();
    }
    const bool fault_only_first = std::string_view(spec.name).ends_with("ff.v");
    if (fault_only_first && one_in(2)) {
        // So near to the end of memory that what lies beyond it shortens vl. Whole elements: of one
        // that faults in its middle, either side may leave any part in the register.
        const unsigned width = bits >> 12 & 7;
        const std::uint64_t bytes = ((bits >> 29) + 1) << (width == 0 ? 0 : width - 4);
        load_address(30, kBase + kSize - bytes * (1 + below(40)));
        field(bits, 15, 5, 30);
        run_pending();
    }
    std::uint64_t vl = 0, shorter = 0;
    hart_->read_csr(0xc20, vl);
    if (!try_bits(bits)) {
        if (!indexed)
            at_ = executed_;
        return false;
    }
    ++coverage_[spec.name];
    hart_->read_csr(0xc20, shorter);
    if (fault_only_first && shorter < vl) {
        // qemu 7.2 works on with "vl is VLMAX" to the end of its translation block: a jump ends it.
        emit(0x0040006f);
        run_pending();
        ++shapes_["shortened"];
    }
    note_shape(spec, bits);
    return true;
}

void RandomProgram::note_shape(const InsnSpec& spec, std::uint32_t bits) {
    std::uint64_t vtype = 0;
    if (spec.name[0] != 'v' || starts_with(spec.name, "vset") || !hart_->read_csr(0xc21, vtype))
        return;
    if (vtype >> 63)
        return;
    ++shapes_["lmul " + std::to_string(vtype & 7) + " sew " +
              std::to_string(8u << (vtype >> 3 & 7))];
    if (spec.format != Format::kVMem && spec.format != Format::kVMemS)
        return;
    static constexpr const char* kModes[4] = {"unit", "indexed", "strided", "indexed"};
    const std::string mode =
        std::string_view(spec.name).ends_with("ff.v") ? "fault-only-first" : kModes[bits >> 26 & 3];
    const std::string masked = bits >> 25 & 1 ? "" : " masked";
    const std::string direction = spec.name[1] == 'l' ? " load" : " store";
    if ((spec.pattern.mask >> 29 & 7) == 0)
        ++shapes_[mode + direction + masked + " of " + std::to_string((bits >> 29) + 1)];
}

void RandomProgram::emit_reserved_pair() {
    const bool wide = one_in(2);
    const std::uint32_t width = wide ? 3 : 2;
    const auto rd = static_cast<unsigned>(1 + below(29)), rs2 = static_cast<unsigned>(below(31));
    emit(0x1000002fu | 31u << 15 | width << 12 | rd << 7);
    if (one_in(4)) // the value changes in between
        emit(sd(rs2, 31, 0));
    emit(0x1800002fu | rs2 << 20 | 31u << 15 | width << 12 | (rd + 1) << 7);
    run_pending();
    ++coverage_[wide ? "lr.d" : "lr.w"];
    ++coverage_[wide ? "sc.d" : "sc.w"];
}

std::vector<std::uint8_t> RandomProgram::image_until(unsigned blocks) const {
    std::vector<std::uint8_t> cut = image_;
    if (blocks < block_starts_.size())
        std::memmove(cut.data() + (block_starts_[blocks] - kBase),
                     image_.data() + (finish_at_ - kBase), at_ - finish_at_);
    return cut;
}

std::vector<std::uint8_t> RandomProgram::image_keeping(unsigned block, unsigned keep,
                                                       unsigned blocks, std::string& last) const {
    std::vector<std::uint8_t> cut = image_until(blocks);
    const std::vector<Emitted>& list = listings_.at(block);
    for (std::size_t i = keep; i < list.size(); ++i) {
        const std::uint32_t nop = addi(0, 0, 0);
        std::memcpy(cut.data() + (list[i].addr - kBase), &nop, 4);
    }
    const Emitted& e = list.at(keep - 1);
    char text[80];
    std::snprintf(text, sizeof text, "%llx: %08x %s", static_cast<unsigned long long>(e.addr),
                  e.bits, instruction_name(decode(e.bits)));
    last = text;
    return cut;
}

std::string RandomProgram::listing(unsigned block) const {
    std::string text;
    for (const Emitted& e : listings_.at(block)) {
        char line[80];
        std::snprintf(line, sizeof line, "  %llx: %08x %s\n",
                      static_cast<unsigned long long>(e.addr), e.bits,
                      instruction_name(decode(e.bits)));
        text += line;
    }
    return text;
}

} // namespace talus::sim
