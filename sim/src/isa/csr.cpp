// Control and status registers. Privilege and read-only-ness by number are checked by the caller.
#include "core.hpp"

namespace talus::sim {

namespace {

constexpr std::uint64_t kMipBits = 1u << irq::kMachineSoftware | 1u << irq::kMachineTimer |
                                   1u << irq::kMachineExternal |
                                   (~std::uint64_t{0} << irq::kLocalFirst & 0xffffffffu);
constexpr std::uint64_t kMstatusWritable =
    mstatus::kMie | mstatus::kMpie | mstatus::kMpp | mstatus::kFs | mstatus::kMprv | mstatus::kTw;
constexpr std::uint64_t kPmpAddrBits = (std::uint64_t{1} << 54) - 1;
constexpr std::uint64_t kMenvcfgBits = 0x70; // CBIE, CBCFE

constexpr std::uint64_t misa(bool vector) {
    std::uint64_t value = std::uint64_t{2} << 62;
    for (const char* letter = vector ? "acdfimuv" : "acdfimu"; *letter; ++letter)
        value |= std::uint64_t{1} << (*letter - 'a');
    return value;
}

constexpr bool port_owned(unsigned csr) {
    return (csr >= 0x7c0 && csr <= 0x7ff) || (csr >= 0x800 && csr <= 0x8ff) ||
           (csr >= 0xbc0 && csr <= 0xbff) || (csr >= 0xcc0 && csr <= 0xcff) || csr >= 0xfc0;
}

std::uint64_t read_pmpcfg(const Core& c, unsigned first) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < 8; ++i)
        value |= std::uint64_t{c.pmpcfg[first + i]} << (8 * i);
    return value;
}

void write_pmpcfg(Core& c, unsigned first, std::uint64_t value) {
    for (unsigned i = 0; i < 8; ++i) {
        std::uint8_t& cfg = c.pmpcfg[first + i];
        std::uint8_t wanted = value >> (8 * i) & 0x9f;
        if (cfg & 0x80)
            continue;
        if ((wanted & 3) == 2)
            wanted &= 0xfc; // W without R is reserved
        cfg = wanted;
        c.pmp_locked |= (wanted & 0x80) != 0;
    }
}

void write_pmpaddr(Core& c, unsigned index, std::uint64_t value) {
    const bool bound_above = index + 1 < kPmpEntries && (c.pmpcfg[index + 1] & 0x98) == 0x88;
    if (!(c.pmpcfg[index] & 0x80) && !bound_above)
        c.pmpaddr[index] = value & kPmpAddrBits;
}

} // namespace

std::uint64_t Core::mstatus_value() const {
    const bool dirty =
        (mstatus & mstatus::kFs) == mstatus::kFs || (mstatus & mstatus::kVs) == mstatus::kVs;
    return mstatus | mstatus::kUxl64 | (dirty ? mstatus::kSd : 0);
}

void Core::update_units() {
    fp_on = (mstatus & mstatus::kFs) != 0;
    v_on = config.vector && (mstatus & mstatus::kVs) != 0;
}

void Core::set_mstatus(std::uint64_t value) {
    const std::uint64_t writable = kMstatusWritable | (config.vector ? mstatus::kVs : 0);
    std::uint64_t next = (mstatus & ~writable) | (value & writable);
    const std::uint64_t mpp = next >> 11 & 3;
    if (mpp != 0 && mpp != 3) // no supervisor mode: the old value stays
        next = (next & ~mstatus::kMpp) | (mstatus & mstatus::kMpp);
    mstatus = next;
    update_units();
    drop_data_windows();
}

