// Moves between elements and scalars, slides, gathers, compress, whole-register moves.
#include "fp.hpp"
#include "vector.hpp"

namespace talus::sim {

namespace {

using namespace vec;

void vmv_x_s(Core& c, const Decoded& d) {
    if (!usable(c))
        return c.illegal(d);
    occupy(c, 1);
    by_width(c.vsew, [&]<class T>() {
        const T value = Group<T>(c, d.rs2)[0];
        c.x[d.rd] = static_cast<std::uint64_t>(static_cast<std::int64_t>(Signed<T>(value)));
    });
    scalar_result(c, d.rd);
    done(c);
}

void vmv_s_x(Core& c, const Decoded& d) {
    if (!usable(c))
        return c.illegal(d);
    occupy(c, 1);
    if (c.vstart < c.vl) {
        by_width(c.vsew, [&]<class T>() { Group<T>(c, d.rd).set(0, static_cast<T>(c.x[d.rs1])); });
    }
    done(c);
}

/// The f register as an element of the current width; false: that width has no floating point, or
/// frm is invalid, which every vector floating-point instruction minds.
bool f_operand(const Core& c, unsigned reg, std::uint64_t& value) {
    if (!usable(c) || !c.fp_on || c.frm > soft::kRmm || c.vsew == 0)
        return false;
    value = c.vsew == 1   ? fp::unbox<fp::Half>(c.f[reg])
            : c.vsew == 2 ? fp::unbox<fp::Single>(c.f[reg])
                          : c.f[reg];
    return true;
}

void vfmv_f_s(Core& c, const Decoded& d) {
    if (!usable(c) || !c.fp_on || c.frm > soft::kRmm || c.vsew == 0)
        return c.illegal(d);
    occupy(c, 1);
    if (c.vsew == 1)
        c.f[d.rd] = fp::box<fp::Half>(Group<std::uint16_t>(c, d.rs2)[0]);
    else if (c.vsew == 2)
        c.f[d.rd] = fp::box<fp::Single>(Group<std::uint32_t>(c, d.rs2)[0]);
    else
        c.f[d.rd] = Group<std::uint64_t>(c, d.rs2)[0];
    c.fp_dirty();
    scalar_result(c, kHazardF + d.rd);
    done(c);
}

void vfmv_s_f(Core& c, const Decoded& d) {
    std::uint64_t value;
    if (!f_operand(c, d.rs1, value))
        return c.illegal(d);
    occupy(c, 1);
    if (c.vstart < c.vl)
        by_width(c.vsew, [&]<class T>() { Group<T>(c, d.rd).set(0, static_cast<T>(value)); });
    done(c);
}

void vfmv_v_f(Core& c, const Decoded& d) {
    std::uint64_t value;
    if (!f_operand(c, d.rs1, value) || !aligned(d.rd, c.vlmul))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd);
        for_active(c, true, [&](std::uint64_t i) { vd.set(i, static_cast<T>(value)); });
    });
    done(c);
}

void vfmerge(Core& c, const Decoded& d) {
    std::uint64_t value;
    if (!f_operand(c, d.rs1, value) || d.rd == 0 || !aligned(d.rd, c.vlmul) ||
        !aligned(d.rs2, c.vlmul))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    const std::uint8_t* mask = c.vreg(0);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_active(c, true, [&](std::uint64_t i) {
            vd.set(i, mask_bit(mask, i) ? static_cast<T>(value) : a[i]);
        });
    });
    done(c);
}

bool check_slide(const Core& c, const Decoded& d, bool up) {
    return usable(c) && mask_kept(d) && aligned(d.rd, c.vlmul) && aligned(d.rs2, c.vlmul) &&
           (!up || d.rd != d.rs2);
}

template <Src S>
void slide_up(Core& c, const Decoded& d) {
    if (!check_slide(c, d, true))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    const std::uint64_t offset = scalar_operand<S>(c, d);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_active(c, d.vm(), [&](std::uint64_t i) {
            if (i >= offset)
                vd.set(i, a[i - offset]);
        });
    });
    done(c);
}

template <Src S>
void slide_down(Core& c, const Decoded& d) {
    if (!check_slide(c, d, false))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    const std::uint64_t offset = scalar_operand<S>(c, d), limit = c.vlmax();
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_active(c, d.vm(), [&](std::uint64_t i) {
            vd.set(i, offset < limit && i + offset < limit ? a[i + offset] : T{0});
        });
    });
    done(c);
}

/// One element in at the bottom (up) or at vl - 1 (down).
void slide1(Core& c, const Decoded& d, bool up, std::uint64_t value) {
    if (!check_slide(c, d, up))
        return c.illegal(d);
    occupy(c, chimes(c, c.vsew));
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_active(c, d.vm(), [&](std::uint64_t i) {
            if (up)
                vd.set(i, i == 0 ? static_cast<T>(value) : a[i - 1]);
            else
                vd.set(i, i == c.vl - 1 ? static_cast<T>(value) : a[i + 1]);
        });
    });
    done(c);
}
template <bool Up>
void slide1_x(Core& c, const Decoded& d) {
    slide1(c, d, Up, c.x[d.rs1]);
}
template <bool Up>
void slide1_f(Core& c, const Decoded& d) {
    std::uint64_t value;
    if (!f_operand(c, d.rs1, value))
        return c.illegal(d);
    slide1(c, d, Up, value);
}

std::uint64_t gather_clocks(const Core& c) {
    return chimes(c, c.vsew) * c.timing.vector_permute_factor;
}

