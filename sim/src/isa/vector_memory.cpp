// Vector loads and stores. A stop or trap in the middle leaves vstart at the element to go on with.
#include "commit_recorder.hpp"
#include "vector.hpp"

namespace talus::sim {

namespace {

using namespace vec;

/// One decoded access: what the instruction moves, in which order.
struct Access {
    std::uint64_t base = 0;
    std::int64_t stride = 0; ///< between elements, unless indexed
    unsigned fields = 1;
    unsigned log2 = 0;       ///< bytes of an element
    unsigned group = 1;      ///< registers of one field
    std::uint64_t count = 0; ///< elements
    bool unmasked = true;
    bool indexed = false;
    unsigned index_log2 = 0;
    bool first_only = false; ///< a fault beyond element 0 shortens vl instead
};

unsigned width_log2(const Decoded& d) {
    const unsigned width = d.funct3();
    return width == 0 ? 0 : width - 4;
}
unsigned nf(const Decoded& d) {
    return (d.raw >> 29) + 1;
}

std::uint64_t index_of(Core& c, const Decoded& d, const Access& a, std::uint64_t i) {
    std::uint64_t value = 0;
    std::memcpy(&value, c.vreg(d.rs2) + (i << a.index_log2), std::size_t{1} << a.index_log2);
    return value;
}

/// `ready` collects when the loaded data is there; likewise below.
template <bool Load>
bool move_element(Core& c, std::uint64_t addr, std::uint8_t* at, unsigned log2, Cycle& ready) {
    const auto move = [&]<class T>() {
        T value;
        if constexpr (Load) {
            Cycle arrival;
            if (!c.load(addr, value, arrival))
                return false;
            std::memcpy(at, &value, sizeof value);
            ready = std::max(ready, arrival);
            return true;
        } else {
            std::memcpy(&value, at, sizeof value);
            return c.store(addr, value);
        }
    };
    switch (log2) {
    case 0:
        return move.template operator()<std::uint8_t>();
    case 1:
        return move.template operator()<std::uint16_t>();
    case 2:
        return move.template operator()<std::uint32_t>();
    default:
        return move.template operator()<std::uint64_t>();
    }
}

/// A contiguous run of bytes in a direct window.
template <bool Load>
bool move_direct(Core& c, std::uint64_t addr, std::uint8_t* at, std::uint64_t n, Cycle& ready) {
    const DataWindow& w = Load ? c.read_window : c.write_window;
    const std::uint64_t offset = addr - w.base;
    if (offset >= w.span || n > w.span + 7 - offset)
        return false;
    if constexpr (Load) {
        std::memcpy(at, w.host + offset, n);
        ready = std::max(ready, c.now + w.latency);
    } else {
        std::memcpy(w.host + offset, at, n);
    }
    return true;
}

/// Aligned contiguous elements outside the direct regions go to the port a line at a time. Returns
/// after the last element, or at one whose line did not go through: the caller then goes by
/// elements, which finds the one at fault.
template <bool Load>
bool move_lines(Core& c, const Access& a, std::uint8_t* reg, std::uint64_t& i, Cycle& ready) {
    const Privilege who = c.data_mode();
    const std::uint64_t bytes = (a.count - i) << a.log2;
    const std::uint64_t first = a.base + (i << a.log2);
    std::uint64_t lo = 0, hi = ~std::uint64_t{0};
    constexpr AccessKind kKind = Load ? AccessKind::kLoad : AccessKind::kStore;
    if ((first & ((1u << a.log2) - 1)) || c.find_region(first) ||
        c.find_region(first + bytes - 1) ||
        (c.pmp_binds(who) && !c.pmp_allows(first, bytes, kKind, who, lo, hi)))
        return true;
    if (!c.sync_point())
        return false;
    Cycle last = c.now;
    while (i < a.count) {
        const std::uint64_t addr = a.base + (i << a.log2);
        const std::uint64_t line_end = (addr | (kFetchLineBytes - 1)) + 1;
        const auto n = static_cast<unsigned>(std::min(line_end - addr, (a.count - i) << a.log2));
        std::uint8_t* at = reg + (i << a.log2);
        const OpResult result = Load ? c.port.load(c.config.id, c.now, addr, at, n)
                                     : c.port.store(c.config.id, c.now, addr, at, n);
        if (result.status == OpStatus::kTrap)
            break;
        if (c.debug) [[unlikely]]
            c.debug_access(addr, n, kKind);
        if (!c.accept(result)) {
            c.vstart = i;
            if (Load)
                ready = std::max(ready, last);
            return false;
        }
        if (c.commit) [[unlikely]]
            c.commit->elements(addr, at, n, 1u << a.log2, kKind);
        last = std::max(last, result.done);
        i += n >> a.log2;
    }
    if (Load)
        ready = std::max(ready, last);
    else
        c.now = std::max(c.now, last - 1);
    return true;
}

/// Moves elements from vstart on; at a stop or trap leaves vstart at the first that did not move.
template <bool Load>
bool move_all(Core& c, const Decoded& d, const Access& a, bool contiguous, Cycle& ready) {
    std::uint64_t i = c.vstart;
    if (contiguous && i < a.count) {
        std::uint8_t* reg = c.vreg(d.rd);
        const std::uint64_t bytes = (a.count - i) << a.log2;
        if (move_direct<Load>(c, a.base + (i << a.log2), reg + (i << a.log2), bytes, ready))
            i = a.count;
        else if (!a.first_only && !move_lines<Load>(c, a, reg, i, ready))
            return false;
    }
    const std::uint8_t* mask = c.vreg(0);
    for (; i < a.count; ++i) {
        if (!a.unmasked && !mask_bit(mask, i))
            continue;
        const std::uint64_t addr =
            a.base + (a.indexed ? index_of(c, d, a, i) : i * static_cast<std::uint64_t>(a.stride));
        for (unsigned field = 0; field < a.fields; ++field) {
            std::uint8_t* at = c.vreg(d.rd + field * a.group) + (i << a.log2);
            if (move_element<Load>(c, addr + (std::uint64_t{field} << a.log2), at, a.log2, ready))
                continue;
            if (a.first_only && i > 0 && c.event == HartEvent::kTrap) {
                c.event = HartEvent::kNone;
                c.vl = i;
                return true;
            }
            c.vstart = i;
            return false;
        }
    }
    return true;
}

template <bool Load>
void transfer(Core& c, const Decoded& d, const Access& a) {
    const bool contiguous =
        !a.indexed && a.fields == 1 && a.stride == std::int64_t{1} << a.log2 && a.unmasked;
    const std::uint64_t total = a.count * a.fields;
    const std::uint64_t clocks = contiguous ? (total << (a.log2 + 3)) / c.timing.vector_lane_bits
                                            : total / c.timing.vector_elements_per_clock;
    c.now = std::max(c.now, c.vector_busy);
    const Cycle start = c.now;
    Cycle ready = 0;
    const bool complete = move_all<Load>(c, d, a, contiguous, ready);
    // The unit is taken only by what happened: an access that has to wait for global time comes
    // here again, and must find the clock where it left it.
    if (complete) {
        c.vector_busy = std::max(ready, start + std::max<std::uint64_t>(1, clocks));
        c.vstart = 0;
    } else {
        c.vector_busy = std::max(c.vector_busy, ready);
    }
    if (complete || ready != 0)
        c.v_dirty();
}

/// The element width is the instruction's, EMUL follows. False: illegal.
bool typed(Core& c, const Decoded& d, Access& a) {
    if (!usable(c))
        return false;
    a.log2 = width_log2(d);
    a.fields = nf(d);
    const int emul = static_cast<int>(a.log2) - c.vsew + c.vlmul;
    a.group = group_size(emul);
    a.base = c.x[d.rs1];
    a.count = c.vl;
    a.unmasked = d.vm();
    return emul >= -3 && emul <= 3 && aligned(d.rd, emul) && a.fields * a.group <= 8 &&
           d.rd + a.fields * a.group <= 32;
}

template <bool Load, bool FirstOnly = false>
void unit_stride(Core& c, const Decoded& d) {
    Access a;
    if (!typed(c, d, a) || (Load && !mask_kept(d)))
        return c.illegal(d);
    a.stride = std::int64_t{a.fields} << a.log2;
    a.first_only = FirstOnly;
    transfer<Load>(c, d, a);
}

template <bool Load>
void strided(Core& c, const Decoded& d) {
    Access a;
    if (!typed(c, d, a) || (Load && !mask_kept(d)))
        return c.illegal(d);
    a.stride = static_cast<std::int64_t>(c.x[d.rs2]);
    transfer<Load>(c, d, a);
}

template <bool Load>
void indexed(Core& c, const Decoded& d) {
    Access a;
    if (!usable(c))
        return c.illegal(d);
    a.indexed = true;
    a.index_log2 = width_log2(d);
    a.log2 = c.vsew;
    a.fields = nf(d);
    a.group = group_size(c.vlmul);
    a.base = c.x[d.rs1];
    a.count = c.vl;
    a.unmasked = d.vm();
    const int emul = static_cast<int>(a.index_log2) - c.vsew + c.vlmul;
    bool legal = emul >= -3 && emul <= 3 && aligned(d.rs2, emul) && aligned(d.rd, c.vlmul) &&
                 a.fields * a.group <= 8 && d.rd + a.fields * a.group <= 32;
    if (Load) {
        legal = legal && mask_kept(d);
        for (unsigned field = 0; legal && field < a.fields; ++field) {
            const unsigned reg = d.rd + field * a.group;
            if (a.fields > 1)
                legal = !overlap(reg, a.group, d.rs2, group_size(emul));
            else if (a.index_log2 > c.vsew)
                legal = separate_narrow(reg, c.vlmul, d.rs2, emul);
            else if (a.index_log2 < c.vsew)
                legal = separate(reg, c.vlmul, d.rs2, emul);
        }
    }
    if (!legal)
        return c.illegal(d);
    transfer<Load>(c, d, a);
}

template <bool Load>
void mask_access(Core& c, const Decoded& d) {
    if (!usable(c))
        return c.illegal(d);
    Access a;
    a.base = c.x[d.rs1];
    a.count = (c.vl + 7) / 8;
    a.stride = 1;
    transfer<Load>(c, d, a);
}

template <bool Load>
void whole(Core& c, const Decoded& d) {
    const unsigned registers = nf(d);
    if (!c.v_on || (registers & (registers - 1)) || d.rd % registers != 0)
        return c.illegal(d);
    Access a;
    a.base = c.x[d.rs1];
    a.log2 = Load ? width_log2(d) : 0;
    a.count = std::uint64_t{registers} * kVlenBytes >> a.log2;
    a.stride = std::int64_t{1} << a.log2;
    transfer<Load>(c, d, a);
}

#define TALUS_V_MEM(bits, width)                                                                   \
    {"vle" bits ".v", "--- 0 00 - 00000 ----- " width " ----- 0000111", Format::kVMem,             \
     unit_stride<true>},                                                                           \
        {"vse" bits ".v", "--- 0 00 - 00000 ----- " width " ----- 0100111", Format::kVMem,         \
         unit_stride<false>},                                                                      \
        {"vle" bits "ff.v", "--- 0 00 - 10000 ----- " width " ----- 0000111", Format::kVMem,       \
         unit_stride<true, true>},                                                                 \
        {"vlse" bits ".v", "--- 0 10 - ----- ----- " width " ----- 0000111", Format::kVMemS,       \
         strided<true>},                                                                           \
        {"vsse" bits ".v", "--- 0 10 - ----- ----- " width " ----- 0100111", Format::kVMemS,       \
         strided<false>},                                                                          \
        {"vluxei" bits ".v", "--- 0 01 - ----- ----- " width " ----- 0000111", Format::kVMem,      \
         indexed<true>},                                                                           \
        {"vsuxei" bits ".v", "--- 0 01 - ----- ----- " width " ----- 0100111", Format::kVMem,      \
         indexed<false>},                                                                          \
        {"vloxei" bits ".v", "--- 0 11 - ----- ----- " width " ----- 0000111", Format::kVMem,      \
         indexed<true>},                                                                           \
        {"vsoxei" bits ".v", "--- 0 11 - ----- ----- " width " ----- 0100111", Format::kVMem,      \
         indexed<false>},                                                                          \
    {                                                                                              \
        "vlre" bits ".v", "--- 0 00 1 01000 ----- " width " ----- 0000111", Format::kVMem,         \
            whole<true>                                                                            \
    }

constexpr InsnSpec kInsns[] = {
    TALUS_V_MEM("8", "000"),
    TALUS_V_MEM("16", "101"),
    TALUS_V_MEM("32", "110"),
    TALUS_V_MEM("64", "111"),
    {"vsr.v", "--- 0 00 1 01000 ----- 000 ----- 0100111", Format::kVMem, whole<false>},
    {"vlm.v", "000 0 00 1 01011 ----- 000 ----- 0000111", Format::kVMem, mask_access<true>},
    {"vsm.v", "000 0 00 1 01011 ----- 000 ----- 0100111", Format::kVMem, mask_access<false>},
};

#undef TALUS_V_MEM

} // namespace

std::span<const InsnSpec> vector_memory_insns() {
    return kInsns;
}

} // namespace talus::sim
