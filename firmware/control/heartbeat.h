/* The sign of life in the status page: one beat per millisecond of device time, at multiples of the
 * period. A device that slept through several beats makes one, so that sleeping costs nothing. */
#ifndef TALUS_FIRMWARE_HEARTBEAT_H
#define TALUS_FIRMWARE_HEARTBEAT_H

#include <stdint.h>

struct heartbeat {
    uint64_t hostif; /* register block */
    uint64_t period; /* clocks */
    uint64_t next;   /* clock of the next beat */
    uint32_t count;
};

void heartbeat_init(struct heartbeat* heartbeat, uint64_t hostif, uint32_t clock_khz, uint64_t now);

/* Beats if it is time to. */
void heartbeat_poll(struct heartbeat* heartbeat, uint64_t now);

#endif
