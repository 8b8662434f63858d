// talus-mkimage: builds intact images, describes them, and refuses bad ELF files without crashing.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <elf.h>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "talus/hw/address_map.h"
#include "talus/hw/boot_image.h"
#include "talus/hw/contract_hash.h"

namespace {

using Bytes = std::vector<std::uint8_t>;
namespace fs = std::filesystem;

class MkImage : public testing::Test {
  protected:
    void SetUp() override {
        folder_ = fs::temp_directory_path() / ("talus-mkimage-" + std::to_string(getpid()));
        fs::create_directory(folder_);
        write("control.elf", elf(TALUS_CONTROL_SRAM_BASE + TALUS_CONTROL_IMAGE_OFFSET));
        write("pe.elf", elf(TALUS_LLS_BASE));
    }
    void TearDown() override { fs::remove_all(folder_); }

    std::string path(const std::string& name) const { return (folder_ / name).string(); }

    void write(const std::string& name, const Bytes& bytes) const {
        std::ofstream file(path(name), std::ios::binary);
        file.write(reinterpret_cast<const char*>(bytes.data()),
                   static_cast<std::streamsize>(bytes.size()));
    }

    Bytes read(const std::string& name) const {
        std::ifstream file(path(name), std::ios::binary);
        return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    }

    // Exit status, or -1 if a signal ended it. Output goes to `output`.
    int run(const std::string& arguments) {
        const std::string command =
            std::string(TALUS_MKIMAGE) + " " + arguments + " > " + path("output") + " 2>&1";
        const int status = std::system(command.c_str());
        const Bytes text = read("output");
        output_.assign(text.begin(), text.end());
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

    int build() {
        return run("--control " + path("control.elf") + " --pe " + path("pe.elf") + " --output " +
                   path("image"));
    }

    // An executable with 256 bytes of code at `base` and 64 bytes of variables behind it.
    static Bytes elf(std::uint64_t base) {
        Bytes bytes(0x200, 0x13);
        Elf64_Ehdr header{};
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = ELFCLASS64;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_VERSION] = EV_CURRENT;
        header.e_type = ET_EXEC;
        header.e_machine = EM_RISCV;
        header.e_version = EV_CURRENT;
        header.e_entry = base + 4;
        header.e_phoff = sizeof(header);
        header.e_phentsize = sizeof(Elf64_Phdr);
        header.e_phnum = 1;
        Elf64_Phdr load{};
        load.p_type = PT_LOAD;
        load.p_offset = 0x100;
        load.p_vaddr = load.p_paddr = base;
        load.p_filesz = 0x100;
        load.p_memsz = 0x140;
        std::memcpy(bytes.data(), &header, sizeof(header));
        std::memcpy(bytes.data() + sizeof(header), &load, sizeof(load));
        return bytes;
    }

    fs::path folder_;
    std::string output_;
};

TEST_F(MkImage, BuildsWhatTheContractSays) {
    ASSERT_EQ(build(), 0) << output_;
    const Bytes image = read("image");
    ASSERT_GE(image.size(), sizeof(talus_image_header));
    talus_image_header header;
    std::memcpy(&header, image.data(), sizeof(header));
    EXPECT_EQ(header.magic[0], TALUS_IMAGE_MAGIC_0);
    EXPECT_EQ(header.magic[1], TALUS_IMAGE_MAGIC_1);
    EXPECT_EQ(header.image_bytes, image.size());
    EXPECT_EQ(header.contract_hash, TALUS_CONTRACT_HASH);
    EXPECT_EQ(header.segment_count, 2u);
    EXPECT_EQ(header.segments[0].kind, static_cast<std::uint32_t>(TALUS_SEGMENT_CONTROL));
    EXPECT_EQ(header.segments[0].file_bytes, 0x100u);
    EXPECT_EQ(header.segments[0].memory_bytes, 0x140u);
    EXPECT_EQ(header.segments[0].entry, header.segments[0].load_address + 4);
    EXPECT_EQ(header.segments[1].load_address, TALUS_LLS_BASE);
    EXPECT_EQ(image[header.segments[1].offset], 0x13);
    EXPECT_EQ(run("--info " + path("image")), 0) << output_;
    EXPECT_NE(output_.find("TALUS_SEGMENT_PE"), std::string::npos) << output_;
}

TEST_F(MkImage, InfoSeesCorruption) {
    ASSERT_EQ(build(), 0);
    const Bytes image = read("image");
    for (const std::size_t at :
         {std::size_t{20}, std::size_t{140}, std::size_t{600}, image.size() - 1}) {
        Bytes bad = image;
        bad[at] ^= 4;
        write("bad", bad);
        EXPECT_EQ(run("--info " + path("bad")), 1) << "byte " << at << "\n" << output_;
        EXPECT_NE(output_.find("CORRUPT"), std::string::npos);
    }
    write("bad", Bytes(image.begin(), image.begin() + 100));
    EXPECT_EQ(run("--info " + path("bad")), 2);
    EXPECT_EQ(run("--info " + path("absent")), 2);
}

TEST_F(MkImage, RefusesTruncatedElf) {
    const Bytes good = read("pe.elf");
    for (std::size_t bytes = 0; bytes < good.size(); bytes += bytes < 130 ? 9 : 50) {
        write("pe.elf", Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(bytes)));
        EXPECT_EQ(build(), 2) << bytes << " bytes";
        EXPECT_NE(output_.find("talus-mkimage:"), std::string::npos);
        EXPECT_FALSE(fs::exists(path("image")));
    }
}

