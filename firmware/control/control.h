/* The control firmware's state: one structure that owns every module, passed to whoever needs more
 * than its own. Single-threaded: everything runs in the event loop of control hart 0. */
#ifndef TALUS_FIRMWARE_CONTROL_H
#define TALUS_FIRMWARE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "dma.h"
#include "grid.h"
#include "heartbeat.h"
#include "launch.h"
#include "log.h"
#include "queue_engine.h"
#include "queues.h"
#include "talus/hw/address_map.h"
#include "talus/hw/boot_image.h"
#include "talus/hw/mailbox.h"
#include "windows.h"

/* What the chip is, read once. */
struct chip {
    uint32_t generation;
    uint32_t rows, cols;
    uint32_t clock_khz;
    uint64_t lls_base, lls_bytes;   /* what commands may touch */
    uint64_t dram_base, dram_bytes; /* " */
    uint64_t serial;
    uint16_t version[3];
};

/* The controller registers' state machine (controller.h). */
enum controller_state {
    CONTROLLER_OFF,
    CONTROLLER_ON,
    CONTROLLER_STOPPING, /* waits until no DMA engine touches host memory */
};

struct control {
    struct chip chip;
    struct log log;
    struct heartbeat heartbeat;
    struct queue_engine engine;
    struct dma dma;
    struct grid grid;
    struct jobs jobs;
    struct queues queues;
    struct windows windows; /* of device memory */
    enum talus_boot_state boot_state;
    bool boot_answered;     /* the mailbox's BOOT has its answer */
    uint64_t boot_deadline; /* clock by which the PEs have started */
    enum controller_state controller;
    uint64_t timer;   /* clock in MTIMECMP */
    bool memory_lost; /* of the firmware's own memory, a word cannot be read any more */
    bool back_to_rom; /* after a failed boot: LOAD starts over in the ROM */
    /* Where IDENTIFY and GET_FAULT lay out what a DMA engine then writes; one admin command at a
     * time. */
    _Alignas(64) uint8_t admin_buffer[256];
};

/* Sets everything up and releases the PEs. `image` is the verified header of the running image. */
void control_init(struct control* control, const struct talus_image_header* image);

/* One pass of the event loop: handles the interrupts in `mip` (0: none) and everything that follows
 * from them, then arms the timer. */
void control_step(struct control* control, uint64_t mip);

/* BOOT_STATE and the POST code that belongs to it. */
void control_set_state(struct control* control, enum talus_boot_state state, uint32_t post_code);

/* Register blocks */
#define CONTROL_BLOCK(block) (TALUS_SYSTEM_BASE + TALUS_SYS_##block)

#endif
