// RV64C: every 16-bit instruction as the 32-bit one that it stands for.
#include "decode.hpp"

namespace talus::sim {

namespace {

constexpr std::uint32_t kLoad = 0x03, kLoadFp = 0x07, kOpImm = 0x13, kOpImm32 = 0x1b, kStore = 0x23,
                        kStoreFp = 0x27, kOp = 0x33, kLui = 0x37, kOp32 = 0x3b, kBranch = 0x63,
                        kJalr = 0x67, kJal = 0x6f;

constexpr std::uint32_t bits(std::uint32_t insn, unsigned high, unsigned low) {
    return insn >> low & ((2u << (high - low)) - 1);
}
constexpr std::uint32_t i_type(std::uint32_t imm, unsigned rs1, unsigned f3, unsigned rd,
                               std::uint32_t op) {
    return imm << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op;
}
constexpr std::uint32_t s_type(std::uint32_t imm, unsigned rs2, unsigned rs1, unsigned f3,
                               std::uint32_t op) {
    return bits(imm, 11, 5) << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | bits(imm, 4, 0) << 7 | op;
}
constexpr std::uint32_t r_type(unsigned f7, unsigned rs2, unsigned rs1, unsigned f3, unsigned rd,
                               std::uint32_t op) {
    return f7 << 25 | rs2 << 20 | rs1 << 15 | f3 << 12 | rd << 7 | op;
}
constexpr std::uint32_t b_type(std::uint32_t imm, unsigned rs1, unsigned f3) {
    return bits(imm, 12, 12) << 31 | bits(imm, 10, 5) << 25 | rs1 << 15 | f3 << 12 |
           bits(imm, 4, 1) << 8 | bits(imm, 11, 11) << 7 | kBranch;
}
constexpr std::uint32_t j_type(std::uint32_t imm, unsigned rd) {
    return bits(imm, 20, 20) << 31 | bits(imm, 10, 1) << 21 | bits(imm, 11, 11) << 20 |
           bits(imm, 19, 12) << 12 | rd << 7 | kJal;
}
/// Sign-extends a field of `width` bits to 32.
constexpr std::uint32_t extend(std::uint32_t value, unsigned width) {
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(value << (32 - width)) >>
                                      (32 - width));
}

std::uint32_t quadrant0(std::uint32_t i) {
    const unsigned rd = 8 + bits(i, 4, 2), rs1 = 8 + bits(i, 9, 7);
    const std::uint32_t word = bits(i, 12, 10) << 3 | bits(i, 6, 6) << 2 | bits(i, 5, 5) << 6;
    const std::uint32_t dword = bits(i, 12, 10) << 3 | bits(i, 6, 5) << 6;
    switch (bits(i, 15, 13)) {
    case 0: { // c.addi4spn
        const std::uint32_t imm =
            bits(i, 12, 11) << 4 | bits(i, 10, 7) << 6 | bits(i, 6, 6) << 2 | bits(i, 5, 5) << 3;
        return imm == 0 ? 0 : i_type(imm, 2, 0, rd, kOpImm);
    }
    case 1: // c.fld
        return i_type(dword, rs1, 3, rd, kLoadFp);
    case 2: // c.lw
        return i_type(word, rs1, 2, rd, kLoad);
    case 3: // c.ld
        return i_type(dword, rs1, 3, rd, kLoad);
    case 5: // c.fsd
        return s_type(dword, rd, rs1, 3, kStoreFp);
    case 6: // c.sw
        return s_type(word, rd, rs1, 2, kStore);
    case 7: // c.sd
        return s_type(dword, rd, rs1, 3, kStore);
    default:
        return 0;
    }
}

std::uint32_t misc_alu(std::uint32_t i, std::uint32_t imm6) {
    const unsigned rd = 8 + bits(i, 9, 7), rs2 = 8 + bits(i, 4, 2);
    const std::uint32_t shamt = imm6 & 63;
    switch (bits(i, 11, 10)) {
    case 0: // c.srli
        return i_type(shamt, rd, 5, rd, kOpImm);
    case 1: // c.srai
        return i_type(0x400 | shamt, rd, 5, rd, kOpImm);
    case 2: // c.andi
        return i_type(imm6 & 0xfff, rd, 7, rd, kOpImm);
    default:
        break;
    }
    switch (bits(i, 12, 12) << 2 | bits(i, 6, 5)) {
    case 0: // c.sub
        return r_type(0x20, rs2, rd, 0, rd, kOp);
    case 1: // c.xor
        return r_type(0, rs2, rd, 4, rd, kOp);
    case 2: // c.or
        return r_type(0, rs2, rd, 6, rd, kOp);
    case 3: // c.and
        return r_type(0, rs2, rd, 7, rd, kOp);
    case 4: // c.subw
        return r_type(0x20, rs2, rd, 0, rd, kOp32);
    case 5: // c.addw
        return r_type(0, rs2, rd, 0, rd, kOp32);
    default:
        return 0;
    }
}

std::uint32_t quadrant1(std::uint32_t i) {
    const unsigned rd = bits(i, 11, 7);
    const std::uint32_t imm6 = extend(bits(i, 12, 12) << 5 | bits(i, 6, 2), 6);
    const std::uint32_t jump = extend(
        bits(i, 12, 12) << 11 | bits(i, 11, 11) << 4 | bits(i, 10, 9) << 8 | bits(i, 8, 8) << 10 |
            bits(i, 7, 7) << 6 | bits(i, 6, 6) << 7 | bits(i, 5, 3) << 1 | bits(i, 2, 2) << 5,
        12);
    const std::uint32_t branch =
        extend(bits(i, 12, 12) << 8 | bits(i, 11, 10) << 3 | bits(i, 6, 5) << 6 |
                   bits(i, 4, 3) << 1 | bits(i, 2, 2) << 5,
               9);
    switch (bits(i, 15, 13)) {
    case 0: // c.addi, c.nop
        return i_type(imm6 & 0xfff, rd, 0, rd, kOpImm);
    case 1: // c.addiw
        return rd == 0 ? 0 : i_type(imm6 & 0xfff, rd, 0, rd, kOpImm32);
    case 2: // c.li
        return i_type(imm6 & 0xfff, 0, 0, rd, kOpImm);
    case 3: {
        if (imm6 == 0)
            return 0;
        if (rd == 2) { // c.addi16sp
            const std::uint32_t imm =
                extend(bits(i, 12, 12) << 9 | bits(i, 6, 6) << 4 | bits(i, 5, 5) << 6 |
                           bits(i, 4, 3) << 7 | bits(i, 2, 2) << 5,
                       10);
            return i_type(imm & 0xfff, 2, 0, 2, kOpImm);
        }
        return imm6 << 12 | rd << 7 | kLui; // c.lui
    }
    case 4:
        return misc_alu(i, imm6);
    case 5: // c.j
        return j_type(jump, 0);
    case 6: // c.beqz
        return b_type(branch, 8 + bits(i, 9, 7), 0);
    default: // c.bnez
        return b_type(branch, 8 + bits(i, 9, 7), 1);
    }
}

std::uint32_t quadrant2(std::uint32_t i) {
    const unsigned rd = bits(i, 11, 7), rs2 = bits(i, 6, 2);
    const std::uint32_t load_d = bits(i, 12, 12) << 5 | bits(i, 6, 5) << 3 | bits(i, 4, 2) << 6;
    const std::uint32_t load_w = bits(i, 12, 12) << 5 | bits(i, 6, 4) << 2 | bits(i, 3, 2) << 6;
    const std::uint32_t store_d = bits(i, 12, 10) << 3 | bits(i, 9, 7) << 6;
    const std::uint32_t store_w = bits(i, 12, 9) << 2 | bits(i, 8, 7) << 6;
    switch (bits(i, 15, 13)) {
    case 0: // c.slli
        return i_type(bits(i, 12, 12) << 5 | rs2, rd, 1, rd, kOpImm);
    case 1: // c.fldsp
        return i_type(load_d, 2, 3, rd, kLoadFp);
    case 2: // c.lwsp
        return rd == 0 ? 0 : i_type(load_w, 2, 2, rd, kLoad);
    case 3: // c.ldsp
        return rd == 0 ? 0 : i_type(load_d, 2, 3, rd, kLoad);
    case 4:
        if (bits(i, 12, 12) == 0) {
            if (rs2 != 0) // c.mv
                return r_type(0, rs2, 0, 0, rd, kOp);
            return rd == 0 ? 0 : i_type(0, rd, 0, 0, kJalr); // c.jr
        }
        if (rs2 != 0) // c.add
            return r_type(0, rs2, rd, 0, rd, kOp);
        return rd == 0 ? 0x00100073u : i_type(0, rd, 0, 1, kJalr); // c.ebreak, c.jalr
    case 5:                                                        // c.fsdsp
        return s_type(store_d, rs2, 2, 3, kStoreFp);
    case 6: // c.swsp
        return s_type(store_w, rs2, 2, 2, kStore);
    default: // c.sdsp
        return s_type(store_d, rs2, 2, 3, kStore);
    }
}

} // namespace

std::uint32_t expand_compressed(std::uint16_t insn) {
    switch (insn & 3) {
    case 0:
        return quadrant0(insn);
    case 1:
        return quadrant1(insn);
    case 2:
        return quadrant2(insn);
    default:
        return 0;
    }
}

} // namespace talus::sim
