/* The boot image: what the driver pushes into staging and the ROM verifies. Little-endian. Layout:
 * header, then segment data at each segment's offset from the image's start. */
#ifndef TALUS_HW_BOOT_IMAGE_H
#define TALUS_HW_BOOT_IMAGE_H

#include "common.h"

#define TALUS_IMAGE_MAGIC_0 0x53554c41u /* "ALUS" */
#define TALUS_IMAGE_MAGIC_1 0x474d4954u /* "TIMG" */
#define TALUS_IMAGE_FORMAT 1u
#define TALUS_IMAGE_MAX_SEGMENTS 6u

/* X(name, value, meaning) */
#define TALUS_SEGMENT_KINDS(X)                                                                     \
    X(TALUS_SEGMENT_NONE, 0, "unused entry")                                                       \
    X(TALUS_SEGMENT_CONTROL, 1, "control firmware; loaded to control SRAM, entry for hart 0")      \
    X(TALUS_SEGMENT_PE, 2, "PE runtime; loaded to the firmware part of LLS, entry for PE cores")
enum talus_segment_kind { TALUS_SEGMENT_KINDS(TALUS_ENUM_VALUE) TALUS_SEGMENT_KIND_LAST = 255 };

struct talus_image_segment {
    uint32_t kind;        /* enum talus_segment_kind */
    uint32_t offset;      /* bytes from the image's start; multiple of 64 */
    uint32_t file_bytes;  /* bytes in the image */
    uint32_t memory_bytes; /* >= file_bytes; the rest is zeroed */
    uint64_t load_address; /* device address; multiple of 64 */
    uint64_t entry;       /* first instruction; 0 if the segment is data */
    uint8_t sha256[32];   /* over the file_bytes bytes */
};
TALUS_ASSERT_SIZE(talus_image_segment, 64);
TALUS_ASSERT_OFFSET(talus_image_segment, load_address, 16);
TALUS_ASSERT_OFFSET(talus_image_segment, sha256, 32);

struct talus_image_header {
    uint32_t magic[2];      /* TALUS_IMAGE_MAGIC_0, _1 */
    uint32_t format;        /* TALUS_IMAGE_FORMAT */
    uint32_t image_bytes;   /* header and all segments */
    uint64_t contract_hash; /* TALUS_CONTRACT_HASH of the build */
    uint16_t version[4];    /* bundle version: major, minor, patch, 0 */
    uint32_t segment_count;
    uint32_t flags;         /* 0 */
    uint8_t reserved[56];   /* 0; a signature's key id and length come here */
    uint8_t header_sha256[32]; /* over the header with this field zero */
    struct talus_image_segment segments[TALUS_IMAGE_MAX_SEGMENTS];
};
TALUS_ASSERT_SIZE(talus_image_header, 512);
TALUS_ASSERT_OFFSET(talus_image_header, contract_hash, 16);
TALUS_ASSERT_OFFSET(talus_image_header, version, 24);
TALUS_ASSERT_OFFSET(talus_image_header, segment_count, 32);
TALUS_ASSERT_OFFSET(talus_image_header, header_sha256, 96);
TALUS_ASSERT_OFFSET(talus_image_header, segments, 128);

#endif
