// talus-mkimage: packs ELF files into a boot image (talus/hw/boot_image.h), or describes one.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <elf.h>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "../common/sha256.h"
extern "C" {
#include "../rom/image_check.h"
}
#include "talus/hw/boot_image.h"
#include "talus/hw/contract_hash.h"

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Segment {
    talus_image_segment entry{};
    Bytes data;
};

Bytes read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
        throw Error(path + ": cannot open");
    Bytes bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (file.bad())
        throw Error(path + ": cannot read");
    return bytes;
}

// A structure at `offset` of `bytes`; the offset comes from the file itself.
template <typename T>
T read_at(const std::string& path, const Bytes& bytes, std::uint64_t offset) {
    T value;
    if (offset > bytes.size() || bytes.size() - offset < sizeof(T))
        throw Error(path + ": truncated ELF file");
    std::memcpy(&value, bytes.data() + offset, sizeof(T));
    return value;
}

// Flattens the loadable segments within the memory that the ROM grants the kind to one. Others are
// refused, unless they have no file contents (variables in memory that the program clears itself).
Segment segment_of_elf(const std::string& path, std::uint32_t kind) {
    const auto [rule_kind, base, size] = *image_segment_rule(kind);
    const Bytes file = read_file(path);
    const auto header = read_at<Elf64_Ehdr>(path, file, 0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        throw Error(path + ": not an ELF file");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_RISCV || header.e_type != ET_EXEC)
        throw Error(path + ": not a little-endian RV64 executable");
    if (header.e_phentsize != sizeof(Elf64_Phdr))
        throw Error(path + ": program headers of unexpected size");

    std::vector<Elf64_Phdr> loads;
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        const auto load =
            read_at<Elf64_Phdr>(path, file, header.e_phoff + std::uint64_t{i} * sizeof(Elf64_Phdr));
        if (load.p_type != PT_LOAD || load.p_memsz == 0)
            continue;
        const bool inside = load.p_paddr >= base && load.p_paddr - base <= size &&
                            load.p_memsz <= size - (load.p_paddr - base);
        if (!inside && load.p_filesz == 0)
            continue;
        if (!inside)
            throw Error(path + ": a segment lies outside the memory that its kind may use");
        if (load.p_filesz > load.p_memsz || load.p_offset > file.size() ||
            load.p_filesz > file.size() - load.p_offset)
            throw Error(path + ": a segment's size is inconsistent");
        loads.push_back(load);
    }
    if (std::none_of(loads.begin(), loads.end(), [](const auto& l) { return l.p_filesz != 0; }))
        throw Error(path + ": nothing to load");

    std::uint64_t start = ~std::uint64_t{0};
    std::uint64_t file_end = 0;
    std::uint64_t memory_end = 0;
    for (const auto& load : loads) {
        start = std::min(start, load.p_paddr);
        memory_end = std::max(memory_end, load.p_paddr + load.p_memsz);
        if (load.p_filesz != 0)
            file_end = std::max(file_end, load.p_paddr + load.p_filesz);
    }
    if (start % 64 != 0)
        throw Error(path + ": first segment is not 64-byte aligned");
    Segment segment;
    segment.data.resize(file_end - start);
    for (const auto& load : loads) {
        if (load.p_filesz != 0)
            std::memcpy(segment.data.data() + (load.p_paddr - start), file.data() + load.p_offset,
                        load.p_filesz);
    }
    if (header.e_entry < start || header.e_entry >= file_end)
        throw Error(path + ": entry point outside the loaded code");
    segment.entry.kind = rule_kind;
    segment.entry.file_bytes = static_cast<std::uint32_t>(file_end - start);
    segment.entry.memory_bytes = static_cast<std::uint32_t>(memory_end - start);
    segment.entry.load_address = start;
    segment.entry.entry = header.e_entry;
    sha256_of(segment.data.data(), segment.data.size(), segment.entry.sha256);
    return segment;
}

void hash_header(talus_image_header& header) {
    std::memset(header.header_sha256, 0, sizeof(header.header_sha256));
    std::uint8_t digest[SHA256_DIGEST_BYTES];
    sha256_of(&header, sizeof(header), digest);
    std::memcpy(header.header_sha256, digest, sizeof(digest));
}

Bytes build_image(std::vector<Segment>& segments, std::uint64_t contract_hash) {
    talus_image_header header{};
    header.magic[0] = TALUS_IMAGE_MAGIC_0;
    header.magic[1] = TALUS_IMAGE_MAGIC_1;
    header.format = TALUS_IMAGE_FORMAT;
    header.contract_hash = contract_hash;
    header.version[0] = TALUS_BUNDLE_VERSION_MAJOR;
    header.version[1] = TALUS_BUNDLE_VERSION_MINOR;
    header.version[2] = TALUS_BUNDLE_VERSION_PATCH;
    header.segment_count = static_cast<std::uint32_t>(segments.size());
    Bytes image(sizeof(header));
    for (std::size_t i = 0; i < segments.size(); ++i) {
        image.resize((image.size() + 63) / 64 * 64);
        segments[i].entry.offset = static_cast<std::uint32_t>(image.size());
        header.segments[i] = segments[i].entry;
        image.insert(image.end(), segments[i].data.begin(), segments[i].data.end());
    }
    header.image_bytes = static_cast<std::uint32_t>(image.size());
    hash_header(header);
    std::memcpy(image.data(), &header, sizeof(header));
    return image;
}

