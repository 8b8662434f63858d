/* The boot ROM: image checks and the mailbox state machine. */
#include "mock_bus.h"

#include <string.h>

#include "../../../firmware/common/post_codes.h"
#include "../../../firmware/common/sha256.h"
#include "../../../firmware/rom/image_check.h"
#include "../../../firmware/rom/rom.h"
#include "talus/hw/address_map.h"
#include "talus/hw/pci.h"
#include "talus/hw/registers.h"

#define HOSTIF (TALUS_SYSTEM_BASE + TALUS_SYS_HOSTIF)
#define CONTRACT 0x0123456789abcdefull
#define CONTROL_BASE (TALUS_CONTROL_SRAM_BASE + TALUS_CONTROL_IMAGE_OFFSET)

/* An image as a correct builder makes it: control segment of 1000 bytes (1500 in memory), PE of
 * 128. */
struct image {
    struct talus_image_header header;
    uint8_t control[1024];
    uint8_t pe[128];
};

static void seal(struct talus_image_header* header) {
    memset(header->header_sha256, 0, sizeof(header->header_sha256));
    uint8_t digest[32];
    sha256_of(header, sizeof(*header), digest);
    memcpy(header->header_sha256, digest, sizeof(digest));
}

static void make_image(struct image* image) {
    memset(image, 0, sizeof(*image));
    for (unsigned i = 0; i < 1000; ++i)
        image->control[i] = (uint8_t)(i * 31 + 5);
    for (unsigned i = 0; i < sizeof(image->pe); ++i)
        image->pe[i] = (uint8_t)(i ^ 0x5a);
    struct talus_image_header* header = &image->header;
    header->magic[0] = TALUS_IMAGE_MAGIC_0;
    header->magic[1] = TALUS_IMAGE_MAGIC_1;
    header->format = TALUS_IMAGE_FORMAT;
    header->image_bytes = sizeof(*image);
    header->contract_hash = CONTRACT;
    header->version[1] = 1;
    header->segment_count = 2;
    const struct talus_image_segment control = {
        .kind = TALUS_SEGMENT_CONTROL,
        .offset = offsetof(struct image, control),
        .file_bytes = 1000,
        .memory_bytes = 1500,
        .load_address = CONTROL_BASE,
        .entry = CONTROL_BASE + 16,
    };
    const struct talus_image_segment pe = {
        .kind = TALUS_SEGMENT_PE,
        .offset = offsetof(struct image, pe),
        .file_bytes = 128,
        .memory_bytes = 128,
        .load_address = TALUS_LLS_BASE,
        .entry = TALUS_LLS_BASE,
    };
    header->segments[0] = control;
    header->segments[1] = pe;
    sha256_of(image->control, 1000, header->segments[0].sha256);
    sha256_of(image->pe, 128, header->segments[1].sha256);
    seal(header);
}

static void test_good_image(void** state) {
    (void)state;
    struct image image;
    make_image(&image);
    assert_int_equal(image_check_header(&image.header, sizeof(image), CONTRACT), TALUS_OK);
    assert_ptr_equal(image_entry_segment(&image.header, TALUS_SEGMENT_PE),
                     &image.header.segments[1]);
}

/* One broken field each; the header is sealed again, so that the field and not the hash is at
 * fault. */
struct bad_field {
    const char* name;
    uint16_t status;
    void (*spoil)(struct talus_image_header* header);
};

#define SPOIL(function, statement)                                                                 \
    static void function(struct talus_image_header* h) {                                           \
        statement;                                                                                 \
    }