TEST_F(MkImage, RefusesWhatTheRomWouldRefuse) {
    const auto refuse = [&](const char* what, auto&& change) {
        Bytes bytes = elf(TALUS_LLS_BASE);
        Elf64_Ehdr header;
        Elf64_Phdr load;
        std::memcpy(&header, bytes.data(), sizeof(header));
        std::memcpy(&load, bytes.data() + sizeof(header), sizeof(load));
        change(header, load);
        std::memcpy(bytes.data(), &header, sizeof(header));
        std::memcpy(bytes.data() + sizeof(header), &load, sizeof(load));
        write("pe.elf", bytes);
        EXPECT_EQ(build(), 2) << what << "\n" << output_;
    };
    refuse("load address", [](auto&, auto& load) { load.p_paddr = TALUS_DRAM_BASE; });
    refuse("wraps", [](auto&, auto& load) { load.p_paddr = ~std::uint64_t{0} - 0x3f; });
    refuse("memory size", [](auto&, auto& load) { load.p_memsz = ~std::uint64_t{0}; });
    refuse("file size", [](auto&, auto& load) { load.p_filesz = 0x1000; });
    refuse("file > memory", [](auto&, auto& load) { load.p_memsz = 0x80; });
    refuse("offset", [](auto&, auto& load) { load.p_offset = ~std::uint64_t{0} - 10; });
    refuse("alignment", [](auto&, auto& load) { load.p_paddr += 8; });
    refuse("entry", [](auto& header, auto&) { header.e_entry = 0; });
    refuse("machine", [](auto& header, auto&) { header.e_machine = EM_X86_64; });
    refuse("class", [](auto& header, auto&) { header.e_ident[EI_CLASS] = ELFCLASS32; });
    refuse("type", [](auto& header, auto&) { header.e_type = ET_REL; });
    refuse("header size", [](auto& header, auto&) { header.e_phentsize = 1; });
    refuse("header offset", [](auto& header, auto&) { header.e_phoff = ~std::uint64_t{0} - 8; });
    refuse("nothing to load", [](auto& header, auto&) { header.e_phnum = 0; });
}

// Any damage to the headers gives an image or a message, never a crash.
TEST_F(MkImage, SurvivesRandomDamage) {
    std::mt19937 random(42);
    const Bytes good = elf(TALUS_LLS_BASE);
    for (int round = 0; round < 100; ++round) {
        Bytes bad = good;
        for (int i = 0; i < 3; ++i) {
            bad[random() % (sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr))] =
                static_cast<std::uint8_t>(random());
        }
        write("pe.elf", bad);
        const int status = build();
        EXPECT_TRUE(status == 0 || status == 2) << status << "\n" << output_;
    }
}

TEST_F(MkImage, RefusesBadUsage) {
    EXPECT_EQ(run(""), 2);
    EXPECT_EQ(run("--control"), 2);
    EXPECT_EQ(run("--nonsense x"), 2);
    EXPECT_EQ(run("--contract zz --info " + path("image")), 2);
    EXPECT_EQ(run("--help"), 0);
}

} // namespace
