#include "image_check.h"

#include <stdbool.h>

#include "../common/sha256.h"
#include "talus/hw/address_map.h"

#define SEGMENT_ALIGNMENT 64u

/* The last 64 KiB of control SRAM are the stack of the control firmware. */
static const struct segment_rule kRules[] = {
    {TALUS_SEGMENT_CONTROL, TALUS_CONTROL_SRAM_BASE + TALUS_CONTROL_IMAGE_OFFSET,
     TALUS_CONTROL_SRAM_SIZE - TALUS_CONTROL_IMAGE_OFFSET - 0x10000u},
    {TALUS_SEGMENT_PE, TALUS_LLS_BASE, TALUS_LLS_FIRMWARE_SIZE},
};
#define RULE_COUNT (sizeof(kRules) / sizeof(kRules[0]))

const struct segment_rule* image_segment_rule(uint32_t kind) {
    for (unsigned i = 0; i < RULE_COUNT; ++i) {
        if (kRules[i].kind == kind)
            return &kRules[i];
    }
    return 0;
}

static bool all_zero(const void* data, size_t bytes) {
    const uint8_t* byte = data;
    uint8_t any = 0;
    for (size_t i = 0; i < bytes; ++i)
        any |= byte[i];
    return any == 0;
}

/* [start, start + bytes) within [base, base + size), whatever the numbers. */
static bool within(uint64_t start, uint64_t bytes, uint64_t base, uint64_t size) {
    return start >= base && start - base <= size && bytes <= size - (start - base);
}

static bool header_hash_matches(const struct talus_image_header* header) {
    struct sha256 hash;
    uint8_t digest[SHA256_DIGEST_BYTES];
    const uint8_t zero[SHA256_DIGEST_BYTES] = {0};
    sha256_init(&hash);
    sha256_update(&hash, header, offsetof(struct talus_image_header, header_sha256));
    sha256_update(&hash, zero, sizeof(zero));
    sha256_update(&hash, header->segments, sizeof(header->segments));
    sha256_final(&hash, digest);
    uint8_t difference = 0;
    for (unsigned i = 0; i < sizeof(digest); ++i)
        difference |= digest[i] ^ header->header_sha256[i];
    return difference == 0;
}

static uint16_t check_segment(const struct talus_image_header* header,
                              const struct talus_image_segment* segment) {
    const struct segment_rule* rule = image_segment_rule(segment->kind);
    if (rule == 0)
        return TALUS_IMAGE_SEGMENT;
    if (segment->offset % SEGMENT_ALIGNMENT != 0 || segment->offset < sizeof(*header) ||
        segment->file_bytes == 0 || segment->memory_bytes < segment->file_bytes ||
        (uint64_t)segment->offset + segment->file_bytes > header->image_bytes)
        return TALUS_IMAGE_SIZE;
    if (segment->load_address % SEGMENT_ALIGNMENT != 0 ||
        !within(segment->load_address, segment->memory_bytes, rule->base, rule->size))
        return TALUS_IMAGE_SEGMENT;
    if (segment->entry != 0 &&
        (segment->entry % 2 != 0 ||
         !within(segment->entry, 2, segment->load_address, segment->file_bytes)))
        return TALUS_IMAGE_SEGMENT;
    return TALUS_OK;
}

static bool loads_overlap(const struct talus_image_segment* a,
                          const struct talus_image_segment* b) {
    return a->load_address < b->load_address + b->memory_bytes &&
           b->load_address < a->load_address + a->memory_bytes;
}

static uint16_t check_segments(const struct talus_image_header* header) {
    unsigned entries[RULE_COUNT] = {0};
    if (header->segment_count == 0 || header->segment_count > TALUS_IMAGE_MAX_SEGMENTS)
        return TALUS_IMAGE_SIZE;
    for (unsigned i = 0; i < header->segment_count; ++i) {
        const struct talus_image_segment* segment = &header->segments[i];
        const uint16_t status = check_segment(header, segment);
        if (status != TALUS_OK)
            return status;
        for (unsigned j = 0; j < i; ++j) {
            if (loads_overlap(segment, &header->segments[j]))
                return TALUS_IMAGE_SEGMENT;
        }
        if (segment->entry != 0)
            ++entries[image_segment_rule(segment->kind) - kRules];
    }
    for (unsigned i = header->segment_count; i < TALUS_IMAGE_MAX_SEGMENTS; ++i) {
        if (!all_zero(&header->segments[i], sizeof(header->segments[i])))
            return TALUS_IMAGE_SEGMENT;
    }
    for (unsigned i = 0; i < RULE_COUNT; ++i) {
        if (entries[i] != 1)
            return TALUS_IMAGE_SEGMENT;
    }
    return TALUS_OK;
}

uint16_t image_check_header(const struct talus_image_header* header, uint64_t staged_bytes,
                            uint64_t contract_hash) {
    if (header->magic[0] != TALUS_IMAGE_MAGIC_0 || header->magic[1] != TALUS_IMAGE_MAGIC_1)
        return TALUS_IMAGE_MAGIC;
    if (header->format != TALUS_IMAGE_FORMAT)
        return TALUS_IMAGE_VERSION;
    if (!header_hash_matches(header))
        return TALUS_IMAGE_HASH;
    if (header->contract_hash != contract_hash)
        return TALUS_IMAGE_CONTRACT;
    if (header->image_bytes < sizeof(*header) || header->image_bytes > staged_bytes)
        return TALUS_IMAGE_SIZE;
    if (header->flags != 0 || !all_zero(header->reserved, sizeof(header->reserved)))
        return TALUS_IMAGE_VERSION;
    return check_segments(header);
}

const struct talus_image_segment* image_entry_segment(const struct talus_image_header* header,
                                                      uint32_t kind) {
    for (unsigned i = 0; i < header->segment_count; ++i) {
        if (header->segments[i].kind == kind && header->segments[i].entry != 0)
            return &header->segments[i];
    }
    return 0;
}
