// vsetvli, vsetivli, vsetvl, and the vector type.
#include "core.hpp"

namespace talus::sim {

std::uint64_t Core::vlmax() const {
    return std::uint64_t{1} << (6 - vsew + vlmul);
}

std::uint64_t Core::vtype_value() const {
    if (vill)
        return std::uint64_t{1} << 63;
    return static_cast<std::uint64_t>((vlmul & 7) | vsew << 3 | int{vta} << 6 | int{vma} << 7);
}

void Core::set_vtype(std::uint64_t vtype) {
    const unsigned lmul = vtype & 7, sew = vtype >> 3 & 7;
    const int lmul_log2 = lmul < 4 ? static_cast<int>(lmul) : static_cast<int>(lmul) - 8;
    // A fraction of a register must hold an element of ELEN's share: SEW <= LMUL * ELEN.
    vill = vtype >> 8 != 0 || lmul == 4 || sew > 3 || static_cast<int>(sew) > lmul_log2 + 3;
    if (vill) {
        vsew = 0;
        vlmul = 0;
        vta = vma = false;
        return;
    }
    vsew = static_cast<std::uint8_t>(sew);
    vlmul = static_cast<std::int8_t>(lmul_log2);
    vta = vtype >> 6 & 1;
    vma = vtype >> 7 & 1;
}

namespace {

void configure(Core& c, const Decoded& d, std::uint64_t vtype, std::uint64_t avl) {
    c.set_vtype(vtype);
    c.vl = c.vill ? 0 : std::min(avl, c.vlmax());
    c.vstart = 0;
    c.x[d.rd] = c.vl;
    c.v_dirty();
}

/// rs1 = x0 asks for VLMAX, or with rd = x0 as well for the vl that there is.
std::uint64_t requested(const Core& c, const Decoded& d) {
    if (d.rs1 != 0)
        return c.x[d.rs1];
    return d.rd == kSink ? c.vl : ~std::uint64_t{0};
}

void vsetvli(Core& c, const Decoded& d) {
    if (!c.v_on)
        return c.illegal(d);
    configure(c, d, static_cast<std::uint64_t>(d.imm), requested(c, d));
}
void vsetivli(Core& c, const Decoded& d) {
    if (!c.v_on)
        return c.illegal(d);
    configure(c, d, static_cast<std::uint64_t>(d.imm), d.rs1);
}
void vsetvl(Core& c, const Decoded& d) {
    if (!c.v_on)
        return c.illegal(d);
    configure(c, d, c.x[d.rs2], requested(c, d));
}

constexpr InsnSpec kInsns[] = {
    {"vsetvli", "0 ----------- ----- 111 ----- 1010111", Format::kVSet, vsetvli},
    {"vsetivli", "11 ---------- ----- 111 ----- 1010111", Format::kVSetI, vsetivli},
    {"vsetvl", "1000000 ----- ----- 111 ----- 1010111", Format::kR, vsetvl},
};

} // namespace

std::span<const InsnSpec> vector_config_insns() {
    return kInsns;
}

} // namespace talus::sim
