#include "mailbox.h"

#include "../common/mmio.h"
#include "control.h"
#include "talus/hw/registers.h"
#include "talus/hw/status.h"

struct answer {
    uint16_t status;
    uint32_t result0;
    bool later; /* no answer from here */
};

static void handle_nop(struct control* control, struct answer* answer) {
    answer->result0 = (uint32_t)control->boot_state;
}

static void handle_version(struct control* control, struct answer* answer) {
    const uint16_t* version = control->chip.version;
    answer->result0 = (uint32_t)version[0] << 16 | (uint32_t)version[1] << 8 | version[2];
}

static void handle_load(struct control* control, struct answer* answer) {
    if (control->boot_state == TALUS_BOOT_FAILED) {
        control->back_to_rom = true; /* the ROM finds the command unanswered */
        answer->later = true;
    } else {
        answer->status = TALUS_BOOT_STATE_ERROR;
    }
}

static void handle_verify(struct control* control, struct answer* answer) {
    (void)control;
    answer->status = TALUS_BOOT_STATE_ERROR;
}

static void handle_boot(struct control* control, struct answer* answer) {
    switch (control->boot_state) {
    case TALUS_BOOT_STARTING:
        answer->later = true;
        break;
    case TALUS_BOOT_FAILED:
        answer->status = TALUS_PE_BOOT;
        break;
    default:
        /* The first BOOT in READY is the one that started this firmware. */
        answer->status = control->boot_answered ? TALUS_BOOT_STATE_ERROR : TALUS_OK;
        break;
    }
}

struct mailbox_entry {
    uint16_t opcode;
    void (*handle)(struct control* control, struct answer* answer);
};

static const struct mailbox_entry kEntries[] = {
    {TALUS_MB_NOP, handle_nop},   {TALUS_MB_VERSION, handle_version},
    {TALUS_MB_LOAD, handle_load}, {TALUS_MB_VERIFY, handle_verify},
    {TALUS_MB_BOOT, handle_boot},
};

void mailbox_poll(struct control* control) {
    const uint64_t hostif = CONTROL_BLOCK(HOSTIF);
    const uint32_t command = mmio_read32(hostif + HOSTIF_MB_COMMAND);
    const uint32_t answered = mmio_read32(hostif + HOSTIF_MB_STATUS);
    struct answer answer = {.status = TALUS_BAD_OPCODE};
    if (command >> 16 == answered >> 16)
        return;
    for (unsigned i = 0; i < sizeof(kEntries) / sizeof(kEntries[0]); ++i) {
        if (kEntries[i].opcode != (uint16_t)command)
            continue;
        answer.status = TALUS_OK;
        kEntries[i].handle(control, &answer);
    }
    if (answer.later)
        return;
    control->boot_answered = true;
    mmio_write32(hostif + HOSTIF_MB_RESULT0, answer.result0);
    mmio_write32(hostif + HOSTIF_MB_RESULT1, 0);
    mmio_write32(hostif + HOSTIF_MB_STATUS, answer.status | (command & 0xffff0000u));
}
