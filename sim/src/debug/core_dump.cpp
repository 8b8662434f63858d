#include "core_dump.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <stdexcept>
#include <vector>

#include <sys/mman.h>

#include <fmt/format.h>

#include "talus/hw/address_map.h"

#include "registers.hpp"
#include "soc/cores.hpp"

namespace talus::sim::debug {

namespace {

// What elf.h of the build machine may lack.
constexpr std::uint32_t kNoteGdbDescription = 0xff000000; // owner "GDB": target.xml
constexpr std::uint32_t kNoteRiscvCsr = 0x900;            // owner "GDB": as target.xml lists them
constexpr std::uint32_t kNoteRiscvVector = 0x901;         // owner "LINUX"
constexpr std::uint32_t kNoteHartName = 1;                // owner "TALUS"
constexpr std::uint32_t kRiscvFlags = 0x5;                // RVC, double-precision ABI
constexpr std::uint64_t kPage = 4096;

// Linux's struct elf_prstatus and elf_prpsinfo for RV64, which gdb goes by without an OS as well.
constexpr std::size_t kPrstatusBytes = 376;
constexpr std::size_t kPrstatusSignal = 12;
constexpr std::size_t kPrstatusPid = 32;
constexpr std::size_t kPrstatusRegisters = 112;
constexpr std::size_t kPrpsinfoBytes = 136;
constexpr std::size_t kPrpsinfoName = 40;
constexpr std::size_t kPrpsinfoNameBytes = 16;
constexpr std::size_t kPrpsinfoArguments = 56;
constexpr std::size_t kPrpsinfoArgumentsBytes = 80;

using Bytes = std::vector<std::uint8_t>;

void append(Bytes& to, const void* from, std::size_t bytes) {
    const auto* data = static_cast<const std::uint8_t*>(from);
    to.insert(to.end(), data, data + bytes);
}

template <typename T>
void put(Bytes& to, std::size_t at, T value) {
    std::memcpy(to.data() + at, &value, sizeof value);
}

void put_text(Bytes& to, std::size_t at, std::size_t room, const std::string& text) {
    std::memcpy(to.data() + at, text.data(), std::min(text.size(), room - 1));
}

void add_note(Bytes& notes, const char* owner, std::uint32_t type, const Bytes& contents) {
    const Elf64_Nhdr header{static_cast<Elf64_Word>(std::strlen(owner) + 1),
                            static_cast<Elf64_Word>(contents.size()), type};
    append(notes, &header, sizeof header);
    append(notes, owner, header.n_namesz);
    notes.resize((notes.size() + 3) / 4 * 4);
    append(notes, contents.data(), contents.size());
    notes.resize((notes.size() + 3) / 4 * 4);
}

std::uint64_t csr(Hart& hart, unsigned number) {
    std::uint64_t value = 0;
    if (const auto bytes = read_register(hart, kRegCsr0 + number)) {
        std::memcpy(&value, bytes->data(), bytes->size());
    }
    return value;
}

void add_hart(Bytes& notes, Hart& hart, const std::string& name, unsigned signal) {
    Bytes status(kPrstatusBytes);
    put(status, kPrstatusSignal, static_cast<std::uint16_t>(signal));
    put(status, kPrstatusPid, static_cast<std::uint32_t>(hart.id() + 1));
    put(status, kPrstatusRegisters, hart.pc());
    for (unsigned i = 1; i < 32; ++i) {
        put(status, kPrstatusRegisters + 8 * std::size_t{i}, hart.x(i));
    }
    add_note(notes, "CORE", NT_PRSTATUS, status);

    Bytes floats(260);
    for (unsigned i = 0; i < 32; ++i) {
        put(floats, 8 * std::size_t{i}, hart.f(i));
    }
    put(floats, 256, static_cast<std::uint32_t>(csr(hart, 0x003)));
    add_note(notes, "CORE", NT_FPREGSET, floats);

    // gdb takes them in the order of the feature org.gnu.gdb.riscv.csr: fcsr and its parts belong
    // to the floating-point unit.
    Bytes csrs;
    for (const CsrName& entry : csr_names()) {
        if (entry.number > 0x003) {
            const std::uint64_t value = csr(hart, entry.number);
            append(csrs, &value, sizeof value);
        }
    }
    add_note(notes, "GDB", kNoteRiscvCsr, csrs);

    if (read_register(hart, kRegV0)) {
        Bytes vectors;
        for (const unsigned number : {0x008u, 0xc20u, 0xc21u, 0x00fu, 0xc22u}) {
            const std::uint64_t value = csr(hart, number); // vstart, vl, vtype, vcsr, vlenb
            append(vectors, &value, sizeof value);
        }
        const std::uint64_t place_of_data = 0; // a pointer in Linux's structure
        append(vectors, &place_of_data, sizeof place_of_data);
        for (unsigned i = 0; i < 32; ++i) {
            append(vectors, hart.v(i).data(), kVlenBytes);
        }
        add_note(notes, "LINUX", kNoteRiscvVector, vectors);
    }

    Bytes named(4 + name.size() + 1);
    put(named, 0, static_cast<std::uint32_t>(hart.id()));
    std::memcpy(named.data() + 4, name.data(), name.size());
    add_note(notes, "TALUS", kNoteHartName, named);
}

/// Bytes of a core file: host memory, or a copy.
struct Segment {
    std::uint64_t addr;
    const std::uint8_t* host;
    std::uint64_t bytes;
    Bytes copy;
};

bool all_zero(const std::uint8_t* data, std::uint64_t bytes) {
    return data[0] == 0 && std::memcmp(data, data + 1, bytes - 1) == 0;
}

/// The pages of [0, size) that are resident and hold something, as runs.
void add_touched(std::vector<Segment>& segments, std::uint64_t addr, std::uint8_t* host,
                 std::uint64_t size, std::uint64_t limit) {
    std::vector<unsigned char> resident(size / kPage);
    if (mincore(host, size, resident.data()) != 0) {
        std::fill(resident.begin(), resident.end(), 1);
    }
    std::uint64_t taken = 0;
    for (std::uint64_t page = 0; page < resident.size() && taken < limit; ++page) {
        const std::uint8_t* data = host + page * kPage;
        if ((resident[page] & 1) == 0 || all_zero(data, kPage)) {
            continue;
        }
        taken += kPage;
        Segment* last = segments.empty() ? nullptr : &segments.back();
        if (last != nullptr && last->host + last->bytes == data) {
            last->bytes += kPage;
        } else {
            segments.push_back({addr + page * kPage, data, kPage, {}});
        }
    }
}

std::vector<Segment> memory_of(const DeviceParts& parts, HartId hart) {
    std::vector<Segment> segments;
    Fabric& fabric = parts.fabric;
    if (hart < TALUS_CONTROL_HARTS) {
        add_touched(segments, TALUS_ROM_BASE, fabric.rom(), TALUS_ROM_SIZE, TALUS_ROM_SIZE);
        add_touched(segments, TALUS_CONTROL_SRAM_BASE, fabric.control_sram(),
                    TALUS_CONTROL_SRAM_SIZE, TALUS_CONTROL_SRAM_SIZE);
    } else {
        const std::uint32_t pe = (hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE;
        segments.push_back({TALUS_LOCAL_BASE, fabric.pe(pe)->local_memory(), TALUS_LOCAL_SIZE, {}});
        Bytes registers(kPage);
        parts.cores.peek(hart, TALUS_PE_REGS_BASE, registers.data(), registers.size());
        segments.push_back({TALUS_PE_REGS_BASE, nullptr, kPage, std::move(registers)});
    }
    const std::uint64_t lls = parts.config.sram.scratch_bytes;
    add_touched(segments, TALUS_LLS_BASE, fabric.lls(), lls, lls);
    add_touched(segments, TALUS_DRAM_BASE, fabric.dram(), parts.config.dram.bytes, kMaxDramBytes);
    return segments;
}

} // namespace

void write_core(const std::string& path, const DeviceParts& parts, HartId hart,
                const DumpReason& reason) {
    std::vector<HartId> harts{hart};
    const bool control = hart < TALUS_CONTROL_HARTS;
    const HartId first =
        control ? 0 : TALUS_HART_OF((hart - TALUS_CONTROL_HARTS) / TALUS_CORES_PER_PE, 0);
    for (HartId other = first; other < first + (control ? TALUS_CONTROL_HARTS : TALUS_CORES_PER_PE);
         ++other) {
        if (other != hart) {
            harts.push_back(other);
        }
    }

    Bytes notes;
    Bytes process(kPrpsinfoBytes);
    put_text(process, kPrpsinfoName, kPrpsinfoNameBytes, parts.cores.name(hart));
    put_text(process, kPrpsinfoArguments, kPrpsinfoArgumentsBytes,
             parts.cores.name(hart) + ": " + reason.text);
    for (const HartId each : harts) {
        // gdb goes by the last thread's signal where it shows the process's.
        add_hart(notes, parts.cores.hart(each), parts.cores.name(each), reason.signal);
        if (each == hart) {
            add_note(notes, "CORE", NT_PRPSINFO, process);
        }
    }
    const std::string& description = target_description();
    Bytes xml(description.begin(), description.end());
    xml.push_back(0);
    add_note(notes, "GDB", kNoteGdbDescription, xml);

    const std::vector<Segment> segments = memory_of(parts, hart);
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_machine = EM_RISCV;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof header;
    header.e_flags = kRiscvFlags;
    header.e_ehsize = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    // A 16-bit number of segments: runs of pages beyond it are left out.
    const std::size_t count = std::min<std::size_t>(segments.size(), PN_XNUM - 2);
    header.e_phnum = static_cast<Elf64_Half>(1 + count);

    std::uint64_t offset = sizeof header + std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr);
    Bytes head;
    append(head, &header, sizeof header);
    Elf64_Phdr note{};
    note.p_type = PT_NOTE;
    note.p_offset = offset;
    note.p_filesz = notes.size();
    note.p_align = 4;
    append(head, &note, sizeof note);
    offset = (offset + notes.size() + kPage - 1) / kPage * kPage;
    const std::uint64_t data = offset;
    for (std::size_t i = 0; i < count; ++i) {
        Elf64_Phdr load{};
        load.p_type = PT_LOAD;
        load.p_flags = PF_R | PF_W | PF_X;
        load.p_offset = offset;
        load.p_vaddr = load.p_paddr = segments[i].addr;
        load.p_filesz = load.p_memsz = segments[i].bytes;
        load.p_align = kPage;
        append(head, &load, sizeof load);
        offset += segments[i].bytes;
    }
    append(head, notes.data(), notes.size());
    head.resize(data);

    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    const auto write = [&](const std::uint8_t* from, std::uint64_t bytes) {
        file.write(reinterpret_cast<const char*>(from), static_cast<std::streamsize>(bytes));
    };
    write(head.data(), head.size());
    for (std::size_t i = 0; i < count; ++i) {
        const Segment& segment = segments[i];
        write(segment.host != nullptr ? segment.host : segment.copy.data(), segment.bytes);
    }
    file.close();
    if (!file) {
        throw std::runtime_error(
            fmt::format("cannot write core file {}: {}", path, std::strerror(errno)));
    }
}

} // namespace talus::sim::debug
