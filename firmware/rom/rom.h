/* The boot ROM's state machine: mailbox commands in, BOOT_STATE out.
 *
 *   ROM_READY --LOAD--> LOADED --VERIFY--> VERIFIED --BOOT--> (control firmware)
 *   any failure --> FAILED; LOAD starts again from every state.
 *
 * The host can write staging at any time, so nothing is checked there: LOAD checks a private copy
 * of the header, VERIFY copies each segment to its place and hashes it there. What runs is what was
 * hashed. */
#ifndef TALUS_FIRMWARE_ROM_H
#define TALUS_FIRMWARE_ROM_H

#include <stdbool.h>
#include <stdint.h>

#include "talus/hw/boot_image.h"
#include "talus/hw/mailbox.h"

struct rom {
    uint64_t hostif; /* register block */
    uint64_t contract_hash;
    enum talus_boot_state state;
    uint64_t image;   /* device address of the image in staging */
    uint32_t result0; /* the answer's results */
    uint32_t result1;
    uint64_t jump; /* entry of the control firmware, once BOOT was accepted */
    struct talus_image_header header;
};

/* Announces ROM_READY. */
void rom_init(struct rom* rom, uint64_t hostif, uint64_t contract_hash);

/* Handles the mailbox command if there is an unanswered one. When rom->jump is not 0 afterwards,
 * the caller jumps there with &rom->header as its argument; the new firmware answers the command.
 */
void rom_poll(struct rom* rom);

#endif