SPOIL(spoil_magic, h->magic[0] ^= 1)
SPOIL(spoil_magic1, h->magic[1] ^= 0x80000000u)
SPOIL(spoil_format, h->format = 2)
SPOIL(spoil_contract, h->contract_hash ^= 1)
SPOIL(spoil_flags, h->flags = 1)
SPOIL(spoil_reserved, h->reserved[55] = 1)
SPOIL(spoil_no_segments, h->segment_count = 0)
SPOIL(spoil_many_segments, h->segment_count = 7)
SPOIL(spoil_huge_count, h->segment_count = 0xffffffffu)
SPOIL(spoil_image_bytes, h->image_bytes += 1)
SPOIL(spoil_image_bytes_small, h->image_bytes = 511)
SPOIL(spoil_offset_header, h->segments[0].offset = 448)
SPOIL(spoil_offset_unaligned, h->segments[0].offset += 4)
SPOIL(spoil_offset_end, h->segments[1].offset += 64)
SPOIL(spoil_offset_wraps, h->segments[1].offset = 0xffffffc0u)
SPOIL(spoil_file_bytes_zero, h->segments[0].file_bytes = 0)
SPOIL(spoil_file_bytes_huge, h->segments[1].file_bytes = h->segments[1].memory_bytes = 0xffffffffu)
SPOIL(spoil_memory_small, h->segments[0].memory_bytes = 999)
SPOIL(spoil_memory_huge, h->segments[0].memory_bytes = 0xffffffffu)
SPOIL(spoil_kind_none, h->segments[1].kind = TALUS_SEGMENT_NONE)
SPOIL(spoil_kind_unknown, h->segments[1].kind = 3)
SPOIL(spoil_load_low, h->segments[0].load_address = TALUS_CONTROL_SRAM_BASE)
SPOIL(spoil_load_rom_data,
      h->segments[0].load_address = TALUS_CONTROL_SRAM_BASE + TALUS_ROM_DATA_OFFSET)
SPOIL(spoil_load_end,
      h->segments[0].load_address = TALUS_CONTROL_SRAM_BASE + TALUS_CONTROL_SRAM_SIZE - 1472)
SPOIL(spoil_load_wraps, h->segments[0].load_address = 0xffffffffffffffc0ull)
SPOIL(spoil_load_other, h->segments[1].load_address = CONTROL_BASE + 0x1000)
SPOIL(spoil_load_driver, h->segments[1].load_address = TALUS_LLS_BASE + TALUS_LLS_FIRMWARE_SIZE)
SPOIL(spoil_load_unaligned, h->segments[1].load_address += 8)
SPOIL(spoil_entry_before, h->segments[0].entry = CONTROL_BASE - 2)
SPOIL(spoil_entry_behind, h->segments[0].entry = CONTROL_BASE + 1000)
SPOIL(spoil_entry_odd, h->segments[0].entry += 1)
SPOIL(spoil_entry_zero, h->segments[1].entry = 0)
SPOIL(spoil_two_entries, h->segments[1].kind = TALUS_SEGMENT_CONTROL;
      h->segments[1].load_address = CONTROL_BASE + 0x1000;
      h->segments[1].entry = CONTROL_BASE + 0x1000)
SPOIL(spoil_overlap, h->segments[2] = h->segments[0]; h->segments[2].entry = 0;
      h->segments[2].load_address += 1472; h->segment_count = 3)
SPOIL(spoil_unused, h->segments[5].sha256[31] = 1)

