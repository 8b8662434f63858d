/* Checks of a boot image's header. Every field is hostile until it passed here. Pure functions. */
#ifndef TALUS_FIRMWARE_IMAGE_CHECK_H
#define TALUS_FIRMWARE_IMAGE_CHECK_H

#include "talus/hw/boot_image.h"
#include "talus/hw/status.h"

/* Where a kind of segment may be loaded, and whether it must bring an entry. */
struct segment_rule {
    uint32_t kind;
    uint64_t base;
    uint64_t size;
};

/* The rule of `kind`, or null if no such kind may be loaded. */
const struct segment_rule* image_segment_rule(uint32_t kind);

/* `header` is a private copy of the first bytes of an image of which `staged_bytes` are in staging.
 * Returns TALUS_OK or the IMAGE_* status of the first rule that is broken. Does not look at segment
 * data. */
uint16_t image_check_header(const struct talus_image_header* header, uint64_t staged_bytes,
                            uint64_t contract_hash);

/* The segment with the entry of this kind; null if none. For checked headers. */
const struct talus_image_segment* image_entry_segment(const struct talus_image_header* header,
                                                      uint32_t kind);

#endif