/// vrgather.vv and vrgatherei16.vv.
template <bool Ei16>
void gather(Core& c, const Decoded& d) {
    const int index_lmul = Ei16 ? 1 - c.vsew + c.vlmul : c.vlmul;
    if (!usable(c) || !mask_kept(d) || index_lmul < -3 || index_lmul > 3 ||
        !aligned(d.rd, c.vlmul) || !aligned(d.rs2, c.vlmul) || !aligned(d.rs1, index_lmul) ||
        d.rd == d.rs2 || overlap(d.rd, group_size(c.vlmul), d.rs1, group_size(index_lmul)))
        return c.illegal(d);
    occupy(c, gather_clocks(c));
    const std::uint64_t limit = c.vlmax();
    by_width(c.vsew, [&]<class T>() {
        using Index = std::conditional_t<Ei16, std::uint16_t, T>;
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        const Group<Index> index(c, d.rs1);
        for_active(c, d.vm(), [&](std::uint64_t i) {
            const std::uint64_t from = index[i];
            vd.set(i, from < limit ? a[from] : T{0});
        });
    });
    done(c);
}

template <Src S>
void gather_one(Core& c, const Decoded& d) {
    if (!check_slide(c, d, true))
        return c.illegal(d);
    occupy(c, gather_clocks(c));
    const std::uint64_t from = scalar_operand<S>(c, d), limit = c.vlmax();
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        for_active(c, d.vm(), [&](std::uint64_t i) { vd.set(i, from < limit ? a[from] : T{0}); });
    });
    done(c);
}

void vcompress(Core& c, const Decoded& d) {
    if (!usable(c) || c.vstart != 0 || !aligned(d.rd, c.vlmul) || !aligned(d.rs2, c.vlmul) ||
        d.rd == d.rs2 || overlap(d.rd, group_size(c.vlmul), d.rs1, 1))
        return c.illegal(d);
    occupy(c, gather_clocks(c));
    const std::uint8_t* mask = c.vreg(d.rs1);
    by_width(c.vsew, [&]<class T>() {
        const Group<T> vd(c, d.rd), a(c, d.rs2);
        std::uint64_t to = 0;
        for_active(c, true, [&](std::uint64_t i) {
            if (mask_bit(mask, i))
                vd.set(to++, a[i]);
        });
    });
    done(c);
}

/// Whole registers, whatever vl and LMUL say; SEW scales vstart, so vtype must be valid.
template <unsigned Registers>
void move_whole(Core& c, const Decoded& d) {
    if (!usable(c) || d.rd % Registers != 0 || d.rs2 % Registers != 0)
        return c.illegal(d);
    occupy(c, Registers);
    const std::uint64_t first = c.vstart << c.vsew;
    constexpr std::uint64_t kBytes = Registers * kVlenBytes;
    if (first < kBytes)
        std::memmove(c.vreg(d.rd) + first, c.vreg(d.rs2) + first, kBytes - first);
    done(c);
}

#define TALUS_WHOLE(name, code, n)                                                                 \
    { name, "100111 1 ----- " code " 011 ----- 1010111", Format::kV, move_whole<n> }

constexpr InsnSpec kInsns[] = {
    {"vmv.x.s", "010000 1 ----- 00000 010 ----- 1010111", Format::kVToX, vmv_x_s},
    {"vmv.s.x", "010000 1 00000 ----- 110 ----- 1010111", Format::kVX, vmv_s_x},
    {"vfmv.f.s", "010000 1 ----- 00000 001 ----- 1010111", Format::kVToF, vfmv_f_s},
    {"vfmv.s.f", "010000 1 00000 ----- 101 ----- 1010111", Format::kVF, vfmv_s_f},
    {"vfmv.v.f", "010111 1 00000 ----- 101 ----- 1010111", Format::kVF, vfmv_v_f},
    {"vfmerge.vfm", "010111 0 ----- ----- 101 ----- 1010111", Format::kVF, vfmerge},
    TALUS_OPIVX("vslideup.vx", "001110", slide_up<Src::kX>),
    TALUS_OPIVI("vslideup.vi", "001110", slide_up<Src::kU>),
    TALUS_OPIVX("vslidedown.vx", "001111", slide_down<Src::kX>),
    TALUS_OPIVI("vslidedown.vi", "001111", slide_down<Src::kU>),
    TALUS_OPMVX("vslide1up.vx", "001110", slide1_x<true>),
    TALUS_OPMVX("vslide1down.vx", "001111", slide1_x<false>),
    TALUS_V_ROW("vfslide1up.vf", "001110", "101", kVF, slide1_f<true>),
    TALUS_V_ROW("vfslide1down.vf", "001111", "101", kVF, slide1_f<false>),
    TALUS_OPIVV("vrgather.vv", "001100", gather<false>),
    TALUS_OPIVV("vrgatherei16.vv", "001110", gather<true>),
    TALUS_OPIVX("vrgather.vx", "001100", gather_one<Src::kX>),
    TALUS_OPIVI("vrgather.vi", "001100", gather_one<Src::kU>),
    {"vcompress.vm", "010111 1 ----- ----- 010 ----- 1010111", Format::kV, vcompress},
    TALUS_WHOLE("vmv1r.v", "00000", 1),
    TALUS_WHOLE("vmv2r.v", "00001", 2),
    TALUS_WHOLE("vmv4r.v", "00011", 4),
    TALUS_WHOLE("vmv8r.v", "00111", 8),
};

} // namespace

std::span<const InsnSpec> vector_permute_insns() {
    return kInsns;
}

} // namespace talus::sim