static const struct bad_field kBadFields[] = {
    {"magic 0", TALUS_IMAGE_MAGIC, spoil_magic},
    {"magic 1", TALUS_IMAGE_MAGIC, spoil_magic1},
    {"format", TALUS_IMAGE_VERSION, spoil_format},
    {"contract", TALUS_IMAGE_CONTRACT, spoil_contract},
    {"flags", TALUS_IMAGE_VERSION, spoil_flags},
    {"reserved", TALUS_IMAGE_VERSION, spoil_reserved},
    {"no segments", TALUS_IMAGE_SIZE, spoil_no_segments},
    {"7 segments", TALUS_IMAGE_SIZE, spoil_many_segments},
    {"2^32-1 segments", TALUS_IMAGE_SIZE, spoil_huge_count},
    {"longer than staged", TALUS_IMAGE_SIZE, spoil_image_bytes},
    {"shorter than header", TALUS_IMAGE_SIZE, spoil_image_bytes_small},
    {"segment in header", TALUS_IMAGE_SIZE, spoil_offset_header},
    {"unaligned offset", TALUS_IMAGE_SIZE, spoil_offset_unaligned},
    {"segment behind end", TALUS_IMAGE_SIZE, spoil_offset_end},
    {"offset + bytes wraps", TALUS_IMAGE_SIZE, spoil_offset_wraps},
    {"empty segment", TALUS_IMAGE_SIZE, spoil_file_bytes_zero},
    {"huge segment", TALUS_IMAGE_SIZE, spoil_file_bytes_huge},
    {"memory < file", TALUS_IMAGE_SIZE, spoil_memory_small},
    {"memory huge", TALUS_IMAGE_SEGMENT, spoil_memory_huge},
    {"kind none", TALUS_IMAGE_SEGMENT, spoil_kind_none},
    {"kind unknown", TALUS_IMAGE_SEGMENT, spoil_kind_unknown},
    {"loads over the inbox", TALUS_IMAGE_SEGMENT, spoil_load_low},
    {"loads over the ROM's variables", TALUS_IMAGE_SEGMENT, spoil_load_rom_data},
    {"loads beyond SRAM", TALUS_IMAGE_SEGMENT, spoil_load_end},
    {"load address wraps", TALUS_IMAGE_SEGMENT, spoil_load_wraps},
    {"PE kind into SRAM", TALUS_IMAGE_SEGMENT, spoil_load_other},
    {"PE kind into driver's LLS", TALUS_IMAGE_SEGMENT, spoil_load_driver},
    {"unaligned load", TALUS_IMAGE_SEGMENT, spoil_load_unaligned},
    {"entry before segment", TALUS_IMAGE_SEGMENT, spoil_entry_before},
    {"entry behind segment", TALUS_IMAGE_SEGMENT, spoil_entry_behind},
    {"odd entry", TALUS_IMAGE_SEGMENT, spoil_entry_odd},
    {"no PE entry", TALUS_IMAGE_SEGMENT, spoil_entry_zero},
    {"two control entries", TALUS_IMAGE_SEGMENT, spoil_two_entries},
    {"overlapping loads", TALUS_IMAGE_SEGMENT, spoil_overlap},
    {"unused entry not zero", TALUS_IMAGE_SEGMENT, spoil_unused},
};

static void test_bad_fields(void** state) {
    (void)state;
    for (unsigned i = 0; i < sizeof(kBadFields) / sizeof(kBadFields[0]); ++i) {
        struct image image;
        make_image(&image);
        kBadFields[i].spoil(&image.header);
        seal(&image.header);
        const uint16_t status = image_check_header(&image.header, sizeof(image), CONTRACT);
        if (status != kBadFields[i].status)
            fail_msg("%s: status 0x%x instead of 0x%x", kBadFields[i].name, status,
                     kBadFields[i].status);
    }
}

/* Every byte of the header counts for its hash. */
static void test_header_hash(void** state) {
    (void)state;
    for (unsigned i = 12; i < sizeof(struct talus_image_header); ++i) {
        struct image image;
        make_image(&image);
        ((uint8_t*)&image.header)[i] ^= 0x10;
        assert_int_equal(image_check_header(&image.header, sizeof(image), CONTRACT),
                         TALUS_IMAGE_HASH);
    }
}

static void test_truncated(void** state) {
    (void)state;
    struct image image;
    make_image(&image);
    for (uint64_t bytes = 0; bytes < sizeof(image); bytes += 13)
        assert_int_equal(image_check_header(&image.header, bytes, CONTRACT), TALUS_IMAGE_SIZE);
}

/* --- the state machine
 * ------------------------------------------------------------------------------ */

static struct rom g_rom;
static uint32_t g_sequence;

static int set_up(void** state) {
    (void)state;
    bus_reset();
    g_sequence = 0;
    rom_init(&g_rom, HOSTIF, CONTRACT);
    return 0;
}

static void stage(const struct image* image, uint32_t offset) {
    memcpy(bus_memory(TALUS_STAGING_BASE + offset), image, sizeof(*image));
}

