#include "heartbeat.h"

#include "../common/mmio.h"
#include "talus/hw/registers.h"

void heartbeat_init(struct heartbeat* heartbeat, uint64_t hostif, uint32_t clock_khz,
                    uint64_t now) {
    heartbeat->hostif = hostif;
    heartbeat->period = clock_khz; /* clocks per millisecond */
    heartbeat->next = now;
    heartbeat->count = 0;
}

void heartbeat_poll(struct heartbeat* heartbeat, uint64_t now) {
    if (now < heartbeat->next)
        return;
    ++heartbeat->count;
    mmio_write32(heartbeat->hostif + HOSTIF_HEARTBEAT, heartbeat->count);
    heartbeat->next = (now / heartbeat->period + 1) * heartbeat->period;
}
