#include "firmware.hpp"

#include "error.hpp"
#include "locate.hpp"

#include "talus/hw/boot_image.h"
#include "talus/hw/contract_hash.h"
#include "talus/hw/pci.h"
#include "talus/hw/status.h"

#include <cstdio>
#include <cstring>
#include <fstream>

namespace talus::driver {
namespace {

std::string hex64(std::uint64_t value) {
    char text[24];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
    return text;
}

Error boot_error(const std::string& what, const std::string& image, std::uint16_t code,
                 Registers& registers, const std::string& name) {
    const std::uint16_t base = TALUS_STATUS_BASE(code);
    const bool mismatch = base == TALUS_IMAGE_CONTRACT || base == TALUS_IMAGE_VERSION;
    return Error(mismatch ? TALUS_DRV_VERSION_MISMATCH : TALUS_DRV_FIRMWARE,
                 "device " + name + ": " + what + " " + image + ": " + device_status_text(code) +
                     (mismatch ? "; use the boot image of this driver's bundle" : "") + "; " +
                     registers.last_state());
}

} // namespace

std::vector<std::byte> read_boot_image(const std::string& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    if (!file)
        throw Error(TALUS_DRV_NOT_FOUND, "cannot open the boot image " + path);
    const auto size = static_cast<std::uint64_t>(file.tellg());
    if (size < sizeof(talus_image_header) || size > TALUS_STAGING_IMAGE_SIZE)
        throw Error(TALUS_DRV_FIRMWARE, path + " is no boot image: " + std::to_string(size) +
                                            " bytes, expected " +
                                            std::to_string(sizeof(talus_image_header)) + " to " +
                                            std::to_string(TALUS_STAGING_IMAGE_SIZE));
    std::vector<std::byte> image(size);
    file.seekg(0);
    if (!file.read(reinterpret_cast<char*>(image.data()), static_cast<std::streamsize>(size)))
        throw Error(TALUS_DRV_IO, "cannot read the boot image " + path);
    talus_image_header header{};
    std::memcpy(&header, image.data(), sizeof header);
    if (header.magic[0] != TALUS_IMAGE_MAGIC_0 || header.magic[1] != TALUS_IMAGE_MAGIC_1)
        throw Error(TALUS_DRV_FIRMWARE, path + " is no Talus boot image");
    if (header.image_bytes > size)
        throw Error(TALUS_DRV_FIRMWARE, path + " is truncated: " + std::to_string(size) + " of " +
                                            std::to_string(header.image_bytes) + " bytes");
    return image;
}

Mailbox::Answer Mailbox::command(talus_mailbox_command opcode, std::uint32_t argument0,
                                 std::uint32_t argument1, std::uint64_t timeout_us) {
    const std::uint32_t last = registers_.frozen(FROZEN_MB_STATUS) >> 16;
    const std::uint32_t sequence = last == 0xffff ? 1 : last + 1;
    registers_.write_frozen(FROZEN_MB_ARG0, argument0);
    registers_.write_frozen(FROZEN_MB_ARG1, argument1);
    registers_.write_frozen(FROZEN_MB_COMMAND, static_cast<std::uint32_t>(opcode) | sequence << 16);
    std::uint32_t status = 0;
    waiter_.until(
        [&] {
            status = registers_.frozen(FROZEN_MB_STATUS);
            return status >> 16 == sequence;
        },
        "mailbox command " + std::to_string(static_cast<unsigned>(opcode)), timeout_us);
    return {static_cast<std::uint16_t>(status), registers_.frozen(FROZEN_MB_RESULT0),
            registers_.frozen(FROZEN_MB_RESULT1)};
}

void check_contract(Registers& registers, const std::string& device_name) {
    const std::uint32_t magic = registers.frozen(FROZEN_MAGIC);
    if (magic == 0xffffffffu)
        throw Error(TALUS_DRV_DEVICE_LOST,
                    "device " + device_name + " is lost: its registers read all ones");
    if (magic != TALUS_MAGIC)
        throw Error(TALUS_DRV_PROTOCOL,
                    "device " + device_name +
                        " does not answer as a Talus device: BAR0 starts with " + hex64(magic));
    const std::uint32_t abi = registers.frozen(FROZEN_ABI_VERSION);
    if (abi >> 16 != TALUS_ABI_VERSION >> 16)
        throw Error(TALUS_DRV_VERSION_MISMATCH,
                    "device " + device_name + " has ABI version " + std::to_string(abi >> 16) +
                        "." + std::to_string(abi & 0xffff) + ", this driver speaks " +
                        std::to_string(TALUS_ABI_VERSION >> 16) + ".x");
    const std::uint64_t hash = registers.frozen(FROZEN_CONTRACT_LO) |
                               std::uint64_t{registers.frozen(FROZEN_CONTRACT_HI)} << 32;
    if (hash != TALUS_CONTRACT_HASH)
        throw Error(TALUS_DRV_VERSION_MISMATCH,
                    "device " + device_name + " was built from contract " + hex64(hash) +
                        ", this driver (bundle " TALUS_BUNDLE_VERSION_STRING ") from " +
                        hex64(TALUS_CONTRACT_HASH) +
                        "; simulator, firmware and driver must come from one bundle");
}

void reset_to_rom(Registers& registers, Waiter& waiter, std::uint64_t timeout_us) {
    const std::uint32_t epoch = registers.frozen(FROZEN_RESET_EPOCH);
    registers.write_frozen(FROZEN_RESET, TALUS_RESET_MAGIC);
    waiter.until(
        [&] {
            return registers.frozen(FROZEN_RESET_EPOCH) != epoch &&
                   registers.frozen(FROZEN_BOOT_STATE) == TALUS_BOOT_ROM_READY;
        },
        "the boot ROM after a fundamental reset", timeout_us);
}

void boot_firmware(Registers& registers, Waiter& waiter, const std::string& image_path,
                   std::uint64_t timeout_us) {
    const auto state = [&] {
        const std::uint32_t value = registers.frozen(FROZEN_BOOT_STATE);
        if (value == 0xffffffffu)
            throw Error(TALUS_DRV_DEVICE_LOST,
                        "device " + waiter.name() + " is lost: its registers read all ones");
        return value;
    };
    const auto settled = [](std::uint32_t s) {
        return s != TALUS_BOOT_RESET && s != TALUS_BOOT_STARTING;
    };
    waiter.until([&] { return settled(state()); }, "the boot ROM", timeout_us);
    if (state() == TALUS_BOOT_READY)
        return;
    if (state() == TALUS_BOOT_PANIC)
        reset_to_rom(registers, waiter, timeout_us);

    const std::string path = find_firmware(image_path);
    const std::vector<std::byte> image = read_boot_image(path);
    talus_image_header header{};
    std::memcpy(&header, image.data(), sizeof header);
    if (header.contract_hash != TALUS_CONTRACT_HASH)
        throw Error(TALUS_DRV_VERSION_MISMATCH,
                    "boot image " + path + " (bundle " + std::to_string(header.version[0]) + "." +
                        std::to_string(header.version[1]) + "." +
                        std::to_string(header.version[2]) + ") was built from contract " +
                        hex64(header.contract_hash) +
                        ", this driver (bundle " TALUS_BUNDLE_VERSION_STRING ") from " +
                        hex64(TALUS_CONTRACT_HASH) +
                        "; simulator, firmware and driver must come from one bundle");
    registers.write_staging(TALUS_STAGING_IMAGE_OFFSET, image);

    Mailbox mailbox(registers, waiter);
    struct Step {
        talus_mailbox_command command;
        const char* failure;
    };
    for (const Step& step : {Step{TALUS_MB_LOAD, "the boot ROM refused"},
                             Step{TALUS_MB_VERIFY, "the boot ROM found a fault in"},
                             Step{TALUS_MB_BOOT, "the firmware did not start from"}}) {
        const bool load = step.command == TALUS_MB_LOAD;
        const Mailbox::Answer answer =
            mailbox.command(step.command, load ? static_cast<std::uint32_t>(image.size()) : 0,
                            load ? TALUS_STAGING_IMAGE_OFFSET : 0, timeout_us);
        if (answer.status != TALUS_OK)
            throw boot_error(step.failure, path, answer.status, registers, waiter.name());
    }
    waiter.until([&] { return settled(state()); }, "the firmware to become READY", timeout_us);
    if (state() != TALUS_BOOT_READY)
        throw boot_error("the firmware did not start from", path,
                         static_cast<std::uint16_t>(registers.frozen(FROZEN_FAIL_CODE)), registers,
                         waiter.name());
}

} // namespace talus::driver