const char* kind_name(std::uint32_t kind) {
    switch (kind) {
#define KIND_NAME(name, value, ...)                                                                \
    case value:                                                                                    \
        return #name;
        TALUS_SEGMENT_KINDS(KIND_NAME)
#undef KIND_NAME
    default:
        return "unknown";
    }
}

// Describes an image; true if it is intact.
bool describe(const std::string& path) {
    const Bytes image = read_file(path);
    if (image.size() < sizeof(talus_image_header))
        throw Error(path + ": shorter than an image header");
    talus_image_header header;
    std::memcpy(&header, image.data(), sizeof(header));
    if (header.magic[0] != TALUS_IMAGE_MAGIC_0 || header.magic[1] != TALUS_IMAGE_MAGIC_1)
        throw Error(path + ": not a Talus boot image");
    talus_image_header check = header;
    hash_header(check);
    bool intact = std::memcmp(check.header_sha256, header.header_sha256, 32) == 0;
    std::printf("format    %u\nversion   %u.%u.%u\ncontract  %016llx (%s)\nbytes     %u of %zu\n"
                "header    %s\n",
                header.format, header.version[0], header.version[1], header.version[2],
                static_cast<unsigned long long>(header.contract_hash),
                header.contract_hash == TALUS_CONTRACT_HASH ? "this build's" : "another build's",
                header.image_bytes, image.size(), intact ? "intact" : "CORRUPT");
    intact = intact && header.image_bytes <= image.size();
    const auto count = std::min<std::uint32_t>(header.segment_count, TALUS_IMAGE_MAX_SEGMENTS);
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto& segment = header.segments[i];
        bool good =
            segment.offset <= image.size() && segment.file_bytes <= image.size() - segment.offset;
        if (good) {
            std::uint8_t digest[SHA256_DIGEST_BYTES];
            sha256_of(image.data() + segment.offset, segment.file_bytes, digest);
            good = std::memcmp(digest, segment.sha256, sizeof(digest)) == 0;
        }
        intact = intact && good;
        std::printf("segment %u %s: %u bytes at 0x%llx (%u in memory), entry 0x%llx, %s\n", i,
                    kind_name(segment.kind), segment.file_bytes,
                    static_cast<unsigned long long>(segment.load_address), segment.memory_bytes,
                    static_cast<unsigned long long>(segment.entry), good ? "intact" : "CORRUPT");
    }
    return intact;
}

constexpr const char* kUsage =
    "usage: talus-mkimage --control CONTROL.elf --pe PE.elf --output IMAGE [--contract HEX]\n"
    "       talus-mkimage --info IMAGE\n"
    "Packs firmware into a boot image; --info describes one and exits with 1 if it is corrupt.\n"
    "--contract overrides the contract hash (to test that a device refuses another bundle).\n";

int run(int argc, char** argv) {
    std::string control;
    std::string pe;
    std::string output;
    std::string info;
    std::uint64_t contract = TALUS_CONTRACT_HASH;
    for (int i = 1; i < argc; ++i) {
        const std::string_view option = argv[i];
        if (option == "--help") {
            std::fputs(kUsage, stdout);
            return 0;
        }
        if (i + 1 >= argc)
            throw Error(std::string(option) + ": unknown option or missing value\n" + kUsage);
        const std::string value = argv[++i];
        if (option == "--control")
            control = value;
        else if (option == "--pe")
            pe = value;
        else if (option == "--output")
            output = value;
        else if (option == "--info")
            info = value;
        else if (option == "--contract") {
            std::size_t used = 0;
            contract = std::stoull(value, &used, 16);
            if (used != value.size())
                throw Error("--contract: not a hexadecimal number");
        } else
            throw Error(std::string(option) + ": unknown option\n" + kUsage);
    }
    if (!info.empty())
        return describe(info) ? 0 : 1;
    if (control.empty() || pe.empty() || output.empty())
        throw Error(kUsage);
    std::vector<Segment> segments;
    segments.push_back(segment_of_elf(control, TALUS_SEGMENT_CONTROL));
    segments.push_back(segment_of_elf(pe, TALUS_SEGMENT_PE));
    const Bytes image = build_image(segments, contract);
    // The ROM's own checks have the last word.
    talus_image_header header;
    std::memcpy(&header, image.data(), sizeof(header));
    if (const auto status = image_check_header(&header, image.size(), contract); status != TALUS_OK)
        throw Error("the ROM would refuse this image: status " + std::to_string(status));
    std::ofstream file(output, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(image.data()),
               static_cast<std::streamsize>(image.size()));
    file.close();
    if (!file)
        throw Error(output + ": cannot write");
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "talus-mkimage: %s\n", error.what());
        return 2;
    }
}