/* Rings the mailbox as the host does and returns the status that came back with the sequence. */
static uint16_t command(uint16_t opcode, uint32_t arg0, uint32_t arg1) {
    bus_set(HOSTIF + HOSTIF_MB_ARG0, arg0);
    bus_set(HOSTIF + HOSTIF_MB_ARG1, arg1);
    ++g_sequence;
    bus_set(HOSTIF + HOSTIF_MB_COMMAND, opcode | g_sequence << 16);
    rom_poll(&g_rom);
    if (g_rom.jump != 0)
        return TALUS_OK;
    assert_int_equal(bus_get(HOSTIF + HOSTIF_MB_STATUS) >> 16, g_sequence);
    return (uint16_t)bus_get(HOSTIF + HOSTIF_MB_STATUS);
}

static uint32_t boot_state(void) {
    return (uint32_t)bus_get(HOSTIF + HOSTIF_BOOT_STATE);
}

static void assert_failed(uint16_t status) {
    assert_int_equal(boot_state(), TALUS_BOOT_FAILED);
    assert_int_equal(bus_get(HOSTIF + HOSTIF_FAIL_CODE), status);
}

static void test_boot(void** state) {
    (void)state;
    struct image image;
    make_image(&image);
    stage(&image, 4096);
    memset(bus_memory(CONTROL_BASE), 0xee, 4096);
    assert_int_equal(boot_state(), TALUS_BOOT_ROM_READY);
    assert_int_equal(command(TALUS_MB_LOAD, sizeof(image), 4096), TALUS_OK);
    assert_int_equal(boot_state(), TALUS_BOOT_LOADED);
    assert_int_equal(command(TALUS_MB_VERIFY, 0, 0), TALUS_OK);
    assert_int_equal(boot_state(), TALUS_BOOT_VERIFIED);
    assert_int_equal(command(TALUS_MB_BOOT, 0, 0), TALUS_OK);
    assert_int_equal(g_rom.jump, CONTROL_BASE + 16);
    /* BOOT itself is answered by the new firmware. */
    assert_int_equal(bus_get(HOSTIF + HOSTIF_MB_STATUS) >> 16, g_sequence - 1);
    const uint8_t* loaded = bus_memory(CONTROL_BASE);
    assert_memory_equal(loaded, image.control, 1000);
    for (unsigned i = 1000; i < 1500; ++i)
        assert_int_equal(loaded[i], 0);
    assert_int_equal(loaded[1500], 0xee);
    assert_memory_equal(bus_memory(TALUS_LLS_BASE), image.pe, 128);
}

/* The answer's status comes last: the host reads the results as soon as it sees it. */
static void test_answer_order(void** state) {
    (void)state;
    expect_read32(HOSTIF + HOSTIF_MB_COMMAND, TALUS_MB_NOP | 7u << 16);
    expect_read32(HOSTIF + HOSTIF_MB_STATUS, 6u << 16);
    expect_write32(HOSTIF + HOSTIF_MB_RESULT0, TALUS_BOOT_ROM_READY);
    expect_write32(HOSTIF + HOSTIF_MB_RESULT1, 0);
    expect_write32(HOSTIF + HOSTIF_MB_STATUS, TALUS_OK | 7u << 16);
    rom_poll(&g_rom);
    bus_done();
    /* The same sequence again is no new command. */
    expect_read32(HOSTIF + HOSTIF_MB_COMMAND, TALUS_MB_NOP | 7u << 16);
    expect_read32(HOSTIF + HOSTIF_MB_STATUS, 7u << 16);
    rom_poll(&g_rom);
    bus_done();
}

static void test_load_arguments(void** state) {
    (void)state;
    static const struct {
        uint32_t bytes, offset;
    } bad[] = {
        {511, 0},
        {0, 0},
        {0xffffffffu, 0},
        {TALUS_STAGING_IMAGE_SIZE + 1, 0},
        {1024, 32},
        {1024, TALUS_STAGING_IMAGE_SIZE},
        {1024, TALUS_STAGING_IMAGE_SIZE - 512},
        {1024, 0xffffffc0u},
        {0xfffffe00u, 0x400},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); ++i) {
        assert_int_equal(command(TALUS_MB_LOAD, bad[i].bytes, bad[i].offset), TALUS_IMAGE_SIZE);
        assert_failed(TALUS_IMAGE_SIZE);
    }
}