bool Core::csr_read(unsigned csr, std::uint64_t& value) {
    const auto counter_allowed = [&] {
        return mode == Privilege::kMachine || (mcounteren >> (csr & 31) & 1);
    };
    switch (csr) {
    case 0x001: // fflags
        value = fflags;
        return fp_on;
    case 0x002: // frm
        value = frm;
        return fp_on;
    case 0x003: // fcsr
        value = fflags | frm << 5;
        return fp_on;
    case 0x008: // vstart
        value = vstart;
        return v_on;
    case 0x009: // vxsat
        value = vxsat;
        return v_on;
    case 0x00a: // vxrm
        value = vxrm;
        return v_on;
    case 0x00f: // vcsr
        value = static_cast<std::uint64_t>(vxrm << 1 | int{vxsat});
        return v_on;
    case 0xc20: // vl
        value = vl;
        return v_on;
    case 0xc21: // vtype
        value = vtype_value();
        return v_on;
    case 0xc22: // vlenb
        value = kVlenBytes;
        return v_on;
    case 0xb00: // mcycle
        value = mcountinhibit & 1 ? mcycle_offset : now + mcycle_offset;
        return true;
    case 0xc00: // cycle
        value = mcountinhibit & 1 ? mcycle_offset : now + mcycle_offset;
        return counter_allowed();
    case 0xb02: // minstret
        value = mcountinhibit & 4 ? minstret_offset : retired + minstret_offset;
        return true;
    case 0xc02: // instret
        value = mcountinhibit & 4 ? minstret_offset : retired + minstret_offset;
        return counter_allowed();
    case 0xc01: // time
        if (!counter_allowed())
            return false;
        if (!sync_point())
            return true;
        value = port.time(config.id, now);
        return true;
    case 0x300:
        value = mstatus_value();
        return true;
    case 0x301:
        value = misa(config.vector);
        return true;
    case 0x304:
        value = mie;
        return true;
    case 0x305:
        value = mtvec;
        return true;
    case 0x306:
        value = mcounteren;
        return true;
    case 0x30a:
        value = menvcfg;
        return true;
    case 0x320:
        value = mcountinhibit;
        return true;
    case 0x340:
        value = mscratch;
        return true;
    case 0x341:
        value = mepc;
        return true;
    case 0x342:
        value = mcause;
        return true;
    case 0x343:
        value = mtval;
        return true;
    case 0x344:
        value = mip;
        return true;
    case 0x7a0: // tselect: no triggers, which hardwired zeros say
    case 0x7a1: // tdata1 to tdata3
    case 0x7a2:
    case 0x7a3:
    case 0xf11: // mvendorid
    case 0xf12: // marchid
    case 0xf13: // mimpid
    case 0xf15: // mconfigptr
        value = 0;
        return true;
    case 0xf14:
        value = config.id;
        return true;
    default:
        break;
    }
    if (csr == 0x3a0 || csr == 0x3a2) {
        value = read_pmpcfg(*this, (csr - 0x3a0) * 4);
        return true;
    }
    if (csr - 0x3b0u < kPmpEntries) {
        value = pmpaddr[csr - 0x3b0];
        return true;
    }
    // The 29 event counters count nothing: read-only zero.
    if ((csr >= 0xb03 && csr <= 0xb1f) || (csr >= 0x323 && csr <= 0x33f)) {
        value = 0;
        return true;
    }
    if (csr >= 0xc03 && csr <= 0xc1f) {
        value = 0;
        return counter_allowed();
    }
    if (port_owned(csr))
        return sync_point() ? port.csr_read(config.id, now, csr, value) : true;
    return false;
}

bool Core::csr_write(unsigned csr, std::uint64_t value) {
    switch (csr) {
    case 0x001:
    case 0x002:
    case 0x003:
        if (!fp_on)
            return false;
        if (csr != 0x002)
            fflags = value & 31;
        if (csr != 0x001)
            frm = csr == 0x002 ? value & 7 : value >> 5 & 7;
        fp_dirty();
        return true;
    case 0x008:
    case 0x009:
    case 0x00a:
    case 0x00f:
        if (!v_on)
            return false;
        if (csr == 0x008)
            vstart = value & (8 * kVlenBytes - 1);
        if (csr == 0x009 || csr == 0x00f)
            vxsat = value & 1;
        if (csr == 0x00a)
            vxrm = value & 3;
        if (csr == 0x00f)
            vxrm = value >> 1 & 3;
        v_dirty();
        return true;
    case 0xb00: // takes effect for the next instruction, which sees now one clock later
        mcycle_offset = mcountinhibit & 1 ? value : value - (now + 1 + timing.csr_penalty);
        return true;
    case 0xb02:
        mcountinhibit& 4 ? minstret_offset = value : minstret_offset = value - (retired + 1);
        return true;
    case 0x300:
        set_mstatus(value);
        return true;
    case 0x301: // misa: extensions cannot be switched off
        return true;
    case 0x304:
        mie = value & kMipBits;
        return true;
    case 0x305: // direct and vectored; a reserved mode keeps the old one
        mtvec = (value & ~std::uint64_t{3}) | (value & 2 ? mtvec & 1 : value & 1);
        return true;
    case 0x306:
        mcounteren = value & 0xffffffff;
        return true;
    case 0x30a:
        // CBIE = 2 is reserved.
        menvcfg = (value >> 4 & 3) == 2 ? (menvcfg & 0x30) | (value & 0x40) : value & kMenvcfgBits;
        return true;
    case 0x320: {
        const std::uint64_t changed = (mcountinhibit ^ value) & 5;
        if (changed & 1)
            mcycle_offset = value & 1 ? mcycle_offset + now : mcycle_offset - now;
        if (changed & 4)
            minstret_offset = value & 4 ? minstret_offset + retired : minstret_offset - retired;
        mcountinhibit = value & 5;
        return true;
    }
    case 0x340:
        mscratch = value;
        return true;
    case 0x341:
        mepc = value & ~std::uint64_t{1};
        return true;
    case 0x342:
        mcause = value;
        return true;
    case 0x343:
        mtval = value;
        return true;
    case 0x344: // the interrupt sources own every bit
    case 0x7a0: // no triggers
    case 0x7a1:
    case 0x7a2:
    case 0x7a3:
        return true;
    default:
        break;
    }
    if (csr == 0x3a0 || csr == 0x3a2 || csr - 0x3b0u < kPmpEntries) {
        if (csr < 0x3b0)
            write_pmpcfg(*this, (csr - 0x3a0) * 4, value);
        else
            write_pmpaddr(*this, csr - 0x3b0, value);
        drop_fetch_state();
        drop_data_windows();
        return true;
    }
    if ((csr >= 0xb03 && csr <= 0xb1f) || (csr >= 0x323 && csr <= 0x33f))
        return true;
    if (port_owned(csr))
        return sync_point() ? port.csr_write(config.id, now, csr, value) : true;
    return false;
}

} // namespace talus::sim
