#include "registers.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

namespace talus::sim::debug {

namespace {

constexpr unsigned kTimeCsr = 0xc01;
constexpr unsigned kFflags = 0x001;
constexpr unsigned kFcsr = 0x003;

constexpr std::string_view kXNames[] = {"zero", "ra", "sp",  "gp",  "tp", "t0", "t1", "t2",
                                        "fp",   "s1", "a0",  "a1",  "a2", "a3", "a4", "a5",
                                        "a6",   "a7", "s2",  "s3",  "s4", "s5", "s6", "s7",
                                        "s8",   "s9", "s10", "s11", "t3", "t4", "t5", "t6"};
constexpr std::string_view kFNames[] = {"ft0", "ft1", "ft2",  "ft3",  "ft4", "ft5", "ft6",  "ft7",
                                        "fs0", "fs1", "fa0",  "fa1",  "fa2", "fa3", "fa4",  "fa5",
                                        "fa6", "fa7", "fs2",  "fs3",  "fs4", "fs5", "fs6",  "fs7",
                                        "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11"};

std::string describe() {
    std::string xml = "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n"
                      "<target version=\"1.0\">\n<architecture>riscv:rv64</architecture>\n"
                      "<feature name=\"org.gnu.gdb.riscv.cpu\">\n";
    const auto reg = [&](std::string_view name, unsigned bits, std::string_view type,
                         unsigned number) {
        xml += fmt::format("<reg name=\"{}\" bitsize=\"{}\" type=\"{}\" regnum=\"{}\"/>\n", name,
                           bits, type, number);
    };
    for (unsigned i = 0; i < 32; ++i) {
        const bool pointer = i == 2 || i == 3 || i == 4 || i == 8;
        reg(kXNames[i], 64, i == 1 ? "code_ptr" : pointer ? "data_ptr" : "int", i);
    }
    reg("pc", 64, "code_ptr", kRegPc);
    xml += "</feature>\n<feature name=\"org.gnu.gdb.riscv.fpu\">\n";
    for (unsigned i = 0; i < 32; ++i) {
        reg(kFNames[i], 64, "ieee_double", kRegF0 + i);
    }
    for (const CsrName& csr : csr_names()) {
        if (csr.number <= kFcsr) {
            reg(csr.name, 32, "int", kRegCsr0 + csr.number);
        }
    }
    xml += "</feature>\n<feature name=\"org.gnu.gdb.riscv.csr\">\n";
    for (const CsrName& csr : csr_names()) {
        if (csr.number > kFcsr) {
            reg(csr.name, 64, "int", kRegCsr0 + csr.number);
        }
    }
    xml += "</feature>\n<feature name=\"org.gnu.gdb.riscv.virtual\">\n";
    reg("priv", 64, "int", kRegPriv);
    xml += "</feature>\n<feature name=\"org.gnu.gdb.riscv.vector\">\n";
    struct Lane {
        const char* id;
        const char* type;
        unsigned bytes;
    };
    constexpr Lane kLanes[] = {{"longs", "uint64", 8},
                               {"words", "uint32", 4},
                               {"shorts", "uint16", 2},
                               {"bytes", "uint8", 1}};
    for (const Lane& lane : kLanes) {
        xml += fmt::format("<vector id=\"{}\" type=\"{}\" count=\"{}\"/>\n", lane.id, lane.type,
                           kVlenBytes / lane.bytes);
    }
    xml += "<union id=\"riscv_vector\">\n";
    constexpr const char* kFields[] = {"l", "w", "s", "b"};
    for (std::size_t i = 0; i < std::size(kLanes); ++i) {
        xml += fmt::format("<field name=\"{}\" type=\"{}\"/>\n", kFields[i], kLanes[i].id);
    }
    xml += "</union>\n";
    for (unsigned i = 0; i < 32; ++i) {
        reg(fmt::format("v{}", i), kVlenBits, "riscv_vector", kRegV0 + i);
    }
    xml += "</feature>\n</target>\n";
    return xml;
}

bool known_csr(unsigned csr) {
    return std::binary_search(
        csr_names().begin(), csr_names().end(), CsrName{csr, {}},
        [](const CsrName& a, const CsrName& b) { return a.number < b.number; });
}

bool has_vectors(Hart& hart) {
    std::uint64_t misa = 0;
    return hart.read_csr(0x301, misa) && (misa >> ('v' - 'a') & 1) != 0;
}

template <typename T>
std::vector<std::uint8_t> bytes_of(T value) {
    std::vector<std::uint8_t> bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

} // namespace

const std::string& target_description() {
    static const std::string text = describe();
    return text;
}

unsigned register_bytes(unsigned number) {
    if (number < kRegCsr0) {
        return 8;
    }
    if (number < kRegPriv) {
        const unsigned csr = number - kRegCsr0;
        return !known_csr(csr) ? 0 : csr >= kFflags && csr <= kFcsr ? 4 : 8;
    }
    if (number == kRegPriv) {
        return 8;
    }
    return number < kRegEnd ? kVlenBytes : 0;
}

std::optional<std::vector<std::uint8_t>> read_register(Hart& hart, unsigned number) {
    if (number < kRegPc) {
        return bytes_of(hart.x(number));
    }
    if (number == kRegPc) {
        return bytes_of(hart.pc());
    }
    if (number < kRegCsr0) {
        return bytes_of(hart.f(number - kRegF0));
    }
    if (number < kRegPriv) {
        const unsigned csr = number - kRegCsr0;
        std::uint64_t value = hart.now();
        if (!known_csr(csr) || (csr != kTimeCsr && !hart.read_csr(csr, value))) {
            return std::nullopt;
        }
        return register_bytes(number) == 4 ? bytes_of(static_cast<std::uint32_t>(value))
                                           : bytes_of(value);
    }
    if (number == kRegPriv) {
        return bytes_of(std::uint64_t{hart.user_mode() ? 0u : 3u});
    }
    if (number < kRegEnd && has_vectors(hart)) {
        const auto lanes = hart.v(number - kRegV0);
        return std::vector<std::uint8_t>(lanes.begin(), lanes.end());
    }
    return std::nullopt;
}

bool write_register(Hart& hart, unsigned number, std::span<const std::uint8_t> bytes) {
    const unsigned size = register_bytes(number);
    if (size == 0 || bytes.size() != size) {
        return false;
    }
    if (number >= kRegV0) {
        if (!has_vectors(hart)) {
            return false;
        }
        std::copy(bytes.begin(), bytes.end(), hart.v(number - kRegV0).begin());
        return true;
    }
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data(), size);
    if (number < kRegPc) {
        hart.set_x(number, value);
    } else if (number == kRegPc) {
        hart.set_pc(value);
    } else if (number < kRegCsr0) {
        hart.set_f(number - kRegF0, value);
    } else if (number < kRegPriv) {
        return known_csr(number - kRegCsr0) && hart.write_csr(number - kRegCsr0, value);
    } else {
        return false; // the mode follows from traps and mret
    }
    return true;
}

} // namespace talus::sim::debug
