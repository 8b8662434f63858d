#include "rom.h"

#include "../common/memory.h"

#include "../common/mmio.h"
#include "../common/post_codes.h"
#include "../common/sha256.h"
#include "image_check.h"
#include "talus/hw/address_map.h"
#include "talus/hw/pci.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"

static void set_post(const struct rom* rom, uint32_t code) {
    mmio_write32(rom->hostif + HOSTIF_POST_CODE, code);
}

static void set_state(struct rom* rom, enum talus_boot_state state) {
    rom->state = state;
    mmio_write32(rom->hostif + HOSTIF_BOOT_STATE, state);
}

static uint16_t handle_nop(struct rom* rom) {
    rom->result0 = (uint32_t)rom->state;
    return TALUS_OK;
}

static uint16_t handle_version(struct rom* rom) {
    (void)rom; /* no bundle runs yet: 0 */
    return TALUS_OK;
}

static uint16_t handle_load(struct rom* rom) {
    const uint32_t bytes = mmio_read32(rom->hostif + HOSTIF_MB_ARG0);
    const uint32_t offset = mmio_read32(rom->hostif + HOSTIF_MB_ARG1);
    set_post(rom, POST_ROM_LOAD);
    if (offset % 64 != 0 || offset > TALUS_STAGING_IMAGE_SIZE ||
        bytes > TALUS_STAGING_IMAGE_SIZE - offset || bytes < sizeof(rom->header))
        return TALUS_IMAGE_SIZE;
    rom->image = TALUS_STAGING_BASE + TALUS_STAGING_IMAGE_OFFSET + offset;
    memcpy(&rom->header, bus_pointer(rom->image), sizeof(rom->header));
    const uint16_t status = image_check_header(&rom->header, bytes, rom->contract_hash);
    if (status != TALUS_OK)
        return status;
    set_post(rom, POST_ROM_LOADED);
    set_state(rom, TALUS_BOOT_LOADED);
    return TALUS_OK;
}

static uint16_t handle_verify(struct rom* rom) {
    if (rom->state != TALUS_BOOT_LOADED)
        return TALUS_BOOT_STATE_ERROR;
    for (unsigned i = 0; i < rom->header.segment_count; ++i) {
        const struct talus_image_segment* segment = &rom->header.segments[i];
        uint8_t* target = bus_pointer(segment->load_address);
        uint8_t digest[SHA256_DIGEST_BYTES];
        set_post(rom, POST_ROM_VERIFY + i);
        memcpy(target, bus_pointer(rom->image + segment->offset), segment->file_bytes);
        sha256_of(target, segment->file_bytes, digest);
        if (memcmp(digest, segment->sha256, sizeof(digest)) != 0)
            return TALUS_IMAGE_HASH;
    }
    set_post(rom, POST_ROM_VERIFIED);
    set_state(rom, TALUS_BOOT_VERIFIED);
    return TALUS_OK;
}

static uint16_t handle_boot(struct rom* rom) {
    if (rom->state != TALUS_BOOT_VERIFIED)
        return TALUS_BOOT_STATE_ERROR;
    set_post(rom, POST_ROM_BOOT);
    for (unsigned i = 0; i < rom->header.segment_count; ++i) {
        const struct talus_image_segment* segment = &rom->header.segments[i];
        memset(bus_pointer(segment->load_address + segment->file_bytes), 0,
               segment->memory_bytes - segment->file_bytes);
        /* PEs fetch and copy their segment from memory, not from this core's cache. */
        bus_flush(segment->load_address, segment->memory_bytes);
    }
    rom->jump = image_entry_segment(&rom->header, TALUS_SEGMENT_CONTROL)->entry;
    set_post(rom, POST_ROM_JUMP);
    return TALUS_OK;
}

struct rom_command {
    uint16_t opcode;
    bool fails_boot; /* an error of it makes the boot FAILED */
    uint16_t (*handle)(struct rom* rom);
};

static const struct rom_command kCommands[] = {
    {TALUS_MB_NOP, false, handle_nop},  {TALUS_MB_VERSION, false, handle_version},
    {TALUS_MB_LOAD, true, handle_load}, {TALUS_MB_VERIFY, true, handle_verify},
    {TALUS_MB_BOOT, true, handle_boot},
};

static const struct rom_command* find_command(uint16_t opcode) {
    for (unsigned i = 0; i < sizeof(kCommands) / sizeof(kCommands[0]); ++i) {
        if (kCommands[i].opcode == opcode)
            return &kCommands[i];
    }
    return 0;
}

void rom_init(struct rom* rom, uint64_t hostif, uint64_t contract_hash) {
    memset(rom, 0, sizeof(*rom));
    rom->hostif = hostif;
    rom->contract_hash = contract_hash;
    mmio_write32(hostif + HOSTIF_FAIL_CODE, 0);
    set_post(rom, POST_ROM_READY);
    set_state(rom, TALUS_BOOT_ROM_READY);
}

void rom_poll(struct rom* rom) {
    const uint32_t command = mmio_read32(rom->hostif + HOSTIF_MB_COMMAND);
    const uint32_t answered = mmio_read32(rom->hostif + HOSTIF_MB_STATUS);
    if (command >> 16 == answered >> 16)
        return;
    const struct rom_command* entry = find_command((uint16_t)command);
    uint16_t status = TALUS_BAD_OPCODE;
    rom->result0 = 0;
    rom->result1 = 0;
    if (entry != 0) {
        status = entry->handle(rom);
        if (status != TALUS_OK && entry->fails_boot) {
            mmio_write32(rom->hostif + HOSTIF_FAIL_CODE, status);
            set_state(rom, TALUS_BOOT_FAILED);
        }
    }
    if (rom->jump != 0)
        return;
    mmio_write32(rom->hostif + HOSTIF_MB_RESULT0, rom->result0);
    mmio_write32(rom->hostif + HOSTIF_MB_RESULT1, rom->result1);
    mmio_write32(rom->hostif + HOSTIF_MB_STATUS, status | (command & 0xffff0000u));
}
