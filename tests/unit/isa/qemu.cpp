#include "qemu.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

#include <sys/stat.h>
#include <unistd.h>

namespace talus::sim {

namespace {

constexpr const char* kQemu =
    "qemu-riscv64 -cpu "
    "rv64,v=true,vlen=512,elen=64,vext_spec=v1.0,zba=true,zbb=true,zbc=false,zbs=false,Zfh=true";

/// An ELF header with the one program header behind it.
struct Elf64 {
    unsigned char ident[16] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    std::uint16_t type = 2, machine = 243;
    std::uint32_t version = 1;
    std::uint64_t entry = 0, phoff = 64, shoff = 0;
    std::uint32_t flags = 5; // RVC, double-float ABI
    std::uint16_t ehsize = 64, phentsize = 56, phnum = 1, shentsize = 0, shnum = 0, shstrndx = 0;
    std::uint32_t p_type = 1, p_flags = 7;
    std::uint64_t p_offset = 4096, p_vaddr = 0, p_paddr = 0, p_filesz = 0, p_memsz = 0,
                  p_align = 4096;
};
static_assert(sizeof(Elf64) == 120);

} // namespace

bool have_qemu() {
    return std::system("command -v qemu-riscv64 >/dev/null 2>&1") == 0;
}

std::vector<std::uint8_t> run_qemu(const std::vector<std::uint8_t>& image, std::uint64_t base,
                                   int& status) {
    std::string name = (std::filesystem::temp_directory_path() / "talus_isa_XXXXXX").string();
    const int fd = mkstemp(name.data());
    if (fd < 0)
        throw std::runtime_error("cannot create " + name);
    fchmod(fd, 0700);
    close(fd);
    {
        Elf64 elf;
        elf.entry = elf.p_vaddr = elf.p_paddr = base;
        elf.p_filesz = elf.p_memsz = image.size();
        std::ofstream out(name, std::ios::binary);
        std::vector<char> header(4096);
        std::memcpy(header.data(), &elf, sizeof elf);
        out.write(header.data(), 4096);
        out.write(reinterpret_cast<const char*>(image.data()),
                  static_cast<std::streamsize>(image.size()));
    }
    std::vector<std::uint8_t> results;
    std::FILE* pipe = popen((std::string(kQemu) + " " + name + " 2>/dev/null").c_str(), "r");
    std::vector<std::uint8_t> chunk(1 << 16);
    while (const std::size_t n = std::fread(chunk.data(), 1, chunk.size(), pipe))
        results.insert(results.end(), chunk.begin(),
                       chunk.begin() + static_cast<std::ptrdiff_t>(n));
    status = pclose(pipe);
    std::filesystem::remove(name);
    return results;
}

} // namespace talus::sim