static void test_corrupt_segment(void** state) {
    (void)state;
    struct image image;
    make_image(&image);
    image.pe[127] ^= 1;
    stage(&image, 0);
    assert_int_equal(command(TALUS_MB_LOAD, sizeof(image), 0), TALUS_OK);
    assert_int_equal(command(TALUS_MB_VERIFY, 0, 0), TALUS_IMAGE_HASH);
    assert_failed(TALUS_IMAGE_HASH);
    assert_int_equal(command(TALUS_MB_BOOT, 0, 0), TALUS_BOOT_STATE_ERROR);
    assert_int_equal(g_rom.jump, 0);
    /* LOAD starts again, and the intact image boots. */
    image.pe[127] ^= 1;
    stage(&image, 0);
    assert_int_equal(command(TALUS_MB_LOAD, sizeof(image), 0), TALUS_OK);
    assert_int_equal(command(TALUS_MB_VERIFY, 0, 0), TALUS_OK);
    assert_int_equal(command(TALUS_MB_BOOT, 0, 0), TALUS_OK);
    assert_true(g_rom.jump != 0);
}

/* What the host writes to staging after a check changes nothing that was checked. */
static void test_swap_after_check(void** state) {
    (void)state;
    struct image image;
    make_image(&image);
    stage(&image, 0);
    assert_int_equal(command(TALUS_MB_LOAD, sizeof(image), 0), TALUS_OK);
    struct image other = image;
    other.header.segments[0].entry = TALUS_CONTROL_SRAM_BASE;
    other.header.segments[0].load_address = TALUS_CONTROL_SRAM_BASE;
    stage(&other, 0);
    assert_int_equal(command(TALUS_MB_VERIFY, 0, 0), TALUS_OK);
    memset(other.control, 0xff, sizeof(other.control));
    memset(other.pe, 0xff, sizeof(other.pe));
    stage(&other, 0);
    assert_int_equal(command(TALUS_MB_BOOT, 0, 0), TALUS_OK);
    assert_int_equal(g_rom.jump, CONTROL_BASE + 16);
    assert_memory_equal(bus_memory(CONTROL_BASE), image.control, 1000);
    assert_memory_equal(bus_memory(TALUS_LLS_BASE), image.pe, 128);
}

static void test_out_of_order(void** state) {
    (void)state;
    assert_int_equal(command(TALUS_MB_VERIFY, 0, 0), TALUS_BOOT_STATE_ERROR);
    assert_failed(TALUS_BOOT_STATE_ERROR);
    assert_int_equal(command(TALUS_MB_BOOT, 0, 0), TALUS_BOOT_STATE_ERROR);
    struct image image;
    make_image(&image);
    stage(&image, 0);
    assert_int_equal(command(TALUS_MB_LOAD, sizeof(image), 0), TALUS_OK);
    assert_int_equal(command(TALUS_MB_BOOT, 0, 0), TALUS_BOOT_STATE_ERROR);
    assert_int_equal(g_rom.jump, 0);
}

static void test_unknown_opcode(void** state) {
    (void)state;
    assert_int_equal(command(0x77, 0, 0), TALUS_BAD_OPCODE);
    assert_int_equal(boot_state(), TALUS_BOOT_ROM_READY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_image),
        cmocka_unit_test(test_bad_fields),
        cmocka_unit_test(test_header_hash),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test_setup(test_boot, set_up),
        cmocka_unit_test_setup(test_answer_order, set_up),
        cmocka_unit_test_setup(test_load_arguments, set_up),
        cmocka_unit_test_setup(test_corrupt_segment, set_up),
        cmocka_unit_test_setup(test_swap_after_check, set_up),
        cmocka_unit_test_setup(test_out_of_order, set_up),
        cmocka_unit_test_setup(test_unknown_opcode, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
